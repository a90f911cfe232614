/*
 * config.c - reads and writes MegaConfig as metadata by tables of its fields, and checks the fields
 * against each other. A kind of layer has a table of its own.
 */
#include "src/model/layer_kind.h"

#include <stdio.h>
#include <string.h>

#include "src/model/earlier.h"

/* ---- Names of kinds ------------------------------------------------------------------------- */

static const MegaName task_names[] = {{"classify", MEGA_TASK_CLASSIFY},
                                      {"translate", MEGA_TASK_TRANSLATE},
                                      {"generate", MEGA_TASK_GENERATE},
                                      {"fill", MEGA_TASK_FILL},
                                      {"tag", MEGA_TASK_TAG},
                                      {"answer", MEGA_TASK_ANSWER},
                                      {"choose", MEGA_TASK_CHOOSE},
                                      {"embed", MEGA_TASK_EMBED},
                                      {NULL, -1}};
static const MegaName embed_names[] = {{"tokens", MEGA_EMBED_TOKENS},
                                       {"real", MEGA_EMBED_REAL},
                                       {"frames", MEGA_EMBED_FRAMES},
                                       {"patches", MEGA_EMBED_PATCHES},
                                       {"one_hot", MEGA_EMBED_ONE_HOT},
                                       {NULL, -1}};
static const MegaName norm_names[] = {{"layernorm", MEGA_NORM_LAYER},
                                      {"scalenorm", MEGA_NORM_SCALE},
                                      {"rmsnorm", MEGA_NORM_RMS},
                                      {"none", MEGA_NORM_NONE},
                                      {"multiply", MEGA_NORM_MULTIPLY},
                                      {"scalars", MEGA_NORM_SCALARS},
                                      {"batchnorm", MEGA_NORM_BATCH},
                                      {"syncbatchnorm", MEGA_NORM_BATCH},
                                      {NULL, -1}};
static const MegaName activation_names[] = {{"linear", MEGA_ACTIVATION_LINEAR},
                                            {"silu", MEGA_ACTIVATION_SILU},
                                            {"swish", MEGA_ACTIVATION_SILU},
                                            {"relu", MEGA_ACTIVATION_RELU},
                                            {"gelu", MEGA_ACTIVATION_GELU},
                                            {"gelu_tanh", MEGA_ACTIVATION_GELU_TANH},
                                            {"gelu_fast", MEGA_ACTIVATION_GELU_TANH},
                                            {"gelu_accurate", MEGA_ACTIVATION_GELU_TANH},
                                            {"tanh", MEGA_ACTIVATION_TANH},
                                            {"sigmoid", MEGA_ACTIVATION_SIGMOID},
                                            {NULL, -1}};
static const MegaName position_names[] = {{"none", MEGA_POSITIONS_NONE},
                                          {"sinusoidal", MEGA_POSITIONS_SINUSOIDAL},
                                          {"learned", MEGA_POSITIONS_LEARNED},
                                          {NULL, -1}};
static const MegaName pooling_names[] = {{"mean", MEGA_POOL_MEAN}, {"first", MEGA_POOL_FIRST},
                                         {"last", MEGA_POOL_LAST}, {"sum", MEGA_POOL_SUM},
                                         {"none", MEGA_POOL_NONE}, {NULL, -1}};
static const MegaName pair_names[] = {{"second_first", MEGA_PAIR_SECOND_FIRST},
                                      {"first_second", MEGA_PAIR_FIRST_SECOND},
                                      {"compared", MEGA_PAIR_COMPARED},
                                      {NULL, -1}};

const char *mega_norm_name(MegaNormKind kind)
{
    return mega_name_of(norm_names, (int)kind);
}

int mega_norm_by_name(const char *name)
{
    return mega_value_of(norm_names, name);
}

int mega_activation_by_name(const char *name)
{
    return mega_value_of(activation_names, name);
}

const char *mega_task_name(MegaTask task)
{
    return mega_name_of(task_names, (int)task);
}

/* ---- Tasks ---------------------------------------------------------------------------------- */

