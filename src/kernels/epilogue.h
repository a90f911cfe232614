/*
 * epilogue.h - describes how the sums of a matrix product are finished before they are stored. This
 * happens while they are still in registers or in the first-level cache, which saves a pass over
 * memory:
 *
 *     v = f(sum + addend + bias) * factor          y = v, or y + gate * (v - y)
 *
 * All matrices have the shape of y [rows][columns] and `ld_` floats from row to row. A term that is
 * NULL is left out, so that {0} just stores the sums. A row's result does not depend on other rows.
 */
#ifndef MEGA_EPILOGUE_H
#define MEGA_EPILOGUE_H

#include <stddef.h>

/* The activation that a model's configuration names. */
typedef enum MegaActivation {
    MEGA_ACTIVATION_LINEAR,
    MEGA_ACTIVATION_SILU,
    MEGA_ACTIVATION_RELU,
    MEGA_ACTIVATION_GELU,      /* the exact form, with erf */
    MEGA_ACTIVATION_GELU_TANH, /* fairseq's gelu_fast and gelu_accurate */
    MEGA_ACTIVATION_TANH,
    MEGA_ACTIVATION_SIGMOID,
} MegaActivation;

/* An epilogue can apply any of these functions: the activations, the gates' sigmoid (MODEL.md,
 * "Gated attention") and the element-wise attention functions (MODEL.md, "Attention"). */
typedef enum MegaFunction {
    MEGA_FUNCTION_LINEAR = MEGA_ACTIVATION_LINEAR,
    MEGA_FUNCTION_SILU = MEGA_ACTIVATION_SILU,
    MEGA_FUNCTION_RELU = MEGA_ACTIVATION_RELU,
    MEGA_FUNCTION_GELU = MEGA_ACTIVATION_GELU,
    MEGA_FUNCTION_GELU_TANH = MEGA_ACTIVATION_GELU_TANH,
    MEGA_FUNCTION_TANH = MEGA_ACTIVATION_TANH,
    MEGA_FUNCTION_SIGMOID = MEGA_ACTIVATION_SIGMOID,
    MEGA_FUNCTION_LAPLACE,
    MEGA_FUNCTION_RELU2,
} MegaFunction;

typedef struct MegaEpilogue {
    MegaFunction function;
    size_t linear_from; /* columns from here on skip the function; 0 means that none does */
    float scale;        /* LAPLACE and RELU2 multiply sum + addend by it; others ignore it */
    const float *bias;  /* [columns] */
    /* row r uses bias + r * bias_step; -1 gives a bias that depends on column - row */
    ptrdiff_t bias_step;
    const float *addend; /* may be y itself, so that products add up */
    size_t ld_addend;
    const float *factor;
    size_t ld_factor;
    const float *gate; /* the gate u of MODEL.md; quantized weights allow it up to 65,536 inputs */
    size_t ld_gate;
} MegaEpilogue;

/* Returns an epilogue that does y += product. */
static inline MegaEpilogue mega_epilogue_add(const float *y, size_t ldy)
{
    return (MegaEpilogue){.addend = y, .ld_addend = ldy};
}

/* Returns the epilogue for the part of y that begins at this row and column. */
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
