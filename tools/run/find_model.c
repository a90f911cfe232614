/*
 * find_model.c - searches the usual folders for models; see find_model.h. Only headers and metadata
 * are read. A file that is not a readable model is skipped.
 */
#define _GNU_SOURCE /* asprintf */
#include "tools/run/find_model.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/base/bytes.h"
#include "formats/base/input_stream.h"
#include "formats/mega/mega_file.h"
#include "src/model/model.h"
#include "tools/common/suggest.h"

#define SUFFIX ".mega"
#define INTO "text.target_language"

static const struct {
    const char *key; /* a metadata key that only models for this kind have */
    const char *name;
} kinds[] = {
    [MEGA_CONTENT_UNKNOWN] = {NULL, "inputs"},
    [MEGA_CONTENT_SOUND] = {"audio.sample_rate", "sound"},
    [MEGA_CONTENT_PICTURE] = {"image.width", "pictures"},
    [MEGA_CONTENT_TEXT] = {"text.unit", "texts"},
};
_Static_assert(sizeof kinds / sizeof kinds[0] == MEGA_CONTENT_COUNT, "a kind of input has no name");

const char *kind_name(MegaContentKind kind)
{
    return kinds[kind].name;
}

/* ---- Kinds of files ------------------------------------------------------------------------- */

static MegaContentKind kind_of_meta(const MegaMeta *meta)
{
    MegaContentKind kind = MEGA_CONTENT_TEXT;
    while (kind != MEGA_CONTENT_UNKNOWN && !mega_meta_find(meta, kinds[kind].key))
        kind--;
    return kind;
}

char *model_name_of_path(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const size_t length = strlen(name), suffix = strlen(SUFFIX);
    const bool has_suffix = length > suffix && strcmp(name + length - suffix, SUFFIX) == 0;
    return strndup(name, has_suffix ? length - suffix : length);
}

static char *copy_of(const MegaMeta *meta, const char *key)
{
    const char *text = "";
    if (mega_meta_find(meta, key) && mega_meta_get_string(meta, key, &text, NULL))
        text = "";
    return strdup(text);
}

/* Reads general.task. Returns false if the file is not a model of a known task. */
static bool read_task(const MegaMeta *meta, MegaTask *task)
{
    const char *text = "";
    size_t i = 0;
    if (mega_meta_get_string(meta, "general.task", &text, NULL))
        return false;
    while (i < MEGA_TASK_COUNT && strcmp(text, mega_task_name((MegaTask)i)) != 0)
        i++;
    *task = (MegaTask)i;
    return i < MEGA_TASK_COUNT;
}

static void free_found(FoundModel *found)
{
    free(found->path);
    free(found->name);
    free(found->title);
    free(found->license);
    free(found->into);
}

/* ---- Searching ------------------------------------------------------------------------------ */

typedef struct Search {
    ModelList list;
    size_t capacity;
    MegaBuffer places;
    bool failed; /* memory ran out */
} Search;

static bool is_listed(const Search *search, const char *path)
{
    for (size_t i = 0; i < search->list.count; i++)
        if (strcmp(search->list.models[i].path, path) == 0)
            return true;
    return false;
}

static void add_model(const char *path, Search *search)
{
    MegaFile *file = NULL;
    FoundModel found = {0};
    if (is_listed(search, path) || mega_file_open(&file, path, NULL))
        return;
    const MegaMeta *meta = mega_file_meta(file);
    if (!read_task(meta, &found.task))
        goto out;
    if (search->list.count == search->capacity) {
        const size_t capacity = 2 * search->capacity + 8;
        FoundModel *grown = realloc(search->list.models, capacity * sizeof *grown);
        if (!grown) {
            search->failed = true;
            goto out;
        }
        search->list.models = grown;
        search->capacity = capacity;
    }
    found.kind = kind_of_meta(meta);
    if (mega_meta_find(meta, "general.default") &&
        mega_meta_get_bool(meta, "general.default", &found.is_default, NULL))
        found.is_default = false;
    found.path = strdup(path);
    found.name = model_name_of_path(path);
    found.title = copy_of(meta, "general.name");
    found.license = copy_of(meta, "general.license");
    found.into = copy_of(meta, INTO);
    search->failed =
        !found.path || !found.name || !found.title || !found.license || !found.into;
    search->list.models[search->list.count++] = found;
out:
    mega_file_close(file);
}

