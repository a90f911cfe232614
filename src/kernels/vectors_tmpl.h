/*
 * vectors_tmpl.h - part of body_tmpl.h, integer_tmpl.h and amx_tmpl.h: vectors of VECTOR_BYTES,
 * with loads, stores, choices, conversions, multiply-add and sums of lanes.
 *
 * V is the compiler's vector of floats, I its vector of 32-bit integers; a comparison yields a mask
 * of all ones or all zeros per lane. load_part and store_part handle the last vector of a row, so
 * that no byte outside the row is touched.
 */
#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__wasm__)
#include <wasm_simd128.h>
#endif

#define LANES (VECTOR_BYTES / 4)
typedef float V __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t I __attribute__((vector_size(VECTOR_BYTES)));

static inline V load(const float *p)
{
    V v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float *p, V v)
{
    memcpy(p, &v, sizeof v);
}

static inline V splat(float x)
{
    return x - (V){0};
}

/* These use single instructions where the compiler would make several from the plain form. maximum
 * and minimum return b if either argument is NaN. load_part and store_part touch the first n
 * floats, n <= LANES; load_part fills the rest with 0. */
#if VECTOR_BYTES == 64
static inline V choose(I mask, V yes, V no)
{
    return (V)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)mask), (__m512)no, (__m512)yes);
}

static inline V maximum(V a, V b)
{
    return (V)_mm512_max_ps((__m512)a, (__m512)b);
}

static inline V minimum(V a, V b)
{
    return (V)_mm512_min_ps((__m512)a, (__m512)b);
}

static inline V load_part(const float *p, size_t n)
{
    return (V)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

static inline void store_part(float *p, V v, size_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}
#elif VECTOR_BYTES == 32
static inline V choose(I mask, V yes, V no)
{
    return (V)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)mask);
}

static inline V maximum(V a, V b)
{
    return (V)_mm256_max_ps((__m256)a, (__m256)b);
}

static inline V minimum(V a, V b)
{
    return (V)_mm256_min_ps((__m256)a, (__m256)b);
}

static inline __m256i first_lanes(size_t n)
{
    return (__m256i)(((I){0} + (int32_t)n) > (I){0, 1, 2, 3, 4, 5, 6, 7});
}

static inline V load_part(const float *p, size_t n)
{
    return (V)_mm256_maskload_ps(p, first_lanes(n));
}

static inline void store_part(float *p, V v, size_t n)
{
    _mm256_maskstore_ps(p, first_lanes(n), (__m256)v);
}
#else
#if defined(__wasm__)
static inline V choose(I mask, V yes, V no)
{
    return (V)wasm_v128_bitselect((v128_t)yes, (v128_t)no, (v128_t)mask);
}

/* pmax(x, y) is x < y ? y : x, which is maximum(y, x). */
static inline V maximum(V a, V b)
{
    return (V)wasm_f32x4_pmax((v128_t)b, (v128_t)a);
}

static inline V minimum(V a, V b)
{
    return (V)wasm_f32x4_pmin((v128_t)b, (v128_t)a);
}
#else
static inline V choose(I mask, V yes, V no)
{
    return (V)((mask & (I)yes) | (~mask & (I)no));
}

static inline V maximum(V a, V b)
{
    return choose(a > b, a, b);
}

static inline V minimum(V a, V b)
{
    return choose(a < b, a, b);
}
#endif

static inline V load_part(const float *p, size_t n)
{
    V v = {0};
    memcpy(&v, p, n * sizeof *p);
    return v;
}

static inline void store_part(float *p, V v, size_t n)
{
    memcpy(p, &v, n * sizeof *p);
}
#endif

#define INLINE static inline __attribute__((always_inline))

/* These load or store the first n floats, n <= LANES, where n is mostly LANES: a whole vector goes
 * without a mask. */
INLINE V load_some(const float *p, const size_t n)
{
    return n == LANES ? load(p) : load_part(p, n);
}

INLINE void store_some(float *p, V v, const size_t n)
{
    if (n == LANES)
        store(p, v);
    else
        store_part(p, v, n);
}

/* Stands before a loop of at most `count` turns, all of which are to be written out, so that arrays
 * of vectors stay in registers. Clang ignores GCC's pragma, and for WebAssembly it then leaves the
 * loops of matrix products as they are, which takes half as long again. */
