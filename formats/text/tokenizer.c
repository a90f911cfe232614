/*
 * tokenizer.c - see tokenizer.h.
 */
#include "formats/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "formats/text/byte_bpe.h"
#include "formats/text/capitals.h"
#include "formats/text/units.h"

struct MegaTokenizer {
    MegaVocab *vocab;
    MegaTextPreprocess preprocess;
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

static const char *language_key(MegaTokenizerSide side)
{
    return side == MEGA_TOKENIZER_SOURCE ? "text.source_language" : "text.target_language";
}

static int load_tokenizer(MegaTokenizer *tokenizer, const MegaMeta *meta, MegaTokenizerSide side,
                          MegaError *err)
{
    const MegaMetaValue *kind, *language;
    int code = mega_meta_get_optional(meta, "text.tokenizer", MEGA_META_STRING, &kind, err);
    if (code || !kind)
        return code;
    if (strcmp(kind->string, "byte_bpe") == 0)
        return mega_byte_bpe_from_meta(&tokenizer->byte_bpe, meta, tokenizer->vocab, err);
    if (strcmp(kind->string, "units") == 0)
        return mega_units_from_meta(&tokenizer->units, meta, tokenizer->vocab,
                                    &tokenizer->preprocess, err);
    code = mega_meta_get_optional(meta, language_key(side), MEGA_META_STRING, &language, err);
    if (code)
        return code;
    if (strcmp(kind->string, "moses") != 0)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "metadata key 'text.tokenizer' is '%.60s', which this version does not "
                         "know",
                         kind->string);
    return mega_moses_new(&tokenizer->moses, language ? language->string : "en", err);
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
static int load_capitals(MegaTokenizer *tokenizer, const MegaMeta *meta, MegaTokenizerSide side,
                         MegaError *err)
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
    code = check_capitals(tokenizer->byte_bpe || tokenizer->units ? MEGA_TEXT_BYTES
                                                                  : tokenizer->preprocess.unit,
                          err);
    return code ? code
                : mega_capitals_new(&tokenizer->capitals, language ? language->string : "", err);
}

/* Reads the templates of the metadata, or else makes them from "text.cls" and "text.eos". A
 * language model gets its texts without special tokens. */
static int load_post_processor(MegaTokenizer *tokenizer, const MegaMeta *meta, MegaError *err)
{
    const MegaMetaValue *types, *task;
    MegaTemplate *single = &tokenizer->post.single;
    int code =
        mega_post_processor_read(&tokenizer->post, meta, mega_vocab_count(tokenizer->vocab), err);
    if (!code)
        code = mega_meta_get_optional(meta, "text.token_types", MEGA_META_BOOL, &types, err);
    if (code)
        return code;
    tokenizer->types = types && types->boolean;
    task = mega_meta_find(meta, "general.task");
    if (single->count || tokenizer->byte_bpe || tokenizer->units)
        return 0;
    const bool bare =
        task && task->type == MEGA_META_STRING && strcmp(task->string, "generate") == 0;
    if (!bare && tokenizer->preprocess.cls >= 0)
        single->pieces[single->count++] = (MegaTemplatePiece){.piece = tokenizer->preprocess.cls};
    single->pieces[single->count++] = (MegaTemplatePiece){.piece = MEGA_PIECE_A};
    if (!bare && tokenizer->preprocess.eos >= 0)
        single->pieces[single->count++] = (MegaTemplatePiece){.piece = tokenizer->preprocess.eos};
    return 0;
}

static const char *vocab_key(const MegaMeta *meta, MegaTokenizerSide side)
{
    const char *key = side == MEGA_TOKENIZER_SOURCE ? MEGA_VOCAB_SOURCE_KEY : MEGA_VOCAB_TARGET_KEY;
    return mega_meta_find(meta, key) ? key : MEGA_VOCAB_KEY;
}

