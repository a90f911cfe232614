/*
 * added_tokens.h - tokens that are found in a text as they are written ("<mask>"), before the rest
 * is cut by other rules.
 *
 * The text is searched from left to right, of several tokens at a place the longest one is taken.
 * There are two rounds: tokens with the flag MEGA_ADDED_NORMALIZED are looked for only in what the
 * others left. An object is immutable.
 */
#ifndef MEGA_ADDED_TOKENS_H
#define MEGA_ADDED_TOKENS_H

#include "formats/mega/meta.h"
#include "formats/text/unicode_classes.h"

#define MEGA_ADDED_MAX 100000    /* tokens */
#define MEGA_ADDED_MAX_TEXT 1024 /* bytes of one */

enum {
    MEGA_ADDED_SPECIAL = 1,     /* left out when a text is wanted without special tokens */
    MEGA_ADDED_LSTRIP = 2,      /* takes the white space to its left along */
    MEGA_ADDED_RSTRIP = 4,      /* ... to its right */
    MEGA_ADDED_SINGLE_WORD = 8, /* not in the middle of a word */
    MEGA_ADDED_NORMALIZED = 16, /* second round */
    MEGA_ADDED_ALL = 31,
};

typedef struct MegaAddedToken {
    int32_t id;
    const char *text;
    unsigned flags;
} MegaAddedToken;

typedef struct MegaAddedTokens MegaAddedTokens;

/* Texts are copied; classes are borrowed. */
int mega_added_tokens_new(MegaAddedTokens **out, const MegaAddedToken *tokens, size_t count,
                          const MegaUnicodeClasses *classes, MegaError *err);
void mega_added_tokens_free(MegaAddedTokens *added);
/* The flags of a token with that id; 0: none is special. */
bool mega_added_tokens_is_special(const MegaAddedTokens *added, int32_t id);

/* A part of a text between two of its bytes: an added token, or what lies between (id -1). */
typedef struct MegaTextPart {
    int32_t id;
    size_t start, end;
} MegaTextPart;

/* Calls part for all parts of a text of well-formed UTF-8, in order. It stops when part returns
 * anything but 0, and returns that. */
int mega_added_tokens_split(const MegaAddedTokens *added, const char *text, size_t size,
                            int (*part)(void *context, const MegaTextPart *part), void *context);

#endif
