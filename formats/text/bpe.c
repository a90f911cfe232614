/*
 * bpe.c - see bpe.h. Symbols are numbered. A word is a linked list of symbols, and a heap holds its
 * possible merges, best first.
 */
#include "formats/text/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "formats/text/glossary.h"
#include "formats/text/text_input.h"
#include "src/base/sort_strings.h"

#define END_OF_WORD "</w>"
#define CONTINUATION MEGA_BPE_SEPARATOR " "

typedef struct Merge {
    uint32_t left, right, merged; /* symbols */
    uint32_t rank;
} Merge;

struct MegaBpe {
    bool separate_end;    /* version 0.1 */
    const char **symbols; /* [symbol_count], sorted; they point into text */
    uint32_t symbol_count;
    Merge *merges; /* [merge_count], sorted by left and right */
    uint32_t merge_count;
    uint32_t *split;         /* [symbol_count]: the best merge that makes the symbol, or NONE */
    const char **vocabulary; /* [vocabulary_count], sorted; they point into text. NULL: none */
    size_t vocabulary_count;
    MegaGlossary *glossary; /* NULL: none */
    MegaBuffer text;        /* strings, each with its NUL */
};

#define NONE UINT32_MAX

/* ---- Import --------------------------------------------------------------------------------- */

/* Splits a file into lines in place and passes each, ended by NUL, to the function. */
typedef int (*LineVisit)(void *context, char *line, size_t number, MegaError *err);

static int each_line(MegaBuffer *file, const char *path, LineVisit visit, void *context,
                     MegaError *err)
{
    int code = 0;
    mega_put_u8(file, '\0');
    if (file->failed)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %s", path);
    char *line = (char *)file->data, *end = line + file->size - 1;
    for (size_t number = 1; line < end && !code; number++) {
        char *stop = memchr(line, '\n', (size_t)(end - line));
        stop = stop ? stop : end;
        *stop = '\0';
        size_t length = (size_t)(stop - line);
        while (length > 0 && line[length - 1] == ' ')
            line[--length] = '\0';
        code = visit(context, line, number, err);
        line = stop + 1;
    }
    return code;
}

typedef struct Import {
    const char *path, *what;
    const char *version;
    long threshold;
    const char **lines;
    size_t count, capacity;
} Import;

static int keep_line(Import *import, const char *line, MegaError *err)
{
    if (import->count == import->capacity) {
        size_t capacity = import->capacity ? 2 * import->capacity : 1024;
        const char **grown = realloc(import->lines, capacity * sizeof *grown);
        if (!grown)
            return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %s", import->path);
        import->lines = grown;
        import->capacity = capacity;
    }
    import->lines[import->count++] = line;
    return 0;
}

/* Returns whether a line is two parts with one blank between them. */
static bool is_pair(const char *line)
{
    const char *blank = strchr(line, ' ');
    return blank && blank > line && blank[1] && !strchr(blank + 1, ' ');
}

static int visit_code(void *context, char *line, size_t number, MegaError *err)
{
    Import *import = context;
    if (number == 1 && strncmp(line, "#version:", 9) == 0) {
        const char *version = line + 9 + strspn(line + 9, " ");
        if (strncmp(version, "0.1", 3) != 0 && strncmp(version, "0.2", 3) != 0)
            return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                             "%s: version '%.20s' of BPE codes; 0.1 and 0.2 are known",
                             import->path, version);
        import->version = strncmp(version, "0.2", 3) == 0 ? "0.2" : "0.1";
        return 0;
    }
    if (*line == '\0')
        return 0;
    if (!is_pair(line))
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s: line %zu is '%.60s', expected two symbols with a blank between them",
                         import->path, number, line);
    return keep_line(import, line, err);
}

static int visit_piece(void *context, char *line, size_t number, MegaError *err)
{
    Import *import = context;
    char *blank = strrchr(line, ' '), *end;
    long count = blank ? strtol(blank + 1, &end, 10) : 0;
    if (*line == '\0')
        return 0;
    if (!blank || end == blank + 1 || *end)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s: line %zu is '%.60s', expected a piece and its count", import->path,
                         number, line);
    *blank = '\0';
    return count >= import->threshold ? keep_line(import, line, err) : 0;
}

