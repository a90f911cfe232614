/*
 * text_input.c - see text_input.h.
 */
#include "formats/text/text_input.h"

#include <string.h>

#include "formats/base/input_stream.h"
#include "formats/base/sniff.h"

#define MARK "\xef\xbb\xbf" /* U+FEFF */
#define MARK_SIZE 3
#define HEAD_SIZE 4096

/* ---- One line ------------------------------------------------------------------------------- */

size_t mega_text_mark(const void *line, size_t size, size_t number, const MegaTextRules *rules)
{
    const uint8_t *at = line;
    size_t skipped = 0;
    if (number > 1 && !rules->marks_inside)
        return 0;
    while (size - skipped >= MARK_SIZE && memcmp(at + skipped, MARK, MARK_SIZE) == 0)
        skipped += MARK_SIZE;
    return skipped;
}

/* Returns the index of the first byte that is NUL or, if that matters, not UTF-8; size if none
 * is. */
static size_t find_flaw(const uint8_t *line, size_t size, MegaTextBytes bytes)
{
    size_t at = 0;
    if (bytes == MEGA_TEXT_PATHS) {
        const uint8_t *nul = size ? memchr(line, 0, size) : NULL;
        return nul ? (size_t)(nul - line) : size;
    }
    while (at < size) {
        const size_t length = line[at] ? mega_utf8_decode(line + at, size - at, NULL) : 0;
        if (!length)
            break;
        at += length;
    }
    return at;
}

int mega_text_fail_flaw(const MegaTextFlaw *flaw, const char *name, const MegaTextRules *rules,
                        MegaError *err)
{
    const char *repaired = rules->bytes == MEGA_TEXT_REPAIRED ? "; it is read as U+FFFD" : "";
    if (!flaw->value)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s: line %zu holds NUL at byte %zu, which %s cannot have%s", name,
                         flaw->line, flaw->byte, rules->what, repaired);
    return mega_fail(err, MEGA_ERR_FORMAT,
                     "%s: line %zu is not UTF-8 at byte %zu (0x%02x)%s; a text in Latin-1 can be "
                     "converted: iconv -f LATIN1 -t UTF-8",
                     name, flaw->line, flaw->byte, flaw->value, repaired);
}

int mega_text_check_line(const void *line, size_t size, size_t number, const char *name,
                         const MegaTextRules *rules, MegaTextFlaw *flaw, MegaError *err)
{
    if (rules->bytes == MEGA_TEXT_BINARY || (rules->bytes == MEGA_TEXT_REPAIRED && flaw->line))
        return 0;
    const size_t at = find_flaw(line, size, rules->bytes);
    if (at == size)
        return 0;
    *flaw = (MegaTextFlaw){number, at + 1, ((const uint8_t *)line)[at]};
    return rules->bytes == MEGA_TEXT_REPAIRED ? 0 : mega_text_fail_flaw(flaw, name, rules, err);
}

int mega_text_check_head(const void *head, size_t size, const char *name,
                         const MegaTextRules *rules, MegaError *err)
{
    const char *encoding = mega_sniff_encoding(head, size < HEAD_SIZE ? size : HEAD_SIZE,
                                               rules->bytes == MEGA_TEXT_BINARY);
    if (encoding)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s is %s text; expected UTF-8: convert it with iconv -f %s -t UTF-8",
                         name, encoding, encoding);
    const MegaFileKind kind = mega_sniff(head, size);
    if (!kind.what || kind.role == MEGA_ROLE_TEXT)
        return 0;
    return mega_fail(err, MEGA_ERR_FORMAT, "%s is %s; expected %s%s%s", name, kind.what,
                     rules->what, kind.advice ? "; " : "", kind.advice ? kind.advice : "");
}

void mega_text_limit(MegaTextRules *rules, uint64_t left)
{
    const uint64_t most = left / (1 + sizeof(int32_t));
    if (most < rules->limit)
        rules->limit = most ? most : 1;
}

/* ---- Whole texts ---------------------------------------------------------------------------- */

static size_t line_size(const uint8_t *text, size_t size, bool keep_cr)
{
    size_t at = 0;
    while (at < size && text[at] != '\n' && (keep_cr || text[at] != '\r'))
        at++;
    return at;
}

int mega_text_clean(MegaBuffer *text, const char *name, const MegaTextRules *rules,
                    MegaTextFlaw *flaw, MegaError *err)
{
    MegaTextFlaw unused, *found = flaw ? flaw : &unused;
    uint8_t *data = text->data;
    size_t from = 0, to = 0;
    *found = (MegaTextFlaw){0};
    int code = text->size && !rules->is_text
                   ? mega_text_check_head(data, text->size, name, rules, err)
                   : 0;
    for (size_t number = 1; from < text->size && !code; number++) {
        const size_t size = line_size(data + from, text->size - from, rules->keep_cr);
        const size_t mark = mega_text_mark(data + from, size, number, rules);
        code = mega_text_check_line(data + from, size, number, name, rules, found, err);
        memmove(data + to, data + from + mark, size - mark);
        to += size - mark;
        from += size;
        if (from == text->size)
            break;
        from += data[from] == '\r' && from + 1 < text->size && data[from + 1] == '\n' ? 2 : 1;
        data[to++] = '\n';
    }
    text->size = to;
    return code;
}

int mega_text_read(MegaBuffer *out, const char *path, const MegaTextRules *rules,
                   MegaTextFlaw *flaw, MegaError *err)
{
    int code = mega_source_read(out, path, rules->what, rules->limit, err);
    return code ? code : mega_text_clean(out, mega_source_name(path), rules, flaw, err);
}
