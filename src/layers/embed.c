/*
 * embed.c - see embed.h.
 */
#include "src/layers/embed.h"

#include <math.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/kernels/matmul.h"
#include "src/layers/norm.h"

/* ---- Checking ------------------------------------------------------------------------------- */

static const char *kind_name(MegaInputKind kind)
{
    switch (kind) {
    case MEGA_INPUT_TOKENS: return "token ids";
    case MEGA_INPUT_SAMPLES: return "real numbers";
    case MEGA_INPUT_IMAGE: return "an image";
    }
    return "an unknown kind of input";
}

static int check_tokens(const MegaEmbedConfig *embed, MegaInput *input, MegaError *err)
{
    while (embed->pad >= 0 && input->length > 0 && input->tokens[0] == embed->pad) {
        input->tokens++;
        if (input->types)
            input->types++;
        input->length--;
    }
    while (embed->pad >= 0 && input->length > 0 && input->tokens[input->length - 1] == embed->pad)
        input->length--;
    for (size_t i = 0; i < input->length; i++) {
        int32_t token = input->tokens[i];
        if (token < 0 || token >= embed->vocab)
            return mega_fail(err, MEGA_ERR_INPUT,
                             "token id %d at position %zu is not in the vocabulary of 0 to %d",
                             token, i, embed->vocab - 1);
        if (embed->types > 0 && input->types &&
            (input->types[i] < 0 || input->types[i] >= embed->types))
            return mega_fail(err, MEGA_ERR_INPUT,
                             "token type %d at position %zu is not one of 0 to %d", input->types[i],
                             i, embed->types - 1);
        if (token == embed->pad)
            return mega_fail(err, MEGA_ERR_INPUT,
                             "padding id %d stands inside the sequence, at position %zu; it may "
                             "stand at its ends only",
                             token, i);
    }
    return 0;
}

/* Gives an image without a shape that of the model. */
static int check_image(const MegaEmbedConfig *embed, MegaInput *input, MegaError *err)
{
    if (input->channels == 0 && input->height == 0 && input->width == 0) {
        input->channels = embed->channels;
        input->height = embed->height;
        input->width = embed->width;
    }
    if (input->channels != embed->channels || input->height != embed->height ||
        input->width != embed->width)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "the image has %d x %d x %d values (channels x height x width), but the "
                         "model takes %d x %d x %d",
                         input->channels, input->height, input->width, embed->channels,
                         embed->height, embed->width);
    if (input->length != mega_image_values(embed))
        return mega_fail(err, MEGA_ERR_INPUT,
                         "an image of %d x %d x %d values (channels x height x width) was given "
                         "with %zu values",
                         input->channels, input->height, input->width, input->length);
    return 0;
}

static int check_values(const MegaInput *input, MegaError *err)
{
    for (size_t i = 0; i < input->length; i++)
        if (!isfinite(input->values[i]))
            return mega_fail(err, MEGA_ERR_INPUT, "value %zu of the input is %s", i,
                             isnan(input->values[i]) ? "NaN, not a number" : "infinite");
    return 0;
}

int mega_embed_check(const MegaConfig *config, MegaInput *input, size_t *length, MegaError *err)
{
    const MegaEmbedConfig *embed = &config->embed;
    const int64_t most = mega_stack_reach(config, &config->encoder).positions;
    MegaInputKind expected = mega_config_input_kind(config);
    int code = 0;
    if (input->kind != expected)
        return mega_fail(err, MEGA_ERR_INPUT, "the model takes %s, but was given %s",
                         kind_name(expected), kind_name(input->kind));
    if (input->length > 0 &&
        (expected == MEGA_INPUT_TOKENS ? !input->tokens : !input->values))
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "the input has %zu %s, but the pointer to them is NULL", input->length,
                         expected == MEGA_INPUT_TOKENS ? "tokens" : "values");
    if (expected == MEGA_INPUT_TOKENS)
        code = check_tokens(embed, input, err);
    else if (expected == MEGA_INPUT_IMAGE)
        code = check_image(embed, input, err);
    if (!code && expected != MEGA_INPUT_TOKENS)
        code = check_values(input, err);
    if (code)
        return code;
    if (input->length == 0)
        return mega_fail(err, MEGA_ERR_INPUT, "the input is empty");

    *length = input->length;
    if (embed->kind == MEGA_EMBED_FRAMES)
        *length = (input->length - 1) / (size_t)embed->frame_hop + 1;
    else if (embed->kind == MEGA_EMBED_PATCHES)
        *length = (size_t)mega_image_patches(embed);
    if (*length > (uint64_t)most)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "the input has %zu positions, but the model was made for at most %lld",
                         *length, (long long)most);
    if (*length > INT32_MAX / 4)
        return mega_fail(err, MEGA_ERR_LIMIT, "the input has %zu positions; the limit is %d",
                         *length, INT32_MAX / 4);
    return 0;
}

/* ---- Running -------------------------------------------------------------------------------- */

typedef struct Work {
    const MegaPass *pass;
    const MegaEmbed *embed;
} Work;

/* Returns how many rows one task embeds: MEGA_ROW_BLOCK, or fewer if that many frames or patches
 * would take more than BLOCK_FLOATS. No result depends on it. */
#define BLOCK_FLOATS (1u << 22)
static size_t block_rows(const MegaEmbedConfig *config)
{
    uint64_t rows = BLOCK_FLOATS / (mega_embed_fan_in(config) + 1);
    return rows < 1 ? 1 : rows < MEGA_ROW_BLOCK ? (size_t)rows : MEGA_ROW_BLOCK;
}

