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

#include "formats/checkpoint/pickle_machine.h"

#define MAX_MEMO (1u << 24)

typedef MegaPickleMachine Machine;

#define FAIL MEGA_PICKLE_FAIL
#define BAD MEGA_PICKLE_BAD

/* ---- Marks ---------------------------------------------------------------------------------- */

static int push_mark(Machine *m)
{
    if (m->mark_count == MEGA_PICKLE_MAX_MARKS)
        return FAIL(MEGA_ERR_LIMIT, "values are nested more than %d deep", MEGA_PICKLE_MAX_MARKS);
    m->marks[m->mark_count++] = m->base;
    m->base = m->stack.count;
    return 0;
}

/* Pops the last mark and the items above it, which stay readable until the next push. */
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

/* Pushes the one value that all occurrences of a constant share; *shared is NULL before the first
 * occurrence. */
static int push_shared(Machine *m, MegaPickleValue **shared, MegaPickleType type, int64_t integer)
{
    if (!*shared) {
        int code = mega_pickle_make(m, type, shared);
        if (code)
            return code;
        if (type != MEGA_PICKLE_TUPLE)
            (*shared)->integer = integer;
    }
    return mega_pickle_push(m, *shared);
}

static int push_integer(Machine *m, int64_t integer)
{
    MegaPickleValue *value;
    if (integer >= 0 && integer < MEGA_PICKLE_SMALL)
        return push_shared(m, &m->small[integer], MEGA_PICKLE_INT, integer);
    int code = mega_pickle_push_new(m, MEGA_PICKLE_INT, &value);
    if (!code)
        value->integer = integer;
    return code;
}

static int push_copy(Machine *m, MegaPickleType type, const void *data, size_t size)
{
    MegaPickleValue *value;
    void *copy;
    int code = mega_pickle_make(m, type, &value);
    if (!code)
        code = mega_pickle_allocate(m, &copy, size + 1);
    if (code)
        return code;
    memcpy(copy, data, size);
    value->text.data = copy;
    value->text.size = size;
    return mega_pickle_push(m, value);
}

static int push_text(Machine *m, MegaPickleType type, uint64_t size)
{
    const uint8_t *data = mega_get_bytes(&m->reader, size);
    if (!data)
        return BAD("a string of %" PRIu64 " bytes reaches beyond the end", size);
    return push_copy(m, type, data, (size_t)size);
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
    return push_integer(m, (int64_t)bits);
}

/* Reads the rest of a line without its end. */
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

/* Reads the argument of INT or LONG: decimal digits and a line end, with an L before it in LONG.
 * Protocol 1 writes integers beyond 32 bits in this form, and so did Python 2 in protocol 2. */
static int push_decimal(Machine *m, bool is_long)
{
    size_t length = 0;
    const char *line = get_line(m, &length);
    char text[24] = "";
    if (line && is_long && length && line[length - 1] == 'L')
        length--;
    size_t sign = line && length && *line == '-', digits = sign;
    while (line && digits < length && line[digits] >= '0' && line[digits] <= '9')
        digits++;
    if (!line || digits == sign || digits < length)
        return BAD("an integer is not made of digits");
    if (length >= sizeof text)
        return push_copy(m, MEGA_PICKLE_LONG, line, length);
    memcpy(text, line, length);
    errno = 0;
    long long integer = strtoll(text, NULL, 10);
    if (errno)
        return push_copy(m, MEGA_PICKLE_LONG, line, length);
    if (!is_long && length == 2 && text[0] == '0') /* 00 and 01 are False and True */
        return push_shared(m, &m->constants[integer ? 1 : 2], MEGA_PICKLE_BOOL, integer != 0);
    return push_integer(m, integer);
}

static int push_float(Machine *m)
{
    const uint8_t *data = mega_get_bytes(&m->reader, 8);
    uint64_t bits = 0;
    MegaPickleValue *value;
    if (!data)
        return BAD("a number reaches beyond the end");
    for (int i = 0; i < 8; i++) /* this is the only big-endian field of pickles */
        bits = bits << 8 | data[i];
    int code = mega_pickle_push_new(m, MEGA_PICKLE_FLOAT, &value);
    if (!code)
        memcpy(&value->real, &bits, sizeof bits);
    return code;
}

/* Pushes a new collection of items that the caller has popped. */
static int push_list(Machine *m, MegaPickleType type, MegaPickleValue **items, size_t count)
{
    MegaPickleValue *value;
    if (type == MEGA_PICKLE_TUPLE && count == 0)
        return push_shared(m, &m->empty, type, 0);
    int code = mega_pickle_make(m, type, &value);
    if (!code)
        code = mega_pickle_extend(m, value, items, count);
    return code ? code : mega_pickle_push(m, value);
}

