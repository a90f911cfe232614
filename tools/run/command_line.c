/*
 * command_line.c - see command_line.h.
 */
#include "tools/run/command_line.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/media/pcm.h"
#include "src/kernels/kernels.h"
#include "tools/common/messages.h"

const char program_name[] = "mega-run";

const ForeignOption foreign_options[] = {
    {'o', "output", "results go to standard output: put '> FILE' at the end"},
    {'f', "file", "inputs are named without an option"},
    {'i', "input", "inputs are named without an option"},
    {'p', "prompt", "inputs are named without an option"},
    {0, "text", "inputs are files; '-' reads standard input"},
    {0},
};

int take_seconds(const CommandOption *option, const char *value, MegaError *err)
{
    double *out = option->out;
    if (parse_real(value, 0, HUGE_VAL, out) && isfinite(*out) && *out > 0)
        return 0;
    return refuse_value(option, value, err, "seconds, more than 0");
}

int take_rate(const CommandOption *option, const char *value, MegaError *err)
{
    double *out = option->out;
    if (parse_real(value, 1e-3, 1e3, out))
        return 0;
    return refuse_value(option, value, err, "a number from 0.001 to 1000");
}

int take_probability(const CommandOption *option, const char *value, MegaError *err)
{
    double *out = option->out;
    if (parse_real(value, 0, 1, out) && *out > 0)
        return 0;
    return refuse_value(option, value, err, "a number above 0, at most 1");
}

int take_seed(const CommandOption *option, const char *value, MegaError *err)
{
    char *end;
    errno = 0;
    *(uint64_t *)option->out = strtoull(value, &end, 10);
    if (*value >= '0' && *value <= '9' && *end == '\0' && errno == 0)
        return 0;
    return refuse_value(option, value, err, "a whole number from 0 to %llu",
                        (unsigned long long)UINT64_MAX);
}

int take_chunk(const CommandOption *option, const char *value, MegaError *err)
{
    int *out = option->out;
    if (!parse_int(value, 0, 1 << 26, out))
        return refuse_value(option, value, err, "a whole number from 0 (no chunks) to %d", 1 << 26);
    if (*out == 0)
        *out = -1;
    return 0;
}

int take_cpu(const CommandOption *option, const char *value, MegaError *err)
{
    const MegaKernels *all[MEGA_MOST_TIERS];
    const size_t count = mega_kernels_all(all);
    char names[200] = "";
    size_t used = 0;
    *(const char **)option->out = value;
    /* OpenBLAS is loaded later, with the session, which reports an error if that fails. */
    if ((MEGA_WITH_OPENBLAS && strcmp(value, "openblas") == 0) || mega_kernels_by_name(value))
        return 0;
    for (size_t i = 0; i < count && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                 all[i]->name);
    return refuse_value(option, value, err, "the kernels that this machine has: %s%s", names,
                        MEGA_WITH_OPENBLAS ? ", openblas" : "");
}

int take_precision(const CommandOption *option, const char *value, MegaError *err)
{
    *(const char **)option->out = value;
    if (strcmp(value, "f32") == 0 || strcmp(value, "bf16") == 0)
        return 0;
    return refuse_value(option, value, err, "f32 or bf16");
}

int take_max_memory(const CommandOption *option, const char *value, MegaError *err)
{
    MegaSessionOptions *session = option->out;
    CommandOption size = *option;
    const char *folder = getenv("TMPDIR");
    session->spill = folder && *folder ? folder : "/var/tmp";
    size.out = &session->max_memory;
    return take_size(&size, value, err);
}

int take_shard(const CommandOption *option, const char *value, MegaError *err)
{
    Shard *shard = option->out;
    char number[16];
    const char *slash = strchr(value, '/');
    const size_t length = slash ? (size_t)(slash - value) : 0;
    if (length > 0 && length < sizeof number &&
        parse_int(slash + 1, 1, MOST_SHARDS, &shard->count)) {
        memcpy(number, value, length);
        number[length] = '\0';
        if (parse_int(number, 1, shard->count, &shard->number))
            return 0;
    }
    return refuse_value(option, value, err, "I/N, such as 3/8, with I from 1 to N and N up to %d",
                        MOST_SHARDS);
}

int take_raw(const CommandOption *option, const char *value, MegaError *err)
{
    MegaError inner = {0};
    if (mega_pcm_parse(option->out, value, &inner))
        return mega_fail(err, inner.code, "--raw: %s", inner.text);
    return 0;
}
