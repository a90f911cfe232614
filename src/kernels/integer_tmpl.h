/*
 * integer_tmpl.h - the body of a tier that improves only the integer kernels of another tier. Each
 * such tier's file includes it once and defines VECTOR_BYTES, the width of a vector, and KERNELS,
 * the name of its table.
 */
#include "src/kernels/kernels.h"
#include "src/kernels/vectors_tmpl.h"
#include "src/kernels/tile_tmpl.h"
#include "src/kernels/int8_tmpl.h"

const MegaIntegerKernels KERNELS = {quantize, gemm_int8, probe_integers};
