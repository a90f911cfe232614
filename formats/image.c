/*
 * image.c - decoding by stb_image, and gray, resize and crop; see image.h.
 *
 * stb_image looks at no checksum and fills what a short file lacks with gray or black, so that
 * check_png, check_jpeg and check_bmp look at the file first. Resizing computes what Pillow's
 * Image.resize(..., BICUBIC) computes, since models are trained on its output: weights in fixed
 * point, first the rows, then the columns, rounded to 8 bits in between. (stb_image_resize differs
 * from it by up to 21 levels on noise.)
 */
#include "image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "bytes.h"
#include "recognize.h"
#include "source.h"

/* Zeroed memory: what a damaged file leaves undecoded is then at least the same every time. */
#define STBI_MALLOC(size) calloc(1, size)
#define STBI_REALLOC(memory, size) realloc(memory, size)
#define STBI_FREE(memory) free(memory)
#define STBI_MAX_DIMENSIONS MEGA_IMAGE_MAX_SIDE
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_FAILURE_USERMSG
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
/* Reported at the end of the file, where a pop would have ended it. */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wshadow"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

#define PNG_SIGNATURE "\x89PNG\r\n\x1a\n"

void mega_image_free(MegaImage *image)
{
    free(image->pixels);
    *image = (MegaImage){0};
}

/* ---- Whole and undamaged? ------------------------------------------------------------------- */

static int truncated(const char *name, const char *kind, const char *missing, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_FORMAT, "%s is a truncated %s file: %s; fetch or save it again",
                     name, kind, missing);
}

/* Chunks of length, type, data and CRC-32 of type and data, up to IEND. */
static int check_png(const uint8_t *bytes, size_t size, const char *name, MegaError *err)
{
    MegaReader reader = mega_reader(bytes, size);
    mega_get_bytes(&reader, strlen(PNG_SIGNATURE));
    for (;;) {
        const uint8_t *head = mega_get_bytes(&reader, 8);
        const uint32_t length = head ? __builtin_bswap32(mega_load_u32(head)) : 0;
        const uint8_t *data = mega_get_bytes(&reader, length);
        const uint8_t *sum = mega_get_bytes(&reader, 4);
        if (!head || !data || !sum)
            return truncated(name, "PNG", "the end chunk is missing", err);
        if (crc32(0, head + 4, length + 4) != __builtin_bswap32(mega_load_u32(sum)))
            return mega_fail(err, MEGA_ERR_FORMAT,
                             "%s is a damaged PNG file: the checksum of the chunk at byte %zu does "
                             "not fit its content",
                             name, (size_t)(head - bytes));
        if (memcmp(head + 4, "IEND", 4) == 0)
            return 0;
    }
}

/* A segment of Huffman tables: class and number, 16 counts of codes by length, the codes' symbols.
 * stb_image of 2022 writes past its tables when there are more than 256. */
static bool huffman_fits(MegaReader segment)
{
    while (mega_reader_left(&segment)) {
        uint32_t codes = 0;
        mega_get_u8(&segment);
        for (int i = 0; i < 16; i++)
            codes += mega_get_u8(&segment);
        mega_get_bytes(&segment, codes);
        if (segment.failed || codes > 256)
            return false;
    }
    return true;
}

/* Walks over all markers to the end mark. In between lies compressed data, where 0xff is followed
 * by 0 (the byte 0xff) or a restart marker. */
static int check_jpeg(const uint8_t *bytes, size_t size, const char *name, MegaError *err)
{
    MegaReader reader = mega_reader(bytes, size);
    mega_get_u16(&reader);
    for (;;) {
        while (mega_reader_left(&reader) && mega_get_u8(&reader) != 0xff)
            continue;
        uint8_t marker = mega_get_u8(&reader);
        while (marker == 0xff) /* filling */
            marker = mega_get_u8(&reader);
        if (reader.failed)
            return truncated(name, "JPEG", "the end mark is missing", err);
        if (marker == 0xd9)
            return 0;
        if (marker == 0 || (marker >= 0xd0 && marker <= 0xd7))
            continue;
        const uint16_t length = __builtin_bswap16(mega_get_u16(&reader));
        const uint8_t *segment = mega_get_bytes(&reader, length < 2 ? 0 : length - 2u);
        if (!segment)
            return truncated(name, "JPEG", "it ends within a segment", err);
        if (length < 2 || (marker == 0xc4 && !huffman_fits(mega_reader(segment, length - 2u))))
            return mega_fail(err, MEGA_ERR_FORMAT,
                             "%s is a damaged JPEG file: its segment at byte %zu is malformed",
                             name, (size_t)(segment - bytes) - 4);
    }
}

