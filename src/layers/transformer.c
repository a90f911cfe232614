/*
 * transformer.c - one Transformer layer (MODEL.md, "Attention of several heads"), and where each
 * line runs: of whole sequences in an encoder, and of the next positions in a decoder.
 *
 *   formula                              encoder          decoder             what both share
 *   x' = norm(x)                         project          step_attention      mega_rows_input
 *   q, k, v = Wq x', Wk x', Wv x'        project          step_attention      linear_map
 *   a  = softmax(q k / sqrt(e)) v        attend_block     mega_heads_attend   mega_attention_scale
 *   x += Wout a                          add_attention    step_attention      mega_rows_add
 *   cross attention                      -                step_cross          -
 *   x += fc2(act(fc1(norm(x))))          run_feed_forward step_feed_forward   feed_forward.h
 *
 * Post-norm layers norm x after each += instead. In cross attention, k and v are maps of the
 * encoder's states, made once per source. An encoder's steps are parallel over blocks of rows, a
 * decoder's over heads and columns of weights. Only the weights of a block of rows and a block of
 * keys exist at a time: never L x L.
 */
#include "src/layers/transformer.h"

#include <string.h>

#include "src/base/checked.h"
#include "src/layers/attention.h"
#include "src/layers/attention_tap.h"
#include "src/layers/chunks.h"
#include "src/layers/values.h"

_Static_assert(MEGA_ROW_BLOCK <= MEGA_ATTENTION_ROWS, "a block attends at once");

/* ---- Hyper-parameters and tensors ----------------------------------------------------------- */

static const MegaField fields[] = {
    MEGA_INT_FIELD("heads", MegaTransformerConfig, heads, 1, MEGA_MAX_HEADS),
    {0},
};

static int check(const MegaConfig *config, const MegaStackConfig *stack, const char *name,
                 MegaError *err)
{
    const int heads = mega_transformer(stack)->heads;
    if (stack->width % heads)
        return mega_fail(err, MEGA_ERR_MODEL, "%s.width is %d, which %d heads do not divide", name,
                         stack->width, heads);
    if (stack == &config->encoder && !stack->bidirectional)
        return mega_fail(err, MEGA_ERR_MODEL, "an encoder of Transformer layers looks both ways");
    return 0;
}

static void reach(const MegaConfig *config, const MegaStackConfig *stack, MegaReach *out)
{
    (void)config;
    (void)stack;
    out->page = MEGA_PAGE;
}

enum { SOURCE = MEGA_DIM_OWN }; /* width of the encoder */

static uint64_t dimension(const MegaConfig *config, const MegaStackConfig *stack,
                          unsigned wanted)
{
    (void)stack;
    return wanted == SOURCE ? (uint64_t)config->encoder.width : 0;
}

#define AT(field) offsetof(MegaTransformerWeights, field)
#define MAP(name, field, in, when)                                                                 \
    {name ".weight", AT(field.weight), {MEGA_DIM_WIDTH, in}, (when) | MEGA_TENSOR_MATRIX},         \
    {name ".bias", AT(field.bias), {MEGA_DIM_WIDTH}, when}

static const MegaTensorRow tensors[] = {
    {"norm.", AT(self.norm), {MEGA_DIM_END}, MEGA_TENSOR_NORM},
    MAP("q", self.q, MEGA_DIM_WIDTH, MEGA_ALWAYS),
    MAP("k", self.k, MEGA_DIM_WIDTH, MEGA_ALWAYS),
    MAP("v", self.v, MEGA_DIM_WIDTH, MEGA_ALWAYS),
    MAP("out", self.out, MEGA_DIM_WIDTH, MEGA_ALWAYS),
    {"cross.norm.", AT(cross.norm), {MEGA_DIM_END}, MEGA_TENSOR_CROSS | MEGA_TENSOR_NORM},
    MAP("cross.q", cross.q, MEGA_DIM_WIDTH, MEGA_TENSOR_CROSS),
    MAP("cross.k", cross.k, SOURCE, MEGA_TENSOR_CROSS),
    MAP("cross.v", cross.v, SOURCE, MEGA_TENSOR_CROSS),
    MAP("cross.out", cross.out, MEGA_DIM_WIDTH, MEGA_TENSOR_CROSS),
    {"ffn.norm.", AT(ffn_norm), {MEGA_DIM_END}, MEGA_IF_FFN | MEGA_TENSOR_NORM},
    MEGA_FEED_FORWARD_ROWS(AT),
    {0},
};

