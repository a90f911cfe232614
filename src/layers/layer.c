/*
 * layer.c - see layer.h. Steps that are parallel over what does not depend on one another:
 *
 *   norm      blocks of rows          x -> normed (pre-norm only, unless folded into what follows);
 *                                     of all but the first layer the end of the one before
 *   EMA       blocks of channels      normed -> moved, the one step that crosses chunks
 *   values    blocks of rows          normed -> v; moved -> z, then q and k
 *   queries   blocks of rows          attention inside a span, gates, feed-forward: x -> x
 *
 * Only a block of queries ever sees its attention weights, and only those of a block of keys at a
 * time: never L x L.
 */
#include "src/layers/layer.h"

#include <stdio.h>
#include <string.h>

#include "src/kernels/matmul.h"
#include "src/layers/attention.h"

/* Blocks that a sequence is cut into at least, if it is long enough, so that there is work for all
 * threads; and rows of a block at least. */
#define LEAST_BLOCKS 16
#define LEAST_ROWS 12

_Static_assert(MEGA_ROW_BLOCK <= MEGA_ATTENTION_ROWS, "a block attends at once");

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t blocks_of(size_t total, size_t block)
{
    return (total + block - 1) / block;
}

/* ---- Shapes and memory ---------------------------------------------------------------------- */

/* Cuts sequences into chunks; spans may be NULL. */
static void cut(MegaWorkspace *out, const MegaStackConfig *config, const size_t *lengths,
                size_t count, MegaSpan *spans)
{
    out->length = out->span_count = out->longest_span = out->panel_count = 0;
    for (size_t i = 0; i < count; i++) {
        size_t chunk = config->chunk > 0 ? min_size((size_t)config->chunk, lengths[i]) : lengths[i];
        for (size_t first = 0, length; first < lengths[i]; first += length) {
            length = min_size(chunk, lengths[i] - first);
            if (spans)
                spans[out->span_count] = (MegaSpan){out->length + first, length, out->panel_count};
            out->span_count++;
            out->panel_count += blocks_of(length, MEGA_PANEL);
            if (length > out->longest_span)
                out->longest_span = length;
        }
        out->length += lengths[i];
    }
}

void mega_workspace_shape(MegaWorkspace *out, const MegaStackConfig *config, const size_t *lengths,
                          size_t count)
{
    *out = (MegaWorkspace){.sequences = count};
    cut(out, config, lengths, count, NULL);
    size_t blocks = min_size(out->length / LEAST_ROWS, LEAST_BLOCKS);
    out->row_block = min_size(blocks_of(out->length, blocks ? blocks : 1), MEGA_ROW_BLOCK);
}

/* One worker's memory in the query step. */
typedef struct QueryScratch {
    float *weights;  /* of mega_attention */
    float *attended; /* [rows][h]: a * r */
    float *update;   /* [rows][d]: u */
    float *reset;    /* [rows][h + d]: r, then hx, as mx_proj puts them side by side */
    float *normed;   /* [rows][d], input of the feed-forward block */
    float *inner;    /* [rows][ffn] */
} QueryScratch;

static QueryScratch take_query_scratch(const MegaStackConfig *config,
                                       const MegaWorkspace *workspace, MegaArena *arena)
{
    uint64_t rows = workspace->row_block;
    uint64_t d = (uint64_t)config->width, h = (uint64_t)config->hidden;
    QueryScratch scratch;
    scratch.weights = mega_arena_floats(
        arena, mega_attention_scratch(workspace->row_block, workspace->longest_span));
    scratch.attended = mega_arena_floats(arena, rows * h);
    scratch.update = mega_arena_floats(arena, rows * d);
    scratch.reset = mega_arena_floats(arena, rows * (h + d));
    scratch.normed = mega_arena_floats(arena, rows * d);
    scratch.inner = mega_arena_floats(arena, rows * (uint64_t)config->ffn);
    return scratch;
}

