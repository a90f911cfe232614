/*
 * vocab.h - vocabularies, and the conversion of text to token ids.
 *
 * A fairseq dictionary is a text file with one "symbol count" per line, split at the last space.
 * Ids 0 to 3 are <s> <pad> </s> <unk>, and the first line has id 4. A model file holds the whole
 * list in the metadata "vocab.symbols", and text.* describes how it is used (MegaTextPreprocess).
 */
#ifndef MEGA_VOCAB_H
#define MEGA_VOCAB_H

#include "formats/base/bytes.h"
#include "formats/mega/meta.h"
#include "src/mega.h"

#define MEGA_VOCAB_MAX_SYMBOLS 4000000
#define MEGA_VOCAB_MAX_SYMBOL 65536    /* bytes of one symbol */
#define MEGA_VOCAB_MAX_FILE (1u << 28) /* bytes */
#define MEGA_TEXT_MAX_SIZE (1u << 26)  /* bytes of one text */
#define MEGA_VOCAB_KEY "vocab.symbols"
/* For a translator whose two sides have different vocabularies. */
#define MEGA_VOCAB_SOURCE_KEY "vocab.source"
#define MEGA_VOCAB_TARGET_KEY "vocab.target"

enum {
    MEGA_ID_BOS = 0,
    MEGA_ID_PAD = 1,
    MEGA_ID_EOS = 2,
    MEGA_ID_UNK = 3,
};

typedef enum MegaTextUnit {
    MEGA_TEXT_SYMBOLS,    /* separated by whitespace */
    MEGA_TEXT_CHARACTERS, /* Unicode code points of UTF-8 */
    MEGA_TEXT_BYTES,
} MegaTextUnit;
#define MEGA_TEXT_UNIT_COUNT (MEGA_TEXT_BYTES + 1)

/* The metadata text.unit, text.cls (the id put before a text, -1: none), text.eos (the id put after
 * it, -1: none) and text.unk. */
typedef struct MegaTextPreprocess {
    MegaTextUnit unit;
    int cls, eos, unk;
    int limit;        /* "text.limit": most ids of a text, cls and eos included; 0: any number */
    bool expressions; /* "text.expressions": ListOps, whose parentheses are not symbols and whose
                         bracket "]" is the symbol "X" */
} MegaTextPreprocess;

int mega_text_preprocess_read(MegaTextPreprocess *out, const MegaMeta *meta, MegaError *err);
int mega_text_preprocess_write(const MegaTextPreprocess *preprocess, MegaMeta *meta,
                               MegaError *err);

typedef struct MegaVocab MegaVocab;

/* Reads a dictionary file. append_cls adds <CLS> as the last id, as the LRA text task does. Errors
 * name the line and the cause: no count, a duplicate without " #fairseq:overwrite", not UTF-8. */
int mega_vocab_read(MegaVocab **out, const char *path, bool append_cls, MegaError *err);
/* Reads a vocabulary from the metadata of a model file. key is MEGA_VOCAB_KEY or one of the
 * others. */
int mega_vocab_from_meta(MegaVocab **out, const MegaMeta *meta, const char *key, MegaError *err);
int mega_vocab_write(const MegaVocab *vocab, MegaMeta *meta, const char *key, MegaError *err);
/* Returns whether both have the same symbols in the same order. */
bool mega_vocab_equal(const MegaVocab *a, const MegaVocab *b);
void mega_vocab_free(MegaVocab *vocab);

int mega_vocab_count(const MegaVocab *vocab);
const char *mega_vocab_symbol(const MegaVocab *vocab, int id); /* NULL out of range */
/* Returns the id of a symbol, or -1 if there is none. The last of several equal symbols counts. */
int mega_vocab_find(const MegaVocab *vocab, const char *symbol, size_t length);

/*
 * Makes [cls] + ids of the text + [eos] and sets *count to their number; free() frees *ids. Symbols
 * that the vocabulary does not have become preprocess->unk.
 *   MEGA_TEXT_SYMBOLS     they are separated by white space, including that of Unicode
 *   MEGA_TEXT_CHARACTERS  code points; a byte that is not UTF-8 is unknown; a space and a line end
 *                         that are not in the vocabulary are looked up as U+2581 and U+23CE
 *   MEGA_TEXT_BYTES       if the vocabulary has any of the symbols "10" to "255", bytes are decimal
 *                         numbers, else characters U+0000 to U+00FF, the space as above
 * One final line end is not part of the text. An empty text is an error. Messages use `name`.
 */
int mega_text_encode(const MegaVocab *vocab, const MegaTextPreprocess *preprocess, const char *text,
                     size_t size, const char *name, int32_t **ids, size_t *count, MegaError *err);
/* Does the same, but a final line end is part of the text. */
int mega_text_encode_all(const MegaVocab *vocab, const MegaTextPreprocess *preprocess,
                         const char *text, size_t size, const char *name, int32_t **ids,
                         size_t *count, MegaError *err);
/* Appends the text of a symbol. For MEGA_TEXT_BYTES it may be a single byte. */
void mega_text_put_symbol(const MegaTextPreprocess *preprocess, const MegaVocab *vocab,
                          const char *symbol, MegaBuffer *out);
/* Reads decimal ids, separated by white space and each below vocab_size, and adds none. */
int mega_text_parse_ids(const char *text, size_t size, int vocab_size, const char *name,
                        int32_t **ids, size_t *count, MegaError *err);

#endif
