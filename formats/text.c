/*
 * text.c - dictionaries, and text to token ids; see text.h.
 *
 * A vocabulary is found through a sorted list of its symbols: unlike a hash table, no choice of
 * symbols makes building or finding slow.
 */
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "source.h"

typedef struct Entry {
    const char *symbol;
    int id;
} Entry;

struct MegaVocab {
    MegaBuffer text; /* all symbols by id, each with its NUL */
    int count;
    const char **symbols; /* [count], into text */
    Entry *sorted;        /* [count], by symbol, then by id */
};

static const char *const specials[] = {
    [MEGA_ID_BOS] = "<s>",
    [MEGA_ID_PAD] = "<pad>",
    [MEGA_ID_EOS] = "</s>",
    [MEGA_ID_UNK] = "<unk>",
};
#define SPECIALS ((int)(sizeof specials / sizeof specials[0]))
#define CLS "<CLS>"
#define OVERWRITE " #fairseq:overwrite"

/* ---- Building -------------------------------------------------------------------------------- */

static void add_symbol(MegaVocab *vocab, const char *symbol, size_t length)
{
    mega_put_bytes(&vocab->text, symbol, length);
    mega_put_u8(&vocab->text, 0);
    vocab->count++;
}

static int compare_entries(const void *left, const void *right)
{
    const Entry *a = left, *b = right;
    int order = strcmp(a->symbol, b->symbol);
    return order ? order : a->id - b->id;
}

/* Makes the two lists once all symbols have been added. */
static int index_symbols(MegaVocab *vocab, const char *name, MegaError *err)
{
    const size_t count = (size_t)vocab->count;
    vocab->symbols = calloc(count, sizeof *vocab->symbols);
    vocab->sorted = calloc(count, sizeof *vocab->sorted);
    if (vocab->text.failed || !vocab->symbols || !vocab->sorted)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the vocabulary of %s", name);
    const char *symbol = (const char *)vocab->text.data;
    for (int id = 0; id < vocab->count; id++) {
        vocab->symbols[id] = symbol;
        vocab->sorted[id] = (Entry){.symbol = symbol, .id = id};
        symbol += strlen(symbol) + 1;
    }
    qsort(vocab->sorted, count, sizeof *vocab->sorted, compare_entries);
    return 0;
}

/* One line of a dictionary without its end: "symbol count" or "symbol count #fairseq:overwrite". */
static int add_line(MegaVocab *vocab, MegaBuffer *overwrites, const char *line, size_t length,
                    const char *name, MegaError *err)
{
    const int number = vocab->count - SPECIALS + 1;
    const size_t tail = sizeof OVERWRITE - 1;
    while (length && strchr(" \t\r\v\f", line[length - 1]))
        length--;
    const bool overwrite = length >= tail && memcmp(line + length - tail, OVERWRITE, tail) == 0;
    if (overwrite)
        length -= tail;
    size_t digits = 0;
    while (digits < length && line[length - 1 - digits] >= '0' && line[length - 1 - digits] <= '9')
        digits++;
    if (!digits || length - digits < 2 || line[length - digits - 1] != ' ')
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s line %d is not \"symbol count\": it reads \"%.*s\"; expected a "
                         "dictionary as fairseq writes it",
                         name, number, length < 40 ? (int)length : 40, line);
    length -= digits + 1;
    if (!mega_utf8_valid(line, length))
        return mega_fail(err, MEGA_ERR_FORMAT, "%s line %d is not UTF-8 text", name, number);
    if (length > MEGA_VOCAB_MAX_SYMBOL)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s line %d has a symbol of more than %d bytes", name,
                         number, MEGA_VOCAB_MAX_SYMBOL);
    if (vocab->count >= MEGA_VOCAB_MAX_SYMBOLS)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s has more than %d symbols", name,
                         MEGA_VOCAB_MAX_SYMBOLS);
    add_symbol(vocab, line, length);
    mega_put_u8(overwrites, overwrite);
    return 0;
}

