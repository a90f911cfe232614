/*
 * checkpoint.c - opens a checkpoint of any format and reads its tensors; see checkpoint.h.
 *
 * The file stays mapped, and the reader of its format adds tensors that point into it. The values
 * of a pickle or a JSON header are freed after opening, except names and arguments.
 */
#include "formats/checkpoint/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "formats/base/sniff.h"
#include "formats/checkpoint/checkpoint_build.h"

#define FAIL(code, format, ...) MEGA_CHECKPOINT_FAIL(code, format, ##__VA_ARGS__)
#define EXPECTED "expected a PyTorch checkpoint or a safetensors file"

/* ---- Opening -------------------------------------------------------------------------------- */

static int map_file(MegaCheckpoint *checkpoint, MegaError *err)
{
    int code = mega_mapped_file_open(&checkpoint->map, checkpoint->name, "checkpoint", err);
    if (!code && checkpoint->map.size == 0)
        code = FAIL(MEGA_ERR_FORMAT, "the file is empty; " EXPECTED);
    return code;
}

/* Returns whether the file begins like safetensors: a plausible length of the header, then JSON. */
static bool is_safetensors(const MegaCheckpoint *checkpoint)
{
    return checkpoint->map.size > 8 && checkpoint->map.data[8] == '{' &&
           mega_load_u64(checkpoint->map.data) < UINT64_C(1) << 40;
}

static int fail_kind(const MegaCheckpoint *checkpoint, MegaError *err)
{
    MegaFileKind kind = mega_sniff(checkpoint->map.data, (size_t)checkpoint->map.size);
    switch (kind.role) {
    case MEGA_ROLE_MODEL:
        return FAIL(MEGA_ERR_FORMAT, "this is a .mega model already; use it with mega-run");
    case MEGA_ROLE_SOUND:
    case MEGA_ROLE_PICTURE:
    case MEGA_ROLE_UNREAD:
    case MEGA_ROLE_INPUT: return FAIL(MEGA_ERR_FORMAT, "this is %s; " EXPECTED, kind.what);
    case MEGA_ROLE_CHECKPOINT:
        return FAIL(MEGA_ERR_FORMAT,
                    "this is %s, but not a file that torch.save wrote, or it is "
                    "truncated; " EXPECTED,
                    kind.what);
    case MEGA_ROLE_TEXT:
    case MEGA_ROLE_OTHER:
        return FAIL(MEGA_ERR_FORMAT, "this is %s; %s", kind.what,
                    kind.advice ? kind.advice : EXPECTED);
    default: return FAIL(MEGA_ERR_FORMAT, "the file is of an unknown kind; " EXPECTED);
    }
}

static int load(MegaCheckpoint *checkpoint, MegaWeightSet weights, MegaError *err)
{
    if (checkpoint->map.size >= 4 && memcmp(checkpoint->map.data, "PK\3\4", 4) == 0)
        return mega_torch_zip_load(checkpoint, weights, err);
    if (mega_sniff_torch_legacy(checkpoint->map.data, (size_t)checkpoint->map.size))
        return mega_torch_legacy_load(checkpoint, weights, err);
    if (is_safetensors(checkpoint))
        return mega_safetensors_load(checkpoint, err);
    return fail_kind(checkpoint, err);
}

