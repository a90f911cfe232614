/*
 * kernels.c - which tier of the kernels this machine runs.
 */
#include "kernels.h"

#include <string.h>

const MegaKernels *mega_kernels(void)
{
#if defined(__x86_64__)
    static const char *const best_first[] = {"avx512", "avx2"};
    for (size_t i = 0; i < sizeof best_first / sizeof best_first[0]; i++) {
        const MegaKernels *kernels = mega_kernels_by_name(best_first[i]);
        if (kernels)
            return kernels;
    }
#endif
    return &mega_kernels_generic;
}

const MegaKernels *mega_kernels_by_name(const char *name)
{
    if (strcmp(name, mega_kernels_generic.name) == 0)
        return &mega_kernels_generic;
#if defined(__x86_64__)
    if (strcmp(name, mega_kernels_avx512.name) == 0 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return &mega_kernels_avx512;
    if (strcmp(name, mega_kernels_avx2.name) == 0 && __builtin_cpu_supports("avx2") &&
        __builtin_cpu_supports("fma"))
        return &mega_kernels_avx2;
#endif
    return NULL;
}
