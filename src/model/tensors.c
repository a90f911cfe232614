/*
 * tensors.c - the table of all tensors, and the walk over it. A row has the name of a tensor, its
 * slot, its shape in symbols of the configuration, and the condition under which a model has it.
 * Each kind of layer has a table for one layer (MegaLayerKind.tensors).
 */
#include "src/model/layer_kind.h"

#include <stdio.h>
#include <string.h>

#define AT_WEIGHTS(field) offsetof(MegaWeights, field)
#define AT_LINEAR(field) offsetof(MegaLinearWeights, field)

/* The embedding of a translator's source. The rows below are those of a classifier. */
static const MegaTensorRow source_rows[] = {
    {"embed.weight",
     AT_WEIGHTS(embed.weight),
     {MEGA_DIM_VOCAB, MEGA_DIM_WIDTH},
     MEGA_ALWAYS | MEGA_TENSOR_MATRIX},
};

/* Neighbouring pixels and samples are nearly alike. What the filters of an embedding see is a small
 * difference of large products, so that 4 bits would lose most of what an int4 model loses. */
static const MegaTensorRow embed_rows[] = {
    {"embed.weight",
     AT_WEIGHTS(embed.weight),
     {MEGA_DIM_VOCAB, MEGA_DIM_WIDTH},
     MEGA_IF_TOKENS | MEGA_TENSOR_MATRIX},
    {"embed.weight", AT_WEIGHTS(embed_real), {MEGA_DIM_WIDTH, MEGA_DIM_END}, MEGA_IF_REAL},
    {"embed.bias", AT_WEIGHTS(embed.bias), {MEGA_DIM_WIDTH, MEGA_DIM_END}, MEGA_IF_REAL},
    {"embed.weight",
     AT_WEIGHTS(embed.weight),
     {MEGA_DIM_WIDTH, MEGA_DIM_FRAME},
     MEGA_IF_FRAMES | MEGA_TENSOR_MATRIX | MEGA_TENSOR_FINE},
    {"embed.bias", AT_WEIGHTS(embed.bias), {MEGA_DIM_WIDTH, MEGA_DIM_END}, MEGA_IF_FRAMES},
    {"embed.weight",
     AT_WEIGHTS(embed.weight),
     {MEGA_DIM_WIDTH, MEGA_DIM_PATCH},
     MEGA_IF_PATCHES | MEGA_TENSOR_MATRIX | MEGA_TENSOR_FINE},
    {"embed.bias", AT_WEIGHTS(embed.bias), {MEGA_DIM_WIDTH, MEGA_DIM_END}, MEGA_IF_PATCHES},
    {"embed.positions",
     AT_WEIGHTS(positions),
     {MEGA_DIM_PATCHES, MEGA_DIM_WIDTH},
     MEGA_IF_POSITIONS},
    {"embed.types", AT_WEIGHTS(types), {MEGA_DIM_TYPES, MEGA_DIM_WIDTH}, MEGA_IF_TYPES},
};

/* The decoder's embedding. The names begin with "target.I." for every cluster; a plain table is one
 * cluster. */
#define AT_CLUSTER(field) offsetof(MegaClusterWeights, field)
static const MegaTensorRow cluster_table = {"weight",
                                            AT_CLUSTER(table),
                                            {MEGA_DIM_CLUSTER, MEGA_DIM_CLUSTER_IN},
                                            MEGA_ALWAYS | MEGA_TENSOR_MATRIX};
static const MegaTensorRow cluster_projection = {"projection.weight",
                                                 AT_CLUSTER(projection),
                                                 {MEGA_DIM_WIDTH, MEGA_DIM_CLUSTER_IN},
                                                 MEGA_ALWAYS | MEGA_TENSOR_MATRIX};

/* The decoder's output. The names begin with "output.I.": it is a matrix, or an adaptive softmax
 * whose clusters after the first are its tails. Projections that are tied to those of the embedding
 * stay float32, because every product that shares them uses float32. */
