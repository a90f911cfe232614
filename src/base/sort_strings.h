/*
 * sort_strings.h - sorts many strings, such as the symbols of a vocabulary. Most comparisons are of
 * one number, the first bytes of both strings, which lies beside the pointer.
 */
#ifndef MEGA_SORT_STRINGS_H
#define MEGA_SORT_STRINGS_H

#include <stddef.h>
#include <stdint.h>

typedef struct MegaSortString {
    const char *text; /* ends with NUL */
    uint32_t id;
    uint64_t prefix; /* the first 8 bytes; filled in by mega_sort_strings */
} MegaSortString;

/* Sorts strings [count] by their bytes, and equal ones by id. */
void mega_sort_strings(MegaSortString *strings, size_t count);

#endif
