/*
 * test_layer_kind.c - shows that a new kind of layer is one file: this one. The toy layer adds a
 * bias to each position. It has hyper-parameters, tensors, a dimension and a condition of its own,
 * and runs in encoders and decoders, alone and beside MEGA layers, while no line of the engine
 * mentions it.
 */
#include "tests/unit/support.h"

#include <stdlib.h>
#include <string.h>

#include "src/encode/session.h"
#include "src/layers/mega.h"
#include "src/layers/s4_config.h"

#define LAYERS 3
#define WIDTH 12
#define LENGTH 9

/* ---- The kind: out = x + biases[choice] ------------------------------------------------------ */

/* Its hyper-parameters: each layer has several biases, of which the model uses one. */
typedef struct ToyConfig {
    int biases, choice;
    bool doubled; /* the bias is added twice, by a second tensor of the same shape */
} ToyConfig;

typedef struct ToyWeights {
    const float *biases; /* [biases][d] */
    const float *second; /* [d]; NULL unless doubled */
} ToyWeights;

static ToyConfig *toy_config(const MegaStackConfig *stack)
{
    return (ToyConfig *)(uintptr_t)stack->own;
}

static const MegaField toy_fields[] = {
    MEGA_INT_FIELD("biases", ToyConfig, biases, 1, 8),
    MEGA_INT_FIELD("choice", ToyConfig, choice, 0, 7),
    MEGA_OPTIONAL_BOOL_FIELD("doubled", ToyConfig, doubled),
    {0},
};

static int toy_check(const MegaConfig *config, const MegaStackConfig *stack, const char *name,
                     MegaError *err)
{
    const ToyConfig *own = toy_config(stack);
    (void)config;
    return own->choice < own->biases
               ? 0
               : mega_fail(err, MEGA_ERR_MODEL, "%s.choice is %d, but %s.biases %d", name,
                           own->choice, name, own->biases);
}

enum { TOY_BIASES = MEGA_DIM_OWN };
enum { IF_DOUBLED = MEGA_IF_OWN };

static const MegaTensorRow toy_tensors[] = {
    {"biases", offsetof(ToyWeights, biases), {TOY_BIASES, MEGA_DIM_WIDTH}, MEGA_ALWAYS},
    {"second", offsetof(ToyWeights, second), {MEGA_DIM_WIDTH}, IF_DOUBLED},
    {0},
};

static uint64_t toy_dimension(const MegaConfig *config, const MegaStackConfig *stack,
                              unsigned dimension)
{
    (void)config;
    assert_int_equal(dimension, TOY_BIASES);
    return (uint64_t)toy_config(stack)->biases;
}

static bool toy_applies(const MegaStackConfig *stack, unsigned condition)
{
    assert_int_equal(condition, IF_DOUBLED);
    return toy_config(stack)->doubled;
}

/* Returns the bias that a layer adds to column `at`. */
static float toy_bias(const MegaStackConfig *stack, const ToyWeights *weights, size_t at)
{
    return weights->biases[(size_t)toy_config(stack)->choice * WIDTH + at] +
           (weights->second ? weights->second[at] : 0);
}

static void *toy_derive(const MegaStack *stack, int index, MegaArena *arena)
{
    size_t d = (size_t)stack->config->width;
    float *bias = mega_arena_floats(arena, d);
    for (size_t i = 0; bias && i < d; i++)
        bias[i] = toy_bias(stack->config, (const ToyWeights *)stack->weights + index, i);
    return bias;
}

static void add_bias(const MegaPass *pass, int index, float *x, size_t rows)
{
    size_t d = (size_t)pass->config->width;
    for (size_t row = 0; row < rows; row++)
        pass->kernels->add(x + row * d, pass->stack->layers[index], d);
    mega_tap_layer(&pass->tap, index, "", x, rows, d);
}

static void toy_layout(MegaWorkspace *workspace, const MegaStack *stack, const MegaBatch *batch,
                       MegaArena *arena)
{
    (void)stack;
    (void)batch;
    (void)arena;
    workspace->own = NULL;
}

static void toy_forward(const MegaPass *pass, int index)
{
    add_bias(pass, index, pass->workspace->x, pass->workspace->length);
}

/* A toy layer keeps the number of rows of each sequence that it has seen. */
static void *toy_state_layout(const MegaStack *stack, int index, const MegaDecoderSizes *sizes,
                              MegaGrowing *memory)
{
    (void)stack;
    (void)index;
    return mega_growing_floats(memory, sizes->sequences, 1);
}

static void *toy_step_layout(const MegaStack *stack, const MegaDecoderSizes *sizes,
                             MegaArena *arena)
{
    (void)stack;
    (void)sizes;
    (void)arena;
    return NULL;
}

