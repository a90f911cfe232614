/*
 * s4.c - one S4 layer (MODEL.md, "S4 layer"), and where each line runs:
 *
 *   z = norm(x), or x in a post-norm layer         enter
 *   u = act(Wi z)      with a bottleneck, else z   enter
 *   y = K u + D u      over time                   mega_s4_convolve
 *   y = h(y_2) y_1     with a hyper activation     mix_rows
 *   m = f(Wo act(y))   or a s(b) of its halves     mix_rows
 *   m = Wg (m act(Wv z))  with a gate              mix_rows
 *   x += m, and norm(x) in a post-norm layer       mix_rows
 *
 * Only the convolution crosses positions. All else runs in blocks of rows, which stay in the cache
 * from the convolution of one layer to that of the next: mix_rows ends with the next layer's enter.
 */
#include "src/layers/s4.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/layers/rows.h"
#include "src/layers/s4_plan.h"

/* Holds what is derived from a layer's weights. */
typedef struct MegaS4Layer {
    const MegaS4Weights *weights;
    MegaNorm norm;
} MegaS4Layer;

static void *derive(const MegaStack *stack, int index, MegaArena *arena)
{
    const MegaS4Weights *weights = (const MegaS4Weights *)stack->weights + index;
    MegaS4Layer *out = mega_arena_take(arena, sizeof *out);
    MegaS4Layer layer = {.weights = weights};
    mega_norm_prepare(&layer.norm, stack->config->norm, &weights->norm,
                      (size_t)stack->config->width, arena);
    if (out)
        *out = layer;
    return out;
}

/* ---- Memory --------------------------------------------------------------------------------- */

/* The widths of what the steps of a layer read and write. */
typedef struct Widths {
    size_t d, features; /* of x, and of what is convolved */
    size_t raw, seen;   /* of y before and after the hyper activation */
    size_t mixed, gate; /* of the map's output with both halves of a glu, and of the gate */
} Widths;

static Widths widths_of(const MegaStackConfig *config)
{
    const MegaS4Config *own = mega_s4(config);
    const size_t features = mega_s4_features(config);
    return (Widths){.d = (size_t)config->width,
                    .features = features,
                    .raw = (size_t)own->channels * features,
                    .seen = mega_s4_channels(config) * features,
                    .mixed = mega_s4_mixed(config) * (own->glu ? 2 : 1),
                    .gate = (size_t)own->gate};
}

/* Memory that all layers share; workspace->own points here. */
typedef struct Sequence {
    float *z;      /* [L][d], in workspace->spare: norm(x) of a pre-norm layer, and later m */
    float *narrow; /* [L][H]: u; NULL without a bottleneck */
    float *y;      /* [L][c H] */
} Sequence;

/* Holds one worker's memory for a block of rows. */
typedef struct Scratch {
    float *swapped; /* [rows][seen]: y by feature, then channel; NULL if the map takes y as it is */
    float *mixed;   /* [rows][mixed] */
    float *gate;    /* [rows][gate] */
} Scratch;

static Scratch scratch_layout(const MegaStackConfig *config, size_t rows, MegaArena *arena)
{
    const Widths widths = widths_of(config);
    Scratch scratch = {NULL, NULL, NULL};
    if (mega_s4(config)->swapped)
        scratch.swapped = mega_arena_floats(arena, (uint64_t)rows * widths.seen);
    scratch.mixed = mega_arena_floats(arena, (uint64_t)rows * widths.mixed);
    scratch.gate = mega_arena_floats(arena, (uint64_t)rows * widths.gate);
    return scratch;
}

static void layout(MegaWorkspace *workspace, const MegaStack *stack, const MegaBatch *batch,
                   MegaArena *arena)
{
    const Widths widths = widths_of(stack->config);
    const uint64_t length = workspace->length;
    MegaArena worker = {0};
    Sequence sequence = {.z = workspace->spare};
    Sequence *out = mega_arena_take(arena, sizeof *out);
    (void)batch;
    if (mega_s4(stack->config)->bottleneck)
        sequence.narrow = mega_arena_floats(arena, length * widths.features);
    sequence.y = mega_arena_floats(arena, length * widths.raw);
    scratch_layout(stack->config, workspace->row_block, &worker);
    mega_workspace_plan_scratch(workspace, &worker,
                                mega_s4_convolve_scratch(stack->config, workspace->plan), arena);
    if (out)
        *out = sequence;
    workspace->own = out;
}

/* No: a batch would need a plan for every length in it. */
static bool can_batch(const MegaStackConfig *config, MegaEmaPath path, size_t length)
{
    (void)config;
    (void)path;
    (void)length;
    return false;
}

