/*
 * ssm_kernel.c - see ssm_kernel.h. One task computes the kernels of one feature.
 *
 *   diagonal    sums of powers                                        fill_diagonal
 *   low rank    values at roots of unity, then a Fourier transform    fill_by_nodes
 *               or, for lengths that transform badly, the recurrence   fill_by_steps
 */
#include "src/layers/ssm_kernel.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/layers/ssm_system.h"

#define NODE_BLOCK 64 /* roots of unity at which sums are made side by side */
/* A Fourier transform whose length has a larger sum of prime factors, or is larger itself, may cost
 * more than the recurrence. */
#define MOST_FACTORS 512
#define MOST_NODES (1 << 20)

/* ---- Lengths -------------------------------------------------------------------------------- */

/* Rounds to the nearest integer, and halves to the even one, as in the original. */
static uint64_t rounded(double x)
{
    return (uint64_t)nearbyint(x);
}

uint64_t mega_ssm_taps(const MegaSsm *ssm, uint64_t length, double rate)
{
    if (!ssm->limit)
        return length;
    const double most = nearbyint((double)ssm->limit / rate);
    return most < (double)length ? (uint64_t)most : length;
}

/* Says how the kernel of a system of low rank is computed. */
typedef struct Method {
    uint64_t from;  /* if the tensor holds C itself, it first becomes C (1 - Ab^from); else 0 */
    int doublings;  /* how often the length then doubles */
    uint64_t nodes; /* lags of the resulting length at the input's rate; later ones are 0 */
    bool by_steps;
} Method;

/* Returns the sum of the prime factors of n. */
static uint64_t factor_sum(uint64_t n)
{
    uint64_t sum = 0;
    for (uint64_t p = 2; p * p <= n; p++)
        for (; n % p == 0; n /= p)
            sum += p;
    return n > 1 ? sum + n : sum;
}

/* Chooses by cost, counted in multiply-adds. */
static Method choose_method(const MegaSsm *ssm, uint64_t taps, double rate)
{
    const double wanted = nearbyint(rate * (double)taps);
    Method method = {0};
    uint64_t length = ssm->length;
    if (!length) {
        /* at rate 1 every length that is long enough gives the same kernel */
        length = ssm->limit && rate != 1 ? ssm->limit : wanted < 1 ? 1 : (uint64_t)wanted;
        method.from = length;
    }
    for (; wanted > (double)length; length *= 2)
        method.doublings++;
    method.nodes = rounded((double)length / rate);
    const double states = 2 * (double)ssm->states, rows = (double)ssm->rows;
    const double sums = (double)((ssm->rows + ssm->rank) * (ssm->rank + 1));
    const double by_nodes =
        (double)method.nodes * (states / 2 * (10 + 4 * sums) +
                                rows * 4 * (double)factor_sum(method.nodes ? method.nodes : 1));
    const double by_steps = 2 * states * states * states * log2((double)method.nodes + 2) +
                            (double)method.nodes * states * (10 + 4 * (double)ssm->rank + 2 * rows);
    /* this must not depend on the lags, so that every input sees the same kernel to the last bit */
    method.by_steps = method.nodes > 1 && by_steps < by_nodes &&
                      (factor_sum(method.nodes) > MOST_FACTORS || method.nodes > MOST_NODES);
    return method;
}

uint64_t mega_ssm_family(const MegaSsm *ssm, uint64_t taps, double rate)
{
    if (!ssm->rank)
        return ssm->discretization == MEGA_SSM_DSS ? taps : 0;
    const Method method = choose_method(ssm, taps, rate);
    return (method.from ? method.from : ssm->length) << method.doublings;
}

uint64_t mega_ssm_whole(const MegaSsm *ssm, uint64_t taps, double rate)
{
    if (!ssm->rank)
        return taps;
    const Method method = choose_method(ssm, taps, rate);
    const uint64_t most = mega_ssm_taps(ssm, method.nodes, rate);
    return method.by_steps || most < taps ? taps : most;
}

/* ---- Work of one thread ---------------------------------------------------------------------- */

