/*
 * mega.c - one MEGA layer (MODEL.md, "Gated attention"), and where each line runs: of whole
 * sequences in an encoder, and of the next positions in a decoder.
 *
 *   formula                              encoder           decoder           what both share
 *   x' = norm(x)                         normed_input      mega_rows_input   mega_norm_apply
 *   m  = silu(EMA(x') + omega x')        mega_ema_run      mega_ema_step     -
 *   v  = act(Wv x')                      project_values    project_step      value_map
 *   z  = silu(Wz m)                      project_values    project_step      z_map
 *   q, k = gamma z + beta                make_queries_..   make_step_..      queries_and_keys
 *   u  = sigmoid(Wu m)                   run_queries       project_step      update_map
 *   r  = silu(Wr m), c = Wc m            run_queries       project_step      reset_map
 *   a  = attention(q, k) v               attend            attend_step       mega_attention_scale
 *   x += u (act(c + Wh (a r)) - x)       run_queries       step_layer        mega_rows_gate
 *   cross attention                      -                 step_layer        mega_cross_attend
 *   x += fc2(act(fc1(norm(x))))          run_queries       step_layer        mega_feed_forward_run
 *
 * Post-norm layers norm x after each += instead. Only the average crosses chunks. A decoder's past
 * comes from states instead of earlier rows, its queries see no later key, and threads divide
 * weights rather than rows. An encoder's steps are parallel over what is independent:
 *
 *   EMA       blocks of channels
 *   values    blocks of rows      x' -> v; m -> z, then q and k
 *   queries   blocks of rows      attention, gates, feed-forward, and the next layer's norm
 *
 * Only a block of queries ever sees its attention weights, and only those of a block of keys at a
 * time: never L x L.
 */
#include "src/layers/mega.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/layers/attention.h"
#include "src/layers/chunks.h"
#include "src/layers/cross_attention.h"
#include "src/layers/ema_step.h"

_Static_assert(MEGA_ROW_BLOCK <= MEGA_ATTENTION_ROWS, "a block attends at once");

/* The letters d, h, z and f of the formulas. */
typedef struct Dims {
    size_t d, h, z, f;
} Dims;

static Dims dims_of(const MegaStackConfig *config)
{
    return (Dims){(size_t)config->width, (size_t)mega_gated(config)->hidden,
                  (size_t)mega_gated(config)->zdim, (size_t)config->ffn};
}

static const MegaLayerWeights *weights_of(const MegaStack *stack, int index)
{
    return (const MegaLayerWeights *)stack->weights + index;
}

/* ---- Once per model ------------------------------------------------------------------------- */

static void *derive(const MegaStack *stack, int index, MegaArena *arena)
{
    const MegaStackConfig *config = stack->config;
    const MegaLayerWeights *weights = weights_of(stack, index);
    MegaLayer *out = mega_arena_take(arena, sizeof *out);
    MegaLayer layer = {.weights = weights, .v = weights->v};
    size_t d = (size_t)config->width;
    mega_norm_prepare(&layer.norm, config->norm, &weights->norm, d, arena);
    mega_ema_prepare(&layer.ema, config, &weights->ema, arena);
    layer.folded = !stack->is_decoder && mega_norm_folds(config, &weights->v);
    if (layer.folded) {
        mega_norm_fold(&layer.norm, &weights->v, arena, &layer.v);
        layer.ema.scale = layer.norm.weight;
        layer.ema.shift = layer.norm.bias;
    }
    if (stack->has_cross)
        mega_norm_prepare(&layer.cross_norm, config->norm, &weights->cross.norm, d, arena);
    if (config->ffn > 0)
        mega_feed_forward_derive(&layer.feed_forward, config, &weights->ffn_norm, &weights->fc1,
                                 &weights->fc2, arena);
    if (out)
        *out = layer;
    return out;
}

/* ---- The linear maps, as both encoder and decoder run them ----------------------------------- */

/* v = act(Wv x') */
static MegaLinear value_map(const MegaStackConfig *config, const MegaLinearWeights *v,
                            const float *x, float *y, size_t ldy)
{
    return (MegaLinear){.x = x, .ldx = (size_t)config->width, .weight = &v->weight, .y = y,
                        .ldy = ldy, .epilogue = {.function = (MegaFunction)config->activation,
                                                 .bias = v->bias}};
}

