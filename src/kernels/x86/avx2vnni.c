/*
 * avx2vnni.c - the kernels for x86-64 with AVX2 and dot products of bytes (AVX-VNNI); the
 * Makefile gives the flags.
 */
#define VECTOR_BYTES 32
#define KERNELS mega_kernels_avx2vnni
#define KERNELS_NAME "avx2vnni"
#include "src/kernels/body_tmpl.h"