/* ---- Once per model ------------------------------------------------------------------------- */

typedef struct Layer {
    const MegaTransformerWeights *weights;
    MegaNorm norm, cross_norm;
    MegaFeedForward feed_forward;
} Layer;

static MegaHeads heads_of(const MegaStackConfig *config)
{
    return (MegaHeads){.heads = (size_t)mega_transformer(config)->heads,
                       .width = (size_t)config->width};
}

static void *derive(const MegaStack *stack, int index, MegaArena *arena)
{
    const MegaStackConfig *config = stack->config;
    const MegaTransformerWeights *weights = (const MegaTransformerWeights *)stack->weights + index;
    const size_t d = (size_t)config->width;
    Layer *out = mega_arena_take(arena, sizeof *out);
    Layer layer = {.weights = weights};
    mega_norm_prepare(&layer.norm, config->norm, &weights->self.norm, d, arena);
    if (stack->has_cross)
        mega_norm_prepare(&layer.cross_norm, config->norm, &weights->cross.norm, d, arena);
    if (config->ffn > 0)
        mega_feed_forward_derive(&layer.feed_forward, config, &weights->ffn_norm, &weights->fc1,
                                 &weights->fc2, arena);
    if (out)
        *out = layer;
    return out;
}

/* Returns the map y = W x + b of rows that lie without gaps. */
static MegaLinear linear_map(const MegaLinearWeights *map, const float *x, float *y)
{
    return (MegaLinear){.x = x, .ldx = map->weight.in, .weight = &map->weight, .y = y,
                        .ldy = map->weight.out, .epilogue = {.bias = map->bias}};
}

/* ---- Whole sequences: memory ---------------------------------------------------------------- */

/* Memory that all layers of an encoder share beside the residual stream; workspace->own points
 * here. */
typedef struct Sequences {
    MegaChunks chunks; /* one for each sequence */
    float *q;          /* [L][d], and later what the attention adds to x */
    float *k;          /* [L][d], in workspace->spare */
    MegaValues values; /* v, in panels */
    float *key_panels; /* [heads][chunks.panels][e][MEGA_PANEL]: k, packed sequence by sequence */
    float *longest;    /* [heads][chunks.panels]: longest_key of each panel */
    MegaAttentionTap tap;
} Sequences;

/* Memory of one worker for a block of rows. */
typedef struct Scratch {
    float *weights;  /* scratch of mega_attention */
    float *queries;  /* [rows][e] of one head */
    float *attended; /* [rows][d], and before it v */
    float *normed;   /* [rows][d] */
    float *inner;    /* [rows][ffn] */
} Scratch;

static Scratch scratch_layout(const MegaStackConfig *config, const Sequences *sequences,
                              size_t rows, MegaArena *arena)
{
    const uint64_t floats = rows * (uint64_t)config->width;
    const MegaHeads heads = heads_of(config);
    Scratch scratch;
    scratch.weights =
        mega_arena_floats(arena, mega_attention_scratch(rows, sequences->chunks.longest));
    scratch.queries = mega_arena_floats(arena, rows * (uint64_t)mega_head_width(&heads));
    scratch.attended = mega_arena_floats(arena, floats);
    scratch.normed = mega_arena_floats(arena, floats);
    scratch.inner = mega_arena_floats(arena, rows * (uint64_t)config->ffn);
    return scratch;
}

static void layout(MegaWorkspace *workspace, const MegaStack *stack, const MegaBatch *batch,
                   MegaArena *arena)
{
    const uint64_t floats = workspace->length * (uint64_t)stack->config->width;
    const MegaHeads heads = heads_of(stack->config);
    MegaArena worker = {0};
    Sequences sequences = {.k = workspace->spare}, *out = mega_arena_take(arena, sizeof *out);
    mega_chunks_layout(&sequences.chunks, 0, batch, arena);
    sequences.q = mega_arena_floats(arena, floats);
    sequences.values = (MegaValues){.positions = workspace->length, .heads = heads.heads,
                                    .columns = mega_head_width(&heads)};
    sequences.values.panels = mega_arena_floats(arena, mega_values_floats(&sequences.values));
    sequences.key_panels = mega_arena_floats(
        arena, (uint64_t)sequences.chunks.panels * MEGA_PANEL * (uint64_t)stack->config->width);
    sequences.longest =
        mega_arena_floats(arena, (uint64_t)sequences.chunks.panels * heads.heads);
    mega_attention_tap_layout(&sequences.tap, workspace->shows_attention,
                              heads_of(stack->config).heads, sequences.chunks.longest, arena);
    scratch_layout(stack->config, &sequences, workspace->row_block, &worker);
    mega_workspace_plan_scratch(workspace, &worker, 0, arena);
    if (out)
        *out = sequences;
    workspace->own = out;
}

