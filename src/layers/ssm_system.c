/*
 * ssm_system.c - see ssm_system.h.
 */
#include "src/layers/ssm_system.h"

#include <math.h>
#include <string.h>

/* ---- From tensors to numbers ---------------------------------------------------------------- */

static double transformed(MegaSsmTransform transform, double p)
{
    switch (transform) {
    case MEGA_SSM_NONE: return p;
    case MEGA_SSM_EXP: return exp(p);
    case MEGA_SSM_SIGMOID: return 1 / (1 + exp(-p));
    case MEGA_SSM_SOFTPLUS: return p > 20 ? p : log1p(exp(p));
    case MEGA_SSM_RELU: return (p > 0 ? p : 0) + 1e-4;
    case MEGA_SSM_PURE_RELU: return p > 0 ? p : 0;
    }
    return p;
}

static double time_step(const MegaSsm *ssm, size_t feature, size_t state)
{
    const double p = (double)ssm->dt[feature * ssm->steps + (ssm->steps > 1 ? state : 0)];
    return transformed(ssm->dt_transform, ssm->fast ? sinh(p) : p);
}

static double complex pair(const float *tensor, size_t index)
{
    return CMPLX((double)tensor[2 * index], (double)tensor[2 * index + 1]);
}

static double complex eigenvalue(const MegaSsm *ssm, size_t row, size_t state)
{
    const size_t at = row * ssm->states + state;
    if (ssm->lambda)
        return pair(ssm->lambda, at);
    const double real = -transformed(ssm->real_transform, (double)ssm->real[at]);
    if (!ssm->imag)
        return CMPLX(real, 0);
    const double imag = transformed(ssm->imag_transform, (double)ssm->imag[at]);
    return CMPLX(real, ssm->negated ? -imag : imag);
}

/* Returns a number of the tensor b or c; without a tensor it is 1. */
static double complex weight(const MegaSsm *ssm, const float *tensor, size_t index)
{
    if (!tensor)
        return 1;
    return ssm->is_real ? CMPLX((double)tensor[index], 0) : pair(tensor, index);
}

void mega_ssm_system_layout(MegaSsmSystem *out, const MegaSsm *ssm, MegaArena *arena)
{
    const uint64_t n = ssm->states, item = sizeof(double complex);
    *out = (MegaSsmSystem){.states = ssm->states, .rank = ssm->rank, .rows = ssm->rows};
    out->s = mega_arena_take(arena, n * item);
    out->lambda = mega_arena_take(arena, n * item);
    out->in = mega_arena_take(arena, n * item);
    out->numerator = mega_arena_take(arena, n * item);
    out->z = mega_arena_take(arena, n * item);
    out->spare = mega_arena_take(arena, n * item);
    out->p = mega_arena_take(arena, ssm->rank * n * item);
    out->q = mega_arena_take(arena, ssm->rank * n * item);
    out->c = mega_arena_take(arena, ssm->rows * n * item);
    out->g = mega_arena_take(arena, ssm->rank * ssm->rank * sizeof(double));
}

/* Returns a . b over the states and their conjugates. */
static double product(size_t n, const double complex *a, const double complex *b)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += creal(a[i]) * creal(b[i]) - cimag(a[i]) * cimag(b[i]);
    return 2 * sum;
}

/* Inverts a matrix [n][n] in place, by Gauss-Jordan elimination with row pivots. */
static void invert(size_t n, double *matrix)
{
    double wide[MEGA_SSM_MAX_RANK][2 * MEGA_SSM_MAX_RANK] = {{0}};
    for (size_t i = 0; i < n; i++) {
        memcpy(wide[i], matrix + i * n, n * sizeof *matrix);
        wide[i][n + i] = 1;
    }
    for (size_t column = 0; column < n; column++) {
        size_t best = column;
        for (size_t i = column + 1; i < n; i++)
            if (fabs(wide[i][column]) > fabs(wide[best][column]))
                best = i;
        for (size_t j = 0; j < 2 * n; j++) {
            const double other = wide[best][j];
            wide[best][j] = wide[column][j];
            wide[column][j] = other;
        }
        const double pivot = wide[column][column];
        for (size_t j = 0; j < 2 * n; j++)
            wide[column][j] /= pivot;
        for (size_t i = 0; i < n; i++) {
            const double factor = wide[i][column];
            for (size_t j = 0; j < 2 * n && i != column; j++)
                wide[i][j] -= factor * wide[column][j];
        }
    }
    for (size_t i = 0; i < n; i++)
        memcpy(matrix + i * n, wide[i] + n, n * sizeof *matrix);
}

