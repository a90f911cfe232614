/*
 * translate.c - mega-run translate: a line in, a line out.
 *
 * Lines are taken up to --batch at a time and searched together; results come in the order of the
 * lines and are the same as one by one.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/text/tokenizer.h"
#include "src/encode/session.h"
#include "src/model/model.h"
#include "tools/common/progress.h"
#include "tools/run/command_line.h"
#include "tools/run/find_model.h"
#include "tools/run/lines.h"
#include "tools/run/options.h"
#include "tools/run/text_argument.h"
#include "tools/run/verbose.h"

static const char help[] =
    "Usage: mega-run translate [-m MODEL] [FILE | TEXT]...\n"
    "\n"
    "Translates files, texts in quotes, or standard input, line by line; an empty line stays one.\n"
    "\n"
    "  -m, --model FILE        the model (the shipped translator)\n"
    "      --beam N            hypotheses that are followed (5)\n"
    "      --nbest K           print the K best, one a line (1)\n"
    "      --lenpen X          a score is divided by length^X (1)\n"
    "      --unnormalized      a score is the sum of its tokens'\n"
    "      --max-len-a X, --max-len-b N   at most X * source length + N tokens (0, 200)\n"
    "      --min-len N         at least N tokens (1)\n"
    "      --no-repeat-ngram N never repeat N tokens in a row (off)\n"
    "      --text TEXT         translate TEXT, whatever it looks like\n"
    "      --prefix TEXT       every translation begins with TEXT\n"
    "      --unk-penalty X     taken from the score of unknown words (0)\n"
    "      --temperature X     divides the logits (1)\n"
    "      --scores            the score and a TAB before each translation\n"
    "      --alignments        a TAB and pairs 'source-target' of symbols behind it\n"
    "      --json              one JSON object a line\n"
    "      --ids               token ids in and out, nothing added or removed\n"
    "      --pre-tokenized     text is tokenised already, and stays so\n"
    "      --batch N           lines that are translated together (1)\n"
    "  -t, --threads N         (as many as there are processors)\n"
    "      --cpu NAME          kernels: generic, avx2 ... (the best of this machine)\n"
    "      --max-memory SIZE   refuse what needs more, such as 300M\n"
    "  -q, --quiet             no progress\n"
    "  -v, --verbose           say what model runs how, how fast and in what memory\n"
    "  -h, --help              show this help\n"
    "\n"
    "Exit status: 0 all lines were translated, 1 some were not (they come out empty), 2 wrong\n"
    "usage.\n";

typedef struct Options {
    const char *model, *prefix, *text;
    MegaSearchOptions search;
    int nbest, batch;
    MegaSessionOptions session;
    bool scores, json, ids, pre_tokenized, quiet, verbose;
} Options;

/* One line on its way. */
typedef struct Line {
    MegaBuffer text; /* as it was read, but in UTF-8; for JSON */
    int32_t *ids;
    size_t count; /* 0: empty, or an error */
    const char *name; /* of the file, and the line's number in it */
    size_t number;
    MegaError err;
} Line;

typedef struct Translator {
    const Options *options;
    MegaModel *model;
    MegaSession *session;
    MegaCodec *source, *target; /* NULL with --ids and a model without dictionaries */
    MegaSearchOptions search;
    int32_t *prefix;
    Line *lines; /* [batch] */
    size_t done; /* lines */
    int status;
} Translator;

/* ---- Reading -------------------------------------------------------------------------------- */

static int read_ids(const Translator *t, const LineReader *reader, Line *line, MegaError *err)
{
    const char *at = reader->text, *word;
    size_t length;
    if (!mega_utf8_next_word(&at, reader->text + reader->size, &word, &length))
        return 0;
    return mega_text_parse_ids(reader->text, reader->size,
                               mega_model_config(t->model)->embed.vocab, "the ids", &line->ids,
                               &line->count, err);
}

