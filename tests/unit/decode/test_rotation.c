/*
 * test_rotation.c - a rotary bias whose angles are float32. A decoder gives what a causal encoder
 * of the same weights gives, in pieces and token by token, at thousands of positions, where exact
 * angles already give something else.
 */
#include "tests/unit/support.h"

#include <math.h>
#include <stdlib.h>

#include "src/decode/decoder.h"
#include "src/encode/session.h"

#define LENGTH 4000
#define STEPS 30 /* of the last tokens */
#define VOCAB 11
#define WIDTH 8

/* Describes a filler or a language model. Their tensors have the same shapes in the same order. */
static MegaConfig make_config(MegaTask task, MegaAttentionKind attention, int chunk, bool float32)
{
    const bool decodes = task == MEGA_TASK_GENERATE;
    const MegaStackConfig stack =
        mega_with_gated((MegaStackConfig){.layers = 1,
                                          .width = WIDTH,
                                          .max_positions = LENGTH,
                                          .norm_affine = true,
                                          .pre_norm = true,
                                          .activation = MEGA_ACTIVATION_SILU},
                        (MegaGatedConfig){.hidden = 8,
                                          .zdim = 16,
                                          .ndim = 2,
                                          .chunk = chunk,
                                          .attention = attention,
                                          .bias = MEGA_BIAS_ROTARY,
                                          .causal = !decodes,
                                          .rotary_float32 = float32});
    MegaConfig config = {.task = task};
    if (decodes) {
        config.decoder = stack;
        config.target = (MegaTargetConfig){.vocab = VOCAB,
                                           .pad = -1,
                                           .eos = -1,
                                           .unk = -1,
                                           .bare_start = true,
                                           .output_bias = true,
                                           .max_positions = LENGTH,
                                           .input = {1, {VOCAB}, {WIDTH}},
                                           .output = {1, {VOCAB}, {WIDTH}}};
    } else {
        config.encoder = stack;
        config.embed = (MegaEmbedConfig){.kind = MEGA_EMBED_TOKENS, .vocab = VOCAB, .pad = -1};
        config.head =
            (MegaHeadConfig){.pooling = MEGA_POOL_NONE, .output_bias = true, .classes = VOCAB};
    }
    return config;
}

static int decode(MegaSession *session, const int32_t *tokens, float *logits, MegaError *err)
{
    MegaDecoder *decoder = NULL;
    int code = mega_decoder_new(&decoder, session, &(MegaDecoderOptions){0}, err);
    if (!code)
        code = mega_decoder_begin(decoder, NULL, 1, err);
    for (size_t done = 0, now; done < LENGTH && !code; done += now) {
        now = done + STEPS < LENGTH ? 300 : 1;
        now = done < LENGTH - STEPS && done + now > LENGTH - STEPS ? LENGTH - STEPS - done : now;
        float *out = logits + done * VOCAB;
        code = now == 1 ? mega_decoder_step(decoder, tokens + done, out, err)
                        : mega_decoder_feed(decoder, tokens + done, now, out, err);
    }
    mega_decoder_free(decoder);
    return code;
}

/* Gives the only layer a bias that leaves a position the choice between a few keys, some 500
 * positions back and 20 from one to the next. A rounded angle changes that choice. */
static void set_bias(MegaModel *model, MegaTask task)
{
    static const float alpha[16] = {[1] = 8, [5] = 8};
    static const float beta[16] = {[8 + 1] = -8, [8 + 5] = -8};
    MegaLayerWeights *weights =
        task == MEGA_TASK_GENERATE ? model->decoder.weights : model->encoder.weights;
    weights->rotary_alpha = alpha;
    weights->rotary_beta = beta;
}

/* Returns the logits of all tokens. */
static float *run(MegaTask task, MegaAttentionKind attention, int chunk, bool float32,
                  const int32_t *tokens)
{
    Random random = {5};
    const MegaConfig config = make_config(task, attention, chunk, float32);
    MegaModel *model = random_model(&config, &random);
    MegaSession *session = NULL;
    MegaError err = {0};
    const MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = tokens, .length = LENGTH};
    float *logits = calloc(LENGTH, VOCAB * sizeof *logits);
    set_bias(model, task);
    int code = mega_session_new(&session, model, NULL, &err);
    if (!code)
        code = task == MEGA_TASK_GENERATE
                   ? decode(session, tokens, logits, &err)
                   : mega_session_label(session, &input, NULL, LENGTH, logits, &err);
    if (code)
        fail_msg("%s", err.text);
    mega_session_free(session);
    mega_model_free(model);
    return logits;
}

/* Returns the mean difference at the last positions. */
static double difference(const float *a, const float *b)
{
    double sum = 0;
    for (size_t i = (LENGTH - STEPS) * VOCAB; i < LENGTH * VOCAB; i++)
        sum += fabs((double)a[i] - (double)b[i]);
    return sum / (STEPS * VOCAB);
}

static void check(MegaAttentionKind attention, int chunk)
{
    int32_t tokens[LENGTH];
    Random random = {9};
    for (size_t i = 0; i < LENGTH; i++)
        tokens[i] = random_int(&random, 0, VOCAB - 1);
    float *encoded = run(MEGA_TASK_FILL, attention, chunk, true, tokens);
    float *decoded = run(MEGA_TASK_GENERATE, attention, chunk, true, tokens);
    float *exact = run(MEGA_TASK_GENERATE, attention, chunk, false, tokens);
    assert_close_f32(decoded, encoded, LENGTH * VOCAB, 2e-5);
    const double same = difference(decoded, encoded), other = difference(exact, encoded);
    if (attention == MEGA_ATTENTION_SOFTMAX && !(other > 3 * same))
        fail_msg("exact angles differ by %.3g, those of the decoder by %.3g", other, same);
    free(encoded);
    free(decoded);
    free(exact);
}

static void a_decoder_rotates_as_an_encoder(void **state)
{
    (void)state;
    check(MEGA_ATTENTION_SOFTMAX, 0);
    check(MEGA_ATTENTION_LAPLACE, 0);
}

static void positions_count_from_the_chunk(void **state)
{
    (void)state;
    check(MEGA_ATTENTION_RELU2, 70);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_decoder_rotates_as_an_encoder),
                                       cmocka_unit_test(positions_count_from_the_chunk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
