/*
 * config.h - every hyper-parameter of a model, as plain numbers.
 *
 * Tables in config.c {metadata key, field, type, range} both read a MegaConfig from the metadata of
 * a .mega file and write it there, so that the two cannot drift apart. What only one kind of layer
 * has stands in a struct and a table of that kind (layer_kind.h). mega_config_check states what
 * must hold between fields. Symbols follow MODEL.md: d is the width.
 */
#ifndef MEGA_CONFIG_H
#define MEGA_CONFIG_H

#include "formats/mega/meta.h"
#include "src/kernels/kernels.h"
#include "src/mega.h"
#include "src/model/field.h"

/* Fixed-size arrays rely on these caps; mega_config_check enforces them. */
#define MEGA_MAX_LAYERS 256
#define MEGA_MAX_HEAD_LAYERS 16
#define MEGA_MAX_CLUSTERS 16
#define MEGA_KIND_CONFIG_BYTES 256
/* These caps keep every product of two of them within 64 bits and every width within an int. */
#define MEGA_MAX_WIDTH 65536
#define MEGA_MAX_POSITIONS (1 << 26)

/* Values of "general.tensor_layout". Files without that key have the earlier layout. */
#define MEGA_EARLIER_LAYOUT 1 /* earlier.h */
#define MEGA_TENSOR_LAYOUT 2  /* every tensor is as tensors.c lists it */

/* Limits on products of hyper-parameters. */
#define MEGA_MAX_IMAGE_VALUES (1 << 28)
#define MEGA_MAX_FAN_IN (1 << 24)
#define MEGA_MAX_LENGTH (1 << 24) /* samples, numbers or tokens that fill a model */

typedef enum MegaEmbedKind {
    MEGA_EMBED_TOKENS, /* table lookup */
    MEGA_EMBED_REAL,   /* x_t * weight + bias, one real number per position */
    MEGA_EMBED_FRAMES, /* linear map of frame_length samples, with one frame every frame_hop */
    MEGA_EMBED_PATCHES, /* linear map of patch x patch x channels, plus a position embedding */
    MEGA_EMBED_ONE_HOT, /* a one in the column of the token */
} MegaEmbedKind;

typedef enum MegaNormKind {
    MEGA_NORM_LAYER,
    MEGA_NORM_SCALE,
    MEGA_NORM_RMS,
    MEGA_NORM_BATCH,
    MEGA_NORM_NONE,
    MEGA_NORM_SCALARS,  /* (x - mean + shift) / deviation * scalar, two numbers for all features */
    MEGA_NORM_MULTIPLY, /* x * weight, without any division */
} MegaNormKind;

typedef enum MegaPositionKind {
    MEGA_POSITIONS_NONE, /* the embedding adds none */
    MEGA_POSITIONS_SINUSOIDAL,
    MEGA_POSITIONS_LEARNED, /* from a table, which limits a sequence to max_positions */
} MegaPositionKind;

typedef enum MegaPooling {
    MEGA_POOL_MEAN,
    MEGA_POOL_FIRST, /* position 0, the <CLS> token */
    MEGA_POOL_LAST,
    MEGA_POOL_SUM,
    MEGA_POOL_NONE, /* every position has logits of its own */
} MegaPooling;

/* Says what the head sees of two pooled vectors: a of the first input and b of the second. */
typedef enum MegaPairKind {
    MEGA_PAIR_SECOND_FIRST, /* b, a */
    MEGA_PAIR_FIRST_SECOND, /* a, b */
    MEGA_PAIR_COMPARED,     /* a, b, a - b, a b */
} MegaPairKind;

typedef struct MegaLayerKind MegaLayerKind;

/* Configures a stack of layers, which are all of one kind. */
typedef struct MegaStackConfig {
    const MegaLayerKind *kind; /* of its layers (layer_kind.h); NULL: the first kind, "mega" */
    int layers;
    int width;         /* d */
    int ffn;           /* inner width of the feed-forward block; 0: no block */
    int max_positions; /* length that the model was made for; only some kinds refuse a longer one */
    bool bidirectional;
    bool pre_norm;
    bool ffn_norm_differs; /* the feed-forward block is pre-norm just if the rest is post-norm */
    bool final_norm; /* a norm follows the stack */
    bool norm_affine, final_norm_affine; /* false: the norms have no weight and bias */
    bool embed_norm; /* a norm follows the embedding */
    bool tied_layers; /* all layers have the weights of the first */
    MegaPositionKind positions; /* added to the embedding, before its norm */
    MegaNormKind norm;
    MegaActivation activation; /* in the feed-forward block, and where a kind says */
    /* The hyper-parameters that only this kind of layer has, in the struct that the kind declares
     * (MegaGatedConfig in src/layers/mega_config.h). */
    _Alignas(8) unsigned char own[MEGA_KIND_CONFIG_BYTES];
} MegaStackConfig;

