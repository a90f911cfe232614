/*
 * pickle.c - an interpreter that builds only data from pickles; see pickle.h.
 *
 * The state is a stack of values, a stack of marks into it, and a memo. Every opcode checks how
 * many values it needs above the last mark and of what type they are. All memory comes from one
 * arena with a limit. That bounds the work, too, since an opcode that copies more bytes than it has
 * itself uses up the arena.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/checkpoint/unpickler.h"

#define MAX_MEMO (1u << 24)

/* ---- Marks ---------------------------------------------------------------------------------- */

static int push_mark(MegaUnpickler *u)
{
    if (u->mark_count == MEGA_PICKLE_MAX_MARKS)
        return FAIL(u, MEGA_ERR_LIMIT, "values are nested more than %d deep",
                    MEGA_PICKLE_MAX_MARKS);
    u->marks[u->mark_count++] = u->base;
    u->base = u->stack.count;
    return 0;
}

/* Pops the last mark and the items above it, which stay readable until the next push. */
static int pop_mark(MegaUnpickler *u, MegaPickleValue ***items, size_t *count)
{
    *items = NULL;
    *count = 0;
    if (!u->mark_count)
        return BAD(u, "a mark is missing");
    *items = u->stack.items + u->base;
    *count = u->stack.count - u->base;
    u->stack.count = u->base;
    u->base = u->marks[--u->mark_count];
    return 0;
}

/* ---- Values --------------------------------------------------------------------------------- */

/* Pushes the one value that all occurrences of a constant share; *shared is NULL before the first
 * occurrence. */
static int push_shared(MegaUnpickler *u, MegaPickleValue **shared, MegaPickleType type,
                       int64_t integer)
{
    if (!*shared) {
        int code = mega_pickle_make(u, type, shared);
        if (code)
            return code;
        if (type != MEGA_PICKLE_TUPLE)
            (*shared)->integer = integer;
    }
    return mega_pickle_push(u, *shared);
}

static int push_integer(MegaUnpickler *u, int64_t integer)
{
    MegaPickleValue *value;
    if (integer >= 0 && integer < MEGA_PICKLE_SMALL)
        return push_shared(u, &u->small[integer], MEGA_PICKLE_INT, integer);
    int code = mega_pickle_push_new(u, MEGA_PICKLE_INT, &value);
    if (!code)
        value->integer = integer;
    return code;
}

static int push_copy(MegaUnpickler *u, MegaPickleType type, const void *data, size_t size)
{
    MegaPickleValue *value;
    void *copy;
    int code = mega_pickle_make(u, type, &value);
    if (!code)
        code = mega_pickle_allocate(u, &copy, size + 1);
    if (code)
        return code;
    memcpy(copy, data, size);
    value->text.data = copy;
    value->text.size = size;
    /* A few bytes of a pickle can repeat a long string very often, so it is not checked each time
     * that it is looked at. */
    value->is_text = type == MEGA_PICKLE_STRING && mega_utf8_valid(data, size);
    return mega_pickle_push(u, value);
}

static int push_text(MegaUnpickler *u, MegaPickleType type, uint64_t size)
{
    const uint8_t *data = mega_get_bytes(&u->reader, size);
    if (!data)
        return BAD(u, "a string of %" PRIu64 " bytes reaches beyond the end", size);
    return push_copy(u, type, data, (size_t)size);
}

/* Python writes lone surrogates (U+D800 to U+DFFF) into pickles, though they are not UTF-8. */
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

static int push_unicode(MegaUnpickler *u, uint64_t size)
{
    int code = push_text(u, MEGA_PICKLE_STRING, size);
    if (code)
        return code;
    const MegaPickleValue *value = u->stack.items[u->stack.count - 1];
    if (!is_pickled_unicode(value->text.data, value->text.size))
        return BAD(u, "a string is not UTF-8");
    return 0;
}

