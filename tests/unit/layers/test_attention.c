/*
 * test_attention.c - compares the attention of whole chunks, and of consecutive rows after others,
 * with plain sums in double precision: scores of any size, so that rows subtract their largest
 * score or do not, or begin to in the middle of their keys. And values in panels.
 */
#include "src/layers/attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/layers/values.h"
#include "tests/unit/reference.h"
#include "tests/unit/support.h"
#include "tests/unit/tiers.h"

#define MOST_KEYS 300
#define MOST_SCRATCH (MEGA_ATTENTION_ROWS * MEGA_KEY_BLOCK)

/* A chunk of random queries, keys and values with their bias and factors. Keys and values are also
 * packed in panels. */
typedef struct Chunk {
    size_t keys, z, hidden;
    float *q, *k, *v, *bias, *factor;
    float *key_panels;
    MegaValues values;
} Chunk;

/* Makes a chunk whose keys grow by this factor from the first to the last, so that early blocks of
 * keys may have small scores and late ones large ones, or the other way round. */
static Chunk random_chunk(Random *random, float size, float growth)
{
    Chunk c = {.keys = (size_t)random_int(random, 1, MOST_KEYS),
               .z = (size_t)random_int(random, 1, 40),
               .hidden = (size_t)random_int(random, 1, 40)};
    c.q = random_floats(random, c.keys * c.z, -size, size);
    c.k = random_floats(random, c.keys * c.z, -size, size);
    c.v = random_floats(random, c.keys * c.hidden, -1, 1);
    c.bias = random_floats(random, 2 * c.keys - 1, -1, 1);
    c.factor = random_floats(random, c.keys * c.hidden, -1, 1);
    for (size_t i = 0; i < c.keys * c.z; i++)
        c.k[i] *= powf(growth, (float)(i / c.z) / MOST_KEYS);
    c.key_panels = malloc((size_t)mega_packed_bytes(MEGA_F32, c.keys, c.z));
    c.values = (MegaValues){.positions = c.keys, .heads = 1, .columns = c.hidden};
    c.values.panels = malloc((size_t)mega_values_floats(&c.values) * sizeof(float));
    assert_true(c.key_panels && c.values.panels);
    mega_panels_pack(MEGA_F32, c.key_panels, c.k, c.z * sizeof(float), c.keys, c.z);
    mega_values_store(&c.values, 0, c.keys, c.v, c.hidden);
    return c;
}

static void free_chunk(Chunk *c)
{
    free(c->q);
    free(c->k);
    free(c->v);
    free(c->bias);
    free(c->factor);
    free(c->key_panels);
    free(c->values.panels);
}

static MegaAttention request_of(const Chunk *c, MegaAttentionKind kind, bool causal, bool plain)
{
    return (MegaAttention){.kind = kind,
                           .causal = causal,
                           .keys = c->keys,
                           .zdim = c->z,
                           .columns = c->z,
                           .hidden = c->hidden,
                           .q = c->q,
                           .ldq = c->z,
                           .key_panels = c->key_panels,
                           .values = mega_values_at(&c->values, 0, 0),
                           .value_stride = mega_values_stride(&c->values),
                           .bias = plain ? NULL : c->bias + c->keys - 1,
                           .factor = plain ? NULL : c->factor,
                           .ld_factor = c->hidden,
                           .ldo = c->hidden};
}

/* Runs all rows, `most` at a time. */
static void run(const MegaKernels *kernels, const MegaAttention *whole, size_t most, float *out)
{
    static float scratch[MOST_SCRATCH];
    for (size_t row = 0; row < whole->keys; row += most) {
        MegaAttention part = *whole;
        part.first = row;
        part.rows = whole->keys - row < most ? whole->keys - row : most;
        part.q += row * whole->ldq;
        if (part.factor)
            part.factor += row * whole->ld_factor;
        assert_true(mega_attention_scratch(part.rows, part.keys) <= MOST_SCRATCH);
        mega_attention(kernels, &part, scratch, out + row * whole->ldo);
    }
}

static void expect(const Chunk *c, const MegaAttention *a, double *out)
{
    double s[MOST_KEYS];
    for (size_t i = 0; i < c->keys; i++) {
        const size_t seen = a->causal ? i + 1 : c->keys;
        const double scale = (double)mega_attention_scale(a->kind, c->z, seen);
        for (size_t j = 0; j < seen; j++) {
            s[j] = 0;
            for (size_t p = 0; p < c->z; p++)
                s[j] += (double)c->q[i * c->z + p] * (double)c->k[j * c->z + p];
            s[j] = s[j] * scale + (a->bias ? (double)c->bias[c->keys - 1 + j - i] : 0);
        }
        reference_attention_row(a->kind, s, seen);
        for (size_t n = 0; n < c->hidden; n++) {
            double *to = &out[i * c->hidden + n];
            *to = 0;
            for (size_t j = 0; j < seen; j++)
                *to += s[j] * (double)c->v[j * c->hidden + n];
            if (a->factor)
                *to *= (double)c->factor[i * c->hidden + n];
        }
    }
}

