/*
 * amx_tmpl.h - matrix products in a tile unit, Intel's AMX. x86/amx.c includes it with the
 * processor's instructions, and tests/unit/tiers.c with the same instructions written in C
 * (tests/unit/tile_unit.h), so that it is tested on every machine.
 *
 * The unit has eight tiles of 16 rows of 64 bytes. An instruction multiplies a tile of 16 rows of x
 * by a tile of weights of 16 columns, which is a panel, and adds the products to a tile of sums. It
 * takes 64 bytes along k, or 32 numbers in bf16. Whoever includes this file defines
 *
 *   VECTOR_BYTES               the width of a vector
 *   KERNELS                    the name of the table
 *   REST                       the tier that multiplies what does not pay here (MegaKernels)
 *   REST_INTEGER               the same for integers (MegaIntegerKernels)
 *   TILE_CONFIGURE(TileConfig *), TILE_RELEASE(), TILE_ZERO(tile), TILE_LOAD(tile, from, step),
 *   TILE_STORE(tile, to, step), TILE_MULTIPLY_BYTES(sums, x, w), TILE_MULTIPLY_BF16(sums, x, w)
 *
 * Floats are split into two numbers of bf16 each, x = xh + xl and w = wh + wl, and
 *
 *   x w = xh wl + xh wh + xl wh        with sums in float32
 *
 * What this leaves out, and the rounding of xl and wl, are at most 2^-15 of x w together. Weights
 * in bf16 have no wl. The sums of a row are made in an order that depends on k alone, STEP numbers
 * at a time: neither the number of rows nor the cut into blocks changes a result. A row of x or a
 * column of weights with a number that is not finite makes all its sums NaN.
 */
#include "src/kernels/kernels.h"
#include "src/kernels/vectors_tmpl.h"
#include "src/kernels/tile_tmpl.h"

#define TILE_ROWS_OF_X 16
#define STEP 32 /* numbers along k that one instruction multiplies; of bytes, one block */

/* Products that are shorter along k would spend most of an instruction on zeros, so they do without
 * tiles. A product over positions always uses tiles, since its k grows from call to call and its
 * bits must not change with it. */
#define LEAST_K 16

INLINE bool is_short(const MegaPanels *b)
{
    return b->k < LEAST_K && !b->positions;
}

/* The 64-byte tile configuration that LDTILECFG loads. */
typedef struct TileConfig {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} TileConfig;

_Static_assert(sizeof(TileConfig) == 64, "the processor reads 64 bytes");

typedef uint32_t U __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t Tile[TILE_ROWS_OF_X][MEGA_PANEL];

/* ---- Floats, as pairs of bf16 ---------------------------------------------------------------- */

/* Rows of x are split as they arrive, as many at once as X_TILES can hold, and at most MOST_ROWS.
 * They then meet the weights of GROUP panels, BLOCK_STEPS steps at a time, which stay in the
 * first-level cache. Weights of a model were split when the session opened; others, such as keys
 * and values, are split here. */
#define X_TILES 256
#define MOST_ROWS 128
#define MOST_STEPS (X_TILES / 2) /* steps of 16 rows that X_TILES holds */
#define GROUP 2
#define BLOCK_STEPS 8

_Static_assert(MOST_STEPS % BLOCK_STEPS == 0, "a block of weights lies in one piece of x");

/* Says which factors are split into two numbers of bf16: none, x, or x and the weights. */
typedef enum Split { SPLIT_NONE, SPLIT_X, SPLIT_BOTH } Split;

typedef struct FloatProduct {
    const float *x;
    size_t ldx;
    const MegaPanels *b;
    Target target;
    Split split;
    size_t steps; /* number of steps of the whole product */
    size_t held;  /* how many of these steps x_tiles holds at a time */
    Tile *x_tiles; /* [rows / 16][held][high, low] */
    Tile *w_tiles; /* [panels][w_steps][high, low] */
    size_t w_steps;
    float *sums; /* [rows][columns of a group] */
} FloatProduct;

/* Adds half of the last place of a bf16, so that the upper half of the bits is v rounded to
 * nearest. What this would make infinite, and what is not finite, is cut off instead. */