static int import_lines(MegaMeta *meta, const char *key, Import *import, LineVisit visit,
                        MegaError *err)
{
    const MegaTextRules rules = {.what = import->what, .limit = MEGA_BPE_MAX_FILE};
    MegaBuffer file = {0};
    int code = mega_text_read(&file, import->path, &rules, NULL, err);
    if (!code)
        code = each_line(&file, import->path, visit, import, err);
    if (!code && mega_meta_set_strings(meta, key, import->lines, import->count))
        code = mega_fail(err, MEGA_ERR_LIMIT, "%s: too large to be stored", import->path);
    free(import->lines);
    mega_buffer_free(&file);
    return code;
}

/* Checks that the glossaries can be used, before a model with them is written. */
static int check_glossaries(const MegaBpeOptions *options, MegaError *err)
{
    MegaGlossary *glossary;
    int code = mega_glossary_new(&glossary, options->glossaries, options->glossary_count, err);
    if (!code)
        mega_glossary_free(glossary);
    return code;
}

int mega_bpe_import(MegaMeta *meta, const char *codes, const MegaBpeOptions *options,
                    MegaError *err)
{
    Import merges = {.path = codes, .what = "BPE codes", .version = "0.1"};
    int code = options ? check_glossaries(options, err) : 0;
    if (!code)
        code = import_lines(meta, "bpe.codes", &merges, visit_code, err);
    if (!code)
        code = mega_meta_set_string(meta, "bpe.version", merges.version);
    if (!code && options && options->vocabulary) {
        Import pieces = {.path = options->vocabulary, .what = "a BPE vocabulary",
                         .threshold = options->threshold};
        code = import_lines(meta, "bpe.vocabulary", &pieces, visit_piece, err);
    }
    if (!code && options && options->glossary_count > 0 &&
        mega_meta_set_strings(meta, "bpe.glossaries", options->glossaries, options->glossary_count))
        code = mega_fail(err, MEGA_ERR_ARGUMENT, "a glossary is not UTF-8 text");
    return code;
}

/* ---- Loading -------------------------------------------------------------------------------- */

static int compare_merges(const void *a, const void *b)
{
    const Merge *left = a, *right = b;
    if (left->left != right->left)
        return left->left < right->left ? -1 : 1;
    if (left->right != right->right)
        return left->right < right->right ? -1 : 1;
    return left->rank < right->rank ? -1 : left->rank > right->rank;
}

/* Returns the number of a symbol that is given in two parts, or NONE. */
static uint32_t find_symbol(const MegaBpe *bpe, const char *head, size_t head_size,
                            const char *tail)
{
    uint32_t low = 0, high = bpe->symbol_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const char *symbol = bpe->symbols[middle];
        int order = strncmp(symbol, head, head_size);
        if (order == 0)
            order = strcmp(symbol + head_size, tail);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NONE;
}

static const Merge *find_merge(const MegaBpe *bpe, uint32_t left, uint32_t right)
{
    uint32_t low = 0, high = bpe->merge_count;
    if (left == NONE || right == NONE)
        return NULL;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const Merge *merge = &bpe->merges[middle];
        if (merge->left < left || (merge->left == left && merge->right < right))
            low = middle + 1;
        else
            high = middle;
    }
    const Merge *merge = &bpe->merges[low];
    return low < bpe->merge_count && merge->left == left && merge->right == right ? merge : NULL;
}

/* The symbols of a code. */
enum { LEFT, RIGHT, MERGED, PER_CODE };

/* Puts the left, right and merged symbol of every code into bpe->text. */
static int collect_symbols(MegaBpe *bpe, const MegaMetaValue *codes, MegaError *err)
{
    for (uint64_t i = 0; i < codes->count; i++) {
        const char *line = codes->strings[i], *blank = strchr(line, ' ');
        if (!is_pair(line))
            return mega_fail(err, MEGA_ERR_MODEL,
                             "metadata bpe.codes: '%.60s' is not two symbols with a blank between "
                             "them",
                             line);
        mega_put_bytes(&bpe->text, line, (size_t)(blank - line));
        mega_put_u8(&bpe->text, '\0');
        mega_put_bytes(&bpe->text, blank + 1, strlen(blank + 1) + 1);
        mega_put_bytes(&bpe->text, line, (size_t)(blank - line));
        mega_put_bytes(&bpe->text, blank + 1, strlen(blank + 1) + 1);
    }
    return 0;
}

