/*
 * layer_kind.h - what a kind of layer is, and a stack of layers of one kind.
 *
 * Loading, encoding and decoding know layers through MegaLayerKind alone: what a kind derives from
 * its weights, where it keeps what it remembers of a sequence, and what it calls its memory, are
 * pointers to them. A new architecture is one file in src/layers with a MegaLayerKind, and its line
 * in the table of src/layers/kinds.c.
 *
 * Memory is counted and placed by one function each: with an arena (or growing memory) that has no
 * memory it only counts, with one that has it hands out. So size and use cannot disagree.
 */
#ifndef MEGA_LAYER_KIND_H
#define MEGA_LAYER_KIND_H

#include "src/base/arena.h"
#include "src/base/growing.h"
#include "src/model/fold.h"

/* src/layers/layer.h */
typedef struct MegaPass MegaPass;
typedef struct MegaStep MegaStep;
typedef struct MegaWorkspace MegaWorkspace;
typedef struct MegaSourceLayer MegaSourceLayer;

/* An encoder's or a decoder's layers, ready to run; zero where the task has no such stack. */
typedef struct MegaStack {
    const MegaLayerKind *kind;
    const MegaStackConfig *config;
    bool is_decoder;
    bool has_cross;      /* the decoder of a translator */
    int cross_positions; /* M of the simple bias of its cross attention */
    void *weights; /* [layers], each of kind->weights_size */
    void **layers; /* [layers]: what the kind derives from them */
    MegaNorm embed_norm, final_norm;
} MegaStack;

/* How a long convolution over time (the moving average) is computed. */
typedef enum MegaEmaPath {
    MEGA_EMA_AUTO, /* the faster way */
    MEGA_EMA_RECURRENT,
    MEGA_EMA_FFT,
} MegaEmaPath;

/* Sequences that go through an encoder side by side. */
typedef struct MegaBatch {
    const size_t *lengths; /* [count] */
    size_t count;
    MegaEmaPath path;
} MegaBatch;

/* Sizes that the memory of a decoder depends on. */
typedef struct MegaDecoderSizes {
    size_t sequences; /* most sequences side by side */
    size_t rows;      /* most rows of a step */
    size_t reserved;  /* positions of the current chunk */
    size_t positions; /* positions of a sequence, at least `reserved` */
    size_t source;    /* positions of the longest source */
    int threads;
    bool truncate;    /* whether the moving average truncates, as in a full pass */
} MegaDecoderSizes;

struct MegaLayerKind {
    const char *name; /* its name in metadata: "encoder.kind", "decoder.kind" */
    const MegaTensorRow *tensors; /* of a layer; slots are in a struct of weights_size bytes */
    size_t weights_size;

    /* Derives from the weights of layer number `index` what runs faster (folded norms,
     * coefficients, kernels), and places it in the arena. */
    void *(*derive)(const MegaStack *stack, int index, MegaArena *arena);

    /* ---- Whole sequences ---- */

    /* Returns whether a sequence of this length gives the same bits in a batch as alone. NULL means
     * always. */
    bool (*can_batch)(const MegaStackConfig *config, MegaEmaPath path, size_t length);
    /* What depends on lengths alone and is no memory of an arena, such as a plan of an FFT library.
     * *plan is NULL or an earlier plan, which this replaces. Both NULL: the kind has none. */
    int (*plan)(const MegaStackConfig *config, const MegaBatch *batch, void **plan, MegaError *err);
    void (*plan_free)(void *plan);
    /* Memory of a pass, for workspace->own, and how much scratch a worker needs. Fills what all
     * layers of the pass only read. */
    void (*layout)(MegaWorkspace *workspace, const MegaStack *stack, const MegaBatch *batch,
                   MegaArena *arena);
    /* Takes workspace->x through layer number `index`. */
    void (*forward)(const MegaPass *pass, int index);

    /* ---- Decoded sequences; all NULL: the kind is for encoders ---- */

    /* Memory of a layer for one source of a translator, and what it makes of the source's states,
     * once; in the calling thread. Both NULL: the kind has no cross attention. */
    void (*source_layout)(const MegaStackConfig *config, size_t length, MegaSourceLayer *out,
                          MegaArena *arena);
    void (*read_source)(const MegaPass *pass, int index, const MegaEncoded *source);
    /* Places what layer number `index` remembers of the decoder's sequences. */
    void *(*state_layout)(const MegaStack *stack, int index, const MegaDecoderSizes *sizes,
                          MegaGrowing *memory);
    /* Places the memory of a step, which all layers share. */
    void *(*step_layout)(const MegaStack *stack, const MegaDecoderSizes *sizes, MegaArena *arena);
    /* Takes step->x, the next positions of the decoder's sequences, through layer `index`. */
    void (*step)(const MegaPass *pass, const MegaStep *step, int index);
};

/* All kinds, NULL behind the last; the first is that of files that name none. In
 * src/layers/kinds.c, and a program may link a table of its own instead. */
extern const MegaLayerKind *const mega_layer_kinds[];

static inline const MegaLayerKind *mega_stack_kind(const MegaStackConfig *config)
{
    return config->kind ? config->kind : mega_layer_kinds[0];
}

#endif
