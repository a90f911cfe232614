/*
 * multi_head.c - see multi_head.h.
 */
#include "src/layers/multi_head.h"

#include <math.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/kernels/matmul.h"
#include "src/layers/attention.h"

/* ---- Pages ---------------------------------------------------------------------------------- */

MegaPages *mega_pages_layout(const MegaHeads *heads, size_t sequences, size_t reserved,
                             MegaGrowing *memory)
{
    const size_t count = mega_pieces(reserved, MEGA_PAGE);
    MegaPages *out = mega_growing_take(memory, sizeof *out);
    float **pages = mega_growing_take(memory, count * sizeof *pages);
    for (size_t i = 0; i < count; i++) {
        /* kernels may read past the last value by as much as a panel */
        float *page = mega_growing_floats(
            memory, 2 * MEGA_PAGE * (uint64_t)heads->width * sequences + MEGA_PANEL, 1);
        if (pages)
            pages[i] = page;
    }
    if (out)
        *out = (MegaPages){.pages = pages, .sequences = sequences};
    return out;
}

/* Returns the keys of head `head` in a page; to_values leads from them to its values. */
static float *page_head(const MegaPages *pages, const MegaHeads *heads, size_t page, size_t head)
{
    return pages->pages[page] + head * pages->sequences * mega_head_width(heads);
}

/* Returns the floats from one position's key to the next one's. */
static size_t position_stride(const MegaPages *pages, const MegaHeads *heads)
{
    return pages->sequences * heads->width;
}

/* Returns the floats from the keys of a page to its values. */
static size_t to_values(const MegaPages *pages, const MegaHeads *heads)
{
    return MEGA_PAGE * position_stride(pages, heads);
}

/* Stores the key and the value of one row in one head. */
static void store_row(const MegaStep *step, const MegaHeadRequest *request, size_t head,
                      size_t row)
{
    const MegaHeads *heads = &request->heads;
    const bool sequences = step->rows_are == MEGA_ROWS_ARE_SEQUENCES;
    const size_t e = mega_head_width(heads), from = row * heads->width + head * e;
    const size_t position = step->in_chunk + (sequences ? 0 : row), sequence = sequences ? row : 0;
    float *at = page_head(request->pages, heads, position / MEGA_PAGE, head) +
                position % MEGA_PAGE * position_stride(request->pages, heads) + sequence * e;
    memcpy(at, request->k + from, e * sizeof *at);
    memcpy(at + to_values(request->pages, heads), request->v + from, e * sizeof *at);
}

/* ---- Rows ----------------------------------------------------------------------------------- */

void mega_head_scratch_layout(MegaHeadScratch *scratch, const MegaHeads *heads,
                              const MegaDecoderSizes *sizes, MegaArena *arena)
{
    const size_t keys = sizes->reserved > sizes->source ? sizes->reserved : sizes->source;
    const size_t e = mega_head_width(heads);
    const size_t blocks = mega_attention_scratch(MEGA_ATTENTION_ROWS, sizes->reserved);
    scratch->keys = (size_t)mega_packed_bytes(MEGA_F32, sizes->reserved, e) / sizeof(float);
    scratch->key_panels = mega_arena_floats(arena, scratch->keys * (uint64_t)heads->heads);
    /* one position more, so that panels do not begin in the same set of the cache */
    scratch->values = (MegaValues){.positions = sizes->reserved + 1, .heads = 1, .columns = e};
    scratch->values.panels =
        mega_arena_floats(arena, mega_values_floats(&scratch->values) * heads->heads);
    scratch->stride = keys + e > blocks ? keys + e : blocks;
    scratch->zeros = mega_arena_floats(arena, scratch->stride);
    scratch->weights = mega_arena_floats(arena, scratch->stride * (uint64_t)sizes->threads);
    if (scratch->zeros)
        memset(scratch->zeros, 0, scratch->stride * sizeof *scratch->zeros);
}

typedef struct Run {
    const MegaPass *pass;
    const MegaStep *step;
    const MegaHeadRequest *request;
    int index;
} Run;

static float *weights_of(const Run *run, int worker)
{
    return run->request->scratch->weights + (size_t)worker * run->request->scratch->stride;
}

/* Returns the packed keys of a head. */
static float *keys_of(const MegaHeadScratch *scratch, size_t head)
{
    return scratch->key_panels + head * scratch->keys;
}

