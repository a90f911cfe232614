/*
 * test_png_files.c - PNG files of all kinds (formats/media/image_png.c), made here chunk by chunk:
 * passes, transparency in every form, 16 bits, and files that are refused.
 */
#include "tests/unit/pictures.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

typedef struct Picture {
    uint8_t side, depth, colour, compression, filter, interlaced;
    const char *before; /* the chunk before the pixels, or NULL */
    const void *data;   /* its data */
    size_t size;
    const uint8_t *rows; /* filter types and samples */
    size_t row_size;     /* bytes of all rows */
} Picture;

static MegaBuffer png_of(const Picture *picture)
{
    MegaBuffer out = {0};
    const uint8_t head[13] = {0,
                              0,
                              0,
                              picture->side,
                              0,
                              0,
                              0,
                              picture->side,
                              picture->depth,
                              picture->colour,
                              picture->compression,
                              picture->filter,
                              picture->interlaced};
    uint8_t packed[1024];
    uLongf size = sizeof packed;
    assert_int_equal(compress(packed, &size, picture->rows, picture->row_size), Z_OK);
    mega_put_bytes(&out, PNG_SIGNATURE, 8);
    put_chunk(&out, "IHDR", head, sizeof head);
    if (picture->before)
        put_chunk(&out, picture->before, picture->data, picture->size);
    put_chunk(&out, "IDAT", packed, size / 2); /* in two pieces */
    put_chunk(&out, "IDAT", packed + size / 2, size - size / 2);
    put_chunk(&out, "IEND", "", 0);
    return out;
}

/* Compares the pixels and frees the file. */
static void assert_pixels(MegaBuffer file, int side, int channels, const uint8_t *expected)
{
    MegaImage image;
    MegaError err = {0};
    if (mega_image_decode(&image, file.data, file.size, "a.png", NULL, &err))
        fail_msg("%s", err.text);
    assert_int_equal(image.width, side);
    assert_int_equal(image.height, side);
    assert_int_equal(image.channels, channels);
    assert_memory_equal(image.pixels, expected, (size_t)(side * side * channels));
    mega_image_free(&image);
    mega_buffer_free(&file);
}

static void assert_refused(MegaBuffer file, const char *says)
{
    MegaImage image;
    MegaError err = {0};
    assert_int_equal(mega_image_decode(&image, file.data, file.size, "a.png", NULL, &err),
                     MEGA_ERR_FORMAT);
    if (!strstr(err.text, says))
        fail_msg("\"%s\" does not say \"%s\"", err.text, says);
    assert_null(image.pixels);
    mega_buffer_free(&file);
}

/* The seven passes of 3 x 3 pixels: one pixel, two empty passes, then columns 0 and 2 and so on. */
static void test_passes(void **state)
{
    static const uint8_t rows[] = {0, 10,          /* pass 1: (0, 0) */
                                   0, 12,          /* pass 4: (2, 0) */
                                   0, 30, 32,      /* pass 5: row 2, columns 0 and 2 */
                                   0, 11, 0,  31,  /* pass 6: column 1 of rows 0 and 2 */
                                   0, 20, 21, 22}; /* pass 7: row 1 */
    static const uint8_t expected[] = {10, 11, 12, 20, 21, 22, 30, 31, 32};
    (void)state;
    const Picture picture = {
        .side = 3, .depth = 8, .interlaced = 1, .rows = rows, .row_size = sizeof rows};
    assert_pixels(png_of(&picture), 3, 1, expected);
}

/* A transparent colour, the opacity of each colour of a palette, and 16 bits with opacity are all
 * blended with white. */
