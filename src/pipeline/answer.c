/*
 * answer.c - finds the answers to a question in a text.
 *
 * The text is read in windows that overlap. In each window, tokens of the text and the first token
 * of all may begin or end an answer; the scores of the others vanish in the softmax over the
 * window. A span is as good as the product of the probabilities of its ends.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/pipeline/tokens.h"

#define USUAL_WINDOW 384
#define USUAL_STRIDE 128
#define OUTSIDE (-10000.0f) /* the logit of a token that cannot be an end of an answer */

void mega_answers_free(MegaAnswers *answers)
{
    if (!answers)
        return;
    for (size_t i = 0; i < answers->count; i++)
        mega_text_free(&answers->items[i].text);
    free(answers->items);
    *answers = (MegaAnswers){0};
}

MegaAnswerOptions mega_answer_defaults(void)
{
    return (MegaAnswerOptions){.top = 1, .max_answer = 15, .align = true};
}

typedef struct Span {
    float score;
    uint32_t start, end;
    size_t number; /* how many spans were found before it; of equal scores the first is the best */
} Span;

static bool is_worse(const Span *a, const Span *b)
{
    return a->score != b->score ? a->score < b->score : a->number > b->number;
}

#define HEAP_ITEM Span
#define HEAP_ABOVE is_worse
#include "src/base/heap_tmpl.h"

typedef struct Finder {
    MegaPipeline *pipeline;
    const MegaAnswerOptions *options;
    MegaTokenized tokenized;
    Span *spans; /* [count], a heap of the best of all windows with the worst of them on top */
    size_t count, capacity;
    size_t found;     /* number of spans that were added */
    float least_null; /* the smallest score that "no answer" has in any window */
} Finder;

/* Turns column `which` of logits [count][2] into probabilities of the tokens that are allowed. */
static void probabilities(const float *logits, size_t which, const bool *allowed, size_t count,
                          float *out)
{
    float most = -INFINITY, sum = 0;
    for (size_t i = 0; i < count; i++) {
        out[i] = allowed[i] ? logits[2 * i + which] : OUTSIDE;
        most = out[i] > most ? out[i] : most;
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = expf(out[i] - most);
        sum += out[i];
    }
    for (size_t i = 0; i < count; i++)
        out[i] /= sum;
}

/* A span of tokens of one window, both ends included, and its score. */
typedef struct TokenSpan {
    float score;
    uint32_t first, last;
} TokenSpan;

static int by_score(const void *a, const void *b)
{
    const TokenSpan *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return (x->last > y->last) - (x->last < y->last);
}

/* Returns where a span of tokens lies in the text. With `align` it covers whole words, as far as
 * these are in the window. */
static Span place(const Finder *f, const MegaTokens *tokens, const TokenSpan *found)
{
    const MegaToken *first = &tokens->data[found->first], *last = &tokens->data[found->last];
    Span span = {.score = found->score, .start = first->start, .end = last->end};
    if (!f->options->align || first->word < 0 || last->word < 0)
        return span;
    for (size_t i = tokens->count; i-- > 0;)
        if (tokens->data[i].sequence == 1 && tokens->data[i].word == first->word)
            span.start = tokens->data[i].start;
    for (size_t i = 0; i < tokens->count; i++)
        if (tokens->data[i].sequence == 1 && tokens->data[i].word == last->word)
            span.end = tokens->data[i].end;
    return span;
}

/* Keeps a span if it is among the best `top`. */
static int add_span(Finder *f, Span span, MegaError *err)
{
    span.number = f->found++;
    if (f->count == (size_t)f->options->top) {
        if (is_worse(&f->spans[0], &span))
            heap_replace(f->spans, f->count, span);
        return 0;
    }
    if (f->count == f->capacity) {
        const size_t capacity = f->capacity ? 2 * f->capacity : 64;
        Span *grown = realloc(f->spans, capacity * sizeof *grown);
        if (!grown)
            return mega_fail(err, MEGA_ERR_MEMORY, "no memory for answers");
        f->spans = grown;
        f->capacity = capacity;
    }
    heap_push(f->spans, &f->count, span);
    return 0;
}

/* Keeps the best spans of a window. */
static int find_spans(Finder *f, const MegaTokenInput *input, const bool *allowed,
                      const float *start, const float *end, MegaError *err)
{
    const size_t count = input->tokens.count, most = (size_t)f->options->max_answer;
    TokenSpan *spans = malloc((count * (most < count ? most : count) + 1) * sizeof *spans);
    size_t found = 0;
    int code = spans ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for answers");
    for (size_t s = 0; s < count && !code; s++)
        for (size_t e = s; e < count && e < s + most; e++)
            if (allowed[s] && allowed[e])
                spans[found++] = (TokenSpan){start[s] * end[e], (uint32_t)s, (uint32_t)e};
    if (!code)
        qsort(spans, found, sizeof *spans, by_score);
    for (size_t i = 0; i < found && i < (size_t)f->options->top && !code; i++)
        code = add_span(f, place(f, &input->tokens, &spans[i]), err);
    free(spans);
    return code;
}