static void toy_step(const MegaPass *pass, const MegaStep *step, int index)
{
    float *seen = step->states[index];
    *seen = (step->position > 0 ? *seen : 0) + (float)step->rows;
    add_bias(pass, index, step->x, step->rows);
}

static const MegaLayerKind toy = {
    .name = "toy",
    .fields = toy_fields,
    .check = toy_check,
    .tensors = toy_tensors,
    .weights_size = sizeof(ToyWeights),
    .dimension = toy_dimension,
    .applies = toy_applies,
    .derive = toy_derive,
    .layout = toy_layout,
    .forward = toy_forward,
    .state_layout = toy_state_layout,
    .step_layout = toy_step_layout,
    .step = toy_step,
};

static const MegaLayerKind encoder_only = {
    .name = "encoder-only",
    .fields = toy_fields,
    .tensors = toy_tensors,
    .weights_size = sizeof(ToyWeights),
    .dimension = toy_dimension,
    .applies = toy_applies,
    .derive = toy_derive,
    .layout = toy_layout,
    .forward = toy_forward,
};

/* This program's table replaces the library's. */
const MegaLayerKind *const mega_layer_kinds[] = {&mega_layer_kind_mega, &toy, &encoder_only, NULL};

/* ---- Models --------------------------------------------------------------------------------- */

/* Gives a stack this kind of layer; those of this file choose the second of three biases. */
static void set_kind(MegaStackConfig *stack, const MegaLayerKind *kind)
{
    stack->kind = kind;
    if (kind == &toy || kind == &encoder_only)
        *toy_config(stack) = (ToyConfig){.biases = 3, .choice = 1};
}

static MegaConfig classifier(const MegaLayerKind *kind)
{
    MegaConfig config = small_config();
    set_kind(&config.encoder, kind);
    config.encoder.layers = LAYERS;
    config.encoder.width = WIDTH;
    return config;
}

static MegaConfig language_model(const MegaLayerKind *kind)
{
    MegaConfig config = {.task = MEGA_TASK_GENERATE, .decoder = small_config().encoder};
    config.decoder.bidirectional = false;
    set_kind(&config.decoder, kind);
    config.decoder.layers = LAYERS;
    config.decoder.width = WIDTH;
    config.target = (MegaTargetConfig){.vocab = 20, .pad = 1, .eos = 2, .unk = 3,
                                       .max_positions = 100, .cross_positions = 100};
    config.target.input = config.target.output =
        (MegaClusters){.count = 1, .end = {20}, .width = {WIDTH}};
    return config;
}

static MegaConfig translator(const MegaLayerKind *encoder, const MegaLayerKind *decoder)
{
    MegaConfig config = language_model(decoder);
    config.task = MEGA_TASK_TRANSLATE;
    config.embed = small_config().embed;
    config.encoder = classifier(encoder).encoder;
    return config;
}

/* The output of every layer, and the input of the first. */
typedef struct Seen {
    float stages[LAYERS + 1][LENGTH * WIDTH];
    int count;
} Seen;

static void look(void *context, const char *stage, int input, const float *data, size_t rows,
                 size_t columns)
{
    Seen *seen = context;
    (void)input;
    bool layer = strncmp(stage, "layer.", 6) == 0 || strncmp(stage, "decoder.layer.", 14) == 0;
    if (!layer && strcmp(stage, "embed") != 0 && strcmp(stage, "target") != 0)
        return;
    assert_true(seen->count <= LAYERS && rows * columns == LENGTH * WIDTH);
    memcpy(seen->stages[seen->count++], data, rows * columns * sizeof *data);
}

static void assert_biases_were_added(const Seen *seen, const MegaStack *stack)
{
    const ToyWeights *layers = stack->weights;
    assert_int_equal(seen->count, LAYERS + 1);
    for (int i = 0; i < LAYERS; i++)
        for (size_t at = 0; at < LENGTH * WIDTH; at++)
            assert_true(seen->stages[i + 1][at] ==
                        seen->stages[i][at] + toy_bias(stack->config, &layers[i], at % WIDTH));
}

static MegaSession *new_session(const MegaModel *model)
{
    MegaSession *session;
    assert_int_equal(mega_session_new(&session, model, NULL, NULL), 0);
    return session;
}

static const int32_t tokens[LENGTH] = {4, 5, 6, 7, 8, 9, 10, 4, 5};
static const MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = tokens, .length = LENGTH};

/* ---- Cases ---------------------------------------------------------------------------------- */

