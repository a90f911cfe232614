/*
 * pickle.c - a data-only machine for pickles; see pickle.h.
 *
 * The state is a stack of values, a stack of marks into it, and a memo. Every opcode checks how
 * many values it needs above the last mark and of what type they are. All memory comes from one
 * arena with a limit, which bounds work too: what copies more than its own bytes pays for it.
 */
#include "pickle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "checked.h"
#include "pickle_globals.h"

#define MAX_MARKS 256
#define MAX_STACK (1u << 20)
#define MAX_MEMO (1u << 24)
#define FIRST_CAPACITY 64 /* of stack, memo and storages */
#define ARENA_BLOCK 65536

typedef struct Block {
    struct Block *next;
    size_t used, size;
    max_align_t data[];
} Block;

/* A growing array of pointers. */
typedef struct Values {
    MegaPickleValue **items;
    size_t count, capacity;
} Values;

struct MegaPickle {
    Block *blocks; /* newest first */
    uint64_t memory;
    MegaPickleValue *root;
    Values storages;
};

typedef struct Machine {
    MegaPickle *pickle;
    const char *name;
    MegaError *err;
    MegaReader reader;
    size_t at;   /* of the opcode that is being run */
    size_t base; /* the stack above the last mark begins here */
    size_t marks[MAX_MARKS], mark_count;
    Values stack, memo;
    uint64_t operations;
    bool stopped;
} Machine;

#define FAIL(code, format, ...)                                                                    \
    mega_fail(m->err, code, "%s: " format " at byte %zu of the pickle", m->name, ##__VA_ARGS__,    \
              m->at)
#define BAD(format, ...) FAIL(MEGA_ERR_FORMAT, format, ##__VA_ARGS__)

/* ---- Memory --------------------------------------------------------------------------------- */

static int no_memory(const Machine *m)
{
    return mega_fail(m->err, MEGA_ERR_MEMORY, "%s: no memory for the values of the pickle",
                     m->name);
}

/* Zeroed memory of the arena, aligned for every type. */
static int allocate(Machine *m, void **out, size_t size)
{
    MegaPickle *pickle = m->pickle;
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    Block *block = pickle->blocks;
    if (!block || block->size - block->used < size) {
        size_t room = size > ARENA_BLOCK ? size : ARENA_BLOCK;
        pickle->memory += room;
        if (pickle->memory > MEGA_PICKLE_MAX_MEMORY)
            return FAIL(MEGA_ERR_LIMIT, "the values need more than %" PRIu64 " MB of memory",
                        MEGA_PICKLE_MAX_MEMORY >> 20);
        block = calloc(1, sizeof *block + room);
        if (!block)
            return no_memory(m);
        block->size = room;
        block->next = pickle->blocks;
        pickle->blocks = block;
    }
    *out = (char *)block->data + block->used;
    block->used += size;
    return 0;
}

/* Appends to an array that is not in the arena. */
static int append(Machine *m, Values *values, MegaPickleValue *value)
{
    if (values->count == values->capacity) {
        size_t capacity = values->capacity ? values->capacity * 2 : FIRST_CAPACITY;
        MegaPickleValue **items = realloc(values->items, capacity * sizeof *items);
        if (!items)
            return no_memory(m);
        values->items = items;
        values->capacity = capacity;
    }
    values->items[values->count++] = value;
    return 0;
}

static int push(Machine *m, MegaPickleValue *value)
{
    if (m->stack.count == MAX_STACK)
        return FAIL(MEGA_ERR_LIMIT, "the stack exceeds the limit of %u values", MAX_STACK);
    return append(m, &m->stack, value);
}

/* Pushes a new value of the type. */
static int push_new(Machine *m, MegaPickleType type, MegaPickleValue **out)
{
    void *value;
    int code = allocate(m, &value, sizeof **out);
    if (code)
        return code;
    *out = value;
    (*out)->type = type;
    return push(m, *out);
}

