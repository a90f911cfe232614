/*
 * test_preprocess.c - preprocessing as a model file describes it (src/pipeline/preprocess.h):
 * metadata, refusals, the fitting of images, and the original's inputs to its models, if the
 * project's fixtures are available ($MEGA_FIXTURES, else ../shared/fixtures).
 */
#include "tests/unit/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/media/audio.h"
#include "formats/media/image.h"
#include "formats/media/npy.h"
#include "formats/text/vocab.h"
#include "src/pipeline/preprocess.h"

static const MegaImagePreprocess imagenet = {
    .channels = 3,
    .width = 64,
    .height = 64,
    .fit = MEGA_FIT_CROP,
    .resize = 73,
    .mean = {0.485f, 0.456f, 0.406f},
    .std = {0.229f, 0.224f, 0.225f},
};

/* ---- Metadata ------------------------------------------------------------------------------- */

static void test_audio_metadata(void **state)
{
    const MegaAudioPreprocess written = {
        .sample_rate = 16000, .mean = -4.7e-06, .std = 0.0785, .length = 16000};
    MegaAudioPreprocess read;
    (void)state;
    MegaMeta *meta = mega_meta_new();
    assert_int_equal(mega_audio_preprocess_read(&read, meta, NULL), MEGA_ERR_MODEL);
    assert_int_equal(mega_audio_preprocess_write(&written, meta, NULL), 0);
    assert_int_equal(mega_audio_preprocess_read(&read, meta, NULL), 0);
    assert_int_equal(read.sample_rate, 16000);
    assert_int_equal(read.length, 16000);
    assert_true(read.mean == written.mean && read.std == written.std);
    mega_meta_free(meta);
}

static void test_image_metadata(void **state)
{
    MegaImagePreprocess read;
    (void)state;
    MegaMeta *meta = mega_meta_new();
    for (int fit = MEGA_FIT_EXACT; fit <= MEGA_FIT_CROP; fit++) {
        MegaImagePreprocess written = imagenet;
        written.fit = (MegaImageFit)fit;
        assert_int_equal(mega_image_preprocess_write(&written, meta, NULL), 0);
        assert_int_equal(mega_image_preprocess_read(&read, meta, NULL), 0);
        assert_int_equal(read.fit, fit);
        assert_int_equal(read.resize, fit == MEGA_FIT_CROP ? 73 : 0);
        assert_int_equal(read.channels * 1000000 + read.width * 1000 + read.height, 3064064);
        assert_memory_equal(read.mean, imagenet.mean, sizeof read.mean);
        assert_memory_equal(read.std, imagenet.std, sizeof read.std);
    }
    mega_meta_free(meta);
}

static void test_text_metadata(void **state)
{
    const MegaTextPreprocess written = {.unit = MEGA_TEXT_BYTES, .cls = 32, .eos = -1, .unk = 3};
    MegaTextPreprocess read;
    (void)state;
    MegaMeta *meta = mega_meta_new();
    assert_int_equal(mega_text_preprocess_write(&written, meta, NULL), 0);
    assert_int_equal(mega_text_preprocess_read(&read, meta, NULL), 0);
    assert_memory_equal(&read, &written, sizeof read);
    mega_meta_free(meta);
}

