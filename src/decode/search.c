/*
 * search.c - the original's beam search (MODEL.md, "Sequences, inputs and search"), over many
 * sources at once.
 *
 * All live hypotheses of all unfinished sources are sequences of one decoder, source by source. A
 * hypothesis is a chain of nodes back to its first token. A node is written once and never changes.
 */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/float_mode.h"
#include "src/decode/decoder.h"
#include "src/kernels/linear.h"

#define MAX_BEAM 1024
#define NONE SIZE_MAX

/* One token of a hypothesis, linked to the one before it. */
typedef struct Node {
    int32_t token;
    float score;   /* its log-probability */
    size_t before; /* the node before it, or NONE */
} Node;

/* A live hypothesis, as its last node and the sum of its scores. */
typedef struct Live {
    size_t node; /* NONE at the start */
    float sum;
} Live;

typedef struct Candidate {
    float sum, score;
    int row; /* number among the source's live hypotheses */
    int32_t token;
} Candidate;

/* The search for one source. */
typedef struct Search {
    MegaEncoded *encoded;
    size_t max_len;
    Node *nodes;
    float *attention; /* [node_capacity][source length], if alignments are asked for */
    size_t node_count, node_capacity;
    Live *live; /* [beam] */
    int live_count;
    bool done;
    MegaTranslation *out;
} Search;

/* The best 2 beam continuations of one live hypothesis of the batch. */
typedef struct Row {
    Search *search;
    int number; /* number among the source's live hypotheses */
    Candidate *heap; /* [2 beam] */
    size_t count;
} Row;

typedef struct Batch {
    MegaSession *session;
    const MegaTargetConfig *target;
    const MegaSearchOptions *options;
    MegaDecoder *decoder;
    Search *searches; /* [count] */
    int count;
    size_t step;
    float *logits;     /* [sequences][vocab] */
    int32_t *tokens;   /* [sequences] */
    int *parents;      /* [sequences] */
    Row *rows;         /* [sequences] */
    Candidate *heaps;  /* [sequences][2 beam] */
    Candidate *merged; /* [beam][2 beam] */
    /* [threads][history_size], with room for the longest hypothesis and 2 more */
    int32_t *history;
    size_t history_size;
    uint64_t counted; /* bytes counted in the session's ledger */
    MegaError *err;
} Batch;

MegaSearchOptions mega_search_defaults(void)
{
    return (MegaSearchOptions){
        .beam = 5, .length_penalty = 1, .max_len_b = 200, .min_len = 1, .temperature = 1};
}

/* ---- Scores --------------------------------------------------------------------------------- */

/* Writes the tokens of a hypothesis in order, after the initial </s>. Returns their number,
 * including </s>. */
static size_t write_history(const Batch *batch, const Search *search, size_t node,
                            int32_t *history)
{
    size_t length = batch->step + 1;
    history[0] = batch->target->eos;
    for (size_t i = length; i-- > 1; node = search->nodes[node].before)
        history[i] = search->nodes[node].token;
    return length;
}

/* Sets the logit of every token that would repeat an n-gram of the hypothesis to -INFINITY. */
static void bar_repeated(const Batch *batch, const Search *search, const Live *live,
                         int32_t *history, float *scores)
{
    size_t n = (size_t)batch->options->no_repeat_ngram;
    size_t length = write_history(batch, search, live->node, history);
    if (length < n)
        return;
    const int32_t *last = history + length - (n - 1);
    for (size_t i = 0; i + n <= length; i++)
        if (memcmp(history + i, last, (n - 1) * sizeof *last) == 0)
            scores[history[i + n - 1]] = -INFINITY;
}

static void keep_only(float *scores, size_t vocab, int32_t token)
{
    float score = scores[token];
    for (size_t i = 0; i < vocab; i++)
        scores[i] = -INFINITY;
    scores[token] = score;
}

/* The logits of one row and facts about them; a token's score is logit - norm. */
typedef struct Scores {
    float *logits;
    double norm;
    /* An upper bound of every MEGA_LINEAR_BLOCK logits, or NULL if it is not known. */
    float *block_top;
} Scores;

/* Returns the logarithm of the sum of exponentials, from the sums of blocks that the output layer
 * computed together with the logits. */
static double norm_of_blocks(const MegaLogits *known, const float *top, const float *sum)
{
    float max = -INFINITY;
    double total = 0;
    for (size_t b = 0; b < known->blocks; b++)
        max = top[b] > max ? top[b] : max;
    for (size_t b = 0; b < known->blocks; b++)
        total += (double)sum[b] * exp((double)top[b] - (double)max);
    return (double)max + log(total);
}

