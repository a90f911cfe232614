/*
 * s4.c - detects S4's models: those of the framework, whose arguments are sections (model, dataset,
 * encoder, decoder), and those of the example script, which has options.
 *
 * Sizes come from tensors. Arguments decide what no tensor shows. What this version cannot run is
 * refused by the name of its argument.
 */
#include "tools/convert/families/s4.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define UNSUPPORTED(...) mega_fail(detection->err, MEGA_ERR_UNSUPPORTED, __VA_ARGS__)

/* Says where a family's tensors lie, and what its release takes if an argument is absent. */
typedef struct Release {
    const char *layer;  /* "model.layers.0.layer." */
    const char *kernel; /* follows `layer` in the names of a kernel's tensors: "layer.kernel." */
    const char *d;      /* follows `layer`: "layer.D" */
    int number;         /* 2, 3, 4; 1 for the minimal layer */
    bool example;
} Release;

/* ---- Arguments in sections ------------------------------------------------------------------ */

const json_t *s4_section(const json_t *args, const char *name)
{
    const json_t *value = json_object_get(args, name);
    return json_is_object(value) ? value : NULL;
}

/* Returns the name of a section that may be a string or an object, or NULL. */
static const char *section_name(const json_t *args, const char *name)
{
    const json_t *value = json_object_get(args, name);
    return json_is_object(value) ? json_string_value(json_object_get(value, "_name_"))
                                 : json_string_value(value);
}

static bool is_true(const json_t *args, const char *name, bool absent)
{
    const json_t *value = json_object_get(args, name);
    if (json_is_number(value))
        return json_number_value(value) != 0;
    return value ? json_is_true(value) : absent;
}

/* Returns whether an argument is there and not null. */
static bool is_set(const json_t *args, const char *name)
{
    const json_t *value = json_object_get(args, name);
    return value && !json_is_null(value);
}

/* Returns a text, or `absent` if there is no such argument, or "none" if it is null. */
static const char *text_of(const json_t *args, const char *name, const char *absent)
{
    const json_t *value = json_object_get(args, name);
    return !value                  ? absent
           : json_is_null(value)   ? "none"
           : json_is_string(value) ? json_string_value(value)
                                   : "something that is not text";
}

/* Reads an argument that names a value. */
static int named(const Detection *detection, const json_t *args, const char *section,
                 const char *name, const char *absent, int (*by_name)(const char *), int *out)
{
    const char *text = text_of(args, name, absent);
    *out = by_name(text);
    if (*out >= 0)
        return 0;
    return UNSUPPORTED("argument %s.%s is '%.60s', which is not supported", section, name, text);
}

/* ---- Refusals ------------------------------------------------------------------------------- */

/* Refuses an argument that is there and has none of the allowed values. */
static int must_be(const Detection *detection, const json_t *args, const char *section,
                   const char *name, const char *const *allowed)
{
    const char *text = text_of(args, name, allowed[0]);
    for (size_t i = 0; allowed[i]; i++)
        if (strcmp(text, allowed[i]) == 0)
            return 0;
    return UNSUPPORTED("argument %s.%s is '%.60s', which this version cannot run", section, name,
                       text);
}

static int refuse_model(const Detection *detection, const json_t *model)
{
    static const char *const names[] = {"model", NULL}, *const residuals[] = {"R", NULL};
    static const char *const layers[] = {"s4", "standalone", "s4d", NULL};
    static const char *const modes[] = {"nplr", "dplr", "s4", "diag", "s4d", "diagonal", NULL};
    static const char *const norms[] = {"none", "batch", "layer", NULL};
    const json_t *layer = json_object_get(model, "layer"), *pool = s4_section(model, "pool");
    const double stride = argument_number(pool, "stride", NULL, 1);
    if (json_is_array(layer))
        return UNSUPPORTED("argument model.layer is a list of layers; only models whose layers are "
                           "all alike are supported");
    int code = must_be(detection, model, "model", "_name_", names);
    if (!code && json_is_object(model) && !is_set(model, "residual"))
        code = UNSUPPORTED("argument model.residual is none: the layers replace their input, which "
                           "this version cannot run");
    if (!code)
        code = must_be(detection, model, "model", "residual", residuals);
    if (!code)
        code = must_be(detection, model, "model", "norm", norms);
    if (!code)
        code = must_be(detection, layer, "model.layer", "_name_", layers);
    if (!code)
        code = must_be(detection, layer, "model.layer", "mode", modes);
    if (!code && is_true(model, "bidirectional", false))
        code = UNSUPPORTED("argument model.bidirectional is true: a second stack of layers runs "
                           "backward, which this version cannot run");
    if (!code && stride > 1)
        code =
            UNSUPPORTED("argument model.pool.stride is %g: the layers drop positions, which this "
                        "version cannot run",
                        stride);
    if (!code && is_true(layer, "weight_norm", false))
        code = UNSUPPORTED("argument model.layer.weight_norm is true, which this version cannot "
                           "run");
    return code;
}

