/*
 * test_ssm_kernel.c - kernels and recurrences of state spaces against dense matrices in double:
 * both kinds of A, all discretisations and transforms, shared rows, several rows of C, rates, and
 * inputs that are shorter and longer than the kernel's length.
 */
#include "tests/unit/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/kernels/kernels.h"
#include "src/layers/dft.h"
#include "tests/unit/reference_ssm.h"

#define MOST_TENSORS 10

/* A state space with random tensors; their memory is in `tensors`. */
typedef struct Space {
    MegaSsm ssm;
    float *tensors[MOST_TENSORS];
    size_t count;
} Space;

static const float *add(Space *space, Random *random, size_t n, float low, float high)
{
    return space->tensors[space->count++] = random_floats(random, n, low, high);
}

/* Fills the tensors with numbers for which the system is stable. */
static Space make_space(const MegaSsm *shape, Random *random)
{
    Space space = {.ssm = *shape};
    MegaSsm *ssm = &space.ssm;
    const size_t n = ssm->states, two = ssm->is_real ? 1 : 2;
    const bool exponent =
        ssm->dt_transform == MEGA_SSM_EXP || ssm->dt_transform == MEGA_SSM_SOFTPLUS;
    const float low = exponent ? -3 : 0.02f, high = exponent ? -1 : 0.3f;
    ssm->steps = ssm->steps ? ssm->steps : 1;
    ssm->dt = add(&space, random, ssm->features * ssm->steps, low, high);
    ssm->real = add(&space, random, ssm->groups * n, 0.1f, 0.9f);
    if (!ssm->is_real)
        ssm->imag = add(&space, random, ssm->groups * n, 0.1f, 5);
    ssm->b = add(&space, random, ssm->groups * n * two, -1, 1);
    ssm->c = add(&space, random, ssm->rows * ssm->features * n * two, -1, 1);
    if (ssm->rank)
        ssm->p = add(&space, random, ssm->rank * ssm->groups * n * 2, -0.7f, 0.7f);
    return space;
}

static void free_space(Space *space)
{
    for (size_t i = 0; i < space->count; i++)
        free(space->tensors[i]);
}

static void compare(const MegaSsm *ssm, size_t taps, double rate, int threads)
{
    MegaPool *pool;
    const size_t stride = taps + 3, kernels = ssm->rows * ssm->features;
    float *got = calloc(kernels * stride, sizeof *got);
    double *expected = calloc(taps, sizeof *expected);
    assert_int_equal(mega_pool_new(&pool, threads, NULL), 0);
    assert_int_equal(mega_ssm_kernels(ssm, taps, rate, pool, got, stride, NULL), 0);
    for (size_t h = 0; h < ssm->features; h++)
        for (size_t r = 0; r < ssm->rows; r++) {
            reference_ssm_kernel(ssm, h, r, taps, rate, expected);
            assert_close(got + (h * ssm->rows + r) * stride, expected, taps, 2e-7);
        }
    mega_pool_free(pool);
    free(got);
    free(expected);
}

/* The layers of the published recipes and of what they leave out. */
static const MegaSsm shapes[] = {
    {.features = 4,
     .states = 3,
     .groups = 1,
     .rank = 1,
     .rows = 1,
     .length = 24,
     .limit = 24,
     .dt_transform = MEGA_SSM_EXP,
     .real_transform = MEGA_SSM_EXP,
     .negated = true},
    {.features = 6,
     .states = 4,
     .groups = 2,
     .rank = 1,
     .rows = 2,
     .length = 25,
     .dt_transform = MEGA_SSM_SOFTPLUS,
     .real_transform = MEGA_SSM_EXP,
     .negated = true},
    {.features = 4,
     .states = 5,
     .groups = 4,
     .rank = 2,
     .rows = 3,
     .length = 17,
     .dt_transform = MEGA_SSM_EXP,
     .real_transform = MEGA_SSM_SOFTPLUS},
    {.features = 2,
     .states = 2,
     .groups = 2,
     .rank = 2,
     .rows = 1,
     .length = 0,
     .dt_transform = MEGA_SSM_EXP,
     .real_transform = MEGA_SSM_RELU},
    {.features = 2,
     .states = 2,
     .groups = 1,
     .rank = 1,
     .rows = 1,
     .length = 0,
     .limit = 20,
     .dt_transform = MEGA_SSM_EXP,
     .real_transform = MEGA_SSM_PURE_RELU},
    {.features = 3,
     .states = 2,
     .groups = 1,
     .rank = 1,
     .rows = 2,
     .length = 31,
     .steps = 2,
     .dt_transform = MEGA_SSM_EXP,
     .real_transform = MEGA_SSM_EXP,
     .imag_transform = MEGA_SSM_SIGMOID},
    {.features = 3,
     .states = 4,
     .groups = 3,
     .rows = 2,
     .dt_transform = MEGA_SSM_EXP,
     .real_transform = MEGA_SSM_EXP,
     .discretization = MEGA_SSM_ZOH},
    {.features = 6,
     .states = 4,
     .groups = 2,
     .rows = 1,
     .dt_transform = MEGA_SSM_SOFTPLUS,
     .real_transform = MEGA_SSM_SOFTPLUS,
     .imag_transform = MEGA_SSM_EXP,
     .negated = true,
     .discretization = MEGA_SSM_BILINEAR},
    {.features = 4,
     .states = 4,
     .groups = 4,
     .rows = 1,
     .steps = 4,
     .fast = true,
     .dt_transform = MEGA_SSM_NONE,
     .real_transform = MEGA_SSM_SIGMOID,
     .bandlimit = 0.05,
     .discretization = MEGA_SSM_ZOH},
    {.features = 4,
     .states = 3,
     .groups = 2,
     .rows = 1,
     .is_real = true,
     .dt_transform = MEGA_SSM_EXP,
     .real_transform = MEGA_SSM_EXP,
     .discretization = MEGA_SSM_BILINEAR},
    {.features = 2,
     .states = 3,
     .groups = 1,
     .rows = 2,
     .dt_transform = MEGA_SSM_EXP,
     .real_transform = MEGA_SSM_EXP,
     .discretization = MEGA_SSM_DSS},
};

