/*
 * test_audio.c - reads recordings as mono samples at a model's rate (formats/media/audio.h): exact
 * samples, mixing, resampling, pipes, headerless PCM, and files that are truncated or have false
 * headers.
 */
#include "tests/unit/recordings.h"

#include <fcntl.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/media/pcm.h"

/* ---- Exact samples -------------------------------------------------------------------------- */

/* At the same rate, every sample must be the one in the file, in every container. */
static void test_same_rate_is_exact(void **state)
{
    static const int formats[] = {
        SF_FORMAT_WAV | SF_FORMAT_PCM_16,  SF_FORMAT_AIFF | SF_FORMAT_PCM_16,
        SF_FORMAT_FLAC | SF_FORMAT_PCM_16, SF_FORMAT_AU | SF_FORMAT_PCM_16,
        SF_FORMAT_WAV | SF_FORMAT_FLOAT,   SF_FORMAT_WAV | SF_FORMAT_PCM_24,
        SF_FORMAT_CAF | SF_FORMAT_PCM_16,  SF_FORMAT_W64 | SF_FORMAT_PCM_16};
    enum { N = 9001 }; /* more than two blocks, and odd */
    static int16_t samples[N];
    static float expected[N];
    (void)state;
    for (int i = 0; i < N; i++) {
        samples[i] = (int16_t)((i * 7919) % 65536 - 32768);
        expected[i] = (float)samples[i] / 32768.0f;
    }
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        encode_exact(formats[f], 16000, 1, samples, N);
        for (size_t step = 1; step <= 10000; step = step * 100) {
            size_t count = 0;
            float *got = read_good(test_path, NULL, 16000, step, &count);
            assert_int_equal(count, N);
            assert_memory_equal(got, expected, sizeof expected);
            free(got);
        }
    }
}

static void test_8_bit_and_one_sample(void **state)
{
    const int16_t samples[] = {-128 * 256, -64 * 256, 0, 127 * 256};
    const float expected[] = {-1.0f, -0.5f, 0.0f, 127.0f / 128.0f};
    size_t count = 0;
    (void)state;
    encode_exact(SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 11025, 1, samples, 4);
    float *got = read_good(test_path, NULL, 11025, 100, &count);
    assert_int_equal(count, 4);
    assert_memory_equal(got, expected, sizeof expected);
    free(got);
    encode_exact(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 48000, 1, samples + 1, 1);
    got = read_good(test_path, NULL, 48000, 100, &count);
    assert_int_equal(count, 1);
    assert_true(got[0] == -0.5f);
    free(got);
    got = read_good(test_path, NULL, 8000, 100, &count); /* a sixth of a sample gives one sample */
    assert_int_equal(count, 1);
    free(got);
}

static void test_channels_are_averaged(void **state)
{
    const float samples[] = {0.5f, -0.25f, 0.25f, 1.0f / 32768, 2.0f / 32768, 3.0f / 32768};
    size_t count = 0;
    (void)state;
    encode(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 3, samples, 2);
    float *got = read_good(test_path, NULL, 16000, 100, &count);
    assert_int_equal(count, 2);
    assert_true(fabsf(got[0] - 0.5f / 3) < 1e-7f && fabsf(got[1] - 2.0f / 32768) < 1e-9f);
    free(got);
}

/* ---- Resampling ----------------------------------------------------------------------------- */

/* A tone below half of either rate keeps its amplitude and phase and has round(n * b / a) samples,
 * except near the ends, where the filter sees the surrounding silence. */
static void test_resampling(void **state)
{
    static const struct {
        int from, to, channels;
        size_t frames;
    } cases[] = {{44100, 16000, 2, 44100}, {44100, 16000, 2, 10007}, {48000, 16000, 1, 48000},
                 {8000, 16000, 1, 8001},   {11025, 16000, 1, 5555},  {22050, 16000, 6, 22049},
                 {96000, 16000, 1, 30001}, {16001, 16000, 1, 9999}};
    enum { EDGE = 400 };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const double turn = 2 * M_PI * 440;
        const size_t frames = cases[i].frames, channels = (size_t)cases[i].channels;
        float *samples = malloc(frames * channels * sizeof *samples);
        assert_non_null(samples);
        for (size_t t = 0; t < frames * channels; t++)
            samples[t] = (float)(0.5 * sin(turn * (double)(t / channels) / cases[i].from));
        encode(SF_FORMAT_WAV | SF_FORMAT_FLOAT, cases[i].from, cases[i].channels, samples, frames);
        free(samples);
        for (size_t step = 37; step < 8000; step *= 200) {
            size_t count = 0;
            float *got = read_good(test_path, NULL, cases[i].to, step, &count);
            const double exact = (double)frames * cases[i].to / cases[i].from;
            assert_int_equal(count, (size_t)floor(exact + 0.5));
            for (size_t t = EDGE; t + EDGE < count; t++) {
                const double expected = 0.5 * sin(turn * (double)t / cases[i].to);
                if (!(fabs(got[t] - expected) < 2e-4))
                    fail_msg("%d to %d Hz: sample %zu is %g, expected %g", cases[i].from,
                             cases[i].to, t, (double)got[t], expected);
            }
            free(got);
        }
    }
}

