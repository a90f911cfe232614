/*
 * test_vocab.c - dictionaries and text to token ids (formats/text/vocab.h), compared with the
 * original's tokens for tests/fixtures, and for all fixtures of the project if they are available.
 */
#include "tests/unit/support.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/bytes.h"
#include "formats/base/input_stream.h"
#include "formats/media/npy.h"
#include "formats/text/vocab.h"

static char path[] = "/tmp/mega-test-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    const int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(const char *text, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static MegaVocab *read_vocab(const char *dictionary, bool append_cls)
{
    MegaVocab *vocab = NULL;
    MegaError err = {0};
    write_file(dictionary, strlen(dictionary));
    if (mega_vocab_read(&vocab, path, append_cls, &err))
        fail_msg("%s", err.text);
    return vocab;
}

/* ---- Dictionaries --------------------------------------------------------------------------- */

static void assert_symbols(const MegaVocab *vocab, const char *const *symbols, int count)
{
    assert_int_equal(mega_vocab_count(vocab), count);
    for (int id = 0; id < count; id++) {
        assert_string_equal(mega_vocab_symbol(vocab, id), symbols[id]);
        assert_int_equal(mega_vocab_find(vocab, symbols[id], strlen(symbols[id])), id);
    }
    assert_null(mega_vocab_symbol(vocab, -1));
    assert_null(mega_vocab_symbol(vocab, count));
}

static void test_dictionary(void **state)
{
    static const char *const symbols[] = {"<s>", "<pad>",       "</s>", "<unk>", "the",  "a b",
                                          " ",   "gr\xc3\xbcn", "7",    "th",    "<CLS>"};
    static const char dictionary[] = "the 10\r\na b 9\n  8\ngr\xc3\xbcn 7\n7 7\nth 0";
    (void)state;
    for (int cls = 0; cls < 2; cls++) {
        MegaVocab *vocab = read_vocab(dictionary, cls), *copy = NULL;
        MegaMeta *meta = mega_meta_new();
        assert_symbols(vocab, symbols, 10 + cls);
        assert_int_equal(mega_vocab_find(vocab, "them", 4), -1);
        assert_int_equal(mega_vocab_find(vocab, "them", 3), 4);
        assert_int_equal(mega_vocab_find(vocab, "t", 1), -1);
        assert_int_equal(mega_vocab_find(vocab, "", 0), -1);
        assert_int_equal(mega_vocab_find(vocab, "7\0", 2), -1);
        assert_int_equal(mega_vocab_write(vocab, meta, MEGA_VOCAB_KEY, NULL), 0);
        assert_int_equal(mega_vocab_from_meta(&copy, meta, MEGA_VOCAB_KEY, NULL), 0);
        assert_symbols(copy, symbols, 10 + cls);
        mega_vocab_free(copy);
        mega_vocab_free(vocab);
        mega_meta_free(meta);
    }
}

/* Other systems and editors write the file like this. A mark after its beginning is a symbol. */
static void test_dictionary_of_other_systems(void **state)
{
    static const char *const symbols[] = {"<s>",  "<pad>", "</s>",
                                          "<unk>", "the",   ("\xef\xbb\xbf" "a"), "\xef\xbb\xbf"};
    static const char *const dictionaries[] = {
        ("the 10\n\xef\xbb\xbf" "a 9\n\xef\xbb\xbf 8\n"),
        ("\xef\xbb\xbfthe 10\r\n\xef\xbb\xbf" "a 9\r\n\xef\xbb\xbf 8"),
        ("\xef\xbb\xbfthe 10\r\xef\xbb\xbf" "a 9\r\xef\xbb\xbf 8\r"),
    };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        MegaVocab *vocab = read_vocab(dictionaries[i], false);
        assert_symbols(vocab, symbols, 7);
        mega_vocab_free(vocab);
    }
}

