/*
 * audio_parts.h - finds where the sound lies in a file, before the decoders read it.
 *
 *   file -> skip tags and junk -> parts, each of which a decoder reads as a file of its own
 *
 * Most recordings have one part. Chained Ogg files and files one after another have several. A
 * part ends where its frames end, whatever its header says; sizes and counts in headers are
 * corrected before a decoder reads them. `cut` says in the middle of what a file ends too early.
 */
#ifndef MEGA_AUDIO_PARTS_H
#define MEGA_AUDIO_PARTS_H

#include <sndfile.h>

#include "formats/base/bytes.h"
#include "src/mega.h"

#define MEGA_AUDIO_CACHE 65536 /* bytes of a MegaAudioFile's cache */

/* The source of a recording: a regular file, or bytes in memory. */
typedef struct MegaAudioFile {
    const char *name;
    int fd;                /* -1 if the bytes are in memory */
    const uint8_t *memory; /* [size] */
    uint64_t base, size;   /* the first byte within fd, and the number of bytes */
    uint8_t *cache;        /* [MEGA_AUDIO_CACHE], NULL for memory: short reads go through it */
    uint64_t cached_at;
    size_t cached;
} MegaAudioFile;

/* Reads `size` bytes at an offset and returns how many it read, which are fewer at the end or on an
 * error. */
size_t mega_audio_file_read(MegaAudioFile *file, uint64_t offset, void *out, size_t size);

/* A run of bytes of a part, which lie in the file or in memory. */
typedef struct MegaAudioPiece {
    uint64_t start; /* offset within the part */
    uint64_t size;
    uint64_t at;    /* offset within the file */
    uint8_t *bytes; /* owned copy of the bytes; NULL if they are those of the file */
} MegaAudioPiece;

#define MEGA_AUDIO_ALL UINT64_MAX /* value of `frames`: as many as the decoder finds */

typedef struct MegaAudioPart {
    /* the part is nothing but frames of MPEG audio; false: it is a file for libsndfile */
    bool mpeg;
    MegaAudioPiece *pieces;
    size_t count, capacity;
    uint64_t size;   /* bytes */
    /* samples of each channel if the number is known exactly, else MEGA_AUDIO_ALL */
    uint64_t frames;
    double seconds; /* the approximate length of MPEG audio */
} MegaAudioPart;

void mega_audio_part_free(MegaAudioPart *part);

/* Presents a part as a file with a position, which decoders read. */
typedef struct MegaAudioView {
    const MegaAudioPart *part;
    MegaAudioFile *file;
    uint64_t at;
} MegaAudioView;

size_t mega_audio_view_read(MegaAudioView *view, void *out, size_t size);
/* Moves like lseek. Returns the new position, or -1 if it would lie before the start. */
int64_t mega_audio_view_seek(MegaAudioView *view, int64_t offset, int whence);
/* Opens the view with libsndfile, which reads it until it is closed. */
SNDFILE *mega_audio_view_open(MegaAudioView *view, SF_INFO *info);

typedef struct MegaAudioParts {
    MegaAudioPart *list;
    size_t count, capacity;
    const char *cut; /* says in the middle of what the file ends, or NULL if it is whole */
    bool failed;     /* memory ran out */
    int tries;       /* how many FLAC frames were decoded to find the ends of parts */
} MegaAudioParts;

/* Finds the parts of a file. A file that is not a recording, or has a rarer format, becomes a
 * single part, which libsndfile accepts or rejects. */
int mega_audio_find_parts(MegaAudioParts *out, MegaAudioFile *file, MegaError *err);
void mega_audio_parts_free(MegaAudioParts *parts);
/* ---- For the scanners of formats ------------------------------------------------------------ */

/* Appends an empty part to the list and returns it, or NULL without memory. */
MegaAudioPart *mega_audio_add_part(MegaAudioParts *parts);
/* Appends a range of the file to the part. The range may be joined with the piece before it. */
void mega_audio_add_range(MegaAudioParts *parts, MegaAudioPart *part, uint64_t at, uint64_t size);
/* Appends a copy of bytes in memory to the part. */
void mega_audio_add_bytes(MegaAudioParts *parts, MegaAudioPart *part, const void *bytes,
                          size_t size);

/* Returns the offset after the tags (ID3, APE, Lyrics3) and zeros that stand at an offset. */
uint64_t mega_audio_skip_tags(MegaAudioFile *file, uint64_t at);
/* Returns whether a recording begins at an offset. For MPEG audio, several frames must follow one
 * another. */
bool mega_audio_begins(MegaAudioFile *file, uint64_t at);

/* Each adds the part, or parts, that begin at an offset, and returns the offset after them. */
uint64_t mega_audio_scan_chunks(MegaAudioParts *parts, MegaAudioFile *file, uint64_t at);
uint64_t mega_audio_scan_flac(MegaAudioParts *parts, MegaAudioFile *file, uint64_t at);
/* Puts the count of samples into a STREAMINFO, and clears the fields that depend on the frames. */
void mega_flac_set_total(uint8_t info[34], uint64_t total);
uint64_t mega_audio_scan_ogg(MegaAudioParts *parts, MegaAudioFile *file, uint64_t at);
uint64_t mega_audio_scan_mpeg(MegaAudioParts *parts, MegaAudioFile *file, uint64_t at);

/* Returns whether these first bytes are of a format that mega_audio_scan_chunks reads: wav and its
 * relatives, AIFF, AU or CAF. */
bool mega_audio_is_chunks(const uint8_t head[16]);
/* Returns whether at least `least` frames of MPEG audio, or frames up to the end of the file,
 * follow one another from an offset. */
bool mega_audio_is_mpeg(MegaAudioFile *file, uint64_t at, int least);

/* Returns whether a file of a rarer format is shorter than its header says. */
bool mega_audio_is_cut(MegaAudioFile *file);

/* ---- Decoding MPEG audio (libmpg123) -------------------------------------------------------- */

typedef struct MegaMpeg MegaMpeg;

int mega_mpeg_open(MegaMpeg **out, MegaAudioFile *file, const MegaAudioPart *part, int *rate,
                   int *channels, MegaError *err);
/* Reads up to `capacity` frames of interleaved samples; *count is 0 at the end. */
int mega_mpeg_read(MegaMpeg *mpeg, float *frames, size_t capacity, size_t *count, MegaError *err);
void mega_mpeg_close(MegaMpeg *mpeg);

#endif