static void test_rates_too_far_apart(void **state)
{
    const float samples[10] = {0};
    (void)state;
    encode(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 200, 1, samples, 10);
    assert_refused(NULL, 60000, MEGA_ERR_UNSUPPORTED, "cannot be converted");
}

/* ---- Pipes and headerless PCM --------------------------------------------------------------- */

/* Runs with the file at path piped into standard input; the output of cat's child fits no pipe. */
static float *read_stdin(const MegaPcm *pcm, int rate, size_t *count)
{
    char command[256];
    const int saved = dup(STDIN_FILENO);
    snprintf(command, sizeof command, "cat %s", test_path);
    FILE *pipe = popen(command, "r");
    assert_true(saved >= 0 && pipe != NULL);
    assert_true(dup2(fileno(pipe), STDIN_FILENO) >= 0);
    float *got = read_good("-", pcm, rate, 5000, count);
    dup2(saved, STDIN_FILENO);
    close(saved);
    assert_int_equal(pclose(pipe), 0);
    return got;
}

static void test_pipe_is_as_good_as_a_file(void **state)
{
    static const int formats[] = {SF_FORMAT_WAV | SF_FORMAT_PCM_16,
                                  SF_FORMAT_FLAC | SF_FORMAT_PCM_16,
                                  SF_FORMAT_OGG | SF_FORMAT_VORBIS};
    static float samples[50000];
    (void)state;
    for (size_t i = 0; i < 50000; i++)
        samples[i] = 0.3f * sinf((float)i * 0.05f);
    for (size_t f = 0; f < 3; f++) {
        size_t count = 0, expected_count = 0;
        encode(formats[f], 22050, 1, samples, 50000);
        float *expected = read_good(test_path, NULL, 16000, 5000, &expected_count);
        float *got = read_stdin(NULL, 16000, &count);
        assert_int_equal(count, expected_count);
        assert_memory_equal(got, expected, count * sizeof *got);
        free(got);
        free(expected);
    }
}

static void test_pcm_formats(void **state)
{
    static const struct {
        const char *format;
        uint8_t bytes[8];
        size_t size;
        float expected;
    } cases[] = {
        {"u8:16000:1", {0x00}, 1, -1.0f},
        {"u8:16000:2", {0xc0, 0x80}, 2, 0.25f},
        {"s16le:16000:1", {0x00, 0x80}, 2, -1.0f},
        {"s16le:16000:1", {0x01, 0x00}, 2, 1.0f / 32768},
        {"s16be:16000:1", {0x80, 0x00}, 2, -1.0f},
        {"s16be:16000:1", {0x40, 0x00}, 2, 0.5f},
        {"s24le:16000:1", {0x00, 0x00, 0x80}, 3, -1.0f},
        {"s24le:16000:1", {0x01, 0x00, 0x00}, 3, 1.0f / 8388608},
        {"s32le:16000:1", {0x00, 0x00, 0x00, 0x80}, 4, -1.0f},
        {"s32le:16000:1", {0x00, 0x00, 0x00, 0x40}, 4, 0.5f},
        {"f32le:16000:1", {0x00, 0x00, 0x80, 0xbe}, 4, -0.25f},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaPcm pcm;
        size_t count = 0;
        assert_int_equal(mega_pcm_parse(&pcm, cases[i].format, NULL), 0);
        write_file(cases[i].bytes, cases[i].size);
        float *got = read_good(test_path, &pcm, 16000, 10, &count);
        assert_int_equal(count, 1);
        if (got[0] != cases[i].expected)
            fail_msg("%s is %g, expected %g", cases[i].format, (double)got[0],
                     (double)cases[i].expected);
        free(got);
    }
}

