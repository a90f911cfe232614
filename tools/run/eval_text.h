/*
 * eval_text.h - the parts of mega-run eval for language models and translators.
 */
#ifndef MEGA_EVAL_TEXT_H
#define MEGA_EVAL_TEXT_H

#include "src/mega.h"

typedef struct EvalTextOptions {
    const char *model, *list;
    const char *predictions; /* the file that translations are written to */
    int limit;               /* 0: all lines */
    MegaSessionOptions session;
    bool json, quiet, verbose;
} EvalTextOptions;

/* Evaluates a language model on `list`, which is one text. Prints nats per token, perplexity, and
 * bits per character and per byte. */
int eval_language_model(const EvalTextOptions *options, MegaError *err);
/* Evaluates a translator on `list`, which has lines "source<TAB>reference". Writes the translations
 * and prints the command that scores them. */
int eval_translator(const EvalTextOptions *options, MegaError *err);

#endif