INLINE I round_up(V v)
{
    I magnitude = (I)v & 0x7fffffff;
    return (I)v + ((I)(magnitude < 0x7f7f8000) & 0x8000);
}

/* Returns the upper halves of a's lanes as the lower halves of the result, with those of b above
 * them. */
INLINE I upper_halves(I a, I b)
{
    return (I)((U)a >> 16) | (b & ~0xffff);
}

/* Splits two vectors. A lane of *high and *low holds a pair: of a in its lower half, of b above. */
INLINE void split_pair(V a, V b, uint32_t *high, uint32_t *low, const bool has_low)
{
    const I high_a = round_up(a), high_b = round_up(b), pair = upper_halves(high_a, high_b);
    memcpy(high, &pair, sizeof pair);
    if (!has_low)
        return;
    const I rest = upper_halves(round_up(a - (V)(high_a & ~0xffff)),
                                round_up(b - (V)(high_b & ~0xffff)));
    memcpy(low, &rest, sizeof rest);
}

/* Loads a vector of a row of n numbers, from number i on. Numbers past the end of the row are 0. */
INLINE V load_within(const float *row, size_t i, size_t n)
{
    if (i + LANES <= n)
        return load(row + i);
    return i < n ? load_part(row + i, n - i) : (V){0};
}

/* Splits `rows` rows of x from step `first` on. Number j of a step is paired with number j + 16,
 * which needs no permutation, and weights are paired alike. Rows and numbers that do not exist
 * are 0. */
static void split_rows(const FloatProduct *product, size_t row, size_t rows, size_t first)
{
    const size_t left = product->steps - first;
    const size_t steps = left < product->held ? left : product->held;
    const size_t all = (rows + TILE_ROWS_OF_X - 1) / TILE_ROWS_OF_X * TILE_ROWS_OF_X;
    for (size_t r = 0; r < all; r++) {
        const float *x = product->x + (r < rows ? row + r : row) * product->ldx;
        const size_t n = r < rows ? product->b->k : 0;
        for (size_t s = 0; s < steps; s++) {
            Tile *tiles = product->x_tiles + (r / TILE_ROWS_OF_X * product->held + s) * 2;
            uint32_t *high = tiles[0][r % TILE_ROWS_OF_X], *low = tiles[1][r % TILE_ROWS_OF_X];
            for (size_t j = 0, at = (first + s) * STEP; j < STEP / 2; j += LANES)
                split_pair(load_within(x, at + j, n), load_within(x, at + STEP / 2 + j, n),
                           high + j, low + j, product->split != SPLIT_NONE);
        }
    }
}

/* Loads row p of a panel from `lane` on. Rows past the end of the matrix are 0. */
INLINE V weights_at(const MegaPanels *b, size_t panel, size_t p, size_t lane, const MegaDtype dtype)
{
    if (p >= b->k)
        return (V){0};
    return load_weights(b->data, panel * b->panel_stride + p * b->row_stride + lane, dtype);
}

/* Splits steps `first` ... first + steps - 1 of some panels into w_tiles, as split_rows does with
 * x. dtype is a constant where this is inlined. */
INLINE void split_panels(const FloatProduct *product, size_t panel, size_t panels, size_t first,
                         size_t steps, const MegaDtype dtype)
{
    for (size_t n = 0; n < panels; n++)
        for (size_t s = 0; s < steps; s++) {
            Tile *tiles = product->w_tiles + (n * product->w_steps + s) * 2;
            for (size_t j = 0, p = (first + s) * STEP; j < STEP / 2; j++, p++)
                for (size_t lane = 0; lane < MEGA_PANEL; lane += LANES)
                    split_pair(weights_at(product->b, panel + n, p, lane, dtype),
                               weights_at(product->b, panel + n, p + STEP / 2, lane, dtype),
                               tiles[0][j] + lane, tiles[1][j] + lane,
                               product->split == SPLIT_BOTH);
        }
}

