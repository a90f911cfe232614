/*
 * kernels_gemm.h - part of kernels_body.h: matrix products with weights of 32 and 16 bits.
 *
 * A tile is `rows` rows of x times `panels` panels of b, its sums in registers. Both numbers are
 * constants where the tile is inlined. Whatever the tile, an element is one chain of multiply-adds
 * over p = 0 ... k - 1, so neither the number of rows nor the cut into tiles shows in a result.
 */

#define PANEL_VECTORS (MEGA_PANEL / LANES)

/* Bytes that few rows ask for ahead of their use, of every panel: a sixth more bandwidth at five
 * rows than without. */
#define AHEAD 1024

/* The largest tile. Few rows take several panels at once, so that enough sums are under way to hide
 * the latency of a multiply-add. */
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

/* ---- 16 bits to 32 -------------------------------------------------------------------------- */

typedef uint16_t Half __attribute__((vector_size(VECTOR_BYTES / 2)));

INLINE Half load_half(const uint16_t *p)
{
    Half half;
    memcpy(&half, p, sizeof half);
    return half;
}

/* The compiler's own conversion takes the vector apart. */
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
/* The bits of a half, moved to where a float has them, are 2^-112 times its value; infinities and
 * NaN need the largest exponent. */
INLINE V from_f16(Half half)
{
    I bits = widen(half);
    I magnitude = (bits & 0x7fff) << 13;
    V value = (V)magnitude * 0x1p112f;
    I special = (I)(magnitude >= 0x7c00 << 13) & 0x7f800000;
    return (V)((I)value | special | ((bits & 0x8000) << 16));
}
#endif

INLINE size_t weight_bytes(const MegaDtype kind)
{
    return kind == MEGA_F32 ? sizeof(float) : sizeof(uint16_t);
}

INLINE V load_weights(const void *b, size_t index, const MegaDtype kind)
{
    switch (kind) {
    case MEGA_F16: return from_f16(load_half((const uint16_t *)b + index));
    case MEGA_BF16: return from_bf16(load_half((const uint16_t *)b + index));
    default: return load((const float *)b + index);
    }
}

/* ---- Tiles ---------------------------------------------------------------------------------- */

/* A panel of which fewer columns exist. Not inlined: it would take most of the code. */
static __attribute__((noinline)) void store_columns(float *y, const float *whole, size_t columns,
                                                    bool add)
{
    for (size_t c = 0; c < columns; c++)
        y[c] = add ? y[c] + whole[c] : whole[c];
}

INLINE void store_panel(float *y, const V *sum, size_t columns, bool add)
{
    if (columns >= MEGA_PANEL) {
        for (int v = 0; v < PANEL_VECTORS; v++)
            store(y + v * LANES, add ? load(y + v * LANES) + sum[v] : sum[v]);
        return;
    }
    float whole[MEGA_PANEL];
    for (int v = 0; v < PANEL_VECTORS; v++)
        store(whole + v * LANES, sum[v]);
    store_columns(y, whole, columns, add);
}

INLINE void gemm_tile(const float *x, size_t ldx, const MegaPanels *b, size_t first, size_t k,
                      float *y, size_t ldy, size_t columns, bool add, bool fetch,
                      const MegaDtype kind, const int rows, const int panels)
{
    V sum[TILE_ROWS][MOST_PANELS * PANEL_VECTORS] = {{{0}}};
    size_t index = first * b->panel_stride, ld = b->row_stride, stride = b->panel_stride;
    for (size_t p = 0; p < k; p++, index += ld) {
        V row[MOST_PANELS * PANEL_VECTORS];
        if (rows < TILE_ROWS)
            for (int n = 0; n < panels; n++)
                __builtin_prefetch((const char *)b->data +
                                   (index + (size_t)n * stride) * weight_bytes(kind) + AHEAD);
        else if (fetch)
            for (int n = panels; n < 2 * panels; n++)
                __builtin_prefetch((const char *)b->data +
                                   (index + (size_t)n * stride) * weight_bytes(kind), 0, 2);
#pragma GCC unroll 16
        for (int v = 0; v < panels * PANEL_VECTORS; v++)
            row[v] = load_weights(b->data, index + (size_t)(v / PANEL_VECTORS) * stride +
                                               (size_t)(v % PANEL_VECTORS) * LANES, kind);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            V factor = splat(x[(size_t)r * ldx + p]);
#pragma GCC unroll 16
            for (int v = 0; v < panels * PANEL_VECTORS; v++)
                sum[r][v] += factor * row[v];
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int n = 0; n < panels; n++)
            store_panel(y + (size_t)r * ldy + n * MEGA_PANEL, sum[r] + n * PANEL_VECTORS,
                        columns - (size_t)n * MEGA_PANEL, add);
}

