/*
 * s4_spectra.c - see s4_spectra.h.
 */
#include "src/layers/s4_spectra.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"

uint64_t mega_s4_spectra_floats(const MegaS4SpectraRequest *request)
{
    return (uint64_t)request->ssm->features * request->channels *
           mega_line_fft_floats(request->fft->size);
}

static size_t lag_stride(const MegaS4SpectraRequest *request)
{
    return (size_t)mega_whole_lines(request->lags + 1); /* room for one lag at least */
}

/* Places the memory for the kernels of one feature in one thread: [rows][stride]. */
static float *buffer_layout(const MegaS4SpectraRequest *request, MegaArena *arena)
{
    return mega_arena_floats(
        arena, request->kept ? 0 : (uint64_t)request->ssm->rows * lag_stride(request));
}

static uint64_t own_memory(const MegaS4SpectraRequest *request)
{
    MegaArena dry = {0};
    buffer_layout(request, &dry);
    return dry.used * (uint64_t)mega_pool_threads(request->pool);
}

uint64_t mega_s4_spectra_memory(const MegaS4SpectraRequest *request)
{
    const uint64_t kernels =
        request->kept ? 0
                      : mega_ssm_kernels_memory(request->ssm, mega_max_u64(request->lags, 1),
                                                request->rate, mega_pool_threads(request->pool));
    uint64_t bytes;
    return mega_add(kernels, own_memory(request), &bytes) ? bytes : UINT64_MAX;
}

#if MEGA_WITH_FFTW

typedef struct Spectra {
    const MegaS4SpectraRequest *request;
    MegaSsmMaker *maker;
    float **buffers; /* [threads]: see buffer_layout */
    float *out;
} Spectra;

static void make_feature(void *context, size_t feature, int worker)
{
    const Spectra *run = context;
    const MegaS4SpectraRequest *request = run->request;
    const size_t stride = request->kept ? request->kept_stride : lag_stride(request);
    const size_t channels = request->channels;
    const size_t floats = mega_line_fft_floats(request->fft->size);
    const float *kernels = run->buffers[worker];
    if (request->kept)
        kernels = request->kept + feature * request->ssm->rows * stride;
    else
        mega_ssm_make(run->maker, feature, worker, run->buffers[worker], stride);
    for (size_t channel = 0; channel < channels; channel++) {
        const MegaLineKernel kernel = {
            .back = kernels + channel * stride,
            .ahead =
                request->ssm->rows > channels ? kernels + (channels + channel) * stride : NULL,
            .lags = request->lags,
            .d = request->d[channel * request->ssm->features + feature]};
        mega_line_fft_transform_kernel(request->fft, request->kernels, &kernel,
                                  run->out + (feature * channels + channel) * floats);
    }
}

int mega_s4_make_spectra(const MegaS4SpectraRequest *request, float *spectra, MegaError *err)
{
    const int threads = mega_pool_threads(request->pool);
    Spectra run = {.request = request, .out = spectra};
    MegaArena arena = {0};
    int code = mega_arena_reserve(&arena, (size_t)own_memory(request), err);
    run.buffers = calloc((size_t)threads, sizeof *run.buffers);
    if (!code && !run.buffers)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for making kernels");
    if (!code && !request->kept)
        code = mega_ssm_maker_new(&run.maker, request->ssm, mega_max_u64(request->lags, 1),
                                  request->rate, threads, err);
    if (!code) {
        for (int i = 0; i < threads; i++)
            run.buffers[i] = buffer_layout(request, &arena);
        mega_pool_run(request->pool, request->ssm->features, make_feature, &run);
        code = run.maker ? mega_ssm_made(run.maker, err) : 0;
    }
    mega_ssm_maker_free(run.maker);
    mega_arena_free(&arena);
    free(run.buffers);
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
