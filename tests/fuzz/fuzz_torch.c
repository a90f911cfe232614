/*
 * fuzz_torch.c - fuzzes checkpoints around a pickle. The input is data.pkl. A sound archive is
 * built around it, with a record of the right or nearly the right size for every storage that it
 * names. Then it does all that mega-convert does before writing: listing, arguments, names, the
 * architecture.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "formats/checkpoint/pickle.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/pickle_mutator.h"
#include "tools/convert/architecture.h"

#define MAX_RECORD 65536u
#define MAX_RECORDS 64
#define MAX_ELEMENTS (1u << 16)

typedef struct Record {
    char name[80];
    size_t size, offset;
} Record;

static void put_header(MegaBuffer *out, const Record *record, bool central)
{
    size_t length = strlen(record->name);
    mega_put_u32(out, central ? 0x02014b50 : 0x04034b50);
    if (central)
        mega_put_u16(out, 0);
    for (int i = 0; i < 5; i++) /* version, flags, method, time, date */
        mega_put_u16(out, 0);
    mega_put_u32(out, 0); /* no checksum */
    mega_put_u32(out, (uint32_t)record->size);
    mega_put_u32(out, (uint32_t)record->size);
    mega_put_u16(out, (uint16_t)length);
    mega_put_u16(out, 0);
    for (int i = 0; central && i < 5; i++) /* comment, disk, attributes */
        mega_put_u16(out, 0);
    if (central)
        mega_put_u32(out, (uint32_t)record->offset);
    mega_put_bytes(out, record->name, length);
}

/* Finds the storages of the pickle, each key once, if they are small. */
static int find_records(const uint8_t *data, size_t size, Record *records)
{
    MegaPickle *pickle = NULL;
    size_t length;
    int count = 1;
    records[0] = (Record){.name = "a/data.pkl", .size = size};
    if (mega_pickle_read(&pickle, data, size, UINT64_C(64) << 20, &length, "fuzz.pkl", NULL))
        return count;
    for (size_t i = 0; i < mega_pickle_storage_count(pickle) && count < MAX_RECORDS; i++) {
        const MegaPickleStorage *storage = mega_pickle_storage(pickle, i);
        Record record = {0};
        int same = 0;
        if (!storage->item_size || storage->elements > MAX_RECORD / storage->item_size ||
            strlen(storage->key) > 60)
            continue;
        snprintf(record.name, sizeof record.name, "a/data/%s", storage->key);
        record.size = (size_t)storage->elements * storage->item_size;
        while (same < count && strcmp(records[same].name, record.name) != 0)
            same++;
        if (same == count)
            records[count++] = record;
    }
    mega_pickle_free(pickle);
    return count;
}

/* For pickles of protocol 5, one record is missing, or has another name or size. */
static int spoil(Record *records, int count, const uint8_t *data, size_t choice)
{
    if (choice < 2 || data[1] != 5)
        return count;
    Record *record = &records[choice / 4 % (size_t)count];
    switch (choice % 4) {
    case 0: *record = records[--count]; break;
    case 1: record->name[strlen(record->name) - 1] ^= 1; break;
    case 2: record->size += record->size < MAX_RECORD && record != records; break;
    case 3: record->size /= record != records ? 2 : 1; break;
    }
    return count;
}

static void build(const uint8_t *data, size_t size, MegaBuffer *out)
{
    Record records[MAX_RECORDS];
    int count = spoil(records, find_records(data, size, records), data, size);
    for (int i = 0; i < count; i++) {
        records[i].offset = out->size;
        bool pickle = strncmp(records[i].name, "a/data/", 7) != 0;
        put_header(out, &records[i], false);
        if (pickle)
            mega_put_bytes(out, data, size);
        for (size_t byte = 0; !pickle && byte < records[i].size; byte++)
            mega_put_u8(out, (uint8_t)(byte % 4 == 3 ? 0x3c : byte));
    }
    size_t directory = out->size;
    for (int i = 0; i < count; i++)
        put_header(out, &records[i], true);
    size_t end = out->size;
    mega_put_u32(out, 0x06054b50);
    mega_put_u32(out, 0);
    mega_put_u16(out, (uint16_t)count);
    mega_put_u16(out, (uint16_t)count);
    mega_put_u32(out, (uint32_t)(end - directory));
    mega_put_u32(out, (uint32_t)directory);
    mega_put_u16(out, 0);
}

static void read_tensors(const MegaCheckpoint *checkpoint)
{
    for (size_t i = 0; i < mega_checkpoint_count(checkpoint) && i < 1000; i++) {
        const MegaCheckpointTensor *tensor = mega_checkpoint_tensor(checkpoint, i);
        if (!tensor->type || !tensor->name || tensor->rank < -1)
            __builtin_trap();
        for (int axis = 0; axis < tensor->rank; axis++)
            if (tensor->elements && !tensor->shape[axis])
                __builtin_trap();
        if (!tensor->readable || tensor->elements > MAX_ELEMENTS)
            continue;
        float *values = malloc((tensor->elements + 1) * sizeof *values);
        if (values)
            mega_checkpoint_read_f32(tensor, values);
        free(values);
    }
}

static void read_beside(const MegaCheckpoint *checkpoint)
{
    size_t left, count = mega_checkpoint_extra_count(checkpoint, &left);
    for (size_t i = 0; i < count; i++) {
        const MegaCheckpointExtra *extra = mega_checkpoint_extra(checkpoint, i);
        if (!mega_utf8_valid(extra->name, strlen(extra->name)) ||
            !mega_utf8_valid(extra->what, strlen(extra->what)) || strchr(extra->what, '\33'))
            __builtin_trap();
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return fuzz_mutate_pickle(data, size, max_size, seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MegaBuffer archive = {0};
    build(data, size, &archive);
    const char *path = archive.failed ? NULL : fuzz_path(archive.data, archive.size);
    for (int weights = MEGA_WEIGHTS_ANY; path && weights <= MEGA_WEIGHTS_EMA; weights++) {
        MegaError err = {0};
        MegaCheckpoint *checkpoint = NULL;
        Architecture architecture;
        int code = mega_checkpoint_open(
            &checkpoint, path, &(MegaCheckpointOptions){.weights = (MegaWeightSet)weights}, &err);
        fuzz_check_error(code, err.text);
        if (code)
            break;
        read_tensors(checkpoint);
        read_beside(checkpoint);
        code = architecture_detect(&architecture, checkpoint, mega_checkpoint_args(checkpoint), -1,
                                   (MegaWeightSet)weights, &err);
        fuzz_check_error(code, err.text);
        architecture_free(&architecture);
        mega_checkpoint_close(checkpoint);
    }
    mega_buffer_free(&archive);
    return 0;
}