static void runs_in_an_encoder(void **state)
{
    Random random = {1};
    MegaConfig config = classifier(&toy);
    Seen seen = {0};
    float logits[16];
    (void)state;
    toy_config(&config.encoder)->doubled = true;
    MegaModel *model = random_model(&config, &random);
    assert_ptr_equal(model->encoder.kind, &toy);
    MegaSession *session = new_session(model);
    mega_session_set_tap(session, look, &seen);
    assert_true(config.head.classes <= 16);
    assert_int_equal(mega_session_classify(session, &input, 1, logits, NULL), 0);
    assert_biases_were_added(&seen, &model->encoder);
    mega_session_free(session);
    mega_model_free(model);
}

static void runs_in_a_decoder(void **state)
{
    Random random = {2};
    const MegaConfig config = language_model(&toy);
    Seen seen = {0};
    float at_once[LENGTH * 20], one[20];
    MegaDecoder *decoder;
    (void)state;
    MegaModel *model = random_model(&config, &random);
    MegaSession *session = new_session(model);
    assert_int_equal(mega_decoder_new(&decoder, session, NULL, NULL), 0);
    assert_int_equal(mega_decoder_begin(decoder, NULL, 1, NULL), 0);
    mega_session_set_tap(session, look, &seen);
    assert_int_equal(mega_decoder_feed(decoder, tokens, LENGTH, at_once, NULL), 0);
    assert_biases_were_added(&seen, &model->decoder);
    mega_session_set_tap(session, NULL, NULL);
    assert_int_equal(mega_decoder_begin(decoder, NULL, 1, NULL), 0);
    for (size_t t = 0; t < LENGTH; t++) {
        assert_int_equal(mega_decoder_step(decoder, tokens + t, one, NULL), 0);
        assert_memory_equal(one, at_once + t * 20, sizeof one);
    }
    mega_decoder_free(decoder);
    mega_session_free(session);
    mega_model_free(model);
}

/* Runs a toy encoder with a decoder of MEGA layers that attend to its states. */
static void runs_beside_another_kind(void **state)
{
    Random random = {3};
    const MegaConfig config = translator(&toy, NULL);
    Seen seen = {0};
    MegaEncoded *source;
    MegaDecoder *decoder;
    float logits[20];
    int32_t eos = 2;
    (void)state;
    MegaModel *model = random_model(&config, &random);
    assert_ptr_equal(model->encoder.kind, &toy);
    assert_ptr_equal(model->decoder.kind, &mega_layer_kind_mega);
    MegaSession *session = new_session(model);
    mega_session_set_tap(session, look, &seen);
    assert_int_equal(mega_session_encode(session, &input, &source, NULL), 0);
    assert_biases_were_added(&seen, &model->encoder);
    mega_session_set_tap(session, NULL, NULL);
    assert_int_equal(mega_decoder_new(&decoder, session, NULL, NULL), 0);
    const MegaEncoded *sources[] = {source};
    assert_int_equal(mega_decoder_begin(decoder, sources, 1, NULL), 0);
    assert_int_equal(mega_decoder_step(decoder, &eos, logits, NULL), 0);
    mega_decoder_free(decoder);
    mega_encoded_free(source);
    mega_session_free(session);
    mega_model_free(model);
}

static void refuses_what_a_kind_cannot(void **state)
{
    (void)state;
    MegaConfig config = translator(NULL, &toy);
    assert_config_refused(&config, "layers of kind toy have no cross attention");
    config = translator(NULL, &encoder_only);
    assert_config_refused(&config, "layers of kind encoder-only cannot be in a decoder");
    config = language_model(&encoder_only);
    assert_config_refused(&config, "layers of kind encoder-only cannot be in a decoder");
    config = classifier(&encoder_only);
    assert_int_equal(mega_config_check(&config, NULL), 0);
}

/* The toy's own hyper-parameters are read, written, checked and absent as those of MEGA are. */
static void metadata_hold_hyper_parameters_of_the_kind(void **state)
{
    MegaConfig config = classifier(&toy), again;
    MegaMeta *meta = mega_meta_new();
    MegaError err = {0};
    int64_t number;
    (void)state;
    assert_int_equal(mega_config_write(&config, meta, NULL), 0);
    assert_int_equal(mega_meta_get_int(meta, "encoder.biases", 0, 100, &number, NULL), 0);
    assert_int_equal(number, 3);
    assert_null(mega_meta_find(meta, "encoder.doubled"));
    assert_null(mega_meta_find(meta, "encoder.zdim"));
    assert_int_equal(mega_config_read(&again, meta, NULL), 0);
    assert_int_equal(toy_config(&again.encoder)->choice, 1);
    assert_false(toy_config(&again.encoder)->doubled);
    toy_config(&config.encoder)->doubled = true;
    assert_int_equal(mega_config_write(&config, meta, NULL), 0);
    assert_int_equal(mega_config_read(&again, meta, NULL), 0);
    assert_true(toy_config(&again.encoder)->doubled);
    assert_int_equal(mega_meta_set_int(meta, "encoder.choice", 3), 0);
    assert_int_equal(mega_config_read(&again, meta, &err), MEGA_ERR_MODEL);
    assert_non_null(strstr(err.text, "encoder.choice is 3, but encoder.biases 3"));
    assert_int_equal(mega_meta_set_int(meta, "encoder.choice", 8), 0);
    assert_int_equal(mega_config_read(&again, meta, &err), MEGA_ERR_MODEL);
    assert_non_null(strstr(err.text, "encoder.choice"));
    mega_meta_free(meta);
}

