/*
 * byte_bpe.c - see byte_bpe.h. What a word becomes is looked up first (byte_bpe_words.h), and else
 * found by merging (byte_bpe_merges.h).
 */
#include "formats/text/byte_bpe.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/byte_bpe_merges.h"
#include "formats/text/byte_bpe_words.h"

#define BLANK 0x120 /* the character that stands for a blank */
#define FIRST_SHIFTED 0x100
#define SHIFTED 68 /* number of bytes that are written as other characters */

/* ---- Bytes as characters -------------------------------------------------------------------- */

static bool is_itself(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* Returns the character that stands for a byte. */
static uint32_t character_of(uint8_t byte)
{
    uint32_t shifted = FIRST_SHIFTED;
    if (is_itself(byte))
        return byte;
    for (unsigned other = 0; other < byte; other++)
        shifted += !is_itself(other);
    return shifted;
}

/* Writes one of the 256 characters, each of which has one or two bytes in UTF-8. */
static size_t write_character(uint32_t code, char text[2])
{
    if (code < 0x80) {
        text[0] = (char)code;
        return 1;
    }
    text[0] = (char)(0xc0 | code >> 6);
    text[1] = (char)(0x80 | (code & 0x3f));
    return 2;
}

/* ---- Making --------------------------------------------------------------------------------- */

/* Blanks at the ends of a token's text. */
typedef struct TokenInfo {
    uint32_t leading, trailing;
} TokenInfo;

struct MegaByteBpe {
    const MegaVocab *vocab;
    MegaUnicodeClasses *classes;
    MegaAddedTokens *added;
    MegaMergeTable *merges;
    TokenInfo *info;                          /* [vocabulary] */
    int32_t of_byte[256];                     /* the token of each byte, or -1 */
    uint8_t width[256];                       /* size of the byte's character in UTF-8 */
    int16_t byte_of[FIRST_SHIFTED + SHIFTED]; /* the byte of each character, or -1 */
    int missing;                              /* number of bytes without a token */
    int32_t unknown;                          /* token of unknown bytes, or -1 */
    bool fuse_unknown, add_prefix_space;
    MegaWords *words;
};

static void make_alphabet(MegaByteBpe *bpe)
{
    char text[2];
    memset(bpe->byte_of, 0xff, sizeof bpe->byte_of);
    for (unsigned byte = 0; byte < 256; byte++) {
        const uint32_t code = character_of((uint8_t)byte);
        bpe->width[byte] = (uint8_t)write_character(code, text);
        bpe->byte_of[code] = (int16_t)byte;
        bpe->of_byte[byte] = mega_vocab_find(bpe->vocab, text, bpe->width[byte]);
        bpe->missing += bpe->of_byte[byte] < 0;
    }
}

/* Counts the blanks at both ends of a text: white space, and the character of a blank. */
static TokenInfo look_at(const MegaUnicodeClasses *classes, const char *text, size_t size)
{
    TokenInfo info = {0};
    uint32_t code = 0, characters = 0;
    for (size_t at = 0, length; at < size; at += length) {
        length = mega_utf8_decode(text + at, size - at, &code);
        const bool blank = code == BLANK || mega_unicode_class(classes, code) == MEGA_CLASS_WHITE;
        info.leading += blank && info.leading == characters;
        info.trailing = blank ? info.trailing + 1 : 0;
        characters++;
    }
    return info;
}

/* The text of the merged token must be that of its parts, since places in a text depend on it. */
static int check_merge(const MegaVocab *vocab, const MegaMerge *merge, MegaError *err)
{
    const char *left = mega_vocab_symbol(vocab, merge->left);
    const char *right = mega_vocab_symbol(vocab, merge->right);
    const char *merged = mega_vocab_symbol(vocab, merge->merged);
    const size_t size = left ? strlen(left) : 0;
    if (left && right && merged && *left && *right && strncmp(merged, left, size) == 0 &&
        strcmp(merged + size, right) == 0)
        return 0;
    return mega_fail(err, MEGA_ERR_MODEL,
                     "metadata key 'byte_bpe.merges' makes token %d of %d and %d, whose texts do "
                     "not add up to it",
                     merge->merged, merge->left, merge->right);
}

static int load_merges(MegaByteBpe *bpe, const MegaMeta *meta, MegaError *err)
{
    const MegaMetaValue *value;
    int code = mega_meta_get_optional(meta, "byte_bpe.merges", MEGA_META_INTS, &value, err);
    if (code)
        return code;
    const size_t count = value ? (size_t)(value->count / 3) : 0;
    if (value && value->count % 3)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "metadata key 'byte_bpe.merges' has %" PRIu64 " numbers; expected three "
                         "for each merge",
                         value->count);
    MegaMerge *merges = malloc((count + 1) * sizeof *merges);
    if (!merges)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu merges", count);
    for (size_t i = 0; i < count && !code; i++) {
        const int64_t *from = value->integers + 3 * i;
        for (int k = 0; k < 3 && !code; k++)
            if (from[k] < 0 || from[k] >= mega_vocab_count(bpe->vocab))
                code = mega_fail(err, MEGA_ERR_MODEL,
                                 "metadata key 'byte_bpe.merges' has token %" PRId64
                                 ", which the vocabulary of %d does not",
                                 from[k], mega_vocab_count(bpe->vocab));
        if (code)
            break;
        merges[i] = (MegaMerge){(int32_t)from[0], (int32_t)from[1], (int32_t)from[2]};
        code = check_merge(bpe->vocab, &merges[i], err);
    }
    if (!code && !(bpe->merges = mega_merge_table_new(merges, count)))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu merges", count);
    free(merges);
    return code;
}

