/*
 * main.c - mega-convert: reads the command line and converts: checkpoint -> architecture ->
 * metadata and tensors -> .mega.
 */
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/base/sniff.h"
#include "formats/mega/mega_file.h"
#include "formats/text/text_input.h"
#include "tools/common/descriptors.h"
#include "tools/common/json.h"
#include "tools/common/mapping.h"
#include "tools/common/memory.h"
#include "tools/common/progress.h"
#include "tools/common/suggest.h"
#include "tools/common/terminal.h"
#include "tools/common/version.h"
#include "tools/convert/metadata.h"
#include "tools/convert/tokenizer_only.h"
#include "tools/convert/write.h"

static const char help[] =
    "Usage: mega-convert CHECKPOINT|MODEL.mega -o MODEL.mega [options]\n"
    "       mega-convert --list [--json] CHECKPOINT\n"
    "       mega-convert --tokenizer-only FOLDER -o TOKENIZER.mega\n"
    "\n"
    "Converts a MEGA checkpoint of PyTorch (zip or older format, whole fairseq checkpoint, state\n"
    "dict or the image model) or safetensors. Nothing in the checkpoint is executed. A .mega file\n"
    "is written anew with another --dtype, or with --no-compress.\n"
    "\n"
    "  -o, --output FILE      the model file to write\n"
    "      --config FILE      arguments of the original as JSON, where the checkpoint has none\n"
    "      --dict FILE        dictionary of a text model\n"
    "      --source-dict FILE, --target-dict FILE   those of a translator\n"
    "      --tokenizer NAME   of raw text: space (default), word, char, byte or moses\n"
    "      --tokenizer-only   only the tokenizer of a folder of the Hugging Face hub, for\n"
    "                         'mega-run tokenize': tokenizer.json, or vocab.json and merges.txt\n"
    "      --source-lang XX, --target-lang XX   for moses, where the checkpoint has none\n"
    "      --bpe-codes FILE   merges of subword-nmt\n"
    "      --bpe-vocabulary FILE, --bpe-threshold N, --bpe-glossary REGEX   as subword-nmt\n"
    "      --labels X         class names: a file, one a line, or names separated by commas\n"
    "      --audio-rate HZ    rate the model was trained at (16000)\n"
    "      --audio-mean X, --audio-std X   statistics of its training data, samples in [-1, 1)\n"
    "      --audio-length N   samples of a clip; 0: any\n"
    "      --pixel-mean X[,X,X], --pixel-std X[,X,X]   the same for pixels in [0, 1]\n"
    "      --chunk-size N     other chunk size than in training; 0: none\n"
    "      --weights WHICH    where there are both: model (default), or ema, their average\n"
    "      --allow-non-finite   convert weights that are NaN or infinite\n"
    "      --dtype TYPE       of the matrices: f32 (default), f16, bf16, int8 or int4\n"
    "      --no-compress      larger file, used in place without decoding\n"
    "      --max-memory SIZE  refuse what needs more, such as 300M\n"
    "      --name, --license, --source TEXT   provenance\n"
    "      --list             print tensors and arguments of a checkpoint\n"
    "      --json             print what was written, or is listed, as a JSON object\n"
    "      --force            overwrite the output; leave out tensors that are not understood\n"
    "  -q, --quiet            no notes and no progress\n"
    "  -v, --verbose          say what was found and written, how fast and in what memory\n"
    "  -h, --help             show this help\n"
    "      --version          show the version\n"
    "\n"
    "Exit status: 0 converted, 1 the checkpoint cannot be converted, 2 wrong usage.\n";

#define MAX_GLOSSARIES 64
#define MAX_CONFIG (1u << 26) /* bytes */
#define MAX_CONFIG_MEMORY (UINT64_C(1) << 28)
#define TEXT_COPIES 4

typedef struct Options {
    MetadataOptions metadata;
    WriteOptions write;
    const char *config;
    long chunk_size;
    MegaWeightSet weights;
    const char *glossaries[MAX_GLOSSARIES];
    bool list, json, force, verbose, tokenizer_only;
    const char *describes; /* a given option that describes the model of a checkpoint */
} Options;

static int usage_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("mega-convert: ", stderr);
    put_message(format, args);
    fputs("\nTry 'mega-convert --help'.\n", stderr);
    va_end(args);
    return 2;
}