static void test_transparency(void **state)
{
    static const uint8_t gray[] = {0, 5, 6, 0, 7, 5}, gray_expected[] = {255, 6, 7, 255};
    static const uint8_t rgb[] = {0, 1, 2, 3, 4, 5, 6, 0, 4, 5, 6, 1, 2, 3};
    static const uint8_t rgb_expected[] = {255, 255, 255, 4, 5, 6, 4, 5, 6, 255, 255, 255};
    static const uint8_t wide[] = {0, 100, 9, 255, 255, 100, 9, 0,   0,
                                   0, 100, 9, 51,  0,   0,   0, 255, 0};
    static const uint8_t wide_expected[] = {100, 255, 224, 0};
    (void)state;
    const Picture key = {.side = 2,
                         .depth = 8,
                         .before = "tRNS",
                         .data = "\0\5",
                         .size = 2,
                         .rows = gray,
                         .row_size = sizeof gray};
    assert_pixels(png_of(&key), 2, 1, gray_expected);
    const Picture colour = {.side = 2,
                            .depth = 8,
                            .colour = 2,
                            .before = "tRNS",
                            .data = "\0\1\0\2\0\3",
                            .size = 6,
                            .rows = rgb,
                            .row_size = sizeof rgb};
    assert_pixels(png_of(&colour), 2, 3, rgb_expected);
    const Picture opacity = {
        .side = 2, .depth = 16, .colour = 4, .rows = wide, .row_size = sizeof wide};
    assert_pixels(png_of(&opacity), 2, 1, wide_expected);
    /* Opacity without a meaning is ignored. */
    const Picture wrong = {.side = 2,
                           .depth = 8,
                           .before = "tRNS",
                           .data = "\0\5\0",
                           .size = 3,
                           .rows = gray,
                           .row_size = sizeof gray};
    static const uint8_t as_stored[] = {5, 6, 7, 5};
    assert_pixels(png_of(&wrong), 2, 1, as_stored);
}

/* There are 2 bits, and the palette ends before a colour that is used, which becomes black. */
static void test_palette_with_opacity(void **state)
{
    static const uint8_t head[13] = {0, 0, 0, 2, 0, 0, 0, 2, 2, 3, 0, 0, 0};
    static const uint8_t colours[] = {10, 20, 30, 40, 50, 60, 70, 80, 90};
    static const uint8_t rows[] = {0, 0x10, 0, 0xb0}; /* 0, 1; 2, 3 */
    static const uint8_t expected[] = {255, 255, 255, 40, 50, 60, 70, 80, 90, 0, 0, 0};
    (void)state;
    MegaBuffer out = {0};
    uint8_t packed[64];
    uLongf size = sizeof packed;
    assert_int_equal(compress(packed, &size, rows, sizeof rows), Z_OK);
    mega_put_bytes(&out, PNG_SIGNATURE, 8);
    put_chunk(&out, "IHDR", head, sizeof head);
    put_chunk(&out, "PLTE", colours, sizeof colours);
    put_chunk(&out, "tRNS", "\0\xff", 2);
    put_chunk(&out, "IDAT", packed, size);
    put_chunk(&out, "IEND", "", 0);
    assert_pixels(out, 2, 3, expected);
}

/* What a chunk says turns the picture to the right, if anything does. */
static void assert_turned(const char *type, const void *data, size_t size, bool turned)
{
    static const uint8_t rows[] = {0, 1, 2, 0, 3, 4}, right[] = {3, 1, 4, 2}, same[] = {1, 2, 3, 4};
    const Picture picture = {.side = 2,
                             .depth = 8,
                             .before = type,
                             .data = data,
                             .size = size,
                             .rows = rows,
                             .row_size = sizeof rows};
    assert_pixels(png_of(&picture), 2, 1, turned ? right : same);
}

/* Appends a text as zlib compresses it. */
static void put_packed(MegaBuffer *out, const void *text, size_t size)
{
    uint8_t packed[512];
    uLongf length = sizeof packed;
    assert_int_equal(compress(packed, &length, text, size), Z_OK);
    mega_put_bytes(out, packed, length);
}

static void test_orientation_in_xmp(void **state)
{
    static const char text[] = "XML:com.adobe.xmp\0\0\0\0\0<a tiff:Orientation=\"6\"/>";
    static const char packet[] = "<a tiff:Orientation=\"6\"/>";
    MegaBuffer packed = {0};
    (void)state;
    assert_turned("iTXt", text, sizeof text - 1, true);
    assert_turned("tEXt", "XML:com.adobe.xmp\0<tiff:Orientation>6<", 38, true);
    assert_turned("iTXt", "XML:com.adobe.xmp\0\0\0de", 22, false);
    mega_put_bytes(&packed, "XML:com.adobe.xmp\0\1\0de\0\0", 24);
    put_packed(&packed, packet, sizeof packet - 1);
    assert_turned("iTXt", packed.data, packed.size, true);
    assert_turned("iTXt", packed.data, 26, false);
    mega_buffer_free(&packed);
}

