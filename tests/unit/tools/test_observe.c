/*
 * test_observe.c - compares the numbers behind the pictures with closed forms and plain loops.
 */
#include "tests/unit/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/reference.h"
#include "tools/run/pictures/observe.h"

/* ---- EMA ------------------------------------------------------------------------------------ */

/* Decay of two states, for two channels back and two ahead: [states][K]. */
static const float decay[] = {0.5f, 0.9f, 0.25f, 0.999f, 0.8f, 0.1f, 0.0f, 0.7f};
static const float weight[] = {1.0f, 2.0f, -1.0f, 0.5f, -0.25f, 0.0f, 3.0f, 0.125f};

static MegaEma small_ema(size_t truncation)
{
    return (MegaEma){.width = 2, .channels = 4, .states = 2, .truncation = truncation,
                     .bidirectional = true, .q = decay, .w = weight};
}

static void kernel_is_the_sum_of_powers(void **state)
{
    (void)state;
    for (size_t truncation = 0; truncation <= 12; truncation += 4) {
        MegaEma ema = small_ema(truncation);
        for (size_t row = 0; row < 4; row++) {
            float kernel[40];
            double expected[40];
            observe_kernel(&ema, row, 40, kernel);
            for (int t = 0; t < 40; t++)
                expected[t] = truncation && (size_t)t >= truncation
                                  ? 0
                                  : (double)weight[row] * pow((double)decay[row], t) +
                                        (double)weight[4 + row] * pow((double)decay[4 + row], t);
            assert_close(kernel, expected, 40, 1e-6);
        }
    }
}

static void reach_is_the_mean_lag(void **state)
{
    (void)state;
    const float one = 1, nothing[3] = {0, 0, 0}, spread[] = {1, 0, -1, 0, 2}; /* (2 + 8) / 4 */
    assert_true(observe_reach(&one, 1) == 0);
    assert_true(observe_reach(nothing, 3) == 0);
    assert_true(fabs(observe_reach(spread, 5) - 2.5) < 1e-12);
    /* For a geometric series this is q / (1 - q). */
    const float q = 0.9f, w = 0.3f;
    MegaEma ema = {.width = 1, .channels = 1, .states = 1, .q = &q, .w = &w};
    float *kernel = malloc(1000 * sizeof *kernel);
    assert_non_null(kernel);
    observe_kernel(&ema, 0, 1000, kernel);
    assert_true(fabs(observe_reach(kernel, 1000) - 9) < 1e-4);
    free(kernel);
}

static void reach_of_a_layer_is_sorted(void **state)
{
    (void)state;
    MegaEma ema = small_ema(0);
    Reach back, ahead, shifted;
    assert_int_equal(observe_layer_reach(&ema, false, 500, &back, NULL), 0);
    assert_true(back.low < back.high && back.middle >= back.low && back.middle <= back.high);
    assert_true(fabs(back.high - 9) < 1e-3); /* channel 1 has one state with q = 0.9 */
    assert_int_equal(observe_layer_reach(&ema, true, 500, &ahead, NULL), 0);
    ema.shifted = true;
    assert_int_equal(observe_layer_reach(&ema, true, 500, &shifted, NULL), 0);
    assert_true(fabs(shifted.high - ahead.high - 1) < 1e-9);
}

/* ---- Attention ------------------------------------------------------------------------------ */

static void plain_attention(const MegaStackConfig *stack, const float *q, const float *k,
                            size_t length, const float *bias, double *pooled)
{
    size_t z = (size_t)mega_gated(stack)->zdim,
           chunk = mega_gated(stack)->chunk > 0 ? (size_t)mega_gated(stack)->chunk : length;
    double *row = calloc(length, sizeof *row);
    assert_non_null(row);
    memset(pooled, 0, length * sizeof *pooled);
    for (size_t i = 0; i < length; i++) {
        size_t start = i / chunk * chunk;
        size_t keys = length - start < chunk ? length - start : chunk;
        double divide =
            mega_gated(stack)->attention == MEGA_ATTENTION_SOFTMAX ? sqrt((double)z) : (double)keys;
        for (size_t j = 0; j < keys; j++) {
            double product = 0;
            for (size_t m = 0; m < z; m++)
                product += (double)q[i * z + m] * (double)k[(start + j) * z + m];
            row[j] = product / divide +
                     (double)bias[(ptrdiff_t)(start + j) - (ptrdiff_t)i];
        }
        reference_attention_row(mega_gated(stack)->attention, row, keys);
        for (size_t j = 0; j < keys; j++)
            pooled[start + j] += row[j] / (double)keys;
    }
    free(row);
}

