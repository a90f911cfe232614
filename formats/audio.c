/*
 * audio.c - decode, mix down and resample, block by block; see audio.h.
 *
 *   file or pipe -> frames (libsndfile, or our own PCM reader) -> mono -> libsamplerate -> caller
 *
 * libsndfile sees a virtual file: a regular file is read in place, a pipe from memory. Nothing is
 * allocated by what a header declares beyond the checked number of channels.
 */
#include "audio.h"

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

#include "bytes.h"
#include "recognize.h"
#include "source.h"

#define BLOCK 4096              /* frames per step */
#define MAX_FRAMES_A_BYTE 65536 /* no format packs silence denser */
#define MAX_CHUNKS 1024         /* of a wav or aiff file before its samples */

struct MegaAudio {
    char *name;
    int fd;          /* -1: not open */
    MegaBuffer pipe; /* content of a pipe */
    bool piped;
    uint64_t base, size, at; /* the virtual file: start in fd, bytes, position */
    SNDFILE *decoder;        /* NULL: headerless PCM */
    MegaPcm pcm;
    uint8_t *bytes;       /* PCM: [BLOCK] frames as they arrive */
    size_t pending;       /* bytes of an incomplete frame */
    int rate, channels;   /* of the recording */
    uint64_t announced;   /* frames by a header that can be trusted to be exact, else 0 */
    uint64_t frames;      /* read so far */
    bool ended;           /* no more frames */
    float *block;         /* [BLOCK][channels] */
    float *mono;          /* [BLOCK] */
    size_t first, left;   /* unused part of mono */
    int target;           /* rate of what is given out */
    SRC_STATE *converter; /* NULL: rates agree */
    uint64_t given;       /* samples given out */
};

/* ---- The virtual file ----------------------------------------------------------------------- */

