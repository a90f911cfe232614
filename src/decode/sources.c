/*
 * sources.c - see sources.h.
 */
#include "src/decode/sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/float_mode.h"
#include "src/encode/session.h"
#include "src/layers/embed.h"

/* ---- Memory --------------------------------------------------------------------------------- */

static void layout(MegaEncoded *encoded, MegaArena *arena)
{
    const MegaStack *stack = &encoded->model->decoder;
    uint64_t d = (uint64_t)encoded->model->config.encoder.width;
    encoded->states = mega_arena_floats(arena, encoded->length * d);
    for (int i = 0; i < stack->config->layers; i++)
        stack->kind->source_layout(stack->config, encoded->length, &encoded->layers[i], arena);
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
    encoded->layers = calloc(layers, sizeof *encoded->layers);
    int code = encoded->layers ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for %s", what);
    if (!code) {
        layout(encoded, &dry);
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
    layout(encoded, &encoded->arena);
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
    free(encoded->layers);
    free(encoded);
}

/* ---- Encoding ------------------------------------------------------------------------------- */

/* Most positions of sources that go through the encoder together; a longer source goes alone. Short
 * sources are joined because each would otherwise read all weights for a few rows. */
#define GROUP_POSITIONS 2048

typedef struct SourcePass {
    MegaPass pass;
    MegaEncoded **sources;
    size_t count;
} SourcePass;

/* Makes the keys and values that one decoder layer keeps of one source. */
static void read_source(void *context, size_t task, int worker)
{
    (void)worker;
    const SourcePass *work = context;
    work->pass.stack->kind->read_source(&work->pass, (int)(task / work->count),
                                        work->sources[task % work->count]);
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
    SourcePass work = {.sources = out,
                       .count = count,
                       .pass = {.stack = &session->model->decoder,
                                .config = &config->decoder,
                                .kernels = session->kernels,
                                .pool = session->pool}};
    mega_pool_run(session->pool, count * (size_t)config->decoder.layers, read_source, &work);
    return 0;
}

/* Checks a source before the encoder spends time and memory on it. */
static int check_source(const MegaConfig *config, MegaInput *source, size_t *length, MegaError *err)
{
    const int64_t most = mega_stack_reach(config, &config->decoder).cross_positions;
    int code = mega_embed_check(config, source, length, err);
    if (!code && *length > (uint64_t)most)
        code = mega_fail(err, MEGA_ERR_INPUT,
                         "the source has %zu tokens, but the model was made for at most %lld",
                         *length, (long long)most);
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
    if (!mega_config_has_cross(config))
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the model is not a translator");
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
        bool can_batch = !session->tap.tap && mega_session_can_batch(session, positions);
        for (some = 1; can_batch && first + some < total; some++) {
            size_t length = lengths[first + some];
            if (positions + length > GROUP_POSITIONS ||
                !mega_session_can_batch(session, length))
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
