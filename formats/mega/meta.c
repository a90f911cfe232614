/*
 * meta.c - typed metadata in memory and its serialised form (MEGA-FORMAT.md, "Metadata").
 *
 * Each value is one block of memory: the MegaMetaValue, its elements, then its key. Two arrays
 * point to the values: one in the order of the file and one sorted by key, which keeps look-ups
 * logarithmic whatever the keys are. Everything in a MegaMeta obeys the limits of the format.
 */
#include "formats/mega/meta.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "src/base/checked.h"

struct MegaMeta {
    MegaMetaValue **values;
    MegaMetaValue **sorted;
    size_t count, capacity; /* count and capacity of both arrays */
};

MegaMeta *mega_meta_new(void)
{
    return calloc(1, sizeof(MegaMeta));
}

void mega_meta_free(MegaMeta *meta)
{
    if (!meta)
        return;
    for (size_t i = 0; i < meta->count; i++)
        free(meta->values[i]);
    free(meta->values);
    free(meta->sorted);
    free(meta);
}

size_t mega_meta_count(const MegaMeta *meta)
{
    return meta->count;
}

const MegaMetaValue *mega_meta_at(const MegaMeta *meta, size_t index)
{
    return meta->values[index];
}

bool mega_meta_key_valid(const char *key, size_t length)
{
    if (length < 1 || length > MEGA_META_MAX_KEY)
        return false;
    for (size_t i = 0; i < length; i++)
        if (key[i] <= ' ' || key[i] > '~')
            return false;
    return true;
}

const char *mega_meta_type_name(MegaMetaType type)
{
    switch (type) {
    case MEGA_META_BOOL: return "bool";
    case MEGA_META_INT: return "int";
    case MEGA_META_FLOAT: return "float";
    case MEGA_META_STRING: return "string";
    case MEGA_META_INTS: return "array of int";
    case MEGA_META_FLOATS: return "array of float";
    case MEGA_META_STRINGS: return "array of string";
    }
    return "unknown type";
}

/* ---- The list ------------------------------------------------------------------------------- */

