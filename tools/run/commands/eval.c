/*
 * eval.c - mega-run eval: measures the accuracy of a classifier on a manifest of labelled files.
 *
 * Inputs run in parallel: each worker has a pipeline with one thread, and all workers share the
 * model. Results are stored by row number, so the report does not depend on the number of threads.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/atomic_file.h"
#include "formats/base/bytes.h"
#include "formats/base/input_stream.h"
#include "formats/mega/mega_file.h"
#include "src/base/threads.h"
#include "src/model/model.h"
#include "tools/common/progress.h"
#include "tools/run/command_line.h"
#include "tools/run/eval_text.h"
#include "tools/run/find_model.h"
#include "tools/run/lines.h"
#include "tools/run/manifest.h"
#include "tools/run/options.h"
#include "tools/run/verbose.h"

static const char help[] =
    "Usage: mega-run eval [-m MODEL] MANIFEST.tsv\n"
    "\n"
    "Classifies every file of a tab-separated list whose first line names the columns: 'path',\n"
    "'label' (name or number of a class), for pair models 'path2'; others are ignored. Paths are\n"
    "relative to the list; '-' is standard input. Prints accuracy, a table by class and the\n"
    "confusion matrix.\n"
    "For a language model the list is a text; perplexity and bits per character are printed. For\n"
    "a translator it has lines source<TAB>reference; the translations go to --predictions, and\n"
    "the command that measures BLEU and chrF with sacreBLEU is printed.\n"
    "\n"
    "  -m, --model FILE        the model (the shipped one for the first file of the list)\n"
    "      --root DIR          what paths are relative to (the list's folder)\n"
    "      --split NAME        only rows whose column 'split' is NAME\n"
    "      --limit N           only the first N rows or lines\n"
    "      --predictions FILE  write path, label, prediction and probability of every row, or\n"
    "                          the translations\n"
    "      --partial           accept recordings that are cut short\n"
    "      --json              one JSON object\n"
    "      --no-orient         pictures as they are stored, not turned as their Exif data say\n"
    "  -t, --threads N         inputs at a time (one for each processor)\n"
    "      --cpu NAME          kernels: generic, avx2 ... (the best of this machine)\n"
    "      --precision TYPE    multiply floats in f32 (default), or in bf16 with kernels amx\n"
    "      --max-memory SIZE   use at most SIZE, such as 300M; refuse what needs more\n"
    "  -q, --quiet             no progress, no message about inputs that fail\n"
    "  -v, --verbose           report the model, how it runs, its speed and its memory\n"
    "  -h, --help              show this help\n"
    "\n"
    "Inputs that cannot be read count as errors and not towards the accuracy.\n"
    "Exit status: 0 all rows ran, 1 some failed, 2 wrong usage.\n";

#define MAX_REPORTED 10

typedef struct Options {
    const char *model, *manifest, *root, *split, *predictions;
    int limit;
    MegaSessionOptions session; /* `threads` is the number of inputs that run at a time */
    bool no_orient, partial, json, quiet, verbose;
} Options;

typedef struct Row {
    int label, predicted; /* predicted is -1 if the row failed */
    float probability;
    char *error; /* the error of a failed row */
} Row;

typedef struct Eval {
    const Options *options;
    MegaModel *model;
    Manifest *manifest;
    MegaAtomicFile *predictions; /* NULL without --predictions */
    Row *rows; /* [manifest->count] */
    MegaPipeline **workers; /* [threads], each made when it gets its first row */
    MegaPool *pool;
    pthread_mutex_t mutex; /* guards done and progress */
    size_t done;
    Progress progress;
    double seconds;
} Eval;

/* ---- Running -------------------------------------------------------------------------------- */

static int make_worker(const Eval *eval, MegaPipeline **worker, MegaError *err)
{
    const Options *options = eval->options;
    MegaPipelineOptions pipeline = {.session = options->session,
                                    .media = mega_media(),
                                    .keep_orientation = options->no_orient,
                                    .partial = options->partial,
                                    .warn = options->quiet ? NULL : report_warning};
    pipeline.session.threads = 1;
    return mega_pipeline_new(worker, eval->model, &pipeline, err);
}

