/*
 * vocab.c - vocabularies and tokenisation; see vocab.h.
 *
 * A vocabulary is one block of NUL-terminated symbols, the offset of each, and the ids sorted by
 * symbol. A look-up is a binary search, which no choice of symbols can make slow.
 */
#define _GNU_SOURCE /* memrchr */
#include "formats/text/vocab.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "formats/base/input_stream.h"
#include "formats/text/text_input.h"
#include "src/base/sort_strings.h"

#define OVERWRITE "#fairseq:overwrite"
#define SPACE_MARK "\xe2\x96\x81" /* U+2581, which SentencePiece writes for a space */
#define LINE_MARK "\xe2\x8f\x8e"  /* U+23CE, written for a line end */

static const char *const unit_names[] = {
    [MEGA_TEXT_SYMBOLS] = "symbols",
    [MEGA_TEXT_CHARACTERS] = "characters",
    [MEGA_TEXT_BYTES] = "bytes",
};
_Static_assert(sizeof unit_names / sizeof unit_names[0] == MEGA_TEXT_UNIT_COUNT,
               "a unit of text has no name");

struct MegaVocab {
    MegaBuffer text;  /* symbols, each with its NUL */
    MegaBuffer start; /* the offset of each symbol in text, 4 bytes (MEGA_VOCAB_MAX_FILE bounds
                         them) */
    uint32_t count;
    uint32_t *sorted; /* ids sorted by symbol; equal symbols are sorted by id */
    bool decimals;    /* there are symbols of several digits, so bytes are decimal numbers */
};

static const char *symbol_at(const MegaVocab *vocab, uint32_t id)
{
    return (const char *)vocab->text.data + mega_load_u32(vocab->start.data + 4 * (size_t)id);
}

static void add_symbol(MegaVocab *vocab, const char *symbol, size_t length)
{
    mega_put_u32(&vocab->start, (uint32_t)vocab->text.size);
    mega_put_bytes(&vocab->text, symbol, length);
    mega_put_u8(&vocab->text, 0);
    vocab->count++;
}

static size_t decimal(int value, char text[4])
{
    return (size_t)snprintf(text, 4, "%d", value & 255);
}

/* Only a vocabulary of numbers has symbols of several digits. */
static bool has_decimals(const MegaVocab *vocab)
{
    char text[4];
    for (int value = 10; value < 256; value++)
        if (mega_vocab_find(vocab, text, decimal(value, text)) >= 0)
            return true;
    return false;
}

static int sort_symbols(MegaVocab *vocab, const char *name, MegaError *err)
{
    MegaSortString *symbols = NULL;
    if (!vocab->text.failed && !vocab->start.failed) {
        vocab->sorted = malloc((vocab->count + (size_t)1) * sizeof *vocab->sorted);
        symbols = malloc((vocab->count + (size_t)1) * sizeof *symbols);
    }
    if (!vocab->sorted || !symbols) {
        free(symbols);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the vocabulary of %s", name);
    }
    for (uint32_t i = 0; i < vocab->count; i++)
        symbols[i] = (MegaSortString){.text = symbol_at(vocab, i), .id = i};
    mega_sort_strings(symbols, vocab->count);
    for (uint32_t i = 0; i < vocab->count; i++)
        vocab->sorted[i] = symbols[i].id;
    free(symbols);
    vocab->decimals = has_decimals(vocab);
    return 0;
}

/* Returns <0, 0 or >0 if symbol comes before, equals or comes after that of id. */
static int compare_to(const MegaVocab *vocab, const char *symbol, size_t length, uint32_t id)
{
    const char *other = symbol_at(vocab, id);
    const int order = strncmp(symbol, other, length);
    return order ? order : -(other[length] != '\0');
}

