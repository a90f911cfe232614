/*
 * classify.c - mega-run classify: prints the class of each input.
 *
 * A bad input does not stop the others. What is found in an input is printed by classify_print.c.
 * Each thread takes one of several files (classify_jobs.h), and results keep their order. What
 * comes alone, on a pipe or is large streams through a pipeline with all threads.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/input_stream.h"
#include "tools/common/progress.h"
#include "tools/run/classify_jobs.h"
#include "tools/run/classify_print.h"
#include "tools/run/classify_texts.h"
#include "tools/run/command_line.h"
#include "tools/run/crew.h"
#include "tools/run/events.h"
#include "tools/run/find_model.h"
#include "tools/run/folders.h"
#include "tools/run/lines.h"
#include "tools/run/options.h"
#include "tools/run/path_inputs.h"
#include "tools/run/results_file.h"
#include "tools/run/text_argument.h"
#include "tools/run/verbose.h"

static const char help[] =
    "Usage: mega-run classify [-m MODEL] INPUT...\n"
    "\n"
    "Names what is in recordings, pictures or texts. A folder stands for all files in it, '-' for\n"
    "standard input. Without -m the shipped model for that kind of input is used. A pair model\n"
    "takes inputs two at a time; one that is left over must hold both texts, with a TAB between.\n"
    "\n"
    "Prints label and probability. With several inputs the path comes first, with windows also\n"
    "the seconds. With --threshold it prints a line for each event, such as a word, as soon as\n"
    "the average of its windows reaches P; it ends below P / 2, or below P and another label's.\n"
    "A recording longer than the model's clip is searched for events by default: in windows of\n"
    "a clip, a quarter of it apart, P 0.5, no _silence_; --top and --json take its first clip.\n"
    "\n"
    "  -m, --model FILE        the model\n"
    "      --top K             the K best labels, one a line (1; all of a model from the hub)\n"
    "      --text TEXT         classify TEXT, even if it looks like a file\n"
    "      --pair TEXT         a second text, which belongs to the first\n"
    "      --lines             each line of text files is an input\n"
    "      --column NAME       that column of CSV or TSV files, whose first row has names\n"
    "      --json              one JSON object a line\n"
    "      --window S          classify windows of S seconds of a recording\n"
    "      --hop S             seconds from one window to the next (the window's length)\n"
    "      --stateful          run a recording through a causal S4 once, not window by window\n"
    "      --rate X            for S4: sound has the model's sampling rate divided by X (1)\n"
    "      --threshold P       events instead of windows: labels that reach probability P (to 1)\n"
    "      --smooth N          average the last N windows (3)\n"
    "      --ignore LABELS     no events of these, such as _silence_,_unknown_\n"
    "      --ends              print events when they end, with their end and highest probability\n"
    "      --raw FMT:RATE:CH   input is headerless PCM, such as s16le:16000:1\n"
    "      --partial           accept a recording that is cut short\n"
    "      --ids               input is token ids, used as they are\n"
    "      --no-orient         pictures as they are stored, not turned as their Exif data say\n"
    "      --files-from FILE   read input paths from FILE, one a line; '-' is standard input\n"
    "  -0, --null              the paths of --files-from end in NUL\n" SHARD_HELP SESSION_HELP
    "  -v, --verbose           report the model, how it runs, its speed and its memory\n"
    "      --time              print how long loading, reading and running took\n"
    "  -q, --quiet             no message about inputs that fail\n"
    "  -h, --help              show this help\n"
    "\n"
    "Exit status: 0 all inputs were classified, 1 some were not, 2 wrong usage.\n";

#define MAX_IGNORES 64
#define DEFAULT_SMOOTH 3

typedef struct Options {
    const char *model, *files_from;
    Shard shard;
    const char *ignores[MAX_IGNORES];
    MegaPipelineOptions input; /* these include the options of the session */
    MegaPcm raw;               /* the rate is 0 without --raw */
    ClassifyStyle style;
    ClassifyTexts texts;
    bool null, time, verbose;
} Options;

/* One model with its pipeline and the printer of its results. */
typedef struct Engine {
    char *path;
    MegaModel *model;
    MegaPipeline *pipeline;
    ClassifyWorkers workers;
    ClassifyPrinter printer;
    char *waiting; /* the first path of a pair, while the second is not known */
} Engine;

