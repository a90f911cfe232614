/*
 * worker.c - see worker.h.
 */
#include "tools/run/serve/worker.h"

#include <stdlib.h>
#include <string.h>

#include "src/model/model.h"

/* Holds the pipeline and the tokenizers that a worker has made for a model. */
typedef struct Prepared {
    ServedModel *model;
    MegaPipeline *pipeline;
    MegaTokenizer *tokenizers[2];
    struct Prepared *next;
} Prepared;

struct Worker {
    Workers *workers;
    pthread_t thread;
    Prepared *prepared;
    JobSlice *slices; /* [batch] */
    WorkerScratch scratch;
    unsigned nudges;
    bool has_old; /* something was made of a model that had been replaced, for a job that waited */
};

/* ---- Models --------------------------------------------------------------------------------- */

static void free_prepared(Worker *worker, Prepared *prepared)
{
    mega_pipeline_free(prepared->pipeline);
    mega_tokenizer_free(prepared->tokenizers[0]);
    mega_tokenizer_free(prepared->tokenizers[1]);
    models_release(worker->workers->models, prepared->model);
    free(prepared);
}

/* Frees the pipelines and tokenizers of models that have been replaced, or of all models. */
static void drop_prepared(Worker *worker, bool all)
{
    for (Prepared **at = &worker->prepared; *at;) {
        Prepared *prepared = *at;
        if (!all && models_is_current(worker->workers->models, prepared->model)) {
            at = &prepared->next;
            continue;
        }
        *at = prepared->next;
        free_prepared(worker, prepared);
    }
    worker->has_old = false;
}

static Prepared *find_prepared(Worker *worker, ServedModel *model, MegaError *err)
{
    Prepared *prepared = worker->prepared;
    while (prepared && prepared->model != model)
        prepared = prepared->next;
    if (prepared)
        return prepared;
    prepared = calloc(1, sizeof *prepared);
    if (!prepared) {
        mega_fail(err, MEGA_ERR_MEMORY, "no memory for a pipeline");
        return NULL;
    }
    prepared->model = models_share(worker->workers->models, model);
    worker->has_old |= !models_is_current(worker->workers->models, model);
    prepared->next = worker->prepared;
    worker->prepared = prepared;
    return prepared;
}

int worker_new_pipeline(const Worker *worker, MegaPipeline **out, const ServedModel *model,
                        MegaPipelineOptions options, MegaError *err)
{
    options.session = worker->workers->session;
    options.media = mega_media();
    return mega_pipeline_new(out, model->model, &options, err);
}

MegaPipeline *worker_pipeline(Worker *worker, ServedModel *model, MegaError *err)
{
    Prepared *prepared = find_prepared(worker, model, err);
    if (prepared && !prepared->pipeline &&
        worker_new_pipeline(worker, &prepared->pipeline, model, (MegaPipelineOptions){0}, err))
        return NULL;
    return prepared ? prepared->pipeline : NULL;
}

const MegaTokenizer *worker_tokenizer(Worker *worker, ServedModel *model, MegaTokenizerSide side,
                                      MegaError *err)
{
    Prepared *prepared = find_prepared(worker, model, err);
    if (prepared && !prepared->tokenizers[side] &&
        mega_tokenizer_new(&prepared->tokenizers[side], mega_model_meta(model->model), side, err))
        return NULL;
    return prepared ? prepared->tokenizers[side] : NULL;
}

const Workers *worker_workers(const Worker *worker)
{
    return worker->workers;
}

WorkerScratch *worker_scratch(Worker *worker)
{
    return &worker->scratch;
}

/* ---- Threads -------------------------------------------------------------------------------- */

static void run_slices(Worker *worker, const JobSlice *slices, size_t count)
{
    Workers *workers = worker->workers;
    Job *job = slices[0].job;
    size_t inputs = 0;
    for (size_t i = 0; i < count; i++)
        inputs += slices[i].count;
    metrics_batch(workers->metrics, inputs ? inputs : 1);
    if (inputs)
        job->operation->run_lines(worker, slices, count);
    else if (!atomic_load(&job->is_abandoned))
        job->operation->run(job, worker, &job->err);
    for (size_t i = 0; i < count; i++)
        queue_done(workers->queue, &slices[i]);
}

static void *work(void *context)
{
    Worker *worker = context;
    bool is_closed = false;
    while (!is_closed) {
        const size_t count =
            queue_take(worker->workers->queue, worker->slices, &worker->nudges, &is_closed);
        if (count)
            run_slices(worker, worker->slices, count);
        if (!count || worker->has_old)
            drop_prepared(worker, is_closed);
    }
    return NULL;
}

static int begin_worker(Workers *workers, Worker *worker, MegaError *err)
{
    const size_t batch = workers->queue->batch;
    worker->workers = workers;
    worker->slices = calloc(batch, sizeof *worker->slices);
    worker->scratch.texts = calloc(batch, sizeof *worker->scratch.texts);
    worker->scratch.translations = calloc(batch, sizeof *worker->scratch.translations);
    worker->scratch.errors = calloc(batch, sizeof *worker->scratch.errors);
    if (!worker->slices || !worker->scratch.texts || !worker->scratch.translations ||
        !worker->scratch.errors || pthread_create(&worker->thread, NULL, work, worker) != 0)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a worker");
    return 0;
}

static void free_worker(Worker *worker)
{
    free(worker->slices);
    free(worker->scratch.texts);
    free(worker->scratch.translations);
    free(worker->scratch.errors);
}

int workers_begin(Workers *workers, MegaError *err)
{
    workers->items = calloc((size_t)workers->wanted, sizeof *workers->items);
    if (!workers->items)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d workers", workers->wanted);
    for (int i = 0; i < workers->wanted; i++) {
        int code = begin_worker(workers, &workers->items[i], err);
        if (code) {
            free_worker(&workers->items[i]);
            return code;
        }
        workers->count++;
    }
    return 0;
}

void workers_end(Workers *workers)
{
    for (int i = 0; i < workers->count; i++) {
        pthread_join(workers->items[i].thread, NULL);
        free_worker(&workers->items[i]);
    }
    free(workers->items);
    workers->items = NULL;
    workers->count = 0;
}
