/*
 * test_crew.c - a crew does all jobs, each once, and gives them back in order, however long they
 * take.
 */
#include "tests/unit/support.h"

#include <stdatomic.h>

#include "tools/run/crew.h"

typedef struct Work {
    int number;
    unsigned result;
    int worker, times;
} Work;

static atomic_int running, most;

/* Some jobs take a thousand times as long as others. */
static void work(void *context, void *job, int worker)
{
    Work *mine = job;
    const int now = atomic_fetch_add(&running, 1) + 1;
    if (now > atomic_load(&most))
        atomic_store(&most, now);
    for (int i = 0; i < (mine->number % 7 ? 100 : 100000); i++)
        mine->result = mine->result * 1664525u + (unsigned)mine->number;
    mine->worker = worker;
    mine->times += *(int *)context;
    atomic_fetch_sub(&running, 1);
}

static void jobs_come_back_in_order(void **state)
{
    enum { JOBS = 500 };
    static Work jobs[JOBS];
    int one = 1, taken = 0;
    Crew *crew;
    (void)state;
    for (int workers = 1; workers <= 5; workers += 2) {
        assert_int_equal(crew_new(&crew, workers, work, &one, NULL), 0);
        assert_null(crew_take(crew));
        const int room = crew_room(crew);
        assert_true(room >= workers);
        taken = 0;
        for (int i = 0; i < JOBS; i++) {
            jobs[i] = (Work){.number = i};
            if (crew_jobs(crew) == room)
                assert_ptr_equal(crew_take(crew), &jobs[taken++]);
            crew_give(crew, &jobs[i]);
        }
        assert_int_equal(crew_jobs(crew), room);
        for (Work *job; (job = crew_take(crew));)
            assert_ptr_equal(job, &jobs[taken++]);
        assert_int_equal(taken, JOBS);
        crew_free(crew);
        for (int i = 0; i < JOBS; i++) {
            unsigned expected = 0;
            for (int k = 0; k < (i % 7 ? 100 : 100000); k++)
                expected = expected * 1664525u + (unsigned)i;
            assert_int_equal(jobs[i].times, 1);
            assert_int_equal(jobs[i].result, expected);
            assert_in_range(jobs[i].worker, 0, workers - 1);
        }
        assert_true(atomic_load(&most) <= workers);
    }
}

static void a_crew_without_jobs_ends(void **state)
{
    Crew *crew;
    int one = 1;
    (void)state;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(crew_new(&crew, 3, work, &one, NULL), 0);
        crew_free(crew);
    }
    crew_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_come_back_in_order),
        cmocka_unit_test(a_crew_without_jobs_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
