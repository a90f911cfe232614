/*
 * avx512vnni.c - the integer kernels for x86-64 with the dot products of bytes of AVX-512
 * (VNNI); the Makefile gives the flags.
 */
#define VECTOR_BYTES 64
#define KERNELS mega_kernels_avx512vnni
#include "src/kernels/integer_tmpl.h"
