/*
 * test_pipeline_texts.c - texts to answers (mega.h, "Texts", "Scores and embeddings"): labels,
 * translations, generated text, scores and vectors, and what a pipeline says of a task that the
 * model does not have.
 */
#include "tests/unit/pipelines.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void warn(void *context, const char *sentence)
{
    snprintf(context, 200, "%.199s", sentence);
}

static void texts_are_classified(void **state)
{
    char warning[200] = "";
    MegaModel *single = text_model(false), *two = text_model(true);
    MegaPipeline *pipeline =
        pipeline_of(single, &(MegaPipelineOptions){.warn = warn, .warn_context = warning});
    MegaPipeline *pair = pipeline_of(two, NULL);
    const MegaRaw text = raw_text("red green"), nothing = raw_text(""),
                  strange = raw_text("blue pink grey");
    MegaIds tokens;
    (void)state;
    assert_int_equal(mega_pipeline_tokenize(pipeline, MEGA_SIDE_INPUT, &text, &tokens, NULL), 0);
    assert_int_equal(tokens.count, 3);
    assert_memory_equal(tokens.ids, ((int32_t[]){4, 5, MEGA_ID_EOS}), 3 * sizeof *tokens.ids);
    assert_string_equal(mega_pipeline_symbol(pipeline, MEGA_SIDE_INPUT, 5), "green");
    assert_null(mega_pipeline_symbol(pipeline, MEGA_SIDE_INPUT, 6));
    mega_ids_free(&tokens);
    assert_goes_on(pipeline, &nothing, MEGA_ERR_INPUT, "the text", &text);
    assert_string_equal(warning, "");
    MegaClassification found = classified(pipeline, &strange, 1);
    assert_non_null(strstr(warning, "the text: the model does not know"));
    mega_classification_free(&found);
    /* The texts of a pair, separate and joined by a TAB. */
    const MegaRaw apart[] = {raw_text("red green"), raw_text("green")};
    const MegaRaw joined = raw_text("red green\tgreen");
    MegaClassification a = classified(pair, apart, 2), b = classified(pair, &joined, 1);
    assert_memory_equal(a.probabilities, b.probabilities, (size_t)a.count * sizeof(float));
    mega_classification_free(&a);
    mega_classification_free(&b);
    assert_goes_on(pair, &text, MEGA_ERR_INPUT, "one text, but this model compares two", &joined);
    mega_pipeline_free(pipeline);
    mega_pipeline_free(pair);
    mega_model_free(single);
    mega_model_free(two);
}

/* Lines that are translated together get the results that they get alone. An empty line has no
 * translation, and one that is too long does not stop the others. */
