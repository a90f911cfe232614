/*
 * sources.h - makes sources as a decoder sees them (MegaEncoded in layer.h) of inputs.
 */
#ifndef MEGA_SOURCES_H
#define MEGA_SOURCES_H

#include "src/layers/layer.h"

/* Encodes `count` sources, many at a time; out [count], of which some may be there after an error.
 */
int mega_encode_all(MegaSession *session, const MegaInput *sources, int count, MegaEncoded **out,
                    MegaError *err);

#endif
