/*
 * test_places.c - what a pipeline tells about tokens: ids, types and places of a text or a pair,
 * and which rate of samples and which truncation a model has.
 */
#include "tests/unit/raw_models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/model/model.h"
#include "tests/unit/golden.h"

#define SPEECH "models/speech-commands/speech-commands.mega"
#define TRANSLATOR "models/everyday-en-de/everyday-en-de.mega"
#define LANGUAGE_MODEL "models/shakespeare-lm/shakespeare-lm.mega"

static MegaRaw text_of(const char *text)
{
    return (MegaRaw){.kind = MEGA_RAW_TEXT, .data = text, .size = strlen(text)};
}

static MegaPipeline *new_pipeline(const MegaModel *model)
{
    const MegaPipelineOptions options = {.session.threads = 1};
    MegaPipeline *pipeline = NULL;
    MegaError err = {0};
    if (mega_pipeline_new(&pipeline, model, &options, &err))
        fail_msg("%s", err.text);
    return pipeline;
}

static MegaModel *open_model(const char *path)
{
    MegaModel *model = NULL;
    MegaError err = {0};
    if (mega_model_open(&model, path, &err))
        fail_msg("%s", err.text);
    return model;
}

static MegaPlaces places_of(MegaPipeline *pipeline, const char *first, const char *second)
{
    const MegaRaw texts[] = {text_of(first), text_of(second ? second : "")};
    MegaPlaces places;
    MegaError err = {0};
    if (mega_pipeline_places(pipeline, MEGA_SIDE_INPUT, &texts[0], second ? &texts[1] : NULL,
                             &places, &err))
        fail_msg("%s", err.text);
    return places;
}

static void characters_stand_where_they_are(void **state)
{
    MegaModel *model = open_model(LANGUAGE_MODEL);
    MegaPipeline *pipeline = new_pipeline(model);
    MegaPlaces places = places_of(pipeline, "To be", NULL);
    (void)state;
    assert_int_equal(places.count, 5);
    assert_true(places.has_places);
    assert_false(places.has_types);
    for (size_t i = 0; i < places.count; i++) {
        assert_int_equal(places.items[i].start, i);
        assert_int_equal(places.items[i].end, i + 1);
        assert_int_equal(places.items[i].sequence, 0);
    }
    assert_string_equal(mega_pipeline_symbol(pipeline, MEGA_SIDE_INPUT, places.items[0].id), "T");
    mega_places_free(&places);
    mega_places_free(NULL);
    assert_int_equal(mega_pipeline_rate(pipeline), 0);
    assert_true(mega_model_truncates(model));
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

static void moses_has_no_places(void **state)
{
    MegaModel *model = open_model(TRANSLATOR);
    MegaPipeline *pipeline = new_pipeline(model);
    MegaPlaces places = places_of(pipeline, "A dog runs.", NULL);
    (void)state;
    assert_true(places.count >= 4);
    assert_false(places.has_places);
    mega_places_free(&places);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

static void models_without_tokenizer(void **state)
{
    MegaModel *models[] = {text_model(false), open_model(SPEECH)};
    const MegaRaw text = text_of("red");
    (void)state;
    for (int i = 0; i < 2; i++) {
        MegaPipeline *pipeline = new_pipeline(models[i]);
        MegaPlaces places;
        MegaError err = {0};
        assert_int_equal(
            mega_pipeline_places(pipeline, MEGA_SIDE_INPUT, &text, NULL, &places, &err),
            MEGA_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.text, "no tokenizer"));
        assert_null(places.items);
        assert_int_equal(mega_pipeline_rate(pipeline), i ? 16000 : 0);
        mega_pipeline_free(pipeline);
        mega_model_free(models[i]);
    }
}

/* Reads the text of the first input, or its second text; returns false if there is none. */
static bool read_text(const Golden *golden, const char *name, char *text, size_t size)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", golden->folder, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
    return true;
}

/* The ids and types are those of the library that the model comes from, the places lie within the
 * texts, and the ids lead back to the first text. */
static void check_hub(Golden *golden, MegaSession *session)
{
    char texts[2][1024];
    MegaNpy ids = {0}, types = {0};
    MegaPipeline *pipeline = new_pipeline(golden->model);
    (void)session;
    assert_true(read_text(golden, "in.0.txt", texts[0], sizeof texts[0]));
    const bool pair = read_text(golden, "in.0.pair.txt", texts[1], sizeof texts[1]);
    assert_true(golden_read(golden, "in.0.ids", &ids));
    const bool typed = golden_read(golden, "in.0.types", &types);
    MegaPlaces places = places_of(pipeline, texts[0], pair ? texts[1] : NULL);
    assert_int_equal(places.count, ids.elements);
    assert_true(places.has_places && places.has_types == typed);
    int32_t *both = calloc(places.count, sizeof *both);
    size_t found[3] = {0};
    for (size_t i = 0; i < places.count; i++) {
        const MegaPlace *place = &places.items[i];
        both[i] = place->id;
        assert_int_equal(place->id, ids.i32[i]);
        assert_true(!typed || place->type == types.i32[i]);
        assert_true(place->sequence <= pair && place->start <= place->end);
        assert_true(place->end <= strlen(texts[place->sequence == 1]));
        found[place->sequence + 1]++;
    }
    assert_true(found[0] && found[1] && !found[2] == !pair);
    if (!pair) { /* the ids alone are the same */
        const MegaRaw only = text_of(texts[0]);
        MegaIds alone;
        assert_int_equal(
            mega_pipeline_tokenize(pipeline, MEGA_SIDE_INPUT, &only, &alone, NULL), 0);
        assert_int_equal(alone.count, places.count);
        assert_memory_equal(alone.ids, both, places.count * sizeof *both);
        mega_ids_free(&alone);
    }
    MegaText text;
    assert_int_equal(
        mega_pipeline_detokenize(pipeline, MEGA_SIDE_INPUT, both, places.count, &text, NULL), 0);
    assert_non_null(strstr(text.data, texts[0]));
    mega_text_free(&text);
    free(both);
    mega_npy_free(&ids);
    mega_npy_free(&types);
    mega_places_free(&places);
    mega_pipeline_free(pipeline);
    golden->compared++;
}

static void check_language_model(Golden *golden, MegaSession *session)
{
    (void)session;
    assert_false(mega_model_truncates(golden->model));
    golden->compared++;
}

static void hub_models(void **state)
{
    (void)state;
    golden_committed((const char *const[]){"hf_mega/classify", "hf_mega/tag",
                                            "hf_mega/encode", NULL}, check_hub);
    golden_committed((const char *const[]){"hf_mega/lm", NULL}, check_language_model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_stand_where_they_are),
        cmocka_unit_test(moses_has_no_places),
        cmocka_unit_test(models_without_tokenizer),
        cmocka_unit_test(hub_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