/* ---- Whole sequences: steps ----------------------------------------------------------------- */

typedef struct Forward {
    const MegaPass *pass;
    const Sequences *sequences;
    const Layer *layer;
    MegaHeads heads;
} Forward;

/* A block of rows and the memory that a worker has for it. */
typedef struct Block {
    MegaRows rows;
    size_t first;
    Scratch scratch;
} Block;

static Block block_of(const Forward *forward, size_t number, int worker)
{
    const MegaPass *pass = forward->pass;
    const MegaWorkspace *w = pass->workspace;
    MegaArena own = mega_worker_arena(w, worker);
    Block block = {.first = number * w->row_block};
    block.rows = mega_rows_of_block(pass, number);
    block.scratch = scratch_layout(pass->config, forward->sequences, w->row_block, &own);
    return block;
}

/* Returns the panels that hold a chunk's keys of one head. */
static float *key_panels_of(const Forward *forward, const MegaChunk *chunk, size_t head)
{
    const Sequences *s = forward->sequences;
    return s->key_panels + (head * s->chunks.panels + chunk->panels) * MEGA_PANEL *
                               mega_head_width(&forward->heads);
}

/* Stores every key of a block in the panels of all heads. */
static void pack_keys(const Forward *forward, size_t first, size_t rows)
{
    const Sequences *s = forward->sequences;
    const size_t d = forward->heads.width, e = mega_head_width(&forward->heads);
    const MegaChunk *chunk = mega_chunk_at(&s->chunks, first);
    for (size_t row = first; row < first + rows; row++) {
        chunk += row == chunk->first + chunk->length;
        for (size_t head = 0; head < forward->heads.heads; head++) {
            float *panels = key_panels_of(forward, chunk, head);
            mega_panels_store(MEGA_F32, panels, e, row - chunk->first, 0, e,
                              s->k + row * d + head * e);
            if (row + 1 == chunk->first + chunk->length)
                mega_panels_fill(MEGA_F32, panels, chunk->length, e);
        }
    }
}

static void project(void *context, size_t task, int worker)
{
    const Forward *forward = context;
    const Sequences *s = forward->sequences;
    const MegaHeadsWeights *weights = &forward->layer->weights->self;
    const Block block = block_of(forward, task, worker);
    const size_t at = block.first * forward->heads.width;
    const float *x = mega_rows_input(&block.rows, &forward->layer->norm, block.scratch.normed);
    const MegaLinear maps[] = {linear_map(&weights->q, x, s->q + at),
                               linear_map(&weights->k, x, s->k + at),
                               linear_map(&weights->v, x, block.scratch.attended)};
    mega_rows_linears(&block.rows, maps, 3);
    pack_keys(forward, block.first, block.rows.count);
    mega_values_store(&s->values, block.first, block.rows.count, block.scratch.attended,
                      forward->heads.width);
}

/* Computes longest_key of every panel of one head, once for all rows that see it. */
static void measure_keys(void *context, size_t head, int worker)
{
    const Forward *forward = context;
    const Sequences *s = forward->sequences;
    const size_t e = mega_head_width(&forward->heads), panels = s->chunks.panels;
    const float *keys = s->key_panels + head * panels * MEGA_PANEL * e;
    (void)worker;
    for (size_t panel = 0; panel < panels; panel++)
        s->longest[head * panels + panel] = forward->pass->kernels->longest_key(
            keys + panel * MEGA_PANEL * e, MEGA_PANEL, e);
}

/* Copies the queries of one head, which lie far apart, side by side, so that they stay in cache. */
static const float *queries_of(const Forward *forward, size_t first, size_t rows, size_t head,
                               float *out)
{
    const size_t d = forward->heads.width, e = mega_head_width(&forward->heads);
    for (size_t row = 0; row < rows; row++)
        memcpy(out + row * e, forward->sequences->q + (first + row) * d + head * e,
               e * sizeof *out);
    return out;
}