/* Flushes standard output and returns the exit status. */
static int finish_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    print_diagnostic("mega-convert", "cannot write to standard output");
    return 1;
}

/* ---- Options -------------------------------------------------------------------------------- */

enum {
    OPT_CONFIG = 256,
    OPT_DICT,
    OPT_LABELS,
    OPT_AUDIO_RATE,
    OPT_AUDIO_MEAN,
    OPT_AUDIO_STD,
    OPT_AUDIO_LENGTH,
    OPT_PIXEL_MEAN,
    OPT_PIXEL_STD,
    OPT_SOURCE_DICT,
    OPT_TARGET_DICT,
    OPT_TOKENIZER,
    OPT_TOKENIZER_ONLY,
    OPT_SOURCE_LANG,
    OPT_TARGET_LANG,
    OPT_BPE_CODES,
    OPT_BPE_VOCABULARY,
    OPT_BPE_THRESHOLD,
    OPT_BPE_GLOSSARY,
    OPT_CHUNK_SIZE,
    OPT_WEIGHTS,
    OPT_ALLOW_NON_FINITE,
    OPT_DTYPE,
    OPT_NO_COMPRESS,
    OPT_MAX_MEMORY,
    OPT_NAME,
    OPT_LICENSE,
    OPT_SOURCE,
    OPT_LIST,
    OPT_JSON,
    OPT_FORCE,
    OPT_VERSION,
};

static const struct option long_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"config", required_argument, NULL, OPT_CONFIG},
    {"dict", required_argument, NULL, OPT_DICT},
    {"labels", required_argument, NULL, OPT_LABELS},
    {"audio-rate", required_argument, NULL, OPT_AUDIO_RATE},
    {"audio-mean", required_argument, NULL, OPT_AUDIO_MEAN},
    {"audio-std", required_argument, NULL, OPT_AUDIO_STD},
    {"audio-length", required_argument, NULL, OPT_AUDIO_LENGTH},
    {"pixel-mean", required_argument, NULL, OPT_PIXEL_MEAN},
    {"pixel-std", required_argument, NULL, OPT_PIXEL_STD},
    {"source-dict", required_argument, NULL, OPT_SOURCE_DICT},
    {"target-dict", required_argument, NULL, OPT_TARGET_DICT},
    {"tokenizer", required_argument, NULL, OPT_TOKENIZER},
    {"tokenizer-only", no_argument, NULL, OPT_TOKENIZER_ONLY},
    {"source-lang", required_argument, NULL, OPT_SOURCE_LANG},
    {"target-lang", required_argument, NULL, OPT_TARGET_LANG},
    {"bpe-codes", required_argument, NULL, OPT_BPE_CODES},
    {"bpe-vocabulary", required_argument, NULL, OPT_BPE_VOCABULARY},
    {"bpe-threshold", required_argument, NULL, OPT_BPE_THRESHOLD},
    {"bpe-glossary", required_argument, NULL, OPT_BPE_GLOSSARY},
    {"chunk-size", required_argument, NULL, OPT_CHUNK_SIZE},
    {"weights", required_argument, NULL, OPT_WEIGHTS},
    {"allow-non-finite", no_argument, NULL, OPT_ALLOW_NON_FINITE},
    {"dtype", required_argument, NULL, OPT_DTYPE},
    {"no-compress", no_argument, NULL, OPT_NO_COMPRESS},
    {"max-memory", required_argument, NULL, OPT_MAX_MEMORY},
    {"name", required_argument, NULL, OPT_NAME},
    {"license", required_argument, NULL, OPT_LICENSE},
    {"source", required_argument, NULL, OPT_SOURCE},
    {"list", no_argument, NULL, OPT_LIST},
    {"json", no_argument, NULL, OPT_JSON},
    {"force", no_argument, NULL, OPT_FORCE},
    {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPT_VERSION},
    {0},
};

/* Reports an option for which getopt returned '?' or ':'. For a letter within a group such as -xq,
 * argv[optind - 1] is not the option, so the letter itself is named. */