/* Runs a request that knows the longest key of each panel. */
static void run_measured(const MegaKernels *kernels, const Chunk *c, const MegaAttention *request,
                         float *out)
{
    float longest[MOST_KEYS / MEGA_PANEL + 1];
    MegaAttention measured = *request;
    measured.longest = longest;
    for (size_t key = 0; key < c->keys; key += MEGA_PANEL)
        longest[key / MEGA_PANEL] =
            kernels->longest_key(c->key_panels + key * c->z, MEGA_PANEL, c->z);
    run(kernels, &measured, MEGA_ATTENTION_ROWS, out);
}

/* Tests scores from tiny to hundreds that grow or shrink along the keys. The rows of a request
 * never change each other's bits, nor does it matter who measures the keys. */
static void scores_of_any_size(void **state)
{
    static const struct {
        float size, growth;
    } forms[] = {{0.01f, 1}, {1, 1}, {3, 1}, {12, 1}, {0.3f, 1e4f}, {12, 1e-4f}};
    const MegaKernels *tiers[MOST_TEST_TIERS];
    const size_t tier_count = test_tiers(tiers);
    Random random = {61};
    (void)state;
    for (int round = 0; round < 60; round++) {
        const size_t form = (size_t)round % (sizeof forms / sizeof forms[0]);
        Chunk c = random_chunk(&random, forms[form].size, forms[form].growth);
        const MegaAttentionKind kind =
            round % 5 == 0 ? (MegaAttentionKind)random_int(&random, 1, 2) : MEGA_ATTENTION_SOFTMAX;
        const bool causal = random_int(&random, 0, 1);
        const bool plain = kind == MEGA_ATTENTION_SOFTMAX && random_int(&random, 0, 1);
        const MegaAttention request = request_of(&c, kind, causal, plain);
        const size_t floats = c.keys * c.hidden;
        float *out = calloc(floats, sizeof *out), *again = calloc(floats, sizeof *again);
        double *expected = calloc(floats, sizeof *expected);
        assert_true(out && again && expected);
        expect(&c, &request, expected);
        for (size_t t = 0; t < tier_count; t++) {
            run(tiers[t], &request, MEGA_ATTENTION_ROWS, out);
            /* softmax of scores in the hundreds amplifies the larger errors of products in tiles */
            const double factor = tiers[t] == emulated_amx() ? 16 : 1;
            assert_close(out, expected, floats,
                         factor * (kind == MEGA_ATTENTION_SOFTMAX ? 2e-4 : 2e-6 * (double)c.keys));
            run(tiers[t], &request, (size_t)random_int(&random, 1, MEGA_ATTENTION_ROWS), again);
            assert_memory_equal(out, again, floats * sizeof *out);
            run_measured(tiers[t], &c, &request, again);
            assert_memory_equal(out, again, floats * sizeof *out);
        }
        free_chunk(&c);
        free(out);
        free(again);
        free(expected);
    }
}

/* A query, a key or a bias that is not a number spoils the rows that see it, and no others. */
static void what_is_no_number(void **state)
{
    const MegaKernels *tiers[MOST_TEST_TIERS];
    const size_t tier_count = test_tiers(tiers);
    Random random = {62};
    (void)state;
    for (int form = 0; form < 4; form++) {
        Chunk c = random_chunk(&random, 1, 1);
        const size_t at = (size_t)random_int(&random, 0, (int)c.keys - 1);
        float *out = calloc(c.keys * c.hidden, sizeof *out);
        const MegaAttention request = request_of(&c, MEGA_ATTENTION_SOFTMAX, true, false);
        assert_non_null(out);
        if (form < 2)
            c.q[at * c.z] = form ? INFINITY : NAN;
        else
            c.k[at * c.z] = form == 3 ? INFINITY : NAN;
        mega_panels_pack(MEGA_F32, c.key_panels, c.k, c.z * sizeof(float), c.keys, c.z);
        for (size_t t = 0; t < tier_count; t++) {
            run(tiers[t], &request, MEGA_ATTENTION_ROWS, out);
            for (size_t row = 0; row < c.keys; row++)
                if (form < 2 ? row == at : row >= at && form == 2)
                    assert_true(isnan(out[row * c.hidden]));
                else if (form < 2 || row < at)
                    assert_true(isfinite(out[row * c.hidden]));
        }
        free_chunk(&c);
        free(out);
    }
}

/* Returns x [rows][columns] with `sequences` rows for each, of which the first one counts. */
static float *spread(const float *x, size_t rows, size_t sequences, size_t columns)
{
    float *out = calloc(rows * sequences * columns, sizeof *out);
    assert_non_null(out);
    for (size_t row = 0; row < rows; row++)
        memcpy(out + row * sequences * columns, x + row * columns, columns * sizeof *out);
    return out;
}

/* Tests rows of a decoder after `past` others, with one and with three threads. A decoder reads
 * tables for several sequences, and only those entries of the bias that look back. */
