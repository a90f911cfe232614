/*
 * heap_tmpl.h - a binary heap for the file that includes it. Before that, the file defines
 *
 *     HEAP_ITEM              the type of an item
 *     HEAP_ABOVE(a, b)       whether *a belongs above *b; false if they are equal
 *
 * heap[0] is then the item that no other belongs above. The caller owns the array and its count,
 * and sees to it that the array has room.
 */
#include <stdbool.h>
#include <stddef.h>

/* Puts the item where heap[0] was, which is lost, and restores the order. */
static inline void heap_replace(HEAP_ITEM *heap, size_t count, HEAP_ITEM item)
{
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && HEAP_ABOVE(&heap[child + 1], &heap[child]))
            child++;
        if (!HEAP_ABOVE(&heap[child], &item))
            break;
        heap[at] = heap[child];
    }
    heap[at] = item;
}

/* Adds an item. The array must have room for it. */
static inline void heap_push(HEAP_ITEM *heap, size_t *count, HEAP_ITEM item)
{
    size_t at = (*count)++;
    for (; at > 0 && HEAP_ABOVE(&item, &heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = item;
}

/* Takes heap[0] out of a heap that is not empty. */
static inline HEAP_ITEM heap_pop(HEAP_ITEM *heap, size_t *count)
{
    const HEAP_ITEM top = heap[0];
    const HEAP_ITEM last = heap[--*count];
    heap_replace(heap, *count, last);
    return top;
}
