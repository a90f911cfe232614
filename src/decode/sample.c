/*
 * sample.c - draws the next token from the logits of a decoder's last step (mega_engine.h,
 * MegaSampler): penalties for tokens that occurred, temperature, top-k and top-p, then a random
 * number; or greedily.
 */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/float_mode.h"

#include "src/model/model.h"

typedef struct Choice {
    double weight; /* proportional to the probability */
    int32_t token;
} Choice;

struct MegaSampler {
    MegaSamplingOptions options;
    int vocab, pad;
    uint64_t state[4];
    bool *seen;      /* [vocab] */
    uint32_t *drawn; /* [vocab], how often */
    Choice *choices; /* [vocab] */
};

MegaSamplingOptions mega_sampling_defaults(void)
{
    return (MegaSamplingOptions){.temperature = 1, .top_p = 1, .repetition_penalty = 1};
}

int mega_sampling_exact_top(const MegaSamplingOptions *options)
{
    if (options->repetition_penalty != 1.0 || options->presence_penalty != 0.0 ||
        options->frequency_penalty != 0.0) /* any token seen may fall behind others */
        return 0;
    int drawn = options->greedy ? 1 : options->top_k;
    return drawn > 0 && drawn < INT_MAX ? drawn + 1 : 0; /* one more for <pad>, which is never
                                                            drawn */
}

/* ---- Random numbers: xoshiro256** of Blackman and Vigna, seeded by splitmix64 ---------------- */

static uint64_t splitmix(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

/* Returns a uniform number in [0, 1) with 53 bits. */
static double uniform(uint64_t state[4])
{
    uint64_t result = rotate(state[1] * 5, 7) * 9, shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate(state[3], 45);
    return (double)(result >> 11) * 0x1p-53;
}

/* ---- The sampler ---------------------------------------------------------------------------- */

static int check_options(const MegaSamplingOptions *options, MegaError *err)
{
    if (!(options->temperature > 0) || !isfinite(options->temperature))
        return mega_fail(err, MEGA_ERR_ARGUMENT, "a temperature of %g; expected more than 0",
                         options->temperature);
    if (options->top_k < 0)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "top_k is %d; expected 0 (off) or more",
                         options->top_k);
    if (!(options->top_p > 0) || options->top_p > 1)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "top_p is %g; expected more than 0, and at most 1 (off)", options->top_p);
    if (!(options->repetition_penalty > 0) || !isfinite(options->repetition_penalty))
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a repetition penalty of %g; expected more than 0, 1 being off",
                         options->repetition_penalty);
    if (!isfinite(options->presence_penalty) || !isfinite(options->frequency_penalty))
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "a presence penalty of %g and a frequency penalty of %g; expected finite "
                         "numbers",
                         options->presence_penalty, options->frequency_penalty);
    return 0;
}

int mega_sampler_new(MegaSampler **out, const MegaModel *model, const MegaSamplingOptions *options,
                     MegaError *err)
{
    MegaSamplingOptions defaults = mega_sampling_defaults();
    const MegaTargetConfig *target = &model->config.target;
    *out = NULL;
    options = options ? options : &defaults;
    if (!mega_config_has_decoder(&model->config))
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the model %s: it generates no tokens",
                         mega_task_traits(model->config.task)->does);
    int code = check_options(options, err);
    if (code)
        return code;
    MegaSampler *sampler = calloc(1, sizeof *sampler);
    if (sampler) {
        sampler->seen = calloc((size_t)target->vocab, sizeof *sampler->seen);
        sampler->drawn = calloc((size_t)target->vocab, sizeof *sampler->drawn);
        sampler->choices = malloc((size_t)target->vocab * sizeof *sampler->choices);
    }
    if (!sampler || !sampler->seen || !sampler->drawn || !sampler->choices) {
        mega_sampler_free(sampler);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a sampler");
    }
    sampler->options = *options;
    sampler->vocab = target->vocab;
    sampler->pad = target->pad;
    uint64_t seed = options->seed;
    for (int i = 0; i < 4; i++)
        sampler->state[i] = splitmix(&seed);
    *out = sampler;
    return 0;
}

