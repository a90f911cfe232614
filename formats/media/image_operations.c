/*
 * image_operations.c - converts, resizes, crops and turns pictures; see image.h.
 *
 * Resizing computes what Pillow's Image.resize(..., BICUBIC) computes, since models are trained on
 * its output: weights in fixed point, first the rows, then the columns, rounded to 8 bits in
 * between.
 */
#include "formats/media/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Operations ----------------------------------------------------------------------------- */

void mega_image_free(MegaImage *image)
{
    free(image->pixels);
    *image = (MegaImage){0};
}

static size_t bytes_of(int width, int height, int channels)
{
    return (size_t)width * (size_t)height * (size_t)channels;
}

/* Checks that `more` bytes besides those of the image are within its limit. */
static int check_memory(const MegaImage *image, size_t more, MegaError *err)
{
    const uint64_t sum = bytes_of(image->width, image->height, image->channels) + (uint64_t)more;
    if (!image->max_memory || sum <= image->max_memory)
        return 0;
    return mega_fail(err, MEGA_ERR_LIMIT,
                     "an image of %d x %d pixels takes %.1f MB of memory while it is prepared for "
                     "the model, and the limit is %.1f MB",
                     image->width, image->height, (double)sum / 1e6,
                     (double)image->max_memory / 1e6);
}

/* Allocates pixels. Callers check that the size is at most MEGA_IMAGE_MAX_PIXELS x 3 bytes. */
static int new_pixels(uint8_t **out, const MegaImage *image, int width, int height, MegaError *err)
{
    const size_t size = bytes_of(width, height, image->channels);
    *out = NULL;
    int code = check_memory(image, size, err);
    if (!code && !(*out = malloc(size)))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for an image of %d x %d pixels", width,
                         height);
    return code;
}

/* Checks the size of the result and of the intermediate picture, which has the new width and the
 * old height. */
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

static void replace_pixels(MegaImage *image, int width, int height, uint8_t *pixels)
{
    free(image->pixels);
    image->width = width;
    image->height = height;
    image->pixels = pixels;
}

/* Converts in place, from the first pixel on. */
static void make_gray(MegaImage *image)
{
    const size_t count = bytes_of(image->width, image->height, 1);
    uint8_t *pixels = image->pixels;
    for (size_t i = 0; i < count; i++)
        pixels[i] = (uint8_t)((pixels[3 * i] * 19595u + pixels[3 * i + 1] * 38470u +
                               pixels[3 * i + 2] * 7471u + 32768u) >>
                              16);
    image->channels = 1;
    uint8_t *smaller = realloc(pixels, count);
    if (smaller)
        image->pixels = smaller;
}

/* Converts in place, from the last pixel on. */
static int make_rgb(MegaImage *image, MegaError *err)
{
    const size_t count = bytes_of(image->width, image->height, 1);
    int code = check_memory(image, 2 * count, err);
    if (code)
        return code;
    uint8_t *pixels = realloc(image->pixels, 3 * count);
    if (!pixels)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for an image of %d x %d pixels",
                         image->width, image->height);
    for (size_t i = count; i-- > 0;)
        pixels[3 * i] = pixels[3 * i + 1] = pixels[3 * i + 2] = pixels[i];
    image->pixels = pixels;
    image->channels = 3;
    return 0;
}

int mega_image_convert(MegaImage *image, int channels, MegaError *err)
{
    if (channels != 1 && channels != 3)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "an image has 1 or 3 channels, not %d", channels);
    if (image->channels == channels)
        return 0;
    if (channels == 3)
        return make_rgb(image, err);
    make_gray(image);
    return 0;
}

