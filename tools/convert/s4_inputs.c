/*
 * s4_inputs.c - see s4_inputs.h.
 */
#include "tools/convert/s4_inputs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/text_input.h"
#include "formats/text/vocab.h"
#include "tools/convert/families/s4.h"

#define MAX_VOCAB_FILE (1u << 26) /* bytes */
#define MAX_VOCAB_MEMORY (UINT64_C(1) << 29)

static const char *data_name(const json_t *args)
{
    const char *name = argument_string(s4_section(args, "dataset"), "_name_", NULL);
    return name ? name : "";
}

/* Returns a flag of the data, or what its absence means. */
static bool flag(const json_t *data, const char *name, bool absent)
{
    const json_t *value = argument(data, name, NULL);
    return json_is_boolean(value) ? json_is_true(value) : absent;
}

/* ---- Texts ---------------------------------------------------------------------------------- */

/* Reads a vocabulary as a JSON list of tokens, whose ids are their places. */
static int read_vocab(json_t **out, const char *path, int rows, MegaError *err)
{
    const MegaTextRules rules = {
        .what = "a vocabulary in JSON", .marks_inside = true, .limit = MAX_VOCAB_FILE};
    MegaBuffer text = {0};
    json_error_t error = {.line = -1};
    int code = mega_text_read(&text, path, &rules, NULL, err);
    if (!code && mega_checkpoint_json_cost((const char *)text.data, text.size) > MAX_VOCAB_MEMORY)
        code =
            mega_fail(err, MEGA_ERR_LIMIT, "%s: the vocabulary needs more than %.1f MB of memory",
                      path, (double)MAX_VOCAB_MEMORY / 1e6);
    *out = code ? NULL : json_loadb(text.size ? (const char *)text.data : "", text.size, 0, &error);
    mega_buffer_free(&text);
    if (code)
        return code;
    if (!json_is_array(*out))
        return mega_fail(err, MEGA_ERR_FORMAT, "%s: %s", path,
                         *out ? "not a JSON list of tokens" : error.text);
    if (json_array_size(*out) != (size_t)rows)
        return mega_fail(err, MEGA_ERR_MODEL, "%s has %zu tokens, but the embedding has %d rows",
                         path, json_array_size(*out), rows);
    for (size_t i = 0; i < json_array_size(*out); i++)
        if (!json_is_string(json_array_get(*out, i)))
            return mega_fail(err, MEGA_ERR_FORMAT, "%s: token %zu is not text", path, i);
    return 0;
}

/* Returns the id of a token, or -1. The last of several equal ones counts. */
static int id_of(const json_t *vocab, const char *token)
{
    for (size_t i = json_array_size(vocab); i > 0; i--)
        if (strcmp(json_string_value(json_array_get(vocab, i - 1)), token) == 0)
            return (int)(i - 1);
    return -1;
}

static int write_vocab(MegaMeta *meta, const json_t *vocab, MegaError *err)
{
    const size_t count = json_array_size(vocab);
    const char **symbols = calloc(count + 1, sizeof *symbols);
    int code = symbols ? 0 : MEGA_ERR_MEMORY;
    for (size_t i = 0; i < count && !code; i++)
        symbols[i] = json_string_value(json_array_get(vocab, i));
    if (!code)
        code = mega_meta_set_strings(meta, MEGA_VOCAB_KEY, symbols, count);
    free(symbols);
    return code ? mega_fail(err, code, "the vocabulary cannot be stored: too long, or no memory")
                : 0;
}

/* Finds a token that the arguments ask for. */
static int need_token(const json_t *vocab, const char *token, const char *path, int *out,
                      MegaError *err)
{
    *out = id_of(vocab, token);
    return *out >= 0 ? 0
                     : mega_fail(err, MEGA_ERR_MODEL, "%s has no token '%s', which the model needs",
                                 path, token);
}

/* Returns the length at which a text is cut if the arguments do not say it, by the name of the
 * data. */
static int usual_length(const char *name)
{
    return strcmp(name, "listops") == 0 ? 2048
           : strcmp(name, "imdb") == 0  ? 4096
           : strcmp(name, "aan") == 0   ? 4000
                                        : 0;
}