const MegaTaskTraits *mega_task_traits(MegaTask task)
{
    static const MegaTaskTraits traits[] = {
        [MEGA_TASK_CLASSIFY] = {"classifier", "classifies", "classifies",
                                .takes_media = true, .has_encoder = true, .has_head = true},
        [MEGA_TASK_TRANSLATE] = {"translator", "translates", "translates",
                                 .has_encoder = true, .has_decoder = true, .has_cross = true},
        [MEGA_TASK_GENERATE] = {"language model", "generates text", "continues",
                                .has_decoder = true},
        [MEGA_TASK_FILL] = {"masked language model", "fills masks", "fills masks in",
                            .has_encoder = true, .has_head = true, .labels_positions = true},
        [MEGA_TASK_TAG] = {"tagger", "tags words", "tags words of",
                           .has_encoder = true, .has_head = true, .labels_positions = true},
        [MEGA_TASK_ANSWER] = {"reader", "answers questions", "answers questions about",
                              .has_encoder = true, .has_head = true, .labels_positions = true},
        [MEGA_TASK_CHOOSE] = {"chooser", "chooses between texts", "chooses between",
                              .has_encoder = true, .has_head = true},
        [MEGA_TASK_EMBED] = {"encoder", "makes vectors", "makes vectors of",
                             .has_encoder = true, .has_head = true},
    };
    static const MegaTaskTraits unknown = {.model = "model",
                                           .does = "does nothing that this version knows",
                                           .does_to = "does nothing known with"};
    _Static_assert(sizeof traits / sizeof traits[0] == MEGA_TASK_COUNT, "every task has a row");
    return (size_t)task < sizeof traits / sizeof traits[0] ? &traits[task] : &unknown;
}

/* ---- The tables ----------------------------------------------------------------------------- */

/* Fields that only some kinds of embedding have, as bits 1 << MegaEmbedKind. */
#define TOKENS (1u << MEGA_EMBED_TOKENS | 1u << MEGA_EMBED_ONE_HOT)
#define FRAMES (1u << MEGA_EMBED_FRAMES)
#define PATCHES (1u << MEGA_EMBED_PATCHES)
#define ALL (~0u)

/* Fields that only tasks with one of these parts have. */
#define ENCODER 1u
#define HEAD 2u
#define DECODER 4u
#define CROSS 8u

/* A field of MegaConfig outside of its stacks, with its whole key. */
typedef struct Field {
    MegaField field;
    unsigned parts, embeds;
} Field;

#define INT(key, member, parts, embeds, min, max)                                                  \
    {                                                                                              \
        MEGA_INT_FIELD(key, MegaConfig, member, min, max), parts, embeds                           \
    }
#define BOOL(key, member, parts, embeds)                                                           \
    {                                                                                              \
        MEGA_BOOL_FIELD(key, MegaConfig, member), parts, embeds                                    \
    }
#define OPTIONAL_INT(key, member, parts, embeds, min, max)                                         \
    {                                                                                              \
        MEGA_OPTIONAL_INT_FIELD(key, MegaConfig, member, min, max), parts, embeds                  \
    }
#define OPTIONAL_BOOL(key, member, parts, embeds)                                                  \
    {                                                                                              \
        MEGA_OPTIONAL_BOOL_FIELD(key, MegaConfig, member), parts, embeds                           \
    }
#define NAME(key, member, parts, names)                                                            \
    {                                                                                              \
        MEGA_NAME_FIELD(key, MegaConfig, member, names), parts, ALL                                \
    }

#define MAX_WIDTH MEGA_MAX_WIDTH
#define MAX_POSITIONS MEGA_MAX_POSITIONS
#define MAX_VOCAB (1 << 24)

/* general.task and embed.kind come first, because other fields depend on them. */
static const Field input_fields[] = {
    NAME("general.task", task, ALL, task_names),
    NAME("embed.kind", embed.kind, ENCODER, embed_names),
    INT("embed.vocab", embed.vocab, ENCODER, TOKENS, 1, MAX_VOCAB),
    INT("embed.pad", embed.pad, ENCODER, TOKENS, -1, MAX_VOCAB),
    OPTIONAL_INT("embed.types", embed.types, ENCODER, TOKENS, 0, MAX_VOCAB),
    INT("embed.frame_length", embed.frame_length, ENCODER, FRAMES, 1, 1 << 20),
    INT("embed.frame_hop", embed.frame_hop, ENCODER, FRAMES, 1, 1 << 20),
    INT("embed.patch", embed.patch, ENCODER, PATCHES, 1, 4096),
    INT("embed.channels", embed.channels, ENCODER, PATCHES, 1, 4),
    INT("embed.height", embed.height, ENCODER, PATCHES, 1, 65536),
    INT("embed.width", embed.width, ENCODER, PATCHES, 1, 65536),
    BOOL("embed.positions", embed.positions, ENCODER, PATCHES),
    BOOL("embed.scale", embed.scale, CROSS, ALL),
    {MEGA_OPTIONAL_BOOL_FIELD("embed.scale", MegaConfig, embed.scale), HEAD, ALL},
};

