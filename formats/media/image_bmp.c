/*
 * image_bmp.c - decodes Windows and OS/2 bitmaps; see image_file.h.
 *
 *   "BM", size of the file (often wrong, so not used), 4 bytes, position of the pixels
 *   a header that begins with its own size: 12 (OS/2), 40 (Windows 3), 52, 56, 64, 108, 124
 *   masks of red, green, blue and perhaps opacity, if a header of 40 bytes announces them
 *   a palette: blue, green, red and, unless the header has 12 bytes, one byte more
 *   the rows from the bottom up (from the top down if the height is negative), each filled up to a
 *   multiple of 4 bytes; or the same in run-length codes, see decode_runs
 *
 * Samples of n bits become value * 255 / (2^n - 1), rounded down as Pillow does.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "formats/media/image_file.h"

enum { RGB = 0, RLE8 = 1, RLE4 = 2, BITFIELDS = 3, JPEG = 4, PNG = 5, ALPHABITFIELDS = 6 };

typedef struct Mask {
    uint32_t bits;
    int shift;
    uint32_t most; /* the largest value */
} Mask;

typedef struct Bitmap {
    int64_t width, height;
    bool top_down;
    uint32_t header; /* size of the header */
    unsigned bits;   /* bits per pixel */
    uint32_t compression;
    uint64_t first; /* offset of the pixels */
    Mask masks[4];  /* red, green, blue and opacity; bits is 0 if there is none */
    size_t colours;
    uint8_t palette[256][3]; /* RGB */
} Bitmap;

static int damaged(const MegaImageFile *file, const char *what, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_FORMAT, "%s is a damaged BMP file: %s", file->name, what);
}

static int cut(const MegaImageFile *file, MegaError *err)
{
    return mega_image_truncated(file, "BMP", "it ends before its last row of pixels", err);
}

/* ---- Headers -------------------------------------------------------------------------------- */

static int set_mask(Mask *mask, uint32_t bits, const MegaImageFile *file, MegaError *err)
{
    *mask = (Mask){.bits = bits};
    if (!bits)
        return 0;
    mask->shift = __builtin_ctz(bits);
    mask->most = bits >> mask->shift;
    if (mask->most & (mask->most + 1))
        return damaged(file, "the mask of a colour has gaps", err);
    return 0;
}

static int read_masks(Bitmap *bitmap, MegaReader *reader, const MegaImageFile *file, MegaError *err)
{
    static const uint32_t of_16[3] = {0x7c00, 0x3e0, 0x1f}, of_32[3] = {0xff0000, 0xff00, 0xff};
    const uint32_t *usual = bitmap->bits == 16 ? of_16 : of_32;
    const bool given = bitmap->compression == BITFIELDS || bitmap->compression == ALPHABITFIELDS;
    const int count = bitmap->compression == ALPHABITFIELDS || bitmap->header >= 56 ? 4 : 3;
    int code = 0;
    for (int i = 0; !code && i < (given ? count : 3); i++)
        code = set_mask(&bitmap->masks[i], given ? mega_get_u32(reader) : usual[i], file, err);
    if (!code && reader->failed)
        code = cut(file, err);
    if (!code && bitmap->bits == 16)
        for (int i = 0; i < 4; i++)
            if (bitmap->masks[i].bits > 0xffff)
                code = damaged(file, "the mask of a colour goes beyond its 16 bits", err);
    return code;
}

/* Reads the palette. It ends where the pixels begin, even if it should have more entries. */
static void read_palette(Bitmap *bitmap, MegaReader *reader, uint32_t used)
{
    const size_t entry = bitmap->header == 12 ? 3 : 4;
    size_t count = (size_t)1 << bitmap->bits;
    if (used && used < count)
        count = used;
    if (bitmap->first && bitmap->first >= reader->position &&
        count > (bitmap->first - reader->position) / entry)
        count = (size_t)(bitmap->first - reader->position) / entry;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *colour = mega_get_bytes(reader, entry);
        if (!colour)
            return;
        for (int c = 0; c < 3; c++)
            bitmap->palette[i][c] = colour[2 - c];
        bitmap->colours = i + 1;
    }
}

