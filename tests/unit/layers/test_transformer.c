/*
 * test_transformer.c - compares Transformer layers of random shapes with a plain reference in
 * double precision, layer by layer, in encoders and decoders; and a decoder's ways of reading with
 * each other.
 */
#include "src/layers/transformer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/decode/sources.h"
#include "src/encode/session.h"
#include "tests/unit/reference.h"
#include "tests/unit/support.h"

#define MOST_LAYERS 3
#define MOST_FLOATS (220 * 48)
#define TOLERANCE 2e-4

/* ---- The reference -------------------------------------------------------------------------- */

/* Returns y [rows][out] = x [rows][in] W^T + b, which the caller frees. */
static double *linear(const double *x, size_t rows, const MegaLinearWeights *map)
{
    const size_t in = map->weight.in, out = map->weight.out;
    double *y = calloc(rows * out, sizeof *y);
    float *row = calloc(in, sizeof *row);
    assert_true(y && row);
    for (size_t o = 0; o < out; o++) {
        mega_packed_row(&map->weight, o, row);
        for (size_t r = 0; r < rows; r++) {
            y[r * out + o] = map->bias[o];
            for (size_t i = 0; i < in; i++)
                y[r * out + o] += x[r * in + i] * row[i];
        }
    }
    free(row);
    return y;
}

/* Returns Wo (A v), head by head. Rows of x attend to those of y; if causal, to those up to their
 * own. */
static double *attend(const MegaStackConfig *stack, const MegaHeadsWeights *weights,
                      const double *x, size_t rows, const double *y, size_t keys, bool causal)
{
    const size_t d = (size_t)stack->width, heads = (size_t)mega_transformer(stack)->heads;
    const size_t e = d / heads;
    double *q = linear(x, rows, &weights->q), *k = linear(y, keys, &weights->k);
    double *v = linear(y, keys, &weights->v), *a = calloc(rows * d, sizeof *a);
    double *s = calloc(keys, sizeof *s);
    assert_true(a && s);
    for (size_t i = 0; i < rows; i++)
        for (size_t h = 0; h < heads; h++) {
            const size_t seen = causal ? i + 1 : keys;
            for (size_t j = 0; j < seen; j++) {
                s[j] = 0;
                for (size_t c = h * e; c < h * e + e; c++)
                    s[j] += q[i * d + c] * k[j * d + c];
                s[j] /= sqrt((double)e);
            }
            reference_attention_row(MEGA_ATTENTION_SOFTMAX, s, seen);
            for (size_t j = 0; j < seen; j++)
                for (size_t c = h * e; c < h * e + e; c++)
                    a[i * d + c] += s[j] * v[j * d + c];
        }
    double *out = linear(a, rows, &weights->out);
    free(q);
    free(k);
    free(v);
    free(a);
    free(s);
    return out;
}

/* Returns what a sub-block sees of x. */
static double *input_of(const MegaStackConfig *stack, const MegaNormWeights *norm, const double *x,
                        size_t rows)
{
    const size_t d = (size_t)stack->width;
    double *out = calloc(rows * d, sizeof *out);
    assert_non_null(out);
    memcpy(out, x, rows * d * sizeof *x);
    for (size_t r = 0; stack->pre_norm && r < rows; r++)
        reference_norm(stack->norm, norm, d, out + r * d);
    return out;
}

/* Ends a sub-block: x += block. Frees the block and its input. */
static void add(const MegaStackConfig *stack, const MegaNormWeights *norm, double *x, size_t rows,
                double *input, double *block)
{
    const size_t d = (size_t)stack->width;
    for (size_t i = 0; i < rows * d; i++)
        x[i] += block[i];
    for (size_t r = 0; !stack->pre_norm && r < rows; r++)
        reference_norm(stack->norm, norm, d, x + r * d);
    free(input);
    free(block);
}

static void reference_layer(const MegaStackConfig *stack, const MegaTransformerWeights *weights,
                            double *x, size_t rows, const double *source, size_t source_rows)
{
    double *input = input_of(stack, &weights->self.norm, x, rows);
    add(stack, &weights->self.norm, x, rows, input,
        attend(stack, &weights->self, input, rows, input, rows, !stack->bidirectional));
    if (source) {
        input = input_of(stack, &weights->cross.norm, x, rows);
        add(stack, &weights->cross.norm, x, rows, input,
            attend(stack, &weights->cross, input, rows, source, source_rows, false));
    }
    if (stack->ffn == 0)
        return;
    input = input_of(stack, &weights->ffn_norm, x, rows);
    double *inner = linear(input, rows, &weights->fc1);
    for (size_t i = 0; i < rows * (size_t)stack->ffn; i++)
        inner[i] = reference_activate(stack->activation, inner[i]);
    double *block = linear(inner, rows, &weights->fc2);
    free(inner);
    add(stack, &weights->ffn_norm, x, rows, input, block);
}

