/*
 * fuzz_bpe.c - fuzzes segmentation by byte pair encoding. NULs separate the parts that may be
 * hostile: the merges; the vocabulary of pieces, if any; the glossaries, one per line; the text. If
 * there are fewer parts, the last one is the text, and merges alone are applied to a fixed text.
 */
#define _GNU_SOURCE /* memmem */
#include <stdlib.h>
#include <string.h>

#include "formats/text/bpe.h"
#include "tests/fuzz/fuzz.h"

#define MAX_PARTS 4
#define MAX_GLOSSARIES 16
#define MAX_TEXT 4096 /* bytes; the cost grows with the text, and a run has ten seconds */

typedef struct Part {
    const char *text;
    size_t size;
} Part;

static size_t cut(const uint8_t *data, size_t size, Part *parts)
{
    const char *at = (const char *)data, *end = at + size;
    size_t count = 0;
    while (count < MAX_PARTS - 1) {
        const char *stop = size ? memchr(at, 0, (size_t)(end - at)) : NULL;
        if (!stop)
            break;
        parts[count++] = (Part){at, (size_t)(stop - at)};
        at = stop + 1;
    }
    parts[count++] = (Part){at, (size_t)(end - at)};
    return count;
}

/* Puts lines directly into the metadata, as a hostile model has them. */
static int set_lines(MegaMeta *meta, const char *key, const Part *part, size_t most)
{
    char *copy = strndup(part->text, part->size), *rest = copy;
    const char **lines = calloc(part->size + 1, sizeof *lines);
    size_t count = 0;
    for (char *line; lines && copy && count < most && (line = strsep(&rest, "\n"));)
        if (*line)
            lines[count++] = line;
    int code = count ? mega_meta_set_strings(meta, key, lines, count) : 0;
    free(lines);
    free(copy);
    return code;
}

/* Cutting loses nothing: without marks and blanks, the pieces are the words. */
static void check_pieces(const MegaBuffer *text, const MegaBuffer *pieces)
{
    MegaBuffer joined = {0};
    const char *at = (const char *)text->data, *end = at + text->size, *word;
    if (pieces->size)
        mega_bpe_join((const char *)pieces->data, pieces->size, &joined);
    const char *other = joined.data ? (const char *)joined.data : "";
    const char *other_end = other + joined.size;
    if (joined.failed || memmem(text->data, text->size, MEGA_BPE_SEPARATOR, 2))
        at = end; /* a separator in the text counts as one of ours */
    for (size_t length; at < end && mega_utf8_next_word(&at, end, &word, &length);) {
        const char *piece;
        size_t size;
        if (!mega_utf8_next_word(&other, other_end, &piece, &size) || size != length ||
            memcmp(piece, word, size) != 0)
            __builtin_trap();
    }
    mega_buffer_free(&joined);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char fallback[] = "lower lowest newer wider";
    Part parts[MAX_PARTS];
    const size_t count = cut(data, size, parts);
    Part text = count > 1 ? parts[count - 1] : (Part){fallback, sizeof fallback - 1};
    MegaError err = {0};
    MegaBpe *bpe = NULL;
    MegaBuffer repaired = {0}, pieces = {0};
    MegaMeta *meta = mega_meta_new();
    const char *path = fuzz_path((const uint8_t *)parts[0].text, parts[0].size);
    if (!path || !meta)
        goto out;
    int code = mega_bpe_import(meta, path, &(MegaBpeOptions){0}, &err);
    fuzz_check_error(code, err.text);
    if (code || (count > 2 && set_lines(meta, "bpe.vocabulary", &parts[1], SIZE_MAX)) ||
        (count > 3 && set_lines(meta, "bpe.glossaries", &parts[2], MAX_GLOSSARIES)))
        goto out;
    code = mega_bpe_from_meta(&bpe, meta, &err);
    fuzz_check_error(code, err.text);
    if (code || !bpe)
        goto out;
    mega_utf8_repair(text.text, text.size < MAX_TEXT ? text.size : MAX_TEXT, &repaired);
    if (repaired.failed || !repaired.data)
        goto out;
    code = mega_bpe_apply(bpe, (const char *)repaired.data, repaired.size, &pieces, &err);
    fuzz_check_error(code, err.text);
    if (!code)
        check_pieces(&repaired, &pieces);
out:
    mega_buffer_free(&repaired);
    mega_buffer_free(&pieces);
    mega_bpe_free(bpe);
    mega_meta_free(meta);
    return 0;
}