static int refuse_data(const Detection *detection, const json_t *args)
{
    static const char *const encoders[] = {"embedding", "linear", "onehot", "none", NULL};
    static const char *const decoders[] = {"sequence", "retrieval", "none", NULL};
    static const char *const levels[] = {"char", NULL};
    static const struct {
        const char *name, *what;
    } flags[] = {{"mfcc", "features of sound"},
                 {"tokenize", "pixels as tokens"},
                 {"discrete_input", "samples as tokens"}};
    const json_t *data = s4_section(args, "dataset");
    const struct {
        const char *section, *const *allowed;
    } parts[] = {{"encoder", encoders}, {"decoder", decoders}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (json_is_array(json_object_get(args, parts[i].section)))
            return UNSUPPORTED("argument %s is a list, which this version cannot run",
                               parts[i].section);
        const char *name = section_name(args, parts[i].section);
        const json_t *one = name ? json_pack("{s:s}", "_name_", name) : NULL;
        int code = must_be(detection, one, parts[i].section, "_name_", parts[i].allowed);
        json_decref((json_t *)one);
        if (code)
            return code;
    }
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (is_true(data, flags[i].name, false))
            return UNSUPPORTED("argument dataset.%s is true (%s), which this version cannot "
                               "prepare",
                               flags[i].name, flags[i].what);
    if (argument_number(data, "dropped_rate", NULL, 0) > 0)
        return UNSUPPORTED("argument dataset.dropped_rate is above 0: samples are left out, which "
                           "this version cannot prepare");
    const char *name = section_name(args, "dataset");
    if (name && strcmp(name, "mnist") != 0 && is_set(data, "permute") &&
        !json_is_false(json_object_get(data, "permute")))
        return UNSUPPORTED("argument dataset.permute is set: the order of pixels is another one, "
                           "which this version cannot prepare");
    return must_be(detection, data, "dataset", "level", levels);
}

int s4_refuse(const Detection *detection)
{
    const json_t *model = s4_section(detection->args, "model");
    if (!model)
        return 0;
    int code = refuse_model(detection, model);
    return code ? code : refuse_data(detection, detection->args);
}

/* Refuses parts of a model that show only in the names of tensors. */
static int refuse_tensors(const Detection *detection)
{
    static const struct {
        const char *part, *what;
    } parts[] = {{"reverse_layer.", "layers that run backward"},
                 {".pool.", "layers that drop positions"},
                 {"weight_g", "weights with a norm of their own"},
                 {"weight_v", "weights with a norm of their own"}};
    const Names *names = &detection->out->names;
    for (size_t i = 0; i < names->count; i++)
        for (size_t j = 0; j < sizeof parts / sizeof parts[0]; j++)
            if (strstr(names->items[i].name, parts[j].part))
                return UNSUPPORTED("tensor '%s' belongs to %s, which this version cannot run",
                                   names->items[i].tensor->name, parts[j].what);
    return 0;
}

/* ---- The state spaces ----------------------------------------------------------------------- */

static const MegaCheckpointTensor *find_kernel(const Detection *detection, const Release *release,
                                               const char *name)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s%s", release->layer, release->kernel, name);
    return detection_find(detection, full);
}

static const MegaCheckpointTensor *find_part(const Detection *detection, const Release *release,
                                             const char *name)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", release->layer, name);
    return detection_find(detection, full);
}

/* Returns the first of some tensors of the kernel that is there. */
static const MegaCheckpointTensor *first_kernel(const Detection *detection, const Release *release,
                                                const char *const *names)
{
    const MegaCheckpointTensor *found = NULL;
    for (; *names && !found; names++)
        found = find_kernel(detection, release, *names);
    return found;
}

