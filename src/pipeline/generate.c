/*
 * generate.c - continues a text, token by token.
 *
 * Several samples are sequences of one decoder and are drawn side by side. Text that can no longer
 * change goes to the sink at once, so that memory does not grow with a text that nobody keeps.
 */
#define _GNU_SOURCE /* memmem */
#include <stdlib.h>
#include <string.h>

#include "src/decode/decoder.h"
#include "src/pipeline/pipeline.h"

/* Stands for one text that is being generated. */
typedef struct Sample {
    MegaSampler *sampler;
    MegaBuffer pending;      /* bytes that may still be cut off, or part of a character */
    MegaBuffer text, tokens; /* the whole result, if it is kept */
    int count;               /* number of tokens */
    bool ended;
    MegaFinish finish; /* why, once it has ended */
} Sample;

typedef struct Generator {
    MegaPipeline *pipeline;
    const MegaGenerateOptions *options;
    bool keeps;
    MegaDecoder *decoder;
    MegaIds prompt;
    Sample *samples; /* [options->samples] */
    float *logits;   /* [samples][vocab] */
    int *live;       /* [samples] number of the sample that each sequence of the decoder belongs
                        to */
    int *parents;    /* [samples] */
    int32_t *next;   /* [samples] tokens */
} Generator;

MegaGenerateOptions mega_generate_defaults(void)
{
    return (MegaGenerateOptions){
        .sampling = mega_sampling_defaults(), .max_tokens = 256, .samples = 1};
}

void mega_generation_free(MegaGeneration *generation)
{
    if (!generation)
        return;
    mega_text_free(&generation->text);
    free(generation->tokens);
    *generation = (MegaGeneration){0};
}

/* ---- Text that can no longer change --------------------------------------------------------- */

/* Returns how many bytes at the end of a text may still become part of a stop or of a character. */
static size_t undecided(const MegaGenerateOptions *options, const MegaBuffer *text)
{
    size_t held = 0;
    for (int i = 0; i < options->stop_count; i++) {
        const size_t length = strlen(options->stops[i]);
        for (size_t n = length - 1; n > held; n--)
            if (n <= text->size && memcmp(text->data + text->size - n, options->stops[i], n) == 0)
                held = n;
    }
    for (size_t n = 1; n < 4 && n <= text->size; n++) {
        const uint8_t byte = text->data[text->size - n];
        const size_t wanted = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
        if (wanted > n && held < n)
            held = n;
        if ((byte & 0xc0) != 0x80)
            break;
    }
    return held;
}

/* Returns where the first stop in a text begins, or the size of the text if there is none. */
static size_t find_stop(const MegaGenerateOptions *options, const MegaBuffer *text)
{
    size_t first = text->size;
    for (int i = 0; i < options->stop_count && first > 0; i++) {
        const char *stop = options->stops[i];
        const uint8_t *at = memmem(text->data, text->size, stop, strlen(stop));
        if (at && (size_t)(at - text->data) < first)
            first = (size_t)(at - text->data);
    }
    return first;
}

static void end(Sample *sample, MegaFinish finish)
{
    sample->ended = true;
    sample->finish = finish;
}

/* Hands a token and the bytes that can no longer change to the sink. */
static void hand_on(Generator *g, int index, int32_t token)
{
    Sample *sample = &g->samples[index];
    MegaBuffer *pending = &sample->pending;
    const size_t size = pending->size - (sample->ended ? 0 : undecided(g->options, pending));
    const char *bytes = size ? (const char *)pending->data : "";
    if (g->keeps)
        mega_put_bytes(&sample->text, bytes, size);
    if (g->options->sink && !g->options->sink(g->options->context, index, token, bytes, size) &&
        !sample->ended)
        end(sample, MEGA_FINISH_REFUSED);
    if (size)
        memmove(pending->data, pending->data + size, pending->size - size);
    pending->size -= size;
}

