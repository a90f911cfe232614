/*
 * test_image.c - decoding, gray, resizing and cropping (formats/media/image.h), compared with
 * Pillow's results for the files of tests/data/inputs (make.py there), and damaged files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "formats/base/bytes.h"
#include "formats/base/input_stream.h"
#include "formats/media/image.h"
#include "formats/media/npy.h"

#define INPUTS "tests/data/inputs/"

static MegaImage open_image(const char *name)
{
    char path[256];
    MegaImage image;
    MegaError err = {0};
    snprintf(path, sizeof path, INPUTS "%s", name);
    if (mega_image_open(&image, path, NULL, &err))
        fail_msg("%s", err.text);
    return image;
}

/* Expects equality up to `levels` in every channel, and frees both images. */
static void assert_image(MegaImage *image, MegaImage *expected, int levels, const char *name)
{
    assert_int_equal(image->width, expected->width);
    assert_int_equal(image->height, expected->height);
    assert_int_equal(image->channels, expected->channels);
    const size_t size = (size_t)(image->width * image->height * image->channels);
    for (size_t i = 0; i < size; i++)
        if (abs(image->pixels[i] - expected->pixels[i]) > levels)
            fail_msg("%s: byte %zu is %d, expected %d", name, i, image->pixels[i],
                     expected->pixels[i]);
    mega_image_free(image);
    mega_image_free(expected);
}

/* ---- Decoding ------------------------------------------------------------------------------- */

static void test_kinds_of_files(void **state)
{
    static const struct {
        const char *name, *expected;
        int channels; /* channels of the file */
    } cases[] = {
        {"rgba.png", "rgba.rgb.png", 3},
        {"gray-alpha.png", "gray-alpha.rgb.png", 1},
        {"palette.png", "palette.rgb.png", 3},
        {"one-bit.png", "one-bit.rgb.png", 1},
        {"gray-16.png", "gray-16.rgb.png", 1},
        {"one-pixel.png", "one-pixel.rgb.png", 1},
        {"colour.bmp", "colour.rgb.png", 3},
        {"baseline.jpg", "baseline.rgb.png", 3},
        {"progressive.jpg", "progressive.rgb.png", 3},
        {"gray.jpg", "gray.rgb.png", 1},
        {"cmyk.jpg", "cmyk.rgb.png", 3},
        {"ycck.jpg", "ycck.rgb.png", 3},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaImage image = open_image(cases[i].name), expected = open_image(cases[i].expected);
        assert_int_equal(image.channels, cases[i].channels);
        assert_int_equal(mega_image_convert(&image, 3, NULL), 0);
        assert_image(&image, &expected, 0, cases[i].name);
    }
}

/* Files with every PNG row filter, compared with the pixels that the original read from them. */
static void test_row_filters(void **state)
{
    (void)state;
    for (int input = 0; input < 2; input++) {
        char name[256];
        MegaImage image;
        MegaNpy pixels;
        MegaError err = {0};
        snprintf(name, sizeof name, "tests/fixtures/unit_syncbatchnorm_image/in.%d.png", input);
        if (mega_image_open(&image, name, NULL, &err))
            fail_msg("%s", err.text);
        snprintf(name, sizeof name, "tests/fixtures/unit_syncbatchnorm_image/in.%d.pixels.npy",
                 input);
        if (mega_npy_read(&pixels, name, &err))
            fail_msg("%s", err.text);
        assert_int_equal(image.channels, 1);
        assert_int_equal(image.width * image.height, pixels.elements);
        for (size_t i = 0; i < pixels.elements; i++)
            assert_int_equal(image.pixels[i], pixels.i32[i]);
        mega_image_free(&image);
        mega_npy_free(&pixels);
    }
}

/* ---- Operations ----------------------------------------------------------------------------- */

static void test_gray(void **state)
{
    (void)state;
    MegaImage image = open_image("noise.png"), expected = open_image("noise.gray.png");
    assert_int_equal(mega_image_convert(&image, 1, NULL), 0);
    assert_image(&image, &expected, 0, "gray");
    image = open_image("noise.png");
    assert_int_equal(mega_image_convert(&image, 2, NULL), MEGA_ERR_ARGUMENT);
    assert_int_equal(image.channels, 3);
    mega_image_free(&image);
}

