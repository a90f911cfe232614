/*
 * verbose.h - prints the messages of --verbose and --time on standard error: which model is used,
 * how it runs and how long it took.
 */
#ifndef MEGA_VERBOSE_H
#define MEGA_VERBOSE_H

#include "src/encode/session.h"

/* Describes the model after it was loaded, which took `seconds`; `threads` run at a time. */
void verbose_model(const char *path, const MegaModel *model, const MegaKernels *kernels,
                   int threads, double seconds);
/* Does the same for a session. */
void verbose_session(const char *path, const MegaSession *session, double seconds);
/* Says at the end how many units ("line") were `done`, and the seconds since loading. */
void verbose_end(uint64_t done, const char *unit, double seconds);
/* Prints what --time wants: seconds that loading, reading and running took. */
void verbose_times(double loading, double reading, double running);

#endif
