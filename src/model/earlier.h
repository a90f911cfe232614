/*
 * earlier.h - all that is left of the layout of tensors in files from before
 * "general.tensor_layout" (MEGA_EARLIER_LAYOUT), which held some of them as checkpoints do:
 *
 *   u, z and r_hx of a layer      rows of one tensor, "mx.weight", with the biases in "mx.bias"
 *   output.I.projection.weight    transposed, [d][width], if it is tied to the embedding's
 *   target.tied_projections       the metadata key "target.transposed_tails"
 */
#ifndef MEGA_EARLIER_H
#define MEGA_EARLIER_H

#include "src/model/stored.h"

/* What such a file calls a key of the configuration. */
const char *mega_earlier_key(const char *key);
/* Whether only such files have the key. */
bool mega_earlier_only(const char *key);
/* Where such a file has a tensor: from place->name, its name today, fills in the rest. */
void mega_earlier_place(const MegaConfig *config, MegaStored *place);

#endif
