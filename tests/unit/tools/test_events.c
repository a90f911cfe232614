/*
 * test_events.c - turns windows into events (tools/run/events.h): smoothing, one event for a word,
 * the end of an event, ignored classes, and a stream that continues.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "tools/run/events.h"

#define CLASSES 3
#define YES 0
#define NO 1
#define SILENCE 2
#define MAX_LOG 64

/* The events that the sink received. */
typedef struct Log {
    EventMoment moments[MAX_LOG];
    Event events[MAX_LOG];
    int count;
} Log;

static void note(void *context, EventMoment moment, const Event *event)
{
    Log *log = context;
    assert_true(log->count < MAX_LOG);
    log->moments[log->count] = moment;
    log->events[log->count++] = *event;
}

static Events *make_events(double threshold, int smooth)
{
    Events *events = NULL;
    assert_int_equal(events_new(&events, CLASSES, threshold, smooth, NULL), 0);
    return events;
}

/* Passes on window number `at`, of 1 s, one every second, with these probabilities of yes and
 * no. */
static void hear(Events *events, int at, double yes, double no, Log *log)
{
    float probabilities[CLASSES] = {(float)yes, (float)no, (float)(1 - yes - no)};
    events_add(events, probabilities, at, at + 1, note, log);
}

static void assert_event(const Log *log, int i, EventMoment moment, int label, double start,
                         double end, double probability)
{
    assert_true(i < log->count);
    assert_int_equal(log->moments[i], moment);
    assert_int_equal(log->events[i].label, label);
    assert_true(log->events[i].start == start);
    assert_true(log->events[i].end == end);
    assert_true(fabs(log->events[i].probability - probability) < 1e-6);
}

/* A word that fills several windows gives one event, at the first window whose average reaches the
 * threshold. The first averages are over fewer windows. */
static void one_word_is_one_event(void **state)
{
    static const double yes[] = {0, 0, 0.9, 0.9, 0.9, 0.3, 0, 0};
    Events *events = make_events(0.5, 3);
    Log log = {.count = 0};
    (void)state;
    events_ignore(events, SILENCE);
    for (int i = 0; i < 8; i++) {
        hear(events, i, yes[i], 0, &log);
        assert_int_equal(log.count, i < 3 ? 0 : i < 6 ? 1 : 2);
    }
    assert_event(&log, 0, EVENT_BEGINS, YES, 3, 4, 0.6);
    assert_event(&log, 1, EVENT_ENDS, YES, 3, 6, 0.9);
    events_finish(events, note, &log);
    assert_int_equal(log.count, 2);
    events_free(events);
}

/* A single window above the threshold is an event without smoothing, and none with it. */
static void smoothing_removes_outliers(void **state)
{
    (void)state;
    for (int smooth = 1; smooth <= 2; smooth++) {
        Events *events = make_events(0.6, smooth);
        Log log = {.count = 0};
        events_ignore(events, SILENCE);
        for (int i = 0; i < 10; i++)
            hear(events, i, i == 5 ? 0.9 : 0.1, 0, &log);
        assert_int_equal(log.count, smooth == 1 ? 2 : 0);
        events_free(events);
    }
}

/* The average goes up and down around the threshold, but stays above half of it and is the
 * largest. */
static void flicker_is_no_repetition(void **state)
{
    Events *events = make_events(0.6, 1);
    Log log = {.count = 0};
    (void)state;
    for (int i = 0; i < 40; i++)
        hear(events, i, i % 2 ? 0.62 : 0.55, 0.1, &log);
    assert_int_equal(log.count, 1);
    events_finish(events, note, &log);
    assert_int_equal(log.count, 2);
    assert_event(&log, 1, EVENT_ENDS, YES, 1, 40, 0.62);
    events_free(events);
}

/* The same word occurs twice, and in the pause another class is larger. That makes two events,
 * although the average stays above half of the threshold. */
static void a_pause_separates(void **state)
{
    static const double yes[] = {0.9, 0.9, 0.4, 0.9, 0.9};
    Events *events = make_events(0.6, 1);
    Log log = {.count = 0};
    (void)state;
    events_ignore(events, SILENCE);
    for (int i = 0; i < 5; i++)
        hear(events, i, yes[i], 0, &log);
    assert_int_equal(log.count, 3);
    assert_event(&log, 0, EVENT_BEGINS, YES, 0, 1, 0.9);
    assert_event(&log, 1, EVENT_ENDS, YES, 0, 2, 0.9);
    assert_event(&log, 2, EVENT_BEGINS, YES, 3, 4, 0.9);
    events_free(events);
}

/* With a low threshold, two classes may both be above it; the event is that of the larger one. */
static void the_largest_begins(void **state)
{
    Events *events = make_events(0.3, 1);
    Log log = {.count = 0};
    (void)state;
    hear(events, 0, 0.5, 0.4, &log);
    assert_int_equal(log.count, 1);
    assert_int_equal(log.events[0].label, YES);
    hear(events, 1, 0.4, 0.5, &log); /* yes is still above the threshold, so its event continues */
    assert_int_equal(log.count, 2);
    assert_event(&log, 1, EVENT_BEGINS, NO, 1, 2, 0.5);
    hear(events, 2, 0.5, 0.4, &log);
    assert_int_equal(log.count, 2);
    events_free(events);
}

/* Certainty reaches a threshold of 1. */
static void certainty_reaches_one(void **state)
{
    Events *events = make_events(1, 2);
    Log log = {.count = 0};
    (void)state;
    hear(events, 0, 1, 0, &log);
    assert_int_equal(log.count, 1);
    events_free(events);
}

/* finish ends the current event and forgets the windows so far. */
static void recordings_are_apart(void **state)
{
    Events *events = make_events(0.6, 3);
    Log log = {.count = 0};
    (void)state;
    events_ignore(events, SILENCE);
    for (int i = 0; i < 3; i++)
        hear(events, i, 0.9, 0, &log);
    events_finish(events, note, &log);
    assert_int_equal(log.count, 2);
    assert_event(&log, 1, EVENT_ENDS, YES, 0, 3, 0.9);
    hear(events, 0, 0, 0.9, &log); /* no earlier window is part of the average */
    assert_int_equal(log.count, 3);
    assert_event(&log, 2, EVENT_BEGINS, NO, 0, 1, 0.9);
    events_finish(events, note, &log);
    events_finish(events, note, &log);
    assert_int_equal(log.count, 4);
    events_free(events);
}

/* A week with a hop of a quarter of a second gives as many events as words; rounding loses none. */
static void a_stream_goes_on(void **state)
{
    Events *events = make_events(0.6, 3);
    int found = 0;
    (void)state;
    events_ignore(events, SILENCE);
    for (int i = 0; i < 7 * 24 * 3600 * 4; i++) {
        Log log = {.count = 0};
        hear(events, i, i % 40 < 4 ? 0.9 : 0.02, 0.01, &log);
        for (int k = 0; k < log.count; k++)
            found += log.moments[k] == EVENT_BEGINS;
    }
    assert_int_equal(found, 7 * 24 * 3600 * 4 / 40);
    events_free(events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_word_is_one_event),    cmocka_unit_test(smoothing_removes_outliers),
        cmocka_unit_test(flicker_is_no_repetition), cmocka_unit_test(a_pause_separates),
        cmocka_unit_test(the_largest_begins),       cmocka_unit_test(certainty_reaches_one),
        cmocka_unit_test(recordings_are_apart),     cmocka_unit_test(a_stream_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
