/*
 * classify.c - POST /v1/classify: what is in a recording, a picture or a text.
 *
 * The answer is what classify prints with --json: an object, or a list of them for windows and
 * events. A model from the hub gives a list of labels.
 */
#include "tools/run/serve/classify.h"

#include <stdlib.h>
#include <string.h>

#include "formats/media/pcm.h"
#include "src/encode/session.h"
#include "tools/run/classes.h"
#include "tools/run/find_model.h"
#include "tools/run/results.h"
#include "tools/run/serve/operations.h"

#define MAX_RESULTS 100000 /* windows of a recording */

typedef struct Classify {
    FieldText text, pair;
    ClassifyFields fields;
    MegaContentKind kind;
} Classify;

/* ---- Fields --------------------------------------------------------------------------------- */

static int check_fields(const ClassifyFields *fields, MegaError *err)
{
    if (fields->pipeline.hop > 0 && fields->pipeline.window <= 0)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the field 'hop' needs 'window'");
    if (fields->threshold > 0 && fields->pipeline.window <= 0 && !fields->stream)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the field 'threshold' needs 'window'");
    if (fields->threshold > 0 && fields->top)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "the field 'top' is for windows: it does not go with 'threshold'");
    if (fields->threshold <= 0 && (fields->smooth || fields->ignore.data) && !fields->stream)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the field '%s' needs 'threshold'",
                         fields->smooth ? "smooth" : "ignore");
    return 0;
}

int classify_fields_take(ClassifyFields *out, const json_t *fields, FieldText *text,
                         FieldText *pair, MegaPcm *pcm, MegaError *err)
{
    FieldText raw = {0};
    MegaPipelineOptions *pipeline = &out->pipeline;
    const Field table[] = {{"text", FIELD_TEXT, text, 0, 0},
                           {"pair", FIELD_TEXT, pair, 0, 0},
                           {"model", FIELD_TEXT, &out->model, 0, 0},
                           {"top", FIELD_INT, &out->top, 1, 1 << 24},
                           {"window", FIELD_REAL, &pipeline->window, 1e-3, 1e6},
                           {"hop", FIELD_REAL, &pipeline->hop, 1e-3, 1e6},
                           {"raw", FIELD_TEXT, &raw, 0, 0},
                           {"partial", FIELD_FLAG, &pipeline->partial, 0, 0},
                           {"no_orient", FIELD_FLAG, &pipeline->keep_orientation, 0, 0},
                           {"threshold", FIELD_REAL, &out->threshold, 1e-6, 1},
                           {"smooth", FIELD_INT, &out->smooth, 1, EVENTS_MAX_SMOOTH},
                           {"ignore", FIELD_TEXT, &out->ignore, 0, 0},
                           {"stream", FIELD_FLAG, &out->stream, 0, 0},
                           {"response_format", FIELD_IGNORED, NULL, 0, 0}, /* of whisper-server */
                           {0}};
    int code = fields_take(fields, table, err);
    if (!code && raw.data)
        code = mega_pcm_parse(pcm, raw.data, err);
    return code ? code : check_fields(out, err);
}

/* Finds out what the input is. */
static int find_kind(Job *job, Classify *classify, MegaError *err)
{
    if (!job->request.file) {
        classify->kind = MEGA_CONTENT_TEXT;
        return classify->text.data ? 0
                                   : mega_fail(err, MEGA_ERR_ARGUMENT,
                                               "there is nothing to classify: neither a "
                                               "file nor the field 'text' was given");
    }
    if (classify->text.data)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "a file or the field 'text', not both");
    classify->kind = MEGA_CONTENT_SOUND;
    if (job->request.pcm.rate)
        return 0;
    int code = job_open_file(job, err);
    classify->kind = code ? MEGA_CONTENT_UNKNOWN : content_of_path(job->path);
    return code || classify->kind ? code : fail_unknown_content(job->path, err);
}

bool classifies(const ServedModel *model, const void *context)
{
    return model->task == MEGA_TASK_CLASSIFY && model->kind == *(const MegaContentKind *)context;
}

/* Accepts a classifier of any kind; the pipeline then says what it expects. */
static bool classifies_anything(const ServedModel *model, const void *context)
{
    (void)context;
    return model->task == MEGA_TASK_CLASSIFY;
}

static int prepare(Job *job, MegaError *err)
{
    Classify *classify = calloc(1, sizeof *classify);
    char purpose[32];
    if (!classify)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a classification");
    job->input = classify;
    ClassifyFields *fields = &classify->fields;
    int code = classify_fields_take(fields, job->request.fields, &classify->text, &classify->pair,
                                    &job->request.pcm, err);
    if (!code && fields->stream)
        code = mega_fail(err, MEGA_ERR_ARGUMENT,
                         "the field 'stream' is for samples; give it in the query: "
                         "?stream=true&raw=s16le:16000:1");
    if (!code)
        code = find_kind(job, classify, err);
    snprintf(purpose, sizeof purpose, "to classify %s", kind_name(classify->kind));
    if (!code)
        code = job_choose_model(job, fields->model.data,
                                fields->model.data ? classifies_anything : classifies,
                                &classify->kind, purpose, err);
    hide_path(err, job->path, job_file_name(job));
    return code;
}

