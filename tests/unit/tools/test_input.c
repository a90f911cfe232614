/*
 * test_input.c - turns a path into a model's input (src/pipeline/input.h), and chooses a model by
 * the kind of input (tools/run/find_model.h).
 */
#include "tests/unit/raw_models.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/base/bytes.h"
#include "src/pipeline/input.h"
#include "tools/run/find_model.h"

#define RATE 1000

static char folder[64], path[128], other[128];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/mega-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/input", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    unlink(other);
    return rmdir(folder);
}

static void write_file(const char *name, const void *data, size_t size)
{
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

/* Writes a mono 16-bit recording at RATE whose sample number i is i + 1. */
static void write_ramp(const char *name, size_t n)
{
    MegaBuffer wav = {0};
    mega_put_bytes(&wav, "RIFF", 4);
    mega_put_u32(&wav, (uint32_t)(36 + 2 * n));
    mega_put_bytes(&wav, "WAVEfmt ", 8);
    mega_put_u32(&wav, 16);
    mega_put_u16(&wav, 1); /* PCM */
    mega_put_u16(&wav, 1);
    mega_put_u32(&wav, RATE);
    mega_put_u32(&wav, 2 * RATE);
    mega_put_u16(&wav, 2);
    mega_put_u16(&wav, 16);
    mega_put_bytes(&wav, "data", 4);
    mega_put_u32(&wav, (uint32_t)(2 * n));
    for (size_t i = 0; i < n; i++)
        mega_put_u16(&wav, (uint16_t)(i + 1));
    assert_false(wav.failed);
    write_file(name, wav.data, wav.size);
    mega_buffer_free(&wav);
}

/* ---- Models with random weights, and the preprocessing that a test needs -------------------- */

static MegaModel *audio_model(int64_t length)
{
    MegaModel *model = samples_model();
    const MegaAudioPreprocess preprocess = {
        .sample_rate = RATE, .mean = 0.25, .std = 0.5, .length = length};
    assert_int_equal(mega_audio_preprocess_write(&preprocess, meta_of(model), NULL), 0);
    return model;
}

static MegaInputReader *new_reader(const MegaModel *model, const MegaPipelineOptions *options)
{
    MegaError err = {0};
    MegaInputReader *reader = NULL;
    MegaPipelineOptions with_media = *options;
    with_media.media = mega_media();
    if (mega_input_reader_new(&reader, model, &with_media, &err))
        fail_msg("%s", err.text);
    return reader;
}

/* Expects that reading path (and second) fails with a sentence that contains text. */
static void assert_refused(MegaInputReader *reader, const char *second, int code, const char *text)
{
    MegaError err = {0};
    MegaPrepared input;
    int got = mega_input_reader_open(reader, path, second, &err);
    if (!got)
        got = mega_input_reader_next(reader, &input, &err);
    assert_int_equal(got, code);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" does not say \"%s\"", err.text, text);
    assert_int_equal(mega_input_reader_next(reader, &input, &err), 0);
}

/* ---- Audio ---------------------------------------------------------------------------------- */

static float normalised(size_t number)
{
    return ((float)number / 32768.0f - 0.25f) / (float)(0.5 + 1e-5);
}

static void assert_clip(const MegaPrepared *input, size_t first, size_t used, size_t length)
{
    assert_int_equal(input->count, 1);
    assert_int_equal(input->views[0].kind, MEGA_INPUT_SAMPLES);
    assert_int_equal(input->views[0].length, length);
    assert_true(fabs(input->start - (double)first / RATE) < 1e-9);
    assert_true(fabs(input->end - (double)(first + used) / RATE) < 1e-9);
    for (size_t i = 0; i < length; i++)
        if (input->views[0].values[i] != normalised(i < used ? first + i + 1 : 0))
            fail_msg("sample %zu of the clip at %zu is %g", i, first,
                     (double)input->views[0].values[i]);
}