static const MegaTensorRow output_table = {"weight",
                                           AT_CLUSTER(table),
                                           {MEGA_DIM_CLUSTER, MEGA_DIM_CLUSTER_OUT},
                                           MEGA_ALWAYS | MEGA_TENSOR_MATRIX};
static const MegaTensorRow output_projection = {"projection.weight",
                                                AT_CLUSTER(projection),
                                                {MEGA_DIM_CLUSTER_OUT, MEGA_DIM_OUTPUT_WIDTH},
                                                MEGA_ALWAYS | MEGA_TENSOR_MATRIX};
static const MegaTensorRow exact_projection = {"projection.weight",
                                               AT_CLUSTER(projection),
                                               {MEGA_DIM_CLUSTER_OUT, MEGA_DIM_OUTPUT_WIDTH},
                                               MEGA_ALWAYS | MEGA_TENSOR_MATRIX |
                                                   MEGA_TENSOR_EXACT};
static const MegaTensorRow joint_head = {"weight",
                                         AT_CLUSTER(table),
                                         {MEGA_DIM_HEAD_ROWS, MEGA_DIM_CLUSTER_OUT},
                                         MEGA_ALWAYS | MEGA_TENSOR_MATRIX};
static const MegaTensorRow cluster_logits = {"output.slots.weight",
                                             offsetof(MegaOutputWeights, cluster_logits),
                                             {MEGA_DIM_CLUSTER_LOGITS, MEGA_DIM_OUTPUT_WIDTH},
                                             MEGA_TENSOR_MATRIX};
static const MegaTensorRow whole_projection = {"output.projection.weight",
                                               offsetof(MegaOutputWeights, projection),
                                               {MEGA_DIM_OUTPUT_WIDTH, MEGA_DIM_WIDTH},
                                               MEGA_TENSOR_MATRIX};

/* The learned positions that an embedding adds. */
static const MegaTensorRow source_positions = {
    "embed.positions", AT_WEIGHTS(positions), {MEGA_DIM_POSITIONS, MEGA_DIM_WIDTH}, MEGA_ALWAYS};
static const MegaTensorRow target_positions = {"target.positions",
                                               AT_WEIGHTS(target_positions),
                                               {MEGA_DIM_POSITIONS, MEGA_DIM_WIDTH},
                                               MEGA_ALWAYS};

/* The tensors of a decoder that has types of tokens, or a dense layer and a bias around its plain
 * output table. */
static const MegaTensorRow target_types = {"target.types",
                                           AT_WEIGHTS(target_types),
                                           {MEGA_DIM_TARGET_TYPES, MEGA_DIM_WIDTH},
                                           MEGA_IF_TARGET_TYPES};
static const MegaTensorRow dense_rows[] = {
    {"output.dense.weight",
     offsetof(MegaOutputWeights, dense.weight),
     {MEGA_DIM_WIDTH, MEGA_DIM_WIDTH},
     MEGA_IF_TARGET_DENSE | MEGA_TENSOR_MATRIX},
    {"output.dense.bias",
     offsetof(MegaOutputWeights, dense.bias),
     {MEGA_DIM_WIDTH, MEGA_DIM_END},
     MEGA_IF_TARGET_DENSE},
    {"output.bias",
     offsetof(MegaOutputWeights, bias),
     {MEGA_DIM_TARGET_VOCAB, MEGA_DIM_END},
     MEGA_IF_TARGET_BIAS},
};

static const MegaTensorRow projection_rows[] = {
    {"head.projection.weight",
     AT_WEIGHTS(head_projection.weight),
     {MEGA_DIM_WIDTH, MEGA_DIM_WIDTH},
     MEGA_IF_PROJECTION | MEGA_TENSOR_MATRIX},
    {"head.projection.bias",
     AT_WEIGHTS(head_projection.bias),
     {MEGA_DIM_WIDTH, MEGA_DIM_END},
     MEGA_IF_PROJECTION},
};

