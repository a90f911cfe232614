/*
 * test_npy.c - NumPy arrays (formats/media/npy.h): every type, both orders, and false headers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "formats/base/bytes.h"
#include "formats/media/npy.h"

/* Builds a file of this header, padded as NumPy does it, and data. */
static MegaBuffer build(int major, const char *header, const void *data, size_t size)
{
    MegaBuffer out = {0};
    size_t before = major == 1 ? 10 : 12, length = strlen(header) + 1;
    while ((before + length) % 64)
        length++;
    mega_put_bytes(&out, "\x93NUMPY", 6);
    mega_put_u8(&out, (uint8_t)major);
    mega_put_u8(&out, 0);
    if (major == 1)
        mega_put_u16(&out, (uint16_t)length);
    else
        mega_put_u32(&out, (uint32_t)length);
    mega_put_bytes(&out, header, strlen(header));
    for (size_t i = strlen(header); i + 1 < length; i++)
        mega_put_u8(&out, ' ');
    mega_put_u8(&out, '\n');
    mega_put_bytes(&out, data, size);
    return out;
}

/* Parses a copy of exactly that size. */
static int parse(MegaNpy *array, const void *bytes, size_t size, MegaError *err)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (size)
        memcpy(copy, bytes, size);
    int code = mega_npy_parse(array, copy, size, "test.npy", err);
    free(copy);
    return code;
}

#define HEADER(type, order, shape)                                                                 \
    "{'descr': '" type "', 'fortran_order': " order ", 'shape': " shape ", }"

static void expect_error(const char *header, size_t size, int code, const char *message)
{
    uint8_t data[64] = {0};
    MegaBuffer bytes = build(1, header, data, size);
    MegaNpy array;
    MegaError err = {0};
    int got = parse(&array, bytes.data, bytes.size, &err);
    if (got != code || !strstr(err.text, message) || !strstr(err.text, "test.npy"))
        fail_msg("%d '%s', expected %d '%s'", got, err.text, code, message);
    assert_null(array.f32);
    assert_null(array.i32);
    mega_buffer_free(&bytes);
}

static MegaNpy read_good(const char *header, const void *data, size_t size)
{
    MegaBuffer bytes = build(1, header, data, size);
    MegaNpy array;
    MegaError err = {0};
    if (parse(&array, bytes.data, bytes.size, &err) != 0)
        fail_msg("%s", err.text);
    mega_buffer_free(&bytes);
    return array;
}

