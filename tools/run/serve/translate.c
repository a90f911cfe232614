/*
 * translate.c - POST /v1/translate: the lines of one text or of several. Lines of all requests with
 * the same options that wait are searched together; each gets the result that it would get alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/run/find_model.h"
#include "tools/run/results.h"
#include "tools/run/serve/operations.h"

#define MAX_TEXTS 4096
#define MAX_LINES 65536

/* A line of a text, and its translation or error. */
typedef struct Line {
    const char *text;
    size_t size;
    json_t *result;
    int code; /* of its error, or 0 */
} Line;

typedef struct Translate {
    bool is_list, alignments;
    int nbest;
    MegaSearchOptions search;
    FieldText *texts; /* [text_count] */
    size_t text_count;
    MegaBuffer memory;   /* of the texts */
    size_t *line_counts; /* [text_count] how many lines each text has */
    Line *lines;         /* [job->line_count] */
} Translate;

/* ---- Fields --------------------------------------------------------------------------------- */

static size_t count_lines_of(const FieldText *text)
{
    size_t count = 1;
    for (size_t i = 0; i < text->size; i++)
        count += text->data[i] == '\n' && i + 1 < text->size;
    return count;
}

static int split_lines(Translate *translate, Job *job, MegaError *err)
{
    size_t total = 0, next = 0;
    for (size_t i = 0; i < translate->text_count; i++)
        total += count_lines_of(&translate->texts[i]);
    if (total > MAX_LINES)
        return mega_fail(err, MEGA_ERR_LIMIT, "the texts have %zu lines; the limit is %d", total,
                         MAX_LINES);
    translate->line_counts = calloc(translate->text_count + 1, sizeof *translate->line_counts);
    translate->lines = calloc(total + 1, sizeof *translate->lines);
    if (!translate->line_counts || !translate->lines)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu lines", total);
    for (size_t i = 0; i < translate->text_count; i++) {
        const char *at = translate->texts[i].data, *end = at + translate->texts[i].size;
        translate->line_counts[i] = count_lines_of(&translate->texts[i]);
        for (size_t n = 0; n < translate->line_counts[i]; n++) {
            const char *stop = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
            stop = stop ? stop : end;
            translate->lines[next++] = (Line){.text = at, .size = (size_t)(stop - at)};
            at = stop < end ? stop + 1 : end;
        }
    }
    job->line_count = total;
    return 0;
}

static int check_search(const Translate *translate, MegaError *err)
{
    const MegaSearchOptions *search = &translate->search;
    if (translate->nbest > search->beam)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "nbest %d needs a beam of at least %d",
                         translate->nbest, translate->nbest);
    if (search->max_len_a == 0 && search->min_len > search->max_len_b)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "min_len %d needs a max_len_b of at least %d",
                         search->min_len, search->min_len);
    return 0;
}

/* Returns whether a model translates into the language `context` or, if that is NULL, into any. */
static bool translates_into(const ServedModel *model, const void *context)
{
    return model->task == MEGA_TASK_TRANSLATE &&
           (!context || strcmp(model_target_language(model->model), context) == 0);
}

