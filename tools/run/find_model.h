/*
 * find_model.h - models by what they do or by name, and the messages when they do not fit.
 *
 * *.mega files are looked for in, one after the other, the folders of MEGA_MODELS (separated by
 * colons), the folder of the running program, share/mega and models in the folder above it; in each
 * first in the folder itself, then in the folders in it, sorted by name.
 */
#ifndef MEGA_FIND_MODEL_H
#define MEGA_FIND_MODEL_H

#include "src/mega.h"
#include "src/pipeline/content.h"

typedef struct FoundModel {
    char *path;
    char *name;    /* of the file without .mega: -m takes it */
    char *title;   /* general.name, or empty */
    char *license; /* or empty */
    MegaTask task;
    MegaContentKind kind; /* of raw inputs that it takes; MEGA_CONTENT_UNKNOWN: none is described */
} FoundModel;

typedef struct ModelList {
    FoundModel *models; /* [count] */
    size_t count;
    char *places; /* where they were looked for: "A, B, C" */
} ModelList;

/* What a file holds, by content first and name second; "-" is standard input. */
MegaContentKind content_of_path(const char *path);
/* The error for a path of unknown kind when a model is to be chosen by it: it cannot be opened, or
 * what it is. */
int fail_unknown_content(const char *path, MegaError *err);

/* All models in the order above. Free *out in any case. */
int model_list_read(ModelList *out, MegaError *err);
void model_list_free(ModelList *list);

/* The first one of that task for that kind of input. *path: free(). */
int find_model(char **path, MegaTask task, MegaContentKind kind, MegaError *err);
/* What -m stands for: a file, or the name of a model that is found. *path: free(). */
int named_model(char **path, const char *given, MegaError *err);
/* Opens what -m names or, if given is NULL, what find_model finds. max_memory as in
 * MegaModelOptions. *path: free(), also after an error. */
int open_model(MegaModel **model, char **path, const char *given, MegaTask task,
               MegaContentKind kind, uint64_t max_memory, MegaError *err);

/* "classify", as general.task has it. */
const char *task_name(MegaTask task);
/* "sound", "pictures", "texts"; "inputs" of MEGA_CONTENT_UNKNOWN. */
const char *kind_name(MegaContentKind kind);
MegaContentKind model_kind(const MegaModel *model);
/* Adds to a message which classifier to take for that kind of input, if there is one. */
void advise_classifier(MegaContentKind kind, MegaError *err);
/* What a model does, by its file's name, and which one to take instead for a task and a kind of
 * input. purpose: "for sound", "to translate". */
int fail_wrong_model(const MegaModel *model, const char *path, const char *purpose, MegaTask task,
                     MegaContentKind kind, MegaError *err);

#endif
