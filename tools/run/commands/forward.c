/*
 * forward.c - mega-run forward: runs one array (or a pair) through the model and writes the logits
 * or any stage. It serves to check a conversion against the original model, and to extract
 * embeddings.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/media/npy.h"
#include "src/base/checked.h"
#include "src/encode/session.h"
#include "src/model/model.h"
#include "tools/common/progress.h"
#include "tools/run/command_line.h"
#include "tools/run/find_model.h"
#include "tools/run/forward_pieces.h"
#include "tools/run/options.h"
#include "tools/run/text_argument.h"
#include "tools/run/verbose.h"

static const char help[] =
    "Usage: mega-run forward -m MODEL --in A.npy [--in B.npy] [--stage NAME] -o OUT.npy\n"
    "\n"
    "Runs one sequence through a model. Input: integers are token ids, used as they are; a vector\n"
    "of reals is samples or pixels, normalised already; reals of two dimensions are positions x\n"
    "values, of three an image, channels x height x width. A pair model takes two. A translator\n"
    "takes the source and, as --target, what its decoder reads, </s> first; a language model what\n"
    "it reads. Their logits are length x vocabulary, log-probabilities with adaptive softmax; EMA\n"
    "truncation is applied, as in the original's full passes. A model that fills masks, tags or\n"
    "answers gives logits of every position, and one that only embeds the states. One that\n"
    "chooses also takes a matrix of token ids, a choice in each row. '-' reads standard input.\n"
    "\n"
    "  -m, --model FILE     the model\n"
    "      --in FILE        input array (.npy)\n"
    "      --types FILE     token types of that input (.npy), of models that have them\n"
    "      --cache, --no-cache   of a language model from the Hugging Face hub: what its class "
    "gives\n"
    "                       with a cache, without EMA truncation, or without one\n"
    "      --target FILE    of a translator: token ids that the decoder reads (.npy)\n"
    "      --rate X         of S4: the input holds every X-th position (1)\n"
    "      --pieces N       N positions at a time: of a causal S4, or a model with chunks\n"
    "      --chunk N        another chunk of a rotary decoder; 0: none\n"
    "  -o, --output FILE    output array, float32; '-' is standard output\n"
    "  -s, --stage NAME     what to write (logits); 'list' prints the names\n"
    "      --input K        of a pair model: the stage of which input, 0 or 1 (0)\n"
    "      --json           print what was written, or the list of stages, as a JSON object\n"
    "  -t, --threads N      threads (one for each processor)\n"
    "      --cpu NAME       kernels: generic, avx2 ... (the best of this machine)\n"
    "      --precision TYPE  multiply floats in f32 (default), or in bf16 with kernels amx\n"
    "      --max-memory SIZE  use at most SIZE, such as 300M; refuse what needs more\n"
    "  -v, --verbose        report the model, how it runs, its speed and its memory\n"
    "  -h, --help           show this help\n"
    "\n"
    "Exit status: 0 done, 1 the input or the model cannot be used, 2 wrong usage.\n";

typedef struct Options {
    const char *model, *output, *stage, *target, *types;
    const char *in[2];
    int in_count, number, chunk; /* chunk is that of MegaDecoderOptions */
    int pieces;                  /* 0: the whole input at once */
    bool json, verbose, cache, no_cache;
    MegaSessionOptions session;
} Options;

/* The stage that the user asks for, which the tap copies. A stage of a decoder comes in several
 * pieces, which are appended. Attention weights come in parts of all heads, and are put in order.
 */
typedef struct Capture {
    const Options *options;
    MegaSession *session; /* the copy counts towards this session's memory limit */
    float *data;
    uint64_t shape[3]; /* heads x queries x keys of attention weights, else 1 x rows x columns */
    size_t heads;      /* of attention weights; 0: the stage is another one */
    size_t positions;  /* rows of each head; 0: as many as there are keys */
    size_t seen;       /* rows of each head so far */
    int code;          /* the error if copying failed */
    MegaError err;
} Capture;

