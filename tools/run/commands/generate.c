/*
 * generate.c - mega-run generate: goes on with a prompt, token by token.
 *
 * Several samples are sequences of one decoder and drawn side by side. A single one streams: what
 * cannot change any more is printed at once, so that memory does not grow with the text.
 */
#define _GNU_SOURCE /* memmem */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/tokenizer.h"
#include "src/decode/decoder.h"
#include "src/encode/session.h"
#include "src/model/model.h"
#include "tools/common/progress.h"
#include "tools/run/command_line.h"
#include "tools/run/find_model.h"
#include "tools/run/lines.h"
#include "tools/run/options.h"
#include "tools/run/text_argument.h"
#include "tools/run/verbose.h"

static const char help[] =
    "Usage: mega-run generate [-m MODEL] [PROMPT | FILE]\n"
    "\n"
    "Goes on with a text, as a language model sees fit, and prints what it makes. The text is the\n"
    "argument, or that of a file of this name; '-' is standard input. Without one it begins a "
    "line.\n"
    "\n"
    "  -m, --model FILE        the model (the shipped language model)\n"
    "      --max-tokens N      at most N tokens (256)\n"
    "      --greedy            always the most probable token\n"
    "      --temperature X     below 1 bolder words become rarer, 0 is --greedy (1)\n"
    "      --top-k K           only the K most probable tokens (off)\n"
    "      --top-p P           only the most probable tokens, of mass P (off)\n"
    "      --repetition-penalty X   makes tokens that were there less probable (1: off)\n"
    "  -s, --seed N            the same seed gives the same text (drawn anew each time)\n"
    "  -p, --text TEXT         the prompt, whatever it looks like\n"
    "      --echo              print the prompt, too\n"
    "      --stop TEXT         ends before TEXT; may be given several times\n"
    "      --ignore-eos        does not end at </s>\n"
    "      --n N               N samples, one after the other (1)\n"
    "      --chunk N           other chunk of a model with rotary bias; 0: none\n"
    "      --ids               prompt and continuation are token ids, nothing added\n"
    "      --json              one JSON object for each sample\n"
    "  -t, --threads N         (as many as there are processors)\n"
    "      --cpu NAME          kernels: generic, avx2 ... (the best of this machine)\n"
    "      --max-memory SIZE   refuse what needs more, such as 300M\n"
    "  -v, --verbose           say what model runs how, how fast, in what memory and with what "
    "seed\n"
    "  -h, --help              show this help\n"
    "\n"
    "Exit status: 0 done, 1 the model or the prompt cannot be used, 2 wrong usage.\n";

#define MAX_STOPS 16

typedef struct Options {
    const char *model, *prompt; /* prompt: an argument, or with `literal` a text */
    const char *stops[MAX_STOPS];
    int stop_count;
    MegaSamplingOptions sampling;
    int max_tokens, samples, chunk;
    MegaSessionOptions session;
    bool literal, echo, seeded, ignore_eos, ids, json, verbose;
} Options;

/* One text that is being made. */
typedef struct Sample {
    MegaSampler *sampler;
    MegaBuffer text;      /* what is not printed yet; all of it when it does not stream */
    MegaBuffer ids;       /* int32, for --ids and --json, when it does not stream */
    int count;            /* tokens */
    const char *reason;   /* why it ended, or NULL */
} Sample;

typedef struct Generator {
    const Options *options;
    MegaModel *model;
    MegaSession *session;
    MegaCodec *codec; /* NULL with --ids */
    MegaDecoder *decoder;
    MegaBuffer prompt_text; /* as it was given */
    int32_t *prompt;
    size_t prompt_count;
    Sample *samples; /* [options->samples] */
    float *logits;   /* [samples][vocab] */
    bool streams;
    uint8_t last;    /* byte that was printed */
} Generator;

/* ---- Output --------------------------------------------------------------------------------- */