static const Field output_fields[] = {
    BOOL("head.projection", head.projection, HEAD, ALL),
    NAME("head.pooling", head.pooling, HEAD, pooling_names),
    BOOL("head.pair", head.pair, HEAD, ALL),
    {MEGA_OPTIONAL_NAME_FIELD("head.pair_kind", MegaConfig, head.pair_kind, pair_names), HEAD, ALL},
    INT("head.layers", head.layers, HEAD, ALL, 0, MEGA_MAX_HEAD_LAYERS),
    INT("head.width", head.width, HEAD, ALL, 0, MAX_WIDTH),
    NAME("head.activation", head.activation, HEAD, activation_names),
    BOOL("head.output_bias", head.output_bias, HEAD, ALL),
    INT("head.classes", head.classes, HEAD, ALL, 0, MAX_VOCAB),
    OPTIONAL_BOOL("head.independent", head.independent, HEAD, ALL),
    INT("target.vocab", target.vocab, DECODER, ALL, 1, MAX_VOCAB),
    INT("target.pad", target.pad, DECODER, ALL, -1, MAX_VOCAB),
    INT("target.eos", target.eos, DECODER, ALL, -1, MAX_VOCAB),
    INT("target.unk", target.unk, DECODER, ALL, -1, MAX_VOCAB),
    OPTIONAL_BOOL("target.bare_start", target.bare_start, DECODER, ALL),
    OPTIONAL_BOOL("target.begins_with_bos", target.begins_with_bos, DECODER, ALL),
    OPTIONAL_INT("target.types", target.types, DECODER, ALL, 0, MAX_VOCAB),
    OPTIONAL_BOOL("target.output_dense", target.output_dense, DECODER, ALL),
    OPTIONAL_BOOL("target.output_bias", target.output_bias, DECODER, ALL),
    OPTIONAL_BOOL("target.untruncated", target.untruncated, DECODER, ALL),
    BOOL("target.scale", target.scale, DECODER, ALL),
    BOOL("target.adaptive_input", target.adaptive_input, DECODER, ALL),
    BOOL("target.input_projection", target.input_projection, DECODER, ALL),
    BOOL("target.adaptive_output", target.adaptive_output, DECODER, ALL),
    BOOL("target.output_projection", target.output_projection, DECODER, ALL),
    BOOL("target.split_head", target.split_head, DECODER, ALL),
    BOOL("target.tied_projections", target.tied_projections, DECODER, ALL),
    {MEGA_OPTIONAL_INT_FIELD("target.output_width", MegaConfig, target.output_width, 1, MAX_WIDTH),
     DECODER, ALL},
    INT("target.max_positions", target.max_positions, DECODER, ALL, 1, MAX_POSITIONS),
    INT("target.cross_positions", target.cross_positions, CROSS, ALL, 1, MAX_POSITIONS),
};

