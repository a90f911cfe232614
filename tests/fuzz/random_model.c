/*
 * random_model.c - see random_model.h.
 */
#include "tests/fuzz/random_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "formats/base/bytes.h"
#include "src/layers/mega_config.h"
#include "src/layers/s4.h"
#include "src/layers/s4_config.h"
#include "src/layers/transformer.h"
#include "formats/base/sniff.h"
#include "formats/mega/mega_file.h"
#include "formats/tensor/panels.h"
#include "formats/text/added_tokens.h"
#include "formats/text/tokens.h"
#include "src/model/tensors.h"
#include "tests/fuzz/fuzz.h"

#define MOST_ELEMENTS 100000 /* of one tensor */
#define MOST_BLOCKS 500      /* of one compressed tensor */

/* ---- Choices -------------------------------------------------------------------------------- */

Dice dice_new(const uint8_t *bytes, size_t size)
{
    Dice dice = {bytes, size, 0xcbf29ce484222325u};
    for (size_t i = 0; i < size; i++)
        dice.state = (dice.state ^ bytes[i]) * 0x100000001b3u;
    dice.state |= 1;
    return dice;
}

static uint32_t next_bits(Dice *dice)
{
    dice->state ^= dice->state >> 12;
    dice->state ^= dice->state << 25;
    dice->state ^= dice->state >> 27;
    return (uint32_t)(dice->state * 0x2545f4914f6cdd1du >> 32);
}

int roll(Dice *dice, int count)
{
    uint32_t value = 0;
    int taken = 0;
    for (int range = count - 1; range > 0 && dice->left > 0; range >>= 8, taken++) {
        value = value << 8 | *dice->bytes++;
        dice->left--;
    }
    if (taken == 0)
        value = next_bits(dice);
    return count > 1 ? (int)(value % (uint32_t)count) : 0;
}

bool flip(Dice *dice)
{
    return roll(dice, 2) != 0;
}

int pick_of(Dice *dice, const int *values, int count)
{
    return values[roll(dice, count)];
}

Numbers roll_numbers(Dice *dice)
{
    int kind = roll(dice, 2 * NUMBERS_KINDS);
    return kind < NUMBERS_KINDS ? (Numbers)kind : NUMBERS_SMALL;
}

float roll_number(Dice *dice, Numbers numbers)
{
    uint32_t bits = next_bits(dice);
    float unit = (float)(bits >> 8) / (float)(1 << 23) - 1.0f;
    bool rare = bits % 64 == 0;
    switch (numbers) {
    case NUMBERS_SMALL: return 0.3f * unit;
    case NUMBERS_LARGE: return 20.0f * unit;
    case NUMBERS_ZERO: return 0;
    case NUMBERS_HUGE: return rare ? 3e38f * unit : unit;
    case NUMBERS_NAN: return rare ? NAN : unit;
    case NUMBERS_INFINITE: return rare ? INFINITY : unit;
    case NUMBERS_SUBNORMAL: return 1e-39f * unit;
    case NUMBERS_OPPOSED: return unit < 0 ? -1e30f : 1e30f;
    case NUMBERS_KINDS: break;
    }
    return unit;
}

/* ---- Configuration -------------------------------------------------------------------------- */

static MegaStackConfig random_stack(Dice *dice, bool decoder)
{
    MegaStackConfig s = {.layers = PICK(dice, 1, 1, 2, 3),
                         .width = PICK(dice, 1, 2, 3, 7, 8, 15, 16, 17, 24, 33, 48, 65, 96),
                         .ffn = PICK(dice, 0, 0, 1, 3, 16, 40, 65),
                         .max_positions = PICK(dice, 1, 17, 50, 300, 300, 300),
                         .bidirectional = !decoder && flip(dice),
                         .pre_norm = flip(dice),
                         .ffn_norm_differs = roll(dice, 4) == 0,
                         .final_norm = flip(dice),
                         .norm_affine = flip(dice),
                         .final_norm_affine = flip(dice),
                         .embed_norm = flip(dice),
                         .norm = (MegaNormKind)roll(dice, MEGA_NORM_MULTIPLY + 1),
                         .activation = (MegaActivation)roll(dice, MEGA_ACTIVATION_SIGMOID + 1)};
    MegaGatedConfig own = {.hidden = PICK(dice, 1, 2, 5, 16, 17, 32, 33, 64, 70),
                           .zdim = PICK(dice, 1, 2, 3, 4, 8, 12, 16, 17, 32, 34),
                           .ndim = PICK(dice, 1, 2, 3, 4, 5, 8, 16, 17, 33),
                           .chunk = PICK(dice, 0, 0, 1, 2, 3, 15, 16, 17, 32, 100),
                           .truncation = PICK(dice, 0, 0, 1, 2, 5, 16, 17, 1024, 1 << 26),
                           .ema_shift = !decoder && flip(dice),
                           .causal = !decoder && roll(dice, 4) == 0,
                           .rotary_float32 = flip(dice),
                           .attention = (MegaAttentionKind)roll(dice, MEGA_ATTENTION_LAPLACE + 1),
                           .bias = (MegaBiasKind)roll(dice, MEGA_BIAS_ROTARY + 1)};
    if (own.bias == MEGA_BIAS_ROTARY)
        own.zdim += own.zdim % 2;
    return mega_with_gated(s, own);
}

