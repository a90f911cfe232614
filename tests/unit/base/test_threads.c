/*
 * test_threads.c - the pool runs every task of every run once, whichever threads sleep or come
 * late, in the right floating-point mode.
 */
#include "tests/unit/support.h"

#include <fenv.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "src/base/float_mode.h"
#include "src/base/threads.h"

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
                usleep(2000); /* gives the workers time to fall asleep */
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

/* Products that would be subnormal, and the value of a subnormal number. The last bit of a third
 * number shows the direction of rounding. */
typedef struct Numbers {
    float product, doubled, third;
} Numbers;

static Numbers compute(void)
{
    volatile float small = 1e-20f, smaller = 1e-22f, subnormal = 1e-40f, one = 1, three = 3;
    return (Numbers){small * smaller, subnormal * 1e10f, one / three};
}

typedef struct Modes {
    Numbers numbers[MAX_TASKS];
    atomic_int workers; /* workers that took a task */
} Modes;

static void compute_task(void *context, size_t task, int worker)
{
    Modes *modes = context;
    (void)worker;
    atomic_fetch_add(&modes->workers, 1);
    for (int i = 0; i < 1000 && atomic_load(&modes->workers) < 2; i++)
        usleep(100); /* lets other workers join */
    modes->numbers[task] = compute();
}

/* Workers and the caller flush subnormal numbers and round to nearest, whichever mode was set when
 * the pool was made or is called. The caller gets its own mode back. */
static void subnormals_are_flushed(void **state)
{
    const int roundings[] = {FE_TONEAREST, FE_UPWARD, FE_TOWARDZERO};
    const Numbers nearest = compute();
    (void)state;
    assert_true(nearest.product > 0 && nearest.doubled > 0);
    for (int threads = 1; threads <= 4; threads++)
        for (int r = 0; r < 3; r++) {
            static Modes modes;
            MegaPool *pool;
            atomic_store(&modes.workers, threads == 1 ? 2 : 0);
            fesetround(roundings[r]);
            assert_int_equal(mega_pool_new(&pool, threads, NULL), 0);
            MegaFloatMode before = mega_float_mode();
            Numbers own = compute();
            for (size_t tasks = 1; tasks <= 8; tasks++) {
                mega_pool_run(pool, tasks, compute_task, &modes);
                assert_int_equal(mega_float_mode() & ~0x3fu, before & ~0x3fu);
                for (size_t i = 0; i < tasks; i++) {
                    assert_true(modes.numbers[i].product == 0 && modes.numbers[i].doubled == 0);
                    assert_true(modes.numbers[i].third == nearest.third);
                }
            }
            Numbers after = compute();
            assert_memory_equal(&after, &own, sizeof own);
            assert_true(after.product > 0 && after.doubled > 0);
            mega_pool_free(pool);
            fesetround(FE_TONEAREST);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(pools_come_and_go),
        cmocka_unit_test(subnormals_are_flushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
