/*
 * transformer.c - detects fairseq's Transformers: the classifier of the Long Range Arena, the
 * translator and the language model (MODEL.md, "Attention of several heads" and "Positions").
 *
 * Shapes show all sizes but the number of heads. Arguments that old checkpoints lack have the
 * defaults of the original.
 */
#include "tools/convert/families/detection.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "src/layers/transformer.h"

/* The names of one side: an encoder or a decoder. */
typedef struct Side {
    const char *prefix; /* begins the names of its tensors: "encoder.encoder." */
    const char *heads, *layers, *learned, *normalize_before;
    const char *positions, *other_positions;
    int skipped_rows; /* so many rows of a learned table come before that of position 0 */
} Side;

static const MegaCheckpointTensor *find_in(const Detection *detection, const Side *side,
                                           const char *name)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", side->prefix, name);
    return detection_find(detection, full);
}

/* ---- Refusals ------------------------------------------------------------------------------- */

static int refuse_flags(const Detection *detection)
{
    static const char *const flags[] = {"character_embeddings", "cross_self_attention",
                                        "no_cross_attention"};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        bool set;
        int code = detection_flag(detection, flags[i], NULL, &set);
        if (!code && set)
            code = mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                             "argument %s is set: such Transformers are not supported", flags[i]);
        if (code)
            return code;
    }
    return 0;
}

/* Does what all three families need: it refuses models that only look like these, and says which
 * tensors are shared or unused. */
static int begin(Detection *detection)
{
    const char *type = argument_string(detection->args, "layer_type", NULL);
    const char *arch = argument_string(detection->args, "arch", NULL);
    static const char *const unused[] = {
        "embed_positions.weights", /* old versions store this table of sinusoids */
        "encoder.layer_norm.weight", "encoder.layer_norm.bias", /* `version` switches these off */
        "decoder.layer_norm.weight", "decoder.layer_norm.bias", NULL};
    const Names *names = &detection->out->names;
    if (type && strcmp(type, "transformer") != 0)
        return mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                         "argument layer_type is '%.60s': of these classifiers only those with "
                         "layers 'transformer' are supported",
                         type);
    if (arch && strncmp(arch, "luna", 4) == 0)
        return mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                         "argument arch is '%.60s': Luna models are not supported", arch);
    for (size_t i = 0; i < names->count; i++)
        if (strstr(names->items[i].name, "quant_noise.weight"))
            return mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                             "tensor '%s' is a map of the embedding from training with "
                             "quantization noise, which is not supported",
                             names->items[i].tensor->name);
    detection->out->unused = unused;
    const int code = refuse_flags(detection);
    return code ? code : detect_sharing(detection, transformer_shared);
}

/* ---- A stack -------------------------------------------------------------------------------- */

static int count_layers(const Detection *detection, const Side *side, MegaStackConfig *stack)
{
    char name[80];
    int said = 0, code = 0;
    for (;; stack->layers++) {
        snprintf(name, sizeof name, "layers.%d.self_attn.out_proj.weight", stack->layers);
        if (!find_in(detection, side, name))
            break;
    }
    const int stored = stack->layers;
    if (stack == &detection->out->config.encoder && mega_config_has_head(&detection->out->config))
        code = detection_flag(detection, "tie_layer_weights", NULL, &stack->tied_layers);
    if (!code)
        code = argument_integer(detection->args, side->layers, NULL,
                                stack->tied_layers ? 6 : stored, &said, detection->err);
    if (code)
        return code;
    if (stack->tied_layers ? stored != 1 && stored != said : stored != said)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "argument %s is %d, but the number of layers in the checkpoint is %d "
                         "(tensors '%s%slayers.N.self_attn.out_proj.weight')",
                         side->layers, said, stored, detection->out->names.prefix, side->prefix);
    stack->layers = said;
    return 0;
}

static int detect_sizes(const Detection *detection, const Side *side, MegaStackConfig *stack)
{
    const struct {
        const char *name;
        int *to;
    } sizes[] = {{"layers.0.self_attn.out_proj.weight", &stack->width},
                 {"layers.0.fc1.weight", &stack->ffn}};
    int heads, code = 0;
    stack->kind = &mega_layer_kind_transformer;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && !code; i++) {
        const MegaCheckpointTensor *tensor = find_in(detection, side, sizes[i].name);
        code = tensor ? detection_size(detection, tensor, 0, sizes[i].to)
                      : mega_fail(detection->err, MEGA_ERR_MODEL,
                                  "tensor '%s%s%s' is missing; a size of the model is read from it",
                                  detection->out->names.prefix, side->prefix, sizes[i].name);
    }
    if (!code)
        code = argument_integer(detection->args, side->heads, NULL, 8, &heads, detection->err);
    if (code)
        return code;
    if (heads < 1 || heads > stack->width || stack->width % heads)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "argument %s is %d, which does not divide the width of %d", side->heads,
                         heads, stack->width);
    mega_transformer_of(stack)->heads = heads;
    return count_layers(detection, side, stack);
}

