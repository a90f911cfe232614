/*
 * read.c - opens a .mega container; MEGA-FORMAT.md describes the byte layout.
 *
 * Opening maps the file and checks, in this order, the magic, the header, the metadata, the index
 * and the place of every span. After that, offsets and sizes are trusted. Tensor data is checked
 * when it is read. Metadata, names and block tables are copied; only tensor data is used in place.
 */
#include "formats/mega/read.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "formats/base/sniff.h"
#include "formats/tensor/panels.h"
#include "src/base/checked.h"

#define MIN_ENTRY 42 /* size of the shortest index entry, with rank 1 and a name of one byte */

/* ---- Files of another kind ------------------------------------------------------------------ */

/* Makes the error for a file without the magic, and says what kind of file it seems to be. */
static int fail_kind(const MegaFile *file, MegaError *err)
{
    if (memcmp(file->map.data, MEGA_MAGIC, file->map.size < 8 ? (size_t)file->map.size : 8) == 0)
        return BAD("this .mega file is truncated: it has only %" PRIu64 " bytes; fetch it again",
                   file->map.size);
    MegaFileKind kind = mega_sniff(file->map.data, (size_t)file->map.size);
    switch (kind.role) {
    case MEGA_ROLE_CHECKPOINT:
        return BAD("this is %s; convert it first: mega-convert CHECKPOINT -o MODEL.mega",
                   kind.what);
    case MEGA_ROLE_SOUND:
    case MEGA_ROLE_PICTURE:
    case MEGA_ROLE_UNREAD:
    case MEGA_ROLE_INPUT:
        return BAD("this is %s; give it as an input, not as the model", kind.what);
    case MEGA_ROLE_TEXT:
    case MEGA_ROLE_OTHER:
        return BAD("this is %s; %s", kind.what,
                   kind.advice ? kind.advice : "a .mega file is needed");
    default:
        return BAD("this is not a .mega file: it does not begin with the bytes \\x89MEGA");
    }
}

/* ---- Header and sections -------------------------------------------------------------------- */

static int parse_header(MegaFile *file, MegaError *err)
{
    uint8_t header[MEGA_HEADER_SIZE];
    if (file->map.size == 0)
        return BAD("the file is empty");
    if (file->map.size < 8 || memcmp(file->map.data, MEGA_MAGIC, 8) != 0)
        return fail_kind(file, err);
    if (file->map.size < MEGA_HEADER_SIZE)
        return BAD("this .mega file is truncated: %" PRIu64
                   " bytes are less than its header of 64; "
                   "fetch it again",
                   file->map.size);
    memcpy(header, file->map.data, sizeof header); /* copied, so that the bytes that are checked
                                                      are those that are used */
    MegaReader reader = mega_reader(header, sizeof header);
    mega_reader_seek(&reader, 8);
    uint32_t version = mega_get_u32(&reader);
    uint32_t flags = mega_get_u32(&reader);
    uint64_t size = mega_get_u64(&reader);
    file->meta_size = mega_get_u64(&reader);
    file->index_offset = mega_get_u64(&reader);
    file->index_size = mega_get_u64(&reader);
    file->meta_crc = mega_get_u32(&reader);
    file->index_crc = mega_get_u32(&reader);
    file->count = mega_get_u32(&reader);
    if (mega_get_u32(&reader) != crc_of(header, MEGA_HEADER_SIZE - 4))
        return BAD("the header is damaged: its checksum does not match; fetch the file again");
    if (version != MEGA_FORMAT_VERSION)
        return FAIL(MEGA_ERR_UNSUPPORTED,
                    "the file has version %" PRIu32
                    " of the format, this program reads version %d; "
                    "use a newer program",
                    version, MEGA_FORMAT_VERSION);
    if (flags)
        return FAIL(MEGA_ERR_UNSUPPORTED,
                    "the file has flags 0x%" PRIx32 ", of which version %d knows none", flags,
                    MEGA_FORMAT_VERSION);
    if (size > file->map.size)
        return BAD("the file is truncated: it has %" PRIu64 " of %" PRIu64 " bytes; fetch it again",
                   file->map.size, size);
    if (size < file->map.size)
        return BAD("%" PRIu64 " bytes follow the end of the model at %" PRIu64,
                   file->map.size - size,
                   size);
    return 0;
}

