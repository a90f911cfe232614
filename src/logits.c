/*
 * logits.c - see logits.h.
 */
#include "logits.h"

#include <string.h>

#include "linear.h"

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t slot_count(const MegaLogits *logits)
{
    return logits->config->adaptive_output ? (size_t)logits->config->output.count - 1 : 0;
}

/* Words of the first band and slots: what the head's softmax runs over. */
static size_t head_size(const MegaLogits *logits)
{
    return (size_t)logits->config->output.end[0] + slot_count(logits);
}

void mega_logits_take(MegaLogits *logits, size_t rows, MegaArena *arena)
{
    const MegaBands *bands = &logits->config->output;
    int widest = 0, largest = 0;
    for (int i = 0; i < bands->count; i++) {
        widest = bands->width[i] > widest ? bands->width[i] : widest;
        largest = mega_band_size(bands, i) > largest ? mega_band_size(bands, i) : largest;
    }
    bool adaptive = logits->config->adaptive_output;
    logits->gathered = mega_arena_floats(arena, adaptive ? rows * logits->width : 0);
    logits->projected = mega_arena_floats(arena, (uint64_t)rows * (uint64_t)widest);
    logits->head = mega_arena_floats(arena, adaptive ? (uint64_t)rows * head_size(logits) : 0);
    logits->words = mega_arena_floats(arena, (uint64_t)MEGA_SCORE_ROWS * (uint64_t)largest);
    logits->block_top = logits->block_sum = NULL;
    logits->blocks = ((size_t)logits->config->vocab + MEGA_LINEAR_BLOCK - 1) / MEGA_LINEAR_BLOCK;
    if (!adaptive) {
        logits->block_top = mega_arena_floats(arena, (uint64_t)rows * logits->blocks);
        logits->block_sum = mega_arena_floats(arena, (uint64_t)rows * logits->blocks);
    }
}

static void linear(const MegaLogits *logits, const float *x, size_t rows, const MegaPacked *weight,
                   float *y, size_t ldy)
{
    MegaLinear l = {.x = x, .ldx = weight->in, .weight = weight, .y = y, .ldy = ldy};
    mega_linear_run(logits->pool, logits->kernels, &l, 1, rows);
}

/* What the table of a band is multiplied with: x, or x projected to the band's width. */
static const float *project(const MegaLogits *logits, int band, const float *x, size_t rows)
{
    const MegaBandWeights *weights = &logits->weights->bands[band];
    size_t d = logits->width, width = (size_t)logits->config->output.width[band];
    if (weights->projection.panels) {
        linear(logits, x, rows, &weights->projection, logits->projected, width);
        return logits->projected;
    }
    if (!weights->transposed)
        return x;
    /* stored [d][width]: few columns, so the rows of it are added up */
    memset(logits->projected, 0, rows * width * sizeof(float));
    for (size_t row = 0; row < rows; row++)
        logits->kernels->attend_values(x + row * d, weights->transposed, width, NULL, d, width,
                                       width, logits->projected + row * width);
    return logits->projected;
}

/* Logits of a band's words. The first band of an adaptive softmax has slots behind its words. */
static void band_logits(const MegaLogits *logits, int band, const float *x, size_t rows, float *out,
                        size_t ldo)
{
    const MegaTargetConfig *config = logits->config;
    linear(logits, project(logits, band, x, rows), rows, &logits->weights->bands[band].table, out,
           ldo);
    if (band == 0 && config->split_head && slot_count(logits) > 0)
        linear(logits, x, rows, &logits->weights->slots, out + config->output.end[0], ldo);
}

static void subtract(float *x, size_t n, double amount)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(x[i] - amount);
}

