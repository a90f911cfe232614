/*
 * tile_unit.h - Intel's tile unit (AMX) in C: what the instructions do that src/kernels/amx_tmpl.h
 * uses, written from their operation in the Software Developer's Manual, volume 2. What the
 * processor answers with a fault ends the program.
 *
 * Every thread has tiles of its own, as it has registers. Products run over the columns in vectors
 * of the compiler, so that they are quick without optimisation and under sanitizers.
 */
#ifndef MEGA_TEST_TILE_UNIT_H
#define MEGA_TEST_TILE_UNIT_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TILE_COUNT = 8, TILE_MOST_ROWS = 16, TILE_MOST_BYTES = 64 };
enum { TILE_VECTORS = TILE_MOST_BYTES / 16 }; /* in a row */

typedef uint32_t TileWords __attribute__((vector_size(16)));
typedef int32_t TileInts __attribute__((vector_size(16)));
typedef float TileFloats __attribute__((vector_size(16)));

static _Thread_local struct {
    struct {
        unsigned char palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config; /* palette 0: the unit is in its initial state */
    TileWords tiles[TILE_COUNT][TILE_MOST_ROWS][TILE_VECTORS];
} tile_unit;

static inline void tile_require(bool valid)
{
    if (valid)
        return;
    fputs("an instruction of the tile unit would fault\n", stderr);
    abort();
}

static inline void tile_release(void)
{
    memset(&tile_unit, 0, sizeof tile_unit);
}

/* LDTILECFG */
static inline void tile_configure(const void *from)
{
    tile_release();
    memcpy(&tile_unit.config, from, 64);
    tile_require(tile_unit.config.palette == 1);
    for (int i = 0; i < 14; i++)
        tile_require(tile_unit.config.reserved[i] == 0);
    for (int i = 0; i < 16; i++) {
        const unsigned rows = tile_unit.config.rows[i], bytes = tile_unit.config.row_bytes[i];
        tile_require(i < TILE_COUNT || (rows == 0 && bytes == 0));
        tile_require(rows <= TILE_MOST_ROWS && bytes <= TILE_MOST_BYTES);
        tile_require((rows == 0) == (bytes == 0));
    }
}

static inline unsigned tile_rows(int tile)
{
    tile_require(tile_unit.config.palette == 1 && tile >= 0 && tile < TILE_COUNT);
    tile_require(tile_unit.config.rows[tile] > 0);
    return tile_unit.config.rows[tile];
}

static inline unsigned tile_bytes(int tile)
{
    return tile_unit.config.row_bytes[tile];
}

/* TILEZERO */
static inline void tile_zero(int tile)
{
    tile_require(tile_rows(tile) > 0);
    memset(tile_unit.tiles[tile], 0, sizeof tile_unit.tiles[tile]);
}

/* TILELOADD; what the configuration leaves out of a tile becomes 0. */
static inline void tile_load(int tile, const void *from, size_t step)
{
    const unsigned rows = tile_rows(tile);
    tile_zero(tile);
    for (unsigned row = 0; row < rows; row++)
        memcpy(tile_unit.tiles[tile][row], (const char *)from + row * step, tile_bytes(tile));
}

/* TILESTORED */
static inline void tile_store(int tile, void *to, size_t step)
{
    for (unsigned row = 0; row < tile_rows(tile); row++)
        memcpy((char *)to + row * step, tile_unit.tiles[tile][row], tile_bytes(tile));
}

/* The shapes of sums [m][n], x [m][k] and w [k][n] must fit, in numbers of 32 bits. */
static inline void tile_check_shapes(int sums, int x, int w)
{
    tile_require(sums != x && sums != w && x != w);
    tile_require(tile_rows(sums) == tile_rows(x) && tile_bytes(sums) == tile_bytes(w));
    tile_require(tile_bytes(x) / 4 == tile_rows(w));
    tile_require(tile_bytes(sums) % 4 == 0 && tile_bytes(x) % 4 == 0);
}

/* TDPBSSD: sums += x w for signed bytes, four along k at a time; 32-bit sums wrap around. */
static inline void tile_multiply_bytes(int sums, int x, int w)
{
    tile_check_shapes(sums, x, w);
    for (unsigned m = 0; m < tile_rows(sums); m++) {
        const int8_t *factors = (const int8_t *)tile_unit.tiles[x][m];
        TileWords *sum = tile_unit.tiles[sums][m];
        for (unsigned k = 0; k < tile_bytes(x); k++) {
            const TileWords *quads = tile_unit.tiles[w][k / 4];
            for (unsigned v = 0; v < TILE_VECTORS; v++) {
                const TileInts bytes = (TileInts)(quads[v] << (24 - k % 4 * 8)) >> 24;
                sum[v] += (uint32_t)factors[k] * (TileWords)bytes;
            }
        }
    }
}

/* ---- Products of bf16 -----------------------------------------------------------------------
 *
 * Subnormal numbers are read and written as 0 of the same sign, whatever MXCSR says. */

#define TILE_EXPONENT 0x7f800000u

/* Returns all ones where the exponent is not 0. */
static inline TileWords tile_normal(TileWords bits)
{
    return -(((bits & TILE_EXPONENT) + TILE_EXPONENT) >> 31);
}

static inline TileWords tile_flush(TileWords bits)
{
    return bits & (tile_normal(bits) | 0x80000000u);
}

static inline float tile_flush_one(float value)
{
    return fabsf(value) < FLT_MIN ? copysignf(0, value) : value;
}

/* The exponents of some floats, as their bits have them: the least one of those that are not 0, and
 * the largest one. Every lane has a part of them. */
typedef struct TileRange {
    TileInts least, most;
} TileRange;

static inline TileRange tile_empty_range(void)
{
    return (TileRange){.least = (TileInts){0} + (int32_t)TILE_EXPONENT, .most = {0}};
}

static inline void tile_widen(TileRange *range, TileWords bits)
{
    const TileWords exponent = bits & TILE_EXPONENT;
    const TileInts nonzero = (TileInts)(exponent | (~tile_normal(bits) & TILE_EXPONENT));
    const TileInts below = nonzero - range->least, above = (TileInts)exponent - range->most;
    range->least += below & (below >> 31);
    range->most += above & ~(above >> 31);
}

static inline int tile_least(const TileRange *range)
{
    int least = 255;
    for (int lane = 0; lane < 4; lane++)
        least = range->least[lane] >> 23 < least ? range->least[lane] >> 23 : least;
    return least;
}

static inline int tile_most(const TileRange *range)
{
    int most = 0;
    for (int lane = 0; lane < 4; lane++)
        most = range->most[lane] >> 23 > most ? range->most[lane] >> 23 : most;
    return most;
}

/* Returns whether sums of 32 products of such numbers of bf16 are the same without fused
 * multiply-adds and without flushing. All products are then exact. They are multiples of the least
 * normal number, and so are their sums, so that none is subnormal; and none overflows. */
static inline bool tile_is_plain(const TileRange *a, const TileRange *b)
{
    enum { BIAS = 127, FRACTION = 7, ROOM = 6 }; /* 2^ROOM is more than 32 products */
    return tile_least(a) + tile_least(b) >= 2 * (BIAS + FRACTION) - 126 &&
           tile_most(a) + tile_most(b) < 2 * (BIAS - 1) + 127 - ROOM && tile_most(a) < 255 &&
           tile_most(b) < 255;
}

/* Reads a row of pairs of bf16 as floats, the first number of each pair and the second. */
static inline void tile_read_pairs(const TileWords *row, TileFloats out[2][TILE_VECTORS],
                                   TileRange *range)
{
    for (unsigned v = 0; v < TILE_VECTORS; v++)
        for (unsigned half = 0; half < 2; half++) {
            const TileWords bits = tile_flush(half ? row[v] & 0xffff0000u : row[v] << 16);
            tile_widen(range, bits);
            out[half][v] = (TileFloats)bits;
        }
}

/* Adds a b to sum lane by lane, rounded once and flushed. The product of two numbers of 8 bits is
 * exact where it is in range, and then a plain sum is faster. */
static inline void tile_add_products(float a, const TileFloats *b, TileFloats *sum)
{
    for (unsigned lane = 0; lane < 4; lane++) {
        const float factor = (*b)[lane], product = a * factor, size = fabsf(product);
        const bool exact = (size >= FLT_MIN && size <= FLT_MAX) || a == 0 || factor == 0;
        const float next = exact ? (*sum)[lane] + product : fmaf(a, factor, (*sum)[lane]);
        (*sum)[lane] = tile_flush_one(next);
    }
}

/* TDPBF16PS: sums += x w for pairs of bf16. The products with the first number of each pair are
 * added to one sum, those with the second to another, each by a fused multiply-add; both begin
 * at 0. Their sum is added to `sums` at the end. Everything rounds to nearest. */
static inline void tile_multiply_bf16(int sums, int x, int w)
{
    TileFloats b[TILE_MOST_ROWS][2][TILE_VECTORS];
    TileRange weights = tile_empty_range();
    tile_check_shapes(sums, x, w);
    for (unsigned k = 0; k < tile_rows(w); k++)
        tile_read_pairs(tile_unit.tiles[w][k], b[k], &weights);
    for (unsigned m = 0; m < tile_rows(sums); m++) {
        TileFloats a[2][TILE_VECTORS], parts[2][TILE_VECTORS] = {{{0}}};
        TileRange factors = tile_empty_range();
        TileWords *sum = tile_unit.tiles[sums][m];
        tile_read_pairs(tile_unit.tiles[x][m], a, &factors);
        const bool plain = tile_is_plain(&factors, &weights);
        for (unsigned k = 0; k < tile_rows(w); k++)
            for (unsigned half = 0; half < 2; half++) {
                const float factor = a[half][k / 4][k % 4];
                for (unsigned v = 0; v < TILE_VECTORS; v++)
                    if (plain)
                        parts[half][v] += factor * b[k][half][v];
                    else
                        tile_add_products(factor, &b[k][half][v], &parts[half][v]);
            }
        for (unsigned v = 0; v < TILE_VECTORS; v++) {
            const TileWords both = tile_flush((TileWords)(parts[0][v] + parts[1][v]));
            sum[v] = tile_flush((TileWords)((TileFloats)tile_flush(sum[v]) + (TileFloats)both));
        }
    }
}

#endif
