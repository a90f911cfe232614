/*
 * test_pieces.c - a long input that goes layer by layer in pieces has the bits of the whole input,
 * for any piece, tier and number of threads, in memory and from a file; and its memory does not
 * grow with its length.
 */
#include "tests/unit/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/encode/session.h"

#define CLASSES 5

static MegaSession *new_session(const MegaModel *model, const MegaSessionOptions *options)
{
    MegaSession *session;
    MegaError err = {0};
    if (mega_session_new(&session, model, options, &err))
        fail_msg("%s", err.text);
    return session;
}

static MegaInput random_tokens(size_t length, Random *random)
{
    int32_t *tokens = malloc(length * sizeof *tokens);
    assert_non_null(tokens);
    for (size_t i = 0; i < length; i++)
        tokens[i] = random_int(random, 4, 29);
    return (MegaInput){.kind = MEGA_INPUT_TOKENS, .tokens = tokens, .length = length};
}

static MegaConfig chunk_config(int chunk, int truncation)
{
    MegaConfig config = small_config();
    mega_gated_of(&config.encoder)->chunk = chunk;
    mega_gated_of(&config.encoder)->truncation = truncation;
    return config;
}

static void whole(const MegaModel *model, const MegaInput *input, const MegaKernels *kernels,
                  float *logits)
{
    MegaSession *session = new_session(model, &(MegaSessionOptions){.threads = 1});
    MegaError err = {0};
    mega_session_force(session, kernels, MEGA_EMA_RECURRENT);
    if (mega_session_classify(session, input, 1, logits, &err))
        fail_msg("%s", err.text);
    mega_session_free(session);
}

static void check_pieces(const MegaModel *model, const MegaInput *input, size_t piece)
{
    const MegaKernels *tiers[MEGA_MOST_TIERS];
    const size_t count = mega_kernels_all(tiers);
    float expected[CLASSES], got[CLASSES];
    MegaError err = {0};
    for (size_t t = 0; t < count; t++) {
        whole(model, input, tiers[t], expected);
        for (int threads = 1; threads <= 3; threads += 2) {
            MegaSession *session = new_session(model, &(MegaSessionOptions){.threads = threads});
            mega_session_force(session, tiers[t], MEGA_EMA_AUTO);
            for (int round = 0; round < 2; round++) {
                memset(got, 0, sizeof got);
                if (mega_session_classify_pieces(session, input, piece, got, &err))
                    fail_msg("%s", err.text);
                assert_memory_equal(got, expected, sizeof got);
            }
            /* the session then takes whole inputs as before */
            assert_int_equal(mega_session_classify(session, input, 1, got, NULL), 0);
            mega_session_free(session);
        }
    }
}

static void pieces_have_the_bits_of_the_whole(void **state)
{
    Random random = {21};
    (void)state;
    for (int i = 0; i < 60; i++) {
        const int chunk = random_int(&random, 1, 40);
        MegaConfig config = chunk_config(chunk, 0);
        MegaStackConfig *stack = &config.encoder;
        MegaGatedConfig *gated = mega_gated_of(stack);
        if (i % 3)
            gated->truncation = random_int(&random, 1, 150);
        stack->layers = random_int(&random, 1, 3);
        stack->width = random_int(&random, 1, 40);
        gated->ndim = random_int(&random, 1, 9);
        stack->pre_norm = stack->final_norm = random_int(&random, 0, 1);
        stack->norm = (MegaNormKind)random_int(&random, 0, MEGA_NORM_BATCH);
        stack->embed_norm = random_int(&random, 0, 1);
        gated->attention = (MegaAttentionKind)random_int(&random, 0, MEGA_ATTENTION_LAPLACE);
        gated->bias = (MegaBiasKind)random_int(&random, 0, MEGA_BIAS_ROTARY);
        stack->bidirectional = random_int(&random, 0, 3) > 0;
        gated->causal = !stack->bidirectional && random_int(&random, 0, 1);
        gated->ema_shift = stack->bidirectional && random_int(&random, 0, 1);
        config.head.pooling = (MegaPooling)random_int(&random, 0, 1);
        config.head.projection = random_int(&random, 0, 1);
        MegaModel *model = random_model(&config, &random);
        MegaInput input = random_tokens((size_t)random_int(&random, 1, 400), &random);
        check_pieces(model, &input, (size_t)chunk * (size_t)random_int(&random, 1, 4));
        check_pieces(model, &input, 1); /* a chunk */
        free((void *)input.tokens);
        mega_model_free(model);
    }
}

