/*
 * listener.h - classifies windows of a recording that a causal model hears as one sequence.
 *
 * Each sample goes through the model once, however much windows overlap. The state of the layers
 * runs on from window to window, so they still know what came before a window; the head pools the
 * positions of the window alone. The first window therefore equals one that is computed by itself,
 * and later ones do not. The last window may be partial, and is not padded.
 */
#ifndef MEGA_LISTENER_H
#define MEGA_LISTENER_H

#include "src/pipeline/input.h"

typedef struct MegaListener MegaListener;

/* Makes a listener for the recordings of this reader, which must have a window. Fails if the model
 * cannot run in pieces. */
int mega_listener_new(MegaListener **out, MegaInputReader *reader, MegaSession *session,
                      MegaError *err);
void mega_listener_free(MegaListener *listener);
/* Starts over, with the recording that the reader has begun. */
int mega_listener_begin(MegaListener *listener, MegaError *err);

typedef struct MegaHeardWindow {
    float *logits;           /* [classes], which the caller owns */
    double start, end;       /* seconds */
    double reading, running; /* seconds that this took since the window before */
} MegaHeardWindow;

/* Computes the next window. Returns 1, 0 at the end of the recording, or a negative error. */
int mega_listener_next(MegaListener *listener, MegaHeardWindow *window, MegaError *err);

#endif
