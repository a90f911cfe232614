/*
 * test_image_files.c - pictures from other programs (formats/image_*.c): bitmaps of every kind,
 * made here byte by byte; JPEG and PNG files of tests/data/inputs with some bytes changed.
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
#include "tests/unit/pictures.h"

#define INPUTS "tests/data/inputs/"

static MegaBuffer read_file(const char *name)
{
    char path[256];
    MegaBuffer file = {0};
    snprintf(path, sizeof path, INPUTS "%s", name);
    assert_int_equal(mega_source_read(&file, path, "an image", MEGA_IMAGE_MAX_FILE, NULL), 0);
    return file;
}

/* Decodes a copy of exactly that size, so that a sanitizer sees a read past the end. */
static int decode(MegaImage *out, const MegaBuffer *file, const MegaImageOptions *options,
                  MegaError *err)
{
    uint8_t *copy = malloc(file->size);
    assert_non_null(copy);
    memcpy(copy, file->data, file->size);
    int code = mega_image_decode(out, copy, file->size, "picture", options, err);
    free(copy);
    return code;
}

static void assert_same(const char *name, const MegaImage *image, const MegaImage *expected)
{
    const size_t size = (size_t)(expected->width * expected->height * expected->channels);
    if (image->width != expected->width || image->height != expected->height ||
        image->channels != expected->channels)
        fail_msg("%s: %d x %d of %d, expected %d x %d of %d", name, image->width, image->height,
                 image->channels, expected->width, expected->height, expected->channels);
    for (size_t i = 0; i < size; i++)
        if (image->pixels[i] != expected->pixels[i])
            fail_msg("%s: byte %zu is %d, expected %d", name, i, image->pixels[i],
                     expected->pixels[i]);
}

/* Compares the pixels and frees the file. */
static void assert_pixels(const char *name, MegaBuffer file, const MegaImage *expected)
{
    MegaImage image;
    MegaError err = {0};
    if (decode(&image, &file, NULL, &err))
        fail_msg("%s: %s", name, err.text);
    assert_same(name, &image, expected);
    mega_image_free(&image);
    mega_buffer_free(&file);
}

static void assert_refused(const char *name, MegaBuffer file, int code, const char *says)
{
    MegaImage image;
    MegaError err = {0};
    const int found = decode(&image, &file, NULL, &err);
    if (found != code || !strstr(err.text, says))
        fail_msg("%s: %d, \"%s\" does not say \"%s\"", name, found, err.text, says);
    assert_null(image.pixels);
    mega_buffer_free(&file);
}

static void append(MegaBuffer *file, size_t count, int byte)
{
    for (size_t i = 0; i < count; i++)
        mega_put_u8(file, (uint8_t)byte);
}

/* ---- Bitmaps -------------------------------------------------------------------------------- */

#define WIDTH 5
#define HEIGHT 3

typedef struct Header {
    int width, height; /* 0: the size of the pixels */
    uint32_t size;     /* the file size that the header claims */
    uint32_t header;   /* size of the header; 0: 40 */
    uint32_t bits, compression, used;
    uint32_t masks[4];
    size_t gap;              /* bytes before the pixels */
    uint32_t first;          /* the position of the pixels in the header; 0: the right one */
    const uint32_t *colours; /* the palette, 0xrrggbb */
    size_t colour_count;
} Header;

/* The caller appends the bytes of the pixels. */
static MegaBuffer begin_bitmap(const Header *head)
{
    MegaBuffer file = {0};
    const uint32_t header = head->header ? head->header : 40;
    const bool masks = head->compression == 3 || head->compression == 6;
    mega_put_bytes(&file, "BM", 2);
    mega_put_u32(&file, head->size);
    mega_put_u32(&file, 0);
    mega_put_u32(&file, 0);
    mega_put_u32(&file, header);
    if (header == 12) {
        mega_put_u16(&file, WIDTH);
        mega_put_u16(&file, HEIGHT);
    } else {
        mega_put_u32(&file, (uint32_t)(head->width ? head->width : WIDTH));
        mega_put_u32(&file, (uint32_t)(head->height ? head->height : HEIGHT));
    }
    mega_put_u16(&file, 1);
    mega_put_u16(&file, (uint16_t)head->bits);
    if (header >= 40) {
        mega_put_u32(&file, head->compression);
        append(&file, 12, 0x55);
        mega_put_u32(&file, head->used);
        mega_put_u32(&file, 0);
    }
    for (int i = 0; masks && i < (header >= 56 || head->compression == 6 ? 4 : 3); i++)
        mega_put_u32(&file, head->masks[i]);
    if (file.size < 14 + header)
        append(&file, 14 + header - file.size, 0);
    for (size_t i = 0; i < head->colour_count; i++) {
        mega_put_u8(&file, (uint8_t)head->colours[i]);
        mega_put_u8(&file, (uint8_t)(head->colours[i] >> 8));
        mega_put_u8(&file, (uint8_t)(head->colours[i] >> 16));
        if (header != 12)
            mega_put_u8(&file, 0);
    }
    append(&file, head->gap, 0xee);
    mega_store_u32(file.data + 10, head->first ? head->first : (uint32_t)file.size);
    return file;
}

