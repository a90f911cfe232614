/*
 * pickle_mutator.c - changes whole opcodes of a pickle, since random changes of bytes would mostly
 * stop the unpickler at once; see pickle_mutator.h.
 */
#include "tests/fuzz/pickle_mutator.h"

#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"

#define MAX_OPS 4096
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* These are libFuzzer's own mutations. In a replay without libFuzzer, nothing calls the mutator. */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

typedef struct Op {
    const uint8_t *data;
    size_t size;
} Op;

/* ---- Opcodes -------------------------------------------------------------------------------- */

static size_t line_size(const uint8_t *data, size_t size, int lines)
{
    size_t at = 0;
    for (; lines > 0 && at < size; at++)
        lines -= data[at] == '\n';
    return lines ? size : at;
}

/* Returns the size of the opcode at data with its argument, at most size. */
static size_t op_size(const uint8_t *data, size_t size)
{
    uint64_t rest = 0;
    const uint8_t *argument = data + 1;
    size_t left = size - 1;
    switch (data[0]) {
    case 0x80:
    case 'K':
    case 'q':
    case 'h':
    case 0x82: rest = 1; break;
    case 'M':
    case 0x83: rest = 2; break;
    case 'J':
    case 'r':
    case 'j':
    case 0x84: rest = 4; break;
    case 'G':
    case 0x95: rest = 8; break;
    case 'C':
    case 'U':
    case 0x8a:
    case 0x8c: rest = left < 1 ? 0 : 1 + (uint64_t)argument[0]; break;
    case 'X':
    case 'T':
    case 'B':
    case 0x8b: rest = left < 4 ? left : 4 + (uint64_t)mega_load_u32(argument); break;
    case 0x8d:
    case 0x8e:
    case 0x96: rest = left < 8 ? left : 8 + (mega_load_u64(argument) & 0xffffffff); break;
    case 'c':
    case 'i': rest = line_size(argument, left, 2); break;
    case 'I':
    case 'L': rest = line_size(argument, left, 1); break;
    }
    return 1 + (size_t)(rest < left ? rest : left);
}

static size_t split(const uint8_t *data, size_t size, Op *ops)
{
    size_t count = 0;
    for (size_t at = 0; at < size && count < MAX_OPS; at += ops[count++].size) {
        ops[count] = (Op){data + at, op_size(data + at, size - at)};
        if (count == MAX_OPS - 1)
            ops[count].size = size - at;
    }
    return count;
}

/* ---- Odd arguments -------------------------------------------------------------------------- */

/* Writes a number at or near the limit of some type. */
static void put_integer(MegaBuffer *out)
{
    static const int64_t odd[] = {0,         1,         -1,        2,         255,       65535,
                                  65536,     INT32_MAX, INT32_MIN, 1LL << 32, 1LL << 62, INT64_MAX,
                                  INT64_MIN, 12,        3,         7};
    uint64_t value = (uint64_t)odd[(size_t)rand() % COUNT(odd)];
    value += rand() % 4 ? 0 : (uint64_t)rand() % 16; /* sometimes near the limit instead */
    mega_put_u8(out, 0x8a);
    mega_put_u8(out, 8);
    mega_put_u64(out, value);
}

static void put_string(MegaBuffer *out)
{
    static const char *const odd[] = {"",           "a",
                                      "\x1b[31m",   "model",
                                      "args",       "cfg",
                                      "model_ema",  "ema",
                                      "storage",    "module",
                                      "cpu",        "0",
                                      "1",          "2",
                                      "state_dict", "hyper_parameters",
                                      "_content",   "_val",
                                      "neg",        "latin1",
                                      "f8",         "model.encoder.layers.0.mega_layer.move.omega",
                                      "optimizer",  "\xc3\xbf\xc2\x80",
                                      "<",          ">"};
    const char *text = odd[(size_t)rand() % COUNT(odd)];
    mega_put_u8(out, 'X');
    mega_put_u32(out, (uint32_t)strlen(text));
    mega_put_bytes(out, text, strlen(text));
}

