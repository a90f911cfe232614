/*
 * tiers.c - see tiers.h.
 */
#include "tests/unit/tiers.h"

#include <pthread.h>

#include "tests/unit/tile_unit.h"

#define VECTOR_BYTES 16
#define KERNELS emulated_tiles
#define REST mega_kernels_generic
#define REST_INTEGER mega_kernels_generic.integer
#define TILE_CONFIGURE(config) tile_configure(config)
#define TILE_RELEASE() tile_release()
#define TILE_ZERO(tile) tile_zero(tile)
#define TILE_LOAD(tile, from, step) tile_load(tile, from, step)
#define TILE_STORE(tile, to, step) tile_store(tile, to, step)
#define TILE_MULTIPLY_BYTES(sums, x, w) tile_multiply_bytes(sums, x, w)
#define TILE_MULTIPLY_BF16(sums, x, w) tile_multiply_bf16(sums, x, w)
#include "src/kernels/amx_tmpl.h"

static MegaKernels table, bf16_table;

static void make_tables(void)
{
    table = mega_kernels_generic;
    table.name = "emulated amx";
    table.gemm = emulated_tiles.gemm;
    table.prepare = emulated_tiles.prepare;
    table.integer.gemm = emulated_tiles.gemm_integer;
    bf16_table = table;
    bf16_table.gemm = emulated_tiles.gemm_bf16;
}

static void make_tables_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_tables);
}

const MegaKernels *emulated_amx(void)
{
    make_tables_once();
    return &table;
}

const MegaKernels *emulated_amx_bf16(void)
{
    make_tables_once();
    return &bf16_table;
}

size_t test_tiers(const MegaKernels *out[MOST_TEST_TIERS])
{
    const size_t count = mega_kernels_all(out);
    out[count] = emulated_amx();
    return count + 1;
}