static int add_lines(MegaVocab *vocab, MegaBuffer *overwrites, const MegaBuffer *file,
                     const char *name, MegaError *err)
{
    size_t position = 0;
    for (int i = 0; i < SPECIALS; i++) {
        add_symbol(vocab, specials[i], strlen(specials[i]));
        mega_put_u8(overwrites, false);
    }
    while (position < file->size) {
        const char *line = (const char *)file->data + position;
        const char *end = memchr(line, '\n', file->size - position);
        const size_t length = end ? (size_t)(end - line) : file->size - position;
        int code = add_line(vocab, overwrites, line, length, name, err);
        if (code)
            return code;
        position += length + (end != NULL);
    }
    if (vocab->count == SPECIALS)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s is empty; expected lines of \"symbol count\"",
                         name);
    return 0;
}

static int check_duplicates(const MegaVocab *vocab, const MegaBuffer *overwrites, const char *name,
                            MegaError *err)
{
    for (int i = 1; i < vocab->count; i++) {
        const Entry *entry = &vocab->sorted[i];
        if (strcmp(entry->symbol, entry[-1].symbol) == 0 && !overwrites->data[entry->id])
            return mega_fail(err, MEGA_ERR_FORMAT,
                             "%s line %d has the symbol \"%.60s\", which already has id %d; mark "
                             "the line with \"" OVERWRITE "\" if that is meant",
                             name, entry->id - SPECIALS + 1, entry->symbol, entry[-1].id);
    }
    return 0;
}

static int append_symbol(MegaVocab *vocab, const char *symbol, const char *name, MegaError *err)
{
    if (mega_vocab_find(vocab, symbol, strlen(symbol)) >= 0)
        return 0;
    free(vocab->symbols);
    free(vocab->sorted);
    vocab->symbols = NULL;
    vocab->sorted = NULL;
    add_symbol(vocab, symbol, strlen(symbol));
    return index_symbols(vocab, name, err);
}

int mega_vocab_read(MegaVocab **out, const char *path, bool append_cls, MegaError *err)
{
    const char *name = mega_source_name(path);
    MegaBuffer file = {0}, overwrites = {0};
    int code = 0;
    *out = NULL;
    MegaVocab *vocab = calloc(1, sizeof *vocab);
    if (!vocab)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the vocabulary of %s", name);
    code = mega_source_read(&file, path, "a dictionary", MEGA_VOCAB_MAX_FILE, err);
    if (!code)
        code = add_lines(vocab, &overwrites, &file, name, err);
    if (!code && overwrites.failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the vocabulary of %s", name);
    if (!code)
        code = index_symbols(vocab, name, err);
    if (!code)
        code = check_duplicates(vocab, &overwrites, name, err);
    if (!code && append_cls)
        code = append_symbol(vocab, CLS, name, err);
    mega_buffer_free(&file);
    mega_buffer_free(&overwrites);
    if (code) {
        mega_vocab_free(vocab);
        return code;
    }
    *out = vocab;
    return 0;
}

int mega_vocab_from_meta(MegaVocab **out, const MegaMeta *meta, MegaError *err)
{
    *out = NULL;
    const MegaMetaValue *value = mega_meta_find(meta, MEGA_VOCAB_KEY);
    if (!value || value->type != MEGA_META_STRINGS || value->count == 0)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "the model file has no vocabulary (metadata " MEGA_VOCAB_KEY
                         "); convert it again with --dict, or give numbers with --ids");
    if (value->count > MEGA_VOCAB_MAX_SYMBOLS)
        return mega_fail(err, MEGA_ERR_LIMIT, "the vocabulary has more than %d symbols",
                         MEGA_VOCAB_MAX_SYMBOLS);
    MegaVocab *vocab = calloc(1, sizeof *vocab);
    if (!vocab)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the vocabulary");
    for (uint64_t i = 0; i < value->count; i++)
        add_symbol(vocab, value->strings[i], strlen(value->strings[i]));
    int code = index_symbols(vocab, "the model file", err);
    if (code) {
        mega_vocab_free(vocab);
        return code;
    }
    *out = vocab;
    return 0;
}

