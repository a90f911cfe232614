/*
 * gemm_tmpl.h - part of body_tmpl.h: matrix products with weights of 32 and 16 bits.
 *
 * A tile multiplies `rows` rows of x by `panels` panels of b and keeps its sums in registers. Both
 * numbers are constants where the tile is inlined. Whatever the tile, each element of y is one
 * chain of multiply-adds over p = 0 ... k - 1. Therefore neither the number of rows nor the cut
 * into tiles changes a result.
 */

/* Prefetch distance in bytes, for each panel, when few rows make the product wait for memory. At
 * five rows it yields a sixth more bandwidth than no prefetching. */
#define AHEAD 1024

/* most floats that the sums of any tile take */
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

/* Where a product's tiles are stored. */
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

/* Activates a tile that sticks out of the matrix in place, then stores the columns that exist. */
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

/* Stores, or adds to y, those columns of a tile that exist. */
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
INLINE void store_sums(const Target *target, const V *sum, const size_t stride, const int rows,
                       const int panels, size_t columns, size_t row, size_t column)
{
    const int vectors = panels * PANEL_VECTORS;
    if (target->direct && columns >= (size_t)panels * MEGA_PANEL) {
        float *y = target->y + row * target->ldy + column;
        const float *bias = target->epilogue->bias ? target->epilogue->bias + column : NULL;
        bool add = target->epilogue->addend;
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++, y += target->ldy)
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++) {
                V all = sum[(size_t)r * stride + v];
                all = add ? load(y + v * LANES) + all : all;
                store(y + v * LANES, bias ? all + load(bias + v * LANES) : all);
            }
        return;
    }
    float sums[MOST_SUMS];
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            store(sums + (r * vectors + v) * LANES, sum[(size_t)r * stride + v]);
    store_tile(target, sums, (size_t)panels * MEGA_PANEL, (size_t)rows,
               columns < (size_t)panels * MEGA_PANEL ? columns : (size_t)panels * MEGA_PANEL, row,
               column);
}

/* What a tile prefetches. A product with a single row of tiles fetches its own weights AHEAD of
 * their use. With more, the second row fetches the weights of the next group of panels, which are
 * then likely to stay in the cache; the others fetch nothing, since their weights are there
 * already. */
typedef enum Fetch { FETCH_AHEAD, FETCH_NEXT, FETCH_NOTHING } Fetch;

INLINE void gemm_tile(const float *x, size_t ldx, const MegaPanels *b, size_t k, Fetch fetch,
                      const Target *target, size_t row, size_t column, size_t columns,
                      const MegaDtype kind, const int rows, const int panels)
{
    V sum[TILE_ROWS][MOST_PANELS * PANEL_VECTORS] = {{{0}}};
    size_t ld = b->row_stride, stride = b->panel_stride, index = column / MEGA_PANEL * stride;
    x += row * ldx;
    for (size_t p = 0; p < k; p++, index += ld) {
        V weights[MOST_PANELS * PANEL_VECTORS];
        if (fetch == FETCH_AHEAD)
            for (int n = 0; n < panels; n++)
                __builtin_prefetch((const char *)b->data +
                                   (index + (size_t)n * stride) * weight_bytes(kind) + AHEAD);
        else if (fetch == FETCH_NEXT)
            for (int n = panels; n < 2 * panels; n++)
                __builtin_prefetch((const char *)b->data +
                                   (index + (size_t)n * stride) * weight_bytes(kind), 0, 2);
#pragma GCC unroll 16
        for (int v = 0; v < panels * PANEL_VECTORS; v++)
            weights[v] = load_weights(b->data, index + (size_t)(v / PANEL_VECTORS) * stride +
                                                   (size_t)(v % PANEL_VECTORS) * LANES, kind);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            V factor = splat(x[(size_t)r * ldx + p]);
#pragma GCC unroll 16
            for (int v = 0; v < panels * PANEL_VECTORS; v++)
                sum[r][v] = multiply_add(factor, weights[v], sum[r][v]);
        }
    }
    store_sums(target, sum[0], MOST_PANELS * PANEL_VECTORS, rows, panels, columns, row, column);
}

