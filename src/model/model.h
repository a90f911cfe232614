/*
 * model.h - a loaded model: the file, its configuration, its weights, and what is derived from
 * them. Nothing but `forms` changes once it is open, so threads may share it.
 */
#ifndef MEGA_MODEL_H
#define MEGA_MODEL_H

#include "formats/mega/mega_file.h"
#include "src/kernels/forms.h"
#include "src/model/layer_kind.h"

struct MegaModel {
    MegaFile *file;
    MegaConfig config;
    MegaWeights weights;
    MegaStack encoder, decoder;
    MegaArena storage; /* weights that are not used in place */
    MegaArena derived; /* what the kinds of layers derive from the weights, and folded norms */
    MegaForms *forms; /* filled by the first session whose kernels want them, under its own lock */
    uint64_t parameters; /* numbers in all weights, those of tied tensors once */
    uint64_t in_place; /* bytes of the file that are used where they are mapped */
};

/* These are for the tools, which also read labels, vocabulary and preprocessing. The model keeps
 * ownership. */
const MegaMeta *mega_model_meta(const MegaModel *model);
const MegaConfig *mega_model_config(const MegaModel *model);

#endif