int mega_tokenizer_new(MegaTokenizer **out, const MegaMeta *meta, MegaTokenizerSide side,
                       MegaError *err)
{
    *out = NULL;
    MegaTokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a tokenizer");
    tokenizer->is_source = side == MEGA_TOKENIZER_SOURCE;
    int code = mega_vocab_from_meta(&tokenizer->vocab, meta, vocab_key(meta, side), err);
    if (!code)
        code = mega_text_preprocess_read(&tokenizer->preprocess, meta, err);
    if (!code)
        code = load_tokenizer(tokenizer, meta, side, err);
    if (!code)
        code = mega_bpe_from_meta(&tokenizer->bpe, meta, err);
    if (!code)
        code = check_unit(tokenizer->preprocess.unit, tokenizer->moses, tokenizer->bpe, err);
    if (!code)
        code = load_capitals(tokenizer, meta, side, err);
    if (!code)
        code = load_post_processor(tokenizer, meta, err);
    tokenizer->preprocess.cls = tokenizer->preprocess.eos =
        -1; /* callers of this tokenizer add these themselves */
    if (code)
        mega_tokenizer_free(tokenizer);
    else
        *out = tokenizer;
    return code;
}

void mega_tokenizer_free(MegaTokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    mega_vocab_free(tokenizer->vocab);
    mega_moses_free(tokenizer->moses);
    mega_bpe_free(tokenizer->bpe);
    mega_byte_bpe_free(tokenizer->byte_bpe);
    mega_units_free(tokenizer->units);
    mega_capitals_free(tokenizer->capitals);
    free(tokenizer);
}

