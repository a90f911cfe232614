/*
 * write.c - writes a .mega container; MEGA-FORMAT.md describes the byte layout.
 *
 * The declarations determine the size of the index, so metadata and data go directly to their
 * places in a temporary file. Index and header hold checksums and come last. Besides the caller's
 * tensor, memory holds one block.
 */
#include "formats/mega/mega_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "formats/base/atomic_file.h"
#include "formats/base/bytes.h"
#include "formats/base/sniff.h"
#include "formats/tensor/panels.h"
#include "src/base/checked.h"

/* MEGA-FORMAT.md, "Why these choices", has the measurements behind these three. */
#define BLOCK_SIZE (1u << 18) /* limit; a block has whole items */
#define LEVEL 6
#define STRATEGY Z_RLE

typedef struct StoredBlock {
    uint32_t size, crc;
} StoredBlock;

typedef struct Entry {
    MegaTensor tensor;   /* the name is owned */
    StoredBlock *blocks; /* [block_count] if compressed */
} Entry;

struct MegaWriter {
    char *path; /* for messages */
    MegaAtomicFile *output;
    Entry *entries;
    size_t count, next; /* number of entries, and the next one that waits for data */
    uint64_t meta_size, index_offset, index_size;
    uint32_t meta_crc;
    uint64_t end; /* end of the data so far */
    z_stream deflate;
    bool deflating;             /* `deflate` is initialised */
    uint8_t *filtered, *packed; /* one block before and after deflate */
    size_t packed_size;
    bool failed; /* a tensor could not be written, so there will be no file */
};

