/*
 * epilogue_tmpl.h - part of body_tmpl.h: takes the sums of a tile through the epilogue
 * (epilogue.h).
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
    case MEGA_FUNCTION_LAPLACE: return laplace(multiply_add(v, scale, bias));
    case MEGA_FUNCTION_RELU2: return relu2(multiply_add(v, scale, bias));
    }
    return v;
}

/* `finish` works on strips of this many columns. A term that the epilogue leaves out reads these
 * rows instead, which spares the inner loop a branch. */
#define STRIP 64
static const float zeros[STRIP];
static const float ones[STRIP] = {
#define EIGHT 1, 1, 1, 1, 1, 1, 1, 1
    EIGHT, EIGHT, EIGHT, EIGHT, EIGHT, EIGHT, EIGHT, EIGHT
#undef EIGHT
};

/* Points to one row of y and of each term of the epilogue. */
typedef struct FinishedRow {
    float *y;
    const float *bias, *addend, *factor;
    const float *gate; /* NULL without a gate */
    V scale;
} FinishedRow;

/* Finishes the vector at column i, of which n columns exist. */
INLINE void finish_vector(const MegaFunction function, V v, const FinishedRow *row, size_t i,
                          const size_t n)
{
    float *y = row->y + i;
    v = apply(function, v + load_some(row->addend + i, n), load_some(row->bias + i, n),
              row->scale) *
        load_some(row->factor + i, n);
    if (row->gate) {
        V old = load_some(y, n);
        v = multiply_add(load_some(row->gate + i, n), v - old, old);
    }
    store_some(y, v, n);
}

/* Makes a switch that expands case_of(F) for every function F. */
#define EACH_FUNCTION(function, case_of)                                                           \
    switch (function) {                                                                            \
        case_of(MEGA_FUNCTION_LINEAR);                                                             \
        case_of(MEGA_FUNCTION_SILU);                                                               \
        case_of(MEGA_FUNCTION_RELU);                                                               \
        case_of(MEGA_FUNCTION_GELU);                                                               \
        case_of(MEGA_FUNCTION_GELU_TANH);                                                          \
        case_of(MEGA_FUNCTION_TANH);                                                               \
        case_of(MEGA_FUNCTION_SIGMOID);                                                            \
        case_of(MEGA_FUNCTION_LAPLACE);                                                            \
        case_of(MEGA_FUNCTION_RELU2);                                                              \
    }

/* A strip of sums, and the rows of y that are made of them. */
typedef struct Strip {
    const float *sums;
    size_t ld_sums, rows;
    float *y;
    size_t ldy;
} Strip;

/* Finishes at most STRIP columns. It is inlined once per function and with a constant `gated`, so
 * that each combination becomes a loop of its own. */
INLINE void finish_as(const MegaFunction function, const bool gated, const Strip *strip,
                      size_t columns, const MegaEpilogue *e)
{
    const size_t whole = columns / LANES * LANES;
    const float *sums = strip->sums;
    FinishedRow row = {.y = strip->y,
                       .bias = e->bias ? e->bias : zeros,
                       .addend = e->addend ? e->addend : zeros,
                       .factor = e->factor ? e->factor : ones,
                       .gate = gated ? e->gate : NULL,
                       .scale = splat(e->scale)};
    const ptrdiff_t bias_step = e->bias ? e->bias_step : 0;
    const size_t ld_addend = e->addend ? e->ld_addend : 0, ld_factor = e->factor ? e->ld_factor : 0;
    for (size_t r = 0; r < strip->rows; r++) {
        size_t i = 0;
        for (; i < whole; i += LANES)
            finish_vector(function, load(sums + i), &row, i, LANES);
        if (i < columns)
            finish_vector(function, load_part(sums + i, columns - i), &row, i, columns - i);
        sums += strip->ld_sums;
        row.y += strip->ldy;
        row.bias += bias_step;
        row.addend += ld_addend;
        row.factor += ld_factor;
        if (gated)
            row.gate += e->ld_gate;
    }
}

static void finish_strip(const Strip *strip, size_t columns, const MegaEpilogue *e)
{
#define FINISH_COLUMNS(function, count)                                                            \
    if (e->gate)                                                                                   \
        finish_as(function, true, strip, count, e);                                                \
    else                                                                                           \
        finish_as(function, false, strip, count, e)
/* The most frequent number of columns is passed as a constant, so that its loops are unrolled. */
#define FINISH(function)                                                                           \
    case function:                                                                                 \
        if (columns == TILE_COLUMNS) {                                                             \
            FINISH_COLUMNS(function, TILE_COLUMNS);                                                \
        } else {                                                                                   \
            FINISH_COLUMNS(function, columns);                                                     \
        }                                                                                          \
        break
    EACH_FUNCTION(e->function, FINISH)
#undef FINISH
#undef FINISH_COLUMNS
}

static void finish(const float *sums, size_t ld_sums, size_t rows, size_t columns, float *y,
                   size_t ldy, const MegaEpilogue *epilogue)
{
    for (size_t column = 0, count; column < columns; column += count) {
        MegaEpilogue part = mega_epilogue_at(epilogue, 0, column);
        count = columns - column < STRIP ? columns - column : STRIP;
        if (part.linear_from > 0 && part.linear_from < count)
            count = part.linear_from; /* the next strip starts where the function stops */
        finish_strip(&(Strip){sums + column, ld_sums, rows, y + column, ldy}, count, &part);
    }
}

/* Returns whether the epilogue adds y, a bias or nothing, which store_sums does from registers. */
INLINE bool only_adds(const MegaEpilogue *e, const float *y, size_t ldy)
{
    return e->function == MEGA_FUNCTION_LINEAR && e->bias_step == 0 && !e->factor && !e->gate &&
           (!e->addend || (e->addend == y && e->ld_addend == ldy));
}

/* Returns whether the epilogue consists of a bias and a function, the most frequent case. */
INLINE bool only_activates(const MegaEpilogue *e)
{
    return e->bias && !e->addend && !e->factor && !e->gate;
}

INLINE void activate_as(const MegaFunction function, const float *sums, size_t rows, float *y,
                        size_t ldy, const float *bias, ptrdiff_t bias_step, V scale)
{
    for (size_t r = 0; r < rows; r++, sums += TILE_COLUMNS, bias += bias_step, y += ldy)
        UNROLL(4)
        for (int i = 0; i < TILE_COLUMNS; i += LANES)
            store(y + i, apply(function, load(sums + i), load(bias + i), scale));
}

/* Finishes a full-width tile whose epilogue only activates. The number of columns is a constant
 * here: with rows of two vectors, a general loop would take longer than the function itself. */
static __attribute__((noinline)) void activate_tile(MegaFunction function, const float *sums,
                                                    size_t rows, float *y, size_t ldy,
                                                    const float *bias, const MegaEpilogue *e)
{
#define ACTIVATE(function)                                                                         \
    case function:                                                                                 \
        activate_as(function, sums, rows, y, ldy, bias, e->bias_step, splat(e->scale));            \
        break
    EACH_FUNCTION(function, ACTIVATE)
#undef ACTIVATE
}
