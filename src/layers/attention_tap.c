/*
 * attention_tap.c - see attention_tap.h. One task computes the weights of one head.
 */
#include "src/layers/attention_tap.h"

#include <string.h>

#include "src/base/checked.h"
#include "src/layers/attention.h"

void mega_attention_tap_layout(MegaAttentionTap *out, bool wanted, size_t heads, size_t keys,
                               MegaArena *arena)
{
    *out = (MegaAttentionTap){NULL, NULL};
    if (!wanted)
        return;
    uint64_t rows = (uint64_t)heads * MEGA_TAP_ROWS, floats;
    arena->overflow |= !mega_mul(rows, keys, &floats);
    out->weights = mega_arena_floats(arena, floats);
    out->zeros = mega_arena_floats(arena, keys);
    if (out->zeros)
        memset(out->zeros, 0, keys * sizeof *out->zeros);
}

typedef struct Part {
    const MegaPass *pass;
    const MegaAttentionTap *tap;
    const MegaShownRows *shown;
    size_t first, rows;
} Part;

static void weigh_head(void *context, size_t head, int worker)
{
    const Part *part = context;
    const MegaShownRows *shown = part->shown;
    const size_t keys = shown->keys;
    const float scale = mega_attention_scale(MEGA_ATTENTION_SOFTMAX, shown->head_width, keys);
    float *weights = part->tap->weights + head * part->rows * keys;
    (void)worker;
    shown->multiply(shown->context, head, part->first, part->rows, weights);
    for (size_t row = 0; row < part->rows; row++, weights += keys) {
        const size_t seen = mega_min_size(shown->seen + part->first + row, keys);
        part->pass->kernels->attention(MEGA_ATTENTION_SOFTMAX, weights, seen, scale,
                                       part->tap->zeros);
        memset(weights + seen, 0, (keys - seen) * sizeof *weights);
    }
}

void mega_attention_tap_show(const MegaPass *pass, const MegaAttentionTap *tap, int index,
                             const char *part, const MegaShownRows *shown)
{
    Part work = {.pass = pass, .tap = tap, .shown = shown};
    if (!tap->weights || !pass->tap.attention)
        return;
    for (; work.first < shown->rows; work.first += work.rows) {
        work.rows = mega_min_size(shown->rows - work.first, MEGA_TAP_ROWS);
        mega_pool_run(pass->pool, shown->heads, weigh_head, &work);
        mega_tap_layer(&pass->tap, index, part, tap->weights, shown->heads * work.rows,
                       shown->keys);
    }
}
