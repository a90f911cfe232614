/*
 * decoder.c - makes decoders, begins and selects their sequences, and reads tokens.
 *
 * Reading cuts tokens into passes that stay inside one chunk. Every pass runs embedding, layers and
 * final norm; the caller then computes what it wants from memory.x: logits, scores, or nothing.
 */
#include "src/decode/decoder.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/base/float_mode.h"
#include "src/kernels/matmul.h"
#include "src/layers/embed.h"
#include "src/layers/norm.h"

#define MAX_SEQUENCES 65536
#define FIRST_RESERVE 64 /* positions */
#define MAX_RESERVE (1u << 26)

/* ---- Memory --------------------------------------------------------------------------------- */

static uint64_t widest_cluster(const MegaDecoder *decoder)
{
    const MegaClusters *clusters = &decoder->session->model->config.target.input;
    int widest = 0;
    for (int i = 0; i < clusters->count; i++)
        widest = clusters->width[i] > widest ? clusters->width[i] : widest;
    return (uint64_t)widest;
}

static const MegaStack *stack_of(const MegaDecoder *decoder)
{
    return &decoder->session->model->decoder;
}

/* Places the memory of a pass of these sizes. In a dry run it only counts the memory. */
static void pass_layout(MegaDecoder *decoder, const MegaDecoderSizes *sizes, MegaArena *arena)
{
    const MegaStack *stack = stack_of(decoder);
    MegaPassMemory *memory = &decoder->memory;
    uint64_t rows = sizes->rows;
    memory->x = mega_arena_floats(arena, rows * (uint64_t)decoder->config.width);
    memory->cross = mega_arena_floats(arena, rows * sizes->source);
    memory->entry = mega_arena_floats(arena, widest_cluster(decoder));
    memory->layers = stack->kind->step_layout(stack, sizes, arena);
    mega_logits_layout(&decoder->logits, sizes->rows, arena);
}

/* Counts or allocates the states of all layers for these sizes. Adds their bytes to *bytes. *copied
 * becomes the largest number of bytes that exist twice while the states grow. */
static int walk_states(MegaDecoder *decoder, const MegaDecoderSizes *sizes, bool dry,
                       uint64_t *bytes, uint64_t *copied, MegaError *err)
{
    const MegaStack *stack = stack_of(decoder);
    for (int i = 0; i < decoder->config.layers; i++) {
        MegaGrowing *growing = &decoder->growing[i];
        mega_growing_begin(growing, dry);
        void *state = stack->kind->state_layout(stack, i, sizes, growing);
        if (!dry)
            decoder->states[i] = state;
        if (growing->overflow || !mega_add(*bytes, growing->bytes, bytes))
            return mega_fail(err, MEGA_ERR_LIMIT, "the decoding state is too large");
        if (growing->failed)
            return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %.1f MB of decoding state",
                             (double)growing->bytes / 1e6);
        *copied = mega_max_u64(*copied, growing->copied);
    }
    return 0;
}

static uint64_t ancestor_bytes(const MegaDecoderSizes *sizes)
{
    return 2 * (uint64_t)sizes->sequences * sizes->reserved * sizeof(int32_t);
}

/* Counts states of these sizes, and a pass over them, against the memory limit. While the states
 * grow, one array of them and the lists of ancestors exist twice. */
static int count_memory(MegaDecoder *decoder, const MegaDecoderSizes *sizes, MegaError *err)
{
    MegaDecoder planned = *decoder; /* a copy, since the decoder stays as it is if this is
                                       refused */
    MegaArena dry = {0};
    char what[96];
    uint64_t bytes = ancestor_bytes(sizes), copies = 0;
    int code = walk_states(decoder, sizes, true, &bytes, &copies, err);
    if (code)
        return code;
    pass_layout(&planned, sizes, &dry);
    if (dry.overflow || !mega_add(bytes, dry.used, &bytes) ||
        !mega_add(copies, ancestor_bytes(&decoder->sizes), &copies) || bytes > UINT64_MAX - copies)
        return mega_fail(err, MEGA_ERR_LIMIT, "the decoding state is too large");
    snprintf(what, sizeof what, "decoding %zu sequences of %zu tokens", sizes->sequences,
             sizes->reserved);
    code = mega_ledger_change(decoder->ledger, decoder->counted, bytes + copies, what, err);
    if (code)
        return code;
    decoder->counted = bytes;
    return mega_ledger_change(decoder->ledger, bytes + copies, bytes, NULL, NULL);
}

