/*
 * tokenizer.c - see tokenizer.h.
 */
#include "formats/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "formats/text/byte_bpe.h"
#include "formats/text/capitals.h"
#include "formats/text/units.h"

struct MegaCodec {
    MegaVocab *vocab;
    MegaTextFeatures features;
    MegaMoses *moses;       /* NULL: the text is tokens already */
    MegaBpe *bpe;           /* NULL: each word is a symbol */
    MegaByteBpe *byte_bpe;  /* if it is set, it does everything */
    MegaUnits *units;       /* the same */
    MegaCapitals *capitals; /* NULL: texts in capitals are read as they are */
    bool is_source;
    MegaPostProcessor post;
    bool types;
};

/* ---- Making --------------------------------------------------------------------------------- */

static const char *language_key(MegaCodecSide side)
{
    return side == MEGA_CODEC_SOURCE ? "text.source_language" : "text.target_language";
}

static int load_tokenizer(MegaCodec *codec, const MegaMeta *meta, MegaCodecSide side,
                          MegaError *err)
{
    const MegaMetaValue *kind, *language;
    int code = mega_meta_get_optional(meta, "text.tokenizer", MEGA_META_STRING, &kind, err);
    if (code || !kind)
        return code;
    if (strcmp(kind->string, "byte_bpe") == 0)
        return mega_byte_bpe_from_meta(&codec->byte_bpe, meta, codec->vocab, err);
    if (strcmp(kind->string, "units") == 0)
        return mega_units_from_meta(&codec->units, meta, codec->vocab, &codec->features, err);
    code = mega_meta_get_optional(meta, language_key(side), MEGA_META_STRING, &language, err);
    if (code)
        return code;
    if (strcmp(kind->string, "moses") != 0)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "metadata key 'text.tokenizer' is '%.60s', which this version does not "
                         "know",
                         kind->string);
    return mega_moses_new(&codec->moses, language ? language->string : "en", err);
}

/* Moses and BPE cut between characters, but bytes that are not UTF-8 have none. */
static int check_unit(MegaTextUnit unit, bool moses, bool bpe, MegaError *err)
{
    if (unit != MEGA_TEXT_BYTES || (!moses && !bpe))
        return 0;
    return mega_fail(err, MEGA_ERR_MODEL,
                     "the vocabulary is one of bytes, which %s cannot cut; only symbols and "
                     "characters go with it",
                     moses ? "the tokeniser of Moses" : "byte pair encoding");
}

static int check_capitals(MegaTextUnit unit, MegaError *err)
{
    return unit != MEGA_TEXT_BYTES
               ? 0
               : mega_fail(err, MEGA_ERR_MODEL,
                           "texts in capitals can be read in small letters by a vocabulary of "
                           "symbols or characters only");
}

/* Reads how texts in capitals are read. */
static int load_capitals(MegaCodec *codec, const MegaMeta *meta, MegaCodecSide side, MegaError *err)
{
    const MegaMetaValue *how, *language;
    int code = mega_meta_get_optional(meta, "text.capitals", MEGA_META_STRING, &how, err);
    if (!code)
        code = mega_meta_get_optional(meta, language_key(side), MEGA_META_STRING, &language, err);
    if (code || !how)
        return code;
    if (strcmp(how->string, "lower") != 0)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "metadata key 'text.capitals' is '%.60s', which this version does not "
                         "know",
                         how->string);
    code = check_capitals(codec->byte_bpe || codec->units ? MEGA_TEXT_BYTES : codec->features.unit,
                          err);
    return code ? code
                : mega_capitals_new(&codec->capitals, language ? language->string : "", err);
}

/* Reads the templates of the metadata, or else makes them from "text.cls" and "text.eos". A
 * language model gets its texts without special tokens. */
