/*
 * image_png.c - decodes PNG with stb_image; see image_file.h.
 *
 * stb_image checks no checksums, fills missing data with black, inflates any amount of data and
 * leaves colours beyond the end of a palette undefined. Therefore this file first checks the
 * chunks, and checks with zlib, in a small window, that the data inflate to the size that the
 * pixels need. Then stb_image gets a file of only those chunks that affect the pixels.
 */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "formats/base/bytes.h"
#include "formats/media/image_file.h"

/* stb_image does not check the result of every allocation. If one fails, longjmp therefore leaves
 * stb_image, and the blocks that it holds are freed here. */
#define MOST_BLOCKS 16 /* stb_image holds fewer blocks at once for a PNG file */

typedef struct Decoding {
    jmp_buf no_memory;
    void *blocks[MOST_BLOCKS]; /* blocks that stb_image holds; NULL: the entry is free */
    uint8_t *pixels;           /* NULL if memory ran out or there is a reason */
    int width, height, channels;
    const char *reason;
} Decoding;

static _Thread_local Decoding *decoding; /* belongs to this thread's call of stb_image */

/* Returns the entry that holds the block; that of NULL is a free one. */
static void **entry_of(void *block)
{
    int i = 0;
    while (i < MOST_BLOCKS - 1 && decoding->blocks[i] != block)
        i++;
    return &decoding->blocks[i];
}

static void leave_without_memory(void)
{
    for (int i = 0; i < MOST_BLOCKS; i++)
        free(decoding->blocks[i]);
    longjmp(decoding->no_memory, 1);
}

/* Returns zeroed memory, so that pixels that a damaged file leaves undecoded are at least
 * deterministic. */
static void *allocate(size_t size)
{
    void *block = calloc(1, size);
    if (!block)
        leave_without_memory();
    *entry_of(NULL) = block;
    return block;
}

static void *reallocate(void *block, size_t size)
{
    void **entry = entry_of(block);
    void *larger = realloc(block, size);
    if (!larger)
        leave_without_memory();
    *entry = larger;
    return larger;
}

static void release(void *block)
{
    if (block)
        *entry_of(block) = NULL;
    free(block);
}

#define STBI_MALLOC(size) allocate(size)
#define STBI_REALLOC(memory, size) reallocate(memory, size)
#define STBI_FREE(memory) release(memory)
#define STBI_MAX_DIMENSIONS MEGA_IMAGE_MAX_SIDE
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_FAILURE_USERMSG
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
/* The pragma is not popped, since the compiler reports unused functions at the end of the file. */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wshadow"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

#define SIGNATURE 8 /* bytes */
#define HEADER 13
#define PALETTE 768
#define COLOUR_PALETTE 3
/* Some encoders write a little more data than their rows. A file with more surplus than this is
 * rejected. */
#define MOST_SURPLUS 65536
#define LEAST_IDAT 4096 /* the least that stb_image allocates for compressed data */

/* Holds what the chunks declare. */
typedef struct Png {
    MegaImageFile *file;
    uint32_t width, height;
    /* depth is bits per sample; colour is 0 gray, 2 RGB, 3 palette, 4 or 6 with opacity */
    unsigned depth, colour;
    bool interlaced;
    const uint8_t *header, *palette, *opacity; /* data of IHDR, PLTE and tRNS, or NULL */
    uint32_t palette_size, opacity_size;
    uint64_t compressed; /* bytes of all IDAT chunks */
    uint64_t rows;       /* bytes that these must inflate to: filter types and samples */
} Png;

static uint32_t load_be32(const uint8_t *bytes)
{
    return __builtin_bswap32(mega_load_u32(bytes));
}

static bool is_type(const uint8_t *type, const char *name)
{
    return memcmp(type, name, 4) == 0;
}

/* ---- Chunks --------------------------------------------------------------------------------- */

static unsigned samples_of(const Png *png)
{
    return (png->colour & 2 && png->colour != COLOUR_PALETTE ? 3 : 1) + (png->colour & 4 ? 1 : 0);
}

/* Returns the bytes of `height` rows of `width` pixels, each preceded by the byte of its filter
 * type. */
static uint64_t row_bytes(const Png *png, uint64_t width, uint64_t height)
{
    return width && height ? height * (1 + (width * samples_of(png) * png->depth + 7) / 8) : 0;
}