#define FAIL(code, format, ...)                                                                    \
    mega_fail(err, code, "cannot write %s: " format, writer->path, ##__VA_ARGS__)

static int fail_memory(const MegaWriter *writer, MegaError *err)
{
    return FAIL(MEGA_ERR_MEMORY, "no memory");
}

static int fail_earlier(const MegaWriter *writer, MegaError *err)
{
    return FAIL(MEGA_ERR_ARGUMENT, "a tensor before could not be written");
}

static uint32_t crc_of(const void *data, size_t size)
{
    return (uint32_t)crc32_z(crc32_z(0, NULL, 0), data, size);
}

/* ---- Declarations --------------------------------------------------------------------------- */

/* Returns the bytes that a tensor takes in the index. */
static uint64_t entry_size(const MegaTensor *tensor)
{
    uint64_t size = 2 + strlen(tensor->name) + 3 + 8 * (uint64_t)tensor->rank + 3 * 8 + 4;
    if (tensor->encoding == MEGA_ZLIB_SHUFFLE)
        size += 8 + 8 * (uint64_t)tensor->block_count;
    if (tensor->encoding == MEGA_TIED)
        size += 4;
    return size;
}

static int check_tie(const MegaWriter *writer, const MegaTensor *tensor, size_t index,
                     MegaError *err)
{
    if (tensor->tied_to < 0)
        return 0;
    const MegaTensor *holder = &writer->entries[tensor->tied_to].tensor;
    if ((size_t)tensor->tied_to >= index || holder->tied_to >= 0 ||
        holder->dtype != tensor->dtype || holder->rank != tensor->rank ||
        memcmp(holder->shape, tensor->shape, sizeof tensor->shape) != 0)
        return FAIL(
            MEGA_ERR_ARGUMENT,
            "tensor '%s' is tied to number %d, which is not an earlier tensor of the same dtype "
            "and shape with data of its own",
            tensor->name, tensor->tied_to);
    return 0;
}

static int add_entry(MegaWriter *writer, size_t index, const MegaTensorDecl *decl, bool compress,
                     MegaError *err)
{
    Entry *entry = &writer->entries[index];
    MegaTensor *tensor = &entry->tensor;
    const MegaDtypeTraits *traits = mega_dtype_traits((int)decl->dtype);
    if (!mega_meta_key_valid(decl->name, strlen(decl->name)))
        return FAIL(MEGA_ERR_ARGUMENT,
                    "the name of tensor %zu must be 1 to %d bytes of printable ASCII", index,
                    MEGA_MAX_NAME);
    if (!mega_dtype_storable((int)decl->dtype))
        return FAIL(MEGA_ERR_ARGUMENT, "tensor '%s' has dtype %s, which a .mega file cannot hold",
                    decl->name, traits ? traits->name : "unknown");
    if (decl->rank < 1 || decl->rank > MEGA_MAX_RANK)
        return FAIL(MEGA_ERR_LIMIT, "tensor '%s' has %d dimensions, expected 1 to %d", decl->name,
                    decl->rank, MEGA_MAX_RANK);
    tensor->elements = 1;
    for (int i = 0; i < decl->rank; i++) {
        tensor->shape[i] = decl->shape[i];
        if (decl->shape[i] == 0)
            return FAIL(MEGA_ERR_ARGUMENT, "dimension %d of tensor '%s' is zero", i, decl->name);
        if (!mega_mul(tensor->elements, decl->shape[i], &tensor->elements))
            return FAIL(MEGA_ERR_LIMIT, "the size of tensor '%s' overflows", decl->name);
    }
    if (!mega_dtype_bytes(decl->dtype, decl->shape, decl->rank, &tensor->size) ||
        tensor->size > INT64_MAX)
        return FAIL(MEGA_ERR_LIMIT, "the size of tensor '%s' overflows", decl->name);
    tensor->dtype = decl->dtype;
    tensor->rank = decl->rank;
    tensor->tied_to = decl->tied_to;
    tensor->name = strdup(decl->name);
    if (!tensor->name)
        return fail_memory(writer, err);
    if (tensor->tied_to >= 0) {
        tensor->encoding = MEGA_TIED;
    } else if (compress && tensor->size > MEGA_DATA_ALIGNMENT) {
        if ((tensor->size - 1) / BLOCK_SIZE >= MEGA_MAX_INDEX / 8)
            return FAIL(MEGA_ERR_LIMIT, "tensor '%s' is too large to be compressed", decl->name);
        tensor->encoding = MEGA_ZLIB_SHUFFLE;
        tensor->block_size = BLOCK_SIZE / traits->item_size * traits->item_size;
        tensor->block_count = (uint32_t)((tensor->size - 1) / tensor->block_size + 1);
        entry->blocks = calloc(tensor->block_count, sizeof *entry->blocks);
        if (!entry->blocks)
            return fail_memory(writer, err);
    } else if (decl->panels && !compress) {
        if (decl->rank != 2 || tensor->size > INT64_MAX / MEGA_PANEL)
            return FAIL(MEGA_ERR_ARGUMENT,
                        "tensor '%s' cannot be in panels: it is not a matrix, or too large",
                        decl->name);
        tensor->encoding = MEGA_IN_PANELS;
    }
    return check_tie(writer, tensor, index, err);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_names(const MegaWriter *writer, MegaError *err)
{
    int code = 0;
    const char **names = malloc((writer->count + 1) * sizeof *names);
    if (!names)
        return fail_memory(writer, err);
    for (size_t i = 0; i < writer->count; i++)
        names[i] = writer->entries[i].tensor.name;
    qsort(names, writer->count, sizeof *names, compare_names);
    for (size_t i = 1; i < writer->count && !code; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            code = FAIL(MEGA_ERR_ARGUMENT, "tensor '%s' is declared twice", names[i]);
    free(names);
    return code;
}

static int declare(MegaWriter *writer, const MegaTensorDecl *tensors, size_t count, bool compress,
                   MegaError *err)
{
    if (count > MEGA_MAX_TENSORS)
        return FAIL(MEGA_ERR_LIMIT, "%zu tensors exceed the limit of %d", count, MEGA_MAX_TENSORS);
    writer->entries = calloc(count + 1, sizeof *writer->entries);
    if (!writer->entries)
        return fail_memory(writer, err);
    writer->count = count;
    for (size_t i = 0; i < count; i++) {
        if (tensors[i].tied_to >= (int64_t)count)
            return FAIL(MEGA_ERR_ARGUMENT, "tensor '%s' is tied to number %d of %zu",
                        tensors[i].name, tensors[i].tied_to, count);
        int code = add_entry(writer, i, &tensors[i], compress, err);
        if (code)
            return code;
        writer->index_size += entry_size(&writer->entries[i].tensor);
    }
    if (writer->index_size > MEGA_MAX_INDEX)
        return FAIL(MEGA_ERR_LIMIT, "an index of %" PRIu64 " bytes exceeds the limit of %u",
                    writer->index_size, MEGA_MAX_INDEX);
    return check_names(writer, err);
}

/* ---- Starting ------------------------------------------------------------------------------- */

static int start_deflate(MegaWriter *writer, MegaError *err)
{
    if (deflateInit2(&writer->deflate, LEVEL, Z_DEFLATED, -15, 8, STRATEGY) != Z_OK)
        return fail_memory(writer, err);
    writer->deflating = true;
    writer->packed_size = deflateBound(&writer->deflate, BLOCK_SIZE);
    writer->packed = malloc(writer->packed_size);
    writer->filtered = malloc(BLOCK_SIZE);
    return writer->packed && writer->filtered ? 0 : fail_memory(writer, err);
}

/* Writes zeros for the header, which becomes valid at the very end, and then the metadata. */
static int write_meta(MegaWriter *writer, const MegaMeta *meta, MegaError *err)
{
    static const uint8_t header[MEGA_HEADER_SIZE];
    uint8_t *bytes = NULL;
    size_t size;
    MegaError inner = {0};
    int code = mega_meta_encode(meta, &bytes, &size, &inner);
    if (code)
        return FAIL(code, "%s", inner.text);
    writer->meta_size = size;
    writer->meta_crc = crc_of(bytes, size);
    code = mega_atomic_file_write_at(writer->output, 0, header, sizeof header, err);
    if (!code)
        code = mega_atomic_file_write_at(writer->output, sizeof header, bytes, size, err);
    free(bytes);
    /* Sizes are below 2^29, so nothing overflows. Skipped bytes read as zeros. */
    mega_align(MEGA_HEADER_SIZE + writer->meta_size, MEGA_DATA_ALIGNMENT, &writer->index_offset);
    writer->end = writer->index_offset + writer->index_size;
    return code;
}

int mega_writer_new(MegaWriter **out, const char *path, const MegaMeta *meta,
                    const MegaTensorDecl *tensors, size_t count, bool compress, MegaError *err)
{
    *out = NULL;
    MegaWriter *writer = calloc(1, sizeof *writer);
    if (!writer)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for writing %s", path);
    writer->path = strdup(path);
    int code = writer->path ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for writing %s", path);
    if (!code)
        code = declare(writer, tensors, count, compress, err);
    if (!code && compress)
        code = start_deflate(writer, err);
    if (!code)
        code = mega_atomic_file_open(&writer->output, path, err);
    if (!code)
        code = write_meta(writer, meta, err);
    if (code)
        mega_writer_free(writer);
    else
        *out = writer;
    return code;
}

/* ---- Tensors -------------------------------------------------------------------------------- */

/* Computes dst[b * n + i] = src[i * item + b] for n items. */
static void shuffle(const uint8_t *src, size_t size, uint32_t item, uint8_t *dst)
{
    size_t n = size / item;
    for (uint32_t b = 0; b < item; b++)
        for (size_t i = 0; i < n; i++)
            dst[b * n + i] = src[i * item + b];
}

static int write_block(MegaWriter *writer, Entry *entry, uint32_t number, const uint8_t *data,
                       uint32_t size, MegaError *err)
{
    z_stream *stream = &writer->deflate;
    shuffle(data, size, mega_dtype_traits((int)entry->tensor.dtype)->item_size, writer->filtered);
    deflateReset(stream);
    stream->next_in = writer->filtered;
    stream->avail_in = size;
    stream->next_out = writer->packed;
    stream->avail_out = (uInt)writer->packed_size;
    if (deflate(stream, Z_FINISH) != Z_STREAM_END)
        return FAIL(MEGA_ERR_IO, "zlib could not compress tensor '%s'", entry->tensor.name);
    StoredBlock *block = &entry->blocks[number];
    block->size = (uint32_t)(writer->packed_size - stream->avail_out);
    block->crc = crc_of(writer->packed, block->size);
    int code =
        mega_atomic_file_write_at(writer->output, writer->end, writer->packed, block->size, err);
    writer->end += block->size;
    return code;
}

static int write_panels(MegaWriter *writer, const MegaTensor *tensor, const uint8_t *data,
                        MegaError *err)
{
    size_t rows = (size_t)tensor->shape[0], columns = (size_t)tensor->shape[1];
    size_t row_bytes = (size_t)tensor->size / rows, panel_bytes = row_bytes * MEGA_PANEL;
    uint8_t *panel = malloc(panel_bytes);
    int code = panel ? 0 : fail_memory(writer, err);
    for (size_t row = 0; row < rows && !code; row += MEGA_PANEL) {
        size_t count = rows - row < MEGA_PANEL ? rows - row : MEGA_PANEL;
        mega_panels_pack(tensor->dtype, panel, data + row * row_bytes, row_bytes, count, columns);
        code = mega_atomic_file_write_at(writer->output, writer->end, panel, panel_bytes, err);
        writer->end += panel_bytes;
    }
    free(panel);
    return code;
}

int mega_writer_tensor(MegaWriter *writer, const void *data, size_t size, MegaError *err)
{
    const uint8_t *bytes = data;
    int code = 0;
    if (writer->failed)
        return fail_earlier(writer, err);
    while (writer->next < writer->count && writer->entries[writer->next].tensor.tied_to >= 0)
        writer->next++;
    if (writer->next == writer->count)
        return FAIL(MEGA_ERR_ARGUMENT, "all declared tensors have their data already");
    Entry *entry = &writer->entries[writer->next];
    MegaTensor *tensor = &entry->tensor;
    if (size != tensor->size)
        return FAIL(MEGA_ERR_ARGUMENT, "tensor '%s' has %" PRIu64 " bytes, but %zu were given",
                    tensor->name, tensor->size, size);
    if (!mega_align(writer->end, MEGA_DATA_ALIGNMENT, &tensor->offset) ||
        tensor->offset > INT64_MAX - tensor->size)
        return FAIL(MEGA_ERR_LIMIT, "the file becomes too large");
    writer->end = tensor->offset;
    tensor->crc = crc_of(bytes, size);
    if (tensor->encoding == MEGA_PLAIN) {
        code = mega_atomic_file_write_at(writer->output, writer->end, bytes, size, err);
        writer->end += size;
    }
    if (tensor->encoding == MEGA_IN_PANELS)
        code = write_panels(writer, tensor, bytes, err);
    for (uint32_t i = 0; i < tensor->block_count && !code; i++) {
        size_t at = (size_t)i * tensor->block_size, left = size - at;
        code = write_block(writer, entry, i, bytes + at,
                           left < tensor->block_size ? (uint32_t)left : tensor->block_size, err);
    }
    tensor->stored_size = writer->end - tensor->offset;
    writer->next++;
    writer->failed = code != 0;
    return code;
}

/* ---- Finishing ------------------------------------------------------------------------------ */

static void put_entry(MegaBuffer *index, const Entry *entries, const Entry *entry)
{
    const MegaTensor *tensor = &entry->tensor;
    bool tied = tensor->encoding == MEGA_TIED;
    size_t length = strlen(tensor->name);
    mega_put_u16(index, (uint16_t)length);
    mega_put_bytes(index, tensor->name, length);
    mega_put_u8(index, (uint8_t)tensor->dtype);
    mega_put_u8(index, (uint8_t)tensor->encoding);
    mega_put_u8(index, (uint8_t)tensor->rank);
    for (int i = 0; i < tensor->rank; i++)
        mega_put_u64(index, tensor->shape[i]);
    mega_put_u64(index, tensor->offset);
    mega_put_u64(index, tensor->stored_size);
    mega_put_u64(index, tensor->size);
    mega_put_u32(index, tied ? entries[tensor->tied_to].tensor.crc : tensor->crc);
    if (tensor->encoding == MEGA_ZLIB_SHUFFLE) {
        mega_put_u32(index, tensor->block_size);
        mega_put_u32(index, tensor->block_count);
    }
    for (uint32_t i = 0; i < tensor->block_count; i++) {
        mega_put_u32(index, entry->blocks[i].size);
        mega_put_u32(index, entry->blocks[i].crc);
    }
    if (tied)
        mega_put_u32(index, (uint32_t)tensor->tied_to);
}

static int write_header(MegaWriter *writer, uint32_t index_crc, MegaError *err)
{
    uint8_t header[MEGA_HEADER_SIZE];
    memcpy(header, MEGA_MAGIC, 8);
    mega_store_u32(header + 8, MEGA_FORMAT_VERSION);
    mega_store_u32(header + 12, 0);
    mega_store_u64(header + 16, writer->end);
    mega_store_u64(header + 24, writer->meta_size);
    mega_store_u64(header + 32, writer->index_offset);
    mega_store_u64(header + 40, writer->index_size);
    mega_store_u32(header + 48, writer->meta_crc);
    mega_store_u32(header + 52, index_crc);
    mega_store_u32(header + 56, (uint32_t)writer->count);
    mega_store_u32(header + 60, crc_of(header, 60));
    return mega_atomic_file_write_at(writer->output, 0, header, sizeof header, err);
}

int mega_writer_finish(MegaWriter *writer, MegaError *err)
{
    MegaBuffer index = {0};
    if (writer->failed)
        return fail_earlier(writer, err);
    while (writer->next < writer->count && writer->entries[writer->next].tensor.tied_to >= 0)
        writer->next++;
    if (writer->next < writer->count)
        return FAIL(MEGA_ERR_ARGUMENT, "tensor '%s' has no data yet",
                    writer->entries[writer->next].tensor.name);
    for (size_t i = 0; i < writer->count; i++)
        put_entry(&index, writer->entries, &writer->entries[i]);
    int code = index.failed ? fail_memory(writer, err) : 0;
    /* Without tensors the file ends here, at index_offset, which may be after the last byte
     * written. */
    if (!code && !writer->count)
        code = mega_atomic_file_write_at(
            writer->output, MEGA_HEADER_SIZE + writer->meta_size,
            (const uint8_t[MEGA_DATA_ALIGNMENT]){0},
            (size_t)(writer->end - MEGA_HEADER_SIZE - writer->meta_size), err);
    if (!code)
        code = mega_atomic_file_write_at(writer->output, writer->index_offset, index.data,
                                         index.size, err);
    if (!code)
        code = write_header(writer, crc_of(index.data, index.size), err);
    if (!code)
        code = mega_atomic_file_commit(writer->output, err);
    mega_buffer_free(&index);
    return code;
}

void mega_writer_free(MegaWriter *writer)
{
    if (!writer)
        return;
    for (size_t i = 0; i < writer->count; i++) {
        free((char *)(uintptr_t)writer->entries[i].tensor.name);
        free(writer->entries[i].blocks);
    }
    free(writer->entries);
    if (writer->deflating)
        deflateEnd(&writer->deflate);
    free(writer->filtered);
    free(writer->packed);
    mega_atomic_file_free(writer->output);
    free(writer->path);
    free(writer);
}
