/*
 * mega_maps.h - what a MEGA layer computes alike for whole sequences (mega.c) and for decoded rows
 * (mega_step.c): its dimensions and its linear maps.
 */
#ifndef MEGA_MEGA_MAPS_H
#define MEGA_MEGA_MAPS_H

#include "src/layers/layer.h"
#include "src/layers/mega.h"

/* The letters d, h, z and f of the formulas. */
typedef struct Dims {
    size_t d, h, z, f;
} Dims;

static inline Dims dims_of(const MegaStackConfig *config)
{
    return (Dims){(size_t)config->width, (size_t)mega_gated(config)->hidden,
                  (size_t)mega_gated(config)->zdim, (size_t)config->ffn};
}

/* Returns whether the bias is made of columns of queries and keys (rotation.h). Its table is then
 * one of zeros. */
static inline bool rotates(const MegaStackConfig *config)
{
    return mega_gated(config)->bias == MEGA_BIAS_ROTARY && mega_gated(config)->rotary_float32;
}

/* Returns the columns of queries and keys. */
static inline size_t columns_of(const MegaStackConfig *config)
{
    return (rotates(config) ? 2 : 1) * (size_t)mega_gated(config)->zdim;
}

static inline const MegaLayerWeights *weights_of(const MegaStack *stack, int index)
{
    return (const MegaLayerWeights *)stack->weights + index;
}

/* v = act(Wv x') */
static inline MegaLinear value_map(const MegaStackConfig *config, const MegaLinearWeights *v,
                                   const float *x, float *y, size_t ldy)
{
    return (MegaLinear){
        .x = x,
        .ldx = (size_t)config->width,
        .weight = &v->weight,
        .y = y,
        .ldy = ldy,
        .epilogue = {.function = (MegaFunction)config->activation, .bias = v->bias}};
}

/* z = silu(Wz m) */
static inline MegaLinear z_map(const MegaLinearWeights *z, const float *m, float *y, size_t ldy)
{
    return (MegaLinear){.x = m,
                        .ldx = z->weight.in,
                        .weight = &z->weight,
                        .y = y,
                        .ldy = ldy,
                        .epilogue = {.function = MEGA_FUNCTION_SILU, .bias = z->bias}};
}

/* u = sigmoid(Wu m) */
static inline MegaLinear update_map(const MegaLinearWeights *u, const float *m, float *y,
                                    size_t ldy)
{
    return (MegaLinear){.x = m,
                        .ldx = u->weight.in,
                        .weight = &u->weight,
                        .y = y,
                        .ldy = ldy,
                        .epilogue = {.function = MEGA_FUNCTION_SIGMOID, .bias = u->bias}};
}

/* r = silu(Wr m), and beside it the linear part of the candidate, c = Wc m */
static inline MegaLinear reset_map(const MegaLinearWeights *r_hx, size_t hidden, const float *m,
                                   float *y, size_t ldy)
{
    return (MegaLinear){
        .x = m,
        .ldx = r_hx->weight.in,
        .weight = &r_hx->weight,
        .y = y,
        .ldy = ldy,
        .epilogue = {.function = MEGA_FUNCTION_SILU, .linear_from = hidden, .bias = r_hx->bias}};
}

/* k = gamma[1] z + beta[1] and q = gamma[0] z + beta[0]; q may be z. */
static inline void queries_and_keys(const MegaKernels *kernels, const MegaLayerWeights *weights,
                                    const float *z, size_t rows, size_t zdim, float *q, float *k)
{
    kernels->affine(z, rows, zdim, weights->gamma + zdim, weights->beta + zdim, k);
    kernels->affine(z, rows, zdim, weights->gamma, weights->beta, q);
}

/* The functions of the kind that decode; see layer_kind.h. */
void *mega_state_layout(const MegaStack *stack, int index, const MegaDecoderSizes *sizes,
                        MegaGrowing *memory);
void *mega_step_layout(const MegaStack *stack, const MegaDecoderSizes *sizes, MegaArena *arena);
void mega_step_layer(const MegaPass *pass, const MegaStep *step, int index);

#endif
