/*
 * detection.c - see detection.h.
 */
#include "tools/convert/families/detection.h"

#include <stdio.h>
#include <string.h>

/* ---- Tensors and arguments ------------------------------------------------------------------ */

const MegaCheckpointTensor *detection_find(const Detection *detection, const char *name)
{
    return architecture_find(detection->out, name);
}

/* Makes the original's name of a tensor of a layer, without the checkpoint's prefix. */
static void layer_name(const Detection *detection, int layer, const char *name, char out[256])
{
    snprintf(out, 256, "%s%d.%s", detection->names->layers, layer, name);
}

static const MegaCheckpointTensor *find_in_layer(const Detection *detection, int layer,
                                                 const char *name)
{
    char full[256];
    layer_name(detection, layer, name, full);
    return detection_find(detection, full);
}

const MegaCheckpointTensor *detection_source_table(const Detection *detection)
{
    const MegaCheckpointTensor *table = detection_find(detection, "encoder.embed_tokens.weight");
    if (!table)
        mega_fail(detection->err, MEGA_ERR_MODEL,
                  "there is no encoder.embed_tokens.weight, and no argument share_all_embeddings "
                  "that says it is the decoder's");
    return table;
}

int tensor_dimension(const MegaCheckpointTensor *tensor, int axis)
{
    if (!tensor || axis >= tensor->rank || tensor->shape[axis] > INT32_MAX)
        return 0;
    return (int)tensor->shape[axis];
}

int detection_size(const Detection *detection, const MegaCheckpointTensor *tensor, int axis,
                   int *out)
{
    *out = tensor_dimension(tensor, axis);
    if (*out > 0)
        return 0;
    if (tensor->rank < 0)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "the shape of tensor '%s' is not known; dimension %d is a size of the "
                         "model",
                         tensor->name, axis);
    return mega_fail(detection->err, MEGA_ERR_MODEL,
                     "tensor '%s' has %d dimensions or a size out of range; dimension %d is a size "
                     "of the model",
                     tensor->name, tensor->rank, axis);
}

/* Reads a size of the model from a tensor of layer 0 that every checkpoint has. */
static int layer_size(const Detection *detection, const char *name, int axis, int *out)
{
    const MegaCheckpointTensor *tensor = find_in_layer(detection, 0, name);
    char full[256];
    if (tensor)
        return detection_size(detection, tensor, axis, out);
    layer_name(detection, 0, name, full);
    return mega_fail(detection->err, MEGA_ERR_MODEL,
                     "tensor '%s%s' is missing; a size of the model is read from it",
                     detection->out->names.prefix, full);
}

void detection_need(Detection *detection, const char *name, const char *what)
{
    size_t used = strlen(detection->missing);
    char text[128];
    snprintf(text, sizeof text, "%s (%s)", name, what);
    /* encoder and decoder need the same arguments, so it may be listed already */
    if (strstr(detection->missing, text))
        return;
    snprintf(detection->missing + used, sizeof detection->missing - used, "%s%s",
             used ? ", " : "", text);
}

int detection_named(Detection *detection, const char *name, const char *other_name,
                    const char *what, int (*by_name)(const char *), int fallback, int *out)
{
    const json_t *value = argument(detection->args, name, other_name);
    const char *given = json_object_get(detection->args, name) ? name : other_name;
    if (!value || json_is_null(value)) {
        *out = fallback;
        if (fallback < 0)
            detection_need(detection, name, what);
        return 0;
    }
    if (!json_is_string(value))
        return mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                         "argument %s is not text, but the name of the %s was expected", given,
                         what);
    *out = by_name(json_string_value(value));
    if (*out < 0)
        return mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                         "argument %s is '%.60s', which is not supported", given,
                         json_string_value(value));
    return 0;
}

/* Reads a needed length. None, 0 and negative numbers all mean "no limit" and become 0. */
static int read_length(Detection *detection, const char *name, const char *other_name,
                       const char *what, int *out)
{
    if (!argument(detection->args, name, other_name))
        detection_need(detection, name, what);
    int code = argument_integer(detection->args, name, other_name, 0, out, detection->err);
    if (*out < 0)
        *out = 0;
    return code;
}

int detection_flag(const Detection *detection, const char *name, const char *other_name, bool *out)
{
    const json_t *value = argument(detection->args, name, other_name);
    int number = 0, code = 0;
    *out = json_is_true(value);
    if (json_is_boolean(value))
        return 0;
    code = argument_integer(detection->args, name, other_name, 0, &number, detection->err);
    *out = number != 0;
    return code;
}

int detect_frames(Detection *detection, const MegaCheckpointTensor *map, int usual_hop,
                  MegaEmbedConfig *embed)
{
    embed->kind = MEGA_EMBED_FRAMES;
    embed->frame_length = tensor_dimension(map, 1);
    int code = argument_integer(detection->args, "frame_hop", NULL, usual_hop, &embed->frame_hop,
                                detection->err);
    if (!code && embed->frame_hop == 0)
        detection_need(detection, "frame_hop", "samples from one frame to the next");
    return code;
}