/* Whether the sums of a tile leave enough registers, either for one row of b and one factor of x or
 * for one vector of b and all factors. */
#define FITS(rows, panels)                                                                         \
    ((panels) <= MOST_PANELS &&                                                                    \
     (rows) * PANEL_VECTORS * (panels) + 1 +                                                       \
             (PANEL_VECTORS * (panels) < (rows) ? PANEL_VECTORS * (panels) : (rows)) <=            \
         REGISTERS)

/* Multiplies `rows` rows by a group of panels that begins at `column` and has `columns` columns. */
INLINE void gemm_rows(const float *x, size_t ldx, const MegaPanels *b, size_t k, Fetch fetch,
                      const Target *target, size_t row, size_t column, size_t columns,
                      const MegaDtype kind, const int rows)
{
    /* a power of two, so that tiles fill the group */
    const int panels = FITS(rows, 8) ? 8 : FITS(rows, 4) ? 4 : FITS(rows, 2) ? 2 : 1;
    for (size_t end = column + columns; column < end;) {
        size_t left = end - column;
        /* some columns of the last tile's last panel may not exist */
        const bool whole = panels > 1 && left > (size_t)(panels - 1) * MEGA_PANEL;
        if (whole)
            gemm_tile(x, ldx, b, k, fetch, target, row, column, left, kind, rows, panels);
        else
            gemm_tile(x, ldx, b, k, fetch, target, row, column, left, kind, rows, 1);
        column += (size_t)(whole ? panels : 1) * MEGA_PANEL;
    }
}

/* A group of columns stays in the cache while all rows pass over it. The rows are divided into
 * tiles of nearly equal height: a last tile of one or two rows would take as long as several. */
INLINE void gemm_kind(const float *x, size_t ldx, size_t rows, const MegaPanels *b, size_t k,
                      const Target *target, size_t columns, const MegaDtype kind)
{
    size_t group = (rows < TILE_ROWS ? MOST_PANELS : TILE_PANELS) * MEGA_PANEL;
    for (size_t column = 0; column < columns; column += group) {
        size_t width = columns - column < group ? columns - column : group;
        size_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
        for (size_t tile = 0, row = 0, height; tile < tiles; tile++, row += height) {
            height = (rows - row + tiles - tile - 1) / (tiles - tile);
            Fetch fetch = tiles == 1 ? FETCH_AHEAD : tile == 1 ? FETCH_NEXT : FETCH_NOTHING;
#define GEMM_ROWS(count)                                                                           \
    case count:                                                                                    \
        gemm_rows(x, ldx, b, k, fetch, target, row, column, width, kind, count);                   \
        break
            switch (height) {
#if TILE_ROWS > 6
                GEMM_ROWS(12);
                GEMM_ROWS(11);
                GEMM_ROWS(10);
                GEMM_ROWS(9);
                GEMM_ROWS(8);
                GEMM_ROWS(7);
#endif
#if TILE_ROWS > 3
                GEMM_ROWS(6);
                GEMM_ROWS(5);
                GEMM_ROWS(4);
#endif
                GEMM_ROWS(3);
                GEMM_ROWS(2);
                GEMM_ROWS(1);
            }
#undef GEMM_ROWS
        }
    }
}

static void gemm(const float *x, size_t ldx, size_t rows, const MegaPanels *b, float *y, size_t ldy,
                 size_t columns, const MegaEpilogue *epilogue)
{
    const size_t k = b->k;
    const Target target = make_target(y, ldy, epilogue);
    switch (b->kind) { /* switches here and not in the loops, so that each is specialised */
    case MEGA_F16: gemm_kind(x, ldx, rows, b, k, &target, columns, MEGA_F16); break;
    case MEGA_BF16: gemm_kind(x, ldx, rows, b, k, &target, columns, MEGA_BF16); break;
    default: gemm_kind(x, ldx, rows, b, k, &target, columns, MEGA_F32); break;
    }
}