static void split_weights(const FloatProduct *product, size_t panel, size_t panels, size_t first,
                          size_t steps)
{
    switch (product->b->dtype) {
    case MEGA_F16: split_panels(product, panel, panels, first, steps, MEGA_F16); break;
    case MEGA_BF16: split_panels(product, panel, panels, first, steps, MEGA_BF16); break;
    default: split_panels(product, panel, panels, first, steps, MEGA_F32); break;
    }
}

/* MegaKernels.prepare: splits a whole matrix, once for all products (src/kernels/forms.h). */
static void prepare(const MegaPacked *weight, void *out)
{
    const MegaPanels b = {.data = weight->panels, .dtype = weight->dtype, .k = weight->in,
                          .panel_stride = weight->in * MEGA_PANEL, .row_stride = MEGA_PANEL};
    const size_t steps = (b.k + STEP - 1) / STEP;
    const FloatProduct product = {.b = &b, .split = SPLIT_BOTH, .w_tiles = out, .w_steps = steps};
    split_weights(&product, 0, (weight->out + MEGA_PANEL - 1) / MEGA_PANEL, 0, steps);
}

/* Expands DO(tile register of the sums, of x, of the weights, tile of x, panel) for every tile of
 * sums. Two tiles of x (registers 4 and 5) and two panels (6 and 7) make four; at the edges of the
 * product there are fewer. */
#define EACH_SUM(DO)                                                                               \
    DO(0, 4, 6, 0, 0);                                                                             \
    if (panels > 1)                                                                                \
        DO(1, 4, 7, 0, 1);                                                                         \
    if (tiles > 1)                                                                                 \
        DO(2, 5, 6, 1, 0);                                                                         \
    if (tiles > 1 && panels > 1)                                                                   \
        DO(3, 5, 7, 1, 1)
#define ZERO_SUM(sum, x, w, tile, panel) TILE_ZERO(sum)
#define SUM_AT(tile, panel) (sums + (tile)*TILE_ROWS_OF_X * ld + (panel)*MEGA_PANEL)
#define LOAD_SUM(sum, x, w, tile, panel)                                                           \
    TILE_LOAD(sum, SUM_AT(tile, panel), ld * sizeof(float))
#define STORE_SUM(sum, x, w, tile, panel)                                                          \
    TILE_STORE(sum, SUM_AT(tile, panel), ld * sizeof(float))
#define ADD_PRODUCTS(sum, x, w, tile, panel) TILE_MULTIPLY_BF16(sum, x, w)

/* A block of the split weights of some panels. */
typedef struct WeightBlock {
    const Tile *tiles;     /* [panels][w_steps][high, low] */
    size_t w_steps, steps; /* steps from panel to panel, and how many of them belong to the block */
} WeightBlock;

/* Adds the products of `tiles` tiles of rows, from `x` on, and a block of weights to `sums`, or
 * with `begins` stores them there. */
INLINE void multiply_block(const FloatProduct *product, const Tile *x, const WeightBlock *block,
                           float *sums, const bool begins, const int tiles, const int panels)
{
    const size_t ld = (size_t)panels * MEGA_PANEL, other = 2 * product->held;
    const size_t other_panel = 2 * block->w_steps;
    const Tile *w = block->tiles;
    if (begins) {
        EACH_SUM(ZERO_SUM);
    } else {
        EACH_SUM(LOAD_SUM);
    }
    for (size_t s = 0; s < block->steps; s++, x += 2, w += 2) {
        TILE_LOAD(4, x[0], sizeof x[0][0]);
        if (tiles > 1)
            TILE_LOAD(5, x[other], sizeof x[0][0]);
        if (product->split == SPLIT_BOTH) {
            TILE_LOAD(6, w[1], sizeof w[0][0]);
            if (panels > 1)
                TILE_LOAD(7, w[other_panel + 1], sizeof w[0][0]);
            EACH_SUM(ADD_PRODUCTS);
        }
        TILE_LOAD(6, w[0], sizeof w[0][0]);
        if (panels > 1)
            TILE_LOAD(7, w[other_panel], sizeof w[0][0]);
        EACH_SUM(ADD_PRODUCTS);
        if (product->split == SPLIT_NONE)
            continue;
        TILE_LOAD(4, x[1], sizeof x[0][0]);
        if (tiles > 1)
            TILE_LOAD(5, x[other + 1], sizeof x[0][0]);
        EACH_SUM(ADD_PRODUCTS);
    }
    EACH_SUM(STORE_SUM);
}

