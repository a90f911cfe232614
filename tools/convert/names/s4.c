/*
 * s4.c - the tensor names of S4's models: those of the framework in its releases, and those of the
 * stand-alone example script.
 */
#include "src/layers/s4_config.h"
#include "tools/convert/names/table.h"

static bool is_diagonal(const MegaConfig *config)
{
    return mega_s4(&config->encoder)->rank == 0;
}

static bool has_pair(const MegaConfig *config)
{
    return config->head.pair;
}

/* ---- Kernels, by release -------------------------------------------------------------------- */

#define COMMON                                                                                     \
    {NAME("b", "B")}, {NAME("c", "C")}, {NAME("p", "P")},                                          \
    {                                                                                              \
        NAME("q", "Q")                                                                             \
    }

static const NameRule kernel_names[] = {
    {NAME("dt", "inv_dt")},       {NAME("real", "A_real")},
    {NAME("imag", "A_imag")},     COMMON,
    {NAME("length", "l_kernel")}, {0},
};

static const NameRule kernel3_names[] = {
    {NAME("dt", "log_dt")},
    {NAME("real", "inv_A_real"), .when = is_diagonal},
    {NAME("imag", "A_imag"), .when = is_diagonal},
    {NAME("real", "inv_w_real")},
    {NAME("imag", "w_imag")},
    COMMON,
    {NAME("length", "L")},
    {0},
};

static const NameRule kernel2_names[] = {
    {NAME("dt", "log_dt")},
    {NAME("real", "log_w_real")},
    {NAME("imag", "w_imag")},
    {NAME("lambda", "w")},
    COMMON,
    {NAME("length", "L")},
    {0},
};

static const NameRule minimal_names[] = {
    {NAME("dt", "log_dt")}, {NAME("real", "log_A_real")}, {NAME("imag", "A_imag")}, COMMON, {0},
};

/* ---- Layers --------------------------------------------------------------------------------- */

/* The linear maps of a layer. A map with an activation, if only "id", is a list of two modules; one
 * without is not. */
#define MAPS                                                                                       \
    {NAME("input.", "input_linear.0.")}, {NAME("gate.", "input_gate.0.")},                         \
        {NAME("output_gate.", "output_gate.")},                                                    \
        {NAME("output.", "output_linear.0.")},                                                     \
    {                                                                                              \
        NAME("output.", "output_linear.")                                                          \
    }

static const NameRule layer4_names[] = {
    {NAME("ssm.d", "layer.D")}, {NAME("ssm.", "layer.kernel."), .rest = kernel_names}, MAPS, {0}};
static const NameRule layer3_names[] = {
    {NAME("ssm.d", "D")}, {NAME("ssm.", "kernel.kernel."), .rest = kernel3_names}, MAPS, {0}};
static const NameRule layer2_names[] = {
    {NAME("ssm.d", "D")}, {NAME("ssm.", "kernel.kernel."), .rest = kernel2_names}, MAPS, {0}};
static const NameRule minimal_layer_names[] = {
    {NAME("ssm.d", "D")}, {NAME("ssm.", "kernel."), .rest = minimal_names}, MAPS, {0}};

/* ---- Models --------------------------------------------------------------------------------- */

/* The framework. The scalars of a transposed layer's norm have names of one letter. */
#define FRAMEWORK(layer)                                                                           \
    {NAME("embed.", "encoder.0.")},                                                                \
        {NAME("encoder.layer.*.norm.scalar", "model.layers.*.norm.norm.s")},                       \
        {NAME("encoder.layer.*.norm.shift", "model.layers.*.norm.norm.m")},                        \
        {NAME("encoder.layer.*.norm.", "model.layers.*.norm.norm.")},                              \
        {NAME("encoder.layer.*.", "model.layers.*.layer."), .rest = layer},                        \
        {NAME("encoder.final_norm.scalar", "model.norm.norm.s")},                                  \
        {NAME("encoder.final_norm.shift", "model.norm.norm.m")},                                   \
        {NAME("encoder.final_norm.", "model.norm.norm.")},                                         \
        {NAME("head.layer.0.", "decoder.0.retrieval.classifier.0.")},                              \
        {NAME("head.layer.1.", "decoder.0.retrieval.classifier.2.")},                              \
        {NAME("head.output.", "decoder.0.retrieval.classifier.4."), .when = has_two_layers},       \
        {NAME("head.output.", "decoder.0.retrieval.classifier.2."), .when = has_pair},             \
        {NAME("head.output.", "decoder.0.output_transform.")},                                     \
    {                                                                                              \
        0                                                                                          \
    }

#define EXAMPLE(layer)                                                                             \
    {NAME("embed.", "encoder.")}, {NAME("encoder.layer.*.norm.", "norms.*.")},                     \
        {NAME("encoder.layer.*.", "s4_layers.*."), .rest = layer},                                 \
        {NAME("head.output.", "decoder.")},                                                        \
    {                                                                                              \
        0                                                                                          \
    }

static bool has_two_layers(const MegaConfig *config)
{
    return config->head.pair && config->head.layers == 2;
}

const NameRule s4_names[] = {FRAMEWORK(layer4_names)};
const NameRule s4_names3[] = {FRAMEWORK(layer3_names)};
const NameRule s4_names2[] = {FRAMEWORK(layer2_names)};
const NameRule s4d_names[] = {FRAMEWORK(minimal_layer_names)};
const NameRule s4_example_names[] = {EXAMPLE(layer4_names)};
const NameRule s4_example_names3[] = {EXAMPLE(layer3_names)};
const NameRule s4_example_names2[] = {EXAMPLE(layer2_names)};
const NameRule s4d_example_names[] = {EXAMPLE(minimal_layer_names)};
