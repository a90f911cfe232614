/*
 * test_decoder.c - decoding on random models. A text gives the same token by token, in pieces and
 * at once. Sequences side by side give the same as alone, whatever is selected. The number of
 * threads changes nothing.
 */
#include "tests/unit/decoding_models.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/decode/sources.h"
#include "src/encode/session.h"

#define LENGTH 150

static MegaEncoded *random_source(MegaSession *session, Random *random)
{
    int32_t tokens[30];
    MegaEncoded *encoded;
    MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = tokens,
                       .length = (size_t)random_int(random, 1, 30)};
    random_tokens(random, tokens, input.length, 33);
    assert_int_equal(mega_session_encode(session, &input, &encoded, NULL), 0);
    return encoded;
}

/* Returns the logits of all tokens, fed in pieces of at most `piece`, or by single steps if it is
 * 0. */
static float *read_in_pieces(MegaSession *session, const MegaDecoderOptions *options,
                             const MegaEncoded *source, const int32_t *tokens, size_t piece)
{
    MegaDecoder *decoder;
    MegaError err = {0};
    size_t vocab = 40;
    float *logits = malloc(LENGTH * vocab * sizeof *logits);
    assert_int_equal(mega_decoder_new(&decoder, session, options, &err), 0);
    if (mega_decoder_begin(decoder, source ? &source : NULL, 1, &err))
        fail_msg("%s", err.text);
    for (size_t done = 0, now; done < LENGTH; done += now) {
        now = piece == 0 ? 1 : LENGTH - done < piece ? LENGTH - done : piece;
        int code = piece == 0
                       ? mega_decoder_step(decoder, tokens + done, logits + done * vocab, &err)
                       : mega_decoder_feed(decoder, tokens + done, now, logits + done * vocab,
                                           &err);
        if (code)
            fail_msg("%s", err.text);
    }
    assert_int_equal(mega_decoder_position(decoder), LENGTH);
    mega_decoder_free(decoder);
    return logits;
}

static void check_pieces(const MegaConfig *config, Random *random)
{
    const size_t pieces[] = {0, 1, 3, 17, 64, LENGTH};
    MegaModel *model = random_model(config, random);
    MegaSession *one = new_session(model, 1), *three = new_session(model, 3);
    MegaEncoded *source =
        config->task == MEGA_TASK_TRANSLATE ? random_source(one, random) : NULL;
    int32_t tokens[LENGTH];
    random_tokens(random, tokens, LENGTH, 40);
    for (int truncate = 0; truncate < 2; truncate++) {
        MegaDecoderOptions options = {.truncate = truncate};
        float *whole = read_in_pieces(one, &options, source, tokens, LENGTH);
        for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
            float *other = read_in_pieces(three, &options, source, tokens, pieces[i]);
            assert_close_f32(other, whole, LENGTH * 40, 2e-5);
            free(other);
        }
        float *again = read_in_pieces(three, &options, source, tokens, LENGTH);
        assert_memory_equal(again, whole, LENGTH * 40 * sizeof *whole); /* threads change no bit */
        free(again);
        free(whole);
    }
    mega_encoded_free(source);
    mega_session_free(one);
    mega_session_free(three);
    mega_model_free(model);
}

static void pieces_equal_the_whole(void **state)
{
    Random random = {77};
    (void)state;
    for (int i = 0; i < 12; i++) {
        MegaConfig config = i % 2 ? translator(&random) : language_model(&random);
        check_pieces(&config, &random);
    }
}

