/*
 * signals.h - how a command ends when a signal ends it. The library itself installs no handlers.
 */
#ifndef MEGA_SIGNALS_H
#define MEGA_SIGNALS_H

/* Makes sure that a signal leaves no half-written file behind: SIGINT, SIGTERM and SIGHUP remove
 * the temporary files of outputs and then end the process as they would without a handler.
 *
 * Models and checkpoints are mapped. If somebody truncates such a file, the kernel raises SIGBUS at
 * the next access; the command then says so and ends with status 1. A file that becomes larger than
 * the system allows makes its write fail instead of raising SIGXFSZ. `program` begins the
 * messages. */
void catch_signals(const char *program);

#endif
