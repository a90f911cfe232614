/*
 * input_sound.c - cuts a recording into the clips or windows that a model takes; see
 * input_reader.h.
 *
 * Sound passes through a buffer that holds one window, so that memory does not grow with the length
 * of a recording.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/input_stream.h"
#include "src/encode/session.h"
#include "src/pipeline/input_reader.h"

#define STEP 65536   /* samples per read */
#define SCAN_PARTS 4 /* windows of a long recording begin a SCAN_PARTS-th of a clip apart */
#define SLACK 100    /* a recording may be longer than a clip by one SLACK-th of it */

/* Checks the samples of a recording against the memory limit. */
static int check_memory(const MegaInputReader *reader, uint64_t samples, MegaError *err)
{
    const uint64_t needed = samples * sizeof(float);
    if (needed <= reader->left)
        return 0;
    return mega_fail(err, MEGA_ERR_LIMIT,
                     "%s needs %.1f MB of memory for %" PRIu64 " samples; the limit leaves %.1f MB "
                     "besides the model; shorter windows need less",
                     mega_input_name(reader), (double)needed / 1e6, samples,
                     (double)reader->left / 1e6);
}

static int grow(MegaInputReader *reader, size_t needed, MegaError *err)
{
    if (needed <= reader->capacity)
        return 0;
    size_t capacity = reader->capacity ? reader->capacity : STEP;
    while (capacity < needed)
        capacity *= 2;
    int code = check_memory(reader, capacity, err);
    if (code)
        return code;
    float *samples = realloc(reader->samples, capacity * sizeof *samples);
    if (!samples)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu samples of %s", capacity,
                         mega_input_name(reader));
    reader->samples = samples;
    reader->capacity = capacity;
    return 0;
}

static int read_samples(MegaInputReader *reader, float *samples, size_t capacity, size_t *count,
                        MegaError *err)
{
    return reader->stream ? reader->media->read_sound(reader->stream, samples, capacity, count, err)
                          : mega_resampler_read(reader->resampler, samples, capacity, count, err);
}

/* Reads until the buffer holds `wanted` samples or the recording ends. */
static int fill(MegaInputReader *reader, size_t wanted, MegaError *err)
{
    int code = 0;
    while (!code && !reader->ended && reader->count < wanted) {
        const size_t left = wanted - reader->count, step = left < STEP ? left : STEP;
        size_t got = 0;
        code = grow(reader, reader->count + step, err);
        if (!code)
            code = read_samples(reader, reader->samples + reader->count, step, &got, err);
        reader->count += got;
        reader->ended = !code && got == 0;
    }
    return code;
}

/* Moves the start of the buffer forward by n samples, which may be more than it holds. */
static int skip(MegaInputReader *reader, size_t n, MegaError *err)
{
    while (n) {
        int code = reader->count ? 0 : fill(reader, n < STEP ? n : STEP, err);
        if (code || !reader->count)
            return code;
        const size_t dropped = n < reader->count ? n : reader->count;
        reader->count -= dropped;
        memmove(reader->samples, reader->samples + dropped,
                reader->count * sizeof *reader->samples);
        reader->base += dropped;
        n -= dropped;
    }
    return 0;
}

/* Makes a clip of the first `used` samples of the buffer, padded with silence to the model's
 * length. */
static int make_clip(const MegaInputReader *reader, size_t used, MegaPrepared *out, MegaError *err)
{
    size_t length = reader->hop ? reader->window : used; /* if the model has no length */
    if (reader->audio.length)
        length = (size_t)reader->audio.length;
    int code = check_memory(reader, (uint64_t)reader->capacity + length, err);
    if (code)
        return code;
    out->values = calloc(length, sizeof *out->values);
    if (!out->values)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu samples of %s", length,
                         mega_input_name(reader));
    memcpy(out->values, reader->samples, used * sizeof *out->values);
    mega_audio_normalize(&reader->audio, out->values, length, out->values);
    out->views[0] =
        (MegaInput){.kind = MEGA_INPUT_SAMPLES, .values = out->values, .length = length};
    out->count = 1;
    out->start = (double)reader->base / reader->audio.sample_rate;
    out->end = (double)(reader->base + used) / reader->audio.sample_rate;
    return 0;
}

