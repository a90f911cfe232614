/*
 * s4_plan.c - see s4_plan.h.
 */
#include "src/layers/s4_plan.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"

/* ---- Memory --------------------------------------------------------------------------------- */

/* Changes the plan's share of the session's memory from `from` to `to` bytes. */
static int count(MegaS4Plan *plan, uint64_t from, uint64_t to, MegaError *err)
{
    int code = mega_ledger_change(plan->ledger, from, to, "the kernels of the layers", err);
    if (!code)
        plan->counted += to - from;
    return code;
}

static void free_kernels(MegaS4Kernels *kernels)
{
    free(kernels->spectra);
    free(kernels->own_values);
    *kernels = (MegaS4Kernels){0};
}

static void drop_kernels(MegaS4Plan *plan)
{
    for (size_t i = 0; i < plan->layers; i++) {
        count(plan, plan->kernels[i].counted, 0, NULL);
        free_kernels(&plan->kernels[i]);
    }
}

static void drop_steps(MegaS4Plan *plan)
{
    count(plan, plan->step_arena.size, 0, NULL);
    mega_arena_free(&plan->step_arena);
    plan->steps = NULL;
    plan->states = NULL;
}

static void drop_matrices(MegaS4Plan *plan)
{
    count(plan, plan->matrix_arena.size, 0, NULL);
    mega_arena_free(&plan->matrix_arena);
    plan->matrices = NULL;
}

static void free_plan(void *memory)
{
    MegaS4Plan *plan = memory;
    if (!plan)
        return;
    for (size_t i = 0; i < plan->layers; i++)
        free_kernels(&plan->kernels[i]);
    free(plan->kernels);
    mega_arena_free(&plan->step_arena);
    mega_arena_free(&plan->matrix_arena);
    mega_line_fft_free(&plan->fft);
    mega_ledger_change(plan->ledger, plan->counted, 0, NULL, NULL);
    mega_ledger_drop(plan->ledger);
    free(plan);
}

static int new_plan(MegaS4Plan **out, const MegaPlanRequest *request, MegaError *err)
{
    const size_t layers = (size_t)request->stack->config->layers;
    MegaS4Plan *plan = calloc(1, sizeof *plan);
    *out = plan;
    if (!plan || !(plan->kernels = calloc(layers, sizeof *plan->kernels))) {
        free(plan);
        *out = NULL;
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the kernels of %zu layers", layers);
    }
    plan->layers = layers;
    plan->ledger = mega_ledger_hold(request->ledger);
    return 0;
}

/* ---- Making --------------------------------------------------------------------------------- */

static MegaSsm space_of(const MegaStack *stack, size_t index)
{
    return mega_s4_space(stack->config, (const MegaS4Weights *)stack->weights + index);
}

/* Rounds a length up to one of a few sizes per octave, so that inputs of similar lengths share an
 * FFT: a power of two times a number of at most 32 for which FFTW is fast. */
static size_t room_for(size_t length)
{
    size_t step = 1;
    while (length > 32 * step)
        step *= 2;
    return mega_fft_size(mega_pieces(length, step)) * step;
}

/* Returns how many lags to make so that inputs of up to `room` positions can share them. The
 * present input needs `taps`; lags of another family (mega_ssm_family) are not shared. */
static size_t shared_lags(const MegaSsm *ssm, size_t taps, size_t room, double rate)
{
    const uint64_t all = mega_ssm_taps(ssm, room, rate);
    if (all <= taps || mega_ssm_family(ssm, all, rate) == mega_ssm_family(ssm, taps, rate))
        return (size_t)all;
    uint64_t lags = mega_ssm_whole(ssm, taps, rate);
    lags = lags < all ? lags : all;
    /* at another rate than 1, the last of all lags may have been rounded up */
    while (lags > taps && mega_ssm_family(ssm, lags, rate) != mega_ssm_family(ssm, taps, rate))
        lags--;
    return lags < taps ? taps : (size_t)lags;
}

size_t mega_s4_kernel_lags(const MegaStackConfig *stack, const MegaS4Weights *weights,
                           size_t length)
{
    const MegaSsm ssm = mega_s4_space(stack, weights);
    return shared_lags(&ssm, (size_t)mega_ssm_taps(&ssm, length, 1), room_for(length), 1);
}

/* The kernels that a layer needs for the present input. */
typedef struct Wanted {
    MegaSsm ssm;
    size_t lags;
    uint64_t family;
    MegaS4Kept kept; /* the same kernels in the model's file, if it has them */
} Wanted;