static int push_long(MegaUnpickler *u, uint64_t size)
{
    if (size > 8)
        return push_text(u, MEGA_PICKLE_LONG, size);
    const uint8_t *data = mega_get_bytes(&u->reader, size);
    uint64_t bits = 0;
    if (!data)
        return BAD(u, "an integer reaches beyond the end");
    for (uint64_t i = 0; i < 8; i++)
        bits |= (uint64_t)(i < size ? data[i] : size && data[size - 1] & 0x80 ? 0xff : 0) << 8 * i;
    return push_integer(u, (int64_t)bits);
}

/* Reads the rest of a line without its end. */
static const char *get_line(MegaUnpickler *u, size_t *length)
{
    const uint8_t *start = u->reader.data + u->reader.position;
    const uint8_t *end = memchr(start, '\n', mega_reader_left(&u->reader));
    if (!end)
        return NULL;
    *length = (size_t)(end - start);
    mega_get_bytes(&u->reader, *length + 1);
    return (const char *)start;
}

/* Reads the argument of INT or LONG: decimal digits and a line end, with an L before it in LONG.
 * Protocol 1 writes integers beyond 32 bits in this form, and so did Python 2 in protocol 2. */
static int push_decimal(MegaUnpickler *u, bool is_long)
{
    size_t length = 0;
    const char *line = get_line(u, &length);
    char text[24] = "";
    if (line && is_long && length && line[length - 1] == 'L')
        length--;
    size_t sign = line && length && *line == '-', digits = sign;
    while (line && digits < length && line[digits] >= '0' && line[digits] <= '9')
        digits++;
    if (!line || digits == sign || digits < length)
        return BAD(u, "an integer is not made of digits");
    if (length >= sizeof text)
        return push_copy(u, MEGA_PICKLE_LONG, line, length);
    memcpy(text, line, length);
    errno = 0;
    long long integer = strtoll(text, NULL, 10);
    if (errno)
        return push_copy(u, MEGA_PICKLE_LONG, line, length);
    if (!is_long && length == 2 && text[0] == '0') /* 00 and 01 are False and True */
        return push_shared(u, &u->constants[integer ? 1 : 2], MEGA_PICKLE_BOOL, integer != 0);
    return push_integer(u, integer);
}

static int push_float(MegaUnpickler *u)
{
    const uint8_t *data = mega_get_bytes(&u->reader, 8);
    uint64_t bits = 0;
    MegaPickleValue *value;
    if (!data)
        return BAD(u, "a number reaches beyond the end");
    for (int i = 0; i < 8; i++) /* this is the only big-endian field of pickles */
        bits = bits << 8 | data[i];
    int code = mega_pickle_push_new(u, MEGA_PICKLE_FLOAT, &value);
    if (!code)
        memcpy(&value->real, &bits, sizeof bits);
    return code;
}

/* Pushes a new collection of items that the caller has popped. */
static int push_list(MegaUnpickler *u, MegaPickleType type, MegaPickleValue **items, size_t count)
{
    MegaPickleValue *value;
    if (type == MEGA_PICKLE_TUPLE && count == 0)
        return push_shared(u, &u->empty, type, 0);
    int code = mega_pickle_make(u, type, &value);
    if (!code)
        code = mega_pickle_extend(u, value, items, count);
    return code ? code : mega_pickle_push(u, value);
}

static int push_tuple(MegaUnpickler *u, size_t count)
{
    int code = mega_pickle_need(u, count);
    if (code)
        return code;
    u->stack.count -= count;
    return push_list(u, MEGA_PICKLE_TUPLE, u->stack.items + u->stack.count, count);
}

static int push_marked(MegaUnpickler *u, MegaPickleType type)
{
    MegaPickleValue **items;
    size_t count;
    int code = pop_mark(u, &items, &count);
    if (!code && type == MEGA_PICKLE_DICT && count % 2)
        code = BAD(u, "a dictionary has a key without a value");
    return code ? code : push_list(u, type, items, count);
}

/* Adds popped items to the value on top of the stack: a collection of the type, or an object of a
 * class derived from it. */
