/*
 * torch_args.c - converts the arguments of a training run from values of a pickle to JSON.
 *
 * Arguments are a Namespace, a dict, an instance of a class of options, or a tree of OmegaConf.
 * This code knows nothing of these classes but that Python pickles their attributes as a dict.
 */
#include "formats/checkpoint/checkpoint_build.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "formats/checkpoint/pickle_globals.h"

#define MAX_DEPTH 32
#define MAX_STEPS 8   /* most interpolations that lead to one another */
/* Estimated bytes of a JSON value besides its text, of an array or object besides its items, and of
 * an entry of an object besides key and value. */
#define NODE_BYTES 64
#define CONTAINER_BYTES 200
#define ENTRY_BYTES 64

/* The bytes that are left for JSON. A limit is needed, since a pickle of few bytes can share values
 * so often that the JSON becomes huge. It bounds the time, too: an attribute that is looked at
 * counts as one byte. */
typedef struct Budget {
    uint64_t left;
} Budget;

static bool spend(Budget *budget, uint64_t bytes)
{
    const bool allowed = bytes <= budget->left;
    budget->left -= allowed ? bytes : 0;
    return allowed;
}

static json_t *to_json(const MegaPickleValue *value, int depth, Budget *budget);

static json_t *described(const MegaPickleValue *value, Budget *budget)
{
    const char *text = mega_pickle_describe(value);
    return spend(budget, strlen(text)) ? json_sprintf("<%s>", text) : NULL;
}

static json_t *array_to_json(const MegaPickleValue *value, int depth, Budget *budget)
{
    json_t *array = spend(budget, CONTAINER_BYTES) ? json_array() : NULL;
    for (size_t i = 0; array && i < value->list.count; i++)
        if (json_array_append_new(array, to_json(value->list.items[i], depth + 1, budget)) != 0) {
            json_decref(array);
            array = NULL;
        }
    return array;
}

/* Converts a key to text. Integers are written as Python prints them; keys of other types are left
 * out. */
static bool key_text(const MegaPickleValue *key, char *text, size_t size)
{
    if (key->type == MEGA_PICKLE_INT)
        return snprintf(text, size, "%" PRId64, key->integer) > 0;
    if (!mega_pickle_is_text(key) || key->text.size >= size)
        return false;
    memcpy(text, key->text.data, key->text.size + 1);
    return true;
}

static json_t *dict_to_json(const MegaPickleValue *value, int depth, Budget *budget)
{
    char key[1024];
    json_t *object = spend(budget, CONTAINER_BYTES) ? json_object() : NULL;
    for (size_t i = 0; object && i < value->list.count; i += 2)
        if (key_text(value->list.items[i], key, sizeof key) &&
            (!spend(budget, ENTRY_BYTES + strlen(key)) ||
             json_object_set_new(object, key,
                                 to_json(value->list.items[i + 1], depth + 1, budget)) != 0)) {
            json_decref(object);
            object = NULL;
        }
    return object;
}

/* ---- Numbers of NumPy ----------------------------------------------------------------------- */

/* Reads the bytes that a value holds. Before protocol 3 they are written as a call that encodes
 * text as Latin-1. Returns their number, at most `size`. */
static size_t get_bytes(const MegaPickleValue *value, uint8_t *bytes, size_t size)
{
    size_t count = 0;
    if (value->type == MEGA_PICKLE_OBJECT && value->object->arguments->list.count == 2 &&
        strcmp(value->object->class->qualified_name, "_codecs.encode") == 0) {
        const MegaPickleValue *text = value->object->arguments->list.items[0];
        uint32_t code = 0;
        if (text->type != MEGA_PICKLE_STRING)
            return 0;
        for (size_t i = 0, length; i < text->text.size && count < size; i += length) {
            length = mega_utf8_decode(text->text.data + i, text->text.size - i, &code);
            if (!length || code > 0xff)
                return 0;
            bytes[count++] = (uint8_t)code;
        }
    } else if (value->type == MEGA_PICKLE_BYTES) {
        count = value->text.size < size ? value->text.size : size;
        memcpy(bytes, value->text.data, count);
    }
    return count;
}

