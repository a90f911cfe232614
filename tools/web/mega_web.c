/*
 * mega_web.c - see mega_web.h. A thin layer over the pipelines of mega.h.
 */
#include "tools/web/mega_web.h"

#include <stdlib.h>
#include <string.h>

#include "tools/run/classes.h"
#include "tools/run/events.h"
#include "tools/run/pictures/explain.h"
#include "tools/run/pictures/spectrum.h"
#include "tools/run/warnings.h"
#include "tools/web/page.h"

#define THRESHOLD 0.6 /* for events, which are the average of SMOOTH windows */
#define SMOOTH 3      /* as that of mega-run classify */
#define PARTS 4       /* windows per length of a clip */

struct WebModel {
    void *bytes; /* of the file, which the model reads */
    MegaModel *model;
    MegaPipeline *pipeline;
    MegaError err;
    /* what is being heard */
    Events *events;     /* NULL before the first sample */
    MegaBuffer samples; /* float32, from second `start` on */
    int rate;           /* of these samples, Hz */
    double start;
    bool has_window; /* a window was classified */
};

void report_warning(void *context, const char *sentence)
{
    (void)context;
    page_warn(sentence);
}

void report_cut(const char *path, double end, double length, double clip, const char *way)
{
    MegaError note;
    (void)length;
    (void)clip;
    (void)way;
    mega_fail(&note, 0, "%s is longer; the picture shows its first %.2f s", path, end);
    page_warn(note.text);
}

/* ---- Models --------------------------------------------------------------------------------- */

void *web_alloc(size_t size)
{
    return malloc(size ? size : 1);
}

void web_free(void *memory)
{
    free(memory);
}

void web_close(WebModel *web)
{
    if (!web)
        return;
    events_free(web->events);
    mega_buffer_free(&web->samples);
    mega_pipeline_free(web->pipeline);
    mega_model_free(web->model);
    free(web->bytes);
    free(web);
}

WebModel *web_open(void *bytes, size_t size)
{
    WebModel *web = calloc(1, sizeof *web);
    if (!web) {
        free(bytes);
        return NULL;
    }
    web->bytes = bytes;
    if (!mega_model_from_memory(&web->model, bytes, size, &web->err))
        mega_pipeline_new(&web->pipeline, web->model,
                          &(MegaPipelineOptions){.warn = report_warning}, &web->err);
    return web;
}

const char *web_error(const WebModel *web)
{
    return web->err.code ? web->err.text : "";
}

int web_rate(const WebModel *web)
{
    return mega_pipeline_rate(web->pipeline);
}

/* ---- Inputs --------------------------------------------------------------------------------- */

static MegaRaw sound_of(const float *samples, size_t count, int rate)
{
    return (MegaRaw){.kind = MEGA_RAW_PCM,
                     .data = samples,
                     .size = count * sizeof *samples,
                     .pcm = {MEGA_PCM_F32LE, rate, 1},
                     .name = "The recording"};
}

static MegaRaw picture_of(const uint8_t *pixels, int width, int height)
{
    return (MegaRaw){.kind = MEGA_RAW_PIXELS,
                     .data = pixels,
                     .size = (size_t)width * (size_t)height * 3,
                     .width = width,
                     .height = height,
                     .channels = 3,
                     .name = "The picture"};
}

static MegaRaw text_of(const char *text, size_t size)
{
    return (MegaRaw){.kind = MEGA_RAW_TEXT, .data = text, .size = size, .name = "The text"};
}

/* ---- Classes -------------------------------------------------------------------------------- */

static int classify(WebModel *web, const MegaRaw *input)
{
    MegaClassification found = {0};
    char number[16];
    int code = mega_pipeline_classify(web->pipeline, input, 1, &found, &web->err);
    for (int i = 0; i < found.count && !code; i++)
        page_label(class_name(web->model, found.order[i], number),
                   (double)found.probabilities[found.order[i]]);
    mega_classification_free(&found);
    return code;
}

int web_classify_sound(WebModel *web, const float *samples, size_t count, int rate)
{
    const MegaRaw sound = sound_of(samples, count, rate);
    return classify(web, &sound);
}

int web_classify_picture(WebModel *web, const uint8_t *pixels, int width, int height)
{
    const MegaRaw picture = picture_of(pixels, width, height);
    return classify(web, &picture);
}

/* ---- Hearing -------------------------------------------------------------------------------- */

static void tell_event(void *context, EventMoment moment, const Event *event)
{
    const WebModel *web = context;
    char number[16];
    page_event(moment == EVENT_ENDS, class_name(web->model, event->label, number), event->start,
               event->end, event->probability);
}

static int begin_hearing(WebModel *web, int rate)
{
    const int classes = mega_model_class_count(web->model);
    int code = events_new(&web->events, classes, THRESHOLD, SMOOTH, &web->err);
    for (int i = 0; i < classes && !code; i++)
        if (is_background(mega_model_label(web->model, i)))
            events_ignore(web->events, i);
    web->rate = rate;
    web->start = 0;
    web->has_window = false;
    web->samples.size = 0;
    return code;
}

