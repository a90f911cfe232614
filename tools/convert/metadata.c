/*
 * metadata.c - see metadata.h. Options of the command line override arguments of the checkpoint.
 */
#include "tools/convert/metadata.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/text/text_input.h"
#include "formats/text/vocab.h"
#include "src/layers/s4.h"
#include "tools/common/messages.h"
#include "tools/convert/families/detection.h"
#include "tools/convert/hub_tokenizer.h"
#include "tools/convert/hub_units.h"
#include "tools/convert/s4_inputs.h"

#define MAX_LABELS_FILE (1u << 24)

void metadata_note(const MetadataOptions *options, const char *sentence)
{
    if (!options->quiet)
        report("note: %s", sentence);
}

/* ---- Provenance ----------------------------------------------------------------------------- */

int metadata_set_texts(MegaMeta *meta, const MetaText *texts, size_t count, MegaError *err)
{
    int code = 0;
    for (size_t i = 0; i < count && !code; i++)
        if (texts[i].value)
            code = mega_meta_set_string(meta, texts[i].key, texts[i].value);
    if (code == MEGA_ERR_MEMORY)
        return mega_fail(err, code, "no memory for the metadata");
    return code ? mega_fail(err, code,
                            "the provenance texts cannot be stored: not UTF-8, or too long")
                : 0;
}

int metadata_set_provenance(MegaMeta *meta, const Provenance *provenance, MegaError *err)
{
    const MetaText texts[] = {{"general.name", provenance->name},
                              {"general.license", provenance->license},
                              {"general.source", provenance->source}};
    int code = metadata_set_texts(meta, texts, sizeof texts / sizeof texts[0], err);
    if (!code && provenance->is_default && mega_meta_set_bool(meta, "general.default", true))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the metadata");
    return code;
}

static int write_provenance(MegaMeta *meta, const MetadataOptions *options,
                            const Architecture *architecture, const MegaCheckpoint *checkpoint,
                            const json_t *args, MegaError *err)
{
    const char *slash = strrchr(options->input_path, '/');
    const char *file = slash ? slash + 1 : options->input_path;
    const char *arch = argument_string(args, "arch", "model");
    const MetaText texts[] = {
        {"general.architecture", architecture->class_name ? architecture->class_name
                                 : arch                   ? arch
                                                          : architecture->family},
        {"general.family", architecture->family},
        /* a name of bytes that are not text is left out, since the file need not be renamed */
        {"general.source_file", mega_utf8_valid(file, strlen(file)) ? file : NULL},
        {"general.source_format", mega_checkpoint_kind(checkpoint)},
        {"general.converter", "mega-convert " MEGA_VERSION},
    };
    const int code = metadata_set_provenance(meta, &options->provenance, err);
    return code ? code : metadata_set_texts(meta, texts, sizeof texts / sizeof texts[0], err);
}

/* ---- Labels --------------------------------------------------------------------------------- */

/* Splits a text in place at the separators, trims the parts and drops empty ones. Returns the
 * number of parts. */
static size_t split(char *text, const char *separators, const char **parts, size_t capacity)
{
    size_t count = 0;
    char *rest = NULL;
    for (char *part = strtok_r(text, separators, &rest); part;
         part = strtok_r(NULL, separators, &rest)) {
        part = mega_utf8_strip(part);
        if (*part && count++ < capacity)
            parts[count - 1] = part;
    }
    return count;
}

typedef struct Label {
    const char *text;
    size_t number; /* number of the class, from 1 */
} Label;

static int compare_labels(const void *a, const void *b)
{
    const Label *left = a, *right = b;
    const int order = strcmp(left->text, right->text);
    return order ? order : (left->number > right->number) - (left->number < right->number);
}

/* Checks that no two labels are equal, since the classes could not be told apart. */
static int check_doubles(const char *const *labels, size_t count, MegaError *err)
{
    Label *sorted = calloc(count + 1, sizeof *sorted);
    int code = sorted ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the labels");
    for (size_t i = 0; i < count && !code; i++)
        sorted[i] = (Label){labels[i], i + 1};
    if (!code)
        qsort(sorted, count, sizeof *sorted, compare_labels);
    for (size_t i = 1; i < count && !code; i++)
        if (strcmp(sorted[i - 1].text, sorted[i].text) == 0)
            code = mega_fail(err, MEGA_ERR_MODEL, "labels %zu and %zu are both \"%.60s\"",
                             sorted[i - 1].number, sorted[i].number, sorted[i].text);
    free(sorted);
    return code;
}