static int write_text(MegaMeta *meta, const MetadataOptions *options, const MegaConfig *config,
                      const json_t *args, MegaError *err)
{
    const json_t *data = s4_section(args, "dataset");
    const bool expressions = strcmp(data_name(args), "listops") == 0;
    MegaTextPreprocess text = {.unit = expressions ? MEGA_TEXT_SYMBOLS : MEGA_TEXT_CHARACTERS,
                               .cls = -1,
                               .eos = -1,
                               .expressions = expressions};
    json_t *vocab = NULL;
    if (!options->vocab) {
        metadata_note(options, "no --vocab: the model takes token ids only, not text");
        return 0;
    }
    if (options->text_unit >= 0)
        text.unit = (MegaTextUnit)options->text_unit;
    int code = read_vocab(&vocab, options->vocab, config->embed.vocab, err);
    if (!code)
        code =
            argument_integer(data, "l_max", NULL, usual_length(data_name(args)), &text.limit, err);
    if (!code)
        code = need_token(vocab, "<unk>", options->vocab, &text.unk, err);
    if (!code && flag(data, "append_bos", false))
        code = need_token(vocab, "<bos>", options->vocab, &text.cls, err);
    if (!code && flag(data, "append_eos", true))
        code = need_token(vocab, "<eos>", options->vocab, &text.eos, err);
    if (!code)
        code = write_vocab(meta, vocab, err);
    if (!code)
        code = mega_text_preprocess_write(&text, meta, err);
    json_decref(vocab);
    return code;
}

/* ---- Pictures ------------------------------------------------------------------------------- */

static void set_statistics(MegaImagePreprocess *image, const double *mean, const double *std)
{
    for (int i = 0; i < image->channels; i++) {
        image->mean[i] = (float)mean[i];
        image->std[i] = (float)std[i];
    }
}

/* Fills in a picture's size and statistics by the name of the data. Returns false if these are no
 * pictures. */
static bool describe_image(MegaImagePreprocess *image, const json_t *args, int channels,
                           bool example)
{
    static const double cifar_mean[] = {0.4914, 0.4822, 0.4465},
                        cifar_std[] = {0.247, 0.243, 0.261};
    static const double script_std[] = {0.2023, 0.1994, 0.2010};
    static const double gray_mean[] = {122.6 / 255}, gray_std[] = {61.0 / 255};
    static const double none[] = {0, 0, 0}, one[] = {1, 1, 1}, half[] = {0.5, 0.5, 0.5};
    const json_t *data = s4_section(args, "dataset");
    const char *name = example ? "cifar" : data_name(args);
    *image = (MegaImagePreprocess){.channels = channels, .fit = MEGA_FIT_EXACT};
    if (strcmp(name, "cifar") == 0) {
        image->width = image->height = 32;
        set_statistics(image, channels == 1 ? gray_mean : cifar_mean,
                       channels == 1 ? gray_std
                       : example     ? script_std
                                     : cifar_std);
    } else if (strcmp(name, "mnist") == 0) {
        image->width = image->height = 28;
        image->bit_reversed = flag(data, "permute", true);
        set_statistics(image, none, one);
    } else if (strcmp(name, "pathfinder") == 0 || strcmp(name, "pathx") == 0) {
        const bool center = flag(data, "center", true);
        const int usual = strcmp(name, "pathx") == 0 ? 128 : 32;
        image->width = image->height = (int)argument_number(data, "resolution", NULL, usual);
        set_statistics(image, center ? half : none, center ? half : one);
    } else {
        return false;
    }
    return image->width >= 1 && image->width <= 4096;
}

/* Replaces the statistics of the data by those of the options. */
static int override_statistics(MegaImagePreprocess *image, const MetadataOptions *options,
                               MegaError *err)
{
    const struct {
        const double *values;
        int count;
        float *out;
    } given[] = {{options->pixel_mean, options->pixel_mean_count, image->mean},
                 {options->pixel_std, options->pixel_std_count, image->std}};
    for (size_t i = 0; i < 2; i++) {
        if (given[i].count > 1 && given[i].count != image->channels)
            return mega_fail(err, MEGA_ERR_ARGUMENT,
                             "the pixels' mean and deviation must be one number, or %d",
                             image->channels);
        for (int c = 0; c < image->channels && given[i].count; c++)
            given[i].out[c] = (float)given[i].values[given[i].count == 1 ? 0 : c];
    }
    return 0;
}

