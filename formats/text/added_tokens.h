/*
 * added_tokens.h - finds tokens that occur literally in a text ("<mask>"), before other rules cut
 * the rest of the text.
 *
 * The search goes from left to right and takes the longest token where several match. There are two
 * rounds: tokens with the flag MEGA_ADDED_NORMALIZED are searched for only in the text between the
 * tokens of the first round. An object is immutable.
 */
#ifndef MEGA_ADDED_TOKENS_H
#define MEGA_ADDED_TOKENS_H

#include "formats/mega/meta.h"
#include "formats/text/unicode_classes.h"
#include "formats/text/vocab.h"

#define MEGA_ADDED_MAX 100000    /* tokens */
#define MEGA_ADDED_MAX_TEXT 1024 /* bytes of one token */

enum {
    MEGA_ADDED_SPECIAL = 1,     /* left out when a text is wanted without special tokens */
    MEGA_ADDED_LSTRIP = 2,      /* includes the white space to its left */
    MEGA_ADDED_RSTRIP = 4,      /* includes the white space to its right */
    MEGA_ADDED_SINGLE_WORD = 8, /* does not match in the middle of a word */
    MEGA_ADDED_NORMALIZED = 16, /* is searched for in the second round */
    MEGA_ADDED_ALL = 31,
};

typedef struct MegaAddedTokens MegaAddedTokens;

/* Makes the object from the metadata "text.added" and "text.added_flags". It borrows `classes`. */
int mega_added_tokens_from_meta(MegaAddedTokens **out, const MegaMeta *meta, const MegaVocab *vocab,
                                const MegaUnicodeClasses *classes, MegaError *err);
void mega_added_tokens_free(MegaAddedTokens *added);
/* Returns whether the token with this id is special; false if there is none. */
bool mega_added_tokens_is_special(const MegaAddedTokens *added, int32_t id);

/* The bytes [start, end) of a text: an added token, or text between two of them (id -1). */
typedef struct MegaTextPart {
    int32_t id;
    size_t start, end;
} MegaTextPart;

/* Calls part for every part of a text of well-formed UTF-8, in order. It stops when part returns
 * anything but 0, and returns that value. */
int mega_added_tokens_split(const MegaAddedTokens *added, const char *text, size_t size,
                            int (*part)(void *context, const MegaTextPart *part), void *context);

#endif
