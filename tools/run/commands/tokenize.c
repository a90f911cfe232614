/*
 * tokenize.c - mega-run tokenize: splits a text into the tokens that a model reads, with their
 * places in the text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/input_stream.h"
#include "tools/run/command_line.h"
#include "tools/run/lines.h"
#include "tools/run/options.h"
#include "tools/run/results.h"
#include "tools/run/results_file.h"
#include "tools/run/text_argument.h"
#include "tools/run/token_writer.h"
#include "tools/run/tokenizer_file.h"

static const char help[] =
    "Usage: mega-run tokenize [-m MODEL] [FILE | TEXT]...\n"
    "\n"
    "Prints the tokens that a model reads of a text: number, token, and where it begins and ends\n"
    "in the text, in characters, separated by TABs. Special tokens around the text are printed,\n"
    "too. Each file, text in quotes or standard input (-) is one text, byte for byte. The model\n"
    "is any that takes texts, or a file of mega-convert --tokenizer-only.\n"
    "\n"
    "  -m, --model FILE       the model (the shipped language model)\n"
    "      --text TEXT        tokenize TEXT, even if it looks like a file\n"
    "      --pair TEXT        a second text, for models that take two\n"
    "      --lines            each line is a text; an empty line is printed between two of them\n"
    "      --no-special       no special tokens around the text\n"
    "      --max-length N     cut to N tokens, special ones included\n"
    "      --truncate WHICH   which of two texts is cut: longest (default), first or second\n"
    "      --stride N         do not cut but print windows that overlap by N tokens\n"
    "      --bytes            places count bytes\n"
    "      --side SIDE        side of a translator: source (default) or target\n"
    "      --json             one JSON object for each text\n" SHARD_HELP
    "  -h, --help             show this help\n"
    "\n"
    "Exit status: 0 all texts were tokenized, 1 one was not, 2 wrong usage.\n";

typedef struct Options {
    const char *model, *text, *pair;
    Shard shard;
    bool lines, bytes, json;
    MegaTokenizerSide side;
    int max_length, stride; /* stride is -1 if the text is not split into windows */
    MegaEncodeOptions encode;
} Options;

typedef struct Tokenize {
    const Options *options;
    TokenizerFile tokenizer;
    TokenWriter writer;
    MegaTokens tokens; /* tokens of one window */
    size_t before;     /* how many texts came before this one, in all shards */
    int status;
} Tokenize;

static int take_truncation(const CommandOption *option, const char *value, MegaError *err)
{
    static const char *const names[] = {"longest", "first", "second"};
    for (int i = 0; i < 3; i++)
        if (strcmp(names[i], value) == 0) {
            *(MegaTruncation *)option->out = (MegaTruncation)i;
            return 0;
        }
    return refuse_value(option, value, err, "longest, first or second");
}

/* ---- Texts ---------------------------------------------------------------------------------- */

static int tokenize(Tokenize *t, const char *text, size_t size, MegaError *err)
{
    const Options *options = t->options;
    const MegaTexts texts = {.first = text ? text : "",
                             .first_size = size,
                             .second = options->pair && *options->pair ? options->pair : NULL,
                             .second_size = options->pair ? strlen(options->pair) : 0};
    MegaTokenized tokenized;
    int code = mega_tokenizer_encode_texts(t->tokenizer.tokenizer, &texts, &options->encode,
                                           &tokenized, err);
    for (size_t i = 0; !code && i < tokenized.windows; i++) {
        t->tokens.count = 0;
        code = mega_tokenized_window(&tokenized, i, &t->tokens, err);
        if (!code && options->bytes)
            count_token_bytes(&t->tokens, &texts);
        if (code)
            break;
        if (options->json) {
            token_writer_json(&t->writer, &t->tokens, i, tokenized.windows);
            token_writer_text(&t->writer, "\n");
        } else {
            token_writer_text(&t->writer, t->before + i > 0 ? "\n" : "");
            token_writer_lines(&t->writer, &t->tokens);
        }
    }
    mega_tokenized_free(&tokenized);
    return code;
}

/* Reports why a text failed; line is 0 for a whole file. */
static void report_failure(Tokenize *t, const char *name, size_t line, const MegaError *err)
{
    t->status = 1;
    token_writer_flush(&t->writer);
    if (line)
        report("%s, line %zu: %s", name, line, err->text);
    else
        report("%s: %s", name, err->text);
    if (t->options->json)
        print_json_failure(name, line, err);
}

static int tokenize_lines(Tokenize *t, char **paths, int count, MegaError *err)
{
    const MegaTextRules rules = mega_tokenizer_text_rules(
        mega_file_meta(t->tokenizer.file), t->tokenizer.side, false, "lines of text");
    LineReader lines;
    int code = line_reader_begin(&lines, paths, count, &rules, err), more = 0;
    lines.arguments = ARGUMENTS_MAY_BE_TEXTS;
    if (!code)
        code = line_reader_shard(&lines, &t->options->shard, err);
    while (!code && (more = line_reader_next(&lines, err)) > 0) {
        MegaError failure = {0};
        t->before = lines.taken - 1;
        if (tokenize(t, lines.text, lines.size, &failure))
            report_failure(t, lines.name, lines.number, &failure);
        if (!line_reader_ready(&lines)) {
            token_writer_flush(&t->writer);
            fflush(stdout);
        }
    }
    line_reader_end(&lines);
    return code ? code : more;
}

