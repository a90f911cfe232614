/*
 * panels.h - the layout of weight matrices that the matrix kernels read, in memory and in .mega
 * files.
 *
 * A matrix [out][in] is cut into panels of MEGA_PANEL rows, which are columns of the product. A
 * panel interleaves its rows element by element; the last panel is padded with rows of zeros:
 *
 *     element 0 of rows 0 ... 15 | element 1 of rows 0 ... 15 | ...
 *
 * Weights of 16 bits stay so in memory and become floats in registers. With 8 or 4 bits, a panel is
 * a sequence of blocks of MEGA_SCALE_BLOCK elements (quantize.h):
 *
 *     scales of the 16 rows, bf16 | bytes 0 - 3 of row 0, of row 1 ... | bytes 4 - 7 ...
 *     32 bytes                    | 64 bytes                           | 64 bytes, 8 or 4 in all
 */
#ifndef MEGA_PANELS_H
#define MEGA_PANELS_H

#include <stddef.h>
#include <stdint.h>

#include "formats/tensor/dtype.h"

/* The number of columns of a matrix product that every tier of the kernels computes at once. */
#define MEGA_PANEL 16

typedef struct MegaPacked {
    const void *panels; /* NULL if there is no such matrix */
    MegaDtype dtype;    /* a storable type */
    size_t in, out;
    /* where kernels keep the weights of the model in a form of their own (src/kernels/forms.h),
     * or NULL */
    struct MegaForms *forms;
} MegaPacked;

/* Returns the bytes of a matrix in panels. */
uint64_t mega_packed_bytes(MegaDtype dtype, uint64_t rows, uint64_t columns);

/* Stores items `first` ... `first + count - 1` of a row in its panel. */
void mega_panels_store(MegaDtype dtype, void *panels, size_t columns, size_t row, size_t first,
                       size_t count, const void *items);
/* Writes zeros for the rows that the last panel lacks. */
void mega_panels_fill(MegaDtype dtype, void *panels, size_t rows, size_t columns);
/* Packs rows of items, which lie `stride` bytes apart, into panels, and pads the last one with
 * mega_panels_fill. */
void mega_panels_pack(MegaDtype dtype, void *panels, const void *items, size_t stride, size_t rows,
                      size_t columns);
/* Reads the items of a row in the order of a row-major matrix. */
void mega_panels_load(MegaDtype dtype, const void *panels, size_t columns, size_t row, void *items);

/* Returns whether all scales of quantized panels are finite. Types without scales are always
 * valid. */
bool mega_panels_valid(MegaDtype dtype, const void *panels, size_t rows, size_t columns);

/* Converts one row to floats, out [in], as the lookup of an embedding needs it. */
void mega_packed_row(const MegaPacked *packed, size_t row, float *out);
/* Returns columns first ... first + count - 1 of the output. first must be a multiple of
 * MEGA_PANEL. */
MegaPacked mega_packed_columns(const MegaPacked *packed, size_t first, size_t count);

#endif
