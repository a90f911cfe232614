/*
 * pictures.h - builds chunks of PNG files for the tests of pictures.
 */
#ifndef MEGA_PICTURES_H
#define MEGA_PICTURES_H

#include <zlib.h>

#include "formats/base/bytes.h"

#define PNG_SIGNATURE "\x89PNG\r\n\x1a\n" /* 8 bytes */

static inline void put_u32_be(MegaBuffer *out, size_t value)
{
    mega_put_u32(out, __builtin_bswap32((uint32_t)value));
}

/* Appends length, type and data of a chunk, and the checksum of type and data. */
static inline void put_chunk(MegaBuffer *out, const char *type, const void *data, size_t size)
{
    const size_t start = out->size + 4;
    put_u32_be(out, size);
    mega_put_bytes(out, type, 4);
    mega_put_bytes(out, data, size);
    put_u32_be(out, crc32(0, out->data + start, (unsigned)size + 4));
}

#endif