static void test_clip_is_padded_cut_or_whole(void **state)
{
    static const struct {
        size_t recorded, model, used, length;
    } cases[] = {{40, 100, 40, 100}, {140, 100, 100, 100}, {100, 100, 100, 100}, {70, 0, 70, 70}};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        MegaModel *model = audio_model((int64_t)cases[i].model);
        MegaInputReader *reader = new_reader(model, &(MegaPipelineOptions){0});
        MegaPrepared input;
        write_ramp(path, cases[i].recorded);
        for (int again = 0; again < 2; again++) { /* a reader takes any number of paths */
            assert_int_equal(mega_input_reader_open(reader, path, NULL, NULL), 0);
            assert_int_equal(mega_input_reader_next(reader, &input, NULL), 1);
            assert_clip(&input, 0, cases[i].used, cases[i].length);
            mega_prepared_free(&input);
            assert_int_equal(mega_input_reader_next(reader, &input, NULL), 0);
        }
        mega_input_reader_free(reader);
        mega_model_free(model);
    }
}

/* Long recordings give overlapping windows if these are wanted. Otherwise their first clip is
 * marked as cut, unless the recording exceeds a clip by no more than a hundredth. */
static void test_long_recordings(void **state)
{
    static const struct {
        size_t recorded;
        bool scan, is_cut;
        size_t clips[5][2];
    } cases[] = {
        {250, false, true, {{0, 100}}},
        {101, false, false, {{0, 100}}},
        {101, true, false, {{0, 100}}},
        {102, false, true, {{0, 100}}},
        {102, true, false, {{0, 100}, {25, 77}}},
        {160, true, false, {{0, 100}, {25, 100}, {50, 100}, {75, 85}}},
        {60, true, false, {{0, 60}}},
    };
    MegaModel *model = audio_model(100);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaInputReader *reader = new_reader(model, &(MegaPipelineOptions){.scan = cases[i].scan});
        const bool scanned = cases[i].clips[1][1] > 0;
        MegaPrepared input;
        write_ramp(path, cases[i].recorded);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(mega_input_reader_open(reader, path, NULL, NULL), 0);
            for (size_t c = 0; cases[i].clips[c][1]; c++) {
                assert_int_equal(mega_input_reader_next(reader, &input, NULL), 1);
                assert_clip(&input, cases[i].clips[c][0], cases[i].clips[c][1], 100);
                assert_int_equal(input.is_cut, cases[i].is_cut);
                assert_int_equal(input.scanned, scanned);
                mega_prepared_free(&input);
            }
            if (cases[i].is_cut)
                assert_true(fabs(mega_input_reader_length(reader) -
                                 (double)cases[i].recorded / RATE) < 1e-9);
            assert_int_equal(mega_input_reader_next(reader, &input, NULL), 0);
        }
        assert_true(fabs(mega_input_reader_clip(reader) - 0.1) < 1e-9);
        mega_input_reader_free(reader);
    }
    mega_model_free(model);
}

