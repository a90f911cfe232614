/*
 * quantize.c - see quantize.h.
 */
#include "formats/tensor/quantize.h"

#include <math.h>
#include <string.h>

#include "src/base/checked.h"

static float scale_value(const unsigned char *block)
{
    uint32_t bits = (uint32_t)block[0] << 16 | (uint32_t)block[1] << 24;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return scale;
}

/* Stores the smallest bf16 whose magnitude is at least that of x, so that no quotient exceeds the
 * range of the integers. Returns it as a float. */
static float store_scale(float x, unsigned char *block)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0xffff) >> 16;
    block[0] = (unsigned char)(bits & 0xff);
    block[1] = (unsigned char)(bits >> 8 & 0xff);
    return scale_value(block);
}

/* Returns the number of largest magnitude. */
static float largest(const float *x, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = fabsf(x[i]) > fabsf(most) ? x[i] : most;
    return most;
}

static void quantize_8(const float *x, size_t n, unsigned char *block)
{
    float scale = store_scale(fabsf(largest(x, n)) / 127.0f, block);
    memset(block + 2, 0, MEGA_SCALE_BLOCK);
    for (size_t i = 0; i < n && scale > 0; i++)
        block[2 + i] = (unsigned char)((int)nearbyintf(x[i] / scale) & 0xff);
}

/* The number of largest magnitude becomes -8, the only value without a counterpart of the other
 * sign. */
static void quantize_4(const float *x, size_t n, unsigned char *block)
{
    float scale = store_scale(largest(x, n) / -8.0f, block);
    memset(block + 2, 0, MEGA_SCALE_BLOCK / 2);
    for (size_t i = 0; i < MEGA_SCALE_BLOCK; i++) {
        int q = i < n && scale != 0 ? (int)nearbyintf(x[i] / scale) : 0;
        unsigned half = (unsigned)(q > 7 ? 7 : q) + 8;
        block[2 + i % 16] |= (unsigned char)(i < 16 ? half : half << 4);
    }
}

void mega_q8_from_f32(const float *x, size_t n, unsigned char *blocks)
{
    for (size_t i = 0; i < n; i += MEGA_SCALE_BLOCK, blocks += MEGA_Q8_BYTES)
        quantize_8(x + i, mega_min_size(MEGA_SCALE_BLOCK, n - i), blocks);
}

void mega_q4_from_f32(const float *x, size_t n, unsigned char *blocks)
{
    for (size_t i = 0; i < n; i += MEGA_SCALE_BLOCK, blocks += MEGA_Q4_BYTES)
        quantize_4(x + i, mega_min_size(MEGA_SCALE_BLOCK, n - i), blocks);
}

void mega_q8_to_f32(const unsigned char *blocks, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char *block = blocks + i / MEGA_SCALE_BLOCK * MEGA_Q8_BYTES;
        x[i] = scale_value(block) * (float)(int8_t)block[2 + i % MEGA_SCALE_BLOCK];
    }
}

void mega_q4_to_f32(const unsigned char *blocks, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char *block = blocks + i / MEGA_SCALE_BLOCK * MEGA_Q4_BYTES;
        unsigned pair = block[2 + i % 16];
        x[i] = scale_value(block) * (float)((int)(i % 32 < 16 ? pair & 15 : pair >> 4) - 8);
    }
}

bool mega_scale_valid(const unsigned char *scale)
{
    return (scale[1] & 0x7f) != 0x7f || !(scale[0] & 0x80); /* the exponent is not all ones */
}
