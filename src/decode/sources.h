/*
 * sources.h - a source sequence as the decoder sees it: encoder states, and the keys and values
 * that each decoder layer's cross attention makes of them (spec section 4), computed once.
 */
#ifndef MEGA_SOURCES_H
#define MEGA_SOURCES_H

#include "src/base/arena.h"
#include "src/base/ledger.h"

struct MegaEncoded {
    const MegaModel *model;
    size_t length;  /* S */
    float *states;  /* [S][d] */
    float **keys;   /* [decoder layers] of [S][z] */
    float **values; /* [decoder layers] of [S][d] */
    MegaArena arena;
    MegaLedger *ledger;
    uint64_t counted; /* bytes in the ledger */
};

/* Encodes `count` sources, many at a time; out [count], of which some may be there after an error.
 */
int mega_encode_all(MegaSession *session, const MegaInput *sources, int count, MegaEncoded **out,
                    MegaError *err);

#endif
