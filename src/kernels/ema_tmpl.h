/*
 * ema_tmpl.h - part of body_tmpl.h: the recurrence of the moving average, over whole sequences and
 * step by step. MegaEmaPass and MegaEmaStep (kernels.h) state the formulas.
 */

/* Steps of a block. For one vector of channels, a block holds x, x of T steps ago, and y; they stay
 * in the first-level cache while all groups of states pass over them. */
#define EMA_STEPS 128

typedef struct EmaBlock {
    V x[EMA_STEPS], lagged[EMA_STEPS], y[EMA_STEPS];
} EmaBlock;

/* Describes one vector of channels of a matrix [length][width], whose rows are visited in the order
 * of steps. */
typedef struct EmaRows {
    size_t length, width;
    size_t count;  /* channels that exist, at most LANES */
    size_t before; /* steps before step 0 whose rows exist (MegaEmaPass.before) */
    bool backward; /* step 0 is the last row */
} EmaRows;

/* Returns the offset of the row of a step. Steps below 0 lie before the first row of the matrix, or
 * after its last one if the pass runs backward. */
INLINE ptrdiff_t row_of(const EmaRows *rows, ptrdiff_t step)
{
    return (rows->backward ? (ptrdiff_t)rows->length - 1 - step : step) * (ptrdiff_t)rows->width;
}

INLINE V load_step(const EmaRows *rows, const float *x, ptrdiff_t step)
{
    return load_some(x + row_of(rows, step), rows->count);
}

/* Loads steps begin ... begin + count - 1 of x * scale + shift. Steps before the sequence are 0. */
INLINE void load_steps(const EmaRows *rows, const float *x, V scale, V shift, bool affine,
                       ptrdiff_t begin, size_t count, V *out)
{
    size_t i = 0;
    for (; i < count && begin + (ptrdiff_t)i < -(ptrdiff_t)rows->before; i++)
        out[i] = splat(0);
    for (; i < count; i++) {
        V v = load_step(rows, x, begin + (ptrdiff_t)i);
        out[i] = affine ? multiply_add(v, scale, shift) : v;
    }
}

/* Runs one group of states over a block; the states stay in registers. The flags are constants
 * where this is inlined, so that each combination becomes a loop of its own. */
INLINE void ema_group(EmaBlock *block, size_t count, const V *q, const V *w, const V *qt,
                      float *states, const bool truncated, const bool shifted)
{
    V state[MEGA_EMA_GROUP];
    for (int n = 0; n < MEGA_EMA_GROUP; n++)
        state[n] = load(states + n * LANES);
    for (size_t i = 0; i < count; i++) {
        V out = block->y[i];
        for (int n = 0; n < MEGA_EMA_GROUP && shifted; n++)
            out = multiply_add(w[n], state[n], out);
        for (int n = 0; n < MEGA_EMA_GROUP; n++) {
            V in = block->x[i];
            if (truncated)
                in = subtract_product(in, qt[n], block->lagged[i]);
            state[n] = multiply_add(q[n], state[n], in);
        }
        for (int n = 0; n < MEGA_EMA_GROUP && !shifted; n++)
            out = multiply_add(w[n], state[n], out);
        block->y[i] = out;
    }
    for (int n = 0; n < MEGA_EMA_GROUP; n++)
        store(states + n * LANES, state[n]);
}

/* Runs steps begin ... begin + steps - 1 of `count` channels, at most LANES. */
static void ema_block(const MegaEmaPass *pass, size_t first, size_t count, size_t begin,
                      size_t steps, float *state)
{
    const EmaRows rows = {pass->length, pass->width, count, pass->before, pass->backward};
    const V scale = pass->scale ? load_part(pass->scale + first, count) : splat(1);
    const V shift = pass->scale ? load_part(pass->shift + first, count) : splat(0);
    const V omega = pass->omega ? load_part(pass->omega + first, count) : splat(0);
    const bool truncated = pass->truncation && pass->before + begin + steps > pass->truncation;
    const float *x = pass->x + first;
    float *y = pass->y + first;
    EmaBlock block;
    load_steps(&rows, x, scale, shift, pass->scale, (ptrdiff_t)begin, steps, block.x);
    if (truncated)
        load_steps(&rows, x, scale, shift, pass->scale,
                   (ptrdiff_t)begin - (ptrdiff_t)pass->truncation, steps, block.lagged);
    for (size_t i = 0; i < steps; i++)
        block.y[i] = pass->backward ? load_step(&rows, y, (ptrdiff_t)(begin + i)) : splat(0);
    for (size_t n = 0; n < pass->states; n += MEGA_EMA_GROUP, state += MEGA_EMA_GROUP * LANES) {
        V q[MEGA_EMA_GROUP], w[MEGA_EMA_GROUP], qt[MEGA_EMA_GROUP] = {{0}};
        for (size_t k = 0; k < MEGA_EMA_GROUP; k++) {
            size_t at = (n + k) * pass->ema_stride + first;
            q[k] = load_part(pass->q + at, count);
            w[k] = load_part(pass->w + at, count);
            if (truncated)
                qt[k] = load_part(pass->qt + at, count);
        }
        if (truncated && pass->shifted)
            ema_group(&block, steps, q, w, qt, state, true, true);
        else if (truncated)
            ema_group(&block, steps, q, w, qt, state, true, false);
        else if (pass->shifted)
            ema_group(&block, steps, q, w, qt, state, false, true);
        else
            ema_group(&block, steps, q, w, qt, state, false, false);
    }
    for (size_t i = 0; i < steps && pass->omega; i++)
        block.y[i] = silu(multiply_add(omega, block.x[i], block.y[i]));
    for (size_t i = 0; i < steps; i++)
        store_part(y + row_of(&rows, (ptrdiff_t)(begin + i)), block.y[i], count);
}