/* Numbers the different ones of the collected symbols in their order, and writes the number of each
 * collected one to numbers [PER_CODE * codes]. */
static int number_symbols(MegaBpe *bpe, size_t count, uint32_t *numbers, MegaError *err)
{
    size_t unique = 0;
    MegaSortString *sorted = malloc((count + 1) * sizeof *sorted);
    bpe->symbols = calloc(count + 1, sizeof *bpe->symbols);
    if (bpe->text.failed || !bpe->symbols || !sorted) {
        free(sorted);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu BPE symbols", count);
    }
    const char *at = (const char *)bpe->text.data;
    for (size_t i = 0; i < count; i++, at += strlen(at) + 1)
        sorted[i] = (MegaSortString){.text = at, .id = (uint32_t)i};
    mega_sort_strings(sorted, count);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(sorted[i].text, sorted[i - 1].text) != 0)
            bpe->symbols[unique++] = sorted[i].text;
        numbers[sorted[i].id] = (uint32_t)unique - 1;
    }
    bpe->symbol_count = (uint32_t)unique;
    free(sorted);
    return 0;
}

static int build_merges(MegaBpe *bpe, size_t count, const uint32_t *numbers, MegaError *err)
{
    uint32_t unique = 0;
    bpe->merges = calloc(count + 1, sizeof *bpe->merges);
    bpe->split = malloc((bpe->symbol_count + (size_t)1) * sizeof *bpe->split);
    if (!bpe->merges || !bpe->split)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the BPE codes");
    for (size_t i = 0; i < count; i++, numbers += PER_CODE)
        bpe->merges[i] = (Merge){numbers[LEFT], numbers[RIGHT], numbers[MERGED], (uint32_t)i};
    qsort(bpe->merges, count, sizeof *bpe->merges, compare_merges);
    for (uint32_t i = 0; i < count; i++) /* the first of equal codes counts */
        if (unique == 0 || bpe->merges[i].left != bpe->merges[unique - 1].left ||
            bpe->merges[i].right != bpe->merges[unique - 1].right)
            bpe->merges[unique++] = bpe->merges[i];
    bpe->merge_count = unique;
    for (uint32_t i = 0; i < bpe->symbol_count; i++)
        bpe->split[i] = NONE;
    for (uint32_t i = 0; i < unique; i++) {
        uint32_t *split = &bpe->split[bpe->merges[i].merged];
        if (*split == NONE || bpe->merges[i].rank < bpe->merges[*split].rank)
            *split = i;
    }
    return 0;
}

static int load_codes(MegaBpe *bpe, const MegaMetaValue *codes, MegaError *err)
{
    const size_t count = (size_t)codes->count;
    uint32_t *numbers = malloc((PER_CODE * count + 1) * sizeof *numbers);
    int code = numbers ? collect_symbols(bpe, codes, err)
                       : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the BPE codes");
    if (!code)
        code = number_symbols(bpe, PER_CODE * count, numbers, err);
    if (!code)
        code = build_merges(bpe, count, numbers, err);
    free(numbers);
    return code;
}

static int load_vocabulary(MegaBpe *bpe, const MegaMetaValue *pieces, MegaError *err)
{
    if (!pieces)
        return 0;
    const size_t count = (size_t)pieces->count;
    MegaSortString *sorted = malloc((count + 1) * sizeof *sorted);
    bpe->vocabulary = calloc(count + 1, sizeof *bpe->vocabulary);
    bpe->vocabulary_count = count;
    if (!bpe->vocabulary || !sorted) {
        free(sorted);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the BPE vocabulary");
    }
    for (size_t i = 0; i < count; i++)
        sorted[i] = (MegaSortString){.text = pieces->strings[i], .id = (uint32_t)i};
    mega_sort_strings(sorted, count);
    for (size_t i = 0; i < count; i++)
        bpe->vocabulary[i] = sorted[i].text;
    free(sorted);
    return 0;
}

