/*
 * pickle_globals.c - the list of names that a pickle may mention; see pickle_globals.h.
 */
#include "pickle_globals.h"

#include <string.h>

static const MegaPickleGlobal globals[] = {
    {"collections.OrderedDict", MEGA_GLOBAL_DICT, 0},
    {"builtins.dict", MEGA_GLOBAL_DICT, 0},
    {"builtins.list", MEGA_GLOBAL_LIST, 0},
    {"builtins.tuple", MEGA_GLOBAL_TUPLE, 0},
    {"builtins.set", MEGA_GLOBAL_SET, 0},
    {"builtins.frozenset", MEGA_GLOBAL_SET, 0},
    {"__builtin__.dict", MEGA_GLOBAL_DICT, 0},
    {"__builtin__.list", MEGA_GLOBAL_LIST, 0},
    {"__builtin__.tuple", MEGA_GLOBAL_TUPLE, 0},
    {"__builtin__.set", MEGA_GLOBAL_SET, 0},
    {"__builtin__.frozenset", MEGA_GLOBAL_SET, 0},
    {"torch._utils._rebuild_tensor", MEGA_GLOBAL_TENSOR, 0},
    {"torch._utils._rebuild_tensor_v2", MEGA_GLOBAL_TENSOR, 0},
    {"torch._utils._rebuild_parameter", MEGA_GLOBAL_PARAMETER, 0},
    {"torch.FloatStorage", MEGA_GLOBAL_STORAGE, MEGA_F32},
    {"torch.HalfStorage", MEGA_GLOBAL_STORAGE, MEGA_F16},
    {"torch.BFloat16Storage", MEGA_GLOBAL_STORAGE, MEGA_BF16},
    {"torch.DoubleStorage", MEGA_GLOBAL_STORAGE, MEGA_F64},
    {"torch.LongStorage", MEGA_GLOBAL_STORAGE, MEGA_I64},
    {"torch.IntStorage", MEGA_GLOBAL_STORAGE, MEGA_I32},
    {"torch.ShortStorage", MEGA_GLOBAL_STORAGE, MEGA_I16},
    {"torch.CharStorage", MEGA_GLOBAL_STORAGE, MEGA_I8},
    {"torch.ByteStorage", MEGA_GLOBAL_STORAGE, MEGA_U8},
    {"torch.BoolStorage", MEGA_GLOBAL_STORAGE, MEGA_BOOL},
    {"torch.float", MEGA_GLOBAL_DTYPE, 0},
    {"torch.float16", MEGA_GLOBAL_DTYPE, 0},
    {"torch.float32", MEGA_GLOBAL_DTYPE, 0},
    {"torch.float64", MEGA_GLOBAL_DTYPE, 0},
    {"torch.bfloat16", MEGA_GLOBAL_DTYPE, 0},
    {"torch.int8", MEGA_GLOBAL_DTYPE, 0},
    {"torch.int16", MEGA_GLOBAL_DTYPE, 0},
    {"torch.int32", MEGA_GLOBAL_DTYPE, 0},
    {"torch.int64", MEGA_GLOBAL_DTYPE, 0},
    {"torch.uint8", MEGA_GLOBAL_DTYPE, 0},
    {"torch.bool", MEGA_GLOBAL_DTYPE, 0},
    {"argparse.Namespace", MEGA_GLOBAL_NAMESPACE, 0},
    {"torch.Size", MEGA_GLOBAL_TUPLE, 0},
    {"torch.device", MEGA_GLOBAL_INERT, 0},
    /* NumPy scalars and arrays among the statistics of a training run */
    {"numpy.dtype", MEGA_GLOBAL_INERT, 0},
    {"numpy.ndarray", MEGA_GLOBAL_INERT, 0},
    {"numpy.core.multiarray.scalar", MEGA_GLOBAL_INERT, 0},
    {"numpy.core.multiarray._reconstruct", MEGA_GLOBAL_INERT, 0},
    {"numpy._core.multiarray.scalar", MEGA_GLOBAL_INERT, 0},
    {"numpy._core.multiarray._reconstruct", MEGA_GLOBAL_INERT, 0},
    {"_codecs.encode", MEGA_GLOBAL_INERT, 0},
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
