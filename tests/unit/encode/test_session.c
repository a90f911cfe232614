/*
 * test_session.c - compares the forward pass with the plain reference on random models, and tests
 * its properties.
 */
#include "tests/unit/support.h"

#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/encode/session.h"
#include "src/layers/embed.h"
#include "src/layers/ema.h"
#include "tests/unit/reference.h"

#define MAX_CLASSES 16

static void classify(const MegaModel *model, const MegaInput *inputs, int threads,
                     const MegaKernels *kernels, MegaEmaPath path, float *logits)
{
    MegaSession *session;
    MegaSessionOptions options = {.threads = threads};
    MegaError err = {0};
    assert_int_equal(mega_session_new(&session, model, &options, &err), 0);
    mega_session_force(session, kernels, path);
    if (mega_session_classify(session, inputs, mega_model_input_count(model), logits, &err))
        fail_msg("%s", err.text);
    mega_session_free(session);
}

/* Makes a random input that fits the model, with tokens 4 ... vocab - 1. The caller frees values
 * and tokens. */
static MegaInput random_input(const MegaConfig *config, size_t length, Random *random)
{
    const MegaEmbedConfig *embed = &config->embed;
    MegaInput input = {.kind = mega_config_input_kind(config), .length = length};
    if (input.kind == MEGA_INPUT_TOKENS) {
        int32_t *tokens = malloc((length + 1) * sizeof *tokens);
        assert_non_null(tokens);
        for (size_t i = 0; i < length; i++)
            tokens[i] = random_int(random, 4, embed->vocab - 1);
        input.tokens = tokens;
        return input;
    }
    if (input.kind == MEGA_INPUT_IMAGE) {
        input.channels = embed->channels;
        input.height = embed->height;
        input.width = embed->width;
        input.length = (size_t)(embed->channels * embed->height * embed->width);
    }
    input.values = random_floats(random, input.length, -1, 1);
    return input;
}

static void free_input(MegaInput *input)
{
    free((void *)input->tokens);
    free((void *)input->values);
}

/* A build without FFTW has only the recurrence. */
static const MegaEmaPath last_path = MEGA_WITH_FFTW ? MEGA_EMA_FFT : MEGA_EMA_RECURRENT;

static void check_model(const MegaConfig *config, size_t length, Random *random)
{
    MegaModel *model = random_model(config, random);
    MegaInput inputs[2] = {random_input(config, length, random),
                           random_input(config, length / 2 + 1, random)};
    double expected[MAX_CLASSES];
    float one[MAX_CLASSES], four[MAX_CLASSES];
    size_t classes = (size_t)config->head.classes;
    reference_classify(config, &model->weights, inputs, expected);
    static const char *const tiers[] = {"generic", "avx2"};
    for (size_t t = 0; t < 2; t++) {
        const MegaKernels *kernels = mega_kernels_by_name(tiers[t]);
        for (MegaEmaPath path = MEGA_EMA_RECURRENT; kernels && path <= last_path; path++) {
            classify(model, inputs, 1, kernels, path, one);
            classify(model, inputs, 4, kernels, path, four);
            assert_close(one, expected, classes, 1e-4);
            assert_memory_equal(one, four, classes * sizeof *one);
        }
    }
    free_input(&inputs[0]);
    free_input(&inputs[1]);
    mega_model_free(model);
}