#if defined(__wasm__)
#define UNROLL(count) _Pragma("clang loop unroll(full)")
#else
#define UNROLL_PRAGMA(words) _Pragma(#words)
#define UNROLL(count) UNROLL_PRAGMA(GCC unroll count)
#endif

/* a * b + c and c - a * b, rounded once wherever the processor can, also in builds without
 * optimisation. The Makefile forbids the compiler to contract products and sums by itself: it would
 * do so in one tile and not in another, and a row computed alone would differ from the same row in
 * a batch. multiply_add_1 serves the scalar remainder of a row. */
#if VECTOR_BYTES == 64
INLINE V multiply_add(V a, V b, V c)
{
    return (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

INLINE V subtract_product(V c, V a, V b)
{
    return (V)_mm512_fnmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
#elif VECTOR_BYTES == 32
INLINE V multiply_add(V a, V b, V c)
{
    return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

INLINE V subtract_product(V c, V a, V b)
{
    return (V)_mm256_fnmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
#elif defined(__aarch64__)
INLINE V multiply_add(V a, V b, V c)
{
    return (V)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}

INLINE V subtract_product(V c, V a, V b)
{
    return (V)vfmsq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
#else
INLINE V multiply_add(V a, V b, V c)
{
    return a * b + c;
}

INLINE V subtract_product(V c, V a, V b)
{
    return c - a * b;
}
#endif

#if defined(__FMA__) || defined(__aarch64__)
INLINE float multiply_add_1(float a, float b, float c)
{
    return __builtin_fmaf(a, b, c);
}
#else
INLINE float multiply_add_1(float a, float b, float c)
{
    return a * b + c;
}
#endif

/* These reduce all lanes to one number by combining halves. */
#if VECTOR_BYTES == 64
INLINE float sum_lanes(V v)
{
    return _mm512_reduce_add_ps((__m512)v);
}

INLINE float top_lane(V v)
{
    return _mm512_reduce_max_ps((__m512)v);
}

INLINE int32_t sum_integers(I v)
{
    return _mm512_reduce_add_epi32((__m512i)v);
}

INLINE int32_t top_integer(I v)
{
    return _mm512_reduce_max_epi32((__m512i)v);
}
#elif VECTOR_BYTES == 32
INLINE float sum_lanes(V v)
{
    __m128 x = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}

INLINE float top_lane(V v)
{
    __m128 x = _mm256_castps256_ps128((__m256)v);
    x = _mm_max_ps(_mm256_extractf128_ps((__m256)v, 1), x);
    x = _mm_max_ps(_mm_movehl_ps(x, x), x);
    return _mm_cvtss_f32(_mm_max_ss(_mm_movehdup_ps(x), x));
}

INLINE int32_t sum_integers(I v)
{
    __m128i x = _mm256_castsi256_si128((__m256i)v);
    x = _mm_add_epi32(x, _mm256_extracti128_si256((__m256i)v, 1));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
}

INLINE int32_t top_integer(I v)
{
    __m128i x = _mm256_castsi256_si128((__m256i)v);
    x = _mm_max_epi32(x, _mm256_extracti128_si256((__m256i)v, 1));
    x = _mm_max_epi32(x, _mm_shuffle_epi32(x, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
}
#else
#define REDUCE(name, Scalar, Vector, combined)                                                     \
    INLINE Scalar name(Vector v)                                                                   \
    {                                                                                              \
        Scalar x[LANES];                                                                           \
        memcpy(x, &v, sizeof v);                                                                   \
        for (int half = LANES / 2; half > 0; half /= 2)                                            \
            for (int i = 0; i < half; i++) {                                                       \
                const Scalar a = x[i], b = x[i + half];                                            \
                x[i] = combined;                                                                   \
            }                                                                                      \
        return x[0];                                                                               \
    }
REDUCE(sum_lanes, float, V, a + b)
REDUCE(top_lane, float, V, b > a ? b : a)
REDUCE(sum_integers, int32_t, I, a + b)
REDUCE(top_integer, int32_t, I, b > a ? b : a)
#undef REDUCE
#endif
