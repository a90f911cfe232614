/*
 * meta.h - typed metadata: an ordered list of unique dotted keys ("encoder.layers") with values.
 *
 * Getters never guess: a key of another type, or out of the asked range, is an error that names the
 * key, what was found and what was expected. A key is 1 to 255 bytes of printable ASCII, a string
 * is UTF-8 without NUL, a float is finite. Finding a key takes logarithmic time.
 */
#ifndef MEGA_META_H
#define MEGA_META_H

#include "src/mega.h"

#define MEGA_META_MAX_KEYS 65536
#define MEGA_META_MAX_KEY 255
#define MEGA_META_MAX_ELEMENTS (1u << 24) /* of an array */
#define MEGA_META_MAX_STRING (1u << 24)   /* bytes */
#define MEGA_META_MAX_SIZE (1u << 28)     /* bytes of the serialised form */

typedef enum MegaMetaType {
    MEGA_META_BOOL = 1,
    MEGA_META_INT = 2,   /* signed 64-bit */
    MEGA_META_FLOAT = 3, /* binary64 */
    MEGA_META_STRING = 4,
    MEGA_META_INTS = 5, /* arrays */
    MEGA_META_FLOATS = 6,
    MEGA_META_STRINGS = 7,
} MegaMetaType;

typedef struct MegaMetaValue {
    const char *key;
    MegaMetaType type;
    uint64_t count; /* elements; 1 for scalars */
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *string;
        const int64_t *integers;
        const double *reals;
        const char *const *strings;
    };
} MegaMetaValue;

typedef struct MegaMeta MegaMeta;

MegaMeta *mega_meta_new(void); /* NULL without memory */
void mega_meta_free(MegaMeta *meta);

size_t mega_meta_count(const MegaMeta *meta);
/* Values live until their key is set again or the list is freed. */
const MegaMetaValue *mega_meta_at(const MegaMeta *meta, size_t index);
const MegaMetaValue *mega_meta_find(const MegaMeta *meta, const char *key); /* or NULL */

/* True for 1 to MEGA_META_MAX_KEY bytes of printable ASCII: a key here, a tensor's name in a file.
 */
bool mega_meta_key_valid(const char *key, size_t length);
/* "bool", "array of int", ...; "unknown type" for other numbers. */
const char *mega_meta_type_name(MegaMetaType type);

/* Setters copy; a key that is already there is replaced. They return 0 or MEGA_ERR_MEMORY, or
 * MEGA_ERR_LIMIT past the format's caps, or MEGA_ERR_ARGUMENT for a bad key, a string that is not
 * UTF-8 and a float that is not finite. */
int mega_meta_set_bool(MegaMeta *meta, const char *key, bool value);
int mega_meta_set_int(MegaMeta *meta, const char *key, int64_t value);
int mega_meta_set_float(MegaMeta *meta, const char *key, double value);
int mega_meta_set_string(MegaMeta *meta, const char *key, const char *value);
int mega_meta_set_ints(MegaMeta *meta, const char *key, const int64_t *values, size_t count);
int mega_meta_set_floats(MegaMeta *meta, const char *key, const double *values, size_t count);
int mega_meta_set_strings(MegaMeta *meta, const char *key, const char *const *values, size_t count);
/* A copy of a value of another list, under its key. */
int mega_meta_set_value(MegaMeta *meta, const MegaMetaValue *value);

/* Makes an error of what a setter of the keys "group.*" returned, unless that is 0. */
int mega_meta_set_result(int code, const char *group, MegaError *err);

/* Getters: 0 and *out, or an error. A missing key is an error too: ask mega_meta_find first for an
 * optional one. An int is accepted where a float is asked for. */
int mega_meta_get_bool(const MegaMeta *meta, const char *key, bool *out, MegaError *err);
int mega_meta_get_int(const MegaMeta *meta, const char *key, int64_t min, int64_t max, int64_t *out,
                      MegaError *err);
int mega_meta_get_float(const MegaMeta *meta, const char *key, double *out, MegaError *err);
int mega_meta_get_string(const MegaMeta *meta, const char *key, const char **out, MegaError *err);
/* A string that must be one of `count` names; *out is the index of the name. */
int mega_meta_get_name(const MegaMeta *meta, const char *key, const char *const *names,
                       size_t count, int *out, MegaError *err);
/* For a key that may be missing: 0 and *out is the value or NULL, or an error for another type. */
int mega_meta_get_optional(const MegaMeta *meta, const char *key, MegaMetaType type,
                           const MegaMetaValue **out, MegaError *err);

/* The serialised form, as in MEGA-FORMAT.md section "Metadata". encode allocates *bytes (free()).
 */
int mega_meta_encode(const MegaMeta *meta, uint8_t **bytes, size_t *size, MegaError *err);
int mega_meta_decode(MegaMeta **out, const uint8_t *bytes, size_t size, MegaError *err);

#endif
