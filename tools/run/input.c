/*
 * input.c - decode, prepare and cut inputs for a model; see input.h.
 *
 *   path -> formats/media/audio.c, image.c or vocab.c -> src/pipeline/preprocess.c -> Input
 *
 * Audio passes through a buffer that holds one window, so that memory does not grow with the length
 * of a recording.
 */
#include "tools/run/input.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/base/bytes.h"
#include "formats/base/input_stream.h"
#include "formats/base/sniff.h"
#include "formats/media/audio.h"
#include "formats/media/image.h"
#include "formats/text/tokenizer.h"
#include "formats/text/vocab.h"
#include "src/pipeline/preprocess.h"
#include "tools/run/lines.h"

#define MAX_CLIP (1u << 26) /* samples of one clip: 70 minutes at 16 kHz */
#define STEP 65536          /* samples per read */
#define SCAN_PARTS 4        /* windows that begin within a clip of a long recording */
#define SLACK 100           /* a part of a clip by which a recording may be longer */
#define SNIFF_SIZE 512      /* bytes */
#define SEARCH_SIZE 65536   /* bytes in which sound behind something else is looked for */

struct InputReader {
    const MegaModel *model;
    InputKind kind; /* what the model is fed from */
    bool ids;
    MegaAudioFeatures audio;
    MegaImageFeatures image;
    MegaImageOptions image_options;
    uint64_t left; /* bytes that the limit of memory leaves beside the model; or UINT64_MAX */
    MegaTextFeatures text;
    MegaVocab *vocab; /* NULL with ids */
    void (*warn)(const char *sentence);
    MegaPcm pcm;
    bool has_pcm, partial;
    size_t window, hop; /* samples; hop 0: one clip per recording */
    bool scan;

    /* The current path. */
    char *path, *second;
    bool started;
    bool scanning; /* this recording is a long one */
    MegaAudio *stream;
    bool ended;     /* stream is */
    float *samples; /* from sample number `base` of the recording on */
    size_t count, capacity;
    uint64_t base;
};

/* ---- What a file holds ---------------------------------------------------------------------- */

typedef struct Content {
    InputKind kind;
    const char *name;   /* NULL: nothing that is known */
    const char *advice; /* what to do with a file that is no input; or NULL */
    bool unread;        /* sound of a format that is not read */
} Content;

static const struct {
    const char *extension;
    InputKind kind;
} extensions[] = {
    {".wav", INPUT_AUDIO}, {".flac", INPUT_AUDIO}, {".ogg", INPUT_AUDIO},  {".opus", INPUT_AUDIO},
    {".mp3", INPUT_AUDIO}, {".aif", INPUT_AUDIO},  {".aiff", INPUT_AUDIO}, {".au", INPUT_AUDIO},
    {".png", INPUT_IMAGE}, {".jpg", INPUT_IMAGE},  {".jpeg", INPUT_IMAGE}, {".bmp", INPUT_IMAGE},
    {".txt", INPUT_TEXT},  {".text", INPUT_TEXT},
};

/* UTF-8 without control characters; the last character may be cut off by the end of the sample. */
static bool looks_like_text(const uint8_t *bytes, size_t size)
{
    size_t position = 0;
    while (position < size) {
        const size_t length = mega_utf8_decode(bytes + position, size - position, NULL);
        if (!length)
            break;
        if (bytes[position] < ' ' && !memchr("\t\n\r\f", bytes[position], 4))
            return false;
        position += length;
    }
    return size && (position == size || (size >= SNIFF_SIZE && size - position < 4));
}

/* Files that are no input: models, checkpoints, archives, ... Some look like text. */
static Content find_content(const uint8_t *bytes, size_t size)
{
    const bool is_text = looks_like_text(bytes, size < SNIFF_SIZE ? size : SNIFF_SIZE);
    const MegaFileKind kind = mega_recognize(bytes, size);
    Content content = {.name = kind.what, .advice = kind.advice};
    switch (kind.role) {
    case MEGA_ROLE_MODEL: content.advice = "give it with -m"; break;
    case MEGA_ROLE_CHECKPOINT: content.advice = "mega-convert makes a model of it"; break;
    case MEGA_ROLE_SOUND: content.kind = INPUT_AUDIO; break;
    case MEGA_ROLE_PICTURE:
        content.kind = INPUT_IMAGE;
        content.unread = kind.advice != NULL;
        break;
    case MEGA_ROLE_UNREAD: content.unread = true; break;
    case MEGA_ROLE_INPUT: /* an array: mega-run forward takes it */
    case MEGA_ROLE_OTHER: break;
    case MEGA_ROLE_TEXT:
    case MEGA_ROLE_UNKNOWN:
        if ((!is_text || !looks_like_text(bytes, size)) && mega_audio_recognize(bytes, size))
            return (Content){.kind = INPUT_AUDIO, .name = "a recording"}; /* behind something */
        if (!is_text)
            return (Content){.kind = INPUT_UNKNOWN};
        content.kind = INPUT_TEXT;
        if (!content.advice)
            content.name = "text";
    }
    return content;
}

