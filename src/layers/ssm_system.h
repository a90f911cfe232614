/*
 * ssm_system.h - the state space of one feature in double precision, loaded from the tensors, its
 * steps, and the solution for C. Private to ssm_*.c.
 *
 * Time is measured in steps, so that dt is part of s = dt lambda, of in = dt b and of p = dt p.
 * Each vector stands for itself and its conjugate, so a product of two of them is 2 Re sum_n a_n
 * b_n.
 */
#ifndef MEGA_SSM_SYSTEM_H
#define MEGA_SSM_SYSTEM_H

#include "src/layers/dft.h"
#include "src/layers/ssm_kernel.h"

typedef struct MegaSsmSystem {
    size_t states, rank, rows;
    double complex *s, *lambda, *in; /* [N] */
    double complex *p, *q;           /* [R][N] */
    double complex *c;               /* [rows][N] */
    /* the bilinear step (ssm_kernel.h), where `in` has another factor 2 */
    double complex *numerator, *z; /* [N]: 2 + s, 1 / (2 - s); a diagonal system gets Ab in z */
    double *g;                     /* [R][R]: (1 + q z p)^-1 */
    double complex *spare;         /* [N] scratch */
} MegaSsmSystem;

/* Places the arrays; an arena without memory only counts them. */
void mega_ssm_system_layout(MegaSsmSystem *out, const MegaSsm *ssm, MegaArena *arena);
/* Fills them for one feature at a rate (mega_ssm_taps); c is that of the tensor. */
void mega_ssm_system_load(MegaSsmSystem *system, const MegaSsm *ssm, size_t feature, double rate);

/* Returns e^x - 1, also for small x without loss of digits. */
double complex mega_exp_minus_one(double complex x);
/* Returns dt b phi of state i of a diagonal system, and stores its z (ssm_kernel.h). */
double complex mega_ssm_discretize(const MegaSsm *ssm, const MegaSsmSystem *system, size_t i,
                                   double complex *z);

/* x = Ab x + Bb u of a system of low rank, x [N]. */
void mega_ssm_advance(const MegaSsmSystem *system, double complex *x, double u);
/* c = c Ab^steps, c [N]. */
void mega_ssm_advance_row(const MegaSsmSystem *system, double complex *c, uint64_t steps);

/* Returns how many doubles of scratch mega_ssm_solve takes. */
uint64_t mega_ssm_solve_scratch(const MegaSsm *ssm);
/* Replaces each row c of the system by the solution x of x (1 - Ab^length) = c. Returns false if
 * the matrix is singular. */
bool mega_ssm_solve(const MegaSsmSystem *system, uint64_t length, double *scratch);

#endif
