/*
 * attention.c - see attention.h.
 */
#include "src/layers/attention.h"

#include <math.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/kernels/matmul.h"

void mega_rotary_table(const float *alpha, const float *beta, size_t zdim, size_t positions,
                       float *table)
{
    size_t half = zdim / 2;
    float *center = table + positions - 1;
    memset(table, 0, (2 * positions - 1) * sizeof *table);
    for (size_t m = 0; m < half; m++) {
        double a1 = alpha[m], a2 = alpha[half + m], b1 = beta[m], b2 = beta[half + m];
        double even = a1 * b1 + a2 * b2, odd = a2 * b1 - a1 * b2;
        double frequency = exp(-(double)m / (double)half * log(10000.0));
        double step_cos = cos(frequency), step_sin = sin(frequency), c = 1, s = 0;
        for (size_t delta = 0; delta < positions; delta++) {
            center[delta] += (float)(even * c + odd * s);
            if (delta > 0)
                center[-(ptrdiff_t)delta] += (float)(even * c - odd * s);
            double next = c * step_cos - s * step_sin;
            s = s * step_cos + c * step_sin;
            c = next;
        }
    }
}

float mega_attention_scale(MegaAttentionKind kind, size_t zdim, size_t keys)
{
    return kind == MEGA_ATTENTION_SOFTMAX ? 1.0f / sqrtf((float)zdim) : 1.0f / (float)keys;
}

/* ---- A whole chunk -------------------------------------------------------------------------- */

/* How many rows go through a block of keys together. Their attention weights then stay in the
 * first-level cache between the steps. It is a multiple of the rows of every tier's largest
 * tile. */
#define ROWS_AT_ONCE 24

/* Softmax needs the largest score of a row before it computes the first weight, and the sum of all
 * weights at the end. With scores that cannot be large, 0 serves as well as the largest one.
 * Otherwise a row keeps the largest score so far, and rescales what it has accumulated whenever
 * that grows. */
typedef struct SoftmaxRows {
    float *top, *sum;
    float *length; /* of the query, times the factor of its products */
} SoftmaxRows;

/* A block of keys and their values, and a bound for the scores: by the Cauchy-Schwarz inequality no
 * score of a query is larger than its length * longest + bias. The bound of a row does not depend
 * on the other rows, so neither does the way it is computed. */
typedef struct Block {
    size_t from, keys;
    MegaPacked key_panels;
    MegaPanels values;
    float longest; /* length of the longest key */
    float bias;    /* size of the largest bias */
} Block;

/* Returns the size of the largest bias of a key that some row may see, or NaN. */
static float largest_bias(const MegaAttention *a)
{
    float most = 0, spoilt = 0;
    const float *bias = a->bias ? a->bias - (a->keys - 1) : NULL;
    for (size_t i = 0; bias && i < (a->causal ? a->keys : 2 * a->keys - 1); i++) {
        most = fabsf(bias[i]) > most ? fabsf(bias[i]) : most;
        spoilt += 0 * bias[i];
    }
    return most + spoilt;
}

static void begin_softmax(const MegaKernels *kernels, const MegaAttention *a,
                          const SoftmaxRows *softmax)
{
    const float scale = mega_attention_scale(a->kind, a->zdim, a->keys);
    for (size_t row = 0; row < a->rows; row++) {
        const float *q = a->q + row * a->ldq;
        float square;
        kernels->attend_keys(q, q, 0, NULL, 1, a->columns, &square);
        softmax->top[row] = -INFINITY;
        softmax->sum[row] = 0;
        softmax->length[row] = scale * sqrtf(square);
    }
}

/* Returns how many keys of a block a row sees. */
static size_t visible_keys(const MegaAttention *a, const Block *block, size_t row)
{
    const size_t seen = a->causal ? a->first + row + 1 : a->keys;
    return seen > block->from ? mega_min_size(block->keys, seen - block->from) : 0;
}

/* Returns how many rows from `row` on see as many keys as it does and need no largest score. */
static size_t bounded_rows(const MegaAttention *a, const Block *block, const SoftmaxRows *softmax,
                           size_t row)
{
    const size_t first = row, visible = visible_keys(a, block, row);
    while (row < a->rows && visible_keys(a, block, row) == visible &&
           softmax->length[row] * block->longest + block->bias <= MEGA_BOUNDED_SCORE &&
           (block->from == 0 || softmax->top[row] == 0))
        row++;
    return row - first;
}

/* Turns the products of a row with the keys of a block that it sees into softmax weights, and
 * rescales what earlier blocks left in out. Does the same for the rows after it as long as they
 * need no rescaling, and returns the number of rows done. */
