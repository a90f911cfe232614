/*
 * translate.c - mega-run translate: translates texts line by line.
 *
 * Up to --batch lines are read and searched together. Where more lines are there already, each
 * thread takes such a batch for itself, which is faster than all threads at one. A batch that comes
 * alone has all of them, so that whoever waits for it waits no longer than needed. Results come in
 * the order of the lines, and are the same as for one line at a time.
 */
#define _GNU_SOURCE /* asprintf */
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
#include "tools/run/crew.h"
#include "tools/run/find_model.h"
#include "tools/run/lines.h"
#include "tools/run/options.h"
#include "tools/run/results.h"
#include "tools/run/results_file.h"
#include "tools/run/text_argument.h"
#include "tools/run/verbose.h"

static const char help[] =
    "Usage: mega-run translate [-m MODEL] [FILE | TEXT]...\n"
    "\n"
    "Translates files, texts in quotes, or standard input, line by line; empty lines stay empty.\n"
    "\n"
    "  -m, --model FILE        the model (the shipped translator)\n"
    "      --to LANG           use the first model that translates into that language, such as de\n"
    "      --beam N            width of the beam (5)\n"
    "      --nbest K           print the K best, one a line (1)\n"
    "      --lenpen X          divide scores by length^X (1)\n"
    "      --unnormalized      do not divide scores by the length\n"
    "      --max-len-a X, --max-len-b N   at most X * source length + N tokens (0, 200)\n"
    "      --min-len N         at least N tokens (1)\n"
    "      --no-repeat-ngram N never repeat N tokens in a row, 2 or more (off)\n"
    "      --text TEXT         translate TEXT, even if it looks like a file\n"
    "      --prefix TEXT       every translation begins with TEXT\n"
    "      --unk-penalty X     subtract X from the score of unknown words (0)\n"
    "      --temperature X     divide the logits by X (1)\n"
    "      --scores            print the score and a TAB before each translation\n"
    "      --warn-below X      warn if a translation's mean log-probability is below X (-1 on a\n"
    "                          terminal, else never)\n"
    "      --alignments        print a TAB and pairs 'source-target' of symbols after it\n"
    "      --json              one JSON object a line\n"
    "      --ids               token ids in and out, nothing added or removed\n"
    "      --pre-tokenized     input is tokenised already, and output stays tokenised\n"
    "      --batch N           lines that are translated together (1)\n" SHARD_HELP SESSION_HELP
    "  -q, --quiet             no progress\n"
    "  -v, --verbose           report the model, how it runs, its speed and its memory\n"
    "  -h, --help              show this help\n"
    "\n"
    "Exit status: 0 all lines were translated, 1 some were not (they come out empty), 2 wrong\n"
    "usage.\n";

/* A good translation of an everyday sentence has a mean log-probability of about -0.4. */
#define WARN_BELOW -1.0

typedef struct Options {
    const char *model, *into, *prefix, *text;
    double warn_below; /* NAN: WARN_BELOW on a terminal, and else no warning */
    MegaSearchOptions search;
    int nbest, batch;
    Shard shard;
    MegaSessionOptions session;
    bool scores, json, ids, pre_tokenized, quiet, verbose;
} Options;

/* A line of input, and where it comes from. */
typedef struct Line {
    MegaBuffer text;  /* the line as it was read */
    const char *name; /* name of the file; the next member is the line's number in it */
    size_t number;
    char *where; /* "NAME, line NUMBER", for warnings */
} Line;

/* Lines that are translated together, and their results. */
typedef struct Batch {
    int count;
    Line *lines;              /* [batch] */
    MegaRaw *sources;         /* [batch] */
    MegaTranslation *results; /* [batch] */
    MegaError *errors;        /* [batch] */
    char *warning;            /* the first one, or NULL */
    bool was_run;
} Batch;

/* A thread of the crew; its pipeline is made with its first batch. */
typedef struct Worker {
    MegaPipeline *pipeline;
    Batch *batch; /* that it works on */
} Worker;

