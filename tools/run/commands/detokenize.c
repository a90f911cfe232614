/*
 * detokenize.c - mega-run detokenize: prints the text of token ids.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/input_stream.h"
#include "tools/run/command_line.h"
#include "tools/run/lines.h"
#include "tools/run/options.h"
#include "tools/run/results_file.h"
#include "tools/run/tokenizer_file.h"

static const char help[] =
    "Usage: mega-run detokenize [-m MODEL] [ID]...\n"
    "\n"
    "Prints the text of token ids, which are arguments or, without any, on standard input. "
    "Special\n"
    "tokens are left out, and so are numbers that are not tokens. Bytes that are not UTF-8 become\n"
    "U+FFFD.\n"
    "\n"
    "  -m, --model FILE   the model (the shipped language model)\n"
    "      --lines        each line of standard input is a text of its own\n"
    "      --special      keep special tokens in the text\n"
    "      --clean-up     leave out blanks before punctuation and English endings\n"
    "      --side SIDE    side of a translator: source (default) or target\n"
    "      --json         one JSON object for each text\n" SHARD_HELP
    "  -h, --help         show this help\n"
    "\n"
    "Exit status: 0 the text was printed, 1 it was not, 2 wrong usage.\n";

typedef struct Options {
    const char *model;
    Shard shard;
    bool lines, json;
    MegaTokenizerSide side;
    MegaDecodeOptions decode;
} Options;

static int print_text(const Options *options, const TokenizerFile *file, const char *text,
                      size_t size, const char *name, MegaError *err)
{
    int32_t *ids = NULL;
    size_t count = 0;
    MegaBuffer out = {0};
    int code = 0;
    mega_utf8_trim(&text, &size);
    if (size > 0)
        code = mega_text_parse_ids(text, size, INT_MAX, name, &ids, &count, err);
    if (!code)
        code = mega_tokenizer_decode_text(file->tokenizer, ids, count, &options->decode, &out, err);
    if (!code && options->json) {
        print_json_line(json_pack("{s:o}", "text",
                                  json_stringn(out.data ? (const char *)out.data : "", out.size)));
    } else if (!code) {
        fwrite(out.data, 1, out.size, stdout);
        putchar('\n');
    }
    free(ids);
    mega_buffer_free(&out);
    return code;
}

static int read_lines(const Options *options, const TokenizerFile *file, int *status,
                      MegaError *err)
{
    const MegaTextRules rules = {.what = "lines of token ids", .limit = MEGA_TEXT_MAX_SIZE};
    LineReader lines;
    int code = line_reader_begin(&lines, NULL, 0, &rules, err), more = 0;
    if (!code)
        code = line_reader_shard(&lines, &options->shard, err);
    while (!code && (more = line_reader_next(&lines, err)) > 0) {
        MegaError failure = {0};
        char name[64];
        snprintf(name, sizeof name, "standard input, line %zu", lines.number);
        if (print_text(options, file, lines.text, lines.size, name, &failure)) {
            report("%s", failure.text);
            *status = 1;
        }
        fflush(stdout);
    }
    line_reader_end(&lines);
    return code ? code : more;
}

static int read_all(const Options *options, const TokenizerFile *file, MegaError *err)
{
    MegaBuffer text = {0};
    int code = mega_source_read(&text, "-", "token ids", MEGA_TEXT_MAX_SIZE, err);
    if (!code)
        code = print_text(options, file, text.data ? (const char *)text.data : "", text.size,
                          "standard input", err);
    mega_buffer_free(&text);
    return code;
}

static int read_arguments(const Options *options, const TokenizerFile *file, char **arguments,
                          int count, MegaError *err)
{
    MegaBuffer text = {0};
    for (int i = 0; i < count; i++) {
        mega_put_bytes(&text, arguments[i], strlen(arguments[i]));
        mega_put_u8(&text, ' ');
    }
    int code = text.failed ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for the arguments")
                           : print_text(options, file, (const char *)text.data, text.size,
                                        "the command line", err);
    mega_buffer_free(&text);
    return code;
}

int command_detokenize(int argc, char **argv)
{
    Options options = {0};
    const CommandOption table[] = {
        MODEL_OPTION(&options.model),
        {.name = "lines", .take = take_flag, .out = &options.lines},
        {.name = "special",
         .also = "keep-special",
         .take = take_flag,
         .out = &options.decode.keep_special},
        {.name = "clean-up", .take = take_flag, .out = &options.decode.clean_up},
        {.name = "side", .take = take_side, .out = &options.side},
        JSON_OPTION(&options.json),
        SHARD_OPTIONS(&options.shard),
        {0}};
    int inputs, status;
    MegaError err = {0};
    TokenizerFile file;
    if (!read_command_line(&(CommandSyntax){"detokenize", help, table}, argc, argv, &inputs,
                           &status))
        return status;
    const bool is_stream = inputs == 0 || (inputs == 1 && strcmp(argv[1], "-") == 0);
    if (options.lines && !is_stream)
        return usage_error("detokenize", "--lines reads standard input; unexpected argument '%s'",
                           argv[1]);
    if (options.shard.count && !options.lines)
        return usage_error("detokenize", "--shard needs --lines");
    if (!begin_results(&options.shard, &status))
        return status;
    int code = tokenizer_file_open(&file, options.model, options.side, &err);
    if (!code && options.lines)
        code = read_lines(&options, &file, &status, &err);
    else if (!code && is_stream)
        code = read_all(&options, &file, &err);
    else if (!code)
        code = read_arguments(&options, &file, argv + 1, inputs, &err);
    if (code) {
        report("%s", err.text);
        status = 1;
    } else {
        all_results_are_there();
    }
    tokenizer_file_close(&file);
    return finish_results(status);
}
