/*
 * glossary.h - the regular expressions of a segmentation, whose matches are never cut (bpe.h).
 *
 * Both the text and the expressions, which come with a model, may be hostile. So an expression may
 * not split a character (\C) and may not match before the start of the search. The work has limits,
 * too: on the memory and the backtracking of one search, and on the steps of all searches in a text
 * together. The last limit is proportional to the size of the text.
 */
#ifndef MEGA_GLOSSARY_H
#define MEGA_GLOSSARY_H

#include <stdbool.h>
#include <stddef.h>

#include "src/mega.h"

#define MEGA_GLOSSARY_MAX_COUNT 1000
#define MEGA_GLOSSARY_MAX_SIZE 65536 /* bytes of one expression */

typedef struct MegaGlossary MegaGlossary;             /* the compiled expressions; immutable */
typedef struct MegaGlossarySearch MegaGlossarySearch; /* the state of the work on one text */

int mega_glossary_new(MegaGlossary **out, const char *const *expressions, size_t count,
                      MegaError *err);
void mega_glossary_free(MegaGlossary *glossary);
size_t mega_glossary_count(const MegaGlossary *glossary);

/* Begins the work on a text of that many bytes. */
int mega_glossary_search_new(MegaGlossarySearch **out, const MegaGlossary *glossary,
                             size_t text_size, MegaError *err);
void mega_glossary_search_free(MegaGlossarySearch *search);

typedef struct MegaGlossaryMatch {
    size_t begin, end; /* bytes of the word; at <= begin <= end <= size */
} MegaGlossaryMatch;

/* Returns 1 if expression number `index` matches the whole word, 0 if not, and a negative error,
 * which names the expression. A word is well-formed UTF-8. */
int mega_glossary_is_match(MegaGlossarySearch *search, size_t index, const char *word, size_t size,
                           MegaError *err);
/* Finds the first match at or after byte `at` of a word. The match may be empty. */
int mega_glossary_find(MegaGlossarySearch *search, size_t index, const char *word, size_t size,
                       size_t at, MegaGlossaryMatch *match, MegaError *err);

#endif
