/*
 * glossary.h - the regular expressions of a segmentation, whose matches are never cut (bpe.h).
 *
 * Both the expressions, which come with a model, and the text may be a stranger's. So an expression
 * may neither leave a character half matched (\C), nor match in front of where the search begins,
 * and the work on a text has limits: on the memory and the backtracking of one search, and on the
 * steps of all searches in the text together, which grow with the text and no faster.
 */
#ifndef MEGA_GLOSSARY_H
#define MEGA_GLOSSARY_H

#include <stdbool.h>
#include <stddef.h>

#include "src/mega.h"

#define MEGA_GLOSSARY_MAX_COUNT 1000
#define MEGA_GLOSSARY_MAX_SIZE 65536 /* bytes of one expression */

typedef struct MegaGlossary MegaGlossary;             /* the compiled expressions; immutable */
typedef struct MegaGlossarySearch MegaGlossarySearch; /* the work on one text */

int mega_glossary_new(MegaGlossary **out, const char *const *expressions, size_t count,
                      MegaError *err);
void mega_glossary_free(MegaGlossary *glossary);
size_t mega_glossary_count(const MegaGlossary *glossary);

/* For a text of that many bytes. */
int mega_glossary_search_new(MegaGlossarySearch **out, const MegaGlossary *glossary,
                             size_t text_size, MegaError *err);
void mega_glossary_search_free(MegaGlossarySearch *search);

typedef struct MegaGlossaryMatch {
    size_t begin, end; /* bytes of the word; at <= begin <= end <= size */
} MegaGlossaryMatch;

/* Whether expression number `index` matches all of a word (1) or not (0); < 0: an error, which
 * names the expression. A word is well-formed UTF-8. */
int mega_glossary_is_match(MegaGlossarySearch *search, size_t index, const char *word, size_t size,
                           MegaError *err);
/* The first match at or behind byte `at` of a word, which may be empty. */
int mega_glossary_find(MegaGlossarySearch *search, size_t index, const char *word, size_t size,
                       size_t at, MegaGlossaryMatch *match, MegaError *err);

#endif
