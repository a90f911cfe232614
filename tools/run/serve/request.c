/*
 * request.c - see request.h.
 */
#include "tools/run/serve/request.h"

#include <string.h>
#include <strings.h>

#include "formats/base/bytes.h"
#include "formats/checkpoint/checkpoint.h"
#include "formats/media/pcm.h"
#include "formats/text/text_input.h"
#include "tools/common/command_line.h"
#include "tools/common/json.h"
#include "tools/run/serve/multipart.h"

/* ---- Fields --------------------------------------------------------------------------------- */

int request_add(Request *request, const char *name, size_t name_size, const char *value,
                size_t size, MegaError *err)
{
    char key[64];
    if (name_size == 0 || name_size >= sizeof key || memchr(name, '\0', name_size))
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "the name of a field has %zu bytes; expected 1 to %zu", name_size,
                         sizeof key - 1);
    memcpy(key, name, name_size);
    key[name_size] = '\0';
    if (!mega_utf8_valid(key, name_size))
        return mega_fail(err, MEGA_ERR_FORMAT, "the name of a field is not UTF-8");
    if (json_object_get(request->fields, key))
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the field '%s' was given twice", key);
    if (json_object_size(request->fields) >= REQUEST_MAX_FIELDS)
        return mega_fail(err, MEGA_ERR_LIMIT, "there are more than %d fields", REQUEST_MAX_FIELDS);
    if (json_object_set_new(request->fields, key, json_bytes(value, size)))
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the field '%s'", key);
    return 0;
}

void request_free(Request *request)
{
    json_decref(request->fields);
    json_decref(request->file_name);
    *request = (Request){0};
}

/* ---- Bodies --------------------------------------------------------------------------------- */

static int read_json(Request *out, const void *body, size_t size, MegaError *err)
{
    json_error_t problem;
    if (mega_checkpoint_json_cost(body, size) > REQUEST_MAX_VALUES)
        return mega_fail(err, MEGA_ERR_LIMIT, "the JSON needs more than %.1f MB of memory",
                         (double)REQUEST_MAX_VALUES / 1e6);
    json_t *value = json_loadb(body, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);
    if (!value)
        return mega_fail(err, MEGA_ERR_FORMAT, "the body is not JSON: line %d, column %d: %s",
                         problem.line, problem.column, problem.text);
    if (!json_is_object(value)) {
        json_decref(value);
        return mega_fail(err, MEGA_ERR_FORMAT, "the body is JSON, but not an object");
    }
    json_decref(out->fields);
    out->fields = value;
    return 0;
}

static int digit_of(uint8_t byte)
{
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
           : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                        : -1;
}

/* Decodes percent signs and plus signs; a percent sign without two digits stays. */
static void decode(const uint8_t *text, size_t size, MegaBuffer *out)
{
    out->size = 0;
    for (size_t i = 0; i < size; i++) {
        const bool escape = text[i] == '%' && i + 2 < size && digit_of(text[i + 1]) >= 0 &&
                            digit_of(text[i + 2]) >= 0;
        if (escape) {
            mega_put_u8(out, (uint8_t)(digit_of(text[i + 1]) * 16 + digit_of(text[i + 2])));
            i += 2;
        } else {
            mega_put_u8(out, text[i] == '+' ? ' ' : text[i]);
        }
    }
}

static int read_form(Request *out, const uint8_t *body, size_t size, MegaError *err)
{
    MegaBuffer name = {0}, value = {0};
    const uint8_t *at = body, *end = body + size;
    int code = 0;
    while (at < end && !code) {
        const uint8_t *stop = memchr(at, '&', (size_t)(end - at));
        stop = stop ? stop : end;
        const uint8_t *equals = memchr(at, '=', (size_t)(stop - at));
        equals = equals ? equals : stop;
        decode(at, (size_t)(equals - at), &name);
        decode(equals + (equals < stop), (size_t)(stop - equals - (equals < stop)), &value);
        if (name.failed || value.failed)
            code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a form");
        else if (stop > at)
            code = request_add(out, name.size ? (char *)name.data : "", name.size,
                               value.size ? (char *)value.data : "", value.size, err);
        at = stop + (stop < end);
    }
    mega_buffer_free(&name);
    mega_buffer_free(&value);
    return code;
}