/* Every pixel has some colour. All tests below use this picture. */
static uint32_t colour_at(int x, int y)
{
    return (uint32_t)(x * 50 + 3) << 16 | (uint32_t)(y * 90 + 7) << 8 | (uint32_t)(x * y * 20 + 1);
}

static MegaImage expected_picture(void)
{
    MegaImage image = {WIDTH, HEIGHT, 3, malloc(WIDTH * HEIGHT * 3), 0};
    assert_non_null(image.pixels);
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        for (int c = 0; c < 3; c++)
            image.pixels[3 * i + c] = (uint8_t)(colour_at(i % WIDTH, i / WIDTH) >> (16 - 8 * c));
    return image;
}

static void put_rows(MegaBuffer *file, const Header *head)
{
    for (int row = 0; row < HEIGHT; row++) {
        const size_t start = file->size;
        const int y = head->height < 0 ? row : HEIGHT - 1 - row;
        for (int x = 0; x < WIDTH; x++) {
            const uint32_t colour = colour_at(x, y);
            mega_put_u8(file, (uint8_t)colour);
            mega_put_u8(file, (uint8_t)(colour >> 8));
            mega_put_u8(file, (uint8_t)(colour >> 16));
            if (head->bits == 32)
                mega_put_u8(file, head->masks[3] ? 255 : 0x33);
        }
        append(file, -(file->size - start) % 4, 0xaa);
    }
}

static MegaBuffer bitmap_of(const Header *head)
{
    MegaBuffer file = begin_bitmap(head);
    put_rows(&file, head);
    return file;
}

static void test_bitmaps_of_true_colour(void **state)
{
    static const struct {
        const char *name;
        Header head;
    } cases[] = {
        {"plain", {.bits = 24}},
        {"top down", {.bits = 24, .height = -HEIGHT}},
        {"gap of 2", {.bits = 24, .gap = 2}},
        {"gap of 3001", {.bits = 24, .gap = 3001}},
        {"size of 0", {.bits = 24, .size = 0}},
        {"size too large", {.bits = 24, .size = 1000000}},
        {"size too small", {.bits = 24, .size = 3}},
        {"OS/2 1", {.bits = 24, .header = 12}},
        {"OS/2 2, short", {.bits = 24, .header = 16}},
        {"OS/2 2", {.bits = 24, .header = 64}},
        {"32 bits", {.bits = 32}},
        {"version 5 without masks", {.bits = 32, .header = 124}},
        {"masks", {.bits = 32, .compression = 3, .masks = {0xff0000, 0xff00, 0xff}}},
        {"masks, version 2",
         {.bits = 32, .header = 52, .compression = 3, .masks = {0xff0000, 0xff00, 0xff}}},
        {"masks of 24 bits", {.bits = 24, .compression = 3, .masks = {0xff0000, 0xff00, 0xff}}},
        {"opaque",
         {.bits = 32,
          .header = 108,
          .compression = 3,
          .masks = {0xff0000, 0xff00, 0xff, 0xff000000}}},
        {"opaque, behind the header",
         {.bits = 32, .compression = 6, .masks = {0xff0000, 0xff00, 0xff, 0xff000000}}},
    };
    (void)state;
    MegaImage expected = expected_picture();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaBuffer file = bitmap_of(&cases[i].head);
        append(&file, 1000, 0xcc); /* bytes after the pixels do not matter */
        assert_pixels(cases[i].name, file, &expected);
        /* The last pixel of the last row is missing, whatever size the header claims. */
        file = bitmap_of(&cases[i].head);
        file.size -= cases[i].head.bits == 24 ? 2 : 1;
        assert_refused(cases[i].name, file, MEGA_ERR_FORMAT, "truncated BMP");
    }
    mega_image_free(&expected);
}

