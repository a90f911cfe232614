/*
 * data.c - reads the tensor data of an open .mega file: decoding, checksums and checks of items.
 * MEGA-FORMAT.md describes the layout; read.c has checked offsets and sizes.
 */
#include "formats/mega/read.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "formats/base/inflate.h"
#include "formats/tensor/panels.h"
#include "formats/tensor/quantize.h"

/* ---- Data ----------------------------------------------------------------------------------- */

/* Returns the entry that holds the data, which for a tied tensor is another one. */
static const Entry *holder_of(const MegaFile *file, const MegaTensor *tensor)
{
    return tensor->tied_to >= 0 ? &file->entries[tensor->tied_to] : (const Entry *)tensor;
}

const void *mega_file_data(const MegaFile *file, const MegaTensor *tensor)
{
    const MegaTensor *holder = &holder_of(file, tensor)->tensor;
    return holder->encoding == MEGA_PLAIN ? file->map.data + holder->offset : NULL;
}

const void *mega_file_panels(const MegaFile *file, const MegaTensor *tensor)
{
    const MegaTensor *holder = &holder_of(file, tensor)->tensor;
    return holder->encoding == MEGA_IN_PANELS ? file->map.data + holder->offset : NULL;
}

/* Puts four bytes that lie `distance` apart side by side. */
static void gather_four(const uint8_t *src, size_t distance, uint8_t *dst)
{
    mega_store_u32(dst, (uint32_t)src[0] | (uint32_t)src[distance] << 8 |
                            (uint32_t)src[2 * distance] << 16 | (uint32_t)src[3 * distance] << 24);
}

/* Computes dst[i * item + b] = src[b * n + i] for n items. Of quantized items, which are long, some
 * are made at a time: each part of the source is then read from end to end, and the items stay in
 * the cache until they are whole. */
static void unshuffle(const uint8_t *src, size_t size, uint32_t item, uint8_t *dst)
{
    const size_t n = size / item, at_once = 256;
    const uint32_t words_end = item / 4 * 4;
    if (item == 4) {
        for (size_t i = 0; i < n; i++)
            gather_four(src + i, n, dst + 4 * i);
        return;
    }
    for (size_t begin = 0, end; begin < n; begin = end) {
        end = n - begin < at_once ? n : begin + at_once;
        for (size_t b = 0; b < words_end; b += 4)
            for (size_t i = begin; i < end; i++)
                gather_four(src + b * n + i, n, dst + i * item + b);
        for (size_t b = words_end; b < item; b++)
            for (size_t i = begin; i < end; i++)
                dst[i * item + b] = src[b * n + i];
    }
}

static int fail_scale(const MegaFile *file, const MegaTensor *tensor, MegaError *err)
{
    return TENSOR_BAD("a scale of its integers is NaN or infinite");
}

/* Checks decoded items; any part of a tensor that has whole items will do. */
static int check_items(const MegaFile *file, const MegaTensor *tensor, const uint8_t *items,
                       uint64_t size, MegaError *err)
{
    const uint64_t item = mega_dtype_traits((int)tensor->dtype)->item_size;
    for (uint64_t at = 0; mega_dtype_quantized(tensor->dtype) && at < size; at += item)
        if (!mega_scale_valid(items + at))
            return fail_scale(file, tensor, err);
    return 0;
}

static size_t block_scratch(const Entry *entry, uint32_t number)
{
    return (size_t)block_decoded(&entry->tensor, number) + entry->blocks[number].size;
}

/* Reads one block of a compressed entry. dst has room for its decoded size, and scratch for that
 * plus its stored size. The stored bytes are copied first, so that the bytes that are checked are
 * also those that are inflated. */
static int read_block(const MegaFile *file, const Entry *entry, uint32_t number, uint8_t *scratch,
                      uint8_t *dst, MegaError *err)
{
    const MegaTensor *tensor = &entry->tensor;
    const Block *block = &entry->blocks[number];
    uint32_t size = block_decoded(tensor, number);
    uint8_t *stored = scratch + size;
    int code = mega_mapped_file_check(&file->map, file->name, err);
    if (code)
        return code;
    memcpy(stored, file->map.data + block->offset, block->size);
    if (crc_of(stored, block->size) != block->crc)
        return TENSOR_BAD("block %" PRIu32 " is damaged: its checksum does not match", number);
    code = mega_inflate(stored, block->size, scratch, size);
    if (code)
        return code == MEGA_ERR_MEMORY
                   ? FAIL(MEGA_ERR_MEMORY, "no memory for decompression")
                   : TENSOR_BAD("block %" PRIu32 " does not decompress to exactly %" PRIu32
                                " bytes",
                                number, size);
    unshuffle(scratch, size, mega_dtype_traits((int)tensor->dtype)->item_size, dst);
    /* Otherwise the pages of a compressed file would take memory in addition to the decoded
     * data. */
    if (file->map.fd >= 0)
        mega_mapped_file_release(file->map.data + block->offset, block->size);
    return check_items(file, tensor, dst, size, err);
}

int mega_file_read_block(const MegaFile *file, const MegaTensor *tensor, uint32_t block, void *dst,
                         MegaError *err)
{
    const Entry *entry = holder_of(file, tensor);
    if (block >= entry->tensor.block_count)
        return FAIL(MEGA_ERR_ARGUMENT, "tensor '%s' has no block %" PRIu32, tensor->name, block);
    uint8_t *scratch = malloc(block_scratch(entry, block));
    int code = scratch ? read_block(file, entry, block, scratch, dst, err)
                       : FAIL(MEGA_ERR_MEMORY, "no memory for decompression");
    free(scratch);
    return code;
}

