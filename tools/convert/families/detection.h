/*
 * detection.h - declares what the families of architectures share: finding tensors, reading
 * arguments and detecting the stack of layers. The families themselves are in classifier.c,
 * vision.c, sequence.c, transformer.c, s4.c and hub.c.
 */
#ifndef MEGA_DETECTION_H
#define MEGA_DETECTION_H

#include "src/layers/mega_config.h"
#include "tools/convert/architecture.h"

/* The names that the original model uses for a stack of layers. */
typedef struct StackNames {
    const char *layers;     /* "encoder.encoder.layers."; a number, a dot and a name follow */
    const char *final_norm; /* "encoder.encoder.final_norm.norm" */
    const char *embed_norm; /* "encoder.encoder.embed_norm.norm" */
    const char *chunk, *other_chunk; /* names of the argument with the chunk size */
    const char *positions, *other_positions;
    const char *count; /* name of the argument with the number of layers, or NULL */
} StackNames;

typedef struct Detection {
    Architecture *out;
    const json_t *args;
    long chunk_size;         /* given by the user; negative if not */
    const StackNames *names; /* names of the stack that is being detected */
    char missing[400];       /* the needed arguments that are absent */
    MegaError *err;
} Detection;

/* One function per family. Each fills detection->out. */
int detect_classifier(Detection *detection);
int detect_vision(Detection *detection);
int detect_translator(Detection *detection);
int detect_language_model(Detection *detection);
int detect_hub(Detection *detection);

/* hub.c: fails if config.json is that of another model, and counts the labels in it. */
int hub_check_type(const json_t *args, MegaError *err);
int hub_label_count(const json_t *args);
int detect_transformer_classifier(Detection *detection);
int detect_transformer_translator(Detection *detection);
int detect_transformer_language_model(Detection *detection);

/* ---- Parts of several families -------------------------------------------------------------- */

/* Detects the head of a fairseq classifier, whose encoder's width is known. usual_pooling is
 * the original's default of sen_rep_type; -1 means that the argument is needed. */
int detect_fairseq_head(Detection *detection, MegaConfig *config, int usual_pooling);
/* Detects embedding and output of a fairseq decoder of width d. */
int detect_vocabulary(Detection *detection, MegaTargetConfig *target, int d);

/* ---- Tensors -------------------------------------------------------------------------------- */

const MegaCheckpointTensor *detection_find(const Detection *detection, const char *name);
/* Returns a dimension of a tensor as an int, or 0 if there is no such tensor or dimension. */
int tensor_dimension(const MegaCheckpointTensor *tensor, int axis);

/* Reads a size of the model from a dimension of a tensor, and fails if there is none. The shape of
 * a sparse tensor, for example, is not known. */
int detection_size(const Detection *detection, const MegaCheckpointTensor *tensor, int axis,
                   int *out);

/* Returns the embedding of a fairseq translator's source, or NULL and the error if there is none.
 */
const MegaCheckpointTensor *detection_source_table(const Detection *detection);

/* ---- Arguments ------------------------------------------------------------------------------ */

/* Notes a needed argument that is absent. All of them are reported together. */
void detection_need(Detection *detection, const char *name, const char *what);
/* Reads an argument that is one of a set of names. Absent or None means the fallback; one of -1
 * says that the argument is needed. */
int detection_named(Detection *detection, const char *name, const char *other_name,
                    const char *what, int (*by_name)(const char *), int fallback, int *out);
/* Reads a flag, which may be a bool, 0 or 1. Absent or None means false. */
int detection_flag(const Detection *detection, const char *name, const char *other_name, bool *out);

/* Fills in an embedding of frames: their length from the map [width, length], and the samples from
 * one to the next from the argument frame_hop. A usual_hop of 0 means that it is needed. */
int detect_frames(Detection *detection, const MegaCheckpointTensor *map, int usual_hop,
                  MegaEmbedConfig *embed);

/* Finds out which rows of the family's table of shared tensors are true of this model. */
int detect_sharing(Detection *detection, const SharedName *table);

/* ---- The stack ------------------------------------------------------------------------------ */

/* Fails if the arguments say one kind of norm and the tensors are those of another: a batch norm
 * without its running statistics has the tensors of a layer norm. A kind of -1 is not known. */
int detection_check_norm(const Detection *detection, int said, int found);
/* Fails since an argument says post-norm, or is absent and means that, but there is a final
 * norm. */
int detection_fail_post_norm(const Detection *detection, const char *argument, const char *norm);
/* Detects what all families have, under detection->names: layers, sizes, norms and functions. */
int detect_layers(Detection *detection, MegaStackConfig *stack);
/* Detects what only the fairseq family has: chunks, truncation and the place of the norms; then the
 * bias. */
int detect_fairseq_stack(Detection *detection, MegaStackConfig *stack);
/* Detects the relative position bias; stack->chunk must be set before. */
int detect_bias(Detection *detection, MegaStackConfig *stack);

#endif
