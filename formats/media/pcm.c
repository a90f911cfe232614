/*
 * pcm.c - decodes headerless samples, mixes channels down and converts the rate; see pcm.h.
 */
#include "formats/media/pcm.h"

#include <inttypes.h>
#include <math.h>
#include <samplerate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"

struct MegaResampler {
    const char *name;
    MegaFrameSource source;
    void *context;
    int target;           /* rate of the samples that are given out */
    int rate;             /* rate of the frames that are being converted */
    int next_rate;        /* rate of the frames that follow, or `rate` while that is not known */
    uint64_t frames;      /* frames of this rate that were read so far */
    uint64_t given;       /* samples given out for frames of this rate */
    bool ended;           /* the source has no more frames of this rate */
    float *mono;          /* [MEGA_PCM_BLOCK] */
    size_t first, left;   /* unused part of mono */
    SRC_STATE *converter; /* NULL if the rates are equal */
};

/* ---- Headerless samples --------------------------------------------------------------------- */

/* Name and bytes of a sample, by MegaPcmFormat. */
static const struct {
    const char *name;
    size_t size;
} pcm_formats[] = {
    [MEGA_PCM_U8] = {"u8", 1},       [MEGA_PCM_S16LE] = {"s16le", 2},
    [MEGA_PCM_S16BE] = {"s16be", 2}, [MEGA_PCM_S24LE] = {"s24le", 3},
    [MEGA_PCM_S32LE] = {"s32le", 4}, [MEGA_PCM_F32LE] = {"f32le", 4},
};
#define FORMATS (sizeof pcm_formats / sizeof pcm_formats[0])
_Static_assert(FORMATS == MEGA_PCM_F32LE + 1, "a format of samples was added");

int mega_pcm_check(const char *name, int rate, int channels, MegaError *err)
{
    if (channels < 1 || channels > MEGA_AUDIO_MAX_CHANNELS)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s has %d channels; expected 1 to %d", name,
                         channels, MEGA_AUDIO_MAX_CHANNELS);
    if (rate < MEGA_AUDIO_MIN_RATE || rate > MEGA_AUDIO_MAX_RATE)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s has a sampling rate of %d Hz; expected %d to %d Hz", name, rate,
                         MEGA_AUDIO_MIN_RATE, MEGA_AUDIO_MAX_RATE);
    return 0;
}

int mega_pcm_parse(MegaPcm *out, const char *text, MegaError *err)
{
    const char *colon = strchr(text, ':');
    const size_t length = colon ? (size_t)(colon - text) : 0;
    for (size_t i = 0; i < FORMATS; i++) {
        int end = 0;
        if (strlen(pcm_formats[i].name) != length || strncmp(text, pcm_formats[i].name, length))
            continue;
        out->format = (MegaPcmFormat)i;
        if (sscanf(colon, ":%7d:%3d%n", &out->rate, &out->channels, &end) == 2 && !colon[end])
            return mega_pcm_check(text, out->rate, out->channels, err);
    }
    return mega_fail(err, MEGA_ERR_ARGUMENT,
                     "\"%.60s\" does not describe headerless samples; expected "
                     "FORMAT:RATE:CHANNELS, such as s16le:16000:1, with FORMAT u8, s16le, s16be, "
                     "s24le, s32le or f32le",
                     text);
}

size_t mega_pcm_size(MegaPcmFormat format)
{
    return pcm_formats[format].size;
}

static float decode_sample(MegaPcmFormat format, const uint8_t *p)
{
    float value;
    uint32_t bits;
    switch (format) {
    case MEGA_PCM_U8: return (float)(*p - 128) / 128.0f;
    case MEGA_PCM_S16LE: return (float)(int16_t)mega_load_u16(p) / 32768.0f;
    case MEGA_PCM_S16BE: return (float)(int16_t)(p[0] << 8 | p[1]) / 32768.0f;
    case MEGA_PCM_S24LE: /* shift to the top bits, so that the sign is right */
        bits = (uint32_t)p[0] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 24;
        return (float)(int32_t)bits / 2147483648.0f;
    case MEGA_PCM_S32LE: return (float)(int32_t)mega_load_u32(p) / 2147483648.0f;
    case MEGA_PCM_F32LE: break;
    }
    bits = mega_load_u32(p);
    memcpy(&value, &bits, sizeof value);
    return value;
}

void mega_pcm_decode(MegaPcmFormat format, const uint8_t *bytes, size_t count, float *out)
{
    const size_t size = mega_pcm_size(format);
    for (size_t i = 0; i < count; i++)
        out[i] = decode_sample(format, bytes + i * size);
}

/* ---- Resampling ----------------------------------------------------------------------------- */

/* Starts converting frames of the next rate. */
static int begin_rate(MegaResampler *r, MegaError *err)
{
    const double ratio = (double)r->target / r->next_rate;
    int error = 0;
    if (r->converter)
        src_delete(r->converter);
    r->converter = NULL;
    r->rate = r->next_rate;
    r->frames = r->given = 0;
    r->left = 0;
    r->ended = false;
    if (r->rate == r->target)
        return 0;
    if (!src_is_valid_ratio(ratio))
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "%s has a sampling rate of %d Hz, which cannot be converted to %d Hz",
                         r->name, r->rate, r->target);
    r->converter = src_new(SRC_SINC_MEDIUM_QUALITY, 1, &error);
    if (!r->converter)
        return mega_fail(err, MEGA_ERR_MEMORY, "%s: cannot set up resampling: %s", r->name,
                         src_strerror(error));
    return 0;
}

