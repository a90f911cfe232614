/*
 * metrics.h - counts what a server does, and writes it in the text format of Prometheus.
 */
#ifndef MEGA_METRICS_H
#define MEGA_METRICS_H

#include <pthread.h>

#include "formats/base/bytes.h"

#define METRICS_MAX_ROUTES 24
#define METRICS_MAX_STATUSES 24
#define METRICS_BUCKETS 14

/* A histogram: the number of values in each bucket, and the sum of all. */
typedef struct Histogram {
    uint64_t counts[METRICS_BUCKETS + 1]; /* the last one: larger than every bound */
    double sum;
} Histogram;

typedef struct RouteMetrics {
    const char *route;
    int statuses[METRICS_MAX_STATUSES]; /* 0 after the last one */
    uint64_t requests[METRICS_MAX_STATUSES];
    Histogram seconds;
} RouteMetrics;

typedef struct Metrics {
    pthread_mutex_t lock;
    RouteMetrics routes[METRICS_MAX_ROUTES];
    size_t route_count;
    uint64_t tokens_read, tokens_made, abandoned, reloads;
    Histogram batches;
} Metrics;

void metrics_begin(Metrics *metrics);
void metrics_end(Metrics *metrics);

/* Counts an answer. `route` is a constant, so that what clients ask for cannot add lines. */
void metrics_answer(Metrics *metrics, const char *route, int status, double seconds);
void metrics_tokens(Metrics *metrics, uint64_t read, uint64_t made);
void metrics_batch(Metrics *metrics, size_t inputs);
void metrics_abandoned(Metrics *metrics);
void metrics_reloads(Metrics *metrics, int models);

/* Appends a gauge with its help text. */
void metrics_gauge(MegaBuffer *out, const char *name, const char *help, double value);
/* Appends everything that was counted. */
void metrics_write(Metrics *metrics, MegaBuffer *out);

#endif
