/*
 * nameless_file.h - opens a temporary file that the system removes when it is closed.
 */
#ifndef MEGA_NAMELESS_FILE_H
#define MEGA_NAMELESS_FILE_H

#include "src/mega.h"

/* Opens a file without a name in a folder, to read and to write. Returns its descriptor, or a
 * negative error. */
int mega_nameless_file_open(const char *folder, MegaError *err);

#endif
