/*
 * audio.h - recordings as a stream of mono samples at the rate a model wants.
 *
 * Reads what libsndfile reads (wav, flac, ogg, mp3, aiff, au, ...) and headerless PCM, from a path
 * or from "-", standard input. Channels are mixed to their mean, the rate is converted by
 * libsamplerate without delay: n frames at rate a become round(n * b / a) samples at rate b, but at
 * least one. When the rates agree nothing is filtered, and 16-bit samples become exactly value /
 * 32768.
 *
 * Memory does not grow with the length of a recording, except that a compressed or wav stream on a
 * pipe is first read whole, up to MEGA_AUDIO_MAX_PIPE bytes. Headerless PCM is never held back:
 * samples come out as they arrive.
 */
#ifndef MEGA_AUDIO_H
#define MEGA_AUDIO_H

#include "mega.h"

#define MEGA_AUDIO_MAX_CHANNELS 64
#define MEGA_AUDIO_MIN_RATE 100     /* Hz */
#define MEGA_AUDIO_MAX_RATE 1000000 /* Hz */
#define MEGA_AUDIO_MAX_HOURS 24     /* of one file; headerless PCM may run for ever */
#define MEGA_AUDIO_MAX_PIPE (1u << 30)

typedef enum MegaPcmFormat {
    MEGA_PCM_U8,
    MEGA_PCM_S16LE,
    MEGA_PCM_S16BE,
    MEGA_PCM_S24LE,
    MEGA_PCM_S32LE,
    MEGA_PCM_F32LE,
} MegaPcmFormat;

/* Headerless PCM: interleaved channels. */
typedef struct MegaPcm {
    MegaPcmFormat format;
    int rate, channels;
} MegaPcm;

/* Parses "s16le:16000:1", format:rate:channels. */
int mega_pcm_parse(MegaPcm *out, const char *text, MegaError *err);

typedef struct MegaAudio MegaAudio;

/* rate: of the samples that mega_audio_read gives. pcm: NULL for files with a header. */
int mega_audio_open(MegaAudio **out, const char *path, const MegaPcm *pcm, int rate,
                    MegaError *err);
void mega_audio_close(MegaAudio *audio);

/* The next samples in [-1, 1): at least one and at most capacity, *count of them, 0 at the end.
 * Lossy formats and conversion may overshoot that range a little; there is never a NaN or an
 * infinity. A FLAC file that ends early is an error once its samples are used up (a wav or aiff
 * file is one in mega_audio_open). */
int mega_audio_read(MegaAudio *audio, float *samples, size_t capacity, size_t *count,
                    MegaError *err);

/* Of the recording itself, for messages. */
int mega_audio_source_rate(const MegaAudio *audio);
int mega_audio_source_channels(const MegaAudio *audio);

#endif
