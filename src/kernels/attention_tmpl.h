/*
 * attention_tmpl.h - part of body_tmpl.h: attention weights of one row, products with keys and
 * values that lie apart, and sums of exponentials. kernels.h documents the functions of the table.
 */

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

/* 2^x = 2^n 2^r with |r| <= 1/2, for |x| <= MEGA_BOUNDED_SCORE / ln 2, where neither overflow nor a
 * denormal result is possible. A polynomial of degree 5 computes 2^r (minimax fit, 1e-7 relative),
 * and n is added to its exponent. */
INLINE V bounded_power(V x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it leaves n in the low bits */
    V n = x + round, r = x - (n - round);
    V p = splat(1.3264728e-3f);
    p = multiply_add(p, r, splat(9.6715130e-3f));
    p = multiply_add(p, r, splat(5.5507336e-2f));
    p = multiply_add(p, r, splat(0.24022242f));
    p = multiply_add(p, r, splat(0.69314700f));
    p = multiply_add(p, r, splat(1));
    return (V)((I)p + ((I)n << 23));
}

#define LOG2_E 1.4426950408889634

/* Returns the exponential of a score; `scale` contains LOG2_E. */
INLINE V score_power(V s, V scale, V bias, const bool has_bias)
{
    return bounded_power(has_bias ? multiply_add(s, scale, bias * (float)LOG2_E) : s * scale);
}

INLINE void exp_row(float *s, size_t keys, V scale, const float *bias, const bool has_bias,
                    float *sum)
{
    const V none = {0};
    V total = {0};
    size_t i = 0;
    for (; i + LANES <= keys; i += LANES) {
        V v = score_power(load(s + i), scale, has_bias ? load(bias + i) : none, has_bias);
        store(s + i, v);
        total += v;
    }
    float all = sum_lanes(total);
    if (i < keys) {
        const size_t n = keys - i;
        V v = score_power(load_part(s + i, n), scale, has_bias ? load_part(bias + i, n) : none,
                          has_bias);
        store_part(s + i, v, n);
        for (; i < keys; i++)
            all += s[i];
    }
    *sum += all;
}

static void exp_rows(const MegaScores *scores)
{
    const V scale = splat((float)((double)scores->scale * LOG2_E));
    const float *bias = scores->bias;
    float *s = scores->s;
    for (size_t row = 0; row < scores->rows; row++, s += scores->ld) {
        if (!bias) {
            exp_row(s, scores->keys, scale, NULL, false, &scores->sums[row]);
            continue;
        }
        exp_row(s, scores->keys, scale, bias, true, &scores->sums[row]);
        bias += scores->bias_step;
    }
}

static float longest_key(const float *panels, size_t keys, size_t columns)
{
    V most = {0}, spoilt = {0}; /* spoilt is 0, or NaN if some key is not finite: 0 * inf is NaN */
    for (size_t key = 0; key < keys; key += MEGA_PANEL, panels += columns * MEGA_PANEL)
        for (size_t part = 0; part < MEGA_PANEL; part += LANES) {
            V even = {0}, odd = {0};
            size_t i = 0;
            for (; i + 2 <= columns; i += 2) {
                V a = load(panels + i * MEGA_PANEL + part);
                V b = load(panels + (i + 1) * MEGA_PANEL + part);
                even = multiply_add(a, a, even);
                odd = multiply_add(b, b, odd);
            }
            if (i < columns) {
                V a = load(panels + i * MEGA_PANEL + part);
                even = multiply_add(a, a, even);
            }
            most = maximum(most, even + odd);
            spoilt = multiply_add(splat(0), even + odd, spoilt);
        }
    return top_lane(most) + sum_lanes(spoilt);
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

/* How many values one pass over `out` adds up. */
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

/* Sums 256 vectors at a time in float and adds these partial sums in double, so that a sum of tens
 * of thousands of terms keeps its digits. */
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
