/*
 * fill.c - fills the masks of a text: the likeliest tokens at each, and the text with them.
 */
#include <stdlib.h>
#include <string.h>

#include "src/pipeline/tokens.h"

void mega_fillings_free(MegaFillings *fillings)
{
    if (!fillings)
        return;
    for (int i = 0; i < fillings->masks * fillings->count; i++) {
        mega_text_free(&fillings->items[i].text);
        mega_text_free(&fillings->items[i].sequence);
    }
    free(fillings->items);
    *fillings = (MegaFillings){0};
}

/* The tokens that may fill a mask, all if there is no list. */
typedef struct Candidates {
    int32_t *ids; /* [count] */
    size_t count;
} Candidates;

static int by_id(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Finds the token of a target: the one that is written like it, else the first one of its text. */
static int find_target(const MegaPipeline *p, const char *target, int32_t *id, MegaError *err)
{
    int32_t *ids = NULL;
    size_t count = 0;
    *id = mega_vocab_find(mega_tokenizer_vocab(p->target), target, strlen(target));
    if (*id >= 0)
        return 0;
    int code = mega_tokenizer_encode(p->target, target, strlen(target), false, &ids, &count, err);
    if (!code && count == 0)
        code = mega_fail(err, MEGA_ERR_INPUT, "the target '%.60s' has no token", target);
    else if (!code)
        *id = ids[0];
    free(ids);
    return code;
}

static int find_candidates(const MegaPipeline *p, const MegaFillOptions *options, Candidates *out,
                           MegaError *err)
{
    const size_t vocab = (size_t)mega_model_class_count(p->model);
    const size_t count = options->target_count > 0 ? (size_t)options->target_count : vocab;
    int code = 0;
    out->ids = malloc(count * sizeof *out->ids);
    if (!out->ids)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu tokens", count);
    for (size_t i = 0; i < count && !code; i++) {
        if (options->target_count > 0)
            code = find_target(p, options->targets[i], &out->ids[i], err);
        else
            out->ids[i] = (int32_t)i;
        if (!code && (size_t)out->ids[i] >= vocab)
            code = mega_fail(err, MEGA_ERR_INPUT,
                             "the target '%.60s' has token %d, but the model has %zu",
                             options->targets[i], out->ids[i], vocab);
    }
    if (code)
        return code;
    if (options->target_count > 0)
        qsort(out->ids, count, sizeof *out->ids, by_id);
    for (size_t i = 0; i < count; i++)
        if (out->count == 0 || out->ids[i] != out->ids[out->count - 1])
            out->ids[out->count++] = out->ids[i];
    return 0;
}

typedef struct Candidate {
    float probability;
    int32_t id;
} Candidate;

static bool is_worse(const Candidate *a, const Candidate *b)
{
    return a->probability != b->probability ? a->probability < b->probability : a->id > b->id;
}

#define HEAP_ITEM Candidate
#define HEAP_ABOVE is_worse
#include "src/base/heap_tmpl.h"

/* Finds the likeliest candidates, the best one first: best [count], and there are at least as many
 * candidates. The worst of those found so far is on top of a heap. */
static void find_best(const Candidates *candidates, const float *probabilities, Candidate *best,
                      size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < candidates->count; i++) {
        const int32_t id = candidates->ids[i];
        const Candidate candidate = {probabilities[id], id};
        if (kept < count)
            heap_push(best, &kept, candidate);
        else if (is_worse(&best[0], &candidate))
            heap_replace(best, kept, candidate);
    }
    while (kept > 0) {
        const Candidate worst = heap_pop(best, &kept);
        best[kept] = worst;
    }
}

/* Fills in the token and both texts of an item. */
static int describe(const MegaPipeline *p, MegaTokenInput *input, size_t position, bool several,
                    MegaFilling *item, MegaError *err)
{
    const int32_t pad = (int32_t)mega_pipeline_number(p, "special.pad", -1);
    const int32_t mask = input->ids[position];
    int32_t *ids = malloc((input->tokens.count + 1) * sizeof *ids);
    size_t count = 0;
    if (!ids)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text");
    input->ids[position] = item->token;
    for (size_t i = 0; i < input->tokens.count; i++)
        if (input->ids[i] != pad)
            ids[count++] = input->ids[i];
    input->ids[position] = mask;
    int code = mega_pipeline_text_of(p, &item->token, 1, true, true, &item->text, err);
    if (!code)
        code = mega_pipeline_text_of(p, ids, count, several, true, &item->sequence, err);
    free(ids);
    return code;
}

