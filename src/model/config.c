/*
 * config.c - reads and writes MegaConfig as metadata by one table, and checks its fields against
 * each other.
 */
#include "src/model/layer_kind.h"

#include <string.h>

#include "src/model/earlier.h"

/* ---- Names of kinds ------------------------------------------------------------------------- */

typedef struct Name {
    const char *text;
    int value;
} Name;

/* A value is written with its first name. Import also accepts the later ones. */
static const Name task_names[] = {{"classify", MEGA_TASK_CLASSIFY},
                                  {"translate", MEGA_TASK_TRANSLATE},
                                  {"generate", MEGA_TASK_GENERATE},
                                  {NULL, -1}};
static const Name embed_names[] = {{"tokens", MEGA_EMBED_TOKENS},
                                   {"real", MEGA_EMBED_REAL},
                                   {"frames", MEGA_EMBED_FRAMES},
                                   {"patches", MEGA_EMBED_PATCHES},
                                   {NULL, -1}};
static const Name norm_names[] = {
    {"layernorm", MEGA_NORM_LAYER}, {"scalenorm", MEGA_NORM_SCALE},     {"rmsnorm", MEGA_NORM_RMS},
    {"batchnorm", MEGA_NORM_BATCH}, {"syncbatchnorm", MEGA_NORM_BATCH}, {NULL, -1}};
static const Name attention_names[] = {{"softmax", MEGA_ATTENTION_SOFTMAX},
                                       {"relu2", MEGA_ATTENTION_RELU2},
                                       {"laplace", MEGA_ATTENTION_LAPLACE},
                                       {NULL, -1}};
static const Name bias_names[] = {
    {"simple", MEGA_BIAS_SIMPLE}, {"rotary", MEGA_BIAS_ROTARY}, {NULL, -1}};
static const Name activation_names[] = {{"linear", MEGA_ACTIVATION_LINEAR},
                                        {"silu", MEGA_ACTIVATION_SILU},
                                        {"swish", MEGA_ACTIVATION_SILU},
                                        {"relu", MEGA_ACTIVATION_RELU},
                                        {"gelu", MEGA_ACTIVATION_GELU},
                                        {"gelu_tanh", MEGA_ACTIVATION_GELU_TANH},
                                        {"gelu_fast", MEGA_ACTIVATION_GELU_TANH},
                                        {"gelu_accurate", MEGA_ACTIVATION_GELU_TANH},
                                        {"tanh", MEGA_ACTIVATION_TANH},
                                        {NULL, -1}};
static const Name pooling_names[] = {
    {"mean", MEGA_POOL_MEAN}, {"first", MEGA_POOL_FIRST}, {NULL, -1}};

static const char *name_of(const Name *names, int value)
{
    while (names->text && names->value != value)
        names++;
    return names->text;
}

static int value_of(const Name *names, const char *text)
{
    while (names->text && strcmp(names->text, text) != 0)
        names++;
    return names->value;
}

const char *mega_norm_name(MegaNormKind kind)
{
    return name_of(norm_names, (int)kind);
}

int mega_norm_by_name(const char *name)
{
    return value_of(norm_names, name);
}

const char *mega_attention_name(MegaAttentionKind kind)
{
    return name_of(attention_names, (int)kind);
}

int mega_attention_by_name(const char *name)
{
    return value_of(attention_names, name);
}

int mega_activation_by_name(const char *name)
{
    return value_of(activation_names, name);
}

/* ---- Tasks ---------------------------------------------------------------------------------- */

const MegaTaskTraits *mega_task_traits(MegaTask task)
{
    static const MegaTaskTraits traits[] = {
        [MEGA_TASK_CLASSIFY] = {.does = "classifies", .has_encoder = true, .has_head = true},
        [MEGA_TASK_TRANSLATE] = {.does = "translates", .has_encoder = true, .has_decoder = true,
                                 .has_cross = true},
        [MEGA_TASK_GENERATE] = {.does = "generates text", .has_decoder = true},
    };
    static const MegaTaskTraits unknown = {.does = "does nothing that this version knows"};
    _Static_assert(sizeof traits / sizeof traits[0] == MEGA_TASK_COUNT, "every task has a row");
    return (size_t)task < sizeof traits / sizeof traits[0] ? &traits[task] : &unknown;
}

