/*
 * tokens.h - tokens with their places in a text, and the steps from them to a model's input. One or
 * two sequences are truncated to a length or cut into windows, a template puts special tokens
 * around them, and the places of tokens leave out blanks at the ends.
 *
 *   [tokens of A] [tokens of B] -> truncation or windows -> trimming -> template -> MegaTokens
 *
 * A place is a range of code points [start, end) in the text that the sequence comes from.
 */
#ifndef MEGA_TOKENS_H
#define MEGA_TOKENS_H

#include "formats/mega/meta.h"

typedef struct MegaToken {
    int32_t id;
    int32_t word;               /* number of its word in the sequence; -1: from the template */
    uint32_t start, end;        /* code points; 0, 0 for tokens of the template */
    uint32_t leading, trailing; /* blanks at the ends of the token's text */
    uint8_t type;               /* index in the table of token types */
    int8_t sequence;            /* 0 or 1; -1: from the template */
} MegaToken;

typedef struct MegaTokens {
    MegaToken *data; /* [count] */
    size_t count, capacity;
    bool failed; /* memory ran out */
} MegaTokens;

/* Makes room for more tokens, or sets `failed`. */
void mega_tokens_grow(MegaTokens *tokens);
static inline void mega_tokens_add(MegaTokens *tokens, const MegaToken *token)
{
    if (tokens->count == tokens->capacity)
        mega_tokens_grow(tokens);
    if (!tokens->failed)
        tokens->data[tokens->count++] = *token;
}
void mega_tokens_free(MegaTokens *tokens);

/* ---- Templates ------------------------------------------------------------------------------ */

#define MEGA_TEMPLATE_MAX 64 /* pieces */

/* The pieces that a template ("text.single", "text.pair") puts around one sequence or two. */
enum {
    MEGA_PIECE_A = -1,
    MEGA_PIECE_B = -2, /* other values are ids of tokens */
};

typedef struct MegaTemplatePiece {
    int32_t piece;
    int32_t type; /* 0 or 1 */
} MegaTemplatePiece;

typedef struct MegaTemplate {
    MegaTemplatePiece pieces[MEGA_TEMPLATE_MAX];
    size_t count; /* 0: there is no such template */
} MegaTemplate;

typedef struct MegaPostProcessor {
    MegaTemplate single, pair;
    bool trim;        /* places leave out blanks at the ends of tokens */
    bool keeps_first; /* but keep the blank that may have been put before the first token */
} MegaPostProcessor;

/* Reads the metadata: "text.single" and "text.pair" alternate pieces and types; "text.trim_offsets"
 * and "text.trim_keeps_first" are bools. Ids must be below vocab_size. */
int mega_post_processor_read(MegaPostProcessor *out, const MegaMeta *meta, int vocab_size,
                             MegaError *err);
int mega_post_processor_write(const MegaPostProcessor *post, MegaMeta *meta, MegaError *err);

/* ---- From sequences to what a model reads --------------------------------------------------- */

typedef enum MegaTruncation {
    MEGA_TRUNCATE_LONGEST, /* the longer of two sequences is cut first */
    MEGA_TRUNCATE_FIRST,
    MEGA_TRUNCATE_SECOND,
} MegaTruncation;

typedef struct MegaEncodeOptions {
    bool no_special;   /* leave out the template's tokens */
    size_t max_length; /* in tokens, with those of the template; 0: no limit */
    MegaTruncation truncation;
    bool windows;  /* give the sequence that would be cut in windows instead */
    size_t stride; /* tokens by which two windows overlap */
} MegaEncodeOptions;

/* An encoded text or pair of texts: its sequences, and how they are cut. */
typedef struct MegaTokenized {
    MegaTokens sequences[2];
    int count;                     /* number of sequences: 1 or 2 */
    const MegaPostProcessor *post; /* borrowed */
    bool no_special;
    size_t length[2]; /* number of tokens of each sequence in a window */
    int windowed;     /* the sequence that the windows move over */
    size_t step, windows;
} MegaTokenized;

/* Decides how the sequences are cut. It fails if they cannot be cut that short, or if there is no
 * template for two. */
int mega_tokenized_plan(MegaTokenized *tokenized, const MegaEncodeOptions *options, MegaError *err);
/* Appends window number `index` of tokenized->windows. */
int mega_tokenized_window(const MegaTokenized *tokenized, size_t index, MegaTokens *out,
                          MegaError *err);
void mega_tokenized_free(MegaTokenized *tokenized);

#endif
