/*
 * kernels_body.h - the body of every kernel tier. Included once per tier, with
 *   VECTOR_BYTES  width of a vector
 *   KERNELS       name of the table, KERNELS_NAME its name as text
 *
 * V is a vector of floats of the compiler, I one of integers; comparisons give all-ones masks. The
 * last vector of a row goes through load_part and store_part, so no byte outside of a row is
 * touched.
 */
#include "kernels.h"

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

/* Single instructions where the compiler makes several of the plain form. maximum and minimum give
 * b when one of the two is NaN. load_part and store_part touch n < LANES floats, or all. */
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

/* Fixed order, whatever the length: lane by lane. */
static inline float sum_lanes(V v)
{
    float sum = 0;
    for (int i = 0; i < LANES; i++)
        sum += v[i];
    return sum;
}

#define INLINE static inline __attribute__((always_inline))

#include "kernels_gemm.h"
#include "kernels_int8.h"

/* ---- Elementary functions ------------------------------------------------------------------- */

/* e^x = 2^n e^r with |r| <= ln 2 / 2; e^r by a degree 6 polynomial (Chebyshev fit, 9e-8 relative).
 * Below -87 the result is 0, above 88 it stays at e^88. NaN stays NaN. */
static inline V vector_exp(V x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    V clamped = maximum(splat(-87.0f), minimum(splat(88.0f), x));
    V n = (clamped * 1.44269504f + round) - round;
    V r = clamped - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    V p = splat(1.3926175888627768e-3f);
    p = p * r + 8.363173343241215e-3f;
    p = p * r + 4.1666556149721146e-2f;
    p = p * r + 0.16666577756404877f;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;
    V power = (V)((__builtin_convertvector(n, I) + 127) << 23);
    return choose(x < -87.0f, splat(0.0f), p * power);
}

static inline V vector_sigmoid(V x)
{
    return 1.0f / (1.0f + vector_exp(-x));
}

/* erf(x) = x P(x^2) / Q(x^2) on [-3.92, 3.92], a minimax fit of degrees 6 and 5 (1.4e-9 in exact
 * arithmetic); beyond it is constant. NaN stays NaN. */
static inline V vector_erf(V x)
{
    V u = minimum(splat(3.92f), maximum(splat(-3.92f), x)), t = u * u;
    V p = splat(-1.3337246862477059e-8f);
    p = p * t + 4.718048330687452e-6f;
    p = p * t + 3.803801955655217e-4f;
    p = p * t + 3.832397982478142e-3f;
    p = p * t + 5.427852272987366e-2f;
    p = p * t + 0.18470098078250885f;
    p = p * t + 1.128379225730896f;
    V q = splat(6.342134292935953e-5f);
    q = q * t + 1.3050449779257178e-3f;
    q = q * t + 1.5431014820933342e-2f;
    q = q * t + 0.11377568542957306f;
    q = q * t + 0.49702051281929016f;
    q = q * t + 1.0f;
    return u * p / q;
}

static inline V vector_tanh(V x)
{
    return 1.0f - 2.0f / (vector_exp(2.0f * x) + 1.0f);
}

static inline V activate(MegaActivation activation, V x)
{
    switch (activation) {
    case MEGA_ACTIVATION_LINEAR: return x;
    case MEGA_ACTIVATION_SILU: return x * vector_sigmoid(x);
    case MEGA_ACTIVATION_RELU: return choose(x < 0.0f, splat(0.0f), x);
    case MEGA_ACTIVATION_GELU: return 0.5f * x * (1.0f + vector_erf(x * 0.70710678f));
    case MEGA_ACTIVATION_GELU_TANH:
        return 0.5f * x * (1.0f + vector_tanh(0.79788456f * (x + 0.044715f * x * x * x)));
    case MEGA_ACTIVATION_TANH: return vector_tanh(x);
    }
    return x;
}

/* ---- Rows ----------------------------------------------------------------------------------- */

/* Applies an expression in v (and b, the same columns of bias) to every element of a matrix. A
 * macro, because each use must become a loop of its own with the expression inlined. */
