/*
 * tensors.c - the table of all tensors. A row says where a tensor is bound, what it is called here
 * and in the original, its shape in symbols of the configuration, and when it is there.
 *
 * The image code of the original uses "alpha" and "delta" of the EMA in swapped roles (spec section
 * 1); the source names of the vision family undo that, so that the engine knows one meaning only.
 */
#include "src/model/tensors.h"

#include <stdio.h>
#include <string.h>

/* Dimensions in symbols. */
typedef enum Dim {
    END, /* no further dimension */
    ONE,
    TWO,
    D,       /* width */
    H,       /* hidden */
    Z,       /* zdim */
    N,       /* ndim */
    K,       /* rows of the EMA parameters */
    MX,      /* d + z + h + d */
    F,       /* ffn */
    BIAS,    /* 2 M - 1 */
    VOCAB,
    FRAME,   /* frame_length */
    PATCH,   /* channels * patch * patch */
    PATCHES, /* number of patches */
    POOLED,  /* d, or 2 d of a pair */
    HEAD,    /* width of the hidden head layers */
    HEAD_IN, /* POOLED for the first of them, HEAD for the others */
    LAST,    /* width of what the output layer sees */
    CLASSES,
    Q,         /* d + d + z of cross attention */
    CROSS,     /* 2 M - 1 of cross attention */
    BAND,      /* ids of a band of the target vocabulary */
    BAND_IN,   /* width of a band's embedding */
    BAND_OUT,  /* width of a band's output table */
    HEAD_ROWS, /* ids of the first output band, and a slot for every other one */
    SLOTS,     /* output bands after the first */
} Dim;

/* Conditions. */
typedef enum When {
    ALWAYS,
    IF_TOKENS,
    IF_REAL,
    IF_FRAMES,
    IF_PATCHES,
    IF_POSITIONS,
    IF_FFN,
    IF_SIMPLE,
    IF_ROTARY,
    IF_PROJECTION,
    IF_OUTPUT_BIAS,
} When;

/* Flags beside a condition. */
#define MATRIX 0x100u /* kept as panels: the slot is a MegaPacked */
#define PARTS 0x300u  /* a matrix of three, cut behind D and Z rows */
#define CONDITION 0xffu

typedef struct Row {
    const char *name;
    const char *source[2]; /* by MegaSource; NULL: that family has no such tensor */
    size_t offset;         /* of the slot, in the struct that the table is for */
    Dim shape[2];
    unsigned when; /* a When, and flags */
} Row;

#define AT_WEIGHTS(field) offsetof(MegaWeights, field)
#define AT_LAYER(field) offsetof(MegaLayerWeights, field)
#define AT_LINEAR(field) offsetof(MegaLinearWeights, field)

/* Tokens of a translator; the others are classifiers'. */
static const Row source_rows[] = {
    {"embed.weight", {"encoder.embed_tokens.weight", NULL}, AT_WEIGHTS(embed.weight),
     {VOCAB, D}, ALWAYS | MATRIX},
};

static const Row embed_rows[] = {
    {"embed.weight", {"encoder.encoder.embed_tokens.embed.weight", NULL}, AT_WEIGHTS(embed.weight),
     {VOCAB, D}, IF_TOKENS | MATRIX},
    {"embed.weight", {"encoder.encoder.embed_tokens.weight", NULL}, AT_WEIGHTS(embed_real),
     {D, END}, IF_REAL},
    {"embed.bias", {"encoder.encoder.embed_tokens.bias", NULL}, AT_WEIGHTS(embed.bias),
     {D, END}, IF_REAL},
    {"embed.weight", {"encoder.encoder.embed_tokens.weight", NULL}, AT_WEIGHTS(embed.weight),
     {D, FRAME}, IF_FRAMES | MATRIX},
    {"embed.bias", {"encoder.encoder.embed_tokens.bias", NULL}, AT_WEIGHTS(embed.bias),
     {D, END}, IF_FRAMES},
    {"embed.weight", {NULL, "patch_embed.pemb.proj.weight"}, AT_WEIGHTS(embed.weight),
     {D, PATCH}, IF_PATCHES | MATRIX},
    {"embed.bias", {NULL, "patch_embed.pemb.proj.bias"}, AT_WEIGHTS(embed.bias),
     {D, END}, IF_PATCHES},
    {"embed.positions", {NULL, "pos_embed"}, AT_WEIGHTS(positions), {PATCHES, D}, IF_POSITIONS},
};

