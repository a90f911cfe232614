/*
 * fuzz_bpe.c - merges of byte pair encoding, then words cut by them. A NUL ends the merges; what
 * is behind it is the text.
 */
#include <string.h>

#include "bpe.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char fallback[] = "lower lowest newer wider";
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    const char *text = end ? (const char *)end + 1 : fallback;
    const char *text_end = end ? (const char *)data + size : fallback + sizeof fallback - 1;
    MegaError err = {0};
    MegaBpe *bpe = NULL;
    MegaBuffer repaired = {0}, cut = {0}, joined = {0};
    MegaMeta *meta = mega_meta_new();
    const char *path = fuzz_path(data, end ? (size_t)(end - data) : size), *word;
    size_t length;
    if (!path || !meta)
        goto out;
    int code = mega_bpe_import(meta, path, &(MegaBpeOptions){0}, &err);
    if (!code)
        code = mega_bpe_from_meta(&bpe, meta, &err);
    fuzz_check_error(code, err.text);
    if (code || !bpe)
        goto out;
    mega_utf8_repair(text, (size_t)(text_end - text), &repaired);
    if (repaired.failed || !repaired.data)
        goto out;
    const char *at = (const char *)repaired.data;
    while (mega_utf8_next_word(&at, (const char *)repaired.data + repaired.size, &word, &length)) {
        cut.size = joined.size = 0;
        code = mega_bpe_apply(bpe, word, length, &cut, &err);
        fuzz_check_error(code, err.text);
        mega_bpe_join((const char *)cut.data, cut.size, &joined);
    }
out:
    mega_buffer_free(&repaired);
    mega_buffer_free(&cut);
    mega_buffer_free(&joined);
    mega_bpe_free(bpe);
    mega_meta_free(meta);
    return 0;
}
