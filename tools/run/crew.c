/*
 * crew.c - see crew.h.
 *
 * Jobs lie in a ring: those before `begun` are being done or are done, those from there to `given`
 * wait for a worker. Only the caller's thread gives and takes.
 */
#include "tools/run/crew.h"

#include <pthread.h>
#include <stdlib.h>

/* Jobs in the ring for each worker. One that takes long does not keep the others waiting until they
 * have done that many. */
#define AHEAD 16

typedef struct Job {
    void *job;
    bool done;
} Job;

typedef struct Member {
    Crew *crew;
    pthread_t thread;
    int number;
} Member;

struct Crew {
    CrewWork work;
    void *context;
    Member *members; /* [workers] */
    Job *ring;       /* [room] */
    int workers;     /* threads that run */
    unsigned room;
    pthread_mutex_t mutex; /* guards what follows and the ring */
    pthread_cond_t more, finished;
    unsigned taken, begun, given; /* numbers of jobs, counted from the first one on */
    bool stop;
};

static void *do_jobs(void *argument)
{
    const Member *member = argument;
    Crew *crew = member->crew;
    pthread_mutex_lock(&crew->mutex);
    for (;;) {
        while (crew->begun == crew->given && !crew->stop)
            pthread_cond_wait(&crew->more, &crew->mutex);
        if (crew->begun == crew->given)
            break;
        Job *job = &crew->ring[crew->begun++ % crew->room];
        pthread_mutex_unlock(&crew->mutex);
        crew->work(crew->context, job->job, member->number);
        pthread_mutex_lock(&crew->mutex);
        job->done = true;
        if (job == &crew->ring[crew->taken % crew->room])
            pthread_cond_signal(&crew->finished);
    }
    pthread_mutex_unlock(&crew->mutex);
    return NULL;
}

int crew_new(Crew **out, int workers, CrewWork work, void *context, MegaError *err)
{
    *out = NULL;
    Crew *crew = calloc(1, sizeof *crew);
    if (!crew)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d threads", workers);
    *crew = (Crew){.work = work, .context = context, .room = AHEAD * (unsigned)workers};
    crew->members = calloc((size_t)workers, sizeof *crew->members);
    crew->ring = calloc(crew->room, sizeof *crew->ring);
    pthread_mutex_init(&crew->mutex, NULL);
    pthread_cond_init(&crew->more, NULL);
    pthread_cond_init(&crew->finished, NULL);
    int code = crew->members && crew->ring
                   ? 0
                   : mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d threads", workers);
    for (; !code && crew->workers < workers; crew->workers++) {
        Member *member = &crew->members[crew->workers];
        *member = (Member){.crew = crew, .number = crew->workers};
        if (pthread_create(&member->thread, NULL, do_jobs, member) != 0) {
            code =
                mega_fail(err, MEGA_ERR_MEMORY, "the system allows no more than %d of %d threads",
                          crew->workers + 1, workers);
            break;
        }
    }
    if (code)
        crew_free(crew);
    else
        *out = crew;
    return code;
}

void crew_end(Crew *crew)
{
    pthread_mutex_lock(&crew->mutex);
    crew->stop = true;
    pthread_cond_broadcast(&crew->more);
    pthread_mutex_unlock(&crew->mutex);
    for (int i = 0; i < crew->workers; i++)
        pthread_join(crew->members[i].thread, NULL);
    crew->workers = 0;
}

void crew_free(Crew *crew)
{
    if (!crew)
        return;
    crew_end(crew);
    pthread_cond_destroy(&crew->more);
    pthread_cond_destroy(&crew->finished);
    pthread_mutex_destroy(&crew->mutex);
    free(crew->members);
    free(crew->ring);
    free(crew);
}

int crew_jobs(const Crew *crew)
{
    return (int)(crew->given - crew->taken);
}

int crew_room(const Crew *crew)
{
    return (int)crew->room;
}

void crew_give(Crew *crew, void *job)
{
    pthread_mutex_lock(&crew->mutex);
    crew->ring[crew->given++ % crew->room] = (Job){.job = job};
    pthread_cond_signal(&crew->more);
    pthread_mutex_unlock(&crew->mutex);
}

void *crew_take(Crew *crew)
{
    if (crew_jobs(crew) == 0)
        return NULL;
    pthread_mutex_lock(&crew->mutex);
    Job *oldest = &crew->ring[crew->taken % crew->room];
    while (!oldest->done)
        pthread_cond_wait(&crew->finished, &crew->mutex);
    crew->taken++;
    pthread_mutex_unlock(&crew->mutex);
    return oldest->job;
}
