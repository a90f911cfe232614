/*
 * raw_models.c - see raw_models.h.
 */
#include "tests/unit/raw_models.h"

MegaMeta *meta_of(MegaModel *model)
{
    return (MegaMeta *)mega_model_meta(model);
}

MegaModel *samples_model(void)
{
    Random random = {7};
    MegaConfig config = small_config();
    config.embed = (MegaEmbedConfig){.kind = MEGA_EMBED_REAL, .pad = -1};
    return random_model(&config, &random);
}

MegaModel *text_model(bool pair)
{
    static const char *const symbols[] = {"<s>", "<pad>", "</s>", "<unk>", "red", "green"};
    Random random = {7};
    MegaConfig config = small_config();
    config.head.pair = pair;
    MegaModel *model = random_model(&config, &random);
    const MegaTextPreprocess preprocess = {
        .unit = MEGA_TEXT_SYMBOLS, .cls = -1, .eos = MEGA_ID_EOS, .unk = MEGA_ID_UNK};
    assert_int_equal(mega_text_preprocess_write(&preprocess, meta_of(model), NULL), 0);
    assert_int_equal(mega_meta_set_strings(meta_of(model), MEGA_VOCAB_KEY, symbols, 6), 0);
    return model;
}
