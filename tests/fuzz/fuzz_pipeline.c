/*
 * fuzz_pipeline.c - fuzzes pipelines from raw input to answer: the bytes of sound, of a picture or
 * of a text go through a random model (random_model.h) as a program would give them, in memory or
 * in a file. After an error the run continues, since a pipeline must be ready for the next input.
 *
 * The first byte says how many of the next bytes choose model and options; the rest is the input.
 */
#include <math.h>
#include <stdlib.h>

#include "src/model/model.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/random_model.h"

#define MOST_WINDOWS 5
#define MOST_BYTES 1000 /* of an input; what is longer only takes longer */

typedef struct Run {
    Dice *dice;
    const MegaModel *model;
    MegaPipeline *pipeline;
    const uint8_t *bytes;
    size_t size;
} Run;

/* ---- Options and inputs --------------------------------------------------------------------- */

/* No rate is far below the model's: 1,000 samples of 100 Hz become 160,000 positions, and attention
 * over so many takes minutes. */
static MegaPcm roll_pcm(Dice *dice)
{
    return (MegaPcm){.format = (MegaPcmFormat)roll(dice, MEGA_PCM_F32LE + 1),
                     .rate = PICK(dice, 16000, 8000, 11025, 44100, 1000000, 0),
                     .channels = PICK(dice, 1, 1, 2, 64, 0)};
}

/* Most inputs are of the kind that the model takes. */
static MegaRaw roll_raw(const Run *run)
{
    const MegaInputKind kind = mega_model_input_kind(run->model);
    MegaRaw raw = {.kind = kind == MEGA_INPUT_TOKENS ? MEGA_RAW_TEXT : MEGA_RAW_PCM,
                   .data = run->bytes,
                   .size = run->size,
                   .pcm = roll_pcm(run->dice),
                   .channels = PICK(run->dice, 1, 3, 1, 2)};
    if (kind != MEGA_INPUT_TOKENS && flip(run->dice))
        raw.kind = MEGA_RAW_PIXELS;
    if (roll(run->dice, 8) == 0)
        raw.kind = (MegaRawKind)roll(run->dice, MEGA_RAW_PATH + 1);
    if (raw.kind == MEGA_RAW_PATH) {
        raw.data = fuzz_path(run->bytes, run->size);
        raw.size = 0;
    }
    if (raw.kind == MEGA_RAW_PIXELS) {
        raw.width = 1 + roll(run->dice, 40);
        raw.height = (int)(run->size / (size_t)(raw.channels * raw.width));
        raw.size = (size_t)(raw.channels * raw.width * raw.height);
        raw.size += roll(run->dice, 8) == 0; /* a size that does not fit the sides */
        raw.size = raw.size > run->size ? run->size : raw.size;
    }
    return raw;
}

static MegaPipelineOptions roll_options(Dice *dice, const MegaPcm *pcm)
{
    return (MegaPipelineOptions){.session = {.threads = 1},
                                 .media = flip(dice) ? mega_media() : NULL,
                                 .ids = roll(dice, 4) == 0,
                                 .pre_tokenized = flip(dice),
                                 .raw = roll(dice, 4) == 0 ? pcm : NULL,
                                 .partial = flip(dice),
                                 .keep_orientation = flip(dice),
                                 .window = roll(dice, 4) == 0 ? 0.001 * roll(dice, 1000) : 0,
                                 .hop = roll(dice, 8) == 0 ? 0.001 * roll(dice, 1000) : 0,
                                 .scan = flip(dice),
                                 .chunk = PICK(dice, 0, 0, 0, -1, 1, 7)};
}

/* ---- Answers -------------------------------------------------------------------------------- */

/* Of classes that exclude each other the probabilities add up to 1. */
static void check_probabilities(const Run *run, const MegaClassification *found)
{
    double sum = 0;
    for (int i = 0; i < found->count; i++) {
        if (!(found->probabilities[i] >= 0 && found->probabilities[i] <= 1))
            abort();
        sum += (double)found->probabilities[i];
    }
    if (!mega_model_config(run->model)->head.independent && !(fabs(sum - 1) < 1e-3))
        abort();
}

