/*
 * field.h - one hyper-parameter as a row of a table: its key in the metadata, its place in a struct
 * and its range. The same row reads it, writes it and checks it, so that these cannot drift apart.
 */
#ifndef MEGA_FIELD_H
#define MEGA_FIELD_H

#include "formats/mega/meta.h"

/* The names of an enumeration's values; a row without text ends a table. A value is written with
 * its first name, and read with any. */
typedef struct MegaName {
    const char *text;
    int value;
} MegaName;

/* Returns the first name of a value, or NULL. */
const char *mega_name_of(const MegaName *names, int value);
/* Returns the value of a name, or -1. */
int mega_value_of(const MegaName *names, const char *text);

typedef enum MegaFieldType {
    MEGA_FIELD_INT,
    MEGA_FIELD_BOOL,
    MEGA_FIELD_NAME, /* an enumeration, stored by its name */
} MegaFieldType;

/* A table of fields ends with a row without a key. */
typedef struct MegaField {
    const char *key; /* of a stack's fields, what follows "encoder." or "decoder." */
    MegaFieldType type;
    size_t offset;         /* of an int, a bool or an enum in its struct */
    int64_t min, max;      /* for MEGA_FIELD_INT */
    const MegaName *names; /* for MEGA_FIELD_NAME */
    /* Files from before the field existed lack its key; it is 0 there, and 0 is not written. */
    bool optional;
} MegaField;

#define MEGA_INT_FIELD(key, type, member, min, max)                                                \
    {                                                                                              \
        key, MEGA_FIELD_INT, offsetof(type, member), min, max, NULL, false                         \
    }
#define MEGA_BOOL_FIELD(key, type, member)                                                         \
    {                                                                                              \
        key, MEGA_FIELD_BOOL, offsetof(type, member), 0, 0, NULL, false                            \
    }
#define MEGA_NAME_FIELD(key, type, member, names)                                                  \
    {                                                                                              \
        key, MEGA_FIELD_NAME, offsetof(type, member), 0, 0, names, false                           \
    }
#define MEGA_OPTIONAL_INT_FIELD(key, type, member, min, max)                                       \
    {                                                                                              \
        key, MEGA_FIELD_INT, offsetof(type, member), min, max, NULL, true                          \
    }
#define MEGA_OPTIONAL_BOOL_FIELD(key, type, member)                                                \
    {                                                                                              \
        key, MEGA_FIELD_BOOL, offsetof(type, member), 0, 0, NULL, true                             \
    }
#define MEGA_OPTIONAL_NAME_FIELD(key, type, member, names)                                         \
    {                                                                                              \
        key, MEGA_FIELD_NAME, offsetof(type, member), 0, 0, names, true                            \
    }

/* Read the field of `base` from the metadata's `key`, write it there, and check its range. */
int mega_field_read(const MegaField *field, void *base, const char *key, const MegaMeta *meta,
                    MegaError *err);
int mega_field_write(const MegaField *field, const void *base, const char *key, MegaMeta *meta,
                     MegaError *err);
int mega_field_check(const MegaField *field, const void *base, const char *key, MegaError *err);

#endif
