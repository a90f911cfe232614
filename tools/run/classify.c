/*
 * classify.c - mega-run classify: names what is in each input.
 *
 * Inputs stream through one reader and one session: one bad input does not stop the others, and
 * each result is out before the next input is opened.
 */
#include <errno.h>
#include <fts.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "find_model.h"
#include "input.h"
#include "options.h"
#include "predict.h"
#include "progress.h"

static const char help[] =
    "Usage: mega-run classify [-m MODEL] INPUT...\n"
    "\n"
    "Names what is in recordings, pictures or texts. A folder stands for all files in it, '-' for\n"
    "standard input. Without -m the shipped model for that kind of input is taken. A pair model\n"
    "takes its inputs two by two; a last one without partner has a TAB between its two texts.\n"
    "\n"
    "Prints label and probability; with several inputs the path before them; with --window the\n"
    "seconds where the window begins and ends.\n"
    "\n"
    "  -m, --model FILE        the model\n"
    "      --top K             the K best labels, one a line (1)\n"
    "      --json              one JSON object a line\n"
    "      --window S          classify windows of S seconds of a recording\n"
    "      --hop S             from one window to the next (the window's length)\n"
    "      --raw FMT:RATE:CH   input is headerless PCM, such as s16le:16000:1\n"
    "      --ids               input is token ids, used as they are\n"
    "      --files-from FILE   read input paths from FILE, one a line; '-' is standard input\n"
    "  -0, --null              the paths of --files-from end in NUL\n"
    "      --threads N         (as many as there are processors)\n"
    "      --time              print how long loading, reading and running took\n"
    "  -q, --quiet             no message about inputs that fail\n"
    "  -h, --help              show this help\n"
    "\n"
    "Exit status: 0 all inputs were classified, 1 some were not, 2 wrong usage.\n";

typedef struct Options {
    const char *model, *files_from;
    InputOptions input;
    int top, threads;
    bool json, null, time, quiet;
} Options;

/* One model and what runs it. */
typedef struct Engine {
    char *path;
    MegaModel *model;
    MegaSession *session;
    InputReader *reader;
    float *probabilities; /* [classes] */
    int *order;           /* [classes], best first */
    char *waiting;        /* the first of a pair */
} Engine;

#define KIND_COUNT (INPUT_TEXT + 1)

typedef struct Classifier {
    const Options *options;
    Engine engines[KIND_COUNT]; /* by kind of input, loaded when the first such input comes; with -m
                                   the first one serves all */
    bool show_path;
    int status;
    double loading, reading, running; /* seconds */
} Classifier;

/* ---- Results -------------------------------------------------------------------------------- */

/* The first `top` entries of order become the best classes; equal ones by their number. */
static void rank_classes(Engine *engine, int top)
{
    int classes = mega_model_class_count(engine->model);
    for (int i = 0; i < classes; i++)
        engine->order[i] = i;
    for (int i = 0; i < top && i < classes; i++) {
        int best = i;
        for (int j = i + 1; j < classes; j++)
            if (engine->probabilities[engine->order[j]] >
                engine->probabilities[engine->order[best]])
                best = j;
        int index = engine->order[best];
        memmove(engine->order + i + 1, engine->order + i, (size_t)(best - i) * sizeof index);
        engine->order[i] = index;
    }
}

static json_t *class_object(const Engine *engine, int index)
{
    char number[16];
    return json_pack("{s:o,s:i,s:f}", "label",
                     json_text(class_name(engine->model, index, number)), "index", index,
                     "probability", (double)engine->probabilities[index]);
}

static void print_json(const Classifier *c, const Engine *engine, const char *path,
                       const Input *input, int top)
{
    json_t *object = json_object(), *list = json_array();
    json_object_set_new(object, "input", json_text(path));
    json_object_set_new(object, "model", json_text(engine->path));
    if (c->options->input.window > 0) {
        json_object_set_new(object, "start", json_real(input->start));
        json_object_set_new(object, "end", json_real(input->end));
    }
    json_t *best = class_object(engine, engine->order[0]);
    json_object_update(object, best);
    json_decref(best);
    for (int i = 0; i < top; i++)
        json_array_append_new(list, class_object(engine, engine->order[i]));
    json_object_set_new(object, "top", list);
    print_json_line(object);
}

static void print_result(const Classifier *c, const Engine *engine, const char *path,
                         const Input *input)
{
    int classes = mega_model_class_count(engine->model);
    int top = c->options->top < classes ? c->options->top : classes;
    if (c->options->json) {
        print_json(c, engine, path, input, top);
        return;
    }
    for (int i = 0; i < top; i++) {
        char number[16];
        if (c->show_path)
            printf("%s\t", path);
        if (c->options->input.window > 0)
            printf("%.2f\t%.2f\t", input->start, input->end);
        printf("%s\t%.4f\n", class_name(engine->model, engine->order[i], number),
               (double)engine->probabilities[engine->order[i]]);
    }
    fflush(stdout);
}