static void multiply_tiles(const FloatProduct *product, size_t rows, size_t panels, size_t first,
                           const WeightBlock *block)
{
    const size_t tiles = (rows + TILE_ROWS_OF_X - 1) / TILE_ROWS_OF_X, at = first % product->held;
    const bool begins = first == 0;
    for (size_t tile = 0; tile < tiles; tile += 2) {
        const Tile *x = (const Tile *)product->x_tiles + (tile * product->held + at) * 2;
        float *sums = product->sums + tile * TILE_ROWS_OF_X * panels * MEGA_PANEL;
        if (panels > 1 && tile + 1 < tiles)
            multiply_block(product, x, block, sums, begins, 2, 2);
        else if (panels > 1)
            multiply_block(product, x, block, sums, begins, 1, 2);
        else if (tile + 1 < tiles)
            multiply_block(product, x, block, sums, begins, 2, 1);
        else
            multiply_block(product, x, block, sums, begins, 1, 1);
    }
}

/* Returns a block of the prepared weights, or splits it if there are none. */
static WeightBlock weight_block(const FloatProduct *product, size_t panel, size_t panels,
                                size_t first, size_t steps)
{
    const Tile *prepared = product->b->prepared;
    if (prepared)
        return (WeightBlock){prepared + (panel * product->steps + first) * 2, product->steps,
                             steps};
    split_weights(product, panel, panels, first, steps);
    return (WeightBlock){(const Tile *)product->w_tiles, product->w_steps, steps};
}

/* Multiplies rows row ... row + rows - 1 by all panels. */
static void multiply_rows(const FloatProduct *product, size_t row, size_t rows, size_t columns)
{
    const bool whole = product->held == product->steps;
    for (size_t column = 0; column < columns; column += GROUP * MEGA_PANEL) {
        const size_t left = columns - column, panels = left > MEGA_PANEL ? GROUP : 1;
        const size_t width = left < panels * MEGA_PANEL ? left : panels * MEGA_PANEL;
        for (size_t first = 0, steps; first < product->steps; first += steps) {
            steps = product->steps - first;
            steps = steps < BLOCK_STEPS ? steps : BLOCK_STEPS;
            if (first % product->held == 0 && (column == 0 || !whole))
                split_rows(product, row, rows, first);
            const WeightBlock block =
                weight_block(product, column / MEGA_PANEL, panels, first, steps);
            multiply_tiles(product, rows, panels, first, &block);
        }
        store_tile(&product->target, product->sums, panels * MEGA_PANEL, rows, width, row, column);
    }
}

INLINE TileConfig make_config(void)
{
    TileConfig config = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) {
        config.rows[tile] = TILE_ROWS_OF_X;
        config.row_bytes[tile] = sizeof(Tile) / TILE_ROWS_OF_X;
    }
    return config;
}

static void multiply_floats(FloatProduct *product, size_t rows, size_t columns)
{
    _Alignas(64) Tile x_tiles[X_TILES], w_tiles[BLOCK_STEPS * GROUP * 2];
    _Alignas(64) float sums[MOST_ROWS * GROUP * MEGA_PANEL];
    TileConfig config = make_config();
    const size_t steps = (product->b->k + STEP - 1) / STEP;
    product->steps = steps;
    product->held = steps < MOST_STEPS ? steps : MOST_STEPS;
    product->x_tiles = x_tiles;
    product->w_tiles = w_tiles;
    product->w_steps = BLOCK_STEPS;
    product->sums = sums;
    size_t most = MOST_STEPS / product->held * TILE_ROWS_OF_X;
    most = most < MOST_ROWS ? most : MOST_ROWS;
    TILE_CONFIGURE(&config);
    for (size_t row = 0; row < rows; row += most)
        multiply_rows(product, row, rows - row < most ? rows - row : most, columns);
    TILE_RELEASE();
}

