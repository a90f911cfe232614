/*
 * layer_kind.h - the interface of a kind of layer, and a stack of layers of one kind.
 *
 * Loading, encoding and decoding know layers only through MegaLayerKind. It has the table of a
 * kind's own hyper-parameters and that of its tensors, and pointers to the functions that derive
 * data from its weights, place its state and its memory, and run it. A new architecture is one file
 * in src/layers with a MegaLayerKind, and a line in the table of src/layers/kinds.c.
 *
 * One function both counts and places each kind of memory: with an empty arena (or growing memory)
 * it only counts, and with one that has memory it also hands it out. So the size and the use of
 * memory cannot disagree.
 */
#ifndef MEGA_LAYER_KIND_H
#define MEGA_LAYER_KIND_H

#include "src/base/arena.h"
#include "src/base/growing.h"
#include "src/base/ledger.h"
#include "src/base/threads.h"
#include "src/kernels/kernels.h"
#include "src/model/fold.h"
#include "src/model/positions.h"
#include "src/model/stored.h"

/* These are defined in src/layers/layer.h. */
typedef struct MegaPass MegaPass;
typedef struct MegaPiece MegaPiece;
typedef struct MegaStep MegaStep;
typedef struct MegaWorkspace MegaWorkspace;
typedef struct MegaSourceLayer MegaSourceLayer;

/* The layers of an encoder or a decoder, ready to run. It is zero if the task has no such stack. */
typedef struct MegaStack {
    const MegaLayerKind *kind;
    const MegaStackConfig *config;
    bool is_decoder;
    bool has_cross;      /* true for the decoder of a translator */
    int cross_positions; /* M of the simple bias of its cross attention */
    void *weights; /* [layers], each of kind->weights_size */
    void **layers; /* [layers]: what the kind derives from each layer's weights */
    MegaNorm embed_norm, final_norm;
    MegaPositions positions; /* what the embedding adds */
} MegaStack;

/* Says how a long convolution over time (the moving average) is computed. */
typedef enum MegaEmaPath {
    MEGA_EMA_AUTO, /* the faster one */
    MEGA_EMA_RECURRENT,
    MEGA_EMA_FFT,
} MegaEmaPath;

/* Sequences that go through an encoder together. */
typedef struct MegaBatch {
    const size_t *lengths; /* [count] */
    size_t count;
    MegaEmaPath path;
    /* 2 says that the sequences hold every second position of what the model was trained on */
    double rate;
    /* The only sequence is a piece of a sequence of `whole` positions, which goes layer by layer
     * (MegaLayerKind.cut); 0: sequences are whole, or pieces of a stream. */
    size_t whole;
} MegaBatch;

/* The sizes that determine a decoder's memory. */
typedef struct MegaDecoderSizes {
    size_t sequences; /* largest number of live sequences */
    size_t rows;      /* largest number of rows in a step */
    size_t reserved;  /* positions of the current chunk that are allocated */
    size_t positions; /* positions that a sequence may have, at least `reserved` */
    size_t source;    /* positions of the longest source */
    int threads;
    bool truncate;    /* whether the moving average truncates, as in a full pass */
    bool shows_attention; /* a step has memory to show a tap the weights of its attention */
} MegaDecoderSizes;

/* Says how far the layers of a stack look. */
typedef struct MegaReach {
    int chunk; /* positions after which a decoder forgets its keys; 0: it never does */
    /* Positions by which a decoder's memory grows, in pages that never move; 0: it is doubled and
     * copied. */
    size_t page;
    bool can_truncate; /* a decoder can truncate its moving average, as a full pass does */
    int64_t positions; /* most positions of a sequence; INT64_MAX: no limit */
    int64_t cross_positions; /* most positions that cross attention relates, of either side */
} MegaReach;

/* Says what a plan is made for. */
typedef struct MegaPlanRequest {
    const MegaStack *stack;
    const MegaBatch *batch;
    bool is_stream; /* the batch is one piece of a sequence, which continues the previous piece */
    const MegaKernels *kernels;
    MegaPool *pool;
    MegaLedger *ledger; /* counts what the plan keeps */
} MegaPlanRequest;

