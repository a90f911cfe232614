/*
 * clock.h - measures the time that a pipeline's steps take.
 */
#ifndef MEGA_CLOCK_H
#define MEGA_CLOCK_H

#include <time.h>

/* Returns the seconds since a fixed moment, which may be any. */
static inline double mega_clock(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

#endif
