/*
 * test_search.c - beam search on random models: sources that are translated together get the
 * results that they get alone, tails of an adaptive softmax that cannot win change nothing,
 * prefixes are kept, and a search that cannot succeed is refused.
 */
#include "tests/unit/decoding_models.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A ban on very long n-grams excludes nothing, but asks for all words. */
static void searches_do_not_need_all_tails(void **state)
{
    Random random = {62};
    (void)state;
    for (int round = 0; round < 12; round++) {
        MegaConfig config = translator(&random);
        make_adaptive(&config.target, &random, 32, 33, 40);
        MegaModel *model = random_model(&config, &random);
        MegaSession *session = new_session(model, 1 + round % 2);
        MegaSearchOptions options = mega_search_defaults();
        MegaTranslation some, all;
        int32_t tokens[20];
        MegaInput input = {.kind = MEGA_INPUT_TOKENS,
                           .tokens = tokens,
                           .length = (size_t)random_int(&random, 1, 20)};
        random_tokens(&random, tokens, input.length, 33);
        options.beam = random_int(&random, 1, 6);
        options.max_len_b = random_int(&random, 5, 40);
        options.min_len = random_int(&random, 0, 5);
        options.unk_penalty = random_int(&random, -1, 2);
        assert_int_equal(mega_session_translate(session, &input, 1, &options, &some, NULL), 0);
        options.no_repeat_ngram = 1000;
        assert_int_equal(mega_session_translate(session, &input, 1, &options, &all, NULL), 0);
        assert_int_equal(some.count, all.count);
        for (int n = 0; n < all.count; n++) {
            const MegaHypothesis *a = &some.hypotheses[n], *b = &all.hypotheses[n];
            assert_int_equal(a->length, b->length);
            assert_memory_equal(a->tokens, b->tokens, a->length * sizeof *a->tokens);
            assert_memory_equal(a->scores, b->scores, a->length * sizeof *a->scores);
        }
        mega_translation_free(&some);
        mega_translation_free(&all);
        mega_session_free(session);
        mega_model_free(model);
    }
}

static void batches_equal_single_sources(void **state)
{
    enum { COUNT = 6 };
    Random random = {31};
    (void)state;
    for (int round = 0; round < 6; round++) {
        MegaConfig config = translator(&random);
        MegaModel *model = random_model(&config, &random);
        MegaSession *session = new_session(model, 1 + round % 3);
        MegaSearchOptions options = mega_search_defaults();
        MegaTranslation together[COUNT], alone;
        MegaInput inputs[COUNT];
        int32_t tokens[COUNT][20];
        options.beam = random_int(&random, 1, 6);
        options.max_len_b = random_int(&random, 1, 40);
        options.no_repeat_ngram = 2 * random_int(&random, 0, 1); /* 1 would exclude </s> itself */
        for (int i = 0; i < COUNT; i++) {
            inputs[i] = (MegaInput){.kind = MEGA_INPUT_TOKENS,
                                    .tokens = tokens[i],
                                    .length = (size_t)random_int(&random, 1, 20)};
            random_tokens(&random, tokens[i], inputs[i].length, 33);
        }
        assert_int_equal(mega_session_translate(session, inputs, COUNT, &options, together, NULL),
                         0);
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(mega_session_translate(session, &inputs[i], 1, &options, &alone, NULL),
                             0);
            assert_int_equal(alone.count, together[i].count);
            assert_true(alone.count > 0);
            for (int n = 0; n < alone.count; n++) {
                const MegaHypothesis *a = &alone.hypotheses[n], *b = &together[i].hypotheses[n];
                assert_int_equal(a->length, b->length);
                assert_memory_equal(a->tokens, b->tokens, a->length * sizeof *a->tokens);
                assert_int_equal(a->tokens[a->length - 1], 2);
            }
            mega_translation_free(&alone);
            mega_translation_free(&together[i]);
        }
        mega_session_free(session);
        mega_model_free(model);
    }
}

/* Of each option that is out of range, the message says which, and what it was. */
static void options_are_checked(void **state)
{
    Random random = {9};
    MegaConfig config = translator(&random);
    MegaModel *model = random_model(&config, &random);
    MegaSession *session = new_session(model, 1);
    int32_t source[] = {9, 8, 2};
    MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = source, .length = 3};
    const MegaSearchOptions fine = mega_search_defaults();
    MegaSearchOptions wrong[9];
    const char *const parts[] = {"a beam of 0",
                                 "a beam of 1025",
                                 "a temperature of nan",
                                 "max_len_a is nan and max_len_b 200",
                                 "max_len_a is 0 and max_len_b -1",
                                 "min_len is -1",
                                 "no_repeat_ngram -2",
                                 "length_penalty is inf",
                                 "unk_penalty nan"};
    (void)state;
    for (size_t i = 0; i < 9; i++)
        wrong[i] = fine;
    wrong[0] = (MegaSearchOptions){0};
    wrong[1].beam = 1025;
    wrong[2].temperature = (double)NAN;
    wrong[3].max_len_a = (double)NAN;
    wrong[4].max_len_b = -1;
    wrong[5].min_len = -1;
    wrong[6].no_repeat_ngram = -2;
    wrong[7].length_penalty = (double)INFINITY;
    wrong[8].unk_penalty = (double)NAN;
    for (size_t i = 0; i < 9; i++) {
        MegaTranslation result;
        MegaError err = {0};
        assert_int_equal(mega_session_translate(session, &input, 1, &wrong[i], &result, &err),
                         MEGA_ERR_ARGUMENT);
        if (!strstr(err.text, parts[i]))
            fail_msg("\"%s\" does not say \"%s\"", err.text, parts[i]);
        assert_null(result.hypotheses);
    }
    /* logits that are divided by so little overflow, which is not the model's fault */
    MegaSearchOptions cold = fine;
    MegaTranslation result;
    MegaError err = {0};
    cold.temperature = 1e-300;
    assert_int_equal(mega_session_translate(session, &input, 1, &cold, &result, &err),
                     MEGA_ERR_INPUT);
    assert_non_null(strstr(err.text, "at a higher temperature"));
    mega_session_free(session);
    mega_model_free(model);
}

