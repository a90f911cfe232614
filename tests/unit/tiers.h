/*
 * tiers.h - the tiers of kernels that tests run: those of this machine, and one with the tile unit
 * in C (tile_unit.h).
 */
#ifndef MEGA_TEST_TIERS_H
#define MEGA_TEST_TIERS_H

#include "src/kernels/kernels.h"

#define MOST_TEST_TIERS (MEGA_MOST_TIERS + 1)

/* The products in emulated tiles, which extend the generic tier. */
extern const MegaTileKernels emulated_tiles;
/* Returns the generic tier with these products, and the same with floats rounded to bf16. */
const MegaKernels *emulated_amx(void);
const MegaKernels *emulated_amx_bf16(void);
/* Fills `out` with this machine's tiers, and emulated_amx after them; returns their number. */
size_t test_tiers(const MegaKernels *out[MOST_TEST_TIERS]);

#endif