typedef struct MegaEmbedConfig {
    MegaEmbedKind kind;
    int vocab;        /* rows of the token table */
    int pad;          /* padding id; -1: none */
    int types;        /* rows of the table of token types; 0: none */
    int frame_length, frame_hop;
    int patch;        /* edge of a patch */
    int channels, height, width; /* size of the image, for patches */
    bool positions;   /* patches: there is a learned position embedding */
    bool scale;       /* embeddings are multiplied by sqrt(d) */
} MegaEmbedConfig;

/* Maps the encoder's states to logits (MODEL.md, "Heads"): [Linear d->d + silu] -> pooling ->
 * layers x (Linear + activation) -> Linear. Without pooling, each position goes through the rest.
 */
typedef struct MegaHeadConfig {
    bool projection;  /* the per-position Linear + silu of the image model */
    MegaPooling pooling;
    bool pair;        /* there are two inputs */
    MegaPairKind pair_kind;
    int layers, width; /* hidden layers after pooling and their width */
    MegaActivation activation;
    bool output_bias;
    int classes;      /* 0: the vector before the last Linear is the result */
    bool independent; /* several classes may hold at once: sigmoid instead of softmax */
} MegaHeadConfig;

/* Divides a vocabulary into clusters of consecutive ids. Cluster i holds the ids end[i - 1] ...
 * end[i] - 1 in tables that are width[i] wide. A plain table is one cluster. The last end is the
 * size of the vocabulary. */
typedef struct MegaClusters {
    int count;
    int end[MEGA_MAX_CLUSTERS];
    int width[MEGA_MAX_CLUSTERS];
} MegaClusters;

/* Describes the vocabulary that a decoder reads and predicts (MODEL.md, "Embeddings" and
 * "Heads"). */
typedef struct MegaTargetConfig {
    int vocab;
    int pad, eos, unk; /* ids, or -1; eos also begins every sequence without bare_start */
    bool bare_start;   /* a sequence begins with the first token of its text */
    bool begins_with_bos; /* a text to continue begins with <s>, id 0, and not with </s> */
    int types;         /* rows of the table of token types, of which row 0 is added; 0: none */
    bool scale;        /* embeddings are multiplied by sqrt(d) */
    bool adaptive_input;
    bool input_projection; /* tables are projected to d; always true for adaptive input */
    MegaClusters input;
    bool adaptive_output;   /* adaptive softmax, which gives log-probabilities */
    bool output_projection; /* d is first projected to the width of the (first) output table */
    int output_width; /* adaptive, not tied: d is projected to this for all clusters; 0: it is d */
    bool split_head; /* adaptive, tied: the head has one table of words, one of clusters */
    bool tied_projections; /* adaptive: the tails use the embedding's, transposed */
    bool output_dense;     /* a Linear d -> d and tanh stand before the output */
    bool output_bias;
    bool untruncated; /* a full pass does not truncate the moving average unless it is told to */
    MegaClusters output;
    int max_positions;   /* largest number of tokens that a search may make */
    int cross_positions; /* M of the simple bias of the cross attention */
} MegaTargetConfig;

/* Says what the models of a task are called, and which parts they have; the other parts of a
 * MegaConfig do not count. */
typedef struct MegaTaskTraits {
    const char *model;   /* "classifier" */
    const char *does;    /* "classifies" */
    const char *does_to; /* the verb before an object, as in "fills masks in" texts */
    bool takes_media; /* takes sound and pictures as well as texts, by the model's preprocessing */
    bool has_encoder; /* uses `embed` and `encoder` */
    bool has_head;    /* has a head on the encoder's states */
    bool labels_positions; /* that head gives logits at every position */
    bool has_decoder; /* uses `target` and `decoder` */
    bool has_cross;   /* the decoder's layers attend to the encoder's states of a source */
} MegaTaskTraits;

const MegaTaskTraits *mega_task_traits(MegaTask task);
/* Returns the task's name in metadata, which is that of its command: "classify". */
const char *mega_task_name(MegaTask task);

typedef struct MegaConfig {
    int tensor_layout; /* the layout of the file read (stored.h); the newest is written */
    MegaTask task;
    MegaEmbedConfig embed;
    MegaStackConfig encoder;
    MegaHeadConfig head;
    MegaTargetConfig target;
    MegaStackConfig decoder; /* never bidirectional */
} MegaConfig;

