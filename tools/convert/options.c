/*
 * options.c - see options.h.
 */
#include "tools/convert/options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/command_line.h"
#include "tools/common/messages.h"
#include "tools/common/version.h"

static const char help[] =
    "Usage: mega-convert CHECKPOINT|MODEL.mega -o MODEL.mega [options]\n"
    "       mega-convert --list [--json] CHECKPOINT\n"
    "       mega-convert --tokenizer-only FOLDER -o TOKENIZER.mega\n"
    "\n"
    "Converts a checkpoint of MEGA, a Transformer or S4 from PyTorch (zip or older format, whole\n"
    "fairseq checkpoint, state dict or the image model) or safetensors. Nothing in the checkpoint\n"
    "is executed. A .mega file is written anew with another --dtype, name or --no-compress.\n"
    "\n"
    "  -o, --output FILE      the model file to write\n"
    "      --config FILE      arguments of the original as JSON, where the checkpoint has none\n"
    "      --dict FILE        dictionary of a text model\n"
    "      --vocab FILE       vocabulary of an S4 model, or of a model folder without a tokenizer; "
    "that\n"
    "                         one also takes --special cls=<s>,sep=</s>, --template \"cls A sep\" "
    "and\n"
    "                         --upper or --lower, the case in which ASCII letters are looked up, "
    "and\n"
    "                         --unknown run (default) or each: what characters that it lacks "
    "become\n"
    "      --source-dict FILE, --target-dict FILE   those of a translator\n"
    "      --tokenizer NAME   of raw text: space (default), word, char, byte or moses\n"
    "      --tokenizer-only   only the tokenizer of a folder of the Hugging Face hub, for\n"
    "                         'mega-run tokenize': tokenizer.json, or vocab.json and merges.txt\n"
    "      --source-lang XX, --target-lang XX   for moses, where the checkpoint has none\n"
    "      --capitals HOW     how a translator reads texts in capitals: keep (default), or lower\n"
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
    "      --keep-kernels N   of S4: keep the kernels for inputs of N positions (0: none)\n"
    "      --no-compress      larger file, used in place without decoding\n"
    "      --max-memory SIZE  use at most SIZE, such as 300M; refuse what needs more\n"
    "      --name, --license, --source TEXT   provenance; --default: the one to take without -m\n"
    "      --list             print tensors and arguments of a checkpoint\n"
    "      --json             print what was written, or is listed, as a JSON object\n"
    "      --force            overwrite the output; leave out tensors that are not understood\n"
    "  -q, --quiet            no notes and no progress\n"
    "  -v, --verbose          say what was found and written, how fast and in what memory\n"
    "  -h, --help             show this help\n"
    "      --version          show the version\n"
    "\n"
    "Exit status: 0 converted, 1 the checkpoint cannot be converted, 2 wrong usage.\n";

const char program_name[] = "mega-convert";

const ForeignOption foreign_options[] = {
    {'f', "file", "the checkpoint is named without an option"},
    {'i', "input", "the checkpoint is named without an option"},
    {'m', "model", "the checkpoint is named without an option, and -o names the model"},
    {0},
};

/* ---- Values --------------------------------------------------------------------------------- */

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

static int take_mean(const CommandOption *option, const char *value, MegaError *err)
{
    if (parse_double(value, option->out, '\0', NULL))
        return 0;
    return refuse_value(option, value, err, "a number");
}

static int take_deviation(const CommandOption *option, const char *value, MegaError *err)
{
    if (parse_double(value, option->out, '\0', NULL) && *(double *)option->out > 0)
        return 0;
    return refuse_value(option, value, err, "a number above 0");
}

static int take_pixel_means(const CommandOption *option, const char *value, MegaError *err)
{
    MetadataOptions *meta = option->out;
    meta->pixel_mean_count = parse_list(value, meta->pixel_mean);
    if (meta->pixel_mean_count > 0)
        return 0;
    return refuse_value(option, value, err, "a number, or one for each channel: 0.5,0.4,0.3");
}

static int take_pixel_deviations(const CommandOption *option, const char *value, MegaError *err)
{
    MetadataOptions *meta = option->out;
    meta->pixel_std_count = parse_list(value, meta->pixel_std);
    bool good = meta->pixel_std_count > 0;
    for (int i = 0; i < meta->pixel_std_count; i++)
        good = good && meta->pixel_std[i] > 0;
    if (good)
        return 0;
    return refuse_value(option, value, err,
                        "a number above 0, or one for each channel: 0.2,0.2,0.3");
}

