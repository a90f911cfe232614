/*
 * tokens.h - tokens with their places in a text, and what is made of them for a model: one or two
 * sequences are cut to a length or into windows, special tokens are put around them by a template,
 * and blanks at the ends of tokens are left out of their places.
 *
 *   [tokens of A] [tokens of B] -> truncation or windows -> trimming -> template -> MegaTokens
 *
 * Places are code points [start, end) of the text that a sequence comes from.
 */
#ifndef MEGA_TOKENS_H
#define MEGA_TOKENS_H

#include "formats/mega/meta.h"

typedef struct MegaToken {
    int32_t id;
    int32_t word;               /* its word's number in its sequence; -1: put in by the template */
    uint32_t start, end;        /* code points; 0, 0 for those of the template */
    uint32_t leading, trailing; /* blanks at the ends of the token's text */
    uint8_t type;               /* for the table of token types */
    int8_t sequence;            /* 0 or 1; -1: put in by the template */
} MegaToken;

typedef struct MegaTokens {
    MegaToken *data; /* [count] */
    size_t count, capacity;
    bool failed; /* no memory */
} MegaTokens;

void mega_tokens_add(MegaTokens *tokens, const MegaToken *token);
void mega_tokens_free(MegaTokens *tokens);

/* ---- Templates ------------------------------------------------------------------------------ */

#define MEGA_TEMPLATE_MAX 64 /* pieces */

/* What is put around a sequence, or around two: "text.single", "text.pair". */
enum {
    MEGA_PIECE_A = -1,
    MEGA_PIECE_B = -2, /* others are ids of tokens */
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
    bool trim;        /* places leave out blanks at the ends of tokens ... */
    bool keeps_first; /* ... but not the one that may have been put before the first token */
} MegaPostProcessor;

/* Metadata: "text.single" and "text.pair" are pieces and types in turn, "text.trim_offsets" and
 * "text.trim_keeps_first" bools. Ids are checked against vocab_size. */
int mega_post_processor_read(MegaPostProcessor *out, const MegaMeta *meta, int vocab_size,
                             MegaError *err);
int mega_post_processor_write(const MegaPostProcessor *post, MegaMeta *meta, MegaError *err);

/* ---- From sequences to what a model reads --------------------------------------------------- */

typedef enum MegaTruncation {
    MEGA_TRUNCATE_LONGEST, /* of two sequences, the longer one gives way first */
    MEGA_TRUNCATE_FIRST,
    MEGA_TRUNCATE_SECOND,
} MegaTruncation;

typedef struct MegaEncodeOptions {
    bool no_special;   /* without the template's tokens */
    size_t max_length; /* tokens, the template's included; 0: any number */
    MegaTruncation truncation;
    bool windows;  /* the sequence that would be cut is given in windows instead ... */
    size_t stride; /* ... which overlap by that many tokens */
} MegaEncodeOptions;

/* An encoded text or pair of texts: its sequences, and how they are cut. */
typedef struct MegaTokenized {
    MegaTokens sequences[2];
    int count;                     /* sequences: 1 or 2 */
    const MegaPostProcessor *post; /* borrowed */
    bool no_special;
    size_t length[2]; /* tokens of each sequence in a window */
    int windowed;     /* which sequence the windows move over */
    size_t step, windows;
} MegaTokenized;

/* Decides how the sequences are cut. An error: they cannot be cut that short, or there is no form
 * for two. */
int mega_tokenized_plan(MegaTokenized *tokenized, const MegaEncodeOptions *options, MegaError *err);
/* Appends window number `index` of tokenized->windows. */
int mega_tokenized_window(const MegaTokenized *tokenized, size_t index, MegaTokens *out,
                          MegaError *err);
void mega_tokenized_free(MegaTokenized *tokenized);

#endif
