/*
 * forward_pieces.c - see forward_pieces.h.
 */
#include "tools/run/forward_pieces.h"

#include <stdlib.h>
#include <string.h>

#include "formats/base/input_stream.h"
#include "formats/media/npy.h"
#include "src/base/checked.h"
#include "src/encode/session.h"
#include "src/layers/embed.h"

#define FIRST_TOKENS 65536 /* room for tokens, which doubles while they arrive */

typedef struct Run {
    const ForwardPieces *request;
    MegaSession *session;
    const MegaModel *model;
    MegaNpyInput *input;
    MegaNpy header;
    MegaInput view;     /* the whole input, of which only token ids are in memory */
    int32_t *tokens;    /* NULL unless the input is token ids */
    float *values;      /* a piece of any other input */
    size_t each;        /* values of a position */
    uint64_t positions; /* of the whole input */
    double *pooled, *piece; /* [d]: of all pieces so far, and of the last one */
    float *logits;
    uint64_t counted; /* bytes that the session counts for all this */
    MegaNpyOutput *output;
    uint64_t shape[2];
    int code; /* the first error in the tap */
    MegaError err;
} Run;

static int count_memory(Run *run, uint64_t more, MegaError *err)
{
    int code = mega_session_count(run->session, 0, more, "the array", err);
    run->counted += code ? 0 : more;
    return code;
}

/* Writes the rows of the stage that the user asked for, when a piece has made them. */
static void write_rows(void *context, const char *stage, int input, const float *data, size_t rows,
                       size_t columns)
{
    Run *run = context;
    const bool is_vector = run->request->is_vector;
    (void)input;
    if (strcmp(stage, run->request->stage) != 0 || run->code)
        return;
    if (!run->output) {
        run->shape[0] = is_vector ? 1 : run->positions;
        run->shape[1] = columns;
        run->code = mega_npy_create(&run->output, run->request->output, is_vector ? 1 : 2,
                                    is_vector ? run->shape + 1 : run->shape, &run->err);
    }
    if (!run->code)
        run->code = mega_npy_append(run->output, data, rows * columns, &run->err);
}

/* Reads all token ids and drops padding at both ends. No memory is taken for a length that only the
 * header claims. */
static int read_tokens(Run *run, MegaError *err)
{
    size_t have = 0, room = 0, length;
    int code = 0;
    while (have < run->header.elements && !code) {
        const uint64_t left = run->header.elements - have;
        const size_t more = (size_t)(left < FIRST_TOKENS ? left : FIRST_TOKENS);
        if (have + more > room) {
            const size_t grown = room ? 2 * room : more;
            code = count_memory(run, (grown - room) * sizeof *run->tokens, err);
            int32_t *tokens = code ? NULL : realloc(run->tokens, grown * sizeof *tokens);
            if (!tokens)
                return code ? code
                            : mega_fail(err, MEGA_ERR_MEMORY, "no memory for %s",
                                        mega_source_name(run->request->input));
            run->tokens = tokens;
            room = grown;
        }
        code = mega_npy_next(run->input, run->tokens + have, more, err);
        have += more;
    }
    MegaError inner = {0};
    run->view = (MegaInput){.kind = MEGA_INPUT_TOKENS, .tokens = run->tokens, .length = have};
    if (!code && (code = mega_embed_check(&run->model->config, &run->view, &length, &inner)))
        mega_fail(err, code, "%s: %s", run->request->input, inner.text);
    run->positions = run->view.length;
    return code;
}