/* Makes and frees data that depends on lengths and is not in an arena, such as the plan of an FFT
 * library, and kernels that are kept from input to input. */
typedef struct MegaPlanner {
    /* *plan is NULL or an earlier plan, which this call replaces. */
    int (*make)(const MegaPlanRequest *request, void **plan, MegaError *err);
    void (*free)(void *plan);
    /* Begins a stream anew; NULL: the kind has none. */
    void (*restart)(void *plan);
} MegaPlanner;

/* The parts of a layer that pictures and the benchmark show; NULL: it has no such part. */
typedef struct MegaLayerView {
    const MegaPacked *matrix;      /* one of its matrices, whose type stands for all of them */
    const struct MegaEma *ema;     /* its moving average, whose kernels show how far it looks */
    const MegaLinearWeights *gate; /* makes its update gate of the stage ".ema"; a layer that has
                                      one also has the stages ".q" and ".k" */
    int heads; /* of softmax attention without a bias, whose weights are the stage ".attn" */
} MegaLayerView;

/* The multiply-adds of a layer for one position. */
typedef struct MegaLayerWork {
    double products; /* products with weights */
    double rest;     /* all others, except attention */
    double per_key;  /* for each position that it attends to, and as many floats that it reads */
    double cross_products, cross_per_key; /* the same for cross attention */
} MegaLayerWork;

struct MegaLayerKind {
    const char *name; /* its name in metadata: "encoder.kind", "decoder.kind" */

    /* ---- Hyper-parameters and tensors; NULL where a kind has none of its own ---- */

    const MegaField *fields; /* those in MegaStackConfig.own; the last row has no key */
    /* Checks the fields against each other and against those of the rest of the model. `name` is
     * the stack's, for messages. Returns MEGA_ERR_MODEL. */
    int (*check)(const MegaConfig *config, const MegaStackConfig *stack, const char *name,
                 MegaError *err);
    const MegaTensorRow *tensors; /* the tensors of one layer; the slots are in a struct of
                                     weights_size bytes */
    size_t weights_size;
    /* Returns a dimension of those rows, which are numbered from MEGA_DIM_OWN. */
    uint64_t (*dimension)(const MegaConfig *config, const MegaStackConfig *stack,
                          unsigned dimension);
    /* Returns whether a condition of those rows holds; they are numbered from MEGA_IF_OWN. */
    bool (*applies)(const MegaStackConfig *stack, unsigned condition);
    /* Sets the limits in *out, which says that there are none. */
    void (*reach)(const MegaConfig *config, const MegaStackConfig *stack, MegaReach *out);
    /* Gives a decoder another chunk than the model's (0: none), or returns MEGA_ERR_ARGUMENT. */
    int (*set_chunk)(MegaStackConfig *stack, int chunk, MegaError *err);
    /* Finds where a file of the earlier layout (earlier.h) holds a tensor of a layer, whose own
     * name begins at place->name[layer]. */
    void (*place_earlier)(const MegaStackConfig *stack, size_t layer, MegaStored *place);

    /* ---- Once per model ---- */

    /* Derives from the weights of layer number `index` what makes it run faster (folded norms,
     * coefficients, kernels), places it in the arena and returns it; a dry run returns NULL. */
    void *(*derive)(const MegaStack *stack, int index, MegaArena *arena);

    /* ---- Whole sequences ---- */