/* Stores Wout a in place of q, for one block of rows, which may belong to several sequences. */
static void attend_block(void *context, size_t task, int worker)
{
    const Forward *forward = context;
    const Sequences *s = forward->sequences;
    const Block block = block_of(forward, task, worker);
    const size_t d = forward->heads.width, e = mega_head_width(&forward->heads);
    const MegaChunk *chunk = mega_chunk_at(&s->chunks, block.first);
    for (size_t row = 0, count; row < block.rows.count; row += count, chunk++) {
        const size_t in_chunk = block.first + row - chunk->first;
        count = mega_min_size(block.rows.count - row, chunk->length - in_chunk);
        for (size_t head = 0; head < forward->heads.heads; head++) {
            const MegaAttention attention = {
                .kind = MEGA_ATTENTION_SOFTMAX, .first = in_chunk, .rows = count,
                .keys = chunk->length, .zdim = e, .columns = e, .hidden = e,
                .q = queries_of(forward, block.first + row, count, head, block.scratch.queries),
                .key_panels = key_panels_of(forward, chunk, head),
                .longest = s->longest + head * s->chunks.panels + chunk->panels,
                .values = mega_values_at(&s->values, head, chunk->first),
                .value_stride = mega_values_stride(&s->values), .ldq = e, .ldo = d};
            mega_attention(block.rows.kernels, &attention, block.scratch.weights,
                           block.scratch.attended + row * d + head * e);
        }
    }
    const MegaLinear out = linear_map(&forward->layer->weights->self.out, block.scratch.attended,
                                      s->q + block.first * d);
    mega_rows_linears(&block.rows, &out, 1);
}

static void add_attention(void *context, size_t task, int worker)
{
    const Forward *forward = context;
    const Block block = block_of(forward, task, worker);
    mega_rows_add(&block.rows, forward->sequences->q + block.first * forward->heads.width,
                  &forward->layer->norm);
}

/* Stores the output of the feed-forward block in place of q, and its input in `input` [rows][d]. */
static void run_feed_forward(const Forward *forward, const Block *block, float *input)
{
    mega_feed_forward_show(&forward->layer->feed_forward, &block->rows, input,
                           block->scratch.inner,
                           forward->sequences->q + block->first * forward->heads.width);
}

static void add_feed_forward(void *context, size_t task, int worker)
{
    const Forward *forward = context;
    const Block block = block_of(forward, task, worker);
    mega_feed_forward_add(&forward->layer->feed_forward, &block.rows,
                          forward->sequences->q + block.first * forward->heads.width);
}

/* Takes one block of rows from attention to the layer's output. */
static void run_block(void *context, size_t task, int worker)
{
    const Forward *forward = context;
    const Block block = block_of(forward, task, worker);
    attend_block(context, task, worker);
    add_attention(context, task, worker);
    if (forward->pass->config->ffn == 0)
        return;
    run_feed_forward(forward, &block, block.scratch.normed);
    add_feed_forward(context, task, worker);
}

/* Runs for a tap what follows the attention, up to the output of the feed-forward block; its input
 * is stored in place of k. */
static void show_feed_forward(void *context, size_t task, int worker)
{
    const Forward *forward = context;
    const Block block = block_of(forward, task, worker);
    add_attention(context, task, worker);
    run_feed_forward(forward, &block,
                     forward->sequences->k + block.first * forward->heads.width);
}

/* The keys of a sequence, for a tap. */
typedef struct SequenceKeys {
    const Forward *forward;
    const MegaChunk *chunk;
} SequenceKeys;

static void multiply_keys(const void *context, size_t head, size_t first, size_t rows, float *out)
{
    const SequenceKeys *keys = context;
    const MegaHeads *heads = &keys->forward->heads;
    const MegaChunk *chunk = keys->chunk;
    const size_t e = mega_head_width(heads);
    const MegaPacked packed = {.panels = key_panels_of(keys->forward, chunk, head), .in = e,
                               .out = chunk->length};
    mega_matmul(keys->forward->pass->kernels, &packed,
                keys->forward->sequences->q + (chunk->first + first) * heads->width + head * e,
                heads->width, rows, out, chunk->length, &(MegaEpilogue){0});
}

