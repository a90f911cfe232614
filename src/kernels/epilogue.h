/*
 * epilogue.h - what a matrix product's sums go through before they are stored, while they still are
 * in registers or the first cache: no pass over memory of its own.
 *
 *     v = f(sum + addend + bias) * factor          y = v, or y + gate * (v - y)
 *
 * Matrices have the shape of y [rows][columns], `ld_` floats from row to row. What is NULL is left
 * out; {0} stores the sums. A row's result does not depend on its neighbours.
 */
#ifndef MEGA_EPILOGUE_H
#define MEGA_EPILOGUE_H

#include <stddef.h>

/* What a model applies between two linear maps. */
typedef enum MegaActivation {
    MEGA_ACTIVATION_LINEAR,
    MEGA_ACTIVATION_SILU,
    MEGA_ACTIVATION_RELU,
    MEGA_ACTIVATION_GELU,      /* exact, erf */
    MEGA_ACTIVATION_GELU_TANH, /* gelu_fast, gelu_accurate */
    MEGA_ACTIVATION_TANH,
} MegaActivation;

/* An activation of spec section 2, or the gate's or an attention function (section 3). */
typedef enum MegaFunction {
    MEGA_FUNCTION_LINEAR = MEGA_ACTIVATION_LINEAR,
    MEGA_FUNCTION_SILU = MEGA_ACTIVATION_SILU,
    MEGA_FUNCTION_RELU = MEGA_ACTIVATION_RELU,
    MEGA_FUNCTION_GELU = MEGA_ACTIVATION_GELU,
    MEGA_FUNCTION_GELU_TANH = MEGA_ACTIVATION_GELU_TANH,
    MEGA_FUNCTION_TANH = MEGA_ACTIVATION_TANH,
    MEGA_FUNCTION_SIGMOID,
    MEGA_FUNCTION_LAPLACE,
    MEGA_FUNCTION_RELU2,
} MegaFunction;

typedef struct MegaEpilogue {
    MegaFunction function;
    size_t linear_from; /* columns from this one on go without the function; 0: none does */
    float scale;        /* LAPLACE and RELU2 alone: sums (and addend) are multiplied with it */
    const float *bias;  /* [columns] */
    ptrdiff_t bias_step; /* row r takes bias + r * bias_step: -1 for a bias by column - row */
    const float *addend; /* may be y itself: products add up */
    size_t ld_addend;
    const float *factor;
    size_t ld_factor;
    const float *gate; /* spec section 2; with quantized weights for at most 65,536 inputs */
    size_t ld_gate;
} MegaEpilogue;

/* y += product */
static inline MegaEpilogue mega_epilogue_add(const float *y, size_t ldy)
{
    return (MegaEpilogue){.addend = y, .ld_addend = ldy};
}

/* The same for a part of y that begins at this row and column. */
static inline MegaEpilogue mega_epilogue_at(const MegaEpilogue *whole, size_t row, size_t column)
{
    MegaEpilogue part = *whole;
    if (part.bias)
        part.bias += (ptrdiff_t)row * part.bias_step + (ptrdiff_t)column;
    if (part.addend)
        part.addend += row * part.ld_addend + column;
    if (part.factor)
        part.factor += row * part.ld_factor + column;
    if (part.gate)
        part.gate += row * part.ld_gate + column;
    if (part.linear_from > column)
        part.linear_from -= column;
    else if (part.linear_from > 0)
        part.function = MEGA_FUNCTION_LINEAR;
    return part;
}

#endif
