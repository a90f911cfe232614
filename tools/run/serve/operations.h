/*
 * operations.h - declares the operations, one for each route that runs a model. man/mega-run.1
 * lists the fields that they take.
 */
#ifndef MEGA_OPERATIONS_H
#define MEGA_OPERATIONS_H

#include "tools/run/serve/fields.h"
#include "tools/run/serve/worker.h"

extern const Operation classify_operation, translate_operation, complete_operation, embed_operation,
    tokenize_operation, fill_operation, tag_operation, answer_operation, choose_operation;

/* Returns a text that a model is to read. `name` is what messages call it. */
MegaRaw raw_of_field(const FieldText *text, const char *name);
/* Puts texts into the form in which commands read files (text_input.h) for a side of the job's
 * model: without a byte order mark, and lines end in LF. The texts point into *memory then, which
 * the caller frees. */
int clean_texts(const Job *job, MegaTokenizerSide side, FieldText *texts, size_t count,
                MegaBuffer *memory, MegaError *err);
/* Returns whether a model has the task *context. */
bool model_has_task(const ServedModel *model, const void *context);

#endif
