/*
 * fuzz_model.c - fuzzes valid models of every configuration, type and encoding (random_model.h),
 * and all that the library does with them: text and pictures become inputs, classifiers classify,
 * decoders step, feed, score and select in any order, translators search, samplers draw. After an
 * error the run continues, as a caller may: objects must stay fit for the next call.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/tokenizer.h"
#include "src/encode/session.h"
#include "src/kernels/kernels.h"
#include "src/model/model.h"
#include "src/pipeline/preprocess.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/random_model.h"

#define MOST_LENGTH 300
#define MOST_SEQUENCES 7
#define MOST_FED 80

typedef struct Run {
    Dice *dice;
    const MegaModel *model;
    const MegaConfig *config;
    MegaSession *session;
} Run;

/* ---- Inputs --------------------------------------------------------------------------------- */

static void use_text(const Run *run, MegaTokenizerSide side)
{
    static const char *const texts[] = {
        "The \"newest\" lower, don't 3.5 %", "s1 s2 s 1 \xf0\x9f\x98\x80", "", " \n",
        "aaaaaaaaaaaaaaaaaaaa\xf0", "\xe2\x96\x81 &quot; <x@y.z> http://a.b/c 1,000"};
    const MegaMeta *meta = mega_model_meta(run->model);
    const char *text = texts[roll(run->dice, 6)];
    bool cut = flip(run->dice);
    MegaError err = {0};
    MegaTokenizer *tokenizer = NULL;
    MegaBuffer out = {0};
    int32_t *ids = NULL;
    size_t count = 0;
    int code = mega_tokenizer_new(&tokenizer, meta, side, &err);
    if (!code)
        code = mega_tokenizer_encode(tokenizer, text, strlen(text), cut, &ids, &count, &err);
    for (size_t i = 0; !code && i < count; i++) {
        if (ids[i] < 0) /* text.unk may be outside the vocabulary, which decoders refuse */
            abort();
        mega_tokenizer_decode_next(tokenizer, ids[i], i == 0, &out);
    }
    if (!code)
        code = mega_tokenizer_decode(tokenizer, ids, count, cut, &out, &err);
    fuzz_check_error(code, err.text);
    mega_buffer_free(&out);
    free(ids);
    mega_tokenizer_free(tokenizer);
}

static void use_picture(const Run *run)
{
    MegaImagePreprocess preprocess;
    MegaError err = {0};
    MegaImage image = {.width = 1 + roll(run->dice, 90), .height = 1 + roll(run->dice, 90),
                       .channels = PICK(run->dice, 1, 3)};
    int code = mega_image_preprocess_read(&preprocess, mega_model_meta(run->model), &err);
    fuzz_check_error(code, err.text);
    if (code)
        return;
    size_t size = (size_t)image.width * (size_t)image.height * (size_t)image.channels;
    image.pixels = malloc(size);
    memset(image.pixels, roll(run->dice, 256), size);
    code = mega_image_fit(&preprocess, &image, "picture", &err);
    fuzz_check_error(code, err.text);
    if (!code) {
        size_t values = (size_t)preprocess.width * (size_t)preprocess.height;
        float *out = malloc(values * (size_t)preprocess.channels * sizeof *out);
        mega_image_normalize(&preprocess, image.pixels, out);
        free(out);
    }
    mega_image_free(&image);
}

/* An input, and the memory that it points to. */
typedef struct Made {
    MegaInput input;
    int32_t *tokens, *types;
    float *values;
} Made;

