/*
 * job.h - a request that a model is to answer: its fields, and its result.
 *
 * A connection makes a job, an operation reads its fields, the queue holds it until a worker runs
 * it, and the connection sends the answer. The last of these to release a job frees it: a client
 * that leaves does not wait for the worker, nor the worker for the client.
 */
#ifndef MEGA_JOB_H
#define MEGA_JOB_H

#include <pthread.h>
#include <stdatomic.h>

#include "formats/base/bytes.h"
#include "tools/run/serve/models.h"
#include "tools/run/serve/request.h"

typedef struct Job Job;
typedef struct Worker Worker;
typedef struct JobSlice JobSlice;

/* Describes what a route asks of a model. Only translations have lines, since a beam search does
 * each step for all lines at once. An encoder takes as long for sixteen inputs in one pass as for
 * one after the other (tools/bench/README.md), so requests that only encode run side by side. */
typedef struct Operation {
    const char *path; /* "/v1/fill" */
    bool takes_file;  /* its input may be a file instead of fields */
    /* Reads the fields and chooses the model, in the thread of the connection. */
    int (*prepare)(Job *job, MegaError *err);
    /* Runs the whole job, in a worker, and leaves the answer in it. NULL: the job has lines. */
    int (*run)(Job *job, Worker *worker, MegaError *err);
    /* Runs lines of several jobs together; see JobSlice. */
    void (*run_lines)(Worker *worker, const JobSlice *slices, size_t count);
    /* Returns whether lines of two jobs of one model may run together. */
    bool (*can_join)(const Job *a, const Job *b);
    /* Makes the answer of a job whose lines are done, in the thread of the connection. */
    int (*collect)(Job *job, MegaError *err);
    void (*release)(Job *job); /* frees `input` */
} Operation;

struct Job {
    const Operation *operation;
    Models *models;
    Request request;
    MegaBuffer body; /* the request points into it */
    int file;        /* descriptor of the file of the request, in memory; or -1 */
    char path[32];   /* a path of this process under which that file can be opened */
    ServedModel *model;
    /* what the operation has parsed from the fields; it frees it with `release` */
    void *input;
    size_t line_count; /* lines that can run together with those of other jobs, or 0 */

    json_t *answer;  /* the answer, or NULL if it is in `text` */
    MegaBuffer text; /* the answer as JSON that was written directly */
    int status;      /* of a failure, if it does not follow from the error's code; else 0 */
    MegaError err;
    atomic_ullong tokens_read, tokens_made;
    atomic_bool is_abandoned; /* nobody waits for the answer any more */

    /* These are under the lock of the queue. */
    int users;
    bool is_done, is_queued;
    bool streams;      /* the answer is sent piece by piece */
    MegaBuffer pieces; /* those that are not sent yet */
    size_t lines_taken, lines_done;
    pthread_cond_t changed; /* is signalled when the job is done or has another piece */
    Job *next;
};

/* Lines of a job that run in one batch with those of others. */
struct JobSlice {
    Job *job;
    size_t first, count;
};

/* Makes a job with one user. It takes the body, which is empty afterwards. NULL without memory. */
Job *job_new(const Operation *operation, Models *models, MegaBuffer *body);
/* Frees a job that has no user any more. */
void job_free(Job *job);

/* Puts the file of the request where job->path opens it. */
int job_open_file(Job *job, MegaError *err);
/* Replaces a path of this process in a message by a name that means something to the client. */
void hide_path(MegaError *err, const char *path, const char *name);
/* Returns what messages and answers call the file: the client's name for it, or "the file". */
const char *job_file_name(const Job *job);

/* Takes the model that the field "model" names, or the first one that fits. */
int job_choose_model(Job *job, const char *name, ModelFits fits, const void *context,
                     const char *purpose, MegaError *err);

#endif
