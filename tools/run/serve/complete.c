/*
 * complete.c - POST /v1/completions: goes on with texts, as in the OpenAI interface.
 *
 *   prompt -> mega_pipeline_generate -> choices, or with "stream" server-sent events
 *
 * A choice is a sample of a prompt: with n samples a prompt, choice p * n + s is sample s of prompt
 * p.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/base/utf8.h"
#include "src/model/model.h"
#include "tools/common/progress.h"
#include "tools/run/results.h"
#include "tools/run/serve/operations.h"

#define MAX_PROMPTS 64
#define MAX_SAMPLES 128
#define MAX_STOPS 16
#define MAX_LOGPROBS 20
#define DEFAULT_TOKENS 16 /* of the OpenAI interface */

typedef struct Complete {
    FieldText model;
    FieldText *prompts; /* [prompt_count] */
    MegaBuffer memory;  /* of the prompts */
    size_t prompt_count;
    FieldText *stop_texts; /* [options.stop_count] */
    const char *stops[MAX_STOPS];
    MegaGenerateOptions options;
    int logprobs; /* most probable tokens that are told beside each one; -1: no logprobs */
    bool echo, usage;
    char id[40];
    json_int_t created;
} Complete;

/* ---- Fields --------------------------------------------------------------------------------- */

/* Refuses fields of the interface that would change the text but are not supported. */
static int refuse_others(const json_t *bias, const json_t *suffix, MegaError *err)
{
    const char *name = json_object_size(bias) != 0  ? "logit_bias"
                       : json_string_length(suffix) ? "suffix"
                                                    : NULL;
    return name ? mega_fail(err, MEGA_ERR_UNSUPPORTED, "the field '%s' is not supported", name) : 0;
}

static int take_stops(Complete *complete, const json_t *stop, MegaError *err)
{
    size_t count = 0;
    int code = field_texts(stop, "stop", MAX_STOPS, &complete->stop_texts, &count, err);
    for (size_t i = 0; i < count && !code; i++) {
        if (complete->stop_texts[i].size != strlen(complete->stop_texts[i].data))
            code = mega_fail(err, MEGA_ERR_ARGUMENT, "the field 'stop' has a NUL");
        complete->stops[i] = complete->stop_texts[i].data;
    }
    complete->options.stops = complete->stops;
    complete->options.stop_count = (int)count;
    return code;
}

/* Takes a prompt, which may be missing: the text then begins a line. */
static int take_prompts(Complete *complete, const json_t *prompt, MegaError *err)
{
    const json_t *first = json_is_array(prompt) ? json_array_get(prompt, 0) : NULL;
    if (json_is_integer(first) || json_is_array(first))
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "the field 'prompt' is token ids; expected a text or a list of texts");
    int code = field_texts(prompt, "prompt", MAX_PROMPTS, &complete->prompts,
                           &complete->prompt_count, err);
    if (!code && complete->prompt_count == 0)
        complete->prompts[complete->prompt_count++] = (FieldText){"", 0};
    return code;
}

static int take_stream_options(Complete *complete, const json_t *options, MegaError *err)
{
    const Field table[] = {{"include_usage", FIELD_FLAG, &complete->usage, 0, 0},
                           {"include_obfuscation", FIELD_IGNORED, NULL, 0, 0},
                           {0}};
    if (options && !json_is_object(options))
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the field 'stream_options' must be an object");
    return options ? fields_take(options, table, err) : 0;
}

static void name_completion(Complete *complete)
{
    static atomic_uint number;
    complete->created = (json_int_t)time(NULL);
    snprintf(complete->id, sizeof complete->id, "cmpl-%llx-%x",
             (unsigned long long)complete->created, atomic_fetch_add(&number, 1));
}

/* Holds fields of the interface that do not go into the options directly. */
typedef struct OtherFields {
    json_t *prompt, *stop, *bias, *suffix, *stream, *seed;
    double temperature;
    int best_of;
} OtherFields;