void mega_logits_run(const MegaLogits *logits, const float *x, size_t rows, float *out)
{
    const MegaBands *bands = &logits->config->output;
    const MegaKernels *kernels = logits->kernels;
    size_t vocab = (size_t)logits->config->vocab, first = (size_t)bands->end[0];
    size_t head = head_size(logits);
    if (!logits->config->adaptive_output) {
        const MegaPacked *table = &logits->weights->bands[0].table;
        MegaLinear l = {.x = project(logits, 0, x, rows), .ldx = table->in, .weight = table,
                        .y = out, .ldy = vocab, .block_top = logits->block_top,
                        .block_sum = logits->block_sum, .blocks = logits->blocks};
        mega_linear_run(logits->pool, logits->kernels, &l, 1, rows);
        return;
    }
    band_logits(logits, 0, x, rows, logits->head, head);
    for (size_t row = 0; row < rows; row++) {
        float *scores = logits->head + row * head;
        subtract(scores, head, kernels->log_sum_exp(scores, head));
        memcpy(out + row * vocab, scores, first * sizeof *out);
    }
    for (int band = 1; band < bands->count; band++) {
        size_t words = (size_t)mega_band_size(bands, band);
        float *to = out + bands->end[band - 1];
        band_logits(logits, band, x, rows, to, vocab);
        for (size_t row = 0; row < rows; row++, to += vocab)
            subtract(to, words,
                     kernels->log_sum_exp(to, words) -
                         logits->head[row * head + first + (size_t)band - 1]);
    }
}

/* Log-probabilities within a band of chosen rows: x [rows][d] in order, targets counted from the
 * band's first word; `size` of them are summed over. */
static void score_band(const MegaLogits *logits, int band, const float *x, size_t rows,
                       size_t size, const int32_t *targets, float *logprobs)
{
    for (size_t begin = 0; begin < rows; begin += MEGA_SCORE_ROWS) {
        size_t count = min_size(MEGA_SCORE_ROWS, rows - begin);
        band_logits(logits, band, x + begin * logits->width, count, logits->words, size);
        for (size_t row = 0; row < count; row++) {
            const float *scores = logits->words + row * size;
            logprobs[begin + row] = (float)(scores[targets[begin + row]] -
                                            logits->kernels->log_sum_exp(scores, size));
        }
    }
}

/* Rows whose target lies in the band, in order. */
static size_t gather_band(const MegaLogits *logits, int band, const float *x, size_t rows,
                          const int32_t *targets, int32_t *inside, int32_t *from)
{
    const MegaBands *bands = &logits->config->output;
    size_t count = 0, d = logits->width;
    for (size_t row = 0; row < rows; row++) {
        if (targets[row] < bands->end[band - 1] || targets[row] >= bands->end[band])
            continue;
        memcpy(logits->gathered + count * d, x + row * d, d * sizeof *x);
        inside[count] = targets[row] - bands->end[band - 1];
        from[count++] = (int32_t)row;
    }
    return count;
}

static void score_block(const MegaLogits *logits, const float *x, size_t rows,
                        const int32_t *targets, float *logprobs)
{
    const MegaBands *bands = &logits->config->output;
    size_t head = head_size(logits), first = (size_t)bands->end[0];
    int32_t inside[MEGA_SCORE_ROWS], from[MEGA_SCORE_ROWS];
    float tail[MEGA_SCORE_ROWS];
    band_logits(logits, 0, x, rows, logits->head, head);
    for (size_t row = 0; row < rows; row++) {
        float *scores = logits->head + row * head;
        size_t entry = (size_t)targets[row];
        for (int band = 1; band < bands->count; band++)
            if (targets[row] >= bands->end[band - 1])
                entry = first + (size_t)band - 1;
        logprobs[row] =
            (float)(scores[entry] - logits->kernels->log_sum_exp(scores, head));
    }
    for (int band = 1; band < bands->count; band++) {
        size_t count = gather_band(logits, band, x, rows, targets, inside, from);
        score_band(logits, band, logits->gathered, count, (size_t)mega_band_size(bands, band),
                   inside, tail);
        for (size_t i = 0; i < count; i++)
            logprobs[from[i]] += tail[i];
    }
}

void mega_logits_score(const MegaLogits *logits, const float *x, size_t rows,
                       const int32_t *targets, float *logprobs)
{
    if (!logits->config->adaptive_output) {
        score_band(logits, 0, x, rows, (size_t)logits->config->vocab, targets, logprobs);
        return;
    }
    for (size_t begin = 0; begin < rows; begin += MEGA_SCORE_ROWS)
        score_block(logits, x + begin * logits->width, min_size(MEGA_SCORE_ROWS, rows - begin),
                    targets + begin, logprobs + begin);
}
