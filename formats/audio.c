/*
 * audio.c - decode, mix down and resample recordings block by block; see audio.h.
 *
 *   libsndfile or read_pcm -> frames [BLOCK][channels] -> mix -> mono [BLOCK] -> resample -> caller
 *
 * Frame counts in headers are never used to size anything. They serve to notice truncated files.
 */
#include "audio.h"

#include <errno.h>
#include <math.h>
#include <samplerate.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "source.h"

#define BLOCK 4096 /* frames */
#define MAX_SAMPLE_BYTES 4
#define MAX_FRAMES_PER_BYTE 65536 /* more than any codec packs: FLAC's silence comes nearest */
#define MAX_CHUNKS 10000          /* of a wav or aiff file before its samples */

struct MegaAudio {
    char *name;
    int fd;
    uint64_t size;     /* bytes of the file; 0 for headerless PCM */
    MegaBuffer memory; /* a stream that was read whole, */
    uint64_t position; /* and libsndfile's position in it */
    SNDFILE *file;     /* NULL for headerless PCM */
    SF_INFO info;
    MegaPcm pcm;    /* rate and channels of either kind */
    uint8_t *bytes; /* PCM that was read but is no whole frame yet */
    size_t byte_count;
    float *frames; /* [BLOCK][channels] */
    float *mono;   /* [BLOCK], of which mono_count from mono_first on are not used yet */
    size_t mono_first, mono_count;
    uint64_t frame_count;  /* read so far */
    bool ended;            /* the source is */
    int rate;              /* of the samples given out */
    SRC_STATE *converter;  /* NULL when the rates agree */
    uint64_t sample_count; /* given out so far */
    float last;            /* sample */
};

/* ---- Headerless PCM -------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t bytes;
} pcm_formats[] = {
    [MEGA_PCM_U8] = {"u8", 1},       [MEGA_PCM_S16LE] = {"s16le", 2},
    [MEGA_PCM_S16BE] = {"s16be", 2}, [MEGA_PCM_S24LE] = {"s24le", 3},
    [MEGA_PCM_S32LE] = {"s32le", 4}, [MEGA_PCM_F32LE] = {"f32le", 4},
};
#define PCM_FORMATS (sizeof pcm_formats / sizeof pcm_formats[0])

/* Digits up to a number of at most max, then `end`; NULL if the text does not read like that. */
static const char *parse_number(const char *text, int max, char end, int *out)
{
    int value = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (*p - '0');
        if (value > max)
            return NULL;
    }
    *out = value;
    return p > text && *p == end ? p : NULL;
}

int mega_pcm_parse(MegaPcm *out, const char *text, MegaError *err)
{
    MegaPcm pcm = {0};
    const size_t length = strcspn(text, ":");
    size_t format = 0;
    while (format < PCM_FORMATS && (strlen(pcm_formats[format].name) != length ||
                                    strncmp(text, pcm_formats[format].name, length) != 0))
        format++;
    pcm.format = (MegaPcmFormat)format;
    const char *second = NULL;
    if (format < PCM_FORMATS && text[length])
        second = parse_number(text + length + 1, MEGA_AUDIO_MAX_RATE, ':', &pcm.rate);
    if (!second || !parse_number(second + 1, MEGA_AUDIO_MAX_CHANNELS, '\0', &pcm.channels) ||
        pcm.rate < MEGA_AUDIO_MIN_RATE || pcm.channels < 1)
        return mega_fail(
            err, MEGA_ERR_ARGUMENT,
            "\"%.60s\" does not describe raw audio; expected FORMAT:RATE:CHANNELS such "
            "as s16le:16000:1, with FORMAT one of u8, s16le, s16be, s24le, s32le, "
            "f32le, RATE from %d to %d, CHANNELS from 1 to %d",
            text, MEGA_AUDIO_MIN_RATE, MEGA_AUDIO_MAX_RATE, MEGA_AUDIO_MAX_CHANNELS);
    *out = pcm;
    return 0;
}

