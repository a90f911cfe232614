/*
 * feed_forward.c - see feed_forward.h.
 */
#include "src/layers/feed_forward.h"

#include <string.h>

void mega_feed_forward_derive(MegaFeedForward *out, const MegaStackConfig *config,
                              const MegaNormWeights *norm, const MegaLinearWeights *fc1,
                              const MegaLinearWeights *fc2, MegaArena *arena)
{
    *out = (MegaFeedForward){.fc1 = *fc1,
                             .fc2 = fc2,
                             .folded = mega_ffn_pre_norm(config) && mega_norm_folds(config, fc1)};
    mega_norm_prepare(&out->norm, config->norm, norm, (size_t)config->width, arena);
    if (out->folded)
        mega_norm_fold(&out->norm, fc1, arena, &out->fc1);
}

/* Computes inner = act(fc1(input)), and returns the input: x, or norm(x) in `normed`. */
static const float *run_inner(const MegaFeedForward *block, const MegaRows *rows, float *normed,
                              float *inner)
{
    size_t d = (size_t)rows->config->width, f = (size_t)rows->config->ffn;
    const float *input = block->folded ? rows->x : mega_rows_input(rows, &block->norm, normed);
    MegaLinear fc1 = {.x = input, .ldx = d, .weight = &block->fc1.weight, .y = inner, .ldy = f,
                      .epilogue = {.function = (MegaFunction)rows->config->activation,
                                   .bias = block->fc1.bias}};
    mega_rows_linears(rows, &fc1, 1);
    return input;
}

/* Returns the map out = fc2(inner). */
static MegaLinear outer_map(const MegaFeedForward *block, const MegaRows *rows, const float *inner,
                            float *out)
{
    return (MegaLinear){.x = inner, .ldx = (size_t)rows->config->ffn, .weight = &block->fc2->weight,
                        .y = out, .ldy = (size_t)rows->config->width,
                        .epilogue = {.bias = block->fc2->bias}};
}

void mega_feed_forward_run(const MegaFeedForward *block, const MegaRows *layer, float *normed,
                           float *inner)
{
    MegaRows own = *layer, *rows = &own;
    own.in_ffn = true;
    MegaLinear fc2 = outer_map(block, rows, inner, rows->x);
    fc2.epilogue.addend = rows->x;
    fc2.epilogue.ld_addend = (size_t)rows->config->width;
    run_inner(block, rows, normed, inner);
    mega_rows_linears(rows, &fc2, 1);
    mega_rows_finish(rows, &block->norm);
}

void mega_feed_forward_show(const MegaFeedForward *block, const MegaRows *layer, float *input,
                            float *inner, float *output)
{
    MegaRows own = *layer, *rows = &own;
    own.in_ffn = true;
    MegaLinear fc2 = outer_map(block, rows, inner, output);
    const float *seen = run_inner(block, rows, input, inner);
    if (seen != input)
        memcpy(input, seen, rows->count * (size_t)rows->config->width * sizeof *input);
    mega_rows_linears(rows, &fc2, 1);
}

void mega_feed_forward_add(const MegaFeedForward *block, const MegaRows *layer, const float *output)
{
    MegaRows own = *layer;
    own.in_ffn = true;
    mega_rows_add(&own, output, &block->norm);
}