/* Checks the rank of a tensor that sizes are read from. */
static int need(const Detection *detection, const MegaCheckpointTensor *tensor, const char *name,
                int least, int most)
{
    if (!tensor)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "tensor %s of layer 0 is missing; a size of the model is read from it",
                         name);
    if (tensor->rank < least || tensor->rank > most)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "tensor '%s' has %d dimensions, but %d to %d were expected", tensor->name,
                         tensor->rank, least, most);
    return 0;
}

/* Reads N, S, R, the channels and the directions from the shapes of tensors. */
static int detect_sizes(Detection *detection, const Release *release, MegaStackConfig *stack)
{
    static const char *const reals[] = {"A_real", "inv_w_real", "inv_A_real", "log_w_real",
                                        "w",      "log_A_real", NULL};
    static const char *const steps[] = {"inv_dt", "log_dt", NULL};
    MegaS4Config *own = mega_s4_of(stack);
    const MegaCheckpointTensor *real = first_kernel(detection, release, reals);
    const MegaCheckpointTensor *c = find_kernel(detection, release, "C");
    const MegaCheckpointTensor *p = find_kernel(detection, release, "P");
    const MegaCheckpointTensor *d = find_part(detection, release, release->d);
    const MegaCheckpointTensor *dt = first_kernel(detection, release, steps);
    int code = need(detection, real, "A_real", 2, 3);
    if (!code)
        code = need(detection, c, "C", 2, 4);
    if (!code)
        code = need(detection, d, "D", 1, 2);
    if (!code)
        code = need(detection, dt, "dt", 1, 2);
    if (!code && p)
        code = need(detection, p, "P", 4, 4);
    if (code)
        return code;
    const bool minimal = release->number == 1;
    own->groups = tensor_dimension(real, 0);
    own->states = tensor_dimension(real, 1);
    own->rank = tensor_dimension(p, 0);
    own->own_lambda = find_kernel(detection, release, "w") != NULL;
    own->own_q = find_kernel(detection, release, "Q") != NULL;
    /* a tensor that the release always has is needed: if it is not there, it is missing */
    own->has_b = release->number >= 3 || find_kernel(detection, release, "B");
    own->untied = dt->rank == 2 && tensor_dimension(dt, 1) > 1;
    own->channels = d->rank == 1 ? 1 : tensor_dimension(d, 0);
    const int features = tensor_dimension(d, d->rank - 1);
    const int rows = minimal ? 1 : tensor_dimension(c, 0);
    if (features < 1 || own->channels < 1 || (rows != own->channels && rows != 2 * own->channels))
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "tensor '%s' has %d rows, but D has %d: once or twice as many were "
                         "expected",
                         c->name, rows, own->channels);
    stack->bidirectional = rows == 2 * own->channels;
    stack->width = features; /* the width of the convolution; detect_maps corrects it */
    own->has_length = find_kernel(detection, release, "l_kernel") ||
                      (own->rank > 0 &&
                       (release->number >= 3 || find_kernel(detection, release, "L")));
    return 0;
}

/* Reads which functions the tensors of the kernels go through before they are used. */
static int detect_transforms(Detection *detection, const Release *release, const json_t *layer,
                             MegaS4Config *own)
{
    const bool new = release->number == 4, minimal = release->number == 1;
    const char *const real = new ? "real_transform" : "real_type";
    int dt = MEGA_SSM_EXP, of_real = MEGA_SSM_EXP, imag = MEGA_SSM_NONE, disc = MEGA_SSM_ZOH;
    int code = 0;
    if (new)
        code = named(detection, layer, "model.layer", "dt_transform", "exp",
                     mega_s4_transform_by_name, &dt);
    if (!code && (new || release->number == 3))
        code = named(detection, layer, "model.layer", real, "exp", mega_s4_transform_by_name,
                     &of_real);
    if (!code && new)
        code = named(detection, layer, "model.layer", "imag_transform", "none",
                     mega_s4_transform_by_name, &imag);
    if (!code && !minimal && own->rank == 0)
        code = named(detection, layer, "model.layer", "disc", new ? "zoh" : "bilinear",
                     mega_s4_discretization_by_name, &disc);
    if (code)
        return code;
    if (of_real == MEGA_SSM_RELU && !new && own->rank > 0)
        of_real = MEGA_SSM_PURE_RELU;
    own->dt_transform = (MegaSsmTransform)dt;
    own->real_transform = (MegaSsmTransform)of_real;
    own->imag_transform = (MegaSsmTransform)imag;
    own->discretization = (MegaSsmDiscretization)disc;
    own->negated = new;
    own->fast = is_true(layer, "dt_fast", false);
    own->is_real =
        is_true(layer, "is_real", false) || (new && !find_kernel(detection, release, "A_imag"));
    const double bandlimit = argument_number(layer, "bandlimit", NULL, 0);
    if (bandlimit < 0 || bandlimit > 1000)
        return UNSUPPORTED("argument model.layer.bandlimit is %g, expected 0 to 1000", bandlimit);
    own->bandlimit = (int)lround(bandlimit * 1e6);
    return argument_integer(layer, "l_max", NULL, 0, &own->limit, detection->err);
}