static float pcm_sample(MegaPcmFormat format, const uint8_t *p)
{
    uint32_t bits = 0;
    float value = 0;
    switch (format) {
    case MEGA_PCM_U8: return (float)(p[0] - 128) / 128.0f;
    case MEGA_PCM_S16LE: return (float)(int16_t)mega_load_u16(p) / 32768.0f;
    case MEGA_PCM_S16BE: return (float)(int16_t)(p[0] << 8 | p[1]) / 32768.0f;
    case MEGA_PCM_S24LE: /* into the upper bytes, so that the sign is right */
        bits = (uint32_t)p[0] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 24;
        return (float)(int32_t)bits / 2147483648.0f;
    case MEGA_PCM_S32LE: return (float)(int32_t)mega_load_u32(p) / 2147483648.0f;
    case MEGA_PCM_F32LE:
        bits = mega_load_u32(p);
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    return 0;
}

/* Fills frames with what one read gives, at least one frame; *count 0 at the end. */
static int read_pcm(MegaAudio *audio, size_t *count, MegaError *err)
{
    const size_t item = pcm_formats[audio->pcm.format].bytes;
    const size_t channels = (size_t)audio->pcm.channels;
    const size_t frame = item * channels;
    while (audio->byte_count < frame) {
        ssize_t got =
            read(audio->fd, audio->bytes + audio->byte_count, BLOCK * frame - audio->byte_count);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return mega_fail(err, MEGA_ERR_IO, "cannot read %s: %s", audio->name, strerror(errno));
        if (got == 0 && audio->byte_count)
            return mega_fail(err, MEGA_ERR_INPUT,
                             "%s ends within a frame: %zu bytes are left over, expected a multiple "
                             "of %zu (%d channels of %s)",
                             audio->name, audio->byte_count, frame, audio->pcm.channels,
                             pcm_formats[audio->pcm.format].name);
        if (got == 0)
            break;
        audio->byte_count += (size_t)got;
    }
    *count = audio->byte_count / frame;
    for (size_t i = 0; i < *count * channels; i++)
        audio->frames[i] = pcm_sample(audio->pcm.format, audio->bytes + i * item);
    audio->byte_count -= *count * frame;
    memmove(audio->bytes, audio->bytes + *count * frame, audio->byte_count);
    return 0;
}

/* ---- Files with a header: libsndfile --------------------------------------------------------- */

static sf_count_t memory_size(void *context)
{
    const MegaAudio *audio = context;
    return (sf_count_t)audio->memory.size;
}

static sf_count_t memory_seek(sf_count_t offset, int whence, void *context)
{
    MegaAudio *audio = context;
    const sf_count_t size = (sf_count_t)audio->memory.size;
    const sf_count_t base = whence == SEEK_SET   ? 0
                            : whence == SEEK_CUR ? (sf_count_t)audio->position
                                                 : size;
    if (offset < -base || offset > size - base)
        return -1;
    audio->position = (uint64_t)(base + offset);
    return base + offset;
}

static sf_count_t memory_read(void *data, sf_count_t count, void *context)
{
    MegaAudio *audio = context;
    const uint64_t left = audio->memory.size - audio->position;
    if (count <= 0 || !left)
        return 0;
    const size_t size = (uint64_t)count < left ? (size_t)count : (size_t)left;
    memcpy(data, audio->memory.data + audio->position, size);
    audio->position += size;
    return (sf_count_t)size;
}

static sf_count_t memory_write(const void *data, sf_count_t count, void *context)
{
    (void)data, (void)count, (void)context;
    return 0;
}

static sf_count_t memory_tell(void *context)
{
    const MegaAudio *audio = context;
    return (sf_count_t)audio->position;
}

/* Bytes at an offset of the file, wherever it is; false if they are not all there. */
static bool bytes_at(const MegaAudio *audio, uint64_t offset, uint8_t *out, size_t size)
{
    if (offset > audio->size || audio->size - offset < size)
        return false;
    if (audio->fd >= 0)
        return pread(audio->fd, out, size, (off_t)offset) == (ssize_t)size;
    memcpy(out, audio->memory.data + offset, size);
    return true;
}

/* True for the sizes that programs write before they know better: ffmpeg's, and on a pipe any that
 * is near the largest of 31 or 32 bits (sox, arecord). */
static bool is_placeholder(const MegaAudio *audio, uint32_t size)
{
    return size == UINT32_MAX || (audio->fd < 0 && size >= 0x7fff0000u);
}

/* libsndfile reads truncated wav and aiff files as if they were whole: it trusts the file's size
 * more than the header. Here the announced size of the samples must be there. */
static int check_size(const MegaAudio *audio, MegaError *err)
{
    uint8_t head[12];
    uint64_t offset = sizeof head;
    if (!bytes_at(audio, 0, head, sizeof head))
        return 0;
    const bool wav = memcmp(head, "RIFF", 4) == 0 && memcmp(head + 8, "WAVE", 4) == 0;
    const bool aiff = memcmp(head, "FORM", 4) == 0 && memcmp(head + 8, "AIF", 3) == 0;
    for (int i = 0; i < MAX_CHUNKS && (wav || aiff) && bytes_at(audio, offset, head, 8); i++) {
        const uint32_t size = wav ? mega_load_u32(head + 4)
                                  : (uint32_t)head[4] << 24 | (uint32_t)head[5] << 16 |
                                        (uint32_t)head[6] << 8 | head[7];
        offset += 8;
        if (memcmp(head, wav ? "data" : "SSND", 4) != 0) {
            offset += (uint64_t)size + size % 2;
            continue;
        }
        if (size > audio->size - offset && !is_placeholder(audio, size))
            return mega_fail(err, MEGA_ERR_FORMAT,
                             "%s is cut short: its header announces %lu bytes of samples, but only "
                             "%llu follow",
                             audio->name, (unsigned long)size,
                             (unsigned long long)(audio->size - offset));
        return 0;
    }
    return 0;
}

static int check_info(MegaAudio *audio, MegaError *err)
{
    if (audio->info.channels < 1 || audio->info.channels > MEGA_AUDIO_MAX_CHANNELS)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s has %d channels, expected 1 to %d", audio->name,
                         audio->info.channels, MEGA_AUDIO_MAX_CHANNELS);
    if (audio->info.samplerate < MEGA_AUDIO_MIN_RATE ||
        audio->info.samplerate > MEGA_AUDIO_MAX_RATE)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s has a rate of %d Hz, expected %d to %d",
                         audio->name, audio->info.samplerate, MEGA_AUDIO_MIN_RATE,
                         MEGA_AUDIO_MAX_RATE);
    audio->pcm.rate = audio->info.samplerate;
    audio->pcm.channels = audio->info.channels;
    return 0;
}

