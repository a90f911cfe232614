/*
 * fuzz_image.c - pictures: decoded, converted and resized as a model would have them.
 */
#include "fuzz.h"
#include "image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MegaError err = {0};
    MegaImage image = {0};
    int code = mega_image_decode(&image, data, size, "fuzz.png", &err);
    fuzz_check_error(code, err.text);
    if (!code)
        code = mega_image_convert(&image, image.channels == 1 ? 3 : 1, &err);
    if (!code)
        code = mega_image_resize(&image, 32, 32, &err);
    if (!code)
        code = mega_image_crop(&image, 2, 2, 28, 28, &err);
    fuzz_check_error(code, err.text);
    mega_image_free(&image);
    return 0;
}
