/*
 * fuzz_config.c - fuzzes the original's arguments as JSON, as mega-convert takes them. Together
 * with the tensors of a small checkpoint they give an architecture and metadata, from which
 * configuration, labels, preprocessing and a tokenizer that takes a text are read back. It runs
 * from the top of the source tree.
 *
 * "fuzz" in the JSON chooses the checkpoint and the options of the command line.
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tools/convert/metadata.h"

#define FIXTURES "tests/fixtures/"

static const struct {
    const char *path, *dict, *vocab;
} checkpoints[] = {
    {FIXTURES "unit_statedict/model_state.pt", FIXTURES "unit_statedict/dict.txt", NULL},
    {FIXTURES "unit_syncbatchnorm_image/checkpoint.pt", NULL, NULL},
    {FIXTURES "image_small_linear/checkpoint.pth", NULL, NULL},
    {FIXTURES "mt_small_chunk16/checkpoint.pt", FIXTURES "mt_small_chunk16/dict.en.txt", NULL},
    {FIXTURES "lm_adaptive_small/checkpoint.pt", FIXTURES "lm_adaptive_small/dict.txt", NULL},
    {FIXTURES "lm_trunc_nochunk_small/checkpoint.pt", FIXTURES "lm_trunc_nochunk_small/dict.txt",
     NULL},
    {FIXTURES "xfm_lra_imdb/checkpoint.pt", FIXTURES "xfm_lra_imdb/dict.txt", NULL},
    {FIXTURES "xfm_mt_legacy/checkpoint.pt", FIXTURES "xfm_mt_legacy/dict.en.txt", NULL},
    {FIXTURES "xfm_lm_adaptive_untied/checkpoint.pt", FIXTURES "xfm_lm_adaptive_untied/dict.txt",
     NULL},
    {FIXTURES "s4_example_dplr/ckpt.pth", NULL, NULL},
    {FIXTURES "s4_diag_bilinear/checkpoint.ckpt", NULL, FIXTURES "s4_diag_bilinear/vocab.json"},
    {FIXTURES "s4_variants/31.ckpt", NULL, NULL},
};

#define CHECKPOINT_COUNT ((int)(sizeof checkpoints / sizeof checkpoints[0]))

static const MegaCheckpoint *open_checkpoint(int index)
{
    static MegaCheckpoint *opened[CHECKPOINT_COUNT];
    MegaError err;
    if (!opened[index] && mega_checkpoint_open(&opened[index], checkpoints[index].path,
                                               &(MegaCheckpointOptions){0}, &err))
        __builtin_trap();
    return opened[index];
}

static void use_text(const MegaMeta *meta, const char *text)
{
    MegaError err = {0};
    MegaTokenizer *tokenizer = NULL;
    MegaBuffer out = {0};
    int32_t *ids = NULL;
    size_t count = 0;
    int code = mega_tokenizer_new(&tokenizer, meta, MEGA_TOKENIZER_SOURCE, &err);
    if (!code)
        code = mega_tokenizer_encode(tokenizer, text, strlen(text), false, &ids, &count, &err);
    for (size_t i = 0; !code && i < count; i++)
        if (ids[i] < 0 || ids[i] >= mega_vocab_count(mega_tokenizer_vocab(tokenizer)))
            __builtin_trap();
    if (!code)
        code = mega_tokenizer_decode(tokenizer, ids, count, false, &out, &err);
    fuzz_check_error(code, err.text);
    mega_buffer_free(&out);
    free(ids);
    mega_tokenizer_free(tokenizer);
}

/* Reads from the metadata what mega-run does. */
static void read_back(const MegaMeta *meta, const char *text)
{
    MegaError err = {0};
    MegaConfig config;
    MegaAudioPreprocess audio;
    MegaImagePreprocess image;
    int code = mega_config_read(&config, meta, &err);
    fuzz_check_error(code, err.text);
    if (code) /* written metadata can be read */
        __builtin_trap();
    fuzz_check_error(mega_audio_preprocess_read(&audio, meta, &err), err.text);
    fuzz_check_error(mega_image_preprocess_read(&image, meta, &err), err.text);
    use_text(meta, text);
}

/* Returns the options of the command line. */
static MetadataOptions options_of(const json_t *fuzz, int index)
{
    const json_t *rate = json_object_get(fuzz, "audio-rate"), *mean;
    MetadataOptions options = {.input_path = checkpoints[index].path,
                               .dict = checkpoints[index].dict,
                               .vocab = checkpoints[index].vocab,
                               .audio_rate = json_is_integer(rate) ? json_integer_value(rate) : -1,
                               .audio_length = -1,
                               .audio_mean = NAN,
                               .audio_std = NAN,
                               .text_unit = -1,
                               .quiet = true};
    if (json_is_true(json_object_get(fuzz, "no-dict")))
        options.dict = options.vocab = NULL;
    if (json_is_true(json_object_get(fuzz, "bpe")))
        options.bpe_codes = "tests/data/bpe/codes";
    options.moses = json_is_true(json_object_get(fuzz, "moses"));
    options.source_lang = json_string_value(json_object_get(fuzz, "source-lang"));
    options.target_lang = json_string_value(json_object_get(fuzz, "target-lang"));
    if (json_is_real(mean = json_object_get(fuzz, "audio-mean"))) {
        options.audio_mean = json_real_value(mean);
        options.audio_std = 0.1;
    }
    return options;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MegaError err = {0};
    json_t *whole = json_loadb((const char *)data, size, 0, NULL);
    const json_t *inner = json_object_get(whole, "args"), *fuzz = json_object_get(whole, "fuzz");
    const json_t *args = json_is_object(inner) ? inner : json_is_object(whole) ? whole : NULL;
    const json_t *chunk = json_object_get(fuzz, "chunk");
    const char *text = json_string_value(json_object_get(fuzz, "text"));
    int index = (int)((uint64_t)json_integer_value(json_object_get(fuzz, "checkpoint")) %
                      CHECKPOINT_COUNT);
    const MegaCheckpoint *checkpoint = open_checkpoint(index);
    MetadataOptions options = options_of(fuzz, index);
    Architecture architecture;
    MegaMeta *meta = NULL;
    int code = architecture_detect(&architecture, checkpoint, args,
                                   json_is_integer(chunk) ? json_integer_value(chunk) : -1,
                                   MEGA_WEIGHTS_ANY, &err);
    if (!code)
        code = build_metadata(&meta, &options, &architecture, checkpoint, args, &err);
    fuzz_check_error(code, err.text);
    if (!code)
        read_back(meta, text ? text : "Don't lower (the newest) 3.5 % wider.");
    mega_meta_free(meta);
    architecture_free(&architecture);
    json_decref(whole);
    return 0;
}
