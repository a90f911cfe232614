/*
 * architecture.c - see architecture.h.
 */
#include "architecture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Arguments ------------------------------------------------------------------------------ */

const json_t *argument(const json_t *args, const char *name, const char *other_name)
{
    const json_t *value = json_object_get(args, name);
    if (!value && other_name)
        value = json_object_get(args, other_name);
    return value;
}

const char *argument_string(const json_t *args, const char *name, const char *other_name)
{
    return json_string_value(argument(args, name, other_name));
}

double argument_number(const json_t *args, const char *name, const char *other_name,
                       double fallback)
{
    const json_t *value = argument(args, name, other_name);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

int argument_integer(const json_t *args, const char *name, const char *other_name, int fallback,
                     int *out, MegaError *err)
{
    const json_t *value = argument(args, name, other_name);
    *out = fallback;
    if (!value || json_is_null(value))
        return 0;
    double number = json_is_number(value) ? json_number_value(value) : NAN;
    if (!(fabs(number) <= INT32_MAX) || number != floor(number)) {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        mega_fail(err, MEGA_ERR_UNSUPPORTED,
                  "argument %s is %.60s, but a whole number (at most %d) or null was expected",
                  json_object_get(args, name) ? name : other_name, text ? text : "something else",
                  INT32_MAX);
        free(text);
        return MEGA_ERR_UNSUPPORTED;
    }
    *out = (int)number;
    return 0;
}

/* ---- What the detection works on ------------------------------------------------------------ */

typedef struct Detection {
    Architecture *out;
    const MegaCheckpoint *checkpoint;
    const json_t *args;
    long chunk_size;
    char missing[400]; /* arguments that are needed and absent */
    MegaError *err;
} Detection;

static const MegaCheckpointTensor *find(const Detection *detection, const char *name)
{
    return architecture_find(detection->out, detection->checkpoint, name);
}

const MegaCheckpointTensor *architecture_find(const Architecture *architecture,
                                              const MegaCheckpoint *checkpoint, const char *name)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", architecture->prefix, name);
    return mega_checkpoint_find(checkpoint, full);
}

/* The original's name of a tensor of a layer, without the checkpoint's prefix. */
static void layer_name(const Detection *detection, int layer, const char *name, char out[160])
{
    static const char *const format[] = {"encoder.encoder.layers.%d.%s", "blocks.%d.%s"};
    snprintf(out, 160, format[detection->out->source], layer, name);
}

static const MegaCheckpointTensor *find_in_layer(const Detection *detection, int layer,
                                                 const char *name)
{
    char full[160];
    layer_name(detection, layer, name, full);
    return find(detection, full);
}

/* Dimension of a tensor as an int, 0 when there is no such tensor or dimension. */
static int dimension(const MegaCheckpointTensor *tensor, int axis)
{
    if (!tensor || axis >= tensor->rank || tensor->shape[axis] > INT32_MAX)
        return 0;
    return (int)tensor->shape[axis];
}

/* A size of the model, read from a tensor of layer 0 that every checkpoint has. */
static int layer_size(const Detection *detection, const char *name, int axis, int *out)
{
    const MegaCheckpointTensor *tensor = find_in_layer(detection, 0, name);
    char full[160];
    *out = dimension(tensor, axis);
    if (*out > 0)
        return 0;
    layer_name(detection, 0, name, full);
    if (!tensor)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "tensor '%s%s' is missing; a size of the model is read from it",
                         detection->out->prefix, full);
    return mega_fail(detection->err, MEGA_ERR_MODEL,
                     "tensor '%s' has %d dimensions or a size out of range; dimension %d is a size "
                     "of the model",
                     tensor->name, tensor->rank, axis);
}

/* Notes a needed argument that is absent; all are reported at once. */
static void need(Detection *detection, const char *name, const char *what)
{
    size_t used = strlen(detection->missing);
    snprintf(detection->missing + used, sizeof detection->missing - used, "%s%s (%s)",
             used ? ", " : "", name, what);
}

/* An argument with one of a set of names; fallback -1: the argument is needed. */
static int named(Detection *detection, const char *name, const char *other_name, const char *what,
                 int (*by_name)(const char *), int fallback, int *out)
{
    const json_t *value = argument(detection->args, name, other_name);
    if (!json_is_string(value)) {
        *out = fallback;
        if (fallback < 0)
            need(detection, name, what);
        return 0;
    }
    *out = by_name(json_string_value(value));
    if (*out < 0)
        return mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                         "argument %s is '%.60s', which is not supported", name,
                         json_string_value(value));
    return 0;
}

