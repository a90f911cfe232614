/*
 * tile_unit.h - whether this process may use the tile unit of Intel's processors (AMX).
 *
 * Three conditions must hold: the processor has the unit, the system saves its registers when it
 * switches between threads, and Linux grants them to this process, which has to ask. A hypervisor
 * may hide the unit or its registers, an old system does not know the system call, and a sandbox
 * may forbid it.
 */
#ifndef MEGA_TILE_UNIT_H
#define MEGA_TILE_UNIT_H

#include <stdbool.h>
#include <stdint.h>

/* The CPUID and XCR0 values that tell whether the processor has AMX tiles and the system lets us
 * use them. */
typedef struct MegaTileUnit {
    uint32_t features;       /* EDX of CPUID leaf 7 */
    uint32_t most_palette;   /* EAX of leaf 1D, subleaf 0 */
    uint32_t eax, ebx, ecx;  /* of leaf 1D, subleaf 1: the shape of tiles in palette 1 */
    uint64_t enabled;        /* XCR0; 0 where the system does not use XSAVE */
} MegaTileUnit;

/* Returns whether the unit has the instructions and the tiles that amx_tmpl.h needs, and the system
 * keeps their registers. */
bool mega_tile_unit_suits(const MegaTileUnit *unit);
/* Returns whether this process can use the unit. If the unit suits, this asks the system for its
 * registers, which the whole process and its children then keep. The system refuses them if a
 * thread has set up an alternate signal stack that is too small for them. */
bool mega_tile_unit_usable(void);

#endif
