/*
 * attention.h - attention weights and their product with the values (MODEL.md, "Attention"): of
 * whole chunks, and of decoded rows against what came before them.
 *
 * The relative bias of both kinds depends on j - i alone: for the rotary one,
 *   (R_i alpha) . (R_j beta)
 *     = sum_m (a1 b1 + a2 b2) cos((j - i) f_m) + (a2 b1 - a1 b2) sin((j - i) f_m)
 * with f_m = 10000^(-m / (z/2)). So both are one table, and the bias of row i is a slice of it.
 * Callers pass the address of the entry of j = i, the center of the table.
 */
#ifndef MEGA_ATTENTION_H
#define MEGA_ATTENTION_H

#include "src/base/threads.h"
#include "src/kernels/kernels.h"

/* table [2 positions - 1]: entry positions - 1 + delta is the bias of delta = j - i. */
void mega_rotary_table(const float *alpha, const float *beta, size_t zdim, size_t positions,
                       float *table);

/* What the products of queries and `keys` keys are multiplied with before the bias is added. */
float mega_attention_scale(MegaAttentionKind kind, size_t zdim, size_t keys);

/* ---- A whole chunk -------------------------------------------------------------------------- */

#define MEGA_ATTENTION_ROWS 120 /* at once, at most */
/* Keys whose values and weights stay in the caches while all rows pass over them. */
#define MEGA_KEY_BLOCK 128

/* Rows first ... first + rows - 1 of one chunk of `keys` positions, each of which sees all keys. */
typedef struct MegaAttention {
    MegaAttentionKind kind;
    size_t first, rows, keys; /* rows <= MEGA_ATTENTION_ROWS */
    size_t zdim, hidden;
    const float *q;          /* [rows][zdim], of row `first` on */
    const float *key_panels; /* [keys][zdim] in panels (panels.h) */
    const float *v;          /* [keys][hidden], and MEGA_PANEL floats behind that can be read */
    const float *bias;       /* the entry of j = i */
    const float *factor;     /* [rows][hidden], ld_factor floats from row to row */
    size_t ld_factor;
} MegaAttention;

/* out [rows][hidden] = (weights . values) * factor. scratch is mega_attention_scratch floats: no
 * more weights exist at a time than of one block of keys. */
void mega_attention(const MegaKernels *kernels, const MegaAttention *attention, float *scratch,
                    float *out);
/* Scratch floats that mega_attention needs for that many rows and keys. */
size_t mega_attention_scratch(size_t rows, size_t keys);

/* ---- Decoded rows --------------------------------------------------------------------------- */

#define MEGA_QUERY_ROWS 32 /* of a task */

/* Rows that attend to `past` positions before them and to their own. Keys and values lie
 * [position][sequence], those of the rows included. */
typedef struct MegaDecodedAttention {
    MegaAttentionKind kind;
    size_t rows, past;
    size_t sequences; /* between one position's keys and the next one's */
    size_t zdim, hidden;
    const float *q;    /* [rows][zdim] */
    const float *k;    /* [past + ...][sequences][zdim] */
    const float *v;    /* [past + ...][sequences][hidden], and MEGA_PANEL floats behind */
    const float *bias; /* the entry of j = i */
    const float *factor; /* [rows][hidden], ld_factor floats from row to row */
    size_t ld_factor;
    float *out; /* [rows][hidden] = (weights . values) * factor */

    /* rows are sequences: */
    const int32_t *ancestors; /* [rows][reserved]: whose key counts at each position */
    size_t reserved;
    float *weights; /* [rows][reserved] scratch */

    /* rows are positions: */
    float *key_panels; /* [past + rows, in whole panels][zdim] scratch */
    float *scratch;    /* [threads][scratch_stride], MEGA_QUERY_ROWS * (past + rows) used of each */
    size_t scratch_stride;
} MegaDecodedAttention;

/* One position of many sequences: a sequence's keys are its ancestors'. */
void mega_attend_sequences(MegaPool *pool, const MegaKernels *kernels,
                           const MegaDecodedAttention *attention);
/* Consecutive positions of sequence 0, each seeing the keys up to its own. */
void mega_attend_positions(MegaPool *pool, const MegaKernels *kernels,
                           const MegaDecodedAttention *attention);

#endif
