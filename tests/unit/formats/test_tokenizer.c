/*
 * test_tokenizer.c - compares Moses, BPE and tokenizers with the output of sacremoses 0.2 and
 * subword-nmt for the same lines (tests/data/moses, tests/data/bpe; tests/oracles/text.py compares
 * larger texts).
 */
#define _GNU_SOURCE /* getline */
#include "tests/unit/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/text/glossary.h"
#include "formats/text/tokenizer.h"

typedef int (*Step)(const void *object, const char *text, size_t size, MegaBuffer *out,
                    MegaError *err);

/* Applies a step to every line of one file; the results must be the lines of the other file. */
static void check_lines(Step step, const void *object, const char *in, const char *expected)
{
    FILE *from = fopen(in, "r"), *to = fopen(expected, "r");
    char *line = NULL, *wanted = NULL;
    size_t capacity = 0, wanted_capacity = 0, number = 0;
    ssize_t size, wanted_size;
    MegaError err = {0};
    assert_non_null(from);
    assert_non_null(to);
    while ((size = getline(&line, &capacity, from)) > 0) {
        MegaBuffer out = {0};
        wanted_size = getline(&wanted, &wanted_capacity, to);
        assert_true(wanted_size > 0);
        number++;
        if (step(object, line, (size_t)size - 1, &out, &err))
            fail_msg("%s, line %zu: %s", in, number, err.text);
        if (out.size != (size_t)wanted_size - 1 || memcmp(out.data, wanted, out.size) != 0)
            fail_msg("%s, line %zu: got '%.*s', expected '%.*s'", expected, number, (int)out.size,
                     out.data ? (char *)out.data : "", (int)wanted_size - 1, wanted);
        mega_buffer_free(&out);
    }
    assert_true(number > 10);
    free(line);
    free(wanted);
    fclose(from);
    fclose(to);
}

static int normalize(const void *moses, const char *text, size_t size, MegaBuffer *out,
                     MegaError *err)
{
    return mega_moses_normalize(moses, text, size, out, err);
}

static int tokenize(const void *moses, const char *text, size_t size, MegaBuffer *out,
                    MegaError *err)
{
    return mega_moses_tokenize(moses, text, size, out, err);
}

static int detokenize(const void *moses, const char *text, size_t size, MegaBuffer *out,
                      MegaError *err)
{
    return mega_moses_detokenize(moses, text, size, out, err);
}

static void check_moses(const char *language)
{
    MegaMoses *moses;
    char normal[64], tokens[64], joined[64];
    assert_int_equal(mega_moses_new(&moses, language, NULL), 0);
    snprintf(normal, sizeof normal, "tests/data/moses/normal.%s.txt", language);
    snprintf(tokens, sizeof tokens, "tests/data/moses/tokens.%s.txt", language);
    snprintf(joined, sizeof joined, "tests/data/moses/joined.%s.txt", language);
    check_lines(normalize, moses, "tests/data/moses/raw.txt", normal);
    check_lines(tokenize, moses, normal, tokens);
    check_lines(detokenize, moses, tokens, joined);
    mega_moses_free(moses);
}

static void moses_equals_sacremoses(void **state)
{
    (void)state;
    check_moses("en");
    check_moses("de");
}

static void any_blank_separates_tokens(void **state)
{
    static const char text[] = "a\u3000@-@\u00a0b\t.";
    MegaMoses *moses;
    MegaBuffer out = {0};
    (void)state;
    assert_int_equal(mega_moses_new(&moses, "en", NULL), 0);
    assert_int_equal(mega_moses_detokenize(moses, text, strlen(text), &out, NULL), 0);
    assert_int_equal(out.size, 4);
    assert_memory_equal(out.data, "a-b.", 4);
    mega_buffer_free(&out);
    mega_moses_free(moses);
}

/* ---- BPE ------------------------------------------------------------------------------------ */

static int segment(const void *bpe, const char *text, size_t size, MegaBuffer *out, MegaError *err)
{
    return mega_bpe_apply(bpe, text, size, out, err);
}

