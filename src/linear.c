/*
 * linear.c - see linear.h.
 */
#include "linear.h"

/* Panels of a task. Few rows are worked on with 8 at once; many rows make more work of each. */
#define FEW_ROWS 12
#define TASK_PANELS(rows) ((rows) < FEW_ROWS ? 8 : 4)

_Static_assert(4 * MEGA_PANEL % MEGA_LINEAR_BLOCK == 0, "a block lies in one task");

typedef struct Run {
    const MegaKernels *kernels;
    const MegaLinear *linear;
    size_t rows;
    const MegaQuantized *quantized; /* x, or NULL */
} Run;

/* Of columns first ... first + count - 1 of y. */
static void sum_blocks(const Run *run, size_t first, size_t count)
{
    const MegaLinear *l = run->linear;
    for (size_t row = 0; row < run->rows; row++)
        for (size_t c = first; c < first + count; c += MEGA_LINEAR_BLOCK) {
            size_t left = first + count - c, at = row * l->blocks + c / MEGA_LINEAR_BLOCK;
            l->block_sum[at] = run->kernels->exp_sum(l->y + row * l->ldy + c,
                                                     left < MEGA_LINEAR_BLOCK ? left
                                                                              : MEGA_LINEAR_BLOCK,
                                                     &l->block_top[at]);
        }
}

static void run_panels(void *context, size_t task, int worker)
{
    (void)worker;
    const Run *run = context;
    const MegaLinear *l = run->linear;
    size_t columns = TASK_PANELS(run->rows) * MEGA_PANEL, first = task * columns;
    MegaPacked part = mega_packed_columns(l->weight, first, columns);
    float *y = l->y + first;
    if (run->quantized)
        mega_matmul_quantized(run->kernels, &part, run->quantized, run->rows, y, l->ldy, l->add);
    else
        mega_matmul(run->kernels, &part, l->x, l->ldx, run->rows, y, l->ldy, l->add);
    if (l->bias || l->activation != MEGA_ACTIVATION_LINEAR)
        run->kernels->bias_activate(l->activation, l->bias ? l->bias + first : NULL, y, run->rows,
                                    part.out, l->ldy);
    if (l->block_top)
        sum_blocks(run, first, part.out);
}

static void run_rows(MegaPool *pool, const MegaKernels *kernels, const MegaLinear *linear,
                     size_t rows, const MegaQuantized *quantized)
{
    Run run = {kernels, linear, rows, quantized};
    size_t columns = TASK_PANELS(rows) * MEGA_PANEL;
    mega_pool_run(pool, (linear->weight->out + columns - 1) / columns, run_panels, &run);
}

void mega_linear_run(MegaPool *pool, const MegaKernels *kernels, const MegaLinear *linear,
                     size_t rows)
{
    MegaLinear part = *linear;
    if (linear->weight->kind != MEGA_Q8) {
        run_rows(pool, kernels, linear, rows, NULL);
        return;
    }
    for (size_t count; rows > 0; rows -= count) {
        MegaQuantized x;
        count = rows < MEGA_QUANTIZED_ROWS ? rows : MEGA_QUANTIZED_ROWS;
        bool fits = mega_quantize_rows(kernels, part.x, part.ldx, count, part.weight->in, &x);
        run_rows(pool, kernels, &part, count, fits ? &x : NULL);
        part.x += count * part.ldx;
        part.y += count * part.ldy;
        if (part.block_top) {
            part.block_top += count * part.blocks;
            part.block_sum += count * part.blocks;
        }
    }
}
