/*
 * int8_tmpl.h - part of body_tmpl.h and integer_tmpl.h: products of 8-bit activations with weights
 * of 8 or 4 bits.
 *
 * Both are cut into blocks of MEGA_SCALE_BLOCK along k, and each block has a scale. The sum over a
 * block is exact in 32 bits; it is then scaled and added to a float sum, block after block.
 * Therefore the number of rows does not change an element. panels.h describes the layout of the
 * weights.
 */

#define QUADS (MEGA_SCALE_BLOCK / 4)
#define SCALE_BYTES (MEGA_PANEL * 2) /* scales of a block, stored as bf16 before it */
#define QUAD_BYTES (MEGA_PANEL * 4)  /* four bytes of every row of a panel */

/* Prefetch distance. The float kernels run 8 panels side by side, each AHEAD bytes ahead; with few
 * rows this kernel runs one panel at a time, so it looks 8 times as far. */
#define INT8_AHEAD (8 * AHEAD)

/* INT8_ROWS and INT8_PANELS are the size of the largest tile, limited by the registers for its
 * sums. Up to INT8_FEW rows are multiplied by one panel at a time, in the order in which panels lie
 * in memory. */
#if VECTOR_BYTES == 64
#define INT8_ROWS 6
#define INT8_PANELS 2
#define INT8_FEW 8
#elif VECTOR_BYTES == 32 || defined(__aarch64__)
#define INT8_ROWS 4
#define INT8_PANELS 1
#define INT8_FEW 4
#else
#define INT8_ROWS 2
#define INT8_PANELS 1
#define INT8_FEW 2
#endif

typedef int16_t Words __attribute__((vector_size(VECTOR_BYTES)));
typedef int8_t Bytes __attribute__((vector_size(LANES)));

/* ---- Four products a lane --------------------------------------------------------------------
 *
 * Every lane of w and x holds four numbers -127 ... 127, and dot4 adds the sum of their products.
 * Some instructions want unsigned weights. They get w + 128, or w + 8 with 4 bits, and a sum starts
 * at -128 or -8 times the sum of x to make up for it.
 *
 * Where dot4 takes several instructions, weights of 4 bits need fewer. They are unsigned, 0 ... 15,
 * and add_pairs adds products of two numbers to sums of 16 bits. Those of a whole block fit: they
 * are at most 8 * 2 * 15 * 128 = 30720. widen_pairs adds up the two sums of a lane. */

#if defined(__AVX512VNNI__)
#define UNSIGNED_WEIGHTS 1
INLINE I dot4(I sum, I w, I x)
{
    return (I)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)x);
}
#elif defined(__AVXVNNI__)
#define UNSIGNED_WEIGHTS 1
INLINE I dot4(I sum, I w, I x)
{
    return (I)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)w, (__m256i)x);
}
#elif defined(__AVX2__) && VECTOR_BYTES == 32
#define UNSIGNED_WEIGHTS 0
/* Multiplies |x| by w with the sign of x. A pair of products is at most 2 * 127^2, so it fits into
 * 16 bits. */
INLINE I dot4(I sum, I w, I x)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8((__m256i)x),
                                         _mm256_sign_epi8((__m256i)w, (__m256i)x));
    return sum + (I)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

#define SUMS_IN_PAIRS 1
INLINE I add_pairs(I sums, I w, I x)
{
    return (I)((Words)sums + (Words)_mm256_maddubs_epi16((__m256i)w, (__m256i)x));
}

INLINE I widen_pairs(I sums)
{
    return (I)_mm256_madd_epi16((__m256i)sums, _mm256_set1_epi16(1));
}
#elif defined(__AVX512BW__) && VECTOR_BYTES == 64
#define UNSIGNED_WEIGHTS 0
/* Does the same as AVX2. AVX-512 has no instruction that copies a sign, so a mask negates w. */
INLINE I dot4(I sum, I w, I x)
{
    __m512i turned = _mm512_mask_sub_epi8((__m512i)w, _mm512_movepi8_mask((__m512i)x),
                                          _mm512_setzero_si512(), (__m512i)w);
    __m512i pairs = _mm512_maddubs_epi16(_mm512_abs_epi8((__m512i)x), turned);
    return sum + (I)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
}

