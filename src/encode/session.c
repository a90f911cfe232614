/*
 * session.c - plan, embed, layers, head: the forward pass from end to end.
 */
#include "src/encode/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/float_mode.h"
#include "src/layers/embed.h"

/* ---- Making --------------------------------------------------------------------------------- */

/* Chooses the tier of that name, or the best one. */
static int choose_kernels(MegaSession *session, const char *name, MegaError *err)
{
    const MegaKernels *all[MEGA_MOST_TIERS];
    char list[128] = "";
    session->kernels = name ? mega_kernels_by_name(name) : mega_kernels();
    if (session->kernels)
        return 0;
    if (strcmp(name, "openblas") == 0 && !MEGA_WITH_OPENBLAS)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "this build has no OpenBLAS");
    if (strcmp(name, "openblas") == 0)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "OpenBLAS cannot be loaded: libopenblas.so.0 is not installed, or memory "
                         "is limited, under which OpenBLAS would hang");
    size_t count = mega_kernels_all(all), used = 0;
    for (size_t i = 0; i < count && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                                 all[i]->name);
    return mega_fail(err, MEGA_ERR_ARGUMENT, "this machine has no kernels '%s'; it has %s", name,
                     list);
}

/* Chooses the precision of the kernels' products by its name. */
static int choose_precision(MegaSession *session, const char *name, MegaError *err)
{
    if (!name || strcmp(name, "f32") == 0)
        return 0;
    if (strcmp(name, "bf16") != 0)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "a precision of '%s'; expected f32 or bf16", name);
    const MegaKernels *kernels = mega_kernels_in_bf16(session->kernels);
    if (!kernels)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "the kernels '%s' have no products in bf16; only 'amx' does, on "
                         "processors with Intel's tile unit",
                         session->kernels->name);
    session->kernels = kernels;
    return 0;
}

/* Makes the form of the weights that the kernels' products read, if they have one. */
static int prepare_weights(MegaSession *session, MegaError *err)
{
    MegaForms *forms = session->model->forms;
    if (!session->kernels->prepare)
        return 0;
    int code = mega_ledger_change(session->ledger, 0, mega_forms_bytes(forms),
                                  "the weights as the kernels read them", err);
    return code ? code : mega_forms_make(forms, session->kernels, err);
}

static int check_rate(const MegaSession *session, MegaError *err)
{
    const MegaModel *model = session->model;
    const bool known = session->rate >= 1e-3 && session->rate <= 1e3;
    if (!known)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "a rate of %g; expected 0.001 to 1000",
                         session->rate);
    if (session->rate != 1 && (!mega_config_has_encoder(&model->config) ||
                               !model->encoder.kind->has_rate))
        return mega_fail(
            err, MEGA_ERR_ARGUMENT,
            "a rate of %g is for layers of a kind that has one, such as S4; this model "
            "has none",
            session->rate);
    return 0;
}

int mega_session_check_memory(const MegaSession *session, uint64_t bytes, const char *what,
                              MegaError *err)
{
    return mega_ledger_check(session->ledger, bytes, what, err);
}

int mega_session_count(MegaSession *session, uint64_t from, uint64_t to, const char *what,
                       MegaError *err)
{
    return mega_ledger_change(session->ledger, from, to, what, err);
}

uint64_t mega_session_left(const MegaSession *session)
{
    return mega_ledger_left(session->ledger);
}

int mega_session_new(MegaSession **out, const MegaModel *model, const MegaSessionOptions *options,
                     MegaError *err)
{
    MEGA_WITH_FLOAT_MODE;
    MegaArena dry = {0};
    *out = NULL;
    MegaSession *session = calloc(1, sizeof *session);
    if (!session)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a session");
    session->model = model;
    session->rate = options && options->rate != 0 ? options->rate : 1;
    session->ledger =
        mega_ledger_new(mega_model_memory(model), options ? options->max_memory : 0);
    if (!session->ledger) {
        mega_session_free(session);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a session");
    }
    int code = choose_kernels(session, options ? options->cpu : NULL, err);
    if (!code)
        code = choose_precision(session, options ? options->precision : NULL, err);
    if (!code && options && options->spill && !(session->spill = strdup(options->spill)))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a session");
    if (!code)
        code = check_rate(session, err);
    if (!code)
        code = mega_session_check_memory(session, 0, "the model", err);
    if (!code)
        code = prepare_weights(session, err);
    if (!code)
        code = mega_pool_new(&session->pool, options ? options->threads : 0, err);
    if (!code) {
        mega_head_layout(&session->head, &model->config, &dry);
        code = mega_ledger_change(session->ledger, 0, dry.used, "a session", err);
    }
    if (!code)
        code = mega_arena_reserve(&session->head_arena, dry.used, err);
    if (code) {
        mega_session_free(session);
        return code;
    }
    mega_head_layout(&session->head, &model->config, &session->head_arena);
    *out = session;
    return 0;
}