/* ---- Shared tensors ------------------------------------------------------------------------- */

int detect_sharing(Detection *detection, const SharedName *row)
{
    Architecture *out = detection->out;
    out->shared = row;
    for (size_t i = 0; row[i].name; i++) {
        bool set = !row[i].argument;
        int code = set ? 0 : detection_flag(detection, row[i].argument, NULL, &set);
        if (code)
            return code;
        if (row[i].negated)
            set = json_is_false(argument(detection->args, row[i].argument, NULL));
        if (set)
            out->sharing |= 1u << i;
    }
    return 0;
}

/* ---- The stack ------------------------------------------------------------------------------ */

/* Returns the kind of a norm by its tensors, or -1 if it has none. */
static int norm_of_tensors(const Detection *detection, const char *prefix)
{
    char name[160];
    const char *const parts[] = {"running_mean", "scalar", "bias", "weight"};
    const int kinds[] = {MEGA_NORM_BATCH, MEGA_NORM_SCALE, MEGA_NORM_LAYER, MEGA_NORM_RMS};
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%snorm.%s", prefix, parts[i]);
        if (find_in_layer(detection, 0, name))
            return kinds[i];
    }
    return -1;
}

int detection_check_norm(const Detection *detection, int said, int found)
{
    if (said < 0 || found < 0 || said == found)
        return 0;
    return mega_fail(detection->err, MEGA_ERR_MODEL,
                     "the arguments say %s, but the tensors are those of %s",
                     mega_norm_name((MegaNormKind)said), mega_norm_name((MegaNormKind)found));
}

int detection_fail_post_norm(const Detection *detection, const char *argument, const char *norm)
{
    return mega_fail(detection->err, MEGA_ERR_MODEL,
                     "the arguments say post-norm (%s), but the checkpoint has %s, which only "
                     "pre-norm models have",
                     argument, norm);
}

static int detect_norm(Detection *detection, MegaStackConfig *stack)
{
    const char *final = detection->names->final_norm;
    int found = norm_of_tensors(detection, "mega_layer.norm."), said;
    int code = detection_named(detection, "norm_type", "normalization_type",
                               "kind of normalisation", mega_norm_by_name, found, &said);
    if (!code)
        code = detection_check_norm(detection, said, found);
    if (code)
        return code;
    stack->norm = said >= 0 ? (MegaNormKind)said : MEGA_NORM_LAYER;
    char weight[96], scalar[96], mean[96];
    snprintf(weight, sizeof weight, "%s.weight", final);
    snprintf(scalar, sizeof scalar, "%s.scalar", final);
    snprintf(mean, sizeof mean, "%s.running_mean", final);
    stack->norm_affine = find_in_layer(detection, 0, "mega_layer.norm.norm.weight") ||
                         find_in_layer(detection, 0, "mega_layer.norm.norm.scalar");
    stack->final_norm_affine =
        detection_find(detection, weight) || detection_find(detection, scalar);
    stack->final_norm = stack->final_norm_affine || detection_find(detection, mean) != NULL;
    return 0;
}

/* Finds the kind of the bias by its tensors, which must not be those of another kind than the
 * argument says. Without any, the argument says which are missing. */
static int detect_bias_kind(Detection *detection, MegaBiasKind *out)
{
    int found = -1, said;
    if (find_in_layer(detection, 0, "mega_layer.rel_pos_bias.rel_pos_bias"))
        found = MEGA_BIAS_SIMPLE;
    else if (find_in_layer(detection, 0, "mega_layer.rel_pos_bias.alpha"))
        found = MEGA_BIAS_ROTARY;
    int code = detection_named(detection, "rel_pos_bias", NULL, "relative position bias",
                               mega_bias_by_name, found >= 0 ? found : MEGA_BIAS_ROTARY, &said);
    if (code)
        return code;
    *out = (MegaBiasKind)said;
    if (found < 0 || found == said)
        return 0;
    return mega_fail(detection->err, MEGA_ERR_MODEL,
                     "the arguments say a %s relative position bias, but the tensors are those of "
                     "a %s one",
                     mega_bias_name((MegaBiasKind)said), mega_bias_name((MegaBiasKind)found));
}

int detect_bias(Detection *detection, MegaStackConfig *stack)
{
    const MegaCheckpointTensor *table =
        find_in_layer(detection, 0, "mega_layer.rel_pos_bias.rel_pos_bias");
    int length = tensor_dimension(table, 0), positions = length / 2 + 1;
    int code = detect_bias_kind(detection, &mega_gated_of(stack)->bias);
    if (code)
        return code;
    if (!table)
        return argument_integer(detection->args, detection->names->positions,
                                detection->names->other_positions, 1024, &stack->max_positions,
                                detection->err);
    if (length % 2 == 0)
        return mega_fail(
            detection->err, MEGA_ERR_MODEL,
            "the relative position bias has %d entries, but an odd number was expected", length);
    if (mega_gated(stack)->chunk > 0 && positions != mega_gated(stack)->chunk)
        return mega_fail(
            detection->err, MEGA_ERR_MODEL,
            "the relative position bias has %d entries, which suits a chunk size of %d, "
            "not %d",
            length, positions, mega_gated(stack)->chunk);
    stack->max_positions = positions;
    return 0;
}