static Wanted wanted_of(const MegaS4Plan *plan, const MegaStack *stack, size_t index)
{
    Wanted wanted = {.ssm = space_of(stack, index)};
    wanted.lags = shared_lags(&wanted.ssm, plan->taps, plan->room, plan->rate);
    wanted.family = mega_ssm_family(&wanted.ssm, plan->taps, plan->rate);
    wanted.kept = mega_s4_kept(stack->config, (const MegaS4Weights *)stack->weights + index,
                               wanted.lags, wanted.family, plan->rate);
    return wanted;
}

/* Returns whether the layer's spectra are those that the present input needs. */
static bool has_spectra(const MegaS4Plan *plan, const MegaS4Kernels *kernels, const Wanted *wanted)
{
    return kernels->spectra && kernels->size == plan->fft.size && kernels->lags == wanted->lags &&
           kernels->family == wanted->family;
}

/* Frees a layer's spectra and values, and allocates `floats` floats for new ones: *out is
 * kernels->spectra or kernels->own_values. `making` further bytes must be free, since making them
 * takes that much for a time. */
static int take_memory(MegaS4Plan *plan, MegaS4Kernels *kernels, uint64_t floats, uint64_t making,
                       float **out, MegaError *err)
{
    uint64_t bytes, all;
    count(plan, kernels->counted, 0, NULL);
    free_kernels(kernels);
    if (!mega_mul(floats, sizeof(float), &bytes) || !mega_add(bytes, making, &all) ||
        all > SIZE_MAX - 63)
        return mega_fail(err, MEGA_ERR_LIMIT, "kernels of %zu lags are too long", plan->taps);
    int code = mega_ledger_check(plan->ledger, all, "making the kernels of a layer", err);
    if (!code)
        code = count(plan, 0, bytes, err);
    if (code)
        return code;
    *out = aligned_alloc(64, ((size_t)bytes + 63) / 64 * 64);
    if (*out) {
        kernels->counted = bytes;
        return 0;
    }
    count(plan, bytes, 0, NULL);
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory for kernels of %zu lags", plan->taps);
}

static int make_spectra(MegaS4Plan *plan, const MegaPlanRequest *request, size_t index,
                        const Wanted *wanted, MegaError *err)
{
    const MegaStackConfig *config = request->stack->config;
    MegaS4Kernels *kernels = &plan->kernels[index];
    const MegaS4SpectraRequest what = {
        .ssm = &wanted->ssm,
        .fft = &plan->fft,
        .kernels = request->kernels,
        .lags = wanted->lags,
        .channels = (size_t)mega_s4(config)->channels,
        .rate = plan->rate,
        .kept = wanted->kept.values,
        .kept_stride = wanted->kept.stride,
        .d = ((const MegaS4Weights *)request->stack->weights)[index].d,
        .pool = request->pool};
    int code = take_memory(plan, kernels, mega_s4_spectra_floats(&what),
                           mega_s4_spectra_memory(&what), &kernels->spectra, err);
    if (!code)
        code = mega_s4_make_spectra(&what, kernels->spectra, err);
    kernels->size = plan->fft.size;
    return code;
}

/* Returns how many lags of values to compute: as many as a longer input would need, since one may
 * follow, unless that many for all `kernels` kernels would take over half of the memory left. */
static size_t value_lags(const MegaS4Plan *plan, const Wanted *wanted, uint64_t kernels)
{
    size_t room = 1024;
    while (room < plan->room)
        room *= 2;
    const size_t lags = shared_lags(&wanted->ssm, plan->taps, room, plan->rate);
    const uint64_t left = mega_ledger_left(plan->ledger);
    return lags <= wanted->lags || lags > left / sizeof(float) / 2 / kernels ? wanted->lags : lags;
}

static int make_values(MegaS4Plan *plan, const MegaPlanRequest *request, size_t index,
                       const Wanted *wanted, MegaError *err)
{
    const MegaStackConfig *config = request->stack->config;
    const uint64_t rows = mega_s4_features(config) * mega_s4_rows(config);
    MegaS4Kernels *kernels = &plan->kernels[index];
    if (wanted->kept.values) {
        count(plan, kernels->counted, 0, NULL);
        free_kernels(kernels);
        kernels->values = wanted->kept.values;
        kernels->stride = kernels->have = wanted->kept.stride;
        return 0;
    }
    const size_t have = value_lags(plan, wanted, rows * (plan->layers - index));
    const uint64_t lags = have ? have : 1;
    const size_t stride = (size_t)mega_whole_lines(lags);
    int code = take_memory(
        plan, kernels, rows * stride,
        mega_ssm_kernels_memory(&wanted->ssm, lags, plan->rate, mega_pool_threads(request->pool)),
        &kernels->own_values, err);
    if (!code)
        code = mega_ssm_kernels(&wanted->ssm, lags, plan->rate, request->pool,
                                kernels->own_values, stride, err);
    kernels->values = kernels->own_values;
    kernels->stride = stride;
    kernels->have = have;
    return code;
}

