/*
 * fold.c - see fold.h.
 */
#include "src/model/fold.h"

#include <math.h>

#include "src/kernels/forms.h"

/* Turns a batchnorm, or a multiplication without statistics, into a scale and a shift. */
static void fold_affine(MegaNorm *norm, const MegaNormWeights *weights, size_t width,
                        MegaArena *arena)
{
    float *scale = mega_arena_floats(arena, width);
    float *shift = mega_arena_floats(arena, width);
    if (!scale || !shift)
        return; /* dry run */
    for (size_t i = 0; i < width; i++) {
        double factor = weights->weight ? weights->weight[i] : 1.0;
        double bias = weights->bias ? weights->bias[i] : 0.0;
        if (weights->variance) {
            factor /= sqrt((double)weights->variance[i] + (double)MEGA_EPSILON);
            bias -= weights->mean[i] * factor;
        }
        scale[i] = (float)factor;
        shift[i] = (float)bias;
    }
    norm->weight = scale;
    norm->bias = shift;
}

void mega_norm_prepare(MegaNorm *out, MegaNormKind kind, const MegaNormWeights *weights,
                       size_t width, MegaArena *arena)
{
    *out = (MegaNorm){.kind = kind, .weight = weights->weight, .bias = weights->bias, .scalar = 1};
    if (kind == MEGA_NORM_BATCH || kind == MEGA_NORM_MULTIPLY) {
        fold_affine(out, weights, width, arena);
    } else if (kind == MEGA_NORM_SCALE || kind == MEGA_NORM_SCALARS) {
        out->weight = out->bias = NULL;
        if (weights->bias && arena->base)
            out->shift = weights->bias[0];
        if (weights->weight && arena->base)
            out->scalar = weights->weight[0];
    }
}

bool mega_norm_folds(const MegaStackConfig *config, const MegaLinearWeights *linear)
{
    return (config->norm == MEGA_NORM_BATCH || config->norm == MEGA_NORM_MULTIPLY) &&
           linear->weight.dtype == MEGA_F32;
}

void mega_norm_fold(const MegaNorm *norm, const MegaLinearWeights *linear, MegaArena *arena,
                    MegaLinearWeights *out)
{
    size_t in = linear->weight.in, rows = linear->weight.out;
    uint64_t floats = mega_packed_bytes(MEGA_F32, rows, in) / sizeof(float);
    float *panels = mega_arena_floats(arena, floats), *bias = mega_arena_floats(arena, rows);
    float *row = mega_arena_floats(arena, in);
    *out = (MegaLinearWeights){.weight = linear->weight, .bias = bias};
    out->weight.panels = panels;
    if (!panels)
        return; /* dry run */
    mega_panels_fill(MEGA_F32, panels, rows, in);
    for (size_t r = 0; r < rows; r++) {
        double shift = linear->bias[r];
        mega_packed_row(&linear->weight, r, row);
        for (size_t i = 0; i < in; i++) {
            shift += (double)row[i] * (double)norm->bias[i];
            row[i] *= norm->weight[i];
        }
        mega_panels_store(MEGA_F32, panels, in, r, 0, in, row);
        bias[r] = (float)shift;
    }
    mega_forms_note(linear->weight.forms, &out->weight);
}