static int take_fields(Job *job, Complete *complete, OtherFields *other, MegaError *err)
{
    MegaGenerateOptions *options = &complete->options;
    MegaSamplingOptions *sampling = &options->sampling;
    const Field table[] = {
        {"model", FIELD_TEXT, &complete->model, 0, 0},
        {"prompt", FIELD_VALUE, &other->prompt, 0, 0},
        {"text", FIELD_VALUE, &other->prompt, 0, 0},
        {"max_tokens", FIELD_INT, &options->max_tokens, 0, 1 << 24},
        {"temperature", FIELD_REAL, &other->temperature, 0, 1e6},
        {"top_p", FIELD_REAL, &sampling->top_p, 1e-6, 1},
        {"top_k", FIELD_INT, &sampling->top_k, 0, 1 << 24},
        {"repetition_penalty", FIELD_REAL, &sampling->repetition_penalty, 1e-6, 1e6},
        {"n", FIELD_INT, &options->samples, 1, MAX_SAMPLES},
        {"best_of", FIELD_INT, &other->best_of, 1, MAX_SAMPLES},
        {"stream", FIELD_FLAG, &job->streams, 0, 0},
        {"stream_options", FIELD_VALUE, &other->stream, 0, 0},
        {"logprobs", FIELD_INT, &complete->logprobs, 0, MAX_LOGPROBS},
        {"echo", FIELD_FLAG, &complete->echo, 0, 0},
        {"stop", FIELD_VALUE, &other->stop, 0, 0},
        {"ignore_eos", FIELD_FLAG, &options->ignore_eos, 0, 0},
        {"presence_penalty", FIELD_REAL, &sampling->presence_penalty, -2, 2},
        {"frequency_penalty", FIELD_REAL, &sampling->frequency_penalty, -2, 2},
        {"logit_bias", FIELD_VALUE, &other->bias, 0, 0},
        {"suffix", FIELD_VALUE, &other->suffix, 0, 0},
        {"seed", FIELD_SEED, &sampling->seed, 0, 0},
        {"user", FIELD_IGNORED, NULL, 0, 0},
        {0}};
    return fields_take(job->request.fields, table, err);
}

static int check_numbers(const Complete *complete, const OtherFields *other, MegaError *err)
{
    if (other->best_of && other->best_of != complete->options.samples)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED, "the field 'best_of' must be that of 'n'");
    if (complete->options.max_tokens == 0 && !complete->echo)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "'max_tokens' is 0, which goes with 'echo' only");
    return 0;
}

static int prepare(Job *job, MegaError *err)
{
    static const MegaTask task = MEGA_TASK_GENERATE;
    Complete *complete = calloc(1, sizeof *complete);
    OtherFields other = {.temperature = -1};
    if (!complete)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a completion");
    job->input = complete;
    complete->options = mega_generate_defaults();
    complete->options.max_tokens = DEFAULT_TOKENS;
    complete->logprobs = -1;
    name_completion(complete);
    int code = take_fields(job, complete, &other, err);
    if (!code)
        code = refuse_others(other.bias, other.suffix, err);
    if (!code)
        code = take_stream_options(complete, other.stream, err);
    if (!code)
        code = take_stops(complete, other.stop, err);
    if (!code)
        code = take_prompts(complete, other.prompt, err);
    if (!code)
        code = check_numbers(complete, &other, err);
    if (!code)
        code = job_choose_model(job, complete->model.data, model_has_task, &task,
                                "to continue texts", err);
    if (!code)
        code = clean_texts(job, MEGA_TOKENIZER_TARGET, complete->prompts, complete->prompt_count,
                           &complete->memory, err);
    if (code)
        return code;
    MegaSamplingOptions *sampling = &complete->options.sampling;
    sampling->greedy = other.temperature == 0;
    if (other.temperature > 0)
        sampling->temperature = other.temperature;
    const json_t *seed = json_object_get(job->request.fields, "seed");
    if (!seed || json_is_null(seed))
        sampling->seed = (uint64_t)(clock_seconds() * 1e9);
    return 0;
}

/* ---- Log-probabilities ---------------------------------------------------------------------- */

/* The lists of a choice's logprobs, which grow token by token. */
typedef struct Logprobs {
    json_t *tokens, *values, *tops, *offsets;
} Logprobs;

static void logprobs_begin(Logprobs *logprobs)
{
    *logprobs = (Logprobs){json_array(), json_array(), json_array(), json_array()};
}

static json_t *logprobs_json(Logprobs *logprobs)
{
    json_t *json = json_pack("{s:o,s:o,s:o,s:o}", "tokens", logprobs->tokens, "token_logprobs",
                             logprobs->values, "top_logprobs", logprobs->tops, "text_offset",
                             logprobs->offsets);
    *logprobs = (Logprobs){0};
    return json;
}

