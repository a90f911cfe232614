/*
 * test_model.c - loads models: good files, every mismatch of tensors and configuration, and damage.
 */
#include "tests/unit/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/encode/session.h"

static const char *const path = scratch_path;

static int open_tweaked(const MegaConfig *config, const ModelTweak *tweak, MegaModel **model,
                        MegaError *err)
{
    Random random = {31};
    random_model_file(path, config, tweak, &random);
    return mega_model_open(model, path, err);
}

static void expect_refusal(const ModelTweak *tweak, const char *sentence)
{
    MegaConfig config = small_config();
    MegaModel *model;
    MegaError err = {0};
    assert_int_equal(open_tweaked(&config, tweak, &model, &err), MEGA_ERR_MODEL);
    assert_null(model);
    if (!strstr(err.text, sentence))
        fail_msg("'%s' does not contain '%s'", err.text, sentence);
}

static void misfits_are_named(void **state)
{
    (void)state;
    expect_refusal(&(ModelTweak){.missing = "encoder.layer.1.ema.delta"},
                   "tensor 'encoder.layer.1.ema.delta' is missing");
    expect_refusal(&(ModelTweak){.longer = "encoder.layer.0.v.weight"},
                   "has shape 21 x 12, but the configuration implies 20 x 12");
    expect_refusal(&(ModelTweak){.longer = "head.output.weight", .compress = true},
                   "has shape 6 x 10");
    expect_refusal(&(ModelTweak){.extra = "encoder.layer.2.gamma"},
                   "tensor 'encoder.layer.2.gamma' is not part of this architecture");
}

static void classify(const MegaConfig *config, const ModelTweak *tweak, float *logits)
{
    const int32_t tokens[] = {5, 9, 7, 20, 2};
    MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = tokens, .length = 5};
    MegaError err = {0};
    MegaModel *model;
    MegaSession *session;
    if (open_tweaked(config, tweak, &model, &err))
        fail_msg("%s", err.text);
    assert_int_equal(mega_session_new(&session, model, NULL, NULL), 0);
    assert_int_equal(mega_session_classify(session, &input, 1, logits, NULL), 0);
    mega_session_free(session);
    mega_model_free(model);
}

/* Stores all types plain, compressed and in panels. Panels are used in place if all parts of a
 * matrix begin with a whole one, else they are copied. The model must be the same up to the type's
 * rounding. */
static void types_and_encodings(void **state)
{
    const float tolerance[] = {0, 2e-2f, 2e-1f, 2e-1f, 2};
    MegaConfig config = small_config();
    (void)state;
    for (int width = 12; width <= 32; width += 20) {
        float exact[5], plain[5], logits[5];
        config.encoder.width = width;
        mega_gated_of(&config.encoder)->zdim = width / 2;
        classify(&config, &(ModelTweak){0}, exact);
        for (int type = MEGA_F32; type <= MEGA_Q4; type++) {
            ModelTweak tweak = {.dtype = (MegaDtype)type};
            classify(&config, &tweak, plain);
            for (int i = 0; i < 5; i++)
                assert_true(fabsf(plain[i] - exact[i]) <= tolerance[type]);
            tweak.compress = true;
            classify(&config, &tweak, logits);
            assert_memory_equal(logits, plain, sizeof plain);
            tweak.compress = false;
            tweak.panels = true;
            classify(&config, &tweak, logits);
            assert_memory_equal(logits, plain, sizeof plain);
        }
    }
}

/* A model in memory opens at every alignment that a caller may have. */
static void from_memory(void **state)
{
    MegaConfig config = small_config();
    Random random = {32};
    (void)state;
    random_model_file(path, &config, &(ModelTweak){.panels = true}, &random);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *bytes = malloc(1 << 20);
    assert_non_null(bytes);
    for (size_t shift = 0; shift < 9; shift++) {
        MegaError err = {0};
        MegaModel *model;
        rewind(file);
        size_t size = fread(bytes + shift, 1, (1 << 20) - shift, file);
        if (mega_model_from_memory(&model, bytes + shift, size, &err))
            fail_msg("%s", err.text);
        mega_model_free(model);
        bytes[shift + size - 5] ^= 4; /* a byte of the data, which is verified because the file
                                         is small */
        assert_int_equal(mega_model_from_memory(&model, bytes + shift, size, &err),
                         MEGA_ERR_FORMAT);
        assert_null(model);
    }
    free(bytes);
    fclose(file);
}

