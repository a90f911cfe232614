/*
 * translate.c - translates texts: tokenizer, beam search, detokenizer.
 */
#include <stdlib.h>
#include <string.h>

#include "src/pipeline/pipeline.h"

/* Makes the token ids of a text, none for an empty text. *capitals becomes true if its translation
 * is to be written in capitals. */
static int read_source(const MegaPipeline *p, const MegaRaw *raw, MegaIds *out, bool *capitals,
                       MegaError *err)
{
    MegaBuffer text = {0};
    const char *word;
    size_t length;
    int code = mega_pipeline_read_text(p, MEGA_SIDE_INPUT, raw, "a text", &text, err);
    const char *at = text.size ? (const char *)text.data : "", *end = at + text.size;
    const char *rest = at;
    *capitals = !code && p->source && !p->ids && !p->pre_tokenized &&
                mega_tokenizer_in_capitals(p->source, at, text.size);
    if (!code && (!p->ids || mega_utf8_next_word(&rest, end, &word, &length)))
        code = mega_pipeline_encode(p, MEGA_SIDE_INPUT, "the ids", at, text.size, true, out, err);
    if (!code && !p->ids && out->count)
        mega_warn_of_unknown(&p->warning, out->ids, out->count - 1, MEGA_ID_UNK,
                             mega_raw_name(raw));
    mega_buffer_free(&text);
    return code;
}

/* Translates the texts that are not empty. If the batch fails because of one text, each text is
 * tried alone. found [count] and inputs [count] are scratch. */
static void search(MegaPipeline *p, const MegaIds *sources, int count,
                   const MegaSearchOptions *options, MegaInput *inputs, MegaTranslation *found,
                   MegaTranslation *out, MegaError *errors)
{
    MegaError err = {0};
    int used = 0;
    for (int i = 0; i < count; i++)
        if (sources[i].count > 0)
            inputs[used++] = (MegaInput){
                .kind = MEGA_INPUT_TOKENS, .tokens = sources[i].ids, .length = sources[i].count};
    const bool together =
        used > 0 && mega_session_translate(p->session, inputs, used, options, found, &err) == 0;
    for (int i = 0, next = 0; i < count; i++) {
        if (sources[i].count == 0)
            continue;
        if (together)
            out[i] = found[next];
        else if (used == 1)
            errors[i] = err;
        else
            mega_session_translate(p->session, &inputs[next], 1, options, &out[i], &errors[i]);
        next++;
    }
}

/* Writes a text in capitals. */
static int raise_text(const MegaPipeline *p, MegaText *text, MegaError *err)
{
    MegaBuffer raised = {0};
    int code = mega_tokenizer_raise(p->source, text->data, text->size, &raised, err);
    mega_text_free(text);
    if (!code)
        code = mega_text_take(text, &raised, err);
    mega_buffer_free(&raised);
    return code;
}

static int add_texts(const MegaPipeline *p, MegaTranslation *translation, bool capitals,
                     MegaError *err)
{
    int code = 0;
    for (int i = 0; i < translation->count && !code; i++) {
        MegaHypothesis *hypothesis = &translation->hypotheses[i];
        MegaText text;
        code = mega_pipeline_detokenize(p, MEGA_SIDE_OUTPUT, hypothesis->tokens, hypothesis->length,
                                        &text, err);
        if (!code && capitals)
            code = raise_text(p, &text, err);
        hypothesis->text = text.data;
        hypothesis->text_size = text.size;
    }
    return code;
}

static int fail_all(int count, MegaError *errors, const MegaError *err)
{
    for (int i = 0; i < count; i++)
        errors[i] = *err;
    return err->code;
}

int mega_pipeline_translate(MegaPipeline *p, const MegaRaw *texts, int count,
                            const MegaSearchOptions *options, MegaTranslation *out,
                            MegaError *errors)
{
    const size_t room = count > 0 ? (size_t)count : 1;
    MegaIds *sources = NULL;
    MegaInput *inputs = NULL;
    MegaTranslation *found = NULL;
    MegaError err = {0}, *unseen = NULL;
    bool *capitals = NULL;
    int code = 0;
    if (count < 0) /* there is no place for a sentence */
        return MEGA_ERR_ARGUMENT;
    memset(out, 0, (count > 0 ? room : 0) * sizeof *out);
    if (!errors && !(errors = unseen = calloc(room, sizeof *errors)))
        return MEGA_ERR_MEMORY;
    for (int i = 0; i < count; i++)
        errors[i] = (MegaError){0};
    if (mega_pipeline_need_task(p, MEGA_TASK_TRANSLATE, "translate", &err)) {
        code = fail_all(count, errors, &err);
        goto out;
    }
    sources = calloc(room, sizeof *sources);
    inputs = calloc(room, sizeof *inputs);
    found = calloc(room, sizeof *found);
    capitals = calloc(room, sizeof *capitals);
    if (!sources || !inputs || !found || !capitals) {
        mega_fail(&err, MEGA_ERR_MEMORY, "no memory for %d lines", count);
        code = fail_all(count, errors, &err);
        goto out;
    }
    for (int i = 0; i < count; i++)
        read_source(p, &texts[i], &sources[i], &capitals[i], &errors[i]);
    search(p, sources, count, options, inputs, found, out, errors);
    for (int i = 0; i < count; i++) {
        if (!errors[i].code)
            add_texts(p, &out[i], capitals[i], &errors[i]);
        if (errors[i].code)
            mega_translation_free(&out[i]);
        out[i].source = sources[i].ids;
        out[i].source_length = sources[i].count;
        code = code ? code : errors[i].code;
    }
out:
    free(sources);
    free(inputs);
    free(found);
    free(capitals);
    free(unseen);
    return code;
}
