/*
 * generic.c - the kernels for any processor of the architecture: 128-bit vectors.
 */
#define VECTOR_BYTES 16
#define KERNELS mega_kernels_generic
#define KERNELS_NAME "generic"
#include "src/kernels/body_tmpl.h"