/* By content, of pipes as well. */
static Content sniff_content(const char *path)
{
    uint8_t bytes[SEARCH_SIZE];
    size_t size = 0;
    if (mega_source_peek(path, bytes, sizeof bytes, &size, NULL) || !size)
        return (Content){.kind = INPUT_UNKNOWN};
    return find_content(bytes, size);
}

InputKind input_sniff(const char *path)
{
    const Content content = sniff_content(path);
    if (content.name)
        return content.kind;
    const size_t length = strlen(path);
    for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++) {
        const size_t size = strlen(extensions[i].extension);
        if (length > size && strcasecmp(path + length - size, extensions[i].extension) == 0)
            return extensions[i].kind;
    }
    return INPUT_UNKNOWN;
}

static int fail_unread(const Content *content, const char *name, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_INPUT, "%s is %s, a format that is not read; %s", name,
                     content->name, content->advice);
}

int input_fail_unknown(const char *path, MegaError *err)
{
    static const char expected[] = "expected a recording, a picture or a text";
    const char *name = mega_source_name(path);
    uint8_t byte;
    size_t got = 0;
    struct stat info;
    int code = mega_source_peek(path, &byte, 1, &got, err);
    if (code)
        return code;
    const Content content = sniff_content(path);
    if (content.unread)
        return fail_unread(&content, name, err);
    if (content.name)
        return mega_fail(err, MEGA_ERR_INPUT, "%s is %s; %s%s%s", name, content.name, expected,
                         content.advice ? "; " : "", content.advice ? content.advice : "");
    const bool device = stat(path, &info) == 0 && S_ISCHR(info.st_mode);
    if (!got && !device)
        return mega_fail(err, MEGA_ERR_INPUT, "%s is empty; %s", name, expected);
    return mega_fail(err, MEGA_ERR_INPUT,
                     "%s: no model can be chosen, since the kind of the input is not known; name a "
                     "model with -m",
                     name);
}

/* ---- The reader ----------------------------------------------------------------------------- */

static int read_text_features(InputReader *reader, MegaError *err)
{
    const MegaMeta *meta = mega_model_meta(reader->model);
    const int rows = reader->model->config.embed.vocab;
    if (reader->ids)
        return 0;
    int code = mega_vocab_from_meta(&reader->vocab, meta, MEGA_VOCAB_KEY, err);
    if (!code)
        code = mega_text_features_read(&reader->text, meta, err);
    if (code)
        return code;
    const MegaTextFeatures *text = &reader->text;
    if (mega_vocab_count(reader->vocab) > rows || text->cls >= rows || text->eos >= rows ||
        text->unk >= rows)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "the model's vocabulary (%d symbols) or the ids of text.cls, text.eos and "
                         "text.unk (%d, %d, %d) go beyond its %d embeddings",
                         mega_vocab_count(reader->vocab), text->cls, text->eos, text->unk, rows);
    return 0;
}

static int read_image_features(InputReader *reader, MegaError *err)
{
    const MegaEmbedConfig *embed = &reader->model->config.embed;
    int code = mega_image_features_read(&reader->image, mega_model_meta(reader->model), err);
    if (code)
        return code;
    if (embed->kind == MEGA_EMBED_PATCHES
            ? reader->image.channels != embed->channels || reader->image.width != embed->width ||
                  reader->image.height != embed->height
            : reader->image.channels != 1)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "the model's description of its images (%d x %d pixels, %d channels) does "
                         "not fit its embedding",
                         reader->image.width, reader->image.height, reader->image.channels);
    return 0;
}

