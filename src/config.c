/*
 * config.c - MegaConfig <-> metadata, by one table; and what must hold between its fields.
 */
#include "config.h"

#include <string.h>

/* ---- Names of kinds ------------------------------------------------------------------------- */

typedef struct Name {
    const char *text;
    int value;
} Name;

/* The first name of a value is the one that is written; later ones are accepted on import. */
static const Name task_names[] = {{"classify", MEGA_TASK_CLASSIFY}, {NULL, -1}};
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

const char *mega_bias_name(MegaBiasKind kind)
{
    return name_of(bias_names, (int)kind);
}

int mega_bias_by_name(const char *name)
{
    return value_of(bias_names, name);
}

const char *mega_activation_name(MegaActivation kind)
{
    return name_of(activation_names, (int)kind);
}

int mega_activation_by_name(const char *name)
{
    return value_of(activation_names, name);
}

const char *mega_pooling_name(MegaPooling kind)
{
    return name_of(pooling_names, (int)kind);
}

const char *mega_embed_name(MegaEmbedKind kind)
{
    return name_of(embed_names, (int)kind);
}

/* ---- The table ------------------------------------------------------------------------------ */

typedef enum FieldType {
    FIELD_INT,
    FIELD_BOOL,
    FIELD_NAME, /* an enum, stored by its name */
} FieldType;

/* Fields that only some kinds of embedding have: bits 1 << MegaEmbedKind. */
#define TOKENS (1u << MEGA_EMBED_TOKENS)
#define FRAMES (1u << MEGA_EMBED_FRAMES)
#define PATCHES (1u << MEGA_EMBED_PATCHES)
#define ALL (~0u)

typedef struct Field {
    const char *key;
    FieldType type;
    size_t offset; /* in MegaConfig; every field is an int, a bool or an enum */
    unsigned embeds;
    int64_t min, max;  /* FIELD_INT */
    const Name *names; /* FIELD_NAME */
} Field;

#define INT(key, field, embeds, min, max)                                                          \
    {key, FIELD_INT, offsetof(MegaConfig, field), embeds, min, max, NULL}
#define BOOL(key, field, embeds)                                                                   \
    {key, FIELD_BOOL, offsetof(MegaConfig, field), embeds, 0, 0, NULL}
#define NAME(key, field, names)                                                                    \
    {key, FIELD_NAME, offsetof(MegaConfig, field), ALL, 0, 0, names}

/* The caps keep every product of two of them inside 64 bits and every width inside an int. */
#define MAX_WIDTH 65536
#define MAX_POSITIONS (1 << 26)

/* embed.kind comes before all that depends on it. */
static const Field fields[] = {
    NAME("general.task", task, task_names),
    NAME("embed.kind", embed.kind, embed_names),
    INT("embed.vocab", embed.vocab, TOKENS, 1, 1 << 24),
    INT("embed.pad", embed.pad, TOKENS, -1, 1 << 24),
    INT("embed.frame_length", embed.frame_length, FRAMES, 1, 1 << 20),
    INT("embed.frame_hop", embed.frame_hop, FRAMES, 1, 1 << 20),
    INT("embed.patch", embed.patch, PATCHES, 1, 4096),
    INT("embed.channels", embed.channels, PATCHES, 1, 4),
    INT("embed.height", embed.height, PATCHES, 1, 65536),
    INT("embed.width", embed.width, PATCHES, 1, 65536),
    BOOL("embed.positions", embed.positions, PATCHES),
    INT("encoder.layers", encoder.layers, ALL, 1, MEGA_MAX_LAYERS),
    INT("encoder.width", encoder.width, ALL, 1, MAX_WIDTH),
    INT("encoder.hidden", encoder.hidden, ALL, 1, MAX_WIDTH),
    INT("encoder.ffn", encoder.ffn, ALL, 0, 4 * MAX_WIDTH),
    INT("encoder.zdim", encoder.zdim, ALL, 1, MAX_WIDTH),
    INT("encoder.ndim", encoder.ndim, ALL, 1, MEGA_MAX_NDIM),
    INT("encoder.chunk", encoder.chunk, ALL, 0, MAX_POSITIONS),
    INT("encoder.truncation", encoder.truncation, ALL, 0, MAX_POSITIONS),
    INT("encoder.max_positions", encoder.max_positions, ALL, 1, MAX_POSITIONS),
    BOOL("encoder.bidirectional", encoder.bidirectional, ALL),
    BOOL("encoder.ema_shift", encoder.ema_shift, ALL),
    BOOL("encoder.pre_norm", encoder.pre_norm, ALL),
    BOOL("encoder.final_norm", encoder.final_norm, ALL),
    BOOL("encoder.norm_affine", encoder.norm_affine, ALL),
    BOOL("encoder.final_norm_affine", encoder.final_norm_affine, ALL),
    BOOL("encoder.embed_norm", encoder.embed_norm, ALL),
    NAME("encoder.norm", encoder.norm, norm_names),
    NAME("encoder.attention", encoder.attention, attention_names),
    NAME("encoder.bias", encoder.bias, bias_names),
    NAME("encoder.activation", encoder.activation, activation_names),
    BOOL("head.projection", head.projection, ALL),
    NAME("head.pooling", head.pooling, pooling_names),
    BOOL("head.pair", head.pair, ALL),
    INT("head.layers", head.layers, ALL, 0, MEGA_MAX_HEAD_LAYERS),
    INT("head.width", head.width, ALL, 0, MAX_WIDTH),
    NAME("head.activation", head.activation, activation_names),
    BOOL("head.output_bias", head.output_bias, ALL),
    INT("head.classes", head.classes, ALL, 1, 1 << 24),
};

