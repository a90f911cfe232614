/*
 * classify.c - mega-run classify: names what is in each input.
 *
 * Inputs stream through one reader and one session: one bad input does not stop the others, and each
 * result is out before the next input is opened.
 */
#include <errno.h>
#include <fts.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "find_model.h"
#include "input.h"
#include "options.h"
#include "progress.h"

static const char help[] =
    "Usage: mega-run classify [-m MODEL] INPUT...\n"
    "\n"
    "Names what is in recordings, pictures or texts. A folder stands for all files in it, '-' for\n"
    "standard input. Without -m the shipped model for that kind of input is taken. A pair model\n"
    "takes its inputs two by two, or files with a TAB between the two texts.\n"
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

typedef struct Classifier {
    const Options *options;
    const char *model_path;
    MegaModel *model;
    MegaSession *session;
    InputReader *reader;
    float *probabilities; /* [classes] */
    int *order;           /* [classes], best first */
    bool show_path;
    char *waiting;        /* the first of a pair */
    int status;
    double loading, reading, running; /* seconds */
} Classifier;

/* ---- Results ------------------------------------------------------------------------------------------ */

/* The first `top` entries of order become the best classes; equal ones by their number. */
static void rank_classes(Classifier *c, int top)
{
    int classes = mega_model_class_count(c->model);
    for (int i = 0; i < classes; i++)
        c->order[i] = i;
    for (int i = 0; i < top && i < classes; i++) {
        int best = i;
        for (int j = i + 1; j < classes; j++)
            if (c->probabilities[c->order[j]] > c->probabilities[c->order[best]])
                best = j;
        int index = c->order[best];
        memmove(c->order + i + 1, c->order + i, (size_t)(best - i) * sizeof *c->order);
        c->order[i] = index;
    }
}

static json_t *class_object(const Classifier *c, int index)
{
    char number[16];
    return json_pack("{s:o,s:i,s:f}", "label", json_text(class_name(c->model, index, number)),
                     "index", index, "probability", (double)c->probabilities[index]);
}

static void print_json(const Classifier *c, const char *path, const Input *input, int top)
{
    json_t *object = json_object(), *list = json_array();
    json_object_set_new(object, "input", json_text(path));
    json_object_set_new(object, "model", json_text(c->model_path));
    if (c->options->input.window > 0) {
        json_object_set_new(object, "start", json_real(input->start));
        json_object_set_new(object, "end", json_real(input->end));
    }
    json_t *best = class_object(c, c->order[0]);
    json_object_update(object, best);
    json_decref(best);
    for (int i = 0; i < top; i++)
        json_array_append_new(list, class_object(c, c->order[i]));
    json_object_set_new(object, "top", list);
    print_json_line(object);
}

