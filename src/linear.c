/*
 * linear.c - see linear.h.
 */
#include "linear.h"

#include <string.h>

/* Panels of a task. Few rows are worked on with 8 at once; many rows make more work of each. */
#define FEW_ROWS 12
#define TASK_PANELS(rows) ((rows) < FEW_ROWS ? 8 : 4)

_Static_assert(4 * MEGA_PANEL % MEGA_LINEAR_BLOCK == 0, "a block lies in one task");

typedef struct Run {
    const MegaKernels *kernels;
    const MegaLinear *linears; /* [count], of the same rows x */
    size_t count, rows;
    MegaQuantized *quantized; /* x, or NULL */
} Run;

static size_t tasks_of(const MegaLinear *linear, size_t rows)
{
    size_t columns = TASK_PANELS(rows) * MEGA_PANEL;
    return (linear->weight->out + columns - 1) / columns;
}

/* Of columns first ... first + count - 1 of y. */
static void sum_blocks(const Run *run, const MegaLinear *l, size_t first, size_t count)
{
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
    const MegaLinear *l = run->linears;
    while (task >= tasks_of(l, run->rows))
        task -= tasks_of(l++, run->rows);
    size_t columns = TASK_PANELS(run->rows) * MEGA_PANEL, first = task * columns;
    MegaPacked part = mega_packed_columns(l->weight, first, columns);
    MegaEpilogue epilogue = mega_epilogue_at(&l->epilogue, 0, first);
    float *y = l->y + first;
    if (run->quantized)
        mega_matmul_quantized(run->kernels, &part, run->quantized, run->rows, y, l->ldy, &epilogue);
    else
        mega_matmul(run->kernels, &part, l->x, l->ldx, run->rows, y, l->ldy, &epilogue);
    if (l->block_top)
        sum_blocks(run, l, first, part.out);
}

static void run_rows(MegaPool *pool, const Run *run)
{
    size_t tasks = 0;
    for (size_t i = 0; i < run->count; i++)
        tasks += tasks_of(&run->linears[i], run->rows);
    mega_pool_run(pool, tasks, run_panels, (void *)(uintptr_t)run);
}

/* On to the rows behind the first `count`. */
static void skip_rows(MegaLinear *linear, size_t count)
{
    linear->x += count * linear->ldx;
    linear->y += count * linear->ldy;
    linear->epilogue = mega_epilogue_at(&linear->epilogue, count, 0);
    if (linear->block_top) {
        linear->block_top += count * linear->blocks;
        linear->block_sum += count * linear->blocks;
    }
}

void mega_linear_run(MegaPool *pool, const MegaKernels *kernels, const MegaLinear *linears,
                     size_t count, size_t rows)
{
    Run run = {.kernels = kernels, .linears = linears, .count = count, .rows = rows};
    const MegaPacked *weight = linears[0].weight;
    bool integers = true; /* all of them */
    for (size_t i = 0; i < count; i++)
        integers &= mega_dtype_quantized(linears[i].weight->kind);
    if (!integers) {
        run_rows(pool, &run);
        return;
    }
    MegaLinear parts[MEGA_MAX_LINEARS];
    memcpy(parts, linears, count * sizeof *parts);
    run.linears = parts;
    const size_t most = mega_quantized_rows(weight->in);
    for (; rows > 0; rows -= run.rows) {
        MegaQuantized x;
        run.rows = rows < most ? rows : most;
        bool fits = mega_quantize_rows(kernels, parts[0].x, parts[0].ldx, run.rows, weight->in, &x);
        run.quantized = fits ? &x : NULL;
        run_rows(pool, &run);
        for (size_t i = 0; i < count; i++)
            skip_rows(&parts[i], run.rows);
    }
}