static void check_bpe(const char *codes, const MegaBpeOptions *options, const char *expected)
{
    MegaMeta *meta = mega_meta_new();
    MegaBpe *bpe = NULL;
    MegaError err = {0};
    if (mega_bpe_import(meta, codes, options, &err) || mega_bpe_from_meta(&bpe, meta, &err))
        fail_msg("%s", err.text);
    check_lines(segment, bpe, "tests/data/bpe/words.txt", expected);
    mega_bpe_free(bpe);
    mega_meta_free(meta);
}

static void bpe_equals_subword_nmt(void **state)
{
    static const char *const glossaries[] = {"low", "wid[a-z]*"};
    static const char *const overlapping[] = {"lowe", "we?"};
    MegaBpeOptions threshold = {.vocabulary = "tests/data/bpe/vocabulary", .threshold = 2};
    MegaBpeOptions glossary = {.glossaries = glossaries, .glossary_count = 2};
    (void)state;
    check_bpe("tests/data/bpe/codes", NULL, "tests/data/bpe/plain.txt");
    check_bpe("tests/data/bpe/codes.old", NULL, "tests/data/bpe/old.txt");
    check_bpe("tests/data/bpe/codes", &threshold, "tests/data/bpe/threshold.txt");
    check_bpe("tests/data/bpe/codes", &glossary, "tests/data/bpe/glossary.txt");
    check_bpe("tests/data/bpe/codes.old", &threshold, "tests/data/bpe/threshold.old.txt");
    threshold.glossaries = overlapping;
    threshold.glossary_count = 2;
    check_bpe("tests/data/bpe/codes", &threshold, "tests/data/bpe/both.txt");
}

/* Returns the result of cutting `text` by merges of "l o" with one glossary, or of reading the
 * glossary. */
static int apply_glossary(const char *expression, const char *text, size_t size, MegaError *err)
{
    static const char *const merges[] = {"l o"};
    MegaMeta *meta = mega_meta_new();
    MegaBpe *bpe = NULL;
    MegaBuffer out = {0};
    assert_int_equal(mega_meta_set_strings(meta, "bpe.codes", merges, 1), 0);
    assert_int_equal(mega_meta_set_strings(meta, "bpe.glossaries", &expression, 1), 0);
    int code = mega_bpe_from_meta(&bpe, meta, err);
    if (!code)
        code = mega_bpe_apply(bpe, text, size, &out, err);
    mega_buffer_free(&out);
    mega_bpe_free(bpe);
    mega_meta_free(meta);
    return code;
}

static void repeat(MegaBuffer *text, const char *unit, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mega_put_bytes(text, unit, strlen(unit));
}