/* What all features share, and one thread's memory for one of them. */
typedef struct Work {
    const MegaSsm *ssm;
    Method method;
    uint64_t taps;
    double rate;
    MegaSsmSystem system;
    double complex *x;           /* [N] */
    double complex *kept;        /* [rows][N] */
    double *products;            /* [(rows + R)(R + 1)][N][2]; see fill_products */
    double *nodes;               /* [4 products][NODE_BLOCK] */
    double complex *hat;         /* [rows][nodes / 2 + 1] */
    double complex *spectrum;    /* [nodes] */
    double complex *values;      /* [nodes] */
    double complex *spare;       /* [largest factor of nodes] */
    const double complex *roots; /* [nodes]; those of all threads */
    double *solving;
} Work;

static size_t product_count(const MegaSsm *ssm)
{
    return (ssm->rows + ssm->rank) * (ssm->rank + 1);
}

static void work_layout(Work *work, const MegaSsm *ssm, MegaArena *arena)
{
    const uint64_t item = sizeof(double complex), nodes = work->method.nodes;
    mega_ssm_system_layout(&work->system, ssm, arena);
    work->x = mega_arena_take(arena, ssm->states * item);
    if (!ssm->rank)
        return;
    work->kept = mega_arena_take(arena, ssm->rows * ssm->states * item);
    if (work->method.by_steps) {
        work->solving = mega_arena_take(arena, mega_ssm_solve_scratch(ssm) * sizeof(double));
        return;
    }
    work->products = mega_arena_take(arena, product_count(ssm) * ssm->states * item);
    work->nodes = mega_arena_take(arena, 4 * product_count(ssm) * NODE_BLOCK * sizeof(double));
    work->hat = mega_arena_take(arena, ssm->rows * (nodes / 2 + 1) * item);
    work->spectrum = mega_arena_take(arena, nodes * item);
    work->values = mega_arena_take(arena, nodes * item);
    work->spare = mega_arena_take(arena, factor_sum(nodes) * item);
}

/* Returns how many roots of unity the threads share. */
static uint64_t root_count(const Work *work)
{
    return work->ssm->rank && !work->method.by_steps ? work->method.nodes : 0;
}

/* ---- Diagonal ------------------------------------------------------------------------------- */

/* Returns the factor, without C, of a state that is normalised over the length of the kernel
 * (MEGA_SSM_DSS), and stores the state's first power. A state that grows is scaled by its last
 * power, so that none overflows. */
static double complex normalize(const MegaSsm *ssm, const Work *work, size_t row, size_t i,
                                double complex *power)
{
    const double complex s = work->system.s[i], lambda = work->system.lambda[i];
    const bool grows = creal(lambda) > 0;
    const double complex own = grows ? -s : s;
    const double complex q = mega_exp_minus_one((double)work->taps * own) * lambda;
    const double complex b = ssm->b ? CMPLX((double)ssm->b[2 * (row * ssm->states + i)],
                                            (double)ssm->b[2 * (row * ssm->states + i) + 1])
                                    : 1;
    *power = grows ? cexp(-((double)work->taps - 1) * s) : 1;
    return b * mega_exp_minus_one(own) * conj(q) / (q * conj(q) + 1e-7);
}

/* kernel[r][l] = Re sum_n c_rn z_n^l, with the factors of the discretisation in c. */
static void fill_diagonal(const Work *work, size_t feature, float *kernel, size_t stride)
{
    const MegaSsm *ssm = work->ssm;
    const MegaSsmSystem *system = &work->system;
    const size_t n = ssm->states;
    const bool dss = ssm->discretization == MEGA_SSM_DSS;
    const double factor = dss ? 1 : 2;
    double complex *z = system->z, *power = work->x;
    for (size_t i = 0; i < n; i++) {
        double complex weight;
        power[i] = 1;
        if (dss) {
            weight = normalize(ssm, work, feature % ssm->groups, i, &power[i]);
            z[i] = cexp(system->s[i]);
        } else {
            weight = mega_ssm_discretize(ssm, system, i, &z[i]);
        }
        for (size_t r = 0; r < ssm->rows; r++)
            system->c[r * n + i] = factor * mega_complex_product(system->c[r * n + i], weight);
    }
    for (uint64_t l = 0; l < work->taps; l++) {
        for (size_t r = 0; r < ssm->rows; r++) {
            const double complex *c = system->c + r * n;
            double sum = 0;
            for (size_t i = 0; i < n; i++)
                sum += creal(c[i]) * creal(power[i]) - cimag(c[i]) * cimag(power[i]);
            kernel[r * stride + l] = (float)sum;
        }
        for (size_t i = 0; i < n; i++)
            power[i] = mega_complex_product(power[i], z[i]);
    }
}