int mega_vocab_find(const MegaVocab *vocab, const char *symbol, size_t length)
{
    if (memchr(symbol, 0, length))
        return -1;
    size_t low = 0, high = vocab->count; /* the last one that is <= symbol is before high */
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (compare_to(vocab, symbol, length, vocab->sorted[middle]) < 0)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == 0 || compare_to(vocab, symbol, length, vocab->sorted[low - 1]) != 0)
        return -1;
    return (int)vocab->sorted[low - 1];
}

int mega_vocab_count(const MegaVocab *vocab)
{
    return (int)vocab->count;
}

const char *mega_vocab_symbol(const MegaVocab *vocab, int id)
{
    return id >= 0 && (uint32_t)id < vocab->count ? symbol_at(vocab, (uint32_t)id) : NULL;
}

void mega_vocab_free(MegaVocab *vocab)
{
    if (!vocab)
        return;
    mega_buffer_free(&vocab->text);
    mega_buffer_free(&vocab->start);
    free(vocab->sorted);
    free(vocab);
}

/* ---- Dictionary files ----------------------------------------------------------------------- */

typedef struct Line {
    const char *text;
    size_t length;
    unsigned long number; /* counts from 1 */
    const char *file;
} Line;

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Cuts off the field after the last space. Returns false if there is no space. */
static bool cut_field(Line *line, const char **field, size_t *length)
{
    const char *space = memrchr(line->text, ' ', line->length);
    if (!space)
        return false;
    *field = space + 1;
    *length = (size_t)(line->text + line->length - *field);
    line->length = (size_t)(space - line->text);
    return true;
}

/* A count is anything that Python's int() accepts, since fairseq reads it with that and then
 * ignores it: a sign, single underscores between digits, and white space around it. */
static bool is_count(const char *text, size_t length)
{
    mega_utf8_trim(&text, &length);
    if (length && (*text == '-' || *text == '+')) {
        text++;
        length--;
    }
    for (size_t i = 0; i < length; i++) {
        const bool digit = text[i] >= '0' && text[i] <= '9';
        if (!digit && (text[i] != '_' || i == 0 || i + 1 == length || text[i + 1] == '_'))
            return false;
    }
    return length > 0;
}

static int bad_line(const Line *line, const char *found, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_FORMAT,
                     "%s: line %lu %s; expected \"symbol count\", as in the dict.txt of fairseq",
                     line->file, line->number, found);
}

/* Adds a line. overwritten collects the ids that may repeat an earlier symbol, 4 bytes each. */
static int add_line(MegaVocab *vocab, Line line, MegaBuffer *overwritten, MegaError *err)
{
    const char *field = NULL;
    size_t length = 0;
    while (line.length && is_blank(line.text[line.length - 1]))
        line.length--;
    if (!line.length)
        return bad_line(&line, "is empty", err);
    if (line.length > MEGA_VOCAB_MAX_SYMBOL)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s: line %lu is longer than %d bytes", line.file,
                         line.number, MEGA_VOCAB_MAX_SYMBOL);
    if (vocab->count >= MEGA_VOCAB_MAX_SYMBOLS)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s holds more than %d symbols", line.file,
                         MEGA_VOCAB_MAX_SYMBOLS);
    if (!cut_field(&line, &field, &length))
        return bad_line(&line, "has no space before a count", err);
    const bool overwrite = length == strlen(OVERWRITE) && memcmp(field, OVERWRITE, length) == 0;
    if (overwrite && !cut_field(&line, &field, &length))
        return bad_line(&line, "has no count before " OVERWRITE, err);
    if (!is_count(field, length))
        return bad_line(&line, "does not end in a whole number", err);
    if (!line.length)
        return bad_line(&line, "has no symbol", err);
    if (overwrite)
        mega_put_u32(overwritten, vocab->count);
    add_symbol(vocab, line.text, line.length);
    return 0;
}

