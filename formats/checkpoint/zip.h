/*
 * zip.h - reading zip archives that lie in memory, strictly.
 *
 * Readers that disagree about an archive are how hostile ones slip through, so this one accepts
 * only what can be read one way: the central directory and the local headers must say the same, no
 * two entries may share a byte or a name, nothing is encrypted, and only the methods "stored" and
 * "deflate" occur. zip64 is understood. Names are compared, never used as paths.
 */
#ifndef MEGA_ZIP_H
#define MEGA_ZIP_H

#include "formats/base/bytes.h"
#include "src/mega.h"

#define MEGA_ZIP_MAX_ENTRIES (1u << 20)
#define MEGA_ZIP_MAX_NAME 1024

typedef struct MegaZipEntry {
    const char *name; /* [name_length] in the archive, valid UTF-8, not terminated */
    size_t name_length;
    bool deflated;
    uint16_t flags;
    uint32_t crc;         /* of the content; 0 may mean that none was computed */
    uint64_t size;        /* of the content */
    uint64_t stored_size; /* in the archive; equal to size unless deflated */
    uint64_t header, end; /* the span of local header, data and descriptor */
    const uint8_t *data;  /* [stored_size] */
} MegaZipEntry;

typedef struct MegaZip MegaZip;

/* bytes must outlive the archive; name is copied and begins all messages. */
int mega_zip_open(MegaZip **out, const void *bytes, uint64_t size, const char *name,
                  MegaError *err);
void mega_zip_close(MegaZip *zip);
size_t mega_zip_count(const MegaZip *zip);
/* By number, in the order of their names. */
const MegaZipEntry *mega_zip_entry(const MegaZip *zip, size_t index);
/* NULL if there is none. */
const MegaZipEntry *mega_zip_find(const MegaZip *zip, const char *name);
/* Appends the content, inflated and checked against its size and, unless that is 0, its CRC.
 * More than limit bytes are MEGA_ERR_LIMIT. */
int mega_zip_read(const MegaZip *zip, const MegaZipEntry *entry, uint64_t limit, MegaBuffer *out,
                  MegaError *err);
/* Checks a stored entry in place against its CRC; an entry without one passes. */
int mega_zip_verify(const MegaZip *zip, const MegaZipEntry *entry, MegaError *err);

#endif