/* The fields that a stack has whatever its kind of layer; those of the kind follow them. */
static const MegaField stack_fields[] = {
    MEGA_INT_FIELD("layers", MegaStackConfig, layers, 1, MEGA_MAX_LAYERS),
    MEGA_INT_FIELD("width", MegaStackConfig, width, 1, MAX_WIDTH),
    MEGA_INT_FIELD("ffn", MegaStackConfig, ffn, 0, 4 * MAX_WIDTH),
    MEGA_INT_FIELD("max_positions", MegaStackConfig, max_positions, 1, MAX_POSITIONS),
    MEGA_BOOL_FIELD("bidirectional", MegaStackConfig, bidirectional),
    MEGA_BOOL_FIELD("pre_norm", MegaStackConfig, pre_norm),
    MEGA_OPTIONAL_BOOL_FIELD("ffn_norm_differs", MegaStackConfig, ffn_norm_differs),
    MEGA_BOOL_FIELD("final_norm", MegaStackConfig, final_norm),
    MEGA_BOOL_FIELD("norm_affine", MegaStackConfig, norm_affine),
    MEGA_BOOL_FIELD("final_norm_affine", MegaStackConfig, final_norm_affine),
    MEGA_BOOL_FIELD("embed_norm", MegaStackConfig, embed_norm),
    MEGA_OPTIONAL_BOOL_FIELD("tied_layers", MegaStackConfig, tied_layers),
    MEGA_OPTIONAL_NAME_FIELD("positions", MegaStackConfig, positions, position_names),
    MEGA_NAME_FIELD("norm", MegaStackConfig, norm, norm_names),
    MEGA_NAME_FIELD("activation", MegaStackConfig, activation, activation_names),
    {0},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static bool has_field(const MegaConfig *config, const Field *field)
{
    const MegaTaskTraits *traits = mega_task_traits(config->task);
    unsigned parts = (traits->has_encoder ? ENCODER : 0) | (traits->has_head ? HEAD : 0) |
                     (traits->has_decoder ? DECODER : 0) | (traits->has_cross ? CROSS : 0);
    return (field->parts == ALL || (field->parts & parts)) &&
           (field->embeds == ALL || (field->embeds & (1u << config->embed.kind)));
}

/* ---- Walking over all fields ---------------------------------------------------------------- */

/* Describes one walk over the fields of a configuration, in the order of metadata, and what is done
 * to each. */
typedef struct Walk {
    MegaConfig *config;
    MegaMeta *meta;
    MegaError *err;
    int (*visit)(const struct Walk *walk, const MegaField *field, void *base, const char *key);
    /* Sees a stack before its fields: `key` is that of its kind. */
    int (*visit_kind)(const struct Walk *walk, MegaStackConfig *stack, const char *key);
} Walk;

/* Visits the fields of a table that the configuration has. */
static int walk_fields(const Walk *walk, const Field *fields, size_t count)
{
    int code = 0;
    for (size_t i = 0; i < count && !code; i++)
        if (has_field(walk->config, &fields[i]))
            code = walk->visit(walk, &fields[i].field, walk->config, fields[i].field.key);
    return code;
}

/* Visits the fields of a stack, whose keys begin with its name. */
static int walk_table(const Walk *walk, const MegaField *fields, void *base, const char *stack)
{
    char key[64];
    int code = 0;
    for (; fields && fields->key && !code; fields++) {
        snprintf(key, sizeof key, "%s.%s", stack, fields->key);
        code = walk->visit(walk, fields, base, key);
    }
    return code;
}

static int walk_stack(const Walk *walk, MegaStackConfig *stack, const char *name)
{
    char key[32];
    snprintf(key, sizeof key, "%s.kind", name);
    int code = walk->visit_kind ? walk->visit_kind(walk, stack, key) : 0;
    if (!code)
        code = walk_table(walk, stack_fields, stack, name);
    return code ? code : walk_table(walk, mega_stack_kind(stack)->fields, stack->own, name);
}

static int walk_config(const Walk *walk)
{
    int code = walk_fields(walk, input_fields, COUNT(input_fields));
    if (!code && mega_config_has_encoder(walk->config))
        code = walk_stack(walk, &walk->config->encoder, "encoder");
    if (!code)
        code = walk_fields(walk, output_fields, COUNT(output_fields));
    if (!code && mega_config_has_decoder(walk->config))
        code = walk_stack(walk, &walk->config->decoder, "decoder");
    return code;
}

static int read_kind(const Walk *walk, MegaStackConfig *stack, const char *key)
{
    const char *text;
    stack->kind = NULL;
    if (!mega_meta_find(walk->meta, key))
        return 0;
    int code = mega_meta_get_string(walk->meta, key, &text, walk->err);
    for (size_t i = 0; !code && mega_layer_kinds[i]; i++)
        if (strcmp(mega_layer_kinds[i]->name, text) == 0) {
            stack->kind = i > 0 ? mega_layer_kinds[i] : NULL;
            return 0;
        }
    return code ? code
                : mega_fail(walk->err, MEGA_ERR_UNSUPPORTED,
                            "metadata key '%s' is '%.60s', which this version does not know", key,
                            text);
}

static int read_field(const Walk *walk, const MegaField *field, void *base, const char *key)
{
    if (walk->config->tensor_layout == MEGA_EARLIER_LAYOUT)
        key = mega_earlier_key(key);
    return mega_field_read(field, base, key, walk->meta, walk->err);
}

static int write_kind(const Walk *walk, MegaStackConfig *stack, const char *key)
{
    const MegaLayerKind *kind = mega_stack_kind(stack);
    int code = kind == mega_layer_kinds[0] ? 0 : mega_meta_set_string(walk->meta, key, kind->name);
    return code ? mega_fail(walk->err, code, "no memory for metadata key '%s'", key) : 0;
}

static int write_field(const Walk *walk, const MegaField *field, void *base, const char *key)
{
    return mega_field_write(field, base, key, walk->meta, walk->err);
}

static int check_field(const Walk *walk, const MegaField *field, void *base, const char *key)
{
    return mega_field_check(field, base, key, walk->err);
}

/* ---- Clusters: the only fields that are arrays ---------------------------------------------- */

/* Reads 1 to MEGA_MAX_CLUSTERS numbers. */
static int read_ints(const MegaMeta *meta, const char *key, int *out, int *count, MegaError *err)
{
    const MegaMetaValue *value = mega_meta_find(meta, key);
    if (!value || value->type != MEGA_META_INTS || value->count < 1 ||
        value->count > MEGA_MAX_CLUSTERS)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "metadata key '%s' must be an array of 1 to %d int for this task", key,
                         MEGA_MAX_CLUSTERS);
    for (uint64_t i = 0; i < value->count; i++) {
        if (value->integers[i] < 1 || value->integers[i] > MAX_VOCAB)
            return mega_fail(err, MEGA_ERR_MODEL,
                             "metadata key '%s' holds %lld, outside of 1 to %d", key,
                             (long long)value->integers[i], MAX_VOCAB);
        out[i] = (int)value->integers[i];
    }
    *count = (int)value->count;
    return 0;
}

