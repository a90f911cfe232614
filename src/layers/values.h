/*
 * values.h - the values of whole sequences as attention reads them: cut into panels of MEGA_PANEL
 * columns, head by head, so that the values that a product needs at a time lie in one piece. In
 * rows of 256 floats, the parts that belong to one panel would compete for a few sets of the
 * first-level cache.
 */
#ifndef MEGA_VALUES_H
#define MEGA_VALUES_H

#include "src/kernels/kernels.h"
#include "src/layers/tap.h"

typedef struct MegaValues {
    /* [heads][panels of a head][positions][MEGA_PANEL]; columns that do not exist are 0 */
    float *panels;
    size_t positions, heads, columns; /* columns of one head */
} MegaValues;

/* Returns the number of floats of all panels. */
uint64_t mega_values_floats(const MegaValues *values);

/* Returns the floats from panel to panel. */
static inline size_t mega_values_stride(const MegaValues *values)
{
    return values->positions * MEGA_PANEL;
}

/* Returns the first panel of a head at a position. */
const float *mega_values_at(const MegaValues *values, size_t head, size_t position);
/* Stores v [rows][heads * columns], with ld floats from row to row, as the values of positions
 * first ... first + rows - 1. */
void mega_values_store(const MegaValues *values, size_t first, size_t rows, const float *v,
                       size_t ld);
/* Shows a tap the values [positions][heads * columns] of layer number `index`. It does not see them
 * if there is no memory for them. */
void mega_values_tap(const MegaValues *values, const MegaTapping *tapping, int index);

#endif
