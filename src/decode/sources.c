/*
 * sources.c - see sources.h.
 */
#include "src/decode/sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/float_mode.h"
#include "src/encode/session.h"
#include "src/kernels/matmul.h"
#include "src/layers/embed.h"

/* ---- Memory --------------------------------------------------------------------------------- */

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

static int new_encoded(MegaEncoded **out, const MegaSession *session, size_t length,
                       MegaError *err)
{
    const MegaModel *model = session->model;
    char what[64];
    size_t layers = (size_t)model->config.decoder.layers;
    MegaArena dry = {0};
    *out = NULL;
    snprintf(what, sizeof what, "an encoded source of %zu tokens", length);
    MegaEncoded *encoded = calloc(1, sizeof *encoded);
    if (!encoded)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %s", what);
    *encoded = (MegaEncoded){.model = model, .length = length,
                             .ledger = mega_ledger_hold(session->ledger)};
    encoded->keys = calloc(layers, sizeof *encoded->keys);
    encoded->values = calloc(layers, sizeof *encoded->values);
    int code = encoded->keys && encoded->values
                   ? 0
                   : mega_fail(err, MEGA_ERR_MEMORY, "no memory for %s", what);
    if (!code) {
        take_memory(encoded, &dry);
        code = dry.overflow ? mega_fail(err, MEGA_ERR_LIMIT, "%s is too long", what)
                            : mega_ledger_change(encoded->ledger, 0, dry.used, what, err);
    }
    if (!code) {
        encoded->counted = dry.used;
        code = mega_arena_reserve(&encoded->arena, dry.used, err);
    }
    if (code) {
        mega_encoded_free(encoded);
        return code;
    }
    take_memory(encoded, &encoded->arena);
    *out = encoded;
    return 0;
}

void mega_encoded_free(MegaEncoded *encoded)
{
    if (!encoded)
        return;
    mega_arena_free(&encoded->arena);
    mega_ledger_change(encoded->ledger, encoded->counted, 0, NULL, NULL);
    mega_ledger_drop(encoded->ledger);
    free(encoded->keys);
    free(encoded->values);
    free(encoded);
}

/* ---- Encoding ------------------------------------------------------------------------------- */

/* Positions of the sources that go through the encoder together, unless a source has more. Short
 * ones would read all weights for a few rows each. */
#define GROUP_POSITIONS 2048

typedef struct Projection {
    const MegaSession *session;
    MegaEncoded **sources;
    size_t count;
} Projection;

/* Keys and values of one source for one decoder layer. */
static void project(void *context, size_t task, int worker)
{
    (void)worker;
    const Projection *p = context;
    const MegaKernels *kernels = p->session->kernels;
    MegaEncoded *encoded = p->sources[task % p->count];
    size_t index = task / p->count;
    const MegaStackConfig *stack = &encoded->model->config.decoder;
    const MegaCrossWeights *cross = &encoded->model->decoder.weights[index].cross;
    size_t d = (size_t)stack->width, z = (size_t)stack->zdim;
    MegaEpilogue key = {.bias = cross->k.bias};
    MegaEpilogue value = {.function = (MegaFunction)stack->activation, .bias = cross->v.bias};
    mega_matmul(kernels, &cross->k.weight, encoded->states, d, encoded->length,
                encoded->keys[index], z, &key);
    mega_matmul(kernels, &cross->v.weight, encoded->states, d, encoded->length,
                encoded->values[index], d, &value);
}

static int encode_group(MegaSession *session, const MegaInput *inputs, const size_t *lengths,
                        size_t count, MegaEncoded **out, MegaError *err)
{
    const MegaConfig *config = &session->model->config;
    size_t d = (size_t)config->encoder.width;
    const float *states;
    int code = mega_session_run_encoder(session, inputs, lengths, count, 0, &states, err);
    for (size_t i = 0; i < count && !code; i++) {
        code = new_encoded(&out[i], session, lengths[i], err);
        if (code)
            break;
        memcpy(out[i]->states, states, lengths[i] * d * sizeof *states);
        states += lengths[i] * d;
    }
    if (code)
        return code;
    Projection projection = {session, out, count};
    mega_pool_run(session->pool, count * (size_t)config->decoder.layers, project, &projection);
    return 0;
}

/* Before the encoder spends time and memory on it. */
static int check_source(const MegaConfig *config, MegaInput *source, size_t *length, MegaError *err)
{
    int code = mega_embed_check(config, source, length, err);
    if (!code && config->decoder.bias == MEGA_BIAS_SIMPLE &&
        *length > (size_t)config->target.cross_positions)
        code = mega_fail(err, MEGA_ERR_INPUT,
                         "the source has %zu tokens, but the model was made for at most %d",
                         *length, config->target.cross_positions);
    return code;
}

int mega_encode_all(MegaSession *session, const MegaInput *sources, int count, MegaEncoded **out,
                    MegaError *err)
{
    MEGA_WITH_FLOAT_MODE;
    const MegaConfig *config = &session->model->config;
    size_t total = (size_t)count;
    int code = 0;
    memset(out, 0, total * sizeof *out);
    if (config->task != MEGA_TASK_TRANSLATE)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the model is no translator");
    MegaInput *inputs = malloc(total * sizeof *inputs);
    size_t *lengths = malloc(total * sizeof *lengths);
    if (!inputs || !lengths)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d sources", count);
    for (size_t i = 0; i < total && !code; i++) {
        inputs[i] = sources[i];
        code = check_source(config, &inputs[i], &lengths[i], err);
    }
    for (size_t first = 0, some; first < total && !code; first += some) {
        size_t positions = lengths[first];
        bool packs = !session->tap && mega_session_packs(session, positions);
        for (some = 1; packs && first + some < total; some++) {
            size_t length = lengths[first + some];
            if (positions + length > GROUP_POSITIONS || !mega_session_packs(session, length))
                break;
            positions += length;
        }
        code = encode_group(session, inputs + first, lengths + first, some, out + first, err);
    }
    free(inputs);
    free(lengths);
    return code;
}

int mega_session_encode(MegaSession *session, const MegaInput *input, MegaEncoded **out,
                        MegaError *err)
{
    return mega_encode_all(session, input, 1, out, err);
}

/* ---- Looking inside ------------------------------------------------------------------------- */

size_t mega_encoded_length(const MegaEncoded *encoded)
{
    return encoded->length;
}

const float *mega_encoded_states(const MegaEncoded *encoded)
{
    return encoded->states;
}
