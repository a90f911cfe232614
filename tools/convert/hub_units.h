/*
 * hub_units.h - the tokenizer of a model folder that has no tokenizer files, as the command line
 * describes it: a vocabulary (--vocab), its unit, special tokens and a template
 * (formats/text/units.h).
 */
#ifndef MEGA_HUB_UNITS_H
#define MEGA_HUB_UNITS_H

#include "tools/convert/metadata.h"

/* Adds vocab.symbols, text.* and special.*. `rows` is the number of the model's tokens. */
int hub_units_import(MegaMeta *meta, const MetadataOptions *options, int rows, MegaError *err);

#endif