/* Shows a tap the weights with which each sequence attends to itself. */
static void show_attention(const Forward *forward, int index)
{
    const MegaChunks *chunks = &forward->sequences->chunks;
    for (size_t i = 0; i < chunks->count; i++) {
        const SequenceKeys keys = {forward, &chunks->chunks[i]};
        const size_t length = keys.chunk->length;
        mega_attention_tap_show(forward->pass, &forward->sequences->tap, index, ".attn",
                                &(MegaShownRows){.heads = forward->heads.heads,
                                                 .head_width = mega_head_width(&forward->heads),
                                                 .rows = length, .seen = length, .keys = length,
                                                 .multiply = multiply_keys, .context = &keys});
    }
}

/* ---- Whole sequences: the layer ------------------------------------------------------------- */

/* Runs a layer step by step, so that a tap sees what run_block overwrites at once. */
static void forward_with_tap(Forward *work, int index)
{
    const MegaPass *pass = work->pass;
    const MegaWorkspace *w = pass->workspace;
    const Sequences *s = work->sequences;
    const size_t d = work->heads.width, blocks = mega_row_blocks(w);
    mega_tap_layer(&pass->tap, index, ".q", s->q, w->length, d);
    mega_tap_layer(&pass->tap, index, ".k", s->k, w->length, d);
    mega_values_tap(&s->values, &pass->tap, index);
    show_attention(work, index);
    mega_pool_run(pass->pool, blocks, attend_block, work);
    mega_tap_layer(&pass->tap, index, ".attn_out", s->q, w->length, d);
    if (pass->config->ffn == 0) {
        mega_pool_run(pass->pool, blocks, add_attention, work);
        return;
    }
    mega_pool_run(pass->pool, blocks, show_feed_forward, work);
    mega_tap_layer(&pass->tap, index, ".ffn_in", s->k, w->length, d);
    mega_tap_layer(&pass->tap, index, ".ffn_out", s->q, w->length, d);
    mega_pool_run(pass->pool, blocks, add_feed_forward, work);
}

static void forward(const MegaPass *pass, int index)
{
    const MegaWorkspace *w = pass->workspace;
    Forward work = {.pass = pass, .sequences = w->own, .layer = pass->stack->layers[index],
                    .heads = heads_of(pass->config)};
    mega_pool_run(pass->pool, mega_row_blocks(w), project, &work);
    mega_pool_run(pass->pool, work.heads.heads, measure_keys, &work);
    if (pass->tap.tap)
        forward_with_tap(&work, index);
    else
        mega_pool_run(pass->pool, mega_row_blocks(w), run_block, &work);
    mega_tap_layer(&pass->tap, index, "", w->x, w->length, work.heads.width);
}

/* ---- Decoded rows: memory ------------------------------------------------------------------- */

static void source_layout(const MegaStackConfig *config, size_t length, MegaSourceLayer *out,
                          MegaArena *arena)
{
    const uint64_t floats = (uint64_t)length * (uint64_t)config->width;
    out->keys = mega_arena_floats(arena, floats);
    out->values = mega_arena_floats(arena, floats);
}

static void read_source(const MegaPass *pass, int index, const MegaEncoded *source)
{
    const Layer *layer = pass->stack->layers[index];
    const MegaHeadsWeights *weights = &layer->weights->cross;
    const MegaSourceLayer *out = &source->layers[index];
    const MegaRows rows = {.config = pass->config, .kernels = pass->kernels,
                           .count = source->length};
    const MegaLinear maps[] = {linear_map(&weights->k, source->states, out->keys),
                               linear_map(&weights->v, source->states, out->values)};
    mega_rows_linears(&rows, maps, 2);
}

static void *state_layout(const MegaStack *stack, int index, const MegaDecoderSizes *sizes,
                          MegaGrowing *memory)
{
    const MegaHeads heads = heads_of(stack->config);
    (void)index;
    return mega_pages_layout(&heads, sizes->sequences, sizes->reserved, memory);
}

/* Memory of a step, which all layers share. */
typedef struct StepMemory {
    float *normed;   /* [rows][d] */
    float *q, *k, *v; /* [rows][d] */
    float *attended; /* [rows][d] */
    float *output;   /* [rows][d]: what a sub-block adds to x */
    float *inner;    /* [rows][ffn] */
    MegaHeadScratch heads;
    MegaAttentionTap tap;
} StepMemory;

