/*
 * signals.h - how a command ends when a signal ends it. The library itself installs no handlers.
 */
#ifndef MEGA_SIGNALS_H
#define MEGA_SIGNALS_H

/* Sees to it that a signal leaves no half-written file behind: SIGINT, SIGTERM and SIGHUP remove
 * the temporary files of outputs and then do what they do without us.
 *
 * Models and checkpoints are mapped. If somebody truncates such a file, the kernel raises SIGBUS at
 * the next access; the command then says so and ends with status 1. A file that becomes larger than
 * the system allows is an error of its write, not a signal. `program` begins the sentences. */
void catch_signals(const char *program);

#endif