#define FIELD_COUNT (sizeof fields / sizeof fields[0])

static bool has_field(const MegaConfig *config, const Field *field)
{
    return field->embeds == ALL || (field->embeds & (1u << config->embed.kind));
}

static int read_field(MegaConfig *config, const Field *field, const MegaMeta *meta, MegaError *err)
{
    char *at = (char *)config + field->offset;
    if (field->type == FIELD_BOOL)
        return mega_meta_get_bool(meta, field->key, (bool *)at, err);
    int value;
    if (field->type == FIELD_INT) {
        int64_t wide;
        int code = mega_meta_get_int(meta, field->key, field->min, field->max, &wide, err);
        if (code)
            return code;
        value = (int)wide;
    } else {
        const char *text;
        int code = mega_meta_get_string(meta, field->key, &text, err);
        if (code)
            return code;
        value = value_of(field->names, text);
        if (value < 0)
            return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                             "metadata key '%s' is '%.60s', which this version does not know",
                             field->key, text);
    }
    memcpy(at, &value, sizeof value);
    return 0;
}

int mega_config_read(MegaConfig *out, const MegaMeta *meta, MegaError *err)
{
    *out = (MegaConfig){.embed.pad = -1};
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (!has_field(out, &fields[i]))
            continue;
        int code = read_field(out, &fields[i], meta, err);
        if (code)
            return code;
    }
    return mega_config_check(out, err);
}

int mega_config_write(const MegaConfig *config, MegaMeta *meta, MegaError *err)
{
    int code = mega_config_check(config, err);
    for (size_t i = 0; i < FIELD_COUNT && !code; i++) {
        const Field *field = &fields[i];
        const char *at = (const char *)config + field->offset;
        int value;
        if (!has_field(config, field))
            continue;
        if (field->type == FIELD_BOOL) {
            code = mega_meta_set_bool(meta, field->key, *(const bool *)at);
        } else {
            memcpy(&value, at, sizeof value);
            code = field->type == FIELD_INT
                       ? mega_meta_set_int(meta, field->key, value)
                       : mega_meta_set_string(meta, field->key, name_of(field->names, value));
        }
        if (code)
            mega_fail(err, code, "no memory for metadata key '%s'", field->key);
    }
    return code;
}

/* ---- Consistency ---------------------------------------------------------------------------- */

static int check_ranges(const MegaConfig *config, MegaError *err)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const Field *field = &fields[i];
        int value;
        if (field->type == FIELD_BOOL || !has_field(config, field))
            continue;
        memcpy(&value, (const char *)config + field->offset, sizeof value);
        if (field->type == FIELD_NAME ? !name_of(field->names, value)
                                      : value < field->min || value > field->max)
            return mega_fail(err, MEGA_ERR_MODEL, "%s is %d, outside of what this version can run",
                             field->key, value);
    }
    return 0;
}

int mega_config_check(const MegaConfig *config, MegaError *err)
{
    const MegaEmbedConfig *embed = &config->embed;
    const MegaHeadConfig *head = &config->head;
    int code = check_ranges(config, err);
    if (code)
        return code;
    if (config->encoder.bias == MEGA_BIAS_ROTARY && config->encoder.zdim % 2)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "encoder.zdim is %d, but a rotary bias needs an even one",
                         config->encoder.zdim);
    if (embed->kind == MEGA_EMBED_TOKENS && embed->pad >= embed->vocab)
        return mega_fail(err, MEGA_ERR_MODEL, "embed.pad is %d, but the vocabulary has %d entries",
                         embed->pad, embed->vocab);
    if (embed->kind == MEGA_EMBED_FRAMES &&
        (embed->frame_length < embed->frame_hop || (embed->frame_length - embed->frame_hop) % 2))
        return mega_fail(err, MEGA_ERR_MODEL,
                         "embed.frame_length %d must exceed embed.frame_hop %d by an even number",
                         embed->frame_length, embed->frame_hop);
    if (embed->kind == MEGA_EMBED_PATCHES &&
        (embed->height % embed->patch || embed->width % embed->patch))
        return mega_fail(err, MEGA_ERR_MODEL, "an image of %d x %d is not whole patches of %d",
                         embed->width, embed->height, embed->patch);
    if (head->layers > 0 && head->width < 1)
        return mega_fail(err, MEGA_ERR_MODEL, "head.layers is %d, but head.width is 0",
                         head->layers);
    return 0;
}