static int take_tokenizer(const CommandOption *option, const char *value, MegaError *err)
{
    static const struct {
        const char *name;
        MegaTextUnit unit;
    } tokenizers[] = {{"space", MEGA_TEXT_SYMBOLS},   {"word", MEGA_TEXT_SYMBOLS},
                      {"char", MEGA_TEXT_CHARACTERS}, {"byte", MEGA_TEXT_BYTES},
                      {"symbols", MEGA_TEXT_SYMBOLS}, {"characters", MEGA_TEXT_CHARACTERS},
                      {"bytes", MEGA_TEXT_BYTES},     {"moses", MEGA_TEXT_SYMBOLS}};
    MetadataOptions *meta = option->out;
    meta->moses = strcmp(value, "moses") == 0;
    for (size_t i = 0; i < sizeof tokenizers / sizeof tokenizers[0]; i++)
        if (strcmp(value, tokenizers[i].name) == 0) {
            meta->text_unit = (int)tokenizers[i].unit;
            return 0;
        }
    return refuse_value(option, value, err, "space, word, char, byte or moses");
}

static int take_capitals(const CommandOption *option, const char *value, MegaError *err)
{
    const bool lower = strcmp(value, "lower") == 0;
    if (!lower && strcmp(value, "keep") != 0)
        return refuse_value(option, value, err, "keep or lower");
    *(bool *)option->out = lower;
    return 0;
}

/* Takes --unknown: whether a run of unknown characters is one token, or each of them. */
static int take_unknown(const CommandOption *option, const char *value, MegaError *err)
{
    const bool each = strcmp(value, "each") == 0;
    if (!each && strcmp(value, "run") != 0)
        return refuse_value(option, value, err, "run or each");
    *(bool *)option->out = each;
    return 0;
}

static int take_template(const CommandOption *option, const char *value, MegaError *err)
{
    MetadataOptions *meta = option->out;
    if (meta->template_count == 2)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "--template may be given twice");
    meta->templates[meta->template_count++] = value;
    return 0;
}

static int take_glossary(const CommandOption *option, const char *value, MegaError *err)
{
    Options *options = option->out;
    MegaBpeOptions *bpe = &options->metadata.bpe;
    if (bpe->glossary_count == MAX_GLOSSARIES)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "--bpe-glossary may be given %d times",
                         MAX_GLOSSARIES);
    options->glossaries[bpe->glossary_count++] = value;
    bpe->glossaries = options->glossaries;
    return 0;
}

static int take_weights(const CommandOption *option, const char *value, MegaError *err)
{
    *(MegaWeightSet *)option->out = *value == 'e' ? MEGA_WEIGHTS_EMA : MEGA_WEIGHTS_MODEL;
    if (strcmp(value, "ema") == 0 || strcmp(value, "model") == 0)
        return 0;
    return refuse_value(option, value, err, "model or ema");
}

static int take_dtype(const CommandOption *option, const char *value, MegaError *err)
{
    WriteOptions *write = option->out;
    const int dtype = mega_dtype_by_name(value);
    if (!mega_dtype_storable(dtype))
        return refuse_value(option, value, err, "f32, f16, bf16, int8 or int4");
    write->dtype = (MegaDtype)dtype;
    write->keep_types = false;
    return 0;
}

/* ---- The command line ----------------------------------------------------------------------- */

/* Checks what one option alone cannot tell. Returns 0 or, after an error message, the exit
 * status. */
static int check_options(const Options *options, int inputs)
{
    if (inputs != 1)
        return usage_error(NULL, inputs ? "one checkpoint at a time, please"
                                        : "no checkpoint was given");
    if (options->list && options->tokenizer_only)
        return usage_error(NULL, "--list or --tokenizer-only, not both");
    if (!options->list && !options->write.path)
        return usage_error(NULL, "no output was given: -o MODEL.mega");
    return 0;
}

/* Derives what depends on several options, and checks these together. Returns 0 or, after an error
 * message, the exit status. */
