/*
 * roofline.h - what the machine can do, and what a model needs of it: the limits of the benchmark.
 */
#ifndef MEGA_ROOFLINE_H
#define MEGA_ROOFLINE_H

#include "src/encode/session.h"

typedef struct Machine {
    double flops;     /* float32 operations a second, a multiply-add being two */
    double int8_ops;  /* the same of 8-bit integers */
    double bandwidth; /* bytes a second that can be read from memory */
    int threads;
} Machine;

/* Raises what *out has (zeros at first) to the best of some tries, which take a third of a second:
 * before and after what is compared, since a machine may have other work at times. */
int machine_measure(Machine *out, const MegaKernels *kernels, MegaPool *pool, MegaError *err);

/* Operations and bytes, of one pass. */
typedef struct Work {
    double flops, int8_ops, bytes;
} Work;

/* Of a model's matrices. */
typedef struct WeightType {
    double bytes; /* of an element */
    bool integers;
} WeightType;

/* An encoder over `count` inputs of `length` positions, which are read side by side: */
Work work_encode(const MegaConfig *config, WeightType weight, size_t length, size_t count);
/* A step of the decoder for `rows` sequences at `position`, with sources of `source` tokens. */
Work work_decode(const MegaConfig *config, WeightType weight, size_t rows, size_t position,
                 size_t source);
/* Seconds that the work takes at least: it must be computed, and its weights must be read. */
double work_limit(const Machine *machine, Work work);

#endif