/* Checks where metadata and index are. */
static int check_sections(const MegaFile *file, MegaError *err)
{
    uint64_t meta_end, expected, index_end;
    if (file->meta_size > MEGA_META_MAX_SIZE)
        return FAIL(MEGA_ERR_LIMIT, "metadata of %" PRIu64 " bytes exceeds the limit of %u",
                    file->meta_size, MEGA_META_MAX_SIZE);
    if (file->index_size > MEGA_MAX_INDEX)
        return FAIL(MEGA_ERR_LIMIT, "an index of %" PRIu64 " bytes exceeds the limit of %u",
                    file->index_size, MEGA_MAX_INDEX);
    if (file->count > MEGA_MAX_TENSORS)
        return FAIL(MEGA_ERR_LIMIT, "%" PRIu32 " tensors exceed the limit of %d", file->count,
                    MEGA_MAX_TENSORS);
    meta_end = MEGA_HEADER_SIZE + file->meta_size;
    if (!mega_align(meta_end, MEGA_DATA_ALIGNMENT, &expected) || file->index_offset != expected)
        return BAD("the index is said to be at byte %" PRIu64
                   ", but the metadata puts it at %" PRIu64,
                   file->index_offset, expected);
    index_end = file->index_offset + file->index_size;
    if (index_end > file->map.size)
        return BAD("metadata and index are said to end at byte %" PRIu64 " of a file of %" PRIu64,
                   index_end, file->map.size);
    return 0;
}

static int check_padding(const MegaFile *file, MegaError *err)
{
    uint64_t meta_end = MEGA_HEADER_SIZE + file->meta_size, padded;
    uint64_t index_end = file->index_offset + file->index_size;
    if (!all_zero(file->map.data + meta_end, file->index_offset - meta_end))
        return BAD("the padding after the metadata is not zero");
    if (!mega_align(index_end, MEGA_DATA_ALIGNMENT, &padded))
        padded = index_end;
    if (padded > file->map.size)
        padded = file->map.size;
    if (!all_zero(file->map.data + index_end, padded - index_end))
        return BAD("the padding after the index is not zero");
    return 0;
}

/* Copies of metadata and index. Another process may write to the file meanwhile, so the checksums
 * must be computed from the bytes that are parsed. */
typedef struct Sections {
    uint8_t *meta, *index;
} Sections;

static int copy_sections(const MegaFile *file, Sections *out, MegaError *err)
{
    out->meta = malloc((size_t)file->meta_size + 1);
    out->index = malloc((size_t)file->index_size + 1);
    if (!out->meta || !out->index)
        return FAIL(MEGA_ERR_MEMORY, "no memory for metadata and index");
    memcpy(out->meta, file->map.data + MEGA_HEADER_SIZE, (size_t)file->meta_size);
    memcpy(out->index, file->map.data + file->index_offset, (size_t)file->index_size);
    if (crc_of(out->meta, file->meta_size) != file->meta_crc)
        return BAD("the metadata is damaged: its checksum does not match; fetch the file again");
    if (crc_of(out->index, file->index_size) != file->index_crc)
        return BAD("the index is damaged: its checksum does not match; fetch the file again");
    return 0;
}

static int parse_meta(MegaFile *file, const Sections *sections, MegaError *err)
{
    MegaError inner = {0};
    int code = mega_meta_decode(&file->meta, sections->meta, (size_t)file->meta_size, &inner);
    return code ? FAIL(code, "%s", inner.text) : 0;
}

/* ---- Index ---------------------------------------------------------------------------------- */

/* The output of the walk over the index. The reader walks over a copy. */
typedef struct Walk {
    MegaReader reader;
    char *name;   /* where the next name goes */
    Block *block; /* where the next block goes */
    uint64_t end; /* end of the previous span, or of the index */
} Walk;

static int parse_name(const MegaFile *file, Walk *walk, size_t number, MegaTensor *tensor,
                      MegaError *err)
{
    size_t length = mega_get_u16(&walk->reader);
    const char *name = (const char *)mega_get_bytes(&walk->reader, length);
    if (!name)
        return BAD("index entry %zu reaches beyond the end of the index", number);
    if (length > MEGA_MAX_NAME || !mega_meta_key_valid(name, length))
        return BAD(
            "the name of tensor %zu is %zu bytes that are not all printable ASCII; expected 1 "
            "to %d that are",
            number, length, MEGA_MAX_NAME);
    tensor->name = memcpy(walk->name, name, length); /* the name's length field leaves room for
                                                        the NUL */
    walk->name += length;
    *walk->name++ = '\0';
    return 0;
}