/* Computes the kernels of a layer unless the plan has them. */
static int make_kernels(MegaS4Plan *plan, const MegaPlanRequest *request, size_t index,
                        MegaError *err)
{
    const Wanted wanted = wanted_of(plan, request->stack, index);
    MegaS4Kernels *kernels = &plan->kernels[index];
    const bool by_values = plan->is_varied || plan->way != MEGA_S4_BY_FFT;
    int code = 0;
    if (by_values &&
        !(kernels->values && kernels->family == wanted.family && kernels->have >= wanted.lags))
        code = make_values(plan, request, index, &wanted, err);
    else if (!by_values && !has_spectra(plan, kernels, &wanted))
        code = make_spectra(plan, request, index, &wanted, err);
    kernels->lags = wanted.lags;
    kernels->family = wanted.family;
    if (!code)
        return 0;
    count(plan, kernels->counted, 0, NULL);
    free_kernels(kernels);
    return code;
}

/* Plans the FFT of the input. Spectra serve one size only and take long to compute, so once an
 * input of another size comes, the plan keeps the values of kernels instead. */
static int plan_fft(MegaS4Plan *plan, const MegaStack *stack, MegaError *err)
{
    const size_t size = mega_fft_size(plan->room);
    if (plan->fft.size != size) {
        mega_line_fft_free(&plan->fft);
        count(plan, plan->fft_bytes, 0, NULL);
        plan->fft_bytes = 0;
        int code = count(plan, 0, mega_line_fft_memory(size), err);
        if (code)
            return code;
        plan->fft_bytes = mega_line_fft_memory(size);
        if ((code = mega_line_fft_plan(&plan->fft, size, err)))
            return code;
    }
    for (size_t i = 0; i < plan->layers && !plan->is_varied; i++) {
        const Wanted wanted = wanted_of(plan, stack, i);
        plan->is_varied =
            plan->kernels[i].spectra && !has_spectra(plan, &plan->kernels[i], &wanted);
    }
    return 0;
}

static void steps_layout(MegaS4Plan *plan, const MegaStack *stack, MegaArena *arena)
{
    const size_t layers = plan->layers;
    plan->state_floats =
        2 * mega_s4_features(stack->config) * (size_t)mega_s4(stack->config)->states;
    plan->steps = mega_arena_take(arena, layers * sizeof *plan->steps);
    plan->states = mega_arena_take(arena, layers * sizeof *plan->states);
    for (size_t i = 0; i < layers; i++) {
        const MegaSsm ssm = space_of(stack, i);
        MegaSsmSteps steps;
        mega_ssm_steps_layout(&steps, &ssm, arena);
        float *state = mega_arena_floats(arena, plan->state_floats);
        if (!plan->steps || !plan->states)
            continue; /* a dry run only counts memory */
        plan->steps[i] = steps;
        plan->states[i] = state;
    }
}

/* Reserves an arena for what `layout` places, lets it do so, and counts the bytes for the plan. */
static int reserve(MegaS4Plan *plan, const MegaStack *stack,
                   void (*layout)(MegaS4Plan *plan, const MegaStack *stack, MegaArena *arena),
                   MegaArena *arena, MegaError *err)
{
    MegaArena dry = {0};
    layout(plan, stack, &dry);
    int code = count(plan, 0, dry.used, err);
    if (!code && (code = mega_arena_reserve(arena, dry.used, err)))
        count(plan, dry.used, 0, NULL);
    if (!code)
        layout(plan, stack, arena);
    return code;
}

static int make_steps(MegaS4Plan *plan, const MegaPlanRequest *request, MegaError *err)
{
    if (plan->steps)
        return 0;
    int code = reserve(plan, request->stack, steps_layout, &plan->step_arena, err);
    if (code)
        return code;
    for (size_t i = 0; i < plan->layers && !code; i++) {
        const MegaSsm ssm = space_of(request->stack, i);
        memset(plan->states[i], 0, plan->state_floats * sizeof(float));
        code = mega_ssm_steps(&ssm, plan->rate, request->pool, &plan->steps[i], err);
    }
    if (code)
        drop_steps(plan);
    return code;
}

