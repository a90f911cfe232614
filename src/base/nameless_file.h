/*
 * nameless_file.h - opens a temporary file that the system removes when it is closed.
 */
#ifndef MEGA_NAMELESS_FILE_H
#define MEGA_NAMELESS_FILE_H

#include "src/mega.h"

/* Opens a file without a name in a folder, for reading and writing. Returns its descriptor, which
 * the caller closes, or MEGA_ERR_IO or MEGA_ERR_MEMORY. */
int mega_nameless_file_open(const char *folder, MegaError *err);

#endif
