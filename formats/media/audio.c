/*
 * audio.c - decodes recordings block by block; see audio.h.
 *
 *   file or pipe -> parts (audio_parts.h) -> frames (libsndfile, libmpg123, or our own PCM reader)
 *        -> pcm.c: mono, resampled -> caller
 *
 * Decoders see the parts as virtual files. The only number in a header that decides how much is
 * allocated is that of the channels, which is checked.
 */
#include "formats/media/audio.h"

#include <errno.h>
#include <inttypes.h>
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
#include "formats/media/pcm.h"

/* most frames for a byte of the file: no format packs even silence more densely */
#define MAX_FRAMES_A_BYTE 65536

struct MegaAudio {
    char *name;
    MegaAudioFile file; /* fd is -1 while no file is open */
    MegaAudioParts parts;
    size_t part;          /* index of the current part */
    MegaAudioView view;   /* view of the current part, for libsndfile */
    SNDFILE *decoder;     /* libsndfile's decoder of the current part, or NULL */
    MegaMpeg *mpeg;       /* decoder of a part that is MPEG audio, or NULL */
    uint64_t part_frames; /* frames of the current part that were read so far */
    char cut[512];        /* the sentence about a recording that is cut short, or "" */
    MegaPcm pcm;
    uint8_t *bytes;     /* [MEGA_PCM_BLOCK] frames of headerless PCM as they arrive */
    size_t pending;     /* bytes of an incomplete frame */
    int channels;       /* channels of the current part */
    /* rate of the current part, which may differ from `rate` until the resampler has been told */
    int part_rate;
    int rate;           /* rate of the frames that were read last */
    int block_channels; /* number of channels that `block` has room for */
    double before;      /* seconds of the earlier parts, up to the last change of the rate */
    uint64_t frames;    /* frames that were read at this rate so far */
    float *block;       /* [MEGA_PCM_BLOCK][block_channels] */
    MegaResampler *resampler;
};

/* ---- Opening -------------------------------------------------------------------------------- */

/* Opens a file. A regular file is used in place; a pipe is read to its end first. */
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
    /* a shell may have read the beginning of stdin already */
    const off_t at = lseek(file->fd, 0, SEEK_CUR);
    const uint64_t whole = (uint64_t)info.st_size;
    file->base = at > 0 ? (uint64_t)at : 0;
    file->size = whole > file->base ? whole - file->base : 0;
    if (!file->size)
        return mega_fail(err, MEGA_ERR_INPUT, "%s is empty; expected a recording", audio->name);
    return 0;
}

/* Makes the error for a file that libsndfile rejects: it is of another kind, or damaged. */
static int fail_format(MegaAudio *audio, int number, const char *reason, MegaError *err)
{
    static const char expected[] =
        "expected WAV, FLAC, Ogg, MP3, AIFF or AU, or headerless samples";
    uint8_t head[512];
    const MegaFileKind kind =
        mega_sniff(head, mega_audio_file_read(&audio->file, 0, head, sizeof head));
    if (kind.role == MEGA_ROLE_UNREAD)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s is %s, a format that is not read; %s",
                         audio->name, kind.what, kind.advice);
    if (kind.what && number == SF_ERR_UNRECOGNISED_FORMAT)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s is %s; %s", audio->name, kind.what, expected);
    return mega_fail(err, MEGA_ERR_FORMAT, "%s is not a recording that can be read (%.*s); %s%s",
                     audio->name, (int)strcspn(reason, "."), reason, expected,
                     number == SF_ERR_UNSUPPORTED_ENCODING
                         ? "; convert it first: ffmpeg -i FILE sound.wav"
                         : "");
}

