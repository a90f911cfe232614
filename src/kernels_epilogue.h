/*
 * kernels_epilogue.h - part of kernels_body.h: from the sums of a tile to y, see epilogue.h.
 */

INLINE V apply(const MegaFunction function, V v, V bias, V scale)
{
    switch (function) {
    case MEGA_FUNCTION_LINEAR: return v + bias;
    case MEGA_FUNCTION_SILU: return silu(v + bias);
    case MEGA_FUNCTION_RELU: return relu(v + bias);
    case MEGA_FUNCTION_GELU: return gelu(v + bias);
    case MEGA_FUNCTION_GELU_TANH: return gelu_tanh(v + bias);
    case MEGA_FUNCTION_TANH: return vector_tanh(v + bias);
    case MEGA_FUNCTION_SIGMOID: return vector_sigmoid(v + bias);
    case MEGA_FUNCTION_LAPLACE: return laplace(v * scale + bias);
    case MEGA_FUNCTION_RELU2: return relu2(v * scale + bias);
    }
    return v;
}

/* A vector, of which n columns exist. Reads the missing ones of no matrix but the sums. */
INLINE void finish_vector(const MegaFunction function, V v, float *y, const float *bias,
                          const float *addend, const float *factor, const float *gate, V scale,
                          const size_t n)
{
#define LOAD_COLUMNS(p) (n == LANES ? load(p) : load_part(p, n))
    if (addend)
        v += LOAD_COLUMNS(addend);
    v = apply(function, v, bias ? LOAD_COLUMNS(bias) : splat(0.0f), scale);
    if (factor)
        v *= LOAD_COLUMNS(factor);
    if (gate) {
        V old = LOAD_COLUMNS(y);
        v = old + LOAD_COLUMNS(gate) * (v - old);
    }
#undef LOAD_COLUMNS
    if (n == LANES)
        store(y, v);
    else
        store_part(y, v, n);
}

/* Inlined once per function, so that each becomes a loop of its own. */
INLINE void finish_as(const MegaFunction function, const float *sums, size_t ld_sums, size_t rows,
                      size_t columns, float *y, size_t ldy, const MegaEpilogue *e)
{
    const size_t whole = columns / LANES * LANES;
    const V scale = splat(e->scale);
    for (size_t r = 0; r < rows; r++, sums += ld_sums, y += ldy) {
        const float *bias = e->bias ? e->bias + (ptrdiff_t)r * e->bias_step : NULL;
        const float *addend = e->addend ? e->addend + r * e->ld_addend : NULL;
        const float *factor = e->factor ? e->factor + r * e->ld_factor : NULL;
        const float *gate = e->gate ? e->gate + r * e->ld_gate : NULL;
#define FINISH(v, n)                                                                               \
    finish_vector(function, v, y + i, bias ? bias + i : NULL, addend ? addend + i : NULL,          \
                  factor ? factor + i : NULL, gate ? gate + i : NULL, scale, n)
        size_t i = 0;
        for (; i < whole; i += LANES)
            FINISH(load(sums + i), LANES);
        if (i < columns)
            FINISH(load_part(sums + i, columns - i), columns - i);
#undef FINISH
    }
}

/* Not inlined: every tile ends here. */
static __attribute__((noinline)) void finish(const float *sums, size_t ld_sums, size_t rows,
                                             size_t columns, float *y, size_t ldy,
                                             const MegaEpilogue *epilogue)
{
    if (epilogue->linear_from > 0 && epilogue->linear_from < columns) {
        size_t first = epilogue->linear_from;
        MegaEpilogue rest = mega_epilogue_at(epilogue, 0, first), part = *epilogue;
        part.linear_from = 0;
        finish(sums, ld_sums, rows, first, y, ldy, &part);
        finish(sums + first, ld_sums, rows, columns - first, y + first, ldy, &rest);
        return;
    }
#define CASE(function)                                                                             \
    case function: finish_as(function, sums, ld_sums, rows, columns, y, ldy, epilogue); break
    switch (epilogue->function) {
        CASE(MEGA_FUNCTION_LINEAR);
        CASE(MEGA_FUNCTION_SILU);
        CASE(MEGA_FUNCTION_RELU);
        CASE(MEGA_FUNCTION_GELU);
        CASE(MEGA_FUNCTION_GELU_TANH);
        CASE(MEGA_FUNCTION_TANH);
        CASE(MEGA_FUNCTION_SIGMOID);
        CASE(MEGA_FUNCTION_LAPLACE);
        CASE(MEGA_FUNCTION_RELU2);
    }
#undef CASE
}

/* Whether all that happens is that y, or nothing, is added: done without a detour. */
INLINE bool only_adds(const MegaEpilogue *e, const float *y, size_t ldy)
{
    return e->function == MEGA_FUNCTION_LINEAR && !e->bias && !e->factor && !e->gate &&
           (!e->addend || (e->addend == y && e->ld_addend == ldy));
}
