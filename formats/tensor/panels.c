/*
 * panels.c - see panels.h.
 */
#include "formats/tensor/panels.h"

#include <string.h>

#include "formats/tensor/quantize.h"

#define SCALE_BYTES 2

uint64_t mega_packed_bytes(MegaDtype dtype, uint64_t rows, uint64_t columns)
{
    uint64_t panels = (rows + MEGA_PANEL - 1) / MEGA_PANEL;
    return panels * MEGA_PANEL * mega_dtype_items(dtype, columns) *
           mega_dtype_traits((int)dtype)->item_size;
}

/* Returns the offset of the panel of a row. */
static size_t panel_offset(MegaDtype dtype, size_t columns, size_t row)
{
    return (size_t)mega_packed_bytes(dtype, row / MEGA_PANEL * MEGA_PANEL, columns);
}

/* ---- Rows ----------------------------------------------------------------------------------- */

/* Stores blocks of `item` bytes. A panel keeps the same parts of all its rows together: the scales,
 * then four bytes of each row, and so on. */
static void store_blocks(unsigned char *panel, size_t lane, size_t first, size_t count,
                         const unsigned char *items, size_t item)
{
    for (size_t b = first; b < first + count; b++, items += item) {
        unsigned char *block = panel + b * MEGA_PANEL * item;
        unsigned char *quads = block + MEGA_PANEL * SCALE_BYTES + lane * 4;
        memcpy(block + lane * SCALE_BYTES, items, SCALE_BYTES);
        for (size_t i = 0; i < item - SCALE_BYTES; i += 4)
            memcpy(quads + i * MEGA_PANEL, items + SCALE_BYTES + i, 4);
    }
}

static void load_blocks(const unsigned char *panel, size_t lane, size_t first, size_t count,
                        unsigned char *items, size_t item)
{
    for (size_t b = first; b < first + count; b++, items += item) {
        const unsigned char *block = panel + b * MEGA_PANEL * item;
        const unsigned char *quads = block + MEGA_PANEL * SCALE_BYTES + lane * 4;
        memcpy(items, block + lane * SCALE_BYTES, SCALE_BYTES);
        for (size_t i = 0; i < item - SCALE_BYTES; i += 4)
            memcpy(items + SCALE_BYTES + i, quads + i * MEGA_PANEL, 4);
    }
}

/* Copies items of `size` bytes. to_step and from_step are the distances between them. */
static inline void copy_items(unsigned char *to, size_t to_step, const unsigned char *from,
                              size_t from_step, size_t count, const size_t size)
{
    for (size_t i = 0; i < count; i++)
        memcpy(to + i * to_step, from + i * from_step, size);
}

void mega_panels_store(MegaDtype dtype, void *panels, size_t columns, size_t row, size_t first,
                       size_t count, const void *items)
{
    unsigned char *panel = (unsigned char *)panels + panel_offset(dtype, columns, row);
    size_t lane = row % MEGA_PANEL;
    if (mega_dtype_quantized(dtype))
        store_blocks(panel, lane, first, count, items, mega_dtype_traits((int)dtype)->item_size);
    else if (dtype == MEGA_F32)
        copy_items(panel + (first * MEGA_PANEL + lane) * 4, MEGA_PANEL * 4, items, 4, count, 4);
    else
        copy_items(panel + (first * MEGA_PANEL + lane) * 2, MEGA_PANEL * 2, items, 2, count, 2);
}

static void load_items(MegaDtype dtype, const void *panels, size_t columns, size_t row,
                       size_t first, size_t count, void *items)
{
    const unsigned char *panel =
        (const unsigned char *)panels + panel_offset(dtype, columns, row);
    size_t lane = row % MEGA_PANEL;
    if (mega_dtype_quantized(dtype))
        load_blocks(panel, lane, first, count, items, mega_dtype_traits((int)dtype)->item_size);
    else if (dtype == MEGA_F32)
        copy_items(items, 4, panel + (first * MEGA_PANEL + lane) * 4, MEGA_PANEL * 4, count, 4);
    else
        copy_items(items, 2, panel + (first * MEGA_PANEL + lane) * 2, MEGA_PANEL * 2, count, 2);
}

void mega_panels_load(MegaDtype dtype, const void *panels, size_t columns, size_t row, void *items)
{
    load_items(dtype, panels, columns, row, 0, (size_t)mega_dtype_items(dtype, columns), items);
}

void mega_panels_fill(MegaDtype dtype, void *panels, size_t rows, size_t columns)
{
    static const unsigned char zeros[MEGA_Q8_BYTES]; /* as long as the largest item */
    size_t items = (size_t)mega_dtype_items(dtype, columns);
    for (size_t row = rows; row % MEGA_PANEL != 0; row++)
        for (size_t i = 0; i < items; i++)
            mega_panels_store(dtype, panels, columns, row, i, 1, zeros);
}

void mega_panels_pack(MegaDtype dtype, void *panels, const void *items, size_t stride, size_t rows,
                      size_t columns)
{
    size_t count = (size_t)mega_dtype_items(dtype, columns);
    for (size_t row = 0; row < rows; row++)
        mega_panels_store(dtype, panels, columns, row, 0, count,
                          (const char *)items + row * stride);
    mega_panels_fill(dtype, panels, rows, columns);
}

bool mega_panels_valid(MegaDtype dtype, const void *panels, size_t rows, size_t columns)
{
    if (!mega_dtype_quantized(dtype))
        return true;
    size_t bytes = (size_t)MEGA_PANEL * mega_dtype_traits((int)dtype)->item_size;
    size_t blocks = (size_t)mega_packed_bytes(dtype, rows, columns) / bytes;
    const unsigned char *block = panels;
    for (size_t b = 0; b < blocks; b++, block += bytes)
        for (size_t lane = 0; lane < MEGA_PANEL; lane++)
            if (!mega_scale_valid(block + lane * SCALE_BYTES))
                return false;
    return true;
}

/* ---- Matrices ------------------------------------------------------------------------------- */

void mega_packed_row(const MegaPacked *packed, size_t row, float *out)
{
    enum { PART = 2 * MEGA_SCALE_BLOCK }; /* elements that are converted at a time */
    unsigned char items[PART * sizeof(float)];
    for (size_t first = 0; first < packed->in; first += PART) {
        size_t count = packed->in - first < PART ? packed->in - first : PART;
        load_items(packed->dtype, packed->panels, packed->in, row,
                   (size_t)mega_dtype_items(packed->dtype, first),
                   (size_t)mega_dtype_items(packed->dtype, count), items);
        mega_dtype_to_f32(packed->dtype, items, count, out + first);
    }
}

MegaPacked mega_packed_columns(const MegaPacked *packed, size_t first, size_t count)
{
    MegaPacked part = *packed;
    part.panels =
        (const char *)packed->panels + mega_packed_bytes(packed->dtype, first, packed->in);
    part.out = count < packed->out - first ? count : packed->out - first;
    return part;
}
