/*
 * tile_unit.c - see tile_unit.h.
 */
#include "src/kernels/x86/tile_unit.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TILE_BF16 (1u << 22) /* features */
#define TILE_UNIT (1u << 24)
#define TILE_INT8 (1u << 25)
#define TILE_STATE (3u << 17) /* bits of XCR0: the configuration, and the tiles themselves */
#define USES_XSAVE (1u << 27) /* ECX of leaf 1 */

/* Linux 5.16 and later; older headers lack the names. */
#define GET_PERMISSION 0x1022
#define ASK_PERMISSION 0x1023
#define TILE_REGISTERS 18

bool mega_tile_unit_suits(const MegaTileUnit *unit)
{
    const uint32_t needed = TILE_UNIT | TILE_BF16 | TILE_INT8;
    const uint32_t tile_bytes = unit->eax >> 16, row_bytes = unit->ebx & 0xffff;
    return (unit->features & needed) == needed && (unit->enabled & TILE_STATE) == TILE_STATE &&
           unit->most_palette >= 1 && tile_bytes == 1024 && row_bytes == 64 &&
           unit->ebx >> 16 >= 8 && (unit->ecx & 0xffff) == 16;
}

static uint64_t read_xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static MegaTileUnit read_unit(void)
{
    MegaTileUnit unit = {0};
    unsigned a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d) && (c & USES_XSAVE))
        unit.enabled = read_xcr0();
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
        unit.features = d;
    if (__get_cpuid_count(0x1d, 0, &a, &b, &c, &d))
        unit.most_palette = a;
    if (unit.most_palette >= 1 && __get_cpuid_count(0x1d, 1, &a, &b, &c, &d)) {
        unit.eax = a;
        unit.ebx = b;
        unit.ecx = c;
    }
    return unit;
}

static bool is_granted(void)
{
#if defined(__linux__) && defined(SYS_arch_prctl)
    uint64_t granted = 0;
    return syscall(SYS_arch_prctl, ASK_PERMISSION, TILE_REGISTERS) == 0 &&
           syscall(SYS_arch_prctl, GET_PERMISSION, &granted) == 0 &&
           (granted >> TILE_REGISTERS & 1);
#else
    return false;
#endif
}

bool mega_tile_unit_usable(void)
{
    const MegaTileUnit unit = read_unit();
    return mega_tile_unit_suits(&unit) && is_granted();
}
