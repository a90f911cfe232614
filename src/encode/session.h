/*
 * session.h - the forward pass as a whole; the public side is in mega.h.
 *
 * Before an input runs it is planned: shapes, what the kind of layer plans, one arena for all of it. The
 * pass itself allocates nothing. A session keeps its plan and memory for the next input.
 */
#ifndef MEGA_SESSION_H
#define MEGA_SESSION_H

#include "src/base/ledger.h"
#include "src/layers/head.h"
#include "src/model/model.h"

struct MegaSession {
    const MegaModel *model;
    const MegaKernels *kernels;
    MegaPool *pool;
    MegaLedger *ledger;
    MegaEmaPath ema_path; /* AUTO unless a test forces one */
    MegaArena arena;         /* grows with the input */
    MegaWorkspace workspace; /* in arena, but for its plan */
    MegaArena head_arena;
    MegaHeadMemory head; /* in head_arena */
    MegaTapping tap;
};

/* Embedding and encoder of inputs that mega_embed_check has passed, and their lengths. *states, one
 * input's behind the other's, are borrowed until the session runs again. number: which input this
 * is, for taps. */
int mega_session_run_encoder(MegaSession *session, const MegaInput *inputs, const size_t *lengths,
                             size_t count, int number, const float **states, MegaError *err);
/* Whether an input of this length gives the same bits among others as alone. */
bool mega_session_can_batch(const MegaSession *session, size_t length);

/* Fails unless the session's limit leaves room for `bytes` more than everything that was made with
 * it takes. What they are for begins the message. */
int mega_session_check_memory(const MegaSession *session, uint64_t bytes, const char *what,
                              MegaError *err);

/* What a caller keeps beside the session, inputs and results, counts against the session's limit,
 * too: what took `from` bytes takes `to` from now on. */
int mega_session_count(MegaSession *session, uint64_t from, uint64_t to, const char *what,
                       MegaError *err);
/* How many bytes the limit leaves; UINT64_MAX: there is none. */
uint64_t mega_session_left(const MegaSession *session);

/* For tests and benchmarks: forces a tier of kernels and a way through the moving average. */
void mega_session_force(MegaSession *session, const MegaKernels *kernels, MegaEmaPath path);

#endif
