/*
 * image_file.h - what the decoders of pictures share; for image*.c only.
 *
 * A decoder reads the header, asks mega_image_check_size whether so many pixels are acceptable and
 * what it is going to allocate for them is within the limit, and only then allocates.
 */
#ifndef MEGA_IMAGE_FILE_H
#define MEGA_IMAGE_FILE_H

#include "formats/media/image.h"

typedef struct MegaImageFile {
    const uint8_t *bytes;
    size_t size;
    const char *name;
    uint64_t max_memory; /* 0: no limit */
    int exif, xmp;       /* out: the orientation by either, 1 to 8; 0 where it is not told */
} MegaImageFile;

/* Transparency is gone, orientation is not applied yet. */
int mega_image_decode_png(MegaImage *out, MegaImageFile *file, MegaError *err);
int mega_image_decode_jpeg(MegaImage *out, MegaImageFile *file, MegaError *err);
int mega_image_decode_bmp(MegaImage *out, MegaImageFile *file, MegaError *err);

/* memory: the most bytes that decoding holds at once beside the file. */
int mega_image_check_size(const MegaImageFile *file, int64_t width, int64_t height, uint64_t memory,
                          MegaError *err);
/* The error of a file that is cut; `missing` says where ("the end chunk is missing"). */
int mega_image_truncated(const MegaImageFile *file, const char *kind, const char *missing,
                         MegaError *err);
/* Pixels of `channels` samples, the last of which is the opacity if there are 2 or 4, become 1 or 3
 * in place: laid on white. */
void mega_image_lay_on_white(uint8_t *pixels, size_t count, int channels);

/* Take the orientation from Exif data (a TIFF file in small) or from an XMP packet, which counts
 * only where no Exif data tell it. Damaged data tell nothing. */
void mega_image_note_exif(MegaImageFile *file, const uint8_t *tiff, size_t size);
void mega_image_note_xmp(MegaImageFile *file, const uint8_t *packet, size_t size);

#endif
