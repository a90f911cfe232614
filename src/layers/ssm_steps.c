/*
 * ssm_steps.c - the recurrences of state spaces (ssm_kernel.h). One task computes those of one
 * feature.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "src/layers/ssm_system.h"

void mega_ssm_steps_layout(MegaSsmSteps *out, const MegaSsm *ssm, MegaArena *arena)
{
    const uint64_t states = 2 * (uint64_t)ssm->features * ssm->states;
    *out = (MegaSsmSteps){.z = mega_arena_floats(arena, states),
                          .in = mega_arena_floats(arena, states),
                          .c = mega_arena_floats(arena, ssm->rows * states)};
    if (!ssm->rank)
        return;
    out->numerator = mega_arena_floats(arena, states);
    out->p = mega_arena_floats(arena, ssm->rank * states);
    out->q = mega_arena_floats(arena, ssm->rank * states);
    out->g = mega_arena_floats(arena, (uint64_t)ssm->features * ssm->rank * ssm->rank);
}

/* Stores factor times the values as pairs of floats. */
static void store(float *out, const double complex *values, size_t count, double factor)
{
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = (float)(factor * creal(values[i]));
        out[2 * i + 1] = (float)(factor * cimag(values[i]));
    }
}

/* Memory of one thread. */
typedef struct Work {
    MegaSsmSystem system;
    double complex *x; /* [N] */
    double *solving;
} Work;

static void work_layout(Work *work, const MegaSsm *ssm, MegaArena *arena)
{
    mega_ssm_system_layout(&work->system, ssm, arena);
    work->x = mega_arena_take(arena, ssm->states * sizeof *work->x);
    if (ssm->rank)
        work->solving = mega_arena_take(arena, mega_ssm_solve_scratch(ssm) * sizeof(double));
}

typedef struct Making {
    const MegaSsm *ssm;
    double rate;
    uint64_t length; /* of the tensor C at this rate */
    Work *works;     /* [threads] */
    const MegaSsmSteps *steps;
    const MegaSsmMatrix *matrix; /* NULL if the steps are wanted */
    atomic_bool failed;
} Making;

static void store_steps(const MegaSsm *ssm, const MegaSsmSystem *system, size_t feature,
                        const MegaSsmSteps *out)
{
    const size_t n = ssm->states, rank = ssm->rank, at = 2 * feature * n;
    store(out->z + at, system->z, n, 1);
    store(out->in + at, system->in, n, rank ? 2 : 1);
    store(out->c + ssm->rows * at, system->c, ssm->rows * n, 1);
    if (!rank)
        return;
    store(out->numerator + at, system->numerator, n, 1);
    store(out->p + rank * at, system->p, rank * n, 1);
    store(out->q + rank * at, system->q, rank * n, 1);
    for (size_t i = 0; i < rank * rank; i++)
        out->g[feature * rank * rank + i] = (float)system->g[i];
}

/* x = Ab x + Bb u */
static void advance(const MegaSsm *ssm, const MegaSsmSystem *system, double complex *x, double u)
{
    if (ssm->rank)
        mega_ssm_advance(system, x, u);
    for (size_t i = 0; i < ssm->states && !ssm->rank; i++)
        x[i] = mega_complex_product(system->z[i], x[i]) + system->in[i] * u;
}

/* Finds the columns of the matrix by taking each unit vector through a step, and `in` by taking an
 * input of 1 through one. Number 2 i of x is the real part of state i, and the next one its
 * imaginary part. */
static void store_matrix(const MegaSsm *ssm, const Work *work, size_t feature,
                         const MegaSsmMatrix *out)
{
    const size_t size = 2 * ssm->states, h = ssm->features;
    for (size_t column = 0; column <= size; column++) {
        memset(work->x, 0, ssm->states * sizeof *work->x);
        if (column < size)
            work->x[column / 2] = column % 2 ? CMPLX(0, 1) : CMPLX(1, 0);
        advance(ssm, &work->system, work->x, column == size ? 1 : 0);
        for (size_t i = 0; i < size; i++) {
            const double value = i % 2 ? cimag(work->x[i / 2]) : creal(work->x[i / 2]);
            if (column == size)
                out->in[i * h + feature] = (float)value;
            else
                out->step[(i * size + column) * h + feature] = (float)(value - (i == column));
        }
    }
    for (size_t r = 0; r < ssm->rows; r++)
        for (size_t i = 0; i < size; i++) {
            const double complex c = work->system.c[r * ssm->states + i / 2];
            out->out[(r * size + i) * h + feature] = (float)(i % 2 ? -2 * cimag(c) : 2 * creal(c));
        }
}

static void make_feature(void *context, size_t feature, int worker)
{
    Making *making = context;
    const MegaSsm *ssm = making->ssm;
    Work *work = &making->works[worker];
    MegaSsmSystem *system = &work->system;
    mega_ssm_system_load(system, ssm, feature, making->rate);
    if (!ssm->rank)
        for (size_t i = 0; i < ssm->states; i++)
            system->in[i] = mega_ssm_discretize(ssm, system, i, &system->z[i]);
    else if (ssm->length && !mega_ssm_solve(system, making->length, work->solving))
        atomic_store(&making->failed, true);
    if (making->matrix)
        store_matrix(ssm, work, feature, making->matrix);
    else
        store_steps(ssm, system, feature, making->steps);
}

static int make(Making *making, MegaPool *pool, MegaError *err)
{
    const MegaSsm *ssm = making->ssm;
    const int threads = mega_pool_threads(pool);
    MegaArena dry = {0}, arena = {0};
    Work first = {0};
    if (!ssm->rank && ssm->discretization == MEGA_SSM_DSS)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "a kernel that is normalised over its length (disc dss) has no "
                         "recurrence, so the model cannot run step by step");
    /* halves go to the even neighbour, as in the original */
    making->length = ssm->length ? (uint64_t)nearbyint((double)ssm->length / making->rate) : 0;
    work_layout(&first, ssm, &dry);
    int code = mega_arena_reserve(&arena, dry.used * (size_t)threads, err);
    making->works = calloc((size_t)threads, sizeof *making->works);
    if (!code && !making->works)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for coefficients");
    for (int i = 0; i < threads && !code; i++)
        work_layout(&making->works[i], ssm, &arena);
    if (!code)
        mega_pool_run(pool, ssm->features, make_feature, making);
    if (!code && atomic_load(&making->failed))
        code = mega_fail(err, MEGA_ERR_MODEL,
                         "the kernel of a state space has no recurrence: 1 - A^%llu is singular",
                         (unsigned long long)making->length);
    free(making->works);
    mega_arena_free(&arena);
    return code;
}

int mega_ssm_steps(const MegaSsm *ssm, double rate, MegaPool *pool, const MegaSsmSteps *out,
                   MegaError *err)
{
    Making making = {.ssm = ssm, .rate = rate, .steps = out};
    return make(&making, pool, err);
}

void mega_ssm_matrix_layout(MegaSsmMatrix *out, const MegaSsm *ssm, MegaArena *arena)
{
    const uint64_t size = 2 * (uint64_t)ssm->states, h = ssm->features;
    out->step = mega_arena_floats(arena, size * size * h);
    out->in = mega_arena_floats(arena, size * h);
    out->out = mega_arena_floats(arena, ssm->rows * size * h);
}

int mega_ssm_matrix(const MegaSsm *ssm, double rate, MegaPool *pool, const MegaSsmMatrix *out,
                    MegaError *err)
{
    Making making = {.ssm = ssm, .rate = rate, .matrix = out};
    return make(&making, pool, err);
}