/* Regular files are read where they are; what cannot seek is first read whole. */
static int open_file(MegaAudio *audio, bool stream, MegaError *err)
{
    SF_VIRTUAL_IO memory = {memory_size, memory_seek, memory_read, memory_write, memory_tell};
    struct stat info;
    int code = 0;
    if (!stream && fstat(audio->fd, &info) == 0 && S_ISREG(info.st_mode)) {
        audio->size = (uint64_t)info.st_size;
    } else {
        code = mega_source_slurp(&audio->memory, audio->fd, audio->name, "audio on a pipe",
                                 MEGA_AUDIO_MAX_PIPE, err);
        close(audio->fd);
        audio->fd = -1;
        audio->size = audio->memory.size;
    }
    if (code)
        return code;
    if (audio->size == 0)
        return mega_fail(err, MEGA_ERR_INPUT, "%s is empty; expected audio", audio->name);
    audio->file = audio->fd >= 0 ? sf_open_fd(audio->fd, SFM_READ, &audio->info, SF_FALSE)
                                 : sf_open_virtual(&memory, SFM_READ, &audio->info, audio);
    if (!audio->file)
        return mega_fail(
            err, MEGA_ERR_FORMAT,
            "%s cannot be read as audio (%s); expected wav, flac, ogg, mp3, aiff, au or "
            "another format of libsndfile, or --raw with headerless samples",
            audio->name, sf_strerror(NULL));
    code = check_info(audio, err);
    return code ? code : check_size(audio, err);
}