static int read_clusters(MegaClusters *clusters, const MegaMeta *meta, const char *ends,
                         const char *widths, MegaError *err)
{
    int count = 0, code = read_ints(meta, ends, clusters->end, &clusters->count, err);
    if (!code)
        code = read_ints(meta, widths, clusters->width, &count, err);
    if (!code && count != clusters->count)
        code = mega_fail(err, MEGA_ERR_MODEL, "'%s' has %d elements, but '%s' has %d", ends,
                         clusters->count, widths, count);
    return code;
}

static int write_clusters(const MegaClusters *clusters, MegaMeta *meta, const char *ends,
                          const char *widths, MegaError *err)
{
    int64_t end[MEGA_MAX_CLUSTERS], width[MEGA_MAX_CLUSTERS];
    for (int i = 0; i < clusters->count; i++) {
        end[i] = clusters->end[i];
        width[i] = clusters->width[i];
    }
    int code = mega_meta_set_ints(meta, ends, end, (size_t)clusters->count);
    if (!code)
        code = mega_meta_set_ints(meta, widths, width, (size_t)clusters->count);
    return code ? mega_fail(err, code, "no memory for metadata key '%s'", ends) : 0;
}

/* ---- Reading and writing -------------------------------------------------------------------- */

#define LAYOUT_KEY "general.tensor_layout"

static int read_layout(int *out, const MegaMeta *meta, MegaError *err)
{
    int64_t layout;
    *out = MEGA_EARLIER_LAYOUT;
    if (!mega_meta_find(meta, LAYOUT_KEY))
        return 0;
    int code = mega_meta_get_int(meta, LAYOUT_KEY, 1, INT32_MAX, &layout, err);
    if (!code && layout > MEGA_TENSOR_LAYOUT)
        code = mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "metadata key '%s' is %d, which a later version has written; this version "
                         "knows 1 to %d",
                         LAYOUT_KEY, (int)layout, MEGA_TENSOR_LAYOUT);
    if (!code)
        *out = (int)layout;
    return code;
}

/* Refuses a file that holds a tokenizer alone, with a message that it is not a model. */
static int refuse_tokenizer(const MegaMeta *meta, MegaError *err)
{
    const MegaMetaValue *task = mega_meta_find(meta, "general.task");
    if (!task || task->type != MEGA_META_STRING || strcmp(task->string, "tokenize") != 0)
        return 0;
    return mega_fail(err, MEGA_ERR_MODEL,
                     "the file holds a tokenizer without a model, which only 'tokenize' and "
                     "'detokenize' use");
}

