/*
 * feed_forward.h - the feed-forward block after the attention of a layer (MODEL.md, "Feed-forward
 * block").
 *
 *   pre-norm    x += fc2(act(fc1(norm(x))))
 *   post-norm   x = norm(x + fc2(act(fc1(x))))
 */
#ifndef MEGA_FEED_FORWARD_H
#define MEGA_FEED_FORWARD_H

#include "src/layers/rows.h"

typedef struct MegaFeedForward {
    MegaNorm norm;
    bool folded;                     /* the norm has become part of fc1 */
    MegaLinearWeights fc1;           /* d -> ffn */
    const MegaLinearWeights *fc2;    /* ffn -> d */
} MegaFeedForward;

/* The rows of its tensors in the table of a kind of layer (MegaLayerKind.tensors). `at` makes the
 * offset of a member of the kind's weights, which have MegaLinearWeights fc1 and fc2. */
#define MEGA_FEED_FORWARD_ROWS(at)                                                                 \
    {"ffn.fc1.weight", at(fc1.weight), {MEGA_DIM_FFN, MEGA_DIM_WIDTH},                             \
     MEGA_IF_FFN | MEGA_TENSOR_MATRIX},                                                            \
        {"ffn.fc1.bias", at(fc1.bias), {MEGA_DIM_FFN}, MEGA_IF_FFN},                               \
        {"ffn.fc2.weight", at(fc2.weight), {MEGA_DIM_WIDTH, MEGA_DIM_FFN},                         \
         MEGA_IF_FFN | MEGA_TENSOR_MATRIX},                                                        \
        {"ffn.fc2.bias", at(fc2.bias), {MEGA_DIM_WIDTH}, MEGA_IF_FFN}

/* Derives a block from its weights, once per model. A folded norm takes its memory from the arena
 * (fold.h). */
void mega_feed_forward_derive(MegaFeedForward *out, const MegaStackConfig *config,
                              const MegaNormWeights *norm, const MegaLinearWeights *fc1,
                              const MegaLinearWeights *fc2, MegaArena *arena);
/* Runs the block on layer->x. normed [rows][d] and inner [rows][ffn] are scratch. */
void mega_feed_forward_run(const MegaFeedForward *block, const MegaRows *layer, float *normed,
                           float *inner);
/* These run the block in two halves, so that a tap can see what lies between. The first half stores
 * the block's input and its output, [rows][d] each, and leaves layer->x as it is; inner [rows][ffn]
 * is scratch. The second half adds the output to layer->x. */
void mega_feed_forward_show(const MegaFeedForward *block, const MegaRows *layer, float *input,
                            float *inner, float *output);
void mega_feed_forward_add(const MegaFeedForward *block, const MegaRows *layer,
                           const float *output);

#endif