/* A model may be hostile: neither recursion nor matching may run away. */
static void bad_glossaries_are_refused(void **state)
{
    MegaBuffer captures = {0};
    mega_put_bytes(&captures, "(?:a", 4);
    repeat(&captures, "()", 2000);
    mega_put_bytes(&captures, "|b)*c", 6); /* and NUL */
    const struct {
        const char *expression, *unit;
        size_t count;
        int code;
        const char *says;
    } cases[] = {
        {"(", "a", 1, MEGA_ERR_ARGUMENT, "glossary '('"},
        {"a\\C", "a", 1, MEGA_ERR_ARGUMENT, "glossary 'a\\C'"},
        /* The time is exponential in the length of a word: of one, and of each of many. */
        {"(a+)+[bd]", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac ", 1, MEGA_ERR_LIMIT, "'(a+)+[bd]'"},
        {"(a+)+[bd]", "aaaaaaaaaaaac ", 10000, MEGA_ERR_LIMIT, "'(a+)+[bd]' takes too long"},
        /* The time is quadratic without backtracking, and the compiler finds no literal to search
         * for. */
        {"[^b]*+[bc]", "a", 20000, MEGA_ERR_LIMIT, "'[^b]*+[bc]' takes too long"},
        {"(?=a*[bc])a", "a", 20000, MEGA_ERR_LIMIT, "'(?=a*[bc])a' takes too long"},
        {"(?R)?[bc]|a(?R)", "a", 20000, MEGA_ERR_ARGUMENT, "'(?R)?[bc]|a(?R)' cannot match"},
        /* Each character takes 32 KB of memory. */
        {(const char *)captures.data, "a", 20000, MEGA_ERR_LIMIT, "takes more than 32 MB"},
        /* The match begins before the search. */
        {"(?<=(?&k)..)(?(DEFINE)(?<k>a\\K))", "abcabcab", 1, MEGA_ERR_ARGUMENT, "'(?<=(?&k)..)"},
        /* Empty matches, and expressions of honest models. */
        {"x*", "abc ", 10000, 0, NULL},
        {"\\d+", "in 1984, 12 of ", 10000, 0, NULL},
        {"(?:Berlin|Paris)", "aBerlinb Par ", 10000, 0, NULL},
        {"<[^<>\\s]+>", "a<b>c < > <<x>> ", 10000, 0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaBuffer text = {0};
        MegaError err = {0};
        repeat(&text, cases[i].unit, cases[i].count);
        const int code =
            apply_glossary(cases[i].expression, (const char *)text.data, text.size, &err);
        if (code != cases[i].code || (code && !strstr(err.text, cases[i].says)))
            fail_msg("%.60s: %d, '%s'; expected %d, '%s'", cases[i].expression, code, err.text,
                     cases[i].code, cases[i].says ? cases[i].says : "");
        mega_buffer_free(&text);
    }
    mega_buffer_free(&captures);
}

static void limits_of_glossaries(void **state)
{
    const char **many = calloc(MEGA_GLOSSARY_MAX_COUNT + 1, sizeof *many);
    char *large = calloc(1, MEGA_GLOSSARY_MAX_SIZE + 2);
    MegaMeta *meta = mega_meta_new();
    MegaBpe *bpe;
    MegaError err = {0};
    (void)state;
    for (int i = 0; i <= MEGA_GLOSSARY_MAX_COUNT; i++)
        many[i] = "a";
    memset(large, 'a', MEGA_GLOSSARY_MAX_SIZE + 1);
    MegaBpeOptions options = {.glossaries = many, .glossary_count = MEGA_GLOSSARY_MAX_COUNT + 1};
    assert_int_equal(mega_bpe_import(meta, "tests/data/bpe/codes", &options, &err),
                     MEGA_ERR_LIMIT);
    assert_int_equal(mega_bpe_import(meta, "tests/data/bpe/codes", NULL, &err), 0);
    assert_int_equal(mega_meta_set_strings(meta, "bpe.glossaries", many, options.glossary_count),
                     0);
    assert_int_equal(mega_bpe_from_meta(&bpe, meta, &err), MEGA_ERR_LIMIT);
    assert_null(bpe);
    options = (MegaBpeOptions){.glossaries = (const char *const *)&large, .glossary_count = 1};
    assert_int_equal(mega_bpe_import(meta, "tests/data/bpe/codes", &options, &err),
                     MEGA_ERR_ARGUMENT);
    mega_meta_free(meta);
    free(many);
    free(large);
}

/* Merges nest as deep as the piece is long, so nothing may recurse into them. */
static void deep_merges_are_undone(void **state)
{
    enum { DEPTH = 4000 };
    static const char *const vocabulary[] = {"x"};
    char *longest = malloc(DEPTH + 3), **merges = calloc(DEPTH, sizeof *merges);
    MegaMeta *meta = mega_meta_new();
    MegaBpe *bpe;
    MegaBuffer out = {0}, expected = {0};
    MegaError err = {0};
    (void)state;
    memset(longest, 'b', DEPTH + 2);
    longest[0] = 'a';
    for (size_t i = 0; i < DEPTH; i++) { /* "a b", "ab b", "abb b", ... */
        memcpy(longest + i + 1, " b", 3);
        merges[i] = strdup(longest);
        memcpy(longest + i + 1, "bb", 2);
    }
    assert_int_equal(mega_meta_set_strings(meta, "bpe.codes", (const char *const *)merges, DEPTH),
                     0);
    assert_int_equal(mega_meta_set_strings(meta, "bpe.vocabulary", vocabulary, 1), 0);
    assert_int_equal(mega_meta_set_string(meta, "bpe.version", "0.2"), 0);
    assert_int_equal(mega_bpe_from_meta(&bpe, meta, &err), 0);
    longest[DEPTH + 1] = 'c';
    assert_int_equal(mega_bpe_apply(bpe, longest, DEPTH + 2, &out, &err), 0);
    mega_put_bytes(&expected, "a@@ ", 4);
    repeat(&expected, "b@@ ", DEPTH);
    mega_put_u8(&expected, 'c');
    assert_int_equal(out.size, expected.size);
    assert_memory_equal(out.data, expected.data, expected.size);
    for (size_t i = 0; i < DEPTH; i++)
        free(merges[i]);
    free(merges);
    free(longest);
    mega_buffer_free(&out);
    mega_buffer_free(&expected);
    mega_bpe_free(bpe);
    mega_meta_free(meta);
}

static void words_have_a_limit(void **state)
{
    MegaBuffer text = {0};
    MegaError err = {0};
    (void)state;
    repeat(&text, "a", MEGA_BPE_MAX_WORD);
    assert_int_equal(apply_glossary("x", (const char *)text.data, text.size, &err), 0);
    repeat(&text, " lo", 1);
    assert_int_equal(apply_glossary("x", (const char *)text.data, text.size, &err), 0);
    text.size -= 3;
    repeat(&text, "a", 1);
    assert_int_equal(apply_glossary("x", (const char *)text.data, text.size, &err), MEGA_ERR_LIMIT);
    assert_non_null(strstr(err.text, "a word of 1048577 bytes is longer than 1048576"));
    mega_buffer_free(&text);
}

/* Neither BPE nor Moses accepts bytes that are not UTF-8. */
static void broken_text_is_refused(void **state)
{
    static const char *const texts[] = {"a\xff", "\xf0\x9f", "\xed\xa0\x80",
                                        "\xf7\xbf\xbf\xbf\xbf"};
    MegaMoses *moses;
    (void)state;
    assert_int_equal(mega_moses_new(&moses, "de", NULL), 0);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        MegaError err = {0};
        MegaBuffer out = {0};
        const size_t size = strlen(texts[i]);
        assert_int_equal(apply_glossary("[^b]", texts[i], size, &err), MEGA_ERR_ARGUMENT);
        const Step steps[] = {normalize, tokenize, detokenize};
        for (int k = 0; k < 3; k++)
            assert_int_equal(steps[k](moses, texts[i], size, &out, &err), MEGA_ERR_ARGUMENT);
        assert_int_equal(out.size, 0);
        mega_buffer_free(&out);
    }
    mega_moses_free(moses);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void bad_codes_are_refused(void **state)
{
    static const char *const bad[] = {"#version: 0.3\na b\n", "a b c\n", "ab\n", "a \n",
                                      "\xff b\n"};
    char path[] = "/tmp/mega-codes-XXXXXX";
    (void)state;
    close(mkstemp(path));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        MegaMeta *meta = mega_meta_new();
        MegaError err = {0};
        write_file(path, bad[i]);
        assert_int_not_equal(mega_bpe_import(meta, path, NULL, &err), 0);
        assert_non_null(strstr(err.text, path));
        mega_meta_free(meta);
    }
    unlink(path);
}

static void pieces_are_joined(void **state)
{
    static const char *const pairs[][2] = {{"lo@@ west new@@ er", "lowest newer"},
                                           {"a@@ b c@@", "ab c"},
                                           {"", ""},
                                           {"@@ x", "x"},
                                           {"x@@y z", "x@@y z"}};
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        MegaBuffer out = {0};
        mega_bpe_join(pairs[i][0], strlen(pairs[i][0]), &out);
        assert_int_equal(out.size, strlen(pairs[i][1]));
        assert_memory_equal(out.data ? (char *)out.data : "", pairs[i][1], out.size);
        mega_buffer_free(&out);
    }
}