/* The names begin with "head.layer.I.". */
static const MegaTensorRow head_layer_rows[] = {
    {"weight",
     AT_LINEAR(weight),
     {MEGA_DIM_HEAD, MEGA_DIM_HEAD_IN},
     MEGA_ALWAYS | MEGA_TENSOR_MATRIX},
    {"bias", AT_LINEAR(bias), {MEGA_DIM_HEAD, MEGA_DIM_END}, MEGA_ALWAYS},
};

static const MegaTensorRow output_rows[] = {
    {"head.output.weight",
     AT_WEIGHTS(head_output.weight),
     {MEGA_DIM_CLASSES, MEGA_DIM_LAST},
     MEGA_IF_CLASSES | MEGA_TENSOR_MATRIX},
    {"head.output.bias",
     AT_WEIGHTS(head_output.bias),
     {MEGA_DIM_CLASSES, MEGA_DIM_END},
     MEGA_IF_OUTPUT_BIAS},
};

/* The state of a walk over the tensors. */
typedef struct Walk {
    const MegaConfig *config;
    MegaTensorVisit visit;
    void *context;
    MegaError *err;
    const MegaStackConfig *stack; /* the stack whose dimensions are used */
    int head_layer;               /* the hidden head layer whose input MEGA_DIM_HEAD_IN is */
    const MegaClusters *clusters; /* the clusters of the target's input or output */
    int cluster;                  /* the cluster whose dimensions MEGA_DIM_CLUSTER... are */
} Walk;

static bool applies(const Walk *walk, unsigned when)
{
    const MegaConfig *config = walk->config;
    const unsigned condition = when & MEGA_TENSOR_CONDITION;
    if (condition >= MEGA_IF_OWN)
        return mega_stack_kind(walk->stack)->applies(walk->stack, condition);
    switch ((MegaTensorWhen)condition) {
    case MEGA_ALWAYS: return true;
    case MEGA_IF_TOKENS: return config->embed.kind == MEGA_EMBED_TOKENS;
    case MEGA_IF_REAL: return config->embed.kind == MEGA_EMBED_REAL;
    case MEGA_IF_FRAMES: return config->embed.kind == MEGA_EMBED_FRAMES;
    case MEGA_IF_PATCHES: return config->embed.kind == MEGA_EMBED_PATCHES;
    case MEGA_IF_POSITIONS:
        return config->embed.kind == MEGA_EMBED_PATCHES && config->embed.positions;
    case MEGA_IF_FFN: return walk->stack->ffn > 0;
    case MEGA_IF_PROJECTION: return config->head.projection;
    case MEGA_IF_OUTPUT_BIAS: return config->head.output_bias;
    case MEGA_IF_CLASSES: return config->head.classes > 0;
    case MEGA_IF_TYPES: return config->embed.types > 0;
    case MEGA_IF_TARGET_TYPES: return config->target.types > 0;
    case MEGA_IF_TARGET_DENSE: return config->target.output_dense;
    case MEGA_IF_TARGET_BIAS: return config->target.output_bias;
    case MEGA_IF_OWN: break;
    }
    return false;
}

