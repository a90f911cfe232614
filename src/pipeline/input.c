/*
 * input.c - decodes, prepares and cuts inputs for a model; see input.h.
 *
 *   path -> MegaMedia ----> src/pipeline/preprocess.c -> MegaPrepared
 *   samples -> pcm.c ---|
 *   pixels -------------|
 *
 * Sound is cut into clips by input_sound.c, and pictures are made to fit by input_image.c.
 */
#include "src/pipeline/input.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "formats/base/input_stream.h"
#include "formats/media/image.h"
#include "formats/media/pcm.h"
#include "formats/text/tokenizer.h"
#include "formats/text/vocab.h"
#include "src/encode/session.h"
#include "src/pipeline/content.h"
#include "src/pipeline/input_reader.h"

/* ---- The reader ----------------------------------------------------------------------------- */

static int read_text_preprocess(MegaInputReader *reader, MegaError *err)
{
    const MegaMeta *meta = mega_model_meta(reader->model);
    const int rows = reader->model->config.embed.vocab;
    if (reader->ids)
        return 0;
    if (mega_meta_find(meta, "text.tokenizer"))
        return mega_tokenizer_new(&reader->tokenizer, meta, MEGA_TOKENIZER_TARGET, err);
    int code = mega_vocab_from_meta(&reader->vocab, meta, MEGA_VOCAB_KEY, err);
    if (!code)
        code = mega_text_preprocess_read(&reader->text, meta, err);
    if (code)
        return code;
    const MegaTextPreprocess *text = &reader->text;
    if (mega_vocab_count(reader->vocab) > rows || text->cls >= rows || text->eos >= rows ||
        text->unk >= rows)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "the model's vocabulary (%d symbols) or the ids of text.cls, text.eos and "
                         "text.unk (%d, %d, %d) go beyond its %d embeddings",
                         mega_vocab_count(reader->vocab), text->cls, text->eos, text->unk, rows);
    return 0;
}

static int read_image_preprocess(MegaInputReader *reader, MegaError *err)
{
    const MegaEmbedConfig *embed = &reader->model->config.embed;
    int code = mega_image_preprocess_read(&reader->image, mega_model_meta(reader->model), err);
    if (code)
        return code;
    reader->image.interleaved = embed->kind == MEGA_EMBED_FRAMES;
    if (embed->kind == MEGA_EMBED_FRAMES
            ? reader->image.channels != embed->frame_length ||
                  embed->frame_length != embed->frame_hop
        : embed->kind == MEGA_EMBED_PATCHES
            ? reader->image.channels != embed->channels || reader->image.width != embed->width ||
                  reader->image.height != embed->height
            : reader->image.channels != 1)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "the model's description of its images (%d x %d pixels, %d channels) does "
                         "not fit its embedding",
                         reader->image.width, reader->image.height, reader->image.channels);
    return 0;
}

/* Reads how recordings are prepared. At rate r (MegaSessionOptions.rate) the model takes them at
 * 1/r of its own sampling rate, and the length of a clip is divided by r, too. */
static int read_audio_preprocess(MegaInputReader *reader, MegaError *err)
{
    MegaAudioPreprocess *audio = &reader->audio;
    int code = mega_audio_preprocess_read(audio, mega_model_meta(reader->model), err);
    if (code || reader->rate == 1)
        return code;
    const double hertz = audio->sample_rate / reader->rate;
    if (hertz < MEGA_AUDIO_MIN_RATE || hertz > MEGA_AUDIO_MAX_RATE)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a rate of %g makes %g Hz of the model's %d Hz; recordings have %d to %d "
                         "Hz",
                         reader->rate, hertz, audio->sample_rate, MEGA_AUDIO_MIN_RATE,
                         MEGA_AUDIO_MAX_RATE);
    audio->sample_rate = (int)lround(hertz);
    audio->length = (int64_t)ceil((double)audio->length / reader->rate);
    return 0;
}

