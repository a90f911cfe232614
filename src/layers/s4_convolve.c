/*
 * s4_convolve.c - the convolution of an S4 layer: y = K z + d z over time, feature by feature, in
 * the way that the plan has chosen (s4_plan.h). A task takes some features over all positions.
 *
 *   back[t]  = sum_j K[j] z[t - j]           rows 0 ... c - 1 of the kernels
 *   ahead[t] = sum_j K[j] z[t + 1 + j]       rows c ... 2c - 1 of a bidirectional layer
 */
#include <string.h>

#include "src/base/checked.h"
#include "src/layers/s4_plan.h"

#define TASK_FEATURES 16 /* their floats at one position are a cache line of z */
#define BLOCK 64         /* positions that direct sums compute side by side */

/* What all tasks of one convolution share. */
typedef struct Convolution {
    const MegaPass *pass;
    const MegaS4Plan *plan;
    size_t layer, length, features;
    size_t rows, channels; /* of C and of D: rows is twice channels if the layer looks ahead */
    const float *d, *z;
    float *y;
} Convolution;

static size_t whole_lines(size_t floats)
{
    return (size_t)mega_whole_lines(floats);
}

/* Returns the kernel [lags] of one feature and row of C. */
static const float *kernel_of(const Convolution *work, size_t feature, size_t row)
{
    const MegaS4Kernels *kernels = &work->plan->kernels[work->layer];
    return kernels->values + (feature * work->rows + row) * kernels->stride;
}

/* ---- By FFT --------------------------------------------------------------------------------- */

#if MEGA_WITH_FFTW

/* Positions that are transposed at a time between rows of features and columns of positions, so
 * that source and target stay in the first-level cache. */
#define COPIED 16

/* Prefetch distance in positions. Rows are a few hundred bytes apart, which is too far for the
 * hardware prefetcher to keep up. */
#define FETCHED_AHEAD 64

/* Memory of one worker. */
typedef struct LineScratch {
    float *columns;   /* [channels][TASK_FEATURES][stride] */
    float *transform; /* of one feature */
    float *product;   /* the same; NULL in a layer of one channel */
    float *kernel;    /* of one feature, where kernels are kept as values */
    size_t stride;    /* an odd number of cache lines, so that columns begin in different sets */
} LineScratch;

static LineScratch line_layout(const MegaS4Plan *plan, size_t channels, MegaArena *arena)
{
    const size_t floats = mega_line_fft_floats(plan->fft.size);
    LineScratch scratch = {.stride = whole_lines(plan->length)};
    scratch.stride += scratch.stride / MEGA_LINE_FLOATS % 2 ? 0 : MEGA_LINE_FLOATS;
    scratch.columns =
        mega_arena_floats(arena, (uint64_t)channels * TASK_FEATURES * scratch.stride);
    scratch.transform = mega_arena_floats(arena, floats);
    scratch.product = channels > 1 ? mega_arena_floats(arena, floats) : NULL;
    if (plan->is_varied)
        scratch.kernel = mega_arena_floats(arena, floats);
    return scratch;
}

/* Copies the columns of some features of z. */
static void gather_columns(const Convolution *work, size_t first, size_t count,
                           const LineScratch *scratch)
{
    const float *z = work->z + first;
    for (size_t t = 0; t < work->length; t += COPIED) {
        for (size_t i = t + FETCHED_AHEAD; i < t + FETCHED_AHEAD + COPIED && i < work->length; i++)
            __builtin_prefetch(z + i * work->features);
        work->pass->kernels->transpose(z + t * work->features, work->features,
                                       mega_min_size(COPIED, work->length - t), count,
                                       scratch->columns + t, scratch->stride);
    }
}

/* Copies the columns of one channel to y. */
static void scatter_columns(const Convolution *work, size_t channel, size_t first, size_t count,
                            const LineScratch *scratch)
{
    const size_t width = work->channels * work->features;
    const float *columns = scratch->columns + channel * TASK_FEATURES * scratch->stride;
    float *y = work->y + channel * work->features + first;
    for (size_t t = 0; t < work->length; t += COPIED) {
        for (size_t i = t + FETCHED_AHEAD; i < t + FETCHED_AHEAD + COPIED && i < work->length; i++)
            __builtin_prefetch(y + i * width, 1);
        work->pass->kernels->transpose(columns + t, scratch->stride, count,
                                       mega_min_size(COPIED, work->length - t), y + t * width,
                                       width);
    }
}

/* Returns the transform of a kernel: the one of the plan, or one that is computed from its
 * values. */
