/*
 * fuzz_folder.c - fuzzes model folders of the Hugging Face hub. The first byte says which file is
 * hostile: C config.json, I model.safetensors.index.json. The folder also has two small files of
 * weights, which the index may name: a.safetensors and b.safetensors.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/bytes.h"
#include "src/model/layer_kind.h"
#include "tests/fuzz/fuzz.h"
#include "tools/convert/architecture.h"

static char folder[] = "/tmp/mega-fuzz-XXXXXX";

static void write_file(const char *name, const void *data, size_t size)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0 && write(fd, data, size) != (ssize_t)size)
        abort();
    if (fd >= 0)
        close(fd);
}

static void remove_file(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

static void remove_folder(void)
{
    static const char *const names[] = {"config.json", "model.safetensors.index.json",
                                        "model.safetensors", "a.safetensors", "b.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        remove_file(names[i]);
    rmdir(folder);
}

/* Writes a file with one tensor [2, 1, 1]. */
static void write_tensor(const char *name, const char *tensor)
{
    char header[256];
    MegaBuffer file = {0};
    const int length =
        snprintf(header, sizeof header,
                 "{\"%s\":{\"dtype\":\"F32\",\"shape\":[2,1,1],\"data_offsets\":[0,8]"
                 "}}",
                 tensor);
    mega_put_u64(&file, (uint64_t)length);
    mega_put_bytes(&file, header, (size_t)length);
    mega_put_u64(&file, 0);
    if (!file.failed)
        write_file(name, file.data, file.size);
    mega_buffer_free(&file);
}

static void make_folder(void)
{
    static bool made;
    if (made)
        return;
    made = true;
    if (!mkdtemp(folder))
        abort();
    atexit(remove_folder);
    write_tensor("a.safetensors", "mega.layers.0.mega_layer.ema_gate.damping_factor");
    write_tensor("b.safetensors", "mlm_head.bias");
}

static int refuse(void *context, const MegaTensorSpec *spec, MegaError *err)
{
    (void)context;
    (void)err;
    if (spec->elements == 0)
        __builtin_trap();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char config[] = "{\"model_type\":\"mega\"}";
    MegaError err = {0};
    MegaCheckpoint *checkpoint = NULL;
    Architecture architecture = {0};
    if (size == 0 || (data[0] != 'C' && data[0] != 'I'))
        return 0;
    make_folder();
    const bool is_config = data[0] == 'C';
    write_file("config.json", is_config ? (const void *)(data + 1) : config,
               is_config ? size - 1 : sizeof config - 1);
    if (is_config) {
        remove_file("model.safetensors.index.json");
        write_tensor("model.safetensors", "mega.layers.0.mega_layer.ema_gate.damping_factor");
    } else {
        remove_file("model.safetensors");
        write_file("model.safetensors.index.json", data + 1, size - 1);
    }
    int code = mega_checkpoint_open(&checkpoint, folder, &(MegaCheckpointOptions){0}, &err);
    fuzz_check_error(code, err.text);
    if (!code) {
        code = architecture_detect(&architecture, checkpoint, mega_checkpoint_args(checkpoint), -1,
                                   MEGA_WEIGHTS_ANY, &err);
        fuzz_check_error(code, err.text);
        if (!code)
            mega_tensors_each(&architecture.config, NULL, refuse, NULL, &err);
        architecture_free(&architecture);
    }
    mega_checkpoint_close(checkpoint);
    return 0;
}
