/*
 * sort.h - sorts with a comparison that needs a context, which C's qsort does not give it.
 */
#ifndef MEGA_SORT_H
#define MEGA_SORT_H

#include <stddef.h>

typedef int (*MegaCompare)(const void *a, const void *b, void *context);

/* Sorts items [count], each of `size` bytes. The comparison must not sort, too. */
void mega_sort(void *items, size_t count, size_t size, MegaCompare compare, void *context);

#endif
