/*
 * multi_head.h - attention of several heads (MODEL.md, "Attention of several heads"). Head h owns
 * columns h e ... (h + 1) e - 1 of queries, keys, values and output, with e = d / heads.
 *
 *   s = q_i . k_j / sqrt(e),  A = softmax over j,  out = A v, head by head
 *
 * Whole sequences attend block by block (attention.h). This file is for decoded rows, which attend
 * to the keys before them, kept in pages, and to those of a source.
 */
#ifndef MEGA_MULTI_HEAD_H
#define MEGA_MULTI_HEAD_H

#include "src/layers/layer.h"
#include "src/layers/values.h"

#define MEGA_PAGE 64 /* positions in a page of keys or values */

typedef struct MegaHeads {
    size_t heads, width; /* d, over all heads */
} MegaHeads;

static inline size_t mega_head_width(const MegaHeads *heads)
{
    return heads->width / heads->heads;
}

/* The keys and values of a decoder's sequences. A page is [MEGA_PAGE][heads][sequences][e] keys,
 * then as many values. Pages are added and never moved. */
typedef struct MegaPages {
    float **pages;
    size_t sequences;
} MegaPages;

/* Places pages for `reserved` positions of so many sequences; a dry run returns NULL. */
MegaPages *mega_pages_layout(const MegaHeads *heads, size_t sequences, size_t reserved,
                             MegaGrowing *memory);

/* Memory of the attention of a step, which all layers share. */
typedef struct MegaHeadScratch {
    float *zeros;      /* [stride]: a bias of 0, since this attention has none */
    float *weights;    /* [threads][stride]: the weights of a row, or of a block of keys */
    float *key_panels; /* [heads][keys]: the keys that consecutive rows see, in panels */
    MegaValues values; /* values of the first head, in panels; those of the other heads follow */
    size_t stride, keys; /* floats of a thread's weights, and of a head's key_panels */
} MegaHeadScratch;

/* Places the memory; an arena without memory only counts it. */
void mega_head_scratch_layout(MegaHeadScratch *scratch, const MegaHeads *heads,
                              const MegaDecoderSizes *sizes, MegaArena *arena);

/* Asks for the attention of the rows of a step. */
typedef struct MegaHeadRequest {
    MegaHeads heads;
    const MegaPages *pages;
    const float *q, *k, *v; /* [rows][d]; k and v only of attention to the rows' own sequences */
    float *out;             /* [rows][d] */
    const MegaHeadScratch *scratch;
} MegaHeadRequest;

/* Returns how many keys a row of a step sees: its own and those before it. */
static inline size_t mega_heads_seen(const MegaStep *step, size_t row)
{
    return step->in_chunk + 1 + (step->rows_are == MEGA_ROWS_ARE_SEQUENCES ? 0 : row);
}

/* out [mega_heads_seen] = the products of a row's query with the keys that it sees, in one head.
 * The keys must be stored already: mega_heads_attend does so. */
void mega_heads_multiply(const MegaPass *pass, const MegaStep *step,
                         const MegaHeadRequest *request, size_t head, size_t row, float *out);
/* Stores the keys and values of all rows, then attends with each row to its own position and those
 * before it. Many consecutive rows are taken like those of a chunk (attention.h). */
void mega_heads_attend(const MegaPass *pass, const MegaStep *step, const MegaHeadRequest *request);
/* Attends with each row to the keys and values that layer number `index` has of the row's source.
 * The last layer stores the mean of its heads' weights in step->cross_weights. */
void mega_heads_attend_source(const MegaPass *pass, const MegaStep *step, int index,
                              const MegaHeadRequest *request);

#endif