/* If a symbol is repeated on purpose, text gets the second id. */
static void test_overwrite(void **state)
{
    (void)state;
    MegaVocab *vocab =
        read_vocab("red 3\n<unk> 2 #fairseq:overwrite\nred 1 #fairseq:overwrite\n", false);
    assert_int_equal(mega_vocab_count(vocab), 7);
    assert_int_equal(mega_vocab_find(vocab, "red", 3), 6);
    assert_int_equal(mega_vocab_find(vocab, "<unk>", 5), 5);
    assert_string_equal(mega_vocab_symbol(vocab, 4), "red");
    mega_vocab_free(vocab);
}

/* Counts have every form that Python's int() accepts; their value is not used. */
static void test_odd_counts(void **state)
{
    (void)state;
    MegaVocab *vocab = read_vocab("a -1\nb +2\nc 1_000\nd 007\ne -0\nf \t3\n"
                                  "g 99999999999999999999999\na -7 #fairseq:overwrite\n",
                                  false);
    assert_int_equal(mega_vocab_count(vocab), 12);
    assert_string_equal(mega_vocab_symbol(vocab, 9), "f");
    assert_int_equal(mega_vocab_find(vocab, "a", 1), 11);
    mega_vocab_free(vocab);
}

static void test_bad_dictionaries(void **state)
{
    static const struct {
        const char *text;
        size_t size;
        const char *says;
    } cases[] = {
        {"red 1\nred 2\n", 12, "line 2"},   {"red 1\n<pad> 2\n", 14, "line 2"},
        {"red 1\nblue\n", 11, "line 2"},    {"red 1\n\nblue 1\n", 14, "line 2"},
        {"red 1x\n", 7, "line 1"},          {"red -\n", 6, "line 1"},
        {"red 1 #fairseq\n", 15, "line 1"}, {"r\xff 1\n", 5, "line 1"},
        {"r\0d 1\n", 6, "line 1"},          {" 1\n", 3, "line 1"},
        {"red --1\n", 8, "line 1"},         {"red 1__0\n", 9, "line 1"},
        {"red 1_\n", 7, "line 1"},          {"red _1\n", 7, "line 1"},
        {"red 1.0\n", 8, "line 1"},         {"red +\n", 6, "line 1"},
        {"\xef\xbb\xbf", 3, "is empty"},
        {"red 1\nr\xff 1\n", 11, "line 2 is not UTF-8 at byte 2 (0xff)"},
        {"\xff\xfer\0 \0001\0\n\0", 10, "UTF-16"},
        {"PK\3\4\0\0\0\0", 8, "zip archive; expected a dictionary"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaVocab *vocab = NULL;
        MegaError err = {0};
        write_file(cases[i].text, cases[i].size);
        if (mega_vocab_read(&vocab, path, false, &err) != MEGA_ERR_FORMAT)
            fail_msg("\"%s\" was not refused as it should be: %s", cases[i].text, err.text);
        assert_null(vocab);
        if (!strstr(err.text, path) || !strstr(err.text, cases[i].says))
            fail_msg("\"%s\" does not name the file and %s", err.text, cases[i].says);
    }
    MegaVocab *vocab = NULL;
    assert_int_equal(mega_vocab_read(&vocab, "/nonexistent/dict.txt", false, NULL), MEGA_ERR_IO);
    MegaMeta *meta = mega_meta_new();
    assert_int_equal(mega_vocab_from_meta(&vocab, meta, MEGA_VOCAB_KEY, NULL), MEGA_ERR_MODEL);
    mega_meta_free(meta);
}

/* ---- Encoding ------------------------------------------------------------------------------- */

/* Encodes with </s> appended and compares with ids, which end with -1. */
static void assert_encodes(const MegaVocab *vocab, MegaTextUnit unit, const char *text, size_t size,
                           const int32_t *ids)
{
    const MegaTextPreprocess preprocess = {
        .unit = unit, .cls = -1, .eos = MEGA_ID_EOS, .unk = MEGA_ID_UNK};
    MegaError err = {0};
    int32_t *got = NULL;
    size_t count = 0, expected = 0;
    /* The copy has exactly the stated size, so that a sanitizer sees a read past its end. */
    char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    if (mega_text_encode(vocab, &preprocess, copy, size, "text", &got, &count, &err))
        fail_msg("%s", err.text);
    while (ids[expected] >= 0)
        expected++;
    assert_int_equal(count, expected);
    assert_memory_equal(got, ids, count * sizeof *got);
    free(got);
    free(copy);
}

#define TEXT(literal) literal, sizeof(literal) - 1

static void test_symbols(void **state)
{
    (void)state;
    MegaVocab *vocab = read_vocab("red 1\ngr\xc3\xbcn 1\n", false);
    assert_encodes(vocab, MEGA_TEXT_SYMBOLS, TEXT("red"), (int32_t[]){4, 2, -1});
    assert_encodes(vocab, MEGA_TEXT_SYMBOLS,
                   TEXT(" \t gr\xc3\xbcn\r\nre \xc2\xa0red\xe3\x80\x80\n"),
                   (int32_t[]){5, 3, 4, 2, -1});
    assert_encodes(vocab, MEGA_TEXT_SYMBOLS, TEXT("red\xff red\0"), (int32_t[]){3, 3, 2, -1});
    assert_encodes(vocab, MEGA_TEXT_SYMBOLS, TEXT("<pad> </s>"), (int32_t[]){1, 2, 2, -1});
    mega_vocab_free(vocab);
}

static void test_characters(void **state)
{
    (void)state;
    MegaVocab *vocab = read_vocab("a 1\n\xc3\xbc 1\n\xe2\x96\x81 1\n", false);
    assert_encodes(vocab, MEGA_TEXT_CHARACTERS, TEXT("a\xc3\xbc a\n"),
                   (int32_t[]){4, 5, 6, 4, 2, -1});
    assert_encodes(vocab, MEGA_TEXT_CHARACTERS,
                   TEXT("\xc3"
                        "a\xff\xe2\x96"),
                   (int32_t[]){3, 4, 3, 3, 3, 2, -1}); /* every bad byte is unknown */
    mega_vocab_free(vocab);
    vocab = read_vocab("a 1\n  1\n\xe2\x96\x81 1\n", false); /* a space that is a symbol comes
                                                                first */
    assert_encodes(vocab, MEGA_TEXT_CHARACTERS, TEXT("a a"), (int32_t[]){4, 5, 4, 2, -1});
    mega_vocab_free(vocab);
}

static void test_bytes(void **state)
{
    (void)state;
    MegaVocab *vocab = read_vocab("32 1\n97 1\n9 1\n195 1\n", false); /* decimal numbers */
    assert_encodes(vocab, MEGA_TEXT_BYTES, TEXT("a \t9\xc3"), (int32_t[]){5, 4, 6, 3, 7, 2, -1});
    mega_vocab_free(vocab);
    vocab = read_vocab("a 1\n9 1\n\xc3\x83 1\n", false); /* characters; U+00C3 */
    assert_encodes(vocab, MEGA_TEXT_BYTES, TEXT("a9\xc3\t"), (int32_t[]){4, 5, 6, 3, 2, -1});
    mega_vocab_free(vocab);
}

static void test_cls_eos_and_empty_texts(void **state)
{
    MegaTextPreprocess preprocess = {.unit = MEGA_TEXT_SYMBOLS, .cls = 5, .eos = -1, .unk = 3};
    static const MegaTextUnit units[] = {MEGA_TEXT_SYMBOLS, MEGA_TEXT_CHARACTERS, MEGA_TEXT_BYTES};
    int32_t *ids = NULL;
    size_t count = 0;
    MegaError err = {0};
    (void)state;
    MegaVocab *vocab = read_vocab("red 1\n", true);
    assert_int_equal(mega_text_encode(vocab, &preprocess, TEXT("red"), "a.txt", &ids, &count, NULL),
                     0);
    assert_int_equal(count, 2);
    assert_int_equal(ids[0], 5);
    assert_int_equal(ids[1], 4);
    free(ids);
    for (int unit = 0; unit < 3; unit++) {
        preprocess.unit = units[unit];
        assert_int_equal(
            mega_text_encode(vocab, &preprocess, TEXT("\n"), "a.txt", &ids, &count, &err),
            MEGA_ERR_INPUT);
        assert_null(ids);
        assert_non_null(strstr(err.text, "a.txt is empty"));
    }
    mega_vocab_free(vocab);
}

static void test_ids(void **state)
{
    static const char *const wrong[] = {"",    " \n", "1 x", "-1", "30", "99999999999999999999",
                                        "1,2", "+1",  "1.0", "0x1"};
    int32_t *ids = NULL;
    size_t count = 0;
    MegaError err = {0};
    (void)state;
    assert_int_equal(mega_text_parse_ids(TEXT("0 29\n007\t1"), 30, "a.txt", &ids, &count, NULL), 0);
    assert_int_equal(count, 4);
    assert_memory_equal(ids, ((int32_t[]){0, 29, 7, 1}), 4 * sizeof *ids);
    free(ids);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (mega_text_parse_ids(wrong[i], strlen(wrong[i]), 30, "a.txt", &ids, &count, &err) !=
            MEGA_ERR_INPUT)
            fail_msg("\"%s\" was accepted", wrong[i]);
        assert_null(ids);
        assert_non_null(strstr(err.text, "a.txt"));
    }
}