static bool is_vector(const MegaModel *model, const char *stage)
{
    const MegaTask task = mega_model_task(model);
    return strcmp(stage, "pooled") == 0 ||
           (strcmp(stage, "logits") == 0 &&
            (task == MEGA_TASK_CLASSIFY || task == MEGA_TASK_CHOOSE));
}

/* Makes the copy larger, from `have` floats to `need`. */
static bool grow_capture(Capture *capture, uint64_t have, uint64_t need)
{
    uint64_t bytes = 0;
    if (!capture->code && (!mega_mul(need, sizeof(float), &bytes) || bytes > SIZE_MAX))
        capture->code = mega_fail(&capture->err, MEGA_ERR_LIMIT, "stage %s is too large",
                                  capture->options->stage);
    if (!capture->code)
        capture->code = mega_session_count(capture->session, have * sizeof(float), bytes,
                                           "the array of the stage", &capture->err);
    if (capture->code)
        return false;
    float *grown = realloc(capture->data, (size_t)bytes);
    if (grown)
        capture->data = grown;
    else
        capture->code = mega_fail(&capture->err, MEGA_ERR_MEMORY, "no memory for stage %s",
                                  capture->options->stage);
    return grown != NULL;
}

/* Puts a part of the attention weights, [heads][rows][columns], in its place. */
static void capture_weights(Capture *capture, const float *data, size_t rows, size_t columns)
{
    const bool cross = strstr(capture->options->stage, ".cross_") != NULL;
    const size_t count = rows / capture->heads;
    const size_t queries = capture->positions ? capture->positions : columns;
    const size_t keys = cross || !capture->positions ? columns : capture->positions;
    uint64_t floats = 0;
    if (!capture->data) {
        if (!mega_mul((uint64_t)capture->heads * queries, keys, &floats))
            floats = UINT64_MAX;
        if (!grow_capture(capture, 0, floats))
            return;
        memset(capture->data, 0, (size_t)floats * sizeof *data);
        capture->shape[0] = capture->heads;
        capture->shape[1] = queries;
        capture->shape[2] = keys;
    }
    for (size_t head = 0; head < capture->heads; head++)
        for (size_t row = 0; row < count; row++, data += columns)
            memcpy(capture->data + (head * queries + capture->seen + row) * keys, data,
                   columns * sizeof *data);
    capture->seen += count;
}

static void capture_stage(void *context, const char *stage, int input, const float *data,
                          size_t rows, size_t columns)
{
    Capture *capture = context;
    if (strcmp(stage, capture->options->stage) != 0 ||
        (input != capture->options->number && strcmp(stage, "logits") != 0) || capture->code)
        return;
    if (capture->heads) {
        capture_weights(capture, data, rows, columns);
        return;
    }
    const size_t have = (size_t)(capture->shape[1] * capture->shape[2]);
    if (!grow_capture(capture, have, have + rows * columns))
        return;
    memcpy(capture->data + have, data, rows * columns * sizeof *data);
    capture->shape[0] = 1;
    capture->shape[1] += rows;
    capture->shape[2] = columns;
}

/* Sets the session's tap. `positions` is how many the decoder reads, or 0 in an encoder. */
static void tap_session(Capture *capture, const MegaModel *model, size_t positions)
{
    const char *stage = capture->options->stage, *part = strrchr(stage, '.');
    const bool weights = part && (strcmp(part, ".attn") == 0 || strcmp(part, ".cross_attn") == 0);
    const bool decoder = strncmp(stage, "decoder.", 8) == 0;
    if (weights)
        capture->heads = (size_t)mega_layer_view(decoder ? &model->decoder : &model->encoder, 0)
                             .heads;
    capture->positions = decoder ? positions : 0;
    mega_session_set_piece_tap(capture->session, capture_stage, capture);
    mega_session_tap_attention(capture->session, capture->heads > 0);
}