/* Returns the position of a key in meta->sorted, or the position where it belongs. */
static size_t lower_bound(const MegaMeta *meta, const char *key)
{
    size_t low = 0, high = meta->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(meta->sorted[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const MegaMetaValue *mega_meta_find(const MegaMeta *meta, const char *key)
{
    size_t at = lower_bound(meta, key);
    return at < meta->count && strcmp(meta->sorted[at]->key, key) == 0 ? meta->sorted[at] : NULL;
}

static int reserve(MegaMeta *meta, size_t capacity)
{
    if (capacity <= meta->capacity)
        return 0;
    MegaMetaValue **values = realloc(meta->values, capacity * sizeof *values);
    if (values)
        meta->values = values;
    MegaMetaValue **sorted = realloc(meta->sorted, capacity * sizeof *sorted);
    if (sorted)
        meta->sorted = sorted;
    if (!values || !sorted)
        return MEGA_ERR_MEMORY;
    meta->capacity = capacity;
    return 0;
}

/* Takes ownership of the value, also on failure. */
static int insert(MegaMeta *meta, MegaMetaValue *value)
{
    size_t at = lower_bound(meta, value->key);
    if (at < meta->count && strcmp(meta->sorted[at]->key, value->key) == 0) {
        size_t i = 0;
        while (meta->values[i] != meta->sorted[at])
            i++;
        free(meta->values[i]);
        meta->values[i] = meta->sorted[at] = value;
        return 0;
    }
    int code = meta->count >= MEGA_META_MAX_KEYS ? MEGA_ERR_LIMIT : 0;
    if (!code && meta->count == meta->capacity)
        code = reserve(meta, meta->capacity ? 2 * meta->capacity : 64);
    if (code) {
        free(value);
        return code;
    }
    memmove(&meta->sorted[at + 1], &meta->sorted[at], (meta->count - at) * sizeof *meta->sorted);
    meta->sorted[at] = value;
    meta->values[meta->count++] = value;
    return 0;
}

/* Makes a value with room for `payload` bytes at *elements, aligned for elements of any type. */
static MegaMetaValue *new_value(const char *key, size_t key_length, MegaMetaType type,
                                uint64_t count, uint64_t payload, void **elements)
{
    uint64_t size;
    if (!mega_add(payload, sizeof(MegaMetaValue) + key_length + 1, &size) || size > SIZE_MAX)
        return NULL;
    MegaMetaValue *value = calloc(1, (size_t)size);
    if (!value)
        return NULL;
    char *tail = (char *)(value + 1) + payload;
    memcpy(tail, key, key_length);
    value->key = tail;
    value->type = type;
    value->count = count;
    *elements = value + 1;
    return value;
}

/* ---- Setters -------------------------------------------------------------------------------- */

static int check_string(const char *text, size_t length)
{
    if (length > MEGA_META_MAX_STRING)
        return MEGA_ERR_LIMIT;
    return mega_utf8_valid(text, length) ? 0 : MEGA_ERR_ARGUMENT;
}

/* Checks the key and makes a value; the caller fills it and inserts it. */
static int begin_set(MegaMetaValue **out, const char *key, MegaMetaType type, size_t count,
                     uint64_t payload, void **elements)
{
    size_t length = strlen(key);
    if (!mega_meta_key_valid(key, length))
        return MEGA_ERR_ARGUMENT;
    if (count > MEGA_META_MAX_ELEMENTS)
        return MEGA_ERR_LIMIT;
    *out = new_value(key, length, type, count, payload, elements);
    return *out ? 0 : MEGA_ERR_MEMORY;
}

int mega_meta_set_bool(MegaMeta *meta, const char *key, bool flag)
{
    MegaMetaValue *value;
    void *elements;
    int code = begin_set(&value, key, MEGA_META_BOOL, 1, 0, &elements);
    if (code)
        return code;
    value->boolean = flag;
    return insert(meta, value);
}

int mega_meta_set_int(MegaMeta *meta, const char *key, int64_t number)
{
    MegaMetaValue *value;
    void *elements;
    int code = begin_set(&value, key, MEGA_META_INT, 1, 0, &elements);
    if (code)
        return code;
    value->integer = number;
    return insert(meta, value);
}

int mega_meta_set_float(MegaMeta *meta, const char *key, double number)
{
    MegaMetaValue *value;
    void *elements;
    if (!isfinite(number))
        return MEGA_ERR_ARGUMENT;
    int code = begin_set(&value, key, MEGA_META_FLOAT, 1, 0, &elements);
    if (code)
        return code;
    value->real = number;
    return insert(meta, value);
}

int mega_meta_set_string(MegaMeta *meta, const char *key, const char *text)
{
    MegaMetaValue *value;
    void *elements;
    size_t length = strlen(text);
    int code = check_string(text, length);
    if (!code)
        code = begin_set(&value, key, MEGA_META_STRING, 1, length + 1, &elements);
    if (code)
        return code;
    value->string = memcpy(elements, text, length);
    return insert(meta, value);
}

int mega_meta_set_ints(MegaMeta *meta, const char *key, const int64_t *numbers, size_t count)
{
    MegaMetaValue *value;
    void *elements;
    int code =
        begin_set(&value, key, MEGA_META_INTS, count, (uint64_t)count * sizeof *numbers, &elements);
    if (code)
        return code;
    if (count)
        memcpy(elements, numbers, count * sizeof *numbers);
    value->integers = elements;
    return insert(meta, value);
}

int mega_meta_set_floats(MegaMeta *meta, const char *key, const double *numbers, size_t count)
{
    MegaMetaValue *value;
    void *elements;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(numbers[i]))
            return MEGA_ERR_ARGUMENT;
    int code = begin_set(&value, key, MEGA_META_FLOATS, count, (uint64_t)count * sizeof *numbers,
                         &elements);
    if (code)
        return code;
    if (count)
        memcpy(elements, numbers, count * sizeof *numbers);
    value->reals = elements;
    return insert(meta, value);
}

int mega_meta_set_strings(MegaMeta *meta, const char *key, const char *const *texts, size_t count)
{
    MegaMetaValue *value;
    void *elements;
    uint64_t payload = (uint64_t)count * sizeof(char *);
    int code = 0;
    for (size_t i = 0; i < count && !code; i++) {
        size_t length = strlen(texts[i]);
        code = check_string(texts[i], length);
        payload += length + 1;
    }
    if (!code)
        code = begin_set(&value, key, MEGA_META_STRINGS, count, payload, &elements);
    if (code)
        return code;
    const char **strings = elements;
    char *text = (char *)(strings + count);
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(texts[i]) + 1;
        strings[i] = memcpy(text, texts[i], size);
        text += size;
    }
    value->strings = strings;
    return insert(meta, value);
}

int mega_meta_set_value(MegaMeta *meta, const MegaMetaValue *value)
{
    const size_t count = (size_t)value->count;
    switch (value->type) {
    case MEGA_META_BOOL: return mega_meta_set_bool(meta, value->key, value->boolean);
    case MEGA_META_INT: return mega_meta_set_int(meta, value->key, value->integer);
    case MEGA_META_FLOAT: return mega_meta_set_float(meta, value->key, value->real);
    case MEGA_META_STRING: return mega_meta_set_string(meta, value->key, value->string);
    case MEGA_META_INTS: return mega_meta_set_ints(meta, value->key, value->integers, count);
    case MEGA_META_FLOATS: return mega_meta_set_floats(meta, value->key, value->reals, count);
    case MEGA_META_STRINGS: return mega_meta_set_strings(meta, value->key, value->strings, count);
    }
    return MEGA_ERR_ARGUMENT;
}

/* ---- Getters -------------------------------------------------------------------------------- */

static int find_typed(const MegaMeta *meta, const char *key, MegaMetaType type,
                      const MegaMetaValue **out, MegaError *err)
{
    *out = mega_meta_find(meta, key);
    if (!*out)
        return mega_fail(err, MEGA_ERR_MODEL, "the metadata has no '%s'; expected one %s", key,
                         mega_meta_type_name(type));
    if ((*out)->type != type)
        return mega_fail(err, MEGA_ERR_MODEL, "metadata key '%s' holds type %s, expected %s", key,
                         mega_meta_type_name((*out)->type), mega_meta_type_name(type));
    return 0;
}

int mega_meta_get_bool(const MegaMeta *meta, const char *key, bool *out, MegaError *err)
{
    const MegaMetaValue *value;
    int code = find_typed(meta, key, MEGA_META_BOOL, &value, err);
    if (!code)
        *out = value->boolean;
    return code;
}

int mega_meta_get_int(const MegaMeta *meta, const char *key, int64_t min, int64_t max, int64_t *out,
                      MegaError *err)
{
    const MegaMetaValue *value;
    int code = find_typed(meta, key, MEGA_META_INT, &value, err);
    if (code)
        return code;
    if (value->integer < min || value->integer > max)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "metadata key '%s' is %" PRId64 ", expected %" PRId64 " to %" PRId64, key,
                         value->integer, min, max);
    *out = value->integer;
    return 0;
}