/* ---- Codecs --------------------------------------------------------------------------------- */

/* Returns metadata with a dictionary of these symbols, one per line. */
static MegaMeta *meta_with(const char *symbols, MegaTextUnit unit)
{
    char path[] = "/tmp/mega-dict-XXXXXX";
    MegaMeta *meta = mega_meta_new();
    MegaVocab *vocab;
    MegaTokenizerSettings settings = {.unit = unit};
    close(mkstemp(path));
    write_file(path, symbols);
    assert_int_equal(mega_vocab_read(&vocab, path, false, NULL), 0);
    assert_int_equal(mega_vocab_write(vocab, meta, MEGA_VOCAB_KEY, NULL), 0);
    assert_int_equal(mega_tokenizer_write(&settings, meta, NULL), 0);
    mega_vocab_free(vocab);
    unlink(path);
    return meta;
}

static void check_round_trip(const MegaMeta *meta, const char *text, const char *expected)
{
    MegaTokenizer *tokenizer;
    int32_t *ids;
    size_t count;
    MegaBuffer out = {0};
    assert_int_equal(mega_tokenizer_new(&tokenizer, meta, MEGA_TOKENIZER_TARGET, NULL), 0);
    assert_int_equal(
        mega_tokenizer_encode(tokenizer, text, strlen(text), false, &ids, &count, NULL), 0);
    assert_int_equal(mega_tokenizer_decode(tokenizer, ids, count, false, &out, NULL), 0);
    assert_int_equal(out.size, strlen(expected));
    assert_memory_equal(out.data ? (char *)out.data : "", expected, out.size);
    mega_buffer_free(&out);
    free(ids);
    mega_tokenizer_free(tokenizer);
}

