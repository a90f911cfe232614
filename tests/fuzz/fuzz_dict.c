/*
 * fuzz_dict.c - fuzzes fairseq dictionaries, through metadata and back.
 */
#include <string.h>

#include "formats/text/vocab.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MegaError err = {0};
    MegaVocab *vocab = NULL, *again = NULL;
    MegaMeta *meta = mega_meta_new();
    const char *path = fuzz_path(data, size);
    if (!path || !meta)
        goto out;
    int code = mega_vocab_read(&vocab, path, size % 2, &err);
    fuzz_check_error(code, err.text);
    if (code)
        goto out;
    for (int id = 0; id < mega_vocab_count(vocab); id++) {
        const char *symbol = mega_vocab_symbol(vocab, id);
        if (mega_vocab_find(vocab, symbol, strlen(symbol)) < 0)
            __builtin_trap();
    }
    code = mega_vocab_write(vocab, meta, MEGA_VOCAB_KEY, &err);
    if (!code)
        code = mega_vocab_from_meta(&again, meta, MEGA_VOCAB_KEY, &err);
    fuzz_check_error(code, err.text);
    if (!code && !mega_vocab_equal(vocab, again))
        __builtin_trap();
out:
    mega_vocab_free(vocab);
    mega_vocab_free(again);
    mega_meta_free(meta);
    return 0;
}
