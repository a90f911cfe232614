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
 *
 * With chunks, a sequence that is too long for memory goes through a layer in pieces of whole
 * chunks (MegaPass.piece). First the look-ahead half of the average goes over them from the last
 * one to the first, and leaves its states at the end of each; then all else goes from the first one
 * to the last. Every number comes from the same operations in the same order as in a whole
 * sequence that takes the recurrence, so it has the same bits.
 */
#include "src/layers/mega_maps.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/layers/attention.h"
#include "src/layers/chunks.h"
#include "src/layers/cross_attention.h"
#include "src/layers/rotation.h"
#include "src/layers/values.h"

_Static_assert(MEGA_ROW_BLOCK <= MEGA_ATTENTION_ROWS, "a block attends at once");

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
    layer.folded = !stack->is_decoder && config->pre_norm && mega_norm_folds(config, &weights->v);
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

/* ---- Whole sequences: memory ---------------------------------------------------------------- */

/* Memory that all layers of an encoder share beside the residual stream; workspace->own points
 * here. */
typedef struct Sequences {
    MegaChunks chunks;
    float *normed;     /* [L][d] norm(x); NULL if no layer needs it */
    float *ema_out;    /* [L][d] m, in workspace->spare */
    MegaValues values; /* v, in panels */
    float *q, *k;      /* [L][z] */
    float *key_panels; /* [chunks.panels][z][MEGA_PANEL]: k, packed chunk by chunk */
    float **rotary;    /* [layers] tables of a rotary bias, or NULL */
    float *rotation;   /* [chunks.longest][z], of a rotary bias in float32, or NULL (rotation.h) */
    size_t columns;    /* of a row of key_panels: z, or 2 z with a rotation */
    /* These serve a piece of a long sequence: x' of its positions, of T before it and of T after
     * it, and the states of both halves of the average. Without truncation the states hold all that
     * the average needs from other pieces, and `lags` is 0. */
    float *window;       /* [lags + length + lags][d] */
    float *back, *ahead; /* [mega_ema_state_floats] each */
    size_t lags, length; /* T or 0, and positions of every piece but the last one */
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

/* MegaLayerKind.cut: positions that attend to one another stay in one piece. */
static size_t cut(const MegaStackConfig *config)
{
    return (size_t)mega_gated(config)->chunk;
}

/* MegaLayerKind.kept: the states of the look-ahead half at the end of a piece. */
static size_t kept(const MegaStack *stack)
{
    const MegaEma *ema = &mega_layer(stack, 0)->ema;
    return ema->bidirectional ? mega_ema_state_floats(ema->width, ema->states) * sizeof(float) : 0;
}

static const char *const stages[] = {".ema", ".v", ".z", ".q", ".k", ".cross", "", NULL};
static const MegaPlanner planner = {.make = make_plan, .free = free_plan};

/* Memory of one worker for a block of queries. */
typedef struct QueryScratch {
    float *weights;  /* scratch of mega_attention */
    float *attended; /* [rows][h]: a r */
    float *update;   /* [rows][d]: u */
    float *reset;    /* [rows][h + d]: r, then c, side by side as reset_map stores them */
    float *queries;  /* [rows][2 z] if there is a rotation */
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
    scratch.queries =
        mega_arena_floats(arena, sequences->columns > dims->z ? count * sequences->columns : 0);
    scratch.attended = mega_arena_floats(arena, count * dims->h);
    scratch.update = mega_arena_floats(arena, count * dims->d);
    scratch.reset = mega_arena_floats(arena, count * (dims->h + dims->d));
    scratch.normed = mega_arena_floats(arena, count * dims->d);
    scratch.inner = mega_arena_floats(arena, count * dims->f);
    return scratch;
}

/* Returns whether norm(x) is computed by itself, and not folded into the maps that read it. */
static bool has_separate_norm(const MegaStackConfig *config, const MegaLayer *layer)
{
    return config->pre_norm && !layer->folded;
}

/* Returns whether some layer of the stack needs memory for norm(x). */
static bool some_separate_norm(const MegaStack *stack)
{
    for (int i = 0; i < stack->config->layers; i++)
        if (has_separate_norm(stack->config, mega_layer(stack, i)))
            return true;
    return false;
}

/* Places and fills the tables of a rotary bias. */
static void rotary_layout(Sequences *out, const MegaStack *stack, MegaArena *arena)
{
    size_t layers = (size_t)stack->config->layers, positions = out->chunks.longest;
    const size_t z = (size_t)mega_gated(stack->config)->zdim;
    out->rotary = NULL;
    out->rotation = NULL;
    if (mega_gated(stack->config)->bias != MEGA_BIAS_ROTARY)
        return;
    if (rotates(stack->config)) {
        out->rotation = mega_arena_floats(arena, (uint64_t)positions * z);
        out->rotary = mega_arena_take(arena, sizeof *out->rotary);
        float *zeros = mega_arena_floats(arena, 2 * (uint64_t)positions - 1);
        if (!out->rotation || !out->rotary || !zeros)
            return;
        mega_rotation_fill(out->rotation, 0, positions, z);
        memset(zeros, 0, (2 * positions - 1) * sizeof *zeros);
        out->rotary[0] = zeros;
        return;
    }
    out->rotary = mega_arena_take(arena, layers * sizeof *out->rotary);
    for (size_t i = 0; i < layers; i++) {
        const MegaLayerWeights *weights = weights_of(stack, (int)i);
        float *table = mega_arena_floats(arena, 2 * (uint64_t)positions - 1);
        if (!table || !out->rotary)
            continue; /* a dry run only counts memory */
        out->rotary[i] = table;
        mega_rotary_table(weights->rotary_alpha, weights->rotary_beta, z, positions, table);
    }
}

/* Places what a piece of a long sequence needs. */
static void window_layout(Sequences *out, const MegaStack *stack, const MegaBatch *batch,
                          MegaArena *arena)
{
    const MegaEma *ema = &mega_layer(stack, 0)->ema;
    const size_t states = mega_ema_state_floats(ema->width, ema->states);
    out->lags = ema->truncation < batch->whole ? ema->truncation : 0;
    out->length = batch->lengths[0];
    out->window = mega_arena_floats(arena, ((uint64_t)batch->lengths[0] + 2 * (uint64_t)out->lags) *
                                               ema->width);
    out->back = mega_arena_floats(arena, states);
    out->ahead = mega_arena_floats(arena, states);
}

static void layout(MegaWorkspace *workspace, const MegaStack *stack, const MegaBatch *batch,
                   MegaArena *arena)
{
    const Dims dims = dims_of(stack->config);
    uint64_t length = workspace->length;
    MegaArena worker = {0};
    Sequences sequences = {.ema_out = workspace->spare, .columns = columns_of(stack->config)};
    Sequences *out = mega_arena_take(arena, sizeof *out);
    mega_chunks_layout(&sequences.chunks, mega_gated(stack->config)->chunk, batch, arena);
    if (batch->whole)
        window_layout(&sequences, stack, batch, arena);
    else if (some_separate_norm(stack))
        sequences.normed = mega_arena_floats(arena, length * dims.d);
    sequences.values =
        (MegaValues){.positions = workspace->length, .heads = 1, .columns = dims.h};
    sequences.values.panels = mega_arena_floats(arena, mega_values_floats(&sequences.values));
    sequences.q = mega_arena_floats(arena, length * dims.z);
    sequences.k = mega_arena_floats(arena, length * dims.z);
    sequences.key_panels = mega_arena_floats(arena, (uint64_t)sequences.chunks.panels * MEGA_PANEL *
                                                        sequences.columns);
    rotary_layout(&sequences, stack, arena);
    query_scratch_layout(&dims, &sequences, workspace->row_block, &worker);
    mega_workspace_plan_scratch(workspace, &worker, mega_ema_scratch(workspace->plan), arena);
    if (out)
        *out = sequences;
    workspace->own = out;
}

/* ---- Whole sequences: steps ----------------------------------------------------------------- */

typedef struct Forward {
    const MegaPass *pass;
    const Sequences *sequences;
    const MegaLayer *layer;
    const MegaLayer *next; /* the layer whose norm run_queries computes, or NULL */
    Dims dims;
    const float *bias;  /* entry of the bias table for j = i */
    /* input of v and EMA: normed, or x if the layer is post-norm or its norm is folded */
    const float *input;
} Forward;

static float *key_panels_of(const Sequences *sequences, const MegaChunk *chunk)
{
    return sequences->key_panels + chunk->panels * MEGA_PANEL * sequences->columns;
}

/* Computes q and k from z, which lies in the place of q, and stores every key in its panel, too. */
static void make_queries_and_keys(void *context, size_t task, int worker)
{
    const Forward *forward = context;
    const Sequences *s = forward->sequences;
    const MegaWorkspace *w = forward->pass->workspace;
    const MegaLayerWeights *weights = forward->layer->weights;
    float *rotated = w->scratch + (size_t)worker * w->scratch_stride;
    size_t z = forward->dims.z, first = task * w->row_block, rows = mega_block_rows(w, task);
    float *q = s->q + first * z, *k = s->k + first * z;
    queries_and_keys(forward->pass->kernels, weights, q, rows, z, q, k);
    const MegaChunk *chunk = mega_chunk_at(&s->chunks, first);
    for (size_t row = first; row < first + rows; row++, k += z) {
        chunk += row == chunk->first + chunk->length;
        float *panels = key_panels_of(s, chunk);
        mega_panels_store(MEGA_F32, panels, s->columns, row - chunk->first, 0, z, k);
        if (s->rotation) {
            mega_rotate(s->rotation + (row - chunk->first) * z, z, weights->rotary_beta, 1,
                        rotated);
            mega_panels_store(MEGA_F32, panels, s->columns, row - chunk->first, z, z, rotated);
        }
        if (row + 1 == chunk->first + chunk->length)
            mega_panels_fill(MEGA_F32, panels, chunk->length, s->columns);
    }
}

/* Computes v and z, and without a tap q and k as well. A tap sees z first, in the place of q. */
static void project_values(void *context, size_t task, int worker)
{
    const Forward *forward = context;
    const Sequences *s = forward->sequences;
    const Dims *dims = &forward->dims;
    const MegaWorkspace *w = forward->pass->workspace;
    float *v = w->scratch + (size_t)worker * w->scratch_stride;
    size_t first = task * w->row_block;
    MegaRows rows = mega_rows_of_block(forward->pass, task);
    MegaLinear maps[] = {value_map(rows.config, &forward->layer->v,
                                   forward->input + first * dims->d, v, dims->h),
                         z_map(&forward->layer->weights->z, s->ema_out + first * dims->d,
                               s->q + first * dims->z, dims->z)};
    mega_rows_linears(&rows, &maps[0], 1);
    mega_values_store(&s->values, first, rows.count, v, dims->h);
    mega_rows_linears(&rows, &maps[1], 1);
    if (!forward->pass->tap.tap)
        make_queries_and_keys(context, task, worker);
}

/* Returns the queries of some rows of a chunk. With a rotation, each gets a second part in `out`,
 * whose product with that of a key is the bias. That part is divided by the factor by which the
 * products are scaled afterwards. */
static const float *queries_of(const Forward *forward, const MegaAttention *attention,
                               const float *q, float *out)
{
    const Sequences *s = forward->sequences;
    const size_t z = forward->dims.z;
    if (!s->rotation)
        return q;
    for (size_t row = 0; row < attention->rows; row++) {
        const size_t position = attention->first + row;
        const size_t seen = attention->causal ? position + 1 : attention->keys;
        float *query = out + row * s->columns;
        memcpy(query, q + row * z, z * sizeof *query);
        mega_rotate(s->rotation + position * z, z, forward->layer->weights->rotary_alpha,
                    1.0f / mega_attention_scale(attention->kind, z, seen), query + z);
    }
    return out;
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
                                   .columns = s->columns,
                                   .key_panels = key_panels_of(s, chunk),
                                   .values = mega_values_at(&s->values, 0, chunk->first),
                                   .value_stride = mega_values_stride(&s->values),
                                   .bias = forward->bias,
                                   .factor = scratch->reset + row * (dims->h + dims->d),
                                   .ld_factor = dims->h + dims->d,
                                   .ldq = s->columns, .ldo = dims->h};
        attention.causal = mega_gated(forward->pass->config)->causal;
        attention.q =
            queries_of(forward, &attention, s->q + (first + row) * dims->z, scratch->queries);
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
    MegaRows rows = mega_rows_of_block(forward->pass, task);
    MegaArena own = mega_worker_arena(w, worker);
    QueryScratch s = query_scratch_layout(dims, forward->sequences, w->row_block, &own);
    const float *m = forward->sequences->ema_out + first * dims->d;

    const MegaLinear maps[] = {update_map(&layer->weights->u, m, s.update, dims->d),
                               reset_map(&layer->weights->r_hx, dims->h, m, s.reset, wide)};
    mega_rows_linears(&rows, maps, 2);
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

/* ---- Pieces of a long sequence -------------------------------------------------------------- */

/* Returns how many positions after the piece the average sees. */
static size_t rows_after(const MegaPiece *piece, const Sequences *s)
{
    return mega_min_size(s->lags, piece->total - piece->first - piece->count);
}

/* Reads x' of the piece and of the positions after it into the window. */
static void fill_window(const MegaPass *pass, const Sequences *s, const MegaLayer *layer)
{
    const MegaPiece *piece = pass->piece;
    const size_t d = (size_t)pass->config->width, row = d * sizeof(float);
    const size_t count = piece->count + rows_after(piece, s);
    float *x = s->window + s->lags * d;
    mega_spill_read(piece->rows, (uint64_t)piece->first * row, x, count * row);
    if (has_separate_norm(pass->config, layer))
        mega_norm_apply(&layer->norm, pass->kernels, x, count, d, x);
}

/* Runs the average over the window, into ema_out; ahead_only as in MegaEmaPiece. */
static void run_piece_ema(const MegaPass *pass, const MegaLayer *layer, bool ahead_only)
{
    const MegaWorkspace *w = pass->workspace;
    const Sequences *s = w->own;
    const MegaPiece *piece = pass->piece;
    const size_t begin[] = {0, piece->count};
    const MegaEmaPiece part = {.before = mega_min_size(s->lags, piece->first),
                               .after = rows_after(piece, s), .back = s->back,
                               .ahead = s->ahead, .ahead_only = ahead_only};
    mega_ema_run(w->plan, &layer->ema,
                 &(MegaEmaRun){.kernels = pass->kernels, .pool = pass->pool, .begin = begin,
                               .sequences = 1, .x = s->window + s->lags * layer->ema.width,
                               .y = s->ema_out, .scratch = w->scratch,
                               .scratch_stride = w->scratch_stride, .piece = &part});
}

/* MegaLayerKind.look_ahead: keeps the states with which the look-ahead half enters the piece, for
 * `forward`, and runs that half over the piece to get those of the piece before. */
static void look_ahead(const MegaPass *pass, int index)
{
    const MegaPiece *piece = pass->piece;
    const MegaLayer *layer = mega_layer(pass->stack, index);
    const Sequences *s = pass->workspace->own;
    const size_t bytes = kept(pass->stack);
    if (piece->first + piece->count == piece->total)
        memset(s->ahead, 0, bytes);
    mega_spill_write(piece->rows, piece->kept, s->ahead, bytes);
    if (piece->first == 0)
        return;
    fill_window(pass, s, layer);
    memset(s->ema_out, 0, piece->count * layer->ema.width * sizeof *s->ema_out);
    run_piece_ema(pass, layer, true);
}

/* Prepares the chunks, the window and the states of the average of a piece. The last positions of
 * the previous window move to the front, where the average looks back to them. */
static void begin_piece(const MegaPass *pass, const MegaLayer *layer)
{
    const MegaPiece *piece = pass->piece;
    Sequences *s = pass->workspace->own;
    const size_t d = layer->ema.width, bytes = kept(pass->stack), longest = s->chunks.longest;
    mega_chunks_cut(&s->chunks, mega_gated(pass->config)->chunk,
                    &(MegaBatch){.lengths = &piece->count, .count = 1});
    s->chunks.longest = longest; /* tables and scratch memory are made for that */
    s->values.positions = piece->count;
    if (piece->first == 0)
        memset(s->back, 0, mega_ema_state_floats(d, layer->ema.states) * sizeof *s->back);
    else
        memmove(s->window, s->window + s->length * d, s->lags * d * sizeof *s->window);
    if (bytes)
        mega_spill_read(piece->rows, piece->kept, s->ahead, bytes);
    fill_window(pass, s, layer);
}

/* ---- Whole sequences: the layer ------------------------------------------------------------- */

/* Returns the entry for j = i of a layer's bias table. */
static const float *bias_center(const MegaStack *stack, const Sequences *sequences, int index)
{
    if (sequences->rotary)
        return sequences->rotary[sequences->rotation ? 0 : index] + sequences->chunks.longest - 1;
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
    if (index + 1 < pass->config->layers && !pass->piece)
        next = mega_layer(pass->stack, index + 1);
    if (pass->piece)
        begin_piece(pass, layer);
    Forward work = {.pass = pass, .sequences = s, .layer = layer, .dims = dims,
                    .next = next && has_separate_norm(pass->config, next) ? next : NULL,
                    .bias = bias_center(pass->stack, s, index),
                    .input = pass->piece ? s->window + s->lags * dims.d
                                         : normed_input(pass, s, index)};
    if (pass->piece)
        run_piece_ema(pass, layer, false);
    else
        mega_ema_run(w->plan, &layer->ema,
                     &(MegaEmaRun){.kernels = pass->kernels, .pool = pass->pool,
                                   .begin = w->begin, .sequences = w->sequences, .x = work.input,
                                   .y = s->ema_out, .scratch = w->scratch,
                                   .scratch_stride = w->scratch_stride});
    mega_tap_layer(&pass->tap, index, ".ema", s->ema_out, w->length, dims.d);
    mega_pool_run(pass->pool, row_blocks, project_values, &work);
    mega_values_tap(&s->values, &pass->tap, index);
    mega_tap_layer(&pass->tap, index, ".z", s->q, w->length, dims.z);
    if (pass->tap.tap)
        mega_pool_run(pass->pool, row_blocks, make_queries_and_keys, &work);
    mega_tap_layer(&pass->tap, index, ".q", s->q, w->length, dims.z);
    mega_tap_layer(&pass->tap, index, ".k", s->k, w->length, dims.z);
    mega_pool_run(pass->pool, row_blocks, run_queries, &work);
    mega_tap_layer(&pass->tap, index, "", w->x, w->length, dims.d);
}

static void read_source(const MegaPass *pass, int index, const MegaEncoded *source)
{
    mega_cross_read_source(pass, &weights_of(pass->stack, index)->cross, source, index);
}

static void show(const MegaStack *stack, int index, MegaLayerView *out)
{
    const MegaLayer *layer = mega_layer(stack, index);
    *out = (MegaLayerView){.matrix = &layer->weights->v.weight, .ema = &layer->ema,
                           .gate = &layer->weights->u};
}

static void work(const MegaStackConfig *config, MegaLayerWork *out)
{
    const MegaGatedConfig *own = mega_gated(config);
    const double d = config->width, h = own->hidden, z = own->zdim, f = config->ffn;
    out->products = d * h + d * (2 * d + z + h) + h * d + 2 * d * f;
    /* every state of the moving average is updated, and added to the output */
    out->rest = 2.0 * mega_ema_channels(config) * own->ndim;
    out->per_key = z + h;
    out->cross_products = d * (2 * d + z) + d * d;
    out->cross_per_key = z + d;
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
    .cut = cut,
    .kept = kept,
    .look_ahead = look_ahead,
    .stages = stages,
    .layout = layout,
    .forward = forward,
    .source_layout = mega_cross_source_layout,
    .read_source = read_source,
    .state_layout = mega_state_layout,
    .step_layout = mega_step_layout,
    .step = mega_step_layer,
    .show = show,
    .work = work,
};
