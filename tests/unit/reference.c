/*
 * reference.c - see reference.h.
 */
#include "tests/unit/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double *zeros(size_t n)
{
    double *p = calloc(n ? n : 1, sizeof *p);
    if (!p)
        abort();
    return p;
}

static double sigma(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

double reference_activate(MegaActivation activation, double x)
{
    switch (activation) {
    case MEGA_ACTIVATION_LINEAR: return x;
    case MEGA_ACTIVATION_SILU: return x * sigma(x);
    case MEGA_ACTIVATION_RELU: return x > 0 ? x : 0;
    case MEGA_ACTIVATION_GELU: return 0.5 * x * (1 + erf(x / sqrt(2.0)));
    case MEGA_ACTIVATION_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case MEGA_ACTIVATION_TANH: return tanh(x);
    case MEGA_ACTIVATION_SIGMOID: return sigma(x);
    }
    return NAN;
}

void reference_norm(MegaNormKind kind, const MegaNormWeights *weights, size_t width, double *x)
{
    const double eps = 1e-5;
    double mean = 0, variance = 0, square = 0;
    for (size_t i = 0; i < width; i++) {
        mean += x[i] / (double)width;
        square += x[i] * x[i] / (double)width;
    }
    for (size_t i = 0; i < width; i++)
        variance += (x[i] - mean) * (x[i] - mean) / (double)width;
    const bool one = kind == MEGA_NORM_SCALE || kind == MEGA_NORM_SCALARS;
    for (size_t i = 0; i < width; i++) {
        double w = weights->weight ? weights->weight[one ? 0 : i] : 1.0;
        double b = weights->bias && kind != MEGA_NORM_SCALARS ? weights->bias[i] : 0.0;
        switch (kind) {
        case MEGA_NORM_LAYER: x[i] = (x[i] - mean) / sqrt(variance + eps) * w + b; break;
        case MEGA_NORM_SCALE:
        case MEGA_NORM_RMS: x[i] = x[i] / sqrt(square + eps) * w; break;
        case MEGA_NORM_NONE: break;
        case MEGA_NORM_SCALARS:
            x[i] = (x[i] - mean + weights->bias[0]) / sqrt(variance) * weights->weight[0];
            break;
        case MEGA_NORM_BATCH:
            x[i] = (x[i] - weights->mean[i]) / sqrt(weights->variance[i] + eps) * w + b;
            break;
        case MEGA_NORM_MULTIPLY: x[i] *= w; break;
        }
    }
}

void reference_ema(const MegaStackConfig *config, const MegaEmaWeights *weights, const double *x,
                   size_t length, double *out)
{
    const MegaGatedConfig *own = mega_gated(config);
    size_t d = (size_t)config->width, n = (size_t)own->ndim;
    size_t taps =
        own->truncation && (size_t)own->truncation < length ? (size_t)own->truncation : length;
    double *kernel = zeros(taps);
    memset(out, 0, length * d * sizeof *out);
    for (size_t row = 0; row < (size_t)mega_ema_channels(config); row++) {
        bool ahead = row >= d;
        size_t channel = row % d;
        for (size_t j = 0; j < taps; j++) {
            kernel[j] = 0;
            for (size_t s = 0; s < n; s++) {
                size_t at = row * n + s;
                double p = sigma(weights->delta[at]), q = 1 - p * sigma(weights->alpha[at]);
                kernel[j] += p * weights->beta[at] * weights->gamma[at] / sqrt((double)n) *
                             pow(q, (double)j);
            }
        }
        for (size_t t = 0; t < length; t++) {
            for (size_t j = 0; j < taps; j++) {
                size_t lag = ahead && own->ema_shift ? j + 1 : j;
                if (ahead ? t + lag < length : lag <= t)
                    out[t * d + channel] +=
                        kernel[j] * x[(ahead ? t + lag : t - lag) * d + channel];
            }
        }
    }
    for (size_t t = 0; t < length; t++)
        for (size_t i = 0; i < d; i++)
            out[t * d + i] = reference_activate(
                MEGA_ACTIVATION_SILU, out[t * d + i] + weights->omega[i] * x[t * d + i]);
    free(kernel);
}

/* Computes y = x [rows][in] weight^T + bias, where the rows of y are ldy apart. */
static void linear_into(const double *x, size_t rows, const MegaPacked *weight, const float *bias,
                        double *y, size_t ldy)
{
    float *row = calloc(weight->in, sizeof *row);
    if (!row)
        abort();
    for (size_t o = 0; o < weight->out; o++) {
        mega_packed_row(weight, o, row);
        for (size_t r = 0; r < rows; r++) {
            double sum = bias ? bias[o] : 0;
            for (size_t i = 0; i < weight->in; i++)
                sum += x[r * weight->in + i] * row[i];
            y[r * ldy + o] = sum;
        }
    }
    free(row);
}

/* Returns y [rows][out]. */
static double *linear(const double *x, size_t rows, const MegaLinearWeights *weights)
{
    size_t out = weights->weight.out;
    double *y = zeros(rows * out);
    linear_into(x, rows, &weights->weight, weights->bias, y, out);
    return y;
}

void reference_attention_row(MegaAttentionKind kind, double *s, size_t keys)
{
    double max = -INFINITY, sum = 0;
    for (size_t j = 0; j < keys; j++)
        max = fmax(max, s[j]);
    for (size_t j = 0; j < keys; j++) {
        switch (kind) {
        case MEGA_ATTENTION_SOFTMAX: s[j] = exp(s[j] - max); break;
        case MEGA_ATTENTION_RELU2: s[j] = s[j] > 0 ? s[j] * s[j] : 0; break;
        case MEGA_ATTENTION_LAPLACE:
            s[j] = 0.5 * (1 + erf((s[j] - 0.707107) / (0.282095 * sqrt(2.0))));
            break;
        }
        sum += s[j];
    }
    if (kind == MEGA_ATTENTION_SOFTMAX)
        for (size_t j = 0; j < keys; j++)
            s[j] /= sum;
}

static double relative_bias(const MegaStackConfig *config, const MegaLayerWeights *weights,
                            size_t i, size_t j)
{
    const MegaGatedConfig *own = mega_gated(config);
    if (own->bias == MEGA_BIAS_SIMPLE)
        return weights->bias[(size_t)mega_bias_positions(config) - 1 + j - i];
    size_t half = (size_t)own->zdim / 2;
    double sum = 0;
    for (size_t m = 0; m < half; m++) {
        double f = pow(10000.0, -(double)m / (double)half), a = (double)i * f, b = (double)j * f;
        double a1 = weights->rotary_alpha[m], a2 = weights->rotary_alpha[half + m];
        double b1 = weights->rotary_beta[m], b2 = weights->rotary_beta[half + m];
        sum += (a1 * cos(a) - a2 * sin(a)) * (b1 * cos(b) - b2 * sin(b)) +
               (a2 * cos(a) + a1 * sin(a)) * (b2 * cos(b) + b1 * sin(b));
    }
    return sum;
}

/* Returns out [length][h]. */
static double *attend(const MegaStackConfig *config, const MegaLayerWeights *weights,
                      const double *q, const double *k, const double *v, size_t length)
{
    const MegaGatedConfig *own = mega_gated(config);
    size_t h = (size_t)own->hidden, z = (size_t)own->zdim;
    size_t chunk = own->chunk ? (size_t)own->chunk : length;
    double *out = zeros(length * h), *s = zeros(chunk);
    for (size_t t = 0; t < length; t++) {
        size_t start = t / chunk * chunk;
        size_t keys = length - start < chunk ? length - start : chunk;
        for (size_t j = 0; j < keys; j++) {
            double dot = 0;
            for (size_t i = 0; i < z; i++)
                dot += q[t * z + i] * k[(start + j) * z + i];
            double divisor =
                own->attention == MEGA_ATTENTION_SOFTMAX ? sqrt((double)z) : (double)keys;
            s[j] = dot / divisor + relative_bias(config, weights, t - start, j);
        }
        reference_attention_row(own->attention, s, keys);
        for (size_t j = 0; j < keys; j++)
            for (size_t i = 0; i < h; i++)
                out[t * h + i] += s[j] * v[(start + j) * h + i];
    }
    free(s);
    return out;
}

static void activate_all(MegaActivation activation, double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = reference_activate(activation, x[i]);
}

static void norm_all(const MegaStackConfig *config, const MegaNormWeights *weights, double *x,
                     size_t length)
{
    size_t d = (size_t)config->width;
    for (size_t t = 0; t < length; t++)
        reference_norm(config->norm, weights, d, x + t * d);
}

static void gated_attention(const MegaStackConfig *config, const MegaLayerWeights *weights,
                            double *x, size_t length)
{
    const MegaGatedConfig *own = mega_gated(config);
    size_t d = (size_t)config->width, h = (size_t)own->hidden, z = (size_t)own->zdim;
    size_t mx = d + z + h + d;
    double *normed = zeros(length * d), *moved = zeros(length * d);
    double *q = zeros(length * z), *k = zeros(length * z);
    memcpy(normed, x, length * d * sizeof *x);
    if (config->pre_norm)
        norm_all(config, &weights->norm, normed, length);
    double *v = linear(normed, length, &weights->v);
    activate_all(config->activation, v, length * h);
    reference_ema(config, &weights->ema, normed, length, moved);
    double *m = zeros(length * mx);
    linear_into(moved, length, &weights->u.weight, weights->u.bias, m, mx);
    linear_into(moved, length, &weights->z.weight, weights->z.bias, m + d, mx);
    linear_into(moved, length, &weights->r_hx.weight, weights->r_hx.bias, m + d + z, mx);
    for (size_t t = 0; t < length; t++)
        for (size_t i = 0; i < z; i++) {
            double zz = reference_activate(MEGA_ACTIVATION_SILU, m[t * mx + d + i]);
            q[t * z + i] = zz * weights->gamma[i] + weights->beta[i];
            k[t * z + i] = zz * weights->gamma[z + i] + weights->beta[z + i];
        }
    double *a = attend(config, weights, q, k, v, length);
    for (size_t t = 0; t < length; t++)
        for (size_t i = 0; i < h; i++)
            a[t * h + i] *= reference_activate(MEGA_ACTIVATION_SILU, m[t * mx + d + z + i]);
    double *candidate = linear(a, length, &weights->h);
    for (size_t t = 0; t < length; t++)
        for (size_t i = 0; i < d; i++) {
            double u = sigma(m[t * mx + i]);
            double c = reference_activate(config->activation,
                                          candidate[t * d + i] + m[t * mx + d + z + h + i]);
            x[t * d + i] += u * (c - x[t * d + i]);
        }
    if (!config->pre_norm)
        norm_all(config, &weights->norm, x, length);
    free(normed);
    free(moved);
    free(q);
    free(k);
    free(v);
    free(m);
    free(a);
    free(candidate);
}

static void feed_forward(const MegaStackConfig *config, const MegaLayerWeights *weights, double *x,
                         size_t length)
{
    size_t d = (size_t)config->width, f = (size_t)config->ffn;
    double *normed = zeros(length * d);
    memcpy(normed, x, length * d * sizeof *x);
    if (config->pre_norm)
        norm_all(config, &weights->ffn_norm, normed, length);
    double *inner = linear(normed, length, &weights->fc1);
    activate_all(config->activation, inner, length * f);
    double *y = linear(inner, length, &weights->fc2);
    for (size_t i = 0; i < length * d; i++)
        x[i] += y[i];
    if (!config->pre_norm)
        norm_all(config, &weights->ffn_norm, x, length);
    free(normed);
    free(inner);
    free(y);
}

/* Returns element i of the input of a linear embedding at position t. Outside of the input it is
 * zero. */
static double embed_value(const MegaEmbedConfig *embed, const MegaInput *input, size_t t, size_t i)
{
    if (embed->kind == MEGA_EMBED_FRAMES) {
        long hop = embed->frame_hop, at = (long)t * hop - (embed->frame_length - hop) / 2 + (long)i;
        return at >= 0 && (size_t)at < input->length ? input->values[at] : 0;
    }
    size_t p = (size_t)embed->patch, width = (size_t)embed->width, height = (size_t)embed->height;
    size_t channel = i / (p * p), row = t / (width / p) * p + i / p % p;
    size_t column = t % (width / p) * p + i % p;
    return input->values[(channel * height + row) * width + column];
}

static double *embed_input(const MegaConfig *config, const MegaWeights *weights,
                           const MegaInput *input, size_t *length)
{
    const MegaEmbedConfig *embed = &config->embed;
    size_t d = (size_t)config->encoder.width, in = 0;
    *length = input->length;
    if (embed->kind == MEGA_EMBED_FRAMES) {
        in = (size_t)embed->frame_length;
        *length = (input->length + (size_t)embed->frame_hop - 1) / (size_t)embed->frame_hop;
    } else if (embed->kind == MEGA_EMBED_PATCHES) {
        in = (size_t)embed->channels * (size_t)embed->patch * (size_t)embed->patch;
        *length = (size_t)(embed->height / embed->patch) * (size_t)(embed->width / embed->patch);
    }
    double *x = zeros(*length * d);
    float *row = calloc(in + d, sizeof *row);
    if (!row)
        abort();
    for (size_t t = 0; t < *length && embed->kind == MEGA_EMBED_TOKENS; t++) {
        mega_packed_row(&weights->embed.weight, (size_t)input->tokens[t], row);
        for (size_t o = 0; o < d; o++)
            x[t * d + o] = row[o];
    }
    for (size_t o = 0; o < d && embed->kind != MEGA_EMBED_TOKENS; o++) {
        if (in > 0)
            mega_packed_row(&weights->embed.weight, o, row);
        for (size_t t = 0; t < *length; t++) {
            double *at = &x[t * d + o];
            *at = weights->embed.bias[o];
            if (embed->kind == MEGA_EMBED_REAL)
                *at += (double)input->values[t] * weights->embed_real[o];
            for (size_t i = 0; i < in; i++)
                *at += embed_value(embed, input, t, i) * row[i];
            if (weights->positions)
                *at += weights->positions[t * d + o];
        }
    }
    free(row);
    return x;
}

static double *pool(const MegaConfig *config, const MegaWeights *weights, const MegaInput *input)
{
    const MegaStackConfig *stack = &config->encoder;
    const MegaLayerWeights *layers = weights->layers;
    size_t length, d = (size_t)stack->width;
    double *x = embed_input(config, weights, input, &length), *pooled = zeros(d);
    if (stack->embed_norm)
        norm_all(stack, &weights->embed_norm, x, length);
    for (int i = 0; i < stack->layers; i++) {
        gated_attention(stack, &layers[i], x, length);
        if (stack->ffn > 0)
            feed_forward(stack, &layers[i], x, length);
    }
    if (stack->final_norm)
        norm_all(stack, &weights->final_norm, x, length);
    if (config->head.projection) {
        double *y = linear(x, length, &weights->head_projection);
        activate_all(MEGA_ACTIVATION_SILU, y, length * d);
        free(x);
        x = y;
    }
    for (size_t t = 0; t < length; t++)
        for (size_t i = 0; i < d; i++)
            pooled[i] += config->head.pooling == MEGA_POOL_MEAN ? x[t * d + i] / (double)length
                         : t == 0                               ? x[i]
                                                                : 0;
    free(x);
    return pooled;
}

void reference_classify(const MegaConfig *config, const MegaWeights *weights,
                        const MegaInput *inputs, double *logits)
{
    const MegaHeadConfig *head = &config->head;
    size_t d = (size_t)config->encoder.width, in = head->pair ? 2 * d : d;
    double *x = zeros(in);
    for (int i = 0; i < (head->pair ? 2 : 1); i++) { /* the second input comes first */
        double *pooled = pool(config, weights, &inputs[i]);
        memcpy(x + (head->pair && i == 0 ? d : 0), pooled, d * sizeof *x);
        free(pooled);
    }
    for (int i = 0; i < head->layers; i++) {
        size_t width = (size_t)head->width;
        double *y = linear(x, 1, &weights->head_layers[i]);
        activate_all(head->activation, y, width);
        free(x);
        x = y;
        in = width;
    }
    double *y = linear(x, 1, &weights->head_output);
    memcpy(logits, y, (size_t)head->classes * sizeof *logits);
    free(x);
    free(y);
}
