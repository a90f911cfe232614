/*
 * pipelines.c - see pipelines.h.
 */
#include "tests/unit/pipelines.h"

#include <string.h>

MegaModel *model_of(const char *path)
{
    MegaModel *model = NULL;
    MegaError err = {0};
    if (mega_model_open(&model, path, &err))
        fail_msg("%s", err.text);
    return model;
}

MegaPipeline *pipeline_of(const MegaModel *model, const MegaPipelineOptions *options)
{
    MegaPipelineOptions one = options ? *options : (MegaPipelineOptions){.media = mega_media()};
    MegaPipeline *pipeline = NULL;
    MegaError err = {0};
    one.session.threads = 1;
    if (mega_pipeline_new(&pipeline, model, &one, &err))
        fail_msg("%s", err.text);
    return pipeline;
}

MegaRaw raw_text(const char *text)
{
    return (MegaRaw){.kind = MEGA_RAW_TEXT, .data = text, .size = strlen(text)};
}

MegaRaw raw_path(const char *path)
{
    return (MegaRaw){.kind = MEGA_RAW_PATH, .data = path};
}

MegaClassification classified(MegaPipeline *pipeline, const MegaRaw *inputs, int count)
{
    MegaClassification found;
    MegaError err = {0};
    if (mega_pipeline_classify(pipeline, inputs, count, &found, &err))
        fail_msg("%s", err.text);
    for (int i = 1; i < found.count; i++)
        assert_true(found.probabilities[found.order[i]] <= found.probabilities[found.order[i - 1]]);
    return found;
}

void assert_same_classes(MegaPipeline *pipeline, const MegaRaw *a, const MegaRaw *b)
{
    MegaClassification left = classified(pipeline, a, 1), right = classified(pipeline, b, 1);
    assert_int_equal(left.count, right.count);
    assert_memory_equal(left.probabilities, right.probabilities,
                        (size_t)left.count * sizeof *left.probabilities);
    assert_memory_equal(left.order, right.order, (size_t)left.count * sizeof *left.order);
    assert_true(left.end == right.end);
    mega_classification_free(&left);
    mega_classification_free(&right);
}

void assert_goes_on(MegaPipeline *pipeline, const MegaRaw *bad, int code, const char *text,
                    const MegaRaw *good)
{
    MegaClassification found;
    MegaError err = {0};
    assert_int_equal(mega_pipeline_classify(pipeline, bad, 1, &found, &err), code);
    assert_null(found.probabilities);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" does not say \"%s\"", err.text, text);
    found = classified(pipeline, good, 1);
    mega_classification_free(&found);
}
