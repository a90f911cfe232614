/*
 * sort_strings.c - see sort_strings.h.
 */
#include "src/base/sort_strings.h"

#include <stdlib.h>
#include <string.h>

/* Returns up to 8 bytes of a string, the first one most significant; zeros follow a shorter one. */
static uint64_t beginning_of(const char *text)
{
    uint64_t begin = 0;
    for (int shift = 56; shift >= 0 && *text; shift -= 8)
        begin |= (uint64_t)(uint8_t)*text++ << shift;
    return begin;
}

/* Most comparisons end in the first bytes, which need no look at the string itself. */
static int compare_strings(const void *a, const void *b)
{
    const MegaSortString *left = a, *right = b;
    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    const int order = strcmp(left->text, right->text);
    return order ? order : (left->id > right->id) - (left->id < right->id);
}

void mega_sort_strings(MegaSortString *strings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        strings[i].begin = beginning_of(strings[i].text);
    qsort(strings, count, sizeof *strings, compare_strings);
}