/* ---- The table ------------------------------------------------------------------------------ */

typedef enum FieldType {
    FIELD_INT,
    FIELD_BOOL,
    FIELD_NAME, /* an enum, stored by its name */
    FIELD_KIND, /* a kind of layer, stored by its name; the first kind is not stored */
} FieldType;

/* Fields that only some kinds of embedding have, as bits 1 << MegaEmbedKind. */
#define TOKENS (1u << MEGA_EMBED_TOKENS)
#define FRAMES (1u << MEGA_EMBED_FRAMES)
#define PATCHES (1u << MEGA_EMBED_PATCHES)
#define ALL (~0u)

/* Fields that only tasks with one of these parts have. */
#define ENCODER 1u
#define HEAD 2u
#define DECODER 4u
#define CROSS 8u

typedef struct Field {
    const char *key;
    FieldType type;
    size_t offset; /* offset in MegaConfig; every field is an int, a bool or an enum */
    unsigned parts, embeds;
    int64_t min, max;  /* for FIELD_INT */
    const Name *names; /* for FIELD_NAME */
} Field;

#define INT(key, field, parts, embeds, min, max)                                                   \
    {key, FIELD_INT, offsetof(MegaConfig, field), parts, embeds, min, max, NULL}
#define BOOL(key, field, parts, embeds)                                                            \
    {key, FIELD_BOOL, offsetof(MegaConfig, field), parts, embeds, 0, 0, NULL}
#define NAME(key, field, parts, names)                                                             \
    {key, FIELD_NAME, offsetof(MegaConfig, field), parts, ALL, 0, 0, names}

/* These caps keep every product of two of them within 64 bits and every width within an int. */
#define MAX_WIDTH 65536
#define MAX_POSITIONS (1 << 26)
#define MAX_VOCAB (1 << 24)

/* The fields of a stack. Their keys begin with the name of the stack, which is that of the struct's
 * member. */
