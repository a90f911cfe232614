/*
 * fuzz_config.c - arguments of the original as JSON, as mega-convert takes them: what architecture
 * and metadata they give with the tensors of a small checkpoint, and what a model makes of that.
 * Runs from the top of the source tree.
 */
#include <jansson.h>
#include <math.h>

#include "fuzz.h"
#include "metadata.h"

#define CHECKPOINT "tests/fixtures/unit_statedict/model_state.pt"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static MegaCheckpoint *checkpoint;
    MegaError err = {0};
    if (!checkpoint && mega_checkpoint_open(&checkpoint, CHECKPOINT, &err))
        __builtin_trap();
    json_t *whole = json_loadb((const char *)data, size, 0, NULL);
    const json_t *inner = json_object_get(whole, "args");
    const json_t *args = json_is_object(inner) ? inner : json_is_object(whole) ? whole : NULL;
    Architecture architecture;
    MetadataOptions options = {.input_path = CHECKPOINT, .audio_rate = -1, .audio_length = -1,
                               .audio_mean = NAN, .audio_std = NAN, .text_unit = -1,
                               .dict = "tests/fixtures/unit_statedict/dict.txt", .quiet = true};
    MegaMeta *meta = NULL;
    int code = architecture_detect(&architecture, checkpoint, args, -1, &err);
    fuzz_check_error(code, err.text);
    if (!code) {
        code = build_metadata(&meta, &options, &architecture, checkpoint, args, &err);
        fuzz_check_error(code, err.text);
    }
    mega_meta_free(meta);
    json_decref(whole);
    return 0;
}
