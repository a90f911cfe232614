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

/* Returns the keys of head `head` in a page; its values lie MEGA_PAGE * sequences * d further. */
static float *page_head(const MegaPages *pages, const MegaHeads *heads, size_t page, size_t head)
{
    return pages->pages[page] + head * pages->sequences * mega_head_width(heads);
}

static size_t to_values(const MegaPages *pages, const MegaHeads *heads)
{
    return MEGA_PAGE * pages->sequences * heads->width;
}

void mega_pages_store(const MegaPages *pages, const MegaHeads *heads, size_t position,
                      size_t sequence, const float *key, const float *value)
{
    const size_t e = mega_head_width(heads);
    for (size_t head = 0; head < heads->heads; head++, key += e, value += e) {
        float *at = page_head(pages, heads, position / MEGA_PAGE, head) +
                    position % MEGA_PAGE * pages->sequences * heads->width + sequence * e;
        memcpy(at, key, e * sizeof *key);
        memcpy(at + to_values(pages, heads), value, e * sizeof *value);
    }
}

/* ---- Rows ----------------------------------------------------------------------------------- */

void mega_head_scratch_layout(MegaHeadScratch *scratch, const MegaHeads *heads,
                              const MegaDecoderSizes *sizes, MegaArena *arena)
{
    const size_t keys = sizes->reserved > sizes->source ? sizes->reserved : sizes->source;
    const size_t e = mega_head_width(heads), tile = (MEGA_QUERY_ROWS + e) * MEGA_PAGE;
    scratch->stride = keys + e > tile ? keys + e : tile;
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
    const size_t stride = request->pages->sequences * heads->width;
    const int32_t *slots = step->rows_are == MEGA_ROWS_ARE_SEQUENCES
                               ? step->ancestors + row * step->sizes->reserved
                               : NULL;
    for (size_t first = 0, count; first < keys; first += count) {
        count = mega_min_size(MEGA_PAGE, keys - first);
        pass->kernels->attend_keys(request->q + row * heads->width + head * e,
                                   page_head(request->pages, heads, first / MEGA_PAGE, head),
                                   stride, slots ? slots + first : NULL, count, e, out + first);
    }
}

/* Runs one task: one head of one row. */
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
    const size_t stride = request->pages->sequences * heads->width;
    const int32_t *slots =
        sequences ? run->step->ancestors + row * run->step->sizes->reserved : NULL;
    float *weights = weights_of(run, worker), *out = request->out + at;
    float *part = weights + run->request->scratch->stride - e; /* what one page adds */
    mega_heads_multiply(run->pass, run->step, request, head, row, weights);
    weigh(run, weights, keys);
    for (size_t first = 0, count; first < keys; first += count) {
        const float *page = page_head(request->pages, heads, first / MEGA_PAGE, head);
        count = mega_min_size(MEGA_PAGE, keys - first);
        kernels->attend_values(weights + first, page + to_values(request->pages, heads), stride,
                               slots ? slots + first : NULL, count, e, e, first ? part : out);
        if (first > 0)
            kernels->add(out, part, e);
    }
}

/* ---- Consecutive rows ----------------------------------------------------------------------- */

/* With so many rows it pays to read a page once for all of them. */
#define TILE_ROWS 8

/* Some consecutive rows of one head on their way over the pages. */
typedef struct Tile {
    size_t first, rows; /* of the step */
    const float *q;     /* [rows][e], d floats from row to row */
    float *out;         /* the same */
    float *weights;     /* [rows][keys of a page] */
    float *panels;      /* [e][MEGA_PAGE]: the keys of a page */
    float top[MEGA_QUERY_ROWS], sum[MEGA_QUERY_ROWS];
} Tile;

/* Turns the products with the `keys` keys from `from` on into weights, 0 for keys behind a row, and
 * rescales what earlier pages left in out. */