/* Release 2 has no length in its tensors: it is l_max, or that of a buffer. It never cuts a kernel
 * off. */
static void detect_old_length(const Detection *detection, const Release *release, MegaS4Config *own)
{
    const int nodes = tensor_dimension(find_kernel(detection, release, "omega"), 0);
    if (release->number != 2)
        return;
    if (own->rank > 0 && !own->has_length)
        own->length = own->limit > 2 * (nodes - 1) ? own->limit : 2 * (nodes - 1);
    own->limit = 0;
}

/* ---- The rest of a layer -------------------------------------------------------------------- */

/* Reads the activation after the output's linear map from its name, such as "glu-relu". */
static int detect_output(const Detection *detection, const char *argument_name, const char *text,
                         MegaS4Config *own)
{
    const bool glu = strncmp(text, "glu", 3) == 0 && (text[3] == '\0' || text[3] == '-');
    const char *function = !glu ? text : text[3] ? text + 4 : "sigmoid";
    const int value = mega_s4_function_by_name(function);
    if (value < 0)
        return UNSUPPORTED("argument model.layer.%s is '%.60s', which is not supported",
                           argument_name, text);
    own->glu = glu;
    own->output = value == MEGA_S4_NO_FUNCTION ? MEGA_S4_ID : (MegaS4Function)value;
    return 0;
}

static const char *output_argument(const Release *release, const json_t *layer, const char **name)
{
    const char *last = text_of(layer, "final_act", "glu"), *post = text_of(layer, "postact", NULL);
    *name = "postact";
    if (release->number < 4)
        return post ? post : release->number == 3 || release->number == 1 ? "glu" : "none";
    if (post && strcmp(post, "none") != 0)
        return post;
    *name = "final_act";
    return last;
}

/* Refuses options that raise an error in this release, so that no checkpoint can have them. */
static int refuse_options(const Detection *detection, const Release *release, const json_t *layer)
{
    static const char *const options[] = {"gate", "bottleneck", "hyper_act", "mult_act"};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if ((release->number == 4 || release->number == 1 || i == 3) && is_set(layer, options[i]))
            return UNSUPPORTED("argument model.layer.%s is set, which release %d of the layer does "
                               "not have",
                               options[i], release->number == 1 ? 4 : release->number);
    return 0;
}

