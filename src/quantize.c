/*
 * quantize.c - see quantize.h.
 */
#include "quantize.h"

#include <math.h>
#include <string.h>

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static float scale_value(const unsigned char *block)
{
    uint32_t bits = (uint32_t)block[0] << 16 | (uint32_t)block[1] << 24;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return scale;
}

/* The least bf16 that is not below x >= 0, so that no quotient exceeds 127. */
static uint32_t round_up_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits + 0xffff) >> 16;
}

static void quantize_block(const float *x, size_t n, unsigned char *block)
{
    float max = 0;
    for (size_t i = 0; i < n; i++)
        max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    uint32_t bits = round_up_bf16(max / 127.0f);
    block[0] = (unsigned char)(bits & 0xff);
    block[1] = (unsigned char)(bits >> 8 & 0xff);
    memset(block + 2, 0, MEGA_INT8_BLOCK);
    float scale = scale_value(block);
    for (size_t i = 0; i < n && scale > 0; i++)
        block[2 + i] = (unsigned char)((int)nearbyintf(x[i] / scale) & 0xff);
}

void mega_q8_from_f32(const float *x, size_t n, unsigned char *blocks)
{
    for (size_t i = 0; i < n; i += MEGA_INT8_BLOCK, blocks += MEGA_Q8_BYTES)
        quantize_block(x + i, min_size(MEGA_INT8_BLOCK, n - i), blocks);
}

bool mega_q8_scale_valid(const unsigned char *scale)
{
    return (scale[1] & 0x7f) != 0x7f || !(scale[0] & 0x80); /* the exponent is not all ones */
}

void mega_q8_to_f32(const unsigned char *blocks, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char *block = blocks + i / MEGA_INT8_BLOCK * MEGA_Q8_BYTES;
        x[i] = scale_value(block) * (float)(int8_t)block[2 + i % MEGA_INT8_BLOCK];
    }
}
