/*
 * preprocess.h - turns decoded inputs into the inputs of a model: the step between decoding and
 * embedding.
 *
 * A model file describes how its inputs are prepared (metadata "audio.*", "image.*", "text.*").
 * This module reads that description and applies it. Decoding itself (wav, png, ...) is in
 * formats/.
 */
#ifndef MEGA_PREPROCESS_H
#define MEGA_PREPROCESS_H

#include "formats/media/image.h"
#include "formats/mega/meta.h"
#include "src/mega.h"

/* The metadata audio.sample_rate, audio.mean, audio.std and audio.length (MODEL.md, "Sequences,
 * inputs and search"). */
typedef struct MegaAudioPreprocess {
    int sample_rate;  /* Hz */
    double mean, std; /* of samples in [-1, 1) */
    int64_t length;   /* samples of a clip: shorter ones are padded with silence, longer ones cut;
                         0: any number */
} MegaAudioPreprocess;

typedef enum MegaImageFit {
    MEGA_FIT_EXACT,   /* the size must match */
    MEGA_FIT_STRETCH, /* resize to width x height */
    MEGA_FIT_CROP,    /* resize the short side to image.resize (bicubic), then crop the centre */
} MegaImageFit;
#define MEGA_FIT_COUNT (MEGA_FIT_CROP + 1)

/* The metadata image.channels, .width, .height, .mean, .std, .fit and .resize. */
typedef struct MegaImagePreprocess {
    int channels; /* 1 gray, 3 RGB */
    int width, height;
    MegaImageFit fit;
    int resize;
    float mean[4], std[4]; /* of values in [0, 1] */
    /* "image.order": position k of the sequence is the pixel whose number is the k-th of the
     * numbers with their bits reversed, "bit_reversed"; without that key, pixels come row by row */
    bool bit_reversed;
    bool interleaved; /* a position has all channels of its pixel; not in the metadata */
} MegaImagePreprocess;

/* Each pair reads and writes one of these groups of the metadata. Reading a missing or invalid
 * value is MEGA_ERR_MODEL, in a sentence that names its key. */
int mega_audio_preprocess_read(MegaAudioPreprocess *out, const MegaMeta *meta, MegaError *err);
int mega_audio_preprocess_write(const MegaAudioPreprocess *preprocess, MegaMeta *meta,
                                MegaError *err);
int mega_image_preprocess_read(MegaImagePreprocess *out, const MegaMeta *meta, MegaError *err);
int mega_image_preprocess_write(const MegaImagePreprocess *preprocess, MegaMeta *meta,
                                MegaError *err);

/* Converts an image to gray or RGB as the model wants, then resizes or crops it to the model's
 * size, with the functions of image.h. Messages call it `name`. MEGA_FIT_CROP follows torchvision:
 * the long side becomes resize * long / short, rounded down; the crop starts at round((size - crop)
 * / 2), with ties to even. */
int mega_image_fit(const MegaImagePreprocess *preprocess, MegaImage *image, const char *name,
                   MegaError *err);

/* Computes (x - mean) / (std + 1e-5) in float32, as the original does. out may be samples. */
void mega_audio_normalize(const MegaAudioPreprocess *preprocess, const float *samples, size_t n,
                          float *out);
/* Computes (v / 255 - mean) / std of pixels [height][width][channels] in 0 ... 255. out is planar,
 * [channels][height][width], or with `interleaved` [pixels][channels]. */
void mega_image_normalize(const MegaImagePreprocess *preprocess, const uint8_t *pixels, float *out);

#endif
