/*
 * fuzz_mega.c - fuzzes model files: the container unchanged, then again with correct checksums, to
 * reach the code behind them: metadata, index, configuration, binding, preprocessing, vocabulary,
 * text to ids and back. A small model that passes is run: it classifies, or decodes a few tokens.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "formats/base/bytes.h"
#include "formats/base/sniff.h"
#include "formats/mega/mega_file.h"
#include "formats/text/tokenizer.h"
#include "src/model/model.h"
#include "src/pipeline/preprocess.h"
#include "tests/fuzz/fuzz.h"

#define MAX_DECODED (1u << 22)
#define INPUT_LENGTH 24

/* Corrects the CRCs of metadata, index and header (MEGA-FORMAT.md, "Header"), if these are in the
 * file. */
static void mend(uint8_t *data, size_t size)
{
    uint64_t meta_size = mega_load_u64(data + 24), index = mega_load_u64(data + 32);
    uint64_t index_size = mega_load_u64(data + 40);
    mega_store_u64(data + 16, size);
    if (meta_size <= size - MEGA_HEADER_SIZE)
        mega_store_u32(data + 48,
                       (uint32_t)crc32(0, data + MEGA_HEADER_SIZE, (unsigned)meta_size));
    if (index <= size && index_size <= size - index)
        mega_store_u32(data + 52, (uint32_t)crc32(0, data + index, (unsigned)index_size));
    mega_store_u32(data + 60, (uint32_t)crc32(0, data, 60));
}

static void read_container(const uint8_t *data, size_t size)
{
    MegaError err = {0};
    MegaFile *file = NULL;
    int code = mega_file_from_memory(&file, data, size, "fuzz.mega", &err);
    fuzz_check_error(code, err.text);
    uint64_t total = 0;
    for (size_t i = 0; !code && i < mega_file_tensor_count(file); i++) {
        const MegaTensor *tensor = mega_file_tensor(file, i);
        total += tensor->size;
        if (total > MAX_DECODED)
            break;
        void *values = malloc(tensor->size);
        if (values)
            fuzz_check_error(mega_file_read(file, tensor, values, &err), err.text);
        free(values);
    }
    if (!code && total <= MAX_DECODED)
        fuzz_check_error(mega_file_verify(file, &err), err.text);
    mega_file_close(file);
}

static void classify(const MegaModel *model, MegaError *err)
{
    MegaSession *session = NULL;
    MegaSessionOptions options = {.threads = 1};
    int32_t tokens[INPUT_LENGTH] = {4, 5, 6, 7, 8, 9};
    float values[INPUT_LENGTH] = {0.5f, -0.5f};
    const bool labels = mega_task_traits(mega_model_task(model))->labels_positions;
    const size_t classes = (size_t)mega_model_class_count(model);
    float *logits =
        calloc(classes * INPUT_LENGTH + (size_t)mega_model_width(model) + 1, sizeof *logits);
    MegaInput input = {.kind = mega_model_input_kind(model), .tokens = tokens, .values = values,
                       .length = INPUT_LENGTH};
    MegaInput inputs[2] = {input, input};
    int code = mega_session_new(&session, model, &options, err);
    if (!code && logits && input.kind != MEGA_INPUT_IMAGE)
        code = labels ? mega_session_label(session, &input, NULL, INPUT_LENGTH, logits, err)
                      : mega_session_classify(session, inputs, mega_model_input_count(model),
                                              logits, err);
    fuzz_check_error(code, err->text);
    mega_session_free(session);
    free(logits);
}

/* Runs three steps of a translator over a source of four tokens, or of a language model. */
static void decode(const MegaModel *model, MegaError *err)
{
    const int32_t source[] = {4, 5, 6, 2}, tokens[] = {2, 4, 5};
    MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = source, .length = 4};
    bool translator = mega_model_task(model) == MEGA_TASK_TRANSLATE;
    MegaSession *session = NULL;
    MegaEncoded *encoded = NULL;
    MegaDecoder *decoder = NULL;
    float *logits = calloc((size_t)mega_model_vocab_size(model) * 3 + 1, sizeof *logits);
    int code = mega_session_new(&session, model, &(MegaSessionOptions){.threads = 1}, err);
    if (!code && translator)
        code = mega_session_encode(session, &input, &encoded, err);
    if (!code)
        code = mega_decoder_new(&decoder, session, NULL, err);
    const MegaEncoded *sources[] = {encoded};
    if (!code)
        code = mega_decoder_begin(decoder, translator ? sources : NULL, 1, err);
    if (!code && logits)
        code = mega_decoder_feed(decoder, tokens, 3, logits, err);
    fuzz_check_error(code, err->text);
    mega_decoder_free(decoder);
    mega_encoded_free(encoded);
    mega_session_free(session);
    free(logits);
}

static void use_text(const MegaMeta *meta, MegaTokenizerSide side, MegaError *err)
{
    static const char text[] = "The \"newest\" lower, don't 3.5 %";
    MegaTokenizer *tokenizer = NULL;
    MegaBuffer out = {0};
    int32_t *ids = NULL;
    size_t count = 0;
    int code = mega_tokenizer_new(&tokenizer, meta, side, err);
    if (!code)
        code = mega_tokenizer_encode(tokenizer, text, strlen(text), false, &ids, &count, err);
    if (!code)
        code = mega_tokenizer_decode(tokenizer, ids, count, false, &out, err);
    fuzz_check_error(code, err->text);
    mega_buffer_free(&out);
    free(ids);
    mega_tokenizer_free(tokenizer);
}

static void load_model(const uint8_t *data, size_t size)
{
    MegaError err = {0};
    MegaModel *model = NULL;
    MegaAudioPreprocess audio;
    MegaImagePreprocess image;
    int code = mega_model_from_memory(&model, data, size, &err);
    fuzz_check_error(code, err.text);
    if (!code) {
        const MegaMeta *meta = mega_model_meta(model);
        fuzz_check_error(mega_audio_preprocess_read(&audio, meta, &err), err.text);
        fuzz_check_error(mega_image_preprocess_read(&image, meta, &err), err.text);
        use_text(meta, MEGA_TOKENIZER_SOURCE, &err);
        use_text(meta, MEGA_TOKENIZER_TARGET, &err);
        if (mega_config_has_head(mega_model_config(model)))
            classify(model, &err);
        else
            decode(model, &err);
    }
    mega_model_free(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mega_sniff(data, size);
    read_container(data, size);
    load_model(data, size);
    if (size < MEGA_HEADER_SIZE)
        return 0;
    uint8_t *mended = malloc(size);
    if (mended) {
        memcpy(mended, data, size);
        mend(mended, size);
        read_container(mended, size);
        load_model(mended, size);
    }
    free(mended);
    return 0;
}
