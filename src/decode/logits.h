/*
 * logits.h - from a decoder's states to the vocabulary (MODEL.md, "Heads"): a matrix, or an
 * adaptive softmax. The head of that covers the words of the first cluster, and one logit for every
 * other cluster i:
 *
 *   log p(word of cluster i) = log p(cluster i) + log-softmax inside the cluster
 */
#ifndef MEGA_LOGITS_H
#define MEGA_LOGITS_H

#include "src/base/threads.h"
#include "src/model/model.h"

/* Rows whose whole vocabulary is held at once when only some log-probabilities are wanted. */
#define MEGA_SCORE_ROWS 16

typedef struct MegaLogits {
    const MegaTargetConfig *config;
    const MegaOutputWeights *weights;
    size_t width; /* d */
    const MegaKernels *kernels;
    MegaPool *pool;
    size_t exact_top; /* how many of the largest of a row must be right; 0: all */
    /* scratch, from mega_logits_layout */
    float *gathered;   /* [rows][d] */
    float *projected;  /* [rows][widest cluster] */
    float *head;       /* [rows][words of the first cluster, and other clusters] */
    float *top_known;  /* [rows][exact_top] */
    int32_t *chosen;   /* [rows] */
    float *words;      /* [MEGA_SCORE_ROWS][largest cluster] */
    /* of the last mega_logits_run: as in MegaLinear; NULL with adaptive softmax */
    float *block_top, *block_sum; /* [rows][blocks] */
    size_t blocks;
} MegaLogits;

/* Takes the scratch memory for at most `rows` rows; only counts it in a dry run. */
void mega_logits_layout(MegaLogits *logits, size_t rows, MegaArena *arena);
/* x [rows][d] -> out [rows][vocab]: logits, or log-probabilities of an adaptive softmax. No word is
 * more probable than its cluster; so where a cluster is below the `exact_top` largest known, it is
 * left out for that row, and -INFINITY stands for its words. */
void mega_logits_run(const MegaLogits *logits, const float *x, size_t rows, float *out);
/* log-probabilities [rows] of one target each */
void mega_logits_score(const MegaLogits *logits, const float *x, size_t rows,
                       const int32_t *targets, float *logprobs);

#endif
