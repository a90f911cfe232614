/*
 * zip.h - reads zip archives in memory, strictly.
 *
 * A hostile archive may look different to different readers. This reader therefore accepts only
 * archives that can be read in one way: the central directory and the local headers must say the
 * same, no two entries may share a byte or a name, nothing is encrypted, and only the methods
 * "stored" and "deflate" occur. zip64 is understood. Names are compared, never used as paths.
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
    uint32_t crc;         /* CRC-32 of the content; 0 may mean that none was computed */
    uint64_t size;        /* bytes of the content */
    uint64_t stored_size; /* bytes in the archive; equal to size unless deflated */
    uint64_t header, end; /* the span of local header, data and descriptor */
    const uint8_t *data;  /* [stored_size] */
} MegaZipEntry;

typedef struct MegaZip MegaZip;

/* bytes must outlive the archive; name is copied and begins all messages. */
int mega_zip_open(MegaZip **out, const void *bytes, uint64_t size, const char *name,
                  MegaError *err);
void mega_zip_close(MegaZip *zip);
size_t mega_zip_count(const MegaZip *zip);
/* Returns an entry by its index; entries are sorted by name. */
const MegaZipEntry *mega_zip_entry(const MegaZip *zip, size_t index);
/* Returns the entry of that name, or NULL. */
const MegaZipEntry *mega_zip_find(const MegaZip *zip, const char *name);
/* Appends the content, inflated. Its size is checked, and so is its CRC unless that is 0. Content
 * of more than `limit` bytes is MEGA_ERR_LIMIT. */
int mega_zip_read(const MegaZip *zip, const MegaZipEntry *entry, uint64_t limit, MegaBuffer *out,
                  MegaError *err);
/* Checks a stored entry in place against its CRC; an entry without one passes. */
int mega_zip_verify(const MegaZip *zip, const MegaZipEntry *entry, MegaError *err);

#endif
