/*
 * attention.h - attention weights and their product with the values (MODEL.md, "Attention"), for
 * whole chunks and for decoded rows, which attend to the positions before them.
 *
 * The relative bias of both kinds depends on j - i alone: for the rotary one,
 *   (R_i alpha) . (R_j beta)
 *     = sum_m (a1 b1 + a2 b2) cos((j - i) f_m) + (a2 b1 - a1 b2) sin((j - i) f_m)
 * with f_m = 10000^(-m / (z/2)). So either bias is one table, and the bias of row i is a slice of
 * it. Callers pass the address of the entry for j = i, the center of the table.
 */
#ifndef MEGA_ATTENTION_H
#define MEGA_ATTENTION_H

#include "src/base/threads.h"
#include "src/kernels/kernels.h"
#include "src/layers/values.h"

/* Fills table [2 positions - 1]; entry positions - 1 + delta is the bias of delta = j - i. */
void mega_rotary_table(const float *alpha, const float *beta, size_t zdim, size_t positions,
                       float *table);

/* Returns the factor by which the products of a query with `keys` keys are scaled before the bias
 * is added. */
float mega_attention_scale(MegaAttentionKind kind, size_t zdim, size_t keys);

/* ---- A whole chunk -------------------------------------------------------------------------- */

#define MEGA_ATTENTION_ROWS 120 /* most rows at a time */
/* The values and weights of this many keys stay in the cache while all rows pass over them. */
#define MEGA_KEY_BLOCK 128

/* Asks for the attention of rows first ... first + rows - 1 of one chunk of `keys` positions, where
 * each row sees all keys, or if causal those up to its own. */
typedef struct MegaAttention {
    MegaAttentionKind kind;
    bool causal;
    size_t first, rows, keys; /* rows is at most MEGA_ATTENTION_ROWS */
    size_t zdim, hidden;
    /* columns of queries and keys: z, or more if they have a part that adds a bias (rotation.h) */
    size_t columns;
    const float *q;          /* [rows][columns], starting with row `first`; ldq from row to row */
    const float *key_panels; /* [keys][columns] in panels (panels.h) */
    const float *longest;    /* longest_key of each panel, for softmax; NULL: not known */
    const float *values;     /* [keys][hidden] in panels of columns (values.h) */
    size_t value_stride;     /* floats from panel to panel */
    const float *bias;       /* entry of the bias table for j = i; NULL: there is no bias */
    const float *factor;     /* [rows][hidden], ld_factor floats from row to row; NULL: 1 */
    size_t ldq, ld_factor, ldo; /* ldo: floats from row to row of out */
} MegaAttention;

/* out [rows][hidden] = (weights . values) * factor. scratch has mega_attention_scratch floats: only
 * the weights of one block of keys exist at a time. Only softmax can do without a bias. */
void mega_attention(const MegaKernels *kernels, const MegaAttention *attention, float *scratch,
                    float *out);
/* Returns the scratch floats that mega_attention needs for that many rows and keys. */
size_t mega_attention_scratch(size_t rows, size_t keys);

/* ---- Decoded rows --------------------------------------------------------------------------- */

/* Asks for the attention of rows to `past` positions before them and to their own. Keys and values
 * lie as [position][sequence], those of the rows included. */
typedef struct MegaDecodedAttention {
    MegaAttentionKind kind;
    size_t rows, past;
    size_t sequences; /* distance from one position's keys to the next one's, in keys */
    size_t zdim, hidden;
    size_t columns; /* of queries and keys, as in MegaAttention */
    const float *q; /* [rows][columns] */
    const float *k; /* [past + ...][sequences][columns] */
    const float *v; /* [past + ...][sequences][hidden] */
    const float *bias; /* entry of the bias table for j = i */
    const float *factor; /* [rows][hidden], ld_factor floats from row to row */
    size_t ld_factor;
    float *out; /* [rows][hidden] = (weights . values) * factor */

    /* Only mega_attend_sequences uses these. */
    const int32_t *ancestors; /* [rows][reserved]: the sequence whose key counts at each position */
    size_t reserved;
    float *weights; /* [rows][reserved] scratch */

    /* Only mega_attend_positions uses these, as scratch. */
    float *key_panels; /* [past + rows, in whole panels][columns] */
    MegaValues values; /* of at least past + rows positions and one head */
    float *scratch;    /* [threads][scratch_stride]: mega_attention_scratch for each of them */
    size_t scratch_stride;
} MegaDecodedAttention;

/* Computes the attention of rows that are each the next position of a sequence of its own, and see
 * the keys of its ancestors. */
void mega_attend_sequences(MegaPool *pool, const MegaKernels *kernels,
                           const MegaDecodedAttention *attention);
/* Computes the attention of rows that are consecutive positions of sequence 0, and each see the
 * keys up to their own. */
void mega_attend_positions(MegaPool *pool, const MegaKernels *kernels,
                           const MegaDecodedAttention *attention);

#endif
