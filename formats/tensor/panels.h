/*
 * panels.h - the layout of weight matrices, in memory and in .mega files: what the matrix kernels
 * read.
 *
 * A matrix [out][in] is cut into panels of MEGA_PANEL rows, which are columns of the product. A
 * panel holds its rows side by side, element by element; the last one is filled up with zeros:
 *
 *     element 0 of rows 0 ... 15 | element 1 of rows 0 ... 15 | ...
 *
 * Weights of 16 bits stay such in memory and become floats in registers. Of 8 and 4 bits, a panel
 * is a row of blocks of MEGA_SCALE_BLOCK elements (quantize.h):
 *
 *     scales of the 16 rows, bf16 | bytes 0 - 3 of row 0, of row 1 ... | bytes 4 - 7 ...
 *     32 bytes                    | 64 bytes                           | 64 bytes, 8 or 4 in all
 */
#ifndef MEGA_PANELS_H
#define MEGA_PANELS_H

#include <stddef.h>
#include <stdint.h>

#include "formats/tensor/dtype.h"

/* Columns of a matrix product that are computed at once, in every tier of the kernels. */
#define MEGA_PANEL 16

typedef struct MegaPacked {
    const void *panels; /* NULL: there is no such matrix */
    MegaDtype kind;     /* a storable one */
    size_t in, out;
} MegaPacked;

/* Bytes of a matrix in panels. */
uint64_t mega_packed_bytes(MegaDtype kind, uint64_t rows, uint64_t columns);

/* Items `first` ... `first + count - 1` of a row into its panel. */
void mega_panels_store(MegaDtype kind, void *panels, size_t columns, size_t row, size_t first,
                       size_t count, const void *items);
/* Zeros in the place of rows that the last panel lacks. */
void mega_panels_fill(MegaDtype kind, void *panels, size_t rows, size_t columns);
/* Puts rows of items, which lie `stride` bytes apart, into panels, and fills up the last one with
 * mega_panels_fill. */
void mega_panels_pack(MegaDtype kind, void *panels, const void *items, size_t stride, size_t rows,
                      size_t columns);
/* The items of a row, as in a row-major matrix. */
void mega_panels_load(MegaDtype kind, const void *panels, size_t columns, size_t row, void *items);

/* Whether what is not an element is in order: scales are numbers. */
bool mega_panels_valid(MegaDtype kind, const void *panels, size_t rows, size_t columns);

/* Converts one row to floats, as a lookup in an embedding needs it. */
void mega_packed_row(const MegaPacked *packed, size_t row, float *out);
/* Columns first ... first + count - 1 of the output; first is a multiple of MEGA_PANEL. */
MegaPacked mega_packed_columns(const MegaPacked *packed, size_t first, size_t count);

#endif