/* Allocates the arena for passes of the decoder's current sizes. If memory runs out, the decoder
 * has no arena, and the next pass plans again. */
static int plan_memory(MegaDecoder *decoder, MegaError *err)
{
    MegaArena dry = {0};
    if (decoder->planned)
        return 0;
    pass_layout(decoder, &decoder->sizes, &dry);
    if (dry.overflow)
        return mega_fail(err, MEGA_ERR_LIMIT, "the decoding state is too large");
    int code = mega_arena_reserve(&decoder->arena, dry.used, err);
    pass_layout(decoder, &decoder->sizes, &decoder->arena); /* after an error every pointer is
                                                               NULL */
    decoder->planned = code == 0;
    return code;
}

static int32_t *new_list(const MegaDecoderSizes *sizes, MegaError *err)
{
    uint64_t bytes = ancestor_bytes(sizes) / 2;
    int32_t *list = bytes <= SIZE_MAX / 2 ? malloc(bytes ? (size_t)bytes : 1) : NULL;
    if (!list)
        mega_fail(err, MEGA_ERR_MEMORY, "no memory for %.1f MB of decoding state",
                  (double)bytes / 1e6);
    return list;
}

/* Makes both lists of ancestors, in rows of sizes->reserved entries, and copies the old entries
 * into the first one. */
static int grow_ancestors(MegaDecoder *decoder, const MegaDecoderSizes *sizes, MegaError *err)
{
    int32_t *list = new_list(sizes, err), *next = list ? new_list(sizes, err) : NULL;
    if (!next) {
        free(list);
        return MEGA_ERR_MEMORY;
    }
    for (size_t i = 0; i < decoder->live; i++)
        memcpy(list + i * sizes->reserved, decoder->ancestors + i * decoder->sizes.reserved,
               decoder->in_chunk * sizeof *list);
    free(decoder->ancestors);
    free(decoder->next_ancestors);
    decoder->ancestors = list;
    decoder->next_ancestors = next;
    return 0;
}

/* Makes room for `sizes`, none of which is smaller than the decoder's. It allocates all memory
 * first and commits the sizes last. If memory runs out, the decoder keeps its sizes, for which
 * memory that has grown is large enough, too. */
static int resize(MegaDecoder *decoder, const MegaDecoderSizes *sizes, MegaError *err)
{
    const MegaDecoderSizes *old = &decoder->sizes;
    uint64_t bytes = 0, copied = 0;
    bool longer = sizes->reserved > old->reserved;
    if (!longer && sizes->positions == old->positions && sizes->source == old->source)
        return 0;
    int code = count_memory(decoder, sizes, err);
    if (!code)
        code = walk_states(decoder, sizes, false, &bytes, &copied, err);
    if (!code && longer)
        code = grow_ancestors(decoder, sizes, err);
    if (code)
        return code;
    if (longer || sizes->source > old->source)
        decoder->planned = false;
    decoder->sizes = *sizes;
    return 0;
}

/* Makes room for `more` positions in the chunk, and for a pass over them. */
static int reserve(MegaDecoder *decoder, size_t more, MegaError *err)
{
    uint64_t needed = (uint64_t)decoder->in_chunk + more, chunk = (uint64_t)decoder->reach.chunk;
    uint64_t end = (uint64_t)decoder->position + more;
    MegaDecoderSizes sizes = decoder->sizes;
    if (needed > MAX_RESERVE)
        return mega_fail(err, MEGA_ERR_LIMIT, "more than %u positions without a chunk",
                         MAX_RESERVE);
    if (needed > sizes.reserved) {
        uint64_t page = decoder->reach.page, more_than = 2 * sizes.reserved;
        if (page > 0)
            more_than = (needed + page - 1) / page * page;
        uint64_t reserved = mega_max_u64(needed, mega_max_u64(FIRST_RESERVE, more_than));
        sizes.reserved = (size_t)(chunk > 0 && reserved > chunk ? chunk : reserved);
    }
    if (end > sizes.positions)
        sizes.positions =
            (size_t)mega_max_u64(end, mega_max_u64(FIRST_RESERVE, 2 * sizes.positions));
    int code = resize(decoder, &sizes, err);
    return code ? code : plan_memory(decoder, err);
}

