/*
 * cross_attention.h - gated cross attention of a translator's decoder (MODEL.md, "Cross
 * attention"), and where each line runs:
 *
 *   k = Wk enc,  v = act(Wv enc)            mega_cross_read_source, once per source
 *   u, r, q = Wq norm(x)                    mega_cross_attend
 *   u = sigmoid(u), r = silu(r)             attend_row
 *   a = attention(q, k) v                   attend_row
 *   x += u (act(Wh (a r)) - x)              mega_rows_gate
 * A post-norm layer norms x at the end instead.
 */
#ifndef MEGA_CROSS_ATTENTION_H
#define MEGA_CROSS_ATTENTION_H

#include "src/layers/layer.h"
#include "src/layers/mega_config.h"
#include "src/layers/rows.h"

/* Places the keys [length][z] and values [length][d] that one layer makes of a source. */
void mega_cross_source_layout(const MegaStackConfig *config, size_t length, MegaSourceLayer *out,
                              MegaArena *arena);
/* Fills them for layer number `index` from source->states [length][d]. */
void mega_cross_read_source(const MegaPass *pass, const MegaCrossWeights *weights,
                            const MegaEncoded *source, int index);

/* Asks for one layer's cross attention over the rows of a step. */
typedef struct MegaCrossAttention {
    const MegaCrossWeights *weights;
    const MegaNorm *norm;
    const float *bias; /* entry of the bias table for j = i */
    int index;         /* number of the layer */
    float *normed;     /* [rows][d] scratch */
    float *projected;  /* [rows][2 d + z] scratch: u, r, q */
    float *attended;   /* [rows][d] scratch */
    float *scratch;    /* [threads][scratch_stride >= positions of a source] */
    size_t scratch_stride;
} MegaCrossAttention;

/* Takes rows->x through the cross attention of a layer. The last layer stores its weights in
 * step->cross_weights. */
void mega_cross_attend(const MegaPass *pass, const MegaStep *step, const MegaRows *rows,
                       const MegaCrossAttention *cross);

#endif
