/*
 * pickle_calls.c - resolves the names and calls in a pickle; see unpickler.h. Nothing is executed:
 * a "call" of a name in the table makes a value of the matching type, and a call of any other name
 * makes an inert object.
 */
#include <inttypes.h>
#include <string.h>

#include "formats/checkpoint/unpickler.h"
#include "src/base/checked.h"

/* Limits on what a pickle can repeat with a few bytes each: names, which are copied and compared
 * each time, and the dict in which the kind of a view is looked up. */
#define MAX_NAME 512
#define MAX_METADATA 64

/* ---- Names ---------------------------------------------------------------------------------- */

/* Makes an entry for a name that is not in the table. It is inert, unless it is a function of
 * PyTorch that rebuilds some kind of tensor. */
static int make_global(MegaUnpickler *u, const char *module, size_t module_length, const char *name,
                       size_t name_length, const MegaPickleGlobal **out)
{
    static const char torch[] = "torch", rebuild[] = "_rebuild_";
    void *memory, *text;
    int code = mega_pickle_allocate(u, &memory, sizeof **out);
    if (!code)
        code = mega_pickle_allocate(u, &text, module_length + 1 + name_length + 1);
    if (code)
        return code;
    char *qualified = text;
    MegaPickleGlobal *global = memory;
    memcpy(qualified, module, module_length);
    qualified[module_length] = '.';
    memcpy(qualified + module_length + 1, name, name_length);
    global->qualified_name = qualified;
    if (strncmp(qualified, torch, sizeof torch - 1) == 0 &&
        strncmp(qualified + module_length + 1, rebuild, sizeof rebuild - 1) == 0) {
        global->kind = MEGA_GLOBAL_ODD_TENSOR;
        global->type = qualified + module_length + sizeof rebuild;
    }
    *out = global;
    return 0;
}

/* Returns whether a text has no control characters, which would otherwise get into lists and
 * messages. */
static bool is_name(const char *text, size_t length)
{
    uint32_t code = 0;
    for (size_t i = 0, size; i < length; i += size) {
        size = mega_utf8_decode(text + i, length - i, &code);
        if (!size || code < ' ' || (code >= 0x7f && code < 0xa0))
            return false;
    }
    return true;
}

int mega_pickle_push_global(MegaUnpickler *u, const char *module, size_t module_length,
                            const char *name, size_t name_length)
{
    const MegaPickleGlobal *global = mega_pickle_global(module, module_length, name, name_length);
    MegaPickleValue *value;
    int code = 0;
    if (module_length + name_length > MAX_NAME)
        return FAIL(u, MEGA_ERR_LIMIT, "the name of a global has %zu bytes, the limit is %d,",
                    module_length + name_length, MAX_NAME);
    if (!is_name(module, module_length) || !is_name(name, name_length))
        return BAD(u, "the name of a global is not text");
    if (!global)
        code = make_global(u, module, module_length, name, name_length, &global);
    if (!code)
        code = mega_pickle_push_new(u, MEGA_PICKLE_GLOBAL, &value);
    if (!code)
        value->global = global;
    return code;
}

/* Returns the last part of a name: "complex64" of torch.complex64. */
static const char *last_name(const MegaPickleGlobal *global)
{
    const char *dot = strrchr(global->qualified_name, '.');
    return dot ? dot + 1 : global->qualified_name;
}

static bool is_global(const MegaPickleValue *value, MegaGlobalKind kind)
{
    return value->type == MEGA_PICKLE_GLOBAL && value->global->kind == kind;
}

/* ---- Tensors -------------------------------------------------------------------------------- */

/* Reads a tuple of non-negative integers, such as a shape or strides. */
static bool get_sizes(const MegaPickleValue *tuple, int rank, uint64_t *sizes)
{
    if (tuple->type != MEGA_PICKLE_TUPLE || tuple->list.count != (size_t)rank)
        return false;
    for (int i = 0; i < rank; i++) {
        const MegaPickleValue *item = tuple->list.items[i];
        if (item->type != MEGA_PICKLE_INT || item->integer < 0)
            return false;
        sizes[i] = (uint64_t)item->integer;
    }
    return true;
}