static void logprobs_free(Logprobs *logprobs)
{
    json_decref(logprobs->tokens);
    json_decref(logprobs->values);
    json_decref(logprobs->tops);
    json_decref(logprobs->offsets);
    *logprobs = (Logprobs){0};
}

#define TOKEN_SIZE 256

/* Writes the text of a token, or its symbol if it has none, as </s> has not. */
static const char *token_text(const MegaPipeline *pipeline, int32_t id, char out[TOKEN_SIZE])
{
    const char *symbol = mega_pipeline_symbol(pipeline, MEGA_SIDE_OUTPUT, id);
    MegaText text = {0};
    if (mega_pipeline_detokenize(pipeline, MEGA_SIDE_OUTPUT, &id, 1, &text, NULL) == 0 && text.size)
        snprintf(out, TOKEN_SIZE, "%s", text.data);
    else if (symbol)
        snprintf(out, TOKEN_SIZE, "%s", symbol);
    else
        snprintf(out, TOKEN_SIZE, "%d", id);
    mega_text_free(&text);
    return out;
}

/* Sets a member whose name may be bytes that are not UTF-8. */
static void set_member(json_t *object, const char *name, double value)
{
    json_t *key = json_text(name);
    if (json_is_string(key))
        json_object_set_new(object, json_string_value(key), json_number(value));
    json_decref(key);
}

/* Makes the object of the `count` most probable tokens. */
static json_t *top_json(const MegaPipeline *pipeline, const float *logprobs, int vocab, int count)
{
    json_t *object = json_object();
    int best[MAX_LOGPROBS];
    char name[TOKEN_SIZE];
    int found = 0;
    for (int id = 0; id < vocab && count > 0; id++) {
        int at = found < count ? found : count;
        while (at > 0 && logprobs[id] > logprobs[best[at - 1]])
            at--;
        if (at == count)
            continue;
        found += found < count;
        for (int i = found - 1; i > at; i--)
            best[i] = best[i - 1];
        best[at] = id;
    }
    for (int i = 0; i < found; i++)
        set_member(object, token_text(pipeline, best[i], name), (double)logprobs[best[i]]);
    return object;
}

static void logprobs_add(Logprobs *logprobs, const MegaPipeline *pipeline, int32_t token,
                         double value, json_t *top, size_t offset)
{
    char text[TOKEN_SIZE];
    json_array_append_new(logprobs->tokens, json_text(token_text(pipeline, token, text)));
    json_array_append_new(logprobs->values, json_number(value));
    json_array_append_new(logprobs->tops, top);
    json_array_append_new(logprobs->offsets, json_integer((json_int_t)offset));
}

/* ---- Running -------------------------------------------------------------------------------- */

/* A choice while it is made. */
typedef struct Choice {
    MegaBuffer text;
    Logprobs logprobs;
    size_t characters; /* number of characters of the text so far */
} Choice;

typedef struct Completion {
    Job *job;
    const Complete *complete;
    Worker *worker;
    MegaPipeline *pipeline;
    size_t prompt;    /* number of the prompt that is continued */
    Choice *choices;  /* [samples] */
    float *scratch;   /* [vocab] log-probabilities; NULL without logprobs */
    json_t *finished; /* list of choices */
} Completion;

static json_t *choice_json(const Completion *c, int sample, json_t *text, json_t *logprobs,
                           const char *finish)
{
    return json_pack("{s:o,s:i,s:o,s:o}", "text", text, "index",
                     (int)c->prompt * c->complete->options.samples + sample, "logprobs",
                     logprobs ? logprobs : json_null(), "finish_reason",
                     finish ? json_string(finish) : json_null());
}

/* Makes the object that holds choices: an answer, or an event of one. */
static json_t *completion_json(const Completion *c, json_t *choices, bool usage)
{
    const json_int_t read = (json_int_t)atomic_load(&c->job->tokens_read);
    const json_int_t made = (json_int_t)atomic_load(&c->job->tokens_made);
    json_t *object = json_pack("{s:s,s:s,s:I,s:o,s:o}", "id", c->complete->id, "object",
                               "text_completion", "created", c->complete->created, "model",
                               json_text(c->job->model->id), "choices", choices);
    if (usage)
        json_object_set_new(object, "usage",
                            json_pack("{s:I,s:I,s:I}", "prompt_tokens", read, "completion_tokens",
                                      made, "total_tokens", read + made));
    return object;
}