/* Parses dtype, encoding, shape, sizes and checksum. */
static int parse_tensor(const MegaFile *file, Walk *walk, MegaTensor *tensor, MegaError *err)
{
    MegaReader *reader = &walk->reader;
    int dtype = mega_get_u8(reader), encoding = mega_get_u8(reader);
    tensor->dtype = (MegaDtype)dtype;
    tensor->encoding = (MegaEncoding)encoding;
    tensor->rank = mega_get_u8(reader);
    tensor->tied_to = -1;
    if (reader->failed)
        return TENSOR_BAD("its entry reaches beyond the end of the index");
    if (!mega_dtype_storable(dtype))
        return FAIL(MEGA_ERR_UNSUPPORTED,
                    "tensor '%s' has dtype %d, which this version does not know", tensor->name,
                    dtype);
    if (encoding >= MEGA_ENCODING_COUNT)
        return FAIL(MEGA_ERR_UNSUPPORTED,
                    "tensor '%s' has encoding %d, which this version does not know", tensor->name,
                    encoding);
    if (tensor->rank < 1 || tensor->rank > MEGA_MAX_RANK)
        return TENSOR_BAD("it has %d dimensions, expected 1 to %d", tensor->rank, MEGA_MAX_RANK);
    uint64_t elements = 1, size;
    for (int i = 0; i < tensor->rank; i++) {
        tensor->shape[i] = mega_get_u64(reader);
        if (!reader->failed && tensor->shape[i] == 0)
            return TENSOR_BAD("dimension %d is zero", i);
        if (!mega_mul(elements, tensor->shape[i], &elements))
            return TENSOR_BAD("its number of elements overflows");
    }
    tensor->elements = elements;
    tensor->offset = mega_get_u64(reader);
    tensor->stored_size = mega_get_u64(reader);
    tensor->size = mega_get_u64(reader);
    tensor->crc = mega_get_u32(reader);
    if (reader->failed)
        return TENSOR_BAD("its entry reaches beyond the end of the index");
    if (!mega_dtype_bytes(tensor->dtype, tensor->shape, tensor->rank, &size) || size > INT64_MAX)
        return TENSOR_BAD("its size overflows");
    if (size != tensor->size)
        return TENSOR_BAD("a size of %" PRIu64
                          " bytes is stated, but shape and dtype give %" PRIu64,
                          tensor->size, size);
    return 0;
}

/* Checks a matrix that is stored with the padding of its last panel. */
static int check_panels(const MegaFile *file, const MegaTensor *tensor, MegaError *err)
{
    uint64_t padded[2] = {0, tensor->shape[1]}, size;
    if (tensor->rank != 2)
        return TENSOR_BAD("it is in panels, but has %d dimensions instead of 2", tensor->rank);
    if (!mega_align(tensor->shape[0], MEGA_PANEL, &padded[0]) ||
        !mega_dtype_bytes(tensor->dtype, padded, 2, &size))
        return TENSOR_BAD("its size overflows");
    if (size != tensor->stored_size)
        return TENSOR_BAD("%" PRIu64 " bytes are stored, but its panels take %" PRIu64,
                          tensor->stored_size, size);
    return 0;
}

/* Checks that the span begins where the previous one ended, up to alignment, and is inside the
 * file. */
static int check_span(const MegaFile *file, Walk *walk, const MegaTensor *tensor, MegaError *err)
{
    uint64_t expected, end;
    if (!mega_align(walk->end, MEGA_DATA_ALIGNMENT, &expected) || tensor->offset != expected)
        return TENSOR_BAD("its data is said to be at byte %" PRIu64 ", but the layout puts it at "
                          "%" PRIu64,
                          tensor->offset, expected);
    if (tensor->stored_size == 0)
        return TENSOR_BAD("its stored size is zero");
    if (!mega_add(tensor->offset, tensor->stored_size, &end) || end > file->map.size)
        return TENSOR_BAD("its data of %" PRIu64 " bytes at %" PRIu64
                          " reaches beyond the end of the "
                          "file at %" PRIu64,
                          tensor->stored_size, tensor->offset, file->map.size);
    if (tensor->encoding == MEGA_PLAIN && tensor->stored_size != tensor->size)
        return TENSOR_BAD("it is plain, but %" PRIu64 " bytes are stored for %" PRIu64,
                          tensor->stored_size, tensor->size);
    if (tensor->encoding == MEGA_IN_PANELS) {
        int code = check_panels(file, tensor, err);
        if (code)
            return code;
    }
    walk->end = end;
    return 0;
}

