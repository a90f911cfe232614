/*
 * preprocess.c - prepares inputs as a model file describes it; see preprocess.h.
 */
#include "src/pipeline/preprocess.h"

#include <string.h>

#include "formats/media/pcm.h"

#define MAX_CLIP (1 << 26) /* samples: 70 minutes at 16 kHz */
#define MAX_SCALE 1e9      /* largest magnitude of a mean or standard deviation */
#define MIN_STD 1e-9

static const char *const fit_names[] = {
    [MEGA_FIT_EXACT] = "exact",
    [MEGA_FIT_STRETCH] = "stretch",
    [MEGA_FIT_CROP] = "crop",
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
_Static_assert(COUNT(fit_names) == MEGA_FIT_COUNT, "a way to fit a picture has no name");

static const char *const order_names[] = {"rows", "bit_reversed"};

static int get_int(const MegaMeta *meta, const char *key, int64_t min, int64_t max, int *out,
                   MegaError *err)
{
    int64_t value = 0;
    int code = mega_meta_get_int(meta, key, min, max, &value, err);
    *out = (int)value;
    return code;
}

/* Values are around [-1, 1], and a mean far outside would overflow float32. */
static int check_mean(const char *key, double mean, MegaError *err)
{
    if (mean >= -MAX_SCALE && mean <= MAX_SCALE)
        return 0;
    return mega_fail(err, MEGA_ERR_MODEL, "metadata %s is %g, expected at most +-%g", key, mean,
                     MAX_SCALE);
}

static int check_std(const char *key, double std, MegaError *err)
{
    if (std >= MIN_STD && std <= MAX_SCALE)
        return 0;
    return mega_fail(err, MEGA_ERR_MODEL,
                     "metadata %s is %g, expected a standard deviation from %g to %g", key, std,
                     MIN_STD, MAX_SCALE);
}

/* Reads an array with one number per channel. */
static int get_channels(const MegaMeta *meta, const char *key, int channels,
                        int (*check)(const char *key, double value, MegaError *err), float *out,
                        MegaError *err)
{
    const MegaMetaValue *value = mega_meta_find(meta, key);
    if (!value)
        return mega_fail(err, MEGA_ERR_MODEL, "metadata %s is missing", key);
    if (value->type != MEGA_META_FLOATS || value->count != (uint64_t)channels)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "metadata %s is %s of %llu elements, expected array of float of %d, one "
                         "per channel",
                         key, mega_meta_type_name(value->type), (unsigned long long)value->count,
                         channels);
    for (int i = 0; i < channels; i++) {
        int code = check(key, value->reals[i], err);
        if (code)
            return code;
        out[i] = (float)value->reals[i];
    }
    return 0;
}

/* ---- Audio ---------------------------------------------------------------------------------- */

int mega_audio_preprocess_read(MegaAudioPreprocess *out, const MegaMeta *meta, MegaError *err)
{
    MegaAudioPreprocess preprocess = {0};
    int code = get_int(meta, "audio.sample_rate", MEGA_AUDIO_MIN_RATE, MEGA_AUDIO_MAX_RATE,
                       &preprocess.sample_rate, err);
    if (!code)
        code = mega_meta_get_float(meta, "audio.mean", &preprocess.mean, err);
    if (!code)
        code = check_mean("audio.mean", preprocess.mean, err);
    if (!code)
        code = mega_meta_get_float(meta, "audio.std", &preprocess.std, err);
    if (!code)
        code = check_std("audio.std", preprocess.std, err);
    if (!code)
        code = mega_meta_get_int(meta, "audio.length", 0, MAX_CLIP, &preprocess.length, err);
    *out = preprocess;
    return code;
}

int mega_audio_preprocess_write(const MegaAudioPreprocess *preprocess, MegaMeta *meta,
                                MegaError *err)
{
    int code = mega_meta_set_int(meta, "audio.sample_rate", preprocess->sample_rate);
    if (!code)
        code = mega_meta_set_float(meta, "audio.mean", preprocess->mean);
    if (!code)
        code = mega_meta_set_float(meta, "audio.std", preprocess->std);
    if (!code)
        code = mega_meta_set_int(meta, "audio.length", preprocess->length);
    return mega_meta_set_result(code, "audio", err);
}