static void test_types(void **state)
{
    (void)state;
    static const struct {
        const char *type, *data;
        size_t size;
        float real;
        int32_t integer;
    } cases[] = {
        {"<f2", "\x00\xc1", 2, -2.5f, 0},
        {">f2", "\xc1\x00", 2, -2.5f, 0},
        {"<f4", "\x00\x00\x20\xc0", 4, -2.5f, 0},
        {"=f4", "\x00\x00\x20\xc0", 4, -2.5f, 0},
        {">f4", "\xc0\x20\x00\x00", 4, -2.5f, 0},
        {"<f8", "\0\0\0\0\0\0\x04\xc0", 8, -2.5f, 0},
        {">f8", "\xc0\x04\0\0\0\0\0\0", 8, -2.5f, 0},
        {"|i1", "\xfe", 1, 0, -2},
        {"<i1", "\xfe", 1, 0, -2},
        {"|u1", "\xfe", 1, 0, 254},
        {"|b1", "\1", 1, 0, 1},
        {"<i2", "\xfe\xff", 2, 0, -2},
        {">i2", "\xff\xfe", 2, 0, -2},
        {"<u2", "\xfe\xff", 2, 0, 65534},
        {"<i4", "\0\0\0\x80", 4, 0, INT32_MIN},
        {">i4", "\x80\0\0\0", 4, 0, INT32_MIN},
        {"<u4", "\xff\xff\xff\x7f", 4, 0, INT32_MAX},
        {"<i8", "\0\0\0\x80\xff\xff\xff\xff", 8, 0, INT32_MIN},
        {">i8", "\xff\xff\xff\xff\x80\0\0\0", 8, 0, INT32_MIN},
        {"<u8", "\xff\xff\xff\x7f\0\0\0\0", 8, 0, INT32_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char header[128];
        snprintf(header, sizeof header, HEADER("%s", "False", "(1,)"), cases[i].type);
        MegaNpy array = read_good(header, cases[i].data, cases[i].size);
        assert_int_equal(array.rank, 1);
        assert_int_equal(array.elements, 1);
        if (cases[i].type[1] == 'f')
            assert_true(array.type == MEGA_NPY_F32 && array.f32[0] == cases[i].real);
        else
            assert_true(array.type == MEGA_NPY_I32 && array.i32[0] == cases[i].integer);
        mega_npy_free(&array);
    }
}

static void test_shapes(void **state)
{
    (void)state;
    static const uint8_t ramp[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    /* In Fortran order, element [i][j][k] is at i + 2 j + 6 k. */
    static const int32_t fortran[] = {0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11};
    MegaNpy array = read_good(HEADER("|u1", "True", "(2, 3, 2)"), ramp, 12);
    assert_int_equal(array.rank, 3);
    assert_memory_equal(array.i32, fortran, sizeof fortran);
    mega_npy_free(&array);
    array = read_good(HEADER("|u1", "False", "(2, 3, 2)"), ramp, 12);
    for (int i = 0; i < 12; i++)
        assert_int_equal(array.i32[i], i);
    mega_npy_free(&array);
    array = read_good(HEADER("|u1", "True", "()"), ramp + 7, 1);
    assert_int_equal(array.rank, 0);
    assert_int_equal(array.i32[0], 7);
    mega_npy_free(&array);
    /* Other keys come first, the quotes differ, and the last comma is missing. */
    array = read_good("{\"shape\":(1,12),\"fortran_order\":False,\"descr\":\"|u1\"}", ramp, 12);
    assert_int_equal(array.shape[1], 12);
    mega_npy_free(&array);
    /* Python 2 writes headers like this. */
    array = read_good("{u'descr': u'|u1', u'fortran_order': False, u'shape': (2L, 6L), }", ramp,
                      12);
    assert_int_equal(array.shape[1], 6);
    mega_npy_free(&array);
    array = read_good(HEADER("|u1", "False", "(12L,)"), ramp, 12);
    assert_int_equal(array.shape[0], 12);
    mega_npy_free(&array);
    for (int major = 2; major <= 3; major++) {
        MegaBuffer bytes = build(major, HEADER("|u1", "False", "(12,)"), ramp, 12);
        assert_int_equal(parse(&array, bytes.data, bytes.size, NULL), 0);
        mega_npy_free(&array);
        mega_buffer_free(&bytes);
    }
    mega_npy_free(NULL);
}

static void expect_integer_error(const char *type, const char *data, const char *message)
{
    char header[128];
    snprintf(header, sizeof header, HEADER("%s", "False", "()"), type);
    MegaBuffer bytes = build(1, header, data, (size_t)(type[2] - '0'));
    MegaNpy array;
    MegaError err = {0};
    assert_int_equal(parse(&array, bytes.data, bytes.size, &err), MEGA_ERR_FORMAT);
    assert_non_null(strstr(err.text, message));
    mega_buffer_free(&bytes);
}

static void test_integers_that_do_not_fit(void **state)
{
    (void)state;
    expect_integer_error("<u4", "\0\0\0\x80", "is 2147483648, which does not fit");
    expect_integer_error("<i8", "\0\0\0\x80\0\0\0\0", "is 2147483648, which does not fit");
    expect_integer_error("<i8", "\xff\xff\xff\x7f\xff\xff\xff\xff", "is -2147483649");
    expect_integer_error("<u8", "\xff\xff\xff\xff\xff\xff\xff\xff", "is 18446744073709551615");
}

static void test_headers(void **state)
{
    (void)state;
    const int bad = MEGA_ERR_FORMAT, unsupported = MEGA_ERR_UNSUPPORTED;
    expect_error(HEADER("<c8", "False", "(1,)"), 8, unsupported, "type '<c8'");
    expect_error(HEADER("|O", "False", "(1,)"), 8, unsupported, "type '|O'");
    expect_error(HEADER("<f3", "False", "(1,)"), 3, unsupported, "type '<f3'");
    expect_error(HEADER("|f4", "False", "(1,)"), 4, bad, "its byte order");
    expect_error("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4,
                 unsupported, "records");
    expect_error(HEADER("<f4", "false", "(1,)"), 4, bad, "neither True nor False");
    expect_error(HEADER("<f4", "False", "(1)"), 4, bad, "not a tuple");
    expect_error(HEADER("<f4", "False", "1"), 4, bad, "not a tuple");
    expect_error(HEADER("<f4", "False", "(-1,)"), 4, bad, "not a tuple");
    expect_error(HEADER("<f4", "False", "(1 1)"), 4, bad, "not a tuple");
    expect_error(HEADER("<f4", "False", "(1LL,)"), 4, bad, "not a tuple");
    expect_error(HEADER("<f4", "False", "(L,)"), 4, bad, "not a tuple");
    expect_error(HEADER("<f4", "False", "(0L,)"), 0, bad, "is zero");
    expect_error(HEADER("<f4", "False", "(0,)"), 0, bad, "is zero");
    expect_error(HEADER("<f4", "False", "(99999999999999999999,)"), 4, bad, "overflows");
    expect_error(HEADER("<f4", "False", "(4294967296, 4294967296)"), 4, bad, "overflows");
    expect_error(HEADER("<f4", "False", "(4611686018427387904,)"), 4, bad, "overflows");
    expect_error(HEADER("<f4", "False", "(1, 1, 1, 1, 1, 1, 1, 1, 1)"), 4, MEGA_ERR_LIMIT,
                 "more than 8 dimensions");
    expect_error(HEADER("<f4", "False", "(2,)"), 7, bad,
                 "7 bytes of data, but shape and type ask "
                 "for 8; the file is truncated");
    expect_error(HEADER("<f4", "False", "(2,)"), 9, bad, "9 bytes of data");
    expect_error(HEADER("<f4", "False", "(1000000000000,)"), 8, bad, "truncated");
    expect_error("{'descr': '<f4', 'shape': (1,), }", 4, bad, "lacks the key 'fortran_order'");
    expect_error("{'descr': '<f4', 'descr': '<f4', }", 4, bad, "twice the key 'descr'");
    expect_error("{'a': 1}", 4, bad, "an unknown key 'a'");
    expect_error(HEADER("<f4", "False", "(1,)") " x", 4, bad, "something follows");
    expect_error("", 4, bad, "not a dictionary");
    expect_error("{", 4, bad, "not a dictionary");
    expect_error("{'descr", 4, bad, "not a dictionary");
}

static void test_damage(void **state)
{
    (void)state;
    MegaBuffer bytes = build(1, HEADER("<f4", "False", "(2,)"), "\0\0\0\0\0\0\0\0", 8);
    for (size_t size = 0; size < bytes.size; size++) {
        MegaNpy array;
        MegaError err = {0};
        assert_true(parse(&array, bytes.data, size, &err) < 0);
        assert_true(err.text[0]);
    }
    for (size_t i = 0; i < bytes.size; i++)
        for (int value = 0; value < 256; value++) {
            MegaNpy array;
            uint8_t kept = bytes.data[i];
            bytes.data[i] = (uint8_t)value;
            int code = parse(&array, bytes.data, bytes.size, NULL);
            assert_true(i >= 6 || code < 0 || value == kept); /* the magic */
            mega_npy_free(&array);
            bytes.data[i] = kept;
        }
    mega_buffer_free(&bytes);
}

static void test_write(void **state)
{
    (void)state;
    static const uint64_t shapes[][3] = {{5000, 0, 0}, {50, 100, 0}, {2, 50, 50}};
    char path[] = "/tmp/mega-test-XXXXXX";
    float *data = malloc(5000 * sizeof *data);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    for (int i = 0; i < 5000; i++)
        data[i] = (float)i * 0.25f - 100.0f;
    for (int rank = 0; rank <= 3; rank++) {
        MegaNpy array;
        MegaError err = {0};
        assert_int_equal(mega_npy_write(path, data, rank, shapes[rank ? rank - 1 : 0], &err), 0);
        assert_int_equal(mega_npy_read(&array, path, &err), 0);
        assert_int_equal(array.rank, rank);
        assert_int_equal(array.elements, rank ? 5000 : 1);
        assert_memory_equal(array.f32, data, (size_t)array.elements * sizeof *data);
        mega_npy_free(&array);
    }
    FILE *file = fopen(path, "rb");
    uint8_t start[10];
    assert_int_equal(fread(start, 1, 10, file), 10);
    fclose(file);
    assert_memory_equal(start, "\x93NUMPY\1\0", 8);
    assert_int_equal((10 + mega_load_u16(start + 8)) % 64, 0);
    assert_int_equal(mega_npy_write(path, data, 9, shapes[0], NULL), MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_npy_write("/no/such/folder/x", data, 0, NULL, NULL), MEGA_ERR_IO);
    MegaNpy array;
    MegaError err = {0};
    assert_int_equal(mega_npy_read(&array, "tests/no-such-file", &err), MEGA_ERR_IO);
    assert_int_equal(mega_npy_read(&array, "tests/unit/formats/test_npy.c", &err), MEGA_ERR_FORMAT);
    assert_non_null(strstr(err.text, "expected a NumPy array"));
    unlink(path);
    free(data);
}

/* Writes an array in some pieces and reads it in others. */
static void test_pieces(void **state)
{
    enum { COUNT = 20000 };
    static const uint64_t shape[] = {200, 100};
    char path[] = "/tmp/mega-test-XXXXXX";
    float *data = malloc(COUNT * sizeof *data), *read = malloc(COUNT * sizeof *read);
    MegaNpyOutput *output;
    MegaNpyInput *input;
    MegaNpy header;
    MegaError err = {0};
    (void)state;
    close(mkstemp(path));
    for (int i = 0; i < COUNT; i++)
        data[i] = (float)i * 0.25f - 100.0f;
    assert_int_equal(mega_npy_create(&output, path, 2, shape, &err), 0);
    for (size_t done = 0, step = 1; done < COUNT; done += step, step = 2 * step + 1) {
        step = COUNT - done < step ? COUNT - done : step;
        assert_int_equal(mega_npy_append(output, data + done, step, &err), 0);
        if (done + step < COUNT)
            assert_int_equal(mega_npy_commit(output, NULL), MEGA_ERR_ARGUMENT);
    }
    assert_int_equal(mega_npy_append(output, data, 1, NULL), MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_npy_commit(output, &err), 0);
    mega_npy_discard(output);
    for (size_t step = 1; step <= COUNT; step = step * 7 + 3) {
        assert_int_equal(mega_npy_open(&input, &header, path, &err), 0);
        assert_int_equal(header.rank, 2);
        assert_int_equal(header.elements, COUNT);
        memset(read, 0, COUNT * sizeof *read);
        for (size_t done = 0, now; done < COUNT; done += now) {
            now = COUNT - done < step ? COUNT - done : step;
            assert_int_equal(mega_npy_next(input, read + done, now, &err), 0);
        }
        assert_memory_equal(read, data, COUNT * sizeof *read);
        mega_npy_close(input);
    }
    truncate(path, 4 * COUNT);
    assert_int_equal(mega_npy_open(&input, &header, path, &err), 0);
    assert_int_equal(mega_npy_next(input, read, COUNT, &err), MEGA_ERR_FORMAT);
    assert_non_null(strstr(err.text, "truncated"));
    mega_npy_close(input);
    assert_int_equal(mega_npy_open(&input, &header, "tests/no-such-file", &err), MEGA_ERR_IO);
    assert_int_equal(mega_npy_open(&input, &header, "tests/unit/formats/test_npy.c", &err),
                     MEGA_ERR_FORMAT);
    mega_npy_close(NULL);
    mega_npy_discard(NULL);
    unlink(path);
    free(data);
    free(read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),   cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_headers), cmocka_unit_test(test_integers_that_do_not_fit),
        cmocka_unit_test(test_damage),  cmocka_unit_test(test_write),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
