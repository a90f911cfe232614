/*
 * npy.h - reads and writes NumPy arrays (.npy versions 1.0 to 3.0). It reads C and Fortran order,
 * and always gives and writes C order.
 */
#ifndef MEGA_NPY_H
#define MEGA_NPY_H

#include "src/mega.h"

#define MEGA_NPY_MAX_RANK 8

typedef enum MegaNpyType { MEGA_NPY_F32, MEGA_NPY_I32 } MegaNpyType;

/* An array in the engine's types: float16, float32 and float64 are converted to float32, all
 * integer types and bool to int32 (a value that does not fit is an error). Big-endian files are
 * converted. */
typedef struct MegaNpy {
    MegaNpyType type;
    int rank;
    uint64_t shape[MEGA_NPY_MAX_RANK];
    uint64_t elements;
    float *f32;   /* [elements], or NULL */
    int32_t *i32; /* [elements], or NULL */
} MegaNpy;

/* Reads an array from a file, or from standard input if path is "-". *out is freed with
 * mega_npy_free. */
int mega_npy_read(MegaNpy *out, const char *path, MegaError *err);
/* Does the same, but fails if file and elements together would take more than max_memory bytes;
 * UINT64_MAX means no limit. */
int mega_npy_read_within(MegaNpy *out, const char *path, uint64_t max_memory, MegaError *err);
int mega_npy_parse(MegaNpy *out, const void *bytes, size_t size, const char *name, MegaError *err);
void mega_npy_free(MegaNpy *array);
/* Writes float32 in C order, version 1.0, to a temporary file that is then renamed; "-" is standard
 * output. */
int mega_npy_write(const char *path, const float *data, int rank, const uint64_t *shape,
                   MegaError *err);

/* ---- Piece by piece, in memory of constant size ---------------------------------------------- */

typedef struct MegaNpyInput MegaNpyInput;

/* Opens an array to read it piece by piece. *header receives type, rank, shape and elements, but no
 * data. An array of several dimensions in Fortran order is MEGA_ERR_UNSUPPORTED. */
int mega_npy_open(MegaNpyInput **out, MegaNpy *header, const char *path, MegaError *err);
/* Reads the next `count` elements, which must be there, as float or int32_t, as the type says. When
 * it has read the last one, it checks that the file ends there. */
int mega_npy_next(MegaNpyInput *input, void *elements, size_t count, MegaError *err);
void mega_npy_close(MegaNpyInput *input);

typedef struct MegaNpyOutput MegaNpyOutput;

/* Begins to write an array as mega_npy_write does. */
int mega_npy_create(MegaNpyOutput **out, const char *path, int rank, const uint64_t *shape,
                    MegaError *err);
int mega_npy_append(MegaNpyOutput *output, const float *data, size_t count, MegaError *err);
/* Completes the file, to which all elements must have been written. */
int mega_npy_commit(MegaNpyOutput *output, MegaError *err);
/* Frees the output. Without a commit no file appears. */
void mega_npy_discard(MegaNpyOutput *output);

#endif
