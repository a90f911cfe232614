/*
 * decoder_layer.c - one decoder layer on the rows of a pass: gated attention (spec section 2),
 * gated cross attention (section 4), feed-forward (section 5).
 *
 * The same formulas as layer.c, with three differences: the past comes from states instead of from
 * earlier rows, a query sees no later key, and weights rather than rows are divided between
 * threads.
 */
#include "src/decode/decoder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "src/kernels/linear.h"

#define EMA_CHANNELS 64 /* of a task */

/* What the steps of one layer share. */
typedef struct Pass {
    MegaDecoder *decoder;
    const MegaStackConfig *config;
    const MegaKernels *kernels;
    MegaPool *pool;
    const MegaPassMemory *memory;
    const MegaLayer *layer;
    const MegaLayerWeights *weights;
    MegaDecoderLayer *state;
    size_t rows;
    bool across;
    bool last; /* layer */
    size_t d, h, z, mx;
    const float *input; /* what v and EMA see: normed, or x for post-norm */
} Pass;

static size_t tasks_of(size_t total, size_t each)
{
    return (total + each - 1) / each;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Calls for each block of rows: a step per row is little work, and blocks are what threads take. */
static void for_rows(Pass *pass, MegaPoolTask run)
{
    mega_pool_run(pass->pool, tasks_of(pass->rows, MEGA_QUERY_ROWS), run, pass);
}

static size_t task_rows(const Pass *pass, size_t task)
{
    return min_size(MEGA_QUERY_ROWS, pass->rows - task * MEGA_QUERY_ROWS);
}

/* y rows lie ldy floats apart. */
static void linear(const Pass *pass, const float *x, const MegaPacked *weight, float *y, size_t ldy,
                   MegaEpilogue epilogue)
{
    MegaLinear l = {.x = x, .ldx = weight->in, .weight = weight, .y = y, .ldy = ldy,
                    .epilogue = epilogue};
    mega_linear_run(pass->pool, pass->kernels, &l, 1, pass->rows);
}

/* ---- EMA ------------------------------------------------------------------------------------ */

/* gone: row t holds x(position + t - T); what lies before the sequence is 0. */
static void gather_gone(const Pass *pass)
{
    const MegaDecoder *decoder = pass->decoder;
    int64_t truncation = pass->config->truncation;
    size_t d = pass->d;
    for (size_t t = 0; t < pass->rows; t++) {
        int64_t position = decoder->position + (int64_t)t - truncation;
        float *gone = pass->memory->gone + t * d;
        if (position < 0)
            memset(gone, 0, d * sizeof *gone);
        else if (position >= decoder->position)
            memcpy(gone, pass->input + (size_t)(position - decoder->position) * d,
                   d * sizeof *gone);
        else
            memcpy(gone, pass->state->history + (size_t)(position % truncation) * d,
                   d * sizeof *gone);
    }
}

static void keep_history(const Pass *pass)
{
    int64_t truncation = pass->config->truncation;
    for (size_t t = 0; t < pass->rows; t++) {
        size_t row = (size_t)((pass->decoder->position + (int64_t)t) % truncation);
        memcpy(pass->state->history + row * pass->d, pass->input + t * pass->d,
               pass->d * sizeof(float));
    }
}

static void ema_channels(void *context, size_t task, int worker)
{
    (void)worker;
    const Pass *pass = context;
    const MegaDecoder *decoder = pass->decoder;
    const MegaKernels *kernels = pass->kernels;
    const MegaEma *ema = &pass->layer->ema;
    const float *gone = decoder->truncate ? pass->memory->gone : NULL;
    const float *from = pass->state->ema[decoder->current];
    float *to = pass->state->ema[!decoder->current], *y = pass->memory->moved;
    size_t d = pass->d, end = min_size((task + 1) * EMA_CHANNELS, d);
    const size_t *parents = pass->decoder->parents;
    if (!pass->across)
        from += parents[0] * mega_ema_state_floats(d, ema->states);
    for (size_t c = task * EMA_CHANNELS; c < end; c += (size_t)kernels->lanes) {
        size_t count = min_size((size_t)kernels->lanes, end - c);
        kernels->ema_step(pass->input, gone, y, pass->rows, d, c, count, ema->q + c, ema->w + c,
                          gone ? ema->qt + c : NULL, ema->states, ema->channels, from, to,
                          pass->across ? parents : NULL);
        kernels->ema_output(pass->input, NULL, NULL, y, pass->rows, d, c, count, ema->omega);
    }
}

static void run_ema(Pass *pass)
{
    if (pass->decoder->truncate)
        gather_gone(pass);
    mega_pool_run(pass->pool, tasks_of(pass->d, EMA_CHANNELS), ema_channels, pass);
    if (pass->decoder->truncate)
        keep_history(pass);
}

/* ---- Attention ------------------------------------------------------------------------------ */

/* The rows' own entries in the tables of keys and values; from one row's to the next's it is
 * entry_stride. */
static size_t first_entry(const Pass *pass)
{
    return pass->decoder->in_chunk * pass->decoder->sequences;
}

static size_t entry_stride(const Pass *pass)
{
    return pass->across ? 1 : pass->decoder->sequences;
}

/* q and k from z, k to its table */
static void make_queries_and_keys(void *context, size_t task, int worker)
{
    (void)worker;
    const Pass *pass = context;
    const MegaKernels *kernels = pass->kernels;
    const MegaLayerWeights *weights = pass->weights;
    const MegaPassMemory *memory = pass->memory;
    size_t first = task * MEGA_QUERY_ROWS, rows = task_rows(pass, task), z = pass->z;
    for (size_t row = first; row < first + rows; row++) {
        const float *zz = memory->mx + row * pass->mx + pass->d;
        size_t entry = first_entry(pass) + row * entry_stride(pass);
        kernels->affine(zz, 1, z, weights->gamma, weights->beta, memory->q + row * z);
        kernels->affine(zz, 1, z, weights->gamma + z, weights->beta + z,
                        pass->state->k + entry * z);
    }
}

/* The entry of j = i in the table of the self attention's bias. */
static const float *bias_center(const Pass *pass)
{
    return pass->config->bias == MEGA_BIAS_ROTARY
               ? pass->state->bias + pass->decoder->bias_positions - 1
               : pass->weights->bias + mega_bias_positions(pass->config) - 1;
}

static float attention_scale(const Pass *pass, size_t keys)
{
    return pass->config->attention == MEGA_ATTENTION_SOFTMAX ? 1.0f / sqrtf((float)pass->z)
                                                             : 1.0f / (float)keys;
}

/* One position of many sequences: a sequence's keys are its ancestors'. Tasks are pieces of a row:
 * a lone sequence with a long past is work for all threads. */
#define KEY_TASK 128
#define MOST_VALUE_COLUMNS 512 /* of a task: long pieces of a value are read fastest */
#define LEAST_VALUE_COLUMNS 64

static const int32_t *ancestors_of(const Pass *pass, size_t row)
{
    return pass->decoder->ancestors + row * pass->decoder->reserved;
}

static float *weights_of(const Pass *pass, size_t row)
{
    return pass->memory->weights + row * pass->decoder->reserved;
}

static void multiply_keys(void *context, size_t task, int worker)
{
    (void)worker;
    const Pass *pass = context;
    size_t keys = pass->decoder->in_chunk + 1, pieces = tasks_of(keys, KEY_TASK);
    size_t row = task / pieces, first = task % pieces * KEY_TASK;
    size_t stride = pass->decoder->sequences * pass->z;
    pass->kernels->attend_keys(pass->memory->q + row * pass->z, pass->state->k + first * stride,
                               stride, ancestors_of(pass, row) + first,
                               min_size(KEY_TASK, keys - first), pass->z,
                               weights_of(pass, row) + first);
}

static void weigh_keys(void *context, size_t row, int worker)
{
    (void)worker;
    const Pass *pass = context;
    size_t keys = pass->decoder->in_chunk + 1;
    pass->kernels->attention(pass->config->attention, weights_of(pass, row), keys,
                             attention_scale(pass, keys),
                             bias_center(pass) - pass->decoder->in_chunk);
}

/* Columns of a task. Each is summed up by itself, so the cut does not show. */
static size_t value_columns(const Pass *pass)
{
    size_t threads = (size_t)mega_pool_threads(pass->pool), pieces = tasks_of(threads, pass->rows);
    size_t blocks = tasks_of(tasks_of(pass->h, pieces), LEAST_VALUE_COLUMNS);
    return min_size(blocks * LEAST_VALUE_COLUMNS, MOST_VALUE_COLUMNS);
}

/* a * r */
static void sum_values(void *context, size_t task, int worker)
{
    (void)worker;
    const Pass *pass = context;
    size_t most = value_columns(pass), pieces = tasks_of(pass->h, most);
    size_t row = task / pieces, first = task % pieces * most;
    size_t columns = min_size(most, pass->h - first);
    pass->kernels->attend_values(weights_of(pass, row), pass->state->v + first,
                                 pass->decoder->sequences * pass->h, ancestors_of(pass, row),
                                 pass->decoder->in_chunk + 1, pass->h, columns,
                                 pass->memory->attended + row * pass->h + first);
    pass->kernels->multiply(pass->memory->attended + row * pass->h + first,
                            pass->memory->mx + row * pass->mx + pass->d + pass->z + first, columns);
}

static void attend_across(Pass *pass)
{
    size_t keys = pass->decoder->in_chunk + 1;
    mega_pool_run(pass->pool, pass->rows * tasks_of(keys, KEY_TASK), multiply_keys, pass);
    mega_pool_run(pass->pool, pass->rows, weigh_keys, pass);
    mega_pool_run(pass->pool, pass->rows * tasks_of(pass->h, value_columns(pass)), sum_values,
                  pass);
}

static void pack_keys(void *context, size_t panel, int worker)
{
    (void)worker;
    const Pass *pass = context;
    size_t z = pass->z, stride = pass->decoder->sequences * z, first = panel * MEGA_PANEL;
    size_t keys = pass->decoder->in_chunk + pass->rows;
    mega_panels_pack(MEGA_F32, pass->memory->key_panels + first * z,
                     pass->state->k + first * stride, stride * sizeof(float),
                     min_size(MEGA_PANEL, keys - first), z);
}

/* A few positions of a block, each seeing the keys up to its own. */
static void attend_rows(void *context, size_t task, int worker)
{
    const Pass *pass = context;
    const MegaDecoder *decoder = pass->decoder;
    size_t first = task * MEGA_QUERY_ROWS, rows = task_rows(pass, task);
    size_t keys = decoder->in_chunk + first + rows; /* of the last row */
    size_t z = pass->z, h = pass->h;
    MegaPacked packed = {.panels = pass->memory->key_panels, .in = z, .out = keys};
    MegaPanels values = {.data = pass->state->v, .panel_stride = MEGA_PANEL,
                         .row_stride = decoder->sequences * h};
    MegaEpilogue reset = {.factor = pass->memory->mx + first * pass->mx + pass->d + z,
                          .ld_factor = pass->mx};
    float *s = pass->memory->scratch + (size_t)worker * pass->memory->scratch_stride;
    mega_matmul(pass->kernels, &packed, pass->memory->q + first * z, z, rows, s, keys,
                &(MegaEpilogue){0});
    for (size_t row = 0; row < rows; row++) {
        size_t seen = decoder->in_chunk + first + row + 1;
        float *weights = s + row * keys;
        pass->kernels->attention(pass->config->attention, weights, seen,
                                 attention_scale(pass, seen), bias_center(pass) - (seen - 1));
        memset(weights + seen, 0, (keys - seen) * sizeof *weights);
    }
    pass->kernels->gemm(s, keys, rows, &values, keys, pass->memory->attended + first * h, h, h,
                        &reset);
}

/* Many positions of one sequence. */
static void attend_block(Pass *pass)
{
    mega_pool_run(pass->pool, tasks_of(pass->decoder->in_chunk + pass->rows, MEGA_PANEL), pack_keys,
                  pass);
    for_rows(pass, attend_rows);
}

/* x + u (h^ - x) with h^ = act(addend + h_proj(a * r)), and the norm of a post-norm layer */
static void gate(const Pass *pass, const MegaLinearWeights *h, const float *u, size_t ld_u,
                 const float *addend, size_t ld_addend, const MegaNorm *norm)
{
    float *x = pass->memory->x;
    linear(pass, pass->memory->attended, &h->weight, x, pass->d,
           (MegaEpilogue){.function = (MegaFunction)pass->config->activation, .bias = h->bias,
                          .addend = addend, .ld_addend = ld_addend, .gate = u, .ld_gate = ld_u});
    if (!pass->config->pre_norm)
        mega_norm_apply(norm, pass->kernels, x, pass->rows, pass->d, x);
}

static void attend(Pass *pass)
{
    const MegaPassMemory *memory = pass->memory;
    const MegaLayerWeights *weights = pass->weights;
    size_t d = pass->d, h = pass->h, z = pass->z;
    const float *bias = weights->mx.bias;
    linear(pass, pass->input, &weights->v.weight, pass->state->v + first_entry(pass) * h,
           entry_stride(pass) * h,
           (MegaEpilogue){.function = (MegaFunction)pass->config->activation,
                          .bias = weights->v.bias});
    const MegaLinear parts[] = {
        {.x = memory->moved, .ldx = d, .weight = &weights->mx.u, .y = memory->mx, .ldy = pass->mx,
         .epilogue = {.function = MEGA_FUNCTION_SIGMOID, .bias = bias}},
        {.x = memory->moved, .ldx = d, .weight = &weights->mx.z, .y = memory->mx + d,
         .ldy = pass->mx, .epilogue = {.function = MEGA_FUNCTION_SILU, .bias = bias + d}},
        {.x = memory->moved, .ldx = d, .weight = &weights->mx.r_hx, .y = memory->mx + d + z,
         .ldy = pass->mx,
         .epilogue = {.function = MEGA_FUNCTION_SILU, .linear_from = h, .bias = bias + d + z}}};
    mega_linear_run(pass->pool, pass->kernels, parts, 3, pass->rows);
    for_rows(pass, make_queries_and_keys);
    if (pass->across)
        attend_across(pass);
    else
        attend_block(pass);
    gate(pass, &weights->h, memory->mx, pass->mx, memory->mx + d + z + h, pass->mx,
         &pass->layer->norm);
}

/* ---- Cross attention ------------------------------------------------------------------------ */

static void cross_row(void *context, size_t row, int worker)
{
    const Pass *pass = context;
    const MegaDecoder *decoder = pass->decoder;
    const MegaPassMemory *memory = pass->memory;
    const MegaKernels *kernels = pass->kernels;
    const MegaEncoded *source = decoder->sources[pass->across ? row : 0];
    size_t d = pass->d, z = pass->z, keys = source->length, stride = 2 * d + z;
    size_t position = (size_t)decoder->position + (pass->across ? 0 : row);
    size_t index = (size_t)(pass->layer - decoder->session->model->decoder.layers);
    const float *center =
        pass->config->bias == MEGA_BIAS_ROTARY
            ? pass->state->cross_bias + decoder->bias_positions - 1
            : pass->weights->cross.bias + decoder->session->model->config.target.cross_positions -
                  1;
    float *u = memory->wide + row * stride, *r = u + d, *q = r + d;
    float *s = pass->last ? memory->cross + row * decoder->longest_source
                          : memory->scratch + (size_t)worker * memory->scratch_stride;
    float *attended = memory->attended + row * d;
    kernels->finish(u, d, 1, d, u, d, &(MegaEpilogue){.function = MEGA_FUNCTION_SIGMOID});
    kernels->finish(r, d, 1, d, r, d, &(MegaEpilogue){.function = MEGA_FUNCTION_SILU});
    kernels->attend_keys(q, source->keys[index], z, NULL, keys, z, s);
    kernels->attention(pass->config->attention, s, keys, attention_scale(pass, keys),
                       center - position);
    kernels->attend_values(s, source->values[index], d, NULL, keys, d, d, attended);
    kernels->multiply(attended, r, d);
}

/* x, or its norm in a pre-norm layer */
static const float *normed_input(const Pass *pass, const MegaNorm *norm)
{
    if (!pass->config->pre_norm)
        return pass->memory->x;
    mega_norm_apply(norm, pass->kernels, pass->memory->x, pass->rows, pass->d,
                    pass->memory->normed);
    return pass->memory->normed;
}

static void cross_attend(Pass *pass)
{
    const MegaPassMemory *memory = pass->memory;
    const MegaCrossWeights *cross = &pass->weights->cross;
    size_t d = pass->d;
    linear(pass, normed_input(pass, &pass->layer->cross_norm), &cross->q.weight, memory->wide,
           2 * d + pass->z, (MegaEpilogue){.bias = cross->q.bias});
    mega_pool_run(pass->pool, pass->rows, cross_row, pass);
    gate(pass, &cross->h, memory->wide, 2 * d + pass->z, NULL, 0, &pass->layer->cross_norm);
}

/* ---- Feed-forward --------------------------------------------------------------------------- */

static void feed_forward(Pass *pass)
{
    const MegaPassMemory *memory = pass->memory;
    const MegaNorm *norm = &pass->layer->ffn_norm;
    size_t d = pass->d, f = (size_t)pass->config->ffn;
    const MegaLinearWeights *fc1 = &pass->layer->fc1, *fc2 = &pass->weights->fc2;
    const float *input = pass->layer->ffn_folded ? memory->x : normed_input(pass, norm);
    MegaEpilogue residual = mega_epilogue_add(memory->x, d);
    residual.bias = fc2->bias;
    linear(pass, input, &fc1->weight, memory->wide, f,
           (MegaEpilogue){.function = (MegaFunction)pass->config->activation, .bias = fc1->bias});
    linear(pass, memory->wide, &fc2->weight, memory->x, d, residual);
    if (!pass->config->pre_norm)
        mega_norm_apply(norm, pass->kernels, memory->x, pass->rows, d, memory->x);
}

/* ---- The layer ------------------------------------------------------------------------------ */

/* Shows [rows][columns] that lie `stride` floats apart, through memory.wide. */
static void tap(const Pass *pass, int index, const char *part, const float *data, size_t columns,
                size_t stride)
{
    const MegaSession *session = pass->decoder->session;
    char stage[48];
    if (!session->tap)
        return;
    for (size_t row = 0; row < pass->rows && stride != columns; row++)
        memcpy(pass->memory->wide + row * columns, data + row * stride, columns * sizeof *data);
    snprintf(stage, sizeof stage, "decoder.layer.%d%s", index, part);
    session->tap(session->tap_context, stage, 0, stride == columns ? data : pass->memory->wide,
                 pass->rows, columns);
}

void mega_decoder_layer_run(MegaDecoder *decoder, size_t rows, bool across, int index)
{
    const MegaStack *stack = &decoder->session->model->decoder;
    const MegaStackConfig *config = &decoder->config;
    Pass pass = {.decoder = decoder, .config = config, .kernels = decoder->session->kernels,
                 .pool = decoder->session->pool, .memory = &decoder->memory,
                 .layer = &stack->layers[index], .weights = &stack->weights[index],
                 .state = &decoder->layers[index], .rows = rows, .across = across,
                 .last = index == config->layers - 1, .d = (size_t)config->width,
                 .h = (size_t)config->hidden, .z = (size_t)config->zdim};
    pass.mx = 2 * pass.d + pass.z + pass.h;
    pass.input = normed_input(&pass, &pass.layer->norm);
    run_ema(&pass);
    tap(&pass, index, ".ema", decoder->memory.moved, pass.d, pass.d);
    attend(&pass);
    size_t entry = first_entry(&pass), stride = entry_stride(&pass);
    tap(&pass, index, ".v", pass.state->v + entry * pass.h, pass.h, stride * pass.h);
    tap(&pass, index, ".z", decoder->memory.mx + pass.d, pass.z, pass.mx);
    tap(&pass, index, ".q", decoder->memory.q, pass.z, pass.z);
    tap(&pass, index, ".k", pass.state->k + entry * pass.z, pass.z, stride * pass.z);
    if (decoder->session->model->config.task == MEGA_TASK_TRANSLATE) {
        cross_attend(&pass);
        tap(&pass, index, ".cross", decoder->memory.x, pass.d, pass.d);
    }
    if (config->ffn > 0)
        feed_forward(&pass);
    tap(&pass, index, "", decoder->memory.x, pass.d, pass.d);
}