/* z = silu(Wz m) */
static MegaLinear z_map(const MegaLinearWeights *z, const float *m, float *y, size_t ldy)
{
    return (MegaLinear){.x = m, .ldx = z->weight.in, .weight = &z->weight, .y = y, .ldy = ldy,
                        .epilogue = {.function = MEGA_FUNCTION_SILU, .bias = z->bias}};
}

/* u = sigmoid(Wu m) */
static MegaLinear update_map(const MegaLinearWeights *u, const float *m, float *y, size_t ldy)
{
    return (MegaLinear){.x = m, .ldx = u->weight.in, .weight = &u->weight, .y = y, .ldy = ldy,
                        .epilogue = {.function = MEGA_FUNCTION_SIGMOID, .bias = u->bias}};
}

/* r = silu(Wr m), and beside it the linear part of the candidate, c = Wc m */
static MegaLinear reset_map(const MegaLinearWeights *r_hx, size_t hidden, const float *m, float *y,
                            size_t ldy)
{
    return (MegaLinear){.x = m, .ldx = r_hx->weight.in, .weight = &r_hx->weight, .y = y,
                        .ldy = ldy, .epilogue = {.function = MEGA_FUNCTION_SILU,
                                                 .linear_from = hidden, .bias = r_hx->bias}};
}

/* k = gamma[1] z + beta[1] and q = gamma[0] z + beta[0]; q may be z. */
static void queries_and_keys(const MegaKernels *kernels, const MegaLayerWeights *weights,
                             const float *z, size_t rows, size_t zdim, float *q, float *k)
{
    kernels->affine(z, rows, zdim, weights->gamma + zdim, weights->beta + zdim, k);
    kernels->affine(z, rows, zdim, weights->gamma, weights->beta, q);
}

/* ---- Whole sequences: memory ---------------------------------------------------------------- */

/* Memory that all layers of an encoder share beside the residual stream; workspace->own points
 * here. */
typedef struct Sequences {
    MegaChunks chunks;
    float *normed;     /* [L][d] norm(x); NULL if no layer needs it */
    float *ema_out;    /* [L][d] m, in workspace->spare */
    float *v;          /* [L][h], followed by MEGA_PANEL floats that are read but have no effect */
    float *q, *k;      /* [L][z] */
    float *key_panels; /* [chunks.panels][z][MEGA_PANEL]: k, packed chunk by chunk */
    float **rotary;    /* [layers] tables of a rotary bias, or NULL */
} Sequences;

static bool can_batch(const MegaStackConfig *config, MegaEmaPath path, size_t length)
{
    return path == MEGA_EMA_RECURRENT ||
           (path == MEGA_EMA_AUTO && mega_ema_recurs(config, length));
}

static int make_plan(const MegaPlanRequest *request, void **out, MegaError *err)
{
    const MegaBatch *batch = request->batch;
    if (!*out)
        *out = calloc(1, sizeof(MegaEmaPlan));
    if (!*out)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a plan of %zu positions",
                         batch->lengths[0]);
    return mega_ema_plan(*out, request->stack->config, batch->lengths[0],
                         batch->count > 1 ? MEGA_EMA_RECURRENT : batch->path, err);
}

static void free_plan(void *plan)
{
    if (plan)
        mega_ema_plan_free(plan);
    free(plan);
}

static const char *const stages[] = {".ema", ".v", ".z", ".q", ".k", ".cross", "", NULL};
static const MegaPlanner planner = {.make = make_plan, .free = free_plan};

/* One worker's memory in the query step. */
typedef struct QueryScratch {
    float *weights;  /* scratch of mega_attention */
    float *attended; /* [rows][h]: a r */
    float *update;   /* [rows][d]: u */
    float *reset;    /* [rows][h + d]: r, then c, side by side as reset_map stores them */
    float *normed;   /* [rows][d], input of the feed-forward block */
    float *inner;    /* [rows][ffn] */
} QueryScratch;

static QueryScratch query_scratch_layout(const Dims *dims, const Sequences *sequences, size_t rows,
                                         MegaArena *arena)
{
    uint64_t count = rows;
    QueryScratch scratch;
    scratch.weights =
        mega_arena_floats(arena, mega_attention_scratch(rows, sequences->chunks.longest));
    scratch.attended = mega_arena_floats(arena, count * dims->h);
    scratch.update = mega_arena_floats(arena, count * dims->d);
    scratch.reset = mega_arena_floats(arena, count * (dims->h + dims->d));
    scratch.normed = mega_arena_floats(arena, count * dims->d);
    scratch.inner = mega_arena_floats(arena, count * dims->f);
    return scratch;
}