/* Makes room for sources of up to `length` positions. */
static int reserve_source(MegaDecoder *decoder, size_t length, MegaError *err)
{
    MegaDecoderSizes sizes = decoder->sizes;
    if (length > sizes.source)
        sizes.source = length;
    int code = resize(decoder, &sizes, err);
    return code ? code : plan_memory(decoder, err);
}

/* ---- Making --------------------------------------------------------------------------------- */

/* Takes the chunk that the caller asked for: 0 is the model's, -1 none. */
static int choose_chunk(MegaDecoder *decoder, int chunk, MegaError *err)
{
    const MegaConfig *model = &decoder->session->model->config;
    const MegaLayerKind *kind = stack_of(decoder)->kind;
    int code = 0;
    decoder->reach = mega_stack_reach(model, &decoder->config);
    if (chunk == 0 || chunk == decoder->reach.chunk)
        return 0;
    if (chunk < -1)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "a chunk of %d", chunk);
    if (kind->set_chunk)
        code = kind->set_chunk(&decoder->config, chunk > 0 ? chunk : 0, err);
    else if (chunk > 0)
        code = mega_fail(err, MEGA_ERR_ARGUMENT, "layers of kind %s have no chunks", kind->name);
    decoder->reach = mega_stack_reach(model, &decoder->config);
    return code;
}

static int new_lists(MegaDecoder *decoder, MegaError *err)
{
    size_t sequences = decoder->sizes.sequences, layers = (size_t)decoder->config.layers;
    decoder->growing = calloc(layers, sizeof *decoder->growing);
    decoder->states = calloc(layers, sizeof *decoder->states);
    decoder->parents = calloc(sequences, sizeof *decoder->parents);
    decoder->next_parents = calloc(sequences, sizeof *decoder->parents);
    decoder->sources = calloc(sequences, sizeof *decoder->sources);
    decoder->next_sources = calloc(sequences, sizeof *decoder->sources);
    if (!decoder->growing || !decoder->states || !decoder->parents || !decoder->next_parents ||
        !decoder->sources || !decoder->next_sources)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a decoding state");
    return 0;
}

int mega_decoder_new(MegaDecoder **out, MegaSession *session, const MegaDecoderOptions *options,
                     MegaError *err)
{
    static const MegaDecoderOptions defaults = {0};
    const MegaModel *model = session->model;
    *out = NULL;
    options = options ? options : &defaults;
    if (!mega_config_has_decoder(&model->config))
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the model %s: it has no decoder",
                         mega_task_traits(model->config.task)->does);
    if (options->sequences < 0 || options->sequences > MAX_SEQUENCES)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "%d sequences side by side; expected 1 to %d",
                         options->sequences, MAX_SEQUENCES);
    if (options->exact_top < 0)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "exact_top is %d; expected 0 or more",
                         options->exact_top);
    MegaDecoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a decoding state");
    decoder->session = session;
    decoder->ledger = mega_ledger_hold(session->ledger);
    decoder->config = model->config.decoder;
    size_t sequences = options->sequences ? (size_t)options->sequences : 1;
    decoder->sizes =
        (MegaDecoderSizes){.sequences = sequences,
                           .shows_attention = session->tap.tap && session->tap.attention,
                           .rows = sequences > MEGA_PASS_ROWS ? sequences : MEGA_PASS_ROWS,
                           .threads = mega_pool_threads(session->pool)};
    decoder->logits = (MegaLogits){.config = &model->config.target,
                                   .weights = &model->weights.output,
                                   .width = (size_t)mega_output_width(&model->config),
                                   .kernels = session->kernels,
                                   .pool = session->pool};
    if (options->exact_top < model->config.target.vocab)
        decoder->logits.exact_top = (size_t)options->exact_top;
    int code = choose_chunk(decoder, options->chunk, err);
    decoder->sizes.truncate = options->truncate && decoder->reach.can_truncate;
    if (!code && decoder->sizes.truncate && sequences > 1)
        code = mega_fail(err, MEGA_ERR_ARGUMENT,
                         "EMA truncation is for one sequence at a time, not %zu", sequences);
    if (!code)
        code = new_lists(decoder, err);
    if (!code)
        code = reserve(decoder, 1, err);
    if (code) {
        mega_decoder_free(decoder);
        return code;
    }
    *out = decoder;
    return 0;
}

