/*
 * test_arguments.c - what pipelines say of arguments that make no sense: inputs without data or
 * kind, options of another task, numbers out of range. Every one is refused with a sentence, and
 * what a function would have filled in holds nothing, so that it may be freed.
 */
#include "tests/unit/pipelines.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/golden.h"

static void assert_refused(int code, const MegaError *err, int expected, const char *part)
{
    assert_int_equal(code, expected);
    assert_int_equal(err->code, expected);
    if (!strstr(err->text, part))
        fail_msg("\"%s\" does not say \"%s\"", err->text, part);
}

/* Inputs without data, without a kind, or of another kind than text. */
static const struct {
    MegaRaw raw;
    int code;
    const char *part;
} no_text[] = {
    {{.kind = MEGA_RAW_PATH}, MEGA_ERR_ARGUMENT, "its path is NULL"},
    {{.kind = MEGA_RAW_TEXT, .size = 5}, MEGA_ERR_ARGUMENT, "expected 5 bytes"},
    {{.kind = (MegaRawKind)9, .data = "x", .size = 1}, MEGA_ERR_ARGUMENT, "9 is no MegaRawKind"},
    {{.kind = MEGA_RAW_PCM, .data = "abcd", .size = 4}, MEGA_ERR_INPUT, "text"},
};
#define NO_TEXTS (sizeof no_text / sizeof no_text[0])

/* Asks everything that a model of the hub can do with a text. */
static void check_hub(Golden *golden, MegaSession *session)
{
    MegaPipeline *pipeline = pipeline_of(golden->model, NULL);
    const MegaTask task = mega_model_task(golden->model);
    const MegaRaw good = raw_text("a");
    (void)session;
    for (size_t i = 0; i < NO_TEXTS; i++) {
        const MegaRaw *raw = &no_text[i].raw;
        MegaError err = {0};
        MegaIds ids;
        MegaEmbedding vector;
        MegaTags tags;
        MegaFillings fillings;
        MegaStates states;
        MegaAnswers answers;
        MegaClassification found;
        float score;
        assert_refused(mega_pipeline_tokenize(pipeline, MEGA_SIDE_INPUT, raw, &ids, &err), &err,
                       no_text[i].code, no_text[i].part);
        assert_null(ids.ids);
        assert_refused(mega_pipeline_embed(pipeline, raw, MEGA_VECTOR_OWN, &vector, &err), &err,
                       no_text[i].code, no_text[i].part);
        assert_null(vector.values);
        int code = 0;
        switch (task) {
        case MEGA_TASK_TAG: code = mega_pipeline_tag(pipeline, raw, NULL, &tags, &err); break;
        case MEGA_TASK_FILL:
            code = mega_pipeline_fill(pipeline, raw, NULL, &fillings, &err);
            break;
        case MEGA_TASK_EMBED: code = mega_pipeline_states(pipeline, raw, &states, &err); break;
        case MEGA_TASK_ANSWER:
            code = mega_pipeline_answer(pipeline, &good, raw, NULL, &answers, &err);
            break;
        case MEGA_TASK_CHOOSE:
            code = mega_pipeline_choose(pipeline, &good, raw, 1, &score, &err);
            break;
        default: code = mega_pipeline_classify(pipeline, raw, 1, &found, &err);
        }
        assert_refused(code, &err, no_text[i].code, no_text[i].part);
    }
    mega_pipeline_free(pipeline);
    golden->compared++;
}

static void inputs_of_hub_models(void **state)
{
    (void)state;
    golden_committed((const char *const[]){"hf_mega/classify", "hf_mega/tag", "hf_mega/fill_mask",
                                           "hf_mega/encode", "hf_mega/answer", "hf_mega/choice",
                                           NULL},
                     check_hub);
}

