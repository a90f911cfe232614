/*
 * fuzz_hub.c - fuzzes the tokenizer of a Hugging Face hub folder, and byte-level BPE. The first
 * byte says which file is hostile: T tokenizer.json, V vocab.json, M merges.txt, C
 * tokenizer_config.json, A added_tokens.json, S special_tokens_map.json; the others are small and
 * good. A NUL ends the file, and the text to be tokenized follows.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/text/tokenizer.h"
#include "tests/fuzz/fuzz.h"
#include "tools/convert/hub_tokenizer.h"

#define MAX_TEXT 4096

static const char tokenizer_json[] =
    "{\"added_tokens\":[{\"id\":4,\"content\":\"<mask>\",\"lstrip\":true}],"
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true},"
    "\"post_processor\":{\"type\":\"RobertaProcessing\",\"sep\":[\"</s>\",2],\"cls\":[\"<s>\",0]},"
    "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"<s>\":0,"
    "\"<pad>\":1,\"</s>\":2,\"<unk>\":3,\"<mask>\":4,\"a\":5,\"b\":6,\"ab\":7,\"\\u0120\":8,"
    "\"\\u0120ab\":9,\"\\u00c3\":10},\"merges\":[\"a b\",\"\\u0120 ab\"]}}";
static const char vocab_json[] = "{\"<s>\":0,\"<pad>\":1,\"</s>\":2,\"<unk>\":3,\"<mask>\":4,"
                                 "\"a\":5,\"b\":6,\"ab\":7,\"abb\":8}";
static const char merges_txt[] = "#version: 0.2\na b\nab b\n";
static const char fallback[] = "ab <mask> abb\xc3\xa9 <s>a 's 12";

static void set_file(HubFile *file, const char *data, size_t size)
{
    *file = (HubFile){.data = data, .size = size};
}

/* Checks that tokens are in order and inside the text. */
static void check_tokens(const MegaTokens *tokens, size_t size)
{
    for (size_t i = 0; i < tokens->count; i++)
        if (tokens->data[i].start > tokens->data[i].end || tokens->data[i].end > size)
            __builtin_trap();
}

static void tokenize(const MegaMeta *meta, const char *text, size_t size)
{
    MegaError err = {0};
    MegaTokenizer *tokenizer = NULL;
    MegaTokenized tokenized;
    MegaTokens tokens = {0};
    MegaBuffer out = {0};
    int code = mega_tokenizer_new(&tokenizer, meta, MEGA_TOKENIZER_SOURCE, &err);
    fuzz_check_error(code, err.text);
    if (code)
        return;
    const MegaTexts texts = {
        .first = text, .first_size = size, .second = text, .second_size = size / 2};
    code = mega_tokenizer_encode_texts(tokenizer, &texts,
                                       &(MegaEncodeOptions){.max_length = 2 + size,
                                                            .windows = true,
                                                            .stride = 1,
                                                            .truncation = MEGA_TRUNCATE_FIRST},
                                       &tokenized, &err);
    fuzz_check_error(code, err.text);
    if (!code && !mega_tokenized_window(&tokenized, tokenized.windows - 1, &tokens, &err))
        check_tokens(&tokens, size);
    for (size_t i = 0; i < tokens.count; i++)
        mega_tokenizer_decode_next(tokenizer, tokens.data[i].id, i == 0, &out);
    mega_buffer_free(&out);
    mega_tokens_free(&tokens);
    mega_tokenized_free(&tokenized);
    mega_tokenizer_free(tokenizer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char kinds[HUB_FILES] = {
        [HUB_TOKENIZER] = 'T', [HUB_VOCAB] = 'V',   [HUB_MERGES] = 'M',
        [HUB_ADDED] = 'A',     [HUB_SPECIAL] = 'S', [HUB_CONFIG] = 'C'};
    HubFile files[HUB_FILES] = {{0}};
    const char *which = size ? memchr(kinds, data[0], HUB_FILES) : NULL;
    if (!which)
        return 0;
    const char *given = (const char *)data + 1, *end = (const char *)data + size;
    const char *stop = memchr(given, 0, (size_t)(end - given));
    if (*which == 'V' || *which == 'M') {
        set_file(&files[HUB_VOCAB], vocab_json, sizeof vocab_json - 1);
        set_file(&files[HUB_MERGES], merges_txt, sizeof merges_txt - 1);
    } else {
        set_file(&files[HUB_TOKENIZER], tokenizer_json, sizeof tokenizer_json - 1);
    }
    set_file(&files[which - kinds], given, (size_t)((stop ? stop : end) - given));
    MegaError err = {0};
    MegaMeta *meta = mega_meta_new();
    int code = meta ? hub_tokenizer_build(meta, files, NULL, &err) : 0;
    fuzz_check_error(code, err.text);
    if (meta && !code && stop) {
        const size_t length = (size_t)(end - stop) - 1;
        tokenize(meta, stop + 1, length < MAX_TEXT ? length : MAX_TEXT);
    } else if (meta && !code) {
        tokenize(meta, fallback, sizeof fallback - 1);
    }
    mega_meta_free(meta);
    return 0;
}
