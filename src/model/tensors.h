/*
 * tensors.h - which tensors a configuration implies: one table drives loading, checking and
 * conversion.
 *
 * mega_tensors_each walks all tensors of a MegaConfig in storage order and tells the canonical name
 * and shape of each. The engine binds each to its slot of MegaWeights; mega-convert looks up what a
 * checkpoint calls it (tools/convert/names) and writes it. Files of earlier versions hold some
 * tensors joined or transposed: stored.h finds them there.
 *
 * Matrices that products are made with are kept as panels (panels.h) of their type in the file;
 * everything else becomes float32, row-major.
 */
#ifndef MEGA_TENSORS_H
#define MEGA_TENSORS_H

#include "src/model/weights.h"

/* Dimensions in symbols of the configuration. */
typedef enum MegaDim {
    MEGA_DIM_END, /* no further dimension */
    MEGA_DIM_ONE,
    MEGA_DIM_TWO,
    MEGA_DIM_WIDTH,  /* d */
    MEGA_DIM_HIDDEN, /* h */
    MEGA_DIM_Z,
    MEGA_DIM_N,
    MEGA_DIM_K,      /* rows of the EMA parameters */
    MEGA_DIM_R_HX,   /* h + d */
    MEGA_DIM_FFN,
    MEGA_DIM_BIAS,   /* 2 M - 1 */
    MEGA_DIM_VOCAB,
    MEGA_DIM_FRAME,   /* frame_length */
    MEGA_DIM_PATCH,   /* channels * patch * patch */
    MEGA_DIM_PATCHES, /* number of patches */
    MEGA_DIM_POOLED,  /* d, or 2 d of a pair */
    MEGA_DIM_HEAD,    /* width of the hidden head layers */
    MEGA_DIM_HEAD_IN, /* POOLED for the first of them, HEAD for the others */
    MEGA_DIM_LAST,    /* width of what the output layer sees */
    MEGA_DIM_CLASSES,
    MEGA_DIM_Q,         /* d + d + z of cross attention */
    MEGA_DIM_CROSS,     /* 2 M - 1 of cross attention */
    MEGA_DIM_CLUSTER,      /* ids of a cluster of the target vocabulary */
    MEGA_DIM_CLUSTER_IN,   /* width of a cluster's embedding */
    MEGA_DIM_CLUSTER_OUT,  /* width of a cluster's output table */
    MEGA_DIM_HEAD_ROWS, /* ids of the first output cluster, and a slot for every other one */
    MEGA_DIM_CLUSTER_LOGITS,     /* output clusters after the first */
} MegaDim;

/* When a tensor is there. */
typedef enum MegaTensorWhen {
    MEGA_ALWAYS,
    MEGA_IF_TOKENS,
    MEGA_IF_REAL,
    MEGA_IF_FRAMES,
    MEGA_IF_PATCHES,
    MEGA_IF_POSITIONS,
    MEGA_IF_FFN,
    MEGA_IF_SIMPLE,
    MEGA_IF_ROTARY,
    MEGA_IF_PROJECTION,
    MEGA_IF_OUTPUT_BIAS,
} MegaTensorWhen;

/* Flags beside that. */
#define MEGA_TENSOR_CONDITION 0xffu
#define MEGA_TENSOR_MATRIX 0x100u /* kept as panels: the slot is a MegaPacked */
#define MEGA_TENSOR_EXACT 0x200u  /* a matrix never stored in a smaller type than float32 */
#define MEGA_TENSOR_CROSS 0x400u  /* only where the decoder has cross attention */
#define MEGA_TENSOR_NORM 0x800u   /* the tensors of a norm: the slot is a MegaNormWeights */

/* A row of the table of tensors. The rows of a kind of layer end with one without a name, and their
 * names follow "encoder.layer.I." or "decoder.layer.I.". */
typedef struct MegaTensorRow {
    const char *name; /* that of a norm ends with a dot */
    size_t offset;    /* of the slot, in the struct that the rows are for */
    MegaDim shape[2];
    unsigned when; /* a MegaTensorWhen, and flags */
} MegaTensorRow;

typedef struct MegaTensorSpec {
    char name[96]; /* in .mega files: "encoder.layer.3.ema.delta" */
    int rank;
    uint64_t shape[4];
    uint64_t elements;
    bool matrix; /* kept as panels */
    bool exact;  /* a matrix that stays float32 whatever smaller type the others are stored in */
    /* Where the loader binds it, inside the MegaWeights that was given; both NULL without one. */
    const float **slot; /* of anything but a matrix */
    MegaPacked *packed; /* of a matrix */
} MegaTensorSpec;

/* Calls visit for every tensor; stops at the first non-zero result and returns it. weights may be
 * NULL; otherwise weights->layers must have config->encoder.layers elements of its kind, and
 * decoder_layers config->decoder.layers, as far as the task has them. */
typedef int (*MegaTensorVisit)(void *context, const MegaTensorSpec *spec, MegaError *err);
int mega_tensors_each(const MegaConfig *config, MegaWeights *weights, MegaTensorVisit visit,
                      void *context, MegaError *err);

#endif