/* Returns whether the layer's first norm is a step of its own. */
static bool has_separate_norm(const MegaStackConfig *config, const MegaLayer *layer)
{
    return config->pre_norm && !layer->folded;
}

static bool some_separate_norm(const MegaStack *stack)
{
    for (int i = 0; i < stack->config->layers; i++)
        if (has_separate_norm(stack->config, mega_layer(stack, i)))
            return true;
    return false;
}

static void rotary_layout(Sequences *out, const MegaStack *stack, MegaArena *arena)
{
    size_t layers = (size_t)stack->config->layers, positions = out->chunks.longest;
    out->rotary = NULL;
    if (mega_gated(stack->config)->bias != MEGA_BIAS_ROTARY)
        return;
    out->rotary = mega_arena_take(arena, layers * sizeof *out->rotary);
    for (size_t i = 0; i < layers; i++) {
        const MegaLayerWeights *weights = weights_of(stack, (int)i);
        float *table = mega_arena_floats(arena, 2 * (uint64_t)positions - 1);
        if (!table || !out->rotary)
            continue; /* a dry run only counts memory */
        out->rotary[i] = table;
        mega_rotary_table(weights->rotary_alpha, weights->rotary_beta,
                          (size_t)mega_gated(stack->config)->zdim, positions, table);
    }
}

static void layout(MegaWorkspace *workspace, const MegaStack *stack, const MegaBatch *batch,
                   MegaArena *arena)
{
    const Dims dims = dims_of(stack->config);
    uint64_t length = workspace->length;
    MegaArena worker = {0};
    Sequences sequences = {.ema_out = workspace->spare};
    Sequences *out = mega_arena_take(arena, sizeof *out);
    mega_chunks_layout(&sequences.chunks, stack->config, batch, arena);
    sequences.normed = some_separate_norm(stack) ? mega_arena_floats(arena, length * dims.d) : NULL;
    sequences.v = mega_arena_floats(arena, length * dims.h + MEGA_PANEL);
    sequences.q = mega_arena_floats(arena, length * dims.z);
    sequences.k = mega_arena_floats(arena, length * dims.z);
    sequences.key_panels =
        mega_arena_floats(arena, (uint64_t)sequences.chunks.panels * MEGA_PANEL * dims.z);
    rotary_layout(&sequences, stack, arena);
    query_scratch_layout(&dims, &sequences, workspace->row_block, &worker);
    arena->overflow |= worker.overflow;
    uint64_t floats = mega_max_u64(worker.used / sizeof(float), mega_ema_scratch(workspace->plan));
    workspace->scratch_stride = (size_t)((floats + 15) / 16 * 16);
    if (out)
        *out = sequences;
    workspace->own = out;
}

/* ---- Whole sequences: steps ----------------------------------------------------------------- */

typedef struct Forward {
    const MegaPass *pass;
    const Sequences *sequences;
    const MegaLayer *layer;
    const MegaLayer *next; /* the layer whose norm the query step computes, or NULL */
    Dims dims;
    const float *bias;  /* entry of the bias table for j = i */
    /* input of v and EMA: normed, or x if the layer is post-norm or its norm is folded */
    const float *input;
} Forward;

/* Describes the rows of a block to the parts that encoder and decoder share. */
static MegaRows block_rows(const Forward *forward, size_t block)
{
    const MegaWorkspace *w = forward->pass->workspace;
    return (MegaRows){.config = forward->pass->config, .kernels = forward->pass->kernels,
                      .x = w->x + block * w->row_block * forward->dims.d,
                      .count = mega_block_rows(w, block)};
}

static float *key_panels_of(const Sequences *sequences, const MegaChunk *chunk, size_t z)
{
    return sequences->key_panels + chunk->panels * MEGA_PANEL * z;
}