int mega_bpe_from_meta(MegaBpe **out, const MegaMeta *meta, MegaError *err)
{
    const MegaMetaValue *codes, *version, *vocabulary, *glossaries;
    *out = NULL;
    int code = mega_meta_get_optional(meta, "bpe.codes", MEGA_META_STRINGS, &codes, err);
    if (!code)
        code = mega_meta_get_optional(meta, "bpe.version", MEGA_META_STRING, &version, err);
    if (!code)
        code = mega_meta_get_optional(meta, "bpe.vocabulary", MEGA_META_STRINGS, &vocabulary, err);
    if (!code)
        code = mega_meta_get_optional(meta, "bpe.glossaries", MEGA_META_STRINGS, &glossaries, err);
    if (code || !codes)
        return code;
    MegaBpe *bpe = calloc(1, sizeof *bpe);
    if (!bpe)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the BPE codes");
    bpe->separate_end = !version || strcmp(version->string, "0.2") != 0;
    code = load_codes(bpe, codes, err);
    if (!code)
        code = load_vocabulary(bpe, vocabulary, err);
    if (!code && glossaries)
        code = mega_glossary_new(&bpe->glossary, glossaries->strings, (size_t)glossaries->count,
                                 err);
    if (code)
        mega_bpe_free(bpe);
    else
        *out = bpe;
    return code;
}

void mega_bpe_free(MegaBpe *bpe)
{
    if (!bpe)
        return;
    mega_glossary_free(bpe->glossary);
    free(bpe->vocabulary);
    free(bpe->merges);
    free(bpe->split);
    free(bpe->symbols);
    mega_buffer_free(&bpe->text);
    free(bpe);
}

/* ---- Merging -------------------------------------------------------------------------------- */

/* A symbol of the word. next and previous are indices in the array, or NONE at the ends. */
typedef struct Node {
    size_t start; /* its first byte in the word */
    uint32_t symbol, previous, next;
} Node;

/* A merge that was possible when it was put into the heap. */
typedef struct Candidate {
    uint32_t rank, place; /* index of the left node */
    uint32_t left, right; /* symbols */
} Candidate;

typedef struct Word {
    Node *nodes;
    Candidate *heap;
    size_t heap_size;
} Word;

static bool before(const Candidate *a, const Candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->place < b->place;
}

#define HEAP_ITEM Candidate
#define HEAP_ABOVE before
#include "src/base/heap_tmpl.h"

/* Puts the merge of a node and the next one into the heap, if there is such a merge. */
static void consider(const MegaBpe *bpe, Word *word, uint32_t place)
{
    const Node *node = &word->nodes[place];
    if (node->next == NONE)
        return;
    uint32_t right = word->nodes[node->next].symbol;
    const Merge *merge = find_merge(bpe, node->symbol, right);
    if (merge)
        heap_push(word->heap, &word->heap_size,
                  (Candidate){merge->rank, place, node->symbol, right});
}

/* Merges at a place if the two symbols are still there. Returns whether they were. */
static bool merge_at(const MegaBpe *bpe, Word *word, const Candidate *candidate)
{
    Node *node = &word->nodes[candidate->place];
    if (node->symbol != candidate->left || node->next == NONE ||
        word->nodes[node->next].symbol != candidate->right)
        return false;
    Node *right = &word->nodes[node->next];
    node->symbol = find_merge(bpe, candidate->left, candidate->right)->merged;
    right->symbol = NONE;
    node->next = right->next;
    right->next = NONE;
    if (node->next != NONE)
        word->nodes[node->next].previous = candidate->place;
    return true;
}

/* Applies the best merge everywhere in the word, from its start, before looking for the next best.
 * Merges that it makes possible wait until then, even if their rank is better. */
static void merge_all(const MegaBpe *bpe, Word *word, Candidate *batch)
{
    while (word->heap_size > 0) {
        uint32_t rank = word->heap[0].rank;
        size_t count = 0;
        while (word->heap_size > 0 && word->heap[0].rank == rank)
            batch[count++] = heap_pop(word->heap, &word->heap_size);
        for (size_t i = 0; i < count; i++) {
            if (!merge_at(bpe, word, &batch[i]))
                continue;
            uint32_t previous = word->nodes[batch[i].place].previous;
            if (previous != NONE)
                consider(bpe, word, previous);
            consider(bpe, word, batch[i].place);
        }
    }
}

