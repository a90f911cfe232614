/*
 * fft_convolution.c - see fft_convolution.h. No other file of libmega calls FFTW.
 */
#include "src/layers/fft_convolution.h"

#include <math.h>
#include <string.h>

#include "src/base/checked.h"

#if MEGA_WITH_FFTW
#include <fftw3.h>
#include <pthread.h>
#endif

size_t mega_fft_size(size_t least)
{
    for (size_t n = (least + 1) / 2 * 2;; n += 2) {
        size_t rest = n;
        while (rest % 2 == 0)
            rest /= 2;
        while (rest % 3 == 0)
            rest /= 3;
        while (rest % 5 == 0)
            rest /= 5;
        if (rest == 1)
            return n;
    }
}

/* These return the floats of one real signal and of one spectrum, in whole cache lines. */
static size_t signal_floats(const MegaFft *fft)
{
    return (size_t)mega_whole_lines(fft->size);
}

static size_t spectrum_floats(const MegaFft *fft)
{
    return (size_t)mega_whole_lines(fft->size + 2);
}

uint64_t mega_fft_scratch(const MegaFft *fft)
{
    return (uint64_t)signal_floats(fft) + 2 * (uint64_t)spectrum_floats(fft);
}

/* ---- Linear convolution: the matrix ---------------------------------------------------------- */

#define LINE_NUMBERS (MEGA_LINE_FLOATS / 2) /* complex numbers of a cache line */

/* Returns the largest divisor of n that is at most `most`. */
static size_t largest_divisor(size_t n, size_t most)
{
    while (n % most != 0)
        most--;
    return most;
}

/* Shapes the matrix of a signal as near to a square as the divisors of `size` allow. Rows begin an
 * odd number of cache lines apart, so that a column is spread over all sets of the cache. */
static void shape_matrix(MegaLineFft *fft, size_t size)
{
    *fft = (MegaLineFft){.size = size};
    size_t root = 1;
    while ((root + 1) * (root + 1) <= size)
        root++;
    fft->rows = largest_divisor(size, root);
    fft->columns = size / fft->rows;
    fft->stride = (mega_pieces(fft->columns, LINE_NUMBERS) | 1) * LINE_NUMBERS;
    fft->step = largest_divisor(fft->rows, fft->rows < 8 ? fft->rows : 8);
}

size_t mega_line_fft_floats(size_t size)
{
    MegaLineFft fft;
    shape_matrix(&fft, size);
    return 2 * fft.rows * fft.stride;
}

uint64_t mega_line_fft_memory(size_t size)
{
    MegaLineFft fft;
    shape_matrix(&fft, size);
    return sizeof(float) * (2 * (uint64_t)fft.rows + mega_line_fft_floats(size));
}

#if MEGA_WITH_FFTW

/* FFTW's planner is not thread-safe; the execution of a plan is. */
static pthread_mutex_t planner_mutex = PTHREAD_MUTEX_INITIALIZER;

static int no_memory(size_t size, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory for an FFT of %zu positions", size);
}

static void free_plans(void *forward, void *inverse)
{
    if (!forward && !inverse)
        return;
    pthread_mutex_lock(&planner_mutex);
    fftwf_destroy_plan(forward);
    fftwf_destroy_plan(inverse);
    pthread_mutex_unlock(&planner_mutex);
}

int mega_fft_plan(MegaFft *fft, size_t size, MegaError *err)
{
    float *real = fftwf_alloc_real(size);
    fftwf_complex *spectrum = fftwf_alloc_complex(size / 2 + 1);
    *fft = (MegaFft){.size = size};
    if (real && spectrum) {
        pthread_mutex_lock(&planner_mutex);
        fft->forward = fftwf_plan_dft_r2c_1d((int)size, real, spectrum, FFTW_ESTIMATE);
        fft->inverse = fftwf_plan_dft_c2r_1d((int)size, spectrum, real, FFTW_ESTIMATE);
        pthread_mutex_unlock(&planner_mutex);
    }
    fftwf_free(real);
    fftwf_free(spectrum);
    if (fft->forward && fft->inverse)
        return 0;
    mega_fft_free(fft);
    return no_memory(size, err);
}

void mega_fft_free(MegaFft *fft)
{
    free_plans(fft->forward, fft->inverse);
    *fft = (MegaFft){0};
}

MegaFftBuffers mega_fft_buffers(const MegaFft *fft, float *scratch)
{
    float *kernel_spectrum = scratch + signal_floats(fft);
    return (MegaFftBuffers){scratch, kernel_spectrum, kernel_spectrum + spectrum_floats(fft)};
}

void mega_fft_transform_kernel(const MegaFft *fft, const MegaFftBuffers *buffers)
{
    fftwf_execute_dft_r2c(fft->forward, buffers->signal, (fftwf_complex *)buffers->kernel_spectrum);
}