static int option_error(int option, char **argv)
{
    const char *text = argv[optind - 1];
    const int length = (int)strcspn(text, "=");
    char reason[256];
    if (option == ':')
        return usage_error("option '%s' needs a value", text);
    if (optopt && strncmp(text, "--", 2) != 0)
        return usage_error("option '-%c' is unknown", optopt);
    if (optopt)
        return usage_error("option '%.*s' takes no value", length, text);
    explain_option(text, long_options, reason, sizeof reason);
    return usage_error("option '%.*s' %s", length, text, reason);
}

/* Parse a whole number, or a real one, with nothing behind it. */
static bool parse_long(const char *text, long min, long max, long *out)
{
    char *end;
    *out = strtol(text, &end, 10);
    return end != text && *end == '\0' && *out >= min && *out <= max;
}

static bool parse_double(const char *text, double *out, char terminator, const char **rest)
{
    char *end;
    *out = strtod(text, &end);
    if (rest)
        *rest = end;
    return end != text && (*end == '\0' || *end == terminator) && isfinite(*out);
}

/* Parses "0.5" or "0.5,0.4,0.3" and returns the number of values, or 0 if the text is wrong. */
static int parse_list(const char *text, double *out)
{
    for (int count = 0; count < 4; count++) {
        if (!parse_double(text, &out[count], ',', &text))
            return 0;
        if (*text == '\0')
            return count + 1;
        text++;
    }
    return 0;
}

static bool parse_tokenizer(MetadataOptions *meta, const char *value)
{
    static const struct {
        const char *name;
        MegaTextUnit unit;
    } tokenizers[] = {{"space", MEGA_TEXT_SYMBOLS},   {"word", MEGA_TEXT_SYMBOLS},
                      {"char", MEGA_TEXT_CHARACTERS}, {"byte", MEGA_TEXT_BYTES},
                      {"moses", MEGA_TEXT_SYMBOLS}};
    meta->moses = strcmp(value, "moses") == 0;
    for (size_t i = 0; i < sizeof tokenizers / sizeof tokenizers[0]; i++)
        if (strcmp(value, tokenizers[i].name) == 0) {
            meta->text_unit = (int)tokenizers[i].unit;
            return true;
        }
    return false;
}

