/*
 * progress.h - a progress bar on standard error. It appears on a terminal only, is drawn at most
 * six times a second with rate and time left, and disappears when the work is done.
 */
#ifndef MEGA_PROGRESS_H
#define MEGA_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Progress {
    bool shown;
    const char *unit; /* unit of the rate, such as "inputs"; NULL shows no rate */
    uint64_t total;
    double begun, last; /* seconds of the monotonic clock */
} Progress;

/* Shows nothing if `quiet` is set or standard error is not a terminal. */
void progress_begin(Progress *progress, uint64_t total, const char *unit, bool quiet);
void progress_update(Progress *progress, uint64_t done);
void progress_end(Progress *progress);
/* Removes the bar, if there is one, before a message on standard error. The next update that is due
 * draws it again. */
void progress_clear(void);
/* Returns seconds since some fixed time, for rates and durations. */
double clock_seconds(void);

#endif