static int read_preprocess(MegaInputReader *reader, MegaError *err)
{
    const MegaMeta *meta = mega_model_meta(reader->model);
    const MegaInputKind kind = mega_model_input_kind(reader->model);
    if (kind == MEGA_INPUT_TOKENS) {
        reader->kind = MEGA_CONTENT_TEXT;
        return read_text_preprocess(reader, err);
    }
    if (mega_model_input_count(reader->model) > 1)
        return mega_fail(
            err, MEGA_ERR_UNSUPPORTED,
            "this model compares two inputs that are not text; only arrays can feed it");
    if (kind == MEGA_INPUT_SAMPLES && mega_meta_find(meta, "audio.sample_rate")) {
        reader->kind = MEGA_CONTENT_SOUND;
        return read_audio_preprocess(reader, err);
    }
    if (mega_meta_find(meta, "image.width")) {
        reader->kind = MEGA_CONTENT_PICTURE;
        return read_image_preprocess(reader, err);
    }
    return mega_fail(
        err, MEGA_ERR_MODEL,
        "the model file has no description of preprocessing: convert it again with mean and "
        "deviation of its %s, or feed it with arrays",
        kind == MEGA_INPUT_IMAGE ? "pixels" : "sound or pixels");
}

/* Converts seconds to samples. Returns 0 if the result is out of range. */
static size_t seconds_to_samples(double seconds, int rate)
{
    const double samples = round(seconds * rate);
    return samples >= 1 && samples <= (double)MEGA_INPUT_MAX_CLIP ? (size_t)samples : 0;
}

static int set_window(MegaInputReader *reader, const MegaPipelineOptions *options, MegaError *err)
{
    const int rate = reader->audio.sample_rate;
    const double window = options->window, hop = options->hop != 0 ? options->hop : window;
    if (options->window == 0)
        return options->hop == 0
                   ? 0
                   : mega_fail(err, MEGA_ERR_ARGUMENT, "a hop needs a window as well");
    reader->window = seconds_to_samples(window, rate);
    reader->hop = seconds_to_samples(hop, rate);
    if (!reader->window || !reader->hop)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a window of %g s every %g s makes no sense; expected times above 0 and "
                         "at most %g s",
                         window, hop, floor((double)MEGA_INPUT_MAX_CLIP / rate));
    if (reader->audio.length && reader->window > (uint64_t)reader->audio.length)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a window of %g s is too long: this model takes clips of at most %g s",
                         window, (double)reader->audio.length / rate);
    return 0;
}

/* Checks how a program, and no file, describes samples. */
static int check_pcm(const MegaPcm *pcm, const char *name, MegaError *err)
{
    MegaError wrong;
    if (pcm->format < MEGA_PCM_U8 || pcm->format > MEGA_PCM_F32LE)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "%s has samples of an unknown format, %d", name,
                         (int)pcm->format);
    return mega_pcm_check(name, pcm->rate, pcm->channels, &wrong)
               ? mega_fail(err, MEGA_ERR_ARGUMENT, "%s", wrong.text)
               : 0;
}

static int set_options(MegaInputReader *reader, const MegaPipelineOptions *options, MegaError *err)
{
    const bool audio = reader->kind == MEGA_CONTENT_SOUND;
    if (!audio && (options->window != 0 || options->hop != 0 || options->raw))
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "window, hop and raw samples are for audio, but this model takes %s",
                         reader->kind == MEGA_CONTENT_PICTURE ? "images" : "text");
    if (reader->rate != 1 && !audio)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a rate is for audio, but this model takes %s",
                         reader->kind == MEGA_CONTENT_PICTURE ? "images" : "text");
    if (options->ids && reader->kind != MEGA_CONTENT_TEXT)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "token ids are for text, but this model takes %s",
                         audio ? "audio" : "images");
    const uint64_t model = mega_model_memory(reader->model), limit = options->session.max_memory;
    reader->left = limit == 0 ? UINT64_MAX : limit > model ? limit - model : 1;
    reader->image_options = (MegaImageOptions){.keep_orientation = options->keep_orientation,
                                               .max_memory = limit ? reader->left : 0,
                                               .open_file = mega_source_open};
    reader->has_pcm = options->raw != NULL;
    if (options->raw) {
        int code = check_pcm(options->raw, "the format of raw samples", err);
        if (code)
            return code;
        reader->pcm = *options->raw;
    }
    if (!audio)
        return 0;
    /* Without a window a recording is one clip, of the model's length or of any length. */
    reader->window = reader->audio.length ? (size_t)reader->audio.length : MEGA_INPUT_MAX_CLIP;
    return set_window(reader, options, err);
}

static int check_media(const MegaMedia *media, MegaError *err)
{
    const int functions = !!media->open_sound + !!media->read_sound + !!media->close_sound;
    return functions == 0 || functions == 3
               ? 0
               : mega_fail(err, MEGA_ERR_ARGUMENT,
                           "a MegaMedia has some of open_sound, read_sound and close_sound, and "
                           "not the others; expected all of them or none");
}

