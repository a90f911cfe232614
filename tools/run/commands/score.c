/*
 * score.c - mega-run score: prints the probability that a model gives texts, line by line or as a
 * whole.
 */
#define _GNU_SOURCE /* asprintf */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/common/progress.h"
#include "tools/run/command_line.h"
#include "tools/run/lines.h"
#include "tools/run/options.h"
#include "tools/run/results_file.h"
#include "tools/run/scoring.h"
#include "tools/run/text_argument.h"
#include "tools/run/verbose.h"

static const char help[] =
    "Usage: mega-run score [-m MODEL] [FILE | TEXT]...\n"
    "\n"
    "Prints log-probability (natural), number of tokens and perplexity, separated by TABs, for\n"
    "each line of files, texts in quotes or standard input; for a translator, lines are\n"
    "source<TAB>target, and the target is scored. Scoring starts from </s>; in a translation the\n"
    "final </s> counts, too. With --document each file is one text, whose context goes on across\n"
    "chunks; nats per token, perplexity, and bits per character and byte are printed.\n"
    "\n"
    "  -m, --model FILE        the model (the shipped language model)\n"
    "      --text TEXT         score TEXT, even if it looks like a file\n"
    "      --document          each file is one text\n"
    "      --eos               </s> at the end of a text is scored too\n"
    "      --per-token         every symbol and its log-probability, one a line\n"
    "      --tokens-per-sample N   a language model reads pieces of N tokens, each by itself\n"
    "      --context-window N  the first N tokens of each piece repeat the end of the one before,\n"
    "                          and are not scored again (0)\n"
    "      --chunk N           another chunk size, for a model with rotary bias; 0: none\n"
    "      --ids               texts are token ids, nothing added at their end\n"
    "      --pre-tokenized     text is tokenised already\n"
    "      --json              one JSON object for each text\n" SHARD_HELP SESSION_HELP
    "  -q, --quiet             no progress\n"
    "  -v, --verbose           report the model, how it runs, its speed and its memory\n"
    "  -h, --help              show this help\n"
    "\n"
    "Exit status: 0 all texts were scored, 1 some were not, 2 wrong usage.\n";

typedef struct Options {
    ScoreOptions score;
    const char *text;
    Shard shard;
    bool document, eos, per_token, json, quiet;
    int tokens_per_sample, context_window;
} Options;

typedef struct Score {
    const Options *options;
    Scorer scorer;
    uint64_t tokens; /* tokens of all texts */
    int status;
} Score;

static const char *symbol_of(const Score *s, int32_t id, char number[16])
{
    const char *symbol = NULL;
    if (!s->options->score.pipeline.ids)
        symbol = mega_pipeline_symbol(s->scorer.pipeline, MEGA_SIDE_OUTPUT, id);
    if (symbol)
        return symbol;
    snprintf(number, 16, "%d", id);
    return number;
}

static void print_tokens(const Score *s, const MegaScore *score)
{
    char number[16];
    for (size_t i = 0; i < score->count; i++)
        printf("%s\t%.4f\n", symbol_of(s, score->tokens[i], number), (double)score->logprobs[i]);
}

static json_t *tokens_json(const Score *s, const MegaScore *score)
{
    json_t *list = json_array();
    char number[16];
    for (size_t i = 0; i < score->count; i++)
        json_array_append_new(list, json_pack("{s:i,s:o,s:o}", "id", score->tokens[i], "symbol",
                                              json_text(symbol_of(s, score->tokens[i], number)),
                                              "logprob", json_number((double)score->logprobs[i])));
    return list;
}

/* Prints the result of one text as a line, a table, tokens or a JSON object. */
static void print_result(const Score *s, const MegaScore *score, const char *name, size_t line)
{
    ScoreTotal total = {0};
    score_add(&total, score);
    const Options *options = s->options;
    if (options->json) {
        json_t *object = json_text_place(name, line), *figures = score_json(&s->scorer, &total);
        json_object_update(object, figures);
        json_decref(figures);
        if (options->per_token)
            json_object_set_new(object, "token_scores", tokens_json(s, score));
        print_json_line(object);
    } else if (options->per_token) {
        print_tokens(s, score);
        if (line)
            putchar('\n');
    } else if (line) {
        const double nats = score->count ? -score->logprob / (double)score->count : 0;
        printf("%.4f\t%zu\t%.4f\n", score->logprob, score->count, exp(nats));
    } else {
        score_print(&s->scorer, &total);
    }
    fflush(stdout);
}

static void fail_text(Score *s, const char *name, size_t line, const MegaError *err)
{
    s->status = 1;
    if (line)
        report("%s, line %zu: %s", name, line, err->text);
    else
        report("%s: %s", name, err->text);
    if (s->options->json)
        print_json_failure(name, line, err);
    else if (line && !s->options->per_token)
        puts("nan\t0\tnan");
}

/* Scores one text; line is 0 for a whole document. */
static void score_one(Score *s, const char *text, size_t size, const char *name, size_t line,
                      void (*progress)(void *context, size_t done), void *context)
{
    const MegaScoreOptions options = {.eos = s->options->eos,
                                      .tokens_per_sample = s->options->tokens_per_sample,
                                      .context_window = s->options->context_window,
                                      .progress = progress,
                                      .context = context};
    char *where = NULL;
    MegaScore score = {0};
    MegaError err = {0};
    if (line && asprintf(&where, "%s, line %zu", name, line) < 0)
        where = NULL;
    const MegaRaw raw = {
        .kind = MEGA_RAW_TEXT, .data = text, .size = size, .name = where ? where : name};
    if (mega_pipeline_score(s->scorer.pipeline, &raw, &options, &score, &err)) {
        fail_text(s, name, line, &err);
    } else {
        s->tokens += score.count;
        print_result(s, &score, name, line);
    }
    mega_score_free(&score);
    free(where);
}