#define SUMS_IN_PAIRS 1
INLINE I add_pairs(I sums, I w, I x)
{
    return (I)((Words)sums + (Words)_mm512_maddubs_epi16((__m512i)w, (__m512i)x));
}

INLINE I widen_pairs(I sums)
{
    return (I)_mm512_madd_epi16((__m512i)sums, _mm512_set1_epi16(1));
}
#elif defined(__ARM_FEATURE_DOTPROD)
#define UNSIGNED_WEIGHTS 0
INLINE I dot4(I sum, I w, I x)
{
    return (I)vdotq_s32((int32x4_t)sum, (int8x16_t)w, (int8x16_t)x);
}
#elif defined(__aarch64__)
#define UNSIGNED_WEIGHTS 0
INLINE I dot4(I sum, I w, I x)
{
    int16x8_t low = vmull_s8(vget_low_s8((int8x16_t)w), vget_low_s8((int8x16_t)x));
    int16x8_t high = vmull_high_s8((int8x16_t)w, (int8x16_t)x);
    return (I)vpadalq_s16((int32x4_t)sum, vpaddq_s16(low, high));
}
#else
#define UNSIGNED_WEIGHTS 0
/* Multiplies 16-bit numbers: the even bytes of a lane in a first call, the odd ones in a second. */
INLINE I add_products(I sum, Words a, Words b)
{
#if defined(__wasm__)
    return sum + (I)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b);
#else
    return sum + (I)_mm_madd_epi16((__m128i)a, (__m128i)b);
#endif
}

INLINE I dot4(I sum, I w, I x)
{
    sum = add_products(sum, (Words)w << 8 >> 8, (Words)x << 8 >> 8);
    return add_products(sum, (Words)w >> 8, (Words)x >> 8);
}
#endif

#ifndef SUMS_IN_PAIRS
#define SUMS_IN_PAIRS 0
INLINE I add_pairs(I sums, I w, I x)
{
    return dot4(sums, w, x);
}

INLINE I widen_pairs(I sums)
{
    return sums;
}
#endif

/* Returns whether the sums of a block with such weights are kept in 16 bits. */
INLINE bool in_pairs(const MegaDtype dtype)
{
    return SUMS_IN_PAIRS && dtype == MEGA_Q4;
}

/* Returns whether such weights are made unsigned, so that sums need offset_of. */
INLINE bool unsigned_weights(const MegaDtype dtype)
{
    return UNSIGNED_WEIGHTS || in_pairs(dtype);
}

INLINE I add_quad(I sum, I w, I x, const MegaDtype dtype)
{
    return in_pairs(dtype) ? add_pairs(sum, w, x) : dot4(sum, w, x);
}

/* ---- Quantizing rows ------------------------------------------------------------------------ */

/* Stores the low byte of each lane. It uses intrinsics, since the compiler's own conversion splits
 * the vector into single lanes. */
INLINE void store_low_bytes(int8_t *q, I bits)
{
#if defined(__AVX512F__)
    _mm_storeu_si128((__m128i *)q, _mm512_cvtepi32_epi8((__m512i)bits));
#elif defined(__AVX2__)
    const __m256i first = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                           -1, 0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                           -1, -1);
    __m256i quads = _mm256_shuffle_epi8((__m256i)bits, first);
    __m128i low = _mm_unpacklo_epi32(_mm256_castsi256_si128(quads),
                                     _mm256_extracti128_si256(quads, 1));
    _mm_storel_epi64((__m128i *)q, low);
#else
    Bytes low = __builtin_convertvector(bits, Bytes);
    memcpy(q, &low, sizeof low);
#endif
}

/* Quantizes a block of 32 numbers, of which those from n on count as 0. The largest magnitude
 * becomes 127. A block that is too small for the reciprocal of its scale becomes 0. NaN and
 * infinities end up in the scale, so that they are not lost. *block_sum receives the sum of q, or 0
 * where no product needs it. */
