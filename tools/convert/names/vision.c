/*
 * vision.c - the tensor names of the image model (ImageNet).
 *
 * Its code uses the EMA's "alpha" and "delta" in swapped roles (MODEL.md, "Moving average"). This
 * table gives them the meaning that they have everywhere else.
 */
#include "tools/convert/names/table.h"

const NameRule vision_names[] = {
    {NAME("embed.positions", "pos_embed")},
    {NAME("embed.norm.", "embed_norm.norm.")},
    {NAME("embed.", "patch_embed.pemb.proj.")},
    {NAME("encoder.layer.*.ema.delta", "blocks.*.mega_layer.move.alpha")},
    {NAME("encoder.layer.*.ema.alpha", "blocks.*.mega_layer.move.delta")},
    {NAME("encoder.layer.*.", "blocks.*."), .rest = layer_names},
    {NAME("encoder.final_norm.", "final_norm.norm.")},
    {NAME("head.projection.", "out_proj.fc.")},
    {NAME("head.layer.*.", "pre_logits.fc.")},
    {NAME("head.output.", "head.")},
    {0},
};
