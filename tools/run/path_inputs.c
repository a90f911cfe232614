/*
 * path_inputs.c - see path_inputs.h.
 */
#include "tools/run/path_inputs.h"

#include <stdlib.h>
#include <string.h>

#include "tools/run/lines.h"
#include "tools/run/text_argument.h"

/* ---- In the order in which they come -------------------------------------------------------- */

static bool visit_argument(const FolderVisitor *visitor, const char *path)
{
    tell_of_terminal(path);
    return is_folder(path) ? walk_folder(path, visitor) : visitor->take(visitor->context, path);
}

static int visit_list(const PathInputs *inputs, const FolderVisitor *visitor, bool *going,
                      MegaError *err)
{
    const MegaTextRules rules = {
        .what = "a list of files without --null", .bytes = MEGA_TEXT_PATHS, .marks_inside = true};
    char *paths[] = {(char *)inputs->list};
    LineReader reader;
    int code = line_reader_begin(&reader, paths, 1, &rules, err), more = code ? code : 1;
    reader.null = inputs->null;
    while (*going && more > 0) {
        if (inputs->before_waiting && !line_reader_ready(&reader))
            inputs->before_waiting(visitor->context);
        more = line_reader_next(&reader, err);
        if (more > 0 && reader.size > 0)
            *going = visit_argument(visitor, reader.text);
    }
    line_reader_end(&reader);
    return more < 0 ? more : 0;
}

static int visit_all(const PathInputs *inputs, const FolderVisitor *visitor, bool *going,
                     MegaError *err)
{
    *going = true;
    for (int i = 0; i < inputs->count && *going; i++)
        *going = visit_argument(visitor, inputs->paths[i]);
    return *going && inputs->list ? visit_list(inputs, visitor, going, err) : 0;
}

/* ---- A shard -------------------------------------------------------------------------------- */

typedef struct FoundPath {
    char *path, *reason; /* reason: why it cannot be read, or NULL */
    size_t input;        /* the input that it belongs to */
} FoundPath;

typedef struct PathList {
    FoundPath *data;
    size_t count, capacity;
    bool failed; /* there was no memory for a path */
} PathList;

static bool add_path(PathList *list, const char *path, const char *reason)
{
    if (list->count == list->capacity) {
        const size_t grown = list->capacity ? 2 * list->capacity : 256;
        FoundPath *moved = realloc(list->data, grown * sizeof *moved);
        list->failed |= !moved;
        if (!moved)
            return false;
        list->data = moved;
        list->capacity = grown;
    }
    FoundPath *found = &list->data[list->count++];
    *found = (FoundPath){.path = strdup(path), .reason = reason ? strdup(reason) : NULL};
    list->failed |= !found->path || (reason && !found->reason);
    return !list->failed;
}

static bool add_found(void *context, const char *path)
{
    return add_path(context, path, NULL);
}

static void add_failed(void *context, const char *path, const char *reason)
{
    add_path(context, path, reason);
}

static void free_list(PathList *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->data[i].path);
        free(list->data[i].reason);
    }
    free(list->data);
}

/* Numbers the inputs that paths belong to, and returns how many there are. A path that cannot be
 * read is an input of its own, or is reported between those of an input of several paths. */
static size_t number_inputs(PathList *list, int paths_of_input)
{
    size_t paths = 0;
    if (paths_of_input == 1) {
        for (size_t i = 0; i < list->count; i++)
            list->data[i].input = i;
        return list->count;
    }
    for (size_t i = 0; i < list->count; i++) {
        list->data[i].input = paths / (size_t)paths_of_input;
        paths += !list->data[i].reason;
    }
    return list->count ? list->data[list->count - 1].input + 1 : 0;
}

/* Visits the paths of the shard. Returns false if a path was the last one wanted. */
static bool visit_shard(const PathInputs *inputs, PathList *list)
{
    const FolderVisitor *visitor = &inputs->visitor;
    size_t first, end;
    bool going = true;
    const int each = list->count ? inputs->paths_of_input(visitor->context, list->data[0].path) : 1;
    if (each == 0)
        return false;
    shard_range(&inputs->shard, number_inputs(list, each), &first, &end);
    for (size_t i = 0; i < list->count && going; i++) {
        const FoundPath *found = &list->data[i];
        if (found->input < first || found->input >= end)
            continue;
        if (found->reason)
            visitor->fail(visitor->context, found->path, found->reason);
        else
            going = visitor->take(visitor->context, found->path);
    }
    return going;
}

int each_path(const PathInputs *inputs, bool *going, MegaError *err)
{
    if (inputs->shard.count == 0)
        return visit_all(inputs, &inputs->visitor, going, err);
    PathList list = {0};
    const FolderVisitor collect = {add_found, add_failed, &list};
    PathInputs all = *inputs;
    all.before_waiting = NULL;
    int code = visit_all(&all, &collect, going, err);
    *going = !list.failed && visit_shard(inputs, &list);
    if (list.failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a list of %zu paths", list.count);
    free_list(&list);
    return code;
}
