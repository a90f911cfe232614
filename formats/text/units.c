/*
 * units.c - see units.h.
 */
#include "formats/text/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/utf8.h"

typedef enum Case {
    CASE_KEPT,
    CASE_UPPER,
    CASE_LOWER,
} Case;

struct MegaUnits {
    const MegaVocab *vocab;
    MegaUnicodeClasses *classes;
    MegaAddedTokens *added;
    MegaTextUnit unit;
    int unk;
    Case letters;
    bool decimal;      /* symbols of bytes are decimal numbers */
    bool fuse_unknown; /* neighbouring unknown characters are one token */
};

static int load_case(MegaUnits *units, const MegaMeta *meta, MegaError *err)
{
    const MegaMetaValue *value;
    int code = mega_meta_get_optional(meta, "text.case", MEGA_META_STRING, &value, err);
    if (code || !value)
        return code;
    units->letters = strcmp(value->string, "upper") == 0   ? CASE_UPPER
                     : strcmp(value->string, "lower") == 0 ? CASE_LOWER
                                                           : CASE_KEPT;
    return units->letters != CASE_KEPT
               ? 0
               : mega_fail(err, MEGA_ERR_MODEL,
                           "metadata key 'text.case' is '%.60s'; expected upper or lower",
                           value->string);
}

int mega_units_from_meta(MegaUnits **out, const MegaMeta *meta, const MegaVocab *vocab,
                         const MegaTextPreprocess *preprocess, MegaError *err)
{
    MegaUnits *units = calloc(1, sizeof *units);
    *out = NULL;
    if (!units)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a tokenizer");
    units->vocab = vocab;
    units->unit = preprocess->unit;
    units->unk = -1;
    units->decimal = mega_vocab_find(vocab, "65", 2) >= 0;
    int code = mega_unicode_classes_new(&units->classes, err);
    if (!code)
        code = mega_added_tokens_from_meta(&units->added, meta, vocab, units->classes, err);
    const MegaMetaValue *unk = NULL;
    if (!code)
        code = mega_meta_get_optional(meta, "special.unk", MEGA_META_INT, &unk, err);
    if (!code && unk && unk->integer >= 0 && unk->integer < mega_vocab_count(vocab))
        units->unk = (int)unk->integer;
    const MegaMetaValue *fuse = NULL;
    if (!code)
        code = load_case(units, meta, err);
    if (!code)
        code = mega_meta_get_optional(meta, "text.fuse_unknown", MEGA_META_BOOL, &fuse, err);
    units->fuse_unknown = fuse && fuse->boolean;
    if (code)
        mega_units_free(units);
    else
        *out = units;
    return code;
}

void mega_units_free(MegaUnits *units)
{
    if (!units)
        return;
    mega_added_tokens_free(units->added);
    mega_unicode_classes_free(units->classes);
    free(units);
}

bool mega_units_is_special(const MegaUnits *units, int32_t id)
{
    return mega_added_tokens_is_special(units->added, id);
}

/* ---- Encoding ------------------------------------------------------------------------------- */

typedef struct Encoder {
    const MegaUnits *units;
    const char *text;
    MegaTokens *out;
    uint32_t character; /* code points before `at` */
    size_t at;
    int32_t word;
} Encoder;

/* Counts code points up to a byte, which is not before the last one. */
static uint32_t character_at(Encoder *e, size_t byte)
{
    for (; e->at < byte; e->at++)
        e->character += ((uint8_t)e->text[e->at] & 0xc0) != 0x80;
    return e->character;
}

/* Looks a unit up, in the other case if the model wants that. */
static int32_t find(const MegaUnits *units, const char *text, size_t size)
{
    char changed[64];
    if (units->letters == CASE_KEPT || size > sizeof changed)
        return mega_vocab_find(units->vocab, text, size);
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        const bool upper = units->letters == CASE_UPPER;
        changed[i] = upper && c >= 'a' && c <= 'z'    ? (char)(c - 'a' + 'A')
                     : !upper && c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a')
                                                      : c;
    }
    return mega_vocab_find(units->vocab, changed, size);
}