/* ---- Low rank: roots of unity ---------------------------------------------------------------- */

/* Computes the products v, state by state, of the vectors on the left, c_r and q_r, with those on
 * the right, b and p_r. At a root of unity w, with a = 2 (1 - w) and b = 1 + w, a state and its
 * conjugate together contribute
 *
 *   v / (a - b s) + v* / (a - b s*) = (a 2 Re v - b 2 Re v s*) / (a^2 - a b 2 Re s + b^2 |s|^2)
 *
 * so each product is kept as two real numbers: 2 Re v, then 2 Re v s*. */
static void fill_products(const Work *work)
{
    const MegaSsmSystem *system = &work->system;
    const size_t n = system->states, right = system->rank + 1;
    for (size_t l = 0; l < system->rows + system->rank; l++) {
        const double complex *left =
            l < system->rows ? system->c + l * n : system->q + (l - system->rows) * n;
        for (size_t r = 0; r < right; r++) {
            const double complex *other = r ? system->p + (r - 1) * n : system->in;
            double *out = work->products + (l * right + r) * 2 * n;
            for (size_t i = 0; i < n; i++) {
                const double complex v = mega_complex_product(left[i], other[i]);
                out[2 * i] = 2 * creal(v);
                out[2 * i + 1] = 2 * creal(mega_complex_product(v, conj(system->s[i])));
            }
        }
    }
}

/* A block of roots of unity w: a = 2 (1 - w), b = 1 + w, and for each product its sum over all
 * states. The sum is kept in two parts, one for each number of the product (fill_products), and
 * sum_of puts them together. */
typedef struct Nodes {
    double plus_re[NODE_BLOCK], plus_im[NODE_BLOCK];     /* b */
    double twice_re[NODE_BLOCK], twice_im[NODE_BLOCK];   /* a */
    double square_re[NODE_BLOCK], square_im[NODE_BLOCK]; /* a^2 */
    double mixed_re[NODE_BLOCK], mixed_im[NODE_BLOCK];   /* a b */
    double other_re[NODE_BLOCK], other_im[NODE_BLOCK];   /* b^2 */
    double (*re)[NODE_BLOCK], (*im)[NODE_BLOCK];         /* [2 products] */
} Nodes;

/* Adds the terms of a state with this s to all sums. products[j step] is the state's pair of
 * numbers of product j. */
static void add_state(Nodes *nodes, double complex s, const double *products, size_t step,
                      size_t count)
{
    double inverse_re[NODE_BLOCK], inverse_im[NODE_BLOCK];
    const double twice = 2 * creal(s), size = creal(s) * creal(s) + cimag(s) * cimag(s);
    for (size_t k = 0; k < NODE_BLOCK; k++) {
        const double re =
            nodes->square_re[k] - twice * nodes->mixed_re[k] + size * nodes->other_re[k];
        const double im =
            nodes->square_im[k] - twice * nodes->mixed_im[k] + size * nodes->other_im[k];
        const double scale = 1 / (re * re + im * im);
        inverse_re[k] = re * scale;
        inverse_im[k] = -im * scale;
    }
    for (size_t j = 0; j < 2 * count; j++) {
        const double weight = products[j / 2 * step + j % 2];
        double *sum_re = nodes->re[j], *sum_im = nodes->im[j];
        for (size_t k = 0; k < NODE_BLOCK; k++) {
            sum_re[k] += weight * inverse_re[k];
            sum_im[k] += weight * inverse_im[k];
        }
    }
}

static void set_node(Nodes *nodes, size_t k, double complex w)
{
    const double complex a = 2 * (1 - w), b = 1 + w;
    const double complex square = mega_complex_product(a, a), mixed = mega_complex_product(a, b);
    const double complex other = mega_complex_product(b, b);
    nodes->twice_re[k] = creal(a);
    nodes->twice_im[k] = cimag(a);
    nodes->plus_re[k] = creal(b);
    nodes->plus_im[k] = cimag(b);
    nodes->square_re[k] = creal(square);
    nodes->square_im[k] = cimag(square);
    nodes->mixed_re[k] = creal(mixed);
    nodes->mixed_im[k] = cimag(mixed);
    nodes->other_re[k] = creal(other);
    nodes->other_im[k] = cimag(other);
}

