/*
 * kernels.h - the kernels of S4 layers that a model file keeps on request (--keep-kernels), so that
 * a session need not make them.
 */
#ifndef MEGA_CONVERT_KERNELS_H
#define MEGA_CONVERT_KERNELS_H

#include "tools/convert/items.h"

/* Sets how many lags a file keeps, for inputs of up to `length` positions; 0 keeps no kernels. The
 * items are those of the model without kernels. Fails if it has no layers of S4. */
int kernels_choose(MegaConfig *config, const Items *items, long length, MegaError *err);
/* Computes the kernels that an item stands for, values [elements]. */
int kernels_make(const Items *items, const Item *item, float *values, MegaError *err);
/* Returns the bytes that kernels_make takes besides the values. */
uint64_t kernels_memory(const Items *items, const Item *item);

#endif