int mega_resampler_new(MegaResampler **out, const char *name, int rate, int target,
                       MegaFrameSource source, void *context, MegaError *err)
{
    *out = NULL;
    MegaResampler *r = calloc(1, sizeof *r);
    if (r)
        *r = (MegaResampler){.name = name,
                             .source = source,
                             .context = context,
                             .target = target,
                             .next_rate = rate,
                             .mono = malloc(MEGA_PCM_BLOCK * sizeof *r->mono)};
    int code = r && r->mono ? begin_rate(r, err)
                            : mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", name);
    if (code)
        mega_resampler_free(r);
    else
        *out = r;
    return code;
}

void mega_resampler_free(MegaResampler *r)
{
    if (!r)
        return;
    if (r->converter)
        src_delete(r->converter);
    free(r->mono);
    free(r);
}

/* Computes the mean of the channels of each frame. */
static int mix_down(MegaResampler *r, const MegaFrames *block, MegaError *err)
{
    const size_t channels = (size_t)block->channels;
    for (size_t i = 0; i < block->count; i++) {
        float sum = 0;
        for (size_t c = 0; c < channels; c++)
            sum += block->samples[i * channels + c];
        r->mono[i] = sum / (float)channels;
        if (!isfinite(r->mono[i]))
            return mega_fail(err, MEGA_ERR_FORMAT, "%s: sample %" PRIu64 " is not a finite number",
                             r->name, r->frames + i);
    }
    return 0;
}

/* Reads the next block into mono, or sets `ended`. */
static int next_block(MegaResampler *r, MegaError *err)
{
    MegaFrames block = {0};
    int code = r->source(r->context, &block, err);
    if (!code)
        code = mix_down(r, &block, err);
    if (code)
        return code;
    r->next_rate = block.rate;
    r->frames += block.count;
    r->first = 0;
    r->left = block.count;
    r->ended = block.count == 0;
    return 0;
}

/* Returns how many samples the frames of this rate become: round(frames * target / rate), but at
 * least one. */
uint64_t mega_pcm_converted(uint64_t frames, int rate, int target)
{
    const uint64_t from = (uint64_t)rate, to = (uint64_t)target;
    const uint64_t length = frames / from * to + (frames % from * to + from / 2) / from;
    return length || !frames ? length : 1;
}

static uint64_t whole_length(const MegaResampler *r)
{
    return mega_pcm_converted(r->frames, r->rate, r->target);
}

static void take(MegaResampler *r, float *samples, size_t capacity, size_t *count)
{
    *count = r->left < capacity ? r->left : capacity;
    memcpy(samples, r->mono + r->first, *count * sizeof *samples);
    r->first += *count;
    r->left -= *count;
}

/* Runs one step of the converter. It looks ahead by half a filter, so it is fed zeros after the
 * end until the exact length is reached. */
static int convert(MegaResampler *r, float *samples, size_t capacity, size_t *count, MegaError *err)
{
    if (r->ended) {
        const uint64_t missing = whole_length(r) - r->given;
        capacity = missing < capacity ? (size_t)missing : capacity;
        if (!r->left) {
            memset(r->mono, 0, MEGA_PCM_BLOCK * sizeof *r->mono);
            r->first = 0;
            r->left = MEGA_PCM_BLOCK;
        }
    }
    SRC_DATA step = {
        .data_in = r->mono + r->first,
        .input_frames = (long)r->left,
        .data_out = samples,
        .output_frames = capacity < MEGA_PCM_BLOCK ? (long)capacity : MEGA_PCM_BLOCK,
        .src_ratio = (double)r->target / r->rate,
    };
    const int error = src_process(r->converter, &step);
    if (error || (step.input_frames_used <= 0 && step.output_frames_gen <= 0))
        return mega_fail(err, MEGA_ERR_FORMAT, "%s cannot be resampled: %s", r->name,
                         error ? src_strerror(error) : "no progress");
    *count = (size_t)step.output_frames_gen;
    r->first += (size_t)step.input_frames_used;
    r->left -= (size_t)step.input_frames_used;
    return 0;
}

int mega_resampler_read(MegaResampler *r, float *samples, size_t capacity, size_t *count,
                        MegaError *err)
{
    int code = 0;
    *count = 0;
    while (!code && !*count && capacity) {
        if (!r->left && !r->ended)
            code = next_block(r, err);
        if (code)
            break;
        if (r->ended && (!r->converter || r->given >= whole_length(r))) {
            if (r->next_rate == r->rate)
                break;
            code = begin_rate(r, err);
            continue;
        }
        if (r->converter)
            code = convert(r, samples, capacity, count, err);
        else
            take(r, samples, capacity, count);
    }
    r->given += *count;
    return code;
}
