/*
 * packed.c - the matrices of a model once more, packed for the kernels (matmul.h), when the first
 * session is made.
 */
#include <stdlib.h>

#include "embed.h"
#include "model.h"

int mega_packed_new(MegaPackedModel **out, const MegaConfig *config, MegaError *err)
{
    MegaPackedModel *packed = calloc(1, sizeof *packed);
    *out = packed;
    if (!packed)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a model");
    pthread_mutex_init(&packed->mutex, NULL);
    packed->encoder = calloc((size_t)config->encoder.layers + 1, sizeof *packed->encoder);
    packed->decoder = calloc((size_t)config->decoder.layers + 1, sizeof *packed->decoder);
    if (!packed->encoder || !packed->decoder)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a model");
    return 0;
}

void mega_packed_free(MegaPackedModel *packed)
{
    if (!packed)
        return;
    mega_arena_free(&packed->arena);
    pthread_mutex_destroy(&packed->mutex);
    free(packed->encoder);
    free(packed->decoder);
    free(packed);
}

static void pack(MegaPacked *out, const float *weight, uint64_t rows, uint64_t columns,
                 MegaArena *arena)
{
    if (rows && columns)
        mega_pack(out, MEGA_WEIGHT_F32, weight, (size_t)columns, (size_t)rows, (size_t)columns,
                  arena);
}

static void pack_layer(MegaPackedLayer *out, const MegaLayerWeights *weights,
                       const MegaStackConfig *config, bool cross, MegaArena *arena)
{
    uint64_t d = (uint64_t)config->width, h = (uint64_t)config->hidden;
    uint64_t z = (uint64_t)config->zdim, f = (uint64_t)config->ffn;
    const float *mx = weights->mx.weight;
    pack(&out->v, weights->v.weight, h, d, arena);
    pack(&out->u, mx, d, d, arena);
    pack(&out->z, mx + d * d, z, d, arena);
    pack(&out->r_hx, mx + (d + z) * d, h + d, d, arena);
    pack(&out->h, weights->h.weight, d, h, arena);
    pack(&out->fc1, weights->fc1.weight, f, d, arena);
    pack(&out->fc2, weights->fc2.weight, f ? d : 0, f, arena);
    if (!cross)
        return;
    pack(&out->cross_q, weights->cross.q.weight, 2 * d + z, d, arena);
    pack(&out->cross_k, weights->cross.k.weight, z, d, arena);
    pack(&out->cross_v, weights->cross.v.weight, d, d, arena);
    pack(&out->cross_h, weights->cross.h.weight, d, d, arena);
}

static void pack_output(const MegaModel *model, MegaArena *arena)
{
    MegaPackedModel *packed = model->packed;
    const MegaTargetConfig *target = &model->config.target;
    const MegaOutputWeights *output = &model->weights.output;
    uint64_t d = (uint64_t)model->config.decoder.width;
    for (int i = 0; i < target->output.count; i++) {
        uint64_t width = (uint64_t)target->output.width[i];
        uint64_t words = (uint64_t)mega_band_size(&target->output, i);
        if (i == 0 && target->adaptive_output && !target->split_head)
            words += (uint64_t)target->output.count - 1;
        pack(&packed->output[i], output->bands[i].table, words, width, arena);
        if (output->bands[i].projection && !(i > 0 && target->transposed_tails))
            pack(&packed->output_projection[i], output->bands[i].projection, width, d, arena);
    }
    if (output->slots)
        pack(&packed->slots, output->slots, (uint64_t)target->output.count - 1, d, arena);
}

/* Only counts in a dry run. */
static void pack_model(const MegaModel *model, MegaArena *arena)
{
    const MegaConfig *config = &model->config;
    MegaPackedModel *packed = model->packed;
    uint64_t d = (uint64_t)config->encoder.width;
    bool cross = config->task == MEGA_TASK_TRANSLATE;
    for (int i = 0; mega_config_has_encoder(config) && i < config->encoder.layers; i++)
        pack_layer(&packed->encoder[i], &model->encoder.weights[i], &config->encoder, false, arena);
    for (int i = 0; mega_config_has_decoder(config) && i < config->decoder.layers; i++)
        pack_layer(&packed->decoder[i], &model->decoder.weights[i], &config->decoder, cross, arena);
    if (mega_config_has_encoder(config))
        pack(&packed->embed, model->weights.embed.weight, d, mega_embed_fan_in(&config->embed),
             arena);
    if (config->head.projection)
        pack(&packed->head_projection, model->weights.head_projection.weight, d, d, arena);
    if (mega_config_has_decoder(config))
        pack_output(model, arena);
}

int mega_model_prepare(const MegaModel *model, MegaError *err)
{
    MegaPackedModel *packed = model->packed;
    MegaArena dry = {0};
    int code = 0;
    pthread_mutex_lock(&packed->mutex);
    if (!packed->ready) {
        pack_model(model, &dry);
        code = dry.overflow ? mega_fail(err, MEGA_ERR_LIMIT, "the model is too large")
                            : mega_arena_reserve(&packed->arena, dry.used, err);
        if (!code) {
            pack_model(model, &packed->arena);
            packed->ready = true;
        }
    }
    pthread_mutex_unlock(&packed->mutex);
    return code;
}