#define FOR_EACH_WITH_BIAS(expression)                                                             \
    for (size_t row = 0; row < rows; row++, x += stride) {                                         \
        size_t i = 0;                                                                              \
        for (; i + LANES <= columns; i += LANES) {                                                 \
            V v = load(x + i) + (bias ? load(bias + i) : splat(0.0f));                             \
            store(x + i, expression);                                                              \
        }                                                                                          \
        if (i < columns) {                                                                         \
            V v = load_part(x + i, columns - i) +                                                  \
                  (bias ? load_part(bias + i, columns - i) : splat(0.0f));                         \
            store_part(x + i, expression, columns - i);                                            \
        }                                                                                          \
    }

static void bias_activate(MegaActivation activation, const float *bias, float *x, size_t rows,
                          size_t columns, size_t stride)
{
    switch (activation) { /* outside of the loops, so that each is specialised */
    case MEGA_ACTIVATION_LINEAR: FOR_EACH_WITH_BIAS(v) break;
    case MEGA_ACTIVATION_SILU: FOR_EACH_WITH_BIAS(activate(MEGA_ACTIVATION_SILU, v)) break;
    case MEGA_ACTIVATION_RELU: FOR_EACH_WITH_BIAS(activate(MEGA_ACTIVATION_RELU, v)) break;
    case MEGA_ACTIVATION_GELU: FOR_EACH_WITH_BIAS(activate(MEGA_ACTIVATION_GELU, v)) break;
    case MEGA_ACTIVATION_GELU_TANH:
        FOR_EACH_WITH_BIAS(activate(MEGA_ACTIVATION_GELU_TANH, v)) break;
    case MEGA_ACTIVATION_TANH: FOR_EACH_WITH_BIAS(activate(MEGA_ACTIVATION_TANH, v)) break;
    }
}

static void sigmoid(const float *bias, float *x, size_t rows, size_t columns, size_t stride)
{
    FOR_EACH_WITH_BIAS(vector_sigmoid(v))
}

static void affine(const float *x, size_t rows, size_t columns, const float *scale,
                   const float *shift, float *out)
{
    for (size_t row = 0; row < rows; row++, x += columns, out += columns) {
        size_t i = 0;
        for (; i + LANES <= columns; i += LANES)
            store(out + i, load(x + i) * load(scale + i) + load(shift + i));
        for (; i < columns; i++)
            out[i] = x[i] * scale[i] + shift[i];
    }
}

/* sum of (x - center)^2, or of x when not squared */
static float sum_row(const float *x, size_t n, float center, bool squared)
{
    V sum = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        V v = load(x + i) - center;
        sum += squared ? v * v : v;
    }
    float total = sum_lanes(sum);
    for (; i < n; i++) {
        float v = x[i] - center;
        total += squared ? v * v : v;
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
            out[i] = weight ? v * weight[i] + bias[i] : v;
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
        V v = load(s + i) * scale + load(bias + i);
        store(s + i, v);
        most = maximum(v, most);
    }
    float max = *top;
    for (int lane = 0; lane < LANES; lane++)
        max = most[lane] > max ? most[lane] : max;
    for (size_t j = i; j < keys; j++) {
        s[j] = s[j] * scale + bias[j];
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
    *sum = *sum * shrink + sum_lanes(total);
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

/* The rounded constants are the original's. */
static inline V laplace(V v)
{
    return 0.5f * (1.0f + vector_erf((v - 0.707107f) * (1.0f / (0.282095f * 1.41421356f))));
}

static inline V relu2(V v)
{
    V positive = choose(v < 0.0f, splat(0.0f), v);
    return positive * positive;
}

#define FOR_EACH_KEY(function)                                                                     \
    for (; i + LANES <= keys; i += LANES)                                                          \
        store(s + i, function(load(s + i) * scale + load(bias + i)));                              \
    if (i < keys)                                                                                  \
        store_part(                                                                                \
            s + i, function(load_part(s + i, keys - i) * scale + load_part(bias + i, keys - i)),   \
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
            even += load(q + i) * load(key + i);
            odd += load(q + i + LANES) * load(key + i + LANES);
        }
        for (; i < zdim; i += LANES) {
            size_t n = zdim - i < LANES ? zdim - i : LANES;
            even += load_part(q + i, n) * load_part(key + i, n);
        }
        s[j] = sum_lanes(even + odd);
    }
}

