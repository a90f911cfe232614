/*
 * events.h - from the probabilities of one window after the other to events: what was heard, once.
 *
 * The probabilities of each class are averaged over the last `smooth` windows, over fewer at the
 * beginning of a recording. An event of a class begins with the window in which that average is the
 * largest of all and reaches the threshold. It ends when the average falls below half of the
 * threshold, or below the threshold while another class (silence between two words) has a larger
 * one. A word that fills several windows is therefore one event, and so is one whose probability
 * flickers around the threshold. Memory does not grow with the number of windows.
 */
#ifndef MEGA_EVENTS_H
#define MEGA_EVENTS_H

#include "src/mega.h"

#define EVENTS_MAX_SMOOTH 1000

typedef struct Event {
    int label;
    double start, end; /* seconds: where the window begins in which the event began, and where the
                          latest one ends */
    double probability; /* highest average so far */
} Event;

/* What is told of an event: that it begins, and at its end once more. */
typedef enum EventMoment { EVENT_BEGINS, EVENT_ENDS } EventMoment;
typedef void (*EventSink)(void *context, EventMoment moment, const Event *event);

typedef struct Events Events;

/* classes > 0; 0 < threshold <= 1; 1 <= smooth <= EVENTS_MAX_SMOOTH. */
int events_new(Events **out, int classes, double threshold, int smooth, MegaError *err);
void events_free(Events *events);
/* A class that has no events, such as silence; it still keeps others from being the largest. */
void events_ignore(Events *events, int label);

/* The next window, from start to end seconds. probabilities: [classes]. */
void events_add(Events *events, const float *probabilities, double start, double end,
                EventSink sink, void *context);
/* The recording is over: events that last end now, and the next window begins another one. */
void events_finish(Events *events, EventSink sink, void *context);

#endif
