/*
 * test_sample.c - samplers draw from the distribution that the logits and the options give, need no
 * more logits than they ask for, and skip logits that are not finite.
 */
#include "tests/unit/decoding_models.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void samplers_follow_the_distribution(void **state)
{
    Random random = {4};
    MegaConfig config = language_model(&random);
    MegaModel *model = random_model(&config, &random);
    MegaSamplingOptions options = mega_sampling_defaults();
    MegaSampler *sampler, *same;
    float logits[40];
    int seen[40] = {0};
    (void)state;
    for (int i = 0; i < 40; i++)
        logits[i] = -20;
    logits[1] = 50; /* <pad>, which is never drawn */
    logits[5] = logf(0.5f);
    logits[6] = logf(0.3f);
    logits[7] = logf(0.2f);
    options.seed = 12;
    assert_int_equal(mega_sampler_new(&sampler, model, &options, NULL), 0);
    assert_int_equal(mega_sampler_new(&same, model, &options, NULL), 0);
    for (int i = 0; i < 20000; i++) {
        int32_t token = mega_sampler_next(sampler, logits);
        assert_int_equal(token, mega_sampler_next(same, logits));
        seen[token]++;
    }
    assert_true(abs(seen[5] - 10000) < 300 && abs(seen[6] - 6000) < 300 && seen[1] == 0);
    mega_sampler_free(sampler);
    mega_sampler_free(same);
    options.top_p = 0.7; /* leaves 5 and 6 */
    assert_int_equal(mega_sampler_new(&sampler, model, &options, NULL), 0);
    for (int i = 0; i < 1000; i++)
        assert_in_range(mega_sampler_next(sampler, logits), 5, 6);
    mega_sampler_free(sampler);
    options.top_k = 1;
    assert_int_equal(mega_sampler_new(&sampler, model, &options, NULL), 0);
    assert_int_equal(mega_sampler_next(sampler, logits), 5);
    mega_sampler_free(sampler);
    options = mega_sampling_defaults();
    options.greedy = true;
    options.repetition_penalty = 3;
    assert_int_equal(mega_sampler_new(&sampler, model, &options, NULL), 0);
    assert_int_equal(mega_sampler_next(sampler, logits), 5);
    assert_int_equal(mega_sampler_next(sampler, logits), 6); /* 5 occurred before */
    mega_sampler_free(sampler);
    mega_model_free(model);
}

/* Draws greedily from logits 3, 2.5 and 2 of the tokens 5, 6 and 7. */
static void check_penalties(const MegaModel *model, double presence, double frequency,
                            const int32_t *expected, int count)
{
    MegaSamplingOptions options = mega_sampling_defaults();
    MegaSampler *sampler;
    float logits[40];
    for (int i = 0; i < 40; i++)
        logits[i] = i >= 5 && i <= 7 ? 5.5f - 0.5f * (float)i : -20;
    options.greedy = true;
    options.presence_penalty = presence;
    options.frequency_penalty = frequency;
    assert_int_equal(mega_sampling_exact_top(&options), presence != 0 || frequency != 0 ? 0 : 2);
    assert_int_equal(mega_sampler_new(&sampler, model, &options, NULL), 0);
    mega_sampler_note(sampler, 5); /* one that was read, which does not count */
    for (int i = 0; i < count; i++)
        assert_int_equal(mega_sampler_next(sampler, logits), expected[i]);
    mega_sampler_free(sampler);
}

static void penalties_count_what_was_drawn(void **state)
{
    static const int32_t same[] = {5, 5, 5}, once[] = {5, 6, 5, 5}, often[] = {5, 5, 6, 5};
    Random random = {4};
    MegaConfig config = language_model(&random);
    MegaModel *model = random_model(&config, &random);
    MegaSamplingOptions options = mega_sampling_defaults();
    MegaSampler *sampler;
    (void)state;
    check_penalties(model, 0, 0, same, 3);
    check_penalties(model, 0.75, 0, once, 4);
    check_penalties(model, 0, 0.375, often, 4);
    check_penalties(model, -2, 0, same, 3);
    options.presence_penalty = (double)INFINITY;
    assert_int_equal(mega_sampler_new(&sampler, model, &options, NULL), MEGA_ERR_ARGUMENT);
    options.presence_penalty = 0;
    options.frequency_penalty = (double)NAN;
    assert_int_equal(mega_sampler_new(&sampler, model, &options, NULL), MEGA_ERR_ARGUMENT);
    mega_model_free(model);
}

