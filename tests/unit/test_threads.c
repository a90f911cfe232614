/*
 * test_threads.c - the pool: every task of every run once, whatever threads sleep or come late.
 */
#include "support.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "threads.h"

#define MAX_TASKS 64

typedef struct Count {
    atomic_int times[MAX_TASKS];
    atomic_int worker_out_of_range;
    int threads;
} Count;

static void count_task(void *context, size_t task, int worker)
{
    Count *count = context;
    atomic_fetch_add(&count->times[task], 1);
    if (worker < 0 || worker >= count->threads)
        atomic_store(&count->worker_out_of_range, 1);
}

static void every_task_runs_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        MegaPool *pool;
        assert_int_equal(mega_pool_new(&pool, threads, NULL), 0);
        assert_int_equal(mega_pool_threads(pool), threads);
        for (int run = 0; run < 3000; run++) {
            Count count = {.threads = threads};
            size_t tasks = (size_t)run % MAX_TASKS;
            mega_pool_run(pool, tasks, count_task, &count);
            for (size_t i = 0; i < MAX_TASKS; i++)
                assert_int_equal(count.times[i], i < tasks);
            assert_int_equal(count.worker_out_of_range, 0);
            if (run % 500 == 0)
                usleep(2000); /* the workers fall asleep */
        }
        mega_pool_free(pool);
    }
}

static void pools_come_and_go(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        MegaPool *pool;
        Count count = {.threads = 4};
        assert_int_equal(mega_pool_new(&pool, 4, NULL), 0);
        if (i % 2)
            mega_pool_run(pool, 10, count_task, &count);
        mega_pool_free(pool);
    }
    MegaPool *pool;
    assert_int_equal(mega_pool_new(&pool, -1, NULL), MEGA_ERR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(pools_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