static int check_kind(const Bitmap *bitmap, const MegaImageFile *file, MegaError *err)
{
    enum { DEPTHS = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8 | 1 << 16 | 1 << 24 };
    static const struct {
        uint32_t compression;
        uint64_t depths; /* bit n is set if n bits per pixel are allowed */
    } known[] = {
        {RGB, 1ull << 32 | DEPTHS},
        {RLE8, 1 << 8},
        {RLE4, 1 << 4},
        {BITFIELDS, 1ull << 32 | 1 << 24 | 1 << 16},
        {ALPHABITFIELDS, 1ull << 32 | 1 << 16},
    };
    if (bitmap->compression == JPEG || bitmap->compression == PNG)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "%s is a BMP file around a %s image; expected plain pixels: convert it "
                         "with ffmpeg -i picture.bmp picture.png",
                         file->name, bitmap->compression == JPEG ? "JPEG" : "PNG");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].compression == bitmap->compression && bitmap->bits <= 32 &&
            known[i].depths >> bitmap->bits & 1 &&
            /* for OS/2, higher numbers mean other compressions */
            (bitmap->header != 64 || bitmap->compression <= RLE4))
            return 0;
    return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                     "%s is a BMP file of %u bits per pixel with compression %u, which is not "
                     "read: convert it with ffmpeg -i picture.bmp picture.png",
                     file->name, bitmap->bits, bitmap->compression);
}

/* Reads everything in front of the pixels. */
static int read_header(Bitmap *bitmap, const MegaImageFile *file, MegaError *err)
{
    MegaReader reader = mega_reader(file->bytes, file->size);
    uint32_t used = 0;
    mega_get_bytes(&reader, 10);
    bitmap->first = mega_get_u32(&reader);
    bitmap->header = mega_get_u32(&reader);
    const bool old = bitmap->header == 12;
    if (!reader.failed && !old && (bitmap->header < 16 || bitmap->header > 4096))
        return damaged(file, "its header has a size that no header has", err);
    const uint8_t *rest = mega_get_bytes(&reader, bitmap->header - 4u);
    if (!rest)
        return mega_image_truncated(file, "BMP", "it ends within its header", err);
    MegaReader fields = mega_reader(rest, bitmap->header - 4u);
    bitmap->width = old ? mega_get_u16(&fields) : (int32_t)mega_get_u32(&fields);
    bitmap->height = old ? mega_get_u16(&fields) : (int32_t)mega_get_u32(&fields);
    mega_get_u16(&fields);
    bitmap->bits = mega_get_u16(&fields);
    bitmap->compression = mega_get_u32(&fields); /* this is 0 if the header ends before */
    mega_get_bytes(&fields, 12);
    used = mega_get_u32(&fields);
    bitmap->top_down = bitmap->height < 0;
    if (bitmap->top_down)
        bitmap->height = -bitmap->height;
    int code = check_kind(bitmap, file, err);
    if (code)
        return code;
    if (bitmap->header >= 52) /* such a header includes the masks */
        mega_reader_seek(&reader, 14 + 40);
    if (bitmap->bits >= 16)
        code = read_masks(bitmap, &reader, file, err);
    if (!code && reader.position < 14 + bitmap->header)
        mega_reader_seek(&reader, 14 + bitmap->header);
    if (!code && bitmap->bits <= 8)
        read_palette(bitmap, &reader, used);
    if (!code && !bitmap->first)
        bitmap->first = reader.position;
    if (!code && bitmap->first < 14 + bitmap->header)
        code = damaged(file, "its pixels begin within its header", err);
    return code;
}

/* ---- Pixels --------------------------------------------------------------------------------- */

static uint8_t *row_of(const Bitmap *bitmap, uint8_t *pixels, int64_t y, size_t channels)
{
    const int64_t row = bitmap->top_down ? y : bitmap->height - 1 - y;
    return pixels + (size_t)(row * bitmap->width) * channels;
}

static int put_colour(const Bitmap *bitmap, size_t index, uint8_t *to, const MegaImageFile *file,
                      MegaError *err)
{
    if (index >= bitmap->colours)
        return damaged(file, "a pixel has a colour that is not in its palette", err);
    memcpy(to, bitmap->palette[index], 3);
    return 0;
}

