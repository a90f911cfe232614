/*
 * safetensors.c - reads safetensors files: header size (8 bytes), a JSON header, the data.
 *
 * The header maps names to {dtype, shape, data_offsets: [begin, end]}, with an optional
 * "__metadata__" of strings. The tensors must cover the data exactly: sorted by position, each
 * begins where the one before it ends.
 */
#include "formats/checkpoint/checkpoint_build.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "src/base/checked.h"

#define MAX_HEADER (UINT64_C(64) << 20)

typedef struct Entry {
    const char *name; /* a string of the JSON header */
    uint64_t begin, end;
    unsigned bits;   /* bits of an element; 0 if the type is unknown */
    uint64_t *shape; /* owned; the strides follow */
    MegaCheckpointTensor tensor;
} Entry;

#define FAIL(code, format, ...) MEGA_CHECKPOINT_FAIL(code, format, ##__VA_ARGS__)
#define BAD(format, ...) FAIL(MEGA_ERR_FORMAT, format, ##__VA_ARGS__)
#define TENSOR_BAD(format, ...) BAD("tensor '%.200s': " format, entry->name, ##__VA_ARGS__)

/* Finds the type of a tensor. Types that this code cannot read get the name that PyTorch has for
 * them. A type that it does not know is accepted, since only the model's tensors have to be
 * read. */
static int parse_dtype(const MegaCheckpoint *checkpoint, const json_t *value, Entry *entry,
                       MegaError *err)
{
    static const struct {
        const char *name;
        unsigned bits;
        MegaDtype dtype;
        const char *odd; /* PyTorch's name of a type that cannot be read; NULL if dtype is valid */
    } types[] = {
        {"F64", 64, MEGA_F64, NULL},
        {"F32", 32, MEGA_F32, NULL},
        {"F16", 16, MEGA_F16, NULL},
        {"BF16", 16, MEGA_BF16, NULL},
        {"I64", 64, MEGA_I64, NULL},
        {"I32", 32, MEGA_I32, NULL},
        {"I16", 16, MEGA_I16, NULL},
        {"I8", 8, MEGA_I8, NULL},
        {"U8", 8, MEGA_U8, NULL},
        {"BOOL", 8, MEGA_BOOL, NULL},
        {"U16", 16, 0, "uint16"},
        {"U32", 32, 0, "uint32"},
        {"U64", 64, 0, "uint64"},
        {"C64", 64, 0, "complex64"},
        {"F8_E4M3", 8, 0, "float8_e4m3fn"},
        {"F8_E5M2", 8, 0, "float8_e5m2"},
        {"F8_E8M0", 8, 0, "float8_e8m0fnu"},
        {"F8_E4M3FNUZ", 8, 0, "float8_e4m3fnuz"},
        {"F8_E5M2FNUZ", 8, 0, "float8_e5m2fnuz"},
        {"F6_E2M3", 6, 0, "float6_e2m3"},
        {"F6_E3M2", 6, 0, "float6_e3m2"},
        {"F4", 4, 0, "float4_e2m1fn"},
    };
    MegaCheckpointTensor *tensor = &entry->tensor;
    const char *name = json_string_value(value);
    if (!name || !*name)
        return TENSOR_BAD("it has no dtype");
    for (const char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && *at != '_')
            return TENSOR_BAD("its dtype is not a name");
    tensor->type = name;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(name, types[i].name) == 0) {
            tensor->readable = !types[i].odd;
            tensor->dtype = types[i].dtype;
            tensor->type = types[i].odd ? types[i].odd : mega_dtype_traits(types[i].dtype)->name;
            entry->bits = types[i].bits;
        }
    return 0;
}