/* Appends count values to a list, set or dict; doubling keeps the arena's waste to one half. */
static int extend(Machine *m, MegaPickleValue *list, MegaPickleValue *const *items, size_t count)
{
    size_t needed = list->list.count + count; /* both bounded by the pickle's size */
    if (needed > list->list.capacity) {
        size_t capacity = list->list.capacity * 2 > needed ? list->list.capacity * 2 : needed;
        void *grown;
        int code = allocate(m, &grown, capacity * sizeof *items);
        if (code)
            return code;
        if (list->list.count)
            memcpy(grown, list->list.items, list->list.count * sizeof *items);
        list->list.items = grown;
        list->list.capacity = capacity;
    }
    if (count)
        memcpy(list->list.items + list->list.count, items, count * sizeof *items);
    list->list.count = needed;
    return 0;
}

/* ---- Stack ---------------------------------------------------------------------------------- */

static int need(Machine *m, size_t count)
{
    return m->stack.count - m->base < count ? BAD("the stack is empty") : 0;
}

/* The value `depth` below the top, which need() has vouched for. */
static MegaPickleValue *top(const Machine *m, size_t depth)
{
    return m->stack.items[m->stack.count - 1 - depth];
}

static int push_mark(Machine *m)
{
    if (m->mark_count == MAX_MARKS)
        return FAIL(MEGA_ERR_LIMIT, "values are nested more than %d deep", MAX_MARKS);
    m->marks[m->mark_count++] = m->base;
    m->base = m->stack.count;
    return 0;
}

/* Items above the last mark, which stay readable until the next push; the mark is gone. */
static int pop_mark(Machine *m, MegaPickleValue ***items, size_t *count)
{
    *items = NULL;
    *count = 0;
    if (!m->mark_count)
        return BAD("a mark is missing");
    *items = m->stack.items + m->base;
    *count = m->stack.count - m->base;
    m->stack.count = m->base;
    m->base = m->marks[--m->mark_count];
    return 0;
}

/* ---- Values --------------------------------------------------------------------------------- */

static int push_integer(Machine *m, MegaPickleType type, int64_t integer)
{
    MegaPickleValue *value;
    int code = push_new(m, type, &value);
    if (!code)
        value->integer = integer;
    return code;
}

static int push_text(Machine *m, MegaPickleType type, uint64_t size)
{
    const uint8_t *data = mega_get_bytes(&m->reader, size);
    MegaPickleValue *value;
    void *copy;
    if (!data)
        return BAD("a string of %" PRIu64 " bytes reaches beyond the end", size);
    int code = push_new(m, type, &value);
    if (!code)
        code = allocate(m, &copy, (size_t)size + 1);
    if (code)
        return code;
    memcpy(copy, data, (size_t)size);
    value->text.data = copy;
    value->text.size = (size_t)size;
    return 0;
}

/* Python writes lone surrogates (U+D800 to U+DFFF) into pickles, though they are no UTF-8. */
static bool is_pickled_unicode(const char *text, size_t size)
{
    const uint8_t *at = (const uint8_t *)text, *end = at + size;
    while (at < end) {
        size_t length = mega_utf8_decode(at, (size_t)(end - at), NULL);
        if (!length && end - at >= 3 && at[0] == 0xed && at[1] >= 0xa0 && at[1] <= 0xbf &&
            (at[2] & 0xc0) == 0x80)
            length = 3;
        if (!length)
            return false;
        at += length;
    }
    return true;
}

static int push_unicode(Machine *m, uint64_t size)
{
    int code = push_text(m, MEGA_PICKLE_STRING, size);
    if (code)
        return code;
    const MegaPickleValue *value = m->stack.items[m->stack.count - 1];
    if (!is_pickled_unicode(value->text.data, value->text.size))
        return BAD("a string is not UTF-8");
    return 0;
}

