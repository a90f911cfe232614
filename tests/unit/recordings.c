/*
 * recordings.c - see recordings.h.
 */
#include "tests/unit/recordings.h"

#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_SAMPLES 400000

char test_path[128];
static char folder[64];

int make_test_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/mega-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(test_path, sizeof test_path, "%s/recording", folder);
    return 0;
}

int remove_test_folder(void **state)
{
    (void)state;
    unlink(test_path);
    return rmdir(folder);
}

/* libsndfile leaks its decoder of a damaged Ogg header. Our own leaks still show. */
MEGA_API const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:vorbis_info_init";
}

void write_file(const void *data, size_t size)
{
    FILE *file = fopen(test_path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

MegaBuffer read_file(void)
{
    MegaBuffer out = {0};
    uint8_t block[4096];
    FILE *file = fopen(test_path, "rb");
    assert_non_null(file);
    for (size_t got; (got = fread(block, 1, sizeof block, file)) > 0;)
        mega_put_bytes(&out, block, got);
    fclose(file);
    assert_false(out.failed);
    return out;
}

static SNDFILE *open_encoder(int format, int rate, int channels)
{
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = format};
    SNDFILE *file = sf_open(test_path, SFM_WRITE, &info);
    if (!file)
        fail_msg("%s", sf_strerror(NULL));
    return file;
}

void encode(int format, int rate, int channels, const float *samples, size_t frames)
{
    SNDFILE *file = open_encoder(format, rate, channels);
    assert_int_equal(sf_writef_float(file, samples, (sf_count_t)frames), frames);
    sf_close(file);
}

void encode_exact(int format, int rate, int channels, const int16_t *samples, size_t frames)
{
    SNDFILE *file = open_encoder(format, rate, channels);
    sf_command(file, SFC_SET_SCALE_INT_FLOAT_WRITE, NULL, SF_TRUE); /* scales by 1 / 32768 */
    assert_int_equal(sf_writef_short(file, samples, (sf_count_t)frames), frames);
    sf_close(file);
}

int read_all(const char *name, const MegaAudioOptions *options, size_t step, float **out,
             size_t *count, MegaError *err)
{
    MegaAudio *audio = NULL;
    *count = 0;
    *out = NULL;
    int code = mega_audio_open(&audio, name, options, err);
    if (code) {
        assert_null(audio);
        return code;
    }
    *out = malloc(MAX_SAMPLES * sizeof **out);
    assert_non_null(*out);
    for (size_t got = 1; got && !code; *count += got) {
        got = 0;
        assert_true(*count + step <= MAX_SAMPLES);
        code = mega_audio_read(audio, *out + *count, step, &got, err);
        assert_true(got <= step);
    }
    mega_audio_close(audio);
    return code;
}

float *read_good(const char *name, const MegaPcm *pcm, int rate, size_t step, size_t *count)
{
    MegaError err = {0};
    float *samples = NULL;
    if (read_all(name, &(MegaAudioOptions){.rate = rate, .pcm = pcm}, step, &samples, count, &err))
        fail_msg("%s", err.text);
    return samples;
}

void assert_refused(const MegaPcm *pcm, int rate, int code, const char *text)
{
    MegaError err = {0};
    float *samples = NULL;
    size_t count = 0;
    assert_int_equal(read_all(test_path, &(MegaAudioOptions){.rate = rate, .pcm = pcm}, 1000,
                              &samples, &count, &err),
                     code);
    free(samples);
    if (!strstr(err.text, test_path) || !strstr(err.text, text))
        fail_msg("\"%s\" does not name the file and \"%s\"", err.text, text);
}