/* Reads the shape and computes the strides of a row-major tensor. */
static int parse_shape(const MegaCheckpoint *checkpoint, const json_t *value, Entry *entry,
                       MegaError *err)
{
    MegaCheckpointTensor *tensor = &entry->tensor;
    size_t rank = json_array_size(value);
    if (!json_is_array(value))
        return TENSOR_BAD("it has no shape");
    if (rank > MEGA_PICKLE_MAX_RANK)
        return FAIL(MEGA_ERR_LIMIT, "tensor '%.200s' has %zu dimensions, the limit is %d",
                    entry->name, rank, MEGA_PICKLE_MAX_RANK);
    entry->shape = malloc((rank + 1) * (2 * sizeof *entry->shape));
    if (!entry->shape)
        return FAIL(MEGA_ERR_MEMORY, "no memory for the shape of tensor '%.200s'", entry->name);
    int64_t *stride = (int64_t *)(entry->shape + rank);
    tensor->shape = entry->shape;
    tensor->stride = stride;
    tensor->rank = (int)rank;
    tensor->elements = 1;
    tensor->readable &= rank <= MEGA_CHECKPOINT_MAX_RANK;
    for (int i = (int)rank - 1; i >= 0; i--) {
        const json_t *size = json_array_get(value, (size_t)i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return TENSOR_BAD("dimension %d is not a size", i);
        entry->shape[i] = (uint64_t)json_integer_value(size);
        stride[i] = (int64_t)tensor->elements;
        if (!mega_mul(tensor->elements, entry->shape[i], &tensor->elements) ||
            tensor->elements > INT64_MAX)
            return TENSOR_BAD("its number of elements overflows");
    }
    return 0;
}

static int parse_offsets(const MegaCheckpoint *checkpoint, const json_t *value, Entry *entry,
                         MegaError *err)
{
    const json_t *begin = json_array_get(value, 0), *end = json_array_get(value, 1);
    uint64_t bits;
    if (json_array_size(value) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return TENSOR_BAD("its data_offsets are not two offsets");
    entry->begin = (uint64_t)json_integer_value(begin);
    entry->end = (uint64_t)json_integer_value(end);
    if (entry->bits && (!mega_mul(entry->tensor.elements, entry->bits, &bits) || bits % 8 ||
                        bits / 8 != entry->end - entry->begin))
        return TENSOR_BAD("its data has %" PRIu64 " bytes, which do not fit its shape and dtype",
                          entry->end - entry->begin);
    entry->tensor.storage_size = entry->end - entry->begin;
    return 0;
}

static int parse_entry(const MegaCheckpoint *checkpoint, const json_t *value, Entry *entry,
                       MegaError *err)
{
    if (json_object_size(value) != 3)
        return TENSOR_BAD("expected dtype, shape and data_offsets");
    int code = parse_dtype(checkpoint, json_object_get(value, "dtype"), entry, err);
    if (!code)
        code = parse_shape(checkpoint, json_object_get(value, "shape"), entry, err);
    if (!code)
        code = parse_offsets(checkpoint, json_object_get(value, "data_offsets"), entry, err);
    return code;
}

/* Sorts entries by position. An empty tensor begins where the next one does, and comes first. */
static int by_place(const void *a, const void *b)
{
    const Entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* Adds the tensors after checking that they cover the data without gaps or overlaps. */
static int add_entries(MegaCheckpoint *checkpoint, Entry *entries, size_t count,
                       const uint8_t *data, uint64_t size, MegaError *err)
{
    uint64_t end = 0;
    qsort(entries, count, sizeof *entries, by_place);
    for (size_t i = 0; i < count; i++) {
        Entry *entry = &entries[i];
        if (entry->begin != end)
            return TENSOR_BAD("its data begins at %" PRIu64
                              ", but the tensor before ends at %" PRIu64,
                              entry->begin, end);
        if (entry->end > size)
            return TENSOR_BAD("its data ends at %" PRIu64 ", but the file has only %" PRIu64
                              " bytes of data: it is truncated; fetch it again",
                              entry->end, size);
        end = entry->end;
        entry->tensor.storage = data + entry->begin;
        int code =
            mega_checkpoint_add(checkpoint, &entry->tensor, entry->name, strlen(entry->name), err);
        if (code)
            return code;
    }
    return end == size ? 0
                       : BAD("%" PRIu64 " bytes follow the data of the last tensor", size - end);
}

static int parse_header(MegaCheckpoint *checkpoint, const json_t *header, const uint8_t *data,
                        uint64_t size, MegaError *err)
{
    size_t count = 0;
    const char *name;
    json_t *value;
    int code = 0;
    Entry *entries = calloc(json_object_size(header) + 1, sizeof *entries);
    if (!entries)
        return FAIL(MEGA_ERR_MEMORY, "no memory for %zu tensors", json_object_size(header));
    json_object_foreach((json_t *)header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        entries[count].name = name;
        code = parse_entry(checkpoint, value, &entries[count++], err);
        if (code)
            goto out;
    }
    code = add_entries(checkpoint, entries, count, data, size, err);
out:
    for (size_t i = 0; i < count; i++)
        free(entries[i].shape);
    free(entries);
    return code;
}

int mega_safetensors_load(MegaCheckpoint *checkpoint, MegaError *err)
{
    MegaReader reader = mega_reader(checkpoint->map.data, (size_t)checkpoint->map.size);
    uint64_t length = mega_get_u64(&reader);
    json_error_t problem;
    checkpoint->kind = "safetensors";
    if (length > MAX_HEADER)
        return FAIL(MEGA_ERR_LIMIT, "a header of %" PRIu64 " bytes exceeds the limit of %" PRIu64,
                    length, MAX_HEADER);
    const char *text = (const char *)mega_get_bytes(&reader, length);
    if (!text)
        return BAD("the header is said to have %" PRIu64 " bytes, more than the file: it is "
                   "truncated; fetch it again",
                   length);
    const uint64_t allowance = mega_checkpoint_allowance(checkpoint);
    checkpoint->memory = mega_checkpoint_json_cost(text, length);
    if (checkpoint->memory > allowance)
        return FAIL(MEGA_ERR_LIMIT,
                    "the header would need more than %.1f MB of memory, the most that this file "
                    "may take",
                    (double)allowance / 1e6);
    json_t *header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &problem);
    if (!header)
        return BAD("its header is not valid JSON: %s", problem.text);
    int code = json_is_object(header)
                   ? parse_header(checkpoint, header, reader.data + reader.position,
                                  mega_reader_left(&reader), err)
                   : BAD("its header is not a JSON object");
    json_decref(header);
    return code;
}