/* Prefixed with "encoder.layer.I." / "encoder.encoder.layers.I." / "blocks.I." and so on. */
#define SAME(text) {text, text}
static const Row layer_rows[] = {
    {"ema.delta", {"mega_layer.move.delta", "mega_layer.move.alpha"}, AT_LAYER(ema.delta),
     {K, N}, ALWAYS},
    {"ema.alpha", {"mega_layer.move.alpha", "mega_layer.move.delta"}, AT_LAYER(ema.alpha),
     {K, N}, ALWAYS},
    {"ema.beta", SAME("mega_layer.move.beta"), AT_LAYER(ema.beta), {K, N}, ALWAYS},
    {"ema.gamma", SAME("mega_layer.move.gamma"), AT_LAYER(ema.gamma), {K, N}, ALWAYS},
    {"ema.omega", SAME("mega_layer.move.omega"), AT_LAYER(ema.omega), {D, END}, ALWAYS},
    {"v.weight", SAME("mega_layer.v_proj.weight"), AT_LAYER(v.weight), {H, D}, ALWAYS | MATRIX},
    {"v.bias", SAME("mega_layer.v_proj.bias"), AT_LAYER(v.bias), {H, END}, ALWAYS},
    {"mx.weight", SAME("mega_layer.mx_proj.weight"), AT_LAYER(mx.u), {MX, D}, ALWAYS | PARTS},
    {"mx.bias", SAME("mega_layer.mx_proj.bias"), AT_LAYER(mx.bias), {MX, END}, ALWAYS},
    {"h.weight", SAME("mega_layer.h_proj.weight"), AT_LAYER(h.weight), {D, H}, ALWAYS | MATRIX},
    {"h.bias", SAME("mega_layer.h_proj.bias"), AT_LAYER(h.bias), {D, END}, ALWAYS},
    {"gamma", SAME("mega_layer.gamma"), AT_LAYER(gamma), {TWO, Z}, ALWAYS},
    {"beta", SAME("mega_layer.beta"), AT_LAYER(beta), {TWO, Z}, ALWAYS},
    {"bias", SAME("mega_layer.rel_pos_bias.rel_pos_bias"), AT_LAYER(bias), {BIAS, END}, IF_SIMPLE},
    {"rotary.alpha", SAME("mega_layer.rel_pos_bias.alpha"), AT_LAYER(rotary_alpha),
     {Z, END}, IF_ROTARY},
    {"rotary.beta", SAME("mega_layer.rel_pos_bias.beta"), AT_LAYER(rotary_beta),
     {Z, END}, IF_ROTARY},
    {"ffn.fc1.weight", SAME("nffn.fc1.weight"), AT_LAYER(fc1.weight), {F, D}, IF_FFN | MATRIX},
    {"ffn.fc1.bias", SAME("nffn.fc1.bias"), AT_LAYER(fc1.bias), {F, END}, IF_FFN},
    {"ffn.fc2.weight", SAME("nffn.fc2.weight"), AT_LAYER(fc2.weight), {D, F}, IF_FFN | MATRIX},
    {"ffn.fc2.bias", SAME("nffn.fc2.bias"), AT_LAYER(fc2.bias), {D, END}, IF_FFN},
};