static void weigh_page(const Run *run, Tile *tile, size_t from, size_t keys)
{
    const MegaKernels *kernels = run->pass->kernels;
    const size_t d = run->request->heads.width, e = mega_head_width(&run->request->heads);
    const float scale = mega_attention_scale(MEGA_ATTENTION_SOFTMAX, e, keys);
    for (size_t row = 0; row < tile->rows; row++) {
        const size_t seen = run->step->in_chunk + tile->first + row + 1;
        const size_t visible = seen > from ? mega_min_size(keys, seen - from) : 0;
        float *weights = tile->weights + row * keys;
        if (visible > 0) {
            float shrink = kernels->softmax_block(weights, visible, scale,
                                                  run->request->scratch->zeros, &tile->top[row],
                                                  &tile->sum[row]);
            if (shrink != 1.0f && from > 0)
                kernels->scale(tile->out + row * d, e, shrink);
        }
        memset(weights + visible, 0, (keys - visible) * sizeof *weights);
    }
}

/* Adds to out what a page contributes. */
static void attend_page(const Run *run, Tile *tile, size_t head, size_t from, size_t keys)
{
    const MegaHeadRequest *request = run->request;
    const MegaKernels *kernels = run->pass->kernels;
    const size_t d = request->heads.width, e = mega_head_width(&request->heads);
    const size_t stride = request->pages->sequences * d;
    const float *page = page_head(request->pages, &request->heads, from / MEGA_PAGE, head);
    const MegaPacked packed = {.panels = tile->panels, .in = e, .out = keys};
    const MegaPanels values = {.data = page + to_values(request->pages, &request->heads),
                               .k = keys, .panel_stride = MEGA_PANEL, .row_stride = stride,
                               .positions = true};
    MegaEpilogue add_up = {0};
    if (from > 0)
        add_up = mega_epilogue_add(tile->out, d);
    mega_panels_pack(MEGA_F32, tile->panels, page, stride * sizeof *page, keys, e);
    mega_matmul(kernels, &packed, tile->q, d, tile->rows, tile->weights, keys,
                &(MegaEpilogue){0});
    weigh_page(run, tile, from, keys);
    kernels->gemm(tile->weights, keys, tile->rows, &values, tile->out, d, e, &add_up);
}

/* Runs one task: one head of MEGA_QUERY_ROWS consecutive rows. */
static void attend_tile(void *context, size_t task, int worker)
{
    const Run *run = context;
    const MegaHeadRequest *request = run->request;
    const size_t heads = request->heads.heads, d = request->heads.width;
    const size_t e = mega_head_width(&request->heads), head = task % heads;
    Tile tile = {.first = task / heads * MEGA_QUERY_ROWS, .weights = weights_of(run, worker)};
    const size_t at = tile.first * d + head * e;
    tile.rows = mega_min_size(MEGA_QUERY_ROWS, run->step->rows - tile.first);
    tile.q = request->q + at;
    tile.out = request->out + at;
    tile.panels = tile.weights + MEGA_QUERY_ROWS * MEGA_PAGE;
    for (size_t row = 0; row < tile.rows; row++)
        tile.top[row] = -INFINITY;
    const size_t keys = run->step->in_chunk + tile.first + tile.rows; /* that the last row sees */
    for (size_t from = 0; from < keys; from += MEGA_PAGE)
        attend_page(run, &tile, head, from, mega_min_size(MEGA_PAGE, keys - from));
    for (size_t row = 0; row < tile.rows; row++)
        run->pass->kernels->scale(tile.out + row * d, e, 1.0f / tile.sum[row]);
}

void mega_heads_attend(const MegaPass *pass, const MegaStep *step, const MegaHeadRequest *request)
{
    Run run = {.pass = pass, .step = step, .request = request};
    if (step->rows_are == MEGA_ROWS_ARE_POSITIONS && step->rows >= TILE_ROWS) {
        mega_pool_run(pass->pool, mega_pieces(step->rows, MEGA_QUERY_ROWS) * request->heads.heads,
                      attend_tile, &run);
        return;
    }
    mega_pool_run(pass->pool, step->rows * request->heads.heads, attend_head, &run);
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
