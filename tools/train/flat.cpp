// Operators that walk the sequences of a flat batch: all tokens of all sequences are the rows of
// one matrix, and offsets say where each sequence begins. Values are float32 or bfloat16, sums are
// float32.
//
// flat.py compiles this file on first use and calls it through ctypes. Since it includes none of
// PyTorch's headers, that takes seconds. The operators use the calling thread alone.

#include <vector>

#include "vectors.hpp"

namespace
{

// ---- Moving average ----
//
// y[t] = sum over s of taps[limit - 1 + t - s] * x[s], with s and t in one sequence; `taps` has a
// row for each of the 2 limit - 1 lags. A causal average leaves out s > t. The transposed one has
// s - t in the place of t - s, which makes the gradient of x.

struct Average {
    const float *taps;
    int64_t limit, dim;
    bool causal;
};

constexpr int ROWS = 4; // this many rows of the output are summed together

// Add the contribution of the input at s to `rows` outputs from t0 on.
template <bool transposed>
inline void average_one(const Average &a, Vec v, int64_t s, int64_t t0, int rows, int64_t c,
                        Vec *acc)
{
    for (int i = 0; i < rows; i++) {
        int64_t lag = transposed ? s - t0 - i : t0 + i - s;
        if (!a.causal || lag >= 0)
            acc[i] += v * load(a.taps + (a.limit - 1 + lag) * a.dim + c);
    }
}

template <bool transposed, class T>
void average_sequence(const Average &a, const T *x, T *y, int64_t length)
{
    for (int64_t c = 0; c < a.dim; c += W) {
        for (int64_t t0 = 0; t0 < length; t0 += ROWS) {
            int rows = (int)std::min<int64_t>(ROWS, length - t0);
            int64_t begin = a.causal && transposed ? t0 : 0;
            int64_t end = a.causal && !transposed ? t0 + rows : length;
            Vec acc[ROWS] = {};
            // Inputs that reach every row of a full block need no checks of their lags.
            int64_t free_begin = a.causal && transposed ? std::min(t0 + ROWS - 1, end) : begin;
            int64_t free_end = a.causal && !transposed ? std::min(t0 + 1, end) : end;
            if (rows < ROWS)
                free_begin = free_end = begin;
            for (int64_t s = begin; s < free_begin; s++)
                average_one<transposed>(a, load(x + s * a.dim + c), s, t0, rows, c, acc);
            for (int64_t s = free_begin; s < free_end; s++) {
                Vec v = load(x + s * a.dim + c);
                const float *tap =
                    a.taps + (a.limit - 1 + (transposed ? s - t0 : t0 - s)) * a.dim + c;
                for (int i = 0; i < ROWS; i++)
                    acc[i] += v * load(tap + (transposed ? -i : i) * a.dim);
            }
            for (int64_t s = std::max(free_begin, free_end); s < end; s++)
                average_one<transposed>(a, load(x + s * a.dim + c), s, t0, rows, c, acc);
            for (int i = 0; i < rows; i++)
                store(y + (t0 + i) * a.dim + c, acc[i]);
        }
    }
}

template <class T>
void average(const Average &a, const T *x, T *y, const int32_t *at, int64_t count, bool transposed)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t begin = at[i] * a.dim, length = at[i + 1] - at[i];
        if (transposed)
            average_sequence<true>(a, x + begin, y + begin, length);
        else
            average_sequence<false>(a, x + begin, y + begin, length);
    }
}

// Gradient of the taps of channels c to c + W: products of x and y's gradient at every lag.
template <class T>
void average_taps(const T *x, const T *dy, float *taps, int64_t limit, int64_t dim, int64_t c,
                  const int32_t *at, int64_t count, bool causal)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t length = at[i + 1] - at[i];
        const T *u = x + at[i] * dim + c, *g = dy + at[i] * dim + c;
        for (int64_t lag = causal ? 0 : 1 - length; lag < length; lag++) {
            int64_t s = std::max<int64_t>(0, -lag), end = std::min(length, length - lag);
            Vec even = {}, odd = {};
            for (; s + 1 < end; s += 2) {
                even += load(u + s * dim) * load(g + (s + lag) * dim);
                odd += load(u + (s + 1) * dim) * load(g + (s + 1 + lag) * dim);
            }
            if (s < end)
                even += load(u + s * dim) * load(g + (s + lag) * dim);
            float *p = taps + (limit - 1 + lag) * dim + c;
            store(p, load(p) + (even + odd));
        }
    }
}

