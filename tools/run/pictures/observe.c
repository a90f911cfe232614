/*
 * observe.c - see observe.h.
 */
#include "tools/run/pictures/observe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/layers/attention.h"

/* a term of a kernel is dropped when it has shrunk to this part of its start */
#define NEGLIGIBLE 1e-9
#define ROWS 128 /* queries of one block */

static int no_memory(MegaError *err)
{
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory for looking at the model");
}

const char *observe_unit(const MegaModel *model, bool decoder)
{
    const MegaMeta *meta = mega_model_meta(model);
    MegaEmbedKind kind = decoder ? MEGA_EMBED_TOKENS : model->config.embed.kind;
    const char *unit = "";
    switch (kind) {
    case MEGA_EMBED_REAL: return mega_meta_find(meta, "audio.sample_rate") ? "samples" : "pixels";
    case MEGA_EMBED_FRAMES: return "frames";
    case MEGA_EMBED_PATCHES: return "patches";
    case MEGA_EMBED_TOKENS:
    case MEGA_EMBED_ONE_HOT: break;
    }
    if (mega_meta_find(meta, "text.unit"))
        (void)mega_meta_get_string(meta, "text.unit", &unit, NULL);
    return strcmp(unit, "characters") == 0 ? "characters" : "tokens";
}

const char *observe_model_name(const MegaModel *model, char buffer[256])
{
    const MegaMeta *meta = mega_model_meta(model);
    const char *name = NULL, *path = mega_file_name(model->file);
    if (mega_meta_find(meta, "general.name") &&
        !mega_meta_get_string(meta, "general.name", &name, NULL) && name[0])
        return name;
    if (strcmp(path, "(memory)") == 0) /* a model of a page, which has no file */
        return "a model";
    const char *slash = strrchr(path, '/');
    snprintf(buffer, 256, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(buffer, '.');
    if (dot && dot != buffer)
        *dot = '\0';
    return buffer;
}

static int check_stack(const MegaStack *stack, MegaError *err)
{
    if (!stack->layers)
        return 0;
    const MegaLayerView view = mega_layer_view(stack, 0);
    if ((view.ema && view.gate) || view.heads > 0)
        return 0;
    return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                     "the model's layers are of kind %s, of which there are no pictures; those of "
                     "kind mega or transformer have some",
                     stack->kind->name);
}

int observe_check(const MegaModel *model, MegaError *err)
{
    int code = check_stack(&model->encoder, err);
    return code ? code : check_stack(&model->decoder, err);
}

/* ---- The weights ---------------------------------------------------------------------------- */

int observe_tensor(const MegaModel *model, const char *name, float **out, size_t *count,
                   MegaError *err)
{
    const MegaTensor *tensor = mega_file_find(model->file, name);
    *out = NULL;
    if (!tensor)
        return mega_fail(err, MEGA_ERR_MODEL, "the model file has no tensor %s", name);
    void *bytes = malloc((size_t)tensor->size);
    float *values = malloc((size_t)tensor->elements * sizeof *values);
    int code = bytes && values ? mega_file_read(model->file, tensor, bytes, err) : no_memory(err);
    if (!code)
        mega_dtype_tensor_to_f32(tensor->dtype, bytes, tensor->shape, tensor->rank, values);
    free(bytes);
    if (code) {
        free(values);
        return code;
    }
    *out = values;
    *count = (size_t)tensor->elements;
    return 0;
}

void observe_kernel(const MegaEma *ema, size_t row, size_t lags, float *kernel)
{
    size_t end = ema->truncation && ema->truncation < lags ? ema->truncation : lags;
    memset(kernel, 0, lags * sizeof *kernel);
    for (size_t n = 0; n < ema->states; n++) {
        double q = (double)ema->q[n * ema->channels + row];
        double term = (double)ema->w[n * ema->channels + row], least = fabs(term) * NEGLIGIBLE;
        for (size_t t = 0; t < end && fabs(term) > least; t++) {
            kernel[t] += (float)term;
            term *= q;
        }
    }
}

