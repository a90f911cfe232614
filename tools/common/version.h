/*
 * version.h - what both programs print for --version: version, processor tier, build, libraries and
 * licence.
 */
#ifndef MEGA_VERSION_H
#define MEGA_VERSION_H

/* Prints it to standard output. `more` names another library that this program uses, or is NULL. */
void print_version(const char *program, const char *more);

#endif