static int detect_positions(const Detection *detection, const Side *side, MegaStackConfig *stack)
{
    const MegaCheckpointTensor *table = find_in(detection, side, "embed_positions.weight");
    const bool classifier = mega_config_has_head(&detection->out->config);
    bool learned, none = false;
    int code = detection_flag(detection, side->learned, NULL, &learned);
    if (!code && !classifier)
        code = detection_flag(detection, "no_token_positional_embeddings", NULL, &none);
    if (!code)
        code = argument_integer(detection->args, side->positions, side->other_positions, 1024,
                                &stack->max_positions, detection->err);
    if (code || none)
        return code;
    stack->positions = learned ? MEGA_POSITIONS_LEARNED : MEGA_POSITIONS_SINUSOIDAL;
    if (!learned)
        return 0;
    const int rows = tensor_dimension(table, 0) - side->skipped_rows;
    if (rows < 1)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "argument %s is set, but there is no table %sembed_positions.weight with "
                         "more than %d rows",
                         side->learned, side->prefix, side->skipped_rows);
    stack->max_positions = rows;
    return 0;
}

/* Reads the number in `version` of one side, which is 1 if there is none. */
static double version_of(const Detection *detection, const Side *side)
{
    const MegaCheckpointTensor *tensor = find_in(detection, side, "version");
    float version = 1;
    if (tensor && tensor->readable && tensor->elements == 1)
        mega_checkpoint_read_f32(tensor, &version);
    return version;
}

static int detect_stack(Detection *detection, const Side *side, MegaStackConfig *stack)
{
    const bool classifier = mega_config_has_head(&detection->out->config);
    int activation = 0;
    int code = detect_sizes(detection, side, stack);
    if (!code)
        code = detection_named(detection, "activation_fn", NULL, "activation function",
                               mega_activation_by_name,
                               classifier ? MEGA_ACTIVATION_GELU : MEGA_ACTIVATION_RELU,
                               &activation);
    if (!code)
        code = detect_positions(detection, side, stack);
    if (!code)
        code = detection_flag(detection, side->normalize_before, NULL, &stack->pre_norm);
    if (!code && !classifier)
        code = detection_flag(detection, "layernorm_embedding", NULL, &stack->embed_norm);
    stack->activation = (MegaActivation)activation;
    stack->norm = MEGA_NORM_LAYER;
    stack->norm_affine = stack->final_norm_affine = true;
    return code;
}

/* ---- The classifier ------------------------------------------------------------------------- */

/* Reads what a position is: a token, or a pixel, or a frame of sound, whose maps have a bias. */
static int detect_embedding(Detection *detection, const MegaCheckpointTensor *table,
                            MegaEmbedConfig *embed)
{
    const bool linear = detection_find(detection, "encoder.encoder.embed_tokens.bias") != NULL;
    if (!linear && table->rank != 1) {
        *embed = (MegaEmbedConfig){
            .kind = MEGA_EMBED_TOKENS, .vocab = tensor_dimension(table, 0), .pad = 1};
        return 0;
    }
    *embed = (MegaEmbedConfig){.kind = MEGA_EMBED_REAL, .pad = -1};
    return table->rank == 2 ? detect_frames(detection, table, 0, embed) : 0;
}

int detect_transformer_classifier(Detection *detection)
{
    static const Side text = {"encoder.encoder.", "encoder_attention_heads", "encoder_layers",
                              "encoder_learned_pos", "encoder_normalize_before", "max_positions",
                              "max_source_positions", 2};
    MegaConfig *config = &detection->out->config;
    const MegaCheckpointTensor *table =
        detection_find(detection, "encoder.encoder.embed_tokens.weight");
    Side side = text;
    int code = begin(detection);
    if (!code && !table)
        code = mega_fail(detection->err, MEGA_ERR_MODEL,
                         "there is no embedding encoder.encoder.embed_tokens.weight");
    if (!code)
        code = detect_embedding(detection, table, &config->embed);
    if (code)
        return code;
    side.skipped_rows = config->embed.kind == MEGA_EMBED_TOKENS ? 2 : 0;
    code = detect_stack(detection, &side, &config->encoder);
    if (code)
        return code;
    config->encoder.bidirectional = true;
    /* here the argument means a norm after the embedding, and the layers are always post-norm */
    config->encoder.embed_norm = config->encoder.pre_norm;
    config->encoder.pre_norm = false;
    config->embed.scale = config->encoder.positions == MEGA_POSITIONS_SINUSOIDAL;
    return detect_fairseq_head(detection, config, MEGA_POOL_FIRST);
}