/* Divides the vocabulary into up to four clusters. first is the size of the first one, or 0 for
 * any. */
static MegaClusters random_clusters(Dice *dice, int vocab, bool many, int first)
{
    MegaClusters clusters = {.count = many && vocab >= 5 ? 1 + roll(dice, 4) : 1};
    for (int i = 0, end = 0; i < clusters.count; i++) {
        int left = vocab - end - (clusters.count - 1 - i); /* every later cluster has an id */
        end = i + 1 == clusters.count ? vocab : end + 1 + roll(dice, left);
        clusters.end[i] = end;
        clusters.width[i] = first > 0 && i == 0 ? first : PICK(dice, 1, 2, 4, 5, 16, 17, 40);
    }
    return clusters;
}

static MegaTargetConfig random_target(Dice *dice, int width)
{
    MegaTargetConfig t = {.vocab = PICK(dice, 1, 2, 5, 17, 40, 300, 1100)};
    t.pad = roll(dice, t.vocab);
    t.eos = roll(dice, t.vocab);
    t.unk = roll(dice, t.vocab);
    t.scale = flip(dice);
    t.adaptive_input = flip(dice);
    t.input_projection = t.adaptive_input || flip(dice);
    t.adaptive_output = flip(dice);
    t.split_head = flip(dice);
    t.output_projection = flip(dice) && (!t.adaptive_output || t.split_head);
    t.tied_projections = flip(dice);
    t.input = random_clusters(dice, t.vocab, t.adaptive_input, t.input_projection ? 0 : width);
    t.output = random_clusters(dice, t.vocab, t.adaptive_output, t.output_projection ? 0 : width);
    const bool plain = !t.adaptive_output && !t.output_projection;
    t.output_dense = plain && roll(dice, 3) == 0;
    t.output_bias = plain && roll(dice, 3) == 0;
    t.bare_start = roll(dice, 4) == 0;
    t.untruncated = roll(dice, 4) == 0;
    t.types = PICK(dice, 0, 0, 0, 1, 3);
    t.max_positions = PICK(dice, 1, 2, 5, 20, 60);
    t.cross_positions = PICK(dice, 1, 30, 300, 300, 300);
    return t;
}

