/*
 * torch_zip.c - reads checkpoints of PyTorch 1.6 and later, which are zip archives with the records
 *
 *   PREFIX/data.pkl    the pickle
 *   PREFIX/data/KEY    the bytes of one storage, stored without compression
 *   PREFIX/byteorder   "little" or "big"; absent before PyTorch 2.1
 *
 * under one prefix of any name. Other records are ignored.
 */
#include "formats/checkpoint/checkpoint_build.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"

#define PICKLE_NAME "data.pkl"
#define MAX_RECORD 2048 /* most bytes of a record's name */

typedef struct Context {
    MegaCheckpoint *checkpoint;
    const char *prefix;
    int prefix_length; /* length with the slash */
} Context;

/* Finds PREFIX/data.pkl. If there are several, the one with the shortest prefix is taken. */
static const MegaZipEntry *find_pickle(const MegaZip *zip)
{
    const MegaZipEntry *found = NULL;
    size_t suffix = strlen(PICKLE_NAME);
    for (size_t i = 0; i < mega_zip_count(zip); i++) {
        const MegaZipEntry *entry = mega_zip_entry(zip, i);
        if (entry->name_length >= suffix &&
            memcmp(entry->name + entry->name_length - suffix, PICKLE_NAME, suffix) == 0 &&
            (entry->name_length == suffix || entry->name[entry->name_length - suffix - 1] == '/') &&
            (!found || entry->name_length < found->name_length))
            found = entry;
    }
    return found;
}

static const MegaZipEntry *find_record(const Context *context, const char *folder, const char *name)
{
    char record[MAX_RECORD];
    int length = snprintf(record, sizeof record, "%.*s%s%s", context->prefix_length,
                          context->prefix, folder, name);
    return length > 0 && length < MAX_RECORD ? mega_zip_find(context->checkpoint->zip, record)
                                             : NULL;
}

static int find_storage(void *opaque, const MegaPickleStorage *storage, const uint8_t **bytes,
                        uint64_t *size, MegaError *err)
{
    const Context *context = opaque;
    const MegaCheckpoint *checkpoint = context->checkpoint;
    const MegaZipEntry *entry = find_record(context, "data/", storage->key);
    uint64_t expected;
    if (!entry)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_FORMAT,
                                    "the archive has no record 'data/%.100s'; the file is damaged",
                                    storage->key);
    if (entry->deflated)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_UNSUPPORTED,
                                    "record 'data/%.100s' is compressed; repack the file without "
                                    "compression or save it again with torch.save",
                                    storage->key);
    if (!mega_mul(storage->elements, storage->item_size, &expected) || expected != entry->size)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_FORMAT,
                                    "record 'data/%.100s' has %" PRIu64 " bytes, but its storage is"
                                    " %" PRIu64 " elements of %s",
                                    storage->key, entry->size, storage->elements, storage->type);
    *bytes = entry->data;
    *size = entry->size;
    return 0;
}

static int check_byte_order(const Context *context, MegaError *err)
{
    const MegaCheckpoint *checkpoint = context->checkpoint;
    const MegaZipEntry *entry = find_record(context, "", "byteorder");
    MegaBuffer text = {0};
    if (!entry)
        return 0;
    int code = mega_zip_read(checkpoint->zip, entry, 16, &text, err);
    if (!code && text.size == 3 && memcmp(text.data, "big", 3) == 0)
        code = MEGA_CHECKPOINT_FAIL(MEGA_ERR_UNSUPPORTED,
                                    "it was saved on a big-endian machine; load and save it again "
                                    "on a little-endian one");
    else if (!code && (text.size != 6 || memcmp(text.data, "little", 6) != 0))
        code = MEGA_CHECKPOINT_FAIL(MEGA_ERR_FORMAT, "its byte order is neither little nor big");
    mega_buffer_free(&text);
    return code;
}

/* Reads the pickle, which must fill its record. */
static int read_pickle(MegaCheckpoint *checkpoint, const MegaZipEntry *entry, MegaPickle **out,
                       MegaError *err)
{
    MegaBuffer bytes = {0};
    size_t length = 0;
    uint64_t allowance = mega_checkpoint_allowance(checkpoint);
    uint64_t limit = allowance < MEGA_PICKLE_MAX_SIZE ? allowance : MEGA_PICKLE_MAX_SIZE;
    int code = mega_zip_read(checkpoint->zip, entry, limit, &bytes, err);
    if (!code) /* no underflow: bytes.size <= limit <= allowance */
        code = mega_pickle_read(out, bytes.data, bytes.size, allowance - bytes.size, &length,
                                checkpoint->name, err);
    if (!code)
        checkpoint->memory += bytes.size + mega_pickle_memory(*out);
    if (!code && length != bytes.size)
        code = MEGA_CHECKPOINT_FAIL(MEGA_ERR_FORMAT, "%zu bytes follow the pickle",
                                    bytes.size - length);
    mega_buffer_free(&bytes);
    return code;
}

/* Compares all records except those of the tensors with their checksums, even those that are not
 * used. They are small, and damage anywhere means that the file cannot be trusted. */
static int check_other_records(const Context *context, MegaError *err)
{
    const MegaZip *zip = context->checkpoint->zip;
    char data[MEGA_ZIP_MAX_NAME + sizeof "data/"];
    int length = snprintf(data, sizeof data, "%.*sdata/", context->prefix_length, context->prefix);
    int code = 0;
    for (size_t i = 0; !code && i < mega_zip_count(zip); i++) {
        const MegaZipEntry *entry = mega_zip_entry(zip, i);
        bool of_tensor = entry->name_length > (size_t)length &&
                         memcmp(entry->name, data, (size_t)length) == 0;
        if (!of_tensor && !entry->deflated)
            code = mega_zip_verify(zip, entry, err);
    }
    return code;
}

int mega_torch_zip_load(MegaCheckpoint *checkpoint, MegaWeightSet weights, MegaError *err)
{
    MegaPickle *pickle = NULL;
    checkpoint->kind = "torch zip";
    int code =
        mega_zip_open(&checkpoint->zip, checkpoint->map.data, checkpoint->map.size,
                      checkpoint->name, err);
    if (code)
        return code;
    const MegaZipEntry *entry = find_pickle(checkpoint->zip);
    if (!entry)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_UNSUPPORTED,
                                    "this is a zip archive, but not a PyTorch checkpoint: it has "
                                    "no data.pkl; expected a file that torch.save wrote");
    Context context = {.checkpoint = checkpoint,
                       .prefix = entry->name,
                       .prefix_length = (int)(entry->name_length - strlen(PICKLE_NAME))};
    code = check_other_records(&context, err);
    if (!code)
        code = check_byte_order(&context, err);
    if (!code)
        code = read_pickle(checkpoint, entry, &pickle, err);
    if (!code)
        code = mega_torch_state(checkpoint, mega_pickle_root(pickle), weights, find_storage,
                                &context, err);
    mega_pickle_free(pickle);
    return code;
}