/* ---- Encoders and decoders of sequences ----------------------------------------------------- */

/* Checks that a post-norm stack has no final norm, unless its version says that such a norm is not
 * used. Else the argument is wrong, or absent from --config. */
static int check_post_norm(const Detection *detection, const Side *side,
                           const MegaStackConfig *stack, double least_version)
{
    char norm[80];
    if (stack->pre_norm || !find_in(detection, side, "layer_norm.weight") ||
        version_of(detection, side) < least_version)
        return 0;
    snprintf(norm, sizeof norm, "%slayer_norm", side->prefix);
    return detection_fail_post_norm(detection, side->normalize_before, norm);
}

/* Returns whether the original leaves out the final norm of a pre-norm decoder. */
static int leaves_out_final_norm(const Detection *detection, bool *out)
{
    bool wanted;
    int code = detection_flag(detection, "no_decoder_final_norm", NULL, out);
    if (!code && argument(detection->args, "no_tie_adaptive_proj", NULL))
        *out = true;
    if (!code && argument(detection->args, "decoder_final_norm", NULL)) {
        code = detection_flag(detection, "decoder_final_norm", NULL, &wanted);
        *out = !wanted;
    }
    return code;
}

static int detect_decoder(Detection *detection, const Side *side)
{
    MegaConfig *config = &detection->out->config;
    MegaStackConfig *stack = &config->decoder;
    bool unscaled = false, no_final_norm = false;
    int code = begin(detection);
    if (!code)
        code = detect_stack(detection, side, stack);
    if (!code)
        code = detection_flag(detection, "no_scale_embedding", NULL, &unscaled);
    if (!code)
        code = leaves_out_final_norm(detection, &no_final_norm);
    if (!code)
        code = argument_integer(detection->args, side->positions, side->other_positions, 1024,
                                &config->target.max_positions, detection->err);
    if (code)
        return code;
    stack->pre_norm |= config->task == MEGA_TASK_GENERATE;
    if ((code = check_post_norm(detection, side, stack, 3)))
        return code;
    stack->final_norm = stack->pre_norm && !no_final_norm && version_of(detection, side) > 2;
    config->target.scale = !unscaled;
    return detect_vocabulary(detection, &config->target, stack->width);
}

int detect_transformer_language_model(Detection *detection)
{
    static const Side side = {"decoder.", "decoder_attention_heads", "decoder_layers",
                              "decoder_learned_pos", "decoder_normalize_before",
                              "max_target_positions", "tokens_per_sample", 2};
    int code = detect_decoder(detection, &side);
    return code ? code
                : detection_flag(detection, "add_bos_token", NULL,
                                 &detection->out->config.target.begins_with_bos);
}

int detect_transformer_translator(Detection *detection)
{
    static const Side encoder = {"encoder.", "encoder_attention_heads", "encoder_layers",
                                 "encoder_learned_pos", "encoder_normalize_before",
                                 "max_source_positions", NULL, 2};
    static const Side decoder = {"decoder.", "decoder_attention_heads", "decoder_layers",
                                 "decoder_learned_pos", "decoder_normalize_before",
                                 "max_target_positions", NULL, 2};
    MegaConfig *config = &detection->out->config;
    int code = detect_decoder(detection, &decoder);
    if (!code)
        code = detect_stack(detection, &encoder, &config->encoder);
    if (!code)
        code = check_post_norm(detection, &encoder, &config->encoder, 2);
    if (code)
        return code;
    const MegaCheckpointTensor *table = detection_source_table(detection);
    if (!table)
        return MEGA_ERR_MODEL;
    config->encoder.bidirectional = true;
    config->encoder.final_norm =
        config->encoder.pre_norm && version_of(detection, &encoder) >= 2;
    config->embed = (MegaEmbedConfig){.kind = MEGA_EMBED_TOKENS,
                                      .vocab = tensor_dimension(table, 0),
                                      .pad = config->target.pad,
                                      .scale = config->target.scale};
    config->target.cross_positions = config->encoder.max_positions > config->target.max_positions
                                         ? config->encoder.max_positions
                                         : config->target.max_positions;
    return 0;
}
