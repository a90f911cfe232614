/*
 * clock.h - the time that a pipeline's steps take.
 */
#ifndef MEGA_CLOCK_H
#define MEGA_CLOCK_H

#include <time.h>

/* Returns seconds since some moment that does not change. */
static inline double mega_clock(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

#endif
