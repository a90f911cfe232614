/*
 * test_heap.c - heaps (heap_tmpl.h): items come out in order, and a heap that never exceeds n items
 * ends with the n largest of all.
 */
#include "tests/unit/support.h"

#include <stdlib.h>

typedef struct Item {
    int rank, place;
} Item;

static bool before(const Item *a, const Item *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->place < b->place;
}

#define HEAP_ITEM Item
#define HEAP_ABOVE before
#include "src/base/heap_tmpl.h"

#define MOST 300

static int by_order(const void *a, const void *b)
{
    return before(a, b) ? -1 : before(b, a) ? 1 : 0;
}

/* Many ranks are equal, so that the order of places matters. */
static void fill(Random *random, Item *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        items[i] = (Item){random_int(random, 0, 9), (int)i};
}

static void items_come_in_order(void **state)
{
    Random random = {5};
    Item items[MOST], heap[MOST];
    (void)state;
    for (size_t count = 0; count < MOST; count += 1 + count / 4) {
        size_t size = 0;
        fill(&random, items, count);
        for (size_t i = 0; i < count; i++)
            heap_push(heap, &size, items[i]);
        qsort(items, count, sizeof *items, by_order);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(size, count - i);
            const Item next = heap_pop(heap, &size);
            assert_int_equal(next.rank, items[i].rank);
            assert_int_equal(next.place, items[i].place);
        }
        assert_int_equal(size, 0);
    }
}

static void the_largest_stay(void **state)
{
    Random random = {6};
    Item items[MOST], heap[MOST];
    (void)state;
    for (size_t kept = 1; kept < MOST; kept += 1 + kept / 3) {
        size_t size = 0;
        fill(&random, items, MOST);
        for (size_t i = 0; i < MOST; i++)
            if (size < kept)
                heap_push(heap, &size, items[i]);
            else if (before(&heap[0], &items[i]))
                heap_replace(heap, size, items[i]);
        qsort(items, MOST, sizeof *items, by_order);
        qsort(heap, kept, sizeof *heap, by_order);
        assert_int_equal(size, kept);
        assert_memory_equal(heap, items + MOST - kept, kept * sizeof *heap);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_in_order),
        cmocka_unit_test(the_largest_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
