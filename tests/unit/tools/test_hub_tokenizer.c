/*
 * test_hub_tokenizer.c - the tokenizer of a folder of the Hugging Face hub
 * (tools/convert/hub_tokenizer.h) and byte-level BPE (formats/text/byte_bpe.h), with the tokens of
 * the reference for tests/fixtures/hf_tokenizer.
 */
#include "tests/unit/support.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/tokenizer.h"
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

static MegaCodec *codec_of(MegaMeta *meta)
{
    MegaCodec *codec = NULL;
    MegaError err = {0};
    if (mega_codec_new(&codec, meta, MEGA_CODEC_TARGET, &err))
        fail_msg("%s", err.text);
    return codec;
}

/* From the folder; prefix: with add_prefix_space in its settings. */
static MegaCodec *open_folder(bool prefix)
{
    MegaMeta *meta = mega_meta_new();
    MegaError err = {0};
    if (hub_tokenizer_import(meta, FOLDER, NULL, &err))
        fail_msg("%s", err.text);
    if (prefix) {
        mega_meta_set_bool(meta, "text.add_prefix_space", true);
        mega_meta_set_bool(meta, "text.trim_keeps_first", true);
    }
    MegaCodec *codec = codec_of(meta);
    mega_meta_free(meta);
    return codec;
}

static MegaTokenized encode(const MegaCodec *codec, const json_t *a, const json_t *b,
                            const MegaEncodeOptions *options)
{
    MegaTokenized tokenized;
    MegaError err = {0};
    const MegaTexts texts = {json_string_value(a), b ? json_string_value(b) : NULL,
                             json_string_length(a), json_string_length(b)};
    if (mega_codec_encode_texts(codec, &texts, options, &tokenized, &err))
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

static void assert_decoded(const MegaCodec *codec, const json_t *ids, const json_t *expected,
                           MegaDecodeOptions options)
{
    int32_t numbers[4096];
    MegaBuffer text = {0};
    const size_t count = json_array_size(ids);
    assert_true(count <= 4096);
    for (size_t i = 0; i < count; i++)
        numbers[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    assert_int_equal(mega_codec_decode_text(codec, numbers, count, &options, &text, NULL), 0);
    assert_int_equal(text.size, json_string_length(expected));
    assert_memory_equal(text.data ? (const char *)text.data : "", json_string_value(expected),
                        text.size);
    mega_buffer_free(&text);
}

static void assert_decodings(const MegaCodec *codec, const json_t *row)
{
    const json_t *ids = json_object_get(row, "ids");
    assert_decoded(codec, ids, json_object_get(row, "decoded"),
                   (MegaDecodeOptions){.keep_special = true});
    assert_decoded(codec, ids, json_object_get(row, "decoded_skip"), (MegaDecodeOptions){0});
    assert_decoded(codec, ids, json_object_get(row, "decoded_clean"),
                   (MegaDecodeOptions){.clean_up = true});
}

static void strings(void **state)
{
    (void)state;
    char line[1 << 16];
    size_t count = 0;
    MegaCodec *plain = open_folder(false), *prefixed = open_folder(true);
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
    mega_codec_free(plain);
    mega_codec_free(prefixed);
}

static void pairs(void **state)
{
    (void)state;
    MegaCodec *codec = open_folder(false);
    json_t *rows = load_json("pairs.json"), *row;
    size_t index;
    json_array_foreach(rows, index, row)
    {
        const json_t *words = json_object_get(row, "word");
        const json_t *sequences = json_object_get(row, "sequence");
        json_t *b = json_object_get(row, "b");
        MegaTokens tokens = {0};
        MegaTokenized pair = encode(codec, json_object_get(row, "a"),
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
    mega_codec_free(codec);
}

static void truncation(void **state)
{
    (void)state;
    static const char *const names[] = {"longest_first", "only_first", "only_second"};
    MegaCodec *codec = open_folder(false);
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
        MegaTokenized pair =
            encode(codec, json_object_get(row, "a"), json_string_length(b) ? b : NULL, &options);
        assert_window(&pair, 0, json_object_get(row, "ids"), NULL,
                      json_string_value(json_object_get(row, "a")));
        mega_tokenized_free(&pair);
    }
    assert_true(json_array_size(rows) > 10);
    json_decref(rows);
    mega_codec_free(codec);
}

static void windows(void **state)
{
    (void)state;
    MegaCodec *codec = open_folder(false);
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
            encode(codec, json_object_get(row, "a"), json_object_get(row, "b"), &options);
        assert_int_equal(pair.windows, json_array_size(expected));
        for (size_t i = 0; i < pair.windows; i++)
            assert_window(&pair, i, json_object_get(json_array_get(expected, i), "ids"),
                          json_object_get(json_array_get(expected, i), "offsets"), "a window");
        mega_tokenized_free(&pair);
    }
    assert_true(json_array_size(rows) > 1);
    json_decref(rows);
    mega_codec_free(codec);
}

static void decoding(void **state)
{
    (void)state;
    MegaCodec *codec = open_folder(false);
    json_t *rows = load_json("decode.json"), *row;
    size_t index;
    json_array_foreach(rows, index, row) assert_decodings(codec, row);
    json_decref(rows);
    mega_codec_free(codec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings), cmocka_unit_test(pairs),    cmocka_unit_test(truncation),
        cmocka_unit_test(windows), cmocka_unit_test(decoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
