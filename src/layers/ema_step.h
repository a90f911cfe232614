/*
 * ema_step.h - the moving average of a decoder (MODEL.md, "Moving average"). It only looks back,
 * and continues from states instead of from earlier rows.
 */
#ifndef MEGA_EMA_STEP_H
#define MEGA_EMA_STEP_H

#include "src/layers/ema.h"
#include "src/layers/layer.h"

/* Asks for one layer's moving average over the rows of a step. */
typedef struct MegaEmaRows {
    const MegaEma *ema;
    const float *x; /* [rows][d]: the residual stream, or its norm */
    float *out;     /* [rows][d]: silu(EMA(x) + omega x) */
    /* states of the sequences, mega_ema_state_floats each: those that the last step wrote, and
     * those that this one writes */
    const float *from;
    float *to;
    /* with truncation, else NULL: the input of position t is row t mod T of history, and lagged
     * [rows][d] is scratch for the inputs of T positions ago */
    float *history, *lagged;
} MegaEmaRows;

void mega_ema_step(const MegaPass *pass, const MegaStep *step, const MegaEmaRows *rows);

#endif