/* Prefixed with "decoder.layer.I.cross." / "decoder.layers.I.cross_attn.". */
#define AT_CROSS(field) offsetof(MegaCrossWeights, field)
static const Row cross_rows[] = {
    {"q.weight", {"q_proj.weight", NULL}, AT_CROSS(q.weight), {Q, D}, ALWAYS | MATRIX},
    {"q.bias", {"q_proj.bias", NULL}, AT_CROSS(q.bias), {Q, END}, ALWAYS},
    {"k.weight", {"k_proj.weight", NULL}, AT_CROSS(k.weight), {Z, D}, ALWAYS | MATRIX},
    {"k.bias", {"k_proj.bias", NULL}, AT_CROSS(k.bias), {Z, END}, ALWAYS},
    {"v.weight", {"v_proj.weight", NULL}, AT_CROSS(v.weight), {D, D}, ALWAYS | MATRIX},
    {"v.bias", {"v_proj.bias", NULL}, AT_CROSS(v.bias), {D, END}, ALWAYS},
    {"h.weight", {"h_proj.weight", NULL}, AT_CROSS(h.weight), {D, D}, ALWAYS | MATRIX},
    {"h.bias", {"h_proj.bias", NULL}, AT_CROSS(h.bias), {D, END}, ALWAYS},
    {"bias", {"rel_pos_bias.rel_pos_bias", NULL}, AT_CROSS(bias), {CROSS, END}, IF_SIMPLE},
    {"rotary.alpha", {"rel_pos_bias.alpha", NULL}, AT_CROSS(rotary_alpha), {Z, END}, IF_ROTARY},
    {"rotary.beta", {"rel_pos_bias.beta", NULL}, AT_CROSS(rotary_beta), {Z, END}, IF_ROTARY},
};

/* The decoder's embedding, a band each: "target.I." / "decoder.embed_tokens.embeddings.I.", or of a
 * plain table "target.0." / "decoder.". */
#define AT_BAND(field) offsetof(MegaBandWeights, field)
static const Row plain_table = {"weight", {"embed_tokens.weight", NULL}, AT_BAND(table),
                                {BAND, BAND_IN}, ALWAYS | MATRIX};
static const Row plain_projection = {"projection.weight", {"project_in_dim.weight", NULL},
                                     AT_BAND(projection), {D, BAND_IN}, ALWAYS | MATRIX};
static const Row band_rows[] = {
    {"weight", {"0.weight", NULL}, AT_BAND(table), {BAND, BAND_IN}, ALWAYS | MATRIX},
    {"projection.weight", {"1.weight", NULL}, AT_BAND(projection), {D, BAND_IN}, ALWAYS | MATRIX},
};

/* The decoder's output: a matrix, or an adaptive softmax whose tails are prefixed with
 * "output.I." / "decoder.adaptive_softmax.tail.(I-1).". */
static const Row output_table = {"output.0.weight", {"decoder.output_projection.weight", NULL},
                                 AT_BAND(table), {BAND, BAND_OUT}, ALWAYS | MATRIX};
static const Row output_projection = {"output.0.projection.weight",
                                      {"decoder.project_out_dim.weight", NULL},
                                      AT_BAND(projection), {BAND_OUT, D}, ALWAYS | MATRIX};
static const Row joint_head = {"output.0.weight", {"decoder.adaptive_softmax.head.weight", NULL},
                               AT_BAND(table), {HEAD_ROWS, BAND_OUT}, ALWAYS | MATRIX};
static const Row split_head = {"output.0.weight",
                               {"decoder.adaptive_softmax.head.word_proj.weight", NULL},
                               AT_BAND(table), {BAND, BAND_OUT}, ALWAYS | MATRIX};
static const Row projected_head[] = {
    {"output.0.projection.weight", {"decoder.adaptive_softmax.head.word_proj.0.weight", NULL},
     AT_BAND(projection), {BAND_OUT, D}, ALWAYS | MATRIX},
    {"output.0.weight", {"decoder.adaptive_softmax.head.word_proj.1.weight", NULL},
     AT_BAND(table), {BAND, BAND_OUT}, ALWAYS | MATRIX},
};
static const Row slots = {"output.slots.weight",
                          {"decoder.adaptive_softmax.head.class_proj.weight", NULL},
                          offsetof(MegaOutputWeights, slots), {SLOTS, D}, ALWAYS | MATRIX};
static const Row tail_projection = {"projection.weight", {"0.weight", NULL}, AT_BAND(projection),
                                    {BAND_OUT, D}, ALWAYS | MATRIX};
static const Row transposed_projection = {"projection.weight", {"0.weight", NULL},
                                          AT_BAND(transposed), {D, BAND_OUT}, ALWAYS};
static const Row tail_table = {"weight", {"2.weight", NULL}, AT_BAND(table),
                               {BAND, BAND_OUT}, ALWAYS | MATRIX};