void mega_session_free(MegaSession *session)
{
    if (!session)
        return;
    if (session->workspace.plan)
        session->model->encoder.kind->planner->free(session->workspace.plan);
    mega_pool_free(session->pool);
    mega_arena_free(&session->arena);
    mega_arena_free(&session->head_arena);
    mega_ledger_drop(session->ledger);
    free(session->spill);
    free(session);
}

void mega_session_set_tap(MegaSession *session, MegaTap tap, void *context)
{
    session->tap = (MegaTapping){
        .tap = tap, .context = context, .stack = "", .attention = session->tap.attention};
    session->tap_takes_pieces = false;
}

void mega_session_set_piece_tap(MegaSession *session, MegaTap tap, void *context)
{
    mega_session_set_tap(session, tap, context);
    session->tap_takes_pieces = true;
}

void mega_session_tap_attention(MegaSession *session, bool wanted)
{
    session->tap.attention = wanted;
}

size_t mega_session_memory(const MegaSession *session)
{
    return session->arena.size;
}

void mega_session_force(MegaSession *session, const MegaKernels *kernels, MegaEmaPath path)
{
    if (session->kernels == kernels && session->ema_path == path)
        return;
    session->kernels = kernels;
    if (kernels->prepare)
        (void)mega_forms_make(session->model->forms, kernels, NULL);
    session->ema_path = path;
    session->workspace.length = 0; /* this makes the next input plan anew */
}

/* ---- Planning ------------------------------------------------------------------------------- */

/* Writes what is planned, for messages about memory. */
static void name_batch(const MegaSession *session, const MegaBatch *batch, char out[64])
{
    snprintf(out, 64, batch->whole ? "a piece of %zu positions" : "an input of %zu positions",
             session->workspace.length);
}

static void layout(MegaSession *session, const MegaBatch *batch, MegaArena *arena)
{
    mega_workspace_layout(&session->workspace, &session->model->encoder, batch,
                          mega_pool_threads(session->pool),
                          mega_embed_scratch(&session->model->config), arena);
}

static bool shows_attention(const MegaSession *session)
{
    return session->tap.tap && session->tap.attention;
}

/* Returns whether the session is planned for these sequences already. */
static bool planned(const MegaSession *session, const size_t *lengths, size_t count)
{
    const MegaWorkspace *w = &session->workspace;
    bool same = w->length > 0 && w->sequences == count &&
                w->shows_attention == shows_attention(session) &&
                session->planned_stream == session->is_stream;
    for (size_t i = 0; same && i < count; i++)
        same = w->begin[i + 1] - w->begin[i] == lengths[i];
    return same;
}

/* Makes room for `size` bytes in the arena and counts them in the ledger. */
static int reserve_arena(MegaSession *session, const MegaBatch *batch, size_t size,
                         MegaError *err)
{
    char what[64];
    size_t before = session->arena.size;
    if (size > before) {
        name_batch(session, batch, what);
        int code = mega_ledger_change(session->ledger, before, size, what, err);
        if (code)
            return code;
    }
    int code = mega_arena_reserve(&session->arena, size, err);
    if (code) /* the arena no longer exists */
        mega_ledger_change(session->ledger, size > before ? size : before, 0, NULL, NULL);
    return code;
}

int mega_session_plan(MegaSession *session, const MegaBatch *batch, MegaError *err)
{
    const MegaStack *stack = &session->model->encoder;
    MegaArena dry = {0};
    int code = 0;
    if (planned(session, batch->lengths, batch->count))
        return 0;
    session->workspace.length = 0; /* leaves no plan, should anything fail below */
    session->workspace.shows_attention = shows_attention(session);
    session->planned_stream = session->is_stream;
    if (stack->kind->planner)
        code = stack->kind->planner->make(
            &(MegaPlanRequest){.stack = stack, .batch = batch, .is_stream = session->is_stream,
                               .kernels = session->kernels, .pool = session->pool,
                               .ledger = session->ledger},
            &session->workspace.plan, err);
    if (code)
        return code;
    layout(session, batch, &dry);
    if (dry.overflow)
        code = mega_fail(err, MEGA_ERR_LIMIT, "an input of %zu positions is too long",
                         session->workspace.length);
    if (!code)
        code = reserve_arena(session, batch, dry.used, err);
    if (code) {
        session->workspace.length = 0;
        return code;
    }
    layout(session, batch, &session->arena);
    return 0;
}

