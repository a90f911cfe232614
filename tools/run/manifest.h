/*
 * manifest.h - reads lists of labelled files: tab-separated, with a header line that names the
 * columns.
 *
 * The columns `path` and `label` are required, `path2` (the second input of a pair) and `split` are
 * optional, and all others are ignored. Paths are relative to the manifest's folder unless a root
 * is given.
 */
#ifndef MEGA_MANIFEST_H
#define MEGA_MANIFEST_H

#include "src/mega.h"

typedef struct ManifestRow {
    char *path, *path2; /* path2 is NULL without that column */
    char *label;
    size_t line; /* number of the row's line in the file, from 1 */
} ManifestRow;

typedef struct Manifest {
    ManifestRow *rows;
    size_t count;
    bool has_header; /* the first line names the columns; otherwise the file is not a list */
} Manifest;

/* Reads the rows of a list. root and split may be NULL, and limit 0 takes all rows. manifest_free
 * must be called afterwards, also after an error. */
int manifest_read(Manifest *out, const char *path, const char *root, const char *split,
                  size_t limit, MegaError *err);
void manifest_free(Manifest *manifest);

#endif
