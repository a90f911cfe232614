/*
 * checked.h - size arithmetic on numbers that come from outside. Every product, sum and alignment
 * of a length that was read from a file goes through mega_mul, mega_add and mega_align. They return
 * false on overflow, and then *out is unspecified. The other functions are for sizes that have been
 * checked.
 */
#ifndef MEGA_CHECKED_H
#define MEGA_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool mega_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool mega_add(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* Rounds `a` up to a multiple of `alignment`, which must be a power of two. */
static inline bool mega_align(uint64_t a, uint64_t alignment, uint64_t *out)
{
    if (__builtin_add_overflow(a, alignment - 1, out))
        return false;
    *out &= ~(alignment - 1);
    return true;
}

static inline size_t mega_min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline uint64_t mega_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Returns how many pieces of `each` make up a total; the last piece may be smaller. */
static inline size_t mega_pieces(size_t total, size_t each)
{
    return (total + each - 1) / each;
}

/* Floats of a cache line, and a number of floats rounded up to whole lines. */
#define MEGA_LINE_FLOATS 16

static inline uint64_t mega_whole_lines(uint64_t floats)
{
    return (floats + MEGA_LINE_FLOATS - 1) / MEGA_LINE_FLOATS * MEGA_LINE_FLOATS;
}

#endif
