/*
 * moses.h - the tokeniser of the Moses machine translation system, as translation data of the
 * fairseq family is prepared with: punctuation normalised, tokens cut apart, nothing escaped.
 *
 * The rules are those of sacremoses 0.2 (MIT licence), a port of the Moses scripts; the same tokens
 * come out, but for a few signs of rare scripts (tests/oracles/text.py), whatever Unicode the
 * regular expression library knows. English and German have their own rules and lists of
 * abbreviations; any other language code gets the general rules. An object is immutable: any number
 * of threads may use one. Text is UTF-8 without line ends and must be well formed (see
 * mega_utf8_repair). Time is linear in the length.
 */
#ifndef MEGA_MOSES_H
#define MEGA_MOSES_H

#include "formats/base/bytes.h"
#include "src/mega.h"

typedef struct MegaMoses MegaMoses;

/* language: "en", "de", ... */
int mega_moses_new(MegaMoses **out, const char *language, MegaError *err);
void mega_moses_free(MegaMoses *moses);

/* All append to *out, which may hold something already, without a final NUL. */
/* MosesPunctNormalizer(language).normalize(text) */
int mega_moses_normalize(const MegaMoses *moses, const char *text, size_t size, MegaBuffer *out,
                         MegaError *err);
/* MosesTokenizer(language).tokenize(text, escape=False): tokens with one blank between them */
int mega_moses_tokenize(const MegaMoses *moses, const char *text, size_t size, MegaBuffer *out,
                        MegaError *err);
/* MosesDetokenizer(language).detokenize(text.split()) */
int mega_moses_detokenize(const MegaMoses *moses, const char *text, size_t size, MegaBuffer *out,
                          MegaError *err);

#endif