/* ---- Functions ------------------------------------------------------------------------------ */

/* Applies a function to x [rows][columns], with ld floats from row to row, in place. */
static void apply(const MegaKernels *kernels, MegaS4Function function, float *x, size_t ld,
                  size_t rows, size_t columns)
{
    static const MegaFunction known[] = {
        [MEGA_S4_GELU] = MEGA_FUNCTION_GELU,       [MEGA_S4_RELU] = MEGA_FUNCTION_RELU,
        [MEGA_S4_SILU] = MEGA_FUNCTION_SILU,       [MEGA_S4_TANH] = MEGA_FUNCTION_TANH,
        [MEGA_S4_SIGMOID] = MEGA_FUNCTION_SIGMOID,
    };
    if (function == MEGA_S4_ID || function == MEGA_S4_NO_FUNCTION)
        return;
    if (function != MEGA_S4_ELU && function != MEGA_S4_SOFTPLUS) {
        kernels->finish(x, ld, rows, columns, x, ld, &(MegaEpilogue){.function = known[function]});
        return;
    }
    for (size_t row = 0; row < rows; row++, x += ld)
        for (size_t i = 0; i < columns; i++)
            x[i] = function == MEGA_S4_ELU ? (x[i] > 0 ? x[i] : expm1f(x[i]))
                   : x[i] > 20             ? x[i]
                                           : log1pf(expf(x[i]));
}

/* x [rows][columns] *= y, each with its own distance from row to row. */
static void multiply_rows(const MegaKernels *kernels, float *x, size_t ldx, const float *y,
                          size_t ldy, size_t rows, size_t columns)
{
    for (size_t row = 0; row < rows; row++)
        kernels->multiply(x + row * ldx, y + row * ldy, columns);
}

/* y = x W^T + b */
static void map(const MegaKernels *kernels, const MegaLinearWeights *linear, const float *x,
                size_t ldx, size_t rows, float *y, size_t ldy)
{
    mega_matmul(kernels, &linear->weight, x, ldx, rows, y, ldy,
                &(MegaEpilogue){.bias = linear->bias});
}

/* ---- Steps ---------------------------------------------------------------------------------- */

typedef struct Forward {
    const MegaPass *pass;
    const Sequence *sequence;
    const MegaS4Layer *layer;
    Widths widths;
    const float *z; /* [L][d]: norm(x), or x in a post-norm layer */
    const MegaS4Layer *next; /* the layer that mix_rows enters, or NULL */
} Forward;

/* Computes z = norm(x) and u of a layer for some rows. */
static void enter_rows(const Forward *forward, const MegaS4Layer *layer, size_t first, size_t rows)
{
    const MegaPass *pass = forward->pass;
    const Widths *widths = &forward->widths;
    if (pass->config->pre_norm)
        mega_norm_apply(&layer->norm, pass->kernels, pass->workspace->x + first * widths->d, rows,
                        widths->d, forward->sequence->z + first * widths->d);
    if (!forward->sequence->narrow)
        return;
    float *u = forward->sequence->narrow + first * widths->features;
    map(pass->kernels, &layer->weights->input, forward->z + first * widths->d, widths->d, rows, u,
        widths->features);
    apply(pass->kernels, mega_s4(pass->config)->activation, u, widths->features, rows,
          widths->features);
}

static void enter(void *context, size_t task, int worker)
{
    const Forward *forward = context;
    const MegaWorkspace *w = forward->pass->workspace;
    (void)worker;
    enter_rows(forward, forward->layer, task * w->row_block, mega_block_rows(w, task));
}

/* Applies the hyper activation h to y in place: the first half y_1 of the channels becomes
 * h(y_2) y_1, where y_2 is the second half. */
static void apply_hyper(const Forward *forward, float *y, size_t rows)
{
    const Widths *widths = &forward->widths;
    const MegaS4Function hyper = mega_s4(forward->pass->config)->hyper;
    if (!hyper)
        return;
    apply(forward->pass->kernels, hyper, y + widths->seen, widths->raw, rows, widths->seen);
    multiply_rows(forward->pass->kernels, y, widths->raw, y + widths->seen, widths->raw, rows,
                  widths->seen);
}

/* Copies rows of y from the order channel, feature to the order feature, channel. */
static void swap_channels(const Widths *widths, const float *y, size_t rows, float *out)
{
    const size_t channels = widths->seen / widths->features;
    for (size_t row = 0; row < rows; row++, y += widths->raw, out += widths->seen)
        for (size_t channel = 0; channel < channels; channel++)
            for (size_t i = 0; i < widths->features; i++)
                out[i * channels + channel] = y[channel * widths->features + i];
}

