/*
 * threads.c - the pool: workers sleep on a condition, take task numbers from an atomic counter.
 */
#define _GNU_SOURCE
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define MAX_THREADS 256

typedef struct Worker {
    MegaPool *pool;
    pthread_t thread;
    int number;
} Worker;

struct MegaPool {
    int threads;  /* the caller included */
    int started;  /* workers that run: threads - 1 unless creation failed */
    Worker *workers;
    pthread_mutex_t mutex;
    pthread_cond_t begin, end;
    unsigned generation; /* counts runs; guarded by mutex, as are busy and stop */
    int busy;
    bool stop;
    /* the run at hand */
    MegaPoolTask run;
    void *context;
    size_t tasks;
    atomic_size_t next;
};

static void take_tasks(MegaPool *pool, int worker)
{
    size_t task;
    while ((task = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed)) < pool->tasks)
        pool->run(pool->context, task, worker);
}

static void *work(void *argument)
{
    Worker *worker = argument;
    MegaPool *pool = worker->pool;
    unsigned seen = 0;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (!pool->stop && pool->generation == seen)
            pthread_cond_wait(&pool->begin, &pool->mutex);
        if (pool->stop)
            break;
        seen = pool->generation;
        pthread_mutex_unlock(&pool->mutex);
        take_tasks(pool, worker->number);
        pthread_mutex_lock(&pool->mutex);
        if (--pool->busy == 0)
            pthread_cond_signal(&pool->end);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

static int usable_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : count;
}

int mega_pool_new(MegaPool **out, int threads, MegaError *err)
{
    *out = NULL;
    if (threads < 0 || threads > MAX_THREADS)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "%d threads asked for, but 0 to %d are possible",
                         threads, MAX_THREADS);
    if (threads == 0)
        threads = usable_processors() < MAX_THREADS ? usable_processors() : MAX_THREADS;
    MegaPool *pool = calloc(1, sizeof *pool);
    Worker *workers = calloc((size_t)threads, sizeof *workers);
    if (!pool || !workers) {
        free(pool);
        free(workers);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d threads", threads);
    }
    pool->threads = threads;
    pool->workers = workers;
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
    pthread_mutex_lock(&pool->mutex);
    pool->stop = true;
    pthread_cond_broadcast(&pool->begin);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->begin);
    pthread_cond_destroy(&pool->end);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->workers);
    free(pool);
}

int mega_pool_threads(const MegaPool *pool)
{
    return pool->threads;
}

void mega_pool_run(MegaPool *pool, size_t tasks, MegaPoolTask run, void *context)
{
    if (tasks <= 1 || pool->started == 0) { /* not worth waking anybody */
        for (size_t task = 0; task < tasks; task++)
            run(context, task, 0);
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    pool->run = run;
    pool->context = context;
    pool->tasks = tasks;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    pool->busy = pool->started;
    pool->generation++;
    pthread_cond_broadcast(&pool->begin);
    pthread_mutex_unlock(&pool->mutex);
    take_tasks(pool, 0);
    pthread_mutex_lock(&pool->mutex);
    while (pool->busy > 0)
        pthread_cond_wait(&pool->end, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}