/* Expects that the configuration of `good` is refused after a change. */
#define REFUSED(change, sentence)                                                                  \
    c = good;                                                                                      \
    change;                                                                                        \
    assert_int_equal(mega_config_check(&c, &err), MEGA_ERR_MODEL);                                 \
    if (!strstr(err.text, sentence))                                                               \
    fail_msg("'%s' does not contain '%s'", err.text, sentence)

static void inconsistent_configurations(void **state)
{
    MegaConfig good = small_config(), c;
    MegaError err;
    (void)state;
    assert_int_equal(mega_config_check(&good, NULL), 0);
    REFUSED(c.encoder.layers = 0, "encoder.layers");
    REFUSED(c.encoder.layers = 257, "encoder.layers");
    REFUSED(c.encoder.width = -1, "encoder.width");
    REFUSED(mega_gated_of(&c.encoder)->ndim = 1025, "encoder.ndim");
    REFUSED(c.encoder.norm = (MegaNormKind)9, "encoder.norm");
    REFUSED(c.embed.pad = 30, "embed.pad");
    REFUSED(c.head.width = 0, "head.width");
    REFUSED(mega_gated_of(&c.encoder)->bias = MEGA_BIAS_ROTARY;
            mega_gated_of(&c.encoder)->zdim = 7, "rotary");
    REFUSED(c.embed.kind = MEGA_EMBED_FRAMES; c.embed.frame_length = 9; c.embed.frame_hop = 4,
            "even number");
    REFUSED(c.embed.kind = MEGA_EMBED_PATCHES; c.embed.patch = 5; c.embed.channels = 3;
            c.embed.width = c.embed.height = 12, "whole patches");
}

/* Each factor is allowed by itself, but not their product. */
static void products_have_limits(void **state)
{
    MegaConfig good = small_config(), c;
    MegaError err;
    (void)state;
    good.embed = (MegaEmbedConfig){.kind = MEGA_EMBED_PATCHES, .pad = -1, .patch = 64,
                                   .channels = 4, .height = 8192, .width = 8192};
    assert_int_equal(mega_config_check(&good, NULL), 0);
    assert_int_equal(mega_config_input_length(&good), 1 << 28);
    REFUSED(c.embed.width = 8256, "exceed the limit of 268435456 values");
    REFUSED(c.embed.channels = 3; c.embed.height = 65536; c.embed.width = 21888,
            "3 x 65536 x 21888"); /* their product is a little more than 2^32 */
    REFUSED(c.embed.patch = 4096, "patches of 4 x 4096 x 4096 values exceed");
    c = small_config();
    c.encoder.max_positions = 1 << 26;
    assert_int_equal(mega_config_input_length(&c), MEGA_MAX_LENGTH);
    c.embed = (MegaEmbedConfig){.kind = MEGA_EMBED_FRAMES, .pad = -1, .frame_length = 1 << 20,
                                .frame_hop = 1 << 20};
    assert_int_equal(mega_config_input_length(&c), MEGA_MAX_LENGTH);
    c.encoder.max_positions = 3;
    assert_int_equal(mega_config_input_length(&c), 3 << 20);
}

static MegaConfig small_translator(void)
{
    MegaConfig config = small_config();
    config.task = MEGA_TASK_TRANSLATE;
    config.decoder = config.encoder;
    config.decoder.bidirectional = false;
    config.target = (MegaTargetConfig){.vocab = 30, .pad = 1, .eos = 2, .unk = 3,
                                       .max_positions = 64, .cross_positions = 64};
    config.target.input = config.target.output =
        (MegaClusters){.count = 1, .end = {30}, .width = {config.decoder.width}};
    return config;
}

