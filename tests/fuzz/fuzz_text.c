/*
 * fuzz_text.c - fuzzes texts from outside. They are read by all rules, with their byte order marks,
 * line ends and encodings; repaired, normalised, tokenised and joined again in English, in German
 * and by the general rules; and read as token ids.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/text/moses.h"
#include "formats/text/text_input.h"
#include "formats/text/vocab.h"
#include "tests/fuzz/fuzz.h"

#define LANGUAGES 3

static void check_text(const MegaBuffer *text)
{
    if (!text->failed && text->size && !mega_utf8_valid(text->data, text->size))
        __builtin_trap();
}

static void tokenize(const MegaMoses *moses, const MegaBuffer *text)
{
    MegaError err = {0};
    MegaBuffer normal = {0}, tokens = {0}, joined = {0};
    int code = mega_moses_normalize(moses, (const char *)text->data, text->size, &normal, &err);
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
}

/* A cleaned text keeps the rules, and does not change when it is cleaned again. */
static void clean(const uint8_t *data, size_t size, const MegaTextRules *rules)
{
    MegaError err = {0};
    MegaTextFlaw flaw;
    MegaBuffer text = {0};
    mega_put_bytes(&text, data, size);
    int code = mega_text_clean(&text, "fuzz.txt", rules, &flaw, &err);
    fuzz_check_error(code, err.text);
    if (!code && text.size) {
        if (text.size > size || (!rules->keep_cr && memchr(text.data, '\r', text.size)))
            __builtin_trap();
        const bool utf8 = rules->bytes == MEGA_TEXT_ONLY_UTF8 ||
                          (rules->bytes == MEGA_TEXT_REPAIRED && !flaw.line);
        if (utf8 && !mega_utf8_valid(text.data, text.size))
            __builtin_trap();
        const size_t once = text.size;
        code = mega_text_clean(&text, "fuzz.txt", rules, &flaw, &err);
        fuzz_check_error(code, err.text);
        if (!code && text.size != once)
            __builtin_trap();
    }
    mega_buffer_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const languages[LANGUAGES] = {"en", "de", "xx"};
    static MegaMoses *moses[LANGUAGES]; /* making one takes longer than using it */
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
    for (int i = 0; i < 16; i++) {
        const MegaTextRules rules = {.what = "a text",
                                     .bytes = (MegaTextBytes)(i % 4),
                                     .marks_inside = i & 4,
                                     .keep_cr = i & 8};
        clean(data, size, &rules);
    }
    mega_utf8_repair(data, size, &text);
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == '\n')
            text.data[i] = ' ';
    if (text.data) {
        check_text(&text);
        for (int i = 0; i < LANGUAGES; i++) {
            if (!moses[i])
                fuzz_check_error(mega_moses_new(&moses[i], languages[i], &err), err.text);
            tokenize(moses[i], &text);
        }
    }
    mega_buffer_free(&text);
    return 0;
}
