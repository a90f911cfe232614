/*
 * bench.c - mega-run bench: measures how fast a model runs, and compares that with the limit of the
 * machine.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/base/input_stream.h"
#include "src/decode/decoder.h"
#include "src/layers/embed.h"
#include "src/layers/mega.h"
#include "src/pipeline/input.h"
#include "tools/common/memory.h"
#include "tools/common/progress.h"
#include "tools/run/command_line.h"
#include "tools/run/find_model.h"
#include "tools/run/options.h"
#include "tools/run/roofline.h"
#include "tools/run/verbose.h"

static const char help[] =
    "Usage: mega-run bench [-m MODEL] [option...]\n"
    "\n"
    "Measures the model on random input and what the machine can do (arithmetic and memory\n"
    "reads of the chosen threads), and prints time, speed, and the share of the speed that\n"
    "is possible. A classifier runs whole inputs; a translator translates sources of --length\n"
    "tokens into --tokens tokens each; a language model reads --length tokens and makes --tokens\n"
    "more, which are measured separately.\n"
    "\n"
    "  -m, --model FILE     the model (that for the kind of --input, or all that are found)\n"
    "      --input FILE     for a classifier: a recording, picture or text that every run reads,\n"
    "                       instead of random numbers\n"
    "      --length N       samples, pixels or tokens (the model's own length, else 1024; 25 for\n"
    "                       a translator)\n"
    "      --tokens N       tokens to make (25; 64 for a language model)\n"
    "      --beam N         beam of a translator (1)\n"
    "      --batch N        sources at a time (1)\n"
    "      --repeats N      measured runs, after one warm-up run (5)\n"
    "      --breakdown      show where the time goes\n"
    "      --format NAME    text (default), markdown, csv or json\n"
    "  -t, --threads N      threads (one for each processor)\n"
    "      --cpu NAME       kernels: generic, avx2, avx2vnni, avx512, avx512vnni, amx, on arm64\n"
    "                       dotprod, or openblas (the best of this machine)\n"
    "      --precision TYPE  multiply floats in f32 (default), or in bf16 with kernels amx\n"
    "      --max-memory SIZE  use at most SIZE, such as 300M; refuse what needs more\n"
    "      --json           as --format json\n"
    "  -q, --quiet          no progress\n"
    "  -v, --verbose        say how the model was loaded\n"
    "  -h, --help           show this help\n"
    "\n"
    "Exit status: 0 done, 1 the model cannot be run, 2 wrong usage.\n";

typedef enum Format { TEXT, MARKDOWN, CSV, JSON, FORMAT_COUNT } Format;

typedef struct Options {
    const char *model, *input;
    int length, tokens, beam, batch, repeats;
    MegaSessionOptions session;
    Format format;
    bool breakdown, quiet, verbose;
    bool is_next; /* this is not the first of several models, so the heading has been printed */
} Options;

/* The parts that a run's time is split into: reading, then the parts of a stack, each of which ends
 * with a stage that the tap sees. */
enum { READ, EMBED, EMA, PROJECTIONS, ATTENTION, HEAD, PART_COUNT };
static const char *const part_names[PART_COUNT] = {
    "decode and features", "embed", "norm and EMA", "projections of v, q, k",
    "attention, gates, feed-forward", "head"};

typedef struct Bench {
    const Options *options;
    MegaModel *model;
    MegaSession *session;
    MegaInputReader *reader; /* reads the file of --input, or NULL */
    Machine machine;
    int32_t *tokens;
    float *values;
    /* peak memory in megabytes, taken before the probes of the machine allocate theirs */
    double peak;
    double last; /* time of the last call of the tap */
    bool shows_parts; /* --breakdown, and the runs that count have begun */
    bool has_stepped; /* a decoder has begun a step of this run */
    double parts[PART_COUNT];
} Bench;

/* The result of one kind of run. */
typedef struct Result {
    const char *what, *unit;
    double amount;     /* number of units that one run processes */
    double mean, sd;   /* seconds */
    double limit;      /* seconds that the machine allows */
    /* seconds in which a language model read the --length tokens before, and that the machine
     * allows for it; 0 of other models */
    double read, read_limit;
} Result;

/* The seconds that one run took. */
typedef struct Times {
    double run;
    double read; /* of a language model: of the tokens before those that it makes */
} Times;

/* ---- Runs ----------------------------------------------------------------------------------- */

