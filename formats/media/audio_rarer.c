/*
 * audio_rarer.c - tells whether recordings of rarer formats are cut short.
 *
 * libsndfile reads these up to the end of the file, whatever length the header declares. PAF, IRCAM
 * and PVF declare none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/media/audio_parts.h"

#define NIST_HEADER 1024
#define MAX_BLOCKS 65536 /* most blocks of a VOC file */

static uint32_t load_big(const uint8_t *p)
{
    return __builtin_bswap32(mega_load_u32(p));
}

/* Returns the number of a field such as "sample_count -i 16000" in a NIST header, or 0 if there is
 * none. */
static uint64_t nist_field(const char *header, const char *name)
{
    const char *at = strstr(header, name);
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static uint64_t nist_end(MegaAudioFile *file)
{
    char header[NIST_HEADER + 1] = "";
    mega_audio_file_read(file, 0, header, NIST_HEADER);
    const uint64_t start = strtoull(header + 8, NULL, 10);
    const uint64_t count = nist_field(header, "\nsample_count -i ");
    const uint64_t channels = nist_field(header, "\nchannel_count -i ");
    const uint64_t told = nist_field(header, "\nsample_n_bytes -i ");
    /* without the field, samples are mu-law or A-law, of one byte each */
    const uint64_t bytes = told ? told : 1;
    if (start > NIST_HEADER * 64 || count > UINT32_MAX / 2 || channels > 256 || bytes > 8)
        return 0;
    return start + count * channels * bytes;
}

/* Scans a VOC file: blocks with 24-bit sizes, up to a block of type 0 or the end. */
static uint64_t voc_end(MegaAudioFile *file)
{
    uint8_t head[26];
    if (mega_audio_file_read(file, 0, head, sizeof head) < sizeof head)
        return 0;
    uint64_t at = mega_load_u16(head + 20);
    for (int i = 0; i < MAX_BLOCKS && mega_audio_file_read(file, at, head, 4) >= 1; i++) {
        if (head[0] == 0)
            return at + 1;
        at += 4 + (mega_load_u32(head) >> 8);
    }
    return at;
}

/* Returns the end of the chunk BODY of 8SVX and 16SV. */
static uint64_t svx_end(MegaAudioFile *file)
{
    uint8_t head[8];
    uint64_t at = 12;
    while (mega_audio_file_read(file, at, head, 8) == 8) {
        const uint32_t size = load_big(head + 4);
        at += 8 + (uint64_t)size;
        if (memcmp(head, "BODY", 4) == 0)
            return size < 0x7f000000 ? at : 0;
        at += size & 1;
    }
    return 0;
}

static uint64_t avr_end(MegaAudioFile *file)
{
    uint8_t head[128];
    if (mega_audio_file_read(file, 0, head, sizeof head) < sizeof head)
        return 0;
    const uint64_t channels = head[12] | head[13] ? 2 : 1, bytes = head[15] == 16 ? 2 : 1;
    const uint32_t frames = load_big(head + 26);
    return frames < 0x7f000000 ? sizeof head + frames * channels * bytes : 0;
}

static uint64_t psion_end(MegaAudioFile *file)
{
    uint8_t head[32];
    if (mega_audio_file_read(file, 0, head, sizeof head) < sizeof head)
        return 0;
    return 32 + (uint64_t)load_big(head + 18);
}

bool mega_audio_is_cut(MegaAudioFile *file)
{
    static const struct {
        size_t at;
        const char *magic;
        /* returns the end of the samples as the header says, or 0 if unknown */
        uint64_t (*end)(MegaAudioFile *file);
    } formats[] = {
        {0, "NIST_1A\n", nist_end}, {0, "Creative Voice File\x1a", voc_end},
        {8, "8SVX", svx_end},       {8, "16SV", svx_end},
        {0, "2BIT", avr_end},       {0, "ALawSoundFile**", psion_end},
    };
    uint8_t head[32] = {0};
    mega_audio_file_read(file, 0, head, sizeof head);
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (memcmp(head + formats[i].at, formats[i].magic, strlen(formats[i].magic)) == 0)
            return formats[i].end(file) > file->size;
    return false;
}