static Made make_input(const Run *run)
{
    const MegaEmbedConfig *embed = &run->config->embed;
    size_t length = (size_t)PICK(run->dice, 1, 2, 3, 15, 16, 17, 31, 33, 50, 120, MOST_LENGTH);
    Numbers numbers = roll_numbers(run->dice);
    if (mega_model_input_kind(run->model) == MEGA_INPUT_IMAGE)
        length = (size_t)mega_image_values(embed);
    Made made = {.tokens = malloc(length * sizeof *made.tokens),
                 .types = malloc(length * sizeof *made.types),
                 .values = malloc(length * sizeof *made.values)};
    int vocab = embed->vocab > 0 ? embed->vocab : 1; /* language models have no encoder */
    for (size_t i = 0; i < length; i++) {
        int32_t token = (int32_t)(fabsf(roll_number(run->dice, NUMBERS_SMALL)) * 1e6f) % vocab;
        made.tokens[i] = token == embed->pad ? (token + 1) % vocab : token;
        made.types[i] = embed->types > 1 ? token % embed->types : 0;
        made.values[i] = roll_number(run->dice, numbers);
    }
    made.input = (MegaInput){.kind = mega_model_input_kind(run->model), .tokens = made.tokens,
                             .values = made.values, .length = length,
                             .channels = embed->channels, .height = embed->height,
                             .width = embed->width};
    if (embed->types > 0 && flip(run->dice))
        made.input.types = made.types;
    return made;
}

static void free_input(Made *made)
{
    free(made->tokens);
    free(made->types);
    free(made->values);
}

/* ---- Tasks ---------------------------------------------------------------------------------- */

/* Runs an input of one value or token a position as two pieces, where the model can do that. */
static void classify_pieces(const Run *run, const MegaInput *input)
{
    MegaError err = {0};
    const size_t d = (size_t)run->config->encoder.width, half = (input->length + 1) / 2;
    double *pooled = malloc(d * sizeof *pooled), *later = malloc(d * sizeof *later);
    float *logits = malloc((size_t)run->config->head.classes * sizeof *logits);
    size_t positions = 0, before = 0;
    int code = mega_session_stream_begin(run->session, &err);
    for (size_t first = 0; !code && first < input->length; first += half, before += positions) {
        MegaInput piece = *input;
        piece.tokens += first;
        piece.values += first;
        piece.length = input->length - first < half ? input->length - first : half;
        code = mega_session_stream_piece(run->session, &piece, later, &positions, &err);
        if (!code)
            mega_session_stream_join(run->session, pooled, later, first == 0);
    }
    if (!code)
        code = mega_session_stream_end(run->session, pooled, before, logits, &err);
    fuzz_check_error(code, err.text);
    free(pooled);
    free(later);
    free(logits);
}

static void classify(const Run *run, const MegaInput *inputs)
{
    MegaError err = {0};
    size_t classes = (size_t)(run->config->task == MEGA_TASK_EMBED ? run->config->encoder.width
                                                                   : run->config->head.classes);
    float *logits = malloc(classes * sizeof *logits);
    int code = mega_session_classify(run->session, inputs, mega_model_input_count(run->model),
                                     logits, &err);
    fuzz_check_error(code, err.text);
    for (size_t i = 0; !code && i < classes; i++)
        if (!isfinite(logits[i]))
            abort();
    free(logits);
    classify_pieces(run, inputs);
}

/* Asks for logits at all positions, or at some of them. */
static void label(const Run *run, const MegaInput *input)
{
    MegaError err = {0};
    const size_t classes = (size_t)run->config->head.classes;
    size_t some[3], count = flip(run->dice) ? input->length : 3;
    for (size_t i = 0; i < 3; i++)
        some[i] = (size_t)roll(run->dice, (int)input->length);
    float *logits = malloc(count * classes * sizeof *logits);
    int code = mega_session_label(run->session, input, count == input->length ? NULL : some, count,
                                  logits, &err);
    fuzz_check_error(code, err.text);
    for (size_t i = 0; !code && i < count * classes; i++)
        if (!isfinite(logits[i]))
            abort();
    free(logits);
}