static void pooled_attention_equals_plain_loops(void **state)
{
    (void)state;
    static const struct {
        int chunk, zdim;
        size_t length;
    } shapes[] = {{0, 6, 1}, {0, 8, 40}, {0, 4, 300}, {16, 6, 50}, {150, 10, 400}, {64, 6, 20}};
    Random random = {7};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int kind = MEGA_ATTENTION_SOFTMAX; kind <= MEGA_ATTENTION_LAPLACE; kind++) {
            size_t length = shapes[s].length, z = (size_t)shapes[s].zdim;
            MegaStackConfig stack = mega_with_gated(
                (MegaStackConfig){0}, (MegaGatedConfig){.chunk = shapes[s].chunk,
                                                        .zdim = shapes[s].zdim,
                                                        .attention = (MegaAttentionKind)kind});
            float *q = random_floats(&random, length * z, -2, 2);
            float *k = random_floats(&random, length * z, -2, 2);
            float *bias = random_floats(&random, 2 * length - 1, -1, 1);
            float *got = calloc(length, sizeof *got);
            double *expected = calloc(length, sizeof *expected);
            assert_true(got && expected);
            plain_attention(&stack, q, k, length, bias + length - 1, expected);
            assert_int_equal(
                observe_attention(&stack, q, k, length, bias + length - 1, got, NULL), 0);
            assert_close(got, expected, length, 2e-6);
            free(q);
            free(k);
            free(bias);
            free(got);
            free(expected);
        }
}

/* ---- Tensors -------------------------------------------------------------------------------- */

static void simple_bias_is_cut_from_the_middle(void **state)
{
    (void)state;
    Random random = {9};
    MegaConfig config = small_config();
    MegaModel *model = random_model(&config, &random);
    const float *stored = mega_layer(&model->encoder, 1)->weights->bias;
    float *table;
    assert_int_equal(
        observe_bias(model, &config.encoder, "encoder.layer.1", 300, 25, &table, NULL), 0);
    assert_memory_equal(table, stored + 300 - 25, 49 * sizeof *table);
    free(table);
    MegaError err = {0};
    assert_int_equal(observe_bias(model, &config.encoder, "encoder.layer.7", 300, 25, &table, &err),
                     MEGA_ERR_MODEL);
    assert_null(table);
    mega_model_free(model);
}

/* Computes (R_i alpha) . (R_j beta) with explicit rotations. */
static double rotary(const float *alpha, const float *beta, int z, int i, int j)
{
    double sum = 0;
    for (int m = 0; m < z / 2; m++) {
        double f = pow(10000, -m / (z / 2.0)), a = i * f, b = j * f;
        double a1 = (double)alpha[m], a2 = (double)alpha[z / 2 + m];
        double b1 = (double)beta[m], b2 = (double)beta[z / 2 + m];
        sum += (a1 * cos(a) - a2 * sin(a)) * (b1 * cos(b) - b2 * sin(b)) +
               (a2 * cos(a) + a1 * sin(a)) * (b2 * cos(b) + b1 * sin(b));
    }
    return sum;
}

static void rotary_bias_depends_on_the_distance(void **state)
{
    (void)state;
    Random random = {11};
    MegaConfig config = small_config();
    mega_gated_of(&config.encoder)->bias = MEGA_BIAS_ROTARY;
    MegaModel *model = random_model(&config, &random);
    const MegaLayerWeights *weights = mega_layer(&model->encoder, 0)->weights;
    float *table;
    double expected[19];
    assert_int_equal(observe_bias(model, &config.encoder, "encoder.layer.0", 300, 10, &table, NULL),
                     0);
    for (int distance = -9; distance <= 9; distance++)
        expected[9 + distance] = rotary(weights->rotary_alpha, weights->rotary_beta,
                                        mega_gated(&config.encoder)->zdim, 20, 20 + distance);
    assert_close(table, expected, 19, 1e-5);
    free(table);
    mega_model_free(model);
}

static void matrix_statistics(void **state)
{
    (void)state;
    const float values[] = {3, -4, 0, 0.1f, 0, -5, 0, 0};
    MatrixStats stats = observe_matrix(values, 8);
    assert_true(fabs(stats.rms - sqrt(50.01 / 8)) < 1e-6); /* 2.5 */
    assert_true(stats.largest == 5);
    assert_true(stats.near_zero == 5.0 / 8); /* 0.1 is below a tenth of 2.5, too */
}

