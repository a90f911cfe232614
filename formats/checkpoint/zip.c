/*
 * zip.c - reads zip archives strictly; see zip.h.
 *
 * The end record names the central directory, which must end where the end records begin; each of
 * its entries names a local header, which must agree with it. Entries are then sorted by position,
 * to check that none overlap, and by name, to find them and to check that no name occurs twice.
 */
#include "formats/checkpoint/zip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

#include "src/base/checked.h"

#define LOCAL_SIGNATURE 0x04034b50u
#define CENTRAL_SIGNATURE 0x02014b50u
#define DESCRIPTOR_SIGNATURE 0x08074b50u
#define END_SIGNATURE 0x06054b50u
#define END64_SIGNATURE 0x06064b50u
#define LOCATOR64_SIGNATURE 0x07064b50u

#define CENTRAL_SIZE 46 /* bytes of an entry without name, extra field and comment */
#define END_SIZE 22
#define END64_SIZE 56
#define LOCATOR64_SIZE 20
#define MAX_COMMENT 65535

#define FLAG_DESCRIPTOR 0x0008u /* crc and sizes follow the data */
#define FLAGS_ENCRYPTED 0x2041u /* encrypted, strong encryption, masked headers */
#define MAX_VERSION 63          /* version 6.3 of the specification */
#define ATTRIBUTE_FOLDER 0x10   /* MS-DOS attribute, part of the external attributes */

struct MegaZip {
    char *name;
    const uint8_t *data;
    uint64_t size;
    uint64_t directory, directory_size, directory_end; /* the end records begin at directory_end */
    size_t count;
    MegaZipEntry *entries; /* [count], sorted by name once the archive is open */
};