static void put_global(MegaBuffer *out)
{
    static const char *const names[] = {"collections\nOrderedDict\n",
                                        "collections\nCounter\n",
                                        "collections\ndefaultdict\n",
                                        "builtins\nset\n",
                                        "builtins\ngetattr\n",
                                        "builtins\ntuple\n",
                                        "argparse\nNamespace\n",
                                        "copyreg\n_reconstructor\n",
                                        "torch._utils\n_rebuild_tensor\n",
                                        "torch._utils\n_rebuild_tensor_v2\n",
                                        "torch._utils\n_rebuild_tensor_v3\n",
                                        "torch._utils\n_rebuild_parameter\n",
                                        "torch._utils\n_rebuild_qtensor\n",
                                        "torch._utils\n_rebuild_meta_tensor_no_storage\n",
                                        "torch._tensor\n_rebuild_from_type_v2\n",
                                        "torch\nFloatStorage\n",
                                        "torch\nComplexFloatStorage\n",
                                        "torch\nFutureStorage\n",
                                        "torch.storage\nUntypedStorage\n",
                                        "torch\nfloat32\n",
                                        "torch\nuint16\n",
                                        "os\nsystem\n",
                                        "omegaconf\nDictConfig\n",
                                        "numpy\ndtype\n",
                                        "numpy.core.multiarray\nscalar\n",
                                        "_codecs\nencode\n"};
    const char *name = names[(size_t)rand() % COUNT(names)];
    mega_put_u8(out, 'c');
    mega_put_bytes(out, name, strlen(name));
}

static void put_plain(MegaBuffer *out)
{
    static const uint8_t plain[] = {'(',  ')',  ']',  '}',  'N',  '0',  't',  'R',  'b',  'Q',
                                    0x85, 0x86, 0x87, 's',  'u',  'e',  'a',  'l',  'd',  '.',
                                    'o',  0x81, 0x88, 0x89, 0x8f, 0x90, 0x91, 0x92, 0x93, 0x94};
    mega_put_u8(out, plain[(size_t)rand() % COUNT(plain)]);
}

static void put_op(MegaBuffer *out, const Op *op)
{
    mega_put_bytes(out, op->data, op->size);
}

/* Writes the opcode replaced by something else, twice, with another one before it, or not at
 * all. */
static void put_changed(MegaBuffer *out, const Op *op, const Op *other)
{
    switch (rand() % 8) {
    case 0: return;
    case 1:
        put_op(out, op);
        put_op(out, op);
        return;
    case 2:
        put_plain(out);
        put_op(out, op);
        return;
    case 3: put_op(out, other); return;
    case 4:
        put_op(out, op);
        put_op(out, other);
        return;
    default: break;
    }
    if (strchr("KMJI\x8a", op->data[0]))
        put_integer(out);
    else if (strchr("XU\x8c", op->data[0]))
        put_string(out);
    else if (op->data[0] == 'c')
        put_global(out);
    else
        put_plain(out);
}

size_t fuzz_mutate_pickle(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static Op ops[MAX_OPS];
    MegaBuffer out = {0};
    srand(seed);
    size_t count = size ? split(data, size, ops) : 0;
    if (!count || rand() % 8 == 0)
        return LLVMFuzzerMutate ? LLVMFuzzerMutate(data, size, max_size) : size;
    size_t changed[3];
    for (size_t i = 0; i < COUNT(changed); i++)
        changed[i] = i && rand() % 2 ? count : (size_t)rand() % count;
    for (size_t i = 0; i < count; i++) {
        if (i == changed[0] || i == changed[1] || i == changed[2])
            put_changed(&out, &ops[i], &ops[(size_t)rand() % count]);
        else
            put_op(&out, &ops[i]);
    }
    size_t made = out.size < max_size ? out.size : max_size;
    if (!out.failed && made)
        memcpy(data, out.data, made);
    mega_buffer_free(&out);
    return out.failed || !made ? size : made;
}
