/*
 * linear.c - see linear.h.
 */
#include "linear.h"

#define TASK_PANELS 8 /* panels of a task */

typedef struct Run {
    const MegaKernels *kernels;
    const MegaLinear *linear;
    size_t rows;
} Run;

static void run_panels(void *context, size_t task, int worker)
{
    (void)worker;
    const Run *run = context;
    const MegaLinear *l = run->linear;
    size_t first = task * TASK_PANELS * MEGA_PANEL;
    MegaPacked part = mega_packed_columns(l->weight, first, TASK_PANELS * MEGA_PANEL);
    float *y = l->y + first;
    mega_matmul(run->kernels, &part, l->x, l->ldx, run->rows, y, l->ldy, l->add);
    if (l->bias || l->activation != MEGA_ACTIVATION_LINEAR)
        run->kernels->bias_activate(l->activation, l->bias ? l->bias + first : NULL, y, run->rows,
                                    part.out, l->ldy);
}

void mega_linear_run(MegaPool *pool, const MegaKernels *kernels, const MegaLinear *linear,
                     size_t rows)
{
    Run run = {kernels, linear, rows};
    size_t columns = TASK_PANELS * MEGA_PANEL;
    mega_pool_run(pool, (linear->weight->out + columns - 1) / columns, run_panels, &run);
}
