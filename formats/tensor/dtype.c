/*
 * dtype.c - the element types and their exact conversion to and from float32.
 *
 * Everything works on the bits: subnormals, infinities and the payloads of NaNs survive a round
 * trip from a short type to float32 and back.
 */
#include "formats/tensor/dtype.h"

#include <string.h>

#include "formats/base/bytes.h"
#include "formats/tensor/quantize.h"
#include "src/base/checked.h"

static const MegaDtypeTraits traits[] = {
    {MEGA_F32, "f32", 4, 1},
    {MEGA_F16, "f16", 2, 1},
    {MEGA_BF16, "bf16", 2, 1},
    {MEGA_Q8, "int8", MEGA_Q8_BYTES, MEGA_SCALE_BLOCK},
    {MEGA_Q4, "int4", MEGA_Q4_BYTES, MEGA_SCALE_BLOCK},
    {MEGA_F64, "f64", 8, 1},
    {MEGA_I64, "i64", 8, 1},
    {MEGA_I32, "i32", 4, 1},
    {MEGA_I16, "i16", 2, 1},
    {MEGA_I8, "i8", 1, 1},
    {MEGA_U8, "u8", 1, 1},
    {MEGA_BOOL, "bool", 1, 1},
};

#define TRAITS_COUNT (sizeof traits / sizeof traits[0])

const MegaDtypeTraits *mega_dtype_traits(int dtype)
{
    for (size_t i = 0; i < TRAITS_COUNT; i++)
        if ((int)traits[i].dtype == dtype)
            return &traits[i];
    return NULL;
}

int mega_dtype_by_name(const char *name)
{
    for (size_t i = 0; i < TRAITS_COUNT; i++)
        if (strcmp(traits[i].name, name) == 0)
            return (int)traits[i].dtype;
    return -1;
}

uint64_t mega_dtype_items(MegaDtype dtype, uint64_t elements)
{
    uint32_t block = mega_dtype_traits((int)dtype)->block;
    return elements / block + (elements % block != 0);
}

bool mega_dtype_bytes(MegaDtype dtype, const uint64_t *shape, int rank, uint64_t *bytes)
{
    uint64_t size = mega_dtype_traits((int)dtype)->item_size;
    if (!mega_mul(size, mega_dtype_items(dtype, shape[rank - 1]), &size))
        return false;
    for (int i = 0; i < rank - 1; i++)
        if (!mega_mul(size, shape[i], &size))
            return false;
    *bytes = size;
    return true;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* binary16: sign 1, exponent 5 (bias 15), fraction 10. binary32: 1, 8 (bias 127), 23. */
static uint32_t f16_to_bits(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 0x1f;
    uint32_t fraction = half & 0x3ff;
    if (exponent == 0x1f)
        return sign | 0x7f800000 | fraction << 13;
    if (exponent)
        return sign | (exponent + 127 - 15) << 23 | fraction << 13;
    /* Zero or subnormal: fraction * 2^-24 is exact in float32. */
    return sign | bits_of((float)fraction * 0x1p-24f);
}

/* Computes bits >> shift, rounded to nearest, ties to even. */
static uint32_t round_shift(uint32_t bits, uint32_t shift)
{
    uint32_t half = 1u << (shift - 1);
    uint32_t odd = bits >> shift & 1;
    return (bits + half - 1 + odd) >> shift;
}

static uint16_t f16_from_bits(uint32_t bits)
{
    uint32_t sign = bits >> 16 & 0x8000;
    uint32_t magnitude = bits & 0x7fffffff;
    uint32_t result;
    if (magnitude > 0x7f800000) { /* NaN; truncating its payload must not make it infinity */
        uint32_t payload = magnitude >> 13 & 0x3ff;
        result = 0x7c00 | (payload ? payload : 0x200);
    } else if (magnitude >= 0x47800000) { /* at least 2^16 */
        result = 0x7c00;
    } else if (magnitude >= 0x38800000) { /* at least 2^-14: normal; a carry goes to the exponent */
        result = round_shift(magnitude - ((127 - 15) << 23), 13);
    } else if (magnitude >= 0x33000000) {    /* at least 2^-25: subnormal, in units of 2^-24 */
        uint32_t exponent = magnitude >> 23; /* 102 ... 112 */
        result = round_shift((magnitude & 0x7fffff) | 0x800000, 126 - exponent);
    } else {
        result = 0;
    }
    return (uint16_t)(sign | result);
}

static uint16_t bf16_from_bits(uint32_t bits)
{
    if ((bits & 0x7fffffff) > 0x7f800000) {
        uint16_t upper = (uint16_t)(bits >> 16);
        return upper & 0x7f ? upper : upper | 0x40;
    }
    return (uint16_t)round_shift(bits, 16);
}

static float f64_to_f32(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return (float)value;
}

void mega_dtype_to_f32(MegaDtype dtype, const void *src, size_t n, float *dst)
{
    const uint8_t *at = src;
#define CONVERT(size, expression)                                                                  \
    for (size_t i = 0; i < n; i++, at += (size))                                                   \
        dst[i] = (expression);                                                                     \
    break
    switch (dtype) {
    case MEGA_F32: CONVERT(4, float_of(mega_load_u32(at)));
    case MEGA_F16: CONVERT(2, float_of(f16_to_bits(mega_load_u16(at))));
    case MEGA_BF16: CONVERT(2, float_of((uint32_t)mega_load_u16(at) << 16));
    case MEGA_Q8: mega_q8_to_f32(src, n, dst); break;
    case MEGA_Q4: mega_q4_to_f32(src, n, dst); break;
    case MEGA_F64: CONVERT(8, f64_to_f32(mega_load_u64(at)));
    case MEGA_I64: CONVERT(8, (float)(int64_t)mega_load_u64(at));
    case MEGA_I32: CONVERT(4, (float)(int32_t)mega_load_u32(at));
    case MEGA_I16: CONVERT(2, (float)(int16_t)mega_load_u16(at));
    case MEGA_I8: CONVERT(1, (float)(int8_t)*at);
    case MEGA_U8: CONVERT(1, (float)*at);
    case MEGA_BOOL: CONVERT(1, *at ? 1.0f : 0.0f);
    }
#undef CONVERT
}

void mega_dtype_tensor_to_f32(MegaDtype dtype, const void *src, const uint64_t *shape, int rank,
                              float *dst)
{
    const uint8_t *at = src;
    uint64_t rows = 1, columns = shape[rank - 1];
    uint64_t bytes = mega_dtype_items(dtype, columns) * mega_dtype_traits((int)dtype)->item_size;
    for (int i = 0; i < rank - 1; i++)
        rows *= shape[i];
    for (uint64_t row = 0; row < rows; row++, at += bytes, dst += columns)
        mega_dtype_to_f32(dtype, at, (size_t)columns, dst);
}

void mega_dtype_from_f32(MegaDtype dtype, const float *src, size_t n, void *dst)
{
    uint8_t *at = dst;
    if (dtype == MEGA_Q8)
        mega_q8_from_f32(src, n, dst);
    if (dtype == MEGA_Q4)
        mega_q4_from_f32(src, n, dst);
    if (mega_dtype_quantized(dtype))
        return;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = bits_of(src[i]);
        if (dtype == MEGA_F32)
            mega_store_u32(at + 4 * i, bits);
        else
            mega_store_u16(at + 2 * i,
                           dtype == MEGA_F16 ? f16_from_bits(bits) : bf16_from_bits(bits));
    }
}