#define SHAPES (sizeof shapes / sizeof shapes[0])

static void kernels_equal_the_reference(void **state)
{
    (void)state;
    Random random = {.state = 15};
    /* shorter than the length, equal and longer; rates that do and do not divide it */
    static const size_t taps[] = {1, 7, 24, 25, 40, 70};
    static const double rates[] = {1, 2, 0.5, 3};
    for (size_t i = 0; i < SHAPES; i++) {
        Space space = make_space(&shapes[i], &random);
        for (size_t t = 0; t < sizeof taps / sizeof taps[0]; t++)
            for (size_t r = 0; r < sizeof rates / sizeof rates[0]; r++)
                compare(&space.ssm, taps[t], rates[r], 1 + (int)((t + r) % 3));
        free_space(&space);
    }
}

/* With transform none, a real part may be positive; dss then counts from the end. */
static void growing_states_of_dss(void **state)
{
    (void)state;
    Random random = {.state = 16};
    MegaSsm shape = {.features = 2,
                     .states = 3,
                     .groups = 1,
                     .rows = 1,
                     .dt_transform = MEGA_SSM_EXP,
                     .real_transform = MEGA_SSM_NONE,
                     .discretization = MEGA_SSM_DSS};
    Space space = make_space(&shape, &random);
    space.tensors[1][1] = -0.4f;
    compare(&space.ssm, 33, 1, 2);
    free_space(&space);
}

/* For a length with a large prime factor the recurrence takes the place of the roots of unity. */
static void lengths_that_transform_badly(void **state)
{
    (void)state;
    Random random = {.state = 17};
    MegaSsm shape = {.features = 2,
                     .states = 2,
                     .groups = 1,
                     .rank = 1,
                     .rows = 2,
                     .length = 4999,
                     .dt_transform = MEGA_SSM_EXP,
                     .real_transform = MEGA_SSM_EXP};
    Space space = make_space(&shape, &random);
    assert_int_equal(mega_ssm_whole(&space.ssm, 30, 1), 30);
    compare(&space.ssm, 30, 1, 1);
    compare(&space.ssm, 30, 2, 1);
    space.ssm.length = 5000;
    assert_int_equal(mega_ssm_whole(&space.ssm, 4000, 1), 5000);
    /* kept kernels serve all inputs that need no longer one */
    assert_int_equal(mega_ssm_family(&space.ssm, 7, 1), mega_ssm_family(&space.ssm, 5000, 1));
    assert_int_not_equal(mega_ssm_family(&space.ssm, 7, 1), mega_ssm_family(&space.ssm, 5001, 1));
    assert_int_not_equal(mega_ssm_family(&space.ssm, 7, 2), mega_ssm_family(&space.ssm, 2501, 2));
    free_space(&space);
}

/* Tensors of an old release have lambda as it is, and q in place of the conjugate of p. */
static void lambda_and_q_of_their_own(void **state)
{
    (void)state;
    Random random = {.state = 18};
    MegaSsm shape = {.features = 4,
                     .states = 3,
                     .groups = 2,
                     .rank = 2,
                     .rows = 1,
                     .length = 26,
                     .dt_transform = MEGA_SSM_EXP};
    Space space = make_space(&shape, &random);
    float *lambda = random_floats(&random, 12, 0.1f, 2),
          *q = random_floats(&random, 24, -0.4f, 0.4f);
    for (size_t i = 0; i < 12; i += 2)
        lambda[i] = -lambda[i];
    space.ssm.lambda = lambda;
    space.ssm.q = q;
    compare(&space.ssm, 26, 1, 1);
    compare(&space.ssm, 60, 2, 2);
    free(lambda);
    free(q);
    free_space(&space);
}

