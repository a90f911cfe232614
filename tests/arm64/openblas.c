/*
 * openblas.c - in the place of src/kernels_openblas.c, as there is no OpenBLAS for the cross compiler.
 */
#include "kernels.h"

const MegaKernels *mega_kernels_openblas(void)
{
    return &mega_kernels_generic;
}