/* Computes g = (1 + q z p)^-1, the small matrix of the Woodbury identity. */
static void fill_coupling(MegaSsmSystem *system)
{
    const size_t n = system->states, rank = system->rank;
    for (size_t s = 0; s < rank; s++) {
        for (size_t i = 0; i < n; i++)
            system->spare[i] = mega_complex_product(system->z[i], system->p[s * n + i]);
        for (size_t r = 0; r < rank; r++)
            system->g[r * rank + s] =
                (r == s ? 1 : 0) + product(n, system->q + r * n, system->spare);
    }
    invert(rank, system->g);
}

/* Returns whether the frequency of a state is above the limit, so that it does not count. */
static bool is_cut(const MegaSsm *ssm, double dt, double complex lambda)
{
    const double two_pi = 6.283185307179586477;
    return ssm->bandlimit > 0 && dt * fabs(cimag(lambda)) / two_pi >= ssm->bandlimit / 2;
}

void mega_ssm_system_load(MegaSsmSystem *system, const MegaSsm *ssm, size_t feature, double rate)
{
    const size_t n = ssm->states, row = feature % ssm->groups;
    for (size_t i = 0; i < n; i++) {
        const double own = time_step(ssm, feature, i), dt = own * rate;
        const double complex lambda = eigenvalue(ssm, row, i);
        system->lambda[i] = lambda;
        system->s[i] = dt * lambda;
        system->in[i] = dt * weight(ssm, ssm->b, row * n + i);
        system->numerator[i] = 2 + system->s[i];
        system->z[i] = 1 / (2 - system->s[i]);
        for (size_t r = 0; r < ssm->rank; r++) {
            const size_t at = (r * ssm->groups + row) * n + i;
            const double complex p = pair(ssm->p, at);
            system->p[r * n + i] = dt * p;
            system->q[r * n + i] = ssm->q ? pair(ssm->q, at) : conj(p);
        }
        for (size_t r = 0; r < ssm->rows; r++)
            system->c[r * n + i] = is_cut(ssm, own, lambda)
                                       ? 0
                                       : weight(ssm, ssm->c, (r * ssm->features + feature) * n + i);
    }
    fill_coupling(system);
}

/* ---- Steps ---------------------------------------------------------------------------------- */

/* x = Ab x + Bb u (ssm_kernel.h). With p and q exchanged and g transposed, it is the same step with
 * the transpose of Ab. */
static void step(const MegaSsmSystem *system, const double complex *p, const double complex *q,
                 bool transposed, double complex *x, double u)
{
    const size_t n = system->states, rank = system->rank;
    double dots[MEGA_SSM_MAX_RANK], coupled[MEGA_SSM_MAX_RANK];
    double complex *y = system->spare;
    for (size_t r = 0; r < rank; r++)
        dots[r] = product(n, q + r * n, x);
    for (size_t i = 0; i < n; i++) {
        double complex sum =
            mega_complex_product(system->numerator[i], x[i]) + 2 * u * system->in[i];
        for (size_t r = 0; r < rank; r++)
            sum -= dots[r] * p[r * n + i];
        y[i] = sum;
        x[i] = mega_complex_product(system->z[i], sum);
    }
    for (size_t r = 0; r < rank; r++)
        dots[r] = product(n, q + r * n, x);
    for (size_t r = 0; r < rank; r++) {
        coupled[r] = 0;
        for (size_t s = 0; s < rank; s++)
            coupled[r] += system->g[transposed ? s * rank + r : r * rank + s] * dots[s];
    }
    for (size_t i = 0; i < n; i++) {
        double complex sum = y[i];
        for (size_t r = 0; r < rank; r++)
            sum -= coupled[r] * p[r * n + i];
        x[i] = mega_complex_product(system->z[i], sum);
    }
}

void mega_ssm_advance(const MegaSsmSystem *system, double complex *x, double u)
{
    step(system, system->p, system->q, false, x, u);
}

void mega_ssm_advance_row(const MegaSsmSystem *system, double complex *c, uint64_t steps)
{
    while (steps-- > 0)
        step(system, system->q, system->p, true, c, 0);
}

/* ---- Diagonal: discretisation --------------------------------------------------------------- */

double complex mega_exp_minus_one(double complex x)
{
    const double half = sin(cimag(x) / 2);
    return CMPLX(expm1(creal(x)) * cos(cimag(x)) - 2 * half * half, exp(creal(x)) * sin(cimag(x)));
}

double complex mega_ssm_discretize(const MegaSsm *ssm, const MegaSsmSystem *system, size_t i,
                                   double complex *z)
{
    const double complex s = system->s[i];
    if (ssm->discretization == MEGA_SSM_BILINEAR) {
        *z = (1 + s / 2) / (1 - s / 2);
        return system->in[i] / (1 - s / 2);
    }
    *z = cexp(s);
    return s == 0 ? system->in[i] : system->in[i] * (mega_exp_minus_one(s) / s);
}

/* ---- The solution for C --------------------------------------------------------------------- */

uint64_t mega_ssm_solve_scratch(const MegaSsm *ssm)
{
    const uint64_t size = 2 * (uint64_t)ssm->states;
    return 3 * size * size + size;
}