/* Applies exclusions, penalties and length limits to the logits. */
static Scores score_row(const Batch *batch, const Search *search, const Live *live, size_t number,
                        int32_t *history)
{
    const MegaTargetConfig *target = batch->target;
    const MegaSearchOptions *options = batch->options;
    const MegaLogits *known = &batch->decoder->logits;
    size_t vocab = (size_t)target->vocab;
    float *logits = batch->logits + number * vocab;
    bool prefix = batch->step < options->prefix_length && batch->step < search->max_len;
    Scores scores = {.logits = logits};
    if (options->temperature != 1.0)
        for (size_t i = 0; i < vocab; i++)
            logits[i] = (float)(logits[i] / options->temperature);
    if (options->temperature == 1.0 && known->block_top) {
        scores.block_top = known->block_top + number * known->blocks;
        scores.norm = norm_of_blocks(known, scores.block_top,
                                     known->block_sum + number * known->blocks);
    } else if (options->temperature != 1.0 || !target->adaptive_output) {
        scores.norm = known->kernels->log_sum_exp(logits, vocab);
    } /* otherwise they are log-probabilities, which do not change if tails are skipped */
    logits[target->pad] = -INFINITY;
    logits[target->unk] -= (float)options->unk_penalty;
    if (scores.block_top && options->unk_penalty < 0) {
        float *top = &scores.block_top[target->unk / MEGA_LINEAR_BLOCK];
        *top = logits[target->unk] > *top ? logits[target->unk] : *top;
    }
    if (batch->step >= search->max_len)
        keep_only(logits, vocab, target->eos);
    if (prefix)
        keep_only(logits, vocab, options->prefix[batch->step]);
    else if (batch->step < (size_t)options->min_len)
        logits[target->eos] = -INFINITY;
    if (options->no_repeat_ngram > 0)
        bar_repeated(batch, search, live, history, logits);
    return scores;
}

/* ---- Candidates ----------------------------------------------------------------------------- */

/* Returns whether a is worse than b. Of equal candidates, the later one is worse. */
static bool worse(const Candidate *a, const Candidate *b)
{
    if (a->sum != b->sum)
        return a->sum < b->sum;
    return a->row != b->row ? a->row > b->row : a->token > b->token;
}

/* The heap of a row has the worst of its best candidates on top. */
#define HEAP_ITEM Candidate
#define HEAP_ABOVE worse
#include "src/base/heap_tmpl.h"

static int best_first(const void *a, const void *b)
{
    return worse(a, b) - worse(b, a);
}

/* Returns whether a sum is among the best of a row so far. */
static bool promises(const Batch *batch, const Row *row, float sum)
{
    bool full = row->count == 2 * (size_t)batch->options->beam;
    return sum > (full ? row->heap[0].sum : -INFINITY);
}

static void keep_candidate(const Batch *batch, Row *row, Candidate candidate)
{
    if (row->count < 2 * (size_t)batch->options->beam)
        heap_push(row->heap, &row->count, candidate);
    else
        heap_replace(row->heap, row->count, candidate);
}

/* Scores a row and finds its best continuations. Threads divide the rows between them, since in a
 * large batch this is as much work as an output layer. */
static void find_row(void *context, size_t number, int worker)
{
    const Batch *batch = context;
    Row *row = &batch->rows[number];
    size_t vocab = (size_t)batch->target->vocab;
    const Live *live = &row->search->live[row->number];
    Scores scores = score_row(batch, row->search, live, number,
                              batch->history + (size_t)worker * batch->history_size);
    row->count = 0;
    for (size_t first = 0; first < vocab; first += MEGA_LINEAR_BLOCK) {
        size_t end = first + MEGA_LINEAR_BLOCK < vocab ? first + MEGA_LINEAR_BLOCK : vocab;
        const float *top = scores.block_top ? &scores.block_top[first / MEGA_LINEAR_BLOCK] : NULL;
        if (top && !promises(batch, row, live->sum + (float)((double)*top - scores.norm)))
            continue;
        for (size_t token = first; token < end; token++) {
            float score = (float)((double)scores.logits[token] - scores.norm);
            if (promises(batch, row, live->sum + score))
                keep_candidate(batch, row,
                               (Candidate){live->sum + score, score, row->number, (int32_t)token});
        }
    }
}

