/*
 * byte_bpe.h - byte-level byte pair encoding, as GPT-2 and RoBERTa use it.
 *
 *   text -> added tokens and pieces between them (added_tokens.h)
 *        -> a blank before each piece, if the model wants one
 *        -> words: 's 't 're 've 'm 'll 'd, or runs of letters, numbers or others with at most one
 *           blank before them, or runs of white space (unicode_classes.h)
 *        -> bytes, each written as a character: 21-7E, A1-AC and AE-FF as the code point of that
 *           number, the other 68 as U+0100 to U+0143 (a blank is U+0120)
 *        -> in each word the pair of symbols with the least rank is merged, the leftmost one first,
 *           until no pair has a rank
 *
 * In the metadata, "vocab.symbols" has the tokens written with those characters. Further keys:
 *   byte_bpe.merges          ints, three a merge, best first: left, right and merged token
 *   byte_bpe.unknown         int, the token of a byte without a token; absent: it is left out
 *   byte_bpe.fuse_unknown    bool, neighbouring unknown bytes are one token
 *   text.added, text.added_flags   ints, added tokens and MEGA_ADDED_*
 *   text.add_prefix_space    bool
 *
 * Any number of threads may use an object at once. It caches encoded words, which changes only the
 * speed.
 */
#ifndef MEGA_BYTE_BPE_H
#define MEGA_BYTE_BPE_H

#include "formats/base/bytes.h"
#include "formats/mega/meta.h"
#include "formats/text/added_tokens.h"
#include "formats/text/tokens.h"
#include "formats/text/vocab.h"

#define MEGA_BYTE_BPE_MAX_MERGES (MEGA_META_MAX_ELEMENTS / 3)

typedef struct MegaByteBpe MegaByteBpe;

/* Makes the object, which borrows vocab. */
int mega_byte_bpe_from_meta(MegaByteBpe **out, const MegaMeta *meta, const MegaVocab *vocab,
                            MegaError *err);
void mega_byte_bpe_free(MegaByteBpe *bpe);

/* Returns how many of the 256 bytes have no token. */
int mega_byte_bpe_missing_bytes(const MegaByteBpe *bpe);

/* Appends the tokens of a text, without those of a template. If the text is not UTF-8, the error
 * names the byte. NUL is an ordinary character. */
int mega_byte_bpe_encode(const MegaByteBpe *bpe, const char *text, size_t size, MegaTokens *out,
                         MegaError *err);

/* Appends the bytes of a token. An id that is not a token has no bytes. */
void mega_byte_bpe_put_bytes(const MegaByteBpe *bpe, int32_t id, MegaBuffer *out);
/* Returns whether a token is left out when special tokens are not wanted. */
bool mega_byte_bpe_is_special(const MegaByteBpe *bpe, int32_t id);

#endif
