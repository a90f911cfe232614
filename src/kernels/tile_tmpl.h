/*
 * tile_tmpl.h - part of body_tmpl.h and integer_tmpl.h: how large the tiles of matrix products are,
 * and how a tile's sums are stored.
 */

/* Size of the largest tile. With few rows a tile spans several panels instead, so that enough sums
 * are in flight to hide the latency of a multiply-add. */
#if VECTOR_BYTES == 64
#define REGISTERS 32
#define TILE_ROWS 12
#define TILE_PANELS 2
#define MOST_PANELS 8
#elif VECTOR_BYTES == 32
#define REGISTERS 16
#define TILE_ROWS 6
#define TILE_PANELS 1
#define MOST_PANELS 4
#elif defined(__aarch64__)
#define REGISTERS 32
#define TILE_ROWS 6
#define TILE_PANELS 1
#define MOST_PANELS 4
#else
#define REGISTERS 16
#define TILE_ROWS 3
#define TILE_PANELS 1
#define MOST_PANELS 4
#endif
#define PANEL_VECTORS (MEGA_PANEL / LANES)
#define TILE_COLUMNS (TILE_PANELS * MEGA_PANEL)

#include "src/kernels/math_tmpl.h"
#include "src/kernels/epilogue_tmpl.h"

/* Prefetch distance in bytes, for each panel, when few rows make the product wait for memory. At
 * five rows it yields a sixth more bandwidth than no prefetching. */
#define AHEAD 1024

/* No tile has more sums than this, since they all are in registers. */
#define MOST_SUMS (REGISTERS * LANES)

/* ---- 16 bits to 32 -------------------------------------------------------------------------- */

typedef uint16_t Half __attribute__((vector_size(VECTOR_BYTES / 2)));

INLINE Half load_half(const uint16_t *p)
{
    Half half;
    memcpy(&half, p, sizeof half);
    return half;
}

/* These use intrinsics, since the compiler's own conversion splits the vector into single lanes. */
#if defined(__AVX512F__)
INLINE I widen(Half half)
{
    return (I)_mm512_cvtepu16_epi32((__m256i)half);
}
#elif defined(__AVX2__)
INLINE I widen(Half half)
{
    return (I)_mm256_cvtepu16_epi32((__m128i)half);
}
#elif defined(__wasm__)
INLINE I widen(Half half)
{
    uint64_t bits;
    memcpy(&bits, &half, sizeof bits);
    return (I)wasm_u32x4_extend_low_u16x8(wasm_i64x2_splat((int64_t)bits));
}
#else
INLINE I widen(Half half)
{
    return __builtin_convertvector(half, I);
}
#endif

INLINE V from_bf16(Half half)
{
    return (V)(widen(half) << 16);
}

#if defined(__AVX512F__)
INLINE V from_f16(Half half)
{
    return (V)_mm512_cvtph_ps((__m256i)half);
}
#elif defined(__F16C__)
INLINE V from_f16(Half half)
{
    return (V)_mm256_cvtph_ps((__m128i)half);
}
#elif defined(__aarch64__)
INLINE V from_f16(Half half)
{
    return (V)vcvt_f32_f16((float16x4_t)half);
}
#else
/* The bits of a half-precision number, moved to their places in a float, give 2^-112 times its
 * value. Infinities and NaN need the largest exponent in addition. */
INLINE V from_f16(Half half)
{
    I bits = widen(half);
    I magnitude = (bits & 0x7fff) << 13;
    V value = (V)magnitude * 0x1p112f;
    I special = (I)(magnitude >= 0x7c00 << 13) & 0x7f800000;
    return (V)((I)value | special | ((bits & 0x8000) << 16));
}
#endif

INLINE V load_weights(const void *b, size_t index, const MegaDtype dtype)
{
    switch (dtype) {
    case MEGA_F16: return from_f16(load_half((const uint16_t *)b + index));
    case MEGA_BF16: return from_bf16(load_half((const uint16_t *)b + index));
    default: return load((const float *)b + index);
    }
}

/* ---- Tiles ---------------------------------------------------------------------------------- */

/* Says where a product's tiles are stored. */
typedef struct Target {
    float *y;
    size_t ldy;
    const MegaEpilogue *epilogue;
    bool direct;   /* result of only_adds */
    bool activate; /* result of only_activates */
} Target;

INLINE Target make_target(float *y, size_t ldy, const MegaEpilogue *epilogue)
{
    return (Target){y, ldy, epilogue, only_adds(epilogue, y, ldy), only_activates(epilogue)};
}

/* Says where a tile begins in y, and how many columns are left from there on, which may be more
 * than the tile has. */