// ---- Exponential average ----
//
// At every position t of a sequence, for every state n:
//
//     s[n] = decay[n] s[n] + x[t]        y[t] = sum over n of weight[n] s[n]
//
// `decay` and `weight` are (states, dim). This is the causal moving average whose taps are sums of
// exponentials, in time proportional to the length.

struct Scan {
    const float *decay, *weight;
    int64_t states, dim;
};

constexpr int MOST_STATES = 64;

// The rows of a (states, dim) matrix in the channels from c on.
void load_states(const float *matrix, const Scan &a, int64_t c, Vec *rows)
{
    for (int64_t n = 0; n < a.states; n++)
        rows[n] = load(matrix + n * a.dim + c);
}

template <class T> void scan_sequence(const Scan &a, const T *x, T *y, int64_t length, int64_t c)
{
    Vec decay[MOST_STATES], weight[MOST_STATES], state[MOST_STATES] = {};
    load_states(a.decay, a, c, decay);
    load_states(a.weight, a, c, weight);
    for (int64_t t = 0; t < length; t++) {
        Vec in = load(x + t * a.dim + c), out[2] = {};
        for (int64_t n = 0; n < a.states; n++) {
            state[n] = decay[n] * state[n] + in;
            out[n % 2] += weight[n] * state[n];
        }
        store(y + t * a.dim + c, out[0] + out[1]);
    }
}

// Add the gradients of decay and weight to (states, dim) matrices, and compute that of x. The
// states of all positions are computed again and kept in `history`.
template <class T>
void scan_gradient(const Scan &a, const T *grad, const T *x, T *dx, float *ddecay, float *dweight,
                   int64_t length, int64_t c, std::vector<Vec> &history)
{
    Vec decay[MOST_STATES], weight[MOST_STATES], adjoint[MOST_STATES] = {};
    Vec to_decay[MOST_STATES], to_weight[MOST_STATES];
    load_states(a.decay, a, c, decay);
    load_states(a.weight, a, c, weight);
    load_states(ddecay, a, c, to_decay);
    load_states(dweight, a, c, to_weight);
    history.resize((length + 1) * a.states);
    std::fill_n(history.begin(), a.states, Vec{});
    for (int64_t t = 0; t < length; t++) {
        const Vec *before = &history[t * a.states];
        Vec in = load(x + t * a.dim + c), *now = &history[(t + 1) * a.states];
        for (int64_t n = 0; n < a.states; n++)
            now[n] = decay[n] * before[n] + in;
    }
    for (int64_t t = length - 1; t >= 0; t--) {
        const Vec *before = &history[t * a.states], *now = before + a.states;
        Vec g = load(grad + t * a.dim + c), out[2] = {};
        for (int64_t n = 0; n < a.states; n++) {
            adjoint[n] = decay[n] * adjoint[n] + weight[n] * g;
            to_weight[n] += g * now[n];
            to_decay[n] += adjoint[n] * before[n];
            out[n % 2] += adjoint[n];
        }
        store(dx + t * a.dim + c, out[0] + out[1]);
    }
    for (int64_t n = 0; n < a.states; n++) {
        store(ddecay + n * a.dim + c, to_decay[n]);
        store(dweight + n * a.dim + c, to_weight[n]);
    }
}

template <class T> void scan(const Scan &a, const T *x, T *y, const int32_t *at, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        for (int64_t c = 0; c < a.dim; c += W)
            scan_sequence(a, x + at[i] * a.dim, y + at[i] * a.dim, at[i + 1] - at[i], c);
}