static int run_window(Finder *f, size_t index, MegaError *err)
{
    MegaPipeline *p = f->pipeline;
    const int64_t cls = mega_pipeline_number(p, "special.cls", -1);
    MegaTokenInput input;
    int code = mega_token_input_make(&input, p->target, &f->tokenized, index, err);
    const size_t count = input.tokens.count;
    float *logits = malloc((count + 1) * 2 * sizeof *logits);
    float *start = malloc((count + 1) * 2 * sizeof *start), *end = start ? start + count : NULL;
    bool *allowed = malloc(count + 1);
    if (!code && (!logits || !start || !allowed))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a window of %zu tokens", count);
    for (size_t i = 0; i < count && !code; i++)
        allowed[i] = input.tokens.data[i].sequence == 1 || input.ids[i] == cls;
    if (!code)
        code = mega_session_label(p->session, &input.input, NULL, count, logits, err);
    if (!code) {
        probabilities(logits, 0, allowed, count, start);
        probabilities(logits, 1, allowed, count, end);
        if (start[0] * end[0] < f->least_null)
            f->least_null = start[0] * end[0];
        start[0] = end[0] = 0;
        code = find_spans(f, &input, allowed, start, end, err);
    }
    free(allowed);
    free(start);
    free(logits);
    mega_token_input_free(&input);
    return code;
}

static int take_answers(Finder *f, const MegaBuffer *context, MegaAnswers *out, MegaError *err)
{
    int code = 0;
    if (f->options->allow_none)
        code = add_span(f, (Span){.score = f->least_null}, err);
    if (code)
        return code;
    out->items = calloc(f->count + 1, sizeof *out->items);
    if (!out->items)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for answers");
    out->count = f->count;
    MegaCharacters characters = mega_characters_of(context->data, context->size);
    while (f->count > 0 && !code) {
        const Span worst = heap_pop(f->spans, &f->count);
        MegaAnswer *answer = &out->items[f->count];
        answer->score = worst.score;
        answer->start = worst.start;
        answer->end = worst.end;
        code = mega_text_slice(&characters, worst.start, worst.end, &answer->text, err);
    }
    mega_characters_free(&characters);
    return code;
}

/* Encodes question and text, and plans the windows. */
static int encode(Finder *f, const MegaBuffer *question, const MegaBuffer *context, MegaError *err)
{
    const MegaPipeline *p = f->pipeline;
    const int64_t longest = mega_pipeline_number(p, "text.max_length", USUAL_WINDOW);
    size_t window = f->options->window;
    if (window == 0)
        window = longest < USUAL_WINDOW ? (size_t)longest : USUAL_WINDOW;
    size_t stride = f->options->stride;
    if (stride == 0)
        stride = window / 2 < USUAL_STRIDE ? window / 2 : USUAL_STRIDE;
    const MegaTexts texts = {.first = question->size ? (const char *)question->data : "",
                             .first_size = question->size,
                             .second = context->size ? (const char *)context->data : "",
                             .second_size = context->size};
    const MegaEncodeOptions options = {.max_length = window,
                                       .truncation = MEGA_TRUNCATE_SECOND,
                                       .windows = true,
                                       .stride = stride};
    return mega_tokenizer_encode_texts(p->target, &texts, &options, &f->tokenized, err);
}

int mega_pipeline_answer(MegaPipeline *p, const MegaRaw *question, const MegaRaw *context,
                         const MegaAnswerOptions *options, MegaAnswers *out, MegaError *err)
{
    const MegaAnswerOptions defaults = mega_answer_defaults();
    MegaBuffer texts[2] = {{0}, {0}};
    Finder f = {.pipeline = p, .options = options ? options : &defaults, .least_null = 1e6f};
    *out = (MegaAnswers){0};
    int code = mega_pipeline_need_task(p, MEGA_TASK_ANSWER, "answer questions", err);
    if (!code && (f.options->top < 1 || f.options->max_answer < 1))
        code = mega_fail(err, MEGA_ERR_ARGUMENT, "%d answers of at most %d tokens make no sense",
                         f.options->top, f.options->max_answer);
    if (!code && !mega_pipeline_need_tokenizer(p, err))
        code = MEGA_ERR_MODEL;
    if (!code)
        code = mega_pipeline_read_bytes(p, question, &texts[0], err);
    if (!code)
        code = mega_pipeline_read_bytes(p, context, &texts[1], err);
    if (!code && texts[0].size == 0)
        code = mega_fail(err, MEGA_ERR_INPUT, "the question is empty");
    if (!code && texts[1].size == 0)
        code = mega_fail(err, MEGA_ERR_INPUT, "the text is empty: there is nothing to answer from");
    if (!code)
        code = encode(&f, &texts[0], &texts[1], err);
    for (size_t i = 0; !code && i < f.tokenized.windows; i++)
        code = run_window(&f, i, err);
    if (!code)
        code = take_answers(&f, &texts[1], out, err);
    if (code)
        mega_answers_free(out);
    free(f.spans);
    mega_tokenized_free(&f.tokenized);
    mega_buffer_free(&texts[0]);
    mega_buffer_free(&texts[1]);
    return code;
}