static int parse_option(Options *options, int option, const char *name, const char *value)
{
    MetadataOptions *meta = &options->metadata;
    bool good = true;
    if (option != 'o' && option != 'q' && option != 'v' && option != OPT_DTYPE &&
        option != OPT_NO_COMPRESS && option != OPT_FORCE && option != OPT_JSON &&
        option != OPT_ALLOW_NON_FINITE && option != OPT_MAX_MEMORY)
        options->describes = name;
    switch (option) {
    case 'o': options->write.path = value; break;
    case 'q': options->write.quiet = meta->quiet = true; break;
    case 'v': options->verbose = true; break;
    case OPT_CONFIG: options->config = value; break;
    case OPT_DICT: meta->dict = value; break;
    case OPT_LABELS: meta->labels = value; break;
    case OPT_AUDIO_RATE: good = parse_long(value, 1, 1000000, &meta->audio_rate); break;
    case OPT_AUDIO_LENGTH: good = parse_long(value, 0, 1L << 26, &meta->audio_length); break;
    case OPT_AUDIO_MEAN: good = parse_double(value, &meta->audio_mean, '\0', NULL); break;
    case OPT_AUDIO_STD:
        good = parse_double(value, &meta->audio_std, '\0', NULL) && meta->audio_std > 0;
        break;
    case OPT_PIXEL_MEAN:
        meta->pixel_mean_count = parse_list(value, meta->pixel_mean);
        good = meta->pixel_mean_count > 0;
        break;
    case OPT_PIXEL_STD:
        meta->pixel_std_count = parse_list(value, meta->pixel_std);
        good = meta->pixel_std_count > 0;
        for (int i = 0; i < meta->pixel_std_count; i++)
            good = good && meta->pixel_std[i] > 0;
        break;
    case OPT_SOURCE_DICT: meta->source_dict = value; break;
    case OPT_TARGET_DICT: meta->target_dict = value; break;
    case OPT_TOKENIZER: good = parse_tokenizer(meta, value); break;
    case OPT_TOKENIZER_ONLY: options->tokenizer_only = true; break;
    case OPT_SOURCE_LANG: meta->source_lang = value; break;
    case OPT_TARGET_LANG: meta->target_lang = value; break;
    case OPT_BPE_CODES: meta->bpe_codes = value; break;
    case OPT_BPE_VOCABULARY: meta->bpe.vocabulary = value; break;
    case OPT_BPE_THRESHOLD: good = parse_long(value, 0, LONG_MAX, &meta->bpe.threshold); break;
    case OPT_BPE_GLOSSARY:
        if (meta->bpe.glossary_count == MAX_GLOSSARIES)
            return usage_error("--bpe-glossary may be given %d times", MAX_GLOSSARIES);
        options->glossaries[meta->bpe.glossary_count++] = value;
        meta->bpe.glossaries = options->glossaries;
        break;
    case OPT_CHUNK_SIZE: good = parse_long(value, 0, 1L << 26, &options->chunk_size); break;
    case OPT_WEIGHTS:
        good = strcmp(value, "ema") == 0 || strcmp(value, "model") == 0;
        options->weights = *value == 'e' ? MEGA_WEIGHTS_EMA : MEGA_WEIGHTS_MODEL;
        break;
    case OPT_ALLOW_NON_FINITE: options->write.allow_non_finite = true; break;
    case OPT_DTYPE: {
        int dtype = mega_dtype_by_name(value);
        good = mega_dtype_storable(dtype);
        options->write.dtype = (MegaDtype)(good ? dtype : MEGA_F32);
        options->write.keep_types = false;
        break;
    }
    case OPT_NO_COMPRESS: options->write.compress = false; break;
    case OPT_MAX_MEMORY:
        if (!parse_size(value, &options->write.max_memory))
            return usage_error(
                "'%s' is not a valid value for --max-memory; it takes " SIZE_EXPECTED, value);
        break;
    case OPT_NAME: meta->name = value; break;
    case OPT_LICENSE: meta->license = value; break;
    case OPT_SOURCE: meta->source = value; break;
    case OPT_LIST: options->list = true; break;
    case OPT_JSON: options->json = true; break;
    case OPT_FORCE: options->force = options->write.keep_going = true; break;
    }
    return good ? 0 : usage_error("'%s' is not a valid value for --%s", value, name);
}

/* ---- Listing -------------------------------------------------------------------------------- */

static void list_beside(const MegaCheckpoint *checkpoint)
{
    size_t left, count = mega_checkpoint_beside_count(checkpoint, &left);
    if (count)
        printf("# beside the tensors\n");
    for (size_t i = 0; i < count; i++) {
        const MegaCheckpointBeside *beside = mega_checkpoint_beside(checkpoint, i);
        printf("%s\t%s\n", beside->name, beside->what);
    }
    if (left)
        printf("# and %zu more\n", left);
}

static void list_checkpoint(const MegaCheckpoint *checkpoint, const json_t *args)
{
    uint64_t total = 0;
    for (size_t i = 0; i < mega_checkpoint_count(checkpoint); i++) {
        const MegaCheckpointTensor *tensor = mega_checkpoint_tensor(checkpoint, i);
        printf("%s\t%s\t[%s", tensor->name, tensor->type, tensor->rank < 0 ? "?" : "");
        for (int axis = 0; axis < tensor->rank; axis++)
            printf("%s%llu", axis ? ", " : "", (unsigned long long)tensor->shape[axis]);
        printf("]\n");
        total += tensor->elements;
    }
    printf("# %s, %zu tensors, %llu elements\n", mega_checkpoint_kind(checkpoint),
           mega_checkpoint_count(checkpoint), (unsigned long long)total);
    list_beside(checkpoint);
    if (args) {
        char *text = json_dumps(args, JSON_INDENT(2) | JSON_ENSURE_ASCII);
        printf("# arguments\n%s\n", text ? text : "{}");
        free(text);
    }
}

