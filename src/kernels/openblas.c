/*
 * openblas.c - the machine's best tier with its float products replaced by OpenBLAS.
 *
 * OpenBLAS is loaded only when it is asked for. As soon as it is loaded, it starts one thread per
 * processor, each of which needs 128 MB of address space; where it does not get them it retries for
 * ever, even while the process exits. Therefore we refuse to load it under a memory limit. We set
 * it to one thread, since the parallelism is ours (threads.h); the setting holds for the whole
 * process.
 *
 * OpenBLAS expects the rows of a plain matrix. Panels are therefore copied into such rows on the
 * stack, a few columns at a time. This costs one pass over the weights for every 128 rows of x.
 */
#include <cblas.h>
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>

#include "src/base/checked.h"
#include "src/kernels/kernels.h"

#define BLOCK_FLOATS 65536 /* size of the buffer for copied weights */

static MegaKernels table;
static bool usable;
static __typeof__(cblas_sgemm) *sgemm;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Copies rows `from` ... `from + k - 1` of panels first ... first + count - 1 to out
 * [k][count * MEGA_PANEL]. */
static void copy_panels(const MegaPanels *b, size_t first, size_t count, size_t from, size_t k,
                        float *out)
{
    size_t item = mega_dtype_traits((int)b->dtype)->item_size;
    for (size_t p = from; p < from + k; p++)
        for (size_t n = first; n < first + count; n++, out += MEGA_PANEL)
            mega_dtype_to_f32(b->dtype,
                              (const char *)b->data +
                                  (n * b->panel_stride + p * b->row_stride) * item,
                              MEGA_PANEL, out);
}

static void gemm(const float *x, size_t ldx, size_t rows, const MegaPanels *b, float *y, size_t ldy,
                 size_t columns, const MegaEpilogue *epilogue)
{
    enum { MOST_ROWS = 128, MOST_COLUMNS = 512, MOST_K = BLOCK_FLOATS / MEGA_PANEL };
    float weights[BLOCK_FLOATS], sums[MOST_ROWS * MOST_COLUMNS];
    const size_t k = b->k;
    size_t step = BLOCK_FLOATS / mega_min_size(k, MOST_K) / MEGA_PANEL * MEGA_PANEL;
    step = mega_min_size(step, MOST_COLUMNS);
    for (size_t column = 0; column < columns; column += step)
        for (size_t row = 0; row < rows; row += MOST_ROWS) {
            size_t count = mega_min_size(MOST_ROWS, rows - row);
            size_t width = mega_min_size(step, columns - column);
            size_t panels = mega_pieces(width, MEGA_PANEL);
            for (size_t from = 0; from < k; from += MOST_K) {
                size_t part = mega_min_size(MOST_K, k - from);
                copy_panels(b, column / MEGA_PANEL, panels, from, part, weights);
                sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)count, (int)width, (int)part,
                      1.0f, x + row * ldx + from, (int)ldx, weights, (int)(panels * MEGA_PANEL),
                      from > 0 ? 1.0f : 0.0f, sums, (int)width);
            }
            MegaEpilogue end = mega_epilogue_at(epilogue, row, column);
            table.finish(sums, width, count, width, y + row * ldy + column, ldy, &end);
        }
}

static bool is_limited(int resource)
{
    struct rlimit limit;
    return getrlimit((__rlimit_resource_t)resource, &limit) == 0 &&
           limit.rlim_cur != RLIM_INFINITY;
}

/* Loads OpenBLAS, which then stays loaded until the process ends. */
static bool load_openblas(void)
{
    if (is_limited(RLIMIT_AS) || is_limited(RLIMIT_DATA))
        return false;
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return false;
    void *product = dlsym(library, "cblas_sgemm");
    void *limit = dlsym(library, "openblas_set_num_threads");
    __typeof__(openblas_set_num_threads) *set_threads;
    if (!product || !limit)
        return false;
    /* C has no cast from a data pointer to a function pointer */
    memcpy(&sgemm, &product, sizeof sgemm);
    memcpy(&set_threads, &limit, sizeof set_threads);
    set_threads(1);
    return true;
}

static void make_table(void)
{
    usable = load_openblas();
    table = *mega_kernels();
    table.name = "openblas";
    table.gemm = gemm;
}

const MegaKernels *mega_kernels_openblas(void)
{
    pthread_once(&once, make_table);
    return usable ? &table : NULL;
}