/* Opacity blends with white. If it is 0 everywhere, the program that wrote the file did not know
 * it. */
static void test_bitmaps_of_some_opacity(void **state)
{
    const Header head = {
        .bits = 32, .header = 56, .compression = 3, .masks = {0xff0000, 0xff00, 0xff, 0xff000000}};
    (void)state;
    for (unsigned opacity = 0; opacity < 256; opacity += 85) {
        MegaImage expected = expected_picture();
        MegaBuffer file = bitmap_of(&head);
        for (size_t i = 0; i < WIDTH * HEIGHT; i++)
            file.data[14 + 56 + 4 * i + 3] = (uint8_t)opacity;
        for (size_t i = 0; opacity && i < WIDTH * HEIGHT * 3; i++)
            expected.pixels[i] =
                (uint8_t)((expected.pixels[i] * opacity + 255 * (255 - opacity) + 127) / 255);
        assert_pixels("opacity", file, &expected);
        mega_image_free(&expected);
    }
}

static void test_bitmaps_of_16_bits(void **state)
{
    static const struct {
        const char *name;
        Header head;
        uint8_t expected[3]; /* for the pixel 0x9a5c; n bits give value * 255 / (2^n - 1) */
    } cases[] = {
        {"5 5 5", {.bits = 16}, {6 * 255 / 31, 18 * 255 / 31, 28 * 255 / 31}},
        {"5 6 5",
         {.bits = 16, .compression = 3, .masks = {0xf800, 0x7e0, 0x1f}},
         {19 * 255 / 31, 18 * 255 / 63, 28 * 255 / 31}},
        {"4 4 4",
         {.bits = 16, .compression = 3, .masks = {0xf00, 0xf0, 0xf}},
         {10 * 17, 5 * 17, 12 * 17}},
        {"red only", {.bits = 16, .compression = 3, .masks = {0xffff, 0, 0}}, {0x99, 0, 0}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaImage expected = expected_picture();
        MegaBuffer file = begin_bitmap(&cases[i].head);
        for (size_t row = 0; row < HEIGHT; row++)
            for (size_t x = 0; x < 6; x++) /* the last one is padding */
                mega_put_u16(&file, 0x9a5c);
        for (size_t p = 0; p < WIDTH * HEIGHT * 3; p++)
            expected.pixels[p] = cases[i].expected[p % 3];
        assert_pixels(cases[i].name, file, &expected);
        mega_image_free(&expected);
    }
}

/* The palette has one colour for each pixel, or as many as possible. */
static void test_bitmaps_with_palettes(void **state)
{
    static const uint32_t headers[] = {12, 16, 40, 124};
    (void)state;
    for (unsigned bits = 1; bits <= 8; bits *= 2)
        for (size_t h = 0; h < 4; h++) {
            uint32_t colours[WIDTH * HEIGHT];
            const unsigned most = 1u << bits;
            const size_t count = most < WIDTH * HEIGHT ? most : WIDTH * HEIGHT;
            MegaImage expected = expected_picture();
            for (int i = 0; i < WIDTH * HEIGHT; i++)
                colours[i] = colour_at(i % WIDTH, i / WIDTH);
            const Header head = {.bits = bits,
                                 .header = headers[h],
                                 .used = h == 2 ? (uint32_t)count : 0,
                                 .colours = colours,
                                 .colour_count = count};
            MegaBuffer file = begin_bitmap(&head);
            for (int y = HEIGHT - 1; y >= 0; y--) {
                uint64_t row = 0; /* 64 bits hold the pixels of a row and its padding */
                for (int x = 0; x < WIDTH; x++) {
                    const size_t index = (size_t)(y * WIDTH + x) % count;
                    row |= (uint64_t)index << (64 - (int)bits * (x + 1));
                    for (int c = 0; c < 3; c++)
                        expected.pixels[3 * (y * WIDTH + x) + c] =
                            (uint8_t)(colours[index] >> (16 - 8 * c));
                }
                for (int i = 0; i < (bits == 8 ? 8 : 4); i++)
                    mega_put_u8(&file, (uint8_t)(row >> (56 - 8 * i)));
            }
            assert_pixels("palette", file, &expected);
            mega_image_free(&expected);
        }
}

static MegaBuffer runs_of(uint32_t compression, const void *codes, size_t size)
{
    static const uint32_t colours[] = {0x101010, 0x203040, 0x506070, 0x8090a0};
    const Header head = {.bits = compression == 1 ? 8 : 4,
                         .compression = compression,
                         .used = 4,
                         .colours = colours,
                         .colour_count = 4};
    MegaBuffer file = begin_bitmap(&head);
    mega_put_bytes(&file, codes, size);
    return file;
}

static void test_bitmaps_of_runs(void **state)
{
    /* Rows begin at the bottom: a run; literal pixels; a move by 2, 0 and a run. */
    static const uint8_t of_8[] = {5, 1, 0, 0, 0, 5, 3, 2, 1, 0, 1,
                                   0, 0, 0, 0, 2, 2, 0, 3, 2, 0, 1};
    static const uint8_t of_4[] = {5, 0x11, 0, 0, 0, 5, 0x32, 0x10, 0x10, 0,
                                   0, 0,    0, 2, 2, 0, 3,    0x22, 0,    1};
    static const uint8_t whole[] = {5, 1, 0, 0, 5, 1, 0, 0, 5, 1}; /* it has no end marker */
    static const uint8_t indices[HEIGHT][WIDTH] = {
        {0, 0, 2, 2, 2}, {3, 2, 1, 0, 1}, {1, 1, 1, 1, 1}};
    static const uint8_t red[] = {0x10, 0x20, 0x50, 0x80};
    (void)state;
    MegaImage expected = expected_picture();
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        const int index = indices[i / WIDTH][i % WIDTH];
        for (int c = 0; c < 3; c++)
            expected.pixels[3 * i + c] = (uint8_t)(red[index] + (index ? 0x10 * c : 0));
    }
    assert_pixels("RLE8", runs_of(1, of_8, sizeof of_8), &expected);
    assert_pixels("RLE4", runs_of(2, of_4, sizeof of_4), &expected);
    for (int i = 0; i < WIDTH * HEIGHT * 3; i++)
        expected.pixels[i] = (uint8_t)(0x20 + 0x10 * (i % 3));
    assert_pixels("without an end", runs_of(1, whole, sizeof whole), &expected);
    mega_image_free(&expected);
    for (size_t cut = 0; cut < sizeof whole; cut++)
        assert_refused("cut", runs_of(1, whole, cut), MEGA_ERR_FORMAT, "truncated BMP");
    for (size_t cut = 0; cut < sizeof of_8 - 2; cut++)
        assert_refused("cut", runs_of(1, of_8, cut), MEGA_ERR_FORMAT, "truncated BMP");
    assert_refused("no such colour", runs_of(1, "\5\4\0\1", 4), MEGA_ERR_FORMAT,
                   "not in its palette");
}

