/*
 * tensors.c - the table of all tensors. A row says what a tensor is called, where it is bound, its
 * shape in symbols of the configuration, and when it is there.
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
    R_HX,    /* h + d */
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
#define EXACT 0x200u  /* a matrix that is never stored in a smaller type than float32 */
#define CONDITION 0xffu

typedef struct Row {
    const char *name;
    size_t offset; /* of the slot, in the struct that the table is for */
    Dim shape[2];
    unsigned when; /* a When, and flags */
} Row;

#define AT_WEIGHTS(field) offsetof(MegaWeights, field)
#define AT_LAYER(field) offsetof(MegaLayerWeights, field)
#define AT_LINEAR(field) offsetof(MegaLinearWeights, field)

/* What the encoder of a translator reads; the rows below are those of classifiers. */
static const Row source_rows[] = {
    {"embed.weight", AT_WEIGHTS(embed.weight),
     {VOCAB, D}, ALWAYS | MATRIX},
};

static const Row embed_rows[] = {
    {"embed.weight", AT_WEIGHTS(embed.weight),
     {VOCAB, D}, IF_TOKENS | MATRIX},
    {"embed.weight", AT_WEIGHTS(embed_real),
     {D, END}, IF_REAL},
    {"embed.bias", AT_WEIGHTS(embed.bias),
     {D, END}, IF_REAL},
    {"embed.weight", AT_WEIGHTS(embed.weight),
     {D, FRAME}, IF_FRAMES | MATRIX},
    {"embed.bias", AT_WEIGHTS(embed.bias),
     {D, END}, IF_FRAMES},
    {"embed.weight", AT_WEIGHTS(embed.weight),
     {D, PATCH}, IF_PATCHES | MATRIX},
    {"embed.bias", AT_WEIGHTS(embed.bias),
     {D, END}, IF_PATCHES},
    {"embed.positions", AT_WEIGHTS(positions), {PATCHES, D}, IF_POSITIONS},
};

/* The names are prefixed with "encoder.layer.I." or "decoder.layer.I.". */
static const Row layer_rows[] = {
    {"ema.delta", AT_LAYER(ema.delta),
     {K, N}, ALWAYS},
    {"ema.alpha", AT_LAYER(ema.alpha),
     {K, N}, ALWAYS},
    {"ema.beta", AT_LAYER(ema.beta), {K, N}, ALWAYS},
    {"ema.gamma", AT_LAYER(ema.gamma), {K, N}, ALWAYS},
    {"ema.omega", AT_LAYER(ema.omega), {D, END}, ALWAYS},
    {"v.weight", AT_LAYER(v.weight), {H, D}, ALWAYS | MATRIX},
    {"v.bias", AT_LAYER(v.bias), {H, END}, ALWAYS},
    {"u.weight", AT_LAYER(u.weight), {D, D}, ALWAYS | MATRIX},
    {"z.weight", AT_LAYER(z.weight), {Z, D}, ALWAYS | MATRIX},
    {"r_hx.weight", AT_LAYER(r_hx.weight), {R_HX, D}, ALWAYS | MATRIX},
    {"u.bias", AT_LAYER(u.bias), {D, END}, ALWAYS},
    {"z.bias", AT_LAYER(z.bias), {Z, END}, ALWAYS},
    {"r_hx.bias", AT_LAYER(r_hx.bias), {R_HX, END}, ALWAYS},
    {"h.weight", AT_LAYER(h.weight), {D, H}, ALWAYS | MATRIX},
    {"h.bias", AT_LAYER(h.bias), {D, END}, ALWAYS},
    {"gamma", AT_LAYER(gamma), {TWO, Z}, ALWAYS},
    {"beta", AT_LAYER(beta), {TWO, Z}, ALWAYS},
    {"bias", AT_LAYER(bias), {BIAS, END}, IF_SIMPLE},
    {"rotary.alpha", AT_LAYER(rotary_alpha),
     {Z, END}, IF_ROTARY},
    {"rotary.beta", AT_LAYER(rotary_beta),
     {Z, END}, IF_ROTARY},
    {"ffn.fc1.weight", AT_LAYER(fc1.weight), {F, D}, IF_FFN | MATRIX},
    {"ffn.fc1.bias", AT_LAYER(fc1.bias), {F, END}, IF_FFN},
    {"ffn.fc2.weight", AT_LAYER(fc2.weight), {D, F}, IF_FFN | MATRIX},
    {"ffn.fc2.bias", AT_LAYER(fc2.bias), {D, END}, IF_FFN},
};