/* Frames that overlap reach over the ends of a piece. */
static void frames_reach_over_pieces(void **state)
{
    Random random = {22};
    MegaConfig config = chunk_config(3, 7);
    (void)state;
    config.embed =
        (MegaEmbedConfig){.kind = MEGA_EMBED_FRAMES, .pad = -1, .frame_length = 14, .frame_hop = 4};
    MegaModel *model = random_model(&config, &random);
    float *values = random_floats(&random, 203, -1, 1);
    MegaInput input = {.kind = MEGA_INPUT_SAMPLES, .values = values, .length = 203};
    check_pieces(model, &input, 6);
    free(values);
    mega_model_free(model);
}

/* With a limit of memory and a folder, any length goes through in the same memory; it is taken
 * whole where it fits, and the result is the same. */
static void limits_of_memory_are_kept(void **state)
{
    Random random = {23};
    MegaConfig config = chunk_config(16, 50);
    MegaModel *model = random_model(&config, &random);
    MegaInput input = random_tokens(20000, &random);
    const uint64_t sizes[] = {60000, 200000, 1000000, 3000000, 20000000};
    float expected[CLASSES], got[CLASSES];
    MegaError err = {0};
    (void)state;
    whole(model, &input, mega_kernels(), expected);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        MegaSessionOptions options = {
            .threads = 2, .spill = "/tmp", .max_memory = mega_model_memory(model) + sizes[i]};
        MegaSession *session = new_session(model, &options);
        if (mega_session_classify(session, &input, 1, got, &err))
            fail_msg("%s", err.text);
        assert_memory_equal(got, expected, sizeof got);
        assert_true(mega_ledger_peak(session->ledger) <= options.max_memory);
        const uint64_t left = mega_session_left(session);
        assert_int_equal(mega_session_classify(session, &input, 1, got, NULL), 0);
        assert_int_equal(mega_session_left(session), left); /* nothing stays counted */
        mega_session_free(session);
    }
    free((void *)input.tokens);
    mega_model_free(model);
}

static void what_does_not_fit_is_refused(void **state)
{
    Random random = {24};
    MegaConfig config = chunk_config(16, 50);
    MegaModel *model = random_model(&config, &random);
    MegaInput input = random_tokens(20000, &random);
    MegaSessionOptions options = {.threads = 1, .max_memory = mega_model_memory(model) + 200000};
    float logits[CLASSES];
    MegaError err = {0};
    (void)state;
    MegaSession *session = new_session(model, &options);
    assert_int_equal(mega_session_classify(session, &input, 1, logits, &err), MEGA_ERR_LIMIT);
    assert_non_null(strstr(err.text, "keeping a long input's states needs "));
    mega_session_free(session);

    options.spill = "/nonexistent/folder";
    session = new_session(model, &options);
    assert_int_equal(mega_session_classify(session, &input, 1, logits, &err), MEGA_ERR_IO);
    assert_string_equal(err.text, "cannot make a temporary file in /nonexistent/folder: No such "
                                  "file or directory");
    mega_session_free(session);

    options.spill = "/tmp";
    options.max_memory = mega_model_memory(model) + 5000; /* less than a chunk needs */
    session = new_session(model, &options);
    assert_int_equal(mega_session_classify(session, &input, 1, logits, &err), MEGA_ERR_LIMIT);
    assert_non_null(strstr(err.text, "a piece of 16 positions needs "));
    mega_session_free(session);
    free((void *)input.tokens);
    mega_model_free(model);

    config = chunk_config(0, 50);
    config.encoder.max_positions = 30000;
    model = random_model(&config, &random);
    input = random_tokens(200, &random);
    options = (MegaSessionOptions){.threads = 1};
    session = new_session(model, &options);
    assert_int_equal(mega_session_classify_pieces(session, &input, 16, logits, &err),
                     MEGA_ERR_UNSUPPORTED);
    assert_string_equal(err.text, "the model has no chunks: every position attends to all others, "
                                  "so it cannot run in pieces");
    mega_session_free(session);
    free((void *)input.tokens);
    mega_model_free(model);
}