template <class T>
void scan_backward(const Scan &a, const T *grad, const T *x, T *dx, float *ddecay, float *dweight,
                   const int32_t *at, int64_t count)
{
    std::vector<Vec> history;
    for (int64_t i = 0; i < count; i++)
        for (int64_t c = 0; c < a.dim; c += W)
            scan_gradient(a, grad + at[i] * a.dim, x + at[i] * a.dim, dx + at[i] * a.dim, ddecay,
                          dweight, at[i + 1] - at[i], c, history);
}

// ---- Attention ----

template <class T> const float *widen(const T *in, int64_t n, std::vector<float> &out)
{
    out.resize(n);
    for (int64_t i = 0; i < n; i += W) // rows are whole vectors
        store(out.data() + i, load(in + i));
    return out.data();
}

// c (n, m) = a (n, k) times b (m, k) transposed; k is a multiple of W. If causal, columns past the
// diagonal are not used, and may be wrong.
void product_transposed(const float *a, const float *b, float *c, int64_t n, int64_t m, int64_t k,
                        bool causal)
{
    constexpr int A = 2, B = 4;
    for (int64_t i = 0; i < n; i += A) {
        int rows = (int)std::min<int64_t>(A, n - i);
        int64_t end = causal ? i + rows : m;
        for (int64_t j = 0; j < end; j += B) {
            int columns = (int)std::min<int64_t>(B, m - j);
            // Rows past the end are read from the last one, and their sums are dropped.
            const float *pa[A], *pb[B];
            for (int x = 0; x < A; x++)
                pa[x] = a + (i + std::min(x, rows - 1)) * k;
            for (int y = 0; y < B; y++)
                pb[y] = b + (j + std::min(y, columns - 1)) * k;
            Vec acc[A][B] = {};
            for (int64_t l = 0; l < k; l += W)
                for (int x = 0; x < A; x++)
                    for (int y = 0; y < B; y++)
                        acc[x][y] += load(pa[x] + l) * load(pb[y] + l);
            for (int x = 0; x < rows; x++)
                for (int y = 0; y < columns; y++)
                    c[(i + x) * m + j + y] = sum(acc[x][y]);
        }
    }
}

// A matrix of weights whose element (i, j) is at i * row + j * column. In a triangle they are zero
// where j > i (LOWER) or j < i (UPPER).
enum Triangle { WHOLE, LOWER, UPPER };

struct Weights {
    const float *at;
    int64_t row, column;
    Triangle triangle;
};

// c = w times b, for `rows` rows from i on, whose weights are zero outside begin ... end - 1.
template <int rows, class T>
void product_rows(Weights w, const float *b, T *c, int64_t i, int64_t m, int64_t k)
{
    int64_t begin = w.triangle == UPPER ? i : 0, end = w.triangle == LOWER ? i + rows : m;
    w.at += i * w.row;
    c += i * k;
    for (int64_t l = 0; l < k; l += W) {
        Vec acc[rows] = {};
        for (int64_t j = begin; j < end; j++) {
            Vec v = load(b + j * k + l);
            for (int x = 0; x < rows; x++)
                acc[x] += w.at[x * w.row + j * w.column] * v;
        }
        for (int x = 0; x < rows; x++)
            store(c + x * k + l, acc[x]);
    }
}

// c (n, k) = w (n, m) times b (m, k).
template <class T> void product(Weights w, const float *b, T *c, int64_t n, int64_t m, int64_t k)
{
    int64_t i = 0;
    for (; i + 6 <= n; i += 6)
        product_rows<6>(w, b, c, i, m, k);
    for (; i + 2 <= n; i += 2)
        product_rows<2>(w, b, c, i, m, k);
    for (; i < n; i++)
        product_rows<1>(w, b, c, i, m, k);
}

// Turn the scores of one query into weights, in place; keys past `visible` get the weight 0. `bias`
// has a number for each distance and points at that of the first key.
void softmax_row(float *row, int64_t visible, int64_t length, float scale, const float *bias)
{
    float most = -INFINITY, total = 0.0f;
    for (int64_t j = 0; j < visible; j++) {
        row[j] = row[j] * scale + bias[j];
        most = std::max(most, row[j]);
    }
    for (int64_t j = 0; j < visible; j += W) {
        float part[W];
        int64_t n = std::min<int64_t>(W, visible - j);
        for (int64_t i = 0; i < W; i++)
            part[i] = i < n ? row[j + i] - most : -INFINITY;
        store(part, exponential(load(part)));
        for (int64_t i = 0; i < n; i++) {
            row[j + i] = part[i];
            total += part[i];
        }
    }
    for (int64_t j = 0; j < length; j++)
        row[j] = j < visible ? row[j] / total : 0.0f;
}