typedef struct Classifier {
    const Options *options;
    MegaContentKind kind; /* kind of the latest input */
    /* One engine for each kind of input, loaded when the first such input comes. With -m,
     * engines[MEGA_CONTENT_UNKNOWN] serves all inputs. */
    Engine engines[MEGA_CONTENT_COUNT];
    Crew *crew;        /* NULL with one thread, with one input, or if memory is limited */
    ClassifyJob *held; /* the latest input for the crew, which another one has to follow */
    bool one_by_one;   /* memory does not suffice for several inputs at a time */
    bool lacks_model;  /* no model was found for some input */
    int status;
    double loading, reading, running; /* seconds; those of threads side by side add up */
    uint64_t done;                    /* clips that were classified */
} Classifier;

static void fail_input(Classifier *c, const char *path, const MegaError *err)
{
    c->status = 1;
    mega_source_forget(path); /* the next open of a pipe may bring other content */
    print_failed_input(&c->options->style, path, err);
}

/* ---- Running -------------------------------------------------------------------------------- */

/* Loads a model and makes its pipeline; `kind` is that of the first input. */
static int load_engine(Classifier *c, Engine *engine, MegaContentKind kind, MegaError *err)
{
    double begun = clock_seconds();
    char purpose[32];
    MegaPipelineOptions input = c->options->input;
    int code = open_model(
        &engine->model, &engine->path,
        &(ModelWish){.given = c->options->model, .task = MEGA_TASK_CLASSIFY, .kind = kind},
        c->options->input.session.max_memory, err);
    if (!code && mega_model_task(engine->model) != MEGA_TASK_CLASSIFY) {
        snprintf(purpose, sizeof purpose, "for %s", kind_name(kind));
        code = fail_wrong_model(engine->model, engine->path, purpose, MEGA_TASK_CLASSIFY, kind,
                                err);
    }
    input.warn = c->options->style.quiet ? NULL : report_warning;
    input.media = mega_media();
    input.raw = c->options->raw.rate ? &c->options->raw : NULL;
    if (!code)
        code = mega_pipeline_new(&engine->pipeline, engine->model, &input, err);
    if (!code)
        classify_workers_begin(&engine->workers, engine->model, &input,
                               pipeline_threads(engine->pipeline));
    if (!code)
        code = classify_printer_new(&engine->printer, &c->options->style, engine->model,
                                    engine->path, mega_pipeline_clip(engine->pipeline), err);
    const double seconds = clock_seconds() - begun;
    c->loading += seconds;
    if (!code && c->options->verbose)
        verbose_session(engine->path, mega_pipeline_session(engine->pipeline), seconds);
    return code;
}

static void free_engine(Engine *engine)
{
    mega_pipeline_free(engine->pipeline);
    classify_workers_free(&engine->workers);
    mega_model_free(engine->model);
    free(engine->path);
    classify_printer_free(&engine->printer);
    free(engine->waiting);
    *engine = (Engine){0};
}

/* ---- One input ----------------------------------------------------------------------------- */

/* Takes the next result of an input; `length` is as in classify_printer_take. */
static int take_found(Classifier *c, Engine *engine, const MegaClassification *found,
                      double length, MegaError *err)
{
    c->reading += found->reading;
    c->running += found->running;
    c->done++;
    return classify_printer_take(&engine->printer, found, length, err);
}

/* Ends an input after its last result, or after an error. */
static void end_input(Classifier *c, Engine *engine, const char *path, int code,
                      const MegaError *err)
{
    classify_printer_end(&engine->printer, code == 0);
    if (code < 0)
        fail_input(c, path, err);
}

/* Adds advice to the error of an input that could not be opened. */
static void advise(const Classifier *c, const Engine *engine, MegaContentKind kind, MegaError *err)
{
    if (err->code == MEGA_ERR_INPUT && c->options->model && kind != model_kind(engine->model))
        advise_classifier(kind, err);
}

/* Runs one path, or a pair, through the pipeline, which gives one result, or one for each
 * window. */
static void classify_path(Classifier *c, Engine *engine, MegaContentKind kind, const char *path,
                          const char *second)
{
    const MegaRaw inputs[] = {{.kind = MEGA_RAW_PATH, .data = path},
                              {.kind = MEGA_RAW_PATH, .data = second}};
    MegaError err = {0};
    MegaClassification found;
    int code = mega_pipeline_begin(engine->pipeline, inputs, second ? 2 : 1, &err), more = 1;
    classify_printer_begin(&engine->printer, path, 0);
    if (code)
        advise(c, engine, kind, &err);
    while (!code && (more = mega_pipeline_next(engine->pipeline, &found, &err)) > 0) {
        const double length =
            found.is_cut && !c->options->style.quiet ? mega_pipeline_length(engine->pipeline) : 0;
        code = take_found(c, engine, &found, length, &err);
        mega_classification_free(&found);
    }
    end_input(c, engine, path, code ? code : more, &err);
}