static void test_bitmaps_that_are_refused(void **state)
{
    static const struct {
        Header head;
        int code;
        const char *says;
    } cases[] = {
        {{.bits = 24, .compression = 4}, MEGA_ERR_UNSUPPORTED, "around a JPEG image"},
        {{.bits = 0, .compression = 5}, MEGA_ERR_UNSUPPORTED, "around a PNG image"},
        {{.bits = 32, .compression = 11}, MEGA_ERR_UNSUPPORTED, "compression 11"},
        {{.bits = 24, .header = 64, .compression = 4}, MEGA_ERR_UNSUPPORTED, "BMP file"},
        {{.bits = 1, .header = 64, .compression = 3}, MEGA_ERR_UNSUPPORTED, "compression 3"},
        {{.bits = 64}, MEGA_ERR_UNSUPPORTED, "64 bits per pixel"},
        {{.bits = 3}, MEGA_ERR_UNSUPPORTED, "3 bits per pixel"},
        {{.bits = 24, .compression = 1}, MEGA_ERR_UNSUPPORTED, "compression 1"},
        {{.bits = 24, .header = 13}, MEGA_ERR_FORMAT, "header"},
        {{.bits = 24, .first = 30}, MEGA_ERR_FORMAT, "within its header"},
        {{.bits = 24, .first = 100000}, MEGA_ERR_FORMAT, "truncated"},
        {{.bits = 24, .first = UINT32_MAX}, MEGA_ERR_FORMAT, "truncated"},
        {{.bits = 24, .width = -5}, MEGA_ERR_FORMAT, "-5 x 3 pixels"},
        {{.bits = 24, .width = 65537}, MEGA_ERR_LIMIT, "limits are"},
        {{.bits = 24, .height = INT32_MIN}, MEGA_ERR_LIMIT, "limits are"},
        {{.bits = 24, .width = 9999, .height = 9999}, MEGA_ERR_FORMAT, "truncated"},
        {{.bits = 8, .width = 9999, .height = 9999, .compression = 1},
         MEGA_ERR_FORMAT,
         "truncated"},
        {{.bits = 16, .compression = 3, .masks = {0xf010, 0xf0, 0xf}}, MEGA_ERR_FORMAT, "gaps"},
        {{.bits = 16, .compression = 3, .masks = {0xff0000, 0xf0, 0xf}},
         MEGA_ERR_FORMAT,
         "16 bits"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[32];
        snprintf(name, sizeof name, "case %zu", i);
        MegaBuffer file = begin_bitmap(&cases[i].head);
        append(&file, 60, 0); /* far too little, and 12 KB of that */
        assert_refused(name, file, cases[i].code, cases[i].says);
    }
}

/* ---- JPEG ----------------------------------------------------------------------------------- */

/* Returns where the segment with that marker begins. */
static size_t find_segment(const MegaBuffer *file, uint8_t marker)
{
    size_t at = 2;
    while (file->data[at + 1] != marker)
        at += 2u + (size_t)(file->data[at + 2] << 8 | file->data[at + 3]);
    return at;
}

/* Returns a file with bytes inserted at `at` in place of `removed` others, and frees the old
 * one. */
static MegaBuffer replaced(MegaBuffer file, size_t at, size_t removed, const void *bytes,
                           size_t size)
{
    MegaBuffer out = {0};
    mega_put_bytes(&out, file.data, at);
    mega_put_bytes(&out, bytes, size);
    mega_put_bytes(&out, file.data + at + removed, file.size - at - removed);
    mega_buffer_free(&file);
    return out;
}

static MegaImage image_of(const char *name)
{
    MegaBuffer file = read_file(name);
    MegaImage image;
    MegaError err = {0};
    if (decode(&image, &file, NULL, &err))
        fail_msg("%s: %s", name, err.text);
    mega_buffer_free(&file);
    return image;
}

/* Without Adobe's marker, four components are CMYK, which is inverted all the same. With another
 * transform they are YCCK. */
static void test_cmyk(void **state)
{
    (void)state;
    MegaImage cmyk = image_of("cmyk.rgb.png"), ycck = image_of("ycck.rgb.png");
    MegaBuffer file = read_file("cmyk.jpg");
    const size_t marker = find_segment(&file, 0xee);
    const size_t length = 2u + file.data[marker + 3];
    file = replaced(file, marker, length, NULL, 0);
    assert_pixels("no marker", file, &cmyk);
    file = read_file("ycck.jpg");
    file.data[marker + length - 1] = 9;
    assert_pixels("unknown transform", file, &ycck);
    mega_image_free(&cmyk);
    mega_image_free(&ycck);
}

static void test_ends_of_jpeg(void **state)
{
    static const char *const names[] = {"baseline.jpg", "progressive.jpg", "gray.jpg", "cmyk.jpg"};
    (void)state;
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        MegaImage expected = image_of(names[n]);
        MegaBuffer file = read_file(names[n]);
        append(&file, 5000, 0x77);
        assert_pixels("bytes behind the end", file, &expected);
        for (size_t zeros = 1; zeros < 1000; zeros *= 5) {
            file = read_file(names[n]);
            file.size -= 2;
            append(&file, zeros, 0);
            assert_pixels("zeros in place of the end mark", file, &expected);
            file = read_file(names[n]);
            file.size -= 30;
            append(&file, zeros, 0);
            assert_refused("zeros behind a cut", file, MEGA_ERR_FORMAT, "picture");
        }
        file = read_file(names[n]);
        const size_t size = file.size;
        file.size -= 30;
        append(&file, 1, 0xff);
        append(&file, 1, 0xd9);
        assert_true(file.size < size);
        assert_refused("an end mark behind a cut", file, MEGA_ERR_FORMAT, "cannot be decoded");
        mega_image_free(&expected);
    }
}

