/*
 * crew.h - runs jobs side by side, each in one thread, and gives them back in the order in which
 * they came. What a job computes does not depend on the others, so the order of results, and the
 * results, are those of one job after the other.
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
/* Waits until all jobs are done and ends the threads. Jobs can still be taken back, but no longer
 * given. */
void crew_end(Crew *crew);
/* Frees the crew. All jobs must have been taken back. */
void crew_free(Crew *crew);

/* Return how many jobs were given and not taken back, and how many there can be. */
int crew_jobs(const Crew *crew);
int crew_room(const Crew *crew);
/* Gives the crew a job; there must be room. */
void crew_give(Crew *crew, void *job);
/* Waits until the oldest job is done, and takes it back; NULL if there is none. */
void *crew_take(Crew *crew);

#endif