static void inputs_of_other_models(void **state)
{
    MegaModel *models[] = {text_model(false), text_model(true), model_of(LANGUAGE_MODEL),
                           model_of(TRANSLATOR)};
    const MegaRaw good = raw_text("red");
    (void)state;
    for (size_t m = 0; m < 4; m++) {
        MegaPipeline *pipeline = pipeline_of(models[m], NULL);
        for (size_t i = 0; i < NO_TEXTS; i++) {
            const MegaRaw pair[] = {good, no_text[i].raw};
            MegaError err = {0};
            MegaIds ids;
            MegaClassification found;
            MegaTranslation translation;
            assert_refused(
                mega_pipeline_tokenize(pipeline, MEGA_SIDE_INPUT, &no_text[i].raw, &ids, &err),
                &err, no_text[i].code, no_text[i].part);
            if (m == 3)
                assert_refused(mega_pipeline_translate(pipeline, &no_text[i].raw, 1, NULL,
                                                       &translation, &err),
                               &err, no_text[i].code, no_text[i].part);
            if (m >= 2) /* neither classifies */
                continue;
            assert_int_equal(mega_pipeline_classify(pipeline, pair, 2, &found, &err),
                             m ? no_text[i].code : MEGA_ERR_ARGUMENT);
            assert_null(found.probabilities);
        }
        mega_pipeline_free(pipeline);
        mega_model_free(models[m]);
    }
}

/* Models whose answers point into their text do not take token ids in its place. */
static void check_ids(Golden *golden, MegaSession *session)
{
    MegaPipeline *pipeline = NULL;
    MegaError err = {0};
    (void)session;
    assert_refused(mega_pipeline_new(&pipeline, golden->model,
                                     &(MegaPipelineOptions){.ids = true}, &err),
                   &err, MEGA_ERR_ARGUMENT, "needs the text itself");
    assert_null(pipeline);
    golden->compared++;
}

static void ids_are_for_some_models(void **state)
{
    (void)state;
    golden_committed((const char *const[]){"hf_mega/tag", "hf_mega/fill_mask", "hf_mega/encode",
                                           "hf_mega/answer", "hf_mega/choice", NULL},
                     check_ids);
}

