/*
 * image_png.c - PNG by libpng; see image_file.h.
 *
 * libpng has been told to leave out every chunk that does not bear on the pixels. Checksums and
 * the end are looked at here first, for a message that says where the damage is.
 */
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "bytes.h"
#include "image_file.h"

#define SIGNATURE 8 /* bytes */

/* Exif data, or an XMP packet where there are none. */
static void note_orientation(MegaImageFile *file, const uint8_t *type, const uint8_t *data,
                             size_t size)
{
    static const char keyword[] = "XML:com.adobe.xmp";
    if (memcmp(type, "eXIf", 4) == 0)
        mega_image_note_exif(file, data, size);
    else if (memcmp(type, "iTXt", 4) == 0 && size > sizeof keyword &&
             memcmp(data, keyword, sizeof keyword) == 0)
        mega_image_note_xmp(file, data, size);
}

/* Chunks of length, type, data and CRC-32 of type and data, up to IEND. Finds the orientation, and
 * how many bytes of compressed pixels there are. */
static int check_chunks(MegaImageFile *file, uint64_t *compressed, MegaError *err)
{
    MegaReader reader = mega_reader(file->bytes, file->size);
    mega_get_bytes(&reader, SIGNATURE);
    for (;;) {
        const uint8_t *head = mega_get_bytes(&reader, 8);
        const uint32_t length = head ? __builtin_bswap32(mega_load_u32(head)) : 0;
        const uint8_t *data = mega_get_bytes(&reader, length);
        const uint8_t *sum = mega_get_bytes(&reader, 4);
        if (!head || !data || !sum)
            return mega_image_truncated(file, "PNG", "the end chunk is missing", err);
        if (crc32(0, head + 4, length + 4) != __builtin_bswap32(mega_load_u32(sum)))
            return mega_fail(err, MEGA_ERR_FORMAT,
                             "%s is a damaged PNG file: the checksum of the chunk at byte %zu does "
                             "not fit its content",
                             file->name, (size_t)(head - file->bytes));
        if (memcmp(head + 4, "IEND", 4) == 0)
            return 0;
        if (memcmp(head + 4, "IDAT", 4) == 0)
            *compressed += length;
        note_orientation(file, head + 4, data, length);
    }
}

/* ---- libpng --------------------------------------------------------------------------------- */

typedef struct PngReader {
    png_structp png;
    png_infop info;
    MegaReader bytes;
    bool no_memory;
    char message[256];
} PngReader;

static void keep_error(png_structp png, png_const_charp message)
{
    PngReader *reader = png_get_error_ptr(png);
    snprintf(reader->message, sizeof reader->message, "%s", message);
    png_longjmp(png, 1);
}

static void ignore_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static png_voidp allocate(png_structp png, png_alloc_size_t size)
{
    void *memory = malloc(size);
    PngReader *reader = png_get_mem_ptr(png);
    reader->no_memory |= !memory;
    return memory;
}

static void release(png_structp png, png_voidp memory)
{
    (void)png;
    free(memory);
}

static void read_bytes(png_structp png, png_bytep out, size_t size)
{
    PngReader *reader = png_get_io_ptr(png);
    const uint8_t *bytes = mega_get_bytes(&reader->bytes, size);
    if (!bytes)
        png_error(png, "the file ends");
    memcpy(out, bytes, size);
}

/* Gray or RGB of 8 bits, with opacity where there is any. */
static bool read_header(PngReader *reader)
{
    if (setjmp(png_jmpbuf(reader->png)))
        return false;
    png_set_read_fn(reader->png, reader, read_bytes);
    png_set_keep_unknown_chunks(reader->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    /* The size is ours to judge: libpng's own limit would be met first, with a poorer message. */
    png_set_user_limits(reader->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_read_info(reader->png, reader->info);
    png_set_expand(reader->png);
    png_set_strip_16(reader->png);
    return true;
}

static bool read_pixels(PngReader *reader, uint8_t *pixels, size_t row_size, size_t height)
{
    if (setjmp(png_jmpbuf(reader->png)))
        return false;
    const int passes = png_set_interlace_handling(reader->png);
    png_read_update_info(reader->png, reader->info);
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < height; y++)
            png_read_row(reader->png, pixels + y * row_size, NULL);
    return true;
}

static int channels_of(const PngReader *reader)
{
    const int colour = png_get_color_type(reader->png, reader->info);
    const bool opacity =
        colour & PNG_COLOR_MASK_ALPHA || png_get_valid(reader->png, reader->info, PNG_INFO_tRNS);
    return (colour & PNG_COLOR_MASK_COLOR ? 3 : 1) + (opacity ? 1 : 0);
}

/* Deflate packs by 1032 : 1 at best, so that a small file cannot hold many pixels. */
static int check_density(const PngReader *reader, const MegaImageFile *file, uint64_t compressed,
                         MegaError *err)
{
    const uint64_t width = png_get_image_width(reader->png, reader->info);
    const uint64_t height = png_get_image_height(reader->png, reader->info);
    const unsigned bits = png_get_channels(reader->png, reader->info) *
                          (unsigned)png_get_bit_depth(reader->png, reader->info);
    if (width * bits / 8 * height / 1032 <= compressed)
        return 0;
    return mega_fail(err, MEGA_ERR_FORMAT,
                     "%s declares %llu x %llu pixels, more than its %zu bytes can hold", file->name,
                     (unsigned long long)width, (unsigned long long)height, file->size);
}

static int decode(PngReader *reader, MegaImage *out, MegaImageFile *file, uint64_t compressed,
                  MegaError *err)
{
    if (!read_header(reader))
        return mega_fail(err, MEGA_ERR_FORMAT, "%s has no usable image header: %s", file->name,
                         reader->message);
    const int64_t width = png_get_image_width(reader->png, reader->info);
    const int64_t height = png_get_image_height(reader->png, reader->info);
    const int channels = channels_of(reader);
    /* sides have 31 bits, and the product is only looked at when they are small */
    int code = mega_image_check_size(file, width, height,
                                     (uint64_t)width * (uint64_t)height * (uint64_t)channels, err);
    if (!code)
        code = check_density(reader, file, compressed, err);
    if (code)
        return code;
    const size_t count = (size_t)(width * height), row_size = (size_t)width * (size_t)channels;
    out->pixels = malloc(count * (size_t)channels);
    if (!out->pixels)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the %lld x %lld pixels of %s",
                         (long long)width, (long long)height, file->name);
    if (!read_pixels(reader, out->pixels, row_size, (size_t)height))
        return mega_fail(err, MEGA_ERR_FORMAT, "%s cannot be decoded: %s", file->name,
                         reader->message);
    mega_image_lay_on_white(out->pixels, count, channels);
    out->width = (int)width;
    out->height = (int)height;
    out->channels = channels >= 3 ? 3 : 1;
    return 0;
}

int mega_image_decode_png(MegaImage *out, MegaImageFile *file, MegaError *err)
{
    uint64_t compressed = 0;
    int code = check_chunks(file, &compressed, err);
    if (code)
        return code;
    PngReader reader = {.bytes = mega_reader(file->bytes, file->size)};
    reader.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &reader, keep_error,
                                          ignore_warning, &reader, allocate, release);
    reader.info = reader.png ? png_create_info_struct(reader.png) : NULL;
    if (reader.info)
        code = decode(&reader, out, file, compressed, err);
    if (!reader.info || (code && reader.no_memory))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", file->name);
    png_destroy_read_struct(&reader.png, &reader.info, NULL);
    return code;
}
