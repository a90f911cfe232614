/*
 * model.c - loading: read the configuration, find every tensor it implies, decode those that are
 * not used in place, derive what the layers need. After that a model never changes.
 */
#include "model.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embed.h"

/* Plain tensors are used from the mapping without reading them first. Files up to this size have
 * their checksums verified all the same, since that costs a few milliseconds. */
#define VERIFY_UP_TO (16u << 20)

/* ---- Binding -------------------------------------------------------------------------------- */

typedef struct Binding {
    const MegaTensor *tensor;
    const float **slot;
    float *decoded; /* where its values go; NULL: used in place, or those of another binding */
} Binding;

typedef struct Loader {
    MegaModel *model;
    Binding *bindings; /* [tensor count], by tensor index */
} Loader;

static void describe_shape(const uint64_t *shape, int rank, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%llu", i ? " x " : "",
                                 (unsigned long long)shape[i]);
}

static int bind_tensor(void *context, const MegaTensorSpec *spec, MegaError *err)
{
    Loader *loader = context;
    const MegaFile *file = loader->model->file;
    const MegaTensor *tensor = mega_file_find(file, spec->name);
    if (!tensor)
        return mega_fail(err, MEGA_ERR_MODEL, "%s: tensor '%s' is missing", mega_file_name(file),
                         spec->name);
    if (tensor->rank != spec->rank ||
        memcmp(tensor->shape, spec->shape, (size_t)spec->rank * sizeof *spec->shape) != 0) {
        char found[96], expected[96];
        describe_shape(tensor->shape, tensor->rank, found, sizeof found);
        describe_shape(spec->shape, spec->rank, expected, sizeof expected);
        return mega_fail(err, MEGA_ERR_MODEL,
                         "%s: tensor '%s' has shape %s, but the configuration implies %s",
                         mega_file_name(file), spec->name, found, expected);
    }
    loader->bindings[tensor->index] = (Binding){tensor, spec->slot, NULL};
    loader->model->parameters += spec->elements;
    return 0;
}

static int check_all_bound(const Loader *loader, MegaError *err)
{
    const MegaFile *file = loader->model->file;
    for (size_t i = 0; i < mega_file_tensor_count(file); i++)
        if (!loader->bindings[i].tensor)
            return mega_fail(err, MEGA_ERR_MODEL,
                             "%s: tensor '%s' is not part of this architecture",
                             mega_file_name(file), mega_file_tensor(file, i)->name);
    return 0;
}

/* ---- Decoding ------------------------------------------------------------------------------- */

static bool used_in_place(const MegaFile *file, const MegaTensor *tensor)
{
    const void *data = mega_file_data(file, tensor);
    return data && tensor->dtype == MEGA_F32 && (uintptr_t)data % sizeof(float) == 0;
}

/* Memory for every tensor that must be decoded; only counted in a dry run. */
static void take_decoded(Loader *loader, MegaArena *arena)
{
    MegaModel *model = loader->model;
    for (size_t i = 0; i < mega_file_tensor_count(model->file); i++) {
        Binding *binding = &loader->bindings[i];
        if (binding->tensor->tied_to < 0 && !used_in_place(model->file, binding->tensor))
            binding->decoded = mega_arena_floats(arena, binding->tensor->elements);
    }
}

static void fill_slots(Loader *loader)
{
    MegaModel *model = loader->model;
    for (size_t i = 0; i < mega_file_tensor_count(model->file); i++) {
        const Binding *binding = &loader->bindings[i], *holder = binding;
        if (binding->tensor->tied_to >= 0)
            holder = &loader->bindings[binding->tensor->tied_to];
        *binding->slot = holder->decoded
                             ? holder->decoded
                             : (const float *)mega_file_data(model->file, holder->tensor);
    }
}

/* One block of a compressed tensor, or a whole plain one. */
typedef struct Job {
    const Binding *binding;
    uint32_t block;
} Job;

typedef struct Decode {
    const MegaFile *file;
    const Job *jobs;
    char *scratch; /* [threads][largest block], for types other than float32 */
    size_t scratch_size;
    pthread_mutex_t mutex;
    size_t failed_job; /* the first one, so that the message does not depend on the threads */
    MegaError error;
} Decode;

