/*
 * list.c - see list.h.
 */
#include "tools/convert/list.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/common/json.h"
#include "tools/common/messages.h"

static void list_beside(const MegaCheckpoint *checkpoint)
{
    size_t left, count = mega_checkpoint_extra_count(checkpoint, &left);
    if (count)
        printf("# besides the tensors\n");
    for (size_t i = 0; i < count; i++) {
        const MegaCheckpointExtra *extra = mega_checkpoint_extra(checkpoint, i);
        printf("%s\t%s\n", extra->name, extra->what);
    }
    if (left)
        printf("# and %zu more\n", left);
}

void list_checkpoint(const MegaCheckpoint *checkpoint, const json_t *args)
{
    uint64_t total = 0;
    for (size_t i = 0; i < mega_checkpoint_count(checkpoint); i++) {
        const MegaCheckpointTensor *tensor = mega_checkpoint_tensor(checkpoint, i);
        printf("%s\t%s\t[%s", tensor->name, tensor->type, tensor->rank < 0 ? "?" : "");
        for (int axis = 0; axis < tensor->rank; axis++)
            printf("%s%llu", axis ? ", " : "", (unsigned long long)tensor->shape[axis]);
        printf("]\n");
        total += tensor->elements;
    }
    printf("# %s, %zu tensors, %llu elements\n", mega_checkpoint_kind(checkpoint),
           mega_checkpoint_count(checkpoint), (unsigned long long)total);
    list_beside(checkpoint);
    if (args) {
        char *text = json_dumps(args, JSON_INDENT(2) | JSON_ENSURE_ASCII);
        printf("# arguments\n%s\n", text ? text : "{}");
        free(text);
    }
}

static json_t *tensor_json(const MegaCheckpointTensor *tensor)
{
    json_t *shape = tensor->rank < 0 ? json_null() : json_array();
    for (int axis = 0; axis < tensor->rank; axis++)
        json_array_append_new(shape, json_integer((json_int_t)tensor->shape[axis]));
    return json_pack("{s:o,s:s,s:o}", "name", json_text(tensor->name), "dtype",
                     tensor->type, "shape", shape);
}

static json_t *extras_json(const MegaCheckpoint *checkpoint)
{
    size_t left, count = mega_checkpoint_extra_count(checkpoint, &left);
    json_t *rows = json_array();
    for (size_t i = 0; rows && i < count; i++) {
        const MegaCheckpointExtra *extra = mega_checkpoint_extra(checkpoint, i);
        if (json_array_append_new(rows, json_pack("{s:o,s:o}", "name", json_text(extra->name),
                                                  "value", json_text(extra->what)))) {
            json_decref(rows);
            rows = NULL;
        }
    }
    return rows;
}

void list_json(const MegaCheckpoint *checkpoint, const char *path, json_t *args)
{
    uint64_t total = 0;
    int failed = 0;
    json_t *tensors = json_array();
    for (size_t i = 0; i < mega_checkpoint_count(checkpoint); i++) {
        const MegaCheckpointTensor *tensor = mega_checkpoint_tensor(checkpoint, i);
        failed |= json_array_append_new(tensors, tensor_json(tensor));
        total += tensor->elements;
    }
    json_t *object =
        json_pack("{s:o,s:s,s:o,s:I,s:o,s:o,s:O}", "checkpoint", json_text(path), "kind",
                  mega_checkpoint_kind(checkpoint), "place",
                  json_text(mega_checkpoint_place(checkpoint)), "elements", (json_int_t)total,
                  "tensors", tensors, "beside", extras_json(checkpoint), "arguments", args);
    if (failed) {
        json_decref(object);
        object = NULL;
    }
    print_json_line(object);
}