/* The names are prefixed with "decoder.layer.I.cross.". */
#define AT_CROSS(field) offsetof(MegaCrossWeights, field)
static const Row cross_rows[] = {
    {"q.weight", AT_CROSS(q.weight), {Q, D}, ALWAYS | MATRIX},
    {"q.bias", AT_CROSS(q.bias), {Q, END}, ALWAYS},
    {"k.weight", AT_CROSS(k.weight), {Z, D}, ALWAYS | MATRIX},
    {"k.bias", AT_CROSS(k.bias), {Z, END}, ALWAYS},
    {"v.weight", AT_CROSS(v.weight), {D, D}, ALWAYS | MATRIX},
    {"v.bias", AT_CROSS(v.bias), {D, END}, ALWAYS},
    {"h.weight", AT_CROSS(h.weight), {D, D}, ALWAYS | MATRIX},
    {"h.bias", AT_CROSS(h.bias), {D, END}, ALWAYS},
    {"bias", AT_CROSS(bias), {CROSS, END}, IF_SIMPLE},
    {"rotary.alpha", AT_CROSS(rotary_alpha), {Z, END}, IF_ROTARY},
    {"rotary.beta", AT_CROSS(rotary_beta), {Z, END}, IF_ROTARY},
};

/* The decoder's embedding, prefixed with "target.I." for every band; a plain table is one band. */
#define AT_BAND(field) offsetof(MegaBandWeights, field)
static const Row band_table = {"weight", AT_BAND(table), {BAND, BAND_IN}, ALWAYS | MATRIX};
static const Row band_projection = {
    "projection.weight", AT_BAND(projection), {D, BAND_IN}, ALWAYS | MATRIX};

/* The decoder's output, prefixed with "output.I.": a matrix, or an adaptive softmax whose bands
 * behind the first are its tails. Projections that are tied to those of the embedding stay float32,
 * since that is what they are multiplied as wherever they are shared. */
static const Row output_table = {"weight", AT_BAND(table), {BAND, BAND_OUT}, ALWAYS | MATRIX};
static const Row output_projection = {
    "projection.weight", AT_BAND(projection), {BAND_OUT, D}, ALWAYS | MATRIX};
static const Row exact_projection = {
    "projection.weight", AT_BAND(projection), {BAND_OUT, D}, ALWAYS | MATRIX | EXACT};
static const Row joint_head = {"weight", AT_BAND(table), {HEAD_ROWS, BAND_OUT}, ALWAYS | MATRIX};
static const Row slots = {
    "output.slots.weight", offsetof(MegaOutputWeights, slots), {SLOTS, D}, ALWAYS | MATRIX};

static const Row projection_rows[] = {
    {"head.projection.weight", AT_WEIGHTS(head_projection.weight),
     {D, D}, IF_PROJECTION | MATRIX},
    {"head.projection.bias", AT_WEIGHTS(head_projection.bias),
     {D, END}, IF_PROJECTION},
};

/* The names are prefixed with "head.layer.I.". */
static const Row head_layer_rows[] = {
    {"weight", AT_LINEAR(weight), {HEAD, HEAD_IN}, ALWAYS | MATRIX},
    {"bias", AT_LINEAR(bias), {HEAD, END}, ALWAYS},
};

static const Row output_rows[] = {
    {"head.output.weight", AT_WEIGHTS(head_output.weight), {CLASSES, LAST}, ALWAYS | MATRIX},
    {"head.output.bias", AT_WEIGHTS(head_output.bias), {CLASSES, END}, IF_OUTPUT_BIAS},
};