/* Tokenizes one text: an argument that is the text itself, or a whole file. */
static void tokenize_argument(Tokenize *t, const char *argument, bool literal)
{
    MegaBuffer text = {0};
    MegaError err = {0};
    bool is_text = literal;
    int code = literal ? 0 : is_text_argument(argument, &is_text, &err);
    if (!code && !is_text) {
        tell_of_terminal(argument);
        code = mega_source_read(&text, argument, "a text", MEGA_TEXT_MAX_SIZE, &err);
    }
    if (code) {
        report("%s", err.text);
        t->status = 1;
        return;
    }
    if (is_text)
        code = tokenize(t, argument, strlen(argument), &err);
    else
        code = tokenize(t, (const char *)text.data, text.size, &err);
    if (code)
        report_failure(t, is_text ? "the text" : mega_source_name(argument), 0, &err);
    mega_buffer_free(&text);
}

static void tokenize_arguments(Tokenize *t, char **arguments, int count)
{
    const char *text = t->options->text, *only = text ? text : "-";
    size_t first = 0, end = text || count == 0 ? 1 : (size_t)count;
    if (t->options->shard.count)
        shard_range(&t->options->shard, end, &first, &end);
    for (t->before = first; t->before < end; t->before++)
        tokenize_argument(t, text || count == 0 ? only : arguments[t->before], text != NULL);
}

static int run(const Options *options, char **inputs, int count)
{
    Tokenize t = {.options = options};
    MegaError err = {0};
    int code = tokenizer_file_open(&t.tokenizer, options->model, options->side, &err);
    if (!code)
        code = token_writer_new(&t.writer, stdout, t.tokenizer.tokenizer, options->json, &err);
    const bool opened = !code;
    if (!code && options->lines)
        code = tokenize_lines(&t, inputs, count, &err);
    else if (!code)
        tokenize_arguments(&t, inputs, count);
    if (!code && !t.writer.failed)
        all_results_are_there();
    if (code) {
        report("%s", err.text);
        t.status = 1;
    }
    if (opened)
        token_writer_flush(&t.writer);
    if (t.writer.failed) {
        report("no memory for the texts of tokens");
        t.status = 1;
    }
    token_writer_free(&t.writer);
    mega_tokens_free(&t.tokens);
    tokenizer_file_close(&t.tokenizer);
    return finish_results(t.status);
}

int command_tokenize(int argc, char **argv)
{
    Options options = {.stride = -1};
    MegaEncodeOptions *encode = &options.encode;
    const CommandOption table[] = {MODEL_OPTION(&options.model),
                                   {.name = "text", .take = take_text, .out = &options.text},
                                   {.name = "pair", .take = take_text, .out = &options.pair},
                                   {.name = "lines", .take = take_flag, .out = &options.lines},
                                   {.name = "no-special",
                                    .also = "no-special-tokens",
                                    .take = take_flag,
                                    .out = &encode->no_special},
                                   {.name = "max-length",
                                    .take = take_int,
                                    .out = &options.max_length,
                                    .least = 1,
                                    .most = MEGA_TEXT_MAX_SIZE},
                                   {.name = "truncate",
                                    .also = "truncation",
                                    .take = take_truncation,
                                    .out = &encode->truncation},
                                   {.name = "stride",
                                    .take = take_int,
                                    .out = &options.stride,
                                    .least = 0,
                                    .most = MEGA_TEXT_MAX_SIZE},
                                   {.name = "bytes", .take = take_flag, .out = &options.bytes},
                                   {.name = "side", .take = take_side, .out = &options.side},
                                   JSON_OPTION(&options.json),
                                   SHARD_OPTIONS(&options.shard),
                                   INPUT_OPTIONS,
                                   {0}};
    int inputs, status;
    if (!read_command_line(&(CommandSyntax){"tokenize", help, table}, argc, argv, &inputs, &status))
        return status;
    if (options.text && (inputs || options.lines))
        return usage_error("tokenize", "--text or %s, not both", inputs ? "files" : "--lines");
    if (options.pair && (options.lines || inputs > 1))
        return usage_error("tokenize", "--pair goes with one text");
    if (options.stride >= 0 && !options.max_length)
        return usage_error("tokenize", "--stride goes with --max-length");
    encode->max_length = (size_t)options.max_length;
    encode->windows = options.stride >= 0;
    encode->stride = encode->windows ? (size_t)options.stride : 0;
    if (!begin_results(&options.shard, &status))
        return status;
    return run(&options, argv + 1, inputs);
}
