/*
 * audio_flac.c - finds where the frames of a FLAC file end.
 *
 * The count of samples in the header may be missing or wrong. The real count follows from the last
 * frame that can be decoded, which has a number and checksums. libsndfile gets a header with that
 * count and is not asked for more samples, so that it never reads what follows the last frame.
 */
#define _GNU_SOURCE /* memmem */
#include <sndfile.h>
#include <string.h>

#include "formats/media/audio_parts.h"

#define MAX_TRIES 256       /* most places that look like a frame and are tried, from the end */
#define MAX_ALL_TRIES 16384 /* most tries for all FLAC files that follow one another */
#define MAX_BLOCKS 65536    /* most blocks of metadata before the first frame */
#define MAX_FRAME_HEADER 16

/* Holds what all frames of a stream have in common. */
typedef struct Stream {
    uint8_t info[34]; /* STREAMINFO */
    uint32_t block;   /* samples of each frame but the last, or 0 if they differ */
    uint32_t channels;
    uint64_t total; /* samples as the header says, or 0 if it does not say */
} Stream;

typedef struct FlacFrame {
    uint64_t first; /* number of its first sample */
    uint32_t count; /* samples */
} FlacFrame;

/* ---- Headers -------------------------------------------------------------------------------- */

static uint8_t crc8(const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            sum = sum << 1 ^ (sum & 0x80 ? 0x107 : 0);
    }
    return (uint8_t)sum;
}

/* Reads a number of up to 36 bits that is encoded as in UTF-8. Returns the bytes that it takes, or
 * 0 if it is malformed. */
static size_t read_number(const uint8_t *bytes, uint64_t *out)
{
    size_t more = 0;
    while (more < 8 && bytes[0] & 0x80 >> more)
        more++;
    if (more == 1 || more > 7)
        return 0;
    *out = bytes[0] & 0xffu >> (more + 1);
    for (size_t i = 1; i < more; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        *out = *out << 6 | (bytes[i] & 0x3f);
    }
    return more ? more : 1;
}

/* Parses the header of a frame of this stream, h [MAX_FRAME_HEADER]. Returns false if it is
 * none. */
static bool read_header(const Stream *stream, const uint8_t *h, FlacFrame *out)
{
    const uint32_t block = h[2] >> 4, rate = h[2] & 15, channels = h[3] >> 4;
    uint64_t number = 0;
    if (h[0] != 0xff || (h[1] & 0xfe) != 0xf8 || !block || rate == 15 || channels > 10 ||
        (h[3] & 1))
        return false;
    if ((channels < 8 ? channels + 1 : 2) != stream->channels)
        return false;
    const size_t length = read_number(h + 4, &number);
    size_t at = 4 + length;
    if (!length)
        return false;
    if (block == 1)
        out->count = 192;
    else if (block < 6)
        out->count = 576u << (block - 2);
    else if (block == 6)
        out->count = h[at] + 1u;
    else if (block == 7)
        out->count = ((uint32_t)h[at] << 8 | h[at + 1]) + 1;
    else
        out->count = 256u << (block - 8);
    at += block == 6 ? 1 : block == 7 ? 2 : 0;
    at += rate == 12 ? 1 : rate > 12 ? 2 : 0;
    if (crc8(h, at) != h[at])
        return false;
    const bool counts_samples = h[1] & 1;
    if (!counts_samples && !stream->block)
        return false;
    out->first = counts_samples ? number : number * stream->block;
    return out->count <= (stream->block ? stream->block : 65536u);
}

/* ---- The last frame ------------------------------------------------------------------------- */

void mega_flac_set_total(uint8_t info[34], uint64_t total)
{
    memset(info + 4, 0, 6); /* smallest and largest size of a frame */
    info[13] = (uint8_t)((info[13] & 0xf0) | (total >> 32 & 15));
    for (int i = 0; i < 4; i++)
        info[14 + i] = (uint8_t)(total >> (24 - 8 * i));
    memset(info + 18, 0, 16); /* MD5 of all samples */
}

/* Builds a part from the header, with another count of samples, and the bytes from `at` to
 * `end`. */
static void build(MegaAudioParts *parts, MegaAudioPart *part, const Stream *stream, uint64_t total,
                  uint64_t at, uint64_t end)
{
    uint8_t head[42] = {'f', 'L', 'a', 'C', 0x80, 0, 0, 34};
    memcpy(head + 8, stream->info, 34);
    mega_flac_set_total(head + 8, total);
    mega_audio_add_bytes(parts, part, head, sizeof head);
    mega_audio_add_range(parts, part, at, end - at);
}

/* Returns whether the frame at an offset can be decoded. */
static bool decodes(MegaAudioParts *parts, MegaAudioFile *file, const Stream *stream,
                    const FlacFrame *frame, uint64_t at, uint64_t end)
{
    MegaAudioPart part = {0};
    float block[1024];
    SF_INFO info = {0};
    uint64_t left = frame->count;
    build(parts, &part, stream, 0, at, end);
    MegaAudioView view = {.part = &part, .file = file};
    SNDFILE *decoder = parts->failed ? NULL : mega_audio_view_open(&view, &info);
    while (decoder && left) {
        const uint64_t most = sizeof block / sizeof block[0] / stream->channels;
        const sf_count_t wanted = (sf_count_t)(left < most ? left : most);
        if (sf_readf_float(decoder, block, wanted) != wanted || sf_error(decoder))
            break;
        left -= (uint64_t)wanted;
    }
    if (decoder)
        sf_close(decoder);
    mega_audio_part_free(&part);
    return left == 0;
}

