/*
 * image.h - reads pictures as 8-bit pixels, gray or RGB, and prepares them for a model.
 *
 * PNG is decoded with stb_image, JPEG with libjpeg and BMP by own code. The pixels are those that
 * Pillow gives: 16-bit samples are reduced to their upper 8 bits, palettes are expanded, CMYK and
 * YCCK become RGB. Two things are done as a viewer does them: transparent pixels are blended with
 * white, and a picture is turned upright as its Exif data say, unless the options forbid that.
 * Files that end too early are errors; so are PNG chunks whose checksum does not fit, and damaged
 * JPEG data. Bytes after the picture in its file are ignored.
 */
#ifndef MEGA_IMAGE_H
#define MEGA_IMAGE_H

#include "src/mega.h"

#define MEGA_IMAGE_MAX_PIXELS 100000000u
#define MEGA_IMAGE_MAX_SIDE 65536
#define MEGA_IMAGE_MAX_FILE (1u << 29) /* bytes */

/* Reads a picture. path may be "-", and options may be NULL for the defaults. The picture has the
 * channels of the file; mega_image_convert makes those of a model. A picture that would take more
 * than max_memory is refused with MEGA_ERR_LIMIT before it is decoded. */
int mega_image_open(MegaImage *out, const char *path, const MegaImageOptions *options,
                    MegaError *err);
/* Reads a picture from memory; messages begin with `name`. */
int mega_image_decode(MegaImage *out, const uint8_t *bytes, size_t size, const char *name,
                      const MegaImageOptions *options, MegaError *err);
void mega_image_free(MegaImage *image);

/* The operations below replace the pixels of the image and change its sizes accordingly. */

/* Changes the number of channels. 1 is Pillow's "L", (19595 R + 38470 G + 7471 B + 32768) >> 16; 3
 * repeats gray three times. */
int mega_image_convert(MegaImage *image, int channels, MegaError *err);
/* Resizes with a bicubic (Catmull-Rom) filter, antialiased when shrinking. Each sample differs from
 * Pillow's by one at most. After an error the width may have changed already. */
int mega_image_resize(MegaImage *image, int width, int height, MegaError *err);
/* Cuts out width x height pixels with the top left corner at x, y, all inside the image. */
int mega_image_crop(MegaImage *image, int x, int y, int width, int height, MegaError *err);
/* Turns and mirrors the pixels by a value of Exif's tag Orientation: 1 leaves them, 3 turns by 180
 * degrees, 6 and 8 by 90 to the right and to the left, 2, 4, 5 and 7 mirror as well. */
int mega_image_orient(MegaImage *image, int orientation, MegaError *err);

#endif