/* Computes m [rows], `mixed` floats from row to row, by the linear map and its activation. With glu
 * only the first half of a row is the result. */
static void mix(const Forward *forward, const float *y, size_t ldy, size_t rows, float *m)
{
    const MegaKernels *kernels = forward->pass->kernels;
    const MegaS4Config *own = mega_s4(forward->pass->config);
    const size_t wide = forward->widths.mixed, half = wide / 2;
    map(kernels, &forward->layer->weights->output, y, ldy, rows, m, wide);
    if (!own->glu) {
        apply(kernels, own->output, m, wide, rows, wide);
        return;
    }
    if (own->output == MEGA_S4_SIGMOID) { /* the usual glu takes one pass */
        kernels->finish(m + half, wide, rows, half, m, wide,
                        &(MegaEpilogue){.function = MEGA_FUNCTION_SIGMOID, .factor = m,
                                        .ld_factor = wide});
        return;
    }
    apply(kernels, own->output, m + half, wide, rows, half);
    multiply_rows(kernels, m, wide, m + half, wide, rows, half);
}

/* Returns the block's output m [rows] for some rows of y, and stores the floats from row to row in
 * *ld. */
static float *make_output(const Forward *forward, size_t first, size_t rows, const Scratch *scratch,
                          size_t *ld)
{
    const MegaPass *pass = forward->pass;
    const MegaS4Config *own = mega_s4(pass->config);
    const Widths *widths = &forward->widths;
    float *y = forward->sequence->y + first * widths->raw;
    *ld = widths->raw;
    if (!own->has_output)
        return y;
    if (scratch->swapped) {
        swap_channels(widths, y, rows, scratch->swapped);
        mix(forward, scratch->swapped, widths->seen, rows, scratch->mixed);
    } else {
        mix(forward, y, widths->raw, rows, scratch->mixed);
    }
    *ld = widths->mixed;
    if (!own->gate)
        return scratch->mixed;
    map(pass->kernels, &forward->layer->weights->gate, forward->z + first * widths->d, widths->d,
        rows, scratch->gate, widths->gate);
    apply(pass->kernels, own->activation, scratch->gate, widths->gate, rows, widths->gate);
    multiply_rows(pass->kernels, scratch->gate, widths->gate, scratch->mixed, widths->mixed, rows,
                  widths->gate);
    /* these rows of z are free now that the gate has been computed from them */
    *ld = widths->d;
    float *out = forward->sequence->z + first * widths->d;
    map(pass->kernels, &forward->layer->weights->output_gate, scratch->gate, widths->gate, rows,
        out, widths->d);
    return out;
}

/* Applies the hyper activation to y, then the activation. */
static void activate(void *context, size_t task, int worker)
{
    const Forward *forward = context;
    const MegaWorkspace *w = forward->pass->workspace;
    const Widths *widths = &forward->widths;
    const size_t first = task * w->row_block, rows = mega_block_rows(w, task);
    float *y = forward->sequence->y + first * widths->raw;
    (void)worker;
    apply_hyper(forward, y, rows);
    apply(forward->pass->kernels, mega_s4(forward->pass->config)->activation, y, widths->raw, rows,
          widths->seen);
}

/* Takes one block of rows from the convolution's output to the layer's. */
static void mix_rows(void *context, size_t task, int worker)
{
    const Forward *forward = context;
    const MegaPass *pass = forward->pass;
    const MegaWorkspace *w = pass->workspace;
    const Widths *widths = &forward->widths;
    const size_t first = task * w->row_block, rows = mega_block_rows(w, task);
    MegaArena own = mega_worker_arena(w, worker);
    const Scratch scratch = scratch_layout(pass->config, w->row_block, &own);
    size_t ld;
    if (!pass->tap.tap)
        activate(context, task, worker);
    const float *m = make_output(forward, first, rows, &scratch, &ld);
    float *x = w->x + first * widths->d, *seen = forward->sequence->z + first * widths->d;
    for (size_t row = 0; row < rows; row++)
        pass->kernels->add(x + row * widths->d, m + row * ld, widths->d);
    for (size_t row = 0; row < rows && pass->tap.tap && m != seen; row++)
        memcpy(seen + row * widths->d, m + row * ld, widths->d * sizeof *seen);
    if (!pass->config->pre_norm)
        mega_norm_apply(&forward->layer->norm, pass->kernels, x, rows, widths->d, x);
    if (forward->next)
        enter_rows(forward, forward->next, first, rows);
}

/* Shows a tap the kernels [rows of C][H][taps]. Where neither the plan nor the model's file keeps
 * their values, they are computed again. If there is no memory, the tap does not see them. */