/* Bytes at the end of a text that may still become part of a stop or of a character. */
static size_t undecided(const Generator *g, const MegaBuffer *text)
{
    size_t held = 0;
    for (int i = 0; i < g->options->stop_count; i++) {
        size_t length = strlen(g->options->stops[i]);
        for (size_t n = length - 1; n > held; n--)
            if (n <= text->size &&
                memcmp(text->data + text->size - n, g->options->stops[i], n) == 0)
                held = n;
    }
    for (size_t n = 1; n < 4 && n <= text->size; n++) {
        uint8_t byte = text->data[text->size - n];
        size_t wanted = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
        if (wanted > n && held < n)
            held = n;
        if ((byte & 0xc0) != 0x80)
            break;
    }
    return held;
}

/* Prints and forgets the first `size` bytes. */
static void flush_text(Generator *g, MegaBuffer *text, size_t size)
{
    if (size == 0)
        return;
    fwrite(text->data, 1, size, stdout);
    fflush(stdout);
    g->last = text->data[size - 1];
    memmove(text->data, text->data + size, text->size - size);
    text->size -= size;
}

/* Cuts a text before the first stop in it; true when there was one. */
static bool cut_at_stop(const Generator *g, MegaBuffer *text)
{
    bool found = false;
    for (int i = 0; i < g->options->stop_count; i++) {
        const char *stop = g->options->stops[i];
        const uint8_t *at =
            text->size ? memmem(text->data, text->size, stop, strlen(stop)) : NULL;
        if (at) {
            text->size = (size_t)(at - text->data);
            found = true;
        }
    }
    return found;
}

static void take_token(Generator *g, Sample *sample, int32_t token)
{
    bool first = sample->count++ == 0;
    bool end = token == mega_model_config(g->model)->target.eos && !g->options->ignore_eos;
    if (g->options->ids && g->streams) {
        printf("%s%d", first ? "" : " ", token);
        fflush(stdout);
    } else if (!g->streams) {
        mega_put_u32(&sample->ids, (uint32_t)token);
    }
    if (g->codec && !end)
        mega_codec_decode_next(g->codec, token, first, &sample->text);
    if (end)
        sample->reason = "end";
    else if (cut_at_stop(g, &sample->text))
        sample->reason = "stop";
    else if (sample->count == g->options->max_tokens || mega_decoder_full(g->decoder))
        sample->reason = "length";
    if (g->streams && g->codec)
        flush_text(g, &sample->text,
                   sample->text.size - (sample->reason ? 0 : undecided(g, &sample->text)));
}

/* The prompt, before what follows it. */
static void echo_prompt(Generator *g)
{
    const MegaBuffer *text = &g->prompt_text;
    if (!g->options->echo || text->size == 0)
        return;
    fwrite(text->data, 1, text->size, stdout);
    if (g->options->ids)
        putchar(' ');
    g->last = text->data[text->size - 1];
}

static void print_sample_json(const Generator *g, const Sample *sample)
{
    json_t *ids = json_array();
    for (size_t at = 0; at < sample->ids.size; at += 4)
        json_array_append_new(ids, json_integer(mega_load_u32(sample->ids.data + at)));
    json_t *object = json_pack("{s:s,s:o,s:i}", "finish", sample->reason, "ids", ids, "tokens",
                               sample->count);
    if (g->options->echo)
        json_object_set_new(object, "prompt",
                            json_bytes(g->prompt_text.data, g->prompt_text.size));
    if (g->codec)
        json_object_set_new(object, "text", json_bytes(sample->text.data, sample->text.size));
    print_json_line(object);
}

static void print_sample(Generator *g, Sample *sample)
{
    if (g->options->json) {
        print_sample_json(g, sample);
        return;
    }
    if (!g->streams)
        echo_prompt(g);
    for (size_t at = 0; g->options->ids && !g->streams && at < sample->ids.size; at += 4)
        printf("%s%u", at ? " " : "", mega_load_u32(sample->ids.data + at));
    flush_text(g, &sample->text, g->codec ? sample->text.size : 0);
    if (g->options->ids || g->last != '\n')
        putchar('\n');
    g->last = '\n';
    fflush(stdout);
}

/* ---- Running -------------------------------------------------------------------------------- */

