/*
 * ema.c - see ema.h.
 */
#include "src/layers/ema.h"

#include <math.h>
#include <string.h>

#include "src/base/checked.h"

/* ---- Coefficients --------------------------------------------------------------------------- */

static float sigma(float x)
{
    return (float)(1.0 / (1.0 + exp(-(double)x)));
}

/* Returns N, rounded up to whole groups of states. */
static size_t padded_states(const MegaStackConfig *config)
{
    return mega_pieces((size_t)mega_gated(config)->ndim, MEGA_EMA_GROUP) * MEGA_EMA_GROUP;
}

void mega_ema_prepare(MegaEma *out, const MegaStackConfig *config, const MegaEmaWeights *weights,
                      MegaArena *arena)
{
    size_t n = (size_t)mega_gated(config)->ndim, k = (size_t)mega_ema_channels(config);
    size_t states = padded_states(config);
    float *q = mega_arena_floats(arena, states * k);
    float *w = mega_arena_floats(arena, states * k);
    float *qt = mega_gated(config)->truncation ? mega_arena_floats(arena, states * k) : NULL;
    *out = (MegaEma){.width = (size_t)config->width,
                     .channels = k,
                     .states = states,
                     .truncation = (size_t)mega_gated(config)->truncation,
                     .bidirectional = config->bidirectional,
                     .shifted = mega_gated(config)->ema_shift,
                     .q = q,
                     .w = w,
                     .qt = qt,
                     .omega = weights->omega};
    if (!q)
        return; /* a dry run only counts memory */
    for (size_t s = 0; s < states; s++) {
        for (size_t c = 0; c < k; c++) {
            size_t from = c * n + s, to = s * k + c;
            q[to] = w[to] = 0;
            if (qt)
                qt[to] = 0;
            if (s >= n)
                continue;
            /* q is computed in float32 steps as in the original, since 1 - q may be as small as the
             * rounding of q */
            float p = sigma(weights->delta[from]);
            q[to] = 1.0f - p * sigma(weights->alpha[from]);
            w[to] = (float)((double)p * weights->beta[from] * weights->gamma[from] /
                            sqrt((double)n));
            if (qt)
                qt[to] = (float)pow((double)q[to], mega_gated(config)->truncation);
        }
    }
}

#define MOST_VECTORS 8 /* most vectors of channels in one task */

/* ---- Planning ------------------------------------------------------------------------------- */

/* Returns how many lags of the kernel a sequence of this length meets: min(T, L). */
static size_t lag_count(size_t truncation, size_t length)
{
    return truncation && truncation < length ? truncation : length;
}

/* Compares the cost of one channel in nanoseconds, fitted to tools/bench/ema on an AVX2 machine.
 * Only their ratio matters, and a wrong guess costs time, not accuracy. With the paper's N = 16 the
 * recurrence wins at every length; the FFT pays for models with hundreds of states. */
static MegaEmaPath choose_path(const MegaStackConfig *config, size_t length)
{
    const double per_position = 1.0, per_state = 0.06, per_butterfly = 0.53, per_kernel_step = 0.06;
    size_t taps = lag_count((size_t)mega_gated(config)->truncation, length);
    double directions = config->bidirectional ? 2 : 1;
    /* the term that truncation subtracts takes part of the time */
    double steps = taps < length ? 1.8 : 1.0;
    double size = (double)mega_fft_size(length + taps);
    double recurrent =
        directions * (double)length * (per_position + per_state * steps * mega_gated(config)->ndim);
    double fft = 3 * per_butterfly * size * log2(size) +
                 per_kernel_step * directions * (double)taps * mega_gated(config)->ndim;
    return recurrent <= fft || !MEGA_WITH_FFTW ? MEGA_EMA_RECURRENT : MEGA_EMA_FFT;
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
    *plan = (MegaEmaPlan){.path = path, .length = length,
                          .state_floats = MOST_VECTORS * MEGA_PANEL * padded_states(config)};
    if (path != MEGA_EMA_FFT)
        return 0;
    const size_t taps = lag_count((size_t)mega_gated(config)->truncation, length);
    return mega_fft_plan(&plan->fft, mega_fft_size(length + taps), err);
}

void mega_ema_plan_free(MegaEmaPlan *plan)
{
    mega_fft_free(&plan->fft);
    *plan = (MegaEmaPlan){0};
}

uint64_t mega_ema_scratch(const MegaEmaPlan *plan)
{
    return plan->path == MEGA_EMA_FFT ? mega_fft_scratch(&plan->fft) : plan->state_floats;
}

/* ---- Running -------------------------------------------------------------------------------- */

typedef struct Run {
    const MegaEmaPlan *plan;
    const MegaEma *ema;
    const MegaEmaRun *request;
    size_t channels; /* channels of one task */
} Run;

