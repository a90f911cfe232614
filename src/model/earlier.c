/*
 * earlier.c - see earlier.h.
 */
#include "src/model/earlier.h"

#include <stdio.h>
#include <string.h>

#include "src/model/layer_kind.h"

#define KEY_TODAY "target.tied_projections"
#define KEY_THEN "target.transposed_tails"

const char *mega_earlier_key(const char *key)
{
    return strcmp(key, KEY_TODAY) == 0 ? KEY_THEN : key;
}

bool mega_earlier_only(const char *key)
{
    return strcmp(key, KEY_THEN) == 0;
}

static void place_in_layer(const MegaStackConfig *stack, size_t layer, MegaStored *place)
{
    const MegaLayerKind *kind = mega_stack_kind(stack);
    if (kind->place_earlier)
        kind->place_earlier(stack, layer, place);
}

void mega_earlier_place(const MegaConfig *config, MegaStored *place)
{
    /* `layer` becomes the offset of a tensor's own name within its layer, and `end` the length of
     * the name of an output projection; for other names they stay 0 */
    int number, layer = 0, end = 0;
    sscanf(place->name, "%*[a-z].layer.%d.%n", &number, &layer);
    sscanf(place->name, "output.%d.projection.weight%n", &number, &end);
    if (layer > 0 && strncmp(place->name, "encoder.", 8) == 0)
        place_in_layer(&config->encoder, (size_t)layer, place);
    else if (layer > 0 && strncmp(place->name, "decoder.", 8) == 0)
        place_in_layer(&config->decoder, (size_t)layer, place);
    else if (end > 0 && number > 0)
        place->transposed = config->target.tied_projections;
}