static bool is_overwritten(const MegaBuffer *overwritten, uint32_t id)
{
    size_t low = 0, high = overwritten->size / 4; /* the ids ascend */
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const uint32_t other = mega_load_u32(overwritten->data + 4 * middle);
        if (other == id)
            return true;
        if (other < id)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Equal symbols are neighbours once sorted. The line of id 4 is line 1. */
static int check_duplicates(const MegaVocab *vocab, const MegaBuffer *overwritten, const char *name,
                            MegaError *err)
{
    for (uint32_t i = 1; i < vocab->count; i++) {
        const uint32_t first = vocab->sorted[i - 1], id = vocab->sorted[i];
        if (strcmp(symbol_at(vocab, first), symbol_at(vocab, id)) == 0 &&
            !is_overwritten(overwritten, id))
            return mega_fail(err, MEGA_ERR_FORMAT,
                             "%s: line %" PRIu32 " repeats the symbol \"%.60s\" of %s %" PRIu32
                             "; if that is meant, end the line with " OVERWRITE,
                             name, id - MEGA_ID_UNK, symbol_at(vocab, id),
                             first > MEGA_ID_UNK ? "line" : "the built-in id",
                             first > MEGA_ID_UNK ? first - MEGA_ID_UNK : first);
    }
    return 0;
}

static int add_lines(MegaVocab *vocab, const MegaBuffer *file, const char *name,
                     MegaBuffer *overwritten, MegaError *err)
{
    const char *at = file->size ? (const char *)file->data : "";
    const char *end = at + file->size;
    int code = file->size ? 0
                          : mega_fail(err, MEGA_ERR_FORMAT,
                                      "%s is empty; expected the lines "
                                      "\"symbol count\" of a dictionary",
                                      name);
    for (unsigned long number = 1; !code && at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        code = add_line(vocab, (Line){at, (size_t)(stop - at), number, name}, overwritten, err);
        at = stop + 1;
    }
    return code;
}

int mega_vocab_read(MegaVocab **out, const char *path, bool append_cls, MegaError *err)
{
    static const char *const specials[] = {"<s>", "<pad>", "</s>", "<unk>"};
    const char *name = mega_source_name(path);
    const MegaTextRules rules = {.what = "a dictionary", .limit = MEGA_VOCAB_MAX_FILE};
    MegaBuffer file = {0}, overwritten = {0};
    *out = NULL;
    MegaVocab *vocab = calloc(1, sizeof *vocab);
    int code = vocab ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for a vocabulary");
    if (!code)
        code = mega_text_read(&file, path, &rules, NULL, err);
    if (code)
        goto out;
    for (size_t i = 0; i < 4; i++)
        add_symbol(vocab, specials[i], strlen(specials[i]));
    code = add_lines(vocab, &file, name, &overwritten, err);
    if (!code && append_cls && !vocab->text.failed && !vocab->start.failed) {
        /* fairseq's add_symbol returns the old id if the file has the symbol already. */
        for (uint32_t i = 0; i < vocab->count && append_cls; i++)
            append_cls = strcmp(symbol_at(vocab, i), "<CLS>") != 0;
        if (append_cls)
            add_symbol(vocab, "<CLS>", 5);
    }
    if (!code && overwritten.failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the vocabulary of %s", name);
    if (!code)
        code = sort_symbols(vocab, name, err);
    if (!code)
        code = check_duplicates(vocab, &overwritten, name, err);
out:
    mega_buffer_free(&file);
    mega_buffer_free(&overwritten);
    if (code) {
        mega_vocab_free(vocab);
        vocab = NULL;
    }
    *out = vocab;
    return code;
}

/* ---- Metadata ------------------------------------------------------------------------------- */

int mega_vocab_from_meta(MegaVocab **out, const MegaMeta *meta, const char *key, MegaError *err)
{
    *out = NULL;
    const MegaMetaValue *value = mega_meta_find(meta, key);
    if (!value)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "the model has no vocabulary (%s): convert it with a dictionary, or give "
                         "token ids",
                         key);
    if (value->type != MEGA_META_STRINGS || !value->count || value->count > MEGA_VOCAB_MAX_SYMBOLS)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "metadata %s is %s of %" PRIu64 " elements, expected array of string of 1 "
                         "to %d",
                         key, mega_meta_type_name(value->type), value->count,
                         MEGA_VOCAB_MAX_SYMBOLS);
    MegaVocab *vocab = calloc(1, sizeof *vocab);
    if (!vocab)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a vocabulary");
    for (uint64_t i = 0; i < value->count; i++) /* the size of the metadata bounds that of the
                                                   text */
        add_symbol(vocab, value->strings[i], strlen(value->strings[i]));
    int code = sort_symbols(vocab, "the model", err);
    if (code)
        mega_vocab_free(vocab);
    else
        *out = vocab;
    return code;
}

