/*
 * added_tokens.c - see added_tokens.h. The tokens of a round are sorted. At each place of a text, a
 * search keeps the range of those tokens that begin with the bytes there, and narrows it byte by
 * byte.
 */
#include "formats/text/added_tokens.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/utf8.h"

typedef struct AddedToken {
    int32_t id;
    const char *text;
    unsigned flags;
} AddedToken;

typedef struct Token {
    char *text;
    size_t size;
    int32_t id;
    unsigned flags;
} Token;

typedef struct Round {
    Token *tokens; /* [count], sorted by text */
    size_t count;
    bool begins[256]; /* some token begins with that byte */
} Round;

struct MegaAddedTokens {
    Round rounds[2];
    const MegaUnicodeClasses *classes;
    int32_t *special; /* ids of special tokens, sorted */
    size_t special_count;
};

/* ---- Making --------------------------------------------------------------------------------- */

static int compare_tokens(const void *a, const void *b)
{
    return strcmp(((const Token *)a)->text, ((const Token *)b)->text);
}

static int compare_ids(const void *a, const void *b)
{
    const int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
    return (left > right) - (left < right);
}

static bool add_token(MegaAddedTokens *added, const AddedToken *from)
{
    Round *round = &added->rounds[(from->flags & MEGA_ADDED_NORMALIZED) != 0];
    Token token = {.text = strdup(from->text),
                   .size = strlen(from->text),
                   .id = from->id,
                   .flags = from->flags};
    if (!token.text)
        return false;
    round->tokens[round->count++] = token;
    round->begins[(uint8_t)token.text[0]] = true;
    if (from->flags & MEGA_ADDED_SPECIAL)
        added->special[added->special_count++] = from->id;
    return true;
}

static int check_token(const AddedToken *token, MegaError *err)
{
    const size_t size = strlen(token->text);
    if (size > 0 && size <= MEGA_ADDED_MAX_TEXT)
        return 0;
    return mega_fail(err, MEGA_ERR_LIMIT, "added token '%.60s' has %zu bytes; expected 1 to %d",
                     token->text, size, MEGA_ADDED_MAX_TEXT);
}

/* Makes the object from a list of tokens, whose texts it copies. */
static int new_added_tokens(MegaAddedTokens **out, const AddedToken *tokens, size_t count,
                            const MegaUnicodeClasses *classes, MegaError *err)
{
    *out = NULL;
    if (count > MEGA_ADDED_MAX)
        return mega_fail(err, MEGA_ERR_LIMIT, "there are %zu added tokens; at most %d are taken",
                         count, MEGA_ADDED_MAX);
    for (size_t i = 0; i < count; i++) {
        int code = check_token(&tokens[i], err);
        if (code)
            return code;
    }
    MegaAddedTokens *added = calloc(1, sizeof *added);
    bool good = added;
    if (added) {
        added->classes = classes;
        added->special = malloc((count + 1) * sizeof *added->special);
        good = added->special;
        for (int i = 0; i < 2; i++) {
            added->rounds[i].tokens = malloc((count + 1) * sizeof(Token));
            good = good && added->rounds[i].tokens;
        }
    }
    for (size_t i = 0; i < count && good; i++)
        good = add_token(added, &tokens[i]);
    if (!good) {
        mega_added_tokens_free(added);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu added tokens", count);
    }
    for (int i = 0; i < 2; i++)
        qsort(added->rounds[i].tokens, added->rounds[i].count, sizeof(Token), compare_tokens);
    qsort(added->special, added->special_count, sizeof *added->special, compare_ids);
    *out = added;
    return 0;
}

int mega_added_tokens_from_meta(MegaAddedTokens **out, const MegaMeta *meta, const MegaVocab *vocab,
                                const MegaUnicodeClasses *classes, MegaError *err)
{
    const MegaMetaValue *ids, *flags;
    int code = mega_meta_get_optional(meta, "text.added", MEGA_META_INTS, &ids, err);
    if (!code)
        code = mega_meta_get_optional(meta, "text.added_flags", MEGA_META_INTS, &flags, err);
    if (code)
        return code;
    const size_t count = ids ? (size_t)ids->count : 0;
    if (count != (flags ? flags->count : 0) || count > MEGA_ADDED_MAX)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "metadata keys 'text.added' and 'text.added_flags' have to be of the same "
                         "length, at most %d",
                         MEGA_ADDED_MAX);
    AddedToken *tokens = calloc(count + 1, sizeof *tokens);
    if (!tokens)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu added tokens", count);
    for (size_t i = 0; i < count && !code; i++) {
        const int64_t id = ids->integers[i], flag = flags->integers[i];
        if (id < 0 || id >= mega_vocab_count(vocab) || flag < 0 || flag > MEGA_ADDED_ALL)
            code = mega_fail(err, MEGA_ERR_MODEL,
                             "metadata keys 'text.added' and 'text.added_flags' have token %" PRId64
                             " with flags %" PRId64
                             "; expected one of the vocabulary, and flags up to %d",
                             id, flag, MEGA_ADDED_ALL);
        else
            tokens[i] =
                (AddedToken){(int32_t)id, mega_vocab_symbol(vocab, (int)id), (unsigned)flag};
    }
    if (!code)
        code = new_added_tokens(out, tokens, count, classes, err);
    free(tokens);
    return code;
}