/* ---- Several inputs at a time --------------------------------------------------------------- */

/* Ends the crew after memory ran short, to free what it holds. Its jobs are done. */
static void dismiss_crew(Classifier *c)
{
    c->one_by_one = true;
    crew_end(c->crew);
    for (int i = 0; i < MEGA_CONTENT_COUNT; i++)
        classify_workers_free(&c->engines[i].workers);
}

/* Prints the results of a job. If its input came alone, or if memory ran short while other inputs
 * ran, it runs the job first. */
static void finish_job(Classifier *c, ClassifyJob *job)
{
    Engine *engine = job->engine;
    int code = 0;
    if (job->code == MEGA_ERR_MEMORY && !c->one_by_one)
        dismiss_crew(c);
    if (!job->was_run || job->code == MEGA_ERR_MEMORY) {
        classify_path(c, engine, job->kind, job->path, job->second);
        classify_job_free(job);
        return;
    }
    for (size_t i = 0; i < job->warning_count; i++)
        report_warning(NULL, job->warnings[i]);
    if (!job->was_begun)
        advise(c, engine, job->kind, &job->err);
    classify_printer_begin(&engine->printer, job->path, 0);
    for (size_t i = 0; i < job->count && !code; i++)
        code = take_found(c, engine, &job->found[i], job->length, &job->err);
    end_input(c, engine, job->path, code ? code : job->code, &job->err);
    classify_job_free(job);
}

/* Prints the results of all inputs but the last `left`. */
static void finish_jobs(Classifier *c, int left)
{
    ClassifyJob *held = left == 0 ? c->held : NULL;
    if (held)
        c->held = NULL;
    if (held && c->crew && !c->one_by_one && crew_jobs(c->crew) > 0) {
        crew_give(c->crew, held);
        held = NULL;
    }
    while (c->crew && crew_jobs(c->crew) > left)
        finish_job(c, crew_take(c->crew));
    if (held) /* the input came alone, so all threads work on it */
        finish_job(c, held);
}

/* Makes the crew when a second input has come. If that fails, inputs run one by one. */
static bool has_crew(Classifier *c, const Engine *engine)
{
    if (!c->crew)
        crew_new(&c->crew, pipeline_threads(engine->pipeline), classify_job_run, NULL, NULL);
    return c->crew;
}

/* Classifies an input, or gives it to the crew. */
static void classify_input(Classifier *c, Engine *engine, const char *path, const char *second)
{
    const Options *options = c->options;
    const bool alone = !options->style.show_path || options->input.session.max_memory ||
                       c->one_by_one || pipeline_threads(engine->pipeline) < 2 ||
                       !classify_job_fits(path) || (second && !classify_job_fits(second));
    ClassifyJob *job =
        alone ? NULL : classify_job_new(engine, &engine->workers, c->kind, path, second);
    if (!job) {
        finish_jobs(c, 0);
        classify_path(c, engine, c->kind, path, second);
        return;
    }
    ClassifyJob *before = c->held;
    c->held = job;
    if (before && has_crew(c, engine)) {
        crew_give(c->crew, before);
        finish_jobs(c, crew_room(c->crew) - 1);
    } else if (before) {
        finish_job(c, before);
    }
}

/* Returns the kind of an input. */
static MegaContentKind kind_of(const Options *options, const char *path)
{
    if (options->raw.rate)
        return MEGA_CONTENT_SOUND;
    return options->input.ids ? MEGA_CONTENT_TEXT : content_of_path(path);
}

/* Classifies a path. For a pair model, the first of two paths waits for the second. Returns false
 * if no further path can be classified. */
static bool take_path(void *context, const char *path)
{
    Classifier *c = context;
    MegaError err = {0};
    if (!classify_job_fits(path)) /* a pipe may be silent for a long time */
        finish_jobs(c, 0);
    const MegaContentKind kind = c->kind = kind_of(c->options, path);
    Engine *engine = &c->engines[c->options->model ? MEGA_CONTENT_UNKNOWN : kind];
    if (kind == MEGA_CONTENT_UNKNOWN && !c->options->model) {
        finish_jobs(c, 0);
        fail_unknown_content(path, &err);
        fail_input(c, path, &err);
        return true;
    }
    if (!engine->model)
        finish_jobs(c, 0);
    if (!engine->model && load_engine(c, engine, kind, &err)) {
        free_engine(engine);
        if (!c->options->model) { /* inputs of another kind may still have a model */
            MegaError inner = err;
            mega_fail(&err, inner.code, "%s: %s", mega_source_name(path), inner.text);
            fail_input(c, path, &err);
            c->lacks_model = true;
            return true;
        }
        report("%s", err.text);
        c->status = 1;
        return false;
    }
    if (mega_model_input_count(engine->model) == 1) {
        classify_input(c, engine, path, NULL);
    } else if (c->options->shard.count && !c->options->model) {
        report("--shard needs -m with a model that takes two inputs, such as %s", engine->path);
        c->status = 1;
        return false;
    } else if (engine->waiting) {
        classify_input(c, engine, engine->waiting, path);
        free(engine->waiting);
        engine->waiting = NULL;
    } else {
        engine->waiting = strdup(path);
    }
    return !ferror(stdout);
}