static int push_long(Machine *m, uint64_t size)
{
    if (size > 8)
        return push_text(m, MEGA_PICKLE_LONG, size);
    const uint8_t *data = mega_get_bytes(&m->reader, size);
    uint64_t bits = 0;
    if (!data)
        return BAD("an integer reaches beyond the end");
    for (uint64_t i = 0; i < 8; i++)
        bits |= (uint64_t)(i < size ? data[i] : size && data[size - 1] & 0x80 ? 0xff : 0) << 8 * i;
    return push_integer(m, MEGA_PICKLE_INT, (int64_t)bits);
}

static int push_float(Machine *m)
{
    const uint8_t *data = mega_get_bytes(&m->reader, 8);
    uint64_t bits = 0;
    MegaPickleValue *value;
    if (!data)
        return BAD("a number reaches beyond the end");
    for (int i = 0; i < 8; i++) /* the one big-endian field of pickles */
        bits = bits << 8 | data[i];
    int code = push_new(m, MEGA_PICKLE_FLOAT, &value);
    if (!code)
        memcpy(&value->real, &bits, sizeof bits);
    return code;
}

/* A new collection of the items that the caller took off the stack. */
static int push_list(Machine *m, MegaPickleType type, MegaPickleValue **items, size_t count)
{
    void *memory;
    int code = allocate(m, &memory, sizeof(MegaPickleValue));
    if (code)
        return code;
    MegaPickleValue *value = memory;
    value->type = type;
    code = extend(m, value, items, count);
    return code ? code : push(m, value);
}

static int push_tuple(Machine *m, size_t count)
{
    int code = need(m, count);
    if (code)
        return code;
    m->stack.count -= count;
    return push_list(m, MEGA_PICKLE_TUPLE, m->stack.items + m->stack.count, count);
}

static int push_marked(Machine *m, MegaPickleType type)
{
    MegaPickleValue **items;
    size_t count;
    int code = pop_mark(m, &items, &count);
    if (!code && type == MEGA_PICKLE_DICT && count % 2)
        code = BAD("a dictionary has a key without a value");
    return code ? code : push_list(m, type, items, count);
}

/* Adds items that lie above a collection of the type to it. */
static int add_items(Machine *m, MegaPickleType type, MegaPickleValue **items, size_t count)
{
    int code = need(m, 1);
    if (code)
        return code;
    if (top(m, 0)->type != type)
        return BAD("items are added to %s, expected %s", mega_pickle_describe(top(m, 0)),
                   mega_pickle_describe(&(MegaPickleValue){.type = type}));
    if (type == MEGA_PICKLE_DICT && count % 2)
        return BAD("a dictionary has a key without a value");
    return extend(m, top(m, 0), items, count);
}

static int add_marked(Machine *m, MegaPickleType type)
{
    MegaPickleValue **items;
    size_t count;
    int code = pop_mark(m, &items, &count);
    return code ? code : add_items(m, type, items, count);
}

static int add_some(Machine *m, MegaPickleType type, size_t count)
{
    int code = need(m, count);
    if (code)
        return code;
    m->stack.count -= count;
    return add_items(m, type, m->stack.items + m->stack.count, count);
}

/* ---- Memo ----------------------------------------------------------------------------------- */

static int memo_put(Machine *m, uint64_t index)
{
    int code = need(m, 1);
    /* Picklers count up; a number beyond what can have been stored is a bomb. */
    if (!code && (index > m->operations || index > MAX_MEMO))
        code = FAIL(MEGA_ERR_LIMIT, "memo number %" PRIu64 " is out of range", index);
    while (!code && m->memo.count <= index)
        code = append(m, &m->memo, NULL);
    if (!code)
        m->memo.items[index] = top(m, 0);
    return code;
}

static int memo_get(Machine *m, uint64_t index)
{
    if (index >= m->memo.count || !m->memo.items[index])
        return BAD("memo number %" PRIu64 " was never stored", index);
    return push(m, m->memo.items[index]);
}