/* Prints an object as one line; consumes the reference. */
static int print_json(json_t *object, MegaError *err)
{
    int code = 0;
    if (!object)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the JSON output");
    else if (json_dumpf(object, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0)
        putchar('\n'); /* finish_output reports a failed write */
    json_decref(object);
    return code;
}

static json_t *tensor_json(const MegaCheckpointTensor *tensor)
{
    json_t *shape = tensor->rank < 0 ? json_null() : json_array();
    for (int axis = 0; axis < tensor->rank; axis++)
        json_array_append_new(shape, json_integer((json_int_t)tensor->shape[axis]));
    return json_pack("{s:o,s:s,s:o}", "name", json_text(tensor->name), "dtype",
                     tensor->type, "shape", shape);
}

static json_t *beside_json(const MegaCheckpoint *checkpoint)
{
    size_t left, count = mega_checkpoint_beside_count(checkpoint, &left);
    json_t *rows = json_array();
    for (size_t i = 0; rows && i < count; i++) {
        const MegaCheckpointBeside *beside = mega_checkpoint_beside(checkpoint, i);
        if (json_array_append_new(rows, json_pack("{s:o,s:o}", "name", json_text(beside->name),
                                                  "value", json_text(beside->what)))) {
            json_decref(rows);
            rows = NULL;
        }
    }
    return rows;
}

static int list_json(const MegaCheckpoint *checkpoint, const char *path, json_t *args,
                     MegaError *err)
{
    uint64_t total = 0;
    int failed = 0;
    json_t *tensors = json_array();
    for (size_t i = 0; i < mega_checkpoint_count(checkpoint); i++) {
        const MegaCheckpointTensor *tensor = mega_checkpoint_tensor(checkpoint, i);
        failed |= json_array_append_new(tensors, tensor_json(tensor));
        total += tensor->elements;
    }
    json_t *object =
        json_pack("{s:o,s:s,s:o,s:I,s:o,s:o,s:O}", "checkpoint", json_text(path), "kind",
                  mega_checkpoint_kind(checkpoint), "place",
                  json_text(mega_checkpoint_place(checkpoint)), "elements", (json_int_t)total,
                  "tensors", tensors, "beside", beside_json(checkpoint), "arguments", args);
    if (failed) {
        json_decref(object);
        object = NULL;
    }
    return print_json(object, err);
}

/* ---- Converting ----------------------------------------------------------------------------- */

/* Checks the memory for dictionaries, labels and codes before they are read. A line of a dictionary
 * is held TEXT_COPIES times: as text, as a symbol and as metadata. */
static int check_texts(const Options *options, MegaError *err)
{
    const MetadataOptions *meta = &options->metadata;
    const char *const paths[] = {meta->dict,   meta->source_dict, meta->target_dict,
                                 meta->labels, meta->bpe_codes,   meta->bpe.vocabulary};
    const uint64_t limit = options->write.max_memory;
    uint64_t size = 0;
    struct stat info;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (paths[i] && stat(paths[i], &info) == 0 && S_ISREG(info.st_mode))
            size += (uint64_t)info.st_size;
    if (!limit || size <= limit / TEXT_COPIES)
        return 0;
    return mega_fail(err, MEGA_ERR_LIMIT,
                     "the dictionaries, labels and codes need %.1f MB of memory; %.1f MB are "
                     "allowed",
                     (double)size * TEXT_COPIES / 1e6, (double)limit / 1e6);
}

/* Checks the memory for the arguments, since a few bytes of JSON can need much of it. */
static int check_config(const char *path, const MegaBuffer *text, uint64_t max_memory,
                        MegaError *err)
{
    const uint64_t cost = mega_checkpoint_json_cost((const char *)text->data, text->size);
    const uint64_t limit =
        max_memory && max_memory < MAX_CONFIG_MEMORY ? max_memory : MAX_CONFIG_MEMORY;
    if (cost <= limit)
        return 0;
    return mega_fail(err, MEGA_ERR_LIMIT,
                     "%s: the arguments need %.1f MB of memory; %.1f MB are allowed", path,
                     (double)cost / 1e6, (double)limit / 1e6);
}

/* Reads --config, whose file is an object of arguments, or has such an object as "args". */
static int load_config(json_t **out, const char *path, uint64_t max_memory, MegaError *err)
{
    const MegaTextRules rules = {.what = "arguments in JSON", .limit = MAX_CONFIG};
    json_error_t error;
    MegaBuffer text = {0};
    json_t *whole = NULL, *inner;
    int code = mega_text_read(&text, path, &rules, NULL, err);
    if (!code)
        code = check_config(path, &text, max_memory, err);
    if (!code)
        whole = json_loadb(text.size ? (const char *)text.data : "", text.size, 0, &error);
    mega_buffer_free(&text);
    if (code)
        return code;
    if (!whole && error.line > 0)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s: line %d: %s", path, error.line, error.text);
    if (!json_is_object(whole)) {
        json_decref(whole);
        return mega_fail(err, MEGA_ERR_FORMAT, "%s: %s", path,
                         whole ? "not a JSON object" : error.text);
    }
    inner = json_object_get(whole, "args");
    *out = whole;
    if (!json_is_object(inner))
        return 0;
    *out = json_incref(inner);
    json_decref(whole);
    return 0;
}

/* Merges the checkpoint's own arguments with those of --config, which override them. */
static int merge_arguments(json_t **out, const MegaCheckpoint *checkpoint, const Options *options,
                           MegaError *err)
{
    const json_t *own = mega_checkpoint_args(checkpoint);
    *out = own ? json_copy((json_t *)own) : json_object();
    if (!*out)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the arguments");
    if (!options->config)
        return 0;
    json_t *given = NULL;
    int code = load_config(&given, options->config, options->write.max_memory, err);
    if (code)
        return code;
    int failed = json_object_update(*out, given);
    json_decref(given);
    return failed ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for the arguments") : 0;
}

/* Returns whether a file is a .mega file. A file that cannot be read counts as a checkpoint, since
 * opening that reports why. */
static bool is_model_file(const char *path)
{
    char begin[8];
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) /* opening a FIFO would block */
        return false;
    FILE *file = fopen(path, "rb");
    bool is = file && fread(begin, 1, sizeof begin, file) == sizeof begin &&
              memcmp(begin, MEGA_MAGIC, sizeof begin) == 0;
    if (file)
        fclose(file);
    return is;
}

