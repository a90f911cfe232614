/*
 * units.h - a tokenizer without merges: special tokens stand literally in the text ("<sep>"), and
 * what is between them is cut into characters, bytes, or symbols between white space, each of which
 * is looked up in the vocabulary.
 *
 * Metadata: text.tokenizer "units", text.unit (vocab.h), special.unk, text.added and
 * text.added_flags (added_tokens.h), text.fuse_unknown (a run of characters that the vocabulary
 * does not have is one token), and text.case "upper" or "lower": ASCII letters outside of special
 * tokens are looked up as such. White space that the vocabulary does not have is skipped; anything
 * else that it does not have is special.unk, or left out without one. An object is immutable.
 */
#ifndef MEGA_UNITS_H
#define MEGA_UNITS_H

#include "formats/text/added_tokens.h"
#include "formats/text/tokens.h"
#include "formats/text/vocab.h"

typedef struct MegaUnits MegaUnits;

/* Makes the object, which borrows vocab. */
int mega_units_from_meta(MegaUnits **out, const MegaMeta *meta, const MegaVocab *vocab,
                         const MegaTextPreprocess *preprocess, MegaError *err);
void mega_units_free(MegaUnits *units);
/* Appends the tokens of a text, without those of a template. The text must be UTF-8. */
int mega_units_encode(const MegaUnits *units, const char *text, size_t size, MegaTokens *out,
                      MegaError *err);
bool mega_units_is_special(const MegaUnits *units, int32_t id);

#endif
