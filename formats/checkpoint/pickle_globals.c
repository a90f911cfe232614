/*
 * pickle_globals.c - the table of classes and functions that have a meaning in a pickle; see
 * pickle_globals.h.
 */
#include "formats/checkpoint/pickle_globals.h"

#include <string.h>

#define STORAGE(name, dtype) {"torch." name "Storage", MEGA_GLOBAL_STORAGE, true, dtype, NULL, 0, 0}
#define ELEMENT(name, dtype) {"torch." name, MEGA_GLOBAL_DTYPE, true, dtype, NULL, 0, 0}
#define ODD_STORAGE(name, element, size)                                                           \
    {"torch." name "Storage", MEGA_GLOBAL_STORAGE, false, 0, element, size, 0}
#define MEANS(name, kind) {name, kind, false, 0, NULL, 0, 0}
#define ODD_TENSOR(name, type, size_at)                                                            \
    {"torch._utils." name, MEGA_GLOBAL_ODD_TENSOR, false, 0, type, 0, size_at}

static const MegaPickleGlobal globals[] = {
    MEANS("collections.OrderedDict", MEGA_GLOBAL_DICT),
    MEANS("collections.Counter", MEGA_GLOBAL_DICT),
    MEANS("collections.defaultdict", MEGA_GLOBAL_DEFAULTDICT),
    MEANS("builtins.dict", MEGA_GLOBAL_DICT),
    MEANS("builtins.list", MEGA_GLOBAL_LIST),
    MEANS("builtins.tuple", MEGA_GLOBAL_TUPLE),
    MEANS("builtins.set", MEGA_GLOBAL_SET),
    MEANS("builtins.frozenset", MEGA_GLOBAL_SET),
    MEANS("__builtin__.dict", MEGA_GLOBAL_DICT),
    MEANS("__builtin__.list", MEGA_GLOBAL_LIST),
    MEANS("__builtin__.tuple", MEGA_GLOBAL_TUPLE),
    MEANS("__builtin__.set", MEGA_GLOBAL_SET),
    MEANS("__builtin__.frozenset", MEGA_GLOBAL_SET),
    MEANS("torch.Size", MEGA_GLOBAL_TUPLE),
    MEANS("argparse.Namespace", MEGA_GLOBAL_NAMESPACE),
    MEANS("copyreg._reconstructor", MEGA_GLOBAL_CONSTRUCTOR),
    MEANS("copy_reg._reconstructor", MEGA_GLOBAL_CONSTRUCTOR),
    MEANS("copyreg.__newobj__", MEGA_GLOBAL_CONSTRUCTOR),
    MEANS("copy_reg.__newobj__", MEGA_GLOBAL_CONSTRUCTOR),
    MEANS("torch._utils._rebuild_tensor", MEGA_GLOBAL_TENSOR),
    MEANS("torch._utils._rebuild_tensor_v2", MEGA_GLOBAL_TENSOR),
    MEANS("torch._utils._rebuild_tensor_v3", MEGA_GLOBAL_TENSOR),
    MEANS("torch._utils._rebuild_parameter", MEGA_GLOBAL_FROM_FIRST),
    MEANS("torch._utils._rebuild_parameter_with_state", MEGA_GLOBAL_FROM_FIRST),
    MEANS("torch._utils._rebuild_device_tensor_from_cpu_tensor", MEGA_GLOBAL_FROM_FIRST),
    MEANS("torch._tensor._rebuild_from_type", MEGA_GLOBAL_FROM_TYPE),
    MEANS("torch._tensor._rebuild_from_type_v2", MEGA_GLOBAL_FROM_TYPE),
    ODD_TENSOR("_rebuild_qtensor", "quantized", 2),
    ODD_TENSOR("_rebuild_meta_tensor_no_storage", "meta", 1),
    ODD_TENSOR("_rebuild_wrapper_subclass", "wrapped", 2),
    ODD_TENSOR("_rebuild_sparse_tensor", "sparse", 0),
    ODD_TENSOR("_rebuild_sparse_csr_tensor", "sparse", 0),
    ODD_TENSOR("_rebuild_nested_tensor", "nested", 0),
    ODD_TENSOR("_rebuild_device_tensor_from_numpy", "device", 0),
    ODD_TENSOR("_rebuild_xla_tensor", "device", 0),
    STORAGE("Float", MEGA_F32),
    STORAGE("Half", MEGA_F16),
    STORAGE("BFloat16", MEGA_BF16),
    STORAGE("Double", MEGA_F64),
    STORAGE("Long", MEGA_I64),
    STORAGE("Int", MEGA_I32),
    STORAGE("Short", MEGA_I16),
    STORAGE("Char", MEGA_I8),
    STORAGE("Byte", MEGA_U8),
    STORAGE("Bool", MEGA_BOOL),
    STORAGE("Untyped", MEGA_U8),          /* the elements are bytes */
    STORAGE("storage.Untyped", MEGA_U8),  /* the elements are bytes */
    STORAGE("_Untyped", MEGA_U8),         /* the elements are bytes */
    STORAGE("storage._Untyped", MEGA_U8), /* the elements are bytes */
    ODD_STORAGE("ComplexHalf", "complex32", 4),
    ODD_STORAGE("ComplexFloat", "complex64", 8),
    ODD_STORAGE("ComplexDouble", "complex128", 16),
    ODD_STORAGE("QInt8", "qint8", 1),
    ODD_STORAGE("QUInt8", "quint8", 1),
    ODD_STORAGE("QInt32", "qint32", 4),
    ODD_STORAGE("QUInt4x2", "quint4x2", 1),
    ODD_STORAGE("QUInt2x4", "quint2x4", 1),
    ELEMENT("float32", MEGA_F32),
    ELEMENT("float16", MEGA_F16),
    ELEMENT("bfloat16", MEGA_BF16),
    ELEMENT("float64", MEGA_F64),
    ELEMENT("int64", MEGA_I64),
    ELEMENT("int32", MEGA_I32),
    ELEMENT("int16", MEGA_I16),
    ELEMENT("int8", MEGA_I8),
    ELEMENT("uint8", MEGA_U8),
    ELEMENT("bool", MEGA_BOOL),
    MEANS("torch.device", MEGA_GLOBAL_INERT),
};

const MegaPickleGlobal *mega_pickle_global(const char *module, size_t module_length,
                                           const char *name, size_t name_length)
{
    for (size_t i = 0; i < sizeof globals / sizeof globals[0]; i++) {
        const char *have = globals[i].qualified_name;
        if (strlen(have) == module_length + 1 + name_length && have[module_length] == '.' &&
            memcmp(have, module, module_length) == 0 &&
            memcmp(have + module_length + 1, name, name_length) == 0)
            return &globals[i];
    }
    return NULL;
}
