/*
 * pipeline.c - makes pipelines, and does their tokenization; see pipeline.h.
 */
#include "src/pipeline/tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Making --------------------------------------------------------------------------------- */

/* Models that make text need dictionaries only if texts are not token ids. */
static int load_tokenizers(MegaPipeline *p, MegaError *err)
{
    const MegaMeta *meta = mega_model_meta(p->model);
    const bool has_text =
        mega_meta_find(meta, MEGA_VOCAB_KEY) || mega_meta_find(meta, MEGA_VOCAB_TARGET_KEY);
    int code = 0;
    if (p->ids && mega_config_has_head(mega_model_config(p->model)))
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "token ids stand for the texts of classifiers, translators and language "
                         "models, but this model %s and needs the text itself",
                         mega_task_traits(p->task)->does);
    if (p->ids && !has_text)
        return 0;
    if (mega_task_traits(p->task)->has_cross)
        code = mega_tokenizer_new(&p->source, meta, MEGA_TOKENIZER_SOURCE, err);
    return code ? code : mega_tokenizer_new(&p->target, meta, MEGA_TOKENIZER_TARGET, err);
}

/* Refuses what an option asks of a model that has no use for it, before anything is made. */
static int check_options(const MegaModel *model, const MegaPipelineOptions *options,
                         MegaError *err)
{
    const MegaTaskTraits *traits = mega_task_traits(mega_model_task(model));
    if (options->chunk < -1)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a chunk of %d; expected a number of positions, 0 for the model's, or -1 "
                         "for none",
                         options->chunk);
    if (options->chunk != 0 && !traits->has_decoder)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "another chunk is for decoders, but this model %s", traits->does);
    if (!traits->takes_media && (options->window != 0 || options->hop != 0 || options->raw))
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "window, hop and raw samples are for audio, but this model %s",
                         traits->does);
    return 0;
}

int mega_pipeline_new(MegaPipeline **out, const MegaModel *model,
                      const MegaPipelineOptions *options, MegaError *err)
{
    static const MegaPipelineOptions defaults;
    *out = NULL;
    if (!options)
        options = &defaults;
    int code = check_options(model, options, err);
    if (code)
        return code;
    MegaPipeline *p = calloc(1, sizeof *p);
    if (!p)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a pipeline");
    *p = (MegaPipeline){.model = model,
                        .task = mega_model_task(model),
                        .warning = {options->warn, options->warn_context},
                        .ids = options->ids,
                        .pre_tokenized = options->pre_tokenized,
                        .chunk = options->chunk};
    code = mega_session_new(&p->session, model, &options->session, err);
    if (!code)
        code = mega_task_traits(p->task)->takes_media
                   ? mega_input_reader_new(&p->reader, model, options, err)
                   : load_tokenizers(p, err);
    if (!code && options->stateful)
        code = mega_listener_new(&p->listener, p->reader, p->session, err);
    if (code)
        mega_pipeline_free(p);
    else
        *out = p;
    return code;
}

void mega_pipeline_free(MegaPipeline *p)
{
    if (!p)
        return;
    mega_listener_free(p->listener);
    mega_input_reader_free(p->reader);
    mega_decoder_free(p->scorer);
    mega_tokenizer_free(p->source);
    mega_tokenizer_free(p->target);
    mega_session_free(p->session);
    free(p->current_path);
    free(p);
}

MegaSession *mega_pipeline_session(MegaPipeline *pipeline)
{
    return pipeline->session;
}

int mega_pipeline_need_task(const MegaPipeline *p, MegaTask task, const char *what, MegaError *err)
{
    if (p->task == task)
        return 0;
    return mega_fail(err, MEGA_ERR_ARGUMENT, "the model cannot %s: it %s", what,
                     mega_task_traits(p->task)->does);
}

/* ---- Texts and tokens ----------------------------------------------------------------------- */

void mega_text_free(MegaText *text)
{
    if (!text)
        return;
    free(text->data);
    *text = (MegaText){0};
}

void mega_ids_free(MegaIds *tokens)
{
    if (!tokens)
        return;
    free(tokens->ids);
    *tokens = (MegaIds){0};
}