/* Fills frames; *count 0 at the end. */
static int read_file(MegaAudio *audio, size_t *count, MegaError *err)
{
    const sf_count_t got = sf_readf_float(audio->file, audio->frames, BLOCK);
    const uint64_t total = audio->frame_count + (uint64_t)(got > 0 ? got : 0);
    *count = got > 0 ? (size_t)got : 0;
    if (total > (uint64_t)audio->pcm.rate * 3600 * MEGA_AUDIO_MAX_HOURS)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s is longer than %d hours, the limit", audio->name,
                         MEGA_AUDIO_MAX_HOURS);
    if (total / MAX_FRAMES_PER_BYTE > audio->size)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s is damaged: it seems to hold more samples than its %llu bytes can",
                         audio->name, (unsigned long long)audio->size);
    if (got > 0)
        return 0;
    if (sf_error(audio->file) != SF_ERR_NO_ERROR)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s is damaged after %llu samples: %s", audio->name,
                         (unsigned long long)total, sf_strerror(audio->file));
    if ((audio->info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_FLAC &&
        audio->info.frames < SF_COUNT_MAX && total < (uint64_t)audio->info.frames)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s is cut short or damaged: its header announces %lld samples, but only "
                         "%llu can be read",
                         audio->name, (long long)audio->info.frames, (unsigned long long)total);
    return 0;
}

/* ---- The stream ------------------------------------------------------------------------------ */

static int allocate(MegaAudio *audio, MegaError *err)
{
    const size_t channels = (size_t)audio->pcm.channels;
    int problem = 0;
    audio->frames = calloc(BLOCK * channels, sizeof *audio->frames);
    audio->mono = calloc(BLOCK, sizeof *audio->mono);
    audio->bytes = audio->file ? NULL : malloc(BLOCK * channels * MAX_SAMPLE_BYTES);
    if (!audio->frames || !audio->mono || (!audio->file && !audio->bytes))
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", audio->name);
    if (audio->rate == audio->pcm.rate)
        return 0;
    if (!src_is_valid_ratio((double)audio->rate / audio->pcm.rate))
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "%s has a rate of %d Hz, which cannot be converted to %d Hz: the factor "
                         "must be at most 256",
                         audio->name, audio->pcm.rate, audio->rate);
    audio->converter = src_new(SRC_SINC_MEDIUM_QUALITY, 1, &problem);
    if (!audio->converter)
        return mega_fail(err, MEGA_ERR_MEMORY,
                         "cannot set up the conversion of %s from %d to %d "
                         "Hz: %s",
                         audio->name, audio->pcm.rate, audio->rate, src_strerror(problem));
    return 0;
}

int mega_audio_open(MegaAudio **out, const char *path, const MegaPcm *pcm, int rate, MegaError *err)
{
    *out = NULL;
    MegaAudio *audio = calloc(1, sizeof *audio);
    if (!audio)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading audio");
    audio->fd = -1;
    audio->rate = rate;
    audio->name = strdup(mega_source_name(path));
    int code = audio->name ? mega_source_open(&audio->fd, path, err)
                           : mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading audio");
    if (!code && pcm)
        audio->pcm = *pcm;
    else if (!code)
        code = open_file(audio, strcmp(path, "-") == 0, err);
    if (!code)
        code = allocate(audio, err);
    if (code) {
        mega_audio_close(audio);
        return code;
    }
    *out = audio;
    return 0;
}

