/*
 * reference.h - the whole model in plain loops and double precision, straight from the
 * specification.
 *
 * Slow and obvious: this is what the engine is tested against on random shapes, beside the goldens
 * of the original. Nothing here is shared with src/ but the configuration and the bound weights.
 */
#ifndef MEGA_REFERENCE_H
#define MEGA_REFERENCE_H

#include "src/model/tensors.h"

/* One number of softmax, relu2 or laplace attention is a row function: s -> weights, in place. */
void reference_attention_row(MegaAttentionKind kind, double *s, size_t keys);
double reference_activate(MegaActivation activation, double x);
void reference_norm(MegaNormKind kind, const MegaNormWeights *weights, size_t width, double *x);
/* Direct sum over lags, omega and silu included: x [length][d] -> out [length][d]. */
void reference_ema(const MegaStackConfig *config, const MegaEmaWeights *weights, const double *x,
                   size_t length, double *out);
/* Logits of one input (or pair). */
void reference_classify(const MegaConfig *config, const MegaWeights *weights,
                        const MegaInput *inputs, double *logits);

#endif
