/*
 * scoring.c - see scoring.h.
 */
#include "tools/run/scoring.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/input_stream.h"
#include "src/encode/session.h"
#include "tools/common/progress.h"
#include "tools/run/find_model.h"
#include "tools/run/lines.h"
#include "tools/run/options.h"
#include "tools/run/verbose.h"

#define BLOCK 4096 /* tokens between two looks at the progress bar */

/* ---- Loading -------------------------------------------------------------------------------- */

static int load_codecs(Scorer *scorer, MegaError *err)
{
    const MegaMeta *meta = mega_model_meta(scorer->model);
    bool has_text =
        mega_meta_find(meta, MEGA_VOCAB_KEY) || mega_meta_find(meta, MEGA_VOCAB_TARGET_KEY);
    int code = 0;
    if (scorer->ids && !has_text)
        return 0;
    if (mega_model_task(scorer->model) == MEGA_TASK_TRANSLATE)
        code = mega_codec_new(&scorer->source, meta, MEGA_CODEC_SOURCE, err);
    return code ? code : mega_codec_new(&scorer->target, meta, MEGA_CODEC_TARGET, err);
}

int scorer_open(Scorer *scorer, const ScoreOptions *options, MegaError *err)
{
    MegaDecoderOptions decoder = {.chunk = options->chunk};
    char *path = NULL;
    double begun = clock_seconds();
    *scorer = (Scorer){.ids = options->ids, .pre_tokenized = options->pre_tokenized};
    int code = open_model(&scorer->model, &path, options->model, MEGA_TASK_GENERATE, MEGA_CONTENT_TEXT,
                          options->session.max_memory, err);
    if (!code && mega_model_task(scorer->model) == MEGA_TASK_CLASSIFY)
        code = fail_wrong_model(scorer->model, path, "to score texts", MEGA_TASK_GENERATE,
                                MEGA_CONTENT_TEXT, err);
    if (!code)
        code = mega_session_new(&scorer->session, scorer->model, &options->session, err);
    if (!code)
        code = load_codecs(scorer, err);
    if (!code)
        code = mega_decoder_new(&scorer->decoder, scorer->session, &decoder, err);
    if (!code && options->verbose)
        verbose_session(path, scorer->session, clock_seconds() - begun);
    free(path);
    return code;
}

void scorer_close(Scorer *scorer)
{
    mega_decoder_free(scorer->decoder);
    mega_codec_free(scorer->source);
    mega_codec_free(scorer->target);
    mega_session_free(scorer->session);
    mega_model_free(scorer->model);
}

MegaTextRules scorer_rules(const Scorer *scorer, const char *what)
{
    MegaTextRules rules = mega_codec_text_rules(mega_model_meta(scorer->model), MEGA_CODEC_TARGET,
                                                scorer->ids, what);
    mega_text_limit(&rules, mega_session_left(scorer->session));
    return rules;
}

int scorer_read(const Scorer *scorer, const char *path, MegaBuffer *text, MegaError *err)
{
    const MegaTextRules rules = scorer_rules(scorer, "a text");
    MegaTextFlaw flaw;
    int code = mega_text_read(text, path, &rules, &flaw, err);
    if (!code)
        warn_of_flaw(&flaw, mega_source_name(path), &rules);
    return code;
}

/* ---- Scoring -------------------------------------------------------------------------------- */

/* Ids of one side, with </s> behind them when asked for. */
static int to_ids(const Scorer *scorer, const MegaCodec *codec, int vocab, const char *text,
                  size_t size, bool eos, int32_t **ids, size_t *count, MegaError *err)
{
    int code = scorer->ids ? mega_text_parse_ids(text, size, vocab, "the line", ids, count, err)
                           : mega_codec_encode(codec, text, size, scorer->pre_tokenized, ids, count,
                                               err);
    if (code || scorer->ids || !eos)
        return code;
    int32_t *grown = realloc(*ids, (*count + 1) * sizeof *grown);
    if (!grown)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text");
    grown[(*count)++] = mega_model_config(scorer->model)->target.eos;
    *ids = grown;
    return 0;
}

/* The source before the TAB, encoded; *text moves behind it. */
static int encode_source(Scorer *scorer, const char **text, size_t *size, MegaEncoded **out,
                         MegaError *err)
{
    const char *tab = memchr(*text, '\t', *size);
    int32_t *ids = NULL;
    size_t count = 0;
    if (!tab)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "there is no TAB; a translator scores source<TAB>target");
    int code = to_ids(scorer, scorer->source, mega_model_config(scorer->model)->embed.vocab, *text,
                      (size_t)(tab - *text), true, &ids, &count, err);
    MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = ids, .length = count};
    if (!code)
        code = mega_session_encode(scorer->session, &input, out, err);
    free(ids);
    *size -= (size_t)(tab + 1 - *text);
    *text = tab + 1;
    return code;
}

