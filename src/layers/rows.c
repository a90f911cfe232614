/*
 * rows.c - see rows.h.
 */
#include "src/layers/rows.h"

static size_t width(const MegaRows *rows)
{
    return (size_t)rows->config->width;
}

static bool is_pre_norm(const MegaRows *rows)
{
    return rows->in_ffn ? mega_ffn_pre_norm(rows->config) : rows->config->pre_norm;
}

const float *mega_rows_input(const MegaRows *rows, const MegaNorm *norm, float *normed)
{
    if (!is_pre_norm(rows))
        return rows->x;
    mega_norm_apply(norm, rows->kernels, rows->x, rows->count, width(rows), normed);
    return normed;
}

void mega_rows_finish(const MegaRows *rows, const MegaNorm *norm)
{
    if (!is_pre_norm(rows))
        mega_norm_apply(norm, rows->kernels, rows->x, rows->count, width(rows), rows->x);
}

void mega_rows_add(const MegaRows *rows, const float *output, const MegaNorm *norm)
{
    rows->kernels->add(rows->x, output, rows->count * width(rows));
    mega_rows_finish(rows, norm);
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