static void texts_are_translated(void **state)
{
    enum { COUNT = 4, LONG = 200000 };
    MegaModel *model = model_of(TRANSLATOR);
    MegaPipeline *pipeline = pipeline_of(model, NULL);
    char *words = malloc(LONG);
    for (size_t i = 0; i < LONG; i++)
        words[i] = i % 2 ? ' ' : 'a';
    const MegaRaw texts[COUNT] = {raw_text("Two dogs are playing in the snow."),
                                  raw_text(""),
                                  {.kind = MEGA_RAW_TEXT, .data = words, .size = LONG},
                                  raw_text("A man sleeps.")};
    MegaTranslation together[COUNT], alone;
    MegaError errors[COUNT], err;
    (void)state;
    assert_int_equal(mega_pipeline_translate(pipeline, texts, COUNT, NULL, together, errors),
                     MEGA_ERR_INPUT);
    assert_int_equal(errors[2].code, MEGA_ERR_INPUT);
    assert_int_equal(together[1].count, 0);
    assert_int_equal(together[2].count, 0);
    for (int i = 0; i < COUNT; i += 3) {
        assert_int_equal(errors[i].code, 0);
        assert_int_equal(mega_pipeline_translate(pipeline, &texts[i], 1, NULL, &alone, &err), 0);
        assert_string_equal(alone.hypotheses[0].text, together[i].hypotheses[0].text);
        assert_int_equal(alone.hypotheses[0].text_size, strlen(alone.hypotheses[0].text));
        assert_int_equal(alone.source[alone.source_length - 1], MEGA_ID_EOS);
        mega_translation_free(&alone);
    }
    assert_string_equal(together[0].hypotheses[0].text, "Zwei Hunde spielen im Schnee.");
    for (int i = 0; i < COUNT; i++)
        mega_translation_free(&together[i]);
    free(words);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

/* The pieces that a sink receives, one after the other. */
typedef struct Seen {
    char text[4096];
    size_t size;
    int tokens, begun, most;
} Seen;

static bool see(void *context, int sample, int32_t token, const char *bytes, size_t size)
{
    Seen *seen = context;
    if (sample != 0)
        return true;
    if (token < 0)
        return ++seen->begun == 1;
    memcpy(seen->text + seen->size, bytes, size);
    seen->size += size;
    return ++seen->tokens != seen->most;
}

static void texts_go_on(void **state)
{
    static const char *const stops[] = {"\n\n"};
    MegaModel *model = model_of(LANGUAGE_MODEL);
    MegaPipeline *pipeline = pipeline_of(model, NULL);
    const MegaRaw prompt = raw_text("ROMEO:");
    Seen seen = {0};
    MegaGenerateOptions options = mega_generate_defaults();
    MegaGeneration out[2] = {0}, again = {0};
    (void)state;
    options.sampling.seed = 3;
    options.max_tokens = 60;
    options.samples = 2;
    options.sink = see;
    options.context = &seen;
    assert_int_equal(mega_pipeline_generate(pipeline, &prompt, &options, out, NULL), 0);
    assert_int_equal(seen.begun, 1);
    assert_int_equal(seen.tokens, out[0].count);
    assert_int_equal(seen.size, out[0].text.size);
    assert_memory_equal(seen.text, out[0].text.data, seen.size);
    assert_int_equal(out[0].finish, MEGA_FINISH_LENGTH);
    assert_int_equal(out[0].count, 60);
    assert_true(strcmp(out[0].text.data, out[1].text.data) != 0);
    /* The second sample is the first one of the next seed. */
    options.sampling.seed = 4;
    options.samples = 1;
    options.sink = NULL;
    assert_int_equal(mega_pipeline_generate(pipeline, &prompt, &options, &again, NULL), 0);
    assert_string_equal(again.text.data, out[1].text.data);
    mega_generation_free(&again);
    /* The sink refuses more, whether the text is kept or not. */
    options.sampling.seed = 3;
    options.sink = see;
    seen = (Seen){.most = 7};
    assert_int_equal(mega_pipeline_generate(pipeline, &prompt, &options, &again, NULL), 0);
    assert_int_equal(again.finish, MEGA_FINISH_REFUSED);
    assert_int_equal(again.count, 7);
    mega_generation_free(&again);
    seen = (Seen){.most = 7};
    assert_int_equal(mega_pipeline_generate(pipeline, &prompt, &options, NULL, NULL), 0);
    assert_int_equal(seen.tokens, 7);
    assert_memory_equal(seen.text, out[0].text.data, seen.size);
    /* A stop is not part of the text. */
    options.sink = NULL;
    options.stops = stops;
    options.stop_count = 1;
    options.max_tokens = 4000;
    assert_int_equal(mega_pipeline_generate(pipeline, &prompt, &options, &again, NULL), 0);
    assert_int_equal(again.finish, MEGA_FINISH_STOP);
    assert_null(strstr(again.text.data, "\n\n"));
    mega_generation_free(&again);
    options.max_tokens = 0;
    assert_int_equal(mega_pipeline_generate(pipeline, &prompt, &options, &again, NULL),
                     MEGA_ERR_ARGUMENT);
    mega_generation_free(&out[0]);
    mega_generation_free(&out[1]);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

/* Of two stops that the same token completes, the text ends before the one that begins first, in
 * whatever order they are given. The sink receives nothing of the longer one: it spans tokens. */
static void stops_have_no_order(void **state)
{
    MegaModel *model = model_of(LANGUAGE_MODEL);
    MegaPipeline *pipeline = pipeline_of(model, NULL);
    const MegaRaw prompt = raw_text("ROMEO:");
    char shorter[] = "12345", longer[] = "12345678";
    const char *const orders[2][2] = {{shorter, longer}, {longer, shorter}};
    MegaGenerateOptions options = mega_generate_defaults();
    MegaGeneration uncut = {0}, out = {0};
    (void)state;
    options.sampling.greedy = true;
    options.max_tokens = 40;
    assert_int_equal(mega_pipeline_generate(pipeline, &prompt, &options, &uncut, NULL), 0);
    assert_true(uncut.text.size > 20);
    const char *begin = uncut.text.data + 6;
    memcpy(longer, begin, strlen(longer));
    memcpy(shorter, begin + 3, strlen(shorter));
    assert_ptr_equal(strstr(uncut.text.data, longer), begin);
    assert_ptr_equal(strstr(uncut.text.data, shorter), begin + 3);
    for (int i = 0; i < 2; i++) {
        Seen seen = {0};
        options.stops = orders[i];
        options.stop_count = 2;
        options.sink = see;
        options.context = &seen;
        assert_int_equal(mega_pipeline_generate(pipeline, &prompt, &options, &out, NULL), 0);
        assert_int_equal(out.finish, MEGA_FINISH_STOP);
        assert_int_equal(out.text.size, 6);
        assert_memory_equal(out.text.data, uncut.text.data, 6);
        assert_int_equal(seen.size, 6);
        assert_memory_equal(seen.text, uncut.text.data, 6);
        assert_true(out.count < uncut.count);
        mega_generation_free(&out);
    }
    mega_generation_free(&uncut);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

/* A sink that takes nothing of sample 1. */
static bool refuse_second(void *context, int sample, int32_t token, const char *bytes, size_t size)
{
    (void)token, (void)bytes, (void)size;
    ++*(int *)context;
    return sample != 1;
}

/* A sample that the sink refuses before its first token ends there; the others do not change. */
static void refused_at_once(void **state)
{
    enum { SAMPLES = 3 };
    MegaModel *model = model_of(LANGUAGE_MODEL);
    MegaPipeline *pipeline = pipeline_of(model, NULL);
    const MegaRaw prompt = raw_text("ROMEO:");
    MegaGenerateOptions options = mega_generate_defaults();
    MegaGeneration all[SAMPLES] = {0}, out[SAMPLES] = {0};
    int calls = 0;
    (void)state;
    options.sampling.seed = 3;
    options.max_tokens = 20;
    options.samples = SAMPLES;
    assert_int_equal(mega_pipeline_generate(pipeline, &prompt, &options, all, NULL), 0);
    options.sink = refuse_second;
    options.context = &calls;
    assert_int_equal(mega_pipeline_generate(pipeline, &prompt, &options, out, NULL), 0);
    assert_int_equal(out[1].finish, MEGA_FINISH_REFUSED);
    assert_int_equal(out[1].count, 0);
    assert_string_equal(out[1].text.data, "");
    for (int i = 0; i < SAMPLES; i += 2) {
        assert_int_equal(out[i].finish, all[i].finish);
        assert_string_equal(out[i].text.data, all[i].text.data);
    }
    assert_int_equal(calls, SAMPLES + out[0].count + out[2].count);
    for (int i = 0; i < SAMPLES; i++) {
        mega_generation_free(&all[i]);
        mega_generation_free(&out[i]);
    }
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

/* mega.h promises that every *_free accepts NULL, as does every parameter for an error. */
static void nothing_is_freed(void **state)
{
    MegaModel *model = model_of(TRANSLATOR);
    MegaPipeline *pipeline = pipeline_of(model, NULL);
    const MegaRaw texts[] = {raw_text("A man sleeps."), {.kind = MEGA_RAW_PIXELS}};
    MegaTranslation found[2];
    (void)state;
    assert_int_equal(mega_pipeline_translate(pipeline, texts, 2, NULL, found, NULL),
                     MEGA_ERR_INPUT);
    assert_int_equal(found[1].count, 0);
    assert_true(found[0].count > 0);
    mega_translation_free(&found[0]);
    mega_translation_free(&found[1]);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
    mega_pipeline_free(NULL);
    mega_classification_free(NULL);
    mega_translation_free(NULL);
    mega_generation_free(NULL);
    mega_score_free(NULL);
    mega_embedding_free(NULL);
    mega_text_free(NULL);
    mega_ids_free(NULL);
}

static void texts_are_scored(void **state)
{
    MegaModel *model = model_of(LANGUAGE_MODEL), *translator = model_of(TRANSLATOR);
    MegaPipeline *pipeline = pipeline_of(model, NULL), *other = pipeline_of(translator, NULL);
    const MegaRaw text = raw_text("To be"), nothing = raw_text("");
    const MegaRaw right = raw_text("A man sleeps.\tEin Mann schl\xc3\xa4"
                                   "ft."),
                  wrong = raw_text("A man sleeps.\tEin Hund bellt."), lone = raw_text("A man.");
    MegaScore score = {0}, worse = {0};
    MegaError err = {0};
    (void)state;
    assert_int_equal(mega_pipeline_score(pipeline, &text, NULL, &score, NULL), 0);
    assert_int_equal(score.count, 5);
    assert_int_equal(score.characters, 5);
    double sum = 0;
    for (size_t i = 0; i < score.count; i++)
        sum += (double)score.logprobs[i];
    assert_true(score.logprob == sum && sum < 0 && sum > -30);
    mega_score_free(&score);
    assert_int_equal(mega_pipeline_score(pipeline, &nothing, NULL, &score, NULL), 0);
    assert_int_equal(score.count, 0);
    mega_score_free(&score);
    assert_int_equal(mega_pipeline_score(other, &lone, NULL, &score, &err), MEGA_ERR_INPUT);
    assert_non_null(strstr(err.text, "TAB"));
    assert_int_equal(mega_pipeline_score(other, &right, NULL, &score, NULL), 0);
    assert_int_equal(mega_pipeline_score(other, &wrong, NULL, &worse, NULL), 0);
    assert_true(score.logprob > worse.logprob);
    assert_int_equal(score.bytes, 18);
    assert_int_equal(score.characters, 17);
    mega_score_free(&score);
    mega_score_free(&worse);
    mega_pipeline_free(pipeline);
    mega_pipeline_free(other);
    mega_model_free(model);
    mega_model_free(translator);
}

/* A model that is asked for another task says what its own is. */
static void tasks_that_do_not_fit(void **state)
{
    MegaModel *models[] = {text_model(false), model_of(TRANSLATOR), model_of(LANGUAGE_MODEL)};
    const MegaRaw text = raw_text("red");
    (void)state;
    for (int i = 0; i < 3; i++) {
        MegaPipeline *pipeline = pipeline_of(models[i], NULL);
        MegaClassification found = {0};
        MegaTranslation translation = {0};
        MegaGeneration generation = {0};
        MegaScore score = {0};
        MegaError err = {0};
        assert_int_equal(mega_pipeline_classify(pipeline, &text, 1, &found, &err),
                         i == 0 ? 0 : MEGA_ERR_ARGUMENT);
        assert_int_equal(mega_pipeline_translate(pipeline, &text, 1, NULL, &translation, &err),
                         i == 1 ? 0 : MEGA_ERR_ARGUMENT);
        assert_int_equal(mega_pipeline_generate(pipeline, &text, NULL, &generation, &err),
                         i == 2 ? 0 : MEGA_ERR_ARGUMENT);
        assert_int_equal(mega_pipeline_score(pipeline, &text, NULL, &score, &err),
                         i == 0   ? MEGA_ERR_ARGUMENT
                         : i == 1 ? MEGA_ERR_INPUT
                                  : 0);
        mega_classification_free(&found);
        mega_translation_free(&translation);
        mega_generation_free(&generation);
        mega_score_free(&score);
        mega_pipeline_free(pipeline);
        mega_model_free(models[i]);
    }
}

/* ---- Embeddings ----------------------------------------------------------------------------- */

/* The last layer's states and the pooled vector, as a tap receives them. */
typedef struct Watched {
    double sums[64];
    float pooled[64];
    size_t rows;
} Watched;

static void watch(void *context, const char *stage, int input, const float *data, size_t rows,
                  size_t columns)
{
    Watched *watched = context;
    (void)input;
    if (strcmp(stage, "pooled") == 0)
        memcpy(watched->pooled, data, columns * sizeof *data);
    if (strcmp(stage, "layer.1") != 0)
        return;
    watched->rows += rows;
    for (size_t i = 0; i < rows * columns; i++)
        watched->sums[i % columns] += (double)data[i];
}

static void vectors_are_those_of_the_taps(void **state)
{
    MegaModel *model = text_model(false);
    MegaPipeline *pipeline = pipeline_of(model, NULL);
    const MegaRaw text = raw_text("red green green red");
    MegaEmbedding own, mean;
    Watched watched = {0};
    (void)state;
    assert_int_equal(mega_model_config(model)->encoder.layers, 2);
    assert_false(mega_model_config(model)->encoder.final_norm);
    mega_session_set_tap(mega_pipeline_session(pipeline), watch, &watched);
    MegaClassification found = classified(pipeline, &text, 1);
    mega_classification_free(&found);
    const size_t rows = watched.rows;
    assert_int_equal(mega_pipeline_embed(pipeline, &text, MEGA_VECTOR_OWN, &own, NULL), 0);
    assert_int_equal(mega_pipeline_embed(pipeline, &text, MEGA_VECTOR_MEAN, &mean, NULL), 0);
    assert_int_equal(own.positions, rows);
    assert_int_equal(watched.rows, rows); /* embedding keeps the tap without calling it */
    for (int i = 0; i < own.width; i++) {
        assert_true(own.values[i] == watched.pooled[i]);
        assert_true(mean.values[i] == (float)(watched.sums[i] / (double)rows));
    }
    mega_embedding_free(&own);
    mega_embedding_free(&mean);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

/* The vector of translators and language models is the mean of their states. */
static void texts_have_vectors(void **state)
{
    static const char *const paths[] = {TRANSLATOR, LANGUAGE_MODEL};
    const MegaRaw texts[] = {raw_text("A man sleeps."), raw_text("A dog sleeps.")};
    (void)state;
    for (int i = 0; i < 2; i++) {
        MegaModel *model = model_of(paths[i]);
        MegaPipeline *pipeline = pipeline_of(model, NULL);
        MegaEmbedding vectors[3];
        for (int k = 0; k < 3; k++)
            assert_int_equal(
                mega_pipeline_embed(pipeline, &texts[k % 2], MEGA_VECTOR_OWN, &vectors[k], NULL),
                0);
        const size_t size = (size_t)vectors[0].width * sizeof(float);
        assert_memory_equal(vectors[0].values, vectors[2].values, size);
        assert_memory_not_equal(vectors[0].values, vectors[1].values, size);
        for (int k = 0; k < 3; k++)
            mega_embedding_free(&vectors[k]);
        mega_pipeline_free(pipeline);
        mega_model_free(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_classified),
        cmocka_unit_test(texts_are_translated),
        cmocka_unit_test(nothing_is_freed),
        cmocka_unit_test(texts_go_on),
        cmocka_unit_test(stops_have_no_order),
        cmocka_unit_test(refused_at_once),
        cmocka_unit_test(texts_are_scored),
        cmocka_unit_test(tasks_that_do_not_fit),
        cmocka_unit_test(vectors_are_those_of_the_taps),
        cmocka_unit_test(texts_have_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
