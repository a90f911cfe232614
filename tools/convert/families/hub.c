/*
 * hub.c - detects the MEGA classes of the Hugging Face library (model_type "mega").
 *
 * Unlike in other families, config.json says everything, and a key that is absent has the library's
 * default. The shapes of tensors are checked against it when they are listed.
 */
#include "tools/convert/families/detection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/layers/mega_config.h"

/* ---- Keys ----------------------------------------------------------------------------------- */

static int whole(const Detection *detection, const char *key, int least, int fallback, int *out)
{
    int code = argument_integer(detection->args, key, NULL, fallback, out, detection->err);
    if (!code && *out < least)
        code = mega_fail(detection->err, MEGA_ERR_MODEL,
                         "config.json: %s is %d, but at least %d "
                         "was expected",
                         key, *out, least);
    return code;
}

/* Reads a flag. One of null is None in the library, which is not true. */
static int flag(const Detection *detection, const char *key, bool fallback, bool *out)
{
    const json_t *value = argument(detection->args, key, NULL);
    *out = fallback;
    if (!value)
        return 0;
    if (!json_is_boolean(value) && !json_is_null(value))
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "config.json: %s is neither true nor false", key);
    *out = json_is_true(value);
    return 0;
}

typedef struct Choice {
    const char *name;
    int value;
} Choice;

/* Reads a name. Any other than those of the list, which ends with NULL, is an error that names
 * them. */
static int choice(const Detection *detection, const char *key, const Choice *choices,
                  const char *fallback, int *out)
{
    const json_t *value = argument(detection->args, key, NULL);
    const char *name = !value || json_is_null(value) ? fallback : json_string_value(value);
    char expected[256] = "";
    for (size_t i = 0; choices[i].name; i++) {
        const size_t used = strlen(expected);
        if (name && strcmp(choices[i].name, name) == 0) {
            *out = choices[i].value;
            return 0;
        }
        snprintf(expected + used, sizeof expected - used, "%s%s", i ? ", " : "", choices[i].name);
    }
    return mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                     "config.json: %s '%.60s' is not supported; expected one of %s", key,
                     name ? name : "(not a text)", expected);
}

static const Choice activations[] = {
    {"silu", MEGA_ACTIVATION_SILU},
    {"swish", MEGA_ACTIVATION_SILU},
    {"relu", MEGA_ACTIVATION_RELU},
    {"linear", MEGA_ACTIVATION_LINEAR},
    {"tanh", MEGA_ACTIVATION_TANH},
    {"sigmoid", MEGA_ACTIVATION_SIGMOID},
    {"gelu", MEGA_ACTIVATION_GELU},
    {"gelu_python", MEGA_ACTIVATION_GELU},
    {"gelu_accurate", MEGA_ACTIVATION_GELU_TANH},
    {"gelu_new", MEGA_ACTIVATION_GELU_TANH},
    {"gelu_fast", MEGA_ACTIVATION_GELU_TANH},
    {"gelu_pytorch_tanh", MEGA_ACTIVATION_GELU_TANH},
    {NULL, 0},
};
static const Choice attentions[] = {{"softmax", MEGA_ATTENTION_SOFTMAX},
                                    {"laplace", MEGA_ATTENTION_LAPLACE},
                                    {"relu2", MEGA_ATTENTION_RELU2},
                                    {NULL, 0}};
/* "rmsnorm" has a scale but no division: the library computes the quotient and then does not use
 * it. */
static const Choice norms[] = {{"scalenorm", MEGA_NORM_SCALE},     {"layernorm", MEGA_NORM_LAYER},
                               {"rmsnorm", MEGA_NORM_MULTIPLY},    {"batchnorm", MEGA_NORM_BATCH},
                               {"syncbatchnorm", MEGA_NORM_BATCH}, {NULL, 0}};
static const Choice biases[] = {
    {"rotary", MEGA_BIAS_ROTARY}, {"simple", MEGA_BIAS_SIMPLE}, {NULL, 0}};

/* ---- Classes -------------------------------------------------------------------------------- */

/* A class, and a tensor that only its models have; the first class whose tensor is there counts if
 * config.json does not name one. */
typedef struct HubClass {
    const char *name, *mark;
    MegaTask task;
    MegaPooling pooling;
    const NameRule *tensor_names;
} HubClass;