static const Row projection_rows[] = {
    {"head.projection.weight", {NULL, "out_proj.fc.weight"}, AT_WEIGHTS(head_projection.weight),
     {D, D}, IF_PROJECTION | MATRIX},
    {"head.projection.bias", {NULL, "out_proj.fc.bias"}, AT_WEIGHTS(head_projection.bias),
     {D, END}, IF_PROJECTION},
};

/* Prefixed with "head.layer.I." / "classifier.I.0." / "pre_logits.fc.". */
static const Row head_layer_rows[] = {
    {"weight", SAME("weight"), AT_LINEAR(weight), {HEAD, HEAD_IN}, ALWAYS | MATRIX},
    {"bias", SAME("bias"), AT_LINEAR(bias), {HEAD, END}, ALWAYS},
};

static const Row output_rows[] = {
    {"head.output.weight", {"sentence_projection_layer.weight", "head.weight"},
     AT_WEIGHTS(head_output.weight), {CLASSES, LAST}, ALWAYS | MATRIX},
    {"head.output.bias", {"sentence_projection_layer.bias", "head.bias"},
     AT_WEIGHTS(head_output.bias), {CLASSES, END}, IF_OUTPUT_BIAS},
};

/* One walk: what all steps share. */
typedef struct Walk {
    const MegaConfig *config;
    MegaSource source;
    MegaBindVisit visit;
    void *context;
    MegaError *err;
    const MegaStackConfig *stack; /* whose D, H, Z ... */
    int head_layer;               /* the hidden head layer that HEAD_IN is for */
    const MegaBands *bands;       /* of the target, and which of them BAND is */
    int band;
} Walk;

static bool applies(const Walk *walk, unsigned when)
{
    const MegaConfig *config = walk->config;
    switch ((When)(when & CONDITION)) {
    case ALWAYS: return true;
    case IF_TOKENS: return config->embed.kind == MEGA_EMBED_TOKENS;
    case IF_REAL: return config->embed.kind == MEGA_EMBED_REAL;
    case IF_FRAMES: return config->embed.kind == MEGA_EMBED_FRAMES;
    case IF_PATCHES: return config->embed.kind == MEGA_EMBED_PATCHES;
    case IF_POSITIONS: return config->embed.kind == MEGA_EMBED_PATCHES && config->embed.positions;
    case IF_FFN: return walk->stack->ffn > 0;
    case IF_SIMPLE: return walk->stack->bias == MEGA_BIAS_SIMPLE;
    case IF_ROTARY: return walk->stack->bias == MEGA_BIAS_ROTARY;
    case IF_PROJECTION: return config->head.projection;
    case IF_OUTPUT_BIAS: return config->head.output_bias;
    }
    return false;
}

/* The caps of config.c keep every value far inside 64 bits. */
static uint64_t dim_value(const Walk *walk, Dim dim)
{
    const MegaStackConfig *stack = walk->stack;
    const MegaEmbedConfig *embed = &walk->config->embed;
    const MegaHeadConfig *head = &walk->config->head;
    const MegaBands *bands = walk->bands;
    uint64_t d = (uint64_t)stack->width, pooled = head->pair ? 2 * d : d;
    switch (dim) {
    case END:
    case ONE: return 1;
    case TWO: return 2;
    case D: return d;
    case H: return (uint64_t)stack->hidden;
    case Z: return (uint64_t)stack->zdim;
    case N: return (uint64_t)stack->ndim;
    case K: return (uint64_t)mega_ema_channels(stack);
    case MX: return 2 * d + (uint64_t)stack->zdim + (uint64_t)stack->hidden;
    case F: return (uint64_t)stack->ffn;
    case BIAS: return 2 * (uint64_t)mega_bias_positions(stack) - 1;
    case VOCAB: return (uint64_t)embed->vocab;
    case FRAME: return (uint64_t)embed->frame_length;
    case PATCH: return mega_embed_fan_in(embed);
    case PATCHES: return mega_image_patches(embed);
    case POOLED: return pooled;
    case HEAD: return (uint64_t)head->width;
    case HEAD_IN: return walk->head_layer == 0 ? pooled : (uint64_t)head->width;
    case LAST: return head->layers > 0 ? (uint64_t)head->width : pooled;
    case CLASSES: return (uint64_t)head->classes;
    case Q: return 2 * d + (uint64_t)stack->zdim;
    case CROSS: return 2 * (uint64_t)walk->config->target.cross_positions - 1;
    case BAND: return (uint64_t)mega_band_size(bands, walk->band);
    case BAND_IN:
    case BAND_OUT: return (uint64_t)bands->width[walk->band];
    case HEAD_ROWS: return (uint64_t)bands->end[0] + (uint64_t)bands->count - 1;
    case SLOTS: return (uint64_t)bands->count - 1;
    }
    return 0;
}

