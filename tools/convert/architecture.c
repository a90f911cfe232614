/*
 * architecture.c - see architecture.h.
 */
#include "tools/convert/architecture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/convert/families/detection.h"
#include "tools/convert/families/s4.h"

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

/* ---- Tensors -------------------------------------------------------------------------------- */

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

const MegaCheckpointTensor *architecture_find(const Architecture *architecture, const char *name)
{
    for (int i = 0; i < 2 && architecture->tied; i++)
        if (strcmp(name, architecture->tied_names[i]) == 0)
            return architecture->tied;
    const MegaCheckpointTensor *tensor = names_get(&architecture->names, name);
    if (!tensor && strncmp(name, "mega.", 5) == 0)
        tensor = names_get(&architecture->names, name + 5);
    const SharedName *row = architecture->shared;
    char other[160];
    for (size_t i = 0; row && row[i].name && !tensor; i++)
        if (architecture->sharing & 1u << i && shared_name(&row[i], name, other, sizeof other))
            tensor = names_get(&architecture->names, other);
    return tensor;
}

/* ---- Families ------------------------------------------------------------------------------- */

typedef struct Family {
    const char *name;
    const NameRule *tensor_names;
    MegaTask task;
    /* a tensor that every checkpoint of the family has, and none of a family further down has */
    const char *mark;
    int (*detect)(Detection *detection);
} Family;

static const Family families[] = {
    {"fairseq classifier", fairseq_names, MEGA_TASK_CLASSIFY,
     "encoder.encoder.layers.0.mega_layer.move.omega", detect_classifier},
    {"image classifier", vision_names, MEGA_TASK_CLASSIFY, "blocks.0.mega_layer.move.omega",
     detect_vision},
    {"fairseq translator", fairseq_names, MEGA_TASK_TRANSLATE,
     "encoder.layers.0.mega_layer.move.omega", detect_translator},
    {"fairseq language model", fairseq_names, MEGA_TASK_GENERATE,
     "decoder.layers.0.mega_layer.move.omega", detect_language_model},
    {"S4 model", s4_names, MEGA_TASK_CLASSIFY, "model.layers.0.layer.layer.kernel.inv_dt",
     detect_s4},
    {"S4 model of release 3", s4_names3, MEGA_TASK_CLASSIFY,
     "model.layers.0.layer.kernel.kernel.inv_w_real", detect_s4_release3},
    {"S4 model of release 3", s4_names3, MEGA_TASK_CLASSIFY,
     "model.layers.0.layer.kernel.kernel.inv_A_real", detect_s4_release3},
    {"S4 model of release 2", s4_names2, MEGA_TASK_CLASSIFY,
     "model.layers.0.layer.kernel.kernel.log_w_real", detect_s4_release2},
    {"S4 model of release 2", s4_names2, MEGA_TASK_CLASSIFY, "model.layers.0.layer.kernel.kernel.w",
     detect_s4_release2},
    {"S4D model", s4d_names, MEGA_TASK_CLASSIFY, "model.layers.0.layer.kernel.log_A_real",
     detect_s4d},
    {"S4 example", s4_example_names, MEGA_TASK_CLASSIFY, "s4_layers.0.layer.kernel.inv_dt",
     detect_s4_example},
    {"S4 example of release 3", s4_example_names3, MEGA_TASK_CLASSIFY,
     "s4_layers.0.kernel.kernel.inv_w_real", detect_s4_example3},
    {"S4 example of release 3", s4_example_names3, MEGA_TASK_CLASSIFY,
     "s4_layers.0.kernel.kernel.inv_A_real", detect_s4_example3},
    {"S4 example of release 2", s4_example_names2, MEGA_TASK_CLASSIFY,
     "s4_layers.0.kernel.kernel.log_w_real", detect_s4_example2},
    {"S4 example of release 2", s4_example_names2, MEGA_TASK_CLASSIFY,
     "s4_layers.0.kernel.kernel.w", detect_s4_example2},
    {"S4D example", s4d_example_names, MEGA_TASK_CLASSIFY, "s4_layers.0.kernel.log_A_real",
     detect_s4d_example},
    {"Hugging Face model", hub_names, MEGA_TASK_FILL,
     "mega.layers.0.mega_layer.ema_gate.damping_factor", detect_hub},
    {"Hugging Face model", hub_names, MEGA_TASK_EMBED,
     "layers.0.mega_layer.ema_gate.damping_factor", detect_hub},
    {"Transformer classifier", transformer_names, MEGA_TASK_CLASSIFY,
     "encoder.encoder.layers.0.self_attn.out_proj.weight", detect_transformer_classifier},
    {"Transformer translator", transformer_names, MEGA_TASK_TRANSLATE,
     "encoder.layers.0.self_attn.out_proj.weight", detect_transformer_translator},
    {"Transformer language model", transformer_names, MEGA_TASK_GENERATE,
     "decoder.layers.0.self_attn.out_proj.weight", detect_transformer_language_model},
};

