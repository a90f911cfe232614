/*
 * classifier.c - detects the fairseq classifiers of text, pixels and speech.
 */
#include "tools/convert/families/detection.h"

#include <stdio.h>
#include <string.h>

static int detect_embedding(Detection *detection, MegaConfig *config)
{
    const MegaCheckpointTensor *table =
        detection_find(detection, "encoder.encoder.embed_tokens.embed.weight");
    const MegaCheckpointTensor *linear =
        detection_find(detection, "encoder.encoder.embed_tokens.weight");
    MegaEmbedConfig *embed = &config->embed;
    embed->pad = -1;
    if (table) {
        embed->kind = MEGA_EMBED_TOKENS;
        embed->vocab = tensor_dimension(table, 0);
        embed->pad = embed->vocab > 1 ? 1 : -1;
    } else if (linear && linear->rank == 1) {
        embed->kind = MEGA_EMBED_REAL;
    } else if (linear && linear->rank == 2) {
        return detect_frames(detection, linear, 0, embed);
    } else {
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "there is no embedding: neither encoder.encoder.embed_tokens.embed.weight "
                         "nor encoder.encoder.embed_tokens.weight");
    }
    return 0;
}

/* Returns the pooling of an argument sen_rep_type, or -1. */
static int pooling_by_name(const char *name)
{
    if (strcmp(name, "mp") == 0)
        return MEGA_POOL_MEAN;
    return strcmp(name, "cls") == 0 ? MEGA_POOL_FIRST : -1;
}

int detect_fairseq_head(Detection *detection, MegaConfig *config, int usual_pooling)
{
    MegaHeadConfig *head = &config->head;
    const MegaCheckpointTensor *output =
        detection_find(detection, "sentence_projection_layer.weight");
    const MegaCheckpointTensor *first = detection_find(detection, "classifier.0.0.weight");
    int activation, pooling, d = config->encoder.width;
    int in = tensor_dimension(first ? first : output, 1);
    if (!output)
        return mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                         "there is no sentence_projection_layer.weight: not a classifier");
    int code =
        detection_named(detection, "classifier_activation_fn", NULL, "activation of the classifier",
                        mega_activation_by_name, MEGA_ACTIVATION_GELU, &activation);
    if (code)
        return code;
    head->activation = (MegaActivation)activation;
    head->classes = tensor_dimension(output, 0);
    head->output_bias = detection_find(detection, "sentence_projection_layer.bias") != NULL;
    head->width = tensor_dimension(first, 0);
    for (char name[64]; head->layers < MEGA_MAX_HEAD_LAYERS; head->layers++) {
        snprintf(name, sizeof name, "classifier.%d.0.weight", head->layers);
        if (!detection_find(detection, name))
            break;
    }
    head->pair = in % 2 == 0 && in / 2 == d;
    if (in != d && !head->pair)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "the classifier takes vectors of %d, but the encoder has width %d (twice "
                         "that for pairs)",
                         in, d);
    code = detection_named(detection, "sen_rep_type", NULL, "pooling: mp or cls", pooling_by_name,
                           usual_pooling, &pooling);
    head->pooling = pooling < 0 ? MEGA_POOL_MEAN : (MegaPooling)pooling;
    return code;
}

int detect_classifier(Detection *detection)
{
    static const StackNames names = {
        "encoder.encoder.layers.", "encoder.encoder.final_norm.norm",
        "encoder.encoder.embed_norm.norm", "chunk_size", "encoder_chunk_size",
        "max_positions", "max_source_positions", "encoder_layers"};
    MegaConfig *config = &detection->out->config;
    detection->names = &names;
    int code = detect_fairseq_stack(detection, &config->encoder);
    if (!code)
        code = detect_embedding(detection, config);
    if (!code)
        code = detect_fairseq_head(detection, config, -1);
    return code;
}