/* Slot and cut of a matrix. */
static void place_matrix(const Walk *walk, const Row *row, void *base, MegaTensorSpec *spec)
{
    uint64_t d = (uint64_t)walk->stack->width, z = (uint64_t)walk->stack->zdim;
    spec->matrix = true;
    spec->part_count = 1;
    spec->part_rows[0] = spec->shape[0];
    if ((row->when & PARTS) == PARTS) {
        spec->part_count = 3;
        spec->part_rows[0] = d;
        spec->part_rows[1] = z;
        spec->part_rows[2] = spec->shape[0] - d - z;
    }
    if (base)
        spec->parts = (MegaPacked *)(void *)((char *)base + row->offset);
}

static int emit(const Walk *walk, const char *name_prefix, const char *source_prefix,
                const Row *row, void *base)
{
    if (!applies(walk, row->when))
        return 0;
    MegaTensorSpec spec = {.elements = 1};
    snprintf(spec.name, sizeof spec.name, "%s%s", name_prefix, row->name);
    if (row->source[walk->source])
        snprintf(spec.source, sizeof spec.source, "%s%s", source_prefix, row->source[walk->source]);
    for (int i = 0; i < 2 && row->shape[i] != END; i++) {
        spec.shape[spec.rank++] = dim_value(walk, row->shape[i]);
        spec.elements *= spec.shape[i];
    }
    if (row->when & MATRIX)
        place_matrix(walk, row, base, &spec);
    else if (base)
        spec.slot = (const float **)(void *)((char *)base + row->offset);
    return walk->visit(walk->context, &spec, walk->err);
}

static int emit_rows(const Walk *walk, const char *name_prefix, const char *source_prefix,
                     const Row *rows, size_t count, void *base)
{
    int code = 0;
    for (size_t i = 0; i < count && !code; i++)
        code = emit(walk, name_prefix, source_prefix, &rows[i], base);
    return code;
}

#define EMIT_ROWS(walk, name, source, rows, base)                                                  \
    emit_rows(walk, name, source, rows, sizeof(rows) / sizeof(rows)[0], base)

/* The tensors of a norm depend on its kind: spec section 6. */
static int emit_norm(const Walk *walk, const char *name_prefix, const char *source_prefix,
                     bool affine, MegaNormWeights *base)
{
    static const Row weight = {"weight", SAME("weight"), offsetof(MegaNormWeights, weight),
                               {D, END}, ALWAYS};
    static const Row scalar = {"scalar", SAME("scalar"), offsetof(MegaNormWeights, weight),
                               {ONE, END}, ALWAYS};
    static const Row bias = {"bias", SAME("bias"), offsetof(MegaNormWeights, bias),
                             {D, END}, ALWAYS};
    static const Row statistics[] = {
        {"running_mean", SAME("running_mean"), offsetof(MegaNormWeights, mean), {D, END}, ALWAYS},
        {"running_var", SAME("running_var"), offsetof(MegaNormWeights, variance),
         {D, END}, ALWAYS}};
    MegaNormKind kind = walk->stack->norm;
    int code = 0;
    if (affine)
        code = emit(walk, name_prefix, source_prefix, kind == MEGA_NORM_SCALE ? &scalar : &weight,
                    base);
    if (affine && !code && (kind == MEGA_NORM_LAYER || kind == MEGA_NORM_BATCH))
        code = emit(walk, name_prefix, source_prefix, &bias, base);
    if (!code && kind == MEGA_NORM_BATCH)
        code = EMIT_ROWS(walk, name_prefix, source_prefix, statistics, base);
    return code;
}