static void *step_layout(const MegaStack *stack, const MegaDecoderSizes *sizes, MegaArena *arena)
{
    const MegaHeads heads = heads_of(stack->config);
    const uint64_t floats = sizes->rows * (uint64_t)heads.width;
    StepMemory memory, *out = mega_arena_take(arena, sizeof *out);
    memory.normed = mega_arena_floats(arena, floats);
    memory.q = mega_arena_floats(arena, floats);
    memory.k = mega_arena_floats(arena, floats);
    memory.v = mega_arena_floats(arena, floats);
    memory.attended = mega_arena_floats(arena, floats);
    memory.output = mega_arena_floats(arena, floats);
    memory.inner = mega_arena_floats(arena, sizes->rows * (uint64_t)stack->config->ffn);
    mega_head_scratch_layout(&memory.heads, &heads, sizes, arena);
    mega_attention_tap_layout(&memory.tap, sizes->shows_attention, heads.heads,
                              sizes->reserved > sizes->source ? sizes->reserved : sizes->source,
                              arena);
    if (out)
        *out = memory;
    return out;
}

/* ---- Decoded rows: the layer ---------------------------------------------------------------- */

typedef struct Step {
    const MegaPass *pass;
    const MegaStep *step;
    const StepMemory *memory;
    const Layer *layer;
    int index;
    MegaHeads heads;
    MegaRows rows;
} Step;

static void tap_rows(const Step *work, const char *part, const float *data)
{
    mega_tap_layer(&work->pass->tap, work->index, part, data, work->step->rows,
                   work->heads.width);
}

static MegaHeadRequest request_of(const Step *work)
{
    return (MegaHeadRequest){.heads = work->heads, .pages = work->step->states[work->index],
                             .q = work->memory->q, .k = work->memory->k, .v = work->memory->v,
                             .out = work->memory->attended, .scratch = &work->memory->heads};
}

static void multiply_own_keys(const void *context, size_t head, size_t first, size_t rows,
                              float *out)
{
    const Step *work = context;
    const MegaHeadRequest request = request_of(work);
    const size_t keys = mega_heads_seen(work->step, work->step->rows - 1);
    for (size_t row = 0; row < rows; row++)
        mega_heads_multiply(work->pass, work->step, &request, head, first + row,
                            out + row * keys);
}

static void multiply_source_keys(const void *context, size_t head, size_t first, size_t rows,
                                 float *out)
{
    const Step *work = context;
    const size_t d = work->heads.width, e = mega_head_width(&work->heads);
    const MegaEncoded *source = work->step->sources[0];
    for (size_t row = 0; row < rows; row++)
        work->pass->kernels->attend_keys(work->memory->q + (first + row) * d + head * e,
                                         source->layers[work->index].keys + head * e, d, NULL,
                                         source->length, e, out + row * source->length);
}

/* Shows a tap the weights of the rows' attention to their own sequences. */
static void show_own_attention(const Step *work)
{
    const MegaStep *step = work->step;
    mega_attention_tap_show(work->pass, &work->memory->tap, work->index, ".attn",
                            &(MegaShownRows){.heads = work->heads.heads,
                                             .head_width = mega_head_width(&work->heads),
                                             .rows = step->rows, .seen = mega_heads_seen(step, 0),
                                             .keys = mega_heads_seen(step, step->rows - 1),
                                             .multiply = multiply_own_keys, .context = work});
}

/* Shows a tap the weights of attention to the source, unless rows may have several sources. */
static void show_source_attention(const Step *work)
{
    const MegaStep *step = work->step;
    const size_t length = step->sources[0]->length;
    if (step->rows_are == MEGA_ROWS_ARE_SEQUENCES && step->rows > 1)
        return;
    mega_attention_tap_show(work->pass, &work->memory->tap, work->index, ".cross_attn",
                            &(MegaShownRows){.heads = work->heads.heads,
                                             .head_width = mega_head_width(&work->heads),
                                             .rows = step->rows, .seen = length, .keys = length,
                                             .multiply = multiply_source_keys, .context = work});
}

/* Maps the output of the heads, and adds it to x. */
static void finish_attention(const Step *work, const MegaLinearWeights *out, const MegaNorm *norm,
                             const char *part)
{
    const MegaLinear map = linear_map(out, work->memory->attended, work->memory->output);
    mega_rows_linears(&work->rows, &map, 1);
    tap_rows(work, part, work->memory->output);
    mega_rows_add(&work->rows, work->memory->output, norm);
}