INLINE void quantize_block(const float *x, size_t n, int8_t *q, float *scale,
                           int32_t *block_sum)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it leaves an integer in the low bits */
    V part[MEGA_SCALE_BLOCK / LANES];
    I top = {0}, sum = {0};
    for (size_t v = 0; v < MEGA_SCALE_BLOCK / LANES; v++) {
        size_t done = v * LANES, left = n > done ? n - done : 0;
        part[v] = left >= LANES ? load(x + done) : load_part(x + done, left);
        I magnitude = (I)part[v] & 0x7fffffff; /* bits order like the numbers, with NaN above all */
        I larger = magnitude > top;
        top = (magnitude & larger) | (top & ~larger);
    }
    const int32_t top_bits = top_integer(top);
    float largest; /* not in *scale, which the compiler would read again after each store to q */
    memcpy(&largest, &top_bits, sizeof largest);
    if (largest < 1e-30f) {
        memset(q, 0, MEGA_SCALE_BLOCK);
        *scale = 0;
        *block_sum = 0;
        return;
    }
    const float factor = 127.0f / largest;
    for (size_t v = 0; v < MEGA_SCALE_BLOCK / LANES; v++) {
        I bits = (I)multiply_add(part[v], splat(factor), splat(round));
        store_low_bytes(q + v * LANES, bits);
        sum += bits << 24 >> 24; /* sums the bytes as stored, even if x was not finite */
    }
    *scale = largest * (1.0f / 127.0f);
    *block_sum = UNSIGNED_WEIGHTS || SUMS_IN_PAIRS ? sum_integers(sum) : 0;
}

static void quantize(const float *x, size_t ldx, size_t rows, size_t k, const MegaInt8Rows *out)
{
    int8_t *q = out->q;
    size_t blocks = (k + MEGA_SCALE_BLOCK - 1) / MEGA_SCALE_BLOCK;
    for (size_t row = 0; row < rows; row++, x += ldx)
        for (size_t b = 0; b < blocks; b++, q += MEGA_SCALE_BLOCK) {
            size_t first = b * MEGA_SCALE_BLOCK, left = k - first, at = row * blocks + b;
            quantize_block(x + first, left < MEGA_SCALE_BLOCK ? left : MEGA_SCALE_BLOCK, q,
                           &out->scales[at], &out->sums[at]);
        }
}

/* ---- Products ------------------------------------------------------------------------------- */

INLINE I splat_bits(int32_t x)
{
    return x - (I){0};
}

/* Loads four bytes of x into every lane. */
INLINE I load_quad(const int8_t *p)
{
    int32_t quad;
    memcpy(&quad, p, sizeof quad);
    return splat_bits(quad);
}

typedef int8_t AllBytes __attribute__((vector_size(VECTOR_BYTES)));

/* Returns quad number `quad` of a panel's block. With 4 bits, quads q and q + QUADS / 2 share their
 * bytes. */
INLINE I load_quad_weights(const char *block, const int quad, const int vector,
                           const MegaDtype dtype)
{
    const int stored = dtype == MEGA_Q4 ? quad % (QUADS / 2) : quad;
    I w;
    memcpy(&w, block + SCALE_BYTES + stored * QUAD_BYTES + vector * VECTOR_BYTES, sizeof w);
    if (dtype == MEGA_Q4) {
        w = (quad < QUADS / 2 ? w : w >> 4) & 0x0f0f0f0f;
        return unsigned_weights(dtype) ? w : (I)((AllBytes)w - 8);
    }
    return unsigned_weights(dtype) ? w ^ splat_bits((int32_t)0x80808080) : w;
}

/* Returns the correction for weights that were taken as unsigned, and so are too large by 128, or
 * by 8 with 4 bits. `sum` is that of a block of x. */
INLINE I offset_of(int32_t sum, const MegaDtype dtype)
{
    return -splat_bits(sum) << (dtype == MEGA_Q4 ? 3 : 7);
}