static void ema(const MegaEmaPass *pass, size_t first, size_t count, float *state)
{
    const size_t vectors = (count + LANES - 1) / LANES;
    if (!pass->continues)
        memset(state, 0, vectors * pass->states * LANES * sizeof *state);
    for (size_t begin = 0, steps; begin < pass->length; begin += steps) {
        steps = pass->length - begin < EMA_STEPS ? pass->length - begin : EMA_STEPS;
        for (size_t v = 0; v < vectors; v++) {
            size_t left = count - v * LANES;
            ema_block(pass, first + v * LANES, left < LANES ? left : LANES, begin, steps,
                      state + v * pass->states * LANES);
        }
    }
}

static void ema_step(const MegaEmaStep *step, size_t first, size_t count)
{
    const size_t rows = step->rows, width = step->width, states = step->states;
    const size_t size = mega_ema_state_floats(width, states);
    const size_t begin = first / MEGA_PANEL * states * MEGA_PANEL + first % MEGA_PANEL;
    const size_t *parents = step->parents;
    const float *x = step->x + first, *from = step->from + begin;
    const float *lagged = step->lagged ? step->lagged + first : NULL;
    float *y = step->y + first, *to = step->to + begin;
    for (size_t n = 0; n < states; n += MEGA_EMA_GROUP) {
        V vq[MEGA_EMA_GROUP], vw[MEGA_EMA_GROUP], vqt[MEGA_EMA_GROUP] = {{0}};
        V state[MEGA_EMA_GROUP] = {{0}};
        for (size_t k = 0; k < MEGA_EMA_GROUP; k++) {
            const size_t at = (n + k) * step->ema_stride + first;
            vq[k] = load_part(step->q + at, count);
            vw[k] = load_part(step->w + at, count);
            if (lagged)
                vqt[k] = load_part(step->qt + at, count);
        }
        for (size_t t = 0; t < rows; t++) {
            const bool loads = parents || t == 0, stores = parents || t + 1 == rows;
            const float *old = from + (parents ? parents[t] * size : 0) + n * MEGA_PANEL;
            float *new = to + (parents ? t * size : 0) + n * MEGA_PANEL;
            V in = load_part(x + t * width, count);
            V past = lagged ? load_part(lagged + t * width, count) : splat(0.0f);
            V out = n ? load_part(y + t * width, count) : splat(0.0f);
            for (size_t k = 0; k < MEGA_EMA_GROUP; k++) {
                V before = loads ? load(old + k * MEGA_PANEL) : state[k];
                state[k] = multiply_add(vq[k], before, subtract_product(in, vqt[k], past));
                out = multiply_add(vw[k], state[k], out);
                if (stores)
                    store(new + k * MEGA_PANEL, state[k]);
            }
            store_part(y + t * width, out, count);
        }
    }
}

static void ema_output(const MegaEmaPass *pass, size_t first, size_t count)
{
    const V residual = load_part(pass->omega + first, count);
    const V factor = pass->scale ? load_part(pass->scale + first, count) : splat(1);
    const V offset = pass->scale ? load_part(pass->shift + first, count) : splat(0);
    const size_t width = pass->width;
    const float *x = pass->x + first;
    float *y = pass->y + first;
    for (size_t t = 0; t < pass->length; t++, x += width, y += width) {
        V in = load_part(x, count);
        if (pass->scale)
            in = multiply_add(in, factor, offset);
        store_part(y, silu(multiply_add(residual, in, load_part(y, count))), count);
    }
}