static int by_name(const void *a, const void *b)
{
    const MegaCheckpointTensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int sort_names(MegaCheckpoint *checkpoint, MegaError *err)
{
    if (checkpoint->count == 0)
        return FAIL(MEGA_ERR_MODEL, "the checkpoint has no tensors");
    checkpoint->sorted = calloc(checkpoint->count, sizeof *checkpoint->sorted);
    if (!checkpoint->sorted)
        return FAIL(MEGA_ERR_MEMORY, "no memory for %zu tensors", checkpoint->count);
    for (size_t i = 0; i < checkpoint->count; i++)
        checkpoint->sorted[i] = &checkpoint->tensors[i];
    qsort(checkpoint->sorted, checkpoint->count, sizeof *checkpoint->sorted, by_name);
    for (size_t i = 1; i < checkpoint->count; i++)
        if (by_name(&checkpoint->sorted[i - 1], &checkpoint->sorted[i]) == 0)
            return FAIL(MEGA_ERR_FORMAT, "tensor '%s' occurs twice", checkpoint->sorted[i]->name);
    return 0;
}

int mega_checkpoint_open(MegaCheckpoint **out, const char *path,
                         const MegaCheckpointOptions *options, MegaError *err)
{
    *out = NULL;
    MegaCheckpoint *checkpoint = calloc(1, sizeof *checkpoint);
    if (!checkpoint || !(checkpoint->name = strdup(path))) {
        free(checkpoint);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for opening %s", path);
    }
    checkpoint->map.fd = -1;
    checkpoint->max_memory = options->max_memory;
    const bool is_folder = mega_folder_is(path);
    int code = is_folder ? mega_folder_load(checkpoint, options, err) : map_file(checkpoint, err);
    if (!code && !is_folder)
        code = load(checkpoint, options->weights, err);
    if (!code)
        code = sort_names(checkpoint, err);
    if (code)
        mega_checkpoint_close(checkpoint);
    else
        *out = checkpoint;
    return code;
}

int mega_checkpoint_add(MegaCheckpoint *checkpoint, const MegaCheckpointTensor *tensor,
                        const char *name, size_t length, MegaError *err)
{
    if (length == 0 || length > MEGA_CHECKPOINT_MAX_NAME)
        return FAIL(MEGA_ERR_LIMIT, "the name of a tensor has %zu bytes, expected 1 to %d", length,
                    MEGA_CHECKPOINT_MAX_NAME);
    uint32_t character;
    /* names appear in messages, so control characters and NUL are rejected */
    for (size_t i = 0, size; i < length; i += size ? size : 1) {
        character = (unsigned char)name[i];
        size = mega_utf8_decode(name + i, length - i, &character);
        if (mega_utf8_is_control(character))
            return FAIL(MEGA_ERR_FORMAT, "the name of tensor %zu holds a control character",
                        checkpoint->count);
    }
    if (checkpoint->count == MEGA_CHECKPOINT_MAX_TENSORS)
        return FAIL(MEGA_ERR_LIMIT, "more than %d tensors", MEGA_CHECKPOINT_MAX_TENSORS);
    if (checkpoint->count == checkpoint->capacity) {
        size_t capacity = checkpoint->capacity ? checkpoint->capacity * 2 : 64;
        void *grown = realloc(checkpoint->tensors, capacity * sizeof *tensor);
        if (!grown)
            return FAIL(MEGA_ERR_MEMORY, "no memory for %zu tensors", capacity);
        checkpoint->tensors = grown;
        checkpoint->capacity = capacity;
    }
    /* shape, strides, name and type are in one block */
    size_t rank = tensor->rank > 0 ? (size_t)tensor->rank : 0, type = strlen(tensor->type) + 1;
    uint64_t *shape = malloc(rank * (2 * sizeof *shape) + length + 1 + type);
    if (!shape)
        return FAIL(MEGA_ERR_MEMORY, "no memory for the name of a tensor");
    int64_t *stride = (int64_t *)(shape + rank);
    char *copy = (char *)(stride + rank);
    if (rank) {
        memcpy(shape, tensor->shape, rank * sizeof *shape);
        memcpy(stride, tensor->stride, rank * sizeof *stride);
    }
    memcpy(copy, name, length);
    copy[length] = '\0';
    memcpy(copy + length + 1, tensor->type, type);
    checkpoint->memory += sizeof *tensor + sizeof *checkpoint->sorted +
                          rank * (2 * sizeof *shape) + length + 1 + type;
    MegaCheckpointTensor *added = &checkpoint->tensors[checkpoint->count++];
    *added = *tensor;
    added->shape = shape;
    added->stride = stride;
    added->name = copy;
    added->type = copy + length + 1;
    return 0;
}

void mega_checkpoint_drop_values(MegaCheckpoint *checkpoint)
{
    for (size_t i = 0; i < checkpoint->extra_count; i++) {
        free(checkpoint->extras[i].name);
        free(checkpoint->extras[i].what);
    }
    free(checkpoint->extras);
    json_decref(checkpoint->args);
    checkpoint->extras = NULL;
    checkpoint->extra_count = checkpoint->extras_left = 0;
    checkpoint->args = NULL;
}

void mega_checkpoint_close(MegaCheckpoint *checkpoint)
{
    if (!checkpoint)
        return;
    for (size_t i = 0; i < checkpoint->count; i++)
        free((uint64_t *)checkpoint->tensors[i].shape);
    mega_checkpoint_drop_values(checkpoint);
    free(checkpoint->place);
    free(checkpoint->other_place);
    free(checkpoint->rival_place);
    free(checkpoint->tensors);
    free(checkpoint->sorted);
    mega_zip_close(checkpoint->zip);
    for (int i = 0; i < checkpoint->part_count; i++)
        mega_checkpoint_close(checkpoint->parts[i]);
    free(checkpoint->parts);
    mega_mapped_file_close(&checkpoint->map);
    free(checkpoint->name);
    free(checkpoint);
}

/* ---- Access to the content ------------------------------------------------------------------ */

uint64_t mega_checkpoint_memory(const MegaCheckpoint *checkpoint)
{
    return checkpoint->memory;
}

uint64_t mega_checkpoint_json_cost(const char *text, uint64_t length)
{
    const uint64_t of_container = 200, of_value = 48;
    uint64_t cost = length;
    bool quoted = false;
    for (uint64_t i = 0; i < length; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && (text[i] == '[' || text[i] == '{'))
            cost += of_container;
        else if (!quoted && (text[i] == ',' || text[i] == ':'))
            cost += of_value;
    }
    return cost;
}

const char *mega_checkpoint_kind(const MegaCheckpoint *checkpoint)
{
    return checkpoint->kind;
}

