/*
 * audio.c - decode, mix down and resample, block by block; see audio.h.
 *
 *   file or pipe -> parts (audio_parts.h) -> frames (libsndfile, libmpg123, or our own PCM reader)
 *        -> mono -> libsamplerate -> caller
 *
 * Decoders see the parts as virtual files. Nothing is allocated by what a header declares beyond
 * the checked number of channels.
 */
#include "formats/media/audio.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <samplerate.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/base/bytes.h"
#include "formats/base/input_stream.h"
#include "formats/base/sniff.h"
#include "formats/media/audio_parts.h"

#define BLOCK 4096              /* frames per step */
#define MAX_FRAMES_A_BYTE 65536 /* no format packs silence denser */

struct MegaAudio {
    char *name;
    MegaAudioFile file; /* fd -1: not open */
    MegaAudioParts parts;
    size_t part;          /* the current one */
    MegaAudioView view;   /* of it, for libsndfile */
    SNDFILE *decoder;     /* the current part's, */
    MegaMpeg *mpeg;       /* or this one; neither: headerless PCM */
    uint64_t part_frames; /* read of it so far */
    char cut[512];        /* the sentence about a recording that is cut short, or "" */
    MegaPcm pcm;
    uint8_t *bytes;       /* PCM: [BLOCK] frames as they arrive */
    size_t pending;       /* bytes of an incomplete frame */
    int channels;         /* of the current part */
    int part_rate;        /* of the current part, which may be the first of another rate */
    int rate;             /* of what is being given out */
    int block_channels;   /* that block has room for */
    double before;        /* seconds of the parts of other rates before */
    uint64_t frames;      /* read so far, of this rate */
    bool ended;           /* no more frames of this rate */
    float *block;         /* [BLOCK][block_channels] */
    float *mono;          /* [BLOCK] */
    size_t first, left;   /* unused part of mono */
    int target;           /* rate of what is given out */
    SRC_STATE *converter; /* NULL: rates agree */
    uint64_t given;       /* samples given out, of this rate */
};

/* ---- Opening -------------------------------------------------------------------------------- */

/* Regular files stay where they are, everything else is read to its end. */
static int open_file(MegaAudio *audio, MegaError *err)
{
    struct stat info;
    MegaAudioFile *file = &audio->file;
    int code = mega_source_make_seekable(&file->fd, audio->name, err);
    if (code)
        return code;
    file->name = audio->name;
    file->cache = malloc(MEGA_AUDIO_CACHE);
    if (!file->cache)
        return MEGA_ERR_MEMORY;
    if (fstat(file->fd, &info) != 0)
        return mega_fail(err, MEGA_ERR_IO, "cannot read %s: %s", audio->name, strerror(errno));
    const off_t at = lseek(file->fd, 0, SEEK_CUR); /* a shell may have read some of stdin */
    const uint64_t whole = (uint64_t)info.st_size;
    file->base = at > 0 ? (uint64_t)at : 0;
    file->size = whole > file->base ? whole - file->base : 0;
    if (!file->size)
        return mega_fail(err, MEGA_ERR_INPUT, "%s is empty; expected a recording", audio->name);
    return 0;
}

/* What libsndfile does not take: a file of another kind, or a damaged one. */
static int fail_format(MegaAudio *audio, int number, const char *reason, MegaError *err)
{
    static const char expected[] =
        "expected WAV, FLAC, Ogg, MP3, AIFF or AU, or headerless samples with --raw";
    uint8_t head[512];
    const MegaFileKind kind =
        mega_recognize(head, mega_audio_file_read(&audio->file, 0, head, sizeof head));
    if (kind.role == MEGA_ROLE_UNREAD)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s is %s, a format that is not read; %s",
                         audio->name, kind.what, kind.advice);
    if (kind.what && number == SF_ERR_UNRECOGNISED_FORMAT)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s is %s; %s", audio->name, kind.what, expected);
    return mega_fail(err, MEGA_ERR_FORMAT, "%s is no recording that can be read (%.*s); %s%s",
                     audio->name, (int)strcspn(reason, "."), reason, expected,
                     number == SF_ERR_UNSUPPORTED_ENCODING
                         ? "; convert it first: ffmpeg -i FILE sound.wav"
                         : "");
}