/* Stores the labels. `missing_file` is the argument of --labels if there is no such file, else
 * NULL. */
static int set_labels(MegaMeta *meta, const char **labels, size_t count, size_t classes,
                      const char *missing_file, MegaError *err)
{
    if (count != classes && missing_file)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "there is no file %s, and as a list of labels it has %zu, but the model "
                         "has %zu classes",
                         missing_file, count, classes);
    if (count != classes)
        return mega_fail(err, MEGA_ERR_MODEL, "there are %zu labels, but the model has %zu classes",
                         count, classes);
    int code = check_doubles(labels, count, err);
    if (code)
        return code;
    code = mega_meta_set_strings(meta, "labels", labels, count);
    return code ? mega_fail(err, code, "the labels cannot be stored: not UTF-8, or too long") : 0;
}

static int labels_from_option(MegaMeta *meta, const char *option, size_t classes, MegaError *err)
{
    const MegaTextRules rules = {
        .what = "a list of labels", .marks_inside = true, .limit = MAX_LABELS_FILE};
    MegaBuffer text = {0};
    const bool file = access(option, R_OK) == 0;
    int code = 0;
    if (file) {
        code = mega_text_read(&text, option, &rules, NULL, err);
    } else {
        mega_put_bytes(&text, option, strlen(option));
    }
    mega_put_u8(&text, 0);
    const char **labels = calloc(classes, sizeof *labels);
    if (!code && (text.failed || !labels))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the labels");
    if (!code) {
        size_t count = split((char *)text.data, file ? "\n" : ",", labels, classes);
        code = set_labels(meta, labels, count, classes, file ? NULL : option, err);
    }
    free(labels);
    mega_buffer_free(&text);
    return code;
}

