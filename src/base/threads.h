/*
 * threads.h - one pool of worker threads, one level of parallelism.
 *
 * A number is computed in one task, in the same order wherever work is cut, and no task reads what
 * another of the same run writes; so results are the same bits for any number of threads.
 */
#ifndef MEGA_THREADS_H
#define MEGA_THREADS_H

#include "src/mega.h"

typedef struct MegaPool MegaPool;

/* worker: 0 ... threads - 1, to pick scratch memory. */
typedef void (*MegaPoolTask)(void *context, size_t task, int worker);

/* threads counts the caller; 0: one per processor that this process may use and that its control
 * group's quota pays for. In a forked child, runs take place in the calling thread alone. */
int mega_pool_new(MegaPool **out, int threads, MegaError *err);
void mega_pool_free(MegaPool *pool);
int mega_pool_threads(const MegaPool *pool);
/* Runs run(context, 0 ... tasks - 1, ...), all in the mode of float_mode.h, and returns when all
 * are done. From one thread at a time. */
void mega_pool_run(MegaPool *pool, size_t tasks, MegaPoolTask run, void *context);

#endif
