/*
 * test_pipeline.c - raw input to answer (mega.h, "Pipelines"). Data in memory gives the answer of a
 * file with the same data. Bad inputs are refused by name, and the next input works.
 */
#include "tests/unit/raw_models.h"

#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/recordings.h"

#define TRANSLATOR "models/multi30k-en-de/multi30k-en-de.mega"
#define LANGUAGE_MODEL "models/shakespeare-lm/shakespeare-lm.mega"

/* ---- Models --------------------------------------------------------------------------------- */

/* length is that of its clips; 0: any. */
static MegaModel *sound_model(int64_t length)
{
    MegaModel *model = samples_model();
    const MegaAudioFeatures features = {
        .sample_rate = 1000, .mean = 0.01, .std = 0.3, .length = length};
    assert_int_equal(mega_audio_features_write(&features, meta_of(model), NULL), 0);
    return model;
}

/* It reads 6 x 4 gray pixels row by row. */
static MegaModel *picture_model(void)
{
    MegaModel *model = samples_model();
    const MegaImageFeatures features = {.channels = 1,
                                        .width = 6,
                                        .height = 4,
                                        .fit = MEGA_FIT_STRETCH,
                                        .mean = {0.4f},
                                        .std = {0.3f}};
    assert_int_equal(mega_image_features_write(&features, meta_of(model), NULL), 0);
    return model;
}

static MegaModel *open_model(const char *path)
{
    MegaModel *model = NULL;
    MegaError err = {0};
    if (mega_model_open(&model, path, &err))
        fail_msg("%s", err.text);
    return model;
}

static MegaPipeline *new_pipeline(const MegaModel *model, const MegaPipelineOptions *options)
{
    MegaPipelineOptions one = options ? *options : (MegaPipelineOptions){.media = mega_media()};
    MegaPipeline *pipeline = NULL;
    MegaError err = {0};
    one.session.threads = 1;
    if (mega_pipeline_new(&pipeline, model, &one, &err))
        fail_msg("%s", err.text);
    return pipeline;
}

/* ---- Inputs --------------------------------------------------------------------------------- */

static MegaRaw text_of(const char *text)
{
    return (MegaRaw){.kind = MEGA_RAW_TEXT, .data = text, .size = strlen(text)};
}

static MegaRaw path_of(const char *path)
{
    return (MegaRaw){.kind = MEGA_RAW_PATH, .data = path};
}

static MegaClassification classify(MegaPipeline *pipeline, const MegaRaw *inputs, int count)
{
    MegaClassification found;
    MegaError err = {0};
    if (mega_pipeline_classify(pipeline, inputs, count, &found, &err))
        fail_msg("%s", err.text);
    for (int i = 1; i < found.count; i++)
        assert_true(found.probabilities[found.order[i]] <= found.probabilities[found.order[i - 1]]);
    return found;
}

static void assert_same(MegaPipeline *pipeline, const MegaRaw *a, const MegaRaw *b)
{
    MegaClassification left = classify(pipeline, a, 1), right = classify(pipeline, b, 1);
    assert_int_equal(left.count, right.count);
    assert_memory_equal(left.probabilities, right.probabilities,
                        (size_t)left.count * sizeof *left.probabilities);
    assert_memory_equal(left.order, right.order, (size_t)left.count * sizeof *left.order);
    assert_true(left.end == right.end);
    mega_classification_free(&left);
    mega_classification_free(&right);
}

/* Expects that an input is refused with a sentence containing text, and `good` accepted after
 * it. */
static void assert_goes_on(MegaPipeline *pipeline, const MegaRaw *bad, int code, const char *text,
                           const MegaRaw *good)
{
    MegaClassification found;
    MegaError err = {0};
    assert_int_equal(mega_pipeline_classify(pipeline, bad, 1, &found, &err), code);
    assert_null(found.probabilities);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" does not say \"%s\"", err.text, text);
    found = classify(pipeline, good, 1);
    mega_classification_free(&found);
}

/* ---- Sound ---------------------------------------------------------------------------------- */