/* Makes q and k from z, which lies where q will be, and stores every key in its panel as well. */
static void make_queries_and_keys(void *context, size_t task, int worker)
{
    (void)worker;
    const Forward *forward = context;
    const Sequences *s = forward->sequences;
    const MegaWorkspace *w = forward->pass->workspace;
    size_t z = forward->dims.z, first = task * w->row_block, rows = mega_block_rows(w, task);
    float *q = s->q + first * z, *k = s->k + first * z;
    queries_and_keys(forward->pass->kernels, forward->layer->weights, q, rows, z, q, k);
    const MegaChunk *chunk = mega_chunk_at(&s->chunks, first);
    for (size_t row = first; row < first + rows; row++, k += z) {
        chunk += row == chunk->first + chunk->length;
        float *panels = key_panels_of(s, chunk, z);
        mega_panels_store(MEGA_F32, panels, z, row - chunk->first, 0, z, k);
        if (row + 1 == chunk->first + chunk->length)
            mega_panels_fill(MEGA_F32, panels, chunk->length, z);
    }
}

/* Computes v and z. z stays where q will be, since a tap wants to see it before q and k exist. */
static void project_values(void *context, size_t task, int worker)
{
    const Forward *forward = context;
    const Sequences *s = forward->sequences;
    const Dims *dims = &forward->dims;
    size_t first = task * forward->pass->workspace->row_block;
    MegaRows rows = block_rows(forward, task);
    MegaLinear maps[] = {value_map(rows.config, &forward->layer->v,
                                   forward->input + first * dims->d, s->v + first * dims->h,
                                   dims->h),
                         z_map(&forward->layer->weights->z, s->ema_out + first * dims->d,
                               s->q + first * dims->z, dims->z)};
    mega_rows_linears(&rows, &maps[0], 1);
    mega_rows_linears(&rows, &maps[1], 1);
    if (!forward->pass->tap.tap)
        make_queries_and_keys(context, task, worker);
}

/* Computes a r for one block of rows, which may belong to several chunks. */
static void attend(const Forward *forward, size_t first, size_t rows, const QueryScratch *scratch)
{
    const Sequences *s = forward->sequences;
    const Dims *dims = &forward->dims;
    const MegaChunk *chunk = mega_chunk_at(&s->chunks, first);
    for (size_t row = 0, count; row < rows; row += count, chunk++) {
        size_t in_chunk = first + row - chunk->first;
        count = mega_min_size(rows - row, chunk->length - in_chunk);
        MegaAttention attention = {.kind = mega_gated(forward->pass->config)->attention,
                                   .first = in_chunk,
                                   .rows = count,
                                   .keys = chunk->length,
                                   .zdim = dims->z,
                                   .hidden = dims->h,
                                   .q = s->q + (first + row) * dims->z,
                                   .key_panels = key_panels_of(s, chunk, dims->z),
                                   .v = s->v + chunk->first * dims->h,
                                   .bias = forward->bias,
                                   .factor = scratch->reset + row * (dims->h + dims->d),
                                   .ld_factor = dims->h + dims->d};
        mega_attention(forward->pass->kernels, &attention, scratch->weights,
                       scratch->attended + row * dims->h);
    }
}

/* Takes one block of rows from attention to the layer's output. */
static void run_queries(void *context, size_t task, int worker)
{
    const Forward *forward = context;
    const MegaLayer *layer = forward->layer;
    const MegaWorkspace *w = forward->pass->workspace;
    const Dims *dims = &forward->dims;
    size_t first = task * w->row_block, wide = dims->h + dims->d;
    MegaRows rows = block_rows(forward, task);
    MegaArena own = {.base = (char *)(w->scratch + (size_t)worker * w->scratch_stride),
                     .size = w->scratch_stride * sizeof(float)};
    QueryScratch s = query_scratch_layout(dims, forward->sequences, w->row_block, &own);
    const float *m = forward->sequences->ema_out + first * dims->d;

    MegaLinear update = update_map(&layer->weights->u, m, s.update, dims->d);
    MegaLinear reset = reset_map(&layer->weights->r_hx, dims->h, m, s.reset, wide);
    mega_rows_linears(&rows, &update, 1);
    mega_rows_linears(&rows, &reset, 1);
    attend(forward, first, rows.count, &s);
    mega_rows_gate(&rows, &(MegaGate){.attended = s.attended, .h = &layer->weights->h,
                                      .u = s.update, .ld_u = dims->d, .addend = s.reset + dims->h,
                                      .ld_addend = wide, .norm = &layer->norm});
    if (dims->f > 0)
        mega_feed_forward_run(&layer->feed_forward, &rows, s.normed, s.inner);
    if (forward->next)
        mega_norm_apply(&forward->next->norm, rows.kernels, rows.x, rows.count, dims->d,
                        forward->sequences->normed + first * dims->d);
}