static int read_text(const Translator *t, const LineReader *reader, Line *line, MegaError *err)
{
    int code = mega_codec_encode(t->source, reader->text, reader->size, t->options->pre_tokenized,
                                 &line->ids, &line->count, err);
    if (!code && !t->options->quiet)
        warn_of_unknown(line->ids, line->count, MEGA_ID_UNK, reader->name, reader->number);
    if (!code && line->count > 0) /* mega_text_encode leaves room for it */
        line->ids[line->count++] = MEGA_ID_EOS;
    return code;
}

static void take_line(const Translator *t, const LineReader *reader, Line *line)
{
    MegaError *err = &line->err;
    *line = (Line){.name = reader->name, .number = reader->number};
    if (t->options->json)
        mega_utf8_repair(reader->text, reader->size, &line->text);
    int code = t->options->ids ? read_ids(t, reader, line, err) : read_text(t, reader, line, err);
    if (!code && line->text.failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a line");
    if (code)
        line->count = 0;
}

/* ---- Writing -------------------------------------------------------------------------------- */

static void put_ids(const MegaHypothesis *hypothesis, MegaBuffer *out)
{
    char number[16];
    for (size_t i = 0; i < hypothesis->length; i++)
        mega_put_bytes(out, number,
                       (size_t)snprintf(number, sizeof number, "%s%d", i ? " " : "",
                                        hypothesis->tokens[i]));
}

/* The hypothesis as a text, or as ids. */
static int put_text(const Translator *t, const MegaHypothesis *hypothesis, MegaBuffer *out,
                    MegaError *err)
{
    if (t->options->ids || !t->target) {
        put_ids(hypothesis, out);
        return out->failed ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for a line") : 0;
    }
    return mega_codec_decode(t->target, hypothesis->tokens, hypothesis->length,
                             t->options->pre_tokenized, out, err);
}

/* The source position that a target token looks at most. */
static size_t aligned(const MegaHypothesis *hypothesis, size_t token, size_t source_length)
{
    const float *row = hypothesis->attention + token * source_length;
    size_t best = 0;
    for (size_t j = 1; j < source_length; j++)
        if (row[j] > row[best])
            best = j;
    return best;
}

static void print_text(const Translator *t, const MegaTranslation *result, int rank,
                       const MegaBuffer *text)
{
    const MegaHypothesis *hypothesis = &result->hypotheses[rank];
    if (t->options->scores)
        printf("%.4f\t", hypothesis->score);
    for (size_t i = 0; i < text->size; i++) /* one line out: no line end inside */
        putchar(text->data[i] == '\n' ? ' ' : text->data[i]);
    if (t->search.alignments) {
        putchar('\t');
        for (size_t i = 0; i + 1 < hypothesis->length; i++)
            printf("%s%zu-%zu", i ? " " : "", aligned(hypothesis, i, result->source_length), i);
    }
    putchar('\n');
}

static json_t *symbols_json(const MegaCodec *codec, const int32_t *ids, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const char *symbol = mega_vocab_symbol(mega_codec_vocab(codec), ids[i]);
        json_array_append_new(list, json_text(symbol ? symbol : ""));
    }
    return list;
}

static json_t *hypothesis_json(const Translator *t, const MegaTranslation *result, int rank,
                               const MegaBuffer *text)
{
    const MegaHypothesis *hypothesis = &result->hypotheses[rank];
    json_t *object = json_object(), *ids = json_array(), *scores = json_array();
    for (size_t i = 0; i < hypothesis->length; i++) {
        json_array_append_new(ids, json_integer(hypothesis->tokens[i]));
        json_array_append_new(scores, json_number((double)hypothesis->scores[i]));
    }
    if (t->target)
        json_object_set_new(object, "text", json_bytes(text->data, text->size));
    json_object_set_new(object, "ids", ids);
    json_object_set_new(object, "score", json_number(hypothesis->score));
    json_object_set_new(object, "token_scores", scores);
    if (t->search.alignments) {
        json_t *alignment = json_array();
        for (size_t i = 0; i < hypothesis->length; i++)
            json_array_append_new(
                alignment,
                json_integer((json_int_t)aligned(hypothesis, i, result->source_length)));
        json_object_set_new(object, "alignment", alignment);
        if (t->target)
            json_object_set_new(object, "symbols",
                                symbols_json(t->target, hypothesis->tokens, hypothesis->length));
    }
    return object;
}

