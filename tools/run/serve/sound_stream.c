/*
 * sound_stream.c - see sound_stream.h.
 */
#define _GNU_SOURCE /* pipe2 */
#include "tools/run/serve/sound_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/run/results.h"
#include "tools/run/serve/classify.h"

#define THRESHOLD 0.5 /* for events, if the request has neither window nor threshold */
#define PARTS 4       /* windows per length of a clip, if it has no window */
#define STEP 200      /* milliseconds between two looks at whether the stream has ended */
#define NAME "the sound"

struct SoundStream {
    Server *server;
    SoundRequest asked;
    ClassifyFields fields;
    MegaPcm pcm;
    ServedModel *model;
    MegaPipeline *pipeline;
    Events *events; /* NULL: windows */
    int pipe[2];
    char path[32]; /* of the pipe */
    pthread_t thread;
    bool has_thread, has_head;
    atomic_bool has_ended; /* the thread has stopped reading */
    bool is_lost;          /* the client does not read */
};

/* ---- Sending -------------------------------------------------------------------------------- */

static void send_all(SoundStream *stream, const char *data, size_t size)
{
    const int milliseconds = (int)(1e3 * stream->server->options->timeout);
    while (size > 0 && !stream->is_lost) {
        const ssize_t sent = send(stream->asked.socket, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        struct pollfd socket = {.fd = stream->asked.socket, .events = POLLOUT};
        if (sent > 0) {
            data += sent;
            size -= (size_t)sent;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            stream->is_lost = poll(&socket, 1, milliseconds) <= 0;
        } else {
            stream->is_lost = errno != EINTR;
        }
    }
}

static void send_chunk(SoundStream *stream, const char *data, size_t size)
{
    char length[24];
    snprintf(length, sizeof length, "%zx\r\n", size);
    if (stream->asked.is_chunked)
        send_all(stream, length, strlen(length));
    send_all(stream, data, size);
    if (stream->asked.is_chunked)
        send_all(stream, "\r\n", 2);
}

static void send_head(SoundStream *stream)
{
    char head[1024];
    const char *origin = stream->asked.origin;
    const int size =
        snprintf(head, sizeof head,
                 "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
                 "X-Content-Type-Options: nosniff\r\n%s%.300s%sConnection: close\r\n%s\r\n",
                 origin ? "Access-Control-Allow-Origin: " : "", origin ? origin : "",
                 origin ? "\r\nVary: Origin\r\n" : "",
                 stream->asked.is_chunked ? "Transfer-Encoding: chunked\r\n" : "");
    stream->has_head = true;
    send_all(stream, head, (size_t)size);
}

/* Sends an event. */
static void send_json(SoundStream *stream, json_t *json)
{
    char *text = json_dumps(json, JSON_LINE);
    MegaBuffer event = {0};
    json_decref(json);
    mega_put_bytes(&event, "data: ", 6);
    mega_put_bytes(&event, text ? text : "{}", text ? strlen(text) : 2);
    mega_put_bytes(&event, "\n\n", 2);
    if (!event.failed)
        send_chunk(stream, (const char *)event.data, event.size);
    mega_buffer_free(&event);
    free(text);
}

/* ---- Hearing -------------------------------------------------------------------------------- */

static void take_event(void *context, EventMoment moment, const Event *event)
{
    SoundStream *stream = context;
    if (moment == EVENT_BEGINS)
        send_json(stream, event_json(stream->model->model, NAME, stream->model->id, event));
}

static void take_window(SoundStream *stream, const MegaClassification *found)
{
    const int top = stream->fields.top;
    if (stream->events)
        events_add(stream->events, found->probabilities, found->start, found->end, take_event,
                   stream);
    else
        send_json(stream, classification_json(stream->model->model, NAME, stream->model->id, found,
                                              top ? top : 1, true));
}

static void *hear(void *context)
{
    SoundStream *stream = context;
    const MegaRaw raw = {.kind = MEGA_RAW_PATH, .data = stream->path, .name = NAME};
    MegaClassification found;
    MegaError err = {0};
    int more = mega_pipeline_begin(stream->pipeline, &raw, 1, &err);
    for (more = more ? more : 1; more > 0 && !stream->is_lost;) {
        more = mega_pipeline_next(stream->pipeline, &found, &err);
        if (more > 0)
            take_window(stream, &found);
        mega_classification_free(&found);
    }
    atomic_store(&stream->has_ended, true);
    hide_path(&err, stream->path, NAME);
    if (more < 0)
        send_json(stream, json_pack("{s:o}", "error", json_error(&err)));
    send_chunk(stream, "data: [DONE]\n\n", 14);
    if (stream->asked.is_chunked)
        send_all(stream, "0\r\n\r\n", 5);
    return NULL;
}

bool sound_stream_take(SoundStream *stream, const void *data, size_t size)
{
    const char *at = data;
    struct pollfd end = {.fd = stream->pipe[1], .events = POLLOUT};
    if (!stream->has_head) {
        send_head(stream);
        stream->has_thread = pthread_create(&stream->thread, NULL, hear, stream) == 0;
        if (!stream->has_thread)
            return false;
    }
    while (size > 0) {
        if (atomic_load(&stream->has_ended) || atomic_load(&stream->server->is_stopping))
            return false;
        if (poll(&end, 1, STEP) <= 0)
            continue;
        const ssize_t written = write(stream->pipe[1], at, size);
        if (written < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        at += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

/* ---- Beginning and end ---------------------------------------------------------------------- */

static void free_stream(SoundStream *stream)
{
    for (int i = 0; i < 2; i++)
        if (stream->pipe[i] >= 0)
            close(stream->pipe[i]);
    events_free(stream->events);
    mega_pipeline_free(stream->pipeline);
    models_release(&stream->server->models, stream->model);
    request_free(stream->asked.request);
    free(stream->asked.request);
    atomic_fetch_sub(&stream->server->streams, 1);
    free(stream);
}

void sound_stream_end(SoundStream *stream)
{
    if (!stream->has_head)
        sound_stream_take(stream, NULL, 0);
    close(stream->pipe[1]);
    stream->pipe[1] = -1;
    if (stream->has_thread)
        pthread_join(stream->thread, NULL);
    free_stream(stream);
}

/* Makes a pipeline with the options that the fields ask for. Without a window it is a clip of the
 * model, with a quarter of it from one to the next. */
static int make_pipeline(SoundStream *stream, MegaError *err)
{
    MegaPipelineOptions options = stream->fields.pipeline;
    options.session = stream->server->options->session;
    options.media = mega_media();
    options.raw = &stream->pcm;
    int code = 0;
    if (options.window <= 0) {
        code = mega_pipeline_new(&stream->pipeline, stream->model->model, &options, err);
        options.window = code ? 0 : mega_pipeline_clip(stream->pipeline);
        options.hop = options.window / PARTS;
        mega_pipeline_free(stream->pipeline);
        stream->pipeline = NULL;
        if (!code && options.window <= 0)
            code = mega_fail(err, MEGA_ERR_ARGUMENT,
                             "the model takes recordings of any length: the field 'window' is "
                             "missing");
    }
    return code ? code : mega_pipeline_new(&stream->pipeline, stream->model->model, &options, err);
}

static int make_events(SoundStream *stream, MegaError *err)
{
    ClassifyFields *fields = &stream->fields;
    const MegaModel *model = stream->model->model;
    const bool is_usual = fields->threshold <= 0 && fields->pipeline.window <= 0 && !fields->top;
    if (is_usual)
        fields->threshold = THRESHOLD;
    if (fields->threshold <= 0)
        return 0;
    int code = classify_events_new(&stream->events, model, fields, err);
    for (int i = 0; !code && is_usual && i < mega_model_class_count(model); i++)
        if (is_background(mega_model_label(model, i)))
            events_ignore(stream->events, i);
    return code;
}

static int prepare(SoundStream *stream, int *status, MegaError *err)
{
    static const MegaContentKind sound = MEGA_CONTENT_SOUND;
    FieldText text = {0}, pair = {0};
    ClassifyFields *fields = &stream->fields;
    stream->pcm = stream->asked.request->pcm;
    int code = classify_fields_take(fields, stream->asked.request->fields, &text, &pair,
                                    &stream->pcm, err);
    if (!code && (text.data || pair.data))
        code = mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a stream is sound: the field 'text' does not go "
                         "with it");
    if (!code && !stream->pcm.rate)
        code = mega_fail(err, MEGA_ERR_ARGUMENT,
                         "the format of the samples is missing: the field 'raw', such as "
                         "raw=s16le:16000:1, or the content type audio/L16");
    if (!code) {
        stream->model = models_take(&stream->server->models, fields->model.data, classifies, &sound,
                                    "to classify sound", err);
        code = stream->model ? 0 : err->code;
        *status = code == MEGA_ERR_ARGUMENT ? 404 : code ? 400 : 0;
    }
    if (!code)
        code = make_events(stream, err);
    if (!code)
        code = make_pipeline(stream, err);
    if (!code && pipe2(stream->pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        code = mega_fail(err, MEGA_ERR_IO, "cannot make a pipe: %s", strerror(errno));
    if (!code)
        snprintf(stream->path, sizeof stream->path, "/proc/self/fd/%d", stream->pipe[0]);
    return code;
}

SoundStream *sound_stream_begin(Server *server, const SoundRequest *asked, Answer *answer)
{
    MegaError err = {0};
    int status = 0;
    if (atomic_fetch_add(&server->streams, 1) >= server->options->streams) {
        atomic_fetch_sub(&server->streams, 1);
        mega_fail(&err, MEGA_ERR_LIMIT, "%d streams of sound run already; try again later",
                  server->options->streams);
        answer->retry_after = 1;
        answer_error(answer, 429, &err);
        request_free(asked->request);
        free(asked->request);
        return NULL;
    }
    SoundStream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        atomic_fetch_sub(&server->streams, 1);
        mega_fail(&err, MEGA_ERR_MEMORY, "no memory for a stream");
        answer_error(answer, 0, &err);
        request_free(asked->request);
        free(asked->request);
        return NULL;
    }
    *stream = (SoundStream){.server = server, .asked = *asked, .pipe = {-1, -1}};
    if (prepare(stream, &status, &err)) {
        answer_error(answer, status, &err);
        free_stream(stream);
        return NULL;
    }
    return stream;
}
