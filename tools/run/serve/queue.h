/*
 * queue.h - the jobs that wait for a worker, first come, first served.
 *
 * Lines of jobs that can be joined are given out together, as one batch. A job whose client has
 * left leaves the queue at once.
 */
#ifndef MEGA_QUEUE_H
#define MEGA_QUEUE_H

#include "tools/run/serve/job.h"

typedef struct Queue {
    pthread_mutex_t lock;
    /* is signalled when a job comes, at a nudge, and when the queue is closed */
    pthread_cond_t work;
    Job *first, *last;
    size_t waiting, running, limit; /* jobs */
    size_t batch;                   /* most lines that are given out together */
    unsigned nudges;
    bool is_closed;
} Queue;

void queue_begin(Queue *queue, size_t limit, size_t batch);
void queue_end(Queue *queue);

/* Adds a job. Returns false if the queue is full. */
bool queue_add(Queue *queue, Job *job);
/* Waits up to `seconds` for a job to be done, or to have a piece if it streams. Returns whether
 * that is so. */
bool queue_wait(Queue *queue, Job *job, double seconds);
/* Moves the pieces of a job to an empty buffer. Returns false if there are none and none follow. */
bool queue_take_pieces(Queue *queue, Job *job, MegaBuffer *out);
/* Returns whether a job is done, and failed before it had a piece to send. */
bool queue_failed(Queue *queue, Job *job);
/* Drops a user's reference to a job, which is taken out of the queue if `abandon` is set. */
void queue_release(Queue *queue, Job *job, bool abandon);

/* For workers: waits for work. Returns how many slices it is, with slices[0].count == 0 for a job
 * without lines; or 0 if *nudges is not the number of nudges any more (it is then), or if the queue
 * was closed and is empty, for which *is_closed is set. slices [queue->batch]. */
size_t queue_take(Queue *queue, JobSlice *slices, unsigned *nudges, bool *is_closed);
/* Marks the lines of a slice as done, and its job, too, if these were the last ones. */
void queue_done(Queue *queue, const JobSlice *slice);
/* Appends a piece to the answer of a job that streams. Returns false if nobody wants it. */
bool queue_add_piece(Queue *queue, Job *job, const void *data, size_t size);

/* Wakes all workers once, so that they let go of models that were replaced. */
void queue_nudge(Queue *queue);
/* Closes the queue: no job follows, and workers end when it is empty. */
void queue_close(Queue *queue);
/* Returns how many jobs wait and run. */
void queue_count(Queue *queue, size_t *waiting, size_t *running);

#endif
