/*
 * matmul.c - see matmul.h.
 */
#include "matmul.h"

static size_t panels_of(size_t columns)
{
    return (columns + MEGA_PANEL - 1) / MEGA_PANEL;
}

uint64_t mega_packed_floats(uint64_t rows, uint64_t columns)
{
    return (rows + MEGA_PANEL - 1) / MEGA_PANEL * MEGA_PANEL * columns;
}

void mega_pack_into(float *panels, const float *weight, size_t ld, size_t rows, size_t columns)
{
    for (size_t first = 0; first < rows; first += MEGA_PANEL)
        for (size_t p = 0; p < columns; p++)
            for (size_t c = 0; c < MEGA_PANEL; c++)
                *panels++ = first + c < rows ? weight[(first + c) * ld + p] : 0.0f;
}

void mega_pack(MegaPacked *out, const float *weight, size_t ld, size_t rows, size_t columns,
               MegaArena *arena)
{
    float *panels = mega_arena_floats(arena, mega_packed_floats(rows, columns));
    *out = (MegaPacked){.panels = panels, .in = columns, .out = rows};
    if (panels)
        mega_pack_into(panels, weight, ld, rows, columns);
}

void mega_matmul(const MegaKernels *kernels, const MegaPacked *weight, const float *x, size_t ldx,
                 size_t rows, float *y, size_t ldy, bool add)
{
    for (size_t panel = 0; panel < panels_of(weight->out); panel++) {
        size_t first = panel * MEGA_PANEL, left = weight->out - first;
        kernels->gemm_panel(x, ldx, rows, weight->panels + first * weight->in, MEGA_PANEL,
                            weight->in, y + first, ldy, left < MEGA_PANEL ? left : MEGA_PANEL,
                            add);
    }
}
