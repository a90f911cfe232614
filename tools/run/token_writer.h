/*
 * token_writer.h - prints tokens, as lines or as JSON.
 *
 * Printing a token would take longer than finding it if each number went through printf and each
 * symbol was examined anew. So a buffer collects the output, a table keeps what is printed of each
 * token, and places are counted on in decimal digits, since most lie a little after the one
 * before.
 */
#ifndef MEGA_TOKEN_WRITER_H
#define MEGA_TOKEN_WRITER_H

#include <stdio.h>

#include "formats/text/tokenizer.h"

/* Holds how a token is printed: as JSON its symbol, else id, TAB and symbol. text is NULL before
 * its first use. */
typedef struct TokenSymbol {
    char *text;
    size_t size;
} TokenSymbol;

#define NUMBER_DIGITS 10 /* most digits of a number */

/* A number and its digits, which end at digits[NUMBER_DIGITS]. What is after them has no meaning:
 * it is there so that a copy may have the same size whatever the number. */
typedef struct TokenPlace {
    uint32_t value;
    int first; /* index of the first digit */
    char digits[2 * NUMBER_DIGITS];
} TokenPlace;

typedef struct TokenWriter {
    FILE *out;
    const MegaTokenizer *tokenizer;
    bool json;
    int vocab;            /* number of tokens */
    TokenSymbol *symbols; /* [vocab] */
    char *buffer;         /* `filled` bytes of it are still to be written */
    size_t filled;
    TokenPlace place; /* the one that was printed last */
    bool failed;      /* memory ran out for a symbol, which is missing */
} TokenWriter;

/* Makes a writer, which borrows tokenizer. Free it also after an error. */
int token_writer_new(TokenWriter *writer, FILE *out, const MegaTokenizer *tokenizer, bool json,
                     MegaError *err);
void token_writer_free(TokenWriter *writer);
/* Passes what was printed so far on to `out`. */
void token_writer_flush(TokenWriter *writer);

void token_writer_text(TokenWriter *writer, const char *text);
/* Prints a line for each token: id, symbol and place. Control characters, such as line breaks, are
 * printed as \u and four digits. */
void token_writer_lines(TokenWriter *writer, const MegaTokens *tokens);
/* Prints window number `window` of `windows` as a JSON object, piece by piece: for a text of
 * millions of tokens, an object in memory would take gigabytes. */
void token_writer_json(TokenWriter *writer, const MegaTokens *tokens, size_t window,
                       size_t windows);

#endif