static inline bool mega_config_has_encoder(const MegaConfig *config)
{
    return mega_task_traits(config->task)->has_encoder;
}

static inline bool mega_config_has_decoder(const MegaConfig *config)
{
    return mega_task_traits(config->task)->has_decoder;
}

static inline bool mega_config_has_head(const MegaConfig *config)
{
    return mega_task_traits(config->task)->has_head;
}

static inline bool mega_config_has_cross(const MegaConfig *config)
{
    return mega_task_traits(config->task)->has_cross;
}

/* Returns the kind of input that a model takes. Without an encoder it is the decoder's. */
MegaInputKind mega_config_input_kind(const MegaConfig *config);

/* These read a configuration from metadata, and add it to metadata. Both check it. Reading returns
 * MEGA_ERR_MODEL for a key that is missing or wrong, and MEGA_ERR_UNSUPPORTED for a name or a
 * layout that this version does not know; writing also returns MEGA_ERR_MEMORY. */
int mega_config_read(MegaConfig *out, const MegaMeta *meta, MegaError *err);
int mega_config_write(const MegaConfig *config, MegaMeta *meta, MegaError *err);
/* Checks the ranges of fields and the conditions between them. Returns MEGA_ERR_MODEL and names the
 * wrong key. */
int mega_config_check(const MegaConfig *config, MegaError *err);

/* These translate between values and their names in metadata, which are the original's names for
 * its arguments where it has one ("layernorm", "silu"). An unknown name gives -1. */
const char *mega_norm_name(MegaNormKind kind);
int mega_norm_by_name(const char *name);       /* "syncbatchnorm" is batchnorm */
int mega_activation_by_name(const char *name); /* also "swish", "gelu_fast" and others */

/* Returns whether the feed-forward block norms its input, and not its output. */
static inline bool mega_ffn_pre_norm(const MegaStackConfig *stack)
{
    return stack->pre_norm != stack->ffn_norm_differs;
}

/* Returns the number of ids in a cluster. */
static inline int mega_cluster_size(const MegaClusters *clusters, int cluster)
{
    return clusters->end[cluster] - (cluster ? clusters->end[cluster - 1] : 0);
}

/* Returns the width of what the head's first linear map sees, d being that of a pooled vector. */
static inline uint64_t mega_pooled_width(const MegaHeadConfig *head, uint64_t d)
{
    return !head->pair ? d : head->pair_kind == MEGA_PAIR_COMPARED ? 4 * d : 2 * d;
}

/* Returns the width of the states that the tables and projections of the output's clusters take. */
static inline int mega_output_width(const MegaConfig *config)
{
    return config->target.output_width > 0 ? config->target.output_width : config->decoder.width;
}

/* Returns whether a projection precedes the whole output, and not only one cluster. */
static inline bool mega_config_projects_output(const MegaConfig *config)
{
    const MegaTargetConfig *target = &config->target;
    return target->output_width > 0 || (target->output_projection && !target->adaptive_output);
}

/* Products of hyper-parameters. They are computed only here, in 64 bits, and mega_config_check
 * keeps each below the limit that its comment names. */

/* Returns the number of values of an image [channels][height][width], at most
 * MEGA_MAX_IMAGE_VALUES. */
static inline uint64_t mega_image_values(const MegaEmbedConfig *embed)
{
    return (uint64_t)embed->channels * (uint64_t)embed->height * (uint64_t)embed->width;
}

/* Returns the number of patches of an image, which are its positions. It never exceeds the number
 * of values. */
static inline uint64_t mega_image_patches(const MegaEmbedConfig *embed)
{
    return (uint64_t)(embed->height / embed->patch) * (uint64_t)(embed->width / embed->patch);
}

/* Returns how many values a linear embedding combines into one position: those of a frame or of a
 * patch, at most MEGA_MAX_FAN_IN. For other embeddings it is 0. */
static inline uint64_t mega_embed_fan_in(const MegaEmbedConfig *embed)
{
    if (embed->kind == MEGA_EMBED_FRAMES)
        return (uint64_t)embed->frame_length;
    if (embed->kind == MEGA_EMBED_PATCHES)
        return (uint64_t)embed->channels * (uint64_t)embed->patch * (uint64_t)embed->patch;
    return 0;
}

/* Returns the length of an input (MegaInput.length) that fills a classifier: an image, or as many
 * samples, numbers or tokens as its encoder has positions. It is at most MEGA_MAX_LENGTH, however
 * many positions a model claims. */
uint64_t mega_config_input_length(const MegaConfig *config);

#endif