static void classify(const Run *run, const MegaRaw inputs[2])
{
    const int count = roll(run->dice, 8) ? mega_model_input_count(run->model) : 1;
    MegaClassification found = {0};
    MegaError err = {0};
    int code = mega_pipeline_classify(run->pipeline, inputs, count, &found, &err);
    fuzz_check_error(code, err.text);
    if (!code)
        check_probabilities(run, &found);
    mega_classification_free(&found);
    code = mega_pipeline_begin(run->pipeline, inputs, count, &err);
    fuzz_check_error(code, err.text);
    for (int i = 0, more = !code; i < MOST_WINDOWS && more > 0; i++) {
        more = mega_pipeline_next(run->pipeline, &found, &err);
        fuzz_check_error(more > 0 ? 0 : more, err.text);
        if (more > 0)
            check_probabilities(run, &found);
        mega_classification_free(&found);
    }
}

static void translate(const Run *run, const MegaRaw inputs[2])
{
    MegaTranslation out[2] = {{0}, {0}};
    MegaError errors[2] = {{0}, {0}};
    MegaSearchOptions options = mega_search_defaults();
    options.beam = 1 + roll(run->dice, 3);
    options.max_len_a = 0;
    options.max_len_b = roll(run->dice, 8);
    options.alignments = flip(run->dice);
    const int code = mega_pipeline_translate(run->pipeline, inputs, 2, &options, out, errors);
    fuzz_check_error(code, errors[errors[0].code ? 0 : 1].text);
    for (int i = 0; i < 2; i++)
        mega_translation_free(&out[i]);
}

static void generate(const Run *run, const MegaRaw *prompt)
{
    static const char *const stops[] = {"a", " \n"};
    MegaGeneration out[2] = {[1] = {.count = 0}};
    MegaError err = {0};
    MegaGenerateOptions options = mega_generate_defaults();
    options.samples = 1 + roll(run->dice, 2);
    options.max_tokens = roll(run->dice, 10);
    options.ignore_eos = flip(run->dice);
    options.stops = stops;
    options.stop_count = roll(run->dice, 3);
    fuzz_check_error(mega_pipeline_generate(run->pipeline, prompt, &options, out, &err), err.text);
    for (int i = 0; i < 2; i++)
        mega_generation_free(&out[i]);
}

static void score(const Run *run, const MegaRaw *text)
{
    MegaScoreOptions options = {.eos = flip(run->dice),
                                .tokens_per_sample = PICK(run->dice, 0, 0, 1, 5),
                                .context_window = PICK(run->dice, 0, 0, 1, 4)};
    MegaScore out = {0};
    MegaError err = {0};
    fuzz_check_error(mega_pipeline_score(run->pipeline, text, &options, &out, &err), err.text);
    mega_score_free(&out);
}

static void embed(const Run *run, const MegaRaw *input)
{
    MegaEmbedding out = {0};
    MegaError err = {0};
    const MegaVectorKind kind = flip(run->dice) ? MEGA_VECTOR_OWN : MEGA_VECTOR_MEAN;
    fuzz_check_error(mega_pipeline_embed(run->pipeline, input, kind, &out, &err), err.text);
    mega_embedding_free(&out);
}

static void tokenize(const Run *run, const MegaRaw *text)
{
    const MegaSide side = flip(run->dice) ? MEGA_SIDE_INPUT : MEGA_SIDE_OUTPUT;
    MegaIds tokens = {0};
    MegaText out = {0};
    MegaError err = {0};
    int code = mega_pipeline_tokenize(run->pipeline, side, text, &tokens, &err);
    fuzz_check_error(code, err.text);
    if (!code)
        code = mega_pipeline_detokenize(run->pipeline, side, tokens.ids, tokens.count, &out, &err);
    fuzz_check_error(code, err.text);
    if (tokens.count)
        (void)mega_pipeline_symbol(run->pipeline, side, tokens.ids[0]);
    MegaPlaces places = {0};
    const MegaRaw *second = flip(run->dice) ? text : NULL;
    fuzz_check_error(mega_pipeline_places(run->pipeline, side, text, second, &places, &err),
                     err.text);
    mega_places_free(&places);
    mega_text_free(&out);
    mega_ids_free(&tokens);
}