/* ---- Models --------------------------------------------------------------------------------- */

static MegaStackConfig random_stack(Random *random, bool encoder)
{
    MegaStackConfig stack = {.kind = &mega_layer_kind_transformer,
                             .layers = random_int(random, 1, MOST_LAYERS),
                             .ffn = random_int(random, 0, 3) ? random_int(random, 1, 40) : 0,
                             .max_positions = 300,
                             .bidirectional = encoder,
                             .pre_norm = random_int(random, 0, 1),
                             .norm_affine = true,
                             .final_norm_affine = true,
                             .embed_norm = random_int(random, 0, 1),
                             .tied_layers = random_int(random, 0, 3) == 0,
                             .positions = (MegaPositionKind)random_int(random, 0, 2),
                             .activation = (MegaActivation)random_int(random, 0, 4)};
    const int heads = random_int(random, 1, 5);
    stack.width = heads * random_int(random, 1, 9);
    stack.final_norm = stack.pre_norm;
    mega_transformer_of(&stack)->heads = heads;
    return stack;
}

static MegaConfig random_classifier(Random *random)
{
    MegaConfig config = small_config();
    config.encoder = random_stack(random, true);
    config.embed.scale = random_int(random, 0, 1);
    return config;
}

static MegaConfig random_translator(Random *random)
{
    MegaConfig config = random_classifier(random);
    config.task = MEGA_TASK_TRANSLATE;
    config.decoder = random_stack(random, false);
    config.target = (MegaTargetConfig){.vocab = 30, .pad = 1, .eos = 2, .unk = 3, .scale = true,
                                       .max_positions = 300, .cross_positions = 300};
    config.target.input = config.target.output =
        (MegaClusters){.count = 1, .end = {30}, .width = {config.decoder.width}};
    return config;
}

/* The input of the first layer of one side and the output of every layer. */
typedef struct Seen {
    const char *first, *layers; /* names of the stages */
    float stages[MOST_LAYERS + 1][MOST_FLOATS];
    size_t rows[MOST_LAYERS + 1];
} Seen;

static void look(void *context, const char *stage, int input, const float *data, size_t rows,
                 size_t columns)
{
    Seen *seen = context;
    int index = -1, end = 0;
    const size_t length = strlen(seen->layers);
    (void)input;
    if (strcmp(stage, seen->first) == 0)
        index = 0;
    else if (strncmp(stage, seen->layers, length) == 0 &&
             sscanf(stage + length, "%d%n", &index, &end) == 1 && !stage[length + (size_t)end])
        index++;
    else
        return;
    const size_t at = seen->rows[index] * columns; /* a decoder shows its rows in pieces */
    assert_true(at + rows * columns <= MOST_FLOATS);
    memcpy(seen->stages[index] + at, data, rows * columns * sizeof *data);
    seen->rows[index] += rows;
}

static void check_layers(const Seen *seen, const MegaStack *stack, size_t rows,
                         const double *source, size_t source_rows)
{
    const size_t count = rows * (size_t)stack->config->width;
    const MegaTransformerWeights *weights = stack->weights;
    double *x = calloc(count, sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < stack->config->layers; i++) {
        for (size_t at = 0; at < count; at++)
            x[at] = (double)seen->stages[i][at];
        assert_int_equal(seen->rows[i], rows);
        reference_layer(stack->config, &weights[i], x, rows, source, source_rows);
        assert_close(seen->stages[i + 1], x, count, TOLERANCE);
    }
    free(x);
}

static void fill_tokens(Random *random, int32_t *tokens, size_t count)
{
    for (size_t i = 0; i < count; i++)
        tokens[i] = random_int(random, 4, 29);
}

/* ---- Cases ---------------------------------------------------------------------------------- */