static int add_items(MegaUnpickler *u, MegaPickleType type, MegaPickleValue **items, size_t count)
{
    int code = mega_pickle_need(u, 1);
    if (code)
        return code;
    MegaPickleValue *to = mega_pickle_top(u, 0);
    if (to->type == MEGA_PICKLE_OBJECT) {
        if (!to->object->items && (code = mega_pickle_make(u, type, &to->object->items)))
            return code;
        to = to->object->items;
    }
    if (to->type != type)
        return BAD(u, "items are added to %s, expected %s", mega_pickle_describe(to),
                   mega_pickle_describe(&(MegaPickleValue){.type = type}));
    if (type == MEGA_PICKLE_DICT && count % 2)
        return BAD(u, "a dictionary has a key without a value");
    return mega_pickle_extend(u, to, items, count);
}

static int add_marked(MegaUnpickler *u, MegaPickleType type)
{
    MegaPickleValue **items;
    size_t count;
    int code = pop_mark(u, &items, &count);
    return code ? code : add_items(u, type, items, count);
}

static int add_some(MegaUnpickler *u, MegaPickleType type, size_t count)
{
    int code = mega_pickle_need(u, count);
    if (code)
        return code;
    u->stack.count -= count;
    return add_items(u, type, u->stack.items + u->stack.count, count);
}

/* ---- Memo ----------------------------------------------------------------------------------- */

static int memo_put(MegaUnpickler *u, uint64_t index)
{
    int code = mega_pickle_need(u, 1);
    /* Picklers number the memo consecutively. A number larger than the count of opcodes so far can
     * only be meant to exhaust memory. */
    if (!code && (index > u->operations || index > MAX_MEMO))
        code = FAIL(u, MEGA_ERR_LIMIT, "memo number %" PRIu64 " is out of range", index);
    while (!code && u->memo.count <= index)
        code = mega_pickle_append(u, &u->memo, NULL);
    if (!code)
        u->memo.items[index] = mega_pickle_top(u, 0);
    return code;
}

static int memo_get(MegaUnpickler *u, uint64_t index)
{
    if (index >= u->memo.count || !u->memo.items[index])
        return BAD(u, "memo number %" PRIu64 " was never stored", index);
    return mega_pickle_push(u, u->memo.items[index]);
}

/* ---- Names ---------------------------------------------------------------------------------- */

static int op_global(MegaUnpickler *u)
{
    size_t module_length = 0, name_length = 0;
    const char *module = get_line(u, &module_length);
    const char *name = module ? get_line(u, &name_length) : NULL;
    return name ? mega_pickle_push_global(u, module, module_length, name, name_length)
                : BAD(u, "the name of a global reaches beyond the end");
}

/* Pushes a name for a number in the registry of copyreg, which only the program that wrote the
 * pickle could look up. */
static int op_extension(MegaUnpickler *u, uint32_t number)
{
    char name[16];
    int length = snprintf(name, sizeof name, "%" PRIu32, number);
    return mega_pickle_push_global(u, "extension", 9, name, (size_t)length);
}

static int op_stack_global(MegaUnpickler *u)
{
    int code = mega_pickle_need(u, 2);
    if (code)
        return code;
    const MegaPickleValue *module = mega_pickle_top(u, 1), *name = mega_pickle_top(u, 0);
    if (module->type != MEGA_PICKLE_STRING || name->type != MEGA_PICKLE_STRING)
        return BAD(u, "the name of a global is not text");
    u->stack.count -= 2;
    return mega_pickle_push_global(u, module->text.data, module->text.size, name->text.data,
                                   name->text.size);
}

/* Runs REDUCE or NEWOBJ, which take a callee and arguments, or NEWOBJ_EX, whose keyword arguments
 * are dropped. */
static int op_call(MegaUnpickler *u, size_t keywords)
{
    int code = mega_pickle_need(u, 2 + keywords);
    if (code)
        return code;
    u->stack.count -= keywords;
    MegaPickleValue *callee = mega_pickle_top(u, 1), *arguments = mega_pickle_top(u, 0);
    u->stack.count -= 2;
    return mega_pickle_call(u, callee, arguments);
}

/* Runs OBJ, which takes a mark, a class and arguments, or INST, which names the class itself and
 * takes a mark and arguments. */
