/*
 * encoded.c - see encoded.h.
 */
#include "encoded.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "embed.h"
#include "linear.h"
#include "session.h"

static void take_memory(MegaEncoded *encoded, MegaArena *arena)
{
    const MegaStackConfig *stack = &encoded->model->config.decoder;
    uint64_t length = encoded->length, d = (uint64_t)stack->width, z = (uint64_t)stack->zdim;
    encoded->states = mega_arena_floats(arena, length * d);
    for (int i = 0; i < stack->layers; i++) {
        encoded->keys[i] = mega_arena_floats(arena, length * z);
        encoded->values[i] = mega_arena_floats(arena, length * d);
    }
}

static MegaEncoded *new_encoded(const MegaModel *model, size_t length)
{
    MegaEncoded *encoded = calloc(1, sizeof *encoded);
    if (!encoded)
        return NULL;
    size_t layers = (size_t)model->config.decoder.layers;
    *encoded = (MegaEncoded){.model = model, .length = length};
    encoded->keys = calloc(layers, sizeof *encoded->keys);
    encoded->values = calloc(layers, sizeof *encoded->values);
    MegaArena dry = {0};
    if (encoded->keys && encoded->values) {
        take_memory(encoded, &dry);
        if (!dry.overflow && mega_arena_reserve(&encoded->arena, dry.used, NULL) == 0) {
            take_memory(encoded, &encoded->arena);
            return encoded;
        }
    }
    mega_encoded_free(encoded);
    return NULL;
}

void mega_encoded_free(MegaEncoded *encoded)
{
    if (!encoded)
        return;
    mega_arena_free(&encoded->arena);
    free(encoded->keys);
    free(encoded->values);
    free(encoded);
}

static void project(MegaSession *session, MegaEncoded *encoded, int index)
{
    const MegaStackConfig *stack = &encoded->model->config.decoder;
    const MegaCrossWeights *cross = &encoded->model->decoder.weights[index].cross;
    size_t d = (size_t)stack->width, z = (size_t)stack->zdim;
    const MegaLinear both[] = {
        {.x = encoded->states, .ldx = d, .weight = &cross->k.weight,
         .y = encoded->keys[index], .ldy = z, .epilogue = {.bias = cross->k.bias}},
        {.x = encoded->states, .ldx = d, .weight = &cross->v.weight,
         .y = encoded->values[index], .ldy = d,
         .epilogue = {.function = (MegaFunction)stack->activation, .bias = cross->v.bias}}};
    mega_linear_run(session->pool, session->kernels, both, 2, encoded->length);
}

int mega_session_encode(MegaSession *session, const MegaInput *input, MegaEncoded **out,
                        MegaError *err)
{
    const MegaConfig *config = &session->model->config;
    const float *states;
    size_t length;
    *out = NULL;
    if (config->task != MEGA_TASK_TRANSLATE)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the model is no translator");
    MegaInput checked = *input;
    int code = mega_embed_check(config, &checked, &length, err);
    if (code)
        return code;
    /* before the encoder spends time and memory on it */
    if (config->decoder.bias == MEGA_BIAS_SIMPLE &&
        length > (size_t)config->target.cross_positions)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "the source has %zu tokens, but the model was made for at most %d", length,
                         config->target.cross_positions);
    code = mega_session_run_encoder(session, &checked, 0, &states, &length, err);
    if (code)
        return code;
    MegaEncoded *encoded = new_encoded(session->model, length);
    if (!encoded)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for an encoded source of %zu tokens",
                         length);
    memcpy(encoded->states, states, length * (size_t)config->encoder.width * sizeof *states);
    for (int i = 0; i < config->decoder.layers; i++)
        project(session, encoded, i);
    *out = encoded;
    return 0;
}

/* Sources at a time, one on each thread. */
typedef struct Batch {
    MegaSession *session;
    const MegaInput *sources;
    MegaEncoded **out;
    pthread_mutex_t mutex;
    size_t failed; /* the first one, so that the message does not depend on the threads */
    int code;
    MegaError error;
} Batch;

static void encode_one(void *context, size_t number, int worker)
{
    Batch *batch = context;
    MegaError err = {0};
    int code = mega_session_encode(batch->session->single[worker], &batch->sources[number],
                                   &batch->out[number], &err);
    if (!code)
        return;
    pthread_mutex_lock(&batch->mutex);
    if (number < batch->failed) {
        batch->failed = number;
        batch->code = code;
        batch->error = err;
    }
    pthread_mutex_unlock(&batch->mutex);
}

int mega_encode_all(MegaSession *session, const MegaInput *sources, int count, MegaEncoded **out,
                    MegaError *err)
{
    int code = 0;
    if (count == 1 || session->tap || mega_pool_threads(session->pool) == 1) {
        for (int i = 0; i < count && !code; i++)
            code = mega_session_encode(session, &sources[i], &out[i], err);
        return code;
    }
    Batch batch = {.session = session, .sources = sources, .out = out, .failed = SIZE_MAX};
    code = mega_session_single(session, err);
    if (code)
        return code;
    pthread_mutex_init(&batch.mutex, NULL);
    mega_pool_run(session->pool, (size_t)count, encode_one, &batch);
    pthread_mutex_destroy(&batch.mutex);
    return batch.code ? mega_fail(err, batch.code, "%s", batch.error.text) : 0;
}

size_t mega_encoded_length(const MegaEncoded *encoded)
{
    return encoded->length;
}

const float *mega_encoded_states(const MegaEncoded *encoded)
{
    return encoded->states;
}