/* name: of the layer here; source: in the original, both with a final dot. */
static int emit_layer(const Walk *walk, const char *name, const char *source,
                      MegaLayerWeights *layer)
{
    const MegaStackConfig *stack = walk->stack;
    bool cross = walk->config->task == MEGA_TASK_TRANSLATE && stack == &walk->config->decoder;
    char part[64], source_part[128];
    snprintf(part, sizeof part, "%snorm.", name);
    snprintf(source_part, sizeof source_part, "%smega_layer.norm.norm.", source);
    int code = emit_norm(walk, part, source_part, stack->norm_affine, layer ? &layer->norm : NULL);
    if (!code)
        code = EMIT_ROWS(walk, name, source, layer_rows, layer);
    if (!code && cross) {
        snprintf(part, sizeof part, "%scross.norm.", name);
        snprintf(source_part, sizeof source_part, "%scross_attn.norm.norm.", source);
        code = emit_norm(walk, part, source_part, stack->norm_affine,
                         layer ? &layer->cross.norm : NULL);
    }
    if (!code && cross) {
        snprintf(part, sizeof part, "%scross.", name);
        snprintf(source_part, sizeof source_part, "%scross_attn.", source);
        code = EMIT_ROWS(walk, part, source_part, cross_rows, layer ? &layer->cross : NULL);
    }
    if (!code && stack->ffn > 0) {
        snprintf(part, sizeof part, "%sffn.norm.", name);
        snprintf(source_part, sizeof source_part, "%snffn.norm.norm.", source);
        code = emit_norm(walk, part, source_part, stack->norm_affine,
                         layer ? &layer->ffn_norm : NULL);
    }
    return code;
}

/* All layers of the walk's stack and its final norm. source: what precedes "layers.I." and
 * "final_norm." in the original. */
static int emit_stack(const Walk *walk, const char *name, const char *source,
                      MegaLayerWeights *layers, MegaNormWeights *final_norm)
{
    const MegaStackConfig *stack = walk->stack;
    bool vision = walk->source == MEGA_SOURCE_VISION;
    char part[48], source_part[80];
    int code = 0;
    for (int i = 0; i < stack->layers && !code; i++) {
        snprintf(part, sizeof part, "%s.layer.%d.", name, i);
        snprintf(source_part, sizeof source_part, vision ? "%sblocks.%d." : "%slayers.%d.", source,
                 i);
        code = emit_layer(walk, part, source_part, layers ? &layers[i] : NULL);
    }
    if (!code && stack->final_norm) {
        snprintf(part, sizeof part, "%s.final_norm.", name);
        snprintf(source_part, sizeof source_part, "%sfinal_norm.norm.", source);
        code = emit_norm(walk, part, source_part, stack->final_norm_affine, final_norm);
    }
    return code;
}

static int emit_encoder(Walk *walk, MegaWeights *weights)
{
    bool translator = walk->config->task == MEGA_TASK_TRANSLATE;
    const char *source = translator                           ? "encoder."
                         : walk->source == MEGA_SOURCE_VISION ? ""
                                                              : "encoder.encoder.";
    char norm[64];
    walk->stack = &walk->config->encoder;
    int code = translator ? EMIT_ROWS(walk, "", "", source_rows, weights)
                          : EMIT_ROWS(walk, "", "", embed_rows, weights);
    if (!code && walk->stack->embed_norm) {
        snprintf(norm, sizeof norm, "%sembed_norm.norm.", source);
        code = emit_norm(walk, "embed.norm.", norm, walk->stack->norm_affine,
                         weights ? &weights->embed_norm : NULL);
    }
    return code ? code
                : emit_stack(walk, "encoder", source, weights ? weights->layers : NULL,
                             weights ? &weights->final_norm : NULL);
}

