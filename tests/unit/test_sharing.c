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

#include "mega.h"

#define THREADS 8
#define ROUNDS 6
#define TOKENS 40
#define SAMPLES 4000
#define MAX_CLASSES 64

/* One model, and what it says to inputs number 0 to ROUNDS - 1 when nobody else uses it. */
typedef struct Shared {
    const MegaModel *model;
    int classes;
    float expected[ROUNDS][MAX_CLASSES];
} Shared;

/* The round's input, its logits, by a session that is made for it. */
static int classify(const Shared *shared, int round, int threads, float *logits)
{
    int32_t tokens[TOKENS];
    float values[SAMPLES];
    MegaSession *session = NULL;
    MegaSessionOptions options = {.threads = threads};
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
    int code = mega_session_new(&session, shared->model, &options, NULL);
    if (!code)
        code = mega_session_classify(session, &input, 1, logits, NULL);
    mega_session_free(session);
    return code;
}

static void *use_model(void *context)
{
    const Shared *shared = context;
    float logits[MAX_CLASSES];
    for (int round = 0; round < ROUNDS; round++)
        if (classify(shared, round, 1 + round % 2, logits) ||
            memcmp(logits, shared->expected[round], (size_t)shared->classes * sizeof *logits) != 0)
            return context; /* anything but NULL: a failure */
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
    shared.classes = mega_model_class_count(model);
    assert_in_range(shared.classes, 2, MAX_CLASSES);
    for (int round = 0; round < ROUNDS; round++)
        assert_int_equal(classify(&shared, round, 1, shared.expected[round]), 0);
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

static void test_text(void **state)
{
    (void)state;
    share("tests/fuzz/corpus/mega/statedict.mega");
}

static void test_speech(void **state)
{
    (void)state;
    share("models/speech-commands/speech-commands.mega");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_speech),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