static void text_comes_back(void **state)
{
    MegaMeta *characters = meta_with("a 1\nb 1\n▁ 1\n⏎ 1\nß 1\n", MEGA_TEXT_CHARACTERS);
    MegaMeta *bytes = meta_with("97 1\n98 1\n32 1\n195 1\n159 1\n7 1\n", MEGA_TEXT_BYTES);
    MegaMeta *words = meta_with("ab 1\nba 1\n", MEGA_TEXT_SYMBOLS);
    (void)state;
    check_round_trip(characters, "ab ß\nba\n", "ab ß\nba\n");
    check_round_trip(characters, "", "");
    check_round_trip(characters, "axb", "a<unk>b");
    check_round_trip(characters,
                     "a\xff"
                     "b",
                     "a<unk>b");
    check_round_trip(bytes, "ab \xc3\x9f\x07", "ab \xc3\x9f\x07");
    check_round_trip(words, "  ab   ba ", "ab ba");
    mega_meta_free(characters);
    mega_meta_free(bytes);
    mega_meta_free(words);
}

/* Text goes through Moses and BPE, both ways; pre-tokenized text skips Moses. */
static void words_are_cut_and_joined(void **state)
{
    MegaMeta *meta = meta_with("low@@ 1\ner 1\n, 1\n", MEGA_TEXT_SYMBOLS);
    char path[] = "/tmp/mega-codes-XXXXXX";
    MegaTokenizerSettings moses = {.moses = true, .source_language = "en", .target_language = "de"};
    MegaTokenizer *tokenizer;
    int32_t *ids;
    size_t count;
    (void)state;
    close(mkstemp(path));
    write_file(path, "#version: 0.2\nl o\nlo w\ne r</w>\n");
    assert_int_equal(mega_tokenizer_write(&moses, meta, NULL), 0);
    assert_int_equal(mega_bpe_import(meta, path, NULL, NULL), 0);
    check_round_trip(meta, "lower, lower", "lower, lower");
    check_round_trip(meta, "  ", "");
    assert_int_equal(mega_tokenizer_new(&tokenizer, meta, MEGA_TOKENIZER_SOURCE, NULL), 0);
    assert_int_equal(mega_vocab_count(mega_tokenizer_vocab(tokenizer)), 7);
    assert_int_equal(mega_tokenizer_encode(tokenizer, "lower,", 6, false, &ids, &count, NULL), 0);
    assert_int_equal(count, 3);
    free(ids);
    assert_int_equal(mega_tokenizer_encode(tokenizer, "lower,", 6, true, &ids, &count, NULL), 0);
    assert_int_not_equal(count, 3); /* the comma is part of the word */
    free(ids);
    mega_tokenizer_free(tokenizer);
    mega_meta_free(meta);
    unlink(path);
}

/* Without Moses, BPE leaves the text as it is, so that its pieces have places in it: words are
 * counted over white space, and places in characters. */
