/*
 * routes.c - the table of routes, and how they answer; see answer.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/json.h"
#include "tools/run/serve/answer.h"
#include "tools/run/serve/operations.h"

#define WAIT_STEP 0.1 /* seconds after which a client that has left is noticed */

/* ---- Answers -------------------------------------------------------------------------------- */

int status_of_error(int code)
{
    switch (code) {
    case MEGA_ERR_ARGUMENT:
    case MEGA_ERR_FORMAT: return 400;
    case MEGA_ERR_INPUT: return 422;
    case MEGA_ERR_LIMIT: return 413;
    case MEGA_ERR_UNSUPPORTED: return 415;
    case MEGA_ERR_MEMORY: return 503;
    default: return 500;
    }
}

void answer_json(Answer *answer, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_LINE | JSON_ENCODE_ANY) : NULL;
    json_decref(json);
    answer->type = "application/json";
    mega_buffer_free(&answer->text);
    if (!text) {
        static const char no_memory[] =
            "{\"error\":{\"code\":\"MEGA_ERR_MEMORY\",\"message\":\"no memory for the answer\"}}";
        answer->status = 503;
        mega_put_bytes(&answer->text, no_memory, sizeof no_memory - 1);
    } else {
        const size_t size = strlen(text);
        answer->text = (MegaBuffer){.data = (uint8_t *)text, .size = size, .capacity = size + 1};
    }
    mega_put_u8(&answer->text, '\n');
}

void answer_error(Answer *answer, int status, const MegaError *err)
{
    answer->status = status ? status : status_of_error(err->code);
    answer_json(answer, json_pack("{s:o}", "error", json_error(err)));
}

/* ---- GET ------------------------------------------------------------------------------------ */

static void get_health(Server *server, const char *name, Answer *answer)
{
    const bool stopping = atomic_load(&server->is_stopping);
    (void)name;
    answer->status = stopping ? 503 : 200;
    answer_json(answer, json_pack("{s:s}", "status", stopping ? "stopping" : "ok"));
}

static void get_models(Server *server, const char *name, Answer *answer)
{
    json_t *json = name ? model_json(&server->models, name) : models_json(&server->models);
    MegaError err = {0};
    answer->status = 200;
    if (json) {
        answer_json(answer, json);
        return;
    }
    mega_fail(&err, MEGA_ERR_ARGUMENT, "there is no model '%.60s' here", name ? name : "");
    answer_error(answer, 404, &err);
}

static double resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return 0;
    if (fscanf(file, "%*u %llu", &pages) != 1)
        pages = 0;
    fclose(file);
    return (double)pages * 4096;
}

static void get_metrics(Server *server, const char *name, Answer *answer)
{
    size_t waiting, running;
    MegaBuffer *out = &answer->text;
    (void)name;
    queue_count(&server->queue, &waiting, &running);
    metrics_write(&server->metrics, out);
    metrics_gauge(out, "mega_queue_requests", "Requests that wait.", (double)waiting);
    metrics_gauge(out, "mega_queue_limit", "Requests that may wait.", (double)server->queue.limit);
    metrics_gauge(out, "mega_running_requests", "Requests that run.", (double)running);
    metrics_gauge(out, "mega_running_streams", "Streams of sound that run.",
                  atomic_load(&server->streams));
    metrics_gauge(out, "mega_body_bytes", "Bytes of request bodies in memory.",
                  (double)atomic_load(&server->body_bytes));
    metrics_gauge(out, "mega_models", "Models that are loaded.", (double)server->models.count);
    metrics_gauge(out, "process_resident_memory_bytes", "Resident memory of the process.",
                  resident_bytes());
    answer->status = 200;
    answer->type = "text/plain; version=0.0.4; charset=utf-8";
}

static void get_page(Server *server, const char *name, Answer *answer)
{
    (void)server;
    (void)name;
    mega_put_bytes(&answer->text, serve_page, serve_page_size);
    answer->status = 200;
    answer->type = "text/html; charset=utf-8";
}

