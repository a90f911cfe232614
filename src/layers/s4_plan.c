/*
 * s4_plan.c - see s4_plan.h.
 */
#include "src/layers/s4_plan.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"

/* ---- Memory --------------------------------------------------------------------------------- */

/* Counts `to` bytes in place of `from` for the plan. */
static int count(MegaS4Plan *plan, uint64_t from, uint64_t to, MegaError *err)
{
    int code = mega_ledger_change(plan->ledger, from, to, "the kernels of the layers", err);
    if (!code)
        plan->counted += to - from;
    return code;
}

static uint64_t kernel_bytes(const MegaStackConfig *config, const MegaS4Kernels *kernels)
{
    return mega_s4_features(config) * mega_s4_rows(config) * (uint64_t)kernels->stride *
           sizeof(float);
}

static void drop_kernels(MegaS4Plan *plan, const MegaStackConfig *config)
{
    for (size_t i = 0; i < plan->layers; i++) {
        MegaS4Kernels *kernels = &plan->kernels[i];
        if (kernels->values)
            count(plan, kernel_bytes(config, kernels), 0, NULL);
        free(kernels->values);
        *kernels = (MegaS4Kernels){0};
    }
}

static void drop_steps(MegaS4Plan *plan)
{
    count(plan, plan->step_arena.size, 0, NULL);
    mega_arena_free(&plan->step_arena);
    plan->step_arena = (MegaArena){0};
    plan->steps = NULL;
    plan->states = NULL;
}

static void free_plan(void *memory)
{
    MegaS4Plan *plan = memory;
    if (!plan)
        return;
    for (size_t i = 0; i < plan->layers; i++)
        free(plan->kernels[i].values);
    free(plan->kernels);
    mega_arena_free(&plan->step_arena);
    mega_fft_free(&plan->fft);
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

/* Makes the kernels of a layer unless there are enough lags of them. */
static int make_kernels(MegaS4Plan *plan, const MegaPlanRequest *request, size_t index,
                        MegaError *err)
{
    const MegaSsm ssm = space_of(request->stack, index);
    const MegaStackConfig *config = request->stack->config;
    MegaS4Kernels *kernels = &plan->kernels[index];
    const uint64_t family = mega_ssm_family(&ssm, plan->taps, plan->rate);
    if (kernels->values && kernels->have >= plan->taps && kernels->family == family)
        return 0;
    const uint64_t whole = mega_ssm_whole(&ssm, plan->taps ? plan->taps : 1, plan->rate);
    const int threads = mega_pool_threads(request->pool);
    MegaS4Kernels made = {
        .family = family, .have = (size_t)whole, .stride = (size_t)(whole + 15) / 16 * 16};
    const uint64_t bytes = kernel_bytes(config, &made);
    const uint64_t before = kernels->values ? kernel_bytes(config, kernels) : 0;
    int code = mega_ledger_check(plan->ledger,
                                 bytes + mega_ssm_kernels_memory(&ssm, whole, plan->rate, threads),
                                 "making the kernels of a layer", err);
    if (!code)
        code = count(plan, before, bytes, err);
    if (code)
        return code;
    free(kernels->values);
    kernels->values = NULL;
    made.values = aligned_alloc(64, (size_t)bytes);
    if (!made.values) {
        count(plan, bytes, 0, NULL);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for kernels of %llu lags",
                         (unsigned long long)whole);
    }
    *kernels = made;
    code = mega_ssm_kernels(&ssm, whole, plan->rate, request->pool, made.values, made.stride, err);
    if (code) {
        count(plan, bytes, 0, NULL);
        free(made.values);
        *kernels = (MegaS4Kernels){0};
    }
    return code;
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

static int make_steps(MegaS4Plan *plan, const MegaPlanRequest *request, MegaError *err)
{
    MegaArena dry = {0};
    if (plan->steps)
        return 0;
    steps_layout(plan, request->stack, &dry);
    int code = count(plan, 0, dry.used, err);
    if (!code && (code = mega_arena_reserve(&plan->step_arena, dry.used, err)))
        count(plan, dry.used, 0, NULL);
    if (code)
        return code;
    steps_layout(plan, request->stack, &plan->step_arena);
    for (size_t i = 0; i < plan->layers && !code; i++) {
        const MegaSsm ssm = space_of(request->stack, i);
        memset(plan->states[i], 0, plan->state_floats * sizeof(float));
        code = mega_ssm_steps(&ssm, plan->rate, request->pool, &plan->steps[i], err);
    }
    if (code)
        drop_steps(plan);
    return code;
}

static MegaS4Way choose_way(const MegaPlanRequest *request, const MegaSsm *ssm, size_t taps)
{
    const MegaBatch *batch = request->batch;
    /* at another rate than 1, the recurrence is that of an input which needs no longer kernel */
    const uint64_t family = mega_ssm_family(ssm, taps, batch->rate);
    const bool recurs = taps == batch->lengths[0] &&
                        (ssm->rank > 0 ? batch->rate == 1 || family == ssm->length
                                       : ssm->discretization != MEGA_SSM_DSS);
    if (request->is_stream || (batch->path == MEGA_EMA_RECURRENT && recurs))
        return MEGA_S4_BY_STEPS;
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
        drop_kernels(plan, config);
        drop_steps(plan);
        plan->rate = rate;
    }
    const MegaSsm ssm = space_of(request->stack, 0);
    plan->length = request->batch->lengths[0];
    plan->taps = (size_t)mega_ssm_taps(&ssm, plan->length, rate);
    plan->way = choose_way(request, &ssm, plan->taps);
    mega_fft_free(&plan->fft);
    if (plan->way == MEGA_S4_BY_STEPS)
        return make_steps(plan, request, err);
    for (size_t i = 0; i < plan->layers && !code; i++)
        code = make_kernels(plan, request, i, err);
    if (!code && plan->way == MEGA_S4_BY_FFT)
        code = mega_fft_plan(&plan->fft, mega_fft_size(plan->length + plan->taps), err);
    return code;
}

static void restart(void *memory)
{
    MegaS4Plan *plan = memory;
    for (size_t i = 0; plan && plan->states && i < plan->layers; i++)
        memset(plan->states[i], 0, plan->state_floats * sizeof(float));
}

const MegaPlanner mega_s4_planner = {.make = make_plan, .free = free_plan, .restart = restart};