static int read_features(InputReader *reader, MegaError *err)
{
    const MegaMeta *meta = mega_model_meta(reader->model);
    const MegaInputKind kind = mega_model_input_kind(reader->model);
    if (kind == MEGA_INPUT_TOKENS) {
        reader->kind = INPUT_TEXT;
        return read_text_features(reader, err);
    }
    if (mega_model_input_count(reader->model) > 1)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "this model compares two inputs that are not text; only mega-run forward "
                         "can feed it");
    if (kind == MEGA_INPUT_SAMPLES && mega_meta_find(meta, "audio.sample_rate")) {
        reader->kind = INPUT_AUDIO;
        return mega_audio_features_read(&reader->audio, meta, err);
    }
    if (mega_meta_find(meta, "image.width")) {
        reader->kind = INPUT_IMAGE;
        return read_image_features(reader, err);
    }
    return mega_fail(
        err, MEGA_ERR_MODEL,
        "the model file has no description of preprocessing: convert it again with %s, "
        "or feed it with mega-run forward",
        kind == MEGA_INPUT_IMAGE ? "--pixel-mean and --pixel-std"
                                 : "--audio-mean and --audio-std, or --pixel-mean and --pixel-std");
}

/* Seconds to samples; 0 if that makes no sense. */
static size_t seconds_to_samples(double seconds, int rate)
{
    const double samples = round(seconds * rate);
    return samples >= 1 && samples <= (double)MAX_CLIP ? (size_t)samples : 0;
}

static int set_window(InputReader *reader, const InputOptions *options, MegaError *err)
{
    const int rate = reader->audio.sample_rate;
    const double window = options->window, hop = options->hop != 0 ? options->hop : window;
    if (options->window == 0)
        return options->hop == 0
                   ? 0
                   : mega_fail(err, MEGA_ERR_ARGUMENT, "--hop needs --window as well");
    reader->window = seconds_to_samples(window, rate);
    reader->hop = seconds_to_samples(hop, rate);
    if (!reader->window || !reader->hop)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a window of %g s every %g s makes no sense; expected times above 0 and "
                         "at most %g s",
                         window, hop, floor((double)MAX_CLIP / rate));
    if (reader->audio.length && reader->window > (uint64_t)reader->audio.length)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a window of %g s is too long: this model takes clips of at most %g s",
                         window, (double)reader->audio.length / rate);
    return 0;
}

static int set_options(InputReader *reader, const InputOptions *options, MegaError *err)
{
    const bool audio = reader->kind == INPUT_AUDIO;
    if (!audio && (options->window != 0 || options->hop != 0 || options->has_raw))
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "--window, --hop and --raw are for audio, but this model takes %s",
                         reader->kind == INPUT_IMAGE ? "images" : "text");
    if (options->ids && reader->kind != INPUT_TEXT)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "--ids is for text, but this model takes %s",
                         audio ? "audio" : "images");
    const uint64_t model = mega_model_memory(reader->model), limit = options->max_memory;
    reader->left = limit == 0 ? UINT64_MAX : limit > model ? limit - model : 1;
    reader->image_options = (MegaImageOptions){.keep_orientation = options->no_orient,
                                               .max_memory = limit ? reader->left : 0};
    reader->has_pcm = options->has_raw;
    reader->pcm = options->raw;
    if (!audio)
        return 0;
    /* Without --window: one clip of the model's length, or of any. */
    reader->window = reader->audio.length ? (size_t)reader->audio.length : MAX_CLIP;
    return set_window(reader, options, err);
}

int input_reader_new(InputReader **out, const MegaModel *model, const InputOptions *options,
                     MegaError *err)
{
    *out = NULL;
    InputReader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading inputs");
    reader->model = model;
    reader->ids = options->ids;
    reader->warn = options->warn;
    reader->scan = options->scan;
    reader->partial = options->partial;
    int code = read_features(reader, err);
    if (!code)
        code = set_options(reader, options, err);
    if (code) {
        input_reader_free(reader);
        return code;
    }
    *out = reader;
    return 0;
}

/* Ends the current path. */
static void finish(InputReader *reader)
{
    mega_audio_close(reader->stream);
    free(reader->path);
    free(reader->second);
    reader->stream = NULL;
    reader->path = reader->second = NULL;
    reader->started = reader->ended = reader->scanning = false;
    reader->count = 0;
    reader->base = 0;
}

void input_reader_free(InputReader *reader)
{
    if (!reader)
        return;
    finish(reader);
    mega_vocab_free(reader->vocab);
    free(reader->samples);
    free(reader);
}

