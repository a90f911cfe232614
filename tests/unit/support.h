/*
 * support.h - what several unit tests share: random numbers, random models, comparison.
 */
#ifndef MEGA_SUPPORT_H
#define MEGA_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "src/model/model.h"

/* xorshift64*: the same numbers on every machine. */
typedef struct Random {
    uint64_t state; /* not 0 */
} Random;

uint32_t random_bits(Random *random);
float random_uniform(Random *random, float low, float high);
int random_int(Random *random, int low, int high); /* both inclusive */
float *random_floats(Random *random, size_t n, float low, float high); /* free() */

/* How a model file differs from what its configuration implies; zero is float32, plain, no
 * difference. */
typedef struct ModelTweak {
    bool compress, panels; /* panels: matrices that are not compressed */
    MegaDtype dtype;       /* quantized: of matrices only */
    const char *missing; /* tensor that is left out */
    const char *longer;  /* tensor whose first dimension is one more */
    const char *extra;   /* tensor of three numbers that is added */
} ModelTweak;

void random_model_file(const char *path, const MegaConfig *config, const ModelTweak *tweak,
                       Random *random);
/* A model of this configuration with random weights of a sensible size. Fails the test on error. */
MegaModel *random_model(const MegaConfig *config, Random *random);
/* A small valid configuration to start from: text, mean pooling, softmax, layernorm, post-norm. */
MegaConfig small_config(void);

/* Fails unless |got - expected| <= tolerance * max(1, max |expected|) everywhere. */
void assert_close(const float *got, const double *expected, size_t n, double tolerance);
void assert_close_f32(const float *got, const float *expected, size_t n, double tolerance);

#endif