void mega_fft_convolve(const MegaFft *fft, const MegaFftBuffers *buffers)
{
    const float scale = 1.0f / (float)fft->size, *kernel = buffers->kernel_spectrum;
    float *spectrum = buffers->spectrum;
    fftwf_execute_dft_r2c(fft->forward, buffers->signal, (fftwf_complex *)spectrum);
    for (size_t i = 0; i < fft->size + 2; i += 2) {
        float re = spectrum[i] * kernel[i] - spectrum[i + 1] * kernel[i + 1];
        float im = spectrum[i] * kernel[i + 1] + spectrum[i + 1] * kernel[i];
        spectrum[i] = re * scale;
        spectrum[i + 1] = im * scale;
    }
    fftwf_execute_dft_c2r(fft->inverse, (fftwf_complex *)spectrum, buffers->signal);
}

/* ---- Linear convolution ---------------------------------------------------------------------- */

/* Stores e^(2 pi i part / whole). */
static void store_phase(size_t part, size_t whole, float out[2])
{
    const double angle = 2 * acos(-1) * (double)part / (double)whole;
    out[0] = (float)cos(angle);
    out[1] = (float)sin(angle);
}

static int plan_matrix(MegaLineFft *fft)
{
    const int rows = (int)fft->rows, columns = (int)fft->columns, stride = (int)fft->stride;
    fftwf_complex *matrix = fftwf_alloc_complex(fft->rows * fft->stride);
    if (!matrix)
        return -1;
    pthread_mutex_lock(&planner_mutex);
    fft->by_columns = fftwf_plan_many_dft(1, &rows, columns, matrix, NULL, stride, 1, matrix, NULL,
                                          stride, 1, FFTW_FORWARD, FFTW_ESTIMATE);
    fft->by_rows = fftwf_plan_many_dft(1, &columns, (int)fft->step, matrix, NULL, 1, stride, matrix,
                                       NULL, 1, stride, FFTW_FORWARD, FFTW_ESTIMATE);
    pthread_mutex_unlock(&planner_mutex);
    fftwf_free(matrix);
    return fft->by_columns && fft->by_rows ? 0 : -1;
}

int mega_line_fft_plan(MegaLineFft *fft, size_t size, MegaError *err)
{
    shape_matrix(fft, size);
    fft->phases = fftwf_alloc_real(2 * fft->rows);
    fft->twiddles = fftwf_alloc_real(mega_line_fft_floats(size));
    if (!fft->phases || !fft->twiddles || plan_matrix(fft)) {
        mega_line_fft_free(fft);
        return no_memory(size, err);
    }
    memset(fft->twiddles, 0, mega_line_fft_floats(size) * sizeof *fft->twiddles);
    for (size_t row = 0; row < fft->rows; row++) {
        store_phase(row * fft->columns, 4 * size, fft->phases + 2 * row);
        for (size_t column = 0; column < fft->columns; column++)
            store_phase((4 * (size - row * column % size) + column) % (4 * size), 4 * size,
                       fft->twiddles + 2 * (row * fft->stride + column));
    }
    return 0;
}

void mega_line_fft_free(MegaLineFft *fft)
{
    free_plans(fft->by_columns, fft->by_rows);
    fftwf_free(fft->phases);
    fftwf_free(fft->twiddles);
    *fft = (MegaLineFft){0};
}

/* Returns the floats from row to row of the matrix. */
static size_t row_floats(const MegaLineFft *fft)
{
    return 2 * fft->stride;
}

static void transform_columns(const MegaLineFft *fft, float *matrix)
{
    fftwf_execute_dft(fft->by_columns, (fftwf_complex *)matrix, (fftwf_complex *)matrix);
}

/* Transforms fft->step rows. */
static void transform_rows(const MegaLineFft *fft, float *rows)
{
    fftwf_execute_dft(fft->by_rows, (fftwf_complex *)rows, (fftwf_complex *)rows);
}

/* Returns the floats of the rows that by_rows takes at a time. */
static size_t piece_floats(const MegaLineFft *fft)
{
    return fft->step * row_floats(fft);
}

/* Finishes the transform of one piece, whose columns have been transformed: multiplies by the
 * twiddle factors, then transforms its rows. The piece begins at float `at` of the matrix. */
static void transform_piece(const MegaLineFft *fft, const MegaKernels *kernels, size_t at,
                            float *matrix)
{
    kernels->multiply_complex(matrix + at, fft->twiddles + at, piece_floats(fft) / 2, matrix + at);
    transform_rows(fft, matrix + at);
}

/* Transforms a matrix that holds a signal. */
static void transform_matrix(const MegaLineFft *fft, const MegaKernels *kernels, float *matrix)
{
    transform_columns(fft, matrix);
    for (size_t at = 0; at < fft->rows * row_floats(fft); at += piece_floats(fft))
        transform_piece(fft, kernels, at, matrix);
}

/* Computes one piece of the conjugate product and transforms its rows, then multiplies by the
 * twiddle factors: all of the inverse that comes before the columns. */