static void watch(void *context, const char *stage, int input, const float *data, size_t rows,
                  size_t columns)
{
    Bench *bench = context;
    double now = clock_seconds();
    const char *dot = strrchr(stage, '.');
    int part = strcmp(stage, "embed") == 0                                ? EMBED
               : dot && strcmp(dot, ".ema") == 0                          ? EMA
               : dot && strchr("vzqk", dot[1]) && dot[2] == '\0'          ? PROJECTIONS
               : strcmp(stage, "pooled") == 0 || strcmp(stage, "logits") == 0 ? HEAD
                                                                          : ATTENTION;
    if (strncmp(stage, "target", 6) == 0) {
        /* Between the last layer of one step and the first of the next lie the logits and the
         * search; the embedding of the word that they chose takes next to nothing. */
        part = bench->has_stepped ? HEAD : EMBED;
        bench->has_stepped = true;
    }
    (void)input, (void)data, (void)rows, (void)columns;
    bench->parts[part] += now - bench->last;
    bench->last = clock_seconds();
}

/* Resets the clock of the parts before a run. */
static void begin_parts(Bench *bench)
{
    bench->has_stepped = false;
    bench->last = clock_seconds();
}

/* Adds what a run did after its last stage: the last step's logits, or the end of a search. */
static void end_parts(Bench *bench)
{
    bench->parts[HEAD] += clock_seconds() - bench->last;
}

/* Reads the first clip of --input. */
static int read_input(Bench *bench, MegaPrepared *out, MegaError *err)
{
    double begun = clock_seconds();
    int code = mega_input_reader_open(bench->reader, bench->options->input, NULL, err);
    if (!code) {
        code = mega_input_reader_next(bench->reader, out, err);
        code = code == 0 ? mega_fail(err, MEGA_ERR_INPUT, "%s: there is nothing to classify",
                                     bench->options->input)
                         : code > 0 ? 0 : code;
    }
    bench->parts[READ] += clock_seconds() - begun;
    return code;
}

static int classify_once(Bench *bench, MegaError *err)
{
    const MegaEmbedConfig *embed = &mega_model_config(bench->model)->embed;
    MegaInput input = {.kind = mega_model_input_kind(bench->model), .tokens = bench->tokens,
                       .values = bench->values, .length = (size_t)bench->options->length,
                       .channels = embed->channels, .height = embed->height,
                       .width = embed->width};
    MegaInput inputs[2] = {input, input};
    MegaPrepared clip = {0};
    const bool labels = mega_task_traits(mega_model_task(bench->model))->labels_positions;
    const size_t classes = (size_t)mega_model_class_count(bench->model);
    const size_t values = labels ? input.length * classes : classes;
    const size_t width = (size_t)mega_model_width(bench->model); /* of a vector without classes */
    float *logits = malloc((values > width ? values : width) * sizeof *logits);
    int code = logits ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the logits");
    if (!code && bench->reader) {
        code = read_input(bench, &clip, err);
        memcpy(inputs, clip.views, sizeof inputs);
    }
    begin_parts(bench);
    if (!code && labels)
        code = mega_session_label(bench->session, inputs, NULL, input.length, logits, err);
    else if (!code)
        code = mega_session_classify(bench->session, inputs,
                                     mega_model_input_count(bench->model), logits, err);
    end_parts(bench);
    mega_prepared_free(&clip);
    free(logits);
    return code;
}

static int translate_once(Bench *bench, MegaError *err)
{
    const Options *options = bench->options;
    MegaSearchOptions search = mega_search_defaults();
    MegaInput *sources = calloc((size_t)options->batch, sizeof *sources);
    MegaTranslation *results = calloc((size_t)options->batch, sizeof *results);
    int code = 0;
    search.beam = options->beam;
    search.max_len_b = options->tokens - 1; /* </s> is the last token */
    search.min_len = options->tokens - 1;
    for (int i = 0; sources && i < options->batch; i++)
        sources[i] = (MegaInput){.kind = MEGA_INPUT_TOKENS, .tokens = bench->tokens + i,
                                 .length = (size_t)options->length};
    if (!sources || !results)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d sources", options->batch);
    else {
        begin_parts(bench);
        code = mega_session_translate(bench->session, sources, options->batch, &search, results,
                                      err);
        end_parts(bench);
    }
    for (int i = 0; results && !code && i < options->batch; i++)
        mega_translation_free(&results[i]);
    free(sources);
    free(results);
    return code;
}

/* Generates --tokens tokens. Their clock starts only after --length tokens have been fed, which
 * has another. */