/* ---- Whole sequences: the layer ------------------------------------------------------------- */

/* Returns the entry for j = i of a layer's bias table. */
static const float *bias_center(const MegaStack *stack, const Sequences *sequences, int index)
{
    if (sequences->rotary)
        return sequences->rotary[index] + sequences->chunks.longest - 1;
    return weights_of(stack, index)->bias + mega_bias_positions(stack->config) - 1;
}

/* Returns x', which the layer before may have made already. */
static const float *normed_input(const MegaPass *pass, const Sequences *sequences, int index)
{
    const MegaLayer *layer = mega_layer(pass->stack, index);
    if (!has_separate_norm(pass->config, layer))
        return pass->workspace->x;
    if (index == 0)
        mega_workspace_norm(pass, &layer->norm, sequences->normed);
    return sequences->normed;
}

static void forward(const MegaPass *pass, int index)
{
    const MegaWorkspace *w = pass->workspace;
    const Sequences *s = w->own;
    const MegaLayer *layer = mega_layer(pass->stack, index), *next = NULL;
    const Dims dims = dims_of(pass->config);
    size_t row_blocks = mega_row_blocks(w);
    if (index + 1 < pass->config->layers)
        next = mega_layer(pass->stack, index + 1);
    Forward work = {.pass = pass, .sequences = s, .layer = layer, .dims = dims,
                    .next = next && has_separate_norm(pass->config, next) ? next : NULL,
                    .bias = bias_center(pass->stack, s, index),
                    .input = normed_input(pass, s, index)};
    mega_ema_run(w->plan, &layer->ema,
                 &(MegaEmaRun){.kernels = pass->kernels, .pool = pass->pool, .begin = w->begin,
                               .sequences = w->sequences, .x = work.input, .y = s->ema_out,
                               .scratch = w->scratch, .scratch_stride = w->scratch_stride});
    mega_tap_layer(&pass->tap, index, ".ema", s->ema_out, w->length, dims.d);
    mega_pool_run(pass->pool, row_blocks, project_values, &work);
    mega_tap_layer(&pass->tap, index, ".v", s->v, w->length, dims.h);
    mega_tap_layer(&pass->tap, index, ".z", s->q, w->length, dims.z);
    if (pass->tap.tap)
        mega_pool_run(pass->pool, row_blocks, make_queries_and_keys, &work);
    mega_tap_layer(&pass->tap, index, ".q", s->q, w->length, dims.z);
    mega_tap_layer(&pass->tap, index, ".k", s->k, w->length, dims.z);
    mega_pool_run(pass->pool, row_blocks, run_queries, &work);
    mega_tap_layer(&pass->tap, index, "", w->x, w->length, dims.d);
}

/* ---- Decoded rows: memory ------------------------------------------------------------------- */

/* What a layer remembers of the decoder's sequences. */
typedef struct State {
    float *k, *v;   /* [reserved][sequences][z], [reserved][sequences][h] */
    float *ema[2];  /* [sequences][mega_ema_state_floats], two buffers used in turn */
    float *history; /* [min(T, positions)][d]: x' of position t lies in row t mod T */
    const float *bias, *cross_bias; /* entries of rotary tables for j = i */
} State;

/* Fills a rotary table for |j - i| < positions if it has just grown. */
static void rotary_state(MegaGrowing *memory, size_t positions, size_t zdim, const float *alpha,
                         const float *beta, const float **center)
{
    float *table = mega_growing_floats(memory, positions, 2);
    if (!memory->grew)
        return;
    mega_rotary_table(alpha, beta, zdim, positions, table);
    *center = table + positions - 1;
}