static int load_flags(MegaByteBpe *bpe, const MegaMeta *meta, MegaError *err)
{
    const MegaMetaValue *unknown, *fuse, *prefix;
    int code = mega_meta_get_optional(meta, "byte_bpe.unknown", MEGA_META_INT, &unknown, err);
    if (!code)
        code = mega_meta_get_optional(meta, "byte_bpe.fuse_unknown", MEGA_META_BOOL, &fuse, err);
    if (!code)
        code = mega_meta_get_optional(meta, "text.add_prefix_space", MEGA_META_BOOL, &prefix, err);
    if (code)
        return code;
    bpe->unknown = -1;
    bpe->fuse_unknown = fuse && fuse->boolean;
    bpe->add_prefix_space = prefix && prefix->boolean;
    if (!unknown)
        return 0;
    if (unknown->integer < 0 || unknown->integer >= mega_vocab_count(bpe->vocab))
        return mega_fail(err, MEGA_ERR_MODEL,
                         "metadata key 'byte_bpe.unknown' is %" PRId64
                         ", which the vocabulary of %d does not have",
                         unknown->integer, mega_vocab_count(bpe->vocab));
    bpe->unknown = (int32_t)unknown->integer;
    return 0;
}

int mega_byte_bpe_from_meta(MegaByteBpe **out, const MegaMeta *meta, const MegaVocab *vocab,
                            MegaError *err)
{
    const int count = mega_vocab_count(vocab);
    MegaByteBpe *bpe = calloc(1, sizeof *bpe);
    *out = NULL;
    if (bpe) {
        bpe->info = calloc((size_t)count + 1, sizeof *bpe->info);
        bpe->words = mega_words_new();
    }
    int code = 0;
    if (!bpe || !bpe->info || !bpe->words)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a tokenizer of %d tokens", count);
    if (!code)
        code = mega_unicode_classes_new(&bpe->classes, err);
    if (!code) {
        bpe->vocab = vocab;
        make_alphabet(bpe);
        for (int id = 0; id < count; id++) {
            const char *symbol = mega_vocab_symbol(vocab, id);
            bpe->info[id] = look_at(bpe->classes, symbol, strlen(symbol));
        }
        code = load_flags(bpe, meta, err);
    }
    if (!code)
        code = load_merges(bpe, meta, err);
    if (!code)
        code = mega_added_tokens_from_meta(&bpe->added, meta, bpe->vocab, bpe->classes, err);
    if (code)
        mega_byte_bpe_free(bpe);
    else
        *out = bpe;
    return code;
}

void mega_byte_bpe_free(MegaByteBpe *bpe)
{
    if (!bpe)
        return;
    mega_words_free(bpe->words);
    free(bpe->info);
    mega_unicode_classes_free(bpe->classes);
    mega_merge_table_free(bpe->merges);
    mega_added_tokens_free(bpe->added);
    free(bpe);
}

int mega_byte_bpe_missing_bytes(const MegaByteBpe *bpe)
{
    return bpe->missing;
}

/* ---- Encoding a word ------------------------------------------------------------------------ */

/* The state of encoding one text. */
typedef struct Encoder {
    const MegaByteBpe *bpe;
    const char *text;
    size_t size;
    size_t counted; /* a byte of the text, and the number of characters that begin before it */
    uint32_t characters;
    int32_t word;        /* number of the next word */
    MegaSymbol *symbols; /* [capacity] */
    size_t capacity;
    MegaMergeWork work;
    MegaBuffer piece; /* a piece with a blank put before it */
    MegaTokens *out;
    MegaError *err;
} Encoder;