static const HubClass classes[] = {
    {"MegaForMaskedLM", "mlm_head.bias", MEGA_TASK_FILL, MEGA_POOL_NONE, hub_names},
    {"MegaForCausalLM", "lm_head.bias", MEGA_TASK_GENERATE, MEGA_POOL_NONE, hub_causal_names},
    {"MegaForSequenceClassification", "classifier.out_proj.weight", MEGA_TASK_CLASSIFY,
     MEGA_POOL_FIRST, hub_names},
    {"MegaForQuestionAnswering", "qa_outputs.weight", MEGA_TASK_ANSWER, MEGA_POOL_NONE, hub_names},
    {"MegaForTokenClassification", "classifier.weight", MEGA_TASK_TAG, MEGA_POOL_NONE, hub_names},
    {"MegaForMultipleChoice", "classifier.weight", MEGA_TASK_CHOOSE, MEGA_POOL_FIRST, hub_names},
    {"MegaModel", "mega.embedding_layer.word_embeddings.weight", MEGA_TASK_EMBED, MEGA_POOL_FIRST,
     hub_names},
};

#define CLASSES (sizeof classes / sizeof classes[0])

int hub_check_type(const json_t *args, MegaError *err)
{
    const char *type = json_string_value(json_object_get(args, "model_type"));
    if (!type || strcmp(type, "mega") == 0)
        return 0;
    return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                     "config.json: model_type is '%.60s', but only 'mega' is supported", type);
}

static const HubClass *class_of_tensors(const Detection *detection)
{
    const bool pools = detection_find(detection, "mega.pooler.dense.weight") != NULL;
    for (size_t i = 0; i < CLASSES; i++) {
        const MegaCheckpointTensor *mark = detection_find(detection, classes[i].mark);
        if (!mark || (classes[i].task == MEGA_TASK_TAG && pools && tensor_dimension(mark, 0) == 1))
            continue;
        return &classes[i];
    }
    return &classes[CLASSES - 1];
}

static int find_class(const Detection *detection, const HubClass **out)
{
    const json_t *list = argument(detection->args, "architectures", NULL);
    const char *name = json_string_value(json_array_get(list, 0));
    if (!name) {
        *out = class_of_tensors(detection);
        return 0;
    }
    for (size_t i = 0; i < CLASSES; i++)
        if (strcmp(classes[i].name, name) == 0) {
            *out = &classes[i];
            return 0;
        }
    return mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                     "config.json: the class '%.60s' in architectures is none of MEGA's", name);
}

/* ---- The stack ------------------------------------------------------------------------------ */

static int detect_sizes(Detection *detection, MegaStackConfig *stack, MegaGatedConfig *own)
{
    const struct {
        const char *key;
        int least, fallback, *out;
    } sizes[] = {{"hidden_size", 1, 128, &stack->width},
                 {"num_hidden_layers", 1, 4, &stack->layers},
                 {"intermediate_size", 1, 256, &own->hidden},
                 {"ema_projection_size", 1, 16, &own->ndim},
                 {"shared_representation_size", 1, 64, &own->zdim},
                 {"nffn_hidden_size", 1, 256, &stack->ffn},
                 {"max_positions", 1, 2048, &stack->max_positions}};
    int code = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && !code; i++)
        code = whole(detection, sizes[i].key, sizes[i].least, sizes[i].fallback, sizes[i].out);
    if (!code && stack->layers > MEGA_MAX_LAYERS)
        code = mega_fail(detection->err, MEGA_ERR_LIMIT,
                         "config.json: num_hidden_layers is %d, but at most %d are possible",
                         stack->layers, MEGA_MAX_LAYERS);
    return code;
}