static int check_bmp(const uint8_t *bytes, size_t size, const char *name, MegaError *err)
{
    MegaReader reader = mega_reader(bytes, size);
    mega_get_u16(&reader);
    if (mega_get_u32(&reader) > size || size < 26)
        return truncated(name, "BMP", "it is shorter than its header says", err);
    return 0;
}

static int check_file(const uint8_t *bytes, size_t size, const char *name, MegaError *err)
{
    if (!size)
        return mega_fail(err, MEGA_ERR_INPUT, "%s is empty; expected an image", name);
    if (size >= 8 && memcmp(bytes, PNG_SIGNATURE, 8) == 0)
        return check_png(bytes, size, name, err);
    if (size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
        return check_jpeg(bytes, size, name, err);
    if (size >= 2 && memcmp(bytes, "BM", 2) == 0)
        return check_bmp(bytes, size, name, err);
    const char *what = mega_recognize(bytes, size).what;
    return mega_fail(err, MEGA_ERR_INPUT, "%s is %s; expected PNG, JPEG or BMP", name,
                     what ? what : "no image that can be read");
}

/* ---- Decoding ------------------------------------------------------------------------------- */

static int check_limits(int64_t width, int64_t height, const char *name, MegaError *err)
{
    if (width <= MEGA_IMAGE_MAX_SIDE && height <= MEGA_IMAGE_MAX_SIDE &&
        width * height <= MEGA_IMAGE_MAX_PIXELS)
        return 0;
    return mega_fail(err, MEGA_ERR_LIMIT,
                     "%s declares %lld x %lld pixels; the limits are %u pixels and a side of %d",
                     name, (long long)width, (long long)height, MEGA_IMAGE_MAX_PIXELS,
                     MEGA_IMAGE_MAX_SIDE);
}

/* Of a PNG or BMP header, whose sides have 32 bits: of the largest ones stb_image only says that it
 * does not know such a file. */
static int check_declared(const uint8_t *bytes, size_t size, const char *name, MegaError *err)
{
    if (size >= 24 && memcmp(bytes, PNG_SIGNATURE, 8) == 0)
        return check_limits(__builtin_bswap32(mega_load_u32(bytes + 16)),
                            __builtin_bswap32(mega_load_u32(bytes + 20)), name, err);
    if (size >= 26 && memcmp(bytes, "BM", 2) == 0 && mega_load_u32(bytes + 14) >= 40)
        return check_limits((int32_t)mega_load_u32(bytes + 18),
                            llabs((int32_t)mega_load_u32(bytes + 22)), name, err);
    return 0;
}

/* stb_image would allocate by the declared size: compare that with the limits, and with what so
 * many bytes can hold: nothing packs denser than 1032:1 of deflate with 1 bit a pixel. */
static int check_size(const uint8_t *bytes, size_t size, const char *name, MegaError *err)
{
    int width = 0, height = 0, channels = 0;
    int code = check_declared(bytes, size, name, err);
    if (code)
        return code;
    if (!stbi_info_from_memory(bytes, (int)size, &width, &height, &channels) || width < 1 ||
        height < 1)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s has no usable image header: %s", name,
                         stbi_failure_reason());
    code = check_limits(width, height, name, err);
    if (code)
        return code;
    if ((uint64_t)width * (uint64_t)height / (1032 * 8) > size)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s declares %d x %d pixels, more than its %zu bytes can hold", name,
                         width, height, size);
    return 0;
}

/* Keeps the first `kept` of `channels` samples of each pixel, in place. */
static void drop_channels(uint8_t *pixels, size_t count, size_t channels, size_t kept)
{
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < kept; c++)
            pixels[i * kept + c] = pixels[i * channels + c];
}

int mega_image_decode(MegaImage *out, const uint8_t *bytes, size_t size, const char *name,
                      MegaError *err)
{
    int width = 0, height = 0, channels = 0;
    *out = (MegaImage){0};
    if (size > MEGA_IMAGE_MAX_FILE)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s is larger than %u bytes, the limit of an image",
                         name, MEGA_IMAGE_MAX_FILE);
    int code = check_file(bytes, size, name, err);
    if (!code)
        code = check_size(bytes, size, name, err);
    if (code)
        return code;
    uint8_t *pixels = stbi_load_from_memory(bytes, (int)size, &width, &height, &channels, 0);
    if (!pixels)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s cannot be decoded: %s", name,
                         stbi_failure_reason());
    const int kept = channels >= 3 ? 3 : 1; /* without alpha */
    if (kept != channels)
        drop_channels(pixels, (size_t)width * (size_t)height, (size_t)channels, (size_t)kept);
    *out = (MegaImage){.width = width, .height = height, .channels = kept, .pixels = pixels};
    return 0;
}