void mega_audio_normalize(const MegaAudioPreprocess *preprocess, const float *samples, size_t n,
                          float *out)
{
    const float mean = (float)preprocess->mean;
    const float divisor = (float)(preprocess->std + 1e-5);
    for (size_t i = 0; i < n; i++)
        out[i] = (samples[i] - mean) / divisor;
}

/* ---- Images --------------------------------------------------------------------------------- */

static int check_image(const MegaImagePreprocess *preprocess, MegaError *err)
{
    if (preprocess->channels != 1 && preprocess->channels != 3)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "metadata image.channels is %d, expected 1 (gray) or 3 (RGB)",
                         preprocess->channels);
    if ((uint64_t)preprocess->width * (uint64_t)preprocess->height > MEGA_IMAGE_MAX_PIXELS)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "metadata image.width and image.height are %d x %d pixels; the limit is "
                         "%u pixels",
                         preprocess->width, preprocess->height, MEGA_IMAGE_MAX_PIXELS);
    if (preprocess->fit == MEGA_FIT_CROP &&
        (preprocess->resize < preprocess->width || preprocess->resize < preprocess->height))
        return mega_fail(err, MEGA_ERR_MODEL,
                         "metadata image.resize is %d, smaller than the crop of %d x %d pixels",
                         preprocess->resize, preprocess->width, preprocess->height);
    return 0;
}

int mega_image_preprocess_read(MegaImagePreprocess *out, const MegaMeta *meta, MegaError *err)
{
    MegaImagePreprocess preprocess = {0};
    int fit = 0, order = 0;
    int code = get_int(meta, "image.channels", 1, 3, &preprocess.channels, err);
    if (!code)
        code = get_int(meta, "image.width", 1, MEGA_IMAGE_MAX_SIDE, &preprocess.width, err);
    if (!code)
        code = get_int(meta, "image.height", 1, MEGA_IMAGE_MAX_SIDE, &preprocess.height, err);
    if (!code)
        code = mega_meta_get_name(meta, "image.fit", fit_names, COUNT(fit_names), &fit, err);
    preprocess.fit = (MegaImageFit)fit;
    if (!code && preprocess.fit == MEGA_FIT_CROP)
        code = get_int(meta, "image.resize", 1, MEGA_IMAGE_MAX_SIDE, &preprocess.resize, err);
    if (!code)
        code = check_image(&preprocess, err);
    if (!code && mega_meta_find(meta, "image.order"))
        code =
            mega_meta_get_name(meta, "image.order", order_names, COUNT(order_names), &order, err);
    preprocess.bit_reversed = order == 1;
    if (!code)
        code =
            get_channels(meta, "image.mean", preprocess.channels, check_mean, preprocess.mean, err);
    if (!code)
        code = get_channels(meta, "image.std", preprocess.channels, check_std, preprocess.std, err);
    *out = preprocess;
    return code;
}

int mega_image_preprocess_write(const MegaImagePreprocess *preprocess, MegaMeta *meta,
                                MegaError *err)
{
    double mean[3] = {0}, std[3] = {0};
    int code = check_image(preprocess, err);
    if (code)
        return code;
    const size_t channels = (size_t)preprocess->channels;
    for (size_t i = 0; i < channels; i++) {
        mean[i] = (double)preprocess->mean[i];
        std[i] = (double)preprocess->std[i];
    }
    code = mega_meta_set_int(meta, "image.channels", preprocess->channels);
    if (!code)
        code = mega_meta_set_int(meta, "image.width", preprocess->width);
    if (!code)
        code = mega_meta_set_int(meta, "image.height", preprocess->height);
    if (!code)
        code = mega_meta_set_string(meta, "image.fit", fit_names[preprocess->fit]);
    if (!code && preprocess->fit == MEGA_FIT_CROP)
        code = mega_meta_set_int(meta, "image.resize", preprocess->resize);
    if (!code)
        code = mega_meta_set_floats(meta, "image.mean", mean, channels);
    if (!code)
        code = mega_meta_set_floats(meta, "image.std", std, channels);
    if (!code && preprocess->bit_reversed)
        code = mega_meta_set_string(meta, "image.order", order_names[1]);
    return mega_meta_set_result(code, "image", err);
}

