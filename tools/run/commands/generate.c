/*
 * generate.c - mega-run generate: continues a prompt, token by token.
 *
 * A single sample streams: text that later tokens cannot change is printed at once, so that memory
 * does not grow with the text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/tokenizer.h"
#include "src/base/utf8.h"
#include "src/encode/session.h"
#include "src/model/model.h"
#include "tools/common/progress.h"
#include "tools/run/command_line.h"
#include "tools/run/find_model.h"
#include "tools/run/lines.h"
#include "tools/run/options.h"
#include "tools/run/results.h"
#include "tools/run/text_argument.h"
#include "tools/run/verbose.h"

static const char help[] =
    "Usage: mega-run generate [-m MODEL] [PROMPT | FILE]\n"
    "\n"
    "Continues a text with a language model and prints what it makes. The prompt is the argument,\n"
    "or the contents of the file of that name; '-' is standard input. Without a prompt the text\n"
    "begins a line.\n"
    "\n"
    "  -m, --model FILE        the model (the shipped language model)\n"
    "  -n, --max-tokens N      at most N tokens (256)\n"
    "      --greedy            always the most probable token; the default of models from the hub\n"
    "      --temperature X     divide the logits by X: below 1, unlikely tokens become rarer;\n"
    "                          0 is --greedy (1)\n"
    "      --top-k K           only the K most probable tokens (off)\n"
    "      --top-p P           only the most probable tokens, up to a probability of P (off)\n"
    "      --repetition-penalty X   make tokens that occurred before less probable (1: off)\n"
    "  -s, --seed N            the same seed gives the same text (random)\n"
    "  -p, --text TEXT         the prompt, even if it looks like a file\n"
    "      --echo              print the prompt, too\n"
    "      --stop TEXT         stop before TEXT; may be given several times\n"
    "      --ignore-eos        do not stop at </s>\n"
    "      --n N               N samples, one after the other (1)\n"
    "      --chunk N           another chunk size, for a model with rotary bias; 0: none\n"
    "      --ids               prompt and continuation are token ids, nothing added\n"
    "      --json              one JSON object for each sample\n"
    "      --no-prompt         leave the prompt out of the JSON of a model from the "
    "hub\n" SESSION_HELP
    "  -v, --verbose           report the model, how it runs, its speed, memory and seed\n"
    "  -h, --help              show this help\n"
    "\n"
    "Exit status: 0 done, 1 the model or the prompt cannot be used, 2 wrong usage.\n";

#define MAX_STOPS 16

typedef struct Options {
    /* prompt is an argument (text_argument.h) or, if `literal` is set, the text itself */
    const char *model, *prompt;
    const char *stops[MAX_STOPS];
    MegaGenerateOptions generate;
    MegaPipelineOptions pipeline;
    bool literal, echo, seeded, json, verbose, no_prompt;
    bool sampled; /* an option says how tokens are drawn */
} Options;

typedef struct Generator {
    const Options *options;
    MegaModel *model;
    MegaPipeline *pipeline;
    MegaBuffer prompt;       /* the prompt's text */
    const char *prompt_name; /* name of the prompt's file, or NULL */
    MegaGeneration *samples; /* [options->samples]; NULL if the only sample streams */
    size_t tokens;           /* number of tokens that have streamed */
    uint8_t last;            /* the last byte that was printed */
} Generator;

/* ---- Output --------------------------------------------------------------------------------- */

static void print_bytes(Generator *g, const void *bytes, size_t size)
{
    if (size == 0)
        return;
    fwrite(bytes, 1, size, stdout);
    fflush(stdout);
    g->last = ((const uint8_t *)bytes)[size - 1];
}

/* Prints the prompt before its continuation. */
static void echo_prompt(Generator *g)
{
    if (!g->options->echo || g->prompt.size == 0)
        return;
    fwrite(g->prompt.data, 1, g->prompt.size, stdout);
    if (g->options->pipeline.ids)
        putchar(' ');
    g->last = g->prompt.data[g->prompt.size - 1];
}

static void end_line(Generator *g)
{
    if (g->options->pipeline.ids || g->last != '\n')
        putchar('\n');
    g->last = '\n';
    fflush(stdout);
}

/* Prints a part of the only sample; text that later tokens cannot change is printed at once. */
static bool print_piece(void *context, int sample, int32_t token, const char *bytes, size_t size)
{
    Generator *g = context;
    (void)sample;
    if (token < 0) {
        echo_prompt(g);
        return !ferror(stdout);
    }
    if (g->options->pipeline.ids) {
        printf("%s%d", g->tokens ? " " : "", token);
        fflush(stdout);
    }
    g->tokens++;
    print_bytes(g, bytes, size);
    return !ferror(stdout);
}

static bool is_of_hub(const Generator *g)
{
    return mega_model_config(g->model)->target.bare_start;
}

