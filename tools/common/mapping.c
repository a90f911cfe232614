/*
 * mapping.c - see mapping.h.
 */
#include "tools/common/mapping.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* This is set once, before the handler is installed. */
static const char *program_name;
static void (*clean_up_first)(void);

static void end_program(int number)
{
    static const char sentence[] =
        ": a file that was in use became shorter, or the disk that it is on cannot be read; do not "
        "change files while they are used\n";
    (void)number;
    if (clean_up_first)
        clean_up_first();
    if (write(STDERR_FILENO, program_name, strlen(program_name)) < 0 ||
        write(STDERR_FILENO, sentence, sizeof sentence - 1) < 0)
        _exit(1); /* nobody reads standard error, so nothing is left to do */
    _exit(1);
}

void catch_lost_mapping(const char *program, void (*clean_up)(void))
{
    struct sigaction action = {.sa_handler = end_program};
    program_name = program;
    clean_up_first = clean_up;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}
