/*
 * avx2vnni.c - the integer kernels for x86-64 with dot products of bytes in vectors of AVX2
 * (AVX-VNNI); the Makefile gives the flags.
 */
#define VECTOR_BYTES 32
#define KERNELS mega_kernels_avx2vnni
#include "src/kernels/integer_tmpl.h"
