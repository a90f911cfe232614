/*
 * matmul.h - matrix products over weights that are packed once per model: panels of MEGA_PANEL
 * columns, row by row, the last one filled up with zeros. Weights of 16 bits stay such in memory
 * and become floats in registers.
 *
 * Of 8 bits, a panel is blocks of MEGA_INT8_BLOCK rows:
 *
 *     scales of the 16 columns, bf16 | rows 0 - 3 of column 0, of column 1 ... | rows 4 - 7 ...
 *     32 bytes                       | 64 bytes                              | 64 bytes, 8 in all
 *
 * The rows of x are quantized on the way, each block with a scale of its own, and multiplied in
 * integers. The result differs from the product of the floats by 0.8 % of its norm, for numbers of
 * normal distribution and any size.
 */
#ifndef MEGA_MATMUL_H
#define MEGA_MATMUL_H

#include "arena.h"
#include "kernels.h"

typedef struct MegaPacked {
    const void *panels; /* [ceil(out / MEGA_PANEL)][in][MEGA_PANEL], or as above */
    MegaWeightKind kind;
    size_t in, out;
} MegaPacked;

/* Bytes of a packed matrix. */
uint64_t mega_packed_bytes(MegaWeightKind kind, uint64_t rows, uint64_t columns);
/* weight [rows][columns], ld elements from row to row, into memory of mega_packed_bytes. Elements
 * are of the kind; of 8 bits, they are floats, which are quantized. */
void mega_pack_into(MegaWeightKind kind, void *panels, const void *weight, size_t ld, size_t rows,
                    size_t columns);
/* Rows of blocks, quantize.h, to panels of 8 bits. */
void mega_pack_q8_into(void *panels, const unsigned char *blocks, size_t rows, size_t columns);
/* mega_pack_into into memory of the arena; only counts it in a dry run. */
void mega_pack(MegaPacked *out, MegaWeightKind kind, const void *weight, size_t ld, size_t rows,
               size_t columns, MegaArena *arena);

/* Columns first ... first + count - 1 of the output; first is a multiple of MEGA_PANEL. */
MegaPacked mega_packed_columns(const MegaPacked *packed, size_t first, size_t count);

/* y [rows][out] = x [rows][in] weight^T, or +=. */
void mega_matmul(const MegaKernels *kernels, const MegaPacked *weight, const float *x, size_t ldx,
                 size_t rows, float *y, size_t ldy, bool add);

#endif