static int labels_from_args(MegaMeta *meta, const json_t *array, size_t classes, MegaError *err)
{
    size_t count = json_array_size(array);
    char **labels = calloc(count + 1, sizeof *labels);
    int code = labels ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the labels");
    const char **trimmed = calloc(count + 1, sizeof *trimmed);
    if (!trimmed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the labels");
    for (size_t i = 0; i < count && !code; i++) {
        const char *label = json_string_value(json_array_get(array, i));
        if (!label)
            code = mega_fail(err, MEGA_ERR_FORMAT, "label %zu in the arguments is not a text", i);
        else if (!(labels[i] = strdup(label)))
            code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the labels");
        else
            trimmed[i] = mega_utf8_strip(labels[i]);
    }
    if (!code)
        code = set_labels(meta, trimmed, count, classes, NULL, err);
    for (size_t i = 0; labels && i < count; i++)
        free(labels[i]);
    free(labels);
    free(trimmed);
    return code;
}

/* Stores labels from an object {"0": label, "1": label, ...}. */
static int labels_by_number(MegaMeta *meta, const json_t *object, size_t classes, MegaError *err)
{
    json_t *array = json_array();
    int code = array ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the labels");
    for (size_t i = 0; i < classes && !code; i++) {
        char key[24];
        snprintf(key, sizeof key, "%zu", i);
        json_t *label = json_object_get(object, key);
        if (!label)
            code =
                mega_fail(err, MEGA_ERR_MODEL, "config.json: id2label has no label number %s", key);
        else if (json_array_append(array, label))
            code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the labels");
    }
    if (!code)
        code = labels_from_args(meta, array, classes, err);
    json_decref(array);
    return code;
}

static bool has_labels(const MegaConfig *config)
{
    return config->task == MEGA_TASK_CLASSIFY || config->task == MEGA_TASK_TAG;
}

static int write_labels(MegaMeta *meta, const MetadataOptions *options,
                        const Architecture *architecture, const json_t *args, MegaError *err)
{
    size_t classes = (size_t)architecture->config.head.classes;
    const json_t *array = argument(args, "labels", NULL);
    const json_t *by_number = argument(args, "id2label", NULL);
    if (options->labels)
        return labels_from_option(meta, options->labels, classes, err);
    if (!has_labels(&architecture->config)) /* the argument means something else there */
        return 0;
    if (json_array_size(array))
        return labels_from_args(meta, array, classes, err);
    return json_object_size(by_number) ? labels_by_number(meta, by_number, classes, err) : 0;
}

/* ---- Preprocessing -------------------------------------------------------------------------- */

/* Reads the numbers of an argument, one or one for each channel. Returns their count, 0 if there
 * are none, or -1 if there are more than `capacity` or not all are numbers. */
static int numbers(const json_t *value, double *out, int capacity)
{
    if (json_is_number(value)) {
        out[0] = json_number_value(value);
        return 1;
    }
    int count = (int)json_array_size(value);
    if (count > capacity)
        return -1;
    for (int i = 0; i < count; i++) {
        const json_t *item = json_array_get(value, (size_t)i);
        if (!json_is_number(item))
            return -1;
        out[i] = json_number_value(item);
    }
    return count;
}

/* Writes how to prepare audio. `positions` is the length of a clip for models in which a position
 * is a sample, else 0. */
static int write_audio(MegaMeta *meta, const MetadataOptions *options, const json_t *args,
                       int positions, MegaError *err)
{
    MegaAudioPreprocess audio = {0};
    int rate = (int)options->audio_rate, length = (int)options->audio_length, code = 0;
    audio.mean = isnan(options->audio_mean) ? argument_number(args, "audio_mean", NULL, NAN)
                                            : options->audio_mean;
    audio.std = isnan(options->audio_std) ? argument_number(args, "audio_std", NULL, NAN)
                                          : options->audio_std;
    if (rate <= 0)
        code = argument_integer(args, "sample_rate", NULL, 16000, &rate, err);
    if (!code && length < 0)
        code = argument_integer(args, "audio_length", NULL, positions, &length, err);
    if (code)
        return code;
    audio.sample_rate = rate;
    audio.length = length;
    if (isnan(audio.mean) || isnan(audio.std)) {
        metadata_note(options,
             "no --audio-mean and --audio-std: the model runs with 'mega-run forward', but "
             "cannot read recordings");
        return 0;
    }
    return mega_audio_preprocess_write(&audio, meta, err);
}

int metadata_image_fit(MegaImagePreprocess *image, const json_t *args, MegaError *err)
{
    const char *fit = argument_string(args, "image_fit", NULL);
    if (!fit || strcmp(fit, "exact") == 0)
        return 0;
    if (strcmp(fit, "stretch") != 0)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "argument image_fit is '%.60s', expected 'exact' or 'stretch'", fit);
    image->fit = MEGA_FIT_STRETCH;
    return 0;
}

/* Fills in mean and deviation of the pixels from the options or else the checkpoint's arguments, or
 * else the defaults, which have one number for each channel. */
static int fill_pixels(MegaImagePreprocess *image, const MetadataOptions *options,
                       const json_t *args, const double *mean, const double *std)
{
    double means[4] = {mean[0], mean[1], mean[2]}, stds[4] = {std[0], std[1], std[2]}, pair[2];
    int mean_count = image->channels, std_count = image->channels;
    int found = numbers(argument(args, "pixel_normalization", NULL), pair, 2);
    if (found == 2) {
        means[0] = pair[0];
        stds[0] = pair[1];
        mean_count = std_count = 1;
    } else if (found != 0) {
        return -1;
    }
    if ((found = numbers(argument(args, "pixel_mean", NULL), means, 4)) != 0)
        mean_count = found;
    if ((found = numbers(argument(args, "pixel_std", NULL), stds, 4)) != 0)
        std_count = found;
    if (options->pixel_mean_count > 0) {
        memcpy(means, options->pixel_mean, sizeof means);
        mean_count = options->pixel_mean_count;
    }
    if (options->pixel_std_count > 0) {
        memcpy(stds, options->pixel_std, sizeof stds);
        std_count = options->pixel_std_count;
    }
    if ((mean_count != 1 && mean_count != image->channels) ||
        (std_count != 1 && std_count != image->channels))
        return -1;
    for (int c = 0; c < image->channels; c++) {
        image->mean[c] = (float)means[mean_count == 1 ? 0 : c];
        image->std[c] = (float)stds[std_count == 1 ? 0 : c];
    }
    return 0;
}

