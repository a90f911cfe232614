/*
 * logits.h - maps a decoder's states to the vocabulary (MODEL.md, "Heads"), by one matrix or by an
 * adaptive softmax. The head of an adaptive softmax has the words of the first cluster and one
 * logit for every other cluster i:
 *
 *   log p(word of cluster i) = log p(cluster i) + log-softmax inside the cluster
 */
#ifndef MEGA_LOGITS_H
#define MEGA_LOGITS_H

#include "src/base/threads.h"
#include "src/model/model.h"

/* When only log-probabilities of targets are wanted, logits over the whole vocabulary exist for at
 * most this many rows at a time. */
#define MEGA_SCORE_ROWS 16

typedef struct MegaLogits {
    const MegaTargetConfig *config;
    const MegaOutputWeights *weights;
    size_t width; /* width of the clusters' input: d, or output_width */
    const MegaKernels *kernels;
    MegaPool *pool;
    size_t exact_top; /* how many of the largest values of a row must be exact; 0: all */
    /* Scratch memory, from mega_logits_layout. */
    float *features;   /* [rows][output_width] */
    float *gathered;   /* [rows][width] */
    float *projected;  /* [rows][widest cluster] */
    float *dense;      /* [rows][d] */
    float *head;       /* [rows][words of the first cluster, then one per other cluster] */
    float *top_known;  /* [rows][exact_top] */
    int32_t *chosen;   /* [rows] */
    float *words;      /* [MEGA_SCORE_ROWS][largest cluster] */
    /* Results of the last mega_logits_run, as in MegaLinear; NULL with adaptive softmax. */
    float *block_top, *block_sum; /* [rows][blocks] */
    size_t blocks;
} MegaLogits;

/* Takes scratch memory for at most `rows` rows. In a dry run it only counts the memory. */
void mega_logits_layout(MegaLogits *logits, size_t rows, MegaArena *arena);
/* Maps x [rows][d] to out [rows][vocab], which are logits, or log-probabilities with adaptive
 * softmax; x and out must not overlap. No word is more probable than its cluster, so a cluster that
 * is less probable than the `exact_top` best words known is skipped for that row, and its words get
 * -INFINITY. */
void mega_logits_run(const MegaLogits *logits, const float *x, size_t rows, float *out);
/* Computes the log-probabilities [rows] of one target for each row. */
void mega_logits_score(const MegaLogits *logits, const float *x, size_t rows,
                       const int32_t *targets, float *logprobs);

#endif