/* A length where None, 0 and negative mean "none", which is 0. */
static int length_argument(Detection *detection, const char *name, const char *other_name,
                           const char *what, int *out)
{
    if (!argument(detection->args, name, other_name))
        need(detection, name, what);
    int code = argument_integer(detection->args, name, other_name, 0, out, detection->err);
    if (*out < 0)
        *out = 0;
    return code;
}

/* A flag as Python has it: a bool, or 0 or 1. Absent or None: false. */
static int flag_argument(const Detection *detection, const char *name, const char *other_name,
                         bool *out)
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

/* ---- The stack ------------------------------------------------------------------------------ */

/* From the tensors of a norm; -1 when there are none. */
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

static int detect_norm(Detection *detection, MegaStackConfig *stack)
{
    const char *final = detection->out->source == MEGA_SOURCE_VISION
                            ? "final_norm.norm"
                            : "encoder.encoder.final_norm.norm";
    int found = norm_of_tensors(detection, "mega_layer.norm."), said;
    int code = named(detection, "norm_type", "normalization_type", "kind of normalisation",
                     mega_norm_by_name, found, &said);
    if (code)
        return code;
    if (found >= 0 && said >= 0 && found != said)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "the arguments say %s, but the tensors are those of %s",
                         mega_norm_name((MegaNormKind)said), mega_norm_name((MegaNormKind)found));
    stack->norm = said >= 0 ? (MegaNormKind)said : MEGA_NORM_LAYER;
    char weight[96], scalar[96], mean[96];
    snprintf(weight, sizeof weight, "%s.weight", final);
    snprintf(scalar, sizeof scalar, "%s.scalar", final);
    snprintf(mean, sizeof mean, "%s.running_mean", final);
    stack->norm_affine = find_in_layer(detection, 0, "mega_layer.norm.norm.weight") ||
                         find_in_layer(detection, 0, "mega_layer.norm.norm.scalar");
    stack->final_norm_affine = find(detection, weight) || find(detection, scalar);
    stack->final_norm = stack->final_norm_affine || find(detection, mean) != NULL;
    return 0;
}

static int detect_bias(Detection *detection, MegaStackConfig *stack)
{
    const MegaCheckpointTensor *table =
        find_in_layer(detection, 0, "mega_layer.rel_pos_bias.rel_pos_bias");
    int length = dimension(table, 0);
    stack->bias = table ? MEGA_BIAS_SIMPLE : MEGA_BIAS_ROTARY;
    if (!table)
        return argument_integer(detection->args, "max_positions", "max_source_positions", 1024,
                                &stack->max_positions, detection->err);
    if (length % 2 == 0)
        return mega_fail(
            detection->err, MEGA_ERR_MODEL,
            "the relative position bias has %d entries, but an odd number was expected", length);
    if (stack->chunk > 0 && length != 2 * stack->chunk - 1)
        return mega_fail(
            detection->err, MEGA_ERR_MODEL,
            "the relative position bias has %d entries, which suits a chunk size of %d, "
            "not %d",
            length, (length + 1) / 2, stack->chunk);
    stack->max_positions = (length + 1) / 2;
    return 0;
}

static int detect_stack(Detection *detection, MegaStackConfig *stack)
{
    int attention = 0, activation = 0;
    int code = named(detection, "activation_fn", NULL, "activation function",
                     mega_activation_by_name, MEGA_ACTIVATION_SILU, &activation);
    if (!code && detection->out->source == MEGA_SOURCE_FAIRSEQ)
        code = named(detection, "attention_activation_fn", NULL, "attention function",
                     mega_attention_by_name, -1, &attention);
    if (code)
        return code;
    stack->activation = (MegaActivation)activation;
    stack->attention = attention >= 0 ? (MegaAttentionKind)attention : MEGA_ATTENTION_SOFTMAX;
    while (find_in_layer(detection, stack->layers, "mega_layer.move.omega"))
        stack->layers++;
    const struct {
        const char *tensor;
        int axis, *to;
    } sizes[] = {
        {"mega_layer.move.omega", 0, &stack->width},
        {"mega_layer.v_proj.weight", 0, &stack->hidden},
        {"mega_layer.gamma", 1, &stack->zdim},
        {"mega_layer.move.gamma", 1, &stack->ndim},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if ((code = layer_size(detection, sizes[i].tensor, sizes[i].axis, sizes[i].to)))
            return code;
    stack->ffn = dimension(find_in_layer(detection, 0, "nffn.fc1.weight"), 0);
    int channels = dimension(find_in_layer(detection, 0, "mega_layer.move.gamma"), 0);
    stack->bidirectional = channels == 2 * stack->width;
    return detect_norm(detection, stack);
}

/* ---- The fairseq classifiers: text, pixels, speech ------------------------------------------ */

static int detect_fairseq_embedding(Detection *detection, MegaConfig *config)
{
    const MegaCheckpointTensor *table =
        find(detection, "encoder.encoder.embed_tokens.embed.weight");
    const MegaCheckpointTensor *linear = find(detection, "encoder.encoder.embed_tokens.weight");
    MegaEmbedConfig *embed = &config->embed;
    embed->pad = -1;
    if (table) {
        embed->kind = MEGA_EMBED_TOKENS;
        embed->vocab = dimension(table, 0);
        embed->pad = embed->vocab > 1 ? 1 : -1;
    } else if (linear && linear->rank == 1) {
        embed->kind = MEGA_EMBED_REAL;
    } else if (linear && linear->rank == 2) {
        embed->kind = MEGA_EMBED_FRAMES;
        embed->frame_length = dimension(linear, 1);
        int code = argument_integer(detection->args, "frame_hop", NULL, 0, &embed->frame_hop,
                                    detection->err);
        if (code)
            return code;
        if (embed->frame_hop == 0)
            need(detection, "frame_hop", "samples from one frame to the next");
    } else {
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "there is no embedding: neither encoder.encoder.embed_tokens.embed.weight "
                         "nor encoder.encoder.embed_tokens.weight");
    }
    return 0;
}

