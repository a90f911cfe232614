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
    /* What the tier has instead of the integer kernels and of the products of `kernels`; NULL:
     * nothing. */
    const MegaIntegerKernels *integer;
    const MegaTileKernels *tiles;
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
#if MEGA_WITH_AMX
    {"amx", &mega_kernels_avx512, has_amx, &mega_kernels_avx512vnni, &mega_kernels_amx},
#endif
    {"avx512vnni", &mega_kernels_avx512, has_vnni, &mega_kernels_avx512vnni, NULL},
    {"avx512", &mega_kernels_avx512, has_avx512, NULL, NULL},
    {"avx2vnni", &mega_kernels_avx2, has_avx2vnni, &mega_kernels_avx2vnni, NULL},
    {"avx2", &mega_kernels_avx2, has_avx2, NULL, NULL},
#elif defined(__aarch64__)
    {"dotprod", &mega_kernels_generic, has_dotprod, &mega_kernels_dotprod, NULL},
#endif
#if defined(__wasm__)
    {"simd128", &mega_kernels_simd128, always, NULL, NULL},
#else
    {"generic", &mega_kernels_generic, always, NULL, NULL},
#endif
};

#define TIERS (sizeof best_first / sizeof best_first[0])

_Static_assert(TIERS <= MEGA_MOST_TIERS, "mega_kernels_all would write beyond its array");

static MegaKernels tables[TIERS]; /* of the tiers that this machine can run, best first */
static MegaKernels bf16_tables[TIERS]; /* the same with products in bf16, where these exist */
static size_t table_count;

static void make_tables(void)
{
    for (const Tier *tier = best_first; tier < best_first + TIERS; tier++) {
        if (!tier->supported())
            continue;
        MegaKernels *table = &tables[table_count];
        *table = *tier->kernels;
        table->name = tier->name;
        if (tier->integer)
            table->integer = *tier->integer;
        if (tier->tiles) {
            table->gemm = tier->tiles->gemm;
            table->integer.gemm = tier->tiles->gemm_integer;
            bf16_tables[table_count] = *table;
            bf16_tables[table_count].gemm = tier->tiles->gemm_bf16;
            bf16_tables[table_count].name = "amx, bf16";
        }
        table_count++;
    }
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

const MegaKernels *mega_kernels_in_bf16(const MegaKernels *kernels)
{
    for (size_t i = 0; i < table_count; i++)
        if (kernels == &tables[i] && bf16_tables[i].gemm)
            return &bf16_tables[i];
    return NULL;
}

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
    return strcmp(name, "openblas") == 0 ? mega_kernels_openblas() : NULL;
}