static void sum_nodes(const Work *work, uint64_t first, Nodes *nodes)
{
    const size_t n = work->system.states, count = product_count(work->ssm);
    for (size_t k = 0; k < NODE_BLOCK; k++)
        set_node(nodes, k, conj(work->roots[first + k < work->method.nodes ? first + k : 0]));
    memset(nodes->re, 0, 2 * count * sizeof nodes->re[0]);
    memset(nodes->im, 0, 2 * count * sizeof nodes->im[0]);
    for (size_t i = 0; i < n; i++)
        add_state(nodes, work->system.s[i], work->products + 2 * i, 2 * n, count);
}

/* Returns the sum of product j at node k. */
static double complex sum_of(const Nodes *nodes, size_t j, size_t k)
{
    const double complex a = CMPLX(nodes->twice_re[k], nodes->twice_im[k]);
    const double complex b = CMPLX(nodes->plus_re[k], nodes->plus_im[k]);
    const double complex first = CMPLX(nodes->re[2 * j][k], nodes->im[2 * j][k]);
    const double complex second = CMPLX(nodes->re[2 * j + 1][k], nodes->im[2 * j + 1][k]);
    return mega_complex_product(a, first) - mega_complex_product(b, second);
}

/* Solves m x = y, n complex equations, by Gaussian elimination with row pivots. x replaces y, and m
 * is overwritten. */
static void solve_small(size_t n, double complex m[][MEGA_SSM_MAX_RANK], double complex *y)
{
    for (size_t column = 0; column < n; column++) {
        size_t best = column;
        for (size_t i = column + 1; i < n; i++)
            if (cabs(m[i][column]) > cabs(m[best][column]))
                best = i;
        for (size_t j = 0; j <= n; j++) {
            double complex *a = j < n ? &m[best][j] : &y[best];
            double complex *b = j < n ? &m[column][j] : &y[column];
            const double complex other = *a;
            *a = *b;
            *b = other;
        }
        for (size_t i = column + 1; i < n; i++) {
            const double complex factor = m[i][column] / m[column][column];
            for (size_t j = column; j < n; j++)
                m[i][j] -= factor * m[column][j];
            y[i] -= factor * y[column];
        }
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t j = i + 1; j < n; j++)
            y[i] -= m[i][j] * y[j];
        y[i] /= m[i][i];
    }
}

/* Computes the generating function of all rows at node k of a block, number `at` of all nodes:
 *
 *   2 (S(c, b) - (1 + w) sum_rs S(c, p_r) (M^-1)_rs S(q_s, b)),
 *   M_sr = [s = r] + (1 + w) S(q_s, p_r)
 *
 * where S are the sums of products. */
static void finish_node(const Work *work, const Nodes *nodes, size_t k, uint64_t at)
{
    const size_t rows = work->ssm->rows, rank = work->ssm->rank, right = rank + 1;
    const double complex plus = CMPLX(nodes->plus_re[k], nodes->plus_im[k]);
    double complex m[MEGA_SSM_MAX_RANK][MEGA_SSM_MAX_RANK], y[MEGA_SSM_MAX_RANK];
    for (size_t s = 0; s < rank; s++) {
        const size_t row = (rows + s) * right;
        y[s] = sum_of(nodes, row, k);
        for (size_t r = 0; r < rank; r++)
            m[s][r] = (s == r) + mega_complex_product(plus, sum_of(nodes, row + 1 + r, k));
    }
    solve_small(rank, m, y);
    for (size_t row = 0; row < rows; row++) {
        double complex sum = 0;
        for (size_t r = 0; r < rank; r++)
            sum += mega_complex_product(sum_of(nodes, row * right + 1 + r, k), y[r]);
        work->hat[row * (work->method.nodes / 2 + 1) + at] =
            2 * (sum_of(nodes, row * right, k) - mega_complex_product(plus, sum));
    }
}

/* Transforms the generating function of one row to its kernel, together with that of a second one
 * unless it is NULL. Kernels are real, so one transform has the first as its real part and the
 * second as its imaginary part. */
