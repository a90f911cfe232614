/*
 * server.c - see server.h: starts the parts, waits for signals, ends the parts.
 *
 * SIGTERM and SIGINT: nothing new is taken; what waits and runs is finished. A second one ends
 * that, too. SIGHUP: models whose files have changed are loaded anew.
 */
#include "tools/run/serve/server.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "tools/common/messages.h"
#include "tools/common/progress.h"
#include "tools/run/serve/http.h"
#include "tools/run/serve/mhd.h"

#define LOOK_STEP 20 /* milliseconds between two looks at whether all is done */
#define HEAP_ARENAS 2
#define HEAP_BLOCK (256 << 10) /* bytes */

/* The signals that the server waits for. All threads block them. */
static sigset_t signals_of_server(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

static void reload(Server *server)
{
    const int count = models_reload(&server->models);
    metrics_reloads(&server->metrics, count);
    queue_nudge(&server->queue); /* workers then let go of models that were replaced */
}

static bool has_work(Server *server, Http *http)
{
    size_t waiting, running;
    queue_count(&server->queue, &waiting, &running);
    return waiting || running || http_busy(http);
}

/* Waits until everything is answered, a second signal comes, or clients that only listen have had
 * their time. */
static void drain(Server *server, Http *http, const sigset_t *set)
{
    const struct timespec step = {.tv_nsec = LOOK_STEP * 1000000L};
    double idle = clock_seconds();
    while (has_work(server, http)) {
        size_t waiting, running;
        queue_count(&server->queue, &waiting, &running);
        if (waiting || running)
            idle = clock_seconds();
        const int number = sigtimedwait(set, NULL, &step);
        if (number == SIGTERM || number == SIGINT ||
            clock_seconds() - idle > server->options->timeout)
            return;
    }
}

static void run(Server *server, Http *http)
{
    const sigset_t set = signals_of_server();
    int number = 0;
    while (number != SIGTERM && number != SIGINT) {
        number = sigwaitinfo(&set, NULL);
        if (number == SIGHUP)
            reload(server);
    }
    atomic_store(&server->is_stopping, true);
    http_refuse(http);
    if (!server->options->quiet)
        report("stopping: what runs is finished");
    drain(server, http, &set);
}

static void announce(const Server *server, int port)
{
    const bool is_ipv6 = strchr(server->options->host, ':') != NULL;
    if (!server->options->quiet)
        report("%zu model%s at http://%s%s%s:%d", server->models.count,
               server->models.count == 1 ? "" : "s", is_ipv6 ? "[" : "", server->options->host,
               is_ipv6 ? "]" : "", port);
}

/* Allows as many open files as the system does: each connection has one, and so has each file of a
 * request. */
static void allow_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Keeps the heap of a process that runs for months from growing by fragments: few arenas, and large
 * blocks that go back to the system when they are freed, whatever was freed before. */
static void bound_heap(void)
{
#ifdef M_ARENA_MAX
    mallopt(M_ARENA_MAX, HEAP_ARENAS);
    mallopt(M_MMAP_THRESHOLD, HEAP_BLOCK);
    mallopt(M_TRIM_THRESHOLD, HEAP_BLOCK);
#endif
}

static int begin_guard(Guard *guard, const ServeOptions *options, MegaError *err)
{
    *guard = (Guard){.host = options->host,
                     .is_loopback = guard_is_loopback(options->host),
                     .origins = options->origins,
                     .origin_count = options->origin_count};
    return options->key_file ? guard_read_keys(guard, options->key_file, err) : 0;
}

int serve(const ServeOptions *options)
{
    Server server = {.options = options};
    MegaError err = {0};
    Http *http = NULL;
    int port = 0;
    const sigset_t set = signals_of_server();
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    allow_files();
    bound_heap();
    metrics_begin(&server.metrics);
    queue_begin(&server.queue, (size_t)options->queue, (size_t)options->batch);
    server.workers = (Workers){.queue = &server.queue,
                               .models = &server.models,
                               .metrics = &server.metrics,
                               .session = options->session,
                               .wanted = options->parallel};
    int code = mhd_load(&err);
    if (!code)
        code = begin_guard(&server.guard, options, &err);
    if (!code)
        code = models_open(&server.models, options->models, options->model_count,
                           options->session.max_memory, &err);
    if (!code)
        code = workers_begin(&server.workers, &err);
    if (!code)
        code = http_begin(&http, &server, &port, &err);
    if (code) {
        report("%s", err.text);
    } else {
        announce(&server, port);
        run(&server, http);
    }
    queue_close(&server.queue);
    http_end(http);
    workers_end(&server.workers);
    models_close(&server.models);
    queue_end(&server.queue);
    metrics_end(&server.metrics);
    guard_free(&server.guard);
    return code ? 1 : 0;
}