/* Returns the index of the first byte from `at` on that is not ASCII, or size if there is none. */
static size_t skip_ascii(const char *text, size_t at, size_t size)
{
    uint64_t block;
    for (; at + sizeof block <= size; at += sizeof block) {
        memcpy(&block, text + at, sizeof block);
        if (block & UINT64_C(0x8080808080808080))
            break;
    }
    while (at < size && (uint8_t)text[at] < 0x80)
        at++;
    return at;
}

static bool begins_character(char byte)
{
    return ((uint8_t)byte & 0xc0) != 0x80;
}

/* Returns how many characters begin before a byte of the text. It moves back at most by one
 * token. */
static uint32_t characters_before(Encoder *e, size_t at)
{
    while (e->counted < at)
        e->characters += begins_character(e->text[e->counted++]);
    while (e->counted > at)
        e->characters -= begins_character(e->text[--e->counted]);
    return e->characters;
}

/* Appends the token of the bytes [start, end) of the text. If the token is part of a character, its
 * place is the whole character. */
static void put_token(Encoder *e, int32_t id, size_t start, size_t end, const TokenInfo *info)
{
    MegaToken token = {.id = id,
                       .word = e->word,
                       .start = characters_before(e, start),
                       .leading = info->leading,
                       .trailing = info->trailing};
    if (start < e->size)
        token.start -= !begins_character(e->text[start]);
    token.end = characters_before(e, end);
    mega_tokens_add(e->out, &token);
}

/* The place of a word: bytes of the text from `origin` on, perhaps with a blank put before them. */
typedef struct Place {
    size_t origin;
    bool blank;
} Place;

/* Returns the byte of the text for a byte of the word. A blank that was put before has the place of
 * the character after it. */
static size_t byte_at(Place place, size_t index)
{
    return place.origin + (place.blank && index > 0 ? index - 1 : index);
}

static void put_part(Encoder *e, Place place, int32_t id, size_t from, size_t to)
{
    put_token(e, id, byte_at(place, from), byte_at(place, to - 1) + 1, &e->bpe->info[id]);
}

/* Appends the tokens of a word of `size` bytes. A blank that was put before it is not a character
 * of the text: a token of that blank alone has the place of the character after it, and all others
 * move to the left by one. */
static void put_tokens(Encoder *e, Place place, const MegaWordToken *tokens, size_t count,
                       size_t size, uint32_t characters)
{
    const uint32_t first = characters_before(e, place.origin), blank = place.blank;
    for (size_t i = 0; i < count; i++) {
        const MegaWordToken *token = &tokens[i];
        mega_tokens_add(e->out,
                        &(MegaToken){.id = token->id,
                                     .word = e->word,
                                     .start = first + token->start - (token->start > 0 ? blank : 0),
                                     .end = first + token->end - (token->end > 1 ? blank : 0),
                                     .leading = token->leading,
                                     .trailing = token->trailing});
    }
    e->counted = place.origin + size - blank;
    e->characters = first + characters - blank;
}

static int reserve_symbols(Encoder *e, size_t count)
{
    if (count <= e->capacity)
        return 0;
    const size_t grown = count + count / 2 + MEGA_WORD_MAX;
    MegaSymbol *moved = realloc(e->symbols, grown * sizeof *moved);
    if (!moved)
        return mega_fail(e->err, MEGA_ERR_MEMORY, "no memory for a word of %zu bytes", count);
    e->symbols = moved;
    e->capacity = grown;
    return 0;
}

/* Makes the symbols of a word if some bytes have no token. Widths count bytes of their
 * characters. */
static size_t symbols_with_unknown(const Encoder *e, const char *word, size_t size)
{
    size_t count = 0;
    bool was_unknown = false;
    for (size_t i = 0; i < size; i++) {
        const uint8_t byte = (uint8_t)word[i];
        const bool is_unknown = e->bpe->of_byte[byte] < 0;
        const int32_t id = is_unknown ? e->bpe->unknown : e->bpe->of_byte[byte];
        if (id < 0)
            continue;
        if (is_unknown && was_unknown && e->bpe->fuse_unknown)
            e->symbols[count - 1].width += e->bpe->width[byte];
        else
            e->symbols[count++] = (MegaSymbol){id, e->bpe->width[byte]};
        was_unknown = is_unknown;
    }
    return count;
}

/* Encodes a word if the vocabulary lacks bytes. The reference counts places in the word written
 * with characters and ignores bytes that were left out, so later tokens move to the left. */
