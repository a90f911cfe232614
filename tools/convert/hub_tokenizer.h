/*
 * hub_tokenizer.h - the tokenizer of a model folder as the Hugging Face hub has them, into metadata
 * (formats/text/byte_bpe.h, tokens.h).
 *
 *   tokenizer.json                     everything; else
 *   vocab.json and merges.txt          token -> id, and merges
 *   added_tokens.json, special_tokens_map.json, tokenizer_config.json    what differs from these
 *
 * What is not byte-level BPE as RoBERTa has it is an error that names the part and its type.
 */
#ifndef MEGA_HUB_TOKENIZER_H
#define MEGA_HUB_TOKENIZER_H

#include "formats/mega/meta.h"

#define HUB_MAX_FILE (1u << 27) /* bytes */
#define HUB_MAX_TOKENS 4000000  /* ids are below */
#define HUB_MAX_HOLES 65536     /* ids that no token has, beside as many as there are tokens */

/* Whether a folder has one of the files that a tokenizer is read from. */
bool hub_tokenizer_exists(const char *folder);
/* Adds vocab.symbols, text.*, byte_bpe.* and special.*. warn is told, in whole sentences, what is
 * not as it should be but does no harm; it may be NULL. */
int hub_tokenizer_import(MegaMeta *meta, const char *folder, void (*warn)(const char *sentence),
                         MegaError *err);

/* For tests and fuzzers: the same of files in memory. Absent ones have no data. */
typedef struct HubFile {
    const char *name; /* for messages */
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
