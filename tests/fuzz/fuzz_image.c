/*
 * fuzz_image.c - fuzzes pictures: they are decoded, converted and resized as for a model.
 *
 * The checksums of a PNG file are corrected first, so that mutations get past them. The decoders
 * must keep to their memory limit: libFuzzer is told to stop at a larger allocation.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "formats/base/bytes.h"
#include "formats/media/image.h"
#include "tests/fuzz/fuzz.h"

static void mend_checksums(uint8_t *bytes, size_t size)
{
    MegaReader reader = mega_reader(bytes, size);
    mega_get_bytes(&reader, 8);
    while (mega_reader_left(&reader)) {
        const uint8_t *head = mega_get_bytes(&reader, 8);
        const uint32_t length = head ? __builtin_bswap32(mega_load_u32(head)) : 0;
        mega_get_bytes(&reader, length);
        const size_t sum = reader.position;
        if (mega_get_bytes(&reader, 4))
            mega_store_u32(bytes + sum,
                           __builtin_bswap32((uint32_t)crc32(0, head + 4, length + 4)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MegaError err = {0};
    MegaImage image = {0};
    MegaImageOptions options = {.max_memory = 8u << 20,
                                .keep_orientation = size && data[size - 1] & 1};
    uint8_t *bytes = malloc(size ? size : 1);
    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    if (size > 8 && memcmp(bytes, "\x89PNG", 4) == 0)
        mend_checksums(bytes, size);
    int code = mega_image_decode(&image, bytes, size, "fuzz.png", &options, &err);
    fuzz_check_error(code, err.text);
    if (!code)
        code = mega_image_convert(&image, image.channels == 1 ? 3 : 1, &err);
    if (!code)
        code = mega_image_resize(&image, 32, 32, &err);
    if (!code)
        code = mega_image_crop(&image, 2, 2, 28, 28, &err);
    fuzz_check_error(code, err.text);
    mega_image_free(&image);
    free(bytes);
    return 0;
}