void mega_added_tokens_free(MegaAddedTokens *added)
{
    if (!added)
        return;
    for (int i = 0; i < 2; i++) {
        for (size_t t = 0; t < added->rounds[i].count; t++)
            free(added->rounds[i].tokens[t].text);
        free(added->rounds[i].tokens);
    }
    free(added->special);
    free(added);
}

bool mega_added_tokens_is_special(const MegaAddedTokens *added, int32_t id)
{
    return added->special_count &&
           bsearch(&id, added->special, added->special_count, sizeof *added->special, compare_ids);
}

/* ---- Searching ------------------------------------------------------------------------------ */

typedef struct Search {
    const MegaAddedTokens *added;
    const char *text;
    int (*part)(void *context, const MegaTextPart *part);
    void *context;
} Search;

/* Returns the first token in [low, high) whose byte number `depth` is at least `byte`. */
static size_t lower_bound(const Round *round, size_t low, size_t high, size_t depth, unsigned byte)
{
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if ((uint8_t)round->tokens[middle].text[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Returns the longest token at the beginning of a text, or NULL. */
static const Token *match(const Round *round, const char *text, size_t size)
{
    const Token *longest = NULL;
    size_t low = 0, high = round->count;
    for (size_t depth = 0; depth < size && low < high; depth++) {
        const unsigned byte = (uint8_t)text[depth];
        if (!byte) /* no token has it; strcmp and lower_bound take it for the end of a token */
            break;
        low = lower_bound(round, low, high, depth, byte);
        high = lower_bound(round, low, high, depth, byte + 1);
        if (low < high && round->tokens[low].size == depth + 1) {
            longest = &round->tokens[low];
            low++;
        }
    }
    return longest;
}

static size_t decode_before(const char *text, size_t end, uint32_t *code)
{
    size_t at = end - 1;
    while (at > 0 && ((uint8_t)text[at] & 0xc0) == 0x80)
        at--;
    mega_utf8_decode(text + at, end - at, code);
    return at;
}

/* Returns whether a word continues across one of the two ends of a match. */
static bool in_word(const Search *search, size_t from, size_t to, size_t start, size_t end)
{
    uint32_t code;
    if (start > from) {
        decode_before(search->text, start, &code);
        if (mega_unicode_is_word(search->added->classes, code))
            return true;
    }
    return end < to && mega_utf8_decode(search->text + end, to - end, &code) &&
           mega_unicode_is_word(search->added->classes, code);
}

static bool is_white(const Search *search, uint32_t code)
{
    return mega_unicode_class(search->added->classes, code) == MEGA_CLASS_WHITE;
}

/* Returns where the white space before `start` begins, but at least `from`. */
static size_t strip_left(const Search *search, size_t from, size_t start)
{
    uint32_t code;
    while (start > from) {
        const size_t before = decode_before(search->text, start, &code);
        if (!is_white(search, code))
            break;
        start = before;
    }
    return start;
}

static size_t strip_right(const Search *search, size_t end, size_t to)
{
    uint32_t code;
    while (end < to) {
        const size_t length = mega_utf8_decode(search->text + end, to - end, &code);
        if (!is_white(search, code))
            break;
        end += length;
    }
    return end;
}

static int search_round(const Search *search, int number, size_t from, size_t to);

/* Passes text between the tokens of a round on to the next round. */
static int pass_on(const Search *search, int number, size_t start, size_t end)
{
    if (start >= end)
        return 0;
    if (number == 0)
        return search_round(search, 1, start, end);
    return search->part(search->context, &(MegaTextPart){.id = -1, .start = start, .end = end});
}

/* A token may begin in the white space that the token before it took along on its right. Both then
 * contain it, and the search goes on after the later one, as in the reference. If such a token
 * takes white space along on its left, nothing of its own is left where it also ends in that white
 * space: it is not reported, and the reference drops it, too, or fails. If it takes white space
 * along on its right, its place is its own text alone. In the reference it reaches to the end of
 * the white space, which makes a row of them take quadratic time. */
static int search_round(const Search *search, int number, size_t from, size_t to)
{
    const Round *round = &search->added->rounds[number];
    size_t done = from, at = from;
    size_t white = from; /* the end of the white space that a token took along on its right */
    while (at < to && round->count) {
        const Token *token = round->begins[(uint8_t)search->text[at]]
                                 ? match(round, search->text + at, to - at)
                                 : NULL;
        if (!token) {
            at++;
            continue;
        }
        size_t start = at, end = at + token->size;
        at = end;
        if ((token->flags & MEGA_ADDED_SINGLE_WORD) && in_word(search, from, to, start, end))
            continue;
        if (token->flags & MEGA_ADDED_LSTRIP) {
            if (end <= done)
                continue;
            start = strip_left(search, done, start > done ? start : done);
        }
        size_t after = end;
        if (token->flags & MEGA_ADDED_RSTRIP) {
            if (end >= white)
                end = white = strip_right(search, end, to);
            after = white;
        }
        int code = pass_on(search, number, done, start);
        if (!code)
            code = search->part(search->context,
                                &(MegaTextPart){.id = token->id, .start = start, .end = end});
        if (code)
            return code;
        done = after;
    }
    return pass_on(search, number, done, to);
}

int mega_added_tokens_split(const MegaAddedTokens *added, const char *text, size_t size,
                            int (*part)(void *context, const MegaTextPart *part), void *context)
{
    const Search search = {added, text, part, context};
    return search_round(&search, 0, 0, size);
}
