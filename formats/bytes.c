/*
 * bytes.c - the bounded reader, the growing buffer and UTF-8; see bytes.h.
 */
#include "bytes.h"

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

/* Room for `size` more bytes, which are counted at once; NULL without memory. */
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

/* ---- UTF-8 ---------------------------------------------------------------------------------- */

size_t mega_utf8_decode(const void *text, size_t size, uint32_t *code)
{
    /* By length: marker and mask of the first byte, and the smallest value that needs the length.
     */
    static const struct {
        uint8_t mask, marker;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    const uint8_t *at = text;
    for (size_t length = 1; length <= 4 && length <= size; length++) {
        if ((at[0] & forms[length - 1].mask) != forms[length - 1].marker)
            continue;
        uint32_t value = at[0] & (uint8_t)~forms[length - 1].mask;
        for (size_t i = 1; i < length; i++) {
            if ((at[i] & 0xc0) != 0x80)
                return 0;
            value = value << 6 | (at[i] & 0x3f);
        }
        if (value < forms[length - 1].least || value > 0x10ffff || (value & ~0x7ffu) == 0xd800)
            return 0;
        if (code)
            *code = value;
        return length;
    }
    return 0;
}

bool mega_utf8_valid(const void *text, size_t size)
{
    const uint8_t *at = text;
    while (size) {
        size_t length = *at ? mega_utf8_decode(at, size, NULL) : 0;
        if (!length)
            return false;
        at += length;
        size -= length;
    }
    return true;
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

bool mega_utf8_is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c || code == 0x200e ||
           code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

void mega_utf8_hide_controls(char *text)
{
    char *to = text;
    for (size_t left = strlen(text), length; left > 0; left -= length, text += length) {
        uint32_t code = (uint8_t)*text;
        length = mega_utf8_decode(text, left, &code);
        const bool hidden = mega_utf8_is_control(code);
        length = length ? length : 1;
        if (hidden)
            *to++ = '?';
        else
            memmove(to, text, length);
        to += hidden ? 0 : length;
    }
    *to = '\0';
}

bool mega_utf8_is_space(uint32_t code)
{
    return (code >= 9 && code <= 13) || (code >= 28 && code <= 32) || code == 0x85 ||
           code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

/* Length of the character at text, or 1 for a byte that is none; *space tells if it separates. */
static size_t step(const char *text, size_t size, bool *space)
{
    uint32_t code = 0;
    const size_t length = mega_utf8_decode(text, size, &code);
    *space = length && mega_utf8_is_space(code);
    return length ? length : 1;
}

bool mega_utf8_next_word(const char **at, const char *end, const char **word, size_t *length)
{
    bool space = true;
    size_t size = 0;
    for (; *at < end && space; *at += space ? size : 0)
        size = step(*at, (size_t)(end - *at), &space);
    *word = *at;
    while (*at < end && !space) {
        size = step(*at, (size_t)(end - *at), &space);
        *at += space ? 0 : size;
    }
    *length = (size_t)(*at - *word);
    return *length > 0;
}

void mega_utf8_trim(const char **text, size_t *size)
{
    bool space = true;
    size_t length;
    while (*size > 0) {
        length = step(*text, *size, &space);
        if (!space)
            break;
        *text += length;
        *size -= length;
    }
    while (*size > 0) {
        size_t begin = *size - 1;
        while (begin > 0 && *size - begin < 4 && ((uint8_t)(*text)[begin] & 0xc0) == 0x80)
            begin--;
        length = step(*text + begin, *size - begin, &space);
        if (!space || begin + length != *size)
            break;
        *size = begin;
    }
}

char *mega_utf8_strip(char *text)
{
    const char *begin = text;
    size_t size = strlen(text);
    mega_utf8_trim(&begin, &size);
    text += begin - text;
    text[size] = '\0';
    return text;
}