static void take_token(Generator *g, int index, int32_t token)
{
    Sample *sample = &g->samples[index];
    const MegaPipeline *p = g->pipeline;
    const bool first = sample->count++ == 0;
    const bool is_eos = token == mega_model_config(p->model)->target.eos && !g->options->ignore_eos;
    if (g->keeps)
        mega_put_u32(&sample->tokens, (uint32_t)token);
    if (p->target && !p->ids && !is_eos)
        mega_tokenizer_decode_next(p->target, token, first, &sample->pending);
    const size_t size = find_stop(g->options, &sample->pending);
    if (is_eos)
        end(sample, MEGA_FINISH_END);
    else if (size < sample->pending.size)
        end(sample, MEGA_FINISH_STOP);
    else if (sample->count == g->options->max_tokens || mega_decoder_full(g->decoder))
        end(sample, MEGA_FINISH_LENGTH);
    sample->pending.size = size;
    hand_on(g, index, token);
}

/* ---- Running -------------------------------------------------------------------------------- */

/* Reads the prompt; all samples continue after it. */
static int read_prompt(Generator *g, MegaError *err)
{
    const int samples = g->options->samples;
    const size_t vocab = (size_t)mega_model_vocab_size(g->pipeline->model);
    const MegaIds *prompt = &g->prompt;
    int code = mega_decoder_begin(g->decoder, NULL, 1, err);
    if (!code && prompt->count > 1)
        code = mega_decoder_feed(g->decoder, prompt->ids, prompt->count - 1, NULL, err);
    if (!code)
        code = mega_decoder_feed(g->decoder, prompt->ids + prompt->count - 1, 1, g->logits, err);
    if (!code)
        code = mega_decoder_select(g->decoder, g->parents, samples, err);
    for (int i = 1; i < samples && !code; i++)
        memcpy(g->logits + (size_t)i * vocab, g->logits, vocab * sizeof *g->logits);
    for (int i = 0; i < samples && !code; i++)
        for (size_t t = 0; t < prompt->count; t++)
            mega_sampler_note(g->samples[i].sampler, prompt->ids[t]);
    return code;
}

/* Draws a token for each of the live sequences. Sets *count to the number that continue. */
static int draw_tokens(Generator *g, int *count, MegaError *err)
{
    const size_t vocab = (size_t)mega_model_vocab_size(g->pipeline->model);
    int going = 0;
    for (int i = 0; i < *count; i++) {
        Sample *sample = &g->samples[g->live[i]];
        const int32_t token = mega_sampler_next(sample->sampler, g->logits + (size_t)i * vocab);
        if (token < 0)
            return mega_fail(err, MEGA_ERR_MODEL,
                             "token %d: the model gives no finite logits; its checksums tell "
                             "whether the file is damaged",
                             sample->count + 1);
        if (g->options->logits)
            g->options->logits(g->options->context, g->live[i], token,
                               g->logits + (size_t)i * vocab);
        take_token(g, g->live[i], token);
        if (sample->text.failed || sample->pending.failed || sample->tokens.failed)
            return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the text");
        if (sample->ended)
            continue;
        g->parents[going] = i;
        g->next[going] = token;
        g->live[going++] = g->live[i];
    }
    *count = going;
    return 0;
}

/* Draws until all samples have ended. The logits of the prompt are those of every sample. */
static int draw(Generator *g, MegaError *err)
{
    const int samples = g->options->samples;
    int count = 0, code = 0;
    for (int i = 0; i < samples; i++) {
        if (g->options->sink && !g->options->sink(g->options->context, i, -1, "", 0)) {
            end(&g->samples[i], MEGA_FINISH_REFUSED);
            continue;
        }
        g->parents[count] = i;
        g->live[count++] = i;
    }
    if (count > 0 && count < samples)
        code = mega_decoder_select(g->decoder, g->parents, count, err);
    while (count > 0 && !code) {
        const int before = count;
        code = draw_tokens(g, &count, err);
        if (!code && count > 0 && count < before)
            code = mega_decoder_select(g->decoder, g->parents, count, err);
        if (!code && count > 0)
            code = mega_decoder_step(g->decoder, g->next, g->logits, err);
    }
    return code;
}

/* ---- Making --------------------------------------------------------------------------------- */

