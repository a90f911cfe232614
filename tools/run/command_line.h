/*
 * command_line.h - options that several commands of mega-run share, and how their values are read.
 */
#ifndef MEGA_RUN_COMMAND_LINE_H
#define MEGA_RUN_COMMAND_LINE_H

#include "tools/common/command_line.h"
#include "tools/run/shard.h"

int take_seconds(const CommandOption *option, const char *value, MegaError *err); /* double > 0 */
int take_rate(const CommandOption *option, const char *value, MegaError *err);    /* double > 0 */
int take_probability(const CommandOption *option, const char *value, MegaError *err); /* double */
int take_seed(const CommandOption *option, const char *value, MegaError *err);    /* uint64_t */
/* Stores --chunk of a decoder in an int, as MegaDecoderOptions has it: 0 (no chunks) becomes -1. */
int take_chunk(const CommandOption *option, const char *value, MegaError *err);
/* Stores the name of kernels that this machine has in a const char *. */
int take_cpu(const CommandOption *option, const char *value, MegaError *err);
/* Stores "f32" or "bf16" in a const char *. */
int take_precision(const CommandOption *option, const char *value, MegaError *err);

/* Stores --max-memory in a MegaSessionOptions, and where long inputs spill to: $TMPDIR, or else
 * /var/tmp. */
int take_max_memory(const CommandOption *option, const char *value, MegaError *err);

/* Stores --shard I/N in a Shard. */
int take_shard(const CommandOption *option, const char *value, MegaError *err);

/* Stores the format of --raw in a MegaPcm. Without the option its rate stays 0. */
int take_raw(const CommandOption *option, const char *value, MegaError *err);

/* Options that mean the same in every command. */
#define MODEL_OPTION(target) {.name = "model", .letter = 'm', .take = take_text, .out = (target)}
#define OUTPUT_OPTION(target) {.name = "output", .letter = 'o', .take = take_text, .out = (target)}
#define JSON_OPTION(target)                                                                        \
    {.name = "json", .also = "output-json", .take = take_flag, .out = (target)}
#define QUIET_OPTION(target) {.name = "quiet", .letter = 'q', .take = take_flag, .out = (target)}
#define VERBOSE_OPTION(target)                                                                     \
    {.name = "verbose", .letter = 'v', .take = take_flag, .out = (target)}
/* -i FILE and -f FILE, which other programs want before their inputs. */
#define INPUT_OPTIONS                                                                              \
    {.name = "input", .letter = 'i', .take = take_input},                                          \
        {.name = "file", .letter = 'f', .take = take_input}
/* Options that say how a session runs; target is a MegaSessionOptions. */
#define SESSION_OPTIONS(target)                                                                    \
    {.name = "threads", .letter = 't', .also = "num-threads n-threads", .take = take_int,          \
     .out = &(target)->threads, .least = 1, .most = 256},                                          \
        {.name = "cpu", .take = take_cpu, .out = &(target)->cpu},                                  \
        {.name = "precision", .take = take_precision, .out = &(target)->precision},                \
        {.name = "max-memory", .take = take_max_memory, .out = (target)}
/* The rate of MegaSessionOptions. */
#define RATE_OPTION(target) {.name = "rate", .take = take_rate, .out = &(target)->rate}
#define SESSION_HELP                                                                               \
    "  -t, --threads N         threads (one for each processor)\n"                                 \
    "      --cpu NAME          kernels: generic, avx2 ... (the best of this machine)\n"            \
    "      --precision TYPE    multiply floats in f32 (default), or in bf16 with kernels amx\n"    \
    "      --max-memory SIZE   use at most SIZE, such as 300M; refuse what needs more\n"
/* Options of commands that take any number of inputs; target is a Shard. */
#define SHARD_OPTIONS(target)                                                                      \
    {.name = "shard", .take = take_shard, .out = (target)},                                        \
        {.name = "results", .take = take_text, .out = &(target)->results}
#define SHARD_HELP                                                                                 \
    "      --shard I/N         the I-th of N parts of the inputs, in their order\n"                \
    "      --results FILE      print to FILE, which appears when complete; skip if it exists\n"
/* The last options of commands that go through files of text or a list of inputs. */
#define FILE_OPTIONS(session, quiet, verbose)                                                      \
    SESSION_OPTIONS(session), QUIET_OPTION(quiet), VERBOSE_OPTION(verbose), INPUT_OPTIONS

#endif