/* ---- Recurrences ----------------------------------------------------------------------------- */

static double complex number(const float *values, size_t at)
{
    return (double)values[2 * at] + I * (double)values[2 * at + 1];
}

/* Returns 2 Re sum_n a_n x_n. */
static double twice_real(const float *a, const double complex *x, size_t n)
{
    double complex sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += number(a, i) * x[i];
    return 2 * creal(sum);
}

/* Takes one step of a feature, as ssm_kernel.h states it. */
static void take_step(const MegaSsm *ssm, const MegaSsmSteps *steps, size_t h, double u,
                      double complex *x)
{
    const size_t n = ssm->states, rank = ssm->rank, at = h * n;
    double complex y[16];
    double seen[4], left[4] = {0};
    for (size_t i = 0; i < n; i++)
        y[i] = number(steps->in, at + i) * u +
               (rank ? number(steps->numerator, at + i) * x[i] : number(steps->z, at + i) * x[i]);
    for (size_t r = 0; r < rank; r++) {
        const double dot = twice_real(steps->q + 2 * (rank * at + r * n), x, n);
        for (size_t i = 0; i < n; i++)
            y[i] -= dot * number(steps->p, rank * at + r * n + i);
    }
    for (size_t i = 0; i < n; i++)
        x[i] = rank ? number(steps->z, at + i) * y[i] : y[i];
    for (size_t r = 0; r < rank; r++)
        seen[r] = twice_real(steps->q + 2 * (rank * at + r * n), x, n);
    for (size_t r = 0; r < rank; r++)
        for (size_t s = 0; s < rank; s++)
            left[r] += (double)steps->g[(h * rank + r) * rank + s] * seen[s];
    for (size_t r = 0; r < rank; r++)
        for (size_t i = 0; i < n; i++)
            x[i] -= number(steps->z, at + i) * left[r] * number(steps->p, rank * at + r * n + i);
}

static void steps_give_the_kernel(void **state)
{
    (void)state;
    enum { TAPS = 40 };
    Random random = {.state = 19};
    static const double rates[] = {1, 2};
    for (size_t i = 0; i + 1 < SHAPES; i++)
        for (size_t rate = 0; rate < 2; rate++) {
            /* without a length, that of the reference depends on the number of lags */
            if (shapes[i].rank && !shapes[i].length && rate)
                continue;
            Space space = make_space(&shapes[i], &random);
            const MegaSsm *ssm = &space.ssm;
            MegaArena dry = {0}, arena = {0};
            MegaSsmSteps steps;
            MegaPool *pool;
            assert_int_equal(mega_pool_new(&pool, 2, NULL), 0);
            mega_ssm_steps_layout(&steps, ssm, &dry);
            assert_int_equal(mega_arena_reserve(&arena, dry.used, NULL), 0);
            mega_ssm_steps_layout(&steps, ssm, &arena);
            assert_int_equal(mega_ssm_steps(ssm, rates[rate], pool, &steps, NULL), 0);
            const size_t taps = ssm->length && ssm->length < 2 * TAPS ? ssm->length / 2 : TAPS;
            for (size_t h = 0; h < ssm->features; h++)
                for (size_t r = 0; r < ssm->rows; r++) {
                    double complex x[16] = {0};
                    double expected[TAPS];
                    float got[TAPS];
                    reference_ssm_kernel(ssm, h, r, taps, rates[rate], expected);
                    for (size_t l = 0; l < taps; l++) {
                        take_step(ssm, &steps, h, l == 0, x);
                        got[l] = (float)twice_real(steps.c + 2 * (h * ssm->rows + r) * ssm->states,
                                                   x, ssm->states);
                    }
                    assert_close(got, expected, taps, 2e-6);
                }
            mega_pool_free(pool);
            mega_arena_free(&arena);
            free_space(&space);
        }
}

static void dss_has_no_steps(void **state)
{
    (void)state;
    MegaError err = {0};
    MegaPool *pool;
    assert_int_equal(mega_pool_new(&pool, 1, NULL), 0);
    assert_int_equal(mega_ssm_steps(&shapes[SHAPES - 1], 1, pool, NULL, &err),
                     MEGA_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "disc dss"));
    mega_pool_free(pool);
}

/* ---- Transforms ------------------------------------------------------------------------------ */

