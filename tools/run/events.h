/*
 * events.h - turns the probabilities of consecutive windows into events, so that each sound is
 * reported once.
 *
 * The probabilities of each class are averaged over the last `smooth` windows, or over fewer at the
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
    double start, end; /* seconds at which the event's first window begins and its last one ends */
    double probability; /* the highest average so far */
} Event;

/* An event is reported when it begins and again when it ends. */
typedef enum EventMoment { EVENT_BEGINS, EVENT_ENDS } EventMoment;
typedef void (*EventSink)(void *context, EventMoment moment, const Event *event);

typedef struct Events Events;

/* Requires classes > 0, 0 < threshold <= 1 and 1 <= smooth <= EVENTS_MAX_SMOOTH. */
int events_new(Events **out, int classes, double threshold, int smooth, MegaError *err);
void events_free(Events *events);
/* Marks a class, such as silence, that makes no events. Its average may still be the largest, which
 * prevents events of other classes. */
void events_ignore(Events *events, int label);

/* Adds the next window, from `start` to `end` seconds; probabilities is [classes]. */
void events_add(Events *events, const float *probabilities, double start, double end,
                EventSink sink, void *context);
/* Ends the recording: events that are still open end now, and the next window begins another
 * one. */
void events_finish(Events *events, EventSink sink, void *context);

#endif
