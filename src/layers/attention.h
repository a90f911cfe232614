/*
 * attention.h - attention weights and their product with the values (spec section 3).
 *
 * The relative bias of both kinds depends on j - i alone: for the rotary one,
 *   (R_i alpha) . (R_j beta) = sum_m (a1 b1 + a2 b2) cos((j-i) f_m) + (a2 b1 - a1 b2) sin((j-i)
 * f_m) with f_m = 10000^(-m / (z/2)). So both are one table, and the bias of row i is a slice of
 * it.
 */
#ifndef MEGA_ATTENTION_H
#define MEGA_ATTENTION_H

#include "src/kernels/kernels.h"

/* table [2 positions - 1]: entry positions - 1 + delta is the bias of delta = j - i. */
void mega_rotary_table(const float *alpha, const float *beta, size_t zdim, size_t positions,
                       float *table);

#define MEGA_ATTENTION_ROWS 120 /* at once, at most */
/* Keys whose values and weights stay in the caches while all rows pass over them. */
#define MEGA_KEY_BLOCK 128

/*
 * Rows first ... first + rows - 1 of one chunk of `keys` positions. q [rows][z] starts at row
 * `first`; key_panels holds k [keys][z] in panels (panels.h); v [keys][h], behind which
 * MEGA_PANEL more floats can be read; bias points at the entry of j = i. weights is scratch
 * of mega_attention_scratch. rows <= MEGA_ATTENTION_ROWS. No more weights exist at a time than of
 * one block of keys. out [rows][h] is what the weights make of the values, times factor [rows][h],
 * whose rows are ld_factor floats apart.
 */
void mega_attention(const MegaKernels *kernels, MegaAttentionKind kind, const float *q,
                    const float *key_panels, const float *v, size_t first, size_t rows, size_t keys,
                    size_t zdim, size_t hidden, const float *bias, const float *factor,
                    size_t ld_factor, float *weights, float *out);
/* Floats. */
size_t mega_attention_scratch(size_t rows, size_t keys);

#endif