/* Fills a matrix [2N][2N] with Ab as it acts on the real parts of x, then the imaginary ones. x [N]
 * is scratch. */
static void fill_step_matrix(const MegaSsmSystem *system, double *matrix, double complex *x)
{
    const size_t n = system->states;
    for (size_t column = 0; column < 2 * n; column++) {
        memset(x, 0, n * sizeof *x);
        x[column % n] = column < n ? CMPLX(1, 0) : CMPLX(0, 1);
        mega_ssm_advance(system, x, 0);
        for (size_t i = 0; i < n; i++) {
            matrix[i * 2 * n + column] = creal(x[i]);
            matrix[(n + i) * 2 * n + column] = cimag(x[i]);
        }
    }
}

/* out = a b, matrices [size][size]. */
static void multiply(size_t size, const double *a, const double *b, double *out)
{
    memset(out, 0, size * size * sizeof *out);
    for (size_t i = 0; i < size; i++)
        for (size_t k = 0; k < size; k++) {
            const double factor = a[i * size + k];
            for (size_t j = 0; j < size; j++)
                out[i * size + j] += factor * b[k * size + j];
        }
}

/* Returns matrix^exponent, which lies in one of the three arrays; all are overwritten. */
static double *power(size_t size, uint64_t exponent, double *matrix, double *result, double *spare)
{
    memset(result, 0, size * size * sizeof *result);
    for (size_t i = 0; i < size; i++)
        result[i * size + i] = 1;
    for (; exponent; exponent >>= 1) {
        double *old;
        if (exponent & 1) {
            multiply(size, result, matrix, spare);
            old = result;
            result = spare;
            spare = old;
        }
        if (exponent > 1) {
            multiply(size, matrix, matrix, spare);
            old = matrix;
            matrix = spare;
            spare = old;
        }
    }
    return result;
}

/* LU-factors a matrix [size][size] in place; row i was exchanged with row pivots[i]. Returns false
 * if the matrix is singular or not finite. */
static bool factor(size_t size, double *matrix, size_t *pivots)
{
    for (size_t column = 0; column < size; column++) {
        size_t best = column;
        for (size_t i = column + 1; i < size; i++)
            if (fabs(matrix[i * size + column]) > fabs(matrix[best * size + column]))
                best = i;
        pivots[column] = best;
        double *row = matrix + column * size, *other = matrix + best * size;
        for (size_t j = 0; j < size && best != column; j++) {
            const double value = row[j];
            row[j] = other[j];
            other[j] = value;
        }
        if (!(fabs(row[column]) > 0) || !isfinite(row[column]))
            return false;
        for (size_t i = column + 1; i < size; i++) {
            double *below = matrix + i * size;
            below[column] /= row[column];
            for (size_t j = column + 1; j < size; j++)
                below[j] -= below[column] * row[j];
        }
    }
    return true;
}

/* Solves matrix x = y for a factored matrix, in place. */
static void substitute(size_t size, const double *matrix, const size_t *pivots, double *x)
{
    for (size_t i = 0; i < size; i++) {
        const double value = x[pivots[i]];
        x[pivots[i]] = x[i];
        x[i] = value;
    }
    for (size_t i = 0; i < size; i++)
        for (size_t j = 0; j < i; j++)
            x[i] -= matrix[i * size + j] * x[j];
    for (size_t i = size; i-- > 0;) {
        for (size_t j = i + 1; j < size; j++)
            x[i] -= matrix[i * size + j] * x[j];
        x[i] /= matrix[i * size + i];
    }
}

bool mega_ssm_solve(const MegaSsmSystem *system, uint64_t length, double *scratch)
{
    const size_t n = system->states, size = 2 * n;
    double *matrix = scratch, *result = matrix + size * size, *spare = result + size * size;
    double *x = spare + size * size;
    size_t pivots[2 * MEGA_SSM_MAX_STATES];
    fill_step_matrix(system, matrix, (double complex *)(void *)x);
    const double *whole = power(size, length, matrix, result, spare);
    /* x (1 - M) = c is (1 - M)^T x = c; the transposed matrix goes where M is not */
    double *transposed = whole == matrix ? result : matrix;
    for (size_t i = 0; i < size; i++)
        for (size_t j = 0; j < size; j++)
            transposed[i * size + j] = (i == j ? 1 : 0) - whole[j * size + i];
    if (!factor(size, transposed, pivots))
        return false;
    for (size_t r = 0; r < system->rows; r++) {
        double complex *c = system->c + r * n;
        /* c . x = 2 sum Re c Re x - Im c Im x */
        for (size_t i = 0; i < n; i++) {
            x[i] = creal(c[i]);
            x[n + i] = -cimag(c[i]);
        }
        substitute(size, transposed, pivots, x);
        for (size_t i = 0; i < n; i++)
            c[i] = CMPLX(x[i], -x[n + i]);
    }
    return true;
}
