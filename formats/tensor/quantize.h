/*
 * quantize.h - rows of weights as integers of 8 or 4 bits: blocks of MEGA_SCALE_BLOCK numbers, each
 *
 *     8 bits: scale, bf16, little-endian (2 bytes) | q_0 ... q_31 (1 byte each)
 *     4 bits: scale | 16 bytes, number i in the lower half of byte i, number 16 + i in the upper
 *             half of byte i, as q + 8
 *
 * w_i = scale * q_i with -127 <= q <= 127, or -8 <= q <= 7 and a scale of either sign; the last
 * block of a row is filled up with q = 0. An error is at most half a scale: of 8 bits 1/252 of the
 * largest magnitude of its block, of 4 bits 1/16. Numbers nearly as large with the other sign may
 * lose 1/8.
 */
#ifndef MEGA_QUANTIZE_H
#define MEGA_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEGA_SCALE_BLOCK 32 /* numbers that share a scale */
#define MEGA_Q8_BYTES 34    /* of a block */
#define MEGA_Q4_BYTES 18

/* x [n] to ceil(n / MEGA_SCALE_BLOCK) blocks; x finite. */
void mega_q8_from_f32(const float *x, size_t n, unsigned char *blocks);
void mega_q4_from_f32(const float *x, size_t n, unsigned char *blocks);
void mega_q8_to_f32(const unsigned char *blocks, size_t n, float *x);
void mega_q4_to_f32(const unsigned char *blocks, size_t n, float *x);
/* Whether a scale, with which a block begins, is a number: not NaN or infinite. */
bool mega_scale_valid(const unsigned char *scale);

#endif
