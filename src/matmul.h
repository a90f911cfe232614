/*
 * matmul.h - matrix products over weights that are packed once per model: panels of MEGA_PANEL
 * columns, row by row, the last one filled up with zeros.
 */
#ifndef MEGA_MATMUL_H
#define MEGA_MATMUL_H

#include "arena.h"
#include "kernels.h"

typedef struct MegaPacked {
    const float *panels; /* [ceil(out / MEGA_PANEL)][in][MEGA_PANEL] */
    size_t in, out;
} MegaPacked;

/* weight [out][in], ld floats from row to row. Takes memory; only counts it in a dry run. */
void mega_pack(MegaPacked *out, const float *weight, size_t ld, size_t rows, size_t columns,
               MegaArena *arena);
/* The same into given memory of mega_packed_floats. */
void mega_pack_into(float *panels, const float *weight, size_t ld, size_t rows, size_t columns);
uint64_t mega_packed_floats(uint64_t rows, uint64_t columns);

/* y [rows][out] = x [rows][in] weight^T, or +=. */
void mega_matmul(const MegaKernels *kernels, const MegaPacked *weight, const float *x, size_t ldx,
                 size_t rows, float *y, size_t ldy, bool add);

#endif
