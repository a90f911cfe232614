/*
 * no_system.c - replaces threads.c, processors.c, large_pages.c, nameless_file.c and sort.c where a
 * program has memory and a clock, but no threads, files or pages, such as WebAssembly in a browser
 * (make WITH_SYSTEM=0). The calling thread does all work.
 */
#include <stdlib.h>

#include "src/base/float_mode.h"
#include "src/base/large_pages.h"
#include "src/base/nameless_file.h"
#include "src/base/processors.h"
#include "src/base/sort.h"
#include "src/base/threads.h"

struct MegaPool {
    int threads; /* 1 */
};

int mega_pool_new(MegaPool **out, int threads, MegaError *err)
{
    *out = NULL;
    if (threads < 0 || threads > 1)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "%d threads asked for, but this build computes in the calling thread only",
                         threads);
    *out = calloc(1, sizeof **out);
    if (!*out)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a thread");
    (*out)->threads = 1;
    return 0;
}

void mega_pool_free(MegaPool *pool)
{
    free(pool);
}

int mega_pool_threads(const MegaPool *pool)
{
    return pool->threads;
}

void mega_pool_run(MegaPool *pool, size_t tasks, MegaPoolTask run, void *context)
{
    MEGA_WITH_FLOAT_MODE;
    (void)pool;
    for (size_t task = 0; task < tasks; task++)
        run(context, task, 0);
}

double mega_processors(void)
{
    return 1;
}

void mega_prefer_large_pages(void *memory, size_t size)
{
    (void)memory;
    (void)size;
}

int mega_nameless_file_open(const char *folder, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                     "cannot make a temporary file in %s: this build opens no files", folder);
}

/* The comparison of the sort that is running. Plain qsort cannot pass a context, and without
 * threads there is only one sort at a time. */
static struct {
    MegaCompare compare;
    void *context;
} sorting;

static int compare_items(const void *a, const void *b)
{
    return sorting.compare(a, b, sorting.context);
}

void mega_sort(void *items, size_t count, size_t size, MegaCompare compare, void *context)
{
    sorting.compare = compare;
    sorting.context = context;
    qsort(items, count, size, compare_items);
}
