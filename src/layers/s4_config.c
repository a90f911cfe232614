/*
 * s4_config.c - the hyper-parameters of an S4 layer in metadata, and its tensors in the order of
 * files.
 */
#include "src/layers/s4_config.h"

/* ---- Hyper-parameters ----------------------------------------------------------------------- */

static const MegaName function_names[] = {{"none", MEGA_S4_NO_FUNCTION},
                                          {"id", MEGA_S4_ID},
                                          {"gelu", MEGA_S4_GELU},
                                          {"relu", MEGA_S4_RELU},
                                          {"silu", MEGA_S4_SILU},
                                          {"swish", MEGA_S4_SILU},
                                          {"tanh", MEGA_S4_TANH},
                                          {"sigmoid", MEGA_S4_SIGMOID},
                                          {"elu", MEGA_S4_ELU},
                                          {"softplus", MEGA_S4_SOFTPLUS},
                                          {"identity", MEGA_S4_ID},
                                          {"linear", MEGA_S4_ID},
                                          {NULL, -1}};
static const MegaName transform_names[] = {{"none", MEGA_SSM_NONE},
                                           {"exp", MEGA_SSM_EXP},
                                           {"sigmoid", MEGA_SSM_SIGMOID},
                                           {"softplus", MEGA_SSM_SOFTPLUS},
                                           {"relu", MEGA_SSM_RELU},
                                           {"pure_relu", MEGA_SSM_PURE_RELU},
                                           {NULL, -1}};
static const MegaName discretization_names[] = {
    {"zoh", MEGA_SSM_ZOH}, {"bilinear", MEGA_SSM_BILINEAR}, {"dss", MEGA_SSM_DSS}, {NULL, -1}};

int mega_s4_function_by_name(const char *name)
{
    return mega_value_of(function_names, name);
}

int mega_s4_transform_by_name(const char *name)
{
    return mega_value_of(transform_names, name);
}

int mega_s4_discretization_by_name(const char *name)
{
    return mega_value_of(discretization_names, name);
}

#define INT(key, member, min, max) MEGA_INT_FIELD(key, MegaS4Config, member, min, max)
#define BOOL(key, member) MEGA_BOOL_FIELD(key, MegaS4Config, member)
#define NAME(key, member, names) MEGA_NAME_FIELD(key, MegaS4Config, member, names)

const MegaField mega_s4_fields[] = {
    INT("states", states, 1, MEGA_SSM_MAX_STATES),
    INT("groups", groups, 1, MEGA_MAX_WIDTH),
    INT("rank", rank, 0, MEGA_SSM_MAX_RANK),
    INT("channels", channels, 1, MEGA_S4_MAX_CHANNELS),
    BOOL("untied", untied),
    BOOL("is_real", is_real),
    BOOL("negated", negated),
    BOOL("fast", fast),
    BOOL("has_b", has_b),
    BOOL("own_lambda", own_lambda),
    BOOL("own_q", own_q),
    BOOL("has_length", has_length),
    INT("length", length, 0, MEGA_MAX_LENGTH),
    INT("limit", limit, 0, MEGA_MAX_LENGTH),
    INT("bandlimit", bandlimit, 0, 1000000000),
    MEGA_OPTIONAL_INT_FIELD("kernel_lags", MegaS4Config, kernel_lags, 1, MEGA_MAX_LENGTH),
    NAME("dt_transform", dt_transform, transform_names),
    NAME("real_transform", real_transform, transform_names),
    NAME("imag_transform", imag_transform, transform_names),
    NAME("discretization", discretization, discretization_names),
    NAME("ssm_activation", activation, function_names),
    BOOL("has_output", has_output),
    BOOL("glu", glu),
    NAME("output", output, function_names),
    BOOL("swapped", swapped),
    INT("bottleneck", bottleneck, 0, MEGA_MAX_WIDTH),
    INT("gate", gate, 0, 4 * MEGA_MAX_WIDTH),
    NAME("hyper", hyper, function_names),
    {0},
};

