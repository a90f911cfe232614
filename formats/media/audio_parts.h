/*
 * audio_parts.h - where the sound lies in a file: the step between its bytes and the decoders.
 *
 *   file -> without tags and junk -> parts, each of which a decoder sees as a file of its own
 *
 * Most recordings have one part. Chained Ogg files and files behind one another have several. The
 * end of a part is where its frames end, whatever its header says; sizes and counts in headers are
 * put right before a decoder sees them. What is missing at the end is told by `cut`.
 */
#ifndef MEGA_AUDIO_PARTS_H
#define MEGA_AUDIO_PARTS_H

#include <sndfile.h>

#include "formats/base/bytes.h"
#include "src/mega.h"

#define MEGA_AUDIO_CACHE 65536 /* bytes of a MegaAudioFile's cache */

/* A regular file, or bytes in memory. */
typedef struct MegaAudioFile {
    const char *name;
    int fd;                /* -1: memory */
    const uint8_t *memory; /* [size] */
    uint64_t base, size;   /* first byte within fd, and how many there are */
    uint8_t *cache;        /* [MEGA_AUDIO_CACHE], NULL for memory: short reads pass through it */
    uint64_t cached_at;
    size_t cached;
} MegaAudioFile;

/* Reads up to `size` bytes at an offset; fewer at the end or on an error. */
size_t mega_audio_file_read(MegaAudioFile *file, uint64_t offset, void *out, size_t size);

/* A run of bytes of the file, or of memory. */
typedef struct MegaAudioPiece {
    uint64_t start; /* within the part */
    uint64_t size;
    uint64_t at;    /* within the file */
    uint8_t *bytes; /* owned; NULL: of the file */
} MegaAudioPiece;

#define MEGA_AUDIO_ALL UINT64_MAX /* frames: as many as the decoder finds */

typedef struct MegaAudioPart {
    bool mpeg; /* frames of MPEG audio and nothing else; false: a file for libsndfile */
    MegaAudioPiece *pieces;
    size_t count, capacity;
    uint64_t size;   /* bytes */
    uint64_t frames; /* samples of each channel, where that is known exactly */
    double seconds;  /* of MPEG audio, about */
} MegaAudioPart;

void mega_audio_part_free(MegaAudioPart *part);

/* A part as a file with a position: what decoders read from. */
typedef struct MegaAudioView {
    const MegaAudioPart *part;
    MegaAudioFile *file;
    uint64_t at;
} MegaAudioView;

size_t mega_audio_view_read(MegaAudioView *view, void *out, size_t size);
/* Moves like lseek. Returns the new position, or -1 if it would lie before the start. */
int64_t mega_audio_view_seek(MegaAudioView *view, int64_t offset, int whence);
/* By libsndfile, which reads the view as long as it is open. */
SNDFILE *mega_audio_view_open(MegaAudioView *view, SF_INFO *info);

typedef struct MegaAudioParts {
    MegaAudioPart *list;
    size_t count, capacity;
    const char *cut; /* in the middle of what the file ends; NULL: it is whole */
    bool failed;     /* no memory */
    int tries;       /* frames of FLAC that were decoded to find ends */
} MegaAudioParts;

/* Finds the parts of a file. One that is no recording, or of a rarer format, becomes a single part
 * with all of the file, for libsndfile to judge. */
int mega_audio_find_parts(MegaAudioParts *out, MegaAudioFile *file, MegaError *err);
void mega_audio_parts_free(MegaAudioParts *parts);
/* ---- For the scanners of formats ------------------------------------------------------------ */

/* Appends an empty part to the list and returns it, or NULL without memory. */
MegaAudioPart *mega_audio_add_part(MegaAudioParts *parts);
/* Bytes of the file behind those that the part has; they may be joined with the piece before. */
void mega_audio_add_range(MegaAudioParts *parts, MegaAudioPart *part, uint64_t at, uint64_t size);
/* Bytes of memory, copied. */
void mega_audio_add_bytes(MegaAudioParts *parts, MegaAudioPart *part, const void *bytes,
                          size_t size);

/* Behind tags (ID3, APE, Lyrics3) and zeros that stand at an offset. */
uint64_t mega_audio_skip_tags(MegaAudioFile *file, uint64_t at);
/* True if a recording begins there; of MPEG sound, several frames must follow one another. */
bool mega_audio_begins(MegaAudioFile *file, uint64_t at);

/* Each adds the part, or parts, that begin at an offset, and returns the offset behind them. */
uint64_t mega_audio_scan_chunks(MegaAudioParts *parts, MegaAudioFile *file, uint64_t at);
uint64_t mega_audio_scan_flac(MegaAudioParts *parts, MegaAudioFile *file, uint64_t at);
/* Puts the count of samples into a STREAMINFO, and takes out what depends on the frames. */
void mega_flac_set_total(uint8_t info[34], uint64_t total);
uint64_t mega_audio_scan_ogg(MegaAudioParts *parts, MegaAudioFile *file, uint64_t at);
uint64_t mega_audio_scan_mpeg(MegaAudioParts *parts, MegaAudioFile *file, uint64_t at);

/* What the first bytes are that mega_audio_scan_chunks takes: wav and its relatives, AIFF, AU, CAF.
 */
bool mega_audio_is_chunks(const uint8_t head[16]);
/* Frames of MPEG audio follow one another from there: at least `least`, or up to the end. */
bool mega_audio_is_mpeg(MegaAudioFile *file, uint64_t at, int least);

/* Whether a file of a rarer format ends before its samples, as far as its header tells. */
bool mega_audio_is_cut(MegaAudioFile *file);

/* ---- Decoding MPEG audio (libmpg123) -------------------------------------------------------- */

typedef struct MegaMpeg MegaMpeg;

int mega_mpeg_open(MegaMpeg **out, MegaAudioFile *file, const MegaAudioPart *part, int *rate,
                   int *channels, MegaError *err);
/* Up to `capacity` frames of interleaved samples; *count is 0 at the end. */
int mega_mpeg_read(MegaMpeg *mpeg, float *frames, size_t capacity, size_t *count, MegaError *err);
void mega_mpeg_close(MegaMpeg *mpeg);

#endif