static void fail_line(Translator *t, const Line *line)
{
    MegaError err;
    mega_fail(&err, line->err.code, "%s, line %zu: %s", line->name, line->number, line->err.text);
    t->status = 1;
    report("%s", err.text);
    if (t->options->json)
        print_json_line(
            json_pack("{s:o,s:o}", "source", json_bytes(line->text.data, line->text.size), "error",
                      json_error(&err)));
    else
        putchar('\n');
}

/* All hypotheses of a line that are asked for; an empty line has none. */
static int print_line(Translator *t, const Line *line, const MegaTranslation *result,
                      MegaError *err)
{
    json_t *list = t->options->json ? json_array() : NULL;
    int wanted = t->options->nbest, code = 0;
    for (int rank = 0; result && rank < wanted && rank < result->count && !code; rank++) {
        MegaBuffer text = {0};
        if (t->target || !t->options->json)
            code = put_text(t, &result->hypotheses[rank], &text, err);
        if (code || !t->options->json) {
            if (!code)
                print_text(t, result, rank, &text);
        } else {
            json_array_append_new(list, hypothesis_json(t, result, rank, &text));
        }
        mega_buffer_free(&text);
    }
    if (!list && (!result || result->count == 0))
        putchar('\n');
    if (list) {
        json_t *object =
            json_pack("{s:o,s:o}", "source", json_bytes(line->text.data, line->text.size),
                      "hypotheses", list);
        if (t->search.alignments && t->source && line->count > 0)
            json_object_set_new(object, "source_symbols",
                                symbols_json(t->source, line->ids, line->count));
        print_json_line(object);
    }
    fflush(stdout);
    return code;
}

/* ---- Running -------------------------------------------------------------------------------- */

/* Searches the lines that have something in them. When the batch fails, one of its lines is to
 * blame: each is tried alone. */
static void search_lines(Translator *t, int count, MegaTranslation *results)
{
    MegaInput *sources = calloc((size_t)count, sizeof *sources);
    MegaTranslation *found = calloc((size_t)count, sizeof *found);
    bool memory = sources && found;
    MegaError err = {0};
    int used = 0;
    if (!memory)
        mega_fail(&err, MEGA_ERR_MEMORY, "no memory for %d lines", count);
    for (int i = 0; memory && i < count; i++)
        if (t->lines[i].count > 0)
            sources[used++] = (MegaInput){.kind = MEGA_INPUT_TOKENS, .tokens = t->lines[i].ids,
                                          .length = t->lines[i].count};
    bool together = memory && used > 0 &&
                    mega_session_translate(t->session, sources, used, &t->search, found, &err) == 0;
    for (int i = 0, next = 0; i < count; i++) {
        Line *line = &t->lines[i];
        if (line->count == 0)
            continue;
        if (together)
            results[i] = found[next];
        else if (!memory || used == 1)
            line->err = err;
        else
            mega_session_translate(t->session, &sources[next], 1, &t->search, &results[i],
                                   &line->err);
        next++;
    }
    free(sources);
    free(found);
}

/* Translates and prints the lines that were taken. */
static int run_lines(Translator *t, int count, MegaError *err)
{
    MegaTranslation *results = calloc((size_t)count, sizeof *results);
    int code = 0;
    if (!results)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d lines", count);
    search_lines(t, count, results);
    for (int i = 0; i < count; i++) {
        Line *line = &t->lines[i];
        if (line->err.code)
            fail_line(t, line);
        else if (!code)
            code = print_line(t, line, line->count ? &results[i] : NULL, err);
        mega_translation_free(&results[i]);
        mega_buffer_free(&line->text);
        free(line->ids);
        *line = (Line){0};
    }
    free(results);
    return code;
}