/* A progressive file may repeat its first scan, but not forever: each scan visits all blocks. */
static void test_scans_without_end(void **state)
{
    (void)state;
    MegaBuffer file = read_file("progressive.jpg"), scans = {0};
    MegaImage expected = image_of("progressive.jpg");
    const size_t begin = find_segment(&file, 0xda);
    size_t end = begin + 4;
    while (file.data[end] != 0xff || file.data[end + 1] == 0)
        end++;
    for (int i = 0; i < 400; i++)
        mega_put_bytes(&scans, file.data + begin, end - begin);
    file = replaced(file, begin, 0, scans.data, scans.size);
    file = replaced(file, begin, 0, scans.data, scans.size);
    assert_refused("scans", file, MEGA_ERR_LIMIT, "more than 500 scans");
    file = read_file("progressive.jpg");
    file = replaced(file, begin, 0, scans.data, scans.size);
    assert_pixels("fewer scans", file, &expected);
    mega_image_free(&expected);
    mega_buffer_free(&scans);
}

static void test_jpegs_that_are_refused(void **state)
{
    (void)state;
    MegaBuffer file = read_file("baseline.jpg");
    size_t frame = find_segment(&file, 0xc0);
    file.data[frame + 1] = 0xc3;
    assert_refused("lossless", file, MEGA_ERR_FORMAT, "cannot be decoded");
    file = read_file("baseline.jpg");
    file.data[frame + 4] = 12;
    assert_refused("12 bits", file, MEGA_ERR_FORMAT, "cannot be decoded");
    file = read_file("baseline.jpg");
    file.data[frame + 3] = 8 + 3 * 2;
    file.data[frame + 9] = 2;
    file = replaced(file, frame + 10 + 6, 3, NULL, 0);
    const size_t scan = find_segment(&file, 0xda);
    file.data[scan + 3] = 6 + 2 * 2;
    file.data[scan + 4] = 2;
    file = replaced(file, scan + 5 + 4, 2, NULL, 0);
    assert_refused("two components", file, MEGA_ERR_UNSUPPORTED, "of 2 components");
    file = read_file("baseline.jpg");
    file.data[frame + 5] = 0xf0; /* a height of 61,440 */
    assert_refused("too tall", file, MEGA_ERR_FORMAT, "bytes can hold");
}