// Queries (N, z), keys (M, z) and values (M, h) of `count` sequences. The weights of a sequence
// follow those of the sequence before it.
struct Attention {
    const int32_t *queries, *keys; // offsets
    int64_t count, z, h, biases;
    bool causal; // a query sees no key after its own place
    float scale() const
    {
        return 1.0f / std::sqrt((float)z);
    }
};

template <class T>
void attend(const Attention &a, const T *q, const T *k, const T *v, const float *bias, T *out,
            float *weights)
{
    std::vector<float> queries, keys, values;
    for (int64_t s = 0; s < a.count; s++) {
        int64_t n = a.queries[s + 1] - a.queries[s], m = a.keys[s + 1] - a.keys[s];
        const float *fq = widen(q + a.queries[s] * a.z, n * a.z, queries);
        const float *fk = widen(k + a.keys[s] * a.z, m * a.z, keys);
        const float *fv = widen(v + a.keys[s] * a.h, m * a.h, values);
        product_transposed(fq, fk, weights, n, m, a.z, a.causal);
        for (int64_t i = 0; i < n; i++)
            softmax_row(weights + i * m, a.causal ? i + 1 : m, m, a.scale(),
                        bias + a.biases / 2 - i);
        product(Weights{weights, m, 1, a.causal ? LOWER : WHOLE}, fv, out + a.queries[s] * a.h, n,
                m, a.h);
        weights += n * m;
    }
}

// Turn the gradients of a row's weights into gradients of its scores, divided by the root of z, in
// place, and set those of keys that are not visible to zero.
void softmax_gradient(const float *row, float *drow, int64_t visible, int64_t length, float scale,
                      float *dbias)
{
    float mean = 0.0f;
    for (int64_t j = 0; j < visible; j++)
        mean += row[j] * drow[j];
    for (int64_t j = 0; j < visible; j++) {
        float score = row[j] * (drow[j] - mean);
        dbias[j] += score;
        drow[j] = score * scale;
    }
    std::fill(drow + visible, drow + length, 0.0f);
}

template <class T> struct Gradients {
    T *q, *k, *v;
    float *bias;
};

template <class T>
void attend_backward(const Attention &a, const T *grad, const T *q, const T *k, const T *v,
                     const float *weights, Gradients<T> d)
{
    std::vector<float> queries, keys, values, grads, scores;
    for (int64_t s = 0; s < a.count; s++) {
        int64_t n = a.queries[s + 1] - a.queries[s], m = a.keys[s + 1] - a.keys[s];
        const float *fq = widen(q + a.queries[s] * a.z, n * a.z, queries);
        const float *fk = widen(k + a.keys[s] * a.z, m * a.z, keys);
        const float *fv = widen(v + a.keys[s] * a.h, m * a.h, values);
        const float *fg = widen(grad + a.queries[s] * a.h, n * a.h, grads);
        scores.resize(n * m);
        float *ds = scores.data();
        Triangle lower = a.causal ? LOWER : WHOLE, upper = a.causal ? UPPER : WHOLE;
        product(Weights{weights, 1, m, upper}, fg, d.v + a.keys[s] * a.h, m, n, a.h);
        product_transposed(fg, fv, ds, n, m, a.h, a.causal);
        for (int64_t i = 0; i < n; i++)
            softmax_gradient(weights + i * m, ds + i * m, a.causal ? i + 1 : m, m, a.scale(),
                             d.bias + a.biases / 2 - i);
        product(Weights{ds, m, 1, lower}, fk, d.q + a.queries[s] * a.z, n, m, a.z);
        product(Weights{ds, 1, m, upper}, fq, d.k + a.keys[s] * a.z, m, n, a.z);
        weights += n * m;
    }
}

