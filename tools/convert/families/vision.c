/*
 * vision.c - detects the image model (ImageNet). Its arguments hold neither depth nor widths.
 */
#include "tools/convert/families/detection.h"

#include <math.h>

static int detect_patches(Detection *detection, MegaEmbedConfig *embed, int patches)
{
    const MegaCheckpointTensor *weight = detection_find(detection, "patch_embed.pemb.proj.weight");
    double input_size = argument_number(detection->args, "input_size", NULL, 0);
    embed->kind = MEGA_EMBED_PATCHES;
    embed->pad = -1;
    embed->positions = detection_find(detection, "pos_embed") != NULL;
    if (weight && weight->rank == 4) {
        embed->channels = tensor_dimension(weight, 1);
        embed->patch = tensor_dimension(weight, 2);
    } else { /* the linear form of the embedding takes RGB images only */
        embed->channels = 3;
        embed->patch = (int)lround(sqrt(tensor_dimension(weight, 1) / 3.0));
    }
    if (embed->positions)
        patches = tensor_dimension(detection_find(detection, "pos_embed"), 1);
    int side = (int)lround(sqrt((double)patches));
    if (embed->patch < 1 || side < 1 || side * side != patches)
        return mega_fail(detection->err, MEGA_ERR_UNSUPPORTED,
                         "%d patches of %d do not make a square image", patches, embed->patch);
    embed->width = embed->height = side * embed->patch;
    if (input_size > 0 && input_size != embed->width)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "argument input_size is %g, but the tensors are for images of %d",
                         input_size, embed->width);
    return 0;
}

int detect_vision(Detection *detection)
{
    static const StackNames names = {
        .layers = "blocks.", .final_norm = "final_norm.norm", .positions = "max_positions"};
    MegaConfig *config = &detection->out->config;
    MegaStackConfig *stack = &config->encoder;
    MegaHeadConfig *head = &config->head;
    detection->names = &names;
    const MegaCheckpointTensor *hidden = detection_find(detection, "pre_logits.fc.weight");
    int code = detect_layers(detection, stack);
    if (!code)
        code = detect_bias(detection, stack);
    if (!code)
        code = detect_patches(detection, &config->embed, stack->max_positions);
    if (!code && hidden)
        code = detection_size(detection, hidden, 0, &head->width);
    if (code)
        return code;
    /* the original's code fixes these; they are not arguments */
    mega_gated_of(stack)->attention = MEGA_ATTENTION_LAPLACE;
    stack->pre_norm = stack->final_norm = true;
    mega_gated_of(stack)->ema_shift = true;
    head->pooling = MEGA_POOL_MEAN;
    head->projection = detection_find(detection, "out_proj.fc.weight") != NULL;
    head->layers = hidden != NULL;
    head->activation = MEGA_ACTIVATION_SILU;
    head->classes = tensor_dimension(detection_find(detection, "head.weight"), 0);
    head->output_bias = detection_find(detection, "head.bias") != NULL;
    return 0;
}
