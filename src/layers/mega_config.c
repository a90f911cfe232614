/*
 * mega_config.c - the hyper-parameters of a MEGA layer in metadata, and its tensors in the order of
 * files.
 */
#include "src/layers/mega_config.h"

#include <stdio.h>
#include <string.h>

#include "src/layers/feed_forward.h"

/* ---- Hyper-parameters ----------------------------------------------------------------------- */

static const MegaName attention_names[] = {{"softmax", MEGA_ATTENTION_SOFTMAX},
                                           {"relu2", MEGA_ATTENTION_RELU2},
                                           {"laplace", MEGA_ATTENTION_LAPLACE},
                                           {NULL, -1}};
static const MegaName bias_names[] = {
    {"simple", MEGA_BIAS_SIMPLE}, {"rotary", MEGA_BIAS_ROTARY}, {NULL, -1}};

const char *mega_attention_name(MegaAttentionKind kind)
{
    return mega_name_of(attention_names, (int)kind);
}

int mega_attention_by_name(const char *name)
{
    return mega_value_of(attention_names, name);
}

const char *mega_bias_name(MegaBiasKind kind)
{
    return mega_name_of(bias_names, (int)kind);
}

int mega_bias_by_name(const char *name)
{
    return mega_value_of(bias_names, name);
}

const MegaField mega_gated_fields[] = {
    MEGA_INT_FIELD("hidden", MegaGatedConfig, hidden, 1, MEGA_MAX_WIDTH),
    MEGA_INT_FIELD("zdim", MegaGatedConfig, zdim, 1, MEGA_MAX_WIDTH),
    MEGA_INT_FIELD("ndim", MegaGatedConfig, ndim, 1, MEGA_MAX_NDIM),
    MEGA_INT_FIELD("chunk", MegaGatedConfig, chunk, 0, MEGA_MAX_POSITIONS),
    MEGA_INT_FIELD("truncation", MegaGatedConfig, truncation, 0, MEGA_MAX_POSITIONS),
    MEGA_BOOL_FIELD("ema_shift", MegaGatedConfig, ema_shift),
    MEGA_OPTIONAL_BOOL_FIELD("causal", MegaGatedConfig, causal),
    MEGA_OPTIONAL_BOOL_FIELD("rotary_float32", MegaGatedConfig, rotary_float32),
    MEGA_NAME_FIELD("attention", MegaGatedConfig, attention, attention_names),
    MEGA_NAME_FIELD("bias", MegaGatedConfig, bias, bias_names),
    {0},
};

int mega_gated_check(const MegaConfig *config, const MegaStackConfig *stack, const char *name,
                     MegaError *err)
{
    const MegaGatedConfig *own = mega_gated(stack);
    if (own->bias == MEGA_BIAS_ROTARY && own->zdim % 2)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "%s.zdim is %d, but a rotary bias needs an even one", name, own->zdim);
    if (stack == &config->decoder && own->ema_shift)
        return mega_fail(err, MEGA_ERR_MODEL, "a decoder cannot look ahead");
    if (stack == &config->decoder && mega_config_has_cross(config) &&
        config->encoder.width != stack->width)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "a decoder of MEGA layers needs an encoder as wide as itself");
    return 0;
}

void mega_gated_reach(const MegaConfig *config, const MegaStackConfig *stack, MegaReach *out)
{
    const MegaGatedConfig *own = mega_gated(stack);
    out->chunk = own->chunk;
    out->can_truncate = own->truncation > 0;
    if (own->bias == MEGA_BIAS_SIMPLE && own->chunk == 0)
        out->positions = stack->max_positions;
    if (own->bias == MEGA_BIAS_SIMPLE)
        out->cross_positions = config->target.cross_positions;
}

int mega_gated_set_chunk(MegaStackConfig *stack, int chunk, MegaError *err)
{
    MegaGatedConfig *own = mega_gated_of(stack);
    if (own->bias != MEGA_BIAS_ROTARY)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "the chunk of this model cannot be changed: its bias is a table of fixed "
                         "size; only a rotary bias fits any chunk");
    own->chunk = chunk;
    return 0;
}

/* ---- Tensors -------------------------------------------------------------------------------- */

/* The dimensions and conditions that only these tensors have. */
enum {
    HIDDEN = MEGA_DIM_OWN, /* h */
    Z,
    N,
    K,     /* rows of the EMA parameters */
    R_HX,  /* h + d */
    BIAS,  /* 2 M - 1 */
    Q,     /* d + d + z, of cross attention */
    CROSS, /* 2 M - 1, of cross attention */
};

enum {
    IF_SIMPLE = MEGA_IF_OWN,
    IF_ROTARY,
};

uint64_t mega_gated_dimension(const MegaConfig *config, const MegaStackConfig *stack,
                              unsigned dimension)
{
    const MegaGatedConfig *own = mega_gated(stack);
    const uint64_t d = (uint64_t)stack->width;
    switch (dimension) {
    case HIDDEN: return (uint64_t)own->hidden;
    case Z: return (uint64_t)own->zdim;
    case N: return (uint64_t)own->ndim;
    case K: return (uint64_t)mega_ema_channels(stack);
    case R_HX: return (uint64_t)own->hidden + d;
    case BIAS: return 2 * (uint64_t)mega_bias_positions(stack) - 1;
    case Q: return 2 * d + (uint64_t)own->zdim;
    case CROSS: return 2 * (uint64_t)config->target.cross_positions - 1;
    default: return 0;
    }
}

bool mega_gated_applies(const MegaStackConfig *stack, unsigned condition)
{
    return mega_gated(stack)->bias == (condition == IF_ROTARY ? MEGA_BIAS_ROTARY
                                                              : MEGA_BIAS_SIMPLE);
}