/* A good description must be refused, with its key in the text, after one value is made wrong. */
static void test_wrong_values_are_refused(void **state)
{
    static const struct {
        const char *key, *text; /* text, or number if text is NULL */
        double number;
    } wrong[] = {
        {"audio.sample_rate", NULL, 0},   {"audio.sample_rate", NULL, 2e6},
        {"audio.sample_rate", "16 k", 0}, {"audio.std", NULL, 0},
        {"audio.std", NULL, -1},          {"audio.std", NULL, 1e-300},
        {"audio.mean", NULL, 1e300},      {"audio.length", NULL, -1},
        {"image.channels", NULL, 2},      {"image.channels", NULL, 1}, /* three means */
        {"image.width", NULL, 0},         {"image.height", NULL, 1e9},
        {"image.fit", "squeeze", 0},      {"image.resize", NULL, 63},
        {"image.std", NULL, 1},           {"text.unit", "words", 0},
        {"text.cls", NULL, -2},           {"text.unk", NULL, -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        MegaAudioPreprocess audio = {.sample_rate = 16000, .std = 1};
        MegaImagePreprocess image = imagenet;
        MegaTextPreprocess text = {.cls = -1, .eos = 2, .unk = 3};
        MegaError err = {0};
        MegaMeta *meta = mega_meta_new();
        const double number = wrong[i].number;
        assert_int_equal(mega_audio_preprocess_write(&audio, meta, NULL), 0);
        assert_int_equal(mega_image_preprocess_write(&image, meta, NULL), 0);
        assert_int_equal(mega_text_preprocess_write(&text, meta, NULL), 0);
        assert_int_equal(wrong[i].text ? mega_meta_set_string(meta, wrong[i].key, wrong[i].text)
                         : number == floor(number) && fabs(number) < 1e10
                             ? mega_meta_set_int(meta, wrong[i].key, (int64_t)number)
                             : mega_meta_set_float(meta, wrong[i].key, number),
                         0);
        const int codes[] = {mega_audio_preprocess_read(&audio, meta, &err),
                             mega_image_preprocess_read(&image, meta, &err),
                             mega_text_preprocess_read(&text, meta, &err)};
        if (codes[0] + codes[1] + codes[2] != MEGA_ERR_MODEL)
            fail_msg("%s = %g \"%s\" was not refused", wrong[i].key, number,
                     wrong[i].text ? wrong[i].text : "");
        /* image.channels = 1 shows as an error of the arrays. */
        if (!strstr(err.text, wrong[i].key) && !strstr(err.text, "image.mean"))
            fail_msg("\"%s\" does not name %s", err.text, wrong[i].key);
        mega_meta_free(meta);
    }
}

/* ---- Images --------------------------------------------------------------------------------- */

/* The value of channel c of pixel x, y is 16 y + x + c. */
static MegaImage new_image(int width, int height, int channels)
{
    MegaImage image = {.width = width, .height = height, .channels = channels};
    image.pixels = malloc((size_t)width * (size_t)height * (size_t)channels);
    assert_non_null(image.pixels);
    for (int y = 0, i = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                image.pixels[i++] = (uint8_t)(16 * y + x + c);
    return image;
}

static void test_fit(void **state)
{
    (void)state;
    MegaError err = {0};
    MegaImage image = new_image(13, 9, 3);
    MegaImagePreprocess preprocess = {
        .channels = 1, .width = 13, .height = 8, .fit = MEGA_FIT_EXACT};
    assert_int_equal(mega_image_fit(&preprocess, &image, "a.png", &err), MEGA_ERR_INPUT);
    assert_non_null(strstr(err.text, "a.png is 13 x 9 pixels"));
    preprocess.height = 9;
    assert_int_equal(mega_image_fit(&preprocess, &image, "a.png", &err), 0);
    assert_int_equal(image.channels, 1);
    assert_int_equal(image.pixels[0], (0 * 19595 + 1 * 38470 + 2 * 7471 + 0x8000) >> 16);
    mega_image_free(&image);

    image = new_image(13, 9, 1);
    preprocess =
        (MegaImagePreprocess){.channels = 3, .width = 5, .height = 20, .fit = MEGA_FIT_STRETCH};
    assert_int_equal(mega_image_fit(&preprocess, &image, "a.png", &err), 0);
    assert_int_equal(image.width * 1000 + image.height * 10 + image.channels, 5203);
    mega_image_free(&image);
}

/* The short side already has the wanted size, so only cropping is left. torchvision rounds the
 * crop's corner to even: (13 - 6) / 2 = 3.5 -> 4, (9 - 4) / 2 = 2.5 -> 2, (13 - 8) / 2 = 2.5 ->
 * 2. */
static void test_centre_crop(void **state)
{
    static const int cases[][4] = {{6, 4, 4, 2}, {8, 9, 2, 0}, {9, 3, 2, 3}}; /* w, h, x, y */
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const int width = cases[i][0], height = cases[i][1];
        const MegaImagePreprocess preprocess = {
            .channels = 1, .width = width, .height = height, .fit = MEGA_FIT_CROP, .resize = 9};
        MegaImage image = new_image(13, 9, 1);
        assert_int_equal(mega_image_fit(&preprocess, &image, "a.png", NULL), 0);
        assert_int_equal(image.width, width);
        assert_int_equal(image.height, height);
        assert_int_equal(image.pixels[0], 16 * cases[i][3] + cases[i][2]);
        mega_image_free(&image);
    }
}

static void test_thin_images_are_refused(void **state)
{
    const MegaImagePreprocess preprocess = {
        .channels = 1, .width = 224, .height = 224, .fit = MEGA_FIT_CROP, .resize = 256};
    MegaError err = {0};
    (void)state;
    MegaImage image = new_image(1, 2000, 1);
    assert_int_equal(mega_image_fit(&preprocess, &image, "a.png", &err), MEGA_ERR_INPUT);
    assert_non_null(strstr(err.text, "too long and thin"));
    mega_image_free(&image);
}

static void test_pixels_become_planar(void **state)
{
    const uint8_t pixels[] = {0, 51, 255, 255, 0, 102}; /* two RGB pixels side by side */
    const float expected[] = {-0.5f / 0.25f, 0.5f / 0.25f, 0.2f / 0.5f, 0.0f, 0.75f, 0.15f};
    const MegaImagePreprocess preprocess = {.channels = 3,
                                            .width = 2,
                                            .height = 1,
                                            .mean = {0.5f, 0.0f, 0.25f},
                                            .std = {0.25f, 0.5f, 1.0f}};
    float out[6];
    (void)state;
    mega_image_normalize(&preprocess, pixels, out);
    assert_close_f32(out, expected, 6, 1e-6);
}

/* ---- The original's values ------------------------------------------------------------------ */

static const char *fixtures(void)
{
    const char *folder = getenv("MEGA_FIXTURES");
    folder = folder ? folder : "../shared/fixtures";
    return access(folder, R_OK) == 0 ? folder : NULL;
}

static MegaNpy read_values(const char *name, int input)
{
    char path[512];
    MegaError err = {0};
    MegaNpy values;
    snprintf(path, sizeof path, "%s/%s/in.%d.values.npy", fixtures(), name, input);
    if (mega_npy_read(&values, path, &err))
        fail_msg("%s", err.text);
    assert_int_equal(values.type, MEGA_NPY_F32);
    return values;
}

static void test_recordings_of_the_original(void **state)
{
    const MegaAudioPreprocess preprocess = {.sample_rate = 16000, .mean = -4.7e-06, .std = 0.0785};
    (void)state;
    if (!fixtures())
        skip();
    for (int input = 0; input < 2; input++) {
        char path[512];
        MegaNpy values = read_values("sc_raw_base", input);
        MegaAudio *audio = NULL;
        MegaError err = {0};
        size_t count = 0, got = 1;
        snprintf(path, sizeof path, "%s/sc_raw_base/in.%d.wav", fixtures(), input);
        if (mega_audio_open(&audio, path, &(MegaAudioOptions){.rate = 16000}, &err))
            fail_msg("%s", err.text);
        float *samples = malloc((values.elements + 1) * sizeof *samples);
        assert_non_null(samples);
        for (; got; count += got) {
            const size_t room = values.elements + 1 - count;
            assert_int_equal(mega_audio_read(audio, samples + count, room, &got, &err), 0);
        }
        assert_int_equal(count, values.elements);
        mega_audio_normalize(&preprocess, samples, count, samples);
        assert_close_f32(samples, values.f32, count, 1e-6);
        mega_audio_close(audio);
        mega_npy_free(&values);
        free(samples);
    }
}

static void test_images_of_the_original(void **state)
{
    static const struct {
        const char *name;
        int first, last, channels, size;
        float mean[3], std[3];
    } cases[] = {
        {"lra_cifar10", 0, 1, 1, 32, {0.48f}, {0.24f}},
        {"lra_cifar10_chunk", 0, 1, 1, 32, {0.48f}, {0.24f}},
        {"lra_pf128", 0, 0, 1, 128, {0.5f}, {0.5f}},
        {"image_small_conv", 1, 1, 3, 64, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}},
        {"image_small_linear", 1, 1, 3, 64, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}},
    };
    (void)state;
    if (!fixtures())
        skip();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaImagePreprocess preprocess = {
            .channels = cases[i].channels, .width = cases[i].size, .height = cases[i].size};
        memcpy(preprocess.mean, cases[i].mean, sizeof cases[i].mean);
        memcpy(preprocess.std, cases[i].std, sizeof cases[i].std);
        for (int input = cases[i].first; input <= cases[i].last; input++) {
            char path[512];
            MegaNpy values = read_values(cases[i].name, input);
            MegaImage image = {0};
            MegaError err = {0};
            snprintf(path, sizeof path, "%s/%s/in.%d.png", fixtures(), cases[i].name, input);
            if (mega_image_open(&image, path, NULL, &err) ||
                mega_image_fit(&preprocess, &image, path, &err))
                fail_msg("%s", err.text);
            const size_t count = (size_t)(cases[i].channels * cases[i].size * cases[i].size);
            assert_int_equal(values.elements, count);
            float *out = malloc(count * sizeof *out);
            assert_non_null(out);
            mega_image_normalize(&preprocess, image.pixels, out);
            assert_close_f32(out, values.f32, count, 1e-6);
            mega_image_free(&image);
            mega_npy_free(&values);
            free(out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_audio_metadata),
        cmocka_unit_test(test_image_metadata),
        cmocka_unit_test(test_text_metadata),
        cmocka_unit_test(test_wrong_values_are_refused),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_centre_crop),
        cmocka_unit_test(test_thin_images_are_refused),
        cmocka_unit_test(test_pixels_become_planar),
        cmocka_unit_test(test_recordings_of_the_original),
        cmocka_unit_test(test_images_of_the_original),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
