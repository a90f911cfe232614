/*
 * fuzz_checkpoint.c - fuzzes checkpoints: torch zip, legacy torch and safetensors, recognised by
 * content. It verifies the checksum of every tensor and reads its elements.
 */
#include <stdlib.h>

#include "formats/base/sniff.h"
#include "formats/checkpoint/checkpoint.h"
#include "tests/fuzz/fuzz.h"

#define MAX_ELEMENTS (1u << 18)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MegaError err = {0};
    MegaCheckpoint *checkpoint = NULL;
    const char *path = fuzz_path(data, size);
    if (!path)
        return 0;
    mega_sniff(data, size);
    int code = mega_checkpoint_open(&checkpoint, path, &(MegaCheckpointOptions){0}, &err);
    fuzz_check_error(code, err.text);
    for (size_t i = 0; !code && i < mega_checkpoint_count(checkpoint) && i < 1000; i++) {
        const MegaCheckpointTensor *tensor = mega_checkpoint_tensor(checkpoint, i);
        fuzz_check_error(mega_checkpoint_verify(checkpoint, tensor, &err), err.text);
        if (tensor->readable && tensor->elements <= MAX_ELEMENTS) {
            float *values = malloc((tensor->elements + 1) * sizeof *values);
            if (values)
                mega_checkpoint_read_f32(tensor, values);
            free(values);
        }
        if (!mega_checkpoint_find(checkpoint, tensor->name))
            __builtin_trap();
    }
    mega_checkpoint_close(checkpoint);
    return 0;
}