void mega_audio_close(MegaAudio *audio)
{
    if (!audio)
        return;
    if (audio->converter)
        src_delete(audio->converter);
    if (audio->file)
        sf_close(audio->file);
    if (audio->fd >= 0)
        close(audio->fd);
    mega_buffer_free(&audio->memory);
    free(audio->bytes);
    free(audio->frames);
    free(audio->mono);
    free(audio->name);
    free(audio);
}

/* Refills mono, which is used up; sets ended when nothing is left. */
static int fill_mono(MegaAudio *audio, MegaError *err)
{
    const size_t channels = (size_t)audio->pcm.channels;
    size_t count = 0;
    int code = audio->file ? read_file(audio, &count, err) : read_pcm(audio, &count, err);
    if (code)
        return code;
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (size_t c = 0; c < channels; c++)
            sum += (double)audio->frames[i * channels + c];
        audio->mono[i] = (float)(sum / (double)channels);
        if (!isfinite(audio->mono[i]))
            return mega_fail(err, MEGA_ERR_INPUT,
                             "%s holds something that is no number at sample %llu; expected values "
                             "in [-1, 1)",
                             audio->name, (unsigned long long)(audio->frame_count + i));
    }
    audio->mono_first = 0;
    audio->mono_count = count;
    audio->frame_count += count;
    audio->ended = count == 0;
    return 0;
}

/* round(n * to / from) for the n frames that there were, but something for something. */
static uint64_t converted_length(const MegaAudio *audio)
{
    const uint64_t to = (uint64_t)audio->rate, from = (uint64_t)audio->pcm.rate;
    const uint64_t length = (2 * audio->frame_count * to + from) / (2 * from);
    return length || !audio->frame_count ? length : 1;
}

/* One step of the converter; *count may be 0 while it fills its filter. */
static int convert(MegaAudio *audio, float *samples, size_t capacity, size_t *count, MegaError *err)
{
    SRC_DATA step = {
        .data_in = audio->mono + audio->mono_first,
        .data_out = samples,
        .input_frames = (long)audio->mono_count,
        .output_frames = (long)capacity,
        .end_of_input = audio->ended,
        .src_ratio = (double)audio->rate / audio->pcm.rate,
    };
    const int problem = src_process(audio->converter, &step);
    if (problem)
        return mega_fail(err, MEGA_ERR_INPUT, "cannot convert %s from %d to %d Hz: %s", audio->name,
                         audio->pcm.rate, audio->rate, src_strerror(problem));
    audio->mono_first += (size_t)step.input_frames_used;
    audio->mono_count -= (size_t)step.input_frames_used;
    *count = (size_t)step.output_frames_gen;
    if (!audio->ended)
        return 0;
    /* The converter's own length is off by one at times. */
    const uint64_t length = converted_length(audio);
    const uint64_t left = length > audio->sample_count ? length - audio->sample_count : 0;
    if (*count > left)
        *count = (size_t)left;
    if (*count == 0 && left)
        samples[(*count)++] = audio->last;
    return 0;
}

int mega_audio_read(MegaAudio *audio, float *samples, size_t capacity, size_t *count,
                    MegaError *err)
{
    int code = 0;
    *count = 0;
    if (capacity > INT32_MAX)
        capacity = INT32_MAX;
    while (*count == 0 && capacity && !code) {
        if (!audio->mono_count && !audio->ended)
            code = fill_mono(audio, err);
        if (code)
            break;
        if (audio->converter) {
            code = convert(audio, samples, capacity, count, err);
        } else {
            *count = capacity < audio->mono_count ? capacity : audio->mono_count;
            memcpy(samples, audio->mono + audio->mono_first, *count * sizeof *samples);
            audio->mono_first += *count;
            audio->mono_count -= *count;
        }
        if (audio->ended && *count == 0)
            break;
    }
    if (*count)
        audio->last = samples[*count - 1];
    audio->sample_count += *count;
    return code;
}

int mega_audio_source_rate(const MegaAudio *audio)
{
    return audio->pcm.rate;
}

int mega_audio_source_channels(const MegaAudio *audio)
{
    return audio->pcm.channels;
}
