/*
 * mapping.h - what happens when a mapped file is cut short while it is in use.
 *
 * Models and checkpoints are mapped. Whoever truncates such a file makes the kernel raise SIGBUS at
 * the next access; the commands then end with a sentence and status 1 instead of a crash. The
 * library itself installs no handlers.
 */
#ifndef MEGA_MAPPING_H
#define MEGA_MAPPING_H

/* program: begins the sentence. clean_up, which may be NULL, runs in the signal handler and has to
 * be async-signal-safe. */
void catch_lost_mapping(const char *program, void (*clean_up)(void));

#endif