/* Returns the value of a dimension. The caps of config.h keep it far within 64 bits. */
static uint64_t dim_value(const Walk *walk, unsigned dim)
{
    const MegaStackConfig *stack = walk->stack;
    const MegaEmbedConfig *embed = &walk->config->embed;
    const MegaHeadConfig *head = &walk->config->head;
    const MegaClusters *clusters = walk->clusters;
    uint64_t d = (uint64_t)stack->width, pooled = mega_pooled_width(head, d);
    if (dim >= MEGA_DIM_OWN)
        return mega_stack_kind(stack)->dimension(walk->config, stack, dim);
    switch ((MegaDim)dim) {
    case MEGA_DIM_END:
    case MEGA_DIM_ONE: return 1;
    case MEGA_DIM_TWO: return 2;
    case MEGA_DIM_WIDTH: return d;
    case MEGA_DIM_FFN: return (uint64_t)stack->ffn;
    case MEGA_DIM_POSITIONS: return (uint64_t)stack->max_positions;
    case MEGA_DIM_VOCAB: return (uint64_t)embed->vocab;
    case MEGA_DIM_TYPES: return (uint64_t)embed->types;
    case MEGA_DIM_TARGET_VOCAB: return (uint64_t)walk->config->target.vocab;
    case MEGA_DIM_TARGET_TYPES: return (uint64_t)walk->config->target.types;
    case MEGA_DIM_FRAME: return (uint64_t)embed->frame_length;
    case MEGA_DIM_PATCH: return mega_embed_fan_in(embed);
    case MEGA_DIM_PATCHES: return mega_image_patches(embed);
    case MEGA_DIM_POOLED: return pooled;
    case MEGA_DIM_HEAD: return (uint64_t)head->width;
    case MEGA_DIM_HEAD_IN: return walk->head_layer == 0 ? pooled : (uint64_t)head->width;
    case MEGA_DIM_LAST: return head->layers > 0 ? (uint64_t)head->width : pooled;
    case MEGA_DIM_CLASSES: return (uint64_t)head->classes;
    case MEGA_DIM_CLUSTER: return (uint64_t)mega_cluster_size(clusters, walk->cluster);
    case MEGA_DIM_CLUSTER_IN:
    case MEGA_DIM_CLUSTER_OUT: return (uint64_t)clusters->width[walk->cluster];
    case MEGA_DIM_HEAD_ROWS: return (uint64_t)clusters->end[0] + (uint64_t)clusters->count - 1;
    case MEGA_DIM_CLUSTER_LOGITS: return (uint64_t)clusters->count - 1;
    case MEGA_DIM_OUTPUT_WIDTH: return (uint64_t)mega_output_width(walk->config);
    case MEGA_DIM_OWN: break;
    }
    return 0;
}

/* Visits one tensor, if the model has it. The name is prefix + row->name; base is the struct that
 * the row's offset refers to, or NULL. */
static int emit(const Walk *walk, const char *prefix, const MegaTensorRow *row, void *base)
{
    if (!applies(walk, row->when))
        return 0;
    MegaTensorSpec spec = {.elements = 1,
                           .matrix = row->when & MEGA_TENSOR_MATRIX,
                           .exact = row->when & MEGA_TENSOR_EXACT,
                           .fine = row->when & MEGA_TENSOR_FINE,
                           .kept = row->when & MEGA_TENSOR_KEPT,
                           .integer = row->when & MEGA_TENSOR_INTEGER};
    void *slot = base ? (char *)base + row->offset : NULL;
    snprintf(spec.name, sizeof spec.name, "%s%s", prefix, row->name);
    for (int i = 0; i < 4 && row->shape[i] != MEGA_DIM_END; i++) {
        spec.shape[spec.rank++] = dim_value(walk, row->shape[i]);
        spec.elements *= spec.shape[i];
    }
    if (spec.matrix)
        spec.packed = slot;
    else
        spec.slot = slot;
    return walk->visit(walk->context, &spec, walk->err);
}

static int emit_rows(const Walk *walk, const char *prefix, const MegaTensorRow *rows, size_t count,
                     void *base)
{
    int code = 0;
    for (size_t i = 0; i < count && !code; i++)
        code = emit(walk, prefix, &rows[i], base);
    return code;
}

#define EMIT_ROWS(walk, prefix, rows, base)                                                        \
    emit_rows(walk, prefix, rows, sizeof(rows) / sizeof(rows)[0], base)

