/*
 * audio_ogg.c - finds the links of Ogg files, each of which is a part.
 *
 * A file may hold several recordings one after the other (links), of which libsndfile reads only
 * the first, and other streams beside the sound, at which it stops. Therefore each part has only
 * the pages of one sound stream of one link. Pages tell their length, so only the first packet is
 * examined.
 */
#define _GNU_SOURCE /* memmem */
#include <string.h>

#include "formats/media/audio_parts.h"

typedef struct Page {
    uint8_t flags;
    uint32_t serial;
    uint64_t position; /* number of samples up to the page's end */
    uint64_t size;     /* bytes with the header */
    uint64_t header;
    uint8_t packet[64]; /* first bytes after the header */
    size_t got;
} Page;

enum { FIRST_PAGE = 2, LAST_PAGE = 4 }; /* flags */

/* Reads a page. Returns false if none begins there; size is 0 if the file ends within the page's
 * header. */
static bool read_page(MegaAudioFile *file, uint64_t at, Page *out)
{
    uint8_t head[27 + 255];
    const size_t got = mega_audio_file_read(file, at, head, sizeof head);
    *out = (Page){0};
    if (got < 5)
        return got && memcmp(head, "OggS", got) == 0;
    if (memcmp(head, "OggS", 5) != 0)
        return false;
    if (got < 27 || got < 27u + head[26])
        return true;
    out->flags = head[5];
    out->position = mega_load_u64(head + 6);
    out->serial = mega_load_u32(head + 14);
    out->header = 27u + head[26];
    out->size = out->header;
    for (int i = 0; i < head[26]; i++)
        out->size += head[27 + i];
    out->got = mega_audio_file_read(file, at + out->header, out->packet, sizeof out->packet);
    return true;
}

static bool is_sound(const Page *page)
{
    static const struct {
        const char *bytes;
        size_t size;
    } packets[] = {{"\1vorbis", 7},
                   {"OpusHead", 8},
                   {"\x7f"
                    "FLAC",
                    5}};
    for (size_t i = 0; i < sizeof packets / sizeof packets[0]; i++)
        if (page->got >= packets[i].size &&
            memcmp(page->packet, packets[i].bytes, packets[i].size) == 0)
            return true;
    return false;
}

/* Returns where the next page begins after junk, or the end of the file. */
static uint64_t find_page(MegaAudioFile *file, uint64_t at)
{
    uint8_t bytes[4096];
    for (;;) {
        const size_t got = mega_audio_file_read(file, at, bytes, sizeof bytes);
        const uint8_t *found = got >= 5 ? memmem(bytes, got, "OggS", 5) : NULL;
        if (found)
            return at + (size_t)(found - bytes);
        if (got < sizeof bytes)
            return file->size;
        at += got - 4;
    }
}

/* Makes a FLAC file out of FLAC in Ogg, most of which libsndfile rejects: without the headers of
 * the pages it is one. The frames begin on a new page after the metadata, and the last page tells
 * how many samples there are. */
static void begin_flac(MegaAudioParts *parts, MegaAudioFile *file, MegaAudioPart *part,
                       uint64_t total)
{
    MegaAudioPart flac = {.frames = MEGA_AUDIO_ALL};
    uint8_t head[51];
    uint8_t *info = head + 17;
    size_t first = part->count;
    if (part->count && mega_audio_file_read(file, part->pieces[0].at, head, 51) == 51) {
        mega_flac_set_total(info, total);
        mega_audio_add_bytes(parts, &flac, "fLaC\x80\0\0\x22", 8);
        mega_audio_add_bytes(parts, &flac, info, 34);
        flac.frames = total ? total : MEGA_AUDIO_ALL;
        first = 1;
    }
    for (bool begun = false; first < part->count; first++) {
        uint8_t sync[2] = {0};
        mega_audio_file_read(file, part->pieces[first].at, sync, 2);
        begun |= sync[0] == 0xff && (sync[1] & 0xfe) == 0xf8;
        if (begun)
            mega_audio_add_range(parts, &flac, part->pieces[first].at, part->pieces[first].size);
    }
    mega_audio_part_free(part);
    *part = flac;
}

/* Scans the pages of one link; those of its first sound stream become a part. */
uint64_t mega_audio_scan_ogg(MegaAudioParts *parts, MegaAudioFile *file, uint64_t at)
{
    MegaAudioPart *part = NULL;
    Page page = {0};
    uint32_t serial = 0;
    uint64_t total = 0;
    /* inside: the first pages of all streams are over */
    bool is_flac = false, inside = false, last = false;
    while (!parts->failed && at < file->size) {
        if (!read_page(file, at, &page)) {
            const uint64_t next = mega_audio_skip_tags(file, at);
            at = next > at ? next : find_page(file, at);
            continue;
        }
        if (!page.size || page.size > file->size - at) {
            parts->cut = "an Ogg page";
            break;
        }
        if (page.flags & FIRST_PAGE) {
            if (inside)
                break; /* the next link begins */
            if (!part && is_sound(&page)) {
                part = mega_audio_add_part(parts);
                serial = page.serial;
                is_flac = page.packet[0] == 0x7f;
            }
        } else {
            inside = true;
        }
        if (part && page.serial == serial) {
            const uint64_t header = is_flac ? page.header : 0;
            mega_audio_add_range(parts, part, at + header, page.size - header);
            last = page.flags & LAST_PAGE;
            if (page.position != UINT64_MAX)
                total = page.position;
        }
        at += page.size;
    }
    if (part && !parts->cut && at >= file->size && !last)
        parts->cut = "the recording";
    if (part && is_flac && !parts->failed)
        begin_flac(parts, file, part, total);
    return at;
}
