/*
 * sequence.c - detects the fairseq translators and language models (MODEL.md, "Cross attention" and
 * "Embeddings" to "Sequences, inputs and search").
 *
 * Both have a decoder: its embedding, its stack, and an output that is a matrix or an adaptive
 * softmax. Embedding and output may share tensors; a checkpoint may then hold them under one name
 * or both, which architecture_find hides.
 */
#include "tools/convert/families/detection.h"

#include <stdio.h>

#include "formats/text/vocab.h"

/* ---- Embedding ------------------------------------------------------------------------------ */

/* Appends a cluster of `words` ids, which begins where the last one ends. */
static int add_cluster(Detection *detection, MegaClusters *clusters, int words, int width)
{
    int begin = clusters->count ? clusters->end[clusters->count - 1] : 0;
    if (clusters->count == MEGA_MAX_CLUSTERS || words < 1 || begin > INT32_MAX - words)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "the vocabulary has more than %d clusters, or one of no words",
                         MEGA_MAX_CLUSTERS);
    clusters->end[clusters->count] = begin + words;
    clusters->width[clusters->count++] = width;
    return 0;
}

static int detect_input(Detection *detection, MegaTargetConfig *target)
{
    const MegaCheckpointTensor *table = detection_find(detection, "decoder.embed_tokens.weight");
    char name[80];
    target->adaptive_input = !table;
    target->input_projection = !table || detection_find(detection, "decoder.project_in_dim.weight");
    if (table)
        return add_cluster(detection, &target->input, tensor_dimension(table, 0),
                           tensor_dimension(table, 1));
    for (int cluster = 0, code = 0;; cluster++) {
        snprintf(name, sizeof name, "decoder.embed_tokens.embeddings.%d.0.weight", cluster);
        table = detection_find(detection, name);
        if (!table && cluster == 0)
            return mega_fail(detection->err, MEGA_ERR_MODEL,
                             "there is no embedding: neither decoder.embed_tokens.weight nor %s",
                             name);
        if (!table)
            return 0;
        if ((code = add_cluster(detection, &target->input, tensor_dimension(table, 0),
                                tensor_dimension(table, 1))))
            return code;
    }
}

/* ---- Output --------------------------------------------------------------------------------- */

static int detect_tails(Detection *detection, MegaTargetConfig *target, int d)
{
    char name[80];
    for (int tail = 0, code = 0;; tail++) {
        snprintf(name, sizeof name, "decoder.adaptive_softmax.tail.%d.2.weight", tail);
        const MegaCheckpointTensor *table = detection_find(detection, name);
        if (!table)
            return 0;
        snprintf(name, sizeof name, "decoder.adaptive_softmax.tail.%d.0.weight", tail);
        const MegaCheckpointTensor *projection = detection_find(detection, name);
        int width = tensor_dimension(table, 1);
        /* tied projections are those of the embedding, which lead from its width to d */
        if (tensor_dimension(projection, 0) == d && tensor_dimension(projection, 1) == width &&
            width != d)
            target->tied_projections = true;
        if ((code = add_cluster(detection, &target->output, tensor_dimension(table, 0), width)))
            return code;
    }
}

static int tail_count(const Detection *detection)
{
    char name[80];
    for (int tail = 0;; tail++) {
        snprintf(name, sizeof name, "decoder.adaptive_softmax.tail.%d.2.weight", tail);
        if (!detection_find(detection, name))
            return tail;
    }
}

static int detect_adaptive_output(Detection *detection, MegaTargetConfig *target, int d)
{
    static const char head[] = "decoder.adaptive_softmax.head.";
    char name[80];
    snprintf(name, sizeof name, "%sweight", head);
    const MegaCheckpointTensor *table = detection_find(detection, name);
    bool tied_projections = false, own_projections = true;
    target->adaptive_output = true;
    target->split_head = !table;
    const MegaCheckpointTensor *whole = detection_find(detection, "decoder.project_out_dim.weight");
    int code = whole ? detection_size(detection, whole, 0, &target->output_width) : 0;
    if (code)
        return code;
    d = whole ? target->output_width : d;
    if (!table) {
        snprintf(name, sizeof name, "%sword_proj.0.weight", head);
        target->output_projection = detection_find(detection, name) != NULL;
        snprintf(name, sizeof name, "%sword_proj.%sweight", head,
                 target->output_projection ? "1." : "");
        table = detection_find(detection, name);
    }
    if (!table)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "there is no %sweight and no %sword_proj.weight", head, head);
    int cluster_logits = target->split_head ? 0 : tail_count(detection);
    code = add_cluster(detection, &target->output, tensor_dimension(table, 0) - cluster_logits,
                       tensor_dimension(table, 1));
    if (!code)
        code = detection_flag(detection, "tie_adaptive_proj", NULL, &tied_projections);
    if (!code && argument(detection->args, "no_tie_adaptive_proj", NULL)) /* the old argument */
        code = detection_flag(detection, "no_tie_adaptive_proj", NULL, &own_projections);
    if (!code)
        code = detect_tails(detection, target, d);
    /* the shape of a square projection does not show its direction, so the argument decides */
    if ((tied_projections || !own_projections) && target->split_head)
        target->tied_projections = true;
    return code;
}