int mega_image_open(MegaImage *out, const char *path, MegaError *err)
{
    MegaBuffer file = {0};
    *out = (MegaImage){0};
    int code = mega_source_read(&file, path, "an image", MEGA_IMAGE_MAX_FILE, err);
    if (!code)
        code = mega_image_decode(out, file.data, file.size, mega_source_name(path), err);
    mega_buffer_free(&file);
    return code;
}

/* ---- Operations ----------------------------------------------------------------------------- */

/* Sizes are checked by the callers: at most MEGA_IMAGE_MAX_PIXELS x 3 bytes. */
static uint8_t *new_pixels(int width, int height, int channels, MegaError *err)
{
    uint8_t *pixels = malloc((size_t)width * (size_t)height * (size_t)channels);
    if (!pixels)
        mega_fail(err, MEGA_ERR_MEMORY, "no memory for an image of %d x %d pixels", width, height);
    return pixels;
}

/* Of the result and of the step in between, which has the new width and the old height. */
static int check_target(const MegaImage *image, int width, int height, MegaError *err)
{
    const int tallest = height > image->height ? height : image->height;
    if (width >= 1 && height >= 1 && width <= MEGA_IMAGE_MAX_SIDE &&
        height <= MEGA_IMAGE_MAX_SIDE &&
        (uint64_t)width * (uint64_t)tallest <= MEGA_IMAGE_MAX_PIXELS)
        return 0;
    return mega_fail(err, MEGA_ERR_INPUT,
                     "an image of %d x %d pixels cannot be resized to %d x %d; the limits are %u "
                     "pixels and a side of %d",
                     image->width, image->height, width, height, MEGA_IMAGE_MAX_PIXELS,
                     MEGA_IMAGE_MAX_SIDE);
}

static void replace_pixels(MegaImage *image, int width, int height, int channels, uint8_t *pixels)
{
    free(image->pixels);
    *image = (MegaImage){.width = width, .height = height, .channels = channels, .pixels = pixels};
}

int mega_image_convert(MegaImage *image, int channels, MegaError *err)
{
    const size_t count = (size_t)image->width * (size_t)image->height;
    if (channels != 1 && channels != 3)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "an image has 1 or 3 channels, not %d", channels);
    if (image->channels == channels)
        return 0;
    uint8_t *to = new_pixels(image->width, image->height, channels, err);
    const uint8_t *from = image->pixels;
    if (!to)
        return MEGA_ERR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        if (channels == 1)
            to[i] = (uint8_t)((from[3 * i] * 19595u + from[3 * i + 1] * 38470u +
                               from[3 * i + 2] * 7471u + 32768u) >>
                              16);
        else
            to[3 * i] = to[3 * i + 1] = to[3 * i + 2] = from[i];
    }
    replace_pixels(image, image->width, image->height, channels, to);
    return 0;
}

int mega_image_crop(MegaImage *image, int x, int y, int width, int height, MegaError *err)
{
    if (x < 0 || y < 0 || width < 1 || height < 1 || width > image->width ||
        height > image->height || x > image->width - width || y > image->height - height)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "cannot cut %d x %d pixels at %d, %d out of an image of %d x %d", width,
                         height, x, y, image->width, image->height);
    uint8_t *to = new_pixels(width, height, image->channels, err);
    if (!to)
        return MEGA_ERR_MEMORY;
    const size_t pixel = (size_t)image->channels, row = (size_t)width * pixel;
    for (size_t i = 0; i < (size_t)height; i++)
        memcpy(to + i * row,
               image->pixels + (((size_t)y + i) * (size_t)image->width + (size_t)x) * pixel, row);
    replace_pixels(image, width, height, image->channels, to);
    return 0;
}

/* ---- Resizing ------------------------------------------------------------------------------- */

#define PRECISION 22 /* bits of a weight behind the point; 8 more for a pixel, 2 for overshoot */

/* Which input positions make up each output position, and by what weight. */
typedef struct Taps {
    size_t room;      /* weights per output position */
    int *first;       /* [out] */
    int *count;       /* [out] */
    int32_t *weights; /* [out][room] */
} Taps;

