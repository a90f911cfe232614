/*
 * tokenizer_file.h - the tokenizer of a model file, without its weights: for tokenize and
 * detokenize.
 */
#ifndef MEGA_TOKENIZER_FILE_H
#define MEGA_TOKENIZER_FILE_H

#include "formats/mega/mega_file.h"
#include "formats/text/tokenizer.h"
#include "tools/run/command_line.h"

typedef struct TokenizerFile {
    char *path;
    MegaFile *file;
    MegaCodec *codec;
    MegaCodecSide side;
} TokenizerFile;

/* given: what -m names, or NULL for the first language model that is found. Close it also after an
 * error. */
int tokenizer_file_open(TokenizerFile *out, const char *given, MegaCodecSide side, MegaError *err);
void tokenizer_file_close(TokenizerFile *file);

/* --side source or target into a MegaCodecSide. */
int take_side(const CommandOption *option, const char *value, MegaError *err);

#endif