/* Returns the bytes of all rows. Each of the seven passes of an interlaced picture has rows of its
 * own. */
static uint64_t count_row_bytes(const Png *png)
{
    static const uint8_t x[] = {0, 4, 0, 2, 0, 1, 0}, dx[] = {8, 8, 4, 4, 2, 2, 1};
    static const uint8_t y[] = {0, 0, 4, 0, 2, 0, 1}, dy[] = {8, 8, 8, 4, 4, 2, 2};
    uint64_t bytes = 0;
    if (!png->interlaced)
        return row_bytes(png, png->width, png->height);
    for (int pass = 0; pass < 7; pass++)
        bytes += row_bytes(png, ((uint64_t)png->width + dx[pass] - 1 - x[pass]) / dx[pass],
                           ((uint64_t)png->height + dy[pass] - 1 - y[pass]) / dy[pass]);
    return bytes;
}

static int take_header(Png *png, const uint8_t *data, uint32_t length, MegaError *err)
{
    if (length != HEADER || png->header)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s has no usable image header", png->file->name);
    png->header = data;
    png->width = load_be32(data);
    png->height = load_be32(data + 4);
    png->depth = data[8];
    png->colour = data[9];
    png->interlaced = data[12];
    if ((png->width | png->height) >> 31) /* width and height have 31 bits */
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s has no usable image header: it declares %u x %u pixels",
                         png->file->name, png->width, png->height);
    static const uint32_t depths[] = {/* a bit for each depth that a colour type may have */
                                      [0] = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8 | 1 << 16,
                                      [2] = 1 << 8 | 1 << 16,
                                      [3] = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8,
                                      [4] = 1 << 8 | 1 << 16,
                                      [6] = 1 << 8 | 1 << 16};
    if (png->colour >= sizeof depths / sizeof depths[0] || png->depth > 16 ||
        !(depths[png->colour] >> png->depth & 1) || data[10] || data[11] || data[12] > 1)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s has no usable image header: it declares colours of type %u with %u "
                         "bits, compression %u, filter %u and interlacing %u",
                         png->file->name, png->colour, png->depth, data[10], data[11], data[12]);
    return 0;
}

/* Returns whether a tRNS chunk is valid: a transparent colour, or an opacity for each colour of a
 * palette. Invalid ones are ignored, as libpng does. */
static bool is_opacity(const Png *png, uint32_t length)
{
    if (png->opacity || png->compressed)
        return false;
    if (png->colour == COLOUR_PALETTE)
        return png->palette && length && length <= PALETTE / 3;
    return !(png->colour & 4) && length == 2 * samples_of(png);
}

/* Keeps a chunk that affects the pixels. Every chunk whose first letter is a capital does so, even
 * an unknown one. */
static int take_chunk(Png *png, const uint8_t *type, const uint8_t *data, uint32_t length,
                      MegaError *err)
{
    if (is_type(type, "IHDR"))
        return take_header(png, data, length, err);
    if (!png->header)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s has no usable image header: another chunk "
                         "stands first",
                         png->file->name);
    if (is_type(type, "PLTE") && !png->palette && length && length % 3 == 0 && length <= PALETTE) {
        png->palette = data;
        png->palette_size = length;
    } else if (is_type(type, "tRNS") && is_opacity(png, length)) {
        png->opacity = data;
        png->opacity_size = length;
    } else if (is_type(type, "IDAT")) {
        png->compressed += length;
    } else if (!(type[0] & 0x20)) {
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s cannot be decoded: its chunk '%.4s' is unknown or not allowed there",
                         png->file->name, (const char *)type);
    }
    mega_image_note_png(png->file, (const char *)type, data, length);
    return 0;
}

