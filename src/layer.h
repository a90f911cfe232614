/*
 * layer.h - one MEGA layer: gated attention (spec section 2), then the feed-forward block (section
 * 5).
 */
#ifndef MEGA_LAYER_H
#define MEGA_LAYER_H

#include "ema.h"
#include "norm.h"

/* A layer ready to run: the weights as bound, and what is derived from them once per model. */
typedef struct MegaLayer {
    const MegaLayerWeights *weights;
    MegaNorm norm, ffn_norm, cross_norm;
    MegaLinearWeights v, fc1; /* as bound, or with norm and ffn_norm folded in */
    bool folded, ffn_folded;  /* folded: into ema as well */
    MegaEma ema;
} MegaLayer;

/* Rows that are worked on at once, everywhere outside of attention. Part of the numbers'
 * definition: results do not depend on threads because the cut depends on this alone. */
#define MEGA_ROW_BLOCK 120

/* How many blocks `length` rows make, and how many rows block number `block` has. */
static inline size_t mega_row_blocks(size_t length)
{
    return (length + MEGA_ROW_BLOCK - 1) / MEGA_ROW_BLOCK;
}

static inline size_t mega_block_rows(size_t length, size_t block)
{
    size_t rest = length - block * MEGA_ROW_BLOCK;
    return rest < MEGA_ROW_BLOCK ? rest : MEGA_ROW_BLOCK;
}

/* The states of one input on their way through the stack, in the session's arena; L positions. */
typedef struct MegaWorkspace {
    size_t length;       /* L */
    size_t chunk;        /* positions that attend to each other: C, or L without chunks */
    size_t query_block;  /* rows of the queries step */
    float *x;            /* [L][d] residual stream, in and out */
    float *normed;       /* [L][d] norm(x); NULL where no layer needs it */
    float *moved;        /* [L][d] silu(EMA(.) + omega .) */
    float *v;            /* [L][h], and MEGA_PANEL floats more that are read but do not count */
    float *q, *k;        /* [L][z] */
    float *key_panels;   /* [chunks][panels of C][z][MEGA_PANEL]: k, packed chunk by chunk */
    float *scratch;      /* [threads][scratch_stride] */
    size_t scratch_stride;
} MegaWorkspace;

/* Length and cut into chunks and blocks. Needs nothing but the configuration. */
void mega_workspace_shape(MegaWorkspace *out, const MegaStackConfig *config, size_t length);
/* Takes memory. normed: some layer's norm is a step of its own. least_scratch: floats per worker
 * that others (EMA, embedding) need. */
void mega_workspace_take(MegaWorkspace *workspace, const MegaStackConfig *config, bool normed,
                         int threads, uint64_t least_scratch, MegaArena *arena);

/* What stays the same from layer to layer. */
typedef struct MegaLayerRun {
    const MegaStackConfig *config;
    const MegaKernels *kernels;
    MegaPool *pool;
    const MegaEmaPlan *ema_plan;
    const MegaWorkspace *workspace;
    MegaTap tap; /* may be NULL */
    void *tap_context;
    int tap_input;
} MegaLayerRun;

/* Runs layer number `index`, workspace->x -> workspace->x. bias points at the entry of j = i of the
 * layer's relative bias table (attention.h). */
void mega_layer_run(const MegaLayerRun *run, const MegaLayer *layer, int index, const float *bias);

/* Norms all rows of the workspace in parallel, x -> out (which may be x). */
void mega_workspace_norm(const MegaLayerRun *run, const MegaNorm *norm, float *out);

#endif