static int is_model_name(const struct dirent *entry)
{
    const size_t length = strlen(entry->d_name), suffix = strlen(SUFFIX);
    return length > suffix && strcmp(entry->d_name + length - suffix, SUFFIX) == 0;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && !is_model_name(entry);
}

/* Compares bytes, so that the order is the same in every locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Calls visit with the path of every entry that filter lets through. */
static void visit_entries(const char *folder, int (*filter)(const struct dirent *),
                          void (*visit)(const char *path, Search *search), Search *search)
{
    struct dirent **entries = NULL;
    const int count = scandir(folder, &entries, filter, by_name);
    for (int i = 0; i < count; i++) {
        char *path = NULL;
        if (!search->failed && asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0) {
            path = NULL;
            search->failed = true;
        }
        if (path)
            visit(path, search);
        free(path);
        free(entries[i]);
    }
    free(entries);
}

/* Moves the models from `begin` on that say so before the others, and keeps the order otherwise. */
static void put_defaults_first(ModelList *list, size_t begin)
{
    for (size_t i = begin; i < list->count; i++) {
        const FoundModel model = list->models[i];
        if (!model.is_default)
            continue;
        memmove(&list->models[begin + 1], &list->models[begin], (i - begin) * sizeof model);
        list->models[begin++] = model;
    }
}

static void visit_subfolder(const char *path, Search *search)
{
    visit_entries(path, is_model_name, add_model, search);
}

static void search_folder(const char *folder, Search *search)
{
    if (search->failed || !*folder)
        return;
    if (search->places.size)
        mega_put_bytes(&search->places, ", ", 2);
    mega_put_bytes(&search->places, folder, strlen(folder));
    const size_t begin = search->list.count;
    visit_entries(folder, is_model_name, add_model, search);
    visit_entries(folder, is_visible, visit_subfolder, search);
    put_defaults_first(&search->list, begin);
}

static void search_environment(Search *search)
{
    const char *list = getenv("MEGA_MODELS");
    char *copy = list ? strdup(list) : NULL, *rest = copy;
    if (list && !copy)
        search->failed = true;
    for (char *folder; (folder = strsep(&rest, ":"));)
        search_folder(folder, search);
    free(copy);
}

/* Searches the folders beside the program, for both places that it can be in: where it was built
 * and where it was installed. */
static void search_beside(Search *search)
{
    static const char *const places[] = {"/share/mega", "/models"};
    char program[4096], folder[4096 + 32];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0)
        return;
    program[length] = '\0'; /* an absolute path without ".." */
    for (int above = 0; above < 2; above++) {
        char *slash = strrchr(program, '/');
        if (!slash)
            return;
        *slash = '\0';
        if (above == 0)
            search_folder(program, search);
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(folder, sizeof folder, "%s%s", program, places[i]);
        search_folder(folder, search);
    }
}

int model_list_read(ModelList *out, MegaError *err)
{
    Search search = {0};
    search_environment(&search);
    search_beside(&search);
    mega_put_u8(&search.places, '\0');
    search.list.places = strdup(search.places.failed ? "" : (char *)search.places.data);
    *out = search.list;
    const bool failed = search.failed || search.places.failed || !out->places;
    mega_buffer_free(&search.places);
    return failed ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for looking for a model") : 0;
}

void model_list_free(ModelList *list)
{
    for (size_t i = 0; i < list->count; i++)
        free_found(&list->models[i]);
    free(list->models);
    free(list->places);
    *list = (ModelList){0};
}

/* ---- Choosing ------------------------------------------------------------------------------- */

/* Returns the first model that fits, or NULL. */
static const FoundModel *choose(const ModelList *list, const ModelWish *wish)
{
    for (size_t i = 0; i < list->count; i++) {
        const FoundModel *model = &list->models[i];
        if (model->task == wish->task && model->kind == wish->kind &&
            (!wish->into || strcmp(model->into, wish->into) == 0))
            return model;
    }
    return NULL;
}