static int check_format(const char *name, int rate, int channels, MegaError *err)
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

/* Room for a block of the current part. */
static int make_block(MegaAudio *audio, MegaError *err)
{
    int code = check_format(audio->name, audio->part_rate, audio->channels, err);
    if (code || audio->channels <= audio->block_channels)
        return code;
    free(audio->block);
    audio->block = malloc(BLOCK * (size_t)audio->channels * sizeof *audio->block);
    audio->block_channels = audio->block ? audio->channels : 0;
    return audio->block ? 0
                        : mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", audio->name);
}

static void close_part(MegaAudio *audio)
{
    if (audio->decoder)
        sf_close(audio->decoder);
    mega_mpeg_close(audio->mpeg);
    audio->decoder = NULL;
    audio->mpeg = NULL;
}

static int open_part(MegaAudio *audio, size_t index, MegaError *err)
{
    const MegaAudioPart *part = &audio->parts.list[index];
    SF_INFO info;
    close_part(audio);
    audio->part = index;
    audio->part_frames = 0;
    if (part->mpeg) {
        int code = mega_mpeg_open(&audio->mpeg, &audio->file, part, &audio->part_rate,
                                  &audio->channels, err);
        return code ? code : make_block(audio, err);
    }
    audio->view = (MegaAudioView){.part = part, .file = &audio->file};
    audio->decoder = mega_audio_view_open(&audio->view, &info);
    if (!audio->decoder)
        return fail_format(audio, sf_error(NULL), sf_strerror(NULL), err);
    audio->part_rate = info.samplerate;
    audio->channels = info.channels;
    return make_block(audio, err);
}

/* ---- Recordings that are cut short ---------------------------------------------------------- */

/* How many frames libsndfile finds in a part. */
static uint64_t count_frames(MegaAudio *audio, const MegaAudioPart *part, int *rate)
{
    MegaAudioView view = {.part = part, .file = &audio->file};
    SF_INFO info;
    SNDFILE *decoder = mega_audio_view_open(&view, &info);
    if (!decoder)
        return 0;
    sf_close(decoder);
    *rate = info.samplerate;
    const uint64_t frames = info.frames > 0 ? (uint64_t)info.frames : 0;
    return frames < part->frames ? frames : part->frames;
}

static double count_seconds(MegaAudio *audio)
{
    double seconds = 0;
    for (size_t i = 0; i < audio->parts.count; i++) {
        const MegaAudioPart *part = &audio->parts.list[i];
        int rate = 0;
        const uint64_t frames = part->mpeg ? 0 : count_frames(audio, part, &rate);
        seconds += part->mpeg ? part->seconds : rate > 0 ? (double)frames / rate : 0;
    }
    return seconds;
}

/* The one rule for all formats: an error, or with `partial` a sentence to warn with. */
static int check_cut(MegaAudio *audio, bool partial, MegaError *err)
{
    if (!audio->parts.cut)
        return 0;
    snprintf(audio->cut, sizeof audio->cut, "%.380s ends after %.1f s, in the middle of %s",
             audio->name, count_seconds(audio), audio->parts.cut);
    if (!partial || !audio->parts.count)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s; fetch or record it again%s", audio->cut,
                         audio->parts.count ? ", or take what is there with --partial" : "");
    return 0;
}

static int open_decoder(MegaAudio *audio, bool partial, MegaError *err)
{
    int code = open_file(audio, err);
    if (!code)
        code = mega_audio_find_parts(&audio->parts, &audio->file, err);
    if (!code)
        code = check_cut(audio, partial, err);
    return code ? code : open_part(audio, 0, err);
}

/* ---- Headerless PCM and rates --------------------------------------------------------------- */

/* Bytes of a sample and how text names it, by MegaPcmFormat. */
static const struct {
    const char *name;
    size_t size;
} pcm_formats[] = {
    [MEGA_PCM_U8] = {"u8", 1},       [MEGA_PCM_S16LE] = {"s16le", 2},
    [MEGA_PCM_S16BE] = {"s16be", 2}, [MEGA_PCM_S24LE] = {"s24le", 3},
    [MEGA_PCM_S32LE] = {"s32le", 4}, [MEGA_PCM_F32LE] = {"f32le", 4},
};

