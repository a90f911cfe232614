/*
 * find_model.c - search the usual folders for a model; see find_model.h. Reads headers and metadata
 * only; a file that is no readable model is passed over.
 */
#define _GNU_SOURCE /* asprintf */
#include "find_model.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "mega_file.h"

#define SUFFIX ".mega"

typedef struct Search {
    const char *task;
    const char *key;   /* metadata that a model of the right kind has */
    char *found;       /* a path */
    MegaBuffer places; /* where it looked, for the message: "A, B, C" */
    bool failed;       /* no memory */
} Search;

static bool is_match(const char *path, const Search *search)
{
    MegaFile *file = NULL;
    const char *task = NULL;
    if (mega_file_open(&file, path, NULL))
        return false;
    const MegaMeta *meta = mega_file_meta(file);
    const bool match = !mega_meta_get_string(meta, "general.task", &task, NULL) &&
                       strcmp(task, search->task) == 0 && mega_meta_find(meta, search->key);
    mega_file_close(file);
    return match;
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

/* By bytes: the same order in every locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Calls visit with the path of every entry that filter lets through, until one is found. */
static void visit_entries(const char *folder, int (*filter)(const struct dirent *),
                          void (*visit)(const char *path, Search *search), Search *search)
{
    struct dirent **entries = NULL;
    const int count = scandir(folder, &entries, filter, by_name);
    for (int i = 0; i < count; i++) {
        char *path = NULL;
        if (!search->found && !search->failed) {
            if (asprintf(&path, "%s/%s", folder, entries[i]->d_name) >= 0) {
                visit(path, search);
                free(path);
            } else {
                search->failed = true;
            }
        }
        free(entries[i]);
    }
    free(entries);
}

static void visit_model(const char *path, Search *search)
{
    if (!is_match(path, search))
        return;
    search->found = strdup(path);
    search->failed = !search->found;
}

static void visit_subfolder(const char *path, Search *search)
{
    visit_entries(path, is_model_name, visit_model, search);
}

static void search_folder(const char *folder, Search *search)
{
    if (search->found || search->failed || !*folder)
        return;
    if (search->places.size)
        mega_put_bytes(&search->places, ", ", 2);
    mega_put_bytes(&search->places, folder, strlen(folder));
    visit_entries(folder, is_model_name, visit_model, search);
    visit_entries(folder, is_visible, visit_subfolder, search);
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

/* Beside the program: where it was built, or where it was installed. */
static void search_beside(Search *search)
{
    static const char *const places[] = {"", "/../share/mega", "/../models"};
    char program[4096], folder[4096 + 32];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0)
        return;
    program[length] = '\0';
    char *slash = strrchr(program, '/');
    if (!slash)
        return;
    *slash = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(folder, sizeof folder, "%s%s", program, places[i]);
        search_folder(folder, search);
    }
}

int find_model(char **path, const char *task, InputKind kind, MegaError *err)
{
    static const struct {
        const char *key, *name;
    } kinds[] = {
        [INPUT_AUDIO] = {"audio.sample_rate", "audio"},
        [INPUT_IMAGE] = {"image.width", "images"},
        [INPUT_TEXT] = {"text.unit", "text"},
    };
    *path = NULL;
    if (kind == INPUT_UNKNOWN)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "no model can be chosen, since the kind of the input is not known; name a "
                         "model with -m");
    Search search = {.task = task, .key = kinds[kind].key};
    search_environment(&search);
    search_beside(&search);
    mega_put_u8(&search.places, '\0');
    int code = 0;
    if (search.failed || search.places.failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for looking for a model");
    else if (!search.found)
        code = mega_fail(err, MEGA_ERR_IO,
                         "no model to %s %s was found in %s; name one with -m or its folder in "
                         "MEGA_MODELS",
                         task, kinds[kind].name, (const char *)search.places.data);
    mega_buffer_free(&search.places);
    if (code) {
        free(search.found);
        return code;
    }
    *path = search.found;
    return 0;
}
