/*
 * openblas.c - in the place of src/kernels/openblas.c: the cross compiler has no OpenBLAS.
 */
#include "src/kernels/kernels.h"

const MegaKernels *mega_kernels_openblas(void)
{
    return &mega_kernels_generic;
}