int mega_pcm_parse(MegaPcm *out, const char *text, MegaError *err)
{
    const char *colon = strchr(text, ':');
    const size_t length = colon ? (size_t)(colon - text) : 0;
    for (size_t i = 0; i < sizeof pcm_formats / sizeof pcm_formats[0]; i++) {
        int end = 0;
        if (strlen(pcm_formats[i].name) != length || strncmp(text, pcm_formats[i].name, length))
            continue;
        out->format = (MegaPcmFormat)i;
        if (sscanf(colon, ":%7d:%3d%n", &out->rate, &out->channels, &end) == 2 && !colon[end])
            return check_format(text, out->rate, out->channels, err);
    }
    return mega_fail(err, MEGA_ERR_ARGUMENT,
                     "\"%.60s\" does not describe headerless samples; expected "
                     "FORMAT:RATE:CHANNELS, such as s16le:16000:1, with FORMAT u8, s16le, s16be, "
                     "s24le, s32le or f32le",
                     text);
}

/* Begins to give out samples that have the rate of the current part. */
static int begin_rate(MegaAudio *audio, MegaError *err)
{
    const double ratio = (double)audio->target / audio->part_rate;
    int error = 0;
    if (audio->converter)
        src_delete(audio->converter);
    audio->converter = NULL;
    audio->before += audio->frames ? (double)audio->frames / audio->rate : 0;
    audio->rate = audio->part_rate;
    audio->frames = audio->given = 0;
    audio->left = 0;
    audio->ended = false;
    if (audio->rate == audio->target)
        return 0;
    if (!src_is_valid_ratio(ratio))
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "%s has a sampling rate of %d Hz, which cannot be converted to %d Hz",
                         audio->name, audio->rate, audio->target);
    audio->converter = src_new(SRC_SINC_MEDIUM_QUALITY, 1, &error);
    if (!audio->converter)
        return mega_fail(err, MEGA_ERR_MEMORY, "%s: cannot set up resampling: %s", audio->name,
                         src_strerror(error));
    return 0;
}

static int open_pcm(MegaAudio *audio, const MegaPcm *pcm, MegaError *err)
{
    audio->pcm = *pcm;
    audio->part_rate = pcm->rate;
    audio->channels = pcm->channels;
    audio->bytes = malloc(BLOCK * (size_t)pcm->channels * pcm_formats[pcm->format].size);
    return audio->bytes ? make_block(audio, err) : MEGA_ERR_MEMORY;
}

int mega_audio_open(MegaAudio **out, const char *path, const MegaAudioOptions *options,
                    MegaError *err)
{
    *out = NULL;
    MegaAudio *audio = calloc(1, sizeof *audio);
    if (!audio)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", mega_source_name(path));
    audio->file.fd = -1;
    audio->target = options->rate;
    audio->name = strdup(mega_source_name(path));
    audio->mono = malloc(BLOCK * sizeof *audio->mono);
    int code =
        audio->name && audio->mono ? mega_source_open(&audio->file.fd, path, err) : MEGA_ERR_MEMORY;
    if (!code)
        code = options->pcm ? open_pcm(audio, options->pcm, err)
                            : open_decoder(audio, options->partial, err);
    if (!code)
        code = begin_rate(audio, err);
    if (code == MEGA_ERR_MEMORY)
        mega_fail(err, code, "no memory for reading %s", mega_source_name(path));
    if (code)
        mega_audio_close(audio);
    else
        *out = audio;
    return code;
}

void mega_audio_close(MegaAudio *audio)
{
    if (!audio)
        return;
    close_part(audio);
    if (audio->converter)
        src_delete(audio->converter);
    if (audio->file.fd >= 0)
        close(audio->file.fd);
    mega_audio_parts_free(&audio->parts);
    free(audio->file.cache);
    free(audio->bytes);
    free(audio->block);
    free(audio->mono);
    free(audio->name);
    free(audio);
}

const char *mega_audio_cut(const MegaAudio *audio)
{
    return audio->cut[0] ? audio->cut : NULL;
}

int mega_audio_source_rate(const MegaAudio *audio)
{
    return audio->rate;
}

int mega_audio_source_channels(const MegaAudio *audio)
{
    return audio->channels;
}

