/*
 * matmul.c - see matmul.h.
 */
#include "matmul.h"

/* A product of 8 bits quantizes so much of x at once, on the stack. */
#define CHUNK_ROWS 16
#define CHUNK_BLOCKS 32

#define PANEL_BLOCK_BYTES ((size_t)MEGA_PANEL * MEGA_Q8_BYTES)

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void multiply_int8(const MegaKernels *kernels, const MegaPacked *weight, const float *x,
                          size_t ldx, size_t rows, float *y, size_t ldy, bool add)
{
    int8_t q[CHUNK_ROWS * CHUNK_BLOCKS * MEGA_INT8_BLOCK];
    float scales[CHUNK_ROWS * CHUNK_BLOCKS];
    size_t blocks = (size_t)mega_dtype_items(MEGA_Q8, weight->in);
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
    if (weight->kind == MEGA_Q8) {
        multiply_int8(kernels, weight, x, ldx, rows, y, ldy, add);
        return;
    }
    MegaPanels panels = {.data = weight->panels, .kind = weight->kind,
                         .panel_stride = weight->in * MEGA_PANEL, .row_stride = MEGA_PANEL};
    kernels->gemm(x, ldx, rows, &panels, weight->in, y, ldy, weight->out, add);
}