/* Gives a classifier layers of S4, and what only its models have around them. */
static void make_s4(Dice *dice, MegaConfig *c)
{
    MegaStackConfig *stack = &c->encoder;
    const int width = stack->width;
    MegaS4Config own = {.states = PICK(dice, 1, 2, 3, 8, 17),
                        .groups = flip(dice) ? 1 : width,
                        .rank = PICK(dice, 0, 0, 1, 2, MEGA_SSM_MAX_RANK),
                        .channels = PICK(dice, 1, 1, 2, 4),
                        .untied = flip(dice),
                        .negated = flip(dice),
                        .fast = flip(dice),
                        .length = PICK(dice, 0, 1, 17, 64, 1009),
                        .limit = PICK(dice, 0, 0, 1, 20, 300),
                        .bandlimit = PICK(dice, 0, 0, 100000),
                        .dt_transform = (MegaSsmTransform)roll(dice, MEGA_SSM_PURE_RELU + 1),
                        .real_transform = (MegaSsmTransform)roll(dice, MEGA_SSM_PURE_RELU + 1),
                        .imag_transform = (MegaSsmTransform)roll(dice, MEGA_SSM_PURE_RELU + 1),
                        .discretization = (MegaSsmDiscretization)roll(dice, MEGA_SSM_DSS + 1),
                        .activation = (MegaS4Function)(1 + roll(dice, MEGA_S4_SOFTPLUS)),
                        .has_output = true,
                        .glu = flip(dice),
                        .output = (MegaS4Function)(1 + roll(dice, MEGA_S4_SOFTPLUS)),
                        .swapped = flip(dice),
                        .gate = PICK(dice, 0, 0, 1, 17)};
    own.kernel_lags = own.fast ? own.limit : 0;
    own.has_b = own.rank > 0 || flip(dice);
    own.has_length = own.rank > 0 && flip(dice);
    own.own_q = own.rank > 0 && flip(dice);
    own.own_lambda = roll(dice, 4) == 0;
    own.is_real = own.rank == 0 && !own.own_lambda && flip(dice);
    own.hyper = own.channels % 2 ? MEGA_S4_NO_FUNCTION
                                 : (MegaS4Function)roll(dice, MEGA_S4_SOFTPLUS + 1);
    if (own.groups == 1 && flip(dice))
        own.bottleneck = PICK(dice, 1, 3, 16);
    stack->kind = &mega_layer_kind_s4;
    stack->ffn = 0;
    stack->norm = PICK(dice, MEGA_NORM_BATCH, MEGA_NORM_LAYER, MEGA_NORM_NONE, MEGA_NORM_SCALARS);
    *mega_s4_of(stack) = own;
    c->head.pooling = (MegaPooling)roll(dice, MEGA_POOL_SUM + 1);
    c->head.pair_kind = (MegaPairKind)roll(dice, MEGA_PAIR_COMPARED + 1);
    if (c->embed.kind == MEGA_EMBED_TOKENS && c->embed.vocab <= width)
        c->embed.kind = MEGA_EMBED_ONE_HOT;
}

/* Makes every third stack one of Transformer layers. */
static void make_transformer(Dice *dice, MegaStackConfig *stack, bool has_positions)
{
    if (roll(dice, 3))
        return;
    const int heads = PICK(dice, 1, 2, 3, 4, 8, 16);
    stack->kind = &mega_layer_kind_transformer;
    memset(stack->own, 0, sizeof stack->own);
    mega_transformer_of(stack)->heads = stack->width % heads ? 1 : heads;
    stack->tied_layers = flip(dice);
    if (has_positions)
        stack->positions = (MegaPositionKind)roll(dice, MEGA_POSITIONS_LEARNED + 1);
}

/* Gives a model that is neither classifier, translator nor language model the head of its task. */
static void make_head(MegaConfig *c)
{
    MegaHeadConfig *head = &c->head;
    c->embed.kind = MEGA_EMBED_TOKENS;
    head->projection = false;
    head->pair = false;
    if (mega_task_traits(c->task)->labels_positions) {
        head->pooling = MEGA_POOL_NONE;
        head->layers = head->layers > 0;
    }
    if (c->task == MEGA_TASK_FILL)
        head->classes = c->embed.vocab;
    else if (c->task == MEGA_TASK_ANSWER)
        head->classes = 2;
    else if (c->task == MEGA_TASK_CHOOSE)
        head->classes = 1;
    else if (c->task == MEGA_TASK_EMBED) {
        head->classes = 0;
        head->output_bias = false;
        head->width = c->encoder.width;
    }
}