static const struct {
    MegaPcmFormat format;
    int file; /* a format of libsndfile */
    int rate, channels;
    size_t frames;
} sounds[] = {
    {MEGA_PCM_S16LE, SF_FORMAT_PCM_16, 1000, 1, 300},
    {MEGA_PCM_S16LE, SF_FORMAT_PCM_16, 44100, 2, 13000},
    {MEGA_PCM_S16LE, SF_FORMAT_PCM_16, 8000, 1, 2001},
    {MEGA_PCM_F32LE, SF_FORMAT_FLOAT, 48000, 5, 9000},
    {MEGA_PCM_F32LE, SF_FORMAT_FLOAT, 700, 3, 100},
};

/* Returns the samples of sounds[i], and writes them as the file test_path. */
static void *make_sound(size_t i, size_t *size)
{
    const size_t count = sounds[i].frames * (size_t)sounds[i].channels;
    const bool real = sounds[i].format == MEGA_PCM_F32LE;
    Random random = {i + 1};
    float *values = random_floats(&random, count, -0.9f, 0.9f);
    int16_t *integers = malloc(count * sizeof *integers);
    for (size_t k = 0; k < count; k++)
        integers[k] = (int16_t)(values[k] * 32767);
    if (real)
        encode(SF_FORMAT_WAV | sounds[i].file, sounds[i].rate, sounds[i].channels, values,
               sounds[i].frames);
    else
        encode_exact(SF_FORMAT_WAV | sounds[i].file, sounds[i].rate, sounds[i].channels, integers,
                     sounds[i].frames);
    *size = count * (real ? sizeof *values : sizeof *integers);
    free(real ? (void *)integers : (void *)values);
    return real ? (void *)values : (void *)integers;
}

static MegaRaw sound_of(size_t i, const void *samples, size_t size)
{
    return (MegaRaw){.kind = MEGA_RAW_PCM,
                     .data = samples,
                     .size = size,
                     .pcm = {sounds[i].format, sounds[i].rate, sounds[i].channels}};
}

/* Samples of any rate and number of channels give the answer of the file that holds them. */
static void samples_are_heard_as_their_file(void **state)
{
    MegaModel *model = sound_model(0), *clips = sound_model(250);
    MegaPipeline *whole = new_pipeline(model, NULL), *clip = new_pipeline(clips, NULL);
    (void)state;
    for (size_t i = 0; i < sizeof sounds / sizeof sounds[0]; i++) {
        size_t size;
        void *samples = make_sound(i, &size);
        const MegaRaw memory = sound_of(i, samples, size), file = path_of(test_path);
        assert_same(whole, &memory, &file);
        assert_same(clip, &memory, &file);
        free(samples);
    }
    mega_pipeline_free(whole);
    mega_pipeline_free(clip);
    mega_model_free(model);
    mega_model_free(clips);
}

/* Windows of samples in memory are those of the file, and give their place. */
static void windows_of_samples(void **state)
{
    MegaModel *model = sound_model(100);
    MegaPipeline *pipeline = new_pipeline(
        model, &(MegaPipelineOptions){.media = mega_media(), .window = 0.08, .hop = 0.05});
    MegaClassification from[2][16];
    size_t size, count[2] = {0};
    void *samples = make_sound(1, &size);
    const MegaRaw inputs[] = {sound_of(1, samples, size), path_of(test_path)};
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mega_pipeline_begin(pipeline, &inputs[i], 1, NULL), 0);
        while (mega_pipeline_next(pipeline, &from[i][count[i]], NULL) == 1)
            count[i]++;
    }
    assert_int_equal(count[0], 6); /* 295 samples in windows of 80, every 50 samples */
    assert_int_equal(count[0], count[1]);
    for (size_t k = 0; k < count[0]; k++) {
        assert_true(fabs(from[0][k].start - 0.05 * (double)k) < 1e-9);
        assert_true(from[0][k].start == from[1][k].start && from[0][k].end == from[1][k].end);
        assert_memory_equal(from[0][k].probabilities, from[1][k].probabilities,
                            (size_t)from[0][k].count * sizeof(float));
        mega_classification_free(&from[0][k]);
        mega_classification_free(&from[1][k]);
    }
    free(samples);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