/* Reads up to `size` bytes at an offset; fewer at the end or on an error. */
static size_t read_at(const MegaAudio *audio, uint64_t offset, void *out, size_t size)
{
    if (offset >= audio->size)
        return 0;
    if (size > audio->size - offset)
        size = (size_t)(audio->size - offset);
    if (audio->piped) {
        memcpy(out, audio->pipe.data + offset, size);
        return size;
    }
    size_t got = 0;
    while (got < size) {
        ssize_t n =
            pread(audio->fd, (char *)out + got, size - got, (off_t)(audio->base + offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return got;
}

static sf_count_t file_length(void *context)
{
    return (sf_count_t)((MegaAudio *)context)->size;
}

static sf_count_t file_tell(void *context)
{
    return (sf_count_t)((MegaAudio *)context)->at;
}

static sf_count_t file_seek(sf_count_t offset, int whence, void *context)
{
    MegaAudio *audio = context;
    const sf_count_t from = whence == SEEK_SET   ? 0
                            : whence == SEEK_CUR ? (sf_count_t)audio->at
                                                 : (sf_count_t)audio->size;
    sf_count_t to = 0;
    if (__builtin_add_overflow(from, offset, &to) || to < 0)
        return -1;
    audio->at = (uint64_t)to;
    return to;
}

static sf_count_t file_read(void *out, sf_count_t size, void *context)
{
    MegaAudio *audio = context;
    const size_t got = size > 0 ? read_at(audio, audio->at, out, (size_t)size) : 0;
    audio->at += got;
    return (sf_count_t)got;
}

static sf_count_t file_write(const void *data, sf_count_t size, void *context)
{
    (void)data;
    (void)size;
    (void)context;
    return 0;
}

/* Regular files stay where they are, everything else is read to its end. */
static int open_file(MegaAudio *audio, MegaError *err)
{
    struct stat info;
    if (fstat(audio->fd, &info) == 0 && S_ISREG(info.st_mode)) {
        const off_t at = lseek(audio->fd, 0, SEEK_CUR); /* a shell may have read some of stdin */
        const uint64_t whole = (uint64_t)info.st_size;
        audio->base = at > 0 ? (uint64_t)at : 0;
        audio->size = whole > audio->base ? whole - audio->base : 0;
    } else {
        audio->piped = true;
        int code = mega_source_slurp(&audio->pipe, audio->fd, audio->name,
                                     "a recording on a pipe (headerless samples, given with "
                                     "--raw, have none)",
                                     MEGA_AUDIO_MAX_PIPE, err);
        if (code)
            return code;
        audio->size = audio->pipe.size;
    }
    if (!audio->size)
        return mega_fail(err, MEGA_ERR_INPUT, "%s is empty; expected a recording", audio->name);
    return 0;
}

/* ---- Opening -------------------------------------------------------------------------------- */

/* Writers that cannot go back to fill in the size of the samples leave one of these. On a pipe any
 * huge size counts as one. */
static bool is_placeholder(uint32_t size, bool piped)
{
    return size == 0xffffffff || size == 0x7ffff000 || (piped && size > 0x7ffff000);
}

/* libsndfile takes what is there of a truncated wav or aiff file without a word: look at the chunk
 * that holds the samples. */
static int check_size(const MegaAudio *audio, MegaError *err)
{
    uint8_t head[12];
    if (read_at(audio, 0, head, 12) != 12)
        return 0;
    const bool wav = memcmp(head, "RIFF", 4) == 0 && memcmp(head + 8, "WAVE", 4) == 0;
    const bool aiff = memcmp(head, "FORM", 4) == 0 && memcmp(head + 8, "AIF", 3) == 0;
    uint64_t at = 12;
    for (int i = 0; i < MAX_CHUNKS && (wav || aiff) && read_at(audio, at, head, 8) == 8; i++) {
        const uint32_t little = mega_load_u32(head + 4);
        const uint32_t size = wav ? little : __builtin_bswap32(little);
        const uint64_t left = audio->size - at - 8;
        if (memcmp(head, wav ? "data" : "SSND", 4) == 0) {
            if (size <= left || is_placeholder(size, audio->piped))
                return 0;
            return mega_fail(err, MEGA_ERR_FORMAT,
                             "%s is truncated: its header announces %" PRIu32
                             " bytes of samples, %" PRIu64 " are there; fetch or record it again",
                             audio->name, size, left);
        }
        at += 8 + (uint64_t)size + (size & 1);
    }
    return 0;
}

/* What libsndfile does not take: a file of another kind, or a damaged one. */
static int fail_format(const MegaAudio *audio, int number, const char *reason, MegaError *err)
{
    static const char expected[] =
        "expected WAV, FLAC, Ogg, MP3, AIFF or AU, or headerless samples with --raw";
    uint8_t head[512];
    const MegaFileKind kind = mega_recognize(head, read_at(audio, 0, head, sizeof head));
    if (kind.what && number == SF_ERR_UNRECOGNISED_FORMAT)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s is %s; %s", audio->name, kind.what, expected);
    return mega_fail(err, MEGA_ERR_FORMAT, "%s is no recording that can be read (%.*s); %s",
                     audio->name, (int)strcspn(reason, "."), reason, expected);
}

static int open_decoder(MegaAudio *audio, MegaError *err)
{
    SF_VIRTUAL_IO io = {file_length, file_seek, file_read, file_write, file_tell};
    int code = open_file(audio, err);
    if (!code)
        code = check_size(audio, err);
    if (code)
        return code;
    SF_INFO info = {0};
    audio->decoder = sf_open_virtual(&io, SFM_READ, &info, audio);
    if (!audio->decoder)
        return fail_format(audio, sf_error(NULL), sf_strerror(NULL), err);
    audio->rate = info.samplerate;
    audio->channels = info.channels;
    if ((info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_FLAC && info.frames > 0 &&
        info.frames < SF_COUNT_MAX)
        audio->announced = (uint64_t)info.frames;
    return 0;
}

/* Bytes of a sample and how text names it, by MegaPcmFormat. */
static const struct {
    const char *name;
    size_t size;
} pcm_formats[] = {
    [MEGA_PCM_U8] = {"u8", 1},       [MEGA_PCM_S16LE] = {"s16le", 2},
    [MEGA_PCM_S16BE] = {"s16be", 2}, [MEGA_PCM_S24LE] = {"s24le", 3},
    [MEGA_PCM_S32LE] = {"s32le", 4}, [MEGA_PCM_F32LE] = {"f32le", 4},
};

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

static int open_converter(MegaAudio *audio, MegaError *err)
{
    const double ratio = (double)audio->target / audio->rate;
    int error = 0;
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

int mega_audio_open(MegaAudio **out, const char *path, const MegaPcm *pcm, int rate, MegaError *err)
{
    *out = NULL;
    MegaAudio *audio = calloc(1, sizeof *audio);
    if (!audio)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", mega_source_name(path));
    audio->fd = -1;
    audio->target = rate;
    audio->name = strdup(mega_source_name(path));
    int code = audio->name ? mega_source_open(&audio->fd, path, err) : MEGA_ERR_MEMORY;
    if (!code && pcm) {
        audio->pcm = *pcm;
        audio->rate = pcm->rate;
        audio->channels = pcm->channels;
    } else if (!code) {
        code = open_decoder(audio, err);
    }
    if (!code)
        code = check_format(audio->name, audio->rate, audio->channels, err);
    if (code)
        goto out;
    const size_t frame = (size_t)audio->channels;
    audio->mono = malloc(BLOCK * sizeof *audio->mono);
    audio->block = malloc(BLOCK * frame * sizeof *audio->block);
    audio->bytes = pcm ? malloc(BLOCK * frame * pcm_formats[pcm->format].size) : NULL;
    if (!audio->mono || !audio->block || (pcm && !audio->bytes))
        code = MEGA_ERR_MEMORY;
    else
        code = open_converter(audio, err);
out:
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
    if (audio->decoder)
        sf_close(audio->decoder);
    if (audio->converter)
        src_delete(audio->converter);
    if (audio->fd >= 0)
        close(audio->fd);
    mega_buffer_free(&audio->pipe);
    free(audio->bytes);
    free(audio->block);
    free(audio->mono);
    free(audio->name);
    free(audio);
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
        ssize_t got = read(audio->fd, audio->bytes + audio->pending, room);
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

static int read_decoder(MegaAudio *audio, size_t *count, MegaError *err)
{
    const sf_count_t got = sf_readf_float(audio->decoder, audio->block, BLOCK);
    *count = got > 0 ? (size_t)got : 0;
    if (got < BLOCK && sf_error(audio->decoder))
        return mega_fail(err, MEGA_ERR_FORMAT, "%s is damaged after %" PRIu64 " samples: %s",
                         audio->name, audio->frames + *count, sf_strerror(audio->decoder));
    const uint64_t frames = audio->frames + *count;
    if (!*count && frames < audio->announced)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s is truncated: its header announces %" PRIu64 " samples, %" PRIu64
                         " are there; fetch or record it again",
                         audio->name, audio->announced, frames);
    if (frames / MAX_FRAMES_A_BYTE > audio->size)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s is damaged: its %" PRIu64 " bytes cannot hold the %" PRIu64
                         " samples it claims",
                         audio->name, audio->size, frames);
    if (frames / (MEGA_AUDIO_MAX_HOURS * 3600) >= (uint64_t)audio->rate)
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "%s is longer than %d hours, the limit of a recording; cut it",
                         audio->name, MEGA_AUDIO_MAX_HOURS);
    return 0;
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
    int code = audio->decoder ? read_decoder(audio, &count, err) : read_pcm(audio, &count, err);
    if (!code)
        code = mix_down(audio, count, err);
    if (code)
        return code;
    audio->frames += count;
    audio->first = 0;
    audio->left = count;
    audio->ended = count == 0;
    if (!audio->frames)
        return mega_fail(err, MEGA_ERR_INPUT, "%s holds no samples", audio->name);
    return 0;
}

/* ---- Samples -------------------------------------------------------------------------------- */

/* How many samples the whole recording becomes: round(frames * target / rate), at least one. */
static uint64_t whole_length(const MegaAudio *audio)
{
    const uint64_t from = (uint64_t)audio->rate, to = (uint64_t)audio->target;
    const uint64_t length =
        audio->frames / from * to + (audio->frames % from * to + from / 2) / from;
    return length ? length : 1;
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
        if (code || (audio->ended && (!audio->converter || audio->given >= whole_length(audio))))
            break;
        if (audio->converter)
            code = convert(audio, samples, capacity, count, err);
        else
            take(audio, samples, capacity, count);
    }
    audio->given += *count;
    return code;
}