static void test_orientation_in_exif(void **state)
{
    static const char tiff[] = "Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0";
    static const char profile[] = "\nexif\n      32\n4578696600004D4D002A00000008000101120003\n"
                                  "00000001000600000000000\n";
    static const char *const keywords[] = {"Raw profile type exif", "Raw profile type APP1"};
    (void)state;
    assert_turned("eXIf", tiff, sizeof tiff - 1, true);
    assert_turned("eXIf", tiff + 6, sizeof tiff - 7, true);
    assert_turned("eXIf", tiff, 6, false);
    for (int i = 0; i < 2; i++) {
        MegaBuffer plain = {0}, packed = {0};
        mega_put_bytes(&plain, keywords[i], 22);
        mega_put_bytes(&packed, keywords[i], 22);
        mega_put_u8(&packed, 0);
        mega_put_bytes(&plain, profile, sizeof profile - 1);
        put_packed(&packed, profile, sizeof profile - 1);
        assert_turned("tEXt", plain.data, plain.size, true);
        assert_turned("zTXt", packed.data, packed.size, true);
        assert_turned("zTXt", packed.data, 22, false);
        assert_turned("zTXt", plain.data, plain.size, false);
        assert_turned("tEXt", plain.data, 21, false); /* the keyword has no end */
        assert_turned("tEXt", plain.data, 40, false);
        mega_buffer_free(&plain);
        mega_buffer_free(&packed);
    }
}

static void test_refused(void **state)
{
    static const uint8_t rows[] = {0, 1, 2, 0, 3, 4}, no_filter[] = {0, 1, 2, 9, 3, 4};
    static const struct {
        Picture picture;
        const char *says;
    } cases[] = {
        {{.depth = 8, .colour = 1}, "colours of type 1"},
        {{.depth = 8, .colour = 7}, "colours of type 7"},
        {{.depth = 3}, "with 3 bits"},
        {{.depth = 4, .colour = 2}, "with 4 bits"},
        {{.depth = 8, .compression = 1}, "compression 1"},
        {{.depth = 8, .filter = 1}, "filter 1"},
        {{.depth = 8, .interlaced = 2}, "interlacing 2"},
        {{.depth = 8, .colour = 3}, "no palette"},
        {{.depth = 8, .before = "IHDR", .data = "", .size = 0}, "no usable image header"},
        {{.depth = 8, .before = "ABCD", .data = "", .size = 0}, "'ABCD' is unknown"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Picture picture = cases[i].picture;
        picture.side = 2;
        picture.rows = rows;
        picture.row_size = sizeof rows;
        assert_refused(png_of(&picture), cases[i].says);
    }
    Picture picture = {.side = 2, .depth = 8, .rows = no_filter, .row_size = sizeof no_filter};
    assert_refused(png_of(&picture), "cannot be decoded");

    MegaBuffer out = {0};
    mega_put_bytes(&out, PNG_SIGNATURE, 8);
    put_chunk(&out, "IDAT", "abc", 3);
    put_chunk(&out, "IEND", "", 0);
    assert_refused(out, "another chunk stands first");
    out = (MegaBuffer){0};
    mega_put_bytes(&out, PNG_SIGNATURE, 8);
    put_chunk(&out, "IHDR", "\0\0\0\2\0\0\0\2\x08\0\0\0\0", 13);
    put_chunk(&out, "IEND", "", 0);
    assert_refused(out, "no pixels");
    out = (MegaBuffer){0};
    mega_put_bytes(&out, "\x89PNG\r", 5);
    assert_refused(out, "ends in its signature");
    out = (MegaBuffer){0};
    mega_put_bytes(&out, PNG_SIGNATURE, 8);
    put_chunk(&out, "IHDR", "\0\0\0\2\0\0\0\2\x08\0\0\0\0", 13);
    put_chunk(&out, "IDAT", "\x78\x9c no deflate", 13);
    put_chunk(&out, "IEND", "", 0);
    assert_refused(out, "do not inflate");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes),
        cmocka_unit_test(test_transparency),
        cmocka_unit_test(test_palette_with_opacity),
        cmocka_unit_test(test_orientation_in_xmp),
        cmocka_unit_test(test_orientation_in_exif),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
