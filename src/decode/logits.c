/*
 * logits.c - see logits.h.
 */
#include "src/decode/logits.h"

#include <math.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/kernels/linear.h"

static size_t tail_count(const MegaLogits *logits)
{
    return logits->config->adaptive_output ? (size_t)logits->config->output.count - 1 : 0;
}

/* Returns how many logits the head's softmax has: the words of the first cluster, and one for each
 * other cluster. */
static size_t head_size(const MegaLogits *logits)
{
    return (size_t)logits->config->output.end[0] + tail_count(logits);
}

void mega_logits_layout(MegaLogits *logits, size_t rows, MegaArena *arena)
{
    const MegaClusters *clusters = &logits->config->output;
    int widest = 0, largest = 0;
    for (int i = 0; i < clusters->count; i++) {
        widest = clusters->width[i] > widest ? clusters->width[i] : widest;
        largest =
            mega_cluster_size(clusters, i) > largest ? mega_cluster_size(clusters, i) : largest;
    }
    bool adaptive = logits->config->adaptive_output;
    logits->features =
        mega_arena_floats(arena, (uint64_t)rows * (uint64_t)logits->config->output_width);
    logits->gathered = mega_arena_floats(arena, adaptive ? rows * logits->width : 0);
    logits->projected = mega_arena_floats(arena, (uint64_t)rows * (uint64_t)widest);
    logits->dense =
        mega_arena_floats(arena, logits->config->output_dense ? rows * logits->width : 0);
    logits->head = mega_arena_floats(arena, adaptive ? (uint64_t)rows * head_size(logits) : 0);
    logits->top_known = mega_arena_floats(arena, adaptive ? (uint64_t)rows * logits->exact_top : 0);
    logits->chosen = mega_arena_take(arena, adaptive ? rows * sizeof *logits->chosen : 0);
    logits->words = mega_arena_floats(arena, (uint64_t)MEGA_SCORE_ROWS * (uint64_t)largest);
    logits->block_top = logits->block_sum = NULL;
    logits->blocks = ((size_t)logits->config->vocab + MEGA_LINEAR_BLOCK - 1) / MEGA_LINEAR_BLOCK;
    if (!adaptive) {
        logits->block_top = mega_arena_floats(arena, (uint64_t)rows * logits->blocks);
        logits->block_sum = mega_arena_floats(arena, (uint64_t)rows * logits->blocks);
    }
}

static void linear(const MegaLogits *logits, const float *x, size_t rows, const MegaPacked *weight,
                   const float *bias, float *y, size_t ldy)
{
    MegaLinear l = {.x = x,
                    .ldx = weight->in,
                    .weight = weight,
                    .y = y,
                    .ldy = ldy,
                    .epilogue = {.bias = bias}};
    mega_linear_run(logits->pool, logits->kernels, &l, 1, rows);
}

/* Returns the input of all clusters: x, or x projected to output_width. */
static const float *features(const MegaLogits *logits, const float *x, size_t rows)
{
    if (logits->config->output_width == 0)
        return x;
    linear(logits, x, rows, &logits->weights->projection, NULL, logits->features,
           logits->width);
    return logits->features;
}

/* Returns the input of a cluster's table: x, x projected to the cluster's width, or what a dense
 * layer makes of x. */
static const float *project(const MegaLogits *logits, int cluster, const float *x, size_t rows)
{
    const MegaClusterWeights *weights = &logits->weights->clusters[cluster];
    size_t width = (size_t)logits->config->output.width[cluster];
    if (weights->projection.panels) {
        linear(logits, x, rows, &weights->projection, NULL, logits->projected, width);
        return logits->projected;
    }
    if (logits->config->output_dense) {
        const MegaLinearWeights *dense = &logits->weights->dense;
        MegaLinear l = {.x = x,
                        .ldx = logits->width,
                        .weight = &dense->weight,
                        .y = logits->dense,
                        .ldy = logits->width,
                        .epilogue = {.function = MEGA_FUNCTION_TANH, .bias = dense->bias}};
        mega_linear_run(logits->pool, logits->kernels, &l, 1, rows);
        return logits->dense;
    }
    return x;
}

/* Computes the logits of a cluster's words. For the first cluster of an adaptive softmax, the
 * logits of the other clusters follow those of its words. */
static void word_logits(const MegaLogits *logits, int cluster, const float *x, size_t rows,
                        float *out, size_t ldo)
{
    const MegaTargetConfig *config = logits->config;
    linear(logits, project(logits, cluster, x, rows), rows,
           &logits->weights->clusters[cluster].table, logits->weights->bias, out, ldo);
    if (cluster == 0 && config->split_head && tail_count(logits) > 0)
        linear(logits, x, rows, &logits->weights->cluster_logits, NULL, out + config->output.end[0],
               ldo);
}