/* Receives the name of each stage; returns true to stop. `context` is the name to look for, or a
 * JSON array that collects all names. */
typedef bool (*UseStage)(const char *stage, void *context);

/* Visits the stages of one stack's layers; prefix is "" or "decoder.". */
static bool each_layer_stage(const MegaStackConfig *stack, const char *prefix, bool cross,
                             UseStage use, void *context)
{
    bool done = false;
    for (int i = 0; i < stack->layers; i++)
        for (const char *const *part = mega_stack_kind(stack)->stages; *part && !done; part++) {
            char stage[48];
            if (!cross && strncmp(*part, ".cross", 6) == 0)
                continue;
            snprintf(stage, sizeof stage, "%slayer.%d%s", prefix, i, *part);
            done = use(stage, context);
        }
    return done;
}

/* Calls `use` for every stage of a model, in order, until it returns true. */
static bool each_stage(const MegaModel *model, UseStage use, void *context)
{
    const MegaConfig *config = mega_model_config(model);
    bool translator = mega_config_has_cross(config), done = false;
    if (mega_config_has_encoder(config))
        done = (config->encoder.positions && use("positions", context)) || use("embed", context) ||
               each_layer_stage(&config->encoder, "", false, use, context) ||
               (config->encoder.final_norm && use("final", context));
    if (!done && mega_config_has_head(config) && !mega_task_traits(config->task)->labels_positions)
        done = use("pooled", context);
    if (!done && translator)
        done = use("encoder", context);
    if (!done && mega_config_has_decoder(config))
        done = (config->decoder.positions && use("target.positions", context)) ||
               use("target", context) ||
               each_layer_stage(&config->decoder, "decoder.", translator, use, context) ||
               (config->decoder.final_norm && use("decoder.final", context)) ||
               (mega_config_projects_output(config) && use("decoder.features", context));
    return done || use("logits", context);
}

static bool print_stage(const char *stage, void *context)
{
    (void)context;
    puts(stage);
    return false;
}

static bool collect_stage(const char *stage, void *list)
{
    json_array_append_new(list, json_string(stage));
    return false;
}

static bool is_stage(const char *stage, void *wanted)
{
    return strcmp(stage, wanted) == 0;
}

static void list_stages(const Options *options, const MegaModel *model)
{
    if (!options->json) {
        each_stage(model, print_stage, NULL);
        return;
    }
    json_t *list = json_array();
    each_stage(model, collect_stage, list);
    print_json_line(json_pack("{s:o,s:o}", "model", json_text(options->model), "stages", list));
}

/* Prints what was written, for --json. */
static void print_written(const Options *options, int rank, const uint64_t *shape)
{
    if (!options->json)
        return;
    json_t *list = json_array();
    for (int i = 0; i < rank; i++)
        json_array_append_new(list, json_integer((json_int_t)shape[i]));
    print_json_line(json_pack("{s:o,s:s,s:o,s:o}", "model", json_text(options->model), "stage",
                              options->stage, "output", json_text(options->output), "shape",
                              list));
}

/* Writes the stage to the output file. With rank 1 its only row is written as a vector. */
static int write_stage(const Options *options, const Capture *capture, int rank, MegaError *err)
{
    rank = capture->heads ? 3 : rank;
    const uint64_t *shape = capture->shape + 3 - rank;
    int code = mega_npy_write(options->output, capture->data, rank, shape, err);
    if (!code)
        print_written(options, rank, shape);
    return code;
}

/* Returns whether the rows of an array are what the model takes at a position. */
static bool are_positions(const MegaNpy *array, const MegaModel *model)
{
    const MegaEmbedConfig *embed = &mega_model_config(model)->embed;
    const uint64_t each =
        embed->kind == MEGA_EMBED_FRAMES && embed->frame_length == embed->frame_hop
            ? (uint64_t)embed->frame_hop
            : 1;
    return array->rank == 2 && array->type != MEGA_NPY_I32 && array->shape[1] == each &&
           mega_model_input_kind(model) == MEGA_INPUT_SAMPLES;
}