/* ---- Pieces --------------------------------------------------------------------------------- */

static bool in_vocabulary(const MegaBpe *bpe, const char *text, size_t size, bool final)
{
    size_t low = 0, high = bpe->vocabulary_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strncmp(bpe->vocabulary[middle], text, size);
        if (order == 0)
            order = strcmp(bpe->vocabulary[middle] + size, final ? "" : MEGA_BPE_SEPARATOR);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Appends a piece as if the word continued; mega_bpe_apply removes the last mark. */
static void put_piece(const char *text, size_t size, MegaBuffer *out)
{
    mega_put_bytes(out, text, size);
    mega_put_bytes(out, CONTINUATION, strlen(CONTINUATION));
}

/* Returns the size of the left half of a piece, or 0 if the piece is not split: because the
 * vocabulary has it, or because no merge made it. A merge that only adds the end of word is not
 * undone, since subword-nmt would leave an empty piece. */
static size_t left_half(const MegaBpe *bpe, const char *text, size_t size, bool final)
{
    bool known = !bpe->vocabulary || in_vocabulary(bpe, text, size, final);
    uint32_t symbol = known ? NONE : find_symbol(bpe, text, size, final ? END_OF_WORD : "");
    uint32_t split = symbol == NONE ? NONE : bpe->split[symbol];
    size_t left = split == NONE ? size : strlen(bpe->symbols[bpe->merges[split].left]);
    return left < size ? left : 0;
}

/* Appends a piece, or undoes its merges until the vocabulary knows each part or no merge is left.
 * The merges of a hostile model may nest as deep as the piece is long, so the ends of the right
 * halves wait in a buffer instead of on the stack. */
static void put_known(const MegaBpe *bpe, const char *text, size_t size, bool final,
                      MegaBuffer *waiting, MegaBuffer *out)
{
    size_t begin = 0, end = size, left;
    for (;;) {
        while ((left = left_half(bpe, text + begin, end - begin, final && end == size)) > 0) {
            mega_put_u64(waiting, end);
            end = begin + left;
        }
        put_piece(text + begin, end - begin, out);
        if (end == size || waiting->failed)
            return;
        begin = end;
        waiting->size -= 8;
        end = (size_t)mega_load_u64(waiting->data + waiting->size);
    }
}

/* Fills in one symbol per character, and the end of the word. Returns the number of symbols. */
static size_t fill_nodes(const MegaBpe *bpe, const char *text, size_t size, Node *nodes)
{
    size_t count = 0;
    for (size_t at = 0, length; at < size; at += length) {
        length = mega_utf8_decode(text + at, size - at, NULL);
        length = length ? length : 1;
        bool last = at + length >= size && !bpe->separate_end;
        nodes[count++] = (Node){
            .start = at, .symbol = find_symbol(bpe, text + at, length, last ? END_OF_WORD : "")};
    }
    if (bpe->separate_end)
        nodes[count++] = (Node){.start = size, .symbol = find_symbol(bpe, END_OF_WORD, 4, "")};
    for (size_t i = 0; i < count; i++) {
        nodes[i].previous = i > 0 ? (uint32_t)i - 1 : NONE;
        nodes[i].next = i + 1 < count ? (uint32_t)i + 1 : NONE;
    }
    return count;
}

/* Appends the pieces of a text that no glossary protects. The text is cut as a whole word, even if
 * it is only a part of one. */
static int cut(const MegaBpe *bpe, const char *text, size_t size, MegaBuffer *out, MegaError *err)
{
    if (mega_utf8_decode(text, size, NULL) == size) { /* a single character */
        put_piece(text, size, out);
        return 0;
    }
    size_t capacity = size + 1;
    Word word = {.nodes = malloc(capacity * sizeof(Node)),
                 .heap = malloc(3 * capacity * sizeof(Candidate))};
    Candidate *batch = malloc(3 * capacity * sizeof *batch);
    MegaBuffer waiting = {0};
    int code = 0;
    if (!word.nodes || !word.heap || !batch) {
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a word of %zu bytes", size);
        goto out;
    }
    size_t count = fill_nodes(bpe, text, size, word.nodes);
    for (size_t i = 0; i + 1 < count; i++)
        consider(bpe, &word, (uint32_t)i);
    merge_all(bpe, &word, batch);
    for (uint32_t i = 0; i != NONE && word.nodes[i].start < size; i = word.nodes[i].next) {
        uint32_t next = word.nodes[i].next;
        size_t end = next == NONE ? size : word.nodes[next].start;
        put_known(bpe, text + word.nodes[i].start, end - word.nodes[i].start, end == size,
                  &waiting, out);
    }
    if (waiting.failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a word of %zu bytes", size);
out:
    mega_buffer_free(&waiting);
    free(word.nodes);
    free(word.heap);
    free(batch);
    return code;
}

/* Returns whether one of the glossaries matches the whole text. */
static int is_glossary(MegaGlossarySearch *search, size_t count, const char *text, size_t size,
                       MegaError *err)
{
    int found = 0;
    for (size_t i = 0; i < count && found == 0; i++)
        found = mega_glossary_is_match(search, i, text, size, err);
    return found;
}

/* Appends the pieces of a word, using the glossaries from number `index` on. Each glossary isolates
 * its matches in the parts that the earlier ones have left. The number of glossaries bounds the
 * depth of recursion. */
static int isolate(const MegaBpe *bpe, MegaGlossarySearch *search, size_t index, const char *text,
                   size_t size, MegaBuffer *out, MegaError *err)
{
    const size_t count = search ? mega_glossary_count(bpe->glossary) : 0;
    size_t at = 0;
    int found, code = 0;
    if (index == count) {
        found = is_glossary(search, count, text, size, err);
        if (found == 1)
            put_piece(text, size, out);
        return found == 0 ? cut(bpe, text, size, out, err) : found < 0 ? found : 0;
    }
    found = mega_glossary_is_match(search, index, text, size, err);
    if (found < 0)
        return found;
    if (found)
        return isolate(bpe, search, index + 1, text, size, out, err);
    while (at < size && !code) {
        MegaGlossaryMatch match;
        found = mega_glossary_find(search, index, text, size, at, &match, err);
        if (found < 0)
            return found;
        const bool any = found && match.end > match.begin; /* not an empty match */
        const size_t begin = any ? match.begin : size, end = any ? match.end : size;
        if (begin > at)
            code = isolate(bpe, search, index + 1, text + at, begin - at, out, err);
        if (any && !code)
            code = isolate(bpe, search, index + 1, text + begin, end - begin, out, err);
        at = end;
    }
    return code;
}

int mega_bpe_apply(const MegaBpe *bpe, const char *text, size_t size, MegaBuffer *out,
                   MegaError *err)
{
    MegaGlossarySearch *search = NULL;
    const char *at = text, *word;
    bool first = true;
    int code = 0;
    if (!mega_utf8_valid(text, size))
        return mega_fail(err, MEGA_ERR_ARGUMENT, "a text for byte pair encoding is not UTF-8");
    if (size == 0)
        return 0;
    if (bpe->glossary)
        code = mega_glossary_search_new(&search, bpe->glossary, size, err);
    for (size_t length; !code && mega_utf8_next_word(&at, text + size, &word, &length);) {
        if (!first)
            mega_put_u8(out, ' ');
        first = false;
        if (length > MEGA_BPE_MAX_WORD)
            code =
                mega_fail(err, MEGA_ERR_LIMIT,
                          "a word of %zu bytes is longer than %u, the limit of byte pair encoding",
                          length, MEGA_BPE_MAX_WORD);
        else
            code = isolate(bpe, search, 0, word, length, out, err);
        if (!code && out->failed)
            code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the pieces of a text");
        if (!code)
            out->size -= strlen(CONTINUATION);
    }
    mega_glossary_search_free(search);
    return code;
}

void mega_bpe_join(const char *text, size_t size, MegaBuffer *out)
{
    for (size_t i = 0; i < size;) {
        bool mark = i + 2 <= size && memcmp(text + i, MEGA_BPE_SEPARATOR, 2) == 0;
        if (mark && (i + 2 == size || text[i + 2] == ' '))
            i += 3;
        else
            mega_put_u8(out, (uint8_t)text[i++]);
    }
}