/* ---- PNG ------------------------------------------------------------------------------------ */

/* Returns 8-bit gray, all 0, whose compressed rows take `held` bytes. */
static MegaBuffer black_png(unsigned side, size_t held)
{
    MegaBuffer out = {0};
    uint8_t head[13] = {0,
                        0,
                        (uint8_t)(side >> 8),
                        (uint8_t)side,
                        0,
                        0,
                        (uint8_t)(side >> 8),
                        (uint8_t)side,
                        8,
                        0,
                        0,
                        0,
                        0};
    uLongf packed = compressBound(held);
    uint8_t *rows = calloc(1, held), *bytes = malloc(packed);
    assert_true(rows && bytes && compress(bytes, &packed, rows, held) == Z_OK);
    mega_put_bytes(&out, PNG_SIGNATURE, 8);
    put_chunk(&out, "IHDR", head, sizeof head);
    put_chunk(&out, "IDAT", bytes, packed);
    put_chunk(&out, "IEND", "", 0);
    free(rows);
    free(bytes);
    return out;
}

static void test_ends_of_png(void **state)
{
    (void)state;
    uint8_t zeros[16] = {0};
    const MegaImage expected = {4, 4, 1, zeros, 0};
    assert_pixels("right", black_png(4, 20), &expected);
    MegaBuffer file = black_png(4, 20);
    append(&file, 999, 0x50);
    assert_pixels("bytes behind the end", file, &expected);
    assert_pixels("a little more than the rows", black_png(4, 20 + 65536), &expected);
    assert_refused("rows are missing", black_png(4, 19), MEGA_ERR_FORMAT,
                   "of 20 bytes of pixels it holds 19");
    assert_refused("64 MB that no pixel needs", black_png(4, 64u << 20), MEGA_ERR_FORMAT,
                   "far more than the 20 bytes of its pixels");
    assert_refused("too dense", black_png(10000, 9), MEGA_ERR_FORMAT, "bytes can hold");
}

/* ---- Which way up ---------------------------------------------------------------------------- */

