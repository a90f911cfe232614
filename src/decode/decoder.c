/*
 * decoder.c - the life of a decoding state: make, begin, read tokens, choose sequences.
 *
 * Reading cuts tokens into passes that stay inside one chunk; every pass runs embedding, layers and
 * final norm, and the caller takes from memory.x what it wants: logits, scores, or nothing.
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
#include "src/layers/attention.h"
#include "src/layers/embed.h"

#define MAX_SEQUENCES 65536
#define FIRST_RESERVE 64 /* positions */
#define MAX_RESERVE (1u << 26)

/* ---- Memory --------------------------------------------------------------------------------- */

static size_t pass_rows(const MegaDecoder *decoder)
{
    return decoder->sequences > MEGA_PASS_ROWS ? decoder->sequences : MEGA_PASS_ROWS;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t widest_band(const MegaDecoder *decoder)
{
    const MegaBands *bands = &decoder->session->model->config.target.input;
    int widest = 0;
    for (int i = 0; i < bands->count; i++)
        widest = bands->width[i] > widest ? bands->width[i] : widest;
    return (uint64_t)widest;
}

static void take_memory(MegaDecoder *decoder, MegaArena *arena)
{
    const MegaStackConfig *config = &decoder->config;
    MegaPassMemory *memory = &decoder->memory;
    uint64_t rows = pass_rows(decoder), d = (uint64_t)config->width, h = (uint64_t)config->hidden;
    uint64_t z = (uint64_t)config->zdim;
    uint64_t threads = (uint64_t)mega_pool_threads(decoder->session->pool);
    memory->x = mega_arena_floats(arena, rows * d);
    memory->normed = mega_arena_floats(arena, rows * d);
    memory->moved = mega_arena_floats(arena, rows * d);
    memory->gone = mega_arena_floats(arena, decoder->truncate ? rows * d : 0);
    memory->mx = mega_arena_floats(arena, rows * (2 * d + z + h));
    memory->q = mega_arena_floats(arena, rows * z);
    memory->key_panels = mega_arena_floats(
        arena, mega_packed_bytes(MEGA_F32, (uint64_t)decoder->reserved, z) / sizeof(float));
    memory->attended = mega_arena_floats(arena, rows * max_u64(h, d));
    memory->wide =
        mega_arena_floats(arena, rows * max_u64(max_u64((uint64_t)config->ffn, 2 * d + z), h));
    memory->weights =
        mega_arena_floats(arena, (uint64_t)decoder->sequences * (uint64_t)decoder->reserved);
    memory->cross = mega_arena_floats(arena, rows * decoder->longest_source);
    memory->entry = mega_arena_floats(arena, widest_band(decoder));
    memory->scratch_stride =
        max_u64(MEGA_QUERY_ROWS * (uint64_t)decoder->reserved, decoder->longest_source);
    memory->scratch = mega_arena_floats(arena, memory->scratch_stride * threads);
    mega_logits_take(&decoder->logits, pass_rows(decoder), arena);
}

/* Everything that grows with positions and sources. To grow, all memory is made first and sizes are
 * committed last: when some of it cannot be had the decoder goes on with the sizes that it had,
 * which any larger memory serves as well. */
typedef struct Sizes {
    size_t reserved, history_rows, bias_positions, longest_source;
} Sizes;

static bool has_cross(const MegaDecoder *decoder)
{
    return decoder->session->model->config.task == MEGA_TASK_TRANSLATE;
}

/* Bytes of all states. */
static uint64_t state_bytes(const MegaDecoder *decoder, const Sizes *sizes)
{
    const MegaStackConfig *config = &decoder->config;
    const MegaStack *stack = &decoder->session->model->decoder;
    uint64_t floats = 0, d = (uint64_t)config->width, sequences = decoder->sequences;
    uint64_t reserved = sizes->reserved, tables = has_cross(decoder) ? 2 : 1;
    for (int i = 0; i < config->layers; i++) {
        floats += reserved * sequences * (uint64_t)(config->zdim + config->hidden) + MEGA_PANEL;
        floats += 2 * sequences *
                  mega_ema_state_floats((size_t)config->width, stack->layers[i].ema.states);
        floats += sizes->history_rows * d + tables * 2 * sizes->bias_positions;
    }
    return (floats + 2 * sequences * reserved) * sizeof(float);
}

/* Counts states of these sizes, and a pass over them, if that much memory is allowed. While they
 * grow, one array of them and the lists of ancestors are there twice. */
static int count_memory(MegaDecoder *decoder, const Sizes *sizes, MegaError *err)
{
    const MegaStackConfig *config = &decoder->config;
    MegaDecoder planned = *decoder; /* which goes on as it is when this is refused */
    MegaArena dry = {0};
    char what[96];
    uint64_t widest = max_u64((uint64_t)config->zdim, (uint64_t)config->hidden) + 2;
    uint64_t copies = decoder->reserved * decoder->sequences * widest * sizeof(float);
    planned.reserved = sizes->reserved;
    planned.longest_source = sizes->longest_source;
    take_memory(&planned, &dry);
    if (dry.overflow)
        return mega_fail(err, MEGA_ERR_LIMIT, "the decoding state is too large");
    snprintf(what, sizeof what, "decoding %zu sequences of %zu tokens", decoder->sequences,
             sizes->reserved);
    uint64_t bytes = state_bytes(decoder, sizes) + dry.used;
    int code = mega_ledger_change(decoder->ledger, decoder->counted, bytes + copies, what, err);
    if (code)
        return code;
    decoder->counted = bytes;
    return mega_ledger_change(decoder->ledger, bytes + copies, bytes, NULL, NULL);
}

/* The arena for passes of the decoder as it is now; without memory it has none, and the next pass
 * plans anew. */
static int plan_memory(MegaDecoder *decoder, MegaError *err)
{
    MegaArena dry = {0};
    if (decoder->planned)
        return 0;
    take_memory(decoder, &dry);
    if (dry.overflow)
        return mega_fail(err, MEGA_ERR_LIMIT, "the decoding state is too large");
    int code = mega_arena_reserve(&decoder->arena, dry.used, err);
    take_memory(decoder, &decoder->arena); /* NULL everywhere after an error */
    decoder->planned = code == 0;
    return code;
}

/* Makes *array `count` elements of `size` bytes long, keeping what is there. */
static int grow(void *array, uint64_t count, uint64_t each, uint64_t size, MegaError *err)
{
    uint64_t bytes;
    void *old, *new;
    memcpy(&old, array, sizeof old);
    if (!mega_mul(count, each, &bytes) || !mega_mul(bytes, size, &bytes) || bytes > SIZE_MAX / 2)
        return mega_fail(err, MEGA_ERR_LIMIT, "the decoding state is too large");
    new = realloc(old, bytes ? (size_t)bytes : 1);
    if (!new)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %.1f MB of decoding state",
                         (double)bytes / 1e6);
    memcpy(array, &new, sizeof new);
    return 0;
}

