/*
 * listener.c - see listener.h.
 *
 * Time is cut into segments wherever a window begins or ends. What a segment adds to a pooled
 * vector is kept until no further window holds it, so a window is the sum of its segments.
 */
#include "src/pipeline/listener.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/encode/session.h"
#include "src/pipeline/clock.h"
#include "src/pipeline/input_reader.h"

#define PIECE 2048          /* samples that go through the model at once */
#define MOST_SEGMENTS 65536 /* most segments of one window */

struct MegaListener {
    MegaInputReader *reader;
    MegaSession *session;
    size_t window, hop; /* samples */
    size_t width;       /* d */
    uint64_t at;        /* number of samples heard so far */
    uint64_t windows;   /* number of windows given out so far */
    bool ended;
    /* The segments from number `first` on; number i is at place i % capacity. */
    uint64_t first, count;
    size_t capacity;
    uint64_t *starts; /* [capacity] */
    double *pooled;   /* [capacity][d] */
    double *piece;    /* [d] */
    float *samples;   /* [PIECE] */
    uint64_t counted; /* bytes of these arrays, which the session counts */
};

static int take_memory(MegaListener *listener, MegaError *err)
{
    const uint64_t row = listener->width * sizeof(double);
    const uint64_t bytes =
        listener->capacity * (row + sizeof *listener->starts) + row + PIECE * sizeof(float);
    int code = mega_session_count(listener->session, 0, bytes, "the windows of a recording", err);
    if (code)
        return code;
    listener->counted = bytes;
    listener->starts = calloc(listener->capacity, sizeof *listener->starts);
    listener->pooled = calloc(listener->capacity, (size_t)row);
    listener->piece = calloc(1, (size_t)row);
    listener->samples = calloc(PIECE, sizeof *listener->samples);
    return listener->starts && listener->pooled && listener->piece && listener->samples
               ? 0
               : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the windows of a recording");
}

static int check_reader(const MegaInputReader *reader, MegaError *err)
{
    const MegaEmbedConfig *embed = &reader->model->config.embed;
    if (reader->kind != MEGA_CONTENT_SOUND || reader->hop == 0)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a state that runs on is for windows of sound, but there are none");
    if (embed->kind == MEGA_EMBED_FRAMES && embed->frame_hop != 1)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "a position of the model has %d samples, so windows cannot begin anywhere "
                         "and its state cannot run on",
                         embed->frame_hop);
    if (mega_pieces(reader->window, reader->hop) > MOST_SEGMENTS / 2 - 1)
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "a window of %zu samples every %zu: at most %d may overlap",
                         reader->window, reader->hop, MOST_SEGMENTS / 2 - 1);
    return 0;
}

int mega_listener_new(MegaListener **out, MegaInputReader *reader, MegaSession *session,
                      MegaError *err)
{
    *out = NULL;
    if (!reader)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a state that runs on is for windows of sound, but there are none");
    int code = mega_session_stream_begin(session, err);
    if (!code)
        code = check_reader(reader, err);
    if (code)
        return code;
    MegaListener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the windows of a recording");
    listener->reader = reader;
    listener->session = session;
    listener->window = reader->window;
    listener->hop = reader->hop;
    listener->width = (size_t)reader->model->config.encoder.width;
    /* a window begins and one ends in every hop, and there is a segment after the last of them */
    listener->capacity = 2 * mega_pieces(reader->window, reader->hop) + 2;
    code = take_memory(listener, err);
    if (code) {
        mega_listener_free(listener);
        return code;
    }
    *out = listener;
    return 0;
}

void mega_listener_free(MegaListener *listener)
{
    if (!listener)
        return;
    mega_session_count(listener->session, listener->counted, 0, NULL, NULL);
    free(listener->starts);
    free(listener->pooled);
    free(listener->piece);
    free(listener->samples);
    free(listener);
}

int mega_listener_begin(MegaListener *listener, MegaError *err)
{
    listener->at = listener->windows = listener->first = listener->count = 0;
    listener->ended = false;
    return mega_session_stream_begin(listener->session, err);
}