#define VALUE_VECTORS 8 /* sums that stay in registers */

static void attend_values(const float *s, const float *v, size_t stride, const int32_t *slots,
                          size_t keys, size_t width, size_t columns, float *out)
{
    size_t i = 0;
    for (; i + VALUE_VECTORS * LANES <= columns; i += VALUE_VECTORS * LANES) {
        V sum[VALUE_VECTORS] = {0};
        for (size_t j = 0; j < keys; j++) {
            const float *value = v + j * stride + (slots ? (size_t)slots[j] * width : 0) + i;
            for (int n = 0; n < VALUE_VECTORS; n++)
                sum[n] += s[j] * load(value + n * LANES);
        }
        for (int n = 0; n < VALUE_VECTORS; n++)
            store(out + i + n * LANES, sum[n]);
    }
    for (; i < columns; i += LANES) {
        size_t n = columns - i < LANES ? columns - i : LANES;
        V sum = {0};
        for (size_t j = 0; j < keys; j++)
            sum += s[j] * load_part(
                              v + j * stride + (slots ? (size_t)slots[j] * width : 0) + i, n);
        store_part(out + i, sum, n);
    }
}

static float exp_sum(const float *x, size_t n, float *top)
{
    V most = splat(-INFINITY), sum = {0};
    float max = -INFINITY, rest = 0;
    size_t whole = n / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        most = maximum(most, load(x + i));
    for (int lane = 0; lane < LANES; lane++)
        max = most[lane] > max ? most[lane] : max;
    for (size_t i = whole; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < whole; i += LANES)
        sum += vector_exp(load(x + i) - max);
    for (size_t i = whole; i < n; i++)
        rest += vector_exp(splat(x[i] - max))[0];
    *top = max;
    return sum_lanes(sum) + rest;
}

/* Sums of 256 vectors in float, those in double: tens of thousands of terms keep their digits. */
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

static void gate(float *restrict x, const float *restrict u, const float *restrict h, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += u[i] * (h[i] - x[i]);
}

/* ---- EMA ------------------------------------------------------------------------------------ */

/* One group of states over some steps, from `begin` on; the states stay in registers. full: count
 * == LANES. Inlined with constant flags, so that each combination becomes a loop of its own. */
INLINE void
ema_group(const float *x, float *y, size_t length, size_t begin, size_t end, size_t width,
          size_t count, const V *q, const V *w, const V *qt, V *states, size_t truncation,
          bool backward, bool shifted, bool store_first, bool full)
{
    V state[MEGA_EMA_GROUP];
    for (int n = 0; n < MEGA_EMA_GROUP; n++)
        state[n] = states[n];
    for (size_t step = begin; step < end; step++) {
        size_t t = backward ? length - 1 - step : step;
        const float *xt = x + t * width;
        float *yt = y + t * width;
        V in = full ? load(xt) : load_part(xt, count);
        V out = {0};
        if (!store_first)
            out = full ? load(yt) : load_part(yt, count);
        if (shifted)
            for (int n = 0; n < MEGA_EMA_GROUP; n++)
                out += w[n] * state[n];
        if (truncation && step >= truncation) {
            const float *gone = backward ? xt + truncation * width : xt - truncation * width;
            V old = full ? load(gone) : load_part(gone, count);
            for (int n = 0; n < MEGA_EMA_GROUP; n++)
                state[n] = q[n] * state[n] + (in - qt[n] * old);
        } else {
            for (int n = 0; n < MEGA_EMA_GROUP; n++)
                state[n] = q[n] * state[n] + in;
        }
        if (!shifted)
            for (int n = 0; n < MEGA_EMA_GROUP; n++)
                out += w[n] * state[n];
        if (full)
            store(yt, out);
        else
            store_part(yt, out, count);
    }
    for (int n = 0; n < MEGA_EMA_GROUP; n++)
        states[n] = state[n];
}

/* All groups of states pass over so many steps before the next ones come, which then still lie in
 * the caches. */
#define EMA_STEPS 512