/* Makes one call of a decoder, of any kind that is possible now. */
static int call_decoder(const Run *run, MegaDecoder *decoder, int sequences, MegaError *err)
{
    int32_t tokens[MOST_FED], targets[MOST_FED];
    int vocab = run->config->target.vocab, live = mega_decoder_live(decoder), code;
    size_t count = (size_t)PICK(run->dice, 1, 2, 3, 16, 17, 40, MOST_FED - 1);
    float *logits = malloc((size_t)vocab * MOST_FED * sizeof *logits);
    for (int i = 0; i < MOST_FED; i++) {
        tokens[i] = roll(run->dice, vocab + (i == 0 && roll(run->dice, 16) == 0));
        targets[i] = roll(run->dice, vocab);
    }
    switch (roll(run->dice, 4)) {
    case 0: code = mega_decoder_step(decoder, tokens, logits, err); break;
    case 1:
        code = mega_decoder_feed(decoder, tokens, count, flip(run->dice) ? logits : NULL, err);
        break;
    case 2: code = mega_decoder_score(decoder, tokens, targets, count, logits, err); break;
    default: {
        int parents[MOST_SEQUENCES], chosen = 1 + roll(run->dice, sequences);
        for (int i = 0; i < chosen; i++)
            parents[i] = roll(run->dice, live ? live : 1);
        code = mega_decoder_select(decoder, parents, chosen, err);
        break;
    }
    }
    free(logits);
    return code;
}

static void decode(const Run *run, MegaEncoded *const encoded[2])
{
    MegaError err = {0};
    MegaDecoder *decoder = NULL;
    int sequences = PICK(run->dice, 1, 1, 2, 3, MOST_SEQUENCES);
    MegaDecoderOptions options = {.sequences = sequences,
                                  .chunk = PICK(run->dice, 0, 0, 0, -1, 1, 2, 7, 100),
                                  .truncate = flip(run->dice),
                                  .exact_top = PICK(run->dice, 0, 0, 1, 2, 5)};
    int code = mega_decoder_new(&decoder, run->session, &options, &err);
    fuzz_check_error(code, err.text);
    for (int begun = 0; !code && begun < 3; begun++) {
        const MegaEncoded *sources[MOST_SEQUENCES];
        for (int i = 0; i < MOST_SEQUENCES; i++)
            sources[i] = encoded[roll(run->dice, 2)];
        fuzz_check_error(mega_decoder_begin(decoder, encoded[0] ? sources : NULL,
                                            1 + roll(run->dice, sequences), &err),
                         err.text);
        for (int step = 0; step < 6; step++)
            fuzz_check_error(call_decoder(run, decoder, sequences, &err), err.text);
    }
    mega_decoder_free(decoder);
}

static void search(const Run *run, const Made *made)
{
    MegaError err = {0};
    MegaTranslation out[5];
    int vocab = run->config->target.vocab, count = 1 + roll(run->dice, 5);
    const int32_t prefix[3] = {roll(run->dice, vocab), roll(run->dice, vocab), 0};
    const MegaInput sources[5] = {made[0].input, made[1].input, made[1].input, made[0].input,
                                  made[1].input};
    MegaSearchOptions options = mega_search_defaults();
    options.beam = PICK(run->dice, 1, 2, 3, 5, 11);
    options.max_len_a = flip(run->dice) ? 0 : 1.5;
    options.max_len_b = PICK(run->dice, 0, 1, 2, 10, 30);
    options.min_len = roll(run->dice, 3);
    options.no_repeat_ngram = PICK(run->dice, 0, 0, 1, 2, 3, 50);
    options.unk_penalty = PICK(run->dice, 0, 0, 1, -1000, 1000000000);
    options.temperature = PICK(run->dice, 1, 1, 2) == 1 ? 1 : flip(run->dice) ? 1e-30 : 1e30;
    options.length_penalty = PICK(run->dice, 1, 1, 0, -1000, 1000);
    options.prefix = prefix;
    options.prefix_length = (size_t)PICK(run->dice, 0, 0, 1, 3);
    options.alignments = flip(run->dice);
    options.unnormalized = flip(run->dice);
    int code = mega_session_translate(run->session, sources, count, &options, out, &err);
    fuzz_check_error(code, err.text);
    for (int i = 0; !code && i < count; i++) {
        for (int h = 0; h < out[i].count; h++)
            for (size_t t = 0; t < out[i].hypotheses[h].length; t++)
                if (out[i].hypotheses[h].tokens[t] < 0 || out[i].hypotheses[h].tokens[t] >= vocab)
                    abort();
        mega_translation_free(&out[i]);
    }
}