void input_free(Input *input)
{
    free(input->values);
    free(input->tokens[0]);
    free(input->tokens[1]);
    *input = (Input){0};
}

/* An image given to a speech model and the like; what cannot be told is left to the decoders. */
static int check_kind(const InputReader *reader, const char *path, MegaError *err)
{
    static const char *const expected[] = {
        [INPUT_AUDIO] = "a recording",
        [INPUT_IMAGE] = "an image",
        [INPUT_TEXT] = "text",
    };
    if (reader->has_pcm || reader->ids)
        return 0;
    const Content content = sniff_content(path);
    const bool fits = content.kind == reader->kind;
    if (content.unread && (fits || (!content.kind && reader->kind == INPUT_AUDIO)))
        return fail_unread(&content, mega_source_name(path), err);
    if (!content.name || fits)
        return 0;
    /* Converting a picture makes no recording of it. */
    const char *advice = content.kind == INPUT_IMAGE ? NULL : content.advice;
    return mega_fail(err, MEGA_ERR_INPUT, "%s is %s, but this model takes %s%s%s",
                     mega_source_name(path), content.name, expected[reader->kind],
                     advice ? "; " : "", advice ? advice : "");
}

static int open_stream(InputReader *reader, const char *path, MegaError *err)
{
    const MegaAudioOptions options = {.rate = reader->audio.sample_rate,
                                      .pcm = reader->has_pcm ? &reader->pcm : NULL,
                                      .partial = reader->partial};
    int code = mega_audio_open(&reader->stream, path, &options, err);
    const char *cut = code ? NULL : mega_audio_cut(reader->stream);
    if (cut && reader->warn)
        reader->warn(cut);
    return code;
}

int input_reader_begin(InputReader *reader, const char *path, const char *second, MegaError *err)
{
    finish(reader);
    if (second && mega_model_input_count(reader->model) < 2)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "%s was given as the second of a pair, but this model takes single inputs",
                         second);
    int code = check_kind(reader, path, err);
    if (!code && second)
        code = check_kind(reader, second, err);
    if (!code && reader->kind == INPUT_AUDIO)
        code = open_stream(reader, path, err);
    if (code)
        return code;
    reader->path = strdup(path);
    reader->second = second ? strdup(second) : NULL;
    if (!reader->path || (second && !reader->second))
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", path);
    return 0;
}

/* ---- Audio ---------------------------------------------------------------------------------- */

/* A recording's samples count against the limit of memory. */
static int check_memory(const InputReader *reader, uint64_t samples, MegaError *err)
{
    const uint64_t needed = samples * sizeof(float);
    if (needed <= reader->left)
        return 0;
    return mega_fail(err, MEGA_ERR_LIMIT,
                     "%s needs %.1f MB of memory for %" PRIu64 " samples; the limit leaves %.1f MB "
                     "beside the model; shorter windows (--window) need less",
                     mega_source_name(reader->path), (double)needed / 1e6, samples,
                     (double)reader->left / 1e6);
}

static int grow(InputReader *reader, size_t needed, MegaError *err)
{
    if (needed <= reader->capacity)
        return 0;
    size_t capacity = reader->capacity ? reader->capacity : STEP;
    while (capacity < needed)
        capacity *= 2;
    int code = check_memory(reader, capacity, err);
    if (code)
        return code;
    float *samples = realloc(reader->samples, capacity * sizeof *samples);
    if (!samples)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu samples of %s", capacity,
                         reader->path);
    reader->samples = samples;
    reader->capacity = capacity;
    return 0;
}

/* Reads until the buffer holds `wanted` samples or the recording ends. */
static int fill(InputReader *reader, size_t wanted, MegaError *err)
{
    int code = 0;
    while (!code && !reader->ended && reader->count < wanted) {
        const size_t left = wanted - reader->count, step = left < STEP ? left : STEP;
        size_t got = 0;
        code = grow(reader, reader->count + step, err);
        if (!code)
            code =
                mega_audio_read(reader->stream, reader->samples + reader->count, step, &got, err);
        reader->count += got;
        reader->ended = !code && got == 0;
    }
    return code;
}

/* Moves the start of the buffer on by n samples, which may be more than it holds. */
static int skip(InputReader *reader, size_t n, MegaError *err)
{
    while (n) {
        int code = reader->count ? 0 : fill(reader, n < STEP ? n : STEP, err);
        if (code || !reader->count)
            return code;
        const size_t dropped = n < reader->count ? n : reader->count;
        reader->count -= dropped;
        memmove(reader->samples, reader->samples + dropped,
                reader->count * sizeof *reader->samples);
        reader->base += dropped;
        n -= dropped;
    }
    return 0;
}

