/*
 * tokenizer_file.h - opens the tokenizer of a model file without reading the weights, for tokenize
 * and detokenize.
 */
#ifndef MEGA_TOKENIZER_FILE_H
#define MEGA_TOKENIZER_FILE_H

#include "formats/mega/mega_file.h"
#include "formats/text/tokenizer.h"
#include "tools/run/command_line.h"

typedef struct TokenizerFile {
    char *path;
    MegaFile *file;
    MegaTokenizer *tokenizer;
    MegaTokenizerSide side;
} TokenizerFile;

/* `given` is the argument of -m, or NULL to take the first language model that is found.
 * tokenizer_file_close must be called also after an error. */
int tokenizer_file_open(TokenizerFile *out, const char *given, MegaTokenizerSide side,
                        MegaError *err);
void tokenizer_file_close(TokenizerFile *file);

/* Parses "source" or "target", the value of --side, into a MegaTokenizerSide. */
int take_side(const CommandOption *option, const char *value, MegaError *err);

#endif
