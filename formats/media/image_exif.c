/*
 * image_exif.c - finds the orientation of a picture; see image_file.h.
 *
 * Exif data are a small TIFF file: "II*\0" or "MM\0*", the position of a directory, which is a
 * count and entries of 12 bytes: tag, type, count, value. The orientation is tag 0x0112, one number
 * of 16 bits (type 3), or of 32 as some programs write it (type 4).
 */
#include <string.h>

#include "formats/base/bytes.h"
#include "formats/media/image_file.h"

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT 3
#define TYPE_LONG 4

typedef struct Tiff {
    MegaReader reader;
    bool big_endian;
} Tiff;

static uint32_t get_u16(Tiff *tiff)
{
    const uint16_t value = mega_get_u16(&tiff->reader);
    return tiff->big_endian ? __builtin_bswap16(value) : value;
}

static uint32_t get_u32(Tiff *tiff)
{
    const uint32_t value = mega_get_u32(&tiff->reader);
    return tiff->big_endian ? __builtin_bswap32(value) : value;
}

/* Returns the number if it is an orientation, 1 to 8, and otherwise 0. */
static int valid(uint32_t orientation)
{
    return orientation >= 1 && orientation <= 8 ? (int)orientation : 0;
}

static int find_in_directory(const uint8_t *data, size_t size)
{
    Tiff tiff = {.reader = mega_reader(data, size)};
    const uint8_t *order = mega_get_bytes(&tiff.reader, 2);
    if (!order || (memcmp(order, "II", 2) != 0 && memcmp(order, "MM", 2) != 0))
        return 0;
    tiff.big_endian = order[0] == 'M';
    if (get_u16(&tiff) != 42 || !mega_reader_seek(&tiff.reader, get_u32(&tiff)))
        return 0;
    for (uint32_t left = get_u16(&tiff); left && !tiff.reader.failed; left--) {
        const uint32_t tag = get_u16(&tiff), type = get_u16(&tiff), count = get_u32(&tiff);
        if (tag == TAG_ORIENTATION && count == 1 && type == TYPE_SHORT)
            return valid(get_u16(&tiff));
        if (tag == TAG_ORIENTATION && count == 1 && type == TYPE_LONG)
            return valid(get_u32(&tiff));
        mega_get_u32(&tiff.reader);
    }
    return 0;
}

void mega_image_note_exif(MegaImageFile *file, const uint8_t *tiff, size_t size)
{
    if (!file->exif)
        file->exif = find_in_directory(tiff, size);
}

/* Finds tiff:Orientation="6" or <tiff:Orientation>6</tiff:Orientation>. */
void mega_image_note_xmp(MegaImageFile *file, const uint8_t *packet, size_t size)
{
    static const char name[] = "tiff:Orientation";
    const size_t length = sizeof name - 1;
    for (size_t i = 0; !file->xmp && i + length + 3 <= size; i++) {
        if (memcmp(packet + i, name, length) != 0)
            continue;
        const uint8_t *after = packet + i + length;
        if (after[0] == '>')
            file->xmp = valid((uint32_t)(after[1] - '0'));
        else if (after[0] == '=' && (after[1] == '"' || after[1] == '\''))
            file->xmp = valid((uint32_t)(after[2] - '0'));
    }
}