static int parse_blocks(const MegaFile *file, Walk *walk, Entry *entry, MegaError *err)
{
    MegaTensor *tensor = &entry->tensor;
    uint32_t item = mega_dtype_traits((int)tensor->dtype)->item_size;
    uint32_t size = mega_get_u32(&walk->reader), count = mega_get_u32(&walk->reader);
    uint64_t offset = tensor->offset;
    if (walk->reader.failed)
        return TENSOR_BAD("its entry reaches beyond the end of the index");
    if (size == 0 || size > MEGA_MAX_BLOCK_SIZE || size % item)
        return TENSOR_BAD("blocks of %" PRIu32 " bytes are not 1 to %u and whole items of %" PRIu32,
                          size, MEGA_MAX_BLOCK_SIZE, item);
    if (count != (tensor->size - 1) / size + 1)
        return TENSOR_BAD("%" PRIu32 " blocks of %" PRIu32 " bytes are not what %" PRIu64
                          " bytes need",
                          count, size, tensor->size);
    if (mega_reader_left(&walk->reader) / 8 < count)
        return TENSOR_BAD("its entry reaches beyond the end of the index");
    tensor->block_size = size;
    tensor->block_count = count;
    entry->blocks = walk->block;
    for (uint32_t i = 0; i < count; i++) {
        Block *block = walk->block++;
        block->offset = offset;
        block->size = mega_get_u32(&walk->reader);
        block->crc = mega_get_u32(&walk->reader);
        offset +=
            block->size; /* at most 2^25 blocks of less than 2^32 bytes after a file offset */
        if (block->size == 0)
            return TENSOR_BAD("block %" PRIu32 " has a stored size of zero", i);
        if (block_decoded(tensor, i) > (uint64_t)block->size * MEGA_MAX_DEFLATE_RATIO)
            return TENSOR_BAD("block %" PRIu32 " promises %" PRIu32 " bytes out of %" PRIu32
                              ", more than deflate can",
                              i, block_decoded(tensor, i), block->size);
    }
    if (offset - tensor->offset != tensor->stored_size)
        return TENSOR_BAD("its blocks add up to %" PRIu64 " bytes, but %" PRIu64 " are stored",
                          offset - tensor->offset, tensor->stored_size);
    return 0;
}

static int parse_tie(const MegaFile *file, Walk *walk, Entry *entry, MegaError *err)
{
    MegaTensor *tensor = &entry->tensor;
    uint32_t number = mega_get_u32(&walk->reader);
    if (walk->reader.failed)
        return TENSOR_BAD("its entry reaches beyond the end of the index");
    if (tensor->offset || tensor->stored_size)
        return TENSOR_BAD("it is tied, but states data of its own");
    if (number >= (uint64_t)(entry - file->entries))
        return TENSOR_BAD("it is tied to tensor %" PRIu32 ", which does not come before it",
                          number);
    const Entry *holder = &file->entries[number];
    if (holder->tensor.encoding == MEGA_TIED)
        return TENSOR_BAD("it is tied to '%s', which is tied itself", holder->tensor.name);
    if (holder->tensor.dtype != tensor->dtype || holder->tensor.rank != tensor->rank ||
        memcmp(holder->tensor.shape, tensor->shape, sizeof tensor->shape) != 0)
        return TENSOR_BAD("it is tied to '%s', which has another dtype or shape",
                          holder->tensor.name);
    if (holder->tensor.crc != tensor->crc)
        return TENSOR_BAD("it is tied to '%s', which has another checksum", holder->tensor.name);
    tensor->tied_to = (int)number;
    tensor->block_size = holder->tensor.block_size;
    tensor->block_count = holder->tensor.block_count;
    entry->blocks = holder->blocks;
    return 0;
}

static int compare_entries(const void *a, const void *b)
{
    const Entry *const *left = a, *const *right = b;
    return strcmp((*left)->tensor.name, (*right)->tensor.name);
}

static int sort_entries(MegaFile *file, MegaError *err)
{
    for (uint32_t i = 0; i < file->count; i++) {
        file->entries[i].tensor.index = i;
        file->sorted[i] = &file->entries[i];
    }
    if (file->count)
        qsort(file->sorted, file->count, sizeof *file->sorted, compare_entries);
    for (uint32_t i = 1; i < file->count; i++)
        if (compare_entries(&file->sorted[i - 1], &file->sorted[i]) == 0)
            return BAD("tensor '%s' occurs twice", file->sorted[i]->tensor.name);
    return 0;
}

