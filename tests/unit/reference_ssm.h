/*
 * reference_ssm.h - computes kernels of state spaces from dense matrices of complex numbers in
 * double: all 2 N states, the inverse matrices of the bilinear rule, one power after the other, and
 * C as the solution of C (1 - Ab^length) = the tensor. It is slow and shares nothing with
 * src/layers but the description of the tensors.
 */
#ifndef MEGA_REFERENCE_SSM_H
#define MEGA_REFERENCE_SSM_H

#include <complex.h>

#include "src/layers/ssm_kernel.h"

/* Computes lags 0 ... taps - 1 of row `row` of C for one feature. */
void reference_ssm_kernel(const MegaSsm *ssm, size_t feature, size_t row, size_t taps, double rate,
                          double *kernel);

#endif
