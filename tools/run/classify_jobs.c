/*
 * classify_jobs.c - see classify_jobs.h.
 */
#include "tools/run/classify_jobs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/encode/session.h"

/* A file with more bytes may be a long recording, whose windows are shown as they come. */
#define MOST_BYTES (16 << 20)

void classify_workers_begin(ClassifyWorkers *out, const MegaModel *model,
                            const MegaPipelineOptions *options, int threads)
{
    *out = (ClassifyWorkers){.model = model,
                             .options = *options,
                             .threads = threads,
                             .workers = calloc((size_t)threads, sizeof *out->workers)};
}

void classify_workers_free(ClassifyWorkers *workers)
{
    for (int i = 0; workers->workers && i < workers->threads; i++)
        mega_pipeline_free(workers->workers[i].pipeline);
    free(workers->workers);
    *workers = (ClassifyWorkers){0};
}

int pipeline_threads(MegaPipeline *pipeline)
{
    return mega_pool_threads(mega_pipeline_session(pipeline)->pool);
}

bool classify_job_fits(const char *path)
{
    struct stat info;
    return strcmp(path, "-") != 0 && stat(path, &info) == 0 && S_ISREG(info.st_mode) &&
           info.st_size <= MOST_BYTES;
}

ClassifyJob *classify_job_new(void *engine, ClassifyWorkers *workers, MegaContentKind kind,
                              const char *path, const char *second)
{
    ClassifyJob *job = workers->workers ? calloc(1, sizeof *job) : NULL;
    if (!job)
        return NULL;
    *job = (ClassifyJob){.engine = engine,
                         .workers = workers,
                         .kind = kind,
                         .path = strdup(path),
                         .second = second ? strdup(second) : NULL};
    if (job->path && (job->second || !second))
        return job;
    classify_job_free(job);
    return NULL;
}

void classify_job_free(ClassifyJob *job)
{
    for (size_t i = 0; i < job->count; i++)
        mega_classification_free(&job->found[i]);
    for (size_t i = 0; i < job->warning_count; i++)
        free(job->warnings[i]);
    free(job->found);
    free(job->warnings);
    free(job->path);
    free(job->second);
    free(job);
}

/* Keeps a warning of the worker's job; it is lost if there is no memory for it. */
static void keep_warning(void *context, const char *sentence)
{
    ClassifyJob *job = ((const ClassifyWorker *)context)->job;
    char **grown = realloc(job->warnings, (job->warning_count + 1) * sizeof *grown);
    if (!grown)
        return;
    job->warnings = grown;
    if ((grown[job->warning_count] = strdup(sentence)))
        job->warning_count++;
}

/* Makes the pipeline of a worker, with one thread. */
static MegaPipeline *make_pipeline(const ClassifyWorkers *workers, ClassifyWorker *worker)
{
    MegaPipelineOptions options = workers->options;
    MegaPipeline *pipeline = NULL;
    options.session.threads = 1;
    options.warn = options.warn ? keep_warning : NULL;
    options.warn_context = worker;
    mega_pipeline_new(&pipeline, workers->model, &options, NULL);
    return pipeline;
}

static int keep_result(ClassifyJob *job, MegaClassification *found)
{
    MegaClassification *grown = realloc(job->found, (job->count + 1) * sizeof *grown);
    if (!grown) {
        mega_classification_free(found);
        return mega_fail(&job->err, MEGA_ERR_MEMORY, "%s: no memory for its results", job->path);
    }
    job->found = grown;
    grown[job->count++] = *found;
    return 0;
}

static int run(ClassifyJob *job, MegaPipeline *pipeline)
{
    const MegaRaw inputs[] = {{.kind = MEGA_RAW_PATH, .data = job->path},
                              {.kind = MEGA_RAW_PATH, .data = job->second}};
    MegaClassification found;
    int code = mega_pipeline_begin(pipeline, inputs, job->second ? 2 : 1, &job->err), more = 1;
    job->was_begun = code == 0;
    while (!code && (more = mega_pipeline_next(pipeline, &found, &job->err)) > 0) {
        if (found.is_cut && job->workers->options.warn)
            job->length = mega_pipeline_length(pipeline);
        code = keep_result(job, &found);
    }
    return code ? code : more;
}

void classify_job_run(void *context, void *given, int number)
{
    ClassifyJob *job = given;
    ClassifyWorker *worker = &job->workers->workers[number];
    (void)context;
    worker->job = job;
    if (!worker->pipeline)
        worker->pipeline = make_pipeline(job->workers, worker);
    if (!worker->pipeline) {
        job->code = MEGA_ERR_MEMORY;
        return;
    }
    job->code = run(job, worker->pipeline);
    job->was_run = true;
}