/* The samples of a window, and of a longer clip for the model, count against the limit. */
static void test_clips_within_memory(void **state)
{
    static const struct {
        int64_t length;
        uint64_t limit;
        int code;
    } cases[] = {{1 << 26, 100 << 20, MEGA_ERR_LIMIT},
                 {1000, 100 << 20, 1},
                 {0, 1000, MEGA_ERR_LIMIT},
                 {0, 0, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaModel *model = audio_model(cases[i].length);
        MegaInputReader *reader =
            new_reader(model, &(MegaPipelineOptions){.session.max_memory = cases[i].limit});
        MegaPrepared input;
        MegaError err = {0};
        write_ramp(path, 500);
        assert_int_equal(mega_input_reader_open(reader, path, NULL, NULL), 0);
        assert_int_equal(mega_input_reader_next(reader, &input, &err), cases[i].code);
        if (cases[i].code < 0)
            assert_non_null(strstr(err.text, "MB of memory for"));
        mega_prepared_free(&input);
        mega_input_reader_free(reader);
        mega_model_free(model);
    }
}

static void test_windows(void **state)
{
    /* Window, hop, and the model's length in samples, with the expected clips (first, used); used =
     * 0 ends them. */
    static const struct {
        size_t recorded;
        double window, hop;
        size_t model, length;
        size_t clips[5][2];
    } cases[] = {
        {100, 0.040, 0.030, 0, 40, {{0, 40}, {30, 40}, {60, 40}}}, /* the last one ends with the
                                                                      recording */
        {101, 0.040, 0.030, 0, 40, {{0, 40}, {30, 40}, {60, 40}, {90, 11}}},
        {100, 0.040, 0.000, 50, 50, {{0, 40}, {40, 40}, {80, 20}}}, /* hop is that of the window */
        {100, 0.020, 0.050, 0, 20, {{0, 20}, {50, 20}}},            /* gaps */
        {30, 0.040, 0.010, 0, 40, {{0, 30}}},                       /* shorter than a window */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaModel *model = audio_model((int64_t)cases[i].model);
        MegaInputReader *reader = new_reader(
            model, &(MegaPipelineOptions){.window = cases[i].window, .hop = cases[i].hop});
        MegaPrepared input;
        write_ramp(path, cases[i].recorded);
        assert_int_equal(mega_input_reader_open(reader, path, NULL, NULL), 0);
        for (size_t c = 0; cases[i].clips[c][1]; c++) {
            assert_int_equal(mega_input_reader_next(reader, &input, NULL), 1);
            assert_clip(&input, cases[i].clips[c][0], cases[i].clips[c][1], cases[i].length);
            mega_prepared_free(&input);
        }
        assert_int_equal(mega_input_reader_next(reader, &input, NULL), 0);
        mega_input_reader_free(reader);
        mega_model_free(model);
    }
}

static void test_raw(void **state)
{
    static const uint8_t samples[] = {0x01, 0x00, 0x02, 0x00, 0x03, 0x00};
    (void)state;
    MegaModel *model = audio_model(0);
    MegaInputReader *reader =
        new_reader(model, &(MegaPipelineOptions){.raw = &(MegaPcm){MEGA_PCM_S16LE, 1000, 1}});
    MegaPrepared input;
    write_file(path, samples, sizeof samples);
    assert_int_equal(mega_input_reader_open(reader, path, NULL, NULL), 0);
    assert_int_equal(mega_input_reader_next(reader, &input, NULL), 1);
    assert_clip(&input, 0, 3, 3);
    mega_prepared_free(&input);
    mega_input_reader_free(reader);
    mega_model_free(model);
}

static void test_audio_refuses(void **state)
{
    (void)state;
    MegaModel *model = audio_model(100);
    MegaInputReader *reader = new_reader(model, &(MegaPipelineOptions){0});
    write_text(path, "");
    assert_refused(reader, NULL, MEGA_ERR_INPUT, "is empty");
    write_text(path, "good morning");
    assert_refused(reader, NULL, MEGA_ERR_INPUT, "is text, but this model takes a recording");
    write_text(path, "\x89PNG\r\n\x1a\n");
    assert_refused(reader, NULL, MEGA_ERR_INPUT, "is a PNG image, but");
    write_text(path, "PK\3\4 ... ");
    assert_refused(reader, NULL, MEGA_ERR_INPUT, "zip archive");
    write_ramp(path, 0);
    assert_refused(reader, NULL, MEGA_ERR_INPUT, "no samples");
    assert_refused(reader, path, MEGA_ERR_ARGUMENT, "single inputs");
    unlink(path);
    assert_refused(reader, NULL, MEGA_ERR_IO, "cannot open");
    assert_int_equal(mkdir(path, 0777), 0);
    assert_refused(reader, NULL, MEGA_ERR_IO, "is a folder");
    assert_int_equal(rmdir(path), 0);
    mega_input_reader_free(reader);
    mega_model_free(model);
}

static void test_options_refused(void **state)
{
    static const MegaPipelineOptions wrong[] = {
        {.hop = 0.1},   {.window = 0.2}, /* longer than the model's clips */
        {.window = -1}, {.window = NAN}, {.window = 0.05, .hop = 1e-9}, {.ids = true},
    };
    (void)state;
    MegaModel *model = audio_model(100), *text = text_model(false), *bare = samples_model();
    MegaInputReader *reader = NULL;
    MegaError err = {0};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(mega_input_reader_new(&reader, model, &wrong[i], &err), MEGA_ERR_ARGUMENT);
        assert_null(reader);
    }
    assert_int_equal(
        mega_input_reader_new(&reader, text, &(MegaPipelineOptions){.window = 1}, &err),
        MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_input_reader_new(&reader, bare, &(MegaPipelineOptions){0}, &err),
                     MEGA_ERR_MODEL);
    assert_non_null(strstr(err.text, "no description of preprocessing"));
    mega_model_free(model);
    mega_model_free(text);
    mega_model_free(bare);
}