typedef struct Translator {
    const Options *options;
    MegaModel *model;
    MegaPipeline *pipeline;
    MegaSearchOptions search;
    MegaIds prefix;
    Crew *crew;      /* NULL with one thread, or if memory is limited */
    Worker *workers; /* [threads] */
    bool one_by_one; /* memory does not suffice for several batches at a time */
    Progress progress;
    double warn_below; /* NAN: no warning */
    size_t done;       /* number of lines that were translated */
    int status;
} Translator;

/* ---- Writing -------------------------------------------------------------------------------- */

static void print_text(const Translator *t, const MegaTranslation *result, int rank)
{
    const MegaHypothesis *hypothesis = &result->hypotheses[rank];
    if (t->options->scores)
        printf("%.4f\t", hypothesis->score);
    /* a translation is one line, so line ends inside become blanks */
    for (size_t i = 0; i < hypothesis->text_size; i++)
        putchar(hypothesis->text[i] == '\n' ? ' ' : hypothesis->text[i]);
    if (t->search.alignments) {
        putchar('\t');
        for (size_t i = 0; i + 1 < hypothesis->length; i++)
            printf("%s%zu-%zu", i ? " " : "",
                   aligned_position(hypothesis, i, result->source_length), i);
    }
    putchar('\n');
}

static void fail_line(Translator *t, const Line *line, const MegaError *inner)
{
    MegaError err;
    mega_fail(&err, inner->code, "%s, line %zu: %s", line->name, line->number, inner->text);
    t->status = 1;
    report("%s", err.text);
    if (t->options->json)
        print_json_line(
            json_pack("{s:o,s:o}", "source", source_json(line->text.data, line->text.size), "error",
                      json_error(&err)));
    else
        putchar('\n');
}

/* Warns if the model is unsure of the best translation of a line. */
static void warn_unsure(const Translator *t, const Line *line, const MegaTranslation *result)
{
    const MegaHypothesis *best = result->hypotheses;
    double sum = 0;
    if (isnan(t->warn_below) || result->count == 0)
        return;
    for (size_t i = 0; i < best->length; i++)
        sum += (double)best->scores[i];
    if (best->length && sum / (double)best->length < t->warn_below)
        report("%s: the model is unsure of this translation (mean log-probability %.2f)",
               line->where, sum / (double)best->length);
}

/* Prints the hypotheses of a line that the user asked for; an empty line has none. */
static void print_line(const Translator *t, const Line *line, const MegaTranslation *result)
{
    if (t->options->json) {
        print_json_line(translation_json(t->pipeline, line->text.data, line->text.size, result,
                                         t->options->nbest, t->search.alignments));
        return;
    }
    for (int rank = 0; rank < t->options->nbest && rank < result->count; rank++)
        print_text(t, result, rank);
    if (result->count == 0)
        putchar('\n');
    fflush(stdout);
}

/* ---- Running -------------------------------------------------------------------------------- */

static int take_line(const LineReader *reader, Line *line, MegaError *err)
{
    *line = (Line){.name = reader->name, .number = reader->number};
    if (asprintf(&line->where, "%s, line %zu", reader->name, reader->number) < 0)
        line->where = NULL;
    mega_put_bytes(&line->text, reader->text, reader->size);
    return line->text.failed || !line->where
               ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for a line")
               : 0;
}

static void free_batch(Batch *batch)
{
    if (!batch)
        return;
    for (int i = 0; i < batch->count; i++) {
        mega_translation_free(&batch->results[i]);
        mega_buffer_free(&batch->lines[i].text);
        free(batch->lines[i].where);
    }
    free(batch->lines);
    free(batch->sources);
    free(batch->results);
    free(batch->errors);
    free(batch->warning);
    free(batch);
}