int mega_vocab_write(const MegaVocab *vocab, MegaMeta *meta, const char *key, MegaError *err)
{
    const char **symbols = malloc((vocab->count + (size_t)1) * sizeof *symbols);
    if (!symbols)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the vocabulary");
    for (uint32_t i = 0; i < vocab->count; i++)
        symbols[i] = symbol_at(vocab, i);
    int code = mega_meta_set_strings(meta, key, symbols, vocab->count);
    free(symbols);
    if (code)
        return mega_fail(err, code, "cannot store a vocabulary of %" PRIu32 " symbols: %s",
                         vocab->count, mega_error_name(code));
    return 0;
}

bool mega_vocab_equal(const MegaVocab *a, const MegaVocab *b)
{
    return a->count == b->count && a->text.size == b->text.size &&
           memcmp(a->text.data, b->text.data, a->text.size) == 0;
}

/* ---- Encoding ------------------------------------------------------------------------------- */

static int32_t id_or_unknown(int id, int32_t unknown)
{
    return id >= 0 ? id : unknown;
}

static size_t encode_symbols(const MegaVocab *vocab, int32_t unknown, const char *text, size_t size,
                             int32_t *ids)
{
    const char *at = text, *word = NULL;
    size_t length = 0, count = 0;
    while (mega_utf8_next_word(&at, text + size, &word, &length))
        ids[count++] = id_or_unknown(mega_vocab_find(vocab, word, length), unknown);
    return count;
}

static int find_character(const MegaVocab *vocab, const char *text, size_t length)
{
    int id = mega_vocab_find(vocab, text, length);
    if (id < 0 && length == 1 && *text == ' ')
        id = mega_vocab_find(vocab, SPACE_MARK, strlen(SPACE_MARK));
    if (id < 0 && length == 1 && *text == '\n')
        id = mega_vocab_find(vocab, LINE_MARK, strlen(LINE_MARK));
    return id;
}

static size_t encode_characters(const MegaVocab *vocab, int32_t unknown, const char *text,
                                size_t size, int32_t *ids)
{
    size_t count = 0;
    for (size_t i = 0; i < size;) {
        const size_t length = mega_utf8_decode(text + i, size - i, NULL);
        ids[count++] =
            length ? id_or_unknown(find_character(vocab, text + i, length), unknown) : unknown;
        i += length ? length : 1;
    }
    return count;
}

static size_t encode_bytes(const MegaVocab *vocab, int32_t unknown, const char *text, size_t size,
                           int32_t *ids)
{
    int32_t table[256];
    for (int value = 0; value < 256; value++) {
        char symbol[4];
        size_t length = 0;
        if (vocab->decimals) {
            length = decimal(value, symbol);
        } else if (value < 0x80) {
            symbol[length++] = (char)value;
        } else { /* U+0080 ... U+00FF in UTF-8 */
            symbol[length++] = (char)(0xc0 | value >> 6);
            symbol[length++] = (char)(0x80 | (value & 0x3f));
        }
        table[value] = id_or_unknown(find_character(vocab, symbol, length), unknown);
    }
    for (size_t i = 0; i < size; i++)
        ids[i] = table[(uint8_t)text[i]];
    return size;
}