// ---- Cross-entropy ----

struct Loss {
    double smoothed, plain;
};

// Return the loss of one row of logits, and replace them by the loss's gradient times `scale`.
template <class T>
Loss row_loss(T *row, int64_t size, int64_t target, float smoothing, float scale, float *buffer)
{
    Vec most = splat(-INFINITY), sums = {};
    for (int64_t j = 0; j < size; j += W) {
        Vec v = load(row + j);
        store(buffer + j, v);
        most = larger(most, v);
        sums += v;
    }
    float top = greatest(most), chosen = buffer[target];
    Vec exps = {};
    for (int64_t j = 0; j < size; j += W) {
        Vec e = exponential(load(buffer + j) - top);
        store(buffer + j, e);
        exps += e;
    }
    float total = sum(exps), uniform = scale * smoothing / (float)size;
    buffer[target] -= total * (1.0f - smoothing);
    for (int64_t j = 0; j < size; j += W)
        store(row + j, load(buffer + j) * (scale / total) - uniform);
    double log_sum = top + std::log((double)total);
    double plain = log_sum - chosen, spread = log_sum - sum(sums) / (double)size;
    return {(1.0 - smoothing) * plain + smoothing * spread, plain};
}

template <class T>
void cross_entropy(T *logits, int64_t rows, int64_t size, const int64_t *targets, int64_t ignored,
                   float smoothing, float scale, double *losses)
{
    std::vector<float> buffer(size);
    for (int64_t i = 0; i < rows; i++) {
        T *row = logits + i * size;
        if (targets[i] == ignored) {
            memset((void *)row, 0, size * sizeof(T));
            continue;
        }
        Loss loss = row_loss(row, size, targets[i], smoothing, scale, buffer.data());
        losses[0] += loss.smoothed;
        losses[1] += loss.plain;
    }
}

// ---- Gates and dropout ----
//
// All matrices have `rows` rows. One that consists of columns of a wider matrix has a `stride`, the
// floats from one of its rows to the next. Dropout keeps an element by a hash of its place and the
// seed, so that the backward pass keeps the same ones.

struct Drop {
    uint32_t seed, threshold;
    float scale;
    Drop(int64_t seed_, float rate)
        : seed((uint32_t)seed_), threshold((uint32_t)(rate * 4294967296.0)),
          scale(1.0f / (1.0f - rate))
    {
    }
    // Keep or drop the elements from `index` on.
    Vec operator()(Vec v, int64_t index) const
    {
        if (threshold == 0)
            return v;
        Bits h;
        for (int i = 0; i < W; i++)
            h[i] = (uint32_t)i;
        h = (h + (uint32_t)index) * 2654435761u + seed;
        h = (h ^ (h >> 15)) * 2246822519u;
        h = (h ^ (h >> 13)) * 3266489917u;
        h = h ^ (h >> 16);
        return (Vec)((Ints)(v * scale) & (Ints)(h >= threshold));
    }
};

Vec sigmoid(Vec x)
{
    Vec small = exponential(x > 0.0f ? -x : x), whole = 1.0f / (1.0f + small);
    return x > 0.0f ? whole : small * whole;
}

Vec silu_slope(Vec x)
{
    Vec s = sigmoid(x);
    return s + x * s * (1.0f - s);
}

struct Size {
    int64_t rows, dim;
};

// Call f(row, column, index) for every vector of a matrix.
template <class F> inline void for_vectors(Size size, F f)
{
    for (int64_t row = 0; row < size.rows; row++)
        for (int64_t column = 0; column < size.dim; column += W)
            f(row, column, row * size.dim + column);
}

// y = drop(x)
template <class In, class Out> void drop(const In *x, Out *y, Size size, Drop drop)
{
    for_vectors(size, [=](int64_t, int64_t, int64_t i) { store(y + i, drop(load(x + i), i)); });
}

// y = drop(silu(x))
template <class T> void silu(const float *x, T *y, Size size, Drop drop)
{
    for_vectors(size, [=](int64_t, int64_t, int64_t i) {
        Vec v = load(x + i);
        store(y + i, drop(v * sigmoid(v), i));
    });
}