static int generate_once(Bench *bench, Times *times, MegaError *err)
{
    const Options *options = bench->options;
    MegaDecoder *decoder = NULL;
    MegaSamplingOptions sampling = mega_sampling_defaults();
    sampling.greedy = true;
    MegaDecoderOptions decoding = {.exact_top = mega_sampling_exact_top(&sampling)};
    float *logits = malloc((size_t)mega_model_vocab_size(bench->model) * sizeof *logits);
    int code = logits ? mega_decoder_new(&decoder, bench->session, &decoding, err)
                      : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the logits");
    if (!code)
        code = mega_decoder_begin(decoder, NULL, 1, err);
    double begun = clock_seconds();
    for (int left = options->length; left > 0 && !code; left -= 1024)
        code = mega_decoder_feed(decoder, bench->tokens, left < 1024 ? (size_t)left : 1024, NULL,
                                 err);
    times->read = clock_seconds() - begun;
    if (bench->shows_parts)
        mega_session_set_tap(bench->session, watch, bench);
    begun = clock_seconds();
    begin_parts(bench);
    for (int i = 0; i < options->tokens && !code; i++)
        code = mega_decoder_step(decoder, &bench->tokens[i % 1024], logits, err);
    end_parts(bench);
    times->run = clock_seconds() - begun;
    mega_session_set_tap(bench->session, NULL, NULL);
    mega_decoder_free(decoder);
    free(logits);
    return code;
}

static int run_once(Bench *bench, Times *times, MegaError *err)
{
    *times = (Times){0};
    const MegaTaskTraits *traits = mega_task_traits(mega_model_task(bench->model));
    if (!traits->has_encoder)
        return generate_once(bench, times, err);
    if (bench->shows_parts)
        mega_session_set_tap(bench->session, watch, bench);
    double begun = clock_seconds();
    int code = traits->has_cross ? translate_once(bench, err) : classify_once(bench, err);
    times->run = clock_seconds() - begun;
    return code;
}

static WeightType weight_type(const MegaModel *model)
{
    const MegaStack *stack = model->encoder.weights ? &model->encoder : &model->decoder;
    const MegaPacked *matrix = mega_layer_view(stack, 0).matrix;
    MegaDtype dtype = matrix ? matrix->dtype : MEGA_F32;
    const MegaDtypeTraits *traits = mega_dtype_traits((int)dtype);
    return (WeightType){(double)traits->item_size / traits->block, mega_dtype_quantized(dtype)};
}

/* Returns the least seconds that the machine needs for the work of a run. */
static double limit(const Bench *bench)
{
    const Options *options = bench->options;
    const MegaConfig *config = mega_model_config(bench->model);
    size_t length = (size_t)options->length, tokens = (size_t)options->tokens;
    WeightType weight = weight_type(bench->model);
    if (mega_config_has_head(config)) {
        size_t positions = length;
        if (config->embed.kind == MEGA_EMBED_FRAMES)
            positions = (length - 1) / (size_t)config->embed.frame_hop + 1;
        else if (config->embed.kind == MEGA_EMBED_PATCHES)
            positions = length / (size_t)mega_embed_fan_in(&config->embed);
        return work_limit(&bench->machine, work_encode(config, weight, positions, 1)) *
               mega_model_input_count(bench->model);
    }
    size_t rows = mega_config_has_cross(config)
                      ? (size_t)options->batch * (size_t)options->beam
                      : 1;
    size_t begin = mega_config_has_cross(config) ? 0 : length;
    double sum = 0;
    if (mega_config_has_cross(config))
        sum = work_limit(&bench->machine,
                         work_encode(config, weight, length, (size_t)options->batch));
    for (size_t t = 0; t < tokens; t++)
        sum += work_limit(&bench->machine, work_decode(config, weight, rows, begin + t,
                                                        length));
    return sum;
}

