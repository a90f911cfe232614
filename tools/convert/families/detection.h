/*
 * detection.h - what the families of architectures share: finding tensors, reading arguments, the
 * stack of layers. Each family is a file: classifier.c, vision.c, sequence.c.
 */
#ifndef MEGA_DETECTION_H
#define MEGA_DETECTION_H

#include "tools/convert/architecture.h"

/* Where the original keeps a stack. */
typedef struct StackNames {
    const char *layers;     /* "encoder.encoder.layers.": then the number, a dot and the name */
    const char *final_norm; /* "encoder.encoder.final_norm.norm" */
    const char *embed_norm; /* "encoder.encoder.embed_norm.norm" */
    const char *chunk, *other_chunk; /* arguments */
    const char *positions, *other_positions;
    const char *count; /* argument: number of layers; NULL: there is none */
} StackNames;

typedef struct Detection {
    Architecture *out;
    const json_t *args;
    long chunk_size;         /* given by the user; < 0: not */
    const StackNames *names; /* of the stack that is being detected */
    char missing[400];       /* arguments that are needed and absent */
    MegaError *err;
} Detection;

/* The families. */
int detect_classifier(Detection *detection);
int detect_vision(Detection *detection);
int detect_translator(Detection *detection);
int detect_language_model(Detection *detection);

/* ---- Tensors -------------------------------------------------------------------------------- */

const MegaCheckpointTensor *detection_find(const Detection *detection, const char *name);
/* Dimension of a tensor as an int, 0 when there is no such tensor or dimension. */
int tensor_dimension(const MegaCheckpointTensor *tensor, int axis);

/* ---- Arguments ------------------------------------------------------------------------------ */

/* Notes a needed argument that is absent; all are reported at once. */
void detection_need(Detection *detection, const char *name, const char *what);
/* An argument with one of a set of names; fallback -1: the argument is needed. */
int detection_named(Detection *detection, const char *name, const char *other_name,
                    const char *what, int (*by_name)(const char *), int fallback, int *out);
/* A needed length where None, 0 and negative mean "none", which is 0. */
int detection_length(Detection *detection, const char *name, const char *other_name,
                     const char *what, int *out);
/* A flag as Python has it: a bool, or 0 or 1. Absent or None: false. */
int detection_flag(const Detection *detection, const char *name, const char *other_name, bool *out);

/* ---- The stack ------------------------------------------------------------------------------ */

/* Layers, sizes, norms, functions: what all families have, from detection->names. */
int detect_layers(Detection *detection, MegaStackConfig *stack);
/* What only the fairseq family has: chunks, truncation, place of the norms; then the bias. */
int detect_fairseq_stack(Detection *detection, MegaStackConfig *stack);
/* The relative position bias; stack->chunk is known by then. */
int detect_bias(Detection *detection, MegaStackConfig *stack);

#endif