const MegaVocab *mega_tokenizer_vocab(const MegaTokenizer *tokenizer)
{
    return tokenizer->vocab;
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

MegaTextRules mega_tokenizer_text_rules(const MegaMeta *meta, MegaTokenizerSide side, bool ids,
                                        const char *what)
{
    MegaTextRules rules = {.what = what, .limit = MEGA_TEXT_MAX_SIZE, .marks_inside = true};
    MegaTextPreprocess preprocess;
    if (ids || mega_text_preprocess_read(&preprocess, meta, NULL))
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
    rules.bytes = preprocess.unit == MEGA_TEXT_BYTES ? MEGA_TEXT_BINARY : MEGA_TEXT_REPAIRED;
    rules.marks_inside = preprocess.unit != MEGA_TEXT_BYTES;
    rules.keep_cr =
        symbols && preprocess.unit != MEGA_TEXT_SYMBOLS && has_cr(symbols, preprocess.unit);
    return rules;
}

/* ---- Encoding ------------------------------------------------------------------------------- */

static int no_memory(MegaError *err)
{
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text");
}

/* Turns raw text into tokens with one blank between them. */
static int tokenize(const MegaTokenizer *tokenizer, MegaBuffer *text, MegaError *err)
{
    MegaBuffer normal = {0}, tokens = {0};
    int code =
        mega_moses_normalize(tokenizer->moses, (const char *)text->data, text->size, &normal, err);
    if (!code)
        code = mega_moses_tokenize(tokenizer->moses, (const char *)normal.data, normal.size,
                                   &tokens, err);
    mega_buffer_free(&normal);
    mega_buffer_free(text);
    *text = tokens;
    return code;
}

static int cut_words(const MegaTokenizer *tokenizer, MegaBuffer *text, MegaError *err)
{
    MegaBuffer pieces = {0};
    int code = mega_bpe_apply(tokenizer->bpe, (const char *)text->data, text->size, &pieces, err);
    mega_buffer_free(text);
    *text = pieces;
    return code;
}

bool mega_tokenizer_in_capitals(const MegaTokenizer *tokenizer, const char *text, size_t size)
{
    return tokenizer->capitals && mega_utf8_valid(text, size) &&
           mega_capitals_found(tokenizer->capitals, text, size);
}

int mega_tokenizer_raise(const MegaTokenizer *tokenizer, const char *text, size_t size,
                         MegaBuffer *out, MegaError *err)
{
    mega_capitals_raise(tokenizer->capitals, text, size, out);
    return out->failed ? no_memory(err) : 0;
}

/* Makes the ids of a text that is cut into words already. */
static int encode_words(const MegaTokenizer *tokenizer, MegaBuffer *words, int32_t **ids,
                        size_t *count, MegaError *err)
{
    int code = tokenizer->bpe ? cut_words(tokenizer, words, err) : 0;
    const char *rest = (const char *)words->data;
    size_t left = words->size;
    if (tokenizer->preprocess.unit == MEGA_TEXT_SYMBOLS)
        mega_utf8_trim(&rest, &left);
    if (!code && left > 0)
        code = mega_text_encode_all(tokenizer->vocab, &tokenizer->preprocess, rest, left,
                                    "the text", ids, count, err);
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

int mega_tokenizer_lower(const MegaTokenizer *tokenizer, const char *text, size_t size,
                         MegaBuffer *out, MegaError *err)
{
    return mega_capitals_lower(tokenizer->capitals, text, size, count_symbols, (void *)tokenizer,
                               out, err);
}

/* Puts a source in capitals into the spelling that the vocabulary knows. */
static int lower_source(const MegaTokenizer *tokenizer, MegaBuffer *text, MegaError *err)
{
    const char *source = (const char *)text->data;
    MegaBuffer small = {0};
    if (!tokenizer->is_source || !mega_tokenizer_in_capitals(tokenizer, source, text->size))
        return 0;
    int code = mega_tokenizer_lower(tokenizer, source, text->size, &small, err);
    mega_buffer_free(text);
    *text = small;
    return code;
}

static int encode_sequence(const MegaTokenizer *tokenizer, const char *text, size_t size,
                           MegaTokens *out, MegaError *err);

/* Makes the ids of a text by a tokenizer that does everything itself. */
static int encode_whole(const MegaTokenizer *tokenizer, const char *text, size_t size,
                        int32_t **ids, size_t *count, MegaError *err)
{
    MegaTokens tokens = {0};
    int code = encode_sequence(tokenizer, text, size, &tokens, err);
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

int mega_tokenizer_encode(const MegaTokenizer *tokenizer, const char *text, size_t size,
                          bool pre_tokenized, int32_t **ids, size_t *count, MegaError *err)
{
    MegaBuffer work = {0};
    int code = 0;
    *ids = NULL;
    *count = 0;
    if (tokenizer->byte_bpe || tokenizer->units)
        return encode_whole(tokenizer, text, size, ids, count, err);
    if (tokenizer->preprocess.unit == MEGA_TEXT_BYTES)
        mega_put_bytes(&work, text, size);
    else
        mega_utf8_repair(text, size, &work);
    if (work.failed)
        code = no_memory(err);
    if (!code && !pre_tokenized)
        code = lower_source(tokenizer, &work, err);
    if (!code && tokenizer->moses && !pre_tokenized)
        code = tokenize(tokenizer, &work, err);
    if (!code)
        code = encode_words(tokenizer, &work, ids, count, err);
    mega_buffer_free(&work);
    return code;
}

/* ---- Decoding ------------------------------------------------------------------------------- */

static void put_symbol(const MegaTokenizer *tokenizer, int32_t id, MegaBuffer *out)
{
    const char *symbol = mega_vocab_symbol(tokenizer->vocab, id);
    if (!symbol)
        symbol = mega_vocab_symbol(tokenizer->vocab, MEGA_ID_UNK);
    mega_text_put_symbol(&tokenizer->preprocess, tokenizer->vocab, symbol ? symbol : "", out);
}

static bool is_silent(const MegaTokenizer *tokenizer, int32_t id)
{
    if (tokenizer->units)
        return mega_units_is_special(tokenizer->units, id);
    return id == MEGA_ID_PAD || id == MEGA_ID_EOS || id == MEGA_ID_BOS;
}

void mega_tokenizer_decode_next(const MegaTokenizer *tokenizer, int32_t id, bool first,
                                MegaBuffer *out)
{
    if (tokenizer->byte_bpe) {
        if (!mega_byte_bpe_is_special(tokenizer->byte_bpe, id))
            mega_byte_bpe_put_bytes(tokenizer->byte_bpe, id, out);
        return;
    }
    if (is_silent(tokenizer, id))
        return;
    if (tokenizer->preprocess.unit == MEGA_TEXT_SYMBOLS && !first)
        mega_put_u8(out, ' ');
    put_symbol(tokenizer, id, out);
}

int mega_tokenizer_decode(const MegaTokenizer *tokenizer, const int32_t *ids, size_t count,
                          bool pre_tokenized, MegaBuffer *out, MegaError *err)
{
    MegaBuffer symbols = {0}, words = {0};
    int code = 0;
    if (tokenizer->byte_bpe)
        return mega_tokenizer_decode_text(tokenizer, ids, count, &(MegaDecodeOptions){0}, out, err);
    for (size_t i = 0; i < count; i++)
        mega_tokenizer_decode_next(tokenizer, ids[i], symbols.size == 0, &symbols);
    if (tokenizer->bpe)
        mega_bpe_join((const char *)symbols.data, symbols.size, &words);
    const MegaBuffer *text = tokenizer->bpe ? &words : &symbols;
    if (symbols.failed || words.failed)
        code = no_memory(err);
    else if (tokenizer->moses && !pre_tokenized)
        code =
            mega_moses_detokenize(tokenizer->moses, (const char *)text->data, text->size, out, err);
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

int mega_tokenizer_decode_text(const MegaTokenizer *tokenizer, const int32_t *ids, size_t count,
                               const MegaDecodeOptions *options, MegaBuffer *out, MegaError *err)
{
    MegaBuffer bytes = {0}, text = {0};
    int code = 0;
    if (!tokenizer->byte_bpe && !options->keep_special)
        code = mega_tokenizer_decode(tokenizer, ids, count, false, &bytes, err);
    for (size_t i = 0; i < count && !code; i++)
        if (tokenizer->byte_bpe) {
            if (options->keep_special || !mega_byte_bpe_is_special(tokenizer->byte_bpe, ids[i]))
                mega_byte_bpe_put_bytes(tokenizer->byte_bpe, ids[i], &bytes);
        } else if (options->keep_special) {
            if (tokenizer->preprocess.unit == MEGA_TEXT_SYMBOLS && i > 0)
                mega_put_u8(&bytes, ' ');
            put_symbol(tokenizer, ids[i], &bytes);
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

bool mega_tokenizer_has_places(const MegaTokenizer *tokenizer)
{
    return !tokenizer->moses;
}

bool mega_tokenizer_has_types(const MegaTokenizer *tokenizer)
{
    return tokenizer->types;
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

static int encode_places(const MegaTokenizer *tokenizer, const char *text, size_t size,
                         MegaTokens *out, MegaError *err)
{
    int32_t *ids = NULL;
    size_t count = 0;
    MegaBuffer whole = {0}, pieces = {0};
    int code = mega_tokenizer_encode(tokenizer, text, size, false, &ids, &count, err);
    if (!code && tokenizer->preprocess.unit != MEGA_TEXT_BYTES)
        mega_utf8_repair(text, size, &whole);
    mega_put_bytes(&pieces, whole.data, whole.size);
    if (!code && tokenizer->bpe && !tokenizer->moses)
        code = cut_words(tokenizer, &pieces, err);
    if (!code && (whole.failed || pieces.failed))
        code = no_memory(err);
    if (!code && tokenizer->moses)
        place_nowhere(ids, count, out);
    else if (!code && tokenizer->preprocess.unit == MEGA_TEXT_SYMBOLS)
        place_words(ids, count, (const char *)whole.data, whole.size, &pieces, out);
    else if (!code)
        place_units(ids, count, text, tokenizer->preprocess.unit == MEGA_TEXT_BYTES, out);
    if (!code && out->failed)
        code = no_memory(err);
    free(ids);
    mega_buffer_free(&whole);
    mega_buffer_free(&pieces);
    return code;
}

static int encode_sequence(const MegaTokenizer *tokenizer, const char *text, size_t size,
                           MegaTokens *out, MegaError *err)
{
    return tokenizer->byte_bpe ? mega_byte_bpe_encode(tokenizer->byte_bpe, text, size, out, err)
           : tokenizer->units  ? mega_units_encode(tokenizer->units, text, size, out, err)
                               : encode_places(tokenizer, text, size, out, err);
}

int mega_tokenizer_encode_texts(const MegaTokenizer *tokenizer, const MegaTexts *texts,
                                const MegaEncodeOptions *options, MegaTokenized *out,
                                MegaError *err)
{
    *out = (MegaTokenized){.count = texts->second ? 2 : 1, .post = &tokenizer->post};
    int code = encode_sequence(tokenizer, texts->first, texts->first_size, &out->sequences[0], err);
    if (!code && texts->second)
        code =
            encode_sequence(tokenizer, texts->second, texts->second_size, &out->sequences[1], err);
    return code ? code : mega_tokenized_plan(out, options, err);
}

/* ---- Writing -------------------------------------------------------------------------------- */

int mega_tokenizer_write(const MegaTokenizerSettings *settings, MegaMeta *meta, MegaError *err)
{
    MegaTextPreprocess preprocess = {
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
        code = mega_text_preprocess_write(&preprocess, meta, err);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && !code; i++)
        if (texts[i].value && mega_meta_set_string(meta, texts[i].key, texts[i].value))
            code = mega_fail(err, MEGA_ERR_ARGUMENT, "'%.60s' cannot be stored as %s",
                             texts[i].value, texts[i].key);
    return code;
}