/* Finds the linear maps, and the widths of x, bottleneck and gate. */
static int detect_maps(Detection *detection, const Release *release, const json_t *layer,
                       MegaStackConfig *stack)
{
    MegaS4Config *own = mega_s4_of(stack);
    const MegaCheckpointTensor *input = find_part(detection, release, "input_linear.0.weight");
    const MegaCheckpointTensor *gate = find_part(detection, release, "input_gate.0.weight");
    const MegaCheckpointTensor *listed = find_part(detection, release, "output_linear.0.weight");
    const MegaCheckpointTensor *output =
        listed ? listed : find_part(detection, release, "output_linear.weight");
    const char *name, *text = output_argument(release, layer, &name);
    int activation, hyper = MEGA_S4_NO_FUNCTION;
    /* in release 2 the map may be there without this argument, so its shape decides */
    if (release->number == 2 && !json_object_get(layer, "postact"))
        text = tensor_dimension(output, 0) == 2 * stack->width ? "glu" : "none";
    int code = refuse_options(detection, release, layer);
    if (!code)
        code = named(detection, layer, "model.layer", "activation", "gelu",
                     mega_s4_function_by_name, &activation);
    if (!code && release->number < 4)
        code = named(detection, layer, "model.layer", "hyper_act", "none", mega_s4_function_by_name,
                     &hyper);
    if (!code)
        code = detect_output(detection, name, text, own);
    if (code)
        return code;
    own->activation = activation == MEGA_S4_NO_FUNCTION ? MEGA_S4_ID : (MegaS4Function)activation;
    own->hyper = (MegaS4Function)hyper;
    if (input) {
        own->bottleneck = stack->width;
        stack->width = tensor_dimension(input, 1);
    }
    if (gate && (code = detection_size(detection, gate, 0, &own->gate)))
        return code;
    own->swapped = is_true(layer, "swap_channels", false);
    /* in release 4 a layer without an activation may lack the map, in release 2 any layer */
    own->has_output = output || release->number == 3 || release->number == 1 ||
                      (release->number == 4 && strcmp(text, "none") != 0);
    const int rows = tensor_dimension(output, 0), mixed = own->gate ? own->gate : stack->width;
    /* a model that was converted from an older release has that release's arguments */
    if (output && rows == mixed && own->glu)
        code = detect_output(detection, "postact", text_of(layer, "postact", "none"), own);
    if (code || !output)
        return code;
    if (rows != mixed * (own->glu ? 2 : 1))
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "tensor '%s' has %d rows, but model.layer.%s '%s' needs %d", output->name,
                         rows, name, text, mixed * (own->glu ? 2 : 1));
    return 0;
}

/* Counts the layers. */
static int count_layers(const Detection *detection, const Release *release)
{
    char name[160];
    const char *number = strchr(release->layer, '0');
    for (int i = 0;; i++) {
        snprintf(name, sizeof name, "%.*s%d%s%s%s", (int)(number - release->layer), release->layer,
                 i, number + 1, release->kernel, "C");
        if (!detection_find(detection, name) || i == MEGA_MAX_LAYERS)
            return i;
    }
}

/* ---- Ends ----------------------------------------------------------------------------------- */

/* Returns the kind of a norm by its tensors, or -1 if it has none. */
static int norm_of_tensors(const Detection *detection, const Release *release)
{
    static const struct {
        const char *part;
        MegaNormKind kind;
    } marks[] = {
        {"running_mean", MEGA_NORM_BATCH}, {"m", MEGA_NORM_SCALARS}, {"weight", MEGA_NORM_LAYER}};
    const char *prefix = release->example ? "norms.0." : "model.layers.0.norm.norm.";
    char name[64];
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        snprintf(name, sizeof name, "%s%s", prefix, marks[i].part);
        if (detection_find(detection, name))
            return (int)marks[i].kind;
    }
    return -1;
}

static int detect_norms(Detection *detection, const Release *release, const json_t *model,
                        MegaStackConfig *stack)
{
    const char *norm = text_of(model, "norm", "none");
    const int found = norm_of_tensors(detection, release);
    int said = -1;
    if (strcmp(norm, "batch") == 0)
        said = MEGA_NORM_BATCH;
    else if (strcmp(norm, "layer") == 0) /* with `transposed`, it has two scalars */
        said = found == MEGA_NORM_SCALARS ? MEGA_NORM_SCALARS : MEGA_NORM_LAYER;
    const int code = detection_check_norm(detection, said, found);
    if (code)
        return code;
    /* the weights of a batch norm without its statistics look the same */
    if (model && said < 0 && found == MEGA_NORM_LAYER)
        detection_need(detection, "model.norm", "kind of normalisation");
    stack->norm = found >= 0         ? (MegaNormKind)found
                  : said >= 0        ? (MegaNormKind)said
                  : release->example ? MEGA_NORM_LAYER
                                     : MEGA_NORM_NONE;
    stack->norm_affine = stack->final_norm_affine = true;
    stack->pre_norm = release->example ? is_true(detection->args, "prenorm", false)
                                       : is_true(model, "prenorm", true);
    stack->final_norm = !release->example && stack->pre_norm && stack->norm != MEGA_NORM_NONE;
    return 0;
}