static void prefixes_are_kept(void **state)
{
    Random random = {8};
    MegaConfig config = translator(&random);
    MegaModel *model = random_model(&config, &random);
    MegaSession *session = new_session(model, 1);
    MegaSearchOptions options = mega_search_defaults();
    int32_t source[] = {9, 8, 2}, prefix[] = {11, 7};
    MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = source, .length = 3};
    MegaTranslation result;
    MegaError err = {0};
    (void)state;
    options.prefix = prefix;
    options.prefix_length = 2;
    options.max_len_b = 10;
    assert_int_equal(mega_session_translate(session, &input, 1, &options, &result, NULL), 0);
    assert_true(result.count > 0);
    for (int i = 0; i < result.count; i++)
        assert_memory_equal(result.hypotheses[i].tokens, prefix, sizeof prefix);
    mega_translation_free(&result);
    options.max_len_b = 2; /* no more than the prefix */
    assert_int_equal(mega_session_translate(session, &input, 1, &options, &result, NULL), 0);
    assert_memory_equal(result.hypotheses[0].tokens, prefix, sizeof prefix);
    assert_int_equal(result.hypotheses[0].length, 3);
    mega_translation_free(&result);
    options.max_len_b = 1;
    assert_int_equal(mega_session_translate(session, &input, 1, &options, &result, &err),
                     MEGA_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "the prefix has 2 tokens"));
    options.max_len_b = 10;
    const struct {
        int32_t tokens[2];
        const char *part;
    } wrong[] = {{{config.target.pad, 7}, "is the padding"},
                 {{config.target.eos, 7}, "is </s>, which ends a translation, but 1 tokens follow"},
                 {{7, config.target.vocab}, "is not in the vocabulary of 0 to"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        options.prefix = wrong[i].tokens;
        assert_int_equal(mega_session_translate(session, &input, 1, &options, &result, &err),
                         MEGA_ERR_ARGUMENT);
        assert_non_null(strstr(err.text, wrong[i].part));
        assert_null(result.hypotheses);
    }
    options.prefix = NULL;
    assert_int_equal(mega_session_translate(session, &input, 1, &options, &result, &err),
                     MEGA_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "a prefix of 2 tokens, but the pointer to them is NULL"));
    mega_session_free(session);
    mega_model_free(model);
}

/* If every token is excluded there is an error, and no result without hypotheses. */
static void impossible_searches_are_refused(void **state)
{
    Random random = {14};
    MegaConfig config = translator(&random);
    MegaModel *model = random_model(&config, &random);
    MegaSession *session = new_session(model, 1);
    int32_t source[] = {9, 8, 2};
    MegaInput inputs[] = {{.kind = MEGA_INPUT_TOKENS, .tokens = source, .length = 3},
                          {.kind = MEGA_INPUT_TOKENS, .tokens = source, .length = 3}};
    MegaTranslation results[2];
    MegaError err = {0};
    MegaSearchOptions options = mega_search_defaults();
    (void)state;
    options.min_len = 6;
    options.max_len_b = 5;
    assert_int_equal(mega_session_translate(session, inputs, 2, &options, results, &err),
                     MEGA_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "at least 6 tokens, but at most 5"));
    options.max_len_b = 6; /* just enough: six tokens and </s> */
    assert_int_equal(mega_session_translate(session, inputs, 2, &options, results, &err), 0);
    for (int i = 0; i < 2; i++) {
        assert_true(results[i].count > 0);
        for (int n = 0; n < results[i].count; n++)
            assert_int_equal(results[i].hypotheses[n].length, 7);
        mega_translation_free(&results[i]);
    }
    options = mega_search_defaults();
    options.no_repeat_ngram = 1; /* excludes </s>, which begins every history */
    assert_int_equal(mega_session_translate(session, inputs, 2, &options, results, &err),
                     MEGA_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "expected 0, or 2 or more"));
    assert_null(results[0].hypotheses);
    options = mega_search_defaults();
    options.beam = 1024;
    int count = INT_MAX / 1024 + 1;
    MegaTranslation *many = malloc((size_t)count * sizeof *many);
    assert_non_null(many);
    assert_int_equal(mega_session_translate(session, inputs, count, &options, many, &err),
                     MEGA_ERR_LIMIT);
    free(many);
    mega_session_free(session);
    mega_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(searches_do_not_need_all_tails),
        cmocka_unit_test(batches_equal_single_sources),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(prefixes_are_kept),
        cmocka_unit_test(impossible_searches_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