/* Returns the first sample of the next window. */
static uint64_t next_start(const MegaListener *listener)
{
    return listener->windows * listener->hop;
}

static double *segment(const MegaListener *listener, uint64_t number)
{
    return listener->pooled + number % listener->capacity * listener->width;
}

/* Returns the next place after `at` where a window begins or ends. */
static uint64_t next_boundary(const MegaListener *listener)
{
    const uint64_t begin = (listener->at / listener->hop + 1) * listener->hop;
    const uint64_t end = next_start(listener) + listener->window;
    return end > listener->at && end < begin ? end : begin;
}

/* Drops the segments before the next window, and begins a new one. */
static void begin_segment(MegaListener *listener)
{
    while (listener->count > 0 &&
           listener->starts[listener->first % listener->capacity] < next_start(listener)) {
        listener->first++;
        listener->count--;
    }
    listener->starts[(listener->first + listener->count) % listener->capacity] = listener->at;
    listener->count++;
}

/* Runs samples through the model up to the next boundary of windows, or to the end of the
 * recording. */
static int hear_segment(MegaListener *listener, MegaHeardWindow *window, MegaError *err)
{
    const uint64_t bound = next_boundary(listener);
    bool is_first = true;
    begin_segment(listener);
    double *pooled = segment(listener, listener->first + listener->count - 1);
    while (listener->at < bound && !listener->ended) {
        const size_t most = (size_t)(bound - listener->at < PIECE ? bound - listener->at : PIECE);
        const double begun = mega_clock();
        size_t count, positions;
        MegaError inner = {0};
        int code = mega_input_next_samples(listener->reader, most, listener->samples, &count, err);
        const double read = mega_clock();
        window->reading += read - begun;
        listener->ended = !code && count < most;
        if (code || count == 0)
            return code;
        const MegaInput piece = {
            .kind = MEGA_INPUT_SAMPLES, .values = listener->samples, .length = count};
        code = mega_session_stream_piece(listener->session, &piece, listener->piece, &positions,
                                         &inner);
        if (code)
            return mega_fail(err, code, "%s: %s", mega_input_name(listener->reader), inner.text);
        mega_session_stream_join(listener->session, pooled, listener->piece, is_first);
        is_first = false;
        listener->at += count;
        window->running += mega_clock() - read;
    }
    return 0;
}

/* Makes the result of the window that begins at next_start and has been run up to `at`. */
static int give_window(MegaListener *listener, MegaHeardWindow *window, MegaError *err)
{
    const double begun = mega_clock(), rate = listener->reader->audio.sample_rate;
    const uint64_t start = next_start(listener);
    double *pooled = listener->piece;
    bool is_first = true;
    MegaError inner = {0};
    for (uint64_t i = listener->first; i < listener->first + listener->count; i++)
        if (listener->starts[i % listener->capacity] >= start &&
            listener->starts[i % listener->capacity] < listener->at) {
            mega_session_stream_join(listener->session, pooled, segment(listener, i), is_first);
            is_first = false;
        }
    window->start = (double)start / rate;
    window->end = (double)listener->at / rate;
    listener->windows++;
    int code = mega_session_stream_end(listener->session, pooled, (size_t)(listener->at - start),
                                       window->logits, &inner);
    if (code)
        return mega_fail(err, code, "%s: %s", mega_input_name(listener->reader), inner.text);
    window->running += mega_clock() - begun;
    return 1;
}

static int make_window(MegaListener *listener, MegaHeardWindow *window, MegaError *err)
{
    const uint64_t start = next_start(listener);
    while (!listener->ended && listener->at < start + listener->window) {
        int code = hear_segment(listener, window, err);
        if (code)
            return code;
    }
    /* the window before may have reached the end of the recording already */
    const uint64_t reached = listener->windows ? start - listener->hop + listener->window : 0;
    return listener->at > start && listener->at > reached ? give_window(listener, window, err) : 0;
}

int mega_listener_next(MegaListener *listener, MegaHeardWindow *window, MegaError *err)
{
    window->reading = window->running = 0;
    if (!listener->reader->count_raw)
        return 0;
    return make_window(listener, window, err);
}