void mega_workspace_take(MegaWorkspace *workspace, const MegaStackConfig *config,
                         const size_t *lengths, bool normed, int threads, uint64_t least_scratch,
                         MegaArena *arena)
{
    uint64_t length = workspace->length, sequences = workspace->sequences;
    uint64_t d = (uint64_t)config->width, z = (uint64_t)config->zdim;
    workspace->begin = mega_arena_take(arena, (sequences + 1) * sizeof *workspace->begin);
    workspace->spans = mega_arena_take(arena, workspace->span_count * sizeof *workspace->spans);
    if (workspace->begin) {
        cut(workspace, config, lengths, sequences, workspace->spans);
        workspace->begin[0] = 0;
        for (size_t i = 0; i < sequences; i++)
            workspace->begin[i + 1] = workspace->begin[i] + lengths[i];
    }
    workspace->x = mega_arena_floats(arena, length * d);
    workspace->normed = normed ? mega_arena_floats(arena, length * d) : NULL;
    workspace->moved = mega_arena_floats(arena, length * d);
    workspace->v = mega_arena_floats(arena, length * (uint64_t)config->hidden + MEGA_PANEL);
    workspace->q = mega_arena_floats(arena, length * z);
    workspace->k = mega_arena_floats(arena, length * z);
    workspace->key_panels =
        mega_arena_floats(arena, workspace->panel_count * MEGA_PANEL * z);
    MegaArena worker = {0};
    take_query_scratch(config, workspace, &worker);
    uint64_t floats = worker.used / sizeof(float);
    if (floats < least_scratch)
        floats = (least_scratch + 15) / 16 * 16;
    arena->overflow |= worker.overflow;
    workspace->scratch_stride = floats;
    workspace->scratch = mega_arena_floats(arena, floats * (uint64_t)threads);
}

/* ---- Steps ---------------------------------------------------------------------------------- */

typedef struct Step {
    const MegaLayerRun *run;
    const MegaLayer *layer;
    const float *bias;  /* of the queries step */
    const MegaLayer *next; /* whose norm that step makes, or NULL */
    const float *input; /* what v and EMA see: normed, or x (post-norm; norm folded) */
    const MegaNorm *norm; /* of the norm step */
    float *normed;
} Step;

static void norm_rows(void *context, size_t task, int worker)
{
    (void)worker;
    const Step *step = context;
    const MegaWorkspace *w = step->run->workspace;
    size_t d = (size_t)step->run->config->width, first = task * w->row_block;
    size_t rows = mega_block_rows(w, task);
    mega_norm_apply(step->norm, step->run->kernels, w->x + first * d, rows, d,
                    step->normed + first * d);
}

void mega_workspace_norm(const MegaLayerRun *run, const MegaNorm *norm, float *out)
{
    Step step = {.run = run, .norm = norm, .normed = out};
    mega_pool_run(run->pool, mega_row_blocks(run->workspace), norm_rows, &step);
}

/* The span of a position. */
static const MegaSpan *find_span(const MegaWorkspace *w, size_t position)
{
    size_t low = 0, high = w->span_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (w->spans[middle].first <= position)
            low = middle;
        else
            high = middle;
    }
    return &w->spans[low];
}

static float *key_panels_of(const MegaWorkspace *w, const MegaSpan *span, size_t z)
{
    return w->key_panels + span->panels * MEGA_PANEL * z;
}

/* q = z gamma[0] + beta[0], k = z gamma[1] + beta[1], which goes to its panel as well */
static void make_queries_and_keys(void *context, size_t task, int worker)
{
    (void)worker;
    const Step *step = context;
    const MegaLayerWeights *weights = step->layer->weights;
    const MegaKernels *kernels = step->run->kernels;
    const MegaWorkspace *w = step->run->workspace;
    size_t z = (size_t)step->run->config->zdim;
    size_t first = task * w->row_block, rows = mega_block_rows(w, task);
    float *q = w->q + first * z, *k = w->k + first * z;
    kernels->affine(q, rows, z, weights->gamma + z, weights->beta + z, k);
    kernels->affine(q, rows, z, weights->gamma, weights->beta, q);
    const MegaSpan *span = find_span(w, first);
    for (size_t row = first; row < first + rows; row++, k += z) {
        span += row == span->first + span->length;
        float *panels = key_panels_of(w, span, z);
        mega_panels_store(MEGA_F32, panels, z, row - span->first, 0, z, k);
        if (row + 1 == span->first + span->length)
            mega_panels_fill(MEGA_F32, panels, span->length, z);
    }
}