int mega_image_crop(MegaImage *image, int x, int y, int width, int height, MegaError *err)
{
    if (x < 0 || y < 0 || width < 1 || height < 1 || width > image->width ||
        height > image->height || x > image->width - width || y > image->height - height)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "cannot cut %d x %d pixels at %d, %d out of an image of %d x %d", width,
                         height, x, y, image->width, image->height);
    uint8_t *to;
    int code = new_pixels(&to, image, width, height, err);
    if (code)
        return code;
    const size_t pixel = (size_t)image->channels, row = (size_t)width * pixel;
    for (size_t i = 0; i < (size_t)height; i++)
        memcpy(to + i * row,
               image->pixels + (((size_t)y + i) * (size_t)image->width + (size_t)x) * pixel, row);
    replace_pixels(image, width, height, to);
    return 0;
}

/* ---- Turning -------------------------------------------------------------------------------- */

/* The orientations of Exif are: 1 as it is, 2 mirrored, 3 turned by 180 degrees, 4 upside down, 5
 * transposed, 6 turned to the right, 7 transposed along the other diagonal, 8 turned to the left.
 * Each is done as an optional transposition, then a reversal of columns, rows, both or none. */
int mega_image_orient(MegaImage *image, int orientation, MegaError *err)
{
    static const struct {
        bool transpose, reverse_columns, reverse_rows;
    } turns[9] = {
        [2] = {false, true, false}, [3] = {false, true, true}, [4] = {false, false, true},
        [5] = {true, false, false}, [6] = {true, true, false}, [7] = {true, true, true},
        [8] = {true, false, true},
    };
    if (orientation < 1 || orientation > 8)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "an orientation is from 1 to 8, not %d",
                         orientation);
    if (orientation == 1)
        return 0;
    const bool transpose = turns[orientation].transpose;
    const int width = transpose ? image->height : image->width;
    const int height = transpose ? image->width : image->height;
    const size_t pixel = (size_t)image->channels, stride = (size_t)image->width * pixel;
    uint8_t *pixels, *to;
    int code = new_pixels(&pixels, image, width, height, err);
    if (code)
        return code;
    to = pixels;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, to += pixel) {
            const size_t column = (size_t)(turns[orientation].reverse_columns ? width - 1 - x : x);
            const size_t row = (size_t)(turns[orientation].reverse_rows ? height - 1 - y : y);
            memcpy(to,
                   image->pixels +
                       (transpose ? column * stride + row * pixel : row * stride + column * pixel),
                   pixel);
        }
    replace_pixels(image, width, height, pixels);
    return 0;
}

/* ---- Resizing ------------------------------------------------------------------------------- */

#define PRECISION 22 /* fractional bits of a weight; a pixel needs 8 more bits, and overshoot 2 */

/* The input positions from which each output position is computed, and their weights. */
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

/* Returns Keys' cubic convolution kernel with a = -1/2 (Catmull-Rom), which is 0 from 2 on. */
static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/* Output position `to` covers [to, to + 1) * in / out of the input. When shrinking, the cubic is
 * stretched by the same factor. At the edges it is truncated, and its weights are scaled so that
 * their sum is 1. */
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

/* Resizes from [blocks][in][lanes] to [blocks][out][lanes] along the middle dimension. To resize
 * rows, each row is a block of width x channels; to resize columns, the picture is one block of
 * height x (width * channels). */
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
    uint8_t *to;
    int code = new_pixels(&to, image, width, image->height, err);
    if (!code)
        code = make_taps(&taps, image->width, width, err);
    if (!code) {
        apply_taps(&taps, image->pixels, (size_t)image->height, (size_t)image->width, (size_t)width,
                   (size_t)image->channels, to);
        replace_pixels(image, width, image->height, to);
        to = NULL;
    }
    free(to);
    taps_free(&taps);
    return code;
}

static int resize_columns(MegaImage *image, int height, MegaError *err)
{
    Taps taps = {0};
    uint8_t *to;
    int code = new_pixels(&to, image, image->width, height, err);
    if (!code)
        code = make_taps(&taps, image->height, height, err);
    if (!code) {
        apply_taps(&taps, image->pixels, 1, (size_t)image->height, (size_t)height,
                   (size_t)image->width * (size_t)image->channels, to);
        replace_pixels(image, image->width, height, to);
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
