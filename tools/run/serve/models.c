/*
 * models.c - see models.h.
 */
#include "tools/run/serve/models.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/model/model.h"
#include "tools/common/json.h"
#include "tools/common/messages.h"
#include "tools/run/find_model.h"

static void free_model(ServedModel *model)
{
    if (!model)
        return;
    mega_model_free(model->model);
    free(model->id);
    free(model->path);
    free(model);
}

/* Opens a file. It is asked for its state before it is read: if it changes in between, the next
 * reload sees that. */
static int open_served(ServedModel **out, const char *path, uint64_t max_memory, MegaError *err)
{
    const MegaModelOptions options = {.max_memory = max_memory};
    ServedModel *model = calloc(1, sizeof *model);
    int code = model && (model->path = strdup(path)) && (model->id = model_name_of_path(path))
                   ? 0
                   : mega_fail(err, MEGA_ERR_MEMORY, "no memory for a model");
    if (!code && stat(path, &model->file) != 0)
        code = mega_fail(err, MEGA_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    if (!code)
        code = mega_model_open_with(&model->model, path, &options, err);
    if (code) {
        free_model(model);
        return code;
    }
    model->task = mega_model_task(model->model);
    model->kind = model_kind(model->model);
    model->users = 1; /* the list */
    *out = model;
    return 0;
}

static int add_path(Models *models, const char *path, MegaError *err)
{
    ServedModel **grown = realloc(models->items, (models->count + 1) * sizeof *grown);
    if (!grown)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a model");
    models->items = grown;
    int code = open_served(&grown[models->count], path, models->max_memory, err);
    for (size_t i = 0; !code && i < models->count; i++)
        if (strcmp(grown[i]->id, grown[models->count]->id) == 0) {
            code = mega_fail(err, MEGA_ERR_ARGUMENT,
                             "%s and %s have the same name, so that requests could not tell them "
                             "apart",
                             grown[i]->path, path);
            free_model(grown[models->count]);
        }
    models->count += !code;
    return code;
}

/* Opens the first model of each name that is found, as -m would. */
static int open_found(Models *models, MegaError *err)
{
    ModelList list = {0};
    int code = model_list_read(&list, err);
    for (size_t i = 0; !code && i < list.count; i++) {
        bool is_shadowed = false;
        for (size_t j = 0; j < i; j++)
            is_shadowed |= strcmp(list.models[j].name, list.models[i].name) == 0;
        if (!is_shadowed)
            code = add_path(models, list.models[i].path, err);
    }
    if (!code && models->count == 0)
        code = mega_fail(err, MEGA_ERR_IO,
                         "no model was found in %s; name one with -m or its folder in MEGA_MODELS",
                         list.places);
    model_list_free(&list);
    return code;
}

int models_open(Models *models, const char *const *names, int count, uint64_t max_memory,
                MegaError *err)
{
    int code = 0;
    *models = (Models){.max_memory = max_memory};
    pthread_mutex_init(&models->lock, NULL);
    if (count == 0)
        return open_found(models, err);
    for (int i = 0; i < count && !code; i++) {
        char *path = NULL;
        code = named_model(&path, names[i], err);
        if (!code)
            code = add_path(models, path, err);
        free(path);
    }
    return code;
}

void models_close(Models *models)
{
    for (size_t i = 0; i < models->count; i++)
        free_model(models->items[i]);
    free(models->items);
    pthread_mutex_destroy(&models->lock);
    *models = (Models){0};
}

/* ---- Use ------------------------------------------------------------------------------------ */

static ServedModel *find_id(const Models *models, const char *id)
{
    for (size_t i = 0; i < models->count; i++)
        if (strcmp(models->items[i]->id, id) == 0)
            return models->items[i];
    return NULL;
}

static int fail_fit(const ServedModel *model, const char *purpose, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_MODEL, "the model %s %s %s: it is not there %s", model->id,
                     mega_task_traits(model->task)->does_to, kind_name(model->kind), purpose);
}