static void test_pcm_description(void **state)
{
    static const char *const wrong[] = {"",
                                        "s16le",
                                        "s16le:16000",
                                        "s16le:16000:",
                                        "s16le:0:1",
                                        "s16le:16000:0",
                                        "s16le:16000:65",
                                        "s16le:16000:1x",
                                        "s16:16000:1",
                                        "s16lex:16000:1",
                                        "s16le:-16000:1",
                                        "u8:2000000:1"};
    MegaPcm pcm;
    (void)state;
    assert_int_equal(mega_pcm_parse(&pcm, "s24le:44100:2", NULL), 0);
    assert_int_equal(pcm.format, MEGA_PCM_S24LE);
    assert_int_equal(pcm.rate, 44100);
    assert_int_equal(pcm.channels, 2);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (!mega_pcm_parse(&pcm, wrong[i], NULL))
            fail_msg("\"%s\" was accepted", wrong[i]);
}

/* Samples of a pipe are given before its writer is done. */
static void test_pcm_is_not_held_back(void **state)
{
    const MegaPcm pcm = {.format = MEGA_PCM_S16LE, .rate = 16000, .channels = 1};
    const uint8_t bytes[] = {0x00, 0x40, 0x00, 0xc0, 0x11}; /* two samples and a half */
    const int saved = dup(STDIN_FILENO);
    MegaAudio *audio = NULL;
    float samples[10];
    size_t count = 0;
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[0], STDIN_FILENO) >= 0);
    assert_int_equal(write(ends[1], bytes, sizeof bytes), sizeof bytes);
    const MegaAudioOptions options = {.rate = 16000, .pcm = &pcm};
    assert_int_equal(mega_audio_open(&audio, "-", &options, NULL), 0);
    assert_int_equal(mega_audio_read(audio, samples, 10, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_true(samples[0] == 0.5f && samples[1] == -0.5f);
    assert_int_equal(write(ends[1], bytes, 1), 1);
    assert_int_equal(mega_audio_read(audio, samples, 10, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_true(samples[0] == 0x11 / 32768.0f);
    close(ends[1]);
    assert_int_equal(mega_audio_read(audio, samples, 10, &count, NULL), 0);
    assert_int_equal(count, 0);
    mega_audio_close(audio);
    dup2(saved, STDIN_FILENO);
    close(saved);
    close(ends[0]);
}

static void test_not_a_number(void **state)
{
    const MegaPcm pcm = {.format = MEGA_PCM_F32LE, .rate = 16000, .channels = 1};
    const uint8_t bytes[] = {0, 0, 0, 0, 0, 0, 0xc0, 0x7f};
    (void)state;
    write_file(bytes, sizeof bytes);
    assert_refused(&pcm, 16000, MEGA_ERR_FORMAT, "sample 1 is not a finite number");
}

/* ---- Damage --------------------------------------------------------------------------------- */

/* Returns a wav header with these fields, and 8 bytes of samples. */
static MegaBuffer wav_header(uint16_t format, uint16_t channels, uint32_t rate, uint16_t bits,
                             uint32_t data)
{
    MegaBuffer wav = {0};
    const uint16_t align = (uint16_t)(channels * bits / 8);
    mega_put_bytes(&wav, "RIFF", 4);
    mega_put_u32(&wav, 36 + data);
    mega_put_bytes(&wav, "WAVEfmt ", 8);
    mega_put_u32(&wav, 16);
    mega_put_u16(&wav, format);
    mega_put_u16(&wav, channels);
    mega_put_u32(&wav, rate);
    mega_put_u32(&wav, rate * align);
    mega_put_u16(&wav, align);
    mega_put_u16(&wav, bits);
    mega_put_bytes(&wav, "data", 4);
    mega_put_u32(&wav, data);
    mega_put_u64(&wav, 0x0004000300020001u);
    return wav;
}

static void test_headers_that_lie(void **state)
{
    static const struct {
        uint16_t format, channels;
        uint32_t rate;
        uint16_t bits;
        uint32_t data;
        int code;
    } cases[] = {
        {1, 1, 16000, 16, 8, 0},                /* a good header to start from */
        {1, 1, 16000, 16, 10, MEGA_ERR_FORMAT}, /* two bytes too many, which the file's size
                                                   confirms */
        {1, 1, 16000, 16, 1 << 30, MEGA_ERR_FORMAT},
        {1, 0, 16000, 16, 8, MEGA_ERR_FORMAT},
        {1, 65, 16000, 16, 8, MEGA_ERR_FORMAT},
        {1, 65535, 16000, 16, 8, MEGA_ERR_FORMAT},
        {1, 1, 0, 16, 8, MEGA_ERR_FORMAT},
        {1, 1, 0xffffffff, 16, 8, MEGA_ERR_FORMAT},
        {1, 1, 99, 16, 8, MEGA_ERR_FORMAT},
        {0x1234, 1, 16000, 16, 8, MEGA_ERR_FORMAT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaBuffer wav = wav_header(cases[i].format, cases[i].channels, cases[i].rate,
                                    cases[i].bits, cases[i].data);
        float *samples = NULL;
        size_t count = 0;
        MegaError err = {0};
        write_file(wav.data, wav.size);
        const MegaAudioOptions options = {.rate = 16000};
        const int code = read_all(test_path, &options, 100, &samples, &count, &err);
        if (code != cases[i].code)
            fail_msg("case %zu gave %s: %s", i, mega_error_name(code), err.text);
        if (!code) {
            assert_int_equal(count, 4);
            assert_true(samples[0] == 1.0f / 32768);
        }
        free(samples);
        mega_buffer_free(&wav);
    }
}

static void test_wrong_files(void **state)
{
    (void)state;
    write_file("", 0);
    assert_refused(NULL, 16000, MEGA_ERR_INPUT, "is empty");
    write_file("good morning, this is text", 26);
    assert_refused(NULL, 16000, MEGA_ERR_FORMAT, "expected WAV");
    unlink(test_path);
    assert_refused(NULL, 16000, MEGA_ERR_IO, "No such file");
}

/* A file of any format that is truncated anywhere gives an error, or the samples that are there,
 * and never more samples than before. Formats whose header has no length cannot notice. */
static void test_truncated_anywhere(void **state)
{
    static const struct {
        int format;
        int spare; /* bytes that may be missing at the end; -1: truncation is not noticed */
    } cases[] = {
        {SF_FORMAT_WAV | SF_FORMAT_PCM_16, 0},    {SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 0},
        {SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 0},   {SF_FORMAT_AU | SF_FORMAT_PCM_16, 0},
        {SF_FORMAT_OGG | SF_FORMAT_VORBIS, 0},    {SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM, 0},
        {SF_FORMAT_OGG | SF_FORMAT_OPUS, 0},      {SF_FORMAT_CAF | SF_FORMAT_PCM_16, 0},
        {SF_FORMAT_W64 | SF_FORMAT_PCM_16, 0},    {SF_FORMAT_RF64 | SF_FORMAT_PCM_16, 0},
        {SF_FORMAT_NIST | SF_FORMAT_PCM_16, 0},   {SF_FORMAT_VOC | SF_FORMAT_PCM_16, 1},
        {SF_FORMAT_SVX | SF_FORMAT_PCM_16, 0},    {SF_FORMAT_AVR | SF_FORMAT_PCM_16, 0},
        {SF_FORMAT_IRCAM | SF_FORMAT_PCM_16, -1}, {SF_FORMAT_PAF | SF_FORMAT_PCM_16, -1},
    };
    static float tone[400];
    (void)state;
    for (size_t i = 0; i < 400; i++)
        tone[i] = 0.3f * sinf((float)i);
    for (size_t f = 0; f < sizeof cases / sizeof cases[0]; f++) {
        size_t whole = 0;
        encode(cases[f].format, 16000, 1, tone, 400);
        MegaBuffer file = read_file();
        const size_t size = file.size;
        free(read_good(test_path, NULL, 16000, 1000, &whole));
        for (size_t cut = 0; cut < size; cut += cut < 300 || cut + 100 > size ? 1 : 7) {
            float *samples = NULL;
            size_t count = 0;
            write_file(file.data, cut);
            const MegaAudioOptions options = {.rate = 16000};
            const int code = read_all(test_path, &options, 1000, &samples, &count, NULL);
            free(samples);
            assert_true(count <= whole);
            if (cases[f].spare >= 0 && cut + (size_t)cases[f].spare < size && !code)
                fail_msg("format %#x, %zu of %zu bytes: not noticed", (unsigned)cases[f].format,
                         cut, size);
        }
        mega_buffer_free(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_rate_is_exact),
        cmocka_unit_test(test_8_bit_and_one_sample),
        cmocka_unit_test(test_channels_are_averaged),
        cmocka_unit_test(test_resampling),
        cmocka_unit_test(test_rates_too_far_apart),
        cmocka_unit_test(test_pipe_is_as_good_as_a_file),
        cmocka_unit_test(test_pcm_formats),
        cmocka_unit_test(test_pcm_description),
        cmocka_unit_test(test_pcm_is_not_held_back),
        cmocka_unit_test(test_not_a_number),
        cmocka_unit_test(test_headers_that_lie),
        cmocka_unit_test(test_wrong_files),
        cmocka_unit_test(test_truncated_anywhere),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