int mega_meta_get_float(const MegaMeta *meta, const char *key, double *out, MegaError *err)
{
    const MegaMetaValue *value = mega_meta_find(meta, key);
    if (value && value->type == MEGA_META_INT) {
        *out = (double)value->integer;
        return 0;
    }
    int code = find_typed(meta, key, MEGA_META_FLOAT, &value, err);
    if (!code)
        *out = value->real;
    return code;
}

int mega_meta_get_string(const MegaMeta *meta, const char *key, const char **out, MegaError *err)
{
    const MegaMetaValue *value;
    int code = find_typed(meta, key, MEGA_META_STRING, &value, err);
    if (!code)
        *out = value->string;
    return code;
}

int mega_meta_get_optional(const MegaMeta *meta, const char *key, MegaMetaType type,
                           const MegaMetaValue **out, MegaError *err)
{
    *out = NULL;
    return mega_meta_find(meta, key) ? find_typed(meta, key, type, out, err) : 0;
}

int mega_meta_get_name(const MegaMeta *meta, const char *key, const char *const *names,
                       size_t count, int *out, MegaError *err)
{
    const char *text = NULL;
    char expected[128] = "";
    size_t used = 0;
    int code = mega_meta_get_string(meta, key, &text, err);
    if (code)
        return code;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (int)i;
            return 0;
        }
        if (used < sizeof expected)
            used += (size_t)snprintf(expected + used, sizeof expected - used, "%s%s",
                                     i == 0 ? "" : i == count - 1 ? " or " : ", ", names[i]);
    }
    return mega_fail(err, MEGA_ERR_MODEL, "metadata %s is \"%.40s\", expected %s", key, text,
                     expected);
}

