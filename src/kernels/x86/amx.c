/*
 * amx.c - the products of x86-64 with a tile unit (AMX); the Makefile gives the flags.
 *
 * gcc does not know that LDTILECFG and TILELOADD read memory. TILE_AFTER_STORES keeps it from
 * moving the stores that fill that memory past them.
 */
#include <immintrin.h>

#define VECTOR_BYTES 64
#define KERNELS mega_kernels_amx
#define REST mega_kernels_avx512
#define REST_INTEGER mega_kernels_avx512vnni
#define TILE_AFTER_STORES() __asm__ volatile("" ::: "memory")
#define TILE_CONFIGURE(config)                                                                     \
    do {                                                                                           \
        TILE_AFTER_STORES();                                                                       \
        _tile_loadconfig(config);                                                                  \
    } while (0)
#define TILE_RELEASE() _tile_release()
#define TILE_ZERO(tile) _tile_zero(tile)
#define TILE_LOAD(tile, from, step)                                                                \
    do {                                                                                           \
        TILE_AFTER_STORES();                                                                       \
        _tile_loadd(tile, from, step);                                                             \
    } while (0)
#define TILE_STORE(tile, to, step) _tile_stored(tile, to, step)
#define TILE_MULTIPLY_BYTES(sums, x, w) _tile_dpbssd(sums, x, w)
#define TILE_MULTIPLY_BF16(sums, x, w) _tile_dpbf16ps(sums, x, w)
#include "src/kernels/amx_tmpl.h"