/* Sets the shape of a tensor and its number of elements. The rank is -1 if the value is not a
 * shape, has too many dimensions, or if the number of elements overflows. */
static int set_shape(MegaUnpickler *u, MegaPickleTensor *tensor, const MegaPickleValue *size)
{
    void *memory;
    tensor->rank = -1;
    if (size->type != MEGA_PICKLE_TUPLE || size->list.count > MEGA_PICKLE_MAX_RANK)
        return 0;
    int rank = (int)size->list.count;
    int code = mega_pickle_allocate(u, &memory, (size_t)rank * (2 * sizeof(uint64_t)));
    if (code)
        return code;
    tensor->shape = memory;
    tensor->stride = (int64_t *)(tensor->shape + rank);
    if (!get_sizes(size, rank, tensor->shape))
        return 0;
    tensor->elements = 1;
    for (int i = 0; i < rank; i++)
        if (!mega_mul(tensor->elements, tensor->shape[i], &tensor->elements)) {
            tensor->elements = 0;
            return 0;
        }
    tensor->rank = rank;
    return 0;
}

/* Returns whether the last element of the tensor lies in its storage. */
static bool inside_storage(const MegaPickleTensor *tensor)
{
    const MegaPickleStorage *storage = tensor->storage;
    uint64_t last = tensor->offset, step, bytes;
    if (!mega_mul(storage->elements, storage->item_size, &bytes))
        return false;
    uint64_t room = bytes / mega_dtype_traits((int)tensor->dtype)->item_size;
    if (tensor->elements == 0)
        return tensor->offset <= room;
    for (int i = 0; i < tensor->rank; i++)
        if (!mega_mul(tensor->shape[i] - 1, (uint64_t)tensor->stride[i], &step) ||
            !mega_add(last, step, &last))
            return false;
    return last < room;
}

/* Sets the type of a tensor's elements, which is that of its storage or, for v3, an argument. The
 * metadata tell whether the tensor is a view that must be negated or conjugated. */
static void set_type(MegaPickleTensor *tensor, const MegaPickleValue *type,
                     const MegaPickleValue *metadata)
{
    static const char *const views[] = {"neg", "conj"};
    tensor->readable = tensor->storage->readable;
    tensor->dtype = tensor->storage->dtype;
    tensor->type = tensor->storage->type;
    if (type) {
        tensor->readable &= is_global(type, MEGA_GLOBAL_DTYPE) && type->global->readable;
        tensor->type = type->type == MEGA_PICKLE_GLOBAL ? last_name(type->global) : "unknown";
        if (tensor->readable) {
            tensor->dtype = type->global->dtype;
            tensor->type = mega_dtype_traits((int)tensor->dtype)->name;
        }
    }
    for (size_t i = 0; metadata && i < sizeof views / sizeof views[0]; i++) {
        const MegaPickleValue *set = mega_pickle_get(metadata, views[i]);
        if (set && set->type == MEGA_PICKLE_BOOL && set->integer && tensor->readable) {
            tensor->readable = false;
            tensor->type = views[i];
        }
    }
}

/* Handles _rebuild_tensor(storage, offset, size, stride), _rebuild_tensor_v2(the same,
 * requires_grad, backward_hooks, metadata=None), _rebuild_tensor_v3(..., backward_hooks, dtype,
 * metadata=None) */