static size_t weigh_softmax(const MegaKernels *kernels, const MegaAttention *a, const Block *block,
                            const SoftmaxRows *softmax, size_t row, float *weights, float *out)
{
    static const float zeros[MEGA_KEY_BLOCK];
    const size_t count = bounded_rows(a, block, softmax, row);
    MegaScores scores = {.s = weights, .ld = block->keys, .rows = count,
                         .keys = visible_keys(a, block, row),
                         .scale = mega_attention_scale(a->kind, a->zdim, a->keys),
                         .bias = a->bias ? a->bias + block->from - a->first - row : NULL,
                         .bias_step = -1, .sums = softmax->sum + row};
    if (count > 0) {
        kernels->exp_rows(&scores);
        memset(softmax->top + row, 0, count * sizeof *softmax->top);
        return count;
    }
    const float shrink = kernels->softmax_block(weights, scores.keys, scores.scale,
                                                scores.bias ? scores.bias : zeros,
                                                &softmax->top[row], scores.sums);
    if (shrink != 1.0f && block->from > 0)
        kernels->scale(out, a->hidden, shrink);
    return 1;
}

/* Turns the products [rows][keys] with a block of keys into weights; keys that a row does not see
 * get weight 0. softmax is NULL for other kinds of attention. */
static void weigh_block(const MegaKernels *kernels, const MegaAttention *a, const Block *block,
                        const SoftmaxRows *softmax, float *weights, float *out)
{
    for (size_t row = 0, count; row < a->rows; row += count) {
        const size_t visible = visible_keys(a, block, row), hidden = block->keys - visible;
        float *s = weights + row * block->keys;
        count = 1;
        if (visible > 0 && softmax)
            count = weigh_softmax(kernels, a, block, softmax, row, s, out + row * a->ldo);
        else if (visible > 0)
            kernels->attention(a->kind, s, visible,
                               mega_attention_scale(a->kind, a->zdim, a->first + row + 1),
                               a->bias + block->from - a->first - row);
        for (size_t i = 0; i < count && hidden > 0; i++)
            memset(s + i * block->keys + visible, 0, hidden * sizeof *s);
    }
}

/* Adds to out what a block of keys contributes. */
static void attend_block(const MegaKernels *kernels, const MegaAttention *a, const Block *block,
                         const SoftmaxRows *softmax, float *weights, float *out)
{
    MegaEpilogue weigh = {.function = a->kind == MEGA_ATTENTION_LAPLACE ? MEGA_FUNCTION_LAPLACE
                                                                        : MEGA_FUNCTION_RELU2,
                          .scale = mega_attention_scale(a->kind, a->zdim, a->keys),
                          .bias = a->bias ? a->bias + block->from - a->first : NULL,
                          .bias_step = -1};
    const bool by_row = softmax || a->causal;
    MegaEpilogue add_up = {0};
    if (block->from > 0)
        add_up = mega_epilogue_add(out, a->ldo);
    mega_matmul(kernels, &block->key_panels, a->q, a->ldq, a->rows, weights, block->keys,
                by_row ? &(MegaEpilogue){0} : &weigh);
    if (by_row)
        weigh_block(kernels, a, block, softmax, weights, out);
    kernels->gemm(weights, block->keys, a->rows, &block->values, out, a->ldo, a->hidden, &add_up);
}

/* Returns the length of a block's longest key, or NaN if one of its keys is not finite. */
static float longest_of(const MegaKernels *kernels, const MegaAttention *a, const Block *block)
{
    if (!a->longest)
        return sqrtf(kernels->longest_key(block->key_panels.panels, block->keys, a->columns));
    const float *longest = a->longest + block->from / MEGA_PANEL;
    float most = 0, spoilt = 0;
    for (size_t i = 0; i < mega_pieces(block->keys, MEGA_PANEL); i++) {
        most = longest[i] > most ? longest[i] : most;
        spoilt += 0 * longest[i];
    }
    return sqrtf(most + spoilt);
}

/* Describes the block of keys that begins at `from`. */
static Block block_of(const MegaKernels *kernels, const MegaAttention *a, size_t from, float bias)
{
    const MegaPacked packed = {.panels = a->key_panels, .in = a->columns, .out = a->keys};
    Block block = {.from = from, .bias = bias,
                   .key_panels = mega_packed_columns(&packed, from, MEGA_KEY_BLOCK)};
    block.keys = block.key_panels.out;
    block.values = (MegaPanels){.data = a->values + from * MEGA_PANEL, .k = block.keys,
                                .panel_stride = a->value_stride, .row_stride = MEGA_PANEL,
                                .positions = true};
    if (a->kind == MEGA_ATTENTION_SOFTMAX)
        block.longest = longest_of(kernels, a, &block);
    return block;
}