static MegaConfig random_config(Dice *dice)
{
    MegaConfig c = {.task = (MegaTask)roll(dice, MEGA_TASK_COUNT)};
    bool translator = c.task == MEGA_TASK_TRANSLATE;
    c.encoder = random_stack(dice, false);
    c.decoder = random_stack(dice, true);
    if (translator)
        c.encoder.width = c.decoder.width;
    c.embed.kind = translator ? MEGA_EMBED_TOKENS : (MegaEmbedKind)roll(dice, 4);
    c.embed.vocab = PICK(dice, 1, 2, 5, 16, 33, 100);
    c.embed.pad = roll(dice, c.embed.vocab + 1) - 1;
    c.embed.frame_hop = PICK(dice, 1, 2, 3, 10, 160);
    c.embed.frame_length = c.embed.frame_hop + 2 * PICK(dice, 0, 1, 5, 100);
    c.embed.patch = PICK(dice, 1, 2, 4, 8);
    c.embed.channels = PICK(dice, 1, 3, 2, 4);
    c.embed.height = c.embed.patch * PICK(dice, 1, 2, 3, 5);
    c.embed.width = c.embed.patch * PICK(dice, 1, 2, 3, 5, 9);
    c.embed.positions = flip(dice);
    c.embed.scale = translator && flip(dice);
    c.head = (MegaHeadConfig){.projection = flip(dice),
                              .pooling = (MegaPooling)roll(dice, MEGA_POOL_FIRST + 1),
                              .independent = roll(dice, 4) == 0,
                              .pair = roll(dice, 3) == 0,
                              .layers = PICK(dice, 0, 0, 1, 2, MEGA_MAX_HEAD_LAYERS),
                              .width = PICK(dice, 1, 2, 16, 17, 40),
                              .activation = (MegaActivation)roll(dice, MEGA_ACTIVATION_SIGMOID + 1),
                              .output_bias = flip(dice),
                              .classes = PICK(dice, 1, 2, 3, 10, 17, 300)};
    c.target = random_target(dice, c.decoder.width);
    if (c.task == MEGA_TASK_GENERATE && c.target.bare_start && flip(dice))
        c.target.pad = c.target.eos = c.target.unk = -1;
    if (c.task > MEGA_TASK_GENERATE)
        make_head(&c);
    if (c.embed.kind == MEGA_EMBED_TOKENS)
        c.embed.types = PICK(dice, 0, 0, 0, 1, 3);
    make_transformer(dice, &c.decoder, true);
    if (translator && c.decoder.kind)
        c.encoder.width = PICK(dice, 1, 7, 12, 16, 48);
    make_transformer(dice, &c.encoder, c.embed.kind != MEGA_EMBED_PATCHES);
    if (c.encoder.kind)
        c.encoder.bidirectional = true;
    else if (c.task == MEGA_TASK_CLASSIFY && roll(dice, 3) == 0)
        make_s4(dice, &c);
    return c;
}

/* ---- Metadata beside the configuration ------------------------------------------------------ */

static const char *const odd_texts[] = {
    "", " ", "\x1b]0;x\x07", "a", "b", "lo", "w@@", "</w>", "@@", "\xe2\x96\x81", "\xc2\x9b[31m",
    "10", "255", "e", "t", "h", "x\ty", "\n", "\"", "&quot;", "<", "'"};
#define ODD_COUNT ((int)(sizeof odd_texts / sizeof odd_texts[0]))

static void set_symbols(Dice *dice, MegaMeta *meta, const char *key, int count)
{
    static char names[1200][8];
    const char **list = calloc((size_t)count + 1, sizeof *list);
    for (int i = 0; list && i < count; i++) {
        snprintf(names[i % 1200], sizeof names[0], "s%d", i % 1200);
        list[i] = next_bits(dice) % 8 ? names[i % 1200] : odd_texts[roll(dice, ODD_COUNT)];
    }
    if (list)
        mega_meta_set_strings(meta, key, list, (size_t)count);
    free(list);
}

/* Describes a tokenizer of the Hugging Face hub: its added tokens, special ones and templates. */
static void set_hub_text(Dice *dice, MegaMeta *meta, bool units, int vocab)
{
    static const char *const special[] = {"special.cls", "special.mask", "special.pad",
                                          "special.bos"};
    int64_t added[4], flags[4], single[8], pair[10];
    mega_meta_set_string(meta, "text.tokenizer", units ? "units" : "byte_bpe");
    for (size_t i = 0; i < 4; i++) {
        mega_meta_set_int(meta, special[i], roll(dice, vocab + 1) - 1);
        added[i] = roll(dice, vocab);
        flags[i] = roll(dice, MEGA_ADDED_ALL + 1);
    }
    for (size_t i = 0; i < 10; i += 2) {
        const int piece = roll(dice, vocab);
        if (i < 8)
            single[i] = i == 2 ? MEGA_PIECE_A : piece;
        pair[i] = i == 2 ? MEGA_PIECE_A : i == 6 ? MEGA_PIECE_B : piece;
        if (i < 8)
            single[i + 1] = roll(dice, 2);
        pair[i + 1] = roll(dice, 2);
    }
    mega_meta_set_ints(meta, "text.added", added, 4);
    mega_meta_set_ints(meta, "text.added_flags", flags, 4);
    mega_meta_set_ints(meta, "text.single", single, 8);
    mega_meta_set_ints(meta, "text.pair", pair, 10);
    mega_meta_set_bool(meta, "text.add_prefix_space", flip(dice));
    mega_meta_set_bool(meta, "text.trim_offsets", flip(dice));
    mega_meta_set_bool(meta, "text.trim_keeps_first", flip(dice));
    mega_meta_set_bool(meta, "text.clean_up", flip(dice));
    mega_meta_set_bool(meta, "text.token_types", flip(dice));
    mega_meta_set_int(meta, "text.max_length", PICK(dice, 2, 7, 64, 512));
    if (flip(dice))
        mega_meta_set_int(meta, "special.unk", roll(dice, vocab));
    if (units && flip(dice))
        mega_meta_set_string(meta, "text.case", flip(dice) ? "upper" : "lower");
    if (flip(dice))
        mega_meta_set_int(meta, "byte_bpe.unknown", roll(dice, vocab));
    mega_meta_set_bool(meta, "byte_bpe.fuse_unknown", flip(dice));
}

