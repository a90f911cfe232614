/*
 * dotprod.c - the kernels for arm64 with dot products of bytes (ARMv8.2); NEON itself is
 * part of every arm64, and so of generic.c. The Makefile gives the flags.
 */
#define VECTOR_BYTES 16
#define KERNELS mega_kernels_dotprod
#define KERNELS_NAME "dotprod"
#include "src/kernels/body_tmpl.h"