/* Finds the masks. They must be there, and the model must have such a token. */
static int find_masks(const MegaPipeline *p, const MegaTokenInput *input, size_t **out,
                      size_t *count, MegaError *err)
{
    const int64_t mask = mega_pipeline_number(p, "special.mask", -1);
    *out = malloc((input->tokens.count + 1) * sizeof **out);
    *count = 0;
    if (!*out)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text");
    if (mask < 0)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "the tokenizer has no mask token: filling is not possible");
    for (size_t i = 0; i < input->tokens.count; i++)
        if (input->ids[i] == mask)
            (*out)[(*count)++] = i;
    if (*count == 0)
        return mega_fail(err, MEGA_ERR_INPUT, "there is no %s in the text, which says what to fill",
                         mega_vocab_symbol(mega_tokenizer_vocab(p->target), (int32_t)mask));
    return 0;
}

static int fill_masks(const MegaPipeline *p, MegaTokenInput *input, const size_t *positions,
                      const Candidates *candidates, float *logits, MegaFillings *out,
                      MegaError *err)
{
    const size_t vocab = (size_t)mega_model_class_count(p->model);
    Candidate *best = malloc(((size_t)out->count + 1) * sizeof *best);
    int code = best ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d tokens", out->count);
    for (int m = 0; m < out->masks && !code; m++) {
        float *probabilities = logits + (size_t)m * vocab;
        mega_softmax(probabilities, (int)vocab, probabilities);
        find_best(candidates, probabilities, best, (size_t)out->count);
        for (int i = 0; i < out->count && !code; i++) {
            MegaFilling *item = &out->items[m * out->count + i];
            item->token = best[i].id;
            item->score = best[i].probability;
            code = describe(p, input, positions[m], out->masks > 1, item, err);
        }
    }
    free(best);
    return code;
}

static int check_options(const MegaFillOptions *options, MegaError *err)
{
    if (options->top < 0 || options->target_count < 0)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "the best %d tokens of %d targets make no sense; expected 0 or more",
                         options->top, options->target_count);
    if (options->target_count > 0 && !options->targets)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "%d targets, but the pointer to them is NULL",
                         options->target_count);
    for (int i = 0; i < options->target_count; i++)
        if (!options->targets[i])
            return mega_fail(err, MEGA_ERR_ARGUMENT, "target %d is NULL", i);
    return 0;
}

int mega_pipeline_fill(MegaPipeline *p, const MegaRaw *text, const MegaFillOptions *options,
                       MegaFillings *out, MegaError *err)
{
    static const MegaFillOptions defaults = {.top = 5};
    const size_t vocab = (size_t)mega_model_class_count(p->model);
    MegaBuffer bytes = {0};
    MegaTokenInput input = {0};
    Candidates candidates = {0};
    size_t *positions = NULL, masks = 0;
    float *logits = NULL;
    *out = (MegaFillings){0};
    options = options ? options : &defaults;
    int code = mega_pipeline_need_task(p, MEGA_TASK_FILL, "fill masks", err);
    if (!code)
        code = check_options(options, err);
    if (!code)
        code = mega_pipeline_read_bytes(p, text, &bytes, err);
    if (!code)
        code = mega_pipeline_token_input(p, &bytes, NULL, 0, &input, err);
    if (!code)
        code = find_masks(p, &input, &positions, &masks, err);
    if (!code)
        code = find_candidates(p, options, &candidates, err);
    if (!code) {
        const size_t top = options->top > 0 ? (size_t)options->top : 5;
        out->masks = (int)masks;
        out->count = (int)(top < candidates.count ? top : candidates.count);
        out->items = calloc(masks * (size_t)out->count + 1, sizeof *out->items);
        logits = malloc((masks * vocab + 1) * sizeof *logits);
        if (!out->items || !logits) {
            out->masks = 0;
            code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu masks", masks);
        }
    }
    if (!code)
        code = mega_session_label(p->session, &input.input, positions, masks, logits, err);
    if (!code)
        code = fill_masks(p, &input, positions, &candidates, logits, out, err);
    if (code)
        mega_fillings_free(out);
    free(logits);
    free(positions);
    free(candidates.ids);
    mega_token_input_free(&input);
    mega_buffer_free(&bytes);
    return code;
}