int mega_config_read(MegaConfig *out, const MegaMeta *meta, MegaError *err)
{
    *out = (MegaConfig){.embed.pad = -1};
    int code = refuse_tokenizer(meta, err);
    if (!code)
        code = read_layout(&out->tensor_layout, meta, err);
    Walk walk = {.config = out, .err = err, .visit = read_field, .visit_kind = read_kind};
    walk.meta = (MegaMeta *)meta; /* read only */
    if (!code)
        code = walk_config(&walk);
    if (!code && mega_config_has_decoder(out))
        code = read_clusters(&out->target.input, meta, "target.input_ends", "target.input_widths",
                             err);
    if (!code && mega_config_has_decoder(out))
        code = read_clusters(&out->target.output, meta, "target.output_ends",
                             "target.output_widths", err);
    return code ? code : mega_config_check(out, err);
}

int mega_config_write(const MegaConfig *config, MegaMeta *meta, MegaError *err)
{
    int code = mega_config_check(config, err);
    if (!code && (code = mega_meta_set_int(meta, LAYOUT_KEY, MEGA_TENSOR_LAYOUT)))
        mega_fail(err, code, "no memory for metadata key '%s'", LAYOUT_KEY);
    MegaConfig copy = *config;
    Walk walk = {
        .config = &copy, .meta = meta, .err = err, .visit = write_field, .visit_kind = write_kind};
    if (!code)
        code = walk_config(&walk);
    if (!code && mega_config_has_decoder(config))
        code = write_clusters(&config->target.input, meta, "target.input_ends",
                              "target.input_widths", err);
    if (!code && mega_config_has_decoder(config))
        code = write_clusters(&config->target.output, meta, "target.output_ends",
                              "target.output_widths", err);
    return code;
}

/* ---- Consistency ---------------------------------------------------------------------------- */

/* Checks every field by itself. */
static int check_ranges(const MegaConfig *config, MegaError *err)
{
    MegaConfig copy = *config;
    return walk_config(&(Walk){.config = &copy, .err = err, .visit = check_field});
}

static int check_stack(const MegaConfig *config, const MegaStackConfig *stack, const char *name,
                       MegaError *err)
{
    const MegaLayerKind *kind = mega_stack_kind(stack);
    return kind->check ? kind->check(config, stack, name, err) : 0;
}

uint64_t mega_config_input_length(const MegaConfig *config)
{
    const MegaEmbedConfig *embed = &config->embed;
    uint64_t length = (uint64_t)config->encoder.max_positions;
    if (embed->kind == MEGA_EMBED_PATCHES)
        return mega_image_values(embed);
    if (embed->kind == MEGA_EMBED_FRAMES)
        length *= (uint64_t)embed->frame_hop;
    return length < MEGA_MAX_LENGTH ? length : MEGA_MAX_LENGTH;
}

static int check_patches(const MegaEmbedConfig *embed, MegaError *err)
{
    if (embed->height % embed->patch || embed->width % embed->patch)
        return mega_fail(err, MEGA_ERR_MODEL, "an image of %d x %d is not whole patches of %d",
                         embed->width, embed->height, embed->patch);
    if (mega_image_values(embed) > MEGA_MAX_IMAGE_VALUES)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "images of %d x %d x %d values (channels x height x width) exceed the "
                         "limit of %d values",
                         embed->channels, embed->height, embed->width, MEGA_MAX_IMAGE_VALUES);
    if (mega_embed_fan_in(embed) > MEGA_MAX_FAN_IN)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "patches of %d x %d x %d values exceed the limit of %d values",
                         embed->channels, embed->patch, embed->patch, MEGA_MAX_FAN_IN);
    return 0;
}

static int check_embed(const MegaEmbedConfig *embed, MegaError *err)
{
    if ((embed->kind == MEGA_EMBED_TOKENS || embed->kind == MEGA_EMBED_ONE_HOT) &&
        embed->pad >= embed->vocab)
        return mega_fail(err, MEGA_ERR_MODEL, "embed.pad is %d, but the vocabulary has %d entries",
                         embed->pad, embed->vocab);
    if (embed->kind == MEGA_EMBED_FRAMES &&
        (embed->frame_length < embed->frame_hop || (embed->frame_length - embed->frame_hop) % 2))
        return mega_fail(err, MEGA_ERR_MODEL,
                         "embed.frame_length %d must exceed embed.frame_hop %d by an even number",
                         embed->frame_length, embed->frame_hop);
    return embed->kind == MEGA_EMBED_PATCHES ? check_patches(embed, err) : 0;
}

