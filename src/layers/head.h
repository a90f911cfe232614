/*
 * head.h - from the states of the stack to logits (MODEL.md, "Heads").
 */
#ifndef MEGA_HEAD_H
#define MEGA_HEAD_H

#include "src/layers/layer.h"

/* Memory of a head, which lives as long as the session. */
typedef struct MegaHeadMemory {
    float *pooled;   /* [inputs][d] */
    float *joined;   /* [mega_pooled_width]: what the first linear map sees of a pair */
    float *hidden[2]; /* [head.width] each, used in turn */
    double *sums;    /* [d]: sums over the positions that have been pooled so far */
    float *gathered; /* [MEGA_HEAD_ROWS][d], for a head without pooling */
    float *dense;    /* [MEGA_HEAD_ROWS][head.width] */
} MegaHeadMemory;

#define MEGA_HEAD_ROWS 64 /* positions that go through a head at once */

/* Places the memory; an arena without memory only counts it. */
void mega_head_layout(MegaHeadMemory *out, const MegaConfig *config, MegaArena *arena);

/* Pools a sequence to pooled [d]: its mean, its sum, its first or its last position. The sequence,
 * or one piece of it after the other, is in workspace->x, and `before` positions of it were pooled
 * already. The image model's projection is applied to each position first; its output goes to
 * workspace->spare. mega_head_pool_end finishes the mean or sum over all `length` positions. */
void mega_head_pool_add(const MegaPass *pass, const MegaConfig *config, const MegaWeights *weights,
                        MegaHeadMemory *memory, size_t before, float *pooled);
void mega_head_pool_end(const MegaConfig *config, const MegaHeadMemory *memory, size_t length,
                        float *pooled);
/* Computes logits [classes] of memory->pooled; without classes, the vector [head.width] that would
 * become them. */
void mega_head_classify(const MegaConfig *config, const MegaWeights *weights,
                        const MegaKernels *kernels, MegaHeadMemory *memory, float *logits);

/* Says which positions of workspace->x a head without pooling maps to logits. */
typedef struct MegaHeadRows {
    const size_t *positions; /* [count], or NULL: 0 ... count - 1 */
    size_t count;
    float *logits; /* [count][classes] */
} MegaHeadRows;

/* Computes rows->logits from workspace->x. */
void mega_head_label(const MegaPass *pass, const MegaConfig *config, const MegaWeights *weights,
                     MegaHeadMemory *memory, const MegaHeadRows *rows);

#endif