int mega_input_reader_new(MegaInputReader **out, const MegaModel *model,
                          const MegaPipelineOptions *options, MegaError *err)
{
    *out = NULL;
    MegaInputReader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading inputs");
    reader->model = model;
    reader->ids = options->ids;
    reader->rate = options->session.rate != 0 ? options->session.rate : 1;
    reader->media = options->media;
    reader->warning = (MegaWarning){options->warn, options->warn_context};
    reader->scan = options->scan;
    reader->partial = options->partial;
    int code = options->media ? check_media(options->media, err) : 0;
    if (!code)
        code = read_preprocess(reader, err);
    if (!code)
        code = set_options(reader, options, err);
    if (code) {
        mega_input_reader_free(reader);
        return code;
    }
    *out = reader;
    return 0;
}

/* Frees what was peeked of pipes that will not be opened. */
static void forget_pipes(const MegaRaw *inputs, int count)
{
    for (int i = 0; i < count; i++)
        if (inputs[i].kind == MEGA_RAW_PATH && inputs[i].data)
            mega_source_forget(inputs[i].data);
}

void mega_input_end(MegaInputReader *reader)
{
    if (!reader->started)
        forget_pipes(reader->raw, reader->count_raw);
    if (reader->stream)
        reader->media->close_sound(reader->stream);
    mega_resampler_free(reader->resampler);
    free(reader->block);
    for (int i = 0; i < 2; i++) {
        free(reader->path[i]);
        reader->path[i] = NULL;
    }
    reader->stream = NULL;
    reader->resampler = NULL;
    reader->block = NULL;
    reader->count_raw = 0;
    reader->started = reader->ended = reader->scanning = false;
    reader->count = reader->taken = 0;
    reader->base = 0;
}

void mega_input_let_go(MegaInputReader *reader)
{
    if (reader->resampler)
        reader->raw[0].size = reader->taken;
}

void mega_input_reader_free(MegaInputReader *reader)
{
    if (!reader)
        return;
    mega_input_end(reader);
    mega_vocab_free(reader->vocab);
    mega_tokenizer_free(reader->tokenizer);
    free(reader->samples);
    free(reader);
}

int mega_prepared_run(const MegaPrepared *input, MegaSession *session, float *logits,
                      MegaError *err)
{
    int code = mega_session_count(session, 0, input->memory, "the input", err);
    if (code)
        return code;
    code = mega_session_classify(session, input->views, input->count, logits, err);
    mega_session_count(session, input->memory, 0, NULL, NULL);
    return code;
}

void mega_prepared_free(MegaPrepared *input)
{
    free(input->values);
    free(input->tokens[0]);
    free(input->tokens[1]);
    free(input->types);
    *input = (MegaPrepared){0};
}

static const char *const expected[] = {
    [MEGA_CONTENT_SOUND] = "a recording",
    [MEGA_CONTENT_PICTURE] = "an image",
    [MEGA_CONTENT_TEXT] = "text",
};
_Static_assert(sizeof expected / sizeof expected[0] == MEGA_CONTENT_COUNT,
               "a kind of input has no name");

/* Refuses, for instance, an image for a speech model. Content that is not recognised is left to the
 * decoders. */
static int check_path(const MegaInputReader *reader, const char *path, MegaError *err)
{
    if (reader->has_pcm || reader->ids)
        return 0;
    const MegaContent content = mega_content_read(path, reader->media);
    const bool fits = content.kind == reader->kind;
    if (content.unread && (fits || (!content.kind && reader->kind == MEGA_CONTENT_SOUND)))
        return mega_content_fail_unread(&content, mega_source_name(path), err);
    if (!content.name || fits)
        return 0;
    /* The advice for a picture is how to convert it, which does not make it a recording. */
    const char *advice = content.kind == MEGA_CONTENT_PICTURE ? NULL : content.advice;
    return mega_fail(err, MEGA_ERR_INPUT, "%s is %s, but this model takes %s%s%s",
                     mega_source_name(path), content.name, expected[reader->kind],
                     advice ? "; " : "", advice ? advice : "");
}

/* Returns whether the program's functions open files of the kind that the model takes. */
static bool opens_files(const MegaInputReader *reader)
{
    return reader->media && (reader->kind == MEGA_CONTENT_SOUND ? !!reader->media->open_sound
                                                                : !!reader->media->open_picture);
}

