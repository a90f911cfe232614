/*
 * matmul.c - times the matrix products of every tier and every type of weight on the shapes of MEGA
 * models, on one thread. It compares them with OpenBLAS and with the processor's peak:
 * multiply-adds in registers, and reading memory.
 *
 *     make bench && build/bench/matmul [TIER...]
 *
 * All products of a shape take turns and the best run of each counts, so the ratios also hold on a
 * machine that does other things. OpenBLAS has the same tier forced on it where that is possible:
 * OPENBLAS_CORETYPE=Haswell for avx2, SkylakeX for the others.
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "formats/tensor/dtype.h"
#include "src/kernels/matmul.h"

/* With few rows, weights come from memory and not from a cache. Copies that are larger than any
 * cache make sure of that. */
#define COPIES_BYTES ((size_t)96 << 20)
#define TURNS 25
#define TURN_SECONDS 0.004

typedef struct Shape {
    size_t rows, in, out;
} Shape;

static const Shape shapes[] = {
    {4096, 60, 60},    {4096, 60, 120},  {4096, 120, 180}, {4096, 180, 60}, {4096, 128, 448},
    {1000, 512, 2176}, {64, 512, 2176},  {16, 512, 2176},  {8, 512, 2176},  {5, 512, 2176},
    {2, 512, 2176},    {1, 512, 2176},   {5, 512, 32768},  {1, 512, 32768},
};

/* A product to time; kernels is NULL for OpenBLAS. */
typedef struct Product {
    const MegaKernels *kernels;
    MegaDtype dtype;
    char *weights; /* holds `copies` copies of them */
    size_t bytes, copies;
    double best; /* seconds of the best run */
} Product;

/* Returns the processor time of this thread, so that other processes do not count. */
static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *allocate(size_t bytes)
{
    void *block = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!block) {
        fprintf(stderr, "matmul: no memory\n");
        exit(1);
    }
    return block;
}

static void pack(const Product *product, const Shape *shape, const float *weight)
{
    MegaDtype dtype = product->dtype;
    size_t row_bytes = (size_t)mega_dtype_items(dtype, shape->in) *
                       mega_dtype_traits((int)dtype)->item_size;
    char *items = allocate(row_bytes * shape->out);
    for (size_t row = 0; row < shape->out; row++)
        mega_dtype_from_f32(dtype, weight + row * shape->in, shape->in, items + row * row_bytes);
    mega_panels_pack(dtype, product->weights, items, row_bytes, shape->out, shape->in);
    free(items);
}

static void fill(Product *product, const Shape *shape)
{
    size_t count = shape->in * shape->out;
    float *weight = allocate(count * sizeof *weight);
    for (size_t i = 0; i < count; i++)
        weight[i] = (float)(rand() % 1001 - 500) * 1e-3f;
    product->bytes = product->kernels
                         ? (size_t)mega_packed_bytes(product->dtype, shape->out, shape->in)
                         : count * sizeof *weight;
    product->copies = shape->rows < 32 ? COPIES_BYTES / product->bytes + 1 : 1;
    product->weights = allocate(product->bytes * product->copies);
    if (product->kernels)
        pack(product, shape, weight);
    else
        memcpy(product->weights, weight, product->bytes);
    for (size_t i = 1; i < product->copies; i++)
        memcpy(product->weights + i * product->bytes, product->weights, product->bytes);
    free(weight);
}

static void multiply(const Product *product, size_t copy, const Shape *shape, const float *x,
                     float *y)
{
    const void *weights = product->weights + copy * product->bytes;
    if (!product->kernels) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)shape->rows, (int)shape->out,
                    (int)shape->in, 1.0f, x, (int)shape->in, weights, (int)shape->in, 0.0f, y,
                    (int)shape->out);
        return;
    }
    MegaPacked packed = {.panels = weights, .dtype = product->dtype, .in = shape->in,
                         .out = shape->out};
    mega_matmul(product->kernels, &packed, x, shape->in, shape->rows, y, shape->out,
                &(MegaEpilogue){0});
}

