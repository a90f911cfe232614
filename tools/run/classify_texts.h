/*
 * classify_texts.h - what classify does for models whose texts a tokenizer of the Hugging Face hub
 * reads: its results have the form of the library's pipeline, and inputs may be texts, lines and
 * columns of tables.
 */
#ifndef MEGA_CLASSIFY_TEXTS_H
#define MEGA_CLASSIFY_TEXTS_H

#include "tools/run/text_inputs.h"

typedef struct ClassifyTexts {
    TextInputs inputs;
    const char *model;
    const char *pair; /* a second text, which goes with the first; or NULL */
    int top;          /* 0: all labels */
    MegaPipelineOptions pipeline;
} ClassifyTexts;

/* Returns whether the options that were given are for texts. */
bool wants_texts(const ClassifyTexts *texts);
/* Returns whether a model's texts are read by such a tokenizer. */
bool is_hub_classifier(const MegaModel *model);
/* Prints a result: label and score, the best first; as JSON a list of {"label", "score"}. */
void print_labels(const MegaModel *model, const MegaClassification *found, int top, bool json,
                  const char *path);
/* Classifies the inputs and returns the exit status. */
int classify_texts(ClassifyTexts *texts);

#endif
