/*
 * earlier.c - see earlier.h.
 */
#include "src/model/earlier.h"

#include <stdio.h>
#include <string.h>

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

/* Places a part of "mx", whose rows follow those of the parts before it. */
static void place_part_of_mx(const MegaStackConfig *stack, size_t layer, MegaStored *place)
{
    static const char *const parts[] = {"u.", "z.", "r_hx."};
    const uint64_t d = (uint64_t)stack->width, z = (uint64_t)stack->zdim;
    const uint64_t first_rows[] = {0, d, d + z};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const size_t length = strlen(parts[i]);
        char kind[16]; /* "weight" or "bias" */
        if (strncmp(place->name + layer, parts[i], length) != 0)
            continue;
        snprintf(kind, sizeof kind, "%s", place->name + layer + length);
        snprintf(place->name + layer, sizeof place->name - layer, "mx.%s", kind);
        place->first_row = first_rows[i];
        place->whole_rows = d + z + (uint64_t)stack->hidden + d;
        return;
    }
}

void mega_earlier_place(const MegaConfig *config, MegaStored *place)
{
    int number, layer = 0, end = 0; /* end: where the name of the part begins */
    sscanf(place->name, "%*[a-z].layer.%d.%n", &number, &layer);
    sscanf(place->name, "output.%d.projection.weight%n", &number, &end);
    if (layer > 0 && strncmp(place->name, "encoder.", 8) == 0)
        place_part_of_mx(&config->encoder, (size_t)layer, place);
    else if (layer > 0 && strncmp(place->name, "decoder.", 8) == 0)
        place_part_of_mx(&config->decoder, (size_t)layer, place);
    else if (end > 0 && number > 0)
        place->transposed = config->target.tied_projections;
}