/* Without truncation, or before it takes effect, both modes agree; after that they differ. */
static void truncation_begins_at_its_length(void **state)
{
    Random random = {5};
    MegaConfig config = language_model(&random);
    (void)state;
    mega_gated_of(&config.decoder)->truncation = 40;
    mega_gated_of(&config.decoder)->chunk = 0;
    MegaModel *model = random_model(&config, &random);
    MegaSession *session = new_session(model, 2);
    int32_t tokens[LENGTH];
    random_tokens(&random, tokens, LENGTH, 40);
    float *cut = read_in_pieces(session, &(MegaDecoderOptions){.truncate = true}, NULL, tokens, 9);
    float *plain = read_in_pieces(session, NULL, NULL, tokens, 9);
    double difference = 0;
    assert_close_f32(cut, plain, 40 * 40, 1e-5);
    for (size_t i = 40 * 40; i < LENGTH * 40; i++)
        difference = fmax(difference, fabs((double)cut[i] - plain[i]));
    assert_true(difference > 1e-5);
    free(cut);
    free(plain);
    mega_session_free(session);
    mega_model_free(model);
}

/* ---- Side by side --------------------------------------------------------------------------- */

#define SEQUENCES 5
#define STEPS 60

/* Makes random selections at every step; a sequence's logits depend on its own history alone. */
static void check_selection(const MegaConfig *config, Random *random)
{
    MegaModel *model = random_model(config, random);
    MegaSession *session = new_session(model, 2);
    bool cross = config->task == MEGA_TASK_TRANSLATE;
    MegaEncoded *sources[SEQUENCES] = {0};
    const MegaEncoded *begin[SEQUENCES], *of[SEQUENCES];
    MegaDecoder *many, *alone;
    int32_t history[SEQUENCES][STEPS], next[SEQUENCES][STEPS], tokens[SEQUENCES];
    float logits[SEQUENCES * 40], expected[STEPS * 40];
    int live = 3, parents[SEQUENCES];
    for (int i = 0; i < SEQUENCES; i++)
        of[i] = begin[i] = sources[i] = cross ? random_source(session, random) : NULL;
    assert_int_equal(mega_decoder_new(&many, session,
                                      &(MegaDecoderOptions){.sequences = SEQUENCES}, NULL), 0);
    assert_int_equal(mega_decoder_new(&alone, session, NULL, NULL), 0);
    assert_int_equal(mega_decoder_begin(many, cross ? begin : NULL, live, NULL), 0);
    for (size_t step = 0; step < STEPS; step++) {
        random_tokens(random, tokens, (size_t)live, 40);
        for (int i = 0; i < live; i++)
            history[i][step] = tokens[i];
        assert_int_equal(mega_decoder_step(many, tokens, logits, NULL), 0);
        if (step % 7 == 6 || step + 1 == STEPS)
            for (int i = 0; i < live; i++) {
                assert_int_equal(mega_decoder_begin(alone, cross ? &of[i] : NULL, 1, NULL), 0);
                assert_int_equal(
                    mega_decoder_feed(alone, history[i], step + 1, expected, NULL), 0);
                assert_close_f32(logits + i * 40, expected + step * 40, 40, 2e-5);
            }
        int count = random_int(random, 1, SEQUENCES);
        const MegaEncoded *next_of[SEQUENCES];
        for (int i = 0; i < count; i++) {
            parents[i] = random_int(random, 0, live - 1);
            memcpy(next[i], history[parents[i]], sizeof next[i]);
            next_of[i] = of[parents[i]];
        }
        memcpy(history, next, sizeof history);
        memcpy(of, next_of, (size_t)count * sizeof *of);
        assert_int_equal(mega_decoder_select(many, parents, count, NULL), 0);
        live = count;
    }
    mega_decoder_free(many);
    mega_decoder_free(alone);
    for (int i = 0; i < SEQUENCES; i++)
        mega_encoded_free(sources[i]);
    mega_session_free(session);
    mega_model_free(model);
}

static void selected_sequences_keep_their_past(void **state)
{
    Random random = {9};
    (void)state;
    for (int i = 0; i < 10; i++) {
        MegaConfig config = i % 2 ? translator(&random) : language_model(&random);
        check_selection(&config, &random);
    }
}

/* ---- Tails of an adaptive softmax ----------------------------------------------------------- */

/* Counts how often a tail was skipped for some rows of a step but not for others, and how often the
 * best word was in a tail. */
