/*
 * cross_attention.c - see cross_attention.h.
 */
#include "src/layers/cross_attention.h"

#include "src/layers/attention.h"

void mega_cross_source_layout(const MegaStackConfig *config, size_t length, MegaSourceLayer *out,
                              MegaArena *arena)
{
    out->keys = mega_arena_floats(arena, (uint64_t)length * (uint64_t)mega_gated(config)->zdim);
    out->values = mega_arena_floats(arena, (uint64_t)length * (uint64_t)config->width);
}

void mega_cross_read_source(const MegaPass *pass, const MegaCrossWeights *weights,
                            const MegaEncoded *source, int index)
{
    const MegaSourceLayer *layer = &source->layers[index];
    size_t d = (size_t)pass->config->width, z = (size_t)mega_gated(pass->config)->zdim;
    const MegaEpilogue key = {.bias = weights->k.bias};
    const MegaEpilogue value = {.function = (MegaFunction)pass->config->activation,
                                .bias = weights->v.bias};
    const MegaLinear maps[] = {{.x = source->states, .ldx = d, .weight = &weights->k.weight,
                                .y = layer->keys, .ldy = z, .epilogue = key},
                               {.x = source->states, .ldx = d, .weight = &weights->v.weight,
                                .y = layer->values, .ldy = d, .epilogue = value}};
    mega_linear_run(NULL, pass->kernels, maps, 2, source->length);
}

typedef struct Run {
    const MegaPass *pass;
    const MegaStep *step;
    const MegaCrossAttention *cross;
} Run;

/* Runs one task: a r of one row, from u, r and q as they leave the linear map. */
static void attend_row(void *context, size_t row, int worker)
{
    const Run *run = context;
    const MegaStep *step = run->step;
    const MegaCrossAttention *cross = run->cross;
    const MegaStackConfig *config = run->pass->config;
    const MegaKernels *kernels = run->pass->kernels;
    const bool sequences = step->rows_are == MEGA_ROWS_ARE_SEQUENCES;
    const MegaEncoded *source = step->sources[sequences ? row : 0];
    const MegaSourceLayer *layer = &source->layers[cross->index];
    size_t position = (size_t)step->position + (sequences ? 0 : row);
    size_t d = (size_t)config->width, z = (size_t)mega_gated(config)->zdim, keys = source->length;
    float *u = cross->projected + row * (2 * d + z), *r = u + d, *q = r + d;
    float *attended = cross->attended + row * d;
    float *weights = cross->index == config->layers - 1
                         ? step->cross_weights + row * step->sizes->source
                         : cross->scratch + (size_t)worker * cross->scratch_stride;
    kernels->finish(u, d, 1, d, u, d, &(MegaEpilogue){.function = MEGA_FUNCTION_SIGMOID});
    kernels->finish(r, d, 1, d, r, d, &(MegaEpilogue){.function = MEGA_FUNCTION_SILU});
    kernels->attend_keys(q, layer->keys, z, NULL, keys, z, weights);
    kernels->attention(mega_gated(config)->attention, weights, keys,
                       mega_attention_scale(mega_gated(config)->attention, z, keys),
                       cross->bias - position);
    kernels->attend_values(weights, layer->values, d, NULL, keys, d, d, attended);
    kernels->multiply(attended, r, d);
}

void mega_cross_attend(const MegaPass *pass, const MegaStep *step, const MegaRows *rows,
                       const MegaCrossAttention *cross)
{
    const MegaCrossWeights *weights = cross->weights;
    size_t d = (size_t)pass->config->width, wide = 2 * d + (size_t)mega_gated(pass->config)->zdim;
    Run run = {pass, step, cross};
    MegaLinear q = {.x = mega_rows_input(rows, cross->norm, cross->normed), .ldx = d,
                    .weight = &weights->q.weight, .y = cross->projected, .ldy = wide,
                    .epilogue = {.bias = weights->q.bias}};
    mega_rows_linears(rows, &q, 1);
    mega_pool_run(pass->pool, step->rows, attend_row, &run);
    mega_rows_gate(rows, &(MegaGate){.attended = cross->attended, .h = &weights->h,
                                     .u = cross->projected, .ld_u = wide, .norm = cross->norm});
}
