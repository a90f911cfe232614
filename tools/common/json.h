/*
 * json.h - values of the commands' JSON output that need care; man/mega.schema.json says which keys
 * there are.
 */
#ifndef MEGA_JSON_H
#define MEGA_JSON_H

#include <jansson.h>

#include "src/mega.h"

/* A text whatever its bytes are: what is no UTF-8 becomes U+FFFD. An empty one may be NULL. */
json_t *json_bytes(const void *text, size_t size);
json_t *json_text(const char *text);
/* null for an infinity or a NaN, which JSON does not have. */
json_t *json_number(double value);
/* {"code": ..., "message": ...} */
json_t *json_error(const MegaError *err);

#endif
