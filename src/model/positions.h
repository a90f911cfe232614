/*
 * positions.h - what an embedding adds to each position (MODEL.md, "Positions"): a row of a learned
 * table, or sines and cosines of the position's number.
 *
 *   row p = [ sin(p f_0) ... sin(p f_{n-1}) | cos(p f_0) ... cos(p f_{n-1}) | 0 if d is odd ]
 *   f_k = 10000^(-k / (n - 1)),  n = floor(d / 2)
 *
 * Frequencies and angles are rounded to float32 where the original rounds them: at p = 4000 one
 * unit in the last place of f_k moves the angle by 2e-4.
 */
#ifndef MEGA_POSITIONS_H
#define MEGA_POSITIONS_H

#include "src/base/arena.h"
#include "src/model/config.h"

typedef struct MegaPositions {
    MegaPositionKind kind;
    size_t width;             /* d */
    size_t first_row;         /* the number of position 0, which only sinusoids need */
    const float *frequencies; /* sinusoids: [d / 2] */
    const float *table;       /* learned: [max_positions][d] */
} MegaPositions;

/* Prepares the positions of a stack. `pad` is the padding id, or -1. As in the original, position 0
 * has the number pad + 1. Memory comes from the arena; a dry run only counts it. */
void mega_positions_prepare(MegaPositions *out, const MegaStackConfig *config, const float *table,
                            int pad, MegaArena *arena);
/* x [rows][d] += the embeddings of positions position ... position + rows - 1. */
void mega_positions_add(const MegaPositions *positions, size_t position, size_t rows, float *x);

#endif
