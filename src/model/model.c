/*
 * model.c - opens models: it reads the configuration, has the weights loaded that it implies
 * (load.h), and derives what the layers need. After that a model never changes.
 */
#include "src/model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/base/float_mode.h"
#include "src/base/ledger.h"
#include "src/model/load.h"

/* Tensors that are not compressed are used from the mapping without being read first. Files up to
 * this size have their checksums verified nevertheless, since that takes only a few milliseconds.
 * Compressed blocks are verified as they are decoded. */
#define VERIFY_UP_TO (16u << 20)

/* ---- Deriving ------------------------------------------------------------------------------- */

/* Derives what one stack needs; layers with tied weights get a copy of the first one's pointers. */
static void derive_stack(MegaStack *stack, const MegaNormWeights *embed_norm,
                         const MegaNormWeights *final_norm, MegaArena *arena)
{
    const MegaStackConfig *config = stack->config;
    size_t d = (size_t)config->width, weights = stack->kind->weights_size;
    for (int i = 1; config->tied_layers && i < config->layers; i++)
        memcpy((char *)stack->weights + (size_t)i * weights, stack->weights, weights);
    for (int i = 0; i < config->layers; i++)
        stack->layers[i] = stack->kind->derive(stack, i, arena);
    if (config->embed_norm)
        mega_norm_prepare(&stack->embed_norm, config->norm, embed_norm, d, arena);
    if (config->final_norm)
        mega_norm_prepare(&stack->final_norm, config->norm, final_norm, d, arena);
}

/* Derives everything that the layers need beside the weights. In a dry run it only counts the
 * memory. */
static void derive(MegaModel *model, MegaArena *arena)
{
    const MegaConfig *config = &model->config;
    const MegaWeights *weights = &model->weights;
    if (mega_config_has_encoder(config)) {
        derive_stack(&model->encoder, &weights->embed_norm, &weights->final_norm, arena);
        mega_positions_prepare(&model->encoder.positions, &config->encoder, weights->positions,
                               config->embed.kind == MEGA_EMBED_TOKENS ? config->embed.pad : -1,
                               arena);
    }
    if (mega_config_has_decoder(config)) {
        derive_stack(&model->decoder, &weights->target_norm, &weights->decoder_final_norm, arena);
        mega_positions_prepare(&model->decoder.positions, &config->decoder,
                               weights->target_positions, config->target.pad, arena);
    }
}

/* ---- Opening -------------------------------------------------------------------------------- */

static int new_stack(MegaStack *stack, const MegaStackConfig *config, MegaError *err)
{
    size_t layers = (size_t)config->layers;
    stack->kind = mega_stack_kind(config);
    stack->config = config;
    stack->weights = calloc(layers, stack->kind->weights_size);
    stack->layers = calloc(layers, sizeof *stack->layers);
    if (!stack->weights || !stack->layers)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a model of %zu layers", layers);
    return 0;
}

static void free_stack(MegaStack *stack)
{
    free(stack->weights);
    free(stack->layers);
}

/* The memory that a model may need if no limit is given: TRUSTED_BYTES, and TRUSTED_RATIO times the
 * size of its file. Compressed weights become a few times larger when decoded; only a file made as
 * a trap turns a megabyte into a gigabyte. */
#define TRUSTED_BYTES (256ull << 20)
#define TRUSTED_RATIO 64

/* Returns the bytes of an input whose size the metadata gives: a clip of sound, or a picture and
 * its values. A size that is missing or invalid counts as 0; the pipeline reports it. */
static uint64_t stated_input(const MegaMeta *meta)
{
    int64_t length = 0, width = 0, height = 0, channels = 0;
    if (mega_meta_get_int(meta, "audio.length", 0, INT32_MAX, &length, NULL) == 0)
        return (uint64_t)length * sizeof(float);
    if (mega_meta_get_int(meta, "image.width", 1, 65536, &width, NULL) ||
        mega_meta_get_int(meta, "image.height", 1, 65536, &height, NULL) ||
        mega_meta_get_int(meta, "image.channels", 1, 4, &channels, NULL))
        return 0;
    return (uint64_t)(width * height * channels) * (sizeof(float) + 1);
}