static int rebuild_tensor(MegaUnpickler *u, const MegaPickleGlobal *function,
                          const MegaPickleValue *arguments, MegaPickleTensor *tensor)
{
    const char *end = function->qualified_name + strlen(function->qualified_name) - 3;
    bool third = strcmp(end, "_v3") == 0, first = !third && strcmp(end, "_v2") != 0;
    size_t count = arguments->list.count, least = first ? 4 : third ? 7 : 6;
    MegaPickleValue *const *item = arguments->list.items;
    if (count < least || count > least + !first || item[0]->type != MEGA_PICKLE_STORAGE ||
        item[1]->type != MEGA_PICKLE_INT || item[1]->integer < 0 ||
        item[2]->type != MEGA_PICKLE_TUPLE ||
        (count > least && mega_pickle_mapping(item[least]) &&
         mega_pickle_mapping(item[least])->list.count > 2 * MAX_METADATA))
        return BAD(u, "a tensor is rebuilt from the wrong values");
    tensor->storage = item[0]->storage;
    tensor->offset = (uint64_t)item[1]->integer;
    set_type(tensor, third ? item[6] : NULL, count > least ? item[least] : NULL);
    int code = set_shape(u, tensor, item[2]);
    if (code || !tensor->readable || item[2]->list.count > MEGA_PICKLE_MAX_RANK) {
        tensor->readable = false;
        return code;
    }
    if (tensor->rank < 0 && !get_sizes(item[2], (int)item[2]->list.count, tensor->shape))
        return BAD(u, "the shape of a tensor is not a tuple of sizes");
    if (tensor->rank >= 0 && !get_sizes(item[3], tensor->rank, (uint64_t *)tensor->stride))
        return BAD(u, "the stride of a tensor is not a tuple of sizes");
    if (tensor->rank < 0 || !inside_storage(tensor))
        return BAD(u, "a tensor reaches beyond its storage '%s' of %" PRIu64 " elements",
                   tensor->storage->key, tensor->storage->elements);
    return 0;
}

/* Makes a tensor that cannot be read: only its kind and perhaps its size are known. */
static int rebuild_odd_tensor(MegaUnpickler *u, const MegaPickleGlobal *function,
                              const MegaPickleValue *arguments, MegaPickleTensor *tensor)
{
    size_t at = (size_t)function->size_at;
    tensor->type = function->type;
    tensor->rank = -1;
    return at && at < arguments->list.count ? set_shape(u, tensor, arguments->list.items[at]) : 0;
}

static int push_tensor(MegaUnpickler *u, const MegaPickleGlobal *function,
                       const MegaPickleValue *arguments)
{
    MegaPickleValue *value;
    void *memory;
    int code = mega_pickle_allocate(u, &memory, sizeof(MegaPickleTensor));
    if (!code)
        code = function->kind == MEGA_GLOBAL_TENSOR
                   ? rebuild_tensor(u, function, arguments, memory)
                   : rebuild_odd_tensor(u, function, arguments, memory);
    if (!code)
        code = mega_pickle_push_new(u, MEGA_PICKLE_TENSOR, &value);
    if (!code)
        value->tensor = memory;
    return code;
}

/* ---- Calls ---------------------------------------------------------------------------------- */

/* Handles OrderedDict(), dict(), set() and list(), with an iterable as argument or without one. A
 * dict is made from a dict or from pairs. */
static int push_collection(MegaUnpickler *u, MegaPickleType type, const MegaPickleValue *arguments)
{
    MegaPickleValue *result;
    int code = mega_pickle_push_new(u, type, &result);
    if (code || arguments->list.count == 0)
        return code;
    const MegaPickleValue *source = arguments->list.items[0];
    bool plain = source->type == MEGA_PICKLE_LIST || source->type == MEGA_PICKLE_TUPLE ||
                 source->type == MEGA_PICKLE_SET;
    bool dict = type == MEGA_PICKLE_DICT && mega_pickle_mapping(source);
    if (arguments->list.count > 1 || (!plain && !dict))
        return BAD(u, "a collection is made from the wrong values");
    if (dict)
        source = mega_pickle_mapping(source);
    if (type != MEGA_PICKLE_DICT || dict)
        return mega_pickle_extend(u, result, source->list.items, source->list.count);
    for (size_t i = 0; i < source->list.count; i++) {
        const MegaPickleValue *pair = source->list.items[i];
        if ((pair->type != MEGA_PICKLE_LIST && pair->type != MEGA_PICKLE_TUPLE) ||
            pair->list.count != 2)
            return BAD(u, "a dictionary is made from something other than pairs");
        code = mega_pickle_extend(u, result, pair->list.items, 2);
        if (code)
            return code;
    }
    return 0;
}

