/*
 * dft.c - see dft.h. A transform of n = factor * part numbers is joined from `factor` transforms of
 * every factor-th number (Cooley and Tukey, for any factors):
 *
 *   out[q part + k] = sum_r w^(r (q part + k)) out_r[k],    w = e^(2 pi i / n)
 */
#include "src/layers/dft.h"

#include <math.h>

void mega_dft_roots(size_t n, double complex *roots)
{
    const double pi = 3.14159265358979323846;
    for (size_t j = 0; j < n; j++) {
        /* an angle of at most half a turn is the most exact */
        const double turns = j <= n - j ? (double)j : -(double)(n - j);
        const double angle = 2 * pi * turns / (double)n;
        roots[j] = CMPLX(cos(angle), sin(angle));
    }
}

static size_t smallest_factor(size_t n)
{
    for (size_t p = 2; p * p <= n; p++)
        if (n % p == 0)
            return p;
    return n;
}

/* What all levels of the recursion share. */
typedef struct Transform {
    size_t size;
    const double complex *roots;
    double complex *spare;
} Transform;

/* Joins, in place, `factor` transforms of `part` numbers each, which lie one after the other. */
static void join(const Transform *whole, size_t part, size_t factor, double complex *out)
{
    const size_t n = part * factor, step = whole->size / n;
    double complex *terms = whole->spare;
    for (size_t k = 0; k < part; k++) {
        for (size_t r = 0; r < factor; r++)
            terms[r] = mega_complex_product(out[r * part + k], whole->roots[r * k * step]);
        for (size_t q = 0; q < factor; q++) {
            double complex sum = terms[0];
            for (size_t r = 1, at = 0; r < factor; r++) {
                at += q * part;
                at -= at >= n ? n : 0;
                sum += mega_complex_product(terms[r], whole->roots[at * step]);
            }
            out[q * part + k] = sum;
        }
    }
}

/* Transforms n numbers, `stride` apart in `in`. */
static void transform(const Transform *whole, size_t n, const double complex *in, size_t stride,
                      double complex *out)
{
    if (n == 1) {
        out[0] = in[0];
        return;
    }
    const size_t factor = smallest_factor(n), part = n / factor;
    for (size_t r = 0; r < factor; r++)
        transform(whole, part, in + r * stride, stride * factor, out + r * part);
    join(whole, part, factor, out);
}

void mega_dft_inverse(size_t n, const double complex *roots, const double complex *in,
                      double complex *out, double complex *spare)
{
    const Transform whole = {n, roots, spare};
    transform(&whole, n, in, 1, out);
}