/* The first `used` samples of the buffer as a clip, with silence up to the model's length. */
static int make_clip(const InputReader *reader, size_t used, Input *out, MegaError *err)
{
    size_t length = reader->hop ? reader->window : used; /* of a model without a length */
    if (reader->audio.length)
        length = (size_t)reader->audio.length;
    int code = check_memory(reader, (uint64_t)reader->capacity + length, err);
    if (code)
        return code;
    out->values = calloc(length, sizeof *out->values);
    if (!out->values)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu samples of %s", length,
                         reader->path);
    memcpy(out->values, reader->samples, used * sizeof *out->values);
    mega_audio_normalize(&reader->audio, out->values, length, out->values);
    out->views[0] =
        (MegaInput){.kind = MEGA_INPUT_SAMPLES, .values = out->values, .length = length};
    out->count = 1;
    out->start = (double)reader->base / reader->audio.sample_rate;
    out->end = (double)(reader->base + used) / reader->audio.sample_rate;
    return 0;
}

/* From one window to the next; 0: there is just one clip. */
static size_t hop_of(const InputReader *reader)
{
    return reader->scanning ? (reader->window + SCAN_PARTS - 1) / SCAN_PARTS : reader->hop;
}

/* Is the recording longer than one clip? A little more may come of another rate. */
static int look_behind(InputReader *reader, bool *is_longer, MegaError *err)
{
    const size_t most = reader->audio.length ? reader->window + reader->window / SLACK
                                             : reader->window;
    int code = fill(reader, most + 1, err);
    *is_longer = reader->count > most;
    if (!code && *is_longer && !reader->audio.length)
        code = mega_fail(err, MEGA_ERR_LIMIT,
                         "%s is longer than %g s, the limit of a single clip; classify it in "
                         "pieces with --window",
                         mega_source_name(reader->path),
                         floor((double)MAX_CLIP / reader->audio.sample_rate));
    return code;
}

static int next_clip(InputReader *reader, Input *out, MegaError *err)
{
    const bool first = !reader->started;
    bool is_longer = false;
    int code = 0;
    if (!first && !hop_of(reader))
        return 0;
    if (!first) { /* another window only if the one before did not reach the end */
        code = fill(reader, reader->window + 1, err);
        if (code || reader->count <= reader->window)
            return code;
        code = skip(reader, hop_of(reader), err);
    }
    if (!code)
        code = fill(reader, reader->window, err);
    if (!code && first && !reader->hop)
        code = look_behind(reader, &is_longer, err);
    if (!code && first && !reader->count)
        code = mega_fail(err, MEGA_ERR_INPUT, "%s holds no samples; expected a recording",
                         mega_source_name(reader->path));
    if (code || !reader->count)
        return code;
    reader->started = true;
    reader->scanning |= is_longer && reader->scan;
    code = make_clip(reader, reader->count < reader->window ? reader->count : reader->window, out,
                     err);
    out->is_cut = is_longer && !reader->scan;
    out->scanned = reader->scanning;
    return code ? code : 1;
}

double input_reader_length(InputReader *reader)
{
    struct stat info;
    if (!reader->path || reader->kind != INPUT_AUDIO || stat(reader->path, &info) != 0 ||
        !S_ISREG(info.st_mode))
        return 0;
    while (!reader->ended) {
        reader->base += reader->count;
        reader->count = 0;
        if (fill(reader, STEP, NULL))
            return 0;
    }
    return (double)(reader->base + reader->count) / reader->audio.sample_rate;
}

double input_reader_clip(const InputReader *reader)
{
    return reader->kind == INPUT_AUDIO ? (double)reader->audio.length / reader->audio.sample_rate
                                       : 0;
}

/* ---- Images --------------------------------------------------------------------------------- */

