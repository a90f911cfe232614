/*
 * sort.c - see sort.h.
 */
#define _GNU_SOURCE /* qsort_r */
#include "src/base/sort.h"

#include <stdlib.h>

void mega_sort(void *items, size_t count, size_t size, MegaCompare compare, void *context)
{
    qsort_r(items, count, size, compare, context);
}
