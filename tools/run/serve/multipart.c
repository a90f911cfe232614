/*
 * multipart.c - see multipart.h.
 */
#define _GNU_SOURCE /* memmem, strcasestr */
#include "tools/run/serve/multipart.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MAX_HEADERS 8192 /* bytes of the headers of a part */

/* ---- Headers -------------------------------------------------------------------------------- */

/* Copies a quoted text or a token. Returns what follows it. */
static const char *copy_value(const char *at, char *out, size_t size)
{
    const bool quoted = *at == '"';
    size_t used = 0;
    at += quoted;
    while (*at && (quoted ? *at != '"' : !strchr("; \t\r\n", *at))) {
        if (quoted && *at == '\\' && (at[1] == '"' || at[1] == '\\'))
            at++;
        if (used + 1 < size)
            out[used++] = *at;
        at++;
    }
    out[used] = '\0';
    return at + (*at && quoted);
}

bool header_parameter(const char *value, const char *name, char *out, size_t size)
{
    const size_t length = strlen(name);
    char skipped[2];
    const char *at = value + strcspn(value, ";");
    while (*at) {
        at += strspn(at, "; \t");
        const size_t word = strcspn(at, "=; \t");
        const bool found = word == length && strncasecmp(at, name, length) == 0;
        at += word;
        if (*at != '=')
            continue;
        at = copy_value(at + 1, found ? out : skipped, found ? size : sizeof skipped);
        if (found)
            return true;
        at += strcspn(at, ";");
    }
    return false;
}

/* Copies the value of a header of a part, or an empty text. The headers are lines that end in CR LF
 * and a NUL after them. */
static void copy_header(const char *headers, const char *name, char *out, size_t size)
{
    const size_t length = strlen(name);
    out[0] = '\0';
    for (const char *line = headers; *line;) {
        const size_t whole = strcspn(line, "\r\n");
        if (whole > length && strncasecmp(line, name, length) == 0 && line[length] == ':') {
            const char *value = line + length + 1;
            value += strspn(value, " \t");
            snprintf(out, size, "%.*s", (int)(line + whole - value), value);
            return;
        }
        line += whole;
        line += strspn(line, "\r\n");
    }
}

/* ---- Parts ---------------------------------------------------------------------------------- */

static int fail_body(const char *what, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_FORMAT, "the body is not multipart/form-data: %s", what);
}

int multipart_begin(Multipart *multipart, const char *type, const void *body, size_t size,
                    MegaError *err)
{
    char boundary[MULTIPART_MAX_BOUNDARY + 2];
    *multipart = (Multipart){.at = body, .end = (const uint8_t *)body + size};
    if (!header_parameter(type, "boundary", boundary, sizeof boundary) || !boundary[0])
        return fail_body("its content type has no boundary", err);
    if (strlen(boundary) > MULTIPART_MAX_BOUNDARY)
        return fail_body("its boundary is longer than 70 characters", err);
    multipart->delimiter_size =
        (size_t)snprintf(multipart->delimiter, sizeof multipart->delimiter, "\r\n--%s", boundary);
    /* the first boundary may stand at the very beginning, without a line end before it */
    const size_t first = multipart->delimiter_size - 2;
    if (size >= first && memcmp(body, multipart->delimiter + 2, first) == 0) {
        multipart->at += first;
        return 0;
    }
    const uint8_t *found =
        size ? memmem(body, size, multipart->delimiter, multipart->delimiter_size) : NULL;
    if (!found)
        return fail_body("its boundary does not stand in it", err);
    multipart->at = found + multipart->delimiter_size;
    return 0;
}

/* Reads the headers of a part, after the line of its boundary. */
static int read_headers(Multipart *multipart, MultipartPart *out, MegaError *err)
{
    char headers[MAX_HEADERS + 1], disposition[MAX_HEADERS];
    const size_t left = (size_t)(multipart->end - multipart->at);
    const size_t looked_at = left < MAX_HEADERS ? left : MAX_HEADERS;
    const uint8_t *blank = looked_at ? memmem(multipart->at, looked_at, "\r\n\r\n", 4) : NULL;
    if (!blank)
        return fail_body(left > MAX_HEADERS ? "the headers of a part are longer than 8,192 bytes"
                                            : "it ends within the headers of a part",
                         err);
    const size_t size = (size_t)(blank - multipart->at);
    if (memchr(multipart->at, '\0', size))
        return fail_body("the headers of a part have a NUL", err);
    memcpy(headers, multipart->at, size);
    headers[size] = '\0';
    copy_header(headers, "Content-Disposition", disposition, sizeof disposition);
    copy_header(headers, "Content-Type", out->type, sizeof out->type);
    if (strncasecmp(disposition, "form-data", 9) != 0 ||
        !header_parameter(disposition, "name", out->name, sizeof out->name))
        return fail_body("a part has no name", err);
    out->has_file_name =
        header_parameter(disposition, "filename", out->file_name, sizeof out->file_name);
    multipart->at = blank + 4;
    return 0;
}

int multipart_next(Multipart *multipart, MultipartPart *out, MegaError *err)
{
    *out = (MultipartPart){0};
    const size_t left = (size_t)(multipart->end - multipart->at);
    if (left >= 2 && memcmp(multipart->at, "--", 2) == 0)
        return 0;
    if (left < 2 || memcmp(multipart->at, "\r\n", 2) != 0)
        return fail_body("it ends without its last boundary", err);
    int code = read_headers(multipart, out, err);
    if (code)
        return code;
    const uint8_t *found = memmem(multipart->at, (size_t)(multipart->end - multipart->at),
                                  multipart->delimiter, multipart->delimiter_size);
    if (!found)
        return fail_body("a part has no end", err);
    out->data = multipart->at;
    out->size = (size_t)(found - multipart->at);
    multipart->at = found + multipart->delimiter_size;
    return 1;
}
