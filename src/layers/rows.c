/*
 * rows.c - see rows.h.
 */
#include "src/layers/rows.h"

#include "src/base/checked.h"

static size_t width(const MegaRows *rows)
{
    return (size_t)rows->config->width;
}

static bool is_pre_norm(const MegaRows *rows)
{
    return rows->in_ffn ? mega_ffn_pre_norm(rows->config) : rows->config->pre_norm;
}

#define ROWS_OF_TASK 8 /* rows of one task */

/* The work on each row: to += added, then to = norm(from). Either step may be absent. */
typedef struct RowWork {
    const MegaRows *rows;
    const MegaNorm *norm;      /* or NULL */
    const float *from, *added; /* [count][d]; `added` may be NULL */
    float *to;                 /* [count][d] */
} RowWork;

static void work_on_rows(void *context, size_t task, int worker)
{
    const RowWork *work = context;
    const MegaKernels *kernels = work->rows->kernels;
    const size_t d = width(work->rows), first = task * ROWS_OF_TASK;
    const size_t count = mega_min_size(ROWS_OF_TASK, work->rows->count - first), at = first * d;
    (void)worker;
    if (work->added)
        kernels->add(work->to + at, work->added + at, count * d);
    if (work->norm)
        mega_norm_apply(work->norm, kernels, work->from + at, count, d, work->to + at);
}

/* Runs the work on all rows, in the pool or by the calling thread. */
static void run_work(RowWork work)
{
    const size_t tasks = mega_pieces(work.rows->count, ROWS_OF_TASK);
    if (work.rows->pool) {
        mega_pool_run(work.rows->pool, tasks, work_on_rows, &work);
        return;
    }
    for (size_t task = 0; task < tasks; task++)
        work_on_rows(&work, task, 0);
}

const float *mega_rows_input(const MegaRows *rows, const MegaNorm *norm, float *normed)
{
    if (!is_pre_norm(rows))
        return rows->x;
    run_work((RowWork){.rows = rows, .norm = norm, .from = rows->x, .to = normed});
    return normed;
}

void mega_rows_finish(const MegaRows *rows, const MegaNorm *norm)
{
    if (!is_pre_norm(rows))
        run_work((RowWork){.rows = rows, .norm = norm, .from = rows->x, .to = rows->x});
}

void mega_rows_add(const MegaRows *rows, const float *output, const MegaNorm *norm)
{
    run_work((RowWork){.rows = rows, .norm = is_pre_norm(rows) ? NULL : norm, .from = rows->x,
                        .added = output, .to = rows->x});
}

void mega_rows_linears(const MegaRows *rows, const MegaLinear *linears, size_t count)
{
    mega_linear_run(rows->pool, rows->kernels, linears, count, rows->count);
}

void mega_rows_gate(const MegaRows *rows, const MegaGate *gate)
{
    const MegaPacked *weight = &gate->h->weight;
    MegaLinear linear = {.x = gate->attended, .ldx = weight->in, .weight = weight, .y = rows->x,
                         .ldy = width(rows),
                         .epilogue = {.function = (MegaFunction)rows->config->activation,
                                      .bias = gate->h->bias, .addend = gate->addend,
                                      .ld_addend = gate->ld_addend, .gate = gate->u,
                                      .ld_gate = gate->ld_u}};
    mega_rows_linears(rows, &linear, 1);
    mega_rows_finish(rows, gate->norm);
}