/* Checks that the weights and an input are allowed, before memory is taken for them. */
static int check_memory(MegaModel *model, const MegaLoader *loader, uint64_t storage,
                        uint64_t max_memory, MegaError *err)
{
    const char *name = mega_file_name(model->file);
    MegaArena dry = {0};
    uint64_t size = mega_file_size(model->file), trusted, needed = 0;
    uint64_t input = stated_input(mega_file_meta(model->file));
    derive(model, &dry);
    bool fits = !dry.overflow && mega_add(storage, dry.used, &needed) &&
                mega_add(needed, mega_loader_in_place(loader), &needed);
    if (!fits || needed > UINT64_MAX - input)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s: the model is too large", name);
    if (max_memory && needed > max_memory)
        return mega_ledger_fail(needed, needed, max_memory, "the model", err);
    if (max_memory && needed + input > max_memory)
        return mega_ledger_fail(needed + input, needed, max_memory, "an input of the model", err);
    trusted = size < (UINT64_MAX - TRUSTED_BYTES) / TRUSTED_RATIO
                  ? TRUSTED_BYTES + TRUSTED_RATIO * size
                  : UINT64_MAX;
    if (!max_memory && needed + input > trusted)
        return mega_fail(
            err, MEGA_ERR_LIMIT,
            "%s: the model needs %.1f MB of memory, more than the %.1f MB that a file "
            "of %llu bytes is trusted with; set a limit of memory to allow it",
            name, (double)(needed + input) / 1e6, (double)trusted / 1e6, (unsigned long long)size);
    return 0;
}

/* Makes the stacks that the task has. */
static int new_stacks(MegaModel *model, MegaError *err)
{
    const MegaConfig *config = &model->config;
    int code = 0;
    if (mega_config_has_encoder(config))
        code = new_stack(&model->encoder, &config->encoder, err);
    if (!code && mega_config_has_decoder(config))
        code = new_stack(&model->decoder, &config->decoder, err);
    model->decoder.is_decoder = true;
    model->decoder.has_cross = mega_config_has_cross(config);
    model->decoder.cross_positions = config->target.cross_positions;
    model->weights.layers = model->encoder.weights;
    model->weights.decoder_layers = model->decoder.weights;
    return code;
}

/* Gives all tensors their memory and their values, once it is certain that they fit. */
static int load_weights(MegaModel *model, MegaLoader *loader, uint64_t max_memory, MegaError *err)
{
    MegaArena dry = {0};
    mega_loader_place(loader, &dry);
    int code = dry.overflow ? mega_fail(err, MEGA_ERR_LIMIT, "the model is too large")
                            : check_memory(model, loader, dry.used, max_memory, err);
    if (!code && mega_file_size(model->file) <= VERIFY_UP_TO)
        code = mega_file_verify_in_place(model->file, err);
    if (!code)
        code = mega_arena_reserve(&model->storage, dry.used, err);
    if (code)
        return code;
    mega_loader_place(loader, &model->storage);
    model->in_place = mega_loader_in_place(loader);
    for (size_t i = 0; i < mega_file_tensor_count(model->file) && !code; i++)
        code = mega_file_check_items(model->file, mega_file_tensor(model->file, i), err);
    return code ? code : mega_loader_decode(loader, err);
}

static int derive_all(MegaModel *model, MegaError *err)
{
    MegaArena dry = {0};
    derive(model, &dry);
    int code = dry.overflow ? mega_fail(err, MEGA_ERR_LIMIT, "the model is too large")
                            : mega_arena_reserve(&model->derived, dry.used, err);
    if (!code)
        derive(model, &model->derived);
    return code;
}