static void transform_rows(const Work *work, const double complex *hat,
                           const double complex *second, float *kernel, float *second_kernel)
{
    const uint64_t n = work->method.nodes, have = work->taps < n ? work->taps : n;
    for (uint64_t k = 0; k <= n / 2; k++) {
        const bool is_real = k == 0 || 2 * k == n;
        const double complex a = is_real ? creal(hat[k]) : hat[k];
        const double complex b = !second ? 0 : is_real ? creal(second[k]) : second[k];
        work->spectrum[k] = a + CMPLX(-cimag(b), creal(b));
        if (!is_real)
            work->spectrum[n - k] = conj(a) + CMPLX(cimag(b), creal(b));
    }
    mega_dft_inverse((size_t)n, work->roots, work->spectrum, work->values, work->spare);
    for (uint64_t l = 0; l < have; l++) {
        kernel[l] = (float)(creal(work->values[l]) / (double)n);
        if (second)
            second_kernel[l] = (float)(cimag(work->values[l]) / (double)n);
    }
}

static void fill_by_nodes(const Work *work, float *kernel, size_t stride)
{
    const uint64_t n = work->method.nodes, half = n / 2 + 1;
    const size_t rows = work->ssm->rows;
    Nodes nodes = {.re = (double(*)[NODE_BLOCK])work->nodes};
    nodes.im = nodes.re + 2 * product_count(work->ssm);
    fill_products(work);
    for (uint64_t first = 0; first < half; first += NODE_BLOCK) {
        sum_nodes(work, first, &nodes);
        for (uint64_t k = 0; k < NODE_BLOCK && first + k < half; k++)
            finish_node(work, &nodes, (size_t)k, first + k);
    }
    for (size_t row = 0; row < rows; row += 2) {
        const bool two = row + 1 < rows;
        transform_rows(work, work->hat + row * half, two ? work->hat + (row + 1) * half : NULL,
                       kernel + row * stride, two ? kernel + (row + 1) * stride : NULL);
    }
}

/* ---- Low rank: the recurrence ---------------------------------------------------------------- */

static bool fill_by_steps(const Work *work, float *kernel, size_t stride)
{
    const MegaSsmSystem *system = &work->system;
    const uint64_t n = work->method.nodes, have = work->taps < n ? work->taps : n;
    if (!mega_ssm_solve(system, n, work->solving))
        return false;
    memset(work->x, 0, system->states * sizeof *work->x);
    for (uint64_t l = 0; l < have; l++) {
        mega_ssm_advance(system, work->x, l == 0 ? 1 : 0);
        for (size_t r = 0; r < system->rows; r++) {
            const double complex *c = system->c + r * system->states;
            double sum = 0;
            for (size_t i = 0; i < system->states; i++)
                sum += creal(c[i]) * creal(work->x[i]) - cimag(c[i]) * cimag(work->x[i]);
            kernel[r * stride + l] = (float)(2 * sum);
        }
    }
    return true;
}

/* ---- All features ---------------------------------------------------------------------------- */

/* Loads a system of low rank, and brings its c to the length that the method asks for. */
static void load_long(Work *work, size_t feature)
{
    const MegaSsm *ssm = work->ssm;
    MegaSsmSystem *system = &work->system;
    const size_t n = ssm->states;
    /* lengths are those at the rate of the training */
    const bool longer = work->method.from || work->method.doublings;
    mega_ssm_system_load(system, ssm, feature, longer ? 1 : work->rate);
    if (!longer)
        return;
    for (size_t r = 0; r < ssm->rows; r++) {
        double complex *c = system->c + r * n;
        memcpy(work->x, c, n * sizeof *c);
        uint64_t length = ssm->length;
        if (work->method.from) {
            length = work->method.from;
            mega_ssm_advance_row(system, work->x, length);
            for (size_t i = 0; i < n; i++)
                c[i] -= work->x[i];
        }
        for (int i = 0; i < work->method.doublings; i++, length *= 2) {
            memcpy(work->x, c, n * sizeof *c);
            mega_ssm_advance_row(system, work->x, length);
            for (size_t j = 0; j < n; j++)
                c[j] += work->x[j];
        }
    }
    if (work->rate == 1)
        return;
    memcpy(work->kept, system->c, ssm->rows * n * sizeof *work->kept);
    mega_ssm_system_load(system, ssm, feature, work->rate);
    memcpy(system->c, work->kept, ssm->rows * n * sizeof *work->kept);
}

struct MegaSsmMaker {
    Work *works; /* [threads] */
    MegaArena arena;
    atomic_bool failed;
};

