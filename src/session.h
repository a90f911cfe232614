/*
 * session.h - the forward pass as a whole; the public side is in mega.h.
 *
 * Before an input runs it is planned: shapes, the way through the EMA, one arena for all of it. The
 * pass itself allocates nothing. A session keeps its plan and memory for the next input.
 */
#ifndef MEGA_SESSION_H
#define MEGA_SESSION_H

#include "head.h"
#include "model.h"

struct MegaSession {
    const MegaModel *model;
    const MegaKernels *kernels;
    MegaPool *pool;
    uint64_t max_memory; /* 0: no limit */
    MegaEmaPath ema_path; /* AUTO unless a test forces one */
    MegaEmaPlan ema_plan;
    MegaArena arena;         /* grows with the input */
    MegaWorkspace workspace; /* in arena */
    float **rotary;          /* [layers] tables in arena, or NULL for the simple bias */
    MegaArena head_arena;
    MegaHeadMemory head; /* in head_arena */
    struct MegaSession **single; /* [threads] or NULL: mega_session_single */
    MegaTap tap;
    void *tap_context;
};

/* Embedding and encoder. *states [*length][d] are borrowed until the session runs again. number:
 * which input this is, for taps. */
int mega_session_run_encoder(MegaSession *session, const MegaInput *input, int number,
                             const float **states, size_t *length, MegaError *err);

/* Sessions of one thread each, as many as this one has: for as many inputs at a time. Short inputs
 * leave little to divide. Made at the first call, freed with the session. */
int mega_session_single(MegaSession *session, MegaError *err);

/* Whether `bytes` more than the model and the session's own memory are allowed; what they are for
 * begins the message. */
int mega_session_allow(const MegaSession *session, uint64_t bytes, const char *what,
                       MegaError *err);

/* For tests and benchmarks: forces a tier of kernels and a way through the EMA. */
void mega_session_force(MegaSession *session, const MegaKernels *kernels, MegaEmaPath path);

#endif
