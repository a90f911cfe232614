/*
 * embed.h - from an input to the first states of the stack (spec section 7).
 *
 *   tokens    x_t = weight[token_t], in a translator times sqrt(d)
 *   real      x_t = value_t * weight + bias
 *   frames    x_t = weight . frame_t + bias; frame t covers the frame_length samples from
 *             t hop - (frame_length - hop) / 2 on, zero outside of the input; T = ceil(samples /
 * hop) patches   x_t = weight . patch_t + bias + positions[t]; patches row by row, the inside of a
 *             patch in the order channel, row, column
 */
#ifndef MEGA_EMBED_H
#define MEGA_EMBED_H

#include "src/layers/layer.h"

/* What kind of input a model takes. */
MegaInputKind mega_embed_input_kind(const MegaEmbedConfig *embed);
/* Checks an input against the model and drops padding ids at both ends of a token sequence, which
 * does not change any result (spec section 1, last point). *length: positions in the stack. */
int mega_embed_check(const MegaConfig *config, MegaInput *input, size_t *length, MegaError *err);
/* Floats of scratch memory per worker. */
uint64_t mega_embed_scratch(const MegaConfig *config);
/* x *= sqrt(width): the scale of embeddings in translators and language models. */
void mega_embed_scale(float *x, size_t rows, size_t width);
/* A checked input -> positions begin ... begin + length - 1 of workspace->x; norm is the
 * embedding's or NULL. */
void mega_embed_run(const MegaLayerRun *run, const MegaConfig *config, const MegaWeights *weights,
                    const MegaNorm *norm, const MegaInput *input, size_t begin, size_t length);

#endif
