/*
 * decoding_models.c - see decoding_models.h.
 */
#include "tests/unit/decoding_models.h"

void make_adaptive(MegaTargetConfig *target, Random *random, int first, int second, int vocab)
{
    target->vocab = vocab;
    target->adaptive_input = target->input_projection = target->adaptive_output = true;
    target->split_head = random_int(random, 0, 1);
    target->output_projection = target->split_head && random_int(random, 0, 1);
    target->tied_projections = random_int(random, 0, 1);
    target->input = target->output = (MegaClusters){3, {first, second, vocab}, {12, 6, 3}};
}

MegaConfig language_model(Random *random)
{
    MegaStackConfig stack = mega_with_gated((MegaStackConfig){.layers = 2,
                                                              .width = 12,
                                                              .ffn = 16,
                                                              .max_positions = 400,
                                                              .norm_affine = true,
                                                              .final_norm_affine = true,
                                                              .final_norm = true,
                                                              .pre_norm = true,
                                                              .activation = MEGA_ACTIVATION_SILU},
                                            (MegaGatedConfig){.hidden = 20, .zdim = 6, .ndim = 3});
    MegaConfig config = {.task = MEGA_TASK_GENERATE, .decoder = stack};
    config.target = (MegaTargetConfig){.vocab = 40,
                                       .pad = 1,
                                       .eos = 2,
                                       .unk = 3,
                                       .scale = true,
                                       .max_positions = 400,
                                       .cross_positions = 400};
    config.target.input = config.target.output = (MegaClusters){1, {40}, {12}};
    MegaGatedConfig *gated = mega_gated_of(&config.decoder);
    gated->chunk = random_int(random, 0, 1) ? random_int(random, 1, 50) : 0;
    gated->truncation = random_int(random, 0, 1) ? random_int(random, 1, 60) : 0;
    gated->attention = (MegaAttentionKind)random_int(random, 0, 2);
    gated->bias = (MegaBiasKind)random_int(random, 0, 1);
    gated->rotary_float32 = random_int(random, 0, 1);
    config.decoder.norm = (MegaNormKind)random_int(random, 0, 2);
    config.decoder.embed_norm = random_int(random, 0, 1);
    if (random_int(random, 0, 1))
        make_adaptive(&config.target, random, 10, 25, 40);
    return config;
}

MegaConfig translator(Random *random)
{
    MegaConfig config = language_model(random);
    config.task = MEGA_TASK_TRANSLATE;
    config.embed =
        (MegaEmbedConfig){.kind = MEGA_EMBED_TOKENS, .vocab = 33, .pad = 1, .scale = true};
    config.encoder = config.decoder;
    config.encoder.bidirectional = true;
    return config;
}

void random_tokens(Random *random, int32_t *tokens, size_t count, int vocab)
{
    for (size_t i = 0; i < count; i++)
        tokens[i] = random_int(random, 2, vocab - 1);
}

MegaSession *new_session(const MegaModel *model, int threads)
{
    MegaSession *session;
    MegaSessionOptions options = {.threads = threads};
    assert_int_equal(mega_session_new(&session, model, &options, NULL), 0);
    return session;
}

int larger_first(const void *a, const void *b)
{
    const float *left = a, *right = b;
    return *left < *right ? 1 : *left > *right ? -1 : 0;
}