static int settle_options(Options *options, bool compress, const char *input, int inputs)
{
    options->metadata.quiet = options->write.quiet;
    options->metadata.input_path = input;
    options->write.keep_going = options->force;
    options->write.compress = compress;
    return check_options(options, inputs);
}

bool read_options(Options *options, int argc, char **argv, int *status)
{
    MetadataOptions *meta = &options->metadata;
    WriteOptions *write = &options->write;
    const char **about = &options->describes;
    bool no_compress = false, version = false;
    int inputs;
    const CommandOption table[] = {
        {"output", 'o', .take = take_text, .out = &write->path},
        {"config", .take = take_text, .out = &options->config, .given = about},
        {"dict", .take = take_text, .out = &meta->dict, .given = about},
        {"vocab", .take = take_text, .out = &meta->vocab, .given = about},
        {"special", .take = take_text, .out = &meta->special, .given = about},
        {"template", .take = take_template, .out = meta, .given = about},
        {"upper", .take = take_flag, .out = &meta->upper, .given = about},
        {"lower", .take = take_flag, .out = &meta->lower, .given = about},
        {"unknown", .take = take_unknown, .out = &meta->unknown_each, .given = about},
        {"labels", .take = take_text, .out = &meta->labels, .given = about},
        {"audio-rate", .take = take_long, .out = &meta->audio_rate, .least = 1, .most = 1e6,
         .given = about},
        {"audio-mean", .take = take_mean, .out = &meta->audio_mean, .given = about},
        {"audio-std", .take = take_deviation, .out = &meta->audio_std, .given = about},
        {"audio-length", .take = take_long, .out = &meta->audio_length, .most = 1 << 26,
         .given = about},
        {"pixel-mean", .take = take_pixel_means, .out = meta, .given = about},
        {"pixel-std", .take = take_pixel_deviations, .out = meta, .given = about},
        {"source-dict", .take = take_text, .out = &meta->source_dict, .given = about},
        {"target-dict", .take = take_text, .out = &meta->target_dict, .given = about},
        {"tokenizer", .take = take_tokenizer, .out = meta, .given = about},
        {"capitals", .take = take_capitals, .out = &meta->lower_capitals, .given = about},
        {"tokenizer-only", .take = take_flag, .out = &options->tokenizer_only, .given = about},
        {"source-lang", .take = take_text, .out = &meta->source_lang, .given = about},
        {"target-lang", .take = take_text, .out = &meta->target_lang, .given = about},
        {"bpe-codes", .take = take_text, .out = &meta->bpe_codes, .given = about},
        {"bpe-vocabulary", .take = take_text, .out = &meta->bpe.vocabulary, .given = about},
        {"bpe-threshold", .take = take_long, .out = &meta->bpe.threshold, .most = 1e18,
         .given = about},
        {"bpe-glossary", .take = take_glossary, .out = options, .given = about},
        {"chunk-size", .take = take_long, .out = &options->chunk_size, .most = 1 << 26,
         .given = about},
        {"weights", .take = take_weights, .out = &options->weights, .given = about},
        {"allow-non-finite", .take = take_flag, .out = &write->allow_non_finite},
        {"dtype", .take = take_dtype, .out = write},
        {"keep-kernels", .take = take_long, .out = &write->keep_kernels, .most = MEGA_MAX_LENGTH},
        {"no-compress", .take = take_flag, .out = &no_compress},
        {"max-memory", .take = take_size, .out = &write->max_memory},
        {"name", .take = take_text, .out = &meta->provenance.name},
        {"license", .take = take_text, .out = &meta->provenance.license},
        {"source", .take = take_text, .out = &meta->provenance.source},
        {"default", .take = take_flag, .out = &meta->provenance.is_default},
        {"list", .take = take_flag, .out = &options->list, .given = about},
        {"json", .take = take_flag, .out = &options->json},
        {"force", .take = take_flag, .out = &options->force},
        {"quiet", 'q', .take = take_flag, .out = &write->quiet},
        {"verbose", 'v', .take = take_flag, .out = &options->verbose},
        {"version", .take = take_flag, .out = &version},
        {0}};
    if (!read_command_line(&(CommandSyntax){NULL, help, table}, argc, argv, &inputs, status))
        return false;
    if (version)
        print_version(program_name, NULL);
    *status = version ? finish_output(0) : settle_options(options, !no_compress, argv[1], inputs);
    return !version && *status == 0;
}
