/*
 * classify_texts.h - what classify does with texts that are not files of their own: a text in
 * quotes, lines, or a column of a table.
 */
#ifndef MEGA_CLASSIFY_TEXTS_H
#define MEGA_CLASSIFY_TEXTS_H

#include "tools/run/classify_print.h"
#include "tools/run/text_inputs.h"

typedef struct ClassifyTexts {
    TextInputs inputs;
    const char *model;
    const char *pair; /* a second text, which goes with the first; or NULL */
    ClassifyStyle style;
    MegaPipelineOptions pipeline;
    bool verbose, time;
} ClassifyTexts;

/* Returns whether the options that were given are for texts. */
bool wants_texts(const ClassifyTexts *texts);
/* Classifies the inputs and returns the exit status. */
int classify_texts(ClassifyTexts *texts);

#endif