/* ---- Names and calls ------------------------------------------------------------------------ */

static int push_global(Machine *m, const char *module, size_t module_length, const char *name,
                       size_t name_length)
{
    const MegaPickleGlobal *global = mega_pickle_global(module, module_length, name, name_length);
    MegaPickleValue *value;
    if (!mega_utf8_valid(module, module_length) || !mega_utf8_valid(name, name_length))
        return BAD("the name of a global is not text");
    if (!global)
        return FAIL(MEGA_ERR_UNSUPPORTED,
                    "the global '%.*s.%.*s' is not allowed (only plain data is read, nothing is "
                    "executed; save the model's state_dict); it is named",
                    (int)(module_length < 100 ? module_length : 100), module,
                    (int)(name_length < 100 ? name_length : 100), name);
    int code = push_new(m, MEGA_PICKLE_GLOBAL, &value);
    if (!code)
        value->global = global;
    return code;
}

/* The rest of a line without its end. */
static const char *get_line(Machine *m, size_t *length)
{
    const uint8_t *start = m->reader.data + m->reader.position;
    const uint8_t *end = memchr(start, '\n', mega_reader_left(&m->reader));
    if (!end)
        return NULL;
    *length = (size_t)(end - start);
    mega_get_bytes(&m->reader, *length + 1);
    return (const char *)start;
}

static int op_global(Machine *m)
{
    size_t module_length = 0, name_length = 0;
    const char *module = get_line(m, &module_length);
    const char *name = module ? get_line(m, &name_length) : NULL;
    return name ? push_global(m, module, module_length, name, name_length)
                : BAD("the name of a global reaches beyond the end");
}

static int op_stack_global(Machine *m)
{
    int code = need(m, 2);
    if (code)
        return code;
    const MegaPickleValue *module = top(m, 1), *name = top(m, 0);
    if (module->type != MEGA_PICKLE_STRING || name->type != MEGA_PICKLE_STRING)
        return BAD("the name of a global is not text");
    m->stack.count -= 2;
    return push_global(m, module->text.data, module->text.size, name->text.data, name->text.size);
}

/* A tuple of non-negative integers, as shapes and strides are. */
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

/* The last element of the tensor must lie in the storage. */
static bool inside_storage(MegaPickleTensor *tensor)
{
    uint64_t last = tensor->offset, step;
    tensor->elements = 1;
    for (int i = 0; i < tensor->rank; i++)
        if (!mega_mul(tensor->elements, tensor->shape[i], &tensor->elements))
            return false;
    if (tensor->elements == 0)
        return tensor->offset <= tensor->storage->elements;
    for (int i = 0; i < tensor->rank; i++)
        if (!mega_mul(tensor->shape[i] - 1, (uint64_t)tensor->stride[i], &step) ||
            !mega_add(last, step, &last))
            return false;
    return last < tensor->storage->elements;
}

/* _rebuild_tensor(storage, offset, size, stride), _rebuild_tensor_v2(the same, requires_grad,
 * backward_hooks, metadata=None) */
