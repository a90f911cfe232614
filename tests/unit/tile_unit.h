/*
 * tile_unit.h - Intel's tile unit (AMX) in C: what the instructions do that src/kernels/amx_tmpl.h
 * uses, written from their operation in the Software Developer's Manual, volume 2. What the
 * processor answers with a fault ends the program.
 *
 * Every thread has tiles of its own, as it has registers.
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

static _Thread_local struct {
    struct {
        unsigned char palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config; /* palette 0: the unit is in its initial state */
    unsigned char tiles[TILE_COUNT][TILE_MOST_ROWS][TILE_MOST_BYTES];
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
    for (unsigned m = 0; m < tile_rows(sums); m++)
        for (unsigned k = 0; k < tile_bytes(x); k++)
            for (unsigned n = 0; n < tile_bytes(sums) / 4; n++) {
                uint32_t sum;
                const int a = (int8_t)tile_unit.tiles[x][m][k];
                const int b = (int8_t)tile_unit.tiles[w][k / 4][n * 4 + k % 4];
                memcpy(&sum, tile_unit.tiles[sums][m] + n * 4, sizeof sum);
                sum += (uint32_t)(a * b);
                memcpy(tile_unit.tiles[sums][m] + n * 4, &sum, sizeof sum);
            }
}

/* Subnormal numbers are read and written as 0 of the same sign, whatever MXCSR says. */
static inline float tile_flush(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7f800000) == 0)
        bits &= 0x80000000;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Reads a tile of bf16. */
static inline void tile_read_bf16(int tile, float out[TILE_MOST_ROWS][TILE_MOST_BYTES / 2])
{
    for (unsigned row = 0; row < TILE_MOST_ROWS; row++)
        for (unsigned i = 0; i < TILE_MOST_BYTES / 2; i++) {
            uint16_t half;
            memcpy(&half, tile_unit.tiles[tile][row] + 2 * i, sizeof half);
            const uint32_t bits = (uint32_t)half << 16;
            memcpy(&out[row][i], &bits, sizeof bits);
            out[row][i] = tile_flush(out[row][i]);
        }
}

/* Returns a b + sum, rounded once and flushed. The product of two numbers of 8 bits is exact where
 * it is in range, and then a plain sum is faster. */
static inline float tile_add_product(float a, float b, float sum)
{
    const float product = a * b, size = fabsf(product);
    const bool exact = (size >= FLT_MIN && size <= FLT_MAX) || a == 0 || b == 0;
    return tile_flush(exact ? sum + product : fmaf(a, b, sum));
}

/* Returns whether n numbers are 0, or with `finite` whether they are finite. */
static inline bool tile_all(const float *x, size_t n, bool finite)
{
    for (size_t i = 0; i < n; i++)
        if (!(finite ? fabsf(x[i]) <= FLT_MAX : x[i] == 0))
            return false;
    return true;
}

/* TDPBF16PS: sums += x w for pairs of bf16. The products with the first number of each pair are
 * added to one sum, those with the second to another, each by a fused multiply-add; both begin
 * at 0. Their sum is added to `sums` at the end. Everything rounds to nearest. */
static inline void tile_multiply_bf16(int sums, int x, int w)
{
    float a[TILE_MOST_ROWS][TILE_MOST_BYTES / 2], b[TILE_MOST_ROWS][TILE_MOST_BYTES / 2];
    tile_check_shapes(sums, x, w);
    tile_read_bf16(x, a);
    tile_read_bf16(w, b);
    const bool finite = tile_all(b[0], sizeof b / sizeof b[0][0], true);
    for (unsigned m = 0; m < tile_rows(sums); m++) {
        float parts[TILE_MOST_BYTES / 2] = {0}; /* even and odd sums of each column */
        const bool zero = finite && tile_all(a[m], TILE_MOST_BYTES / 2, false);
        for (unsigned k = 0; k < tile_bytes(x) / 4 && !zero; k++) /* zeros would take long */
            for (unsigned n = 0; n < tile_bytes(sums) / 2; n++)
                parts[n] = tile_add_product(a[m][2 * k + n % 2], b[k][n], parts[n]);
        for (unsigned n = 0; n < tile_bytes(sums) / 4; n++) {
            float sum;
            memcpy(&sum, tile_unit.tiles[sums][m] + n * 4, sizeof sum);
            sum = tile_flush(tile_flush(sum) + tile_flush(parts[2 * n] + parts[2 * n + 1]));
            memcpy(tile_unit.tiles[sums][m] + n * 4, &sum, sizeof sum);
        }
    }
}

#endif
