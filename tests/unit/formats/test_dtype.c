/*
 * test_dtype.c - element types and their conversion (formats/tensor/dtype.h).
 */
#include "tests/unit/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "formats/tensor/dtype.h"
#include "formats/tensor/quantize.h"

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Returns the value of a binary16 by its definition. */
static double f16_value(uint16_t half)
{
    int exponent = half >> 10 & 31, fraction = half & 1023;
    double magnitude = exponent == 31 ? (fraction ? NAN : INFINITY)
                       : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                      : ldexp(fraction, -24);
    return half & 0x8000 ? -magnitude : magnitude;
}

static void test_traits(void **state)
{
    (void)state;
    static const char *const names[] = {"f32", "f16", "bf16", "int8", "int4", "f64",
                                        "i64", "i32", "i16",  "i8",   "u8",   "bool"};
    static const uint32_t sizes[] = {4, 2, 2, 34, 18, 8, 8, 4, 2, 1, 1, 1};
    for (size_t i = 0; i < 12; i++) {
        int dtype = mega_dtype_by_name(names[i]);
        const MegaDtypeTraits *traits = mega_dtype_traits(dtype);
        assert_non_null(traits);
        assert_string_equal(traits->name, names[i]);
        assert_int_equal(traits->item_size, sizes[i]);
        assert_int_equal(mega_dtype_storable(dtype), i < 5);
        assert_int_equal(traits->block, i == 3 || i == 4 ? 32 : 1);
    }
    assert_int_equal(mega_dtype_by_name("f8"), -1);
    assert_null(mega_dtype_traits(5));
    assert_null(mega_dtype_traits(-1));
    assert_null(mega_dtype_traits(255));
    assert_false(mega_dtype_storable(-1));
    for (int dtype = 0; dtype < MEGA_STORABLE_DTYPES; dtype++)
        assert_non_null(mega_dtype_traits(dtype));
}

/* Converting every value of a short type to float32 and back gives the same bits, also for NaNs. */
static void round_trip_all(MegaDtype dtype)
{
    for (uint32_t i = 0; i <= 0xffff; i++) {
        uint8_t stored[3], back[3];
        float value;
        mega_store_u16(stored + 1, (uint16_t)i); /* deliberately unaligned */
        mega_dtype_to_f32(dtype, stored + 1, 1, &value);
        mega_dtype_from_f32(dtype, &value, 1, back + 1);
        assert_int_equal(mega_load_u16(back + 1), i);
        if (dtype == MEGA_BF16) {
            assert_int_equal(bits_of(value), i << 16);
        } else if (isnan(f16_value((uint16_t)i))) {
            assert_true(isnan(value));
        } else {
            assert_true((double)value == f16_value((uint16_t)i));
            assert_int_equal(bits_of(value) >> 31, i >> 15); /* minus zero */
        }
    }
}

static void test_f16_round_trip(void **state)
{
    (void)state;
    round_trip_all(MEGA_F16);
}

static void test_bf16_round_trip(void **state)
{
    (void)state;
    round_trip_all(MEGA_BF16);
}

static uint16_t convert(MegaDtype dtype, float value)
{
    uint8_t stored[2];
    mega_dtype_from_f32(dtype, &value, 1, stored);
    return mega_load_u16(stored);
}

/* Between two neighbours, the middle rounds to the even one, and values next to it to the nearer
 * one. */
static void round_between_all(MegaDtype dtype, uint16_t infinity)
{
    for (uint16_t low = 0; low < infinity; low++) {
        uint8_t stored[4];
        float ends[2];
        mega_store_u16(stored, low);
        mega_store_u16(stored + 2, (uint16_t)(low + 1));
        mega_dtype_to_f32(dtype, stored, 2, ends);
        uint16_t even = low & 1 ? (uint16_t)(low + 1) : low;
        /* Infinity has the place of the next power of two. */
        double upper = isinf(ends[1]) ? ldexp(1, dtype == MEGA_F16 ? 16 : 128) : (double)ends[1];
        float middle = (float)(((double)ends[0] + upper) / 2);
        for (int sign = 0; sign < 2; sign++) {
            uint16_t bit = sign ? 0x8000 : 0;
            assert_int_equal(convert(dtype, sign ? -middle : middle), even | bit);
            float above = nextafterf(middle, INFINITY), below = nextafterf(middle, 0);
            assert_int_equal(convert(dtype, sign ? -above : above), (low + 1) | bit);
            assert_int_equal(convert(dtype, sign ? -below : below), low | bit);
        }
    }
}