static json_t *number_of(char kind, size_t size, const uint8_t bytes[8])
{
    const MegaDtype dtype = size == 2 ? MEGA_F16 : MEGA_F32;
    uint64_t bits = mega_load_u64(bytes);
    double real;
    float narrow;
    if (kind == 'b')
        return json_boolean(bits != 0);
    if (kind == 'i' && size < 8 && bits >> (8 * size - 1))
        bits |= UINT64_MAX << (8 * size);
    if (kind == 'i' || (kind == 'u' && bits <= INT64_MAX))
        return json_integer((json_int_t)bits);
    if (kind != 'f' || size < 2)
        return NULL;
    memcpy(&real, &bits, sizeof real);
    if (size < 8) {
        mega_dtype_to_f32(dtype, bytes, 1, &narrow);
        real = (double)narrow;
    }
    json_t *number = json_real(real);
    return number ? number : json_sprintf("%g", real);
}

/* Converts numpy.core.multiarray.scalar(dtype, bytes). Returns NULL for any other object. */
static json_t *numpy_scalar(const MegaPickleObject *object)
{
    const MegaPickleValue *const arguments = object->arguments;
    const char *name = object->class->qualified_name;
    uint8_t bytes[9] = {0};
    if (strncmp(name, "numpy.", 6) != 0 || !strstr(name, ".multiarray.scalar") ||
        arguments->list.count != 2 || arguments->list.items[0]->type != MEGA_PICKLE_OBJECT)
        return NULL;
    const MegaPickleObject *dtype = arguments->list.items[0]->object;
    const MegaPickleValue *code =
        dtype->arguments->list.count ? dtype->arguments->list.items[0] : NULL;
    const MegaPickleValue *order =
        dtype->state && dtype->state->type == MEGA_PICKLE_TUPLE && dtype->state->list.count > 1
            ? dtype->state->list.items[1]
            : NULL;
    if (!code || !mega_pickle_is_text(code) || code->text.size != 2 ||
        !strchr("fiub", code->text.data[0]) || !strchr("1248", code->text.data[1]) ||
        (order && mega_pickle_is_text(order) && strcmp(order->text.data, ">") == 0))
        return NULL;
    size_t size = (size_t)(code->text.data[1] - '0');
    if (get_bytes(arguments->list.items[1], bytes, sizeof bytes) != size)
        return NULL;
    return number_of(code->text.data[0], size, bytes);
}

/* ---- Interpolations of OmegaConf ------------------------------------------------------------ */

/* Returns the value at "a.b.c" below root, or NULL if there is none or it is an object or array. */
static json_t *look_up(json_t *root, const char *path)
{
    json_t *value = root;
    while (value && *path) {
        size_t length = strcspn(path, ".");
        value = json_object_getn(value, path, length);
        path += length + (path[length] == '.');
    }
    return json_is_object(value) || json_is_array(value) ? NULL : value;
}

/* Resolves a string "${a.b}", which stands for another value of the tree. That value may be such a
 * string, too. */
static json_t *resolved(json_t *root, json_t *value)
{
    for (int steps = 0; steps < MAX_STEPS && json_is_string(value); steps++) {
        const char *text = json_string_value(value);
        size_t length = strlen(text);
        char path[256];
        if (length < 4 || length >= sizeof path || strncmp(text, "${", 2) != 0 ||
            text[length - 1] != '}')
            return value;
        memcpy(path, text + 2, length - 3);
        path[length - 3] = '\0';
        json_t *found = look_up(root, path);
        if (!found)
            return value;
        value = found;
    }
    return value;
}

static void resolve(json_t *root, json_t *node, int depth)
{
    json_t *value, *found;
    void *next;
    if (depth > MAX_DEPTH)
        return;
    for (void *at = json_object_iter(node); at; at = next) {
        next = json_object_iter_next(node, at);
        value = json_object_iter_value(at);
        if ((found = resolved(root, value)) != value)
            json_object_iter_set(node, at, found);
        else
            resolve(root, value, depth + 1);
    }
    for (size_t i = 0; i < json_array_size(node); i++) {
        value = json_array_get(node, i);
        if ((found = resolved(root, value)) != value)
            json_array_set(node, i, found);
        else
            resolve(root, value, depth + 1);
    }
}

