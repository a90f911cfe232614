/*
 * image.h - pictures as 8-bit pixels, gray or RGB, and the few operations that preparing them
 * takes.
 *
 * Decodes PNG with stb_image, JPEG with libjpeg and BMP itself. The pixels are those that Pillow
 * reads: 16-bit samples are reduced to their upper 8 bits, palettes are expanded, CMYK and YCCK
 * become RGB. In two things a viewer is followed instead: what is transparent lies on white, and
 * a picture is turned upright as its Exif data say, unless the options refuse that. Files that end
 * too early are errors; so are PNG chunks whose checksum does not fit, and damaged JPEG data.
 * Whatever lies behind the picture in its file is not looked at.
 */
#ifndef MEGA_IMAGE_H
#define MEGA_IMAGE_H

#include "src/mega.h"

#define MEGA_IMAGE_MAX_PIXELS 100000000u
#define MEGA_IMAGE_MAX_SIDE 65536
#define MEGA_IMAGE_MAX_FILE (1u << 29) /* bytes */

/* path may be "-", options NULL for the defaults. Channels are those of the file;
 * mega_image_convert gives those of a model. A picture that would take more than max_memory is
 * MEGA_ERR_LIMIT before it is decoded. */
int mega_image_open(MegaImage *out, const char *path, const MegaImageOptions *options,
                    MegaError *err);
/* name serves the messages. */
int mega_image_decode(MegaImage *out, const uint8_t *bytes, size_t size, const char *name,
                      const MegaImageOptions *options, MegaError *err);
void mega_image_free(MegaImage *image);

/* The operations below replace the pixels. */

/* channels 1: (19595 R + 38470 G + 7471 B + 32768) >> 16, Pillow's "L"; 3: gray three times. */
int mega_image_convert(MegaImage *image, int channels, MegaError *err);
/* Bicubic (Catmull-Rom), antialiased when shrinking: what Pillow computes, to one level at most.
 * After an error the width may have changed already. */
int mega_image_resize(MegaImage *image, int width, int height, MegaError *err);
/* Cuts out width x height pixels with the top left corner at x, y, all inside the image. */
int mega_image_crop(MegaImage *image, int x, int y, int width, int height, MegaError *err);
/* Turns and mirrors the pixels by a value of Exif's tag Orientation: 1 leaves them, 3 turns by 180
 * degrees, 6 and 8 by 90 to the right and to the left, 2, 4, 5 and 7 mirror as well. */
int mega_image_orient(MegaImage *image, int orientation, MegaError *err);

#endif
