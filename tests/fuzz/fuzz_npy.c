/*
 * fuzz_npy.c - fuzzes NumPy arrays.
 */
#include "formats/media/npy.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MegaError err = {0};
    MegaNpy array = {0};
    int code = mega_npy_parse(&array, data, size, "fuzz.npy", &err);
    fuzz_check_error(code, err.text);
    uint64_t elements = 1;
    for (int axis = 0; !code && axis < array.rank; axis++)
        elements *= array.shape[axis];
    if (!code && elements != array.elements)
        __builtin_trap();
    mega_npy_free(&array);
    return 0;
}