static void transforms_of_any_length(void **state)
{
    (void)state;
    Random random = {.state = 20};
    for (size_t n = 1; n < 70; n++) {
        double complex roots[70], in[70], out[70], spare[70];
        for (size_t i = 0; i < n; i++)
            in[i] =
                (double)random_uniform(&random, -1, 1) + I * (double)random_uniform(&random, -1, 1);
        mega_dft_roots(n, roots);
        mega_dft_inverse(n, roots, in, out, spare);
        for (size_t j = 0; j < n; j++) {
            double complex sum = 0;
            for (size_t k = 0; k < n; k++)
                sum += in[k] * cexp(2 * M_PI * I * (double)(j * k) / (double)n);
            assert_true(cabs(sum - out[j]) < 1e-12 * (double)n);
        }
    }
}

/* Compares the responses of a recurrence by matrix, in both directions, to an impulse in the
 * middle. */
static void compare_matrix(const MegaSsm *ssm)
{
    enum { LENGTH = 60, MIDDLE = 25, MOST_FEATURES = 21 };
    const MegaKernels *tiers[MEGA_MOST_TIERS];
    const size_t h = ssm->features, tier_count = mega_kernels_all(tiers), states = 2 * ssm->states;
    float u[LENGTH * MOST_FEATURES] = {0}, y[LENGTH * MOST_FEATURES], d[MOST_FEATURES];
    double kernel[LENGTH], expected[LENGTH];
    MegaArena dry = {0}, arena = {0};
    MegaSsmMatrix matrix;
    MegaPool *pool;
    assert_int_equal(mega_pool_new(&pool, 2, NULL), 0);
    mega_ssm_matrix_layout(&matrix, ssm, &dry);
    assert_int_equal(mega_arena_reserve(&arena, dry.used, NULL), 0);
    mega_ssm_matrix_layout(&matrix, ssm, &arena);
    assert_int_equal(mega_ssm_matrix(ssm, 1, pool, &matrix, NULL), 0);
    for (size_t i = 0; i < h; i++) {
        u[MIDDLE * h + i] = 1;
        d[i] = (float)i / 8;
    }
    for (size_t t = 0; t < tier_count; t++) {
        const size_t lanes = (size_t)tiers[t]->lanes;
        MegaStatePass pass = {.u = u,
                              .y = y,
                              .length = LENGTH,
                              .features = h,
                              .width = h,
                              .states = states,
                              .step = matrix.step,
                              .in = matrix.in,
                              .out = matrix.out,
                              .d = d};
        for (int direction = 0; direction < 2; direction++) {
            pass.backward = direction == 1;
            pass.out = matrix.out + (pass.backward ? states * h : 0);
            for (size_t first = 0; first < h; first += lanes)
                tiers[t]->run_states(&pass, first, h - first < lanes ? h - first : lanes);
        }
        for (size_t i = 0; i < h; i++) {
            float got[LENGTH];
            memset(expected, 0, sizeof expected);
            reference_ssm_kernel(ssm, i, 0, LENGTH, 1, kernel);
            for (size_t at = MIDDLE; at < LENGTH; at++)
                expected[at] = kernel[at - MIDDLE];
            reference_ssm_kernel(ssm, i, 1, LENGTH, 1, kernel);
            for (size_t at = 0; at < MIDDLE; at++)
                expected[at] = kernel[MIDDLE - 1 - at];
            expected[MIDDLE] += (double)d[i];
            for (size_t at = 0; at < LENGTH; at++)
                got[at] = y[at * h + i];
            assert_close(got, expected, LENGTH, 2e-6);
        }
    }
    mega_arena_free(&arena);
    mega_pool_free(pool);
}

static void matrices(void **state)
{
    (void)state;
    Random random = {.state = 19};
    for (size_t states = 1; states <= MEGA_SSM_MATRIX_STATES; states++)
        for (size_t rank = 0; rank < 3; rank++)
            for (size_t features = 1; features <= 21; features += 5) {
                const MegaSsm shape = {.features = features,
                                       .states = states,
                                       .groups = 1,
                                       .rank = rank,
                                       .rows = 2,
                                       .length = rank ? 40 : 0,
                                       .dt_transform = MEGA_SSM_EXP,
                                       .real_transform = MEGA_SSM_EXP,
                                       .discretization =
                                           features % 2 ? MEGA_SSM_ZOH : MEGA_SSM_BILINEAR};
                Space space = make_space(&shape, &random);
                compare_matrix(&space.ssm);
                free_space(&space);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_equal_the_reference),  cmocka_unit_test(growing_states_of_dss),
        cmocka_unit_test(lengths_that_transform_badly), cmocka_unit_test(lambda_and_q_of_their_own),
        cmocka_unit_test(steps_give_the_kernel),        cmocka_unit_test(dss_has_no_steps),
        cmocka_unit_test(transforms_of_any_length),     cmocka_unit_test(matrices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
