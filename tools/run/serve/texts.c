/*
 * texts.c - the operations on one text: embeddings, tokens, masks, tags, answers and choices. The
 * answers are what the commands print with --json; embeddings have the form of the OpenAI
 * interface.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/text/vocab.h"
#include "src/model/model.h"
#include "tools/run/find_model.h"
#include "tools/run/results.h"
#include "tools/run/serve/operations.h"
#include "tools/run/token_writer.h"

#define MAX_TEXTS 2048
#define MAX_TARGETS 4096
#define MAX_CHOICES 1024

MegaRaw raw_of_field(const FieldText *text, const char *name)
{
    return (MegaRaw){.kind = MEGA_RAW_TEXT,
                     .data = text->data ? text->data : "",
                     .size = text->size,
                     .name = name};
}

int clean_texts(const Job *job, MegaTokenizerSide side, FieldText *texts, size_t count,
                MegaBuffer *memory, MegaError *err)
{
    MegaTextRules rules =
        mega_tokenizer_text_rules(mega_model_meta(job->model->model), side, false, "a text");
    int code = 0;
    rules.is_text = true; /* request.c has looked at a body that is one */
    for (size_t i = 0; i < count && !code; i++) {
        MegaBuffer text = {0};
        mega_put_bytes(&text, texts[i].data, texts[i].size);
        code = text.failed ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text")
                           : mega_text_clean(&text, "the text", &rules, NULL, err);
        texts[i].size = text.size;
        mega_put_bytes(memory, text.data, text.size);
        mega_put_u8(memory, 0);
        mega_buffer_free(&text);
    }
    if (!code && memory->failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for texts");
    for (size_t i = 0, at = 0; i < count && !code; at += texts[i++].size + 1)
        texts[i].data = (const char *)memory->data + at;
    return code;
}

bool model_has_task(const ServedModel *model, const void *context)
{
    return model->task == *(const MegaTask *)context;
}

/* Holds what these requests have in common: the text, and the model's name. */
typedef struct TextFields {
    FieldText text, second, model;
} TextFields;

static int need_text(const FieldText *text, const char *name, MegaError *err)
{
    return text->data ? 0 : mega_fail(err, MEGA_ERR_ARGUMENT, "the field '%s' is missing", name);
}

/* Allocates the input of a job. */
static void *new_input(Job *job, size_t size, MegaError *err)
{
    job->input = calloc(1, size);
    if (!job->input)
        mega_fail(err, MEGA_ERR_MEMORY, "no memory for a request");
    return job->input;
}

static int choose_model(Job *job, const FieldText *name, MegaTask task, const char *purpose,
                        MegaError *err)
{
    return job_choose_model(job, name->data, model_has_task, &task, purpose, err);
}

/* Finds a text among names and sets *out to its number. A text that was not given leaves *out as it
 * is. */
static int take_name(const FieldText *text, const char *field, const char *const *names, int count,
                     int *out, MegaError *err)
{
    for (int i = 0; i < count; i++)
        if (text->data && strcmp(text->data, names[i]) == 0) {
            *out = i;
            return 0;
        }
    return text->data ? mega_fail(err, MEGA_ERR_ARGUMENT, "the field '%s' cannot be '%.60s'", field,
                                  text->data)
                      : 0;
}

/* ---- /v1/fill ------------------------------------------------------------------------------- */

typedef struct Fill {
    TextFields fields;
    int top;
    FieldText *texts;     /* [target_count] */
    const char **targets; /* [target_count] */
    size_t target_count;
} Fill;

