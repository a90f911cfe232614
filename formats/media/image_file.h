/*
 * image_file.h - declares what the decoders of pictures share. Only image*.c include it.
 *
 * A decoder reads the header, asks mega_image_check_size whether so many pixels are acceptable and
 * whether the memory that it needs is within the limit, and allocates only then.
 */
#ifndef MEGA_IMAGE_FILE_H
#define MEGA_IMAGE_FILE_H

#include "formats/media/image.h"

typedef struct MegaImageFile {
    const uint8_t *bytes;
    size_t size;
    const char *name;
    uint64_t max_memory; /* 0 means no limit */
    /* the orientation (1 to 8) that either declares, or 0; set by the decoder */
    int exif, xmp;
    size_t inflated; /* bytes of compressed texts that were inflated so far */
} MegaImageFile;

/* Decoders remove transparency but do not apply the orientation. */
int mega_image_decode_png(MegaImage *out, MegaImageFile *file, MegaError *err);
int mega_image_decode_jpeg(MegaImage *out, MegaImageFile *file, MegaError *err);
int mega_image_decode_bmp(MegaImage *out, MegaImageFile *file, MegaError *err);

/* Checks the size. `memory` is the most bytes that decoding holds at once besides the file. */
int mega_image_check_size(const MegaImageFile *file, int64_t width, int64_t height, uint64_t memory,
                          MegaError *err);
/* Returns the error of a file that is cut; `missing` says what is not there ("the end chunk is
 * missing"). */
int mega_image_truncated(const MegaImageFile *file, const char *kind, const char *missing,
                         MegaError *err);
/* Blends pixels of 2 or 4 samples, the last of which is the opacity, with white. The 1 or 3 samples
 * of each that remain are stored in place. */
void mega_image_lay_on_white(uint8_t *pixels, size_t count, int channels);

/* Take the orientation from Exif data (which is a small TIFF file) or from an XMP packet. The XMP
 * packet counts only if no Exif data tell an orientation. Damaged data are ignored. */
void mega_image_note_exif(MegaImageFile *file, const uint8_t *tiff, size_t size);
void mega_image_note_xmp(MegaImageFile *file, const uint8_t *packet, size_t size);
/* Takes the orientation from a chunk of a PNG file, which may be of any type. */
void mega_image_note_png(MegaImageFile *file, const char type[4], const uint8_t *data,
                         size_t size);

#endif