static int view_array(const MegaNpy *array, const MegaModel *model, const char *path,
                      MegaInput *out, MegaError *err)
{
    *out = (MegaInput){.length = array->elements};
    if (array->rank == 1 && array->type == MEGA_NPY_I32) {
        out->kind = MEGA_INPUT_TOKENS;
        out->tokens = array->i32;
        return 0;
    }
    out->values = array->f32;
    out->kind = MEGA_INPUT_SAMPLES;
    if (array->rank == 1 || are_positions(array, model))
        return 0;
    if (array->rank != 3 || array->type == MEGA_NPY_I32 || array->shape[0] > 64 ||
        array->shape[1] > 65536 || array->shape[2] > 65536)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "%s: an array of %d dimensions of %s is not an input: token ids and "
                         "samples "
                         "have one dimension, images are reals of channels x height x width",
                         path, array->rank, array->type == MEGA_NPY_I32 ? "integers" : "reals");
    out->kind = MEGA_INPUT_IMAGE;
    out->channels = (int)array->shape[0];
    out->height = (int)array->shape[1];
    out->width = (int)array->shape[2];
    return 0;
}

/* Reads an array, which counts towards the session's memory limit from now on. */
static int read_array(MegaNpy *array, MegaSession *session, const char *path, MegaError *err)
{
    int code = mega_npy_read_within(array, path, mega_session_left(session), err);
    return code ? code
                : mega_session_count(session, 0, array->elements * sizeof(float), path, err);
}

/* Reads the token types of the first input. They must be as many as its tokens. */
static int read_types(const Options *options, MegaSession *session, MegaNpy *array,
                      MegaInput *input, MegaError *err)
{
    if (!options->types)
        return 0;
    int code = read_array(array, session, options->types, err);
    if (!code && (array->rank != 1 || array->type != MEGA_NPY_I32 ||
                  array->elements != input->length || input->kind != MEGA_INPUT_TOKENS))
        code = mega_fail(err, MEGA_ERR_INPUT,
                         "%s: expected a vector of as many integers as the input has tokens",
                         options->types);
    input->types = array->i32;
    return code;
}

/* Runs a model that has logits for every position. For another stage none are computed. */
static int run_labels(const Options *options, MegaSession *session, const MegaModel *model,
                      const MegaInput *input, MegaError *err)
{
    const size_t none = 0, classes = (size_t)mega_model_class_count(model);
    const bool wanted = strcmp(options->stage, "logits") == 0;
    const uint64_t bytes = wanted ? (uint64_t)input->length * classes * sizeof(float) : 0;
    float *logits = NULL;
    int code = mega_session_count(session, 0, bytes, "the array of logits", err);
    if (!code && wanted && !(logits = malloc((size_t)bytes + 1)))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the logits");
    if (!code)
        code = mega_session_label(session, input, wanted ? NULL : &none, wanted ? input->length : 0,
                                  logits, err);
    free(logits);
    return code;
}

static bool are_choices(const Options *options, const MegaModel *model, const MegaNpy *array)
{
    return mega_model_task(model) == MEGA_TASK_CHOOSE && array->rank == 2 &&
           array->type == MEGA_NPY_I32 && strcmp(options->stage, "logits") == 0;
}

/* Runs the rows of a matrix of token ids, the choices of a model that chooses, each without the
 * padding at its end. Their logits are a vector. */