static int check_options(const MegaGenerateOptions *options, const MegaGeneration *out,
                         MegaError *err)
{
    if (options->samples < 1 || options->max_tokens < 1)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "%d samples of at most %d tokens make no sense; expected 1 or more",
                         options->samples, options->max_tokens);
    if (options->stop_count < 0)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "%d stops; expected 0 or more",
                         options->stop_count);
    if (options->stop_count > 0 && !options->stops)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "%d stops, but the pointer to them is NULL",
                         options->stop_count);
    for (int i = 0; i < options->stop_count; i++)
        if (!options->stops[i] || !options->stops[i][0])
            return mega_fail(err, MEGA_ERR_ARGUMENT, "a stop is empty; expected a text");
    if (!out && !options->sink)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "nobody takes the text: no sink and no result");
    return 0;
}

static int make_samples(Generator *g, MegaError *err)
{
    const size_t samples = (size_t)g->options->samples;
    const MegaModel *model = g->pipeline->model;
    int code = 0;
    g->samples = calloc(samples, sizeof *g->samples);
    g->logits = malloc(samples * (size_t)mega_model_vocab_size(model) * sizeof *g->logits);
    g->live = calloc(samples, sizeof *g->live);
    g->parents = calloc(samples, sizeof *g->parents);
    g->next = calloc(samples, sizeof *g->next);
    if (!g->samples || !g->logits || !g->live || !g->parents || !g->next)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu samples", samples);
    for (size_t i = 0; i < samples && !code; i++) {
        MegaSamplingOptions sampling = g->options->sampling;
        sampling.seed += i;
        code = mega_sampler_new(&g->samples[i].sampler, model, &sampling, err);
    }
    return code;
}

static int take_sample(Sample *sample, MegaGeneration *out, MegaError *err)
{
    const size_t count = sample->tokens.size / 4;
    *out = (MegaGeneration){.count = count,
                            .finish = sample->finish,
                            .tokens = malloc((count + 1) * sizeof *out->tokens)};
    if (!out->tokens)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the text");
    for (size_t i = 0; i < count; i++)
        out->tokens[i] = (int32_t)mega_load_u32(sample->tokens.data + 4 * i);
    return mega_text_take(&out->text, &sample->text, err);
}

static void free_generator(Generator *g)
{
    for (int i = 0; g->samples && i < g->options->samples; i++) {
        mega_sampler_free(g->samples[i].sampler);
        mega_buffer_free(&g->samples[i].pending);
        mega_buffer_free(&g->samples[i].text);
        mega_buffer_free(&g->samples[i].tokens);
    }
    free(g->samples);
    free(g->logits);
    free(g->live);
    free(g->parents);
    free(g->next);
    mega_ids_free(&g->prompt);
    mega_decoder_free(g->decoder);
}

int mega_pipeline_generate(MegaPipeline *p, const MegaRaw *prompt,
                           const MegaGenerateOptions *options, MegaGeneration *out, MegaError *err)
{
    const MegaGenerateOptions defaults = mega_generate_defaults();
    Generator g = {.pipeline = p, .options = options ? options : &defaults, .keeps = out != NULL};
    /* a sink that wants logits gets all of them */
    const int exact_top = g.options->logits ? 0 : mega_sampling_exact_top(&g.options->sampling);
    const MegaDecoderOptions decoder = {.sequences = g.options->samples, .chunk = p->chunk,
                                        .exact_top = exact_top};
    for (int i = 0; out && i < g.options->samples; i++)
        out[i] = (MegaGeneration){0};
    int code = check_options(g.options, out, err);
    if (code)
        return code;
    code = mega_pipeline_need_task(p, MEGA_TASK_GENERATE, "continue a text", err);
    if (!code)
        code = mega_pipeline_encode_prompt(p, prompt, &g.prompt, err);
    if (!code)
        code = mega_decoder_new(&g.decoder, p->session, &decoder, err);
    if (!code)
        code = make_samples(&g, err);
    if (!code)
        code = read_prompt(&g, err);
    if (!code)
        code = draw(&g, err);
    for (int i = 0; out && i < g.options->samples && !code; i++)
        code = take_sample(&g.samples[i], &out[i], err);
    for (int i = 0; out && i < g.options->samples && code; i++)
        mega_generation_free(&out[i]);
    free_generator(&g);
    return code;
}