static int score_lines(Score *s, char **paths, int count, MegaError *err)
{
    LineReader reader;
    Progress progress;
    const MegaTextRules rules = scorer_rules(&s->scorer, "lines of text");
    size_t done = 0;
    int more = 1, code = line_reader_begin(&reader, paths, count, &rules, err);
    reader.arguments = s->options->text ? ARGUMENTS_ARE_TEXTS : ARGUMENTS_MAY_BE_TEXTS;
    if (!code)
        code = line_reader_shard(&reader, &s->options->shard, err);
    if (code) {
        line_reader_end(&reader);
        return code;
    }
    const size_t total = line_reader_total(&reader);
    /* on the same terminal, the progress bar would overwrite the lines */
    bool hidden = s->options->quiet || total == 0 || isatty(STDOUT_FILENO);
    progress_begin(&progress, total, "lines", hidden);
    while (more > 0 && !ferror(stdout)) {
        more = line_reader_next(&reader, err);
        if (more <= 0)
            break;
        score_one(s, reader.text, reader.size, reader.name, reader.number, NULL, NULL);
        progress_update(&progress, ++done);
    }
    progress_end(&progress);
    line_reader_end(&reader);
    return more < 0 ? more : 0;
}

static void show_progress(void *context, size_t done)
{
    progress_update(context, done);
}

static int score_document(Score *s, const char *path, MegaError *err)
{
    MegaBuffer text = {0};
    Progress progress;
    const char *name;
    const MegaTextRules rules = scorer_rules(&s->scorer, "a text");
    int code = read_text_argument(&text, path,
                                  s->options->text ? ARGUMENTS_ARE_TEXTS : ARGUMENTS_MAY_BE_TEXTS,
                                  &rules, &name, err);
    /* there are at most as many tokens as bytes, and as many if a token is a character */
    if (!code) {
        progress_begin(&progress, text.size, "tokens", s->options->quiet);
        score_one(s, (const char *)text.data, text.size, name ? name : "the text", 0, show_progress,
                  &progress);
        progress_end(&progress);
    }
    mega_buffer_free(&text);
    return code;
}

/* Scores each file as one text. One that cannot be read does not stop the others. */
static void score_documents(Score *s, char **paths, int count)
{
    static char standard_input[] = "-", *standard_paths[] = {standard_input};
    size_t first = 0, end = count ? (size_t)count : 1;
    if (count == 0)
        paths = standard_paths;
    if (s->options->shard.count)
        shard_range(&s->options->shard, end, &first, &end);
    for (size_t i = first; i < end; i++) {
        MegaError err = {0};
        if (score_document(s, paths[i], &err) == 0)
            continue;
        s->status = 1;
        report("%s", err.text);
        if (s->options->json)
            print_json_failure(paths[i], 0, &err);
    }
}

static int run(const Options *options, char **paths, int count)
{
    Score s = {.options = options};
    MegaError err = {0};
    int code = scorer_open(&s.scorer, &options->score, &err);
    double begun = clock_seconds();
    if (!code && !options->document)
        code = score_lines(&s, paths, count, &err);
    else if (!code)
        score_documents(&s, paths, count);
    if (!code)
        all_results_are_there();
    if (!code && options->score.verbose)
        verbose_end(s.tokens, "token", clock_seconds() - begun);
    if (code) {
        report("%s", err.text);
        s.status = 1;
    }
    scorer_close(&s.scorer);
    return finish_results(s.status);
}

int command_score(int argc, char **argv)
{
    Options options = {0};
    ScoreOptions *score = &options.score;
    const CommandOption table[] = {
        MODEL_OPTION(&score->model),
        {.name = "text", .also = "prompt", .take = take_text, .out = &options.text},
        {.name = "document", .take = take_flag, .out = &options.document},
        {.name = "eos", .take = take_flag, .out = &options.eos},
        {.name = "per-token", .take = take_flag, .out = &options.per_token},
        {.name = "tokens-per-sample",
         .take = take_int,
         .out = &options.tokens_per_sample,
         .least = 1,
         .most = INT32_MAX},
        {.name = "context-window",
         .take = take_int,
         .out = &options.context_window,
         .most = INT32_MAX},
        {.name = "chunk", .take = take_chunk, .out = &score->pipeline.chunk},
        {.name = "ids", .take = take_flag, .out = &score->pipeline.ids},
        {.name = "pre-tokenized", .take = take_flag, .out = &score->pipeline.pre_tokenized},
        JSON_OPTION(&options.json),
        SHARD_OPTIONS(&options.shard),
        FILE_OPTIONS(&score->pipeline.session, &options.quiet, &score->verbose),
        {0}};
    int inputs, status;
    if (!read_command_line(&(CommandSyntax){"score", help, table}, argc, argv, &inputs, &status))
        return status;
    if (options.text && inputs)
        return usage_error("score", "--text or files, not both");
    if (options.context_window > 0 && options.context_window >= options.tokens_per_sample)
        return usage_error("score", "--context-window %d needs a larger --tokens-per-sample",
                           options.context_window);
    if (!begin_results(&options.shard, &status))
        return status;
    score->pipeline.warn = options.quiet ? NULL : warn_once;
    char *text[] = {(char *)options.text};
    return options.text ? run(&options, text, 1) : run(&options, argv + 1, inputs);
}
