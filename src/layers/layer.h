/*
 * layer.h - what the layers of a pass share, whatever their kind: the sequences that go through an
 * encoder, or the rows that go through a decoder.
 *
 * A kind's own memory hangs on these as `own`, `memory` and `states`, placed by its layouts
 * (src/model/layer_kind.h).
 */
#ifndef MEGA_LAYER_H
#define MEGA_LAYER_H

#include "src/base/checked.h"
#include "src/base/ledger.h"
#include "src/base/spill.h"
#include "src/base/threads.h"
#include "src/layers/tap.h"
#include "src/model/layer_kind.h"

/* Most rows in one block. Smaller blocks reread weights, keys and values more often; the size never
 * changes a result. */
#define MEGA_ROW_BLOCK 120

/* A pass over the layers of a stack: everything that stays the same from layer to layer. */
struct MegaPass {
    const MegaStack *stack;
    /* the stack's configuration, but with the chunk that a decoder was asked for */
    const MegaStackConfig *config;
    const MegaKernels *kernels;
    MegaPool *pool;
    MegaWorkspace *workspace; /* memory of whole sequences; NULL in a decoder's step */
    MegaTapping tap;
    bool is_stream; /* the workspace holds a piece of a sequence (MegaPlanRequest) */
    /* The workspace holds this piece of a sequence that goes layer by layer (MegaLayerKind.cut);
     * NULL: sequences are whole, or a stream. */
    const MegaPiece *piece;
};

/* A piece of a sequence that goes through the stack layer by layer, and through each layer in
 * pieces. */
struct MegaPiece {
    /* [total][d], the residual stream of the whole sequence: output of the layer in the pieces that
     * went through it, input in the others. After it come the bytes that the kind keeps of each
     * piece (MegaLayerKind.kept). */
    MegaSpill *rows;
    size_t first, count; /* positions of the piece: first ... first + count - 1 */
    size_t total;        /* positions of the sequence */
    uint64_t kept;       /* offset in `rows` of the bytes that are kept of this piece */
};

/* ---- Whole sequences ------------------------------------------------------------------------ */

/* The states of one or several sequences on their way through the stack, one sequence after the
 * other, with L positions in all. The arrays lie in the session's arena. */
struct MegaWorkspace {
    size_t length;    /* L */
    size_t sequences;
    size_t *begin;    /* [sequences + 1]: the first position of each, and L */
    size_t row_block; /* rows of one block, at most MEGA_ROW_BLOCK */
    /* set before the layout: it is to place memory in which a tap is shown the weights */
    bool shows_attention;
    float *x;         /* [L][d] residual stream, in and out */
    float *spare;     /* [L][d] free between layers */
    float *scratch;   /* [threads][scratch_stride] */
    size_t scratch_stride;
    void *own;        /* memory that belongs to the kind of layer */
    void *plan;       /* made by the kind's planner; the session keeps it from input to input */
};

/* Return how many blocks the rows make, and how many rows block number `block` has. */
static inline size_t mega_row_blocks(const MegaWorkspace *workspace)
{
    return mega_pieces(workspace->length, workspace->row_block);
}

static inline size_t mega_block_rows(const MegaWorkspace *workspace, size_t block)
{
    size_t rest = workspace->length - block * workspace->row_block;
    return rest < workspace->row_block ? rest : workspace->row_block;
}

/* Returns a worker's scratch memory, to be handed out anew. */
static inline MegaArena mega_worker_arena(const MegaWorkspace *workspace, int worker)
{
    return (MegaArena){
        .base = (char *)(workspace->scratch + (size_t)worker * workspace->scratch_stride),
        .size = workspace->scratch_stride * sizeof(float)};
}

/* Gives each worker as much scratch memory as this dry run took, but at least `least` floats. */
static inline void mega_workspace_plan_scratch(MegaWorkspace *workspace, const MegaArena *dry,
                                               uint64_t least, MegaArena *arena)
{
    const uint64_t used = dry->used / sizeof(float), floats = used > least ? used : least;
    arena->overflow |= dry->overflow;
    workspace->scratch_stride = (size_t)mega_whole_lines(floats);
}

/* Places everything that these sequences need on their way through the stack; only counts it in a
 * dry run. least_scratch is how many floats of scratch a worker needs for other things (the
 * embedding). workspace->plan is there already, and is kept. */
void mega_workspace_layout(MegaWorkspace *workspace, const MegaStack *stack, const MegaBatch *batch,
                           int threads, uint64_t least_scratch, MegaArena *arena);

/* Norms all rows of the workspace in parallel from x to out, which may be x. */
void mega_workspace_norm(const MegaPass *pass, const MegaNorm *norm, float *out);

/* ---- Decoded rows --------------------------------------------------------------------------- */

/* The keys and values that one decoder layer's cross attention makes of a source of S positions. */
struct MegaSourceLayer {
    float *keys;   /* [S][width of a key] */
    float *values; /* [S][width of a value] */
};

/* A source sequence as the decoder sees it: encoder states, and the keys and values that each
 * decoder layer's cross attention makes of them (MODEL.md, "Cross attention"), computed once. */
struct MegaEncoded {
    const MegaModel *model;
    size_t length;           /* S */
    float *states;           /* [S][d] */
    MegaSourceLayer *layers; /* [decoder layers] */
    MegaArena arena;
    MegaLedger *ledger;
    uint64_t counted; /* bytes that the ledger has counted */
};

/* Says what the rows of a step are. */
typedef enum MegaRowsAre {
    MEGA_ROWS_ARE_POSITIONS, /* consecutive positions of the only sequence, inside one chunk */
    MEGA_ROWS_ARE_SEQUENCES, /* the next position of each sequence */
} MegaRowsAre;

/* Describes one step of a decoder: `rows` rows, and where they stand in their sequences.
 *
 * Choosing sequences moves no memory. States of an average are kept in two buffers that are used in
 * turn: a step reads the state of live sequence i as number parents[i] from the buffer `current`,
 * and writes the new one as number i to the other. Keys and values are written once, as
 * [position][sequence]; `ancestors` says for each live sequence whose entry counts at each position
 * of the chunk. */
struct MegaStep {
    const MegaDecoderSizes *sizes;
    size_t rows;
    MegaRowsAre rows_are;
    float *x;         /* [rows][d] residual stream, in and out */
    int64_t position; /* position of the first row in its sequence */
    size_t in_chunk;  /* its position in its chunk */
    int current;
    const size_t *parents;             /* [live] */
    const int32_t *ancestors;          /* [live][sizes->reserved] */
    const MegaEncoded *const *sources; /* [live] */
    void *const *states;               /* [layers]: made by the kind's state_layout */
    void *memory;                      /* made by the kind's step_layout */
    /* [rows][sizes->source]: the last layer leaves the weights of its cross attention here */
    float *cross_weights;
};

#endif
