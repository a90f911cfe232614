/*
 * meta.h - typed metadata: an ordered list of unique dotted keys ("encoder.layers") and values.
 *
 * Getters never guess. If a key has another type, or its value is out of range, the error names the
 * key, what was found and what was expected. A key is 1 to 255 bytes of printable ASCII, a string
 * is UTF-8 without NUL, and a float is finite. Finding a key takes logarithmic time.
 */
#ifndef MEGA_META_H
#define MEGA_META_H

#include "src/mega.h"

#define MEGA_META_MAX_KEYS 65536
#define MEGA_META_MAX_KEY 255
#define MEGA_META_MAX_ELEMENTS (1u << 24) /* most elements of an array */
#define MEGA_META_MAX_STRING (1u << 24)   /* most bytes of a string */
#define MEGA_META_MAX_SIZE (1u << 28)     /* most bytes of the serialised form */

typedef enum MegaMetaType {
    MEGA_META_BOOL = 1,
    MEGA_META_INT = 2,   /* signed 64-bit */
    MEGA_META_FLOAT = 3, /* binary64 */
    MEGA_META_STRING = 4,
    MEGA_META_INTS = 5, /* the types from here on are arrays */
    MEGA_META_FLOATS = 6,
    MEGA_META_STRINGS = 7,
} MegaMetaType;

typedef struct MegaMetaValue {
    const char *key;
    MegaMetaType type;
    uint64_t count; /* number of elements; scalars have 1 */
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

MegaMeta *mega_meta_new(void); /* NULL if memory runs out */
void mega_meta_free(MegaMeta *meta);

size_t mega_meta_count(const MegaMeta *meta);
/* These return values that live until their key is set again or the list is freed. */
const MegaMetaValue *mega_meta_at(const MegaMeta *meta, size_t index);
const MegaMetaValue *mega_meta_find(const MegaMeta *meta, const char *key); /* or NULL */

/* Returns true for 1 to MEGA_META_MAX_KEY bytes of printable ASCII. Keys and names of tensors must
 * be such. */
bool mega_meta_key_valid(const char *key, size_t length);
/* Returns "bool", "array of int", ..., or "unknown type" for other numbers. */
const char *mega_meta_type_name(MegaMetaType type);

/* Setters copy the value and replace a key that exists. They return 0, MEGA_ERR_MEMORY,
 * MEGA_ERR_LIMIT beyond the format's caps, or MEGA_ERR_ARGUMENT for a bad key, a string that is not
 * UTF-8 or a float that is not finite. */
int mega_meta_set_bool(MegaMeta *meta, const char *key, bool value);
int mega_meta_set_int(MegaMeta *meta, const char *key, int64_t value);
int mega_meta_set_float(MegaMeta *meta, const char *key, double value);
int mega_meta_set_string(MegaMeta *meta, const char *key, const char *value);
int mega_meta_set_ints(MegaMeta *meta, const char *key, const int64_t *values, size_t count);
int mega_meta_set_floats(MegaMeta *meta, const char *key, const double *values, size_t count);
int mega_meta_set_strings(MegaMeta *meta, const char *key, const char *const *values, size_t count);
/* Copies a value from another list under the same key. */
int mega_meta_set_value(MegaMeta *meta, const MegaMetaValue *value);

/* Turns the code that a setter of a key "group.*" returned into an error, unless it is 0. */
int mega_meta_set_result(int code, const char *group, MegaError *err);

/* Getters return 0 and set *out, or return an error. A missing key is an error, too; ask
 * mega_meta_find first if it is optional. An int is accepted where a float is asked for. */
int mega_meta_get_bool(const MegaMeta *meta, const char *key, bool *out, MegaError *err);
int mega_meta_get_int(const MegaMeta *meta, const char *key, int64_t min, int64_t max, int64_t *out,
                      MegaError *err);
int mega_meta_get_float(const MegaMeta *meta, const char *key, double *out, MegaError *err);
int mega_meta_get_string(const MegaMeta *meta, const char *key, const char **out, MegaError *err);
/* Reads a string that must be one of `count` names, and sets *out to the index of the name. */
int mega_meta_get_name(const MegaMeta *meta, const char *key, const char *const *names,
                       size_t count, int *out, MegaError *err);
/* Reads a key that may be missing, and sets *out to the value or NULL. Another type is an error. */
int mega_meta_get_optional(const MegaMeta *meta, const char *key, MegaMetaType type,
                           const MegaMetaValue **out, MegaError *err);

/* These write and read the serialised form (MEGA-FORMAT.md, "Metadata"). encode allocates *bytes,
 * which free() frees. */
int mega_meta_encode(const MegaMeta *meta, uint8_t **bytes, size_t *size, MegaError *err);
int mega_meta_decode(MegaMeta **out, const uint8_t *bytes, size_t size, MegaError *err);

#endif
