/*
 * forward_pieces.h - mega-run forward --pieces: runs an array through a causal model piece by
 * piece. Neither input nor output is ever in memory as a whole, so memory does not grow with the
 * array; only token ids are, since padding at their end must be known.
 */
#ifndef MEGA_FORWARD_PIECES_H
#define MEGA_FORWARD_PIECES_H

#include "src/mega.h"

typedef struct ForwardPieces {
    const char *input, *output; /* paths */
    const char *stage;          /* the stage that is written */
    bool is_vector;             /* it is one row */
    size_t most;                /* positions of a piece */
} ForwardPieces;

/* Runs the array and writes the stage. Returns its shape in shape; a vector has shape[0] 1. */
int forward_in_pieces(const ForwardPieces *request, MegaSession *session, const MegaModel *model,
                      uint64_t shape[2], MegaError *err);

#endif
