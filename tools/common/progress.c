/*
 * progress.c - see progress.h.
 */
#include "tools/common/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define WIDTH 30
#define INTERVAL (1.0 / 6)
/* limit in seconds, since a first guess may be arbitrarily large */
#define MAX_LEFT (100 * 60 * 60)

static bool on_screen; /* whether the bar is visible; a terminal shows one at a time */

double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_begin(Progress *progress, uint64_t total, const char *unit, bool quiet)
{
    double now = clock_seconds();
    *progress = (Progress){.shown = !quiet && isatty(STDERR_FILENO), .unit = unit, .total = total,
                           .begun = now, .last = now};
}

void progress_update(Progress *progress, uint64_t done)
{
    double now = clock_seconds(), passed = now - progress->begun;
    if (!progress->shown || now - progress->last < INTERVAL || done == 0 || progress->total == 0)
        return;
    progress->last = now;
    double part = (double)done / (double)progress->total, rate = (double)done / passed;
    double seconds = passed / part - passed;
    int filled = (int)(part * WIDTH), left = seconds < MAX_LEFT ? (int)seconds : MAX_LEFT;
    fprintf(stderr, "\r[%.*s%*s] %3d %%", filled, "##############################", WIDTH - filled,
            "", (int)(100 * part));
    if (progress->unit && rate >= 1e6)
        fprintf(stderr, "  %.1f M %s/s", rate / 1e6, progress->unit);
    else if (progress->unit)
        fprintf(stderr, "  %.1f %s/s", rate, progress->unit);
    fprintf(stderr, "  %d:%02d left\033[K", left / 60, left % 60);
    fflush(stderr);
    on_screen = true;
}

void progress_clear(void)
{
    if (on_screen)
        fputs("\r\033[K", stderr);
    on_screen = false;
}

void progress_end(Progress *progress)
{
    progress_clear();
    progress->shown = false;
}