/* ---- Masks, tags, answers and choices ------------------------------------------------------- */

static void fill(const Run *run, const MegaRaw *text)
{
    static const char *const targets[] = {"a", "s1", " the"};
    MegaFillings out = {0};
    MegaError err = {0};
    const MegaFillOptions options = {.top = PICK(run->dice, 0, 1, 3, 1 << 20),
                                     .targets = targets,
                                     .target_count = PICK(run->dice, 0, 0, 3)};
    fuzz_check_error(mega_pipeline_fill(run->pipeline, text, &options, &out, &err), err.text);
    mega_fillings_free(&out);
}

static void tag(const Run *run, const MegaRaw *text)
{
    MegaTags out = {0};
    MegaError err = {0};
    const MegaTagOptions options = {.grouping = (MegaGrouping)roll(run->dice, MEGA_GROUP_MAX + 1),
                                    .keep_outside = flip(run->dice)};
    const int code = mega_pipeline_tag(run->pipeline, text, &options, &out, &err);
    fuzz_check_error(code, err.text);
    for (size_t i = 0; !code && i < out.count; i++)
        if (out.items[i].start > out.items[i].end || out.items[i].end > run->size)
            abort();
    mega_tags_free(&out);
}

static void answer(const Run *run, const MegaRaw inputs[2])
{
    MegaAnswers out = {0};
    MegaError err = {0};
    MegaAnswerOptions options = mega_answer_defaults();
    options.top = PICK(run->dice, 1, 2, 100);
    options.max_answer = PICK(run->dice, 1, 15, 1 << 20);
    options.window = (size_t)PICK(run->dice, 0, 1, 7, 40);
    options.stride = (size_t)PICK(run->dice, 0, 1, 3, 50);
    options.allow_none = flip(run->dice);
    options.align = flip(run->dice);
    fuzz_check_error(
        mega_pipeline_answer(run->pipeline, &inputs[0], &inputs[1], &options, &out, &err),
        err.text);
    mega_answers_free(&out);
}

static void choose(const Run *run, const MegaRaw inputs[2])
{
    float scores[2];
    MegaError err = {0};
    fuzz_check_error(mega_pipeline_choose(run->pipeline, &inputs[0], inputs, 2, scores, &err),
                     err.text);
}

static void states(const Run *run, const MegaRaw *text)
{
    MegaStates out = {0};
    MegaError err = {0};
    fuzz_check_error(mega_pipeline_states(run->pipeline, text, &out, &err), err.text);
    mega_states_free(&out);
}

/* ---- All of it ------------------------------------------------------------------------------ */

static void use_pipeline(const Run *run)
{
    const MegaRaw inputs[2] = {roll_raw(run), roll_raw(run)};
    /* whatever the task, every call must answer or say why not */
    classify(run, inputs);
    translate(run, inputs);
    generate(run, &inputs[0]);
    score(run, &inputs[0]);
    embed(run, &inputs[1]);
    tokenize(run, &inputs[0]);
    fill(run, &inputs[0]);
    tag(run, &inputs[0]);
    answer(run, inputs);
    choose(run, inputs);
    states(run, &inputs[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const size_t choices = data[0] < size - 1 ? data[0] : size - 1;
    Dice dice = dice_new(data + 1, choices);
    MegaError err = {0};
    uint8_t *bytes;
    MegaModel *model = random_model_open(&dice, &bytes);
    if (model) {
        const MegaPcm pcm = roll_pcm(&dice);
        const MegaPipelineOptions options = roll_options(&dice, &pcm);
        Run run = {&dice, model, NULL, data + 1 + choices, size - 1 - choices};
        run.size = run.size < MOST_BYTES ? run.size : MOST_BYTES;
        const int code = mega_pipeline_new(&run.pipeline, model, &options, &err);
        fuzz_check_error(code, err.text);
        for (int i = 0; i < 2 && !code; i++)
            use_pipeline(&run);
        mega_pipeline_free(run.pipeline);
    }
    mega_model_free(model);
    free(bytes);
    return 0;
}
