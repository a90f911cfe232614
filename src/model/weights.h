/*
 * weights.h - the bound weights of a model. Every pointer leads into the mapped file or into the
 * model's storage.
 *
 * The matrices of matrix products are panels (panels.h); everything else is float32, row-major.
 */
#ifndef MEGA_WEIGHTS_H
#define MEGA_WEIGHTS_H

#include "formats/tensor/panels.h"
#include "src/model/config.h"

/* A pointer is NULL where the configuration has no such tensor. */
typedef struct MegaNormWeights {
    const float *weight; /* [d]; [1], the scalar, of scalenorm and scalars */
    const float *bias;   /* [d] of layernorm and batchnorm; [1], the shift, of scalars */
    const float *mean, *variance; /* [d] of batchnorm */
} MegaNormWeights;

typedef struct MegaLinearWeights {
    MegaPacked weight; /* [out][in] */
    const float *bias; /* [out] */
} MegaLinearWeights;

/* Holds one cluster of a vocabulary (MegaClusters in config.h): its table, and the projection
 * between the table's width and d. */
typedef struct MegaClusterWeights {
    MegaPacked table;      /* [ids of the cluster][width] */
    MegaPacked projection; /* input: [d][width]; output: [width][d] */
} MegaClusterWeights;

typedef struct MegaOutputWeights {
    MegaClusterWeights clusters[MEGA_MAX_CLUSTERS]; /* a joint head has everything in [0].table */
    MegaPacked cluster_logits;                      /* split head: [clusters - 1][d] */
    MegaLinearWeights dense;                        /* d -> d, before a plain table */
    const float *bias;                              /* [vocab], of a plain table */
    MegaPacked projection; /* [output_width][d], applied before all clusters */
} MegaOutputWeights;

typedef struct MegaWeights {
    MegaLinearWeights embed; /* tokens: weight [vocab][d]; frames: [d][frame_length]; patches:
                                [d][channels * patch * patch]; real: bias only */
    const float *embed_real; /* real: [d] */
    const float *positions;  /* patches: [patch count][d]; learned: [max_positions][d] */
    const float *types;      /* token types: [types][d] */
    MegaNormWeights embed_norm;
    void *layers; /* [encoder.layers] of the type that the kind of layer declares */
    MegaNormWeights final_norm;
    MegaLinearWeights head_projection;               /* d -> d */
    MegaLinearWeights head_layers[MEGA_MAX_HEAD_LAYERS]; /* pooled width -> width -> width ... */
    MegaLinearWeights head_output;                   /* -> classes */
    MegaClusterWeights target[MEGA_MAX_CLUSTERS];          /* the decoder's embedding */
    const float *target_types;                             /* [types][d] */
    const float *target_positions; /* learned: [max_positions of the decoder][d] */
    MegaNormWeights target_norm;
    void *decoder_layers; /* [decoder.layers] */
    MegaNormWeights decoder_final_norm;
    MegaOutputWeights output;
} MegaWeights;

#endif