    /* Returns whether a sequence of this length gives the same bits in a batch as alone. If the
     * pointer is NULL, it always does. */
    bool (*can_batch)(const MegaStackConfig *config, MegaEmaPath path, size_t length);
    const MegaPlanner *planner; /* NULL if the kind needs no plan */
    bool has_rate; /* sequences may have another rate than 1 (MegaBatch.rate) */
    /* Returns whether a sequence can go through the stack piece by piece; NULL: it never can. */
    bool (*can_stream)(const MegaStackConfig *config);
    /* Says how a sequence that is too long for memory may be cut into pieces, all of which a layer
     * takes before the next layer does: every piece has a multiple of this many positions, except
     * the last one. 0: this stack cannot take pieces. NULL: no stack of the kind can. */
    size_t (*cut)(const MegaStackConfig *config);
    /* Returns the bytes that a layer keeps of each piece between look_ahead and forward; 0: its
     * layers do not look ahead. Kinds with `cut` have this and the next one. */
    size_t (*kept)(const MegaStack *stack);
    /* Keeps for layer number `index` what it must know of all positions after pass->piece. It is
     * called for all pieces of a sequence, the last one first, before any goes through the
     * layer. */
    void (*look_ahead)(const MegaPass *pass, int index);
    /* The stages that a layer shows to a tap, in order: what follows "layer.I" in their names. NULL
     * ends the list. "" is the layer's output; ".cross..." exists only in a translator. */
    const char *const *stages;
    /* Places the memory of a pass (workspace->own), sets workspace->scratch_stride, and fills in
     * the data that all layers of the pass share and only read. */
    void (*layout)(MegaWorkspace *workspace, const MegaStack *stack, const MegaBatch *batch,
                   MegaArena *arena);
    /* Takes workspace->x through layer number `index`. */
    void (*forward)(const MegaPass *pass, int index);

    /* ---- Decoding; all of these are NULL if the kind is for encoders only ---- */

    /* Place the memory of a layer for one source of a translator, and fill it, once, from the
     * source's states. Both run in the calling thread, and are NULL if the kind has no cross
     * attention. */
    void (*source_layout)(const MegaStackConfig *config, size_t length, MegaSourceLayer *out,
                          MegaArena *arena);
    void (*read_source)(const MegaPass *pass, int index, const MegaEncoded *source);
    /* Places the state of the decoder's sequences that layer number `index` keeps. */
    void *(*state_layout)(const MegaStack *stack, int index, const MegaDecoderSizes *sizes,
                          MegaGrowing *memory);
    /* Places the memory of a step, which all layers share. */
    void *(*step_layout)(const MegaStack *stack, const MegaDecoderSizes *sizes, MegaArena *arena);
    /* Takes step->x, the next positions of the decoder's sequences, through layer `index`. */
    void (*step)(const MegaPass *pass, const MegaStep *step, int index);

    /* ---- For pictures and the benchmark; NULL if the kind shows nothing ---- */

    /* These fill in *out, which is all zeros. */
    void (*show)(const MegaStack *stack, int index, MegaLayerView *out);
    void (*work)(const MegaStackConfig *config, MegaLayerWork *out);
};

/* All kinds of layers; NULL ends the list. Files that name no kind have the first one. The table is
 * in src/layers/kinds.c, and a program may link one of its own instead. */
extern const MegaLayerKind *const mega_layer_kinds[];

static inline const MegaLayerKind *mega_stack_kind(const MegaStackConfig *config)
{
    return config->kind ? config->kind : mega_layer_kinds[0];
}

static inline MegaLayerView mega_layer_view(const MegaStack *stack, int index)
{
    MegaLayerView view = {0};
    if (stack->kind->show)
        stack->kind->show(stack, index, &view);
    return view;
}

static inline MegaLayerWork mega_layer_work(const MegaStackConfig *config)
{
    MegaLayerWork work = {0};
    if (mega_stack_kind(config)->work)
        mega_stack_kind(config)->work(config, &work);
    return work;
}

static inline MegaReach mega_stack_reach(const MegaConfig *config, const MegaStackConfig *stack)
{
    MegaReach reach = {.positions = INT64_MAX, .cross_positions = INT64_MAX};
    if (mega_stack_kind(stack)->reach)
        mega_stack_kind(stack)->reach(config, stack, &reach);
    if (stack->positions == MEGA_POSITIONS_LEARNED && stack->max_positions < reach.positions)
        reach.positions = stack->max_positions;
    return reach;
}

#endif