static int prepare(Job *job, MegaError *err)
{
    Translate *translate = calloc(1, sizeof *translate);
    FieldText model = {0}, target = {0};
    json_t *q = NULL, *text = NULL;
    if (!translate)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a translation");
    job->input = translate;
    translate->nbest = 1;
    translate->search = mega_search_defaults();
    MegaSearchOptions *search = &translate->search;
    const Field table[] = {{"q", FIELD_VALUE, &q, 0, 0},
                           {"text", FIELD_VALUE, &text, 0, 0},
                           {"model", FIELD_TEXT, &model, 0, 0},
                           {"beam", FIELD_INT, &search->beam, 1, 1024},
                           {"nbest", FIELD_INT, &translate->nbest, 1, 1024},
                           {"lenpen", FIELD_REAL, &search->length_penalty, -100, 100},
                           {"unnormalized", FIELD_FLAG, &search->unnormalized, 0, 0},
                           {"max_len_a", FIELD_REAL, &search->max_len_a, 0, 1e6},
                           {"max_len_b", FIELD_INT, &search->max_len_b, 0, 1 << 26},
                           {"min_len", FIELD_INT, &search->min_len, 0, 1 << 26},
                           {"no_repeat_ngram", FIELD_INT, &search->no_repeat_ngram, 0, 1 << 20},
                           {"unk_penalty", FIELD_REAL, &search->unk_penalty, -1e6, 1e6},
                           {"temperature", FIELD_REAL, &search->temperature, 1e-6, 1e6},
                           {"alignments", FIELD_FLAG, &search->alignments, 0, 0},
                           {"target", FIELD_TEXT, &target, 0, 0},
                           {"source", FIELD_IGNORED, NULL, 0, 0}, /* of LibreTranslate's clients */
                           {"format", FIELD_IGNORED, NULL, 0, 0},
                           {"api_key", FIELD_IGNORED, NULL, 0, 0},
                           {0}};
    int code = fields_take(job->request.fields, table, err);
    const json_t *given = q ? q : text;
    if (!code && !given)
        code = mega_fail(err, MEGA_ERR_ARGUMENT,
                         "there is nothing to translate: the field 'q' is "
                         "missing");
    if (!code)
        code = check_search(translate, err);
    if (!code)
        code = field_texts(given, q ? "q" : "text", MAX_TEXTS, &translate->texts,
                           &translate->text_count, err);
    if (!code && translate->text_count == 0)
        code =
            mega_fail(err, MEGA_ERR_ARGUMENT, "there is nothing to translate: the list is empty");
    if (!code) {
        char purpose[80] = "to translate";
        if (target.data)
            snprintf(purpose, sizeof purpose, "to translate into '%.40s'", target.data);
        code = job_choose_model(job, model.data, translates_into, target.data, purpose, err);
    }
    if (!code)
        code = clean_texts(job, MEGA_TOKENIZER_SOURCE, translate->texts, translate->text_count,
                           &translate->memory, err);
    if (!code)
        code = split_lines(translate, job, err);
    translate->is_list = json_is_array(given);
    translate->alignments = search->alignments;
    return code;
}

/* ---- Running -------------------------------------------------------------------------------- */

static bool can_join(const Job *a, const Job *b)
{
    const MegaSearchOptions *x = &((const Translate *)a->input)->search;
    const MegaSearchOptions *y = &((const Translate *)b->input)->search;
    return x->beam == y->beam && x->length_penalty == y->length_penalty &&
           x->max_len_a == y->max_len_a && x->max_len_b == y->max_len_b &&
           x->min_len == y->min_len && x->no_repeat_ngram == y->no_repeat_ngram &&
           x->unk_penalty == y->unk_penalty && x->temperature == y->temperature &&
           x->unnormalized == y->unnormalized && x->alignments == y->alignments;
}

/* Keeps the result of a line, and counts its tokens. */
static void take_result(Job *job, Line *line, const MegaPipeline *pipeline,
                        const MegaTranslation *result, const MegaError *err)
{
    const Translate *translate = job->input;
    line->code = err->code;
    if (err->code) {
        line->result = json_pack("{s:o,s:o}", "source", source_json(line->text, line->size),
                                 "error", json_error(err));
        return;
    }
    atomic_fetch_add(&job->tokens_read, result->source_length);
    for (int i = 0; i < result->count && i < 1; i++)
        atomic_fetch_add(&job->tokens_made, result->hypotheses[i].length);
    line->result = translation_json(pipeline, line->text, line->size, result, translate->nbest,
                                    translate->alignments);
}

static void fail_slices(const JobSlice *slices, size_t count, const MegaError *err)
{
    for (size_t i = 0; i < count; i++) {
        Translate *translate = slices[i].job->input;
        for (size_t n = slices[i].first; n < slices[i].first + slices[i].count; n++)
            take_result(slices[i].job, &translate->lines[n], NULL, NULL, err);
    }
}