/* Rotary biases of both attentions, for |j - i| < bias_positions. */
static void fill_bias_tables(MegaDecoder *decoder)
{
    size_t z = (size_t)decoder->config.zdim, positions = decoder->bias_positions;
    for (int i = 0; i < decoder->config.layers; i++) {
        MegaDecoderLayer *layer = &decoder->layers[i];
        const MegaLayerWeights *weights = &decoder->session->model->decoder.weights[i];
        mega_rotary_table(weights->rotary_alpha, weights->rotary_beta, z, positions, layer->bias);
        if (has_cross(decoder))
            mega_rotary_table(weights->cross.rotary_alpha, weights->cross.rotary_beta, z, positions,
                              layer->cross_bias);
    }
}

static int grow_layer(MegaDecoder *decoder, MegaDecoderLayer *layer, const Sizes *sizes,
                      MegaError *err)
{
    const MegaStackConfig *config = &decoder->config;
    uint64_t hidden = (uint64_t)config->hidden, entries = sizes->reserved * decoder->sequences;
    /* values behind the last, of which kernels may read MEGA_PANEL floats */
    uint64_t behind = (MEGA_PANEL + hidden - 1) / hidden;
    int code = 0;
    if (sizes->reserved > decoder->reserved)
        code = grow(&layer->k, entries, (uint64_t)config->zdim, sizeof(float), err);
    if (!code && sizes->reserved > decoder->reserved)
        code = grow(&layer->v, entries + behind, hidden, sizeof(float), err);
    if (!code && sizes->history_rows > decoder->history_rows)
        code = grow(&layer->history, sizes->history_rows, (uint64_t)config->width, sizeof(float),
                    err);
    if (!code && sizes->bias_positions > decoder->bias_positions)
        code = grow(&layer->bias, 2 * (uint64_t)sizes->bias_positions, 1, sizeof(float), err);
    if (!code && sizes->bias_positions > decoder->bias_positions && has_cross(decoder))
        code = grow(&layer->cross_bias, 2 * (uint64_t)sizes->bias_positions, 1, sizeof(float),
                    err);
    return code;
}

