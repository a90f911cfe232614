/*
 * support.h - random numbers, random models and comparisons for several unit tests.
 */
#ifndef MEGA_SUPPORT_H
#define MEGA_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "src/layers/mega_config.h"
#include "src/model/model.h"

/* SANITIZED tells whether a sanitizer runs, which allocates memory and holds locks of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED false
#endif

/* An xorshift64* generator, which gives the same numbers on every machine. */
typedef struct Random {
    uint64_t state; /* never 0 */
} Random;

uint32_t random_bits(Random *random);
float random_uniform(Random *random, float low, float high);
int random_int(Random *random, int low, int high); /* both limits are included */
float *random_floats(Random *random, size_t n, float low, float high); /* the caller frees it */

/* Makes n numbers between guard bands, which release_floats expects untouched before it frees
 * them. */
float *guarded_floats(Random *random, size_t n, float low, float high);
void release_floats(float *x, size_t n);

/* Says how a model file differs from what its configuration implies. Zeros mean plain float32
 * without any difference. */
typedef struct ModelTweak {
    bool compress, panels; /* `panels` stores matrices in panels, without compression */
    MegaDtype dtype;       /* a quantized type applies to matrices only */
    const char *missing; /* this tensor is left out */
    const char *longer;  /* this tensor's first dimension is one larger */
    const char *extra;   /* this tensor of three numbers is added */
} ModelTweak;

void random_model_file(const char *path, const MegaConfig *config, const ModelTweak *tweak,
                       Random *random);
/* Makes a model of this configuration with random weights of sensible size; fails the test on
 * error. */
MegaModel *random_model(const MegaConfig *config, Random *random);
/* Returns a small valid configuration to start from: text, mean pooling, softmax, layernorm,
 * post-norm. */
MegaConfig small_config(void);
/* Fails unless mega_config_check refuses the configuration with a sentence that has this part. */
void assert_config_refused(const MegaConfig *config, const char *part);

/* Fails unless the error's sentence contains this part. */
void assert_says(const MegaError *err, const char *part);

/* A file of its own for a group of tests, which may write it as often as they like:
 * cmocka_run_group_tests(tests, make_scratch_file, remove_scratch_file). */
extern char scratch_path[];
int make_scratch_file(void **state);
int remove_scratch_file(void **state);
/* An empty folder for a group of tests, each of which removes what it puts there. */
extern char scratch_folder[];
int make_scratch_folder(void **state);
int remove_scratch_folder(void **state);
/* Returns the path of a file in that folder; it is valid until the next call. */
const char *path_in_folder(const char *name);
/* Counts the files in a folder, including temporary ones. */
int count_files(const char *folder);

/* Fails unless |got - expected| <= tolerance * max(1, max |expected|) everywhere. */
void assert_close(const float *got, const double *expected, size_t n, double tolerance);
void assert_close_f32(const float *got, const float *expected, size_t n, double tolerance);

#endif
