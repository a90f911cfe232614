/*
 * sort.h - sorts with a comparison that needs a context, which C's qsort does not give it.
 */
#ifndef MEGA_SORT_H
#define MEGA_SORT_H

#include <stddef.h>

/* Returns a negative number, 0 or a positive one, as for qsort. It must not call mega_sort itself,
 * since a build without a system has room for one context at a time. */
typedef int (*MegaCompare)(const void *a, const void *b, void *context);

/* Sorts items [count], each of `size` bytes. */
void mega_sort(void *items, size_t count, size_t size, MegaCompare compare, void *context);

#endif
