/*
 * matmul.c - see matmul.h.
 */
#include "matmul.h"

#include <string.h>

#include "quantize.h"

/* A product of 8 bits quantizes so much of x at once, on the stack. */
#define CHUNK_ROWS 16
#define CHUNK_BLOCKS 32

#define PANEL_BLOCK_BYTES ((size_t)MEGA_PANEL * (sizeof(uint16_t) + MEGA_INT8_BLOCK))

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static uint64_t blocks_of(uint64_t columns)
{
    return (columns + MEGA_INT8_BLOCK - 1) / MEGA_INT8_BLOCK;
}

uint64_t mega_packed_bytes(MegaWeightKind kind, uint64_t rows, uint64_t columns)
{
    uint64_t panels = (rows + MEGA_PANEL - 1) / MEGA_PANEL;
    switch (kind) {
    case MEGA_WEIGHT_F32: return panels * MEGA_PANEL * columns * sizeof(float);
    case MEGA_WEIGHT_INT8: return panels * blocks_of(columns) * PANEL_BLOCK_BYTES;
    default: return panels * MEGA_PANEL * columns * sizeof(uint16_t);
    }
}

static void pack_floats(float *panels, const float *weight, size_t ld, size_t rows, size_t columns)
{
    for (size_t first = 0; first < rows; first += MEGA_PANEL)
        for (size_t p = 0; p < columns; p++)
            for (size_t c = 0; c < MEGA_PANEL; c++)
                *panels++ = first + c < rows ? weight[(first + c) * ld + p] : 0.0f;
}

static void pack_halves(uint16_t *panels, const uint16_t *weight, size_t ld, size_t rows,
                        size_t columns)
{
    for (size_t first = 0; first < rows; first += MEGA_PANEL)
        for (size_t p = 0; p < columns; p++)
            for (size_t c = 0; c < MEGA_PANEL; c++)
                *panels++ = first + c < rows ? weight[(first + c) * ld + p] : 0;
}

/* A block of a row to column c of its block of the panel. */
static void place_block(unsigned char *panel_block, size_t c, const unsigned char *block)
{
    uint16_t scale = (uint16_t)(block[0] | block[1] << 8);
    memcpy(panel_block + c * sizeof scale, &scale, sizeof scale);
    unsigned char *quads = panel_block + MEGA_PANEL * sizeof scale + c * 4;
    for (size_t i = 0; i < MEGA_INT8_BLOCK; i++)
        quads[i / 4 * MEGA_PANEL * 4 + i % 4] = block[2 + i];
}

/* The panel that holds row `row`, and zeros in the place of rows that the last panel lacks. */
static unsigned char *start_row(unsigned char *panels, size_t row, size_t rows, size_t blocks)
{
    unsigned char *panel = panels + row / MEGA_PANEL * blocks * PANEL_BLOCK_BYTES;
    if (row % MEGA_PANEL == 0 && rows - row < MEGA_PANEL)
        memset(panel, 0, blocks * PANEL_BLOCK_BYTES);
    return panel;
}

void mega_pack_q8_into(void *panels, const unsigned char *blocks, size_t rows, size_t columns)
{
    size_t count = blocks_of(columns);
    for (size_t row = 0; row < rows; row++) {
        unsigned char *panel = start_row(panels, row, rows, count);
        for (size_t b = 0; b < count; b++, blocks += MEGA_Q8_BYTES)
            place_block(panel + b * PANEL_BLOCK_BYTES, row % MEGA_PANEL, blocks);
    }
}

static void pack_quantized(unsigned char *panels, const float *weight, size_t ld, size_t rows,
                           size_t columns)
{
    for (size_t row = 0; row < rows; row++) {
        unsigned char *panel = start_row(panels, row, rows, blocks_of(columns));
        for (size_t i = 0; i < columns; i += MEGA_INT8_BLOCK, panel += PANEL_BLOCK_BYTES) {
            unsigned char block[MEGA_Q8_BYTES];
            mega_q8_from_f32(weight + row * ld + i, min_size(MEGA_INT8_BLOCK, columns - i), block);
            place_block(panel, row % MEGA_PANEL, block);
        }
    }
}

void mega_pack_into(MegaWeightKind kind, void *panels, const void *weight, size_t ld, size_t rows,
                    size_t columns)
{
    if (kind == MEGA_WEIGHT_F32)
        pack_floats(panels, weight, ld, rows, columns);
    else if (kind == MEGA_WEIGHT_INT8)
        pack_quantized(panels, weight, ld, rows, columns);
    else
        pack_halves(panels, weight, ld, rows, columns);
}

void mega_pack(MegaPacked *out, MegaWeightKind kind, const void *weight, size_t ld, size_t rows,
               size_t columns, MegaArena *arena)
{
    uint64_t bytes = mega_packed_bytes(kind, rows, columns);
    float *panels = mega_arena_floats(arena, (bytes + sizeof *panels - 1) / sizeof *panels);
    *out = (MegaPacked){.panels = panels, .kind = kind, .in = columns, .out = rows};
    if (panels)
        mega_pack_into(kind, panels, weight, ld, rows, columns);
}

MegaPacked mega_packed_columns(const MegaPacked *packed, size_t first, size_t count)
{
    MegaPacked part = *packed;
    part.panels = (const char *)packed->panels +
                  mega_packed_bytes(packed->kind, first, packed->in);
    part.out = min_size(count, packed->out - first);
    return part;
}

static void multiply_int8(const MegaKernels *kernels, const MegaPacked *weight, const float *x,
                          size_t ldx, size_t rows, float *y, size_t ldy, bool add)
{
    int8_t q[CHUNK_ROWS * CHUNK_BLOCKS * MEGA_INT8_BLOCK];
    float scales[CHUNK_ROWS * CHUNK_BLOCKS];
    size_t blocks = blocks_of(weight->in);
    for (size_t row = 0; row < rows; row += CHUNK_ROWS)
        for (size_t b = 0; b < blocks; b += CHUNK_BLOCKS) {
            size_t count = min_size(CHUNK_ROWS, rows - row), i = b * MEGA_INT8_BLOCK;
            size_t width = min_size(CHUNK_BLOCKS, blocks - b);
            kernels->quantize(x + row * ldx + i, ldx, count,
                              min_size(CHUNK_BLOCKS * MEGA_INT8_BLOCK, weight->in - i), q, scales);
            kernels->gemm_int8(q, scales, count, width,
                               (const char *)weight->panels + b * PANEL_BLOCK_BYTES,
                               blocks * PANEL_BLOCK_BYTES, y + row * ldy, ldy, weight->out,
                               add || b > 0);
        }
}

void mega_matmul(const MegaKernels *kernels, const MegaPacked *weight, const float *x, size_t ldx,
                 size_t rows, float *y, size_t ldy, bool add)
{
    if (weight->kind == MEGA_WEIGHT_INT8) {
        multiply_int8(kernels, weight, x, ldx, rows, y, ldy, add);
        return;
    }
    MegaPanels panels = {.data = weight->panels, .kind = weight->kind,
                         .panel_stride = weight->in * MEGA_PANEL, .row_stride = MEGA_PANEL};
    kernels->gemm(x, ldx, rows, &panels, weight->in, y, ldy, weight->out, add);
}
