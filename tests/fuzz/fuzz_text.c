/*
 * fuzz_text.c - texts from outside: repaired, normalised, tokenised and joined again in English,
 * German and by the general rules; and read as token ids.
 */
#include <stdlib.h>

#include "fuzz.h"
#include "moses.h"
#include "text.h"

static void check_text(const MegaBuffer *text)
{
    if (!text->failed && text->size && !mega_utf8_valid(text->data, text->size))
        __builtin_trap();
}

static void tokenize(const char *language, const MegaBuffer *text)
{
    MegaError err = {0};
    MegaMoses *moses = NULL;
    MegaBuffer normal = {0}, tokens = {0}, joined = {0};
    int code = mega_moses_new(&moses, language, &err);
    if (!code)
        code = mega_moses_normalize(moses, (const char *)text->data, text->size, &normal, &err);
    if (!code)
        code = mega_moses_tokenize(moses, normal.data ? (const char *)normal.data : "", normal.size,
                                   &tokens, &err);
    if (!code)
        code = mega_moses_detokenize(moses, tokens.data ? (const char *)tokens.data : "",
                                     tokens.size, &joined, &err);
    fuzz_check_error(code, err.text);
    check_text(&normal);
    check_text(&tokens);
    check_text(&joined);
    mega_buffer_free(&normal);
    mega_buffer_free(&tokens);
    mega_buffer_free(&joined);
    mega_moses_free(moses);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MegaError err = {0};
    MegaBuffer text = {0};
    int32_t *ids = NULL;
    size_t count = 0;
    int code = mega_text_parse_ids((const char *)data, size, 1000, "fuzz.txt", &ids, &count, &err);
    fuzz_check_error(code, err.text);
    for (size_t i = 0; !code && i < count; i++)
        if (ids[i] < 0 || ids[i] >= 1000)
            __builtin_trap();
    free(ids);
    mega_utf8_repair(data, size, &text);
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == '\n')
            text.data[i] = ' ';
    if (text.data) {
        check_text(&text);
        tokenize("en", &text);
        tokenize("de", &text);
        tokenize("xx", &text);
    }
    mega_buffer_free(&text);
    return 0;
}