int mega_vocab_write(const MegaVocab *vocab, MegaMeta *meta, MegaError *err)
{
    int code = mega_meta_set_strings(meta, MEGA_VOCAB_KEY, vocab->symbols, (size_t)vocab->count);
    return code ? mega_fail(err, code, "cannot store a vocabulary of %d symbols", vocab->count) : 0;
}

void mega_vocab_free(MegaVocab *vocab)
{
    if (!vocab)
        return;
    mega_buffer_free(&vocab->text);
    free(vocab->symbols);
    free(vocab->sorted);
    free(vocab);
}

/* ---- Finding --------------------------------------------------------------------------------- */

int mega_vocab_count(const MegaVocab *vocab)
{
    return vocab->count;
}

const char *mega_vocab_symbol(const MegaVocab *vocab, int id)
{
    return id >= 0 && id < vocab->count ? vocab->symbols[id] : NULL;
}

int mega_vocab_find(const MegaVocab *vocab, const char *symbol, size_t length)
{
    int low = 0, high = vocab->count; /* the last entry <= symbol is at low - 1 in the end */
    if (memchr(symbol, 0, length))
        return -1;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        const char *entry = vocab->sorted[middle].symbol;
        int order = strncmp(entry, symbol, length);
        if (order == 0 && entry[length])
            order = 1;
        if (order <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return -1;
    const char *entry = vocab->sorted[low - 1].symbol;
    if (strncmp(entry, symbol, length) != 0 || entry[length])
        return -1;
    return vocab->sorted[low - 1].id;
}

/* ---- Encoding -------------------------------------------------------------------------------- */

/* What Python's str.split() splits at, as the original does. */
static bool is_space(uint32_t code)
{
    return (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x20) || code == 0x85 ||
           code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

/* The character at text and its length; a byte that is no UTF-8 is a character of its own. */
static size_t next_character(const char *text, size_t size, uint32_t *code)
{
    size_t length = mega_utf8_decode(text, size, code);
    if (length)
        return length;
    *code = UINT32_MAX;
    return 1;
}

/* The next run of characters that are not space, from *position on; its length, 0 at the end. */
static size_t next_symbol(const char *text, size_t size, size_t *position)
{
    uint32_t code = 0;
    size_t start = *position;
    while (start < size) {
        size_t length = next_character(text + start, size - start, &code);
        if (!is_space(code))
            break;
        start += length;
    }
    size_t end = start;
    while (end < size) {
        size_t length = next_character(text + end, size - end, &code);
        if (is_space(code))
            break;
        end += length;
    }
    *position = start;
    return end - start;
}

static int find_or(const MegaVocab *vocab, const char *symbol, size_t length, int otherwise)
{
    int id = mega_vocab_find(vocab, symbol, length);
    return id >= 0 ? id : otherwise;
}

static int find_character(const MegaVocab *vocab, const char *symbol, size_t length, int unk)
{
    int id = mega_vocab_find(vocab, symbol, length);
    if (id >= 0 || length != 1 || *symbol != ' ')
        return id >= 0 ? id : unk;
    id = mega_vocab_find(vocab, "\xe2\x96\x81", 3); /* U+2581, the space of SentencePiece */
    return id >= 0 ? id : find_or(vocab, "_", 1, unk);
}

/* The id of every byte. Dictionaries name bytes by numbers (enwik8, LRA) or by the character of
 * that code; digits occur in both, so that only names of two and three digits tell. */
static void map_bytes(const MegaVocab *vocab, int unk, int map[256])
{
    int numbers = 0, characters = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int byte = 0; byte < 256; byte++) {
            char number[4], character[2];
            const size_t digits = byte < 10 ? 1 : byte < 100 ? 2 : 3;
            for (size_t i = digits, rest = (size_t)byte; i-- > 0; rest /= 10)
                number[i] = (char)('0' + rest % 10);
            const size_t length = byte < 128 ? 1 : 2;
            character[0] = (char)(byte < 128 ? byte : 0xc0 | byte >> 6);
            character[1] = (char)(0x80 | (byte & 0x3f));
            if (pass == 0) {
                numbers += digits > 1 && mega_vocab_find(vocab, number, digits) >= 0;
                characters += mega_vocab_find(vocab, character, length) >= 0;
            } else {
                map[byte] = numbers > characters ? find_or(vocab, number, digits, unk)
                                                 : find_character(vocab, character, length, unk);
            }
        }
    }
}