static int fail_not_found(const ModelList *list, const ModelWish *wish, MegaError *err)
{
    ModelWish any_language = *wish;
    any_language.into = NULL;
    const FoundModel *other = choose(list, &any_language);
    if (other)
        return mega_fail(err, MEGA_ERR_IO,
                         "no model that translates into '%s' was found; %s translates into '%s', "
                         "and 'mega-run models' lists all",
                         wish->into, other->name, *other->into ? other->into : "?");
    const bool classifies = wish->task == MEGA_TASK_CLASSIFY;
    return mega_fail(err, MEGA_ERR_IO,
                     "no model %s %s %s was found in %s; name one with -m or its folder in "
                     "MEGA_MODELS",
                     classifies ? "to" : "that",
                     classifies ? "classify" : mega_task_traits(wish->task)->does_to,
                     kinds[wish->kind].name, list->places);
}

int find_model(char **path, const ModelWish *wish, MegaError *err)
{
    ModelList list;
    assert(wish->kind != MEGA_CONTENT_UNKNOWN);
    *path = NULL;
    int code = model_list_read(&list, err);
    const FoundModel *found = code ? NULL : choose(&list, wish);
    if (found && !(*path = strdup(found->path)))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for looking for a model");
    else if (!code && !found)
        code = fail_not_found(&list, wish, err);
    model_list_free(&list);
    return code;
}

/* Returns the model of that name. If there is none, it returns NULL, and *near is a model with a
 * similar name, or NULL. */
static const FoundModel *find_name(const ModelList *list, const char *name, const FoundModel **near)
{
    size_t least = SUGGEST_MAX_EDITS + 1;
    *near = NULL;
    for (size_t i = 0; i < list->count; i++) {
        const FoundModel *model = &list->models[i];
        const size_t edits = edit_distance(name, model->name);
        if (strcmp(name, model->name) == 0)
            return model;
        const bool begins = *name && strncmp(model->name, name, strlen(name)) == 0;
        if (edits < least || (begins && !*near)) {
            *near = model;
            least = begins ? least : edits;
        }
    }
    return NULL;
}

/* Refuses a folder that mega-convert makes a model of. */
static int check_no_folder(const char *path, MegaError *err)
{
    char config[4096];
    struct stat info;
    const int length = snprintf(config, sizeof config, "%s/config.json", path);
    if (length < 0 || (size_t)length >= sizeof config || stat(config, &info) != 0)
        return 0;
    return mega_fail(err, MEGA_ERR_INPUT,
                     "%s is a model folder; convert it first: mega-convert %s -o MODEL.mega", path,
                     path);
}

int named_model(char **path, const char *given, MegaError *err)
{
    ModelList list = {0};
    struct stat info;
    const FoundModel *near = NULL, *found = NULL;
    char *name = NULL;
    const bool there = stat(given, &info) == 0;
    int code = 0;
    *path = NULL;
    if ((!there || S_ISDIR(info.st_mode)) && *given && !strchr(given, '/')) {
        name = model_name_of_path(given);
        code = model_list_read(&list, err);
        found = code || !name ? NULL : find_name(&list, name, &near);
        if (!code && name && !found && !there && strcmp(name, given) == 0)
            code = mega_fail(
                err, MEGA_ERR_IO, "there is no model '%s'; %s%s%s'mega-run models' lists them",
                given, near ? "did you mean '" : "", near ? near->name : "", near ? "'? " : "");
    }
    if (!code && !found && there && S_ISDIR(info.st_mode))
        code = check_no_folder(given, err);
    if (!code && !(*path = strdup(found ? found->path : given)))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a path");
    free(name);
    model_list_free(&list);
    return code;
}

int open_model(MegaModel **model, char **path, const ModelWish *wish, uint64_t max_memory,
               MegaError *err)
{
    const MegaModelOptions options = {.max_memory = max_memory};
    int code = wish->given ? named_model(path, wish->given, err) : find_model(path, wish, err);
    if (!code)
        code = mega_model_open_with(model, *path, &options, err);
    const char *into = code ? "" : model_target_language(*model);
    if (!code && wish->into && strcmp(into, wish->into) != 0)
        code = mega_fail(err, MEGA_ERR_MODEL, "%s does not translate into '%s'%s%s%s", *path,
                         wish->into, *into ? " but into '" : "", into, *into ? "'" : "");
    return code;
}