/* Finds out what the array is, and makes room for a piece. */
static int begin(Run *run, MegaError *err)
{
    const MegaConfig *config = &run->model->config;
    const size_t d = (size_t)config->encoder.width, classes = (size_t)config->head.classes;
    const bool frames = config->embed.kind == MEGA_EMBED_FRAMES;
    run->each = frames ? (size_t)config->embed.frame_hop : 1;
    int code = mega_npy_open(&run->input, &run->header, run->request->input, err);
    if (code)
        return code;
    if (run->header.rank != 1 &&
        !(run->header.rank == 2 && frames && run->header.shape[1] == run->each))
        return mega_fail(err, MEGA_ERR_INPUT,
                         "%s: an array of %d dimensions cannot go through the model in pieces: "
                         "expected a vector, or as many values in a row as a position has",
                         run->request->input, run->header.rank);
    if (run->header.rank == 1 && run->header.type == MEGA_NPY_I32) {
        code = read_tokens(run, err);
    } else {
        run->positions = (run->header.elements - 1) / run->each + 1;
        const size_t floats = (size_t)(run->positions < run->request->most
                                           ? run->header.elements
                                           : run->request->most * run->each);
        code = count_memory(run, floats * sizeof(float), err);
        if (!code && !(run->values = malloc(floats * sizeof(float))))
            code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu values", floats);
    }
    run->pooled = calloc(d, sizeof *run->pooled);
    run->piece = calloc(d, sizeof *run->piece);
    run->logits = calloc(classes ? classes : d, sizeof *run->logits);
    if (!code && (!run->pooled || !run->piece || !run->logits))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu values", d);
    return code;
}

/* Returns the next piece: `count` positions from number `first` on. */
static int next_piece(Run *run, uint64_t first, size_t count, MegaInput *out, MegaError *err)
{
    if (run->tokens) {
        *out = run->view;
        out->tokens += first;
        out->length = count;
        return 0;
    }
    const uint64_t left = run->header.elements - first * run->each;
    const size_t floats = (size_t)(left < count * run->each ? left : count * run->each);
    *out = (MegaInput){.kind = MEGA_INPUT_SAMPLES, .values = run->values, .length = floats};
    if (run->header.type == MEGA_NPY_F32)
        return mega_npy_next(run->input, run->values, floats, err);
    return mega_fail(err, MEGA_ERR_INPUT, "%s: integers in %d dimensions are not an input",
                     run->request->input, run->header.rank);
}

static int run_pieces(Run *run, MegaError *err)
{
    const char *path = run->request->input;
    MegaError inner = {0};
    int code = mega_session_stream_begin(run->session, &inner);
    for (uint64_t first = 0; first < run->positions && !code; first += run->request->most) {
        const uint64_t left = run->positions - first;
        const size_t count = (size_t)(left < run->request->most ? left : run->request->most);
        size_t positions;
        MegaInput piece;
        code = next_piece(run, first, count, &piece, err);
        if (code)
            return code;
        code = mega_session_stream_piece(run->session, &piece, run->piece, &positions, &inner);
        if (code && first > 0)
            return mega_fail(err, code, "%s: after position %llu: %s", path,
                             (unsigned long long)first - 1, inner.text);
        if (!code)
            mega_session_stream_join(run->session, run->pooled, run->piece, first == 0);
        if (run->code)
            return mega_fail(err, run->code, "%s", run->err.text);
    }
    if (!code)
        code = mega_session_stream_end(run->session, run->pooled, (size_t)run->positions,
                                       run->logits, &inner);
    return code ? mega_fail(err, code, "%s: %s", path, inner.text) : 0;
}

static int finish(Run *run, MegaError *err)
{
    if (run->code)
        return mega_fail(err, run->code, "%s", run->err.text);
    if (!run->output)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "stage %s was not computed: layers that run step by step make no kernels",
                         run->request->stage);
    return mega_npy_commit(run->output, err);
}

int forward_in_pieces(const ForwardPieces *request, MegaSession *session, const MegaModel *model,
                      uint64_t shape[2], MegaError *err)
{
    Run run = {.request = request, .session = session, .model = model};
    int code = begin(&run, err);
    mega_session_set_tap(session, write_rows, &run);
    if (!code)
        code = run_pieces(&run, err);
    if (!code)
        code = finish(&run, err);
    mega_session_set_tap(session, NULL, NULL);
    memcpy(shape, run.shape, sizeof run.shape);
    mega_session_count(session, run.counted, 0, NULL, NULL);
    mega_npy_close(run.input);
    mega_npy_discard(run.output);
    free(run.tokens);
    free(run.values);
    free(run.pooled);
    free(run.piece);
    free(run.logits);
    return code;
}
