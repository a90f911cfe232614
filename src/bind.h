/*
 * bind.h - which tensors a configuration implies: one table drives loading, checking and
 * conversion.
 *
 * mega_bind_each walks all tensors of a MegaConfig in storage order. A spec gives the name in .mega
 * files, the name in checkpoints of the original implementation, and the shape. The engine binds
 * each to its slot of MegaWeights; mega-convert looks each up in a checkpoint and writes it.
 */
#ifndef MEGA_BIND_H
#define MEGA_BIND_H

#include "config.h"

/* A weight matrix or vector as float32, row-major; NULL where the configuration has none. */
typedef struct MegaNormWeights {
    const float *weight; /* [d]; [1] for scalenorm */
    const float *bias;   /* [d], layernorm and batchnorm */
    const float *mean, *variance; /* [d], batchnorm */
} MegaNormWeights;

typedef struct MegaLinearWeights {
    const float *weight; /* [out][in] */
    const float *bias;   /* [out] */
} MegaLinearWeights;

typedef struct MegaEmaWeights {
    const float *delta, *alpha, *beta, *gamma; /* [K][N] */
    const float *omega;                        /* [d] */
} MegaEmaWeights;

/* Gated cross attention, spec section 4. */
typedef struct MegaCrossWeights {
    MegaNormWeights norm;
    MegaLinearWeights q; /* d -> d + d + z: u, r, q */
    MegaLinearWeights k; /* d -> z, of the encoder's states */
    MegaLinearWeights v; /* d -> d, of the encoder's states */
    MegaLinearWeights h; /* d -> d */
    const float *bias;   /* simple: [2 M - 1] */
    const float *rotary_alpha, *rotary_beta; /* rotary: [z] */
} MegaCrossWeights;

typedef struct MegaLayerWeights {
    MegaNormWeights norm;
    MegaEmaWeights ema;
    MegaLinearWeights v;  /* d -> h */
    MegaLinearWeights mx; /* d -> d + z + h + d: u, z, r, hx */
    MegaLinearWeights h;  /* h -> d */
    const float *gamma, *beta; /* [2][z]: row 0 makes q, row 1 makes k */
    const float *bias;         /* simple: [2 M - 1] */
    const float *rotary_alpha, *rotary_beta; /* rotary: [z] */
    MegaCrossWeights cross;    /* decoder of a translator */
    MegaNormWeights ffn_norm;
    MegaLinearWeights fc1, fc2; /* d -> ffn -> d */
} MegaLayerWeights;

/* One band of a vocabulary (config.h, MegaBands): its rows, and the map between them and d. */
typedef struct MegaBandWeights {
    const float *table;      /* [ids of the band][width] */
    const float *projection; /* input: [d][width]; output: [width][d], or [d][width] transposed */
} MegaBandWeights;

typedef struct MegaOutputWeights {
    MegaBandWeights bands[MEGA_MAX_BANDS]; /* of a joint head, bands[0].table holds slots too */
    const float *slots;                    /* split head: [bands - 1][d] */
} MegaOutputWeights;

typedef struct MegaWeights {
    MegaLinearWeights embed; /* tokens: weight [vocab][d]; real: [d], [d]; frames:
                                [d][frame_length]; patches: [d][channels * patch * patch] */
    const float *positions;  /* patches: [patch count][d] */
    MegaNormWeights embed_norm;
    MegaLayerWeights *layers; /* [encoder.layers] */
    MegaNormWeights final_norm;
    MegaLinearWeights head_projection;               /* d -> d */
    MegaLinearWeights head_layers[MEGA_MAX_HEAD_LAYERS]; /* pooled width -> width -> width ... */
    MegaLinearWeights head_output;                   /* -> classes */
    MegaBandWeights target[MEGA_MAX_BANDS];          /* the decoder's embedding */
    MegaNormWeights target_norm;
    MegaLayerWeights *decoder_layers; /* [decoder.layers] */
    MegaNormWeights decoder_final_norm;
    MegaOutputWeights output;
} MegaWeights;

typedef struct MegaTensorSpec {
    char name[96];    /* in .mega files: "encoder.layer.3.ema.delta" */
    char source[128]; /* in the original: "encoder.encoder.layers.3.mega_layer.move.delta" */
    int rank;
    uint64_t shape[4];
    uint64_t elements;
    const float **slot; /* inside the MegaWeights that was given, else NULL */
} MegaTensorSpec;

/* Whose names `source` follows. */
typedef enum MegaSource {
    MEGA_SOURCE_FAIRSEQ, /* the fairseq family: classifiers, translation, language models */
    MEGA_SOURCE_VISION,  /* the ImageNet model */
} MegaSource;

/* Calls visit for every tensor; stops at the first non-zero result and returns it. weights may be
 * NULL; otherwise weights->layers must have config->encoder.layers elements, and decoder_layers
 * config->decoder.layers, as far as the task has them. */
typedef int (*MegaBindVisit)(void *context, const MegaTensorSpec *spec, MegaError *err);
int mega_bind_each(const MegaConfig *config, MegaSource source, MegaWeights *weights,
                   MegaBindVisit visit, void *context, MegaError *err);

#endif