/* v = act(v_proj(x^)), z = silu(the z rows of mx_proj(m)), which for a tap is left in q for now */
static void project_values(void *context, size_t task, int worker)
{
    const Step *step = context;
    const MegaStackConfig *config = step->run->config;
    const MegaLayerWeights *weights = step->layer->weights;
    const MegaKernels *kernels = step->run->kernels;
    const MegaWorkspace *w = step->run->workspace;
    size_t d = (size_t)config->width, h = (size_t)config->hidden, z = (size_t)config->zdim;
    size_t first = task * w->row_block, rows = mega_block_rows(w, task);

    const MegaLinearWeights *v_proj = &step->layer->v;
    float *v = w->v + first * h, *zz = w->q + first * z;
    MegaEpilogue v_end = {.function = (MegaFunction)config->activation, .bias = v_proj->bias};
    MegaEpilogue z_end = {.function = MEGA_FUNCTION_SILU, .bias = weights->mx.bias + d};
    mega_matmul(kernels, &v_proj->weight, step->input + first * d, d, rows, v, h, &v_end);
    mega_matmul(kernels, &weights->mx.z, w->moved + first * d, d, rows, zz, z, &z_end);
    if (!step->run->tap)
        make_queries_and_keys(context, task, worker);
}

/* x + fc2(act(fc1(norm(x)))), or norm(x + fc2(act(fc1(x)))) */
static void feed_forward(const Step *step, float *x, size_t rows, QueryScratch *s)
{
    const MegaStackConfig *config = step->run->config;
    const MegaLayerWeights *weights = step->layer->weights;
    const MegaKernels *kernels = step->run->kernels;
    size_t d = (size_t)config->width, f = (size_t)config->ffn;
    const float *input = x;
    if (config->pre_norm && !step->layer->ffn_folded) {
        mega_norm_apply(&step->layer->ffn_norm, kernels, x, rows, d, s->normed);
        input = s->normed;
    }
    MegaEpilogue inner = {.function = (MegaFunction)config->activation,
                          .bias = step->layer->fc1.bias};
    MegaEpilogue residual = mega_epilogue_add(x, d);
    residual.bias = weights->fc2.bias;
    mega_matmul(kernels, &step->layer->fc1.weight, input, d, rows, s->inner, f, &inner);
    mega_matmul(kernels, &weights->fc2.weight, s->inner, f, rows, x, d, &residual);
    if (!config->pre_norm)
        mega_norm_apply(&step->layer->ffn_norm, kernels, x, rows, d, x);
}