/* ---- A whole run ---------------------------------------------------------------------------- */

/* The data of layer 1 that the tap received, kept to compare with the observer's. */
typedef struct Seen {
    Observer observer;
    float *moved;
    size_t rows;
} Seen;

static void see(void *context, const char *stage, int input, const float *data, size_t rows,
                size_t columns)
{
    Seen *seen = context;
    observe_tap(&seen->observer, stage, input, data, rows, columns);
    if (strcmp(stage, "layer.1.ema") == 0) {
        seen->moved = malloc(rows * columns * sizeof *data);
        assert_non_null(seen->moved);
        memcpy(seen->moved, data, rows * columns * sizeof *data);
        seen->rows = rows;
    }
}

static void a_run_is_observed(void **state)
{
    (void)state;
    Random random = {13};
    MegaConfig config = small_config();
    mega_gated_of(&config.encoder)->chunk = 16;
    mega_gated_of(&config.encoder)->attention = MEGA_ATTENTION_LAPLACE;
    MegaModel *model = random_model(&config, &random);
    MegaSession *session;
    int32_t tokens[150];
    for (int i = 0; i < 150; i++)
        tokens[i] = random_int(&random, 4, 29);
    MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = tokens, .length = 150};
    Seen seen = {.observer = {.model = model}};
    float logits[5];
    assert_int_equal(mega_session_new(&session, model, NULL, NULL), 0);
    mega_session_set_tap(session, see, &seen);
    assert_int_equal(mega_session_classify(session, &input, 1, logits, NULL), 0);
    assert_int_equal(observe_finish(&seen.observer, NULL), 0);

    const Observed *observed = &seen.observer.inputs[0];
    const MegaLinearWeights *u_proj = &mega_layer(&model->encoder, 1)->weights->u;
    float row[12];
    assert_int_equal(observed->length, 150);
    assert_int_equal(seen.rows, 150);
    double expected[150], sum = 0;
    for (size_t t = 0; t < 150; t++) {
        expected[t] = 0;
        for (size_t c = 0; c < 12; c++) {
            double u = (double)u_proj->bias[c];
            mega_packed_row(&u_proj->weight, c, row);
            for (size_t i = 0; i < 12; i++)
                u += (double)row[i] * (double)seen.moved[t * 12 + i];
            expected[t] += 1 / (1 + exp(-u)) / 12;
        }
        sum += (double)observed->combined[t];
    }
    assert_close(observed->gate + 150, expected, 150, 2e-6);
    assert_true(fabs(sum / 150 - 1) < 1e-5);
    for (size_t i = 0; i < 2; i++) { /* every layer has the mean 1 */
        sum = 0;
        for (size_t t = 0; t < 150; t++)
            sum += (double)observed->attention[i * 150 + t];
        assert_true(fabs(sum / 150 - 1) < 1e-5);
    }
    free(seen.moved);
    observer_free(&seen.observer);
    mega_session_free(session);
    mega_model_free(model);
}

static void a_missing_tensor_is_an_error(void **state)
{
    (void)state;
    Random random = {17};
    MegaConfig config = small_config();
    MegaModel *model = random_model(&config, &random);
    MegaError err = {0};
    float *values;
    size_t count;
    assert_int_equal(observe_tensor(model, "encoder.layer.0.r_hx.weight", &values, &count, &err),
                     0);
    assert_int_equal(count, (20 + 12) * 12);
    free(values);
    assert_int_equal(observe_tensor(model, "no such", &values, &count, &err), MEGA_ERR_MODEL);
    assert_non_null(strstr(err.text, "no such"));
    assert_null(values);
    mega_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernel_is_the_sum_of_powers),
        cmocka_unit_test(reach_is_the_mean_lag),
        cmocka_unit_test(reach_of_a_layer_is_sorted),
        cmocka_unit_test(pooled_attention_equals_plain_loops),
        cmocka_unit_test(simple_bias_is_cut_from_the_middle),
        cmocka_unit_test(rotary_bias_depends_on_the_distance),
        cmocka_unit_test(matrix_statistics),
        cmocka_unit_test(a_run_is_observed),
        cmocka_unit_test(a_missing_tensor_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