static int run_choices(const Options *options, MegaSession *session, const MegaModel *model,
                       const MegaNpy *array, MegaError *err)
{
    const MegaMetaValue *pad = mega_meta_find(mega_model_meta(model), "special.pad");
    const size_t rows = (size_t)array->shape[0], columns = (size_t)array->shape[1];
    Capture capture = {.data = calloc(rows + 1, sizeof(float)), .shape = {1, 1, rows}};
    int code = capture.data ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the logits");
    for (size_t row = 0; row < rows && !code; row++) {
        MegaInput input = {
            .kind = MEGA_INPUT_TOKENS, .tokens = array->i32 + row * columns, .length = columns};
        while (pad && input.length > 0 && input.tokens[input.length - 1] == pad->integer)
            input.length--;
        code = mega_session_classify(session, &input, 1, &capture.data[row], err);
    }
    if (!code)
        code = write_stage(options, &capture, 1, err);
    free(capture.data);
    return code;
}

static int run_classifier(const Options *options, MegaSession *session, const MegaModel *model,
                          MegaError *err)
{
    MegaNpy arrays[2] = {{0}, {0}}, types = {0};
    MegaInput inputs[2];
    Capture capture = {.options = options, .session = session};
    const size_t classes = (size_t)mega_model_class_count(model);
    float *logits = malloc((classes ? classes : (size_t)mega_model_width(model)) * sizeof *logits);
    int code = logits ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the logits");
    for (int i = 0; i < options->in_count && !code; i++) {
        code = read_array(&arrays[i], session, options->in[i], err);
        if (!code && are_choices(options, model, &arrays[0])) {
            code = run_choices(options, session, model, &arrays[0], err);
            mega_npy_free(&arrays[0]);
            free(logits);
            return code;
        }
        if (!code)
            code = view_array(&arrays[i], model, options->in[i], &inputs[i], err);
    }
    if (!code)
        code = read_types(options, session, &types, &inputs[0], err);
    tap_session(&capture, model, 0);
    if (!code) {
        MegaError inner = {0};
        if (mega_task_traits(mega_model_task(model))->labels_positions)
            code = run_labels(options, session, model, &inputs[0], &inner);
        else if (options->pieces)
            code = mega_session_classify_pieces(session, inputs, (size_t)options->pieces, logits,
                                                &inner);
        else
            code = mega_session_classify(session, inputs, options->in_count, logits, &inner);
        if (code)
            mega_fail(err, code, "%s: %s", options->in[0], inner.text);
    }
    if (!code && capture.code)
        code = mega_fail(err, capture.code, "%s", capture.err.text);
    if (!code && !capture.data)
        code = mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "stage %s was not computed: layers that run step by step make no kernels",
                         options->stage);
    if (!code)
        code = write_stage(options, &capture, is_vector(model, options->stage) ? 1 : 2, err);
    free(capture.data);
    free(logits);
    mega_npy_free(&arrays[0]);
    mega_npy_free(&arrays[1]);
    mega_npy_free(&types);
    return code;
}

/* Reads a vector of token ids. */
static int read_tokens(MegaNpy *array, MegaSession *session, const MegaModel *model,
                       const char *path, MegaInput *out, MegaError *err)
{
    int code = read_array(array, session, path, err);
    if (!code)
        code = view_array(array, model, path, out, err);
    if (!code && out->kind != MEGA_INPUT_TOKENS)
        code = mega_fail(err, MEGA_ERR_INPUT, "%s: reals, but the model takes token ids", path);
    if (!code && out->length == 0)
        code = mega_fail(err, MEGA_ERR_INPUT, "%s: there is no token", path);
    return code;
}

/* Runs the decoder on all tokens at once (teacher forcing), with the EMA truncated as in training.
 * `encoded` is NULL for a language model. */
