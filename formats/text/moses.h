/*
 * moses.h - the tokeniser of the Moses machine translation system, as fairseq's translation data is
 * prepared with it: punctuation is normalised, tokens are separated, and nothing is escaped.
 *
 * The rules are those of sacremoses 0.2 (MIT licence), a port of the Moses scripts. The tokens are
 * the same except for a few characters of rare scripts (tests/oracles/text.py), and they do not
 * depend on the Unicode version of the regular expression library. English and German have their
 * own rules and lists of abbreviations; any other language code gets the general rules. An object
 * is immutable, so any number of threads may use it. Text is well-formed UTF-8 (see
 * mega_utf8_repair) without line ends. The time is linear in the length.
 */
#ifndef MEGA_MOSES_H
#define MEGA_MOSES_H

#include "formats/base/bytes.h"
#include "src/mega.h"

typedef struct MegaMoses MegaMoses;

/* Makes the object for a language such as "en" or "de". */
int mega_moses_new(MegaMoses **out, const char *language, MegaError *err);
void mega_moses_free(MegaMoses *moses);

/* These three append to *out, which need not be empty, and add no final NUL. */
/* Does MosesPunctNormalizer(language).normalize(text). */
int mega_moses_normalize(const MegaMoses *moses, const char *text, size_t size, MegaBuffer *out,
                         MegaError *err);
/* Does MosesTokenizer(language).tokenize(text, escape=False), and joins the tokens with blanks. */
int mega_moses_tokenize(const MegaMoses *moses, const char *text, size_t size, MegaBuffer *out,
                        MegaError *err);
/* Does MosesDetokenizer(language).detokenize(text.split()). */
int mega_moses_detokenize(const MegaMoses *moses, const char *text, size_t size, MegaBuffer *out,
                          MegaError *err);

#endif