/* Visits the tensors of a norm, which depend on its kind (MODEL.md, "Norms"). */
static int emit_norm(const Walk *walk, const char *prefix, bool affine, MegaNormWeights *base)
{
    static const MegaTensorRow weight = {
        "weight", offsetof(MegaNormWeights, weight), {MEGA_DIM_WIDTH, MEGA_DIM_END}, MEGA_ALWAYS};
    static const MegaTensorRow scalar = {
        "scalar", offsetof(MegaNormWeights, weight), {MEGA_DIM_ONE, MEGA_DIM_END}, MEGA_ALWAYS};
    static const MegaTensorRow shift = {
        "shift", offsetof(MegaNormWeights, bias), {MEGA_DIM_ONE, MEGA_DIM_END}, MEGA_ALWAYS};
    static const MegaTensorRow bias = {
        "bias", offsetof(MegaNormWeights, bias), {MEGA_DIM_WIDTH, MEGA_DIM_END}, MEGA_ALWAYS};
    static const MegaTensorRow statistics[] = {{"running_mean",
                                                offsetof(MegaNormWeights, mean),
                                                {MEGA_DIM_WIDTH, MEGA_DIM_END},
                                                MEGA_ALWAYS},
                                               {"running_var",
                                                offsetof(MegaNormWeights, variance),
                                                {MEGA_DIM_WIDTH, MEGA_DIM_END},
                                                MEGA_ALWAYS}};
    MegaNormKind kind = walk->stack->norm;
    int code = 0;
    if (kind == MEGA_NORM_NONE)
        return 0;
    if (kind == MEGA_NORM_SCALARS) {
        code = emit(walk, prefix, &scalar, base);
        return code ? code : emit(walk, prefix, &shift, base);
    }
    if (affine)
        code = emit(walk, prefix, kind == MEGA_NORM_SCALE ? &scalar : &weight, base);
    if (affine && !code && (kind == MEGA_NORM_LAYER || kind == MEGA_NORM_BATCH))
        code = emit(walk, prefix, &bias, base);
    if (!code && kind == MEGA_NORM_BATCH)
        code = EMIT_ROWS(walk, prefix, statistics, base);
    return code;
}

/* Visits the tensors of one layer. `name` is the layer's, with a final dot; `layer` is its weights
 * in the struct of its kind, or NULL. */
static int emit_layer(const Walk *walk, const char *name, void *layer)
{
    const MegaStackConfig *stack = walk->stack;
    bool cross = mega_config_has_cross(walk->config) && stack == &walk->config->decoder;
    int code = 0;
    for (const MegaTensorRow *row = mega_stack_kind(stack)->tensors; row->name && !code; row++) {
        char norm[96];
        if ((row->when & MEGA_TENSOR_CROSS && !cross) || !applies(walk, row->when))
            continue;
        if (!(row->when & MEGA_TENSOR_NORM)) {
            code = emit(walk, name, row, layer);
            continue;
        }
        snprintf(norm, sizeof norm, "%s%s", name, row->name);
        code = emit_norm(walk, norm, stack->norm_affine,
                         layer ? (void *)((char *)layer + row->offset) : NULL);
    }
    return code;
}

/* Visits all layers of the walk's stack and its final norm. */
static int emit_stack(const Walk *walk, const char *name, void *layers, MegaNormWeights *final_norm)
{
    const MegaStackConfig *stack = walk->stack;
    char part[48];
    int code = 0;
    for (int i = 0; i < (stack->tied_layers ? 1 : stack->layers) && !code; i++) {
        snprintf(part, sizeof part, "%s.layer.%d.", name, i);
        code = emit_layer(walk, part,
                          layers ? (char *)layers + (size_t)i * mega_stack_kind(stack)->weights_size
                                 : NULL);
    }
    if (!code && stack->final_norm) {
        snprintf(part, sizeof part, "%s.final_norm.", name);
        code = emit_norm(walk, part, stack->final_norm_affine, final_norm);
    }
    return code;
}

static int emit_encoder(Walk *walk, MegaWeights *weights)
{
    walk->stack = &walk->config->encoder;
    int code = mega_config_has_cross(walk->config) ? EMIT_ROWS(walk, "", source_rows, weights)
                                                   : EMIT_ROWS(walk, "", embed_rows, weights);
    if (!code && walk->stack->positions == MEGA_POSITIONS_LEARNED)
        code = emit(walk, "", &source_positions, weights);
    if (!code && walk->stack->embed_norm)
        code = emit_norm(walk, "embed.norm.", walk->stack->norm_affine,
                         weights ? &weights->embed_norm : NULL);
    return code ? code
                : emit_stack(walk, "encoder", weights ? weights->layers : NULL,
                             weights ? &weights->final_norm : NULL);
}

