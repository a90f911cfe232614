/*
 * version.h - what both programs say of themselves: version, processor tier, build, libraries,
 * licence.
 */
#ifndef COMMON_VERSION_H
#define COMMON_VERSION_H

/* On standard output. library: name and version of one that only this program has, or NULL. */
void print_version(const char *program, const char *library);

#endif
