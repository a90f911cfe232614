/*
 * forward.c - mega-run forward: one array (or a pair) through the model, its logits or any stage
 * out. To check a conversion against the original, and to take embeddings.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "npy.h"
#include "options.h"

static const char help[] =
    "Usage: mega-run forward -m MODEL --in A.npy [--in B.npy] [--stage NAME] -o OUT.npy\n"
    "\n"
    "Runs one sequence through a model. Input: integers are token ids, used as they are; a vector\n"
    "of reals is samples or pixels, normalised already; reals of three dimensions are an image,\n"
    "channels x height x width. A pair model takes two. '-' reads standard input.\n"
    "\n"
    "  -m, --model FILE     the model\n"
    "      --in FILE        input array (.npy)\n"
    "  -o, --output FILE    output array, float32; '-' is standard output\n"
    "      --stage NAME     what to write (logits); 'list' prints the names\n"
    "      --input K        of a pair model: the stage of which input, 0 or 1 (0)\n"
    "      --threads N      (as many as there are processors)\n"
    "  -h, --help           show this help\n"
    "\n"
    "Exit status: 0 done, 1 the input or the model cannot be used, 2 wrong usage.\n";

typedef struct Options {
    const char *model, *output, *stage;
    const char *in[2];
    int in_count, number, threads;
} Options;

/* The stage that is wanted, copied when it comes by. */
typedef struct Capture {
    const Options *options;
    float *data;
    uint64_t shape[2];
    bool found, failed;
} Capture;

static bool is_vector(const char *stage)
{
    return strcmp(stage, "logits") == 0 || strcmp(stage, "pooled") == 0;
}

static void capture_stage(void *context, const char *stage, int input, const float *data,
                          size_t rows, size_t columns)
{
    Capture *capture = context;
    if (strcmp(stage, capture->options->stage) != 0 ||
        (input != capture->options->number && strcmp(stage, "logits") != 0))
        return;
    capture->data = malloc(rows * columns * sizeof *data);
    capture->failed = !capture->data;
    capture->found = true;
    capture->shape[0] = rows;
    capture->shape[1] = columns;
    if (capture->data)
        memcpy(capture->data, data, rows * columns * sizeof *data);
}

/* Calls use for every stage of a model, in order; stops at the first true. */
static bool each_stage(const MegaModel *model, bool (*use)(const char *stage, const char *wanted),
                       const char *wanted)
{
    static const char *const parts[] = {".ema", ".v", ".z", ".q", ".k", ""};
    const MegaStackConfig *stack = &mega_model_config(model)->encoder;
    bool done = use("embed", wanted);
    for (int i = 0; i < stack->layers; i++)
        for (size_t p = 0; p < sizeof parts / sizeof parts[0] && !done; p++) {
            char stage[32];
            snprintf(stage, sizeof stage, "layer.%d%s", i, parts[p]);
            done = use(stage, wanted);
        }
    return done || (stack->final_norm && use("final", wanted)) || use("pooled", wanted) ||
           use("logits", wanted);
}

static bool print_stage(const char *stage, const char *wanted)
{
    (void)wanted;
    puts(stage);
    return false;
}

static bool is_stage(const char *stage, const char *wanted)
{
    return strcmp(stage, wanted) == 0;
}

static int view_array(const MegaNpy *array, const char *path, MegaInput *out, MegaError *err)
{
    *out = (MegaInput){.length = array->elements};
    if (array->rank == 1 && array->type == MEGA_NPY_I32) {
        out->kind = MEGA_INPUT_TOKENS;
        out->tokens = array->i32;
        return 0;
    }
    out->values = array->f32;
    out->kind = MEGA_INPUT_SAMPLES;
    if (array->rank == 1)
        return 0;
    if (array->rank != 3 || array->type == MEGA_NPY_I32 || array->shape[0] > 64 ||
        array->shape[1] > 65536 || array->shape[2] > 65536)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "%s: an array of %d dimensions of %s is no input: token ids and samples "
                         "have one dimension, images are reals of channels x height x width",
                         path, array->rank, array->type == MEGA_NPY_I32 ? "integers" : "reals");
    out->kind = MEGA_INPUT_IMAGE;
    out->channels = (int)array->shape[0];
    out->height = (int)array->shape[1];
    out->width = (int)array->shape[2];
    return 0;
}