static void fetch_floats(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += MEGA_LINE_FLOATS)
        __builtin_prefetch(x + i, 0, 2);
}

/* Fetches part number `part` of `parts` of the keys and values of the block that begins at `from`
 * into the second-level cache. With many keys, all of them do not even stay in the third one while
 * the rows of a request pass over them. */
static void fetch_block(const MegaAttention *a, size_t from, size_t part, size_t parts)
{
    const size_t keys = from < a->keys ? mega_min_size(MEGA_KEY_BLOCK, a->keys - from) : 0;
    const size_t begin = from + part * keys / parts, end = from + (part + 1) * keys / parts;
    fetch_floats(a->key_panels + begin * a->columns, (end - begin) * a->columns);
    for (size_t panel = 0; panel < mega_pieces(a->hidden, MEGA_PANEL); panel++)
        fetch_floats(a->values + panel * a->value_stride + begin * MEGA_PANEL,
                     (end - begin) * MEGA_PANEL);
}

void mega_attention(const MegaKernels *kernels, const MegaAttention *a, float *scratch, float *out)
{
    const bool is_softmax = a->kind == MEGA_ATTENTION_SOFTMAX;
    const size_t seen = a->causal ? a->first + a->rows : a->keys;
    const float bias = is_softmax ? largest_bias(a) : 0;
    float rows[3][MEGA_ATTENTION_ROWS];
    const SoftmaxRows softmax = {.top = rows[0], .sum = rows[1], .length = rows[2]};
    if (is_softmax)
        begin_softmax(kernels, a, &softmax);
    for (size_t from = 0; from < seen; from += MEGA_KEY_BLOCK) {
        const Block block = block_of(kernels, a, from, bias);
        for (size_t row = 0; row < a->rows; row += ROWS_AT_ONCE) {
            MegaAttention part = *a;
            part.first += row;
            part.rows = mega_min_size(ROWS_AT_ONCE, a->rows - row);
            part.q += row * a->ldq;
            fetch_block(a, from + MEGA_KEY_BLOCK, row / ROWS_AT_ONCE,
                        mega_pieces(a->rows, ROWS_AT_ONCE));
            if (a->causal && part.first + part.rows <= from)
                continue; /* none of these rows sees the block */
            const SoftmaxRows own = {softmax.top + row, softmax.sum + row, softmax.length + row};
            attend_block(kernels, &part, &block, is_softmax ? &own : NULL, scratch,
                         out + row * a->ldo);
        }
    }
    for (size_t row = 0; row < a->rows; row++) {
        if (is_softmax)
            kernels->scale(out + row * a->ldo, a->hidden, 1.0f / softmax.sum[row]);
        if (a->factor)
            kernels->multiply(out + row * a->ldo, a->factor + row * a->ld_factor, a->hidden);
    }
}

size_t mega_attention_scratch(size_t rows, size_t keys)
{
    return mega_min_size(rows, ROWS_AT_ONCE) * mega_min_size(keys, MEGA_KEY_BLOCK);
}

/* ---- Rows of several sequences -------------------------------------------------------------- */

typedef struct Decoded {
    const MegaKernels *kernels;
    const MegaDecodedAttention *a;
    size_t value_columns; /* columns of one task */
} Decoded;

/* Keys of one task. A row is divided, so that a single sequence with a long past still gives work
 * to all threads. */
#define KEY_TASK 128
/* Columns of the values of one task. Long pieces of a value are read fastest. */
#define MOST_VALUE_COLUMNS 512
#define LEAST_VALUE_COLUMNS 64

/* Returns the sequence whose key counts for this row at each position. */
static const int32_t *ancestors_of(const MegaDecodedAttention *a, size_t row)
{
    return a->ancestors + row * a->reserved;
}

static void multiply_keys(void *context, size_t task, int worker)
{
    (void)worker;
    const Decoded *decoded = context;
    const MegaDecodedAttention *a = decoded->a;
    size_t keys = a->past + 1, pieces = mega_pieces(keys, KEY_TASK);
    size_t row = task / pieces, first = task % pieces * KEY_TASK;
    size_t stride = a->sequences * a->columns;
    decoded->kernels->attend_keys(
        a->q + row * a->columns, a->k + first * stride, stride, ancestors_of(a, row) + first,
        mega_min_size(KEY_TASK, keys - first), a->columns, a->weights + row * a->reserved + first);
}

static void weigh_keys(void *context, size_t row, int worker)
{
    (void)worker;
    const Decoded *decoded = context;
    const MegaDecodedAttention *a = decoded->a;
    size_t keys = a->past + 1;
    decoded->kernels->attention(a->kind, a->weights + row * a->reserved, keys,
                                mega_attention_scale(a->kind, a->zdim, keys), a->bias - a->past);
}

