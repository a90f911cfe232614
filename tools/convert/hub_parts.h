/*
 * hub_parts.h - reads the parts of tokenizer.json into the vocabulary that they share; private to
 * hub_tokenizer.c and hub_parts.c.
 */
#ifndef MEGA_HUB_PARTS_H
#define MEGA_HUB_PARTS_H

#include <jansson.h>

#include "formats/text/added_tokens.h"
#include "formats/text/tokens.h"
#include "tools/convert/hub_tokenizer.h"

typedef struct HubAdded {
    const char *text; /* borrowed from the JSON */
    unsigned flags;   /* MEGA_ADDED_* */
} HubAdded;

typedef struct HubSymbol {
    const char *text; /* a key of Hub.ids, or NULL if no token has this id */
    uint32_t added;   /* its number in the list of added tokens, from 1, or 0 if it is not one */
    bool settled;     /* its flags are those of the list of added tokens that counts */
} HubSymbol;

typedef struct Hub {
    HubFile files[HUB_FILES];
    json_t *json[HUB_FILES];
    bool is_roberta;    /* the class of the tokenizer is RoBERTa's */
    json_t *ids;        /* token -> id, for the vocabulary and the added tokens */
    HubSymbol *symbols; /* [symbol_count], by id */
    size_t symbol_count, symbol_capacity;
    size_t vocab_size;      /* number of tokens without the added ones */
    int64_t *added, *flags; /* [added_count] */
    size_t added_count, added_capacity;
    int64_t last_added; /* the largest id of an added token, or -1 */
    int64_t *merges;    /* [merge_count][3] */
    size_t merge_count, merge_capacity;
    int32_t unknown, special[8];
    bool fuse_unknown, add_prefix_space, trims;
    bool post_is_byte_level;
    MegaPostProcessor post;
    void (*warn)(const char *sentence);
} Hub;

void hub_free(Hub *hub);
void hub_warn(const Hub *hub, const char *format, ...) MEGA_PRINTF(2, 3);
/* Parses a file that must be a JSON object. The caller releases *out with json_decref. */
int hub_parse(json_t **out, const HubFile *file, MegaError *err);
/* Returns whether a value is a whole number in the range of ids, which is stored in *id. */
bool hub_id(const json_t *value, int32_t *id);

int hub_read_vocab(Hub *hub, json_t *vocab, const char *file, MegaError *err);
int32_t hub_find(const Hub *hub, const char *token); /* returns its id, or -1 */
/* Gives a token an id. */
int hub_name(Hub *hub, const char *token, int32_t id, MegaError *err);
/* Adds a merge. Messages use `file` and `where` ("line 3"). */
int hub_add_merge(Hub *hub, const char *left, const char *right, const char *file,
                  const char *where, MegaError *err);

/* Reads the object {"content", "lstrip", ...} of an added token. */
int hub_read_added(const json_t *value, const char *file, HubAdded *out, MegaError *err);
/* Adds an added token, or changes the flags of one. A token that the vocabulary lacks gets the next
 * id. */
int hub_add(Hub *hub, const HubAdded *added, int32_t *id, MegaError *err);
bool hub_is_added(const Hub *hub, int32_t id);

void hub_set_roberta(MegaPostProcessor *post, int32_t cls, int32_t sep);
/* Reads all parts of tokenizer.json except the added tokens. */
int hub_read_tokenizer(Hub *hub, MegaError *err);
/* Writes the vocabulary, the merges and the added tokens to the metadata. */
int hub_store(const Hub *hub, MegaMeta *meta, MegaError *err);

#endif
