/*
 * image.c - opens pictures and chooses the decoder; see image.h.
 *
 *   path -> input_stream.c -> image_png.c, image_jpeg.c or image_bmp.c -> on white -> upright
 */
#include "formats/media/image.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/bytes.h"
#include "formats/base/input_stream.h"
#include "formats/base/sniff.h"
#include "formats/media/image_file.h"

/* ---- For the decoders ----------------------------------------------------------------------- */

int mega_image_truncated(const MegaImageFile *file, const char *kind, const char *missing,
                         MegaError *err)
{
    return mega_fail(err, MEGA_ERR_FORMAT, "%s is a truncated %s file: %s; fetch or save it again",
                     file->name, kind, missing);
}

int mega_image_check_size(const MegaImageFile *file, int64_t width, int64_t height, uint64_t memory,
                          MegaError *err)
{
    if (width < 1 || height < 1)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s has no usable image header: it declares %lld x %lld pixels",
                         file->name, (long long)width, (long long)height);
    if (width > MEGA_IMAGE_MAX_SIDE || height > MEGA_IMAGE_MAX_SIDE ||
        width * height > MEGA_IMAGE_MAX_PIXELS)
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "%s declares %lld x %lld pixels; the limits are %u pixels and a side of "
                         "%d",
                         file->name, (long long)width, (long long)height, MEGA_IMAGE_MAX_PIXELS,
                         MEGA_IMAGE_MAX_SIDE);
    if (file->max_memory && file->size + memory > file->max_memory)
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "%s has %lld x %lld pixels; reading it takes %.1f MB of memory, and the "
                         "limit is %.1f MB",
                         file->name, (long long)width, (long long)height,
                         (double)(file->size + memory) / 1e6, (double)file->max_memory / 1e6);
    return 0;
}

void mega_image_lay_on_white(uint8_t *pixels, size_t count, int channels)
{
    if (channels == 1 || channels == 3)
        return;
    const size_t samples = (size_t)channels, kept = samples - 1;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *from = pixels + i * samples;
        const unsigned opacity = from[kept];
        for (size_t c = 0; c < kept; c++)
            pixels[i * kept + c] =
                (uint8_t)((from[c] * opacity + 255 * (255 - opacity) + 127) / 255);
    }
}

/* ---- Decoding ------------------------------------------------------------------------------- */

static int decode(MegaImage *out, MegaImageFile *file, MegaError *err)
{
    const uint8_t *bytes = file->bytes;
    const size_t size = file->size;
    if (!size)
        return mega_fail(err, MEGA_ERR_INPUT, "%s is empty; expected an image", file->name);
    if (size >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0)
        return mega_image_decode_png(out, file, err);
    if (size >= 4 && size < 8 && memcmp(bytes, "\x89PNG\r\n\x1a", size) == 0)
        return mega_image_truncated(file, "PNG", "it ends in its signature", err);
    if (size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
        return mega_image_decode_jpeg(out, file, err);
    if (size >= 2 && memcmp(bytes, "BM", 2) == 0)
        return mega_image_decode_bmp(out, file, err);
    const MegaFileKind kind = mega_sniff(bytes, size);
    return mega_fail(err, MEGA_ERR_INPUT, "%s is %s; expected PNG, JPEG or BMP%s%s", file->name,
                     kind.what ? kind.what : "not an image that can be read",
                     kind.advice ? "; " : "", kind.advice ? kind.advice : "");
}

int mega_image_decode(MegaImage *out, const uint8_t *bytes, size_t size, const char *name,
                      const MegaImageOptions *options, MegaError *err)
{
    static const MegaImageOptions defaults;
    if (!options)
        options = &defaults;
    MegaImageFile file = {
        .bytes = bytes, .size = size, .name = name, .max_memory = options->max_memory};
    *out = (MegaImage){.max_memory = options->max_memory};
    if (size > MEGA_IMAGE_MAX_FILE)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s is larger than %u bytes, the limit of an image",
                         name, MEGA_IMAGE_MAX_FILE);
    int code = decode(out, &file, err);
    if (!code && !options->keep_orientation)
        code = mega_image_orient(out, file.exif ? file.exif : file.xmp ? file.xmp : 1, err);
    if (code)
        mega_image_free(out);
    return code;
}

int mega_image_open(MegaImage *out, const char *path, const MegaImageOptions *options,
                    MegaError *err)
{
    MegaBuffer file = {0};
    const char *name = mega_source_name(path);
    uint64_t limit = MEGA_IMAGE_MAX_FILE;
    int fd = -1;
    *out = (MegaImage){0};
    if (options && options->max_memory && options->max_memory < limit)
        limit = options->max_memory;
    const MegaOpenFile opener =
        options && options->open_file ? options->open_file : mega_source_open;
    int code = opener(&fd, path, err);
    if (!code)
        code = mega_source_slurp(&file, fd, name, "an image", limit, err);
    if (fd >= 0)
        close(fd);
    if (!code)
        code = mega_image_decode(out, file.data, file.size, name, options, err);
    mega_buffer_free(&file);
    return code;
}