static int unpack_indices(const Bitmap *bitmap, const uint8_t *from, uint8_t *to,
                          const MegaImageFile *file, MegaError *err)
{
    const unsigned bits = bitmap->bits, per_byte = 8 / bits, mask = (1u << bits) - 1;
    int code = 0;
    for (size_t x = 0; !code && x < (size_t)bitmap->width; x++) {
        const unsigned shift = 8 - bits - (unsigned)(x % per_byte) * bits;
        code = put_colour(bitmap, from[x / per_byte] >> shift & mask, to + 3 * x, file, err);
    }
    return code;
}

static uint8_t sample_of(const Mask *mask, uint32_t pixel)
{
    return mask->most
               ? (uint8_t)((uint64_t)((pixel & mask->bits) >> mask->shift) * 255 / mask->most)
               : 0;
}

static void unpack_masked(const Bitmap *bitmap, const uint8_t *from, uint8_t *to, size_t channels)
{
    for (size_t x = 0; x < (size_t)bitmap->width; x++) {
        const uint32_t pixel = bitmap->bits == 16 ? mega_load_u16(from + 2 * x)
                               : bitmap->bits == 32
                                   ? mega_load_u32(from + 4 * x)
                                   : mega_load_u16(from + 3 * x) | (uint32_t)from[3 * x + 2] << 16;
        for (size_t c = 0; c < channels; c++)
            to[channels * x + c] = sample_of(&bitmap->masks[c], pixel);
    }
}

static void unpack_bgr(const Bitmap *bitmap, const uint8_t *from, uint8_t *to)
{
    for (size_t i = 0; i < 3 * (size_t)bitmap->width; i += 3)
        for (size_t c = 0; c < 3; c++)
            to[i + c] = from[i + 2 - c];
}

static int decode_rows(const Bitmap *bitmap, uint8_t *pixels, size_t channels,
                       const MegaImageFile *file, MegaError *err)
{
    const uint64_t row_bits = (uint64_t)bitmap->width * bitmap->bits;
    /* check_rows has checked that all rows are there */
    const uint8_t *from = file->bytes + bitmap->first;
    int code = 0;
    for (int64_t y = 0; !code && y < bitmap->height; y++, from += (row_bits + 31) / 32 * 4) {
        uint8_t *to = row_of(bitmap, pixels, y, channels);
        if (bitmap->bits <= 8)
            code = unpack_indices(bitmap, from, to, file, err);
        else if (bitmap->bits == 24 && bitmap->compression == RGB)
            unpack_bgr(bitmap, from, to);
        else
            unpack_masked(bitmap, from, to, channels);
    }
    return code;
}

/* Checks that all rows are there. Only the padding of the last one may be missing. */
static int check_rows(const Bitmap *bitmap, const MegaImageFile *file, MegaError *err)
{
    const uint64_t row_bits = (uint64_t)bitmap->width * bitmap->bits;
    const uint64_t rows = (uint64_t)(bitmap->height - 1) * ((row_bits + 31) / 32 * 4);
    return bitmap->first + rows + (row_bits + 7) / 8 <= file->size ? 0 : cut(file, err);
}

/* ---- Run-length codes ----------------------------------------------------------------------- */

typedef struct Pen {
    const Bitmap *bitmap;
    uint8_t *pixels;
    int64_t x, y;
} Pen;

/* Sets a pixel. Pixels beyond the right margin are dropped. */
static int put_pixel(Pen *pen, unsigned index, const MegaImageFile *file, MegaError *err)
{
    const Bitmap *bitmap = pen->bitmap;
    const int64_t x = pen->x++;
    if (x >= bitmap->width || pen->y >= bitmap->height)
        return 0;
    return put_colour(bitmap, index, row_of(bitmap, pen->pixels, pen->y, 3) + 3 * x, file, err);
}

/* Returns pixel i of some bytes, each of which holds one pixel with RLE8 and two with RLE4. */
static unsigned pixel_of(const Bitmap *bitmap, const uint8_t *bytes, size_t i)
{
    if (bitmap->compression == RLE8)
        return bytes[i];
    return i % 2 ? bytes[i / 2] & 15u : bytes[i / 2] >> 4;
}