typedef struct Left {
    int out, in_part, best;
} Left;

/* The `best` largest logits of `some` must be those of `all`; both are [rows][vocab]. */
static void check_best(const MegaTargetConfig *target, const float *some, const float *all,
                       size_t rows, size_t best, Left *left)
{
    size_t vocab = (size_t)target->vocab, left_out[3] = {0};
    float sorted[2][100];
    for (size_t row = 0; row < rows; row++, some += vocab, all += vocab) {
        for (int cluster = 0; cluster < 3; cluster++) {
            size_t begin = cluster > 0 ? (size_t)target->output.end[cluster - 1] : 0;
            size_t words = (size_t)mega_cluster_size(&target->output, cluster);
            if (some[begin] == -INFINITY) {
                for (size_t i = 0; i < words; i++)
                    assert_true(some[begin + i] == -INFINITY);
                left_out[cluster]++;
            } else {
                assert_memory_equal(some + begin, all + begin, words * sizeof *some);
            }
        }
        memcpy(sorted[0], some, vocab * sizeof *some);
        memcpy(sorted[1], all, vocab * sizeof *all);
        for (int i = 0; i < 2; i++)
            qsort(sorted[i], vocab, sizeof(float), larger_first);
        assert_memory_equal(sorted[0], sorted[1], best * sizeof(float));
        bool of_tail = true;
        for (size_t i = 0; i < (size_t)target->output.end[0]; i++)
            of_tail = of_tail && all[i] < sorted[1][0];
        left->best += of_tail;
    }
    assert_int_equal(left_out[0], 0);
    for (int cluster = 1; cluster < 3; cluster++) {
        left->out += left_out[cluster] > 0;
        left->in_part += left_out[cluster] > 0 && left_out[cluster] < rows;
    }
}

static void the_best_do_not_need_all_tails(void **state)
{
    enum { VOCAB = 25 };
    const int best[] = {1, 2, 7, 21, VOCAB - 1, VOCAB, VOCAB + 1};
    Random random = {61};
    Left left[sizeof best / sizeof best[0]] = {0};
    (void)state;
    for (int round = 0; round < 8; round++) {
        MegaConfig config = language_model(&random);
        make_adaptive(&config.target, &random, 20, 21, VOCAB);
        MegaModel *model = random_model(&config, &random);
        MegaSession *session = new_session(model, 1 + round % 2);
        for (size_t i = 0; i < sizeof best / sizeof best[0]; i++) {
            MegaDecoderOptions options = {.sequences = SEQUENCES};
            MegaDecoder *all, *some;
            static float logits[2][LENGTH * VOCAB];
            int32_t tokens[LENGTH];
            assert_int_equal(mega_decoder_new(&all, session, &options, NULL), 0);
            options.exact_top = best[i];
            assert_int_equal(mega_decoder_new(&some, session, &options, NULL), 0);
            MegaDecoder *both[] = {all, some};
            size_t wanted = (size_t)(best[i] < VOCAB ? best[i] : VOCAB);
            for (int n = 0; n < 2; n++)
                assert_int_equal(mega_decoder_begin(both[n], NULL, SEQUENCES, NULL), 0);
            for (int step = 0; step < STEPS; step++) {
                random_tokens(&random, tokens, SEQUENCES, VOCAB);
                for (int n = 0; n < 2; n++)
                    assert_int_equal(mega_decoder_step(both[n], tokens, logits[n], NULL), 0);
                check_best(&config.target, logits[1], logits[0], SEQUENCES, wanted, &left[i]);
            }
            random_tokens(&random, tokens, LENGTH, VOCAB);
            for (int n = 0; n < 2; n++) {
                assert_int_equal(mega_decoder_begin(both[n], NULL, 1, NULL), 0);
                assert_int_equal(mega_decoder_feed(both[n], tokens, LENGTH, logits[n], NULL), 0);
                mega_decoder_free(both[n]);
            }
            check_best(&config.target, logits[1], logits[0], LENGTH, wanted, &left[i]);
        }
        mega_session_free(session);
        mega_model_free(model);
    }
    assert_true(left[0].out > 0 && left[0].in_part > 0 && left[0].best > 0 && left[2].out > 0);
    assert_int_equal(left[4].out, 0);
}

