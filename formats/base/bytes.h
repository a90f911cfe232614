/*
 * bytes.h - reads and builds little-endian data.
 *
 * MegaReader walks over bytes from outside. It never reads past the end: a read that does not fit
 * returns zero (or NULL), sets `failed` and moves nothing. Every later read fails, too, so a parser
 * may check once after a group of reads. MegaBuffer builds bytes, and its `failed` stays set in the
 * same way once memory has run out.
 */
#ifndef MEGA_BYTES_H
#define MEGA_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/utf8.h"

/* ---- Loads and stores at any alignment ------------------------------------------------------ */

static inline uint16_t mega_load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t mega_load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t mega_load_u64(const uint8_t *p)
{
    return mega_load_u32(p) | (uint64_t)mega_load_u32(p + 4) << 32;
}

static inline void mega_store_u16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static inline void mega_store_u32(uint8_t *p, uint32_t value)
{
    mega_store_u16(p, (uint16_t)value);
    mega_store_u16(p + 2, (uint16_t)(value >> 16));
}

static inline void mega_store_u64(uint8_t *p, uint64_t value)
{
    mega_store_u32(p, (uint32_t)value);
    mega_store_u32(p + 4, (uint32_t)(value >> 32));
}

/* ---- Reading -------------------------------------------------------------------------------- */

typedef struct MegaReader {
    const uint8_t *data;
    size_t size;
    size_t position; /* <= size */
    bool failed;
} MegaReader;

static inline MegaReader mega_reader(const void *data, size_t size)
{
    return (MegaReader){.data = data, .size = size};
}

/* Returns the number of bytes left, which is 0 after a failure. */
static inline size_t mega_reader_left(const MegaReader *reader)
{
    return reader->failed ? 0 : reader->size - reader->position;
}

uint8_t mega_get_u8(MegaReader *reader);
uint16_t mega_get_u16(MegaReader *reader);
uint32_t mega_get_u32(MegaReader *reader);
uint64_t mega_get_u64(MegaReader *reader);
double mega_get_f64(MegaReader *reader);
/* Returns the next `size` bytes in place, or NULL. A caller that ignores the result skips them. */
const uint8_t *mega_get_bytes(MegaReader *reader, uint64_t size);
/* Moves to a position from the start. Beyond the end it sets `failed` and returns false. */
bool mega_reader_seek(MegaReader *reader, uint64_t position);

/* ---- Building ------------------------------------------------------------------------------- */

typedef struct MegaBuffer {
    uint8_t *data; /* freed with free() or mega_buffer_free */
    size_t size, capacity;
    bool failed; /* memory ran out */
} MegaBuffer;

void mega_put_u8(MegaBuffer *buffer, uint8_t value);
void mega_put_u16(MegaBuffer *buffer, uint16_t value);
void mega_put_u32(MegaBuffer *buffer, uint32_t value);
void mega_put_u64(MegaBuffer *buffer, uint64_t value);
void mega_put_f64(MegaBuffer *buffer, double value);
void mega_put_bytes(MegaBuffer *buffer, const void *data, size_t size);
void mega_buffer_free(MegaBuffer *buffer);

/* Appends text, with U+FFFD in place of NUL and of every byte that is not part of a well-formed
 * character. */
void mega_utf8_repair(const void *text, size_t size, MegaBuffer *out);
/* Appends text as Python's errors="replace" decodes it: one U+FFFD stands for each longest run of
 * bytes that begins a character without completing it, and for each other invalid byte. NUL
 * stays. */
void mega_utf8_replace(const void *text, size_t size, MegaBuffer *out);

#endif
