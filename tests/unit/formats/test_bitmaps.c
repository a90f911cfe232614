/*
 * test_bitmaps.c - bitmaps of every kind that other programs write (formats/media/image_bmp.c),
 * made here byte by byte.
 */
#include "tests/unit/pictures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        append_bytes(&file, 12, 0x55);
        mega_put_u32(&file, head->used);
        mega_put_u32(&file, 0);
    }
    for (int i = 0; masks && i < (header >= 56 || head->compression == 6 ? 4 : 3); i++)
        mega_put_u32(&file, head->masks[i]);
    if (file.size < 14 + header)
        append_bytes(&file, 14 + header - file.size, 0);
    for (size_t i = 0; i < head->colour_count; i++) {
        mega_put_u8(&file, (uint8_t)head->colours[i]);
        mega_put_u8(&file, (uint8_t)(head->colours[i] >> 8));
        mega_put_u8(&file, (uint8_t)(head->colours[i] >> 16));
        if (header != 12)
            mega_put_u8(&file, 0);
    }
    append_bytes(&file, head->gap, 0xee);
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
        append_bytes(file, -(file->size - start) % 4, 0xaa);
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
        {"opaque, after the header",
         {.bits = 32, .compression = 6, .masks = {0xff0000, 0xff00, 0xff, 0xff000000}}},
    };
    (void)state;
    MegaImage expected = expected_picture();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaBuffer file = bitmap_of(&cases[i].head);
        append_bytes(&file, 1000, 0xcc); /* bytes after the pixels do not matter */
        assert_picture(cases[i].name, file, &expected);
        /* The last pixel of the last row is missing, whatever size the header claims. */
        file = bitmap_of(&cases[i].head);
        file.size -= cases[i].head.bits == 24 ? 2 : 1;
        assert_picture_refused(cases[i].name, file, MEGA_ERR_FORMAT, "truncated BMP");
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
        assert_picture("opacity", file, &expected);
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
        assert_picture(cases[i].name, file, &expected);
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
            assert_picture("palette", file, &expected);
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
    assert_picture("RLE8", runs_of(1, of_8, sizeof of_8), &expected);
    assert_picture("RLE4", runs_of(2, of_4, sizeof of_4), &expected);
    for (int i = 0; i < WIDTH * HEIGHT * 3; i++)
        expected.pixels[i] = (uint8_t)(0x20 + 0x10 * (i % 3));
    assert_picture("without an end", runs_of(1, whole, sizeof whole), &expected);
    mega_image_free(&expected);
    for (size_t cut = 0; cut < sizeof whole; cut++)
        assert_picture_refused("cut", runs_of(1, whole, cut), MEGA_ERR_FORMAT, "truncated BMP");
    for (size_t cut = 0; cut < sizeof of_8 - 2; cut++)
        assert_picture_refused("cut", runs_of(1, of_8, cut), MEGA_ERR_FORMAT, "truncated BMP");
    assert_picture_refused("no such colour", runs_of(1, "\5\4\0\1", 4), MEGA_ERR_FORMAT,
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
        append_bytes(&file, 60, 0); /* far too little, and 12 KB of that */
        assert_picture_refused(name, file, cases[i].code, cases[i].says);
    }
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