static int detect_embedding(Detection *detection, const Release *release, MegaConfig *config)
{
    const char *prefix = release->example ? "encoder." : "encoder.0.";
    const char *said = section_name(detection->args, "encoder");
    char name[64];
    MegaEmbedConfig *embed = &config->embed;
    snprintf(name, sizeof name, "%sweight", prefix);
    const MegaCheckpointTensor *weight = detection_find(detection, name);
    snprintf(name, sizeof name, "%sbias", prefix);
    const bool linear = detection_find(detection, name) != NULL;
    embed->pad = -1;
    if (!weight && said && strcmp(said, "onehot") == 0) {
        embed->kind = MEGA_EMBED_ONE_HOT;
        embed->vocab = config->encoder.width;
        embed->pad = 0;
        return 0;
    }
    if (!weight || weight->rank != 2)
        return UNSUPPORTED("there is no tensor '%sweight' of two dimensions: the model has an "
                           "encoder other than embedding, linear and onehot",
                           prefix);
    if (!linear) {
        embed->kind = MEGA_EMBED_TOKENS;
        embed->vocab = tensor_dimension(weight, 0);
        embed->pad = 0;
    } else if (tensor_dimension(weight, 1) == 1) {
        embed->kind = MEGA_EMBED_REAL;
    } else { /* a position is a frame of several values, which follows the one before it */
        return detect_frames(detection, weight, tensor_dimension(weight, 1), embed);
    }
    return 0;
}

static int pooling_by_name(const char *name)
{
    static const struct {
        const char *name;
        MegaPooling pooling;
    } modes[] = {{"last", MEGA_POOL_LAST},
                 {"first", MEGA_POOL_FIRST},
                 {"pool", MEGA_POOL_MEAN},
                 {"sum", MEGA_POOL_SUM}};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(modes[i].name, name) == 0)
            return (int)modes[i].pooling;
    return -1;
}

static int detect_pair(const Detection *detection, const json_t *decoder, MegaHeadConfig *head)
{
    static const char prefix[] = "decoder.0.retrieval.classifier.";
    char name[80];
    int activation = MEGA_ACTIVATION_RELU;
    int code = named(detection, decoder, "decoder", "activation", "relu", mega_activation_by_name,
                     &activation);
    head->pair = true;
    head->pair_kind = is_true(decoder, "nli", true) ? MEGA_PAIR_COMPARED : MEGA_PAIR_FIRST_SECOND;
    head->activation = (MegaActivation)activation;
    snprintf(name, sizeof name, "%s4.weight", prefix);
    head->layers = detection_find(detection, name) ? 2 : 1;
    snprintf(name, sizeof name, "%s0.weight", prefix);
    head->width = tensor_dimension(detection_find(detection, name), 0);
    snprintf(name, sizeof name, "%s%d.weight", prefix, 2 * head->layers);
    head->classes = tensor_dimension(detection_find(detection, name), 0);
    head->output_bias = true;
    return code;
}

static int detect_decoder(const Detection *detection, const Release *release, MegaConfig *config)
{
    const json_t *decoder = s4_section(detection->args, "decoder");
    MegaHeadConfig *head = &config->head;
    int pooling = MEGA_POOL_MEAN, code = 0;
    const char *name = release->example ? "decoder.weight" : "decoder.0.output_transform.weight";
    if (!release->example)
        code = named(detection, decoder, "decoder", "mode", "last", pooling_by_name, &pooling);
    head->pooling = (MegaPooling)pooling;
    if (!code && detection_find(detection, "decoder.0.retrieval.classifier.0.weight"))
        return detect_pair(detection, decoder, head);
    head->classes = tensor_dimension(detection_find(detection, name), 0);
    head->output_bias = true;
    if (!code && head->classes < 1)
        code = UNSUPPORTED("there is no tensor '%s': the model has a decoder other than sequence "
                           "and retrieval",
                           name);
    return code;
}

/* Reads the length of a layer's kernels, which must be a sensible number; 0 if there is none. */
static int read_length(const Detection *detection, const Release *release, int layer, int *out)
{
    const char *number = strchr(release->layer, '0');
    char name[160];
    float stored = 0;
    snprintf(name, sizeof name, "%.*s%d%s%s%s", (int)(number - release->layer), release->layer,
             layer, number + 1, release->kernel, release->number == 4 ? "l_kernel" : "L");
    const MegaCheckpointTensor *length = detection_find(detection, name);
    if (length && length->readable && length->elements == 1)
        mega_checkpoint_read_f32(length, &stored);
    if (!(stored >= 0) || stored > (float)MEGA_MAX_LENGTH)
        return mega_fail(detection->err, MEGA_ERR_MODEL,
                         "tensor '%s' is %g, but a length of at most %d was expected", length->name,
                         (double)stored, MEGA_MAX_LENGTH);
    *out = (int)stored;
    return 0;
}