/* Returns the size of a text without its final line end. */
static size_t without_line_end(const char *text, size_t size)
{
    if (size && text[size - 1] == '\n')
        size -= size > 1 && text[size - 2] == '\r' ? 2 : 1;
    return size;
}

/* Encodes an expression of ListOps: its parentheses are left out, and "]" is the symbol "X". */
static size_t encode_expression(const MegaVocab *vocab, int32_t unknown, const char *text,
                                size_t size, int32_t *ids)
{
    MegaBuffer plain = {0};
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        if (text[i] != '(' && text[i] != ')')
            mega_put_u8(&plain, (uint8_t)(text[i] == ']' ? 'X' : text[i]));
    if (!plain.failed && plain.size)
        count = encode_symbols(vocab, unknown, (const char *)plain.data, plain.size, ids);
    mega_buffer_free(&plain);
    return count;
}

/* Allocates one id per byte and two more, which is enough since an id takes at least a byte. */
static int new_ids(int32_t **ids, size_t size, const char *name, MegaError *err)
{
    if (size > MEGA_TEXT_MAX_SIZE)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s is a text of more than %u bytes, the limit", name,
                         MEGA_TEXT_MAX_SIZE);
    *ids = malloc((size + 2) * sizeof **ids);
    return *ids ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the text of %s", name);
}

int mega_text_encode(const MegaVocab *vocab, const MegaTextPreprocess *preprocess, const char *text,
                     size_t size, const char *name, int32_t **ids, size_t *count, MegaError *err)
{
    return mega_text_encode_all(vocab, preprocess, text, without_line_end(text, size), name, ids,
                                count, err);
}

int mega_text_encode_all(const MegaVocab *vocab, const MegaTextPreprocess *preprocess,
                         const char *text, size_t size, const char *name, int32_t **ids,
                         size_t *count, MegaError *err)
{
    *ids = NULL;
    *count = 0;
    int32_t *list = NULL;
    int code = new_ids(&list, size, name, err);
    if (code)
        return code;
    int32_t *body = list;
    size_t got = 0;
    if (preprocess->cls >= 0)
        *body++ = preprocess->cls;
    switch (preprocess->unit) {
    case MEGA_TEXT_SYMBOLS:
        got = preprocess->expressions ? encode_expression(vocab, preprocess->unk, text, size, body)
                                      : encode_symbols(vocab, preprocess->unk, text, size, body);
        break;
    case MEGA_TEXT_CHARACTERS:
        got = encode_characters(vocab, preprocess->unk, text, size, body);
        break;
    case MEGA_TEXT_BYTES: got = encode_bytes(vocab, preprocess->unk, text, size, body); break;
    }
    if (!got) {
        free(list);
        return mega_fail(err, MEGA_ERR_INPUT, "%s is empty; expected text", name);
    }
    const size_t around = (preprocess->cls >= 0) + (preprocess->eos >= 0);
    if (preprocess->limit > 0 && got + around > (size_t)preprocess->limit)
        got = (size_t)preprocess->limit > around ? (size_t)preprocess->limit - around : 0;
    if (preprocess->eos >= 0)
        body[got++] = preprocess->eos;
    *ids = list;
    *count = (size_t)(body - list) + got;
    return 0;
}

/* Returns the byte that a symbol of a byte vocabulary stands for, or -1. */
static int byte_of(const MegaVocab *vocab, const char *symbol)
{
    uint32_t code = 0;
    size_t length = strlen(symbol);
    if (vocab->decimals && length >= 1 && length <= 3 && strspn(symbol, "0123456789") == length)
        return atoi(symbol) < 256 ? atoi(symbol) : -1;
    return mega_utf8_decode(symbol, length, &code) == length && code < 256 ? (int)code : -1;
}

