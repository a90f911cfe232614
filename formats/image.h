/*
 * image.h - pictures as 8-bit pixels, gray or RGB, and the few operations that preparing them
 * takes.
 *
 * Decodes PNG, JPEG and BMP with stb_image; its other decoders are not compiled in. 16-bit files
 * are reduced to 8 bits, palettes expanded, alpha is dropped without blending (as Pillow's
 * convert("RGB") does). Truncated files are errors, and so are PNG chunks whose checksum does not
 * fit.
 */
#ifndef MEGA_IMAGE_H
#define MEGA_IMAGE_H

#include "mega.h"

#define MEGA_IMAGE_MAX_PIXELS 100000000u
#define MEGA_IMAGE_MAX_SIDE 65536
#define MEGA_IMAGE_MAX_FILE (1u << 29) /* bytes */

typedef struct MegaImage {
    int width, height;
    int channels;    /* 1 gray, 3 RGB */
    uint8_t *pixels; /* [height][width][channels]; mega_image_free */
} MegaImage;

/* path may be "-". Channels are those of the file; mega_image_convert gives those of a model. */
int mega_image_open(MegaImage *out, const char *path, MegaError *err);
/* name serves the messages. */
int mega_image_decode(MegaImage *out, const uint8_t *bytes, size_t size, const char *name,
                      MegaError *err);
void mega_image_free(MegaImage *image);

/* The operations below replace the pixels. */

/* channels 1: (19595 R + 38470 G + 7471 B + 32768) >> 16, Pillow's "L"; 3: gray three times. */
int mega_image_convert(MegaImage *image, int channels, MegaError *err);
/* Bicubic (Catmull-Rom), antialiased when shrinking: what Pillow computes, to one level at most.
 * After an error the width may have changed already. */
int mega_image_resize(MegaImage *image, int width, int height, MegaError *err);
/* Cuts out width x height pixels with the top left corner at x, y, all inside the image. */
int mega_image_crop(MegaImage *image, int x, int y, int width, int height, MegaError *err);

#endif