/* Only the first clip of a long recording is used; the length of the recording can be asked for. */
static void long_recording_is_cut(void **state)
{
    MegaModel *model = sound_model(100);
    MegaPipeline *pipeline = new_pipeline(model, NULL);
    size_t size;
    void *samples = make_sound(2, &size);
    const MegaRaw sound = sound_of(2, samples, size);
    (void)state;
    MegaClassification found = classify(pipeline, &sound, 1);
    assert_true(found.is_cut && fabs(found.end - 0.1) < 1e-9);
    assert_true(fabs(mega_pipeline_length(pipeline) - 0.25) < 1e-9);
    assert_true(fabs(mega_pipeline_clip(pipeline) - 0.1) < 1e-9);
    mega_classification_free(&found);
    free(samples);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

static void bad_sound_is_refused(void **state)
{
    static const float silence[100], wrong[] = {0, NAN, 0, 0};
    const MegaPcm mono = {MEGA_PCM_F32LE, 1000, 1};
    const MegaRaw good = {
        .kind = MEGA_RAW_PCM, .data = silence, .size = sizeof silence, .pcm = mono};
    MegaRaw bad = good;
    MegaModel *model = sound_model(0);
    MegaPipeline *pipeline = new_pipeline(model, NULL);
    (void)state;
    bad.pcm.channels = 0;
    assert_goes_on(pipeline, &bad, MEGA_ERR_FORMAT, "the recording has 0 channels", &good);
    bad.pcm = (MegaPcm){MEGA_PCM_F32LE, 7, 1};
    assert_goes_on(pipeline, &bad, MEGA_ERR_FORMAT, "sampling rate of 7 Hz", &good);
    bad.pcm = (MegaPcm){(MegaPcmFormat)77, 1000, 1};
    assert_goes_on(pipeline, &bad, MEGA_ERR_ARGUMENT, "unknown format", &good);
    bad = good;
    bad.size = 3; /* not a whole frame */
    bad.name = "microphone";
    assert_goes_on(pipeline, &bad, MEGA_ERR_INPUT, "microphone holds no samples", &good);
    bad.data = NULL;
    assert_goes_on(pipeline, &bad, MEGA_ERR_ARGUMENT, "no data", &good);
    bad = (MegaRaw){.kind = MEGA_RAW_PCM, .data = wrong, .size = sizeof wrong, .pcm = mono};
    assert_goes_on(pipeline, &bad, MEGA_ERR_FORMAT, "sample 1 is no finite number", &good);
    bad = text_of("red");
    assert_goes_on(pipeline, &bad, MEGA_ERR_INPUT, "the text is text, but this model takes a rec",
                   &good);
    bad = path_of("/nonexistent/a.wav");
    assert_goes_on(pipeline, &bad, MEGA_ERR_IO, "/nonexistent/a.wav", &good);
    bad.kind = (MegaRawKind)9;
    assert_goes_on(pipeline, &bad, MEGA_ERR_ARGUMENT, "no kind", &good);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

/* Samples and pixels count against the memory limit of a pipeline. */
static void inputs_count_to_memory(void **state)
{
    MegaModel *model = sound_model(0), *pictures = picture_model();
    const uint64_t limit = mega_model_memory(model) + 3000000;
    const MegaPipelineOptions options = {.session.max_memory = limit};
    MegaPipeline *sound = new_pipeline(model, &options),
                 *picture = new_pipeline(pictures, &options);
    const size_t size = 4000000;
    void *zeros = calloc(size, 1);
    MegaRaw good = {
        .kind = MEGA_RAW_PCM, .data = zeros, .size = 400, .pcm = {MEGA_PCM_F32LE, 1000, 1}};
    MegaRaw large = good;
    (void)state;
    large.size = size;
    assert_goes_on(sound, &large, MEGA_ERR_LIMIT, "MB of memory for", &good);
    good = (MegaRaw){.kind = MEGA_RAW_PIXELS,
                     .data = zeros,
                     .size = 100,
                     .width = 10,
                     .height = 10,
                     .channels = 1};
    large = good;
    large.size = size;
    large.width = large.height = 2000;
    assert_goes_on(picture, &large, MEGA_ERR_LIMIT, "2000 x 2000 pixels", &good);
    free(zeros);
    mega_pipeline_free(sound);
    mega_pipeline_free(picture);
    mega_model_free(model);
    mega_model_free(pictures);
}

/* Without libmega-media, samples in memory are accepted and files are refused with the reason. */
static void files_need_media(void **state)
{
    MegaModel *model = sound_model(0), *texts = text_model(false);
    MegaPipeline *pipeline = new_pipeline(model, &(MegaPipelineOptions){0});
    size_t size;
    void *samples = make_sound(0, &size);
    const MegaRaw sound = sound_of(0, samples, size), file = path_of(test_path);
    (void)state;
    assert_goes_on(pipeline, &file, MEGA_ERR_UNSUPPORTED, "no MegaMedia", &sound);
    mega_pipeline_free(pipeline);
    write_file("red green\n", 10); /* text needs no decoder */
    pipeline = new_pipeline(texts, &(MegaPipelineOptions){0});
    const MegaRaw text = text_of("red green");
    assert_same(pipeline, &text, &file);
    free(samples);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
    mega_model_free(texts);
}

/* ---- Pictures ------------------------------------------------------------------------------- */

/* Writes a 24-bit BMP: rows from the bottom, blue first, padded to four bytes. */
static void write_bmp(const uint8_t *pixels, int width, int height)
{
    MegaBuffer file = {0};
    const uint32_t row = (uint32_t)(3 * width + 3) / 4 * 4, size = row * (uint32_t)height;
    mega_put_bytes(&file, "BM", 2);
    mega_put_u32(&file, 54 + size);
    mega_put_u32(&file, 0);
    mega_put_u32(&file, 54);
    mega_put_u32(&file, 40);
    mega_put_u32(&file, (uint32_t)width);
    mega_put_u32(&file, (uint32_t)height);
    mega_put_u32(&file, 1 | 24 << 16);
    for (int i = 0; i < 6; i++)
        mega_put_u32(&file, i == 1 ? size : 0);
    for (int y = height - 1; y >= 0; y--) {
        for (int x = 0; x < width; x++)
            for (int c = 2; c >= 0; c--)
                mega_put_u8(&file, pixels[(y * width + x) * 3 + c]);
        for (uint32_t i = (uint32_t)(3 * width); i < row; i++)
            mega_put_u8(&file, 0);
    }
    write_file(file.data, file.size);
    mega_buffer_free(&file);
}

/* Pixels of any size give the answer of their file. Three equal channels count as gray. */
static void pixels_are_seen_as_their_file(void **state)
{
    static const int sizes[][2] = {{6, 4}, {1, 1}, {13, 7}, {640, 3}};
    static uint8_t rgb[3 * 640 * 8], gray[3 * 640 * 8], one[640 * 8];
    MegaModel *model = picture_model();
    MegaPipeline *pipeline = new_pipeline(model, NULL);
    Random random = {3};
    (void)state;
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)random_int(&random, 0, 255);
    for (size_t i = 0; i < sizeof one; i++)
        gray[3 * i] = gray[3 * i + 1] = gray[3 * i + 2] = one[i] = rgb[i];
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const int width = sizes[i][0], height = sizes[i][1];
        MegaRaw pixels = {.kind = MEGA_RAW_PIXELS,
                          .data = rgb,
                          .width = width,
                          .height = height,
                          .size = (size_t)(3 * width * height),
                          .channels = 3};
        const MegaRaw file = path_of(test_path);
        write_bmp(rgb, width, height);
        assert_same(pipeline, &pixels, &file);
        MegaRaw single = pixels;
        pixels.data = gray;
        single.data = one;
        single.size /= 3;
        single.channels = 1;
        assert_same(pipeline, &pixels, &single);
    }
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

static void bad_pixels_are_refused(void **state)
{
    static const uint8_t pixels[300];
    const MegaRaw good = {.kind = MEGA_RAW_PIXELS,
                          .data = pixels,
                          .size = 300,
                          .width = 10,
                          .height = 10,
                          .channels = 3};
    const struct {
        int width, height, channels, code;
        const char *text;
    } cases[] = {
        {10, 10, 4, MEGA_ERR_INPUT, "has 4 channels"},
        {0, 10, 3, MEGA_ERR_LIMIT, "0 x 10 pixels"},
        {-1, -300, 1, MEGA_ERR_LIMIT, "-1 x -300 pixels"},
        {65537, 1, 1, MEGA_ERR_LIMIT, "65537 x 1 pixels"},
        {65536, 65536, 3, MEGA_ERR_LIMIT, "65536 x 65536 pixels"},
        {10, 11, 3, MEGA_ERR_ARGUMENT, "300 bytes"},
    };
    MegaModel *model = picture_model();
    MegaPipeline *pipeline = new_pipeline(model, NULL);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaRaw bad = good;
        bad.width = cases[i].width;
        bad.height = cases[i].height;
        bad.channels = cases[i].channels;
        assert_goes_on(pipeline, &bad, cases[i].code, cases[i].text, &good);
    }
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

/* ---- Texts ---------------------------------------------------------------------------------- */

static void warn(void *context, const char *sentence)
{
    snprintf(context, 200, "%.199s", sentence);
}

static void texts_are_classified(void **state)
{
    char warning[200] = "";
    MegaModel *single = text_model(false), *two = text_model(true);
    MegaPipeline *pipeline =
        new_pipeline(single, &(MegaPipelineOptions){.warn = warn, .warn_context = warning});
    MegaPipeline *pair = new_pipeline(two, NULL);
    const MegaRaw text = text_of("red green"), nothing = text_of(""),
                  strange = text_of("blue pink grey");
    MegaIds tokens;
    (void)state;
    assert_int_equal(mega_pipeline_tokenize(pipeline, MEGA_SIDE_INPUT, &text, &tokens, NULL), 0);
    assert_int_equal(tokens.count, 3);
    assert_memory_equal(tokens.ids, ((int32_t[]){4, 5, MEGA_ID_EOS}), 3 * sizeof *tokens.ids);
    assert_string_equal(mega_pipeline_symbol(pipeline, MEGA_SIDE_INPUT, 5), "green");
    assert_null(mega_pipeline_symbol(pipeline, MEGA_SIDE_INPUT, 6));
    mega_ids_free(&tokens);
    assert_goes_on(pipeline, &nothing, MEGA_ERR_INPUT, "the text", &text);
    assert_string_equal(warning, "");
    MegaClassification found = classify(pipeline, &strange, 1);
    assert_non_null(strstr(warning, "the text: the model does not know"));
    mega_classification_free(&found);
    /* The texts of a pair, separate and joined by a TAB. */
    const MegaRaw apart[] = {text_of("red green"), text_of("green")};
    const MegaRaw joined = text_of("red green\tgreen");
    MegaClassification a = classify(pair, apart, 2), b = classify(pair, &joined, 1);
    assert_memory_equal(a.probabilities, b.probabilities, (size_t)a.count * sizeof(float));
    mega_classification_free(&a);
    mega_classification_free(&b);
    assert_goes_on(pair, &text, MEGA_ERR_INPUT, "one text, but this model compares two", &joined);
    mega_pipeline_free(pipeline);
    mega_pipeline_free(pair);
    mega_model_free(single);
    mega_model_free(two);
}

/* Lines that are translated together get the results that they get alone. An empty line has no
 * translation, and one that is too long does not stop the others. */
static void texts_are_translated(void **state)
{
    enum { COUNT = 4, LONG = 200000 };
    MegaModel *model = open_model(TRANSLATOR);
    MegaPipeline *pipeline = new_pipeline(model, NULL);
    char *words = malloc(LONG);
    for (size_t i = 0; i < LONG; i++)
        words[i] = i % 2 ? ' ' : 'a';
    const MegaRaw texts[COUNT] = {text_of("Two dogs are playing in the snow."),
                                  text_of(""),
                                  {.kind = MEGA_RAW_TEXT, .data = words, .size = LONG},
                                  text_of("A man sleeps.")};
    MegaTranslation together[COUNT], alone;
    MegaError errors[COUNT], err;
    (void)state;
    assert_int_equal(mega_pipeline_translate(pipeline, texts, COUNT, NULL, together, errors),
                     MEGA_ERR_INPUT);
    assert_int_equal(errors[2].code, MEGA_ERR_INPUT);
    assert_int_equal(together[1].count, 0);
    assert_int_equal(together[2].count, 0);
    for (int i = 0; i < COUNT; i += 3) {
        assert_int_equal(errors[i].code, 0);
        assert_int_equal(mega_pipeline_translate(pipeline, &texts[i], 1, NULL, &alone, &err), 0);
        assert_string_equal(alone.hypotheses[0].text, together[i].hypotheses[0].text);
        assert_int_equal(alone.hypotheses[0].text_size, strlen(alone.hypotheses[0].text));
        assert_int_equal(alone.source[alone.source_length - 1], MEGA_ID_EOS);
        mega_translation_free(&alone);
    }
    assert_string_equal(together[0].hypotheses[0].text, "Zwei Hunde spielen im Schnee.");
    for (int i = 0; i < COUNT; i++)
        mega_translation_free(&together[i]);
    free(words);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

/* The pieces that a sink receives, one after the other. */
typedef struct Seen {
    char text[4096];
    size_t size;
    int tokens, begun, most;
} Seen;

static bool see(void *context, int sample, int32_t token, const char *bytes, size_t size)
{
    Seen *seen = context;
    if (sample != 0)
        return true;
    if (token < 0)
        return ++seen->begun == 1;
    memcpy(seen->text + seen->size, bytes, size);
    seen->size += size;
    return ++seen->tokens != seen->most;
}

static void texts_go_on(void **state)
{
    static const char *const stops[] = {"\n\n"};
    MegaModel *model = open_model(LANGUAGE_MODEL);
    MegaPipeline *pipeline = new_pipeline(model, NULL);
    const MegaRaw prompt = text_of("ROMEO:");
    Seen seen = {0};
    MegaGenerateOptions options = mega_generate_defaults();
    MegaGeneration out[2] = {0}, again = {0};
    (void)state;
    options.sampling.seed = 3;
    options.max_tokens = 60;
    options.samples = 2;
    options.sink = see;
    options.context = &seen;
    assert_int_equal(mega_pipeline_generate(pipeline, &prompt, &options, out, NULL), 0);
    assert_int_equal(seen.begun, 1);
    assert_int_equal(seen.tokens, out[0].count);
    assert_int_equal(seen.size, out[0].text.size);
    assert_memory_equal(seen.text, out[0].text.data, seen.size);
    assert_int_equal(out[0].finish, MEGA_FINISH_LENGTH);
    assert_int_equal(out[0].count, 60);
    assert_true(strcmp(out[0].text.data, out[1].text.data) != 0);
    /* The second sample is the first one of the next seed. */
    options.sampling.seed = 4;
    options.samples = 1;
    options.sink = NULL;
    assert_int_equal(mega_pipeline_generate(pipeline, &prompt, &options, &again, NULL), 0);
    assert_string_equal(again.text.data, out[1].text.data);
    mega_generation_free(&again);
    /* The sink refuses more, and nobody keeps the text. */
    options.sampling.seed = 3;
    options.sink = see;
    seen = (Seen){.most = 7};
    assert_int_equal(mega_pipeline_generate(pipeline, &prompt, &options, NULL, NULL), 0);
    assert_int_equal(seen.tokens, 7);
    assert_memory_equal(seen.text, out[0].text.data, seen.size);
    /* A stop is not part of the text. */
    options.sink = NULL;
    options.stops = stops;
    options.stop_count = 1;
    options.max_tokens = 4000;
    assert_int_equal(mega_pipeline_generate(pipeline, &prompt, &options, &again, NULL), 0);
    assert_int_equal(again.finish, MEGA_FINISH_STOP);
    assert_null(strstr(again.text.data, "\n\n"));
    mega_generation_free(&again);
    options.max_tokens = 0;
    assert_int_equal(mega_pipeline_generate(pipeline, &prompt, &options, &again, NULL),
                     MEGA_ERR_ARGUMENT);
    mega_generation_free(&out[0]);
    mega_generation_free(&out[1]);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

/* mega.h promises that every *_free accepts NULL, as does every parameter for an error. */
static void nothing_is_freed(void **state)
{
    MegaModel *model = open_model(TRANSLATOR);
    MegaPipeline *pipeline = new_pipeline(model, NULL);
    const MegaRaw texts[] = {text_of("A man sleeps."), {.kind = MEGA_RAW_PIXELS}};
    MegaTranslation found[2];
    (void)state;
    assert_int_equal(mega_pipeline_translate(pipeline, texts, 2, NULL, found, NULL),
                     MEGA_ERR_INPUT);
    assert_int_equal(found[1].count, 0);
    assert_true(found[0].count > 0);
    mega_translation_free(&found[0]);
    mega_translation_free(&found[1]);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
    mega_pipeline_free(NULL);
    mega_classification_free(NULL);
    mega_translation_free(NULL);
    mega_generation_free(NULL);
    mega_score_free(NULL);
    mega_embedding_free(NULL);
    mega_text_free(NULL);
    mega_ids_free(NULL);
}

static void texts_are_scored(void **state)
{
    MegaModel *model = open_model(LANGUAGE_MODEL), *translator = open_model(TRANSLATOR);
    MegaPipeline *pipeline = new_pipeline(model, NULL), *other = new_pipeline(translator, NULL);
    const MegaRaw text = text_of("To be"), nothing = text_of("");
    const MegaRaw right = text_of("A man sleeps.\tEin Mann schl\xc3\xa4"
                                  "ft."),
                  wrong = text_of("A man sleeps.\tEin Hund bellt."), lone = text_of("A man.");
    MegaScore score = {0}, worse = {0};
    MegaError err = {0};
    (void)state;
    assert_int_equal(mega_pipeline_score(pipeline, &text, NULL, &score, NULL), 0);
    assert_int_equal(score.count, 5);
    assert_int_equal(score.characters, 5);
    double sum = 0;
    for (size_t i = 0; i < score.count; i++)
        sum += (double)score.logprobs[i];
    assert_true(score.logprob == sum && sum < 0 && sum > -30);
    mega_score_free(&score);
    assert_int_equal(mega_pipeline_score(pipeline, &nothing, NULL, &score, NULL), 0);
    assert_int_equal(score.count, 0);
    mega_score_free(&score);
    assert_int_equal(mega_pipeline_score(other, &lone, NULL, &score, &err), MEGA_ERR_INPUT);
    assert_non_null(strstr(err.text, "TAB"));
    assert_int_equal(mega_pipeline_score(other, &right, NULL, &score, NULL), 0);
    assert_int_equal(mega_pipeline_score(other, &wrong, NULL, &worse, NULL), 0);
    assert_true(score.logprob > worse.logprob);
    assert_int_equal(score.bytes, 18);
    assert_int_equal(score.characters, 17);
    mega_score_free(&score);
    mega_score_free(&worse);
    mega_pipeline_free(pipeline);
    mega_pipeline_free(other);
    mega_model_free(model);
    mega_model_free(translator);
}

/* A model that is asked for another task says what its own is. */
static void tasks_that_do_not_fit(void **state)
{
    MegaModel *models[] = {text_model(false), open_model(TRANSLATOR), open_model(LANGUAGE_MODEL)};
    const MegaRaw text = text_of("red");
    (void)state;
    for (int i = 0; i < 3; i++) {
        MegaPipeline *pipeline = new_pipeline(models[i], NULL);
        MegaClassification found = {0};
        MegaTranslation translation = {0};
        MegaGeneration generation = {0};
        MegaScore score = {0};
        MegaError err = {0};
        assert_int_equal(mega_pipeline_classify(pipeline, &text, 1, &found, &err),
                         i == 0 ? 0 : MEGA_ERR_ARGUMENT);
        assert_int_equal(mega_pipeline_translate(pipeline, &text, 1, NULL, &translation, &err),
                         i == 1 ? 0 : MEGA_ERR_ARGUMENT);
        assert_int_equal(mega_pipeline_generate(pipeline, &text, NULL, &generation, &err),
                         i == 2 ? 0 : MEGA_ERR_ARGUMENT);
        assert_int_equal(mega_pipeline_score(pipeline, &text, NULL, &score, &err),
                         i == 0   ? MEGA_ERR_ARGUMENT
                         : i == 1 ? MEGA_ERR_INPUT
                                  : 0);
        mega_classification_free(&found);
        mega_translation_free(&translation);
        mega_generation_free(&generation);
        mega_score_free(&score);
        mega_pipeline_free(pipeline);
        mega_model_free(models[i]);
    }
}

/* ---- Embeddings ----------------------------------------------------------------------------- */

/* The last layer's states and the pooled vector, as a tap receives them. */
typedef struct Watched {
    double sums[64];
    float pooled[64];
    size_t rows;
} Watched;

static void watch(void *context, const char *stage, int input, const float *data, size_t rows,
                  size_t columns)
{
    Watched *watched = context;
    (void)input;
    if (strcmp(stage, "pooled") == 0)
        memcpy(watched->pooled, data, columns * sizeof *data);
    if (strcmp(stage, "layer.1") != 0)
        return;
    watched->rows += rows;
    for (size_t i = 0; i < rows * columns; i++)
        watched->sums[i % columns] += (double)data[i];
}

static void vectors_are_those_of_the_taps(void **state)
{
    MegaModel *model = text_model(false);
    MegaPipeline *pipeline = new_pipeline(model, NULL);
    const MegaRaw text = text_of("red green green red");
    MegaEmbedding own, mean;
    Watched watched = {0};
    (void)state;
    assert_int_equal(mega_model_config(model)->encoder.layers, 2);
    assert_false(mega_model_config(model)->encoder.final_norm);
    mega_session_set_tap(mega_pipeline_session(pipeline), watch, &watched);
    MegaClassification found = classify(pipeline, &text, 1);
    mega_classification_free(&found);
    const size_t rows = watched.rows;
    assert_int_equal(mega_pipeline_embed(pipeline, &text, MEGA_VECTOR_OWN, &own, NULL), 0);
    assert_int_equal(mega_pipeline_embed(pipeline, &text, MEGA_VECTOR_MEAN, &mean, NULL), 0);
    assert_int_equal(own.positions, rows);
    assert_int_equal(watched.rows, rows); /* embedding keeps the tap without calling it */
    for (int i = 0; i < own.width; i++) {
        assert_true(own.values[i] == watched.pooled[i]);
        assert_true(mean.values[i] == (float)(watched.sums[i] / (double)rows));
    }
    mega_embedding_free(&own);
    mega_embedding_free(&mean);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

/* The vector of translators and language models is the mean of their states. */
static void texts_have_vectors(void **state)
{
    static const char *const paths[] = {TRANSLATOR, LANGUAGE_MODEL};
    const MegaRaw texts[] = {text_of("A man sleeps."), text_of("A dog sleeps.")};
    (void)state;
    for (int i = 0; i < 2; i++) {
        MegaModel *model = open_model(paths[i]);
        MegaPipeline *pipeline = new_pipeline(model, NULL);
        MegaEmbedding vectors[3];
        for (int k = 0; k < 3; k++)
            assert_int_equal(
                mega_pipeline_embed(pipeline, &texts[k % 2], MEGA_VECTOR_OWN, &vectors[k], NULL),
                0);
        const size_t size = (size_t)vectors[0].width * sizeof(float);
        assert_memory_equal(vectors[0].values, vectors[2].values, size);
        assert_memory_not_equal(vectors[0].values, vectors[1].values, size);
        for (int k = 0; k < 3; k++)
            mega_embedding_free(&vectors[k]);
        mega_pipeline_free(pipeline);
        mega_model_free(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_heard_as_their_file),
        cmocka_unit_test(windows_of_samples),
        cmocka_unit_test(long_recording_is_cut),
        cmocka_unit_test(bad_sound_is_refused),
        cmocka_unit_test(inputs_count_to_memory),
        cmocka_unit_test(files_need_media),
        cmocka_unit_test(pixels_are_seen_as_their_file),
        cmocka_unit_test(bad_pixels_are_refused),
        cmocka_unit_test(texts_are_classified),
        cmocka_unit_test(texts_are_translated),
        cmocka_unit_test(nothing_is_freed),
        cmocka_unit_test(texts_go_on),
        cmocka_unit_test(texts_are_scored),
        cmocka_unit_test(tasks_that_do_not_fit),
        cmocka_unit_test(vectors_are_those_of_the_taps),
        cmocka_unit_test(texts_have_vectors),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
