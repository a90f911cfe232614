/*
 * layer.c - see layer.h. Four steps, each parallel over what does not depend on one another:
 *
 *   norm      blocks of rows          x -> normed (pre-norm only, unless folded into what follows)
 *   EMA       blocks of channels      normed -> moved, the one step that crosses chunks
 *   values    blocks of rows          normed -> v; moved -> z, then q and k
 *   queries   blocks of queries       attention inside a chunk, gates, feed-forward: x -> x
 *
 * Only a block of queries ever sees its attention weights, and only those of a block of keys at a
 * time: never L x L.
 */
#include "layer.h"

#include <stdio.h>
#include <string.h>

#include "attention.h"
#include "matmul.h"

/* Many queries at once read keys, values and weights of the model less often; but a sequence is
 * cut into so many blocks at least, if it is long enough, that there is work for all threads. */
#define QUERY_BLOCKS 16
#define MIN_QUERY_BLOCK 12

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t blocks_of(size_t total, size_t block)
{
    return (total + block - 1) / block;
}

/* ---- Shapes and memory ---------------------------------------------------------------------- */

void mega_workspace_shape(MegaWorkspace *out, const MegaStackConfig *config, size_t length)
{
    *out = (MegaWorkspace){.length = length};
    out->chunk = config->chunk > 0 ? min_size((size_t)config->chunk, length) : length;
    size_t rows = length / QUERY_BLOCKS / MIN_QUERY_BLOCK * MIN_QUERY_BLOCK;
    out->query_block =
        rows < MIN_QUERY_BLOCK ? MIN_QUERY_BLOCK : min_size(rows, MEGA_ATTENTION_ROWS);
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
    uint64_t rows = workspace->query_block;
    uint64_t d = (uint64_t)config->width, h = (uint64_t)config->hidden;
    QueryScratch scratch;
    scratch.weights = mega_arena_floats(
        arena, mega_attention_scratch(workspace->query_block, workspace->chunk));
    scratch.attended = mega_arena_floats(arena, rows * h);
    scratch.update = mega_arena_floats(arena, rows * d);
    scratch.reset = mega_arena_floats(arena, rows * (h + d));
    scratch.normed = mega_arena_floats(arena, rows * d);
    scratch.inner = mega_arena_floats(arena, rows * (uint64_t)config->ffn);
    return scratch;
}

void mega_workspace_take(MegaWorkspace *workspace, const MegaStackConfig *config, bool normed,
                         int threads, uint64_t least_scratch, MegaArena *arena)
{
    uint64_t length = workspace->length;
    uint64_t d = (uint64_t)config->width, z = (uint64_t)config->zdim;
    workspace->x = mega_arena_floats(arena, length * d);
    workspace->normed = normed ? mega_arena_floats(arena, length * d) : NULL;
    workspace->moved = mega_arena_floats(arena, length * d);
    workspace->v = mega_arena_floats(arena, length * (uint64_t)config->hidden + MEGA_PANEL);
    workspace->q = mega_arena_floats(arena, length * z);
    workspace->k = mega_arena_floats(arena, length * z);
    workspace->key_panels = mega_arena_floats(
        arena, blocks_of(length, workspace->chunk) *
                   mega_packed_bytes(MEGA_F32, workspace->chunk, z) / sizeof(float));
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
    const float *input; /* what v and EMA see: normed, or x (post-norm; norm folded) */
    const MegaNorm *norm; /* of the norm step */
    float *normed;
} Step;

static void norm_rows(void *context, size_t task, int worker)
{
    (void)worker;
    const Step *step = context;
    const MegaWorkspace *w = step->run->workspace;
    size_t d = (size_t)step->run->config->width, first = task * MEGA_ROW_BLOCK;
    size_t rows = mega_block_rows(w->length, task);
    mega_norm_apply(step->norm, step->run->kernels, w->x + first * d, rows, d,
                    step->normed + first * d);
}

void mega_workspace_norm(const MegaLayerRun *run, const MegaNorm *norm, float *out)
{
    Step step = {.run = run, .norm = norm, .normed = out};
    mega_pool_run(run->pool, mega_row_blocks(run->workspace->length), norm_rows, &step);
}

/* v = act(v_proj(x^)), z = silu(the z rows of mx_proj(m)), which is left in q for now */
static void project_values(void *context, size_t task, int worker)
{
    (void)worker;
    const Step *step = context;
    const MegaStackConfig *config = step->run->config;
    const MegaLayerWeights *weights = step->layer->weights;
    const MegaKernels *kernels = step->run->kernels;
    const MegaWorkspace *w = step->run->workspace;
    size_t d = (size_t)config->width, h = (size_t)config->hidden, z = (size_t)config->zdim;
    size_t first = task * MEGA_ROW_BLOCK, rows = mega_block_rows(w->length, task);

    const MegaLinearWeights *v_proj = &step->layer->v;
    float *v = w->v + first * h, *zz = w->q + first * z;
    MegaEpilogue v_end = {.function = (MegaFunction)config->activation, .bias = v_proj->bias};
    MegaEpilogue z_end = {.function = MEGA_FUNCTION_SILU, .bias = weights->mx.bias + d};
    mega_matmul(kernels, &v_proj->weight, step->input + first * d, d, rows, v, h, &v_end);
    mega_matmul(kernels, &weights->mx.z, w->moved + first * d, d, rows, zz, z, &z_end);
}

