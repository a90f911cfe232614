/*
 * fairseq.h - what the names of both kinds of fairseq models, with layers of MEGA and of the
 * Transformer, share: those of adaptive input and softmax.
 */
#ifndef MEGA_NAMES_FAIRSEQ_H
#define MEGA_NAMES_FAIRSEQ_H

#include "tools/convert/names/table.h"

#define SOFTMAX "decoder.adaptive_softmax."

/* These are conditions of rules. */
bool fairseq_has_adaptive_input(const MegaConfig *config);
bool fairseq_has_plain_output(const MegaConfig *config);
bool fairseq_has_joint_head(const MegaConfig *config);
bool fairseq_ties_projections(const MegaConfig *config);

/* The rules for the logits of clusters, and for the clusters after the first. */
#define FAIRSEQ_TAILS                                                                              \
    {.ours = "output.slots.weight", .theirs = SOFTMAX "head.class_proj.weight"},                   \
        {.ours = "output.*.projection.weight", .theirs = SOFTMAX "tail.-.0.weight",                \
         .when = fairseq_ties_projections, .transposed = true},                                    \
        {.ours = "output.*.projection.weight", .theirs = SOFTMAX "tail.-.0.weight"},               \
        {.ours = "output.*.weight", .theirs = SOFTMAX "tail.-.2.weight"}

#endif