static void *state_layout(const MegaStack *stack, int index, const MegaDecoderSizes *sizes,
                          MegaGrowing *memory)
{
    const MegaStackConfig *config = stack->config;
    const MegaLayerWeights *weights = weights_of(stack, index);
    const Dims dims = dims_of(config);
    uint64_t entries = (uint64_t)sizes->reserved * sizes->sequences;
    /* kernels may read past the last value by this much */
    uint64_t behind = mega_pieces(MEGA_PANEL, dims.h);
    size_t states = mega_ema_state_floats(dims.d, mega_layer(stack, index)->ema.states);
    State counted, *out = mega_growing_take(memory, sizeof *out), *state = out ? out : &counted;
    if (out && memory->grew)
        *out = (State){0};
    state->k = mega_growing_floats(memory, entries, dims.z);
    state->v = mega_growing_floats(memory, entries + behind, dims.h);
    for (int side = 0; side < 2; side++)
        state->ema[side] = mega_growing_floats(memory, sizes->sequences, states);
    if (sizes->truncate)
        state->history = mega_growing_floats(
            memory, mega_min_size((size_t)mega_gated(config)->truncation, sizes->positions),
            dims.d);
    if (mega_gated(config)->bias == MEGA_BIAS_ROTARY) {
        rotary_state(memory, sizes->reserved, dims.z, weights->rotary_alpha, weights->rotary_beta,
                     &state->bias);
        if (stack->has_cross) /* cross attention relates any position to any position of a source */
            rotary_state(memory, sizes->positions > sizes->source ? sizes->positions
                                                                  : sizes->source,
                         dims.z, weights->cross.rotary_alpha, weights->cross.rotary_beta,
                         &state->cross_bias);
    }
    return out;
}

/* Memory of a step, which all layers share. */
typedef struct StepMemory {
    float *normed, *ema_out; /* [rows][d] */
    float *lagged;           /* [rows][d]: x' of T positions before; NULL without truncation */
    float *mx;               /* [rows][2 d + z + h]: u, z, r, c */
    float *q;                /* [rows][z] */
    float *key_panels;       /* [reserved, in whole panels][z]: used if rows are positions */
    float *attended;         /* [rows][max(h, d)] */
    float *wide;             /* [rows][max(ffn, 2 d + z, h)] */
    float *weights;          /* [sequences][reserved]: used if rows are sequences */
    float *scratch;          /* [threads][scratch_stride] */
    size_t scratch_stride;
} StepMemory;

static void *step_layout(const MegaStack *stack, const MegaDecoderSizes *sizes, MegaArena *arena)
{
    const Dims dims = dims_of(stack->config);
    uint64_t rows = sizes->rows, d = dims.d, h = dims.h, z = dims.z;
    StepMemory memory, *out = mega_arena_take(arena, sizeof *out);
    memory.normed = mega_arena_floats(arena, rows * d);
    memory.ema_out = mega_arena_floats(arena, rows * d);
    memory.lagged = sizes->truncate ? mega_arena_floats(arena, rows * d) : NULL;
    memory.mx = mega_arena_floats(arena, rows * (2 * d + z + h));
    memory.q = mega_arena_floats(arena, rows * z);
    memory.key_panels = mega_arena_floats(
        arena, mega_packed_bytes(MEGA_F32, (uint64_t)sizes->reserved, z) / sizeof(float));
    memory.attended = mega_arena_floats(arena, rows * mega_max_u64(h, d));
    memory.wide = mega_arena_floats(arena, rows * mega_max_u64(mega_max_u64(dims.f, 2 * d + z), h));
    memory.weights = mega_arena_floats(arena, (uint64_t)sizes->sequences * sizes->reserved);
    memory.scratch_stride =
        (size_t)mega_max_u64(MEGA_QUERY_ROWS * (uint64_t)sizes->reserved, sizes->source);
    memory.scratch = mega_arena_floats(arena, memory.scratch_stride * (uint64_t)sizes->threads);
    if (out)
        *out = memory;
    return out;
}

/* ---- Decoded rows: steps -------------------------------------------------------------------- */

typedef struct Step {
    const MegaPass *pass;
    const MegaStep *step;
    const StepMemory *memory;
    State *state;
    const MegaLayer *layer;
    int index;
    Dims dims;
    size_t mx;          /* floats of one row of memory->mx */
    MegaRows rows;
    const float *input; /* input of v and EMA: norm(x), or x in a post-norm stack */
} Step;

/* Returns where the first row's key lies among the keys, and its value among the values. The next
 * row's is entry_stride further. */
static size_t first_entry(const MegaStep *step)
{
    return step->in_chunk * step->sizes->sequences;
}

static size_t entry_stride(const MegaStep *step)
{
    return step->rows_are == MEGA_ROWS_ARE_SEQUENCES ? 1 : step->sizes->sequences;
}