static void run_job(void *context, size_t task, int worker)
{
    Decode *decode = context;
    const MegaTensor *tensor = decode->jobs[task].binding->tensor;
    float *dst = decode->jobs[task].binding->decoded;
    uint32_t block = decode->jobs[task].block;
    size_t item = mega_dtype_traits((int)tensor->dtype)->item_size;
    const void *plain = mega_file_data(decode->file, tensor);
    if (plain) {
        mega_dtype_to_f32(tensor->dtype, plain, (size_t)tensor->elements, dst);
        return;
    }
    uint64_t begin = (uint64_t)block * tensor->block_size;
    uint64_t bytes = tensor->size - begin < tensor->block_size ? tensor->size - begin
                                                               : tensor->block_size;
    MegaError err = {0};
    void *target = tensor->dtype == MEGA_F32
                       ? (char *)dst + begin
                       : decode->scratch + (size_t)worker * decode->scratch_size;
    if (mega_file_read_block(decode->file, tensor, block, target, &err)) {
        pthread_mutex_lock(&decode->mutex);
        if (task < decode->failed_job) {
            decode->failed_job = task;
            decode->error = err;
        }
        pthread_mutex_unlock(&decode->mutex);
    } else if (tensor->dtype != MEGA_F32) {
        mega_dtype_to_f32(tensor->dtype, target, (size_t)(bytes / item), dst + begin / item);
    }
}

/* Every block of every tensor, side by side on all processors. */
static int decode_all(const Loader *loader, MegaError *err)
{
    const MegaFile *file = loader->model->file;
    size_t count = 0, tensors = mega_file_tensor_count(file), largest = 0;
    for (size_t i = 0; i < tensors; i++) {
        const MegaTensor *tensor = loader->bindings[i].tensor;
        if (!loader->bindings[i].decoded)
            continue;
        count += tensor->block_count ? tensor->block_count : 1;
        if (tensor->block_size > largest)
            largest = tensor->block_size;
    }
    if (count == 0)
        return 0;
    MegaPool *pool = NULL;
    Decode decode = {.file = file, .scratch_size = largest, .failed_job = SIZE_MAX};
    Job *jobs = calloc(count, sizeof *jobs);
    int code = mega_pool_new(&pool, 0, err);
    if (code)
        goto out;
    decode.scratch = malloc(largest * (size_t)mega_pool_threads(pool) + 1);
    if (!jobs || !decode.scratch) {
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory to decode the weights");
        goto out;
    }
    size_t next = 0;
    for (size_t i = 0; i < tensors; i++) {
        const Binding *binding = &loader->bindings[i];
        uint32_t blocks = binding->tensor->block_count ? binding->tensor->block_count : 1;
        for (uint32_t block = 0; binding->decoded && block < blocks; block++)
            jobs[next++] = (Job){binding, block};
    }
    decode.jobs = jobs;
    pthread_mutex_init(&decode.mutex, NULL);
    mega_pool_run(pool, count, run_job, &decode);
    pthread_mutex_destroy(&decode.mutex);
    if (decode.failed_job != SIZE_MAX)
        code = mega_fail(err, decode.error.code, "%s", decode.error.text);
out:
    mega_pool_free(pool);
    free(decode.scratch);
    free(jobs);
    return code;
}

/* ---- Deriving ------------------------------------------------------------------------------- */

static void derive_stack(MegaStack *stack, const MegaStackConfig *config,
                         const MegaPackedLayer *packed, bool cross,
                         const MegaNormWeights *embed_norm, const MegaNormWeights *final_norm,
                         MegaArena *arena)
{
    size_t d = (size_t)config->width;
    for (int i = 0; i < config->layers; i++) {
        MegaLayer *layer = &stack->layers[i];
        const MegaLayerWeights *weights = &stack->weights[i];
        layer->weights = weights;
        layer->packed = &packed[i];
        mega_norm_prepare(&layer->norm, config->norm, &weights->norm, d, arena);
        mega_ema_prepare(&layer->ema, config, &weights->ema, arena);
        if (cross)
            mega_norm_prepare(&layer->cross_norm, config->norm, &weights->cross.norm, d, arena);
        if (config->ffn > 0)
            mega_norm_prepare(&layer->ffn_norm, config->norm, &weights->ffn_norm, d, arena);
    }
    if (config->embed_norm)
        mega_norm_prepare(&stack->embed_norm, config->norm, embed_norm, d, arena);
    if (config->final_norm)
        mega_norm_prepare(&stack->final_norm, config->norm, final_norm, d, arena);
}