static void taps_free(Taps *taps)
{
    free(taps->first);
    free(taps->count);
    free(taps->weights);
}

/* Keys' cubic convolution with a = -1/2 (Catmull-Rom), 0 from 2 on. */
static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/* Output position `to` covers [to, to + 1) * in / out of the input. When shrinking, the cubic is
 * stretched by the same factor. At the edges it is cut off and scaled to the sum 1. */
static void fill_taps(Taps *taps, int in, int out, int to, double *scratch)
{
    const double scale = (double)in / out, stretch = scale > 1 ? scale : 1;
    const double centre = (to + 0.5) * scale, support = 2 * stretch;
    int first = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
    first = first < 0 ? 0 : first;
    end = end > in ? in : end;
    double sum = 0;
    for (int i = first; i < end; i++) {
        scratch[i - first] = cubic((i - centre + 0.5) / stretch);
        sum += scratch[i - first];
    }
    int32_t *weights = taps->weights + (size_t)to * taps->room;
    for (int i = 0; i < end - first; i++)
        weights[i] = (int32_t)lround(scratch[i] / sum * (1 << PRECISION));
    taps->first[to] = first;
    taps->count[to] = end - first;
}

static int make_taps(Taps *taps, int in, int out, MegaError *err)
{
    const double scale = (double)in / out;
    const size_t positions = (size_t)out;
    taps->room = (size_t)ceil(2 * (scale > 1 ? scale : 1)) * 2 + 1;
    taps->first = malloc(positions * sizeof *taps->first);
    taps->count = malloc(positions * sizeof *taps->count);
    taps->weights = malloc(positions * taps->room * sizeof *taps->weights);
    double *scratch = malloc(taps->room * sizeof *scratch);
    const bool complete = taps->first && taps->count && taps->weights && scratch;
    for (int to = 0; complete && to < out; to++)
        fill_taps(taps, in, out, to, scratch);
    free(scratch);
    return complete ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for resizing an image");
}

/* from [blocks][in][lanes] to [blocks][out][lanes], mixing along the middle: rows are blocks of
 * width x channels, columns one block of height x (width * channels). */
static void apply_taps(const Taps *taps, const uint8_t *from, size_t blocks, size_t in, size_t out,
                       size_t lanes, uint8_t *to)
{
    for (size_t block = 0; block < blocks; block++) {
        for (size_t position = 0; position < out; position++) {
            const int32_t *weights = taps->weights + position * taps->room;
            const uint8_t *source = from + (block * in + (size_t)taps->first[position]) * lanes;
            const size_t count = (size_t)taps->count[position];
            for (size_t lane = 0; lane < lanes; lane++) {
                int64_t sum = 1 << (PRECISION - 1);
                for (size_t i = 0; i < count; i++)
                    sum += (int64_t)source[i * lanes + lane] * weights[i];
                sum >>= PRECISION;
                *to++ = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
            }
        }
    }
}

static int resize_rows(MegaImage *image, int width, MegaError *err)
{
    Taps taps = {0};
    uint8_t *to = new_pixels(width, image->height, image->channels, err);
    int code = to ? make_taps(&taps, image->width, width, err) : MEGA_ERR_MEMORY;
    if (!code) {
        apply_taps(&taps, image->pixels, (size_t)image->height, (size_t)image->width, (size_t)width,
                   (size_t)image->channels, to);
        replace_pixels(image, width, image->height, image->channels, to);
        to = NULL;
    }
    free(to);
    taps_free(&taps);
    return code;
}

static int resize_columns(MegaImage *image, int height, MegaError *err)
{
    Taps taps = {0};
    uint8_t *to = new_pixels(image->width, height, image->channels, err);
    int code = to ? make_taps(&taps, image->height, height, err) : MEGA_ERR_MEMORY;
    if (!code) {
        apply_taps(&taps, image->pixels, 1, (size_t)image->height, (size_t)height,
                   (size_t)image->width * (size_t)image->channels, to);
        replace_pixels(image, image->width, height, image->channels, to);
        to = NULL;
    }
    free(to);
    taps_free(&taps);
    return code;
}

int mega_image_resize(MegaImage *image, int width, int height, MegaError *err)
{
    int code = check_target(image, width, height, err);
    if (!code && width != image->width)
        code = resize_rows(image, width, err);
    if (!code && height != image->height)
        code = resize_columns(image, height, err);
    return code;
}