/* Reads the chunks up to IEND: each is length, type, data and the CRC-32 of type and data. */
static int read_chunks(Png *png, MegaError *err)
{
    MegaImageFile *file = png->file;
    MegaReader reader = mega_reader(file->bytes, file->size);
    mega_get_bytes(&reader, SIGNATURE);
    for (;;) {
        const uint8_t *head = mega_get_bytes(&reader, 8);
        const uint32_t length = head ? load_be32(head) : 0;
        const uint8_t *data = mega_get_bytes(&reader, length);
        const uint8_t *sum = mega_get_bytes(&reader, 4);
        if (!head || !data || !sum)
            return mega_image_truncated(file, "PNG", "the end chunk is missing", err);
        if (crc32(0, head + 4, length + 4) != load_be32(sum))
            return mega_fail(err, MEGA_ERR_FORMAT,
                             "%s is a damaged PNG file: the checksum of the chunk at byte %zu does "
                             "not fit its content",
                             file->name, (size_t)(head - file->bytes));
        if (is_type(head + 4, "IEND"))
            break;
        int code = take_chunk(png, head + 4, data, length, err);
        if (code)
            return code;
    }
    if (!png->header || !png->compressed)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s has no pixels", file->name);
    if (png->colour == COLOUR_PALETTE && !png->palette)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s has no palette", file->name);
    return 0;
}

/* ---- Compressed rows ------------------------------------------------------------------------ */

/* Gives the data of the next IDAT chunk; *reader stands after the previous one. */
static bool next_data(MegaReader *reader, const uint8_t **data, uint32_t *length)
{
    for (;;) {
        const uint8_t *head = mega_get_bytes(reader, 8);
        if (!head || is_type(head + 4, "IEND"))
            return false;
        *length = load_be32(head);
        *data = mega_get_bytes(reader, *length);
        mega_get_bytes(reader, 4);
        if (is_type(head + 4, "IDAT"))
            return true;
    }
}

static MegaReader first_data(const Png *png)
{
    MegaReader reader = mega_reader(png->file->bytes, png->file->size);
    mega_get_bytes(&reader, SIGNATURE);
    return reader;
}

/* Inflates all data into a window and counts the bytes. If there are more than `limit`, it stops
 * soon after, with *inflated above the limit. */
static int count_inflated(const Png *png, uint64_t limit, uint64_t *inflated, MegaError *err)
{
    MegaReader reader = first_data(png);
    z_stream stream = {0};
    uint8_t window[16384];
    const uint8_t *data;
    uint32_t length;
    *inflated = 0;
    if (inflateInit(&stream) != Z_OK)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", png->file->name);
    int status = Z_OK;
    while (status == Z_OK && *inflated <= limit) {
        if (!stream.avail_in && next_data(&reader, &data, &length)) {
            stream.next_in = (Bytef *)data;
            stream.avail_in = length;
            continue; /* an IDAT chunk may be empty */
        }
        stream.next_out = window;
        stream.avail_out = sizeof window;
        status = inflate(&stream, Z_NO_FLUSH);
        *inflated += sizeof window - stream.avail_out;
    }
    inflateEnd(&stream);
    if (status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR)
        /* the data are complete or exceed the limit; the caller tells which by *inflated */
        return 0;
    return mega_fail(err, MEGA_ERR_FORMAT, "%s is a damaged PNG file: its pixels do not inflate",
                     png->file->name);
}

static int check_rows(const Png *png, uint64_t *inflated, MegaError *err)
{
    int code = count_inflated(png, png->rows + MOST_SURPLUS, inflated, err);
    if (code)
        return code;
    if (*inflated < png->rows)
        return mega_fail(
            err, MEGA_ERR_FORMAT, "%s is a damaged PNG file: of %llu bytes of pixels it holds %llu",
            png->file->name, (unsigned long long)png->rows, (unsigned long long)*inflated);
    if (*inflated > png->rows + MOST_SURPLUS)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s is a damaged PNG file: it holds far more than the %llu bytes of its "
                         "pixels",
                         png->file->name, (unsigned long long)png->rows);
    return 0;
}

/* ---- stb_image ------------------------------------------------------------------------------ */

/* Returns the channels of the pixels that stb_image makes. */
static unsigned channels_of(const Png *png)
{
    const unsigned samples = png->colour == COLOUR_PALETTE ? 3 : samples_of(png);
    return samples + (png->opacity ? 1 : 0);
}

/* Returns the most bytes that are held at once: the chunks twice, the inflated data, and the
 * pixels, which exist in two forms for a while if the picture has 16 bits, is interlaced or has a
 * palette. */