#define FAIL(code, format, ...) mega_fail(err, code, "%s: " format, zip->name, ##__VA_ARGS__)
#define BAD(format, ...) FAIL(MEGA_ERR_FORMAT, format, ##__VA_ARGS__)
#define ENTRY_FAIL(code, format, ...)                                                              \
    FAIL(code, "entry '%.*s' " format, (int)entry->name_length, entry->name, ##__VA_ARGS__)
#define ENTRY_BAD(format, ...) ENTRY_FAIL(MEGA_ERR_FORMAT, format, ##__VA_ARGS__)

/* ---- End records ---------------------------------------------------------------------------- */

/* Finds the end record. Its comment ends at the end of the file, or is followed only by zeros,
 * which some programs add when they copy a file. */
static const uint8_t *find_end(const MegaZip *zip)
{
    uint64_t end = zip->size; /* end of the file without trailing zeros */
    while (end && zip->data[end - 1] == 0)
        end--;
    uint64_t last = zip->size < END_SIZE ? 0 : zip->size - END_SIZE;
    if (end < 4 || zip->size < END_SIZE)
        return NULL;
    if (last > end - 4)
        last = end - 4;
    for (uint64_t at = last;; at--) {
        const uint8_t *record = zip->data + at;
        if (mega_load_u32(record) == END_SIGNATURE) {
            uint64_t after = at + END_SIZE + mega_load_u16(record + 20);
            if (after <= zip->size && after >= end)
                return record;
        }
        if (at == 0 || end - at > END_SIZE + MAX_COMMENT)
            return NULL;
    }
}

/* Checks that values of the 32-bit record are equal to those of the 64-bit record, unless they are
 * saturated. */
static bool agrees(uint64_t narrow, uint64_t wide, uint64_t saturated)
{
    return narrow == wide || narrow == saturated;
}

static int read_end64(MegaZip *zip, const uint8_t *end, const uint8_t *locator, MegaError *err)
{
    uint64_t offset = mega_load_u64(locator + 8), place = (uint64_t)(locator - zip->data);
    const uint8_t *at = locator - (place < END64_SIZE ? 0 : END64_SIZE);
    if (mega_load_u32(locator + 4) != 0 || mega_load_u32(locator + 16) > 1)
        return FAIL(MEGA_ERR_UNSUPPORTED, "the zip archive is split over several files");
    if (place < END64_SIZE || offset != place - END64_SIZE ||
        mega_load_u32(at) != END64_SIGNATURE || mega_load_u64(at + 4) != END64_SIZE - 12)
        return BAD("the zip64 end record is not at byte %" PRIu64 ", where it is said to be",
                   offset);
    uint64_t count = mega_load_u64(at + 32);
    zip->directory_size = mega_load_u64(at + 40);
    zip->directory = mega_load_u64(at + 48);
    zip->directory_end = offset;
    zip->count = (size_t)count;
    if (mega_load_u32(at + 16) != 0 || mega_load_u32(at + 20) != 0 ||
        mega_load_u64(at + 24) != count)
        return FAIL(MEGA_ERR_UNSUPPORTED, "the zip archive is split over several files");
    if (!agrees(mega_load_u16(end + 10), count, UINT16_MAX) ||
        !agrees(mega_load_u32(end + 12), zip->directory_size, UINT32_MAX) ||
        !agrees(mega_load_u32(end + 16), zip->directory, UINT32_MAX))
        return BAD("the two end records of the zip archive contradict each other");
    return 0;
}

static int read_end(MegaZip *zip, MegaError *err)
{
    const uint8_t *end = find_end(zip);
    if (!end)
        return BAD("the zip archive has no end record: the file is truncated; fetch it again");
    uint64_t place = (uint64_t)(end - zip->data);
    zip->count = mega_load_u16(end + 10);
    zip->directory_size = mega_load_u32(end + 12);
    zip->directory = mega_load_u32(end + 16);
    zip->directory_end = place;
    if (place >= LOCATOR64_SIZE && mega_load_u32(end - LOCATOR64_SIZE) == LOCATOR64_SIGNATURE) {
        int code = read_end64(zip, end, end - LOCATOR64_SIZE, err);
        if (code)
            return code;
    } else if (mega_load_u32(end + 4) != 0 || mega_load_u16(end + 8) != zip->count) {
        return FAIL(MEGA_ERR_UNSUPPORTED, "the zip archive is split over several files");
    }
    uint64_t directory_end;
    if (!mega_add(zip->directory, zip->directory_size, &directory_end) ||
        directory_end != zip->directory_end)
        return BAD("the directory of the zip archive does not end at byte %" PRIu64
                   ", where its end record begins; the file is damaged",
                   zip->directory_end);
    if (zip->count > MEGA_ZIP_MAX_ENTRIES)
        return FAIL(MEGA_ERR_LIMIT, "%zu zip entries exceed the limit of %u", zip->count,
                    MEGA_ZIP_MAX_ENTRIES);
    if (zip->count > zip->directory_size / CENTRAL_SIZE)
        return BAD("the zip archive is said to have %zu entries, too many for its directory",
                   zip->count);
    return 0;
}

/* ---- Entries -------------------------------------------------------------------------------- */

/* Replaces saturated values by those of the zip64 extra field. Returns false if one is missing. */
static bool apply_zip64(const uint8_t *extra, size_t length, uint64_t *values[], size_t count)
{
    MegaReader reader = mega_reader(extra, length);
    size_t wanted = 0;
    for (size_t i = 0; i < count; i++)
        wanted += *values[i] == UINT32_MAX;
    while (wanted && mega_reader_left(&reader) >= 4) {
        uint16_t id = mega_get_u16(&reader), size = mega_get_u16(&reader);
        const uint8_t *field = mega_get_bytes(&reader, size);
        if (id != 1 || !field)
            continue;
        if (size < wanted * 8)
            return false;
        for (size_t i = 0; i < count; i++)
            if (*values[i] == UINT32_MAX) {
                *values[i] = mega_load_u64(field);
                field += 8;
            }
        return true;
    }
    return wanted == 0;
}

/* Returns whether a descriptor with 32- or 64-bit sizes at `at` repeats crc and sizes; *length is
 * its size. */
static bool descriptor_fits(const MegaZip *zip, const MegaZipEntry *entry, uint64_t at,
                            uint64_t *length)
{
    for (int wide = 0; wide < 2; wide++)
        for (int with_signature = 1; with_signature >= 0; with_signature--) {
            MegaReader reader = mega_reader(zip->data + at, (size_t)(zip->directory - at));
            if (with_signature && mega_get_u32(&reader) != DESCRIPTOR_SIGNATURE)
                continue;
            uint32_t crc = mega_get_u32(&reader);
            uint64_t stored = wide ? mega_get_u64(&reader) : mega_get_u32(&reader);
            uint64_t size = wide ? mega_get_u64(&reader) : mega_get_u32(&reader);
            *length = reader.position;
            if (!reader.failed && crc == entry->crc && stored == entry->stored_size &&
                size == entry->size)
                return true;
        }
    return false;
}

/* Checks that crc and sizes of a local header are those of the directory, or 0 if a descriptor
 * follows the data. */
static bool local_fits(const MegaZipEntry *entry, uint32_t crc, uint64_t stored, uint64_t size)
{
    bool later = entry->flags & FLAG_DESCRIPTOR;
    return (crc == entry->crc || (later && crc == 0)) &&
           (stored == entry->stored_size || (later && stored == 0)) &&
           (size == entry->size || (later && size == 0));
}

static int read_local(const MegaZip *zip, MegaZipEntry *entry, MegaError *err)
{
    MegaReader reader = mega_reader(zip->data, (size_t)zip->directory);
    mega_reader_seek(&reader, entry->header);
    uint32_t signature = mega_get_u32(&reader);
    mega_get_u16(&reader); /* version */
    uint16_t flags = mega_get_u16(&reader), method = mega_get_u16(&reader);
    mega_get_u32(&reader); /* time and date */
    uint32_t crc = mega_get_u32(&reader);
    uint64_t stored = mega_get_u32(&reader), size = mega_get_u32(&reader);
    size_t name_length = mega_get_u16(&reader), extra_length = mega_get_u16(&reader);
    const uint8_t *name = mega_get_bytes(&reader, name_length);
    const uint8_t *extra = mega_get_bytes(&reader, extra_length);
    uint64_t *wide[] = {&size, &stored}, length = 0;
    if (reader.failed || signature != LOCAL_SIGNATURE)
        return ENTRY_BAD("has no local header at byte %" PRIu64 "; the file is damaged",
                         entry->header);
    if (!apply_zip64(extra, extra_length, wide, 2) || name_length != entry->name_length ||
        memcmp(name, entry->name, name_length) != 0 || method != (entry->deflated ? 8 : 0) ||
        ((flags ^ entry->flags) & (FLAG_DESCRIPTOR | FLAGS_ENCRYPTED)) ||
        !local_fits(entry, crc, stored, size))
        return ENTRY_BAD("is described differently by its local header and by the directory");
    entry->data = mega_get_bytes(&reader, entry->stored_size);
    if (!entry->data)
        return ENTRY_BAD("reaches into the directory; the file is damaged");
    entry->end = reader.position;
    if (entry->flags & FLAG_DESCRIPTOR && !descriptor_fits(zip, entry, entry->end, &length))
        return ENTRY_BAD("has a data descriptor that contradicts the directory");
    entry->end += length;
    return 0;
}

/* Reads one entry of the central directory, then its local header. */
static int read_entry(const MegaZip *zip, MegaReader *reader, size_t number, MegaZipEntry *entry,
                      MegaError *err)
{
    uint32_t signature = mega_get_u32(reader);
    mega_get_u16(reader); /* version of the writer */
    uint16_t needed = mega_get_u16(reader);
    entry->flags = mega_get_u16(reader);
    uint16_t method = mega_get_u16(reader);
    mega_get_u32(reader); /* time and date */
    entry->crc = mega_get_u32(reader);
    entry->stored_size = mega_get_u32(reader);
    entry->size = mega_get_u32(reader);
    entry->name_length = mega_get_u16(reader);
    size_t extra_length = mega_get_u16(reader), comment_length = mega_get_u16(reader);
    uint16_t disk = mega_get_u16(reader);
    mega_get_u16(reader); /* internal attributes */
    uint32_t attributes = mega_get_u32(reader);
    entry->header = mega_get_u32(reader);
    entry->name = (const char *)mega_get_bytes(reader, entry->name_length);
    const uint8_t *extra = mega_get_bytes(reader, extra_length);
    mega_get_bytes(reader, comment_length);
    uint64_t *wide[] = {&entry->size, &entry->stored_size, &entry->header};
    if (reader->failed || signature != CENTRAL_SIGNATURE)
        return BAD("entry %zu of the zip directory is damaged", number);
    if (entry->name_length == 0 || entry->name_length > MEGA_ZIP_MAX_NAME ||
        !mega_utf8_valid(entry->name, entry->name_length))
        return BAD("the name of zip entry %zu is not 1 to %d bytes of UTF-8", number,
                   MEGA_ZIP_MAX_NAME);
    if (!apply_zip64(extra, extra_length, wide, 3))
        return ENTRY_BAD("lacks its 64-bit sizes");
    if (needed > MAX_VERSION)
        return ENTRY_FAIL(MEGA_ERR_UNSUPPORTED, "needs version %d of the zip format; %d is the "
                                                "last",
                          needed, MAX_VERSION);
    if (disk != 0)
        return ENTRY_BAD("is said to be on another disk");
    if (attributes & ATTRIBUTE_FOLDER && entry->size)
        return ENTRY_BAD("is a folder with content; other readers would find it empty");
    if (entry->flags & FLAGS_ENCRYPTED)
        return ENTRY_FAIL(MEGA_ERR_UNSUPPORTED, "is encrypted; unpack the archive and repack it "
                                                "without a password");
    if (method != 0 && method != 8)
        return ENTRY_FAIL(MEGA_ERR_UNSUPPORTED,
                          "is compressed by method %d; expected stored or "
                          "deflate",
                          method);
    entry->deflated = method == 8;
    if (!entry->deflated && entry->size != entry->stored_size)
        return ENTRY_BAD("is stored, but has two different sizes");
    return read_local(zip, entry, err);
}

static int by_place(const void *a, const void *b)
{
    uint64_t x = ((const MegaZipEntry *)a)->header, y = ((const MegaZipEntry *)b)->header;
    return (x > y) - (x < y);
}

static int compare_name(const char *name, size_t length, const MegaZipEntry *entry)
{
    size_t common = length < entry->name_length ? length : entry->name_length;
    int order = memcmp(name, entry->name, common);
    return order ? order : (length > entry->name_length) - (length < entry->name_length);
}

static int by_name(const void *a, const void *b)
{
    const MegaZipEntry *entry = a;
    return compare_name(entry->name, entry->name_length, b);
}

static int read_directory(MegaZip *zip, MegaError *err)
{
    MegaReader reader = mega_reader(zip->data + zip->directory, (size_t)zip->directory_size);
    zip->entries = calloc(zip->count ? zip->count : 1, sizeof *zip->entries);
    if (!zip->entries)
        return FAIL(MEGA_ERR_MEMORY, "no memory for %zu zip entries", zip->count);
    for (size_t i = 0; i < zip->count; i++) {
        int code = read_entry(zip, &reader, i, &zip->entries[i], err);
        if (code)
            return code;
    }
    if (mega_reader_left(&reader))
        return BAD("%zu bytes follow the last entry of the zip directory",
                   mega_reader_left(&reader));
    qsort(zip->entries, zip->count, sizeof *zip->entries, by_place);
    for (size_t i = 1; i < zip->count; i++) {
        const MegaZipEntry *entry = &zip->entries[i];
        if (entry->header < entry[-1].end)
            return ENTRY_BAD("overlaps the entry before it");
    }
    qsort(zip->entries, zip->count, sizeof *zip->entries, by_name);
    for (size_t i = 1; i < zip->count; i++) {
        const MegaZipEntry *entry = &zip->entries[i];
        if (by_name(entry - 1, entry) == 0)
            return ENTRY_BAD("occurs twice");
    }
    return 0;
}

/* ---- Interface ------------------------------------------------------------------------------ */

int mega_zip_open(MegaZip **out, const void *bytes, uint64_t size, const char *name, MegaError *err)
{
    *out = NULL;
    MegaZip *zip = calloc(1, sizeof *zip);
    if (!zip || !(zip->name = strdup(name))) {
        free(zip);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for opening %s", name);
    }
    zip->data = bytes;
    zip->size = size;
    int code = read_end(zip, err);
    if (!code)
        code = read_directory(zip, err);
    if (code)
        mega_zip_close(zip);
    else
        *out = zip;
    return code;
}

void mega_zip_close(MegaZip *zip)
{
    if (!zip)
        return;
    free(zip->entries);
    free(zip->name);
    free(zip);
}

size_t mega_zip_count(const MegaZip *zip)
{
    return zip->count;
}

const MegaZipEntry *mega_zip_entry(const MegaZip *zip, size_t index)
{
    return &zip->entries[index];
}

const MegaZipEntry *mega_zip_find(const MegaZip *zip, const char *name)
{
    size_t first = 0, last = zip->count, length = strlen(name);
    while (first < last) {
        size_t middle = first + (last - first) / 2;
        int order = compare_name(name, length, &zip->entries[middle]);
        if (order == 0)
            return &zip->entries[middle];
        if (order < 0)
            last = middle;
        else
            first = middle + 1;
    }
    return NULL;
}

static int check_crc(const MegaZip *zip, const MegaZipEntry *entry, const void *data, size_t size,
                     MegaError *err)
{
    if (entry->crc && crc32_z(crc32_z(0, NULL, 0), data, size) != entry->crc)
        return ENTRY_BAD("is damaged: its checksum does not match; fetch the file again");
    return 0;
}

int mega_zip_verify(const MegaZip *zip, const MegaZipEntry *entry, MegaError *err)
{
    return check_crc(zip, entry, entry->data, (size_t)entry->stored_size, err);
}

/* The output grows as data arrives, so that a large declared size alone costs no memory. */
static int inflate_entry(const MegaZip *zip, const MegaZipEntry *entry, MegaBuffer *out,
                         MegaError *err)
{
    uint8_t block[16384];
    z_stream stream = {0};
    uint64_t left = entry->stored_size, total = 0;
    const uint8_t *next = entry->data;
    int status = inflateInit2(&stream, -MAX_WBITS);
    if (status != Z_OK)
        return FAIL(MEGA_ERR_MEMORY, "no memory for inflating");
    while (status == Z_OK && total <= entry->size) {
        if (stream.avail_in == 0 && left) {
            stream.next_in = next;
            stream.avail_in = left > UINT32_MAX ? UINT32_MAX : (uInt)left;
            next += stream.avail_in;
            left -= stream.avail_in;
        }
        stream.next_out = block;
        stream.avail_out = sizeof block;
        status = inflate(&stream, Z_NO_FLUSH);
        total += sizeof block - stream.avail_out;
        mega_put_bytes(out, block, sizeof block - stream.avail_out);
    }
    bool exact =
        status == Z_STREAM_END && total == entry->size && left == 0 && stream.avail_in == 0;
    inflateEnd(&stream);
    return exact ? 0
                 : ENTRY_BAD("does not inflate to the %" PRIu64 " bytes it is said to have",
                             entry->size);
}

int mega_zip_read(const MegaZip *zip, const MegaZipEntry *entry, uint64_t limit, MegaBuffer *out,
                  MegaError *err)
{
    size_t start = out->size;
    if (entry->size > limit)
        return ENTRY_FAIL(MEGA_ERR_LIMIT, "has %" PRIu64 " bytes, the limit is %" PRIu64,
                          entry->size, limit);
    if (entry->deflated) {
        int code = inflate_entry(zip, entry, out, err);
        if (code)
            return code;
    } else {
        mega_put_bytes(out, entry->data, (size_t)entry->size);
    }
    if (out->failed)
        return FAIL(MEGA_ERR_MEMORY, "no memory for an entry of %" PRIu64 " bytes", entry->size);
    if (entry->size == 0)
        return 0;
    return check_crc(zip, entry, out->data + start, (size_t)entry->size, err);
}