int mega_meta_set_result(int code, const char *group, MegaError *err)
{
    if (!code)
        return 0;
    return mega_fail(err, code, "cannot set the metadata %s.*: %s", group,
                     code == MEGA_ERR_MEMORY ? "no memory" : "a value is out of range");
}

/* ---- Encoding ------------------------------------------------------------------------------- */

static void put_string(MegaBuffer *buffer, const char *text)
{
    size_t length = strlen(text);
    mega_put_u32(buffer, (uint32_t)length);
    mega_put_bytes(buffer, text, length);
}

static void put_value(MegaBuffer *buffer, const MegaMetaValue *value)
{
    size_t length = strlen(value->key);
    mega_put_u16(buffer, (uint16_t)length);
    mega_put_bytes(buffer, value->key, length);
    mega_put_u8(buffer, (uint8_t)value->type);
    mega_put_u32(buffer, (uint32_t)value->count);
    switch (value->type) {
    case MEGA_META_BOOL: mega_put_u8(buffer, value->boolean); break;
    case MEGA_META_INT: mega_put_u64(buffer, (uint64_t)value->integer); break;
    case MEGA_META_FLOAT: mega_put_f64(buffer, value->real); break;
    case MEGA_META_STRING: put_string(buffer, value->string); break;
    case MEGA_META_INTS:
        for (uint64_t i = 0; i < value->count; i++)
            mega_put_u64(buffer, (uint64_t)value->integers[i]);
        break;
    case MEGA_META_FLOATS:
        for (uint64_t i = 0; i < value->count; i++)
            mega_put_f64(buffer, value->reals[i]);
        break;
    case MEGA_META_STRINGS:
        for (uint64_t i = 0; i < value->count; i++)
            put_string(buffer, value->strings[i]);
        break;
    }
}

