/*
 * inflate.c - see inflate.h.
 */
#include "formats/base/inflate.h"

#include "src/mega.h"

#ifndef MEGA_WITH_LIBDEFLATE
#define MEGA_WITH_LIBDEFLATE 0
#endif

#if MEGA_WITH_LIBDEFLATE
#include <libdeflate.h>

int mega_inflate(const void *src, size_t src_size, void *dst, size_t dst_size)
{
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    size_t taken = 0;
    if (!decompressor)
        return MEGA_ERR_MEMORY;
    const enum libdeflate_result result =
        libdeflate_deflate_decompress_ex(decompressor, src, src_size, dst, dst_size, &taken, NULL);
    libdeflate_free_decompressor(decompressor);
    return result == LIBDEFLATE_SUCCESS && taken == src_size ? 0 : MEGA_ERR_FORMAT;
}

uint32_t mega_crc32(uint32_t crc, const void *data, size_t size)
{
    return size ? libdeflate_crc32(crc, data, size) : crc;
}

const char *mega_inflate_library(void)
{
    return "libdeflate-" LIBDEFLATE_VERSION_STRING;
}

#else
#include <stdbool.h>
#include <zlib.h>

int mega_inflate(const void *src, size_t src_size, void *dst, size_t dst_size)
{
    z_stream stream = {0};
    if (src_size > UINT32_MAX || dst_size > UINT32_MAX)
        return MEGA_ERR_FORMAT;
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return MEGA_ERR_MEMORY;
    stream.next_in = (Bytef *)(uintptr_t)src;
    stream.avail_in = (uInt)src_size;
    stream.next_out = dst;
    stream.avail_out = (uInt)dst_size;
    const int result = inflate(&stream, Z_FINISH);
    const bool exact = result == Z_STREAM_END && stream.avail_in == 0 && stream.avail_out == 0;
    inflateEnd(&stream);
    return exact ? 0 : result == Z_MEM_ERROR ? MEGA_ERR_MEMORY : MEGA_ERR_FORMAT;
}

uint32_t mega_crc32(uint32_t crc, const void *data, size_t size)
{
    return size ? (uint32_t)crc32_z(crc, data, size) : crc;
}

const char *mega_inflate_library(void)
{
    return "without libdeflate";
}

#endif
