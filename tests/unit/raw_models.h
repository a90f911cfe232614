/*
 * raw_models.h - small models with the preprocessing that tests of raw inputs need.
 */
#ifndef MEGA_RAW_MODELS_H
#define MEGA_RAW_MODELS_H

#include "tests/unit/support.h"

#include "formats/text/vocab.h"
#include "src/pipeline/preprocess.h"

/* A loaded model's metadata is const for other code; the tests change its preprocessing there. */
MegaMeta *meta_of(MegaModel *model);
/* Returns a model of numbers, whose preprocessing the caller writes. */
MegaModel *samples_model(void);
/* Returns a model of the words "red" and "green"; pair: of two texts. */
MegaModel *text_model(bool pair);

#endif
