/*
 * matmul.c - see matmul.h.
 */
#include "matmul.h"

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

uint64_t mega_packed_bytes(MegaWeightKind kind, uint64_t rows, uint64_t columns)
{
    uint64_t elements = (rows + MEGA_PANEL - 1) / MEGA_PANEL * MEGA_PANEL * columns;
    return elements * (kind == MEGA_WEIGHT_F32 ? sizeof(float) : sizeof(uint16_t));
}

static void pack_floats(float *panels, const float *weight, size_t ld, size_t rows, size_t columns)
{
    for (size_t first = 0; first < rows; first += MEGA_PANEL)
        for (size_t p = 0; p < columns; p++)
            for (size_t c = 0; c < MEGA_PANEL; c++)
                *panels++ = first + c < rows ? weight[(first + c) * ld + p] : 0.0f;
}

static void pack_halves(uint16_t *panels, const uint16_t *weight, size_t ld, size_t rows,
                        size_t columns)
{
    for (size_t first = 0; first < rows; first += MEGA_PANEL)
        for (size_t p = 0; p < columns; p++)
            for (size_t c = 0; c < MEGA_PANEL; c++)
                *panels++ = first + c < rows ? weight[(first + c) * ld + p] : 0;
}

void mega_pack_into(MegaWeightKind kind, void *panels, const void *weight, size_t ld, size_t rows,
                    size_t columns)
{
    if (kind == MEGA_WEIGHT_F32)
        pack_floats(panels, weight, ld, rows, columns);
    else
        pack_halves(panels, weight, ld, rows, columns);
}

void mega_pack(MegaPacked *out, MegaWeightKind kind, const void *weight, size_t ld, size_t rows,
               size_t columns, MegaArena *arena)
{
    uint64_t bytes = mega_packed_bytes(kind, rows, columns);
    float *panels = mega_arena_floats(arena, (bytes + sizeof *panels - 1) / sizeof *panels);
    *out = (MegaPacked){.panels = panels, .kind = kind, .in = columns, .out = rows};
    if (panels)
        mega_pack_into(kind, panels, weight, ld, rows, columns);
}

MegaPacked mega_packed_columns(const MegaPacked *packed, size_t first, size_t count)
{
    MegaPacked part = *packed;
    part.panels = (const char *)packed->panels +
                  mega_packed_bytes(packed->kind, first, packed->in);
    part.out = min_size(count, packed->out - first);
    return part;
}

void mega_matmul(const MegaKernels *kernels, const MegaPacked *weight, const float *x, size_t ldx,
                 size_t rows, float *y, size_t ldy, bool add)
{
    MegaPanels panels = {.data = weight->panels, .kind = weight->kind,
                         .panel_stride = weight->in * MEGA_PANEL, .row_stride = MEGA_PANEL};
    kernels->gemm(x, ldx, rows, &panels, weight->in, y, ldy, weight->out, add);
}
