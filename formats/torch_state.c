/*
 * torch_state.c - from the value that torch.save stored to named tensors and arguments.
 *
 * What is stored is a state dict (name -> tensor), or a dict with one under a usual key beside
 * arguments and the state of the training run. Of the latter nothing is looked at.
 */
#include "checkpoint_build.h"

#include <stdio.h>
#include <string.h>

#define MAX_DEPTH 32       /* of arguments */
#define MAX_NODES 1000000u /* in them; values may be shared, so that few bytes can mean very many  \
                            */

/* ---- Arguments to JSON ---------------------------------------------------------------------- */

static json_t *to_json(const MegaPickleValue *value, int depth, unsigned *nodes);

static json_t *described(const MegaPickleValue *value)
{
    return json_sprintf("<%s>", mega_pickle_describe(value));
}

static json_t *array_to_json(const MegaPickleValue *value, int depth, unsigned *nodes)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < value->list.count; i++)
        if (json_array_append_new(array, to_json(value->list.items[i], depth + 1, nodes)) != 0) {
            json_decref(array);
            array = NULL;
        }
    return array;
}

/* Keys that are no text, such as numbers, are written as Python prints them or left out. */
static bool key_text(const MegaPickleValue *key, char *text, size_t size)
{
    if (key->type == MEGA_PICKLE_INT)
        return snprintf(text, size, "%lld", (long long)key->integer) > 0;
    if (!mega_pickle_is_text(key) || key->text.size >= size)
        return false;
    memcpy(text, key->text.data, key->text.size + 1);
    return true;
}

static json_t *dict_to_json(const MegaPickleValue *value, int depth, unsigned *nodes)
{
    char key[1024];
    json_t *object = json_object();
    for (size_t i = 0; object && i < value->list.count; i += 2)
        if (key_text(value->list.items[i], key, sizeof key) &&
            json_object_set_new(object, key, to_json(value->list.items[i + 1], depth + 1, nodes)) !=
                0) {
            json_decref(object);
            object = NULL;
        }
    return object;
}

/* NULL if there is no memory or if the value is too deep or too large. */
static json_t *to_json(const MegaPickleValue *value, int depth, unsigned *nodes)
{
    const MegaPickleValue *attributes = mega_pickle_namespace(value);
    if (depth > MAX_DEPTH || ++*nodes > MAX_NODES)
        return NULL;
    if (attributes)
        return dict_to_json(attributes, depth, nodes);
    switch (value->type) {
    case MEGA_PICKLE_NONE: return json_null();
    case MEGA_PICKLE_BOOL: return json_boolean(value->integer);
    case MEGA_PICKLE_INT: return json_integer(value->integer);
    case MEGA_PICKLE_FLOAT: {
        json_t *real = json_real(value->real);
        return real ? real : json_sprintf("%g", value->real); /* JSON has no infinity and no NaN */
    }
    case MEGA_PICKLE_STRING:
        return mega_pickle_is_text(value) ? json_stringn(value->text.data, value->text.size)
                                          : described(value);
    case MEGA_PICKLE_TUPLE:
    case MEGA_PICKLE_LIST:
    case MEGA_PICKLE_SET: return array_to_json(value, depth, nodes);
    case MEGA_PICKLE_DICT: return dict_to_json(value, depth, nodes);
    default: return described(value);
    }
}

/* `args`, or `cfg.model` of newer fairseq; a Namespace or a dict. */
static int take_args(MegaCheckpoint *checkpoint, const MegaPickleValue *root, MegaError *err)
{
    const MegaPickleValue *args = mega_pickle_get(root, "args");
    const MegaPickleValue *cfg = mega_pickle_get(root, "cfg");
    unsigned nodes = 0;
    if ((!args || args->type == MEGA_PICKLE_NONE) && cfg) {
        const MegaPickleValue *attributes = mega_pickle_namespace(cfg);
        args = mega_pickle_get(attributes ? attributes : cfg, "model");
    }
    if (!args || (args->type != MEGA_PICKLE_DICT && !mega_pickle_namespace(args)))
        return 0;
    checkpoint->args = to_json(args, 0, &nodes);
    if (!checkpoint->args)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_LIMIT,
                                    "the arguments are nested more than %d deep or have more than "
                                    "%u values",
                                    MAX_DEPTH, MAX_NODES);
    return 0;
}

/* ---- Tensors -------------------------------------------------------------------------------- */

static bool has_tensors(const MegaPickleValue *value)
{
    if (!value || value->type != MEGA_PICKLE_DICT)
        return false;
    for (size_t i = 1; i < value->list.count; i += 2)
        if (value->list.items[i]->type == MEGA_PICKLE_TENSOR)
            return true;
    return false;
}

static const MegaPickleValue *find_state_dict(const MegaPickleValue *root)
{
    static const char *const keys[] = {"model", "state_dict", "model_state_dict"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const MegaPickleValue *state = mega_pickle_get(root, keys[i]);
        if (has_tensors(state))
            return state;
    }
    return has_tensors(root) ? root : NULL;
}

static int take_tensor(MegaCheckpoint *checkpoint, const MegaPickleValue *name,
                       const MegaPickleTensor *have, MegaStorageFind find, void *context,
                       MegaError *err)
{
    MegaCheckpointTensor tensor = {.dtype = have->storage->dtype,
                                   .rank = have->rank,
                                   .elements = have->elements,
                                   .offset = have->offset};
    const uint8_t *bytes = NULL;
    memcpy(tensor.shape, have->shape, sizeof tensor.shape);
    memcpy(tensor.stride, have->stride, sizeof tensor.stride);
    if (!mega_pickle_is_text(name))
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_FORMAT, "the name of a tensor is %s, expected text",
                                    mega_pickle_describe(name));
    int code = find(context, have->storage, &bytes, &tensor.storage_size, err);
    if (code)
        return code;
    tensor.storage = bytes;
    return mega_checkpoint_add(checkpoint, &tensor, name->text.data, name->text.size, err);
}

int mega_torch_state(MegaCheckpoint *checkpoint, const MegaPickleValue *root, MegaStorageFind find,
                     void *context, MegaError *err)
{
    const MegaPickleValue *state = find_state_dict(root);
    if (!state)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_MODEL,
                                    "no tensors were found: the checkpoint holds %s; expected a "
                                    "state dict, or a dict with one as 'model', 'state_dict' or "
                                    "'model_state_dict'",
                                    mega_pickle_describe(root));
    for (size_t i = 0; i < state->list.count; i += 2) {
        const MegaPickleValue *value = state->list.items[i + 1];
        int code = 0;
        if (value->type == MEGA_PICKLE_TENSOR)
            code = take_tensor(checkpoint, state->list.items[i], value->tensor, find, context, err);
        if (code)
            return code;
    }
    return take_args(checkpoint, root, err);
}
