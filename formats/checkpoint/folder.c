/*
 * folder.c - opens a model folder of the Hugging Face hub: config.json, which becomes the
 * arguments, and the weights, which are the first of these that is there:
 *
 *   model.safetensors    model.safetensors.index.json    pytorch_model.bin
 *   pytorch_model.bin.index.json
 *
 * An index has a "weight_map" from the name of a tensor to that of a file of the same folder. Each
 * such file is opened once as a checkpoint of its own, and the folder's tensors point into them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/checkpoint/checkpoint_build.h"

#define MAX_JSON_MEMORY (UINT64_C(256) << 20)
#define MAX_FILES 1024

#define FAIL(code, format, ...) MEGA_CHECKPOINT_FAIL(code, format, ##__VA_ARGS__)

bool mega_folder_is(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* Returns the path of a file of the folder, which free() frees. */
static char *path_of(const MegaCheckpoint *checkpoint, const char *file)
{
    const size_t size = strlen(checkpoint->name) + strlen(file) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%s", checkpoint->name, file);
    return path;
}

/* Returns whether the folder has such a file. A folder of that name does not count, since its parts
 * could be folders again and lead back to it. */
static bool has_file(const MegaCheckpoint *checkpoint, const char *file)
{
    char *path = path_of(checkpoint, file);
    struct stat info;
    const bool has = path && stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
    free(path);
    return has;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

/* Parses JSON that must be an object; `file` begins the messages. */
static int parse_object(MegaCheckpoint *checkpoint, json_t **out, const char *file,
                        const MegaMappedFile *map, MegaError *err)
{
    const char *text = (const char *)map->data;
    const uint64_t cost = mega_checkpoint_json_cost(text, map->size);
    const uint64_t limit = checkpoint->max_memory && checkpoint->max_memory < MAX_JSON_MEMORY
                               ? checkpoint->max_memory
                               : MAX_JSON_MEMORY;
    json_error_t problem;
    if (cost > limit)
        return FAIL(MEGA_ERR_LIMIT, "%s would need %.1f MB of memory; %.1f MB are allowed", file,
                    (double)cost / 1e6, (double)limit / 1e6);
    checkpoint->memory += cost;
    *out = json_loadb(text ? text : "", (size_t)map->size, 0, &problem);
    if (!*out)
        return FAIL(MEGA_ERR_FORMAT, "%s: line %d: %s", file, problem.line, problem.text);
    return json_is_object(*out) ? 0 : FAIL(MEGA_ERR_FORMAT, "%s is not a JSON object", file);
}

static int read_object(MegaCheckpoint *checkpoint, json_t **out, const char *file, MegaError *err)
{
    MegaMappedFile map = {.fd = -1};
    char *path = path_of(checkpoint, file);
    int code = path ? mega_mapped_file_open(&map, path, "JSON file", err)
                    : FAIL(MEGA_ERR_MEMORY, "no memory for opening %s", file);
    if (!code)
        code = parse_object(checkpoint, out, file, &map, err);
    mega_mapped_file_close(&map);
    free(path);
    return code;
}

/* ---- Files of weights ----------------------------------------------------------------------- */

/* Adds the tensors of a file. With an index, a tensor that the index places in another file is left
 * to that one. */
static int add_tensors(MegaCheckpoint *checkpoint, const char *file, const json_t *map,
                       MegaError *err)
{
    const int number = checkpoint->part_count - 1;
    const MegaCheckpoint *part = checkpoint->parts[number];
    int code = 0;
    for (size_t i = 0; i < part->count && !code; i++) {
        MegaCheckpointTensor tensor = part->tensors[i];
        const char *place = json_string_value(json_object_get(map, tensor.name));
        tensor.file = number;
        if (!place || strcmp(place, file) == 0)
            code = mega_checkpoint_add(checkpoint, &tensor, tensor.name, strlen(tensor.name), err);
    }
    return code;
}

static int add_file(MegaCheckpoint *checkpoint, const char *file, const json_t *map,
                    const MegaCheckpointOptions *options, MegaError *err)
{
    char *path = path_of(checkpoint, file);
    MegaCheckpoint *part = NULL;
    int code = path ? mega_checkpoint_open(&part, path, options, err)
                    : FAIL(MEGA_ERR_MEMORY, "no memory for opening %s", file);
    free(path);
    if (code)
        return code;
    /* The arguments are those of config.json, and there may be a thousand files. */
    mega_checkpoint_drop_values(part);
    checkpoint->parts[checkpoint->part_count++] = part;
    checkpoint->memory += part->memory;
    return add_tensors(checkpoint, file, map, err);
}

static int new_parts(MegaCheckpoint *checkpoint, size_t count, MegaError *err)
{
    checkpoint->parts = calloc(count, sizeof *checkpoint->parts);
    return checkpoint->parts ? 0 : FAIL(MEGA_ERR_MEMORY, "no memory for %zu files", count);
}

/* ---- An index ------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Lists the files of a weight map in the order of their names, each once. */
static int list_files(const MegaCheckpoint *checkpoint, const char *index, const json_t *map,
                      const char ***out, size_t *count, MegaError *err)
{
    const char *name;
    json_t *value;
    size_t all = 0;
    *out = calloc(json_object_size(map) + 1, sizeof **out);
    if (!*out)
        return FAIL(MEGA_ERR_MEMORY, "no memory for the names of files");
    json_object_foreach((json_t *)map, name, value)
    {
        const char *file = json_string_value(value);
        if (!file || !*file || strcmp(file, ".") == 0)
            return FAIL(MEGA_ERR_FORMAT, "%s: the file of tensor '%.200s' is not a name", index,
                        name);
        if (strchr(file, '/') || strchr(file, '\\') || strstr(file, ".."))
            return FAIL(MEGA_ERR_FORMAT,
                        "%s: tensor '%.200s' is said to be in '%.200s', which is not the name of a "
                        "file of this folder",
                        index, name, file);
        (*out)[all++] = file;
    }
    qsort(*out, all, sizeof **out, by_text);
    *count = 0;
    for (size_t i = 0; i < all; i++)
        if (i == 0 || strcmp((*out)[i], (*out)[i - 1]) != 0)
            (*out)[(*count)++] = (*out)[i];
    if (*count > MAX_FILES)
        return FAIL(MEGA_ERR_LIMIT, "%s names %zu files; the limit is %d", index, *count,
                    MAX_FILES);
    return 0;
}

/* Checks that every tensor of the map is where the map says. */
static int check_map(const MegaCheckpoint *checkpoint, const char *index, const json_t *map,
                     const char *const *files, MegaError *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)map, name, value)
    {
        bool found = false;
        for (int i = 0; i < checkpoint->part_count && !found; i++)
            found = strcmp(files[i], json_string_value(value)) == 0 &&
                    mega_checkpoint_find(checkpoint->parts[i], name);
        if (!found)
            return FAIL(MEGA_ERR_FORMAT,
                        "%s: tensor '%.200s' is said to be in %.200s, but that "
                        "file does not have it",
                        index, name, json_string_value(value));
    }
    return 0;
}