static int load_post_processor(MegaCodec *codec, const MegaMeta *meta, MegaError *err)
{
    const MegaMetaValue *types, *task;
    MegaTemplate *single = &codec->post.single;
    int code = mega_post_processor_read(&codec->post, meta, mega_vocab_count(codec->vocab), err);
    if (!code)
        code = mega_meta_get_optional(meta, "text.token_types", MEGA_META_BOOL, &types, err);
    if (code)
        return code;
    codec->types = types && types->boolean;
    task = mega_meta_find(meta, "general.task");
    if (single->count || codec->byte_bpe || codec->units)
        return 0;
    const bool bare =
        task && task->type == MEGA_META_STRING && strcmp(task->string, "generate") == 0;
    if (!bare && codec->features.cls >= 0)
        single->pieces[single->count++] = (MegaTemplatePiece){.piece = codec->features.cls};
    single->pieces[single->count++] = (MegaTemplatePiece){.piece = MEGA_PIECE_A};
    if (!bare && codec->features.eos >= 0)
        single->pieces[single->count++] = (MegaTemplatePiece){.piece = codec->features.eos};
    return 0;
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
    codec->is_source = side == MEGA_CODEC_SOURCE;
    int code = mega_vocab_from_meta(&codec->vocab, meta, vocab_key(meta, side), err);
    if (!code)
        code = mega_text_features_read(&codec->features, meta, err);
    if (!code)
        code = load_tokenizer(codec, meta, side, err);
    if (!code)
        code = mega_bpe_from_meta(&codec->bpe, meta, err);
    if (!code)
        code = check_unit(codec->features.unit, codec->moses, codec->bpe, err);
    if (!code)
        code = load_capitals(codec, meta, side, err);
    if (!code)
        code = load_post_processor(codec, meta, err);
    codec->features.cls = codec->features.eos = -1; /* callers of this codec add these themselves */
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
    mega_byte_bpe_free(codec->byte_bpe);
    mega_units_free(codec->units);
    mega_capitals_free(codec->capitals);
    free(codec);
}

const MegaVocab *mega_codec_vocab(const MegaCodec *codec)
{
    return codec->vocab;
}

/* Returns whether CR is a symbol, written as itself or, for bytes, as its number. */
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
    const MegaMetaValue *tokenizer = mega_meta_find(meta, "text.tokenizer");
    if (tokenizer && tokenizer->type == MEGA_META_STRING &&
        strcmp(tokenizer->string, "byte_bpe") == 0) {
        rules.bytes = MEGA_TEXT_BINARY; /* the tokenizer reports a byte that is not UTF-8 */
        rules.marks_inside = false;
        rules.keep_cr = true;
        return rules;
    }
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