/* Reads the prompt and makes every sample begin behind it. */
static int read_prompt(Generator *g, MegaError *err)
{
    int samples = g->options->samples, code = mega_decoder_begin(g->decoder, NULL, 1, err);
    size_t vocab = (size_t)mega_model_vocab_size(g->model);
    int *parents = calloc((size_t)samples, sizeof *parents);
    if (!code && !parents)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d samples", samples);
    if (!code && g->prompt_count > 1)
        code = mega_decoder_feed(g->decoder, g->prompt, g->prompt_count - 1, NULL, err);
    if (!code)
        code = mega_decoder_feed(g->decoder, g->prompt + g->prompt_count - 1, 1, g->logits, err);
    if (!code)
        code = mega_decoder_select(g->decoder, parents, samples, err);
    for (int i = 1; i < samples && !code; i++)
        memcpy(g->logits + (size_t)i * vocab, g->logits, vocab * sizeof *g->logits);
    for (int i = 0; i < samples && !code; i++)
        for (size_t t = 0; t < g->prompt_count; t++)
            mega_sampler_note(g->samples[i].sampler, g->prompt[t]);
    free(parents);
    return code;
}

/* Draws until all samples have ended. live: which sample each sequence of the decoder is. */
static int draw(Generator *g, int *live, int32_t *tokens, int *parents, MegaError *err)
{
    size_t vocab = (size_t)mega_model_vocab_size(g->model);
    int count = g->options->samples, code = 0;
    for (int i = 0; i < count; i++)
        live[i] = i;
    while (count > 0 && !code && !ferror(stdout)) {
        int next = 0;
        for (int i = 0; i < count; i++) {
            Sample *sample = &g->samples[live[i]];
            int32_t token = mega_sampler_next(sample->sampler, g->logits + (size_t)i * vocab);
            if (token < 0)
                return mega_fail(err, MEGA_ERR_MODEL,
                                 "token %d: the model gives no finite logits; 'mega-run verify' "
                                 "tells whether the file is damaged", sample->count + 1);
            take_token(g, sample, token);
            if (sample->text.failed || sample->ids.failed)
                return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the text");
            if (sample->reason)
                continue;
            parents[next] = i;
            tokens[next] = token;
            live[next++] = live[i];
        }
        if (next > 0 && next < count)
            code = mega_decoder_select(g->decoder, parents, next, err);
        count = next;
        if (count > 0 && !code)
            code = mega_decoder_step(g->decoder, tokens, g->logits, err);
    }
    return code;
}

static int generate(Generator *g, MegaError *err)
{
    size_t samples = (size_t)g->options->samples;
    int *live = calloc(samples, sizeof *live), *parents = calloc(samples, sizeof *parents);
    int32_t *tokens = calloc(samples, sizeof *tokens);
    int code = read_prompt(g, err);
    if (!code && (!live || !parents || !tokens))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu samples", samples);
    if (!code && g->streams)
        echo_prompt(g);
    if (!code)
        code = draw(g, live, tokens, parents, err);
    for (size_t i = 0; i < samples && !code; i++)
        print_sample(g, &g->samples[i]);
    if (code && g->streams && g->samples[0].count > 0)
        putchar('\n');
    free(live);
    free(parents);
    free(tokens);
    return code;
}

/* ---- Loading -------------------------------------------------------------------------------- */

static int parse_prompt(Generator *g, const char *text, size_t size, MegaError *err)
{
    if (g->options->ids)
        return mega_text_parse_ids(text, size, mega_model_vocab_size(g->model), "the prompt",
                                   &g->prompt, &g->prompt_count, err);
    int code = mega_codec_encode(g->codec, text, size, false, &g->prompt, &g->prompt_count, err);
    if (code)
        return code;
    int32_t *grown = realloc(g->prompt, (g->prompt_count + 1) * sizeof *grown);
    if (!grown)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the prompt");
    memmove(grown + 1, grown, g->prompt_count * sizeof *grown);
    grown[0] = mega_model_config(g->model)->target.eos; /* every text begins with it */
    g->prompt = grown;
    g->prompt_count++;
    return 0;
}

/* Without a prompt a model that knows line ends begins behind one, and not in the middle of a line:
 * "\n" for the prompt, else nothing. */
