/*
 * pieces.c - takes long inputs through a model in pieces, so that memory grows little with their
 * length, or not at all. There are two ways:
 *
 *   stream   for each piece: all layers        layers that keep a state and see nothing ahead
 *                                              (stream.c)
 *   cut      for each layer: all pieces        layers that attend in chunks, whose average may look
 *                                              ahead, and so over all pieces from the last one on
 *
 * A cut sequence has its residual stream [length][d] in a MegaSpill, in memory or in a file. A
 * layer reads a piece of it, with what the average sees on both sides, and writes its output to the
 * same place. The largest piece that fits into memory is taken, down to one chunk.
 */
#include <stdlib.h>

#include "src/base/checked.h"
#include "src/base/float_mode.h"
#include "src/encode/session.h"
#include "src/layers/embed.h"

/* Positions of a piece if memory allows: few enough for its workspace to stay in the cache, and
 * many compared with those that the average reads on both sides. Inputs longer than MOST_WHOLE are
 * always cut, where the model can be. */
#define PIECE 8192
#define MOST_WHOLE 32768

/* ---- Cut sequences -------------------------------------------------------------------------- */

/* Returns the unit of pieces, in positions (MegaLayerKind.cut), or 0 if inputs cannot be cut. */
static size_t cut_of(const MegaStack *stack)
{
    return stack->kind->cut ? stack->kind->cut(stack->config) : 0;
}

bool mega_session_may_cut(const MegaSession *session)
{
    return cut_of(&session->model->encoder) > 0 && (!session->tap.tap || session->tap_takes_pieces);
}

/* An input whose average the FFT would compute is cut only if it must be, because pieces need the
 * recurrence, which gives other bits. */
bool mega_session_should_cut(const MegaSession *session, size_t length)
{
    return length > MOST_WHOLE && mega_session_may_cut(session) &&
           mega_session_can_batch(session, length);
}

/* A cut sequence on its way through the layers. */
typedef struct Cut {
    MegaSession *session;
    const MegaInput *input;
    MegaPass pass;
    MegaPiece piece;
    size_t most, pieces; /* positions of every piece but the last one, and number of pieces */
    size_t row, kept;    /* bytes of a row, and of what a layer keeps of a piece */
    uint64_t counted;    /* bytes of piece.rows in the ledger */
} Cut;

static void free_rows(Cut *cut)
{
    mega_spill_free(cut->piece.rows);
    mega_ledger_change(cut->session->ledger, cut->counted, 0, NULL, NULL);
    cut->piece.rows = NULL;
    cut->counted = 0;
}

/* Makes room for the residual stream and the bytes that are kept of each piece: in memory, which is
 * counted, or in a file in `folder` (spill.h). */
static int make_rows(Cut *cut, const char *folder, MegaError *err)
{
    const uint64_t bytes =
        cut->piece.total * (uint64_t)cut->row + cut->pieces * (uint64_t)cut->kept;
    const uint64_t memory = folder ? 0 : bytes;
    int code =
        mega_ledger_change(cut->session->ledger, 0, memory, "keeping a long input's states", err);
    if (code)
        return code;
    cut->counted = memory;
    return mega_spill_new(&cut->piece.rows, bytes, folder, err);
}

/* Plans for pieces of at most `positions` positions, but at least one unit of cut_of, and halves
 * them as long as memory does not suffice. */
static int plan_pieces(Cut *cut, size_t positions, const char *folder, MegaError *err)
{
    MegaSession *session = cut->session;
    const size_t each = cut_of(&session->model->encoder), total = cut->piece.total;
    int code;
    for (size_t chunks = positions > each ? positions / each : 1;; chunks /= 2) {
        cut->most = mega_min_size(chunks * each, total);
        cut->pieces = mega_pieces(total, cut->most);
        session->workspace.length = 0;
        code = make_rows(cut, folder, err);
        if (!code)
            code = mega_session_plan(
                session, &(MegaBatch){&cut->most, 1, MEGA_EMA_RECURRENT, 1, total}, err);
        if (!code)
            return 0;
        free_rows(cut);
        if (!mega_session_lacks_memory(code) || chunks == 1)
            return code;
    }
}

/* Makes piece number `number` the present one. */
static void take_piece(Cut *cut, size_t number)
{
    MegaPiece *piece = &cut->piece;
    MegaWorkspace *w = &cut->session->workspace;
    piece->first = number * cut->most;
    piece->count = mega_min_size(cut->most, piece->total - piece->first);
    piece->kept = piece->total * (uint64_t)cut->row + number * (uint64_t)cut->kept;
    w->length = w->begin[1] = piece->count;
}