/* Notes the format of headerless samples: audio/L16 has big-endian ones (RFC 2586). */
static int read_pcm_type(Request *out, const char *type, MegaError *err)
{
    char rate[16] = "", channels[16] = "1";
    out->pcm = (MegaPcm){.format = MEGA_PCM_S16BE};
    header_parameter(type, "channels", channels, sizeof channels);
    if (!header_parameter(type, "rate", rate, sizeof rate) ||
        !parse_int(rate, MEGA_AUDIO_MIN_RATE, MEGA_AUDIO_MAX_RATE, &out->pcm.rate) ||
        !parse_int(channels, 1, MEGA_AUDIO_MAX_CHANNELS, &out->pcm.channels))
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "audio/L16 needs a rate, and may have channels, as in 'audio/L16; "
                         "rate=16000; channels=1'");
    return 0;
}

/* Returns whether a content type is the one given, whatever its parameters are. */
static bool is_type(const char *type, const char *name)
{
    const size_t length = strlen(name);
    return strncasecmp(type, name, length) == 0 && strchr("; \t", type[length]);
}

static int take_file(Request *out, const char *type, const uint8_t *data, size_t size,
                     MegaError *err)
{
    if (out->file)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "there are two files; expected one");
    out->file = data;
    out->file_size = size;
    return is_type(type, "audio/L16") ? read_pcm_type(out, type, err) : 0;
}

static int read_parts(Request *out, const char *type, const void *body, size_t size, MegaError *err)
{
    Multipart multipart;
    MultipartPart part;
    int more = multipart_begin(&multipart, type, body, size, err), code = more;
    for (int i = 0; !code && (more = multipart_next(&multipart, &part, err)) > 0; i++) {
        if (i == REQUEST_MAX_PARTS)
            return mega_fail(err, MEGA_ERR_LIMIT, "the body has more than %d parts",
                             REQUEST_MAX_PARTS);
        if (!part.has_file_name && strcmp(part.name, "file") != 0) {
            code = request_add(out, part.name, strlen(part.name), (const char *)part.data,
                               part.size, err);
            continue;
        }
        code = take_file(out, part.type, part.data, part.size, err);
        if (!code && part.file_name[0])
            out->file_name = json_text(part.file_name);
    }
    return code ? code : more;
}

/* Bytes that are not UTF-8 become U+FFFD in a field, so that UTF-16 has to be noticed here. */
static int read_plain_text(Request *out, const void *body, size_t size, MegaError *err)
{
    const MegaTextRules rules = {.what = "a text", .bytes = MEGA_TEXT_REPAIRED};
    const int code = mega_text_check_head(body, size, "the body", &rules, err);
    return code ? code : request_add(out, "text", 4, body, size, err);
}

/* Returns whether a body is JSON. curl calls the JSON of -d a form, and other clients call it
 * nothing. */
static bool is_json(const char *type, const void *body, size_t size)
{
    return size && (is_type(type, "application/json") ||
                    ((is_type(type, "application/x-www-form-urlencoded") || !*type) &&
                     ((const char *)body)[0] == '{'));
}

uint64_t request_values_size(const char *content_type, const void *body, size_t size)
{
    return is_json(content_type ? content_type : "", body, size)
               ? mega_checkpoint_json_cost(body, size)
               : 0;
}

int request_read(Request *out, const char *content_type, const void *body, size_t size,
                 MegaError *err)
{
    const char *type = content_type ? content_type : "";
    *out = (Request){.fields = json_object()};
    if (!out->fields)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a request");
    if (is_type(type, "multipart/form-data"))
        return read_parts(out, type, body, size, err);
    if (strncasecmp(type, "multipart/", 10) == 0)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "the content type is '%.60s'; of these only multipart/form-data is read",
                         type);
    if (size == 0) /* samples that stream have a type before they have bytes */
        return is_type(type, "audio/L16") ? read_pcm_type(out, type, err) : 0;
    if (is_json(type, body, size))
        return read_json(out, body, size, err);
    if (is_type(type, "application/x-www-form-urlencoded"))
        return read_form(out, body, size, err);
    if (is_type(type, "text/plain"))
        return read_plain_text(out, body, size, err);
    return take_file(out, type, body, size, err);
}
