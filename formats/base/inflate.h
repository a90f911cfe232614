/*
 * inflate.h - decompresses data whose size is known, and computes CRC-32. It uses libdeflate, or
 * zlib in a build without that (make WITH_LIBDEFLATE=0), which takes two to three times as long.
 */
#ifndef MEGA_INFLATE_H
#define MEGA_INFLATE_H

#include <stddef.h>
#include <stdint.h>

/* Decompresses raw deflate data (RFC 1951) to dst [dst_size]. Returns 0, MEGA_ERR_MEMORY, or
 * MEGA_ERR_FORMAT unless the data end with their last byte and give exactly dst_size bytes. */
int mega_inflate(const void *src, size_t src_size, void *dst, size_t dst_size);

/* Continues a CRC-32, which is 0 for no bytes. */
uint32_t mega_crc32(uint32_t crc, const void *data, size_t size);

/* Returns "libdeflate-1.14" or "without libdeflate". */
const char *mega_inflate_library(void);

#endif
