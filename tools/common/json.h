/*
 * json.h - makes values of the commands' JSON output from what JSON cannot hold as it is: bytes
 * that are not UTF-8, infinities, errors. man/mega.schema.json lists the keys.
 */
#ifndef MEGA_JSON_H
#define MEGA_JSON_H

#include <jansson.h>

#include "src/mega.h"

/* The flags with which jansson writes an object on one line. */
#define JSON_LINE (JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9))

/* Makes a JSON string of any bytes; bytes that are not UTF-8 become U+FFFD. `text` may be NULL if
 * size is 0. */
json_t *json_bytes(const void *text, size_t size);
json_t *json_text(const char *text);
/* Makes a number, or null for an infinity or a NaN, which JSON does not have. */
json_t *json_number(double value);
/* Makes {"code": ..., "message": ...}, where the message includes its hint (hints.h). */
json_t *json_error(const MegaError *err);

#endif