static void run_lines(Worker *worker, const JobSlice *slices, size_t count)
{
    WorkerScratch *scratch = worker_scratch(worker);
    const Translate *first = slices[0].job->input;
    MegaError err = {0};
    MegaPipeline *pipeline = worker_pipeline(worker, slices[0].job->model, &err);
    int lines = 0;
    if (!pipeline) {
        fail_slices(slices, count, &err);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const Translate *translate = slices[i].job->input;
        for (size_t n = slices[i].first; n < slices[i].first + slices[i].count; n++)
            scratch->texts[lines++] = raw_of_field(
                &(FieldText){translate->lines[n].text, translate->lines[n].size}, "the line");
    }
    mega_pipeline_translate(pipeline, scratch->texts, lines, &first->search, scratch->translations,
                            scratch->errors);
    lines = 0;
    for (size_t i = 0; i < count; i++) {
        Translate *translate = slices[i].job->input;
        for (size_t n = slices[i].first; n < slices[i].first + slices[i].count; n++, lines++) {
            take_result(slices[i].job, &translate->lines[n], pipeline,
                        &scratch->translations[lines], &scratch->errors[lines]);
            mega_translation_free(&scratch->translations[lines]);
        }
    }
}

/* ---- Answer --------------------------------------------------------------------------------- */

/* Appends the best translation of a line; a line that failed or is empty has none. */
static void put_best(MegaBuffer *out, const json_t *result)
{
    const json_t *best = json_array_get(json_object_get(result, "hypotheses"), 0);
    const json_t *text = json_object_get(best, "text");
    if (text)
        mega_put_bytes(out, json_string_value(text), json_string_length(text));
}

/* Joins the translations of a text's lines. The last one ends in a line end if the text did. */
static json_t *text_json(const Line *lines, size_t count, const FieldText *text)
{
    MegaBuffer whole = {0};
    for (size_t i = 0; i < count; i++) {
        put_best(&whole, lines[i].result);
        if (i + 1 < count || (text->size && text->data[text->size - 1] == '\n'))
            mega_put_u8(&whole, '\n');
    }
    json_t *json = whole.failed ? NULL : json_bytes(whole.data, whole.size);
    mega_buffer_free(&whole);
    return json;
}

/* Fails if every line did, with the first one's error. */
static int find_failure(const Translate *translate, size_t count, MegaError *err)
{
    for (size_t i = 0; i < count; i++)
        if (!translate->lines[i].code)
            return 0;
    const json_t *error = json_object_get(translate->lines[0].result, "error");
    const char *message = json_string_value(json_object_get(error, "message"));
    return mega_fail(err, translate->lines[0].code, "%s", message ? message : "no memory");
}

static int collect(Job *job, MegaError *err)
{
    Translate *translate = job->input;
    json_t *texts = json_array(), *list = json_array();
    int code = find_failure(translate, job->line_count, err);
    const Line *lines = translate->lines;
    for (size_t i = 0; i < translate->text_count && !code; i++) {
        json_array_append_new(texts,
                              text_json(lines, translate->line_counts[i], &translate->texts[i]));
        lines += translate->line_counts[i];
    }
    for (size_t i = 0; i < job->line_count && !code; i++)
        json_array_append(list, translate->lines[i].result);
    if (!code)
        job->answer =
            json_pack("{s:o,s:O,s:O}", "model", json_text(job->model->id), "translatedText",
                      translate->is_list ? texts : json_array_get(texts, 0), "translations", list);
    json_decref(texts);
    json_decref(list);
    return code;
}

static void release(Job *job)
{
    Translate *translate = job->input;
    for (size_t i = 0; translate && translate->lines && i < job->line_count; i++)
        json_decref(translate->lines[i].result);
    if (translate) {
        free(translate->lines);
        free(translate->line_counts);
        free(translate->texts);
        mega_buffer_free(&translate->memory);
    }
}

const Operation translate_operation = {.path = "/v1/translate",
                                       .prepare = prepare,
                                       .run_lines = run_lines,
                                       .can_join = can_join,
                                       .collect = collect,
                                       .release = release};