static void fail_input(Classifier *c, const char *path, const MegaError *err)
{
    c->status = 1;
    if (!c->options->quiet)
        report("%s", err->text);
    if (c->options->json)
        print_json_line(json_pack("{s:o,s:{s:s,s:o}}", "input", json_text(path), "error", "code",
                                  mega_error_name(err->code), "message", json_text(err->text)));
}

/* ---- Running -------------------------------------------------------------------------------- */

static int load_engine(Classifier *c, Engine *engine, InputKind kind, MegaError *err)
{
    MegaSessionOptions session = {.threads = c->options->threads};
    double begun = clock_seconds();
    int code = 0;
    if (c->options->model)
        engine->path = strdup(c->options->model);
    else
        code = find_model(&engine->path, "classify", kind, err);
    if (!code && !engine->path)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a path");
    if (!code)
        code = mega_model_open(&engine->model, engine->path, err);
    if (!code)
        code = mega_session_new(&engine->session, engine->model, &session, err);
    if (!code)
        code = input_reader_new(&engine->reader, engine->model, &c->options->input, err);
    if (!code) {
        size_t classes = (size_t)mega_model_class_count(engine->model);
        engine->probabilities = malloc(classes * sizeof *engine->probabilities);
        engine->order = malloc(classes * sizeof *engine->order);
        if (!engine->probabilities || !engine->order)
            code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu classes", classes);
    }
    c->loading += clock_seconds() - begun;
    return code;
}

static void free_engine(Engine *engine)
{
    input_reader_free(engine->reader);
    mega_session_free(engine->session);
    mega_model_free(engine->model);
    free(engine->path);
    free(engine->probabilities);
    free(engine->order);
    free(engine->waiting);
    *engine = (Engine){0};
}

/* One path, or a pair, through reader and session: one result, or one for each window. */
static void classify_path(Classifier *c, Engine *engine, const char *path, const char *second)
{
    MegaError err = {0};
    double begun = clock_seconds();
    int more = input_reader_begin(engine->reader, path, second, &err);
    for (more = more ? more : 1; more > 0;) {
        Input input = {0};
        more = input_reader_next(engine->reader, &input, &err);
        c->reading += clock_seconds() - begun;
        begun = clock_seconds();
        if (more > 0) {
            int code = predict(engine->probabilities, engine->session, engine->model, &input, path,
                               &err);
            c->running += clock_seconds() - begun;
            if (code) {
                more = code;
            } else {
                rank_classes(engine, c->options->top);
                print_result(c, engine, path, &input);
            }
            begun = clock_seconds();
        }
        input_free(&input);
    }
    if (more < 0)
        fail_input(c, path, &err);
}

/* Which engine an input needs, when no model was named. A pipe shows nothing before it is read; it
 * is taken for sound. */
static InputKind kind_of(const Options *options, const char *path)
{
    if (options->model)
        return INPUT_UNKNOWN;
    if (options->input.has_raw || strcmp(path, "-") == 0)
        return INPUT_AUDIO;
    return options->input.ids ? INPUT_TEXT : input_sniff(path);
}

/* Pair models hold the first of two paths back. Returns false when nothing further can work. */
static bool take_path(Classifier *c, const char *path)
{
    MegaError err = {0};
    InputKind kind = kind_of(c->options, path);
    Engine *engine = &c->engines[kind];
    if (kind == INPUT_UNKNOWN && !c->options->model) {
        input_fail_unknown(path, &err);
        fail_input(c, path, &err);
        return true;
    }
    if (!engine->model && load_engine(c, engine, kind, &err)) {
        free_engine(engine);
        if (!c->options->model) { /* another kind of input may have a model */
            MegaError inner = err;
            mega_fail(&err, inner.code, "%s: %s", path, inner.text);
            fail_input(c, path, &err);
            return true;
        }
        report("%s", err.text);
        c->status = 1;
        return false;
    }
    if (mega_model_input_count(engine->model) == 1) {
        classify_path(c, engine, path, NULL);
    } else if (engine->waiting) {
        classify_path(c, engine, engine->waiting, path);
        free(engine->waiting);
        engine->waiting = NULL;
    } else {
        engine->waiting = strdup(path);
    }
    return !ferror(stdout);
}

/* ---- Where paths come from ------------------------------------------------------------------ */

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Something that was named, but of which nothing can be read. */
static void fail_path(Classifier *c, const char *path, const char *reason)
{
    MegaError err = {0};
    mega_fail(&err, MEGA_ERR_IO, "cannot read %s: %s", path, reason);
    fail_input(c, path, &err);
}

static bool take_entry(Classifier *c, FTS *walk, FTSENT *entry, size_t *files)
{
    const bool hidden = entry->fts_level > 0 && entry->fts_name[0] == '.';
    switch (entry->fts_info) {
    case FTS_D:
        if (hidden)
            fts_set(walk, entry, FTS_SKIP);
        return true;
    case FTS_F:
        *files += !hidden;
        return hidden || take_path(c, entry->fts_path);
    case FTS_SLNONE:
        *files += !hidden;
        if (!hidden)
            fail_path(c, entry->fts_path, "a link that leads nowhere");
        return true;
    case FTS_ERR:
    case FTS_DNR:
    case FTS_NS: fail_path(c, entry->fts_path, strerror(entry->fts_errno)); return true;
    default: return true; /* the way back up, loops of links, devices */
    }
}