/* Returns the packed values of a head. */
static MegaValues values_of(const MegaHeadScratch *scratch, size_t head)
{
    MegaValues values = scratch->values;
    values.panels += head * (size_t)mega_values_floats(&values);
    return values;
}

/* Turns the products of a row with `keys` keys into softmax weights, in place. */
static void weigh(const Run *run, float *weights, size_t keys)
{
    const float scale =
        mega_attention_scale(MEGA_ATTENTION_SOFTMAX, mega_head_width(&run->request->heads), keys);
    run->pass->kernels->attention(MEGA_ATTENTION_SOFTMAX, weights, keys, scale,
                                  run->request->scratch->zeros);
}

void mega_heads_multiply(const MegaPass *pass, const MegaStep *step,
                         const MegaHeadRequest *request, size_t head, size_t row, float *out)
{
    const MegaHeads *heads = &request->heads;
    const size_t e = mega_head_width(heads), keys = mega_heads_seen(step, row);
    const int32_t *slots = step->rows_are == MEGA_ROWS_ARE_SEQUENCES
                               ? step->ancestors + row * step->sizes->reserved
                               : NULL;
    for (size_t first = 0, count; first < keys; first += count) {
        count = mega_min_size(MEGA_PAGE, keys - first);
        pass->kernels->attend_keys(request->q + row * heads->width + head * e,
                                   page_head(request->pages, heads, first / MEGA_PAGE, head),
                                   position_stride(request->pages, heads),
                                   slots ? slots + first : NULL, count, e, out + first);
    }
}

/* Runs one task: one head of one row, which sees what it stores itself and no other row of the
 * step. */
static void attend_head(void *context, size_t task, int worker)
{
    const Run *run = context;
    const MegaHeadRequest *request = run->request;
    const MegaHeads *heads = &request->heads;
    const MegaKernels *kernels = run->pass->kernels;
    const size_t e = mega_head_width(heads), row = task / heads->heads;
    const size_t head = task % heads->heads, at = row * heads->width + head * e;
    const bool sequences = run->step->rows_are == MEGA_ROWS_ARE_SEQUENCES;
    const size_t keys = mega_heads_seen(run->step, row);
    const int32_t *slots =
        sequences ? run->step->ancestors + row * run->step->sizes->reserved : NULL;
    float *weights = weights_of(run, worker), *out = request->out + at;
    float *part = weights + run->request->scratch->stride - e; /* what one page adds */
    if (sequences)
        store_row(run->step, request, head, row);
    mega_heads_multiply(run->pass, run->step, request, head, row, weights);
    weigh(run, weights, keys);
    for (size_t first = 0, count; first < keys; first += count) {
        const float *page = page_head(request->pages, heads, first / MEGA_PAGE, head);
        count = mega_min_size(MEGA_PAGE, keys - first);
        kernels->attend_values(weights + first, page + to_values(request->pages, heads),
                               position_stride(request->pages, heads),
                               slots ? slots + first : NULL, count, e, e, first ? part : out);
        if (first > 0)
            kernels->add(out, part, e);
    }
}

/* Stores all heads of one of several positions, which see each other. */
static void store_position(void *context, size_t row, int worker)
{
    const Run *run = context;
    (void)worker;
    for (size_t head = 0; head < run->request->heads.heads; head++)
        store_row(run->step, run->request, head, row);
}

/* ---- Consecutive rows ----------------------------------------------------------------------- */

/* With this many rows or more it pays to pack the keys and values that they see. */
#define PACKED_ROWS 8

/* Packs the keys and values of sequence 0 that lie in one page. */
static void pack_page(void *context, size_t page, int worker)
{
    const Run *run = context;
    const MegaHeadRequest *request = run->request;
    const MegaHeads *heads = &request->heads;
    const size_t e = mega_head_width(heads), stride = position_stride(request->pages, heads);
    const size_t first = page * MEGA_PAGE, seen = run->step->in_chunk + run->step->rows;
    const size_t count = mega_min_size(MEGA_PAGE, seen - first);
    (void)worker;
    for (size_t head = 0; head < heads->heads; head++) {
        const float *keys = page_head(request->pages, heads, page, head);
        const MegaValues values = values_of(request->scratch, head);
        mega_panels_pack(MEGA_F32, keys_of(request->scratch, head) + first * e, keys,
                         stride * sizeof *keys, count, e);
        mega_values_store(&values, first, count, keys + to_values(request->pages, heads), stride);
    }
}

