/*
 * read.h - the state of an open .mega file. Only two files include it: read.c, which checks
 * everything that is known without the data, and data.c, which decodes the data.
 */
#ifndef MEGA_READ_H
#define MEGA_READ_H

#include "formats/base/inflate.h"
#include "formats/base/mapped_file.h"
#include "formats/mega/mega_file.h"

typedef struct Block {
    uint64_t offset;
    uint32_t size, crc; /* as stored in the file */
} Block;

/* The public part comes first, so that a MegaTensor of this file can be turned into its Entry. */
typedef struct Entry {
    MegaTensor tensor;
    const Block *blocks; /* [block_count] if the tensor is compressed */
} Entry;

struct MegaFile {
    char *name;
    MegaMappedFile map; /* its fd is -1 if the bytes belong to the caller */
    MegaMeta *meta;
    uint64_t meta_size, index_offset, index_size;
    uint32_t meta_crc, index_crc;
    uint32_t count;
    Entry *entries;       /* [count] */
    const Entry **sorted; /* [count], sorted by name */
    char *names;
    Block *blocks;
};

#define FAIL(code, format, ...) mega_fail(err, code, "%s: " format, file->name, ##__VA_ARGS__)
#define BAD(format, ...) FAIL(MEGA_ERR_FORMAT, format, ##__VA_ARGS__)
#define TENSOR_BAD(format, ...) BAD("tensor '%s': " format, tensor->name, ##__VA_ARGS__)

static inline bool all_zero(const uint8_t *data, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++)
        if (data[i])
            return false;
    return true;
}

static inline uint32_t crc_of(const void *data, uint64_t size)
{
    return mega_crc32(0, data, (size_t)size);
}

/* Returns the number of decoded bytes of a block. */
static inline uint32_t block_decoded(const MegaTensor *tensor, uint32_t block)
{
    uint64_t left = tensor->size - (uint64_t)block * tensor->block_size;
    return left < tensor->block_size ? (uint32_t)left : tensor->block_size;
}

#endif
