/*
 * torch_legacy.c - reads checkpoints of PyTorch before 1.6: pickles one after the other, then
 * storages.
 *
 *   pickle: a magic number       pickle: protocol version 1001      pickle: sizes and byte order
 *   pickle: the value            pickle: keys of the storages, in the order of their data
 *   per storage: element count (8 bytes) and elements
 *
 * Only the persistent ids in the value tell the element type of a storage.
 */
#include "formats/checkpoint/checkpoint_build.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "formats/base/sniff.h"
#include "src/base/checked.h"

#define PROTOCOL_VERSION 1001

typedef struct Record {
    const MegaPickleStorage *storage;
    const uint8_t *bytes; /* NULL until the data of the storage has been found */
    uint64_t size;
} Record;

typedef struct Context {
    MegaCheckpoint *checkpoint;
    Record *records; /* [count], sorted by key, with each key once */
    size_t count;
} Context;

static int next_pickle(MegaCheckpoint *checkpoint, MegaReader *reader, MegaPickle **out,
                       MegaError *err)
{
    size_t length = 0;
    int code = mega_pickle_read(out, reader->data + reader->position, mega_reader_left(reader),
                                mega_checkpoint_allowance(checkpoint), &length, checkpoint->name,
                                err);
    if (!code) {
        checkpoint->memory += mega_pickle_memory(*out);
        mega_get_bytes(reader, length);
    }
    return code;
}

/* Reads the protocol version, then sizes and byte order. */
static int read_preamble(MegaCheckpoint *checkpoint, MegaReader *reader, MegaError *err)
{
    MegaPickle *version = NULL, *system = NULL;
    int code = next_pickle(checkpoint, reader, &version, err);
    if (!code)
        code = next_pickle(checkpoint, reader, &system, err);
    if (!code) {
        const MegaPickleValue *number = mega_pickle_root(version);
        const MegaPickleValue *little = mega_pickle_get(mega_pickle_root(system), "little_endian");
        if (number->type != MEGA_PICKLE_INT || number->integer != PROTOCOL_VERSION)
            code = MEGA_CHECKPOINT_FAIL(MEGA_ERR_UNSUPPORTED,
                                        "the legacy format has a protocol version other than %d",
                                        PROTOCOL_VERSION);
        else if (!little || little->type != MEGA_PICKLE_BOOL || !little->integer)
            code = MEGA_CHECKPOINT_FAIL(MEGA_ERR_UNSUPPORTED,
                                        "it was saved on a big-endian machine; load and save it "
                                        "again on a little-endian one");
    }
    mega_pickle_free(version);
    mega_pickle_free(system);
    return code;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const Record *)a)->storage->key, ((const Record *)b)->storage->key);
}

static Record *find_key(const Context *context, const char *key)
{
    MegaPickleStorage wanted = {.key = key};
    Record record = {.storage = &wanted};
    return context->count
               ? bsearch(&record, context->records, context->count, sizeof record, by_key)
               : NULL;
}

/* Makes one record for each key. All storages with the same key must have the same size and
 * type. */
static int collect_keys(Context *context, const MegaPickle *value, MegaError *err)
{
    const MegaCheckpoint *checkpoint = context->checkpoint;
    size_t count = mega_pickle_storage_count(value), kept = 0;
    context->records = calloc(count + 1, sizeof *context->records);
    if (!context->records)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_MEMORY, "no memory for %zu storages", count);
    for (size_t i = 0; i < count; i++)
        context->records[i].storage = mega_pickle_storage(value, i);
    qsort(context->records, count, sizeof *context->records, by_key);
    for (size_t i = 0; i < count; i++) {
        const Record *record = &context->records[i];
        if (kept && by_key(record, &context->records[kept - 1]) == 0) {
            const MegaPickleStorage *first = context->records[kept - 1].storage;
            if (strcmp(first->type, record->storage->type) != 0 ||
                first->elements != record->storage->elements)
                return MEGA_CHECKPOINT_FAIL(
                    MEGA_ERR_FORMAT, "storage '%.100s' is described in two ways", first->key);
            continue;
        }
        context->records[kept++] = *record;
    }
    context->count = kept;
    return 0;
}