static int write_image(MegaMeta *meta, const MetadataOptions *options, MegaImagePreprocess *image,
                       const json_t *args, MegaError *err)
{
    int code = override_statistics(image, options, err);
    if (!code)
        code = metadata_image_fit(image, args, err);
    return code ? code : mega_image_preprocess_write(image, meta, err);
}

/* ---- Sound ---------------------------------------------------------------------------------- */

/* Writes the labels of speech commands, in the order of the data. */
static int write_commands(MegaMeta *meta, const json_t *args, int classes, MegaError *err)
{
    static const char *const all[] = {
        "bed",  "cat",   "down",  "five",   "forward", "go",    "house",  "left", "marvin",
        "no",   "on",    "right", "sheila", "tree",    "up",    "visual", "yes",  "backward",
        "bird", "dog",   "eight", "follow", "four",    "happy", "learn",  "nine", "off",
        "one",  "seven", "six",   "stop",   "three",   "two",   "wow",    "zero"};
    static const char *const some[] = {"yes",   "no",  "up", "down", "left",
                                       "right", "off", "on", "stop", "go"};
    const bool every = flag(s4_section(args, "dataset"), "all_classes", false);
    const int count =
        every ? (int)(sizeof all / sizeof all[0]) : (int)(sizeof some / sizeof some[0]);
    if (count != classes || mega_meta_find(meta, "labels"))
        return 0;
    int code = mega_meta_set_strings(meta, "labels", every ? all : some, (size_t)count);
    return code ? mega_fail(err, code, "no memory for the labels") : 0;
}

static int write_sound(MegaMeta *meta, const MetadataOptions *options, const json_t *args,
                       int classes, MegaError *err)
{
    MegaAudioPreprocess audio = {0};
    int length = (int)options->audio_length, code;
    code = argument_integer(args, "sample_rate", NULL, 16000, &audio.sample_rate, err);
    if (!code && length < 0)
        code = argument_integer(s4_section(args, "dataset"), "length", NULL, 16000, &length, err);
    if (!code)
        code = write_commands(meta, args, classes, err);
    if (code)
        return code;
    if (options->audio_rate > 0)
        audio.sample_rate = (int)options->audio_rate;
    audio.length = length;
    audio.mean = isnan(options->audio_mean) ? argument_number(args, "audio_mean", NULL, NAN)
                                            : options->audio_mean;
    audio.std = isnan(options->audio_std) ? argument_number(args, "audio_std", NULL, NAN)
                                          : options->audio_std;
    if (isnan(audio.mean) || isnan(audio.std)) {
        metadata_note(
            options, "no --audio-mean and --audio-std: the model runs with 'mega-run forward', but "
                     "cannot read recordings");
        return 0;
    }
    return mega_audio_preprocess_write(&audio, meta, err);
}

int write_s4_inputs(MegaMeta *meta, const MetadataOptions *options,
                    const Architecture *architecture, const json_t *args, MegaError *err)
{
    const MegaConfig *config = &architecture->config;
    const bool example = strstr(architecture->family, "example") != NULL;
    const int channels = config->embed.kind == MEGA_EMBED_FRAMES ? config->embed.frame_length : 1;
    MegaImagePreprocess image;
    if (mega_config_input_kind(config) == MEGA_INPUT_TOKENS)
        return write_text(meta, options, config, args, err);
    const bool sound = strcmp(data_name(args), "sc") == 0 ||
                       (channels == 1 && !isnan(options->audio_mean));
    if (sound)
        return write_sound(meta, options, args, config->head.classes, err);
    if ((channels == 1 || channels == 3) && describe_image(&image, args, channels, example))
        return write_image(meta, options, &image, args, err);
    metadata_note(options,
                  "the arguments do not say what the inputs are (dataset._name_): the model runs "
                  "with 'mega-run forward', but reads no files of sound and pictures");
    return 0;
}