/* Checks the number of layers, since a damaged checkpoint may lack the last ones. */
static int check_count(const Detection *detection, int layers)
{
    const char *name = detection->names->count;
    int said = layers;
    int code =
        name ? argument_integer(detection->args, name, NULL, layers, &said, detection->err) : 0;
    if (!code && said != layers)
        code = mega_fail(detection->err, MEGA_ERR_MODEL,
                         "argument %s is %d, but the number of layers in the checkpoint is %d "
                         "(tensors '%s%sN.mega_layer.move.omega')",
                         name, said, layers, detection->out->names.prefix,
                         detection->names->layers);
    return code;
}

int detect_layers(Detection *detection, MegaStackConfig *stack)
{
    int activation = 0;
    int code = detection_named(detection, "activation_fn", NULL, "activation function",
                               mega_activation_by_name, MEGA_ACTIVATION_SILU, &activation);
    if (code)
        return code;
    stack->activation = (MegaActivation)activation;
    while (find_in_layer(detection, stack->layers, "mega_layer.move.omega"))
        stack->layers++;
    if ((code = check_count(detection, stack->layers)))
        return code;
    const struct {
        const char *tensor;
        int axis, *to;
    } sizes[] = {
        {"mega_layer.move.omega", 0, &stack->width},
        {"mega_layer.v_proj.weight", 0, &mega_gated_of(stack)->hidden},
        {"mega_layer.gamma", 1, &mega_gated_of(stack)->zdim},
        {"mega_layer.move.gamma", 1, &mega_gated_of(stack)->ndim},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if ((code = layer_size(detection, sizes[i].tensor, sizes[i].axis, sizes[i].to)))
            return code;
    /* a model without feed-forward blocks has neither of these */
    if ((find_in_layer(detection, 0, "nffn.fc1.weight") ||
         find_in_layer(detection, 0, "nffn.fc1.bias")) &&
        (code = layer_size(detection, "nffn.fc1.weight", 0, &stack->ffn)))
        return code;
    int channels = tensor_dimension(find_in_layer(detection, 0, "mega_layer.move.gamma"), 0);
    stack->bidirectional = channels / 2 == stack->width && channels % 2 == 0;
    return detect_norm(detection, stack);
}

int detect_fairseq_stack(Detection *detection, MegaStackConfig *stack)
{
    const StackNames *names = detection->names;
    bool embed_norm = false, no_affine = false;
    char weight[96], scalar[96];
    int attention = 0;
    int code = detection_named(detection, "attention_activation_fn", NULL, "attention function",
                               mega_attention_by_name, -1, &attention);
    mega_gated_of(stack)->attention =
        attention >= 0 ? (MegaAttentionKind)attention : MEGA_ATTENTION_SOFTMAX;
    if (!code)
        code = detect_layers(detection, stack);
    if (!code)
        code = read_length(detection, "truncation_length", NULL, "EMA truncation",
                           &mega_gated_of(stack)->truncation);
    if (!code && detection->chunk_size < 0)
        code = read_length(detection, names->chunk, names->other_chunk, "chunk size",
                           &mega_gated_of(stack)->chunk);
    if (!code)
        code = detection_flag(detection, "encoder_normalize_before", "normalize_before",
                              &stack->pre_norm);
    if (!code)
        code = detection_flag(detection, "normalize_embedding", NULL, &embed_norm);
    if (!code)
        code = detection_flag(detection, "no_affine_final_norm", NULL, &no_affine);
    if (code)
        return code;
    if (detection->chunk_size >= 0)
        mega_gated_of(stack)->chunk = (int)detection->chunk_size;
    if (!argument(detection->args, "encoder_normalize_before", "normalize_before"))
        detection_need(detection, "normalize_before", "pre-norm or post-norm");
    else if (stack->final_norm && !stack->pre_norm)
        return detection_fail_post_norm(detection, "normalize_before", names->final_norm);
    stack->final_norm |= stack->pre_norm;
    if (stack->pre_norm && !stack->final_norm_affine) {
        stack->final_norm_affine = !no_affine; /* without an affine form, it has no tensors */
        if (!argument(detection->args, "no_affine_final_norm", NULL))
            detection_need(detection, "no_affine_final_norm",
                           "whether the final norm has no weights");
    }
    snprintf(weight, sizeof weight, "%s.weight", names->embed_norm);
    snprintf(scalar, sizeof scalar, "%s.scalar", names->embed_norm);
    stack->embed_norm =
        embed_norm || detection_find(detection, weight) || detection_find(detection, scalar);
    return detect_bias(detection, stack);
}