static void test_f16_rounding(void **state)
{
    (void)state;
    round_between_all(MEGA_F16, 0x7c00);
    assert_int_equal(convert(MEGA_F16, 1e30f), 0x7c00);
    assert_int_equal(convert(MEGA_F16, 1e-30f), 0);
    assert_int_equal(convert(MEGA_F16, -1e-30f), 0x8000);
    assert_int_equal(convert(MEGA_F16, INFINITY), 0x7c00);
}

static void test_bf16_rounding(void **state)
{
    (void)state;
    round_between_all(MEGA_BF16, 0x7f80);
    assert_int_equal(convert(MEGA_BF16, INFINITY), 0x7f80);
}

/* A NaN whose payload does not fit remains a NaN. */
static void test_small_nan(void **state)
{
    (void)state;
    uint32_t bits = 0x7f800001;
    float nan;
    memcpy(&nan, &bits, sizeof nan);
    assert_true((convert(MEGA_F16, nan) & 0x7fff) > 0x7c00);
    assert_true((convert(MEGA_BF16, nan) & 0x7fff) > 0x7f80);
}

static void test_other_types(void **state)
{
    (void)state;
    float out[3];
    mega_dtype_to_f32(MEGA_F32, "\0\0\x80\x3f\1\0\0\0\0\0\xc0\xff", 3, out);
    assert_true(out[0] == 1.0f && out[1] == ldexpf(1, -149) && isnan(out[2]));
    mega_dtype_to_f32(MEGA_F64, "\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\xf0\x7e\0\0\0\0\0\0\xf0\xff", 3,
                      out);
    assert_true(out[0] == 1.0f && out[1] == INFINITY && out[2] == -INFINITY);
    mega_dtype_to_f32(MEGA_I64, "\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\1\0\0\0", 2, out);
    assert_true(out[0] == -1.0f && out[1] == 4294967296.0f);
    mega_dtype_to_f32(MEGA_I32, "\xfe\xff\xff\xff\1\0\1\0", 2, out);
    assert_true(out[0] == -2.0f && out[1] == 65537.0f);
    mega_dtype_to_f32(MEGA_I16, "\xfd\xff\0\x80", 2, out);
    assert_true(out[0] == -3.0f && out[1] == -32768.0f);
    mega_dtype_to_f32(MEGA_I8, "\x80\x7f", 2, out);
    assert_true(out[0] == -128.0f && out[1] == 127.0f);
    mega_dtype_to_f32(MEGA_U8, "\x80\xff", 2, out);
    assert_true(out[0] == 128.0f && out[1] == 255.0f);
    mega_dtype_to_f32(MEGA_BOOL, "\0\1\2", 3, out);
    assert_true(out[0] == 0.0f && out[1] == 1.0f && out[2] == 1.0f);

    float in[2] = {1.5f, -0.0f};
    uint8_t stored[8];
    mega_dtype_from_f32(MEGA_F32, in, 2, stored);
    assert_memory_equal(stored, "\0\0\xc0\x3f\0\0\0\x80", 8);
}

/* Rows end inside a block. Zeros do not change, and neither do values that were 4-bit before. */
static void test_quantized(void **state)
{
    enum { N = 75 };
    const MegaDtype types[] = {MEGA_Q8, MEGA_Q4};
    Random random = {51};
    (void)state;
    for (int round = 0; round < 400; round++) {
        MegaDtype type = types[round % 2];
        float x[N], back[N], size = ldexpf(1, random_int(&random, -60, 60));
        unsigned char blocks[3 * MEGA_Q8_BYTES], again[3 * MEGA_Q8_BYTES];
        for (int i = 0; i < N; i++)
            x[i] = round % 8 < 2 ? 0 : random_uniform(&random, -size, size);
        mega_dtype_from_f32(type, x, N, blocks);
        mega_dtype_to_f32(type, blocks, N, back);
        for (int begin = 0; begin < N; begin += 32) {
            float most = 0;
            for (int i = begin; i < N && i < begin + 32; i++)
                most = fmaxf(most, fabsf(x[i]));
            for (int i = begin; i < N && i < begin + 32; i++)
                assert_true(fabsf(back[i] - x[i]) <= most * (type == MEGA_Q8 ? 1.0f / 252 : 0.13f));
        }
        if (type == MEGA_Q8)
            continue;
        mega_dtype_from_f32(type, back, N, again); /* the largest number is -8 times the scale */
        mega_dtype_to_f32(type, again, N, x);
        assert_memory_equal(x, back, sizeof x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traits),          cmocka_unit_test(test_f16_round_trip),
        cmocka_unit_test(test_bf16_round_trip), cmocka_unit_test(test_f16_rounding),
        cmocka_unit_test(test_bf16_rounding),   cmocka_unit_test(test_small_nan),
        cmocka_unit_test(test_other_types),     cmocka_unit_test(test_quantized),
    };
    return cmocka_run_group_tests_name("dtype", tests, NULL, NULL);
}