#define AT(field) offsetof(MegaLayerWeights, field)

const MegaTensorRow mega_layer_tensors[] = {
    {"norm.", AT(norm), {MEGA_DIM_END}, MEGA_TENSOR_NORM},
    {"ema.delta", AT(ema.delta), {K, N}, MEGA_ALWAYS},
    {"ema.alpha", AT(ema.alpha), {K, N}, MEGA_ALWAYS},
    {"ema.beta", AT(ema.beta), {K, N}, MEGA_ALWAYS},
    {"ema.gamma", AT(ema.gamma), {K, N}, MEGA_ALWAYS},
    {"ema.omega", AT(ema.omega), {MEGA_DIM_WIDTH}, MEGA_ALWAYS},
    {"v.weight", AT(v.weight), {HIDDEN, MEGA_DIM_WIDTH}, MEGA_TENSOR_MATRIX},
    {"v.bias", AT(v.bias), {HIDDEN}, MEGA_ALWAYS},
    {"u.weight", AT(u.weight), {MEGA_DIM_WIDTH, MEGA_DIM_WIDTH}, MEGA_TENSOR_MATRIX},
    {"z.weight", AT(z.weight), {Z, MEGA_DIM_WIDTH}, MEGA_TENSOR_MATRIX},
    {"r_hx.weight", AT(r_hx.weight), {R_HX, MEGA_DIM_WIDTH}, MEGA_TENSOR_MATRIX},
    {"u.bias", AT(u.bias), {MEGA_DIM_WIDTH}, MEGA_ALWAYS},
    {"z.bias", AT(z.bias), {Z}, MEGA_ALWAYS},
    {"r_hx.bias", AT(r_hx.bias), {R_HX}, MEGA_ALWAYS},
    {"h.weight", AT(h.weight), {MEGA_DIM_WIDTH, HIDDEN}, MEGA_TENSOR_MATRIX},
    {"h.bias", AT(h.bias), {MEGA_DIM_WIDTH}, MEGA_ALWAYS},
    {"gamma", AT(gamma), {MEGA_DIM_TWO, Z}, MEGA_ALWAYS},
    {"beta", AT(beta), {MEGA_DIM_TWO, Z}, MEGA_ALWAYS},
    {"bias", AT(bias), {BIAS}, IF_SIMPLE},
    {"rotary.alpha", AT(rotary_alpha), {Z}, IF_ROTARY},
    {"rotary.beta", AT(rotary_beta), {Z}, IF_ROTARY},
    MEGA_FEED_FORWARD_ROWS(AT),
    {"cross.norm.", AT(cross.norm), {MEGA_DIM_END}, MEGA_TENSOR_CROSS | MEGA_TENSOR_NORM},
    {"cross.q.weight", AT(cross.q.weight), {Q, MEGA_DIM_WIDTH},
     MEGA_TENSOR_CROSS | MEGA_TENSOR_MATRIX},
    {"cross.q.bias", AT(cross.q.bias), {Q}, MEGA_TENSOR_CROSS},
    {"cross.k.weight", AT(cross.k.weight), {Z, MEGA_DIM_WIDTH},
     MEGA_TENSOR_CROSS | MEGA_TENSOR_MATRIX},
    {"cross.k.bias", AT(cross.k.bias), {Z}, MEGA_TENSOR_CROSS},
    {"cross.v.weight", AT(cross.v.weight), {MEGA_DIM_WIDTH, MEGA_DIM_WIDTH},
     MEGA_TENSOR_CROSS | MEGA_TENSOR_MATRIX},
    {"cross.v.bias", AT(cross.v.bias), {MEGA_DIM_WIDTH}, MEGA_TENSOR_CROSS},
    {"cross.h.weight", AT(cross.h.weight), {MEGA_DIM_WIDTH, MEGA_DIM_WIDTH},
     MEGA_TENSOR_CROSS | MEGA_TENSOR_MATRIX},
    {"cross.h.bias", AT(cross.h.bias), {MEGA_DIM_WIDTH}, MEGA_TENSOR_CROSS},
    {"cross.bias", AT(cross.bias), {CROSS}, MEGA_TENSOR_CROSS | IF_SIMPLE},
    {"cross.rotary.alpha", AT(cross.rotary_alpha), {Z},
     MEGA_TENSOR_CROSS | IF_ROTARY},
    {"cross.rotary.beta", AT(cross.rotary_beta), {Z}, MEGA_TENSOR_CROSS | IF_ROTARY},
    {"ffn.norm.", AT(ffn_norm), {MEGA_DIM_END}, MEGA_IF_FFN | MEGA_TENSOR_NORM},
    {0},
};

/* Files of the earlier layout hold u, z and r_hx as rows of one tensor, "mx". */
void mega_gated_place_earlier(const MegaStackConfig *stack, size_t layer, MegaStored *place)
{
    static const char *const parts[] = {"u.", "z.", "r_hx."};
    const uint64_t d = (uint64_t)stack->width, z = (uint64_t)mega_gated(stack)->zdim;
    const uint64_t first_rows[] = {0, d, d + z};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const size_t length = strlen(parts[i]);
        char kind[16]; /* "weight" or "bias" */
        if (strncmp(place->name + layer, parts[i], length) != 0)
            continue;
        snprintf(kind, sizeof kind, "%s", place->name + layer + length);
        snprintf(place->name + layer, sizeof place->name - layer, "mx.%s", kind);
        place->first_row = first_rows[i];
        place->whole_rows = d + z + (uint64_t)mega_gated(stack)->hidden + d;
        return;
    }
}
