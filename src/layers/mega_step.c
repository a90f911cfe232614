/*
 * mega_step.c - one MEGA layer on the next positions of decoded sequences; mega.c has the formulas
 * and where each line runs.
 */
#include <string.h>

#include "src/base/checked.h"
#include "src/layers/attention.h"
#include "src/layers/cross_attention.h"
#include "src/layers/ema_step.h"
#include "src/layers/mega_maps.h"
#include "src/layers/rotation.h"

/* ---- Decoded rows: memory ------------------------------------------------------------------- */

/* What a layer keeps of the decoder's sequences from step to step. */
typedef struct State {
    float *k, *v;   /* [reserved][sequences][columns], [reserved][sequences][h] */
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

/* Fills a table with zeros for j = i and before if it has just grown. */
static void zero_bias(MegaGrowing *memory, size_t positions, const float **center)
{
    float *table = mega_growing_floats(memory, positions, 1);
    if (!memory->grew)
        return;
    memset(table, 0, positions * sizeof *table);
    *center = table + positions - 1;
}

void *mega_state_layout(const MegaStack *stack, int index, const MegaDecoderSizes *sizes,
                        MegaGrowing *memory)
{
    const MegaStackConfig *config = stack->config;
    const MegaLayerWeights *weights = weights_of(stack, index);
    const Dims dims = dims_of(config);
    uint64_t entries = (uint64_t)sizes->reserved * sizes->sequences;
    size_t states = mega_ema_state_floats(dims.d, mega_layer(stack, index)->ema.states);
    State counted, *out = mega_growing_take(memory, sizeof *out), *state = out ? out : &counted;
    if (out && memory->grew)
        *out = (State){0};
    state->k = mega_growing_floats(memory, entries, columns_of(config));
    state->v = mega_growing_floats(memory, entries, dims.h);
    for (int side = 0; side < 2; side++)
        state->ema[side] = mega_growing_floats(memory, sizes->sequences, states);
    if (sizes->truncate)
        state->history = mega_growing_floats(
            memory, mega_min_size((size_t)mega_gated(config)->truncation, sizes->positions),
            dims.d);
    if (mega_gated(config)->bias == MEGA_BIAS_ROTARY) {
        if (rotates(config))
            zero_bias(memory, sizes->reserved, &state->bias);
        else
            rotary_state(memory, sizes->reserved, dims.z, weights->rotary_alpha,
                         weights->rotary_beta, &state->bias);
        if (stack->has_cross) /* cross attention relates any position to any position of a source */
            rotary_state(
                memory, sizes->positions > sizes->source ? sizes->positions : sizes->source, dims.z,
                weights->cross.rotary_alpha, weights->cross.rotary_beta, &state->cross_bias);
    }
    return out;
}

/* Memory of a step, which all layers share. */
typedef struct StepMemory {
    float *normed, *ema_out; /* [rows][d] */
    float *lagged;           /* [rows][d]: x' of T positions before; NULL without truncation */
    float *mx;               /* [rows][2 d + z + h]: u, z, r, c */
    float *q;                /* [rows][columns] */
    float *key_panels; /* [reserved, in whole panels][columns]: used if rows are positions */
    MegaValues values; /* of `reserved` positions: used if rows are positions */
    float *attended;         /* [rows][max(h, d)] */
    float *wide;             /* [rows][max(ffn, 2 d + z, h)] */
    float *weights;          /* [sequences][reserved]: used if rows are sequences */
    float *scratch;          /* [threads][scratch_stride] */
    size_t scratch_stride;
} StepMemory;

void *mega_step_layout(const MegaStack *stack, const MegaDecoderSizes *sizes, MegaArena *arena)
{
    const Dims dims = dims_of(stack->config);
    uint64_t rows = sizes->rows, d = dims.d, h = dims.h, z = dims.z;
    const size_t columns = columns_of(stack->config);
    StepMemory memory, *out = mega_arena_take(arena, sizeof *out);
    memory.normed = mega_arena_floats(arena, rows * d);
    memory.ema_out = mega_arena_floats(arena, rows * d);
    memory.lagged = sizes->truncate ? mega_arena_floats(arena, rows * d) : NULL;
    memory.mx = mega_arena_floats(arena, rows * (2 * d + z + h));
    memory.q = mega_arena_floats(arena, rows * columns);
    memory.key_panels = mega_arena_floats(
        arena, mega_packed_bytes(MEGA_F32, (uint64_t)sizes->reserved, columns) / sizeof(float));
    memory.attended = mega_arena_floats(arena, rows * mega_max_u64(h, d));
    memory.wide = mega_arena_floats(arena, rows * mega_max_u64(mega_max_u64(dims.f, 2 * d + z), h));
    memory.weights = mega_arena_floats(arena, (uint64_t)sizes->sequences * sizes->reserved);
    /* one position more, so that panels do not begin in the same set of the cache */
    memory.values = (MegaValues){.positions = sizes->reserved + 1, .heads = 1, .columns = dims.h};
    memory.values.panels = mega_arena_floats(arena, mega_values_floats(&memory.values));
    memory.scratch_stride =
        (size_t)mega_max_u64(mega_attention_scratch(MEGA_ATTENTION_ROWS, sizes->reserved),
                             sizes->source);
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
    size_t ld_mx;   /* floats from row to row of memory->mx */
    size_t columns; /* of queries and keys */
    MegaRows rows;
    const float *input; /* input of v and EMA: norm(x), or x in a post-norm stack */
} Step;

/* Returns the index of the first row's key in state->k, and of its value in state->v. Those of the
 * next row lie entry_stride further on. */
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
                  &(MegaEmaRows){.ema = &work->layer->ema,
                                 .x = work->input,
                                 .out = work->memory->ema_out,
                                 .from = state->ema[current],
                                 .to = state->ema[!current],
                                 .history = state->history,
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
    MegaLinear maps[] = {update_map(&weights->u, m, u, work->ld_mx),
                         z_map(&weights->z, m, z, work->ld_mx),
                         reset_map(&weights->r_hx, dims->h, m, r, work->ld_mx)};
    mega_rows_linears(&work->rows, &v, 1);
    mega_rows_linears(&work->rows, maps, 3);
}

/* Computes the columns of a query and its key whose product is the bias. The products are scaled by
 * a factor that depends on the number of keys that the query sees, so its columns are divided by
 * it. */
static void add_rotation(const Step *work, size_t row, float *q, float *k)
{
    const MegaStep *step = work->step;
    const MegaLayerWeights *weights = work->layer->weights;
    const size_t z = work->dims.z;
    const size_t position = step->in_chunk + (step->rows_are == MEGA_ROWS_ARE_SEQUENCES ? 0 : row);
    const float scale =
        mega_attention_scale(mega_gated(work->pass->config)->attention, z, position + 1);
    mega_rotation_fill(q, position, 1, z);
    mega_rotate(q, z, weights->rotary_beta, 1, k);
    mega_rotate(q, z, weights->rotary_alpha, 1.0f / scale, q);
}

#define QUERY_ROWS 32 /* rows of one task */

/* Computes q, and stores k in its table. */
static void make_step_queries_and_keys(void *context, size_t task, int worker)
{
    (void)worker;
    const Step *work = context;
    size_t z = work->dims.z, columns = work->columns, first = task * QUERY_ROWS;
    size_t end = mega_min_size(first + QUERY_ROWS, work->step->rows);
    for (size_t row = first; row < end; row++) {
        size_t entry = first_entry(work->step) + row * entry_stride(work->step);
        float *q = work->memory->q + row * columns, *k = work->state->k + entry * columns;
        queries_and_keys(work->pass->kernels, work->layer->weights,
                         work->memory->mx + row * work->ld_mx + work->dims.d, 1, z, q, k);
        if (columns > z)
            add_rotation(work, row, q + z, k + z);
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
                                      .columns = work->columns,
                                      .q = memory->q,
                                      .k = work->state->k,
                                      .v = work->state->v,
                                      .bias = mega_gated(config)->bias == MEGA_BIAS_ROTARY
                                                  ? work->state->bias
                                                  : work->layer->weights->bias +
                                                        mega_bias_positions(config) - 1,
                                      .factor = memory->mx + dims->d + dims->z,
                                      .ld_factor = work->ld_mx,
                                      .out = memory->attended,
                                      .ancestors = step->ancestors,
                                      .reserved = step->sizes->reserved,
                                      .weights = memory->weights,
                                      .key_panels = memory->key_panels,
                                      .values = memory->values,
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
    MegaCrossAttention cross = {.weights = weights,
                                .norm = &work->layer->cross_norm,
                                .index = work->index,
                                .bias =
                                    rotary ? work->state->cross_bias
                                           : weights->bias + work->pass->stack->cross_positions - 1,
                                .normed = memory->normed,
                                .projected = memory->wide,
                                .attended = memory->attended,
                                .scratch = memory->scratch,
                                .scratch_stride = memory->scratch_stride};
    mega_cross_attend(work->pass, work->step, &work->rows, &cross);
}

/* ---- Decoded rows: the layer ---------------------------------------------------------------- */

/* Shows a tap data [rows][columns]. Rows that lie `stride` floats apart are first copied side by
 * side to memory->wide. */
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
    tap_rows(work, ".z", memory->mx + dims->d, dims->z, work->ld_mx);
    tap_rows(work, ".q", memory->q, dims->z, work->columns);
    tap_rows(work, ".k", work->state->k + entry * work->columns, dims->z, stride * work->columns);
}

void mega_step_layer(const MegaPass *pass, const MegaStep *step, int index)
{
    const MegaLayer *layer = mega_layer(pass->stack, index);
    const StepMemory *memory = step->memory;
    const Dims dims = dims_of(pass->config);
    Step work = {.pass = pass,
                 .step = step,
                 .memory = memory,
                 .state = step->states[index],
                 .layer = layer,
                 .index = index,
                 .dims = dims,
                 .ld_mx = 2 * dims.d + dims.z + dims.h,
                 .columns = columns_of(pass->config),
                 .rows = {.config = pass->config,
                          .kernels = pass->kernels,
                          .pool = pass->pool,
                          .x = step->x,
                          .count = step->rows}};
    const MegaGate gate = {.attended = memory->attended,
                           .h = &layer->weights->h,
                           .u = memory->mx,
                           .ld_u = work.ld_mx,
                           .addend = memory->mx + dims.d + dims.z + dims.h,
                           .ld_addend = work.ld_mx,
                           .norm = &layer->norm};
    work.input = mega_rows_input(&work.rows, &layer->norm, memory->normed);
    run_ema(&work);
    tap_rows(&work, ".ema", memory->ema_out, dims.d, dims.d);
    project_step(&work);
    mega_pool_run(pass->pool, mega_pieces(step->rows, QUERY_ROWS), make_step_queries_and_keys,
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
