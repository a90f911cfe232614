/*
 * tokens.c - see tokens.h.
 */
#include "src/pipeline/tokens.h"

#include <stdlib.h>
#include <string.h>

#include "formats/base/input_stream.h"

int mega_token_input_make(MegaTokenInput *out, const MegaTokenizer *tokenizer,
                          const MegaTokenized *tokenized, size_t index, MegaError *err)
{
    *out = (MegaTokenInput){0};
    int code = mega_tokenized_window(tokenized, index, &out->tokens, err);
    if (code)
        return code;
    const size_t count = out->tokens.count;
    out->ids = malloc((count + 1) * sizeof *out->ids);
    out->types = malloc((count + 1) * sizeof *out->types);
    if (!out->ids || !out->types)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the tokens of a text");
    for (size_t i = 0; i < count; i++) {
        out->ids[i] = out->tokens.data[i].id;
        out->types[i] = out->tokens.data[i].type;
    }
    out->input = (MegaInput){.kind = MEGA_INPUT_TOKENS,
                             .tokens = out->ids,
                             .length = count,
                             .types = mega_tokenizer_has_types(tokenizer) ? out->types : NULL};
    return 0;
}

void mega_token_input_free(MegaTokenInput *input)
{
    mega_tokens_free(&input->tokens);
    free(input->ids);
    free(input->types);
    *input = (MegaTokenInput){0};
}

int mega_pipeline_token_input(const MegaPipeline *p, const MegaBuffer *first,
                              const MegaBuffer *second, size_t max_length, MegaTokenInput *out,
                              MegaError *err)
{
    const MegaTokenizer *tokenizer = mega_pipeline_need_tokenizer(p, err);
    const MegaEncodeOptions options = {.max_length = max_length};
    MegaTokenized tokenized = {0};
    *out = (MegaTokenInput){0};
    if (!tokenizer)
        return MEGA_ERR_MODEL;
    const MegaTexts texts = {.first = first->size ? (const char *)first->data : "",
                             .first_size = first->size,
                             .second =
                                 second ? second->size ? (const char *)second->data : "" : NULL,
                             .second_size = second ? second->size : 0};
    int code = mega_tokenizer_encode_texts(tokenizer, &texts, &options, &tokenized, err);
    if (!code)
        code = mega_token_input_make(out, tokenizer, &tokenized, 0, err);
    mega_tokenized_free(&tokenized);
    return code;
}

int mega_pipeline_hub_ids(const MegaPipeline *p, const MegaRaw *text, MegaIds *out, MegaError *err)
{
    MegaBuffer bytes = {0};
    MegaTokenInput input = {0};
    int code = mega_pipeline_read_bytes(p, text, &bytes, err);
    if (!code)
        code = mega_pipeline_token_input(p, &bytes, NULL, 0, &input, err);
    if (!code) {
        *out = (MegaIds){input.ids, input.tokens.count};
        input.ids = NULL;
    }
    mega_token_input_free(&input);
    mega_buffer_free(&bytes);
    return code;
}

/* Copies tokens into the arrays of the public interface. */
static int copy_places(const MegaTokens *tokens, MegaPlaces *out, MegaError *err)
{
    out->items = malloc((tokens->count + 1) * sizeof *out->items);
    if (!out->items)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the tokens of a text");
    out->count = tokens->count;
    for (size_t i = 0; i < tokens->count; i++) {
        const MegaToken *token = &tokens->data[i];
        out->items[i] =
            (MegaPlace){token->id, token->type, token->sequence, token->start, token->end};
    }
    return 0;
}

int mega_pipeline_places(MegaPipeline *p, MegaSide side, const MegaRaw *text, const MegaRaw *second,
                         MegaPlaces *out, MegaError *err)
{
    const MegaTokenizer *tokenizer = mega_pipeline_tokenizer(p, side);
    const MegaEncodeOptions options = {0};
    MegaBuffer bytes[2] = {{0}, {0}};
    MegaTokenized tokenized = {0};
    MegaTokens tokens = {0};
    *out = (MegaPlaces){0};
    if (!tokenizer)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "the model has no tokenizer that tells where its tokens stand");
    int code = mega_pipeline_read_bytes(p, text, &bytes[0], err);
    if (!code && second)
        code = mega_pipeline_read_bytes(p, second, &bytes[1], err);
    const MegaTexts texts = {.first = bytes[0].size ? (const char *)bytes[0].data : "",
                             .first_size = bytes[0].size,
                             .second = !second         ? NULL
                                       : bytes[1].size ? (const char *)bytes[1].data
                                                       : "",
                             .second_size = bytes[1].size};
    if (!code)
        code = mega_tokenizer_encode_texts(tokenizer, &texts, &options, &tokenized, err);
    if (!code)
        code = mega_tokenized_window(&tokenized, 0, &tokens, err);
    if (!code)
        code = copy_places(&tokens, out, err);
    if (!code) {
        out->has_places = mega_tokenizer_has_places(tokenizer);
        out->has_types = mega_tokenizer_has_types(tokenizer);
    }
    mega_tokens_free(&tokens);
    mega_tokenized_free(&tokenized);
    mega_buffer_free(&bytes[0]);
    mega_buffer_free(&bytes[1]);
    return code;
}

void mega_places_free(MegaPlaces *places)
{
    if (!places)
        return;
    free(places->items);
    *places = (MegaPlaces){0};
}

int mega_pipeline_read_bytes(const MegaPipeline *p, const MegaRaw *raw, MegaBuffer *out,
                             MegaError *err)
{
    const uint64_t left = mega_session_left(p->session);
    const size_t limit = left < MEGA_TEXT_MAX_SIZE ? (size_t)left : MEGA_TEXT_MAX_SIZE;
    return mega_raw_read_bytes(raw, limit, out, err);
}

const MegaTokenizer *mega_pipeline_need_tokenizer(const MegaPipeline *p, MegaError *err)
{
    if (!p->target)
        mega_fail(err, MEGA_ERR_MODEL,
                  "the model has no tokenizer: it takes token ids only, with 'forward'");
    return p->target;
}

int64_t mega_pipeline_number(const MegaPipeline *p, const char *key, int64_t fallback)
{
    const MegaMetaValue *value = mega_meta_find(mega_model_meta(p->model), key);
    return value && value->type == MEGA_META_INT ? value->integer : fallback;
}

int mega_pipeline_text_of(const MegaPipeline *p, const int32_t *ids, size_t count,
                          bool keep_special, bool clean_up, MegaText *out, MegaError *err)
{
    const MegaMetaValue *value = mega_meta_find(mega_model_meta(p->model), "text.clean_up");
    const bool cleans = value && value->type == MEGA_META_BOOL && value->boolean;
    const MegaDecodeOptions options = {.keep_special = keep_special,
                                       .clean_up = clean_up && cleans};
    MegaBuffer bytes = {0};
    int code = mega_tokenizer_decode_text(p->target, ids, count, &options, &bytes, err);
    if (!code)
        return mega_text_take(out, &bytes, err);
    mega_buffer_free(&bytes);
    return code;
}

int mega_text_slice(const MegaCharacters *text, uint32_t start, uint32_t end, MegaText *out,
                    MegaError *err)
{
    const size_t to = mega_characters_byte(text, end);
    const size_t from = start < end ? mega_characters_byte(text, start) : to;
    MegaBuffer slice = {0};
    mega_put_bytes(&slice, text->size ? text->text + from : "", to - from);
    return mega_text_take(out, &slice, err);
}