/* Returns how many samples a window has: a clip, or a second for a model that takes any length. */
static size_t window_of(const WebModel *web)
{
    const double clip = mega_pipeline_clip(web->pipeline);
    return (size_t)((clip > 0 ? clip : 1) * web->rate + 0.5);
}

/* Classifies the first `count` samples as one window. */
static int hear_window(WebModel *web, size_t count)
{
    MegaClassification found = {0};
    const MegaRaw window = sound_of((const float *)(const void *)web->samples.data, count,
                                    web->rate);
    int code = mega_pipeline_classify(web->pipeline, &window, 1, &found, &web->err);
    if (!code)
        events_add(web->events, found.probabilities, web->start,
                   web->start + (double)count / web->rate, tell_event, web);
    web->has_window = true;
    mega_classification_free(&found);
    return code;
}

int web_hear(WebModel *web, const float *samples, size_t count, int rate)
{
    int code = web->events ? 0 : begin_hearing(web, rate);
    const size_t window = window_of(web);
    const size_t hop = window / PARTS, size = sizeof *samples;
    if (!code)
        mega_put_bytes(&web->samples, samples, count * size);
    if (!code && web->samples.failed)
        code = mega_fail(&web->err, MEGA_ERR_MEMORY, "no memory for the recording");
    while (!code && web->samples.size >= window * size) {
        code = hear_window(web, window);
        web->start += (double)hop / web->rate;
        web->samples.size -= hop * size;
        memmove(web->samples.data, web->samples.data + hop * size, web->samples.size);
    }
    return code;
}

int web_hear_end(WebModel *web)
{
    if (!web->events)
        return 0;
    const size_t window = window_of(web);
    const size_t count = web->samples.size / sizeof(float);
    /* the last window reached what is left but for these samples */
    const size_t seen = web->has_window ? window - window / PARTS : 0;
    const int code = count > seen ? hear_window(web, count) : 0;
    events_finish(web->events, tell_event, web);
    events_free(web->events);
    web->events = NULL;
    return code;
}

void web_spectrum(const float *x, size_t n, float *power)
{
    power_spectrum(x, n, power);
}

/* ---- Texts ---------------------------------------------------------------------------------- */

int web_translate(WebModel *web, const char *text, size_t size)
{
    const MegaRaw source = text_of(text, size);
    MegaTranslation found = {0};
    int code = mega_pipeline_translate(web->pipeline, &source, 1, NULL, &found, &web->err);
    if (!code && found.count > 0) {
        page_text(found.hypotheses[0].text, found.hypotheses[0].text_size);
        page_score(found.hypotheses[0].score);
    }
    mega_translation_free(&found);
    return code;
}

static bool tell_text(void *context, int sample, int32_t token, const char *bytes, size_t size)
{
    (void)context;
    (void)sample;
    (void)token;
    if (size)
        page_text(bytes, size);
    return true;
}

int web_generate(WebModel *web, const char *prompt, size_t size, int max_tokens,
                          double temperature, uint32_t seed)
{
    const MegaRaw beginning = text_of(prompt, size);
    MegaGenerateOptions options = mega_generate_defaults();
    options.max_tokens = max_tokens;
    options.sampling.temperature = temperature;
    options.sampling.seed = seed;
    options.sink = tell_text;
    return mega_pipeline_generate(web->pipeline, &beginning, &options, NULL, &web->err);
}

/* ---- Pictures of explain -------------------------------------------------------------------- */

/* Draws with a session of its own, since that of the pipeline should not go on to make attention
 * weights. */
static int explain(WebModel *web, const MegaRaw *input)
{
    const ExplainOptions options = {.model = ""};
    MegaSession *session = NULL;
    int code = observe_check(web->model, &web->err);
    if (!code)
        code = mega_session_new(&session, web->model, NULL, &web->err);
    if (!code && input->kind == MEGA_RAW_TEXT)
        code = explain_translator(&options, web->model, session, input->data, input->size,
                                  &web->err);
    else if (!code)
        code = explain_classifier(&options, web->model, session, input, 1, &web->err);
    mega_session_free(session);
    return code;
}

int web_explain_sound(WebModel *web, const float *samples, size_t count, int rate)
{
    const MegaRaw sound = sound_of(samples, count, rate);
    return explain(web, &sound);
}

int web_explain_picture(WebModel *web, const uint8_t *pixels, int width, int height)
{
    const MegaRaw picture = picture_of(pixels, width, height);
    return explain(web, &picture);
}

int web_explain_translation(WebModel *web, const char *text, size_t size)
{
    const MegaRaw source = text_of(text, size);
    return explain(web, &source);
}

int web_explain_reading(WebModel *web, const char *text, size_t size)
{
    const ExplainOptions options = {.model = ""};
    int code = observe_check(web->model, &web->err);
    return code ? code
                : explain_reader(&options, web->model, web->pipeline, text, size, NULL, &web->err);
}