static void random_models(void **state)
{
    Random random = {11};
    (void)state;
    for (int i = 0; i < 60; i++) {
        MegaConfig config = small_config();
        MegaStackConfig *stack = &config.encoder;
        MegaGatedConfig *gated = mega_gated_of(stack);
        stack->layers = random_int(&random, 1, 3);
        stack->width = random_int(&random, 1, 30);
        gated->hidden = random_int(&random, 1, 40);
        gated->zdim = 2 * random_int(&random, 1, 8);
        stack->ffn = random_int(&random, 0, 3) ? random_int(&random, 1, 40) : 0;
        gated->ndim = random_int(&random, 1, 9);
        gated->chunk = random_int(&random, 0, 1) ? random_int(&random, 1, 60) : 0;
        gated->truncation = random_int(&random, 0, 1) ? random_int(&random, 1, 60) : 0;
        stack->pre_norm = stack->final_norm = random_int(&random, 0, 1);
        stack->embed_norm = random_int(&random, 0, 1);
        stack->norm = (MegaNormKind)random_int(&random, 0, MEGA_NORM_MULTIPLY);
        stack->norm_affine = random_int(&random, 0, 4) > 0;
        stack->final_norm_affine = random_int(&random, 0, 4) > 0;
        gated->attention = (MegaAttentionKind)random_int(&random, 0, MEGA_ATTENTION_LAPLACE);
        gated->bias = (MegaBiasKind)random_int(&random, 0, MEGA_BIAS_ROTARY);
        stack->activation = (MegaActivation)random_int(&random, 0, MEGA_ACTIVATION_SIGMOID);
        stack->bidirectional = random_int(&random, 0, 3) > 0;
        gated->ema_shift = stack->bidirectional && random_int(&random, 0, 1);
        config.head.pair = random_int(&random, 0, 3) == 0;
        config.head.layers = random_int(&random, 0, 2);
        config.head.pooling = (MegaPooling)random_int(&random, 0, 1);
        config.head.output_bias = random_int(&random, 0, 1);
        config.head.projection = random_int(&random, 0, 1);
        check_model(&config, (size_t)random_int(&random, 1, 200), &random);
    }
}

static void every_embedding(void **state)
{
    Random random = {12};
    MegaConfig config = small_config();
    (void)state;
    config.embed = (MegaEmbedConfig){.kind = MEGA_EMBED_REAL, .pad = -1};
    check_model(&config, 140, &random);
    config.embed = (MegaEmbedConfig){
        .kind = MEGA_EMBED_FRAMES, .pad = -1, .frame_length = 14, .frame_hop = 4};
    for (size_t length = 1; length < 20; length++)
        check_model(&config, length, &random);
    config.embed = (MegaEmbedConfig){.kind = MEGA_EMBED_PATCHES, .pad = -1, .patch = 3,
                                     .channels = 3, .height = 12, .width = 9, .positions = true};
    check_model(&config, 0, &random);
    config.embed.positions = false;
    config.embed.channels = 1;
    check_model(&config, 0, &random);
}

/* There are more rows than one block, and chunks that do not divide the block. */
static void long_inputs(void **state)
{
    Random random = {13};
    MegaConfig config = small_config();
    (void)state;
    config.encoder.max_positions = 700;
    check_model(&config, 700, &random);
    mega_gated_of(&config.encoder)->chunk = 150;
    mega_gated_of(&config.encoder)->attention = MEGA_ATTENTION_LAPLACE;
    check_model(&config, 611, &random);
}

static void chunk_as_long_as_the_input_is_no_chunk(void **state)
{
    Random random = {14};
    MegaConfig config = small_config();
    float chunked[MAX_CLASSES], whole[MAX_CLASSES];
    (void)state;
    mega_gated_of(&config.encoder)->bias = MEGA_BIAS_ROTARY;
    MegaModel *model = random_model(&config, &random);
    MegaInput input = random_input(&config, 90, &random);
    classify(model, &input, 1, mega_kernels(), MEGA_EMA_AUTO, whole);
    const int chunks[] = {90, 91, 1000};
    for (int i = 0; i < 3; i++) {
        mega_gated_of(&model->config.encoder)->chunk = chunks[i];
        classify(model, &input, 1, mega_kernels(), MEGA_EMA_AUTO, chunked);
        assert_memory_equal(chunked, whole, sizeof(float) * 5);
    }
    free_input(&input);
    mega_model_free(model);
}

static void padding_at_the_ends_changes_nothing(void **state)
{
    Random random = {15};
    MegaConfig config = small_config();
    MegaModel *model = random_model(&config, &random);
    const int32_t plain[] = {5, 6, 7, 2}, padded[] = {1, 1, 5, 6, 7, 2, 1};
    MegaInput a = {.kind = MEGA_INPUT_TOKENS, .tokens = plain, .length = 4};
    MegaInput b = {.kind = MEGA_INPUT_TOKENS, .tokens = padded, .length = 7};
    float one[MAX_CLASSES], two[MAX_CLASSES];
    (void)state;
    classify(model, &a, 1, mega_kernels(), MEGA_EMA_AUTO, one);
    classify(model, &b, 1, mega_kernels(), MEGA_EMA_AUTO, two);
    assert_memory_equal(one, two, sizeof(float) * 5);
    mega_model_free(model);
}

