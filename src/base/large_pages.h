/*
 * large_pages.h - asks the system for large pages.
 */
#ifndef MEGA_LARGE_PAGES_H
#define MEGA_LARGE_PAGES_H

#include <stddef.h>

/* Hints that a block of memory is large and long-lived. A system without large pages ignores it. */
void mega_prefer_large_pages(void *memory, size_t size);

#endif