/* Runs one task: one head of up to MEGA_ATTENTION_ROWS rows. */
static void attend_rows(void *context, size_t task, int worker)
{
    const Run *run = context;
    const MegaHeadRequest *request = run->request;
    const MegaStep *step = run->step;
    const size_t d = request->heads.width, e = mega_head_width(&request->heads);
    const size_t head = task % request->heads.heads;
    const size_t first = task / request->heads.heads * MEGA_ATTENTION_ROWS;
    const size_t at = first * d + head * e;
    const MegaValues values = values_of(request->scratch, head);
    const MegaAttention attention = {.kind = MEGA_ATTENTION_SOFTMAX,
                                     .causal = true,
                                     .first = step->in_chunk + first,
                                     .rows = mega_min_size(MEGA_ATTENTION_ROWS,
                                                           step->rows - first),
                                     .keys = step->in_chunk + step->rows,
                                     .zdim = e,
                                     .hidden = e,
                                     .columns = e,
                                     .q = request->q + at,
                                     .key_panels = keys_of(request->scratch, head),
                                     .values = values.panels,
                                     .value_stride = mega_values_stride(&values),
                                     .ldq = d,
                                     .ldo = d};
    mega_attention(run->pass->kernels, &attention, weights_of(run, worker), request->out + at);
}

void mega_heads_attend(const MegaPass *pass, const MegaStep *step, const MegaHeadRequest *request)
{
    Run run = {.pass = pass, .step = step, .request = request};
    const size_t heads = request->heads.heads;
    if (step->rows_are == MEGA_ROWS_ARE_POSITIONS)
        mega_pool_run(pass->pool, step->rows, store_position, &run);
    if (step->rows_are == MEGA_ROWS_ARE_POSITIONS && step->rows >= PACKED_ROWS) {
        mega_pool_run(pass->pool, mega_pieces(step->in_chunk + step->rows, MEGA_PAGE), pack_page,
                      &run);
        mega_pool_run(pass->pool, mega_pieces(step->rows, MEGA_ATTENTION_ROWS) * heads,
                      attend_rows, &run);
        return;
    }
    mega_pool_run(pass->pool, step->rows * heads, attend_head, &run);
}

/* Prefetches the keys and values of the head whose first column is `column`. Those of a whole batch
 * do not fit into the caches, and their runs are too short for the hardware prefetcher. */
static void fetch_source(const MegaSourceLayer *layer, size_t column, size_t length,
                         const MegaHeads *heads)
{
    for (size_t j = 0; j < length; j++)
        for (size_t i = 0; i < mega_head_width(heads); i += MEGA_LINE_FLOATS) {
            __builtin_prefetch(layer->keys + j * heads->width + column + i, 0, 2);
            __builtin_prefetch(layer->values + j * heads->width + column + i, 0, 2);
        }
}

/* Runs one task: all heads of one row. */
static void attend_source(void *context, size_t row, int worker)
{
    const Run *run = context;
    const MegaStep *step = run->step;
    const MegaHeadRequest *request = run->request;
    const MegaKernels *kernels = run->pass->kernels;
    const size_t d = request->heads.width, e = mega_head_width(&request->heads);
    const MegaEncoded *source =
        step->sources[step->rows_are == MEGA_ROWS_ARE_SEQUENCES ? row : 0];
    const MegaSourceLayer *layer = &source->layers[run->index];
    const bool last = run->index == run->pass->config->layers - 1;
    float *weights = weights_of(run, worker);
    float *mean = step->cross_weights + row * step->sizes->source;
    if (last)
        memset(mean, 0, source->length * sizeof *mean);
    for (size_t at = 0; at < d; at += e) {
        if (at + e < d)
            fetch_source(layer, at + e, source->length, &request->heads);
        kernels->attend_keys(request->q + row * d + at, layer->keys + at, d, NULL, source->length,
                             e, weights);
        weigh(run, weights, source->length);
        kernels->attend_values(weights, layer->values + at, d, NULL, source->length, d, e,
                               request->out + row * d + at);
        if (last)
            kernels->add(mean, weights, source->length);
    }
    if (last)
        kernels->scale(mean, source->length, 1.0f / (float)request->heads.heads);
}

void mega_heads_attend_source(const MegaPass *pass, const MegaStep *step, int index,
                              const MegaHeadRequest *request)
{
    Run run = {.pass = pass, .step = step, .request = request, .index = index};
    mega_pool_run(pass->pool, step->rows, attend_source, &run);
}
