/*
 * progress.h - a progress bar on standard error: on a terminal only, at most six times a second,
 * with rate and time left. It disappears when it is done.
 */
#ifndef MEGA_PROGRESS_H
#define MEGA_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Progress {
    bool shown;
    const char *unit; /* of the rate, "inputs"; NULL: no rate */
    uint64_t total;
    double begun, last; /* seconds of the monotonic clock */
} Progress;

/* quiet, or a standard error that is no terminal: nothing will be shown. */
void progress_begin(Progress *progress, uint64_t total, const char *unit, bool quiet);
void progress_update(Progress *progress, uint64_t done);
void progress_end(Progress *progress);
/* Before a message on standard error: takes away the bar if one is there. It comes back with the
 * next update that is due. */
void progress_clear(void);
/* Seconds since some fixed time, for rates and durations. */
double clock_seconds(void);

#endif
