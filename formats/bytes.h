/*
 * bytes.h - reading and building little-endian bytes.
 *
 * MegaReader walks over bytes from outside. It never reads past the end: a read that does not fit
 * returns zero (or NULL), sets `failed` and moves nothing, and every later read fails too, so that
 * a parser may check once after a group of reads. MegaBuffer is the other direction, with the same
 * sticky failure when memory runs out.
 */
#ifndef MEGA_BYTES_H
#define MEGA_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* Bytes that are left; 0 after a failure. */
static inline size_t mega_reader_left(const MegaReader *reader)
{
    return reader->failed ? 0 : reader->size - reader->position;
}

uint8_t mega_get_u8(MegaReader *reader);
uint16_t mega_get_u16(MegaReader *reader);
uint32_t mega_get_u32(MegaReader *reader);
uint64_t mega_get_u64(MegaReader *reader);
double mega_get_f64(MegaReader *reader);
/* The next `size` bytes in place, or NULL. Skips when the result is not used. */
const uint8_t *mega_get_bytes(MegaReader *reader, uint64_t size);
/* Moves to a position from the start; false and failed beyond the end. */
bool mega_reader_seek(MegaReader *reader, uint64_t position);

/* ---- Building ------------------------------------------------------------------------------- */

typedef struct MegaBuffer {
    uint8_t *data; /* free(), or mega_buffer_free */
    size_t size, capacity;
    bool failed; /* no memory */
} MegaBuffer;

void mega_put_u8(MegaBuffer *buffer, uint8_t value);
void mega_put_u16(MegaBuffer *buffer, uint16_t value);
void mega_put_u32(MegaBuffer *buffer, uint32_t value);
void mega_put_u64(MegaBuffer *buffer, uint64_t value);
void mega_put_f64(MegaBuffer *buffer, double value);
void mega_put_bytes(MegaBuffer *buffer, const void *data, size_t size);
void mega_buffer_free(MegaBuffer *buffer);

/* ---- UTF-8 ---------------------------------------------------------------------------------- */

/* Length (1 to 4) of the well-formed character at text, and its code point in *code (may be NULL);
 * 0 if there is none: overlong forms, surrogates and values over U+10FFFF are not well formed. */
size_t mega_utf8_decode(const void *text, size_t size, uint32_t *code);
/* True for well-formed UTF-8 without NUL. */
bool mega_utf8_valid(const void *text, size_t size);
/* Appends text with U+FFFD in the place of every byte that is not part of a well-formed character,
 * and of NUL. */
void mega_utf8_repair(const void *text, size_t size, MegaBuffer *out);
/* What steers a terminal or the order of what it shows: C0, DEL, C1, separators of lines and the
 * marks of bidirectional texts. */
bool mega_utf8_is_control(uint32_t code);
/* Puts a '?' in the place of every such character of a string, and of a byte 0x80 to 0x9f that is
 * part of no character, which terminals may take for C1. */
void mega_utf8_hide_controls(char *text);
/* White space as Python's str.isspace has it. */
bool mega_utf8_is_space(uint32_t code);
/* The next word between white space from *at on, in place; false at the end. */
bool mega_utf8_next_word(const char **at, const char *end, const char **word, size_t *length);
/* Leaves out white space at both ends. */
void mega_utf8_trim(const char **text, size_t *size);
/* The same for a string, in place: its first character that is no white space. */
char *mega_utf8_strip(char *text);

#endif
