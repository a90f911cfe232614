/*
 * pickle_values.c - memory and stack of the interpreter that reads pickles, and access to its
 * values; see pickle.h and unpickler.h.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/checkpoint/unpickler.h"

#define MAX_STACK (1u << 20)
#define FIRST_CAPACITY 64 /* first capacity of stack, memo and storages */
#define ARENA_BLOCK 65536

typedef struct MegaPickleBlock {
    struct MegaPickleBlock *next;
    size_t used, size;
    max_align_t data[];
} Block;

/* ---- Memory --------------------------------------------------------------------------------- */

int mega_pickle_no_memory(const MegaUnpickler *u)
{
    return mega_fail(u->err, MEGA_ERR_MEMORY, "%s: no memory for the values of the pickle",
                     u->name);
}

/* Counts bytes that the values take, and fails beyond the limit. */
static int account(MegaUnpickler *u, uint64_t bytes)
{
    MegaPickle *pickle = u->pickle;
    pickle->memory += bytes;
    if (pickle->memory > pickle->max_memory)
        return FAIL(u, MEGA_ERR_LIMIT,
                    "the values need more than %.1f MB of memory, the most that this file may "
                    "take,",
                    (double)pickle->max_memory / 1e6);
    return 0;
}

int mega_pickle_allocate(MegaUnpickler *u, void **out, size_t size)
{
    MegaPickle *pickle = u->pickle;
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    Block *block = pickle->blocks;
    if (!block || block->size - block->used < size) {
        size_t room = size > ARENA_BLOCK ? size : ARENA_BLOCK;
        int code = account(u, room);
        if (code)
            return code;
        block = calloc(1, sizeof *block + room);
        if (!block)
            return mega_pickle_no_memory(u);
        block->size = room;
        block->next = pickle->blocks;
        pickle->blocks = block;
    }
    *out = (char *)block->data + block->used;
    block->used += size;
    return 0;
}

int mega_pickle_append(MegaUnpickler *u, MegaPickleValues *values, MegaPickleValue *value)
{
    if (values->count == values->capacity) {
        size_t capacity = values->capacity ? values->capacity * 2 : FIRST_CAPACITY;
        int code = account(u, (capacity - values->capacity) * sizeof(MegaPickleValue *));
        if (code)
            return code;
        MegaPickleValue **items = realloc(values->items, capacity * sizeof *items);
        if (!items)
            return mega_pickle_no_memory(u);
        values->items = items;
        values->capacity = capacity;
    }
    values->items[values->count++] = value;
    return 0;
}

int mega_pickle_push(MegaUnpickler *u, MegaPickleValue *value)
{
    if (u->stack.count == MAX_STACK)
        return FAIL(u, MEGA_ERR_LIMIT, "the stack exceeds the limit of %u values", MAX_STACK);
    return mega_pickle_append(u, &u->stack, value);
}

int mega_pickle_make(MegaUnpickler *u, MegaPickleType type, MegaPickleValue **out)
{
    void *value, *object = NULL;
    int code = mega_pickle_allocate(u, &value, sizeof **out);
    if (!code && type == MEGA_PICKLE_OBJECT)
        code = mega_pickle_allocate(u, &object, sizeof(MegaPickleObject));
    if (code)
        return code;
    *out = value;
    (*out)->type = type;
    if (object)
        (*out)->object = object;
    return 0;
}

int mega_pickle_push_new(MegaUnpickler *u, MegaPickleType type, MegaPickleValue **out)
{
    int code = mega_pickle_make(u, type, out);
    return code ? code : mega_pickle_push(u, *out);
}

int mega_pickle_extend(MegaUnpickler *u, MegaPickleValue *list, MegaPickleValue *const *items,
                       size_t count)
{
    /* no overflow: both are bounded by the pickle's size */
    size_t needed = list->list.count + count;
    if (needed > list->list.capacity) {
        size_t capacity = list->list.capacity * 2 > needed ? list->list.capacity * 2 : needed;
        void *grown;
        int code = mega_pickle_allocate(u, &grown, capacity * sizeof *items);
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

int mega_pickle_need(MegaUnpickler *u, size_t count)
{
    return u->stack.count - u->base < count ? BAD(u, "the stack is empty") : 0;
}

MegaPickleValue *mega_pickle_top(const MegaUnpickler *u, size_t depth)
{
    return u->stack.items[u->stack.count - 1 - depth];
}

/* ---- Access to values ----------------------------------------------------------------------- */

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
    return pickle->storages.items[index]->storage;
}

const MegaPickleValue *mega_pickle_mapping(const MegaPickleValue *value)
{
    if (value->type == MEGA_PICKLE_OBJECT && value->object->items)
        value = value->object->items;
    return value->type == MEGA_PICKLE_DICT ? value : NULL;
}

const MegaPickleValue *mega_pickle_get(const MegaPickleValue *value, const char *key)
{
    const MegaPickleValue *dict = mega_pickle_mapping(value);
    size_t length = strlen(key);
    for (size_t i = dict ? dict->list.count : 0; i > 0; i -= 2) {
        const MegaPickleValue *have = dict->list.items[i - 2];
        if (have->type == MEGA_PICKLE_STRING && have->text.size == length &&
            memcmp(have->text.data, key, length) == 0)
            return dict->list.items[i - 1];
    }
    return NULL;
}

const MegaPickleValue *mega_pickle_attributes(const MegaPickleValue *value)
{
    const MegaPickleValue *state = value->type == MEGA_PICKLE_OBJECT ? value->object->state : NULL;
    /* the state of a class with __slots__ is a pair: the dict of attributes, and the dict of
     * slots */
    const bool is_pair =
        state && state->type == MEGA_PICKLE_TUPLE && state->list.count == 2;
    for (size_t i = 0; is_pair && i < 2; i++)
        if (state->list.items[i]->type == MEGA_PICKLE_DICT)
            return state->list.items[i];
    return state && state->type == MEGA_PICKLE_DICT ? state : NULL;
}

bool mega_pickle_is_text(const MegaPickleValue *value)
{
    return value->is_text;
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
    if (value->type == MEGA_PICKLE_OBJECT)
        return value->object->class->qualified_name;
    return names[value->type];
}