static int encode_with_unknown(Encoder *e, Place place, const char *word, size_t size)
{
    size_t count = symbols_with_unknown(e, word, size), byte = 0, reached = 0, done = 0;
    int code = mega_merge_symbols(e->bpe->merges, e->symbols, &count, &e->work, e->err);
    if (code)
        return code;
    for (size_t i = 0; i < count; i++) {
        while (reached + e->bpe->width[(uint8_t)word[byte]] <= done)
            reached += e->bpe->width[(uint8_t)word[byte++]];
        const size_t from = byte;
        done += e->symbols[i].width;
        while (reached + e->bpe->width[(uint8_t)word[byte]] < done)
            reached += e->bpe->width[(uint8_t)word[byte++]];
        put_part(e, place, e->symbols[i].id, from, byte + 1);
    }
    return 0;
}

/* Makes the tokens of a word that is short enough to be kept, out of its symbols. */
static void make_tokens(const Encoder *e, const char *bytes, MegaWord *word, MegaWordToken *tokens)
{
    uint8_t begun[MEGA_WORD_MAX + 1] = {0}; /* characters that begin before each byte */
    for (size_t i = 0; i < word->size; i++)
        begun[i + 1] = (uint8_t)(begun[i] + begins_character(bytes[i]));
    for (size_t i = 0, at = 0; i < word->count; at += e->symbols[i++].width) {
        const TokenInfo *info = &e->bpe->info[e->symbols[i].id];
        tokens[i] = (MegaWordToken){.id = e->symbols[i].id,
                                    .start = (uint8_t)(begun[at] - !begins_character(bytes[at])),
                                    .end = begun[at + e->symbols[i].width],
                                    .leading = (uint8_t)info->leading,
                                    .trailing = (uint8_t)info->trailing};
    }
    word->characters = begun[word->size];
}

/* Encodes a word that is not kept, and keeps it if it is short; then `hash` is its hash. */
static int encode_new_word(Encoder *e, Place place, const char *bytes, size_t size, uint64_t hash)
{
    MegaWordToken tokens[MEGA_WORD_MAX];
    int code = reserve_symbols(e, size);
    if (code)
        return code;
    for (size_t i = 0; i < size; i++) {
        const int32_t id = e->bpe->of_byte[(uint8_t)bytes[i]];
        if (id < 0)
            return encode_with_unknown(e, place, bytes, size);
        e->symbols[i] = (MegaSymbol){id, 1};
    }
    size_t count = size;
    code = mega_merge_symbols(e->bpe->merges, e->symbols, &count, &e->work, e->err);
    if (code)
        return code;
    if (size <= MEGA_WORD_MAX) {
        MegaWord word = {.size = (uint8_t)size, .count = (uint8_t)count};
        make_tokens(e, bytes, &word, tokens);
        put_tokens(e, place, tokens, count, size, word.characters);
        mega_words_keep(e->bpe->words, hash, &word, tokens, bytes);
        return 0;
    }
    for (size_t i = 0, at = 0; i < count; at += e->symbols[i++].width)
        put_part(e, place, e->symbols[i].id, at, at + e->symbols[i].width);
    return 0;
}

static int encode_word(Encoder *e, Place place, const char *bytes, size_t size)
{
    uint64_t hash = 0;
    const MegaWord *word =
        size <= MEGA_WORD_MAX ? mega_words_find(e->bpe->words, bytes, size, &hash) : NULL;
    int code = 0;
    if (word)
        put_tokens(e, place, word->tokens, word->count, size, word->characters);
    else
        code = encode_new_word(e, place, bytes, size, hash);
    e->word++;
    return code;
}

/* ---- Cutting a piece into words ------------------------------------------------------------- */

/* Returns the class of a well-formed character, and its length. */
static unsigned class_at(const MegaUnicodeClasses *classes, const char *at, size_t *length)
{
    const uint8_t *b = (const uint8_t *)at;
    uint32_t code;
    if (b[0] < 0x80) {
        *length = 1;
        return classes->of[b[0]] & MEGA_CLASS_MASK;
    }
    if (b[0] < 0xe0) {
        *length = 2;
        code = (b[0] & 0x1fu) << 6 | (b[1] & 0x3fu);
    } else if (b[0] < 0xf0) {
        *length = 3;
        code = (b[0] & 0xfu) << 12 | (b[1] & 0x3fu) << 6 | (b[2] & 0x3fu);
    } else {
        *length = 4;
        code = (b[0] & 7u) << 18 | (b[1] & 0x3fu) << 12 | (b[2] & 0x3fu) << 6 | (b[3] & 0x3fu);
    }
    return mega_unicode_class(classes, code);
}