/* Everything that the layers need beside the weights; only counts in a dry run. */
static void derive(MegaModel *model, MegaArena *arena)
{
    const MegaConfig *config = &model->config;
    const MegaWeights *weights = &model->weights;
    bool cross = config->task == MEGA_TASK_TRANSLATE;
    if (mega_config_has_encoder(config))
        derive_stack(&model->encoder, &config->encoder, model->packed->encoder, false,
                     &weights->embed_norm, &weights->final_norm, arena);
    if (mega_config_has_decoder(config))
        derive_stack(&model->decoder, &config->decoder, model->packed->decoder, cross,
                     &weights->target_norm, &weights->decoder_final_norm, arena);
}

/* ---- Opening -------------------------------------------------------------------------------- */

static int new_stack(MegaStack *stack, const MegaStackConfig *config, MegaError *err)
{
    size_t layers = (size_t)config->layers;
    stack->weights = calloc(layers, sizeof *stack->weights);
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

static int load(MegaModel *model, MegaError *err)
{
    Loader loader = {.model = model};
    MegaArena dry = {0};
    int code = mega_config_read(&model->config, mega_file_meta(model->file), err);
    if (!code && mega_config_has_encoder(&model->config))
        code = new_stack(&model->encoder, &model->config.encoder, err);
    if (!code && mega_config_has_decoder(&model->config))
        code = new_stack(&model->decoder, &model->config.decoder, err);
    if (!code)
        code = mega_packed_new(&model->packed, &model->config, err);
    if (code)
        return code;
    loader.bindings = calloc(mega_file_tensor_count(model->file) + 1, sizeof *loader.bindings);
    if (!loader.bindings)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the list of tensors");
    model->weights.layers = model->encoder.weights;
    model->weights.decoder_layers = model->decoder.weights;
    code = mega_bind_each(&model->config, MEGA_SOURCE_FAIRSEQ, &model->weights, bind_tensor,
                          &loader, err);
    if (!code)
        code = check_all_bound(&loader, err);
    if (!code && mega_file_size(model->file) <= VERIFY_UP_TO)
        code = mega_file_verify(model->file, err);
    if (code)
        goto out;
    take_decoded(&loader, &dry);
    code = mega_arena_reserve(&model->decoded, dry.used, err);
    if (code)
        goto out;
    take_decoded(&loader, &model->decoded);
    code = decode_all(&loader, err);
    if (code)
        goto out;
    fill_slots(&loader);
    dry = (MegaArena){0};
    derive(model, &dry);
    code = dry.overflow ? mega_fail(err, MEGA_ERR_LIMIT, "the model is too large")
                        : mega_arena_reserve(&model->derived, dry.used, err);
    if (!code)
        derive(model, &model->derived);
out:
    free(loader.bindings);
    return code;
}

/* Takes over the file. */
static int model_new(MegaModel **out, MegaFile *file, MegaError *err)
{
    MegaModel *model = calloc(1, sizeof *model);
    *out = NULL;
    if (!model) {
        mega_file_close(file);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a model");
    }
    model->file = file;
    int code = load(model, err);
    if (code) {
        mega_model_free(model);
        return code;
    }
    *out = model;
    return 0;
}

int mega_model_open(MegaModel **out, const char *path, MegaError *err)
{
    MegaFile *file;
    *out = NULL;
    int code = mega_file_open(&file, path, err);
    return code ? code : model_new(out, file, err);
}

int mega_model_from_memory(MegaModel **out, const void *bytes, size_t size, MegaError *err)
{
    MegaFile *file;
    *out = NULL;
    int code = mega_file_from_memory(&file, bytes, size, "(memory)", err);
    return code ? code : model_new(out, file, err);
}

void mega_model_free(MegaModel *model)
{
    if (!model)
        return;
    mega_arena_free(&model->decoded);
    mega_arena_free(&model->derived);
    mega_packed_free(model->packed);
    free_stack(&model->encoder);
    free_stack(&model->decoder);
    mega_file_close(model->file);
    free(model);
}

/* ---- Questions ------------------------------------------------------------------------------ */

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
    if (!mega_config_has_encoder(&model->config))
        return MEGA_INPUT_TOKENS;
    return mega_embed_input_kind(&model->config.embed);
}

int mega_model_input_count(const MegaModel *model)
{
    return model->config.head.pair ? 2 : 1;
}

int mega_model_class_count(const MegaModel *model)
{
    return model->config.head.classes;
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
