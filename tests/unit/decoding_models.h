/*
 * decoding_models.h - random models that make text, and what tests of decoding share.
 */
#ifndef MEGA_DECODING_MODELS_H
#define MEGA_DECODING_MODELS_H

#include "tests/unit/support.h"

/* These have 40 words in the target, of which 1 is <pad>, 2 is </s> and 3 is <unk>; the translator
 * has 33 in the source. All else is drawn: chunks, truncation, the kinds of attention, bias and
 * norm. */
MegaConfig language_model(Random *random);
MegaConfig translator(Random *random);
/* Gives the target an adaptive softmax and adaptive input with three clusters, of which the first
 * two end at `first` and `second`. */
void make_adaptive(MegaTargetConfig *target, Random *random, int first, int second, int vocab);

/* Fills tokens [count] with words other than 0 and <pad>. */
void random_tokens(Random *random, int32_t *tokens, size_t count, int vocab);
MegaSession *new_session(const MegaModel *model, int threads);
/* For qsort: sorts floats, the largest first. */
int larger_first(const void *a, const void *b);

#endif
