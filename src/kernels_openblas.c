/*
 * kernels_openblas.c - the best tier of this machine with its float products replaced by OpenBLAS.
 *
 * OpenBLAS wants rows of a whole matrix, so panels are copied into such rows on the stack, some
 * columns at a time, which costs one pass over the weights for all rows of x.
 */
#include <pthread.h>
#include <string.h>

#include "gemm.h"
#include "kernels.h"

#define BLOCK_FLOATS 65536 /* of copied weights */

static MegaKernels table;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Rows of panels first ... first + count - 1, for rows `from` ... `from + k - 1`, to out
 * [k][count * MEGA_PANEL] */
static void copy_panels(const MegaPanels *b, size_t first, size_t count, size_t from, size_t k,
                        float *out)
{
    size_t item = mega_dtype_traits((int)b->kind)->item_size;
    for (size_t p = from; p < from + k; p++)
        for (size_t n = first; n < first + count; n++, out += MEGA_PANEL)
            mega_dtype_to_f32(b->kind,
                              (const char *)b->data +
                                  (n * b->panel_stride + p * b->row_stride) * item,
                              MEGA_PANEL, out);
}

static void gemm(const float *x, size_t ldx, size_t rows, const MegaPanels *b, size_t k, float *y,
                 size_t ldy, size_t columns, bool add)
{
    enum { MOST_ROWS = BLOCK_FLOATS / MEGA_PANEL };
    float weights[BLOCK_FLOATS];
    size_t panels = (columns + MEGA_PANEL - 1) / MEGA_PANEL;
    for (size_t from = 0; from < k; from += MOST_ROWS) {
        size_t part = k - from < MOST_ROWS ? k - from : MOST_ROWS;
        size_t most = BLOCK_FLOATS / (part * MEGA_PANEL);
        for (size_t first = 0; first < panels; first += most) {
            size_t count = panels - first < most ? panels - first : most;
            size_t begin = first * MEGA_PANEL, width = count * MEGA_PANEL;
            copy_panels(b, first, count, from, part, weights);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows,
                        (int)(columns - begin < width ? columns - begin : width), (int)part, 1.0f,
                        x + from, (int)ldx, weights, (int)width, add || from > 0 ? 1.0f : 0.0f,
                        y + begin, (int)ldy);
        }
    }
}

static void make_table(void)
{
    table = *mega_kernels();
    table.name = "openblas";
    table.gemm = gemm;
}

const MegaKernels *mega_kernels_openblas(void)
{
    pthread_once(&once, make_table);
    return &table;
}
