/*
 * decoder.h - the state of decoding, and one pass of rows through it. mega_engine.h has the public
 * side.
 *
 * A pass takes some rows: consecutive positions of one sequence (a block inside one chunk), or one
 * position each of several sequences (MegaRowsAre in layer.h). The kind of layer owns most of what
 * is kept between passes: states in two buffers that swap roles, and the keys and values of the
 * current chunk. This struct keeps the rest, such as `ancestors`, which say whose keys count for
 * each live sequence (MegaStep in layer.h).
 */
#ifndef MEGA_DECODER_H
#define MEGA_DECODER_H

#include "src/decode/logits.h"
#include "src/decode/sources.h"
#include "src/encode/session.h"

#define MEGA_PASS_ROWS 240 /* largest number of positions in a block */

/* The memory of one pass, which lies in the arena. */
typedef struct MegaPassMemory {
    float *x;     /* [rows][d] */
    float *cross; /* [rows][longest source]: the weights of the last layer's cross attention */
    float *entry; /* [widest cluster]: a row of the embedding before its projection */
    void *layers; /* the memory that the kind of layer needs */
} MegaPassMemory;

struct MegaDecoder {
    MegaSession *session;
    /* the model's configuration, with the chunk that the caller asked for */
    MegaStackConfig config;
    MegaReach reach;        /* how far the layers look with it */
    MegaDecoderSizes sizes; /* the sizes that states and ancestors are allocated for */
    size_t live;
    int64_t position;    /* number of tokens that were read */
    size_t in_chunk;     /* how many of these tokens are in the current chunk */
    bool contiguous;     /* one live sequence, whose keys are all entries of sequence 0 */
    int current;         /* which of the two buffers holds the current states */
    size_t *parents, *next_parents;              /* [sequences]: which former sequence each live
                                                    one continues */
    const MegaEncoded **sources, **next_sources; /* [sequences] */
    int32_t *ancestors, *next_ancestors;         /* [sequences][reserved] */
    MegaGrowing *growing; /* [layers] memory of states */
    void **states;        /* [layers] the states that the kind of layer placed in it */
    bool planned;         /* the arena has room for a pass of these sizes */
    MegaLedger *ledger;
    uint64_t counted; /* bytes of this decoder that the ledger counts against the memory limit */
    MegaArena arena;
    MegaPassMemory memory;
    MegaLogits logits;
};

/* Returns how many tokens a decoder can read: as many as the tables of its layers have positions
 * (those of MEGA's simple bias), or any number if they have none. */
int64_t mega_decoder_positions(const MegaConfig *model);
/* Returns whether the decoder has read that many tokens. */
bool mega_decoder_full(const MegaDecoder *decoder);

#endif