int mega_s4_check(const MegaConfig *config, const MegaStackConfig *stack, const char *name,
                  MegaError *err)
{
    const MegaS4Config *own = mega_s4(stack);
    const size_t features = mega_s4_features(stack), channels = mega_s4_channels(stack);
    (void)config;
    if (features % (size_t)own->groups)
        return mega_fail(err, MEGA_ERR_MODEL, "%s.groups is %d, which does not divide %zu features",
                         name, own->groups, features);
    if (own->hyper && own->channels % 2)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "%s.channels is %d, but %s.hyper needs an even number", name,
                         own->channels, name);
    if (own->rank > 0 && (own->is_real || !own->has_b))
        return mega_fail(err, MEGA_ERR_MODEL,
                         "%s.rank is %d, which needs complex states and a tensor B", name,
                         own->rank);
    if (own->has_length && own->rank == 0)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "%s.has_length is true, but a diagonal system has no length", name);
    if (own->own_lambda && own->is_real)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "%s.own_lambda is true, but %s.is_real says that states are real", name,
                         name);
    if (!own->has_output && (own->gate || own->bottleneck || channels > 1))
        return mega_fail(err, MEGA_ERR_MODEL,
                         "%s.has_output is false, but channels, bottleneck or gate need the linear "
                         "map",
                         name);
    if (stack->ffn)
        return mega_fail(err, MEGA_ERR_MODEL, "%s.ffn is %d, but S4 layers have no such block",
                         name, stack->ffn);
    if (own->activation == MEGA_S4_NO_FUNCTION || own->output == MEGA_S4_NO_FUNCTION)
        return mega_fail(err, MEGA_ERR_MODEL, "%s.ssm_activation or %s.output is none, expected id",
                         name, name);
    return 0;
}

/* ---- Tensors -------------------------------------------------------------------------------- */

enum {
    FEATURES = MEGA_DIM_OWN,
    STEPS,    /* columns of dt */
    STATES,   /* N */
    GROUPS,   /* S */
    ROWS,     /* of C */
    CHANNELS, /* rows of D */
    RANK,
    MIXED_IN,  /* of the output's linear map: channels and features */
    MIXED_OUT, /* its rows, twice the next with glu */
    MIXED,
    GATE,
    KERNEL_LAGS,
};

enum {
    IF_IMAG = MEGA_IF_OWN,
    IF_LAMBDA,
    IF_REAL,
    IF_B,
    IF_REAL_B,
    IF_COMPLEX_C,
    IF_REAL_C,
    IF_LOW_RANK,
    IF_Q,
    IF_LENGTH,
    IF_BOTTLENECK,
    IF_GATE,
    IF_OUTPUT,
    IF_KERNEL,
};

uint64_t mega_s4_dimension(const MegaConfig *config, const MegaStackConfig *stack,
                           unsigned dimension)
{
    const MegaS4Config *own = mega_s4(stack);
    (void)config;
    switch (dimension) {
    case FEATURES: return mega_s4_features(stack);
    case STEPS: return (uint64_t)(own->untied ? own->states : 1);
    case STATES: return (uint64_t)own->states;
    case GROUPS: return (uint64_t)own->groups;
    case ROWS: return mega_s4_rows(stack);
    case CHANNELS: return (uint64_t)own->channels;
    case RANK: return (uint64_t)own->rank;
    case MIXED_IN: return mega_s4_channels(stack) * mega_s4_features(stack);
    case MIXED_OUT: return mega_s4_mixed(stack) * (own->glu ? 2 : 1);
    case MIXED: return mega_s4_mixed(stack);
    case GATE: return (uint64_t)own->gate;
    case KERNEL_LAGS: return (uint64_t)own->kernel_lags;
    default: return 0;
    }
}

bool mega_s4_applies(const MegaStackConfig *stack, unsigned condition)
{
    const MegaS4Config *own = mega_s4(stack);
    switch (condition) {
    case IF_IMAG: return !own->is_real && !own->own_lambda;
    case IF_LAMBDA: return own->own_lambda;
    case IF_REAL: return !own->own_lambda;
    case IF_B: return own->has_b && !own->is_real;
    case IF_REAL_B: return own->has_b && own->is_real;
    case IF_COMPLEX_C: return !own->is_real;
    case IF_REAL_C: return own->is_real;
    case IF_LOW_RANK: return own->rank > 0;
    case IF_Q: return own->rank > 0 && own->own_q;
    case IF_LENGTH: return own->has_length;
    case IF_BOTTLENECK: return own->bottleneck > 0;
    case IF_GATE: return own->gate > 0;
    case IF_OUTPUT: return own->has_output;
    case IF_KERNEL: return own->kernel_lags > 0;
    default: return false;
    }
}

#define AT(field) offsetof(MegaS4Weights, field)

