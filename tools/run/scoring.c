/*
 * scoring.c - see scoring.h.
 */
#include "tools/run/scoring.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/input_stream.h"
#include "formats/text/tokenizer.h"
#include "src/encode/session.h"
#include "src/model/model.h"
#include "tools/common/progress.h"
#include "tools/run/find_model.h"
#include "tools/run/lines.h"
#include "tools/run/options.h"
#include "tools/run/verbose.h"

/* ---- Loading -------------------------------------------------------------------------------- */

int scorer_open(Scorer *scorer, const ScoreOptions *options, MegaError *err)
{
    char *path = NULL;
    double begun = clock_seconds();
    *scorer = (Scorer){.ids = options->pipeline.ids};
    int code = open_model(&scorer->model, &path,
                          &(ModelWish){.given = options->model,
                                       .task = MEGA_TASK_GENERATE,
                                       .kind = MEGA_CONTENT_TEXT},
                          options->pipeline.session.max_memory, err);
    if (!code && !mega_config_has_decoder(mega_model_config(scorer->model)))
        code = fail_wrong_model(scorer->model, path, "to score texts", MEGA_TASK_GENERATE,
                                MEGA_CONTENT_TEXT, err);
    if (!code)
        code = mega_pipeline_new(&scorer->pipeline, scorer->model, &options->pipeline, err);
    if (!code)
        code = mega_pipeline_prepare_score(scorer->pipeline, err);
    if (!code && options->verbose)
        verbose_session(path, mega_pipeline_session(scorer->pipeline), clock_seconds() - begun);
    free(path);
    return code;
}

void scorer_close(Scorer *scorer)
{
    mega_pipeline_free(scorer->pipeline);
    mega_model_free(scorer->model);
}

MegaTextRules scorer_rules(const Scorer *scorer, const char *what)
{
    MegaTextRules rules = mega_tokenizer_text_rules(mega_model_meta(scorer->model),
                                                    MEGA_TOKENIZER_TARGET, scorer->ids, what);
    mega_text_limit(&rules, mega_session_left(mega_pipeline_session(scorer->pipeline)));
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

/* ---- Reporting ------------------------------------------------------------------------------ */

void score_add(ScoreTotal *total, const MegaScore *score)
{
    total->logprob += score->logprob;
    total->tokens += score->count;
    total->characters += score->characters;
    total->bytes += score->bytes;
}

static double per(double amount, uint64_t count)
{
    return count ? amount / (double)count : 0;
}

typedef struct Figure {
    const char *label, *key;
    double value;
} Figure;

#define FIGURES 5

/* Computes the averages and returns how many there are. Those per character and per byte are left
 * out for ids, which have neither. */
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