ServedModel *models_take(Models *models, const char *name, ModelFits fits, const void *context,
                         const char *purpose, MegaError *err)
{
    ServedModel *found = NULL;
    pthread_mutex_lock(&models->lock);
    for (size_t i = 0; !name && !found && i < models->count; i++)
        if (fits(models->items[i], context))
            found = models->items[i];
    if (name)
        found = find_id(models, name);
    if (name && found && !fits(found, context)) {
        fail_fit(found, purpose, err);
        found = NULL;
    } else if (!found && name) {
        mega_fail(err, MEGA_ERR_ARGUMENT,
                  "there is no model '%.60s' here; GET /v1/models lists "
                  "those that there are",
                  name);
    } else if (!found) {
        mega_fail(err, MEGA_ERR_MODEL, "none of the models here is there %s", purpose);
    }
    if (found)
        found->users++;
    pthread_mutex_unlock(&models->lock);
    return found;
}

ServedModel *models_share(Models *models, ServedModel *model)
{
    pthread_mutex_lock(&models->lock);
    model->users++;
    pthread_mutex_unlock(&models->lock);
    return model;
}

void models_release(Models *models, ServedModel *model)
{
    if (!model)
        return;
    pthread_mutex_lock(&models->lock);
    const bool is_last = --model->users == 0;
    pthread_mutex_unlock(&models->lock);
    if (is_last)
        free_model(model);
}

bool models_is_current(Models *models, const ServedModel *model)
{
    pthread_mutex_lock(&models->lock);
    const bool is_current = find_id(models, model->id) == model;
    pthread_mutex_unlock(&models->lock);
    return is_current;
}

/* ---- Reloading ------------------------------------------------------------------------------ */

static bool has_changed(const ServedModel *model)
{
    struct stat now;
    const struct stat *then = &model->file;
    return stat(model->path, &now) != 0 || now.st_dev != then->st_dev ||
           now.st_ino != then->st_ino || now.st_size != then->st_size ||
           now.st_mtim.tv_sec != then->st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != then->st_mtim.tv_nsec;
}

int models_reload(Models *models)
{
    int reloaded = 0;
    for (size_t i = 0; i < models->count; i++) {
        ServedModel *old = models->items[i], *fresh = NULL;
        MegaError err = {0};
        if (!has_changed(old))
            continue;
        if (open_served(&fresh, old->path, models->max_memory, &err)) {
            report("%s stays as it was: %s", old->id, err.text);
            continue;
        }
        pthread_mutex_lock(&models->lock);
        models->items[i] = fresh;
        pthread_mutex_unlock(&models->lock);
        models_release(models, old);
        report("%s was loaded anew", fresh->id);
        reloaded++;
    }
    return reloaded;
}

/* ---- GET /v1/models ------------------------------------------------------------------------- */

static json_t *describe(const ServedModel *model)
{
    json_t *object =
        json_pack("{s:o,s:s,s:I,s:s,s:s,s:s,s:I}", "id", json_text(model->id), "object", "model",
                  "created", (json_int_t)model->file.st_mtim.tv_sec, "owned_by", "mega", "task",
                  mega_task_name(model->task), "takes", kind_name(model->kind), "parameters",
                  (json_int_t)mega_model_parameter_count(model->model));
    const char *into = model_target_language(model->model);
    if (*into)
        json_object_set_new(object, "into", json_text(into));
    return object;
}

json_t *models_json(Models *models)
{
    json_t *list = json_array();
    pthread_mutex_lock(&models->lock);
    for (size_t i = 0; i < models->count; i++)
        json_array_append_new(list, describe(models->items[i]));
    pthread_mutex_unlock(&models->lock);
    return json_pack("{s:s,s:o}", "object", "list", "data", list);
}

json_t *model_json(Models *models, const char *id)
{
    pthread_mutex_lock(&models->lock);
    const ServedModel *model = find_id(models, id);
    json_t *json = model ? describe(model) : NULL;
    pthread_mutex_unlock(&models->lock);
    return json;
}
