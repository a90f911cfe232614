/*
 * serve.c - mega-run serve: answers requests over HTTP. This file reads the options; the rest is in
 * serve/.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "src/base/processors.h"
#include "tools/common/memory.h"
#include "tools/run/command_line.h"
#include "tools/run/options.h"
#include "tools/run/serve/server.h"

static const char help[] =
    "Usage: mega-run serve [-m MODEL...] [OPTION]...\n"
    "\n"
    "Answers requests over HTTP with models that are loaded once: all that 'mega-run models' "
    "lists,\n"
    "or those of -m. http://127.0.0.1:8080/ is a page to try them by hand. SIGTERM finishes what\n"
    "runs and ends; SIGHUP loads models anew whose files have changed. Answers are what the "
    "commands\n"
    "print with --json; mega-run(1) has the fields of the requests.\n"
    "\n"
    "  GET   /health /metrics /v1/models\n"
    "  POST  /v1/classify /v1/translate /v1/completions /v1/embeddings /v1/tokenize\n"
    "        /v1/fill /v1/tag /v1/answer /v1/choose\n"
    "\n"
    "  -m, --model FILE...     the models\n"
    "      --host ADDRESS      where to listen (127.0.0.1); others need one of the next two\n"
    "      --api-key-file FILE requests need a key of this file, which has one a line\n"
    "      --no-key            requests from other machines need none\n"
    "      --port N            (8080; 0: any that is free)\n"
    "      --cors ORIGIN       pages of ORIGIN, such as https://example.org, may ask; '*' is any\n"
    "      --max-body SIZE     largest body of a request (64M)\n"
    "      --timeout S         seconds for a client to send a request (30)\n"
    "      --parallel N        requests, or batches of them, that run at a time (2); without -t "
    "they\n"
    "                          share the processors\n"
    "      --queue N           requests that may wait (256); more are answered with 429\n"
    "      --batch N           lines of waiting requests that are translated together (16; 1: "
    "off)\n"
    "      --streams N         streams of sound at a time (8)\n" SESSION_HELP
    "  -q, --quiet             only errors\n"
    "  -v, --verbose           say what was asked and how long the answer took\n"
    "  -h, --help              show this help\n"
    "\n"
    "Exit status: 0 ended by a signal, 1 cannot start, 2 wrong usage.\n";

static int take_model(const CommandOption *option, const char *value, MegaError *err)
{
    ServeOptions *options = option->out;
    if (options->model_count == SERVE_MAX_NAMES)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "there may be %d models", SERVE_MAX_NAMES);
    options->models[options->model_count++] = value;
    return 0;
}

/* Takes the models that follow the one of -m. */
static int take_more_models(ServeOptions *options, char **names, int count)
{
    const CommandOption model = {.name = "model", .out = options};
    MegaError err = {0};
    if (count && options->model_count == 0)
        return usage_error("serve", "unexpected argument '%s': models are named with -m", names[0]);
    for (int i = 0; i < count; i++)
        if (take_model(&model, names[i], &err))
            return usage_error("serve", "%s", err.text);
    return 0;
}

static int take_origin(const CommandOption *option, const char *value, MegaError *err)
{
    ServeOptions *options = option->out;
    const char *host = strstr(value, "://");
    if (options->origin_count == SERVE_MAX_NAMES)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "--cors may be given %d times", SERVE_MAX_NAMES);
    if (strcmp(value, "*") != 0 && (!host || !host[3] || strchr(host + 3, '/')))
        return refuse_value(option, value, err,
                            "an origin, such as https://example.org, without a path; or '*'");
    options->origins[options->origin_count++] = value;
    return 0;
}

static int check_options(const ServeOptions *options)
{
    if (options->key_file && options->no_key)
        return usage_error("serve", "--api-key-file or --no-key, not both");
    if (!guard_is_loopback(options->host) && !options->key_file && !options->no_key)
        return usage_error("serve",
                           "with --host %s other machines can ask: give --api-key-file, or say "
                           "--no-key",
                           options->host);
    return 0;
}

/* Returns how many threads each worker has, so that together they keep the processors busy. */
static int share_processors(int workers)
{
    const double share = ceil(mega_processors() / workers);
    return share > 1 ? (int)share : 1;
}

int command_serve(int argc, char **argv)
{
    ServeOptions options = {.host = "127.0.0.1",
                            .port = 8080,
                            .max_body = 64000000,
                            .timeout = 30,
                            .parallel = 2,
                            .queue = 256,
                            .batch = 16,
                            .streams = 8};
    const CommandOption table[] = {
        {.name = "model", .letter = 'm', .take = take_model, .out = &options},
        {.name = "host", .take = take_text, .out = &options.host},
        {.name = "port", .take = take_int, .out = &options.port, .most = 65535},
        {.name = "api-key-file", .take = take_text, .out = &options.key_file},
        {.name = "no-key", .take = take_flag, .out = &options.no_key},
        {.name = "cors", .take = take_origin, .out = &options},
        {.name = "max-body", .take = take_size, .out = &options.max_body},
        {.name = "timeout", .take = take_real, .out = &options.timeout, .least = 1, .most = 86400},
        {.name = "parallel", .take = take_int, .out = &options.parallel, .least = 1, .most = 256},
        {.name = "queue", .take = take_int, .out = &options.queue, .least = 1, .most = 100000},
        {.name = "batch", .take = take_int, .out = &options.batch, .least = 1, .most = 4096},
        {.name = "streams", .take = take_int, .out = &options.streams, .least = 0, .most = 256},
        SESSION_OPTIONS(&options.session),
        QUIET_OPTION(&options.quiet),
        VERBOSE_OPTION(&options.verbose),
        {0}};
    int inputs, status;
    if (!read_command_line(&(CommandSyntax){"serve", help, table}, argc, argv, &inputs, &status))
        return status;
    status = take_more_models(&options, argv + 1, inputs);
    if (!options.session.threads)
        options.session.threads = share_processors(options.parallel);
    if (!status)
        status = check_options(&options);
    return status ? status : serve(&options);
}
