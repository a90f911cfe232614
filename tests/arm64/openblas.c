/*
 * openblas.c - in the place of src/kernels_openblas.c: the cross compiler has no OpenBLAS.
 */
#include "kernels.h"

const MegaKernels *mega_kernels_openblas(void)
{
    return &mega_kernels_generic;
}
