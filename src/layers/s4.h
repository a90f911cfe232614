/*
 * s4.h - the kind of layer "s4": a filter of every feature over time, then a map between features;
 * see s4.c. s4_config.h has its hyper-parameters.
 */
#ifndef MEGA_S4_H
#define MEGA_S4_H

#include "src/model/layer_kind.h"

extern const MegaLayerKind mega_layer_kind_s4;

#endif
