/*
 * body_tmpl.h - the body of every kernel tier. Each tier's file includes it once and defines
 *
 *   VECTOR_BYTES   the width of a vector
 *   KERNELS        the name of its table
 *   KERNELS_NAME   the same name as text
 *
 * V is the compiler's vector of floats, I its vector of 32-bit integers; a comparison yields a mask
 * of all ones or all zeros per lane. load_part and store_part handle the last vector of a row, so
 * that no byte outside the row is touched.
 */
#include "src/kernels/kernels.h"

#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define LANES (VECTOR_BYTES / 4)
typedef float V __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t I __attribute__((vector_size(VECTOR_BYTES)));

static inline V load(const float *p)
{
    V v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float *p, V v)
{
    memcpy(p, &v, sizeof v);
}

static inline V splat(float x)
{
    return x - (V){0};
}

/* These use single instructions where the compiler would make several from the plain form. maximum
 * and minimum return b if either argument is NaN. load_part and store_part touch the first n
 * floats, n <= LANES; load_part fills the rest with 0. */
#if VECTOR_BYTES == 64
static inline V choose(I mask, V yes, V no)
{
    return (V)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)mask), (__m512)no, (__m512)yes);
}

static inline V maximum(V a, V b)
{
    return (V)_mm512_max_ps((__m512)a, (__m512)b);
}

static inline V minimum(V a, V b)
{
    return (V)_mm512_min_ps((__m512)a, (__m512)b);
}

static inline V load_part(const float *p, size_t n)
{
    return (V)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

static inline void store_part(float *p, V v, size_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}
#elif VECTOR_BYTES == 32
static inline V choose(I mask, V yes, V no)
{
    return (V)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)mask);
}

static inline V maximum(V a, V b)
{
    return (V)_mm256_max_ps((__m256)a, (__m256)b);
}

static inline V minimum(V a, V b)
{
    return (V)_mm256_min_ps((__m256)a, (__m256)b);
}

static inline __m256i first_lanes(size_t n)
{
    return (__m256i)(((I){0} + (int32_t)n) > (I){0, 1, 2, 3, 4, 5, 6, 7});
}

static inline V load_part(const float *p, size_t n)
{
    return (V)_mm256_maskload_ps(p, first_lanes(n));
}

static inline void store_part(float *p, V v, size_t n)
{
    _mm256_maskstore_ps(p, first_lanes(n), (__m256)v);
}
#else
static inline V choose(I mask, V yes, V no)
{
    return (V)((mask & (I)yes) | (~mask & (I)no));
}

static inline V maximum(V a, V b)
{
    return choose(a > b, a, b);
}

static inline V minimum(V a, V b)
{
    return choose(a < b, a, b);
}

static inline V load_part(const float *p, size_t n)
{
    V v = {0};
    memcpy(&v, p, n * sizeof *p);
    return v;
}

static inline void store_part(float *p, V v, size_t n)
{
    memcpy(p, &v, n * sizeof *p);
}
#endif

#define INLINE static inline __attribute__((always_inline))

/* a * b + c and c - a * b, rounded once wherever the processor can, also in builds without
 * optimisation. The Makefile forbids the compiler to contract products and sums by itself: it would
 * do so in one tile and not in another, and a row computed alone would differ from the same row in
 * a batch. multiply_add_1 serves the scalar remainder of a row. */