/* Describes where the frames of a stream end. */
typedef struct End {
    uint64_t samples; /* number of the last sample plus one */
    bool is_last;     /* the last frame is shorter than the others, so no other can follow */
    bool cut;         /* another frame begins after the last one */
} End;

static End find_end(MegaAudioParts *parts, MegaAudioFile *file, const Stream *stream,
                    uint64_t start, uint64_t end)
{
    uint8_t bytes[8192 + MAX_FRAME_HEADER];
    uint64_t begun[MAX_TRIES]; /* first samples of frames that begin, but cannot be decoded */
    FlacFrame frame;
    int tries = 0;
    for (uint64_t to = end; to > start && tries < MAX_TRIES;) {
        const uint64_t from = to - start > 8192 ? to - 8192 : start;
        memset(bytes, 0, sizeof bytes);
        mega_audio_file_read(file, from, bytes, (size_t)(to - from) + MAX_FRAME_HEADER);
        for (size_t i = (size_t)(to - from); i-- > 0 && tries < MAX_TRIES;) {
            if (bytes[i] != 0xff || !read_header(stream, bytes + i, &frame))
                continue;
            if (++parts->tries > MAX_ALL_TRIES)
                return (End){.cut = true};
            if (decodes(parts, file, stream, &frame, from + i, end)) {
                End found = {.samples = frame.first + frame.count,
                             .is_last = stream->block && frame.count < stream->block};
                for (int j = 0; j < tries; j++)
                    found.cut |= begun[j] == found.samples;
                return found;
            }
            begun[tries++] = frame.first;
        }
        to = from;
    }
    return (End){.cut = tries > 0};
}

/* Returns the number of the first sample, which is not 0 if the file was cut out of another one. */
static uint64_t first_sample(MegaAudioFile *file, const Stream *stream, uint64_t start)
{
    uint8_t bytes[MAX_FRAME_HEADER] = {0};
    FlacFrame frame = {0};
    mega_audio_file_read(file, start, bytes, sizeof bytes);
    return read_header(stream, bytes, &frame) ? frame.first : 0;
}

/* ---- The file ------------------------------------------------------------------------------- */

/* Reads the metadata and returns the offset after them, or 0 if the file ends within them or they
 * do not describe the stream. */
static uint64_t read_metadata(MegaAudioFile *file, uint64_t at, Stream *out)
{
    uint8_t head[4];
    for (int i = 0; i < MAX_BLOCKS; i++) {
        if (mega_audio_file_read(file, at, head, 4) < 4)
            return 0;
        const uint32_t size = (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
        if (i == 0 && ((head[0] & 0x7f) != 0 || size < 34 ||
                       mega_audio_file_read(file, at + 4, out->info, 34) < 34))
            return 0;
        at += 4 + size;
        if (head[0] & 0x80)
            break;
    }
    const uint8_t *info = out->info;
    const uint32_t least = (uint32_t)info[0] << 8 | info[1],
                   most = (uint32_t)info[2] << 8 | info[3];
    out->block = least == most ? most : 0;
    out->channels = (info[12] >> 1 & 7) + 1u;
    out->total = (uint64_t)(info[13] & 15) << 32 | (uint64_t)info[14] << 24 |
                 (uint64_t)info[15] << 16 | (uint64_t)info[16] << 8 | info[17];
    return at;
}

/* Returns the offset at which another FLAC file begins after this one, or the end of the file. */
static uint64_t find_another(MegaAudioFile *file, uint64_t at)
{
    uint8_t bytes[8192];
    for (;;) {
        const size_t got = mega_audio_file_read(file, at, bytes, sizeof bytes);
        for (const uint8_t *found = bytes;
             (found = memmem(found, (size_t)(bytes + got - found), "fLaC", 4)); found++) {
            const size_t i = (size_t)(found - bytes);
            if (i + 8 <= got && (found[4] & 0x7f) == 0 && memcmp(found + 5, "\0\0\x22", 3) == 0)
                return at + i;
        }
        if (got < sizeof bytes)
            return file->size;
        at += got - 7;
    }
}

uint64_t mega_audio_scan_flac(MegaAudioParts *parts, MegaAudioFile *file, uint64_t at)
{
    Stream stream = {0};
    const uint64_t start = read_metadata(file, at + 4, &stream);
    if (!start || start > file->size) {
        parts->cut = "its header";
        return file->size;
    }
    const uint64_t after = find_another(file, start);
    const End end = find_end(parts, file, &stream, start, after);
    const uint64_t first = end.samples ? first_sample(file, &stream, start) : 0;
    const uint64_t count = end.samples > first ? end.samples - first : 0;
    MegaAudioPart *part = mega_audio_add_part(parts);
    if (!part)
        return after;
    build(parts, part, &stream, count, start, after);
    part->frames = count;
    if (end.cut)
        parts->cut = "a FLAC frame";
    else if (stream.total > count && !end.is_last)
        parts->cut = "the recording";
    return after;
}