/* Without truncation in the way, the memory of a spilled input does not depend on its length. */
static void memory_does_not_grow_with_the_length(void **state)
{
    Random random = {25};
    MegaConfig config = chunk_config(16, 50);
    MegaModel *model = random_model(&config, &random);
    uint64_t peaks[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        MegaInput input = random_tokens(i ? 40000 : 10000, &random);
        MegaSessionOptions options = {
            .threads = 1, .spill = "/tmp", .max_memory = mega_model_memory(model) + 400000};
        MegaSession *session = new_session(model, &options);
        float logits[CLASSES];
        assert_int_equal(mega_session_classify(session, &input, 1, logits, NULL), 0);
        peaks[i] = mega_ledger_peak(session->ledger);
        mega_session_free(session);
        free((void *)input.tokens);
    }
    assert_int_equal(peaks[0], peaks[1]);
    mega_model_free(model);
}

/* Appends the rows of one stage. */
typedef struct Stage {
    const char *name;
    float *data;
    size_t floats;
} Stage;

static void append(void *context, const char *name, int input, const float *data, size_t rows,
                   size_t columns)
{
    Stage *stage = context;
    (void)input;
    if (strcmp(name, stage->name) != 0)
        return;
    stage->data = realloc(stage->data, (stage->floats + rows * columns) * sizeof *data);
    assert_non_null(stage->data);
    memcpy(stage->data + stage->floats, data, rows * columns * sizeof *data);
    stage->floats += rows * columns;
}

static void taps_see_all_pieces(void **state)
{
    static const char *const names[] = {"embed",     "layer.0.ema", "layer.0.v", "layer.0.z",
                                        "layer.0.q", "layer.0.k",   "layer.0",   "layer.1.ema",
                                        "layer.1",   "final",       "pooled",    "logits"};
    Random random = {26};
    MegaConfig config = chunk_config(16, 50);
    config.encoder.pre_norm = config.encoder.final_norm = true;
    MegaModel *model = random_model(&config, &random);
    MegaInput input = random_tokens(333, &random);
    MegaSession *session = new_session(model, &(MegaSessionOptions){.threads = 2});
    float logits[CLASSES];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        Stage at_once = {.name = names[i]}, pieces = {.name = names[i]};
        mega_session_set_tap(session, append, &at_once);
        assert_int_equal(mega_session_classify(session, &input, 1, logits, NULL), 0);
        mega_session_set_tap(session, append, &pieces);
        assert_int_equal(mega_session_classify_pieces(session, &input, 64, logits, NULL), 0);
        assert_true(at_once.floats > 0);
        assert_int_equal(at_once.floats, pieces.floats);
        assert_memory_equal(at_once.data, pieces.data, at_once.floats * sizeof(float));
        free(at_once.data);
        free(pieces.data);
    }
    mega_session_free(session);
    free((void *)input.tokens);
    mega_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_have_the_bits_of_the_whole),
        cmocka_unit_test(frames_reach_over_pieces),
        cmocka_unit_test(limits_of_memory_are_kept),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(memory_does_not_grow_with_the_length),
        cmocka_unit_test(taps_see_all_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