static int push_tuple(Machine *m, size_t count)
{
    int code = mega_pickle_need(m, count);
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

/* Adds popped items to the value on top of the stack: a collection of the type, or an object of a
 * class derived from it. */
static int add_items(Machine *m, MegaPickleType type, MegaPickleValue **items, size_t count)
{
    int code = mega_pickle_need(m, 1);
    if (code)
        return code;
    MegaPickleValue *to = mega_pickle_top(m, 0);
    if (to->type == MEGA_PICKLE_OBJECT) {
        if (!to->object->items && (code = mega_pickle_make(m, type, &to->object->items)))
            return code;
        to = to->object->items;
    }
    if (to->type != type)
        return BAD("items are added to %s, expected %s", mega_pickle_describe(to),
                   mega_pickle_describe(&(MegaPickleValue){.type = type}));
    if (type == MEGA_PICKLE_DICT && count % 2)
        return BAD("a dictionary has a key without a value");
    return mega_pickle_extend(m, to, items, count);
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
    int code = mega_pickle_need(m, count);
    if (code)
        return code;
    m->stack.count -= count;
    return add_items(m, type, m->stack.items + m->stack.count, count);
}

/* ---- Memo ----------------------------------------------------------------------------------- */

static int memo_put(Machine *m, uint64_t index)
{
    int code = mega_pickle_need(m, 1);
    /* Picklers number the memo consecutively. A number larger than the count of opcodes so far can
     * only be meant to exhaust memory. */
    if (!code && (index > m->operations || index > MAX_MEMO))
        code = FAIL(MEGA_ERR_LIMIT, "memo number %" PRIu64 " is out of range", index);
    while (!code && m->memo.count <= index)
        code = mega_pickle_append(m, &m->memo, NULL);
    if (!code)
        m->memo.items[index] = mega_pickle_top(m, 0);
    return code;
}

static int memo_get(Machine *m, uint64_t index)
{
    if (index >= m->memo.count || !m->memo.items[index])
        return BAD("memo number %" PRIu64 " was never stored", index);
    return mega_pickle_push(m, m->memo.items[index]);
}

/* ---- Names ---------------------------------------------------------------------------------- */

static int op_global(Machine *m)
{
    size_t module_length = 0, name_length = 0;
    const char *module = get_line(m, &module_length);
    const char *name = module ? get_line(m, &name_length) : NULL;
    return name ? mega_pickle_push_global(m, module, module_length, name, name_length)
                : BAD("the name of a global reaches beyond the end");
}

/* Pushes a name for a number in the registry of copyreg, which only the program that wrote the
 * pickle could look up. */
static int op_extension(Machine *m, uint32_t number)
{
    char name[16];
    int length = snprintf(name, sizeof name, "%" PRIu32, number);
    return mega_pickle_push_global(m, "extension", 9, name, (size_t)length);
}

static int op_stack_global(Machine *m)
{
    int code = mega_pickle_need(m, 2);
    if (code)
        return code;
    const MegaPickleValue *module = mega_pickle_top(m, 1), *name = mega_pickle_top(m, 0);
    if (module->type != MEGA_PICKLE_STRING || name->type != MEGA_PICKLE_STRING)
        return BAD("the name of a global is not text");
    m->stack.count -= 2;
    return mega_pickle_push_global(m, module->text.data, module->text.size, name->text.data,
                                   name->text.size);
}

/* Runs REDUCE or NEWOBJ, which take a callee and arguments, or NEWOBJ_EX, whose keyword arguments
 * are dropped. */
static int op_call(Machine *m, size_t keywords)
{
    int code = mega_pickle_need(m, 2 + keywords);
    if (code)
        return code;
    m->stack.count -= keywords;
    MegaPickleValue *callee = mega_pickle_top(m, 1), *arguments = mega_pickle_top(m, 0);
    m->stack.count -= 2;
    return mega_pickle_call(m, callee, arguments);
}

/* Runs OBJ, which takes a mark, a class and arguments, or INST, which names the class itself and
 * takes a mark and arguments. */
static int op_instance(Machine *m, bool by_name)
{
    MegaPickleValue **items, *arguments, *class = NULL;
    size_t count;
    int code = by_name ? op_global(m) : 0;
    if (!code && by_name)
        class = m->stack.items[--m->stack.count];
    if (!code)
        code = pop_mark(m, &items, &count);
    if (!code && !by_name && count == 0)
        code = BAD("an instance has no class");
    if (!code)
        code = mega_pickle_make(m, MEGA_PICKLE_TUPLE, &arguments);
    if (code)
        return code;
    if (!by_name) {
        class = *items++;
        count--;
    }
    code = mega_pickle_extend(m, arguments, items, count);
    return code ? code : mega_pickle_call(m, class, arguments);
}

/* ---- Opcodes -------------------------------------------------------------------------------- */

static int op_protocol(Machine *m)
{
    int protocol = mega_get_u8(&m->reader);
    if (m->operations != 1 || protocol < 1 || protocol > 5)
        return FAIL(MEGA_ERR_UNSUPPORTED, "a pickle of protocol %d, expected 1 to 5", protocol);
    return 0;
}

static int op_frame(Machine *m)
{
    uint64_t size = mega_get_u64(&m->reader);
    return size > mega_reader_left(&m->reader) ? BAD("a frame reaches beyond the end") : 0;
}

static int op_pop(Machine *m)
{
    int code = mega_pickle_need(m, 1);
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

/* Runs the opcodes that push a number or a string from their own bytes. */
static int run_literal(Machine *m, int opcode)
{
    MegaReader *reader = &m->reader;
    switch (opcode) {
    case 'N': return push_shared(m, &m->constants[0], MEGA_PICKLE_NONE, 0);
    case 0x88: return push_shared(m, &m->constants[1], MEGA_PICKLE_BOOL, 1);
    case 0x89: return push_shared(m, &m->constants[2], MEGA_PICKLE_BOOL, 0);
    case 'J': return push_integer(m, (int32_t)mega_get_u32(reader));
    case 'K': return push_integer(m, mega_get_u8(reader));
    case 'M': return push_integer(m, mega_get_u16(reader));
    case 0x8a: return push_long(m, mega_get_u8(reader));
    case 0x8b: return push_long(m, mega_get_u32(reader));
    case 'I': return push_decimal(m, false);
    case 'L': return push_decimal(m, true);
    case 'G': return push_float(m);
    case 'X': return push_unicode(m, mega_get_u32(reader));
    case 'T': return push_text(m, MEGA_PICKLE_STRING, mega_get_u32(reader)); /* T: Python 2 */
    case 'U': return push_text(m, MEGA_PICKLE_STRING, mega_get_u8(reader));  /* U: Python 2 */
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
    case 0x82: return op_extension(m, mega_get_u8(reader));
    case 0x83: return op_extension(m, mega_get_u16(reader));
    case 0x84: return op_extension(m, mega_get_u32(reader));
    case 'R':
    case 0x81: return op_call(m, 0);
    case 0x92: return op_call(m, 1);
    case 'i': return op_instance(m, true);
    case 'o': return op_instance(m, false);
    case 'b': return mega_pickle_build(m);
    case 'Q': return mega_pickle_persistent(m);
    default: return run_literal(m, opcode);
    }
}

static int run_all(Machine *m)
{
    while (!m->stopped) {
        m->at = m->reader.position;
        int opcode = mega_get_u8(&m->reader), code = 0;
        m->operations++;
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

uint64_t mega_pickle_memory(const MegaPickle *pickle)
{
    return pickle->memory;
}

int mega_pickle_read(MegaPickle **out, const void *bytes, size_t size, uint64_t max_memory,
                     size_t *length, const char *name, MegaError *err)
{
    *out = NULL;
    Machine machine = {.pickle = calloc(1, sizeof(MegaPickle)), .name = name, .err = err};
    if (!machine.pickle)
        return mega_pickle_no_memory(&machine);
    machine.pickle->max_memory =
        max_memory < MEGA_PICKLE_MAX_MEMORY ? max_memory : MEGA_PICKLE_MAX_MEMORY;
    /* Bytes beyond this limit belong to something else behind the pickle, or the pickle is too
     * large. */
    machine.reader = mega_reader(bytes, size < MEGA_PICKLE_MAX_SIZE ? size : MEGA_PICKLE_MAX_SIZE);
    /* allocates the array, so that pointers into it are never NULL */
    int code = mega_pickle_append(&machine, &machine.stack, NULL);
    machine.stack.count = 0;
    if (!code)
        code = run_all(&machine);
    *length = machine.reader.position;
    free(machine.stack.items);
    free(machine.memo.items);
    if (code)
        mega_pickle_free(machine.pickle);
    else
        *out = machine.pickle;
    return code;
}
