/*
 * test_hub_tokenizer.c - compares the tokenizer of a Hugging Face hub folder
 * (tools/convert/hub_tokenizer.h) and byte-level BPE (formats/text/byte_bpe.h) with the reference's
 * tokens for tests/fixtures/hf_tokenizer.
 */
#include "tests/unit/support.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/tokenizer.h"
#include "formats/text/unicode_classes.h"
#include "tools/convert/hub_tokenizer.h"

#define FOLDER "tests/fixtures/hf_tokenizer"

static json_t *load_json(const char *name)
{
    char path[256];
    json_error_t error;
    snprintf(path, sizeof path, FOLDER "/%s", name);
    json_t *json = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (!json)
        fail_msg("%s: %s", path, error.text);
    return json;
}

static MegaTokenizer *tokenizer_of(MegaMeta *meta)
{
    MegaTokenizer *tokenizer = NULL;
    MegaError err = {0};
    if (mega_tokenizer_new(&tokenizer, meta, MEGA_TOKENIZER_TARGET, &err))
        fail_msg("%s", err.text);
    return tokenizer;
}

/* Opens the folder; `prefix` sets add_prefix_space. */
static MegaTokenizer *open_folder(bool prefix)
{
    MegaMeta *meta = mega_meta_new();
    MegaError err = {0};
    if (hub_tokenizer_import(meta, FOLDER, NULL, &err))
        fail_msg("%s", err.text);
    if (prefix) {
        mega_meta_set_bool(meta, "text.add_prefix_space", true);
        mega_meta_set_bool(meta, "text.trim_keeps_first", true);
    }
    MegaTokenizer *tokenizer = tokenizer_of(meta);
    mega_meta_free(meta);
    return tokenizer;
}

static MegaTokenized encode(const MegaTokenizer *tokenizer, const json_t *a, const json_t *b,
                            const MegaEncodeOptions *options)
{
    MegaTokenized tokenized;
    MegaError err = {0};
    const MegaTexts texts = {json_string_value(a), b ? json_string_value(b) : NULL,
                             json_string_length(a), json_string_length(b)};
    if (mega_tokenizer_encode_texts(tokenizer, &texts, options, &tokenized, &err))
        fail_msg("%s", err.text);
    return tokenized;
}

static void assert_window(const MegaTokenized *tokenized, size_t index, const json_t *ids,
                          const json_t *offsets, const char *text)
{
    MegaTokens tokens = {0};
    assert_int_equal(mega_tokenized_window(tokenized, index, &tokens, NULL), 0);
    if (tokens.count != json_array_size(ids))
        fail_msg("%zu tokens of '%s' instead of %zu", tokens.count, text, json_array_size(ids));
    for (size_t i = 0; i < tokens.count; i++) {
        const json_t *place = json_array_get(offsets, i);
        if (tokens.data[i].id != json_integer_value(json_array_get(ids, i)))
            fail_msg("token %zu of '%s' is %d", i, text, tokens.data[i].id);
        if (place && (tokens.data[i].start != json_integer_value(json_array_get(place, 0)) ||
                      tokens.data[i].end != json_integer_value(json_array_get(place, 1))))
            fail_msg("token %zu of '%s' is at %u to %u", i, text, tokens.data[i].start,
                     tokens.data[i].end);
    }
    mega_tokens_free(&tokens);
}