const MegaTensorRow mega_s4_tensors[] = {
    {"norm.", AT(norm), {MEGA_DIM_END}, MEGA_TENSOR_NORM},
    {"ssm.dt", AT(dt), {FEATURES, STEPS}, MEGA_ALWAYS},
    {"ssm.real", AT(real), {GROUPS, STATES}, IF_REAL},
    {"ssm.imag", AT(imag), {GROUPS, STATES}, IF_IMAG},
    {"ssm.lambda", AT(lambda), {GROUPS, STATES, MEGA_DIM_TWO}, IF_LAMBDA},
    {"ssm.b", AT(b), {GROUPS, STATES, MEGA_DIM_TWO}, IF_B},
    {"ssm.b", AT(b), {GROUPS, STATES}, IF_REAL_B},
    {"ssm.c", AT(c), {ROWS, FEATURES, STATES, MEGA_DIM_TWO}, IF_COMPLEX_C},
    {"ssm.c", AT(c), {ROWS, FEATURES, STATES}, IF_REAL_C},
    {"ssm.p", AT(p), {RANK, GROUPS, STATES, MEGA_DIM_TWO}, IF_LOW_RANK},
    {"ssm.q", AT(q), {RANK, GROUPS, STATES, MEGA_DIM_TWO}, IF_Q},
    {"ssm.length", AT(length), {MEGA_DIM_ONE}, IF_LENGTH | MEGA_TENSOR_INTEGER},
    {"ssm.d", AT(d), {CHANNELS, FEATURES}, MEGA_ALWAYS},
    {"ssm.kernel", AT(kernel), {FEATURES, ROWS, KERNEL_LAGS}, IF_KERNEL | MEGA_TENSOR_KEPT},
    {"input.weight",
     AT(input.weight),
     {FEATURES, MEGA_DIM_WIDTH},
     IF_BOTTLENECK | MEGA_TENSOR_MATRIX},
    {"input.bias", AT(input.bias), {FEATURES}, IF_BOTTLENECK},
    {"gate.weight", AT(gate.weight), {GATE, MEGA_DIM_WIDTH}, IF_GATE | MEGA_TENSOR_MATRIX},
    {"gate.bias", AT(gate.bias), {GATE}, IF_GATE},
    {"output.weight", AT(output.weight), {MIXED_OUT, MIXED_IN}, IF_OUTPUT | MEGA_TENSOR_MATRIX},
    {"output.bias", AT(output.bias), {MIXED_OUT}, IF_OUTPUT},
    {"output_gate.weight",
     AT(output_gate.weight),
     {MEGA_DIM_WIDTH, GATE},
     IF_GATE | MEGA_TENSOR_MATRIX},
    {"output_gate.bias", AT(output_gate.bias), {MEGA_DIM_WIDTH}, IF_GATE},
    {0},
};

MegaSsm mega_s4_space(const MegaStackConfig *stack, const MegaS4Weights *weights)
{
    const MegaS4Config *own = mega_s4(stack);
    MegaSsm ssm = {.features = mega_s4_features(stack),
                   .states = (size_t)own->states,
                   .groups = (size_t)own->groups,
                   .rank = (size_t)own->rank,
                   .rows = mega_s4_rows(stack),
                   .steps = own->untied ? (size_t)own->states : 1,
                   .is_real = own->is_real,
                   .negated = own->negated,
                   .fast = own->fast,
                   .dt_transform = own->dt_transform,
                   .real_transform = own->real_transform,
                   .imag_transform = own->imag_transform,
                   .discretization = own->discretization,
                   .bandlimit = own->bandlimit / 1e6,
                   .length = (uint64_t)own->length,
                   .limit = (uint64_t)own->limit,
                   .dt = weights->dt,
                   .real = weights->real,
                   .imag = weights->imag,
                   .lambda = weights->lambda,
                   .b = weights->b,
                   .c = weights->c,
                   .p = weights->p,
                   .q = weights->q};
    /* The converter checks this tensor; a length out of range in a forged file counts as none. */
    if (weights->length)
        ssm.length = weights->length[0] >= 0 && weights->length[0] <= (float)MEGA_MAX_LENGTH
                         ? (uint64_t)weights->length[0]
                         : 0;
    return ssm;
}

MegaS4Kept mega_s4_kept(const MegaStackConfig *stack, const MegaS4Weights *weights, size_t lags,
                        uint64_t family, double rate)
{
    const size_t have = (size_t)mega_s4(stack)->kernel_lags;
    const MegaSsm ssm = mega_s4_space(stack, weights);
    if (!weights->kernel || rate != 1 || lags > have || mega_ssm_family(&ssm, have, 1) != family)
        return (MegaS4Kept){NULL, 0};
    return (MegaS4Kept){weights->kernel, have};
}