#if VECTOR_BYTES == 64
INLINE V multiply_add(V a, V b, V c)
{
    return (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

INLINE V subtract_product(V c, V a, V b)
{
    return (V)_mm512_fnmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
#elif VECTOR_BYTES == 32
INLINE V multiply_add(V a, V b, V c)
{
    return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

INLINE V subtract_product(V c, V a, V b)
{
    return (V)_mm256_fnmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
#elif defined(__aarch64__)
INLINE V multiply_add(V a, V b, V c)
{
    return (V)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}

INLINE V subtract_product(V c, V a, V b)
{
    return (V)vfmsq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
#else
INLINE V multiply_add(V a, V b, V c)
{
    return a * b + c;
}

INLINE V subtract_product(V c, V a, V b)
{
    return c - a * b;
}
#endif

#if defined(__FMA__) || defined(__aarch64__)
INLINE float multiply_add_1(float a, float b, float c)
{
    return __builtin_fmaf(a, b, c);
}
#else
INLINE float multiply_add_1(float a, float b, float c)
{
    return a * b + c;
}
#endif

/* These reduce all lanes to one number by combining halves. */
#if VECTOR_BYTES == 64
INLINE float sum_lanes(V v)
{
    return _mm512_reduce_add_ps((__m512)v);
}

INLINE float top_lane(V v)
{
    return _mm512_reduce_max_ps((__m512)v);
}

INLINE int32_t sum_integers(I v)
{
    return _mm512_reduce_add_epi32((__m512i)v);
}

INLINE int32_t top_integer(I v)
{
    return _mm512_reduce_max_epi32((__m512i)v);
}
#else
#define REDUCE(name, Scalar, Vector, combined)                                                     \
    INLINE Scalar name(Vector v)                                                                   \
    {                                                                                              \
        Scalar x[LANES];                                                                           \
        memcpy(x, &v, sizeof v);                                                                   \
        for (int half = LANES / 2; half > 0; half /= 2)                                            \
            for (int i = 0; i < half; i++) {                                                       \
                const Scalar a = x[i], b = x[i + half];                                            \
                x[i] = combined;                                                                   \
            }                                                                                      \
        return x[0];                                                                               \
    }
REDUCE(sum_lanes, float, V, a + b)
REDUCE(top_lane, float, V, b > a ? b : a)
REDUCE(sum_integers, int32_t, I, a + b)
REDUCE(top_integer, int32_t, I, b > a ? b : a)
#undef REDUCE
#endif

/* Size of the largest tile. With few rows a tile spans several panels instead, so that enough sums
 * are in flight to hide the latency of a multiply-add. */
#if VECTOR_BYTES == 64
#define REGISTERS 32
#define TILE_ROWS 12
#define TILE_PANELS 2
#define MOST_PANELS 8
#elif VECTOR_BYTES == 32
#define REGISTERS 16
#define TILE_ROWS 6
#define TILE_PANELS 1
#define MOST_PANELS 4
#elif defined(__aarch64__)
#define REGISTERS 32
#define TILE_ROWS 6
#define TILE_PANELS 1
#define MOST_PANELS 4
#else
#define REGISTERS 16
#define TILE_ROWS 3
#define TILE_PANELS 1
#define MOST_PANELS 4
#endif
#define PANEL_VECTORS (MEGA_PANEL / LANES)
#define TILE_COLUMNS (TILE_PANELS * MEGA_PANEL)

#include "src/kernels/math_tmpl.h"
#include "src/kernels/epilogue_tmpl.h"
#include "src/kernels/gemm_tmpl.h"
#include "src/kernels/int8_tmpl.h"

/* ---- Rows ----------------------------------------------------------------------------------- */

static void affine(const float *x, size_t rows, size_t columns, const float *scale,
                   const float *shift, float *out)
{
    for (size_t row = 0; row < rows; row++, x += columns, out += columns) {
        size_t i = 0;
        for (; i + LANES <= columns; i += LANES)
            store(out + i, multiply_add(load(x + i), load(scale + i), load(shift + i)));
        for (; i < columns; i++)
            out[i] = multiply_add_1(x[i], scale[i], shift[i]);
    }
}

/* Returns the sum of (x - center)^2, or of x - center if not `squared`. */
static float sum_row(const float *x, size_t n, float center, bool squared)
{
    V sum = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        V v = load(x + i) - center;
        sum = squared ? multiply_add(v, v, sum) : sum + v;
    }
    float total = sum_lanes(sum);
    for (; i < n; i++) {
        float v = x[i] - center;
        total = squared ? multiply_add_1(v, v, total) : total + v;
    }
    return total;
}

static void layer_norm(const float *x, size_t rows, size_t columns, const float *weight,
                       const float *bias, float *out)
{
    for (size_t row = 0; row < rows; row++, x += columns, out += columns) {
        float mean = sum_row(x, columns, 0.0f, false) / (float)columns;
        float variance = sum_row(x, columns, mean, true) / (float)columns;
        float scale = 1.0f / sqrtf(variance + MEGA_EPSILON);
        for (size_t i = 0; i < columns; i++) {
            float v = (x[i] - mean) * scale;
            out[i] = weight ? multiply_add_1(v, weight[i], bias[i]) : v;
        }
    }
}

static void rms_norm(const float *x, size_t rows, size_t columns, const float *weight, float scalar,
                     float *out)
{
    for (size_t row = 0; row < rows; row++, x += columns, out += columns) {
        float square = sum_row(x, columns, 0.0f, true) / (float)columns;
        float scale = 1.0f / sqrtf(square + MEGA_EPSILON);
        for (size_t i = 0; i < columns; i++)
            out[i] = x[i] * scale * (weight ? weight[i] : scalar);
    }
}

/* ---- Attention ------------------------------------------------------------------------------ */

static float softmax_block(float *s, size_t keys, float scale, const float *bias, float *top,
                           float *sum)
{
    V most = splat(-INFINITY);
    size_t i = 0;
    for (; i + LANES <= keys; i += LANES) {
        V v = multiply_add(load(s + i), splat(scale), load(bias + i));
        store(s + i, v);
        most = maximum(v, most);
    }
    float max = top_lane(most);
    max = max > *top ? max : *top;
    for (size_t j = i; j < keys; j++) {
        s[j] = multiply_add_1(s[j], scale, bias[j]);
        max = s[j] > max ? s[j] : max;
    }
    V total = {0};
    for (i = 0; i + LANES <= keys; i += LANES) {
        V v = vector_exp(load(s + i) - max);
        store(s + i, v);
        total += v;
    }
    if (i < keys) {
        V v = vector_exp(load_part(s + i, keys - i) - max);
        store_part(s + i, v, keys - i);
        for (size_t j = i; j < keys; j++)
            total[0] += s[j];
    }
    float shrink = max > *top ? vector_exp(splat(*top - max))[0] : 1.0f;
    *sum = multiply_add_1(*sum, shrink, sum_lanes(total));
    *top = max;
    return shrink;
}

static void multiply_by(float *x, size_t n, float factor)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

static void softmax_row(float *s, size_t keys, float factor, const float *bias)
{
    float top = -INFINITY, sum = 0;
    softmax_block(s, keys, factor, bias, &top, &sum);
    multiply_by(s, keys, 1.0f / sum);
}

#define FOR_EACH_KEY(function)                                                                     \
    for (; i + LANES <= keys; i += LANES)                                                          \
        store(s + i, function(multiply_add(load(s + i), splat(scale), load(bias + i))));           \
    if (i < keys)                                                                                  \
        store_part(s + i,                                                                          \
                   function(multiply_add(load_part(s + i, keys - i), splat(scale),                 \
                                         load_part(bias + i, keys - i))),                          \
                   keys - i);

static void attention(MegaAttentionKind kind, float *s, size_t keys, float scale, const float *bias)
{
    size_t i = 0;
    switch (kind) {
    case MEGA_ATTENTION_SOFTMAX: softmax_row(s, keys, scale, bias); break;
    case MEGA_ATTENTION_LAPLACE: FOR_EACH_KEY(laplace) break;
    case MEGA_ATTENTION_RELU2: FOR_EACH_KEY(relu2) break;
    }
}

static void attend_keys(const float *q, const float *k, size_t stride, const int32_t *slots,
                        size_t keys, size_t zdim, float *s)
{
    for (size_t j = 0; j < keys; j++) {
        const float *key = k + j * stride + (slots ? (size_t)slots[j] * zdim : 0);
        V even = {0}, odd = {0};
        size_t i = 0;
        for (; i + 2 * LANES <= zdim; i += 2 * LANES) {
            even = multiply_add(load(q + i), load(key + i), even);
            odd = multiply_add(load(q + i + LANES), load(key + i + LANES), odd);
        }
        for (; i < zdim; i += LANES) {
            size_t n = zdim - i < LANES ? zdim - i : LANES;
            even = multiply_add(load_part(q + i, n), load_part(key + i, n), even);
        }
        s[j] = sum_lanes(even + odd);
    }
}

/* values summed in one pass over out; each of them lies contiguously in memory */
#define VALUE_ROWS 8

/* out += sum_j s_j values_j over `count` values; with `first` it starts from 0 instead of out.
 * `count` is a constant where this is inlined, so that the inner loop is unrolled. */
INLINE void add_values(const float *s, const float *const *values, const int count, size_t columns,
                       bool first, float *out)
{
    size_t i = 0;
    for (; i + LANES <= columns; i += LANES) {
        V sum = first ? splat(0) : load(out + i);
        for (int j = 0; j < count; j++)
            sum = multiply_add(splat(s[j]), load(values[j] + i), sum);
        store(out + i, sum);
    }
    if (i < columns) {
        V sum = first ? splat(0) : load_part(out + i, columns - i);
        for (int j = 0; j < count; j++)
            sum = multiply_add(splat(s[j]), load_part(values[j] + i, columns - i), sum);
        store_part(out + i, sum, columns - i);
    }
}

static void attend_values(const float *s, const float *v, size_t stride, const int32_t *slots,
                          size_t keys, size_t width, size_t columns, float *out)
{
    const float *values[VALUE_ROWS];
    for (size_t j = 0, count; j < keys; j += count) {
        count = keys - j < VALUE_ROWS ? 1 : VALUE_ROWS;
        for (size_t n = 0; n < count; n++)
            values[n] = v + (j + n) * stride + (slots ? (size_t)slots[j + n] * width : 0);
        if (count == VALUE_ROWS)
            add_values(s + j, values, VALUE_ROWS, columns, j == 0, out);
        else
            add_values(s + j, values, 1, columns, j == 0, out);
    }
}

static float exp_sum(const float *x, size_t n, float *top)
{
    V most = splat(-INFINITY), sum = {0};
    float rest = 0;
    size_t whole = n / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        most = maximum(most, load(x + i));
    float max = top_lane(most);
    for (size_t i = whole; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < whole; i += LANES) /* adding 0 * x turns infinities into NaN */
        sum += multiply_add(splat(0), load(x + i), vector_exp(load(x + i) - max));
    for (size_t i = whole; i < n; i++)
        rest += vector_exp(splat(x[i] - max))[0] + 0.0f * x[i];
    *top = max;
    return sum_lanes(sum) + rest;
}

/* Adds 256 vectors in float, then adds these partial sums in double, so that a sum of tens of
 * thousands of terms keeps its digits. */
static double log_sum_exp(const float *x, size_t n)
{
    float max = -INFINITY;
    double total = 0;
    for (size_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (size_t begin = 0; begin < n; begin += 256 * LANES) {
        size_t end = n - begin < 256 * LANES ? n : begin + 256 * LANES, i = begin;
        V sum = {0};
        for (; i + LANES <= end; i += LANES)
            sum += vector_exp(load(x + i) - max);
        total += (double)sum_lanes(sum);
        for (; i < end; i++)
            total += (double)vector_exp(splat(x[i] - max))[0];
    }
    return (double)max + log(total);
}

/* ---- Element by element --------------------------------------------------------------------- */

static void multiply(float *restrict x, const float *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= y[i];
}

static void add(float *restrict x, const float *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

/* ---- EMA ------------------------------------------------------------------------------------ */

/* Steps that are worked on at once: x, x of T steps ago and y of as many channels as a vector has
 * lanes lie side by side in the first cache while all groups of states pass over them. */
#define EMA_STEPS 128

typedef struct EmaBlock {
    V x[EMA_STEPS], lagged[EMA_STEPS], y[EMA_STEPS];
} EmaBlock;

/* Rows of a matrix in the order of steps, of the channels that a vector holds. */
typedef struct EmaRows {
    size_t length, width, count;
    bool backward;
} EmaRows;

INLINE size_t row_of(const EmaRows *rows, size_t step)
{
    return (rows->backward ? rows->length - 1 - step : step) * rows->width;
}

INLINE V load_step(const EmaRows *rows, const float *x, size_t step)
{
    const float *at = x + row_of(rows, step);
    return rows->count == LANES ? load(at) : load_part(at, rows->count);
}

/* Loads steps begin ... begin + count - 1 of x * scale + shift. Steps before the first row are
 * 0. */
INLINE void load_steps(const EmaRows *rows, const float *x, V scale, V shift, bool affine,
                       ptrdiff_t begin, size_t count, V *out)
{
    size_t i = 0;
    for (; i < count && begin + (ptrdiff_t)i < 0; i++)
        out[i] = splat(0);
    for (; i < count; i++) {
        V v = load_step(rows, x, (size_t)(begin + (ptrdiff_t)i));
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
    const EmaRows rows = {pass->length, pass->width, count, pass->backward};
    const V scale = pass->scale ? load_part(pass->scale + first, count) : splat(1);
    const V shift = pass->scale ? load_part(pass->shift + first, count) : splat(0);
    const V omega = pass->omega ? load_part(pass->omega + first, count) : splat(0);
    const bool truncated = pass->truncation && begin + steps > pass->truncation;
    const float *x = pass->x + first;
    float *y = pass->y + first;
    EmaBlock block;
    load_steps(&rows, x, scale, shift, pass->scale, (ptrdiff_t)begin, steps, block.x);
    if (truncated)
        load_steps(&rows, x, scale, shift, pass->scale,
                   (ptrdiff_t)begin - (ptrdiff_t)pass->truncation, steps, block.lagged);
    for (size_t i = 0; i < steps; i++)
        block.y[i] = pass->backward ? load_step(&rows, y, begin + i) : splat(0);
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
        store_part(y + row_of(&rows, begin + i), block.y[i], count);
}

static void ema(const MegaEmaPass *pass, size_t first, size_t count, float *state)
{
    const size_t vectors = (count + LANES - 1) / LANES;
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

/* ---- Probes --------------------------------------------------------------------------------- */

static float probe_arithmetic(size_t rounds, float factor)
{
    V sum[MEGA_PROBE_VECTORS], f = splat(factor);
    for (int v = 0; v < MEGA_PROBE_VECTORS; v++)
        sum[v] = splat((float)v);
    for (size_t i = 0; i < rounds; i++)
#pragma GCC unroll 12
        for (int v = 0; v < MEGA_PROBE_VECTORS; v++)
            sum[v] = multiply_add(sum[v], f, f);
    for (int v = 1; v < MEGA_PROBE_VECTORS; v++)
        sum[0] += sum[v];
    return sum_lanes(sum[0]);
}

static int32_t probe_integers(size_t rounds, int32_t factors)
{
    I sum[MEGA_PROBE_VECTORS], w[MEGA_PROBE_VECTORS], x = splat_bits(0x01020304);
    for (int v = 0; v < MEGA_PROBE_VECTORS; v++) {
        sum[v] = splat_bits(v);
        w[v] = splat_bits(v * factors);
    }
    for (size_t i = 0; i < rounds; i++, x ^= 1)
#pragma GCC unroll 12
        for (int v = 0; v < MEGA_PROBE_VECTORS; v++)
            sum[v] = dot4(sum[v], w[v], x);
    for (int v = 1; v < MEGA_PROBE_VECTORS; v++)
        sum[0] += sum[v];
    return sum_integers(sum[0]);
}

static float probe_memory(const float *x, size_t n)
{
    V sum[4] = {{0}};
    for (size_t i = 0; i + 4 * LANES <= n; i += 4 * LANES)
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            sum[v] += load(x + i + v * LANES);
    return sum_lanes(sum[0] + sum[1] + sum[2] + sum[3]);
}

const MegaKernels KERNELS = {
    .name = KERNELS_NAME,
    .lanes = LANES,
    .gemm = gemm,
    .quantize = quantize,
    .gemm_int8 = gemm_int8,
    .finish = finish,
    .affine = affine,
    .layer_norm = layer_norm,
    .rms_norm = rms_norm,
    .attention = attention,
    .softmax_block = softmax_block,
    .attend_keys = attend_keys,
    .attend_values = attend_values,
    .exp_sum = exp_sum,
    .log_sum_exp = log_sum_exp,
    .multiply = multiply,
    .add = add,
    .scale = multiply_by,
    .ema = ema,
    .ema_step = ema_step,
    .ema_output = ema_output,
    .probe_arithmetic = probe_arithmetic,
    .probe_integers = probe_integers,
    .probe_memory = probe_memory,
};
