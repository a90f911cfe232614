/*
 * metrics.c - see metrics.h.
 */
#include "tools/run/serve/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "src/mega.h"

static const double second_bounds[METRICS_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                      0.25,  0.5,    1,     2.5,  5,     10,   30};
static const double batch_bounds[METRICS_BUCKETS] = {1,  2,  3,  4,  6,  8,   12,
                                                     16, 24, 32, 48, 64, 128, 256};

void metrics_begin(Metrics *metrics)
{
    *metrics = (Metrics){0};
    pthread_mutex_init(&metrics->lock, NULL);
}

void metrics_end(Metrics *metrics)
{
    pthread_mutex_destroy(&metrics->lock);
}

/* ---- Counting ------------------------------------------------------------------------------- */

static void add(Histogram *histogram, const double *bounds, double value)
{
    int i = 0;
    while (i < METRICS_BUCKETS && value > bounds[i])
        i++;
    histogram->counts[i]++;
    histogram->sum += value;
}

void metrics_answer(Metrics *metrics, const char *route, int status, double seconds)
{
    pthread_mutex_lock(&metrics->lock);
    size_t i = 0;
    while (i < metrics->route_count && strcmp(metrics->routes[i].route, route) != 0)
        i++;
    if (i == metrics->route_count && i < METRICS_MAX_ROUTES)
        metrics->routes[metrics->route_count++].route = route;
    if (i < METRICS_MAX_ROUTES) {
        RouteMetrics *counted = &metrics->routes[i];
        int s = 0;
        while (s < METRICS_MAX_STATUSES - 1 && counted->statuses[s] &&
               counted->statuses[s] != status)
            s++;
        counted->statuses[s] = status;
        counted->requests[s]++;
        add(&counted->seconds, second_bounds, seconds);
    }
    pthread_mutex_unlock(&metrics->lock);
}

void metrics_tokens(Metrics *metrics, uint64_t read, uint64_t made)
{
    pthread_mutex_lock(&metrics->lock);
    metrics->tokens_read += read;
    metrics->tokens_made += made;
    pthread_mutex_unlock(&metrics->lock);
}

void metrics_batch(Metrics *metrics, size_t inputs)
{
    pthread_mutex_lock(&metrics->lock);
    add(&metrics->batches, batch_bounds, (double)inputs);
    pthread_mutex_unlock(&metrics->lock);
}

void metrics_abandoned(Metrics *metrics)
{
    pthread_mutex_lock(&metrics->lock);
    metrics->abandoned++;
    pthread_mutex_unlock(&metrics->lock);
}

void metrics_reloads(Metrics *metrics, int models)
{
    pthread_mutex_lock(&metrics->lock);
    metrics->reloads += (uint64_t)models;
    pthread_mutex_unlock(&metrics->lock);
}

/* ---- Writing -------------------------------------------------------------------------------- */

static void put(MegaBuffer *out, const char *format, ...) MEGA_PRINTF(2, 3);

static void put(MegaBuffer *out, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    const int size = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    mega_put_bytes(out, line, size < (int)sizeof line ? (size_t)size : sizeof line - 1);
}

static void put_head(MegaBuffer *out, const char *name, const char *type, const char *help)
{
    put(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_counter(MegaBuffer *out, const char *name, const char *help, uint64_t value)
{
    put_head(out, name, "counter", help);
    put(out, "%s %" PRIu64 "\n", name, value);
}

void metrics_gauge(MegaBuffer *out, const char *name, const char *help, double value)
{
    put_head(out, name, "gauge", help);
    put(out, "%s %.17g\n", name, value);
}

/* Writes the lines of a histogram; `label` is such as 'route="/v1/fill"', or empty. */
static void put_histogram(MegaBuffer *out, const char *name, const char *label,
                          const Histogram *histogram, const double *bounds)
{
    const char *comma = *label ? "," : "", *open = *label ? "{" : "", *close = *label ? "}" : "";
    uint64_t count = 0;
    for (int i = 0; i < METRICS_BUCKETS; i++) {
        count += histogram->counts[i];
        put(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, label, comma, bounds[i], count);
    }
    count += histogram->counts[METRICS_BUCKETS];
    put(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, label, comma, count);
    put(out, "%s_sum%s%s%s %.9g\n", name, open, label, close, histogram->sum);
    put(out, "%s_count%s%s%s %" PRIu64 "\n", name, open, label, close, count);
}

static void put_routes(const Metrics *metrics, MegaBuffer *out)
{
    char label[128];
    put_head(out, "mega_requests_total", "counter", "Requests that were answered.");
    for (size_t i = 0; i < metrics->route_count; i++) {
        const RouteMetrics *route = &metrics->routes[i];
        for (int s = 0; s < METRICS_MAX_STATUSES && route->statuses[s]; s++)
            put(out, "mega_requests_total{route=\"%s\",status=\"%d\"} %" PRIu64 "\n", route->route,
                route->statuses[s], route->requests[s]);
    }
    put_head(out, "mega_request_seconds", "histogram",
             "Seconds from the head of a request to its answer.");
    for (size_t i = 0; i < metrics->route_count; i++) {
        snprintf(label, sizeof label, "route=\"%s\"", metrics->routes[i].route);
        put_histogram(out, "mega_request_seconds", label, &metrics->routes[i].seconds,
                      second_bounds);
    }
}

void metrics_write(Metrics *metrics, MegaBuffer *out)
{
    pthread_mutex_lock(&metrics->lock);
    put_routes(metrics, out);
    put_counter(out, "mega_requests_abandoned_total",
                "Requests whose client left before the answer.", metrics->abandoned);
    put_counter(out, "mega_model_reloads_total", "Models that were loaded anew.", metrics->reloads);
    put_head(out, "mega_tokens_total", "counter", "Tokens that models read and made.");
    put(out, "mega_tokens_total{kind=\"read\"} %" PRIu64 "\n", metrics->tokens_read);
    put(out, "mega_tokens_total{kind=\"made\"} %" PRIu64 "\n", metrics->tokens_made);
    put_head(out, "mega_batch_inputs", "histogram", "Inputs that were run together.");
    put_histogram(out, "mega_batch_inputs", "", &metrics->batches, batch_bounds);
    pthread_mutex_unlock(&metrics->lock);
}
