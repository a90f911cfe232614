/*
 * kernels.c - which tier of the kernels this machine runs.
 */
#include "kernels.h"

#include <string.h>

const MegaKernels *mega_kernels(void)
{
#if defined(__x86_64__)
    const MegaKernels *avx2 = mega_kernels_by_name("avx2");
    if (avx2)
        return avx2;
#endif
    return &mega_kernels_generic;
}

const MegaKernels *mega_kernels_by_name(const char *name)
{
    if (strcmp(name, mega_kernels_generic.name) == 0)
        return &mega_kernels_generic;
#if defined(__x86_64__)
    if (strcmp(name, mega_kernels_avx2.name) == 0 && __builtin_cpu_supports("avx2") &&
        __builtin_cpu_supports("fma"))
        return &mega_kernels_avx2;
#endif
    return NULL;
}
