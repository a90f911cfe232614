/*
 * math_tmpl.h - part of body_tmpl.h: elementary functions on vectors.
 */

/* 1 / x, for finite x other than 0. With AVX-512 it takes a 14-bit estimate and one step of
 * Newton's method: the result is within 2 units in the last place and takes half the time of a
 * division. */
INLINE V reciprocal(V x)
{
#if VECTOR_BYTES == 64
    V y = (V)_mm512_rcp14_ps((__m512)x);
    return multiply_add(y, subtract_product(splat(1), x, y), y);
#else
    return 1.0f / x;
#endif
}

/* e^x = 2^n e^r with |r| <= ln 2 / 2. A polynomial of degree 6 computes e^r (Chebyshev fit, 9e-8
 * relative). The result is 0 below x = -87 and stays at e^88 above 88. NaN stays NaN. */
INLINE V vector_exp(V x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    V clamped = maximum(splat(-87.0f), minimum(splat(88.0f), x));
    V n = multiply_add(clamped, splat(1.44269504f), splat(round)) - round;
    V r = subtract_product(clamped, n, splat(0.693359375f));
    r = subtract_product(r, n, splat(-2.12194440e-4f));
    V p = splat(1.3926175888627768e-3f);
    p = multiply_add(p, r, splat(8.363173343241215e-3f));
    p = multiply_add(p, r, splat(4.1666556149721146e-2f));
    p = multiply_add(p, r, splat(0.16666577756404877f));
    p = multiply_add(p, r, splat(0.5f));
    p = multiply_add(p, r * r, r) + 1.0f;
#if VECTOR_BYTES == 64
    p = (V)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    p *= (V)((__builtin_convertvector(n, I) + 127) << 23);
#endif
    return choose(x < -87.0f, splat(0.0f), p);
}

INLINE V vector_sigmoid(V x)
{
    return reciprocal(1.0f + vector_exp(-x));
}

/* 1 + erf(x). On [-3.92, 3.92], erf(x) = x P(x^2) / Q(x^2) with a minimax fit of degrees 6 and 5,
 * which is within 1.4e-9 in exact arithmetic; outside, erf is constant. NaN stays NaN. */
INLINE V one_plus_erf(V x)
{
    V u = minimum(splat(3.92f), maximum(splat(-3.92f), x)), t = u * u;
    V p = splat(-1.3337246862477059e-8f);
    p = multiply_add(p, t, splat(4.718048330687452e-6f));
    p = multiply_add(p, t, splat(3.803801955655217e-4f));
    p = multiply_add(p, t, splat(3.832397982478142e-3f));
    p = multiply_add(p, t, splat(5.427852272987366e-2f));
    p = multiply_add(p, t, splat(0.18470098078250885f));
    p = multiply_add(p, t, splat(1.128379225730896f));
    V q = splat(6.342134292935953e-5f);
    q = multiply_add(q, t, splat(1.3050449779257178e-3f));
    q = multiply_add(q, t, splat(1.5431014820933342e-2f));
    q = multiply_add(q, t, splat(0.11377568542957306f));
    q = multiply_add(q, t, splat(0.49702051281929016f));
    q = multiply_add(q, t, splat(1.0f));
    return multiply_add(u * p, reciprocal(q), splat(1));
}

INLINE V vector_tanh(V x)
{
    return subtract_product(splat(1), splat(2), reciprocal(vector_exp(2.0f * x) + 1.0f));
}

INLINE V silu(V x)
{
    return x * vector_sigmoid(x);
}

INLINE V relu(V x)
{
    return choose(x < 0.0f, splat(0.0f), x);
}

INLINE V gelu(V x)
{
    return 0.5f * x * one_plus_erf(x * 0.70710678f);
}

INLINE V gelu_tanh(V x)
{
    V cubic = multiply_add(0.044715f * x * x, x, x);
    return 0.5f * x * (1.0f + vector_tanh(0.79788456f * cubic));
}

/* laplace(v) = 0.5 (1 + erf((v - mu) / (sigma sqrt 2))), with the constants rounded as the original
 * has them. */
#define LAPLACE_MU 0.707107f
#define LAPLACE_SCALE (1.0f / (0.282095f * 1.41421356f))
#if VECTOR_BYTES == 64
/* With u = (v - mu) / (sigma sqrt 2) and n = round(4 |u|), which is at most 15 since nothing
 * changes beyond, a polynomial of degree 4 in 4 |u| - n gives erf(|u|) / 2. The coefficients are
 * Chebyshev fits, within 1e-7 with all rounding. One register holds the 16 coefficients of one
 * degree, so a permutation looks them up. It takes a third of the time of one_plus_erf. */
static const float laplace_table[5][16] = {
    {0.0f, 0.138163194f, 0.260249943f, 0.355577826f, 0.42135039f, 0.46145007f, 0.483052582f,
     0.493335843f, 0.497661144f, 0.499268651f, 0.49979651f, 0.499949694f, 0.499988943f,
     0.499997854f, 0.499999642f, 0.49999994f},
    {0.14104633f, 0.132501006f, 0.109847754f, 0.0803668872f, 0.0518890955f, 0.0295655895f,
     0.0148664284f, 0.00659681251f, 0.00258324901f, 0.000892688404f, 0.000272227073f,
     7.32582412e-05f, 1.73968547e-05f, 3.64559992e-06f, 6.74133048e-07f, 1.10000407e-07f},
    {3.14018486e-16f, -0.00828118715f, -0.0137307644f, -0.0150685823f, -0.0129721286f,
     -0.00923919678f, -0.00557493977f, -0.00288617122f, -0.00129168876f, -0.000502181938f,
     -0.000170166473f, -5.03760784e-05f, -1.30517919e-05f, -2.96337089e-06f, -5.90225056e-07f,
     -1.03208961e-07f},
    {-0.0029213368f, -0.00240322202f, -0.00114311732f, 0.000201209259f, 0.00107049022f,
     0.00130168325f, 0.00108171976f, 0.000705349434f, 0.000378730707f, 0.000171347609f,
     6.61698577e-05f, 2.19876547e-05f, 6.32093997e-06f, 1.57807165e-06f, 3.43109889e-07f,
     6.51067964e-08f},
    {-1.25607395e-15f, 0.000246162119f, 0.000355295168f, 0.000293082296f, 0.000135333306f,
     -1.10597348e-05f, -8.62244342e-05f, -9.35387288e-05f, -6.72529932e-05f, -3.7404352e-05f,
     -1.69684627e-05f, -6.43944304e-06f, -2.07373682e-06f, -5.7183729e-07f, -1.3584885e-07f,
     -2.79252372e-08f},
};

INLINE V laplace(V v)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it leaves n in the low bits */
    const I minus = (I){0} + INT32_MIN;
    V t = multiply_add(v, splat(4 * LAPLACE_SCALE), splat(-4 * LAPLACE_SCALE * LAPLACE_MU));
    V size = minimum(splat(15.49f), (V)((I)t & ~minus));
    V n = size + round, r = size - (n - round);
    V p = (V)_mm512_permutexvar_ps((__m512i)n, (__m512)load(laplace_table[4]));
    for (int i = 3; i >= 0; i--)
        p = multiply_add(p, r,
                         (V)_mm512_permutexvar_ps((__m512i)n, (__m512)load(laplace_table[i])));
    return 0.5f + (V)((I)p | ((I)t & minus));
}
#else
INLINE V laplace(V v)
{
    return 0.5f * one_plus_erf((v - LAPLACE_MU) * LAPLACE_SCALE);
}
#endif

INLINE V relu2(V v)
{
    return relu(v) * relu(v);
}
