/*
 * embed.h - from an input to the first states of the stack (MODEL.md, "Embeddings").
 *
 *   tokens    x_t = weight[token_t]
 *   one_hot   x_t is 1 at token_t, and else 0
 *   real      x_t = value_t * weight + bias
 *   frames    x_t = weight . frame_t + bias
 *             Frame t covers the frame_length samples from t hop - (frame_length - hop) / 2 on,
 *             zero outside of the input; T = ceil(samples / hop).
 *   patches   x_t = weight . patch_t + bias + positions[t]
 *             Patches row by row, the inside of a patch in the order channel, row, column.
 *
 * Where the configuration says so, x is multiplied by sqrt(d), then positions are added
 * (positions.h), then x is normed.
 */
#ifndef MEGA_EMBED_H
#define MEGA_EMBED_H

#include "src/layers/layer.h"
#include "src/model/tensors.h"

/* Checks an input against the model and stores in *length its positions in the stack. Drops padding
 * ids at both ends of a token sequence, which does not change any result
 * (MODEL.md, "Moving average"). */
int mega_embed_check(const MegaConfig *config, MegaInput *input, size_t *length, MegaError *err);
/* Returns the floats of scratch memory that each worker needs. */
uint64_t mega_embed_scratch(const MegaConfig *config);
/* x *= sqrt(width), as many models scale their embeddings. */
void mega_embed_scale(float *x, size_t rows, size_t width);
/* Adds the row of a token type to x [width]. */
void mega_embed_add_type(const float *types, int32_t type, size_t width, float *x);
/* A checked input on its way into the workspace. */
typedef struct MegaEmbed {
    const MegaEmbedConfig *config;
    const MegaWeights *weights;
    const MegaInput *input;
    size_t begin, length; /* its positions in the workspace */
    size_t first;         /* the first of its positions that is wanted; 0 for the whole input */
} MegaEmbed;

/* Embeds the input into workspace->x, and applies the embedding's norm where the stack has one. */
void mega_embed_run(const MegaPass *pass, const MegaEmbed *embed);

#endif