static int rebuild_tensor(Machine *m, const MegaPickleGlobal *function,
                          const MegaPickleValue *arguments, MegaPickleValue *result)
{
    bool first = strcmp(function->qualified_name, "torch._utils._rebuild_tensor") == 0;
    size_t count = arguments->list.count;
    uint64_t stride[MEGA_PICKLE_MAX_RANK];
    void *memory;
    if (count < (first ? 4 : 6) || count > (first ? 4 : 7) ||
        arguments->list.items[0]->type != MEGA_PICKLE_STORAGE ||
        arguments->list.items[1]->type != MEGA_PICKLE_INT ||
        arguments->list.items[1]->integer < 0 ||
        arguments->list.items[2]->type != MEGA_PICKLE_TUPLE)
        return BAD("a tensor is rebuilt from the wrong values");
    int code = allocate(m, &memory, sizeof(MegaPickleTensor));
    if (code)
        return code;
    MegaPickleTensor *tensor = memory;
    size_t rank = arguments->list.items[2]->list.count;
    if (rank > MEGA_PICKLE_MAX_RANK)
        return FAIL(MEGA_ERR_LIMIT, "a tensor has more than %d dimensions", MEGA_PICKLE_MAX_RANK);
    tensor->rank = (int)rank;
    tensor->storage = &arguments->list.items[0]->storage;
    tensor->offset = (uint64_t)arguments->list.items[1]->integer;
    if (!get_sizes(arguments->list.items[2], tensor->rank, tensor->shape) ||
        !get_sizes(arguments->list.items[3], tensor->rank, stride))
        return BAD("the shape or stride of a tensor is not a tuple of sizes");
    for (size_t i = 0; i < rank; i++)
        tensor->stride[i] = (int64_t)stride[i];
    if (!inside_storage(tensor))
        return BAD("a tensor reaches beyond its storage '%s' of %" PRIu64 " elements",
                   tensor->storage->key, tensor->storage->elements);
    result->type = MEGA_PICKLE_TENSOR;
    result->tensor = tensor;
    return 0;
}

/* OrderedDict(), dict(), set(), list() or the same of an iterable, which has been pickled as a list
 * (of pairs, for a dict). */
static int make_collection(Machine *m, MegaPickleType type, const MegaPickleValue *arguments,
                           MegaPickleValue *result)
{
    result->type = type;
    if (arguments->list.count == 0)
        return 0;
    const MegaPickleValue *source = arguments->list.items[0];
    bool plain = source->type == MEGA_PICKLE_LIST || source->type == MEGA_PICKLE_TUPLE;
    if (arguments->list.count > 1 || !plain)
        return BAD("a collection is made from the wrong values");
    if (type != MEGA_PICKLE_DICT)
        return extend(m, result, source->list.items, source->list.count);
    for (size_t i = 0; i < source->list.count; i++) {
        const MegaPickleValue *pair = source->list.items[i];
        if ((pair->type != MEGA_PICKLE_LIST && pair->type != MEGA_PICKLE_TUPLE) ||
            pair->list.count != 2)
            return BAD("a dictionary is made from something else than pairs");
        int code = extend(m, result, pair->list.items, 2);
        if (code)
            return code;
    }
    return 0;
}

/* What "calling" a name of the list gives; REDUCE and NEWOBJ alike. */
static int op_call(Machine *m)
{
    int code = need(m, 2);
    if (code)
        return code;
    const MegaPickleValue *callee = top(m, 1), *arguments = top(m, 0);
    if (callee->type != MEGA_PICKLE_GLOBAL || arguments->type != MEGA_PICKLE_TUPLE)
        return BAD("%s is called", mega_pickle_describe(callee));
    m->stack.count -= 2;
    if (callee->global->kind == MEGA_GLOBAL_PARAMETER) {
        if (!arguments->list.count || arguments->list.items[0]->type != MEGA_PICKLE_TENSOR)
            return BAD("a parameter is made from something else than a tensor");
        return push(m, arguments->list.items[0]);
    }
    MegaPickleValue *result;
    code = push_new(m, MEGA_PICKLE_OBJECT, &result);
    if (code)
        return code;
    switch (callee->global->kind) {
    case MEGA_GLOBAL_TENSOR: return rebuild_tensor(m, callee->global, arguments, result);
    case MEGA_GLOBAL_DICT: return make_collection(m, MEGA_PICKLE_DICT, arguments, result);
    case MEGA_GLOBAL_SET: return make_collection(m, MEGA_PICKLE_SET, arguments, result);
    case MEGA_GLOBAL_LIST: return make_collection(m, MEGA_PICKLE_LIST, arguments, result);
    case MEGA_GLOBAL_TUPLE: return make_collection(m, MEGA_PICKLE_TUPLE, arguments, result);
    case MEGA_GLOBAL_NAMESPACE:
    case MEGA_GLOBAL_INERT: result->object.class = callee->global; return 0;
    default: return BAD("%s is called", mega_pickle_describe(callee));
    }
}

