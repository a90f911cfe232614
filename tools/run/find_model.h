/*
 * find_model.h - the shipped model that fits an input, for commands without -m.
 */
#ifndef RUN_FIND_MODEL_H
#define RUN_FIND_MODEL_H

#include "input.h"
#include "mega.h"

/*
 * Looks for *.mega files in, one after the other, the folders of MEGA_MODELS (separated by colons),
 * the folder of the running program, ../share/mega and ../models from there; in each first in the
 * folder itself, then in the folders in it, sorted by name. The first file with that general.task
 * ("classify") and a preprocessing description for that kind of input wins. *path: free().
 */
int find_model(char **path, const char *task, InputKind kind, MegaError *err);

#endif