/* Reports what was written, as the file itself says. */
static int tell_result(const Options *options, const char *kind, double seconds, MegaError *err)
{
    MegaFile *file = NULL;
    const char *family = "model";
    int code = mega_file_open(&file, options->write.path, err);
    if (code)
        return code;
    if (mega_meta_find(mega_file_meta(file), "general.family"))
        mega_meta_get_string(mega_file_meta(file), "general.family", &family, NULL);
    uint64_t parameters = 0, stored = mega_file_size(file);
    for (size_t i = 0; i < mega_file_tensor_count(file); i++)
        if (mega_file_tensor(file, i)->tied_to < 0)
            parameters += mega_file_tensor(file, i)->elements;
    if (options->verbose)
        print_diagnostic("mega-convert",
                      "%s, a %s: %zu tensors, %llu parameters, %llu bytes written in %.3f "
                      "s, peak memory %.1f MB",
                      kind, family, mega_file_tensor_count(file), (unsigned long long)parameters,
                      (unsigned long long)stored, seconds, peak_megabytes());
    if (options->json)
        code = print_json(
            json_pack("{s:o,s:s,s:o,s:s,s:I,s:I,s:I}", "checkpoint",
                      json_text(options->metadata.input_path), "kind", kind, "output",
                      json_text(options->write.path), "architecture", family,
                      "tensors", (json_int_t)mega_file_tensor_count(file), "parameters",
                      (json_int_t)parameters, "file_size", (json_int_t)stored),
            err);
    mega_file_close(file);
    return code;
}

/* Tells which set of weights was taken, and whether there is another, in another dict or under
 * another prefix. */
static void tell_weights(const MegaCheckpoint *checkpoint, const Names *names)
{
    bool by_prefix = names->averaged || names->has_other;
    bool averaged = names->averaged || mega_checkpoint_averaged(checkpoint);
    const char *place = by_prefix ? names->prefix : mega_checkpoint_place(checkpoint);
    const char *other = names->has_other ? names->other : mega_checkpoint_other_place(checkpoint);
    if (averaged && other && !*other)
        print_diagnostic("mega-convert",
                      "note: these are the averaged weights, of '%s'; the model's own have "
                      "no such name",
                      place);
    else if (averaged && other)
        print_diagnostic("mega-convert",
                      "note: these are the averaged weights, of '%s'; the model's own are "
                      "in '%s'",
                      place, other);
    else if (averaged)
        print_diagnostic("mega-convert",
                      "note: these are averaged weights, of '%s'; the checkpoint has no "
                      "others",
                      place);
    else if (other)
        print_diagnostic("mega-convert",
                      "note: the checkpoint has averaged weights as well, in '%s'; "
                      "--weights ema takes them",
                      other);
}

