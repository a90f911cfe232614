/*
 * classify.c - computes the class probabilities of a raw input, window by window.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/sort.h"
#include "src/pipeline/clock.h"
#include "src/pipeline/input_reader.h"
#include "src/pipeline/pipeline.h"

void mega_classification_free(MegaClassification *classification)
{
    if (!classification)
        return;
    free(classification->probabilities);
    free(classification->order);
    *classification = (MegaClassification){0};
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

/* Returns the name of an input for messages about running it: the path as it was given. */
static const char *name_of(const MegaRaw *raw)
{
    return raw->kind == MEGA_RAW_PATH && !raw->name ? raw->data : mega_raw_name(raw);
}

static int new_result(const MegaPipeline *p, MegaClassification *out, MegaError *err)
{
    const size_t count = (size_t)mega_model_class_count(p->model);
    out->probabilities = malloc(count * sizeof *out->probabilities);
    out->order = malloc(count * sizeof *out->order);
    out->count = (int)count;
    return out->probabilities && out->order
               ? 0
               : mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu classes", count);
}

/* Turns logits into probabilities. */
static void finish_result(const MegaPipeline *p, MegaClassification *out)
{
    if (mega_model_config(p->model)->head.independent)
        for (int i = 0; i < out->count; i++)
            out->probabilities[i] = (float)(1 / (1 + exp(-(double)out->probabilities[i])));
    else
        mega_softmax(out->probabilities, out->count, out->probabilities);
    for (int i = 0; i < out->count; i++)
        out->order[i] = i;
    mega_sort(out->order, (size_t)out->count, sizeof *out->order, by_probability,
              out->probabilities);
}

static int run(MegaPipeline *p, const MegaPrepared *input, MegaClassification *out, MegaError *err)
{
    MegaError inner = {0};
    int code = new_result(p, out, err);
    if (code)
        return code;
    code = mega_prepared_run(input, p->session, out->probabilities, &inner);
    if (code)
        return mega_fail(err, code, "%s: %s", name_of(&p->current), inner.text);
    finish_result(p, out);
    out->start = input->start;
    out->end = input->end;
    out->is_cut = input->is_cut;
    out->is_scanned = input->scanned;
    return 0;
}

int mega_pipeline_begin(MegaPipeline *p, const MegaRaw *inputs, int count, MegaError *err)
{
    const double begun = mega_clock();
    int code = mega_pipeline_need_task(p, MEGA_TASK_CLASSIFY, "classify", err);
    if (!code)
        code = mega_input_reader_begin(p->reader, inputs, count, err);
    if (!code && p->listener)
        code = mega_listener_begin(p->listener, err);
    if (code)
        return code;
    free(p->current_path);
    p->current_path = NULL;
    p->current = inputs[0];
    if (inputs[0].kind == MEGA_RAW_PATH && !(p->current_path = strdup(inputs[0].data)))
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a path");
    p->current.data = p->current_path ? p->current_path : inputs[0].data;
    p->opening = mega_clock() - begun;
    return 0;
}

/* Makes the next result of a model that runs over the recording once (listener.h). */
static int hear_next(MegaPipeline *p, MegaClassification *out, MegaError *err)
{
    int code = new_result(p, out, err);
    MegaHeardWindow window = {.logits = out->probabilities};
    int more = code ? code : mega_listener_next(p->listener, &window, err);
    if (more <= 0) {
        mega_input_end(p->reader);
        mega_classification_free(out);
        return more;
    }
    finish_result(p, out);
    out->start = window.start;
    out->end = window.end;
    out->reading = p->opening + window.reading;
    out->running = window.running;
    p->opening = 0;
    return more;
}

int mega_pipeline_next(MegaPipeline *p, MegaClassification *out, MegaError *err)
{
    MegaPrepared input = {0};
    *out = (MegaClassification){0};
    int code = mega_pipeline_need_task(p, MEGA_TASK_CLASSIFY, "classify", err);
    if (code)
        return code;
    if (p->listener)
        return hear_next(p, out, err);
    const double begun = mega_clock();
    int more = mega_input_reader_next(p->reader, &input, err);
    const double read = mega_clock();
    if (more > 0) {
        code = run(p, &input, out, err);
        out->reading = p->opening + read - begun;
        out->running = mega_clock() - read;
        p->opening = 0;
    }
    mega_prepared_free(&input);
    if (code) {
        mega_input_end(p->reader);
        mega_classification_free(out);
    }
    return code ? code : more;
}

void mega_pipeline_end(MegaPipeline *p)
{
    if (p->reader)
        mega_input_end(p->reader);
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
    mega_input_let_go(p->reader);
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