/* One walk: what all steps share. */
typedef struct Walk {
    const MegaConfig *config;
    MegaTensorVisit visit;
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
    case R_HX: return (uint64_t)stack->hidden + d;
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

/* base: the struct that the row's offset is in, or NULL. */
static int emit(const Walk *walk, const char *prefix, const Row *row, void *base)
{
    if (!applies(walk, row->when))
        return 0;
    MegaTensorSpec spec = {.elements = 1, .matrix = row->when & MATRIX, .exact = row->when & EXACT};
    void *slot = base ? (char *)base + row->offset : NULL;
    snprintf(spec.name, sizeof spec.name, "%s%s", prefix, row->name);
    for (int i = 0; i < 2 && row->shape[i] != END; i++) {
        spec.shape[spec.rank++] = dim_value(walk, row->shape[i]);
        spec.elements *= spec.shape[i];
    }
    if (spec.matrix)
        spec.packed = slot;
    else
        spec.slot = slot;
    return walk->visit(walk->context, &spec, walk->err);
}

static int emit_rows(const Walk *walk, const char *prefix, const Row *rows, size_t count,
                     void *base)
{
    int code = 0;
    for (size_t i = 0; i < count && !code; i++)
        code = emit(walk, prefix, &rows[i], base);
    return code;
}

#define EMIT_ROWS(walk, prefix, rows, base)                                                        \
    emit_rows(walk, prefix, rows, sizeof(rows) / sizeof(rows)[0], base)

/* The tensors of a norm depend on its kind (MODEL.md, "Norms"). */
static int emit_norm(const Walk *walk, const char *prefix, bool affine, MegaNormWeights *base)
{
    static const Row weight = {"weight", offsetof(MegaNormWeights, weight), {D, END}, ALWAYS};
    static const Row scalar = {"scalar", offsetof(MegaNormWeights, weight), {ONE, END}, ALWAYS};
    static const Row bias = {"bias", offsetof(MegaNormWeights, bias), {D, END}, ALWAYS};
    static const Row statistics[] = {
        {"running_mean", offsetof(MegaNormWeights, mean), {D, END}, ALWAYS},
        {"running_var", offsetof(MegaNormWeights, variance), {D, END}, ALWAYS}};
    MegaNormKind kind = walk->stack->norm;
    int code = 0;
    if (affine)
        code = emit(walk, prefix, kind == MEGA_NORM_SCALE ? &scalar : &weight, base);
    if (affine && !code && (kind == MEGA_NORM_LAYER || kind == MEGA_NORM_BATCH))
        code = emit(walk, prefix, &bias, base);
    if (!code && kind == MEGA_NORM_BATCH)
        code = EMIT_ROWS(walk, prefix, statistics, base);
    return code;
}

/* name: of the layer, with a final dot. */
static int emit_layer(const Walk *walk, const char *name, MegaLayerWeights *layer)
{
    const MegaStackConfig *stack = walk->stack;
    bool cross = walk->config->task == MEGA_TASK_TRANSLATE && stack == &walk->config->decoder;
    char part[64];
    snprintf(part, sizeof part, "%snorm.", name);
    int code = emit_norm(walk, part, stack->norm_affine, layer ? &layer->norm : NULL);
    if (!code)
        code = EMIT_ROWS(walk, name, layer_rows, layer);
    if (!code && cross) {
        snprintf(part, sizeof part, "%scross.norm.", name);
        code = emit_norm(walk, part, stack->norm_affine, layer ? &layer->cross.norm : NULL);
    }
    if (!code && cross) {
        snprintf(part, sizeof part, "%scross.", name);
        code = EMIT_ROWS(walk, part, cross_rows, layer ? &layer->cross : NULL);
    }
    if (!code && stack->ffn > 0) {
        snprintf(part, sizeof part, "%sffn.norm.", name);
        code = emit_norm(walk, part, stack->norm_affine, layer ? &layer->ffn_norm : NULL);
    }
    return code;
}

/* All layers of the walk's stack and its final norm. */
static int emit_stack(const Walk *walk, const char *name, MegaLayerWeights *layers,
                      MegaNormWeights *final_norm)
{
    const MegaStackConfig *stack = walk->stack;
    char part[48];
    int code = 0;
    for (int i = 0; i < stack->layers && !code; i++) {
        snprintf(part, sizeof part, "%s.layer.%d.", name, i);
        code = emit_layer(walk, part, layers ? &layers[i] : NULL);
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
    int code = walk->config->task == MEGA_TASK_TRANSLATE
                   ? EMIT_ROWS(walk, "", source_rows, weights)
                   : EMIT_ROWS(walk, "", embed_rows, weights);
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
    walk->bands = &target->input;
    for (walk->band = 0; walk->band < target->input.count && !code; walk->band++) {
        MegaBandWeights *band = weights ? &weights->target[walk->band] : NULL;
        snprintf(name, sizeof name, "target.%d.", walk->band);
        code = emit(walk, name, &band_table, band);
        if (!code && target->input_projection)
            code = emit(walk, name, &band_projection, band);
    }
    if (!code && walk->stack->embed_norm)
        code = emit_norm(walk, "target.norm.", walk->stack->norm_affine,
                         weights ? &weights->target_norm : NULL);
    return code;
}

/* The first band comes before the slots, which come before the tails. */
static int emit_output(Walk *walk, MegaOutputWeights *output)
{
    const MegaTargetConfig *target = &walk->config->target;
    const Row *tail_projection = target->tied_projections ? &exact_projection : &output_projection;
    MegaBandWeights *head = output ? &output->bands[0] : NULL;
    bool joint = target->adaptive_output && !target->split_head;
    char name[32];
    walk->bands = &target->output;
    walk->band = 0;
    int code = emit(walk, "output.0.", joint ? &joint_head : &output_table, head);
    if (!code && target->output_projection)
        code = emit(walk, "output.0.", &output_projection, head);
    if (!code && target->adaptive_output && target->split_head && target->output.count > 1)
        code = emit(walk, "", &slots, output);
    for (walk->band = 1; walk->band < target->output.count && !code; walk->band++) {
        MegaBandWeights *band = output ? &output->bands[walk->band] : NULL;
        snprintf(name, sizeof name, "output.%d.", walk->band);
        code = emit(walk, name, tail_projection, band);
        if (!code)
            code = emit(walk, name, &output_table, band);
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
    if (!code && config->task == MEGA_TASK_CLASSIFY)
        code = emit_head(&walk, weights);
    if (!code && mega_config_has_decoder(config))
        code = emit_decoder(&walk, weights);
    return code;
}
