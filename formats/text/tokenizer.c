/*
 * tokenizer.c - see tokenizer.h.
 */
#include "formats/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

struct MegaCodec {
    MegaVocab *vocab;
    MegaTextFeatures features;
    MegaMoses *moses; /* NULL: text is tokens already */
    MegaBpe *bpe;     /* NULL: a word is a symbol */
};

/* ---- Making --------------------------------------------------------------------------------- */

static int load_tokenizer(MegaCodec *codec, const MegaMeta *meta, MegaCodecSide side,
                          MegaError *err)
{
    const MegaMetaValue *kind, *language;
    int code = mega_meta_get_optional(meta, "text.tokenizer", MEGA_META_STRING, &kind, err);
    if (code || !kind)
        return code;
    code = mega_meta_get_optional(
        meta, side == MEGA_CODEC_SOURCE ? "text.source_language" : "text.target_language",
        MEGA_META_STRING, &language, err);
    if (code)
        return code;
    if (strcmp(kind->string, "moses") != 0)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "metadata key 'text.tokenizer' is '%.60s', which this version does not "
                         "know",
                         kind->string);
    return mega_moses_new(&codec->moses, language ? language->string : "en", err);
}

/* Moses and BPE cut between characters; bytes that are no UTF-8 have none. */
static int check_unit(MegaTextUnit unit, bool moses, bool bpe, MegaError *err)
{
    if (unit != MEGA_TEXT_BYTES || (!moses && !bpe))
        return 0;
    return mega_fail(err, MEGA_ERR_MODEL,
                     "the vocabulary is one of bytes, which %s cannot cut; only symbols and "
                     "characters go with it",
                     moses ? "the tokeniser of Moses" : "byte pair encoding");
}

static const char *vocab_key(const MegaMeta *meta, MegaCodecSide side)
{
    const char *key = side == MEGA_CODEC_SOURCE ? MEGA_VOCAB_SOURCE_KEY : MEGA_VOCAB_TARGET_KEY;
    return mega_meta_find(meta, key) ? key : MEGA_VOCAB_KEY;
}

int mega_codec_new(MegaCodec **out, const MegaMeta *meta, MegaCodecSide side, MegaError *err)
{
    *out = NULL;
    MegaCodec *codec = calloc(1, sizeof *codec);
    if (!codec)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a codec");
    int code = mega_vocab_from_meta(&codec->vocab, meta, vocab_key(meta, side), err);
    if (!code)
        code = mega_text_features_read(&codec->features, meta, err);
    if (!code)
        code = load_tokenizer(codec, meta, side, err);
    if (!code)
        code = mega_bpe_from_meta(&codec->bpe, meta, err);
    if (!code)
        code = check_unit(codec->features.unit, codec->moses, codec->bpe, err);
    codec->features.cls = codec->features.eos = -1; /* the caller's business here */
    if (code)
        mega_codec_free(codec);
    else
        *out = codec;
    return code;
}

void mega_codec_free(MegaCodec *codec)
{
    if (!codec)
        return;
    mega_vocab_free(codec->vocab);
    mega_moses_free(codec->moses);
    mega_bpe_free(codec->bpe);
    free(codec);
}

const MegaVocab *mega_codec_vocab(const MegaCodec *codec)
{
    return codec->vocab;
}

/* Whether CR is a symbol: itself, or for bytes its number. */
static bool has_cr(const MegaMetaValue *symbols, MegaTextUnit unit)
{
    for (uint64_t i = 0; symbols->type == MEGA_META_STRINGS && i < symbols->count; i++)
        if (strcmp(symbols->strings[i], "\r") == 0 ||
            (unit == MEGA_TEXT_BYTES && strcmp(symbols->strings[i], "13") == 0))
            return true;
    return false;
}

MegaTextRules mega_codec_text_rules(const MegaMeta *meta, MegaCodecSide side, bool ids,
                                    const char *what)
{
    MegaTextRules rules = {.what = what, .limit = MEGA_TEXT_MAX_SIZE, .marks_inside = true};
    MegaTextFeatures features;
    if (ids || mega_text_features_read(&features, meta, NULL))
        return rules;
    const MegaMetaValue *symbols = mega_meta_find(meta, vocab_key(meta, side));
    rules.bytes = features.unit == MEGA_TEXT_BYTES ? MEGA_TEXT_BINARY : MEGA_TEXT_REPAIRED;
    rules.marks_inside = features.unit != MEGA_TEXT_BYTES;
    rules.keep_cr = symbols && features.unit != MEGA_TEXT_SYMBOLS && has_cr(symbols, features.unit);
    return rules;
}

/* ---- Encoding ------------------------------------------------------------------------------- */

static int no_memory(MegaError *err)
{
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text");
}