static int detect_fairseq_head(Detection *detection, MegaConfig *config)
{
    MegaHeadConfig *head = &config->head;
    const MegaCheckpointTensor *output = find(detection, "sentence_projection_layer.weight");
    const char *pooling = argument_string(detection->args, "sen_rep_type", NULL);
    const MegaCheckpointTensor *first = find(detection, "classifier.0.0.weight");
    int activation, in = dimension(first ? first : output, 1), d = config->encoder.width;
    if (!output)
        return mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                         "there is no sentence_projection_layer.weight: not a classifier");
    int code = named(detection, "classifier_activation_fn", NULL, "activation of the classifier",
                     mega_activation_by_name, MEGA_ACTIVATION_GELU, &activation);
    if (code)
        return code;
    head->activation = (MegaActivation)activation;
    head->classes = dimension(output, 0);
    head->output_bias = find(detection, "sentence_projection_layer.bias") != NULL;
    head->width = dimension(first, 0);
    for (char name[64]; head->layers < MEGA_MAX_HEAD_LAYERS; head->layers++) {
        snprintf(name, sizeof name, "classifier.%d.0.weight", head->layers);
        if (!find(detection, name))
            break;
    }
    if (in != d && in != 2 * d)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "the classifier takes vectors of %d, but the encoder has width %d (pairs: "
                         "%d)",
                         in, d, 2 * d);
    head->pair = in == 2 * d;
    head->pooling = MEGA_POOL_MEAN;
    if (!pooling)
        need(detection, "sen_rep_type", "pooling: mp or cls");
    else if (strcmp(pooling, "cls") == 0)
        head->pooling = MEGA_POOL_FIRST;
    else if (strcmp(pooling, "mp") != 0)
        return mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                         "argument sen_rep_type is '%.60s', which is not supported", pooling);
    return 0;
}

static int detect_fairseq(Detection *detection)
{
    MegaConfig *config = &detection->out->config;
    MegaStackConfig *stack = &config->encoder;
    bool embed_norm = false;
    int code = detect_stack(detection, stack);
    if (!code)
        code = detect_fairseq_embedding(detection, config);
    if (!code)
        code = detect_fairseq_head(detection, config);
    if (!code)
        code = length_argument(detection, "truncation_length", NULL, "EMA truncation",
                               &stack->truncation);
    if (!code && detection->chunk_size < 0)
        code = length_argument(detection, "chunk_size", "encoder_chunk_size", "chunk size",
                               &stack->chunk);
    if (!code)
        code = flag_argument(detection, "encoder_normalize_before", "normalize_before",
                             &stack->pre_norm);
    if (!code)
        code = flag_argument(detection, "normalize_embedding", NULL, &embed_norm);
    if (code)
        return code;
    if (detection->chunk_size >= 0)
        stack->chunk = (int)detection->chunk_size;
    if (!argument(detection->args, "encoder_normalize_before", "normalize_before"))
        need(detection, "encoder_normalize_before", "pre-norm or post-norm");
    stack->final_norm |= stack->pre_norm;
    stack->embed_norm = embed_norm ||
                        find(detection, "encoder.encoder.embed_norm.norm.weight") ||
                        find(detection, "encoder.encoder.embed_norm.norm.scalar");
    return detect_bias(detection, stack);
}

/* ---- The image model ------------------------------------------------------------------------ */

