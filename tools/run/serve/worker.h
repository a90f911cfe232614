/*
 * worker.h - threads that run jobs. Each has a pipeline of its own for every model that it has run;
 * the models themselves are shared.
 */
#ifndef MEGA_WORKER_H
#define MEGA_WORKER_H

#include "formats/text/tokenizer.h"
#include "tools/run/serve/metrics.h"
#include "tools/run/serve/queue.h"

/* Holds what all workers share. */
typedef struct Workers {
    Queue *queue;
    Models *models;
    Metrics *metrics;
    MegaSessionOptions session;
    int wanted;    /* the number of workers that are to run */
    Worker *items; /* [count] */
    int count;
} Workers;

/* Starts the threads. workers_end waits for them, after queue_close. */
int workers_begin(Workers *workers, MegaError *err);
void workers_end(Workers *workers);

/* Returns this worker's pipeline of a model, which is made when it is first needed; NULL after an
 * error. */
MegaPipeline *worker_pipeline(Worker *worker, ServedModel *model, MegaError *err);
/* Returns a tokenizer of a model in the same way. */
const MegaTokenizer *worker_tokenizer(Worker *worker, ServedModel *model, MegaTokenizerSide side,
                                      MegaError *err);
/* Makes a pipeline with other options than usual, for one job; its session options are replaced.
 * The caller frees it. */
int worker_new_pipeline(const Worker *worker, MegaPipeline **out, const ServedModel *model,
                        MegaPipelineOptions options, MegaError *err);
const Workers *worker_workers(const Worker *worker);

/* Holds what an operation needs for the inputs of a batch: [queue->batch]. */
typedef struct WorkerScratch {
    MegaRaw *texts;
    MegaTranslation *translations;
    MegaError *errors;
} WorkerScratch;
WorkerScratch *worker_scratch(Worker *worker);

#endif