static int measure(Bench *bench, Result *out, MegaError *err)
{
    double sum = 0, square = 0, read = 0;
    Times times;
    int n = bench->options->repeats;
    Progress progress;
    progress_begin(&progress, (uint64_t)n + 1, "runs", bench->options->quiet);
    /* the first run makes plans and warms caches up, so it is not measured */
    int code = run_once(bench, &times, err);
    bench->peak = peak_megabytes();
    if (!code)
        code = machine_measure(&bench->machine, bench->session->kernels, bench->session->pool,
                               err);
    bench->shows_parts = bench->options->breakdown;
    memset(bench->parts, 0, sizeof bench->parts);
    for (int i = 0; i < n && !code; i++) {
        progress_update(&progress, (uint64_t)i + 1);
        code = run_once(bench, &times, err);
        sum += times.run;
        square += times.run * times.run;
        read += times.read;
    }
    progress_end(&progress);
    if (!code)
        code = machine_measure(&bench->machine, bench->session->kernels, bench->session->pool,
                               err);
    out->mean = sum / n;
    out->sd = n > 1 ? sqrt(fmax(0, (square - sum * sum / n) / (n - 1))) : 0;
    out->limit = limit(bench);
    out->read = read / n;
    if (out->read > 0)
        out->read_limit =
            work_limit(&bench->machine,
                       work_read(mega_model_config(bench->model), weight_type(bench->model),
                                 (size_t)bench->options->length));
    const MegaTaskTraits *traits = mega_task_traits(mega_model_task(bench->model));
    out->what = mega_task_name(mega_model_task(bench->model));
    out->unit = traits->has_head ? "positions" : "tokens";
    out->amount = traits->has_head ? (double)bench->options->length
                                   : (double)bench->options->tokens *
                                         (traits->has_cross ? bench->options->batch : 1);
    return code;
}

/* ---- Output --------------------------------------------------------------------------------- */

static int first_part(const Options *options)
{
    return options->input ? READ : EMBED;
}

static void print_json_result(const Bench *bench, const Result *r)
{
    const Options *options = bench->options;
    json_t *object = json_pack(
        "{s:o,s:s,s:s,s:i,s:i,s:i,s:i,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "model",
        json_text(options->model),
        "task", r->what, "cpu", bench->session->kernels->name, "threads", bench->machine.threads,
        "length", options->length, "beam", options->beam, "batch", options->batch, "mean_ms",
        r->mean * 1e3, "sd_ms", r->sd * 1e3, "per_second", r->amount / r->mean, "of_limit",
        r->limit / r->mean, "peak_mb", bench->peak, "gflops", bench->machine.flops / 1e9,
        "int8_gops", bench->machine.int8_ops / 1e9, "gb_per_second",
        bench->machine.bandwidth / 1e9);
    if (r->read > 0) {
        json_object_set_new(object, "read_ms", json_real(r->read * 1e3));
        json_object_set_new(object, "read_of_limit", json_real(r->read_limit / r->read));
    }
    if (options->breakdown) {
        json_t *parts = json_object();
        for (int i = first_part(options); i < PART_COUNT; i++)
            json_object_set_new(parts, part_names[i],
                                json_real(bench->parts[i] / options->repeats * 1e3));
        json_object_set_new(object, "parts_ms", parts);
    }
    print_json_line(object);
}

/* Explains how a run can be faster than its limit: the limit is measured before and after the runs,
 * not during them. */
static void explain_excess(const Result *r)
{
    if (r->limit > r->mean)
        report("%.0f %% of the limit: the runs were faster than the probes of the machine, because "
               "weights stayed in its caches, or because it was busier while it was probed",
               100 * r->limit / r->mean);
}

static void print_result(const Bench *bench, const Result *r)
{
    const Options *options = bench->options;
    const char *format[] = {
        "%s: %s, %s, %d thread%s: %.2f ms +- %.2f, %.0f %s/s, %.0f %% of the limit, peak %.1f MB\n",
        "| %s | %s | %s | %d%.0s | %.2f ± %.2f | %.0f %s/s | %.0f %% | %.1f MB |\n",
        "%s,%s,%s,%d%.0s,%.3f,%.3f,%.1f,%s,%.1f,%.1f\n"};
    if (options->format == JSON) {
        print_json_result(bench, r);
        return;
    }
    if (options->format == TEXT && !options->is_next)
        printf("machine: %.1f GFLOP/s, %.1f GOP/s with 8 bits, %.1f GB/s with %d thread%s\n",
               bench->machine.flops / 1e9, bench->machine.int8_ops / 1e9,
               bench->machine.bandwidth / 1e9, bench->machine.threads,
               bench->machine.threads == 1 ? "" : "s");
    else if (options->format == MARKDOWN && !options->is_next)
        puts("| model | task | kernels | threads | ms | speed | of the limit | peak memory |\n"
             "|---|---|---|---:|---:|---:|---:|---:|");
    else if (!options->is_next)
        puts("model,task,kernels,threads,ms,sd,per_second,unit,percent_of_limit,peak_mb");
    printf(format[options->format], options->model, r->what, bench->session->kernels->name,
           bench->machine.threads, bench->machine.threads == 1 ? "" : "s", r->mean * 1e3,
           r->sd * 1e3, r->amount / r->mean, r->unit,
           100 * r->limit / r->mean, bench->peak);
    if (r->read > 0 && options->format == TEXT)
        printf("  reading %d tokens before: %.2f ms, %.0f tokens/s, %.0f %% of the limit\n",
               options->length, r->read * 1e3, options->length / r->read,
               100 * r->read_limit / r->read);
    for (int i = first_part(options); options->breakdown && i < PART_COUNT; i++)
        printf("%s%-32s %8.2f ms\n", options->format == CSV ? "# " : "  ", part_names[i],
               bench->parts[i] / options->repeats * 1e3);
}