static void consecutive_rows(void **state)
{
    const MegaKernels *tiers[MOST_TEST_TIERS];
    const size_t tier_count = test_tiers(tiers);
    Random random = {64};
    MegaPool *pools[2];
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(mega_pool_new(&pools[i], i ? 3 : 1, NULL), 0);
    for (int round = 0; round < 30; round++) {
        Chunk c = random_chunk(&random, round % 2 ? 12 : 1, 1);
        const MegaAttentionKind kind = (MegaAttentionKind)(round % 3);
        const MegaAttention whole = request_of(&c, kind, true, false);
        const size_t past = (size_t)random_int(&random, 0, (int)c.keys - 1), rows = c.keys - past;
        const size_t sequences = (size_t)random_int(&random, 1, 3), floats = rows * c.hidden;
        float *k = spread(c.k, c.keys, sequences, c.z);
        float *v = spread(c.v, c.keys, sequences, c.hidden);
        float *bias = malloc(c.keys * sizeof *bias), *out = calloc(floats, sizeof *out);
        float *again = calloc(floats, sizeof *again);
        double *expected = calloc(c.keys * c.hidden, sizeof *expected);
        float *scratch = malloc(3 * MOST_SCRATCH * sizeof *scratch);
        assert_true(bias && out && again && expected && scratch);
        memcpy(bias, c.bias, c.keys * sizeof *bias);
        memset(c.key_panels, 0xff, (size_t)mega_packed_bytes(MEGA_F32, c.keys, c.z));
        memset(c.values.panels, 0xff, (size_t)mega_values_floats(&c.values) * sizeof(float));
        expect(&c, &whole, expected);
        MegaDecodedAttention request = {.kind = kind, .rows = rows, .past = past,
                                        .sequences = sequences, .zdim = c.z, .hidden = c.hidden,
                                        .columns = c.z, .q = c.q + past * c.z, .k = k, .v = v,
                                        .bias = bias + c.keys - 1,
                                        .factor = c.factor + past * c.hidden,
                                        .ld_factor = c.hidden, .out = out,
                                        .key_panels = c.key_panels, .values = c.values,
                                        .scratch = scratch, .scratch_stride = MOST_SCRATCH};
        for (size_t t = 0; t < tier_count; t++) {
            const double factor = tiers[t] == emulated_amx() ? 16 : 1;
            request.out = out;
            mega_attend_positions(pools[0], tiers[t], &request);
            assert_close(out, expected + past * c.hidden, floats,
                         factor * (kind == MEGA_ATTENTION_SOFTMAX ? 2e-4 : 2e-6 * (double)c.keys));
            request.out = again;
            mega_attend_positions(pools[1], tiers[t], &request);
            assert_memory_equal(out, again, floats * sizeof *out);
        }
        free_chunk(&c);
        free(k);
        free(v);
        free(bias);
        free(out);
        free(again);
        free(expected);
        free(scratch);
    }
    mega_pool_free(pools[0]);
    mega_pool_free(pools[1]);
}

/* What the tap sees of values in panels. */
typedef struct Seen {
    size_t rows, columns;
    float *data;
} Seen;

static void look(void *context, const char *stage, int input, const float *data, size_t rows,
                 size_t columns)
{
    Seen *seen = context;
    (void)input;
    assert_string_equal(stage, "layer.3.v");
    seen->rows = rows;
    seen->columns = columns;
    memcpy(seen->data, data, rows * columns * sizeof *data);
}

static void values_in_panels(void **state)
{
    Random random = {63};
    (void)state;
    for (int round = 0; round < 40; round++) {
        MegaValues values = {.positions = (size_t)random_int(&random, 1, 50),
                             .heads = (size_t)random_int(&random, 1, 4),
                             .columns = (size_t)random_int(&random, 1, 40)};
        const size_t width = values.heads * values.columns, floats = values.positions * width;
        const size_t cut = (size_t)random_int(&random, 0, (int)values.positions);
        float *v = random_floats(&random, floats, -1, 1);
        Seen seen = {.data = calloc(floats, sizeof(float))};
        const MegaTapping tapping = {.tap = look, .context = &seen, .stack = ""};
        values.panels = malloc((size_t)mega_values_floats(&values) * sizeof(float));
        assert_true(seen.data && values.panels);
        mega_values_store(&values, 0, cut, v, width);
        mega_values_store(&values, cut, values.positions - cut, v + cut * width, width);
        mega_values_tap(&values, &tapping, 3);
        assert_int_equal(seen.rows, values.positions);
        assert_int_equal(seen.columns, width);
        assert_memory_equal(seen.data, v, floats * sizeof *v);
        mega_values_tap(&values, &(MegaTapping){.stack = ""}, 3);
        free(values.panels);
        free(seen.data);
        free(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_of_any_size),
        cmocka_unit_test(what_is_no_number),
        cmocka_unit_test(consecutive_rows),
        cmocka_unit_test(values_in_panels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
