/*
 * classify.c - computes the class probabilities of a raw input, window by window.
 */
#define _GNU_SOURCE /* qsort_r */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/pipeline/pipeline.h"

void mega_classification_free(MegaClassification *classification)
{
    if (!classification)
        return;
    free(classification->probabilities);
    free(classification->order);
    *classification = (MegaClassification){0};
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Sorts the most probable class first, and equally probable ones by number. */
static int by_probability(const void *a, const void *b, void *context)
{
    const float *probabilities = context;
    const int x = *(const int *)a, y = *(const int *)b;
    if (probabilities[x] != probabilities[y])
        return probabilities[x] < probabilities[y] ? 1 : -1;
    return x < y ? -1 : 1;
}

/* Returns the name with which messages about running an input begin: the path as it was given. */
static const char *name_of(const MegaRaw *raw)
{
    return raw->kind == MEGA_RAW_PATH && !raw->name ? raw->data : mega_raw_name(raw);
}

static int run(MegaPipeline *p, const MegaPrepared *input, MegaClassification *out, MegaError *err)
{
    const size_t count = (size_t)mega_model_class_count(p->model);
    MegaError inner = {0};
    out->probabilities = malloc(count * sizeof *out->probabilities);
    out->order = malloc(count * sizeof *out->order);
    if (!out->probabilities || !out->order)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu classes", count);
    int code = mega_prepared_run(input, p->session, out->probabilities, &inner);
    if (code)
        return mega_fail(err, code, "%s: %s", name_of(&p->current), inner.text);
    out->count = (int)count;
    if (mega_model_config(p->model)->head.independent)
        for (int i = 0; i < out->count; i++)
            out->probabilities[i] = (float)(1 / (1 + exp(-(double)out->probabilities[i])));
    else
        mega_softmax(out->probabilities, out->count, out->probabilities);
    for (int i = 0; i < out->count; i++)
        out->order[i] = i;
    qsort_r(out->order, count, sizeof *out->order, by_probability, out->probabilities);
    out->start = input->start;
    out->end = input->end;
    out->is_cut = input->is_cut;
    out->is_scanned = input->scanned;
    return 0;
}

int mega_pipeline_begin(MegaPipeline *p, const MegaRaw *inputs, int count, MegaError *err)
{
    const double begun = now();
    int code = mega_pipeline_need_task(p, MEGA_TASK_CLASSIFY, "classify", err);
    if (!code)
        code = mega_input_reader_begin(p->reader, inputs, count, err);
    if (code)
        return code;
    free(p->current_path);
    p->current_path = NULL;
    p->current = inputs[0];
    if (inputs[0].kind == MEGA_RAW_PATH && !(p->current_path = strdup(inputs[0].data)))
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a path");
    p->current.data = p->current_path ? p->current_path : inputs[0].data;
    p->opening = now() - begun;
    return 0;
}

int mega_pipeline_next(MegaPipeline *p, MegaClassification *out, MegaError *err)
{
    MegaPrepared input = {0};
    *out = (MegaClassification){0};
    int code = mega_pipeline_need_task(p, MEGA_TASK_CLASSIFY, "classify", err);
    if (code)
        return code;
    const double begun = now();
    int more = mega_input_reader_next(p->reader, &input, err);
    const double read = now();
    if (more > 0) {
        code = run(p, &input, out, err);
        out->reading = p->opening + read - begun;
        out->running = now() - read;
        p->opening = 0;
    }
    mega_prepared_free(&input);
    if (code)
        mega_classification_free(out);
    return code ? code : more;
}

int mega_pipeline_classify(MegaPipeline *p, const MegaRaw *inputs, int count,
                           MegaClassification *out, MegaError *err)
{
    *out = (MegaClassification){0};
    int code = mega_pipeline_begin(p, inputs, count, err);
    if (code)
        return code;
    const int more = mega_pipeline_next(p, out, err);
    if (more == 0)
        return mega_fail(err, MEGA_ERR_INPUT, "%s: there is nothing in it", name_of(&p->current));
    return more < 0 ? more : 0;
}

double mega_pipeline_clip(const MegaPipeline *p)
{
    return p->reader ? mega_input_reader_clip(p->reader) : 0;
}

int mega_pipeline_rate(const MegaPipeline *p)
{
    return p->reader ? mega_input_reader_rate(p->reader) : 0;
}

double mega_pipeline_length(MegaPipeline *p)
{
    return p->reader ? mega_input_reader_length(p->reader) : 0;
}
