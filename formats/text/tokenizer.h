/*
 * tokenizer.h - text to token ids and back, for translators and language models, as the metadata of
 * a model says:
 *
 *   vocab.symbols, or vocab.source and vocab.target   dictionaries
 *   text.unit        "symbols", "characters" or "bytes" (vocab.h)
 *   text.tokenizer   "moses": words are cut and joined as in moses.h; "byte_bpe": byte_bpe.h, which
 *                    does everything; else absent
 *   text.source_language, text.target_language        for Moses
 *   bpe.*            byte pair encoding (bpe.h)
 *
 * encode: repair UTF-8 -> normalise punctuation -> tokenise -> BPE -> ids; decode the other way.
 * A vocabulary of bytes takes them as they are and goes with neither tokeniser nor BPE.
 * With `pre_tokenized` text is what lies between tokeniser and BPE. A codec is immutable.
 *
 * mega_codec_encode gives the ids of a text alone. mega_codec_encode_texts gives tokens with their
 * places in one text or two, cut to a length and with special tokens around them (tokens.h).
 */
#ifndef MEGA_TOKENIZER_H
#define MEGA_TOKENIZER_H

#include "formats/text/bpe.h"
#include "formats/text/moses.h"
#include "formats/text/text_input.h"
#include "formats/text/tokens.h"
#include "formats/text/vocab.h"

typedef enum MegaCodecSide {
    MEGA_CODEC_SOURCE, /* of a translator */
    MEGA_CODEC_TARGET, /* of a translator, or a language model's only side */
} MegaCodecSide;

typedef struct MegaCodec MegaCodec;

int mega_codec_new(MegaCodec **out, const MegaMeta *meta, MegaCodecSide side, MegaError *err);
void mega_codec_free(MegaCodec *codec);
const MegaVocab *mega_codec_vocab(const MegaCodec *codec);

/* How a file is read that holds text for this side of a model, or token ids; what is expected of it
 * serves the messages. Bytes that are no UTF-8 are left to a vocabulary of bytes, and so are line
 * ends to a vocabulary that has CR; else they become U+FFFD and LF. */
MegaTextRules mega_codec_text_rules(const MegaMeta *meta, MegaCodecSide side, bool ids,
                                    const char *what);

/* Ids of a text, nothing added at its ends; an empty text has none. *ids by malloc. */
int mega_codec_encode(const MegaCodec *codec, const char *text, size_t size, bool pre_tokenized,
                      int32_t **ids, size_t *count, MegaError *err);
/* Appends the text of ids. <s>, <pad> and </s> are left out, ids out of range become <unk>. */
int mega_codec_decode(const MegaCodec *codec, const int32_t *ids, size_t count, bool pre_tokenized,
                      MegaBuffer *out, MegaError *err);
/* Appends the text of one more id, for texts that grow: symbols with a blank before all but the
 * first, characters and bytes as they are. A byte may be a part of a character. */
void mega_codec_decode_next(const MegaCodec *codec, int32_t id, bool first, MegaBuffer *out);

/* ---- Tokens with their places --------------------------------------------------------------- */

typedef struct MegaTexts {
    const char *first, *second; /* second NULL: one text. An empty second one is a sequence, too */
    size_t first_size, second_size;
} MegaTexts;

/* Tokens of one text or of a pair. The codec must outlive *out; free that also after an error. */
int mega_codec_encode_texts(const MegaCodec *codec, const MegaTexts *texts,
                            const MegaEncodeOptions *options, MegaTokenized *out, MegaError *err);
/* Whether the tokens have places: those of Moses have none, since it changes the text. */
bool mega_codec_has_places(const MegaCodec *codec);
/* Whether the model is to be given the types of tokens. */
bool mega_codec_has_types(const MegaCodec *codec);

typedef struct MegaDecodeOptions {
    bool keep_special; /* special tokens are a part of the text */
    bool clean_up;     /* of blanks before punctuation and English endings; loses text */
} MegaDecodeOptions;

/* Appends the text of ids as well-formed UTF-8: what is none becomes U+FFFD. */
int mega_codec_decode_text(const MegaCodec *codec, const int32_t *ids, size_t count,
                           const MegaDecodeOptions *options, MegaBuffer *out, MegaError *err);

/* ---- For mega-convert ----------------------------------------------------------------------- */

typedef struct MegaCodecSettings {
    MegaTextUnit unit;
    bool moses, bpe;                               /* neither goes with bytes */
    const char *source_language, *target_language; /* NULL: not known */
} MegaCodecSettings;

int mega_codec_write(const MegaCodecSettings *settings, MegaMeta *meta, MegaError *err);

#endif
