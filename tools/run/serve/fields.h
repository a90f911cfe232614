/*
 * fields.h - takes the fields of a request, which are members of a JSON object, into variables, by
 * a table that each route gives.
 *
 * Fields of forms and of the query are texts, and "3" is a number there. A field that is null
 * counts as not given. One that the table does not have is an error, so that a mistyped name is
 * noticed.
 */
#ifndef MEGA_FIELDS_H
#define MEGA_FIELDS_H

#include <jansson.h>

#include "src/mega.h"

/* A text of a request, which the request owns; data is NULL if the field was not given. */
typedef struct FieldText {
    const char *data;
    size_t size;
} FieldText;

typedef enum FieldKind {
    FIELD_TEXT,    /* FieldText */
    FIELD_FLAG,    /* bool; true, false, "true", "false", "1" or "0" */
    FIELD_INT,     /* int */
    FIELD_SEED,    /* uint64_t */
    FIELD_REAL,    /* double */
    FIELD_VALUE,   /* json_t *, borrowed: the route looks at it itself */
    FIELD_IGNORED, /* taken for the sake of clients that send it; no variable */
} FieldKind;

typedef struct Field {
    const char *name;
    FieldKind kind;
    void *out;
    double least, most; /* the range of a number */
} Field;

/* The table ends with a field without a name. */
int fields_take(const json_t *object, const Field *table, MegaError *err);
/* Takes a value that is a text or a list of texts, of which there may be `most`. *texts is
 * allocated, and *count is 0 for NULL. `name` names the field in messages. */
int field_texts(const json_t *value, const char *name, size_t most, FieldText **texts,
                size_t *count, MegaError *err);

#endif