int mega_text_take(MegaText *out, MegaBuffer *buffer, MegaError *err)
{
    mega_put_u8(buffer, 0);
    if (buffer->failed) {
        mega_buffer_free(buffer);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text");
    }
    *out = (MegaText){(char *)buffer->data, buffer->size - 1};
    *buffer = (MegaBuffer){0};
    return 0;
}

const MegaTokenizer *mega_pipeline_tokenizer(const MegaPipeline *p, MegaSide side)
{
    if (p->reader)
        return mega_input_reader_tokenizer(p->reader);
    return side == MEGA_SIDE_INPUT && p->source ? p->source : p->target;
}

int mega_pipeline_read_text(const MegaPipeline *p, MegaSide side, const MegaRaw *raw,
                            const char *what, MegaBuffer *out, MegaError *err)
{
    const MegaTokenizerSide tokenizer =
        side == MEGA_SIDE_INPUT ? MEGA_TOKENIZER_SOURCE : MEGA_TOKENIZER_TARGET;
    MegaTextRules rules =
        mega_tokenizer_text_rules(mega_model_meta(p->model), tokenizer, p->ids, what);
    if (raw->kind == MEGA_RAW_PATH) /* other texts are in the program's memory already */
        mega_text_limit(&rules, mega_session_left(p->session));
    return mega_raw_read_text(raw, &rules, &p->warning, out, err);
}

/* Inserts an id at an index. */
static int insert_id(MegaIds *tokens, size_t at, int32_t id, MegaError *err)
{
    int32_t *grown = realloc(tokens->ids, (tokens->count + 1) * sizeof *grown);
    if (!grown)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text");
    memmove(grown + at + 1, grown + at, (tokens->count - at) * sizeof *grown);
    grown[at] = id;
    tokens->ids = grown;
    tokens->count++;
    return 0;
}

int mega_pipeline_encode(const MegaPipeline *p, MegaSide side, const char *name, const char *text,
                         size_t size, bool eos, MegaIds *out, MegaError *err)
{
    const MegaConfig *config = mega_model_config(p->model);
    const bool is_source = side == MEGA_SIDE_INPUT && mega_config_has_cross(config);
    *out = (MegaIds){0};
    int code = p->ids ? mega_text_parse_ids(text, size,
                                            is_source ? config->embed.vocab : config->target.vocab,
                                            name, &out->ids, &out->count, err)
                      : mega_tokenizer_encode(mega_pipeline_tokenizer(p, side), text, size,
                                              p->pre_tokenized, &out->ids, &out->count, err);
    if (!code && !p->ids && eos && (out->count > 0 || !is_source) &&
        (is_source || config->target.eos >= 0))
        code = insert_id(out, out->count, is_source ? MEGA_ID_EOS : config->target.eos, err);
    if (code)
        mega_ids_free(out);
    return code;
}

int mega_pipeline_tokenize(MegaPipeline *p, MegaSide side, const MegaRaw *text, MegaIds *out,
                           MegaError *err)
{
    MegaBuffer bytes = {0};
    *out = (MegaIds){0};
    if (p->reader)
        return mega_input_reader_tokens(p->reader, text, out, err);
    if (!mega_task_traits(p->task)->has_encoder)
        return mega_pipeline_encode_prompt(p, text, out, err);
    if (!mega_task_traits(p->task)->has_cross)
        return mega_pipeline_hub_ids(p, text, out, err);
    int code = mega_pipeline_read_text(p, side, text, "a text", &bytes, err);
    if (!code)
        code =
            mega_pipeline_encode(p, side, mega_raw_name(text), bytes.size ? (char *)bytes.data : "",
                                 bytes.size, true, out, err);
    mega_buffer_free(&bytes);
    return code;
}