double observe_reach(const float *kernel, size_t lags)
{
    double total = 0, moment = 0;
    for (size_t t = 0; t < lags; t++) {
        total += fabs((double)kernel[t]);
        moment += fabs((double)kernel[t]) * (double)t;
    }
    return total > 0 ? moment / total : 0;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int observe_layer_reach(const MegaEma *ema, bool ahead, size_t lags, Reach *out, MegaError *err)
{
    size_t d = ema->width;
    float *kernel = malloc(lags * sizeof *kernel);
    double *reach = malloc(d * sizeof *reach);
    int code = kernel && reach ? 0 : no_memory(err);
    if (!code) {
        for (size_t c = 0; c < d; c++) {
            observe_kernel(ema, ahead ? d + c : c, lags, kernel);
            reach[c] = observe_reach(kernel, lags) + (ahead && ema->shifted);
        }
        qsort(reach, d, sizeof *reach, by_size);
        *out = (Reach){reach[d / 10], reach[d / 2], reach[d - 1 - d / 10]};
    }
    free(kernel);
    free(reach);
    return code;
}

static int rotary_bias(const MegaModel *model, const char *prefix, size_t zdim, size_t positions,
                       float *table, MegaError *err)
{
    char name[128];
    float *alpha = NULL, *beta = NULL;
    size_t count;
    snprintf(name, sizeof name, "%s.rotary.alpha", prefix);
    int code = observe_tensor(model, name, &alpha, &count, err);
    snprintf(name, sizeof name, "%s.rotary.beta", prefix);
    if (!code)
        code = observe_tensor(model, name, &beta, &count, err);
    if (!code)
        mega_rotary_table(alpha, beta, zdim, positions, table);
    free(alpha);
    free(beta);
    return code;
}

static int simple_bias(const MegaModel *model, const char *prefix, size_t stored, size_t positions,
                       float *table, MegaError *err)
{
    char name[128];
    float *all = NULL;
    size_t count;
    snprintf(name, sizeof name, "%s.bias", prefix);
    int code = observe_tensor(model, name, &all, &count, err);
    if (!code)
        memcpy(table, all + stored - positions, (2 * positions - 1) * sizeof *table);
    free(all);
    return code;
}

int observe_bias(const MegaModel *model, const MegaStackConfig *stack, const char *prefix,
                 size_t stored, size_t positions, float **table, MegaError *err)
{
    float *values = malloc((2 * positions - 1) * sizeof *values);
    *table = NULL;
    if (!values)
        return no_memory(err);
    int code =
        mega_gated(stack)->bias == MEGA_BIAS_ROTARY
            ? rotary_bias(model, prefix, (size_t)mega_gated(stack)->zdim, positions, values, err)
            : simple_bias(model, prefix, stored, positions, values, err);
    if (code)
        free(values);
    else
        *table = values;
    return code;
}

MatrixStats observe_matrix(const float *values, size_t count)
{
    MatrixStats stats = {0};
    size_t small = 0;
    for (size_t i = 0; i < count; i++) {
        double size = fabs((double)values[i]);
        stats.rms += size * size;
        stats.largest = size > stats.largest ? size : stats.largest;
    }
    stats.rms = sqrt(stats.rms / (double)count);
    for (size_t i = 0; i < count; i++)
        small += fabs((double)values[i]) < 0.1 * stats.rms;
    stats.near_zero = (double)small / (double)count;
    return stats;
}

/* ---- An input ------------------------------------------------------------------------------- */

/* Computes the mean attention that each key of one chunk gets from all its queries; scores is
 * scratch, [ROWS][keys]. */
static void pool_chunk(const MegaStackConfig *stack, const float *q, const float *k, size_t keys,
                       const float *bias, float *scores, float *pooled)
{
    const MegaKernels *kernels = mega_kernels();
    size_t z = (size_t)mega_gated(stack)->zdim;
    bool softmax = mega_gated(stack)->attention == MEGA_ATTENTION_SOFTMAX;
    for (size_t first = 0; first < keys; first += ROWS) {
        size_t rows = keys - first < ROWS ? keys - first : ROWS;
        for (size_t row = 0; row < rows; row++) {
            const size_t seen = mega_gated(stack)->causal ? first + row + 1 : keys;
            const float scale = softmax ? 1.0f / sqrtf((float)z) : 1.0f / (float)seen;
            float *weights = scores + row * keys;
            kernels->attend_keys(q + (first + row) * z, k, z, NULL, seen, z, weights);
            kernels->attention(mega_gated(stack)->attention, weights, seen, scale,
                               bias - first - row);
            kernels->add(pooled, weights, seen);
        }
    }
    kernels->scale(pooled, keys, 1.0f / (float)keys);
}

int observe_attention(const MegaStackConfig *stack, const float *q, const float *k, size_t length,
                      const float *bias, float *pooled, MegaError *err)
{
    size_t z = (size_t)mega_gated(stack)->zdim,
           chunk = mega_gated(stack)->chunk > 0 ? (size_t)mega_gated(stack)->chunk : length;
    if (chunk > length)
        chunk = length;
    float *scores = malloc(ROWS * chunk * sizeof *scores);
    if (!scores)
        return no_memory(err);
    memset(pooled, 0, length * sizeof *pooled);
    for (size_t start = 0; start < length; start += chunk) {
        size_t keys = length - start < chunk ? length - start : chunk;
        pool_chunk(stack, q + start * z, k + start * z, keys, bias, scores, pooled + start);
    }
    free(scores);
    return 0;
}

static int take_memory(Observer *observer, Observed *observed, size_t length)
{
    const MegaLayerView view = mega_layer_view(&observer->model->encoder, 0);
    const int layers = observer->model->config.encoder.layers;
    observed->heads = view.heads > 1 ? view.heads : 1;
    observed->strips = layers * observed->heads;
    observed->length = length;
    observed->attention = calloc((size_t)observed->strips * length, sizeof(float));
    observed->combined = malloc(length * sizeof(float));
    if (view.gate)
        observed->gate = malloc((size_t)layers * length * sizeof(float));
    return observed->attention && observed->combined && (observed->gate || !view.gate)
               ? 0
               : no_memory(&observer->err);
}

/* Adds the weights of some rows of each head, [heads][rows][length], to pooled [heads][length]. */
static void add_heads(size_t heads, size_t rows, const float *weights, size_t length, float *pooled)
{
    for (size_t head = 0; head < heads; head++, pooled += length)
        for (size_t row = 0; row < rows; row++, weights += length)
            mega_kernels()->add(pooled, weights, length);
}

/* Computes out [length], the mean over channels of the update gate u = sigmoid(Wu m). */
static int pool_gate(Observer *observer, int layer, const float *moved, size_t length, float *out)
{
    const MegaKernels *kernels = mega_kernels();
    MegaEpilogue sigmoid = {.function = MEGA_FUNCTION_SIGMOID};
    const MegaLinearWeights *u = mega_layer_view(&observer->model->encoder, layer).gate;
    size_t d = (size_t)observer->model->config.encoder.width;
    float *weight = malloc(d * d * sizeof *weight), *gate = malloc(ROWS * d * sizeof *gate);
    int code = weight && gate ? 0 : no_memory(&observer->err);
    for (size_t row = 0; row < d && !code; row++)
        mega_packed_row(&u->weight, row, weight + row * d);
    sigmoid.bias = u->bias;
    for (size_t first = 0; first < length && !code; first += ROWS) {
        size_t rows = length - first < ROWS ? length - first : ROWS;
        for (size_t row = 0; row < rows; row++)
            kernels->attend_keys(moved + (first + row) * d, weight, d, NULL, d, d, gate + row * d);
        kernels->finish(gate, d, rows, d, gate, d, &sigmoid);
        for (size_t row = 0; row < rows; row++) {
            double sum = 0;
            for (size_t c = 0; c < d; c++)
                sum += (double)gate[row * d + c];
            out[first + row] = (float)(sum / (double)d);
        }
    }
    free(weight);
    free(gate);
    return code;
}

static int pool_attention(Observer *observer, int layer, const float *k, size_t length, float *out)
{
    const MegaStackConfig *stack = &observer->model->config.encoder;
    size_t chunk = mega_gated(stack)->chunk > 0 && (size_t)mega_gated(stack)->chunk < length
                       ? (size_t)mega_gated(stack)->chunk
                       : length;
    float *bias;
    char prefix[64];
    snprintf(prefix, sizeof prefix, "encoder.layer.%d", layer);
    int code = observe_bias(observer->model, stack, prefix, (size_t)mega_bias_positions(stack),
                            chunk, &bias, &observer->err);
    if (code)
        return code;
    code = observe_attention(stack, observer->q, k, length, bias + chunk - 1, out, &observer->err);
    free(bias);
    return code;
}

void observe_tap(void *context, const char *stage, int input, const float *data, size_t rows,
                 size_t columns)
{
    Observer *observer = context;
    Observed *observed = &observer->inputs[input];
    int layer, end = 0;
    if (observer->err.code || sscanf(stage, "layer.%d%n", &layer, &end) != 1)
        return;
    const char *part = stage + end;
    if (!observed->length && take_memory(observer, observed, rows))
        return;
    size_t at = (size_t)layer * rows, size = rows * columns * sizeof *data;
    const int heads = mega_layer_view(&observer->model->encoder, layer).heads;
    if (strcmp(part, ".ema") == 0 && observed->gate) {
        pool_gate(observer, layer, data, rows, observed->gate + at);
    } else if (strcmp(part, ".attn") == 0) {
        add_heads((size_t)heads, rows / (size_t)heads, data, columns,
                  observed->attention + (size_t)layer * (size_t)heads * columns);
    } else if (strcmp(part, ".q") == 0 && heads == 0) {
        free(observer->q);
        observer->q = malloc(size);
        if (observer->q)
            memcpy(observer->q, data, size);
        else
            no_memory(&observer->err);
    } else if (strcmp(part, ".k") == 0 && heads == 0) {
        pool_attention(observer, layer, data, rows, observed->attention + at);
    }
}

/* Divides the attention of a layer, or of a head, by its mean, so that layers or heads can be
 * compared. */
static void level(float *attention, size_t length)
{
    double sum = 0;
    for (size_t j = 0; j < length; j++)
        sum += (double)attention[j];
    if (sum > 0)
        mega_kernels()->scale(attention, length, (float)((double)length / sum));
}

int observe_finish(Observer *observer, MegaError *err)
{
    if (observer->err.code) {
        if (err)
            *err = observer->err;
        return observer->err.code;
    }
    for (int n = 0; n < 2; n++) {
        Observed *observed = &observer->inputs[n];
        size_t length = observed->length;
        if (!length)
            continue;
        memset(observed->combined, 0, length * sizeof(float));
        for (int i = 0; i < observed->strips; i++) {
            float *attention = observed->attention + (size_t)i * length;
            level(attention, length);
            mega_kernels()->add(observed->combined, attention, length);
        }
        mega_kernels()->scale(observed->combined, length, 1.0f / (float)observed->strips);
    }
    return 0;
}

void observer_free(Observer *observer)
{
    for (int n = 0; n < 2; n++) {
        free(observer->inputs[n].attention);
        free(observer->inputs[n].combined);
        free(observer->inputs[n].gate);
    }
    free(observer->q);
    *observer = (Observer){0};
}