static void encoders_equal_the_reference(void **state)
{
    static const size_t lengths[] = {1, 2, 17, 130, 200};
    Random random = {31};
    static Seen seen;
    int32_t tokens[200];
    float logits[8], again[8];
    (void)state;
    for (int i = 0; i < 20; i++) {
        const MegaConfig config = random_classifier(&random);
        const size_t length = lengths[i % 5];
        MegaModel *model = random_model(&config, &random);
        MegaSession *session;
        const MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = tokens, .length = length};
        fill_tokens(&random, tokens, length);
        assert_int_equal(mega_session_new(&session, model, NULL, NULL), 0);
        seen = (Seen){.first = "embed", .layers = "layer."};
        mega_session_set_tap(session, look, &seen);
        assert_int_equal(mega_session_classify(session, &input, 1, logits, NULL), 0);
        check_layers(&seen, &model->encoder, length, NULL, 0);
        mega_session_set_tap(session, NULL, NULL); /* a tap sees and changes nothing */
        assert_int_equal(mega_session_classify(session, &input, 1, again, NULL), 0);
        assert_memory_equal(logits, again, (size_t)config.head.classes * sizeof *logits);
        mega_session_free(session);
        mega_model_free(model);
    }
}

/* Reads more tokens than a page has, at once and one by one, with a source of another width. */
static void decoders_equal_the_reference(void **state)
{
    static const size_t lengths[] = {1, 5, 64, 65, 150};
    Random random = {32};
    static Seen seen;
    int32_t tokens[150], source[40];
    float *at_once = calloc(150 * 30, sizeof *at_once), one[30];
    (void)state;
    for (int i = 0; i < 20; i++) {
        const MegaConfig config = random_translator(&random);
        const size_t length = lengths[i % 5], from = (size_t)random_int(&random, 1, 40);
        MegaModel *model = random_model(&config, &random);
        MegaSession *session;
        MegaDecoder *decoder;
        MegaEncoded *encoded;
        const MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = source, .length = from};
        fill_tokens(&random, source, from);
        fill_tokens(&random, tokens, length);
        assert_int_equal(mega_session_new(&session, model, NULL, NULL), 0);
        assert_int_equal(mega_session_encode(session, &input, &encoded, NULL), 0);
        const MegaEncoded *sources[] = {encoded};
        assert_int_equal(mega_decoder_new(&decoder, session, NULL, NULL), 0);
        assert_int_equal(mega_decoder_begin(decoder, sources, 1, NULL), 0);
        seen = (Seen){.first = "target", .layers = "decoder.layer."};
        mega_session_set_tap(session, look, &seen);
        assert_int_equal(mega_decoder_feed(decoder, tokens, length, at_once, NULL), 0);
        mega_session_set_tap(session, NULL, NULL);
        const size_t states = from * (size_t)config.encoder.width;
        double *x = calloc(states, sizeof *x);
        assert_non_null(x);
        for (size_t at = 0; at < states; at++)
            x[at] = (double)mega_encoded_states(encoded)[at];
        check_layers(&seen, &model->decoder, length, x, from);
        assert_int_equal(mega_decoder_begin(decoder, sources, 1, NULL), 0);
        for (size_t t = 0; t < length; t++) {
            double expected[30];
            assert_int_equal(mega_decoder_step(decoder, tokens + t, one, NULL), 0);
            for (size_t w = 0; w < 30; w++)
                expected[w] = (double)at_once[t * 30 + w];
            assert_close(one, expected, 30, TOLERANCE);
        }
        free(x);
        mega_decoder_free(decoder);
        mega_encoded_free(encoded);
        mega_session_free(session);
        mega_model_free(model);
    }
    free(at_once);
}

/* Sequences that continue others, in any order, see the keys of their own past. */
static void chosen_sequences_keep_their_past(void **state)
{
    enum { STEPS = 100, LIVE = 3 };
    Random random = {33};
    MegaConfig config = random_translator(&random);
    int32_t past[LIVE][STEPS], next[LIVE][STEPS];
    float logits[LIVE * 30], *alone = calloc(STEPS * 30, sizeof *alone);
    (void)state;
    config.task = MEGA_TASK_GENERATE;
    MegaModel *model = random_model(&config, &random);
    MegaSession *session;
    MegaDecoder *decoder, *single;
    assert_int_equal(mega_session_new(&session, model, NULL, NULL), 0);
    assert_int_equal(
        mega_decoder_new(&decoder, session, &(MegaDecoderOptions){.sequences = LIVE}, NULL), 0);
    assert_int_equal(mega_decoder_new(&single, session, NULL, NULL), 0);
    assert_int_equal(mega_decoder_begin(decoder, NULL, LIVE, NULL), 0);
    for (int t = 0; t < STEPS; t++) {
        int parents[LIVE];
        int32_t tokens[LIVE];
        fill_tokens(&random, tokens, LIVE);
        for (int i = 0; i < LIVE; i++) {
            parents[i] = t ? random_int(&random, 0, LIVE - 1) : i;
            memcpy(next[i], past[parents[i]], sizeof next[i]);
            next[i][t] = tokens[i];
        }
        memcpy(past, next, sizeof past);
        assert_int_equal(mega_decoder_select(decoder, parents, LIVE, NULL), 0);
        assert_int_equal(mega_decoder_step(decoder, tokens, logits, NULL), 0);
    }
    for (int i = 0; i < LIVE; i++) {
        double expected[30];
        assert_int_equal(mega_decoder_begin(single, NULL, 1, NULL), 0);
        assert_int_equal(mega_decoder_feed(single, past[i], STEPS, alone, NULL), 0);
        for (size_t w = 0; w < 30; w++)
            expected[w] = (double)alone[(STEPS - 1) * 30 + w];
        assert_close(logits + i * 30, expected, 30, TOLERANCE);
    }
    mega_decoder_free(decoder);
    mega_decoder_free(single);
    mega_session_free(session);
    mega_model_free(model);
    free(alone);
}