static int prepare_fill(Job *job, MegaError *err)
{
    Fill *fill = new_input(job, sizeof *fill, err);
    json_t *targets = NULL;
    if (!fill)
        return err->code;
    fill->top = 5;
    const Field table[] = {{"text", FIELD_TEXT, &fill->fields.text, 0, 0},
                           {"model", FIELD_TEXT, &fill->fields.model, 0, 0},
                           {"top", FIELD_INT, &fill->top, 1, 1 << 20},
                           {"targets", FIELD_VALUE, &targets, 0, 0},
                           {0}};
    int code = fields_take(job->request.fields, table, err);
    if (!code)
        code = need_text(&fill->fields.text, "text", err);
    if (!code)
        code = field_texts(targets, "targets", MAX_TARGETS, &fill->texts, &fill->target_count, err);
    if (!code && !(fill->targets = calloc(fill->target_count + 1, sizeof *fill->targets)))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for targets");
    for (size_t i = 0; i < fill->target_count && !code; i++)
        fill->targets[i] = fill->texts[i].data;
    return code ? code
                : choose_model(job, &fill->fields.model, MEGA_TASK_FILL, "to fill masks", err);
}

static int run_fill(Job *job, Worker *worker, MegaError *err)
{
    const Fill *fill = job->input;
    const MegaRaw raw = raw_of_field(&fill->fields.text, "the text");
    const MegaFillOptions options = {
        .top = fill->top, .targets = fill->targets, .target_count = (int)fill->target_count};
    MegaPipeline *pipeline = worker_pipeline(worker, job->model, err);
    MegaFillings fillings = {0};
    if (!pipeline)
        return err->code;
    int code = mega_pipeline_fill(pipeline, &raw, &options, &fillings, err);
    if (!code)
        job->answer = fillings_json(&fillings);
    mega_fillings_free(&fillings);
    return code;
}

static void release_fill(Job *job)
{
    Fill *fill = job->input;
    if (fill) {
        free(fill->texts);
        free(fill->targets);
    }
}

const Operation fill_operation = {
    .path = "/v1/fill", .prepare = prepare_fill, .run = run_fill, .release = release_fill};

/* ---- /v1/tag -------------------------------------------------------------------------------- */

typedef struct Tag {
    TextFields fields;
    MegaTagOptions options;
    bool bytes;
} Tag;

static int prepare_tag(Job *job, MegaError *err)
{
    static const char *const groups[] = {"none", "simple", "first", "average", "max"};
    Tag *tag = new_input(job, sizeof *tag, err);
    FieldText group = {0};
    int grouping = 0;
    if (!tag)
        return err->code;
    const Field table[] = {{"text", FIELD_TEXT, &tag->fields.text, 0, 0},
                           {"model", FIELD_TEXT, &tag->fields.model, 0, 0},
                           {"group", FIELD_TEXT, &group, 0, 0},
                           {"all", FIELD_FLAG, &tag->options.keep_outside, 0, 0},
                           {"bytes", FIELD_FLAG, &tag->bytes, 0, 0},
                           {0}};
    int code = fields_take(job->request.fields, table, err);
    if (!code)
        code = need_text(&tag->fields.text, "text", err);
    if (!code)
        code = take_name(&group, "group", groups, 5, &grouping, err);
    tag->options.grouping = (MegaGrouping)grouping;
    return code ? code : choose_model(job, &tag->fields.model, MEGA_TASK_TAG, "to tag words", err);
}

static int run_tag(Job *job, Worker *worker, MegaError *err)
{
    const Tag *tag = job->input;
    const MegaRaw raw = raw_of_field(&tag->fields.text, "the text");
    MegaPipeline *pipeline = worker_pipeline(worker, job->model, err);
    MegaTags tags = {0};
    if (!pipeline)
        return err->code;
    int code = mega_pipeline_tag(pipeline, &raw, &tag->options, &tags, err);
    if (!code)
        job->answer = tags_json(&tags, &tag->options, &raw, tag->bytes);
    mega_tags_free(&tags);
    return code;
}

const Operation tag_operation = {.path = "/v1/tag", .prepare = prepare_tag, .run = run_tag};

/* ---- /v1/answer ----------------------------------------------------------------------------- */

typedef struct Answer {
    TextFields fields; /* text: the context; second: the question */
    MegaAnswerOptions options;
    bool bytes;
} Answer;

