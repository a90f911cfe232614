/*
 * feed_forward.c - see feed_forward.h.
 */
#include "src/layers/feed_forward.h"

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

void mega_feed_forward_run(const MegaFeedForward *block, const MegaRows *layer, float *normed,
                           float *inner)
{
    MegaRows own = *layer, *rows = &own;
    own.in_ffn = true;
    size_t d = (size_t)rows->config->width, f = (size_t)rows->config->ffn;
    const float *input = block->folded ? rows->x : mega_rows_input(rows, &block->norm, normed);
    MegaLinear fc1 = {.x = input, .ldx = d, .weight = &block->fc1.weight, .y = inner, .ldy = f,
                      .epilogue = {.function = (MegaFunction)rows->config->activation,
                                   .bias = block->fc1.bias}};
    MegaLinear fc2 = {.x = inner, .ldx = f, .weight = &block->fc2->weight, .y = rows->x, .ldy = d,
                      .epilogue = {.bias = block->fc2->bias, .addend = rows->x, .ld_addend = d}};
    mega_rows_linears(rows, &fc1, 1);
    mega_rows_linears(rows, &fc2, 1);
    mega_rows_finish(rows, &block->norm);
}