/* Checks an input that the program has in memory, or a path. */
static int check_raw(const MegaInputReader *reader, const MegaRaw *raw, MegaError *err)
{
    static const MegaContentKind kinds[] = {
        [MEGA_RAW_TEXT] = MEGA_CONTENT_TEXT,
        [MEGA_RAW_PCM] = MEGA_CONTENT_SOUND,
        [MEGA_RAW_PIXELS] = MEGA_CONTENT_PICTURE,
    };
    if (raw->kind == MEGA_RAW_PATH) {
        int code = check_path(reader, raw->data, err);
        if (!code && reader->kind != MEGA_CONTENT_TEXT && !opens_files(reader))
            code = mega_fail(err, MEGA_ERR_UNSUPPORTED,
                             "%s cannot be opened: this program reads no files of %s, since it "
                             "gives the pipeline no MegaMedia that opens them",
                             mega_raw_name(raw),
                             reader->kind == MEGA_CONTENT_SOUND ? "sound" : "pictures");
        return code;
    }
    if (kinds[raw->kind] != reader->kind)
        return mega_fail(err, MEGA_ERR_INPUT, "%s is %s, but this model takes %s",
                         mega_raw_name(raw), expected[kinds[raw->kind]], expected[reader->kind]);
    return 0;
}

static int open_stream(MegaInputReader *reader, const char *path, MegaError *err)
{
    const MegaAudioOptions options = {.rate = reader->audio.sample_rate,
                                      .pcm = reader->has_pcm ? &reader->pcm : NULL,
                                      .partial = reader->partial,
                                      .open_file = mega_source_open};
    int code = reader->media->open_sound(&reader->stream, path, &options, err);
    const char *cut =
        code || !reader->media->sound_cut ? NULL : reader->media->sound_cut(reader->stream);
    if (cut)
        mega_warn(&reader->warning, cut);
    return code;
}

/* Gives the next frames of samples that are in memory. */
static int give_frames(void *context, MegaFrames *out, MegaError *err)
{
    MegaInputReader *reader = context;
    const MegaRaw *raw = &reader->raw[0];
    const size_t channels = (size_t)raw->pcm.channels;
    const size_t frame = mega_pcm_size(raw->pcm.format) * channels;
    const size_t left = (raw->size - reader->taken) / frame;
    const size_t count = left < MEGA_PCM_BLOCK ? left : MEGA_PCM_BLOCK;
    (void)err;
    if (count)
        mega_pcm_decode(raw->pcm.format, (const uint8_t *)raw->data + reader->taken,
                        count * channels, reader->block);
    reader->taken += count * frame;
    *out = (MegaFrames){reader->block, count, raw->pcm.rate, raw->pcm.channels};
    return 0;
}

static int open_samples(MegaInputReader *reader, MegaError *err)
{
    const MegaRaw *raw = &reader->raw[0];
    const char *name = mega_raw_name(raw);
    int code = check_pcm(&raw->pcm, name, err);
    if (code)
        return code;
    reader->block = malloc(MEGA_PCM_BLOCK * (size_t)raw->pcm.channels * sizeof *reader->block);
    if (!reader->block)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", name);
    reader->whole = mega_pcm_converted(
        raw->size / (mega_pcm_size(raw->pcm.format) * (size_t)raw->pcm.channels), raw->pcm.rate,
        reader->audio.sample_rate);
    return mega_resampler_new(&reader->resampler, name, raw->pcm.rate, reader->audio.sample_rate,
                              give_frames, reader, err);
}

/* Copies paths, because the caller may change them before the next clip. */
static int keep_raw(MegaInputReader *reader, const MegaRaw *raw, MegaError *err)
{
    const int i = reader->count_raw;
    reader->raw[i] = *raw;
    if (raw->kind == MEGA_RAW_PATH) {
        reader->path[i] = strdup(raw->data);
        if (!reader->path[i])
            return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s",
                             (const char *)raw->data);
        reader->raw[i].data = reader->path[i];
    }
    reader->count_raw++;
    return 0;
}

int mega_input_reader_begin(MegaInputReader *reader, const MegaRaw *inputs, int count,
                            MegaError *err)
{
    mega_input_end(reader);
    if (count < 1 || count > 2)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "%d inputs at a time; expected one, or a pair",
                         count);
    int code = 0;
    for (int i = 0; i < count && !code; i++)
        code = mega_raw_check(&inputs[i], err);
    if (code) {
        forget_pipes(inputs, count);
        return code;
    }
    if (count > 1 && mega_model_input_count(reader->model) < 2 && !reader->tokenizer)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "%s was given as the second of a pair, but this model takes single inputs",
                         mega_raw_name(&inputs[1]));
    for (int i = 0; i < count && !code; i++)
        code = check_raw(reader, &inputs[i], err);
    for (int i = 0; i < count && !code; i++)
        code = keep_raw(reader, &inputs[i], err);
    if (!code && reader->kind == MEGA_CONTENT_SOUND)
        code = inputs[0].kind == MEGA_RAW_PATH ? open_stream(reader, reader->path[0], err)
                                               : open_samples(reader, err);
    if (code) {
        mega_input_end(reader);
        forget_pipes(inputs, count);
    }
    return code;
}