static int prepare_answer(Job *job, MegaError *err)
{
    Answer *answer = new_input(job, sizeof *answer, err);
    int window = 0, stride = 0;
    if (!answer)
        return err->code;
    answer->options = mega_answer_defaults();
    const Field table[] = {{"question", FIELD_TEXT, &answer->fields.second, 0, 0},
                           {"context", FIELD_TEXT, &answer->fields.text, 0, 0},
                           {"model", FIELD_TEXT, &answer->fields.model, 0, 0},
                           {"top", FIELD_INT, &answer->options.top, 1, 1 << 20},
                           {"max_answer", FIELD_INT, &answer->options.max_answer, 1, 1 << 20},
                           {"window", FIELD_INT, &window, 1, 1 << 24},
                           {"stride", FIELD_INT, &stride, 1, 1 << 24},
                           {"allow_none", FIELD_FLAG, &answer->options.allow_none, 0, 0},
                           {"align", FIELD_FLAG, &answer->options.align, 0, 0},
                           {"bytes", FIELD_FLAG, &answer->bytes, 0, 0},
                           {0}};
    int code = fields_take(job->request.fields, table, err);
    if (!code)
        code = need_text(&answer->fields.second, "question", err);
    if (!code)
        code = need_text(&answer->fields.text, "context", err);
    answer->options.window = (size_t)window;
    answer->options.stride = (size_t)stride;
    return code ? code
                : choose_model(job, &answer->fields.model, MEGA_TASK_ANSWER, "to answer questions",
                               err);
}

static int run_answer(Job *job, Worker *worker, MegaError *err)
{
    const Answer *answer = job->input;
    const MegaRaw question = raw_of_field(&answer->fields.second, "the question");
    const MegaRaw context = raw_of_field(&answer->fields.text, "the context");
    MegaPipeline *pipeline = worker_pipeline(worker, job->model, err);
    MegaAnswers answers = {0};
    if (!pipeline)
        return err->code;
    int code = mega_pipeline_answer(pipeline, &question, &context, &answer->options, &answers, err);
    if (!code)
        job->answer = answers_json(&answers, answer->options.top, &context, answer->bytes);
    mega_answers_free(&answers);
    return code;
}

const Operation answer_operation = {
    .path = "/v1/answer", .prepare = prepare_answer, .run = run_answer};

/* ---- /v1/choose ----------------------------------------------------------------------------- */

typedef struct Choose {
    TextFields fields;
    FieldText *choices; /* [count] */
    size_t count;
} Choose;

static int prepare_choose(Job *job, MegaError *err)
{
    Choose *choose = new_input(job, sizeof *choose, err);
    json_t *choices = NULL;
    if (!choose)
        return err->code;
    const Field table[] = {{"prompt", FIELD_TEXT, &choose->fields.text, 0, 0},
                           {"choices", FIELD_VALUE, &choices, 0, 0},
                           {"model", FIELD_TEXT, &choose->fields.model, 0, 0},
                           {0}};
    int code = fields_take(job->request.fields, table, err);
    if (!code)
        code = need_text(&choose->fields.text, "prompt", err);
    if (!code)
        code = field_texts(choices, "choices", MAX_CHOICES, &choose->choices, &choose->count, err);
    if (!code && choose->count == 0)
        code = mega_fail(err, MEGA_ERR_ARGUMENT, "the field 'choices' is missing or empty");
    return code ? code
                : choose_model(job, &choose->fields.model, MEGA_TASK_CHOOSE,
                               "to choose between texts", err);
}

static int run_choose(Job *job, Worker *worker, MegaError *err)
{
    const Choose *choose = job->input;
    const int count = (int)choose->count;
    const MegaRaw prompt = raw_of_field(&choose->fields.text, "the prompt");
    MegaPipeline *pipeline = worker_pipeline(worker, job->model, err);
    if (!pipeline)
        return err->code;
    MegaRaw *choices = calloc(choose->count, sizeof *choices);
    float *scores = calloc(choose->count, sizeof *scores);
    int *order = calloc(choose->count, sizeof *order);
    int code =
        choices && scores && order ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for texts");
    for (int i = 0; i < count && !code; i++)
        choices[i] = raw_of_field(&choose->choices[i], "the choice");
    if (!code)
        code = mega_pipeline_choose(pipeline, &prompt, choices, count, scores, err);
    if (!code) {
        rank_choices(scores, count, order);
        job->answer = choices_json(choices, scores, order, count);
    }
    free(choices);
    free(scores);
    free(order);
    return code;
}

