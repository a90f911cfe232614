/*
 * matmul.c - see matmul.h.
 */
#include "src/kernels/matmul.h"

#include "src/base/checked.h"
#include "src/kernels/forms.h"

/* Returns the blocks of a row of `in` numbers. */
static size_t blocks_of(size_t in)
{
    return mega_pieces(in, MEGA_SCALE_BLOCK);
}

/* Returns blocks first ... first + count - 1 of every row of the weights. */
static MegaInt8Panels int8_panels(const MegaPacked *weight, size_t first, size_t count)
{
    const size_t block = (size_t)MEGA_PANEL * mega_dtype_traits((int)weight->dtype)->item_size;
    return (MegaInt8Panels){.dtype = weight->dtype,
                            .data = (const char *)weight->panels + first * block,
                            .panel_stride = blocks_of(weight->in) * block, .blocks = count};
}

/* Multiplies rows that a MegaQuantized holds, or a single longer one in pieces: each piece adds its
 * sums to y, and the last one applies the epilogue. */
static void multiply_rows(const MegaKernels *kernels, const MegaPacked *weight, const float *x,
                          size_t ldx, size_t rows, float *y, size_t ldy,
                          const MegaEpilogue *epilogue)
{
    MegaQuantized memory;
    const MegaInt8Rows quantized = {memory.q, memory.scales, memory.sums};
    size_t blocks = blocks_of(weight->in), most = MEGA_QUANTIZED_BLOCKS / rows;
    for (size_t first = 0; first < blocks; first += most) {
        size_t begin = first * MEGA_SCALE_BLOCK, count = mega_min_size(most, blocks - first);
        bool last = first + count == blocks;
        MegaEpilogue piece = last ? *epilogue : (MegaEpilogue){0};
        if (first > 0 || !last) {
            piece.addend = first > 0 ? y : epilogue->addend;
            piece.ld_addend = first > 0 ? ldy : epilogue->ld_addend;
        }
        kernels->integer.quantize(x + begin, ldx, rows,
                                  mega_min_size(count * MEGA_SCALE_BLOCK, weight->in - begin),
                                  &quantized);
        MegaInt8Panels panels = int8_panels(weight, first, count);
        kernels->integer.gemm(&quantized, rows, &panels, y, ldy, weight->out, &piece);
    }
}

static void multiply_quantized(const MegaKernels *kernels, const MegaPacked *weight, const float *x,
                          size_t ldx, size_t rows, float *y, size_t ldy,
                          const MegaEpilogue *epilogue)
{
    size_t most = mega_quantized_rows(weight->in);
    for (size_t row = 0; row < rows; row += most) {
        MegaEpilogue part = mega_epilogue_at(epilogue, row, 0);
        multiply_rows(kernels, weight, x + row * ldx, ldx, mega_min_size(most, rows - row),
                      y + row * ldy, ldy, &part);
    }
}

size_t mega_quantized_rows(size_t in)
{
    size_t blocks = blocks_of(in);
    return blocks < MEGA_QUANTIZED_BLOCKS ? MEGA_QUANTIZED_BLOCKS / blocks : 1;
}

bool mega_quantized_fit(size_t rows, size_t in)
{
    return rows * blocks_of(in) <= MEGA_QUANTIZED_BLOCKS;
}

void mega_quantize_rows(const MegaKernels *kernels, const float *x, size_t ldx, size_t in,
                        size_t first, size_t rows, MegaQuantized *out)
{
    const size_t block = first * blocks_of(in);
    const MegaInt8Rows places = {out->q + block * MEGA_SCALE_BLOCK, out->scales + block,
                                 out->sums + block};
    kernels->integer.quantize(x + first * ldx, ldx, rows, in, &places);
}

void mega_matmul_quantized(const MegaKernels *kernels, const MegaPacked *weight,
                           MegaQuantized *x, size_t rows, float *y, size_t ldy,
                           const MegaEpilogue *epilogue)
{
    const MegaInt8Rows quantized = {x->q, x->scales, x->sums};
    const MegaInt8Panels panels = int8_panels(weight, 0, blocks_of(weight->in));
    kernels->integer.gemm(&quantized, rows, &panels, y, ldy, weight->out, epilogue);
}

void mega_matmul(const MegaKernels *kernels, const MegaPacked *weight, const float *x, size_t ldx,
                 size_t rows, float *y, size_t ldy, const MegaEpilogue *epilogue)
{
    if (mega_dtype_quantized(weight->dtype)) {
        multiply_quantized(kernels, weight, x, ldx, rows, y, ldy, epilogue);
        return;
    }
    MegaPanels panels = {.data = weight->panels, .dtype = weight->dtype,
                         .k = weight->in, .panel_stride = weight->in * MEGA_PANEL,
                         .row_stride = MEGA_PANEL};
    if (kernels->prepare)
        panels.prepared = mega_forms_find(weight->forms, weight->panels);
    kernels->gemm(x, ldx, rows, &panels, y, ldy, weight->out, epilogue);
}