static void assert_decoded(const MegaTokenizer *tokenizer, const json_t *ids,
                           const json_t *expected, MegaDecodeOptions options)
{
    int32_t numbers[4096];
    MegaBuffer text = {0};
    const size_t count = json_array_size(ids);
    assert_true(count <= 4096);
    for (size_t i = 0; i < count; i++)
        numbers[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    assert_int_equal(mega_tokenizer_decode_text(tokenizer, numbers, count, &options, &text, NULL),
                     0);
    assert_int_equal(text.size, json_string_length(expected));
    assert_memory_equal(text.data ? (const char *)text.data : "", json_string_value(expected),
                        text.size);
    mega_buffer_free(&text);
}

static void assert_decodings(const MegaTokenizer *tokenizer, const json_t *row)
{
    const json_t *ids = json_object_get(row, "ids");
    assert_decoded(tokenizer, ids, json_object_get(row, "decoded"),
                   (MegaDecodeOptions){.keep_special = true});
    assert_decoded(tokenizer, ids, json_object_get(row, "decoded_skip"), (MegaDecodeOptions){0});
    assert_decoded(tokenizer, ids, json_object_get(row, "decoded_clean"),
                   (MegaDecodeOptions){.clean_up = true});
}

static void strings(void **state)
{
    (void)state;
    char line[1 << 16];
    size_t count = 0;
    MegaTokenizer *plain = open_folder(false), *prefixed = open_folder(true);
    FILE *file = fopen(FOLDER "/strings.jsonl", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        json_t *row = json_loads(line, JSON_ALLOW_NUL, NULL), *text = json_object_get(row, "text");
        assert_non_null(row);
        MegaTokenized a = encode(plain, text, NULL, &(MegaEncodeOptions){0});
        MegaTokenized b = encode(prefixed, text, NULL, &(MegaEncodeOptions){0});
        assert_window(&a, 0, json_object_get(row, "ids"), json_object_get(row, "offsets"), line);
        assert_window(&b, 0, json_object_get(row, "ids_prefix"),
                      json_object_get(row, "offsets_prefix"), line);
        assert_decodings(plain, row);
        mega_tokenized_free(&a);
        mega_tokenized_free(&b);
        json_decref(row);
        count++;
    }
    fclose(file);
    assert_true(count > 100);
    mega_tokenizer_free(plain);
    mega_tokenizer_free(prefixed);
}

static void pairs(void **state)
{
    (void)state;
    MegaTokenizer *tokenizer = open_folder(false);
    json_t *rows = load_json("pairs.json"), *row;
    size_t index;
    json_array_foreach(rows, index, row)
    {
        const json_t *words = json_object_get(row, "word");
        const json_t *sequences = json_object_get(row, "sequence");
        json_t *b = json_object_get(row, "b");
        MegaTokens tokens = {0};
        MegaTokenized pair = encode(tokenizer, json_object_get(row, "a"),
                                    json_string_length(b) ? b : NULL, &(MegaEncodeOptions){0});
        assert_window(&pair, 0, json_object_get(row, "ids"), json_object_get(row, "offsets"),
                      json_string_value(json_object_get(row, "a")));
        assert_int_equal(mega_tokenized_window(&pair, 0, &tokens, NULL), 0);
        for (size_t i = 0; i < tokens.count; i++) {
            const json_t *word = json_array_get(words, i), *of = json_array_get(sequences, i);
            assert_int_equal(tokens.data[i].word,
                             json_is_null(word) ? -1 : json_integer_value(word));
            assert_int_equal(tokens.data[i].sequence,
                             json_is_null(of) ? -1 : json_integer_value(of));
        }
        mega_tokens_free(&tokens);
        mega_tokenized_free(&pair);
    }
    assert_true(json_array_size(rows) > 5);
    json_decref(rows);
    mega_tokenizer_free(tokenizer);
}

static void truncation(void **state)
{
    (void)state;
    static const char *const names[] = {"longest_first", "only_first", "only_second"};
    MegaTokenizer *tokenizer = open_folder(false);
    json_t *rows = load_json("truncation.json"), *row;
    size_t index;
    json_array_foreach(rows, index, row)
    {
        const char *strategy = json_string_value(json_object_get(row, "strategy"));
        json_t *b = json_object_get(row, "b");
        MegaEncodeOptions options = {
            .max_length = (size_t)json_integer_value(json_object_get(row, "max_length"))};
        for (int i = 0; i < 3; i++)
            if (strcmp(names[i], strategy) == 0)
                options.truncation = (MegaTruncation)i;
        MegaTokenized pair = encode(tokenizer, json_object_get(row, "a"),
                                    json_string_length(b) ? b : NULL, &options);
        assert_window(&pair, 0, json_object_get(row, "ids"), NULL,
                      json_string_value(json_object_get(row, "a")));
        mega_tokenized_free(&pair);
    }
    assert_true(json_array_size(rows) > 10);
    json_decref(rows);
    mega_tokenizer_free(tokenizer);
}

static void windows(void **state)
{
    (void)state;
    MegaTokenizer *tokenizer = open_folder(false);
    json_t *rows = load_json("windows.json"), *row;
    size_t index;
    json_array_foreach(rows, index, row)
    {
        const MegaEncodeOptions options = {
            .max_length = (size_t)json_integer_value(json_object_get(row, "max_length")),
            .stride = (size_t)json_integer_value(json_object_get(row, "stride")),
            .truncation = MEGA_TRUNCATE_SECOND,
            .windows = true};
        const json_t *expected = json_object_get(row, "windows");
        MegaTokenized pair =
            encode(tokenizer, json_object_get(row, "a"), json_object_get(row, "b"), &options);
        assert_int_equal(pair.windows, json_array_size(expected));
        for (size_t i = 0; i < pair.windows; i++)
            assert_window(&pair, i, json_object_get(json_array_get(expected, i), "ids"),
                          json_object_get(json_array_get(expected, i), "offsets"), "a window");
        mega_tokenized_free(&pair);
    }
    assert_true(json_array_size(rows) > 1);
    json_decref(rows);
    mega_tokenizer_free(tokenizer);
}

static void decoding(void **state)
{
    (void)state;
    MegaTokenizer *tokenizer = open_folder(false);
    json_t *rows = load_json("decode.json"), *row;
    size_t index;
    json_array_foreach(rows, index, row) assert_decodings(tokenizer, row);
    json_decref(rows);
    mega_tokenizer_free(tokenizer);
}

/* ---- Small tokenizers ----------------------------------------------------------------------- */

#define VOCAB "{\"<s>\":0,\"</s>\":1,\"<mask>\":2,\"a\":3,\"b\":4,\"ab\":5,\"\\u0120\":6,\"c\":7}"
#define MERGES "#version: 0.2\na b\n"

/* Builds from a folder of files in memory; files that are NULL do not exist. */
static int build(MegaMeta *meta, const char *const contents[HUB_FILES], MegaError *err)
{
    HubFile files[HUB_FILES] = {{0}};
    for (int i = 0; i < HUB_FILES; i++)
        if (contents[i])
            files[i] = (HubFile){.data = contents[i], .size = strlen(contents[i])};
    return hub_tokenizer_build(meta, files, NULL, err);
}

static MegaMeta *small_meta(const char *vocab, const char *config)
{
    const char *const contents[HUB_FILES] = {
        [HUB_VOCAB] = vocab, [HUB_MERGES] = MERGES, [HUB_CONFIG] = config};
    MegaMeta *meta = mega_meta_new();
    MegaError err = {0};
    if (build(meta, contents, &err))
        fail_msg("%s", err.text);
    return meta;
}

static void assert_tokens(const MegaMeta *meta, const char *text, size_t size, const char *expected)
{
    MegaTokenizer *tokenizer = tokenizer_of((MegaMeta *)meta);
    MegaTokenized tokenized;
    MegaTokens tokens = {0};
    MegaBuffer got = {0};
    assert_int_equal(
        mega_tokenizer_encode_texts(tokenizer, &(MegaTexts){.first = text, .first_size = size},
                                    &(MegaEncodeOptions){.no_special = true}, &tokenized, NULL),
        0);
    assert_int_equal(mega_tokenized_window(&tokenized, 0, &tokens, NULL), 0);
    for (size_t i = 0; i < tokens.count; i++) {
        char one[64];
        snprintf(one, sizeof one, "%s%d:%u-%u", i ? " " : "", tokens.data[i].id,
                 tokens.data[i].start, tokens.data[i].end);
        mega_put_bytes(&got, one, strlen(one));
    }
    mega_put_u8(&got, 0);
    assert_string_equal((const char *)got.data, expected);
    mega_buffer_free(&got);
    mega_tokens_free(&tokens);
    mega_tokenized_free(&tokenized);
    mega_tokenizer_free(tokenizer);
}

/* Bytes without a token are left out, and later tokens move to the left, as in the reference. NUL
 * is an ordinary byte. */
static void missing_bytes(void **state)
{
    (void)state;
    MegaMeta *meta = small_meta(VOCAB, NULL);
    assert_tokens(meta, "ab", 2, "5:0-2");
    assert_tokens(meta, "azb", 3, "5:0-2");
    assert_tokens(meta, "a\0b", 3, "3:0-1 4:2-3");
    assert_tokens(meta, "", 0, "");
    mega_meta_set_int(meta, "byte_bpe.unknown", 2);
    assert_tokens(meta, "azzb", 4, "3:0-1 2:1-2 2:2-3 4:3-4");
    mega_meta_set_bool(meta, "byte_bpe.fuse_unknown", true);
    assert_tokens(meta, "azzb", 4, "3:0-1 2:1-3 4:3-4");
    mega_meta_free(meta);
}

/* Tests the flags of added tokens. The longest token at a place is taken, and tokens with
 * "normalized" are searched for only in the text that the others left. */
static void added_tokens(void **state)
{
    (void)state;
    const struct {
        const char *flags, *text, *expected;
    } rows[] = {
        {"", "ac<mask> b", "3:0-1 7:1-2 2:2-8 6:9-9 4:9-10"},
        {"\"lstrip\":true", "a \n<mask>b", "3:0-1 2:3-9 4:9-10"},
        {"\"rstrip\":true", "a<mask>\xe3\x80\x80 b", "3:0-1 2:1-7 4:9-10"},
        {"\"rstrip\":true", "<mask>   ab<mask> ", "2:0-6 5:9-11 2:11-17"},
        {"\"single_word\":true", "a<mask> <mask>", "3:0-1 3:2-3 6:8-8 2:8-14"},
        {"\"single_word\":true", "\xcc\x81<mask>.<mask>", "3:2-3 2:8-14"},
        {"\"rstrip\":true,\"lstrip\":true", "a <mask> <mask> b", "3:0-1 2:2-8 2:9-15 4:16-17"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char config[256];
        snprintf(config, sizeof config, "{\"mask_token\":{\"content\":\"<mask>\"%s%s}}",
                 *rows[i].flags ? "," : "", rows[i].flags);
        MegaMeta *meta = small_meta(VOCAB, config);
        assert_tokens(meta, rows[i].text, strlen(rows[i].text), rows[i].expected);
        mega_meta_free(meta);
    }
}

#define JSON(added, post)                                                                          \
    "{\"added_tokens\":[" added                                                                    \
    "],\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":"                            \
    "false},\"decoder\":{\"type\":\"ByteLevel\"},\"post_processor\":" post                         \
    ",\"model\":{\"vocab\":" VOCAB ",\"merges\":[\"a b\"]}}"
#define BYTE_LEVEL(prefix)                                                                         \
    "{\"type\":\"ByteLevel\",\"trim_offsets\":true,\"add_prefix_space\":" prefix "}"
#define MASK "{\"id\":2,\"content\":\"<mask>\"}"
#define MASK_LEFT "{\"content\":\"<mask>\",\"lstrip\":true}"

/* The flags of a special token are those of the list of added tokens: that of tokenizer_config.json
 * or, without it, that of tokenizer.json. RoBERTa's class gives a mask in neither its own. It makes
 * a ByteLevel post-processor with other settings than its own anew, and then a blank at the start
 * of a text is not trimmed. */
static void settings_of_several_files(void **state)
{
    (void)state;
    const struct {
        const char *tokenizer, *config, *special, *text, *expected;
    } rows[] = {
        {NULL,
         "{\"added_tokens_decoder\":{\"2\":{\"content\":\"<mask>\",\"rstrip\":true}},"
         "\"mask_token\":" MASK_LEFT "}",
         NULL, "a <mask> b", "3:0-1 6:2-2 2:2-8 4:9-10"},
        {JSON(MASK, BYTE_LEVEL("false")), "{}", "{\"mask_token\":" MASK_LEFT "}", "a <mask>b",
         "3:0-1 6:2-2 2:2-8 4:8-9"},
        {JSON(MASK, BYTE_LEVEL("false")), "{\"added_tokens_decoder\":{},\"mask_token\":\"<mask>\"}",
         NULL, "a <mask>b", "3:0-1 2:2-8 4:8-9"},
        {JSON(MASK, "null"),
         "{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"mask_token\":\"<mask>\"}", NULL,
         " <mask>b", "6:0-1 2:1-7 4:7-8"},
        {JSON("", BYTE_LEVEL("false")), "{}", NULL, " ", "6:1-1"},
        {JSON("", BYTE_LEVEL("true")), "{}", NULL, " ", "6:0-0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const contents[HUB_FILES] = {[HUB_TOKENIZER] = rows[i].tokenizer,
                                                 [HUB_VOCAB] = VOCAB,
                                                 [HUB_MERGES] = MERGES,
                                                 [HUB_CONFIG] = rows[i].config,
                                                 [HUB_SPECIAL] = rows[i].special};
        MegaMeta *meta = mega_meta_new();
        MegaError err = {0};
        if (build(meta, contents, &err))
            fail_msg("%s", err.text);
        assert_tokens(meta, rows[i].text, strlen(rows[i].text), rows[i].expected);
        mega_meta_free(meta);
    }
}

/* Tokens in the white space that <mask> took along on its right, by their flags. The ids are those
 * of the reference, and so are places but for tokens that take white space along as well. */
static void tokens_in_taken_white_space(void **state)
{
    (void)state;
    const struct {
        const char *flags, *text, *expected;
    } rows[] = {
        {"", "<mask>    b", "2:0-10 8:6-8 8:8-10 4:10-11"},
        {"", "<mask>   a", "2:0-9 8:6-8 6:8-9 3:9-10"},
        {"", "<mask>   b", "2:0-9 8:6-8 9:8-10"},
        {"", "<mask>  b", "2:0-8 8:6-8 4:8-9"},
        {"", "<mask> b", "2:0-7 9:6-8"},
        {"", "<mask>     <mask>a", "2:0-11 8:6-8 8:8-10 6:10-11 2:11-17 3:17-18"},
        {"", "      a", "8:0-2 8:2-4 8:4-6 3:6-7"},
        {",\"rstrip\":true", "<mask>    b", "2:0-10 8:6-8 8:8-10 4:10-11"},
        {",\"rstrip\":true", "<mask>   a", "2:0-9 8:6-8 3:9-10"},
        {",\"rstrip\":true", "      a", "8:0-6 8:2-4 8:4-6 3:6-7"},
        {",\"lstrip\":true", "<mask>  b", "2:0-8 4:8-9"},
        {",\"lstrip\":true", "      a", "8:0-2 8:2-4 8:4-6 3:6-7"},
        {",\"lstrip\":true,\"rstrip\":true", "<mask>     <mask>b", "2:0-11 2:11-17 4:17-18"},
        {",\"lstrip\":true,\"rstrip\":true", "      a", "8:0-6 3:6-7"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char tokenizer[1024];
        snprintf(tokenizer, sizeof tokenizer,
                 JSON("{\"id\":2,\"content\":\"<mask>\",\"rstrip\":true},"
                      "{\"id\":8,\"content\":\"  \"%s},{\"id\":9,\"content\":\" b\"}",
                      "null"),
                 rows[i].flags);
        const char *const contents[HUB_FILES] = {
            [HUB_TOKENIZER] = tokenizer,
            [HUB_CONFIG] = "{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}"};
        MegaMeta *meta = mega_meta_new();
        MegaError err = {0};
        if (build(meta, contents, &err))
            fail_msg("%s", err.text);
        assert_tokens(meta, rows[i].text, strlen(rows[i].text), rows[i].expected);
        mega_meta_free(meta);
    }
}

/* White space that one token took is not searched again for each token in it. The reference drops
 * those that take white space on both sides, since nothing is left for them. */
static void white_space_is_taken_once(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    const struct {
        const char *flags;
        size_t tokens;
    } rows[] = {{"\"rstrip\":true,\"lstrip\":true", 1},
                {"\"rstrip\":true", SIZE},
                {"\"lstrip\":true", SIZE}};
    char *text = malloc(SIZE);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char config[256];
        snprintf(config, sizeof config,
                 "{\"added_tokens_decoder\":{\"3\":{\"content\":\"\\n\",%s}}}", rows[i].flags);
        MegaMeta *meta = small_meta("{\"<s>\":0,\"</s>\":1,\"<mask>\":2,\"\\n\":3,\"a\":4,\"b\":5,"
                                    "\"ab\":6}",
                                    config);
        MegaTokenizer *tokenizer = tokenizer_of(meta);
        int32_t *ids;
        size_t count;
        memset(text, '\n', SIZE);
        assert_int_equal(mega_tokenizer_encode(tokenizer, text, SIZE, false, &ids, &count, NULL),
                         0);
        assert_int_equal(count, rows[i].tokens);
        free(ids);
        memset(text, 'a', SIZE); /* one word */
        assert_int_equal(mega_tokenizer_encode(tokenizer, text, SIZE, false, &ids, &count, NULL),
                         0);
        assert_int_equal(count, SIZE);
        free(ids);
        mega_tokenizer_free(tokenizer);
        mega_meta_free(meta);
    }
    free(text);
}

/* ---- What is refused ------------------------------------------------------------------------ */

static void bad_files_are_refused(void **state)
{
    (void)state;
    const struct {
        int file;
        const char *contents, *message;
    } rows[] = {
        {HUB_VOCAB, "[]", "vocab.json: not a JSON object"},
        {HUB_VOCAB, "{", "vocab.json: line 1: string or '}' expected near end of file"},
        {HUB_VOCAB, "{\"a\":0,\"b\":0}", "the tokens 'a' and 'b' have the same id, 0"},
        {HUB_VOCAB, "{\"a\":1.5}",
         "vocab.json: the id of token 'a' is not a whole number from 0 to 3999999"},
        {HUB_VOCAB, "{\"a\":3999999}",
         "token 'a' has id 3999999, but a vocabulary of 1 tokens has ids below 65538"},
        {HUB_VOCAB, "{\"a\":0,\"b\":1,\"ab\":2}",
         "vocab.json: the vocabulary has no cls_token, which every text begins or ends with"},
        {HUB_MERGES, "\na x",
         "merges.txt: the merge in line 2 has the token 'x', which the "
         "vocabulary does not have"},
        {HUB_MERGES, "\na b c\n",
         "merges.txt: line 2 is not a merge: two tokens with a blank between them"},
        {HUB_MERGES, "\na\n",
         "merges.txt: line 2 is not a merge: two tokens with a blank between them"},
        {HUB_MERGES, "\n\xff b\n", "merges.txt is not UTF-8"},
        {HUB_CONFIG, "{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}",
         "tokenizer_config.json: tokenizer_class 'PreTrainedTokenizerFast' is not supported; "
         "expected RobertaTokenizer, or PreTrainedTokenizerFast with a tokenizer.json"},
        {HUB_CONFIG, "{\"mask_token\":{\"lstrip\":true}}",
         "tokenizer_config.json: an added token has no \"content\""},
        {HUB_CONFIG, "{\"added_tokens_decoder\":{\"x\":{\"content\":\"a\"}}}",
         "tokenizer_config.json: added_tokens_decoder has the id 'x'; expected a number below "
         "4000000"},
        {HUB_ADDED, "{\"n\":-1}", "added_tokens.json: token 'n' has no id"},
        {HUB_TOKENIZER, "{}",
         "tokenizer.json: pre_tokenizer of type 'null' is not supported; expected ByteLevel"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *contents[HUB_FILES] = {[HUB_VOCAB] = VOCAB, [HUB_MERGES] = MERGES};
        MegaMeta *meta = mega_meta_new();
        MegaError err = {0};
        contents[rows[i].file] = rows[i].contents;
        assert_true(build(meta, contents, &err) < 0);
        assert_string_equal(err.text, rows[i].message);
        mega_meta_free(meta);
    }
}

static void bad_metadata_is_refused(void **state)
{
    (void)state;
    const struct {
        const char *key;
        int64_t values[6];
        size_t count;
    } rows[] = {
        {"byte_bpe.merges", {3, 4}, 2},
        {"byte_bpe.merges", {3, 4, 8}, 3},
        {"byte_bpe.merges", {-1, 4, 5}, 3},
        {"byte_bpe.merges", {4, 3, 5}, 3},
        {"text.added", {2, 9}, 2},
        {"text.added_flags", {0, 0, 32}, 3},
        {"text.single", {0}, 1},
        {"text.single", {8, 0}, 2},
        {"text.single", {-3, 0}, 2},
        {"text.pair", {-1, 2}, 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        MegaMeta *meta = small_meta(VOCAB, NULL);
        MegaTokenizer *tokenizer = NULL;
        MegaError err = {0};
        mega_meta_set_ints(meta, rows[i].key, rows[i].values, rows[i].count);
        assert_int_equal(mega_tokenizer_new(&tokenizer, meta, MEGA_TOKENIZER_TARGET, &err) != 0, 1);
        assert_non_null(strstr(err.text, rows[i].key));
        mega_meta_free(meta);
    }
}

/* ---- Characters ----------------------------------------------------------------------------- */

/* There are as many as in the reference, whatever Unicode version PCRE2 has. */
static void classes_are_pinned(void **state)
{
    (void)state;
    MegaUnicodeClasses *classes;
    size_t count[4] = {0}, words = 0;
    assert_int_equal(mega_unicode_classes_new(&classes, NULL), 0);
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        count[mega_unicode_class(classes, code)]++;
        words += mega_unicode_is_word(classes, code);
    }
    assert_int_equal(count[MEGA_CLASS_LETTER], 131756);
    assert_int_equal(count[MEGA_CLASS_NUMBER], 1791);
    assert_int_equal(count[MEGA_CLASS_WHITE], 25);
    assert_int_equal(words, 139612);
    mega_unicode_classes_free(classes);
}

typedef struct Look {
    const MegaUnicodeClasses *classes;
    uint32_t begin;
    size_t letters;
} Look;

static void *count_letters(void *context)
{
    Look *look = context;
    for (uint32_t i = 0; i < MEGA_CLASSES_SIZE; i++)
        look->letters += mega_unicode_class(look->classes, (look->begin + i) % MEGA_CLASSES_SIZE) ==
                         MEGA_CLASS_LETTER;
    return NULL;
}

/* All threads get the same class for a character, whichever of them asks first. */
static void classes_are_shared(void **state)
{
    (void)state;
    MegaUnicodeClasses *classes;
    pthread_t threads[4];
    Look looks[4];
    assert_int_equal(mega_unicode_classes_new(&classes, NULL), 0);
    for (uint32_t i = 0; i < 4; i++) {
        looks[i] = (Look){.classes = classes, .begin = i / 2 * (MEGA_CLASSES_SIZE / 2)};
        assert_int_equal(pthread_create(&threads[i], NULL, count_letters, &looks[i]), 0);
    }
    for (uint32_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(looks[i].letters, 131756);
    mega_unicode_classes_free(classes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings),
        cmocka_unit_test(pairs),
        cmocka_unit_test(truncation),
        cmocka_unit_test(windows),
        cmocka_unit_test(decoding),
        cmocka_unit_test(missing_bytes),
        cmocka_unit_test(added_tokens),
        cmocka_unit_test(settings_of_several_files),
        cmocka_unit_test(tokens_in_taken_white_space),
        cmocka_unit_test(white_space_is_taken_once),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(bad_metadata_is_refused),
        cmocka_unit_test(classes_are_pinned),
        cmocka_unit_test(classes_are_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
