/*
 * mapping.h - ends a command properly when a mapped file is cut short while it is in use.
 *
 * Models and checkpoints are mapped. If somebody truncates such a file, the kernel raises SIGBUS at
 * the next access; a command then ends with a sentence and status 1 instead of a crash. The library
 * itself installs no handlers.
 */
#ifndef MEGA_MAPPING_H
#define MEGA_MAPPING_H

/* `program` begins the sentence. clean_up may be NULL; it runs in the signal handler, so it must be
 * async-signal-safe. */
void catch_lost_mapping(const char *program, void (*clean_up)(void));

#endif