/* Turns raw text into tokens with one blank between them. */
static int tokenize(const MegaCodec *codec, MegaBuffer *text, MegaError *err)
{
    MegaBuffer normal = {0}, tokens = {0};
    int code =
        mega_moses_normalize(codec->moses, (const char *)text->data, text->size, &normal, err);
    if (!code)
        code =
            mega_moses_tokenize(codec->moses, (const char *)normal.data, normal.size, &tokens, err);
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

bool mega_codec_in_capitals(const MegaCodec *codec, const char *text, size_t size)
{
    return codec->capitals && mega_utf8_valid(text, size) &&
           mega_capitals_found(codec->capitals, text, size);
}

int mega_codec_raise(const MegaCodec *codec, const char *text, size_t size, MegaBuffer *out,
                     MegaError *err)
{
    mega_capitals_raise(codec->capitals, text, size, out);
    return out->failed ? no_memory(err) : 0;
}

/* Makes the ids of a text that is cut into words already. */
static int encode_words(const MegaCodec *codec, MegaBuffer *words, int32_t **ids, size_t *count,
                        MegaError *err)
{
    int code = codec->bpe ? cut_words(codec, words, err) : 0;
    const char *rest = (const char *)words->data;
    size_t left = words->size;
    if (codec->features.unit == MEGA_TEXT_SYMBOLS)
        mega_utf8_trim(&rest, &left);
    if (!code && left > 0)
        code = mega_text_encode_all(codec->vocab, &codec->features, rest, left, "the text", ids,
                                    count, err);
    return code;
}

/* Counts an unknown symbol as more than any spelling has that is known. */
static int count_symbols(void *context, const char *word, size_t size, size_t *count,
                         MegaError *err)
{
    MegaBuffer words = {0};
    int32_t *ids = NULL;
    size_t symbols = 0;
    mega_put_bytes(&words, word, size);
    int code = words.failed ? no_memory(err) : encode_words(context, &words, &ids, &symbols, err);
    *count = symbols;
    for (size_t i = 0; i < symbols && !code; i++)
        *count += ids[i] == MEGA_ID_UNK ? size : 0;
    free(ids);
    mega_buffer_free(&words);
    return code;
}

int mega_codec_lower(const MegaCodec *codec, const char *text, size_t size, MegaBuffer *out,
                     MegaError *err)
{
    return mega_capitals_lower(codec->capitals, text, size, count_symbols, (void *)codec, out, err);
}

/* Puts a source in capitals into the spelling that the vocabulary knows. */
static int lower_source(const MegaCodec *codec, MegaBuffer *text, MegaError *err)
{
    const char *source = (const char *)text->data;
    MegaBuffer small = {0};
    if (!codec->is_source || !mega_codec_in_capitals(codec, source, text->size))
        return 0;
    int code = mega_codec_lower(codec, source, text->size, &small, err);
    mega_buffer_free(text);
    *text = small;
    return code;
}

static int encode_sequence(const MegaCodec *codec, const char *text, size_t size, MegaTokens *out,
                           MegaError *err);

/* Makes the ids of a text by a tokenizer that does everything itself. */
static int encode_whole(const MegaCodec *codec, const char *text, size_t size, int32_t **ids,
                        size_t *count, MegaError *err)
{
    MegaTokens tokens = {0};
    int code = encode_sequence(codec, text, size, &tokens, err);
    if (!code && tokens.count > 0) {
        *ids = malloc(tokens.count * sizeof **ids);
        code = *ids ? 0 : no_memory(err);
    }
    for (size_t i = 0; i < tokens.count && !code; i++)
        (*ids)[i] = tokens.data[i].id;
    *count = code ? 0 : tokens.count;
    mega_tokens_free(&tokens);
    return code;
}

int mega_codec_encode(const MegaCodec *codec, const char *text, size_t size, bool pre_tokenized,
                      int32_t **ids, size_t *count, MegaError *err)
{
    MegaBuffer work = {0};
    int code = 0;
    *ids = NULL;
    *count = 0;
    if (codec->byte_bpe || codec->units)
        return encode_whole(codec, text, size, ids, count, err);
    if (codec->features.unit == MEGA_TEXT_BYTES)
        mega_put_bytes(&work, text, size);
    else
        mega_utf8_repair(text, size, &work);
    if (work.failed)
        code = no_memory(err);
    if (!code && !pre_tokenized)
        code = lower_source(codec, &work, err);
    if (!code && codec->moses && !pre_tokenized)
        code = tokenize(codec, &work, err);
    if (!code)
        code = encode_words(codec, &work, ids, count, err);
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

static bool is_silent(const MegaCodec *codec, int32_t id)
{
    if (codec->units)
        return mega_units_is_special(codec->units, id);
    return id == MEGA_ID_PAD || id == MEGA_ID_EOS || id == MEGA_ID_BOS;
}

void mega_codec_decode_next(const MegaCodec *codec, int32_t id, bool first, MegaBuffer *out)
{
    if (codec->byte_bpe) {
        if (!mega_byte_bpe_is_special(codec->byte_bpe, id))
            mega_byte_bpe_put_bytes(codec->byte_bpe, id, out);
        return;
    }
    if (is_silent(codec, id))
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
    if (codec->byte_bpe)
        return mega_codec_decode_text(codec, ids, count, &(MegaDecodeOptions){0}, out, err);
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

/* A clean-up makes these replacements one after the other, each in the whole text. */
static const struct {
    const char *from, *to;
} clean_ups[] = {
    {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
    {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
};

static void clean_up(MegaBuffer *text)
{
    for (size_t i = 0; i < sizeof clean_ups / sizeof clean_ups[0]; i++) {
        const size_t from = strlen(clean_ups[i].from), to = strlen(clean_ups[i].to);
        size_t at = 0, end = 0;
        while (at < text->size) {
            if (text->size - at >= from && memcmp(text->data + at, clean_ups[i].from, from) == 0) {
                memcpy(text->data + end, clean_ups[i].to, to); /* `to` is never longer */
                at += from;
                end += to;
            } else {
                text->data[end++] = text->data[at++];
            }
        }
        text->size = end;
    }
}

int mega_codec_decode_text(const MegaCodec *codec, const int32_t *ids, size_t count,
                           const MegaDecodeOptions *options, MegaBuffer *out, MegaError *err)
{
    MegaBuffer bytes = {0}, text = {0};
    int code = 0;
    if (!codec->byte_bpe && !options->keep_special)
        code = mega_codec_decode(codec, ids, count, false, &bytes, err);
    for (size_t i = 0; i < count && !code; i++)
        if (codec->byte_bpe) {
            if (options->keep_special || !mega_byte_bpe_is_special(codec->byte_bpe, ids[i]))
                mega_byte_bpe_put_bytes(codec->byte_bpe, ids[i], &bytes);
        } else if (options->keep_special) {
            if (codec->features.unit == MEGA_TEXT_SYMBOLS && i > 0)
                mega_put_u8(&bytes, ' ');
            put_symbol(codec, ids[i], &bytes);
        }
    if (!code)
        mega_utf8_replace(bytes.data, bytes.size, &text);
    if (!code && options->clean_up && !text.failed)
        clean_up(&text);
    mega_put_bytes(out, text.data, text.size);
    if (!code && (bytes.failed || text.failed || out->failed))
        code = no_memory(err);
    mega_buffer_free(&bytes);
    mega_buffer_free(&text);
    return code;
}

/* ---- Tokens with their places --------------------------------------------------------------- */

bool mega_codec_has_places(const MegaCodec *codec)
{
    return !codec->moses;
}

bool mega_codec_has_types(const MegaCodec *codec)
{
    return codec->types;
}

/* Makes a token for each character of a text, or for each of its bytes. */
static void place_units(const int32_t *ids, size_t count, const char *text, bool bytes,
                        MegaTokens *out)
{
    uint32_t characters = 0;
    for (size_t i = 0; i < count; i++) {
        /* The place of a byte within a character is the whole character. */
        const bool inside = bytes && i > 0 && ((uint8_t)text[i] & 0xc0) == 0x80;
        characters += !inside;
        mega_tokens_add(out, &(MegaToken){.id = ids[i],
                                          .word = (int32_t)characters - 1,
                                          .start = characters - 1,
                                          .end = characters});
    }
}

/* Returns the size of the first piece in [*at, end), without the mark that the word goes on, and
 * moves *at to the next piece. */
static size_t next_piece(const char **at, const char *end, bool *goes_on)
{
    const char *word;
    size_t length = 0, mark = strlen(MEGA_BPE_SEPARATOR);
    if (!mega_utf8_next_word(at, end, &word, &length))
        return 0;
    *goes_on = length > mark && memcmp(word + length - mark, MEGA_BPE_SEPARATOR, mark) == 0;
    return *goes_on ? length - mark : length;
}

static uint32_t count_characters(const char *text, size_t size)
{
    uint32_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += ((uint8_t)text[i] & 0xc0) != 0x80;
    return count;
}

/* Makes tokens of words between white space. pieces is the output of byte pair encoding, or the
 * text itself. */
static void place_words(const int32_t *ids, size_t count, const char *text, size_t size,
                        const MegaBuffer *pieces, MegaTokens *out)
{
    const char *at = text, *end = text + size, *word, *before = text;
    const char *piece = (const char *)pieces->data, *last = piece + pieces->size;
    uint32_t start = 0;
    size_t length, next = 0;
    int32_t number = 0;
    for (; mega_utf8_next_word(&at, end, &word, &length); number++) {
        start += count_characters(before, (size_t)(word - before));
        before = word;
        bool goes_on = true;
        for (size_t done = 0; goes_on && next < count;) {
            size_t part = next_piece(&piece, last, &goes_on);
            part = part < length - done ? part : length - done;
            const uint32_t from = start + count_characters(word, done);
            const uint32_t to = from + count_characters(word + done, part);
            mega_tokens_add(
                out, &(MegaToken){.id = ids[next++], .word = number, .start = from, .end = to});
            done += part;
        }
    }
}

/* Makes tokens without places, since those of Moses cannot be traced back to the text. */
static void place_nowhere(const int32_t *ids, size_t count, MegaTokens *out)
{
    for (size_t i = 0; i < count; i++)
        mega_tokens_add(out, &(MegaToken){.id = ids[i], .word = (int32_t)i});
}

static int encode_places(const MegaCodec *codec, const char *text, size_t size, MegaTokens *out,
                         MegaError *err)
{
    int32_t *ids = NULL;
    size_t count = 0;
    MegaBuffer whole = {0}, pieces = {0};
    int code = mega_codec_encode(codec, text, size, false, &ids, &count, err);
    if (!code && codec->features.unit != MEGA_TEXT_BYTES)
        mega_utf8_repair(text, size, &whole);
    mega_put_bytes(&pieces, whole.data, whole.size);
    if (!code && codec->bpe && !codec->moses)
        code = cut_words(codec, &pieces, err);
    if (!code && (whole.failed || pieces.failed))
        code = no_memory(err);
    if (!code && codec->moses)
        place_nowhere(ids, count, out);
    else if (!code && codec->features.unit == MEGA_TEXT_SYMBOLS)
        place_words(ids, count, (const char *)whole.data, whole.size, &pieces, out);
    else if (!code)
        place_units(ids, count, text, codec->features.unit == MEGA_TEXT_BYTES, out);
    if (!code && out->failed)
        code = no_memory(err);
    free(ids);
    mega_buffer_free(&whole);
    mega_buffer_free(&pieces);
    return code;
}

static int encode_sequence(const MegaCodec *codec, const char *text, size_t size, MegaTokens *out,
                           MegaError *err)
{
    return codec->byte_bpe ? mega_byte_bpe_encode(codec->byte_bpe, text, size, out, err)
           : codec->units  ? mega_units_encode(codec->units, text, size, out, err)
                           : encode_places(codec, text, size, out, err);
}

int mega_codec_encode_texts(const MegaCodec *codec, const MegaTexts *texts,
                            const MegaEncodeOptions *options, MegaTokenized *out, MegaError *err)
{
    *out = (MegaTokenized){.count = texts->second ? 2 : 1, .post = &codec->post};
    int code = encode_sequence(codec, texts->first, texts->first_size, &out->sequences[0], err);
    if (!code && texts->second)
        code = encode_sequence(codec, texts->second, texts->second_size, &out->sequences[1], err);
    return code ? code : mega_tokenized_plan(out, options, err);
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
        {"text.capitals", settings->lower_capitals ? "lower" : NULL},
    };
    int code = check_unit(settings->unit, settings->moses, settings->bpe, err);
    if (!code && settings->lower_capitals)
        code = check_capitals(settings->unit, err);
    if (!code)
        code = mega_text_features_write(&features, meta, err);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && !code; i++)
        if (texts[i].value && mega_meta_set_string(meta, texts[i].key, texts[i].value))
            code = mega_fail(err, MEGA_ERR_ARGUMENT, "'%.60s' cannot be stored as %s",
                             texts[i].value, texts[i].key);
    return code;
}