static int check_clusters(const MegaClusters *clusters, int vocab, bool many, const char *name,
                          MegaError *err)
{
    if (clusters->count < 1 || clusters->count > (many ? MEGA_MAX_CLUSTERS : 1))
        return mega_fail(err, MEGA_ERR_MODEL, "target.%s_ends has %d elements, not 1 to %d", name,
                         clusters->count, many ? MEGA_MAX_CLUSTERS : 1);
    for (int i = 0; i < clusters->count; i++) {
        if (clusters->end[i] <= (i ? clusters->end[i - 1] : 0))
            return mega_fail(err, MEGA_ERR_MODEL, "target.%s_ends does not rise", name);
        if (clusters->width[i] < 1 || clusters->width[i] > MAX_WIDTH)
            return mega_fail(err, MEGA_ERR_MODEL, "target.%s_widths holds %d, not 1 to %d", name,
                             clusters->width[i], MAX_WIDTH);
    }
    if (clusters->end[clusters->count - 1] != vocab)
        return mega_fail(err, MEGA_ERR_MODEL, "target.%s_ends ends at %d, but the vocabulary at %d",
                         name, clusters->end[clusters->count - 1], vocab);
    return 0;
}

/* Checks that this kind of layer can make a decoder. */
static int check_decoder_kind(const MegaLayerKind *kind, bool cross, MegaError *err)
{
    if (!kind->step)
        return mega_fail(err, MEGA_ERR_MODEL, "layers of kind %s cannot be in a decoder",
                         kind->name);
    if (cross && !kind->read_source)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "layers of kind %s have no cross attention, which a translator needs",
                         kind->name);
    return 0;
}

/* Checks that the special ids exist where they are needed. */
static int check_target_ids(const MegaConfig *config, MegaError *err)
{
    const MegaTargetConfig *target = &config->target;
    const int vocab = target->vocab;
    if (target->pad >= vocab || target->eos >= vocab || target->unk >= vocab)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "target.pad, target.eos or target.unk is not below target.vocab, %d",
                         vocab);
    if (mega_config_has_cross(config) && (target->pad < 0 || target->eos < 0 || target->unk < 0))
        return mega_fail(err, MEGA_ERR_MODEL,
                         "target.pad, target.eos or target.unk is negative, but a translator needs "
                         "all three");
    if (!target->bare_start && target->eos < 0)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "target.eos is negative, but every sequence begins with it");
    return 0;
}

/* Checks that widths differ from the decoder's only where a projection leads from one to the
 * other. */
static int check_target_widths(const MegaConfig *config, MegaError *err)
{
    const MegaTargetConfig *target = &config->target;
    int d = config->decoder.width;
    if (!target->input_projection && (target->adaptive_input || target->input.width[0] != d))
        return mega_fail(err, MEGA_ERR_MODEL,
                         "target.input_widths begins with %d, which needs a projection to "
                         "decoder.width %d",
                         target->input.width[0], d);
    if (target->output_width > 0 && (!target->adaptive_output || target->output_projection))
        return mega_fail(err, MEGA_ERR_MODEL,
                         "target.output_width is for an adaptive softmax without "
                         "target.output_projection");
    if (target->output_width > 0)
        d = target->output_width;
    if (!target->output_projection && target->output.width[0] != d)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "target.output_widths begins with %d, which needs a projection from "
                         "decoder.width %d",
                         target->output.width[0], d);
    if (target->output_projection && target->adaptive_output && !target->split_head)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "target.output_projection needs target.split_head");
    return 0;
}

static int check_target(const MegaConfig *config, MegaError *err)
{
    const MegaTargetConfig *target = &config->target;
    const int vocab = target->vocab;
    int code = check_clusters(&target->input, vocab, target->adaptive_input, "input", err);
    if (!code)
        code = check_clusters(&target->output, vocab, target->adaptive_output, "output", err);
    if (!code)
        code = check_target_ids(config, err);
    if (!code)
        code = check_target_widths(config, err);
    if (code)
        return code;
    if ((target->output_dense || target->output_bias) &&
        (target->adaptive_output || target->output_projection))
        return mega_fail(err, MEGA_ERR_MODEL,
                         "target.output_dense and target.output_bias are for a plain output only");
    if (config->decoder.bidirectional)
        return mega_fail(err, MEGA_ERR_MODEL, "a decoder cannot look ahead");
    return 0;
}