typedef struct Place {
    size_t row, column, columns;
} Place;

/* Activates a tile that extends past the last column of y, in place, then stores the columns that
 * exist. */
static void activate_part(MegaFunction function, float *sums, size_t rows, size_t columns, float *y,
                          size_t ldy, const float *bias, const MegaEpilogue *e)
{
    float padded[TILE_COLUMNS] = {0};
    memcpy(padded, bias, columns * sizeof *bias);
    activate_tile(function, sums, rows, sums, TILE_COLUMNS, padded, e);
    for (size_t r = 0; r < rows; r++, sums += TILE_COLUMNS, y += ldy) {
        size_t i = 0;
        for (; i + LANES <= columns; i += LANES)
            store(y + i, load(sums + i));
        if (i < columns)
            store_part(y + i, load(sums + i), columns - i);
    }
}

/* Stores the columns of a tile that exist, or with `add` adds them to y; `bias` may be NULL. */
static void add_part(const float *sums, size_t rows, size_t columns, size_t ld_sums, float *y,
                     size_t ldy, const float *bias, bool add)
{
    for (size_t r = 0; r < rows; r++, sums += ld_sums, y += ldy)
        for (size_t i = 0; i < columns; i += LANES) {
            const size_t n = columns - i < LANES ? columns - i : LANES;
            V all = load(sums + i);
            all = add ? load_part(y + i, n) + all : all;
            store_part(y + i, bias ? all + load_part(bias + i, n) : all, n);
        }
}

/* Stores the sums of a tile whose place in y begins at `row` and `column`; only `columns` of its
 * columns exist. It overwrites `sums`. It is not inlined, since the many copies would make up most
 * of the code. */
static __attribute__((noinline)) void store_tile(const Target *target, float *sums, size_t ld_sums,
                                                 size_t rows, size_t columns, size_t row,
                                                 size_t column)
{
    const MegaEpilogue *e = target->epilogue;
    float *y = target->y + row * target->ldy + column;
    if (target->direct) {
        add_part(sums, rows, columns, ld_sums, y, target->ldy, e->bias ? e->bias + column : NULL,
                 e->addend);
        return;
    }
    bool linear = e->linear_from > 0 && column >= e->linear_from;
    bool alike = linear || e->linear_from == 0 || column + columns <= e->linear_from;
    if (target->activate && alike && ld_sums == TILE_COLUMNS) {
        MegaFunction function = linear ? MEGA_FUNCTION_LINEAR : e->function;
        const float *bias = e->bias + (ptrdiff_t)row * e->bias_step + (ptrdiff_t)column;
        if (columns == TILE_COLUMNS) {
            activate_tile(function, sums, rows, y, target->ldy, bias, e);
            return;
        }
        if (e->bias_step == 0) {
            activate_part(function, sums, rows, columns, y, target->ldy, bias, e);
            return;
        }
    }
    MegaEpilogue part = mega_epilogue_at(e, row, column);
    finish(sums, ld_sums, rows, columns, y, target->ldy, &part);
}

/* Stores a tile: directly from registers if the sums are only added, otherwise through a buffer
 * that stays in the first-level cache. Rows of `sum` are `stride` vectors apart. */
INLINE void store_sums(const Target *target, const Place at, const V *sum, const size_t stride,
                       const int rows, const int panels)
{
    const size_t row = at.row, column = at.column, columns = at.columns;
    const int vectors = panels * PANEL_VECTORS;
    if (target->direct && columns >= (size_t)panels * MEGA_PANEL) {
        float *y = target->y + row * target->ldy + column;
        const float *bias = target->epilogue->bias ? target->epilogue->bias + column : NULL;
        bool add = target->epilogue->addend;
        UNROLL(12)
        for (int r = 0; r < rows; r++, y += target->ldy)
            UNROLL(8)
            for (int v = 0; v < vectors; v++) {
                V all = sum[(size_t)r * stride + v];
                all = add ? load(y + v * LANES) + all : all;
                store(y + v * LANES, bias ? all + load(bias + v * LANES) : all);
            }
        return;
    }
    float sums[MOST_SUMS];
    UNROLL(12)
    for (int r = 0; r < rows; r++)
        UNROLL(8)
        for (int v = 0; v < vectors; v++)
            store(sums + (r * vectors + v) * LANES, sum[(size_t)r * stride + v]);
    store_tile(target, sums, (size_t)panels * MEGA_PANEL, (size_t)rows,
               columns < (size_t)panels * MEGA_PANEL ? columns : (size_t)panels * MEGA_PANEL, row,
               column);
}