int mega_input_reader_open(MegaInputReader *reader, const char *path, const char *second,
                           MegaError *err)
{
    const MegaRaw inputs[] = {{.kind = MEGA_RAW_PATH, .data = path},
                              {.kind = MEGA_RAW_PATH, .data = second}};
    return mega_input_reader_begin(reader, inputs, second ? 2 : 1, err);
}

/* ---- Text ----------------------------------------------------------------------------------- */

static int encode(const MegaInputReader *reader, const uint8_t *text, size_t size, const char *name,
                  MegaPrepared *out, MegaError *err)
{
    const char *characters = size ? (const char *)text : "";
    int32_t **ids = &out->tokens[out->count];
    size_t count = 0;
    int code = reader->ids
                   ? mega_text_parse_ids(characters, size, reader->model->config.embed.vocab, name,
                                         ids, &count, err)
                   : mega_text_encode(reader->vocab, &reader->text, characters, size, name, ids,
                                      &count, err);
    if (code)
        return code;
    if (!reader->ids)
        mega_warn_of_unknown(&reader->warning, *ids, count, reader->text.unk, name);
    out->views[out->count++] =
        (MegaInput){.kind = MEGA_INPUT_TOKENS, .tokens = *ids, .length = count};
    return 0;
}

static int read_bytes(const MegaInputReader *reader, const MegaRaw *raw, MegaBuffer *out,
                      MegaError *err)
{
    const size_t limit =
        reader->left < MEGA_TEXT_MAX_SIZE ? (size_t)reader->left : MEGA_TEXT_MAX_SIZE;
    return mega_raw_read_bytes(raw, limit, out, err);
}

/* Encodes a text, or a pair as one sequence. */
static int encode_texts(const MegaInputReader *reader, const MegaBuffer *texts, int count,
                        MegaPrepared *out, MegaError *err)
{
    const MegaEncodeOptions options = {0};
    MegaTokenized tokenized = {0};
    MegaTokens tokens = {0};
    const MegaTexts both = {.first = texts[0].size ? (const char *)texts[0].data : "",
                            .first_size = texts[0].size,
                            .second =
                                count < 2 || !texts[1].size ? NULL : (const char *)texts[1].data,
                            .second_size = texts[1].size};
    MegaError inner = {0};
    int code = mega_tokenizer_encode_texts(reader->tokenizer, &both, &options, &tokenized, &inner);
    if (!code)
        code = mega_tokenized_window(&tokenized, 0, &tokens, &inner);
    if (code)
        mega_fail(err, code, "%s: %s", mega_input_name(reader), inner.text);
    out->tokens[0] = malloc((tokens.count + 1) * sizeof *out->tokens[0]);
    out->types = malloc((tokens.count + 1) * sizeof *out->types);
    if (!code && (!out->tokens[0] || !out->types))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text");
    for (size_t i = 0; i < tokens.count && !code; i++) {
        out->tokens[0][i] = tokens.data[i].id;
        out->types[i] = tokens.data[i].type;
    }
    out->count = 1;
    out->views[0] =
        (MegaInput){.kind = MEGA_INPUT_TOKENS,
                    .tokens = out->tokens[0],
                    .length = tokens.count,
                    .types = mega_tokenizer_has_types(reader->tokenizer) ? out->types : NULL};
    mega_tokens_free(&tokens);
    mega_tokenized_free(&tokenized);
    return code;
}

static int next_hub_text(MegaInputReader *reader, MegaPrepared *out, MegaError *err)
{
    MegaBuffer texts[2] = {{0}, {0}};
    int code = 0;
    for (int i = 0; i < reader->count_raw && !code; i++)
        code = read_bytes(reader, &reader->raw[i], &texts[i], err);
    if (!code)
        code = encode_texts(reader, texts, reader->count_raw, out, err);
    mega_buffer_free(&texts[0]);
    mega_buffer_free(&texts[1]);
    return code ? code : 1;
}