/* Sets the states of new sequences to 0. */
static void clear_states(const Step *work)
{
    size_t floats = mega_ema_state_floats(work->dims.d, work->layer->ema.states), most = 0;
    size_t live = work->step->rows_are == MEGA_ROWS_ARE_SEQUENCES ? work->step->rows : 1;
    for (size_t i = 0; i < live; i++)
        if (work->step->parents[i] > most)
            most = work->step->parents[i];
    memset(work->state->ema[work->step->current], 0, (most + 1) * floats * sizeof(float));
}

static void run_ema(const Step *work)
{
    const State *state = work->state;
    int current = work->step->current;
    if (work->step->position == 0)
        clear_states(work);
    mega_ema_step(work->pass, work->step,
                  &(MegaEmaRows){.ema = &work->layer->ema, .x = work->input,
                                 .out = work->memory->ema_out, .from = state->ema[current],
                                 .to = state->ema[!current], .history = state->history,
                                 .lagged = work->memory->lagged});
}

/* Stores v in its table, and u, z, r and c side by side. */
static void project_step(const Step *work)
{
    const MegaLayerWeights *weights = work->layer->weights;
    const Dims *dims = &work->dims;
    const float *m = work->memory->ema_out;
    float *u = work->memory->mx, *z = u + dims->d, *r = z + dims->z;
    MegaLinear v = value_map(work->rows.config, &work->layer->v, work->input,
                             work->state->v + first_entry(work->step) * dims->h,
                             entry_stride(work->step) * dims->h);
    MegaLinear maps[] = {update_map(&weights->u, m, u, work->mx),
                         z_map(&weights->z, m, z, work->mx),
                         reset_map(&weights->r_hx, dims->h, m, r, work->mx)};
    mega_rows_linears(&work->rows, &v, 1);
    mega_rows_linears(&work->rows, maps, 3);
}

/* Computes q, and stores k in its table. */
static void make_step_queries_and_keys(void *context, size_t task, int worker)
{
    (void)worker;
    const Step *work = context;
    size_t z = work->dims.z, first = task * MEGA_QUERY_ROWS;
    size_t end = mega_min_size(first + MEGA_QUERY_ROWS, work->step->rows);
    for (size_t row = first; row < end; row++) {
        size_t entry = first_entry(work->step) + row * entry_stride(work->step);
        queries_and_keys(work->pass->kernels, work->layer->weights,
                         work->memory->mx + row * work->mx + work->dims.d, 1, z,
                         work->memory->q + row * z, work->state->k + entry * z);
    }
}

/* Computes a r. */
static void attend_step(const Step *work)
{
    const MegaStackConfig *config = work->pass->config;
    const MegaStep *step = work->step;
    const StepMemory *memory = work->memory;
    const Dims *dims = &work->dims;
    MegaDecodedAttention attention = {.kind = mega_gated(config)->attention,
                                      .rows = step->rows,
                                      .past = step->in_chunk,
                                      .sequences = step->sizes->sequences,
                                      .zdim = dims->z,
                                      .hidden = dims->h,
                                      .q = memory->q,
                                      .k = work->state->k,
                                      .v = work->state->v,
                                      .bias = mega_gated(config)->bias == MEGA_BIAS_ROTARY
                                                  ? work->state->bias
                                                  : work->layer->weights->bias +
                                                        mega_bias_positions(config) - 1,
                                      .factor = memory->mx + dims->d + dims->z,
                                      .ld_factor = work->mx,
                                      .out = memory->attended,
                                      .ancestors = step->ancestors,
                                      .reserved = step->sizes->reserved,
                                      .weights = memory->weights,
                                      .key_panels = memory->key_panels,
                                      .scratch = memory->scratch,
                                      .scratch_stride = memory->scratch_stride};
    if (step->rows_are == MEGA_ROWS_ARE_SEQUENCES)
        mega_attend_sequences(work->pass->pool, work->pass->kernels, &attention);
    else
        mega_attend_positions(work->pass->pool, work->pass->kernels, &attention);
}