/* Checks that a task has the head that it needs: logits at every position, or of the whole. */
static int check_head(const MegaConfig *config, MegaError *err)
{
    const MegaHeadConfig *head = &config->head;
    const bool every = head->pooling == MEGA_POOL_NONE;
    const bool tokens = config->embed.kind == MEGA_EMBED_TOKENS;
    if (mega_task_traits(config->task)->labels_positions != every)
        return mega_fail(err, MEGA_ERR_MODEL, "head.pooling does not fit a model that %s",
                         mega_task_traits(config->task)->does);
    if (every && (!tokens || head->pair || head->projection || head->layers > 1))
        return mega_fail(err, MEGA_ERR_MODEL,
                         "a head for every position needs embed.kind tokens, at most one layer, "
                         "and neither head.pair nor head.projection");
    if ((head->classes == 0) != (config->task == MEGA_TASK_EMBED))
        return mega_fail(err, MEGA_ERR_MODEL, "head.classes is %d, but the model %s", head->classes,
                         mega_task_traits(config->task)->does);
    if (head->classes == 0 && head->pair)
        return mega_fail(err, MEGA_ERR_MODEL, "a model of vectors has no head.pair");
    if (head->classes == 0 && head->layers > 0 && head->width != config->encoder.width)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "head.width is %d, but a vector is as wide as the encoder, %d",
                         head->width, config->encoder.width);
    if (config->task == MEGA_TASK_ANSWER && head->classes != 2)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "head.classes is %d, but an answer has a start and an end", head->classes);
    if (config->task == MEGA_TASK_FILL && head->classes != config->embed.vocab)
        return mega_fail(err, MEGA_ERR_MODEL, "head.classes is %d, but embed.vocab is %d",
                         head->classes, config->embed.vocab);
    if (config->task > MEGA_TASK_GENERATE && !tokens)
        return mega_fail(err, MEGA_ERR_MODEL, "a model that %s needs embed.kind tokens",
                         mega_task_traits(config->task)->does);
    return 0;
}

int mega_config_check(const MegaConfig *config, MegaError *err)
{
    const MegaHeadConfig *head = &config->head;
    int code = check_ranges(config, err);
    if (!code && mega_config_has_encoder(config)) {
        code = check_stack(config, &config->encoder, "encoder", err);
        if (!code)
            code = check_embed(&config->embed, err);
        if (!code && config->embed.kind == MEGA_EMBED_ONE_HOT &&
            config->embed.vocab > config->encoder.width)
            code = mega_fail(err, MEGA_ERR_MODEL,
                             "embed.vocab is %d, but one_hot has only encoder.width %d columns",
                             config->embed.vocab, config->encoder.width);
    }
    if (!code && mega_config_has_head(config) && head->layers > 0 && head->width < 1)
        code = mega_fail(err, MEGA_ERR_MODEL, "head.layers is %d, but head.width is 0",
                         head->layers);
    if (!code && mega_config_has_head(config))
        code = check_head(config, err);
    if (!code && mega_config_has_decoder(config)) {
        code = check_stack(config, &config->decoder, "decoder", err);
        if (!code)
            code = check_decoder_kind(mega_stack_kind(&config->decoder),
                                      mega_config_has_cross(config), err);
        if (!code)
            code = check_target(config, err);
    }
    if (!code && mega_config_has_cross(config) && config->embed.kind != MEGA_EMBED_TOKENS)
        code = mega_fail(err, MEGA_ERR_MODEL, "a translator needs embed.kind tokens");
    if (!code && mega_config_has_encoder(config) && config->embed.kind == MEGA_EMBED_PATCHES &&
        config->encoder.positions != MEGA_POSITIONS_NONE)
        code = mega_fail(err, MEGA_ERR_MODEL,
                         "patches have embed.positions instead of encoder.positions");
    return code;
}

/* ---- Queries -------------------------------------------------------------------------------- */

MegaInputKind mega_config_input_kind(const MegaConfig *config)
{
    if (!mega_config_has_encoder(config))
        return MEGA_INPUT_TOKENS;
    switch (config->embed.kind) {
    case MEGA_EMBED_TOKENS:
    case MEGA_EMBED_ONE_HOT: return MEGA_INPUT_TOKENS;
    case MEGA_EMBED_PATCHES: return MEGA_INPUT_IMAGE;
    case MEGA_EMBED_REAL:
    case MEGA_EMBED_FRAMES: break;
    }
    return MEGA_INPUT_SAMPLES;
}
