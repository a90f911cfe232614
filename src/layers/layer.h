/*
 * layer.h - one MEGA layer: gated attention (spec section 2), then the feed-forward block (section
 * 5).
 */
#ifndef MEGA_LAYER_H
#define MEGA_LAYER_H

#include "src/layers/ema.h"
#include "src/layers/norm.h"

/* A layer ready to run: the weights as bound, and what is derived from them once per model. */
typedef struct MegaLayer {
    const MegaLayerWeights *weights;
    MegaNorm norm, ffn_norm, cross_norm;
    MegaLinearWeights v, fc1; /* as bound, or with norm and ffn_norm folded in */
    bool folded, ffn_folded;  /* folded: into ema as well */
    MegaEma ema;
} MegaLayer;

/* Most rows that are worked on at once. Few rows read weights of the model, keys and values more
 * often. No result depends on the cut. */
#define MEGA_ROW_BLOCK 120

/* Positions that attend to one another: a chunk of a sequence, or a whole one. */
typedef struct MegaSpan {
    size_t first, length;
    size_t panels; /* of the keys of earlier spans */
} MegaSpan;

/* The states of one or several sequences on their way through the stack, one sequence behind the
 * other, in the session's arena; L positions in all. */
typedef struct MegaWorkspace {
    size_t length;    /* L */
    size_t sequences;
    size_t *begin;    /* [sequences + 1]: the first position of each, and L */
    MegaSpan *spans;  /* [span_count], in order */
    size_t span_count, longest_span, panel_count;
    size_t row_block; /* rows of a block, <= MEGA_ROW_BLOCK */
    float *x;         /* [L][d] residual stream, in and out */
    float *normed;    /* [L][d] norm(x); NULL where no layer needs it */
    float *moved;     /* [L][d] silu(EMA(.) + omega .) */
    float *v;         /* [L][h], and MEGA_PANEL floats more that are read but do not count */
    float *q, *k;     /* [L][z] */
    float *key_panels; /* [panel_count][z][MEGA_PANEL]: k, packed span by span */
    float *scratch;   /* [threads][scratch_stride] */
    size_t scratch_stride;
} MegaWorkspace;

/* How many blocks the rows make, and how many rows block number `block` has. */
static inline size_t mega_row_blocks(const MegaWorkspace *workspace)
{
    return (workspace->length + workspace->row_block - 1) / workspace->row_block;
}

static inline size_t mega_block_rows(const MegaWorkspace *workspace, size_t block)
{
    size_t rest = workspace->length - block * workspace->row_block;
    return rest < workspace->row_block ? rest : workspace->row_block;
}

/* How sequences of these lengths are cut. Needs nothing but the configuration. */
void mega_workspace_shape(MegaWorkspace *out, const MegaStackConfig *config, const size_t *lengths,
                          size_t count);
/* Takes memory, and describes the sequences in it. normed: some layer's norm is a step of its own.
 * least_scratch: floats per worker that others (EMA, embedding) need. */
void mega_workspace_take(MegaWorkspace *workspace, const MegaStackConfig *config,
                         const size_t *lengths, bool normed, int threads, uint64_t least_scratch,
                         MegaArena *arena);

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

/* What the first layer needs before it runs: its norm of workspace->x. */
void mega_layer_begin(const MegaLayerRun *run, const MegaLayer *first);
/* Runs layer number `index`, workspace->x -> workspace->x. bias points at the entry of j = i of the
 * layer's relative bias table (attention.h). next, the layer behind or NULL, has its norm made
 * while its input is in the caches. */
void mega_layer_run(const MegaLayerRun *run, const MegaLayer *layer, const MegaLayer *next,
                    int index, const float *bias);

/* Norms all rows of the workspace in parallel, x -> out (which may be x). */
void mega_workspace_norm(const MegaLayerRun *run, const MegaNorm *norm, float *out);

#endif
