/*
 * eval_text.h - the parts of mega-run eval for language models and translators.
 */
#ifndef MEGA_EVAL_TEXT_H
#define MEGA_EVAL_TEXT_H

#include "src/mega.h"

typedef struct EvalTextOptions {
    const char *model, *list;
    const char *predictions; /* file for the translations */
    int limit;               /* 0: all lines */
    MegaSessionOptions session;
    bool json, quiet, verbose;
} EvalTextOptions;

/* list is one text. Prints nats per token, perplexity, bits per character and byte. */
int eval_language_model(const EvalTextOptions *options, MegaError *err);
/* list has lines "source<TAB>reference". Writes the translations and prints how to measure them. */
int eval_translator(const EvalTextOptions *options, MegaError *err);

#endif
