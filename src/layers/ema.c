/*
 * ema.c - see ema.h.
 */
#include "src/layers/ema.h"

#include <fftw3.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

/* ---- Coefficients --------------------------------------------------------------------------- */

static float sigma(float x)
{
    return (float)(1.0 / (1.0 + exp(-(double)x)));
}

void mega_ema_prepare(MegaEma *out, const MegaStackConfig *config, const MegaEmaWeights *weights,
                      MegaArena *arena)
{
    size_t n = (size_t)config->ndim, k = (size_t)mega_ema_channels(config);
    size_t states = (n + MEGA_EMA_GROUP - 1) / MEGA_EMA_GROUP * MEGA_EMA_GROUP;
    float *q = mega_arena_floats(arena, states * k);
    float *w = mega_arena_floats(arena, states * k);
    float *qt = config->truncation ? mega_arena_floats(arena, states * k) : NULL;
    *out = (MegaEma){.width = (size_t)config->width,
                     .channels = k,
                     .states = states,
                     .truncation = (size_t)config->truncation,
                     .bidirectional = config->bidirectional,
                     .shifted = config->ema_shift,
                     .q = q,
                     .w = w,
                     .qt = qt,
                     .omega = weights->omega};
    if (!q)
        return; /* dry run */
    for (size_t s = 0; s < states; s++) {
        for (size_t c = 0; c < k; c++) {
            size_t from = c * n + s, to = s * k + c;
            q[to] = w[to] = 0;
            if (qt)
                qt[to] = 0;
            if (s >= n)
                continue;
            /* q in float32 steps as the original: 1 - q may be as small as its rounding */
            float p = sigma(weights->delta[from]);
            q[to] = 1.0f - p * sigma(weights->alpha[from]);
            w[to] = (float)((double)p * weights->beta[from] * weights->gamma[from] /
                            sqrt((double)n));
            if (qt)
                qt[to] = (float)pow((double)q[to], config->truncation);
        }
    }
}

#define MOST_VECTORS 8 /* of channels, in a task */

/* ---- Planning ------------------------------------------------------------------------------- */

/* The planner of FFTW is not thread-safe; its execution is. */
static pthread_mutex_t planner_mutex = PTHREAD_MUTEX_INITIALIZER;

static size_t effective_truncation(const MegaStackConfig *config, size_t length)
{
    size_t truncation = (size_t)config->truncation;
    return truncation && truncation < length ? truncation : length;
}

/* The next even number >= least whose prime factors are 2, 3 and 5: FFTW is fast on those. */
static size_t good_fft_size(size_t least)
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

/* Cost of one channel in nanoseconds, fitted to tools/bench/ema on an AVX2 machine: only the ratio
 * matters, and a wrong guess costs time, not accuracy. With the paper's N = 16 the recurrence wins
 * at every length; the FFT pays for models with hundreds of states. */
static MegaEmaPath choose_path(const MegaStackConfig *config, size_t length)
{
    const double per_position = 1.0, per_state = 0.06, per_butterfly = 0.53, per_kernel_step = 0.06;
    size_t taps = effective_truncation(config, length);
    double directions = config->bidirectional ? 2 : 1;
    double steps = taps < length ? 1.8 : 1.0; /* the truncation tap */
    double size = (double)good_fft_size(length + taps);
    double recurrent =
        directions * (double)length * (per_position + per_state * steps * config->ndim);
    double fft = 3 * per_butterfly * size * log2(size) +
                 per_kernel_step * directions * (double)taps * config->ndim;
    return recurrent <= fft ? MEGA_EMA_RECURRENT : MEGA_EMA_FFT;
}

bool mega_ema_recurs(const MegaStackConfig *config, size_t length)
{
    return choose_path(config, length) == MEGA_EMA_RECURRENT;
}

