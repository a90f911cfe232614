/*
 * test_pickle.c - pickles as data, good and hostile (formats/checkpoint/pickle.h). Each is read
 * from a block of exactly its size, so that a sanitizer sees a read past the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/base/bytes.h"
#include "formats/checkpoint/pickle.h"

#define MEMORY (UINT64_C(256) << 20)

static MegaPickle *pickle; /* the pickle of the current test */

static int close_pickle(void **state)
{
    (void)state;
    mega_pickle_free(pickle);
    pickle = NULL;
    return 0;
}

static int read_bytes(const void *bytes, size_t size, size_t *length, MegaError *err)
{
    mega_pickle_free(pickle);
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    int code = mega_pickle_read(&pickle, copy, size, MEMORY, length, "test.pt", err);
    free(copy); /* values must not point into it */
    return code;
}

static const MegaPickleValue *read_good(const void *bytes, size_t size)
{
    MegaError err = {0};
    size_t length = 0;
    if (read_bytes(bytes, size, &length, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(length, size);
    return mega_pickle_root(pickle);
}

static void expect_error(const void *bytes, size_t size, int code, const char *message)
{
    MegaError err = {0};
    size_t length;
    int got = read_bytes(bytes, size, &length, &err);
    if (got != code || !strstr(err.text, message) || pickle)
        fail_msg("%d '%s', expected %d '%s'", got, err.text, code, message);
}

/* Puts protocol 2 before the bytes and STOP after them. */
#define GOOD(bytes) read_good("\x80\2" bytes ".", sizeof("\x80\2" bytes ".") - 1)
#define BAD(bytes, code, message)                                                                  \
    expect_error("\x80\2" bytes ".", sizeof("\x80\2" bytes ".") - 1, code, message)
#define FORMAT(bytes, message) BAD(bytes, MEGA_ERR_FORMAT, message)
#define REFUSED(bytes, message) BAD(bytes, MEGA_ERR_UNSUPPORTED, message)

/* ---- Good ------------------------------------------------------------------------------------ */

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        int64_t value;
    } cases[] = {
        {"\x80\2K\xff.", 5, 255},
        {"\x80\2M\xff\xff.", 6, 65535},
        {"\x80\2J\xfe\xff\xff\xff.", 8, -2},
        {"\x80\2\x8a\0.", 5, 0},
        {"\x80\2\x8a\1\xff.", 6, -1},
        {"\x80\2\x8a\2\xff\0.", 7, 255},
        {"\x80\2\x8a\x08\0\0\0\0\0\0\0\x80.", 13, INT64_MIN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const MegaPickleValue *value = read_good(cases[i].bytes, cases[i].size);
        assert_int_equal(value->type, MEGA_PICKLE_INT);
        assert_true(value->integer == cases[i].value);
    }
    assert_true(GOOD("G\xbf\xe0\0\0\0\0\0\0")->real == -0.5);
    assert_int_equal(GOOD("\x88")->integer, 1);
    assert_int_equal(GOOD("N")->type, MEGA_PICKLE_NONE);
    const MegaPickleValue *value = GOOD("\x8a\x09"
                                        "123456789");
    assert_int_equal(value->type, MEGA_PICKLE_LONG);
    assert_int_equal(value->text.size, 9);
    assert_true(GOOD("I-12345678901\n")->integer == -12345678901); /* as Python 2 writes it */
    assert_int_equal(GOOD("I01\n")->type, MEGA_PICKLE_BOOL);
    assert_true(GOOD("L-5L\n")->integer == -5 && GOOD("L01\n")->type == MEGA_PICKLE_INT);
    assert_int_equal(GOOD("I99999999999999999999\n")->type, MEGA_PICKLE_LONG);
    assert_int_equal(GOOD("L-123456789012345678901234567890L\n")->text.size, 31);
    FORMAT("I12", "not made of digits");
    FORMAT("I1x\n", "not made of digits");
    FORMAT("I-\n", "not made of digits");
    FORMAT("LL\n", "not made of digits");
}

static void test_collections(void **state)
{
    (void)state;
    const MegaPickleValue *value = GOOD("](K\1K\2eK\3a");
    assert_int_equal(value->type, MEGA_PICKLE_LIST);
    assert_int_equal(value->list.count, 3);
    assert_int_equal(value->list.items[2]->integer, 3);
    value = GOOD("}(X\1\0\0\0aK\1X\1\0\0\0bK\2uX\1\0\0\0aK\3s"); /* the last "a" counts */
    assert_int_equal(mega_pickle_get(value, "a")->integer, 3);
    assert_int_equal(mega_pickle_get(value, "b")->integer, 2);
    assert_null(mega_pickle_get(value, "c"));
    value = GOOD("ccollections\nOrderedDict\n]X\1\0\0\0aK\2\x86"
                 "a\x85R"); /* called with a pair */
    assert_int_equal(value->type, MEGA_PICKLE_DICT);
    assert_int_equal(mega_pickle_get(value, "a")->integer, 2);
    value = GOOD("cargparse\nNamespace\n)\x81}U\1xK\7sb");
    assert_int_equal(mega_pickle_get(mega_pickle_attributes(value), "x")->integer, 7);
    assert_string_equal(mega_pickle_describe(value), "argparse.Namespace");
    value = GOOD("]q\0h\0a"); /* a list that contains itself */
    assert_ptr_equal(value->list.items[0], value);
    value = GOOD("ctorch\ndevice\nX\3\0\0\0cpu\x85R");
    assert_int_equal(value->type, MEGA_PICKLE_OBJECT);
}

/* The argument list (storage, offset, size, stride); the storage has 12 elements. */
#define STORAGE "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0000X\3\0\0\0cpuK\14tQ"
#define REBUILD "ctorch._utils\n_rebuild_tensor\n("
#define REBUILD_V2 "ctorch._utils\n_rebuild_tensor_v2\n("

static void test_tensor(void **state)
{
    (void)state;
    const MegaPickleValue *value = GOOD(REBUILD_V2 STORAGE "K\2K\2K\5\x86K\5K\1\x86\x89NtR");
    assert_int_equal(value->type, MEGA_PICKLE_TENSOR);
    assert_int_equal(value->tensor->offset, 2);
    assert_int_equal(value->tensor->elements, 10);
    assert_string_equal(value->tensor->storage->key, "0");
    assert_int_equal(mega_pickle_storage_count(pickle), 1);
    assert_int_equal(mega_pickle_storage(pickle, 0)->elements, 12);
    GOOD(REBUILD STORAGE "K\13))tR");             /* only the last element */
    GOOD(REBUILD STORAGE "K\14K\0\x85K\1\x85tR"); /* no element */
    value = GOOD("ctorch._utils\n_rebuild_parameter\n" REBUILD STORAGE "K\0))tR\x88N\x87R");
    assert_int_equal(value->type, MEGA_PICKLE_TENSOR);
    value =
        GOOD("ctorch._utils\n_rebuild_parameter_with_state\n(" REBUILD STORAGE "K\0))tR\x88N}tR");
    assert_true(value->type == MEGA_PICKLE_TENSOR && value->tensor->readable);
    /* A class derived from Tensor, made from the arguments of the function before it. */
    value = GOOD("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\n"
                 "cm\nBuffer\n(" STORAGE "K\0K\2\x85K\1\x85\x89Nt}tR");
    assert_true(value->type == MEGA_PICKLE_TENSOR && value->tensor->readable);
    assert_int_equal(value->tensor->elements, 2);
}

/* Expects a tensor that cannot be read: its type, and its shape if that is known. */
static void expect_odd(const void *bytes, size_t size, const char *type, int rank)
{
    const MegaPickleValue *value = read_good(bytes, size);
    assert_int_equal(value->type, MEGA_PICKLE_TENSOR);
    assert_false(value->tensor->readable);
    assert_string_equal(value->tensor->type, type);
    assert_int_equal(value->tensor->rank, rank);
}

#define ODD(bytes, type, rank)                                                                     \
    expect_odd("\x80\2" bytes ".", sizeof("\x80\2" bytes ".") - 1, type, rank)
#define OTHER_STORAGE(class) "(X\7\0\0\0storagec" class "\nX\1\0\0\0000X\3\0\0\0cpuK\20tQ"
#define REBUILD_V3 "ctorch._utils\n_rebuild_tensor_v3\n("

static void test_odd_tensors(void **state)
{
    (void)state;
    ODD(REBUILD OTHER_STORAGE("torch\nComplexFloatStorage") "K\0K\2\x85K\1\x85tR", "complex64", 1);
    ODD(REBUILD OTHER_STORAGE("torch\nFutureStorage") "K\0K\2\x85K\1\x85tR", "FutureStorage", 1);
    assert_int_equal(mega_pickle_storage(pickle, 0)->item_size, 0);
    ODD(REBUILD_V3 OTHER_STORAGE(
            "torch.storage\nUntypedStorage") "K\0K\2\x85K\1\x85\x89Nctorch\nuint16\ntR",
        "uint16", 1);
    ODD(REBUILD_V2 STORAGE "K\0K\2\x85K\1\x85\x89N}X\3\0\0\0neg\x88stR", "neg", 1);
    ODD("ctorch._utils\n_rebuild_qtensor\n(" OTHER_STORAGE(
            "torch\nQInt8Storage") "K\0K\2\x85K\1\x85NNNtR",
        "quantized", 1);
    ODD("ctorch._utils\n_rebuild_meta_tensor_no_storage\n(ctorch\nfloat32\nK\2K\3\x86NNtR", "meta",
        2);
    ODD("ctorch._utils\n_rebuild_sparse_tensor\nNN\x86R", "sparse", -1);
    ODD("ctorch._utils\n_rebuild_future_tensor\nNN\x86R", "future_tensor", -1);
    ODD("ctorch._utils\n_rebuild_sparse_tensor\n)R", "sparse", -1);
    /* The size is beyond all limits, but nobody reads it. */
    ODD("ctorch._utils\n_rebuild_meta_tensor_no_storage\n(N\x8a\5\0\0\0\0\1\x8a\5\0\0\0\0\1\x86tR",
        "meta", -1);
    /* The elements have another type than the storage's; their bytes fit. */
    const MegaPickleValue *value = GOOD(REBUILD_V3 OTHER_STORAGE(
        "torch.storage\nUntypedStorage") "K\0K\4\x85K\1\x85\x89Nctorch\nfloat32\ntR");
    assert_true(value->tensor->readable && value->tensor->dtype == MEGA_F32);
    FORMAT(REBUILD_V3 OTHER_STORAGE(
               "torch.storage\nUntypedStorage") "K\1K\4\x85K\1\x85\x89Nctorch\nfloat32\ntR",
           "beyond its storage");
    value = GOOD(REBUILD STORAGE "K\0(K\1K\1K\1K\1K\1K\1K\1K\1K\1t(K\1K\1K\1K\1K\1K\1K\1K\1K\1ttR");
    assert_int_equal(value->tensor->rank, 9);
    assert_true(value->tensor->readable);
    value = GOOD("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0000X\3\0\0\0cpuK\14)tQ");
    assert_int_equal(value->type, MEGA_PICKLE_STORAGE); /* a view of another storage */
    assert_false(value->storage->readable);
    value = GOOD("(X\6\0\0\0modulecm\nC\nNNtQ"); /* a class with its source, from whole modules */
    assert_string_equal(mega_pickle_describe(value), "m.C");
}

/* ---- Hostile --------------------------------------------------------------------------------- */

/* Nothing is executed: names are inert, and calls keep their arguments. */
static void test_globals(void **state)
{
    (void)state;
#define INERT(bytes, name)                                                                         \
    value = GOOD(bytes);                                                                           \
    assert_int_equal(value->type, MEGA_PICKLE_OBJECT);                                             \
    assert_string_equal(mega_pickle_describe(value), name)
    const MegaPickleValue *value;
    INERT("c__builtin__\neval\nX\1\0\0\0001\x85R", "__builtin__.eval");
    INERT("cbuiltins\ngetattr\nX\1\0\0\0aX\1\0\0\0b\x86R", "builtins.getattr");
    INERT("ctorch\nload\n)R", "torch.load");
    INERT("ctorch.nn.modules.linear\nLinear\n)\x81}X\1\0\0\0aK\1sb",
          "torch.nn.modules.linear.Linear");
    INERT("cos\nsystem\nX\4\0\0\0true\x85R", "os.system");
    assert_string_equal(value->object->arguments->list.items[0]->text.data, "true");
    assert_int_equal(GOOD("cos\nsystem\n")->type, MEGA_PICKLE_GLOBAL);
    assert_string_equal(mega_pickle_describe(GOOD("X\2\0\0\0osX\6\0\0\0system\x93")), "os.system");
    assert_string_equal(mega_pickle_describe(GOOD("(ios\nsystem\n")), "os.system");     /* INST */
    assert_string_equal(mega_pickle_describe(GOOD("(cos\nsystem\nK\1o")), "os.system"); /* OBJ */
    assert_string_equal(mega_pickle_describe(GOOD("\x82\1)R")), "extension.1");         /* EXT1 */
    assert_string_equal(mega_pickle_describe(GOOD("\x84\1\0\0\1)R")), "extension.16777217");
    assert_string_equal(mega_pickle_describe(GOOD("cm\nC\n)}\x92")), "m.C"); /* NEWOBJ_EX */
    /* The result of a method that getattr() returned. */
    assert_string_equal(mega_pickle_describe(GOOD("cbuiltins\ngetattr\n)R)R")), "builtins.getattr");
    FORMAT("c\xff\nsystem\n", "not text");
    FORMAT("cos\na\33[31m\n", "not text");
    FORMAT("cos\na\302\233m\n", "not text");
    FORMAT("cos", "reaches beyond the end");
    FORMAT("K\1K\2\x93", "not text");
    FORMAT("(o", "an instance has no class");
    FORMAT("icm\nC\n", "a mark is missing");
    REFUSED("(Vx\n", "opcode 0x56");
}

static const MegaPickleValue *attribute(const MegaPickleValue *value, const char *name)
{
    const MegaPickleValue *attributes = mega_pickle_attributes(value);
    return attributes ? mega_pickle_get(attributes, name) : NULL;
}

/* The contents of objects derived from dict and list, and the attributes of any class. */
static void test_objects(void **state)
{
    (void)state;
    const MegaPickleValue *value = GOOD("cm\nD\n)\x81(X\1\0\0\0aK\1X\1\0\0\0bK\2u}X\1\0\0\0xK\3sb");
    assert_int_equal(value->type, MEGA_PICKLE_OBJECT);
    assert_int_equal(mega_pickle_get(value, "b")->integer, 2);
    assert_int_equal(attribute(value, "x")->integer, 3);
    value = GOOD("cm\nL\n)R(K\1K\2e");
    assert_null(mega_pickle_mapping(value));
    assert_int_equal(value->object->items->list.count, 2);
    value = GOOD("cm\nS\n)R(K\1\x90");
    assert_int_equal(value->object->items->type, MEGA_PICKLE_SET);
    /* With slots, the state is a pair of the dict and the slots. */
    value = GOOD("cm\nC\n)\x81N}X\1\0\0\0xK\4s\x86"
                 "b");
    assert_int_equal(attribute(value, "x")->integer, 4);
    value = GOOD("ccopy_reg\n_reconstructor\n(cm\nC\ncm\nO\nNtR}X\1\0\0\0xK\5sb");
    assert_string_equal(mega_pickle_describe(value), "m.C");
    assert_int_equal(attribute(value, "x")->integer, 5);
    value = GOOD("ccollections\nCounter\n}X\1\0\0\0aK\2s\x85R");
    assert_int_equal(mega_pickle_get(value, "a")->integer, 2);
    value = GOOD("ccollections\ndefaultdict\ncbuiltins\nlist\n\x85RX\1\0\0\0aK\2s");
    assert_int_equal(mega_pickle_get(value, "a")->integer, 2);
    FORMAT("cm\nD\n)\x81K\1K\2sK\1a", "items are added to a dict, expected a list");
}

static void test_calls(void **state)
{
    (void)state;
    FORMAT("K\1)R", "an integer is called");
    FORMAT("ccollections\nOrderedDict\nK\1R", "is called with an integer");
    assert_int_equal(GOOD("ctorch\nFloatStorage\n)R")->type, MEGA_PICKLE_OBJECT);
    FORMAT("ctorch._utils\n_rebuild_tensor_v2\n)R", "rebuilt from the wrong values");
    FORMAT(REBUILD_V2 STORAGE "K\0))tR", "rebuilt from the wrong values");
    FORMAT(REBUILD STORAGE "K\0))\x89NtR", "rebuilt from the wrong values");
    FORMAT("X\2\0\0\0a\xff", "not UTF-8");
    GOOD("X\3\0\0\0\xed\xa0\x80"); /* a lone surrogate, as Python writes it */
    FORMAT("ccollections\nOrderedDict\nK\1\x85R", "made from the wrong values");
    FORMAT("ccollections\nOrderedDict\n]K\1a\x85R", "something other than pairs");
    FORMAT("K\1}b", "the attributes of an integer are set");
    FORMAT("cargparse\nNamespace\n)\x81K\1b", "expected a dict");
    FORMAT("ccollections\nOrderedDict\n)RK\1b", "the attributes of a dict");
}

static void test_types(void **state)
{
    (void)state;
    FORMAT("]K\1K\2s", "items are added to a list, expected a dict");
    FORMAT("](K\1K\2u", "items are added to a list");
    FORMAT("}K\1a", "items are added to a dict, expected a list");
    FORMAT("}(K\1e", "items are added to a dict");
    FORMAT("](K\1\x90", "expected a set");
    FORMAT("}(K\1u", "a key without a value");
    FORMAT("(K\1d", "a key without a value");
    FORMAT("K\1K\2K\3s", "items are added to an integer");
}

static void test_stack(void **state)
{
    (void)state;
    FORMAT("", "0 values");
    FORMAT("K\1K\2", "2 values");
    FORMAT("(K\1", "ends with 1 values");
    FORMAT("K\1t", "a mark is missing");
    FORMAT("0", "the stack is empty");
    FORMAT("K\1(0", "the stack is empty"); /* nothing is above the mark */
    FORMAT("K\1(R", "the stack is empty");
    FORMAT("K\1\x87", "the stack is empty");
    FORMAT("s", "the stack is empty");
    FORMAT("Q", "the stack is empty");
    FORMAT("h\0", "never stored");
    FORMAT("K\1q\1h\0", "never stored");
    BAD("K\1r\xff\xff\xff\xff", MEGA_ERR_LIMIT, "memo number 4294967295");
    FORMAT("X\xff\xff\xff\xffx", "a string of 4294967295 bytes");
    FORMAT("\x8d\xff\xff\xff\xff\xff\xff\xff\xffx", "reaches beyond the end");
    FORMAT("\x95\xff\0\0\0\0\0\0\0", "a frame reaches beyond");
    assert_int_equal(read_good("N.", 2)->type, MEGA_PICKLE_NONE); /* protocol 1 */
    expect_error("\x80\0N.", 4, MEGA_ERR_UNSUPPORTED, "protocol 0");
    expect_error("\x80\6N.", 4, MEGA_ERR_UNSUPPORTED, "protocol 6");
    expect_error("", 0, MEGA_ERR_FORMAT, "truncated");
    REFUSED("\x80\2N", "a pickle of protocol"); /* the opcode occurs twice */
}

static void test_storages(void **state)
{
    (void)state;
    FORMAT(REBUILD STORAGE "K\3K\2K\5\x86K\5K\1\x86tR", "beyond its storage '0' of 12 elements");
    FORMAT(REBUILD STORAGE "K\0K\15\x85K\1\x85tR", "beyond its storage");
    FORMAT(REBUILD STORAGE "K\0K\3\x85K\6\x85tR", "beyond its storage");
    FORMAT(REBUILD STORAGE "K\14))tR", "beyond its storage");
    FORMAT(REBUILD STORAGE "J\xff\xff\xff\xff))tR", "rebuilt from the wrong values");
    FORMAT(REBUILD STORAGE "K\0J\xff\xff\xff\xff\x85K\1\x85tR", "not a tuple of sizes");
    FORMAT(REBUILD STORAGE "K\0K\1\x85J\xff\xff\xff\xff\x85tR", "not a tuple of sizes");
    FORMAT(REBUILD STORAGE "K\0K\1\x85)tR", "not a tuple of sizes");
    FORMAT(REBUILD STORAGE "K\0K\2\x85\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85tR",
           "beyond its storage");
    FORMAT(REBUILD STORAGE "K\2K\3\x85\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85tR",
           "beyond its storage"); /* the offset of the last element wraps to 0 */
    FORMAT(REBUILD STORAGE "K\0\x8a\5\0\0\0\0\1\x8a\5\0\0\0\0\1\x86K\0K\0\x86tR",
           "beyond its storage"); /* 2^64 elements with stride 0 */
    FORMAT("K\1Q", "a persistent id");
    FORMAT("(X\7\0\0\0storageNX\1\0\0\0000X\3\0\0\0cpuK\14tQ", "a persistent id");
    FORMAT("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0000X\3\0\0\0cpu"
           "J\xff\xff\xff\xfftQ",
           "a persistent id");
}

/* These pickles are small and expand much. */
static void test_bombs(void **state)
{
    (void)state;
    MegaBuffer bytes = {0};
    mega_put_bytes(&bytes, "\x80\2", 2);
    for (int i = 0; i < 100000; i++)
        mega_put_u8(&bytes, '(');
    expect_error(bytes.data, bytes.size, MEGA_ERR_LIMIT, "nested more than 4096 deep");
    bytes.size = 2;
    for (int i = 0; i < 2000; i++) /* Python may write this, though */
        mega_put_bytes(&bytes, "](", 2);
    for (int i = 0; i < 2000; i++)
        mega_put_u8(&bytes, 'e');
    mega_put_u8(&bytes, '.');
    read_good(bytes.data, bytes.size);
    bytes.size = 2;
    for (int i = 0; i < (1 << 20) + 1; i++)
        mega_put_u8(&bytes, 'N');
    expect_error(bytes.data, bytes.size, MEGA_ERR_LIMIT, "the stack exceeds");
    bytes.size = 2;
    for (int i = 0; i < 200000; i++) /* deep nesting must not recurse when it is freed */
        mega_put_u8(&bytes, i ? '\x85' : ')');
    mega_put_u8(&bytes, '.');
    read_good(bytes.data, bytes.size);
    /* Copies of one large list run into the memory limit. */
    bytes.size = 2;
    mega_put_bytes(&bytes, "cbuiltins\nlist\nq\0](", 19);
    for (int i = 0; i < 500000; i++)
        mega_put_u8(&bytes, 'N');
    mega_put_bytes(&bytes, "e\x85q\1", 4);
    for (int i = 0; i < 1000; i++)
        mega_put_bytes(&bytes, "h\0h\1R0", 6);
    mega_put_u8(&bytes, '.');
    expect_error(bytes.data, bytes.size, MEGA_ERR_LIMIT, "more than 268.4 MB of memory");
    /* Numbers and constants take no memory of their own. */
    bytes.size = 2;
    mega_put_u8(&bytes, '(');
    for (int i = 0; i < 300000; i++)
        mega_put_bytes(&bytes, "K\1N)", 4);
    mega_put_bytes(&bytes, "t.", 2);
    MegaPickle *small = NULL;
    size_t length;
    assert_int_equal(mega_pickle_read(&small, bytes.data, bytes.size, 32 << 20, &length, "", NULL),
                     0);
    mega_pickle_free(small);
    mega_buffer_free(&bytes);
}

/* A few bytes can repeat a name or a dict, so both have limits. */
static void test_repeated(void **state)
{
    (void)state;
    MegaBuffer bytes = {0};
    mega_put_bytes(&bytes, "cm\n", 3);
    for (int i = 0; i < 512; i++)
        mega_put_u8(&bytes, 'n');
    mega_put_bytes(&bytes, "\n.", 2);
    expect_error(bytes.data, bytes.size, MEGA_ERR_LIMIT,
                 "the name of a global has 513 bytes, the limit is 512, at byte 0");
    bytes.size -= 3;
    mega_put_bytes(&bytes, "\n.", 2);
    read_good(bytes.data, bytes.size);
    bytes.size = 0;
    const char storage[] = "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\2\0\0";
    mega_put_bytes(&bytes, storage, sizeof storage - 1);
    for (int i = 0; i < 513; i++)
        mega_put_u8(&bytes, '0');
    mega_put_bytes(&bytes, "X\3\0\0\0cpuK\14tQ.", 13);
    expect_error(bytes.data, bytes.size, MEGA_ERR_FORMAT, "a persistent id");
    bytes.size = 0;
    const char tensor[] = REBUILD_V2 STORAGE "K\0))\x89N}(";
    mega_put_bytes(&bytes, tensor, sizeof tensor - 1);
    for (int i = 0; i < 64; i++)
        mega_put_bytes(&bytes, "K\1N", 3);
    const size_t end = bytes.size;
    mega_put_bytes(&bytes, "utR.", 4);
    read_good(bytes.data, bytes.size);
    bytes.size = end;
    mega_put_bytes(&bytes, "K\1NutR.", 7);
    expect_error(bytes.data, bytes.size, MEGA_ERR_FORMAT, "rebuilt from the wrong values");
    mega_buffer_free(&bytes);
}

static void test_truncated(void **state)
{
    (void)state;
    static const char whole[] = "\x80\2}(X\1\0\0\0a" REBUILD_V2 STORAGE
                                "K\2K\2K\5\x86K\5K\1\x86\x89NtR\x8a\2ab\x8b\1\0\0\0xG12345678"
                                "M12J1234B\1\0\0\0x](NN\x88\x89h\0000ue.";
    for (size_t size = 0; size < sizeof whole - 1; size++) {
        MegaError err = {0};
        size_t length;
        assert_true(read_bytes(whole, size, &length, &err) != 0);
        assert_null(pickle);
    }
    /* Every byte set to every value must give an answer. */
    int refused = 0;
    for (size_t i = 0; i < sizeof whole - 1; i++)
        for (int value = 0; value < 256; value++) {
            char bytes[sizeof whole];
            MegaError err = {0};
            size_t length;
            memcpy(bytes, whole, sizeof whole);
            bytes[i] = (char)value;
            refused += read_bytes(bytes, sizeof whole - 1, &length, &err) != 0;
        }
    assert_true(refused > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_numbers, close_pickle),
        cmocka_unit_test_teardown(test_collections, close_pickle),
        cmocka_unit_test_teardown(test_tensor, close_pickle),
        cmocka_unit_test_teardown(test_odd_tensors, close_pickle),
        cmocka_unit_test_teardown(test_globals, close_pickle),
        cmocka_unit_test_teardown(test_objects, close_pickle),
        cmocka_unit_test_teardown(test_calls, close_pickle),
        cmocka_unit_test_teardown(test_types, close_pickle),
        cmocka_unit_test_teardown(test_stack, close_pickle),
        cmocka_unit_test_teardown(test_storages, close_pickle),
        cmocka_unit_test_teardown(test_bombs, close_pickle),
        cmocka_unit_test_teardown(test_repeated, close_pickle),
        cmocka_unit_test_teardown(test_truncated, close_pickle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
