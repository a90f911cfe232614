/*
 * dispatch.c - chooses the tier of kernels that this machine can run.
 */
#include "src/kernels/kernels.h"

#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>

#include "src/kernels/x86/tile_unit.h"
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "src/base/lock.h"

#define HAS(feature) (__builtin_cpu_supports(feature) != 0)

typedef struct Tier {
    const char *name;
    const MegaKernels *kernels;
    bool (*supported)(void);
    /* takes the place of the integer kernels in `kernels`; NULL: they stay */
    const MegaIntegerKernels *integer;
} Tier;

#if defined(__x86_64__)
static bool has_avx2(void)
{
    return HAS("avx2") && HAS("fma"); /* every processor with both also has F16C */
}

/* Asks cpuid itself, since not every compiler that we support knows "avxvnni" by name. */
static bool has_avx2vnni(void)
{
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1 << 4);
}

static bool has_avx512(void)
{
    return HAS("avx512f") && HAS("avx512bw") && HAS("avx512dq") && HAS("avx512vl");
}

static bool has_vnni(void)
{
    return has_avx512() && HAS("avx512vnni");
}

#if MEGA_WITH_AMX
static bool has_amx(void)
{
    return has_vnni() && mega_tile_unit_usable();
}
#endif
#elif defined(__aarch64__)
static bool has_dotprod(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}
#endif

static bool always(void)
{
    return true;
}

static const Tier best_first[] = {
#if defined(__x86_64__)
    {"avx512vnni", &mega_kernels_avx512, has_vnni, &mega_kernels_avx512vnni},
    {"avx512", &mega_kernels_avx512, has_avx512, NULL},
    {"avx2vnni", &mega_kernels_avx2, has_avx2vnni, &mega_kernels_avx2vnni},
    {"avx2", &mega_kernels_avx2, has_avx2, NULL},
#elif defined(__aarch64__)
    {"dotprod", &mega_kernels_generic, has_dotprod, &mega_kernels_dotprod},
#endif
#if defined(__wasm__)
    {"simd128", &mega_kernels_simd128, always, NULL},
#else
    {"generic", &mega_kernels_generic, always, NULL},
#endif
};

#define TIERS (sizeof best_first / sizeof best_first[0])

_Static_assert(TIERS <= MEGA_MOST_TIERS, "mega_kernels_all would write beyond its array");

/* [table_count]: the tiers that this machine can run, best first */
static MegaKernels tables[TIERS];
static size_t table_count;

static void make_table(MegaKernels *table, const Tier *tier)
{
    *table = *tier->kernels;
    table->name = tier->name;
    if (tier->integer)
        table->integer = *tier->integer;
}

static void make_tables(void)
{
    for (const Tier *tier = best_first; tier < best_first + TIERS; tier++)
        if (tier->supported())
            make_table(&tables[table_count++], tier);
}

size_t mega_kernels_all(const MegaKernels *out[MEGA_MOST_TIERS])
{
    static MegaOnce once = MEGA_ONCE;
    mega_once(&once, make_tables);
    for (size_t i = 0; i < table_count; i++)
        out[i] = &tables[i];
    return table_count;
}

const MegaKernels *mega_kernels(void)
{
    const MegaKernels *all[MEGA_MOST_TIERS];
    mega_kernels_all(all);
    return all[0];
}

/* ---- Tiles ---------------------------------------------------------------------------------- */

#if defined(__x86_64__) && MEGA_WITH_AMX
/* This tier is chosen by its name only. It has run on an emulated unit so far, and its sums in
 * float32 differ from those of the other tiers in the fifth digit. */
static const Tier tile_tier = {"amx", &mega_kernels_avx512, has_amx, &mega_kernels_avx512vnni};
static MegaKernels tile_table, bf16_table; /* the second makes products in bf16 */
static bool has_tiles;

static void make_tile_tables(void)
{
    has_tiles = tile_tier.supported();
    make_table(&tile_table, &tile_tier);
    tile_table.gemm = mega_kernels_amx.gemm;
    tile_table.prepare = mega_kernels_amx.prepare;
    tile_table.integer.gemm = mega_kernels_amx.gemm_integer;
    bf16_table = tile_table;
    bf16_table.gemm = mega_kernels_amx.gemm_bf16;
    bf16_table.name = "amx, bf16";
}

static const MegaKernels *tile_kernels(void)
{
    static MegaOnce once = MEGA_ONCE;
    mega_once(&once, make_tile_tables);
    return has_tiles ? &tile_table : NULL;
}

const MegaKernels *mega_kernels_in_bf16(const MegaKernels *kernels)
{
    return kernels == &tile_table ? &bf16_table : NULL;
}
#else
static const MegaKernels *tile_kernels(void)
{
    return NULL;
}

const MegaKernels *mega_kernels_in_bf16(const MegaKernels *kernels)
{
    (void)kernels;
    return NULL;
}
#endif

/* ---- By name -------------------------------------------------------------------------------- */

#if !MEGA_WITH_OPENBLAS
const MegaKernels *mega_kernels_openblas(void)
{
    return NULL;
}
#endif

const MegaKernels *mega_kernels_by_name(const char *name)
{
    const MegaKernels *all[MEGA_MOST_TIERS];
    size_t count = mega_kernels_all(all);
    for (size_t i = 0; i < count; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    if (strcmp(name, "amx") == 0)
        return tile_kernels();
    return strcmp(name, "openblas") == 0 ? mega_kernels_openblas() : NULL;
}