/* Sends an event. Returns whether the client still wants more. */
static bool send_event(const Completion *c, json_t *object)
{
    char *line = json_dumps(object, JSON_LINE);
    MegaBuffer event = {0};
    json_decref(object);
    mega_put_bytes(&event, "data: ", 6);
    mega_put_bytes(&event, line ? line : "", line ? strlen(line) : 0);
    mega_put_bytes(&event, "\n\n", 2);
    const bool wanted =
        line && !event.failed &&
        queue_add_piece(worker_workers(c->worker)->queue, c->job, event.data, event.size);
    mega_buffer_free(&event);
    free(line);
    return wanted;
}

/* Sends the text that a choice got since the last event. */
static bool send_piece(Completion *c, int sample, const char *finish)
{
    Choice *choice = &c->choices[sample];
    json_t *text = json_bytes(choice->text.data, choice->text.size);
    json_t *logprobs = c->complete->logprobs >= 0 ? logprobs_json(&choice->logprobs) : NULL;
    if (c->complete->logprobs >= 0)
        logprobs_begin(&choice->logprobs);
    choice->text.size = 0;
    return send_event(
        c, completion_json(c, json_pack("[o]", choice_json(c, sample, text, logprobs, finish)),
                           false));
}

static void take_logits(void *context, int sample, int32_t token, const float *logits)
{
    Completion *c = context;
    Choice *choice = &c->choices[sample];
    const int vocab = mega_model_vocab_size(c->job->model->model);
    mega_log_softmax(logits, vocab, c->scratch);
    logprobs_add(&choice->logprobs, c->pipeline, token, (double)c->scratch[token],
                 top_json(c->pipeline, c->scratch, vocab, c->complete->logprobs),
                 choice->characters);
}

static size_t count_characters(const char *text, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += ((uint8_t)text[i] & 0xc0) != 0x80;
    return count;
}

static bool take_text(void *context, int sample, int32_t token, const char *bytes, size_t size)
{
    Completion *c = context;
    Choice *choice = &c->choices[sample];
    if (token < 0)
        return !atomic_load(&c->job->is_abandoned);
    atomic_fetch_add(&c->job->tokens_made, 1);
    mega_put_bytes(&choice->text, bytes, size);
    choice->characters += count_characters(bytes, size);
    if (c->job->streams && (size || c->complete->logprobs >= 0) && !send_piece(c, sample, NULL))
        return false;
    return !atomic_load(&c->job->is_abandoned) && !choice->text.failed;
}

/* Finds where the tokens of the prompt begin. */
static int find_places(const Completion *c, const FieldText *prompt, MegaTokenized *places,
                       MegaError *err)
{
    const MegaTexts text = {.first = prompt->data, .first_size = prompt->size};
    const MegaTokenizer *tokenizer =
        worker_tokenizer(c->worker, c->job->model, MEGA_TOKENIZER_TARGET, err);
    return tokenizer
               ? mega_tokenizer_encode_texts(tokenizer, &text, &(MegaEncodeOptions){0}, places, err)
               : err->code;
}

/* Begins a choice with its prompt if that is to be echoed; `score` has the tokens of it, if
 * logprobs are wanted, and `places` where they begin. The first tokens of a prompt may have no
 * score, if nothing predicts them. */
static void echo_prompt(Completion *c, Choice *choice, const MegaScore *score,
                        const MegaTokens *places)
{
    const FieldText *prompt = &c->complete->prompts[c->prompt];
    if (!c->complete->echo)
        return;
    mega_put_bytes(&choice->text, prompt->data, prompt->size);
    choice->characters = count_characters(prompt->data, prompt->size);
    const size_t skipped = places->count > score->count ? places->count - score->count : 0;
    for (size_t i = 0; i < score->count; i++) {
        const size_t place = skipped + i;
        logprobs_add(&choice->logprobs, c->pipeline, score->tokens[i], (double)score->logprobs[i],
                     json_null(),
                     place < places->count ? places->data[place].start : choice->characters);
    }
}

static int count_prompt(Completion *c, const MegaRaw *prompt, MegaError *err)
{
    MegaIds ids = {0};
    int code = mega_pipeline_tokenize(c->pipeline, MEGA_SIDE_OUTPUT, prompt, &ids, err);
    atomic_fetch_add(&c->job->tokens_read, ids.count);
    mega_ids_free(&ids);
    return code;
}

