/*
 * audio_mpeg.c - finds the frames of MPEG audio (mp3, and layers I and II) and decodes them with
 * libmpg123.
 *
 * A frame's header tells its length, so that all frames can be counted before any is decoded. Where
 * they do not follow one another, tags and junk are skipped. The first frame of a file may hold,
 * instead of sound, a table (Xing, Info, VBRI) with the number of frames and of samples to drop at
 * both ends. libmpg123 obeys that table, so each table begins a part, and its number of frames is
 * corrected.
 */
#include <mpg123.h>
#include <stdlib.h>
#include <string.h>

#include "formats/media/audio_parts.h"

#define MAX_FRAME 16384 /* more bytes than any frame has */

typedef struct Frame {
    /* version, layer, rate and mono or stereo, which are equal for all frames of a part */
    uint32_t kind;
    int rate;         /* Hz */
    uint32_t samples; /* samples of each channel */
    uint32_t size;    /* bytes, or 0 in the free format, where only the next frame tells the size */
    uint32_t table;   /* offset within the frame at which a table would be */
} Frame;

/* ---- Frames --------------------------------------------------------------------------------- */

static bool parse_header(const uint8_t h[4], Frame *out)
{
    static const uint16_t rates[] = {44100, 48000, 32000};
    static const uint16_t bitrates[5][15] = {
        /* kbit/s: MPEG 1 layers I, II, III, then MPEG 2 layers I, and II and III */
        {0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
        {0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
        {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
        {0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
        {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
    };
    const uint32_t version = h[1] >> 3 & 3, layer = 4 - (h[1] >> 1 & 3); /* version 3 is MPEG 1 */
    const uint32_t bitrate = h[2] >> 4, rate = h[2] >> 2 & 3, padding = h[2] >> 1 & 1;
    if (h[0] != 0xff || (h[1] & 0xe0) != 0xe0 || version == 1 || layer == 4 || bitrate == 15 ||
        rate == 3 || (h[3] & 3) == 2)
        return false;
    const bool first = version == 3, mono = h[3] >> 6 == 3;
    const uint32_t row = first ? layer - 1 : layer == 1 ? 3 : 4;
    out->kind = version << 8 | layer << 4 | rate << 1 | mono;
    out->rate = rates[rate] >> (first ? 0 : version == 2 ? 1 : 2);
    out->samples = layer == 1 ? 384 : layer == 3 && !first ? 576 : 1152;
    const uint32_t bits = bitrates[row][bitrate] * 1000u * (out->samples / 8);
    out->size = bitrate == 0 ? 0
                : layer == 1 ? (bits / 4 / (uint32_t)out->rate + padding) * 4
                             : bits / (uint32_t)out->rate + padding;
    out->table = 4 + (first ? (mono ? 17 : 32) : (mono ? 9 : 17));
    return true;
}

/* Reads the frame at an offset. In the free format, which does not declare the bit rate, the frame
 * ends where the next one begins. */
static bool read_frame(MegaAudioFile *file, uint64_t at, Frame *out)
{
    uint8_t bytes[MAX_FRAME];
    Frame next;
    if (mega_audio_file_read(file, at, bytes, 4) < 4 || !parse_header(bytes, out))
        return false;
    if (out->size)
        return true;
    const size_t got = mega_audio_file_read(file, at, bytes, sizeof bytes);
    for (size_t i = 24; i + 4 <= got && !out->size; i++)
        if (bytes[i] == 0xff && parse_header(bytes + i, &next) && next.kind == out->kind &&
            !next.size)
            out->size = (uint32_t)i;
    if (!out->size && got < sizeof bytes) /* the last frame ends with the file */
        out->size = (uint32_t)got;
    return out->size > 0;
}

bool mega_audio_is_mpeg(MegaAudioFile *file, uint64_t at, int least)
{
    Frame frame, first = {0};
    uint8_t head[2];
    int count = 0;
    while (count < (least > 3 ? least : 3)) {
        if (at >= file->size || (count && file->size - at < 4))
            return count >= least;
        if (mega_audio_file_read(file, at, head, 2) < 2 || head[0] != 0xff ||
            !read_frame(file, at, &frame) || (count && frame.kind != first.kind))
            return count && count >= least && mega_audio_skip_tags(file, at) == file->size;
        if (!count && (frame.kind >> 4 & 15) == 1)
            /* layer I needs more frames, since UTF-16 and quiet PCM look like frames of it */
            least = least > 8 ? least : 8;
        if (!count)
            first = frame;
        at += frame.size;
        count++;
    }
    return true;
}

/* Describes the table that a frame may hold in place of sound. */
typedef struct Table {
    bool found;
    uint32_t frames, bytes; /* number of frames that follow and bytes of all, or 0 if unknown */
    uint32_t at;            /* offset within the frame of the number of frames */
} Table;

static Table read_table(MegaAudioFile *file, uint64_t at, const Frame *frame)
{
    uint8_t bytes[64] = {0};
    Table table = {0};
    mega_audio_file_read(file, at + frame->table, bytes, 16);
    if (memcmp(bytes, "Xing", 4) == 0 || memcmp(bytes, "Info", 4) == 0) {
        table.found = true;
        table.at = frame->table + 8;
        if (bytes[7] & 1)
            table.frames = __builtin_bswap32(mega_load_u32(bytes + 8));
        if ((bytes[7] & 3) == 3)
            table.bytes = __builtin_bswap32(mega_load_u32(bytes + 12));
    }
    mega_audio_file_read(file, at + 36, bytes, 18);
    if (!table.found && memcmp(bytes, "VBRI", 4) == 0) {
        table.found = true;
        table.at = 36 + 14;
        table.bytes = __builtin_bswap32(mega_load_u32(bytes + 10));
        table.frames = __builtin_bswap32(mega_load_u32(bytes + 14));
    }
    return table;
}

/* Returns whether the file ends within the frame at an offset, or within its header. */
static bool ends_inside(MegaAudioFile *file, uint64_t at, const uint8_t *last)
{
    uint8_t head[4];
    const size_t got = mega_audio_file_read(file, at, head, 4);
    Frame frame;
    if (got && got < 4)
        return memcmp(head, last, got < 2 ? got : 2) == 0;
    return got == 4 && parse_header(head, &frame) && head[1] == last[1] &&
           ((head[2] ^ last[2]) & 0x0c) == 0 && frame.size > file->size - at;
}

/* Returns where the next frames begin, after tags and junk, or the end of the file if there are
 * none. */
static uint64_t find_next(MegaAudioFile *file, uint64_t at)
{
    uint8_t bytes[4096];
    const uint64_t after = mega_audio_skip_tags(file, at);
    if (mega_audio_is_mpeg(file, after, 3))
        return after;
    for (uint64_t from = after; from < file->size;) {
        const size_t got = mega_audio_file_read(file, from, bytes, sizeof bytes);
        const uint8_t *found = bytes;
        while ((found = memchr(found, 0xff, (size_t)(bytes + got - found)))) {
            if (mega_audio_is_mpeg(file, from + (size_t)(found - bytes), 3))
                return from + (size_t)(found - bytes);
            found++;
        }
        if (!got)
            break;
        from += got;
    }
    return file->size;
}

/* Corrects the number of frames in the table of a part that has more. */
static void correct_table(MegaAudioParts *parts, MegaAudioFile *file, MegaAudioPart *part,
                          const Table *table, uint32_t frames)
{
    uint8_t bytes[MAX_FRAME];
    const uint64_t at = part->pieces[0].at;
    const size_t size = part->pieces[0].size < 256 ? (size_t)part->pieces[0].size : 256;
    if (part->pieces[0].bytes || table->at + 4 > size)
        return;
    MegaAudioPart corrected = {.mpeg = true, .frames = MEGA_AUDIO_ALL};
    mega_audio_file_read(file, at, bytes, size);
    mega_store_u32(bytes + table->at, __builtin_bswap32(frames));
    mega_audio_add_bytes(parts, &corrected, bytes, size);
    mega_audio_add_range(parts, &corrected, at + size, part->pieces[0].size - size);
    for (size_t i = 1; i < part->count; i++)
        mega_audio_add_range(parts, &corrected, part->pieces[i].at, part->pieces[i].size);
    free(part->pieces);
    *part = corrected;
}

/* Scans one part: frames of one kind, up to another table. Returns the offset after them. */
static uint64_t scan_part(MegaAudioParts *parts, MegaAudioFile *file, uint64_t at, bool *ended)
{
    MegaAudioPart *part = mega_audio_add_part(parts);
    Frame frame = {0}, first = {0};
    Table table = {0};
    uint8_t head[4] = {0};
    uint32_t frames = 0;
    *ended = true;
    for (bool begun = false; part && !parts->failed && at < file->size; begun = true) {
        const bool fits = read_frame(file, at, &frame) && frame.size <= file->size - at;
        if (begun && (!fits || frame.kind != first.kind)) {
            if (ends_inside(file, at, head)) {
                parts->cut = "an MPEG frame";
                at = file->size;
                break;
            }
            at = fits && mega_audio_is_mpeg(file, at, 3) ? at : find_next(file, at);
            if (at >= file->size)
                break;
            read_frame(file, at, &frame);
        } else if (!fits) {
            parts->cut = "an MPEG frame";
            break;
        }
        const Table here = read_table(file, at, &frame);
        *ended = !begun || (frame.kind == first.kind && !here.found);
        if (!*ended)
            break; /* the next part begins */
        if (!begun) {
            first = frame;
            table = here;
        }
        mega_audio_file_read(file, at, head, 4);
        mega_audio_add_range(parts, part, at, frame.size);
        frames += !here.found;
        at += frame.size;
    }
    if (part && !part->count)
        parts->count--;
    if (!part || parts->failed || !part->count)
        return at;
    part->mpeg = true;
    const bool all_bytes = table.bytes && table.bytes <= part->size;
    if (*ended && !parts->cut && table.frames > frames + 1 && !all_bytes)
        parts->cut = "the recording";
    else if (table.frames && table.frames < frames)
        correct_table(parts, file, part, &table, frames);
    part->seconds = (double)frames * first.samples / first.rate;
    return at;
}

uint64_t mega_audio_scan_mpeg(MegaAudioParts *parts, MegaAudioFile *file, uint64_t at)
{
    bool ended = false;
    while (!ended && !parts->failed && at < file->size)
        at = scan_part(parts, file, at, &ended);
    return at;
}

/* ---- Decoding ------------------------------------------------------------------------------- */

struct MegaMpeg {
    mpg123_handle *handle;
    MegaAudioView view;
    int channels;
};

static mpg123_ssize_t read_bytes(void *context, void *out, size_t size)
{
    return (mpg123_ssize_t)mega_audio_view_read(&((MegaMpeg *)context)->view, out, size);
}

static off_t seek_bytes(void *context, off_t offset, int whence)
{
    return (off_t)mega_audio_view_seek(&((MegaMpeg *)context)->view, offset, whence);
}

static int fail_mpeg(const MegaMpeg *mpeg, int code, MegaError *err)
{
    if (code == MPG123_OUT_OF_MEM)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", mpeg->view.file->name);
    return mega_fail(err, MEGA_ERR_FORMAT, "%s is damaged: %s", mpeg->view.file->name,
                     mpeg->handle ? mpg123_strerror(mpeg->handle) : mpg123_plain_strerror(code));
}

/* QUIET: otherwise libmpg123 reports every error in the data on standard error. SKIP_ID3V2:
 * otherwise it allocates as much as a tag declares, up to 256 MB. */
static int set_up(MegaMpeg *mpeg, int *rate, MegaError *err)
{
    int code = MPG123_OK, encoding = 0;
    long found = 0;
    mpeg->handle = mpg123_new(NULL, &code);
    if (!mpeg->handle)
        return fail_mpeg(mpeg, MPG123_OUT_OF_MEM, err);
    const long flags =
        MPG123_QUIET | MPG123_FORCE_FLOAT | MPG123_GAPLESS | MPG123_NO_PEEK_END | MPG123_SKIP_ID3V2;
    code = mpg123_param(mpeg->handle, MPG123_ADD_FLAGS, flags, 0);
    if (!code)
        code = mpg123_param(mpeg->handle, MPG123_REMOVE_FLAGS,
                            MPG123_AUTO_RESAMPLE | MPG123_PICTURE, 0);
    if (!code)
        code = mpg123_param(mpeg->handle, MPG123_RESYNC_LIMIT, -1, 0);
    if (!code)
        code = mpg123_replace_reader_handle(mpeg->handle, read_bytes, seek_bytes, NULL);
    if (!code)
        code = mpg123_open_handle(mpeg->handle, mpeg);
    if (!code)
        code = mpg123_getformat(mpeg->handle, &found, &mpeg->channels, &encoding);
    if (code || encoding != MPG123_ENC_FLOAT_32)
        return fail_mpeg(mpeg, code, err);
    *rate = (int)found;
    return 0;
}

int mega_mpeg_open(MegaMpeg **out, MegaAudioFile *file, const MegaAudioPart *part, int *rate,
                   int *channels, MegaError *err)
{
    MegaMpeg *mpeg = calloc(1, sizeof *mpeg);
    *out = NULL;
    if (!mpeg)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", file->name);
    mpeg->view = (MegaAudioView){.part = part, .file = file};
    const int code = set_up(mpeg, rate, err);
    if (code) {
        mega_mpeg_close(mpeg);
        return code;
    }
    *channels = mpeg->channels;
    *out = mpeg;
    return 0;
}

int mega_mpeg_read(MegaMpeg *mpeg, float *frames, size_t capacity, size_t *count, MegaError *err)
{
    const size_t frame = (size_t)mpeg->channels * sizeof *frames;
    size_t done = 0;
    *count = 0;
    for (;;) {
        const int code = mpg123_read(mpeg->handle, (void *)frames, capacity * frame, &done);
        *count = done / frame;
        if (*count || code == MPG123_DONE)
            return 0;
        if (code != MPG123_OK && code != MPG123_NEW_FORMAT)
            return fail_mpeg(mpeg, code, err);
    }
}

void mega_mpeg_close(MegaMpeg *mpeg)
{
    if (!mpeg)
        return;
    mpg123_delete(mpeg->handle);
    free(mpeg);
}
