/*
 * model.h - a loaded model: the file, its configuration, its weights, and what is derived from
 * them.
 */
#ifndef MEGA_MODEL_H
#define MEGA_MODEL_H

#include "formats/mega/mega_file.h"
#include "src/layers/layer.h"

/* An encoder's or a decoder's layers, ready to run; nothing where the task has no such stack. */
typedef struct MegaStack {
    MegaLayerWeights *weights; /* [layers] */
    MegaLayer *layers;         /* [layers] */
    MegaNorm embed_norm, final_norm;
    bool norms; /* some layer's first norm is a step of its own */
} MegaStack;

struct MegaModel {
    MegaFile *file;
    MegaConfig config;
    MegaWeights weights;
    MegaStack encoder, decoder;
    MegaArena storage; /* weights that are not used in place from the file */
    MegaArena derived; /* EMA coefficients, folded norms */
    uint64_t parameters;
    uint64_t in_place; /* bytes of the file that are used where they are mapped */
};

/* For the tools, which also read labels, vocabulary and preprocessing. Borrowed. */
const MegaMeta *mega_model_meta(const MegaModel *model);
const MegaConfig *mega_model_config(const MegaModel *model);

#endif