static void set_text(Dice *dice, MegaMeta *meta, int vocab)
{
    static const char *const units[] = {"symbols", "characters", "bytes"};
    static const char *const codes[] = {"l o", "lo w</w>", "a b", "@@ @@", "s 1"};
    static const char *const glossaries[] = {"\\d+", "s.", "[^b]c"};
    mega_meta_set_string(meta, "text.unit", units[roll(dice, 3)]);
    mega_meta_set_int(meta, "text.cls", PICK(dice, -1, -1, 0, 1, 2));
    mega_meta_set_int(meta, "text.eos", PICK(dice, -1, 2, 0, 1));
    mega_meta_set_int(meta, "text.unk", PICK(dice, 0, 3, 1));
    const int tokenizer = roll(dice, 6);
    if (tokenizer < 2) {
        mega_meta_set_string(meta, "text.tokenizer", "moses");
        mega_meta_set_string(meta, "text.source_language", flip(dice) ? "de" : "longlanguage");
        mega_meta_set_string(meta, "text.target_language", flip(dice) ? "en" : "fr");
    } else if (tokenizer < 4) {
        set_hub_text(dice, meta, tokenizer == 2, vocab);
    }
    if (roll(dice, 3) == 0) {
        mega_meta_set_strings(meta, "bpe.codes", codes, 5);
        mega_meta_set_string(meta, "bpe.version", flip(dice) ? "0.1" : "0.2");
        if (flip(dice))
            mega_meta_set_strings(meta, "bpe.vocabulary", odd_texts, 8);
        if (flip(dice))
            mega_meta_set_strings(meta, "bpe.glossaries", glossaries, 3);
    }
}

static void set_image(Dice *dice, MegaMeta *meta, const MegaEmbedConfig *embed)
{
    static const char *const fits[] = {"exact", "stretch", "crop"};
    static const double mean[4] = {0.5, -1e9, 0, 1}, std[4] = {1e-9, 1e9, 1, 1};
    bool patches = embed->kind == MEGA_EMBED_PATCHES;
    int channels = patches ? embed->channels : 1;
    mega_meta_set_int(meta, "image.channels", channels);
    mega_meta_set_int(meta, "image.width", patches ? embed->width : PICK(dice, 1, 2, 16));
    mega_meta_set_int(meta, "image.height", patches ? embed->height : PICK(dice, 1, 2, 16));
    mega_meta_set_string(meta, "image.fit", fits[roll(dice, 3)]);
    mega_meta_set_int(meta, "image.resize", PICK(dice, 72, 100, 65536));
    mega_meta_set_floats(meta, "image.mean", mean, (size_t)channels);
    mega_meta_set_floats(meta, "image.std", std, (size_t)channels);
}

