/*
 * model.h - a loaded model: configuration, weights and the file they came from.
 */
#ifndef MEGA_MODEL_H
#define MEGA_MODEL_H

#include "bind.h"
#include "config.h"
#include "mega_file.h"

struct MegaModel {
    MegaConfig config;
    MegaWeights weights;
    MegaFile *file;
    float *block; /* decoded weights that are not used in place from the file */
    uint64_t parameters;
};

/* For the tools, which also read labels, vocabulary and preprocessing. Borrowed. */
static inline const MegaMeta *mega_model_meta(const MegaModel *model)
{
    return mega_file_meta(model->file);
}

#endif