/* Two lists of ancestors in rows of `reserved` entries, the first with what the old one has. */
static int new_ancestors(const MegaDecoder *decoder, size_t reserved, int32_t *out[2],
                         MegaError *err)
{
    out[0] = out[1] = NULL;
    int code = grow(&out[0], decoder->sequences, reserved, sizeof *out[0], err);
    if (!code)
        code = grow(&out[1], decoder->sequences, reserved, sizeof *out[1], err);
    if (code) {
        free(out[0]);
        return code;
    }
    for (size_t i = 0; i < decoder->live; i++)
        memcpy(out[0] + i * reserved, decoder->ancestors + i * decoder->reserved,
               decoder->in_chunk * sizeof *out[0]);
    return 0;
}

/* Makes room for `sizes`, none of which is less than the decoder has. */
static int resize(MegaDecoder *decoder, const Sizes *sizes, MegaError *err)
{
    bool longer = sizes->reserved > decoder->reserved;
    bool farther = sizes->bias_positions > decoder->bias_positions;
    int32_t *ancestors[2] = {NULL, NULL};
    int code = 0;
    bool wider = sizes->longest_source > decoder->longest_source;
    if (!longer && !farther && !wider && sizes->history_rows == decoder->history_rows)
        return 0;
    code = count_memory(decoder, sizes, err);
    for (int i = 0; i < decoder->config.layers && !code; i++)
        code = grow_layer(decoder, &decoder->layers[i], sizes, err);
    if (!code && longer)
        code = new_ancestors(decoder, sizes->reserved, ancestors, err);
    if (code)
        return code;
    if (longer) {
        free(decoder->ancestors);
        free(decoder->next_ancestors);
        decoder->ancestors = ancestors[0];
        decoder->next_ancestors = ancestors[1];
    }
    if (longer || wider)
        decoder->planned = false;
    decoder->reserved = sizes->reserved;
    decoder->longest_source = sizes->longest_source;
    decoder->history_rows = sizes->history_rows;
    decoder->bias_positions = sizes->bias_positions;
    if (farther)
        fill_bias_tables(decoder);
    return 0;
}

/* As many rows of history as `positions` need. */
static size_t history_for(const MegaDecoder *decoder, uint64_t positions)
{
    uint64_t truncation = (uint64_t)decoder->config.truncation, rows = decoder->history_rows;
    if (!decoder->truncate || rows >= positions)
        return (size_t)rows;
    rows = max_u64(2 * rows, max_u64(positions, FIRST_RESERVE));
    return (size_t)(rows < truncation ? rows : truncation);
}

/* Room for `more` further positions in the chunk, and memory for a pass over them. */
static int reserve(MegaDecoder *decoder, size_t more, MegaError *err)
{
    const MegaStackConfig *config = &decoder->config;
    uint64_t needed = (uint64_t)decoder->in_chunk + more, chunk = (uint64_t)config->chunk;
    uint64_t end = (uint64_t)decoder->position + more, reserved = decoder->reserved;
    bool rotary = config->bias == MEGA_BIAS_ROTARY;
    if (needed > MAX_RESERVE)
        return mega_fail(err, MEGA_ERR_LIMIT, "more than %u positions without a chunk",
                         MAX_RESERVE);
    if (needed > reserved) {
        reserved = max_u64(needed, max_u64(FIRST_RESERVE, 2 * reserved));
        reserved = chunk > 0 && reserved > chunk ? chunk : reserved;
    }
    Sizes sizes = {.reserved = (size_t)reserved, .history_rows = history_for(decoder, end),
                   .bias_positions = decoder->bias_positions,
                   .longest_source = decoder->longest_source};
    if (rotary && sizes.bias_positions < reserved)
        sizes.bias_positions = (size_t)reserved;
    if (rotary && has_cross(decoder) && sizes.bias_positions < end)
        sizes.bias_positions = 2 * (size_t)end;
    int code = resize(decoder, &sizes, err);
    return code ? code : plan_memory(decoder, err);
}

