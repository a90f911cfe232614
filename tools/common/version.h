/*
 * version.h - what both programs say of themselves: version, processor tier, build, libraries,
 * licence.
 */
#ifndef MEGA_VERSION_H
#define MEGA_VERSION_H

/* On standard output; more: another library of this program, or NULL. */
void print_version(const char *program, const char *more);

#endif
