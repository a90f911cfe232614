/*
 * fft.c - what FFTW's measured plans would gain over the estimated ones that src/layers/
 * fft_convolution.c makes, what they cost, and whether they give the same bits each time. The
 * decision in MODEL.md, "S4 layer", comes from its table.
 *
 *     make bench && build/bench/fft
 */
#include <fftw3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/layers/fft_convolution.h"

#define PLANNINGS 8
#define SAMPLES 15

/* A matrix that holds a signal, and plans of its columns and of `step` of its rows. */
typedef struct Matrix {
    const MegaLineFft *shape;
    fftwf_complex *numbers, *input;
    size_t bytes;
    fftwf_plan by_columns, by_rows;
} Matrix;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Makes plans as plan_matrix of fft_convolution.c does, and returns how long that took. */
static double plan(Matrix *matrix, unsigned flags)
{
    const MegaLineFft *shape = matrix->shape;
    const int rows = (int)shape->rows, columns = (int)shape->columns, stride = (int)shape->stride;
    fftwf_complex *numbers = matrix->numbers;
    const double begun = seconds();
    fftwf_forget_wisdom();
    matrix->by_columns = fftwf_plan_many_dft(1, &rows, columns, numbers, NULL, stride, 1, numbers,
                                             NULL, stride, 1, FFTW_FORWARD, flags);
    matrix->by_rows =
        fftwf_plan_many_dft(1, &columns, (int)shape->step, numbers, NULL, 1, stride, numbers, NULL,
                            1, stride, FFTW_FORWARD, flags);
    return seconds() - begun;
}

static void forget(Matrix *matrix)
{
    fftwf_destroy_plan(matrix->by_columns);
    fftwf_destroy_plan(matrix->by_rows);
}

static void transform(const Matrix *matrix)
{
    const MegaLineFft *shape = matrix->shape;
    fftwf_execute_dft(matrix->by_columns, matrix->numbers, matrix->numbers);
    for (size_t row = 0; row < shape->rows; row += shape->step) {
        fftwf_complex *rows = matrix->numbers + row * shape->stride;
        fftwf_execute_dft(matrix->by_rows, rows, rows);
    }
}

/* Returns the best time of a transform, in microseconds. */
static double measure(const Matrix *matrix)
{
    double best = 1e30;
    for (int sample = 0; sample < SAMPLES; sample++) {
        int runs = 0;
        memcpy(matrix->numbers, matrix->input, matrix->bytes);
        const double begun = seconds();
        double took;
        do {
            transform(matrix);
            memcpy(matrix->numbers, matrix->input, matrix->bytes); /* or numbers would overflow */
            runs++;
        } while ((took = seconds() - begun) < 2e-3);
        best = took / runs < best ? took / runs : best;
    }
    return best * 1e6;
}

/* Plans several times and counts the different results. */
static int count_results(Matrix *matrix, unsigned flags)
{
    fftwf_complex *results[PLANNINGS];
    int found = 0;
    for (int i = 0; i < PLANNINGS; i++) {
        bool is_new = true;
        plan(matrix, flags);
        memcpy(matrix->numbers, matrix->input, matrix->bytes);
        transform(matrix);
        forget(matrix);
        for (int k = 0; k < found; k++)
            is_new = is_new && memcmp(results[k], matrix->numbers, matrix->bytes) != 0;
        if (is_new) {
            results[found] = fftwf_malloc(matrix->bytes);
            memcpy(results[found++], matrix->numbers, matrix->bytes);
        }
    }
    for (int k = 0; k < found; k++)
        fftwf_free(results[k]);
    return found;
}

int main(void)
{
    static const size_t sizes[] = {256, 1024, 2048, 4096, 8192, 16000, 65536};
    static const unsigned flags[] = {FFTW_ESTIMATE, FFTW_MEASURE, FFTW_PATIENT};
    printf("microseconds of a transform, milliseconds of planning, different results of %d "
           "plannings\n\n",
           PLANNINGS);
    printf("| size | estimate | measure | patient | planning | measure | patient | results | "
           "measure |\n");
    printf("|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        MegaLineFft shape = {0};
        double took[3], planning[3];
        if (mega_line_fft_plan(&shape, sizes[s], NULL))
            return 1;
        Matrix matrix = {.shape = &shape, .bytes = mega_line_fft_floats(sizes[s]) * sizeof(float)};
        matrix.numbers = fftwf_malloc(matrix.bytes);
        matrix.input = fftwf_malloc(matrix.bytes);
        if (!matrix.numbers || !matrix.input)
            return 1;
        for (size_t i = 0; i < matrix.bytes / sizeof(float); i++)
            ((float *)matrix.input)[i] = (float)(rand() % 2001 - 1000) * 1e-3f;
        for (int i = 0; i < 3; i++) {
            planning[i] = plan(&matrix, flags[i]);
            took[i] = measure(&matrix);
            forget(&matrix);
        }
        printf("| %zu | %.2f | %.2f | %.2f | %.2f | %.1f | %.1f | %d | %d |\n", sizes[s], took[0],
               took[1], took[2], 1e3 * planning[0], 1e3 * planning[1], 1e3 * planning[2],
               count_results(&matrix, FFTW_ESTIMATE), count_results(&matrix, FFTW_MEASURE));
        fflush(stdout);
        fftwf_free(matrix.numbers);
        fftwf_free(matrix.input);
        mega_line_fft_free(&shape);
    }
    return 0;
}