/* ---- Frames --------------------------------------------------------------------------------- */

/* In units of full scale: n-bit integers are divided by 2^(n-1). */
static float pcm_sample(MegaPcmFormat format, const uint8_t *p)
{
    float value;
    uint32_t bits;
    switch (format) {
    case MEGA_PCM_U8: return (float)(*p - 128) / 128.0f;
    case MEGA_PCM_S16LE: return (float)(int16_t)mega_load_u16(p) / 32768.0f;
    case MEGA_PCM_S16BE: return (float)(int16_t)(p[0] << 8 | p[1]) / 32768.0f;
    case MEGA_PCM_S24LE: /* shifted to the top for its sign */
        bits = (uint32_t)p[0] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 24;
        return (float)(int32_t)bits / 2147483648.0f;
    case MEGA_PCM_S32LE: return (float)(int32_t)mega_load_u32(p) / 2147483648.0f;
    case MEGA_PCM_F32LE: break;
    }
    bits = mega_load_u32(p);
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* What a pipe has at the moment, but at least one frame; 0 at the end, where the bytes of an
 * incomplete frame are left out. */
static int read_pcm(MegaAudio *audio, size_t *count, MegaError *err)
{
    const size_t size = pcm_formats[audio->pcm.format].size;
    const size_t frame = size * (size_t)audio->channels;
    *count = 0;
    while (audio->pending < frame) {
        const size_t room = BLOCK * frame - audio->pending;
        ssize_t got = read(audio->file.fd, audio->bytes + audio->pending, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return mega_fail(err, MEGA_ERR_IO, "cannot read %s: %s", audio->name, strerror(errno));
        if (got == 0)
            return 0;
        audio->pending += (size_t)got;
    }
    *count = audio->pending / frame;
    for (size_t i = 0; i < *count * (size_t)audio->channels; i++)
        audio->block[i] = pcm_sample(audio->pcm.format, audio->bytes + i * size);
    audio->pending -= *count * frame;
    memmove(audio->bytes, audio->bytes + *count * frame, audio->pending);
    return 0;
}

/* The next frames of the current part; none at its end. */
static int read_part(MegaAudio *audio, size_t *count, MegaError *err)
{
    const uint64_t left = audio->parts.list[audio->part].frames - audio->part_frames;
    const size_t wanted = left < BLOCK ? (size_t)left : BLOCK;
    int code = 0;
    *count = 0;
    if (audio->mpeg) {
        code = mega_mpeg_read(audio->mpeg, audio->block, wanted, count, err);
    } else {
        const sf_count_t got = sf_readf_float(audio->decoder, audio->block, (sf_count_t)wanted);
        *count = got > 0 ? (size_t)got : 0;
        const bool exact = audio->parts.list[audio->part].frames != MEGA_AUDIO_ALL;
        const int error = sf_error(audio->decoder);
        if (*count < wanted && (error || exact))
            return mega_fail(err, MEGA_ERR_FORMAT, "%s is damaged after %.1f s: %s", audio->name,
                             audio->before + (double)(audio->frames + *count) / audio->rate,
                             error ? sf_strerror(audio->decoder) : "samples are missing");
    }
    audio->part_frames += *count;
    return code;
}

static int check_length(const MegaAudio *audio, uint64_t frames, MegaError *err)
{
    if (frames / MAX_FRAMES_A_BYTE > audio->file.size)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s is damaged: its %" PRIu64 " bytes cannot hold the %" PRIu64
                         " samples it claims",
                         audio->name, audio->file.size, frames);
    if (audio->before + (double)frames / audio->rate >= MEGA_AUDIO_MAX_HOURS * 3600)
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "%s is longer than %d hours, the limit of a recording; cut it",
                         audio->name, MEGA_AUDIO_MAX_HOURS);
    return 0;
}

/* The next frames of the file. Where the rate changes, as between the links of a radio's stream,
 * there are none until begin_rate is called. */
static int read_decoder(MegaAudio *audio, size_t *count, MegaError *err)
{
    *count = 0;
    int code = audio->part_rate == audio->rate ? read_part(audio, count, err) : 0;
    while (!code && !*count && audio->part + 1 < audio->parts.count &&
           audio->part_rate == audio->rate) {
        code = open_part(audio, audio->part + 1, err);
        if (!code && audio->part_rate == audio->rate)
            code = read_part(audio, count, err);
    }
    return code ? code : check_length(audio, audio->frames + *count, err);
}