static int run_files(Translator *t, char **paths, int count, MegaError *err)
{
    LineReader reader;
    Progress progress;
    int batch = t->options->batch, taken = 0, more = 1, code = 0;
    MegaTextRules rules = mega_codec_text_rules(mega_model_meta(t->model), MEGA_CODEC_SOURCE,
                                                t->options->ids, "lines of text");
    mega_text_limit(&rules, mega_session_left(t->session));
    size_t total = count_lines(paths, count, &rules);
    code = line_reader_begin(&reader, paths, count, &rules, err);
    reader.arguments = t->options->text ? ARGUMENTS_ARE_TEXTS : ARGUMENTS_MAY_BE_TEXTS;
    /* on one terminal the bar would stand in the way of the lines */
    bool hidden = t->options->quiet || total == 0 || isatty(STDOUT_FILENO);
    progress_begin(&progress, total, "lines", hidden);
    while (!code && more > 0 && !ferror(stdout)) {
        more = line_reader_next(&reader, err);
        if (more > 0)
            take_line(t, &reader, &t->lines[taken++]);
        if (taken > 0 && (taken == batch || more <= 0)) {
            code = run_lines(t, taken, err);
            t->done += (size_t)taken;
            taken = 0;
            progress_update(&progress, t->done);
        }
    }
    progress_end(&progress);
    line_reader_end(&reader);
    return code ? code : more < 0 ? more : 0;
}

static int load_codecs(Translator *t, MegaError *err)
{
    const MegaMeta *meta = mega_model_meta(t->model);
    bool has_text = mega_meta_find(meta, MEGA_VOCAB_KEY) ||
                    mega_meta_find(meta, MEGA_VOCAB_TARGET_KEY);
    if (t->options->ids && !has_text)
        return 0;
    int code = mega_codec_new(&t->source, meta, MEGA_CODEC_SOURCE, err);
    return code ? code : mega_codec_new(&t->target, meta, MEGA_CODEC_TARGET, err);
}

static int load_prefix(Translator *t, MegaError *err)
{
    const char *text = t->options->prefix;
    if (!text)
        return 0;
    int code = t->options->ids
                   ? mega_text_parse_ids(text, strlen(text), mega_model_vocab_size(t->model),
                                         "--prefix", &t->prefix, &t->search.prefix_length, err)
                   : mega_codec_encode(t->target, text, strlen(text), t->options->pre_tokenized,
                                       &t->prefix, &t->search.prefix_length, err);
    t->search.prefix = t->prefix;
    if (!code && t->search.max_len_a == 0 &&
        t->search.prefix_length > (size_t)t->search.max_len_b)
        code = mega_fail(err, MEGA_ERR_ARGUMENT,
                         "--prefix has %zu tokens, but --max-len-b allows a translation of %d; "
                         "give more, or a shorter prefix",
                         t->search.prefix_length, t->search.max_len_b);
    return code;
}

static int load(Translator *t, MegaError *err)
{
    char *path = NULL;
    double begun = clock_seconds();
    int code = open_model(&t->model, &path, t->options->model, MEGA_TASK_TRANSLATE, MEGA_CONTENT_TEXT,
                          t->options->session.max_memory, err);
    if (!code && mega_model_task(t->model) != MEGA_TASK_TRANSLATE)
        code = fail_wrong_model(t->model, path, "to translate", MEGA_TASK_TRANSLATE, MEGA_CONTENT_TEXT,
                                err);
    if (!code)
        code = mega_session_new(&t->session, t->model, &t->options->session, err);
    if (!code)
        code = load_codecs(t, err);
    if (!code)
        code = load_prefix(t, err);
    t->lines = calloc((size_t)t->options->batch, sizeof *t->lines);
    if (!code && !t->lines)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d lines", t->options->batch);
    if (!code && t->options->verbose)
        verbose_session(path, t->session, clock_seconds() - begun);
    free(path);
    return code;
}

