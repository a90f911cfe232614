/*
 * input_image.c - makes a picture what a model takes; see input_reader.h.
 */
#include <stdlib.h>
#include <string.h>

#include "src/pipeline/input_reader.h"

/* Copies pixels, because preparing them replaces them. */
static int copy_pixels(const MegaInputReader *reader, const MegaRaw *raw, MegaImage *out,
                       MegaError *err)
{
    const char *name = mega_raw_name(raw);
    const uint64_t pixels = (uint64_t)raw->width * (uint64_t)raw->height;
    const uint64_t limit = reader->left;
    if (raw->channels != 1 && raw->channels != 3)
        return mega_fail(err, MEGA_ERR_INPUT, "%s has %d channels; expected 1 (gray) or 3 (RGB)",
                         name, raw->channels);
    if (raw->width < 1 || raw->height < 1 || raw->width > MEGA_IMAGE_MAX_SIDE ||
        raw->height > MEGA_IMAGE_MAX_SIDE || pixels > MEGA_IMAGE_MAX_PIXELS)
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "%s has %d x %d pixels; the limits are 1 to %u pixels and a side of %d",
                         name, raw->width, raw->height, MEGA_IMAGE_MAX_PIXELS, MEGA_IMAGE_MAX_SIDE);
    const size_t size = (size_t)pixels * (size_t)raw->channels;
    if (raw->size != size)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "%s has %zu bytes, but %d x %d pixels of %d channels have %zu", name,
                         raw->size, raw->width, raw->height, raw->channels, size);
    if (size > limit)
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "%s has %d x %d pixels; preparing it takes %.1f MB of memory, and the "
                         "limit is %.1f MB",
                         name, raw->width, raw->height, (double)size / 1e6, (double)limit / 1e6);
    *out = (MegaImage){.width = raw->width,
                       .height = raw->height,
                       .channels = raw->channels,
                       .pixels = malloc(size),
                       .max_memory = reader->image_options.max_memory};
    if (!out->pixels)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the pixels of %s", name);
    memcpy(out->pixels, raw->data, size);
    return 0;
}

int mega_input_next_image(MegaInputReader *reader, MegaPrepared *out, MegaError *err)
{
    const MegaImagePreprocess *preprocess = &reader->image;
    const MegaRaw *raw = &reader->raw[0];
    MegaImage image = {0};
    int code = raw->kind == MEGA_RAW_PATH
                   ? reader->media->open_picture(&image, raw->data, &reader->image_options, err)
                   : copy_pixels(reader, raw, &image, err);
    if (!code)
        code = mega_image_fit(preprocess, &image, mega_input_name(reader), err);
    const size_t length =
        (size_t)preprocess->channels * (size_t)preprocess->width * (size_t)preprocess->height;
    if (!code && !(out->values = malloc(length * sizeof *out->values)))
        code =
            mega_fail(err, MEGA_ERR_MEMORY, "no memory for the pixels of %s",
                      mega_input_name(reader));
    if (!code) {
        mega_image_normalize(preprocess, image.pixels, out->values);
        out->views[0] = (MegaInput){
            .kind = mega_model_input_kind(reader->model),
            .values = out->values,
            .length = length,
            .channels = preprocess->channels,
            .height = preprocess->height,
            .width = preprocess->width,
        };
        out->count = 1;
    }
    mega_image_free(&image);
    return code ? code : 1;
}
