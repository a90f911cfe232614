/*
 * eval_text.c - mega-run eval for models that make text: it computes the perplexity of a language
 * model on a text, and translates a list of sentence pairs. BLEU is left to sacreBLEU, whose
 * tokenisation defines it.
 */
#include "tools/run/eval_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/atomic_file.h"
#include "formats/text/tokenizer.h"
#include "src/encode/session.h"
#include "src/model/model.h"
#include "tools/common/progress.h"
#include "tools/run/lines.h"
#include "tools/run/options.h"
#include "tools/run/scoring.h"
#include "tools/run/verbose.h"

static void show_progress(void *context, size_t done)
{
    progress_update(context, done);
}

/* Prints a JSON object with model, list and these figures; consumes the reference. */
static void print_figures(const EvalTextOptions *options, json_t *figures)
{
    json_t *object = json_pack("{s:o,s:o}", "model", json_text(options->model), "manifest",
                               json_text(options->list));
    json_object_update(object, figures);
    json_decref(figures);
    print_json_line(object);
}

int eval_language_model(const EvalTextOptions *options, MegaError *err)
{
    ScoreOptions score = {
        .model = options->model, .pipeline.session = options->session, .verbose = options->verbose};
    Scorer scorer = {0};
    ScoreTotal total = {0};
    MegaBuffer text = {0};
    Progress progress;
    MegaScore result = {0};
    int code = scorer_open(&scorer, &score, err);
    if (!code)
        code = scorer_read(&scorer, options->list, &text, err);
    double begun = clock_seconds();
    if (!code) {
        progress_begin(&progress, text.size, "tokens", options->quiet);
        const MegaRaw raw = {.kind = MEGA_RAW_TEXT, .data = text.data, .size = text.size};
        const MegaScoreOptions how = {.progress = show_progress, .context = &progress};
        code = mega_pipeline_score(scorer.pipeline, &raw, &how, &result, err);
        progress_end(&progress);
    }
    if (!code) {
        score_add(&total, &result);
        if (options->json)
            print_figures(options, score_json(&scorer, &total));
        else
            score_print(&scorer, &total);
        if (options->verbose)
            verbose_end(result.count, "token", clock_seconds() - begun);
    }
    mega_score_free(&result);
    mega_buffer_free(&text);
    scorer_close(&scorer);
    return code;
}

/* ---- Translations --------------------------------------------------------------------------- */

typedef struct Pairs {
    const EvalTextOptions *options;
    MegaModel *model;
    MegaPipeline *pipeline;
    MegaAtomicFile *output; /* the file of --predictions */
    MegaBuffer hypotheses; /* one translation per line */
    size_t lines, tokens, failed;
} Pairs;

/* Translates the source of a line "source<TAB>reference" and appends the translation to the
 * hypotheses. If the model cannot take the source, for example because it is too long, the
 * translation is empty. */
static int translate_pair(Pairs *pairs, const LineReader *reader, MegaError *err)
{
    const char *tab = memchr(reader->text, '\t', reader->size);
    MegaTranslation result = {0};
    MegaError inner = {0};
    if (!tab)
        return mega_fail(err, MEGA_ERR_INPUT, "%s, line %zu: no TAB between source and reference",
                         reader->name, reader->number);
    const MegaRaw source = {
        .kind = MEGA_RAW_TEXT, .data = reader->text, .size = (size_t)(tab - reader->text)};
    int code = mega_pipeline_translate(pairs->pipeline, &source, 1, NULL, &result, &inner);
    if (code == MEGA_ERR_INPUT || code == MEGA_ERR_LIMIT) {
        if (!pairs->options->quiet)
            report("%s, line %zu: %s", reader->name, reader->number, inner.text);
        pairs->failed++;
        code = 0;
    } else if (code) {
        mega_fail(err, code, "%s, line %zu: %s", reader->name, reader->number, inner.text);
    }
    if (result.count > 0) {
        const MegaHypothesis *best = &result.hypotheses[0];
        mega_put_bytes(&pairs->hypotheses, best->text, best->text_size);
        pairs->tokens += best->length;
    }
    mega_put_u8(&pairs->hypotheses, '\n');
    pairs->lines++;
    mega_translation_free(&result);
    return code;
}