int score_text(Scorer *scorer, const char *text, size_t size, bool eos, int32_t **targets,
               float **logprobs, size_t *count, void (*progress)(void *context, size_t done),
               void *context, MegaError *err)
{
    bool translator = mega_model_task(scorer->model) == MEGA_TASK_TRANSLATE;
    MegaEncoded *encoded = NULL;
    int32_t *read = NULL;
    int code = 0;
    *targets = NULL;
    *logprobs = NULL;
    *count = 0;
    if (translator)
        code = encode_source(scorer, &text, &size, &encoded, err);
    if (!code)
        code = to_ids(scorer, scorer->target, mega_model_vocab_size(scorer->model), text, size,
                      eos || translator, targets, count, err);
    if (code || *count == 0)
        goto out;
    read = malloc(*count * sizeof *read);
    *logprobs = malloc(*count * sizeof **logprobs);
    if (!read || !*logprobs) {
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text of %zu tokens", *count);
        goto out;
    }
    read[0] = mega_model_config(scorer->model)->target.eos;
    memcpy(read + 1, *targets, (*count - 1) * sizeof *read);
    const MegaEncoded *source = encoded;
    code = mega_decoder_begin(scorer->decoder, translator ? &source : NULL, 1, err);
    for (size_t done = 0, now; done < *count && !code; done += now) {
        now = *count - done < BLOCK ? *count - done : BLOCK;
        code = mega_decoder_score(scorer->decoder, read + done, *targets + done, now,
                                  *logprobs + done, err);
        if (progress)
            progress(context, done + now);
    }
out:
    free(read);
    mega_encoded_free(encoded);
    return code;
}

void score_add(const Scorer *scorer, ScoreTotal *total, const float *logprobs, size_t count,
               const char *text, size_t size)
{
    const char *tab = mega_model_task(scorer->model) == MEGA_TASK_TRANSLATE
                          ? memchr(text, '\t', size)
                          : NULL;
    if (tab) {
        size -= (size_t)(tab + 1 - text);
        text = tab + 1;
    }
    for (size_t i = 0; i < count; i++)
        total->logprob += (double)logprobs[i];
    total->tokens += count;
    total->bytes += size;
    for (size_t i = 0; i < size; i++) /* all but continuation bytes of UTF-8 */
        total->characters += ((uint8_t)text[i] & 0xc0) != 0x80;
}

/* ---- Reporting ------------------------------------------------------------------------------ */

static double per(double amount, uint64_t count)
{
    return count ? amount / (double)count : 0;
}

typedef struct Figure {
    const char *label, *key;
    double value;
} Figure;

#define FIGURES 5

/* Those per character and byte mean nothing for ids. Returns how many there are. */
static int figures(const Scorer *scorer, const ScoreTotal *total, Figure out[FIGURES])
{
    double nats = per(-total->logprob, total->tokens), bits = -total->logprob / log(2.0);
    out[0] = (Figure){"log-probability", "logprob", total->logprob};
    out[1] = (Figure){"nats per token", "nats_per_token", nats};
    out[2] = (Figure){"perplexity", "perplexity", exp(nats)};
    out[3] = (Figure){"bits per character", "bits_per_character", per(bits, total->characters)};
    out[4] = (Figure){"bits per byte", "bits_per_byte", per(bits, total->bytes)};
    return scorer->ids ? 3 : FIGURES;
}

void score_print(const Scorer *scorer, const ScoreTotal *total)
{
    Figure list[FIGURES];
    int count = figures(scorer, total, list);
    printf("%-20s %llu\n", "tokens", (unsigned long long)total->tokens);
    for (int i = 0; i < count; i++)
        printf("%-20s %.4f\n", list[i].label, list[i].value);
}

json_t *score_json(const Scorer *scorer, const ScoreTotal *total)
{
    Figure list[FIGURES];
    int count = figures(scorer, total, list);
    json_t *object = json_pack("{s:I}", "tokens", (json_int_t)total->tokens);
    for (int i = 0; i < count; i++)
        json_object_set_new(object, list[i].key, json_number(list[i].value));
    return object;
}