/* Returns Exif data with one entry, the orientation, in 16 or 32 bits. */
static MegaBuffer exif_of(unsigned orientation, bool big_endian, bool wide)
{
    MegaBuffer out = {0};
    const unsigned type = wide ? 4 : 3;
    if (big_endian) {
        mega_put_bytes(&out, "MM\0*\0\0\0\x08\0\1\1\x12\0", 13);
        mega_put_u8(&out, (uint8_t)type);
        mega_put_bytes(&out, "\0\0\0\1", 4);
        mega_put_u16(&out, wide ? 0 : (uint16_t)(orientation << 8));
        mega_put_u16(&out, wide ? (uint16_t)(orientation << 8) : 0);
    } else {
        mega_put_bytes(&out, "II*\0\x08\0\0\0\1\0\x12\1", 12);
        mega_put_u16(&out, (uint16_t)type);
        mega_put_u32(&out, 1);
        mega_put_u32(&out, orientation);
    }
    mega_put_u32(&out, 0);
    return out;
}

static MegaBuffer with_exif(const char *name, const MegaBuffer *exif)
{
    MegaBuffer file = read_file(name), segment = {0};
    size_t at = 2;
    if (strstr(name, ".png")) {
        at = 8 + 25; /* after IHDR */
        put_chunk(&segment, "eXIf", exif->data, exif->size);
    } else {
        mega_put_bytes(&segment, "\xff\xe1", 2);
        mega_put_u16(&segment, __builtin_bswap16((uint16_t)(exif->size + 8)));
        mega_put_bytes(&segment, "Exif\0", 6);
        mega_put_bytes(&segment, exif->data, exif->size);
    }
    file = replaced(file, at, 0, segment.data, segment.size);
    mega_buffer_free(&segment);
    return file;
}

/* Finds where a pixel is stored. x, y is its place in the picture as shown, `width` x `height`. */
static void place_of(unsigned orientation, int width, int height, int *x, int *y)
{
    const int right = width - 1 - *x, down = height - 1 - *y, left = *x, top = *y;
    switch (orientation) {
    case 2: *x = right; break;
    case 3: *x = right, *y = down; break;
    case 4: *y = down; break;
    case 5: *x = top, *y = left; break;
    case 6: *x = top, *y = right; break;
    case 7: *x = down, *y = right; break;
    case 8: *x = down, *y = left; break;
    default: break;
    }
}

static void test_orientations(void **state)
{
    static const char *const names[] = {"baseline.jpg", "progressive.jpg", "gray.jpg",   "cmyk.jpg",
                                        "noise.png",    "gray-alpha.png",  "palette.png"};
    static const MegaImageOptions as_stored = {.keep_orientation = true};
    (void)state;
    for (unsigned i = 0; i < 7 * 10 * 4; i++) {
        const char *name = names[i % 7];
        const unsigned orientation = i / 7 % 10; /* 0 and 9 are not orientations */
        MegaBuffer exif = exif_of(orientation, i / 70 & 1, i / 140);
        MegaBuffer file = with_exif(name, &exif);
        MegaImage stored, original = image_of(name), image;
        assert_int_equal(decode(&stored, &file, &as_stored, NULL), 0);
        assert_same(name, &stored, &original);
        assert_int_equal(decode(&image, &file, NULL, NULL), 0);
        const bool turned = orientation >= 5 && orientation <= 8;
        assert_int_equal(image.width, turned ? original.height : original.width);
        assert_int_equal(image.height, turned ? original.width : original.height);
        const size_t pixel = (size_t)image.channels;
        for (int at = 0; at < image.width * image.height; at++) {
            int x = at % image.width, y = at / image.width;
            place_of(orientation, image.width, image.height, &x, &y);
            assert_memory_equal(image.pixels + (size_t)at * pixel,
                                original.pixels + (size_t)(y * original.width + x) * pixel, pixel);
        }
        mega_image_free(&image);
        mega_image_free(&stored);
        mega_image_free(&original);
        mega_buffer_free(&file);
        mega_buffer_free(&exif);
    }
}

/* Exif data that are cut anywhere give nothing or the same as before, and no read goes past
 * them. */
static void test_damaged_exif(void **state)
{
    (void)state;
    MegaImage upright = image_of("baseline.jpg");
    for (size_t cut = 0; cut < 22; cut++) {
        MegaBuffer exif = exif_of(6, cut & 1, false);
        exif.size = cut < 20 ? cut : 20;
        if (cut >= 20) /* the directory is missing, or has a count of 65,535 */
            exif.data[cut == 20 ? 4 : 8] = 0xff, exif.data[cut == 20 ? 7 : 9] = 0xff;
        MegaBuffer file = with_exif("baseline.jpg", &exif);
        MegaImage image;
        assert_int_equal(decode(&image, &file, NULL, NULL), 0);
        if (cut < 20)
            assert_int_equal(image.width, upright.width);
        mega_image_free(&image);
        mega_buffer_free(&file);
        mega_buffer_free(&exif);
    }
    mega_image_free(&upright);
}