static int load(MegaModel *model, uint64_t max_memory, MegaError *err)
{
    MEGA_WITH_FLOAT_MODE;
    MegaLoader *loader = NULL;
    int code = mega_config_read(&model->config, mega_file_meta(model->file), err);
    if (!code)
        code = new_stacks(model, err);
    if (!code)
        code = mega_loader_new(&loader, model, err);
    if (!code)
        code = load_weights(model, loader, max_memory, err);
    if (!code)
        code = derive_all(model, err);
    mega_loader_free(loader);
    return code;
}

/* Makes a model, which then owns the file. */
static int model_new(MegaModel **out, MegaFile *file, uint64_t max_memory, MegaError *err)
{
    MegaModel *model = calloc(1, sizeof *model);
    *out = NULL;
    if (!model) {
        mega_file_close(file);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a model");
    }
    model->file = file;
    model->forms = mega_forms_new();
    int code = model->forms ? load(model, max_memory, err)
                            : mega_fail(err, MEGA_ERR_MEMORY, "no memory for a model");
    if (code) {
        mega_model_free(model);
        return code;
    }
    *out = model;
    return 0;
}

int mega_model_open_with(MegaModel **out, const char *path, const MegaModelOptions *options,
                         MegaError *err)
{
    MegaFile *file;
    *out = NULL;
    if (!path)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the path of a model is NULL");
    int code = mega_file_open(&file, path, err);
    return code ? code : model_new(out, file, options ? options->max_memory : 0, err);
}

int mega_model_open(MegaModel **out, const char *path, MegaError *err)
{
    return mega_model_open_with(out, path, NULL, err);
}

int mega_model_from_memory(MegaModel **out, const void *bytes, size_t size, MegaError *err)
{
    MegaFile *file;
    *out = NULL;
    if (!bytes && size > 0)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a model of %zu bytes, but the pointer to them is NULL", size);
    int code = mega_file_from_memory(&file, bytes, size, "(memory)", err);
    return code ? code : model_new(out, file, 0, err);
}

void mega_model_free(MegaModel *model)
{
    if (!model)
        return;
    mega_arena_free(&model->storage);
    mega_arena_free(&model->derived);
    mega_forms_free(model->forms);
    free_stack(&model->encoder);
    free_stack(&model->decoder);
    mega_file_close(model->file);
    free(model);
}

/* ---- Queries -------------------------------------------------------------------------------- */

const MegaMeta *mega_model_meta(const MegaModel *model)
{
    return mega_file_meta(model->file);
}

const MegaConfig *mega_model_config(const MegaModel *model)
{
    return &model->config;
}

MegaTask mega_model_task(const MegaModel *model)
{
    return model->config.task;
}

MegaInputKind mega_model_input_kind(const MegaModel *model)
{
    return mega_config_input_kind(&model->config);
}

int mega_model_input_count(const MegaModel *model)
{
    return model->config.head.pair ? 2 : 1;
}

int mega_model_class_count(const MegaModel *model)
{
    return model->config.head.classes;
}

int mega_model_width(const MegaModel *model)
{
    const MegaConfig *config = &model->config;
    return mega_config_has_encoder(config) ? config->encoder.width : config->decoder.width;
}

bool mega_model_truncates(const MegaModel *model)
{
    return !model->config.target.untruncated;
}

int mega_model_vocab_size(const MegaModel *model)
{
    return model->config.target.vocab;
}

const char *mega_model_label(const MegaModel *model, int index)
{
    const MegaMetaValue *labels = mega_meta_find(mega_model_meta(model), "labels");
    if (!labels || labels->type != MEGA_META_STRINGS || index < 0 ||
        (uint64_t)index >= labels->count)
        return NULL;
    return labels->strings[index];
}

uint64_t mega_model_parameter_count(const MegaModel *model)
{
    return model->parameters;
}

uint64_t mega_model_memory(const MegaModel *model)
{
    return model->storage.size + model->derived.size + model->in_place;
}