void mega_sampler_free(MegaSampler *sampler)
{
    if (!sampler)
        return;
    free(sampler->seen);
    free(sampler->drawn);
    free(sampler->choices);
    free(sampler);
}

void mega_sampler_note(MegaSampler *sampler, int32_t token)
{
    if (token >= 0 && token < sampler->vocab)
        sampler->seen[token] = true;
}

static double penalised(const MegaSampler *sampler, const float *logits, int token)
{
    const MegaSamplingOptions *options = &sampler->options;
    const uint32_t drawn = sampler->drawn[token];
    double logit = logits[token], penalty = options->repetition_penalty;
    if (penalty != 1.0 && sampler->seen[token])
        logit = logit > 0 ? logit / penalty : logit * penalty;
    if (drawn > 0)
        logit -= options->presence_penalty + options->frequency_penalty * (double)drawn;
    return logit;
}

static int heavier_first(const void *a, const void *b)
{
    const Choice *left = a, *right = b;
    if (left->weight != right->weight)
        return left->weight < right->weight ? 1 : -1;
    return left->token < right->token ? -1 : 1;
}

/* Keeps the choices that top-k and top-p allow. Returns their number and total weight. */
static int restrict_choices(MegaSampler *sampler, int count, double *total)
{
    Choice *choices = sampler->choices;
    const MegaSamplingOptions *options = &sampler->options;
    bool nucleus = options->top_p < 1.0;
    if (options->top_k == 0 && !nucleus)
        return count;
    if (nucleus && options->top_k == 0) { /* choices below this weight have less than 1 - p
                                             together */
        double least = (1.0 - options->top_p) * *total / count;
        int kept = 0;
        for (int i = 0; i < count; i++)
            if (choices[i].weight >= least)
                choices[kept++] = choices[i];
        count = kept;
    }
    qsort(choices, (size_t)count, sizeof *choices, heavier_first);
    if (options->top_k > 0 && options->top_k < count)
        count = options->top_k;
    double whole = *total, sum = 0;
    if (options->top_k > 0) {
        whole = 0;
        for (int i = 0; i < count; i++)
            whole += choices[i].weight;
    }
    int kept = 0;
    while (kept < count && (kept == 0 || !nucleus || sum < options->top_p * whole))
        sum += choices[kept++].weight;
    *total = sum;
    return kept;
}

int32_t mega_sampler_next(MegaSampler *sampler, const float *logits)
{
    MEGA_WITH_FLOAT_MODE;
    double best = -INFINITY, total = 0;
    int32_t token = -1;
    int count = 0;
    for (int i = 0; i < sampler->vocab; i++) {
        double logit = penalised(sampler, logits, i);
        if (i != sampler->pad && logit > best) {
            best = logit;
            token = i;
        }
    }
    if (!isfinite(best)) /* all are NaN or infinite, or one is +infinity */
        return -1;
    if (!sampler->options.greedy) {
        for (int i = 0; i < sampler->vocab; i++) {
            double logit = penalised(sampler, logits, i) - best;
            if (i == sampler->pad || isnan(logit))
                continue;
            sampler->choices[count] = (Choice){exp(logit / sampler->options.temperature), i};
            total += sampler->choices[count++].weight;
        }
        count = restrict_choices(sampler, count, &total);
        double rest = uniform(sampler->state) * total;
        token = sampler->choices[count - 1].token;
        for (int i = 0; i < count; i++) {
            if (rest < sampler->choices[i].weight) {
                token = sampler->choices[i].token;
                break;
            }
            rest -= sampler->choices[i].weight;
        }
    }
    mega_sampler_note(sampler, token);
    if (sampler->drawn[token] < UINT32_MAX)
        sampler->drawn[token]++;
    return token;
}
