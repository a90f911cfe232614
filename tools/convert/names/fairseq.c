/*
 * fairseq.c - the tensor names of the fairseq family: classifiers, translators and language models.
 */
#include "src/layers/mega_config.h"
#include "tools/convert/names/fairseq.h"

/* ---- Layers --------------------------------------------------------------------------------- */

/* The rows of mx_proj are u, z, r and the linear part of the candidate, in this order. */
static void rows_of_mx(const MegaStackConfig *stack, uint64_t first_row, TensorPlace *place)
{
    place->first_row = first_row;
    place->whole_rows = 2 * (uint64_t)stack->width +
                        (uint64_t)(mega_gated(stack)->zdim + mega_gated(stack)->hidden);
}

void rows_of_u(const MegaStackConfig *stack, TensorPlace *place)
{
    rows_of_mx(stack, 0, place);
}

void rows_of_z(const MegaStackConfig *stack, TensorPlace *place)
{
    rows_of_mx(stack, (uint64_t)stack->width, place);
}

void rows_of_r_hx(const MegaStackConfig *stack, TensorPlace *place)
{
    rows_of_mx(stack, (uint64_t)(stack->width + mega_gated(stack)->zdim), place);
}

const NameRule layer_names[] = {
    {NAME("norm.", "mega_layer.norm.norm.")},
    {NAME("ema.", "mega_layer.move.")},
    {NAME("v.", "mega_layer.v_proj.")},
    {NAME("u.", "mega_layer.mx_proj."), .rows = rows_of_u},
    {NAME("z.", "mega_layer.mx_proj."), .rows = rows_of_z},
    {NAME("r_hx.", "mega_layer.mx_proj."), .rows = rows_of_r_hx},
    {NAME("h.", "mega_layer.h_proj.")},
    {NAME("gamma", "mega_layer.gamma")},
    {NAME("beta", "mega_layer.beta")},
    {NAME("bias", "mega_layer.rel_pos_bias.rel_pos_bias")},
    {NAME("rotary.", "mega_layer.rel_pos_bias.")},
    {NAME("cross.norm.", "cross_attn.norm.norm.")},
    {NAME("cross.q.", "cross_attn.q_proj.")},
    {NAME("cross.k.", "cross_attn.k_proj.")},
    {NAME("cross.v.", "cross_attn.v_proj.")},
    {NAME("cross.h.", "cross_attn.h_proj.")},
    {NAME("cross.bias", "cross_attn.rel_pos_bias.rel_pos_bias")},
    {NAME("cross.rotary.", "cross_attn.rel_pos_bias.")},
    {NAME("ffn.norm.", "nffn.norm.norm.")},
    {NAME("ffn.", "nffn.")},
    {0},
};

/* ---- Models --------------------------------------------------------------------------------- */

static bool is_translator(const MegaConfig *config)
{
    return config->task == MEGA_TASK_TRANSLATE;
}

static bool embeds_tokens(const MegaConfig *config)
{
    return config->embed.kind == MEGA_EMBED_TOKENS;
}

bool fairseq_has_adaptive_input(const MegaConfig *config)
{
    return config->target.adaptive_input;
}

bool fairseq_has_plain_output(const MegaConfig *config)
{
    return !config->target.adaptive_output;
}

bool fairseq_has_joint_head(const MegaConfig *config)
{
    return !config->target.split_head;
}

static bool projects_words(const MegaConfig *config)
{
    return config->target.output_projection;
}

/* With tied projections, those of the tails are the embedding's own tensors, transposed. */
bool fairseq_ties_projections(const MegaConfig *config)
{
    return config->target.tied_projections;
}


const NameRule fairseq_names[] = {
    {NAME("embed.norm.", "encoder.embed_norm.norm."), .when = is_translator},
    {NAME("embed.norm.", "encoder.encoder.embed_norm.norm.")},
    {NAME("embed.weight", "encoder.embed_tokens.weight"), .when = is_translator},
    {NAME("embed.weight", "encoder.encoder.embed_tokens.embed.weight"), .when = embeds_tokens},
    {NAME("embed.", "encoder.encoder.embed_tokens.")},
    {NAME("encoder.layer.*.", "encoder.layers.*."), .when = is_translator, .rest = layer_names},
    {NAME("encoder.layer.*.", "encoder.encoder.layers.*."), .rest = layer_names},
    {NAME("encoder.final_norm.", "encoder.final_norm.norm."), .when = is_translator},
    {NAME("encoder.final_norm.", "encoder.encoder.final_norm.norm.")},
    {NAME("head.layer.*.", "classifier.*.0.")},
    {NAME("head.output.", "sentence_projection_layer.")},
    {NAME("target.norm.", "decoder.embed_norm.norm.")},
    {NAME("target.*.weight", "decoder.embed_tokens.embeddings.*.0.weight"),
     .when = fairseq_has_adaptive_input},
    {NAME("target.*.projection.weight", "decoder.embed_tokens.embeddings.*.1.weight"),
     .when = fairseq_has_adaptive_input},
    {NAME("target.0.weight", "decoder.embed_tokens.weight")},
    {NAME("target.0.projection.weight", "decoder.project_in_dim.weight")},
    {NAME("decoder.layer.*.", "decoder.layers.*."), .rest = layer_names},
    {NAME("decoder.final_norm.", "decoder.final_norm.norm.")},
    {NAME("output.projection.weight", "decoder.project_out_dim.weight")},
    {NAME("output.0.weight", "decoder.output_projection.weight"), .when = fairseq_has_plain_output},
    {NAME("output.0.projection.weight", "decoder.project_out_dim.weight"),
     .when = fairseq_has_plain_output},
    {NAME("output.0.weight", SOFTMAX "head.weight"), .when = fairseq_has_joint_head},
    {NAME("output.0.weight", SOFTMAX "head.word_proj.1.weight"), .when = projects_words},
    {NAME("output.0.weight", SOFTMAX "head.word_proj.weight")},
    {NAME("output.0.projection.weight", SOFTMAX "head.word_proj.0.weight")},
    FAIRSEQ_TAILS,
    {0},
};

/* ---- Shared tensors ------------------------------------------------------------------------- */

#define EMBEDDING "decoder.embed_tokens.weight"
#define OUTPUT "decoder.output_projection.weight"
#define CLUSTER "decoder.embed_tokens.embeddings."

/* Every cluster of an adaptive input but the first has a tail in the softmax. */
const SharedName fairseq_shared[] = {
    {"share_decoder_input_output_embed", false, EMBEDDING, OUTPUT},
    {"share_all_embeddings", false, EMBEDDING, OUTPUT},
    {"share_all_embeddings", false, EMBEDDING, "encoder.embed_tokens.weight"},
    {"share_all_embeddings", false, OUTPUT, "encoder.embed_tokens.weight"},
    {"tie_adaptive_weights", false, CLUSTER "0.0.weight", SOFTMAX "head.word_proj.weight"},
    {"tie_adaptive_weights", false, CLUSTER "0.0.weight", SOFTMAX "head.word_proj.1.weight"},
    {"tie_adaptive_weights", false, CLUSTER "*.0.weight", SOFTMAX "tail.-.2.weight"},
    {"tie_adaptive_proj", false, CLUSTER "*.1.weight", SOFTMAX "tail.-.0.weight"},
    {0},
};