static int push_object(MegaUnpickler *u, const MegaPickleGlobal *class,
                       const MegaPickleValue *arguments)
{
    MegaPickleValue *value;
    int code = mega_pickle_make(u, MEGA_PICKLE_OBJECT, &value);
    if (code)
        return code;
    value->object->class = class;
    value->object->arguments = arguments;
    return mega_pickle_push(u, value);
}

/* Handles _rebuild_from_type_v2(function, class, arguments, state), which gives a tensor or an
 * inert object. */
static int push_from_type(MegaUnpickler *u, const MegaPickleGlobal *function,
                          const MegaPickleValue *arguments)
{
    MegaPickleValue *const *item = arguments->list.items;
    if (arguments->list.count < 3 || item[2]->type != MEGA_PICKLE_TUPLE)
        return push_object(u, function, arguments);
    if (is_global(item[0], MEGA_GLOBAL_FROM_FIRST) && item[2]->list.count &&
        item[2]->list.items[0]->type == MEGA_PICKLE_TENSOR)
        return mega_pickle_push(u, item[2]->list.items[0]);
    if (is_global(item[0], MEGA_GLOBAL_TENSOR) || is_global(item[0], MEGA_GLOBAL_ODD_TENSOR))
        return push_tensor(u, item[0]->global, item[2]);
    return push_object(u, function, arguments);
}

int mega_pickle_call(MegaUnpickler *u, MegaPickleValue *callee, MegaPickleValue *arguments)
{
    if (arguments->type != MEGA_PICKLE_TUPLE)
        return BAD(u, "%s is called with %s", mega_pickle_describe(callee),
                   mega_pickle_describe(arguments));
    /* the callee is, for example, a method that getattr() returned */
    if (callee->type == MEGA_PICKLE_OBJECT)
        return push_object(u, callee->object->class, arguments);
    if (callee->type != MEGA_PICKLE_GLOBAL)
        return BAD(u, "%s is called", mega_pickle_describe(callee));
    const MegaPickleGlobal *global = callee->global;
    const MegaPickleValue *first = arguments->list.count ? arguments->list.items[0] : NULL;
    switch (global->kind) {
    case MEGA_GLOBAL_TENSOR:
    case MEGA_GLOBAL_ODD_TENSOR: return push_tensor(u, global, arguments);
    case MEGA_GLOBAL_FROM_TYPE: return push_from_type(u, global, arguments);
    case MEGA_GLOBAL_FROM_FIRST:
        return first && first->type == MEGA_PICKLE_TENSOR
                   ? mega_pickle_push(u, arguments->list.items[0])
                   : push_object(u, global, arguments);
    case MEGA_GLOBAL_DICT: return push_collection(u, MEGA_PICKLE_DICT, arguments);
    case MEGA_GLOBAL_SET: return push_collection(u, MEGA_PICKLE_SET, arguments);
    case MEGA_GLOBAL_LIST: return push_collection(u, MEGA_PICKLE_LIST, arguments);
    case MEGA_GLOBAL_TUPLE: return push_collection(u, MEGA_PICKLE_TUPLE, arguments);
    case MEGA_GLOBAL_DEFAULTDICT: {
        MegaPickleValue *result;
        return mega_pickle_push_new(u, MEGA_PICKLE_DICT, &result);
    }
    case MEGA_GLOBAL_CONSTRUCTOR:
        if (first && first->type == MEGA_PICKLE_GLOBAL)
            return push_object(u, first->global, arguments);
        return push_object(u, global, arguments);
    default: return push_object(u, global, arguments);
    }
}

