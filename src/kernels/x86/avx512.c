/*
 * avx512.c - the kernels for x86-64 with AVX-512; the Makefile gives the flags.
 */
#define VECTOR_BYTES 64
#define KERNELS mega_kernels_avx512
#define KERNELS_NAME "avx512"
#include "src/kernels/body_tmpl.h"
