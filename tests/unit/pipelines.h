/*
 * pipelines.h - helpers of the tests of pipelines: they make models and inputs and compare results.
 */
#ifndef MEGA_PIPELINES_H
#define MEGA_PIPELINES_H

#include "tests/unit/raw_models.h"

#define TRANSLATOR "models/everyday-en-de/everyday-en-de.mega"
#define LANGUAGE_MODEL "models/shakespeare-lm/shakespeare-lm.mega"

MegaModel *model_of(const char *path);
/* Makes a pipeline with one thread. With options NULL it opens files of sound and pictures. */
MegaPipeline *pipeline_of(const MegaModel *model, const MegaPipelineOptions *options);

MegaRaw raw_text(const char *text);
MegaRaw raw_path(const char *path);

MegaClassification classified(MegaPipeline *pipeline, const MegaRaw *inputs, int count);
/* Expects two inputs to be classified with the same probabilities. */
void assert_same_classes(MegaPipeline *pipeline, const MegaRaw *a, const MegaRaw *b);
/* Expects that an input is refused with a sentence containing text, and `good` accepted after
 * it. */
void assert_goes_on(MegaPipeline *pipeline, const MegaRaw *bad, int code, const char *text,
                    const MegaRaw *good);

#endif
