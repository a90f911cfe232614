/*
 * test_scores.c - compares what every tier makes of the scores of attention with double precision,
 * between guard bands that must stay untouched.
 */
#include "tests/unit/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/kernels/kernels.h"
#include "tests/unit/reference.h"

#define MAX_COLUMNS 37

static const MegaKernels *tiers[MEGA_MOST_TIERS];
static size_t tier_count;

static void attention_rows(void **state)
{
    Random random = {23};
    (void)state;
    for (size_t t = 0; t < tier_count; t++)
        for (int kind = 0; kind <= MEGA_ATTENTION_LAPLACE; kind++)
            for (size_t keys = 1; keys <= MAX_COLUMNS; keys++) {
                float *s = guarded_floats(&random, keys, -30, 30);
                float *bias = random_floats(&random, keys, -1, 1);
                double expected[MAX_COLUMNS];
                for (size_t j = 0; j < keys; j++)
                    expected[j] = (double)s[j] * 0.25 + bias[j];
                reference_attention_row((MegaAttentionKind)kind, expected, keys);
                tiers[t]->attention((MegaAttentionKind)kind, s, keys, 0.25f, bias);
                assert_close(s, expected, keys, 2e-6);
                release_floats(s, keys);
                free(bias);
            }
}

/* Takes a row in blocks of keys and shrinks earlier weights by the factor that the kernel
 * returns. */
static void softmax_blocks(void **state)
{
    enum { KEYS = 100 };
    Random random = {28};
    (void)state;
    for (size_t t = 0; t < tier_count; t++)
        for (int round = 0; round < 200; round++) {
            float *s = guarded_floats(&random, KEYS, -90, 90);
            float *bias = random_floats(&random, KEYS, -1, 1);
            double expected[KEYS];
            for (size_t j = 0; j < KEYS; j++)
                expected[j] = (double)s[j] * 0.25 + bias[j];
            reference_attention_row(MEGA_ATTENTION_SOFTMAX, expected, KEYS);
            float top = -INFINITY, sum = 0;
            for (size_t j = 0, count; j < KEYS; j += count) {
                count = (size_t)random_int(&random, 1, 40);
                count = count < KEYS - j ? count : KEYS - j;
                float shrink = tiers[t]->softmax_block(s + j, count, 0.25f, bias + j, &top, &sum);
                tiers[t]->scale(s, j, shrink);
            }
            tiers[t]->scale(s, KEYS, 1 / sum);
            assert_close(s, expected, KEYS, 2e-6);
            release_floats(s, KEYS);
            free(bias);
        }
}

/* Computes exponentials of rows of scores within the bound, with a bias that moves from row to row
 * or without one, and their sums, which are added to what was there. No row changes the bits of
 * another. */
static void bounded_scores(void **state)
{
    enum { ROWS = 4, KEYS = 140 };
    Random random = {29};
    (void)state;
    for (size_t t = 0; t < tier_count; t++)
        for (size_t round = 0; round < 400; round++) {
            const size_t keys = 1 + round % KEYS, rows = (size_t)random_int(&random, 1, ROWS);
            const size_t ld = keys + (size_t)random_int(&random, 0, 3), all = rows * ld;
            const float most = round % 3 == 0 ? MEGA_BOUNDED_SCORE : round % 3 == 1 ? 5.0f : 0.1f;
            const bool has_bias = round % 4 != 0;
            float *s = guarded_floats(&random, all, -3 * most, 3 * most);
            float *alone = random_floats(&random, keys, 0, 0), sum_alone = 0, sums[ROWS];
            float *bias = random_floats(&random, keys + ROWS, -most / 4, most / 4);
            double *expected = calloc(all, sizeof *expected), sum[ROWS];
            const double tolerance = 3e-7 + 1.5e-7 * (double)most;
            assert_non_null(expected);
            for (size_t row = 0; row < rows; row++) {
                const float *own = bias + ROWS - row;
                sums[row] = row ? 0 : 1;
                sum[row] = row ? 0 : 1;
                for (size_t j = 0; j < keys; j++)
                    sum[row] += expected[row * ld + j] =
                        exp((double)s[row * ld + j] * 0.25 + (has_bias ? (double)own[j] : 0));
            }
            const size_t last = (rows - 1) * ld;
            memcpy(alone, s + last, keys * sizeof *s);
            MegaScores scores = {.s = s, .ld = ld, .rows = rows, .keys = keys, .scale = 0.25f,
                                 .bias = has_bias ? bias + ROWS : NULL, .bias_step = -1,
                                 .sums = sums};
            tiers[t]->exp_rows(&scores);
            for (size_t row = 0; row < rows; row++) {
                for (size_t j = 0; j < keys; j++)
                    assert_true(fabs((double)s[row * ld + j] / expected[row * ld + j] - 1) <
                                tolerance);
                assert_true(fabs((double)sums[row] / sum[row] - 1) < tolerance);
            }
            scores.s = alone;
            scores.rows = 1;
            scores.bias = has_bias ? bias + ROWS - (rows - 1) : NULL;
            scores.sums = &sum_alone;
            tiers[t]->exp_rows(&scores);
            assert_memory_equal(alone, s + last, keys * sizeof *s);
            assert_true(rows == 1 || sum_alone == sums[rows - 1]);
            release_floats(s, all);
            free(alone);
            free(bias);
            free(expected);
        }
}

static void longest_keys(void **state)
{
    Random random = {30};
    (void)state;
    for (size_t t = 0; t < tier_count; t++)
        for (size_t round = 0; round < 100; round++) {
            const size_t keys = (size_t)random_int(&random, 1, 50);
            const size_t columns = (size_t)random_int(&random, 1, 20);
            const size_t floats = (keys + MEGA_PANEL - 1) / MEGA_PANEL * MEGA_PANEL * columns;
            float *k = random_floats(&random, keys * columns, -2, 2);
            float *panels = guarded_floats(&random, floats, 0, 0);
            double most = 0;
            for (size_t key = 0; key < keys; key++) {
                double sum = 0;
                for (size_t i = 0; i < columns; i++)
                    sum += (double)k[key * columns + i] * (double)k[key * columns + i];
                most = sum > most ? sum : most;
            }
            mega_panels_pack(MEGA_F32, panels, k, columns * sizeof *k, keys, columns);
            float got = tiers[t]->longest_key(panels, keys, columns);
            assert_true(fabs((double)got / most - 1) < 1e-6);
            k[random_int(&random, 0, (int)(keys * columns) - 1)] = round % 2 ? NAN : -INFINITY;
            mega_panels_pack(MEGA_F32, panels, k, columns * sizeof *k, keys, columns);
            assert_true(isnan(tiers[t]->longest_key(panels, keys, columns)));
            release_floats(panels, floats);
            free(k);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_rows),
        cmocka_unit_test(softmax_blocks),
        cmocka_unit_test(bounded_scores),
        cmocka_unit_test(longest_keys),
    };
    tier_count = mega_kernels_all(tiers);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
