/*
 * reference_ssm.c - see reference_ssm.h.
 */
#include "tests/unit/reference_ssm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef double complex Number;

static double transform(MegaSsmTransform kind, double p)
{
    const double by_kind[] = {[MEGA_SSM_NONE] = p,
                              [MEGA_SSM_EXP] = exp(p),
                              [MEGA_SSM_SIGMOID] = 1 / (1 + exp(-p)),
                              [MEGA_SSM_SOFTPLUS] = p > 20 ? p : log(1 + exp(p)),
                              [MEGA_SSM_RELU] = fmax(p, 0) + 1e-4,
                              [MEGA_SSM_PURE_RELU] = fmax(p, 0)};
    return by_kind[kind];
}

/* The tensors of one feature, over the N stored states. */
typedef struct Tensors {
    Number *lambda, *b, *c; /* [N] */
    Number *p, *q;          /* [R][N] */
    double *dt;             /* [N], without the rate */
} Tensors;

static Number two(const float *tensor, size_t at)
{
    return (double)tensor[2 * at] + I * (double)tensor[2 * at + 1];
}

static Tensors read_tensors(const MegaSsm *ssm, size_t h, size_t row)
{
    const size_t n = ssm->states, s = h % ssm->groups, r = ssm->rank;
    Tensors t = {calloc(n, sizeof(Number)),         calloc(n, sizeof(Number)),
                 calloc(n, sizeof(Number)),         calloc(r * n + 1, sizeof(Number)),
                 calloc(r * n + 1, sizeof(Number)), calloc(n, sizeof(double))};
    for (size_t i = 0; i < n; i++) {
        const size_t at = s * n + i, c_at = (row * ssm->features + h) * n + i;
        double dt = (double)ssm->dt[h * ssm->steps + (ssm->steps > 1 ? i : 0)];
        t.dt[i] = transform(ssm->dt_transform, ssm->fast ? sinh(dt) : dt);
        if (ssm->lambda) {
            t.lambda[i] = two(ssm->lambda, at);
        } else {
            double imag = ssm->imag ? transform(ssm->imag_transform, (double)ssm->imag[at]) : 0;
            t.lambda[i] = -transform(ssm->real_transform, (double)ssm->real[at]) +
                          I * (ssm->negated ? -imag : imag);
        }
        t.b[i] = !ssm->b ? 1 : ssm->is_real ? (double)ssm->b[at] : two(ssm->b, at);
        t.c[i] = ssm->is_real ? (double)ssm->c[c_at] : two(ssm->c, c_at);
        if (ssm->bandlimit > 0 &&
            t.dt[i] * fabs(cimag(t.lambda[i])) / (2 * M_PI) >= ssm->bandlimit / 2)
            t.c[i] = 0;
        for (size_t k = 0; k < r; k++) {
            t.p[k * n + i] = two(ssm->p, (k * ssm->groups + s) * n + i);
            t.q[k * n + i] =
                ssm->q ? two(ssm->q, (k * ssm->groups + s) * n + i) : conj(t.p[k * n + i]);
        }
    }
    return t;
}

static void free_tensors(Tensors *t)
{
    free(t->lambda);
    free(t->b);
    free(t->c);
    free(t->p);
    free(t->q);
    free(t->dt);
}

/* Solves m x = y by Gauss and Jordan; m [size][size] and y [size][columns] are overwritten, y by
 * the solution. */
static void solve(size_t size, Number *m, Number *y, size_t columns)
{
    for (size_t k = 0; k < size; k++) {
        size_t best = k;
        for (size_t i = k; i < size; i++)
            best = cabs(m[i * size + k]) > cabs(m[best * size + k]) ? i : best;
        for (size_t j = 0; j < size; j++) {
            Number other = m[best * size + j];
            m[best * size + j] = m[k * size + j];
            m[k * size + j] = other;
        }
        for (size_t j = 0; j < columns; j++) {
            Number other = y[best * columns + j];
            y[best * columns + j] = y[k * columns + j];
            y[k * columns + j] = other;
        }
        const Number pivot = m[k * size + k];
        for (size_t j = 0; j < size; j++)
            m[k * size + j] /= pivot;
        for (size_t j = 0; j < columns; j++)
            y[k * columns + j] /= pivot;
        for (size_t i = 0; i < size; i++) {
            const Number factor = m[i * size + k];
            for (size_t j = 0; j < size && i != k; j++)
                m[i * size + j] -= factor * m[k * size + j];
            for (size_t j = 0; j < columns && i != k; j++)
                y[i * columns + j] -= factor * y[k * columns + j];
        }
    }
}

/* Ab [2N][2N] and Bb [2N] of a system of low rank at a rate. */
static void discretize(const MegaSsm *ssm, const Tensors *t, double rate, Number *ab, Number *bb)
{
    const size_t n = ssm->states, size = 2 * n;
    Number *left = calloc(size * size, sizeof *left);
    for (size_t i = 0; i < size; i++) {
        const double dt = t->dt[i % n] * rate;
        for (size_t j = 0; j < size; j++) {
            Number a = i != j ? 0 : i < n ? t->lambda[i] : conj(t->lambda[i - n]);
            for (size_t k = 0; k < ssm->rank; k++) {
                const Number p = t->p[k * n + i % n], q = t->q[k * n + j % n];
                a -= (i < n ? p : conj(p)) * (j < n ? q : conj(q));
            }
            left[i * size + j] = (i == j) - dt / 2 * a;
            ab[i * (size + 1) + j] = (i == j) + dt / 2 * a;
        }
        ab[i * (size + 1) + size] = dt * (i < n ? t->b[i] : conj(t->b[i - n]));
    }
    solve(size, left, ab, size + 1);
    for (size_t i = 0; i < size; i++)
        bb[i] = ab[i * (size + 1) + size];
    for (size_t i = 0; i < size; i++) /* now without the last column */
        memmove(ab + i * size, ab + i * (size + 1), size * sizeof *ab);
    free(left);
}