/* Merges the best 2 beam continuations of a source's `count` rows, best first. Returns how many
 * there are. */
static size_t merge_rows(const Batch *batch, const Row *rows, int count)
{
    size_t total = 0, wanted = 2 * (size_t)batch->options->beam;
    for (int i = 0; i < count; i++) {
        memcpy(batch->merged + total, rows[i].heap, rows[i].count * sizeof *rows[i].heap);
        total += rows[i].count;
    }
    qsort(batch->merged, total, sizeof *batch->merged, best_first);
    return total < wanted ? total : wanted;
}

/* ---- Hypotheses ----------------------------------------------------------------------------- */

/* Counts more memory of the search, and fails if that much is not allowed. */
static int count_memory(Batch *batch, uint64_t bytes)
{
    int code = mega_ledger_change(batch->session->ledger, batch->counted, batch->counted + bytes,
                                  "this search", batch->err);
    batch->counted += code ? 0 : bytes;
    return code;
}

static int grow_nodes(Batch *batch, Search *search, size_t more)
{
    size_t length = search->encoded->length, needed = search->node_count + more;
    if (needed <= search->node_capacity)
        return 0;
    size_t capacity = 2 * needed;
    uint64_t each = sizeof(Node) + (batch->options->alignments ? length * sizeof(float) : 0);
    int code = count_memory(batch, (capacity - search->node_capacity) * each);
    if (code)
        return code;
    Node *nodes = realloc(search->nodes, capacity * sizeof *nodes);
    if (nodes)
        search->nodes = nodes;
    float *attention = NULL;
    if (nodes && batch->options->alignments) {
        attention = realloc(search->attention, capacity * length * sizeof *attention);
        if (attention)
            search->attention = attention;
    }
    if (!nodes || (batch->options->alignments && !attention))
        return mega_fail(batch->err, MEGA_ERR_MEMORY, "no memory for the hypotheses");
    search->node_capacity = capacity;
    return 0;
}

/* Adds a node, for which grow_nodes has made room. `base` is the number of the source's first
 * sequence in the decoder. */
static size_t add_node(const Batch *batch, Search *search, const Candidate *candidate, int base)
{
    size_t number = search->node_count++, length = search->encoded->length;
    search->nodes[number] =
        (Node){candidate->token, candidate->score, search->live[candidate->row].node};
    if (batch->options->alignments)
        memcpy(search->attention + number * length,
               mega_decoder_attention(batch->decoder, base + candidate->row),
               length * sizeof *search->attention);
    return number;
}

static int finish_hypothesis(Batch *batch, Search *search, size_t node, float sum)
{
    MegaTranslation *out = search->out;
    size_t length = batch->step + 1, source = search->encoded->length;
    size_t attention = batch->options->alignments ? length * source : 0;
    int code = count_memory(batch, (2 * (uint64_t)length + attention) * sizeof(float));
    if (code)
        return code;
    MegaHypothesis *hypothesis = &out->hypotheses[out->count++];
    *hypothesis = (MegaHypothesis){.length = length, .score = sum};
    if (!batch->options->unnormalized)
        hypothesis->score /= pow((double)length, batch->options->length_penalty);
    hypothesis->tokens = malloc(length * sizeof *hypothesis->tokens);
    hypothesis->scores = malloc(length * sizeof *hypothesis->scores);
    if (batch->options->alignments)
        hypothesis->attention = malloc(length * source * sizeof *hypothesis->attention);
    if (!hypothesis->tokens || !hypothesis->scores ||
        (batch->options->alignments && !hypothesis->attention))
        return mega_fail(batch->err, MEGA_ERR_MEMORY, "no memory for a hypothesis");
    for (size_t i = length; i-- > 0; node = search->nodes[node].before) {
        hypothesis->tokens[i] = search->nodes[node].token;
        hypothesis->scores[i] = search->nodes[node].score;
        if (hypothesis->attention)
            memcpy(hypothesis->attention + i * source, search->attention + node * source,
                   source * sizeof *search->attention);
    }
    return 0;
}

/* Turns candidates into finished and live hypotheses. Parents and tokens of the live ones go to the
 * end of the batch's lists. */