/* ---- The original's tokens ------------------------------------------------------------------ */

/* Compares one text with its array. Returns false if there is no array of that name, or if the text
 * is empty: the original's models then read only </s> or <CLS>, while here that is an error. */
static bool compare_text(const MegaVocab *vocab, const MegaTextPreprocess *preprocess,
                         const char *text_name, const char *array_name)
{
    MegaBuffer text = {0};
    MegaNpy expected;
    MegaError err = {0};
    int32_t *ids = NULL;
    size_t count = 0;
    if (access(array_name, R_OK) != 0)
        return false;
    if (mega_source_read(&text, text_name, "a text", MEGA_TEXT_MAX_SIZE, &err))
        fail_msg("%s", err.text);
    if (text.size <= 1) {
        mega_buffer_free(&text);
        return false;
    }
    if (mega_npy_read(&expected, array_name, &err) ||
        mega_text_encode(vocab, preprocess, (const char *)text.data, text.size, text_name, &ids,
                         &count, &err))
        fail_msg("%s", err.text);
    assert_int_equal(expected.type, MEGA_NPY_I32);
    if (count != expected.elements || memcmp(ids, expected.i32, count * sizeof *ids) != 0)
        fail_msg("%s: %zu other tokens than the %llu of the original", text_name, count,
                 (unsigned long long)expected.elements);
    mega_npy_free(&expected);
    mega_buffer_free(&text);
    free(ids);
    return true;
}

