/*
 * ema_step.c - see ema_step.h.
 */
#include "src/layers/ema_step.h"

#include <string.h>

#include "src/base/checked.h"

#define TASK_CHANNELS 64 /* channels of one task */

typedef struct Run {
    const MegaPass *pass;
    const MegaStep *step;
    const MegaEmaRows *rows;
} Run;

/* Stores x(position + t - T) in row t of `lagged`. Positions before the sequence are 0. */
static void gather_lagged(const MegaStep *step, const MegaEmaRows *rows)
{
    int64_t truncation = (int64_t)rows->ema->truncation;
    size_t d = rows->ema->width;
    for (size_t t = 0; t < step->rows; t++) {
        int64_t position = step->position + (int64_t)t - truncation;
        float *lagged = rows->lagged + t * d;
        if (position < 0)
            memset(lagged, 0, d * sizeof *lagged);
        else if (position >= step->position)
            memcpy(lagged, rows->x + (size_t)(position - step->position) * d, d * sizeof *lagged);
        else
            memcpy(lagged, rows->history + (size_t)(position % truncation) * d,
                   d * sizeof *lagged);
    }
}

/* Stores the rows in the history, after gather_lagged has read what they overwrite. */
static void keep_history(const MegaStep *step, const MegaEmaRows *rows)
{
    int64_t truncation = (int64_t)rows->ema->truncation;
    size_t d = rows->ema->width;
    for (size_t t = 0; t < step->rows; t++) {
        size_t row = (size_t)((step->position + (int64_t)t) % truncation);
        memcpy(rows->history + row * d, rows->x + t * d, d * sizeof(float));
    }
}

static void step_channels(void *context, size_t task, int worker)
{
    (void)worker;
    const Run *run = context;
    const MegaStep *step = run->step;
    const MegaEmaRows *rows = run->rows;
    const MegaEma *ema = rows->ema;
    const MegaKernels *kernels = run->pass->kernels;
    const size_t d = ema->width, end = mega_min_size((task + 1) * TASK_CHANNELS, d);
    const bool sequences = step->rows_are == MEGA_ROWS_ARE_SEQUENCES;
    MegaEmaStep work = {.x = rows->x, .lagged = rows->lagged, .y = rows->out, .rows = step->rows,
                        .width = d, .q = ema->q, .w = ema->w, .qt = ema->qt,
                        .states = ema->states, .ema_stride = ema->channels, .from = rows->from,
                        .to = rows->to, .parents = sequences ? step->parents : NULL};
    const MegaEmaPass output = {.x = rows->x, .y = rows->out, .length = step->rows, .width = d,
                                .omega = ema->omega};
    if (!sequences)
        work.from += step->parents[0] * mega_ema_state_floats(d, ema->states);
    for (size_t c = task * TASK_CHANNELS; c < end; c += (size_t)kernels->lanes) {
        size_t count = mega_min_size((size_t)kernels->lanes, end - c);
        kernels->ema_step(&work, c, count);
        kernels->ema_output(&output, c, count);
    }
}

void mega_ema_step(const MegaPass *pass, const MegaStep *step, const MegaEmaRows *rows)
{
    Run run = {pass, step, rows};
    if (rows->lagged)
        gather_lagged(step, rows);
    mega_pool_run(pass->pool, mega_pieces(rows->ema->width, TASK_CHANNELS), step_channels, &run);
    if (rows->lagged)
        keep_history(step, rows);
}