static void pieces_have_places(void **state)
{
    static const MegaToken expected[] = {
        {.id = 4, .word = 0, .start = 0, .end = 3},   {.id = 5, .word = 0, .start = 3, .end = 5},
        {.id = 3, .word = 1, .start = 7, .end = 8},   {.id = 4, .word = 2, .start = 9, .end = 12},
        {.id = 5, .word = 2, .start = 12, .end = 14},
    };
    static const char text[] = "lower  \xc3\xa9 lower";
    const MegaTexts texts = {.first = text, .first_size = sizeof text - 1};
    MegaMeta *meta = meta_with("low@@ 1\ner 1\n", MEGA_TEXT_SYMBOLS);
    char path[] = "/tmp/mega-codes-XXXXXX";
    MegaTokenizer *tokenizer;
    MegaTokenized tokens;
    (void)state;
    close(mkstemp(path));
    write_file(path, "#version: 0.2\nl o\nlo w\ne r</w>\n");
    assert_int_equal(mega_bpe_import(meta, path, NULL, NULL), 0);
    assert_int_equal(mega_tokenizer_new(&tokenizer, meta, MEGA_TOKENIZER_TARGET, NULL), 0);
    assert_true(mega_tokenizer_has_places(tokenizer));
    assert_int_equal(mega_tokenizer_encode_texts(tokenizer, &texts,
                                                 &(MegaEncodeOptions){.no_special = true}, &tokens,
                                                 NULL),
                     0);
    assert_int_equal(tokens.sequences[0].count, sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < tokens.sequences[0].count; i++) {
        const MegaToken *token = &tokens.sequences[0].data[i];
        assert_int_equal(token->id, expected[i].id);
        assert_int_equal(token->word, expected[i].word);
        assert_int_equal(token->start, expected[i].start);
        assert_int_equal(token->end, expected[i].end);
    }
    mega_tokenized_free(&tokens);
    check_round_trip(meta, "lower lower", "lower lower");
    mega_tokenizer_free(tokenizer);
    mega_meta_free(meta);
    unlink(path);
}

/* A file could combine a byte vocabulary with BPE or Moses, which would then match unrepaired
 * bytes. */
static void bytes_are_not_cut(void **state)
{
    static const char *const merges[] = {"l o"};
    const MegaTokenizerSettings settings[] = {{.unit = MEGA_TEXT_BYTES, .moses = true},
                                              {.unit = MEGA_TEXT_BYTES, .bpe = true}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        MegaMeta *meta = meta_with("97 1\n", MEGA_TEXT_BYTES);
        MegaTokenizer *tokenizer;
        MegaError err = {0};
        assert_int_equal(mega_tokenizer_write(&settings[i], meta, &err), MEGA_ERR_MODEL);
        assert_int_equal(mega_tokenizer_new(&tokenizer, meta, MEGA_TOKENIZER_TARGET, &err), 0);
        mega_tokenizer_free(tokenizer);
        assert_int_equal(i ? mega_meta_set_strings(meta, "bpe.codes", merges, 1)
                           : mega_meta_set_string(meta, "text.tokenizer", "moses"),
                         0);
        assert_int_equal(mega_tokenizer_new(&tokenizer, meta, MEGA_TOKENIZER_TARGET, &err),
                         MEGA_ERR_MODEL);
        assert_null(tokenizer);
        assert_non_null(strstr(err.text, "the vocabulary is one of bytes"));
        mega_meta_free(meta);
    }
}