static int run_decoder(const Options *options, MegaSession *session, const MegaModel *model,
                       const MegaEncoded *encoded, const MegaInput *tokens, Capture *capture,
                       MegaError *err)
{
    const bool truncate =
        options->no_cache || (!options->cache && !mega_model_config(model)->target.untruncated);
    MegaDecoderOptions decoder_options = {.truncate = truncate, .chunk = options->chunk};
    size_t vocab = (size_t)mega_model_vocab_size(model);
    MegaDecoder *decoder = NULL;
    float *logits = NULL;
    int code = mega_decoder_new(&decoder, session, &decoder_options, err);
    if (!code)
        code = mega_decoder_begin(decoder, encoded ? &encoded : NULL, 1, err);
    const bool wants_logits = strcmp(options->stage, "logits") == 0;
    if (!code && wants_logits)
        code = mega_session_count(session, 0, (uint64_t)tokens->length * vocab * sizeof *logits,
                                  "the array of logits", err);
    if (!code && wants_logits) {
        logits = calloc(tokens->length, vocab * sizeof *logits);
        if (!logits)
            code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the logits");
    }
    if (!code)
        code = mega_decoder_feed(decoder, tokens->tokens, tokens->length, logits, err);
    if (!code && logits) {
        capture->data = logits;
        capture->shape[0] = 1;
        capture->shape[1] = tokens->length;
        capture->shape[2] = vocab;
    } else {
        free(logits);
    }
    mega_decoder_free(decoder);
    return code;
}

static int run_sequence(const Options *options, MegaSession *session, const MegaModel *model,
                        MegaError *err)
{
    bool translator = mega_config_has_cross(mega_model_config(model));
    bool encoder_only = strcmp(options->stage, "encoder") == 0;
    MegaNpy arrays[2] = {{0}, {0}};
    MegaInput input = {0}, target = {0};
    MegaEncoded *encoded = NULL;
    Capture capture = {.options = options, .session = session};
    int code = read_tokens(&arrays[0], session, model, options->in[0], &input, err);
    if (!code && translator && !encoder_only)
        code = read_tokens(&arrays[1], session, model, options->target, &target, err);
    tap_session(&capture, model, translator ? target.length : input.length);
    if (!code && translator)
        code = mega_session_encode(session, &input, &encoded, err);
    if (!code && encoder_only)
        capture_stage(&capture, "encoder", 0, mega_encoded_states(encoded),
                      mega_encoded_length(encoded),
                      (size_t)mega_model_config(model)->encoder.width);
    else if (!code)
        code = run_decoder(options, session, model, encoded, translator ? &target : &input,
                           &capture, err);
    if (!code && capture.code)
        code = mega_fail(err, capture.code, "%s", capture.err.text);
    if (!code)
        code = write_stage(options, &capture, 2, err);
    free(capture.data);
    mega_encoded_free(encoded);
    mega_npy_free(&arrays[0]);
    mega_npy_free(&arrays[1]);
    return code;
}

/* Returns whether the model's layers keep a state, so that an array need not be there whole. */
static bool is_stream(const MegaModel *model)
{
    const MegaStack *stack = &model->encoder;
    return stack->kind && stack->kind->can_stream && stack->kind->can_stream(stack->config);
}

static int run_in_pieces(const Options *options, MegaSession *session, const MegaModel *model,
                         MegaError *err)
{
    const ForwardPieces request = {.input = options->in[0],
                                   .output = options->output,
                                   .stage = options->stage,
                                   .is_vector = is_vector(model, options->stage),
                                   .most = (size_t)options->pieces};
    uint64_t shape[2];
    int code = forward_in_pieces(&request, session, model, shape, err);
    if (!code)
        print_written(options, request.is_vector ? 1 : 2, request.is_vector ? shape + 1 : shape);
    return code;
}