/* BUILD sets the attributes of what lies below its argument. */
static int op_build(Machine *m)
{
    int code = need(m, 2);
    if (code)
        return code;
    MegaPickleValue *state = top(m, 0), *value = top(m, 1);
    m->stack.count--;
    /* The attributes of an OrderedDict (_metadata: versions of modules) say nothing about data. */
    if (value->type == MEGA_PICKLE_DICT && state->type == MEGA_PICKLE_DICT)
        return 0;
    if (value->type != MEGA_PICKLE_OBJECT)
        return BAD("the attributes of %s are set", mega_pickle_describe(value));
    if (value->object.class->kind == MEGA_GLOBAL_NAMESPACE && state->type != MEGA_PICKLE_DICT)
        return BAD("the attributes of a Namespace are %s, expected a dict",
                   mega_pickle_describe(state));
    value->object.state = state;
    return 0;
}

/* ('storage', storage type, key, location, elements[, view]) */
static int op_persistent(Machine *m)
{
    int code = need(m, 1);
    if (code)
        return code;
    const MegaPickleValue *id = top(m, 0);
    MegaPickleValue *const *item = id->list.items, *value;
    if (id->type != MEGA_PICKLE_TUPLE || id->list.count < 5 || id->list.count > 6 ||
        !mega_pickle_is_text(item[0]) || strcmp(item[0]->text.data, "storage") != 0 ||
        item[1]->type != MEGA_PICKLE_GLOBAL || item[1]->global->kind != MEGA_GLOBAL_STORAGE ||
        !mega_pickle_is_text(item[2]) || item[2]->text.size == 0 ||
        item[4]->type != MEGA_PICKLE_INT || item[4]->integer < 0)
        return BAD("a persistent id is not that of a storage");
    if (id->list.count == 6 && item[5]->type != MEGA_PICKLE_NONE)
        return FAIL(MEGA_ERR_UNSUPPORTED, "a storage is a view of another one");
    m->stack.count--;
    code = push_new(m, MEGA_PICKLE_STORAGE, &value);
    if (code)
        return code;
    value->storage = (MegaPickleStorage){.dtype = item[1]->global->dtype,
                                         .key = item[2]->text.data,
                                         .elements = (uint64_t)item[4]->integer};
    return append(m, &m->pickle->storages, value);
}

/* ---- Opcodes -------------------------------------------------------------------------------- */

static int op_protocol(Machine *m)
{
    int protocol = mega_get_u8(&m->reader);
    if (m->operations != 1 || protocol < 2 || protocol > 5)
        return FAIL(MEGA_ERR_UNSUPPORTED, "a pickle of protocol %d, expected 2 to 5", protocol);
    return 0;
}

static int op_frame(Machine *m)
{
    uint64_t size = mega_get_u64(&m->reader);
    return size > mega_reader_left(&m->reader) ? BAD("a frame reaches beyond the end") : 0;
}

static int op_pop(Machine *m)
{
    int code = need(m, 1);
    if (!code)
        m->stack.count--;
    return code;
}

static int op_pop_mark(Machine *m)
{
    MegaPickleValue **items;
    size_t count;
    return pop_mark(m, &items, &count);
}

static int op_stop(Machine *m)
{
    if (m->stack.count != 1 || m->mark_count)
        return BAD("the pickle ends with %zu values, expected one", m->stack.count);
    m->pickle->root = m->stack.items[0];
    m->stopped = true;
    return 0;
}

