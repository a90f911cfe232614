/*
 * kinds.c - the table of all kinds of layer.
 */
#include <stddef.h>

#include "src/layers/mega.h"
#include "src/layers/s4.h"
#include "src/layers/transformer.h"

const MegaLayerKind *const mega_layer_kinds[] = {
    &mega_layer_kind_mega,
    &mega_layer_kind_transformer,
    &mega_layer_kind_s4,
    NULL,
};