static MegaTextRules text_rules(const MegaInputReader *reader)
{
    MegaTextRules rules = mega_tokenizer_text_rules(mega_model_meta(reader->model),
                                                    MEGA_TOKENIZER_TARGET, reader->ids, "a text");
    mega_text_limit(&rules, reader->left);
    return rules;
}

int mega_input_reader_tokens(MegaInputReader *reader, const MegaRaw *text, MegaIds *out,
                             MegaError *err)
{
    const MegaTextRules rules = text_rules(reader);
    MegaPrepared prepared = {0};
    MegaBuffer bytes = {0};
    if (reader->tokenizer) {
        MegaBuffer texts[2] = {{0}, {0}};
        int failed = read_bytes(reader, text, &texts[0], err);
        if (!failed)
            failed = encode_texts(reader, texts, 1, &prepared, err);
        mega_buffer_free(&texts[0]);
        free(prepared.types);
        *out = failed ? (MegaIds){0} : (MegaIds){prepared.tokens[0], prepared.views[0].length};
        if (failed)
            free(prepared.tokens[0]);
        return failed;
    }
    int code = reader->kind == MEGA_CONTENT_TEXT
                   ? mega_raw_read_text(text, &rules, &reader->warning, &bytes, err)
                   : mega_fail(err, MEGA_ERR_ARGUMENT, "the model takes %s, which has no tokens",
                               expected[reader->kind]);
    if (!code)
        code = encode(reader, bytes.data, bytes.size, mega_raw_name(text), &prepared, err);
    mega_buffer_free(&bytes);
    if (code)
        mega_prepared_free(&prepared);
    else
        *out = (MegaIds){prepared.tokens[0], prepared.views[0].length};
    return code;
}

const MegaVocab *mega_input_reader_vocab(const MegaInputReader *reader)
{
    return reader->tokenizer ? mega_tokenizer_vocab(reader->tokenizer) : reader->vocab;
}

const MegaTokenizer *mega_input_reader_tokenizer(const MegaInputReader *reader)
{
    return reader->tokenizer;
}

static int next_text(MegaInputReader *reader, MegaPrepared *out, MegaError *err)
{
    const MegaTextRules rules = text_rules(reader);
    const bool pair = mega_model_input_count(reader->model) == 2;
    const char *name = mega_input_name(reader);
    if (reader->tokenizer)
        return next_hub_text(reader, out, err);
    MegaBuffer text[2] = {0};
    int code = 0;
    for (int i = 0; i < reader->count_raw && !code; i++)
        code = mega_raw_read_text(&reader->raw[i], &rules, &reader->warning, &text[i], err);
    const uint8_t *whole = text[0].data;
    const size_t size = text[0].size;
    if (!code && (!pair || reader->count_raw == 2)) {
        code = encode(reader, whole, size, name, out, err);
        if (!code && pair)
            code = encode(reader, text[1].data, text[1].size, mega_raw_name(&reader->raw[1]), out,
                          err);
    } else if (!code) {
        const uint8_t *tab = size ? memchr(whole, '\t', size) : NULL;
        const size_t head = tab ? (size_t)(tab - whole) : 0;
        if (!tab)
            code = mega_fail(err, MEGA_ERR_INPUT,
                             "%s holds one text, but this model compares two; expected a TAB "
                             "between them, or two paths",
                             name);
        if (!code)
            code = encode(reader, whole, head, name, out, err);
        if (!code)
            code = encode(reader, tab + 1, size - head - 1, name, out, err);
    }
    mega_buffer_free(&text[0]);
    mega_buffer_free(&text[1]);
    return code ? code : 1;
}

int mega_input_reader_next(MegaInputReader *reader, MegaPrepared *out, MegaError *err)
{
    *out = (MegaPrepared){0};
    if (!reader->count_raw)
        return 0;
    int code;
    if (reader->kind == MEGA_CONTENT_SOUND) {
        code = mega_input_next_clip(reader, out, err);
    } else if (reader->started) {
        code = 0;
    } else {
        reader->started = true;
        code = reader->kind == MEGA_CONTENT_PICTURE ? mega_input_next_image(reader, out, err)
                                                    : next_text(reader, out, err);
    }
    if (code < 0) {
        mega_prepared_free(out);
        forget_pipes(reader->raw, reader->count_raw); /* the second of a pair may be left */
    }
    if (code <= 0)
        mega_input_end(reader);
    out->memory = reader->capacity * sizeof *reader->samples;
    for (int i = 0; code > 0 && i < out->count; i++)
        out->memory += out->views[i].length * sizeof(float);
    return code;
}