int mega_pickle_build(MegaUnpickler *u)
{
    int code = mega_pickle_need(u, 2);
    if (code)
        return code;
    const MegaPickleValue *state = mega_pickle_top(u, 0);
    MegaPickleValue *value = mega_pickle_top(u, 1);
    u->stack.count--;
    /* The attributes of a tensor or of an OrderedDict, such as _metadata with the versions of
     * modules, do not change their data and are dropped. */
    if ((value->type == MEGA_PICKLE_DICT || value->type == MEGA_PICKLE_TENSOR) &&
        (state->type == MEGA_PICKLE_DICT || state->type == MEGA_PICKLE_TUPLE))
        return 0;
    if (value->type != MEGA_PICKLE_OBJECT)
        return BAD(u, "the attributes of %s are set", mega_pickle_describe(value));
    if (value->object->class->kind == MEGA_GLOBAL_NAMESPACE && state->type != MEGA_PICKLE_DICT)
        return BAD(u, "the attributes of a Namespace are %s, expected a dict",
                   mega_pickle_describe(state));
    value->object->state = state;
    return 0;
}

/* ---- Storages ------------------------------------------------------------------------------- */

/* Makes a storage from ('storage', storage type, key, location, elements[, view]). The type may be
 * one that this code does not know yet. */
static int push_storage(MegaUnpickler *u, MegaPickleValue *const *item, size_t count)
{
    void *memory;
    MegaPickleValue *value;
    const MegaPickleGlobal *type = item[1]->global;
    int code = mega_pickle_allocate(u, &memory, sizeof(MegaPickleStorage));
    if (code)
        return code;
    MegaPickleStorage *storage = memory;
    *storage = (MegaPickleStorage){.key = item[2]->text.data,
                                   .elements = (uint64_t)item[4]->integer,
                                   .readable = type->readable,
                                   .dtype = type->dtype,
                                   .item_size = type->item_size,
                                   .type = type->type ? type->type : last_name(type)};
    if (storage->readable) {
        storage->type = mega_dtype_traits((int)type->dtype)->name;
        storage->item_size = mega_dtype_traits((int)type->dtype)->item_size;
    }
    /* the storage is a part of another one */
    if (count == 6 && item[5]->type != MEGA_PICKLE_NONE) {
        storage->readable = false;
        storage->type = "view";
    }
    code = mega_pickle_push_new(u, MEGA_PICKLE_STORAGE, &value);
    if (code)
        return code;
    value->storage = storage;
    return mega_pickle_append(u, &u->pickle->storages, value);
}

int mega_pickle_persistent(MegaUnpickler *u)
{
    int code = mega_pickle_need(u, 1);
    if (code)
        return code;
    const MegaPickleValue *id = mega_pickle_top(u, 0);
    MegaPickleValue *const *item = id->list.items;
    if (id->type != MEGA_PICKLE_TUPLE || id->list.count < 2 || !mega_pickle_is_text(item[0]))
        return BAD(u, "a persistent id is not that of a storage");
    u->stack.count--;
    /* a module is saved as ('module', class, file, source) */
    if (strcmp(item[0]->text.data, "storage") != 0)
        return mega_pickle_push(u, item[1]);
    if (id->list.count < 5 || id->list.count > 6 || item[1]->type != MEGA_PICKLE_GLOBAL ||
        !mega_pickle_is_text(item[2]) || item[2]->text.size == 0 ||
        item[2]->text.size > MAX_NAME ||
        item[4]->type != MEGA_PICKLE_INT || item[4]->integer < 0)
        return BAD(u, "a persistent id is not that of a storage");
    return push_storage(u, item, id->list.count);
}