static void step_attention(const Step *work)
{
    const StepMemory *memory = work->memory;
    const MegaHeadsWeights *weights = &work->layer->weights->self;
    const float *x = mega_rows_input(&work->rows, &work->layer->norm, memory->normed);
    const MegaHeadRequest request = request_of(work);
    const MegaLinear maps[] = {linear_map(&weights->q, x, memory->q),
                               linear_map(&weights->k, x, memory->k),
                               linear_map(&weights->v, x, memory->v)};
    mega_rows_linears(&work->rows, maps, 3);
    tap_rows(work, ".q", memory->q);
    tap_rows(work, ".k", memory->k);
    tap_rows(work, ".v", memory->v);
    mega_heads_attend(work->pass, work->step, &request);
    show_own_attention(work);
    finish_attention(work, &weights->out, &work->layer->norm, ".attn_out");
}

/* Shows a tap the keys and values of a source, once, in the first step. */
static void tap_source(const Step *work)
{
    const MegaTapping *tap = &work->pass->tap;
    const MegaEncoded *source = work->step->sources[0];
    const MegaSourceLayer *layer = &source->layers[work->index];
    if (work->step->position > 0)
        return;
    mega_tap_layer(tap, work->index, ".cross_k", layer->keys, source->length, work->heads.width);
    mega_tap_layer(tap, work->index, ".cross_v", layer->values, source->length,
                   work->heads.width);
}

static void step_cross(const Step *work)
{
    const StepMemory *memory = work->memory;
    const MegaHeadsWeights *weights = &work->layer->weights->cross;
    const MegaNorm *norm = &work->layer->cross_norm;
    const MegaHeadRequest request = request_of(work);
    const MegaLinear q = linear_map(
        &weights->q, mega_rows_input(&work->rows, norm, memory->normed), memory->q);
    mega_rows_linears(&work->rows, &q, 1);
    tap_rows(work, ".cross_q", memory->q);
    tap_source(work);
    show_source_attention(work);
    mega_heads_attend_source(work->pass, work->step, work->index, &request);
    finish_attention(work, &weights->out, norm, ".cross_attn_out");
}

static void step_feed_forward(const Step *work)
{
    const StepMemory *memory = work->memory;
    const MegaFeedForward *block = &work->layer->feed_forward;
    mega_feed_forward_show(block, &work->rows, memory->normed, memory->inner, memory->output);
    tap_rows(work, ".ffn_in", memory->normed);
    tap_rows(work, ".ffn_out", memory->output);
    mega_feed_forward_add(block, &work->rows, memory->output);
}

static void step_layer(const MegaPass *pass, const MegaStep *step, int index)
{
    const Step work = {.pass = pass, .step = step, .memory = step->memory,
                       .layer = pass->stack->layers[index], .index = index,
                       .heads = heads_of(pass->config),
                       .rows = {.config = pass->config, .kernels = pass->kernels,
                                .pool = pass->pool, .x = step->x, .count = step->rows}};
    step_attention(&work);
    if (pass->stack->has_cross)
        step_cross(&work);
    if (pass->config->ffn > 0)
        step_feed_forward(&work);
    tap_rows(&work, "", step->x);
}

static void show(const MegaStack *stack, int index, MegaLayerView *out)
{
    const Layer *layer = stack->layers[index];
    out->matrix = &layer->weights->self.q.weight;
    out->heads = mega_transformer(stack->config)->heads;
}

static void work(const MegaStackConfig *config, MegaLayerWork *out)
{
    const double d = config->width;
    out->products = 4 * d * d + 2 * d * config->ffn;
    out->per_key = 2 * d;
    out->cross_products = 2 * d * d;
    out->cross_per_key = 2 * d;
}

static const char *const stages[] = {
    ".q", ".k", ".v", ".attn", ".attn_out", ".cross_q", ".cross_k", ".cross_v", ".cross_attn",
    ".cross_attn_out", ".ffn_in", ".ffn_out", "", NULL};

const MegaLayerKind mega_layer_kind_transformer = {
    .name = "transformer",
    .fields = fields,
    .check = check,
    .tensors = tensors,
    .weights_size = sizeof(MegaTransformerWeights),
    .dimension = dimension,
    .reach = reach,
    .derive = derive,
    .stages = stages,
    .layout = layout,
    .forward = forward,
    .source_layout = source_layout,
    .read_source = read_source,
    .state_layout = state_layout,
    .step_layout = step_layout,
    .step = step_layer,
    .show = show,
    .work = work,
};