#if MEGA_WITH_FFTW

/* Adds one direction's kernel of a channel to a circular signal: lag j goes to index start + j, or
 * backward to start - j mod size. It computes in double, because thousands of products in a row
 * would cost float32 its last digits. */
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
 * convolution, whose size leaves room for all lags without wrapping onto real positions. */
static void convolve_channel(const Run *run, size_t channel, float *scratch)
{
    const MegaEma *ema = run->ema;
    const MegaFft *fft = &run->plan->fft;
    const MegaFftBuffers buffers = mega_fft_buffers(fft, scratch);
    size_t length = run->plan->length, size = fft->size, d = ema->width;
    const float *x = run->request->x;
    size_t taps = lag_count(ema->truncation, length);
    float *signal = buffers.signal;

    memset(signal, 0, size * sizeof *signal);
    add_kernel(ema, channel, taps, signal, size, 0, false);
    if (ema->bidirectional)
        add_kernel(ema, d + channel, taps, signal, size, ema->shifted ? size - 1 : 0, true);
    mega_fft_transform_kernel(fft, &buffers);

    for (size_t t = 0; t < length; t++)
        signal[t] = ema->scale ? x[t * d + channel] * ema->scale[channel] + ema->shift[channel]
                               : x[t * d + channel];
    memset(signal + length, 0, (size - length) * sizeof *signal);
    mega_fft_convolve(fft, &buffers);
    for (size_t t = 0; t < length; t++)
        run->request->y[t * d + channel] = signal[t];
}

#endif

/* Returns the channels of one task, so that every thread gets a task. Channels of neighbouring
 * vectors are read together. Each channel is computed by itself, so the division does not change a
 * result. */
static size_t task_channels(const MegaEmaPlan *plan, const MegaKernels *kernels, size_t width,
                            size_t threads)
{
    size_t lanes = (size_t)kernels->lanes, each = mega_pieces(mega_pieces(width, lanes), threads);
    size_t pieces = mega_pieces(each, MOST_VECTORS);
    return plan->path == MEGA_EMA_FFT ? lanes : mega_pieces(each, pieces) * lanes;
}

/* Runs one task: some channels over all positions of a sequence, both halves. */
static void run_channels(void *context, size_t task, int worker)
{
    const Run *run = context;
    const MegaEma *ema = run->ema;
    const MegaEmaRun *request = run->request;
    const MegaKernels *kernels = request->kernels;
    size_t d = ema->width, tasks = mega_pieces(d, run->channels);
    size_t begin = request->begin[task / tasks], length = request->begin[task / tasks + 1] - begin;
    size_t first = task % tasks * run->channels;
    size_t count = mega_min_size(d - first, run->channels);
    float *scratch = request->scratch + (size_t)worker * request->scratch_stride;
    MegaEmaPass pass = {.x = request->x + begin * d, .scale = ema->scale, .shift = ema->shift,
                        .y = request->y + begin * d, .length = length, .width = d, .q = ema->q,
                        .w = ema->w, .qt = ema->qt, .states = ema->states,
                        .ema_stride = ema->channels, .truncation = ema->truncation,
                        .omega = ema->bidirectional ? NULL : ema->omega};
#if MEGA_WITH_FFTW
    if (run->plan->path == MEGA_EMA_FFT) {
        for (size_t c = first; c < first + count; c++)
            convolve_channel(run, c, scratch);
        pass.omega = ema->omega;
        kernels->ema_output(&pass, first, count);
        return;
    }
#endif
    const MegaEmaPiece *piece = request->piece;
    pass.continues = piece != NULL;
    pass.before = piece ? piece->before : 0;
    if (!piece || !piece->ahead_only)
        kernels->ema(&pass, first, count, piece ? piece->back + first * ema->states : scratch);
    if (!ema->bidirectional)
        return;
    pass.q += d;
    pass.w += d;
    if (ema->qt)
        pass.qt += d;
    pass.backward = true;
    pass.shifted = ema->shifted;
    pass.omega = piece && piece->ahead_only ? NULL : ema->omega;
    pass.before = piece ? piece->after : 0;
    kernels->ema(&pass, first, count, piece ? piece->ahead + first * ema->states : scratch);
}

void mega_ema_run(const MegaEmaPlan *plan, const MegaEma *ema, const MegaEmaRun *request)
{
    size_t threads = (size_t)mega_pool_threads(request->pool);
    size_t channels = task_channels(plan, request->kernels, ema->width, threads);
    Run run = {plan, ema, request, channels};
    mega_pool_run(request->pool, request->sequences * mega_pieces(ema->width, channels),
                  run_channels, &run);
}