static void subtract(float *x, size_t n, double amount)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(x[i] - amount);
}

/* ---- All words, or the best of them ---------------------------------------------------------- */

/* The rows of one mega_logits_run, which computes one cluster after the other. out is
 * [rows][vocab]. */
typedef struct Rows {
    const MegaLogits *logits;
    int cluster;
    float *out;
} Rows;

#define HEAP_ITEM float
#define HEAP_ABOVE(a, b) (*(a) < *(b))
#include "src/base/heap_tmpl.h"

/* Offers the values of x [count] to heap [n], n > 0, which keeps the n largest so far with the
 * smallest of them on top. */
static void keep_largest(float *heap, size_t n, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (x[i] > heap[0])
            heap_replace(heap, n, x[i]);
}

static void note_known(const MegaLogits *logits, size_t row, const float *x, size_t count)
{
    if (logits->exact_top > 0)
        keep_largest(logits->top_known + row * logits->exact_top, logits->exact_top, x, count);
}

/* Returns the log-probability of a tail cluster, that is of all its words together. */
static float cluster_score(const MegaLogits *logits, int cluster, size_t row)
{
    size_t first = (size_t)logits->config->output.end[0];
    return logits->head[row * head_size(logits) + first + (size_t)cluster - 1];
}

/* Returns whether a word of the cluster may be among the largest values of the row. If a number is
 * NaN, it always may. */
static bool needs_cluster(const MegaLogits *logits, int cluster, size_t row)
{
    float score = cluster_score(logits, cluster, row);
    float most = score + 1e-4f * (1 + fabsf(score)); /* the probabilities of the words add up to
                                                        1 only up to rounding */
    return logits->exact_top == 0 || !(most < logits->top_known[row * logits->exact_top]);
}

static void finish_head(void *context, size_t row, int worker)
{
    const Rows *rows = context;
    const MegaLogits *logits = rows->logits;
    size_t head = head_size(logits), first = (size_t)logits->config->output.end[0];
    float *scores = logits->head + row * head;
    (void)worker;
    subtract(scores, head, logits->kernels->log_sum_exp(scores, head));
    memcpy(rows->out + row * (size_t)logits->config->vocab, scores, first * sizeof *scores);
    for (size_t i = 0; i < logits->exact_top; i++)
        logits->top_known[row * logits->exact_top + i] = -INFINITY;
    note_known(logits, row, scores, first);
}

static void finish_tail(void *context, size_t row, int worker)
{
    const Rows *rows = context;
    const MegaLogits *logits = rows->logits;
    const MegaClusters *clusters = &logits->config->output;
    size_t words = (size_t)mega_cluster_size(clusters, rows->cluster);
    float *out = rows->out + row * (size_t)logits->config->vocab + clusters->end[rows->cluster - 1];
    (void)worker;
    if (needs_cluster(logits, rows->cluster, row)) {
        subtract(out, words,
                 logits->kernels->log_sum_exp(out, words) -
                     cluster_score(logits, rows->cluster, row));
        note_known(logits, row, out, words);
    } else {
        for (size_t i = 0; i < words; i++)
            out[i] = -INFINITY;
    }
}

/* Computes the logits of a tail's words for the rows that need them. */
static void tail_logits(const MegaLogits *logits, int cluster, const float *x, size_t rows,
                        float *out)
{
    const MegaClusters *clusters = &logits->config->output;
    size_t d = logits->width, vocab = (size_t)logits->config->vocab, count = 0;
    size_t words = (size_t)mega_cluster_size(clusters, cluster);
    out += clusters->end[cluster - 1];
    for (size_t row = 0; row < rows; row++)
        if (needs_cluster(logits, cluster, row))
            logits->chosen[count++] = (int32_t)row;
    if (count < rows)
        for (size_t i = 0; i < count; i++)
            memcpy(logits->gathered + i * d, x + (size_t)logits->chosen[i] * d, d * sizeof *x);
    if (count > 0)
        word_logits(logits, cluster, count < rows ? logits->gathered : x, count, out, vocab);
    for (size_t i = count; i-- > 0;) /* move each row to its place, which is never before its
                                        present one */
        if ((size_t)logits->chosen[i] != i)
            memcpy(out + (size_t)logits->chosen[i] * vocab, out + i * vocab, words * sizeof *out);
}