void mega_decoder_free(MegaDecoder *decoder)
{
    if (!decoder)
        return;
    for (int i = 0; decoder->growing && i < decoder->config.layers; i++)
        mega_growing_free(&decoder->growing[i]);
    free(decoder->growing);
    free(decoder->states);
    free(decoder->parents);
    free(decoder->next_parents);
    free(decoder->sources);
    free(decoder->next_sources);
    free(decoder->ancestors);
    free(decoder->next_ancestors);
    mega_arena_free(&decoder->arena);
    mega_ledger_change(decoder->ledger, decoder->counted, 0, NULL, NULL);
    mega_ledger_drop(decoder->ledger);
    free(decoder);
}

/* ---- Sequences ------------------------------------------------------------------------------ */

int mega_decoder_begin(MegaDecoder *decoder, const MegaEncoded *const *sources, int count,
                       MegaError *err)
{
    MEGA_WITH_FLOAT_MODE;
    const MegaModel *model = decoder->session->model;
    bool translator = model->decoder.has_cross;
    decoder->live = 0;
    if (count < 1 || (size_t)count > decoder->sizes.sequences)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "%d sequences, but there is room for 1 to %zu",
                         count, decoder->sizes.sequences);
    if (translator != (sources != NULL))
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         translator ? "a translator needs a source for every sequence"
                                    : "a language model has no source");
    size_t longest = decoder->sizes.source;
    for (int i = 0; i < count; i++) {
        decoder->parents[i] = (size_t)i;
        decoder->sources[i] = sources ? sources[i] : NULL;
        if (sources && !sources[i])
            return mega_fail(err, MEGA_ERR_ARGUMENT, "source %d is NULL", i);
        if (sources && sources[i]->model != model)
            return mega_fail(err, MEGA_ERR_ARGUMENT, "source %d was encoded by another model", i);
        if (sources && sources[i]->length > longest)
            longest = sources[i]->length;
    }
    decoder->position = 0;
    decoder->in_chunk = 0;
    decoder->contiguous = count == 1;
    int code = reserve_source(decoder, longest, err);
    if (code)
        return code;
    decoder->live = (size_t)count;
    return 0;
}

int mega_decoder_select(MegaDecoder *decoder, const int *parents, int count, MegaError *err)
{
    size_t stride = decoder->sizes.reserved;
    if (count < 1 || (size_t)count > decoder->sizes.sequences)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "%d sequences, but there is room for 1 to %zu",
                         count, decoder->sizes.sequences);
    for (int i = 0; i < count; i++)
        if (parents[i] < 0 || (size_t)parents[i] >= decoder->live)
            return mega_fail(err, MEGA_ERR_ARGUMENT, "sequence %d is not live", parents[i]);
    for (int i = 0; i < count; i++) {
        size_t parent = (size_t)parents[i];
        decoder->next_parents[i] = decoder->parents[parent];
        decoder->next_sources[i] = decoder->sources[parent];
        memcpy(decoder->next_ancestors + (size_t)i * stride, decoder->ancestors + parent * stride,
               decoder->in_chunk * sizeof *decoder->ancestors);
    }
    size_t *old_parents = decoder->parents;
    const MegaEncoded **old_sources = decoder->sources;
    int32_t *old_ancestors = decoder->ancestors;
    decoder->parents = decoder->next_parents;
    decoder->sources = decoder->next_sources;
    decoder->ancestors = decoder->next_ancestors;
    decoder->next_parents = old_parents;
    decoder->next_sources = old_sources;
    decoder->next_ancestors = old_ancestors;
    decoder->contiguous = count == 1 && (decoder->in_chunk == 0 ||
                                       (decoder->contiguous && parents[0] == 0));
    decoder->live = (size_t)count;
    return 0;
}

int mega_decoder_live(const MegaDecoder *decoder)
{
    return (int)decoder->live;
}

int64_t mega_decoder_position(const MegaDecoder *decoder)
{
    return decoder->position;
}

