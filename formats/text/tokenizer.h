/*
 * tokenizer.h - converts text to token ids and back, for translators and language models, as a
 * model's metadata describes it:
 *
 *   vocab.symbols, or vocab.source and vocab.target   dictionaries
 *   text.unit        "symbols", "characters" or "bytes" (vocab.h)
 *   text.tokenizer   "moses": words are cut and joined as in moses.h; "byte_bpe": byte_bpe.h does
 *                    everything, or "units": units.h does; absent: neither
 *   text.source_language, text.target_language        for Moses
 *   text.capitals    "lower": sources in capitals are read in the spelling that the
 *                    vocabulary knows, such as small letters (capitals.h)
 *   bpe.*            byte pair encoding (bpe.h)
 *
 * Encoding repairs UTF-8, normalises punctuation, tokenises, applies BPE and looks up ids. Decoding
 * goes the other way. A vocabulary of bytes takes bytes unchanged and is used without tokeniser and
 * BPE. With `pre_tokenized`, the text is the output of the tokeniser, before BPE. A tokenizer is
 * immutable.
 *
 * mega_tokenizer_encode gives only the ids of a text. mega_tokenizer_encode_texts gives tokens with
 * their places in one text or two, truncated to a length and with special tokens around them
 * (tokens.h).
 */
#ifndef MEGA_TOKENIZER_H
#define MEGA_TOKENIZER_H

#include "formats/text/bpe.h"
#include "formats/text/moses.h"
#include "formats/text/text_input.h"
#include "formats/text/tokens.h"
#include "formats/text/vocab.h"

typedef enum MegaTokenizerSide {
    MEGA_TOKENIZER_SOURCE, /* the source of a translator */
    MEGA_TOKENIZER_TARGET, /* the target of a translator, or the only side of a language model */
} MegaTokenizerSide;

typedef struct MegaTokenizer MegaTokenizer;

int mega_tokenizer_new(MegaTokenizer **out, const MegaMeta *meta, MegaTokenizerSide side,
                       MegaError *err);
void mega_tokenizer_free(MegaTokenizer *tokenizer);
const MegaVocab *mega_tokenizer_vocab(const MegaTokenizer *tokenizer);

/* Returns the rules for reading a file of text, or of token ids, for this side of a model. Messages
 * say what is expected of the file. Bytes that are not UTF-8 stay if the vocabulary consists of
 * bytes, and line ends stay if it has CR; otherwise they become U+FFFD and LF. */
MegaTextRules mega_tokenizer_text_rules(const MegaMeta *meta, MegaTokenizerSide side, bool ids,
                                        const char *what);

/* Returns whether a text is in capitals and the model reads it in small letters, so that its
 * translation is to be written in capitals. */
bool mega_tokenizer_in_capitals(const MegaTokenizer *tokenizer, const char *text, size_t size);
/* Appends such a text in the spelling that the vocabulary knows (capitals.h). mega_tokenizer_encode
 * does this with a source; a target is in capitals only because its source is, which the caller
 * knows. */
int mega_tokenizer_lower(const MegaTokenizer *tokenizer, const char *text, size_t size,
                         MegaBuffer *out, MegaError *err);
/* Appends a text in capitals; the tokenizer has read one in capitals. */
int mega_tokenizer_raise(const MegaTokenizer *tokenizer, const char *text, size_t size,
                         MegaBuffer *out, MegaError *err);

/* Makes the ids of a text and adds none at its ends; an empty text has no ids. free() frees
 * *ids. */
int mega_tokenizer_encode(const MegaTokenizer *tokenizer, const char *text, size_t size,
                          bool pre_tokenized, int32_t **ids, size_t *count, MegaError *err);
/* Appends the text of ids. <s>, <pad> and </s> are left out; ids that are out of range become
 * <unk>. */
int mega_tokenizer_decode(const MegaTokenizer *tokenizer, const int32_t *ids, size_t count,
                          bool pre_tokenized, MegaBuffer *out, MegaError *err);
/* Appends the text of one more id to a growing text. Symbols are separated by blanks; characters
 * and bytes are appended unchanged. A byte may be part of a character. */
void mega_tokenizer_decode_next(const MegaTokenizer *tokenizer, int32_t id, bool first,
                                MegaBuffer *out);

/* ---- Tokens with their places --------------------------------------------------------------- */

typedef struct MegaTexts {
    const char *first, *second; /* second NULL: there is one text. An empty second text is a
                                   sequence, too */
    size_t first_size, second_size;
} MegaTexts;

/* Makes the tokens of one text or of a pair. The tokenizer must outlive *out, which is to be freed
 * also after an error. */
int mega_tokenizer_encode_texts(const MegaTokenizer *tokenizer, const MegaTexts *texts,
                                const MegaEncodeOptions *options, MegaTokenized *out,
                                MegaError *err);
/* Returns whether the tokens have places. With Moses they have none, since it changes the text. */
bool mega_tokenizer_has_places(const MegaTokenizer *tokenizer);
/* Returns whether the model reads the types of tokens. */
bool mega_tokenizer_has_types(const MegaTokenizer *tokenizer);

typedef struct MegaDecodeOptions {
    bool keep_special; /* include special tokens in the text */
    bool clean_up;     /* remove blanks before punctuation and English endings, which loses text */
} MegaDecodeOptions;

/* Appends the text of ids as well-formed UTF-8; other bytes become U+FFFD. */
int mega_tokenizer_decode_text(const MegaTokenizer *tokenizer, const int32_t *ids, size_t count,
                               const MegaDecodeOptions *options, MegaBuffer *out, MegaError *err);

/* ---- For mega-convert ----------------------------------------------------------------------- */

typedef struct MegaTokenizerSettings {
    MegaTextUnit unit;
    bool moses, bpe;                               /* neither goes with bytes */
    bool lower_capitals;                           /* as text.capitals "lower" */
    const char *source_language, *target_language; /* NULL: not known */
} MegaTokenizerSettings;

int mega_tokenizer_write(const MegaTokenizerSettings *settings, MegaMeta *meta, MegaError *err);

#endif