static const float *spectrum_of(const Convolution *work, size_t feature, size_t channel,
                                const LineScratch *scratch)
{
    const MegaS4Plan *plan = work->plan;
    const MegaS4Kernels *kernels = &plan->kernels[work->layer];
    if (kernels->spectra)
        return kernels->spectra +
               (feature * work->channels + channel) * mega_line_fft_floats(plan->fft.size);
    MegaLineKernel kernel = {.back = kernel_of(work, feature, channel), .lags = kernels->lags,
                             .d = work->d[channel * work->features + feature]};
    if (work->rows > work->channels)
        kernel.ahead = kernel_of(work, feature, work->channels + channel);
    mega_line_fft_transform_kernel(&plan->fft, work->pass->kernels, &kernel, scratch->kernel);
    return scratch->kernel;
}

static void run_by_fft(void *context, size_t task, int worker)
{
    const Convolution *work = context;
    const MegaWorkspace *w = work->pass->workspace;
    const MegaKernels *kernels = work->pass->kernels;
    const MegaLineFft *fft = &work->plan->fft;
    const size_t first = task * TASK_FEATURES;
    const size_t count = mega_min_size(work->features - first, TASK_FEATURES);
    MegaArena own = mega_worker_arena(w, worker);
    const LineScratch scratch = line_layout(work->plan, work->channels, &own);
    gather_columns(work, first, count, &scratch);
    for (size_t i = 0; i < count; i++) {
        float *column = scratch.columns + i * scratch.stride;
        if (work->channels == 1) {
            mega_line_fft_convolve_signal(fft, kernels, spectrum_of(work, first + i, 0, &scratch),
                                          scratch.transform, column, work->length);
            continue;
        }
        mega_line_fft_forward(fft, kernels, column, work->length, scratch.transform);
        for (size_t channel = 0; channel < work->channels; channel++)
            mega_line_fft_convolve(fft, kernels, scratch.transform,
                                   spectrum_of(work, first + i, channel, &scratch),
                                   scratch.product,
                                   column + channel * TASK_FEATURES * scratch.stride,
                                   work->length);
    }
    for (size_t channel = 0; channel < work->channels; channel++)
        scatter_columns(work, channel, first, count, &scratch);
}

#endif

/* ---- By direct sums -------------------------------------------------------------------------- */

/* Copies the column of one feature of z. */
static void gather(const Convolution *work, size_t feature, float *out)
{
    for (size_t t = 0; t < work->length; t++)
        out[t] = work->z[t * work->features + feature];
}

/* Copies the columns of some features of one channel to y. */
static void scatter(const Convolution *work, size_t channel, size_t first, size_t count,
                    const float *in, size_t stride)
{
    const size_t width = work->channels * work->features;
    float *y = work->y + channel * work->features + first;
    for (size_t t = 0; t < work->length; t++)
        for (size_t i = 0; i < count; i++)
            y[t * width + i] = in[i * stride + t];
}

/* y[i] += sum_j kernel[j] signal[i - step j], for i < BLOCK and j < taps; step is 1 or -1. */
static void add_block(const float *kernel, size_t taps, const float *signal, int step,
                      float *restrict y)
{
    float sums[BLOCK] = {0};
    for (size_t j = 0; j < taps; j++) {
        const float weight = kernel[j], *restrict from = signal - (ptrdiff_t)step * (ptrdiff_t)j;
        for (size_t i = 0; i < BLOCK; i++)
            sums[i] += weight * from[i];
    }
    for (size_t i = 0; i < BLOCK; i++)
        y[i] += sums[i];
}

/* Returns the positions of a column that is padded with zeros for all lags before and after it. */
static size_t padded(const MegaS4Plan *plan)
{
    return whole_lines(plan->length + 2 * plan->taps + 2 * BLOCK);
}