static int op_instance(MegaUnpickler *u, bool by_name)
{
    MegaPickleValue **items, *arguments, *class = NULL;
    size_t count;
    int code = by_name ? op_global(u) : 0;
    if (!code && by_name)
        class = u->stack.items[--u->stack.count];
    if (!code)
        code = pop_mark(u, &items, &count);
    if (!code && !by_name && count == 0)
        code = BAD(u, "an instance has no class");
    if (!code)
        code = mega_pickle_make(u, MEGA_PICKLE_TUPLE, &arguments);
    if (code)
        return code;
    if (!by_name) {
        class = *items++;
        count--;
    }
    code = mega_pickle_extend(u, arguments, items, count);
    return code ? code : mega_pickle_call(u, class, arguments);
}

/* ---- Opcodes -------------------------------------------------------------------------------- */

static int op_protocol(MegaUnpickler *u)
{
    int protocol = mega_get_u8(&u->reader);
    if (u->operations != 1 || protocol < 1 || protocol > 5)
        return FAIL(u, MEGA_ERR_UNSUPPORTED, "a pickle of protocol %d, expected 1 to 5", protocol);
    return 0;
}

static int op_frame(MegaUnpickler *u)
{
    uint64_t size = mega_get_u64(&u->reader);
    return size > mega_reader_left(&u->reader) ? BAD(u, "a frame reaches beyond the end") : 0;
}

static int op_pop(MegaUnpickler *u)
{
    int code = mega_pickle_need(u, 1);
    if (!code)
        u->stack.count--;
    return code;
}

static int op_pop_mark(MegaUnpickler *u)
{
    MegaPickleValue **items;
    size_t count;
    return pop_mark(u, &items, &count);
}

static int op_stop(MegaUnpickler *u)
{
    if (u->stack.count != 1 || u->mark_count)
        return BAD(u, "the pickle ends with %zu values, expected one", u->stack.count);
    u->pickle->root = u->stack.items[0];
    u->stopped = true;
    return 0;
}

/* Runs the opcodes that push a number or a string from their own bytes. */
static int run_literal(MegaUnpickler *u, int opcode)
{
    MegaReader *reader = &u->reader;
    switch (opcode) {
    case 'N': return push_shared(u, &u->constants[0], MEGA_PICKLE_NONE, 0);
    case 0x88: return push_shared(u, &u->constants[1], MEGA_PICKLE_BOOL, 1);
    case 0x89: return push_shared(u, &u->constants[2], MEGA_PICKLE_BOOL, 0);
    case 'J': return push_integer(u, (int32_t)mega_get_u32(reader));
    case 'K': return push_integer(u, mega_get_u8(reader));
    case 'M': return push_integer(u, mega_get_u16(reader));
    case 0x8a: return push_long(u, mega_get_u8(reader));
    case 0x8b: return push_long(u, mega_get_u32(reader));
    case 'I': return push_decimal(u, false);
    case 'L': return push_decimal(u, true);
    case 'G': return push_float(u);
    case 'X': return push_unicode(u, mega_get_u32(reader));
    case 'T': return push_text(u, MEGA_PICKLE_STRING, mega_get_u32(reader)); /* T: Python 2 */
    case 'U': return push_text(u, MEGA_PICKLE_STRING, mega_get_u8(reader));  /* U: Python 2 */
    case 0x8c: return push_unicode(u, mega_get_u8(reader));
    case 0x8d: return push_unicode(u, mega_get_u64(reader));
    case 'B': return push_text(u, MEGA_PICKLE_BYTES, mega_get_u32(reader));
    case 'C': return push_text(u, MEGA_PICKLE_BYTES, mega_get_u8(reader));
    case 0x8e:
    case 0x96: return push_text(u, MEGA_PICKLE_BYTES, mega_get_u64(reader));
    default:
        return FAIL(u, MEGA_ERR_UNSUPPORTED,
                    "opcode 0x%02x is not one that PyTorch writes; it is found", opcode);
    }
}