static void set_metadata(Dice *dice, MegaMeta *meta, const MegaConfig *config)
{
    const int vocab = mega_config_has_head(config) ? config->embed.vocab : config->target.vocab;
    set_symbols(dice, meta, "vocab.symbols", vocab);
    if (config->task == MEGA_TASK_TRANSLATE && flip(dice)) {
        set_symbols(dice, meta, "vocab.source", config->embed.vocab);
        set_symbols(dice, meta, "vocab.target", config->target.vocab);
    }
    set_symbols(dice, meta, "labels", roll(dice, config->head.classes + 3));
    set_text(dice, meta, vocab);
    set_image(dice, meta, &config->embed);
    mega_meta_set_int(meta, "audio.sample_rate", PICK(dice, 8000, 16000, 100, 1000000));
    mega_meta_set_float(meta, "audio.mean", PICK(dice, 0, 0, 1000000000));
    mega_meta_set_float(meta, "audio.std", flip(dice) ? 1 : 1e-9);
    mega_meta_set_int(meta, "audio.length", PICK(dice, 0, 0, 1, 100, 16000));
}

/* ---- Tensors -------------------------------------------------------------------------------- */

typedef struct Tensor {
    MegaTensorSpec spec;
    MegaDtype dtype;
    MegaEncoding encoding;
    uint8_t *data, *span; /* row-major, and as stored in the file; NULL if it is tied */
    size_t size, span_size;
    size_t tied_to;
    uint32_t block_size, block_count, *blocks; /* stored sizes */
} Tensor;

typedef struct Tensors {
    Dice *dice;
    Tensor *list;
    size_t count;
    Numbers numbers;
    int dtype, encoding; /* -1: chosen anew for each tensor */
} Tensors;

/* Replaces some of the integers and scales by any allowed value. */
static void scramble(Dice *dice, MegaDtype dtype, uint8_t *row, size_t size)
{
    size_t item = mega_dtype_traits((int)dtype)->item_size;
    for (uint8_t *at = row; at < row + size; at += item) {
        if (next_bits(dice) % 3)
            continue;
        for (size_t i = 2; i < item; i++)
            at[i] = (uint8_t)next_bits(dice);
        if (next_bits(dice) % 3 == 0) { /* a binary16 whose exponent is not that of infinity */
            at[0] = (uint8_t)next_bits(dice);
            at[1] = (uint8_t)(next_bits(dice) % 0x7c | (next_bits(dice) & 0x80));
        }
    }
}

static void fill_tensor(Tensors *all, Tensor *t)
{
    uint64_t columns = t->spec.shape[t->spec.rank - 1], rows = t->spec.elements / columns;
    size_t row_size = t->size / rows;
    bool variance = strstr(t->spec.name, "running_var") != NULL;
    float *row = malloc(columns * sizeof *row);
    for (uint64_t r = 0; row && r < rows; r++) {
        for (uint64_t c = 0; c < columns; c++) {
            float value = roll_number(all->dice, all->numbers);
            if (mega_dtype_quantized(t->dtype) && !(fabsf(value) < 1e37f))
                value = 1;
            row[c] = variance ? fabsf(value) : value;
        }
        mega_dtype_from_f32(t->dtype, row, columns, t->data + r * row_size);
        if (mega_dtype_quantized(t->dtype) && all->numbers != NUMBERS_SMALL)
            scramble(all->dice, t->dtype, t->data + r * row_size, row_size);
    }
    free(row);
}

