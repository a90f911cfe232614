/*
 * threads.h - one pool of worker threads, and one level of parallelism.
 *
 * Each number is computed within one task, in an order that does not depend on how the work is cut,
 * and no task reads what another task of the same run writes. Results therefore have the same bits
 * for any number of threads.
 */
#ifndef MEGA_THREADS_H
#define MEGA_THREADS_H

#include "src/mega.h"

typedef struct MegaPool MegaPool;

/* `worker` is 0 ... threads - 1 and selects scratch memory. */
typedef void (*MegaPoolTask)(void *context, size_t task, int worker);

/* Makes a pool of `threads` threads, which include the calling one; 0 takes one per processor that
 * the affinity mask allows and the quotas pay for. Returns MEGA_ERR_ARGUMENT for a number out of
 * range, and MEGA_ERR_MEMORY if the system has no memory or no threads left. In a forked child, the
 * pool runs everything in the calling thread. */
int mega_pool_new(MegaPool **out, int threads, MegaError *err);
void mega_pool_free(MegaPool *pool);
int mega_pool_threads(const MegaPool *pool);
/* Calls run(context, task, worker) for task = 0 ... tasks - 1 in the mode of float_mode.h, and
 * returns when all are done. Only one thread at a time may call it. */
void mega_pool_run(MegaPool *pool, size_t tasks, MegaPoolTask run, void *context);

#endif
