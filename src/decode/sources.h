/*
 * sources.h - encodes inputs into the sources that decoders read (MegaEncoded in layer.h).
 */
#ifndef MEGA_SOURCES_H
#define MEGA_SOURCES_H

#include "src/layers/layer.h"

/* Encodes `count` sources into out [count], many at a time; mega_encoded_free frees each. After an
 * error some of them may exist and the others are NULL. */
int mega_encode_all(MegaSession *session, const MegaInput *sources, int count, MegaEncoded **out,
                    MegaError *err);

#endif
