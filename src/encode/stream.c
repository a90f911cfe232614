/*
 * stream.c - one long sequence on its way through a model piece by piece, for layers that keep a
 * state and do not look ahead; see session.h.
 */
#include <stdlib.h>

#include "src/base/checked.h"
#include "src/base/float_mode.h"
#include "src/encode/session.h"
#include "src/layers/embed.h"

int mega_session_check_stream(const MegaModel *model, MegaError *err)
{
    const MegaLayerKind *kind = model->encoder.kind;
    const MegaEmbedConfig *embed = &model->config.embed;
    int code = mega_session_check_inputs(model, 1, err);
    if (code)
        return code;
    if (!kind->can_stream)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "layers of kind %s cannot run in pieces: what they see is not a state",
                         kind->name);
    if (!kind->can_stream(&model->config.encoder))
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "the model's layers look ahead, or depend on the length of the input, so "
                         "it cannot run in pieces");
    if (embed->kind == MEGA_EMBED_FRAMES && embed->frame_length != embed->frame_hop)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "the model's frames overlap, so it cannot run in pieces");
    if (embed->kind == MEGA_EMBED_PATCHES ||
        model->config.encoder.positions != MEGA_POSITIONS_NONE)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "the model's embedding counts positions, so it cannot run in pieces");
    return 0;
}

int mega_session_stream_begin(MegaSession *session, MegaError *err)
{
    int code = mega_session_check_stream(session->model, err);
    const MegaPlanner *planner = code ? NULL : session->model->encoder.kind->planner;
    if (planner && planner->restart)
        planner->restart(session->workspace.plan);
    return code;
}

/* Returns whether pooling adds up all positions; otherwise it chooses one of them. */
static bool pooling_adds(const MegaModel *model)
{
    const MegaPooling pooling = model->config.head.pooling;
    return pooling != MEGA_POOL_FIRST && pooling != MEGA_POOL_LAST;
}

/* Runs `count` positions of a checked input from position `first` on, as the next piece of the
 * stream. The session plans for a stream only during this call, so other inputs may run in
 * between. */
static int run_part(MegaSession *session, const MegaInput *input, size_t first, size_t count,
                    double *pooled, MegaError *err)
{
    const MegaModel *model = session->model;
    const MegaHeadMemory *head = &session->head;
    session->is_stream = true;
    int code = mega_session_plan(
        session, &(MegaBatch){&count, 1, session->ema_path, session->rate, 0}, err);
    if (!code) {
        const MegaPass pass = mega_session_pass(session, 0);
        mega_session_run_layers(session, &pass, input, first);
        mega_head_pool_add(&pass, &model->config, &model->weights, &session->head, 0,
                           head->pooled);
        for (size_t i = 0; i < (size_t)model->config.encoder.width; i++)
            pooled[i] = pooling_adds(model) ? head->sums[i] : (double)head->pooled[i];
    }
    session->is_stream = false;
    return code;
}

int mega_session_stream_piece(MegaSession *session, const MegaInput *piece, double *pooled,
                              size_t *positions, MegaError *err)
{
    MEGA_WITH_FLOAT_MODE;
    MegaInput checked = *piece;
    int code = mega_embed_check(&session->model->config, &checked, positions, err);
    return code ? code : run_part(session, &checked, 0, *positions, pooled, err);
}

void mega_session_stream_join(const MegaSession *session, double *pooled, const double *later,
                              bool is_first)
{
    const MegaModel *model = session->model;
    const bool adds = pooling_adds(model) && !is_first;
    if (!is_first && model->config.head.pooling == MEGA_POOL_FIRST)
        return;
    for (size_t i = 0; i < (size_t)model->config.encoder.width; i++)
        pooled[i] = adds ? pooled[i] + later[i] : later[i];
}

int mega_session_stream_end(MegaSession *session, const double *pooled, size_t positions,
                            float *logits, MegaError *err)
{
    MEGA_WITH_FLOAT_MODE;
    const MegaModel *model = session->model;
    const size_t d = (size_t)model->config.encoder.width;
    MegaHeadMemory *head = &session->head;
    for (size_t i = 0; i < d; i++) {
        head->sums[i] = pooled[i];
        head->pooled[i] = (float)pooled[i];
    }
    mega_head_pool_end(&model->config, head, positions, head->pooled);
    mega_tap(&session->tap, "pooled", head->pooled, 1, d);
    return mega_session_finish_logits(session, logits, err);
}

int mega_session_run_stream(MegaSession *session, const MegaInput *input, size_t length,
                            size_t piece, float *logits, MegaError *err)
{
    const size_t d = (size_t)session->model->config.encoder.width;
    double *pooled = calloc(2 * d, sizeof *pooled);
    int code = pooled ? mega_session_stream_begin(session, err)
                      : mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu values", d);
    for (size_t first = 0; first < length && !code; first += piece) {
        code = run_part(session, input, first, mega_min_size(length - first, piece), pooled + d,
                        err);
        if (!code)
            mega_session_stream_join(session, pooled, pooled + d, first == 0);
    }
    if (!code)
        code = mega_session_stream_end(session, pooled, length, logits, err);
    free(pooled);
    return code;
}
