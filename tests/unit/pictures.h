/*
 * pictures.h - helpers of the tests of picture files: they read files of tests/data/inputs, compare
 * pixels, and make chunks of PNG files.
 */
#ifndef MEGA_PICTURES_H
#define MEGA_PICTURES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "formats/base/bytes.h"
#include "formats/media/image.h"

#define INPUTS "tests/data/inputs/"
#define PNG_SIGNATURE "\x89PNG\r\n\x1a\n" /* 8 bytes */

/* Returns the bytes of a file of INPUTS; mega_buffer_free frees them. */
MegaBuffer read_picture(const char *name);
/* Decodes a copy of exactly that size, so that a sanitizer sees a read past the end. */
int decode_picture(MegaImage *out, const MegaBuffer *file, const MegaImageOptions *options,
                   MegaError *err);
/* Compares the pixels; a failure says that `name` was compared. */
void assert_same_picture(const char *name, const MegaImage *image, const MegaImage *expected);
/* Decodes the file, compares the pixels and frees the file. */
void assert_picture(const char *name, MegaBuffer file, const MegaImage *expected);
/* Expects the code and a message that contains `says`, and frees the file. */
void assert_picture_refused(const char *name, MegaBuffer file, int code, const char *says);
/* Appends `count` times the same byte. */
void append_bytes(MegaBuffer *file, size_t count, int byte);
/* Appends length, type and data of a chunk, and the checksum of type and data. */
void put_chunk(MegaBuffer *out, const char *type, const void *data, size_t size);

#endif