static void multiply_piece(const MegaLineFft *fft, const MegaKernels *kernels, size_t at,
                           const float *transform, const float *kernel, float *product)
{
    const size_t numbers = piece_floats(fft) / 2;
    kernels->multiply_conjugate(transform + at, kernel + at, numbers, product + at);
    transform_rows(fft, product + at);
    kernels->multiply_complex(product + at, fft->twiddles + at, numbers, product + at);
}

/* Stores the numbers x[j] w[j] in a matrix, without the factors of columns; zeros follow. */
static void enter_signal(const MegaLineFft *fft, const MegaKernels *kernels, const float *x,
                         size_t length, float *out)
{
    const size_t columns = fft->columns;
    for (size_t row = 0; row < fft->rows; row++, out += row_floats(fft)) {
        const size_t first = row * columns, left = length > first ? length - first : 0;
        const size_t count = left < columns ? left : columns;
        kernels->scale_to_complex(x + first, count, fft->phases + 2 * row, out);
        memset(out + 2 * count, 0, (row_floats(fft) - 2 * count) * sizeof *out);
    }
}

/* Transforms the columns of the product, and takes the real part of the convolution out of it. */
static void leave_signal(const MegaLineFft *fft, const MegaKernels *kernels, float *product,
                         float *y, size_t length)
{
    const size_t columns = fft->columns;
    transform_columns(fft, product);
    for (size_t row = 0, first = 0; first < length; row++, first += columns)
        kernels->scale_to_real(product + row * row_floats(fft),
                               mega_min_size(length - first, columns), fft->phases + 2 * row,
                               y + first);
}

void mega_line_fft_forward(const MegaLineFft *fft, const MegaKernels *kernels, const float *x,
                           size_t length, float *transform)
{
    enter_signal(fft, kernels, x, length, transform);
    transform_matrix(fft, kernels, transform);
}

/* Stores the numbers k[j] w[j] / n of one row of a kernel, without the factors of columns. */
static void fill_kernel_row(const MegaLineFft *fft, const MegaLineKernel *kernel, size_t row,
                        float *out)
{
    const size_t n = fft->size, lags = kernel->lags < n ? kernel->lags : n;
    const size_t first = row * fft->columns;
    const float scale = 1.0f / (float)n;
    const float re_phase = scale * fft->phases[2 * row];
    const float im_phase = scale * fft->phases[2 * row + 1];
    for (size_t j = first; j < first + fft->columns; j++, out += 2) {
        const size_t ahead = n - 1 - j; /* lag l looks l + 1 positions ahead */
        float re = kernel->back && j < lags ? kernel->back[j] : 0, im = 0;
        if (j == 0)
            re += kernel->d;
        else if (kernel->ahead && ahead < lags)
            im = -kernel->ahead[ahead];
        out[0] = re * re_phase - im * im_phase;
        out[1] = re * im_phase + im * re_phase;
    }
}

void mega_line_fft_transform_kernel(const MegaLineFft *fft, const MegaKernels *kernels,
                               const MegaLineKernel *kernel, float *out)
{
    memset(out, 0, fft->rows * row_floats(fft) * sizeof *out);
    for (size_t row = 0; row < fft->rows; row++)
        fill_kernel_row(fft, kernel, row, out + row * row_floats(fft));
    transform_matrix(fft, kernels, out);
}

void mega_line_fft_convolve(const MegaLineFft *fft, const MegaKernels *kernels,
                            const float *transform, const float *kernel, float *product, float *y,
                            size_t length)
{
    for (size_t at = 0; at < fft->rows * row_floats(fft); at += piece_floats(fft))
        multiply_piece(fft, kernels, at, transform, kernel, product);
    leave_signal(fft, kernels, product, y, length);
}

void mega_line_fft_convolve_signal(const MegaLineFft *fft, const MegaKernels *kernels,
                                   const float *kernel, float *matrix, float *y, size_t length)
{
    enter_signal(fft, kernels, y, length, matrix);
    transform_columns(fft, matrix);
    for (size_t at = 0; at < fft->rows * row_floats(fft); at += piece_floats(fft)) {
        transform_piece(fft, kernels, at, matrix);
        multiply_piece(fft, kernels, at, matrix, kernel, matrix);
    }
    leave_signal(fft, kernels, matrix, y, length);
}

#else

static int no_fftw(size_t size, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                     "an FFT of %zu positions was asked for, but this build has no FFTW", size);
}

int mega_fft_plan(MegaFft *fft, size_t size, MegaError *err)
{
    *fft = (MegaFft){0};
    return no_fftw(size, err);
}

void mega_fft_free(MegaFft *fft)
{
    *fft = (MegaFft){0};
}

int mega_line_fft_plan(MegaLineFft *fft, size_t size, MegaError *err)
{
    *fft = (MegaLineFft){0};
    return no_fftw(size, err);
}

void mega_line_fft_free(MegaLineFft *fft)
{
    *fft = (MegaLineFft){0};
}

#endif