static int parse_index(MegaFile *file, const Sections *sections, MegaError *err)
{
    if (file->count > file->index_size / MIN_ENTRY)
        return BAD("%" PRIu32 " tensors do not fit into an index of %" PRIu64 " bytes", file->count,
                   file->index_size);
    /* The bytes of the index bound all these sizes, and they do exist. */
    file->entries = calloc((size_t)file->count + 1, sizeof *file->entries);
    file->sorted = calloc((size_t)file->count + 1, sizeof *file->sorted);
    file->names = malloc((size_t)file->index_size + 1);
    file->blocks = malloc(((size_t)file->index_size / 8 + 1) * sizeof *file->blocks);
    if (!file->entries || !file->sorted || !file->names || !file->blocks)
        return FAIL(MEGA_ERR_MEMORY, "no memory for the index");
    Walk walk = {
        .reader = mega_reader(sections->index, (size_t)file->index_size),
        .name = file->names,
        .block = file->blocks,
        .end = file->index_offset + file->index_size,
    };
    for (uint32_t i = 0; i < file->count; i++) {
        Entry *entry = &file->entries[i];
        int code = parse_name(file, &walk, i, &entry->tensor, err);
        if (!code)
            code = parse_tensor(file, &walk, &entry->tensor, err);
        if (!code && entry->tensor.encoding == MEGA_TIED)
            code = parse_tie(file, &walk, entry, err);
        else if (!code)
            code = check_span(file, &walk, &entry->tensor, err);
        if (!code && entry->tensor.encoding == MEGA_ZLIB_SHUFFLE)
            code = parse_blocks(file, &walk, entry, err);
        if (code)
            return code;
    }
    if (mega_reader_left(&walk.reader))
        return BAD("%zu bytes follow the last entry of the index", mega_reader_left(&walk.reader));
    if (walk.end != file->map.size)
        return BAD("the last tensor ends at byte %" PRIu64 ", but the file has %" PRIu64, walk.end,
                   file->map.size);
    return sort_entries(file, err);
}

/* ---- Opening -------------------------------------------------------------------------------- */

static int parse(MegaFile *file, MegaError *err)
{
    Sections sections = {0};
    int code = parse_header(file, err);
    if (!code)
        code = check_sections(file, err);
    if (!code)
        code = copy_sections(file, &sections, err);
    if (!code)
        code = check_padding(file, err);
    if (!code)
        code = parse_meta(file, &sections, err);
    if (!code)
        code = parse_index(file, &sections, err);
    free(sections.meta);
    free(sections.index);
    return code;
}

static MegaFile *new_file(const char *name)
{
    MegaFile *file = calloc(1, sizeof *file);
    if (file) {
        file->map.fd = -1;
        file->name = strdup(name);
    }
    if (file && !file->name) {
        free(file);
        file = NULL;
    }
    return file;
}

int mega_file_open(MegaFile **out, const char *path, MegaError *err)
{
    *out = NULL;
    MegaFile *file = new_file(path);
    if (!file)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for opening %s", path);
    int code = mega_mapped_file_open(&file->map, path, ".mega file", err);
    if (!code)
        code = parse(file, err);
    if (code)
        mega_file_close(file);
    else
        *out = file;
    return code;
}

int mega_file_from_memory(MegaFile **out, const void *bytes, size_t size, const char *name,
                          MegaError *err)
{
    *out = NULL;
    MegaFile *file = new_file(name);
    if (!file)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for opening %s", name);
    file->map.data = bytes;
    file->map.size = size;
    int code = parse(file, err);
    if (code)
        mega_file_close(file);
    else
        *out = file;
    return code;
}

void mega_file_close(MegaFile *file)
{
    if (!file)
        return;
    mega_mapped_file_close(&file->map);
    mega_meta_free(file->meta);
    free(file->entries);
    free(file->sorted);
    free(file->names);
    free(file->blocks);
    free(file->name);
    free(file);
}

const char *mega_file_name(const MegaFile *file)
{
    return file->name;
}

uint64_t mega_file_size(const MegaFile *file)
{
    return file->map.size;
}

const MegaMeta *mega_file_meta(const MegaFile *file)
{
    return file->meta;
}

size_t mega_file_tensor_count(const MegaFile *file)
{
    return file->count;
}

const MegaTensor *mega_file_tensor(const MegaFile *file, size_t index)
{
    return &file->entries[index].tensor;
}

const MegaTensor *mega_file_find(const MegaFile *file, const char *name)
{
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(file->sorted[middle]->tensor.name, name);
        if (order == 0)
            return &file->sorted[middle]->tensor;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
