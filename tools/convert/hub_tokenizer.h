/*
 * hub_tokenizer.h - converts the tokenizer of a Hugging Face model folder into metadata
 * (formats/text/byte_bpe.h, tokens.h).
 *
 *   tokenizer.json                     everything; else
 *   vocab.json and merges.txt          token -> id, and merges
 *   added_tokens.json, special_tokens_map.json, tokenizer_config.json    what differs from these
 *
 * Only byte-level BPE as in RoBERTa is supported. Any other tokenizer is an error that names the
 * unsupported part and its type.
 */
#ifndef MEGA_HUB_TOKENIZER_H
#define MEGA_HUB_TOKENIZER_H

#include "formats/mega/meta.h"

#define HUB_MAX_FILE (1u << 27) /* bytes */
#define HUB_MAX_TOKENS 4000000  /* every id is less than this */
#define HUB_MAX_HOLES 65536     /* unused ids that are allowed beyond the number of tokens */

/* Returns whether a folder has one of the files that a tokenizer is read from. */
bool hub_tokenizer_exists(const char *folder);
/* Adds vocab.symbols, text.*, byte_bpe.* and special.*. warn, which may be NULL, gets whole
 * sentences about what is wrong with the files but does no harm. */
int hub_tokenizer_import(MegaMeta *meta, const char *folder, void (*warn)(const char *sentence),
                         MegaError *err);

/* A file in memory; data is NULL if the folder has no such file. */
typedef struct HubFile {
    const char *name; /* name of the file, for messages */
    const char *data;
    size_t size;
} HubFile;

enum {
    HUB_TOKENIZER,
    HUB_VOCAB,
    HUB_MERGES,
    HUB_ADDED,
    HUB_SPECIAL,
    HUB_CONFIG,
    HUB_FILES,
};

int hub_tokenizer_build(MegaMeta *meta, const HubFile files[HUB_FILES],
                        void (*warn)(const char *sentence), MegaError *err);

#endif