/* Whether a tile's sums leave registers for a row of b and a factor, or for a vector of b and all
 * factors. */
#define FITS(rows, panels)                                                                         \
    ((panels) <= MOST_PANELS &&                                                                    \
     (rows) * PANEL_VECTORS * (panels) + 1 +                                                       \
             (PANEL_VECTORS * (panels) < (rows) ? PANEL_VECTORS * (panels) : (rows)) <=            \
         REGISTERS)

/* `rows` rows times all panels of a group. */
INLINE void gemm_rows(const float *x, size_t ldx, const MegaPanels *b, size_t first, size_t k,
                      float *y, size_t ldy, size_t columns, bool add, bool fetch,
                      const MegaDtype kind, const int rows)
{
    /* a power of two, so that tiles fill a group */
    const int panels = FITS(rows, 8) ? 8 : FITS(rows, 4) ? 4 : FITS(rows, 2) ? 2 : 1;
    size_t left = columns;
    while (left > 0) {
        /* of the last tile's last panel, some columns may not be there */
        const bool whole = panels > 1 && left > (size_t)(panels - 1) * MEGA_PANEL;
        if (whole)
            gemm_tile(x, ldx, b, first, k, y, ldy, left, add, fetch, kind, rows, panels);
        else
            gemm_tile(x, ldx, b, first, k, y, ldy, left, add, fetch, kind, rows, 1);
        size_t done = (size_t)(whole ? panels : 1) * MEGA_PANEL;
        first += done / MEGA_PANEL;
        y += done;
        left -= done < left ? done : left;
    }
}

/* Columns of a group stay in the caches while all rows pass over them. */
INLINE void gemm_kind(const float *x, size_t ldx, size_t rows, const MegaPanels *b, size_t k,
                      float *y, size_t ldy, size_t columns, bool add, const MegaDtype kind)
{
    size_t group = rows < TILE_ROWS ? MOST_PANELS : TILE_PANELS;
    for (size_t first = 0; first * MEGA_PANEL < columns; first += group) {
        size_t left = columns - first * MEGA_PANEL;
        size_t width = left < group * MEGA_PANEL ? left : group * MEGA_PANEL;
        const float *from = x;
        float *to = y + first * MEGA_PANEL;
#define GEMM_ROWS(count)                                                                           \
    gemm_rows(from, ldx, b, first, k, to, ldy, width, add, row == TILE_ROWS, kind, count);         \
    done = count;                                                                                  \
    break
        for (size_t row = 0, done; row < rows; row += done, from += done * ldx, to += done * ldy)
            switch (rows - row) {
#if TILE_ROWS > 3
            default: GEMM_ROWS(TILE_ROWS);
#if TILE_ROWS > 6
            case 11:
            case 10:
            case 9:
            case 8:
            case 7:
            case 6: GEMM_ROWS(6);
#endif
            case 5: GEMM_ROWS(5);
            case 4: GEMM_ROWS(4);
            case 3: GEMM_ROWS(3);
#else
            default: GEMM_ROWS(3);
#endif
            case 2: GEMM_ROWS(2);
            case 1: GEMM_ROWS(1);
            }
#undef GEMM_ROWS
    }
}

static void gemm(const float *x, size_t ldx, size_t rows, const MegaPanels *b, size_t k, float *y,
                 size_t ldy, size_t columns, bool add)
{
    switch (b->kind) { /* outside of the loops, so that each is specialised */
    case MEGA_F16:
        gemm_kind(x, ldx, rows, b, k, y, ldy, columns, add, MEGA_F16);
        break;
    case MEGA_BF16:
        gemm_kind(x, ldx, rows, b, k, y, ldy, columns, add, MEGA_BF16);
        break;
    default: gemm_kind(x, ldx, rows, b, k, y, ldy, columns, add, MEGA_F32); break;
    }
}