static void deflate_block(Tensor *t, uint32_t number, uint8_t *shuffled)
{
    size_t item = mega_dtype_traits((int)t->dtype)->item_size;
    size_t begin = (size_t)number * t->block_size;
    size_t size = t->size - begin < t->block_size ? t->size - begin : t->block_size;
    for (size_t i = 0; i < size / item; i++)
        for (size_t b = 0; b < item; b++)
            shuffled[b * (size / item) + i] = t->data[begin + i * item + b];
    z_stream z = {.next_in = shuffled, .avail_in = (unsigned)size,
                  .next_out = t->span + t->span_size, .avail_out = 1u << 30};
    deflateInit2(&z, 1, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
    deflate(&z, Z_FINISH);
    t->blocks[number] = (uint32_t)z.total_out;
    t->span_size += z.total_out;
    deflateEnd(&z);
}

/* Makes the bytes that the file stores. */
static void encode_tensor(Dice *dice, Tensor *t)
{
    uint32_t item = mega_dtype_traits((int)t->dtype)->item_size;
    size_t rows = (size_t)t->spec.shape[0];
    if (t->encoding == MEGA_IN_PANELS) {
        size_t columns = (size_t)t->spec.shape[1];
        t->span_size = (size_t)mega_packed_bytes(t->dtype, rows, columns);
        t->span = calloc(1, t->span_size);
        mega_panels_pack(t->dtype, t->span, t->data, t->size / rows, rows, columns);
    } else if (t->encoding == MEGA_ZLIB_SHUFFLE) {
        t->block_size = item * (uint32_t)PICK(dice, 1, 2, 3, 7, 64, 1000);
        if (t->size / t->block_size >= MOST_BLOCKS)
            t->block_size = item * 5000;
        t->block_count = (uint32_t)((t->size - 1) / t->block_size + 1);
        t->blocks = calloc(t->block_count, sizeof *t->blocks);
        t->span = malloc(2 * t->size + 64 * (size_t)t->block_count);
        uint8_t *shuffled = malloc(t->block_size);
        for (uint32_t b = 0; b < t->block_count; b++)
            deflate_block(t, b, shuffled);
        free(shuffled);
    } else {
        t->span_size = t->size;
        t->span = malloc(t->size);
        memcpy(t->span, t->data, t->size);
    }
}

/* Lets some tensors share the data of an earlier one of the same shape. */
static bool tie(const Tensors *all, Tensor *t)
{
    for (size_t i = all->count; i-- > 0;) {
        const Tensor *holder = &all->list[i];
        if (holder->encoding == MEGA_TIED || holder->spec.rank != t->spec.rank ||
            memcmp(holder->spec.shape, t->spec.shape, sizeof t->spec.shape) != 0)
            continue;
        t->tied_to = i;
        t->dtype = holder->dtype;
        t->encoding = MEGA_TIED;
        return true;
    }
    return false;
}

static int add_tensor(void *context, const MegaTensorSpec *spec, MegaError *err)
{
    Tensors *all = context;
    uint64_t size = 0;
    if (spec->elements > MOST_ELEMENTS)
        return mega_fail(err, MEGA_ERR_LIMIT, "tensor '%s' is too large to fuzz with", spec->name);
    all->list = realloc(all->list, (all->count + 1) * sizeof *all->list);
    Tensor *t = &all->list[all->count];
    *t = (Tensor){.spec = *spec};
    t->dtype = (MegaDtype)(all->dtype < 0 ? roll(all->dice, MEGA_STORABLE_DTYPES) : all->dtype);
    t->encoding = (MegaEncoding)(all->encoding < 0 ? PICK(all->dice, MEGA_PLAIN, MEGA_ZLIB_SHUFFLE,
                                                          MEGA_IN_PANELS)
                                                   : all->encoding);
    if (t->encoding == MEGA_IN_PANELS && spec->rank != 2)
        t->encoding = MEGA_PLAIN;
    bool tied = next_bits(all->dice) % 12 == 0 && tie(all, t);
    mega_dtype_bytes(t->dtype, spec->shape, spec->rank, &size);
    t->size = (size_t)size;
    all->count++;
    if (tied)
        return 0;
    t->data = calloc(1, t->size);
    fill_tensor(all, t);
    encode_tensor(all->dice, t);
    return 0;
}

static void free_tensors(Tensors *all)
{
    for (size_t i = 0; i < all->count; i++) {
        free(all->list[i].data);
        free(all->list[i].span);
        free(all->list[i].blocks);
    }
    free(all->list);
}

/* ---- The file (MEGA-FORMAT.md, "Layout") ---------------------------------------------------- */

static size_t align(size_t position)
{
    return (position + MEGA_DATA_ALIGNMENT - 1) / MEGA_DATA_ALIGNMENT * MEGA_DATA_ALIGNMENT;
}

static uint32_t crc_of(const void *bytes, size_t size)
{
    return (uint32_t)crc32_z(0, bytes, size);
}

static void put_entry(MegaBuffer *index, const Tensors *all, const Tensor *t, uint64_t offset)
{
    const Tensor *holder = t->encoding == MEGA_TIED ? &all->list[t->tied_to] : t;
    size_t length = strlen(t->spec.name), at = 0;
    mega_put_u16(index, (uint16_t)length);
    mega_put_bytes(index, t->spec.name, length);
    mega_put_u8(index, (uint8_t)t->dtype);
    mega_put_u8(index, (uint8_t)t->encoding);
    mega_put_u8(index, (uint8_t)t->spec.rank);
    for (int i = 0; i < t->spec.rank; i++)
        mega_put_u64(index, t->spec.shape[i]);
    mega_put_u64(index, offset);
    mega_put_u64(index, t->span_size);
    mega_put_u64(index, t->size);
    mega_put_u32(index, crc_of(holder->data, holder->size));
    if (t->encoding == MEGA_ZLIB_SHUFFLE) {
        mega_put_u32(index, t->block_size);
        mega_put_u32(index, t->block_count);
        for (uint32_t b = 0; b < t->block_count; at += t->blocks[b++]) {
            mega_put_u32(index, t->blocks[b]);
            mega_put_u32(index, crc_of(t->span + at, t->blocks[b]));
        }
    }
    if (t->encoding == MEGA_TIED)
        mega_put_u32(index, (uint32_t)t->tied_to);
}

/* Makes the index for data that begins at `after`; its size does not depend on that. *end becomes
 * the end of the file. */
static MegaBuffer make_index(const Tensors *all, size_t after, size_t *offsets, size_t *end)
{
    MegaBuffer index = {0};
    *end = after;
    for (size_t i = 0; i < all->count; i++) {
        const Tensor *t = &all->list[i];
        offsets[i] = t->encoding == MEGA_TIED ? 0 : align(*end);
        *end = t->encoding == MEGA_TIED ? *end : offsets[i] + t->span_size;
        put_entry(&index, all, t, offsets[i]);
    }
    return index;
}

static uint8_t *write_file(const Tensors *all, const uint8_t *meta, size_t meta_size, size_t *size)
{
    size_t place = align(MEGA_HEADER_SIZE + meta_size);
    size_t *offsets = calloc(all->count + 1, sizeof *offsets);
    MegaBuffer index = make_index(all, place, offsets, size);
    size_t after = place + index.size;
    mega_buffer_free(&index);
    index = make_index(all, after, offsets, size);
    uint8_t *file = calloc(1, *size);
    memcpy(file, MEGA_MAGIC, 8);
    mega_store_u32(file + 8, MEGA_FORMAT_VERSION);
    mega_store_u64(file + 16, *size);
    mega_store_u64(file + 24, meta_size);
    mega_store_u64(file + 32, place);
    mega_store_u64(file + 40, index.size);
    mega_store_u32(file + 48, crc_of(meta, meta_size));
    mega_store_u32(file + 52, crc_of(index.data, index.size));
    mega_store_u32(file + 56, (uint32_t)all->count);
    mega_store_u32(file + 60, crc_of(file, 60));
    memcpy(file + MEGA_HEADER_SIZE, meta, meta_size);
    memcpy(file + place, index.data, index.size);
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].span)
            memcpy(file + offsets[i], all->list[i].span, all->list[i].span_size);
    mega_buffer_free(&index);
    free(offsets);
    return file;
}

