/*
 * roofline.h - the roofline model of a run: it measures the peak arithmetic and memory bandwidth of
 * the machine and counts the work of a model, from which follow the limits that the benchmark
 * prints.
 */
#ifndef MEGA_ROOFLINE_H
#define MEGA_ROOFLINE_H

#include "src/encode/session.h"

typedef struct Machine {
    double flops;     /* float32 operations a second; a multiply-add counts as two */
    double int8_ops;  /* 8-bit integer operations a second, counted likewise */
    double bandwidth; /* bytes a second that can be read from memory */
    int threads;
} Machine;

/* Measures the machine for a third of a second and raises each member of *out, which is zero at
 * first, to the best result. It is called before and after what is compared, since a machine may
 * have other work at times. */
int machine_measure(Machine *out, const MegaKernels *kernels, MegaPool *pool, MegaError *err);

/* The operations and bytes of one pass. */
typedef struct Work {
    double flops, int8_ops, bytes;
} Work;

/* The type of a model's matrices. */
typedef struct WeightType {
    double bytes; /* bytes of one element */
    bool integers;
} WeightType;

/* Counts the work of an encoder on `count` inputs of `length` positions that are run side by
 * side. */
Work work_encode(const MegaConfig *config, WeightType weight, size_t length, size_t count);
/* Counts the work of one decoder step for `rows` sequences at `position`, with sources of `source`
 * tokens. */
Work work_decode(const MegaConfig *config, WeightType weight, size_t rows, size_t position,
                 size_t source);
/* Counts the work of a language model that reads `length` tokens at once and makes no logits. */
Work work_read(const MegaConfig *config, WeightType weight, size_t length);
/* Returns the least seconds that the work can take: the larger of the time to compute it and the
 * time to read its weights. */
double work_limit(const Machine *machine, Work work);

#endif