template <class T>
void silu_backward(const T *grad, const float *x, float *dx, Size size, Drop drop)
{
    for_vectors(size, [=](int64_t, int64_t, int64_t i) {
        store(dx + i, drop(load(grad + i), i) * silu_slope(load(x + i)));
    });
}

// y = drop(a * silu(r))
template <class T> void gate(const T *a, const float *r, int64_t stride, T *y, Size size, Drop drop)
{
    for_vectors(size, [=](int64_t row, int64_t column, int64_t i) {
        Vec v = load(r + row * stride + column);
        store(y + i, drop(load(a + i) * v * sigmoid(v), i));
    });
}

template <class T>
void gate_backward(const T *grad, const T *a, const float *r, int64_t stride, T *da, float *dr,
                   Size size, Drop drop)
{
    for_vectors(size, [=](int64_t row, int64_t column, int64_t i) {
        Vec v = load(r + row * stride + column), g = drop(load(grad + i), i);
        store(da + i, g * v * sigmoid(v));
        store(dr + i, g * load(a + i) * silu_slope(v));
    });
}

// y = x + sigmoid(u) * (drop(silu(c)) - x)
void mix(const float *x, const float *u, int64_t stride, const float *c, float *y, Size size,
         Drop drop)
{
    for_vectors(size, [=](int64_t row, int64_t column, int64_t i) {
        Vec v = load(c + i), in = load(x + i), update = sigmoid(load(u + row * stride + column));
        store(y + i, in + update * (drop(v * sigmoid(v), i) - in));
    });
}

struct MixGradients {
    float *x, *u, *c;
};

void mix_backward(const float *grad, const float *x, const float *u, int64_t stride, const float *c,
                  MixGradients d, Size size, Drop drop)
{
    for_vectors(size, [=](int64_t row, int64_t column, int64_t i) {
        Vec v = load(c + i), in = load(x + i), g = load(grad + i);
        Vec update = sigmoid(load(u + row * stride + column));
        store(d.x + i, g - g * update);
        store(d.u + i, g * (drop(v * sigmoid(v), i) - in) * update * (1.0f - update));
        store(d.c + i, drop(g * update, i) * silu_slope(v));
    });
}

} // namespace

// What flat.py calls: each function once for float32 and once for bfloat16.

extern "C" int flat_width(void)
{
    return W;
}

#define EXPORT(suffix, T)                                                                          \
    extern "C" void flat_average_##suffix(const T *x, const float *taps, T *y, const int32_t *at,  \
                                          int64_t count, int64_t limit, int64_t dim, int causal,   \
                                          int transposed)                                          \
    {                                                                                              \
        average(Average{taps, limit, dim, causal != 0}, x, y, at, count, transposed != 0);         \
    }                                                                                              \
    extern "C" void flat_average_taps_##suffix(const T *x, const T *dy, float *taps,               \
                                               const int32_t *at, int64_t count, int64_t limit,    \
                                               int64_t dim, int causal)                            \
    {                                                                                              \
        for (int64_t c = 0; c < dim; c += W)                                                       \
            average_taps(x, dy, taps, limit, dim, c, at, count, causal != 0);                      \
    }                                                                                              \
    extern "C" void flat_scan_##suffix(const T *x, const float *decay, const float *weight, T *y,  \
                                       const int32_t *at, int64_t count, int64_t states,           \
                                       int64_t dim)                                                \
    {                                                                                              \
        scan(Scan{decay, weight, states, dim}, x, y, at, count);                                   \
    }                                                                                              \
    extern "C" void flat_scan_backward_##suffix(                                                   \
        const T *grad, const T *x, const float *decay, const float *weight, T *dx, float *ddecay,  \
        float *dweight, const int32_t *at, int64_t count, int64_t states, int64_t dim)             \
    {                                                                                              \
        scan_backward(Scan{decay, weight, states, dim}, grad, x, dx, ddecay, dweight, at, count);  \
    }                                                                                              \
    extern "C" void flat_attend_##suffix(const T *q, const T *k, const T *v, const float *bias,    \
                                         T *out, float *weights, const int32_t *queries,           \
                                         const int32_t *keys, int64_t count, int64_t z, int64_t h, \
                                         int64_t biases, int causal)                               \
    {                                                                                              \
        attend(Attention{queries, keys, count, z, h, biases, causal != 0}, q, k, v, bias, out,     \
               weights);                                                                           \
    }                                                                                              \
    extern "C" void flat_attend_backward_##suffix(                                                 \
        const T *grad, const T *q, const T *k, const T *v, const float *weights, T *dq, T *dk,     \
        T *dv, float *dbias, const int32_t *queries, const int32_t *keys, int64_t count,           \
        int64_t z, int64_t h, int64_t biases, int causal)                                          \
    {                                                                                              \
        attend_backward(Attention{queries, keys, count, z, h, biases, causal != 0}, grad, q, k, v, \
                        weights, Gradients<T>{dq, dk, dv, dbias});                                 \
    }                                                                                              \
    extern "C" void flat_cross_entropy_##suffix(T *logits, const int64_t *targets, double *losses, \
                                                int64_t rows, int64_t size, int64_t ignored,       \
                                                float smoothing, float scale)                      \
    {                                                                                              \
        cross_entropy(logits, rows, size, targets, ignored, smoothing, scale, losses);             \
    }