uint8_t *random_model_bytes(Dice *dice, size_t *size)
{
    MegaError err = {0};
    MegaConfig config = random_config(dice);
    MegaMeta *meta = mega_meta_new();
    Tensors all = {.dice = dice, .numbers = roll_numbers(dice),
                   .dtype = roll(dice, MEGA_STORABLE_DTYPES + 1) - 1,
                   .encoding = PICK(dice, -1, -1, MEGA_PLAIN, MEGA_ZLIB_SHUFFLE, MEGA_IN_PANELS)};
    uint8_t *bytes = NULL, *file = NULL;
    size_t meta_size = 0;
    if (mega_config_write(&config, meta, &err)) /* every configuration made here is valid */
        fuzz_check_error(1, err.text);
    set_metadata(dice, meta, &config);
    if (mega_tensors_each(&config, NULL, add_tensor, &all, &err) == 0 &&
        mega_meta_encode(meta, &bytes, &meta_size, &err) == 0)
        file = write_file(&all, bytes, meta_size, size);
    free(bytes);
    free_tensors(&all);
    mega_meta_free(meta);
    return file;
}

MegaModel *random_model_open(Dice *dice, uint8_t **bytes)
{
    MegaError err = {0};
    MegaModel *model = NULL;
    size_t size = 0;
    *bytes = random_model_bytes(dice, &size);
    const int code = *bytes ? mega_model_from_memory(&model, *bytes, size, &err) : 0;
    if (code && code != MEGA_ERR_MODEL) /* every model made here can be opened */
        fuzz_check_error(1, err.text);
    return model;
}