#define STACK(stack, parts)                                                                        \
    {#stack ".kind", FIELD_KIND, offsetof(MegaConfig, stack.kind), parts, ALL, 0, 0, NULL},        \
        INT(#stack ".layers", stack.layers, parts, ALL, 1, MEGA_MAX_LAYERS),                       \
        INT(#stack ".width", stack.width, parts, ALL, 1, MAX_WIDTH),                               \
        INT(#stack ".hidden", stack.hidden, parts, ALL, 1, MAX_WIDTH),                             \
        INT(#stack ".ffn", stack.ffn, parts, ALL, 0, 4 * MAX_WIDTH),                               \
        INT(#stack ".zdim", stack.zdim, parts, ALL, 1, MAX_WIDTH),                                 \
        INT(#stack ".ndim", stack.ndim, parts, ALL, 1, MEGA_MAX_NDIM),                             \
        INT(#stack ".chunk", stack.chunk, parts, ALL, 0, MAX_POSITIONS),                           \
        INT(#stack ".truncation", stack.truncation, parts, ALL, 0, MAX_POSITIONS),                 \
        INT(#stack ".max_positions", stack.max_positions, parts, ALL, 1, MAX_POSITIONS),           \
        BOOL(#stack ".bidirectional", stack.bidirectional, parts, ALL),                            \
        BOOL(#stack ".ema_shift", stack.ema_shift, parts, ALL),                                    \
        BOOL(#stack ".pre_norm", stack.pre_norm, parts, ALL),                                      \
        BOOL(#stack ".final_norm", stack.final_norm, parts, ALL),                                  \
        BOOL(#stack ".norm_affine", stack.norm_affine, parts, ALL),                                \
        BOOL(#stack ".final_norm_affine", stack.final_norm_affine, parts, ALL),                    \
        BOOL(#stack ".embed_norm", stack.embed_norm, parts, ALL),                                  \
        NAME(#stack ".norm", stack.norm, parts, norm_names),                                       \
        NAME(#stack ".attention", stack.attention, parts, attention_names),                        \
        NAME(#stack ".bias", stack.bias, parts, bias_names),                                       \
        NAME(#stack ".activation", stack.activation, parts, activation_names)

/* general.task and embed.kind come first, because other fields depend on them. */
static const Field fields[] = {
    NAME("general.task", task, ALL, task_names),
    NAME("embed.kind", embed.kind, ENCODER, embed_names),
    INT("embed.vocab", embed.vocab, ENCODER, TOKENS, 1, MAX_VOCAB),
    INT("embed.pad", embed.pad, ENCODER, TOKENS, -1, MAX_VOCAB),
    INT("embed.frame_length", embed.frame_length, ENCODER, FRAMES, 1, 1 << 20),
    INT("embed.frame_hop", embed.frame_hop, ENCODER, FRAMES, 1, 1 << 20),
    INT("embed.patch", embed.patch, ENCODER, PATCHES, 1, 4096),
    INT("embed.channels", embed.channels, ENCODER, PATCHES, 1, 4),
    INT("embed.height", embed.height, ENCODER, PATCHES, 1, 65536),
    INT("embed.width", embed.width, ENCODER, PATCHES, 1, 65536),
    BOOL("embed.positions", embed.positions, ENCODER, PATCHES),
    BOOL("embed.scale", embed.scale, CROSS, ALL),
    STACK(encoder, ENCODER),
    BOOL("head.projection", head.projection, HEAD, ALL),
    NAME("head.pooling", head.pooling, HEAD, pooling_names),
    BOOL("head.pair", head.pair, HEAD, ALL),
    INT("head.layers", head.layers, HEAD, ALL, 0, MEGA_MAX_HEAD_LAYERS),
    INT("head.width", head.width, HEAD, ALL, 0, MAX_WIDTH),
    NAME("head.activation", head.activation, HEAD, activation_names),
    BOOL("head.output_bias", head.output_bias, HEAD, ALL),
    INT("head.classes", head.classes, HEAD, ALL, 1, MAX_VOCAB),
    INT("target.vocab", target.vocab, DECODER, ALL, 1, MAX_VOCAB),
    INT("target.pad", target.pad, DECODER, ALL, 0, MAX_VOCAB),
    INT("target.eos", target.eos, DECODER, ALL, 0, MAX_VOCAB),
    INT("target.unk", target.unk, DECODER, ALL, 0, MAX_VOCAB),
    BOOL("target.scale", target.scale, DECODER, ALL),
    BOOL("target.adaptive_input", target.adaptive_input, DECODER, ALL),
    BOOL("target.input_projection", target.input_projection, DECODER, ALL),
    BOOL("target.adaptive_output", target.adaptive_output, DECODER, ALL),
    BOOL("target.output_projection", target.output_projection, DECODER, ALL),
    BOOL("target.split_head", target.split_head, DECODER, ALL),
    BOOL("target.tied_projections", target.tied_projections, DECODER, ALL),
    INT("target.max_positions", target.max_positions, DECODER, ALL, 1, MAX_POSITIONS),
    INT("target.cross_positions", target.cross_positions, CROSS, ALL, 1, MAX_POSITIONS),
    STACK(decoder, DECODER),
};

#define FIELD_COUNT (sizeof fields / sizeof fields[0])

static bool has_field(const MegaConfig *config, const Field *field)
{
    const MegaTaskTraits *traits = mega_task_traits(config->task);
    unsigned parts = (traits->has_encoder ? ENCODER : 0) | (traits->has_head ? HEAD : 0) |
                     (traits->has_decoder ? DECODER : 0) | (traits->has_cross ? CROSS : 0);
    return (field->parts == ALL || (field->parts & parts)) &&
           (field->embeds == ALL || (field->embeds & (1u << config->embed.kind)));
}

static int read_kind(const MegaLayerKind **out, const char *key, const MegaMeta *meta,
                     MegaError *err)
{
    const char *text;
    *out = NULL;
    if (!mega_meta_find(meta, key))
        return 0;
    int code = mega_meta_get_string(meta, key, &text, err);
    for (size_t i = 0; !code && mega_layer_kinds[i]; i++)
        if (strcmp(mega_layer_kinds[i]->name, text) == 0) {
            *out = i > 0 ? mega_layer_kinds[i] : NULL;
            return 0;
        }
    return code ? code
                : mega_fail(err, MEGA_ERR_UNSUPPORTED,
                            "metadata key '%s' is '%.60s', which this version does not know", key,
                            text);
}

static int read_field(MegaConfig *config, const Field *field, const MegaMeta *meta, MegaError *err)
{
    char *at = (char *)config + field->offset;
    const char *key = config->tensor_layout == MEGA_EARLIER_LAYOUT ? mega_earlier_key(field->key)
                                                                   : field->key;
    if (field->type == FIELD_BOOL)
        return mega_meta_get_bool(meta, key, (bool *)at, err);
    if (field->type == FIELD_KIND)
        return read_kind((const MegaLayerKind **)(void *)at, field->key, meta, err);
    int value;
    if (field->type == FIELD_INT) {
        int64_t wide;
        int code = mega_meta_get_int(meta, key, field->min, field->max, &wide, err);
        if (code)
            return code;
        value = (int)wide;
    } else {
        const char *text;
        int code = mega_meta_get_string(meta, key, &text, err);
        if (code)
            return code;
        value = value_of(field->names, text);
        if (value < 0)
            return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                             "metadata key '%s' is '%.60s', which this version does not know",
                             key, text);
    }
    memcpy(at, &value, sizeof value);
    return 0;
}

/* ---- Clusters, which are arrays ------------------------------------------------------------- */

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
                         "the tensors are laid out as number %d, which a later version writes; "
                         "this version knows 1 to %d",
                         (int)layout, MEGA_TENSOR_LAYOUT);
    if (!code)
        *out = (int)layout;
    return code;
}

/* Refuses a file of mega-convert --tokenizer-only with a message that it is not a model. */
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
    for (size_t i = 0; i < FIELD_COUNT && !code; i++)
        if (has_field(out, &fields[i]))
            code = read_field(out, &fields[i], meta, err);
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
    for (size_t i = 0; i < FIELD_COUNT && !code; i++) {
        const Field *field = &fields[i];
        const char *at = (const char *)config + field->offset;
        int value;
        if (!has_field(config, field))
            continue;
        if (field->type == FIELD_BOOL) {
            code = mega_meta_set_bool(meta, field->key, *(const bool *)at);
        } else if (field->type == FIELD_KIND) {
            const MegaLayerKind *kind = *(const MegaLayerKind *const *)(const void *)at;
            if (kind && kind != mega_layer_kinds[0])
                code = mega_meta_set_string(meta, field->key, kind->name);
        } else {
            memcpy(&value, at, sizeof value);
            code = field->type == FIELD_INT
                       ? mega_meta_set_int(meta, field->key, value)
                       : mega_meta_set_string(meta, field->key, name_of(field->names, value));
        }
        if (code)
            mega_fail(err, code, "no memory for metadata key '%s'", field->key);
    }
    if (!code && mega_config_has_decoder(config))
        code = write_clusters(&config->target.input, meta, "target.input_ends",
                              "target.input_widths", err);
    if (!code && mega_config_has_decoder(config))
        code = write_clusters(&config->target.output, meta, "target.output_ends",
                           "target.output_widths", err);
    return code;
}

/* ---- Consistency ---------------------------------------------------------------------------- */

static int check_ranges(const MegaConfig *config, MegaError *err)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const Field *field = &fields[i];
        int value;
        if (field->type == FIELD_BOOL || field->type == FIELD_KIND || !has_field(config, field))
            continue;
        memcpy(&value, (const char *)config + field->offset, sizeof value);
        if (field->type == FIELD_NAME ? !name_of(field->names, value)
                                      : value < field->min || value > field->max)
            return mega_fail(err, MEGA_ERR_MODEL, "%s is %d, outside of what this version can run",
                             field->key, value);
    }
    return 0;
}

static int check_stack(const MegaStackConfig *stack, const char *name, MegaError *err)
{
    if (stack->bias == MEGA_BIAS_ROTARY && stack->zdim % 2)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "%s.zdim is %d, but a rotary bias needs an even one", name, stack->zdim);
    return 0;
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
    if (embed->kind == MEGA_EMBED_TOKENS && embed->pad >= embed->vocab)
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

static int check_target(const MegaConfig *config, MegaError *err)
{
    const MegaTargetConfig *target = &config->target;
    int d = config->decoder.width, vocab = target->vocab;
    int code = check_clusters(&target->input, vocab, target->adaptive_input, "input", err);
    if (!code)
        code = check_clusters(&target->output, vocab, target->adaptive_output, "output", err);
    if (code)
        return code;
    if (target->pad >= vocab || target->eos >= vocab || target->unk >= vocab)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "target.pad, target.eos or target.unk is not below target.vocab, %d",
                         vocab);
    if (!target->input_projection && (target->adaptive_input || target->input.width[0] != d))
        return mega_fail(err, MEGA_ERR_MODEL,
                         "target.input_widths begins with %d, which needs a projection to "
                         "decoder.width %d",
                         target->input.width[0], d);
    if (!target->output_projection && target->output.width[0] != d)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "target.output_widths begins with %d, which needs a projection from "
                         "decoder.width %d",
                         target->output.width[0], d);
    if (target->output_projection && target->adaptive_output && !target->split_head)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "target.output_projection needs target.split_head");
    if (config->decoder.bidirectional || config->decoder.ema_shift)
        return mega_fail(err, MEGA_ERR_MODEL, "a decoder cannot look ahead");
    return 0;
}

int mega_config_check(const MegaConfig *config, MegaError *err)
{
    const MegaHeadConfig *head = &config->head;
    int code = check_ranges(config, err);
    if (!code && mega_config_has_encoder(config)) {
        code = check_stack(&config->encoder, "encoder", err);
        if (!code)
            code = check_embed(&config->embed, err);
    }
    if (!code && mega_config_has_head(config) && head->layers > 0 && head->width < 1)
        code = mega_fail(err, MEGA_ERR_MODEL, "head.layers is %d, but head.width is 0",
                         head->layers);
    if (!code && mega_config_has_decoder(config)) {
        code = check_stack(&config->decoder, "decoder", err);
        if (!code)
            code = check_decoder_kind(mega_stack_kind(&config->decoder),
                                      mega_config_has_cross(config), err);
        if (!code)
            code = check_target(config, err);
    }
    if (!code && mega_config_has_cross(config) &&
        (config->embed.kind != MEGA_EMBED_TOKENS || config->encoder.width != config->decoder.width))
        code = mega_fail(err, MEGA_ERR_MODEL,
                         "a translator needs embed.kind tokens and an encoder as wide as the "
                         "decoder");
    return code;
}

/* ---- Queries -------------------------------------------------------------------------------- */

MegaInputKind mega_config_input_kind(const MegaConfig *config)
{
    if (!mega_config_has_encoder(config))
        return MEGA_INPUT_TOKENS;
    switch (config->embed.kind) {
    case MEGA_EMBED_TOKENS: return MEGA_INPUT_TOKENS;
    case MEGA_EMBED_PATCHES: return MEGA_INPUT_IMAGE;
    case MEGA_EMBED_REAL:
    case MEGA_EMBED_FRAMES: break;
    }
    return MEGA_INPUT_SAMPLES;
}
