/*
 * torch_extras.c - lists what a checkpoint holds besides the tensors of the model, with a short
 * description of each value. None of these values is used.
 */
#include "formats/checkpoint/checkpoint_build.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"

#define MAX_ROWS 1000
#define MAX_TEXT 160 /* most bytes of a name or of a description */
#define MAX_STRING 40

/* Appends text, cut to the room that is left. */
static void add(char text[MAX_TEXT], const char *format, ...)
{
    size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, MAX_TEXT - used, format, args);
    va_end(args);
}

static void describe_tensor(const MegaPickleTensor *tensor, char text[MAX_TEXT])
{
    add(text, "%s [", tensor->type);
    for (int i = 0; i < tensor->rank && i < 12; i++)
        add(text, "%s%" PRIu64, i ? ", " : "", tensor->shape[i]);
    add(text, tensor->rank < 0 ? "?]" : tensor->rank > 12 ? ", ...]" : "]");
}

static void describe(const MegaPickleValue *value, char text[MAX_TEXT])
{
    text[0] = '\0';
    switch (value->type) {
    case MEGA_PICKLE_BOOL: add(text, value->integer ? "True" : "False"); break;
    case MEGA_PICKLE_INT: add(text, "%" PRId64, value->integer); break;
    case MEGA_PICKLE_FLOAT: add(text, "%g", value->real); break;
    case MEGA_PICKLE_STRING:
        if (mega_pickle_is_text(value) && value->text.size <= MAX_STRING)
            add(text, "\"%s\"", value->text.data);
        else
            add(text, "a string of %zu bytes", value->text.size);
        break;
    case MEGA_PICKLE_BYTES: add(text, "%zu bytes", value->text.size); break;
    case MEGA_PICKLE_TUPLE:
    case MEGA_PICKLE_LIST:
    case MEGA_PICKLE_SET:
        add(text, "%s of %zu", mega_pickle_describe(value), value->list.count);
        break;
    case MEGA_PICKLE_DICT:
        add(text, "%s of %zu", mega_pickle_describe(value), value->list.count / 2);
        break;
    case MEGA_PICKLE_STORAGE:
        add(text, "a storage of %" PRIu64 " %s", value->storage->elements, value->storage->type);
        break;
    case MEGA_PICKLE_TENSOR: describe_tensor(value->tensor, text); break;
    default: add(text, "%s", mega_pickle_describe(value)); break;
    }
}

/* Returns a copy of a text that was cut to its field: an incomplete last character is removed, and
 * control characters, which a terminal would obey, are replaced. */
static char *cleaned(char text[MAX_TEXT])
{
    size_t size = strlen(text);
    while (size && !mega_utf8_valid(text, size))
        size--;
    text[size] = '\0';
    mega_utf8_hide_controls(text);
    return strdup(text);
}

static int add_row(MegaCheckpoint *checkpoint, char name[MAX_TEXT], const MegaPickleValue *value,
                   MegaError *err)
{
    char what[MAX_TEXT];
    if (checkpoint->extra_count == MAX_ROWS) {
        checkpoint->extras_left++;
        return 0;
    }
    if (!checkpoint->extras)
        checkpoint->extras = calloc(MAX_ROWS, sizeof *checkpoint->extras);
    if (!checkpoint->extras)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_MEMORY, "no memory for the list of values");
    MegaCheckpointExtra *row = &checkpoint->extras[checkpoint->extra_count++];
    describe(value, what);
    row->name = cleaned(name);
    row->what = cleaned(what);
    if (!row->name || !row->what)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_MEMORY, "no memory for the list of values");
    return 0;
}

int mega_torch_extras(MegaCheckpoint *checkpoint, const MegaPickleValue *const *chain, int depth,
                      const char *prefix, MegaError *err)
{
    const MegaPickleValue *dict = mega_pickle_mapping(chain[0]), *values = dict ? dict : chain[0];
    size_t step = dict ? 2 : 1;
    /* the attributes of a module are of no use to a reader */
    if (!dict && values->type == MEGA_PICKLE_OBJECT)
        return 0;
    for (size_t i = 0; i + step <= values->list.count; i += step) {
        const MegaPickleValue *value = values->list.items[i + step - 1];
        const MegaPickleValue *key = dict ? values->list.items[i] : NULL;
        char name[MAX_TEXT] = "", number[MAX_TEXT];
        if (depth == 0 && value->type == MEGA_PICKLE_TENSOR && mega_pickle_is_text(key))
            continue;
        if (key && mega_pickle_is_text(key)) {
            add(name, "%s%.*s", prefix, MAX_TEXT, key->text.data);
        } else if (key) {
            describe(key, number);
            add(name, "%s%s", prefix, number);
        } else {
            add(name, "%s%zu", prefix, i);
        }
        int code;
        if (depth > 0 && value == chain[1]) {
            add(name, ".");
            code = mega_torch_extras(checkpoint, chain + 1, depth - 1, name, err);
        } else {
            code = add_row(checkpoint, name, value, err);
        }
        if (code)
            return code;
    }
    return 0;
}