/* Prints what the library's pipeline returns: the text with its prompt. */
static void print_generated(const Generator *g, const MegaGeneration *sample)
{
    MegaBuffer text = {0};
    if (!g->options->no_prompt)
        mega_put_bytes(&text, g->prompt.data, g->prompt.size);
    mega_utf8_replace(sample->text.data, sample->text.size, &text);
    print_json_line(json_pack("{s:o}", "generated_text",
                              json_bytes(text.size ? text.data : (const uint8_t *)"", text.size)));
    mega_buffer_free(&text);
}

static void print_sample_json(const Generator *g, const MegaGeneration *sample)
{
    json_t *ids = json_array();
    for (size_t i = 0; i < sample->count; i++)
        json_array_append_new(ids, json_integer(sample->tokens[i]));
    json_t *object = json_pack("{s:s,s:o,s:I}", "finish", finish_name(sample->finish), "ids", ids,
                               "tokens", (json_int_t)sample->count);
    if (g->options->echo)
        json_object_set_new(object, "prompt", json_bytes(g->prompt.data, g->prompt.size));
    if (!g->options->pipeline.ids)
        json_object_set_new(object, "text", json_bytes(sample->text.data, sample->text.size));
    print_json_line(object);
}

static void print_sample(Generator *g, const MegaGeneration *sample)
{
    if (g->options->json && is_of_hub(g) && !g->options->pipeline.ids) {
        print_generated(g, sample);
        return;
    }
    if (g->options->json) {
        print_sample_json(g, sample);
        return;
    }
    echo_prompt(g);
    for (size_t i = 0; g->options->pipeline.ids && i < sample->count; i++)
        printf("%s%d", i ? " " : "", sample->tokens[i]);
    print_bytes(g, sample->text.data, sample->text.size);
    end_line(g);
}

/* ---- Running -------------------------------------------------------------------------------- */

static int generate(Generator *g, MegaError *err)
{
    const Options *options = g->options;
    const bool streams = options->generate.samples == 1 && !options->json;
    const MegaRaw prompt = {.kind = MEGA_RAW_TEXT,
                            .data = g->prompt.data,
                            .size = g->prompt.size,
                            .name = g->prompt_name};
    MegaGenerateOptions how = options->generate;
    how.stops = options->stops;
    if (is_of_hub(g) && !options->sampled)
        how.sampling.greedy = true;
    if (streams) {
        how.sink = print_piece;
        how.context = g;
        int code = mega_pipeline_generate(g->pipeline, &prompt, &how, NULL, err);
        if (!code)
            end_line(g);
        else if (g->tokens > 0)
            putchar('\n');
        return code;
    }
    g->samples = calloc((size_t)how.samples, sizeof *g->samples);
    if (!g->samples)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d samples", how.samples);
    int code = mega_pipeline_generate(g->pipeline, &prompt, &how, g->samples, err);
    for (int i = 0; i < how.samples && !code; i++) {
        print_sample(g, &g->samples[i]);
        g->tokens += g->samples[i].count;
    }
    return code;
}

static int load_prompt(Generator *g, MegaError *err)
{
    const Options *options = g->options;
    MegaTextRules rules = mega_tokenizer_text_rules(
        mega_model_meta(g->model), MEGA_TOKENIZER_TARGET, options->pipeline.ids, "a prompt");
    mega_text_limit(&rules, mega_session_left(mega_pipeline_session(g->pipeline)));
    return options->prompt ? read_text_argument(&g->prompt, options->prompt,
                                                options->literal ? ARGUMENTS_ARE_TEXTS
                                                                 : ARGUMENTS_MAY_BE_TEXTS,
                                                &rules, &g->prompt_name, err)
                           : 0;
}

static int load(Generator *g, MegaError *err)
{
    char *path = NULL;
    const MegaPipelineOptions *options = &g->options->pipeline;
    const MegaSamplingOptions *sampling = &g->options->generate.sampling;
    double begun = clock_seconds();
    int code = open_model(&g->model, &path,
                          &(ModelWish){.given = g->options->model,
                                       .task = MEGA_TASK_GENERATE,
                                       .kind = MEGA_CONTENT_TEXT},
                          options->session.max_memory, err);
    if (!code && mega_model_task(g->model) != MEGA_TASK_GENERATE)
        code = fail_wrong_model(g->model, path, "to continue texts", MEGA_TASK_GENERATE,
                                MEGA_CONTENT_TEXT, err);
    if (!code)
        code = mega_pipeline_new(&g->pipeline, g->model, options, err);
    if (!code && g->options->verbose) {
        verbose_session(path, mega_pipeline_session(g->pipeline), clock_seconds() - begun);
        if (!sampling->greedy)
            report("seed %llu", (unsigned long long)sampling->seed);
    }
    free(path);
    return code ? code : load_prompt(g, err);
}

