/*
 * multipart.h - goes through the parts of a multipart/form-data body (RFC 7578) in memory.
 *
 *     --BOUNDARY
 *     Content-Disposition: form-data; name="file"; filename="yes.wav"
 *     Content-Type: audio/wav
 *
 *     the bytes of the part
 *     --BOUNDARY--
 *
 * Lines end in CR LF. What stands before the first boundary and after the last one does not count.
 */
#ifndef MEGA_MULTIPART_H
#define MEGA_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/mega.h"

#define MULTIPART_MAX_BOUNDARY 70 /* characters, by RFC 2046 */
#define MULTIPART_MAX_NAME 256    /* bytes of a name or file name; longer ones are cut */

typedef struct Multipart {
    char delimiter[MULTIPART_MAX_BOUNDARY + 8]; /* CR LF -- BOUNDARY */
    size_t delimiter_size;
    const uint8_t *at, *end; /* the rest of the body, from the line after a boundary on */
} Multipart;

typedef struct MultipartPart {
    char name[MULTIPART_MAX_NAME];
    char file_name[MULTIPART_MAX_NAME];
    char type[MULTIPART_MAX_NAME]; /* the content type, or empty */
    bool has_file_name;
    const uint8_t *data; /* [size], in the body */
    size_t size;
} MultipartPart;

/* Starts with a body whose Content-Type is `type`. */
int multipart_begin(Multipart *multipart, const char *type, const void *body, size_t size,
                    MegaError *err);
/* Returns 1 with a part, 0 at the end, or a negative error. */
int multipart_next(Multipart *multipart, MultipartPart *out, MegaError *err);

/* Finds a parameter such as boundary="..." of a header's value and copies it without its quotes.
 * Returns false if it is not there. What does not fit is cut off. */
bool header_parameter(const char *value, const char *name, char *out, size_t size);

#endif
