/*
 * golden.h - checkpoints of the original implementation with its results: tests/fixtures, and all
 * of the project's fixtures where they are at hand ($MEGA_FIXTURES, else ../shared/fixtures).
 */
#ifndef MEGA_GOLDEN_H
#define MEGA_GOLDEN_H

#include "tests/unit/support.h"

#include <jansson.h>

#include "formats/media/npy.h"
#include "src/encode/session.h"

/* Bound of the fixtures: relative to the largest expected value, and absolute. */
#define GOLDEN_TOLERANCE 1e-4

typedef struct Golden {
    char folder[512];
    const char *name;
    json_t *meta;
    MegaModel *model;
    size_t compared; /* arrays */
} Golden;

/* The array NAME.npy of the case, or false when there is none. */
bool golden_read(const Golden *golden, const char *name, MegaNpy *out);
/* Compares with the array of that name, where there is one. positions: which rows of got its rows
 * are, or NULL. */
void golden_compare(Golden *golden, const char *name, const float *got, size_t got_rows,
                    size_t columns, const MegaNpy *positions);
/* Runs `check` on every case of these kinds (a list that ends with NULL), converted and opened, in
 * tests/fixtures, or in the project's folder; fails when there is none. */
typedef void (*GoldenCheck)(Golden *golden, MegaSession *session);
void golden_committed(const char *const *kinds, GoldenCheck check);
void golden_all(const char *const *kinds, GoldenCheck check);

#endif
