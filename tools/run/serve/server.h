/*
 * server.h - mega-run serve as a whole: models, queue, workers, and the HTTP side.
 */
#ifndef MEGA_SERVER_H
#define MEGA_SERVER_H

#include "tools/run/serve/guard.h"
#include "tools/run/serve/metrics.h"
#include "tools/run/serve/models.h"
#include "tools/run/serve/queue.h"
#include "tools/run/serve/worker.h"

#define SERVE_MAX_NAMES 64 /* most models, and most origins, that may be named */

typedef struct ServeOptions {
    const char *models[SERVE_MAX_NAMES], *origins[SERVE_MAX_NAMES];
    int model_count, origin_count;
    const char *host, *key_file;
    int port; /* 0: any that is free */
    bool no_key, verbose, quiet;
    uint64_t max_body;
    int parallel, queue, batch, streams;
    double timeout; /* seconds */
    MegaSessionOptions session;
} ServeOptions;

typedef struct Server {
    const ServeOptions *options;
    Guard guard;
    Models models;
    Metrics metrics;
    Queue queue;
    Workers workers;
    atomic_bool is_stopping;  /* new requests are refused */
    atomic_int streams;       /* sound streams that run */
    atomic_ullong body_bytes; /* bytes of request bodies that are in memory */
    atomic_ullong value_bytes; /* bytes that the values of JSON among them take, as estimated */
} Server;

/* Serves until a signal ends it. Returns the exit status. */
int serve(const ServeOptions *options);

#endif