/* Sources that are encoded together have the bits of sources encoded alone. */
static void batches_change_nothing(void **state)
{
    enum { COUNT = 5 };
    Random random = {34};
    int32_t tokens[COUNT][60];
    (void)state;
    for (int round = 0; round < 5; round++) {
        const MegaConfig config = random_translator(&random);
        MegaModel *model = random_model(&config, &random);
        MegaSession *session;
        MegaInput inputs[COUNT];
        MegaEncoded *together[COUNT], *alone;
        assert_int_equal(mega_session_new(&session, model, NULL, NULL), 0);
        for (int i = 0; i < COUNT; i++) {
            const size_t length = (size_t)random_int(&random, 1, 60);
            fill_tokens(&random, tokens[i], length);
            inputs[i] = (MegaInput){.kind = MEGA_INPUT_TOKENS, .tokens = tokens[i],
                                    .length = length};
        }
        assert_int_equal(mega_encode_all(session, inputs, COUNT, together, NULL), 0);
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(mega_session_encode(session, &inputs[i], &alone, NULL), 0);
            assert_memory_equal(mega_encoded_states(alone), mega_encoded_states(together[i]),
                                inputs[i].length * (size_t)config.encoder.width * sizeof(float));
            mega_encoded_free(alone);
            mega_encoded_free(together[i]);
        }
        mega_session_free(session);
        mega_model_free(model);
    }
}

/* Memory grows by a page when one is full, and by no more. */
static void memory_grows_by_pages(void **state)
{
    Random random = {35};
    MegaConfig config = random_translator(&random);
    int32_t token = 5;
    float logits[30];
    size_t before, page = 0;
    (void)state;
    config.task = MEGA_TASK_GENERATE;
    config.decoder.positions = MEGA_POSITIONS_SINUSOIDAL;
    MegaModel *model = random_model(&config, &random);
    MegaSession *session;
    MegaDecoder *decoder;
    assert_int_equal(mega_session_new(&session, model, NULL, NULL), 0);
    assert_int_equal(mega_decoder_new(&decoder, session, NULL, NULL), 0);
    assert_int_equal(mega_decoder_begin(decoder, NULL, 1, NULL), 0);
    before = mega_decoder_memory(decoder);
    for (size_t t = 1; t <= 10 * MEGA_PAGE; t++) {
        assert_int_equal(mega_decoder_step(decoder, &token, logits, NULL), 0);
        const size_t now = mega_decoder_memory(decoder);
        if (t % MEGA_PAGE != 1)
            assert_int_equal(now, before);
        else if (t == MEGA_PAGE + 1)
            page = now - before;
        else if (t > MEGA_PAGE + 1)
            assert_in_range(now - before, page / 2, page + page / 2);
        before = now;
    }
    mega_decoder_free(decoder);
    mega_session_free(session);
    mega_model_free(model);
}

static void refuses_what_cannot_be(void **state)
{
    Random random = {36};
    MegaConfig config = random_translator(&random);
    (void)state;
    config.encoder.width = 12;
    mega_transformer_of(&config.encoder)->heads = 5;
    assert_config_refused(&config, "encoder.width is 12, which 5 heads do not divide");
    mega_transformer_of(&config.encoder)->heads = 0;
    assert_config_refused(&config, "encoder.heads is 0");
    mega_transformer_of(&config.encoder)->heads = 4;
    config.encoder.bidirectional = false;
    assert_config_refused(&config, "looks both ways");
    config.encoder.bidirectional = true;
    assert_int_equal(mega_config_check(&config, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoders_equal_the_reference),
        cmocka_unit_test(decoders_equal_the_reference),
        cmocka_unit_test(chosen_sequences_keep_their_past),
        cmocka_unit_test(batches_change_nothing),
        cmocka_unit_test(memory_grows_by_pages),
        cmocka_unit_test(refuses_what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