static int begin_with_line(Generator *g, MegaError *err)
{
    const int32_t unk = mega_model_config(g->model)->target.unk;
    int code = parse_prompt(g, "\n", 1, err);
    if (code || g->prompt_count < 2 || g->prompt[1] != unk)
        return code;
    g->prompt_count = 1;
    return 0;
}

static int load_prompt(Generator *g, MegaError *err)
{
    const Options *options = g->options;
    MegaTextRules rules = mega_codec_text_rules(mega_model_meta(g->model), MEGA_CODEC_TARGET,
                                                options->ids, "a prompt");
    mega_text_limit(&rules, mega_session_left(g->session));
    const char *name = NULL;
    MegaBuffer *text = &g->prompt_text;
    int code = 0;
    if (options->prompt)
        code = read_text_argument(text, options->prompt, options->literal, &rules, &name, err);
    if (!code && text->size == 0 && !options->ids)
        return begin_with_line(g, err);
    if (!code)
        code = parse_prompt(g, text->size ? (const char *)text->data : "", text->size, err);
    if (!code && !options->ids) /* behind </s> */
        warn_of_unknown(g->prompt + 1, g->prompt_count - 1,
                        mega_model_config(g->model)->target.unk, name ? name : "the prompt", 0);
    return code;
}

static int load_model(Generator *g, MegaError *err)
{
    char *path = NULL;
    double begun = clock_seconds();
    int code = open_model(&g->model, &path, g->options->model, MEGA_TASK_GENERATE, MEGA_CONTENT_TEXT,
                          g->options->session.max_memory, err);
    if (!code && mega_model_task(g->model) != MEGA_TASK_GENERATE)
        code = fail_wrong_model(g->model, path, "to continue texts", MEGA_TASK_GENERATE,
                                MEGA_CONTENT_TEXT, err);
    if (!code)
        code = mega_session_new(&g->session, g->model, &g->options->session, err);
    if (!code && !g->options->ids)
        code = mega_codec_new(&g->codec, mega_model_meta(g->model), MEGA_CODEC_TARGET, err);
    if (!code && g->options->verbose) {
        verbose_session(path, g->session, clock_seconds() - begun);
        if (!g->options->sampling.greedy)
            report("seed %llu", (unsigned long long)g->options->sampling.seed);
    }
    free(path);
    return code;
}

static int load(Generator *g, MegaError *err)
{
    const Options *options = g->options;
    MegaDecoderOptions decoder = {.sequences = options->samples, .chunk = options->chunk,
                                  .best = mega_sampling_best(&options->sampling)};
    int code = load_model(g, err);
    if (!code)
        code = load_prompt(g, err);
    if (!code)
        code = mega_decoder_new(&g->decoder, g->session, &decoder, err);
    if (code)
        return code;
    g->samples = calloc((size_t)options->samples, sizeof *g->samples);
    g->logits = malloc((size_t)options->samples * (size_t)mega_model_vocab_size(g->model) *
                       sizeof *g->logits);
    if (!g->samples || !g->logits)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d samples", options->samples);
    for (int i = 0; i < options->samples && !code; i++) {
        MegaSamplingOptions sampling = options->sampling;
        sampling.seed += (uint64_t)i;
        code = mega_sampler_new(&g->samples[i].sampler, g->model, &sampling, err);
    }
    return code;
}

static int run(const Options *options)
{
    Generator g = {.options = options, .streams = options->samples == 1 && !options->json,
                   .last = '\n'};
    MegaError err = {0};
    int code = load(&g, &err);
    double begun = clock_seconds();
    if (!code)
        code = generate(&g, &err);
    uint64_t tokens = 0;
    for (int i = 0; g.samples && i < options->samples; i++)
        tokens += (uint64_t)g.samples[i].count;
    if (!code && options->verbose)
        verbose_end(tokens, "token", clock_seconds() - begun);
    if (code)
        report("%s", err.text);
    for (int i = 0; g.samples && i < options->samples; i++) {
        mega_sampler_free(g.samples[i].sampler);
        mega_buffer_free(&g.samples[i].text);
        mega_buffer_free(&g.samples[i].ids);
    }
    free(g.samples);
    free(g.logits);
    free(g.prompt);
    mega_buffer_free(&g.prompt_text);
    mega_decoder_free(g.decoder);
    mega_codec_free(g.codec);
    mega_session_free(g.session);
    mega_model_free(g.model);
    return finish_output(code ? 1 : 0);
}