static int emit_target(Walk *walk, MegaWeights *weights)
{
    const MegaTargetConfig *target = &walk->config->target;
    char name[32], source[64];
    int code = 0;
    walk->bands = &target->input;
    for (walk->band = 0; walk->band < target->input.count && !code; walk->band++) {
        MegaBandWeights *band = weights ? &weights->target[walk->band] : NULL;
        snprintf(name, sizeof name, "target.%d.", walk->band);
        snprintf(source, sizeof source, "decoder.embed_tokens.embeddings.%d.", walk->band);
        if (target->adaptive_input)
            code = EMIT_ROWS(walk, name, source, band_rows, band);
        else
            code = emit(walk, name, "decoder.", &plain_table, band);
        if (!code && !target->adaptive_input && target->input_projection)
            code = emit(walk, name, "decoder.", &plain_projection, band);
    }
    if (!code && walk->stack->embed_norm)
        code = emit_norm(walk, "target.norm.", "decoder.embed_norm.norm.",
                         walk->stack->norm_affine, weights ? &weights->target_norm : NULL);
    return code;
}

static int emit_adaptive_output(Walk *walk, MegaOutputWeights *output)
{
    const MegaTargetConfig *target = &walk->config->target;
    MegaBandWeights *head = output ? &output->bands[0] : NULL;
    char name[32], source[64];
    int code;
    if (!target->split_head)
        code = emit(walk, "", "", &joint_head, head);
    else if (target->output_projection)
        code = EMIT_ROWS(walk, "", "", projected_head, head);
    else
        code = emit(walk, "", "", &split_head, head);
    if (!code && target->split_head && target->output.count > 1)
        code = emit(walk, "", "", &slots, output);
    for (walk->band = 1; walk->band < target->output.count && !code; walk->band++) {
        MegaBandWeights *band = output ? &output->bands[walk->band] : NULL;
        snprintf(name, sizeof name, "output.%d.", walk->band);
        snprintf(source, sizeof source, "decoder.adaptive_softmax.tail.%d.", walk->band - 1);
        code = emit(walk, name, source,
                    target->transposed_tails ? &transposed_projection : &tail_projection, band);
        if (!code)
            code = emit(walk, name, source, &tail_table, band);
    }
    return code;
}

static int emit_output(Walk *walk, MegaOutputWeights *output)
{
    const MegaTargetConfig *target = &walk->config->target;
    MegaBandWeights *head = output ? &output->bands[0] : NULL;
    walk->bands = &target->output;
    walk->band = 0;
    if (target->adaptive_output)
        return emit_adaptive_output(walk, output);
    int code = emit(walk, "", "", &output_table, head);
    if (!code && target->output_projection)
        code = emit(walk, "", "", &output_projection, head);
    return code;
}

static int emit_decoder(Walk *walk, MegaWeights *weights)
{
    walk->stack = &walk->config->decoder;
    int code = emit_target(walk, weights);
    if (!code)
        code = emit_stack(walk, "decoder", "decoder.", weights ? weights->decoder_layers : NULL,
                          weights ? &weights->decoder_final_norm : NULL);
    return code ? code : emit_output(walk, weights ? &weights->output : NULL);
}

static int emit_head(Walk *walk, MegaWeights *weights)
{
    int code = EMIT_ROWS(walk, "", "", projection_rows, weights);
    for (int i = 0; i < walk->config->head.layers && !code; i++) {
        char name[32], source[32] = "pre_logits.fc.";
        snprintf(name, sizeof name, "head.layer.%d.", i);
        if (walk->source == MEGA_SOURCE_FAIRSEQ)
            snprintf(source, sizeof source, "classifier.%d.0.", i);
        walk->head_layer = i;
        code = EMIT_ROWS(walk, name, source, head_layer_rows,
                         weights ? &weights->head_layers[i] : NULL);
    }
    if (!code)
        code = EMIT_ROWS(walk, "", "", output_rows, weights);
    return code;
}

int mega_bind_each(const MegaConfig *config, MegaSource source, MegaWeights *weights,
                   MegaBindVisit visit, void *context, MegaError *err)
{
    Walk walk = {
        .config = config, .source = source, .visit = visit, .context = context, .err = err};
    int code = 0;
    if (mega_config_has_encoder(config))
        code = emit_encoder(&walk, weights);
    if (!code && config->task == MEGA_TASK_CLASSIFY)
        code = emit_head(&walk, weights);
    if (!code && mega_config_has_decoder(config))
        code = emit_decoder(&walk, weights);
    return code;
}