static void inconsistent_decoders(void **state)
{
    MegaConfig good = small_translator(), c;
    MegaError err;
    (void)state;
    if (mega_config_check(&good, &err))
        fail_msg("%s", err.text);
    REFUSED(c.target.input.count = 0, "target.input_ends has 0 elements, not 1 to 1");
    REFUSED(c.target.output.count = 2, "target.output_ends has 2 elements, not 1 to 1");
    REFUSED(c.target.adaptive_input = true; c.target.input.count = 2;
            c.target.input.end[1] = 30, "target.input_ends does not rise");
    REFUSED(c.target.input.width[0] = 0, "target.input_widths holds 0");
    REFUSED(c.target.output.end[0] = 29, "target.output_ends ends at 29, but the vocabulary at 30");
    REFUSED(c.target.eos = 30, "is not below target.vocab, 30");
    REFUSED(c.target.input.width[0] = 6, "which needs a projection to decoder.width");
    REFUSED(c.target.output.width[0] = 6, "which needs a projection from decoder.width");
    REFUSED(c.target.output_projection = c.target.adaptive_output = true,
            "target.output_projection needs target.split_head");
    REFUSED(c.decoder.bidirectional = true, "a decoder cannot look ahead");
    REFUSED(mega_gated_of(&c.decoder)->bias = MEGA_BIAS_ROTARY;
            mega_gated_of(&c.decoder)->zdim = 7, "decoder.zdim is 7");
    REFUSED(c.decoder.width = c.target.input.width[0] = c.target.output.width[0] = 14,
            "an encoder as wide as itself");
}
#undef REFUSED

/* Metadata that replace those of a good file. */
static void metadata_of_another_kind(void **state)
{
    static const int64_t none[1] = {0}, long_one[2] = {15, 30}, many[64];
    static const struct {
        const char *key;
        const int64_t *values; /* NULL: the value is a text */
        size_t count;
        const char *sentence;
    } cases[] = {
        {"encoder.norm", NULL, 0, "metadata key 'encoder.norm' is 'strange', which this version"},
        {"general.task", NULL, 0, "metadata key 'general.task' is 'strange', which this version"},
        {"encoder.layers", NULL, 0, "encoder.layers"},
        {"encoder.norm", none, 1, "encoder.norm"},
        {"target.input_ends", NULL, 0, "'target.input_ends' must be an array of 1 to"},
        {"target.input_ends", many, 64, "'target.input_ends' must be an array of 1 to"},
        {"target.output_widths", none, 1, "'target.output_widths' holds 0, outside of 1 to"},
        {"target.output_ends", long_one, 2,
         "'target.output_ends' has 2 elements, but 'target.output_widths' has 1"},
    };
    MegaConfig config = small_translator(), got;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaMeta *meta = mega_meta_new();
        MegaError err = {0};
        assert_int_equal(mega_config_write(&config, meta, &err), 0);
        assert_int_equal(mega_config_read(&got, meta, &err), 0);
        if (cases[i].values)
            mega_meta_set_ints(meta, cases[i].key, cases[i].values, cases[i].count);
        else
            mega_meta_set_string(meta, cases[i].key, "strange");
        assert_int_not_equal(mega_config_read(&got, meta, &err), 0);
        if (!strstr(err.text, cases[i].sentence))
            fail_msg("'%s' does not contain '%s'", err.text, cases[i].sentence);
        mega_meta_free(meta);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(misfits_are_named),
        cmocka_unit_test(types_and_encodings),
        cmocka_unit_test(from_memory),
        cmocka_unit_test(inconsistent_configurations),
        cmocka_unit_test(products_have_limits),
        cmocka_unit_test(inconsistent_decoders),
        cmocka_unit_test(metadata_of_another_kind),
    };
    return cmocka_run_group_tests(tests, make_scratch_file, remove_scratch_file);
}