static Batch *new_batch(const Translator *t, MegaError *err)
{
    const size_t most = (size_t)t->options->batch;
    Batch *batch = calloc(1, sizeof *batch);
    if (batch) {
        batch->lines = calloc(most, sizeof *batch->lines);
        batch->sources = calloc(most, sizeof *batch->sources);
        batch->results = calloc(most, sizeof *batch->results);
        batch->errors = calloc(most, sizeof *batch->errors);
    }
    if (batch && batch->lines && batch->sources && batch->results && batch->errors)
        return batch;
    free_batch(batch);
    mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu lines", most);
    return NULL;
}

static void run_batch(const Translator *t, MegaPipeline *pipeline, Batch *batch)
{
    for (int i = 0; i < batch->count; i++) {
        const Line *line = &batch->lines[i];
        batch->sources[i] = (MegaRaw){.kind = MEGA_RAW_TEXT,
                                      .data = line->text.data,
                                      .size = line->text.size,
                                      .name = line->where};
    }
    mega_pipeline_translate(pipeline, batch->sources, batch->count, &t->search, batch->results,
                            batch->errors);
    batch->was_run = true;
}

static void free_workers(Translator *t)
{
    const int threads =
        t->workers ? mega_pool_threads(mega_pipeline_session(t->pipeline)->pool) : 0;
    for (int i = 0; i < threads; i++)
        mega_pipeline_free(t->workers[i].pipeline);
    free(t->workers);
    t->workers = NULL;
}

/* Returns whether memory ran short while other batches ran. If so, the crew frees what it holds. */
static bool lacked_memory(Translator *t, Batch *batch)
{
    bool lacks = !batch->was_run; /* its thread had no pipeline */
    for (int i = 0; i < batch->count; i++)
        lacks |= batch->errors[i].code == MEGA_ERR_MEMORY;
    if (lacks && !t->one_by_one) {
        t->one_by_one = true;
        crew_end(t->crew);
        free_workers(t);
    }
    for (int i = 0; i < batch->count && lacks; i++)
        mega_translation_free(&batch->results[i]);
    return lacks;
}

/* Prints the results of a batch, and frees it. */
static void finish_batch(Translator *t, Batch *batch)
{
    if (batch->warning)
        warn_once(NULL, batch->warning);
    for (int i = 0; i < batch->count; i++) {
        if (batch->errors[i].code) {
            fail_line(t, &batch->lines[i], &batch->errors[i]);
            continue;
        }
        print_line(t, &batch->lines[i], &batch->results[i]);
        warn_unsure(t, &batch->lines[i], &batch->results[i]);
    }
    t->done += (size_t)batch->count;
    progress_update(&t->progress, t->done);
    free_batch(batch);
}

static MegaPipelineOptions pipeline_options(const Translator *t)
{
    return (MegaPipelineOptions){.session = t->options->session,
                                 .ids = t->options->ids,
                                 .pre_tokenized = t->options->pre_tokenized,
                                 .warn = t->options->quiet ? NULL : warn_once};
}

/* Keeps a warning until the results of its batch are printed. */
static void keep_warning(void *context, const char *sentence)
{
    const Worker *worker = context;
    if (!worker->batch->warning)
        worker->batch->warning = strdup(sentence);
}

static void work(void *context, void *job, int number)
{
    const Translator *t = context;
    Worker *worker = &t->workers[number];
    worker->batch = job;
    if (!worker->pipeline) {
        MegaPipelineOptions options = pipeline_options(t);
        options.session.threads = 1;
        options.warn = options.warn ? keep_warning : NULL;
        options.warn_context = worker;
        mega_pipeline_new(&worker->pipeline, t->model, &options, NULL);
    }
    if (worker->pipeline)
        run_batch(t, worker->pipeline, job);
}

/* Makes the crew unless memory is limited: its threads have a session each, and one session alone
 * can use the whole limit. */
