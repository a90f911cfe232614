/*
 * text_lines.c - applies one step of formats/text/moses.h or formats/text/bpe.h to every line of
 * standard input, for tests/oracles/text.py: text_lines normalize|tokenize|detokenize LANGUAGE, or
 * text_lines bpe CODES [VOCABULARY THRESHOLD [GLOSSARY...]]; VOCABULARY "-" is none.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/bpe.h"
#include "formats/text/moses.h"

int main(int argc, char **argv)
{
    MegaMoses *moses = NULL;
    MegaBpe *bpe = NULL;
    MegaMeta *meta = mega_meta_new();
    MegaError err = {0};
    MegaBpeOptions options = {0};
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    if (argc < 3)
        return 2;
    if (argc > 4)
        options = (MegaBpeOptions){.vocabulary = strcmp(argv[3], "-") ? argv[3] : NULL,
                                   .threshold = atol(argv[4]),
                                   .glossaries = (const char *const *)argv + 5,
                                   .glossary_count = (size_t)argc - 5};
    int code = strcmp(argv[1], "bpe") == 0 ? mega_bpe_import(meta, argv[2], &options, &err)
                                           : mega_moses_new(&moses, argv[2], &err);
    if (!code && !moses)
        code = mega_bpe_from_meta(&bpe, meta, &err);
    while (!code && (size = getline(&line, &capacity, stdin)) >= 0) {
        MegaBuffer text = {0}, out = {0};
        mega_utf8_repair(line, (size_t)(size > 0 && line[size - 1] == '\n' ? size - 1 : size),
                         &text);
        const char *data = (const char *)text.data;
        if (bpe)
            code = mega_bpe_apply(bpe, data, text.size, &out, &err);
        else if (strcmp(argv[1], "normalize") == 0)
            code = mega_moses_normalize(moses, data, text.size, &out, &err);
        else if (strcmp(argv[1], "tokenize") == 0)
            code = mega_moses_tokenize(moses, data, text.size, &out, &err);
        else
            code = mega_moses_detokenize(moses, data, text.size, &out, &err);
        fwrite(out.data, 1, out.size, stdout);
        putchar('\n');
        mega_buffer_free(&text);
        mega_buffer_free(&out);
    }
    if (code)
        fprintf(stderr, "text_lines: %s\n", err.text);
    free(line);
    mega_moses_free(moses);
    mega_bpe_free(bpe);
    mega_meta_free(meta);
    return code ? 1 : 0;
}
