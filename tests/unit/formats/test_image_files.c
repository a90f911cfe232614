/*
 * test_image_files.c - JPEG and PNG files of tests/data/inputs with some bytes changed: how they
 * end, which way up they are shown, and how much memory they may take.
 */
#include "tests/unit/pictures.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

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
    MegaBuffer file = read_picture(name);
    MegaImage image;
    MegaError err = {0};
    if (decode_picture(&image, &file, NULL, &err))
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
    MegaBuffer file = read_picture("cmyk.jpg");
    const size_t marker = find_segment(&file, 0xee);
    const size_t length = 2u + file.data[marker + 3];
    file = replaced(file, marker, length, NULL, 0);
    assert_picture("no marker", file, &cmyk);
    file = read_picture("ycck.jpg");
    file.data[marker + length - 1] = 9;
    assert_picture("unknown transform", file, &ycck);
    mega_image_free(&cmyk);
    mega_image_free(&ycck);
}

static void test_ends_of_jpeg(void **state)
{
    static const char *const names[] = {"baseline.jpg", "progressive.jpg", "gray.jpg", "cmyk.jpg"};
    (void)state;
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        MegaImage expected = image_of(names[n]);
        MegaBuffer file = read_picture(names[n]);
        append_bytes(&file, 5000, 0x77);
        assert_picture("bytes after the end", file, &expected);
        for (size_t zeros = 1; zeros < 1000; zeros *= 5) {
            file = read_picture(names[n]);
            file.size -= 2;
            append_bytes(&file, zeros, 0);
            assert_picture("zeros in place of the end mark", file, &expected);
            file = read_picture(names[n]);
            file.size -= 30;
            append_bytes(&file, zeros, 0);
            assert_picture_refused("zeros after a cut", file, MEGA_ERR_FORMAT, "picture");
        }
        file = read_picture(names[n]);
        const size_t size = file.size;
        file.size -= 30;
        append_bytes(&file, 1, 0xff);
        append_bytes(&file, 1, 0xd9);
        assert_true(file.size < size);
        assert_picture_refused("an end mark after a cut", file, MEGA_ERR_FORMAT,
                               "cannot be decoded");
        mega_image_free(&expected);
    }
}

/* A progressive file may repeat its first scan, but not forever: each scan visits all blocks. */
static void test_scans_without_end(void **state)
{
    (void)state;
    MegaBuffer file = read_picture("progressive.jpg"), scans = {0};
    MegaImage expected = image_of("progressive.jpg");
    const size_t begin = find_segment(&file, 0xda);
    size_t end = begin + 4;
    while (file.data[end] != 0xff || file.data[end + 1] == 0)
        end++;
    for (int i = 0; i < 400; i++)
        mega_put_bytes(&scans, file.data + begin, end - begin);
    file = replaced(file, begin, 0, scans.data, scans.size);
    file = replaced(file, begin, 0, scans.data, scans.size);
    assert_picture_refused("scans", file, MEGA_ERR_LIMIT, "more than 500 scans");
    file = read_picture("progressive.jpg");
    file = replaced(file, begin, 0, scans.data, scans.size);
    assert_picture("fewer scans", file, &expected);
    mega_image_free(&expected);
    mega_buffer_free(&scans);
}

static void test_jpegs_that_are_refused(void **state)
{
    (void)state;
    MegaBuffer file = read_picture("baseline.jpg");
    size_t frame = find_segment(&file, 0xc0);
    file.data[frame + 1] = 0xc3;
    assert_picture_refused("lossless", file, MEGA_ERR_FORMAT, "cannot be decoded");
    file = read_picture("baseline.jpg");
    file.data[frame + 4] = 12;
    assert_picture_refused("12 bits", file, MEGA_ERR_FORMAT, "cannot be decoded");
    file = read_picture("baseline.jpg");
    file.data[frame + 3] = 8 + 3 * 2;
    file.data[frame + 9] = 2;
    file = replaced(file, frame + 10 + 6, 3, NULL, 0);
    const size_t scan = find_segment(&file, 0xda);
    file.data[scan + 3] = 6 + 2 * 2;
    file.data[scan + 4] = 2;
    file = replaced(file, scan + 5 + 4, 2, NULL, 0);
    assert_picture_refused("two components", file, MEGA_ERR_UNSUPPORTED, "of 2 components");
    file = read_picture("baseline.jpg");
    file.data[frame + 5] = 0xf0; /* a height of 61,440 */
    assert_picture_refused("too tall", file, MEGA_ERR_FORMAT, "bytes can hold");
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
    assert_picture("right", black_png(4, 20), &expected);
    MegaBuffer file = black_png(4, 20);
    append_bytes(&file, 999, 0x50);
    assert_picture("bytes after the end", file, &expected);
    assert_picture("a little more than the rows", black_png(4, 20 + 65536), &expected);
    assert_picture_refused("rows are missing", black_png(4, 19), MEGA_ERR_FORMAT,
                   "of 20 bytes of pixels it holds 19");
    assert_picture_refused("64 MB that no pixel needs", black_png(4, 64u << 20), MEGA_ERR_FORMAT,
                   "far more than the 20 bytes of its pixels");
    assert_picture_refused("too dense", black_png(10000, 9), MEGA_ERR_FORMAT, "bytes can hold");
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
    MegaBuffer file = read_picture(name), segment = {0};
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
        assert_int_equal(decode_picture(&stored, &file, &as_stored, NULL), 0);
        assert_same_picture(name, &stored, &original);
        assert_int_equal(decode_picture(&image, &file, NULL, NULL), 0);
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
        assert_int_equal(decode_picture(&image, &file, NULL, NULL), 0);
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
        MegaBuffer segment = {0}, file = read_picture("baseline.jpg");
        MegaImage image, upright = image_of("baseline.jpg");
        const size_t size = strlen(packets[i]);
        mega_put_bytes(&segment, "\xff\xe1", 2);
        mega_put_u16(&segment, __builtin_bswap16((uint16_t)(size + 31)));
        mega_put_bytes(&segment, "http://ns.adobe.com/xap/1.0/", 29);
        mega_put_bytes(&segment, packets[i], size);
        file = replaced(file, 2, 0, segment.data, segment.size);
        assert_int_equal(decode_picture(&image, &file, NULL, NULL), 0);
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
        uint64_t needed; /* besides the file */
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
        MegaBuffer file = read_picture(cases[i].name);
        MegaImageOptions options = {.max_memory = file.size + cases[i].needed};
        MegaError err = {0};
        MegaImage image;
        if (decode_picture(&image, &file, &options, &err))
            fail_msg("%s: %s", cases[i].name, err.text);
        mega_image_free(&image);
        options.max_memory--;
        assert_int_equal(decode_picture(&image, &file, &options, &err), MEGA_ERR_LIMIT);
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
