/*
 * queue.c - see queue.h.
 */
#include "tools/run/serve/queue.h"

#include <time.h>

void queue_begin(Queue *queue, size_t limit, size_t batch)
{
    *queue = (Queue){.limit = limit, .batch = batch};
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->work, NULL);
}

void queue_end(Queue *queue)
{
    pthread_cond_destroy(&queue->work);
    pthread_mutex_destroy(&queue->lock);
}

/* ---- Jobs ----------------------------------------------------------------------------------- */

/* Takes a job out of the list, with the lock held. */
static void unlink_job(Queue *queue, Job *job)
{
    Job **at = &queue->first, *before = NULL;
    while (*at != job) {
        before = *at;
        at = &before->next;
    }
    *at = job->next;
    if (queue->last == job)
        queue->last = before;
    job->next = NULL;
    job->is_queued = false;
    queue->waiting--;
}

/* Drops a reference to a job, with the lock held; returns whether it was the last one. */
static bool drop_user(Job *job)
{
    return --job->users == 0;
}

bool queue_add(Queue *queue, Job *job)
{
    pthread_mutex_lock(&queue->lock);
    const bool has_room = queue->waiting < queue->limit && !queue->is_closed;
    if (has_room) {
        if (queue->last)
            queue->last->next = job;
        else
            queue->first = job;
        queue->last = job;
        job->is_queued = true;
        job->users++;
        queue->waiting++;
        pthread_cond_signal(&queue->work);
    }
    pthread_mutex_unlock(&queue->lock);
    return has_room;
}

bool queue_wait(Queue *queue, Job *job, double seconds)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)seconds;
    end.tv_nsec += (long)(1e9 * (seconds - (double)(time_t)seconds));
    if (end.tv_nsec >= 1000000000) {
        end.tv_nsec -= 1000000000;
        end.tv_sec++;
    }
    pthread_mutex_lock(&queue->lock);
    while (!job->is_done && !job->pieces.size &&
           pthread_cond_timedwait(&job->changed, &queue->lock, &end) == 0)
        continue;
    const bool is_ready = job->is_done || job->pieces.size;
    pthread_mutex_unlock(&queue->lock);
    return is_ready;
}

bool queue_take_pieces(Queue *queue, Job *job, MegaBuffer *out)
{
    pthread_mutex_lock(&queue->lock);
    *out = job->pieces;
    job->pieces = (MegaBuffer){0};
    const bool more = out->size || !job->is_done;
    pthread_mutex_unlock(&queue->lock);
    return more;
}

bool queue_failed(Queue *queue, Job *job)
{
    pthread_mutex_lock(&queue->lock);
    const bool has_failed = job->is_done && job->err.code && !job->pieces.size;
    pthread_mutex_unlock(&queue->lock);
    return has_failed;
}

void queue_release(Queue *queue, Job *job, bool abandon)
{
    bool is_last;
    pthread_mutex_lock(&queue->lock);
    if (abandon)
        atomic_store(&job->is_abandoned, true);
    if (abandon && job->is_queued) {
        queue->running -= job->lines_taken > 0 && job->lines_done == job->lines_taken;
        unlink_job(queue, job);
        drop_user(job);
    }
    is_last = drop_user(job);
    pthread_mutex_unlock(&queue->lock);
    if (is_last)
        job_free(job);
}

/* ---- Work ----------------------------------------------------------------------------------- */

/* Takes lines of the first job and of all that can join it, with the lock held. */
static size_t take_lines(Queue *queue, JobSlice *slices)
{
    Job *first = queue->first;
    size_t count = 0, left = queue->batch;
    for (Job *job = first, *next; job && left > 0; job = next) {
        next = job->next;
        if (job != first && (job->operation != first->operation || job->model != first->model ||
                             !first->operation->can_join(first, job)))
            continue;
        const size_t rest = job->line_count - job->lines_taken, taken = rest < left ? rest : left;
        slices[count++] = (JobSlice){job, job->lines_taken, taken};
        if (job->lines_taken == 0)
            queue->running++;
        job->lines_taken += taken;
        job->users++;
        left -= taken;
        if (job->lines_taken == job->line_count) {
            unlink_job(queue, job);
            drop_user(job);
        }
    }
    return count;
}

size_t queue_take(Queue *queue, JobSlice *slices, unsigned *nudges, bool *is_closed)
{
    size_t count = 0;
    pthread_mutex_lock(&queue->lock);
    while (!queue->first && !queue->is_closed && *nudges == queue->nudges)
        pthread_cond_wait(&queue->work, &queue->lock);
    Job *job = queue->first;
    *is_closed = !job && queue->is_closed;
    if (*nudges != queue->nudges) {
        *nudges = queue->nudges;
    } else if (job && job->line_count) {
        count = take_lines(queue, slices);
    } else if (job) {
        unlink_job(queue, job); /* the queue's reference to the job becomes the worker's */
        queue->running++;
        slices[count++] = (JobSlice){.job = job};
    }
    if (queue->first) /* there is work for another worker, too */
        pthread_cond_signal(&queue->work);
    pthread_mutex_unlock(&queue->lock);
    return count;
}

void queue_done(Queue *queue, const JobSlice *slice)
{
    Job *job = slice->job;
    pthread_mutex_lock(&queue->lock);
    job->lines_done += slice->count;
    const bool all = job->lines_done == job->line_count;
    const bool left = atomic_load(&job->is_abandoned) && job->lines_done == job->lines_taken;
    if (all || left) {
        job->is_done = true;
        queue->running--;
        pthread_cond_broadcast(&job->changed);
    }
    const bool is_last = drop_user(job);
    pthread_mutex_unlock(&queue->lock);
    if (is_last)
        job_free(job);
}

bool queue_add_piece(Queue *queue, Job *job, const void *data, size_t size)
{
    pthread_mutex_lock(&queue->lock);
    mega_put_bytes(&job->pieces, data, size);
    const bool is_wanted = !atomic_load(&job->is_abandoned) && !job->pieces.failed;
    pthread_cond_broadcast(&job->changed);
    pthread_mutex_unlock(&queue->lock);
    return is_wanted;
}

void queue_nudge(Queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->nudges++;
    pthread_cond_broadcast(&queue->work);
    pthread_mutex_unlock(&queue->lock);
}

void queue_close(Queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->is_closed = true;
    pthread_cond_broadcast(&queue->work);
    pthread_mutex_unlock(&queue->lock);
}

void queue_count(Queue *queue, size_t *waiting, size_t *running)
{
    pthread_mutex_lock(&queue->lock);
    *waiting = queue->waiting;
    *running = queue->running;
    pthread_mutex_unlock(&queue->lock);
}