/* ---- Objects -------------------------------------------------------------------------------- */

/* Returns the plain value of an object that consists of one, such as a member of an enumeration;
 * else NULL. */
static const MegaPickleValue *only_value(const MegaPickleObject *object)
{
    const MegaPickleValue *arguments = object->arguments;
    const char *name = object->class->qualified_name;
    if (object->class->kind != MEGA_GLOBAL_UNKNOWN || object->state)
        return NULL;
    bool by_name =
        strcmp(name, "builtins.getattr") == 0 || strcmp(name, "__builtin__.getattr") == 0;
    /* Python 3.11 pickles members as getattr(class, name) */
    if (by_name && arguments->list.count == 2 &&
        arguments->list.items[0]->type == MEGA_PICKLE_GLOBAL &&
        arguments->list.items[1]->type == MEGA_PICKLE_STRING)
        return arguments->list.items[1];
    if (arguments->list.count != 1)
        return NULL;
    switch (arguments->list.items[0]->type) {
    case MEGA_PICKLE_BOOL:
    case MEGA_PICKLE_INT:
    case MEGA_PICKLE_FLOAT:
    case MEGA_PICKLE_STRING: return arguments->list.items[0];
    default: return NULL;
    }
}

static json_t *object_to_json(const MegaPickleValue *value, int depth, Budget *budget)
{
    const MegaPickleObject *object = value->object;
    const MegaPickleValue *attributes = mega_pickle_attributes(value), *inner = NULL;
    if (attributes && !spend(budget, attributes->list.count))
        return NULL;
    if (object->items)
        return object->items->type == MEGA_PICKLE_DICT
                   ? dict_to_json(object->items, depth, budget)
                   : array_to_json(object->items, depth, budget);
    json_t *number = numpy_scalar(object);
    if (number)
        return number;
    /* read the content of an OmegaConf tree */
    if (attributes && !(inner = mega_pickle_get(attributes, "_content")))
        /* read the value of an OmegaConf leaf */
        inner = mega_pickle_get(attributes, "_val");
    if (!inner)
        inner = only_value(object);
    if (inner) {
        json_t *json = to_json(inner, depth + 1, budget);
        const MegaPickleValue *parent = attributes ? mega_pickle_get(attributes, "_parent") : NULL;
        /* this is the root of an OmegaConf tree */
        if (json && parent && parent->type == MEGA_PICKLE_NONE)
            resolve(json, json, 0);
        return json;
    }
    return attributes ? dict_to_json(attributes, depth, budget) : described(value, budget);
}

/* Converts a value to JSON. Returns NULL if memory runs out or the value is too large. */
static json_t *to_json(const MegaPickleValue *value, int depth, Budget *budget)
{
    if (!spend(budget, NODE_BYTES + (value->type == MEGA_PICKLE_STRING ? value->text.size : 0)))
        return NULL;
    if (depth > MAX_DEPTH) /* the value may contain itself */
        return described(value, budget);
    switch (value->type) {
    case MEGA_PICKLE_NONE: return json_null();
    case MEGA_PICKLE_BOOL: return json_boolean(value->integer);
    case MEGA_PICKLE_INT: return json_integer(value->integer);
    case MEGA_PICKLE_FLOAT: {
        json_t *real = json_real(value->real);
        /* JSON has neither infinity nor NaN */
        return real ? real : json_sprintf("%g", value->real);
    }
    case MEGA_PICKLE_STRING:
        return mega_pickle_is_text(value)
                   ? json_stringn(value->text.size ? value->text.data : "", value->text.size)
                   : described(value, budget);
    case MEGA_PICKLE_TUPLE:
    case MEGA_PICKLE_LIST:
    case MEGA_PICKLE_SET: return array_to_json(value, depth, budget);
    case MEGA_PICKLE_DICT: return dict_to_json(value, depth, budget);
    case MEGA_PICKLE_OBJECT: return object_to_json(value, depth, budget);
    default: return described(value, budget);
    }
}