static void matrices_layout(MegaS4Plan *plan, const MegaStack *stack, MegaArena *arena)
{
    plan->matrices = mega_arena_take(arena, plan->layers * sizeof *plan->matrices);
    for (size_t i = 0; i < plan->layers; i++) {
        const MegaSsm ssm = space_of(stack, i);
        MegaSsmMatrix matrix;
        mega_ssm_matrix_layout(&matrix, &ssm, arena);
        if (plan->matrices)
            plan->matrices[i] = matrix;
    }
}

static int make_matrices(MegaS4Plan *plan, const MegaPlanRequest *request, MegaError *err)
{
    if (plan->matrices)
        return 0;
    int code = reserve(plan, request->stack, matrices_layout, &plan->matrix_arena, err);
    if (code)
        return code;
    for (size_t i = 0; i < plan->layers && !code; i++) {
        const MegaSsm ssm = space_of(request->stack, i);
        code = mega_ssm_matrix(&ssm, plan->rate, request->pool, &plan->matrices[i], err);
    }
    if (code)
        drop_matrices(plan);
    return code;
}

/* Chooses how the layers convolve; with may_recur, systems of few states may run by matrix. */
static MegaS4Way choose_way(const MegaPlanRequest *request, const MegaSsm *ssm, size_t taps,
                            bool may_recur)
{
    const MegaBatch *batch = request->batch;
    /* at another rate than 1, the recurrence has the kernel of inputs whose length need not
     * double */
    const uint64_t family = mega_ssm_family(ssm, taps, batch->rate);
    const bool recurs = taps == batch->lengths[0] &&
                        (ssm->rank > 0 ? batch->rate == 1 || family == ssm->length
                                       : ssm->discretization != MEGA_SSM_DSS);
    if (request->is_stream || (batch->path == MEGA_EMA_RECURRENT && recurs))
        return MEGA_S4_BY_STEPS;
    /* a position of a feature takes (2N + 2) 2N multiply-adds by matrix, and no memory; with N = 2
     * that is faster than the FFT at every length */
    if (batch->path == MEGA_EMA_AUTO && recurs && batch->rate == 1 && may_recur &&
        ssm->states <= MEGA_SSM_MATRIX_STATES)
        return MEGA_S4_BY_MATRIX;
    if (MEGA_WITH_FFTW)
        return MEGA_S4_BY_FFT;
    return recurs ? MEGA_S4_BY_STEPS : MEGA_S4_DIRECTLY;
}

static int make_plan(const MegaPlanRequest *request, void **out, MegaError *err)
{
    const MegaStackConfig *config = request->stack->config;
    const double rate = request->batch->rate;
    MegaS4Plan *plan = *out;
    int code = plan ? 0 : new_plan(&plan, request, err);
    if (code)
        return code;
    *out = plan;
    if (request->is_stream && config->bidirectional)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "the model's layers look ahead, so it cannot run in pieces");
    if (plan->rate != rate) {
        drop_kernels(plan);
        drop_steps(plan);
        drop_matrices(plan);
        plan->rate = rate;
        plan->is_varied = false;
    }
    const MegaSsm ssm = space_of(request->stack, 0);
    plan->length = request->batch->lengths[0];
    plan->taps = (size_t)mega_ssm_taps(&ssm, plan->length, rate);
    plan->way = choose_way(request, &ssm, plan->taps, true);
    if (plan->way == MEGA_S4_BY_MATRIX) {
        code = make_matrices(plan, request, err);
        if (code != MEGA_ERR_MODEL)
            return code;
        /* there is no recurrence, but there may be kernels */
        plan->way = choose_way(request, &ssm, plan->taps, false);
        code = 0;
    }
    if (plan->way == MEGA_S4_BY_STEPS)
        return make_steps(plan, request, err);
    plan->room = plan->way == MEGA_S4_BY_FFT ? room_for(plan->length) : plan->length;
    if (plan->way == MEGA_S4_BY_FFT)
        code = plan_fft(plan, request->stack, err);
    for (size_t i = 0; i < plan->layers && !code; i++)
        code = make_kernels(plan, request, i, err);
    return code;
}

/* MegaPlanner.restart: sets the states of a stream to 0. */
static void restart(void *memory)
{
    MegaS4Plan *plan = memory;
    for (size_t i = 0; plan && plan->states && i < plan->layers; i++)
        memset(plan->states[i], 0, plan->state_floats * sizeof(float));
}

const MegaPlanner mega_s4_planner = {.make = make_plan, .free = free_plan, .restart = restart};