static void cross_attend_step(const Step *work)
{
    const StepMemory *memory = work->memory;
    const MegaCrossWeights *weights = &work->layer->weights->cross;
    const bool rotary = mega_gated(work->pass->config)->bias == MEGA_BIAS_ROTARY;
    MegaCrossAttention cross = {
        .weights = weights, .norm = &work->layer->cross_norm, .index = work->index,
        .bias = rotary ? work->state->cross_bias
                       : weights->bias + work->pass->stack->cross_positions - 1,
        .normed = memory->normed, .projected = memory->wide, .attended = memory->attended,
        .scratch = memory->scratch, .scratch_stride = memory->scratch_stride};
    mega_cross_attend(work->pass, work->step, &work->rows, &cross);
}

/* ---- Decoded rows: the layer ---------------------------------------------------------------- */

/* Shows a tap [rows][columns] that lie `stride` floats apart, by way of memory->wide. */
static void tap_rows(const Step *work, const char *part, const float *data, size_t columns,
                     size_t stride)
{
    size_t rows = work->step->rows;
    if (!work->pass->tap.tap)
        return;
    for (size_t row = 0; row < rows && stride != columns; row++)
        memcpy(work->memory->wide + row * columns, data + row * stride, columns * sizeof *data);
    mega_tap_layer(&work->pass->tap, work->index, part,
                   stride == columns ? data : work->memory->wide, rows, columns);
}

static void tap_attention(const Step *work)
{
    const StepMemory *memory = work->memory;
    const Dims *dims = &work->dims;
    size_t entry = first_entry(work->step), stride = entry_stride(work->step);
    tap_rows(work, ".v", work->state->v + entry * dims->h, dims->h, stride * dims->h);
    tap_rows(work, ".z", memory->mx + dims->d, dims->z, work->mx);
    tap_rows(work, ".q", memory->q, dims->z, dims->z);
    tap_rows(work, ".k", work->state->k + entry * dims->z, dims->z, stride * dims->z);
}

static void step_layer(const MegaPass *pass, const MegaStep *step, int index)
{
    const MegaLayer *layer = mega_layer(pass->stack, index);
    const StepMemory *memory = step->memory;
    const Dims dims = dims_of(pass->config);
    Step work = {.pass = pass, .step = step, .memory = memory, .state = step->states[index],
                 .layer = layer, .index = index, .dims = dims, .mx = 2 * dims.d + dims.z + dims.h,
                 .rows = {.config = pass->config, .kernels = pass->kernels, .pool = pass->pool,
                          .x = step->x, .count = step->rows}};
    const MegaGate gate = {.attended = memory->attended, .h = &layer->weights->h,
                           .u = memory->mx, .ld_u = work.mx,
                           .addend = memory->mx + dims.d + dims.z + dims.h, .ld_addend = work.mx,
                           .norm = &layer->norm};
    work.input = mega_rows_input(&work.rows, &layer->norm, memory->normed);
    run_ema(&work);
    tap_rows(&work, ".ema", memory->ema_out, dims.d, dims.d);
    project_step(&work);
    mega_pool_run(pass->pool, mega_pieces(step->rows, MEGA_QUERY_ROWS), make_step_queries_and_keys,
                  &work);
    attend_step(&work);
    mega_rows_gate(&work.rows, &gate);
    tap_attention(&work);
    if (pass->stack->has_cross) {
        cross_attend_step(&work);
        tap_rows(&work, ".cross", step->x, dims.d, dims.d);
    }
    if (dims.f > 0)
        mega_feed_forward_run(&layer->feed_forward, &work.rows, memory->normed, memory->wide);
    tap_rows(&work, "", step->x, dims.d, dims.d);
}

static void read_source(const MegaPass *pass, int index, const MegaEncoded *source)
{
    mega_cross_read_source(pass, &weights_of(pass->stack, index)->cross, source, index);
}

const MegaLayerKind mega_layer_kind_mega = {
    .name = "mega",
    .fields = mega_gated_fields,
    .check = mega_gated_check,
    .tensors = mega_layer_tensors,
    .weights_size = sizeof(MegaLayerWeights),
    .dimension = mega_gated_dimension,
    .applies = mega_gated_applies,
    .reach = mega_gated_reach,
    .set_chunk = mega_gated_set_chunk,
    .place_earlier = mega_gated_place_earlier,
    .derive = derive,
    .can_batch = can_batch,
    .planner = &planner,
    .stages = stages,
    .layout = layout,
    .forward = forward,
    .source_layout = mega_cross_source_layout,
    .read_source = read_source,
    .state_layout = state_layout,
    .step_layout = step_layout,
    .step = step_layer,
};
