/*
 * suggest.c - see suggest.h.
 */
#include "tools/common/suggest.h"

#include <stdio.h>
#include <string.h>

#define MAX_WORD 32

size_t edit_distance(const char *a, const char *b)
{
    size_t row[MAX_WORD], n = strlen(b);
    if (n >= MAX_WORD)
        return MAX_WORD;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            size_t other = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            diagonal = row[j];
            row[j] = replace < other ? replace : other;
        }
    }
    return row[n];
}

void explain_option(const char *text, const struct option *known, char *out, size_t size)
{
    char word[MAX_WORD];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(text + 2, "="), text + 2);
    size_t length = strlen(word), least = SUGGEST_MAX_EDITS + 1, used = 0;
    const char *near = NULL;
    for (const struct option *option = known; option->name; option++) {
        size_t edits = edit_distance(word, option->name);
        if (edits < least && edits < length) {
            near = option->name;
            least = edits;
        }
        if (length && strncmp(option->name, word, length) == 0 && used < size)
            used += (size_t)snprintf(out + used, size - used, "%s--%s",
                                     used ? ", " : "is ambiguous: ", option->name);
    }
    if (used)
        return;
    if (near)
        snprintf(out, size, "is unknown; did you mean '--%s'?", near);
    else
        snprintf(out, size, "is unknown");
}
