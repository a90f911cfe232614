/*
 * fields.c - see fields.h.
 */
#include "tools/run/serve/fields.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/command_line.h"
#include "tools/common/suggest.h"

static int fail_kind(const Field *field, const char *expected, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_ARGUMENT, "the field '%s' must be %s", field->name, expected);
}

/* Takes a number that is written as one, or as a text in a form. */
static bool take_number(const json_t *value, double least, double most, double *out)
{
    if (json_is_string(value))
        return parse_real(json_string_value(value), least, most, out);
    if (!json_is_number(value))
        return false;
    *out = json_number_value(value);
    return *out >= least && *out <= most;
}

static int take_flag_value(const Field *field, const json_t *value, MegaError *err)
{
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    const bool yes = json_is_true(value) || strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    const bool no = json_is_false(value) || strcmp(text, "false") == 0 || strcmp(text, "0") == 0;
    *(bool *)field->out = yes;
    return yes || no ? 0 : fail_kind(field, "true or false", err);
}

static int take_seed_value(const Field *field, const json_t *value, MegaError *err)
{
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    char *end;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    const bool is_text = *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        number = (uint64_t)json_integer_value(value);
    else if (!is_text)
        return fail_kind(field, "a whole number from 0 to 9223372036854775807", err);
    *(uint64_t *)field->out = number;
    return 0;
}

static int take_number_value(const Field *field, const json_t *value, MegaError *err)
{
    const bool whole = field->kind == FIELD_INT;
    double number;
    if (!take_number(value, field->least, field->most, &number) ||
        (whole && number != floor(number)))
        return whole ? mega_fail(err, MEGA_ERR_ARGUMENT,
                                 "the field '%s' must be a whole number from %.0f to %.0f",
                                 field->name, field->least, field->most)
                     : mega_fail(err, MEGA_ERR_ARGUMENT,
                                 "the field '%s' must be a number from %g to %g", field->name,
                                 field->least, field->most);
    if (whole)
        *(int *)field->out = (int)number;
    else
        *(double *)field->out = number;
    return 0;
}

static int take_value(const Field *field, json_t *value, MegaError *err)
{
    switch (field->kind) {
    case FIELD_TEXT:
        if (!json_is_string(value))
            return fail_kind(field, "a text", err);
        *(FieldText *)field->out = (FieldText){json_string_value(value), json_string_length(value)};
        return 0;
    case FIELD_FLAG: return take_flag_value(field, value, err);
    case FIELD_SEED: return take_seed_value(field, value, err);
    case FIELD_INT:
    case FIELD_REAL: return take_number_value(field, value, err);
    case FIELD_VALUE: *(json_t **)field->out = value; return 0;
    case FIELD_IGNORED: return 0;
    }
    return 0;
}

static int fail_unknown(const char *name, const Field *table, MegaError *err)
{
    const char *near = NULL;
    size_t least = SUGGEST_MAX_EDITS + 1;
    for (; table->name; table++) {
        const size_t edits = edit_distance(name, table->name);
        if (edits < least) {
            near = table->name;
            least = edits;
        }
    }
    return mega_fail(err, MEGA_ERR_ARGUMENT, "there is no field '%.60s' here%s%s%s", name,
                     near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

int fields_take(const json_t *object, const Field *table, MegaError *err)
{
    const char *name;
    json_t *value;
    int code = 0;
    json_object_foreach((json_t *)object, name, value)
    {
        const Field *field = table;
        while (field->name && strcmp(field->name, name) != 0)
            field++;
        if (!field->name)
            code = fail_unknown(name, table, err);
        else if (!json_is_null(value))
            code = take_value(field, value, err);
        if (code)
            return code;
    }
    return 0;
}

int field_texts(const json_t *value, const char *name, size_t most, FieldText **texts,
                size_t *count, MegaError *err)
{
    const bool one = json_is_string(value);
    *texts = NULL;
    *count = !value ? 0 : one ? 1 : json_array_size(value);
    if (value && !one && !json_is_array(value))
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the field '%s' must be a text or a list of texts",
                         name);
    if (*count > most)
        return mega_fail(err, MEGA_ERR_LIMIT, "the field '%s' has %zu texts; the limit is %zu",
                         name, *count, most);
    if (!(*texts = calloc(*count + 1, sizeof **texts)))
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu texts", *count);
    for (size_t i = 0; i < *count; i++) {
        const json_t *item = one ? value : json_array_get(value, i);
        if (!json_is_string(item))
            return mega_fail(err, MEGA_ERR_ARGUMENT,
                             "the field '%s' must be a text or a list of texts, but item %zu of it "
                             "is neither",
                             name, i);
        (*texts)[i] = (FieldText){json_string_value(item), json_string_length(item)};
    }
    return 0;
}