/* Returns the distance between two windows, or 0 if there is just one clip. */
static size_t hop_of(const MegaInputReader *reader)
{
    return reader->scanning ? (reader->window + SCAN_PARTS - 1) / SCAN_PARTS : reader->hop;
}

/* Finds out whether the recording exceeds one clip by more than a SLACK-th, which the conversion of
 * its sample rate may have added. */
static int exceeds_clip(MegaInputReader *reader, bool *is_longer, MegaError *err)
{
    const size_t most =
        reader->audio.length ? reader->window + reader->window / SLACK : reader->window;
    int code = fill(reader, most + 1, err);
    *is_longer = reader->count > most;
    if (!code && *is_longer && !reader->audio.length)
        code = mega_fail(err, MEGA_ERR_LIMIT,
                         "%s is longer than %g s, the limit of a single clip; classify it in "
                         "windows",
                         mega_input_name(reader),
                         floor((double)MEGA_INPUT_MAX_CLIP / reader->audio.sample_rate));
    return code;
}

int mega_input_next_clip(MegaInputReader *reader, MegaPrepared *out, MegaError *err)
{
    const bool first = !reader->started;
    bool is_longer = false;
    int code = 0;
    if (!first && !hop_of(reader))
        return 0;
    if (!first) { /* there is another window only if the last one did not reach the end */
        code = fill(reader, reader->window + 1, err);
        if (code || reader->count <= reader->window)
            return code;
        code = skip(reader, hop_of(reader), err);
    }
    if (!code)
        code = fill(reader, reader->window, err);
    if (!code && first && !reader->hop)
        code = exceeds_clip(reader, &is_longer, err);
    if (!code && first && !reader->count)
        code = mega_fail(err, MEGA_ERR_INPUT, "%s holds no samples; expected a recording",
                         mega_input_name(reader));
    if (code || !reader->count)
        return code;
    reader->started = true;
    reader->scanning |= is_longer && reader->scan;
    code = make_clip(reader, reader->count < reader->window ? reader->count : reader->window, out,
                     err);
    out->is_cut = is_longer && !reader->scan;
    out->scanned = reader->scanning;
    return code ? code : 1;
}

int mega_input_next_samples(MegaInputReader *reader, size_t most, float *out, size_t *count,
                            MegaError *err)
{
    int code = fill(reader, most, err);
    *count = reader->count < most ? reader->count : most;
    if (!code && !reader->started && *count == 0)
        code = mega_fail(err, MEGA_ERR_INPUT, "%s holds no samples; expected a recording",
                         mega_input_name(reader));
    if (code)
        return code;
    reader->started = true;
    mega_audio_normalize(&reader->audio, reader->samples, *count, out);
    return skip(reader, *count, err);
}

double mega_input_reader_length(MegaInputReader *reader)
{
    if (!reader->count_raw || reader->kind != MEGA_CONTENT_SOUND)
        return 0;
    if (reader->path[0] && !mega_source_is_regular(reader->path[0]))
        return 0;
    if (reader->resampler)
        return (double)reader->whole / reader->audio.sample_rate;
    while (!reader->ended) {
        reader->base += reader->count;
        reader->count = 0;
        if (fill(reader, STEP, NULL))
            return 0;
    }
    return (double)(reader->base + reader->count) / reader->audio.sample_rate;
}

int mega_input_reader_rate(const MegaInputReader *reader)
{
    return reader->kind == MEGA_CONTENT_SOUND ? reader->audio.sample_rate : 0;
}

double mega_input_reader_clip(const MegaInputReader *reader)
{
    return reader->kind == MEGA_CONTENT_SOUND
               ? (double)reader->audio.length / reader->audio.sample_rate
               : 0;
}
