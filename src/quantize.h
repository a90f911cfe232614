/*
 * quantize.h - rows of weights as integers of 8 bits: blocks of MEGA_INT8_BLOCK numbers, each
 *
 *     scale, bf16, little-endian (2 bytes) | q_0 ... q_31 (1 byte each)     w_i = scale * q_i
 *
 * with -127 <= q <= 127; the last block of a row is filled up with zeros. An error is at most half
 * a scale, 1/253 of the largest magnitude of its block.
 */
#ifndef MEGA_QUANTIZE_H
#define MEGA_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEGA_INT8_BLOCK 32 /* numbers that share a scale */
#define MEGA_Q8_BYTES 34   /* of a block */

/* x [n] to ceil(n / MEGA_INT8_BLOCK) blocks; x finite. */
void mega_q8_from_f32(const float *x, size_t n, unsigned char *blocks);
/* Whether a scale is a number: not NaN or infinite. */
bool mega_q8_scale_valid(const unsigned char *scale);
void mega_q8_to_f32(const unsigned char *blocks, size_t n, float *x);

#endif
