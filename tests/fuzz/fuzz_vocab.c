/*
 * fuzz_vocab.c - fuzzes vocabularies that --vocab gives a model without a tokenizer of its own. The
 * first byte says whose reader it is: S that of S4, which takes a JSON list, H that of a model
 * folder, which takes a JSON object or list, or lines. The second byte is the number of the model's
 * tokens, and of the third the lowest bits choose unit and case. After them are the vocabulary, a
 * text to be tokenized, --special and --template, each ended by a NUL.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/tokenizer.h"
#include "tests/fuzz/fuzz.h"
#include "tools/convert/hub_units.h"
#include "tools/convert/s4_inputs.h"

#define HEAD 3
#define PARTS 4
#define MAX_TEXT 4096

enum { VOCAB, TEXT, SPECIAL, TEMPLATE };

/* Ends the process if an id is not one of the model's. */
static void check_id(int32_t id, int rows)
{
    if (id < 0 || id >= rows)
        __builtin_trap();
}

/* Makes ids of a text as the input of a model of S4 does. */
static void encode_ids(const MegaMeta *meta, const char *text, int rows)
{
    MegaError err = {0};
    MegaVocab *vocab = NULL;
    MegaTextPreprocess preprocess;
    int32_t *ids = NULL;
    size_t count = 0;
    int code = mega_vocab_from_meta(&vocab, meta, MEGA_VOCAB_KEY, &err);
    if (!code)
        code = mega_text_preprocess_read(&preprocess, meta, &err);
    fuzz_check_error(code, err.text);
    if (code) /* nothing that was written is refused */
        __builtin_trap();
    code = mega_text_encode(vocab, &preprocess, text, strlen(text), "fuzz.txt", &ids, &count, &err);
    fuzz_check_error(code, err.text);
    for (size_t i = 0; i < count && !code; i++)
        check_id(ids[i], rows);
    free(ids);
    mega_vocab_free(vocab);
}

/* Makes tokens of a text, as the commands for model folders do, and text from the tokens. */
static void encode_tokens(const MegaMeta *meta, const char *text, int rows)
{
    MegaError err = {0};
    MegaTokenizer *tokenizer = NULL;
    MegaTokenized tokenized = {0};
    MegaTokens tokens = {0};
    MegaBuffer out = {0};
    int code = mega_tokenizer_new(&tokenizer, meta, MEGA_TOKENIZER_TARGET, &err);
    fuzz_check_error(code, err.text);
    if (code) /* nothing that was written is refused */
        __builtin_trap();
    const MegaTexts texts = {.first = text, .first_size = strlen(text)};
    code =
        mega_tokenizer_encode_texts(tokenizer, &texts, &(MegaEncodeOptions){0}, &tokenized, &err);
    if (!code)
        code = mega_tokenized_window(&tokenized, 0, &tokens, &err);
    fuzz_check_error(code, err.text);
    for (size_t i = 0; i < tokens.count; i++) {
        const MegaToken *token = &tokens.data[i];
        check_id(token->id, rows);
        if (token->start > token->end || token->end > texts.first_size)
            __builtin_trap();
        mega_tokenizer_decode_next(tokenizer, token->id, i == 0, &out);
    }
    mega_buffer_free(&out);
    mega_tokens_free(&tokens);
    mega_tokenized_free(&tokenized);
    mega_tokenizer_free(tokenizer);
}

static int import_s4(MegaMeta *meta, const MetadataOptions *options, int rows, int choices,
                     MegaError *err)
{
    const Architecture architecture = {
        .config = {.encoder.layers = 1, .embed = {.kind = MEGA_EMBED_TOKENS, .vocab = rows}},
        .family = "s4"};
    json_t *args = json_pack("{s:{s:s,s:b}}", "dataset", "_name_", choices & 4 ? "listops" : "imdb",
                             "append_bos", choices & 8);
    int code = write_s4_inputs(meta, options, &architecture, args, err);
    json_decref(args);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MegaError err = {0};
    if (size < HEAD || (data[0] != 'S' && data[0] != 'H'))
        return 0;
    const bool is_s4 = data[0] == 'S';
    const int rows = data[1], choices = data[2];
    const size_t vocab_size = strnlen((const char *)data + HEAD, size - HEAD);
    const char *path = fuzz_path(data + HEAD, vocab_size);
    char *parts[PARTS] = {NULL};
    for (size_t i = 0, at = HEAD; i < PARTS && at <= size; i++) {
        const size_t length = strnlen((const char *)data + at, size - at);
        const size_t most = i == TEXT ? MAX_TEXT : length;
        parts[i] = strndup((const char *)data + at, length < most ? length : most);
        at += length + 1;
    }
    MegaMeta *meta = mega_meta_new();
    const MetadataOptions options = {.vocab = path,
                                     .special = parts[SPECIAL],
                                     .templates = {parts[TEMPLATE]},
                                     .template_count = parts[TEMPLATE] != NULL,
                                     .text_unit = choices % 4 - 1,
                                     .upper = choices & 16,
                                     .lower = choices & 32,
                                     .quiet = true};
    if (path && meta) {
        int code = is_s4 ? import_s4(meta, &options, rows, choices, &err)
                         : hub_units_import(meta, &options, rows, &err);
        fuzz_check_error(code, err.text);
        if (!code)
            (is_s4 ? encode_ids : encode_tokens)(meta, parts[TEXT] ? parts[TEXT] : "", rows);
    }
    mega_meta_free(meta);
    for (int i = 0; i < PARTS; i++)
        free(parts[i]);
    return 0;
}