static size_t encode_symbols(const MegaVocab *vocab, const char *text, size_t size, int unk,
                             int32_t *ids)
{
    size_t count = 0, position = 0;
    for (;;) {
        const size_t length = next_symbol(text, size, &position);
        if (!length)
            return count;
        ids[count++] = find_or(vocab, text + position, length, unk);
        position += length;
    }
}

static size_t encode_characters(const MegaVocab *vocab, const char *text, size_t size, int unk,
                                int32_t *ids)
{
    size_t count = 0;
    for (size_t position = 0; position < size;) {
        uint32_t code = 0;
        const size_t length = next_character(text + position, size - position, &code);
        ids[count++] =
            code == UINT32_MAX ? unk : find_character(vocab, text + position, length, unk);
        position += length;
    }
    return count;
}

static size_t encode_bytes(const MegaVocab *vocab, const char *text, size_t size, int unk,
                           int32_t *ids)
{
    int map[256];
    map_bytes(vocab, unk, map);
    for (size_t i = 0; i < size; i++)
        ids[i] = map[(uint8_t)text[i]];
    return size;
}

/* The size without one line end of either kind at the end. */
static size_t without_line_end(const char *text, size_t size)
{
    if (size && text[size - 1] == '\n')
        size--;
    if (size && text[size - 1] == '\r')
        size--;
    return size;
}

/* Room for every byte being a token, plus [cls] and [eos]. */
static int allocate_ids(int32_t **ids, size_t size, const char *name, MegaError *err)
{
    *ids = NULL;
    if (size > MEGA_TEXT_MAX_SIZE)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s is longer than %u bytes, the limit of a text",
                         name, MEGA_TEXT_MAX_SIZE);
    *ids = malloc((size + 2) * sizeof **ids);
    return *ids ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the tokens of %s", name);
}

int mega_text_encode(const MegaVocab *vocab, const MegaTextFeatures *features, const char *text,
                     size_t size, const char *name, int32_t **ids, size_t *count, MegaError *err)
{
    size_t (*const encode)(const MegaVocab *, const char *, size_t, int, int32_t *) =
        features->unit == MEGA_TEXT_SYMBOLS      ? encode_symbols
        : features->unit == MEGA_TEXT_CHARACTERS ? encode_characters
                                                 : encode_bytes;
    const size_t first = features->cls >= 0;
    size = without_line_end(text, size);
    int code = allocate_ids(ids, size, name, err);
    if (code)
        return code;
    *count = encode(vocab, text, size, features->unk, *ids + first);
    if (*count == 0) {
        free(*ids);
        *ids = NULL;
        return mega_fail(err, MEGA_ERR_INPUT, "%s is empty; expected text", name);
    }
    if (first)
        (*ids)[0] = features->cls;
    *count += first;
    if (features->eos >= 0)
        (*ids)[(*count)++] = features->eos;
    return 0;
}

/* A decimal number below limit, or -1. */
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
    size_t position = 0;
    int code = allocate_ids(ids, size, name, err);
    *count = 0;
    if (code)
        return code;
    for (;;) {
        const size_t length = next_symbol(text, size, &position);
        if (!length)
            break;
        const int64_t id = parse_id(text + position, length, vocab_size);
        if (id < 0) {
            code = mega_fail(err, MEGA_ERR_INPUT,
                             "%s: \"%.*s\" is no token id of this model; expected numbers from 0 "
                             "to %d separated by blanks",
                             name, length < 40 ? (int)length : 40, text + position, vocab_size - 1);
            break;
        }
        (*ids)[(*count)++] = (int32_t)id;
        position += length;
    }
    if (!code && *count == 0)
        code = mega_fail(err, MEGA_ERR_INPUT, "%s is empty; expected token ids", name);
    if (code) {
        free(*ids);
        *ids = NULL;
    }
    return code;
}