static int detect_functions(Detection *detection, MegaStackConfig *stack, MegaGatedConfig *own)
{
    int norm = 0, activation = 0, attention = 0, bias = 0;
    int code = choice(detection, "normalization_type", norms, "scalenorm", &norm);
    if (!code)
        code = choice(detection, "activation", activations, "silu", &activation);
    if (!code)
        code = choice(detection, "attention_activation", attentions, "softmax", &attention);
    if (!code)
        code = choice(detection, "relative_positional_bias", biases, "rotary", &bias);
    stack->norm = (MegaNormKind)norm;
    stack->activation = (MegaActivation)activation;
    own->attention = (MegaAttentionKind)attention;
    own->bias = (MegaBiasKind)bias;
    own->rotary_float32 = own->bias == MEGA_BIAS_ROTARY;
    if (!code && own->bias == MEGA_BIAS_ROTARY && (stack->width % 2 || own->zdim % 2))
        code = mega_fail(detection->err, MEGA_ERR_MODEL,
                         "config.json: a rotary bias needs an even hidden_size and "
                         "shared_representation_size, but they are %d and %d",
                         stack->width, own->zdim);
    return code;
}

static int detect_places(Detection *detection, MegaStackConfig *stack)
{
    bool ffn = true, ffn_pre_norm = true;
    int code = flag(detection, "bidirectional", true, &stack->bidirectional);
    if (!code)
        code = flag(detection, "normalize_before_mega", true, &stack->pre_norm);
    if (!code)
        code = flag(detection, "normalize_before_ffn", true, &ffn_pre_norm);
    if (!code)
        code = flag(detection, "norm_affine", true, &stack->norm_affine);
    if (!code)
        code = flag(detection, "use_normalized_ffn", true, &ffn);
    if (!ffn)
        stack->ffn = 0;
    stack->ffn_norm_differs = ffn && ffn_pre_norm != stack->pre_norm;
    return code;
}

/* Reads chunk and truncation. The centre of a simple bias is that of the chunk size also if there
 * are no chunks: then the chunk size is the largest number of positions. */
static int detect_reach(Detection *detection, MegaStackConfig *stack, MegaGatedConfig *own)
{
    const int table = stack->max_positions;
    const json_t *truncation = argument(detection->args, "truncation", NULL);
    bool chunks = false;
    int chunk = -1;
    int code = flag(detection, "use_chunking", false, &chunks);
    if (!code)
        code = argument_integer(detection->args, "chunk_size", NULL, -1, &chunk, detection->err);
    if (!code && truncation && !json_is_null(truncation))
        code = whole(detection, "truncation", 1, 1, &own->truncation);
    if (code)
        return code;
    if (detection->chunk_size >= 0 && own->bias == MEGA_BIAS_SIMPLE)
        return mega_fail(detection->err, MEGA_ERR_ARGUMENT,
                         "the chunk size of a simple bias cannot be changed");
    if (detection->chunk_size >= 0) {
        own->chunk = (int)detection->chunk_size;
        return 0;
    }
    if (chunks && chunk <= 0)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "config.json: use_chunking is true, but chunk_size is %d", chunk);
    own->chunk = chunks ? chunk : 0;
    if (own->bias != MEGA_BIAS_SIMPLE || chunk < 0)
        return 0;
    if (chunk == 0 || chunk > table)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "config.json: chunk_size is %d, but the table of the simple bias is for 1 "
                         "to max_positions, %d",
                         chunk, table);
    stack->max_positions = chunk;
    return 0;
}

/* Checks the tables of a simple bias, which have more entries than the model reads if there is a
 * chunk size. */
static int check_bias_tables(const Detection *detection, const MegaStackConfig *stack)
{
    int positions = 0;
    int code = whole(detection, "max_positions", 1, 2048, &positions);
    for (int i = 0; i < stack->layers && !code; i++) {
        char name[96];
        snprintf(name, sizeof name, "mega.layers.%d.mega_layer.rel_pos_bias.rel_pos_bias", i);
        const MegaCheckpointTensor *table = detection_find(detection, name);
        if (table && (table->rank != 1 || table->shape[0] != 2 * (uint64_t)positions - 1))
            code = mega_fail(detection->err, MEGA_ERR_MODEL,
                             "tensor '%s' has %llu entries, but max_positions %d implies %d",
                             table->name, (unsigned long long)table->elements, positions,
                             2 * positions - 1);
    }
    return code;
}

static int detect_stack(Detection *detection, MegaStackConfig *stack)
{
    MegaGatedConfig own = {0};
    int code = detect_sizes(detection, stack, &own);
    if (!code)
        code = detect_functions(detection, stack, &own);
    if (!code)
        code = detect_places(detection, stack);
    if (!code)
        code = detect_reach(detection, stack, &own);
    if (!code && own.bias == MEGA_BIAS_SIMPLE)
        code = check_bias_tables(detection, stack);
    *mega_gated_of(stack) = own;
    return code;
}