/*
 *   n c      n pixels of colour c (with RLE4 of the colours in its two halves, in turn)
 *   0 0      end of the row         0 1      end of the picture
 *   0 2 x y  move right and on      0 n ...  n pixels as they are, filled up to two bytes
 * Pixels that are skipped have colour 0.
 */
static int decode_runs(const Bitmap *bitmap, uint8_t *pixels, const MegaImageFile *file,
                       MegaError *err)
{
    Pen pen = {bitmap, pixels, 0, 0};
    MegaReader reader = mega_reader(file->bytes, file->size);
    int code = 0;
    mega_reader_seek(&reader, bitmap->first);
    for (int64_t i = 0; i < bitmap->width * bitmap->height; i++)
        memcpy(pixels + 3 * i, bitmap->palette[0], 3);
    while (!code) {
        const bool filled =
            pen.y >= bitmap->height || (pen.y == bitmap->height - 1 && pen.x >= bitmap->width);
        const uint8_t *pair = mega_get_bytes(&reader, 2);
        if (!pair || (pair[0] == 0 && pair[1] == 1))
            return pair || filled ? 0 : cut(file, err);
        size_t count = pair[0];
        const uint8_t *literal = NULL;
        if (!count && pair[1] == 0) {
            pen.x = 0;
            pen.y++;
            continue;
        }
        if (!count && pair[1] == 2) {
            pen.x += mega_get_u8(&reader);
            pen.y += mega_get_u8(&reader);
            continue;
        }
        if (!count) {
            count = pair[1];
            const size_t bytes = bitmap->compression == RLE8 ? count : (count + 1) / 2;
            literal = mega_get_bytes(&reader, bytes);
            if (!literal)
                return cut(file, err);
            mega_get_bytes(&reader, bytes % 2 && mega_reader_left(&reader) ? 1 : 0);
        }
        const uint8_t both[2] = {pair[1], pair[1]};
        for (size_t i = 0; !code && i < count; i++)
            code = put_pixel(&pen,
                             literal ? pixel_of(bitmap, literal, i) : pixel_of(bitmap, both, i % 2),
                             file, err);
    }
    return code;
}

/* Rejects pictures that are packed more densely than deflate can: they are damaged or hostile,
 * since a pair of bytes makes 255 pixels at most, or skips a row. */
static int check_runs(const Bitmap *bitmap, const MegaImageFile *file, MegaError *err)
{
    const uint64_t pixels = (uint64_t)(bitmap->width * bitmap->height);
    return bitmap->first < file->size && pixels / (file->size - bitmap->first) <= 1032
               ? 0
               : cut(file, err);
}

/* ---- The whole file ------------------------------------------------------------------------- */

/* Makes pictures opaque whose opacity is 0 everywhere, as programs write it that do not know
 * opacity. */
static void undo_empty_opacity(uint8_t *pixels, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (pixels[4 * i + 3])
            return;
    for (size_t i = 0; i < count; i++)
        pixels[4 * i + 3] = 255;
}

int mega_image_decode_bmp(MegaImage *out, MegaImageFile *file, MegaError *err)
{
    Bitmap bitmap = {0};
    int code = read_header(&bitmap, file, err);
    if (code)
        return code;
    const bool runs = bitmap.compression == RLE8 || bitmap.compression == RLE4;
    const size_t channels = bitmap.masks[3].bits ? 4 : 3;
    code = mega_image_check_size(
        file, bitmap.width, bitmap.height,
        (uint64_t)bitmap.width * (uint64_t)bitmap.height * (uint64_t)channels, err);
    if (!code)
        code = runs ? check_runs(&bitmap, file, err) : check_rows(&bitmap, file, err);
    if (code)
        return code;
    const size_t count = (size_t)(bitmap.width * bitmap.height);
    out->width = (int)bitmap.width;
    out->height = (int)bitmap.height;
    out->channels = 3;
    out->pixels = malloc(count * channels);
    if (!out->pixels)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the %d x %d pixels of %s", out->width,
                         out->height, file->name);
    code = runs ? decode_runs(&bitmap, out->pixels, file, err)
                : decode_rows(&bitmap, out->pixels, channels, file, err);
    if (!code && channels == 4) {
        undo_empty_opacity(out->pixels, count);
        mega_image_lay_on_white(out->pixels, count, 4);
    }
    return code;
}