static void run_directly(void *context, size_t task, int worker)
{
    const Convolution *work = context;
    const MegaWorkspace *w = work->pass->workspace;
    const size_t length = work->length, taps = work->plan->taps;
    const size_t stride = whole_lines(length + BLOCK), wide = padded(work->plan);
    const size_t first = task * TASK_FEATURES;
    const size_t count = mega_min_size(work->features - first, TASK_FEATURES);
    float *columns = w->scratch + (size_t)worker * w->scratch_stride;
    float *signal = columns + TASK_FEATURES * stride;
    for (size_t channel = 0; channel < work->channels; channel++) {
        for (size_t i = 0; i < count; i++) {
            const float d = work->d[channel * work->features + first + i];
            float *column = columns + i * stride;
            memset(signal, 0, wide * sizeof *signal);
            gather(work, first + i, signal + taps);
            for (size_t t = 0; t < length; t += BLOCK) {
                const float *at = signal + taps + t;
                for (size_t j = 0; j < BLOCK; j++)
                    column[t + j] = d * at[j];
                add_block(kernel_of(work, first + i, channel), mega_min_size(taps, t + BLOCK), at,
                          1, column + t);
                if (work->rows > work->channels)
                    add_block(kernel_of(work, first + i, work->channels + channel),
                              mega_min_size(taps, length - t), at + 1, -1, column + t);
            }
        }
        scatter(work, channel, first, count, columns, stride);
    }
}

/* ---- By steps -------------------------------------------------------------------------------- */

/* Returns 2 Re(a . x) of n complex numbers. */
static float twice_real(const float *a, const float *x, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < 2 * n; i += 2)
        sum += a[i] * x[i] - a[i + 1] * x[i + 1];
    return 2 * sum;
}

/* x = z x + in u */
static void step_diagonal(const MegaSsmSteps *steps, size_t at, size_t n, float u, float *x)
{
    const float *z = steps->z + at, *in = steps->in + at;
    for (size_t i = 0; i < 2 * n; i += 2) {
        const float re = z[i] * x[i] - z[i + 1] * x[i + 1] + in[i] * u;
        x[i + 1] = z[i] * x[i + 1] + z[i + 1] * x[i] + in[i + 1] * u;
        x[i] = re;
    }
}

/* x = a b */
static void multiply(const float *a, const float *b, size_t n, float *x)
{
    for (size_t i = 0; i < 2 * n; i += 2) {
        const float re = a[i] * b[i] - a[i + 1] * b[i + 1];
        x[i + 1] = a[i] * b[i + 1] + a[i + 1] * b[i];
        x[i] = re;
    }
}

/* x -= factor a */
static void subtract(float factor, const float *a, size_t n, float *x)
{
    for (size_t i = 0; i < 2 * n; i++)
        x[i] -= factor * a[i];
}

/* The step of a system of low rank, as ssm_kernel.h states it; y [n][2] is scratch memory. */
static void step_low_rank(const MegaSsmSteps *steps, size_t at, size_t n, size_t rank,
                          const float *g, float u, float *x, float *y)
{
    const float *in = steps->in + at, *p = steps->p + rank * at, *q = steps->q + rank * at;
    float dots[MEGA_SSM_MAX_RANK];
    for (size_t r = 0; r < rank; r++)
        dots[r] = twice_real(q + r * 2 * n, x, n);
    multiply(steps->numerator + at, x, n, y);
    for (size_t i = 0; i < 2 * n; i++)
        y[i] += in[i] * u;
    for (size_t r = 0; r < rank; r++)
        subtract(dots[r], p + r * 2 * n, n, y);
    multiply(steps->z + at, y, n, x);
    for (size_t r = 0; r < rank; r++)
        dots[r] = twice_real(q + r * 2 * n, x, n);
    for (size_t r = 0; r < rank; r++) {
        float coupled = 0;
        for (size_t s = 0; s < rank; s++)
            coupled += g[r * rank + s] * dots[s];
        subtract(coupled, p + r * 2 * n, n, y);
    }
    multiply(steps->z + at, y, n, x);
}

/* Runs the recurrence of one feature in one direction; rows of C from `row` on give the channels.
 * An output that looks back sees its own position and earlier ones; one that looks ahead sees only
 * later ones. `state` goes from what it is to the state at the end; y is scratch. */
static void run_direction(const Convolution *work, size_t feature, size_t row, float *state,
                          float *y)
{
    const MegaS4Config *own = mega_s4(work->pass->config);
    const MegaSsmSteps *steps = &work->plan->steps[work->layer];
    const size_t n = (size_t)own->states, rank = (size_t)own->rank, at = 2 * feature * n;
    const size_t width = work->channels * work->features;
    const float *c = steps->c + (feature * work->rows + row) * 2 * n;
    const float *g = rank ? steps->g + feature * rank * rank : NULL;
    const bool ahead = row > 0;
    for (size_t i = 0; i < work->length; i++) {
        const size_t t = ahead ? work->length - 1 - i : i;
        const float u = work->z[t * work->features + feature];
        float *out = work->y + t * width + feature;
        for (size_t channel = 0; channel < work->channels && ahead; channel++)
            out[channel * work->features] += twice_real(c + channel * 2 * n, state, n);
        if (rank)
            step_low_rank(steps, at, n, rank, g, u, state, y);
        else
            step_diagonal(steps, at, n, u, state);
        for (size_t channel = 0; channel < work->channels && !ahead; channel++)
            out[channel * work->features] = twice_real(c + channel * 2 * n, state, n) +
                                            work->d[channel * work->features + feature] * u;
    }
}