static void expect_error(MegaSession *session, MegaInput input, const char *sentence)
{
    float logits[MAX_CLASSES];
    MegaError err = {0};
    assert_int_equal(mega_session_classify(session, &input, 1, logits, &err), MEGA_ERR_INPUT);
    if (!strstr(err.text, sentence))
        fail_msg("'%s' does not contain '%s'", err.text, sentence);
}

static void wrong_inputs_are_refused(void **state)
{
    Random random = {16};
    MegaConfig config = small_config();
    MegaModel *model = random_model(&config, &random);
    MegaSession *session;
    float values[4] = {0};
    static int32_t many[301];
    const int32_t outside[] = {5, 30}, negative[] = {5, -1}, inside[] = {5, 1, 5}, pad[] = {1, 1};
    (void)state;
    for (int i = 0; i < 301; i++)
        many[i] = 5;
    assert_int_equal(mega_session_new(&session, model, NULL, NULL), 0);
    expect_error(session, (MegaInput){MEGA_INPUT_SAMPLES, NULL, values, 4, 0, 0, 0, NULL},
                 "token ids");
    expect_error(session, (MegaInput){MEGA_INPUT_TOKENS, outside, NULL, 2, 0, 0, 0, NULL},
                 "token id 30");
    expect_error(session, (MegaInput){MEGA_INPUT_TOKENS, negative, NULL, 2, 0, 0, 0, NULL}, "-1");
    expect_error(session, (MegaInput){MEGA_INPUT_TOKENS, inside, NULL, 3, 0, 0, 0, NULL},
                 "padding");
    expect_error(session, (MegaInput){MEGA_INPUT_TOKENS, pad, NULL, 2, 0, 0, 0, NULL}, "empty");
    expect_error(session, (MegaInput){MEGA_INPUT_TOKENS, many, NULL, 301, 0, 0, 0, NULL},
                 "at most 300");
    MegaError err = {0};
    float logits[MAX_CLASSES];
    const MegaInput nothing = {.kind = MEGA_INPUT_TOKENS, .length = 3};
    assert_int_equal(mega_session_classify(session, &nothing, 1, logits, &err),
                     MEGA_ERR_ARGUMENT);
    assert_string_equal(err.text, "the input has 3 tokens, but the pointer to them is NULL");
    mega_session_free(session);
    mega_model_free(model);
}

/* The sides are right, but there are fewer or more values than they need. */
static void images_have_all_their_values(void **state)
{
    Random random = {18};
    MegaConfig config = small_config();
    const float values[49] = {0};
    (void)state;
    config.embed = (MegaEmbedConfig){.kind = MEGA_EMBED_PATCHES, .pad = -1, .patch = 2,
                                     .channels = 3, .height = 4, .width = 4};
    MegaModel *model = random_model(&config, &random);
    MegaSession *session;
    assert_int_equal(mega_session_new(&session, model, NULL, NULL), 0);
    expect_error(session, (MegaInput){MEGA_INPUT_IMAGE, NULL, values, 47, 3, 4, 4, NULL},
                 "3 x 4 x 4 values (channels x height x width) was given with 47 values");
    expect_error(session, (MegaInput){MEGA_INPUT_IMAGE, NULL, values, 49, 3, 4, 4, NULL},
                 "49 values");
    mega_session_free(session);
    mega_model_free(model);
}

/* Real numbers near the end of float32 overflow inside. That must not pass for a result. */
static void overflow_is_an_error(void **state)
{
    Random random = {17};
    MegaConfig config = small_config();
    const float values[] = {3e38f, -3e38f, 3e38f, 1};
    (void)state;
    config.embed = (MegaEmbedConfig){.kind = MEGA_EMBED_REAL, .pad = -1};
    MegaModel *model = random_model(&config, &random);
    MegaSession *session;
    assert_int_equal(mega_session_new(&session, model, NULL, NULL), 0);
    expect_error(session, (MegaInput){MEGA_INPUT_SAMPLES, NULL, values, 4, 0, 0, 0, NULL},
                 "finite");
    mega_session_free(session);
    mega_model_free(model);
}

/* A value that is NaN or infinite comes from the input, not from an overflow, so the error gives
 * its place. */
