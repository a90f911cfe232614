// Vectors of floats for flat.cpp. They use GCC's vector extension and are as wide as the processor's
// registers, so that one source serves AVX2, AVX-512 and others. Values are float32 or bfloat16.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace
{

#if defined(__AVX512F__)
constexpr int BYTES = 64;
#elif defined(__AVX__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif
constexpr int W = BYTES / 4; // floats in a vector

typedef float Vec __attribute__((vector_size(BYTES)));
typedef float Loose __attribute__((vector_size(BYTES), aligned(4), may_alias));
typedef uint32_t Bits __attribute__((vector_size(BYTES)));
typedef int32_t Ints __attribute__((vector_size(BYTES)));
typedef uint16_t Half __attribute__((vector_size(BYTES / 2)));
typedef uint16_t LooseHalf __attribute__((vector_size(BYTES / 2), aligned(2), may_alias));

struct Brain { // bfloat16, the upper half of a float
    uint16_t bits;
};

Vec splat(float x)
{
    return x - Vec{};
}

Vec load(const float *p)
{
    return *(const Loose *)p;
}

Vec load(const Brain *p)
{
    Half half = *(const LooseHalf *)p;
    return (Vec)(__builtin_convertvector(half, Bits) << 16);
}

void store(float *p, Vec v)
{
    *(Loose *)p = v;
}

// Round to the nearest bfloat16, ties to even. No value is NaN.
void store(Brain *p, Vec v)
{
    Bits bits = (Bits)v;
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    *(LooseHalf *)p = __builtin_convertvector(bits, Half);
}

float sum(Vec v)
{
    float parts[W];
    memcpy(parts, &v, sizeof v);
    for (int width = W / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            parts[i] += parts[i + width];
    return parts[0];
}

float greatest(Vec v)
{
    float most = v[0];
    for (int i = 1; i < W; i++)
        most = std::max(most, v[i]);
    return most;
}

Vec larger(Vec a, Vec b)
{
    return a > b ? a : b;
}

// exp(x) within 3e-7 for values that are at most about 0; below -87 the result is nearly 0.
Vec exponential(Vec x)
{
    x = larger(x, splat(-87.0f));
    const Vec shift = splat(12582912.0f); // adding it rounds to whole numbers
    Vec n = (x * 1.44269504f + shift) - shift;
    Vec r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    Vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * (Vec)((__builtin_convertvector(n, Ints) + 127) << 23);
}

} // namespace