static bool take_folder(Classifier *c, const char *path)
{
    char *const roots[] = {(char *)path, NULL};
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    bool going = true;
    size_t files = 0;
    if (!walk) {
        fail_path(c, path, strerror(errno));
        return true;
    }
    for (FTSENT *entry; going && (entry = fts_read(walk));)
        going = take_entry(c, walk, entry, &files);
    fts_close(walk);
    if (going && files == 0)
        fail_path(c, path, "there is no file in this folder");
    return going;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return strcmp(path, "-") != 0 && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool take_argument(Classifier *c, const char *path)
{
    return is_folder(path) ? take_folder(c, path) : take_path(c, path);
}

static void take_list(Classifier *c, const char *path)
{
    FILE *list = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    if (!list) {
        fail_path(c, path, strerror(errno));
        return;
    }
    bool going = true;
    while (going &&
           (length = getdelim(&line, &capacity, c->options->null ? '\0' : '\n', list)) > 0) {
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r') &&
               !c->options->null)
            line[--length] = '\0';
        if (line[0])
            going = take_argument(c, line);
    }
    if (ferror(list))
        fail_path(c, path, strerror(errno));
    free(line);
    if (list != stdin)
        fclose(list);
}

static int run(const Options *options, int count, char **paths)
{
    Classifier c = {.options = options};
    c.show_path = count > 1 || options->files_from || is_folder(paths[0]);
    bool going = true;
    for (int i = 0; i < count && going; i++)
        going = take_argument(&c, paths[i]);
    if (going && options->files_from)
        take_list(&c, options->files_from);
    for (int i = 0; i < KIND_COUNT; i++) {
        /* a pair model's last path without a partner must hold both texts */
        if (c.engines[i].waiting)
            classify_path(&c, &c.engines[i], c.engines[i].waiting, NULL);
        free_engine(&c.engines[i]);
    }
    if (options->time)
        fprintf(stderr, "load %.1f ms, read %.1f ms, run %.1f ms\n", 1e3 * c.loading,
                1e3 * c.reading, 1e3 * c.running);
    return finish_output(c.status);
}

int command_classify(int argc, char **argv)
{
    enum { OPT_TOP = 256, OPT_JSON, OPT_WINDOW, OPT_HOP, OPT_RAW, OPT_IDS, OPT_FILES, OPT_THREADS,
           OPT_TIME };
    static const struct option long_options[] = {{"model", required_argument, NULL, 'm'},
                                                 {"top", required_argument, NULL, OPT_TOP},
                                                 {"json", no_argument, NULL, OPT_JSON},
                                                 {"window", required_argument, NULL, OPT_WINDOW},
                                                 {"hop", required_argument, NULL, OPT_HOP},
                                                 {"raw", required_argument, NULL, OPT_RAW},
                                                 {"ids", no_argument, NULL, OPT_IDS},
                                                 {"files-from", required_argument, NULL, OPT_FILES},
                                                 {"null", no_argument, NULL, '0'},
                                                 {"threads", required_argument, NULL, OPT_THREADS},
                                                 {"time", no_argument, NULL, OPT_TIME},
                                                 {"quiet", no_argument, NULL, 'q'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {0}};
    Options options = {.top = 1};
    MegaError err = {0};
    int option, index = 0;
    optind = 0; /* start afresh, whatever was parsed before */
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":m:0qh", long_options, &index)) != -1) {
        bool good = true;
        switch (option) {
        case 'm': options.model = optarg; break;
        case '0': options.null = true; break;
        case 'q': options.quiet = true; break;
        case 'h': fputs(help, stdout); return finish_output(0);
        case OPT_TOP: good = parse_int(optarg, 1, 1 << 24, &options.top); break;
        case OPT_JSON: options.json = true; break;
        case OPT_WINDOW: good = parse_seconds(optarg, &options.input.window); break;
        case OPT_HOP: good = parse_seconds(optarg, &options.input.hop); break;
        case OPT_RAW:
            options.input.has_raw = true;
            if (mega_pcm_parse(&options.input.raw, optarg, &err))
                return usage_error("classify", "--raw: %s", err.text);
            break;
        case OPT_IDS: options.input.ids = true; break;
        case OPT_FILES: options.files_from = optarg; break;
        case OPT_THREADS: good = parse_int(optarg, 1, 256, &options.threads); break;
        case OPT_TIME: options.time = true; break;
        default: return option_error("classify", option, argv, long_options);
        }
        if (!good)
            return usage_error("classify", "'%s' is not a valid value for --%s", optarg,
                               long_options[index].name);
    }
    if (optind == argc && !options.files_from)
        return usage_error("classify", "no input was given");
    if (options.input.hop > 0 && options.input.window <= 0)
        return usage_error("classify", "--hop needs --window");
    return run(&options, argc - optind, argv + optind);
}
