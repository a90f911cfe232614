/*
 * kernels_int8.h - part of kernels_body.h: products of weights and activations of 8 bits.
 *
 * Both are cut into blocks of MEGA_INT8_BLOCK along k, each with a scale; a block's sum is exact
 * in 32 bits and joins a sum of floats, block after block. So an element is the same whatever the
 * number of rows. Layout of the weights: matmul.h.
 */

#define QUADS (MEGA_INT8_BLOCK / 4)
#define SCALE_BYTES (MEGA_PANEL * 2) /* bf16, in front of a block */
#define QUAD_BYTES (MEGA_PANEL * 4)

/* Rows of a tile, limited by the sums in registers. */
#if VECTOR_BYTES == 64
#define INT8_ROWS 8
#elif VECTOR_BYTES == 32 || defined(__aarch64__)
#define INT8_ROWS 4
#else
#define INT8_ROWS 2
#endif

#define OFFSET (-0x7f7f7f80) /* 128 in each byte */

typedef int16_t Words __attribute__((vector_size(VECTOR_BYTES)));
typedef int8_t Bytes __attribute__((vector_size(LANES)));

/* ---- Four products a lane --------------------------------------------------------------------
 *
 * Every lane of w and x holds four numbers -127 ... 127; dot4 adds the sum of their products. With
 * an offset dot4 sums (x + 128) w, and the caller takes 128 w off again.
 */

#if defined(__AVX512VNNI__)
#define DOT4_OFFSET 1
INLINE I dot4(I sum, I w, I x)
{
    return (I)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, (__m512i)w);
}
#elif defined(__AVX2__) && VECTOR_BYTES == 32
#define DOT4_OFFSET 0
/* |x| times w with the sign of x: a pair of products is at most 2 * 127^2, which fits. */
INLINE I dot4(I sum, I w, I x)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8((__m256i)x),
                                         _mm256_sign_epi8((__m256i)w, (__m256i)x));
    return sum + (I)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
#elif defined(__AVX512BW__) && VECTOR_BYTES == 64
#define DOT4_OFFSET 0
/* The same; there is no instruction for the sign, but masks. */
INLINE I dot4(I sum, I w, I x)
{
    __m512i turned = _mm512_mask_sub_epi8((__m512i)w, _mm512_movepi8_mask((__m512i)x),
                                          _mm512_setzero_si512(), (__m512i)w);
    __m512i pairs = _mm512_maddubs_epi16(_mm512_abs_epi8((__m512i)x), turned);
    return sum + (I)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
}
#elif defined(__ARM_FEATURE_DOTPROD)
#define DOT4_OFFSET 0
INLINE I dot4(I sum, I w, I x)
{
    return (I)vdotq_s32((int32x4_t)sum, (int8x16_t)w, (int8x16_t)x);
}
#elif defined(__aarch64__)
#define DOT4_OFFSET 0
INLINE I dot4(I sum, I w, I x)
{
    int16x8_t low = vmull_s8(vget_low_s8((int8x16_t)w), vget_low_s8((int8x16_t)x));
    int16x8_t high = vmull_high_s8((int8x16_t)w, (int8x16_t)x);
    return (I)vpadalq_s16((int32x4_t)sum, vpaddq_s16(low, high));
}
#else
#define DOT4_OFFSET 0
/* Products of words: the even numbers of a lane, then the odd ones. */
INLINE I add_products(I sum, Words a, Words b)
{
    return sum + (I)_mm_madd_epi16((__m128i)a, (__m128i)b);
}

INLINE I dot4(I sum, I w, I x)
{
    sum = add_products(sum, (Words)w << 8 >> 8, (Words)x << 8 >> 8);
    return add_products(sum, (Words)w >> 8, (Words)x >> 8);
}
#endif

/* ---- Quantizing rows ------------------------------------------------------------------------ */

/* 32 numbers, those behind n being 0. The largest magnitude becomes 127. What is too small for
 * the reciprocal of the scale is 0; NaN and infinity end in the scale. */
static float quantize_block(const float *x, size_t n, int8_t *q)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it leaves an integer in the low bits */
    V part[MEGA_INT8_BLOCK / LANES];
    I top = {0};
    int32_t max = 0;
    for (size_t v = 0; v < MEGA_INT8_BLOCK / LANES; v++) {
        size_t done = v * LANES, left = n > done ? n - done : 0;
        part[v] = left >= LANES ? load(x + done) : load_part(x + done, left);
        I magnitude = (I)part[v] & 0x7fffffff; /* ordered like the numbers, NaN at the top */
        I larger = magnitude > top;
        top = (magnitude & larger) | (top & ~larger);
    }
    for (int lane = 0; lane < LANES; lane++)
        max = top[lane] > max ? top[lane] : max;
    float scale;
    memcpy(&scale, &max, sizeof scale);
    if (scale < 1e-30f) {
        memset(q, 0, MEGA_INT8_BLOCK);
        return 0;
    }
    float factor = 127.0f / scale;
    for (size_t v = 0; v < MEGA_INT8_BLOCK / LANES; v++) {
        V shifted = part[v] * factor + round;
        Bytes low = __builtin_convertvector((I)shifted, Bytes);
        memcpy(q + v * LANES, &low, sizeof low);
    }
    return scale * (1.0f / 127.0f);
}

