/*
 * predict.h - one input through a session: the probabilities of the classes.
 */
#ifndef MEGA_PREDICT_H
#define MEGA_PREDICT_H

#include "src/mega.h"
#include "tools/run/input.h"

/* Of a recording whose first clip alone was looked at: how much that is of how much, and the way to
 * look at all of it, "--window", which gets the length of a clip. */
void report_cut(InputReader *reader, const char *path, const Input *input, const char *way);

/* probabilities: [classes of the model]. Messages begin with path. */
int predict(float *probabilities, MegaSession *session, const MegaModel *model, const Input *input,
            const char *path, MegaError *err);

#endif