/* ---- Limits and misuse ---------------------------------------------------------------------- */

static void chunked_state_does_not_grow(void **state)
{
    Random random = {21};
    MegaConfig config = language_model(&random);
    (void)state;
    mega_gated_of(&config.decoder)->chunk = 16;
    MegaModel *model = random_model(&config, &random);
    MegaSession *session = new_session(model, 1);
    MegaDecoder *decoder;
    int32_t tokens[1000];
    random_tokens(&random, tokens, 1000, 40);
    assert_int_equal(mega_decoder_new(&decoder, session, NULL, NULL), 0);
    assert_int_equal(mega_decoder_begin(decoder, NULL, 1, NULL), 0);
    assert_int_equal(mega_decoder_feed(decoder, tokens, 100, NULL, NULL), 0);
    size_t memory = mega_decoder_memory(decoder);
    for (int i = 0; i < 50; i++)
        assert_int_equal(mega_decoder_feed(decoder, tokens, 1000, NULL, NULL), 0);
    assert_int_equal(mega_decoder_memory(decoder), memory);
    mega_decoder_free(decoder);
    mega_session_free(session);
    mega_model_free(model);
}

static void misuse_is_refused(void **state)
{
    Random random = {3};
    MegaConfig config = language_model(&random);
    (void)state;
    mega_gated_of(&config.decoder)->bias = MEGA_BIAS_SIMPLE;
    mega_gated_of(&config.decoder)->chunk = 0;
    config.decoder.max_positions = 20;
    mega_gated_of(&config.decoder)->truncation = 8;
    MegaModel *model = random_model(&config, &random);
    MegaSession *session = new_session(model, 1);
    MegaDecoder *decoder;
    int32_t tokens[30] = {2};
    float logits[40];
    int parent = 1;
    MegaError err = {0};
    random_tokens(&random, tokens, 30, 40);
    assert_int_equal(mega_decoder_new(&decoder, session, &(MegaDecoderOptions){.chunk = 5}, &err),
                     MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_decoder_new(&decoder, session, &(MegaDecoderOptions){.sequences = -1},
                                      &err), MEGA_ERR_ARGUMENT);
    const MegaDecoderOptions negative = {.exact_top = -1};
    assert_int_equal(mega_decoder_new(&decoder, session, &negative, &err),
                     MEGA_ERR_ARGUMENT);
    assert_string_equal(err.text, "exact_top is -1; expected 0 or more");
    MegaDecoderOptions many = {.sequences = 2, .truncate = true};
    assert_int_equal(mega_decoder_new(&decoder, session, &many, &err), MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_decoder_new(&decoder, session, NULL, &err), 0);
    assert_int_equal(mega_decoder_step(decoder, tokens, logits, &err), MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_decoder_begin(decoder, NULL, 2, &err), MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_decoder_begin(decoder, NULL, 1, &err), 0);
    assert_int_equal(mega_decoder_feed(decoder, tokens, 21, NULL, &err), MEGA_ERR_INPUT);
    assert_int_equal(mega_decoder_feed(decoder, tokens, 20, NULL, &err), 0);
    assert_int_equal(mega_decoder_step(decoder, tokens, logits, &err), MEGA_ERR_INPUT);
    assert_int_equal(mega_decoder_select(decoder, &parent, 1, &err), MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_decoder_begin(decoder, NULL, 1, &err), 0);
    tokens[1] = 40;
    assert_int_equal(mega_decoder_feed(decoder, tokens, 2, NULL, &err), MEGA_ERR_INPUT);
    MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = tokens, .length = 1};
    MegaEncoded *encoded;
    MegaTranslation translation;
    assert_int_equal(mega_session_encode(session, &input, &encoded, &err), MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_session_translate(session, &input, 1, NULL, &translation, &err),
                     MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_session_classify(session, &input, 1, logits, &err), MEGA_ERR_ARGUMENT);
    mega_decoder_free(decoder);
    mega_session_free(session);
    mega_model_free(model);
}

