/*
 * models.h - the models that a server has loaded, once each for all its workers.
 *
 * A served model is immutable and counts its users. A reload opens a file that has changed and puts
 * the new model in the old one's place; users of the old one keep it until they release it.
 */
#ifndef MEGA_SERVED_MODELS_H
#define MEGA_SERVED_MODELS_H

#include <jansson.h>
#include <pthread.h>
#include <sys/stat.h>

#include "src/mega.h"
#include "src/pipeline/content.h"

typedef struct ServedModel {
    char *id;   /* the name of the file without .mega, which requests give as "model" */
    char *path; /* never told to clients */
    MegaModel *model;
    MegaTask task;
    MegaContentKind kind; /* of its inputs */
    struct stat file;     /* tells whether the file has changed */
    int users;            /* under the lock of the models */
} ServedModel;

typedef struct Models {
    pthread_mutex_t lock;
    ServedModel **items; /* [count] */
    size_t count;
    uint64_t max_memory;
} Models;

/* Opens the models that are named as -m takes them or, without names, all that are found. */
int models_open(Models *models, const char *const *names, int count, uint64_t max_memory,
                MegaError *err);
void models_close(Models *models);

/* Returns whether a model suits a request that names none. */
typedef bool (*ModelFits)(const ServedModel *model, const void *context);
/* Returns the model of that name, or the first one that fits if name is NULL; models_release gives
 * it back. Returns NULL with an error: `purpose` says in it what for ("to translate"). */
ServedModel *models_take(Models *models, const char *name, ModelFits fits, const void *context,
                         const char *purpose, MegaError *err);
/* Adds a user to a model that is in use; models_release takes it away again. */
ServedModel *models_share(Models *models, ServedModel *model);
void models_release(Models *models, ServedModel *model);
/* Returns whether a model is still the current one of its name, that is, has not been replaced. */
bool models_is_current(Models *models, const ServedModel *model);

/* Opens the files that have changed. One that cannot be opened leaves its model as it was and is
 * reported. Returns how many models are new. */
int models_reload(Models *models);

/* Makes the list of GET /v1/models, or the object of one model; NULL if there is none of the
 * name. */
json_t *models_json(Models *models);
json_t *model_json(Models *models, const char *id);

#endif