/* ---- The command ---------------------------------------------------------------------------- */

static int at_most(int wanted, int64_t room)
{
    return wanted < room ? wanted : (int)room;
}

/* Chooses the lengths that the command line does not give. Where a table limits the positions, a
 * translator gets what fits into it, and a language model half of it each for --length and
 * --tokens. */
static void choose_lengths(Options *options, const MegaConfig *config)
{
    const MegaEmbedConfig *embed = &config->embed;
    bool translator = mega_config_has_cross(config);
    bool classifier = mega_config_has_head(config);
    bool language = !mega_task_traits(config->task)->has_encoder;
    int64_t sources = mega_stack_reach(config, &config->encoder).positions;
    int64_t half = mega_decoder_positions(config) / 2;
    bool states_length =
        embed->kind == MEGA_EMBED_FRAMES || mega_stack_reach(config, &config->encoder).chunk == 0;
    if (classifier && embed->kind == MEGA_EMBED_PATCHES)
        options->length = (int)mega_config_input_length(config);
    else if (options->length == 0 && translator)
        options->length = at_most(25, sources);
    else if (options->length == 0 && classifier && states_length)
        options->length = (int)mega_config_input_length(config);
    else if (options->length == 0)
        options->length = at_most(1024, language ? half : sources);
    if (options->tokens == 0 && language)
        options->tokens = at_most(64, half);
    else if (options->tokens == 0)
        options->tokens = translator ? at_most(25, mega_decoder_positions(config)) : 64;
}

/* Makes pseudorandom ids or numbers, which are the same in every run. */
static int make_input(Bench *bench, MegaError *err)
{
    const MegaConfig *config = mega_model_config(bench->model);
    int vocab = mega_config_has_encoder(config) ? config->embed.vocab : config->target.vocab;
    size_t count = (size_t)bench->options->length + (size_t)bench->options->batch + 1024;
    bool ids = mega_model_input_kind(bench->model) == MEGA_INPUT_TOKENS;
    uint32_t state = 1;
    int code = mega_session_check_memory(bench->session, count * sizeof(float), "the input", err);
    if (code)
        return code;
    bench->tokens = ids ? malloc(count * sizeof *bench->tokens) : NULL;
    bench->values = ids ? NULL : malloc(count * sizeof *bench->values);
    if (!bench->tokens && !bench->values)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu random numbers", count);
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        if (ids)
            bench->tokens[i] = vocab > 4 ? 4 + (int32_t)((state >> 8) % (uint32_t)(vocab - 4)) : 0;
        else
            bench->values[i] = (float)(state >> 8) / (float)(1 << 23) - 1.0f;
    }
    return 0;
}

/* Opens the file of --input, whose length replaces --length. */
static int open_input(Bench *bench, Options *options, MegaError *err)
{
    MegaPrepared clip = {0};
    const MegaPipelineOptions input = {.session = options->session, .media = mega_media()};
    int code = mega_input_reader_new(&bench->reader, bench->model, &input, err);
    if (!code)
        code = read_input(bench, &clip, err);
    if (!code)
        options->length = clip.views[0].kind == MEGA_INPUT_IMAGE
                              ? clip.views[0].channels * clip.views[0].height * clip.views[0].width
                              : (int)clip.views[0].length;
    mega_prepared_free(&clip);
    return code;
}