/* One block of rows, from attention to the layer's output. */
static void run_queries(void *context, size_t task, int worker)
{
    const Step *step = context;
    const MegaStackConfig *config = step->run->config;
    const MegaLayerWeights *weights = step->layer->weights;
    const MegaKernels *kernels = step->run->kernels;
    const MegaWorkspace *w = step->run->workspace;
    size_t d = (size_t)config->width, h = (size_t)config->hidden, z = (size_t)config->zdim;
    size_t first = task * w->row_block, rows = mega_block_rows(w, task);
    MegaArena memory = {.base = (char *)(w->scratch + (size_t)worker * w->scratch_stride),
                        .size = w->scratch_stride * sizeof(float)};
    QueryScratch s = take_query_scratch(config, w, &memory);

    /* u = sigma(.), r = silu(.), hx: rows 0, d + z and d + z + h of mx_proj */
    const float *moved = w->moved + first * d;
    MegaEpilogue u_end = {.function = MEGA_FUNCTION_SIGMOID, .bias = weights->mx.bias};
    MegaEpilogue r_hx_end = {.function = MEGA_FUNCTION_SILU, .linear_from = h,
                             .bias = weights->mx.bias + d + z};
    mega_matmul(kernels, &weights->mx.u, moved, d, rows, s.update, d, &u_end);
    mega_matmul(kernels, &weights->mx.r_hx, moved, d, rows, s.reset, h + d, &r_hx_end);

    const MegaSpan *span = find_span(w, first);
    for (size_t row = 0, count; row < rows; row += count, span++) {
        size_t in_span = first + row - span->first;
        count = min_size(rows - row, span->length - in_span);
        mega_attention(kernels, config->attention, w->q + (first + row) * z,
                       key_panels_of(w, span, z), w->v + span->first * h, in_span, count,
                       span->length, z, h, step->bias, s.reset + row * (h + d), h + d, s.weights,
                       s.attended + row * h);
    }

    /* x + u (h^ - x) with h^ = act(hx + h_proj(a * r)) */
    float *x = w->x + first * d;
    MegaEpilogue gate = {.function = (MegaFunction)config->activation, .bias = weights->h.bias,
                         .addend = s.reset + h, .ld_addend = h + d, .gate = s.update,
                         .ld_gate = d};
    mega_matmul(kernels, &weights->h.weight, s.attended, h, rows, x, d, &gate);
    if (!config->pre_norm)
        mega_norm_apply(&step->layer->norm, kernels, x, rows, d, x);
    if (config->ffn > 0)
        feed_forward(step, x, rows, &s);
    if (step->next)
        mega_norm_apply(&step->next->norm, kernels, x, rows, d, w->normed + first * d);
}

/* ---- The layer ------------------------------------------------------------------------------ */

static void tap(const MegaLayerRun *run, int index, const char *part, const float *data,
                size_t columns)
{
    if (!run->tap)
        return;
    char stage[32];
    snprintf(stage, sizeof stage, "layer.%d%s", index, part);
    run->tap(run->tap_context, stage, run->tap_input, data, run->workspace->length, columns);
}

/* Whether the layer's first norm is a step of its own. */
static bool has_norm(const MegaStackConfig *config, const MegaLayer *layer)
{
    return config->pre_norm && !layer->folded;
}

void mega_layer_begin(const MegaLayerRun *run, const MegaLayer *first)
{
    if (has_norm(run->config, first))
        mega_workspace_norm(run, &first->norm, run->workspace->normed);
}

void mega_layer_run(const MegaLayerRun *run, const MegaLayer *layer, const MegaLayer *next,
                    int index, const float *bias)
{
    const MegaStackConfig *config = run->config;
    const MegaWorkspace *w = run->workspace;
    size_t d = (size_t)config->width, z = (size_t)config->zdim;
    size_t row_blocks = mega_row_blocks(w);
    Step step = {.run = run, .layer = layer, .bias = bias};
    step.next = next && has_norm(config, next) ? next : NULL;
    step.input = has_norm(config, layer) ? w->normed : w->x;
    mega_ema_run(run->ema_plan, &layer->ema, run->kernels, run->pool, w->begin, w->sequences,
                 step.input, w->moved, w->scratch, w->scratch_stride);
    tap(run, index, ".ema", w->moved, d);
    mega_pool_run(run->pool, row_blocks, project_values, &step);
    tap(run, index, ".v", w->v, (size_t)config->hidden);
    tap(run, index, ".z", w->q, z);
    if (run->tap)
        mega_pool_run(run->pool, row_blocks, make_queries_and_keys, &step);
    tap(run, index, ".q", w->q, z);
    tap(run, index, ".k", w->k, z);
    mega_pool_run(run->pool, row_blocks, run_queries, &step);
    tap(run, index, "", w->x, d);
}