const char *mega_checkpoint_place(const MegaCheckpoint *checkpoint)
{
    return checkpoint->place ? checkpoint->place : "";
}

bool mega_checkpoint_averaged(const MegaCheckpoint *checkpoint)
{
    return checkpoint->averaged;
}

const char *mega_checkpoint_other_place(const MegaCheckpoint *checkpoint)
{
    return checkpoint->other_place;
}

const char *mega_checkpoint_rival_place(const MegaCheckpoint *checkpoint)
{
    return checkpoint->rival_place;
}

size_t mega_checkpoint_extra_count(const MegaCheckpoint *checkpoint, size_t *left)
{
    *left = checkpoint->extras_left;
    return checkpoint->extra_count;
}

const MegaCheckpointExtra *mega_checkpoint_extra(const MegaCheckpoint *checkpoint, size_t index)
{
    return index < checkpoint->extra_count ? &checkpoint->extras[index] : NULL;
}

size_t mega_checkpoint_count(const MegaCheckpoint *checkpoint)
{
    return checkpoint->count;
}

const MegaCheckpointTensor *mega_checkpoint_tensor(const MegaCheckpoint *checkpoint, size_t index)
{
    return index < checkpoint->count ? &checkpoint->tensors[index] : NULL;
}

const MegaCheckpointTensor *mega_checkpoint_find(const MegaCheckpoint *checkpoint, const char *name)
{
    const MegaCheckpointTensor wanted = {.name = name}, *key = &wanted;
    const MegaCheckpointTensor *const *found =
        bsearch(&key, checkpoint->sorted, checkpoint->count, sizeof *checkpoint->sorted, by_name);
    return found ? *found : NULL;
}

const json_t *mega_checkpoint_args(const MegaCheckpoint *checkpoint)
{
    return checkpoint->args;
}

bool mega_checkpoint_same(const MegaCheckpointTensor *a, const MegaCheckpointTensor *b)
{
    if (a->storage != b->storage || a->dtype != b->dtype || a->offset != b->offset ||
        a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->shape[i] != b->shape[i] || (a->shape[i] > 1 && a->stride[i] != b->stride[i]))
            return false;
    return true;
}

/* ---- Reading -------------------------------------------------------------------------------- */

void mega_checkpoint_release(const MegaCheckpointTensor *tensor)
{
    mega_mapped_file_release(tensor->storage, tensor->storage_size);
}

int mega_checkpoint_verify(const MegaCheckpoint *checkpoint, const MegaCheckpointTensor *tensor,
                           MegaError *err)
{
    if (checkpoint->part_count)
        checkpoint = checkpoint->parts[tensor->file];
    for (size_t i = 0; checkpoint->zip && i < mega_zip_count(checkpoint->zip); i++) {
        const MegaZipEntry *entry = mega_zip_entry(checkpoint->zip, i);
        if (entry->data == tensor->storage && entry->size == tensor->storage_size) {
            int code = mega_zip_verify(checkpoint->zip, entry, err);
            mega_checkpoint_release(tensor);
            return code;
        }
    }
    return 0;
}

uint64_t mega_checkpoint_reading(const MegaCheckpoint *checkpoint,
                                 const MegaCheckpointTensor *tensor)
{
    /* elements of the storage from the tensor's first to its last */
    uint64_t span = tensor->elements ? 1 : 0;
    for (int i = 0; span && i < tensor->rank; i++)
        span += (tensor->shape[i] - 1) * (uint64_t)tensor->stride[i];
    const uint64_t reading = span * mega_dtype_traits((int)tensor->dtype)->item_size +
                             tensor->elements * sizeof(float);
    if (checkpoint->part_count)
        checkpoint = checkpoint->parts[tensor->file];
    const uint64_t verifying = checkpoint->zip ? tensor->storage_size : 0;
    return reading > verifying ? reading : verifying;
}

/* The last dimensions, as long as their elements are contiguous, form a run, which is converted at
 * once. */
void mega_checkpoint_read_f32(const MegaCheckpointTensor *tensor, float *dst)
{
    uint32_t item = mega_dtype_traits((int)tensor->dtype)->item_size;
    uint64_t position[MEGA_CHECKPOINT_MAX_RANK] = {0}, run = 1, at = tensor->offset;
    int outer = tensor->rank; /* dimensions outside of a run */
    while (outer > 0 &&
           (tensor->shape[outer - 1] == 1 || (uint64_t)tensor->stride[outer - 1] == run))
        run *= tensor->shape[--outer];
    for (uint64_t done = 0; done < tensor->elements; done += run) {
        mega_dtype_to_f32(tensor->dtype, (const uint8_t *)tensor->storage + at * item, (size_t)run,
                          dst + done);
        for (int i = outer - 1; i >= 0; i--) {
            at += (uint64_t)tensor->stride[i];
            if (++position[i] < tensor->shape[i])
                break;
            at -= (uint64_t)tensor->stride[i] * tensor->shape[i];
            position[i] = 0;
        }
    }
    mega_checkpoint_release(tensor);
}
