/*
 * path_inputs.h - goes through the paths that classify gets: its arguments, the files of folders
 * among them, and a list of --files-from; or through those of a shard.
 */
#ifndef MEGA_PATH_INPUTS_H
#define MEGA_PATH_INPUTS_H

#include "src/mega.h"
#include "tools/run/folders.h"
#include "tools/run/shard.h"

typedef struct PathInputs {
    char **paths; /* [count] */
    int count;
    const char *list; /* --files-from, or NULL */
    bool null;        /* its paths end in NUL */
    Shard shard;
    /* Returns how many paths in a row make one input, for a shard, or 0 to end. */
    int (*paths_of_input)(void *context, const char *first);
    FolderVisitor visitor; /* its context is that of all functions */
    /* Called before the list is read further if whoever writes it may wait for results. */
    void (*before_waiting)(void *context);
} PathInputs;

/* Visits the paths. *going becomes false if one of them was the last one wanted. Returns an error
 * if the list cannot be read to its end, after a visit of the paths before. */
int each_path(const PathInputs *inputs, bool *going, MegaError *err);

#endif