static void run_by_steps(void *context, size_t feature, int worker)
{
    const Convolution *work = context;
    const MegaWorkspace *w = work->pass->workspace;
    const size_t n = (size_t)mega_s4(work->pass->config)->states;
    float *state = w->scratch + (size_t)worker * w->scratch_stride, *y = state + whole_lines(2 * n);
    float *kept = work->plan->states[work->layer] + 2 * feature * n;
    if (work->pass->is_stream)
        memcpy(state, kept, 2 * n * sizeof *state);
    else
        memset(state, 0, 2 * n * sizeof *state);
    run_direction(work, feature, 0, state, y);
    if (work->pass->is_stream)
        memcpy(kept, state, 2 * n * sizeof *state);
    if (work->rows == work->channels)
        return;
    memset(state, 0, 2 * n * sizeof *state);
    run_direction(work, feature, work->channels, state, y);
}

/* ---- By matrix ------------------------------------------------------------------------------- */

/* Runs one task: as many features as a vector has lanes. */
static void run_by_matrix(void *context, size_t task, int worker)
{
    const Convolution *work = context;
    const MegaKernels *kernels = work->pass->kernels;
    const MegaSsmMatrix *matrix = &work->plan->matrices[work->layer];
    const size_t lanes = (size_t)kernels->lanes, first = task * lanes;
    const size_t count = mega_min_size(work->features - first, lanes);
    const size_t states = 2 * (size_t)mega_s4(work->pass->config)->states;
    MegaStatePass pass = {.u = work->z,
                          .length = work->length,
                          .features = work->features,
                          .width = work->channels * work->features,
                          .states = states,
                          .step = matrix->step,
                          .in = matrix->in};
    (void)worker;
    for (size_t row = 0; row < work->rows; row++) {
        const size_t channel = row % work->channels;
        pass.y = work->y + channel * work->features;
        pass.out = matrix->out + row * states * work->features;
        pass.d = work->d + channel * work->features;
        pass.backward = row >= work->channels;
        kernels->run_states(&pass, first, count);
    }
}

/* ---- All ways -------------------------------------------------------------------------------- */

uint64_t mega_s4_convolve_scratch(const MegaStackConfig *config, const MegaS4Plan *plan)
{
    if (plan->way == MEGA_S4_BY_STEPS)
        return 2 * whole_lines(2 * (size_t)mega_s4(config)->states);
    if (plan->way == MEGA_S4_BY_MATRIX)
        return 0;
    if (plan->way == MEGA_S4_DIRECTLY)
        return TASK_FEATURES * (uint64_t)whole_lines(plan->length + BLOCK) + padded(plan);
#if MEGA_WITH_FFTW
    MegaArena dry = {0};
    line_layout(plan, (size_t)mega_s4(config)->channels, &dry);
    return dry.overflow ? UINT64_MAX / sizeof(float) : dry.used / sizeof(float);
#else
    return 0;
#endif
}

void mega_s4_convolve(const MegaPass *pass, int index, const float *d, const float *z, float *y)
{
    const MegaS4Plan *plan = pass->workspace->plan;
    Convolution work = {.pass = pass,
                        .plan = plan,
                        .layer = (size_t)index,
                        .length = pass->workspace->length,
                        .features = mega_s4_features(pass->config),
                        .rows = mega_s4_rows(pass->config),
                        .channels = (size_t)mega_s4(pass->config)->channels,
                        .d = d,
                        .z = z,
                        .y = y};
    const size_t tasks = mega_pieces(work.features, TASK_FEATURES);
    if (plan->way == MEGA_S4_BY_STEPS)
        mega_pool_run(pass->pool, work.features, run_by_steps, &work);
    else if (plan->way == MEGA_S4_BY_MATRIX)
        mega_pool_run(pass->pool, mega_pieces(work.features, (size_t)pass->kernels->lanes),
                      run_by_matrix, &work);
    else if (plan->way == MEGA_S4_DIRECTLY)
        mega_pool_run(pass->pool, tasks, run_directly, &work);
#if MEGA_WITH_FFTW
    else
        mega_pool_run(pass->pool, tasks, run_by_fft, &work);
#endif
}