#define EXPORT_GATES(suffix, T)                                                                    \
    extern "C" void flat_drop_##suffix(const float *x, T *y, int64_t rows, int64_t dim,            \
                                       int64_t seed, float rate)                                   \
    {                                                                                              \
        drop(x, y, Size{rows, dim}, Drop(seed, rate));                                             \
    }                                                                                              \
    extern "C" void flat_drop_backward_##suffix(const T *x, float *y, int64_t rows, int64_t dim,   \
                                                int64_t seed, float rate)                          \
    {                                                                                              \
        drop(x, y, Size{rows, dim}, Drop(seed, rate));                                             \
    }                                                                                              \
    extern "C" void flat_silu_##suffix(const float *x, T *y, int64_t rows, int64_t dim,            \
                                       int64_t seed, float rate)                                   \
    {                                                                                              \
        silu(x, y, Size{rows, dim}, Drop(seed, rate));                                             \
    }                                                                                              \
    extern "C" void flat_silu_backward_##suffix(const T *grad, const float *x, float *dx,          \
                                                int64_t rows, int64_t dim, int64_t seed,           \
                                                float rate)                                        \
    {                                                                                              \
        silu_backward(grad, x, dx, Size{rows, dim}, Drop(seed, rate));                             \
    }                                                                                              \
    extern "C" void flat_gate_##suffix(const T *a, const float *r, T *y, int64_t stride,           \
                                       int64_t rows, int64_t dim, int64_t seed, float rate)        \
    {                                                                                              \
        gate(a, r, stride, y, Size{rows, dim}, Drop(seed, rate));                                  \
    }                                                                                              \
    extern "C" void flat_gate_backward_##suffix(const T *grad, const T *a, const float *r, T *da,  \
                                                float *dr, int64_t stride, int64_t rows,           \
                                                int64_t dim, int64_t seed, float rate)             \
    {                                                                                              \
        gate_backward(grad, a, r, stride, da, dr, Size{rows, dim}, Drop(seed, rate));              \
    }

EXPORT_GATES(float, float)
EXPORT_GATES(bfloat16, Brain)

extern "C" void flat_mix_float(const float *x, const float *u, const float *c, float *y,
                               int64_t stride, int64_t rows, int64_t dim, int64_t seed, float rate)
{
    mix(x, u, stride, c, y, Size{rows, dim}, Drop(seed, rate));
}

extern "C" void flat_mix_backward_float(const float *grad, const float *x, const float *u,
                                        const float *c, float *dx, float *du, float *dc,
                                        int64_t stride, int64_t rows, int64_t dim, int64_t seed,
                                        float rate)
{
    mix_backward(grad, x, u, stride, c, MixGradients{dx, du, dc}, Size{rows, dim},
                 Drop(seed, rate));
}

EXPORT(float, float)
EXPORT(bfloat16, Brain)