/* Raw text to tokens with one blank between them. */
static int tokenize(const MegaCodec *codec, MegaBuffer *text, MegaError *err)
{
    MegaBuffer normal = {0}, tokens = {0};
    int code = mega_moses_normalize(codec->moses, (const char *)text->data, text->size, &normal,
                                    err);
    if (!code)
        code = mega_moses_tokenize(codec->moses, (const char *)normal.data, normal.size, &tokens,
                                   err);
    mega_buffer_free(&normal);
    mega_buffer_free(text);
    *text = tokens;
    return code;
}

static int cut_words(const MegaCodec *codec, MegaBuffer *text, MegaError *err)
{
    MegaBuffer pieces = {0};
    int code = mega_bpe_apply(codec->bpe, (const char *)text->data, text->size, &pieces, err);
    mega_buffer_free(text);
    *text = pieces;
    return code;
}

int mega_codec_encode(const MegaCodec *codec, const char *text, size_t size, bool pre_tokenized,
                      int32_t **ids, size_t *count, MegaError *err)
{
    MegaBuffer work = {0};
    int code = 0;
    *ids = NULL;
    *count = 0;
    if (codec->features.unit == MEGA_TEXT_BYTES)
        mega_put_bytes(&work, text, size);
    else
        mega_utf8_repair(text, size, &work);
    if (work.failed)
        code = no_memory(err);
    if (!code && codec->moses && !pre_tokenized)
        code = tokenize(codec, &work, err);
    if (!code && codec->bpe)
        code = cut_words(codec, &work, err);
    const char *rest = (const char *)work.data;
    size_t left = work.size;
    if (codec->features.unit == MEGA_TEXT_SYMBOLS)
        mega_utf8_trim(&rest, &left);
    if (!code && left > 0)
        code = mega_text_encode_all(codec->vocab, &codec->features, rest, left, "the text", ids,
                                    count, err);
    mega_buffer_free(&work);
    return code;
}

/* ---- Decoding ------------------------------------------------------------------------------- */

static void put_symbol(const MegaCodec *codec, int32_t id, MegaBuffer *out)
{
    const char *symbol = mega_vocab_symbol(codec->vocab, id);
    if (!symbol)
        symbol = mega_vocab_symbol(codec->vocab, MEGA_ID_UNK);
    mega_text_put_symbol(&codec->features, codec->vocab, symbol ? symbol : "", out);
}

static bool is_silent(int32_t id)
{
    return id == MEGA_ID_PAD || id == MEGA_ID_EOS || id == MEGA_ID_BOS;
}

void mega_codec_decode_next(const MegaCodec *codec, int32_t id, bool first, MegaBuffer *out)
{
    if (is_silent(id))
        return;
    if (codec->features.unit == MEGA_TEXT_SYMBOLS && !first)
        mega_put_u8(out, ' ');
    put_symbol(codec, id, out);
}

int mega_codec_decode(const MegaCodec *codec, const int32_t *ids, size_t count, bool pre_tokenized,
                      MegaBuffer *out, MegaError *err)
{
    MegaBuffer symbols = {0}, words = {0};
    int code = 0;
    for (size_t i = 0; i < count; i++)
        mega_codec_decode_next(codec, ids[i], symbols.size == 0, &symbols);
    if (codec->bpe)
        mega_bpe_join((const char *)symbols.data, symbols.size, &words);
    const MegaBuffer *text = codec->bpe ? &words : &symbols;
    if (symbols.failed || words.failed)
        code = no_memory(err);
    else if (codec->moses && !pre_tokenized)
        code = mega_moses_detokenize(codec->moses, (const char *)text->data, text->size, out, err);
    else
        mega_put_bytes(out, text->data, text->size);
    mega_buffer_free(&symbols);
    mega_buffer_free(&words);
    return code ? code : out->failed ? no_memory(err) : 0;
}

/* ---- Writing -------------------------------------------------------------------------------- */

int mega_codec_write(const MegaCodecSettings *settings, MegaMeta *meta, MegaError *err)
{
    MegaTextFeatures features = {
        .unit = settings->unit, .cls = -1, .eos = MEGA_ID_EOS, .unk = MEGA_ID_UNK};
    const struct {
        const char *key, *value;
    } texts[] = {
        {"text.tokenizer", settings->moses ? "moses" : NULL},
        {"text.source_language", settings->source_language},
        {"text.target_language", settings->target_language},
    };
    int code = check_unit(settings->unit, settings->moses, settings->bpe, err);
    if (!code)
        code = mega_text_features_write(&features, meta, err);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && !code; i++)
        if (texts[i].value && mega_meta_set_string(meta, texts[i].key, texts[i].value))
            code = mega_fail(err, MEGA_ERR_ARGUMENT, "'%.60s' cannot be stored as %s",
                             texts[i].value, texts[i].key);
    return code;
}