static void release_choose(Job *job)
{
    Choose *choose = job->input;
    if (choose)
        free(choose->choices);
}

const Operation choose_operation = {
    .path = "/v1/choose", .prepare = prepare_choose, .run = run_choose, .release = release_choose};

/* ---- /v1/tokenize --------------------------------------------------------------------------- */

typedef struct Tokenize {
    TextFields fields;
    MegaEncodeOptions options;
    MegaTokenizerSide side;
    bool bytes;
} Tokenize;

static bool has_vocabulary(const ServedModel *model, const void *context)
{
    const MegaMeta *meta = mega_model_meta(model->model);
    (void)context;
    return mega_meta_find(meta, MEGA_VOCAB_KEY) || (mega_meta_find(meta, MEGA_VOCAB_SOURCE_KEY) &&
                                                    mega_meta_find(meta, MEGA_VOCAB_TARGET_KEY));
}

static int prepare_tokenize(Job *job, MegaError *err)
{
    static const char *const sides[] = {"source", "target"};
    static const char *const truncations[] = {"longest", "first", "second"};
    Tokenize *tokenize = new_input(job, sizeof *tokenize, err);
    FieldText side_name = {0}, truncation_name = {0};
    int side = 0, truncation = 0, max_length = 0, stride = -1;
    if (!tokenize)
        return err->code;
    const Field table[] = {{"text", FIELD_TEXT, &tokenize->fields.text, 0, 0},
                           {"content", FIELD_TEXT, &tokenize->fields.text, 0, 0},
                           {"pair", FIELD_TEXT, &tokenize->fields.second, 0, 0},
                           {"model", FIELD_TEXT, &tokenize->fields.model, 0, 0},
                           {"no_special", FIELD_FLAG, &tokenize->options.no_special, 0, 0},
                           {"max_length", FIELD_INT, &max_length, 1, MEGA_TEXT_MAX_SIZE},
                           {"truncate", FIELD_TEXT, &truncation_name, 0, 0},
                           {"stride", FIELD_INT, &stride, 0, MEGA_TEXT_MAX_SIZE},
                           {"bytes", FIELD_FLAG, &tokenize->bytes, 0, 0},
                           {"side", FIELD_TEXT, &side_name, 0, 0},
                           {0}};
    int code = fields_take(job->request.fields, table, err);
    if (!code)
        code = need_text(&tokenize->fields.text, "text", err);
    if (!code)
        code = take_name(&side_name, "side", sides, 2, &side, err);
    if (!code)
        code = take_name(&truncation_name, "truncate", truncations, 3, &truncation, err);
    if (!code && stride >= 0 && !max_length)
        code = mega_fail(err, MEGA_ERR_ARGUMENT, "the field 'stride' needs 'max_length'");
    tokenize->side = (MegaTokenizerSide)side;
    tokenize->options.truncation = (MegaTruncation)truncation;
    tokenize->options.max_length = (size_t)max_length;
    tokenize->options.windows = stride >= 0;
    tokenize->options.stride = stride >= 0 ? (size_t)stride : 0;
    return code ? code
                : job_choose_model(job, tokenize->fields.model.data, has_vocabulary, NULL,
                                   "to make tokens of texts", err);
}

