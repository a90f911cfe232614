/*
 * classes.h - the classes of a model by their names.
 */
#ifndef MEGA_CLASSES_H
#define MEGA_CLASSES_H

#include "src/mega.h"

/* Returns the label of a class or, if it has none, its number, which is written to buffer. */
const char *class_name(const MegaModel *model, int index, char buffer[16]);
/* Returns the class with that label or number, or -1 if there is none. */
int find_class(const MegaModel *model, const char *text, size_t size);
/* Takes the next of labels, or numbers of classes, that commas separate. `path` names the model in
 * the error if there is no such class. */
int next_class(const MegaModel *model, const char *path, const char **names, int *label,
               MegaError *err);
/* Returns whether a model names classes of texts that a tokenizer of the Hugging Face hub reads.
 * Its results have the form of that library's pipeline. */
bool is_hub_classifier(const MegaModel *model);
/* Returns whether a label, such as _silence_, stands for background, which makes no events. */
bool is_background(const char *label);

#endif
