/*
 * lock.h - a mutex, and work that is done once in a process, whichever thread comes first. A build
 * without an operating system (make WITH_SYSTEM=0) has one thread, so nothing has to wait there.
 */
#ifndef MEGA_LOCK_H
#define MEGA_LOCK_H

#ifndef MEGA_WITH_SYSTEM
#define MEGA_WITH_SYSTEM 1
#endif

#if MEGA_WITH_SYSTEM
#include <pthread.h>

typedef pthread_mutex_t MegaLock;
typedef pthread_once_t MegaOnce;
#define MEGA_ONCE PTHREAD_ONCE_INIT

static inline void mega_lock_init(MegaLock *lock)
{
    pthread_mutex_init(lock, NULL);
}

static inline void mega_lock_free(MegaLock *lock)
{
    pthread_mutex_destroy(lock);
}

static inline void mega_lock(MegaLock *lock)
{
    pthread_mutex_lock(lock);
}

static inline void mega_unlock(MegaLock *lock)
{
    pthread_mutex_unlock(lock);
}

static inline void mega_once(MegaOnce *once, void (*work)(void))
{
    pthread_once(once, work);
}
#else
#include <stdbool.h>

typedef struct MegaLock {
    bool is_held;
} MegaLock;
typedef bool MegaOnce;
#define MEGA_ONCE false

static inline void mega_lock_init(MegaLock *lock)
{
    lock->is_held = false;
}

static inline void mega_lock_free(MegaLock *lock)
{
    (void)lock;
}

static inline void mega_lock(MegaLock *lock)
{
    lock->is_held = true;
}

static inline void mega_unlock(MegaLock *lock)
{
    lock->is_held = false;
}

static inline void mega_once(MegaOnce *once, void (*work)(void))
{
    if (!*once)
        work();
    *once = true;
}
#endif

#endif
