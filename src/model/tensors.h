/*
 * tensors.h - lists the tensors that a configuration implies. One table drives loading, checking
 * and conversion.
 *
 * mega_tensors_each visits all tensors of a MegaConfig in storage order and gives the canonical
 * name and shape of each. The engine binds each tensor to its slot of MegaWeights. mega-convert
 * looks up its name in a checkpoint (tools/convert/names) and writes it. Files of earlier versions
 * hold some tensors joined or transposed; stored.h finds them there.
 *
 * The matrices of matrix products are kept as panels (panels.h) of the type that the file has;
 * everything else becomes float32, row-major.
 */
#ifndef MEGA_TENSORS_H
#define MEGA_TENSORS_H

#include "src/model/weights.h"

/* The dimensions of tensors, as symbols of the configuration. A kind of layer adds its own. */
typedef enum MegaDim {
    MEGA_DIM_END, /* no further dimension */
    MEGA_DIM_ONE,
    MEGA_DIM_TWO,
    MEGA_DIM_WIDTH, /* d */
    MEGA_DIM_FFN,
    MEGA_DIM_POSITIONS, /* max_positions of the stack */
    MEGA_DIM_VOCAB,
    MEGA_DIM_TYPES,
    MEGA_DIM_TARGET_VOCAB,
    MEGA_DIM_TARGET_TYPES,
    MEGA_DIM_FRAME,   /* frame_length */
    MEGA_DIM_PATCH,   /* channels * patch * patch */
    MEGA_DIM_PATCHES, /* number of patches */
    MEGA_DIM_POOLED,  /* d, or 2 d for a pair */
    MEGA_DIM_HEAD,    /* width of the hidden head layers */
    MEGA_DIM_HEAD_IN, /* POOLED for the first of them, HEAD for the others */
    MEGA_DIM_LAST,    /* width of the input of the output layer */
    MEGA_DIM_CLASSES,
    MEGA_DIM_CLUSTER,     /* number of ids in a cluster of the target vocabulary */
    MEGA_DIM_CLUSTER_IN,  /* width of a cluster's embedding */
    MEGA_DIM_CLUSTER_OUT, /* width of a cluster's output table */
    MEGA_DIM_HEAD_ROWS, /* ids of the first output cluster, plus one row for every other cluster */
    MEGA_DIM_CLUSTER_LOGITS, /* number of output clusters after the first */
    MEGA_DIM_OUTPUT_WIDTH, /* width of the clusters' input: d, or output_width */
    MEGA_DIM_OWN = 64, /* the first number for dimensions of a kind (MegaLayerKind.dimension) */
} MegaDim;

/* The condition under which a model has a tensor. */
typedef enum MegaTensorWhen {
    MEGA_ALWAYS,
    MEGA_IF_TOKENS,
    MEGA_IF_REAL,
    MEGA_IF_FRAMES,
    MEGA_IF_PATCHES,
    MEGA_IF_POSITIONS,
    MEGA_IF_FFN,
    MEGA_IF_PROJECTION,
    MEGA_IF_OUTPUT_BIAS,
    MEGA_IF_CLASSES,
    MEGA_IF_TYPES,
    MEGA_IF_TARGET_TYPES,
    MEGA_IF_TARGET_DENSE,
    MEGA_IF_TARGET_BIAS,
    MEGA_IF_OWN = 64, /* the first number for conditions of a kind (MegaLayerKind.applies) */
} MegaTensorWhen;

/* These flags are combined with the condition. */
#define MEGA_TENSOR_CONDITION 0xffu
#define MEGA_TENSOR_MATRIX 0x100u /* kept as panels: the slot is a MegaPacked */
#define MEGA_TENSOR_EXACT 0x200u  /* a matrix never stored in a smaller type than float32 */
#define MEGA_TENSOR_FINE 0x2000u  /* a matrix never stored in 4 bits */
#define MEGA_TENSOR_CROSS 0x400u  /* only if the decoder has cross attention */
#define MEGA_TENSOR_NORM 0x800u   /* the tensors of a norm: the slot is a MegaNormWeights */
#define MEGA_TENSOR_KEPT 0x1000u  /* computed from other tensors, kept because that takes long */
#define MEGA_TENSOR_INTEGER 0x4000u /* a whole number, which checkpoints hold as an integer */

/* A row of the table of tensors. The list of a kind of layer ends with a row without a name; its
 * names follow "encoder.layer.I." or "decoder.layer.I.". */
typedef struct MegaTensorRow {
    const char *name; /* the name of a norm ends with a dot */
    size_t offset;    /* offset of the slot in the struct that the rows describe */
    unsigned shape[4]; /* each a MegaDim, or one of the kind of layer */
    unsigned when;     /* a MegaTensorWhen or a condition of the kind, combined with flags */
} MegaTensorRow;

typedef struct MegaTensorSpec {
    char name[96]; /* the name in .mega files: "encoder.layer.3.ema.delta" */
    int rank;
    uint64_t shape[4];
    uint64_t elements;
    bool matrix; /* kept as panels */
    bool exact;  /* a matrix that stays float32 whatever smaller type the others are stored in */
    bool fine;   /* a matrix that has 8 bits where the others have 4 */
    bool kept;   /* not a weight, but computed from weights */
    bool integer; /* not a weight, but a whole number that checkpoints hold as an integer */
    /* The slot, inside the given MegaWeights, to which the loader binds the tensor. Both are NULL
     * if no MegaWeights was given. */
    const float **slot; /* for everything but matrices */
    MegaPacked *packed; /* for matrices */
} MegaTensorSpec;

/* Calls visit for every tensor, stops at the first non-zero result and returns it. weights may be
 * NULL. Otherwise weights->layers must have config->encoder.layers elements of the type that the
 * kind uses, and decoder_layers config->decoder.layers, if the task has these stacks. */
typedef int (*MegaTensorVisit)(void *context, const MegaTensorSpec *spec, MegaError *err);
int mega_tensors_each(const MegaConfig *config, MegaWeights *weights, MegaTensorVisit visit,
                      void *context, MegaError *err);

#endif