const float *mega_decoder_attention(const MegaDecoder *decoder, int sequence)
{
    const bool is_live = sequence >= 0 && (size_t)sequence < decoder->live;
    return decoder->planned && decoder->position > 0 && is_live && stack_of(decoder)->has_cross
               ? decoder->memory.cross + (size_t)sequence * decoder->sizes.source
               : NULL;
}

size_t mega_decoder_memory(const MegaDecoder *decoder)
{
    uint64_t bytes = ancestor_bytes(&decoder->sizes);
    for (int i = 0; i < decoder->config.layers; i++)
        bytes += mega_growing_size(&decoder->growing[i]);
    return (size_t)bytes + decoder->arena.size;
}

/* ---- Reading -------------------------------------------------------------------------------- */

static void embed_token(const MegaDecoder *decoder, int32_t token, float *x)
{
    const MegaModel *model = decoder->session->model;
    const MegaTargetConfig *target = &model->config.target;
    size_t d = (size_t)decoder->config.width;
    int cluster = 0;
    while (token >= target->input.end[cluster])
        cluster++;
    const MegaClusterWeights *weights = &model->weights.target[cluster];
    size_t row = (size_t)token - (size_t)(cluster ? target->input.end[cluster - 1] : 0);
    size_t width = (size_t)target->input.width[cluster];
    if (weights->projection.panels) {
        float *entry = decoder->memory.entry;
        mega_packed_row(&weights->table, row, entry);
        mega_matmul(decoder->session->kernels, &weights->projection, entry, width, 1, x, d,
                    &(MegaEpilogue){0});
    } else {
        mega_packed_row(&weights->table, row, x);
    }
}

/* Adds to each row of memory.x what the embedding adds to its position. */
static void add_positions(const MegaDecoder *decoder, size_t rows, MegaRowsAre rows_are)
{
    const MegaPositions *positions = &stack_of(decoder)->positions;
    const bool consecutive = rows_are == MEGA_ROWS_ARE_POSITIONS;
    for (size_t row = 0; row < rows; row++)
        mega_positions_add(positions, (size_t)decoder->position + (consecutive ? row : 0), 1,
                           decoder->memory.x + row * positions->width);
}

/* Writes the embeddings of the tokens to memory.x. A tap first sees there what is added to them. */
static void embed_tokens(const MegaDecoder *decoder, const int32_t *tokens, size_t rows,
                         MegaRowsAre rows_are)
{
    const MegaModel *model = decoder->session->model;
    float *x = decoder->memory.x;
    size_t d = (size_t)decoder->config.width;
    if (decoder->session->tap.tap && model->decoder.positions.kind != MEGA_POSITIONS_NONE) {
        memset(x, 0, rows * d * sizeof *x);
        add_positions(decoder, rows, rows_are);
        mega_tap(&decoder->session->tap, "target.positions", x, rows, d);
    }
    for (size_t row = 0; row < rows; row++)
        embed_token(decoder, tokens[row], x + row * d);
    if (model->config.target.scale)
        mega_embed_scale(x, rows, d);
    for (size_t row = 0; model->weights.target_types && row < rows; row++)
        mega_embed_add_type(model->weights.target_types, 0, d, x + row * d);
    add_positions(decoder, rows, rows_are);
    if (decoder->config.embed_norm)
        mega_norm_apply(&model->decoder.embed_norm, decoder->session->kernels, x, rows, d, x);
}

/* Takes the rows of memory.x through all layers and the final norm. */
static void run_stack(MegaDecoder *decoder, size_t rows, MegaRowsAre rows_are)
{
    const MegaStack *stack = stack_of(decoder);
    const MegaStackConfig *config = &decoder->config;
    float *x = decoder->memory.x;
    size_t d = (size_t)config->width;
    MegaPass pass = {.stack = stack, .config = config, .kernels = decoder->session->kernels,
                     .pool = decoder->session->pool, .tap = decoder->session->tap};
    MegaStep step = {.sizes = &decoder->sizes, .rows = rows, .rows_are = rows_are, .x = x,
                     .position = decoder->position, .in_chunk = decoder->in_chunk,
                     .current = decoder->current, .parents = decoder->parents,
                     .ancestors = decoder->ancestors, .sources = decoder->sources,
                     .states = decoder->states, .memory = decoder->memory.layers,
                     .cross_weights = decoder->memory.cross};
    pass.tap.stack = "decoder.";
    mega_tap(&pass.tap, "target", x, rows, d);
    for (int i = 0; i < config->layers; i++)
        stack->kind->step(&pass, &step, i);
    if (config->final_norm) {
        mega_norm_apply(&stack->final_norm, pass.kernels, x, rows, d, x);
        mega_tap(&pass.tap, "decoder.final", x, rows, d);
    }
}