const char *model_target_language(const MegaModel *model)
{
    const MegaMeta *meta = mega_model_meta(model);
    const char *language;
    return mega_meta_find(meta, INTO) && !mega_meta_get_string(meta, INTO, &language, NULL)
               ? language
               : "";
}

MegaContentKind model_kind(const MegaModel *model)
{
    const bool takes_media = mega_task_traits(mega_model_task(model))->takes_media;
    return takes_media ? kind_of_meta(mega_model_meta(model)) : MEGA_CONTENT_TEXT;
}

void advise_classifier(MegaContentKind kind, MegaError *err)
{
    ModelList list = {0};
    if (kind == MEGA_CONTENT_UNKNOWN)
        return;
    const FoundModel *other =
        model_list_read(&list, NULL)
            ? NULL
            : choose(&list, &(ModelWish){.task = MEGA_TASK_CLASSIFY, .kind = kind});
    if (other) {
        const MegaError before = *err;
        mega_fail(err, before.code, "%s; for %s use %s", before.text, kind_name(kind), other->name);
    }
    model_list_free(&list);
}

/* Returns whether a task has a head on texts alone, as filling masks and tagging words have. No
 * shipped model has such a task, so the command that suits the model at hand is better advice than
 * the name of another model. */
static bool has_text_head(MegaTask task)
{
    return mega_task_traits(task)->has_head && !mega_task_traits(task)->takes_media;
}

int fail_wrong_model(const MegaModel *model, const char *path, const char *purpose, MegaTask task,
                     MegaContentKind kind, MegaError *err)
{
    ModelList list = {0};
    char *name = model_name_of_path(path);
    if (has_text_head(task) || has_text_head(mega_model_task(model))) {
        int failed = mega_fail(err, MEGA_ERR_MODEL, "%s %s %s: the command for it is 'mega-run %s'",
                               name ? name : path,
                               mega_task_traits(mega_model_task(model))->does_to,
                               kind_name(model_kind(model)),
                               mega_task_name(mega_model_task(model)));
        free(name);
        return failed;
    }
    const FoundModel *other =
        model_list_read(&list, NULL) ? NULL
                                     : choose(&list, &(ModelWish){.task = task, .kind = kind});
    int code =
        mega_fail(err, MEGA_ERR_MODEL, "%s %s %s; %s%s%s", name ? name : path,
                  mega_task_traits(mega_model_task(model))->does_to, kind_name(model_kind(model)),
                  other ? purpose : "'mega-run models' lists others", other ? " use " : "",
                  other ? other->name : "");
    free(name);
    model_list_free(&list);
    return code;
}

/* ---- Inputs --------------------------------------------------------------------------------- */

MegaContentKind content_of_path(const char *path)
{
    return mega_content_of_path(path, mega_media());
}

int fail_unknown_content(const char *path, MegaError *err)
{
    static const char expected[] = "expected a recording, a picture or a text";
    const char *name = mega_source_name(path);
    uint8_t byte;
    size_t got = 0;
    struct stat info;
    int code = mega_source_peek(path, &byte, 1, &got, err);
    if (code)
        return code;
    const MegaContent content = mega_content_read(path, mega_media());
    if (content.unread)
        return mega_content_fail_unread(&content, name, err);
    if (content.name)
        return mega_fail(err, MEGA_ERR_INPUT, "%s is %s; %s%s%s", name, content.name, expected,
                         content.advice ? "; " : "", content.advice ? content.advice : "");
    const bool device = stat(path, &info) == 0 && S_ISCHR(info.st_mode);
    if (!got && !device)
        return mega_fail(err, MEGA_ERR_INPUT, "%s is empty; %s", name, expected);
    return mega_fail(err, MEGA_ERR_INPUT,
                     "%s: no model can be chosen, since the kind of the input is not known; name a "
                     "model with -m",
                     name);
}
