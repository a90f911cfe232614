/*
 * classify_jobs.h - inputs of mega-run classify that threads decode and classify side by side, each
 * with a pipeline of its own. A job keeps all results and warnings of its input until they are
 * printed.
 */
#ifndef MEGA_CLASSIFY_JOBS_H
#define MEGA_CLASSIFY_JOBS_H

#include "src/mega.h"
#include "tools/run/find_model.h"

typedef struct ClassifyJob ClassifyJob;

/* What a thread of the crew holds for the inputs of one model. */
typedef struct ClassifyWorker {
    MegaPipeline *pipeline; /* NULL until its first input */
    ClassifyJob *job;       /* the job that it works on */
} ClassifyWorker;

/* Holds what the threads need to make their pipelines. */
typedef struct ClassifyWorkers {
    const MegaModel *model;
    MegaPipelineOptions options;
    ClassifyWorker *workers; /* [threads], or NULL if there was no memory */
    int threads;
} ClassifyWorkers;

struct ClassifyJob {
    void *engine; /* belongs to the caller */
    ClassifyWorkers *workers;
    MegaContentKind kind;
    char *path, *second;       /* second: NULL, or the other one of a pair */
    bool was_run;              /* false: its thread had no memory for a pipeline */
    bool was_begun;            /* the input could be opened */
    MegaClassification *found; /* [count] */
    size_t count;
    double length; /* of a recording of which only a clip was looked at, in seconds; 0: unknown */
    int code;      /* an error after the results, or instead of them, or 0 */
    MegaError err;
    char **warnings; /* [warning_count] */
    size_t warning_count;
};

/* Keeps what the threads need; the options are those of a pipeline that has all of them. */
void classify_workers_begin(ClassifyWorkers *out, const MegaModel *model,
                            const MegaPipelineOptions *options, int threads);
void classify_workers_free(ClassifyWorkers *workers);
/* Returns the number of threads of a pipeline. */
int pipeline_threads(MegaPipeline *pipeline);

/* Returns whether a path can be a job: a file whose results may be kept until it ends. */
bool classify_job_fits(const char *path);
/* Copies the paths. Returns NULL if there is no memory. */
ClassifyJob *classify_job_new(void *engine, ClassifyWorkers *workers, MegaContentKind kind,
                              const char *path, const char *second);
void classify_job_free(ClassifyJob *job);
/* Runs a job in the thread of a worker (CrewWork). */
void classify_job_run(void *context, void *job, int worker);

#endif