static void print_result(const Classifier *c, const char *path, const Input *input)
{
    int classes = mega_model_class_count(c->model);
    int top = c->options->top < classes ? c->options->top : classes;
    if (c->options->json) {
        print_json(c, path, input, top);
        return;
    }
    for (int i = 0; i < top; i++) {
        char number[16];
        if (c->show_path)
            printf("%s\t", path);
        if (c->options->input.window > 0)
            printf("%.2f\t%.2f\t", input->start, input->end);
        printf("%s\t%.4f\n", class_name(c->model, c->order[i], number),
               (double)c->probabilities[c->order[i]]);
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

/* ---- Running ------------------------------------------------------------------------------------------ */

static int load(Classifier *c, const char *first_input, MegaError *err)
{
    MegaSessionOptions session = {.threads = c->options->threads};
    double begun = clock_seconds();
    char *found = NULL;
    int code = 0;
    c->model_path = c->options->model;
    if (!c->model_path) {
        InputKind kind = c->options->input.has_raw ? INPUT_AUDIO
                         : c->options->input.ids   ? INPUT_TEXT
                                                   : input_sniff(first_input);
        code = find_model(&found, "classify", kind, err);
        c->model_path = found;
    }
    if (!code)
        code = mega_model_open(&c->model, c->model_path, err);
    if (!code)
        code = mega_session_new(&c->session, c->model, &session, err);
    if (!code)
        code = input_reader_new(&c->reader, c->model, &c->options->input, err);
    if (!code) {
        size_t classes = (size_t)mega_model_class_count(c->model);
        c->probabilities = malloc(classes * sizeof *c->probabilities);
        c->order = malloc(classes * sizeof *c->order);
        if (!c->probabilities || !c->order)
            code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu classes", classes);
    }
    c->loading = clock_seconds() - begun;
    return code;
}

/* One path, or a pair, through reader and session: one result, or one for each window. */
static void classify_path(Classifier *c, const char *path, const char *second)
{
    MegaError err = {0};
    double begun = clock_seconds();
    int more = input_reader_begin(c->reader, path, second, &err);
    for (more = more ? more : 1; more > 0;) {
        Input input = {0};
        more = input_reader_next(c->reader, &input, &err);
        c->reading += clock_seconds() - begun;
        begun = clock_seconds();
        if (more > 0) {
            int code = mega_session_classify(c->session, input.views, input.count,
                                             c->probabilities, &err);
            c->running += clock_seconds() - begun;
            if (code) {
                MegaError inner = err;
                mega_fail(&err, code, "%s: %s", path, inner.text);
                more = code;
            } else {
                mega_softmax(c->probabilities, mega_model_class_count(c->model), c->probabilities);
                rank_classes(c, c->options->top);
                print_result(c, path, &input);
            }
            begun = clock_seconds();
        }
        input_free(&input);
    }
    if (more < 0)
        fail_input(c, path, &err);
}

/* Loads the model at the first path. Pair models hold the first of two paths back, unless it is a file
 * with both texts. Returns false when nothing can work. */
static bool take_path(Classifier *c, const char *path)
{
    MegaError err = {0};
    if (!c->model && load(c, path, &err)) {
        report("%s", err.text);
        c->status = 1;
        return false;
    }
    if (mega_model_input_count(c->model) == 1) {
        classify_path(c, path, NULL);
    } else if (c->waiting) {
        classify_path(c, c->waiting, path);
        free(c->waiting);
        c->waiting = NULL;
    } else {
        c->waiting = strdup(path);
    }
    return !ferror(stdout);
}

/* A pair model's last path without a partner must hold both texts. */
static void finish_pairs(Classifier *c)
{
    if (c->waiting)
        classify_path(c, c->waiting, NULL);
    free(c->waiting);
    c->waiting = NULL;
}

/* ---- Where paths come from -------------------------------------------------------------------------- */

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static bool take_folder(Classifier *c, const char *path)
{
    char *const roots[] = {(char *)path, NULL};
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    bool going = walk != NULL;
    while (going) {
        FTSENT *entry = fts_read(walk);
        if (!entry)
            break;
        bool hidden = entry->fts_level > 0 && entry->fts_name[0] == '.';
        if (hidden && entry->fts_info == FTS_D)
            fts_set(walk, entry, FTS_SKIP);
        else if (!hidden && entry->fts_info == FTS_F)
            going = take_path(c, entry->fts_path);
        else if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR) {
            report("%s: %s", entry->fts_path, strerror(entry->fts_errno));
            c->status = 1;
        }
    }
    if (walk)
        fts_close(walk);
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
        report("%s: %s", path, strerror(errno));
        c->status = 1;
        return;
    }
    bool going = true;
    while (going && (length = getdelim(&line, &capacity, c->options->null ? '\0' : '\n', list)) > 0) {
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r') &&
               !c->options->null)
            line[--length] = '\0';
        if (line[0])
            going = take_argument(c, line);
    }
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
    if (c.model)
        finish_pairs(&c);
    if (options->time && c.model)
        fprintf(stderr, "load %.1f ms, read %.1f ms, run %.1f ms\n", 1e3 * c.loading,
                1e3 * c.reading, 1e3 * c.running);
    input_reader_free(c.reader);
    mega_session_free(c.session);
    mega_model_free(c.model);
    if (c.model_path != options->model)
        free((char *)c.model_path);
    free(c.probabilities);
    free(c.order);
    return finish_output(c.status);
}

int command_classify(int argc, char **argv)
{
    enum { OPT_TOP = 256, OPT_JSON, OPT_WINDOW, OPT_HOP, OPT_RAW, OPT_IDS, OPT_FILES, OPT_THREADS,
           OPT_TIME };
    static const struct option long_options[] = {
        {"model", required_argument, NULL, 'm'},     {"top", required_argument, NULL, OPT_TOP},
        {"json", no_argument, NULL, OPT_JSON},       {"window", required_argument, NULL, OPT_WINDOW},
        {"hop", required_argument, NULL, OPT_HOP},   {"raw", required_argument, NULL, OPT_RAW},
        {"ids", no_argument, NULL, OPT_IDS},         {"files-from", required_argument, NULL, OPT_FILES},
        {"null", no_argument, NULL, '0'},            {"threads", required_argument, NULL, OPT_THREADS},
        {"time", no_argument, NULL, OPT_TIME},       {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},            {0}};
    Options options = {.top = 1};
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
        case OPT_RAW: options.input.has_raw = true; options.input.raw = optarg; break;
        case OPT_IDS: options.input.ids = true; break;
        case OPT_FILES: options.files_from = optarg; break;
        case OPT_THREADS: good = parse_int(optarg, 1, 256, &options.threads); break;
        case OPT_TIME: options.time = true; break;
        default: return option_error("classify", option, argv);
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