int mega_ema_plan(MegaEmaPlan *plan, const MegaStackConfig *config, size_t length, MegaEmaPath path,
                  MegaError *err)
{
    if (path == MEGA_EMA_AUTO)
        path = choose_path(config, length);
    mega_ema_plan_free(plan);
    size_t states = ((size_t)config->ndim + MEGA_EMA_GROUP - 1) / MEGA_EMA_GROUP * MEGA_EMA_GROUP;
    *plan = (MegaEmaPlan){.path = path, .length = length,
                          .state_floats = MOST_VECTORS * MEGA_PANEL * states};
    if (path != MEGA_EMA_FFT)
        return 0;
    plan->fft_size = good_fft_size(length + effective_truncation(config, length));
    size_t bins = plan->fft_size / 2 + 1;
    float *real = fftwf_alloc_real(plan->fft_size);
    fftwf_complex *spectrum = fftwf_alloc_complex(bins);
    if (real && spectrum) {
        pthread_mutex_lock(&planner_mutex);
        plan->forward = fftwf_plan_dft_r2c_1d((int)plan->fft_size, real, spectrum, FFTW_ESTIMATE);
        plan->inverse = fftwf_plan_dft_c2r_1d((int)plan->fft_size, spectrum, real, FFTW_ESTIMATE);
        pthread_mutex_unlock(&planner_mutex);
    }
    fftwf_free(real);
    fftwf_free(spectrum);
    if (plan->forward && plan->inverse)
        return 0;
    mega_ema_plan_free(plan);
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory for an FFT over %zu positions", length);
}

void mega_ema_plan_free(MegaEmaPlan *plan)
{
    if (plan->forward || plan->inverse) {
        pthread_mutex_lock(&planner_mutex);
        fftwf_destroy_plan(plan->forward);
        fftwf_destroy_plan(plan->inverse);
        pthread_mutex_unlock(&planner_mutex);
    }
    *plan = (MegaEmaPlan){0};
}

/* Floats of one real signal, and of one spectrum, each rounded up to whole cache lines. */
static size_t real_floats(const MegaEmaPlan *plan)
{
    return (plan->fft_size + 15) / 16 * 16;
}

static size_t spectrum_floats(const MegaEmaPlan *plan)
{
    return (plan->fft_size + 2 + 15) / 16 * 16;
}

uint64_t mega_ema_scratch(const MegaEmaPlan *plan)
{
    if (plan->path != MEGA_EMA_FFT)
        return plan->state_floats;
    return (uint64_t)real_floats(plan) + 2 * (uint64_t)spectrum_floats(plan);
}

/* ---- Running -------------------------------------------------------------------------------- */

typedef struct Run {
    const MegaEmaPlan *plan;
    const MegaEma *ema;
    const MegaKernels *kernels;
    size_t channels;     /* of a task */
    const size_t *begin; /* of the sequences */
    const float *x;
    float *y;
    float *scratch;
    size_t scratch_stride;
} Run;

/* Adds one direction's kernel of a channel: lag j to index (start + j * step) mod size. In double,
 * because thousands of products in a row would cost float32 its last digits. */
static void add_kernel(const MegaEma *ema, size_t channel, size_t taps, float *signal, size_t size,
                       size_t start, bool backward)
{
    double power[MEGA_MAX_NDIM], q[MEGA_MAX_NDIM];
    for (size_t n = 0; n < ema->states; n++) {
        power[n] = ema->w[n * ema->channels + channel];
        q[n] = ema->q[n * ema->channels + channel];
    }
    for (size_t j = 0; j < taps; j++) {
        double sum = 0;
        for (size_t n = 0; n < ema->states; n++) {
            sum += power[n];
            power[n] *= q[n];
        }
        size_t at = backward ? (start + size - j) % size : start + j;
        signal[at] += (float)sum;
    }
}

/* y[., channel] = kernel * x[., channel], before omega and silu. Both directions are one circular
 * convolution; the size leaves room for all lags without wrapping onto real positions. */
