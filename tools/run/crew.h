/*
 * crew.h - a pool of worker threads that runs jobs side by side, each in one thread, and returns
 * them in the order in which they were given. No job depends on another, so the results and their
 * order are the same as if the jobs ran one by one.
 */
#ifndef MEGA_CREW_H
#define MEGA_CREW_H

#include <stdbool.h>

#include "src/mega.h"

typedef struct Crew Crew;

/* Does a job in the thread of worker number `worker`, 0 ... workers - 1. */
typedef void (*CrewWork)(void *context, void *job, int worker);

/* Makes the threads. `context` is passed on to `work`. */
int crew_new(Crew **out, int workers, CrewWork work, void *context, MegaError *err);
/* Waits until all jobs are done and ends the threads. Jobs that are done can still be taken, but no
 * more can be given. */
void crew_end(Crew *crew);
/* Frees the crew. All jobs must have been taken. */
void crew_free(Crew *crew);

/* Return how many jobs were given and not taken yet, and how many that may be at most. */
int crew_jobs(const Crew *crew);
int crew_room(const Crew *crew);
/* Gives the crew a job; crew_jobs must be less than crew_room. */
void crew_give(Crew *crew, void *job);
/* Waits until the oldest job is done and returns it, or NULL if there is none. */
void *crew_take(Crew *crew);

#endif
