/*
 * transformer.c - the tensor names of fairseq's Transformers: classifiers, translators and language
 * models, of today and of old versions (MODEL.md, "Attention of several heads").
 */
#include "tools/convert/names/fairseq.h"

/* ---- Layers --------------------------------------------------------------------------------- */

/* Old versions hold q, k and v as rows of one tensor. */
static void third_of_in_proj(const MegaStackConfig *stack, uint64_t third, TensorPlace *place)
{
    place->first_row = third * (uint64_t)stack->width;
    place->whole_rows = 3 * (uint64_t)stack->width;
}

static void rows_of_q(const MegaStackConfig *stack, TensorPlace *place)
{
    third_of_in_proj(stack, 0, place);
}

static void rows_of_k(const MegaStackConfig *stack, TensorPlace *place)
{
    third_of_in_proj(stack, 1, place);
}

static void rows_of_v(const MegaStackConfig *stack, TensorPlace *place)
{
    third_of_in_proj(stack, 2, place);
}

#define ATTENTION(ours, theirs)                                                                    \
    {NAME(ours "q.", theirs "q_proj.")},                                                           \
        {NAME(ours "k.", theirs "k_proj.")},                                                       \
        {NAME(ours "v.", theirs "v_proj.")},                                                       \
        {NAME(ours "out.", theirs "out_proj.")},                                                   \
        {NAME(ours "q.weight", theirs "in_proj_weight"), .rows = rows_of_q},                       \
        {NAME(ours "k.weight", theirs "in_proj_weight"), .rows = rows_of_k},                       \
        {NAME(ours "v.weight", theirs "in_proj_weight"), .rows = rows_of_v},                       \
        {NAME(ours "q.bias", theirs "in_proj_bias"), .rows = rows_of_q},                           \
        {NAME(ours "k.bias", theirs "in_proj_bias"), .rows = rows_of_k},                           \
        {NAME(ours "v.bias", theirs "in_proj_bias"), .rows = rows_of_v}

static const NameRule encoder_layer[] = {
    {NAME("norm.", "self_attn_layer_norm.")},
    {NAME("norm.", "layer_norms.0.")},
    {NAME("ffn.norm.", "final_layer_norm.")},
    {NAME("ffn.norm.", "layer_norms.1.")},
    {NAME("ffn.", "")},
    ATTENTION("", "self_attn."),
    {0},
};

static const NameRule decoder_layer[] = {
    {NAME("norm.", "self_attn_layer_norm.")},
    {NAME("norm.", "layer_norms.0.")},
    {NAME("cross.norm.", "encoder_attn_layer_norm.")},
    {NAME("cross.norm.", "layer_norms.1.")},
    {NAME("ffn.norm.", "final_layer_norm.")},
    {NAME("ffn.norm.", "layer_norms.2.")},
    {NAME("ffn.", "")},
    ATTENTION("cross.", "encoder_attn."),
    ATTENTION("", "self_attn."),
    {0},
};

/* ---- Models --------------------------------------------------------------------------------- */

static bool is_classifier(const MegaConfig *config)
{
    return config->task == MEGA_TASK_CLASSIFY;
}

static bool embeds_numbers(const MegaConfig *config)
{
    return is_classifier(config) && config->embed.kind != MEGA_EMBED_TOKENS;
}

/* Position 0 of a sequence of tokens has the row after that of <pad>. */
static void rows_of_positions(const MegaStackConfig *stack, TensorPlace *place)
{
    place->first_row = 2;
    place->whole_rows = (uint64_t)stack->max_positions + 2;
}

#define TABLE "decoder.embed_tokens."
#define CLASSIFIER "encoder.encoder."

const NameRule transformer_names[] = {
    {NAME("embed.positions", CLASSIFIER "embed_positions.weight"), .when = embeds_numbers},
    {NAME("embed.positions", CLASSIFIER "embed_positions.weight"), .when = is_classifier,
     .rows = rows_of_positions},
    {NAME("embed.positions", "encoder.embed_positions.weight"), .rows = rows_of_positions},
    {NAME("embed.norm.", CLASSIFIER "emb_layer_norm."), .when = is_classifier},
    {NAME("embed.norm.", "encoder.layernorm_embedding.")},
    {NAME("embed.", CLASSIFIER "embed_tokens."), .when = is_classifier},
    {NAME("embed.", "encoder.embed_tokens.")},
    {NAME("encoder.layer.*.", CLASSIFIER "layers.*."), .when = is_classifier,
     .rest = encoder_layer},
    {NAME("encoder.layer.*.", "encoder.layers.*."), .rest = encoder_layer},
    {NAME("encoder.final_norm.", "encoder.layer_norm.")},
    {NAME("head.layer.*.", "classifier.*.0.")},
    {NAME("head.output.", "sentence_projection_layer.")},
    {NAME("target.positions", "decoder.embed_positions.weight"), .rows = rows_of_positions},
    {NAME("target.norm.", "decoder.layernorm_embedding.")},
    {NAME("target.*.weight", TABLE "embeddings.*.0.weight"), .when = fairseq_has_adaptive_input},
    {NAME("target.*.projection.weight", TABLE "embeddings.*.1.weight"),
     .when = fairseq_has_adaptive_input},
    {NAME("target.0.weight", TABLE "weight")},
    {NAME("target.0.projection.weight", "decoder.project_in_dim.weight")},
    {NAME("decoder.layer.*.", "decoder.layers.*."), .rest = decoder_layer},
    {NAME("decoder.final_norm.", "decoder.layer_norm.")},
    {NAME("output.projection.weight", "decoder.project_out_dim.weight")},
    {NAME("output.0.projection.weight", "decoder.project_out_dim.weight"),
     .when = fairseq_has_plain_output},
    {NAME("output.0.weight", "decoder.output_projection.weight"), .when = fairseq_has_plain_output},
    {NAME("output.0.weight", SOFTMAX "head.weight"), .when = fairseq_has_joint_head},
    {NAME("output.0.weight", SOFTMAX "head.word_proj.weight")},
    FAIRSEQ_TAILS,
    {0},
};

/* ---- Shared tensors and old names of whole tensors ------------------------------------------- */

#define OUTPUT "decoder.output_projection.weight"
#define CLUSTER TABLE "embeddings."

/* Every cluster of an adaptive input but the first has a tail in the softmax. */
const SharedName transformer_shared[] = {
    {NULL, false, OUTPUT, "decoder.embed_out"},
    {"share_decoder_input_output_embed", false, TABLE "weight", OUTPUT},
    {"share_all_embeddings", false, TABLE "weight", OUTPUT},
    {"share_all_embeddings", false, TABLE "weight", "encoder.embed_tokens.weight"},
    {"share_all_embeddings", false, OUTPUT, "encoder.embed_tokens.weight"},
    {"tie_adaptive_weights", false, CLUSTER "0.0.weight", SOFTMAX "head.word_proj.weight"},
    {"tie_adaptive_weights", false, CLUSTER "*.0.weight", SOFTMAX "tail.-.2.weight"},
    {"tie_adaptive_proj", false, CLUSTER "*.1.weight", SOFTMAX "tail.-.0.weight"},
    {"no_tie_adaptive_proj", true, CLUSTER "*.1.weight", SOFTMAX "tail.-.0.weight"},
    {0},
};
