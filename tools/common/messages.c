/*
 * messages.c - see messages.h.
 */
#include "tools/common/messages.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/common/json.h"
#include "tools/common/progress.h"
#include "tools/common/terminal.h"

static bool output_lost; /* true once a line of JSON could not be made */

void report(const char *format, ...)
{
    va_list args;
    progress_clear();
    va_start(args, format);
    fprintf(stderr, "%s: ", program_name);
    put_message(format, args);
    fputc('\n', stderr);
    va_end(args);
}

int usage_error(const char *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *blank = command ? " " : "", *name = command ? command : "";
    fprintf(stderr, "%s%s%s: ", program_name, blank, name);
    put_message(format, args);
    fprintf(stderr, "\nTry '%s%s%s --help'.\n", program_name, blank, name);
    va_end(args);
    return 2;
}

int finish_output(int status)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        report("cannot write to standard output");
        return 1;
    }
    if (output_lost) {
        report("no memory for the JSON output");
        return 1;
    }
    return status;
}

void heed_closed_output(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO};
    if (poll(&output, 1, 0) == 1 && (output.revents & POLLERR))
        raise(SIGPIPE);
}

void print_json_line(json_t *object)
{
    if (json_dumpf(object, stdout, JSON_LINE) == 0)
        putchar('\n');
    else if (!ferror(stdout))
        output_lost = true;
    fflush(stdout);
    json_decref(object);
}
