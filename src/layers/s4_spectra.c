/*
 * s4_spectra.c - see s4_spectra.h.
 */
#include "src/layers/s4_spectra.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"

static size_t pair_count(const MegaS4SpectraRequest *request)
{
    return mega_pieces(request->ssm->features, 2);
}

uint64_t mega_s4_spectra_floats(const MegaS4SpectraRequest *request)
{
    return (uint64_t)pair_count(request) * request->channels *
           mega_pair_fft_kernel_floats(request->fft->size);
}

/* The memory in which a thread makes one pair. */
typedef struct Making {
    float *kernels;             /* [2][rows][stride] */
    float *signals, *transform; /* [size][2] */
} Making;

static size_t lag_stride(const MegaS4SpectraRequest *request)
{
    return (request->lags + 16) / 16 * 16; /* room for one lag at least */
}

static Making making_layout(const MegaS4SpectraRequest *request, MegaArena *arena)
{
    const size_t floats = mega_pair_fft_floats(request->fft->size);
    Making making;
    making.kernels =
        mega_arena_floats(arena, 2 * (uint64_t)request->ssm->rows * lag_stride(request));
    making.signals = mega_arena_floats(arena, floats);
    making.transform = mega_arena_floats(arena, floats);
    return making;
}

static uint64_t own_memory(const MegaS4SpectraRequest *request)
{
    MegaArena dry = {0};
    making_layout(request, &dry);
    return dry.used * (uint64_t)mega_pool_threads(request->pool);
}

uint64_t mega_s4_spectra_memory(const MegaS4SpectraRequest *request)
{
    const uint64_t kernels =
        mega_ssm_kernels_memory(request->ssm, mega_max_u64(request->lags, 1), request->rate,
                                mega_pool_threads(request->pool));
    uint64_t bytes;
    return mega_add(kernels, own_memory(request), &bytes) ? bytes : UINT64_MAX;
}

#if MEGA_WITH_FFTW

void mega_s4_pair_spectra(const MegaPairFft *fft, const MegaS4Lags pair[2], size_t lags,
                          float *signals, float *transform, float *spectra)
{
    memset(signals, 0, 2 * fft->size * sizeof *signals);
    for (size_t i = 0; i < 2; i++) {
        const MegaS4Lags *feature = &pair[i];
        float *signal = signals + i;
        for (size_t l = 0; feature->back && l < lags; l++)
            signal[2 * l] = feature->back[l];
        for (size_t l = 0; feature->ahead && l < lags; l++)
            signal[2 * (fft->size - 1 - l)] = feature->ahead[l];
        signal[0] += feature->d;
    }
    mega_pair_fft_take_kernels(fft, signals, transform, spectra);
}

typedef struct Spectra {
    const MegaS4SpectraRequest *request;
    MegaSsmMaker *maker;
    Making *makings; /* [threads] */
    float *out;
} Spectra;

static void make_pair(void *context, size_t pair, int worker)
{
    const Spectra *run = context;
    const MegaS4SpectraRequest *request = run->request;
    const Making *making = &run->makings[worker];
    const size_t features = request->ssm->features, rows = request->ssm->rows;
    const size_t stride = lag_stride(request), channels = request->channels;
    const size_t floats = mega_pair_fft_kernel_floats(request->fft->size);
    const size_t count = mega_min_size(features - 2 * pair, 2);
    for (size_t i = 0; i < count; i++)
        mega_ssm_make(run->maker, 2 * pair + i, worker, making->kernels + i * rows * stride,
                      stride);
    for (size_t channel = 0; channel < channels; channel++) {
        MegaS4Lags lags[2] = {{0}};
        for (size_t i = 0; i < count; i++) {
            const float *kernels = making->kernels + i * rows * stride;
            lags[i].back = kernels + channel * stride;
            lags[i].ahead = rows > channels ? kernels + (channels + channel) * stride : NULL;
            lags[i].d = request->d[channel * features + 2 * pair + i];
        }
        mega_s4_pair_spectra(request->fft, lags, request->lags, making->signals, making->transform,
                             run->out + (pair * channels + channel) * floats);
    }
}

int mega_s4_make_spectra(const MegaS4SpectraRequest *request, float *spectra, MegaError *err)
{
    const int threads = mega_pool_threads(request->pool);
    Spectra run = {.request = request, .out = spectra};
    MegaArena arena = {0};
    int code = mega_arena_reserve(&arena, (size_t)own_memory(request), err);
    run.makings = calloc((size_t)threads, sizeof *run.makings);
    if (!code && !run.makings)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for making kernels");
    if (!code)
        code = mega_ssm_maker_new(&run.maker, request->ssm, mega_max_u64(request->lags, 1),
                                  request->rate, threads, err);
    if (!code) {
        for (int i = 0; i < threads; i++)
            run.makings[i] = making_layout(request, &arena);
        mega_pool_run(request->pool, pair_count(request), make_pair, &run);
        code = mega_ssm_made(run.maker, err);
    }
    mega_ssm_maker_free(run.maker);
    mega_arena_free(&arena);
    free(run.makings);
    return code;
}

#else

int mega_s4_make_spectra(const MegaS4SpectraRequest *request, float *spectra, MegaError *err)
{
    (void)spectra;
    return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                     "spectra of %zu positions were asked for, but this build has no FFTW",
                     request->fft->size);
}

#endif