static void quantize(const float *x, size_t ldx, size_t rows, size_t k, int8_t *q, float *scales)
{
    for (size_t row = 0; row < rows; row++, x += ldx)
        for (size_t i = 0; i < k; i += MEGA_INT8_BLOCK, q += MEGA_INT8_BLOCK) {
            size_t left = k - i;
            *scales++ = quantize_block(x + i, left < MEGA_INT8_BLOCK ? left : MEGA_INT8_BLOCK, q);
        }
}

/* ---- Products ------------------------------------------------------------------------------- */

INLINE I load_quad(const int8_t *p)
{
    int32_t quad;
    memcpy(&quad, p, sizeof quad);
#if DOT4_OFFSET
    quad ^= OFFSET;
#endif
    return quad - (I){0};
}

/* `rows` rows times one panel. Few rows have two sums each, exact ones, to hide their latency. */
INLINE void int8_tile(const int8_t *q, const float *scales, size_t blocks, const char *panel,
                      const Target *target, size_t row, size_t column, size_t columns,
                      const int rows)
{
    const int chains = rows * PANEL_VECTORS <= 4 ? 2 : 1;
    V sum[INT8_ROWS][PANEL_VECTORS] = {{{0}}};
    q += row * blocks * MEGA_INT8_BLOCK;
    scales += row * blocks;
    for (size_t b = 0; b < blocks; b++) {
        I total[INT8_ROWS][PANEL_VECTORS][2] = {{{{0}}}}, offset[PANEL_VECTORS] = {{0}};
        const char *weights = panel + SCALE_BYTES;
#pragma GCC unroll 8
        for (int quad = 0; quad < QUADS; quad++, weights += QUAD_BYTES) {
            I w[PANEL_VECTORS];
            for (int v = 0; v < PANEL_VECTORS; v++) {
                memcpy(&w[v], weights + v * VECTOR_BYTES, sizeof w[v]);
                if (DOT4_OFFSET)
                    offset[v] = dot4(offset[v], w[v], OFFSET - (I){0});
            }
            __builtin_prefetch(weights + AHEAD);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                I x = load_quad(q + ((size_t)r * blocks + b) * MEGA_INT8_BLOCK + quad * 4);
                for (int v = 0; v < PANEL_VECTORS; v++)
                    total[r][v][quad % chains] = dot4(total[r][v][quad % chains], w[v], x);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < PANEL_VECTORS; v++) {
                Half scale = load_half((const uint16_t *)(const void *)panel + v * LANES);
                I exact = total[r][v][0] + total[r][v][1] - offset[v];
                sum[r][v] += __builtin_convertvector(exact, V) *
                             (scales[(size_t)r * blocks + b] * from_bf16(scale));
            }
        panel = weights;
    }
    store_sums(target, sum[0], PANEL_VECTORS, rows, 1, columns, row, column);
}

static void gemm_int8(const int8_t *q, const float *scales, size_t rows, size_t blocks,
                      const void *panels, size_t panel_stride, float *y, size_t ldy,
                      size_t columns, const MegaEpilogue *epilogue)
{
    const Target target = make_target(y, ldy, epilogue);
    for (size_t column = 0; column < columns; column += MEGA_PANEL) {
        const char *panel = (const char *)panels + column / MEGA_PANEL * panel_stride;
#define INT8_TILE(count)                                                                           \
    int8_tile(q, scales, blocks, panel, &target, row, column, columns - column, count);            \
    row += count;                                                                                  \
    break
        for (size_t row = 0; row < rows;)
            switch (rows - row) {
#if INT8_ROWS > 4
            default: INT8_TILE(INT8_ROWS);
            case 7: INT8_TILE(7);
            case 6: INT8_TILE(6);
            case 5: INT8_TILE(5);
            case 4: INT8_TILE(4);
            case 3: INT8_TILE(3);
#elif INT8_ROWS > 2
            default: INT8_TILE(INT8_ROWS);
            case 3: INT8_TILE(3);
#else
            default: INT8_TILE(INT8_ROWS);
#endif
            case 2: INT8_TILE(2);
            case 1: INT8_TILE(1);
            }
#undef INT8_TILE
    }
}