/* Looks a byte up: as a decimal number, or as the character U+0000 to U+00FF. */
static int32_t find_byte(const MegaUnits *units, uint8_t byte)
{
    char symbol[4];
    if (units->decimal) {
        const int size = snprintf(symbol, sizeof symbol, "%u", byte);
        return mega_vocab_find(units->vocab, symbol, (size_t)size);
    }
    if (byte < 0x80)
        return find(units, (const char *)&byte, 1);
    symbol[0] = (char)(0xc0 | byte >> 6);
    symbol[1] = (char)(0x80 | (byte & 0x3f));
    return mega_vocab_find(units->vocab, symbol, 2);
}

static void add(Encoder *e, int32_t id, size_t begin, size_t end)
{
    const uint32_t start = character_at(e, begin);
    /* a byte within a character has the place of all of it */
    const bool inside = ((uint8_t)e->text[begin] & 0xc0) == 0x80;
    const uint32_t first = inside ? start - 1 : start;
    const uint32_t stop = character_at(e, end);
    if (id < 0)
        id = e->units->unk;
    if (id >= 0)
        mega_tokens_add(e->out, &(MegaToken){.id = id,
                                             .word = e->word,
                                             .start = first,
                                             .end = stop > first ? stop : first + 1});
    e->word++;
}

static size_t next_character(const char *text, size_t left, bool *white)
{
    uint32_t code = 0;
    const size_t length = mega_utf8_decode(text, left, &code);
    *white = length && mega_utf8_is_space(code);
    return length ? length : 1;
}

static void encode_characters(Encoder *e, size_t begin, size_t end)
{
    size_t run = begin; /* where the unknown characters right before `begin` start */
    for (size_t length; begin < end; begin += length) {
        bool white;
        length = next_character(e->text + begin, end - begin, &white);
        const int32_t id = find(e->units, e->text + begin, length);
        const bool unknown = id < 0 && !white;
        if (run < begin && !unknown)
            add(e, -1, run, begin);
        if (unknown && e->units->fuse_unknown)
            continue;
        if (id >= 0 || unknown)
            add(e, id, begin, begin + length);
        run = begin + length;
    }
    if (run < end)
        add(e, -1, run, end);
}

static void encode_symbols(Encoder *e, size_t begin, size_t end)
{
    const char *at = e->text + begin, *word;
    size_t length;
    while (mega_utf8_next_word(&at, e->text + end, &word, &length)) {
        const size_t from = (size_t)(word - e->text);
        add(e, find(e->units, word, length), from, from + length);
    }
}

static int encode_part(void *context, const MegaTextPart *part)
{
    Encoder *e = context;
    if (part->id >= 0) {
        add(e, part->id, part->start, part->end);
    } else if (e->units->unit == MEGA_TEXT_CHARACTERS) {
        encode_characters(e, part->start, part->end);
    } else if (e->units->unit == MEGA_TEXT_SYMBOLS) {
        encode_symbols(e, part->start, part->end);
    } else {
        for (size_t i = part->start; i < part->end; i++)
            add(e, find_byte(e->units, (uint8_t)e->text[i]), i, i + 1);
    }
    return 0;
}

int mega_units_encode(const MegaUnits *units, const char *text, size_t size, MegaTokens *out,
                      MegaError *err)
{
    Encoder e = {.units = units, .text = text, .out = out};
    for (size_t at = 0, length; at < size; at += length) {
        length = (uint8_t)text[at] < 0x80 ? 1 : mega_utf8_decode(text + at, size - at, NULL);
        if (!length)
            return mega_fail(err, MEGA_ERR_INPUT,
                             "the text is not UTF-8 at byte %zu (0x%02x); a text in Latin-1 can be "
                             "converted: iconv -f LATIN1 -t UTF-8",
                             at, (uint8_t)text[at]);
    }
    mega_added_tokens_split(units->added, text, size, encode_part, &e);
    return out->failed ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for the tokens of a text") : 0;
}
