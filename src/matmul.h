/*
 * matmul.h - matrix products over weights that are packed once per model: panels of MEGA_PANEL
 * columns, row by row, the last one filled up with zeros. Weights of 16 bits stay such in memory
 * and become floats in registers.
 */
#ifndef MEGA_MATMUL_H
#define MEGA_MATMUL_H

#include "arena.h"
#include "kernels.h"

typedef struct MegaPacked {
    const void *panels; /* [ceil(out / MEGA_PANEL)][in][MEGA_PANEL] */
    MegaWeightKind kind;
    size_t in, out;
} MegaPacked;

/* Bytes of a packed matrix. */
uint64_t mega_packed_bytes(MegaWeightKind kind, uint64_t rows, uint64_t columns);
/* weight [rows][columns] of floats or, for the kinds of 16 bits, of such numbers, ld elements from
 * row to row, into memory of mega_packed_bytes. */
void mega_pack_into(MegaWeightKind kind, void *panels, const void *weight, size_t ld, size_t rows,
                    size_t columns);
/* The same into memory of the arena; only counts it in a dry run. */
void mega_pack(MegaPacked *out, MegaWeightKind kind, const void *weight, size_t ld, size_t rows,
               size_t columns, MegaArena *arena);

/* Columns first ... first + count - 1 of the output; first is a multiple of MEGA_PANEL. */
MegaPacked mega_packed_columns(const MegaPacked *packed, size_t first, size_t count);

/* y [rows][out] = x [rows][in] weight^T, or +=. */
void mega_matmul(const MegaKernels *kernels, const MegaPacked *weight, const float *x, size_t ldx,
                 size_t rows, float *y, size_t ldy, bool add);

#endif