static void test_resize(void **state)
{
    static const int sizes[][2] = {{16, 16}, {50, 40}, {37, 5}, {1, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "noise.%dx%d.png", sizes[i][0], sizes[i][1]);
        MegaImage image = open_image("noise.png"), expected = open_image(name);
        assert_int_equal(mega_image_resize(&image, sizes[i][0], sizes[i][1], NULL), 0);
        assert_image(&image, &expected, 1, name);
    }
    MegaImage image = open_image("one-pixel.png");
    assert_int_equal(mega_image_resize(&image, 5, 3, NULL), 0);
    for (int i = 0; i < 15; i++)
        assert_int_equal(image.pixels[i], 77);
    assert_int_equal(mega_image_resize(&image, 0, 3, NULL), MEGA_ERR_INPUT);
    assert_int_equal(mega_image_resize(&image, 65536, 65536, NULL), MEGA_ERR_INPUT);
    assert_int_equal(mega_image_resize(&image, 65537, 1, NULL), MEGA_ERR_INPUT);
    mega_image_free(&image);
}

static void test_crop(void **state)
{
    static const int outside[][4] = {{-1, 0, 5, 5}, {0, 0, 38, 5}, {33, 0, 5, 5},
                                     {0, 19, 5, 5}, {0, 0, 0, 5},  {INT32_MAX, 0, 5, 5}};
    (void)state;
    MegaImage whole = open_image("noise.png"), image = open_image("noise.png");
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
        assert_int_equal(mega_image_crop(&image, outside[i][0], outside[i][1], outside[i][2],
                                         outside[i][3], NULL),
                         MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_image_crop(&image, 32, 18, 5, 5, NULL), 0);
    for (int y = 0; y < 5; y++)
        assert_memory_equal(image.pixels + y * 15, whole.pixels + ((18 + y) * 37 + 32) * 3, 15);
    mega_image_free(&image);
    mega_image_free(&whole);
}

/* ---- Damage --------------------------------------------------------------------------------- */

static MegaBuffer read_file(const char *name)
{
    char path[256];
    MegaBuffer file = {0};
    snprintf(path, sizeof path, INPUTS "%s", name);
    assert_int_equal(mega_source_read(&file, path, "an image", MEGA_IMAGE_MAX_FILE, NULL), 0);
    return file;
}

/* Decodes a copy of exactly that size, so that a sanitizer sees a read past the end. */
static int decode_image(MegaImage *out, const uint8_t *bytes, size_t size, MegaError *err)
{
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    int code = mega_image_decode(out, copy, size, "a.png", NULL, err);
    free(copy);
    return code;
}

static int decode_copy(const uint8_t *bytes, size_t size, MegaError *err)
{
    MegaImage image;
    int code = decode_image(&image, bytes, size, err);
    mega_image_free(&image);
    return code;
}

/* A file is complete if it lacks only the end marker of JPEG, or the padding of the last row of
 * BMP. If it lacks more, it is truncated. */
static void test_truncated_anywhere(void **state)
{
    static const struct {
        const char *name;
        size_t spare; /* bytes at the end that may be missing */
    } cases[] = {
        {"rgba.png", 0},        {"palette.png", 0},  {"gray-16.png", 0}, {"gray.jpg", 2},
        {"progressive.jpg", 2}, {"baseline.jpg", 2}, {"cmyk.jpg", 2},    {"colour.bmp", 1},
    };
    (void)state;
    for (size_t n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        const char *name = cases[n].name;
        MegaBuffer file = read_file(name);
        for (size_t cut = 0; cut + cases[n].spare < file.size; cut++) {
            MegaError err = {0};
            if (!decode_copy(file.data, cut, &err))
                fail_msg("%s: %zu of %zu bytes passed for whole", name, cut, file.size);
            assert_non_null(strstr(err.text, "a.png"));
        }
        for (size_t cut = file.size - cases[n].spare; cut <= file.size; cut++) {
            MegaImage image, expected = open_image(name);
            MegaError err = {0};
            if (decode_image(&image, file.data, cut, &err))
                fail_msg("%s: %zu of %zu bytes: %s", name, cut, file.size, err.text);
            assert_image(&image, &expected, 0, name);
        }
        mega_buffer_free(&file);
    }
}