/* The mean of the channels of each frame. */
static int mix_down(MegaAudio *audio, size_t count, MegaError *err)
{
    const size_t channels = (size_t)audio->channels;
    for (size_t i = 0; i < count; i++) {
        float sum = 0;
        for (size_t c = 0; c < channels; c++)
            sum += audio->block[i * channels + c];
        audio->mono[i] = sum / (float)channels;
        if (!isfinite(audio->mono[i]))
            return mega_fail(err, MEGA_ERR_FORMAT, "%s: sample %" PRIu64 " is no finite number",
                             audio->name, audio->frames + i);
    }
    return 0;
}

/* Fills mono, or sets `ended`. */
static int next_block(MegaAudio *audio, MegaError *err)
{
    size_t count = 0;
    int code = audio->parts.count ? read_decoder(audio, &count, err) : read_pcm(audio, &count, err);
    if (!code)
        code = mix_down(audio, count, err);
    if (code)
        return code;
    audio->frames += count;
    audio->first = 0;
    audio->left = count;
    audio->ended = count == 0;
    if (!audio->frames && !(audio->before > 0) && audio->part_rate == audio->rate)
        return mega_fail(err, MEGA_ERR_INPUT, "%s holds no samples", audio->name);
    return 0;
}

/* ---- Samples -------------------------------------------------------------------------------- */

/* How many samples the frames of this rate become: round(frames * target / rate), at least one. */
static uint64_t whole_length(const MegaAudio *audio)
{
    const uint64_t from = (uint64_t)audio->rate, to = (uint64_t)audio->target;
    const uint64_t length =
        audio->frames / from * to + (audio->frames % from * to + from / 2) / from;
    return length || !audio->frames ? length : 1;
}

static void take(MegaAudio *audio, float *samples, size_t capacity, size_t *count)
{
    *count = audio->left < capacity ? audio->left : capacity;
    memcpy(samples, audio->mono + audio->first, *count * sizeof *samples);
    audio->first += *count;
    audio->left -= *count;
}

/* One step of the converter. It looks ahead half a filter, so that behind the end it is fed zeros
 * until the exact length is reached. */
static int convert(MegaAudio *audio, float *samples, size_t capacity, size_t *count, MegaError *err)
{
    if (audio->ended) {
        const uint64_t missing = whole_length(audio) - audio->given;
        capacity = missing < capacity ? (size_t)missing : capacity;
        if (!audio->left) {
            memset(audio->mono, 0, BLOCK * sizeof *audio->mono);
            audio->first = 0;
            audio->left = BLOCK;
        }
    }
    SRC_DATA step = {
        .data_in = audio->mono + audio->first,
        .input_frames = (long)audio->left,
        .data_out = samples,
        .output_frames = capacity < BLOCK ? (long)capacity : BLOCK,
        .src_ratio = (double)audio->target / audio->rate,
    };
    const int error = src_process(audio->converter, &step);
    if (error || (step.input_frames_used <= 0 && step.output_frames_gen <= 0))
        return mega_fail(err, MEGA_ERR_FORMAT, "%s cannot be resampled: %s", audio->name,
                         error ? src_strerror(error) : "no progress");
    *count = (size_t)step.output_frames_gen;
    audio->first += (size_t)step.input_frames_used;
    audio->left -= (size_t)step.input_frames_used;
    return 0;
}

int mega_audio_read(MegaAudio *audio, float *samples, size_t capacity, size_t *count,
                    MegaError *err)
{
    int code = 0;
    *count = 0;
    while (!code && !*count && capacity) {
        if (!audio->left && !audio->ended)
            code = next_block(audio, err);
        if (code)
            break;
        if (audio->ended && (!audio->converter || audio->given >= whole_length(audio))) {
            if (audio->part_rate == audio->rate)
                break;
            code = begin_rate(audio, err);
            continue;
        }
        if (audio->converter)
            code = convert(audio, samples, capacity, count, err);
        else
            take(audio, samples, capacity, count);
    }
    audio->given += *count;
    return code;
}