/* ---- Running -------------------------------------------------------------------------------- */

MegaPass mega_session_pass(MegaSession *session, int number)
{
    MegaPass pass = {.stack = &session->model->encoder, .config = &session->model->config.encoder,
                     .is_stream = session->is_stream,
                     .kernels = session->kernels, .pool = session->pool,
                     .workspace = &session->workspace, .tap = session->tap};
    pass.tap.input = number;
    return pass;
}

bool mega_session_can_batch(const MegaSession *session, size_t length)
{
    const MegaStack *stack = &session->model->encoder;
    return !stack->kind->can_batch ||
           stack->kind->can_batch(stack->config, session->ema_path, length);
}

/* Shows a tap the position embeddings, computed where the embedding itself will be. */
static void tap_positions(const MegaPass *pass, size_t first)
{
    const MegaWorkspace *w = pass->workspace;
    const size_t d = (size_t)pass->config->width;
    memset(w->x, 0, w->length * d * sizeof *w->x);
    for (size_t i = 0; i < w->sequences; i++)
        mega_positions_add(&pass->stack->positions, first, w->begin[i + 1] - w->begin[i],
                           w->x + w->begin[i] * d);
    mega_tap(&pass->tap, "positions", w->x, w->length, d);
}

void mega_session_enter(const MegaSession *session, const MegaPass *pass, const MegaInput *inputs,
                        size_t first)
{
    const MegaModel *model = session->model;
    const MegaWorkspace *w = pass->workspace;
    if (pass->tap.tap && pass->stack->positions.kind != MEGA_POSITIONS_NONE)
        tap_positions(pass, first);
    for (size_t i = 0; i < w->sequences; i++)
        mega_embed_run(pass, &(MegaEmbed){&model->config.embed, &model->weights, &inputs[i],
                                          w->begin[i], w->begin[i + 1] - w->begin[i], first});
    mega_tap(&pass->tap, "embed", w->x, w->length, (size_t)pass->config->width);
}

void mega_session_leave(const MegaPass *pass)
{
    const MegaWorkspace *w = pass->workspace;
    if (!pass->config->final_norm)
        return;
    mega_workspace_norm(pass, &pass->stack->final_norm, w->x);
    mega_tap(&pass->tap, "final", w->x, w->length, (size_t)pass->config->width);
}

void mega_session_run_layers(const MegaSession *session, const MegaPass *pass,
                             const MegaInput *inputs, size_t first)
{
    mega_session_enter(session, pass, inputs, first);
    for (int i = 0; i < pass->config->layers; i++)
        pass->stack->kind->forward(pass, i);
    mega_session_leave(pass);
}

int mega_session_run_encoder(MegaSession *session, const MegaInput *inputs, const size_t *lengths,
                             size_t count, int number, const float **states, MegaError *err)
{
    int code = mega_session_plan(
        session, &(MegaBatch){lengths, count, session->ema_path, session->rate, 0}, err);
    if (code)
        return code;
    const MegaPass pass = mega_session_pass(session, number);
    mega_session_run_layers(session, &pass, inputs, 0);
    *states = session->workspace.x;
    return 0;
}

void mega_session_pool(MegaSession *session, const MegaPass *pass, size_t before, float *pooled)
{
    const MegaModel *model = session->model;
    const MegaWorkspace *w = pass->workspace;
    mega_head_pool_add(pass, &model->config, &model->weights, &session->head, before, pooled);
    /* a model without classes gives the states themselves, and its pooled vector comes later */
    if (model->config.head.classes == 0)
        mega_tap(&pass->tap, "logits", w->x, w->length, (size_t)pass->config->width);
}

void mega_session_pool_end(MegaSession *session, const MegaPass *pass, size_t length,
                           float *pooled)
{
    const MegaConfig *config = &session->model->config;
    mega_head_pool_end(config, &session->head, length, pooled);
    if (config->head.classes > 0)
        mega_tap(&pass->tap, "pooled", pooled, 1, (size_t)pass->config->width);
}

