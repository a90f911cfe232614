/*
 * earlier.h - knows the layout of tensors in files from before "general.tensor_layout"
 * (MEGA_EARLIER_LAYOUT). Such files hold some tensors as checkpoints do:
 *
 *   u, z and r_hx of a layer      rows of one tensor, "mx.weight", with the biases in "mx.bias"
 *   output.I.projection.weight    transposed, [d][width], if it is tied to the embedding's
 *   target.tied_projections       the metadata key "target.transposed_tails"
 */
#ifndef MEGA_EARLIER_H
#define MEGA_EARLIER_H

#include "src/model/stored.h"

/* Returns the name that a key of the configuration has in such a file. */
const char *mega_earlier_key(const char *key);
/* Returns whether only such files have the key. */
bool mega_earlier_only(const char *key);
/* Finds where such a file has a tensor. place->name is the tensor's name today; the function fills
 * in the other fields. */
void mega_earlier_place(const MegaConfig *config, MegaStored *place);

#endif