static int run(const Options *options, char **paths, int count)
{
    Translator t = {.options = options, .search = options->search};
    MegaError err = {0};
    int code = load(&t, &err);
    double begun = clock_seconds();
    if (!code)
        code = run_files(&t, paths, count, &err);
    if (!code && options->verbose)
        verbose_end(t.done, "line", clock_seconds() - begun);
    if (code) {
        report("%s", err.text);
        t.status = 1;
    }
    free(t.lines);
    free(t.prefix);
    mega_codec_free(t.source);
    mega_codec_free(t.target);
    mega_session_free(t.session);
    mega_model_free(t.model);
    return finish_output(t.status);
}

int command_translate(int argc, char **argv)
{
    Options options = {.search = mega_search_defaults(), .nbest = 1, .batch = 1};
    MegaSearchOptions *search = &options.search;
    const CommandOption table[] = {
        MODEL_OPTION(&options.model),
        {.name = "beam", .also = "beam-size num-beams", .take = take_int, .out = &search->beam,
         .least = 1, .most = 1024},
        {.name = "nbest", .also = "n-best", .take = take_int, .out = &options.nbest, .least = 1,
         .most = 1024},
        {.name = "lenpen", .also = "length-penalty", .take = take_real,
         .out = &search->length_penalty, .least = -100, .most = 100},
        {.name = "unnormalized", .take = take_flag, .out = &search->unnormalized},
        {.name = "max-len-a", .take = take_real, .out = &search->max_len_a, .most = 1e6},
        {.name = "max-len-b", .take = take_int, .out = &search->max_len_b, .most = 1 << 26},
        {.name = "min-len", .take = take_int, .out = &search->min_len, .most = 1 << 26},
        {.name = "no-repeat-ngram", .also = "no-repeat-ngram-size", .take = take_int,
         .out = &search->no_repeat_ngram, .most = 1 << 20},
        {.name = "prefix", .take = take_text, .out = &options.prefix},
        {.name = "text", .also = "prompt", .take = take_text, .out = &options.text},
        {.name = "unk-penalty", .also = "unkpen", .take = take_real, .out = &search->unk_penalty,
         .least = -1e6, .most = 1e6},
        {.name = "temperature", .take = take_real, .out = &search->temperature, .least = 1e-6,
         .most = 1e6},
        {.name = "scores", .take = take_flag, .out = &options.scores},
        {.name = "alignments", .take = take_flag, .out = &search->alignments},
        JSON_OPTION(&options.json),
        {.name = "ids", .take = take_flag, .out = &options.ids},
        {.name = "pre-tokenized", .take = take_flag, .out = &options.pre_tokenized},
        {.name = "batch", .also = "batch-size", .take = take_int, .out = &options.batch,
         .least = 1, .most = 4096},
        SESSION_OPTIONS(&options.session),
        QUIET_OPTION(&options.quiet),
        VERBOSE_OPTION(&options.verbose),
        INPUT_OPTIONS,
        {0}};
    int inputs, status;
    if (!read_command_line(&(CommandSyntax){"translate", help, table}, argc, argv, &inputs,
                           &status))
        return status;
    if (options.nbest > search->beam)
        return usage_error("translate", "--nbest %d needs at least --beam %d", options.nbest,
                           options.nbest);
    if (search->max_len_a == 0 && search->min_len > search->max_len_b)
        return usage_error("translate", "--min-len %d needs at least --max-len-b %d",
                           search->min_len, search->min_len);
    if (options.text && inputs)
        return usage_error("translate", "--text or files, not both");
    char *text[] = {(char *)options.text};
    return options.text ? run(&options, text, 1) : run(&options, argv + 1, inputs);
}
