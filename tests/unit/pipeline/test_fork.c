/*
 * test_fork.c - the library's objects in a forked child, which has none of the threads. They give
 * the same results, and freeing them does not block.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/kernels/kernels.h"
#include "src/mega.h"
#include "tests/unit/support.h"

#define SECONDS 60 /* time after which a child is taken to hang */
#define SAMPLES 16000
#define MAX_NUMBERS 512
#define SOURCE 6

/* All objects that a process can make from a model, and the numbers that they gave. */
typedef struct Objects {
    MegaModel *model;
    MegaSession *session;
    MegaEncoded *encoded;
    MegaDecoder *decoder;
    MegaSampler *sampler;
    int count;
    float numbers[MAX_NUMBERS];
} Objects;

static void use_classifier(Objects *objects, float *logits)
{
    static float values[SAMPLES];
    MegaInput input = {.kind = MEGA_INPUT_SAMPLES, .values = values, .length = SAMPLES};
    for (int i = 0; i < SAMPLES; i++)
        values[i] = (float)(i * 7 % 101) / 50 - 1;
    if (mega_session_classify(objects->session, &input, 1, logits, NULL))
        abort();
}

static void use_translator(Objects *objects, float *logits)
{
    const int32_t tokens[SOURCE] = {4, 9, 14, 19, 24, 2}, first = 2;
    MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = tokens, .length = SOURCE};
    MegaSearchOptions options = mega_search_defaults();
    MegaTranslation found = {0};
    static float all[65536];
    options.max_len_b = 8;
    if (!objects->encoded &&
        (mega_session_encode(objects->session, &input, &objects->encoded, NULL) ||
         mega_decoder_new(&objects->decoder, objects->session, NULL, NULL)))
        abort();
    const MegaEncoded *sources[] = {objects->encoded};
    if (mega_model_vocab_size(objects->model) > 65536 ||
        mega_decoder_begin(objects->decoder, sources, 1, NULL) ||
        mega_decoder_step(objects->decoder, &first, all, NULL) ||
        mega_session_translate(objects->session, &input, 1, &options, &found, NULL))
        abort();
    memcpy(logits, all, (size_t)objects->count * sizeof *logits);
    logits[0] = (float)found.hypotheses[0].score;
    mega_translation_free(&found);
}

static void use_language_model(Objects *objects, float *logits)
{
    static float all[65536];
    int32_t token = 2;
    if (!objects->decoder &&
        (mega_decoder_new(&objects->decoder, objects->session, NULL, NULL) ||
         mega_sampler_new(&objects->sampler, objects->model, NULL, NULL)))
        abort();
    if (mega_model_vocab_size(objects->model) > 65536 ||
        mega_decoder_begin(objects->decoder, NULL, 1, NULL))
        abort();
    for (int i = 0; i < 20; i++, token = 4 + i % 30)
        if (mega_decoder_step(objects->decoder, &token, all, NULL))
            abort();
    (void)mega_sampler_next(objects->sampler, all);
    memcpy(logits, all, (size_t)objects->count * sizeof *logits);
}

static void use(Objects *objects, float *numbers)
{
    switch (mega_model_task(objects->model)) {
    case MEGA_TASK_CLASSIFY: use_classifier(objects, numbers); break;
    case MEGA_TASK_TRANSLATE: use_translator(objects, numbers); break;
    case MEGA_TASK_GENERATE: use_language_model(objects, numbers); break;
    default: abort(); /* no shipped model has another task */
    }
}

static void free_all(Objects *objects)
{
    mega_sampler_free(objects->sampler);
    mega_decoder_free(objects->decoder);
    mega_encoded_free(objects->encoded);
    mega_session_free(objects->session);
    mega_model_free(objects->model);
}

/* Runs in a child. Returns 0 if its results are those of the parent. */
static int use_in_child(Objects *objects, bool uses, bool frees)
{
    float numbers[MAX_NUMBERS] = {0};
    if (uses)
        use(objects, numbers);
    if (uses && memcmp(numbers, objects->numbers, (size_t)objects->count * sizeof *numbers) != 0)
        return 1;
    if (frees)
        free_all(objects);
    return 0;
}

/* Forks a child, and a child of that child with a session of its own. They end by exit or _exit. */
static void fork_once(Objects *objects, int round)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(SECONDS);
        bool nested = round & 4;
        if (nested) {
            MegaSession *own = NULL;
            MegaSessionOptions options = {.threads = 3};
            int status = 1;
            if (mega_session_new(&own, objects->model, &options, NULL))
                _exit(3);
            pid_t grandchild = fork();
            if (grandchild == 0) {
                alarm(SECONDS);
                mega_session_free(own);
                _exit(use_in_child(objects, round & 1, round & 2));
            }
            mega_session_free(own);
            if (grandchild < 0 || waitpid(grandchild, &status, 0) != grandchild || status != 0)
                _exit(2);
        }
        int code = use_in_child(objects, round & 1, round & 2);
        if (round & 2 && objects->model)
            exit(code);
        _exit(code);
    }
    int status = -1;
    assert_true(waitpid(child, &status, 0) == child);
    assert_int_equal(status, 0); /* a status of 14 means that it hung */
}

/* AddressSanitizer of gcc 12 locks its allocator while a thread starts. A fork in that moment
 * copies the lock closed, and the child then waits for it without end. */
static void fork_with(const char *path, const char *cpu)
{
    if (SANITIZED)
        skip();
    static Objects objects;
    MegaSessionOptions options = {.threads = 4, .cpu = cpu};
    objects = (Objects){0};
    assert_int_equal(mega_model_open(&objects.model, path, NULL), 0);
    assert_int_equal(mega_session_new(&objects.session, objects.model, &options, NULL), 0);
    objects.count = mega_model_task(objects.model) == MEGA_TASK_CLASSIFY
                        ? mega_model_class_count(objects.model)
                        : 64;
    assert_in_range(objects.count, 1, MAX_NUMBERS);
    use(&objects, objects.numbers);
    for (int round = 0; round < 8; round++) {
        if (round % 2)
            usleep(20000); /* here the workers sleep; in other rounds they still look for work */
        fork_once(&objects, round);
        float again[MAX_NUMBERS];
        use(&objects, again); /* the parent continues to work */
        assert_memory_equal(again, objects.numbers, (size_t)objects.count * sizeof *again);
    }
    free_all(&objects);
}

static void classifier(void **state)
{
    (void)state;
    fork_with("models/speech-commands/speech-commands.mega", NULL);
}

static void translator(void **state)
{
    (void)state;
    fork_with("models/everyday-en-de/everyday-en-de.mega", NULL);
}

static void language_model(void **state)
{
    (void)state;
    fork_with("models/shakespeare-lm/shakespeare-lm.mega", NULL);
}

static void openblas(void **state)
{
    (void)state;
    if (!MEGA_WITH_OPENBLAS)
        skip();
    fork_with("models/speech-commands/speech-commands.mega", "openblas");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classifier),
        cmocka_unit_test(translator),
        cmocka_unit_test(language_model),
        cmocka_unit_test(openblas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
