/*
 * hub.c - the tensor names of the MEGA classes of the Hugging Face library. Those of the model
 * itself begin with "mega." in the classes with a head, and in the bare model without it.
 */
#include "src/layers/mega_config.h"
#include "tools/convert/names/table.h"

/* The table of a simple bias may be longer than what the model reads of it. */
static void first_entries(const MegaStackConfig *stack, TensorPlace *place)
{
    (void)stack;
    place->longer = true;
}

static const NameRule hub_layer_names[] = {
    {NAME("norm.", "mega_layer.norm.norm.")},
    {NAME("ema.delta", "mega_layer.ema_gate.damping_factor")},
    {NAME("ema.alpha", "mega_layer.ema_gate.decay_factor")},
    {NAME("ema.beta", "mega_layer.ema_gate.ema_expansion_matrix")},
    {NAME("ema.gamma", "mega_layer.ema_gate.kernel_projection_matrix")},
    {NAME("ema.omega", "mega_layer.ema_gate.residual_weight")},
    {NAME("v.", "mega_layer.v_proj.")},
    {NAME("u.", "mega_layer.mx_proj."), .rows = rows_of_u},
    {NAME("z.", "mega_layer.mx_proj."), .rows = rows_of_z},
    {NAME("r_hx.", "mega_layer.mx_proj."), .rows = rows_of_r_hx},
    {NAME("h.", "mega_layer.h_proj.")},
    {NAME("gamma", "mega_layer.qk_weight")},
    {NAME("beta", "mega_layer.qk_bias")},
    {NAME("bias", "mega_layer.rel_pos_bias.rel_pos_bias"), .rows = first_entries},
    {NAME("rotary.alpha", "mega_layer.rel_pos_bias.alpha")},
    {NAME("rotary.beta", "mega_layer.rel_pos_bias.b_param")},
    {NAME("ffn.norm.", "nffn.norm.norm.")},
    {NAME("ffn.", "nffn.")},
    {0},
};

static bool fills(const MegaConfig *config)
{
    return config->task == MEGA_TASK_FILL;
}

static bool classifies(const MegaConfig *config)
{
    return config->task == MEGA_TASK_CLASSIFY;
}

static bool answers(const MegaConfig *config)
{
    return config->task == MEGA_TASK_ANSWER;
}

#define EMBEDDINGS "mega.embedding_layer."

#define MODEL_NAMES                                                                                \
    {NAME("embed.weight", EMBEDDINGS "word_embeddings.weight")},                                   \
        {NAME("embed.types", EMBEDDINGS "token_type_embeddings.weight")},                          \
        {NAME("encoder.layer.*.", "mega.layers.*."), .rest = hub_layer_names},                     \
        {NAME("target.0.weight", EMBEDDINGS "word_embeddings.weight")},                            \
        {NAME("target.types", EMBEDDINGS "token_type_embeddings.weight")},                         \
        {NAME("decoder.layer.*.", "mega.layers.*."), .rest = hub_layer_names},                     \
    {                                                                                              \
        NAME("head.layer.0.", "dense."), .when = fills                                             \
    }

const NameRule hub_names[] = {
    MODEL_NAMES,
    {NAME("head.layer.0.", "classifier.dense."), .when = classifies},
    {NAME("head.layer.0.", "mega.pooler.dense.")},
    {NAME("head.output.", "mlm_head."), .when = fills},
    {NAME("head.output.", "classifier.out_proj."), .when = classifies},
    {NAME("head.output.", "qa_outputs."), .when = answers},
    {NAME("head.output.", "classifier.")},
    {0},
};

/* The causal class, whose head has a name of its own. Its head is a decoder's output, or if it
 * attends to everything, one for every position of an encoder. */
const NameRule hub_causal_names[] = {
    MODEL_NAMES,
    {NAME("head.output.", "lm_head.")},
    {NAME("output.dense.", "dense.")},
    {NAME("output.0.weight", "lm_head.weight")},
    {NAME("output.bias", "lm_head.bias")},
    {0},
};