void mega_text_put_symbol(const MegaTextPreprocess *preprocess, const MegaVocab *vocab,
                          const char *symbol, MegaBuffer *out)
{
    int byte = preprocess->unit == MEGA_TEXT_BYTES ? byte_of(vocab, symbol) : -1;
    if (preprocess->unit != MEGA_TEXT_SYMBOLS && strcmp(symbol, SPACE_MARK) == 0)
        mega_put_u8(out, ' ');
    else if (preprocess->unit != MEGA_TEXT_SYMBOLS && strcmp(symbol, LINE_MARK) == 0)
        mega_put_u8(out, '\n');
    else if (byte >= 0)
        mega_put_u8(out, (uint8_t)byte);
    else
        mega_put_bytes(out, symbol, strlen(symbol));
}

/* Returns a whole number below limit, or -1. */
static int64_t parse_id(const char *text, size_t length, int limit)
{
    int64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
        if (value >= limit)
            return -1;
    }
    return value;
}

int mega_text_parse_ids(const char *text, size_t size, int vocab_size, const char *name,
                        int32_t **ids, size_t *count, MegaError *err)
{
    const char *at = text, *word = NULL;
    size_t length = 0, got = 0;
    int32_t *list = NULL;
    *ids = NULL;
    *count = 0;
    int code = new_ids(&list, size, name, err);
    while (!code && mega_utf8_next_word(&at, text + size, &word, &length)) {
        const int64_t id = parse_id(word, length, vocab_size);
        if (id < 0)
            code = mega_fail(err, MEGA_ERR_INPUT,
                             "%s: \"%.*s\" is not a token id; expected whole numbers from 0 to %d",
                             name, (int)(length < 40 ? length : 40), word, vocab_size - 1);
        else
            list[got++] = (int32_t)id;
    }
    if (!code && !got)
        code = mega_fail(err, MEGA_ERR_INPUT, "%s is empty; expected token ids", name);
    if (code) {
        free(list);
        return code;
    }
    *ids = list;
    *count = got;
    return 0;
}

/* ---- Options of text in the metadata ----------------------------------------------------------
 */

static int get_id(const MegaMeta *meta, const char *key, int least, int *out, MegaError *err)
{
    int64_t value = 0;
    int code = mega_meta_get_int(meta, key, least, INT32_MAX, &value, err);
    *out = (int)value;
    return code;
}

int mega_text_preprocess_read(MegaTextPreprocess *out, const MegaMeta *meta, MegaError *err)
{
    MegaTextPreprocess preprocess = {0};
    int unit = 0;
    int code = mega_meta_get_name(meta, "text.unit", unit_names,
                                  MEGA_TEXT_UNIT_COUNT, &unit, err);
    preprocess.unit = (MegaTextUnit)unit;
    if (!code)
        code = get_id(meta, "text.cls", -1, &preprocess.cls, err);
    if (!code)
        code = get_id(meta, "text.eos", -1, &preprocess.eos, err);
    if (!code)
        code = get_id(meta, "text.unk", 0, &preprocess.unk, err);
    if (!code && mega_meta_find(meta, "text.limit"))
        code = get_id(meta, "text.limit", 1, &preprocess.limit, err);
    if (!code && mega_meta_find(meta, "text.expressions"))
        code = mega_meta_get_bool(meta, "text.expressions", &preprocess.expressions, err);
    *out = preprocess;
    return code;
}

int mega_text_preprocess_write(const MegaTextPreprocess *preprocess, MegaMeta *meta, MegaError *err)
{
    int code = mega_meta_set_string(meta, "text.unit", unit_names[preprocess->unit]);
    if (!code)
        code = mega_meta_set_int(meta, "text.cls", preprocess->cls);
    if (!code)
        code = mega_meta_set_int(meta, "text.eos", preprocess->eos);
    if (!code)
        code = mega_meta_set_int(meta, "text.unk", preprocess->unk);
    if (!code && preprocess->limit > 0)
        code = mega_meta_set_int(meta, "text.limit", preprocess->limit);
    if (!code && preprocess->expressions)
        code = mega_meta_set_bool(meta, "text.expressions", true);
    return mega_meta_set_result(code, "text", err);
}
