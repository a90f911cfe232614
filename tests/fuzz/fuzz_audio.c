/*
 * fuzz_audio.c - fuzzes recordings: libsndfile reads the header, then samples are resampled. The
 * first byte chooses between files with a header and headerless PCM.
 */
#include <math.h>

#include "formats/media/audio.h"
#include "tests/fuzz/fuzz.h"

#define MAX_SAMPLES (1u << 18)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MegaError err = {0};
    MegaAudio *audio = NULL;
    MegaPcm pcm = {.format = MEGA_PCM_S24LE, .rate = 11025, .channels = 2};
    float samples[4096];
    size_t count, total = 0;
    bool raw = size > 0 && data[0] == 0;
    const char *path = fuzz_path(data, size);
    if (!path)
        return 0;
    const MegaAudioOptions options = {
        .rate = 16000, .pcm = raw ? &pcm : NULL, .partial = size % 2 == 0};
    int code = mega_audio_open(&audio, path, &options, &err);
    while (!code && total < MAX_SAMPLES) {
        code = mega_audio_read(audio, samples, sizeof samples / sizeof samples[0], &count, &err);
        if (code || count == 0)
            break;
        for (size_t i = 0; i < count; i++)
            if (!isfinite(samples[i]))
                __builtin_trap();
        total += count;
    }
    fuzz_check_error(code, err.text);
    mega_audio_close(audio);
    return 0;
}