/* q = z gamma[0] + beta[0], k = z gamma[1] + beta[1] */
static void make_queries_and_keys(void *context, size_t task, int worker)
{
    (void)worker;
    const Step *step = context;
    const MegaLayerWeights *weights = step->layer->weights;
    const MegaKernels *kernels = step->run->kernels;
    const MegaWorkspace *w = step->run->workspace;
    size_t z = (size_t)step->run->config->zdim;
    size_t first = task * MEGA_ROW_BLOCK, rows = mega_block_rows(w->length, task);
    float *q = w->q + first * z, *k = w->k + first * z;
    kernels->affine(q, rows, z, weights->gamma + z, weights->beta + z, k);
    kernels->affine(q, rows, z, weights->gamma, weights->beta, q);
}

/* A panel of keys of one chunk; positions that the last chunk lacks are zero. */
static void pack_keys(void *context, size_t task, int worker)
{
    (void)worker;
    const Step *step = context;
    const MegaWorkspace *w = step->run->workspace;
    size_t z = (size_t)step->run->config->zdim, per_chunk = blocks_of(w->chunk, MEGA_PANEL);
    size_t start = task / per_chunk * w->chunk, keys = min_size(w->chunk, w->length - start);
    size_t first = task % per_chunk * MEGA_PANEL;
    if (first < keys)
        mega_panels_pack(MEGA_F32, w->key_panels + task * MEGA_PANEL * z,
                         w->k + (start + first) * z, z * sizeof *w->k,
                         min_size(MEGA_PANEL, keys - first), z);
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

/* One block of queries of one chunk, from attention to the layer's output. */
static void run_queries(void *context, size_t task, int worker)
{
    const Step *step = context;
    const MegaStackConfig *config = step->run->config;
    const MegaLayerWeights *weights = step->layer->weights;
    const MegaKernels *kernels = step->run->kernels;
    const MegaWorkspace *w = step->run->workspace;
    size_t d = (size_t)config->width, h = (size_t)config->hidden, z = (size_t)config->zdim;

    size_t per_chunk = blocks_of(w->chunk, w->query_block);
    size_t start = task / per_chunk * w->chunk; /* of the chunk */
    size_t keys = min_size(w->chunk, w->length - start);
    size_t in_chunk = task % per_chunk * w->query_block;
    if (in_chunk >= keys)
        return; /* the last chunk may be short */
    size_t rows = min_size(w->query_block, keys - in_chunk), first = start + in_chunk;

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

    const float *panels =
        w->key_panels + task / per_chunk * blocks_of(w->chunk, MEGA_PANEL) * MEGA_PANEL * z;
    mega_attention(kernels, config->attention, w->q + first * z, panels, w->v + start * h, in_chunk,
                   rows, keys, z, h, step->bias, s.reset, h + d, s.weights, s.attended);

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

void mega_layer_run(const MegaLayerRun *run, const MegaLayer *layer, int index, const float *bias)
{
    const MegaStackConfig *config = run->config;
    const MegaWorkspace *w = run->workspace;
    size_t d = (size_t)config->width, z = (size_t)config->zdim;
    size_t row_blocks = mega_row_blocks(w->length);
    Step step = {.run = run, .layer = layer, .bias = bias};
    bool norm = config->pre_norm && !layer->folded;
    step.input = norm ? w->normed : w->x;

    if (norm)
        mega_workspace_norm(run, &layer->norm, w->normed);
    mega_ema_run(run->ema_plan, &layer->ema, run->kernels, run->pool, step.input, w->moved,
                 w->scratch, w->scratch_stride);
    tap(run, index, ".ema", w->moved, d);
    mega_pool_run(run->pool, row_blocks, project_values, &step);
    tap(run, index, ".v", w->v, (size_t)config->hidden);
    tap(run, index, ".z", w->q, z);
    mega_pool_run(run->pool, row_blocks, make_queries_and_keys, &step);
    tap(run, index, ".q", w->q, z);
    tap(run, index, ".k", w->k, z);
    size_t chunks = blocks_of(w->length, w->chunk);
    mega_pool_run(run->pool, chunks * blocks_of(w->chunk, MEGA_PANEL), pack_keys, &step);
    mega_pool_run(run->pool, chunks * blocks_of(w->chunk, w->query_block), run_queries, &step);
    tap(run, index, "", w->x, d);
}