/* Loads the translator, and makes sure that there is a place for what it says. */
static int open_translator(Pairs *pairs, MegaError *err)
{
    double begun = clock_seconds();
    int code = mega_model_open_with(
        &pairs->model, pairs->options->model,
        &(MegaModelOptions){.max_memory = pairs->options->session.max_memory}, err);
    const MegaPipelineOptions pipeline = {.session = pairs->options->session};
    if (!code)
        code = mega_pipeline_new(&pairs->pipeline, pairs->model, &pipeline, err);
    if (!code)
        code = mega_atomic_file_open(&pairs->output, pairs->options->predictions, err);
    if (!code && pairs->options->verbose)
        verbose_session(pairs->options->model, mega_pipeline_session(pairs->pipeline),
                        clock_seconds() - begun);
    return code;
}

static int write_hypotheses(const Pairs *pairs, MegaError *err)
{
    int code =
        mega_atomic_file_write(pairs->output, pairs->hypotheses.data, pairs->hypotheses.size, err);
    return code ? code : mega_atomic_file_commit(pairs->output, err);
}

static void report_pairs(const Pairs *pairs, double seconds)
{
    const EvalTextOptions *options = pairs->options;
    if (options->json) {
        print_figures(options, json_pack("{s:I,s:I,s:I,s:f,s:o}", "lines", (json_int_t)pairs->lines,
                                         "failed", (json_int_t)pairs->failed, "tokens",
                                         (json_int_t)pairs->tokens, "seconds", seconds,
                                         "hypotheses", json_text(options->predictions)));
        return;
    }
    printf("%zu lines, %zu tokens, %.1f tokens/s\n\n", pairs->lines, pairs->tokens,
           (double)pairs->tokens / seconds);
    printf("head -n %zu '%s' | cut -f2 | sacrebleu -i '%s' -m bleu chrf -b -w 2 /dev/stdin\n",
           pairs->lines, options->list, options->predictions);
}

int eval_translator(const EvalTextOptions *options, MegaError *err)
{
    Pairs pairs = {.options = options};
    char *list[] = {(char *)options->list};
    LineReader reader = {.fd = -1};
    Progress progress;
    int more = 1, code = open_translator(&pairs, err);
    double begun = clock_seconds();
    MegaTextRules rules = mega_tokenizer_text_rules(mega_model_meta(pairs.model),
                                                    MEGA_TOKENIZER_SOURCE, false, "lines of text");
    size_t total = count_lines(list, 1, &rules);
    if (!code) {
        mega_text_limit(&rules, mega_session_left(mega_pipeline_session(pairs.pipeline)));
        code = line_reader_begin(&reader, list, 1, &rules, err);
    }
    progress_begin(&progress, total, "lines", options->quiet || total == 0);
    while (!code && more > 0 && (more = line_reader_next(&reader, err)) > 0 &&
           !(options->limit && pairs.lines == (size_t)options->limit)) {
        code = translate_pair(&pairs, &reader, err);
        progress_update(&progress, pairs.lines);
    }
    progress_end(&progress);
    line_reader_end(&reader);
    code = code ? code : more < 0 ? more : 0;
    if (!code && pairs.hypotheses.failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the translations");
    if (!code)
        code = write_hypotheses(&pairs, err);
    if (!code)
        report_pairs(&pairs, clock_seconds() - begun);
    if (!code && options->verbose)
        verbose_end(pairs.lines, "line", clock_seconds() - begun);
    if (!code && pairs.failed > 0)
        code = mega_fail(err, MEGA_ERR_INPUT, "%zu of %zu lines were not translated", pairs.failed,
                         pairs.lines);
    mega_buffer_free(&pairs.hypotheses);
    mega_atomic_file_free(pairs.output);
    mega_pipeline_free(pairs.pipeline);
    mega_model_free(pairs.model);
    return code;
}
