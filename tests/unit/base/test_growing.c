/*
 * test_growing.c - growing arrays: a dry walk counts what a real one allocates, contents are kept,
 * and sizes beyond the machine are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "src/base/growing.h"

typedef struct Arrays {
    float *first, *second;
    bool first_grew, second_grew;
} Arrays;

static Arrays walk(MegaGrowing *growing, bool dry, uint64_t first, uint64_t second)
{
    Arrays arrays;
    mega_growing_begin(growing, dry);
    arrays.first = mega_growing_floats(growing, first, 4);
    arrays.first_grew = growing->grew;
    arrays.second = mega_growing_floats(growing, second, 1);
    arrays.second_grew = growing->grew;
    return arrays;
}

static void counting_is_taking(void **state)
{
    MegaGrowing growing = {0};
    (void)state;
    Arrays counted = walk(&growing, true, 10, 5);
    assert_null(counted.first);
    assert_int_equal(growing.bytes, 45 * sizeof(float));
    assert_int_equal(growing.copied, 0); /* nothing exists yet that would have to move */
    assert_int_equal(mega_growing_size(&growing), 0);
    Arrays taken = walk(&growing, false, 10, 5);
    assert_true(taken.first && taken.second && taken.first_grew && taken.second_grew);
    assert_int_equal(growing.bytes, 45 * sizeof(float));
    assert_int_equal(mega_growing_size(&growing), 45 * sizeof(float));
    mega_growing_free(&growing);
    assert_int_equal(growing.count, 0);
}

static void contents_stay(void **state)
{
    MegaGrowing growing = {0};
    (void)state;
    Arrays small = walk(&growing, false, 10, 5);
    for (int i = 0; i < 40; i++)
        small.first[i] = (float)i;
    small.second[4] = 7;
    walk(&growing, true, 1000, 5);
    assert_int_equal(growing.copied, 40 * sizeof(float));
    Arrays large = walk(&growing, false, 1000, 5);
    assert_true(large.first_grew && !large.second_grew);
    for (int i = 0; i < 40; i++)
        assert_true(large.first[i] == (float)i);
    assert_ptr_equal(large.second, small.second);
    Arrays less = walk(&growing, false, 1, 1); /* arrays never shrink */
    assert_ptr_equal(less.first, large.first);
    assert_int_equal(growing.bytes, 4005 * sizeof(float));
    mega_growing_free(&growing);
}

static void too_large(void **state)
{
    static const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX / 4, UINT64_MAX / 16};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        MegaGrowing growing = {0};
        Arrays small = walk(&growing, false, 1, 1);
        Arrays large = walk(&growing, false, sizes[i], 1);
        assert_true(growing.overflow);
        assert_ptr_equal(large.first, small.first);
        mega_growing_free(&growing);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counting_is_taking),
        cmocka_unit_test(contents_stay),
        cmocka_unit_test(too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
