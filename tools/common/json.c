/*
 * json.c - see json.h.
 */
#include "tools/common/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "tools/common/hints.h"

json_t *json_bytes(const void *text, size_t size)
{
    MegaBuffer clean = {0};
    if (size == 0) /* text may be NULL, which jansson refuses */
        return json_string("");
    json_t *value = json_stringn(text, size); /* NULL if it is not UTF-8; a NUL is a character */
    if (value)
        return value;
    mega_utf8_repair(text, size, &clean);
    value = clean.failed ? json_null() : json_stringn((char *)clean.data, clean.size);
    mega_buffer_free(&clean);
    return value;
}

json_t *json_text(const char *text)
{
    return json_bytes(text, strlen(text));
}

json_t *json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *json_error(const MegaError *err)
{
    char sentence[2 * sizeof err->text];
    const char *hint = hint_for(err->text);
    if (hint)
        snprintf(sentence, sizeof sentence, "%s (%s)", err->text, hint);
    return json_pack("{s:s,s:o}", "code", mega_error_name(err->code), "message",
                     json_text(hint ? sentence : err->text));
}