/* Returns the size of an English ending after an apostrophe, or 0. */
static size_t ending_length(const char *text, size_t size)
{
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const size_t length = strlen(endings[i]);
        if (length <= size && memcmp(text, endings[i], length) == 0)
            return length;
    }
    return 0;
}

/* Returns the size of the word at the beginning of a text that is not empty. */
static size_t word_length(const MegaUnicodeClasses *classes, const char *text, size_t size)
{
    size_t at = 0, length, last = 0, ending = text[0] == '\'' ? ending_length(text, size) : 0;
    if (ending)
        return ending;
    unsigned class = class_at(classes, text, &length);
    if (text[0] == ' ' && size > 1) {
        size_t next;
        const unsigned after = class_at(classes, text + 1, &next);
        if (after != MEGA_CLASS_WHITE) {
            class = after;
            at = 1;
            length = next;
        }
    }
    do {
        last = at;
        at += length;
    } while (at < size && class_at(classes, text + at, &length) == class);
    /* The last white space before other characters belongs to these. */
    return class == MEGA_CLASS_WHITE && at < size && last > 0 ? last : at;
}

static int encode_piece(Encoder *e, size_t start, size_t end)
{
    const char *piece = e->text + start;
    size_t size = end - start;
    const bool blank = e->bpe->add_prefix_space && piece[0] != ' ';
    if (blank) {
        e->piece.size = 0;
        mega_put_u8(&e->piece, ' ');
        mega_put_bytes(&e->piece, piece, size++);
        if (e->piece.failed)
            return mega_fail(e->err, MEGA_ERR_MEMORY, "no memory for a text");
        piece = (const char *)e->piece.data;
    }
    int code = 0;
    for (size_t at = 0, length; at < size && !code; at += length) {
        length = word_length(e->bpe->classes, piece + at, size - at);
        const Place place = {start + (blank && at > 0 ? at - 1 : at), blank && at == 0};
        code = encode_word(e, place, piece + at, length);
    }
    return code;
}

static int encode_part(void *context, const MegaTextPart *part)
{
    Encoder *e = context;
    if (part->id < 0)
        return encode_piece(e, part->start, part->end);
    const TokenInfo info = look_at(e->bpe->classes, e->text + part->start, part->end - part->start);
    put_token(e, part->id, part->start, part->end, &info);
    e->word++;
    return 0;
}

/* Returns the index of the first byte that is not UTF-8, or size if there is none. */
static size_t find_flaw(const char *text, size_t size)
{
    size_t at = skip_ascii(text, 0, size);
    while (at < size) {
        const size_t length = mega_utf8_decode(text + at, size - at, NULL);
        if (!length)
            break;
        at = skip_ascii(text, at + length, size);
    }
    return at;
}

int mega_byte_bpe_encode(const MegaByteBpe *bpe, const char *text, size_t size, MegaTokens *out,
                         MegaError *err)
{
    Encoder e = {.bpe = bpe, .text = text, .size = size, .out = out, .err = err};
    const size_t flaw = find_flaw(text, size);
    if (flaw < size)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "the text is not UTF-8 at byte %zu (0x%02x); a text in Latin-1 can be "
                         "converted: iconv -f LATIN1 -t UTF-8",
                         flaw, (uint8_t)text[flaw]);
    if (size > MEGA_TEXT_MAX_SIZE)
        return mega_fail(err, MEGA_ERR_LIMIT, "the text has %zu bytes; at most %u are taken", size,
                         MEGA_TEXT_MAX_SIZE);
    int code = mega_added_tokens_split(bpe->added, text, size, encode_part, &e);
    free(e.symbols);
    mega_merge_work_free(&e.work);
    mega_buffer_free(&e.piece);
    if (!code && out->failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the tokens of a text");
    return code;
}

/* ---- Decoding ------------------------------------------------------------------------------- */

void mega_byte_bpe_put_bytes(const MegaByteBpe *bpe, int32_t id, MegaBuffer *out)
{
    const char *symbol = mega_vocab_symbol(bpe->vocab, id);
    if (!symbol)
        return;
    const size_t size = strlen(symbol), before = out->size;
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t code = 0;
        length = mega_utf8_decode(symbol + at, size - at, &code);
        if (code >= FIRST_SHIFTED + SHIFTED || bpe->byte_of[code] < 0) {
            out->size = before; /* a character is not among the 256, so the token's text is used
                                   as it is */
            mega_put_bytes(out, symbol, size);
            return;
        }
        mega_put_u8(out, (uint8_t)bpe->byte_of[code]);
    }
}

bool mega_byte_bpe_is_special(const MegaByteBpe *bpe, int32_t id)
{
    return mega_added_tokens_is_special(bpe->added, id);
}