/* A changed bit in a PNG file is always noticed; in other files it must do no harm. */
static void test_flipped_bits(void **state)
{
    static const char *const names[] = {"palette.png", "gray.jpg", "progressive.jpg", "colour.bmp"};
    (void)state;
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        MegaBuffer file = read_file(names[n]);
        for (size_t at = 0; at < file.size; at++) {
            const uint8_t mask = (uint8_t)(1u << (at * 5 % 8));
            file.data[at] ^= mask;
            const int code = decode_copy(file.data, file.size, NULL);
            if (n == 0 && !code)
                fail_msg("%s: a changed bit at byte %zu was not noticed", names[n], at);
            file.data[at] ^= mask;
        }
        mega_buffer_free(&file);
    }
}

/* The PNG file declares a size but holds almost no data. */
static void test_declared_sizes(void **state)
{
    static const struct {
        uint32_t width, height;
        const char *says;
    } cases[] = {
        {20000, 20000, "limits are"},           {65537, 1, "limits are"},
        {5000, 5000, "bytes can hold"},         {0, 5, "header"},
        {0x7fffffff, 0x7fffffff, "limits are"}, {0x80000000, 5, "header"},
        {0xffffffff, 0xffffffff, "header"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaBuffer file = read_file("one-pixel.png");
        MegaError err = {0};
        for (int b = 0; b < 4; b++) { /* IHDR: big-endian, from byte 16 on */
            file.data[16 + b] = (uint8_t)(cases[i].width >> (24 - 8 * b));
            file.data[20 + b] = (uint8_t)(cases[i].height >> (24 - 8 * b));
        }
        const uint32_t sum = (uint32_t)crc32(0, file.data + 12, 17);
        for (int b = 0; b < 4; b++)
            file.data[29 + b] = (uint8_t)(sum >> (24 - 8 * b));
        assert_int_not_equal(decode_copy(file.data, file.size, &err), 0);
        if (!strstr(err.text, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].says);
        mega_buffer_free(&file);
    }
}

/* A Huffman table with 320 codes, where 256 are allowed, comes before an otherwise good file. */
static void test_too_many_huffman_codes(void **state)
{
    (void)state;
    MegaBuffer file = read_file("gray.jpg"), out = {0};
    MegaError err = {0};
    mega_put_bytes(&out, "\xff\xd8\xff\xc4\x01\x53", 6); /* length 2 + 1 + 16 + 320 */
    mega_put_u8(&out, 0x13);
    for (int i = 0; i < 16 + 320; i++)
        mega_put_u8(&out, 20);
    mega_put_bytes(&out, file.data + 2, file.size - 2);
    assert_int_equal(decode_copy(out.data, out.size, &err), MEGA_ERR_FORMAT);
    assert_non_null(strstr(err.text, "Huffman table"));
    mega_buffer_free(&file);
    mega_buffer_free(&out);
}

static void test_wrong_files(void **state)
{
    MegaImage image;
    MegaError err = {0};
    (void)state;
    assert_int_equal(mega_image_open(&image, INPUTS "make.py", NULL, &err), MEGA_ERR_INPUT);
    assert_non_null(strstr(err.text, "make.py is a text file; expected PNG"));
    assert_int_equal(mega_image_open(&image, INPUTS, NULL, &err), MEGA_ERR_IO);
    assert_int_equal(mega_image_open(&image, INPUTS "none.png", NULL, &err), MEGA_ERR_IO);
    assert_null(image.pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds_of_files),
        cmocka_unit_test(test_row_filters),
        cmocka_unit_test(test_gray),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_crop),
        cmocka_unit_test(test_truncated_anywhere),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_declared_sizes),
        cmocka_unit_test(test_too_many_huffman_codes),
        cmocka_unit_test(test_wrong_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
