/*
 * gemm_tmpl.h - part of body_tmpl.h: matrix products with weights of 32 and 16 bits.
 *
 * A tile multiplies `rows` rows of x by `panels` panels of b and keeps its sums in registers. Both
 * numbers are constants where the tile is inlined. Whatever the tile, each element of y is one
 * chain of multiply-adds over p = 0 ... k - 1. Therefore neither the number of rows nor the cut
 * into tiles changes a result.
 */

INLINE size_t weight_bytes(const MegaDtype dtype)
{
    return dtype == MEGA_F32 ? sizeof(float) : sizeof(uint16_t);
}

/* Says what a tile prefetches. A product with a single row of tiles fetches its own weights AHEAD
 * of their use. With more, the second row fetches the weights of the next group of panels, which
 * are then likely to stay in the cache; the others fetch nothing, since their weights are there
 * already. */
typedef enum Fetch { FETCH_AHEAD, FETCH_NEXT, FETCH_NOTHING } Fetch;

/* A whole product. Functions that are inlined take it apart again, so it costs nothing. */
typedef struct Product {
    const float *x;
    size_t ldx, rows;
    const MegaPanels *b;
    Target target;
} Product;

/* Sums the products of a tile. With `always` it prefetches in every iteration. */
INLINE void sum_products(const Product *product, const Place at, const Fetch fetch,
                         const bool always, const MegaDtype dtype, const int rows,
                         const int panels, V (*sum)[MOST_PANELS * PANEL_VECTORS])
{
    const MegaPanels *b = product->b;
    const size_t ld = b->row_stride, stride = b->panel_stride, ldx = product->ldx, k = b->k;
    const size_t next = fetch == FETCH_NEXT ? (size_t)panels * stride * weight_bytes(dtype) : 0;
    const float *x = product->x + at.row * ldx;
    size_t index = at.column / MEGA_PANEL * stride;
    for (size_t p = 0; p < k; p++, index += ld) {
        V weights[MOST_PANELS * PANEL_VECTORS];
        if (always)
            for (int n = 0; n < panels; n++)
                __builtin_prefetch((const char *)b->data +
                                   (index + (size_t)n * stride) * weight_bytes(dtype) + next, 0, 2);
        else if (fetch == FETCH_AHEAD)
            for (int n = 0; n < panels; n++)
                __builtin_prefetch((const char *)b->data +
                                   (index + (size_t)n * stride) * weight_bytes(dtype) + AHEAD);
        else if (fetch == FETCH_NEXT)
            for (int n = panels; n < 2 * panels; n++)
                __builtin_prefetch((const char *)b->data +
                                   (index + (size_t)n * stride) * weight_bytes(dtype), 0, 2);
        UNROLL(16)
        for (int v = 0; v < panels * PANEL_VECTORS; v++)
            weights[v] = load_weights(b->data, index + (size_t)(v / PANEL_VECTORS) * stride +
                                                   (size_t)(v % PANEL_VECTORS) * LANES, dtype);
        UNROLL(12)
        for (int r = 0; r < rows; r++) {
            V factor = splat(x[(size_t)r * ldx + p]);
            UNROLL(16)
            for (int v = 0; v < panels * PANEL_VECTORS; v++)
                sum[r][v] = multiply_add(factor, weights[v], sum[r][v]);
        }
    }
}

/* Most tiles of a product of many rows have the full height. Their loop prefetches in every
 * iteration, even data that is already cached: a loop without a second branch is predicted to its
 * end. */
INLINE void gemm_tile(const Product *product, const Place at, const Fetch fetch,
                      const MegaDtype dtype, const int rows, const int panels)
{
    V sum[TILE_ROWS][MOST_PANELS * PANEL_VECTORS] = {{{0}}};
    if (rows == TILE_ROWS && dtype == MEGA_F32 && fetch != FETCH_AHEAD)
        sum_products(product, at, fetch, true, dtype, rows, panels, sum);
    else
        sum_products(product, at, fetch, false, dtype, rows, panels, sum);
    store_sums(&product->target, at, sum[0], MOST_PANELS * PANEL_VECTORS, rows, panels);
}

/* Tells whether the sums of a tile leave enough registers, either for one row of b and one factor
 * of x or for one vector of b and all factors. */
#define FITS(rows, panels)                                                                         \
    ((panels) <= MOST_PANELS &&                                                                    \
     (rows) * PANEL_VECTORS * (panels) + 1 +                                                       \
             (PANEL_VECTORS * (panels) < (rows) ? PANEL_VECTORS * (panels) : (rows)) <=            \
         REGISTERS)

/* Multiplies `rows` rows by a group of panels. */
INLINE void gemm_rows(const Product *product, Place at, const Fetch fetch, const MegaDtype dtype,
                      const int rows)
{
    /* a power of two, so that tiles fill the group */
    const int panels = FITS(rows, 8) ? 8 : FITS(rows, 4) ? 4 : FITS(rows, 2) ? 2 : 1;
    for (const size_t end = at.column + at.columns; at.column < end;) {
        at.columns = end - at.column;
        /* some columns of the last tile's last panel may not exist */
        const bool whole = panels > 1 && at.columns > (size_t)(panels - 1) * MEGA_PANEL;
        if (whole)
            gemm_tile(product, at, fetch, dtype, rows, panels);
        else
            gemm_tile(product, at, fetch, dtype, rows, 1);
        at.column += (size_t)(whole ? panels : 1) * MEGA_PANEL;
    }
}

/* A group of columns stays in the cache while all rows pass over it. The rows are divided into
 * tiles of nearly equal height: a last tile of one or two rows would take as long as several. */
INLINE void gemm_dtype(const Product *product, size_t columns, const MegaDtype dtype)
{
    const size_t rows = product->rows;
    size_t group = (rows < TILE_ROWS ? MOST_PANELS : TILE_PANELS) * MEGA_PANEL;
    for (size_t column = 0; column < columns; column += group) {
        size_t width = columns - column < group ? columns - column : group;
        size_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
        for (size_t tile = 0, row = 0, height; tile < tiles; tile++, row += height) {
            height = (rows - row + tiles - tile - 1) / (tiles - tile);
            Fetch fetch = tiles == 1 ? FETCH_AHEAD : tile == 1 ? FETCH_NEXT : FETCH_NOTHING;
#define GEMM_ROWS(count)                                                                           \
    case count:                                                                                    \
        gemm_rows(product, (Place){row, column, width}, fetch, dtype, count);                      \
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
    const Product product = {x, ldx, rows, b, make_target(y, ldy, epilogue)};
    switch (b->dtype) { /* switches here and not in the loops, so that each is specialised */
    case MEGA_F16: gemm_dtype(&product, columns, MEGA_F16); break;
    case MEGA_BF16: gemm_dtype(&product, columns, MEGA_BF16); break;
    default: gemm_dtype(&product, columns, MEGA_F32); break;
    }
}
