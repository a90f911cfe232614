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
    const float *from; /* [sequences][mega_ema_state_floats]: states that the last step wrote */
    float *to;         /* the same, written by this step; another array */
    float *history;    /* [min(T, positions)][d]: position t is row t mod T; NULL without T */
    float *lagged;     /* [rows][d] scratch: inputs of T positions ago; NULL without T */
} MegaEmaRows;

/* Computes rows->out, writes the new states, and keeps the inputs in the history. */
void mega_ema_step(const MegaPass *pass, const MegaStep *step, const MegaEmaRows *rows);

#endif
