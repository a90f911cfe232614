/*
 * tokenizer_only.h - mega-convert --tokenizer-only: writes a .mega file without tensors, which
 * 'mega-run tokenize' and 'detokenize' read.
 */
#ifndef MEGA_TOKENIZER_ONLY_H
#define MEGA_TOKENIZER_ONLY_H

#include "src/mega.h"
#include "tools/convert/metadata.h"

/* Writes the tokenizer of the folder options->input_path to a file. */
int convert_tokenizer(const MetadataOptions *options, const char *output, MegaError *err);

#endif