/* Computes round(x / 2) as Python does: a half goes to the even neighbour. */
static int half_to_even(int x)
{
    const int half = x / 2;
    return x % 2 ? half + half % 2 : half;
}

static int fit_crop(const MegaImagePreprocess *preprocess, MegaImage *image, const char *name,
                    MegaError *err)
{
    const bool wide = image->width > image->height;
    const int64_t from = wide ? image->height : image->width;
    const int64_t to = preprocess->resize;
    const int64_t width = wide ? to * image->width / from : to;
    const int64_t height = wide ? to : to * image->height / from;
    if ((uint64_t)(width * height) > MEGA_IMAGE_MAX_PIXELS || width > MEGA_IMAGE_MAX_SIDE ||
        height > MEGA_IMAGE_MAX_SIDE)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "%s is %d x %d pixels, too long and thin to be resized to a short side "
                         "of %d; cut it to the part that matters",
                         name, image->width, image->height, preprocess->resize);
    int code = mega_image_resize(image, (int)width, (int)height, err);
    if (code)
        return code;
    return mega_image_crop(image, half_to_even((int)width - preprocess->width),
                           half_to_even((int)height - preprocess->height), preprocess->width,
                           preprocess->height, err);
}

int mega_image_fit(const MegaImagePreprocess *preprocess, MegaImage *image, const char *name,
                   MegaError *err)
{
    if (preprocess->fit == MEGA_FIT_EXACT &&
        (image->width != preprocess->width || image->height != preprocess->height))
        return mega_fail(err, MEGA_ERR_INPUT,
                         "%s is %d x %d pixels; this model takes images of exactly %d x %d", name,
                         image->width, image->height, preprocess->width, preprocess->height);
    /* Conversion to gray comes before resizing, as in the original. Expanding gray to three
     * channels gives the same picture before and after resizing, and takes less memory
     * afterwards. */
    int code = preprocess->channels == 1 ? mega_image_convert(image, 1, err) : 0;
    if (!code && preprocess->fit == MEGA_FIT_STRETCH)
        code = mega_image_resize(image, preprocess->width, preprocess->height, err);
    if (!code && preprocess->fit == MEGA_FIT_CROP)
        code = fit_crop(preprocess, image, name, err);
    return code ? code : mega_image_convert(image, preprocess->channels, err);
}

/* Returns the lowest `bits` bits of a number in reverse order. */
static size_t reversed_bits(size_t number, int bits)
{
    size_t out = 0;
    for (int i = 0; i < bits; i++)
        out |= (number >> i & 1) << (bits - 1 - i);
    return out;
}

void mega_image_normalize(const MegaImagePreprocess *preprocess, const uint8_t *pixels, float *out)
{
    const size_t channels = (size_t)preprocess->channels;
    const size_t count = (size_t)preprocess->width * (size_t)preprocess->height;
    int bits = 0;
    while ((size_t)1 << bits < count)
        bits++;
    for (size_t i = 0, number = 0; i < count; i++, number++) {
        size_t pixel = i;
        if (preprocess->bit_reversed)
            while ((pixel = reversed_bits(number, bits)) >= count)
                number++;
        for (size_t c = 0; c < channels; c++) {
            const float value = (float)pixels[pixel * channels + c] / 255.0f;
            out[preprocess->interleaved ? i * channels + c : c * count + i] =
                (value - preprocess->mean[c]) / preprocess->std[c];
        }
    }
}
