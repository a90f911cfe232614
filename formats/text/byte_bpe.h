/*
 * byte_bpe.h - byte pair encoding of bytes, as GPT-2 and RoBERTa tokenize.
 *
 *   text -> added tokens and pieces between them (added_tokens.h)
 *        -> a blank put before each piece, if the model wants that
 *        -> words: 's 't 're 've 'm 'll 'd, or runs of letters, numbers or others with at most one
 *           blank before them, or runs of white space (unicode_classes.h)
 *        -> bytes, each written as a character: 21-7E, A1-AC and AE-FF as the code point of that
 *           number, the other 68 as U+0100 to U+0143 (a blank is U+0120)
 *        -> in each word the pair of symbols with the least rank is merged, the leftmost one first,
 *           until no pair has a rank
 *
 * Metadata: "vocab.symbols" has the tokens as they are written with those characters, and
 *   byte_bpe.merges          ints, three a merge, best first: left, right and merged token
 *   byte_bpe.unknown         int, the token of a byte that is none; absent: such bytes are left out
 *   byte_bpe.fuse_unknown    bool, neighbouring unknown bytes are one token
 *   text.added, text.added_flags   ints, added tokens and MEGA_ADDED_*
 *   text.add_prefix_space    bool
 *
 * An object may be used by any number of threads at once. Words that were encoded are remembered,
 * which changes nothing but the time.
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

/* vocab is borrowed. */
int mega_byte_bpe_from_meta(MegaByteBpe **out, const MegaMeta *meta, const MegaVocab *vocab,
                            MegaError *err);
void mega_byte_bpe_free(MegaByteBpe *bpe);

/* How many of the 256 bytes have no token. */
int mega_byte_bpe_missing_bytes(const MegaByteBpe *bpe);

/* Appends the tokens of a text, without a template's. A text that is not UTF-8 is an error that
 * says at which byte; NUL is an ordinary character. */
int mega_byte_bpe_encode(const MegaByteBpe *bpe, const char *text, size_t size, MegaTokens *out,
                         MegaError *err);

/* Appends the bytes of a token; a number that is no token has none. */
void mega_byte_bpe_put_bytes(const MegaByteBpe *bpe, int32_t id, MegaBuffer *out);
/* Whether a token is left out where special ones are not wanted. */
bool mega_byte_bpe_is_special(const MegaByteBpe *bpe, int32_t id);

/* The character that a byte is written as. */
uint32_t mega_byte_bpe_character(uint8_t byte);

#endif