static void values_must_be_finite(void **state)
{
    Random random = {18};
    MegaConfig config = small_config();
    const float nan[] = {0, 1, NAN, 1}, infinite[] = {-INFINITY, 1};
    (void)state;
    config.embed = (MegaEmbedConfig){.kind = MEGA_EMBED_REAL, .pad = -1};
    MegaModel *model = random_model(&config, &random);
    MegaSession *session;
    assert_int_equal(mega_session_new(&session, model, NULL, NULL), 0);
    expect_error(session, (MegaInput){MEGA_INPUT_SAMPLES, NULL, nan, 4, 0, 0, 0, NULL},
                 "value 2 of");
    expect_error(session, (MegaInput){MEGA_INPUT_SAMPLES, NULL, nan, 4, 0, 0, 0, NULL}, "NaN");
    expect_error(session, (MegaInput){MEGA_INPUT_SAMPLES, NULL, infinite, 2, 0, 0, 0, NULL},
                 "value 0 of the input is infinite");
    mega_session_free(session);
    mega_model_free(model);
}

/* An image without a shape has that of the model; an image of another size is refused. */
static void images_may_leave_out_their_shape(void **state)
{
    Random random = {19};
    MegaConfig config = small_config();
    float values[3 * 8 * 4], logits[2][16];
    (void)state;
    config.embed = (MegaEmbedConfig){.kind = MEGA_EMBED_PATCHES, .pad = -1, .patch = 4,
                                     .channels = 3, .height = 8, .width = 4};
    MegaModel *model = random_model(&config, &random);
    MegaSession *session;
    for (size_t i = 0; i < 96; i++)
        values[i] = (float)i / 96;
    MegaInput with = {MEGA_INPUT_IMAGE, NULL, values, 96, 3, 8, 4, NULL}, without = with,
              wrong = with;
    without.channels = without.height = without.width = 0;
    assert_int_equal(mega_session_new(&session, model, NULL, NULL), 0);
    assert_true(mega_model_class_count(model) <= 16);
    assert_int_equal(mega_session_classify(session, &with, 1, logits[0], NULL), 0);
    assert_int_equal(mega_session_classify(session, &without, 1, logits[1], NULL), 0);
    assert_memory_equal(logits[0], logits[1],
                        (size_t)mega_model_class_count(model) * sizeof logits[0][0]);
    without.length = wrong.length = 95;
    expect_error(session, without, "95 values");
    expect_error(session, wrong, "95 values");
    wrong.height = 4;
    expect_error(session, wrong, "3 x 4 x 4");
    mega_session_free(session);
    mega_model_free(model);
}

/* A caller that rounds upward gets the same bits, and its rounding mode is kept. */
static void the_callers_float_mode_is_its_own(void **state)
{
    Random random = {20};
    MegaConfig config = small_config();
    float logits[2][MAX_CLASSES];
    (void)state;
    MegaModel *model = random_model(&config, &random);
    MegaInput inputs[2];
    for (int i = 0; i < 2; i++)
        inputs[i] = random_input(mega_model_config(model), 40, &random);
    assert_true(mega_model_class_count(model) <= MAX_CLASSES);
    const MegaKernels *generic = mega_kernels_by_name("generic");
    classify(model, inputs, 1, generic, MEGA_EMA_RECURRENT, logits[0]);
    assert_int_equal(fesetround(FE_UPWARD), 0);
    classify(model, inputs, 1, generic, MEGA_EMA_RECURRENT, logits[1]);
    const int mode = fegetround();
    fesetround(FE_TONEAREST);
    assert_int_equal(mode, FE_UPWARD);
    assert_memory_equal(logits[0], logits[1],
                        (size_t)mega_model_class_count(model) * sizeof logits[0][0]);
    for (int i = 0; i < 2; i++)
        free_input(&inputs[i]);
    mega_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_callers_float_mode_is_its_own),
        cmocka_unit_test(random_models),
        cmocka_unit_test(every_embedding),
        cmocka_unit_test(long_inputs),
        cmocka_unit_test(chunk_as_long_as_the_input_is_no_chunk),
        cmocka_unit_test(padding_at_the_ends_changes_nothing),
        cmocka_unit_test(wrong_inputs_are_refused),
        cmocka_unit_test(images_have_all_their_values),
        cmocka_unit_test(overflow_is_an_error),
        cmocka_unit_test(values_must_be_finite),
        cmocka_unit_test(images_may_leave_out_their_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