static int advance(Batch *batch, Search *search, int base, int *next)
{
    int beam = batch->options->beam, live = 0, code = 0;
    size_t count = merge_rows(batch, batch->rows + base, search->live_count);
    Live kept[MAX_BEAM];
    if ((code = grow_nodes(batch, search, count)))
        return code;
    for (size_t i = 0; i < count && !code; i++) {
        const Candidate *candidate = &batch->merged[i];
        if (candidate->token == batch->target->eos) {
            if (i < (size_t)beam && search->out->count < beam) {
                size_t node = add_node(batch, search, candidate, base);
                code = finish_hypothesis(batch, search, node, candidate->sum);
            }
        } else if (live < beam) {
            kept[live] = (Live){add_node(batch, search, candidate, base), candidate->sum};
            batch->parents[*next + live] = base + candidate->row;
            batch->tokens[*next + live] = candidate->token;
            live++;
        }
    }
    search->done = search->out->count == beam || batch->step >= search->max_len || live == 0;
    if (search->done)
        live = 0;
    memcpy(search->live, kept, (size_t)live * sizeof *kept);
    search->live_count = live;
    *next += live;
    return code;
}

/* ---- The batch ------------------------------------------------------------------------------ */

static size_t length_limit(const MegaConfig *config, const MegaSearchOptions *options,
                           size_t source_length)
{
    double wanted = options->max_len_a * (double)source_length + options->max_len_b;
    double limit = config->target.max_positions - 1;
    /* the decoder's tables count the initial </s>, too */
    double tables = (double)mega_decoder_positions(config) - 1;
    limit = tables < limit ? tables : limit;
    return wanted < limit ? (size_t)wanted : (size_t)limit;
}

static int begin_search(Batch *batch, Search *search, MegaTranslation *out)
{
    size_t beam = (size_t)batch->options->beam;
    search->max_len = length_limit(&batch->session->model->config, batch->options,
                                   search->encoded->length);
    if ((size_t)batch->options->min_len > search->max_len)
        return mega_fail(batch->err, MEGA_ERR_ARGUMENT,
                         "a translation should have at least %d tokens, but at most %zu are "
                         "possible; change the smallest or the largest length",
                         batch->options->min_len, search->max_len);
    if (batch->options->prefix_length > search->max_len)
        return mega_fail(batch->err, MEGA_ERR_ARGUMENT,
                         "the prefix has %zu tokens, but a translation may have at most %zu here; "
                         "allow more, or give a shorter prefix",
                         batch->options->prefix_length, search->max_len);
    search->out = out;
    out->source_length = search->encoded->length;
    search->live = calloc(beam, sizeof *search->live);
    out->hypotheses = calloc(beam, sizeof *out->hypotheses);
    if (!search->live || !out->hypotheses)
        return mega_fail(batch->err, MEGA_ERR_MEMORY, "no memory for a search");
    search->live[0].node = NONE;
    search->live_count = 1;
    return 0;
}

/* Returns how many of a row's largest logits the search may need; 0 means all. The search takes the
 * best 2 beam, and skips <pad>, <unk> and </s> where they are excluded or penalised. */
static int best_needed(const MegaTargetConfig *target, const MegaSearchOptions *options)
{
    bool any = options->no_repeat_ngram > 0 || options->prefix_length > 0;
    bool changed = options->temperature != 1.0 || options->unk_penalty < 0;
    /* where the length limit ends a hypothesis, </s> is the best token */
    bool apart = target->eos >= target->output.end[0];
    return any || changed || apart ? 0 : 2 * options->beam + 3;
}

