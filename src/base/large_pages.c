/*
 * large_pages.c - see large_pages.h.
 */
#include "src/base/large_pages.h"

#include <sys/mman.h>

void mega_prefer_large_pages(void *memory, size_t size)
{
    madvise(memory, size, MADV_HUGEPAGE);
}