/* Returns whether a model takes pairs: as two inputs, or joined by a tokenizer of the hub. */
static bool takes_pairs(const MegaModel *model)
{
    return mega_model_input_count(model) == 2 ||
           mega_meta_find(mega_model_meta(model), "text.tokenizer");
}

static int classify_row(Eval *eval, MegaPipeline **worker, const ManifestRow *from, Row *row,
                        MegaError *err)
{
    const MegaRaw inputs[] = {{.kind = MEGA_RAW_PATH, .data = from->path},
                              {.kind = MEGA_RAW_PATH, .data = from->path2}};
    const int count = from->path2 && takes_pairs(eval->model) ? 2 : 1;
    MegaClassification found;
    int code = *worker ? 0 : make_worker(eval, worker, err);
    if (!code)
        code = mega_pipeline_classify(*worker, inputs, count, &found, err);
    if (code)
        return code;
    row->predicted = found.order[0];
    row->probability = found.probabilities[row->predicted];
    mega_classification_free(&found);
    return 0;
}

static void run_row(void *context, size_t task, int worker)
{
    Eval *eval = context;
    MegaError err = {0};
    if (classify_row(eval, &eval->workers[worker], &eval->manifest->rows[task], &eval->rows[task],
                     &err))
        eval->rows[task].error = strdup(err.text);
    pthread_mutex_lock(&eval->mutex);
    progress_update(&eval->progress, ++eval->done);
    pthread_mutex_unlock(&eval->mutex);
}

static int read_manifest(const Options *options, Manifest *out, MegaError *err)
{
    return manifest_read(out, options->manifest, options->root, options->split,
                         (size_t)options->limit, err);
}

/* Loads what the rows need. The list was read already if the model was chosen by it. */
static int prepare(Eval *eval, MegaError *err)
{
    const Options *options = eval->options;
    int code = mega_model_open_with(
        &eval->model, options->model,
        &(MegaModelOptions){.max_memory = options->session.max_memory}, err);
    if (!code && !eval->manifest->count)
        code = read_manifest(options, eval->manifest, err);
    if (!code && options->predictions)
        code = mega_atomic_file_open(&eval->predictions, options->predictions, err);
    if (code)
        return code;
    eval->rows = calloc(eval->manifest->count, sizeof *eval->rows);
    code = mega_pool_new(&eval->pool, options->session.threads, err);
    if (!code)
        eval->workers = calloc((size_t)mega_pool_threads(eval->pool), sizeof *eval->workers);
    if (!code && (!eval->rows || !eval->workers))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu rows", eval->manifest->count);
    for (size_t i = 0; i < eval->manifest->count && !code; i++) {
        const ManifestRow *row = &eval->manifest->rows[i];
        eval->rows[i].label = find_class(eval->model, row->label, strlen(row->label));
        eval->rows[i].predicted = -1;
        if (eval->rows[i].label < 0)
            code = mega_fail(err, MEGA_ERR_INPUT,
                             "%s: line %zu: label '%.60s' is neither a class of the model nor the "
                             "number of one",
                             mega_source_name(options->manifest), row->line, row->label);
    }
    return code;
}

/* ---- Reporting ------------------------------------------------------------------------------ */

typedef struct Counts {
    size_t n, correct, errors;
    size_t *confusion; /* [classes][classes], rows are labels and columns predictions */
    int classes;
} Counts;

static size_t sum_row(const Counts *counts, int label)
{
    size_t sum = 0;
    for (int i = 0; i < counts->classes; i++)
        sum += counts->confusion[label * counts->classes + i];
    return sum;
}