/* Room for sources of up to `length` positions. */
static int reserve_source(MegaDecoder *decoder, size_t length, MegaError *err)
{
    Sizes sizes = {decoder->reserved, decoder->history_rows, decoder->bias_positions,
                   decoder->longest_source};
    if (length > sizes.longest_source)
        sizes.longest_source = length;
    if (decoder->config.bias == MEGA_BIAS_ROTARY && sizes.bias_positions < length)
        sizes.bias_positions = length;
    int code = resize(decoder, &sizes, err);
    return code ? code : plan_memory(decoder, err);
}

/* ---- Making --------------------------------------------------------------------------------- */

static int choose_chunk(MegaStackConfig *config, int chunk, MegaError *err)
{
    if (chunk == 0 || chunk == config->chunk)
        return 0;
    if (chunk < -1)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "a chunk of %d", chunk);
    if (config->bias != MEGA_BIAS_ROTARY)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "the chunk of this model cannot be changed: its bias is a table of fixed "
                         "size; only a rotary bias fits any chunk");
    config->chunk = chunk > 0 ? chunk : 0;
    return 0;
}

static int new_states(MegaDecoder *decoder, MegaError *err)
{
    const MegaStack *stack = &decoder->session->model->decoder;
    uint64_t sequences = decoder->sequences;
    decoder->layers = calloc((size_t)decoder->config.layers, sizeof *decoder->layers);
    decoder->parents = calloc(decoder->sequences, sizeof *decoder->parents);
    decoder->next_parents = calloc(decoder->sequences, sizeof *decoder->parents);
    decoder->sources = calloc(decoder->sequences, sizeof *decoder->sources);
    decoder->next_sources = calloc(decoder->sequences, sizeof *decoder->sources);
    if (!decoder->layers || !decoder->parents || !decoder->next_parents || !decoder->sources ||
        !decoder->next_sources)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a decoding state");
    for (int i = 0; i < decoder->config.layers; i++) {
        uint64_t floats =
            mega_ema_state_floats((size_t)decoder->config.width, stack->layers[i].ema.states);
        for (int side = 0; side < 2; side++) {
            int code = grow(&decoder->layers[i].ema[side], sequences, floats, sizeof(float), err);
            if (code)
                return code;
        }
    }
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
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "the model is a classifier: it has no decoder");
    if (options->sequences < 0 || options->sequences > MAX_SEQUENCES)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "%d sequences side by side; 1 to %d are possible",
                         options->sequences, MAX_SEQUENCES);
    if (options->best < 0)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the best %d logits", options->best);
    MegaDecoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a decoding state");
    decoder->session = session;
    decoder->ledger = mega_ledger_hold(session->ledger);
    decoder->config = model->config.decoder;
    decoder->sequences = options->sequences ? (size_t)options->sequences : 1;
    decoder->truncate = options->truncate && decoder->config.truncation > 0;
    decoder->logits = (MegaLogits){.config = &model->config.target,
                                   .weights = &model->weights.output,
                                   .width = (size_t)decoder->config.width,
                                   .kernels = session->kernels,
                                   .pool = session->pool};
    if (options->best < model->config.target.vocab)
        decoder->logits.best = (size_t)options->best;
    int code = choose_chunk(&decoder->config, options->chunk, err);
    if (!code && decoder->truncate && decoder->sequences > 1)
        code = mega_fail(err, MEGA_ERR_ARGUMENT,
                         "EMA truncation is for one sequence at a time, not %zu",
                         decoder->sequences);
    if (!code)
        code = new_states(decoder, err);
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
    for (int i = 0; decoder->layers && i < decoder->config.layers; i++) {
        MegaDecoderLayer *layer = &decoder->layers[i];
        free(layer->k);
        free(layer->v);
        free(layer->ema[0]);
        free(layer->ema[1]);
        free(layer->history);
        free(layer->bias);
        free(layer->cross_bias);
    }
    free(decoder->layers);
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
    bool translator = model->config.task == MEGA_TASK_TRANSLATE;
    decoder->live = 0;
    if (count < 1 || (size_t)count > decoder->sequences)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "%d sequences, but there is room for 1 to %zu",
                         count, decoder->sequences);
    if (translator != (sources != NULL))
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         translator ? "a translator needs a source for every sequence"
                                    : "a language model has no source");
    size_t longest = decoder->longest_source;
    for (int i = 0; i < count; i++) {
        decoder->parents[i] = (size_t)i;
        decoder->sources[i] = sources ? sources[i] : NULL;
        if (sources && sources[i]->model != model)
            return mega_fail(err, MEGA_ERR_ARGUMENT, "source %d was encoded by another model", i);
        if (sources && sources[i]->length > longest)
            longest = sources[i]->length;
    }
    decoder->position = 0;
    decoder->in_chunk = 0;
    decoder->straight = count == 1;
    int code = reserve_source(decoder, longest, err);
    if (code)
        return code;
    for (int i = 0; i < decoder->config.layers; i++) {
        size_t states = mega_ema_state_floats((size_t)decoder->config.width,
                                              model->decoder.layers[i].ema.states);
        memset(decoder->layers[i].ema[decoder->current], 0,
               (size_t)count * states * sizeof(float));
    }
    decoder->live = (size_t)count;
    return 0;
}