/* ---- Images --------------------------------------------------------------------------------- */

/* Writes an uncompressed 24-bit picture of 2 x 2 pixels, with gray levels 0, 51 / 102, 255. */
static void write_bmp(const char *name)
{
    static const uint8_t rows[] = {102, 102, 102, 255, 255, 255, 0, 0, 0,
                                   0,   0,   51,  51,  51,  0,   0}; /* the last row comes
                                                                        first */
    MegaBuffer bmp = {0};
    mega_put_bytes(&bmp, "BM", 2);
    mega_put_u32(&bmp, 54 + sizeof rows);
    mega_put_u32(&bmp, 0);
    mega_put_u32(&bmp, 54);
    mega_put_u32(&bmp, 40);
    mega_put_u32(&bmp, 2);
    mega_put_u32(&bmp, 2);
    mega_put_u16(&bmp, 1);
    mega_put_u16(&bmp, 24);
    for (int i = 0; i < 6; i++)
        mega_put_u32(&bmp, 0);
    mega_put_bytes(&bmp, rows, sizeof rows);
    write_file(name, bmp.data, bmp.size);
    mega_buffer_free(&bmp);
}

static void test_image_as_samples(void **state)
{
    (void)state;
    MegaModel *model = samples_model();
    MegaImagePreprocess preprocess = {
        .channels = 1, .width = 2, .height = 2, .mean = {0.5f}, .std = {0.25f}};
    assert_int_equal(mega_image_preprocess_write(&preprocess, meta_of(model), NULL), 0);
    MegaInputReader *reader = new_reader(model, &(MegaPipelineOptions){0});
    MegaPrepared input;
    write_bmp(path);
    assert_int_equal(mega_content_of_path(path, mega_media()), MEGA_CONTENT_PICTURE);
    assert_int_equal(mega_input_reader_open(reader, path, NULL, NULL), 0);
    assert_int_equal(mega_input_reader_next(reader, &input, NULL), 1);
    assert_int_equal(input.views[0].kind, MEGA_INPUT_SAMPLES);
    assert_int_equal(input.views[0].length, 4);
    assert_close_f32(input.values, (float[]){-2.0f, -1.2f, -0.4f, 2.0f}, 4, 1e-6);
    mega_prepared_free(&input);
    assert_int_equal(mega_input_reader_next(reader, &input, NULL), 0);
    mega_input_reader_free(reader);

    preprocess.width = 3;
    assert_int_equal(mega_image_preprocess_write(&preprocess, meta_of(model), NULL), 0);
    reader = new_reader(model, &(MegaPipelineOptions){0});
    assert_refused(reader, NULL, MEGA_ERR_INPUT,
                   "2 x 2 pixels; this model takes images of exactly");
    write_ramp(path, 10);
    assert_refused(reader, NULL, MEGA_ERR_INPUT,
                   "is a wav recording, but this model takes an image");
    mega_input_reader_free(reader);
    mega_model_free(model);
}

/* ---- Text ----------------------------------------------------------------------------------- */

static void assert_tokens(const MegaInput *view, const int32_t *expected, size_t count)
{
    assert_int_equal(view->kind, MEGA_INPUT_TOKENS);
    assert_int_equal(view->length, count);
    assert_memory_equal(view->tokens, expected, count * sizeof *expected);
}

