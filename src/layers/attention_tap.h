/*
 * attention_tap.h - shows a tap the weights of softmax attention (MODEL.md, "Attention of several
 * heads"). A pass never holds them as a whole, so they are computed once more for the tap.
 *
 * A tap that asked for them (MegaTapping.attention) gets the stage in parts. Each part holds the
 * weights of some consecutive rows in all heads: [heads][rows][keys]. The memory of one part is
 * planned with that of the pass, so the session's limit counts it.
 */
#ifndef MEGA_ATTENTION_TAP_H
#define MEGA_ATTENTION_TAP_H

#include "src/layers/layer.h"

#define MEGA_TAP_ROWS 32 /* most rows of one part */

typedef struct MegaAttentionTap {
    float *weights; /* [heads][MEGA_TAP_ROWS][keys]; NULL if no tap asked for them */
    float *zeros;   /* [keys]: a bias of 0, since this attention has none */
} MegaAttentionTap;

/* Places the memory for sequences of up to `keys` keys, if it is wanted. */
void mega_attention_tap_layout(MegaAttentionTap *out, bool wanted, size_t heads, size_t keys,
                               MegaArena *arena);

/* Says what is shown: `rows` rows in each head, of which row i sees the first seen + i keys, or all
 * of them if `seen` is `keys`. */
typedef struct MegaShownRows {
    size_t heads, head_width, rows, seen, keys;
    /* Computes the products of query and key, out [rows][keys], for some rows of one head. It need
     * not compute those that a row does not see. */
    void (*multiply)(const void *context, size_t head, size_t first, size_t rows, float *out);
    const void *context;
} MegaShownRows;

/* Shows the rows to the tap as this part of layer number `index`, unless it asked for none. */
void mega_attention_tap_show(const MegaPass *pass, const MegaAttentionTap *tap, int index,
                             const char *part, const MegaShownRows *shown);

#endif