int mega_pipeline_detokenize(const MegaPipeline *p, MegaSide side, const int32_t *ids, size_t count,
                             MegaText *out, MegaError *err)
{
    const MegaTokenizer *tokenizer = mega_pipeline_tokenizer(p, side);
    MegaBuffer bytes = {0};
    char number[16];
    int code = 0;
    *out = (MegaText){0};
    if (tokenizer && !p->ids)
        code = mega_tokenizer_decode(tokenizer, ids, count, p->pre_tokenized, &bytes, err);
    else if (p->reader && !p->ids)
        code = mega_fail(err, MEGA_ERR_UNSUPPORTED, "a classifier's tokens have no text");
    else
        for (size_t i = 0; i < count; i++)
            mega_put_bytes(&bytes, number,
                           (size_t)snprintf(number, sizeof number, "%s%d", i ? " " : "", ids[i]));
    if (code) {
        mega_buffer_free(&bytes);
        return code;
    }
    return mega_text_take(out, &bytes, err);
}

const char *mega_pipeline_symbol(const MegaPipeline *p, MegaSide side, int32_t id)
{
    const MegaVocab *vocab = p->reader ? mega_input_reader_vocab(p->reader)
                             : mega_pipeline_tokenizer(p, side)
                                 ? mega_tokenizer_vocab(mega_pipeline_tokenizer(p, side))
                                 : NULL;
    return vocab ? mega_vocab_symbol(vocab, id) : NULL;
}

/* ---- Prompts -------------------------------------------------------------------------------- */

/* Encodes a text after </s> or <s>, with which every text of a language model begins. */
static int encode_behind_start(const MegaPipeline *p, const char *text, size_t size, MegaIds *out,
                             MegaError *err)
{
    const MegaConfig *config = mega_model_config(p->model);
    *out = (MegaIds){0};
    int code = mega_pipeline_encode(p, MEGA_SIDE_OUTPUT, "the prompt", text, size, false, out, err);
    if (!code && !p->ids && !config->target.bare_start)
        code = insert_id(out, 0,
                         config->target.begins_with_bos ? MEGA_ID_BOS : config->target.eos, err);
    if (code)
        mega_ids_free(out);
    return code;
}

/* Makes the ids for an empty prompt of a model whose texts begin with their own first token. */
static int begin_with_bos(const MegaPipeline *p, MegaIds *out, MegaError *err)
{
    const MegaMetaValue *bos = mega_meta_find(mega_model_meta(p->model), "special.bos");
    const int vocab = mega_model_config(p->model)->target.vocab;
    if (!bos || bos->type != MEGA_META_INT || bos->integer < 0 || bos->integer >= vocab)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "the prompt is empty, and the model has no token that begins a text");
    return insert_id(out, 0, (int32_t)bos->integer, err);
}

/* Makes the ids for an empty prompt. A model that knows line ends should begin a line, and not
 * continue in the middle of one, so the prompt is "\n"; for other models it is empty. */
static int begin_with_line(const MegaPipeline *p, MegaIds *out, MegaError *err)
{
    int code = encode_behind_start(p, "\n", 1, out, err);
    if (!code && out->count >= 2 && out->ids[1] == mega_model_config(p->model)->target.unk)
        out->count = 1;
    return code;
}

int mega_pipeline_encode_prompt(const MegaPipeline *p, const MegaRaw *prompt, MegaIds *out,
                                MegaError *err)
{
    const MegaConfig *config = mega_model_config(p->model);
    MegaBuffer text = {0};
    *out = (MegaIds){0};
    int code =
        prompt ? mega_pipeline_read_text(p, MEGA_SIDE_OUTPUT, prompt, "a prompt", &text, err) : 0;
    const size_t skip = !config->target.bare_start;
    if (!code && text.size == 0 && !p->ids && config->target.bare_start)
        code = begin_with_bos(p, out, err);
    else if (!code && text.size == 0 && !p->ids)
        code = begin_with_line(p, out, err);
    else if (!code)
        code = encode_behind_start(p, text.size ? (const char *)text.data : "", text.size, out,
                                   err);
    if (!code && !p->ids && text.size)
        mega_warn_of_unknown(&p->warning, out->ids + skip, out->count - skip, config->target.unk,
                             prompt->name ? prompt->name : "the prompt");
    mega_buffer_free(&text);
    return code;
}
