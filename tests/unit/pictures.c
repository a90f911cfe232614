/*
 * pictures.c - see pictures.h.
 */
#include "tests/unit/pictures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "formats/base/input_stream.h"

MegaBuffer read_picture(const char *name)
{
    char path[256];
    MegaBuffer file = {0};
    snprintf(path, sizeof path, INPUTS "%s", name);
    assert_int_equal(mega_source_read(&file, path, "an image", MEGA_IMAGE_MAX_FILE, NULL), 0);
    return file;
}

int decode_picture(MegaImage *out, const MegaBuffer *file, const MegaImageOptions *options,
                   MegaError *err)
{
    uint8_t *copy = malloc(file->size);
    assert_non_null(copy);
    memcpy(copy, file->data, file->size);
    int code = mega_image_decode(out, copy, file->size, "picture", options, err);
    free(copy);
    return code;
}

void assert_same_picture(const char *name, const MegaImage *image, const MegaImage *expected)
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

void assert_picture(const char *name, MegaBuffer file, const MegaImage *expected)
{
    MegaImage image;
    MegaError err = {0};
    if (decode_picture(&image, &file, NULL, &err))
        fail_msg("%s: %s", name, err.text);
    assert_same_picture(name, &image, expected);
    mega_image_free(&image);
    mega_buffer_free(&file);
}

void assert_picture_refused(const char *name, MegaBuffer file, int code, const char *says)
{
    MegaImage image;
    MegaError err = {0};
    const int found = decode_picture(&image, &file, NULL, &err);
    if (found != code || !strstr(err.text, says))
        fail_msg("%s: %d, \"%s\" does not say \"%s\"", name, found, err.text, says);
    assert_null(image.pixels);
    mega_buffer_free(&file);
}

void append_bytes(MegaBuffer *file, size_t count, int byte)
{
    for (size_t i = 0; i < count; i++)
        mega_put_u8(file, (uint8_t)byte);
}

static void put_u32_be(MegaBuffer *out, size_t value)
{
    mega_put_u32(out, __builtin_bswap32((uint32_t)value));
}

void put_chunk(MegaBuffer *out, const char *type, const void *data, size_t size)
{
    const size_t start = out->size + 4;
    put_u32_be(out, size);
    mega_put_bytes(out, type, 4);
    mega_put_bytes(out, data, size);
    put_u32_be(out, crc32(0, out->data + start, (unsigned)size + 4));
}