/* Files for a model of bytes keep their bytes, and CR stays if it is a symbol. */
static void rules_follow_the_vocabulary(void **state)
{
    static const struct {
        const char *symbol;
        MegaTextUnit unit;
        bool ids;
        MegaTextBytes bytes;
        bool marks_inside, keep_cr;
    } cases[] = {
        {"a", MEGA_TEXT_SYMBOLS, false, MEGA_TEXT_REPAIRED, true, false},
        {"\r", MEGA_TEXT_SYMBOLS, false, MEGA_TEXT_REPAIRED, true, false},
        {"a", MEGA_TEXT_CHARACTERS, false, MEGA_TEXT_REPAIRED, true, false},
        {"13", MEGA_TEXT_CHARACTERS, false, MEGA_TEXT_REPAIRED, true, false},
        {"\r", MEGA_TEXT_CHARACTERS, false, MEGA_TEXT_REPAIRED, true, true},
        {"97", MEGA_TEXT_BYTES, false, MEGA_TEXT_BINARY, false, false},
        {"13", MEGA_TEXT_BYTES, false, MEGA_TEXT_BINARY, false, true},
        {"\r", MEGA_TEXT_BYTES, false, MEGA_TEXT_BINARY, false, true},
        {"13", MEGA_TEXT_BYTES, true, MEGA_TEXT_ONLY_UTF8, true, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const symbols[] = {"<s>", "<pad>", "</s>", "<unk>", cases[i].symbol};
        const MegaTokenizerSettings settings = {.unit = cases[i].unit};
        MegaMeta *meta = mega_meta_new();
        assert_int_equal(mega_tokenizer_write(&settings, meta, NULL), 0);
        assert_int_equal(mega_meta_set_strings(meta, MEGA_VOCAB_KEY, symbols, 5), 0);
        for (int side = MEGA_TOKENIZER_SOURCE; side <= MEGA_TOKENIZER_TARGET; side++) {
            const MegaTextRules rules =
                mega_tokenizer_text_rules(meta, (MegaTokenizerSide)side, cases[i].ids, "a text");
            assert_int_equal(rules.bytes, cases[i].bytes);
            assert_int_equal(rules.marks_inside, cases[i].marks_inside);
            assert_int_equal(rules.keep_cr, cases[i].keep_cr);
            assert_int_equal(rules.limit, MEGA_TEXT_MAX_SIZE);
        }
        mega_meta_free(meta);
    }
}

static void bad_codecs_are_refused(void **state)
{
    MegaMeta *meta = meta_with("a 1\n", MEGA_TEXT_SYMBOLS);
    MegaTokenizerSettings bad = {.source_language = "\xff"};
    MegaTokenizer *tokenizer;
    MegaError err = {0};
    (void)state;
    assert_int_equal(mega_tokenizer_write(&bad, meta, &err), MEGA_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "text.source_language"));
    assert_int_equal(mega_meta_set_string(meta, "text.tokenizer", "spacy"), 0);
    assert_int_equal(mega_tokenizer_new(&tokenizer, meta, MEGA_TOKENIZER_TARGET, &err),
                     MEGA_ERR_UNSUPPORTED);
    assert_null(tokenizer);
    assert_non_null(strstr(err.text, "'spacy', which this version does not know"));
    mega_meta_free(meta);
}

/* A model's codes are not pairs, its glossary is not an expression, or a value has the wrong
 * type. */
static void bad_metadata_is_refused(void **state)
{
    static const char *const no_pair[] = {"a b", "ab"}, *const no_expression[] = {"("};
    static const struct {
        const char *key;
        const char *const *values; /* NULL: the value is a text */
        size_t count;
        const char *sentence;
    } cases[] = {
        {"bpe.codes", no_pair, 2, "'ab' is not two symbols with a blank between"},
        {"bpe.glossaries", no_expression, 1, "glossary '('"},
        {"bpe.codes", NULL, 0, "'bpe.codes' holds type string, expected array of string"},
        {"bpe.glossaries", NULL, 0, "'bpe.glossaries' holds type string"},
        {"bpe.vocabulary", NULL, 0, "'bpe.vocabulary' holds type string"},
        {"bpe.version", no_pair, 2, "'bpe.version' holds type array of string, expected string"},
        {"text.tokenizer", no_pair, 2, "'text.tokenizer' holds type array of string"},
        {"text.target_language", no_pair, 2, "'text.target_language' holds type array of string"},
    };
    MegaTokenizerSettings moses = {.moses = true, .source_language = "en", .target_language = "de"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaMeta *meta = meta_with("a 1\n", MEGA_TEXT_SYMBOLS);
        MegaTokenizer *tokenizer;
        MegaError err = {0};
        assert_int_equal(mega_tokenizer_write(&moses, meta, NULL), 0);
        assert_int_equal(mega_bpe_import(meta, "tests/data/bpe/codes", NULL, &err), 0);
        if (cases[i].values)
            mega_meta_set_strings(meta, cases[i].key, cases[i].values, cases[i].count);
        else
            mega_meta_set_string(meta, cases[i].key, "x");
        assert_int_not_equal(mega_tokenizer_new(&tokenizer, meta, MEGA_TOKENIZER_TARGET, &err), 0);
        assert_null(tokenizer);
        if (!strstr(err.text, cases[i].sentence))
            fail_msg("'%s' does not contain '%s'", err.text, cases[i].sentence);
        mega_meta_free(meta);
    }
}

