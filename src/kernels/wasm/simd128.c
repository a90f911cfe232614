/*
 * simd128.c - the kernels for WebAssembly with vectors of 128 bits; the Makefile gives the flags. A
 * module that has them does not load where they are missing, so there is no tier below this one.
 */
#define VECTOR_BYTES 16
#define KERNELS mega_kernels_simd128
#define KERNELS_NAME "simd128"
#include "src/kernels/body_tmpl.h"