static int take_stop(const CommandOption *option, const char *value, MegaError *err)
{
    Options *options = option->out;
    if (options->stop_count == MAX_STOPS)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "--stop may be given %d times", MAX_STOPS);
    if (*value == '\0')
        return refuse_value(option, value, err, "a text");
    options->stops[options->stop_count++] = value;
    return 0;
}

/* A seed that was given. */
static int take_own_seed(const CommandOption *option, const char *value, MegaError *err)
{
    Options *options = option->out;
    options->seeded = true;
    return take_seed(&(CommandOption){.name = option->name, .out = &options->sampling.seed}, value,
                     err);
}

/* --text is the prompt itself. */
static int take_literal(const CommandOption *option, const char *value, MegaError *err)
{
    Options *options = option->out;
    (void)err;
    options->prompt = value;
    options->literal = true;
    return 0;
}

/* 0 is the limit of ever smaller ones: the most probable token. */
static int take_temperature(const CommandOption *option, const char *value, MegaError *err)
{
    MegaSamplingOptions *sampling = option->out;
    double temperature;
    const CommandOption number = {.name = option->name, .out = &temperature, .most = 1e6};
    int code = take_real(&number, value, err);
    if (!code && temperature > 0)
        sampling->temperature = temperature;
    sampling->greedy |= !code && temperature == 0;
    return code;
}

int command_generate(int argc, char **argv)
{
    Options options = {.sampling = mega_sampling_defaults(), .max_tokens = 256, .samples = 1};
    MegaSamplingOptions *sampling = &options.sampling;
    const CommandOption table[] = {
        MODEL_OPTION(&options.model),
        {.name = "max-tokens", .also = "max-new-tokens n-predict", .hints = "n", .take = take_int,
         .out = &options.max_tokens, .least = 1, .most = INT32_MAX},
        {.name = "greedy", .take = take_flag, .out = &sampling->greedy},
        {.name = "temperature", .take = take_temperature, .out = sampling},
        {.name = "top-k", .also = "topk", .take = take_int, .out = &sampling->top_k,
         .most = 1 << 24},
        {.name = "top-p", .also = "topp", .take = take_probability,
         .out = &sampling->top_p},
        {.name = "repetition-penalty", .also = "repeat-penalty", .take = take_real,
         .out = &sampling->repetition_penalty, .least = 1e-6, .most = 1e6},
        {.name = "seed", .letter = 's', .take = take_own_seed, .out = &options},
        {.name = "text", .letter = 'p', .also = "prompt", .take = take_literal, .out = &options},
        {.name = "echo", .take = take_flag, .out = &options.echo},
        {.name = "stop", .take = take_stop, .out = &options},
        {.name = "ignore-eos", .take = take_flag, .out = &options.ignore_eos},
        {.name = "n", .also = "num-samples", .take = take_int, .out = &options.samples, .least = 1,
         .most = 4096},
        {.name = "chunk", .take = take_chunk, .out = &options.chunk},
        {.name = "ids", .take = take_flag, .out = &options.ids},
        JSON_OPTION(&options.json),
        SESSION_OPTIONS(&options.session),
        VERBOSE_OPTION(&options.verbose),
        {0}};
    int inputs, status;
    if (!read_command_line(&(CommandSyntax){"generate", help, table}, argc, argv, &inputs,
                           &status))
        return status;
    if (inputs > !options.literal)
        return usage_error("generate", "'%s' is too much: %s", argv[inputs],
                           options.literal ? "--text is the prompt"
                                           : "a prompt with blanks needs quotes");
    if (inputs)
        options.prompt = argv[1];
    if (options.ids && !options.prompt)
        return usage_error("generate", "--ids needs a prompt, such as the id of </s>");
    if (options.ids && options.stop_count > 0)
        return usage_error("generate", "--stop is a text: it does not go with --ids");
    if (!options.seeded)
        sampling->seed = (uint64_t)(clock_seconds() * 1e9);
    return run(&options);
}