/* ---- Heads ---------------------------------------------------------------------------------- */

int hub_label_count(const json_t *args)
{
    const json_t *labels = json_object_get(args, "id2label");
    if (json_is_object(labels))
        return (int)json_object_size(labels);
    const json_t *count = json_object_get(args, "num_labels");
    return json_is_integer(count) && json_integer_value(count) > 0 &&
                   json_integer_value(count) < INT32_MAX
               ? (int)json_integer_value(count)
               : 2;
}

/* Checks the number of labels with a message of its own, since it is often wrong in config.json. */
static int check_labels(const Detection *detection, const char *name, int labels)
{
    const MegaCheckpointTensor *output = detection_find(detection, name);
    if (!output || tensor_dimension(output, 0) == labels)
        return 0;
    return mega_fail(detection->err, MEGA_ERR_MODEL,
                     "config.json has %d labels (id2label), but tensor '%s' is for %d", labels,
                     output->name, tensor_dimension(output, 0));
}

static int detect_head(Detection *detection, const HubClass *class, MegaConfig *config)
{
    MegaHeadConfig *head = &config->head;
    const int labels = hub_label_count(detection->args), d = config->encoder.width;
    const char *problem = argument_string(detection->args, "problem_type", NULL);
    bool dense = true;
    int code = 0;
    *head = (MegaHeadConfig){.pooling = class->pooling,
                             .layers = 1,
                             .width = d,
                             .activation = MEGA_ACTIVATION_TANH,
                             .output_bias = true};
    switch (config->task) {
    case MEGA_TASK_FILL:
        code = flag(detection, "add_lm_hidden_dense_layer", true, &dense);
        head->layers = dense;
        head->classes = config->embed.vocab;
        break;
    case MEGA_TASK_CLASSIFY:
        head->classes = labels;
        head->independent =
            labels == 1 || (problem && strcmp(problem, "multi_label_classification") == 0);
        code = check_labels(detection, "classifier.out_proj.weight", labels);
        break;
    case MEGA_TASK_TAG:
        head->classes = labels;
        head->layers = 0;
        code = check_labels(detection, "classifier.weight", labels);
        break;
    case MEGA_TASK_ANSWER:
        head->classes = 2;
        head->layers = 0;
        break;
    case MEGA_TASK_CHOOSE: head->classes = 1; break;
    default: head->output_bias = false; break;
    }
    head->width = head->layers ? d : 0;
    return code;
}

/* ---- Tied matrices -------------------------------------------------------------------------- */

static bool same_bytes(const MegaCheckpointTensor *a, const MegaCheckpointTensor *b)
{
    const MegaCheckpointTensor *both[] = {a, b};
    for (int i = 0; i < 2; i++)
        if (!both[i]->readable || both[i]->rank != 2 || both[i]->stride[1] != 1 ||
            (uint64_t)both[i]->stride[0] != both[i]->shape[1])
            return false;
    const size_t item = mega_dtype_traits((int)a->dtype)->item_size;
    return a->dtype == b->dtype && a->shape[0] == b->shape[0] && a->shape[1] == b->shape[1] &&
           memcmp((const char *)a->storage + a->offset * item,
                  (const char *)b->storage + b->offset * item, (size_t)a->elements * item) == 0;
}

/* Finds the one matrix that token table and output are. If a checkpoint has both, the library takes
 * the one that it loads last: the output, or that of the file whose name comes last. */
static int tie_words(Detection *detection, const char *output)
{
    static const char table[] = "mega.embedding_layer.word_embeddings.weight";
    Architecture *out = detection->out;
    const MegaCheckpointTensor *embed = detection_find(detection, table);
    const MegaCheckpointTensor *head = detection_find(detection, output);
    bool tied = true;
    int code = flag(detection, "tie_word_embeddings", true, &tied);
    if (code || !tied)
        return code;
    const bool head_counts = head && (!embed || head->file >= embed->file);
    out->tied_other = head_counts ? embed : head;
    out->tied_differ =
        head && embed && !mega_checkpoint_same(head, embed) && !same_bytes(head, embed);
    out->tied = head_counts ? head : embed;
    out->tied_names[0] = table;
    out->tied_names[1] = output;
    return 0;
}

