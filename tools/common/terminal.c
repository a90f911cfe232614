/*
 * terminal.c - see terminal.h.
 */
#define _GNU_SOURCE /* fopencookie, vasprintf */
#include "tools/common/terminal.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/bytes.h"
#include "tools/common/hints.h"

/* ---- Standard output ------------------------------------------------------------------------ */

/* Holds the beginning of a character whose rest has not been written yet. */
typedef struct Filter {
    uint8_t held[4];
    size_t count;
} Filter;

/* A process has one standard output, so there is one filter. */
static Filter standard_output;

static bool write_all(const uint8_t *data, size_t size)
{
    while (size > 0) {
        const ssize_t written = write(STDOUT_FILENO, data, size);
        if (written < 0 && errno != EINTR)
            return false;
        data += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

/* Returns how many bytes a character that begins with this byte has. */
static size_t expected_length(uint8_t first)
{
    return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
}

/* Returns whether the rest of a text may be the beginning of a character. */
static bool is_beginning(const uint8_t *text, size_t left)
{
    if (left >= expected_length(text[0]))
        return false;
    for (size_t i = 1; i < left; i++)
        if ((text[i] & 0xc0) != 0x80)
            return false;
    return true;
}

static void put_visible(MegaBuffer *out, const uint8_t *text, size_t length, uint32_t code)
{
    char escaped[16];
    if (code == '\n' || code == '\t' || !mega_utf8_is_control(code))
        mega_put_bytes(out, text, length);
    else
        mega_put_bytes(out, escaped,
                       (size_t)snprintf(escaped, sizeof escaped,
                                        code < 0x80 || length == 1 ? "\\x%02x" : "\\u%04x",
                                        (unsigned)code));
}

static ssize_t write_filtered(void *cookie, const char *data, size_t size)
{
    Filter *filter = cookie;
    MegaBuffer in = {0}, out = {0};
    mega_put_bytes(&in, filter->held, filter->count);
    mega_put_bytes(&in, data, size);
    filter->count = 0;
    for (size_t at = 0, length; !in.failed && at < in.size; at += length) {
        uint32_t code = in.data[at];
        length = mega_utf8_decode(in.data + at, in.size - at, &code);
        if (!length && is_beginning(in.data + at, in.size - at)) {
            filter->count = length = in.size - at;
            memcpy(filter->held, in.data + at, length);
            continue;
        }
        length = length ? length : 1;
        put_visible(&out, in.data + at, length, code);
    }
    const bool good = !in.failed && !out.failed && write_all(out.data, out.size);
    mega_buffer_free(&in);
    mega_buffer_free(&out);
    return good ? (ssize_t)size : 0;
}

void guard_terminal(void)
{
    if (!isatty(STDOUT_FILENO))
        return;
    FILE *guarded =
        fopencookie(&standard_output, "w", (cookie_io_functions_t){.write = write_filtered});
    if (!guarded) /* without memory for it, nothing else will work either */
        return;
    setvbuf(guarded, NULL, _IOLBF, BUFSIZ);
    stdout = guarded;
}

/* ---- Standard error ------------------------------------------------------------------------- */

void put_message(const char *format, va_list args)
{
    char *text;
    if (vasprintf(&text, format, args) < 0)
        return;
    mega_utf8_hide_controls(text);
    fputs(text, stderr);
    const char *hint = hint_for(text);
    if (hint)
        fprintf(stderr, " (%s)", hint);
    free(text);
}