static const char *reason_of(MegaFinish finish)
{
    return finish == MEGA_FINISH_LENGTH ? "length" : "stop";
}

/* Ends the choices of a prompt. */
static void finish_choices(Completion *c, const MegaGeneration *generated)
{
    for (int i = 0; i < c->complete->options.samples; i++) {
        Choice *choice = &c->choices[i];
        const char *reason = generated ? reason_of(generated[i].finish) : "length";
        if (c->job->streams) {
            send_piece(c, i, reason);
            continue;
        }
        json_t *logprobs = c->complete->logprobs >= 0 ? logprobs_json(&choice->logprobs) : NULL;
        json_array_append_new(
            c->finished,
            choice_json(c, i, json_bytes(choice->text.data, choice->text.size), logprobs, reason));
    }
}

static int run_prompt(Completion *c, MegaError *err)
{
    const Complete *complete = c->complete;
    const MegaRaw prompt = raw_of_field(&complete->prompts[c->prompt], "the prompt");
    const int samples = complete->options.samples;
    MegaGenerateOptions options = complete->options;
    MegaGeneration *generated = calloc((size_t)samples, sizeof *generated);
    MegaScore score = {0};
    MegaTokenized places = {0};
    int code = generated ? count_prompt(c, &prompt, err)
                         : mega_fail(err, MEGA_ERR_MEMORY, "no memory for a completion");
    if (!code && complete->echo && complete->logprobs >= 0 && prompt.size) {
        code = mega_pipeline_score(c->pipeline, &prompt, NULL, &score, err);
        if (!code)
            code = find_places(c, &complete->prompts[c->prompt], &places, err);
    }
    for (int i = 0; i < samples; i++) {
        mega_buffer_free(&c->choices[i].text);
        logprobs_free(&c->choices[i].logprobs);
        c->choices[i] = (Choice){0};
        if (complete->logprobs >= 0)
            logprobs_begin(&c->choices[i].logprobs);
        if (!code)
            echo_prompt(c, &c->choices[i], &score, &places.sequences[0]);
    }
    options.sink = take_text;
    options.logits = complete->logprobs >= 0 ? take_logits : NULL;
    options.context = c;
    if (!code && options.max_tokens > 0)
        code = mega_pipeline_generate(c->pipeline, &prompt, &options, generated, err);
    if (!code)
        finish_choices(c, options.max_tokens > 0 ? generated : NULL);
    for (int i = 0; generated && i < samples; i++)
        mega_generation_free(&generated[i]);
    free(generated);
    mega_score_free(&score);
    mega_tokenized_free(&places);
    return code;
}

static int begin(Completion *c, MegaError *err)
{
    c->pipeline = worker_pipeline(c->worker, c->job->model, err);
    if (!c->pipeline)
        return err->code;
    c->choices = calloc((size_t)c->complete->options.samples, sizeof *c->choices);
    if (c->complete->logprobs >= 0)
        c->scratch =
            malloc((size_t)mega_model_vocab_size(c->job->model->model) * sizeof *c->scratch);
    c->finished = json_array();
    if (!c->choices || !c->finished || (c->complete->logprobs >= 0 && !c->scratch))
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a completion");
    return 0;
}

static int run(Job *job, Worker *worker, MegaError *err)
{
    Completion c = {.job = job, .complete = job->input, .worker = worker};
    int code = begin(&c, err);
    for (; !code && c.prompt < c.complete->prompt_count && !atomic_load(&job->is_abandoned);
         c.prompt++)
        code = run_prompt(&c, err);
    if (!code && !job->streams) {
        job->answer = completion_json(&c, json_incref(c.finished), true);
    } else if (!code) {
        if (c.complete->usage)
            send_event(&c, completion_json(&c, json_array(), true));
        queue_add_piece(worker_workers(worker)->queue, job, "data: [DONE]\n\n", 14);
    }
    for (int i = 0; c.choices && i < c.complete->options.samples; i++) {
        mega_buffer_free(&c.choices[i].text);
        logprobs_free(&c.choices[i].logprobs);
    }
    free(c.choices);
    free(c.scratch);
    json_decref(c.finished);
    return code;
}

static void release(Job *job)
{
    Complete *complete = job->input;
    if (complete) {
        free(complete->prompts);
        mega_buffer_free(&complete->memory);
        free(complete->stop_texts);
    }
}

const Operation complete_operation = {
    .path = "/v1/completions", .prepare = prepare, .run = run, .release = release};