int mega_meta_encode(const MegaMeta *meta, uint8_t **bytes, size_t *size, MegaError *err)
{
    MegaBuffer buffer = {0};
    mega_put_u32(&buffer, (uint32_t)meta->count);
    for (size_t i = 0; i < meta->count && buffer.size <= MEGA_META_MAX_SIZE; i++)
        put_value(&buffer, meta->values[i]);
    int code = 0;
    if (buffer.failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the metadata");
    else if (buffer.size > MEGA_META_MAX_SIZE)
        code = mega_fail(err, MEGA_ERR_LIMIT, "the metadata exceeds its limit of %u bytes",
                         MEGA_META_MAX_SIZE);
    if (code) {
        mega_buffer_free(&buffer);
        return code;
    }
    *bytes = buffer.data;
    *size = buffer.size;
    return 0;
}

/* ---- Decoding ------------------------------------------------------------------------------- */

/* Holds one entry while it is decoded. */
typedef struct Entry {
    const char *key; /* not followed by NUL */
    size_t key_length;
    MegaMetaType type;
    uint32_t count;
} Entry;

static int fail_entry(const Entry *entry, MegaError *err, const char *what)
{
    return mega_fail(err, MEGA_ERR_FORMAT, "metadata key '%.*s' %s", (int)entry->key_length,
                     entry->key, what);
}

static int fail_truncated(const Entry *entry, MegaError *err)
{
    return fail_entry(entry, err, "reaches beyond the end of the metadata");
}

static int fail_memory(MegaError *err)
{
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the metadata");
}

/* Fills *entry and leaves the reader at the first element. */
static int read_entry(Entry *entry, MegaReader *reader, size_t number, MegaError *err)
{
    entry->key_length = mega_get_u16(reader);
    entry->key = (const char *)mega_get_bytes(reader, entry->key_length);
    entry->type = (MegaMetaType)mega_get_u8(reader);
    entry->count = mega_get_u32(reader);
    if (reader->failed)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "metadata entry %zu reaches beyond the end of the metadata", number);
    if (!mega_meta_key_valid(entry->key, entry->key_length))
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "the key of metadata entry %zu is %zu bytes that are not all printable "
                         "ASCII; expected 1 to %d that are",
                         number, entry->key_length, MEGA_META_MAX_KEY);
    if (entry->type < MEGA_META_BOOL || entry->type > MEGA_META_STRINGS)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "metadata key '%.*s' has type %d, which this version does not know",
                         (int)entry->key_length, entry->key, (int)entry->type);
    if (entry->type < MEGA_META_INTS && entry->count != 1)
        return fail_entry(entry, err, "is a single value, but does not have one element");
    if (entry->count > MEGA_META_MAX_ELEMENTS)
        return fail_entry(entry, err, "has more elements than the limit of 16777216");
    return 0;
}

static int read_numbers(MegaMetaValue **out, const Entry *entry, MegaReader *reader, MegaError *err)
{
    void *elements;
    if (mega_reader_left(reader) / 8 < entry->count)
        return fail_truncated(entry, err);
    MegaMetaValue *value = new_value(entry->key, entry->key_length, entry->type, entry->count,
                                     entry->count * (uint64_t)8, &elements);
    *out = value;
    if (!value)
        return fail_memory(err);
    int64_t *integers = elements;
    double *reals = elements;
    for (uint32_t i = 0; i < entry->count; i++) {
        if (entry->type == MEGA_META_INT || entry->type == MEGA_META_INTS)
            integers[i] = (int64_t)mega_get_u64(reader);
        else if (!isfinite(reals[i] = mega_get_f64(reader)))
            return fail_entry(entry, err, "holds a number that is not finite");
    }
    switch (entry->type) {
    case MEGA_META_INT: value->integer = integers[0]; break;
    case MEGA_META_FLOAT: value->real = reals[0]; break;
    case MEGA_META_INTS: value->integers = integers; break;
    default: value->reals = reals; break;
    }
    return 0;
}

static int read_strings(MegaMetaValue **out, const Entry *entry, MegaReader *reader, MegaError *err)
{
    void *elements;
    bool array = entry->type == MEGA_META_STRINGS;
    uint64_t payload = array ? entry->count * (uint64_t)sizeof(char *) : 0;
    MegaReader ahead = *reader;
    for (uint32_t i = 0; i < entry->count; i++) {
        uint32_t length = mega_get_u32(&ahead);
        const uint8_t *text = mega_get_bytes(&ahead, length);
        if (!text)
            return fail_truncated(entry, err);
        if (length > MEGA_META_MAX_STRING)
            return fail_entry(entry, err, "has a string beyond the limit of 16777216 bytes");
        if (!mega_utf8_valid(text, length))
            return fail_entry(entry, err, "has a string that is not UTF-8 without NUL");
        payload += (uint64_t)length + 1;
    }
    MegaMetaValue *value =
        new_value(entry->key, entry->key_length, entry->type, entry->count, payload, &elements);
    *out = value;
    if (!value)
        return fail_memory(err);
    const char **strings = array ? elements : &value->string;
    char *text = (char *)elements + (array ? entry->count * sizeof(char *) : 0);
    for (uint32_t i = 0; i < entry->count; i++) {
        uint32_t length = mega_get_u32(reader);
        strings[i] = memcpy(text, mega_get_bytes(reader, length), length);
        text += (size_t)length + 1; /* the block was zeroed, so the NUL is there already */
    }
    if (array)
        value->strings = strings;
    return 0;
}