/* ---- Where paths come from ------------------------------------------------------------------ */

/* Reports a path that cannot be read (FolderVisitor.fail). */
static void fail_path(void *context, const char *path, const char *reason)
{
    Classifier *c = context;
    MegaError err = {0};
    finish_jobs(c, 0);
    mega_fail(&err, MEGA_ERR_IO, "cannot read %s: %s", path, reason);
    fail_input(c, path, &err);
}

/* Called before whoever writes a list of paths may wait for results. */
static void before_waiting(void *context)
{
    finish_jobs(context, 0);
}

/* Returns how many paths make an input, which only the model knows. A shard of several models'
 * inputs has one path each; take_path refuses models that take two. */
static int paths_of_input(void *context, const char *first)
{
    Classifier *c = context;
    Engine *engine = &c->engines[MEGA_CONTENT_UNKNOWN];
    MegaError err = {0};
    if (!c->options->model)
        return 1;
    if (load_engine(c, engine, kind_of(c->options, first), &err) == 0)
        return mega_model_input_count(engine->model);
    free_engine(engine);
    report("%s", err.text);
    c->status = 1;
    return 0;
}

/* Reports that the list of paths ended in an error. A run without shards has one result for it,
 * after all others. */
static void fail_list(Classifier *c, const MegaError *err)
{
    const Shard *shard = &c->options->shard;
    finish_jobs(c, 0);
    c->status = 1;
    if (shard->number == shard->count && c->options->files_from)
        fail_input(c, c->options->files_from, err);
    else
        report("%s", err->text);
}

static int run(const Options *options, int count, char **paths)
{
    Classifier c = {.options = options};
    MegaError err = {0};
    const double begun = clock_seconds();
    const PathInputs inputs = {.paths = paths,
                               .count = count,
                               .list = options->files_from,
                               .null = options->null,
                               .shard = options->shard,
                               .paths_of_input = paths_of_input,
                               .visitor = {take_path, fail_path, &c},
                               .before_waiting = before_waiting};
    bool going;
    const int code = each_path(&inputs, &going, &err);
    if (code)
        fail_list(&c, &err);
    if (!code && going && !c.lacks_model)
        all_results_are_there();
    for (int i = 0; i < MEGA_CONTENT_COUNT; i++) {
        /* the last path of a pair model, if it has no partner, must hold both texts */
        if (c.engines[i].waiting)
            classify_input(&c, &c.engines[i], c.engines[i].waiting, NULL);
        finish_jobs(&c, 0);
    }
    crew_free(c.crew);
    const double seconds = clock_seconds() - begun - c.loading;
    for (int i = 0; i < MEGA_CONTENT_COUNT; i++)
        free_engine(&c.engines[i]);
    if (options->verbose && c.done)
        verbose_end(c.done, "input", seconds);
    if (options->time)
        verbose_times(c.loading, c.reading, c.running);
    return finish_results(c.status);
}

/* Checks that options which need another one have it. Returns the exit status, 0 if all is well. */
static int check_usage(const Options *options, bool has_input)
{
    const bool events = options->style.threshold > 0;
    if (!has_input)
        return usage_error("classify", "no input was given");
    if (options->input.hop > 0 && options->input.window <= 0)
        return usage_error("classify", "--hop needs --window");
    if (options->input.stateful && options->input.window <= 0)
        return usage_error("classify", "--stateful needs --window");
    if (events && options->input.window <= 0)
        return usage_error("classify", "--threshold needs --window");
    if (!events && (options->style.smooth || options->style.ignore_count || options->style.ends))
        return usage_error("classify", "%s needs --threshold",
                           options->style.smooth         ? "--smooth"
                           : options->style.ignore_count ? "--ignore"
                                                   : "--ends");
    if (events && options->style.top)
        return usage_error("classify", "--top is for windows: it does not go with --threshold");
    return 0;
}