static int detect_patches(Detection *detection, MegaEmbedConfig *embed, int patches)
{
    const MegaCheckpointTensor *weight = find(detection, "patch_embed.pemb.proj.weight");
    double input_size = argument_number(detection->args, "input_size", NULL, 0);
    embed->kind = MEGA_EMBED_PATCHES;
    embed->pad = -1;
    embed->positions = find(detection, "pos_embed") != NULL;
    if (weight && weight->rank == 4) {
        embed->channels = dimension(weight, 1);
        embed->patch = dimension(weight, 2);
    } else { /* the linear form, of RGB images */
        embed->channels = 3;
        embed->patch = (int)lround(sqrt(dimension(weight, 1) / 3.0));
    }
    if (embed->positions)
        patches = dimension(find(detection, "pos_embed"), 1);
    int side = (int)lround(sqrt((double)patches));
    if (embed->patch < 1 || side < 1 || side * side != patches)
        return mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                         "%d patches of %d do not make a square image", patches, embed->patch);
    embed->width = embed->height = side * embed->patch;
    if (input_size > 0 && input_size != embed->width)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "argument input_size is %g, but the tensors are for images of %d",
                         input_size, embed->width);
    return 0;
}

static int detect_vision(Detection *detection)
{
    MegaConfig *config = &detection->out->config;
    MegaStackConfig *stack = &config->encoder;
    MegaHeadConfig *head = &config->head;
    int code = detect_stack(detection, stack);
    if (!code)
        code = detect_bias(detection, stack);
    if (!code)
        code = detect_patches(detection, &config->embed, stack->max_positions);
    if (code)
        return code;
    /* fixed in the original's code, not arguments of its checkpoints */
    stack->attention = MEGA_ATTENTION_LAPLACE;
    stack->pre_norm = stack->final_norm = true;
    stack->ema_shift = true;
    head->pooling = MEGA_POOL_MEAN;
    head->projection = find(detection, "out_proj.fc.weight") != NULL;
    head->width = dimension(find(detection, "pre_logits.fc.weight"), 0);
    head->layers = head->width > 0;
    head->activation = MEGA_ACTIVATION_SILU;
    head->classes = dimension(find(detection, "head.weight"), 0);
    head->output_bias = find(detection, "head.bias") != NULL;
    return 0;
}

/* ---- Families ------------------------------------------------------------------------------- */

typedef struct Family {
    const char *name;
    MegaSource source;
    const char *mark; /* a tensor that all checkpoints of the family have, and no others */
    int (*detect)(Detection *detection);
} Family;

static const Family families[] = {
    {"fairseq classifier", MEGA_SOURCE_FAIRSEQ, "encoder.encoder.layers.0.mega_layer.move.omega",
     detect_fairseq},
    {"image classifier", MEGA_SOURCE_VISION, "blocks.0.mega_layer.move.omega", detect_vision},
};

/* Prefixes that wrappers such as DataParallel put in front of every name. */
static const char *const prefixes[] = {"", "module.", "model."};
#define PREFIX_COUNT (sizeof prefixes / sizeof prefixes[0])

static int unknown_architecture(Detection *detection)
{
    for (size_t p = 0; p < PREFIX_COUNT; p++) {
        detection->out->prefix = prefixes[p];
        if (find(detection, "decoder.layers.0.mega_layer.move.omega"))
            return mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                             "this is a translation or language model (it has decoder layers); "
                             "only classifiers can be converted yet");
    }
    return mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                     "none of the known MEGA architectures fits the %zu tensors of this "
                     "checkpoint; --list shows them",
                     mega_checkpoint_count(detection->checkpoint));
}

int architecture_detect(Architecture *out, const MegaCheckpoint *checkpoint, const json_t *args,
                        long chunk_size, MegaError *err)
{
    Detection detection = {.out = out, .checkpoint = checkpoint, .args = args,
                           .chunk_size = chunk_size, .err = err};
    const Family *family = NULL;
    *out = (Architecture){.config.task = MEGA_TASK_CLASSIFY};
    for (size_t p = 0; p < PREFIX_COUNT && !family; p++) {
        out->prefix = prefixes[p];
        for (size_t f = 0; f < sizeof families / sizeof families[0] && !family; f++)
            if (find(&detection, families[f].mark))
                family = &families[f];
    }
    if (!family)
        return unknown_architecture(&detection);
    out->source = family->source;
    out->family = family->name;
    int code = family->detect(&detection);
    if (code)
        return code;
    if (detection.missing[0])
        return mega_fail(err, MEGA_ERR_MODEL,
                         "the tensors do not tell everything; give these arguments of the original "
                         "with --config FILE.json: %s",
                         detection.missing);
    return mega_config_check(&out->config, err);
}
