/*
 * test_positions.c - compares the sinusoids of positions with rows of the original's own table, to
 * the last digit, and checks what holds for every row.
 */
#include "tests/unit/golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/model/positions.h"

#define MOST_WIDTH 64

/* Returns the row of `position` in a table of this width. */
static void make_row(int width, int pad, size_t position, float *row)
{
    _Alignas(64) float memory[MOST_WIDTH];
    MegaArena arena = {.base = (char *)memory, .size = sizeof memory};
    MegaStackConfig config = {.width = width, .positions = MEGA_POSITIONS_SINUSOIDAL};
    MegaPositions positions;
    mega_positions_prepare(&positions, &config, NULL, pad, &arena);
    memset(row, 0, (size_t)width * sizeof *row);
    mega_positions_add(&positions, position, 1, row);
}

/* Compares rows up to 2003 of the original's table, far enough for the rounding of its steps to
 * show. */
static void equals_the_original(void **state)
{
    const Golden golden = {.folder = "tests/fixtures/xfm_lra_listops"};
    MegaNpy rows, values;
    float row[MOST_WIDTH];
    (void)state;
    assert_true(golden_read(&golden, "dbg.table.rows", &rows));
    assert_true(golden_read(&golden, "dbg.table.values", &values));
    const size_t width = (size_t)values.shape[1];
    assert_in_range(width, 2, MOST_WIDTH);
    for (size_t i = 0; i < rows.elements; i++) {
        if (rows.i32[i] < 2)
            continue; /* the row of <pad>, and the one before it, belong to no position */
        make_row((int)width, 1, (size_t)rows.i32[i] - 2, row);
        for (size_t c = 0; c < width; c++)
            assert_true(fabsf(row[c] - values.f32[i * width + c]) <= 1e-6f);
    }
    mega_npy_free(&rows);
    mega_npy_free(&values);
}

static void begins_behind_the_padding(void **state)
{
    float with_pad[9], without[9], image[8];
    (void)state;
    make_row(9, 1, 0, with_pad);
    make_row(9, -1, 2, without);
    assert_memory_equal(with_pad, without, sizeof with_pad);
    make_row(8, -1, 0, image);
    for (size_t c = 0; c < 8; c++)
        assert_true(image[c] == (c < 4 ? 0.0f : 1.0f));
}

/* Sines and cosines of one frequency have squares that add up to 1; the first frequency is 1, the
 * last 1/10000, and the last column of an odd width is 0. */
static void rows_are_sines_and_cosines(void **state)
{
    (void)state;
    for (int width = 4; width <= 33; width++) {
        float row[MOST_WIDTH];
        const size_t half = (size_t)width / 2;
        make_row(width, 1, 1234, row);
        for (size_t k = 0; k < half; k++)
            assert_float_equal(row[k] * row[k] + row[half + k] * row[half + k], 1.0f, 1e-6f);
        assert_float_equal(row[0], (float)sin(1236.0), 1e-6f);
        assert_float_equal(row[half - 1], (float)sin(1236.0 / 10000.0), 1e-6f);
        if (width % 2)
            assert_true(row[width - 1] == 0.0f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_original),
        cmocka_unit_test(begins_behind_the_padding),
        cmocka_unit_test(rows_are_sines_and_cosines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