static int check_crc(const MegaFile *file, const MegaTensor *tensor, uint32_t crc, MegaError *err)
{
    return crc == tensor->crc ? 0 : TENSOR_BAD("its data is damaged: the checksum does not match");
}

/* Reads the blocks of a compressed entry in order. dst is the whole tensor, or NULL for a check
 * only. */
static int read_blocks(const MegaFile *file, const Entry *entry, uint8_t *dst, MegaError *err)
{
    const MegaTensor *tensor = &entry->tensor;
    size_t room = 0;
    for (uint32_t i = 0; i < tensor->block_count; i++)
        room = block_scratch(entry, i) > room ? block_scratch(entry, i) : room;
    uint8_t *scratch = malloc(room), *block = dst ? NULL : malloc(block_decoded(tensor, 0));
    uint32_t crc = 0;
    int code = 0;
    if (!scratch || (!dst && !block))
        code = FAIL(MEGA_ERR_MEMORY, "no memory for decompression");
    for (uint32_t i = 0; i < tensor->block_count && !code; i++) {
        uint8_t *at = dst ? dst + (size_t)i * tensor->block_size : block;
        code = read_block(file, entry, i, scratch, at, err);
        if (!code)
            crc = mega_crc32(crc, at, block_decoded(tensor, i));
    }
    if (!code)
        code = check_crc(file, tensor, crc, err);
    free(scratch);
    free(block);
    return code;
}

/* Reads the rows of a tensor in panels, and checks that the padding of the last panel is zero. dst
 * is as above. */
static int read_panels(const MegaFile *file, const MegaTensor *tensor, uint8_t *dst, MegaError *err)
{
    size_t rows = (size_t)tensor->shape[0], columns = (size_t)tensor->shape[1];
    size_t row_bytes = (size_t)tensor->size / rows;
    const uint8_t *panels = file->map.data + tensor->offset;
    uint8_t *scratch = malloc(row_bytes);
    uint32_t crc = 0;
    int code = scratch ? mega_mapped_file_check(&file->map, file->name, err)
                       : FAIL(MEGA_ERR_MEMORY, "no memory for a row of a tensor");
    for (size_t row = 0; row < rows && !code; row++) {
        uint8_t *at = dst ? dst + row * row_bytes : scratch;
        mega_panels_load(tensor->dtype, panels, columns, row, at);
        crc = mega_crc32(crc, at, row_bytes);
        code = check_items(file, tensor, at, row_bytes, err);
    }
    if (!code)
        code = check_crc(file, tensor, crc, err);
    for (size_t row = rows; row % MEGA_PANEL != 0 && !code; row++) {
        mega_panels_load(tensor->dtype, panels, columns, row, scratch);
        if (!all_zero(scratch, row_bytes))
            code = TENSOR_BAD("the padding of its last panel is not zero");
    }
    free(scratch);
    return code;
}

int mega_file_read(const MegaFile *file, const MegaTensor *tensor, void *dst, MegaError *err)
{
    const Entry *entry = holder_of(file, tensor);
    if (entry->tensor.encoding == MEGA_ZLIB_SHUFFLE)
        return read_blocks(file, entry, dst, err);
    if (entry->tensor.encoding == MEGA_IN_PANELS)
        return read_panels(file, &entry->tensor, dst, err);
    int code = mega_mapped_file_check(&file->map, file->name, err);
    if (code)
        return code;
    memcpy(dst, file->map.data + entry->tensor.offset, (size_t)entry->tensor.size);
    code = check_crc(file, &entry->tensor, crc_of(dst, entry->tensor.size), err);
    return code ? code : check_items(file, &entry->tensor, dst, entry->tensor.size, err);
}

int mega_file_check_items(const MegaFile *file, const MegaTensor *tensor, MegaError *err)
{
    const void *plain = mega_file_data(file, tensor), *panels = mega_file_panels(file, tensor);
    if (plain)
        return check_items(file, tensor, plain, tensor->size, err);
    if (panels && !mega_panels_valid(tensor->dtype, panels, (size_t)tensor->shape[0],
                                     (size_t)tensor->shape[1]))
        return fail_scale(file, tensor, err);
    return 0;
}

static int check_plain(const MegaFile *file, const MegaTensor *tensor, MegaError *err)
{
    const uint8_t *data = file->map.data + tensor->offset;
    int code = check_crc(file, tensor, crc_of(data, tensor->size), err);
    return code ? code : check_items(file, tensor, data, tensor->size, err);
}

/* Checks the padding and every tensor, or only those that are used in place. */
static int verify(const MegaFile *file, bool only_in_place, MegaError *err)
{
    uint64_t end = file->index_offset + file->index_size;
    int code = 0;
    for (uint32_t i = 0; i < file->count && !code; i++) {
        const MegaTensor *tensor = &file->entries[i].tensor;
        if (tensor->encoding == MEGA_TIED)
            continue; /* the tensor that has the data also has the checksum */
        code = mega_mapped_file_check(&file->map, file->name, err);
        if (!code && !all_zero(file->map.data + end, tensor->offset - end))
            code = TENSOR_BAD("the padding before its data is not zero");
        if (!code && tensor->encoding == MEGA_ZLIB_SHUFFLE && !only_in_place)
            code = read_blocks(file, &file->entries[i], NULL, err);
        else if (!code && tensor->encoding == MEGA_IN_PANELS)
            code = read_panels(file, tensor, NULL, err);
        else if (!code && tensor->encoding == MEGA_PLAIN)
            code = check_plain(file, tensor, err);
        end = tensor->offset + tensor->stored_size;
    }
    return code;
}

int mega_file_verify(const MegaFile *file, MegaError *err)
{
    return verify(file, false, err);
}

int mega_file_verify_in_place(const MegaFile *file, MegaError *err)
{
    return verify(file, true, err);
}