static int read_bool(MegaMetaValue **out, const Entry *entry, MegaReader *reader, MegaError *err)
{
    void *elements;
    uint8_t flag = mega_get_u8(reader);
    if (reader->failed)
        return fail_truncated(entry, err);
    if (flag > 1)
        return fail_entry(entry, err, "is a bool that is neither 0 nor 1");
    *out = new_value(entry->key, entry->key_length, entry->type, 1, 0, &elements);
    if (!*out)
        return fail_memory(err);
    (*out)->boolean = flag;
    return 0;
}

static int read_value(MegaMetaValue **out, MegaReader *reader, size_t number, MegaError *err)
{
    Entry entry;
    int code = read_entry(&entry, reader, number, err);
    if (code)
        return code;
    if (entry.type == MEGA_META_BOOL)
        return read_bool(out, &entry, reader, err);
    if (entry.type == MEGA_META_STRING || entry.type == MEGA_META_STRINGS)
        return read_strings(out, &entry, reader, err);
    return read_numbers(out, &entry, reader, err);
}

static int compare_values(const void *a, const void *b)
{
    const MegaMetaValue *const *left = a, *const *right = b;
    return strcmp((*left)->key, (*right)->key);
}

/* Sorts the values when all of them are read, and refuses duplicate keys. */
static int sort_values(MegaMeta *meta, MegaError *err)
{
    if (meta->count < 2)
        return 0;
    qsort(meta->sorted, meta->count, sizeof *meta->sorted, compare_values);
    for (size_t i = 1; i < meta->count; i++)
        if (strcmp(meta->sorted[i - 1]->key, meta->sorted[i]->key) == 0)
            return mega_fail(err, MEGA_ERR_FORMAT, "metadata key '%s' occurs twice",
                             meta->sorted[i]->key);
    return 0;
}

int mega_meta_decode(MegaMeta **out, const uint8_t *bytes, size_t size, MegaError *err)
{
    MegaReader reader = mega_reader(bytes, size);
    uint32_t count = mega_get_u32(&reader);
    int code = 0;
    *out = NULL;
    MegaMeta *meta = mega_meta_new();
    if (!meta)
        return fail_memory(err);
    if (reader.failed) {
        code = mega_fail(err, MEGA_ERR_FORMAT, "metadata of %zu bytes has no room for its count",
                         size);
    } else if (count > MEGA_META_MAX_KEYS) {
        code =
            mega_fail(err, MEGA_ERR_LIMIT, "metadata of %" PRIu32 " keys exceeds the limit of %d",
                      count, MEGA_META_MAX_KEYS);
    } else if (reserve(meta, count)) {
        code = fail_memory(err);
    }
    for (uint32_t i = 0; i < count && !code; i++) {
        MegaMetaValue *value = NULL;
        code = read_value(&value, &reader, i, err);
        if (value) {
            meta->values[meta->count] = meta->sorted[meta->count] = value;
            meta->count++;
        }
    }
    if (!code && mega_reader_left(&reader))
        code = mega_fail(err, MEGA_ERR_FORMAT, "%zu bytes follow the last metadata entry",
                         mega_reader_left(&reader));
    if (!code)
        code = sort_values(meta, err);
    if (code)
        mega_meta_free(meta);
    else
        *out = meta;
    return code;
}
