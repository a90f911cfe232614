/*
 * sort_strings.c - see sort_strings.h.
 */
#include "src/base/sort_strings.h"

#include <stdlib.h>
#include <string.h>

/* Returns up to 8 bytes of a string, the first one most significant; zeros follow a shorter one. */
static uint64_t prefix_of(const char *text)
{
    uint64_t prefix = 0;
    for (int shift = 56; shift >= 0 && *text; shift -= 8)
        prefix |= (uint64_t)(uint8_t)*text++ << shift;
    return prefix;
}

static int compare_strings(const void *a, const void *b)
{
    const MegaSortString *left = a, *right = b;
    if (left->prefix != right->prefix)
        return left->prefix < right->prefix ? -1 : 1;
    const int order = strcmp(left->text, right->text);
    return order ? order : (left->id > right->id) - (left->id < right->id);
}

void mega_sort_strings(MegaSortString *strings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        strings[i].prefix = prefix_of(strings[i].text);
    qsort(strings, count, sizeof *strings, compare_strings);
}