static void convolve_channel(const Run *run, size_t channel, float *scratch)
{
    const MegaEma *ema = run->ema;
    size_t length = run->plan->length, size = run->plan->fft_size, d = ema->width;
    size_t taps = ema->truncation && ema->truncation < length ? ema->truncation : length;
    float *signal = scratch;
    float *kernel = signal + real_floats(run->plan);
    float *spectrum = kernel + spectrum_floats(run->plan);

    memset(signal, 0, size * sizeof *signal);
    add_kernel(ema, channel, taps, signal, size, 0, false);
    if (ema->bidirectional)
        add_kernel(ema, d + channel, taps, signal, size, ema->shifted ? size - 1 : 0, true);
    fftwf_execute_dft_r2c(run->plan->forward, signal, (fftwf_complex *)kernel);

    for (size_t t = 0; t < length; t++)
        signal[t] = ema->scale ? run->x[t * d + channel] * ema->scale[channel] + ema->shift[channel]
                               : run->x[t * d + channel];
    memset(signal + length, 0, (size - length) * sizeof *signal);
    fftwf_execute_dft_r2c(run->plan->forward, signal, (fftwf_complex *)spectrum);

    float scale = 1.0f / (float)size;
    for (size_t i = 0; i < size + 2; i += 2) {
        float re = spectrum[i] * kernel[i] - spectrum[i + 1] * kernel[i + 1];
        float im = spectrum[i] * kernel[i + 1] + spectrum[i + 1] * kernel[i];
        spectrum[i] = re * scale;
        spectrum[i + 1] = im * scale;
    }
    fftwf_execute_dft_c2r(run->plan->inverse, (fftwf_complex *)spectrum, signal);
    for (size_t t = 0; t < length; t++)
        run->y[t * d + channel] = signal[t];
}

/* Channels of a task, so that every thread has one: those of vectors that lie side by side are read
 * together. Every channel is computed by itself, so the cut does not show. */
static size_t task_channels(const MegaEmaPlan *plan, const MegaKernels *kernels, size_t width,
                            size_t threads)
{
    size_t lanes = (size_t)kernels->lanes, vectors = (width + lanes - 1) / lanes;
    size_t each = (vectors + threads - 1) / threads;
    size_t pieces = (each + MOST_VECTORS - 1) / MOST_VECTORS;
    return plan->path == MEGA_EMA_FFT ? lanes : (each + pieces - 1) / pieces * lanes;
}

/* One task: some channels, all positions of a sequence. */
static void run_channels(void *context, size_t task, int worker)
{
    const Run *run = context;
    const MegaEma *ema = run->ema;
    const MegaKernels *kernels = run->kernels;
    size_t d = ema->width, tasks = (d + run->channels - 1) / run->channels;
    size_t begin = run->begin[task / tasks], length = run->begin[task / tasks + 1] - begin;
    size_t first = task % tasks * run->channels;
    size_t count = d - first < run->channels ? d - first : run->channels;
    float *scratch = run->scratch + (size_t)worker * run->scratch_stride;
    MegaEmaPass pass = {.x = run->x + begin * d, .scale = ema->scale, .shift = ema->shift,
                        .y = run->y + begin * d, .length = length, .width = d, .q = ema->q,
                        .w = ema->w, .qt = ema->qt, .states = ema->states,
                        .ema_stride = ema->channels, .truncation = ema->truncation,
                        .omega = ema->bidirectional ? NULL : ema->omega};
    if (run->plan->path == MEGA_EMA_FFT) {
        for (size_t c = first; c < first + count; c++)
            convolve_channel(run, c, scratch);
        kernels->ema_output(pass.x, ema->scale, ema->shift, pass.y, length, d, first, count,
                            ema->omega);
        return;
    }
    kernels->ema(&pass, first, count, scratch);
    if (!ema->bidirectional)
        return;
    pass.q += d;
    pass.w += d;
    if (ema->qt)
        pass.qt += d;
    pass.backward = true;
    pass.shifted = ema->shifted;
    pass.omega = ema->omega;
    kernels->ema(&pass, first, count, scratch);
}

void mega_ema_run(const MegaEmaPlan *plan, const MegaEma *ema, const MegaKernels *kernels,
                  MegaPool *pool, const size_t *begin, size_t count, const float *x, float *y,
                  float *scratch, size_t scratch_stride)
{
    size_t channels = task_channels(plan, kernels, ema->width, (size_t)mega_pool_threads(pool));
    Run run = {plan, ema, kernels, channels, begin, x, y, scratch, scratch_stride};
    mega_pool_run(pool, count * ((ema->width + channels - 1) / channels), run_channels, &run);
}
