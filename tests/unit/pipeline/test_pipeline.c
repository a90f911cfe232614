/*
 * test_pipeline.c - raw input to answer (mega.h, "Pipelines"). Data in memory gives the answer of a
 * file with the same data. Bad inputs are refused by name, and the next input works.
 */
#include "tests/unit/pipelines.h"

#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/recordings.h"

/* ---- Models --------------------------------------------------------------------------------- */

/* Returns a model of sound; `length` is the number of samples of its clips, or 0 for any. */
static MegaModel *sound_model(int64_t length)
{
    MegaModel *model = samples_model();
    const MegaAudioPreprocess preprocess = {
        .sample_rate = 1000, .mean = 0.01, .std = 0.3, .length = length};
    assert_int_equal(mega_audio_preprocess_write(&preprocess, meta_of(model), NULL), 0);
    return model;
}

/* Returns a model that reads 6 x 4 gray pixels row by row. */
static MegaModel *picture_model(void)
{
    MegaModel *model = samples_model();
    const MegaImagePreprocess preprocess = {.channels = 1,
                                            .width = 6,
                                            .height = 4,
                                            .fit = MEGA_FIT_STRETCH,
                                            .mean = {0.4f},
                                            .std = {0.3f}};
    assert_int_equal(mega_image_preprocess_write(&preprocess, meta_of(model), NULL), 0);
    return model;
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
    MegaPipeline *whole = pipeline_of(model, NULL), *clip = pipeline_of(clips, NULL);
    (void)state;
    for (size_t i = 0; i < sizeof sounds / sizeof sounds[0]; i++) {
        size_t size;
        void *samples = make_sound(i, &size);
        const MegaRaw memory = sound_of(i, samples, size), file = raw_path(test_path);
        assert_same_classes(whole, &memory, &file);
        assert_same_classes(clip, &memory, &file);
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
    MegaPipeline *pipeline = pipeline_of(
        model, &(MegaPipelineOptions){.media = mega_media(), .window = 0.08, .hop = 0.05});
    MegaClassification from[2][16];
    size_t size, count[2] = {0};
    void *samples = make_sound(1, &size);
    const MegaRaw inputs[] = {sound_of(1, samples, size), raw_path(test_path)};
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
    MegaPipeline *pipeline = pipeline_of(model, NULL);
    size_t size;
    void *samples = make_sound(2, &size);
    const MegaRaw sound = sound_of(2, samples, size);
    (void)state;
    MegaClassification found = classified(pipeline, &sound, 1);
    assert_true(found.is_cut && fabs(found.end - 0.1) < 1e-9);
    assert_true(fabs(mega_pipeline_length(pipeline) - 0.25) < 1e-9);
    assert_true(fabs(mega_pipeline_clip(pipeline) - 0.1) < 1e-9);
    mega_classification_free(&found);
    free(samples);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
}

/* A program frees its samples after the call. The length is told nevertheless, and is that of the
 * file. */
static void samples_may_go_after_the_call(void **state)
{
    MegaModel *model = sound_model(100);
    MegaPipeline *pipeline = pipeline_of(model, NULL);
    MegaClassification next;
    (void)state;
    for (size_t i = 0; i < sizeof sounds / sizeof sounds[0]; i++) {
        size_t size;
        void *samples = make_sound(i, &size);
        const MegaRaw file = raw_path(test_path), sound = sound_of(i, samples, size);
        MegaClassification found = classified(pipeline, &file, 1);
        const double length = mega_pipeline_length(pipeline);
        mega_classification_free(&found);
        found = classified(pipeline, &sound, 1);
        free(samples);
        assert_true(mega_pipeline_length(pipeline) == length);
        assert_int_equal(mega_pipeline_next(pipeline, &next, NULL), 0);
        mega_classification_free(&found);
    }
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
    MegaPipeline *pipeline = pipeline_of(model, NULL);
    (void)state;
    bad.pcm.channels = 0;
    assert_goes_on(pipeline, &bad, MEGA_ERR_ARGUMENT, "the recording has 0 channels", &good);
    bad.pcm = (MegaPcm){MEGA_PCM_F32LE, 7, 1};
    assert_goes_on(pipeline, &bad, MEGA_ERR_ARGUMENT, "sampling rate of 7 Hz", &good);
    bad.pcm = (MegaPcm){(MegaPcmFormat)77, 1000, 1};
    assert_goes_on(pipeline, &bad, MEGA_ERR_ARGUMENT, "unknown format", &good);
    bad = good;
    bad.size = 3; /* not a whole frame */
    bad.name = "microphone";
    assert_goes_on(pipeline, &bad, MEGA_ERR_INPUT, "microphone holds no samples", &good);
    bad.data = NULL;
    assert_goes_on(pipeline, &bad, MEGA_ERR_ARGUMENT, "no data", &good);
    bad = (MegaRaw){.kind = MEGA_RAW_PCM, .data = wrong, .size = sizeof wrong, .pcm = mono};
    assert_goes_on(pipeline, &bad, MEGA_ERR_FORMAT, "sample 1 is not a finite number", &good);
    bad = raw_text("red");
    assert_goes_on(pipeline, &bad, MEGA_ERR_INPUT, "the text is text, but this model takes a rec",
                   &good);
    bad = raw_path("/nonexistent/a.wav");
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
    MegaPipeline *sound = pipeline_of(model, &options),
                 *picture = pipeline_of(pictures, &options);
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
    MegaPipeline *pipeline = pipeline_of(model, &(MegaPipelineOptions){0});
    size_t size;
    void *samples = make_sound(0, &size);
    const MegaRaw sound = sound_of(0, samples, size), file = raw_path(test_path);
    (void)state;
    assert_goes_on(pipeline, &file, MEGA_ERR_UNSUPPORTED, "no MegaMedia", &sound);
    mega_pipeline_free(pipeline);
    write_file("red green\n", 10); /* text needs no decoder */
    pipeline = pipeline_of(texts, &(MegaPipelineOptions){0});
    const MegaRaw text = raw_text("red green");
    assert_same_classes(pipeline, &text, &file);
    free(samples);
    mega_pipeline_free(pipeline);
    mega_model_free(model);
    mega_model_free(texts);
}

/* ---- A program's own functions for files ---------------------------------------------------- */

/* A recording of COUNT samples, of which one may be no number. It gives one sample at a time. */
struct MegaAudio {
    size_t at, wrong; /* wrong: the place of that sample, or COUNT */
};
enum { COUNT = 25 };
static size_t opened, wrong_sample;

static int open_own(MegaAudio **out, const char *path, const MegaAudioOptions *options,
                    MegaError *err)
{
    (void)path, (void)err;
    assert_int_equal(options->rate, 1000);
    *out = malloc(sizeof **out);
    assert_non_null(*out);
    **out = (MegaAudio){0, wrong_sample};
    opened++;
    return 0;
}

static int read_own(MegaAudio *audio, float *samples, size_t capacity, size_t *count,
                    MegaError *err)
{
    (void)err;
    *count = audio->at < COUNT && capacity > 0;
    if (*count)
        samples[0] = audio->at == audio->wrong ? NAN : (float)audio->at / COUNT;
    audio->at += *count;
    return 0;
}

static void close_own(MegaAudio *audio)
{
    free(audio);
    opened--;
}

/* What is not there is not called, and what is there is enough. An error of a window, and another
 * input, end a recording and close it. */
static void own_media(void **state)
{
    const MegaMedia sound = {
        .open_sound = open_own, .read_sound = read_own, .close_sound = close_own};
    const MegaMedia none = {0}, part = {.open_sound = open_own};
    MegaModel *model = sound_model(0), *pictures = picture_model();
    MegaPipeline *pipeline =
        pipeline_of(model, &(MegaPipelineOptions){.media = &sound, .window = 0.01});
    const MegaRaw file = raw_path(test_path);
    float values[COUNT];
    const MegaRaw samples = {.kind = MEGA_RAW_PCM, .data = values, .size = sizeof values,
                             .pcm = {MEGA_PCM_F32LE, 1000, 1}};
    MegaClassification found;
    MegaEmbedding vector;
    MegaError err = {0};
    (void)state;
    write_file("\1\2\3", 3);
    for (size_t i = 0; i < COUNT; i++)
        values[i] = (float)i / COUNT;
    wrong_sample = COUNT;
    assert_same_classes(pipeline, &file, &samples);
    wrong_sample = 12; /* in the second of three windows */
    assert_int_equal(mega_pipeline_begin(pipeline, &file, 1, &err), 0);
    assert_int_equal(mega_pipeline_next(pipeline, &found, &err), 1);
    mega_classification_free(&found);
    assert_int_equal(mega_pipeline_next(pipeline, &found, &err), MEGA_ERR_INPUT);
    assert_int_equal(opened, 0);
    assert_int_equal(mega_pipeline_next(pipeline, &found, &err), 0);
    assert_int_equal(mega_pipeline_begin(pipeline, &file, 1, &err), 0);
    assert_int_equal(mega_pipeline_embed(pipeline, &samples, MEGA_VECTOR_OWN, &vector, &err), 0);
    mega_embedding_free(&vector);
    assert_int_equal(opened, 0);
    memset(values, 0, sizeof values); /* they are the program's again */
    assert_int_equal(mega_pipeline_next(pipeline, &found, &err), 0);
    mega_pipeline_free(pipeline);
    pipeline = pipeline_of(model, &(MegaPipelineOptions){.media = &none});
    assert_goes_on(pipeline, &file, MEGA_ERR_UNSUPPORTED, "reads no files of sound", &samples);
    mega_pipeline_free(pipeline);
    pipeline = pipeline_of(pictures, &(MegaPipelineOptions){.media = &sound});
    assert_int_equal(mega_pipeline_classify(pipeline, &file, 1, &found, &err),
                     MEGA_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "reads no files of pictures"));
    mega_pipeline_free(pipeline);
    assert_int_equal(
        mega_pipeline_new(&pipeline, model, &(MegaPipelineOptions){.media = &part}, &err),
        MEGA_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "expected all of them or none"));
    mega_model_free(model);
    mega_model_free(pictures);
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
    MegaPipeline *pipeline = pipeline_of(model, NULL);
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
        const MegaRaw file = raw_path(test_path);
        write_bmp(rgb, width, height);
        assert_same_classes(pipeline, &pixels, &file);
        MegaRaw single = pixels;
        pixels.data = gray;
        single.data = one;
        single.size /= 3;
        single.channels = 1;
        assert_same_classes(pipeline, &pixels, &single);
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
    MegaPipeline *pipeline = pipeline_of(model, NULL);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_heard_as_their_file),
        cmocka_unit_test(windows_of_samples),
        cmocka_unit_test(long_recording_is_cut),
        cmocka_unit_test(samples_may_go_after_the_call),
        cmocka_unit_test(bad_sound_is_refused),
        cmocka_unit_test(inputs_count_to_memory),
        cmocka_unit_test(files_need_media),
        cmocka_unit_test(own_media),
        cmocka_unit_test(pixels_are_seen_as_their_file),
        cmocka_unit_test(bad_pixels_are_refused),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
