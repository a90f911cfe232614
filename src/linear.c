/*
 * linear.c - see linear.h.
 */
#include "linear.h"

#include "gemm.h"

#define PANEL 128 /* output columns of a task */

typedef struct Run {
    const MegaKernels *kernels;
    const MegaLinear *linear;
    size_t rows;
} Run;

static void run_panel(void *context, size_t task, int worker)
{
    (void)worker;
    const Run *run = context;
    const MegaLinear *l = run->linear;
    size_t first = task * PANEL, columns = l->out - first < PANEL ? l->out - first : PANEL;
    float *y = l->y + first;
    mega_gemm_nt(run->rows, columns, l->in, l->x, l->ldx, l->weight + first * l->in, l->in,
                 l->add ? 1.0f : 0.0f, y, l->ldy);
    if (l->bias || l->activation != MEGA_ACTIVATION_LINEAR)
        run->kernels->bias_activate(l->activation, l->bias ? l->bias + first : NULL, y, run->rows,
                                    columns, l->ldy);
}

void mega_linear_run(MegaPool *pool, const MegaKernels *kernels, const MegaLinear *linear,
                     size_t rows)
{
    Run run = {kernels, linear, rows};
    mega_pool_run(pool, (linear->out + PANEL - 1) / PANEL, run_panel, &run);
}