static void gemm_split(const float *x, size_t ldx, size_t rows, const MegaPanels *b, float *y,
                       size_t ldy, size_t columns, const MegaEpilogue *epilogue)
{
    FloatProduct product = {.x = x, .ldx = ldx, .b = b, .target = make_target(y, ldy, epilogue),
                            .split = b->dtype == MEGA_BF16 ? SPLIT_X : SPLIT_BOTH};
    if (is_short(b))
        REST.gemm(x, ldx, rows, b, y, ldy, columns, epilogue);
    else
        multiply_floats(&product, rows, columns);
}

static void gemm_rounded(const float *x, size_t ldx, size_t rows, const MegaPanels *b, float *y,
                         size_t ldy, size_t columns, const MegaEpilogue *epilogue)
{
    FloatProduct product = {.x = x, .ldx = ldx, .b = b, .target = make_target(y, ldy, epilogue),
                            .split = SPLIT_NONE};
    if (is_short(b))
        REST.gemm(x, ldx, rows, b, y, ldy, columns, epilogue);
    else
        multiply_floats(&product, rows, columns);
}

/* ---- Integers -------------------------------------------------------------------------------- */

/* Fewer rows go to the tier without tiles, which is faster and gives the same bits. */
#define LEAST_ROWS 12
#define SCALE_BYTES (MEGA_PANEL * 2)
#define QUAD_BYTES (MEGA_PANEL * 4)
#define QUADS (MEGA_SCALE_BLOCK / 4)
#define BLOCKS_AT_ONCE 4 /* the number of tiles of sums that are computed at the same time */

_Static_assert(MEGA_SCALE_BLOCK == STEP, "the sums of a block are exact, then scaled");

typedef struct IntegerTiles {
    const MegaInt8Rows *x;
    const MegaInt8Panels *b;
    Target target;
    size_t row, rows; /* those of one tile of x; rows is at most 16 */
} IntegerTiles;

typedef int8_t Bytes __attribute__((vector_size(VECTOR_BYTES)));

/* Returns the weights of a block as a tile reads them. Those of 8 bits lie in memory like that;
 * those of 4 are unpacked. */
INLINE const void *block_weights(const char *block, const MegaDtype dtype, Tile out)
{
    if (dtype == MEGA_Q8)
        return block + SCALE_BYTES;
    for (size_t quad = 0; quad < QUADS / 2; quad++)
        for (size_t lane = 0; lane < MEGA_PANEL; lane += LANES) {
            I both;
            memcpy(&both, block + SCALE_BYTES + quad * QUAD_BYTES + lane * 4, sizeof both);
            const Bytes low = (Bytes)(both & 0x0f0f0f0f) - 8;
            const Bytes high = (Bytes)(both >> 4 & 0x0f0f0f0f) - 8;
            memcpy(out[quad] + lane, &low, sizeof low);
            memcpy(out[quad + QUADS / 2] + lane, &high, sizeof high);
        }
    return out;
}

/* Multiplies block b + number of the rows by that of the panel, into exact[number]. The
 * instructions take the numbers of tile registers as constants, so this is a macro. */
#define MULTIPLY_BLOCK(number, sum, x_tile, w_tile)                                                \
    if (count > (number)) {                                                                        \
        TILE_LOAD(x_tile, q + (b + (number)) * MEGA_SCALE_BLOCK, blocks * MEGA_SCALE_BLOCK);       \
        TILE_LOAD(w_tile, block_weights(panel + (b + (number)) * bytes, dtype, unpacked[number]),  \
                  QUAD_BYTES);                                                                     \
        TILE_ZERO(sum);                                                                            \
        TILE_MULTIPLY_BYTES(sum, x_tile, w_tile);                                                  \
        TILE_STORE(sum, exact[number], sizeof exact[0][0]);                                        \
    }

/* Multiplies the rows by the panel that begins at `column`. A row that does not exist reads the
 * scales of the last one. */
