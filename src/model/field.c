/*
 * field.c - see field.h.
 */
#include "src/model/field.h"

#include <string.h>

const char *mega_name_of(const MegaName *names, int value)
{
    while (names->text && names->value != value)
        names++;
    return names->text;
}

int mega_value_of(const MegaName *names, const char *text)
{
    while (names->text && strcmp(names->text, text) != 0)
        names++;
    return names->value;
}

static int read_number(const MegaField *field, int *out, const char *key, const MegaMeta *meta,
                       MegaError *err)
{
    int64_t wide;
    int code = mega_meta_get_int(meta, key, field->min, field->max, &wide, err);
    if (!code)
        *out = (int)wide;
    return code;
}

static int read_name(const MegaField *field, int *out, const char *key, const MegaMeta *meta,
                     MegaError *err)
{
    const char *text;
    int code = mega_meta_get_string(meta, key, &text, err);
    if (code)
        return code;
    *out = mega_value_of(field->names, text);
    if (*out < 0)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "metadata key '%s' is '%.60s', which this version does not know", key,
                         text);
    return 0;
}

int mega_field_read(const MegaField *field, void *base, const char *key, const MegaMeta *meta,
                    MegaError *err)
{
    char *at = (char *)base + field->offset;
    int value;
    if (field->optional && !mega_meta_find(meta, key))
        return 0;
    if (field->type == MEGA_FIELD_BOOL)
        return mega_meta_get_bool(meta, key, (bool *)at, err);
    int code = field->type == MEGA_FIELD_INT ? read_number(field, &value, key, meta, err)
                                             : read_name(field, &value, key, meta, err);
    if (!code)
        memcpy(at, &value, sizeof value);
    return code;
}

static int value_at(const MegaField *field, const void *base)
{
    const char *at = (const char *)base + field->offset;
    int value;
    if (field->type == MEGA_FIELD_BOOL)
        return *(const bool *)at;
    memcpy(&value, at, sizeof value);
    return value;
}

int mega_field_write(const MegaField *field, const void *base, const char *key, MegaMeta *meta,
                     MegaError *err)
{
    int value = value_at(field, base), code;
    if (field->optional && value == 0)
        return 0;
    if (field->type == MEGA_FIELD_BOOL)
        code = mega_meta_set_bool(meta, key, value);
    else if (field->type == MEGA_FIELD_INT)
        code = mega_meta_set_int(meta, key, value);
    else
        code = mega_meta_set_string(meta, key, mega_name_of(field->names, value));
    return code ? mega_fail(err, code, "no memory for metadata key '%s'", key) : 0;
}

int mega_field_check(const MegaField *field, const void *base, const char *key, MegaError *err)
{
    int value = value_at(field, base);
    if (field->type == MEGA_FIELD_BOOL || (field->optional && value == 0))
        return 0;
    if (field->type == MEGA_FIELD_NAME ? !mega_name_of(field->names, value)
                                       : value < field->min || value > field->max)
        return mega_fail(err, MEGA_ERR_MODEL, "%s is %d, outside of what this version can run", key,
                         value);
    return 0;
}
