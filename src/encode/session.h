/*
 * session.h - the forward pass as a whole. mega_engine.h has the public side.
 *
 * An input is planned before it runs: its shapes, what the kind of layer plans, and one arena for
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
    MegaEmaPath ema_path; /* AUTO, unless mega_session_force sets another one */
    MegaArena arena;         /* grows with the input */
    MegaWorkspace workspace; /* its arrays lie in the arena, but its plan does not */
    MegaArena head_arena;
    MegaHeadMemory head; /* lies in head_arena */
    MegaTapping tap;
    double rate;    /* MegaSessionOptions.rate, never 0 */
    bool is_stream; /* the input is a piece of a longer sequence */
    bool planned_stream;   /* what is_stream was when the workspace was planned */
    char *spill;           /* a copy of MegaSessionOptions.spill, or NULL */
    bool tap_takes_pieces; /* the tap puts pieces together (mega_session_set_piece_tap) */
};

/* Runs embedding and encoder on inputs that mega_embed_check has passed, with their lengths.
 * *states holds the states [positions of all inputs][d], one input after the other, and is valid
 * until the session runs again. `number` tells taps which input this is. Fails as mega_session_plan
 * does. */
int mega_session_run_encoder(MegaSession *session, const MegaInput *inputs, const size_t *lengths,
                             size_t count, int number, const float **states, MegaError *err);
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

/* Does what mega_session_set_tap does, for a tap that puts the rows of a stage together if they
 * come in several calls. With any other tap, an input is not cut to save memory. */
void mega_session_set_piece_tap(MegaSession *session, MegaTap tap, void *context);

/* ---- One long sequence as a stream of pieces -------------------------------------------------
 *
 * The layers keep a state from piece to piece, so memory does not grow with the sequence, and taps
 * see each stage piece by piece. Lags are not cut off as in a full pass. Only some kinds of layers
 * can do this, where they do not look ahead. */

/* Begins a sequence. Fails as mega_session_check_stream does. */
int mega_session_stream_begin(MegaSession *session, MegaError *err);
/* Runs the next piece, and stores how many positions it has. pooled [d] receives its part of the
 * pooled vector: the sum over its positions or, as the model pools, its first or last one. Other
 * inputs may run between two pieces. */
int mega_session_stream_piece(MegaSession *session, const MegaInput *piece, double *pooled,
                              size_t *positions, MegaError *err);
/* Joins the parts of two neighbouring pieces into `pooled`, or copies `later` there if it is the
 * first part. */
void mega_session_stream_join(const MegaSession *session, double *pooled, const double *later,
                              bool is_first);
/* Computes the logits of all pieces together, from their joined part and number of positions. */
int mega_session_stream_end(MegaSession *session, const double *pooled, size_t positions,
                            float *logits, MegaError *err);

/* ---- Shared by session.c, pieces.c and stream.c ---- */

/* Makes memory and a plan for a batch, unless those of the previous batch fit. Returns
 * MEGA_ERR_LIMIT, MEGA_ERR_MEMORY, or what the kind of layer returns. */
int mega_session_plan(MegaSession *session, const MegaBatch *batch, MegaError *err);
/* Makes the pass of input number `number` through the planned workspace. */
MegaPass mega_session_pass(MegaSession *session, int number);
/* Embeds inputs into the workspace: from position `first` of each on, as many as were planned. */
void mega_session_enter(const MegaSession *session, const MegaPass *pass, const MegaInput *inputs,
                        size_t first);
/* Applies the norm at the end of the stack, if it has one. */
void mega_session_leave(const MegaPass *pass);
/* Enters, runs all layers, and leaves. */
void mega_session_run_layers(const MegaSession *session, const MegaPass *pass,
                             const MegaInput *inputs, size_t first);
/* These pool the workspace as mega_head_pool_add and mega_head_pool_end do, and show taps the
 * results. */
void mega_session_pool(MegaSession *session, const MegaPass *pass, size_t before, float *pooled);
void mega_session_pool_end(MegaSession *session, const MegaPass *pass, size_t length,
                           float *pooled);
/* Computes the logits of the pooled vectors. Returns MEGA_ERR_INPUT if one is not finite. */
int mega_session_finish_logits(MegaSession *session, float *logits, MegaError *err);
/* Checks that the model classifies, and takes this number of inputs at a time. */
int mega_session_check_inputs(const MegaModel *model, int count, MegaError *err);
/* Checks that the model can run as a stream of pieces, or returns MEGA_ERR_UNSUPPORTED. */
int mega_session_check_stream(const MegaModel *model, MegaError *err);

/* Returns whether an error says that memory or the session's limit does not suffice, so that
 * smaller pieces may still fit. */
static inline bool mega_session_lacks_memory(int code)
{
    return code == MEGA_ERR_LIMIT || code == MEGA_ERR_MEMORY;
}

/* These return whether an input may be cut (MegaLayerKind.cut) if memory does not suffice, and
 * whether it is so long that it is cut in any case. */
bool mega_session_may_cut(const MegaSession *session);
bool mega_session_should_cut(const MegaSession *session, size_t length);
/* Takes a checked input of `length` positions as a stream of pieces, and computes its logits. */
int mega_session_run_stream(MegaSession *session, const MegaInput *input, size_t length,
                            size_t piece, float *logits, MegaError *err);
/* Takes a checked input of `length` positions through the layers in pieces of at most `piece`
 * positions (0: as many as serve speed and fit into memory), and pools it. */
int mega_session_run_cut(MegaSession *session, const MegaInput *input, size_t length, size_t piece,
                         int number, float *pooled, MegaError *err);

/* Forces a tier of kernels and a path of the moving average, for tests and benchmarks. */
void mega_session_force(MegaSession *session, const MegaKernels *kernels, MegaEmaPath path);

#endif