static int write_windows(const Tokenize *tokenize, const MegaTokenizer *tokenizer,
                         const MegaTexts *texts, const MegaTokenized *tokenized, FILE *out,
                         Job *job, MegaError *err)
{
    MegaTokens tokens = {0};
    TokenWriter writer;
    int code = token_writer_new(&writer, out, tokenizer, true, err);
    for (size_t i = 0; i < tokenized->windows && !code; i++) {
        tokens.count = 0;
        code = mega_tokenized_window(tokenized, i, &tokens, err);
        if (!code && tokenize->bytes)
            count_token_bytes(&tokens, texts);
        fputs(i ? "," : tokenized->windows > 1 ? "[" : "", out);
        if (!code)
            token_writer_json(&writer, &tokens, i, tokenized->windows);
        if (!code)
            token_writer_flush(&writer);
        atomic_fetch_add(&job->tokens_read, tokens.count);
    }
    fputs(tokenized->windows > 1 ? "]\n" : "\n", out);
    if (!code && writer.failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the texts of tokens");
    token_writer_free(&writer);
    mega_tokens_free(&tokens);
    return code;
}

static int run_tokenize(Job *job, Worker *worker, MegaError *err)
{
    const Tokenize *tokenize = job->input;
    const FieldText *text = &tokenize->fields.text, *second = &tokenize->fields.second;
    const MegaTexts texts = {.first = text->data,
                             .first_size = text->size,
                             .second = second->size ? second->data : NULL,
                             .second_size = second->size};
    const MegaTokenizer *tokenizer = worker_tokenizer(worker, job->model, tokenize->side, err);
    MegaTokenized tokenized = {0};
    char *written = NULL;
    size_t size = 0;
    if (!tokenizer)
        return err->code;
    int code = mega_tokenizer_encode_texts(tokenizer, &texts, &tokenize->options, &tokenized, err);
    FILE *out = code ? NULL : open_memstream(&written, &size);
    if (!code && !out)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the tokens");
    if (!code)
        code = write_windows(tokenize, tokenizer, &texts, &tokenized, out, job, err);
    if (out && fclose(out) != 0 && !code)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the tokens");
    mega_tokenized_free(&tokenized);
    if (code)
        free(written);
    else
        job->text = (MegaBuffer){.data = (uint8_t *)written, .size = size, .capacity = size};
    return code;
}

const Operation tokenize_operation = {
    .path = "/v1/tokenize", .prepare = prepare_tokenize, .run = run_tokenize};

/* ---- /v1/embeddings ------------------------------------------------------------------------- */

typedef struct Embed {
    FieldText model;
    FieldText *texts; /* [count] */
    size_t count;
    int width; /* the width of vectors that the client expects, or 0 */
    bool base64;
} Embed;

static bool takes_texts(const ServedModel *model, const void *context)
{
    (void)context;
    return model->kind == MEGA_CONTENT_TEXT;
}

/* Prefers models that do nothing but embed. */
static bool only_embeds(const ServedModel *model, const void *context)
{
    (void)context;
    return model->task == MEGA_TASK_EMBED;
}

static int prepare_embed(Job *job, MegaError *err)
{
    static const char *const formats[] = {"float", "base64"};
    Embed *embed = new_input(job, sizeof *embed, err);
    FieldText format = {0};
    json_t *input = NULL;
    int base64 = 0;
    if (!embed)
        return err->code;
    const Field table[] = {{"input", FIELD_VALUE, &input, 0, 0},
                           {"text", FIELD_VALUE, &input, 0, 0},
                           {"model", FIELD_TEXT, &embed->model, 0, 0},
                           {"encoding_format", FIELD_TEXT, &format, 0, 0},
                           {"dimensions", FIELD_INT, &embed->width, 1, 1 << 24},
                           {"user", FIELD_IGNORED, NULL, 0, 0},
                           {0}};
    int code = fields_take(job->request.fields, table, err);
    if (!code)
        code = take_name(&format, "encoding_format", formats, 2, &base64, err);
    if (!code)
        code = field_texts(input, "input", MAX_TEXTS, &embed->texts, &embed->count, err);
    if (!code && embed->count == 0)
        code = mega_fail(err, MEGA_ERR_ARGUMENT, "the field 'input' is missing or empty");
    embed->base64 = base64 != 0;
    if (!code && !embed->model.data)
        job->model = models_take(job->models, NULL, only_embeds, NULL, "", NULL);
    if (!code && !job->model)
        code = job_choose_model(job, embed->model.data, takes_texts, NULL, "to embed texts", err);
    if (!code && embed->width && embed->width != mega_model_width(job->model->model))
        code = mega_fail(err, MEGA_ERR_ARGUMENT,
                         "the field 'dimensions' is %d, but vectors of %s have %d", embed->width,
                         job->model->id, mega_model_width(job->model->model));
    return code;
}

/* Encodes the bytes of little-endian floats, as clients of the OpenAI interface read them. */
static json_t *base64_json(const float *values, int width)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t size = (size_t)width * sizeof *values;
    const uint8_t *bytes = (const uint8_t *)values;
    MegaBuffer out = {0};
    for (size_t i = 0; i < size; i += 3) {
        const size_t left = size - i;
        const uint32_t group = (uint32_t)bytes[i] << 16 |
                               (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                               (left > 2 ? (uint32_t)bytes[i + 2] : 0);
        mega_put_u8(&out, (uint8_t)digits[group >> 18]);
        mega_put_u8(&out, (uint8_t)digits[group >> 12 & 63]);
        mega_put_u8(&out, (uint8_t)(left > 1 ? digits[group >> 6 & 63] : '='));
        mega_put_u8(&out, (uint8_t)(left > 2 ? digits[group & 63] : '='));
    }
    json_t *json = out.failed ? NULL : json_bytes(out.data, out.size);
    mega_buffer_free(&out);
    return json;
}

static json_t *vector_json(const float *values, int width, size_t index, bool base64)
{
    json_t *vector = base64 ? base64_json(values, width) : json_array();
    for (int i = 0; i < width && !base64; i++)
        json_array_append_new(vector, json_number((double)values[i]));
    return json_pack("{s:s,s:I,s:o}", "object", "embedding", "index", (json_int_t)index,
                     "embedding", vector);
}

/* Appends the vector of a text. */
static int embed_text(Job *job, MegaPipeline *pipeline, size_t index, json_t *list, MegaError *err)
{
    const Embed *embed = job->input;
    const MegaRaw raw = raw_of_field(&embed->texts[index], "the text");
    if (job->model->task == MEGA_TASK_EMBED) {
        MegaStates states = {0};
        int failed = mega_pipeline_states(pipeline, &raw, &states, err);
        if (!failed) {
            json_array_append_new(list,
                                  vector_json(states.pooled, states.width, index, embed->base64));
            atomic_fetch_add(&job->tokens_read, states.rows);
        }
        mega_states_free(&states);
        return failed;
    }
    MegaEmbedding vector = {0};
    int code = mega_pipeline_embed(pipeline, &raw, MEGA_VECTOR_OWN, &vector, err);
    if (!code) {
        json_array_append_new(list, vector_json(vector.values, vector.width, index, embed->base64));
        atomic_fetch_add(&job->tokens_read, vector.positions);
    }
    mega_embedding_free(&vector);
    return code;
}

static int run_embed(Job *job, Worker *worker, MegaError *err)
{
    const Embed *embed = job->input;
    MegaPipeline *pipeline = worker_pipeline(worker, job->model, err);
    if (!pipeline)
        return err->code;
    json_t *list = json_array();
    int code = 0;
    for (size_t i = 0; i < embed->count && !code && !atomic_load(&job->is_abandoned); i++) {
        MegaError inner = {0};
        code = embed_text(job, pipeline, i, list, &inner);
        if (code && embed->count > 1)
            mega_fail(err, code, "item %zu of the list: %s", i, inner.text);
        else if (code)
            *err = inner;
    }
    const json_int_t tokens = (json_int_t)atomic_load(&job->tokens_read);
    job->answer = json_pack("{s:s,s:o,s:o,s:{s:I,s:I}}", "object", "list", "data", list, "model",
                            json_text(job->model->id), "usage", "prompt_tokens", tokens,
                            "total_tokens", tokens);
    return code;
}

static void release_embed(Job *job)
{
    Embed *embed = job->input;
    if (embed)
        free(embed->texts);
}

const Operation embed_operation = {
    .path = "/v1/embeddings", .prepare = prepare_embed, .run = run_embed, .release = release_embed};
