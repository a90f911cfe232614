/*
 * linear.c - see linear.h.
 */
#include "src/kernels/linear.h"

#include <string.h>

#include "src/base/checked.h"

/* How many panels one task takes. With FEW_ROWS or more, LEAST_PANELS are enough work, but more are
 * better, since weights are fetched while the panels before them are multiplied; every thread gets
 * TASKS or more. With fewer rows, the product is bound by memory, so a task reads one long run of
 * weights (up to TASK_BYTES), as long as every thread still gets a task. That run is a multiple of
 * PANELS_AT_ONCE, the most panels that a kernel takes side by side. */
#define FEW_ROWS 12
#define LEAST_PANELS 4
#define TASKS 4
#define PANELS_AT_ONCE 8
#define TASK_BYTES (288 << 10)

_Static_assert(LEAST_PANELS * MEGA_PANEL % MEGA_LINEAR_BLOCK == 0, "a block lies in one task");

typedef struct Run {
    const MegaKernels *kernels;
    const MegaLinear *linears; /* [count], all of the same x and rows */
    size_t count, rows;
    size_t columns; /* columns of one task */
    MegaQuantized *quantized; /* x in 8 bits, or NULL if weights are floats or x does not fit */
} Run;

/* Returns how many tasks of `columns` columns a layer makes. */
static size_t tasks_of(const MegaLinear *linear, size_t columns)
{
    return mega_pieces(linear->weight->out, columns);
}

static size_t task_panels(const Run *run, int threads)
{
    const MegaPacked *weight = run->linears[0].weight;
    size_t bytes = (size_t)mega_packed_bytes(weight->dtype, MEGA_PANEL, weight->in), panels = 0;
    const bool few = run->rows < FEW_ROWS;
    const size_t least = few ? PANELS_AT_ONCE : LEAST_PANELS;
    for (size_t i = 0; i < run->count; i++)
        panels += tasks_of(&run->linears[i], MEGA_PANEL);
    panels /= (size_t)threads * (few ? 1 : TASKS);
    if (panels > TASK_BYTES / bytes)
        panels = TASK_BYTES / bytes;
    return panels < least ? least : panels / least * least;
}

/* Fills block_top and block_sum for columns first ... first + count - 1 of y. */
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

/* Computes at most `count` columns of y from column `first` on. */
static void run_columns(const Run *run, const MegaLinear *l, size_t first, size_t count)
{
    MegaPacked part = mega_packed_columns(l->weight, first, count);
    MegaEpilogue epilogue = mega_epilogue_at(&l->epilogue, 0, first);
    float *y = l->y + first;
    if (run->quantized)
        mega_matmul_quantized(run->kernels, &part, run->quantized, run->rows, y, l->ldy, &epilogue);
    else
        mega_matmul(run->kernels, &part, l->x, l->ldx, run->rows, y, l->ldy, &epilogue);
    if (l->block_top)
        sum_blocks(run, l, first, part.out);
}

static void run_panels(void *context, size_t task, int worker)
{
    (void)worker;
    const Run *run = context;
    const MegaLinear *l = run->linears;
    while (task >= tasks_of(l, run->columns))
        task -= tasks_of(l++, run->columns);
    run_columns(run, l, task * run->columns, run->columns);
}

#define QUANTIZED_ROWS 8 /* number of rows that one task quantizes */

static void quantize_rows(void *context, size_t task, int worker)
{
    const Run *run = context;
    const MegaLinear *l = run->linears;
    const size_t first = task * QUANTIZED_ROWS, left = run->rows - first;
    (void)worker;
    mega_quantize_rows(run->kernels, l->x, l->ldx, l->weight->in, first,
                       left < QUANTIZED_ROWS ? left : QUANTIZED_ROWS, run->quantized);
}

/* Quantizes x once for all layers. */
static void quantize(MegaPool *pool, Run *run)
{
    const size_t tasks = mega_pieces(run->rows, QUANTIZED_ROWS);
    if (pool) {
        mega_pool_run(pool, tasks, quantize_rows, run);
        return;
    }
    for (size_t task = 0; task < tasks; task++)
        quantize_rows(run, task, 0);
}

/* Runs all layers over run->rows rows. */
static void run_rows(MegaPool *pool, Run *run)
{
    size_t tasks = 0;
    if (!pool) {
        for (size_t i = 0; i < run->count; i++)
            run_columns(run, &run->linears[i], 0, run->linears[i].weight->out);
        return;
    }
    run->columns = task_panels(run, mega_pool_threads(pool)) * MEGA_PANEL;
    for (size_t i = 0; i < run->count; i++)
        tasks += tasks_of(&run->linears[i], run->columns);
    mega_pool_run(pool, tasks, run_panels, run);
}

/* Moves the layer's pointers past its first `count` rows. */
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
    bool integers = true; /* true only if the weights of all layers are quantized */
    for (size_t i = 0; i < count; i++)
        integers &= mega_dtype_quantized(linears[i].weight->dtype);
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
        run.quantized = mega_quantized_fit(run.rows, weight->in) ? &x : NULL;
        if (run.quantized)
            quantize(pool, &run);
        run_rows(pool, &run);
        for (size_t i = 0; i < count; i++)
            skip_rows(&parts[i], run.rows);
    }
}
