/*
 * architecture.c - see architecture.h.
 */
#include "architecture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "detection.h"

/* ---- Arguments ------------------------------------------------------------------------------ */

const json_t *argument(const json_t *args, const char *name, const char *other_name)
{
    const json_t *value = json_object_get(args, name);
    if (!value && other_name)
        value = json_object_get(args, other_name);
    return value;
}

const char *argument_string(const json_t *args, const char *name, const char *other_name)
{
    return json_string_value(argument(args, name, other_name));
}

double argument_number(const json_t *args, const char *name, const char *other_name,
                       double fallback)
{
    const json_t *value = argument(args, name, other_name);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

int argument_integer(const json_t *args, const char *name, const char *other_name, int fallback,
                     int *out, MegaError *err)
{
    const json_t *value = argument(args, name, other_name);
    *out = fallback;
    if (!value || json_is_null(value))
        return 0;
    double number = json_is_number(value) ? json_number_value(value) : NAN;
    if (!(fabs(number) <= INT32_MAX) || number != floor(number)) {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        mega_fail(err, MEGA_ERR_UNSUPPORTED,
                  "argument %s is %.60s, but a whole number (at most %d) or null was expected",
                  json_object_get(args, name) ? name : other_name, text ? text : "something else",
                  INT32_MAX);
        free(text);
        return MEGA_ERR_UNSUPPORTED;
    }
    *out = (int)number;
    return 0;
}

const MegaCheckpointTensor *architecture_find(const Architecture *architecture,
                                              const MegaCheckpoint *checkpoint, const char *name)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", architecture->prefix, name);
    return mega_checkpoint_find(checkpoint, full);
}

/* ---- Families ------------------------------------------------------------------------------- */

typedef struct Family {
    const char *name;
    MegaSource source;
    MegaTask task;
    const char *mark; /* a tensor that all checkpoints of the family have, and none of later rows
                         of the table */
    int (*detect)(Detection *detection);
} Family;

static const Family families[] = {
    {"fairseq classifier", MEGA_SOURCE_FAIRSEQ, MEGA_TASK_CLASSIFY,
     "encoder.encoder.layers.0.mega_layer.move.omega", detect_classifier},
    {"image classifier", MEGA_SOURCE_VISION, MEGA_TASK_CLASSIFY, "blocks.0.mega_layer.move.omega",
     detect_vision},
    {"fairseq translator", MEGA_SOURCE_FAIRSEQ, MEGA_TASK_TRANSLATE,
     "encoder.layers.0.mega_layer.move.omega", detect_translator},
    {"fairseq language model", MEGA_SOURCE_FAIRSEQ, MEGA_TASK_GENERATE,
     "decoder.layers.0.mega_layer.move.omega", detect_language_model},
};

/* Prefixes that wrappers such as DataParallel put in front of every name. */
static const char *const prefixes[] = {"", "module.", "model."};
#define PREFIX_COUNT (sizeof prefixes / sizeof prefixes[0])

int architecture_detect(Architecture *out, const MegaCheckpoint *checkpoint, const json_t *args,
                        long chunk_size, MegaError *err)
{
    Detection detection = {.out = out, .checkpoint = checkpoint, .args = args,
                           .chunk_size = chunk_size, .err = err};
    const Family *family = NULL;
    *out = (Architecture){0};
    for (size_t p = 0; p < PREFIX_COUNT && !family; p++) {
        out->prefix = prefixes[p];
        for (size_t f = 0; f < sizeof families / sizeof families[0] && !family; f++)
            if (find(&detection, families[f].mark))
                family = &families[f];
    }
    if (!family)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "none of the known MEGA architectures fits the %zu tensors of this "
                         "checkpoint; --list shows them",
                         mega_checkpoint_count(checkpoint));
    out->source = family->source;
    out->config.task = family->task;
    out->family = family->name;
    int code = family->detect(&detection);
    if (code)
        return code;
    if (detection.missing[0])
        return mega_fail(err, MEGA_ERR_MODEL,
                         "the tensors do not tell everything; give these arguments of the original "
                         "with --config FILE.json: %s",
                         detection.missing);
    return mega_config_check(&out->config, err);
}