/* Finds the data of one storage, whose element count must be the one that the value gives. */
static int place_storage(Context *context, const MegaPickleValue *key, MegaReader *reader,
                         MegaError *err)
{
    const MegaCheckpoint *checkpoint = context->checkpoint;
    Record *record = mega_pickle_is_text(key) ? find_key(context, key->text.data) : NULL;
    if (!record || record->bytes)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_FORMAT, "a listed storage %s",
                                    record ? "occurs twice" : "is not used by the checkpoint");
    uint64_t elements = mega_get_u64(reader);
    if (!reader->failed && elements != record->storage->elements)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_FORMAT,
                                    "storage '%.100s' has %" PRIu64 " elements, expected %" PRIu64,
                                    record->storage->key, elements, record->storage->elements);
    if (!record->storage->item_size)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_UNSUPPORTED,
                                    "storage '%.100s' has elements of type %.60s, whose size is "
                                    "not known; the data after it cannot be found",
                                    record->storage->key, record->storage->type);
    if (!mega_mul(elements, record->storage->item_size, &record->size))
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_FORMAT, "the size of storage '%.100s' overflows",
                                    record->storage->key);
    record->bytes = mega_get_bytes(reader, record->size);
    if (!record->bytes)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_FORMAT,
                                    "the file is truncated: storage '%.100s' reaches beyond its "
                                    "end; fetch it again",
                                    record->storage->key);
    return 0;
}

static int place_storages(Context *context, const MegaPickleValue *keys, MegaReader *reader,
                          MegaError *err)
{
    const MegaCheckpoint *checkpoint = context->checkpoint;
    if (keys->type != MEGA_PICKLE_LIST)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_FORMAT, "the list of storages is %s",
                                    mega_pickle_describe(keys));
    for (size_t i = 0; i < keys->list.count; i++) {
        int code = place_storage(context, keys->list.items[i], reader, err);
        if (code)
            return code;
    }
    /* zeros at the end, which some programs add when they copy a file, are ignored */
    const uint8_t *rest = reader->data + reader->position;
    for (size_t i = 0; i < mega_reader_left(reader); i++)
        if (rest[i])
            return MEGA_CHECKPOINT_FAIL(MEGA_ERR_FORMAT, "%zu bytes follow the last storage",
                                        mega_reader_left(reader));
    return 0;
}

static int find_storage(void *opaque, const MegaPickleStorage *storage, const uint8_t **bytes,
                        uint64_t *size, MegaError *err)
{
    const Context *context = opaque;
    const MegaCheckpoint *checkpoint = context->checkpoint;
    const Record *record = find_key(context, storage->key);
    if (!record || !record->bytes)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_FORMAT, "the data of storage '%.100s' is missing",
                                    storage->key);
    *bytes = record->bytes;
    *size = record->size;
    return 0;
}

int mega_torch_legacy_load(MegaCheckpoint *checkpoint, MegaWeightSet weights, MegaError *err)
{
    MegaReader reader = mega_reader(checkpoint->map.data, (size_t)checkpoint->map.size);
    MegaPickle *value = NULL, *keys = NULL;
    Context context = {.checkpoint = checkpoint};
    checkpoint->kind = "torch legacy";
    mega_get_bytes(&reader, mega_sniff_torch_legacy(reader.data, mega_reader_left(&reader)));
    int code = read_preamble(checkpoint, &reader, err);
    if (!code)
        code = next_pickle(checkpoint, &reader, &value, err);
    if (!code)
        code = next_pickle(checkpoint, &reader, &keys, err);
    if (!code)
        code = collect_keys(&context, value, err);
    if (!code)
        code = place_storages(&context, mega_pickle_root(keys), &reader, err);
    if (!code)
        code = mega_torch_state(checkpoint, mega_pickle_root(value), weights, find_storage,
                                &context, err);
    free(context.records);
    mega_pickle_free(value);
    mega_pickle_free(keys);
    return code;
}
