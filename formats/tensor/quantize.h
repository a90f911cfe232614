/*
 * quantize.h - rows of weights as 8-bit or 4-bit integers, in blocks of MEGA_SCALE_BLOCK numbers:
 *
 *     8 bits: scale, bf16, little-endian (2 bytes) | q_0 ... q_31 (1 byte each)
 *     4 bits: scale | 16 bytes, number i in the lower half of byte i, number 16 + i in the upper
 *             half of byte i, as q + 8
 *
 * w_i = scale * q_i with -127 <= q <= 127, or -8 <= q <= 7 and a scale of either sign. The last
 * block of a row is padded with q = 0. The error is at most half a scale: 1/252 of the largest
 * magnitude in the block with 8 bits, and 1/16 with 4 bits. With 4 bits, a number that is nearly as
 * large as the largest but has the other sign may lose 1/8.
 */
#ifndef MEGA_QUANTIZE_H
#define MEGA_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEGA_SCALE_BLOCK 32 /* numbers that share a scale */
#define MEGA_Q8_BYTES 34    /* bytes of a block */
#define MEGA_Q4_BYTES 18

/* These two convert x [n] to ceil(n / MEGA_SCALE_BLOCK) blocks. x must be finite and must not
 * overlap the blocks. */
void mega_q8_from_f32(const float *x, size_t n, unsigned char *blocks);
void mega_q4_from_f32(const float *x, size_t n, unsigned char *blocks);
void mega_q8_to_f32(const unsigned char *blocks, size_t n, float *x);
void mega_q4_to_f32(const unsigned char *blocks, size_t n, float *x);
/* Returns whether a scale, which is at the start of a block, is finite. */
bool mega_scale_valid(const unsigned char *scale);

#endif