static int emit_target(Walk *walk, MegaWeights *weights)
{
    const MegaTargetConfig *target = &walk->config->target;
    char name[32];
    int code = 0;
    walk->clusters = &target->input;
    for (walk->cluster = 0; walk->cluster < target->input.count && !code; walk->cluster++) {
        MegaClusterWeights *cluster = weights ? &weights->target[walk->cluster] : NULL;
        snprintf(name, sizeof name, "target.%d.", walk->cluster);
        code = emit(walk, name, &cluster_table, cluster);
        if (!code && target->input_projection)
            code = emit(walk, name, &cluster_projection, cluster);
    }
    if (!code)
        code = emit(walk, "", &target_types, weights);
    if (!code && walk->stack->positions == MEGA_POSITIONS_LEARNED)
        code = emit(walk, "", &target_positions, weights);
    if (!code && walk->stack->embed_norm)
        code = emit_norm(walk, "target.norm.", walk->stack->norm_affine,
                         weights ? &weights->target_norm : NULL);
    return code;
}

/* Visits the output: the first cluster, the logits of clusters, then the tails. */
static int emit_output(Walk *walk, MegaOutputWeights *output)
{
    const MegaTargetConfig *target = &walk->config->target;
    const MegaTensorRow *tail_projection =
        target->tied_projections ? &exact_projection : &output_projection;
    MegaClusterWeights *head = output ? &output->clusters[0] : NULL;
    bool joint = target->adaptive_output && !target->split_head;
    char name[32];
    walk->clusters = &target->output;
    walk->cluster = 0;
    int code = target->output_width > 0 ? emit(walk, "", &whole_projection, output) : 0;
    if (!code)
        code = emit(walk, "output.0.", joint ? &joint_head : &output_table, head);
    if (!code && target->output_projection)
        code = emit(walk, "output.0.", &output_projection, head);
    if (!code)
        code = EMIT_ROWS(walk, "", dense_rows, output);
    if (!code && target->adaptive_output && target->split_head && target->output.count > 1)
        code = emit(walk, "", &cluster_logits, output);
    for (walk->cluster = 1; walk->cluster < target->output.count && !code; walk->cluster++) {
        MegaClusterWeights *cluster = output ? &output->clusters[walk->cluster] : NULL;
        snprintf(name, sizeof name, "output.%d.", walk->cluster);
        code = emit(walk, name, tail_projection, cluster);
        if (!code)
            code = emit(walk, name, &output_table, cluster);
    }
    return code;
}

static int emit_decoder(Walk *walk, MegaWeights *weights)
{
    walk->stack = &walk->config->decoder;
    int code = emit_target(walk, weights);
    if (!code)
        code = emit_stack(walk, "decoder", weights ? weights->decoder_layers : NULL,
                          weights ? &weights->decoder_final_norm : NULL);
    return code ? code : emit_output(walk, weights ? &weights->output : NULL);
}

static int emit_head(Walk *walk, MegaWeights *weights)
{
    int code = EMIT_ROWS(walk, "", projection_rows, weights);
    for (int i = 0; i < walk->config->head.layers && !code; i++) {
        char name[32];
        snprintf(name, sizeof name, "head.layer.%d.", i);
        walk->head_layer = i;
        code = EMIT_ROWS(walk, name, head_layer_rows, weights ? &weights->head_layers[i] : NULL);
    }
    if (!code)
        code = EMIT_ROWS(walk, "", output_rows, weights);
    return code;
}

int mega_tensors_each(const MegaConfig *config, MegaWeights *weights, MegaTensorVisit visit,
                      void *context, MegaError *err)
{
    Walk walk = {.config = config, .visit = visit, .context = context, .err = err};
    int code = 0;
    if (mega_config_has_encoder(config))
        code = emit_encoder(&walk, weights);
    if (!code && mega_config_has_head(config))
        code = emit_head(&walk, weights);
    if (!code && mega_config_has_decoder(config))
        code = emit_decoder(&walk, weights);
    return code;
}