/* Returns the columns of one task. Each column is summed up by itself, so the division does not
 * change a result. */
static size_t value_columns(const MegaDecodedAttention *a, size_t threads)
{
    size_t pieces = mega_pieces(threads, a->rows);
    size_t blocks = mega_pieces(mega_pieces(a->hidden, pieces), LEAST_VALUE_COLUMNS);
    return mega_min_size(blocks * LEAST_VALUE_COLUMNS, MOST_VALUE_COLUMNS);
}

static void sum_values(void *context, size_t task, int worker)
{
    (void)worker;
    const Decoded *decoded = context;
    const MegaDecodedAttention *a = decoded->a;
    size_t most = decoded->value_columns, pieces = mega_pieces(a->hidden, most);
    size_t row = task / pieces, first = task % pieces * most;
    size_t columns = mega_min_size(most, a->hidden - first);
    float *out = a->out + row * a->hidden + first;
    decoded->kernels->attend_values(a->weights + row * a->reserved, a->v + first,
                                    a->sequences * a->hidden, ancestors_of(a, row), a->past + 1,
                                    a->hidden, columns, out);
    decoded->kernels->multiply(out, a->factor + row * a->ld_factor + first, columns);
}

void mega_attend_sequences(MegaPool *pool, const MegaKernels *kernels,
                           const MegaDecodedAttention *a)
{
    Decoded decoded = {kernels, a, value_columns(a, (size_t)mega_pool_threads(pool))};
    mega_pool_run(pool, a->rows * mega_pieces(a->past + 1, KEY_TASK), multiply_keys, &decoded);
    mega_pool_run(pool, a->rows, weigh_keys, &decoded);
    mega_pool_run(pool, a->rows * mega_pieces(a->hidden, decoded.value_columns), sum_values,
                  &decoded);
}

/* ---- Consecutive rows ----------------------------------------------------------------------- */

typedef struct Consecutive {
    const MegaKernels *kernels;
    const MegaDecodedAttention *a;
    size_t rows; /* rows of one task */
} Consecutive;

/* Packs the keys and values of MEGA_KEY_BLOCK positions. */
static void pack_positions(void *context, size_t task, int worker)
{
    (void)worker;
    const MegaDecodedAttention *a = ((const Consecutive *)context)->a;
    const size_t columns = a->columns, stride = a->sequences * columns;
    const size_t first = task * MEGA_KEY_BLOCK;
    const size_t count = mega_min_size(MEGA_KEY_BLOCK, a->past + a->rows - first);
    mega_panels_pack(MEGA_F32, a->key_panels + first * columns, a->k + first * stride,
                     stride * sizeof(float), count, columns);
    mega_values_store(&a->values, first, count, a->v + first * a->sequences * a->hidden,
                      a->sequences * a->hidden);
}

static void attend_rows(void *context, size_t task, int worker)
{
    const Consecutive *consecutive = context;
    const MegaDecodedAttention *a = consecutive->a;
    const size_t first = task * consecutive->rows;
    const MegaAttention part = {.kind = a->kind,
                                .causal = true,
                                .first = a->past + first,
                                .rows = mega_min_size(consecutive->rows, a->rows - first),
                                .keys = a->past + a->rows,
                                .zdim = a->zdim,
                                .hidden = a->hidden,
                                .columns = a->columns,
                                .q = a->q + first * a->columns,
                                .key_panels = a->key_panels,
                                .values = mega_values_at(&a->values, 0, 0),
                                .value_stride = mega_values_stride(&a->values),
                                .bias = a->bias,
                                .factor = a->factor + first * a->ld_factor,
                                .ldq = a->columns,
                                .ld_factor = a->ld_factor,
                                .ldo = a->hidden};
    mega_attention(consecutive->kernels, &part, a->scratch + (size_t)worker * a->scratch_stride,
                   a->out + first * a->hidden);
}

void mega_attend_positions(MegaPool *pool, const MegaKernels *kernels,
                           const MegaDecodedAttention *a)
{
    const size_t share = mega_pieces(a->rows, (size_t)mega_pool_threads(pool));
    Consecutive work = {.kernels = kernels, .a = a};
    work.rows = mega_min_size(mega_pieces(share, ROWS_AT_ONCE) * ROWS_AT_ONCE,
                              MEGA_ATTENTION_ROWS);
    mega_pool_run(pool, mega_pieces(a->past + a->rows, MEGA_KEY_BLOCK), pack_positions, &work);
    mega_pool_run(pool, mega_pieces(a->rows, work.rows), attend_rows, &work);
}