static int write_image(MegaMeta *meta, const MetadataOptions *options,
                       const Architecture *architecture, const json_t *args, MegaError *err)
{
    static const double imagenet_mean[] = {0.485, 0.456, 0.406},
                        imagenet_std[] = {0.229, 0.224, 0.225};
    static const double gray_mean[] = {0.5, 0.5, 0.5}, gray_std[] = {0.5, 0.5, 0.5};
    const MegaEmbedConfig *embed = &architecture->config.embed;
    MegaImagePreprocess image = {.channels = 1, .fit = MEGA_FIT_EXACT};
    bool patches = embed->kind == MEGA_EMBED_PATCHES;
    if (patches) {
        /* ImageNet's protocol resizes the short side to 8/7 of the size and crops the centre. Small
         * pictures are taken whole. */
        image.channels = embed->channels;
        image.width = embed->width;
        image.height = embed->height;
        image.fit = embed->width > 64 ? MEGA_FIT_CROP : MEGA_FIT_STRETCH;
        if (image.fit == MEGA_FIT_CROP)
            image.resize = (int)lround(embed->width * 256.0 / 224.0);
    } else {
        int pixels, code = argument_integer(args, "max_positions", "max_source_positions",
                                            architecture->config.encoder.max_positions, &pixels,
                                            err);
        if (code)
            return code;
        int side = (int)lround(sqrt((double)pixels));
        if (side < 1 || side * side != pixels) {
            metadata_note(options,
                          "the number of positions is not a square: pictures cannot be read");
            return 0;
        }
        image.width = image.height = side;
        code = metadata_image_fit(&image, args, err);
        if (code)
            return code;
    }
    if (fill_pixels(&image, options, args, patches ? imagenet_mean : gray_mean,
                    patches ? imagenet_std : gray_std))
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "the pixels' mean and deviation must be one number, "
                         "or %d",
                         image.channels);
    return mega_image_preprocess_write(&image, meta, err);
}

static int write_text(MegaMeta *meta, const MetadataOptions *options,
                      const Architecture *architecture, const json_t *args, MegaError *err)
{
    const MegaConfig *config = &architecture->config;
    MegaTextPreprocess text = {.unit = options->text_unit >= 0 ? (MegaTextUnit)options->text_unit
                                                               : MEGA_TEXT_SYMBOLS,
                               .cls = -1,
                               .eos = MEGA_ID_EOS,
                               .unk = MEGA_ID_UNK};
    MegaVocab *vocab = NULL;
    if (!options->dict) {
        metadata_note(options, "no --dict: the model takes token ids only, not text");
        return 0;
    }
    int rows = config->embed.vocab, code = mega_vocab_read(&vocab, options->dict, false, err);
    /* read it again with <CLS>, which the LRA task appends to the dictionary */
    if (!code && mega_vocab_count(vocab) == rows - 1) {
        mega_vocab_free(vocab);
        code = mega_vocab_read(&vocab, options->dict, true, err);
    }
    if (!code && mega_vocab_count(vocab) != rows)
        code = mega_fail(err, MEGA_ERR_MODEL,
                         "%s makes a vocabulary of %d symbols (four of them reserved), but the "
                         "embedding has %d rows",
                         options->dict, mega_vocab_count(vocab), rows);
    if (!code && config->head.pooling == MEGA_POOL_FIRST) {
        text.cls = mega_vocab_find(vocab, "<CLS>", 5);
        if (text.cls < 0)
            code = mega_fail(err, MEGA_ERR_MODEL,
                             "the model reads its answer at a <CLS> token, but %s has none",
                             options->dict);
    }
    if (!code)
        code = argument_integer(args, "text_limit", NULL, 0, &text.limit, err);
    if (!code && text.limit < 0)
        code = mega_fail(err, MEGA_ERR_MODEL, "argument text_limit is %d, expected 1 or more",
                         text.limit);
    if (!code)
        code = mega_vocab_write(vocab, meta, MEGA_VOCAB_KEY, err);
    if (!code)
        code = mega_text_preprocess_write(&text, meta, err);
    mega_vocab_free(vocab);
    return code;
}