static void tap_kernels(const MegaPass *pass, int index)
{
    const MegaS4Layer *layer = pass->stack->layers[index];
    const MegaS4Plan *plan = pass->workspace->plan;
    const MegaS4Kernels *kernels = &plan->kernels[index];
    const size_t rows = mega_s4_rows(pass->config), features = mega_s4_features(pass->config);
    if (!pass->tap.tap || plan->way == MEGA_S4_BY_STEPS || plan->taps == 0)
        return;
    const size_t bytes = rows * features * plan->taps * sizeof(float);
    const MegaSsm ssm = mega_s4_space(pass->config, layer->weights);
    MegaS4Kept kept = mega_s4_kept(pass->config, layer->weights, plan->taps,
                                   mega_ssm_family(&ssm, plan->taps, plan->rate), plan->rate);
    if (kernels->values && plan->way != MEGA_S4_BY_MATRIX)
        kept = (MegaS4Kept){kernels->values, kernels->stride};
    const size_t stride = kept.values ? kept.stride : plan->taps;
    float *all = malloc(bytes), *made = kept.values ? NULL : malloc(bytes);
    bool is_there = all && (made || kept.values);
    if (is_there && made)
        is_there = !mega_ssm_kernels(&ssm, plan->taps, plan->rate, pass->pool, made, stride, NULL);
    for (size_t row = 0; is_there && row < rows; row++)
        for (size_t i = 0; i < features; i++)
            memcpy(all + (row * features + i) * plan->taps,
                   (made ? made : kept.values) + (i * rows + row) * stride,
                   plan->taps * sizeof *all);
    if (is_there)
        mega_tap_layer(&pass->tap, index, ".kernel", all, rows * features, plan->taps);
    free(made);
    free(all);
}

static void forward(const MegaPass *pass, int index)
{
    const MegaWorkspace *w = pass->workspace;
    const Sequence *s = w->own;
    const MegaS4Layer *layer = pass->stack->layers[index];
    const Widths widths = widths_of(pass->config);
    const size_t blocks = mega_row_blocks(w);
    Forward work = {.pass = pass,
                    .sequence = s,
                    .layer = layer,
                    .widths = widths,
                    .z = pass->config->pre_norm ? s->z : w->x};
    if (!pass->tap.tap && index + 1 < pass->config->layers)
        work.next = pass->stack->layers[index + 1];
    tap_kernels(pass, index);
    if (index == 0 || pass->tap.tap)
        mega_pool_run(pass->pool, blocks, enter, &work);
    mega_s4_convolve(pass, index, layer->weights->d, s->narrow ? s->narrow : work.z, s->y);
    mega_tap_layer(&pass->tap, index, ".ssm", s->y, w->length, widths.raw);
    if (pass->tap.tap)
        mega_pool_run(pass->pool, blocks, activate, &work);
    mega_tap_layer(&pass->tap, index, ".act", s->y, w->length, widths.raw);
    mega_pool_run(pass->pool, blocks, mix_rows, &work);
    mega_tap_layer(&pass->tap, index, ".block", s->z, w->length, widths.d);
    mega_tap_layer(&pass->tap, index, "", w->x, w->length, widths.d);
}

/* Systems of low rank always have a recurrence. A diagonal one has none if it is normalised over
 * the length of the input. */
static bool can_stream(const MegaStackConfig *config)
{
    const MegaS4Config *own = mega_s4(config);
    return !config->bidirectional && (own->rank || own->discretization != MEGA_SSM_DSS);
}

static const char *const stages[] = {".kernel", ".ssm", ".act", ".block", "", NULL};

static void show(const MegaStack *stack, int index, MegaLayerView *out)
{
    const MegaS4Weights *weights = (const MegaS4Weights *)stack->weights + index;
    out->matrix = weights->output.weight.panels ? &weights->output.weight : NULL;
}

/* Counts only the map that mixes the features: how much work the state spaces take depends on the
 * plan. */
static void work(const MegaStackConfig *config, MegaLayerWork *out)
{
    const MegaS4Config *own = mega_s4(config);
    const double width = config->width;
    out->products = own->has_output ? width * width * own->channels * (own->glu ? 2 : 1) : 0;
}

const MegaLayerKind mega_layer_kind_s4 = {
    .name = "s4",
    .fields = mega_s4_fields,
    .check = mega_s4_check,
    .tensors = mega_s4_tensors,
    .weights_size = sizeof(MegaS4Weights),
    .dimension = mega_s4_dimension,
    .applies = mega_s4_applies,
    .derive = derive,
    .can_batch = can_batch,
    .planner = &mega_s4_planner,
    .has_rate = true,
    .can_stream = can_stream,
    .stages = stages,
    .layout = layout,
    .forward = forward,
    .show = show,
    .work = work,
};