static void take_turn(Product *product, const Shape *shape, const float *x, float *y)
{
    double begin = seconds(), now = begin;
    size_t count = 0;
    for (; now < begin + TURN_SECONDS; now = seconds())
        for (size_t copy = 0; copy < product->copies; copy++, count++)
            multiply(product, copy, shape, x, y);
    if (product->best == 0 || (now - begin) / (double)count < product->best)
        product->best = (now - begin) / (double)count;
}

static void report(const Product *product, const Shape *shape, double openblas)
{
    static const char *const kinds[] = {"f32", "f16", "bf16", "int8"};
    double flops = 2.0 * (double)(shape->rows * shape->in * shape->out);
    printf("  %-10s %-5s %8.1f GFLOP/s %7.2f GB/s %7.2f x OpenBLAS\n",
           product->kernels ? product->kernels->name : "OpenBLAS",
           product->kernels ? kinds[product->dtype] : "f32", flops / product->best * 1e-9,
           (double)product->bytes / product->best * 1e-9, openblas / product->best);
}

static void run_shape(const Shape *shape, const MegaKernels *const *tiers, size_t tier_count)
{
    enum { KINDS = 4 };
    size_t count = 1 + KINDS * tier_count;
    Product *products = calloc(count, sizeof *products);
    float *x = allocate(shape->rows * shape->in * sizeof *x);
    float *y = allocate(shape->rows * shape->out * sizeof *y);
    if (!products)
        exit(1);
    for (size_t i = 0; i < shape->rows * shape->in; i++)
        x[i] = (float)(rand() % 1001 - 500) * 1e-3f;
    for (size_t i = 0; i < count; i++) {
        products[i].kernels = i ? tiers[(i - 1) / KINDS] : NULL;
        products[i].dtype = i ? (MegaDtype)((i - 1) % KINDS) : MEGA_F32;
        fill(&products[i], shape);
    }
    for (int turn = 0; turn < TURNS; turn++)
        for (size_t i = 0; i < count; i++)
            take_turn(&products[i], shape, x, y);
    printf("%zu x %zu -> %zu\n", shape->rows, shape->in, shape->out);
    for (size_t i = 0; i < count; i++) {
        report(&products[i], shape, products[0].best);
        free(products[i].weights);
    }
    free(products);
    free(x);
    free(y);
}

/* Prints the best of several tries: multiply-adds in registers, and a sum over memory. */
static void print_limits(const MegaKernels *kernels)
{
    enum { ROUNDS = 1 << 20 };
    size_t n = COPIES_BYTES / sizeof(float);
    float *memory = allocate(n * sizeof *memory);
    double arithmetic = 1e30, reading = 1e30;
    float kept = 0;
    memset(memory, 0, n * sizeof *memory);
    for (int turn = 0; turn < TURNS; turn++) {
        double begin = seconds();
        kept += kernels->probe_arithmetic(ROUNDS, 0.5f);
        double middle = seconds();
        kept += kernels->probe_memory(memory, n);
        double end = seconds();
        arithmetic = middle - begin < arithmetic ? middle - begin : arithmetic;
        reading = end - middle < reading ? end - middle : reading;
    }
    printf("%s: at most %.1f GFLOP/s and %.1f GB/s%s\n", kernels->name,
           2.0 * ROUNDS * MEGA_PROBE_VECTORS * kernels->lanes / arithmetic * 1e-9,
           (double)(n * sizeof *memory) / reading * 1e-9, kept == 0.1f ? " " : "");
    free(memory);
}

int main(int argc, char **argv)
{
    const MegaKernels *tiers[MEGA_MOST_TIERS];
    size_t count = argc == 1 ? mega_kernels_all(tiers) : 0;
    openblas_set_num_threads(1);
    for (int a = 1; a < argc && count < MEGA_MOST_TIERS; a++) {
        const MegaKernels *tier = mega_kernels_by_name(argv[a]);
        if (tier)
            tiers[count++] = tier;
    }
    for (size_t i = 0; i < count; i++)
        print_limits(tiers[i]);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        run_shape(&shapes[i], tiers, count);
    return 0;
}
