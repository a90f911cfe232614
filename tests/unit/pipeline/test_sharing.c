/*
 * test_sharing.c - eight threads share one model through the public interface, each with sessions
 * of its own, and get the bits that one thread gets. .ci/run builds this with -fsanitize=thread.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/mega.h"

#define THREADS 8
#define ROUNDS 6
#define TOKENS 40
#define SAMPLES 4000
#define MAX_RESULTS 512
#define SOURCE 8 /* number of tokens that are translated, or fed to a language model */

/* One model, and its answers to inputs 0 to ROUNDS - 1 while nobody else uses it. */
typedef struct Shared {
    const MegaModel *model;
    /* results of one round: logits, or the log-probabilities of a translation's tokens */
    int results;
    float expected[ROUNDS][MAX_RESULTS];
} Shared;

static int classify(const Shared *shared, MegaSession *session, int round, float *logits)
{
    int32_t tokens[TOKENS];
    float values[SAMPLES];
    MegaInput input = {.kind = mega_model_input_kind(shared->model)};
    for (int i = 0; i < TOKENS; i++)
        tokens[i] = 4 + (i * 7 + round) % 16;
    for (int i = 0; i < SAMPLES; i++)
        values[i] = (float)((i * (round + 3)) % 101) / 50 - 1;
    if (input.kind == MEGA_INPUT_TOKENS) {
        input.tokens = tokens;
        input.length = TOKENS;
    } else {
        input.values = values;
        input.length = SAMPLES;
    }
    return mega_session_classify(session, &input, 1, logits, NULL);
}

/* Stores the scores of the best translation's tokens, then zeros. */
static int translate(MegaSession *session, int round, float *scores)
{
    int32_t tokens[SOURCE];
    MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = tokens, .length = SOURCE};
    MegaSearchOptions options = mega_search_defaults();
    MegaTranslation result = {0};
    options.max_len_b = SOURCE;
    for (int i = 0; i < SOURCE; i++)
        tokens[i] = i == SOURCE - 1 ? 2 : 4 + (i * 7 + round) % 16;
    int code = mega_session_translate(session, &input, 1, &options, &result, NULL);
    for (size_t i = 0; i < 2 * SOURCE; i++)
        scores[i] = !code && i < result.hypotheses[0].length ? result.hypotheses[0].scores[i] : 0;
    mega_translation_free(&result);
    return code;
}

static int continue_text(MegaSession *session, int round, int vocab, float *logits)
{
    MegaDecoder *decoder = NULL;
    int code = mega_decoder_new(&decoder, session, NULL, NULL);
    if (!code)
        code = mega_decoder_begin(decoder, NULL, 1, NULL);
    for (int i = 0; !code && i < SOURCE; i++) {
        int32_t token = i ? 4 + (i * 7 + round) % (vocab - 4) : 2;
        code = mega_decoder_step(decoder, &token, logits, NULL);
    }
    mega_decoder_free(decoder);
    return code;
}

/* Computes the round's results with a session that is made for it. */
static int use_once(const Shared *shared, int round, int threads, float *results)
{
    MegaSession *session = NULL;
    MegaSessionOptions options = {.threads = threads};
    int code = mega_session_new(&session, shared->model, &options, NULL);
    if (!code && mega_model_task(shared->model) == MEGA_TASK_CLASSIFY)
        code = classify(shared, session, round, results);
    else if (!code && mega_model_task(shared->model) == MEGA_TASK_TRANSLATE)
        code = translate(session, round, results);
    else if (!code)
        code = continue_text(session, round, shared->results, results);
    mega_session_free(session);
    return code;
}

static int result_count(const MegaModel *model)
{
    switch (mega_model_task(model)) {
    case MEGA_TASK_CLASSIFY: return mega_model_class_count(model);
    case MEGA_TASK_TRANSLATE: return 2 * SOURCE;
    default: return mega_model_vocab_size(model);
    }
}

static void *use_model(void *context)
{
    const Shared *shared = context;
    float results[MAX_RESULTS];
    for (int round = 0; round < ROUNDS; round++)
        if (use_once(shared, round, 1 + round % 2, results) ||
            memcmp(results, shared->expected[round], (size_t)shared->results * sizeof *results))
            return context; /* any value but NULL tells of a failure */
    return NULL;
}

static void share(const char *path)
{
    Shared shared = {0};
    MegaModel *model = NULL;
    MegaError err = {0};
    pthread_t threads[THREADS];
    if (mega_model_open(&model, path, &err))
        fail_msg("%s", err.text);
    shared.model = model;
    shared.results = result_count(model);
    assert_in_range(shared.results, 2, MAX_RESULTS);
    for (int round = 0; round < ROUNDS; round++)
        assert_int_equal(use_once(&shared, round, 1, shared.expected[round]), 0);
    assert_memory_not_equal(shared.expected[0], shared.expected[1], sizeof shared.expected[0]);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_model, &shared), 0);
    int failures = 0;
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        failures += result != NULL;
    }
    mega_model_free(model);
    assert_int_equal(failures, 0);
}

static void test_vocab(void **state)
{
    (void)state;
    share("tests/fuzz/corpus/mega/statedict.mega");
}

static void test_speech(void **state)
{
    (void)state;
    share("models/speech-commands/speech-commands.mega");
}

static void test_translator(void **state)
{
    (void)state;
    share("models/everyday-en-de/everyday-en-de.mega");
}

static void test_language_model(void **state)
{
    (void)state;
    share("models/shakespeare-lm/shakespeare-lm.mega");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vocab),
        cmocka_unit_test(test_speech),
        cmocka_unit_test(test_translator),
        cmocka_unit_test(test_language_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