/* Describes a whole product, like Product in gemm_tmpl.h. */
typedef struct IntegerProduct {
    const MegaInt8Rows *x;
    size_t rows;
    const MegaInt8Panels *b;
    Target target;
} IntegerProduct;

/* Multiplies `rows` rows by `panels` panels. A small tile has too few sums to hide the latency of
 * dot4, so it splits each into two, which are exact and add up to the same. With every block it
 * prefetches the weights `ahead` bytes further on, but only the quads whose bits are set in
 * `fetched`. */
INLINE void int8_tile(const IntegerProduct *product, const Place at, const unsigned fetched,
                      const size_t ahead, const MegaDtype dtype, const int rows, const int panels)
{
    const MegaInt8Rows *x = product->x;
    const size_t blocks = product->b->blocks, stride = product->b->panel_stride;
    const char *weights = (const char *)product->b->data + at.column / MEGA_PANEL * stride;
    const int stored_quads = dtype == MEGA_Q4 ? QUADS / 2 : QUADS;
    const int chains = rows * panels * PANEL_VECTORS <= 4 && !in_pairs(dtype) ? 2 : 1;
    const int8_t *q = x->q + at.row * blocks * MEGA_SCALE_BLOCK;
    const float *scales = x->scales + at.row * blocks;
    const int32_t *sums = x->sums + at.row * blocks;
    const int vectors = panels * PANEL_VECTORS;
    V sum[INT8_FEW][INT8_PANELS * PANEL_VECTORS] = {{{0}}};
    for (size_t b = 0; b < blocks; b++, weights += SCALE_BYTES + stored_quads * QUAD_BYTES) {
        I total[INT8_FEW][INT8_PANELS * PANEL_VECTORS][2] = {{{{0}}}};
        UNROLL(8)
        for (int r = 0; r < rows; r++) {
            const bool begins = unsigned_weights(dtype) && !in_pairs(dtype);
            const I begin = begins ? offset_of(sums[(size_t)r * blocks + b], dtype) : (I){0};
            UNROLL(8)
            for (int v = 0; v < vectors; v++)
                total[r][v][0] = begin;
        }
        UNROLL(8)
        for (int quad = 0; quad < QUADS; quad++) {
            I w[INT8_PANELS * PANEL_VECTORS];
            UNROLL(8)
            for (int v = 0; v < vectors; v++)
                w[v] = load_quad_weights(weights + (size_t)(v / PANEL_VECTORS) * stride, quad,
                                         v % PANEL_VECTORS, dtype);
            for (int n = 0; n < panels && (fetched >> quad & 1) && quad < stored_quads; n++)
                __builtin_prefetch(weights + (size_t)n * stride + (quad + 1) * QUAD_BYTES + ahead);
            UNROLL(8)
            for (int r = 0; r < rows; r++) {
                I four = load_quad(q + ((size_t)r * blocks + b) * MEGA_SCALE_BLOCK + quad * 4);
                UNROLL(8)
                for (int v = 0; v < vectors; v++)
                    total[r][v][quad % chains] =
                        add_quad(total[r][v][quad % chains], w[v], four, dtype);
            }
        }
        UNROLL(8)
        for (int v = 0; v < vectors; v++) {
            V scale = from_bf16(load_half((const uint16_t *)(const void *)(
                weights + (size_t)(v / PANEL_VECTORS) * stride) + v % PANEL_VECTORS * LANES));
            UNROLL(8)
            for (int r = 0; r < rows; r++) {
                I exact = chains > 1 ? total[r][v][0] + total[r][v][1] : total[r][v][0];
                if (in_pairs(dtype))
                    exact = widen_pairs(exact) + offset_of(sums[(size_t)r * blocks + b], dtype);
                sum[r][v] = multiply_add(__builtin_convertvector(exact, V),
                                         scales[(size_t)r * blocks + b] * scale, sum[r][v]);
            }
        }
    }
    store_sums(&product->target, at, sum[0], INT8_PANELS * PANEL_VECTORS, rows, panels);
}