/* Takes the tokens of the rows through embedding and layers, into memory.x. */
static int run_pass(MegaDecoder *decoder, const int32_t *tokens, size_t rows, MegaRowsAre rows_are,
                    MegaError *err)
{
    const size_t chunk = (size_t)decoder->reach.chunk;
    bool sequences = rows_are == MEGA_ROWS_ARE_SEQUENCES;
    size_t positions = sequences ? 1 : rows;
    int code = reserve(decoder, positions, err);
    if (code)
        return code;
    embed_tokens(decoder, tokens, rows, rows_are);
    for (size_t i = 0; i < (sequences ? rows : 1); i++)
        for (size_t t = 0; t < positions; t++)
            decoder->ancestors[i * decoder->sizes.reserved + decoder->in_chunk + t] = (int32_t)i;
    run_stack(decoder, rows, rows_are);
    decoder->current = !decoder->current;
    for (size_t i = 0; i < decoder->live; i++)
        decoder->parents[i] = i;
    decoder->position += (int64_t)positions;
    decoder->in_chunk += positions;
    if (chunk > 0 && decoder->in_chunk == chunk) {
        decoder->in_chunk = 0;
        decoder->contiguous = decoder->live == 1;
    }
    return 0;
}

static int check_tokens(const MegaDecoder *decoder, const int32_t *tokens, size_t count,
                        MegaError *err)
{
    int vocab = decoder->session->model->config.target.vocab;
    for (size_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= vocab)
            return mega_fail(err, MEGA_ERR_INPUT,
                             "token id %d at position %zu is not in the vocabulary of 0 to %d",
                             tokens[i], i, vocab - 1);
    return 0;
}

int64_t mega_decoder_positions(const MegaConfig *model)
{
    MegaReach reach = mega_stack_reach(model, &model->decoder);
    return mega_config_has_cross(model) && reach.cross_positions < reach.positions
               ? reach.cross_positions
               : reach.positions;
}

bool mega_decoder_full(const MegaDecoder *decoder)
{
    return decoder->position >= mega_decoder_positions(&decoder->session->model->config);
}

/* Checks that `more` positions fit into the model's tables. */
static int check_positions(const MegaDecoder *decoder, size_t more, MegaError *err)
{
    int64_t end = decoder->position + (int64_t)more;
    int64_t limit = mega_decoder_positions(&decoder->session->model->config);
    if (end > limit)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "the sequence has %lld tokens, but the model was made for at most %lld",
                         (long long)end, (long long)limit);
    return 0;
}

#define CHECKED_AT_ONCE 16384

typedef struct Check {
    const float *values;
    size_t count;
    bool gaps; /* skipped words have -INFINITY, which is no error */
    atomic_bool bad;
} Check;

static void check_part(void *context, size_t task, int worker)
{
    (void)worker;
    Check *check = context;
    size_t first = task * CHECKED_AT_ONCE, left = check->count - first;
    float sum = 0; /* 0 * x is NaN if x is infinite or NaN */
    for (size_t i = 0; i < (left < CHECKED_AT_ONCE ? left : CHECKED_AT_ONCE); i++) {
        float value = check->values[first + i];
        sum += 0.0f * (check->gaps && value == -INFINITY ? 0.0f : value);
    }
    if (sum != 0.0f)
        atomic_store(&check->bad, true);
}

static int check_finite(const MegaDecoder *decoder, const float *values, size_t count, bool gaps,
                        MegaError *err)
{
    Check check = {.values = values, .count = count, .gaps = gaps};
    mega_pool_run(decoder->session->pool, (count + CHECKED_AT_ONCE - 1) / CHECKED_AT_ONCE,
                  check_part, &check);
    return atomic_load(&check.bad)
               ? mega_fail(err, MEGA_ERR_INPUT,
                           "the model's numbers overflow: an output is not finite")
               : 0;
}