/* ---- Models --------------------------------------------------------------------------------- */

static int detect_target(Detection *detection, MegaConfig *config, int vocab)
{
    MegaTargetConfig *target = &config->target;
    const int d = config->decoder.width;
    bool dense = true, cache = true;
    int code = flag(detection, "add_lm_hidden_dense_layer", true, &dense);
    if (!code)
        code = flag(detection, "use_cache", true, &cache);
    if (!code)
        code = whole(detection, "pad_token_id", -1, 1, &target->pad);
    if (!code)
        code = whole(detection, "eos_token_id", -1, 2, &target->eos);
    target->vocab = vocab;
    target->unk = -1;
    target->pad = -1; /* it may be generated like any other token */
    target->eos = target->eos < vocab ? target->eos : -1;
    target->bare_start = true;
    target->output_dense = dense;
    target->output_bias = true;
    target->untruncated = cache;
    target->max_positions = config->decoder.max_positions;
    target->input = target->output = (MegaClusters){.count = 1, .end = {vocab}, .width = {d}};
    return code;
}

static int check_support(Detection *detection, const MegaStackConfig *stack, bool decoder,
                         bool cache)
{
    bool cross = false;
    int code = flag(detection, "add_cross_attention", false, &cross);
    if (!code && cross)
        code = mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                         "config.json: add_cross_attention is true, which is not supported");
    if (!code && decoder && stack->bidirectional && cache)
        code = mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                         "config.json: is_decoder and bidirectional exclude each other: a decoder "
                         "with a cache (use_cache) cannot look ahead");
    return code;
}

/* Detects an encoder with a head; `decoder` says that its positions see no later one. */
static int detect_encoder(Detection *detection, const HubClass *class, int vocab, int types,
                          bool decoder, bool cache)
{
    MegaConfig *config = &detection->out->config;
    MegaGatedConfig *own = mega_gated_of(&config->encoder);
    own->causal = decoder;
    if (decoder && cache) /* a pass with cache uses the plain recurrence */
        own->truncation = 0;
    config->embed =
        (MegaEmbedConfig){.kind = MEGA_EMBED_TOKENS, .vocab = vocab, .pad = -1, .types = types};
    return detect_head(detection, class, config);
}

int detect_hub(Detection *detection)
{
    Architecture *out = detection->out;
    MegaConfig *config = &out->config;
    MegaStackConfig stack = {0};
    const HubClass *class = NULL;
    bool decoder = false, cache = true, has_types = false;
    int vocab = 0, types = 0;
    int code = find_class(detection, &class);
    if (!code)
        code = detect_stack(detection, &stack);
    if (!code)
        code = flag(detection, "is_decoder", false, &decoder);
    if (!code)
        code = flag(detection, "use_cache", true, &cache);
    if (!code)
        code = check_support(detection, &stack, decoder, cache);
    if (!code)
        code = whole(detection, "vocab_size", 1, 30522, &vocab);
    if (!code)
        code = flag(detection, "add_token_type_embeddings", false, &has_types);
    if (!code && has_types)
        code = whole(detection, "type_vocab_size", 1, 2, &types);
    if (code)
        return code;
    out->class_name = class->name;
    out->tensor_names = class->tensor_names;
    out->lenient = true;
    config->task = class->task;
    if (class->task == MEGA_TASK_GENERATE && decoder && !stack.bidirectional) {
        config->decoder = stack;
        config->target.types = types;
        code = detect_target(detection, config, vocab);
    } else {
        /* its attention or its moving average looks ahead, so it is not a language model */
        if (class->task == MEGA_TASK_GENERATE)
            config->task = MEGA_TASK_FILL;
        config->encoder = stack;
        code = detect_encoder(detection, class, vocab, types, decoder, cache);
    }
    if (!code && class->task == MEGA_TASK_GENERATE)
        code = tie_words(detection, "lm_head.weight");
    if (!code && class->task == MEGA_TASK_FILL)
        code = tie_words(detection, "mlm_head.weight");
    return code;
}