/* ---- Events --------------------------------------------------------------------------------- */

int classify_events_new(Events **out, const MegaModel *model, const ClassifyFields *fields,
                        MegaError *err)
{
    const char *at = fields->ignore.data ? fields->ignore.data : "";
    int code = events_new(out, mega_model_class_count(model), fields->threshold,
                          fields->smooth ? fields->smooth : CLASSIFY_SMOOTH, err);
    while (!code && *at) {
        const size_t size = strcspn(at, ",");
        const int label = find_class(model, at, size);
        if (label >= 0)
            events_ignore(*out, label);
        else
            code = mega_fail(err, MEGA_ERR_ARGUMENT,
                             "the field 'ignore': '%.*s' is neither a class of the model nor the "
                             "number of one",
                             (int)(size < 60 ? size : 60), at);
        at += size + (at[size] != '\0');
    }
    if (code) {
        events_free(*out);
        *out = NULL;
    }
    return code;
}

/* ---- Running -------------------------------------------------------------------------------- */

typedef struct Heard {
    Job *job;
    json_t *list;
} Heard;

static void take_event(void *context, EventMoment moment, const Event *event)
{
    const Heard *heard = context;
    if (moment == EVENT_ENDS)
        json_array_append_new(heard->list,
                              event_json(heard->job->model->model, job_file_name(heard->job),
                                         heard->job->model->id, event));
}

/* Makes the result of an input that was not cut into windows. */
static json_t *result_json(const Job *job, const Classify *classify,
                           const MegaClassification *found, bool has_span)
{
    const MegaModel *model = job->model->model;
    const int top = classify->fields.top;
    if (is_hub_classifier(model))
        return labels_json(model, found, top);
    return classification_json(model, classify->text.data ? "the text" : job_file_name(job),
                               job->model->id, found, top ? top : 1, has_span);
}

static int run_windows(Job *job, MegaPipeline *pipeline, const MegaRaw *raw, MegaError *err)
{
    const Classify *classify = job->input;
    Heard heard = {job, json_array()};
    Events *events = NULL;
    MegaClassification found;
    int more = 1, code = 0;
    if (classify->fields.threshold > 0)
        code = classify_events_new(&events, job->model->model, &classify->fields, err);
    if (!code)
        code = mega_pipeline_begin(pipeline, raw, 1, err);
    while (!code && !atomic_load(&job->is_abandoned) &&
           (more = mega_pipeline_next(pipeline, &found, err)) > 0) {
        if (events)
            events_add(events, found.probabilities, found.start, found.end, take_event, &heard);
        else
            json_array_append_new(heard.list, result_json(job, classify, &found, true));
        mega_classification_free(&found);
        if (json_array_size(heard.list) >= MAX_RESULTS)
            code = mega_fail(err, MEGA_ERR_LIMIT,
                             "%s has more than %d windows; longer hops make fewer",
                             job_file_name(job), MAX_RESULTS);
    }
    if (events)
        events_finish(events, take_event, &heard);
    events_free(events);
    job->answer = heard.list;
    return code ? code : more < 0 ? more : 0;
}

static int run_once(Job *job, MegaPipeline *pipeline, const MegaRaw *raws, int count,
                    MegaError *err)
{
    MegaClassification found;
    int code = mega_pipeline_classify(pipeline, raws, count, &found, err);
    if (!code)
        job->answer = result_json(job, job->input, &found, found.is_cut);
    mega_classification_free(&found);
    return code;
}

static MegaRaw raw_of_file(const Job *job)
{
    if (!job->request.pcm.rate)
        return (MegaRaw){.kind = MEGA_RAW_PATH, .data = job->path};
    return (MegaRaw){.kind = MEGA_RAW_PCM,
                     .data = job->request.file,
                     .size = job->request.file_size,
                     .pcm = job->request.pcm,
                     .name = job_file_name(job)};
}

static int run(Job *job, Worker *worker, MegaError *err)
{
    const Classify *classify = job->input;
    const MegaPipelineOptions *options = &classify->fields.pipeline;
    const bool is_usual = options->window <= 0 && !options->partial && !options->keep_orientation;
    const MegaRaw raws[] = {job->request.file ? raw_of_file(job)
                                              : raw_of_field(&classify->text, "the text"),
                            raw_of_field(&classify->pair, "the second text")};
    MegaPipeline *own = NULL, *pipeline = NULL;
    int code = 0;
    if (is_usual)
        code = (pipeline = worker_pipeline(worker, job->model, err)) ? 0 : err->code;
    else
        code = worker_new_pipeline(worker, &own, job->model, *options, err);
    pipeline = own ? own : pipeline;
    if (!code)
        code = options->window > 0
                   ? run_windows(job, pipeline, raws, err)
                   : run_once(job, pipeline, raws, classify->pair.data ? 2 : 1, err);
    if (pipeline) /* it should not keep the request's file in memory */
        mega_pipeline_end(pipeline);
    mega_pipeline_free(own);
    hide_path(err, job->path, job_file_name(job));
    return code;
}

const Operation classify_operation = {
    .path = "/v1/classify", .takes_file = true, .prepare = prepare, .run = run};