static void sample(const Run *run)
{
    MegaError err = {0};
    MegaSampler *sampler = NULL;
    int vocab = run->config->target.vocab;
    MegaSamplingOptions options = {.greedy = roll(run->dice, 4) == 0,
                                   .top_k = PICK(run->dice, 0, 0, 1, 3, 100000),
                                   .top_p = PICK(run->dice, 1, 1, 0) ? 1 : 1e-9,
                                   .temperature = flip(run->dice) ? 1 : 1e-6,
                                   .repetition_penalty = flip(run->dice) ? 1 : 1e6};
    float *logits = malloc((size_t)vocab * sizeof *logits);
    int code = mega_sampler_new(&sampler, run->model, &options, &err);
    fuzz_check_error(code, err.text);
    for (int draw = 0; !code && draw < 4; draw++) {
        Numbers numbers = roll_numbers(run->dice);
        for (int i = 0; i < vocab; i++)
            logits[i] = roll_number(run->dice, numbers);
        int32_t token = mega_sampler_next(sampler, logits);
        /* -1: there is no choice, since the logits are not finite; a model may have no padding */
        if (token < -1 || token >= vocab || (token >= 0 && token == run->config->target.pad))
            abort();
    }
    mega_sampler_free(sampler);
    free(logits);
}

/* ---- All of it ------------------------------------------------------------------------------ */

static void touch(void *context, const char *stage, int input, const float *data, size_t rows,
                  size_t columns)
{
    volatile float sum = 0;
    (void)context, (void)stage, (void)input;
    for (size_t i = 0; i < rows * columns; i++)
        sum = sum + data[i];
}

static void run_session(const Run *run)
{
    Made made[2] = {make_input(run), make_input(run)};
    const MegaInput inputs[2] = {made[0].input, made[1].input};
    MegaEncoded *encoded[2] = {NULL, NULL};
    MegaError err = {0};
    int code = 0;
    if (mega_task_traits(run->config->task)->labels_positions) {
        label(run, &inputs[0]);
    } else if (mega_config_has_head(run->config)) {
        classify(run, inputs);
    } else {
        for (int i = 0; i < 2 && !code && run->config->task == MEGA_TASK_TRANSLATE; i++)
            code = mega_session_encode(run->session, &inputs[i], &encoded[i], &err);
        fuzz_check_error(code, err.text);
        if (!code)
            decode(run, encoded);
        if (run->config->task == MEGA_TASK_TRANSLATE)
            search(run, made);
        sample(run);
    }
    mega_encoded_free(encoded[0]);
    mega_encoded_free(encoded[1]);
    free_input(&made[0]);
    free_input(&made[1]);
}

static void use_model(Dice *dice, const MegaModel *model)
{
    MegaError err = {0};
    const MegaKernels *tiers[MEGA_MOST_TIERS];
    size_t count = mega_kernels_all(tiers);
    Run run = {.dice = dice, .model = model, .config = mega_model_config(model)};
    MegaSessionOptions options = {.threads = 1 + roll(dice, 3),
                                  .cpu = tiers[roll(dice, (int)count)]->name};
    if (roll(dice, 4) == 0)
        options.max_memory = mega_model_memory(model) + (uint64_t)roll(dice, 1 << 20);
    use_text(&run, MEGA_TOKENIZER_SOURCE);
    use_text(&run, MEGA_TOKENIZER_TARGET);
    use_picture(&run);
    int code = mega_session_new(&run.session, model, &options, &err);
    fuzz_check_error(code, err.text);
    if (code)
        return;
    mega_session_tap_attention(run.session, true);
    if (roll(dice, 4) == 0)
        mega_session_set_tap(run.session, touch, NULL);
    run_session(&run);
    run_session(&run);
    mega_session_free(run.session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Dice dice = dice_new(data, size);
    uint8_t *bytes;
    MegaModel *model = random_model_open(&dice, &bytes);
    if (model)
        use_model(&dice, model);
    mega_model_free(model);
    free(bytes);
    return 0;
}
