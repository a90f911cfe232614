/*
 * error.c - fills the caller's MegaError, and knows the names of the codes.
 */
#include <stdarg.h>
#include <stdio.h>

#include "src/base/utf8.h"
#include "src/mega.h"

int mega_fail(MegaError *err, int code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        /* the text may quote file names and contents that a stranger wrote */
        mega_utf8_hide_controls(err->text);
        err->code = code;
    }
    return code;
}

const char *mega_error_name(int code)
{
    switch (code) {
    case MEGA_OK: return "MEGA_OK";
    case MEGA_ERR_IO: return "MEGA_ERR_IO";
    case MEGA_ERR_FORMAT: return "MEGA_ERR_FORMAT";
    case MEGA_ERR_UNSUPPORTED: return "MEGA_ERR_UNSUPPORTED";
    case MEGA_ERR_MODEL: return "MEGA_ERR_MODEL";
    case MEGA_ERR_INPUT: return "MEGA_ERR_INPUT";
    case MEGA_ERR_LIMIT: return "MEGA_ERR_LIMIT";
    case MEGA_ERR_MEMORY: return "MEGA_ERR_MEMORY";
    case MEGA_ERR_ARGUMENT: return "MEGA_ERR_ARGUMENT";
    default: return "MEGA_ERR_UNKNOWN";
    }
}

const char *mega_version(void)
{
    return MEGA_VERSION;
}