static int convert(const Options *options, MegaError *err)
{
    MegaCheckpoint *checkpoint = NULL;
    Architecture architecture = {0};
    MegaMeta *meta = NULL;
    json_t *args = NULL;
    double begun = clock_seconds();
    const char *path = options->metadata.input_path;
    if (!options->list && is_model_file(path)) {
        if (options->describes)
            return mega_fail(err, MEGA_ERR_ARGUMENT,
                             "%s is a .mega model, of which only type and compression can be "
                             "changed: --%s is for checkpoints",
                             path, options->describes);
        int failed = rewrite_model(&options->write, path, err);
        if (!failed && (options->json || options->verbose))
            failed = tell_result(options, "model file", clock_seconds() - begun, err);
        return failed;
    }
    const MegaCheckpointOptions opening = {.weights = options->weights,
                                           .max_memory = options->write.max_memory};
    if (options->tokenizer_only) {
        int failed = convert_tokenizer(&options->metadata, options->write.path, err);
        if (!failed && (options->json || options->verbose))
            failed = tell_result(options, "tokenizer folder", clock_seconds() - begun, err);
        return failed;
    }
    int code = check_texts(options, err);
    if (!code)
        code = mega_checkpoint_open(&checkpoint, path, &opening, err);
    if (!code)
        code = merge_arguments(&args, checkpoint, options, err);
    if (code)
        goto out;
    if (options->list) {
        if (options->json)
            code = list_json(checkpoint, options->metadata.input_path, args, err);
        else
            list_checkpoint(checkpoint, args);
        goto out;
    }
    code = architecture_detect(&architecture, checkpoint, args, options->chunk_size,
                               options->weights, err);
    if (!code && !options->write.quiet)
        tell_weights(checkpoint, &architecture.names);
    if (!code)
        code = build_metadata(&meta, &options->metadata, &architecture, checkpoint, args, err);
    if (!code)
        code = write_model(&options->write, &architecture, checkpoint, meta, err);
    if (!code && (options->json || options->verbose))
        code = tell_result(options, mega_checkpoint_kind(checkpoint), clock_seconds() - begun,
                           err);
out:
    mega_meta_free(meta);
    json_decref(args);
    architecture_free(&architecture);
    mega_checkpoint_close(checkpoint);
    return code;
}

int main(int argc, char **argv)
{
    Options options = {
        .metadata = {.audio_rate = -1, .audio_length = -1, .audio_mean = NAN, .audio_std = NAN,
                     .text_unit = -1},
        .write = {.dtype = MEGA_F32, .keep_types = true, .compress = true},
        .chunk_size = -1,
    };
    MegaError err = {0};
    int option, index = 0;
    secure_descriptors();
    opterr = 0;
    catch_lost_mapping("mega-convert", write_abandon);
    guard_terminal();
    while ((option = getopt_long(argc, argv, ":o:qvh", long_options, &index)) != -1) {
        if (option == 'h' || option == OPT_VERSION) {
            if (option == 'h')
                fputs(help, stdout);
            else
                print_version("mega-convert", NULL);
            return finish_output();
        }
        if (option == '?' || option == ':')
            return option_error(option, argv);
        int status = parse_option(&options, option, long_options[index].name, optarg);
        if (status)
            return status;
    }
    if (optind + 1 != argc)
        return usage_error(optind == argc ? "no checkpoint was given"
                                          : "one checkpoint at a time, please");
    options.metadata.input_path = argv[optind];
    if (options.list && options.tokenizer_only)
        return usage_error("--list or --tokenizer-only, not both");
    if (!options.list && !options.write.path)
        return usage_error("no output was given: -o MODEL.mega");
    if (!options.list && !options.force && access(options.write.path, F_OK) == 0) {
        print_diagnostic("mega-convert", "%s exists already; --force overwrites it",
                      options.write.path);
        return 1;
    }
    if (convert(&options, &err)) {
        print_diagnostic("mega-convert", "%s", err.text);
        return 1;
    }
    return finish_output();
}