static int run_model(const Options *options, MegaSession *session, const MegaModel *model,
                     MegaError *err)
{
    MegaNpy arrays[2] = {{0}, {0}};
    MegaInput inputs[2];
    Capture capture = {.options = options};
    float *logits = malloc((size_t)mega_model_class_count(model) * sizeof *logits);
    int code = logits ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the logits");
    for (int i = 0; i < options->in_count && !code; i++) {
        code = mega_npy_read(&arrays[i], options->in[i], err);
        if (!code)
            code = view_array(&arrays[i], options->in[i], &inputs[i], err);
    }
    mega_session_set_tap(session, capture_stage, &capture);
    if (!code) {
        MegaError inner = {0};
        code = mega_session_classify(session, inputs, options->in_count, logits, &inner);
        if (code)
            mega_fail(err, code, "%s: %s", options->in[0], inner.text);
    }
    if (!code && capture.failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for stage %s", options->stage);
    if (!code) {
        int skip = is_vector(options->stage);
        code = mega_npy_write(options->output, capture.data, 2 - skip, capture.shape + skip, err);
    }
    free(capture.data);
    free(logits);
    mega_npy_free(&arrays[0]);
    mega_npy_free(&arrays[1]);
    return code;
}

static int check_usage(const Options *options, const MegaModel *model)
{
    if (!each_stage(model, is_stage, options->stage))
        return usage_error("forward", "the model has no stage '%s'; '--stage list' prints them",
                           options->stage);
    if (options->in_count != mega_model_input_count(model))
        return usage_error("forward", "the model takes %d inputs (--in), not %d",
                           mega_model_input_count(model), options->in_count);
    if (options->number >= options->in_count)
        return usage_error("forward", "--input %d, but there is just one input", options->number);
    return 0;
}

static int run(const Options *options)
{
    MegaError err = {0};
    MegaModel *model = NULL;
    MegaSession *session = NULL;
    MegaSessionOptions session_options = {.threads = options->threads};
    int status = 0, code = mega_model_open(&model, options->model, &err);
    if (!code && strcmp(options->stage, "list") == 0) {
        each_stage(model, print_stage, NULL);
        goto out;
    }
    if (!code && (!options->output || options->in_count == 0)) {
        status = usage_error("forward", options->output ? "no input was given: --in FILE.npy"
                                                        : "no output was given: -o FILE.npy");
        goto out;
    }
    if (!code)
        status = check_usage(options, model);
    if (!code && !status) {
        code = mega_session_new(&session, model, &session_options, &err);
        if (!code)
            code = run_model(options, session, model, &err);
    }
    if (code) {
        report("%s", err.text);
        status = 1;
    }
out:
    mega_session_free(session);
    mega_model_free(model);
    return finish_output(status);
}

int command_forward(int argc, char **argv)
{
    enum { OPT_IN = 256, OPT_STAGE, OPT_INPUT, OPT_THREADS };
    static const struct option long_options[] = {
        {"model", required_argument, NULL, 'm'},   {"in", required_argument, NULL, OPT_IN},
        {"output", required_argument, NULL, 'o'},  {"stage", required_argument, NULL, OPT_STAGE},
        {"input", required_argument, NULL, OPT_INPUT},
        {"threads", required_argument, NULL, OPT_THREADS},
        {"help", no_argument, NULL, 'h'},          {0}};
    Options options = {.stage = "logits"};
    int option;
    optind = 0; /* start afresh, whatever was parsed before */
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":m:o:h", long_options, NULL)) != -1) {
        switch (option) {
        case 'm': options.model = optarg; break;
        case 'o': options.output = optarg; break;
        case 'h': fputs(help, stdout); return finish_output(0);
        case OPT_STAGE: options.stage = optarg; break;
        case OPT_IN:
            if (options.in_count == 2)
                return usage_error("forward", "more than two inputs");
            options.in[options.in_count++] = optarg;
            break;
        case OPT_INPUT:
            if (!parse_int(optarg, 0, 1, &options.number))
                return usage_error("forward", "--input takes 0 or 1, not '%s'", optarg);
            break;
        case OPT_THREADS:
            if (!parse_int(optarg, 1, 256, &options.threads))
                return usage_error("forward", "--threads takes 1 to 256, not '%s'", optarg);
            break;
        default: return option_error("forward", option, argv);
        }
    }
    if (optind < argc)
        return usage_error("forward", "'%s' is too much: inputs are given with --in", argv[optind]);
    if (!options.model)
        return usage_error("forward", "no model was given: -m MODEL");
    return run(&options);
}