static int next_image(InputReader *reader, Input *out, MegaError *err)
{
    const MegaImageFeatures *features = &reader->image;
    MegaImage image = {0};
    int code = mega_image_open(&image, reader->path, &reader->image_options, err);
    if (!code)
        code = mega_image_fit(features, &image, mega_source_name(reader->path), err);
    const size_t length =
        (size_t)features->channels * (size_t)features->width * (size_t)features->height;
    if (!code && !(out->values = malloc(length * sizeof *out->values)))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the pixels of %s",
                         mega_source_name(reader->path));
    if (!code) {
        mega_image_normalize(features, image.pixels, out->values);
        out->views[0] = (MegaInput){
            .kind = mega_model_input_kind(reader->model),
            .values = out->values,
            .length = length,
            .channels = features->channels,
            .height = features->height,
            .width = features->width,
        };
        out->count = 1;
    }
    mega_image_free(&image);
    return code ? code : 1;
}

/* ---- Text ----------------------------------------------------------------------------------- */

static int encode(const InputReader *reader, const uint8_t *text, size_t size, const char *path,
                  Input *out, MegaError *err)
{
    const char *name = mega_source_name(path);
    const char *characters = size ? (const char *)text : "";
    int32_t **ids = &out->tokens[out->count];
    size_t count = 0;
    int code = reader->ids
                   ? mega_text_parse_ids(characters, size, reader->model->config.embed.vocab, name,
                                         ids, &count, err)
                   : mega_text_encode(reader->vocab, &reader->text, characters, size, name, ids,
                                      &count, err);
    size_t unknown = 0;
    for (size_t i = 0; !code && !reader->ids && i < count; i++)
        unknown += (*ids)[i] == reader->text.unk;
    if (2 * unknown > count && reader->warn) {
        MegaError warning;
        mega_fail(&warning, MEGA_OK, "%s: the model does not know %zu of its %zu symbols", name,
                  unknown, count);
        reader->warn(warning.text);
    }
    if (!code)
        out->views[out->count++] =
            (MegaInput){.kind = MEGA_INPUT_TOKENS, .tokens = *ids, .length = count};
    return code;
}

static int read_text(const InputReader *reader, const char *path, MegaBuffer *text,
                     MegaError *err)
{
    MegaTextRules rules = mega_codec_text_rules(mega_model_meta(reader->model), MEGA_CODEC_TARGET,
                                                reader->ids, "a text");
    limit_text(&rules, reader->left);
    MegaTextFlaw flaw;
    MegaError warning;
    int code = mega_text_read(text, path, &rules, &flaw, err);
    if (!code && flaw.line && reader->warn) {
        mega_text_fail_flaw(&flaw, mega_source_name(path), &rules, &warning);
        reader->warn(warning.text);
    }
    return code;
}

static int next_text(InputReader *reader, Input *out, MegaError *err)
{
    const bool pair = mega_model_input_count(reader->model) == 2;
    MegaBuffer first = {0}, second = {0};
    int code = read_text(reader, reader->path, &first, err);
    if (!code && reader->second)
        code = read_text(reader, reader->second, &second, err);
    if (code)
        goto out;
    if (!pair || reader->second) {
        code = encode(reader, first.data, first.size, reader->path, out, err);
        if (!code && pair)
            code = encode(reader, second.data, second.size, reader->second, out, err);
        goto out;
    }
    const uint8_t *tab = first.size ? memchr(first.data, '\t', first.size) : NULL;
    const size_t head = tab ? (size_t)(tab - first.data) : 0;
    if (!tab)
        code = mega_fail(err, MEGA_ERR_INPUT,
                         "%s holds one text, but this model compares two; expected a TAB between "
                         "them, or two paths",
                         mega_source_name(reader->path));
    if (!code)
        code = encode(reader, first.data, head, reader->path, out, err);
    if (!code)
        code = encode(reader, tab + 1, first.size - head - 1, reader->path, out, err);
out:
    mega_buffer_free(&first);
    mega_buffer_free(&second);
    return code ? code : 1;
}

int input_reader_next(InputReader *reader, Input *out, MegaError *err)
{
    *out = (Input){0};
    if (!reader->path)
        return 0;
    int code;
    if (reader->kind == INPUT_AUDIO) {
        code = next_clip(reader, out, err);
    } else if (reader->started) {
        code = 0;
    } else {
        reader->started = true;
        code = reader->kind == INPUT_IMAGE ? next_image(reader, out, err)
                                           : next_text(reader, out, err);
    }
    if (code < 0)
        input_free(out);
    if (code <= 0)
        finish(reader);
    out->memory = reader->capacity * sizeof *reader->samples;
    for (int i = 0; code > 0 && i < out->count; i++)
        out->memory += out->views[i].length * sizeof(float);
    return code;
}