/* Compares all inputs of a fixture if it is of kind lra_text, and returns their number. */
static int compare_fixture(const char *folder)
{
    char name[1024], array[1024];
    MegaVocab *vocab = NULL;
    MegaError err = {0};
    int compared = 0;
    snprintf(name, sizeof name, "%s/meta.json", folder);
    json_t *meta = json_load_file(name, 0, NULL);
    const char *kind = json_string_value(json_object_get(meta, "kind"));
    if (kind && strcmp(kind, "lra_text") == 0) {
        const char *pooling =
            json_string_value(json_object_get(json_object_get(meta, "args"), "sen_rep_type"));
        const bool cls = pooling && strcmp(pooling, "cls") == 0;
        snprintf(name, sizeof name, "%s/dict.txt", folder);
        if (mega_vocab_read(&vocab, name, true, &err))
            fail_msg("%s", err.text);
        const MegaTextPreprocess preprocess = {.unit = MEGA_TEXT_SYMBOLS,
                                               .cls = cls ? mega_vocab_count(vocab) - 1 : -1,
                                               .eos = MEGA_ID_EOS,
                                               .unk = MEGA_ID_UNK};
        for (int input = 0; input < 10; input++) {
            snprintf(name, sizeof name, "%s/in.%d.txt", folder, input);
            snprintf(array, sizeof array, "%s/in.%d.tokens.npy", folder, input);
            compared += compare_text(vocab, &preprocess, name, array);
            snprintf(name, sizeof name, "%s/in.%d.1.txt", folder, input);
            snprintf(array, sizeof array, "%s/in.%d.tokens1.npy", folder, input);
            compared += compare_text(vocab, &preprocess, name, array);
        }
        mega_vocab_free(vocab);
    }
    json_decref(meta);
    return compared;
}