/* ---- Routes --------------------------------------------------------------------------------- */

static const Route routes[] = {
    {"/", "GET", NULL, get_page, true},
    {"/health", "GET", NULL, get_health, true},
    {"/metrics", "GET", NULL, get_metrics, false},
    {"/v1/models", "GET", NULL, get_models, false},
    {"/v1/models/", "GET", NULL, get_models, false},
    {"/v1/classify", "POST", &classify_operation, NULL, false},
    {"/v1/translate", "POST", &translate_operation, NULL, false},
    {"/v1/completions", "POST", &complete_operation, NULL, false},
    {"/v1/embeddings", "POST", &embed_operation, NULL, false},
    {"/v1/tokenize", "POST", &tokenize_operation, NULL, false},
    {"/v1/fill", "POST", &fill_operation, NULL, false},
    {"/v1/tag", "POST", &tag_operation, NULL, false},
    {"/v1/answer", "POST", &answer_operation, NULL, false},
    {"/v1/choose", "POST", &choose_operation, NULL, false},
};

static bool leads_to(const Route *route, const char *path)
{
    const size_t length = strlen(route->path);
    if (length > 1 && route->path[length - 1] == '/')
        return strncmp(path, route->path, length) == 0 && path[length];
    return strcmp(path, route->path) == 0;
}

const Route *route_find(const char *path, const char *method, Answer *answer)
{
    const Route *found = NULL;
    MegaError err = {0};
    for (size_t i = 0; i < sizeof routes / sizeof routes[0] && !found; i++)
        if (leads_to(&routes[i], path))
            found = &routes[i];
    const bool is_get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (found && strcmp(found->method, is_get ? "GET" : method) == 0)
        return found;
    if (found) {
        answer->allow = found->get ? "GET, HEAD" : "POST";
        mega_fail(&err, MEGA_ERR_ARGUMENT, "%s takes %s, not %.20s", found->path, answer->allow,
                  method);
        answer_error(answer, 405, &err);
    } else {
        mega_fail(&err, MEGA_ERR_ARGUMENT, "there is nothing at %.200s", path);
        answer_error(answer, 404, &err);
    }
    return NULL;
}

/* ---- Jobs ----------------------------------------------------------------------------------- */

static void answer_full(Server *server, Answer *answer)
{
    MegaError err = {0};
    mega_fail(&err, MEGA_ERR_LIMIT, "%d requests wait already; try again later",
              server->options->queue);
    answer->retry_after = 1;
    answer_error(answer, 429, &err);
}

/* Makes the answer of a job that is done. */
static void collect(Server *server, Job *job, Answer *answer)
{
    int code = job->err.code;
    if (!code && job->operation->collect)
        code = job->operation->collect(job, &job->err);
    metrics_tokens(&server->metrics, atomic_load(&job->tokens_read),
                   atomic_load(&job->tokens_made));
    if (code) {
        answer_error(answer, job->status, &job->err);
        return;
    }
    answer->status = 200;
    if (!job->text.data) {
        answer_json(answer, json_incref(job->answer));
        return;
    }
    answer->type = "application/json";
    answer->text = job->text;
    job->text = (MegaBuffer){0};
}

void answer_job(Server *server, Job *job, bool (*is_gone)(void *context), void *context,
                Answer *answer)
{
    if (!queue_add(&server->queue, job)) {
        answer_full(server, answer);
        queue_release(&server->queue, job, false);
        return;
    }
    while (!queue_wait(&server->queue, job, WAIT_STEP))
        if (is_gone(context)) {
            metrics_abandoned(&server->metrics);
            queue_release(&server->queue, job, true);
            answer->status = 499;
            return;
        }
    if (job->streams && !queue_failed(&server->queue, job)) {
        answer->status = 200;
        answer->type = "text/event-stream";
        answer->stream = job;
        return;
    }
    collect(server, job, answer);
    queue_release(&server->queue, job, false);
}