static uint64_t memory_of(const Png *png, uint64_t inflated)
{
    const uint64_t count = (uint64_t)png->width * png->height;
    const uint64_t chunks = png->compressed + PALETTE + LEAST_IDAT;
    uint64_t pixels = count * channels_of(png) * (png->depth == 16 ? 2 : 1);
    if (png->colour == COLOUR_PALETTE)
        pixels += count;
    if (png->interlaced)
        pixels += pixels / 2;
    return 2 * chunks + (inflated > png->rows ? 2 : 1) * png->rows + pixels;
}

static void put_be32(MegaBuffer *out, uint32_t value)
{
    mega_put_u32(out, __builtin_bswap32(value));
}

/* Writes a chunk without a checksum, which stb_image does not check. */
static void put_chunk(MegaBuffer *out, const char *type, const uint8_t *data, uint32_t length)
{
    put_be32(out, length);
    mega_put_bytes(out, type, 4);
    mega_put_bytes(out, data, length);
    put_be32(out, 0);
}

/* Builds the file that stb_image gets. Its palette is filled up with black to 256 colours. */
static int put_file(MegaBuffer *out, const Png *png, MegaError *err)
{
    uint8_t palette[PALETTE] = {0};
    MegaReader reader = first_data(png);
    const uint8_t *data;
    uint32_t length;
    mega_put_bytes(out, png->file->bytes, SIGNATURE);
    put_chunk(out, "IHDR", png->header, HEADER);
    if (png->colour == COLOUR_PALETTE) {
        memcpy(palette, png->palette, png->palette_size);
        put_chunk(out, "PLTE", palette, PALETTE);
    }
    if (png->opacity)
        put_chunk(out, "tRNS", png->opacity, png->opacity_size);
    put_be32(out, (uint32_t)png->compressed);
    mega_put_bytes(out, "IDAT", 4);
    while (next_data(&reader, &data, &length))
        mega_put_bytes(out, data, length);
    put_be32(out, 0);
    put_chunk(out, "IEND", palette, 0);
    if (out->failed)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", png->file->name);
    return 0;
}

/* This is a function of its own, so that no local variable has to survive the longjmp. */
static void __attribute__((noinline)) call_stb_image(const MegaBuffer *file)
{
    Decoding *here = decoding;
    here->pixels = stbi_load_from_memory(file->data, (int)file->size, &here->width, &here->height,
                                         &here->channels, 0);
    here->reason = here->pixels ? NULL : stbi_failure_reason();
}

static void load(Decoding *here, const MegaBuffer *file)
{
    decoding = here;
    if (setjmp(here->no_memory) == 0)
        call_stb_image(file);
    decoding = NULL;
}

static int decode(MegaImage *out, const Png *png, MegaError *err)
{
    MegaBuffer file = {0};
    Decoding here = {0};
    int code = put_file(&file, png, err);
    if (!code)
        load(&here, &file);
    mega_buffer_free(&file);
    if (code)
        return code;
    if (here.reason)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s cannot be decoded: %s", png->file->name,
                         here.reason);
    if (!here.pixels)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the %u x %u pixels of %s", png->width,
                         png->height, png->file->name);
    out->pixels = here.pixels;
    out->width = here.width;
    out->height = here.height;
    mega_image_lay_on_white(out->pixels, (size_t)out->width * (size_t)out->height, here.channels);
    out->channels = here.channels >= 3 ? 3 : 1;
    return 0;
}

int mega_image_decode_png(MegaImage *out, MegaImageFile *file, MegaError *err)
{
    Png png = {.file = file};
    uint64_t inflated = 0;
    int code = read_chunks(&png, err);
    if (!code) /* check the size first, so that nothing is inflated in vain */
        code = mega_image_check_size(file, png.width, png.height, 0, err);
    if (code)
        return code;
    png.rows = count_row_bytes(&png);
    /* Deflate packs 1032 : 1 at best, so a small file cannot hold many pixels. */
    if (png.rows / 1032 > png.compressed)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s declares %u x %u pixels, more than its %zu bytes can hold", file->name,
                         png.width, png.height, file->size);
    code = mega_image_check_size(file, png.width, png.height, memory_of(&png, png.rows), err);
    if (!code)
        code = check_rows(&png, &inflated, err);
    if (!code)
        code = mega_image_check_size(file, png.width, png.height, memory_of(&png, inflated), err);
    return code ? code : decode(out, &png, err);
}