static void test_text_and_ids(void **state)
{
    (void)state;
    MegaModel *model = text_model(false);
    MegaInputReader *reader = new_reader(model, &(MegaPipelineOptions){0});
    MegaPrepared input;
    write_text(path, "green red blue\n");
    assert_int_equal(mega_input_reader_open(reader, path, NULL, NULL), 0);
    assert_int_equal(mega_input_reader_next(reader, &input, NULL), 1);
    assert_tokens(&input.views[0], (int32_t[]){5, 4, 3, 2}, 4);
    mega_prepared_free(&input);
    assert_int_equal(mega_input_reader_next(reader, &input, NULL), 0);
    write_text(path, " \n");
    assert_refused(reader, NULL, MEGA_ERR_INPUT, "is empty");
    write_ramp(path, 10);
    assert_refused(reader, NULL, MEGA_ERR_INPUT, "a wav recording, but this model takes text");
    mega_input_reader_free(reader);

    reader = new_reader(model, &(MegaPipelineOptions){.ids = true});
    write_text(path, "29 0\n");
    assert_int_equal(mega_input_reader_open(reader, path, NULL, NULL), 0);
    assert_int_equal(mega_input_reader_next(reader, &input, NULL), 1);
    assert_tokens(&input.views[0], (int32_t[]){29, 0}, 2);
    mega_prepared_free(&input);
    write_text(path, "30\n"); /* the model has 30 embeddings */
    assert_refused(reader, NULL, MEGA_ERR_INPUT, "30");
    mega_input_reader_free(reader);
    mega_model_free(model);
}

static void test_pairs(void **state)
{
    (void)state;
    MegaModel *model = text_model(true);
    MegaInputReader *reader = new_reader(model, &(MegaPipelineOptions){0});
    write_text(path, "red\tgreen green\n");
    write_text(other, "green green");
    for (int two = 0; two < 2; two++) {
        MegaPrepared input;
        assert_int_equal(mega_input_reader_open(reader, path, two ? other : NULL, NULL), 0);
        assert_int_equal(mega_input_reader_next(reader, &input, NULL), 1);
        assert_int_equal(input.count, 2);
        assert_tokens(&input.views[0], (int32_t[]){4, 2}, 2);
        assert_tokens(&input.views[1], (int32_t[]){5, 5, 2}, 3);
        mega_prepared_free(&input);
        assert_int_equal(mega_input_reader_next(reader, &input, NULL), 0);
        write_text(path, "red");
    }
    assert_refused(reader, NULL, MEGA_ERR_INPUT, "expected a TAB");
    write_text(path, "red\t\n");
    assert_refused(reader, NULL, MEGA_ERR_INPUT, "is empty");
    mega_input_reader_free(reader);
    mega_model_free(model);
}

static void test_vocabulary_must_fit(void **state)
{
    char symbols[31][16];
    const char *list[31];
    (void)state;
    for (int i = 0; i < 31; i++) {
        snprintf(symbols[i], sizeof symbols[i], "s%d", i);
        list[i] = symbols[i];
    }
    MegaModel *model = text_model(false);
    MegaInputReader *reader = NULL;
    assert_int_equal(mega_meta_set_strings(meta_of(model), MEGA_VOCAB_KEY, list, 31), 0);
    assert_int_equal(mega_input_reader_new(&reader, model, &(MegaPipelineOptions){0}, NULL),
                     MEGA_ERR_MODEL);
    assert_int_equal(mega_meta_set_strings(meta_of(model), MEGA_VOCAB_KEY, list, 30), 0);
    assert_int_equal(mega_meta_set_int(meta_of(model), "text.eos", 30), 0);
    assert_int_equal(mega_input_reader_new(&reader, model, &(MegaPipelineOptions){0}, NULL),
                     MEGA_ERR_MODEL);
    mega_model_free(model);
}

/* ---- Kinds and models ----------------------------------------------------------------------- */

