/*
 * verbose.h - what --verbose says on standard error: which model, how it is run, how long it took.
 */
#ifndef MEGA_VERBOSE_H
#define MEGA_VERBOSE_H

#include "src/encode/session.h"

/* After loading, which took so many seconds. threads: that work at a time. */
void verbose_model(const char *path, const MegaModel *model, const MegaKernels *kernels,
                   int threads, double seconds);
/* The same of a session. */
void verbose_session(const char *path, const MegaSession *session, double seconds);
/* At the end: `done` of what unit names ("line"), and the seconds since loading. */
void verbose_end(uint64_t done, const char *unit, double seconds);

#endif