static int begin_batch(Batch *batch, const MegaInput *sources, MegaTranslation *out)
{
    const MegaSearchOptions *options = batch->options;
    size_t rows = (size_t)batch->count * (size_t)options->beam, longest = 0;
    MegaDecoderOptions decoder = {.sequences = (int)rows,
                                  .exact_top = best_needed(batch->target, options)};
    int code = 0;
    uint64_t each = (uint64_t)batch->target->vocab * sizeof(float) +
                    2 * (uint64_t)options->beam * sizeof(Candidate) + sizeof(Row);
    code = count_memory(batch, rows * each + 2 * (uint64_t)options->beam *
                                                 (uint64_t)options->beam * sizeof(Candidate));
    if (code)
        return code;
    batch->searches = calloc((size_t)batch->count, sizeof *batch->searches);
    MegaEncoded **encoded = calloc((size_t)batch->count, sizeof *encoded);
    if (!batch->searches || !encoded) {
        free(encoded);
        return mega_fail(batch->err, MEGA_ERR_MEMORY, "no memory for a search");
    }
    code = mega_encode_all(batch->session, sources, batch->count, encoded, batch->err);
    for (int i = 0; i < batch->count; i++)
        /* stored also after an error, so that it is freed */
        batch->searches[i].encoded = encoded[i];
    for (int i = 0; i < batch->count && !code; i++) {
        code = begin_search(batch, &batch->searches[i], &out[i]);
        if (batch->searches[i].max_len > longest)
            longest = batch->searches[i].max_len;
    }
    batch->logits = malloc(rows * (size_t)batch->target->vocab * sizeof *batch->logits);
    batch->tokens = malloc(rows * sizeof *batch->tokens);
    batch->parents = malloc(rows * sizeof *batch->parents);
    size_t wanted = 2 * (size_t)options->beam;
    batch->rows = calloc(rows, sizeof *batch->rows);
    batch->heaps = malloc(rows * wanted * sizeof *batch->heaps);
    batch->merged = malloc((size_t)options->beam * wanted * sizeof *batch->merged);
    batch->history_size = longest + 2;
    batch->history = malloc(batch->history_size * sizeof *batch->history *
                            (size_t)mega_pool_threads(batch->session->pool));
    if (!code && (!batch->logits || !batch->tokens || !batch->parents || !batch->rows ||
                  !batch->heaps || !batch->merged || !batch->history))
        code = mega_fail(batch->err, MEGA_ERR_MEMORY, "no memory for a search");
    if (!code)
        code = mega_decoder_new(&batch->decoder, batch->session, &decoder, batch->err);
    if (!code)
        code = mega_decoder_begin(batch->decoder, (const MegaEncoded *const *)encoded,
                                  batch->count, batch->err);
    free(encoded);
    return code;
}

/* Lists all live hypotheses in the order of the decoder's sequences. Returns how many there are. */
static size_t list_rows(Batch *batch)
{
    size_t count = 0, wanted = 2 * (size_t)batch->options->beam;
    for (int i = 0; i < batch->count; i++)
        for (int n = 0; !batch->searches[i].done && n < batch->searches[i].live_count; n++) {
            batch->rows[count] = (Row){.search = &batch->searches[i], .number = n,
                                       .heap = batch->heaps + count * wanted};
            count++;
        }
    return count;
}

static int run_batch(Batch *batch)
{
    int live = batch->count, code = 0;
    for (int i = 0; i < live; i++)
        batch->tokens[i] = batch->target->eos;
    for (batch->step = 0; live > 0 && !code; batch->step++) {
        int base = 0, next = 0;
        code = mega_decoder_step(batch->decoder, batch->tokens, batch->logits, batch->err);
        if (!code)
            mega_pool_run(batch->session->pool, list_rows(batch), find_row, batch);
        for (int i = 0; i < batch->count && !code; i++) {
            Search *search = &batch->searches[i];
            int rows = search->live_count;
            if (search->done)
                continue;
            code = advance(batch, search, base, &next);
            base += rows;
        }
        live = next;
        if (!code && live > 0)
            code = mega_decoder_select(batch->decoder, batch->parents, live, batch->err);
    }
    return code;
}

static int by_score(const void *a, const void *b)
{
    const MegaHypothesis *left = a, *right = b;
    if (left->score != right->score)
        return left->score < right->score ? 1 : -1;
    /* of equal scores, the one found earlier, which is shorter, comes first */
    return left->length < right->length ? -1 : left->length > right->length;
}

static void free_batch(Batch *batch)
{
    mega_decoder_free(batch->decoder);
    for (int i = 0; batch->searches && i < batch->count; i++) {
        mega_encoded_free(batch->searches[i].encoded);
        free(batch->searches[i].nodes);
        free(batch->searches[i].attention);
        free(batch->searches[i].live);
    }
    mega_ledger_change(batch->session->ledger, batch->counted, 0, NULL, NULL);
    free(batch->searches);
    free(batch->logits);
    free(batch->tokens);
    free(batch->parents);
    free(batch->rows);
    free(batch->heaps);
    free(batch->merged);
    free(batch->history);
}

