/*
 * bytes.c - the bounded reader, the growing buffer and UTF-8; see bytes.h.
 */
#include "formats/base/bytes.h"

#include <stdlib.h>
#include <string.h>

/* ---- Reading -------------------------------------------------------------------------------- */

const uint8_t *mega_get_bytes(MegaReader *reader, uint64_t size)
{
    if (reader->failed || size > reader->size - reader->position) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *at = reader->data + reader->position;
    reader->position += (size_t)size;
    return at;
}

uint8_t mega_get_u8(MegaReader *reader)
{
    const uint8_t *at = mega_get_bytes(reader, 1);
    return at ? *at : 0;
}

uint16_t mega_get_u16(MegaReader *reader)
{
    const uint8_t *at = mega_get_bytes(reader, 2);
    return at ? mega_load_u16(at) : 0;
}

uint32_t mega_get_u32(MegaReader *reader)
{
    const uint8_t *at = mega_get_bytes(reader, 4);
    return at ? mega_load_u32(at) : 0;
}

uint64_t mega_get_u64(MegaReader *reader)
{
    const uint8_t *at = mega_get_bytes(reader, 8);
    return at ? mega_load_u64(at) : 0;
}

double mega_get_f64(MegaReader *reader)
{
    uint64_t bits = mega_get_u64(reader);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

bool mega_reader_seek(MegaReader *reader, uint64_t position)
{
    if (reader->failed || position > reader->size) {
        reader->failed = true;
        return false;
    }
    reader->position = (size_t)position;
    return true;
}

/* ---- Building ------------------------------------------------------------------------------- */

/* Makes room for `size` more bytes and counts them at once. Returns NULL if memory runs out. */
static uint8_t *extend(MegaBuffer *buffer, size_t size)
{
    if (buffer->failed)
        return NULL;
    if (size > buffer->capacity - buffer->size) {
        size_t capacity = buffer->capacity ? buffer->capacity : 256;
        while (capacity < SIZE_MAX / 2 && capacity - buffer->size < size)
            capacity *= 2;
        uint8_t *data = capacity - buffer->size < size ? NULL : realloc(buffer->data, capacity);
        if (!data) {
            buffer->failed = true;
            return NULL;
        }
        buffer->data = data;
        buffer->capacity = capacity;
    }
    uint8_t *at = buffer->data + buffer->size;
    buffer->size += size;
    return at;
}

void mega_put_bytes(MegaBuffer *buffer, const void *data, size_t size)
{
    uint8_t *at = size ? extend(buffer, size) : NULL;
    if (at)
        memcpy(at, data, size);
}

void mega_put_u8(MegaBuffer *buffer, uint8_t value)
{
    mega_put_bytes(buffer, &value, 1);
}

void mega_put_u16(MegaBuffer *buffer, uint16_t value)
{
    uint8_t *at = extend(buffer, 2);
    if (at)
        mega_store_u16(at, value);
}

void mega_put_u32(MegaBuffer *buffer, uint32_t value)
{
    uint8_t *at = extend(buffer, 4);
    if (at)
        mega_store_u32(at, value);
}

void mega_put_u64(MegaBuffer *buffer, uint64_t value)
{
    uint8_t *at = extend(buffer, 8);
    if (at)
        mega_store_u64(at, value);
}

void mega_put_f64(MegaBuffer *buffer, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    mega_put_u64(buffer, bits);
}

void mega_buffer_free(MegaBuffer *buffer)
{
    free(buffer->data);
    *buffer = (MegaBuffer){0};
}

void mega_utf8_repair(const void *text, size_t size, MegaBuffer *out)
{
    const uint8_t *at = text;
    while (size) {
        size_t length = *at ? mega_utf8_decode(at, size, NULL) : 0;
        if (length)
            mega_put_bytes(out, at, length);
        else
            mega_put_bytes(out, "\xef\xbf\xbd", 3);
        length = length ? length : 1;
        at += length;
        size -= length;
    }
}

/* Returns how many bytes at the beginning of a text could begin a well-formed character, but at
 * least one. A decoder replaces that many at once. */
static size_t broken_length(const uint8_t *at, size_t size)
{
    static const struct {
        uint8_t first, last, low, high; /* low and high are limits of the second byte */
        size_t length;
    } forms[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (at[0] < forms[i].first || at[0] > forms[i].last)
            continue;
        size_t good = 1;
        if (size > 1 && at[1] >= forms[i].low && at[1] <= forms[i].high)
            for (good = 2; good < size && good < forms[i].length && (at[good] & 0xc0) == 0x80;)
                good++;
        return good;
    }
    return 1;
}

void mega_utf8_replace(const void *text, size_t size, MegaBuffer *out)
{
    const uint8_t *at = text;
    while (size) {
        size_t length = mega_utf8_decode(at, size, NULL);
        if (length) {
            mega_put_bytes(out, at, length);
        } else {
            mega_put_bytes(out, "\xef\xbf\xbd", 3);
            length = broken_length(at, size);
        }
        at += length;
        size -= length;
    }
}
