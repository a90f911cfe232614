/*
 * pcm.h - converts samples of any rate and number of channels to mono samples of the rate that a
 * model takes.
 *
 *   frames -> the mean of their channels -> libsamplerate -> caller
 *
 * n frames at rate a become round(n * b / a) samples at rate b, but at least one. The filter's
 * delay is removed. When the rates are equal nothing is filtered, and 16-bit samples become exactly
 * value / 32768.
 */
#ifndef MEGA_PCM_H
#define MEGA_PCM_H

#include "src/mega.h"

#define MEGA_PCM_BLOCK 4096 /* most frames that a source gives at once */
#define MEGA_AUDIO_MAX_CHANNELS 64
#define MEGA_AUDIO_MIN_RATE 100     /* Hz */
#define MEGA_AUDIO_MAX_RATE 1000000 /* Hz */

/* Parses format:rate:channels, such as "s16le:16000:1". */
int mega_pcm_parse(MegaPcm *out, const char *text, MegaError *err);
/* Checks that rate and number of channels are within the limits above; `name` begins the
 * message. */
int mega_pcm_check(const char *name, int rate, int channels, MegaError *err);
/* Returns the bytes of one sample. */
size_t mega_pcm_size(MegaPcmFormat format);
/* Returns how many samples at the rate `target` the frames become. */
uint64_t mega_pcm_converted(uint64_t frames, int rate, int target);
/* Converts `count` samples to units of full scale: n-bit integers are divided by 2^(n-1). */
void mega_pcm_decode(MegaPcmFormat format, const uint8_t *bytes, size_t count, float *out);

/* A block of frames of one rate. */
typedef struct MegaFrames {
    const float *samples; /* [count][channels], valid until the source is asked again */
    size_t count;         /* at most MEGA_PCM_BLOCK */
    int rate, channels;
} MegaFrames;

/* Gives the next block. If count is 0 and the rate is a new one, frames of that rate follow, as
 * between the links of a radio stream. If count is 0 and the rate is the old one, the source has
 * ended. */
typedef int (*MegaFrameSource)(void *context, MegaFrames *out, MegaError *err);

typedef struct MegaResampler MegaResampler;

/* Makes a resampler. `rate` is that of the source's first frames, `target` that of the samples that
 * are read from it, both in Hz. `name`, which begins messages, and `context` must outlive the
 * resampler. */
int mega_resampler_new(MegaResampler **out, const char *name, int rate, int target,
                       MegaFrameSource source, void *context, MegaError *err);
void mega_resampler_free(MegaResampler *resampler);
/* Reads the next mono samples. *count becomes their number, from 1 to `capacity`, or 0 at the end.
 * A sample that is not finite is an error. */
int mega_resampler_read(MegaResampler *resampler, float *samples, size_t capacity, size_t *count,
                        MegaError *err);

#endif