static int run(MegaUnpickler *u, int opcode)
{
    MegaReader *reader = &u->reader;
    switch (opcode) {
    case 0x80: return op_protocol(u);
    case 0x95: return op_frame(u);
    case '.': return op_stop(u);
    case '(': return push_mark(u);
    case '0': return op_pop(u);
    case '1': return op_pop_mark(u);
    case ')': return push_tuple(u, 0);
    case 0x85: return push_tuple(u, 1);
    case 0x86: return push_tuple(u, 2);
    case 0x87: return push_tuple(u, 3);
    case 't': return push_marked(u, MEGA_PICKLE_TUPLE);
    case ']': return push_list(u, MEGA_PICKLE_LIST, NULL, 0);
    case 'l': return push_marked(u, MEGA_PICKLE_LIST);
    case 'a': return add_some(u, MEGA_PICKLE_LIST, 1);
    case 'e': return add_marked(u, MEGA_PICKLE_LIST);
    case '}': return push_list(u, MEGA_PICKLE_DICT, NULL, 0);
    case 'd': return push_marked(u, MEGA_PICKLE_DICT);
    case 's': return add_some(u, MEGA_PICKLE_DICT, 2);
    case 'u': return add_marked(u, MEGA_PICKLE_DICT);
    case 0x8f: return push_list(u, MEGA_PICKLE_SET, NULL, 0);
    case 0x90: return add_marked(u, MEGA_PICKLE_SET);
    case 0x91: return push_marked(u, MEGA_PICKLE_SET);
    case 'q': return memo_put(u, mega_get_u8(reader));
    case 'r': return memo_put(u, mega_get_u32(reader));
    case 0x94: return memo_put(u, u->memo.count);
    case 'h': return memo_get(u, mega_get_u8(reader));
    case 'j': return memo_get(u, mega_get_u32(reader));
    case 'c': return op_global(u);
    case 0x93: return op_stack_global(u);
    case 0x82: return op_extension(u, mega_get_u8(reader));
    case 0x83: return op_extension(u, mega_get_u16(reader));
    case 0x84: return op_extension(u, mega_get_u32(reader));
    case 'R':
    case 0x81: return op_call(u, 0);
    case 0x92: return op_call(u, 1);
    case 'i': return op_instance(u, true);
    case 'o': return op_instance(u, false);
    case 'b': return mega_pickle_build(u);
    case 'Q': return mega_pickle_persistent(u);
    default: return run_literal(u, opcode);
    }
}

static int run_all(MegaUnpickler *u)
{
    while (!u->stopped) {
        u->at = u->reader.position;
        int opcode = mega_get_u8(&u->reader), code = 0;
        u->operations++;
        if (!u->reader.failed)
            code = run(u, opcode);
        if (code)
            return code;
        if (u->reader.failed)
            return BAD(u, "the pickle is truncated");
    }
    return 0;
}

/* ---- Interface ------------------------------------------------------------------------------ */

uint64_t mega_pickle_memory(const MegaPickle *pickle)
{
    return pickle->memory;
}

int mega_pickle_read(MegaPickle **out, const void *bytes, size_t size, uint64_t max_memory,
                     size_t *length, const char *name, MegaError *err)
{
    *out = NULL;
    MegaUnpickler unpickler = {.pickle = calloc(1, sizeof(MegaPickle)), .name = name, .err = err};
    if (!unpickler.pickle)
        return mega_pickle_no_memory(&unpickler);
    unpickler.pickle->max_memory =
        max_memory < MEGA_PICKLE_MAX_MEMORY ? max_memory : MEGA_PICKLE_MAX_MEMORY;
    /* Bytes beyond this limit belong to something else after the pickle, or the pickle is too
     * large. */
    unpickler.reader =
        mega_reader(bytes, size < MEGA_PICKLE_MAX_SIZE ? size : MEGA_PICKLE_MAX_SIZE);
    /* allocates the array, so that pointers into it are never NULL */
    int code = mega_pickle_append(&unpickler, &unpickler.stack, NULL);
    unpickler.stack.count = 0;
    if (!code)
        code = run_all(&unpickler);
    *length = unpickler.reader.position;
    free(unpickler.stack.items);
    free(unpickler.memo.items);
    if (code)
        mega_pickle_free(unpickler.pickle);
    else
        *out = unpickler.pickle;
    return code;
}