static int compare_folder(const char *root)
{
    char folder[768];
    int compared = 0;
    DIR *dir = opendir(root);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        snprintf(folder, sizeof folder, "%s/%s", root, entry->d_name);
        if (entry->d_name[0] != '.')
            compared += compare_fixture(folder);
    }
    if (dir)
        closedir(dir);
    return compared;
}

static void test_tokens_of_the_original(void **state)
{
    const char *more = getenv("MEGA_FIXTURES");
    (void)state;
    const int shipped = compare_folder("tests/fixtures");
    const int all = compare_folder(more ? more : "../shared/fixtures");
    print_message("texts compared: %d shipped, %d others\n", shipped, all);
    assert_true(shipped > 0);
}

/* ListOps drops parentheses and renames a bracket. A limit counts cls and eos, which stay. */
static void test_expressions_and_limits(void **state)
{
    (void)state;
    static const char *const symbols[] = {"<pad>", "<unk>", "<eos>", "<bos>",
                                          "[MAX",  "X",     "2",     "9"};
    static const char text[] = "( ( ( [MAX 2 ) 9 ) ] ) 7";
    static const int32_t whole[] = {4, 6, 7, 5, 1, 2}, cut[] = {3, 4, 6, 2};
    MegaTextPreprocess preprocess = {
        .unit = MEGA_TEXT_SYMBOLS, .cls = -1, .eos = 2, .unk = 1, .expressions = true};
    MegaMeta *meta = mega_meta_new();
    MegaVocab *vocab = NULL;
    int32_t *ids = NULL;
    size_t count = 0;
    assert_int_equal(mega_meta_set_strings(meta, MEGA_VOCAB_KEY, symbols, 8), 0);
    assert_int_equal(mega_vocab_from_meta(&vocab, meta, MEGA_VOCAB_KEY, NULL), 0);
    assert_int_equal(
        mega_text_encode(vocab, &preprocess, text, strlen(text), "t", &ids, &count, NULL), 0);
    assert_int_equal(count, 6);
    assert_memory_equal(ids, whole, sizeof whole);
    free(ids);
    preprocess.cls = 3;
    preprocess.limit = 4;
    assert_int_equal(mega_text_preprocess_write(&preprocess, meta, NULL), 0);
    preprocess = (MegaTextPreprocess){0};
    assert_int_equal(mega_text_preprocess_read(&preprocess, meta, NULL), 0);
    assert_int_equal(
        mega_text_encode(vocab, &preprocess, text, strlen(text), "t", &ids, &count, NULL), 0);
    assert_int_equal(count, 4);
    assert_memory_equal(ids, cut, sizeof cut);
    free(ids);
    mega_vocab_free(vocab);
    mega_meta_free(meta);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expressions_and_limits),
        cmocka_unit_test(test_dictionary),
        cmocka_unit_test(test_overwrite),
        cmocka_unit_test(test_odd_counts),
        cmocka_unit_test(test_dictionary_of_other_systems),
        cmocka_unit_test(test_bad_dictionaries),
        cmocka_unit_test(test_symbols),
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_cls_eos_and_empty_texts),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_tokens_of_the_original),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