static void test_sniff(void **state)
{
    static const struct {
        const char *content;
        MegaContentKind kind;
    } cases[] = {
        {"fLaC\1...", MEGA_CONTENT_SOUND},
        {"\xff\xfb\x90....", MEGA_CONTENT_SOUND},
        {"RIFF\1...WAVE", MEGA_CONTENT_SOUND},
        {"\xff\xd8\xff\xe0..", MEGA_CONTENT_PICTURE},
        {"GIF89a\1", MEGA_CONTENT_PICTURE},
        {"BM is a text here", MEGA_CONTENT_TEXT},
        {"NIST_1A\n   1024\n", MEGA_CONTENT_SOUND},
        {"ID3 tags are old", MEGA_CONTENT_TEXT},
        {"Creative Voice File\x1a", MEGA_CONTENT_SOUND},
        {"\x64\xa3\1", MEGA_CONTENT_UNKNOWN},
        {" paf\1", MEGA_CONTENT_SOUND},
        {"#!AMR\n", MEGA_CONTENT_UNKNOWN},
        {"gr\xc3\xbcn\n", MEGA_CONTENT_TEXT},
        {"gr\xfcn", MEGA_CONTENT_UNKNOWN},
        {"a\001b", MEGA_CONTENT_UNKNOWN},
        {"\x89MEGA\n\r\n", MEGA_CONTENT_UNKNOWN},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_text(path, cases[i].content);
        if (mega_content_of_path(path, mega_media()) != cases[i].kind)
            fail_msg("\"%s\" was taken for kind %d", cases[i].content,
                     (int)mega_content_of_path(path, mega_media()));
    }
    assert_int_equal(mega_content_of_path("/nonexistent/a.WAV", mega_media()), MEGA_CONTENT_SOUND);
    assert_int_equal(mega_content_of_path("/nonexistent/a.txt", mega_media()), MEGA_CONTENT_TEXT);
    assert_int_equal(mega_content_of_path("/nonexistent/a", mega_media()), MEGA_CONTENT_UNKNOWN);
    assert_int_equal(mega_content_of_path(folder, mega_media()), MEGA_CONTENT_UNKNOWN);
    assert_int_equal(mega_content_of_path("/dev/zero", mega_media()), MEGA_CONTENT_UNKNOWN);
}

/* Sound may begin after the first bytes, and HTK has no magic. */
static void test_sniff_sound_behind_something(void **state)
{
    MegaBuffer file = {0};
    (void)state;
    mega_put_bytes(&file, "\0\0\2\1\0\0\2\x71\0\2\0\0\0\0", 14);
    write_file(path, file.data, file.size);
    assert_int_equal(mega_content_of_path(path, mega_media()), MEGA_CONTENT_SOUND);
    for (int zeros = 0; zeros < 2; zeros++) {
        file.size = 0;
        for (int i = 0; i < 1000; i++)
            mega_put_bytes(&file, zeros ? "\0" : "header: 1\n", zeros ? 1 : 10);
        write_file(path, file.data, file.size);
        assert_int_equal(mega_content_of_path(path, mega_media()),
                         zeros ? MEGA_CONTENT_UNKNOWN : MEGA_CONTENT_TEXT);
        for (int i = 0; i < 6; i++) { /* frames of MPEG 1 layer III, 417 bytes each */
            mega_put_bytes(&file, "\xff\xfb\x90\0", 4);
            for (int j = 0; j < 413; j++)
                mega_put_u8(&file, 0);
        }
        write_file(path, file.data, file.size);
        assert_int_equal(mega_content_of_path(path, mega_media()), MEGA_CONTENT_SOUND);
    }
    mega_buffer_free(&file);
}

