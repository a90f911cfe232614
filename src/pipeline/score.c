/*
 * score.c - computes how probable a text is for a model.
 */
#include <stdlib.h>
#include <string.h>

#include "src/pipeline/pipeline.h"

#define BLOCK 4096 /* tokens between two calls of progress */

void mega_score_free(MegaScore *score)
{
    if (!score)
        return;
    free(score->tokens);
    free(score->logprobs);
    *score = (MegaScore){0};
}

int mega_pipeline_prepare_score(MegaPipeline *p, MegaError *err)
{
    const MegaDecoderOptions options = {.chunk = p->chunk};
    if (!mega_config_has_decoder(mega_model_config(p->model)))
        return mega_pipeline_need_task(p, MEGA_TASK_GENERATE, "score texts", err);
    return p->scorer ? 0 : mega_decoder_new(&p->scorer, p->session, &options, err);
}

/* Encodes the source before the TAB, and moves *text after the TAB. *capitals says whether a
 * translation of it would be in capitals. */
static int encode_source(MegaPipeline *p, const char **text, size_t *size, MegaEncoded **out,
                         bool *capitals, MegaError *err)
{
    const char *tab = memchr(*text, '\t', *size);
    MegaIds tokens = {0};
    if (!tab)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "there is no TAB; a translator scores source<TAB>target");
    const size_t length = (size_t)(tab - *text);
    *capitals =
        !p->ids && !p->pre_tokenized && mega_tokenizer_in_capitals(p->source, *text, length);
    int code = mega_pipeline_encode(p, MEGA_SIDE_INPUT, "the line", *text, length, true, &tokens,
                                    err);
    const MegaInput input = {
        .kind = MEGA_INPUT_TOKENS, .tokens = tokens.ids, .length = tokens.count};
    if (!code)
        code = mega_session_encode(p->session, &input, out, err);
    mega_ids_free(&tokens);
    *size -= length + 1;
    *text = tab + 1;
    return code;
}

/* Encodes the text whose probability is asked. If it is in capitals because its source is, it is
 * read as the model wrote it. */
static int encode_target(const MegaPipeline *p, const char *text, size_t size, bool capitals,
                         bool eos, MegaIds *out, MegaError *err)
{
    const MegaTokenizer *tokenizer = mega_pipeline_tokenizer(p, MEGA_SIDE_OUTPUT);
    MegaBuffer small = {0};
    int code = 0;
    if (capitals && mega_tokenizer_in_capitals(tokenizer, text, size)) {
        code = mega_tokenizer_lower(tokenizer, text, size, &small, err);
        text = (const char *)small.data;
        size = small.size;
    }
    if (!code)
        code = mega_pipeline_encode(p, MEGA_SIDE_OUTPUT, "the line", text, size, eos, out, err);
    mega_buffer_free(&small);
    return code;
}

/* Scores tokens `from` to `to` after `context` of those before them, in a decoder that has just
 * begun. read [t] is what the model reads before token t. */
static int score_piece(MegaPipeline *p, const MegaScoreOptions *options, MegaScore *score,
                       const int32_t *read, size_t from, size_t to, size_t context, MegaError *err)
{
    int code =
        context ? mega_decoder_feed(p->scorer, read + from - context, context, NULL, err) : 0;
    for (size_t now; from < to && !code; from += now) {
        now = to - from < BLOCK ? to - from : BLOCK;
        code = mega_decoder_score(p->scorer, read + from, score->tokens + from, now,
                                  score->logprobs + from, err);
        if (options->progress)
            options->progress(options->context, from + now);
    }
    return code;
}

static int check_window(const MegaScoreOptions *options, bool translator, MegaError *err)
{
    const int piece = options->tokens_per_sample, window = options->context_window;
    if (piece < 0 || window < 0 || (window > 0 && window >= piece))
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a context window of %d tokens does not fit into pieces of %d", window,
                         piece);
    if (piece > 0 && translator)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a translation is scored in one piece, not in pieces of %d tokens", piece);
    return 0;
}

/* Removes the first token of a text from its score if the model's texts begin with a token of their
 * own, since nothing predicts that one. */
static void skip_first(MegaPipeline *p, MegaScore *score)
{
    if (score->count == 0)
        return;
    p->first_token = score->tokens[0];
    score->count--;
    memmove(score->tokens, score->tokens + 1, score->count * sizeof *score->tokens);
}

static int score_tokens(MegaPipeline *p, const MegaEncoded *source, const MegaScoreOptions *options,
                        MegaScore *score, MegaError *err)
{
    const size_t count = score->count;
    int32_t *read = malloc(count * sizeof *read);
    score->logprobs = malloc(count * sizeof *score->logprobs);
    if (!read || !score->logprobs) {
        free(read);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text of %zu tokens", count);
    }
    read[0] = p->first_token;
    memcpy(read + 1, score->tokens, (count - 1) * sizeof *read);
    const size_t window = (size_t)options->context_window;
    const size_t piece =
        options->tokens_per_sample > 0 ? (size_t)options->tokens_per_sample - window : count;
    int code = 0;
    for (size_t from = 0; from < count && !code; from += piece) {
        code = mega_decoder_begin(p->scorer, source ? &source : NULL, 1, err);
        if (!code)
            code = score_piece(p, options, score, read, from,
                               count - from < piece ? count : from + piece,
                               from < window ? from : window, err);
    }
    free(read);
    return code;
}

static void add_up(MegaScore *score, const char *text, size_t size)
{
    for (size_t i = 0; i < score->count; i++)
        score->logprob += (double)score->logprobs[i];
    score->bytes = size;
    for (size_t i = 0; i < size; i++) /* counts all but continuation bytes of UTF-8 */
        score->characters += ((uint8_t)text[i] & 0xc0) != 0x80;
}

int mega_pipeline_score(MegaPipeline *p, const MegaRaw *raw, const MegaScoreOptions *options,
                        MegaScore *out, MegaError *err)
{
    static const MegaScoreOptions defaults;
    const bool translator = mega_task_traits(p->task)->has_cross;
    bool capitals = false;
    MegaEncoded *encoded = NULL;
    MegaBuffer bytes = {0};
    MegaIds targets = {0};
    *out = (MegaScore){0};
    if (!options)
        options = &defaults;
    p->first_token = mega_model_config(p->model)->target.eos;
    int code = mega_pipeline_prepare_score(p, err);
    if (!code)
        code = check_window(options, translator, err);
    if (!code)
        code = mega_pipeline_read_text(p, MEGA_SIDE_OUTPUT, raw, "a text", &bytes, err);
    const char *text = bytes.size ? (const char *)bytes.data : "";
    size_t size = bytes.size;
    if (!code && translator)
        code = encode_source(p, &text, &size, &encoded, &capitals, err);
    if (!code)
        code = encode_target(p, text, size, capitals, options->eos || translator, &targets, err);
    out->tokens = targets.ids;
    out->count = targets.count;
    if (!code && mega_model_config(p->model)->target.bare_start)
        skip_first(p, out);
    if (!code && out->count > 0)
        code = score_tokens(p, encoded, options, out, err);
    if (!code)
        add_up(out, text, size);
    if (!code && !p->ids)
        mega_warn_of_unknown(&p->warning, out->tokens, out->count,
                             mega_model_config(p->model)->target.unk, mega_raw_name(raw));
    if (code)
        mega_score_free(out);
    mega_encoded_free(encoded);
    mega_buffer_free(&bytes);
    return code;
}