/* A tokenizer of units has a known case, ids of the vocabulary, and values of their types. */
static void bad_units_are_refused(void **state)
{
    static const char *const symbols[] = {"<unk>", "A"};
    static const MegaTextPreprocess preprocess = {
        .unit = MEGA_TEXT_CHARACTERS, .cls = -1, .eos = -1};
    static const struct {
        const char *key, *text;
        int64_t number;
        const char *sentence; /* NULL: it is taken */
    } cases[] = {
        {"text.case", "upper", 0, NULL},
        {"text.case", "title", 0, "'text.case' is 'title'; expected upper or lower"},
        {"text.case", NULL, 1, "'text.case' holds type"},
        {"special.unk", "A", 0, "'special.unk' holds type string"},
        {"special.unk", NULL, 7, NULL},
        {"text.added", "A", 0, "'text.added' holds type string"},
        {"text.trim_offsets", NULL, 1, "'text.trim_offsets' holds type"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaMeta *meta = mega_meta_new();
        MegaTokenizer *tokenizer;
        MegaError err = {0};
        assert_int_equal(mega_meta_set_strings(meta, MEGA_VOCAB_KEY, symbols, 2), 0);
        assert_int_equal(mega_text_preprocess_write(&preprocess, meta, &err), 0);
        assert_int_equal(mega_meta_set_string(meta, "text.tokenizer", "units"), 0);
        if (cases[i].text)
            mega_meta_set_string(meta, cases[i].key, cases[i].text);
        else
            mega_meta_set_int(meta, cases[i].key, cases[i].number);
        const int code = mega_tokenizer_new(&tokenizer, meta, MEGA_TOKENIZER_TARGET, &err);
        assert_int_equal(code != 0, cases[i].sentence != NULL);
        if (code && !strstr(err.text, cases[i].sentence))
            fail_msg("'%s' does not contain '%s'", err.text, cases[i].sentence);
        mega_tokenizer_free(tokenizer);
        mega_meta_free(meta);
    }
}

static void invalid_utf8_is_replaced(void **state)
{
    MegaBuffer out = {0};
    (void)state;
    mega_utf8_repair("a\xc3(\xf0\x9f\x98\0z\xe2\x82\xac", 11, &out);
    static const char expected[] =
        "a\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xe2\x82\xac";
    assert_int_equal(out.size, sizeof expected - 1);
    assert_memory_equal(out.data, expected, out.size);
    mega_buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moses_equals_sacremoses),
        cmocka_unit_test(bpe_equals_subword_nmt),
        cmocka_unit_test(bad_codes_are_refused),
        cmocka_unit_test(any_blank_separates_tokens),
        cmocka_unit_test(bad_glossaries_are_refused),
        cmocka_unit_test(pieces_are_joined),
        cmocka_unit_test(text_comes_back),
        cmocka_unit_test(words_are_cut_and_joined),
        cmocka_unit_test(bad_codecs_are_refused),
        cmocka_unit_test(bad_metadata_is_refused),
        cmocka_unit_test(bad_units_are_refused),
        cmocka_unit_test(invalid_utf8_is_replaced),
        cmocka_unit_test(limits_of_glossaries),
        cmocka_unit_test(deep_merges_are_undone),
        cmocka_unit_test(words_have_a_limit),
        cmocka_unit_test(broken_text_is_refused),
        cmocka_unit_test(pieces_have_places),
        cmocka_unit_test(bytes_are_not_cut),
        cmocka_unit_test(rules_follow_the_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