/* Chooses the length to which inputs are filled up: that of the texts or pictures of the training
 * data, or else the length that the kernels are for. */
static int fill_length(const Detection *detection, const Release *release, MegaStackConfig *stack)
{
    const MegaS4Config *own = mega_s4(stack);
    int said = 0, stored = 0, longest = 0;
    int code = argument_integer(s4_section(detection->args, "dataset"), "l_max", NULL, 0, &said,
                                detection->err);
    for (int i = 0; i < stack->layers && !code; i++) {
        code = read_length(detection, release, i, &stored);
        longest = stored > longest ? stored : longest;
    }
    stack->max_positions = own->limit > 0    ? own->limit
                           : longest > 0     ? longest
                           : own->length > 0 ? own->length
                           : said > 0        ? said
                                             : 1024;
    return code;
}

/* ---- Families ------------------------------------------------------------------------------- */

static int detect(Detection *detection, const Release *release)
{
    MegaConfig *config = &detection->out->config;
    MegaStackConfig *stack = &config->encoder;
    const json_t *model = release->example ? NULL : s4_section(detection->args, "model");
    const json_t *layer =
        release->example ? s4_section(detection->args, "layer_args") : s4_section(model, "layer");
    /* what a release keeps besides the parameters: nodes, and tensors that others have replaced */
    static const char *const unused[] = {".kernel.omega", ".kernel.z",        ".kernel.kernel.A",
                                         ".kernel.L",     ".kernel.l_kernel", NULL};
    detection->out->unused = unused;
    stack->kind = &mega_layer_kind_s4;
    if (!release->example && !model) {
        detection_need(detection, "model", "the section of that name of the hyper-parameters");
        detection_need(detection, "decoder", "that section");
        detection_need(detection, "dataset", "that section, for reading raw inputs");
    }
    int code = release->example ? 0 : s4_refuse(detection);
    if (!code)
        code = refuse_tensors(detection);
    if (!code)
        code = detect_sizes(detection, release, stack);
    if (!code)
        code = detect_transforms(detection, release, layer, mega_s4_of(stack));
    if (!code)
        code = detect_maps(detection, release, layer, stack);
    if (code)
        return code;
    detect_old_length(detection, release, mega_s4_of(stack));
    stack->layers = count_layers(detection, release);
    stack->activation = MEGA_ACTIVATION_GELU; /* no part of the layer reads it */
    code = detect_norms(detection, release, model, stack);
    if (!code)
        code = detect_embedding(detection, release, config);
    if (!code)
        code = detect_decoder(detection, release, config);
    return code ? code : fill_length(detection, release, stack);
}

#define MODEL "model.layers.0.layer."
#define SCRIPT "s4_layers.0."

int detect_s4(Detection *detection)
{
    return detect(detection, &(Release){MODEL, "layer.kernel.", "layer.D", 4, false});
}

int detect_s4_release3(Detection *detection)
{
    return detect(detection, &(Release){MODEL, "kernel.kernel.", "D", 3, false});
}

int detect_s4_release2(Detection *detection)
{
    return detect(detection, &(Release){MODEL, "kernel.kernel.", "D", 2, false});
}

int detect_s4d(Detection *detection)
{
    return detect(detection, &(Release){MODEL, "kernel.", "D", 1, false});
}

int detect_s4_example(Detection *detection)
{
    return detect(detection, &(Release){SCRIPT, "layer.kernel.", "layer.D", 4, true});
}

int detect_s4_example3(Detection *detection)
{
    return detect(detection, &(Release){SCRIPT, "kernel.kernel.", "D", 3, true});
}

int detect_s4_example2(Detection *detection)
{
    return detect(detection, &(Release){SCRIPT, "kernel.kernel.", "D", 2, true});
}

int detect_s4d_example(Detection *detection)
{
    return detect(detection, &(Release){SCRIPT, "kernel.", "D", 1, true});
}
