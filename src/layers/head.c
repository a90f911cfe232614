/*
 * head.c - see head.h.
 */
#include "src/layers/head.h"

#include <math.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/kernels/linear.h"

void mega_head_layout(MegaHeadMemory *out, const MegaConfig *config, MegaArena *arena)
{
    uint64_t d = (uint64_t)config->encoder.width, inputs = config->head.pair ? 2 : 1;
    out->pooled = mega_arena_floats(arena, inputs * d);
    out->joined = mega_arena_floats(arena, mega_pooled_width(&config->head, d));
    out->hidden[0] = mega_arena_floats(arena, (uint64_t)config->head.width);
    out->hidden[1] = mega_arena_floats(arena, (uint64_t)config->head.width);
    out->sums = mega_arena_take(arena, d * sizeof *out->sums);
    const uint64_t rows = config->head.pooling == MEGA_POOL_NONE ? MEGA_HEAD_ROWS : 0;
    out->gathered = mega_arena_floats(arena, rows * d);
    out->dense = mega_arena_floats(arena, rows * (uint64_t)config->head.width);
}

typedef struct Projection {
    const MegaPass *pass;
    const MegaLinearWeights *linear;
} Projection;

static void project_rows(void *context, size_t task, int worker)
{
    const Projection *projection = context;
    const MegaWorkspace *w = projection->pass->workspace;
    size_t d = (size_t)projection->pass->config->width, first = task * w->row_block;
    size_t rows = mega_block_rows(w, task);
    float *out = w->spare + first * d;
    (void)worker;
    MegaEpilogue silu = {.function = MEGA_FUNCTION_SILU, .bias = projection->linear->bias};
    mega_matmul(projection->pass->kernels, &projection->linear->weight, w->x + first * d, d, rows,
                out, d, &silu);
}

void mega_head_pool_add(const MegaPass *pass, const MegaConfig *config, const MegaWeights *weights,
                        MegaHeadMemory *memory, size_t before, float *pooled)
{
    const MegaWorkspace *w = pass->workspace;
    const MegaPooling pooling = config->head.pooling;
    size_t d = (size_t)config->encoder.width;
    const float *x = w->x;
    if (config->head.projection) {
        Projection work = {pass, &weights->head_projection};
        mega_pool_run(pass->pool, mega_row_blocks(w), project_rows, &work);
        x = w->spare;
    }
    if (pooling == MEGA_POOL_LAST || (pooling == MEGA_POOL_FIRST && before == 0))
        memcpy(pooled, x + (pooling == MEGA_POOL_LAST ? (w->length - 1) * d : 0),
               d * sizeof *pooled);
    if (pooling == MEGA_POOL_LAST || pooling == MEGA_POOL_FIRST)
        return;
    if (before == 0)
        memset(memory->sums, 0, d * sizeof *memory->sums);
    for (size_t t = 0; t < w->length; t++)
        for (size_t i = 0; i < d; i++)
            memory->sums[i] += x[t * d + i];
}

void mega_head_pool_end(const MegaConfig *config, const MegaHeadMemory *memory, size_t length,
                        float *pooled)
{
    const MegaPooling pooling = config->head.pooling;
    const double divisor = pooling == MEGA_POOL_SUM ? 1 : (double)length;
    if (pooling == MEGA_POOL_LAST || pooling == MEGA_POOL_FIRST)
        return;
    for (size_t i = 0; i < (size_t)config->encoder.width; i++)
        pooled[i] = (float)(memory->sums[i] / divisor);
}

/* Joins the two pooled vectors into memory->joined, as the model compares them (MegaPairKind). */
static void join(const MegaHeadConfig *head, MegaHeadMemory *memory, size_t d)
{
    const float *a = memory->pooled, *b = a + d;
    const bool second_first = head->pair_kind == MEGA_PAIR_SECOND_FIRST;
    float *out = memory->joined;
    memcpy(out, second_first ? b : a, d * sizeof *out);
    memcpy(out + d, second_first ? a : b, d * sizeof *out);
    for (size_t i = 0; i < d && head->pair_kind == MEGA_PAIR_COMPARED; i++) {
        out[2 * d + i] = a[i] - b[i];
        out[3 * d + i] = a[i] * b[i];
    }
}

void mega_head_classify(const MegaConfig *config, const MegaWeights *weights,
                        const MegaKernels *kernels, MegaHeadMemory *memory, float *logits)
{
    const MegaHeadConfig *head = &config->head;
    size_t d = (size_t)config->encoder.width, in = d, out = (size_t)head->width;
    const float *x = memory->pooled;
    if (head->pair) {
        join(head, memory, d);
        x = memory->joined;
        in = (size_t)mega_pooled_width(head, d);
    }
    for (int i = 0; i < head->layers; i++) {
        float *y = memory->hidden[i % 2];
        MegaEpilogue activate = {.function = (MegaFunction)head->activation,
                                 .bias = weights->head_layers[i].bias};
        mega_matmul(kernels, &weights->head_layers[i].weight, x, in, 1, y, out, &activate);
        x = y;
        in = out;
    }
    size_t classes = (size_t)head->classes;
    if (classes == 0) {
        memcpy(logits, x, in * sizeof *x);
        return;
    }
    MegaEpilogue bias = {.bias = weights->head_output.bias};
    mega_matmul(kernels, &weights->head_output.weight, x, in, 1, logits, classes, &bias);
}

void mega_head_label(const MegaPass *pass, const MegaConfig *config, const MegaWeights *weights,
                     MegaHeadMemory *memory, const MegaHeadRows *rows)
{
    const MegaHeadConfig *head = &config->head;
    const size_t d = (size_t)config->encoder.width, classes = (size_t)head->classes;
    for (size_t first = 0; first < rows->count; first += MEGA_HEAD_ROWS) {
        const size_t count = mega_min_size(MEGA_HEAD_ROWS, rows->count - first);
        const float *x = memory->gathered;
        for (size_t i = 0; i < count; i++)
            memcpy(memory->gathered + i * d,
                   pass->workspace->x +
                       (rows->positions ? rows->positions[first + i] : first + i) * d,
                   d * sizeof *x);
        if (head->layers > 0) {
            const MegaLinearWeights *layer = &weights->head_layers[0];
            MegaLinear dense = {
                .x = x,
                .ldx = d,
                .weight = &layer->weight,
                .y = memory->dense,
                .ldy = (size_t)head->width,
                .epilogue = {.function = (MegaFunction)head->activation, .bias = layer->bias}};
            mega_linear_run(pass->pool, pass->kernels, &dense, 1, count);
            x = memory->dense;
        }
        MegaLinear out = {.x = x,
                          .ldx = weights->head_output.weight.in,
                          .weight = &weights->head_output.weight,
                          .y = rows->logits + first * classes,
                          .ldy = classes,
                          .epilogue = {.bias = weights->head_output.bias}};
        mega_linear_run(pass->pool, pass->kernels, &out, 1, count);
    }
}

void mega_softmax(const float *logits, int count, float *probabilities)
{
    float max = -INFINITY;
    double sum = 0;
    for (int i = 0; i < count; i++)
        max = logits[i] > max ? logits[i] : max;
    for (int i = 0; i < count; i++) {
        probabilities[i] = expf(logits[i] - max);
        sum += probabilities[i];
    }
    for (int i = 0; i < count; i++)
        probabilities[i] = (float)(probabilities[i] / sum);
}