static void write_model(const char *name, const char *task, const char *key)
{
    const MegaTensorDecl decl = {
        .name = "t", .dtype = MEGA_F32, .rank = 1, .shape = {1}, .tied_to = -1};
    const float value = 1;
    MegaWriter *writer = NULL;
    MegaMeta *meta = mega_meta_new();
    assert_non_null(meta);
    assert_int_equal(mega_meta_set_string(meta, "general.task", task), 0);
    assert_int_equal(mega_meta_set_int(meta, key, 1), 0);
    assert_int_equal(mega_writer_new(&writer, name, meta, &decl, 1, false, NULL), 0);
    assert_int_equal(mega_writer_tensor(writer, &value, sizeof value, NULL), 0);
    assert_int_equal(mega_writer_finish(writer, NULL), 0);
    mega_writer_free(writer);
    mega_meta_free(meta);
}

static int find(char **found, MegaTask task, MegaContentKind kind, const char *into,
                MegaError *err)
{
    return find_model(found, &(ModelWish){.task = task, .kind = kind, .into = into}, err);
}

static void test_find_model(void **state)
{
    enum { COUNT = 7 };
    static const char *const names[COUNT] = {"b/z.mega",      "b/speech.mega", "a/image.mega",
                                             "a/broken.mega", "a/other.mega",  "a/audio.txt",
                                             "a/nothing.mega"};
    char name[128], list[128];
    char *found = NULL;
    MegaError err = {0};
    (void)state;
    for (const char *sub = "ab"; *sub; sub++) {
        snprintf(name, sizeof name, "%s/%c", folder, *sub);
        assert_int_equal(mkdir(name, 0777), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "%s/%s", folder, names[i]);
        if (i == 3)
            write_text(name, "not a model");
        else
            write_model(name, i == 4 ? "translate" : "classify",
                        i == 2   ? "image.width"
                        : i == 6 ? "of.no.kind"
                                 : "audio.sample_rate");
    }
    snprintf(list, sizeof list, "/nonexistent::%s", folder);
    assert_int_equal(setenv("MEGA_MODELS", list, 1), 0);
    assert_int_equal(find(&found, MEGA_TASK_CLASSIFY, MEGA_CONTENT_SOUND, NULL, &err), 0);
    snprintf(name, sizeof name, "%s/b/speech.mega", folder);
    assert_string_equal(found, name);
    free(found);
    assert_int_equal(find(&found, MEGA_TASK_CLASSIFY, MEGA_CONTENT_PICTURE, NULL, &err), 0);
    snprintf(name, sizeof name, "%s/a/image.mega", folder);
    assert_string_equal(found, name);
    free(found);
    assert_int_equal(find(&found, MEGA_TASK_TRANSLATE, MEGA_CONTENT_TEXT, NULL, &err), MEGA_ERR_IO);
    assert_null(found);
    assert_non_null(strstr(err.text, folder));
    assert_int_equal(find(&found, MEGA_TASK_CLASSIFY, MEGA_CONTENT_SOUND, "de", &err), MEGA_ERR_IO);
    assert_null(found);
    /* The advice is for a kind that is known, not for that of a model which has none. */
    mega_fail(&err, MEGA_ERR_INPUT, "it is not a picture");
    advise_classifier(MEGA_CONTENT_UNKNOWN, &err);
    assert_string_equal(err.text, "it is not a picture");
    advise_classifier(MEGA_CONTENT_SOUND, &err);
    assert_string_equal(err.text, "it is not a picture; for sound use speech");
    unsetenv("MEGA_MODELS");
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "%s/%s", folder, names[i]);
        assert_int_equal(unlink(name), 0);
    }
    for (const char *sub = "ab"; *sub; sub++) {
        snprintf(name, sizeof name, "%s/%c", folder, *sub);
        assert_int_equal(rmdir(name), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clip_is_padded_cut_or_whole),
        cmocka_unit_test(test_long_recordings),
        cmocka_unit_test(test_clips_within_memory),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_audio_refuses),
        cmocka_unit_test(test_options_refused),
        cmocka_unit_test(test_image_as_samples),
        cmocka_unit_test(test_text_and_ids),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_vocabulary_must_fit),
        cmocka_unit_test(test_sniff),
        cmocka_unit_test(test_sniff_sound_behind_something),
        cmocka_unit_test(test_find_model),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