/* Computes logits [rows][vocab] for the rows of the pass. They must be finite, except those of
 * skipped words. */
static int run_logits(const MegaDecoder *decoder, size_t rows, float *logits, MegaError *err)
{
    const MegaLogits *output = &decoder->logits;
    mega_logits_run(output, decoder->memory.x, rows, logits);
    if (mega_config_projects_output(&decoder->session->model->config))
        mega_tap(&decoder->session->tap, "decoder.features",
                 output->config->output_width > 0 ? output->features : output->projected, rows,
                 (size_t)output->config->output.width[0]);
    if (output->block_sum) /* a block's sum is finite only if all its logits are */
        return check_finite(decoder, output->block_sum, rows * output->blocks, false, err);
    return check_finite(decoder, logits, rows * (size_t)output->config->vocab,
                        output->exact_top > 0, err);
}

int mega_decoder_step(MegaDecoder *decoder, const int32_t *tokens, float *logits, MegaError *err)
{
    MEGA_WITH_FLOAT_MODE;
    if (decoder->live == 0)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "no sequence was begun");
    int code = check_tokens(decoder, tokens, decoder->live, err);
    if (!code)
        code = check_positions(decoder, 1, err);
    if (!code)
        code = run_pass(decoder, tokens, decoder->live, MEGA_ROWS_ARE_SEQUENCES, err);
    if (code)
        return code;
    return run_logits(decoder, decoder->live, logits, err);
}

/* Reads `count` tokens of the only live sequence, and computes logits or log-probabilities if they
 * are wanted. */
static int read_tokens(MegaDecoder *decoder, const int32_t *tokens, const int32_t *targets,
                       size_t count, float *logits, float *logprobs, MegaError *err)
{
    MEGA_WITH_FLOAT_MODE;
    size_t vocab = (size_t)decoder->session->model->config.target.vocab;
    size_t chunk = (size_t)decoder->reach.chunk;
    if (decoder->live != 1)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "reading many tokens needs one live sequence, but there are %zu",
                         decoder->live);
    int code = check_tokens(decoder, tokens, count, err);
    if (!code && targets)
        code = check_tokens(decoder, targets, count, err);
    if (!code)
        code = check_positions(decoder, count, err);
    for (size_t done = 0, rows; done < count && !code; done += rows) {
        MegaRowsAre rows_are =
            decoder->contiguous ? MEGA_ROWS_ARE_POSITIONS : MEGA_ROWS_ARE_SEQUENCES;
        rows = count - done < MEGA_PASS_ROWS ? count - done : MEGA_PASS_ROWS;
        if (chunk > 0 && rows > chunk - decoder->in_chunk)
            rows = chunk - decoder->in_chunk;
        if (rows_are == MEGA_ROWS_ARE_SEQUENCES)
            rows = 1;
        code = run_pass(decoder, tokens + done, rows, rows_are, err);
        if (!code && logits)
            code = run_logits(decoder, rows, logits + done * vocab, err);
        if (!code && logprobs) {
            mega_logits_score(&decoder->logits, decoder->memory.x, rows, targets + done,
                              logprobs + done);
            code = check_finite(decoder, logprobs + done, rows, false, err);
        }
        /* mega_decoder_attention shows the weights of the last row. */
        if (!code && rows_are == MEGA_ROWS_ARE_POSITIONS)
            memmove(decoder->memory.cross,
                    decoder->memory.cross + (rows - 1) * decoder->sizes.source,
                    decoder->sizes.source * sizeof(float));
    }
    return code;
}

int mega_decoder_feed(MegaDecoder *decoder, const int32_t *tokens, size_t count, float *logits,
                      MegaError *err)
{
    return read_tokens(decoder, tokens, NULL, count, logits, NULL, err);
}

int mega_decoder_score(MegaDecoder *decoder, const int32_t *tokens, const int32_t *targets,
                       size_t count, float *logprobs, MegaError *err)
{
    return read_tokens(decoder, tokens, targets, count, NULL, logprobs, err);
}

void mega_log_softmax(const float *logits, int count, float *logprobs)
{
    if (count < 1)
        return;
    double norm = mega_kernels()->log_sum_exp(logits, (size_t)count);
    for (int i = 0; i < count; i++)
        logprobs[i] = (float)(logits[i] - norm);
}