static int run(const Options *options)
{
    Generator g = {.options = options, .last = '\n'};
    MegaError err = {0};
    int code = load(&g, &err);
    double begun = clock_seconds();
    if (!code)
        code = generate(&g, &err);
    if (!code && options->verbose)
        verbose_end(g.tokens, "token", clock_seconds() - begun);
    if (code)
        report("%s", err.text);
    for (int i = 0; g.samples && i < options->generate.samples; i++)
        mega_generation_free(&g.samples[i]);
    free(g.samples);
    mega_buffer_free(&g.prompt);
    mega_pipeline_free(g.pipeline);
    mega_model_free(g.model);
    return finish_output(code ? 1 : 0);
}

static int take_stop(const CommandOption *option, const char *value, MegaError *err)
{
    Options *options = option->out;
    if (options->generate.stop_count == MAX_STOPS)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "--stop may be given %d times", MAX_STOPS);
    if (*value == '\0')
        return refuse_value(option, value, err, "a text");
    options->stops[options->generate.stop_count++] = value;
    return 0;
}

/* Takes --seed, and notes that it was given: then tokens are sampled, and else the seed is
 * random. */
static int take_own_seed(const CommandOption *option, const char *value, MegaError *err)
{
    Options *options = option->out;
    options->seeded = true;
    return take_seed(
        &(CommandOption){.name = option->name, .out = &options->generate.sampling.seed}, value,
        err);
}

/* Takes --text, whose value is the prompt itself. */
static int take_literal(const CommandOption *option, const char *value, MegaError *err)
{
    Options *options = option->out;
    (void)err;
    options->prompt = value;
    options->literal = true;
    return 0;
}

/* Takes a temperature. 0 means the limit towards 0, which is greedy decoding. */
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

/* Derives what depends on several options, and checks these together. Returns 0 or, after an error
 * message, the exit status. */
static int settle_options(Options *options, char **inputs, int count)
{
    MegaSamplingOptions *sampling = &options->generate.sampling;
    const MegaSamplingOptions usual = mega_generate_defaults().sampling;
    if (count > !options->literal)
        return usage_error("generate", "unexpected argument '%s': %s", inputs[count - 1],
                           options->literal ? "--text is the prompt"
                                            : "a prompt with blanks needs quotes");
    if (count)
        options->prompt = inputs[0];
    if (options->pipeline.ids && !options->prompt)
        return usage_error("generate", "--ids needs a prompt, such as the id of </s>");
    if (options->pipeline.ids && options->generate.stop_count > 0)
        return usage_error("generate", "--stop is a text: it does not go with --ids");
    options->sampled = options->seeded || sampling->top_k != usual.top_k ||
                       sampling->top_p != usual.top_p ||
                       sampling->temperature != usual.temperature || options->generate.samples > 1;
    if (!options->seeded)
        sampling->seed = (uint64_t)(clock_seconds() * 1e9);
    return 0;
}

int command_generate(int argc, char **argv)
{
    Options options = {.generate = mega_generate_defaults(), .pipeline.warn = warn_once};
    MegaSamplingOptions *sampling = &options.generate.sampling;
    const CommandOption table[] = {
        MODEL_OPTION(&options.model),
        {.name = "max-tokens",
         .letter = 'n',
         .also = "max-new-tokens n-predict",
         .hints = "n",
         .take = take_int,
         .out = &options.generate.max_tokens,
         .least = 1,
         .most = INT32_MAX},
        {.name = "greedy", .take = take_flag, .out = &sampling->greedy},
        {.name = "temperature", .take = take_temperature, .out = sampling},
        {.name = "top-k",
         .also = "topk",
         .take = take_int,
         .out = &sampling->top_k,
         .most = 1 << 24},
        {.name = "top-p", .also = "topp", .take = take_probability, .out = &sampling->top_p},
        {.name = "repetition-penalty",
         .also = "repeat-penalty",
         .take = take_real,
         .out = &sampling->repetition_penalty,
         .least = 1e-6,
         .most = 1e6},
        {.name = "seed", .letter = 's', .take = take_own_seed, .out = &options},
        {.name = "text", .letter = 'p', .also = "prompt", .take = take_literal, .out = &options},
        {.name = "echo", .take = take_flag, .out = &options.echo},
        {.name = "stop", .take = take_stop, .out = &options},
        {.name = "ignore-eos", .take = take_flag, .out = &options.generate.ignore_eos},
        {.name = "n",
         .also = "num-samples",
         .take = take_int,
         .out = &options.generate.samples,
         .least = 1,
         .most = 4096},
        {.name = "chunk", .take = take_chunk, .out = &options.pipeline.chunk},
        {.name = "ids", .take = take_flag, .out = &options.pipeline.ids},
        JSON_OPTION(&options.json),
        {.name = "no-prompt", .take = take_flag, .out = &options.no_prompt},
        SESSION_OPTIONS(&options.pipeline.session),
        VERBOSE_OPTION(&options.verbose),
        {0}};
    int inputs, status;
    if (!read_command_line(&(CommandSyntax){"generate", help, table}, argc, argv, &inputs,
                           &status) ||
        (status = settle_options(&options, argv + 1, inputs)))
        return status;
    return run(&options);
}