static size_t sum_column(const Counts *counts, int predicted)
{
    size_t sum = 0;
    for (int i = 0; i < counts->classes; i++)
        sum += counts->confusion[i * counts->classes + predicted];
    return sum;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

typedef struct ClassScore {
    size_t n;
    double precision, recall, f1;
} ClassScore;

static ClassScore score_class(const Counts *counts, int i)
{
    ClassScore score = {.n = sum_row(counts, i)};
    double hits = (double)counts->confusion[i * counts->classes + i];
    score.precision = ratio(hits, (double)sum_column(counts, i));
    score.recall = ratio(hits, (double)score.n);
    score.f1 = ratio(2 * score.precision * score.recall, score.precision + score.recall);
    return score;
}

static int count_rows(const Eval *eval, Counts *counts)
{
    counts->classes = mega_model_class_count(eval->model);
    counts->confusion =
        calloc((size_t)counts->classes * (size_t)counts->classes, sizeof *counts->confusion);
    if (!counts->confusion)
        return -1;
    for (size_t i = 0; i < eval->manifest->count; i++) {
        const Row *row = &eval->rows[i];
        if (row->predicted < 0) {
            if (!eval->options->quiet && counts->errors < MAX_REPORTED)
                report("%s", row->error ? row->error : "no memory");
            counts->errors++;
            continue;
        }
        counts->n++;
        counts->correct += row->label == row->predicted;
        counts->confusion[row->label * counts->classes + row->predicted]++;
    }
    if (!eval->options->quiet && counts->errors > MAX_REPORTED)
        report("... and %zu more input%s failed", counts->errors - MAX_REPORTED,
               counts->errors - MAX_REPORTED == 1 ? "" : "s");
    return 0;
}

#define NONE "\xe2\x80\x93" /* a dash in place of a figure that is not defined */
/* width of a column of the confusion matrix: a blank, then a number or a shortened label */
#define CELL 6

/* Prints a figure, or a dash if it would divide by zero: precision if no input was predicted as the
 * class, recall if none has the label. */
static void print_figure(double value, bool exists, int width)
{
    if (exists)
        printf(" %*.3f", width, value);
    else
        printf(" %*s" NONE, width - 1, "");
}

/* Prints the beginning of a label, right-aligned in CELL columns with a blank before it. */
static void print_head(const char *label)
{
    int shown = 0;
    size_t left = strlen(label), used = 0, length;
    while (shown < CELL - 1 && (length = mega_utf8_decode(label + used, left - used, NULL)) > 0) {
        used += length;
        shown++;
    }
    printf("%*s%.*s", CELL - shown, "", (int)used, label);
}

static void print_confusion(const Eval *eval, const Counts *counts)
{
    char number[16];
    printf("\nconfusion (rows: label, columns: prediction)\n%-16s", "");
    for (int i = 0; i < counts->classes; i++)
        print_head(class_name(eval->model, i, number));
    putchar('\n');
    for (int i = 0; i < counts->classes; i++) {
        printf("%-16s", class_name(eval->model, i, number));
        for (int j = 0; j < counts->classes; j++)
            printf(" %*zu", CELL - 1, counts->confusion[i * counts->classes + j]);
        putchar('\n');
    }
}

static void print_text(const Eval *eval, const Counts *counts)
{
    char number[16];
    printf("accuracy %.4f  (%zu of %zu)", ratio((double)counts->correct, (double)counts->n),
           counts->correct, counts->n);
    if (counts->errors)
        printf("  %zu error%s", counts->errors, counts->errors == 1 ? "" : "s");
    printf("  %.1f inputs/s\n\n%-16s %7s %9s %7s %7s\n", ratio((double)counts->n, eval->seconds),
           "class", "n", "precision", "recall", "F1");
    for (int i = 0; i < counts->classes; i++) {
        ClassScore score = score_class(counts, i);
        const bool taken = sum_column(counts, i) > 0;
        printf("%-16s %7zu", class_name(eval->model, i, number), score.n);
        print_figure(score.precision, taken, 9);
        print_figure(score.recall, score.n > 0, 7);
        print_figure(score.f1, score.n > 0 || taken, 7);
        putchar('\n');
    }
    if (counts->classes <= 100) /* a larger matrix would not be readable; --json always has it */
        print_confusion(eval, counts);
}

static void print_json(const Eval *eval, const Counts *counts)
{
    char number[16];
    json_t *labels = json_array(), *per_class = json_array(), *confusion = json_array();
    for (int i = 0; i < counts->classes; i++) {
        ClassScore score = score_class(counts, i);
        json_t *row = json_array();
        const char *name = class_name(eval->model, i, number);
        for (int j = 0; j < counts->classes; j++)
            json_array_append_new(
                row, json_integer((json_int_t)counts->confusion[i * counts->classes + j]));
        json_array_append_new(labels, json_text(name));
        json_array_append_new(per_class,
                              json_pack("{s:o,s:I,s:f,s:f,s:f}", "label", json_text(name), "n",
                                        (json_int_t)score.n, "precision", score.precision, "recall",
                                        score.recall, "f1", score.f1));
        json_array_append_new(confusion, row);
    }
    print_json_line(json_pack(
        "{s:f,s:I,s:I,s:I,s:f,s:f,s:o,s:o,s:o,s:o,s:o}", "accuracy",
        ratio((double)counts->correct, (double)counts->n), "n", (json_int_t)counts->n, "correct",
        (json_int_t)counts->correct, "errors", (json_int_t)counts->errors, "seconds", eval->seconds,
        "inputs_per_second", ratio((double)counts->n, eval->seconds), "model",
        json_text(eval->options->model), "manifest", json_text(eval->options->manifest), "labels",
        labels, "per_class", per_class, "confusion", confusion));
}

static int write_predictions(const Eval *eval, MegaError *err)
{
    static const char head[] = "path\tlabel\tprediction\tprobability\n";
    char label[16], predicted[16], probability[32];
    MegaBuffer text = {0};
    mega_put_bytes(&text, head, sizeof head - 1);
    for (size_t i = 0; i < eval->manifest->count; i++) {
        const Row *row = &eval->rows[i];
        const char *const fields[] = {
            eval->manifest->rows[i].path, class_name(eval->model, row->label, label),
            row->predicted < 0 ? "" : class_name(eval->model, row->predicted, predicted)};
        for (size_t f = 0; f < sizeof fields / sizeof fields[0]; f++) {
            mega_put_bytes(&text, fields[f], strlen(fields[f]));
            mega_put_u8(&text, '\t');
        }
        const int length =
            snprintf(probability, sizeof probability, "%.6f\n", (double)row->probability);
        mega_put_bytes(&text, probability, (size_t)length);
    }
    int code = text.failed ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for the predictions")
                           : mega_atomic_file_write(eval->predictions, text.data, text.size, err);
    if (!code)
        code = mega_atomic_file_commit(eval->predictions, err);
    mega_buffer_free(&text);
    return code;
}

static int report_results(const Eval *eval)
{
    Counts counts = {0};
    MegaError err = {0};
    if (count_rows(eval, &counts)) {
        report("no memory for the confusion matrix");
        return 1;
    }
    if (eval->options->json)
        print_json(eval, &counts);
    else
        print_text(eval, &counts);
    int status = counts.errors > 0;
    free(counts.confusion);
    if (eval->predictions && write_predictions(eval, &err)) {
        report("%s", err.text);
        status = 1;
    }
    return status;
}

static void free_eval(Eval *eval)
{
    for (int i = 0; eval->workers && i < mega_pool_threads(eval->pool); i++)
        mega_pipeline_free(eval->workers[i]);
    for (size_t i = 0; eval->rows && i < eval->manifest->count; i++)
        free(eval->rows[i].error);
    free(eval->workers);
    free(eval->rows);
    mega_atomic_file_free(eval->predictions);
    mega_pool_free(eval->pool);
    mega_model_free(eval->model);
}

/* Translators and language models are evaluated by eval_text.c. */
static int run_text(const Options *options, MegaTask task)
{
    EvalTextOptions text = {.model = options->model,
                            .list = options->manifest,
                            .predictions = options->predictions,
                            .limit = options->limit,
                            .session = options->session,
                            .json = options->json,
                            .quiet = options->quiet,
                            .verbose = options->verbose};
    MegaError err = {0};
    const bool translator = mega_task_traits(task)->has_cross;
    if (translator && !options->predictions)
        return usage_error("eval", "no file for the translations was given: --predictions FILE");
    int code = translator ? eval_translator(&text, &err) : eval_language_model(&text, &err);
    if (code)
        report("%s", err.text);
    return finish_output(code ? 1 : 0);
}

/* Returns the task of a model file. A file that cannot be read counts as a classifier, since
 * loading it will report the error. */
static MegaTask task_of(const char *path)
{
    MegaFile *file = NULL;
    MegaConfig config = {.task = MEGA_TASK_CLASSIFY};
    if (mega_file_open(&file, path, NULL) == 0 &&
        mega_config_read(&config, mega_file_meta(file), NULL) != 0)
        config.task = MEGA_TASK_CLASSIFY;
    mega_file_close(file);
    return config.task;
}

static int run_classifier(const Options *options, Manifest *manifest)
{
    Eval eval = {.options = options, .manifest = manifest};
    MegaError err = {0};
    int status = 1;
    double begun = clock_seconds();
    if (prepare(&eval, &err)) {
        report("%s", err.text);
    } else {
        if (options->verbose)
            verbose_model(options->model, eval.model, mega_kernels(), mega_pool_threads(eval.pool),
                          clock_seconds() - begun);
        pthread_mutex_init(&eval.mutex, NULL);
        progress_begin(&eval.progress, manifest->count, "inputs", options->quiet);
        begun = clock_seconds();
        mega_pool_run(eval.pool, manifest->count, run_row, &eval);
        eval.seconds = clock_seconds() - begun;
        progress_end(&eval.progress);
        pthread_mutex_destroy(&eval.mutex);
        status = report_results(&eval);
        if (options->verbose)
            verbose_end(manifest->count, "input", eval.seconds);
    }
    free_eval(&eval);
    return finish_output(status);
}

/* Finds the classifier for the first input of the list, and keeps the rows, since a list that comes
 * from a pipe cannot be read twice. */
static int choose_model(const Options *options, char **path, Manifest *manifest, MegaError *err)
{
    int code = read_manifest(options, manifest, err);
    if (code) {
        const MegaError inner = *err;
        return manifest->has_header || (code != MEGA_ERR_INPUT && code != MEGA_ERR_FORMAT)
                   ? code
                   : mega_fail(err, code, "%s; a text, or pairs of sentences, need a model: -m",
                               inner.text);
    }
    const char *first = manifest->rows[0].path;
    const MegaContentKind kind = content_of_path(first);
    return kind == MEGA_CONTENT_UNKNOWN
               ? fail_unknown_content(first, err)
               : find_model(path, &(ModelWish){.task = MEGA_TASK_CLASSIFY, .kind = kind}, err);
}

static int run(Options *options)
{
    MegaError err = {0};
    Manifest manifest = {0};
    char *path = NULL;
    int status = 1;
    if (options->model ? named_model(&path, options->model, &err)
                       : choose_model(options, &path, &manifest, &err)) {
        report("%s", err.text);
    } else {
        options->model = path;
        const MegaTask task = task_of(path);
        status = mega_task_traits(task)->takes_media ? run_classifier(options, &manifest)
                                                     : run_text(options, task);
    }
    manifest_free(&manifest);
    free(path);
    return status;
}

int command_eval(int argc, char **argv)
{
    Options options = {0};
    const CommandOption table[] = {
        MODEL_OPTION(&options.model),
        {.name = "root", .take = take_text, .out = &options.root},
        {.name = "split", .take = take_text, .out = &options.split},
        {.name = "limit",
         .hints = "n",
         .take = take_int,
         .out = &options.limit,
         .least = 1,
         .most = INT32_MAX},
        {.name = "predictions", .hints = "o", .take = take_text, .out = &options.predictions},
        {.name = "partial", .take = take_flag, .out = &options.partial},
        JSON_OPTION(&options.json),
        {.name = "no-orient", .take = take_flag, .out = &options.no_orient},
        FILE_OPTIONS(&options.session, &options.quiet, &options.verbose),
        {0}};
    int inputs, status;
    if (!read_command_line(&(CommandSyntax){"eval", help, table}, argc, argv, &inputs, &status))
        return status;
    if (inputs != 1)
        return usage_error("eval", inputs ? "one list at a time, please" : "no list was given");
    options.manifest = argv[1];
    return run(&options);
}