/* Returns the quads of every block that a row of tiles prefetches, as bits. A single row of tiles
 * prefetches its own weights. Of several, all but the first share the weights of the next panels,
 * so that memory has the time of the whole product to deliver them. */
static unsigned share_of_quads(size_t tile, size_t tiles)
{
    const size_t helpers = tiles - 1 < QUADS ? tiles - 1 : QUADS;
    unsigned quads = 0;
    if (tiles == 1)
        return (1u << QUADS) - 1;
    if (tile == 0 || tile > helpers)
        return 0;
    for (size_t quad = tile - 1; quad < QUADS; quad += helpers)
        quads |= 1u << quad;
    return quads;
}

INLINE void gemm_blocks(const IntegerProduct *product, size_t columns, const MegaDtype dtype)
{
    const size_t rows = product->rows;
    const size_t most = rows <= INT8_FEW ? INT8_FEW : INT8_ROWS, tiles = (rows + most - 1) / most;
    const size_t at_once = rows <= INT8_FEW ? 1 : INT8_PANELS;
    const size_t ahead = tiles == 1 ? INT8_AHEAD : at_once * product->b->panel_stride;
    for (size_t column = 0; column < columns; column += at_once * MEGA_PANEL) {
        for (size_t tile = 0, row = 0, height; tile < tiles; tile++, row += height) {
            height = (rows - row + tiles - tile - 1) / (tiles - tile);
            const unsigned fetched = share_of_quads(tile, tiles);
#define INT8_TILE(count, panels)                                                                   \
    int8_tile(product, (Place){row, column, columns - column}, fetched, ahead, dtype, count, panels)
#define INT8_FEW_ROWS(count)                                                                       \
    case count: INT8_TILE(count, 1); break
#define INT8_ROWS_OF(count)                                                                        \
    case count:                                                                                    \
        if (at_once > 1 && columns - column > MEGA_PANEL)                                          \
            INT8_TILE(count, INT8_PANELS);                                                         \
        else                                                                                       \
            INT8_TILE(count, 1);                                                                   \
        break
            switch (height) {
#if INT8_FEW > 4
                INT8_FEW_ROWS(8);
                INT8_FEW_ROWS(7);
                INT8_ROWS_OF(6);
                INT8_ROWS_OF(5);
                INT8_ROWS_OF(4);
                INT8_ROWS_OF(3);
#elif INT8_FEW > 2
                INT8_FEW_ROWS(4);
                INT8_FEW_ROWS(3);
#endif
                INT8_FEW_ROWS(2);
                INT8_FEW_ROWS(1);
            }
#undef INT8_ROWS_OF
#undef INT8_FEW_ROWS
#undef INT8_TILE
        }
    }
}

static void gemm_int8(const MegaInt8Rows *x, size_t rows, const MegaInt8Panels *b, float *y,
                      size_t ldy, size_t columns, const MegaEpilogue *epilogue)
{
    const IntegerProduct product = {x, rows, b, make_target(y, ldy, epilogue)};
    if (b->dtype == MEGA_Q4)
        gemm_blocks(&product, columns, MEGA_Q4);
    else
        gemm_blocks(&product, columns, MEGA_Q8);
}

/* ---- Probe ---------------------------------------------------------------------------------- */

static int32_t probe_integers(size_t rounds, int32_t factors)
{
    I sum[MEGA_PROBE_VECTORS], w[MEGA_PROBE_VECTORS], x = splat_bits(0x01020304);
    for (int v = 0; v < MEGA_PROBE_VECTORS; v++) {
        sum[v] = splat_bits(v);
        w[v] = splat_bits(v * factors);
    }
    for (size_t i = 0; i < rounds; i++, x ^= 1)
        UNROLL(12)
        for (int v = 0; v < MEGA_PROBE_VECTORS; v++)
            sum[v] = dot4(sum[v], w[v], x);
    for (int v = 1; v < MEGA_PROBE_VECTORS; v++)
        sum[0] += sum[v];
    return sum_integers(sum[0]);
}
