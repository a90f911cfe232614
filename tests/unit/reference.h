#include "src/layers/mega_config.h"
/*
 * reference.h - the whole model in plain loops and double precision, written directly from the
 * specification.
 *
 * It is slow and obvious. The engine is tested against it on random shapes, beside the goldens of
 * the original. It shares nothing with src/ but the configuration and the bound weights.
 */
#ifndef MEGA_REFERENCE_H
#define MEGA_REFERENCE_H

#include "src/layers/mega_config.h"

/* Turns the scores s of one query into weights, in place. */
void reference_attention_row(MegaAttentionKind kind, double *s, size_t keys);
double reference_activate(MegaActivation activation, double x);
void reference_norm(MegaNormKind kind, const MegaNormWeights *weights, size_t width, double *x);
/* Sums over lags directly, with omega and silu: x [length][d] -> out [length][d]. */
void reference_ema(const MegaStackConfig *config, const MegaEmaWeights *weights, const double *x,
                   size_t length, double *out);
/* Computes the logits of one input or pair. */
void reference_classify(const MegaConfig *config, const MegaWeights *weights,
                        const MegaInput *inputs, double *logits);

#endif