static int load_index(MegaCheckpoint *checkpoint, const char *index,
                      const MegaCheckpointOptions *options, MegaError *err)
{
    json_t *whole = NULL;
    const char **files = NULL;
    size_t count = 0;
    int code = read_object(checkpoint, &whole, index, err);
    const json_t *map = json_object_get(whole, "weight_map");
    if (!code && json_object_size(map) == 0)
        code = FAIL(MEGA_ERR_FORMAT, "%s has no weight_map of tensors", index);
    if (!code)
        code = list_files(checkpoint, index, map, &files, &count, err);
    if (!code)
        code = new_parts(checkpoint, count, err);
    for (size_t i = 0; i < count && !code; i++) {
        if (!has_file(checkpoint, files[i]))
            code = FAIL(MEGA_ERR_IO, "%s names the file %s, which is missing", index, files[i]);
        if (!code)
            code = add_file(checkpoint, files[i], map, options, err);
    }
    if (!code)
        code = check_map(checkpoint, index, map, files, err);
    free(files);
    json_decref(whole);
    return code;
}

int mega_folder_load(MegaCheckpoint *checkpoint, const MegaCheckpointOptions *options,
                     MegaError *err)
{
    static const struct {
        const char *file, *kind;
        bool is_index;
    } weights[] = {{"model.safetensors", "model folder, safetensors", false},
                   {"model.safetensors.index.json", "model folder, safetensors", true},
                   {"pytorch_model.bin", "model folder, PyTorch", false},
                   {"pytorch_model.bin.index.json", "model folder, PyTorch", true}};
    if (!has_file(checkpoint, "config.json"))
        return FAIL(MEGA_ERR_FORMAT, "the folder has no config.json; expected a model folder of "
                                     "the Hugging Face hub, or the path of a checkpoint file");
    int code = read_object(checkpoint, &checkpoint->args, "config.json", err);
    for (size_t i = 0; i < sizeof weights / sizeof weights[0] && !code; i++) {
        if (!has_file(checkpoint, weights[i].file))
            continue;
        checkpoint->kind = weights[i].kind;
        if (weights[i].is_index)
            return load_index(checkpoint, weights[i].file, options, err);
        code = new_parts(checkpoint, 1, err);
        return code ? code : add_file(checkpoint, weights[i].file, NULL, options, err);
    }
    return code ? code
                : FAIL(MEGA_ERR_FORMAT, "the folder has no weights: neither model.safetensors nor "
                                        "pytorch_model.bin, nor an index of their parts");
}