void mega_logits_run(const MegaLogits *logits, const float *x, size_t rows, float *out)
{
    Rows work = {.logits = logits, .out = out};
    if (!logits->config->adaptive_output) {
        const MegaPacked *table = &logits->weights->clusters[0].table;
        MegaLinear l = {.x = project(logits, 0, x, rows),
                        .ldx = table->in,
                        .weight = table,
                        .epilogue = {.bias = logits->weights->bias},
                        .y = out,
                        .ldy = (size_t)logits->config->vocab,
                        .block_top = logits->block_top,
                        .block_sum = logits->block_sum,
                        .blocks = logits->blocks};
        mega_linear_run(logits->pool, logits->kernels, &l, 1, rows);
        return;
    }
    x = features(logits, x, rows);
    word_logits(logits, 0, x, rows, logits->head, head_size(logits));
    mega_pool_run(logits->pool, rows, finish_head, &work);
    for (work.cluster = 1; work.cluster < logits->config->output.count; work.cluster++) {
        tail_logits(logits, work.cluster, x, rows, out);
        mega_pool_run(logits->pool, rows, finish_tail, &work);
    }
}

/* ---- Scores of given words ------------------------------------------------------------------ */

/* Computes the log-probabilities within a cluster for chosen rows. x is [rows][d], targets count
 * from the cluster's first word, and the softmax runs over `size` words. */
static void score_cluster(const MegaLogits *logits, int cluster, const float *x, size_t rows,
                          size_t size, const int32_t *targets, float *logprobs)
{
    for (size_t begin = 0; begin < rows; begin += MEGA_SCORE_ROWS) {
        size_t count = mega_min_size(MEGA_SCORE_ROWS, rows - begin);
        word_logits(logits, cluster, x + begin * logits->width, count, logits->words, size);
        for (size_t row = 0; row < count; row++) {
            const float *scores = logits->words + row * size;
            logprobs[begin + row] =
                (float)(scores[targets[begin + row]] - logits->kernels->log_sum_exp(scores, size));
        }
    }
}

/* Collects the rows whose target is in the cluster, in order. */
static size_t gather_cluster(const MegaLogits *logits, int cluster, const float *x, size_t rows,
                             const int32_t *targets, int32_t *inside, int32_t *from)
{
    const MegaClusters *clusters = &logits->config->output;
    size_t count = 0, d = logits->width;
    for (size_t row = 0; row < rows; row++) {
        if (targets[row] < clusters->end[cluster - 1] || targets[row] >= clusters->end[cluster])
            continue;
        memcpy(logits->gathered + count * d, x + row * d, d * sizeof *x);
        inside[count] = targets[row] - clusters->end[cluster - 1];
        from[count++] = (int32_t)row;
    }
    return count;
}

static void score_block(const MegaLogits *logits, const float *x, size_t rows,
                        const int32_t *targets, float *logprobs)
{
    const MegaClusters *clusters = &logits->config->output;
    size_t head = head_size(logits), first = (size_t)clusters->end[0];
    int32_t inside[MEGA_SCORE_ROWS], from[MEGA_SCORE_ROWS];
    float tail[MEGA_SCORE_ROWS];
    word_logits(logits, 0, x, rows, logits->head, head);
    for (size_t row = 0; row < rows; row++) {
        float *scores = logits->head + row * head;
        size_t entry = (size_t)targets[row];
        for (int cluster = 1; cluster < clusters->count; cluster++)
            if (targets[row] >= clusters->end[cluster - 1])
                entry = first + (size_t)cluster - 1;
        logprobs[row] = (float)(scores[entry] - logits->kernels->log_sum_exp(scores, head));
    }
    for (int cluster = 1; cluster < clusters->count; cluster++) {
        size_t count = gather_cluster(logits, cluster, x, rows, targets, inside, from);
        score_cluster(logits, cluster, logits->gathered, count,
                      (size_t)mega_cluster_size(clusters, cluster), inside, tail);
        for (size_t i = 0; i < count; i++)
            logprobs[from[i]] += tail[i];
    }
}

void mega_logits_score(const MegaLogits *logits, const float *x, size_t rows,
                       const int32_t *targets, float *logprobs)
{
    if (!logits->config->adaptive_output) {
        score_cluster(logits, 0, x, rows, (size_t)logits->config->vocab, targets, logprobs);
        return;
    }
    x = features(logits, x, rows);
    for (size_t begin = 0; begin < rows; begin += MEGA_SCORE_ROWS)
        score_block(logits, x + begin * logits->width, mega_min_size(MEGA_SCORE_ROWS, rows - begin),
                    targets + begin, logprobs + begin);
}