int mega_decoder_select(MegaDecoder *decoder, const int *parents, int count, MegaError *err)
{
    size_t stride = decoder->reserved;
    if (count < 1 || (size_t)count > decoder->sequences)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "%d sequences, but there is room for 1 to %zu",
                         count, decoder->sequences);
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
    decoder->straight = count == 1 && (decoder->in_chunk == 0 ||
                                       (decoder->straight && parents[0] == 0));
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
    return decoder->planned ? decoder->memory.cross + (size_t)sequence * decoder->longest_source
                            : NULL;
}

size_t mega_decoder_memory(const MegaDecoder *decoder)
{
    const Sizes sizes = {decoder->reserved, decoder->history_rows, decoder->bias_positions,
                         decoder->longest_source};
    return (size_t)state_bytes(decoder, &sizes) + decoder->arena.size;
}

/* ---- Reading -------------------------------------------------------------------------------- */

static void embed_token(const MegaDecoder *decoder, int32_t token, float *x)
{
    const MegaModel *model = decoder->session->model;
    const MegaTargetConfig *target = &model->config.target;
    size_t d = (size_t)decoder->config.width;
    int band = 0;
    while (token >= target->input.end[band])
        band++;
    const MegaBandWeights *weights = &model->weights.target[band];
    size_t row = (size_t)token - (size_t)(band ? target->input.end[band - 1] : 0);
    size_t width = (size_t)target->input.width[band];
    if (weights->projection.panels) {
        float *entry = decoder->memory.entry;
        mega_packed_row(&weights->table, row, entry);
        mega_matmul(decoder->session->kernels, &weights->projection, entry, width, 1, x, d,
                    &(MegaEpilogue){0});
    } else {
        mega_packed_row(&weights->table, row, x);
    }
}

static void tap(const MegaDecoder *decoder, const char *stage, const float *data, size_t rows,
                size_t columns)
{
    const MegaSession *session = decoder->session;
    if (session->tap)
        session->tap(session->tap_context, stage, 0, data, rows, columns);
}