/* The message says which option is out of range, and what it was. */
static void options_are_checked(void **state)
{
    Random random = {4};
    MegaConfig config = language_model(&random);
    MegaModel *model = random_model(&config, &random);
    const double nan = (double)NAN;
    const struct {
        MegaSamplingOptions options;
        const char *part;
    } wrong[] = {
        {{0}, "a temperature of 0"},
        {{.temperature = nan, .top_p = 1, .repetition_penalty = 1}, "a temperature of nan"},
        {{.temperature = 1, .top_p = nan, .repetition_penalty = 1}, "top_p is nan"},
        {{.temperature = 1, .top_p = 2, .repetition_penalty = 1}, "top_p is 2"},
        {{.temperature = 1, .top_p = 1, .top_k = -1, .repetition_penalty = 1}, "top_k is -1"},
        {{.temperature = 1, .top_p = 1}, "a repetition penalty of 0"},
        {{.temperature = 1, .top_p = 1, .repetition_penalty = 1, .frequency_penalty = nan},
         "a frequency penalty of nan"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        MegaSampler *sampler;
        MegaError err = {0};
        assert_int_equal(mega_sampler_new(&sampler, model, &wrong[i].options, &err),
                         MEGA_ERR_ARGUMENT);
        assert_null(sampler);
        if (!strstr(err.text, wrong[i].part))
            fail_msg("\"%s\" does not say \"%s\"", err.text, wrong[i].part);
    }
    mega_model_free(model);
}

/* The logits that mega_sampling_exact_top asks for give the same draw as all logits. */
static void samplers_know_what_they_need(void **state)
{
    Random random = {6};
    MegaConfig config = language_model(&random);
    MegaModel *model = random_model(&config, &random);
    MegaSamplingOptions options = mega_sampling_defaults();
    (void)state;
    assert_int_equal(mega_sampling_exact_top(&options), 0);
    options.top_p = 0.9;
    assert_int_equal(mega_sampling_exact_top(&options), 0);
    for (int top = 0; top < 6; top++) {
        MegaSampler *all, *some;
        options.greedy = top == 0;
        options.top_k = top;
        options.temperature = 1.3;
        size_t top_needed = (size_t)mega_sampling_exact_top(&options);
        assert_in_range(top_needed, 2, 7);
        assert_int_equal(mega_sampler_new(&all, model, &options, NULL), 0);
        assert_int_equal(mega_sampler_new(&some, model, &options, NULL), 0);
        for (int draw = 0; draw < 200; draw++) {
            float logits[40], sorted[40];
            for (int i = 0; i < 40; i++)
                logits[i] = sorted[i] = -0.1f * (float)random_int(&random, 1, 90);
            int32_t token = mega_sampler_next(all, logits);
            qsort(sorted, 40, sizeof *sorted, larger_first);
            for (int i = 0; i < 40; i++)
                logits[i] = logits[i] < sorted[top_needed - 1] ? -INFINITY : logits[i];
            assert_int_equal(mega_sampler_next(some, logits), token);
        }
        mega_sampler_free(all);
        mega_sampler_free(some);
    }
    options.repetition_penalty = 1.1;
    assert_int_equal(mega_sampling_exact_top(&options), 0);
    mega_model_free(model);
}

static void samplers_pass_over_what_is_no_number(void **state)
{
    Random random = {5};
    MegaConfig config = language_model(&random);
    MegaModel *model = random_model(&config, &random);
    MegaSamplingOptions options[3];
    float logits[40];
    (void)state;
    for (int i = 0; i < 3; i++)
        options[i] = mega_sampling_defaults();
    options[1].greedy = true;
    options[2].top_p = 0.5;
    for (int i = 0; i < 3; i++) {
        MegaSampler *sampler;
        assert_int_equal(mega_sampler_new(&sampler, model, &options[i], NULL), 0);
        for (int k = 0; k < 40; k++)
            logits[k] = NAN;
        assert_int_equal(mega_sampler_next(sampler, logits), -1);
        logits[9] = -3;
        assert_int_equal(mega_sampler_next(sampler, logits), 9);
        logits[10] = -INFINITY;
        assert_int_equal(mega_sampler_next(sampler, logits), 9);
        logits[11] = INFINITY;
        assert_int_equal(mega_sampler_next(sampler, logits), -1);
        mega_sampler_free(sampler);
    }
    mega_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samplers_follow_the_distribution),
        cmocka_unit_test(penalties_count_what_was_drawn),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(samplers_know_what_they_need),
        cmocka_unit_test(samplers_pass_over_what_is_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