/* Numbers and strings: opcodes that push what their own bytes hold. */
static int run_literal(Machine *m, int opcode)
{
    MegaReader *reader = &m->reader;
    switch (opcode) {
    case 'N': return push_integer(m, MEGA_PICKLE_NONE, 0);
    case 0x88: return push_integer(m, MEGA_PICKLE_BOOL, 1);
    case 0x89: return push_integer(m, MEGA_PICKLE_BOOL, 0);
    case 'J': return push_integer(m, MEGA_PICKLE_INT, (int32_t)mega_get_u32(reader));
    case 'K': return push_integer(m, MEGA_PICKLE_INT, mega_get_u8(reader));
    case 'M': return push_integer(m, MEGA_PICKLE_INT, mega_get_u16(reader));
    case 0x8a: return push_long(m, mega_get_u8(reader));
    case 0x8b: return push_long(m, mega_get_u32(reader));
    case 'G': return push_float(m);
    case 'X': return push_unicode(m, mega_get_u32(reader));
    case 'T': return push_text(m, MEGA_PICKLE_STRING, mega_get_u32(reader)); /* T: Python 2 */
    case 'U': return push_text(m, MEGA_PICKLE_STRING, mega_get_u8(reader)); /* U: Python 2 */
    case 0x8c: return push_unicode(m, mega_get_u8(reader));
    case 0x8d: return push_unicode(m, mega_get_u64(reader));
    case 'B': return push_text(m, MEGA_PICKLE_BYTES, mega_get_u32(reader));
    case 'C': return push_text(m, MEGA_PICKLE_BYTES, mega_get_u8(reader));
    case 0x8e:
    case 0x96: return push_text(m, MEGA_PICKLE_BYTES, mega_get_u64(reader));
    default:
        return FAIL(MEGA_ERR_UNSUPPORTED, "opcode 0x%02x is none that PyTorch writes; it is found",
                    opcode);
    }
}

static int run(Machine *m, int opcode)
{
    MegaReader *reader = &m->reader;
    switch (opcode) {
    case 0x80: return op_protocol(m);
    case 0x95: return op_frame(m);
    case '.': return op_stop(m);
    case '(': return push_mark(m);
    case '0': return op_pop(m);
    case '1': return op_pop_mark(m);
    case ')': return push_tuple(m, 0);
    case 0x85: return push_tuple(m, 1);
    case 0x86: return push_tuple(m, 2);
    case 0x87: return push_tuple(m, 3);
    case 't': return push_marked(m, MEGA_PICKLE_TUPLE);
    case ']': return push_list(m, MEGA_PICKLE_LIST, NULL, 0);
    case 'l': return push_marked(m, MEGA_PICKLE_LIST);
    case 'a': return add_some(m, MEGA_PICKLE_LIST, 1);
    case 'e': return add_marked(m, MEGA_PICKLE_LIST);
    case '}': return push_list(m, MEGA_PICKLE_DICT, NULL, 0);
    case 'd': return push_marked(m, MEGA_PICKLE_DICT);
    case 's': return add_some(m, MEGA_PICKLE_DICT, 2);
    case 'u': return add_marked(m, MEGA_PICKLE_DICT);
    case 0x8f: return push_list(m, MEGA_PICKLE_SET, NULL, 0);
    case 0x90: return add_marked(m, MEGA_PICKLE_SET);
    case 0x91: return push_marked(m, MEGA_PICKLE_SET);
    case 'q': return memo_put(m, mega_get_u8(reader));
    case 'r': return memo_put(m, mega_get_u32(reader));
    case 0x94: return memo_put(m, m->memo.count);
    case 'h': return memo_get(m, mega_get_u8(reader));
    case 'j': return memo_get(m, mega_get_u32(reader));
    case 'c': return op_global(m);
    case 0x93: return op_stack_global(m);
    case 'R':
    case 0x81: return op_call(m);
    case 'b': return op_build(m);
    case 'Q': return op_persistent(m);
    default: return run_literal(m, opcode);
    }
}