INLINE void multiply_panel(const IntegerTiles *tiles, size_t column, size_t columns,
                           const MegaDtype dtype)
{
    const size_t blocks = tiles->b->blocks;
    const size_t bytes = SCALE_BYTES + (dtype == MEGA_Q4 ? QUADS / 2 : QUADS) * QUAD_BYTES;
    const char *panel = (const char *)tiles->b->data + column / MEGA_PANEL * tiles->b->panel_stride;
    const int8_t *q = tiles->x->q + tiles->row * blocks * MEGA_SCALE_BLOCK;
    const float *scales = tiles->x->scales + tiles->row * blocks;
    _Alignas(64) Tile exact[BLOCKS_AT_ONCE] = {{{0}}}, unpacked[BLOCKS_AT_ONCE];
    _Alignas(64) float sums[TILE_ROWS_OF_X * MEGA_PANEL];
    V sum[TILE_ROWS_OF_X][PANEL_VECTORS] = {{{0}}};
    for (size_t b = 0, count; b < blocks; b += count) {
        count = blocks - b < BLOCKS_AT_ONCE ? blocks - b : BLOCKS_AT_ONCE;
        MULTIPLY_BLOCK(0, 0, 4, 5)
        MULTIPLY_BLOCK(1, 1, 6, 7)
        MULTIPLY_BLOCK(2, 2, 4, 5)
        MULTIPLY_BLOCK(3, 3, 6, 7)
        for (size_t i = 0; i < count; i++)
            for (int v = 0; v < PANEL_VECTORS; v++) {
                const V scale = from_bf16(load_half(
                    (const uint16_t *)(const void *)(panel + (b + i) * bytes) + v * LANES));
#pragma GCC unroll 16
                for (size_t r = 0; r < TILE_ROWS_OF_X; r++) {
                    const size_t row = r < tiles->rows ? r : tiles->rows - 1;
                    I total;
                    memcpy(&total, exact[i][r] + v * LANES, sizeof total);
                    sum[r][v] = multiply_add(__builtin_convertvector(total, V),
                                             scales[row * blocks + b + i] * scale, sum[r][v]);
                }
            }
    }
    for (size_t r = 0; r < TILE_ROWS_OF_X; r++)
        for (int v = 0; v < PANEL_VECTORS; v++)
            store(sums + r * MEGA_PANEL + v * LANES, sum[r][v]);
    store_tile(&tiles->target, sums, MEGA_PANEL, tiles->rows,
               columns - column < MEGA_PANEL ? columns - column : MEGA_PANEL, tiles->row, column);
}

/* Configures tiles for that many rows of x: sums in 0 to 3, x in 4 and 6, weights in 5 and 7. */
static void configure_bytes(size_t rows)
{
    TileConfig config = make_config();
    for (int tile = 0; tile < 8; tile++)
        config.rows[tile] = (uint8_t)rows;
    for (int x = 4; x < 8; x += 2) {
        config.row_bytes[x] = MEGA_SCALE_BLOCK;
        config.rows[x + 1] = QUADS;
    }
    TILE_CONFIGURE(&config);
}

static void gemm_bytes(const MegaInt8Rows *x, size_t rows, const MegaInt8Panels *b, float *y,
                       size_t ldy, size_t columns, const MegaEpilogue *epilogue)
{
    IntegerTiles tiles = {.x = x, .b = b, .target = make_target(y, ldy, epilogue)};
    if (rows < LEAST_ROWS) {
        REST_INTEGER.gemm(x, rows, b, y, ldy, columns, epilogue);
        return;
    }
    for (; tiles.row < rows; tiles.row += tiles.rows) {
        const size_t left = rows - tiles.row;
        tiles.rows = left < TILE_ROWS_OF_X ? left : TILE_ROWS_OF_X;
        configure_bytes(tiles.rows);
        for (size_t column = 0; column < columns; column += MEGA_PANEL)
            if (b->dtype == MEGA_Q4)
                multiply_panel(&tiles, column, columns, MEGA_Q4);
            else
                multiply_panel(&tiles, column, columns, MEGA_Q8);
    }
    TILE_RELEASE();
}

const MegaTileKernels KERNELS = {gemm_split, gemm_rounded, prepare, gemm_bytes};
