/*
 * avx2.c - the kernels for x86-64 with AVX2 and FMA; the Makefile gives the flags.
 */
#define VECTOR_BYTES 32
#define KERNELS mega_kernels_avx2
#define KERNELS_NAME "avx2"
#include "src/kernels/body_tmpl.h"
