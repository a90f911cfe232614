/*
 * test_merges.c - compares the merging of a word's symbols (formats/text/byte_bpe_merges.h) with
 * the plain rule, and tests the cache of words (formats/text/byte_bpe_words.h).
 */
#include "tests/unit/support.h"

#include <stdlib.h>
#include <string.h>

#include "formats/text/byte_bpe_merges.h"
#include "formats/text/byte_bpe_words.h"

#define LETTERS 3
#define MERGES 40
#define LONGEST 80 /* symbols of a word: long ones are merged in another way than short ones */

/* A vocabulary whose tokens are the letters and what the merges make of them. */
typedef struct Vocabulary {
    char texts[LETTERS + MERGES][LONGEST + 1];
    MegaMerge merges[MERGES];
    int tokens, merge_count;
} Vocabulary;

static int find_text(const Vocabulary *vocabulary, const char *text)
{
    int id = 0;
    while (id < vocabulary->tokens && strcmp(vocabulary->texts[id], text) != 0)
        id++;
    return id;
}

static bool has_merge(const Vocabulary *vocabulary, int left, int right)
{
    for (int i = 0; i < vocabulary->merge_count; i++)
        if (vocabulary->merges[i].left == left && vocabulary->merges[i].right == right)
            return true;
    return false;
}

/* Makes random merges. Several of them may make the same token, of different parts. */
static void make_vocabulary(Vocabulary *vocabulary, Random *random)
{
    *vocabulary = (Vocabulary){.tokens = LETTERS};
    for (int i = 0; i < LETTERS; i++)
        vocabulary->texts[i][0] = (char)('a' + i);
    for (int tries = 0; tries < 3 * MERGES && vocabulary->merge_count < MERGES; tries++) {
        char text[2 * LONGEST + 1];
        const int left = random_int(random, 0, vocabulary->tokens - 1);
        const int right = random_int(random, 0, vocabulary->tokens - 1);
        strcpy(text, vocabulary->texts[left]);
        strcat(text, vocabulary->texts[right]);
        if (strlen(text) > LONGEST || has_merge(vocabulary, left, right))
            continue;
        const int merged = find_text(vocabulary, text);
        if (merged == vocabulary->tokens)
            strcpy(vocabulary->texts[vocabulary->tokens++], text);
        vocabulary->merges[vocabulary->merge_count++] = (MegaMerge){left, right, merged};
    }
}

/* Merges as the rule says: the pair of the least rank, the leftmost one first, until there is
 * none. */
static size_t merge_plainly(const Vocabulary *vocabulary, MegaSymbol *symbols, size_t count)
{
    for (;;) {
        int best = vocabulary->merge_count;
        size_t place = 0;
        for (size_t i = 0; i + 1 < count; i++)
            for (int rank = 0; rank < best; rank++)
                if (vocabulary->merges[rank].left == symbols[i].id &&
                    vocabulary->merges[rank].right == symbols[i + 1].id) {
                    best = rank;
                    place = i;
                }
        if (best == vocabulary->merge_count)
            return count;
        symbols[place].id = vocabulary->merges[best].merged;
        symbols[place].width += symbols[place + 1].width;
        count--;
        memmove(symbols + place + 1, symbols + place + 2, (count - place - 1) * sizeof *symbols);
    }
}

static void words_of_any_length(void **state)
{
    (void)state;
    Random random = {16};
    Vocabulary vocabulary;
    MegaMergeWork work = {0};
    MegaError err = {0};
    for (int round = 0; round < 40; round++) {
        make_vocabulary(&vocabulary, &random);
        MegaMergeTable *table =
            mega_merge_table_new(vocabulary.merges, (size_t)vocabulary.merge_count);
        assert_non_null(table);
        for (size_t length = 0; length <= LONGEST; length++) {
            MegaSymbol symbols[LONGEST], expected[LONGEST];
            size_t count = length;
            for (size_t i = 0; i < length; i++)
                symbols[i] = expected[i] = (MegaSymbol){random_int(&random, 0, LETTERS - 1),
                                                        (uint32_t)random_int(&random, 1, 3)};
            assert_int_equal(mega_merge_symbols(table, symbols, &count, &work, &err), 0);
            assert_int_equal(count, merge_plainly(&vocabulary, expected, length));
            for (size_t i = 0; i < count; i++) {
                assert_int_equal(symbols[i].id, expected[i].id);
                assert_int_equal(symbols[i].width, expected[i].width);
            }
        }
        mega_merge_table_free(table);
    }
    mega_merge_work_free(&work);
}

/* Words that differ in one byte or in length are different words, wherever the byte is. */
static void words_are_told_apart(void **state)
{
    (void)state;
    MegaWords *words = mega_words_new();
    char bytes[MEGA_WORD_MAX];
    assert_non_null(words);
    for (int keep = 1; keep >= 0; keep--)
        for (size_t size = 0; size <= MEGA_WORD_MAX; size++)
            for (size_t changed = 0; changed <= size; changed++) {
                uint64_t hash;
                const MegaWordToken token = {(int32_t)(size * 100 + changed), 0, (uint8_t)size, 0,
                                             0};
                memset(bytes, 'a', sizeof bytes);
                if (changed < size)
                    bytes[changed] = 'b';
                const MegaWord *found = mega_words_find(words, bytes, size, &hash);
                if (keep) {
                    assert_null(found);
                    const MegaWord word = {.size = (uint8_t)size, .count = 1};
                    mega_words_keep(words, hash, &word, &token, bytes);
                } else {
                    assert_non_null(found);
                    assert_int_equal(found->count, 1);
                    assert_int_equal(found->tokens[0].id, token.id);
                }
            }
    mega_words_free(words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_any_length),
        cmocka_unit_test(words_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