/* A chunk is for decoders, and windows and formats of samples are for sound. */
static void options_of_other_tasks(void **state)
{
    const MegaPcm pcm = {MEGA_PCM_S16LE, 16000, 1}, strange = {(MegaPcmFormat)77, 16000, 1},
                  slow = {MEGA_PCM_S16LE, 7, 1};
    MegaModel *speech = model_of("models/speech-commands/speech-commands.mega");
    MegaModel *translator = model_of(TRANSLATOR), *language = model_of(LANGUAGE_MODEL);
    const struct {
        const MegaModel *model;
        MegaPipelineOptions options;
        const char *part;
    } wrong[] = {
        {speech, {.chunk = 5}, "another chunk is for decoders, but this model classifies"},
        {speech, {.chunk = -1}, "another chunk is for decoders"},
        {language, {.chunk = -2}, "a chunk of -2"},
        {language, {.window = 1}, "are for audio, but this model generates text"},
        {translator, {.hop = 1}, "are for audio, but this model translates"},
        {translator, {.raw = &pcm}, "are for audio, but this model translates"},
        {translator, {.stateful = true}, "windows of sound"},
        {speech, {.raw = &strange}, "unknown format, 77"},
        {speech, {.raw = &slow}, "sampling rate of 7 Hz"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        MegaPipeline *pipeline;
        MegaError err = {0};
        assert_refused(mega_pipeline_new(&pipeline, wrong[i].model, &wrong[i].options, &err), &err,
                       MEGA_ERR_ARGUMENT, wrong[i].part);
        assert_null(pipeline);
    }
    mega_model_free(speech);
    mega_model_free(translator);
    mega_model_free(language);
}

static void pointers_that_are_missing(void **state)
{
    MegaModel *model;
    MegaError err = {0};
    (void)state;
    assert_refused(mega_model_open(&model, NULL, &err), &err, MEGA_ERR_ARGUMENT, "path");
    assert_null(model);
    assert_refused(mega_model_from_memory(&model, NULL, 10, &err), &err, MEGA_ERR_ARGUMENT,
                   "10 bytes");
    assert_null(model);
    assert_int_equal(mega_model_from_memory(&model, NULL, 0, &err), MEGA_ERR_FORMAT);
}

/* After an error, a result holds nothing, whatever it held before. */
static void generations_after_an_error(void **state)
{
    MegaModel *model = model_of(LANGUAGE_MODEL);
    MegaPipeline *pipeline = pipeline_of(model, NULL);
    const char *const empty[] = {""}, *const none[] = {NULL};
    const MegaGenerateOptions fine = mega_generate_defaults();
    MegaGenerateOptions wrong[6];
    const char *const parts[] = {"0 samples",      "most -1 tokens",   "-1 stops",
                                 "stop is empty", "stop is empty", "2 stops, but the pointer"};
    (void)state;
    for (size_t i = 0; i < 6; i++)
        wrong[i] = fine;
    wrong[0] = (MegaGenerateOptions){0};
    wrong[1].max_tokens = -1;
    wrong[2].stop_count = -1;
    wrong[3].stops = empty;
    wrong[4].stops = none;
    wrong[3].stop_count = wrong[4].stop_count = 1;
    wrong[5].stop_count = 2;
    for (size_t i = 0; i < 6; i++) {
        MegaGeneration made = {.count = 77, .tokens = (int32_t *)8};
        MegaError err = {0};
        assert_refused(mega_pipeline_generate(pipeline, NULL, &wrong[i], &made, &err), &err,
                       MEGA_ERR_ARGUMENT, parts[i]);
        if (i > 0) /* there is room for no sample otherwise */
            mega_generation_free(&made);
    }
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

static void numbers_out_of_range(void **state)
{
    MegaModel *model = model_of(TRANSLATOR);
    MegaPipeline *pipeline = pipeline_of(model, NULL);
    const MegaRaw text = raw_text("red");
    MegaEmbedding vector;
    MegaTranslation translation;
    MegaError err = {0};
    (void)state;
    assert_int_equal(mega_pipeline_translate(pipeline, NULL, -1, NULL, &translation, &err),
                     MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_pipeline_translate(pipeline, NULL, 0, NULL, &translation, &err), 0);
    assert_refused(mega_pipeline_embed(pipeline, &text, (MegaVectorKind)7, &vector, &err), &err,
                   MEGA_ERR_ARGUMENT, "7 is no MegaVectorKind");
    assert_null(vector.values);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

static void check_options(Golden *golden, MegaSession *session)
{
    MegaPipeline *pipeline = pipeline_of(golden->model, NULL);
    const MegaRaw text = raw_text("a <mask>");
    const char *const targets[] = {"a", NULL};
    const MegaFillOptions fill[] = {{.top = -1}, {.target_count = -1}, {.target_count = 1},
                                    {.targets = targets, .target_count = 2}};
    const char *const parts[] = {"best -1 tokens", "-1 targets", "1 targets, but the pointer",
                                 "target 1 is NULL"};
    MegaTagOptions tag = {.grouping = (MegaGrouping)99};
    MegaError err = {0};
    MegaFillings fillings;
    MegaTags tags;
    (void)session;
    if (mega_model_task(golden->model) == MEGA_TASK_TAG)
        assert_refused(mega_pipeline_tag(pipeline, &text, &tag, &tags, &err), &err,
                       MEGA_ERR_ARGUMENT, "99 is no MegaGrouping");
    else
        for (size_t i = 0; i < 4; i++)
            assert_refused(mega_pipeline_fill(pipeline, &text, &fill[i], &fillings, &err), &err,
                           MEGA_ERR_ARGUMENT, parts[i]);
    mega_pipeline_free(pipeline);
    golden->compared++;
}

static void options_of_hub_models(void **state)
{
    (void)state;
    golden_committed((const char *const[]){"hf_mega/tag", "hf_mega/fill_mask", NULL},
                     check_options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_of_hub_models),
        cmocka_unit_test(inputs_of_other_models),
        cmocka_unit_test(ids_are_for_some_models),
        cmocka_unit_test(options_of_other_tasks),
        cmocka_unit_test(pointers_that_are_missing),
        cmocka_unit_test(generations_after_an_error),
        cmocka_unit_test(numbers_out_of_range),
        cmocka_unit_test(options_of_hub_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
