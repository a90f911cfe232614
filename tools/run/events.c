/*
 * events.c - see events.h. mega-run classify passes predictions through it before output.
 */
#include "tools/run/events.h"

#include <stdlib.h>
#include <string.h>

struct Events {
    int classes, smooth;
    double threshold;
    float *history;  /* [smooth][classes], a ring of the last windows */
    int count, next; /* number of windows in the ring, and the place of the next one */
    bool *ignored;   /* [classes] */
    bool *lasting;   /* [classes]: whether an event of the class is open */
    Event *current;  /* [classes]: the open events */
};

int events_new(Events **out, int classes, double threshold, int smooth, MegaError *err)
{
    const size_t n = (size_t)classes;
    Events *events = calloc(1, sizeof *events);
    *out = events;
    if (events) {
        events->classes = classes;
        events->smooth = smooth;
        events->threshold = threshold;
        events->history = calloc(n * (size_t)smooth, sizeof *events->history);
        events->ignored = calloc(n, sizeof *events->ignored);
        events->lasting = calloc(n, sizeof *events->lasting);
        events->current = calloc(n, sizeof *events->current);
    }
    if (events && events->history && events->ignored && events->lasting && events->current)
        return 0;
    events_free(events);
    *out = NULL;
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the events of %d classes", classes);
}

void events_free(Events *events)
{
    if (!events)
        return;
    free(events->history);
    free(events->ignored);
    free(events->lasting);
    free(events->current);
    free(events);
}

void events_ignore(Events *events, int label)
{
    events->ignored[label] = true;
}

/* Returns the mean over the ring. It is summed afresh each time, since a running sum would drift on
 * endless streams. */
static double average(const Events *events, int label)
{
    double sum = 0;
    for (int i = 0; i < events->count; i++)
        sum += (double)events->history[(size_t)i * (size_t)events->classes + (size_t)label];
    return sum / events->count;
}

static int largest(const Events *events)
{
    int best = 0;
    double most = average(events, 0);
    for (int i = 1; i < events->classes; i++) {
        const double mean = average(events, i);
        if (mean > most) {
            best = i;
            most = mean;
        }
    }
    return best;
}

static void end_event(Events *events, int label, EventSink sink, void *context)
{
    events->lasting[label] = false;
    sink(context, EVENT_ENDS, &events->current[label]);
}

/* Continues or ends an open event; `best` is the class with the largest average now. */
static void continue_event(Events *events, int label, int best, double end, EventSink sink,
                           void *context)
{
    Event *event = &events->current[label];
    const double mean = average(events, label);
    if (mean < events->threshold / 2 || (mean < events->threshold && label != best)) {
        end_event(events, label, sink, context);
        return;
    }
    event->end = end;
    if (mean > event->probability)
        event->probability = mean;
}

void events_add(Events *events, const float *probabilities, double start, double end,
                EventSink sink, void *context)
{
    const size_t n = (size_t)events->classes;
    memcpy(events->history + (size_t)events->next * n, probabilities, n * sizeof *probabilities);
    events->next = (events->next + 1) % events->smooth;
    if (events->count < events->smooth)
        events->count++;
    const int best = largest(events);
    for (int i = 0; i < events->classes; i++)
        if (events->lasting[i])
            continue_event(events, i, best, end, sink, context);
    const double mean = average(events, best);
    if (mean < events->threshold || events->lasting[best] || events->ignored[best])
        return;
    events->lasting[best] = true;
    events->current[best] = (Event){best, start, end, mean};
    sink(context, EVENT_BEGINS, &events->current[best]);
}

void events_finish(Events *events, EventSink sink, void *context)
{
    for (int i = 0; i < events->classes; i++)
        if (events->lasting[i])
            end_event(events, i, sink, context);
    events->count = events->next = 0;
}