/* ---- Finding the arguments ------------------------------------------------------------------ */

static const MegaPickleValue *usable(const MegaPickleValue *value)
{
    return value && (mega_pickle_mapping(value) || mega_pickle_attributes(value)) ? value : NULL;
}

/* Returns the value of a key, or the attribute of that name. */
static const MegaPickleValue *member(const MegaPickleValue *value, const char *name)
{
    const MegaPickleValue *attributes = mega_pickle_attributes(value), *content;
    if (attributes && (content = mega_pickle_get(attributes, "_content")))
        attributes = content;
    const MegaPickleValue *found = mega_pickle_get(value, name);
    return found || !attributes ? found : mega_pickle_get(attributes, name);
}

/* Finds the arguments. If they are the section "model" of a configuration, *whole becomes all of
 * it, else NULL. */
static const MegaPickleValue *find_arguments(const MegaPickleValue *root,
                                             const MegaPickleValue **whole)
{
    static const char *const keys[] = {
        "args",   "hyper_parameters", "hparams",     "hyperparameters",
        "config", "model_args",       "model_config"};
    const MegaPickleValue *cfg, *found = usable(mega_pickle_get(root, keys[0]));
    *whole = NULL;
    if (!found && (cfg = usable(mega_pickle_get(root, "cfg")))) { /* newer versions of fairseq */
        found = member(cfg, "model") ? usable(member(cfg, "model")) : NULL;
        *whole = found ? cfg : NULL;
        found = found ? found : cfg;
    }
    for (size_t i = 1; !found && i < sizeof keys / sizeof keys[0]; i++)
        found = usable(mega_pickle_get(root, keys[i]));
    return found;
}

/* Replaces a configuration with one of its sections, whose values may stand for those of others, as
 * "${task.tokens_per_sample}" does. */
static void keep_section(json_t **config, const char *name)
{
    resolve(*config, *config, 0);
    json_t *section = json_incref(json_object_get(*config, name));
    json_decref(*config);
    *config = section;
}

/* Copies nested arguments to the top. They are one level deeper if a module saves all arguments as
 * one, self.save_hyperparameters(args). Values that are at the top already have precedence. */
static int lift_nested(json_t *args)
{
    static const char *const keys[] = {"args", "cfg", "config", "hparams", "model"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        json_t *nested = json_object_get(args, keys[i]);
        if (json_is_object(nested)) {
            /* update from a copy, since the nested object is itself a member of args */
            json_t *copy = json_copy(nested);
            int failed = copy ? json_object_update_missing(args, copy) : -1;
            json_decref(copy);
            if (failed)
                return failed;
        }
    }
    return 0;
}

int mega_torch_arguments(MegaCheckpoint *checkpoint, const MegaPickleValue *root, MegaError *err)
{
    const MegaPickleValue *whole, *args = find_arguments(root, &whole);
    Budget budget = {.left = mega_checkpoint_allowance(checkpoint)};
    if (checkpoint->args || !args)
        return 0;
    checkpoint->args = to_json(whole ? whole : args, 0, &budget);
    if (!checkpoint->args)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_LIMIT,
                                    "the arguments need more than %.1f MB of memory, the most that "
                                    "this file may take",
                                    (double)mega_checkpoint_allowance(checkpoint) / 1e6);
    checkpoint->memory += mega_checkpoint_allowance(checkpoint) - budget.left;
    if (whole)
        keep_section(&checkpoint->args, "model");
    if (!json_is_object(checkpoint->args)) { /* for example an OmegaConf tree that is one string */
        json_decref(checkpoint->args);
        checkpoint->args = NULL;
        return 0;
    }
    return lift_nested(checkpoint->args) == 0
               ? 0
               : MEGA_CHECKPOINT_FAIL(MEGA_ERR_MEMORY, "no memory for the arguments");
}