/* Each live sequence of a translator has a row of attention to its own source once a token was
 * read, and nothing else has. */
static void attention_is_of_live_sequences(void **state)
{
    Random random = {14};
    MegaConfig config = translator(&random), other = language_model(&random);
    MegaModel *model = random_model(&config, &random), *alone = random_model(&other, &random);
    MegaSession *session = new_session(model, 1), *second = new_session(alone, 1);
    MegaDecoder *decoder;
    MegaEncoded *encoded[2] = {random_source(session, &random), random_source(session, &random)};
    const MegaEncoded *sources[2] = {encoded[0], encoded[1]}, *none[2] = {encoded[0], NULL};
    int32_t tokens[2] = {2, 2};
    float logits[2 * 40];
    MegaError err = {0};
    (void)state;
    assert_int_equal(mega_decoder_new(&decoder, session, &(MegaDecoderOptions){.sequences = 3},
                                      NULL), 0);
    assert_null(mega_decoder_attention(decoder, 0));
    assert_int_equal(mega_decoder_begin(decoder, none, 2, &err), MEGA_ERR_ARGUMENT);
    assert_string_equal(err.text, "source 1 is NULL");
    assert_int_equal(mega_decoder_begin(decoder, sources, 2, NULL), 0);
    assert_null(mega_decoder_attention(decoder, 0));
    assert_int_equal(mega_decoder_step(decoder, tokens, logits, NULL), 0);
    for (int i = 0; i < 2; i++) {
        const float *row = mega_decoder_attention(decoder, i);
        const size_t length = mega_encoded_length(encoded[i]);
        for (size_t k = 0; k < length; k++)
            assert_true(isfinite(row[k]));
    }
    assert_null(mega_decoder_attention(decoder, 2)); /* there is room for it, but it is not live */
    assert_null(mega_decoder_attention(decoder, -1));
    mega_decoder_free(decoder);
    assert_int_equal(mega_decoder_new(&decoder, second, NULL, NULL), 0);
    assert_int_equal(mega_decoder_begin(decoder, NULL, 1, NULL), 0);
    assert_int_equal(mega_decoder_step(decoder, tokens, logits, NULL), 0);
    assert_null(mega_decoder_attention(decoder, 0));
    mega_decoder_free(decoder);
    for (int i = 0; i < 2; i++)
        mega_encoded_free(encoded[i]);
    mega_session_free(session);
    mega_session_free(second);
    mega_model_free(model);
    mega_model_free(alone);
}

/* A weight is NaN in the output's row of the first or the last word. */
static void overflows_are_reported(void **state)
{
    Random random = {63};
    (void)state;
    for (int round = 0; round < 8; round++) {
        MegaConfig config = language_model(&random);
        MegaModel *model = random_model(&config, &random);
        MegaSession *session = new_session(model, 1);
        MegaDecoder *decoder;
        MegaError err = {0};
        int32_t tokens[3] = {2, 5, 7};
        float logits[3 * 40];
        const MegaPacked *table =
            &model->weights.output.clusters[round % 2 ? config.target.output.count - 1 : 0].table;
        size_t at = round % 2 ? (table->out - 1) / MEGA_PANEL * MEGA_PANEL * table->in +
                                    (table->out - 1) % MEGA_PANEL
                              : 0;
        assert_int_equal(mega_decoder_new(&decoder, session, NULL, NULL), 0);
        assert_int_equal(mega_decoder_begin(decoder, NULL, 1, NULL), 0);
        assert_int_equal(mega_decoder_feed(decoder, tokens, 3, logits, &err), 0);
        ((float *)(uintptr_t)table->panels)[at] = round / 2 % 2 ? INFINITY : NAN;
        assert_int_equal(mega_decoder_feed(decoder, tokens, 3, logits, &err), MEGA_ERR_INPUT);
        assert_non_null(strstr(err.text, "not finite"));
        assert_int_equal(mega_decoder_step(decoder, tokens, logits, &err), MEGA_ERR_INPUT);
        mega_decoder_free(decoder);
        mega_session_free(session);
        mega_model_free(model);
    }
}