/* Checks that the checkpoint has the set of weights that the user asked for, in a dict of its own
 * or under a prefix. */
static int check_weights(const Architecture *architecture, const MegaCheckpoint *checkpoint,
                         MegaWeightSet weights, MegaError *err)
{
    bool averaged = mega_checkpoint_averaged(checkpoint) || architecture->names.averaged;
    if (weights == MEGA_WEIGHTS_EMA && !averaged)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "the checkpoint has no averaged weights: neither a dict nor a prefix of "
                         "its tensors has a name such as 'ema'");
    const char *place = mega_checkpoint_place(checkpoint), *prefix = architecture->names.prefix;
    if (weights == MEGA_WEIGHTS_MODEL && averaged)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "the checkpoint has averaged weights only, in '%s%s%s'; --weights ema "
                         "takes them",
                         place, *place && *prefix ? "." : "", prefix);
    return 0;
}

/* Adds to an error a tensor that cannot be read, such as one without a shape, since that may be the
 * cause. */
static int name_unreadable(const Architecture *architecture, int code, MegaError *err)
{
    const Names *names = &architecture->names;
    MegaError first = *err;
    for (size_t i = 0; code && i < names->count; i++)
        if (!names->items[i].tensor->readable)
            return mega_fail(err, code, "%s; note that tensor '%s' is %s, which cannot be read",
                             first.text, names->items[i].tensor->name,
                             names->items[i].tensor->type);
    return code;
}

/* Returns whether arguments are those of S4's framework. Others may have a section "model", too,
 * but not one with a name or with the arguments of a layer. */
static bool is_of_s4(const json_t *args)
{
    const json_t *model = s4_section(args, "model"), *layer = json_object_get(model, "layer");
    return json_is_string(json_object_get(model, "_name_")) || json_is_object(layer) ||
           json_is_array(layer);
}

int architecture_detect(Architecture *out, const MegaCheckpoint *checkpoint, const json_t *args,
                        long chunk_size, MegaWeightSet weights, MegaError *err)
{
    Detection detection = {.out = out, .args = args, .chunk_size = chunk_size, .err = err};
    const char *marks[COUNT(families)];
    int found;
    *out = (Architecture){0};
    for (size_t f = 0; f < COUNT(families); f++)
        marks[f] = families[f].mark;
    int code = hub_check_type(args, err);
    if (!code)
        code = names_find(&out->names, checkpoint, marks, COUNT(families), weights, &found, err);
    if (code)
        return code;
    if (found < 0 && is_of_s4(args) && (code = s4_refuse(&detection)))
        return code;
    if (found < 0)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "none of the known architectures fits the %zu tensors of this "
                         "checkpoint; --list shows them",
                         mega_checkpoint_count(checkpoint));
    if ((code = check_weights(out, checkpoint, weights, err)))
        return code;
    const Family *family = &families[found];
    out->tensor_names = family->tensor_names;
    out->config.task = family->task;
    out->family = family->name;
    code = family->detect(&detection);
    if (!code && detection.missing[0])
        code = mega_fail(err, MEGA_ERR_MODEL,
                         "the tensors do not tell everything; give these arguments of the original "
                         "with --config FILE.json: %s",
                         detection.missing);
    if (!code)
        code = mega_config_check(&out->config, err);
    return name_unreadable(out, code, err);
}

void architecture_free(Architecture *architecture)
{
    names_free(&architecture->names);
}