static void make_crew(Translator *t)
{
    const int threads = mega_pool_threads(mega_pipeline_session(t->pipeline)->pool);
    if (threads < 2 || t->options->session.max_memory || t->workers || t->one_by_one)
        return;
    t->workers = calloc((size_t)threads, sizeof *t->workers);
    if (t->workers)
        crew_new(&t->crew, threads, work, t, NULL); /* without a crew, batches run one by one */
}

/* Prints what the crew has done, until it has at most `left` batches. A batch for which it lacked
 * memory is run now. */
static void finish_jobs(Translator *t, int left)
{
    while (t->crew && crew_jobs(t->crew) > left) {
        Batch *batch = crew_take(t->crew);
        if (lacked_memory(t, batch))
            run_batch(t, t->pipeline, batch);
        finish_batch(t, batch);
    }
}

static void finish_all(void *context)
{
    finish_jobs(context, 0);
}

/* Translates a batch, or gives it to the crew; `more` says whether another line is there
 * already. */
static void take_batch(Translator *t, Batch *batch, bool more)
{
    if (!t->crew && more)
        make_crew(t);
    if (t->one_by_one)
        finish_jobs(t, 0);
    if (!t->crew || t->one_by_one || (!more && crew_jobs(t->crew) == 0)) {
        run_batch(t, t->pipeline, batch);
        finish_batch(t, batch);
        return;
    }
    crew_give(t->crew, batch);
    finish_jobs(t, more ? crew_room(t->crew) - 1 : 0);
}

static int run_files(Translator *t, char **paths, int count, MegaError *err)
{
    LineReader reader;
    Batch *batch = NULL;
    int more = 1, code = 0;
    MegaTextRules rules = mega_tokenizer_text_rules(
        mega_model_meta(t->model), MEGA_TOKENIZER_SOURCE, t->options->ids, "lines of text");
    mega_text_limit(&rules, mega_session_left(mega_pipeline_session(t->pipeline)));
    code = line_reader_begin(&reader, paths, count, &rules, err);
    reader.arguments = t->options->text ? ARGUMENTS_ARE_TEXTS : ARGUMENTS_MAY_BE_TEXTS;
    reader.before_warning = finish_all;
    reader.context = t;
    if (!code)
        code = line_reader_shard(&reader, &t->options->shard, err);
    const size_t total = line_reader_total(&reader);
    /* on the same terminal, the progress bar would overwrite the lines */
    bool hidden = t->options->quiet || total == 0 || isatty(STDOUT_FILENO);
    progress_begin(&t->progress, total, "lines", hidden);
    while (!code && more > 0 && !ferror(stdout)) {
        more = line_reader_next(&reader, err);
        if (more > 0 && !batch && !(batch = new_batch(t, err)))
            code = MEGA_ERR_MEMORY;
        if (more > 0 && !code)
            code = take_line(&reader, &batch->lines[batch->count++], err);
        if (batch && (batch->count == t->options->batch || more <= 0 || code)) {
            take_batch(t, batch, more > 0 && !code && line_reader_ready(&reader));
            batch = NULL;
        }
    }
    finish_jobs(t, 0);
    free_batch(batch);
    progress_end(&t->progress);
    line_reader_end(&reader);
    return code ? code : more < 0 ? more : 0;
}