static int take_ignore(const CommandOption *option, const char *value, MegaError *err)
{
    Options *options = option->out;
    if (options->style.ignore_count == MAX_IGNORES)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "--ignore may be given %d times", MAX_IGNORES);
    options->ignores[options->style.ignore_count++] = value;
    return 0;
}

/* Returns whether an option was given that says how recordings, pictures or files are read. */
static bool is_for_files(const Options *options)
{
    const MegaPipelineOptions *input = &options->input;
    const ClassifyStyle *style = &options->style;
    return input->window > 0 || input->hop > 0 || input->stateful || input->partial ||
           input->keep_orientation || style->threshold > 0 || style->smooth ||
           style->ignore_count || style->ends || options->files_from || options->raw.rate;
}

static int run_texts(Options *options, int count, char **paths)
{
    ClassifyTexts *texts = &options->texts;
    if (is_for_files(options))
        return usage_error("classify", "--text, --pair, --lines and --column are for texts");
    texts->inputs.json = options->style.json;
    texts->inputs.quiet = options->style.quiet;
    texts->inputs.files_only = true;
    texts->inputs.shard = options->shard;
    texts->inputs.paths = paths;
    texts->inputs.count = count;
    int status = check_text_inputs("classify", &texts->inputs);
    if (status)
        return status;
    texts->model = options->model;
    texts->style = options->style;
    texts->verbose = options->verbose;
    texts->time = options->time;
    texts->pipeline = options->input;
    texts->pipeline.warn = options->style.quiet ? NULL : report_warning;
    return begin_results(&options->shard, &status) ? classify_texts(texts) : status;
}

int command_classify(int argc, char **argv)
{
    Options options = {0};
    const CommandOption table[] = {
        MODEL_OPTION(&options.model),
        {.name = "top", .also = "top-k topk", .hints = "n", .take = take_int,
         .out = &options.style.top, .least = 1, .most = 1 << 24},
        JSON_OPTION(&options.style.json),
        {.name = "text", .take = take_text, .out = &options.texts.inputs.text},
        {.name = "pair", .take = take_text, .out = &options.texts.pair},
        {.name = "lines", .take = take_flag, .out = &options.texts.inputs.lines},
        {.name = "column", .take = take_text, .out = &options.texts.inputs.column},
        {.name = "window", .take = take_seconds, .out = &options.input.window},
        {.name = "hop", .take = take_seconds, .out = &options.input.hop},
        {.name = "stateful", .take = take_flag, .out = &options.input.stateful},
        RATE_OPTION(&options.input.session),
        {.name = "threshold", .take = take_probability, .out = &options.style.threshold},
        {.name = "smooth", .take = take_int, .out = &options.style.smooth, .least = 1,
         .most = EVENTS_MAX_SMOOTH},
        {.name = "ignore", .take = take_ignore, .out = &options},
        {.name = "ends", .take = take_flag, .out = &options.style.ends},
        {.name = "raw", .take = take_raw, .out = &options.raw},
        {.name = "partial", .take = take_flag, .out = &options.input.partial},
        {.name = "ids", .take = take_flag, .out = &options.input.ids},
        {.name = "no-orient", .take = take_flag, .out = &options.input.keep_orientation},
        {.name = "files-from", .hints = "f", .take = take_text, .out = &options.files_from},
        {.name = "null", .letter = '0', .take = take_flag, .out = &options.null},
        SHARD_OPTIONS(&options.shard),
        SESSION_OPTIONS(&options.input.session),
        {.name = "time", .take = take_flag, .out = &options.time},
        QUIET_OPTION(&options.style.quiet),
        VERBOSE_OPTION(&options.verbose),
        {.name = "input", .letter = 'i', .also = "file", .hints = "f", .take = take_input},
        {0}};
    int inputs, status;
    if (!read_command_line(&(CommandSyntax){"classify", help, table}, argc, argv, &inputs,
                           &status))
        return status;
    if (wants_texts(&options.texts))
        return run_texts(&options, inputs, argv + 1);
    status = check_usage(&options, inputs || options.files_from);
    if (status)
        return status;
    /* --json and --top promise one result per input, so they do not scan long recordings */
    options.input.scan = !options.style.json && !options.style.top && options.input.window == 0;
    if (!options.style.smooth)
        options.style.smooth = DEFAULT_SMOOTH;
    options.style.windows = options.input.window > 0;
    options.style.ignores = options.ignores;
    options.style.show_path = inputs > 1 || options.files_from || is_folder(argv[1]);
    return begin_results(&options.shard, &status) ? run(&options, inputs, argv + 1) : status;
}