static void test_xmp(void **state)
{
    static const char *const packets[] = {"<a tiff:Orientation=\"6\"/>",
                                          "<tiff:Orientation>8</tiff:Orientation>",
                                          "<a tiff:Orientation='5'/>"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        MegaBuffer segment = {0}, file = read_file("baseline.jpg");
        MegaImage image, upright = image_of("baseline.jpg");
        const size_t size = strlen(packets[i]);
        mega_put_bytes(&segment, "\xff\xe1", 2);
        mega_put_u16(&segment, __builtin_bswap16((uint16_t)(size + 31)));
        mega_put_bytes(&segment, "http://ns.adobe.com/xap/1.0/", 29);
        mega_put_bytes(&segment, packets[i], size);
        file = replaced(file, 2, 0, segment.data, segment.size);
        assert_int_equal(decode(&image, &file, NULL, NULL), 0);
        assert_int_equal(image.width, upright.height);
        mega_image_free(&image);
        mega_image_free(&upright);
        mega_buffer_free(&file);
        mega_buffer_free(&segment);
    }
}

/* ---- Memory --------------------------------------------------------------------------------- */

/* Decoding keeps to the limit: with one byte less than needed, the error has both numbers. */
static void test_memory_limit(void **state)
{
    static const struct {
        const char *name;
        uint64_t needed; /* beside the file */
    } cases[] = {
        /* The chunks are there twice, with room for a palette; then come the rows and the
         * pixels. */
        {"noise.png", 2 * (2587 + 768 + 4096) + 23 * (37 * 3 + 1) + 37 * 23 * 3},
        {"colour.bmp", 5 * 3 * 3},
        {"baseline.jpg", 40 * 24 * 3},
        /* The coefficients are added: 6 x 4 blocks of luma, 3 x 2 for each chroma. */
        {"progressive.jpg", 40 * 24 * 3 + (6 * 4 + 2 * 3 * 2) * 128},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaBuffer file = read_file(cases[i].name);
        MegaImageOptions options = {.max_memory = file.size + cases[i].needed};
        MegaError err = {0};
        MegaImage image;
        if (decode(&image, &file, &options, &err))
            fail_msg("%s: %s", cases[i].name, err.text);
        mega_image_free(&image);
        options.max_memory--;
        assert_int_equal(decode(&image, &file, &options, &err), MEGA_ERR_LIMIT);
        assert_non_null(strstr(err.text, "the limit is"));
        mega_buffer_free(&file);
    }
    MegaImageOptions options = {.max_memory = 30000};
    MegaImage image;
    MegaError err = {0};
    assert_int_equal(mega_image_open(&image, INPUTS "noise.png", &options, &err), 0);
    assert_int_equal(mega_image_resize(&image, 100, 100, &err), MEGA_ERR_LIMIT);
    assert_non_null(strstr(err.text, "the limit is"));
    assert_int_equal(mega_image_resize(&image, 10, 10, &err), 0);
    mega_image_free(&image);
    options.max_memory = 500; /* the file alone is larger */
    assert_int_equal(mega_image_open(&image, INPUTS "noise.png", &options, &err), MEGA_ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bitmaps_of_true_colour),
        cmocka_unit_test(test_bitmaps_of_some_opacity),
        cmocka_unit_test(test_bitmaps_of_16_bits),
        cmocka_unit_test(test_bitmaps_with_palettes),
        cmocka_unit_test(test_bitmaps_of_runs),
        cmocka_unit_test(test_bitmaps_that_are_refused),
        cmocka_unit_test(test_cmyk),
        cmocka_unit_test(test_ends_of_jpeg),
        cmocka_unit_test(test_scans_without_end),
        cmocka_unit_test(test_jpegs_that_are_refused),
        cmocka_unit_test(test_ends_of_png),
        cmocka_unit_test(test_orientations),
        cmocka_unit_test(test_damaged_exif),
        cmocka_unit_test(test_xmp),
        cmocka_unit_test(test_memory_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