static void read_rows(const Cut *cut)
{
    const MegaPiece *piece = &cut->piece;
    mega_spill_read(piece->rows, piece->first * (uint64_t)cut->row, cut->session->workspace.x,
                    piece->count * cut->row);
}

static void write_rows(const Cut *cut)
{
    const MegaPiece *piece = &cut->piece;
    mega_spill_write(piece->rows, piece->first * (uint64_t)cut->row, cut->session->workspace.x,
                     piece->count * cut->row);
}

/* Takes all pieces through one layer. What leaves the last layer is pooled at once. */
static int run_layer(Cut *cut, int index, float *pooled, MegaError *err)
{
    const MegaPass *pass = &cut->pass;
    const MegaLayerKind *kind = pass->stack->kind;
    for (size_t i = cut->pieces; i-- > 0 && cut->kept > 0;) {
        take_piece(cut, i);
        kind->look_ahead(pass, index);
    }
    for (size_t i = 0; i < cut->pieces; i++) {
        take_piece(cut, i);
        read_rows(cut);
        kind->forward(pass, index);
        if (index + 1 < pass->config->layers) {
            write_rows(cut);
            continue;
        }
        mega_session_leave(pass);
        mega_session_pool(cut->session, pass, cut->piece.first, pooled);
    }
    return mega_spill_check(cut->piece.rows, err);
}

static int run_pieces(Cut *cut, float *pooled, MegaError *err)
{
    int code = 0;
    for (size_t i = 0; i < cut->pieces; i++) {
        take_piece(cut, i);
        mega_session_enter(cut->session, &cut->pass, cut->input, cut->piece.first);
        write_rows(cut);
    }
    for (int i = 0; i < cut->pass.config->layers && !code; i++)
        code = run_layer(cut, i, pooled, err);
    if (!code)
        mega_session_pool_end(cut->session, &cut->pass, cut->piece.total, pooled);
    return code;
}

int mega_session_run_cut(MegaSession *session, const MegaInput *input, size_t length, size_t piece,
                         int number, float *pooled, MegaError *err)
{
    const MegaStack *stack = &session->model->encoder;
    Cut cut = {.session = session,
               .input = input,
               .piece.total = length,
               .row = (size_t)stack->config->width * sizeof(float),
               .kept = stack->kind->kept(stack)};
    const size_t positions = piece ? piece : PIECE;
    int code = plan_pieces(&cut, positions, NULL, err);
    if (mega_session_lacks_memory(code) && session->spill)
        code = plan_pieces(&cut, positions, session->spill, err);
    if (!code) {
        cut.pass = mega_session_pass(session, number);
        cut.pass.piece = &cut.piece;
        code = run_pieces(&cut, pooled, err);
    }
    free_rows(&cut);
    session->workspace.length = 0; /* this makes the next input plan anew */
    return code;
}

/* ---- Both ----------------------------------------------------------------------------------- */

static int check_pieces(const MegaModel *model, size_t piece, MegaError *err)
{
    const MegaStack *stack = &model->encoder;
    const MegaLayerKind *kind = stack->kind;
    int code = mega_session_check_inputs(model, 1, err);
    if (code)
        return code;
    if (piece == 0)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "a piece has 0 positions; expected at least 1");
    if (cut_of(stack) > 0)
        return 0;
    if (kind->cut)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "the model has no chunks: every position attends to all others, so it "
                         "cannot run in pieces");
    return mega_session_check_stream(model, err);
}

int mega_session_classify_pieces(MegaSession *session, const MegaInput *input, size_t piece,
                                 float *logits, MegaError *err)
{
    MEGA_WITH_FLOAT_MODE;
    const MegaModel *model = session->model;
    MegaInput checked = *input;
    size_t length;
    int code = check_pieces(model, piece, err);
    if (!code)
        code = mega_embed_check(&model->config, &checked, &length, err);
    if (code)
        return code;
    if (cut_of(&model->encoder) == 0)
        return mega_session_run_stream(session, &checked, length, piece, logits, err);
    code = mega_session_run_cut(session, &checked, length, piece, 0, session->head.pooled, err);
    return code ? code : mega_session_finish_logits(session, logits, err);
}
