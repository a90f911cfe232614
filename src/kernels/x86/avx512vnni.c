/*
 * avx512vnni.c - the kernels for x86-64 with AVX-512 and its dot products of bytes (VNNI);
 * the Makefile gives the flags.
 */
#define VECTOR_BYTES 64
#define KERNELS mega_kernels_avx512vnni
#define KERNELS_NAME "avx512vnni"
#include "src/kernels/body_tmpl.h"