/* Makes room for a block of the current part. */
static int make_block(MegaAudio *audio, MegaError *err)
{
    int code = mega_pcm_check(audio->name, audio->part_rate, audio->channels, err);
    if (code || audio->channels <= audio->block_channels)
        return code;
    free(audio->block);
    audio->block = malloc(MEGA_PCM_BLOCK * (size_t)audio->channels * sizeof *audio->block);
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

/* Returns how many frames libsndfile finds in a part. */
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

/* Handles a recording that is cut short, of any format: makes an error or, with `partial`, the
 * sentence of a warning. */
static int check_cut(MegaAudio *audio, bool partial, MegaError *err)
{
    if (!audio->parts.cut)
        return 0;
    snprintf(audio->cut, sizeof audio->cut, "%.380s ends after %.1f s, in the middle of %s",
             audio->name, count_seconds(audio), audio->parts.cut);
    if (!partial || !audio->parts.count)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s; fetch or record it again%s", audio->cut,
                         audio->parts.count ? ", or accept what is there" : "");
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

/* ---- Frames --------------------------------------------------------------------------------- */

/* Reads what a pipe has at the moment, but at least one frame. At the end *count is 0, and the
 * bytes of an incomplete frame are dropped. */
static int read_pcm(MegaAudio *audio, size_t *count, MegaError *err)
{
    const size_t channels = (size_t)audio->channels;
    const size_t frame = mega_pcm_size(audio->pcm.format) * channels;
    *count = 0;
    while (audio->pending < frame) {
        const size_t room = MEGA_PCM_BLOCK * frame - audio->pending;
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
    mega_pcm_decode(audio->pcm.format, audio->bytes, *count * channels, audio->block);
    audio->pending -= *count * frame;
    memmove(audio->bytes, audio->bytes + *count * frame, audio->pending);
    return 0;
}

/* Reads the next frames of the current part; *count is 0 at its end. */
static int read_part(MegaAudio *audio, size_t *count, MegaError *err)
{
    const uint64_t left = audio->parts.list[audio->part].frames - audio->part_frames;
    const size_t wanted = left < MEGA_PCM_BLOCK ? (size_t)left : MEGA_PCM_BLOCK;
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

/* Reads the next frames of the file; *count is 0 at its end, and where the rate changes. */
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

/* Gives the resampler its frames. */
static int next_frames(void *context, MegaFrames *out, MegaError *err)
{
    MegaAudio *audio = context;
    size_t count = 0;
    if (audio->part_rate != audio->rate) { /* the last call announced this change of the rate */
        audio->before += (double)audio->frames / audio->rate;
        audio->rate = audio->part_rate;
        audio->frames = 0;
    }
    int code = audio->parts.count ? read_decoder(audio, &count, err) : read_pcm(audio, &count, err);
    if (code)
        return code;
    audio->frames += count;
    *out = (MegaFrames){audio->block, count, audio->part_rate, audio->channels};
    if (!audio->frames && !(audio->before > 0) && audio->part_rate == audio->rate)
        return mega_fail(err, MEGA_ERR_INPUT, "%s holds no samples", audio->name);
    return 0;
}

/* ---- From path to samples ------------------------------------------------------------------- */

static int open_pcm(MegaAudio *audio, const MegaPcm *pcm, MegaError *err)
{
    audio->pcm = *pcm;
    audio->part_rate = pcm->rate;
    audio->channels = pcm->channels;
    audio->bytes = malloc(MEGA_PCM_BLOCK * (size_t)pcm->channels * mega_pcm_size(pcm->format));
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
    audio->name = strdup(mega_source_name(path));
    const MegaOpenFile opener = options->open_file ? options->open_file : mega_source_open;
    int code = audio->name ? opener(&audio->file.fd, path, err) : MEGA_ERR_MEMORY;
    if (!code)
        code = options->pcm ? open_pcm(audio, options->pcm, err)
                            : open_decoder(audio, options->partial, err);
    audio->rate = audio->part_rate;
    if (!code)
        code = mega_resampler_new(&audio->resampler, audio->name, audio->rate, options->rate,
                                  next_frames, audio, err);
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
    mega_resampler_free(audio->resampler);
    if (audio->file.fd >= 0)
        close(audio->file.fd);
    mega_audio_parts_free(&audio->parts);
    free(audio->file.cache);
    free(audio->bytes);
    free(audio->block);
    free(audio->name);
    free(audio);
}

const char *mega_audio_cut(const MegaAudio *audio)
{
    return audio->cut[0] ? audio->cut : NULL;
}

int mega_audio_read(MegaAudio *audio, float *samples, size_t capacity, size_t *count,
                    MegaError *err)
{
    return mega_resampler_read(audio->resampler, samples, capacity, count, err);
}
