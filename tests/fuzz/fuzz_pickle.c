/*
 * fuzz_pickle.c - fuzzes the unpickler, and walks over the values that it built.
 */
#include "formats/checkpoint/pickle.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/pickle_mutator.h"

/* Values may be shared and may contain themselves, so depth and work are bounded. */
static void walk(const MegaPickleValue *value, int depth, int *work)
{
    if (!value || depth > 32 || --*work < 0)
        return;
    if (!mega_pickle_describe(value))
        __builtin_trap();
    mega_pickle_is_text(value);
    mega_pickle_get(value, "model");
    switch (value->type) {
    case MEGA_PICKLE_TUPLE:
    case MEGA_PICKLE_LIST:
    case MEGA_PICKLE_SET:
    case MEGA_PICKLE_DICT:
        for (size_t i = 0; i < value->list.count; i++)
            walk(value->list.items[i], depth + 1, work);
        break;
    case MEGA_PICKLE_OBJECT:
        walk(mega_pickle_attributes(value), depth + 1, work);
        walk(value->object->arguments, depth + 1, work);
        walk(value->object->state, depth + 1, work);
        walk(value->object->items, depth + 1, work);
        break;
    case MEGA_PICKLE_TENSOR: {
        const MegaPickleTensor *tensor = value->tensor;
        uint64_t last = tensor->offset;
        if (!tensor->type || tensor->rank > MEGA_PICKLE_MAX_RANK)
            __builtin_trap();
        if (!tensor->readable)
            break;
        for (int axis = 0; tensor->elements && axis < tensor->rank; axis++)
            last += (tensor->shape[axis] - 1) * (uint64_t)tensor->stride[axis];
        if (tensor->elements && last >= tensor->storage->elements * tensor->storage->item_size /
                                            mega_dtype_traits((int)tensor->dtype)->item_size)
            __builtin_trap();
        break;
    }
    default: break;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return fuzz_mutate_pickle(data, size, max_size, seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MegaError err = {0};
    MegaPickle *pickle = NULL;
    size_t length = 0;
    int work = 100000;
    int code = mega_pickle_read(&pickle, data, size, UINT64_C(64) << 20, &length, "fuzz.pkl", &err);
    fuzz_check_error(code, err.text);
    if (!code) {
        if (length > size)
            __builtin_trap();
        walk(mega_pickle_root(pickle), 0, &work);
        for (size_t i = 0; i < mega_pickle_storage_count(pickle); i++)
            if (!mega_pickle_storage(pickle, i)->key)
                __builtin_trap();
    }
    mega_pickle_free(pickle);
    return 0;
}
