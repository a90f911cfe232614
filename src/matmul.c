/*
 * matmul.c - see matmul.h.
 */
#include "matmul.h"

/* A sum runs over so many blocks, then joins the sum of those before. */
#define CHUNK_BLOCKS 32

#define PANEL_BLOCK_BYTES ((size_t)MEGA_PANEL * MEGA_Q8_BYTES)

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t blocks_of(size_t in)
{
    return (size_t)mega_dtype_items(MEGA_Q8, in);
}

/* Elements of rows that blocks `first` ... cover. */
static void quantize_chunk(const MegaKernels *kernels, const float *x, size_t ldx, size_t rows,
                           size_t in, size_t first, int8_t *q, float *scales)
{
    size_t begin = first * MEGA_INT8_BLOCK;
    kernels->quantize(x + begin, ldx, rows, min_size(CHUNK_BLOCKS * MEGA_INT8_BLOCK, in - begin), q,
                      scales);
}

static void multiply_chunk(const MegaKernels *kernels, const MegaPacked *weight, const int8_t *q,
                           const float *scales, size_t rows, size_t first, float *y, size_t ldy,
                           bool add)
{
    size_t blocks = blocks_of(weight->in);
    kernels->gemm_int8(q, scales, rows, min_size(CHUNK_BLOCKS, blocks - first),
                       (const char *)weight->panels + first * PANEL_BLOCK_BYTES,
                       blocks * PANEL_BLOCK_BYTES, y, ldy, weight->out, add || first > 0);
}

static void multiply_int8(const MegaKernels *kernels, const MegaPacked *weight, const float *x,
                          size_t ldx, size_t rows, float *y, size_t ldy, bool add)
{
    int8_t q[MEGA_QUANTIZED_ROWS * CHUNK_BLOCKS * MEGA_INT8_BLOCK];
    float scales[MEGA_QUANTIZED_ROWS * CHUNK_BLOCKS];
    for (size_t row = 0; row < rows; row += MEGA_QUANTIZED_ROWS)
        for (size_t b = 0; b < blocks_of(weight->in); b += CHUNK_BLOCKS) {
            size_t count = min_size(MEGA_QUANTIZED_ROWS, rows - row);
            quantize_chunk(kernels, x + row * ldx, ldx, count, weight->in, b, q, scales);
            multiply_chunk(kernels, weight, q, scales, count, b, y + row * ldy, ldy, add);
        }
}

bool mega_quantize_rows(const MegaKernels *kernels, const float *x, size_t ldx, size_t rows,
                        size_t in, MegaQuantized *out)
{
    if (rows > MEGA_QUANTIZED_ROWS || rows * blocks_of(in) > MEGA_QUANTIZED_BLOCKS)
        return false;
    for (size_t b = 0; b < blocks_of(in); b += CHUNK_BLOCKS)
        quantize_chunk(kernels, x, ldx, rows, in, b, out->q + rows * b * MEGA_INT8_BLOCK,
                       out->scales + rows * b);
    return true;
}

void mega_matmul_quantized(const MegaKernels *kernels, const MegaPacked *weight,
                           const MegaQuantized *x, size_t rows, float *y, size_t ldy, bool add)
{
    for (size_t b = 0; b < blocks_of(weight->in); b += CHUNK_BLOCKS)
        multiply_chunk(kernels, weight, x->q + rows * b * MEGA_INT8_BLOCK, x->scales + rows * b,
                       rows, b, y, ldy, add);
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
