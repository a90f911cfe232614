/*
 * model.h - a loaded model: the file, its configuration, its weights, and what is derived from
 * them.
 */
#ifndef MEGA_MODEL_H
#define MEGA_MODEL_H

#include <pthread.h>

#include "layer.h"
#include "mega_file.h"

/* An encoder's or a decoder's layers, ready to run; nothing where the task has no such stack. */
typedef struct MegaStack {
    MegaLayerWeights *weights; /* [layers] */
    MegaLayer *layers;         /* [layers] */
    MegaNorm embed_norm, final_norm;
} MegaStack;

/* All matrices once more, packed for the matrix kernels. Made when the first session is, so that
 * opening a large file stays a matter of mapping it. */
typedef struct MegaPackedModel {
    pthread_mutex_t mutex; /* guards ready */
    bool ready;
    MegaArena arena;
    MegaPackedLayer *encoder, *decoder; /* [layers] each; the layers point here */
    MegaPacked embed;                   /* frames and patches */
    MegaPacked head_projection;
    MegaPacked output[MEGA_MAX_BANDS], output_projection[MEGA_MAX_BANDS]; /* not transposed ones */
    MegaPacked slots;
} MegaPackedModel;

struct MegaModel {
    MegaFile *file;
    MegaConfig config;
    MegaWeights weights;
    MegaStack encoder, decoder;
    MegaArena decoded; /* weights that are not used in place from the file */
    MegaArena derived; /* EMA coefficients, folded norms */
    MegaPackedModel *packed;
    uint64_t parameters;
};

/* Without any matrix yet; *out is to be freed also after an error. */
int mega_packed_new(MegaPackedModel **out, const MegaConfig *config, MegaError *err);
void mega_packed_free(MegaPackedModel *packed);
/* Packs the matrices, once; from any thread. */
int mega_model_prepare(const MegaModel *model, MegaError *err);

/* For the tools, which also read labels, vocabulary and preprocessing. Borrowed. */
const MegaMeta *mega_model_meta(const MegaModel *model);
const MegaConfig *mega_model_config(const MegaModel *model);

#endif