static int load_prefix(Translator *t, MegaError *err)
{
    const char *text = t->options->prefix;
    if (!text)
        return 0;
    const MegaRaw raw = {
        .kind = MEGA_RAW_TEXT, .data = text, .size = strlen(text), .name = "--prefix"};
    int code = mega_pipeline_tokenize(t->pipeline, MEGA_SIDE_OUTPUT, &raw, &t->prefix, err);
    t->search.prefix = t->prefix.ids;
    t->search.prefix_length = t->prefix.count;
    /* without the final </s>, since the translation continues after the prefix */
    if (!code && !t->options->ids)
        t->search.prefix_length--;
    if (!code && t->search.max_len_a == 0 && t->search.prefix_length > (size_t)t->search.max_len_b)
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
    const ModelWish wish = {.given = t->options->model,
                            .task = MEGA_TASK_TRANSLATE,
                            .kind = MEGA_CONTENT_TEXT,
                            .into = t->options->into};
    int code = open_model(&t->model, &path, &wish, t->options->session.max_memory, err);
    if (!code && mega_model_task(t->model) != MEGA_TASK_TRANSLATE)
        code = fail_wrong_model(t->model, path, "to translate", MEGA_TASK_TRANSLATE,
                                MEGA_CONTENT_TEXT, err);
    const MegaPipelineOptions options = pipeline_options(t);
    if (!code)
        code = mega_pipeline_new(&t->pipeline, t->model, &options, err);
    if (!code)
        code = load_prefix(t, err);
    if (!code && t->options->verbose)
        verbose_session(path, mega_pipeline_session(t->pipeline), clock_seconds() - begun);
    free(path);
    return code;
}

static int run(const Options *options, char **paths, int count)
{
    Translator t = {.options = options,
                    .search = options->search,
                    .warn_below = options->warn_below};
    if (isnan(t.warn_below) && isatty(STDOUT_FILENO) && !options->quiet && !options->json)
        t.warn_below = WARN_BELOW;
    MegaError err = {0};
    int code = load(&t, &err);
    double begun = clock_seconds();
    if (!code)
        code = run_files(&t, paths, count, &err);
    if (!code)
        all_results_are_there();
    if (!code && options->verbose)
        verbose_end(t.done, "line", clock_seconds() - begun);
    if (code) {
        report("%s", err.text);
        t.status = 1;
    }
    crew_free(t.crew);
    free_workers(&t);
    mega_ids_free(&t.prefix);
    mega_pipeline_free(t.pipeline);
    mega_model_free(t.model);
    return finish_results(t.status);
}

/* Returns 0, or the exit status after a message. */
static int check_options(const Options *options, int inputs)
{
    const MegaSearchOptions *search = &options->search;
    if (options->nbest > search->beam)
        return usage_error("translate", "--nbest %d needs at least --beam %d", options->nbest,
                           options->nbest);
    if (search->no_repeat_ngram == 1)
        return usage_error("translate",
                           "--no-repeat-ngram 1 would bar the </s> that ends a translation; the "
                           "least is 2");
    if (search->max_len_a == 0 && search->min_len > search->max_len_b)
        return usage_error("translate", "--min-len %d needs at least --max-len-b %d",
                           search->min_len, search->min_len);
    if (options->text && inputs)
        return usage_error("translate", "--text or files, not both");
    return 0;
}

int command_translate(int argc, char **argv)
{
    Options options = {.search = mega_search_defaults(), .nbest = 1, .batch = 1, .warn_below = NAN};
    MegaSearchOptions *search = &options.search;
    const CommandOption table[] = {
        MODEL_OPTION(&options.model),
        {.name = "to", .also = "target-lang", .take = take_text, .out = &options.into},
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
        {.name = "warn-below", .take = take_real, .out = &options.warn_below, .least = -1e6,
         .most = 0},
        {.name = "alignments", .take = take_flag, .out = &search->alignments},
        JSON_OPTION(&options.json),
        {.name = "ids", .take = take_flag, .out = &options.ids},
        {.name = "pre-tokenized", .take = take_flag, .out = &options.pre_tokenized},
        {.name = "batch", .also = "batch-size", .take = take_int, .out = &options.batch,
         .least = 1, .most = 4096},
        SHARD_OPTIONS(&options.shard),
        FILE_OPTIONS(&options.session, &options.quiet, &options.verbose),
        {0}};
    int inputs, status;
    if (!read_command_line(&(CommandSyntax){"translate", help, table}, argc, argv, &inputs,
                           &status) ||
        (status = check_options(&options, inputs)) || !begin_results(&options.shard, &status))
        return status;
    char *text[] = {(char *)options.text};
    return options.text ? run(&options, text, 1) : run(&options, argv + 1, inputs);
}
