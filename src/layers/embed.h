/*
 * embed.h - checks an input and turns it into the first states of the stack (MODEL.md,
 * "Embeddings").
 *
 *   tokens    x_t = weight[token_t]
 *   one_hot   x_t is 1 at token_t, and else 0
 *   real      x_t = value_t * weight + bias
 *   frames    x_t = weight . frame_t + bias
 *             Frame t covers the frame_length samples from t hop - (frame_length - hop) / 2 on;
 *             samples outside of the input are 0. There are ceil(samples / hop) frames.
 *   patches   x_t = weight . patch_t + bias + positions[t]
 *             Patches go row by row; inside a patch the order is channel, row, column.
 *
 * Where the configuration says so, x is multiplied by sqrt(d), then positions are added
 * (positions.h), then x is normed.
 */
#ifndef MEGA_EMBED_H
#define MEGA_EMBED_H

#include "src/layers/layer.h"
#include "src/model/tensors.h"

/* Checks an input against the model and stores in *length how many positions it has in the stack.
 * Drops padding ids at both ends of a token sequence, which does not change any result (MODEL.md,
 * "Moving average"), and gives an image without a shape that of the model. Returns MEGA_ERR_INPUT
 * or MEGA_ERR_LIMIT. */
int mega_embed_check(const MegaConfig *config, MegaInput *input, size_t *length, MegaError *err);
/* Returns the floats of scratch memory that each worker needs. */
uint64_t mega_embed_scratch(const MegaConfig *config);
/* x *= sqrt(width), as many models scale their embeddings. */
void mega_embed_scale(float *x, size_t rows, size_t width);
/* Adds the row of a token type to x [width]. */
void mega_embed_add_type(const float *types, int32_t type, size_t width, float *x);

/* Asks for some positions of a checked input to be embedded. */
typedef struct MegaEmbed {
    const MegaEmbedConfig *config;
    const MegaWeights *weights;
    const MegaInput *input;
    size_t begin, length; /* the rows of the workspace that they take */
    size_t first;         /* first wanted position of the input; 0 for the whole input */
} MegaEmbed;

/* Embeds them into workspace->x, and applies the embedding's norm where the stack has one. */
void mega_embed_run(const MegaPass *pass, const MegaEmbed *embed);

#endif
