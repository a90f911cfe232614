/*
 * s4_inputs.h - describes how the raw inputs of S4's models are prepared: texts with a vocabulary
 * of their own, pictures pixel by pixel, and sound. The framework's arguments say it in their
 * section `dataset`; the example script has fixed values.
 */
#ifndef MEGA_CONVERT_S4_INPUTS_H
#define MEGA_CONVERT_S4_INPUTS_H

#include "tools/convert/metadata.h"

/* Writes text.*, vocab.symbols, image.* or audio.*, and labels where the data have names for them.
 * A note on stderr says what is missing for raw inputs. */
int write_s4_inputs(MegaMeta *meta, const MetadataOptions *options,
                    const Architecture *architecture, const json_t *args, MegaError *err);

#endif