static int check_usage(const Options *options, const MegaModel *model)
{
    bool needs_target = mega_config_has_cross(mega_model_config(model)) &&
                        strcmp(options->stage, "encoder") != 0;
    if (!each_stage(model, is_stage, (void *)options->stage))
        return usage_error("forward", "the model has no stage '%s'; '--stage list' prints them",
                           options->stage);
    if (options->in_count != mega_model_input_count(model))
        return usage_error("forward", "the model takes %d input%s (--in), not %d",
                           mega_model_input_count(model),
                           mega_model_input_count(model) == 1 ? "" : "s", options->in_count);
    if (needs_target != (options->target != NULL))
        return usage_error("forward", needs_target
                                          ? "a translator needs --target FILE.npy, what its "
                                            "decoder reads"
                                          : "--target is for the decoder of a translator");
    if (options->types && (!mega_config_has_encoder(mega_model_config(model)) || needs_target))
        return usage_error("forward", "--types is for the tokens of an encoder");
    if (options->pieces && mega_model_task(model) != MEGA_TASK_CLASSIFY)
        return usage_error("forward", "--pieces is for classifiers; a decoder goes step by step");
    if (options->pieces && options->types)
        return usage_error("forward", "--types or --pieces, not both");
    if (options->number >= options->in_count)
        return usage_error("forward", "--input %d, but there is just one input", options->number);
    return 0;
}

static int run(Options *options)
{
    MegaError err = {0};
    MegaModel *model = NULL;
    MegaSession *session = NULL;
    char *path = NULL;
    double begun = clock_seconds();
    for (int i = 0; i < options->in_count; i++)
        tell_of_terminal(options->in[i]);
    int status = 0, code = named_model(&path, options->model, &err);
    if (!code) {
        options->model = path;
        code = mega_model_open_with(
            &model, path, &(MegaModelOptions){.max_memory = options->session.max_memory}, &err);
    }
    if (!code && strcmp(options->stage, "list") == 0) {
        list_stages(options, model);
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
        code = mega_session_new(&session, model, &options->session, &err);
        if (!code && options->verbose)
            verbose_session(options->model, session, clock_seconds() - begun);
        begun = clock_seconds();
        if (!code)
            code = options->pieces && is_stream(model)
                       ? run_in_pieces(options, session, model, &err)
                   : mega_config_has_head(mega_model_config(model))
                       ? run_classifier(options, session, model, &err)
                       : run_sequence(options, session, model, &err);
        if (!code && options->verbose)
            verbose_end(1, "array", clock_seconds() - begun);
    }
    if (code) {
        report("%s", err.text);
        status = 1;
    }
out:
    mega_session_free(session);
    mega_model_free(model);
    free(path);
    return finish_output(status);
}

static int take_array(const CommandOption *option, const char *value, MegaError *err)
{
    Options *options = option->out;
    if (options->in_count == 2)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "more than two inputs");
    options->in[options->in_count++] = value;
    return 0;
}

int command_forward(int argc, char **argv)
{
    Options options = {.stage = "logits"};
    const CommandOption table[] = {
        MODEL_OPTION(&options.model),
        {.name = "in", .hints = "i", .take = take_array, .out = &options},
        {.name = "types", .take = take_text, .out = &options.types},
        {.name = "cache", .take = take_flag, .out = &options.cache},
        {.name = "no-cache", .take = take_flag, .out = &options.no_cache},
        {.name = "target", .take = take_text, .out = &options.target},
        RATE_OPTION(&options.session),
        {.name = "pieces", .take = take_int, .out = &options.pieces, .least = 1,
         .most = 1 << 26},
        {.name = "chunk", .take = take_chunk, .out = &options.chunk},
        OUTPUT_OPTION(&options.output),
        {.name = "stage", .letter = 's', .take = take_text, .out = &options.stage},
        {.name = "input", .take = take_int, .out = &options.number, .most = 1},
        JSON_OPTION(&options.json),
        SESSION_OPTIONS(&options.session),
        VERBOSE_OPTION(&options.verbose),
        {0}};
    int inputs, status;
    if (!read_command_line(&(CommandSyntax){"forward", help, table}, argc, argv, &inputs, &status))
        return status;
    if (inputs)
        return usage_error("forward", "unexpected argument '%s': inputs are given with --in",
                           argv[1]);
    if (!options.model)
        return usage_error("forward", "no model was given: -m MODEL; 'mega-run models' lists them");
    if (options.json && options.output && strcmp(options.output, "-") == 0)
        return usage_error("forward", "standard output takes the array or --json, not both");
    return run(&options);
}