/* The rows' tokens through the whole stack, into memory.x. */
static int run_pass(MegaDecoder *decoder, const int32_t *tokens, size_t rows, bool across,
                    MegaError *err)
{
    const MegaModel *model = decoder->session->model;
    const MegaStack *stack = &model->decoder;
    const MegaStackConfig *config = &decoder->config;
    const MegaKernels *kernels = decoder->session->kernels;
    size_t d = (size_t)config->width, positions = across ? 1 : rows;
    int code = reserve(decoder, positions, err);
    if (code)
        return code;
    float *x = decoder->memory.x;
    for (size_t row = 0; row < rows; row++)
        embed_token(decoder, tokens[row], x + row * d);
    if (model->config.target.scale)
        mega_embed_scale(x, rows, d);
    if (config->embed_norm)
        mega_norm_apply(&stack->embed_norm, kernels, x, rows, d, x);
    tap(decoder, "target", x, rows, d);
    for (size_t i = 0; i < (across ? rows : 1); i++)
        for (size_t t = 0; t < positions; t++)
            decoder->ancestors[i * decoder->reserved + decoder->in_chunk + t] = (int32_t)i;
    for (int i = 0; i < config->layers; i++)
        mega_decoder_layer_run(decoder, rows, across, i);
    if (config->final_norm) {
        mega_norm_apply(&stack->final_norm, kernels, x, rows, d, x);
        tap(decoder, "decoder.final", x, rows, d);
    }
    decoder->current = !decoder->current;
    for (size_t i = 0; i < decoder->live; i++)
        decoder->parents[i] = i;
    decoder->position += (int64_t)positions;
    decoder->in_chunk += positions;
    if (config->chunk > 0 && decoder->in_chunk == (size_t)config->chunk) {
        decoder->in_chunk = 0;
        decoder->straight = decoder->live == 1;
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

int64_t mega_decoder_positions(const MegaConfig *model, int chunk)
{
    const MegaTargetConfig *target = &model->target;
    int64_t limit = INT64_MAX;
    if (model->decoder.bias != MEGA_BIAS_SIMPLE)
        return limit;
    if (chunk == 0)
        limit = model->decoder.max_positions;
    if (model->task == MEGA_TASK_TRANSLATE && target->cross_positions < limit)
        limit = target->cross_positions;
    return limit;
}

bool mega_decoder_full(const MegaDecoder *decoder)
{
    return decoder->position >= mega_decoder_positions(&decoder->session->model->config,
                                                       decoder->config.chunk);
}

/* Whether `more` positions fit the model's tables. */
static int check_positions(const MegaDecoder *decoder, size_t more, MegaError *err)
{
    int64_t end = decoder->position + (int64_t)more;
    int64_t limit = mega_decoder_positions(&decoder->session->model->config,
                                           decoder->config.chunk);
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
    bool gaps; /* where -INFINITY stands for what was left out */
    atomic_bool bad;
} Check;

static void check_part(void *context, size_t task, int worker)
{
    (void)worker;
    Check *check = context;
    size_t first = task * CHECKED_AT_ONCE, left = check->count - first;
    float sum = 0; /* 0 * x is NaN for infinities and NaN */
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

/* logits [rows][vocab] of the pass's rows, finite but for what was left out */
static int run_logits(const MegaDecoder *decoder, size_t rows, float *logits, MegaError *err)
{
    const MegaLogits *output = &decoder->logits;
    mega_logits_run(output, decoder->memory.x, rows, logits);
    if (output->block_sum) /* a sum of numbers that are not finite is none */
        return check_finite(decoder, output->block_sum, rows * output->blocks, false, err);
    return check_finite(decoder, logits, rows * (size_t)output->config->vocab, output->best > 0,
                        err);
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
        code = run_pass(decoder, tokens, decoder->live, true, err);
    if (code)
        return code;
    return run_logits(decoder, decoder->live, logits, err);
}

/* Reads `count` tokens of the only live sequence and hands each pass's rows on. */
static int read_tokens(MegaDecoder *decoder, const int32_t *tokens, const int32_t *targets,
                       size_t count, float *logits, float *logprobs, MegaError *err)
{
    MEGA_WITH_FLOAT_MODE;
    size_t vocab = (size_t)decoder->session->model->config.target.vocab;
    size_t chunk = (size_t)decoder->config.chunk;
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
        bool across = !decoder->straight;
        rows = count - done < MEGA_PASS_ROWS ? count - done : MEGA_PASS_ROWS;
        if (chunk > 0 && rows > chunk - decoder->in_chunk)
            rows = chunk - decoder->in_chunk;
        if (across)
            rows = 1;
        code = run_pass(decoder, tokens + done, rows, across, err);
        if (!code && logits)
            code = run_logits(decoder, rows, logits + done * vocab, err);
        if (!code && logprobs) {
            mega_logits_score(&decoder->logits, decoder->memory.x, rows, targets + done,
                              logprobs + done);
            code = check_finite(decoder, logprobs + done, rows, false, err);
        }
        if (!code && !across) /* the last row's weights are what mega_decoder_attention shows */
            memmove(decoder->memory.cross,
                    decoder->memory.cross + (rows - 1) * decoder->longest_source,
                    decoder->longest_source * sizeof(float));
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
    double norm = mega_kernels()->log_sum_exp(logits, (size_t)count);
    for (int i = 0; i < count; i++)
        logprobs[i] = (float)(logits[i] - norm);
}