uint64_t mega_embed_scratch(const MegaConfig *config)
{
    return mega_embed_fan_in(&config->embed) * block_rows(&config->embed);
}

/* Copies the samples of frame t to frame [frame_length]. */
static void copy_frame(const MegaEmbedConfig *config, const MegaInput *input, size_t t,
                       float *frame)
{
    int64_t hop = config->frame_hop, size = config->frame_length;
    int64_t begin = (int64_t)t * hop - (size - hop) / 2, total = (int64_t)input->length;
    int64_t from = begin < 0 ? 0 : begin, to = begin + size > total ? total : begin + size;
    memset(frame, 0, (size_t)size * sizeof *frame);
    if (from < to)
        memcpy(frame + (from - begin), input->values + from, (size_t)(to - from) * sizeof *frame);
}

/* Copies the values of patch t to patch [channels][edge][edge]. */
static void copy_patch(const MegaEmbedConfig *config, const MegaInput *input, size_t t,
                       float *patch)
{
    size_t edge = (size_t)config->patch, width = (size_t)config->width;
    size_t per_row = width / edge, plane = width * (size_t)config->height;
    const float *corner = input->values + t / per_row * edge * width + t % per_row * edge;
    for (size_t c = 0; c < (size_t)config->channels; c++)
        for (size_t row = 0; row < edge; row++, patch += edge)
            memcpy(patch, corner + c * plane + row * width, edge * sizeof *patch);
}

/* Maps frames or patches first ... first + rows - 1 to x, by way of scratch [rows][fan-in]. */
static void embed_linear(const MegaPass *pass, const MegaEmbed *embed, size_t first, size_t rows,
                         float *x, float *scratch)
{
    const MegaEmbedConfig *config = embed->config;
    const MegaWeights *weights = embed->weights;
    size_t d = (size_t)pass->config->width, in = (size_t)mega_embed_fan_in(config);
    for (size_t row = 0; row < rows; row++) {
        if (config->kind == MEGA_EMBED_FRAMES)
            copy_frame(config, embed->input, first + row, scratch + row * in);
        else
            copy_patch(config, embed->input, first + row, scratch + row * in);
    }
    MegaEpilogue epilogue = {.bias = weights->embed.bias};
    if (weights->positions) {
        epilogue.addend = weights->positions + first * d;
        epilogue.ld_addend = d;
    }
    mega_matmul(pass->kernels, &weights->embed.weight, scratch, in, rows, x, d, &epilogue);
}

void mega_embed_scale(float *x, size_t rows, size_t width)
{
    float scale = sqrtf((float)width);
    for (size_t i = 0; i < rows * width; i++)
        x[i] *= scale;
}

void mega_embed_add_type(const float *types, int32_t type, size_t width, float *x)
{
    const float *row = types + (size_t)type * width;
    for (size_t i = 0; i < width; i++)
        x[i] += row[i];
}

/* Runs one task: a block of rows, from the input to the norm. */
static void embed_rows(void *context, size_t task, int worker)
{
    const Work *work = context;
    const MegaPass *pass = work->pass;
    const MegaEmbed *embed = work->embed;
    const MegaWorkspace *w = pass->workspace;
    const MegaLinearWeights *weights = &embed->weights->embed;
    size_t d = (size_t)pass->config->width, most = block_rows(embed->config);
    size_t first = task * most, rows = embed->length - first;
    rows = mega_min_size(rows, most);
    float *x = w->x + (embed->begin + first) * d;
    first += embed->first;
    switch (embed->config->kind) {
    case MEGA_EMBED_TOKENS:
        for (size_t row = 0; row < rows; row++)
            mega_packed_row(&weights->weight, (size_t)embed->input->tokens[first + row],
                            x + row * d);
        break;
    case MEGA_EMBED_ONE_HOT:
        memset(x, 0, rows * d * sizeof *x);
        for (size_t row = 0; row < rows; row++)
            x[row * d + (size_t)embed->input->tokens[first + row]] = 1;
        break;
    case MEGA_EMBED_REAL:
        for (size_t row = 0; row < rows; row++)
            for (size_t i = 0; i < d; i++)
                x[row * d + i] = embed->input->values[first + row] * embed->weights->embed_real[i] +
                                 weights->bias[i];
        break;
    case MEGA_EMBED_FRAMES:
    case MEGA_EMBED_PATCHES:
        embed_linear(pass, embed, first, rows, x, w->scratch + (size_t)worker * w->scratch_stride);
        break;
    }
    if (embed->config->scale)
        mega_embed_scale(x, rows, d);
    for (size_t row = 0; embed->weights->types && row < rows; row++)
        mega_embed_add_type(embed->weights->types,
                            embed->input->types ? embed->input->types[first + row] : 0, d,
                            x + row * d);
    mega_positions_add(&pass->stack->positions, first, rows, x);
    if (pass->config->embed_norm)
        mega_norm_apply(&pass->stack->embed_norm, pass->kernels, x, rows, d, x);
}

void mega_embed_run(const MegaPass *pass, const MegaEmbed *embed)
{
    Work work = {pass, embed};
    size_t most = block_rows(embed->config);
    mega_pool_run(pass->pool, mega_pieces(embed->length, most), embed_rows, &work);
}
