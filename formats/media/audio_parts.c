/*
 * audio_parts.c - finds the parts of a file and skips what lies between them; see audio_parts.h.
 */
#define _GNU_SOURCE /* memmem */
#include "formats/media/audio_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/sniff.h"
#include "formats/media/audio.h"

#define MAX_PARTS 65536     /* most parts of a file */
#define MAX_TAGS 64         /* most tags at one place */
#define MAX_JUNK (1u << 20) /* most bytes of junk before the sound */
/* most bytes of a Lyrics3 tag, within which its end is searched for */
#define MAX_LYRICS (1u << 16)

/* ---- Bytes ---------------------------------------------------------------------------------- */

static size_t read_file(const MegaAudioFile *file, uint64_t offset, void *out, size_t size)
{
    size_t got = 0;
    while (got < size) {
        const ssize_t n =
            pread(file->fd, (char *)out + got, size - got, (off_t)(file->base + offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return got;
}

size_t mega_audio_file_read(MegaAudioFile *file, uint64_t offset, void *out, size_t size)
{
    if (offset >= file->size)
        return 0;
    if (size > file->size - offset)
        size = (size_t)(file->size - offset);
    if (file->fd < 0) {
        memcpy(out, file->memory + offset, size);
        return size;
    }
    if (size > MEGA_AUDIO_CACHE / 2 || !file->cache)
        return read_file(file, offset, out, size);
    if (offset < file->cached_at || offset + size > file->cached_at + file->cached) {
        file->cached_at = offset;
        file->cached = read_file(file, offset, file->cache, MEGA_AUDIO_CACHE);
        if (size > file->cached)
            size = file->cached;
    }
    memcpy(out, file->cache + (offset - file->cached_at), size);
    return size;
}

/* Returns the piece that holds an offset within the part. */
static size_t find_piece(const MegaAudioPart *part, uint64_t offset)
{
    size_t first = 0, end = part->count;
    while (end - first > 1) {
        const size_t middle = first + (end - first) / 2;
        if (part->pieces[middle].start <= offset)
            first = middle;
        else
            end = middle;
    }
    return first;
}

static size_t read_part(const MegaAudioPart *part, MegaAudioFile *file, uint64_t offset, void *out,
                        size_t size)
{
    size_t done = 0;
    for (size_t i = find_piece(part, offset); i < part->count && done < size; i++) {
        const MegaAudioPiece *piece = &part->pieces[i];
        const uint64_t skipped = offset + done - piece->start;
        if (skipped >= piece->size)
            break;
        const uint64_t left = piece->size - skipped;
        const size_t wanted = left < size - done ? (size_t)left : size - done;
        size_t got = wanted;
        if (piece->bytes)
            memcpy((char *)out + done, piece->bytes + skipped, wanted);
        else
            got = mega_audio_file_read(file, piece->at + skipped, (char *)out + done, wanted);
        done += got;
        if (got < wanted)
            break;
    }
    return done;
}

/* ---- Views ---------------------------------------------------------------------------------- */

size_t mega_audio_view_read(MegaAudioView *view, void *out, size_t size)
{
    const size_t got = read_part(view->part, view->file, view->at, out, size);
    view->at += got;
    return got;
}

int64_t mega_audio_view_seek(MegaAudioView *view, int64_t offset, int whence)
{
    const int64_t from = whence == SEEK_SET   ? 0
                         : whence == SEEK_CUR ? (int64_t)view->at
                                              : (int64_t)view->part->size;
    int64_t to = 0;
    if (__builtin_add_overflow(from, offset, &to) || to < 0)
        return -1;
    view->at = (uint64_t)to;
    return to;
}

static sf_count_t view_length(void *context)
{
    return (sf_count_t)((MegaAudioView *)context)->part->size;
}

static sf_count_t view_tell(void *context)
{
    return (sf_count_t)((MegaAudioView *)context)->at;
}

static sf_count_t view_seek(sf_count_t offset, int whence, void *context)
{
    return mega_audio_view_seek(context, offset, whence);
}

static sf_count_t view_read(void *out, sf_count_t size, void *context)
{
    return size > 0 ? (sf_count_t)mega_audio_view_read(context, out, (size_t)size) : 0;
}

static sf_count_t view_write(const void *data, sf_count_t size, void *context)
{
    (void)data;
    (void)size;
    (void)context;
    return 0;
}

SNDFILE *mega_audio_view_open(MegaAudioView *view, SF_INFO *info)
{
    SF_VIRTUAL_IO io = {view_length, view_seek, view_read, view_write, view_tell};
    *info = (SF_INFO){0};
    return sf_open_virtual(&io, SFM_READ, info, view);
}

/* ---- Building parts ------------------------------------------------------------------------- */

MegaAudioPart *mega_audio_add_part(MegaAudioParts *parts)
{
    if (parts->count == parts->capacity) {
        const size_t capacity = parts->capacity ? 2 * parts->capacity : 1;
        MegaAudioPart *list = realloc(parts->list, capacity * sizeof *list);
        if (!list) {
            parts->failed = true;
            return NULL;
        }
        parts->list = list;
        parts->capacity = capacity;
    }
    MegaAudioPart *part = &parts->list[parts->count++];
    *part = (MegaAudioPart){.frames = MEGA_AUDIO_ALL};
    return part;
}

static void add_piece(MegaAudioParts *parts, MegaAudioPart *part, MegaAudioPiece piece)
{
    if (part->count == part->capacity) {
        const size_t capacity = part->capacity ? 2 * part->capacity : 2;
        MegaAudioPiece *pieces = realloc(part->pieces, capacity * sizeof *pieces);
        if (!pieces) {
            parts->failed = true;
            free(piece.bytes);
            return;
        }
        part->pieces = pieces;
        part->capacity = capacity;
    }
    piece.start = part->size;
    part->pieces[part->count++] = piece;
    part->size += piece.size;
}

void mega_audio_add_range(MegaAudioParts *parts, MegaAudioPart *part, uint64_t at, uint64_t size)
{
    if (!part || !size)
        return;
    MegaAudioPiece *last = part->count ? &part->pieces[part->count - 1] : NULL;
    if (last && !last->bytes && last->at + last->size == at) {
        last->size += size;
        part->size += size;
    } else {
        add_piece(parts, part, (MegaAudioPiece){.at = at, .size = size});
    }
}

void mega_audio_add_bytes(MegaAudioParts *parts, MegaAudioPart *part, const void *bytes,
                          size_t size)
{
    if (!part || !size)
        return;
    uint8_t *copy = malloc(size);
    if (!copy) {
        parts->failed = true;
        return;
    }
    memcpy(copy, bytes, size);
    add_piece(parts, part, (MegaAudioPiece){.bytes = copy, .size = size});
}

void mega_audio_part_free(MegaAudioPart *part)
{
    for (size_t i = 0; i < part->count; i++)
        free(part->pieces[i].bytes);
    free(part->pieces);
    *part = (MegaAudioPart){0};
}

void mega_audio_parts_free(MegaAudioParts *parts)
{
    for (size_t i = 0; i < parts->count; i++)
        mega_audio_part_free(&parts->list[i]);
    free(parts->list);
    *parts = (MegaAudioParts){0};
}

/* ---- Tags ----------------------------------------------------------------------------------- */

/* Returns the size of a Lyrics3 tag, or 0, by searching for its end mark. */
static uint64_t lyrics_size(MegaAudioFile *file, uint64_t at)
{
    char text[8192];
    for (uint64_t after = 11; after < MAX_LYRICS;) {
        const size_t got = mega_audio_file_read(file, at + after, text, sizeof text);
        const char *found = memmem(text, got, "LYRICSEND", 9);
        const char *other = memmem(text, found ? (size_t)(found - text) : got, "LYRICS200", 9);
        if (found || other)
            return after + (uint64_t)((other ? other : found) - text) + 9;
        if (got < sizeof text)
            break;
        after += sizeof text - 8;
    }
    return 0;
}

/* Returns the bytes of the tag that begins at an offset, or 0 if there is none. */
static uint64_t tag_size(MegaAudioFile *file, uint64_t at)
{
    uint8_t head[32] = {0};
    const size_t got = mega_audio_file_read(file, at, head, sizeof head);
    if (got >= 10 && memcmp(head, "ID3", 3) == 0 && head[3] < 0xff && head[4] < 0xff &&
        !((head[6] | head[7] | head[8] | head[9]) & 0x80)) {
        const uint64_t size =
            (uint64_t)head[6] << 21 | (uint64_t)head[7] << 14 | (uint64_t)head[8] << 7 | head[9];
        return 10 + size + (head[5] & 0x10 ? 10 : 0); /* there may be a footer */
    }
    if (got >= 32 && memcmp(head, "APETAGEX", 8) == 0) {
        /* the size in the header includes the footer */
        const bool is_header = mega_load_u32(head + 20) >> 29 & 1;
        return is_header ? 32 + (uint64_t)mega_load_u32(head + 12) : 32;
    }
    if (got >= 3 && memcmp(head, "TAG", 3) == 0)
        return memcmp(head, "TAG+", 4) == 0 && file->size - at > 128 ? 227 : 128;
    if (got >= 11 && memcmp(head, "LYRICSBEGIN", 11) == 0)
        return lyrics_size(file, at);
    return 0;
}

static uint64_t skip_zeros(MegaAudioFile *file, uint64_t at)
{
    uint8_t bytes[4096];
    for (;;) {
        const size_t got = mega_audio_file_read(file, at, bytes, sizeof bytes);
        size_t zeros = 0;
        while (zeros < got && !bytes[zeros])
            zeros++;
        at += zeros;
        if (!got || zeros < got)
            return at;
    }
}

uint64_t mega_audio_skip_tags(MegaAudioFile *file, uint64_t at)
{
    for (int i = 0; i < MAX_TAGS && at < file->size; i++) {
        const uint64_t before = at, size = tag_size(file, at);
        at = size < file->size - at ? at + size : file->size;
        at = skip_zeros(file, at);
        if (at == before)
            break;
    }
    return at;
}

/* ---- Where recordings begin ----------------------------------------------------------------- */

typedef enum Format { NO_FORMAT, CHUNKS, FLAC, OGG, MPEG } Format;

/* Returns the format that begins at an offset, of those that have a scanner. MPEG audio needs at
 * least `least` frames. */
static Format format_at(MegaAudioFile *file, uint64_t at, int least)
{
    uint8_t head[16] = {0};
    if (mega_audio_file_read(file, at, head, sizeof head) < 4)
        return NO_FORMAT;
    if (mega_audio_is_chunks(head))
        return CHUNKS;
    if (memcmp(head, "fLaC", 4) == 0)
        return FLAC;
    if (memcmp(head, "OggS", 5) == 0) /* the terminating NUL is version 0 */
        return OGG;
    return mega_audio_is_mpeg(file, at, least) ? MPEG : NO_FORMAT;
}

bool mega_audio_begins(MegaAudioFile *file, uint64_t at)
{
    return format_at(file, at, 3) != NO_FORMAT;
}

/* Searches for the first place at which one of the formats begins. */
static Format search(MegaAudioFile *file, uint64_t *at)
{
    uint8_t bytes[4096];
    for (uint64_t from = *at; from < file->size && from - *at < MAX_JUNK;) {
        const size_t got = mega_audio_file_read(file, from, bytes, sizeof bytes);
        for (size_t i = 0; i < got; i++) {
            if (!memchr("\xffRFOBfr.dc", bytes[i], 10))
                continue;
            const Format format = format_at(file, from + i, 5);
            if (format) {
                *at = from + i;
                return format;
            }
        }
        if (!got)
            break;
        from += got;
    }
    return NO_FORMAT;
}

/* Returns whether libsndfile would take a file for MPEG audio. */
static bool looks_like_mpeg(MegaAudioFile *file)
{
    uint8_t head[3] = {0};
    const size_t got = mega_audio_file_read(file, 0, head, sizeof head);
    return got == 3 && (memcmp(head, "ID3", 3) == 0 || (head[0] == 0xff && head[1] >= 0xe0));
}

/* Returns whether libsndfile recognises the whole file as a recording. */
static bool is_rarer(MegaAudioFile *file)
{
    MegaAudioPiece piece = {.size = file->size};
    const MegaAudioPart part = {.pieces = &piece, .count = 1, .size = file->size};
    MegaAudioView view = {.part = &part, .file = file};
    SF_INFO info;
    SNDFILE *decoder = mega_audio_view_open(&view, &info);
    if (decoder)
        sf_close(decoder);
    return decoder;
}

/* Finds the first sound, at the start or after tags, zeros and junk. There is none if the file is
 * of another kind, such as a film with sound in it, or of a format that has no scanner. */
static Format find_first(MegaAudioFile *file, uint64_t *at)
{
    uint8_t head[512];
    *at = 0;
    Format format = format_at(file, 0, 1);
    if (format)
        return format;
    *at = mega_audio_skip_tags(file, 0);
    const bool tagged = tag_size(file, 0) > 0;
    if (*at && (format = format_at(file, *at, tagged ? 1 : 3)))
        return format;
    if (!looks_like_mpeg(file) && is_rarer(file))
        return NO_FORMAT;
    const MegaFileKind kind = mega_sniff(head, mega_audio_file_read(file, 0, head, sizeof head));
    if (!looks_like_mpeg(file) && kind.role != MEGA_ROLE_UNKNOWN && kind.role != MEGA_ROLE_TEXT)
        return NO_FORMAT;
    return search(file, at);
}

bool mega_audio_recognize(const void *bytes, size_t size)
{
    MegaAudioFile file = {.name = "", .fd = -1, .memory = bytes, .size = size};
    uint64_t at;
    return find_first(&file, &at) != NO_FORMAT;
}

int mega_audio_find_parts(MegaAudioParts *out, MegaAudioFile *file, MegaError *err)
{
    uint64_t at = 0;
    Format format = find_first(file, &at);
    while (format && !out->failed && out->count < MAX_PARTS) {
        uint64_t end = file->size;
        switch (format) {
        case CHUNKS: end = mega_audio_scan_chunks(out, file, at); break;
        case FLAC: end = mega_audio_scan_flac(out, file, at); break;
        case OGG: end = mega_audio_scan_ogg(out, file, at); break;
        case MPEG: end = mega_audio_scan_mpeg(out, file, at); break;
        case NO_FORMAT: break;
        }
        if (out->cut || end <= at)
            break;
        at = mega_audio_skip_tags(file, end);
        format = format_at(file, at, 3);
    }
    if (!out->count && !out->cut) {
        MegaAudioPart *part = mega_audio_add_part(out);
        mega_audio_add_range(out, part, 0, file->size);
        if (mega_audio_is_cut(file))
            out->cut = "its samples";
        if (part)
            /* the frames are damaged, and libmpg123 would print messages if libsndfile called it */
            part->mpeg = looks_like_mpeg(file);
    }
    if (out->failed)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", file->name);
    return 0;
}