/* The search never makes <pad>, and ends where it makes </s>. */
static int check_prefix(const MegaSearchOptions *options, const MegaTargetConfig *target,
                        MegaError *err)
{
    if (options->prefix_length > 0 && !options->prefix)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a prefix of %zu tokens, but the pointer to them is NULL",
                         options->prefix_length);
    for (size_t i = 0; i < options->prefix_length; i++) {
        const int32_t token = options->prefix[i];
        if (token < 0 || token >= target->vocab)
            return mega_fail(err, MEGA_ERR_ARGUMENT,
                             "prefix token %d is not in the vocabulary of 0 to %d", token,
                             target->vocab - 1);
        if (token == target->pad)
            return mega_fail(err, MEGA_ERR_ARGUMENT,
                             "prefix token %d is the padding, which no translation has", token);
        if (token == target->eos && i + 1 < options->prefix_length)
            return mega_fail(err, MEGA_ERR_ARGUMENT,
                             "prefix token %d is </s>, which ends a translation, but %zu tokens "
                             "follow it",
                             token, options->prefix_length - i - 1);
    }
    return 0;
}

static int check_options(const MegaSearchOptions *options, const MegaTargetConfig *target,
                         MegaError *err)
{
    if (options->beam < 1 || options->beam > MAX_BEAM)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "a beam of %d; expected 1 to %d",
                         options->beam, MAX_BEAM);
    if (!(options->temperature > 0) || !isfinite(options->temperature))
        return mega_fail(err, MEGA_ERR_ARGUMENT, "a temperature of %g; expected more than 0",
                         options->temperature);
    if (!(options->max_len_a >= 0) || options->max_len_b < 0)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "max_len_a is %g and max_len_b %d; expected 0 or more", options->max_len_a,
                         options->max_len_b);
    if (options->min_len < 0 || options->no_repeat_ngram < 0)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "min_len is %d and no_repeat_ngram %d; expected 0 or more",
                         options->min_len, options->no_repeat_ngram);
    if (!isfinite(options->length_penalty) || !isfinite(options->unk_penalty))
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "length_penalty is %g and unk_penalty %g; expected finite numbers",
                         options->length_penalty, options->unk_penalty);
    if (options->no_repeat_ngram == 1) /* as in the original, where no hypothesis ends */
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "no_repeat_ngram is 1, which would exclude the </s> that ends a "
                         "translation, since one also begins it; expected 0, or 2 or more");
    return check_prefix(options, target, err);
}

/* Returns what probably left a search without any hypothesis. */
static const char *why_none(const MegaSearchOptions *options)
{
    if (options->no_repeat_ngram > 0)
        return "without a ban on repeated tokens there may be one";
    if (options->temperature < 1)
        return "at a higher temperature, its scores may be finite";
    return "the model's output may be damaged";
}

int mega_session_translate(MegaSession *session, const MegaInput *sources, int count,
                           const MegaSearchOptions *options, MegaTranslation *out, MegaError *err)
{
    MEGA_WITH_FLOAT_MODE;
    MegaSearchOptions defaults = mega_search_defaults();
    const MegaConfig *config = &session->model->config;
    Batch batch = {.session = session, .target = &config->target, .count = count, .err = err};
    batch.options = options ? options : &defaults;
    memset(out, 0, (size_t)(count > 0 ? count : 0) * sizeof *out);
    if (!mega_config_has_cross(config))
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the model is not a translator");
    if (count < 1)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "there are %d sources to translate; expected at least 1", count);
    int code = check_options(batch.options, &config->target, err);
    if (!code && count > INT_MAX / batch.options->beam)
        code = mega_fail(err, MEGA_ERR_LIMIT, "%d sources with a beam of %d are too many at once",
                         count, batch.options->beam);
    if (!code)
        code = begin_batch(&batch, sources, out);
    if (!code)
        code = run_batch(&batch);
    for (int i = 0; i < count && !code; i++)
        if (out[i].count == 0) /* every token was excluded, or the logits are NaN */
            code = mega_fail(err, MEGA_ERR_INPUT,
                             "the search found no translation; %s",
                             why_none(batch.options));
    for (int i = 0; i < count; i++) {
        if (code)
            mega_translation_free(&out[i]);
        else
            qsort(out[i].hypotheses, (size_t)out[i].count, sizeof *out[i].hypotheses, by_score);
    }
    free_batch(&batch);
    return code;
}

void mega_translation_free(MegaTranslation *translation)
{
    if (!translation)
        return;
    for (int i = 0; i < translation->count; i++) {
        free(translation->hypotheses[i].tokens);
        free(translation->hypotheses[i].scores);
        free(translation->hypotheses[i].attention);
        free(translation->hypotheses[i].text);
    }
    free(translation->hypotheses);
    free(translation->source);
    *translation = (MegaTranslation){0};
}