/* Computes row = row vector times matrix^steps. */
static void times_power(size_t size, const Number *matrix, Number *row, uint64_t steps)
{
    Number *next = calloc(size, sizeof *next);
    for (; steps > 0; steps--) {
        memset(next, 0, size * sizeof *next);
        for (size_t i = 0; i < size; i++)
            for (size_t j = 0; j < size; j++)
                next[j] += row[i] * matrix[i * size + j];
        memcpy(row, next, size * sizeof *row);
    }
    free(next);
}

/* Replaces row by the solution x of x (1 - matrix^length) = row, by way of the transposed
 * matrix. */
static void undo(size_t size, const Number *matrix, Number *row, uint64_t length)
{
    Number *m = calloc(size * size, sizeof *m), *unit = calloc(size, sizeof *unit);
    for (size_t i = 0; i < size; i++) {
        memset(unit, 0, size * sizeof *unit);
        unit[i] = 1;
        times_power(size, matrix, unit, length);
        for (size_t j = 0; j < size; j++)
            m[j * size + i] = (i == j) - unit[j];
    }
    solve(size, m, row, 1);
    free(m);
    free(unit);
}

static void low_rank(const MegaSsm *ssm, const Tensors *t, size_t taps, double rate, double *kernel)
{
    const size_t n = ssm->states, size = 2 * n;
    Number *one = calloc(size * (size + 1), sizeof *one),
           *ab = calloc(size * (size + 1), sizeof *ab);
    Number *bb = calloc(size, sizeof *bb), *c = calloc(size, sizeof *c),
           *x = calloc(size, sizeof *x);
    uint64_t length = ssm->length;
    discretize(ssm, t, 1, one, bb);
    for (size_t i = 0; i < size; i++)
        c[i] = i < n ? t->c[i] : conj(t->c[i - n]);
    if (!length) {
        length = ssm->limit ? ssm->limit : (uint64_t)fmax(1, nearbyint(rate * (double)taps));
        memcpy(x, c, size * sizeof *x);
        times_power(size, one, x, length);
        for (size_t i = 0; i < size; i++)
            c[i] -= x[i];
    }
    for (; nearbyint(rate * (double)taps) > (double)length; length *= 2) {
        memcpy(x, c, size * sizeof *x);
        times_power(size, one, x, length);
        for (size_t i = 0; i < size; i++)
            c[i] += x[i];
    }
    discretize(ssm, t, rate, ab, bb);
    const uint64_t nodes = (uint64_t)nearbyint((double)length / rate);
    undo(size, ab, c, nodes);
    for (size_t l = 0; l < taps; l++) {
        Number sum = 0;
        for (size_t i = 0; i < size; i++)
            sum += c[i] * bb[i];
        kernel[l] = l < nodes ? creal(sum) : 0;
        times_power(size, ab, c, 1);
    }
    free(one);
    free(ab);
    free(bb);
    free(c);
    free(x);
}

static void diagonal(const MegaSsm *ssm, const Tensors *t, size_t taps, double rate, double *kernel)
{
    memset(kernel, 0, taps * sizeof *kernel);
    for (size_t i = 0; i < ssm->states; i++) {
        const double dt = t->dt[i] * rate;
        const Number lambda = t->lambda[i], s = dt * lambda, cb = t->c[i] * t->b[i];
        for (size_t l = 0; l < taps; l++) {
            const double at = (double)l;
            if (ssm->discretization == MEGA_SSM_ZOH) {
                kernel[l] += 2 * creal(cb * (cexp(s) - 1) / lambda * cexp(at * s));
            } else if (ssm->discretization == MEGA_SSM_BILINEAR) {
                const Number z = (1 + s / 2) / (1 - s / 2);
                kernel[l] += 2 * creal(cb * dt / (1 - s / 2) * (l ? cpow(z, at) : 1));
            } else {
                const double last = (double)taps, sign = creal(lambda) > 0 ? -1 : 1;
                const Number q = (cexp(sign * s * last) - 1) * lambda;
                const Number turn = cexp(sign > 0 ? s * at : s * (at - last + 1));
                kernel[l] +=
                    creal(cb * (cexp(sign * s) - 1) * turn * conj(q) / (q * conj(q) + 1e-7));
            }
        }
    }
}

void reference_ssm_kernel(const MegaSsm *ssm, size_t feature, size_t row, size_t taps, double rate,
                          double *kernel)
{
    Tensors tensors = read_tensors(ssm, feature, row);
    if (ssm->rank)
        low_rank(ssm, &tensors, taps, rate, kernel);
    else
        diagonal(ssm, &tensors, taps, rate, kernel);
    free_tensors(&tensors);
}