/* Reads a dictionary, whose size must be that of a table. */
static int read_dictionary(MegaVocab **out, const char *path, int rows, const char *table,
                           MegaError *err)
{
    int code = mega_vocab_read(out, path, false, err);
    if (!code && mega_vocab_count(*out) != rows)
        code = mega_fail(err, MEGA_ERR_MODEL,
                         "%s makes a vocabulary of %d symbols (four of them reserved), but %s has "
                         "%d rows; lines such as 'madeupword0000 0', which fill the dictionary up, "
                         "belong to it",
                         path, mega_vocab_count(*out), table, rows);
    return code;
}

static int write_dictionaries(MegaMeta *meta, const MegaConfig *config, const char *source_path,
                              const char *target_path, MegaError *err)
{
    MegaVocab *source = NULL, *target = NULL;
    int code = read_dictionary(&target, target_path, config->target.vocab,
                               "the decoder's embedding", err);
    if (!code && mega_config_has_cross(config))
        code = read_dictionary(&source, source_path, config->embed.vocab,
                               "the encoder's embedding", err);
    bool one = !source || (target && mega_vocab_equal(source, target));
    if (!code)
        code = mega_vocab_write(target, meta, one ? MEGA_VOCAB_KEY : MEGA_VOCAB_TARGET_KEY, err);
    if (!code && !one)
        code = mega_vocab_write(source, meta, MEGA_VOCAB_SOURCE_KEY, err);
    mega_vocab_free(source);
    mega_vocab_free(target);
    return code;
}

/* Writes dictionaries, tokenizer and BPE of translators and language models. */
static int write_sequence_text(MegaMeta *meta, const MetadataOptions *options,
                               const Architecture *architecture, const json_t *args, MegaError *err)
{
    const MegaConfig *config = &architecture->config;
    const char *source = options->source_dict ? options->source_dict : options->dict;
    const char *target = options->target_dict ? options->target_dict : options->dict;
    MegaTokenizerSettings settings = {
        .unit = options->text_unit >= 0 ? (MegaTextUnit)options->text_unit : MEGA_TEXT_SYMBOLS,
        .moses = options->moses,
        .bpe = options->bpe_codes != NULL,
        .lower_capitals = options->lower_capitals,
        .source_language = options->source_lang ? options->source_lang
                                                : argument_string(args, "source_lang", NULL),
        .target_language = options->target_lang ? options->target_lang
                                                : argument_string(args, "target_lang", NULL)};
    if (!target || (!source && mega_config_has_cross(config))) {
        metadata_note(options, mega_config_has_cross(config)
                          ? "no --source-dict and --target-dict: the model takes token ids only, "
                            "not text"
                          : "no --dict: the model takes token ids only, not text");
        return 0;
    }
    if (options->moses && (!settings.target_language ||
                           (!settings.source_language && mega_config_has_cross(config))))
        return mega_fail(err, MEGA_ERR_MODEL,
                         "the languages are not known: give --source-lang and --target-lang");
    int code = write_dictionaries(meta, config, source, target, err);
    if (!code)
        code = mega_tokenizer_write(&settings, meta, err);
    if (!code && options->bpe_codes)
        code = mega_bpe_import(meta, options->bpe_codes, &options->bpe, err);
    return code;
}

static void warn_of_tokenizer(const char *sentence)
{
    report("warning: %s", sentence);
}

/* Writes the tokenizer that lies in the folder of the model. */
static int write_hub_text(MegaMeta *meta, const MetadataOptions *options,
                          const Architecture *architecture, MegaError *err)
{
    const MegaConfig *config = &architecture->config;
    const int rows = mega_config_has_decoder(config) ? config->target.vocab : config->embed.vocab;
    MegaVocab *vocab = NULL;
    if (options->vocab)
        return hub_units_import(meta, options, rows, err);
    if (!hub_tokenizer_exists(options->input_path)) {
        metadata_note(options, "there is no tokenizer: the model takes token ids only, not text; "
                               "--vocab and --tokenizer describe one");
        return 0;
    }
    int code = hub_tokenizer_import(meta, options->input_path,
                                    options->quiet ? NULL : warn_of_tokenizer, err);
    if (!code)
        code = mega_vocab_from_meta(&vocab, meta, MEGA_VOCAB_KEY, err);
    if (!code && mega_vocab_count(vocab) > rows && !options->quiet)
        report("warning: the tokenizer has %d tokens, but the model only %d",
               mega_vocab_count(vocab), rows);
    mega_vocab_free(vocab);
    return code;
}