/* Takes a checked input of any length through the layers and pools it. */
static int encode_whole(MegaSession *session, const MegaInput *input, size_t length, int number,
                        float *pooled, MegaError *err)
{
    const float *states;
    int code = mega_session_run_encoder(session, input, &length, 1, number, &states, err);
    if (code)
        return code;
    const MegaPass pass = mega_session_pass(session, number);
    mega_session_pool(session, &pass, 0, pooled);
    mega_session_pool_end(session, &pass, length, pooled);
    return 0;
}

/* Takes input number `number` to its pooled vector, in one piece if possible. */
static int encode(MegaSession *session, const MegaInput *input, int number, MegaError *err)
{
    const MegaModel *model = session->model;
    size_t length;
    float *pooled = session->head.pooled + (size_t)number * (size_t)model->config.encoder.width;
    MegaInput checked = *input;
    int code = mega_embed_check(&model->config, &checked, &length, err);
    if (code)
        return code;
    if (mega_session_should_cut(session, length))
        return mega_session_run_cut(session, &checked, length, 0, number, pooled, err);
    code = encode_whole(session, &checked, length, number, pooled, err);
    if (mega_session_lacks_memory(code) && mega_session_may_cut(session))
        code = mega_session_run_cut(session, &checked, length, 0, number, pooled, err);
    return code;
}

static int check_finite(const float *logits, size_t count, MegaError *err)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(logits[i]))
            return mega_fail(err, MEGA_ERR_INPUT,
                             "the model's numbers overflow on this input: logit %zu is not finite",
                             i);
    return 0;
}

int mega_session_label(MegaSession *session, const MegaInput *input, const size_t *positions,
                       size_t count, float *logits, MegaError *err)
{
    MEGA_WITH_FLOAT_MODE;
    const MegaModel *model = session->model;
    size_t length, classes = (size_t)model->config.head.classes;
    const float *states;
    MegaInput checked = *input;
    if (!mega_task_traits(model->config.task)->labels_positions)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "the model has no logits of single positions: it %s",
                         mega_task_traits(model->config.task)->does);
    int code = mega_embed_check(&model->config, &checked, &length, err);
    if (!code && !positions && count != length)
        code = mega_fail(err, MEGA_ERR_ARGUMENT, "%zu positions were asked for, but there are %zu",
                         count, length);
    for (size_t i = 0; positions && i < count && !code; i++)
        if (positions[i] >= length)
            code = mega_fail(err, MEGA_ERR_ARGUMENT, "position %zu of a sequence of %zu",
                             positions[i], length);
    if (!code)
        code = mega_session_run_encoder(session, &checked, &length, 1, 0, &states, err);
    if (code)
        return code;
    const MegaPass pass = mega_session_pass(session, 0);
    mega_head_label(&pass, &model->config, &model->weights, &session->head,
                    &(MegaHeadRows){positions, count, logits});
    mega_tap(&pass.tap, "logits", logits, count, classes);
    return check_finite(logits, count * classes, err);
}

int mega_session_finish_logits(MegaSession *session, float *logits, MegaError *err)
{
    const MegaModel *model = session->model;
    mega_head_classify(&model->config, &model->weights, session->kernels, &session->head, logits);
    const bool vector = model->config.head.classes == 0;
    const size_t width = (size_t)(vector ? model->config.head.width : model->config.head.classes);
    mega_tap(&session->tap, vector ? "pooled" : "logits", logits, 1, width);
    return check_finite(logits, width, err);
}

int mega_session_check_inputs(const MegaModel *model, int count, MegaError *err)
{
    if (!mega_config_has_head(&model->config) ||
        mega_task_traits(model->config.task)->labels_positions)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the model is no classifier: it %s",
                         mega_task_traits(model->config.task)->does);
    if (count != mega_model_input_count(model))
        return mega_fail(err, MEGA_ERR_ARGUMENT, "the model takes %d input%s at a time, not %d",
                         mega_model_input_count(model),
                         mega_model_input_count(model) == 1 ? "" : "s", count);
    return 0;
}

int mega_session_classify(MegaSession *session, const MegaInput *inputs, int count, float *logits,
                          MegaError *err)
{
    MEGA_WITH_FLOAT_MODE;
    int code = mega_session_check_inputs(session->model, count, err);
    for (int i = 0; i < count && !code; i++)
        code = encode(session, &inputs[i], i, err);
    return code ? code : mega_session_finish_logits(session, logits, err);
}
