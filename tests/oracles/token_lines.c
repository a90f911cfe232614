/*
 * token_lines.c - tokenizes each line of standard input, which is a JSON string, for
 * tests/oracles/hf_tokenizer.py: token_lines TOKENIZER.mega. Prints id, start and end of each
 * token, and then the text that the ids are decoded to, as a JSON string after a TAB.
 */
#define _GNU_SOURCE
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/mega/mega_file.h"
#include "formats/text/tokenizer.h"

static int print_tokens(const MegaTokenizer *tokenizer, const MegaTexts *texts, MegaError *err)
{
    MegaTokenized tokenized;
    MegaTokens tokens = {0};
    MegaBuffer text = {0};
    int code =
        mega_tokenizer_encode_texts(tokenizer, texts, &(MegaEncodeOptions){0}, &tokenized, err);
    if (!code)
        code = mega_tokenized_window(&tokenized, 0, &tokens, err);
    int32_t *ids = calloc(tokens.count + 1, sizeof *ids);
    for (size_t i = 0; i < tokens.count && !code; i++) {
        const MegaToken *token = &tokens.data[i];
        printf("%s%d %u %u", i ? " " : "", token->id, token->start, token->end);
        ids[i] = token->id;
    }
    if (!code)
        code = mega_tokenizer_decode_text(tokenizer, ids, tokens.count, &(MegaDecodeOptions){0},
                                          &text, err);
    json_t *string = json_stringn(text.data ? (const char *)text.data : "", text.size);
    putchar('\t');
    json_dumpf(string, stdout, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    putchar('\n');
    json_decref(string);
    free(ids);
    mega_buffer_free(&text);
    mega_tokens_free(&tokens);
    mega_tokenized_free(&tokenized);
    return code;
}

int main(int argc, char **argv)
{
    MegaFile *file = NULL;
    MegaTokenizer *tokenizer = NULL;
    MegaError err = {0};
    char *line = NULL;
    size_t capacity = 0;
    if (argc != 2)
        return 2;
    int code = mega_file_open(&file, argv[1], &err);
    if (!code)
        code = mega_tokenizer_new(&tokenizer, mega_file_meta(file), MEGA_TOKENIZER_SOURCE, &err);
    while (!code && getline(&line, &capacity, stdin) >= 0) {
        json_t *text = json_loads(line, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        const MegaTexts texts = {.first = json_string_value(text),
                                 .first_size = json_string_length(text)};
        code = text ? print_tokens(tokenizer, &texts, &err)
                    : mega_fail(&err, MEGA_ERR_INPUT, "a line is not a JSON string");
        json_decref(text);
    }
    if (code)
        fprintf(stderr, "token_lines: %s\n", err.text);
    free(line);
    mega_tokenizer_free(tokenizer);
    mega_file_close(file);
    return code ? 1 : 0;
}