static void ema(const float *x, float *y, size_t length, size_t width, size_t first, size_t count,
                const float *q, const float *w, const float *qt, size_t states, size_t ema_stride,
                size_t truncation, bool backward, bool shifted)
{
    V state[MEGA_MAX_NDIM];
    for (size_t n = 0; n < states; n++)
        state[n] = splat(0);
    if (truncation >= length)
        truncation = 0;
    x += first;
    y += first;
    for (size_t begin = 0; begin < length; begin += EMA_STEPS)
        for (size_t n = 0; n < states; n += MEGA_EMA_GROUP) {
            V vq[MEGA_EMA_GROUP], vw[MEGA_EMA_GROUP], vqt[MEGA_EMA_GROUP] = {{0}};
            for (size_t k = 0; k < MEGA_EMA_GROUP; k++) {
                vq[k] = load_part(q + (n + k) * ema_stride, count);
                vw[k] = load_part(w + (n + k) * ema_stride, count);
                if (truncation)
                    vqt[k] = load_part(qt + (n + k) * ema_stride, count);
            }
            const size_t end = length - begin < EMA_STEPS ? length : begin + EMA_STEPS;
            const bool store_first = n == 0 && !backward;
#define EMA_GROUP(tap, ahead, shift, first_one, whole)                                             \
    ema_group(x, y, length, begin, end, width, count, vq, vw, vqt, state + n, tap, ahead, shift,   \
              first_one, whole)
            if (count == LANES && !truncation && !backward)
                EMA_GROUP(0, false, false, store_first, true);
            else if (count == LANES && !truncation && !shifted)
                EMA_GROUP(0, true, false, false, true);
            else if (count == LANES && !backward)
                EMA_GROUP(truncation, false, false, store_first, true);
            else if (count == LANES)
                EMA_GROUP(truncation, true, shifted, false, true);
            else
                EMA_GROUP(truncation, backward, shifted, store_first, false);
#undef EMA_GROUP
        }
}

static void ema_step(const float *x, const float *gone, float *y, size_t rows, size_t width,
                     size_t first, size_t count, const float *q, const float *w, const float *qt,
                     size_t states, size_t ema_stride, const float *state_in, float *state_out)
{
    x += first;
    y += first;
    gone = gone ? gone + first : NULL;
    for (size_t n = 0; n < states; n += MEGA_EMA_GROUP) {
        V vq[MEGA_EMA_GROUP], vw[MEGA_EMA_GROUP], vqt[MEGA_EMA_GROUP] = {0}, state[MEGA_EMA_GROUP];
        for (size_t k = 0; k < MEGA_EMA_GROUP; k++) {
            vq[k] = load_part(q + (n + k) * ema_stride, count);
            vw[k] = load_part(w + (n + k) * ema_stride, count);
            state[k] = load_part(state_in + (n + k) * width + first, count);
            if (gone)
                vqt[k] = load_part(qt + (n + k) * ema_stride, count);
        }
        for (size_t t = 0; t < rows; t++) {
            V in = load_part(x + t * width, count);
            V old = gone ? load_part(gone + t * width, count) : splat(0.0f);
            V out = n ? load_part(y + t * width, count) : splat(0.0f);
            for (size_t k = 0; k < MEGA_EMA_GROUP; k++) {
                state[k] = vq[k] * state[k] + (in - vqt[k] * old);
                out += vw[k] * state[k];
            }
            store_part(y + t * width, out, count);
        }
        for (size_t k = 0; k < MEGA_EMA_GROUP; k++)
            store_part(state_out + (n + k) * width + first, state[k], count);
    }
}

static void ema_output(const float *x, float *y, size_t length, size_t width, size_t first,
                       size_t count, const float *omega)
{
    V scale = load_part(omega + first, count);
    x += first;
    y += first;
    for (size_t t = 0; t < length; t++, x += width, y += width) {
        V v = activate(MEGA_ACTIVATION_SILU, load_part(y, count) + scale * load_part(x, count));
        store_part(y, v, count);
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
            sum[v] = sum[v] * f + f;
    for (int v = 1; v < MEGA_PROBE_VECTORS; v++)
        sum[0] += sum[v];
    return sum_lanes(sum[0]);
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
    .bias_activate = bias_activate,
    .sigmoid = sigmoid,
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
    .gate = gate,
    .ema = ema,
    .ema_step = ema_step,
    .ema_output = ema_output,
    .probe_arithmetic = probe_arithmetic,
    .probe_memory = probe_memory,
};