/* Opens the model of -m, or that for the file of --input, which is checked first. */
static int choose_model(const Options *options, MegaModel **model, char **path, MegaError *err)
{
    struct stat info;
    const char *input = options->input;
    ModelWish wish = {.given = options->model, .task = MEGA_TASK_CLASSIFY};
    if (input && (strcmp(input, "-") == 0 || (stat(input, &info) == 0 && !S_ISREG(info.st_mode) &&
                                              !S_ISDIR(info.st_mode))))
        return mega_fail(err, MEGA_ERR_INPUT,
                         "%s: every run reads the input anew; expected a regular file",
                         mega_source_name(input));
    if (!wish.given && !(wish.kind = content_of_path(input)))
        return fail_unknown_content(input, err);
    return open_model(model, path, &wish, options->session.max_memory, err);
}

static int run(Options *options)
{
    Bench bench = {.options = options};
    Result result = {0};
    MegaError err = {0};
    double begun = clock_seconds();
    char *path = NULL;
    int code = choose_model(options, &bench.model, &path, &err);
    options->model = path;
    if (!code) {
        choose_lengths(options, mega_model_config(bench.model));
        code = mega_session_new(&bench.session, bench.model, &options->session, &err);
    }
    if (!code && options->input && !mega_task_traits(mega_model_task(bench.model))->takes_media)
        code = mega_fail(&err, MEGA_ERR_ARGUMENT, "%s: --input is for classifiers, which this "
                         "model is not", options->model);
    else if (!code)
        code = options->input ? open_input(&bench, options, &err) : make_input(&bench, &err);
    if (!code && options->verbose)
        verbose_session(options->model, bench.session, clock_seconds() - begun);
    if (!code)
        code = measure(&bench, &result, &err);
    if (code)
        report("%s", err.text);
    else
        print_result(&bench, &result);
    if (!code && !options->quiet && options->format == TEXT)
        explain_excess(&result);
    free(bench.tokens);
    free(bench.values);
    mega_input_reader_free(bench.reader);
    mega_session_free(bench.session);
    mega_model_free(bench.model);
    free(path);
    return finish_output(code ? 1 : 0);
}

/* Without -m and --input, every model that is found is measured. */
static int run_all(const Options *options)
{
    ModelList list;
    MegaError err = {0};
    int status = 0;
    if (model_list_read(&list, &err) || list.count == 0) {
        report("%s", err.code ? err.text : "no model was found; name one with -m");
        status = 1;
    }
    for (size_t i = 0; i < list.count && !err.code; i++) {
        Options one = *options;
        one.model = list.models[i].path;
        one.is_next = i > 0;
        if (run(&one))
            status = 1;
    }
    model_list_free(&list);
    return status;
}

static int take_format(const CommandOption *option, const char *value, MegaError *err)
{
    static const char *const names[FORMAT_COUNT] = {"text", "markdown", "csv", "json"};
    for (int i = 0; i < FORMAT_COUNT; i++)
        if (strcmp(value, names[i]) == 0) {
            *(Format *)option->out = (Format)i;
            return 0;
        }
    return refuse_value(option, value, err, "text, markdown, csv or json");
}

int command_bench(int argc, char **argv)
{
    Options options = {.beam = 1, .batch = 1, .repeats = 5};
    bool json = false;
    const CommandOption table[] = {
        MODEL_OPTION(&options.model),
        {.name = "input", .letter = 'i', .also = "file", .take = take_text, .out = &options.input},
        {.name = "length", .hints = "p", .take = take_int, .out = &options.length, .least = 1,
         .most = 1 << 26},
        {.name = "tokens", .hints = "n", .take = take_int, .out = &options.tokens, .least = 2,
         .most = 1 << 26},
        {.name = "beam", .also = "beam-size", .take = take_int, .out = &options.beam, .least = 1,
         .most = 1024},
        {.name = "batch", .also = "batch-size", .take = take_int, .out = &options.batch,
         .least = 1, .most = 4096},
        {.name = "repeats", .hints = "n", .take = take_int, .out = &options.repeats, .least = 1,
         .most = 10000},
        {.name = "breakdown", .take = take_flag, .out = &options.breakdown},
        {.name = "format", .hints = "o", .take = take_format, .out = &options.format},
        JSON_OPTION(&json),
        SESSION_OPTIONS(&options.session),
        QUIET_OPTION(&options.quiet),
        VERBOSE_OPTION(&options.verbose),
        {0}};
    int inputs, status;
    if (!read_command_line(&(CommandSyntax){"bench", help, table}, argc, argv, &inputs, &status))
        return status;
    if (json)
        options.format = JSON;
    if (inputs > !options.model)
        return usage_error("bench", "unexpected argument '%s'", argv[inputs]);
    if (inputs)
        options.model = argv[1];
    return options.model || options.input ? run(&options) : run_all(&options);
}
