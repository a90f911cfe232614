/*
 * find_model.h - finds models by task or by name, and makes the errors for models that do not fit.
 *
 * The search goes through the folders of MEGA_MODELS (separated by colons), the folder of the
 * running program, then share/mega and models in the folder above it. In each of these it takes the
 * *.mega files of the folder itself first, then those of the folders in it, sorted by name; files
 * with the metadata `general.default` come before the others of their place.
 */
#ifndef MEGA_FIND_MODEL_H
#define MEGA_FIND_MODEL_H

#include "src/mega.h"
#include "src/pipeline/content.h"

typedef struct FoundModel {
    char *path;
    char *name;    /* the file's name without .mega, which -m takes */
    char *title;   /* general.name, or empty */
    char *license; /* or empty */
    char *into;    /* the language that it translates into, such as "de", or empty */
    bool is_default; /* general.default */
    MegaTask task;
    /* the raw inputs that it takes, or MEGA_CONTENT_UNKNOWN if its metadata describe none */
    MegaContentKind kind;
} FoundModel;

typedef struct ModelList {
    FoundModel *models; /* [count] */
    size_t count;
    char *places; /* the folders that were searched: "A, B, C" */
} ModelList;

/* Tells what a file holds, from its content or else its name; "-" is standard input. */
MegaContentKind content_of_path(const char *path);
/* Makes the error for a path of unknown kind when a model was to be chosen by it: the file cannot
 * be opened, or holds something else. */
int fail_unknown_content(const char *path, MegaError *err);

/* Lists all models in the order above. *out must be freed in any case. */
int model_list_read(ModelList *out, MegaError *err);
void model_list_free(ModelList *list);

/* What a command wants a model for. */
typedef struct ModelWish {
    const char *given; /* what -m says, a path or a name, or NULL: the first model that fits */
    MegaTask task;
    MegaContentKind kind;
    const char *into; /* the language to translate into, or NULL if any will do */
} ModelWish;

/* Finds the first model of that task for that kind of input, which must be known; `given` is not
 * read. The caller frees *path. */
int find_model(char **path, const ModelWish *wish, MegaError *err);
/* Finds the file that -m means: a path, or the name of a model in the folders above. The caller
 * frees *path. */
int named_model(char **path, const char *given, MegaError *err);
/* Opens the model that -m names or else the one that find_model finds. max_memory is that of
 * MegaModelOptions. The caller frees *path, also after an error. */
int open_model(MegaModel **model, char **path, const ModelWish *wish, uint64_t max_memory,
               MegaError *err);

/* Returns the language that a model translates into, such as "de", or "" if it does not say so. The
 * text is the model's. */
const char *model_target_language(const MegaModel *model);

/* Returns "cifar10" for "dir/cifar10.mega", which the caller frees, or NULL without memory. */
char *model_name_of_path(const char *path);
/* Returns "sound", "pictures" or "texts", or "inputs" for MEGA_CONTENT_UNKNOWN. */
const char *kind_name(MegaContentKind kind);
MegaContentKind model_kind(const MegaModel *model);
/* Adds to an error message which classifier takes that kind of input, if the kind is known and such
 * a model is found. */
void advise_classifier(MegaContentKind kind, MegaError *err);
/* Makes the error for a model of another task: it says what the model does, and which one to take
 * instead for `task` and `kind`. `purpose` is such as "for sound" or "to translate". */
int fail_wrong_model(const MegaModel *model, const char *path, const char *purpose, MegaTask task,
                     MegaContentKind kind, MegaError *err);

#endif
