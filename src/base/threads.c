/*
 * threads.c - the pool: workers take task numbers from an atomic counter.
 *
 * One step of a decoder is some hundred short runs, and waking a thread takes longer than such a
 * run. Both sides therefore spin for a while before they sleep. A worker that goes to sleep first
 * announces itself in `sleepers`, then rereads `generation`. A caller first bumps `generation`,
 * then reads `sleepers`. Both are seq_cst, so at least one sees the other: no wake-up is lost.
 *
 * A worker joins a run while it is open. The caller closes the run when no task is left and waits
 * only for the workers that joined. A worker that the system has not scheduled yet holds nobody up.
 *
 * A forked child inherits none of the workers, and its mutex and conditions may be locked, as they
 * were at that moment. It computes in the calling thread and does not touch them, not even when it
 * frees the pool.
 */
#include "src/base/threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "src/base/float_mode.h"
#include "src/base/processors.h"

#define MAX_THREADS 256
#define PATIENCE 2000 /* spins before sleeping; together they take some ten microseconds */
#define CLOSED (1u << 31)

typedef struct Worker {
    MegaPool *pool;
    pthread_t thread;
    int number;
} Worker;

struct MegaPool {
    int threads;  /* number of threads, with the caller's */
    int started;  /* workers that run: threads - 1, or fewer if creating one failed */
    int patience; /* spins before sleeping; 0 if threads have to share a processor */
    unsigned forks; /* value of the global `forks` when the pool was made */
    Worker *workers;
    pthread_mutex_t mutex; /* serves only to sleep and to wake */
    pthread_cond_t begin, end;
    atomic_uint generation; /* counts runs; the last run tells workers to stop */
    atomic_uint inside;     /* number of workers that joined the run, and the flag CLOSED */
    atomic_int sleepers;    /* number of workers that wait for `begin` */
    atomic_bool waiting;    /* whether the caller waits for `end` */
    /* The current run. These change only while it is closed. */
    bool stop;
    MegaPoolTask run;
    void *context;
    size_t tasks;
    atomic_size_t next;
};

/* Counts the forks that lie between the first process and this one. A fork counts only in the
 * child. */
static atomic_uint forks;
static pthread_once_t watch_once = PTHREAD_ONCE_INIT;
static int watch_failure;

static void count_fork(void)
{
    atomic_fetch_add(&forks, 1);
}

static void watch_forks(void)
{
    watch_failure = pthread_atfork(NULL, NULL, count_fork);
}

static bool has_workers(const MegaPool *pool)
{
    return pool->started > 0 && pool->forks == atomic_load_explicit(&forks, memory_order_relaxed);
}

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_tasks(MegaPool *pool, int worker)
{
    size_t task;
    while ((task = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed)) < pool->tasks)
        pool->run(pool->context, task, worker);
}

/* Waits until the generation is no longer `seen`. */
static void await_run(MegaPool *pool, unsigned seen)
{
    for (int i = 0; i < pool->patience; i++) {
        if (atomic_load(&pool->generation) != seen)
            return;
        relax();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->generation) == seen)
        pthread_cond_wait(&pool->begin, &pool->mutex);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void announce_run(MegaPool *pool)
{
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) == 0)
        return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->begin);
    pthread_mutex_unlock(&pool->mutex);
}

/* Lets no further worker join, then waits until all that joined have finished. */
static void close_run(MegaPool *pool)
{
    atomic_fetch_or(&pool->inside, CLOSED);
    for (int i = 0; i < pool->patience; i++) {
        if (atomic_load(&pool->inside) == CLOSED)
            return;
        relax();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->waiting, true);
    while (atomic_load(&pool->inside) != CLOSED)
        pthread_cond_wait(&pool->end, &pool->mutex);
    atomic_store(&pool->waiting, false);
    pthread_mutex_unlock(&pool->mutex);
}

static void leave_run(MegaPool *pool)
{
    if (atomic_fetch_sub(&pool->inside, 1) != (CLOSED | 1) || !atomic_load(&pool->waiting))
        return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_signal(&pool->end);
    pthread_mutex_unlock(&pool->mutex);
}

static void *work(void *argument)
{
    Worker *worker = argument;
    MegaPool *pool = worker->pool;
    mega_set_float_mode(MEGA_FLOAT_MODE);
    for (unsigned seen = 0;;) {
        await_run(pool, seen);
        seen = atomic_load(&pool->generation);
        bool open = !(atomic_fetch_add(&pool->inside, 1) & CLOSED);
        bool stop = open && pool->stop;
        if (open && !stop)
            take_tasks(pool, worker->number);
        leave_run(pool);
        if (stop)
            return NULL;
    }
}

/* Rounds down: a quota of one and a half processors pays for one thread. */
static int threads_that_pay(double processors)
{
    return processors < 1 ? 1 : processors > MAX_THREADS ? MAX_THREADS : (int)processors;
}

int mega_pool_new(MegaPool **out, int threads, MegaError *err)
{
    *out = NULL;
    if (threads < 0 || threads > MAX_THREADS)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "%d threads asked for, but 0 to %d are possible",
                         threads, MAX_THREADS);
    const double processors = mega_processors();
    if (threads == 0)
        threads = threads_that_pay(processors);
    pthread_once(&watch_once, watch_forks);
    MegaPool *pool = calloc(1, sizeof *pool);
    Worker *workers = calloc((size_t)threads, sizeof *workers);
    if (!pool || !workers || watch_failure) {
        free(pool);
        free(workers);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d threads", threads);
    }
    pool->threads = threads;
    pool->patience = threads <= processors ? PATIENCE : 0;
    pool->forks = atomic_load(&forks);
    pool->workers = workers;
    atomic_store(&pool->inside, CLOSED);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->begin, NULL);
    pthread_cond_init(&pool->end, NULL);
    for (int i = 0; i < threads - 1; i++) {
        workers[i] = (Worker){.pool = pool, .number = i + 1};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            mega_pool_free(pool);
            return mega_fail(err, MEGA_ERR_MEMORY,
                             "the system allows no more than %d of %d threads", i + 1, threads);
        }
        pool->started++;
    }
    *out = pool;
    return 0;
}

void mega_pool_free(MegaPool *pool)
{
    if (!pool)
        return;
    if (has_workers(pool)) {
        pool->stop = true;
        /* this run stays open, so that every worker can join and stop */
        atomic_fetch_and(&pool->inside, ~CLOSED);
        announce_run(pool);
        for (int i = 0; i < pool->started; i++)
            pthread_join(pool->workers[i].thread, NULL);
        pthread_cond_destroy(&pool->begin);
        pthread_cond_destroy(&pool->end);
        pthread_mutex_destroy(&pool->mutex);
    }
    free(pool->workers);
    free(pool);
}

int mega_pool_threads(const MegaPool *pool)
{
    return pool->threads;
}

static void run_with_workers(MegaPool *pool, size_t tasks, MegaPoolTask run, void *context)
{
    pool->run = run;
    pool->context = context;
    pool->tasks = tasks;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    atomic_fetch_and(&pool->inside, ~CLOSED);
    announce_run(pool);
    take_tasks(pool, 0);
    close_run(pool);
}

void mega_pool_run(MegaPool *pool, size_t tasks, MegaPoolTask run, void *context)
{
    MEGA_WITH_FLOAT_MODE;
    if (tasks > 1 && has_workers(pool))
        run_with_workers(pool, tasks, run, context);
    else /* a single task is not worth a wake-up */
        for (size_t task = 0; task < tasks; task++)
            run(context, task, 0);
}
