/*
 * test_subnormals.c - in the engine's floating-point mode no kernel of any tier makes a subnormal
 * number, those of Transformers and S4 included, nor do whole layers of these kinds in any thread.
 */
#include "tests/unit/support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/float_mode.h"
#include "src/encode/session.h"
#include "src/kernels/kernels.h"
#include "src/layers/transformer.h"

enum { WIDTH = 24, ROWS = 300 };

static size_t count_subnormal(const float *x, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits; /* in the engine's mode a comparison takes them for 0 */
        memcpy(&bits, &x[i], sizeof bits);
        count += (bits & 0x7f800000) == 0 && (bits & 0x7fffff) != 0;
    }
    return count;
}

static void fill(float *x, size_t n, float value)
{
    for (size_t i = 0; i < n; i++)
        x[i] = i % 3 ? value : -value;
}

/* Runs what makes numbers of 1e-40 for each kernel; returns how many come out subnormal. */
static size_t run_products(const MegaKernels *kernels)
{
    float x[WIDTH], y[WIDTH], ones[WIDTH], out[WIDTH], sums[WIDTH] = {0};
    size_t count = 0;
    const int32_t slots[WIDTH] = {0};
    fill(x, WIDTH, 1e-20f);
    fill(y, WIDTH, 1e-20f);
    fill(ones, WIDTH, 1);
    kernels->multiply(x, y, WIDTH);
    count += count_subnormal(x, WIDTH);
    fill(x, WIDTH, 1e-20f);
    kernels->scale(x, WIDTH, 1e-20f);
    count += count_subnormal(x, WIDTH);
    fill(x, WIDTH, 1e-20f);
    kernels->affine(x, 1, WIDTH, y, sums, out);
    count += count_subnormal(out, WIDTH);
    kernels->attend_values(&x[1], y, 0, slots, 1, WIDTH, WIDTH, out);
    count += count_subnormal(out, WIDTH);
    /* attention weights that are far below the largest one */
    for (size_t i = 0; i < WIDTH; i++)
        x[i] = i ? -90 : 0;
    kernels->attention(MEGA_ATTENTION_SOFTMAX, x, WIDTH, 1, sums);
    count += count_subnormal(x, WIDTH);
    return count;
}

/* A linear system of S4 forgets an impulse: its state halves at every step. */
static size_t run_system(const MegaKernels *kernels, bool backward)
{
    static float u[ROWS * WIDTH], y[ROWS * WIDTH], step[4 * WIDTH], in[2 * WIDTH], out[2 * WIDTH],
        d[WIDTH];
    memset(u, 0, sizeof u);
    memset(y, 0, sizeof y);
    for (size_t i = 0; i < WIDTH; i++) {
        u[(backward ? ROWS - 1 : 0) * WIDTH + i] = 1;
        step[i] = step[3 * WIDTH + i] = -0.5f;
        in[i] = in[WIDTH + i] = out[i] = out[WIDTH + i] = 1;
    }
    const MegaStatePass pass = {.u = u,
                                .y = y,
                                .length = ROWS,
                                .features = WIDTH,
                                .width = WIDTH,
                                .states = 2,
                                .step = step,
                                .in = in,
                                .out = out,
                                .d = d,
                                .backward = backward};
    for (size_t first = 0; first < WIDTH; first += (size_t)kernels->lanes) {
        const size_t left = WIDTH - first, lanes = (size_t)kernels->lanes;
        kernels->run_states(&pass, first, left < lanes ? left : lanes);
    }
    return count_subnormal(y, ROWS * WIDTH);
}

static void kernels_make_none(void **state)
{
    const MegaKernels *tiers[MEGA_MOST_TIERS];
    const size_t count = mega_kernels_all(tiers);
    (void)state;
    if (!MEGA_FLOAT_MODE)
        skip();
    for (size_t t = 0; t < count; t++) {
        assert_true(run_products(tiers[t]) > 0); /* in the mode of a C program they do */
        assert_true(run_system(tiers[t], false) > 0);
        MEGA_WITH_FLOAT_MODE;
        assert_int_equal(run_products(tiers[t]), 0);
        assert_int_equal(run_system(tiers[t], false), 0);
        assert_int_equal(run_system(tiers[t], true), 0);
    }
}

/* Fails if a stage has subnormal values, or if its thread runs in another floating-point mode. */
static void see_stage(void *context, const char *stage, int input, const float *data, size_t rows,
                      size_t columns)
{
    size_t *stages = context;
    (void)input;
    (*stages)++;
    if (count_subnormal(data, rows * columns))
        fail_msg("stage %s has %zu subnormal numbers", stage,
                 count_subnormal(data, rows * columns));
    assert_true((mega_float_mode() & MEGA_FLOAT_MODE) == MEGA_FLOAT_MODE);
}

static void transformers_make_none(void **state)
{
    Random random = {31};
    MegaConfig config = small_config();
    const MegaFloatMode before = mega_float_mode();
    float logits[16], values[200];
    (void)state;
    if (!MEGA_FLOAT_MODE)
        skip();
    config.encoder.kind = &mega_layer_kind_transformer;
    memset(config.encoder.own, 0, sizeof config.encoder.own);
    mega_transformer_of(&config.encoder)->heads = 3;
    config.embed = (MegaEmbedConfig){.kind = MEGA_EMBED_REAL, .pad = -1};
    MegaModel *model = random_model(&config, &random);
    fill(values, 200, 1e-39f); /* the input itself is subnormal */
    for (int threads = 1; threads <= 3; threads++) {
        const MegaInput input = {.kind = MEGA_INPUT_SAMPLES, .values = values, .length = 200};
        MegaSession *session;
        size_t stages = 0;
        assert_int_equal(
            mega_session_new(&session, model, &(MegaSessionOptions){.threads = threads}, NULL), 0);
        mega_session_set_tap(session, see_stage, &stages);
        assert_int_equal(mega_session_classify(session, &input, 1, logits, NULL), 0);
        assert_true(stages > 4);
        assert_true((mega_float_mode() & MEGA_FLOAT_MODE) == (before & MEGA_FLOAT_MODE));
        mega_session_free(session);
    }
    mega_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_make_none),
        cmocka_unit_test(transformers_make_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
