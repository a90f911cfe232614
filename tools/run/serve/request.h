/*
 * request.h - parses what a client sends: the body by its content type, and the query.
 *
 *   application/json                    an object: its members are the fields
 *   none, and the body begins with {    the same
 *   multipart/form-data                 a part with a file name, or named "file", is the file;
 *                                       others are fields
 *   application/x-www-form-urlencoded   fields
 *   text/plain                          the field "text"
 *   audio/L16; rate=R; channels=C       samples
 *   anything else                       the file
 *
 * Fields of the query are added to these. Nothing here knows of connections or models, and the
 * names that a client gives are never used as paths.
 */
#ifndef MEGA_REQUEST_H
#define MEGA_REQUEST_H

#include <jansson.h>

#include "src/mega.h"

#define REQUEST_MAX_PARTS 64   /* of a multipart body */
#define REQUEST_MAX_FIELDS 256 /* of a form or a query */

/* Limit on the memory that the values of a JSON body may take: a few bytes become a value of 50. */
#define REQUEST_MAX_VALUES ((uint64_t)256 << 20)

typedef struct Request {
    json_t *fields;      /* an object, never NULL after request_read */
    const uint8_t *file; /* [file_size] lies in the body; NULL if there is none */
    size_t file_size;
    json_t *file_name; /* a text for messages, or NULL */
    MegaPcm pcm;       /* format of the file if it is headerless samples; else the rate is 0 */
} Request;

/* Parses a body, which must outlive *out. content_type may be NULL. Free *out also after an
 * error. */
int request_read(Request *out, const char *content_type, const void *body, size_t size,
                 MegaError *err);
/* Returns about how many bytes the values of such a body take besides it, and 0 if it is not
 * JSON. */
uint64_t request_values_size(const char *content_type, const void *body, size_t size);
/* Adds a field of the query; a field that the body has already is an error. */
int request_add(Request *request, const char *name, size_t name_size, const char *value,
                size_t size, MegaError *err);
void request_free(Request *request);

#endif