static int write_preprocessing(MegaMeta *meta, const MetadataOptions *options,
                               const Architecture *architecture, const json_t *args, MegaError *err)
{
    const char *input_type = argument_string(args, "input_type", NULL);
    if (architecture->class_name)
        return write_hub_text(meta, options, architecture, err);
    if (architecture->config.encoder.kind == &mega_layer_kind_s4)
        return write_s4_inputs(meta, options, architecture, args, err);
    if (mega_config_has_decoder(&architecture->config))
        return write_sequence_text(meta, options, architecture, args, err);
    switch (architecture->config.embed.kind) {
    case MEGA_EMBED_TOKENS:
    case MEGA_EMBED_ONE_HOT: return write_text(meta, options, architecture, args, err);
    case MEGA_EMBED_FRAMES: return write_audio(meta, options, args, 0, err);
    case MEGA_EMBED_PATCHES: return write_image(meta, options, architecture, args, err);
    case MEGA_EMBED_REAL: break;
    }
    if (input_type && strcmp(input_type, "image") == 0)
        return write_image(meta, options, architecture, args, err);
    int positions, code = argument_integer(args, "max_source_positions", "max_positions", 0,
                                           &positions, err);
    return code ? code : write_audio(meta, options, args, positions, err);
}

/* Rejects options that the model has no use for, which would otherwise be ignored silently. */
static int check_options(const MetadataOptions *options, const Architecture *architecture,
                         MegaError *err)
{
    const MegaConfig *config = &architecture->config;
    bool bpe = options->bpe.vocabulary || options->bpe.threshold || options->bpe.glossary_count;
    bool decoder = mega_config_has_decoder(config), pair = mega_config_has_cross(config);
    bool s4 = config->encoder.kind == &mega_layer_kind_s4, hub = architecture->class_name != NULL;
    bool tokens = decoder || mega_config_input_kind(config) == MEGA_INPUT_TOKENS;
    const struct {
        bool given, useful;
        const char *name, *use;
    } checks[] = {
        {options->dict, tokens && !s4, "--dict", "a model of text with a fairseq dictionary"},
        {options->vocab, tokens && (s4 || hub), "--vocab", "an S4 model of text or a model folder"},
        {options->special || options->template_count || options->upper || options->lower,
         hub && options->vocab, "--special, --template, --upper or --lower",
         "a model folder with --vocab"},
        {options->source_dict, pair, "--source-dict", "a translator"},
        {options->target_dict, pair, "--target-dict", "a translator"},
        {options->source_lang, pair, "--source-lang", "a translator"},
        {options->target_lang, decoder, "--target-lang", "a translator or a language model"},
        {options->moses, decoder, "--tokenizer moses", "a translator or a language model"},
        {options->lower_capitals, pair, "--capitals lower", "a translator"},
        {options->bpe_codes, decoder, "--bpe-codes", "a translator or a language model"},
        {bpe, options->bpe_codes, "--bpe-vocabulary, --bpe-threshold or --bpe-glossary",
         "a model with --bpe-codes"},
        {options->labels, has_labels(config), "--labels", "a classifier"},
    };
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
        if (checks[i].given && !checks[i].useful)
            return mega_fail(err, MEGA_ERR_ARGUMENT, "%s is for %s, which this is not",
                             checks[i].name, checks[i].use);
    return 0;
}

int build_metadata(MegaMeta **out, const MetadataOptions *options, const Architecture *architecture,
                   const MegaCheckpoint *checkpoint, const json_t *args, MegaError *err)
{
    MegaMeta *meta = mega_meta_new();
    *out = NULL;
    if (!meta)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the metadata");
    int code = check_options(options, architecture, err);
    if (code)
        goto out;
    code = write_provenance(meta, options, architecture, checkpoint, args, err);
    if (!code)
        code = mega_config_write(&architecture->config, meta, err);
    if (!code)
        code = write_labels(meta, options, architecture, args, err);
    if (!code)
        code = write_preprocessing(meta, options, architecture, args, err);
out:
    if (code)
        mega_meta_free(meta);
    else
        *out = meta;
    return code;
}