void mega_ssm_make(MegaSsmMaker *maker, size_t feature, int worker, float *kernel, size_t stride)
{
    Work *work = &maker->works[worker];
    const MegaSsm *ssm = work->ssm;
    for (size_t r = 0; r < ssm->rows; r++)
        memset(kernel + r * stride, 0, (size_t)work->taps * sizeof *kernel);
    if (!ssm->rank) {
        mega_ssm_system_load(&work->system, ssm, feature, work->rate);
        fill_diagonal(work, feature, kernel, stride);
    } else if (work->method.nodes > 0) {
        load_long(work, feature);
        if (!work->method.by_steps)
            fill_by_nodes(work, kernel, stride);
        else if (!fill_by_steps(work, kernel, stride))
            atomic_store(&maker->failed, true);
    }
}

static Work make_work(const MegaSsm *ssm, uint64_t taps, double rate)
{
    Work work = {.ssm = ssm, .taps = taps, .rate = rate};
    if (ssm->rank)
        work.method = choose_method(ssm, taps, rate);
    return work;
}

uint64_t mega_ssm_kernels_memory(const MegaSsm *ssm, uint64_t taps, double rate, int threads)
{
    MegaArena dry = {0}, shared = {0};
    Work work = make_work(ssm, taps, rate);
    work_layout(&work, ssm, &dry);
    mega_arena_take(&shared, root_count(&work) * sizeof *work.roots);
    uint64_t bytes;
    return !dry.overflow && !shared.overflow && mega_mul(dry.used, (uint64_t)threads, &bytes) &&
                   mega_add(bytes, shared.used, &bytes)
               ? bytes
               : UINT64_MAX;
}

int mega_ssm_maker_new(MegaSsmMaker **out, const MegaSsm *ssm, uint64_t taps, double rate,
                       int threads, MegaError *err)
{
    const uint64_t bytes = mega_ssm_kernels_memory(ssm, taps, rate, threads);
    MegaSsmMaker *maker = calloc(1, sizeof *maker);
    *out = NULL;
    if (!maker || !(maker->works = calloc((size_t)threads, sizeof *maker->works))) {
        mega_ssm_maker_free(maker);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for making kernels");
    }
    int code = bytes == UINT64_MAX || bytes > SIZE_MAX
                   ? mega_fail(err, MEGA_ERR_LIMIT, "a kernel of %llu lags is too long",
                               (unsigned long long)taps)
                   : mega_arena_reserve(&maker->arena, (size_t)bytes, err);
    if (code) {
        mega_ssm_maker_free(maker);
        return code;
    }
    const Work work = make_work(ssm, taps, rate);
    const uint64_t count = root_count(&work);
    double complex *roots = mega_arena_take(&maker->arena, count * sizeof *roots);
    mega_dft_roots((size_t)count, roots);
    for (int i = 0; i < threads; i++) {
        maker->works[i] = work;
        work_layout(&maker->works[i], ssm, &maker->arena);
        maker->works[i].roots = roots;
    }
    *out = maker;
    return 0;
}

int mega_ssm_made(const MegaSsmMaker *maker, MegaError *err)
{
    if (!atomic_load(&maker->failed))
        return 0;
    return mega_fail(err, MEGA_ERR_MODEL,
                     "the kernel of a state space does not exist: 1 - A^%llu is singular",
                     (unsigned long long)maker->works[0].method.nodes);
}

void mega_ssm_maker_free(MegaSsmMaker *maker)
{
    if (!maker)
        return;
    mega_arena_free(&maker->arena);
    free(maker->works);
    free(maker);
}

typedef struct Kernels {
    MegaSsmMaker *maker;
    float *out;
    size_t rows, stride;
} Kernels;

static void run_feature(void *context, size_t feature, int worker)
{
    const Kernels *kernels = context;
    mega_ssm_make(kernels->maker, feature, worker,
                  kernels->out + feature * kernels->rows * kernels->stride, kernels->stride);
}

int mega_ssm_kernels(const MegaSsm *ssm, uint64_t taps, double rate, MegaPool *pool, float *kernels,
                     size_t stride, MegaError *err)
{
    Kernels run = {.out = kernels, .rows = ssm->rows, .stride = stride};
    int code = mega_ssm_maker_new(&run.maker, ssm, taps, rate, mega_pool_threads(pool), err);
    if (code)
        return code;
    mega_pool_run(pool, ssm->features, run_feature, &run);
    code = mega_ssm_made(run.maker, err);
    mega_ssm_maker_free(run.maker);
    return code;
}
