/*
 * kinds.c - the table of all kinds of layer.
 */
#include <stddef.h>

#include "src/layers/mega.h"

const MegaLayerKind *const mega_layer_kinds[] = {&mega_layer_kind_mega, NULL};
