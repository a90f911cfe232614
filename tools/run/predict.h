/*
 * predict.h - one input through a session: the probabilities of the classes.
 */
#ifndef RUN_PREDICT_H
#define RUN_PREDICT_H

#include "input.h"
#include "mega.h"

/* probabilities: [classes of the model]. Messages begin with path. */
int predict(float *probabilities, MegaSession *session, const MegaModel *model, const Input *input,
            const char *path, MegaError *err);

#endif
