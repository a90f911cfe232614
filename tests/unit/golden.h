/*
 * golden.h - converts checkpoints of the original implementation and compares their results with
 * the original's: the fixtures in tests/fixtures, and all fixtures of the project where they are
 * available ($MEGA_FIXTURES, else ../shared/fixtures).
 */
#ifndef MEGA_GOLDEN_H
#define MEGA_GOLDEN_H

#include "tests/unit/support.h"

#include <jansson.h>

#include "formats/media/npy.h"
#include "src/encode/session.h"

/* The tolerance of the fixtures, relative to the largest expected value, and absolute. */
#define GOLDEN_TOLERANCE 1e-4

typedef struct Golden {
    char folder[512];
    const char *name;
    json_t *meta;
    MegaModel *model;
    size_t compared; /* number of arrays compared */
    bool in_tiles;   /* products run in emulated tiles */
} Golden;

/* Reads the array NAME.npy of the case. Returns false if there is none. */
bool golden_read(const Golden *golden, const char *name, MegaNpy *out);
/* Compares with the array of that name, if there is one. positions says which rows of `got`
 * correspond to its rows; NULL means all. */
void golden_compare(Golden *golden, const char *name, const float *got, size_t got_rows,
                    size_t columns, const MegaNpy *positions);
/* These convert and open every case of these kinds (a list that ends with NULL), in tests/fixtures
 * or in the project's folder, and run `check` on it. They fail if there is no case. */
typedef void (*GoldenCheck)(Golden *golden, MegaSession *session);
void golden_committed(const char *const *kinds, GoldenCheck check);
/* Does what golden_committed does with products in emulated tiles (tiers.h). */
void golden_committed_in_tiles(const char *const *kinds, GoldenCheck check);
void golden_all(const char *const *kinds, GoldenCheck check);

#endif