static int detect_output(Detection *detection, MegaTargetConfig *target, int d)
{
    const MegaCheckpointTensor *table =
        detection_find(detection, "decoder.output_projection.weight");
    if (detection_find(detection, "decoder.adaptive_softmax.head.weight") ||
        detection_find(detection, "decoder.adaptive_softmax.head.class_proj.weight") ||
        detection_find(detection, "decoder.adaptive_softmax.head.word_proj.weight"))
        return detect_adaptive_output(detection, target, d);
    target->output_projection = detection_find(detection, "decoder.project_out_dim.weight") != NULL;
    if (!table)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "there is no output: neither decoder.output_projection.weight nor "
                         "decoder.adaptive_softmax, and no argument "
                         "share_decoder_input_output_embed or share_all_embeddings that says it "
                         "is the embedding");
    return add_cluster(detection, &target->output, tensor_dimension(table, 0),
                       tensor_dimension(table, 1));
}

/* ---- The decoder ---------------------------------------------------------------------------- */

/* Checks that the tables of embedding and output agree with each other and with the layers. */
static int check_tables(const Detection *detection, const MegaTargetConfig *target, int d)
{
    const MegaClusters *input = &target->input, *output = &target->output;
    int words = input->end[input->count - 1], predicted = output->end[output->count - 1];
    if (words != predicted)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "the decoder's embedding has %d words, but its output has %d: a table "
                         "is missing, or cut",
                         words, predicted);
    if (!target->input_projection && input->width[0] != d)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "the decoder's embedding is %d wide, but its layers %d, and there is no "
                         "decoder.project_in_dim.weight",
                         input->width[0], d);
    if (target->output_width > 0)
        d = target->output_width;
    if (!target->output_projection && output->width[0] != d)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "the decoder's output is %d wide, but its layers %d, and there is no "
                         "projection between them",
                         output->width[0], d);
    return 0;
}

int detect_vocabulary(Detection *detection, MegaTargetConfig *target, int d)
{
    int code = detect_input(detection, target);
    if (!code)
        code = detect_output(detection, target, d);
    if (!code)
        code = check_tables(detection, target, d);
    if (code)
        return code;
    target->vocab = target->input.end[target->input.count - 1];
    target->pad = MEGA_ID_PAD;
    target->eos = MEGA_ID_EOS;
    target->unk = MEGA_ID_UNK;
    return 0;
}

static int detect_decoder(Detection *detection)
{
    static const StackNames names = {
        "decoder.layers.", "decoder.final_norm.norm", "decoder.embed_norm.norm",
        "decoder_chunk_size", "chunk_size", "max_target_positions", "tokens_per_sample",
        "decoder_layers"};
    MegaConfig *config = &detection->out->config;
    MegaTargetConfig *target = &config->target;
    bool unscaled = false;
    detection->names = &names;
    int code = detect_fairseq_stack(detection, &config->decoder);
    if (!code)
        code = detect_vocabulary(detection, target, config->decoder.width);
    if (!code)
        code = detection_flag(detection, "no_scale_embedding", NULL, &unscaled);
    if (!code)
        code = argument_integer(detection->args, names.positions, names.other_positions, 1024,
                                &target->max_positions, detection->err);
    if (code)
        return code;
    target->scale = !unscaled;
    return 0;
}

int detect_language_model(Detection *detection)
{
    int code = detect_sharing(detection, fairseq_shared);
    return code ? code : detect_decoder(detection);
}

/* Finds M of the cross attention, from its table or else as the larger limit of both sides. */
static int detect_cross(Detection *detection, int *positions)
{
    const MegaCheckpointTensor *table =
        detection_find(detection, "decoder.layers.0.cross_attn.rel_pos_bias.rel_pos_bias");
    int source, code;
    if (table) {
        *positions = tensor_dimension(table, 0) / 2 + 1;
        return 0;
    }
    code = argument_integer(detection->args, "max_source_positions", NULL, 1024, &source,
                            detection->err);
    if (!code)
        code = argument_integer(detection->args, "max_target_positions", NULL, 1024, positions,
                                detection->err);
    if (*positions < source)
        *positions = source;
    return code;
}

int detect_translator(Detection *detection)
{
    static const StackNames names = {
        "encoder.layers.", "encoder.final_norm.norm", "encoder.embed_norm.norm",
        "encoder_chunk_size", "chunk_size", "max_source_positions", "max_positions",
        "encoder_layers"};
    MegaConfig *config = &detection->out->config;
    int code = detect_sharing(detection, fairseq_shared);
    detection->names = &names;
    if (!code)
        code = detect_fairseq_stack(detection, &config->encoder);
    if (!code)
        code = detect_decoder(detection);
    if (!code)
        code = detect_cross(detection, &config->target.cross_positions);
    if (code)
        return code;
    const MegaCheckpointTensor *table = detection_source_table(detection);
    if (!table)
        return MEGA_ERR_MODEL;
    config->embed = (MegaEmbedConfig){.kind = MEGA_EMBED_TOKENS,
                                      .vocab = tensor_dimension(table, 0),
                                      .pad = MEGA_ID_PAD,
                                      .scale = config->target.scale};
    return 0;
}
