/*
 * signals.c - see signals.h.
 */
#include "tools/common/signals.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/atomic_file.h"

/* This is set once, before the handlers are installed. */
static const char *program_name;

static void end_program(int number)
{
    static const char sentence[] =
        ": a file that was in use became shorter, or the disk that it is on cannot be read; do not "
        "change files while they are used\n";
    (void)number;
    mega_outputs_abandon();
    if (write(STDERR_FILENO, program_name, strlen(program_name)) < 0 ||
        write(STDERR_FILENO, sentence, sizeof sentence - 1) < 0)
        _exit(1); /* nobody reads standard error, so nothing is left to do */
    _exit(1);
}

static void interrupt(int number)
{
    mega_outputs_abandon();
    signal(number, SIG_DFL);
    raise(number);
}

void catch_signals(const char *program)
{
    static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = end_program};
    program_name = program;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
    signal(SIGXFSZ, SIG_IGN);
    /* a signal that was ignored when we started, such as SIGHUP under nohup, stays ignored */
    for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++)
        if (signal(caught[i], interrupt) == SIG_IGN)
            signal(caught[i], SIG_IGN);
}