/* ---- Sources -------------------------------------------------------------------------------- */

static void assert_same_encoded(const MegaConfig *config, const MegaEncoded *a,
                                const MegaEncoded *b)
{
    size_t d = (size_t)config->decoder.width, z = (size_t)mega_gated(&config->decoder)->zdim;
    assert_int_equal(a->length, b->length);
    assert_memory_equal(a->states, b->states, a->length * d * sizeof(float));
    for (int i = 0; i < config->decoder.layers; i++) {
        const MegaSourceLayer *left = &a->layers[i], *right = &b->layers[i];
        assert_memory_equal(left->keys, right->keys, a->length * z * sizeof(float));
        assert_memory_equal(left->values, right->values, a->length * d * sizeof(float));
    }
}

/* There are short and long sources, and more than go through the encoder at once. */
static void sources_are_the_same_together(void **state)
{
    enum { COUNT = 24, LONGEST = 300 };
    Random random = {30};
    (void)state;
    for (int round = 0; round < 12; round++) {
        MegaConfig config = translator(&random);
        MegaModel *model = random_model(&config, &random);
        MegaSession *session = new_session(model, 1 + round % 3);
        MegaInput inputs[COUNT];
        MegaEncoded *together[COUNT], *alone;
        int32_t *tokens = malloc(COUNT * LONGEST * sizeof *tokens);
        assert_non_null(tokens);
        random_tokens(&random, tokens, COUNT * LONGEST, 33);
        for (int i = 0; i < COUNT; i++)
            inputs[i] = (MegaInput){.kind = MEGA_INPUT_TOKENS, .tokens = tokens + i * LONGEST,
                                    .length = (size_t)random_int(&random, 1, i % 3 ? 40 : LONGEST)};
        assert_int_equal(mega_encode_all(session, inputs, COUNT, together, NULL), 0);
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(mega_session_encode(session, &inputs[i], &alone, NULL), 0);
            assert_same_encoded(&config, together[i], alone);
            mega_encoded_free(alone);
            mega_encoded_free(together[i]);
        }
        free(tokens);
        mega_session_free(session);
        mega_model_free(model);
    }
}

/* The error for a model without a decoder says what the model does. */
static void models_of_other_tasks_are_refused(void **state)
{
    const MegaModel model = {.config.task = MEGA_TASK_TAG};
    MegaSession session = {.model = &model};
    MegaDecoder *decoder;
    MegaSampler *sampler;
    MegaError err = {0};
    (void)state;
    assert_int_equal(mega_decoder_new(&decoder, &session, NULL, &err), MEGA_ERR_ARGUMENT);
    assert_string_equal(err.text, "the model tags words: it has no decoder");
    assert_int_equal(mega_sampler_new(&sampler, &model, NULL, &err), MEGA_ERR_ARGUMENT);
    assert_string_equal(err.text, "the model tags words: it generates no tokens");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_equal_the_whole),
        cmocka_unit_test(truncation_begins_at_its_length),
        cmocka_unit_test(selected_sequences_keep_their_past),
        cmocka_unit_test(the_best_do_not_need_all_tails),
        cmocka_unit_test(chunked_state_does_not_grow),
        cmocka_unit_test(misuse_is_refused),
        cmocka_unit_test(attention_is_of_live_sequences),
        cmocka_unit_test(overflows_are_reported),
        cmocka_unit_test(sources_are_the_same_together),
        cmocka_unit_test(models_of_other_tasks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
