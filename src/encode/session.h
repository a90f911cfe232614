/*
 * session.h - the forward pass as a whole. mega.h has the public side.
 *
 * Before an input runs it is planned: its shapes, what the kind of layer plans, and one arena for
 * everything. The pass itself allocates nothing. A session keeps plan and memory for the next
 * input.
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
    MegaEmaPath ema_path; /* AUTO, unless a test forces another way */
    MegaArena arena;         /* grows with the input */
    MegaWorkspace workspace; /* its arrays lie in the arena, but its plan does not */
    MegaArena head_arena;
    MegaHeadMemory head; /* lies in head_arena */
    MegaTapping tap;
    double rate;    /* MegaSessionOptions.rate, never 0 */
    bool is_stream; /* inputs are pieces of one sequence */
};

/* Runs embedding and encoder on inputs that mega_embed_check has passed, with their lengths.
 * *states holds the states of one input behind those of the other, and is valid until the session
 * runs again. `number` tells taps which input this is. */
int mega_session_run_encoder(MegaSession *session, const MegaInput *inputs, const size_t *lengths,
                             size_t count, int number, const float **states, MegaError *err);
/* Does what mega_session_classify does with one input, but takes it through the model in pieces of
 * at most `piece` positions. Layers keep a state between them, so that memory does not grow with
 * the length of the input, and taps see each stage piece by piece. Lags are not cut off as in a
 * full pass. Only some kinds of layers can do this, where they do not look ahead. */
int mega_session_classify_pieces(MegaSession *session, const MegaInput *input, size_t piece,
                                 float *logits, MegaError *err);
/* Returns whether an input of this length gives the same bits in a batch as alone. */
bool mega_session_can_batch(const MegaSession *session, size_t length);

/* Fails unless the session's limit leaves room for `bytes` more than it and everything made with it
 * take. The message begins with `what`, which says what they are for. */
int mega_session_check_memory(const MegaSession *session, uint64_t bytes, const char *what,
                              MegaError *err);

/* Counts memory that a caller keeps beside the session, such as inputs and results, against the
 * session's limit: its share changes from `from` to `to` bytes. */
int mega_session_count(MegaSession *session, uint64_t from, uint64_t to, const char *what,
                       MegaError *err);
/* Returns how many bytes the limit leaves, or UINT64_MAX if there is no limit. */
uint64_t mega_session_left(const MegaSession *session);

/* Forces a tier of kernels and a way through the moving average, for tests and benchmarks. */
void mega_session_force(MegaSession *session, const MegaKernels *kernels, MegaEmaPath path);

#endif
