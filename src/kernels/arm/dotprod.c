/*
 * dotprod.c - the integer kernels for arm64 with dot products of bytes (ARMv8.2); the Makefile
 * gives the flags.
 */
#define VECTOR_BYTES 16
#define KERNELS mega_kernels_dotprod
#include "src/kernels/integer_tmpl.h"
