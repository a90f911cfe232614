/*
 * tokenizer.h - text to token ids and back, for translators and language models, as the metadata of
 * a model says:
 *
 *   vocab.symbols, or vocab.source and vocab.target   dictionaries
 *   text.unit        "symbols", "characters" or "bytes" (vocab.h)
 *   text.tokenizer   "moses": words are cut and joined as in moses.h; else absent
 *   text.source_language, text.target_language        for Moses
 *   bpe.*            byte pair encoding (bpe.h)
 *
 * encode: repair UTF-8 -> normalise punctuation -> tokenise -> BPE -> ids; decode the other way.
 * A vocabulary of bytes takes them as they are and goes with neither tokeniser nor BPE.
 * With `pre_tokenized` text is what lies between tokeniser and BPE. A codec is immutable.
 */
#ifndef MEGA_TOKENIZER_H
#define MEGA_TOKENIZER_H

#include "formats/text/bpe.h"
#include "formats/text/moses.h"
#include "formats/text/text_input.h"
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

/* ---- For mega-convert ----------------------------------------------------------------------- */

typedef struct MegaCodecSettings {
    MegaTextUnit unit;
    bool moses, bpe; /* neither goes with bytes */
    const char *source_language, *target_language; /* NULL: not known */
} MegaCodecSettings;

int mega_codec_write(const MegaCodecSettings *settings, MegaMeta *meta, MegaError *err);

#endif