static int run_all(Machine *m)
{
    while (!m->stopped) {
        m->at = m->reader.position;
        int opcode = mega_get_u8(&m->reader), code = 0;
        m->operations++;
        if (m->operations == 1 && !m->reader.failed && opcode != 0x80)
            return BAD("no pickle of protocol 2 to 5 begins");
        if (!m->reader.failed)
            code = run(m, opcode);
        if (code)
            return code;
        if (m->reader.failed)
            return BAD("the pickle is truncated");
    }
    return 0;
}

/* ---- Interface ------------------------------------------------------------------------------ */

int mega_pickle_read(MegaPickle **out, const void *bytes, size_t size, size_t *length,
                     const char *name, MegaError *err)
{
    *out = NULL;
    Machine machine = {.pickle = calloc(1, sizeof(MegaPickle)), .name = name, .err = err};
    machine.stack.items = calloc(FIRST_CAPACITY, sizeof *machine.stack.items);
    machine.stack.capacity = FIRST_CAPACITY;
    if (!machine.pickle || !machine.stack.items) {
        free(machine.pickle);
        free(machine.stack.items);
        return no_memory(&machine);
    }
    /* More than that is data of something else behind the pickle, or too much. */
    machine.reader = mega_reader(bytes, size < MEGA_PICKLE_MAX_SIZE ? size : MEGA_PICKLE_MAX_SIZE);
    int code = run_all(&machine);
    *length = machine.reader.position;
    free(machine.stack.items);
    free(machine.memo.items);
    if (code)
        mega_pickle_free(machine.pickle);
    else
        *out = machine.pickle;
    return code;
}

void mega_pickle_free(MegaPickle *pickle)
{
    if (!pickle)
        return;
    while (pickle->blocks) {
        Block *next = pickle->blocks->next;
        free(pickle->blocks);
        pickle->blocks = next;
    }
    free(pickle->storages.items);
    free(pickle);
}

const MegaPickleValue *mega_pickle_root(const MegaPickle *pickle)
{
    return pickle->root;
}

size_t mega_pickle_storage_count(const MegaPickle *pickle)
{
    return pickle->storages.count;
}

const MegaPickleStorage *mega_pickle_storage(const MegaPickle *pickle, size_t index)
{
    return &pickle->storages.items[index]->storage;
}

const MegaPickleValue *mega_pickle_get(const MegaPickleValue *dict, const char *key)
{
    size_t length = strlen(key);
    if (dict->type != MEGA_PICKLE_DICT)
        return NULL;
    for (size_t i = dict->list.count; i > 0; i -= 2) {
        const MegaPickleValue *have = dict->list.items[i - 2];
        if (have->type == MEGA_PICKLE_STRING && have->text.size == length &&
            memcmp(have->text.data, key, length) == 0)
            return dict->list.items[i - 1];
    }
    return NULL;
}

const MegaPickleValue *mega_pickle_namespace(const MegaPickleValue *value)
{
    return value->type == MEGA_PICKLE_OBJECT && value->object.class->kind == MEGA_GLOBAL_NAMESPACE
               ? value->object.state
               : NULL;
}

bool mega_pickle_is_text(const MegaPickleValue *value)
{
    return value->type == MEGA_PICKLE_STRING && mega_utf8_valid(value->text.data, value->text.size);
}

const char *mega_pickle_describe(const MegaPickleValue *value)
{
    static const char *const names[] = {
        "None",     "a bool",  "an integer", "an integer", "a float",
        "a string", "bytes",   "a tuple",    "a list",     "a set",
        "a dict",   "a class", "an object",  "a storage",  "a tensor",
    };
    if (value->type == MEGA_PICKLE_GLOBAL)
        return value->global->qualified_name;
    if (value->type == MEGA_PICKLE_OBJECT && value->object.class)
        return value->object.class->qualified_name;
    return names[value->type];
}