/* Files name the kind of layer, except for the first kind, which files without a name have. */
static void metadata_names_the_kind(void **state)
{
    const struct {
        const MegaLayerKind *written, *read;
        const char *name;
    } cases[] = {{NULL, NULL, NULL}, {&mega_layer_kind_mega, NULL, NULL}, {&toy, &toy, "toy"}};
    MegaError err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaConfig config = classifier(cases[i].written), again;
        MegaMeta *meta = mega_meta_new();
        const char *name = NULL;
        assert_non_null(meta);
        assert_int_equal(mega_config_write(&config, meta, NULL), 0);
        assert_int_equal(mega_meta_find(meta, "encoder.kind") != NULL, cases[i].name != NULL);
        if (cases[i].name) {
            assert_int_equal(mega_meta_get_string(meta, "encoder.kind", &name, NULL), 0);
            assert_string_equal(name, cases[i].name);
        }
        assert_int_equal(mega_config_read(&again, meta, NULL), 0);
        assert_ptr_equal(again.encoder.kind, cases[i].read);
        assert_int_equal(mega_meta_set_string(meta, "encoder.kind", "no such"), 0);
        assert_int_equal(mega_config_read(&again, meta, &err), MEGA_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.text, "'encoder.kind' is 'no such'"));
        mega_meta_free(meta);
    }
}

/* ---- S4 ------------------------------------------------------------------------------------- */

/* Parts of a state space that exclude each other are refused by the names of their keys. */
static void s4_refuses_what_cannot_be(void **state)
{
    const MegaS4Config good = {.states = 2,
                               .groups = 1,
                               .channels = 1,
                               .has_b = true,
                               .activation = MEGA_S4_GELU,
                               .has_output = true,
                               .output = MEGA_S4_ID};
    MegaS4Config wrong[9];
    static const char *const sentences[9] = {
        "encoder.groups is 5, which does not divide 12 features",
        "encoder.channels is 1, but encoder.hyper needs an even number",
        "encoder.rank is 1, which needs complex states and a tensor B",
        "encoder.rank is 1, which needs complex states and a tensor B",
        "encoder.has_length is true, but a diagonal system has no length",
        "encoder.own_lambda is true, but encoder.is_real says that states are real",
        "encoder.has_output is false, but channels, bottleneck or gate need the linear map",
        "encoder.ssm_activation or encoder.output is none, expected id",
        "encoder.ssm_activation or encoder.output is none, expected id",
    };
    MegaConfig config = {.encoder.width = WIDTH};
    MegaStackConfig *stack = &config.encoder;
    MegaError err = {0};
    (void)state;
    for (int i = 0; i < 9; i++)
        wrong[i] = good;
    wrong[0].groups = 5;
    wrong[1].hyper = MEGA_S4_GELU;
    wrong[2].rank = wrong[3].rank = 1;
    wrong[2].is_real = true;
    wrong[3].has_b = false;
    wrong[4].has_length = true;
    wrong[5].own_lambda = wrong[5].is_real = true;
    wrong[6].has_output = false;
    wrong[6].gate = 4;
    wrong[7].activation = MEGA_S4_NO_FUNCTION;
    wrong[8].output = MEGA_S4_NO_FUNCTION;
    *mega_s4_of(stack) = good;
    assert_int_equal(mega_s4_check(&config, stack, "encoder", &err), 0);
    for (int i = 0; i < 9; i++) {
        *mega_s4_of(stack) = wrong[i];
        assert_int_equal(mega_s4_check(&config, stack, "encoder", &err), MEGA_ERR_MODEL);
        assert_string_equal(err.text, sentences[i]);
    }
    *mega_s4_of(stack) = good;
    stack->ffn = 8;
    assert_int_equal(mega_s4_check(&config, stack, "encoder", &err), MEGA_ERR_MODEL);
    assert_string_equal(err.text, "encoder.ffn is 8, but S4 layers have no such block");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_in_an_encoder),
        cmocka_unit_test(runs_in_a_decoder),
        cmocka_unit_test(runs_beside_another_kind),
        cmocka_unit_test(refuses_what_a_kind_cannot),
        cmocka_unit_test(metadata_names_the_kind),
        cmocka_unit_test(metadata_hold_hyper_parameters_of_the_kind),
        cmocka_unit_test(s4_refuses_what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
